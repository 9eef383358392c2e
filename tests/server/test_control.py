"""The control API over a socket: every route, the mistakes of callers, who may ask, the live stream."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from rawclient import Answer, call

from mock_server import MockServer, prompt
from mock_server.scenario.load import loads
from mock_server.server.control.routes import ROUTES, document

ASK = {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "weather"}]}


@pytest.fixture
def server() -> Iterator[MockServer]:
    with MockServer("scenarios", control_token=None) as running:
        running.add("It is sunny.", when=prompt("weather"), name="weather")
        yield running


def ask(server: Any, text: str = "weather", key: str = "k", **more: Any) -> Answer:
    body = {**ASK, "messages": [{"role": "user", "content": text}], **more}
    return call(server, "POST", "/v1/messages", body, x_api_key=key)


# -- routes -----------------------------------------------------------------------------------------------------------


def test_health_and_ready(server: MockServer) -> None:
    assert call(server, "GET", "/_mock/health").json["status"] == "ok"
    assert call(server, "GET", "/_mock/ready").json == {"ready": True}


def test_scenarios_are_listed_with_their_source_and_calls(server: MockServer) -> None:
    ask(server)
    listed = {one["name"]: one for one in call(server, "GET", "/_mock/scenarios").json["scenarios"]}
    assert listed["weather"]["calls"] == 1
    assert listed["weather"]["session"] == "default"
    assert json.loads(listed["weather"]["when"]) == {"prompt": "weather"}
    assert listed["hello"]["source"].startswith("scenarios/hello.yaml:")
    assert listed["hello"]["session"] is None

    one = call(server, "GET", "/_mock/scenarios/hello").json
    (again,) = loads(one["yaml"])
    assert (again.name, again.turns) == ("hello", loads(Path("scenarios/hello.yaml").read_text())[0].turns)


@pytest.mark.parametrize(
    ("body", "type"),
    [
        ("name: new\nwhen: {prompt: new}\nreply: New!", "application/yaml"),
        ({"name": "new", "reply": "New!"}, "application/json"),
    ],
)
def test_scenarios_are_added_replaced_and_removed(server: MockServer, body: Any, type: str) -> None:
    added = call(server, "POST", "/_mock/scenarios", body, content_type=type)
    assert (added.status, added.json) == (201, {"added": ["new"]})
    assert "New!" in ask(server, "new").text
    assert call(server, "PUT", "/_mock/scenarios/new", {"name": "new", "reply": "Newer!"}).status == 200
    assert "Newer!" in ask(server, "new").text
    assert call(server, "DELETE", "/_mock/scenarios/new").json == {"removed": "new"}
    assert ask(server, "new").status == 400


def test_the_journal_is_filtered_and_paged_without_loss(server: MockServer) -> None:
    for n in range(25):
        ask(server, f"weather {n}", stream=n % 2 == 0)
    ask(server, "unknown")
    found, before = [], ""
    while True:
        page = call(server, "GET", f"/_mock/journal?limit=7{before}").json
        found += [entry["number"] for entry in page["entries"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert found == list(range(26, 0, -1))
    assert page["total"] == 26
    for query, count in (
        ("scenario=weather", 25),
        ("outcome=unmatched", 1),
        ("outcome=completed", 26),
        ("outcome=open", 0),
        ("text=WEATHER%2024", 1),
        ("text=is%20sunny", 12),
        ("after=20", 6),
    ):
        assert len(call(server, "GET", f"/_mock/journal?{query}").json["entries"]) == count, query


@pytest.mark.parametrize("profile", ["octen", "anthropic"])
def test_an_entry_is_found_by_the_id_of_its_reply(profile: str) -> None:
    with MockServer(profile=profile) as server:
        server.add("Hi")
        ids = [dict(ask(server, "Hi").headers)["request-id"] for _ in range(3)]  # the last from memory
        for number, id in enumerate(ids, 1):
            assert call(server, "GET", f"/_mock/journal/{id}").json["number"] == number
            (found,) = call(server, "GET", f"/_mock/journal?text={id[:-1].upper()}").json["entries"]
            assert (found["number"], found["request_id"]) == (number, id)
        assert call(server, "GET", "/_mock/journal/req_none").json["error"] == "no entry req_none"


def test_an_entry_tells_everything_and_copies_as_a_scenario(server: MockServer) -> None:
    ask(server, stream=True)
    entry = call(server, "GET", "/_mock/journal/1").json
    assert entry["request"]["body"]["messages"] == ASK["messages"]
    assert entry["request"]["headers"]["x-api-key"] == entry["key"]
    assert [event["type"] for event in entry["events"]][::9] == ["message_start", "message_stop"]
    assert all(event["sent_ms"] is not None and event["due_ms"] == 0 for event in entry["events"])
    assert entry["reply"]["body"]["content"] == [{"type": "text", "text": "It is sunny."}]
    assert (entry["input_tokens"], entry["output_tokens"]) == (8, 6)
    assert entry["curl"].startswith("curl -N http://127.0.0.1:")
    (scenario,) = loads(entry["yaml"])
    assert scenario.turns[0].reply is not None
    assert entry["stub"] is None


def test_an_unmatched_entry_tells_why_and_what_would_match(server: MockServer) -> None:
    ask(server, "What is the time?")
    entry = call(server, "GET", "/_mock/journal/1").json
    assert entry["near_misses"][0] == {
        "scenario": "weather",
        "distance": 0.614,
        "misses": [{"condition": "prompt", "wanted": "contains 'weather'", "got": "'What is the time?'"}],
    }
    call(server, "POST", "/_mock/scenarios", entry["stub"], content_type="application/yaml")
    assert ask(server, "What is the time?").status == 200


def test_counts_and_verify(server: MockServer) -> None:
    ask(server)
    counts = call(server, "GET", "/_mock/journal/counts").json
    assert (counts["total"], counts["finished"], counts["unmatched"], counts["dropped"]) == (1, 1, 0, 0)
    for said, ok in (
        ({}, True),
        ({"times": 1}, True),
        ({"times": 2}, False),
        ({"times": 1, "when": {"prompt": "weather"}}, True),
        ({"when": {"prompt": "rain"}}, False),
        ({"scenario": "weather"}, True),
        ({"sequence": ["weather"]}, True),
        ({"sequence": ["weather", {"prompt": "rain"}]}, False),
        ({"all_used": True}, True),
    ):
        answer = call(server, "POST", "/_mock/verify", said).json
        assert answer["ok"] is ok, said
        assert bool(answer["explanation"]) is not ok


def test_sessions_are_made_with_a_key_and_settings_and_ended(server: MockServer) -> None:
    made = call(server, "POST", "/_mock/sessions", {"name": "mine", "key": "k9", "settings": {"seed": 3}})
    assert made.status == 201
    assert made.json["settings"]["seed"] == 3
    call(server, "POST", "/_mock/scenarios?session=mine", {"name": "only", "reply": "only mine"})
    assert "only mine" in ask(server, "x", "k9").text
    assert ask(server, "x").status == 400
    assert [one["name"] for one in call(server, "GET", "/_mock/sessions").json["sessions"]] == ["default", "mine"]
    assert call(server, "DELETE", "/_mock/sessions/mine").json == {"ended": "mine", "cut": 0}
    assert "has ended" in ask(server, "x", "k9").text
    assert call(server, "POST", "/_mock/sessions", {"name": "again", "key": "k9"}).status == 409


def test_reset_of_one_session_or_all(server: MockServer) -> None:
    ask(server)
    assert call(server, "POST", "/_mock/reset?session=default").json == {"reset": ["default"]}
    assert ask(server).status == 400
    assert call(server, "GET", "/_mock/journal").json["total"] == 1
    assert call(server, "DELETE", "/_mock/journal").json == {"cleared": 1}


def test_metrics_count_requests_and_tokens(server: MockServer) -> None:
    ask(server)
    ask(server, "x")
    text = call(server, "GET", "/_mock/metrics").text
    assert 'mock_server_requests_total{scenario="weather",status="200",outcome="completed"} 1' in text
    assert 'mock_server_requests_total{scenario="",status="400",outcome="completed"} 1' in text
    assert 'mock_server_tokens_total{kind="output"} 6' in text
    assert "mock_server_open_streams 0" in text


# -- the OpenAPI document ---------------------------------------------------------------------------------------------


def test_the_document_holds_every_route_and_nothing_else(server: MockServer) -> None:
    served = call(server, "GET", "/_mock/openapi.json").json
    assert served == json.loads(json.dumps(document()))
    listed = {
        (method.upper(), path.removeprefix("/_mock/")) for path, item in served["paths"].items() for method in item
    }
    assert listed == {(route.method, route.path) for route in ROUTES}
    names = [operation["operationId"] for item in served["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for item in served["paths"].values() for operation in item.values())


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "hint"),
    [
        ("GET", "/_mock/nothing", None, 404, "expected one of /_mock/health"),
        ("GET", "/_mock/journl", None, 404, "did you mean /_mock/journal?"),
        ("PUT", "/_mock/state", {}, 404, "did you mean /_mock/states?"),
        ("PUT", "/_mock/states/service", {}, 404, "did you mean /_mock/states?"),
        ("POST", "/_mock/scenarios?sesion=x", {"name": "a", "reply": "x"}, 400, "did you mean 'session'?"),
        ("GET", "/_mock/journal?outcome=unmached", None, 400, "did you mean 'unmatched'?"),
        ("GET", "/_mock/journal/1?whole=yes", None, 400, "expected one of true"),
        ("GET", "/_mock/journal/stream?sesion=x", None, 400, "did you mean 'session'?"),
        ("GET", "/_mock/schema?session=x", None, 400, "it takes none"),
        ("PATCH", "/_mock/journal", None, 405, "use GET, DELETE"),
        ("POST", "/", None, 405, "use GET"),
        ("GET", "/_mock/ui/../app.py", None, 404, "the page is at /"),
        ("GET", "/_mock/scenarios/helo", None, 404, "did you mean 'hello'?"),
        ("GET", "/_mock/scenarios?session=defualt", None, 404, "did you mean 'default'?"),
        ("POST", "/_mock/scenarios", b"{", 400, "send a JSON object"),
        ("POST", "/_mock/scenarios", [], 400, "send a JSON object"),
        ("POST", "/_mock/scenarios", b"[" * 100_000, 400, "send a JSON object"),
        ("POST", "/_mock/scenarios", {"replay": "x"}, 422, "nothing was added"),
        ("PUT", "/_mock/scenarios/a", {"name": "b", "reply": "x"}, 422, "name and path must agree"),
        ("DELETE", "/_mock/scenarios/hello", None, 409, "delete it there"),
        ("GET", "/_mock/journal?limit=100000", None, 400, "a whole number from 1 to 1000"),
        ("GET", "/_mock/journal?limit=0", None, 400, "a whole number from 1 to 1000"),
        ("GET", "/_mock/journal?before=-1", None, 400, "a whole number"),
        ("GET", "/_mock/journal/99", None, 404, "left the ring"),
        ("GET", "/_mock/journal/x", None, 404, "left the ring"),
        ("POST", "/_mock/verify", {"tims": 1}, 400, "times, when, scenario"),
        ("POST", "/_mock/verify", {"times": -1}, 400, "0 or more"),
        ("POST", "/_mock/verify", {"times": 0, "scenario": "helo"}, 404, "did you mean 'hello'?"),
        ("POST", "/_mock/verify", {"when": {"promt": "x"}}, 422, "written as `when`"),
        ("POST", "/_mock/verify", {"sequence": "x"}, 400, "names of scenarios"),
        ("POST", "/_mock/reset", None, 400, "all=true"),
        ("POST", "/_mock/reset?session=none", None, 404, "lists them"),
        ("POST", "/_mock/sessions", {}, 400, "1 to 200"),
        ("POST", "/_mock/sessions", {"name": "a", "settings": {"sed": 1}}, 422, "command line"),
        ("POST", "/_mock/sessions", {"name": "a", "settings": {"profile": ["octen"]}}, 422, "command line"),
        ("POST", "/_mock/sessions", {"name": "a", "settings": {"profile": 1}}, 422, "command line"),
        ("POST", "/_mock/sessions", {"name": "a", "settings": []}, 400, "names and values"),
        ("DELETE", "/_mock/sessions/default", None, 404, "lists them"),
        ("PUT", "/_mock/chaos/x", {"on": "no"}, 400, '{"on": true}'),
    ],
)
def test_a_mistake_is_a_4xx_with_a_hint(
    server: MockServer, method: str, path: str, body: Any, status: int, hint: str
) -> None:
    answer = call(server, method, path, body)
    assert answer.status == status, answer.text
    assert hint in answer.json["hint"]
    assert answer.json["error"]


# -- who may ask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/_mock/journal", "/_mock/scenarios", "/_mock/metrics", "/", "/_mock/ui/page.js"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example:80"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
def test_on_loopback_other_sites_are_refused(server: MockServer, path: str, headers: dict[str, str]) -> None:
    assert call(server, "GET", path, None, **headers).status == 403


def test_on_loopback_probes_and_the_api_take_any_host(server: MockServer) -> None:
    for path in ("/_mock/health", "/_mock/ready"):
        assert call(server, "GET", path, host="mock:8787").status == 200
    assert call(server, "POST", "/v1/messages", ASK, host="mock:8787", x_api_key="k").status == 200
    port = server.url.rpartition(":")[2]
    own = {"host": f"localhost:{port}", "origin": f"http://localhost:{port}"}
    assert call(server, "GET", "/_mock/journal", **own).status == 200


def test_beyond_loopback_the_token_is_asked_for() -> None:
    with MockServer(host="0.0.0.0", control_token="s3cret") as server:
        port = server.url.rpartition(":")[2]
        server._runner.host = "127.0.0.1"
        assert server.url == f"http://127.0.0.1:{port}"
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic s3cret"}):
            answer = call(server, "GET", "/_mock/journal", **headers)
            assert (answer.status, "Bearer" in answer.json["hint"]) == (401, True)
        assert call(server, "GET", "/_mock/journal", authorization="Bearer s3cret", host="mock:8787").status == 200
        assert call(server, "GET", "/_mock/journal?token=s3cret").status == 200
        assert call(server, "GET", "/_mock/health").status == 200
        assert call(server, "GET", "/_mock/journal/stream").status == 401


# -- the live stream --------------------------------------------------------------------------------------------------


class Stream:
    """The events of `journal/stream`, one after the other."""

    def __init__(self, server: MockServer, path: str = "/_mock/journal/stream") -> None:
        self._connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
        self._connection.request("GET", path)
        self.reply = self._connection.getresponse()

    def next(self) -> tuple[str, Any]:
        event = ""
        while True:
            line = self.reply.readline().decode().rstrip("\n")
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: "):
                return event, json.loads(line[6:])

    def close(self) -> None:
        self._connection.close()


def test_the_stream_tells_what_was_and_what_comes(server: MockServer) -> None:
    ask(server, "weather before")
    stream = Stream(server)
    assert stream.reply.getheader("content-type", "").startswith("text/event-stream")
    event, before = stream.next()
    assert (event, before["prompt"]) == ("entry", "weather before")
    threading.Thread(target=ask, args=(server, "weather after")).start()
    event, after = stream.next()
    assert (event, after["prompt"], after["outcome"]) == ("entry", "weather after", "completed")
    call(server, "POST", "/_mock/scenarios", {"name": "n", "reply": "x"})
    assert stream.next() == ("scenarios", {})
    stream.close()


def test_a_flood_is_sampled_and_says_so(server: MockServer) -> None:
    stream = Stream(server)
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    for n in range(600):
        body = json.dumps({**ASK, "messages": [{"role": "user", "content": f"weather {n}"}]})
        connection.request("POST", "/v1/messages", body, {"x-api-key": "k"})
        connection.getresponse().read()
    connection.close()
    shown: set[int] = set()
    skipped = 0
    while max(shown, default=0) < 600:
        event, data = stream.next()
        if event == "entry":
            shown.add(data["number"])
        else:
            skipped += data["skipped"]
    assert len(shown) + skipped >= 600
    stream.close()


# -- browsers and the emulated API ------------------------------------------------------------------------------------


def test_a_page_that_asks_for_it_by_name_may_read_the_reply(server: MockServer) -> None:
    asked = "authorization,content-type,anthropic-version,anthropic-dangerous-direct-browser-access"
    before = call(
        server,
        "OPTIONS",
        "/v1/messages",
        origin="http://app.example",
        access_control_request_method="POST",
        access_control_request_headers=asked,
    )
    assert before.status == 204
    assert before.headers["access-control-allow-origin"] == "*"
    assert before.headers["access-control-allow-headers"] == asked
    page = {"origin": "http://app.example", "x_api_key": "k"}
    reply = call(server, "POST", "/v1/messages", ASK, **page, anthropic_dangerous_direct_browser_access="true")
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "request-id" in reply.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in call(server, "POST", "/v1/messages", ASK, **page).headers
    assert "access-control-allow-origin" not in call(server, "GET", "/_mock/health", **page).headers


def test_a_page_that_does_not_ask_by_name_is_told_what_to_say(server: MockServer) -> None:
    before = call(server, "OPTIONS", "/v1/messages", origin="http://a.example", access_control_request_headers="x")
    assert before.status == 400
    assert "anthropic-dangerous-direct-browser-access" in before.text


def test_a_name_may_hold_what_a_path_does_not(server: MockServer) -> None:
    name = "a/b c%2F?ü"
    put = call(server, "PUT", "/_mock/scenarios/" + quote(name, safe=""), {"name": name, "reply": "x"})
    assert put.json == {"added": [name]}
    assert call(server, "GET", "/_mock/scenarios/" + quote(name, safe="")).json["name"] == name


def test_ten_thousand_entries_are_paged_without_loss() -> None:
    with MockServer(journal_entries=10_000) as server:
        server.add("x")
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
        for n in range(10_000):
            body = json.dumps({**ASK, "messages": [{"role": "user", "content": f"{n}"}]})
            connection.request("POST", "/v1/messages", body, {"x-api-key": "k"})
            connection.getresponse().read()
        found: list[int] = []
        path = "/_mock/journal?limit=1000"
        while path:
            connection.request("GET", path)
            page = json.loads(connection.getresponse().read())
            found += [entry["number"] for entry in page["entries"]]
            path = f"/_mock/journal?limit=1000&before={page['next']}" if page["next"] is not None else ""
        connection.close()
    assert found == list(range(10_000, 0, -1))

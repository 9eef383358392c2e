"""Paths as clients send them: prefixes, the base path, sessions, HEAD and OPTIONS; the short way in and the long one."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rawclient import Answer, call

from mock_server import MockClient, MockServer
from mock_server.server import connection

BODY = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
Start = Callable[..., MockServer]


def ask(server: MockServer, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    return call(server, method, path, body, **{"x_api_key": "k", **headers})


@pytest.fixture
def start() -> Iterator[Start]:
    """A server that says "Hi." to everybody; stopped when the test ends."""
    running: list[MockServer] = []

    def begin(**settings: Any) -> MockServer:
        running.append(MockServer(**settings).start())
        running[-1].add("Hi.")
        return running[-1]

    yield begin
    for server in running:
        server.stop()


@pytest.fixture(params=[True, False], ids=["short way", "long way"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SHORT_WAY", request.param)


# -- prefixes -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "path",
    [
        "/v1/messages",
        "/v1/messages?beta=true",
        "/pre/v1/messages",
        "/pre/fix/v1/messages?beta=true",
        "/%61/v1/messages",
    ],
)
def test_any_prefix_is_accepted(start: Start, path: str) -> None:
    server = start()
    assert ask(server, "POST", path, BODY).status == 200
    entry = server.journal.last
    assert (entry.path, entry.query) == ("/v1/messages", "beta=true" if "beta" in path else "")


@pytest.mark.usefixtures("way")
def test_the_base_path_is_served_beside_the_bare_one_and_no_other(start: Start) -> None:
    server = start(base_path="/llm/")
    assert server.url.endswith("/llm")
    assert server.env["ANTHROPIC_BASE_URL"] == server.url
    for path in ("/llm/v1/messages", "/v1/messages", "/llm/v1/messages?beta=true"):
        assert ask(server, "POST", path, BODY).status == 200
    for path in ("/other/v1/messages", "/llm/other/v1/messages", "/llmx/v1/messages"):
        refused = ask(server, "POST", path, BODY)
        assert refused.status == 404
        assert "/llm/v1" in refused.error


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("base", "path"),
    [("", "/s/one/v1/messages"), ("", "/s/one/pre/v1/messages"), ("/llm", "/llm/s/one/v1/messages"),
     ("/llm", "/s/one/llm/v1/messages"), ("/llm", "/s/one/v1/messages")],
)  # fmt: skip
def test_a_path_names_its_session_whatever_else_stands_in_it(start: Start, base: str, path: str) -> None:
    server = start(base_path=base, unmatched="generate")
    assert ask(server, "POST", path, BODY).status == 200
    assert json.loads(ask(server, "GET", "/_mock/journal/counts?session=one").body)["total"] == 1
    assert server.journal.total == 0


@pytest.mark.parametrize("path", ["llm", "/l m", "/llm/v1", "/_mock", "/s/x", "/a//b", "/llm?x"])
def test_a_base_path_that_cannot_be_is_refused_at_the_start(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        MockServer(base_path=path)


def test_the_control_api_and_the_page_are_below_the_base_path_too(start: Start) -> None:
    server = start(base_path="/llm")
    client = MockClient(server.url)
    with client.session("mine") as session:
        assert ask(server, "POST", "/llm/v1/messages", BODY, x_api_key="mine").status != 404
        assert len(session.journal) == 1
        assert session.url == server.url
    page = ask(server, "GET", "/llm/")
    assert b'name="base-path" content="/llm"' in page.body
    assert b'name="base-path" content=""' in ask(start(), "GET", "/").body


# -- HEAD and OPTIONS -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/v1/models", "/v1/models/claude-opus-4-8", "/v1/models/claude-none", "/s/one", "/api/hello"]
)
def test_head_is_get_without_a_body(start: Start, path: str) -> None:
    server = start(seed=1)
    head, get = ask(server, "HEAD", path), ask(server, "GET", path)
    assert (head.status, head.body) == (get.status, b"")
    own = ("date", "request-id", "x-request-id")
    assert [item for item in head.headers.items() if item[0] not in own] == [
        item for item in get.headers.items() if item[0] not in own
    ]


def test_a_client_may_look_whether_anybody_is_there_without_a_key(start: Start) -> None:
    for server, base in ((start(), ""), (start(base_path="/llm"), "/llm")):
        for path in (base or "/", f"{base}/api/hello", f"/s/one{base}/api/hello"):
            assert ask(server, "HEAD", path, x_api_key="").status == 200
        assert ask(server, "POST", "/api/hello").status == 404
        assert server.journal.total == 1


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/messages", "POST, OPTIONS"),
        ("/pre/v1/messages/count_tokens", "POST, OPTIONS"),
        ("/v1/models/x", "GET, HEAD, OPTIONS"),
        ("/nowhere", "GET, HEAD, POST, DELETE, OPTIONS"),
        ("*", "GET, HEAD, POST, DELETE, OPTIONS"),
    ],
)
def test_options_says_which_methods_there_are(start: Start, path: str, allow: str) -> None:
    server = start()
    reply = ask(server, "OPTIONS", path)
    assert (reply.status, reply.headers["allow"], reply.body) == (204, allow, b"")
    assert server.journal.total == 0


def test_a_browser_asks_before_it_lists_models(start: Start) -> None:
    asked = "x-api-key,anthropic-dangerous-direct-browser-access"
    reply = ask(start(), "OPTIONS", "/v1/models", origin="http://app.example", access_control_request_headers=asked)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (204, "*")


# -- queries --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("way")
def test_a_query_reaches_the_endpoint_and_the_journal(start: Start) -> None:
    server = start()
    listed = json.loads(ask(server, "GET", "/pre/v1/models?limit=1&lifecycle[]=active").body)
    assert len(listed["data"]) == 1
    entry = server.journal.last
    assert (entry.path, entry.query) == ("/v1/models", "limit=1&lifecycle[]=active")
    told = json.loads(ask(server, "GET", f"/_mock/journal/{entry.number}").body)
    assert told["request"]["query"] == entry.query
    assert told["curl"].startswith("curl -N")
    assert "-X GET" in told["curl"]
    assert "--data-raw" not in told["curl"]
    assert "/v1/models?limit=1&lifecycle[]=active'" in told["curl"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/..%2f..%2f_mock%2fhealth", 404),
        ("GET", "/v1/models/../../_mock/health", 404),
        ("GET", "/v1/../_mock/health", 404),
        ("GET", "/v1/models/%00", 404),
        ("GET", "/v1/models/%", 404),
        ("GET", "/%5fmock/health", 404),
        ("GET", "/v1/models/" + "x" * 50_000, 404),
        ("GET", "/v1/models/", 404),
        ("GET", "/v1/models?limit=%zz", 400),
        ("GET", "/v1/models?" + "&".join(f"a{n}=1" for n in range(2_000)), 400),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/complete", 405),
    ],
)
def test_path_tricks_get_the_apis_envelope(start: Start, method: str, path: str, status: int) -> None:
    reply = ask(start(), method, path)
    assert reply.status == status
    assert json.loads(reply.body)["type"] == "error"
    assert len(reply.body) < 1_000


# -- the journal of another process ---------------------------------------------------------------------------------------


def test_a_client_reads_every_endpoint_in_the_journal_as_the_server_does(start: Start) -> None:
    server = start(unmatched="generate")
    with MockClient(server.url).session("far") as session:
        session.add("Hello.", when={"prompt": "Hi"})
        ask(
            server,
            "POST",
            "/v1/messages/count_tokens",
            {k: v for k, v in BODY.items() if k != "max_tokens"},
            x_api_key="far",
        )
        ask(server, "GET", "/v1/models?limit=1", x_api_key="far")
        prompt = "\n\nHuman: Hi\n\nAssistant:"
        ask(
            server,
            "POST",
            "/v1/complete",
            {"model": BODY["model"], "max_tokens_to_sample": 9, "prompt": prompt},
            x_api_key="far",
        )
        count, listed, completed = session.journal.entries()

        assert (count.note, count.unmatched, count.request.prompt) == ("count_tokens", False, "Hi")
        assert (listed.note, listed.query, len(listed.reply["data"])) == ("models", "limit=1", 1)
        assert (completed.request.prompt, completed.text, completed.scenario) == ("Hi", "Hello.", "added-1")
        session.assert_no_unmatched()
        session.assert_called(1, when={"prompt": "Hi"})
        session.assert_called(3)

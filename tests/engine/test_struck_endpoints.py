"""Errors and faults of other endpoints than messages, from files: which requests they strike, and what is left undone."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from mock_server.engine.endpoints import ENDPOINTS, MESSAGES, NAMES
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol.profile import OPERATIONS
from mock_server.protocol.request import HttpRequest, InMemory, MultipartForm, Upload
from mock_server.protocol.sse import dumps, encode
from mock_server.scenario.load import loads
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.subjects import MESSAGE_ENDPOINTS

MakeEngine = Callable[..., Engine]
Ask = Callable[..., Entry]

SAID: dict[str, Any] = {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "Hello"}]}
LINE = {"custom_id": "a", "params": {**SAID, "max_tokens": 9}}
FORM = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhi\r\n--x--\r\n'
# what asks for each, with an id where the path has one
REQUESTS: dict[str, tuple[str, str, Any]] = {
    "messages": ("POST", "/v1/messages", {**SAID, "max_tokens": 9}),
    "count_tokens": ("POST", "/v1/messages/count_tokens", SAID),
    "complete": (
        "POST",
        "/v1/complete",
        {"model": "claude-opus-4-8", "prompt": "\n\nHuman: Hi\n\nAssistant:", "max_tokens_to_sample": 9},
    ),
    "models.list": ("GET", "/v1/models", None),
    "models.get": ("GET", "/v1/models/claude-opus-4-8", None),
    "batches.create": ("POST", "/v1/messages/batches", {"requests": [LINE]}),
    "batches.list": ("GET", "/v1/messages/batches", None),
    "batches.get": ("GET", "/v1/messages/batches/BATCH", None),
    "batches.cancel": ("POST", "/v1/messages/batches/BATCH/cancel", {}),
    "batches.results": ("GET", "/v1/messages/batches/BATCH/results", None),
    "batches.delete": ("DELETE", "/v1/messages/batches/BATCH", None),
    "files.list": ("GET", "/v1/files", None),
    "files.get": ("GET", "/v1/files/FILE", None),
    "files.content": ("GET", "/v1/files/FILE/content", None),
    "files.delete": ("DELETE", "/v1/files/FILE", None),
}


def request(name: str, headers: dict[str, str] | None = None, **ids: str) -> HttpRequest:
    method, path, body = REQUESTS[name]
    path = path.replace("BATCH", ids.get("batch", "msgbatch_1")).replace("FILE", ids.get("file", "file_1"))
    sent = {"x-api-key": "k", "anthropic-version": "2023-06-01", **(headers or {})}
    return HttpRequest(method, path, sent, b"" if body is None else encode(dumps(body)))


def struck(engine: Engine, names: list[str] | None = None) -> set[str]:
    """Which endpoints answer with the error 529."""
    return {name for name in names or REQUESTS if engine.handle(request(name)).status == 529}


def test_every_endpoint_has_the_name_that_scenarios_have_for_it() -> None:
    assert {path: set(methods) for path, methods in OPERATIONS.items()} == {
        path: set(methods) for path, methods in ENDPOINTS.items()
    }
    assert {NAMES[one] for one in MESSAGES} == MESSAGE_ENDPOINTS
    assert set(REQUESTS) == {*NAMES.values()} - {"files.upload"}


HELLO = "name: hello\nreply: Hello.\n"


@pytest.mark.parametrize("name", REQUESTS)
def test_an_error_for_one_endpoint_is_given_by_no_other(name: str, engine: MakeEngine) -> None:
    assert struck(engine(f"name: sick\nwhen: {{endpoint: {name}}}\nerror: 529\n---\n{HELLO}")) == {name}


# those whose thing need not be made before
AT_ONCE = [
    "messages",
    "count_tokens",
    "complete",
    "models.list",
    "models.get",
    "batches.create",
    "batches.list",
    "files.list",
]


@pytest.mark.parametrize("name", REQUESTS)
def test_a_fault_for_one_endpoint_strikes_no_other(name: str, engine: MakeEngine) -> None:
    served = engine(f"name: sick\nwhen: {{endpoint: {name}}}\nfault: {{type: error}}\n---\n{HELLO}")
    assert struck(served, AT_ONCE) == {name} & set(AT_ONCE)


@pytest.mark.parametrize("name", ["batches.get", "batches.results", "batches.cancel", "batches.delete"])
def test_a_fault_strikes_what_becomes_of_a_batch(name: str, engine: MakeEngine) -> None:
    served = engine(
        f"name: sick\nwhen: {{endpoint: {name}}}\nfault: {{type: error}}\n---\n{HELLO}",
        batch_seconds=60.0 * (name == "batches.cancel"),
    )
    batch = served.handle(request("batches.create")).reply["id"]
    assert served.handle(request("batches.list")).status == 200
    assert served.handle(request(name, batch=batch)).status == 529


@pytest.mark.parametrize(
    ("family", "all_of_it"),
    [
        ("models", {"models.list", "models.get"}),
        ("files", {"files.list", "files.get", "files.content", "files.delete"}),
        ("[batches.get, count_tokens]", {"batches.get", "count_tokens"}),
        ("[messages, count_tokens]", {"messages", "count_tokens"}),
    ],
)
def test_a_family_is_all_of_its_endpoints_and_a_list_is_any(
    family: str, all_of_it: set[str], engine: MakeEngine
) -> None:
    assert struck(engine(f"name: sick\nwhen: {{endpoint: {family}}}\nerror: 529\n---\n{HELLO}")) == all_of_it


@pytest.mark.parametrize("how", ["error: 529", "fault: {type: error, error: 529}"], ids=["a scenario", "an overlay"])
def test_what_names_no_endpoint_is_for_messages_as_ever(how: str, engine: MakeEngine) -> None:
    assert struck(engine(f"name: sick\n{how}\n---\n{HELLO}")) == {"messages", "complete"}


def test_a_named_scenario_of_another_endpoint_does_not_answer_messages(engine: MakeEngine, ask: Ask) -> None:
    served = engine("name: sick\nwhen: {endpoint: count_tokens}\nerror: 529")
    entry = ask(served, headers={"x-mock-scenario": "sick"})
    assert (entry.status, "sick: it is for count_tokens, this goes to messages" in entry.note) == (400, True)


def test_a_name_in_the_header_is_not_for_other_endpoints(engine: MakeEngine) -> None:
    served = engine(HELLO)
    assert served.handle(request("count_tokens", {"x-mock-scenario": "hello"})).status == 200


COUNTING = """
name: counting
when: {endpoint: count_tokens, prompt: hello, header: {x-team: search}}
error: {type: api_error, status: 503, message: No tokens today., retry_after: 2s}
headers: {x-more: "1"}
"""


def test_an_error_has_everything_that_an_error_of_messages_has(engine: MakeEngine) -> None:
    served = engine(COUNTING)
    entry = served.handle(request("count_tokens", {"x-team": "search"}))
    told = {name: entry.headers[name] for name in ("retry-after", "x-more", "x-mock-scenario", "x-mock-turn")}
    assert (entry.status, entry.text) == (503, "No tokens today.")
    assert told == {"retry-after": "2", "x-more": "1", "x-mock-scenario": "counting", "x-mock-turn": "1"}
    assert (entry.scenario, entry.turn, entry.attempt, entry.unmatched) == ("counting", 1, 1, False)
    assert served.sessions.default.journal.played("counting") == 1
    assert served.handle(request("count_tokens")).status == 200  # without the header


def test_a_request_that_breaks_a_rule_is_refused_before_any_scenario(engine: MakeEngine) -> None:
    served = engine("name: sick\nwhen: {endpoint: [count_tokens, batches.create]}\nerror: 529")
    for path in ("/v1/messages/count_tokens", "/v1/messages/batches"):
        assert served.handle(HttpRequest("POST", path, {"x-api-key": "k"}, b"{}")).status == 400


def test_an_error_leaves_undone_what_was_asked_for(engine: MakeEngine) -> None:
    served = engine("name: sick\nwhen: {endpoint: [batches.create, batches.delete, files]}\ntimes: 1\nerror: 529")
    session = served.sessions.default
    assert served.handle(request("batches.create")).status == 529
    assert len(session.batches) == 0
    assert served.handle(request("batches.create")).status == 200
    assert len(session.batches) == 1


def test_a_fault_strikes_the_reply_of_what_was_done(engine: MakeEngine) -> None:
    served = engine("name: lost\nwhen: {endpoint: batches.create}\nfault: disconnect")
    entry = served.handle(request("batches.create"))
    assert entry.faults == ("disconnect",)
    assert entry.plan.manner is not None
    assert entry.plan.manner.ending == "close"
    assert len(served.sessions.default.batches) == 1


def test_times_and_attempts_count_the_requests(engine: MakeEngine) -> None:
    served = engine(
        "name: sick\nwhen: {endpoint: models.list}\nattempts: [{error: 529}, {error: 503, fault: html_error}]"
    )
    told = [served.handle(request("models.list")) for _ in range(3)]
    assert [(one.status, one.attempt) for one in told] == [(529, 1), (502, 2), (529, 1)]
    served = engine("name: sick\nwhen: {endpoint: models.list}\ntimes: 2\nerror: 529")
    assert [served.handle(request("models.list")).status for _ in range(3)] == [529, 529, 200]


def test_a_chance_is_drawn_from_the_request(engine: MakeEngine) -> None:
    text = "name: flaky\nwhen: {endpoint: models.get}\nchance: 50%\nfault: {type: error}"

    def story() -> list[int]:
        served = engine(text)
        return [served.handle(request("models.get")).status for _ in range(40)]

    assert story() == story()
    assert 8 < story().count(529) < 32


def test_a_state_takes_down_several_endpoints_at_once(engine: MakeEngine) -> None:
    served = engine(
        "states: {service: [up, down]}\n---\nname: outage\n"
        "when: {endpoint: [messages, count_tokens, models, batches, files], state: {service: down}}\nfault: {type: error}\n"
        f"---\n{HELLO}"
    )
    assert struck(served) == set()
    session = served.sessions.default
    session.move(served.library(session), {"service": "down"})
    assert {"messages", "count_tokens", "models.list", "models.get", "batches.create", "files.list"} <= struck(served)


def test_what_strikes_other_endpoints_costs_messages_nothing(engine: MakeEngine, ask: Ask) -> None:
    served = engine(
        f"name: sick\nwhen: {{endpoint: models}}\nfault: reset\n---\nname: b\nwhen: {{endpoint: files}}\nerror: 500\n---\n{HELLO}"
    )
    library = served.library(served.sessions.default)
    assert (library.message_overlays, [one.name for one in library.scenarios]) == ((), ["hello"])
    assert [one.name for one in library.overlays] == ["sick"]


def test_an_upload_is_not_kept_when_it_fails(engine: MakeEngine) -> None:
    served = engine("name: sick\nwhen: {endpoint: files.upload}\nerror: 413")
    headers = {"x-api-key": "k", "content-type": "multipart/form-data; boundary=x"}
    assert served.handle(HttpRequest("POST", "/v1/files", headers, FORM)).status == 413
    assert len(served.sessions.default.files) == 0


def test_a_switched_off_overlay_strikes_no_endpoint(engine: MakeEngine) -> None:
    served = engine("name: sick\nwhen: {endpoint: models}\nfault: {type: error}")
    served.switch("sick", on=False)
    assert served.handle(request("models.list")).status == 200
    assert loads("name: sick\nwhen: {endpoint: models}\nfault: {type: error}")[0].strikes


# what a fault does to a count of tokens: the status and how the body begins, the fault, and why it was not applied
COUNTED = [
    ("{type: edit, event: message_start, drop: true}", 200, b'{"input_tokens":', "edit: a JSON reply has no events"),
    ("{type: edit, message: {set: {id: x}}}", 200, b'{"input_tokens":', "edit: message: the reply is no message"),
    ("{type: insert, at: message_stop, raw: \": x\\n\\n\"}", 200, b'{"input_tokens":', "insert: a JSON reply has no events"),
    ("{type: stall, after: 1}", 200, b'{"input_tokens":', "stall after 1 delta: a reply that is no message has no events"),
    ("no_usage", 200, b'{"input_tokens":', "no_usage: a reply that is no message has none"),
    ("empty_body", 200, b"", None),
    ("{type: html_error, status: 200}", 200, b"<html>", None),
    ("html_error", 502, b"<html>", None),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "status", "begins", "reason"), COUNTED, ids=[one[0] for one in COUNTED])
def test_a_fault_on_a_count_of_tokens_strikes_or_is_told(
    fault: str, status: int, begins: bytes, reason: str | None, engine: MakeEngine
) -> None:
    laid = engine(f"name: sick\nwhen: {{endpoint: [messages, count_tokens]}}\nfault: {fault}\n---\n{HELLO}")
    asked = engine(HELLO), request("count_tokens", {"x-mock-fault": dumps(yaml.safe_load(f"[{fault}]"))})
    for entry in (laid.handle(request("count_tokens")), asked[0].handle(asked[1])):
        body = entry.plan.body()
        assert (entry.status, body[: len(begins)] if begins else body) == (status, begins)
        assert entry.headers.get("x-mock-warning") == (reason and f"fault not applied: {reason}")
        assert entry.note == (f"count_tokens; fault not applied: {reason}" if reason else "count_tokens")
        assert bool(entry.faults) == (reason is None)


@pytest.mark.parametrize(("fault", "reason"), [(one[0], one[3]) for one in COUNTED if one[3]])
def test_what_cannot_strike_a_count_of_tokens_is_a_mistake_where_it_is_for_nothing_else(
    fault: str, reason: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(f"name: sick\nwhen: {{endpoint: count_tokens}}\nfault: {fault}")
    assert f"{reason} (count_tokens)" in str(caught.value)


@pytest.mark.parametrize("name", ["models.list", "files.content"])
def test_a_message_is_changed_in_no_reply_that_is_none(name: str, engine: MakeEngine) -> None:
    served = engine(HELLO, downloads="all")
    upload = MultipartForm({}, Upload("a.txt", "text/plain", InMemory(b"hi")))
    sent = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    file = served.handle(HttpRequest("POST", "/v1/files", sent, b"", form=upload)).reply["id"]
    entry = served.handle(request(name, {"x-mock-fault": '{"type": "edit", "message": {"set": {"id": 1}}}'}, file=file))
    assert (entry.status, entry.headers["x-mock-warning"]) == (
        200,
        "fault not applied: edit: message: the reply is no message",
    )

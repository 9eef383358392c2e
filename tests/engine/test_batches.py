"""Message batches over an engine and a clock by hand: the endpoints, the results, what scenarios can say of them."""

import json
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from manualclock import ManualClock

from mock_server.engine import batches
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.exchange import in_place
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import build, loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

PATH = "/v1/messages/batches"
HELLO = "name: hello\nwhen: {prompt: hello}\nreply: Hello there!"


class Api:
    """A client of one engine, without a socket."""

    def __init__(self, scenarios: str = HELLO, **settings: Any) -> None:
        self.clock = ManualClock()
        chosen = Settings(**{"time_scale": 0.0, "unmatched": "error", "profile": "anthropic", **settings})
        self.engine = Engine(chosen, load_profile(chosen.profile), self.clock)
        self.engine.load(loads(scenarios))
        self.headers = {"x-api-key": "test", "anthropic-version": "2023-06-01", "host": "mock.test:99"}

    @property
    def session(self) -> Any:
        return self.engine.sessions.default

    def send(self, method: str, path: str, body: Any = None, query: str = "", **headers: str) -> Entry:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        entry = self.engine.handle(HttpRequest(method, path, given, data, query=query))
        if entry.exchange.late is not None:
            entry.settled(in_place(entry.exchange.late))
        entry.end("completed", 1)
        return entry

    def create(self, *requests: Mapping[str, Any], **headers: str) -> str:
        made = self.send("POST", PATH, {"requests": list(requests)}, **headers)
        assert made.status == 200, made.reply
        return str(made.reply["id"])

    def get(self, id: str) -> Mapping[str, Any]:
        return self.send("GET", f"{PATH}/{id}").reply

    def results(self, id: str) -> dict[str, Any]:
        plan = self.send("GET", f"{PATH}/{id}/results").exchange.plan
        assert plan.status == 200, plan.body()
        lines = [json.loads(line) for line in plan.body().splitlines()]
        return {line["custom_id"]: line["result"] for line in lines}


async def nobody_is_called(function: Any, *arguments: Any, patience: float | None = None) -> Any:
    raise AssertionError(f"{function} is called")


def item(custom_id: str = "one", prompt: str = "hello", **params: Any) -> dict[str, Any]:
    message = {"role": "user", "content": prompt}
    return {
        "custom_id": custom_id,
        "params": {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [message], **params},
    }


def said(entry: Entry) -> tuple[int, str, str]:
    return entry.status, entry.reply["error"]["type"], entry.reply["error"]["message"]


# -- the lifecycle -------------------------------------------------------------------------------------------------


def test_a_batch_goes_from_in_progress_to_ended_with_its_results() -> None:
    api = Api()
    id = api.create(item("a"), item("b"))
    assert api.get(id)["processing_status"] == "in_progress"
    assert api.get(id)["request_counts"] == {
        "processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0
    }  # fmt: skip

    api.clock.advance(5)

    ended = api.get(id)
    assert ended["processing_status"] == "ended"
    assert (ended["request_counts"]["processing"], ended["request_counts"]["succeeded"]) == (0, 2)
    assert ended["results_url"] == f"http://mock.test:99/v1/messages/batches/{id}/results"
    message = api.results(id)["a"]["message"]
    assert message["content"] == [{"type": "text", "text": "Hello there!"}]
    assert message["usage"]["service_tier"] == "batch"


def test_without_seconds_a_poll_finds_it_ended() -> None:
    api = Api(batch_seconds=0)
    made = api.send("POST", PATH, {"requests": [item()]}).reply

    assert made["processing_status"] == "in_progress"
    assert api.get(made["id"])["processing_status"] == "ended"


def test_results_stay_the_same_however_often_they_are_read() -> None:
    api = Api(batch_seconds=0)
    id = api.create(item("a"), item("b"))

    assert api.results(id) == api.results(id)
    assert [*api.results(id)] == ["a", "b"]
    assert api.session.journal.played("hello") == 2


def test_results_can_be_read_without_a_poll_before() -> None:
    api = Api(batch_seconds=0)

    assert api.results(api.create(item()))["one"]["type"] == "succeeded"


def test_a_batch_canceled_in_the_middle_keeps_the_first_half() -> None:
    api = Api(batch_seconds=100)
    id = api.create(*[item(f"item-{at}") for at in range(4)])
    api.clock.advance(50)

    canceled = api.send("POST", f"{PATH}/{id}/cancel").reply
    assert (canceled["processing_status"], canceled["cancel_initiated_at"] is None) == ("canceling", False)
    assert canceled["request_counts"]["processing"] == 4
    api.clock.advance(10)

    assert api.get(id)["processing_status"] == "ended"
    kinds = [result["type"] for result in api.results(id).values()]
    assert kinds == ["succeeded", "succeeded", "canceled", "canceled"]
    assert api.session.journal.played("hello") == 2


def test_what_takes_more_than_a_day_expires() -> None:
    api = Api(batch_seconds=172_800)
    id = api.create(item("a"), item("b"))
    api.clock.advance(86_400)

    assert {name: result["type"] for name, result in api.results(id).items()} == {"a": "succeeded", "b": "expired"}


def test_results_are_gone_after_29_days_and_the_batch_says_so() -> None:
    api = Api()
    id = api.create(item())
    api.clock.advance(29 * 86_400)

    told = api.get(id)
    assert (told["results_url"], told["archived_at"] is None) == (None, False)
    assert said(api.send("GET", f"{PATH}/{id}/results"))[:2] == (404, "not_found_error")


def test_a_reset_forgets_the_batches_of_a_session() -> None:
    api = Api()
    id = api.create(item())

    api.engine.reset(api.session)

    assert api.send("GET", f"{PATH}/{id}").status == 404


def test_sessions_do_not_see_the_batches_of_one_another() -> None:
    api = Api()
    id = api.create(item(), x_mock_session="mine")

    assert api.send("GET", f"{PATH}/{id}").status == 404
    assert api.send("GET", f"{PATH}/{id}", x_mock_session="mine").status == 200


def test_with_a_seed_everything_repeats() -> None:
    def told() -> list[Any]:
        api = Api(seed=5, batch_seconds=0)
        ids = [api.create(item()), api.create(item())]
        return [ids, api.get(ids[0]), api.results(ids[0]), api.results(ids[1])]

    first = told()
    assert first == told()
    assert first[0][0] != first[0][1]


# -- where results are -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "prefix", "url"),
    [
        ({}, "", "http://mock.test:99"),
        ({"host": "[::1]:8787"}, "", "http://[::1]:8787"),
        ({"host": "llm.internal", "x-forwarded-proto": "https"}, "/llm", "https://llm.internal/llm"),
        ({}, "/s/mine", "http://mock.test:99/s/mine"),
    ],
)
def test_results_are_where_the_client_finds_this_server(headers: dict[str, str], prefix: str, url: str) -> None:
    api = Api(batch_seconds=0)
    api.headers |= headers
    id = api.create(item())
    get = HttpRequest("GET", f"{PATH}/{id}", api.headers, prefix=prefix)

    assert api.engine.handle(get).reply["results_url"] == f"{url}/v1/messages/batches/{id}/results"


# -- what a request of a batch comes to ------------------------------------------------------------------------------


def test_a_scenario_decides_what_becomes_of_each_request() -> None:
    api = Api(
        """
name: broken
when: {prompt: broken}
error: overloaded_error
---
name: late
when: {prompt: late}
reply: Only outside of a batch.
batch: expired
---
name: dropped
when: {header: {x-mock-custom-id: dropped-*}}
error: timeout_error
batch: canceled
""",
        batch_seconds=0,
    )
    id = api.create(item("a", "broken"), item("b", "too late"), item("dropped-7", "anything"), item("c", "unknown"))

    results = api.results(id)

    assert results["a"]["error"]["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert (results["b"], results["dropped-7"]) == ({"type": "expired"}, {"type": "canceled"})
    assert results["c"]["error"]["error"]["message"].startswith("No scenario matches")
    assert api.get(id)["request_counts"] == {
        "processing": 0, "succeeded": 0, "errored": 2, "canceled": 1, "expired": 1
    }  # fmt: skip


def test_outside_of_a_batch_the_reply_beside_it_is_sent() -> None:
    api = Api("name: late\nreply: Only here.\nbatch: expired")

    assert api.send("POST", "/v1/messages", item()["params"]).text == "Only here."


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"stream": True}, "stream"),
        ({"speed": "standard"}, "speed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"model": "claude-nobody"}, "claude-nobody"),
        ({"messages": []}, "messages"),
    ],
)
def test_a_bad_request_is_an_errored_line_and_no_error_of_the_batch(params: dict[str, Any], said: str) -> None:
    api = Api(batch_seconds=0)

    results = api.results(api.create(item("bad", **params), item("good")))

    assert results["bad"]["type"] == "errored"
    assert said in results["bad"]["error"]["error"]["message"]
    assert results["good"]["type"] == "succeeded"


def test_thinking_that_comes_back_damaged_is_an_errored_line() -> None:
    api = Api("name: thinks\nreply: [{type: thinking, thinking: Hm.}, Hello.]", batch_seconds=0)
    first = api.send("POST", "/v1/messages", item()["params"]).reply["content"]
    cut = [{**first[0], "signature": first[0]["signature"][:-4]}, first[1]]

    def after(content: Any) -> list[dict[str, Any]]:
        return [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": content},
            {"role": "user", "content": "And?"},
        ]

    results = api.results(
        api.create(item("cut", messages=after(cut)), item("twice", messages=after([first[0], *first])))
    )

    assert (
        results["cut"]["error"]["error"]["message"] == "messages.1.content.0: Invalid `signature` in `thinking` block"
    )
    assert "in the latest assistant message cannot be modified" in results["twice"]["error"]["error"]["message"]


def test_requests_take_the_same_turns_and_attempts_as_others() -> None:
    api = Api("name: twice\nturns:\n  - attempts: [{error: 529}, {reply: At last.}]", batch_seconds=0)

    results = api.results(api.create(item("a"), item("b")))

    assert (results["a"]["type"], results["b"]["type"]) == ("errored", "succeeded")


def test_rate_limits_are_those_of_ordinary_requests_alone() -> None:
    api = Api(batch_seconds=0, rate_limits="requests=1")

    results = api.results(api.create(item("a"), item("b"), item("c")))

    assert {result["type"] for result in results.values()} == {"succeeded"}


def test_functions_answer_requests_of_batches_and_their_faults_are_errored_lines() -> None:
    def answer(request: Any) -> str:
        if request.prompt == "hello":
            return "By a function."
        raise ValueError("no idea")

    api = Api(batch_seconds=0)
    api.engine.add(api.session, build({"name": "function", "turns": [{"call": answer}], "at_end": "repeat"}))
    results = api.results(api.create(item("a"), item("b", "other"), item("c")))

    assert results["a"]["message"]["content"][0]["text"] == "By a function."
    assert "no idea" in results["b"]["error"]["error"]["message"]
    assert results["c"]["type"] == "succeeded"
    assert [str(fault) for fault in api.session.journal.faults] == ["no idea"]


# -- lists -----------------------------------------------------------------------------------------------------------


def test_batches_are_listed_newest_first_in_pages() -> None:
    api = Api()
    ids = [api.create(item()) for _ in range(5)]

    first = api.send("GET", PATH, query="limit=2").reply
    second = api.send("GET", PATH, query=f"limit=2&after_id={first['last_id']}").reply
    before = api.send("GET", PATH, query=f"limit=2&before_id={second['first_id']}").reply

    assert [batch["id"] for batch in first["data"]] == [ids[4], ids[3]]
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, ids[4], ids[3])
    assert [batch["id"] for batch in second["data"]] == [ids[2], ids[1]]
    assert before["data"] == first["data"]


def test_a_list_tells_what_has_ended_with_its_counts() -> None:
    api = Api(batch_seconds=0)
    api.create(item())

    assert api.send("GET", PATH).reply["data"][0]["request_counts"]["succeeded"] == 1


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not valid JSON"),
        ([], "valid dictionary"),
        ({}, "requests: Field required"),
        ({"requests": {}}, "requests: Input should be a valid array"),
        ({"requests": []}, "at least 1 item"),
        ({"requests": ["x"]}, "requests.0: Input does not match the expected shape."),
        ({"requests": [{"params": {}}]}, "requests.0.custom_id: Field required"),
        ({"requests": [{"custom_id": "a"}]}, "requests.0.params: Field required"),
        ({"requests": [item("a"), item("has space")]}, "requests.1.custom_id: String should match pattern"),
        ({"requests": [item("a\n")]}, "requests.0.custom_id: String should match pattern"),
        ({"requests": [item("a" * 65)]}, "requests.0.custom_id: String should have at most 64 characters"),
        ({"requests": [item("")]}, "requests.0.custom_id: String should match pattern"),
        (
            {"requests": [item("a"), item("b"), item("a")]},
            "requests: custom_id's must be unique within a batch. Duplicate custom_id found: a",
        ),
        ({"requests": [{**item(), "extra": 1}]}, "requests.0.extra: Extra inputs are not permitted"),
        ({"requests": [item()], "extra": 1}, "extra: Extra inputs are not permitted"),
    ],
)
def test_a_batch_that_is_none_is_refused(body: Any, said: str) -> None:
    refused = Api().send("POST", PATH, body)

    assert refused.status == 400
    assert said in refused.reply["error"]["message"]


def test_more_than_100000_requests_are_refused() -> None:
    one = b'{"custom_id":"a","params":{}}'
    refused = Api().send("POST", PATH, b'{"requests":[' + b",".join([one] * 100_001) + b"]}")

    assert said(refused)[:2] == (400, "invalid_request_error")
    assert "100000" in said(refused)[2]


@pytest.mark.parametrize("path", ["", "/cancel", "/results"])
def test_an_unknown_batch_is_not_found(path: str) -> None:
    refused = Api().send("POST" if path == "/cancel" else "GET", f"{PATH}/msgbatch_nobody{path}")

    assert said(refused) == (404, "not_found_error", "Message Batch msgbatch_nobody not found.")


def test_what_cannot_be_done_yet_or_any_more_is_refused() -> None:
    api = Api()
    id = api.create(item())

    none = f"Message Batch {id} has no available results."
    running = "In progress batches cannot be deleted. Consider canceling the batch instead."
    assert said(api.send("GET", f"{PATH}/{id}/results")) == (404, "not_found_error", none)
    assert said(api.send("DELETE", f"{PATH}/{id}")) == (400, "invalid_request_error", running)
    assert api.send("POST", f"{PATH}/{id}/cancel").status == 200
    assert api.send("POST", f"{PATH}/{id}/cancel").status == 200
    api.clock.advance(5)
    assert said(api.send("POST", f"{PATH}/{id}/cancel"))[:2] == (400, "invalid_request_error")
    assert api.send("DELETE", f"{PATH}/{id}").reply == {"id": id, "type": "message_batch_deleted"}
    assert api.send("GET", f"{PATH}/{id}").status == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "page=1", "after_id=msgbatch_nobody"])
def test_a_list_knows_its_parameters(query: str) -> None:
    assert Api().send("GET", PATH, query=query).status == 400


def test_whoever_looks_next_goes_on_where_a_client_left() -> None:
    api = Api(batch_seconds=0)
    id = api.create(*[item(f"item-{at}") for at in range(120)])
    left = api.engine.handle(HttpRequest("GET", f"{PATH}/{id}", api.headers)).exchange.late
    assert left is not None
    under_way = left.reply(nobody_is_called)
    under_way.send(None)
    assert api.send("GET", f"{PATH}/{id}/results").status == 404
    under_way.close()

    assert len(api.results(id)) == 120
    assert api.session.journal.played("hello") == 120


def test_canceling_while_it_is_being_answered_cancels_the_rest() -> None:
    api = Api(batch_seconds=0)
    id = api.create(*[item(f"item-{at}") for at in range(120)])
    under_way = api.engine.handle(HttpRequest("GET", f"{PATH}/{id}", api.headers))
    assert under_way.exchange.late is not None

    assert api.send("POST", f"{PATH}/{id}/cancel").reply["processing_status"] == "canceling"
    in_place(under_way.exchange.late)

    counts = api.get(id)["request_counts"]
    assert (counts["succeeded"], counts["canceled"]) == (50, 70)


# -- the journal -----------------------------------------------------------------------------------------------------


def test_requests_of_a_batch_are_in_the_journal_like_any_other() -> None:
    api = Api(batch_seconds=0)
    id = api.create(item("a"), item("b"))
    api.get(id)

    entries = [entry for entry in api.session.journal if entry.scenario == "hello"]
    assert [entry.request.headers["x-mock-custom-id"] for entry in entries] == ["a", "b"]
    assert {entry.request.headers["x-mock-batch"] for entry in entries} == {id}
    assert [entry.request.prompt for entry in api.session.journal.find({"prompt": "hello"})] == ["hello", "hello"]
    assert entries[0].text == "Hello there!"


def test_of_a_large_batch_the_first_hundred_are_kept_and_all_are_counted() -> None:
    api = Api(batch_seconds=0)
    api.get(api.create(*[item(f"item-{at}") for at in range(300)]))

    journal = api.session.journal
    assert journal.played("hello") == 300
    assert sum(entry.scenario == "hello" for entry in journal) == 100
    assert journal.dropped == 200


def test_the_journal_keeps_of_large_results_only_what_they_were() -> None:
    api = Api(f"name: long\nreply: {'word ' * 4_000}", batch_seconds=0)
    id = api.create(*[item(f"item-{at}", max_tokens=9_000) for at in range(60)])
    entry = api.send("GET", f"{PATH}/{id}/results")

    assert entry.reply["type"] == "data"
    assert entry.exchange.plan.body() == b""


# -- ten thousand ----------------------------------------------------------------------------------------------------


def test_ten_thousand_requests_take_bounded_memory_and_let_others_have_their_turn() -> None:
    api = Api(batch_seconds=0)
    body = json.dumps({"requests": [item(f"item-{at}") for at in range(10_000)]}).encode()
    id = api.send("POST", PATH, body).reply["id"]
    waiting = api.engine.handle(HttpRequest("GET", f"{PATH}/{id}", api.headers))
    assert waiting.exchange.late is not None, "a step is a part of the whole"
    assert api.get(id)["processing_status"] == "in_progress"
    tracemalloc.start()
    try:
        waiting.settled(in_place(waiting.exchange.late))
        waiting.end("completed", 1)
        plan = api.send("GET", f"{PATH}/{id}/results").exchange.plan
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    sizes = [len(frame) for frame in api.session.batches.find(id).frames]
    size = sum(sizes)
    assert waiting.reply["request_counts"]["succeeded"] == 10_000
    assert plan.stream
    assert len(plan.parts[0].frames) == len(sizes)
    assert {one // (64 << 10) for one in sizes[:-1]} == {1}, "a frame ends with the line that fills it"
    assert 0 < sizes[-1] < 65 << 10
    assert peak < 2 * size + (8 << 20)


@pytest.mark.parametrize("frozen", [False, True])
def test_results_come_piece_by_piece_but_all_at_once_while_the_clock_stands_still(
    monkeypatch: pytest.MonkeyPatch, frozen: bool
) -> None:
    monkeypatch.setattr(batches, "FRAME", 1)  # each line is a piece of its own
    api = Api(batch_seconds=0)
    id = api.create(*[item(f"item-{at}") for at in range(40)])
    api.get(id)
    if frozen:
        api.session.clock.freeze()
    (part,) = api.send("GET", f"{PATH}/{id}/results").exchange.plan.parts
    assert (len(part.at), part.at[-1]) == (40, 0 if frozen else 2_000)


def test_what_is_redacted_is_not_kept_of_the_requests_of_a_batch_either() -> None:
    api = Api(redact=("$.metadata.user_id", "$.messages[*].content"))
    params = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    id = api.create({"custom_id": "a", "params": {**params, "metadata": {"user_id": "anna"}}})
    api.clock.advance(10)
    api.results(id)
    noted = [entry for entry in api.session.journal if entry.path == "/v1/messages"]
    assert [json.loads(entry.request.raw)["metadata"] for entry in noted] == [{"user_id": "[redacted]"}]


# -- faults ----------------------------------------------------------------------------------------------------------

LOST = ("errored", "Internal server error")
WHOLE = ("succeeded", "Hello there!")
NO_EVENTS = "a JSON reply has no events"
NO_HEAD = "a line of results has no head and no pace"
# a fault beside the reply; what its line says; the fault in the journal, or why it was not applied
STRUCK = [
    ("{type: edit, event: message_start, set: {message.usage.input_tokens: 0}}", WHOLE, f"not applied: edit: {NO_EVENTS}"),
    ("{type: edit, block: 0, drop: true}", WHOLE, f"not applied: edit: {NO_EVENTS}"),
    ("{type: insert, at: message_stop, raw: \"data: [DONE]\\n\\n\"}", WHOLE, f"not applied: insert: {NO_EVENTS}"),
    ("{type: insert, after: 1, event: mood, data: {}}", WHOLE, f"not applied: insert: {NO_EVENTS}"),
    ("{type: edit, message: {set: {content.0.text: Bye.}}}", ("succeeded", "Bye."), "edit message content.0.text"),
    ("{type: wire, crlf: true}", WHOLE, "not applied: wire: a JSON reply has no lines"),
    ("extra_fields", WHOLE, "extra_fields"),
    ("error", ("errored", "Overloaded"), "error overloaded_error"),
    ("empty_body", LOST, "empty_body"),
    ("{type: html_error, status: 200}", LOST, "html_error status 200"),
    ("html_error", LOST, "html_error status 502"),
    ("disconnect", LOST, "disconnect"),
    ("stall", LOST, "stall"),
    ("gzip", LOST, "gzip how truncated"),
    ("{type: gzip, how: header_only}", LOST, "gzip how header_only"),
    ("{type: gzip, how: body_only}", LOST, "gzip how body_only"),
    ("{type: gzip, how: valid}", WHOLE, f"not applied: gzip how valid: {NO_HEAD}"),
    ("{type: stall, for: 9s}", WHOLE, f"not applied: stall for 9s: {NO_HEAD}"),
    ("{type: slow_headers, for: 9s}", WHOLE, f"not applied: slow_headers for 9s: {NO_HEAD}"),
    ("wrong_content_type", WHOLE, f"not applied: wrong_content_type: {NO_HEAD}"),
    ("{type: gate, name: door}", WHOLE, f"not applied: gate door: {NO_HEAD}"),
]  # fmt: skip


def test_of_two_faults_of_a_line_the_one_that_shows_nowhere_is_not_applied() -> None:
    api = Api(f"{HELLO}\nfault: [{{type: slow_headers, for: 9s}}, error]", batch_seconds=0)
    result = api.results(api.create(item()))["one"]
    assert (result["type"], result["error"]["error"]["message"]) == ("errored", "Overloaded")
    (entry,) = api.session.journal.find({"prompt": "hello"})
    told = f"fault not applied: slow_headers for 9s: {NO_HEAD}"
    assert (entry.faults, entry.warnings, entry.note) == (("error overloaded_error",), (told,), told)


@pytest.mark.parametrize("how", ["beside the reply", "an overlay"])
@pytest.mark.parametrize(("fault", "line", "noted"), STRUCK, ids=[f"{fault} {line[0]}" for fault, line, _ in STRUCK])
def test_a_line_holds_what_a_fault_leaves_and_the_journal_says_where_it_leaves_everything(
    fault: str, line: tuple[str, str], noted: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    written = f"gate: {fault.replace('type: gate, ', '')}" if "gate" in fault else f"fault: {fault}"
    between = "---\nname: laid\n" if how == "an overlay" else ""
    api = Api(f"{HELLO}\n{between}{written}", batch_seconds=0)
    result = api.results(api.create(item()))["one"]
    said = result["error"]["error"]["message"] if "error" in result else result["message"]["content"][0]["text"]
    assert (result["type"], said) == line

    (entry,) = api.session.journal.find({"prompt": "hello"})
    if noted.startswith("not applied"):
        reason = noted.removeprefix("not applied: ")
        assert (entry.faults, entry.warnings, entry.note) == ((), (f"fault {noted}",), f"fault {noted}")
        assert f"a fault could not be applied: {reason}" in caplog.text
    else:
        assert (entry.faults, entry.warnings, entry.note) == ((noted,), (), "")

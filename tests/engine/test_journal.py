"""The journal without a socket: the ring, the bytes, the counts, what is kept of a request."""

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.exchange import Exchange, Late
from mock_server.engine.journal import COUNTS, MOST_WAITING, Incomplete, Tally
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.server.control.views import detail, summary
from mock_server.settings import SettingError, Settings, parse, rows

Make = Callable[..., Engine]
Ask = Callable[..., Entry]
HELLO = "name: hello\nreply: Hello!"


def test_the_ring_drops_the_oldest_and_the_counts_stay(engine: Make, ask: Ask) -> None:
    made = engine(HELLO, journal_entries=3)
    for n in range(10):
        ask(made, f"call {n}").end("completed", 1)
    journal = made.sessions.default.journal
    assert [entry.request.prompt for entry in journal] == ["call 7", "call 8", "call 9"]
    assert (journal.total, journal.dropped, journal.finished, journal.played("hello")) == (10, 7, 10, 10)
    with pytest.raises(Incomplete, match="dropped 7 of 10"):
        journal.find({"prompt": "call"})


def test_the_bytes_of_all_journals_are_bounded_together(engine: Make, ask: Ask) -> None:
    made = engine(HELLO, journal_bytes=50_000)
    for n in range(60):
        ask(made, "x" * 2000, {"x-mock-session": f"s{n % 3}"}).end("completed", 1)
    held = [len(session.journal) for session in made.sessions.all()]
    assert made.journals.bytes == weighed(made)
    assert made.journals.bytes <= 50_000
    assert 10 <= sum(held) <= 20
    assert sum(session.journal.total for session in made.sessions.all()) == 60


def test_ten_thousand_entries_stay_within_their_bounds(engine: Make, ask: Ask) -> None:
    made = engine(HELLO, journal_entries=500)
    for n in range(2_000):
        ask(made, f"{n}").end("completed", 1)
    assert len(made.sessions.default.journal) == 500
    assert made.journals.bytes == weighed(made)


def test_the_oldest_entry_of_all_sessions_goes_first_and_the_newest_stays(engine: Make, ask: Ask) -> None:
    made = engine(HELLO, journal_bytes=13_000)
    for n, session in enumerate("aabcab"):
        ask(made, "x" * 2000, {"x-mock-session": session}).end("completed", 1)
        made.journals.forget(made.sessions.named("c").journal) if n == 3 else None
    held = {name: [entry.number for entry in made.sessions.named(name).journal] for name in "abc"}
    assert held == {"a": [5], "b": [3, 6], "c": [4]}  # what is forgotten is not counted, nor let go
    ask(made, "x" * 50_000, {"x-mock-session": "a"}).end("completed", 1)
    assert [entry.number for entry in made.sessions.named("a").journal] == [7]
    assert len(made.sessions.named("b").journal) == 0


def test_keys_are_taken_out_of_the_headers_once_for_all_requests_that_share_them(engine: Make) -> None:
    made, headers = engine(HELLO), {"x-api-key": "sk-secret", "cookie": "c"}
    http = HttpRequest("POST", "/v1/messages", headers, b"{}")
    first, again = made.handle(http), made.handle(http._replace(body=b"[]"))
    other = made.handle(http._replace(headers={"x-api-key": "sk-other"}))
    assert first.request_headers is again.request_headers
    assert "sk-" not in f"{vars(first)} {vars(other)}"
    assert other.key != first.key == again.key
    first.request.headers.clear()  # type: ignore[attr-defined]
    assert again.request.headers["cookie"].startswith("key-")


def weighed(made: Engine) -> int:
    """What all entries that are held weigh."""
    return sum(entry.weight for session in made.sessions.all() for entry in session.journal)


def test_a_reset_forgets_entries_and_gives_their_bytes_back(engine: Make, ask: Ask) -> None:
    made = engine(HELLO)
    ask(made)
    made.reset(made.sessions.default)
    assert made.journals.bytes == 0
    assert made.sessions.default.journal.total == 0


def test_generated_replies_count_as_unmatched_and_refused_requests_do_not(engine: Make, ask: Ask) -> None:
    made = engine(unmatched="generate")
    ask(made)
    ask(made, max_tokens=0)
    journal = made.sessions.default.journal
    assert (journal.total, journal.unmatched) == (2, 1)


@pytest.mark.parametrize(
    ("what", "kept"),
    [
        ("$.metadata.user_id", {"metadata": {"user_id": "[redacted]"}}),
        ("$.messages[*].content", {"messages": [{"role": "user", "content": "[redacted]"}]}),
        ("$.messages[0]", {"messages": ["[redacted]"]}),
        ("$.nothing.here", {}),
        ("$.model.deep", {}),
    ],
)
def test_paths_are_blotted_out_before_an_exchange_is_kept(engine: Make, ask: Ask, what: str, kept: Any) -> None:
    made = engine(HELLO, redact=(what,))
    entry = ask(made, "secret", metadata={"user_id": "secret too"})
    body = json.loads(entry.request.raw)
    assert entry.status == 200
    for key, value in kept.items():
        assert body[key] == value
    assert body["model"] == "claude-opus-4-8"


def test_headers_are_blotted_out_by_name(engine: Make, ask: Ask) -> None:
    entry = ask(
        engine(HELLO, redact=("X-User",)), headers={"x-user": "anna", "authorization": "Bearer t", "cookie": "c"}
    )
    headers = entry.request.headers
    assert headers["x-user"] == "[redacted]"
    assert headers["authorization"].startswith("key-")
    assert headers["cookie"].startswith("key-")


@pytest.mark.parametrize("body", [b'{"model":NaN}', b'{"model":Infinity}', b'{"a":1e999}'])
def test_a_body_of_numbers_that_are_no_json_goes_whole(engine: Make, body: bytes) -> None:
    entry = engine(HELLO, redact=("$.metadata.user_id",)).handle(
        HttpRequest("POST", "/v1/messages", {"x-api-key": "k"}, body)
    )
    assert (entry.status, entry.request.raw) == (400, b"[redacted]")


def test_a_body_that_is_no_json_goes_whole(engine: Make) -> None:
    made = engine(HELLO, redact=("$.messages",))
    entry = made.handle(HttpRequest("POST", "/v1/messages", {"x-api-key": "k"}, b"{secret"))
    assert entry.request.raw == b"[redacted]"


@pytest.mark.parametrize("what", ["$.messages", "$.messages[0]", "$.model", "$.tools", "$.system"])
def test_an_entry_whose_parts_are_not_kept_can_still_be_shown(engine: Make, ask: Ask, what: str) -> None:
    made = engine(HELLO, redact=(what,))
    entry = ask(made, "secret", system="secret", tools=[{"name": "secret", "input_schema": {"type": "object"}}])

    told = summary(entry, "default")

    assert told["scenario"] == "hello"
    assert ("secret" in str(entry)) == (what not in ("$.messages", "$.messages[0]"))
    assert detail(entry, "default", ())["request"]["raw"] is None


@pytest.mark.parametrize("wrong", ["$", "$.", "$.a..b", "x y", "$.a[x]"])
def test_what_is_no_path_and_no_header_is_refused(wrong: str) -> None:
    row = next(row for row in rows() if row.name == "redact")
    with pytest.raises(SettingError, match=r"expected a name \(of a header, a parameter\) or a path"):
        parse(row, wrong, "--redact")
    assert Settings().redact == ()


def test_a_stream_is_as_late_as_the_latest_of_its_events(engine: Make, ask: Ask) -> None:
    """Of events that catch up together that is the first."""
    entry = ask(engine("name: slow\nreply: one two\ntiming: {gap: 20ms, chunk: word}", time_scale=1.0), stream=True)
    due = entry.due_at
    assert due[-1] == 0.02

    entry.end("completed", len(due), [0.5] * len(due))

    assert entry.lateness == 0.5
    assert entry.sent_at == [0.5] * len(due)


def test_what_was_never_sent_has_no_time(engine: Make, ask: Ask) -> None:
    entry = ask(engine("name: slow\nreply: one two\ntiming: {gap: 20ms, chunk: word}", time_scale=1.0), stream=True)
    entry.end("client_left", 2, [0.001, 0.0010000004])
    assert entry.sent_at == [0.001, 0.001, *[None] * (len(entry.due_at) - 2)]


# -- what came waits to be counted ----------------------------------------------------------------------------------------

MIXED = """
name: hello
when: {prompt: hello}
reply: Hello!
---
name: filled
when: {prompt: echo}
reply: {template: "You said {{ prompt }}."}
---
name: broken
when: {prompt: broken}
error: overloaded_error
---
name: strict
when: {prompt: strict}
expect: {system: be brief}
reply: Fine.
"""


def plain(made: Engine, ask: Ask, times: int, **how: Any) -> list[Entry]:
    """So many requests that are answered alike, after one that shows how."""
    entries = [ask(made, **how) for _ in range(times + 1)]
    for entry in entries:
        entry.end("completed", 1)
    assert all(entry.alike is not None for entry in entries[1:])
    return entries


def everything(made: Engine) -> dict[str, Any]:
    """All that a reader of the journals, the metrics and the coverage can see."""
    sessions = {one.name: one.journal for one in made.sessions.all()}
    return {
        "counts": {name: [getattr(one, count) for count in COUNTS] for name, one in sessions.items()},
        "held": {
            name: [(one.number, one.is_open, one.weight) for one in journal] for name, journal in sessions.items()
        },
        "hits": {
            name: sorted((hit.scenario, hit.turn, hit.count) for hit in one.hits.values())
            for name, one in sessions.items()
        },
        "bytes": made.journals.bytes,
        "total": made.journals.total,
        "metrics": made.metrics.text({}),
    }


def course(made: Engine, ask: Ask, look: Callable[[], object]) -> None:
    """Requests of all kinds in three sessions, over their bounds; a reload, a reset and an ended session on the way."""
    open_ones: list[Entry] = []
    for n in range(300):
        said = ("hello", "hello", "hello", f"echo {n}", "broken", "strict", "nothing", "hello " + "x" * 3_000)[n % 8]
        headers = {"x-mock-session": f"s{n // 3 % 3}", "x-api-key": f"k{n // 3 % 3}"}
        entry = ask(made, said, headers, stream=n % 5 == 0, max_tokens=0 if n % 11 == 0 else 500)
        if n % 7 == 0:
            entry.opened(lambda outcome: None)
            open_ones.append(entry)
        else:
            entry.end("completed", len(entry.plan.frames))
        if n % 10 == 9:
            open_ones.pop(0).end("client_left", 1, (0.005 * n,))
        if n == 100:
            made.load(loads(MIXED.replace("Hello!", "Hello again!")))
        if n == 170:
            made.reset(made.sessions.named("s1"))
        if n == 200:
            made.override(made.sessions.named("s0"), journal_entries=4)
        if n == 230:
            made.sessions.drop("s2")
        look()


@pytest.mark.parametrize("bytes", [10_000_000, 40_000])
def test_what_is_counted_late_is_what_is_counted_at_once(engine: Make, ask: Ask, bytes: int) -> None:
    seen = []
    for is_looking in (True, False):
        made = engine(MIXED, seed=None, journal_entries=12, journal_bytes=bytes)

        def look(made: Engine = made, is_looking: bool = is_looking) -> None:
            if is_looking:
                everything(made)

        course(made, ask, look)
        seen.append(everything(made))
    assert seen[0] == seen[1]
    assert seen[0]["bytes"] <= bytes
    assert all(name in seen[0]["metrics"] for name in ("client_left", "529", 'scenario="hello"'))


def test_only_so_many_exchanges_wait_and_only_so_large_ones(engine: Make, ask: Ask) -> None:
    made = engine(HELLO, seed=None, journal_entries=5, journal_bytes=1_000_000)
    ring = made.sessions.default.journal.ring
    most = 0
    for n in range(100):
        ask(made, f"call {n}").end("completed", 1)
        most = max(most, len(made.journals._news))
    assert 1 < most < MOST_WAITING
    assert len(ring) <= 5
    made.journals.catch_up()
    ask(made, "x" * 40_000)
    assert len(made.journals._news) == 1
    ask(made, "x" * 40_000)  # more than a sixteenth of what is kept
    assert made.journals._news == []
    assert len(ring) == 5


def test_a_body_that_is_too_large_is_not_kept_while_it_waits(
    engine: Make, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mock_server.engine.entry.KEPT_BODY", 30_000)
    entry = plain(engine(HELLO, seed=None, journal_bytes=160_000), ask, 1, said="x" * 30_000)[-1]
    assert entry._body.startswith(b'{"size_bytes":')


def test_the_newest_entry_stays_though_it_is_over_the_bound_and_nothing_else_came(engine: Make, ask: Ask) -> None:
    made = engine(HELLO, seed=None, journal_bytes=5_000)
    ask(made, "x" * 20_000).end("completed", 1)
    for _ in range(2):  # looks
        assert [entry.number for entry in made.sessions.default.journal] == [1]
    ask(made).end("completed", 1)
    assert [entry.number for entry in made.sessions.default.journal] == [2]


def test_an_entry_that_ends_while_it_is_counted_is_counted_once(
    engine: Make, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop ends it after another thread has seen that it is open."""
    made = engine(HELLO, seed=None)
    plain(made, ask, 1)
    entry, came = ask(made), Tally.came

    def ended_meanwhile(self: Tally, exchange: Exchange, times: int = 1) -> None:
        came(self, exchange, times)
        entry.end("completed", 1)

    monkeypatch.setattr(Tally, "came", ended_meanwhile)
    assert made.sessions.default.journal.finished == 3
    assert not entry.is_awaited


def test_every_exchange_is_counted_once_however_threads_take_turns(engine: Make, ask: Ask) -> None:
    made = engine(HELLO, seed=None, journal_entries=7)
    journal, is_over = made.sessions.default.journal, threading.Event()

    def look() -> None:
        while not is_over.is_set():
            assert journal.finished <= journal.total
            assert len(journal) <= 7

    watchers = [threading.Thread(target=look) for _ in range(2)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for one in watchers:
            one.start()
        for n in range(1_000):
            entry = ask(made)
            if n % 3 == 0:
                entry.opened(lambda outcome: None)
            entry.end("completed", 1, (0.001,) if n % 3 == 0 else ())
    finally:
        is_over.set()
        sys.setswitchinterval(before)
        for one in watchers:
            one.join()
    assert (journal.total, journal.finished, journal.dropped, journal.open) == (1_000, 1_000, 993, 0)
    text = made.metrics.text({})
    assert 'mock_server_requests_total{scenario="hello",status="200",outcome="completed"} 1000' in text
    assert "mock_server_stream_lateness_seconds_count 334" in text
    assert made.journals.bytes == weighed(made)


@pytest.mark.parametrize("is_counted", [False, True])
def test_who_waits_is_woken_by_what_came_before_and_by_what_comes(engine: Make, ask: Ask, is_counted: bool) -> None:
    made = engine(HELLO, seed=None)
    plain(made, ask, 1)
    journal, opened = made.sessions.default.journal, ask(made)
    if is_counted:
        assert journal.finished == 2
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.append(journal.wait_for(5, timeout=30)))
    waiter.start()
    while not journal.listeners:
        threading.Event().wait(0.001)
    opened.end("completed", 1)
    plain(made, ask, 0)
    assert waiter.is_alive()
    assert journal.finished == 4
    plain(made, ask, 0)
    waiter.join(30)
    assert [len(entries) for entries in found] == [5]


def test_who_listens_hears_each_entry_come_and_end(engine: Make, ask: Ask) -> None:
    made = engine(HELLO, seed=None)
    plain(made, ask, 1)
    journal, opened = made.sessions.default.journal, ask(made)
    heard: list[tuple[int, bool]] = []
    end = journal.subscribe(lambda entry: heard.append((entry.number, entry.is_open)))
    opened.end("completed", 1)
    ask(made).end("completed", 1)
    end()
    ask(made).end("completed", 1)
    assert heard == [(3, False), (4, True), (4, False)]


def test_a_late_reply_that_contradicts_its_request_is_counted_once(engine: Make, ask: Ask) -> None:
    """Whether somebody looked before it was there or not."""
    for is_looked_at in (False, True):
        made = engine(HELLO, seed=None)
        entry = ask(made)
        journal = made.sessions.default.journal
        if is_looked_at:
            assert journal.contradicted == 0
        entry.settled(entry.exchange._replace(contradicted=True))
        assert (journal.total, journal.contradicted) == (1, 1)


def test_metrics_leave_out_what_is_of_a_batch_and_what_was_cut_before_its_reply(engine: Make, ask: Ask) -> None:
    made = engine(HELLO)
    of_batch, cut, sent = ask(made), ask(made), ask(made)
    of_batch.in_batch = True
    cut.exchange = cut.exchange._replace(late=Late(lambda apart: None))  # type: ignore[arg-type, return-value]
    for entry in (of_batch, cut, sent):
        entry.end("completed", 1)
    assert 'outcome="completed"} 1' in made.metrics.text({})
    assert made.sessions.default.journal.finished == 3

"""The journal without a socket: the ring, the bytes, the counts, what is kept of a request."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.journal import Incomplete
from mock_server.protocol.request import HttpRequest
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

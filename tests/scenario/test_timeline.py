"""A recorded stream and the timing made of it: played again, the events come when they came."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Ask, MakeEngine

from mock_server import cli
from mock_server.engine.entry import Entry
from mock_server.protocol import sse
from mock_server.scenario.load import loads
from mock_server.server.control.views import detail

REPLY = """
  - {type: thinking, thinking: They want to know more.}
  - {type: server_tool_use, name: web_search, input: {query: tunnels}}
  - {type: web_search_tool_result, content: []}
  - There are many. Some are long.
  - {type: tool_use, name: look, input: {at: [1, 2]}}
"""
PACE = "first: 120ms, rate: 80/s, jitter: 20%, pauses: {server_tool: 900ms}"


@pytest.fixture
def recorded(engine: MakeEngine, ask: Ask) -> Callable[..., tuple[Entry, dict[str, Any]]]:
    """An exchange played at these times, as the journal tells it (every event was sent when it was due)."""

    def record(timing: str, reply: str = REPLY, **more: Any) -> tuple[Entry, dict[str, Any]]:
        served = engine(f"name: a\ntiming: {{{timing}}}\nreply: {reply}", time_scale=1.0)
        entry = ask(served, "Tell me", **{"stream": True, **more})
        (part,) = entry.plan.parts
        sent = [at / 1_000_000 for at in part.at] if entry.plan.stream else []
        entry.end("completed", len(part.frames), sent)
        return entry, detail(entry, "default", ())

    return record


@pytest.fixture
def imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `mock-server import --timing` makes of an entry."""

    def run(entry: Any, code: int = 0) -> str:
        (tmp_path / "entry.json").write_text(json.dumps(entry))
        assert cli.main(["import", str(tmp_path / "entry.json"), "--timing"]) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


def timeline(entry: Entry) -> list[tuple[int, str]]:
    """The time of every event but pings, and what it is."""
    (part,) = entry.plan.parts
    payloads = [payload for frame in part.frames for payload in sse.parse(frame)]
    said = [str(payload.get("delta", payload["type"])) for payload in payloads]
    return [(at, text) for at, text in zip(part.at, said, strict=True) if text != "ping" and "signature" not in text]


@pytest.mark.parametrize("split", ["", ", chunk: word", ", chunk: sentence", ", chunk: all", ", ping: 300ms"])
def test_what_was_recorded_is_played_again(
    split: str, recorded: Any, imported: Any, engine: MakeEngine, ask: Ask
) -> None:
    first, told = recorded(PACE + split)

    text = imported(told)

    assert timeline(ask(engine(text, time_scale=1.0), "Tell me", stream=True, tools=[LOOK])) == timeline(first)


LOOK = {"name": "look", "input_schema": {"type": "object"}}


def test_deltas_that_no_chunk_gives_come_token_by_token_at_their_times(
    recorded: Any, imported: Any, engine: MakeEngine, ask: Ask
) -> None:
    _, told = recorded("first: 100ms, gap: 50ms, burst: 3", "one two three four five six")

    again = timeline(ask(engine(imported(told), time_scale=1.0), "Tell me", stream=True))

    assert [(at // 1000, eval(text)["text"]) for at, text in again if "text_delta" in text] == [
        *[(100, "one"), (100, " two"), (100, " three")],
        *[(150, " four"), (150, " five"), (150, " six")],
    ]


def test_the_replay_stands_beside_the_last_reply_as_a_person_would_write_it(recorded: Any, imported: Any) -> None:
    _, told = recorded("first: 100ms, gap: 12.5ms", "one two", model="openai/gpt-5.5")
    text = imported(told)
    assert "turns:\n- reply: one two\n" in text
    assert text.endswith(
        "  timing:\n    replay:\n      events: [100ms, 100ms, 100ms, 100ms, 112.5ms, 112.5ms, 112.5ms, 112.5ms]\n"
    )


def test_only_the_last_of_several_turns_has_a_timeline(recorded: Any, imported: Any) -> None:
    said = [
        {"role": "user", "content": "Tell me"},
        {"role": "assistant", "content": "What?"},
        {"role": "user", "content": "All"},
    ]
    _, told = recorded("gap: 10ms", "one two")
    told["request"]["body"]["messages"] = said
    (scenario,) = loads(imported(told))
    assert [turn.timing is not None for turn in scenario.turns] == [False, True]


def test_events_that_were_never_sent_stand_at_the_time_they_were_due(recorded: Any, imported: Any) -> None:
    _, told = recorded("first: 5ms, gap: 10ms", "one two three")
    for event in told["events"][5:]:
        event["sent_ms"] = None
    (scenario,) = loads(imported(told))
    timing = scenario.turns[-1].timing
    assert timing is not None
    assert timing.replay is not None
    assert timing.replay.offsets == (5000, 5000, 5000, 5000, 15_000, 25_000, 25_000, 25_000, 25_000)


def test_a_recording_from_elsewhere_need_not_have_every_event(imported: Any) -> None:
    events = [
        (0, {"type": "message_start", "message": {}}),
        (400, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        (410, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello, wor"}}),
        (430, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ld."}}),
        (431, {"type": "message_stop"}),
    ]
    entry = {
        "request": {"body": {"messages": [{"role": "user", "content": "Hi"}]}},
        "reply": {"body": {"role": "assistant", "content": [{"type": "text", "text": "Hello, world."}]}},
        "events": [{"sent_ms": at, "payload": payload} for at, payload in events],
    }
    assert "[0ms, 400ms, 400ms, 410ms, 410ms, 430ms, 430ms, 430ms, 430ms, 431ms]" in imported(entry)


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([], "only an entry of the journal whose reply was a stream tells when its events came"),
        ([{"payload": {"type": "ping"}}], "event 1: expected an object with a payload and sent_ms or due_ms"),
        ([3], "event 1: expected an object"),
        ([{"payload": {"type": "ping"}, "sent_ms": 1}], "only pings"),
    ],
)
def test_what_has_no_timeline(events: Any, told: str, recorded: Any, imported: Any) -> None:
    _, entry = recorded("gap: 1ms", "one", stream=False)
    assert told in imported({**entry, "events": events}, code=2)


def test_a_list_of_messages_has_no_timeline(imported: Any) -> None:
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert "only an entry of the journal" in imported(said, code=2)

"""What a plan says of itself is what its bytes say: nothing of our own is read back to learn it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.journal import Metrics
from mock_server.engine.preview import preview
from mock_server.protocol.message import plain
from mock_server.protocol.plan import Plan
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import heard, readable_payload
from mock_server.scenario.faults import FAULTS
from mock_server.scenario.load import load

Make = Callable[..., Engine]
Ask = Callable[..., Entry]
LIBRARY = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
NEEDS: dict[str, dict[str, Any]] = {
    "gate": {"name": "g"},
    "trickle": {"bytes_per_second": 50},
    "slow_headers": {"for": "1s"},
    "edit": {"event": "message_delta", "set": {"usage.output_tokens": 7}},
    "insert": {"raw": ": hello\n\n"},
}
MIXED = """
name: mixed
reply:
  - {type: thinking, thinking: "I think it over, twice."}
  - "Naïve café 🎉: \\"x\\""
  - {type: tool_use, name: get_weather, input: {city: Paris, days: [1, 2.5, null], deep: {a: b}}}
"""


def agree(plan: Plan, *, all_known: bool) -> None:
    """Every payload is what its frame says, and pieces are the frames."""
    assert len(plan.payloads) == len(plan.frames)
    assert b"".join([piece for part in plan.parts for piece in part.pieces]) == plan.body()
    for frame, payload in zip(plan.frames, plan.payloads, strict=True):
        if payload is not None:
            assert plain(payload) == (readable_payload(frame) if plan.stream else json.loads(frame))
        else:
            assert not all_known


@pytest.mark.parametrize("profile", ["octen", "anthropic"])
@pytest.mark.parametrize("file", LIBRARY, ids=lambda file: file.stem)
def test_in_every_exchange_of_the_library(engine: Make, file: Path, profile: str) -> None:
    made = engine(profile=profile)
    for scenario in load([file]):
        for stream in (False, True):
            for one in preview(made, made.in_force, scenario, stream=stream):
                agree(one.plan.whole, all_known=True)
                agree(one.plan, all_known=False)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_after_every_fault(engine: Make, ask: Ask, fault: str, stream: bool) -> None:
    struck = {"gate": "g"} if fault == "gate" else {"fault": {"type": fault, **NEEDS.get(fault, {})}}
    entry = ask(engine(MIXED + json.dumps(struck)[1:-1]), stream=stream)
    agree(entry.plan.whole, all_known=True)
    agree(entry.plan, all_known=False)


@pytest.mark.parametrize("body", [{}, {"max_tokens": 3}, {"stop_sequences": ["it"]}, {"stream": True, "max_tokens": 3}])
@pytest.mark.parametrize(
    "reply", [MIXED, "name: a\ngenerate: {tokens: 40}", "name: a\nreply: {template: '{{ prompt }} it is, it is.'}"]
)
def test_of_replies_that_are_made_for_their_request(engine: Make, ask: Ask, reply: str, body: dict[str, Any]) -> None:
    entry = ask(engine(reply), **body)
    agree(entry.plan, all_known=True)
    form = getattr(entry.plan.parts[0].source, "__self__", None)
    cut = entry.reply["stop_reason"] in ("max_tokens", "stop_sequence")
    # what a body says is read from its bytes; of a stream, what is the same for all is known, or made again
    assert (form is not None) is entry.plan.stream
    assert form is None or form.once is (cut or reply != MIXED)
    assert form is None or not form.once or not {"steps", "events", "_frames", "json"} & form.__dict__.keys()


def test_a_stream_that_is_due_at_once_is_a_few_pieces(engine: Make, ask: Ask) -> None:
    many = f"name: a\nreply: {'word ' * 300}"
    at_once, paced = (ask(engine(many, time_scale=scale), stream=True).plan.parts[0] for scale in (0.0, 1.0))
    assert len(at_once.frames) == len(paced.frames) > 100
    assert len(at_once.pieces) < 10
    assert paced.pieces is paced.frames


def test_of_pings_between_the_events(engine: Make, ask: Ask) -> None:
    made = engine("name: a\ntiming: {first: 10s, gap: 5s, ping: 1s}\nreply: One two three.", time_scale=1.0)
    plan = ask(made, stream=True).plan
    assert len(plan.frames) > 20
    agree(plan, all_known=True)


@pytest.mark.parametrize("stream", [False, True])
def test_of_a_completion(engine: Make, stream: bool) -> None:
    said = {"model": "claude-opus-4-8", "max_tokens_to_sample": 99, "prompt": "\n\nHuman: Hi\n\nAssistant:"}
    body = json.dumps({**said, "stream": stream}).encode()
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    entry = engine("name: a\nreply: One two three.").handle(HttpRequest("POST", "/v1/complete", headers, body))
    agree(entry.plan, all_known=True)
    assert entry.reply["completion"] == "One two three."
    assert entry.tokens is None


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_those_of_the_whole_reply_and_not_of_its_last_sampling(engine: Make, ask: Ask, stream: bool) -> None:
    """An advisor's tokens stand behind those of the reply, in the list of samplings."""
    made = engine(load([LIBRARY[0].parent / "advisor.yaml"]), profile="anthropic")
    entry = ask(
        made,
        headers={"anthropic-beta": "advisor-tool-2026-03-01", "x-mock-scenario": "advisor"},
        tools=[{"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-8"}],
        stream=stream,
    )
    usage = entry.reply["usage"]
    assert len(usage["iterations"]) > 1
    assert entry.tokens == (usage["input_tokens"], usage["output_tokens"])

    entry.end("completed", len(entry.plan.frames))
    metrics = Metrics()
    metrics.count(entry)
    assert f'mock_server_tokens_total{{kind="output"}} {usage["output_tokens"]}' in metrics.text({})


def test_tokens_are_those_that_the_script_tells(engine: Make, ask: Ask) -> None:
    entry = ask(engine("name: a\nreply: Hi.\nusage: {input_tokens: 4000}"))
    assert entry.tokens == (4000, entry.reply["usage"]["output_tokens"])


def test_what_the_journal_gives_is_nobody_elses(engine: Make, ask: Ask) -> None:
    """A test may change what it looks at; the next reply is as the first was."""
    made = engine(MIXED)
    first, again = (ask(made, stream=True) for _ in range(2))
    for entry in (first, again):
        entry.end("completed", len(entry.plan.frames))
    events = list(heard(again.plan.body()))
    for seen in (*first.events, *first.planned_events):
        seen.clear()  # type: ignore[attr-defined]
    first.reply["content"].clear()
    assert list(again.events) == list(again.planned_events) == events
    assert [block["type"] for block in first.reply["content"]] == ["thinking", "text", "tool_use"]

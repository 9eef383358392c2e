"""Entries, scenarios and sessions as JSON, and what stands out on the timeline of a reply."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mock_server.engine.choose import NearMiss
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.journal import COUNTS
from mock_server.engine.masking import masked, masked_events, masked_headers, masked_query, without_secrets
from mock_server.engine.request_view import ready
from mock_server.engine.session import Session
from mock_server.protocol.plan import Plan, Wait, unrolled
from mock_server.protocol.request import strict_json
from mock_server.scenario.model import Scenario
from mock_server.scenario.writing import dump, exchange
from mock_server.settings import of_session

# What stands out on the timeline of a reply: where a gate holds it, a fault struck, it is cut.

Kind = Literal["gate", "stall", "fault", "cut"]
# faults that have a mark by their wait or their cut already
_MARKED = frozenset(("gate", "disconnect", "reset", "empty_response"))
_ENDINGS: Mapping[str, str] = {
    "end": "ends here",
    "close": "connection closed, the body not ended",
    "reset": "connection reset",
}


class TimelineMark(NamedTuple):
    """`event`: the index of the event it stands before; the number of events for what comes behind the last one."""

    event: int
    kind: Kind
    text: str


def timeline_marks(plan: Plan, faults: Sequence[str]) -> list[dict[str, Any]]:
    """The marks of a reply that was given these faults (in words), in the order of its events."""
    found = sorted((*_waits(plan), *_fault_marks(plan, faults), *_cut(plan)), key=lambda mark: mark.event)
    return [mark._asdict() for mark in found]


def _waits(plan: Plan) -> Iterator[TimelineMark]:
    passed = 0
    for part in plan.parts:
        if part.wait is not None and part.wait.gate is not None:
            yield TimelineMark(passed, "gate", f"gate {part.wait.gate}")
        elif part.wait is not None:
            yield TimelineMark(passed, "stall", "nothing more until the client leaves")
        passed += len(part.frames)


def _cut(plan: Plan) -> Iterator[TimelineMark]:
    manner = plan.manner
    if manner is not None and manner.ending is not None:
        text = "connection ended without a byte" if manner.head == b"" else _ENDINGS[manner.ending]
        yield TimelineMark(len(plan.frames), "cut", text)


def _fault_marks(plan: Plan, faults: Sequence[str]) -> Iterator[TimelineMark]:
    """The first frame that is not as it was before, or not at its time. What only ends the reply has a mark already.

    Which of several faults changed which frame cannot be seen from the plan: they share the mark of the first change.
    But frames that were edited, put in or left out have a mark each.
    """
    done = [fault for fault in faults if fault.split(" ")[0] not in _MARKED]
    if plan.intact is None or not done:
        return
    edits = [fault for fault in done if fault.split(" ")[0] in _EDITS]
    if edits and not any(fault.split(" ")[0] in _REFRAMES for fault in done):
        yield from _edit_marks(plan, ", ".join(edits))
        done = [fault for fault in done if fault not in edits]
        if not done:
            return
    at = _first_change(_steps(plan.intact), _steps(plan))
    is_cut = _is_cut(plan)
    if at is None and not is_cut:  # the head alone is another
        at = 0
    if at is not None and not (is_cut and at == len(plan.frames)):
        yield TimelineMark(at, "fault", done[0] if len(done) == 1 else f"from here on {', '.join(done)}")


_EDITS = frozenset(("edit", "insert"))
_REFRAMES = frozenset(("wire", "gzip", "trickle"))  # nothing of the frames is left to compare
_MOST_EDITS = 100
_MOST_COMPARED = 500


def _edit_marks(plan: Plan, by: str) -> Iterator[TimelineMark]:
    """A mark at each frame that is another one now; of very many the first ones."""
    before, after = plan.whole.frames, plan.frames
    start = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), None)
    start = min(len(before), len(after)) if start is None else start
    most = start + _MOST_COMPARED
    other = "inserted" if all(one.startswith("insert ") for one in by.split(", ")) else "edited"
    found = [
        TimelineMark(at, "fault", f"{other if what == 'edited' else what}: {by}")
        for at, what in dict.fromkeys(_changes(before[start:most], after[start:most], start))
        if not (what == "left out" and at == len(after) and _is_cut(plan))  # that is what the cut left out
    ]
    yield from found[:_MOST_EDITS]
    if len(found) > _MOST_EDITS or max(len(before), len(after)) > most:
        yield TimelineMark(found[:_MOST_EDITS][-1].event if found else start, "fault", f"and more: {by}")


def _changes(before: Sequence[bytes], after: Sequence[bytes], start: int) -> Iterator[tuple[int, str]]:
    """Where frames were edited, put in and left out."""
    from difflib import SequenceMatcher  # only edits that are looked at need it

    for what, from_, to, other, until in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        edited = min(to - from_, until - other)
        yield from ((start + other + at, "edited") for at in range(edited))
        yield from ((start + at, "inserted") for at in range(other + edited, until))
        yield from ((start + other + edited, "left out") for _ in range(to - from_ - edited))


def _is_cut(plan: Plan) -> bool:
    """Whether the reply ends before its time."""
    return (plan.manner is not None and plan.manner.ending is not None) or any(
        part.wait is not None and part.wait.gate is None for part in plan.parts
    )


def _steps(plan: Plan) -> list[tuple[int, bytes]]:
    return [(step.delay, step.frame) for step in unrolled(plan) if not isinstance(step, Wait)]


def _first_change(before: Sequence[tuple[int, bytes]], after: Sequence[tuple[int, bytes]]) -> int | None:
    for at, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return at
    return None if len(before) == len(after) else min(len(before), len(after))


# Entries, scenarios and sessions as JSON.

PROMPT = 200
# What is shown of a body as JSON: of more than so many bytes or values only how it begins, as text. As objects values
# take many times their bytes.
MOST_BYTES, MOST_VALUES = 8 << 20, 50_000
SHOWN = 64 << 10


def summary(entry: Entry, session: str) -> dict[str, Any]:
    """What a list shows of an entry."""
    outline = entry.outline
    understood = entry.exchange.understood and outline.is_readable
    tokens = None if entry.exchange.late is not None else entry.tokens
    return {
        "number": entry.number,
        "at": entry.at,
        "session": masked(session),
        "key": entry.key,
        "method": entry.method,
        "path": masked(entry.path),
        "request_id": entry.request_id,
        "scenario": entry.scenario,
        "turn": entry.turn,
        "attempt": entry.attempt,
        "model": outline.model if understood else None,
        "stream": entry.plan.stream,
        "status": None if entry.exchange.late is not None else entry.plan.status,
        "outcome": "open" if entry.is_open else entry.outcome,
        "input_tokens": None if tokens is None else tokens[0],
        "output_tokens": None if tokens is None else tokens[1],
        "duration_ms": None if entry.is_open else round(entry.duration * 1000, 3),
        "prompt": masked(outline.prompt)[:PROMPT] if understood else "",
        "note": masked(entry.note),
        "warnings": list(map(masked, entry.warnings)),
        "understood": understood,
        "aside": entry.exchange.aside,
        "unmatched": entry.unmatched,
        "unexpected": entry.unexpected,
        "contradictions": [masked(one) for one in entry.exchange.contradictions],
        "contradicted": entry.exchange.contradicted,
        "faults": list(entry.faults),
        "side": entry.side,
        "moved": [one._asdict() for one in entry.moved],
    }


def detail(entry: Entry, session: str, near: Iterable[NearMiss], *, whole: bool = False) -> dict[str, Any]:
    """Everything about an entry that has ended (of an open one, what is known).

    A large body is not read for this: it is shown as text, of which `whole` gives all.
    """
    view = summary(entry, session)
    large = is_large(entry)
    body, raw = (None, _beginning(entry, whole)) if large else body_of(entry)
    view["request"] = {
        "headers": masked_headers(entry.request_headers),
        "query": masked_query(entry.query),
        "body": body,
        "raw": raw,
        "size_bytes": len(entry.request.raw),
        "cut": large and not whole,
    }
    ended = not entry.is_open
    view["reply"] = {
        "headers": masked_headers(dict(entry.plan.headers)),
        "body": entry.reply if ended else None,
    }
    view["events"] = _events(entry) if ended else []
    view["marks"] = timeline_marks(entry.plan, entry.faults)
    view["left_ms"] = round(entry.duration * 1000, 3) if ended and entry.outcome == "client_left" else None
    view["near_misses"] = [one.as_json() for one in near]
    view["stub"] = ready(entry.request) if entry.unmatched and not large else None
    view["yaml"] = _as_scenario(entry) if ended and not large and entry.is_readable else None
    view["curl"] = _curl(entry, large)
    return view


def is_large(entry: Entry) -> bool:
    """Whether the body that came is too large to be shown as JSON."""
    raw = entry.request.raw
    return len(raw) > MOST_BYTES or (len(raw) > 2 * MOST_VALUES and raw.count(b",") > MOST_VALUES)


def _beginning(entry: Entry, whole: bool) -> str:
    raw = entry.request.raw
    if whole:
        return raw.decode("utf-8", "replace")
    shown = masked(raw[: 2 * SHOWN].decode("utf-8", "replace"))[:SHOWN]  # no secret is cut, and so missed
    return f"{shown}… (cut: {len(raw)} bytes came; GET /_mock/journal/{entry.number}?whole=true has them all)"


def body_of(entry: Entry) -> tuple[Any, str | None]:
    """The request's body as JSON, else as text."""
    raw = entry.request.raw
    try:
        return strict_json(raw.decode()), None
    except ValueError:
        return None, raw.decode("utf-8", "replace")


def _events(entry: Entry) -> list[dict[str, Any]]:
    return [
        {
            "type": payload["type"],
            "due_ms": round(due * 1000, 3),
            "sent_ms": None if sent is None else round(sent * 1000, 3),
            "payload": payload,
        }
        for payload, due, sent in zip(masked_events(entry.planned_events), entry.due_at, entry.sent_at, strict=False)
    ]


def _as_scenario(entry: Entry) -> str:
    results = entry.request.tool_results
    tool = results[-1].of if results else None
    reply = entry.reply
    if reply.get("type") == "completion":
        reply = {"content": [{"type": "text", "text": reply["completion"]}]}
    prompt = without_secrets(entry.request.prompt)
    scenario = exchange(prompt, tool, reply, entry.plan.status, entry.request.body)
    answer = entry.exchange.answer
    if entry.contradictions or (answer is not None and answer.contradicts):
        scenario["contradicts"] = True
    return dump(scenario).rstrip()


def _curl(entry: Entry, large: bool) -> str:
    query = f"?{masked_query(entry.query)}" if entry.query else ""
    words = ["curl", "-N", f"http://{entry.request.headers.get('host', '127.0.0.1:8787')}{entry.path}{query}"]
    if entry.method == "HEAD":
        words.append("-I")
    elif entry.method != "POST":
        words += ["-X", entry.method]
    words += ["-H", "content-type: application/json", "-H", "x-api-key: any"]
    for name in ("anthropic-version", "anthropic-beta", "x-mock-scenario"):
        if name in entry.request.headers:
            words += ["-H", f"{name}: {entry.request.headers[name]}"]
    if large:
        return shlex.join([*words, "--data-binary", "@body.json"])
    body = entry.request.raw.decode("utf-8", "replace")
    return shlex.join([*words, *(["--data-raw", body] if body or entry.method == "POST" else ())])


def scenario_view(scenario: Scenario, session: Session | None, calls: int) -> dict[str, Any]:
    """A scenario in the list."""
    written = None if scenario.data is None else scenario.data.value.get("when")
    when = None if written is None else written.plain()
    return {
        "name": scenario.name,
        "description": scenario.description,
        "source": scenario.source,
        "session": None if session is None else masked(session.name),
        "turns": len(scenario.turns),
        "strikes": list(scenario.strikes) if scenario.is_overlay else [],
        "calls": calls,
        "when": "" if when is None else when if isinstance(when, str) else json.dumps(when, ensure_ascii=False),
    }


def session_view(session: Session, engine: Engine) -> dict[str, Any]:
    """A session in the list."""
    settings = session.in_force.settings
    return {
        "name": masked(session.name),
        "default": session is engine.sessions.default,
        "scenarios": len(session.scenarios),
        "requests": session.journal.total,
        "unmatched": session.journal.unmatched,
        "open": session.journal.open,
        "clock": {"unix": round(session.clock.unix(), 3), "frozen": session.clock.frozen},
        "states": dict(session.states(engine.library(session))),
        "held": sum(gate.waiting for gate in session.gates.all()),
        "batches": len(session.batches),
        "files": len(session.files),
        "file_bytes": session.files.bytes,
        "settings": {row.name: getattr(settings, row.name) for row in of_session()},
    }


def counts(session: Session, elsewhere: int) -> Mapping[str, Any]:
    """The exact counts of a session's journal, for verbs that run in another process."""
    journal = session.journal
    hits = [{"scenario": hit.scenario, "turn": hit.turn, "count": hit.count} for hit in tuple(journal.hits.values())]
    return {**{name: getattr(journal, name) for name in COUNTS}, "elsewhere": elsewhere, "hits": hits}

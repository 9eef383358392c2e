"""What edits make of an event and of the message: values at paths, and the stream of a changed message. Loaded when
something is edited.

An edit acts on the plan: the frames are there, and nothing is sent yet. So preview, page and socket see one thing. What
it changes in an event has no twin in a JSON reply; what it changes in the message is in both, and every other fault
finds the frames of the changed message.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mock_server.protocol import tokens
from mock_server.protocol.blocks import FILLS
from mock_server.protocol.message import (
    BESIDE,
    IN_DELTA,
    ONLY_AT_END,
    ONLY_AT_START,
    Usage,
    at_end,
    at_start,
    fold,
    plain,
)
from mock_server.protocol.plan import Plan, Send, Step, Wait, rolled, unrolled
from mock_server.protocol.sse import dumps, encode, frame, spaced
from mock_server.scenario import paths
from mock_server.scenario.faults.events import Changes, body_of, framed, with_body
from mock_server.scenario.faults.place import CannotApply, Site, duration, event_of, payload_of
from mock_server.scenario.node import suggestion

# -- paths -----------------------------------------------------------------------------------------------------------

# what only a request decides: at load a path that leads there is no mistake
_BY_REQUEST = frozenset(
    (
        *("stop_details", "diagnostics", "container", "caller", "estimated_tokens", "signature", "id", "tool_use_id"),
        *("details", "request_id"),
        *("speed", "iterations", "full_content_extra_count", *BESIDE),
        *at_start(Usage(), complete=True),
        *at_end(Usage(thinking_tokens=0, ran_server_tool=True), complete=True),
    )
)


def changed(
    payload: dict[str, Any], sets: Mapping[str, Any], removed: Sequence[str], what: str, *, is_sketch: bool
) -> dict[str, Any]:
    """A payload that nobody else has, with these values set, then without those. Raises CannotApply."""
    for path, value in sets.items():
        _bounded(path, value, payload)
        if not paths.put(payload, _steps(path), value):
            _missing("set", path, payload, what, is_sketch=is_sketch)
    for path in removed:
        if not paths.take(payload, _steps(path)):
            _missing("remove", path, payload, what, is_sketch=is_sketch)
    return payload


MOST_PUT = 2_000_000  # characters that a path with several ends puts in


def _bounded(path: str, value: Any, payload: Any) -> None:
    """Raises CannotApply for a value that would be put in too many places."""
    if "*" not in path:
        return
    *way, last = _steps(path)
    holders = [one for one in paths.find(payload, way) if isinstance(one, dict | list)]
    places = sum(len(one) if last is None else 1 for one in holders)
    if places > 1 and places * len(dumps(value)) > MOST_PUT:
        raise CannotApply(f"set {path}: its value in {places:,} places is more than {MOST_PUT:,} characters")


def _steps(path: str) -> tuple[paths.Step, ...]:
    found = paths.parse(path)
    assert found is not None
    return found


def _missing(verb: str, path: str, payload: Any, what: str, *, is_sketch: bool) -> None:
    """Raises CannotApply for a path that leads nowhere, unless that hangs on the request."""
    at = payload
    for step in _steps(path):
        inner = next(paths.find(at, (step,)), paths.MISSING)
        if inner is not paths.MISSING:
            at = inner
            continue
        if is_sketch and step in _BY_REQUEST:
            return
        known = list(at) if isinstance(at, dict) else []
        missing = f"'{step}'" if isinstance(step, str) else "anything" if step is None else f"[{step}]"
        hint = suggestion(str(step), map(str, known)) if known else ""
        raise CannotApply(f"{verb} {path}: {what} has no {missing} there{hint}")


# -- the message -----------------------------------------------------------------------------------------------------


def other_message(plan: Plan, changes: Changes, site: Site) -> Plan:
    """The plan of a message with other values. Raises CannotApply for a reply that is no message."""
    try:
        message = dict(body_of(plan)) if not plan.stream else _folded(plan)
    except ValueError:  # a file, or what another fault has made of the body
        message = {}
    if message.get("type") != "message":
        raise CannotApply("message: the reply is no message")
    before: dict[str, Any] = plain(message)
    blocks = list(before["content"])
    after = changed(before, changes.set, changes.remove, "the message", is_sketch=site.is_sketch)
    content = after.get("content")
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise CannotApply("message: content is a list of blocks; no stream can tell anything else")
    if not plan.stream:
        return with_body(plan, encode(dumps(after)), after)
    steps = _with_blocks(unrolled(plan), message["content"], content, _origins(content, blocks))
    return rolled(plan, [_restated(step, message, after) for step in steps])


def _folded(plan: Plan) -> dict[str, Any]:
    """The message that a stream adds up to. Raises CannotApply where another edit left none."""
    try:
        return fold([payload for step in unrolled(plan) if (payload := payload_of(step))])
    except (KeyError, IndexError, TypeError):
        raise CannotApply("message: the events add up to no message any more") from None


def _restated(step: Step, before: Mapping[str, Any], after: Mapping[str, Any]) -> Step:
    """`message_start` and `message_delta` of the other message; each value where the API has it."""
    name = event_of(step)
    if isinstance(step, Wait) or name not in ("message_start", "message_delta"):
        return step
    payload: dict[str, Any] = plain(payload_of(step))
    own = payload["message"] if name == "message_start" else payload["delta"]
    gone = [key for key in before if key not in after]
    new = {key: value for key, value in after.items() if key not in before or before[key] != value}
    for key in gone:
        (payload if key in BESIDE or (key == "usage" and name == "message_delta") else own).pop(key, None)
    for key, value in new.items():
        if key == "usage":
            holder = own if name == "message_start" else payload
            holder[key] = _usage(holder.get(key, {}), before.get(key), value, is_start=name == "message_start")
        elif key != "content" and (name == "message_delta") is (key in IN_DELTA or key in BESIDE):
            (payload if key in BESIDE else own)[key] = value
    return step._replace(frame=frame(payload), payload=payload) if payload != payload_of(step) else step


def _usage(own: Any, before: Any, after: Any, *, is_start: bool) -> Any:
    """The counters of one event: of those that were changed, the ones that it has."""
    if not all(isinstance(one, Mapping) for one in (own, before, after)):
        return after
    skip = ONLY_AT_END if is_start else ONLY_AT_START
    kept = {key: value for key, value in own.items() if key in after}
    new = {key: value for key, value in after.items() if key not in before or before[key] != value}
    return kept | {key: value for key, value in new.items() if key not in skip}


def _origins(content: Sequence[Any], blocks: Sequence[Any]) -> list[int | None]:
    """For each block the one that it was: itself, else the one in its place."""
    known = {id(block): at for at, block in enumerate(blocks)}
    found = [known.get(id(block)) for block in content]
    free = set(range(len(blocks))).difference(found)
    return [at if was is None and at in free else was for at, was in enumerate(found)]


def _with_blocks(
    steps: Sequence[Step], before: Sequence[Any], content: Sequence[Any], origins: Sequence[int | None]
) -> Iterator[Step]:
    """The steps with the blocks of another content: each where it was, new ones behind the others."""
    new_at = {was: at for at, was in enumerate(origins) if was is not None}
    late, number = 0, 0
    while number < len(steps):
        run, name = [steps[number]], event_of(steps[number])
        if name == "content_block_start":
            end = next(at for at in range(number, len(steps)) if event_of(steps[at]) == "content_block_stop")
            run = list(steps[number : end + 1])
            was = payload_of(run[0])["index"]
            at = new_at.get(was)
            new = [] if at is None else list(_block(run, before[was], content[at], at))
        elif name == "message_delta":
            added = (one for at, was in enumerate(origins) if was is None for one in _new_block(content[at], at))
            new = [*added, run[0]]
        else:
            new = run
        number += len(run)
        late += duration(run) - duration(new)
        if new:  # what is left out takes its time all the same
            late, new = 0, [_later(new[0], late), *new[1:]]
        yield from new


def _later(step: Step, by: int) -> Step:
    return step if isinstance(step, Wait) else step._replace(delay=step.delay + by)


# field of a block -> the delta that fills it, and where that holds the piece
_FILLS: Mapping[str, tuple[str, str]] = {field: (kind, piece) for kind, (field, piece) in FILLS.items()}
# fields that one delta brings whole
_OTHERS: Mapping[str, str] = {"citations": "citations_delta", "content": "compaction_delta"}
_NOTHING: Any = object()


def _block(run: Sequence[Step], before: Mapping[str, Any], after: Mapping[str, Any], at: int) -> Iterator[Step]:
    """The steps of one block, changed into those of another: pieces of a text come where those of the old one came, the
    rest when it starts."""
    start: dict[str, Any] = plain(payload_of(run[0])["content_block"])
    deltas = [payload["delta"] for step in run if (payload := payload_of(step)).get("type") == "content_block_delta"]
    kinds = {delta["type"] for delta in deltas}
    pieces: dict[str, list[str]] = {}
    silent = set()
    for key in sorted({*before, *after}):
        if before.get(key, _NOTHING) == after.get(key, _NOTHING):
            continue
        kind, piece = _FILLS.get(key, ("", ""))
        if kind in kinds and (key == "input" or isinstance(after.get(key), str)) and key in after:
            old = [delta[piece] for delta in deltas if delta["type"] == kind]
            pieces[kind] = _cut(after[key], key, old)
            continue
        silent |= {kind, _OTHERS.get(key, "")} - {""}
        if key in after:
            start[key] = after[key]
        else:
            start.pop(key, None)
    late = 0
    for step in run:
        payload = dict(payload_of(step))
        if "index" not in payload:
            yield _later(step, late)
            late = 0
            continue
        kind = payload.get("delta", {}).get("type", "")
        if kind in silent or (kind in pieces and not pieces[kind]):
            late += duration([step])
            continue
        payload["index"] = at
        if payload["type"] == "content_block_start":
            payload["content_block"] = start
        if kind in pieces:
            payload["delta"] = {**payload["delta"], FILLS[kind][1]: pieces[kind].pop(0)}
        yield framed(payload, duration([step]) + late)
        late = 0


def _cut(value: Any, key: str, old: Sequence[str]) -> list[str]:
    """A text, or the input of a call, in no more pieces than the old one had."""
    empty = [""] if key == "input" and old[0] == "" else []
    most = max(1, len(old) - len(empty))
    words = list(tokens.split(spaced(value) if key == "input" else value))
    return [*empty, *words[: most - 1], *filter(None, ["".join(words[most - 1 :])])]


def _new_block(block: Mapping[str, Any], at: int) -> Iterator[Send]:
    """A block that was not there: its start, a delta for each text in it, its end."""
    kind = str(block.get("type"))
    filled = [key for key in _FILLS if block.get(key) and (isinstance(block[key], str) or kind.endswith("tool_use"))]
    empty = {key: {} if key == "input" else "" for key in filled}
    yield framed({"type": "content_block_start", "index": at, "content_block": {**block, **empty}})
    for key in filled:
        name, piece = _FILLS[key]
        value = spaced(block[key]) if key == "input" else block[key]
        yield framed({"type": "content_block_delta", "index": at, "delta": {"type": name, piece: value}})
    yield framed({"type": "content_block_stop", "index": at})

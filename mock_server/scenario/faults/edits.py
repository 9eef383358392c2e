"""What edits make of an event and of the message: paths, and a stream that tells a changed message. Loaded when
something is edited.

An edit acts on the plan: the frames are there, and nothing is sent yet. So preview, page and socket see one thing. What
it names on an event has no twin in a JSON reply; what it changes of the message is in both, and every other fault finds
the frames of the changed message.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mock_server.protocol import tokens
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
from mock_server.protocol.plan import Payload, Plan, Send, Step, Wait, rolled, unrolled
from mock_server.protocol.sse import dumps, encode, frame, spaced
from mock_server.scenario import paths
from mock_server.scenario.faults.events import Changes, body_of, with_body
from mock_server.scenario.faults.place import CannotApply, Site, event_of, said_by
from mock_server.scenario.node import suggestion

# -- paths -----------------------------------------------------------------------------------------------------------

# what is not known before a request came: there the request is told
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
    said: dict[str, Any], sets: Mapping[str, Any], removed: Sequence[str], what: str, *, is_sketch: bool
) -> dict[str, Any]:
    """`said`, which nobody else has, with these values set, then without those. Raises CannotApply."""
    for path, value in sets.items():
        _bounded(path, value, said)
        if not any([_put(holder, step, value) for holder, step in _ends_of(said, path)]):  # noqa: C419 - all of them
            _missing("set", path, said, what, is_sketch=is_sketch)
    for path in removed:
        if not any([_take(holder, step) for holder, step in _ends_of(said, path)]):  # noqa: C419
            _missing("remove", path, said, what, is_sketch=is_sketch)
    return said


MOST_PUT = 2_000_000  # characters that a path with several ends puts in


def _bounded(path: str, value: Any, said: Any) -> None:
    """Raises CannotApply for a value that would be put in too many places."""
    if "*" not in path:
        return
    places = sum(len(holder) if step is None else 1 for holder, step in _ends_of(said, path) if _holds(holder))
    if places > 1 and places * len(dumps(value)) > MOST_PUT:
        raise CannotApply(f"set {path}: its value in {places:,} places is more than {MOST_PUT:,} characters")


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list)


def _steps(path: str) -> tuple[paths.Step, ...]:
    found = paths.parse(path)
    assert found is not None
    return found


def _ends_of(value: Any, path: str) -> list[tuple[Any, paths.Step]]:
    """What holds the ends of a path, wherever it leads, and the last step in it."""
    *inner, last = _steps(path)
    return [(holder, paths.step_in(holder, last)) for holder in paths.find(value, inner)]


def _put(holder: Any, step: paths.Step, value: Any) -> bool:
    if step is None and isinstance(holder, dict | list) and holder:
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            holder[key] = plain(value)
        return True
    if isinstance(holder, dict) and isinstance(step, str):
        holder[step] = plain(value)
        return True
    if isinstance(holder, list) and isinstance(step, int) and -len(holder) <= step < len(holder):
        holder[step] = plain(value)
        return True
    return False


def _take(holder: Any, step: paths.Step) -> bool:
    if step is None and isinstance(holder, dict | list) and holder:
        holder.clear()
        return True
    is_there = (isinstance(holder, dict) and step in holder) or (
        isinstance(holder, list) and isinstance(step, int) and -len(holder) <= step < len(holder)
    )
    if is_there:
        del holder[step]
    return is_there


def _missing(verb: str, path: str, said: Any, what: str, *, is_sketch: bool) -> None:
    """Tell where a path leads nowhere, unless that hangs on the request."""
    at = said
    for step in _steps(path):
        inner = list(paths.find(at, (step,)))
        if inner:
            at = inner[0]
            continue
        if is_sketch and step in _BY_REQUEST:
            return
        known = list(at) if isinstance(at, dict) else []
        told = f"'{step}'" if isinstance(step, str) else "anything" if step is None else f"[{step}]"
        hint = suggestion(str(step), map(str, known)) if known else ""
        raise CannotApply(f"{verb} {path}: {what} has no {told} there{hint}")


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
    return rolled(plan, [_told(step, message, after) for step in steps])


def _folded(plan: Plan) -> dict[str, Any]:
    """The message that a stream adds up to. Raises CannotApply where another edit left none."""
    try:
        return fold([said_by(one) for one in _sends(unrolled(plan))])
    except (KeyError, IndexError, TypeError):
        raise CannotApply("message: the events add up to no message any more") from None


def _sends(steps: Sequence[Step]) -> Iterator[Send]:
    return (step for step in steps if not isinstance(step, Wait) and said_by(step))


def _told(step: Step, before: Mapping[str, Any], after: Mapping[str, Any]) -> Step:
    """`message_start` and `message_delta` as they tell the other message; each value where the API tells it."""
    name = event_of(step)
    if isinstance(step, Wait) or name not in ("message_start", "message_delta"):
        return step
    said: dict[str, Any] = plain(said_by(step))
    own = said["message"] if name == "message_start" else said["delta"]
    gone = [key for key in before if key not in after]
    new = {key: value for key, value in after.items() if key not in before or before[key] != value}
    for key in gone:
        (said if key in BESIDE or (key == "usage" and name == "message_delta") else own).pop(key, None)
    for key, value in new.items():
        if key == "usage":
            holder = own if name == "message_start" else said
            holder[key] = _usage(holder.get(key, {}), before.get(key), value, is_start=name == "message_start")
        elif key != "content" and _teller(key) == name:
            (said if key in BESIDE else own)[key] = value
    return step._replace(frame=frame(said), payload=said) if said != said_by(step) else step


def _teller(key: str) -> str:
    return "message_delta" if key in IN_DELTA or key in BESIDE else "message_start"


def _usage(own: Any, before: Any, after: Any, *, is_start: bool) -> Any:
    """The counters of one event: those that were changed, where they are told in it."""
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
    steps: Sequence[Step], before: Sequence[Any], content: Sequence[Any], came: Sequence[int | None]
) -> Iterator[Step]:
    """The steps with the blocks of another content: each where it was, new ones behind the others."""
    new_at = {was: at for at, was in enumerate(came) if was is not None}
    late, number = 0, 0
    while number < len(steps):
        run, name = [steps[number]], event_of(steps[number])
        if name == "content_block_start":
            end = next(at for at in range(number, len(steps)) if event_of(steps[at]) == "content_block_stop")
            run = list(steps[number : end + 1])
            was = _said(run[0])["index"]
            at = new_at.get(was)
            told = [] if at is None else list(_block(run, before[was], content[at], at))
        elif name == "message_delta":
            told = [*(one for at, was in enumerate(came) if was is None for one in _new_block(content[at], at)), run[0]]
        else:
            told = run
        number += len(run)
        wanted = late + _length(run)
        late = wanted - _length(told)
        if told:  # what is left out takes its time all the same
            late, told = 0, [_later(told[0], wanted - _length(told)), *told[1:]]
        yield from told


def _length(steps: Sequence[Step]) -> int:
    return sum(step.delay for step in steps if not isinstance(step, Wait))


def _later(step: Step, by: int) -> Step:
    return step if isinstance(step, Wait) else step._replace(delay=step.delay + by)


def _said(step: Step) -> dict[str, Any]:
    return {} if isinstance(step, Wait) else dict(said_by(step))


# the delta that fills a field of a block, and where it holds the piece
_FILLS: Mapping[str, tuple[str, str]] = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "signature": ("signature_delta", "signature"),
    "input": ("input_json_delta", "partial_json"),
}
_OTHERS: Mapping[str, str] = {"citations": "citations_delta", "content": "compaction_delta"}
_NOTHING: Any = object()


def _block(run: Sequence[Step], before: Mapping[str, Any], after: Mapping[str, Any], at: int) -> Iterator[Step]:
    """The steps of one block as they tell another: pieces of a text come where those of the old one came, the rest when
    it starts."""
    start: dict[str, Any] = plain(_said(run[0])["content_block"])
    deltas = [said["delta"] for step in run if (said := _said(step)).get("type") == "content_block_delta"]
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
        said = _said(step)
        if not said or "index" not in said:
            yield _later(step, late)
            late = 0
            continue
        kind = said.get("delta", {}).get("type", "")
        if kind in silent or (kind in pieces and not pieces[kind]):
            late += _length([step])
            continue
        said["index"] = at
        if said["type"] == "content_block_start":
            said["content_block"] = start
        if kind in pieces:
            field_of = next(piece for one, piece in _FILLS.values() if one == kind)
            said["delta"] = {**said["delta"], field_of: pieces[kind].pop(0)}
        yield Send(_length([step]) + late, frame(said), said)
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
    yield _new({"type": "content_block_start", "index": at, "content_block": {**block, **empty}})
    for key in filled:
        name, piece = _FILLS[key]
        value = spaced(block[key]) if key == "input" else block[key]
        yield _new({"type": "content_block_delta", "index": at, "delta": {"type": name, piece: value}})
    yield _new({"type": "content_block_stop", "index": at})


def _new(said: Payload) -> Send:
    return Send(0, frame(said), said)

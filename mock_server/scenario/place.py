"""Where in a reply a fault strikes, and a reply taken apart there.

`after: {deltas: 5}` is right behind the fifth delta; `events`, `blocks`, `tokens` and `bytes` count likewise, from 0
(before the first). Pings are not counted: clients do not see them either. In a JSON reply the same place is where the
same content ends in the body.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from random import Random
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

from mock_server.protocol import tokens
from mock_server.protocol.blocks import BLOCKS
from mock_server.protocol.plan import Plan, Step, Wait, unrolled
from mock_server.protocol.sse import dumps, encode
from mock_server.records import dataclass
from mock_server.scenario.decode import Reads, decode
from mock_server.scenario.error import Failure
from mock_server.scenario.node import Mark, Node, Problems, suggestion

COUNTERS = ("events", "deltas", "blocks", "tokens", "bytes")
# delta type -> the field that holds what it adds, and what stands before that in a JSON reply
_ADDS: Mapping[str, tuple[str, bytes]] = {
    "text_delta": ("text", b'"text":"'),
    "thinking_delta": ("thinking", b'"thinking":"'),
    "input_json_delta": ("partial_json", b'"input":'),
    "signature_delta": ("signature", b'"signature":"'),
}
_NOTHING = ("", b"")


class CannotApply(Exception):
    """A fault that has no place in this reply: one line."""


class Fails(Protocol):
    """Makes an error reply; `streamed`: with the body that an `error` event has."""

    def __call__(self, script: Failure, *, streamed: bool = False) -> Plan: ...


class Site(NamedTuple):
    """What a fault may know of the reply it strikes.

    `told`: the same message as a stream, before any fault; None for what is no message. `failure` makes an error reply
    under the same request id.
    """

    random: Random
    told: Plan | None
    failure: Fails


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """A place in a reply: exactly one of the counters. `in`: only deltas of this kind of block count."""

    noun: ClassVar[str] = "place"
    events: int | None = None
    deltas: int | None = None
    blocks: int | None = None
    tokens: int | None = None
    bytes: int | None = None
    in_: str | None = field(default=None, metadata={"key": "in"})

    def mistakes(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        given = [name for name in COUNTERS if getattr(self, name) is not None]
        if len(given) != 1:
            yield (), f"expected exactly one of {', '.join(COUNTERS)}; got {' and '.join(given) or 'none'}"
        for name in given:
            if getattr(self, name) < 0:
                yield (name,), "expected a number from 0 up"
        if self.in_ is not None and "deltas" not in given:
            yield ("in",), "'in' goes with deltas"
        if self.in_ is not None and self.in_ not in BLOCKS:
            yield (
                ("in",),
                f"unknown block '{self.in_}'; expected one of {', '.join(BLOCKS)}{suggestion(self.in_, BLOCKS)}",
            )

    @property
    def counter(self) -> tuple[str, int]:
        """What is counted, and how far."""
        name = next(name for name in COUNTERS if getattr(self, name) is not None)
        return name, getattr(self, name)

    def __str__(self) -> str:
        name, count = self.counter
        return f"after {_number_of(count, name)}" + (f" in {self.in_}" if self.in_ else "")


def _number_of(count: int, name: str) -> str:
    return f"{count} {name.removesuffix('s') if count == 1 else name}"


def _read_after(node: Node, problems: Problems) -> After | None:
    """A bare number counts deltas."""
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        mark: Mark | None = node.mark
        node = Node({"deltas": node}, mark, {"deltas": mark})
    if not isinstance(node.value, dict):
        said = "expected a number of deltas, or a counter with its number such as {events: 3}"
        problems.add(node, f"{said}; got {node.plain()!r}")
        return None
    found: After | None = decode(After, node, problems)
    return found


Place = Annotated[After, Reads(_read_after)]


# -- in a stream ---------------------------------------------------------------------------------------------------


def name_of(frame: bytes) -> str:
    """The event that a frame tells; empty for what is no whole event."""
    if not frame.startswith(b"event: ") or not frame.endswith(b"\n\n"):
        return ""
    return frame[7 : frame.index(b"\n")].decode("ascii", "replace")


def payload_of(frame: bytes) -> dict[str, Any]:
    """The JSON of a whole event; empty for what is none."""
    _, found, data = frame.partition(b"\ndata: ")
    try:
        payload = json.loads(data) if found else {}
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def _spot(after: After | None, frames: Sequence[bytes]) -> tuple[int, int]:
    """The frame that comes next at this place, and how many of its bytes come before it."""
    if after is None:
        return len(frames) // 2, 0
    name, count = after.counter
    if name == "bytes":
        return _at_byte(count, frames)
    return _at_count(after, name, count, frames), 0


def _at_byte(count: int, frames: Sequence[bytes]) -> tuple[int, int]:
    passed = 0
    for at, frame in enumerate(frames):
        if count < passed + len(frame):
            return at, count - passed
        passed += len(frame)
    if count == passed:
        return len(frames), 0
    raise CannotApply(f"after {count} bytes: the reply has {passed}")


def _at_count(after: After, name: str, count: int, frames: Sequence[bytes]) -> int:
    """The frame that follows the one with which the counter reaches `count`."""
    seen, first, kind = 0, None, ""
    for at, frame in enumerate(frames):
        event = name_of(frame)
        if event == "content_block_start" and after.in_ is not None:
            kind = str(payload_of(frame).get("content_block", {}).get("type"))
        worth = _WORTH[name](event, frame) if after.in_ in (None, kind) else 0
        if first is None and (worth or event in _OPENS[name]):
            first = at
        seen += worth
        if count and worth and seen >= count:
            return at + 1
    if count == 0 and first is not None:
        return first
    where = f" in {after.in_}" if after.in_ else ""
    raise CannotApply(f"{after}: the reply has {_number_of(seen, name)}{where}")


def _tokens(event: str, frame: bytes) -> int:
    if event != "content_block_delta":
        return 0
    delta = payload_of(frame).get("delta", {})
    return tokens.count(str(delta.get(_ADDS.get(str(delta.get("type")), _NOTHING)[0], "")))


# what a frame counts for under each counter
_WORTH: Mapping[str, Callable[[str, bytes], int]] = {
    "events": lambda event, frame: int(event not in ("", "ping")),
    "deltas": lambda event, frame: int(event == "content_block_delta"),
    "blocks": lambda event, frame: int(event == "content_block_stop"),
    "tokens": _tokens,
}
# the event before which a counter stands at 0
_OPENS: Mapping[str, tuple[str, ...]] = {
    "events": (),
    "deltas": (),
    "blocks": ("content_block_start",),
    "tokens": ("content_block_delta",),
}


# -- in a JSON body -------------------------------------------------------------------------------------------------


def _offset(after: After | None, body: bytes, told: Plan | None) -> int:
    """How much of a JSON body comes before a place."""
    if after is None:
        return len(body) // 2
    if after.bytes is not None:
        return _at_byte(after.bytes, (body,))[1] if after.bytes < len(body) else _whole(after, body)
    if told is None:
        raise CannotApply(f"{after}: an error reply has no events")
    frames = told.frames
    at, _ = _spot(after, frames)
    if at == 0:
        return 0
    return len(body) if at == len(frames) else _end_of(frames, at, body)


def _whole(after: After, body: bytes) -> int:
    if after.bytes == len(body):
        return len(body)
    raise CannotApply(f"{after}: the reply has {len(body)}")


def _end_of(frames: Sequence[bytes], upto: int, body: bytes) -> int:
    """Where the content of the first `upto` frames ends in the body that tells the same message."""
    at = reached = 0
    for key, pieces in _contents(frames):
        content = key + b"".join(piece for _, piece in pieces)
        start = body.find(content, at)
        if start < 0:
            continue
        before = [piece for frame, piece in pieces if frame < upto]
        if not before and reached:
            return reached
        reached = start + len(key) + sum(map(len, before))
        if len(before) < len(pieces):
            return reached
        at = start + len(content)
    return reached


def _contents(frames: Sequence[bytes]) -> Iterator[tuple[bytes, list[tuple[int, bytes]]]]:
    """For each field that deltas fill: the key before it in a JSON reply, and the frames that fill it with what they
    add, as it stands there."""
    pieces: list[tuple[int, bytes]] = []
    kind = ""
    state = _OUTSIDE
    for at, frame in enumerate(frames):
        event = name_of(frame)
        delta = payload_of(frame).get("delta", {}) if event == "content_block_delta" else {}
        new = str(delta.get("type", kind))
        if pieces and (event == "content_block_stop" or new != kind):
            yield _ADDS[kind][1], pieces
            pieces, state = [], _OUTSIDE
        kind = new
        added = delta.get(_ADDS.get(kind, _NOTHING)[0], "")
        if added and kind == "input_json_delta":
            compact, state = _compact(added, state)
            pieces.append((at, encode(compact)))
        elif added:
            pieces.append((at, encode(dumps(added)[1:-1])))


# where a piece of JSON ends: outside a string, in one, or in one behind a backslash
_OUTSIDE, _INSIDE, _ESCAPED = range(3)


def _compact(piece: str, state: int) -> tuple[str, int]:
    """A piece of the input of a call without the spaces between its values, which a JSON reply has not; and the state
    that it leaves."""
    kept = []
    for letter in piece:
        if state == _OUTSIDE and letter == " ":
            continue
        kept.append(letter)
        if state == _ESCAPED or (state == _OUTSIDE and letter == '"'):
            state = _INSIDE
        elif state == _INSIDE and letter in '"\\':
            state = _OUTSIDE if letter == '"' else _ESCAPED
    return "".join(kept), state


# -- taking a reply apart -------------------------------------------------------------------------------------------


def split(plan: Plan, after: After | None, site: Site) -> tuple[list[Step], list[Step]]:
    """The steps before a place and those behind it. Without a place: in the middle. Raises CannotApply."""
    steps = unrolled(plan)
    frames = [(at, step) for at, step in enumerate(steps) if not isinstance(step, Wait)]
    if plan.stream:
        spot, inside = _spot(after, [frame for _, (_, frame) in frames])
    else:
        body = b"".join(frame for _, (_, frame) in frames)
        spot, inside = _at_byte(_offset(after, body, site.told), [frame for _, (_, frame) in frames])
    if spot == len(frames):
        return steps, []
    at, (delay, frame) = frames[spot]
    if not inside:
        return steps[:at], steps[at:]
    return [*steps[:at], (delay, frame[:inside])], [(0, frame[inside:]), *steps[at + 1 :]]

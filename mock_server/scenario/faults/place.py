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
from mock_server.protocol.plan import Payload, Plan, Send, Step, Wait, unrolled
from mock_server.protocol.sse import dumps, encode
from mock_server.records import dataclass
from mock_server.scenario.decode import Reads, decode
from mock_server.scenario.error import Failure
from mock_server.scenario.node import Node, Position, Problems, one_of

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
    """What a fault may know of the reply it changes.

    `told`: the same message as a stream, before any fault; None for what is no message. `failure` makes an error reply
    under the same request id.
    """

    random: Random
    streamed: Plan | None
    failure: Fails


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """A place in a reply: exactly one of the counters. `in`: only deltas of this kind of block count."""

    noun: ClassVar[str] = "place"
    events: int | None = None
    """After so many events, pings not counted."""
    deltas: int | None = None
    """After so many deltas; 0: before the first."""
    blocks: int | None = None
    """After so many blocks; 0: before the first."""
    tokens: int | None = None
    """After the delta that completes so many tokens."""
    bytes: int | None = None
    """After so many bytes of the body, also inside an event."""
    in_: str | None = field(default=None, metadata={"key": "in"})
    """Count only the deltas of this kind of block, such as tool_use."""

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
                f"unknown block '{self.in_}'{one_of(self.in_, BLOCKS)}",
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
        mark: Position | None = node.position
        node = Node({"deltas": node}, mark, {"deltas": mark})
    if not isinstance(node.value, dict):
        said = "expected a number of deltas, or a counter with its number such as {events: 3}"
        problems.add(node, f"{said}; got {node.plain()!r}")
        return None
    found: After | None = decode(After, node, problems)
    return found


Place = Annotated[After, Reads(_read_after)]


# -- in a stream ---------------------------------------------------------------------------------------------------


def event_of(step: Step) -> str:
    """The event that a step of a stream sends; empty for what is no whole event."""
    if isinstance(step, Wait):
        return ""
    return name_of(step.frame) if step.payload is None else str(step.payload["type"])


def said_by(step: Send) -> Payload:
    """What a step of a stream says; empty for what is no event. What a fault has been at is read as a client does."""
    return payload_of(step.frame) if step.payload is None else step.payload


def name_of(frame: bytes) -> str:
    """The name of the event in a frame; empty for what is no whole event."""
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


def _spot(after: After | None, sent: Sequence[Send]) -> tuple[int, int]:
    """The frame that comes next at this place, and how many of its bytes come before it."""
    if after is None:
        return len(sent) // 2, 0
    name, count = after.counter
    if name == "bytes":
        return _at_byte(count, [step.frame for step in sent])
    return _at_count(after, name, count, sent), 0


def _at_byte(count: int, frames: Sequence[bytes]) -> tuple[int, int]:
    passed = 0
    for at, frame in enumerate(frames):
        if count < passed + len(frame):
            return at, count - passed
        passed += len(frame)
    if count == passed:
        return len(frames), 0
    raise CannotApply(f"after {count} bytes: the reply has {passed}")


def _at_count(after: After, name: str, count: int, sent: Sequence[Send]) -> int:
    """The frame that follows the one with which the counter reaches `count`."""
    seen, first, kind = 0, None, ""
    for at, step in enumerate(sent):
        event = event_of(step)
        if event == "content_block_start" and after.in_ is not None:
            kind = str(said_by(step).get("content_block", {}).get("type"))
        worth = _WORTH[name](event, step) if after.in_ in (None, kind) else 0
        if first is None and (worth or event in _OPENS[name]):
            first = at
        seen += worth
        if count and worth and seen >= count:
            return at + 1
    if count == 0 and first is not None:
        return first
    where = f" in {after.in_}" if after.in_ else ""
    raise CannotApply(f"{after}: the reply has {_number_of(seen, name)}{where}")


def _tokens(event: str, step: Send) -> int:
    if event != "content_block_delta":
        return 0
    delta = said_by(step).get("delta", {})
    return tokens.count(str(delta.get(_ADDS.get(str(delta.get("type")), _NOTHING)[0], "")))


# what a frame counts for under each counter
_WORTH: Mapping[str, Callable[[str, Send], int]] = {
    "events": lambda event, step: int(event not in ("", "ping")),
    "deltas": lambda event, step: int(event == "content_block_delta"),
    "blocks": lambda event, step: int(event == "content_block_stop"),
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


def _offset(after: After | None, body: bytes, streamed: Plan | None) -> int:
    """How much of a JSON body comes before a place."""
    if after is None:
        return len(body) // 2
    if after.bytes is not None:
        return _at_byte(after.bytes, (body,))[1] if after.bytes < len(body) else _whole(after, body)
    if streamed is None:
        raise CannotApply(f"{after}: an error reply has no events")
    sent = _sends(unrolled(streamed))
    at, _ = _spot(after, sent)
    if at == 0:
        return 0
    return len(body) if at == len(sent) else _end_of(sent, at, body)


def _whole(after: After, body: bytes) -> int:
    if after.bytes == len(body):
        return len(body)
    raise CannotApply(f"{after}: the reply has {len(body)}")


def _sends(steps: Sequence[Step]) -> list[Send]:
    return [step for step in steps if not isinstance(step, Wait)]


def _end_of(sent: Sequence[Send], upto: int, body: bytes) -> int:
    """Where the content of the first `upto` frames ends in the body of the same message."""
    at = reached = 0
    for key, pieces in _contents(sent):
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


def _contents(sent: Sequence[Send]) -> Iterator[tuple[bytes, list[tuple[int, bytes]]]]:
    """For each field that deltas fill: the key before it in a JSON reply, and the frames that fill it with what they
    add, as it stands there."""
    pieces: list[tuple[int, bytes]] = []
    kind = ""
    state = _OUTSIDE
    for at, step in enumerate(sent):
        event = event_of(step)
        delta = said_by(step).get("delta", {}) if event == "content_block_delta" else {}
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
    sent = _sends(steps)
    if plan.stream:
        spot, inside = _spot(after, sent)
    else:
        frames = [step.frame for step in sent]
        spot, inside = _at_byte(_offset(after, b"".join(frames), site.streamed), frames)
    if spot == len(sent):
        return steps, []
    places = [at for at, step in enumerate(steps) if not isinstance(step, Wait)]
    at, (delay, frame, _) = places[spot], sent[spot]
    if not inside:
        return steps[:at], steps[at:]
    return [*steps[:at], Send(delay, frame[:inside])], [Send(0, frame[inside:]), *steps[at + 1 :]]

"""Where in a reply a fault strikes, and a reply taken apart there.

`after: {deltas: 5}` is right behind the fifth delta; `events`, `blocks`, `tokens` and `bytes` count likewise, from 0
(before the first). Pings are not counted: clients do not see them either. `after: {event: message_delta}` is right
behind an event, `at: message_delta` right before it, `at: {event: message_stop, bytes: 20}` inside its frame, `after:
{time: 121s}` so long behind the head. In a JSON reply the same place is where the same content ends in the body.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from random import Random
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, get_args

from mock_server.protocol import tokens
from mock_server.protocol.blocks import BLOCKS, FILLS
from mock_server.protocol.message import PING
from mock_server.protocol.plan import Payload, Plan, Send, Step, Wait, unrolled
from mock_server.protocol.sse import KEEPALIVE_FRAME, PING_FRAME, dumps, encode
from mock_server.records import dataclass
from mock_server.scenario.decode import Reads, decode
from mock_server.scenario.error import Failure
from mock_server.scenario.node import Mistakes, Node, Problems, is_int, one_of, suggestion
from mock_server.scenario.timing import Duration, written

EventName = Literal[
    "message_start",
    "content_block_start",
    "ping",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
]
COUNTERS = ("events", "deltas", "blocks", "tokens", "bytes")
_PLACES = (*COUNTERS, "event", "time")
_TIME = re.compile(r"\d+(\.\d+)?\s*(us|ms|s|m)")


class CannotApply(Exception):
    """A fault that has no place in this reply: one line."""


class Fails(Protocol):
    """Makes an error reply; `streamed`: with the body that an `error` event has."""

    def __call__(self, script: Failure, *, streamed: bool = False) -> Plan: ...


class Site(NamedTuple):
    """What a fault may know of the reply it changes.

    `streamed`: the same message as a stream, before any fault; None for what is no message. `failure` makes an error
    reply under the same request id. `is_sketch`: the reply is one as it is known at load: without its times, and
    without what only a request decides. `shows`: what of a reply is seen, where it has no head and no pace; None: all.
    """

    random: Random
    streamed: Plan | None
    failure: Fails
    is_sketch: bool = False
    shows: Callable[[Plan], Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """A place in a reply: exactly one of the counters, an event, or a time. `in`: only deltas of this kind of block
    count."""

    noun: ClassVar[str] = "place"
    empty: ClassVar[tuple[str, ...]] = ()
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
    event: str | None = None
    """After the event of this name."""
    nth: int | None = None
    """Which event of this name, from 1; from the end: -1 and so on."""
    time: Duration | None = None
    """So long after the head of the reply, by the session's clock, such as 121s."""

    def mistakes(self) -> Mistakes:
        places = [name for name in _PLACES if getattr(self, name) is not None]
        if len(places) != 1:
            yield (), f"expected exactly one of {', '.join(_PLACES)}; got {' and '.join(places) or 'none'}"
        for name in places:
            if name in COUNTERS and getattr(self, name) < 0:
                yield (name,), "expected a number from 0 up"
        if self.nth is not None and "event" not in places:
            yield ("nth",), "'nth' goes with event"
        if self.nth == 0:
            yield ("nth",), FROM_ONE
        if self.in_ is not None and "deltas" not in places:
            yield ("in",), "'in' goes with deltas"
        if self.in_ is not None and self.in_ not in BLOCKS:
            yield ("in",), f"unknown block '{self.in_}'{one_of(self.in_, BLOCKS)}"

    @property
    def counter(self) -> tuple[str, int]:
        """What is counted, and how far."""
        name = next(name for name in COUNTERS if getattr(self, name) is not None)
        return name, getattr(self, name)

    def __str__(self) -> str:
        if self.event is not None:
            return f"after {_named(self.event, self.nth)}"
        if self.time is not None:
            return f"after {written(self.time)}"
        name, count = self.counter
        return f"after {_number_of(count, name)}" + (f" in {self.in_}" if self.in_ else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """An event as a place: right before it, or inside its frame."""

    noun: ClassVar[str] = "place"
    empty: ClassVar[tuple[str, ...]] = ()
    event: str | None = None
    """Before the event of this name."""
    nth: int | None = None
    """Which event of this name, from 1; from the end: -1 and so on."""
    block: int | None = None
    """Count only the events of the block with this index."""
    index: int | None = None
    """Before the event of this number, from 0, pings not counted."""
    bytes: int | None = None
    """Inside its frame, after so many bytes."""

    def mistakes(self) -> Mistakes:
        yield from chooses(self.event, self.nth, self.block, self.index)
        if self.bytes is not None and self.bytes < 1:
            yield ("bytes",), "inside a frame is behind 1 byte of it at least"

    def __str__(self) -> str:
        inside = "" if self.bytes is None else f" after {_number_of(self.bytes, 'bytes')} of it"
        return f"at {chosen_in_words(self.event, self.nth, self.block, self.index)}{inside}"


FROM_ONE = "events are counted from 1, or from the end: -1"


def chooses(event: str | None, nth: int | str | None, block: int | None, index: int | None) -> Mistakes:
    """What is wrong with words that choose events."""
    if event is None and block is None and index is None:
        yield (), "names no event: expected event, block or index"
    if index is not None:
        for name, value in (("event", event), ("nth", nth), ("block", block)):
            if value is not None:
                yield (name,), f"'index' names one event; take '{name}' out"
    for name, number in (("block", block), ("index", index)):
        if number is not None and number < 0:
            yield (name,), "expected a number from 0 up"
    if nth == 0:
        yield ("nth",), FROM_ONE


def chosen_in_words(event: str | None, nth: int | str | None, block: int | None, index: int | None) -> str:
    """The events that are chosen, in words."""
    if index is not None:
        return f"event {index}"
    inside = "" if block is None else f"{' of ' if event else ''}block {block}"
    return f"{_named(event or '', nth)}{inside}".strip()


def _named(event: str, nth: int | str | None) -> str:
    return event if nth is None else f"{event} {nth}"


def _number_of(count: int, name: str) -> str:
    return f"{count} {name.removesuffix('s') if count == 1 else name}"


def _read_after(node: Node, problems: Problems) -> After | None:
    """A bare number counts deltas."""
    if is_int(node.value):
        node = node.under("deltas")
    if not isinstance(node.value, dict):
        expected = "expected a number of deltas, or a counter with its number such as {events: 3}"
        problems.add(node, f"{expected}; got {node.plain()!r}{_as_place(node.value)}")
        return None
    found: After | None = decode(After, node, problems)
    return found


def _as_place(text: Any) -> str:
    """How a time or the name of an event is written as a place."""
    if not isinstance(text, str):
        return ""
    if _TIME.fullmatch(text):
        return f"; a time is written {{time: {text}}}"
    close = suggestion(text, get_args(EventName))
    name = text if text in get_args(EventName) else close.partition("'")[2].partition("'")[0]
    return f"; an event is written {{event: {name}}}, and right before it is `at: {name}`" if name else ""


Place = Annotated[After, Reads(_read_after)]


def _read_at(node: Node, problems: Problems) -> At | None:
    """A bare name is that of an event."""
    if isinstance(node.value, str):
        node = node.under("event")
    if not isinstance(node.value, dict):
        wanted = f"expected an event such as message_delta, or {{event: message_stop, bytes: 30}}; got {node.plain()!r}"
        more = f"; behind so many deltas is `after: {node.value}`" if isinstance(node.value, int) else ""
        problems.add(node, f"{wanted}{more}")
        return None
    found: At | None = decode(At, node, problems)
    return found


Spot = Annotated[At, Reads(_read_at)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A fault that strikes at a place."""

    after: Place | None = None
    at: Spot | None = None

    def split(self, plan: Plan, site: Site) -> tuple[list[Step], list[Step]]:
        """The steps before its place and those behind it. Raises CannotApply."""
        return split(plan, self.at or self.after, site)


# -- which events --------------------------------------------------------------------------------------------------


def chosen(
    steps: Sequence[Step], event: str | None, nth: int | str | None, block: int | None, index: int | None
) -> list[int]:
    """The steps whose events these words choose: without `nth` the first of its name, or all of a block. Raises
    CannotApply where there is none."""
    if index is not None:
        counted = [at for at, step in enumerate(steps) if is_counted(step)]
        if index >= len(counted):
            raise CannotApply(f"there is no event {index}: the reply has {len(counted)}")
        return [counted[index]]
    found = [
        at
        for at, step in enumerate(steps)
        if (name := event_of(step)) and event in (None, name) and block in (None, payload_of(step).get("index"))
    ]
    if nth is None:
        nth = "all" if event is None else 1
    if found and nth == "all":
        return found
    at = nth if isinstance(nth, int) else 1
    if not found or not -len(found) <= at <= len(found):
        words = chosen_in_words(event, nth if found else None, block, None)
        names = {event_of(step) for step in steps} - {""}
        hint = suggestion(event, names) if event is not None and event not in get_args(EventName) else ""
        raise CannotApply(f"there is no {words}: the reply has {len(found)}{hint}")
    return [found[at - 1 if at > 0 else at]]


# -- in a stream ---------------------------------------------------------------------------------------------------


def event_of(step: Step) -> str:
    """The event that a step of a stream sends; empty for what is no whole event."""
    if isinstance(step, Wait):
        return ""
    return name_of(step.frame) if step.payload is None else str(step.payload["type"])


def is_counted(step: Step) -> bool:
    """Whether a step is an event that places count: clients do not see pings."""
    return event_of(step) not in ("", "ping")


def payload_of(step: Step) -> Payload:
    """What a step of a stream sends; empty for what is no event. What a fault has been at is read as a client does."""
    if isinstance(step, Wait):
        return {}
    if step.payload is not None:
        return step.payload
    _, found, data = step.frame.partition(b"\ndata: ")
    try:
        payload = json.loads(data) if found else {}
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) and isinstance(payload.get("type"), str) else {}


def sends(steps: Iterable[Step]) -> list[Send]:
    """The steps that send something."""
    return [step for step in steps if not isinstance(step, Wait)]


def duration(steps: Iterable[Step]) -> int:
    """The delays of some steps together, in microseconds; a wait counts as no time."""
    return sum(step.delay for step in steps if not isinstance(step, Wait))


def _part(step: Send, key: str) -> Mapping[str, Any]:
    """An object in the payload of a step; empty where an edit left none."""
    part = payload_of(step).get(key)
    return part if isinstance(part, Mapping) else {}


def name_of(frame: bytes) -> str:
    """The name of the event in a frame; empty for what is no whole event."""
    if not frame.startswith(b"event: ") or not frame.endswith(b"\n\n"):
        return ""
    return frame[7 : frame.index(b"\n")].decode("utf-8", "replace")


def _spot(after: After | At | None, sent: Sequence[Send]) -> tuple[int, int]:
    """The frame that comes next at this place, and how many of its bytes come before it."""
    if after is None:
        return len(sent) // 2, 0
    if isinstance(after, At):
        return _at_event(after, sent)
    if after.event is not None:
        return chosen(sent, after.event, after.nth, None, None)[0] + 1, 0
    name, count = after.counter
    if name == "bytes":
        return _at_byte(count, [step.frame for step in sent])
    return _at_count(after, name, count, sent), 0


def _at_event(at: At, sent: Sequence[Send]) -> tuple[int, int]:
    found = chosen(sent, at.event, at.nth, at.block, at.index)[0]
    size = len(sent[found].frame)
    if at.bytes is not None and at.bytes >= size:
        raise CannotApply(f"{at}: its frame has {size} bytes")
    return found, at.bytes or 0


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
            kind = str(_part(step, "content_block").get("type"))
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
    delta = _part(step, "delta")
    return tokens.count(str(_piece(delta)))


def _piece(delta: Mapping[str, Any]) -> Any:
    """What a delta adds to a text, or to the input of a call."""
    kind = str(delta.get("type"))
    return delta.get(FILLS[kind][1], "") if kind in FILLS else ""


# what a frame counts for under each counter
_WORTH: Mapping[str, Callable[[str, Send], int]] = {
    "events": lambda event, step: int(is_counted(step)),
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


def _offset(after: After | At | None, body: bytes, streamed: Plan | None) -> int:
    """How much of a JSON body comes before a place."""
    if after is None:
        return len(body) // 2
    if isinstance(after, At):
        if after.bytes is not None:
            raise CannotApply(f"{after}: a JSON reply has no frames")
    elif after.bytes is not None:
        if after.bytes > len(body):
            raise CannotApply(f"{after}: the reply has {len(body)}")
        return after.bytes
    if streamed is None:
        raise CannotApply(f"{after}: a reply that is no message has no events")
    sent = sends(unrolled(streamed))
    at, _ = _spot(after, sent)
    if at == 0:
        return 0
    return len(body) if at == len(sent) else _end_of(sent, at, body)


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
        delta = _part(step, "delta") if event == "content_block_delta" else {}
        new = str(delta.get("type", kind))
        if pieces and (event == "content_block_stop" or new != kind):
            yield _before(kind), pieces
            pieces, state = [], _OUTSIDE
        kind = new
        added = _piece(delta)
        if added and kind == "input_json_delta":
            compact, state = _compact(added, state)
            pieces.append((at, encode(compact)))
        elif added:
            pieces.append((at, encode(dumps(added)[1:-1])))


def _before(kind: str) -> bytes:
    """What stands before the content of a field in a JSON reply: its key, and of a text the quote."""
    field, _ = FILLS[kind]
    return encode(f'"{field}":' if field == "input" else f'"{field}":"')


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


def split(plan: Plan, after: After | At | None, site: Site) -> tuple[list[Step], list[Step]]:
    """The steps before a place and those behind it. Without a place: in the middle. Raises CannotApply."""
    steps = unrolled(plan)
    if isinstance(after, After) and after.time is not None:
        return _at_time(plan, after, after.time, steps, is_sketch=site.is_sketch)
    sent = sends(steps)
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


def _at_time(
    plan: Plan, after: After, time: int, steps: list[Step], *, is_sketch: bool
) -> tuple[list[Step], list[Step]]:
    """The steps up to a time after the head, and those behind it, which come when they would have come. At load no
    times are known."""
    passed, wanted = 0, plan.at + time
    for at, step in enumerate(steps):
        if isinstance(step, Wait):
            if step.gate is not None:
                raise CannotApply(f"{after}: the gate '{step.gate}' before it opens when a test wants it to")
            return [*steps[:at], *beats(step.ping_every, wanted - passed, comments=step.comments)], []
        if passed + step.delay > wanted:
            late = step._replace(delay=passed + step.delay - wanted)
            return [*steps[:at], Send(wanted - passed, b"")], [late, *steps[at + 1 :]]
        passed += step.delay
    if is_sketch or passed == wanted:
        return steps, []
    raise CannotApply(f"{after}: the reply is over {written(passed - plan.at)} after its head")


MOST_BEATS = 50_000


def beats(every: int, length: int, *, comments: bool) -> list[Step]:
    """A silence of this length: with a ping or a comment each time so long has passed (0: with none)."""
    count = min(max(0, length - 1) // every, MOST_BEATS) if every else 0
    beat = Send(every, KEEPALIVE_FRAME) if comments else Send(every, PING_FRAME, PING)
    return [*[beat] * count, Send(length - count * every, b"")]

"""Faults inside the events: broken, missing, doubled, out of order, unknown; edited and put in; and legal framing that
is awkward to read.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from random import Random
from typing import Annotated, Any, ClassVar, Literal

from mock_server.protocol.blocks import TEXT_DELTAS
from mock_server.protocol.message import PING, plain
from mock_server.protocol.plan import Manner, Payload, Plan, Send, Step, Wait, rolled, unrolled
from mock_server.protocol.sse import dumps, encode, frame, heard
from mock_server.records import dataclass
from mock_server.scenario import paths
from mock_server.scenario.decode import Reads
from mock_server.scenario.faults.place import (
    CannotApply,
    EventName,
    Place,
    Placed,
    Site,
    chooses,
    chosen,
    chosen_in_words,
    duration,
    event_of,
    is_counted,
    payload_of,
    sends,
    split,
)
from mock_server.scenario.faults.stream import MOST_GARBAGE, ended
from mock_server.scenario.node import Mistakes, Node, NoNumber, Problems, is_int, kind, spelled


def _need_events(plan: Plan, what: str) -> None:
    """Raises CannotApply for a JSON reply."""
    if not plan.stream:
        raise CannotApply(f"{what}: a JSON reply has no events")


def _nth(steps: list[Step], event: str, nth: int) -> int:
    """The step of the nth event of this name, counted from 1."""
    seen = 0
    for at, step in enumerate(steps):
        if event_of(step) == event:
            seen += 1
            if seen == nth:
                return at
    raise CannotApply(f"there is no {event} {nth}: the reply has {seen}")


def framed(payload: Payload, delay: int = 0) -> Send:
    """An event under its own name."""
    return Send(delay, frame(payload), payload)


def _under(name: str | None, data: Any, delay: int = 0) -> Send:
    """A frame under any name, or none. Its data is kept beside it as a payload where a client reads the same."""
    if name is not None and isinstance(data, Mapping) and data.get("type") == name:
        return framed(data, delay)
    line = "" if name is None else f"event: {name}\n"
    return Send(delay, encode(f"{line}data: {dumps(data)}\n\n"))


def _without(steps: Sequence[Step], places: Sequence[int]) -> Iterator[Step]:
    """The steps without some; those behind them come when they would have come."""
    late = 0
    for at, step in enumerate(steps):
        if at in places:
            late += _sent(step).delay
        elif isinstance(step, Wait):
            yield step
            late = 0
        else:
            yield step._replace(delay=step.delay + late)
            late = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _OneEvent:
    """A fault of one event: the nth of its kind."""

    event: EventName = "content_block_delta"
    nth: int = 1

    def mistakes(self) -> Mistakes:
        if self.nth < 1:
            yield ("nth",), "events are counted from 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedJson(_OneEvent):
    """The data of an event, or a JSON reply, is not JSON: its end is missing."""

    type: ClassVar[str] = "malformed_json"

    def apply(self, plan: Plan, site: Site) -> Plan:
        if not plan.stream:
            body = plan.body()
            return with_body(plan, body[: max(1, len(body) - 2)])
        steps = unrolled(plan)
        at = _nth(steps, self.event, self.nth)
        sent = _sent(steps[at])
        return rolled(plan, [*steps[:at], Send(sent.delay, sent.frame[:-3] + b"\n\n"), *steps[at + 1 :]])


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingEvent(_OneEvent):
    """An event that never comes."""

    type: ClassVar[str] = "missing_event"
    event: EventName = "message_stop"

    def apply(self, plan: Plan, site: Site) -> Plan:
        _need_events(plan, self.type)
        steps = unrolled(plan)
        return rolled(plan, _without(steps, [_nth(steps, self.event, self.nth)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateEvent(_OneEvent):
    """An event that comes twice."""

    type: ClassVar[str] = "duplicate_event"

    def apply(self, plan: Plan, site: Site) -> Plan:
        _need_events(plan, self.type)
        steps = unrolled(plan)
        at = _nth(steps, self.event, self.nth)
        return rolled(plan, [*steps[: at + 1], _sent(steps[at])._replace(delay=0), *steps[at + 1 :]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorder(_OneEvent):
    """An event changes places with the one after it."""

    type: ClassVar[str] = "reorder"

    def apply(self, plan: Plan, site: Site) -> Plan:
        _need_events(plan, self.type)
        steps = unrolled(plan)
        at = _nth(steps, self.event, self.nth)
        after = next((i for i in range(at + 1, len(steps)) if not isinstance(steps[i], Wait)), None)
        if after is None:
            raise CannotApply(f"{self.type}: nothing comes after {self.event} {self.nth}")
        one, other = _sent(steps[at]), _sent(steps[after])
        steps[at], steps[after] = other._replace(delay=one.delay), one._replace(delay=other.delay)
        return rolled(plan, steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent(Placed):
    """An event of a kind that no client knows yet."""

    type: ClassVar[str] = "unknown_event"
    name: str = "message_mood"

    def mistakes(self) -> Mistakes:
        if not self.name.isidentifier():
            yield ("name",), "the name of an event is one word"

    def apply(self, plan: Plan, site: Site) -> Plan:
        _need_events(plan, self.type)
        before, rest = self.split(plan, site)
        return rolled(plan, [*before, framed({"type": self.name, "mood": "unknown"}), *rest])


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownDelta(Placed):
    """A delta of a kind that no client knows yet, in the block that is open."""

    type: ClassVar[str] = "unknown_delta"
    name: str = "mood_delta"

    def apply(self, plan: Plan, site: Site) -> Plan:
        _need_events(plan, self.type)
        before, rest = self.split(plan, site)
        payload = {"type": "content_block_delta", "index": _open_block(before), "delta": {"type": self.name, "mood": 1}}
        return rolled(plan, [*before, framed(payload), *rest])


def _open_block(before: list[Step]) -> int:
    """The index of the block that is open after these steps."""
    for step in reversed(before):
        event = event_of(step)
        if event in ("content_block_start", "content_block_delta"):
            index = payload_of(step).get("index")
            if isinstance(index, int):
                return index
        if event in ("content_block_stop", "message_delta"):
            break
    raise CannotApply("unknown_delta: no block is open at this place")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraFields:
    """Fields that no client knows yet, in every event, or in the JSON reply."""

    type: ClassVar[str] = "extra_fields"

    def apply(self, plan: Plan, site: Site) -> Plan:
        return _edited(plan, lambda payload: {**payload, "x_unknown": {"nested": [1, None, "é"]}})


@dataclass(frozen=True, slots=True, kw_only=True)
class NoUsage:
    """The usage is missing: in message_delta (and a JSON reply), or in message_start."""

    type: ClassVar[str] = "no_usage"
    event: Literal["message_delta", "message_start"] = "message_delta"

    def apply(self, plan: Plan, site: Site) -> Plan:
        if not plan.stream and b'"usage"' not in plan.body():
            raise CannotApply("no_usage: a reply that is no message has none")
        return _edited(plan, self._without)

    def _without(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        kept = dict(payload)
        kind = payload.get("type")
        if kind in (self.event, "message") and "usage" in payload:
            del kept["usage"]
        elif kind == self.event and isinstance(payload.get("message"), Mapping):
            kept["message"] = {name: value for name, value in payload["message"].items() if name != "usage"}
        return kept


def _edited(plan: Plan, edit: Callable[[Payload], Payload]) -> Plan:
    """The plan with every event, or the JSON body, as `edit` makes it; what is no whole event stays as it is."""
    if not plan.stream:
        try:
            edited = edit(body_of(plan))
        except ValueError:
            raise CannotApply("the body is no JSON any more") from None
        return with_body(plan, encode(dumps(edited)), edited)
    steps = unrolled(plan)
    if not any(map(payload_of, steps)):
        raise CannotApply("there is no event in what is sent")
    return rolled(
        plan,
        [
            _under(event_of(step) or None, edit(payload), _sent(step).delay) if (payload := payload_of(step)) else step
            for step in steps
        ],
    )


def body_of(plan: Plan) -> Payload:
    """The payload of a JSON body. Where a fault has been at it, it is read as a client does: ValueError for no JSON."""
    payloads = plan.payloads
    if len(payloads) == 1 and payloads[0] is not None:
        return payloads[0]
    body: Payload = json.loads(plan.body())
    return body


def with_body(plan: Plan, body: bytes, payload: Payload | None = None) -> Plan:
    """A JSON plan with another body, due when the whole was."""
    steps = unrolled(plan)
    return rolled(plan, [*(step for step in steps if isinstance(step, Wait)), Send(duration(steps), body, payload)])


def _sent(step: Step) -> Send:
    assert not isinstance(step, Wait)
    return step


MOST_EDITED = 16 << 20  # bytes of all events that one edit changes
SAME = ""  # the name of an event that keeps its own


# -- edits, as they are written -------------------------------------------------------------------------------------


def read_sets(node: Node, problems: Problems) -> Mapping[str, Any]:
    """Paths with the values that are put there."""
    if not isinstance(node.value, dict) or not node.value:
        example = "{message.usage.input_tokens: 0}"
        problems.add(node, f"expected paths with their values, such as {example}; got {kind(node)}")
        return {}
    for path in node.value:
        if paths.parse(path) is None:
            problems.add_key(node, path, f"'{path}' is no path; for example message.usage.input_tokens")
    return {path: value.plain() for path, value in node.value.items()}


def read_removed(node: Node, problems: Problems) -> tuple[str, ...]:
    """A path, or a list of them."""
    listed = node.value if isinstance(node.value, list) else [node]
    for one in listed:
        if not isinstance(one.value, str) or paths.parse(one.value) is None:
            problems.add(one, f"expected a path such as usage.output_tokens, got {one.plain()!r}")
    return tuple(str(one.value) for one in listed)


def read_nth(node: Node, problems: Problems) -> int | Literal["all"] | None:
    """A number from 1, from the end (-1), or `all`."""
    value = node.value
    if value == "all" or is_int(value):
        return value  # type: ignore[no-any-return]
    problems.add(node, f"expected the number of an event from 1, -1 for the last, or all; got {node.plain()!r}")
    return None


def read_event_name(node: Node, problems: Problems) -> str | None:
    """What stands behind `event:`; null for no such line."""
    if node.value is None:
        return None
    if isinstance(node.value, str) and node.value.isprintable() and node.value.strip():
        return node.value
    problems.add(node, f"expected a name in one line, or null for data alone; got {node.plain()!r}")
    return SAME


Sets = Annotated[Mapping[str, Any], Reads(read_sets)]
Removed = Annotated[tuple[str, ...], Reads(read_removed)]
Nth = Annotated[int | Literal["all"], Reads(read_nth)]
EventLine = Annotated[str | None, Reads(read_event_name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is changed in the message, by paths such as usage.input_tokens or content[0].text."""

    noun: ClassVar[str] = "change of the message"
    set: Sets = field(default_factory=dict)
    """Paths with the values that are put there."""
    remove: Removed = ()
    """Paths of what is taken out."""

    def mistakes(self) -> Mistakes:
        if not self.set and not self.remove:
            yield (), "changes nothing: expected set or remove"
        yield from _no_json(self.set)

    def __str__(self) -> str:
        return f"message {_changes(self.set, self.remove)}"


def _changes(sets: Mapping[str, Any], removed: Sequence[str]) -> str:
    """What is changed, in words."""
    return ", ".join([*sets, *(f"-{path}" for path in removed)])


def _no_json(values: Mapping[str, Any]) -> Mistakes:
    for path, value in values.items():
        if (why := _unwritable(value)) is not None:
            yield ("set", path), why


def _unwritable(value: Any) -> str | None:
    try:
        dumps(value)
    except (ValueError, TypeError):
        return "is no JSON: NaN, infinity, or something that JSON has no word for"
    strange = next(_no_numbers(value), None)
    return None if strange is None else f"{strange} is no number of JSON; if a text is meant, write it in quotes"


def _no_numbers(value: Any) -> Iterator[NoNumber]:
    """The `.nan` and `.inf` of YAML in a value."""
    if isinstance(value, NoNumber):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _no_numbers(item)


# -- edits -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """An event says something else, goes by another name or is left out; or the message is another, also as JSON."""

    type: ClassVar[str] = "edit"
    needs: ClassVar[tuple[str, ...]] = ("event", "set")
    event: str | None = None
    nth: Nth | None = None
    block: int | None = None
    index: int | None = None
    after: Place | None = None
    set: Sets = field(default_factory=dict)
    remove: Removed = ()
    name: EventLine = SAME
    drop: bool = False
    message: Changes | None = None

    def mistakes(self) -> Mistakes:
        names = ("event", "nth", "block", "index", "after", "set", "remove", "drop")
        keys = [name for name in names if (value := getattr(self, name)) or (value == 0 and value is not False)]
        if self.name != SAME:
            keys.append("name")
        if self.message is not None:
            for name in keys:
                yield (name,), f"'message' changes the stream and the JSON reply, '{name}' one event: make it two edits"
            return
        if self.after is None:
            yield from chooses(self.event, self.nth, self.block, self.index)
        else:
            for name in ("event", "nth", "block", "index"):
                if name in keys:
                    yield (name,), f"'after' names the event behind a place; take '{name}' out"
        if not {"set", "remove", "drop", "name"}.intersection(keys):
            yield (), "changes nothing: expected set, remove, name, drop or message"
        if self.drop and {"set", "remove", "name"}.intersection(keys):
            yield ("drop",), "what is left out cannot say something else: take set, remove and name out"
        yield from _no_json(self.set)

    def apply(self, plan: Plan, site: Site) -> Plan:
        if self.message is not None:
            from mock_server.scenario.faults.edits import other_message  # see there

            return other_message(plan, self.message, site)
        _need_events(plan, self.type)
        steps = unrolled(plan)
        places = self._places(plan, steps, site)
        if self.drop:
            return rolled(plan, _without(steps, places))
        size = 0
        for at in places:
            edited = steps[at] = self._edited(steps[at], site)
            size += len(edited.frame)
            if size > MOST_EDITED and len(places) > 1:
                raise CannotApply(f"its {len(places):,} events are more than {MOST_EDITED:,} bytes")
        return rolled(plan, steps)

    def _places(self, plan: Plan, steps: list[Step], site: Site) -> list[int]:
        if self.after is None:
            return chosen(steps, self.event, self.nth, self.block, self.index)
        before, rest = split(plan, self.after, site)
        if len(before) + len(rest) != len(steps):
            raise CannotApply(f"{self.after}: that is inside an event")
        found = next((at for at in range(len(before), len(steps)) if is_counted(steps[at])), None)
        if found is None:
            raise CannotApply(f"{self.after}: no event comes behind it")
        return [found]

    def _edited(self, step: Step, site: Site) -> Send:
        payload = payload_of(step)
        if not payload:
            raise CannotApply(f"the data of {event_of(step)} is no event any more")
        from mock_server.scenario.faults.edits import changed

        payload = changed(plain(payload), self.set, self.remove, event_of(step), is_sketch=site.is_sketch)
        kind = payload.get("type")
        name = self.name if self.name != SAME else kind if isinstance(kind, str) and kind else event_of(step)
        return _under(name, payload, _sent(step).delay)

    def __str__(self) -> str:
        if self.message is not None:
            return f"edit {self.message}"
        where = chosen_in_words(self.event, self.nth, self.block, self.index) if self.after is None else str(self.after)
        words = [_changes(self.set, self.remove)]
        if self.name != SAME:
            words.append("without a name" if self.name is None else f"as {self.name}")
        return " ".join(["edit", where, *filter(None, words), *(["drop"] if self.drop else ())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert(Placed):
    """An event (`event` with `data`, or `data` alone) or any bytes (`raw`) put in; the reply goes on behind them."""

    type: ClassVar[str] = "insert"
    needs: ClassVar[tuple[str, ...]] = ("raw",)
    event: str | None = None
    data: Any = None
    raw: str | None = None
    then: Literal["go_on", "end", "close", "reset", "hang"] | None = None

    def mistakes(self) -> Mistakes:
        if self.raw is None and self.data is None:
            yield (), "inserts nothing: expected raw, or data with the name of its event"
        if self.raw is not None:
            for name in ("event", "data"):
                if getattr(self, name) is not None:
                    yield (name,), f"'raw' is all that is sent; take '{name}' out"
            if not 1 <= len(self.raw) <= MOST_GARBAGE:
                yield ("raw",), f"expected 1 to {MOST_GARBAGE:,} characters"
            elif self.then is None and not self.raw.endswith(("\n\n", "\r\n\r\n", "\r\r")):
                into = "does not end with an empty line, so the next event runs into it"
                yield ("raw",), f"{into}; `then: go_on` if it should"
        if self.event is not None and not (self.event.isprintable() and self.event.strip()):
            yield ("event",), "the name of an event is one line"
        if (why := _unwritable(self.data)) is not None:
            yield ("data",), why

    def apply(self, plan: Plan, site: Site) -> Plan:
        _need_events(plan, self.type)
        before, rest = self.split(plan, site)
        sent = Send(0, encode(self.raw)) if self.raw is not None else _under(self.event, self.data)
        follows = next((event_of(step) for step in rest if is_counted(step)), None)
        if self.then is None and follows is not None and (end := _ends(sent)):
            raise CannotApply(f"{end} ends the stream, and {follows} comes behind it; say `then: end` or `then: go_on`")
        if self.then is None or self.then == "go_on":
            return rolled(plan, [*before, sent, *rest])
        return ended(plan, [*before, sent], self.then)


def _ends(sent: Send) -> str:
    """The event by which a client takes the stream for over; empty for none."""
    lines = sent.frame.decode("utf-8", "replace").splitlines()
    names = [line[6:].strip() for line in lines if line.startswith("event:")]
    names += [str(one["type"]) for one in heard(sent.frame)]
    return next((name for name in ("message_stop", "error") if name in names), "")


# -- the same reply in an awkward but legal framing: a client that reads by the rules must not notice ------------------
#
# What server-sent events allow (HTML standard, 9.2): CR, LF or CRLF, comments, `id:` and `retry:` lines, data over
# several lines. What TCP allows: pieces of any size. What the API allows: pings anywhere, deltas of nothing.

_COMMENTS = (": keep-alive", ":", ": OPENROUTER PROCESSING", ":x")


def read_habit(node: Node, problems: Problems) -> bool:
    """Whether frames have a habit. `false` would not keep it from being drawn with all the others."""
    if node.value is not True:
        problems.add(node, f"expected true, got {spelled(node.plain())}; a habit that is not wanted is left out")
    return True


Habit = Annotated[bool, Reads(read_habit)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Legal but awkward framing, drawn from its own seed or the request's; or single habits of it, in every frame."""

    type: ClassVar[str] = "wire"
    seed: int | None = None
    crlf: Habit = False
    comments: Habit = False
    split_utf8: Habit = False
    multi_line: Habit = False
    no_space: Habit = False

    def apply(self, plan: Plan, site: Site) -> Plan:
        draw = site.random if self.seed is None else Random(f"wire {self.seed}")
        if self.crlf or self.comments or self.split_utf8 or self.multi_line or self.no_space:
            return self._single(plan, draw)
        manner = (plan.manner or Manner())._replace(apart=True)
        steps = unrolled(plan)
        if plan.stream:
            newline = draw.choice(("\n", "\r\n", "\r"))
            steps = [one for step in steps for one in _framed(step, newline, draw)]
        return rolled(plan, _pieces(steps, draw))._replace(manner=manner)

    def _single(self, plan: Plan, draw: Random) -> Plan:
        """The frames as they are but for these habits. Only characters are cut in two in a JSON reply as well."""
        if not plan.stream and not self.split_utf8:
            raise CannotApply("wire: a JSON reply has no lines")
        steps = unrolled(plan)
        if plan.stream and (self.crlf or self.comments or self.multi_line or self.no_space):
            steps = [self._habitual(step, draw) for step in steps]
        if not self.split_utf8:
            return rolled(plan, steps)
        if all(step.frame.isascii() for step in sends(steps)):
            raise CannotApply("wire: split_utf8: no character of several bytes is in the reply")
        apart = (plan.manner or Manner())._replace(apart=True)
        return rolled(plan, (piece for step in steps for piece in _character_pieces(step)))._replace(manner=apart)

    def _habitual(self, step: Step, draw: Random) -> Step:
        payload = payload_of(step)
        if not payload:
            return step
        sent = _sent(step)
        mark = "data:" if self.no_space else "data: "
        name, *_ = sent.frame.decode("utf-8", "replace").split("\n")
        data = _pieces_of(dumps(payload), draw) if self.multi_line else [dumps(payload)]
        before = [draw.choice(_COMMENTS), ""] if self.comments else []
        lines = [*before, name.replace(": ", ":", 1) if self.no_space else name, *(mark + one for one in data), "", ""]
        return Send(sent.delay, encode(("\r\n" if self.crlf else "\n").join(lines)))


def _character_pieces(step: Step) -> Iterator[Step]:
    """A frame cut inside each of its characters that has several bytes."""
    if isinstance(step, Wait):
        yield step
        return
    data = step.frame
    ends = [*(at + 1 for at, byte in enumerate(data) if byte >= 0xC0), len(data)]
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        yield Send(0 if start else step.delay, data[start:end], step.payload if len(ends) == 1 else None)


# -- the events ------------------------------------------------------------------------------------------------------


def _framed(step: Step, newline: str, draw: Random) -> Iterator[Step]:
    """An event in other words, and what may stand before it."""
    payload = payload_of(step)
    if not payload:
        yield step
        return
    delay, event = _sent(step).delay, event_of(step)
    delta = payload.get("delta")
    fills = event == "content_block_delta" and isinstance(delta, Mapping) and delta.get("type") in TEXT_DELTAS
    if fills and draw.random() < 0.15:
        yield Send(delay, _lines_of(_without_text(payload), newline, draw))
        delay = 0
    if event not in ("message_start", "error") and draw.random() < 0.1:
        yield Send(delay, _lines_of(PING, newline, draw))
        delay = 0
    yield Send(delay, _lines_of(payload, newline, draw, event))


def _without_text(payload: Payload) -> dict[str, Any]:
    kind = payload["delta"]["type"]
    return {**payload, "delta": {"type": kind, TEXT_DELTAS[kind]: ""}}


def _lines_of(payload: Payload, newline: str, draw: Random, event: str = "") -> bytes:
    """One event as a block of lines, under its own name or another."""
    lines = [f"event: {event or payload['type']}", *_data(dumps(payload), draw)]
    for chance, line in _BESIDE:
        if draw.random() < chance:
            lines.insert(draw.randrange(len(lines) + 1), line(draw))
    before = [draw.choice(_COMMENTS), ""] if draw.random() < 0.1 else []
    return encode(newline.join([*before, *lines, "", ""]))


_BESIDE: Sequence[tuple[float, Callable[[Random], str]]] = (
    (0.15, lambda draw: draw.choice(_COMMENTS)),
    (0.1, lambda draw: f"id: {draw.randrange(1000)}"),
    (0.05, lambda draw: f"retry: {draw.randrange(100, 5000)}"),
    (0.05, lambda draw: f"x-unknown: {draw.randrange(10)}"),
)


def _data(text: str, draw: Random) -> list[str]:
    """The data lines of a JSON text, broken where JSON allows white space."""
    commas = _commas(text)
    if not commas or draw.random() < 0.75:
        return [draw.choice(("data: ", "data:")) + text]
    return [f"data: {piece}" for piece in _pieces_of(text, draw, commas)]


def _pieces_of(text: str, draw: Random, commas: Sequence[int] | None = None) -> list[str]:
    """A JSON text in two or three pieces, in one where it has no comma."""
    commas = _commas(text) if commas is None else commas
    cuts = sorted(draw.sample(commas, min(len(commas), draw.randint(1, 2))))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _commas(text: str) -> list[int]:
    """The places behind the commas that stand outside of texts."""
    found, quoted, escaped = [], False, False
    for at, sign in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and sign == "\\":
            escaped = True
        elif sign == '"':
            quoted = not quoted
        elif sign == "," and not quoted:
            found.append(at + 1)
    return found


# -- the bytes -------------------------------------------------------------------------------------------------------


def _pieces(steps: Sequence[Step], draw: Random) -> Iterator[Step]:
    """The same bytes in writes of any size: some hold several frames, some a part of one, down to a single byte."""
    delay, held = 0, b""
    for step in steps:
        if isinstance(step, Wait):
            yield from _split(delay, held, draw)
            delay, held = 0, b""
            yield step
            continue
        delay, held = delay + step.delay, held + step.frame
        if draw.random() < 0.7:
            yield from _split(delay, held, draw)
            delay, held = 0, b""
    yield from _split(delay, held, draw)


def _split(delay: int, data: bytes, draw: Random) -> Iterator[Step]:
    if not data:
        return
    cuts = {draw.randrange(1, len(data)) for _ in range(draw.choice((0, 1, 1, 2, 3)))} if len(data) > 1 else set()
    if len(data) > 4 and draw.random() < 0.1:
        cuts |= set(range(1, 5))
    ends = [*sorted(cuts), len(data)]
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        yield Send(0 if start else delay, data[start:end])

"""Frames as an author wants them: an event that says something else, under another name or not at all; an event or
bytes put in; the message itself with other values.

An edit acts on the plan: the frames are there, and nothing is sent yet. So preview, page and socket see one thing. What
it names on an event has no twin in a JSON reply; what it changes of the message is in both, and every other fault finds
the frames of the changed message.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

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
from mock_server.protocol.sse import dumps, encode, frame, heard, spaced
from mock_server.records import dataclass
from mock_server.scenario import paths
from mock_server.scenario.decode import Reads
from mock_server.scenario.faults.events import body_of, framed, need_events, with_body, without
from mock_server.scenario.faults.place import (
    CannotApply,
    Place,
    Site,
    Spot,
    chooses,
    chosen,
    chosen_in_words,
    event_of,
    said_by,
    split,
)
from mock_server.scenario.faults.stream import MOST_GARBAGE, ended
from mock_server.scenario.node import Node, Problems, kind, suggestion

Mistakes = Iterator[tuple[tuple[str | int, ...], str]]
SAME = ""  # the name of an event that keeps its own


# -- how they are written --------------------------------------------------------------------------------------------


def read_sets(node: Node, problems: Problems) -> Mapping[str, Any]:
    """Paths with the values that are put there."""
    if not isinstance(node.value, dict) or not node.value:
        example = "{message.usage.input_tokens: 0}"
        problems.add(node, f"expected paths with their values, such as {example}; got {kind(node)}")
        return {}
    for path in node.value:
        if paths.parse(path) is None:
            problems.add(node.keys.get(path) or node, f"'{path}' is no path; for example message.usage.input_tokens")
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
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool)):
        found: int | Literal["all"] = value
        return found
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
        return "message " + ", ".join([*self.set, *(f"-{path}" for path in self.remove)])


def _no_json(values: Mapping[str, Any]) -> Mistakes:
    for path, value in values.items():
        if (why := _unwritable(value)) is not None:
            yield ("set", path), why


def _unwritable(value: Any) -> str | None:
    try:
        dumps(value)
    except (ValueError, TypeError):
        return "is no JSON: NaN, infinity, or something that JSON has no word for"
    return None


# -- what they change ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """An event says something else, under another name (`null`: data alone) or not at all; or `message` is another, in
    the stream and the JSON reply."""

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
        given = [name for name in names if (value := getattr(self, name)) or (value == 0 and value is not False)]
        if self.name != SAME:
            given.append("name")
        if self.message is not None:
            for name in given:
                yield (name,), f"'message' changes the stream and the JSON reply, '{name}' one event: make it two edits"
            return
        if self.after is None:
            yield from chooses(self.event, self.nth, self.block, self.index)
        else:
            for name in ("event", "nth", "block", "index"):
                if name in given:
                    yield (name,), f"'after' names the event behind a place; take '{name}' out"
        if not {"set", "remove", "drop", "name"}.intersection(given):
            yield (), "changes nothing: expected set, remove, name, drop or message"
        if self.drop and {"set", "remove", "name"}.intersection(given):
            yield ("drop",), "what is left out cannot say something else: take set, remove and name out"
        yield from _no_json(self.set)

    def apply(self, plan: Plan, site: Site) -> Plan:
        if self.message is not None:
            return _other_message(plan, self.message, site)
        need_events(plan, self.type)
        steps = unrolled(plan)
        places = self._places(plan, steps, site)
        if self.drop:
            return rolled(plan, without(steps, places))
        for at in places:
            steps[at] = self._edited(steps[at], site)
        return rolled(plan, steps)

    def _places(self, plan: Plan, steps: list[Step], site: Site) -> list[int]:
        if self.after is None:
            return chosen(steps, self.event, self.nth, self.block, self.index)
        before, rest = split(plan, self.after, site)
        if len(before) + len(rest) != len(steps):
            raise CannotApply(f"{self.after}: that is inside an event")
        found = next((at for at in range(len(before), len(steps)) if event_of(steps[at]) not in ("", "ping")), None)
        if found is None:
            raise CannotApply(f"{self.after}: no event comes behind it")
        return [found]

    def _edited(self, step: Step, site: Site) -> Send:
        assert not isinstance(step, Wait)
        payload = said_by(step)
        if not payload:
            raise CannotApply(f"the data of {event_of(step)} is no event any more")
        said = changed(plain(payload), self.set, self.remove, event_of(step), is_sketch=site.is_sketch)
        kind = said.get("type")
        name = self.name if self.name != SAME else kind if isinstance(kind, str) and kind else event_of(step)
        return framed(said, name, step.delay)

    def __str__(self) -> str:
        if self.message is not None:
            return f"edit {self.message}"
        where = chosen_in_words(self.event, self.nth, self.block, self.index) if self.after is None else str(self.after)
        said = [", ".join([*self.set, *(f"-{path}" for path in self.remove)])]
        if self.name != SAME:
            said.append("without a name" if self.name is None else f"as {self.name}")
        return " ".join(["edit", where, *filter(None, said), *(["drop"] if self.drop else ())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """An event or any bytes put in: `event` with `data`, `data` alone, or `raw`. The reply goes on behind it."""

    type: ClassVar[str] = "insert"
    needs: ClassVar[tuple[str, ...]] = ("raw",)
    after: Place | None = None
    at: Spot | None = None
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
        need_events(plan, self.type)
        before, rest = split(plan, self.at or self.after, site)
        sent = self._sent()
        if self.then is None and (end := _ends(sent)) and any(event_of(step) not in ("", "ping") for step in rest):
            follows = next(event_of(step) for step in rest if event_of(step) not in ("", "ping"))
            raise CannotApply(f"{end} ends the stream, and {follows} comes behind it; say `then: end` or `then: go_on`")
        steps: list[Step] = [*before, sent, *rest]
        if self.then is None or self.then == "go_on":
            return rolled(plan, steps)
        return ended(plan, [*before, sent], self.then)

    def _sent(self) -> Send:
        if self.raw is not None:
            return Send(0, encode(self.raw))
        if isinstance(self.data, Mapping):
            return framed(self.data, self.event)
        line = "" if self.event is None else f"event: {self.event}\n"
        return Send(0, encode(f"{line}data: {dumps(self.data)}\n\n"))


def _ends(sent: Send) -> str:
    """The event by which a client takes the stream for over; empty for none."""
    lines = sent.frame.decode("utf-8", "replace").splitlines()
    said = [line[6:].strip() for line in lines if line.startswith("event:")]
    said += [str(one["type"]) for one in heard(sent.frame)]
    return next((name for name in ("message_stop", "error") if name in said), "")


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
        if not any([_put(holder, step, value) for holder, step in _ends_of(said, path)]):  # noqa: C419 - all of them
            _missing("set", path, said, what, is_sketch=is_sketch)
    for path in removed:
        if not any([_take(holder, step) for holder, step in _ends_of(said, path)]):  # noqa: C419
            _missing("remove", path, said, what, is_sketch=is_sketch)
    return said


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


def _other_message(plan: Plan, changes: Changes, site: Site) -> Plan:
    """The plan of a message with other values. Raises CannotApply for a reply that is no message."""
    message = dict(body_of(plan)) if not plan.stream else _folded(plan)
    if message.get("type") != "message":
        raise CannotApply("message: an error reply is no message")
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

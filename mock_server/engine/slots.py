"""Events with slots -> bytes with slots: what of a reply is the same for everybody is made once; ids, signatures and
counts are filled in (`Filled`), which makes a plan.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple

from mock_server.engine.cache import CacheUse
from mock_server.engine.pace import Timeline
from mock_server.engine.seeds import Ids
from mock_server.protocol import signing
from mock_server.protocol.blocks import (
    Block,
    Delta,
    McpToolResult,
    McpToolUse,
    RedactedThinking,
    ServerToolUse,
    Text,
    Thinking,
    ToolUse,
    WebSearchToolResult,
)
from mock_server.protocol.chunk import Chunk
from mock_server.protocol.message import PING, Event, Message, Silence, events, fold, steps
from mock_server.protocol.plan import AT_ONCE, Headers, Part, Payload, Payloads, Plan
from mock_server.protocol.profile import Profile
from mock_server.protocol.rules.history import signed_result_text
from mock_server.protocol.sse import PING_FRAME, dumps, encode, frame, read_json, readable_payload
from mock_server.records import dataclass, lazy, quick


@dataclass(frozen=True, slots=True)
class Blank:
    """Stands in a frame for a value that only a request has: how it looks while compiling."""

    OPENS: ClassVar[bytes] = "\ue000".encode()
    CLOSES: ClassVar[bytes] = "\ue001".encode()
    name: str

    @property
    def text(self) -> str:
        return f"\ue000{self.name}\ue001"

    @property
    def quoted(self) -> str:
        return dumps(self.text)

    @property
    def member(self) -> str:
        """Of an object that has it under its own name, behind others: a member without a value is left out whole."""
        return f",{dumps(self.name)}:{self.quoted}"


class Stencil:
    """Bytes with holes. `fill` takes the value of each hole as bytes."""

    __slots__ = ("form", "has_slots", "in_order")

    def __init__(self, data: bytes, holes: Iterable[tuple[int, int, str]]) -> None:
        """`holes`: where each begins and ends in `data`, and the name of its value; in order."""
        form, names, at = b"", [], 0
        for start, end, name in holes:
            form += data[at:start].replace(b"%", b"%%") + b"%b"
            names.append(name)
            at = end
        self.form = form + data[at:].replace(b"%", b"%%")
        self.in_order = _in_order(names)
        self.has_slots = bool(names)

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        return self.form % self.in_order(values)


def _in_order(names: Sequence[str]) -> Callable[[Mapping[str, bytes]], tuple[bytes, ...]]:
    """Gets the values of these names, in their order."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: tuple([values[name] for name in names])


class ReplyStencil:
    """A reply as a connection sends it, with holes. Its head tells how long the body is that the values make."""

    __slots__ = ("_beside", "_body", "_form", "_head", "_of_body", "_of_head")

    def __init__(
        self, data: bytes, holes: Sequence[tuple[int, int, str]], length: tuple[int, int], form: bytes
    ) -> None:
        """`length`: where the length of the body stands in `data`, written by `form`; what is behind is the body, but
        for what encloses it, as long as it is."""
        start, end = length
        head = Stencil(data[:start], [hole for hole in holes if hole[1] <= start])
        body = Stencil(data[end:], [(at - end, to - end, name) for at, to, name in holes if at >= end])
        self._head, self._of_head = head.form, head.in_order
        self._body, self._of_body = body.form, body.in_order
        self._form = form
        self._beside = len(data) - end - int(data[start:end], 16 if form == b"%x" else 10)

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """The bytes that these values make of it."""
        body = self._body % self._of_body(values)
        return self._head % self._of_head(values) + self._form % (len(body) - self._beside) + body


def places(data: bytes, looks: Mapping[str, bytes]) -> list[tuple[int, int, str]]:
    """Where some bytes stand in others: start, end and name of each."""
    found = []
    for name, look in looks.items():
        at = data.find(look)
        while at >= 0:
            found.append((at, at + len(look), name))
            at = data.find(look, at + len(look))
    return sorted(found)


def _holes(data: bytes, looks: Mapping[str, bytes]) -> Iterator[tuple[int, int, str]]:
    """The holes in some bytes, in order. What looks like a hole and is none stays."""
    opens = data.find(Blank.OPENS)
    while opens >= 0:
        closes = data.find(Blank.CLOSES, opens)
        name = data[opens + len(Blank.OPENS) : closes].decode("utf-8", "replace")
        look = looks.get(name)
        if look is not None:
            start = opens - look.index(Blank.OPENS)
            if data.startswith(look, start):
                yield start, start + len(look), name
        opens = data.find(Blank.OPENS, opens + 1)


# the places of frames with holes, and what fills them
Templates = Sequence[tuple[int, Stencil]]


class ReplyTemplate:
    """The frames and the JSON of a reply, from the events of one message; all is made when first asked for.

    `once`: it is filled for one request only. What was made is forgotten then, many times the size of the reply as it
    is, and made again for whoever reads the journal.
    """

    def __init__(self, message: Message, chunk: Chunk | None, looks: Mapping[str, str], *, once: bool = False) -> None:
        """`looks`: name of each value -> how its hole looks in the events, with that name between its marks."""
        self.once = once
        self._message = message
        self._chunk = chunk
        self._looks = {name: encode(look) for name, look in looks.items()}

    def forget(self) -> None:
        """Keep only what it is made from."""
        for name in ("steps", "events", "_frames", "joined", "json"):
            self.__dict__.pop(name, None)

    @lazy
    def steps(self) -> Sequence[Event | Silence]:
        """The stream and what is silent in it."""
        return tuple(steps(self._message, self._chunk))

    @lazy
    def events(self) -> Sequence[Event]:
        """What is sent."""
        return tuple([step for step in self.steps if isinstance(step, Event)])

    @property
    def frames(self) -> tuple[bytes, ...]:
        """The stream, with nothing in the places of frames that have holes."""
        return self._frames[0]

    @lazy
    def _frames(self) -> tuple[tuple[bytes, ...], Templates]:
        """The frames, and what the empty ones are filled from."""
        frames: list[bytes] = []
        templates: list[tuple[int, Stencil]] = []
        for event in self.events:
            data = frame(event.payload)
            template = Stencil(data, _holes(data, self._looks)) if Blank.OPENS in data else None
            if template is not None and template.has_slots:
                templates.append((len(frames), template))
                data = b""
            frames.append(data)
        return tuple(frames), templates

    @lazy
    def json(self) -> Stencil:
        """The reply that is not a stream: what the events fold to, however texts are split."""
        coarse = events(self._message, self._chunk, in_pieces=False)
        data = encode(dumps(fold(event.payload for event in coarse)))
        return Stencil(data, _holes(data, self._looks))

    def fill(self, values: Mapping[str, bytes]) -> tuple[bytes, ...]:
        """The frames with a request's values in place."""
        made, templates = self._frames
        frames = list(made)
        for at, template in templates:
            frames[at] = template.fill(values)
        return tuple(frames)

    @lazy
    def joined(self) -> Callable[[tuple[bytes, ...]], Sequence[bytes]]:
        """Makes of frames as `fill` gives them as few pieces as can be: those with holes, and what stands between them
        in one."""
        made, templates = self._frames
        fixed: list[bytes] = []
        filled: list[tuple[int, int]] = []
        begin = 0
        for at, _ in templates:
            fixed += [b"".join(made[begin:at]), b""]
            filled.append((len(fixed) - 1, at))
            begin = at + 1
        fixed.append(b"".join(made[begin:]))

        def pieces(frames: tuple[bytes, ...]) -> Sequence[bytes]:
            found = fixed.copy()
            for place, at in filled:
                found[place] = frames[at]
            return found

        return pieces

    def payloads(self, frames: Sequence[bytes], pings: Sequence[int] = (), beat: bytes = PING_FRAME) -> Payloads:
        """What frames say that were filled, with pings between them; a comment says nothing."""
        own = list(frames)
        for place in reversed(pings):
            del own[place]
        found: list[Payload | None] = [*self._payloads_of(own)]
        payload = PING if beat is PING_FRAME else None
        for place in pings:
            found.insert(place, payload)
        return tuple(found)

    @staticmethod
    def message(bodies: Sequence[bytes]) -> Payloads:
        """What the JSON says that was filled."""
        return tuple([read_json(body) for body in bodies])

    def _payloads_of(self, frames: Sequence[bytes]) -> list[Payload]:
        """The payloads of the events: those they were made of, but for the two or three with a request's own values."""
        found: list[Payload] = [event.payload for event in self.events]
        for at, _ in self._frames[1]:
            found[at] = readable_payload(frames[at])
        if self.once:
            self.forget()
        return found


@dataclass(frozen=True, slots=True)
class Slot(Text):
    """A text that each request has its own of: the hole in its place, in a single delta."""

    name: str

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "text", Blank(name).text)
        object.__setattr__(self, "citations", None)

    def deltas(self, chunk: Chunk | None) -> Iterator[Delta]:
        yield {"type": "text_delta", "text": self.text}, 0


class FilledTemplate(ReplyTemplate):
    """A form of slots with the texts of one request in them: what is around them is that of the form."""

    def __init__(self, form: ReplyTemplate, texts: Mapping[str, str], chunk: Chunk | None) -> None:
        """`texts`: how each slot looks -> what stands there."""
        self.once = True
        self._form = form
        self._texts = texts
        self._chunk = chunk

    @lazy
    def steps(self) -> Sequence[Event | Silence]:
        listed: list[Event | Silence] = []
        for step in self._form.steps:
            deltas = self._deltas(step)
            listed += [step] if deltas is None else deltas
        return listed

    @property
    def json(self) -> Stencil:
        return self._form.json

    def fill(self, values: Mapping[str, bytes]) -> tuple[bytes, ...]:
        frames: list[bytes] = []
        for event, filled in zip(self._form.events, self._form.fill(values), strict=True):
            deltas = self._deltas(event)
            frames += [filled] if deltas is None else [frame(one.payload) for one in deltas]
        return tuple(frames)

    def _payloads_of(self, frames: Sequence[bytes]) -> list[Payload]:
        return list(map(readable_payload, frames))

    def _deltas(self, step: Event | Silence) -> Sequence[Event] | None:
        """The deltas of the text that stands in the slot of an event; None where it has none."""
        if not isinstance(step, Event) or step.payload["type"] != "content_block_delta":
            return None
        text = self._texts.get(step.payload["delta"].get("text"))
        if text is None:
            return None
        place = {"type": "content_block_delta", "index": step.payload["index"]}
        deltas = Text(text=text).deltas(self._chunk)
        return [Event({**place, "delta": delta}, tokens) for delta, tokens in deltas if delta is not None]


def cached(use: CacheUse) -> dict[str, bytes]:
    """What is told of a prompt that did this with the cache."""
    return {
        "input_tokens": b"%d" % use.uncached,
        "cache_read": b"%d" % use.read,
        "cache_written": b"%d" % use.written,
        "cache_written_5m": b"%d" % use.written_5m,
        "cache_written_1h": b"%d" % use.written_1h,
    }


_plan, _part = quick(Plan), quick(Part)


class Filled(NamedTuple):
    """A reply to one request, in all but what is drawn for it: ids. Those of the same request come from anew each time.

    `headers`: those of the reply itself, which come before all others. `known`: the values that the request decides.
    `tokens`: of its input and output, as its usage tells them. `is_cut`: the request left no room for the whole of it.
    """

    headers: Headers
    form: ReplyTemplate
    known: dict[str, bytes]
    stamps: Sequence[tuple[str, signing.Stamp]]
    resumes: bool
    timeline: Timeline
    stream: bool
    tokens: tuple[int, int]
    is_cut: bool = False

    @property
    def is_at_once(self) -> bool:
        """Whether nothing of it waits for its time."""
        return not self.timeline.at[-1]

    def after(self, input_tokens: int, use: CacheUse | None = None) -> "Filled":
        """The same after a prompt of so many tokens, which did this with the cache."""
        values = {"input_tokens": b"%d" % input_tokens} if use is None else cached(use)
        tokens = input_tokens if use is None else use.uncached, self.tokens[1]
        known = {**self.known, **values}
        return Filled(self.headers, self.form, known, self.stamps, self.resumes, self.timeline, self.stream, tokens)

    def drawn(self, ids: Ids, open_call: Callable[[], str]) -> dict[str, bytes]:
        """The values that are drawn: the id of the message, then those of its calls."""
        values = {"id": b'"%b"' % ids.new("msg").encode()}
        for name, stamped in self.stamps:
            values[name] = b'"%b"' % signing.mint(ids.take(6), stamped).encode()
        if self.resumes:
            values["open_call"] = encode(dumps(open_call()))
        return values

    def plan(self, drawn: Mapping[str, bytes], headers: Headers, tokens: tuple[int, int] | None = None) -> Plan:
        """The plan with these values in it, and `headers` behind its own. `tokens`: where the values tell others."""
        values, at, form = {**self.known, **drawn}, self.timeline.at, self.form
        if self.stream:
            frames, due = self.timeline.filled(form.fill(values)), at[0]
            joined = None if at[-1] or form.once else form.joined
            beats = self.timeline.pings
            source = partial(form.payloads, pings=beats, beat=self.timeline.beat) if beats else form.payloads
            part = _part((frames, at, None, source, joined))
        else:
            due = at[-1]
            frames, when = (form.json.fill(values),), at[-1:] if due else AT_ONCE
            part = _part((frames, when, None, form.message, None))
        if form.once:
            form.forget()
        return _plan((200, self.headers + headers, (part,), self.stream, due, None, None, tokens or self.tokens))


# Blocks -> blocks with everything the server adds: ids, signatures, encrypted search results.

OPEN_CALL = Blank("open_call")
_THOUGHTS = (Thinking, RedactedThinking)
# the blocks that tell who called their tool, always; a server_tool_use does where a program called it
_CALLED = ("tool_use", "web_search_tool_result", "web_fetch_tool_result")


def signed_blocks(
    blocks: Sequence[Block], profile: Profile, scenario: str, position: int
) -> tuple[tuple[Block, ...], list[tuple[str, signing.Stamp]]]:
    """The content with everything the server adds: holes for ids, signatures, encrypted search results."""
    content: list[Block] = []
    stamps: list[tuple[str, signing.Stamp]] = []
    places = _places(blocks, scenario, position)
    call = program = OPEN_CALL.text
    for at, block in enumerate(blocks):
        block = _called(block, program, profile)
        if isinstance(block, ToolUse):
            if block.id is None:
                hole = Blank(f"call{at}")
                stamps.append((hole.name, _stamp(block, scenario, position)))
                block = replace(block, id=hole.text)
            if isinstance(block, ServerToolUse | McpToolUse):
                call = block.id or call
                program = call if block.name.endswith("code_execution") else program
        elif isinstance(block, WebSearchToolResult | McpToolResult) and block.tool_use_id is None:
            block = replace(block, tool_use_id=call)
        content.append(_signed(block, profile, places.get(at, signing.NOWHERE)))
    return tuple(content), stamps


def _called(block: Block, program: str, profile: Profile) -> Block:
    """The block with who called its tool: the model itself, unless the script says that a program did. A program is
    named by its call, the newest one where the script does not say which."""
    if not isinstance(block, ToolUse | WebSearchToolResult):
        return block
    if block.caller is None:
        return replace(block, caller={"type": "direct"}) if profile.callers and block.type in _CALLED else block
    if block.caller.get("type") == "direct" or block.caller.get("tool_id") is not None:
        return block
    return replace(block, caller={**block.caller, "tool_id": program})


def _stamp(block: ToolUse, scenario: str, position: int) -> signing.Stamp:
    is_cut = block.raw is not None
    return signing.stamp(block.id_prefix, scenario, position, block.name, block.input, cut=is_cut)


def _signed(block: Block, profile: Profile, place: signing.ThoughtPlace) -> Block:
    if isinstance(block, Thinking) and block.signature is None:
        return replace(block, signature=signing.signature("thinking", block.thinking, place))
    if isinstance(block, RedactedThinking) and block.data is None:
        return replace(block, data=signing.signature("redacted_thinking", "", place))
    if isinstance(block, WebSearchToolResult) and profile.encrypted_results and isinstance(block.content, list):
        return replace(block, content=[_encrypted(result) for result in block.content])
    return block


def _places(blocks: Sequence[Block], scenario: str, position: int) -> dict[int, signing.ThoughtPlace]:
    """Where each thought of a reply stands, so that it is known when it comes back."""
    thoughts = [at for at, block in enumerate(blocks) if isinstance(block, _THOUGHTS)]
    if not thoughts:
        return {}
    contents = [block.thinking if isinstance(block, Thinking) else _beside(block).hex() for block in blocks]
    reply = signing.reply_mark(scenario, position, contents)
    others = [at for at, block in enumerate(blocks) if at not in thoughts and not _is_blank(block)]
    places = {}
    for number, at in enumerate(thoughts, 1):
        before = next((_beside(blocks[one]) for one in reversed(others) if one < at), b"")
        after = next((_beside(blocks[one]) for one in others if one > at), b"")
        places[at] = signing.ThoughtPlace(reply, number, before, after)
    return places


def _is_blank(block: Block) -> bool:
    """A text without a word: clients may leave it out."""
    return isinstance(block, Text) and not block.text.strip()


def _beside(block: Block) -> bytes:
    if isinstance(block, Text):
        return signing.beside("text", value=block.text.strip())
    if isinstance(block, ToolUse):
        return signing.beside(block.type, block.name, block.input, cut=block.raw is not None)
    return signing.beside(block.type)


def _encrypted(result: Any) -> Any:
    if isinstance(result, dict) and result.get("type") == "web_search_result" and "encrypted_content" not in result:
        return {**result, "encrypted_content": signing.signature("web_search_result", signed_result_text(result))}
    return result

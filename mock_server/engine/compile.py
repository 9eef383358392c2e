"""Reply -> CompiledReply, once at load; CompiledReply.bind -> Plan, once a request.

Compiling makes every frame, and the JSON folded from the same events, with holes where a request's own values go:
ids, the model and the input tokens. Binding fills the holes. Only a reply that `max_tokens` or `stop_sequences` cut
short is made anew for its request.
"""

import random
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol

from mock_server.engine.seeds import Ids
from mock_server.protocol import cut, marks, usage
from mock_server.protocol.blocks import (
    Block,
    CutToolUse,
    RedactedThinking,
    ServerToolUse,
    Text,
    Thinking,
    ToolUse,
    WebSearchToolResult,
)
from mock_server.protocol.chunk import Chunk
from mock_server.protocol.events import Event, events
from mock_server.protocol.lazy import lazy
from mock_server.protocol.message import Message, fold
from mock_server.protocol.plan import JSON_HEADERS, SSE_HEADERS, Headers, Part, Plan, whole
from mock_server.protocol.profile import Profile
from mock_server.protocol.sse import dumps, encode, frame
from mock_server.protocol.usage import Usage
from mock_server.protocol.validate.replay import result_said
from mock_server.scenario.model import Answer, Timing


@dataclass(frozen=True, slots=True)
class Hole:
    """Stands in a frame for a value that only a request has: how it looks while compiling."""

    OPENS: ClassVar[bytes] = "\ue000".encode()
    name: str

    @property
    def text(self) -> str:
        return f"\ue000{self.name}\ue001"

    @property
    def quoted(self) -> str:
        return dumps(self.text)


_ID, _MODEL, _INPUT = Hole("id"), Hole("model"), Hole("input_tokens")
_OPEN_CALL = Hole("open_call")


class Template:
    """Bytes with holes. `fill` takes the value of each hole as JSON bytes."""

    __slots__ = ("_parts", "_slots")

    def __init__(self, text: str, holes: Mapping[str, str]) -> None:
        """`holes`: name of the value -> how the hole looks in `text`."""
        cuts = sorted((at, at + len(look), name) for name, look in holes.items() for at in _all(text, look))
        self._parts: list[bytes] = []
        self._slots: list[tuple[int, str]] = []
        at = 0
        for start, end, name in cuts:
            self._parts += [encode(text[at:start]), b""]
            self._slots.append((len(self._parts) - 1, name))
            at = end
        self._parts.append(encode(text[at:]))

    @property
    def has_holes(self) -> bool:
        return bool(self._slots)

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        parts = self._parts.copy()
        for at, name in self._slots:
            parts[at] = values[name]
        return b"".join(parts)


def _all(text: str, look: str) -> list[int]:
    found, at = [], text.find(look)
    while at >= 0:
        found.append(at)
        at = text.find(look, at + len(look))
    return found


class Draw(Protocol):
    """Where the ids and the jitter of one exchange come from, and the server's call that a resumed turn answers."""

    ids: Ids

    def jitter(self) -> random.Random: ...
    def open_call(self) -> str: ...


class Binding(NamedTuple):
    """What one request puts into a reply.

    A named tuple, like all that is made for every request: it costs a third of a frozen dataclass.
    """

    model: str
    input_tokens: int
    max_tokens: int
    stop_sequences: Sequence[str]
    stream: bool
    cache_asked: bool
    headers: Headers
    time_scale: float
    draw: Draw


@dataclass(frozen=True)
class Reply:
    """A reply as the compiler takes it: blocks, how it ends, its pace, and where it stands in a script."""

    content: tuple[Block, ...]
    stop_reason: str
    stop_sequence: str | None = None
    stop_details: Mapping[str, Any] | None = None
    timing: Timing = field(default_factory=Timing)
    usage: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    scenario: str = ""
    position: int = 1


def reply_of(answer: Answer, default: Timing, scenario: str, position: int) -> Reply:
    """What a scripted answer says, with the server's own pace where the script sets none."""
    details = answer.stop_details
    return Reply(
        answer.reply or (),
        answer.ending,
        answer.stop_sequence,
        None
        if details is None
        else {"type": details.type, "category": details.category, "explanation": details.explanation},
        answer.timing or default,
        answer.usage,
        answer.headers,
        scenario,
        position,
    )


class CompiledReply:
    """A reply as bytes with holes. `bind` may be called from many requests."""

    def __init__(self, reply: Reply, profile: Profile) -> None:
        self._reply = reply
        self._profile = profile
        self._content, self._stamps = _sealed(reply, profile)
        self._tokens = cut.total_tokens(self._content)
        self._texts = tuple(block.text for block in self._content if isinstance(block, Text))
        self._resumes = any(getattr(block, "tool_use_id", None) == _OPEN_CALL.text for block in self._content)
        headers = tuple((name.lower(), value) for name, value in reply.headers.items())
        self._json_headers = (*JSON_HEADERS, *headers)
        self._sse_headers = (*SSE_HEADERS, *headers)
        self._form = Form(self, cache_asked=False)
        self._steps = _steps(self._form.events, reply.timing)
        self._at: dict[float, array[int]] = {}

    @lazy
    def _cache_form(self) -> "Form":
        """The same reply to a request that marks something for the cache, where usage then says more."""
        return self._form if self._profile.complete_usage else Form(self, cache_asked=True)

    def message(self, *, cache_asked: bool) -> Message:
        """The message with holes for what only a request has."""
        reply, complete = self._reply, self._profile.complete_usage
        counted = replace(_counted(self._content), cache_asked=cache_asked, override=reply.usage)
        start, end = usage.at_start(counted, complete=complete), usage.at_end(counted, complete=complete)
        for counters in (start, end):
            if "input_tokens" not in (reply.usage or {}):
                counters["input_tokens"] = _INPUT.text
        return Message(
            _ID.text,
            _MODEL.text,
            self._content,
            reply.stop_reason,
            reply.stop_sequence,
            reply.stop_details,
            start,
            end,
            complete,
        )

    @property
    def chunk(self) -> Chunk:
        return self._reply.timing.chunk

    @property
    def looks(self) -> dict[str, str]:
        """The holes in this reply: their names and how they look."""
        calls = (Hole(name) for name, _ in self._stamps)
        return {hole.name: hole.quoted for hole in (_ID, _MODEL, _INPUT, _OPEN_CALL, *calls)}

    # -- one request -------------------------------------------------------------------------------------------

    def bind(self, to: Binding) -> Plan:
        """The plan that answers one request."""
        if to.max_tokens < self._tokens or (to.stop_sequences and self._stops(to.stop_sequences)):
            shorter = cut.cut(self._reply.content, to.max_tokens, to.stop_sequences)
            if shorter is not None:
                return CompiledReply(self._shortened(shorter), self._profile)._whole(to)
        return self._whole(to)

    def _stops(self, sequences: Sequence[str]) -> bool:
        return any(sequence in text for text in self._texts for sequence in sequences)

    def _shortened(self, shorter: cut.Cut) -> Reply:
        override = {k: v for k, v in (self._reply.usage or {}).items() if k != "output_tokens"}
        return replace(
            self._reply,
            content=shorter.content,
            stop_reason=shorter.stop_reason,
            stop_sequence=shorter.stop_sequence,
            stop_details=None,
            usage=override,
        )

    def _whole(self, to: Binding) -> Plan:
        form = self._cache_form if to.cache_asked else self._form
        values = {
            "id": b'"%b"' % to.draw.ids.message().encode(),
            "model": self._profile.json_names.get(to.model) or encode(dumps(to.model)),
            "input_tokens": b"%d" % to.input_tokens,
        }
        for name, stamped in self._stamps:
            values[name] = b'"%b"' % marks.mint(to.draw.ids.take(6), stamped).encode()
        if self._resumes:
            values["open_call"] = encode(dumps(to.draw.open_call()))
        at = self._due(to)
        if not to.stream:
            return whole(200, self._json_headers + to.headers, form.json.fill(values), at[-1])
        return Plan(200, self._sse_headers + to.headers, (Part(form.fill(values), at),), True, at[0])

    def _due(self, to: Binding) -> "array[int]":
        """When each frame is due. Shared between requests unless delays are to vary."""
        scale = to.time_scale
        if self._reply.timing.jitter and scale:
            return _moved(self._steps, self._reply.timing.jitter, to.draw.jitter(), scale)
        if scale not in self._at:
            self._at[scale] = _moved(self._steps, 0.0, None, scale)
        return self._at[scale]


class Form:
    """The frames and the JSON of a reply, from the same events; the JSON is made when first asked for."""

    def __init__(self, reply: CompiledReply, *, cache_asked: bool) -> None:
        self.events = tuple(events(reply.message(cache_asked=cache_asked), reply.chunk))
        self._looks = reply.looks
        self._templates: list[tuple[int, Template]] = []
        self._frames = tuple(self._frame(at, event) for at, event in enumerate(self.events))

    @lazy
    def json(self) -> Template:
        """The reply that is not a stream: what the events fold to."""
        return Template(dumps(fold(event.payload for event in self.events)), self._looks)

    def fill(self, values: Mapping[str, bytes]) -> tuple[bytes, ...]:
        """The frames with a request's values in place."""
        frames = list(self._frames)
        for at, template in self._templates:
            frames[at] = template.fill(values)
        return tuple(frames)

    def _frame(self, at: int, event: Event) -> bytes:
        """The frame itself when it is the same for everybody; else a template is kept, and nothing stands here."""
        data = frame(event.payload)
        if Hole.OPENS not in data:
            return data
        template = Template(data.decode("utf-8"), self._looks)
        if not template.has_holes:
            return data
        self._templates.append((at, template))
        return b""


# -- sealing: ids, signatures and the like ------------------------------------------------------------------------


def _sealed(reply: Reply, profile: Profile) -> tuple[tuple[Block, ...], list[tuple[str, marks.Stamp]]]:
    """The content with everything the server adds: holes for ids, signatures, encrypted search results."""
    content: list[Block] = []
    stamps: list[tuple[str, marks.Stamp]] = []
    call = _OPEN_CALL.text
    for at, block in enumerate(reply.content):
        if isinstance(block, ToolUse):
            if block.id is None:
                hole = Hole(f"call{at}")
                stamps.append((hole.name, _stamp(block, reply)))
                block = replace(block, id=hole.text)
            if isinstance(block, ServerToolUse):
                call = block.id or call
        elif isinstance(block, WebSearchToolResult) and block.tool_use_id is None:
            block = replace(block, tool_use_id=call)
        content.append(_signed(block, profile))
    return tuple(content), stamps


def _stamp(block: ToolUse, reply: Reply) -> marks.Stamp:
    is_cut = isinstance(block, CutToolUse)
    return marks.stamp(block.id_prefix, reply.scenario, reply.position, block.name, block.input, cut=is_cut)


def _signed(block: Block, profile: Profile) -> Block:
    if isinstance(block, Thinking) and block.signature is None:
        return replace(block, signature=marks.signature("thinking", block.thinking))
    if isinstance(block, RedactedThinking) and block.data is None:
        return replace(block, data=marks.signature("redacted_thinking", ""))
    if isinstance(block, WebSearchToolResult) and profile.encrypted_results and isinstance(block.content, list):
        return replace(block, content=[_encrypted(result) for result in block.content])
    return block


def _encrypted(result: Any) -> Any:
    if isinstance(result, dict) and result.get("type") == "web_search_result" and "encrypted_content" not in result:
        return {**result, "encrypted_content": marks.signature("web_search_result", result_said(result))}
    return result


def _counted(content: Sequence[Block]) -> Usage:
    """The output side of the usage."""
    calls = [block.name for block in content if isinstance(block, ServerToolUse)]
    return Usage(
        output_tokens=cut.total_tokens(content),
        thinking_tokens=sum(cut.block_tokens(block) for block in content if isinstance(block, Thinking)),
        web_search_requests=sum(name.endswith("_search") for name in calls),
        web_fetch_requests=calls.count("web_fetch"),
    )


# -- pace -----------------------------------------------------------------------------------------------------------


def _steps(listed: Sequence[Event], timing: Timing) -> list[int]:
    """The delay before each event, in microseconds: `first` before the first, the pace before every delta but one."""
    delays = [0] * len(listed)
    delays[0] = timing.first
    before = 0
    for at, event in enumerate(listed):
        if event.tokens:
            delays[at] += _delay(timing, before)
            before = event.tokens
    return delays


def _delay(timing: Timing, tokens_before: int) -> int:
    """The delay between a delta of so many tokens and the next; none before the first."""
    if not tokens_before:
        return 0
    if timing.gap is not None:
        return timing.gap
    return round(tokens_before * 1_000_000 / timing.rate) if timing.rate is not None else 0


def _moved(steps: Sequence[int], share: float, source: random.Random | None, scale: float) -> "array[int]":
    """Offsets from the delays: each moved by up to `share` of itself either way, then scaled."""
    at = array("I")
    passed = 0.0
    for delay in steps:
        if delay:
            moved = delay * (1 + source.uniform(-share, share)) if source is not None else delay
            passed += moved * scale
        at.append(min(round(passed), 0xFFFFFFFF))
    return at

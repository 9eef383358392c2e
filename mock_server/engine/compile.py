"""Reply -> CompiledReply, once at load; CompiledReply.bind -> Plan, once a request.

Compiling makes every frame, and the JSON folded from the same events, with holes where a request's own values go:
ids, the model and the usage. Binding fills the holes. Only a reply that `max_tokens` or `stop_sequences` cut short is
made anew for its request.
"""

import random
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
from mock_server.protocol.events import Event, events
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

    name: str

    @property
    def text(self) -> str:
        return f"\ue000{self.name}\ue001"

    @property
    def quoted(self) -> str:
        return dumps(self.text)


_ID, _MODEL = Hole("id"), Hole("model")
_START, _END = Hole("start"), Hole("end")
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


@dataclass(frozen=True)
class Binding:
    """What one request puts into a reply. `open_call` is the server's call that a resumed turn brings the result of."""

    model: str
    input_tokens: int
    max_tokens: int
    stop_sequences: Sequence[str]
    stream: bool
    cache_asked: bool
    ids: Ids
    headers: Headers
    open_call: Callable[[], str] = str
    time_scale: float = 1.0
    jitter: Callable[[], random.Random] = field(default=lambda: random.Random(0))


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
    """A reply as bytes with holes. Immutable once made; `bind` may be called from many requests."""

    def __init__(self, reply: Reply, profile: Profile) -> None:
        self._reply = reply
        self._profile = profile
        content, self._stamps = _sealed(reply, profile)
        self._tokens = cut.total_tokens(content)
        self._texts = tuple(block.text for block in content if isinstance(block, Text))
        self._looks = _looks(self._stamps)
        self._resumes = any(getattr(block, "tool_use_id", None) == _OPEN_CALL.text for block in content)
        listed = list(events(self._message(content), reply.timing.chunk))
        self._headers = tuple((name.lower(), value) for name, value in reply.headers.items())
        self._steps = _steps(listed, reply.timing)
        self._at: dict[float, array[int]] = {}
        self._templates: dict[int, Template] = {}
        self._frames = tuple(self._frame(at, event) for at, event in enumerate(listed))
        self._json = Template(dumps(fold(event.payload for event in listed)), {**self._looks, **_USAGE_LOOK})
        self._counted = _counted(content)

    def _message(self, content: tuple[Block, ...]) -> Message:
        reply = self._reply
        return Message(
            _ID.text,
            _MODEL.text,
            content,
            reply.stop_reason,
            reply.stop_sequence,
            reply.stop_details,
            {_START.text: 0},
            {_END.text: 0},
            self._profile.complete_usage,
        )

    def _frame(self, at: int, event: Event) -> bytes:
        """The frame itself when it is the same for everybody; else a template is kept, and nothing stands here."""
        whole_frame = frame(event.payload)
        if b"\xee\x80\x80" not in whole_frame:
            return whole_frame
        template = Template(whole_frame.decode("utf-8", "surrogatepass"), self._looks)
        if not template.has_holes:
            return whole_frame
        self._templates[at] = template
        return b""

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
        counted = replace(self._counted, input_tokens=to.input_tokens, cache_asked=to.cache_asked)
        counted = replace(counted, override=self._reply.usage) if self._reply.usage else counted
        complete = self._profile.complete_usage
        start = usage.at_start(counted, complete=complete)
        end = usage.at_end(counted, complete=complete)
        values = {"id": encode(dumps(to.ids.message())), "model": encode(dumps(to.model))}
        if self._resumes:
            values["open_call"] = encode(dumps(to.open_call()))
        for name, stamped in self._stamps:
            values[name] = encode(dumps(marks.mint(to.ids.take(6), stamped)))
        headers = (*to.headers, *self._headers) if self._headers else to.headers
        at = self._due(to)
        if not to.stream:
            values["usage"] = encode(dumps(usage.merged(start, end)))
            return whole(200, (*JSON_HEADERS, *headers), self._json.fill(values), at[-1])
        values["start"], values["end"] = encode(dumps(start)), encode(dumps(end))
        frames = list(self._frames)
        for index, template in self._templates.items():
            frames[index] = template.fill(values)
        return Plan(200, (*SSE_HEADERS, *headers), (Part(tuple(frames), at),), True, at[0])

    def _due(self, to: Binding) -> "array[int]":
        """When each frame is due. Shared between requests unless delays are to vary."""
        scale = to.time_scale
        if self._reply.timing.jitter and scale:
            return _moved(self._steps, self._reply.timing.jitter, to.jitter(), scale)
        if scale not in self._at:
            self._at[scale] = _moved(self._steps, 0.0, None, scale)
        return self._at[scale]


_USAGE_LOOK = {"usage": dumps({_START.text: 0, _END.text: 0})}


def _looks(stamps: Sequence[tuple[str, marks.Stamp]]) -> dict[str, str]:
    looks = {hole.name: hole.quoted for hole in (_ID, _MODEL, _OPEN_CALL, *(Hole(name) for name, _ in stamps))}
    return {**looks, "start": dumps({_START.text: 0}), "end": dumps({_END.text: 0})}


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

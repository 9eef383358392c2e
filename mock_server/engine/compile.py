"""Reply -> CompiledReply, once at load; CompiledReply.bind -> Plan, once a request.

Compiling makes every frame, and the JSON folded from the same events, with holes where a request's own values go:
ids, the model and the input tokens. Binding fills the holes. Only a reply that `max_tokens` or `stop_sequences` cut
short is made anew for its request.
"""

import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from mock_server.engine import citations
from mock_server.engine.cache import CacheUse
from mock_server.engine.form import Form, Hole
from mock_server.engine.pace import Pace
from mock_server.engine.seal import OPEN_CALL, sealed
from mock_server.engine.seeds import Ids
from mock_server.protocol import cut, marks, tokens, usage
from mock_server.protocol.blocks import Block, McpToolResult, ServerToolUse, Text, Thinking
from mock_server.protocol.chunk import Chunk
from mock_server.protocol.events import events
from mock_server.protocol.message import NONE, Extras, Message
from mock_server.protocol.plan import JSON_HEADERS, SSE_HEADERS, Headers, Part, Plan, whole
from mock_server.protocol.profile import Model, Profile
from mock_server.protocol.results import WebSearchToolResult
from mock_server.protocol.sse import dumps, encode
from mock_server.protocol.usage import CacheKind, Usage
from mock_server.scenario.answer import Answer
from mock_server.scenario.timing import Pacing, Timing

_ID, _MODEL = Hole("id"), Hole("model")
_INPUT, _FINAL_INPUT = Hole("input_tokens"), Hole("final_input_tokens")
_OUTPUT, _FIRST_OUTPUT, _THINKING = Hole("output_tokens"), Hole("first_output_tokens"), Hole("thinking_tokens")
_READ, _WRITTEN = Hole("cache_read"), Hole("cache_written")
_WRITTEN_5M, _WRITTEN_1H = Hole("cache_written_5m"), Hole("cache_written_1h")
_COUNTERS = (_INPUT, _FINAL_INPUT, _OUTPUT, _FIRST_OUTPUT, _THINKING, _READ, _WRITTEN, _WRITTEN_5M, _WRITTEN_1H)


class Draw(Protocol):
    """Where the ids and the jitter of one exchange come from, and the server's call that a resumed turn answers."""

    ids: Ids

    def jitter(self) -> random.Random: ...
    def open_call(self) -> str: ...


class Binding(NamedTuple):
    """What one request puts into a reply.

    `room`: the tokens left of the model's window. `cache`: what its prompt did with the cache, if it marked anything.
    `omits_thinking`: thoughts come without their text.

    A named tuple, like all that is made for every request: it costs a third of a frozen dataclass.
    """

    model: Model
    input_tokens: int
    max_tokens: int
    stop_sequences: Sequence[str]
    stream: bool
    headers: Headers
    time_scale: float
    draw: Draw
    room: int | None = None
    cache: CacheUse | None = None
    extras: Extras | None = None
    omits_thinking: bool = False


@dataclass(frozen=True)
class Reply:
    """A reply as the compiler takes it: blocks, how it ends, its pace, and where it stands in a script.

    `output_tokens`: what it is said to cost, where that is not the sum of what is in it.
    """

    content: tuple[Block, ...]
    stop_reason: str
    stop_sequence: str | None = None
    stop_details: Mapping[str, Any] | None = None
    timing: Pacing = field(default_factory=Timing)
    usage: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    scenario: str = ""
    position: int = 1
    extras: Extras = NONE
    output_tokens: int | None = None


def reply_of(answer: Answer, default: Pacing, scenario: str, position: int) -> Reply:
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


class _Paced(NamedTuple):
    """A reply at one pace: when its events are due, and its forms by what their usage tells of the cache."""

    pace: Pace
    forms: dict[CacheKind, Form]


class CompiledReply:
    """A reply as bytes with holes. `bind` may be called from many requests.

    `is_open`: parts of it are made for each request. `runs_code`: the server ran a program for it. `once`: it is for
    one request, so nothing is made that this does not ask for.
    """

    def __init__(self, reply: Reply, profile: Profile, *, once: bool = False) -> None:
        self._reply = reply
        self._profile = profile
        self._content, self._stamps = sealed(reply.content, profile, reply.scenario, reply.position)
        self._counted = _counted(self._content)
        self._tokens = cut.total_tokens(self._content)
        self._thinking = sum(cut.block_tokens(block) for block in self._content if isinstance(block, Thinking))
        self._fed_back = sum(_fed_back(block) for block in self._content)
        self._texts = tuple(block.text for block in self._content if isinstance(block, Text))
        self._resumes = any(getattr(block, "tool_use_id", None) == OPEN_CALL.text for block in self._content)
        self.is_open = citations.is_open(self._content) or any(
            isinstance(block, WebSearchToolResult) and block.is_open for block in self._content
        )
        self.runs_code = any(block.type.endswith("code_execution_tool_result") for block in self._content)
        headers = tuple((name.lower(), value) for name, value in reply.headers.items())
        self._json_headers = (*JSON_HEADERS, *headers)
        self._sse_headers = (*SSE_HEADERS, *headers)
        self._forms: dict[Chunk, dict[CacheKind, Form]] = {}
        self._paced: dict[int, _Paced] = {}
        if not once:
            self._at_pace(reply.timing.of("")).forms[""].frames  # noqa: B018 # ready for its first request

    @property
    def size(self) -> int:
        """How many events its stream has, when it was made ready."""
        return max((len(forms[""].events) for forms in self._forms.values()), default=0)

    def _made(self, cache: CacheKind, chunk: Chunk) -> Form:
        return Form(events(self.message(cache), chunk), self._looks)

    def _at_pace(self, timing: Timing) -> _Paced:
        """The reply at this pace; forms are shared by paces that split texts alike."""
        chunk = timing.chunking
        forms = self._forms.get(chunk)
        if forms is None:
            forms = self._forms[chunk] = {"": self._made("", chunk)}
        found = _Paced(Pace(forms[""].events, timing), forms)
        self._paced[id(timing)] = found  # the reply keeps the timing, so the number stays its own
        return found

    def message(self, cache: CacheKind) -> Message:
        """The message with holes for what only a request has."""
        reply, complete = self._reply, self._profile.complete_usage
        counted = replace(
            self._counted,
            input_tokens=_INPUT.text,
            final_input_tokens=_FINAL_INPUT.text if self._fed_back else _INPUT.text,
            output_tokens=_OUTPUT.text,
            first_output_tokens=_FIRST_OUTPUT.text,
            thinking_tokens=_THINKING.text if self._thinking else 0,
            extras=reply.extras.usage,
            override=reply.usage,
        )
        if cache:
            counted = replace(
                counted,
                cache=cache,
                cache_read=_READ.text,
                cache_written=_WRITTEN.text,
                cache_written_5m=_WRITTEN_5M.text,
                cache_written_1h=_WRITTEN_1H.text,
            )
        start, end = usage.at_start(counted, complete=complete), usage.at_end(counted, complete=complete)
        if reply.extras.iterates:
            end["iterations"] = [_iteration(end, reply.stop_reason)]
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
            reply.extras,
        )

    @property
    def _looks(self) -> dict[str, str]:
        """The holes in this reply: their names and how they look."""
        calls = (Hole(name) for name, _ in self._stamps)
        return {hole.name: hole.quoted for hole in (_ID, _MODEL, OPEN_CALL, *_COUNTERS, *calls)}

    # -- one request -------------------------------------------------------------------------------------------

    def bind(self, to: Binding) -> Plan:
        """The plan that answers one request."""
        factor = to.model.token_factor
        most = to.max_tokens if to.room is None else min(to.max_tokens, to.room)
        if most < self._tokens * factor or (to.stop_sequences and self._stops(to.stop_sequences)):
            shorter = cut.cut(self._reply.content, _estimated(most, factor), to.stop_sequences)
            if shorter is not None:
                reply = self._shortened(shorter, most, is_full=most < to.max_tokens)
                uncut = to._replace(max_tokens=sys.maxsize, room=None, stop_sequences=())
                return CompiledReply(reply, self._profile, once=True).bind(uncut)
        if to.extras is not None or (to.omits_thinking and self._thinking):
            return CompiledReply(self._told(to), self._profile, once=True)._whole(to)
        return self._whole(to)

    def _told(self, to: Binding) -> Reply:
        """The reply with what only this request is told, or without what it does not want to be told."""
        content = self._reply.content
        if to.omits_thinking:
            content = tuple(replace(one, omitted=True) if isinstance(one, Thinking) else one for one in content)
        return replace(self._reply, content=content, extras=to.extras or NONE)

    def _stops(self, sequences: Sequence[str]) -> bool:
        return any(sequence in text for text in self._texts for sequence in sequences)

    def _shortened(self, shorter: cut.Cut, most: int, *, is_full: bool) -> Reply:
        """What a cut left; `is_full`: the window was full before `max_tokens` was reached."""
        at_limit = shorter.stop_reason == "max_tokens"
        override = {k: v for k, v in (self._reply.usage or {}).items() if k != "output_tokens"}
        return replace(
            self._reply,
            content=shorter.content,
            stop_reason="model_context_window_exceeded" if at_limit and is_full else shorter.stop_reason,
            stop_sequence=shorter.stop_sequence,
            stop_details=None,
            usage=override,
            output_tokens=most if at_limit else None,
        )

    def _whole(self, to: Binding) -> Plan:
        timing = self._reply.timing.of(to.model.id)
        pace, forms = self._paced.get(id(timing)) or self._at_pace(timing)
        form = forms[""] if to.cache is None else self._form_of(to.cache, forms, timing.chunking)
        values = {
            "id": b'"%b"' % to.draw.ids.message().encode(),
            "model": self._profile.json_names.get(to.model.id) or encode(dumps(to.model.id)),
            **self._counts(to),
        }
        for name, stamped in self._stamps:
            values[name] = b'"%b"' % marks.mint(to.draw.ids.take(6), stamped).encode()
        if self._resumes:
            values["open_call"] = encode(dumps(to.draw.open_call()))
        given = to.input_tokens if to.cache is None else to.input_tokens - to.cache.read
        timeline = pace.timeline(to.time_scale, to.model.token_factor, given, to.draw.jitter)
        at = timeline.at
        if not to.stream:
            return whole(200, self._json_headers + to.headers, form.json.fill(values), at[-1])
        frames = timeline.filled(form.fill(values))
        return Plan(200, self._sse_headers + to.headers, (Part(frames, at),), True, at[0])

    def _form_of(self, use: CacheUse, forms: dict[CacheKind, Form], chunk: Chunk) -> Form:
        """The form whose usage tells of the cache what this prompt did with it."""
        kind: CacheKind = "write" if use.written or self._profile.complete_usage else "read"
        form = forms.get(kind)
        if form is None:
            form = forms[kind] = self._made(kind, chunk)
        return form

    def _counts(self, to: Binding) -> dict[str, bytes]:
        """The counters of one request, as JSON."""
        factor, use = to.model.token_factor, to.cache
        output = self._reply.output_tokens
        if output is None:
            most = to.max_tokens if to.room is None else min(to.max_tokens, to.room)
            output = min(most, math.ceil(self._tokens * factor - 1e-9))  # a token that is cut nowhere may count for two
        given = to.input_tokens if use is None else use.uncached
        counts = {
            "input_tokens": b"%d" % given,
            "output_tokens": b"%d" % output,
            "first_output_tokens": b"%d" % min(output, 1),
        }
        if self._fed_back:
            counts["final_input_tokens"] = b"%d" % (given + round(self._fed_back * factor))
        if self._thinking:
            counts["thinking_tokens"] = b"%d" % min(output, math.ceil(self._thinking * factor - 1e-9))
        if use is not None:
            counts["cache_read"], counts["cache_written"] = b"%d" % use.read, b"%d" % use.written
            counts["cache_written_5m"], counts["cache_written_1h"] = b"%d" % use.written_5m, b"%d" % use.written_1h
        return counts


# -- what it costs -------------------------------------------------------------------------------------------------


def _iteration(end: Mapping[str, Any], stop_reason: str) -> dict[str, Any]:
    """The one sampling of a reply, as `usage.iterations` lists it."""
    counters = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    kind = "compaction" if stop_reason == "compaction" else "message"
    return {"type": kind, **{name: end.get(name, 0) for name in counters}}


def _estimated(model_tokens: int, factor: float) -> int:
    """How many estimated tokens fit in so many of a model; one at least where there is room at all."""
    return max(1, int(model_tokens / factor)) if model_tokens > 0 else 0


def _counted(content: Sequence[Block]) -> Usage:
    """The output side of the usage."""
    calls = [block.name for block in content if isinstance(block, ServerToolUse)]
    found = [item for block in content if isinstance(block, WebSearchToolResult) for item in _items(block)]
    return Usage(
        web_search_requests=sum(name.endswith("_search") for name in calls),
        web_fetch_requests=calls.count("web_fetch"),
        full_content=sum("full_content" in item for item in found),
    )


def _items(block: WebSearchToolResult) -> list[dict[str, Any]]:
    return [item for item in block.told if isinstance(item, dict)] if isinstance(block.told, list) else []


def _fed_back(block: Block) -> int:
    """The estimated tokens that the model reads once more: the result of a server's tool."""
    if isinstance(block, McpToolResult):
        return tokens.count(dumps(block.content))
    return tokens.count(dumps(block.told)) if isinstance(block, WebSearchToolResult) else 0

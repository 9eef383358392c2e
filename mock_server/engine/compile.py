"""Reply -> CompiledReply, once at load; CompiledReply.filled -> Filled -> Plan, once a request.

Compiling makes every frame, and the JSON folded from the same events, with slots where a request's own values go:
ids, the model and the input tokens. `filled` and `Filled.plan` fill the slots. A reply that carries more than the
message gets frames with room for that, made when first needed. Only a reply that `max_tokens` or `stop_sequences`
cut short, or whose thoughts are not shown, is made anew for its request.
"""

import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, get_args

from mock_server.engine import citations
from mock_server.engine.cache import CacheUse
from mock_server.engine.pace import INSTANTLY, Pace
from mock_server.engine.seeds import chance
from mock_server.engine.slots import (
    OPEN_CALL,
    Blank,
    Filled,
    FilledTemplate,
    ReplyTemplate,
    Slot,
    cached,
    signed_blocks,
)
from mock_server.protocol import tokens
from mock_server.protocol.blocks import (
    AdvisorToolResult,
    Block,
    McpToolResult,
    RedactedThinking,
    ServerToolUse,
    Text,
    Thinking,
    ToolUse,
    WebSearchToolResult,
    is_server_tool,
)
from mock_server.protocol.chunk import Chunk
from mock_server.protocol.message import (
    NONE,
    UNEDITED,
    CacheKind,
    Cut,
    Extras,
    Message,
    Usage,
    at_end,
    at_start,
    block_cost,
    cut,
    total_cost,
)
from mock_server.protocol.plan import JSON_HEADERS, SSE_HEADERS
from mock_server.protocol.profile import Geo, Model, Profile
from mock_server.protocol.sse import dumps, encode
from mock_server.protocol.tokens import Cost
from mock_server.records import dataclass, lazy
from mock_server.scenario.answer import Answer
from mock_server.scenario.reply import OpenText
from mock_server.scenario.timing import Pacing, Timing

_AT_LIMIT = ("max_tokens", "model_context_window_exceeded")
_ACTS = (ToolUse, Thinking, RedactedThinking)
_ID, _MODEL = Blank("id"), Blank("model")
_INPUT, _FINAL_INPUT = Blank("input_tokens"), Blank("final_input_tokens")
_OUTPUT, _FIRST_OUTPUT, _THINKING = Blank("output_tokens"), Blank("first_output_tokens"), Blank("thinking_tokens")
_READ, _WRITTEN = Blank("cache_read"), Blank("cache_written")
_WRITTEN_5M, _WRITTEN_1H = Blank("cache_written_5m"), Blank("cache_written_1h")
_COUNTERS = (_INPUT, _FINAL_INPUT, _OUTPUT, _FIRST_OUTPUT, _READ, _WRITTEN, _WRITTEN_5M, _WRITTEN_1H)
_DETAILS = (_THINKING.name, f',"output_tokens_details":{{"thinking_tokens":{_THINKING.quoted}}}')
_GEO = Blank("inference_geo")
# what only some replies carry beside the message, by where it stands
_MESSAGE, _DELTA, _BESIDE = (Blank("diagnostics"),), (Blank("container"),), (Blank("context_management"),)
_USAGE, _ITERATIONS = (Blank("service_tier"), _GEO, Blank("speed")), Blank("iterations")
_MEMBERS = (*_MESSAGE, *_DELTA, *_BESIDE, *_USAGE, _ITERATIONS)


class Draws(Protocol):
    """Where the jitter of one exchange comes from."""

    def jitter(self) -> random.Random: ...


class Binding(NamedTuple):
    """What one request puts into a reply.

    `most`: the most tokens that a reply can have, with what is left of the model's window. `cache`: what its prompt did
    with the cache, if it marked anything. `thinks`: thinking was asked for.

    A named tuple, like all that is made for every request: it costs a third of a frozen dataclass.
    """

    model: Model
    input_tokens: int
    max_tokens: int
    most: int
    stop_sequences: Sequence[str]
    stream: bool
    time_scale: float
    draw: Draws
    cache: CacheUse | None = None
    extras: Extras | None = None
    thinks: bool = False


class View(NamedTuple):
    """How a request has thoughts and calls shown: without the text of thoughts, with `estimated_tokens` in their
    deltas, with input that is not held back (the names of such tools); and the seed that says which thoughts end in an
    empty delta."""

    omits_thinking: bool = False
    counts_thinking: bool = False
    eager: frozenset[str] = frozenset()
    seed: int = 0


# The share of thoughts that end in an empty delta: of those without and with a text (of 5 recorded ones 4, of 109 21).
_TRAILING = {True: 0.8, False: 0.19}
_MOST_VIEWS = 16


@dataclass(frozen=True)
class Reply:
    """A reply as the compiler takes it: blocks, how it ends, its pace, and where it stands in a script.

    `output_tokens`: what it costs by the script, where that is not the sum of what is in it. `max_tokens`: the limit it
    was written for. `model`: the model that it names. `extras`: what the script sets beside the message.
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
    max_tokens: int | None = None
    model: str | None = None


def of_one_text(profile: Profile, timing: Pacing) -> "CompiledReply":
    """The reply that most made-up ones are: a text, to be `poured`."""
    return CompiledReply.of_slots(Reply((OpenText(),), "end_turn", timing=timing), profile)


def is_one_text(reply: Reply) -> bool:
    """Whether a made-up reply is nothing but a text."""
    return len(reply.content) == 1 and type(text := reply.content[0]) is Text and text.citations is None


def reply_of(answer: Answer, default: Pacing, scenario: str, position: int) -> Reply:
    """What a scripted answer says, with the server's own pace where the script sets none."""
    return Reply(
        answer.reply or (),
        answer.ending,
        answer.stop_sequence,
        None if answer.stop_details is None else answer.stop_details.payload,
        answer.timing or default,
        answer.usage,
        answer.headers,
        scenario,
        position,
        output_tokens=answer.max_tokens if answer.ending == "max_tokens" else None,
        max_tokens=answer.max_tokens,
        model=answer.model,
        extras=_scripted(answer),
    )


def _scripted(answer: Answer) -> Extras:
    """What a script sets beside the message, by where it stands."""
    message = _present(diagnostics=answer.diagnostics)
    delta = _present(container=None if answer.container is None else answer.container.payload)
    beside = _present(context_management=answer.context_management, input_transformations=answer.input_transformations)
    return Extras(message, delta, beside) if message or delta or beside else NONE


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class _Kind(NamedTuple):
    """What a template has room for: counters of the cache, and what only some replies carry beside the message."""

    cache: CacheKind = ""
    extras: bool = False


_PLAIN = _Kind()
_Templates = dict[_Kind, ReplyTemplate]


class _Paced(NamedTuple):
    """A reply at one pace: when its events are due, the template that most requests get, and all of them."""

    pace: Pace
    plain: ReplyTemplate
    templates: _Templates


class _Round(NamedTuple):
    """One sampling of a reply, in estimated tokens: its output, the results of tools that it reads beside the prompt,
    and the advice that comes behind it.
    """

    output: int
    fed_back: int
    advice: int


def has_slots(content: Sequence[Block]) -> bool:
    """Whether all that only a request can give of a reply are texts: those can have slots. Thoughts cannot, as their
    signatures cover the texts beside them; results of tools and quotes are looked up in a request."""
    kinds = {type(block) for block in content}
    cited = any(isinstance(block, Text) and block.citations is not None for block in content)
    return OpenText in kinds and kinds <= {OpenText, Text, ToolUse} and not cited


class CompiledReply:
    """A reply as bytes with slots. `filled` may be called from many requests.

    `is_open`: parts of it are made for each request. `runs_code`: the server runs a program for it, or goes on with
    one, or the script names a container whose id or end is to be made. `thinks`, `calls`: what of it a request can
    have shown otherwise: whether there are thoughts, and the names of the tools it calls. `acts`: it calls or thinks,
    which not every request lets it do. `once`: it answers one request, and is not kept ready for others.
    """

    def __init__(self, reply: Reply, profile: Profile, *, once: bool = False) -> None:
        self._reply = reply
        self._profile = profile
        self.once = once
        self._content, self._stamps = signed_blocks(reply.content, profile, reply.scenario, reply.position)
        self._counted = _counted(self._content)
        self._cost = total_cost(self._content)
        self._thinking = total_cost([block for block in self._content if isinstance(block, Thinking)]).text
        self.thinks = any(isinstance(block, Thinking) for block in self._content)
        self.calls = frozenset(block.name for block in self._content if isinstance(block, ToolUse))
        self.acts = any(isinstance(block, _ACTS) for block in self._content)
        self._views: dict[View, CompiledReply] = {}
        self._fed_back = sum(_fed_back(block) for block in self._content)
        self._texts = tuple(block.text for block in self._content if isinstance(block, Text))
        self._resumes = any(_names(block, OPEN_CALL.text) for block in self._content)
        self.is_open = citations.is_open(self._content) or any(
            isinstance(block, WebSearchToolResult) and block.is_open for block in self._content
        )
        self._extras, self._container = _apart(reply.extras)
        self.runs_code = bool(self._container) or any(_runs_code(block) for block in self._content)
        headers = tuple((name.lower(), value) for name, value in reply.headers.items())
        self._json_headers = (*JSON_HEADERS, *headers)
        self._sse_headers = (*SSE_HEADERS, *headers)
        self._templates: dict[Chunk | None, _Templates] = {}
        self._paced: dict[int, _Paced] = {}
        self.size = 0  # steps of its stream, when it was made ready
        self._unsigned = reply.content
        self.slots: tuple[tuple[int, Slot], ...] = ()  # texts that each request has its own of, and where they stand
        self._texts_json: Mapping[str, bytes] = {}  # what stands in them

    def ready(self) -> "CompiledReply":
        """This reply, with all that is the same for everybody made by now."""
        plain = self._at_pace(self._reply.timing.of("")).plain
        plain.frames  # noqa: B018
        self.size = len(plain.steps)
        return self

    @classmethod
    def of_slots(cls, reply: Reply, profile: Profile) -> "CompiledReply":
        """A reply whose open texts have slots (`has_slots`), to be `poured` for each request."""
        slots = [Slot(f"text{at}") if isinstance(block, OpenText) else block for at, block in enumerate(reply.content)]
        made = cls(replace(reply, content=tuple(slots)), profile)
        made.is_open = True
        made.slots = tuple((at, block) for at, block in enumerate(slots) if isinstance(block, Slot))
        made._cost = total_cost([block for block in slots if not isinstance(block, Slot)])
        return made

    def at_once(self, to: Binding) -> bool:
        """Whether nothing of it waits for its time."""
        timing = self._reply.timing.of(to.model.id)
        return not to.time_scale or (self._paced.get(id(timing)) or self._at_pace(timing)).pace.is_instant

    def texts_of(self, content: Sequence[Block], model: Model) -> tuple[dict[str, bytes], int]:
        """What stands in the slots of a reply whose content is this, and the tokens that all of it takes."""
        texts = {slot.name: content[at].text for at, slot in self.slots}  # type: ignore[union-attr]
        cost = self._cost.text + sum([tokens.count(text) for text in texts.values()])
        needs = self._cost.fixed + cost * model.token_factor
        return {name: encode(dumps(text)) for name, text in texts.items()}, math.ceil(needs - 1e-9)

    def is_even(self, model: Model, time_scale: float) -> bool:
        """Whether a prompt leaves nothing in it but the number of its tokens, and its times alone; with texts of each
        request's own, whether it costs what we count."""
        reply = self._reply
        if self._fed_back or (time_scale and reply.timing.of(model.id).per_input_token):
            return False
        return not self.slots or (reply.output_tokens is None and reply.max_tokens is None and not reply.usage)

    def poured(self, content: tuple[Block, ...]) -> "CompiledReply":
        """This reply with the content of one request, which has texts where this one has slots."""
        return _Poured(self, content)

    def viewed(self, view: View) -> "CompiledReply":
        """This reply as a request has it shown; made once for each way."""
        found = self._views.get(view)
        if found is None:
            if len(self._views) >= _MOST_VIEWS:
                self._views.clear()
            content = tuple(_viewed(block, view) for block in self._unsigned)
            same = content == self._unsigned
            if same:
                found = self
            else:
                found = CompiledReply(replace(self._reply, content=content), self._profile, once=self.once)
            self._views[view] = found
        return found

    def _made(self, kind: _Kind, chunk: Chunk | None) -> ReplyTemplate:
        return ReplyTemplate(self.message(kind), chunk, self._looks, once=self.once)

    def template(self, kind: _Kind, chunk: Chunk | None) -> ReplyTemplate:
        """The template of this kind, of texts split so; made once."""
        templates = self._templates.setdefault(chunk, {})
        template = templates.get(kind)
        if template is None:
            template = templates[kind] = self._made(kind, chunk)
        return template

    def _at_pace(self, timing: Timing) -> _Paced:
        """The reply at this pace; templates are shared by paces that split texts alike."""
        chunk = timing.chunking
        plain = self.template(_PLAIN, chunk)
        found = _Paced(Pace(plain, timing), plain, self._templates[chunk])
        self._paced[id(timing)] = found  # the reply keeps the timing, so the number stays its own
        return found

    def message(self, kind: _Kind) -> Message:
        """The message with blanks for what only a request has."""
        reply, complete = self._reply, self._profile.complete_usage
        extras = _open(self._extras) if kind.extras else self._extras
        counted = replace(
            self._counted,
            input_tokens=_INPUT.text,
            final_input_tokens=_FINAL_INPUT.text if self._fed_back else _INPUT.text,
            output_tokens=_OUTPUT.text,
            first_output_tokens=_FIRST_OUTPUT.text,
            thinking_tokens=_THINKING.text,
            inference_geo=_GEO.text,
            extras=extras.usage,
            override=reply.usage,
        )
        if kind.cache:
            counted = replace(
                counted,
                cache=kind.cache,
                cache_read=_READ.text,
                cache_written=_WRITTEN.text,
                cache_written_5m=_WRITTEN_5M.text,
                cache_written_1h=_WRITTEN_1H.text,
            )
        start, end = at_start(counted, complete=complete), at_end(counted, complete=complete)
        if kind.extras:
            end.setdefault(_ITERATIONS.name, _ITERATIONS.text)
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
            extras,
        )

    @property
    def _looks(self) -> dict[str, str]:
        """The blanks in this reply: their names and how they look."""
        calls = (Blank(name) for name, _ in self._stamps)
        slots = {slot.name: dumps(slot.text) for slot in self._reply.content if isinstance(slot, Slot)}
        values = {blank.name: blank.quoted for blank in (_ID, _MODEL, OPEN_CALL, *_COUNTERS, *calls)}
        return values | slots | {blank.name: blank.member for blank in _MEMBERS} | {_DETAILS[0]: _DETAILS[1]}

    # -- one request -------------------------------------------------------------------------------------------

    def filled(self, to: Binding) -> Filled:
        """The reply to one request in all but what is drawn for it."""
        needs = self._cost.fixed + self._cost.text * to.model.token_factor
        room = to.most if self._reply.max_tokens is None else self._room(to)
        if needs > room or (to.stop_sequences and self._stops(to.stop_sequences)):
            shorter = self._cut(to, room)
            if shorter is not None:
                left = CompiledReply(self._shortened(shorter, to), self._profile, once=True)
                extras = to.extras
                if extras is not None and extras.for_program and not left.runs_code:  # cut before its program
                    extras = replace(extras, delta={})
                unbound = to._replace(max_tokens=sys.maxsize, most=sys.maxsize, stop_sequences=(), extras=extras)
                return left.filled(unbound)._replace(is_cut=True)
        return self._whole(to, needs)

    def _room(self, to: Binding) -> float:
        """The tokens that this request leaves for the reply, as we count them.

        Where the script says for which limit the reply was written, that limit or a larger one leaves it whole,
        whatever we count. Against a smaller one it is as long as the script says: by its usage, or because it filled
        its limit.
        """
        reply = self._reply
        if reply.max_tokens is None:
            return to.most
        if to.max_tokens >= reply.max_tokens:
            return math.inf
        length = (reply.usage or {}).get("output_tokens") or reply.output_tokens
        return to.most * self._needs(to.model) / length if length else to.most

    def outgoing(self, to: Binding | None) -> tuple[Sequence[Block], str]:
        """The blocks that go out, and why they end. `to`: the request that cuts it short."""
        shorter = None if to is None else self._cut(to, self._room(to))
        if shorter is not None:
            return shorter.content, shorter.stop_reason
        return self._unsigned, self._reply.stop_reason

    def lacking(self, to: Binding) -> str:
        """Why a reply that was scripted whole does not come whole for want of room, in words; else an empty text."""
        room, needs = self._room(to), self._needs(to.model)
        if room >= needs or self._reply.stop_reason in _AT_LIMIT or not to.max_tokens:
            return ""  # with 0 a request only warms the cache
        shorter = self._cut(to, room)
        if shorter is None or shorter.stop_reason != "max_tokens":
            return ""
        limit = f"max_tokens is {to.max_tokens}"
        if to.most < to.max_tokens:
            limit = f"the model's window has room for {max(0, to.most)}"
        takes = math.ceil(needs * (to.most / room if room > 0 else 1) - 1e-9)
        return f"the reply was cut short: it takes {takes} tokens, and {limit}"

    def _needs(self, model: Model) -> float:
        """The tokens of a model that the whole reply takes."""
        return self._cost.fixed + self._cost.text * model.token_factor

    def _cut(self, to: Binding, room: float) -> Cut | None:
        return cut(self._unsigned, room, to.stop_sequences, to.model.token_factor)

    def _stops(self, sequences: Sequence[str]) -> bool:
        return any(sequence in text for text in self._texts for sequence in sequences)

    def _shortened(self, shorter: Cut, to: Binding) -> Reply:
        """What a cut left, counted as no longer than the request allows, whatever we count. Where the window was full
        before `max_tokens` was reached, it ends with that.
        """
        at_limit, is_full = shorter.stop_reason == "max_tokens", to.most < to.max_tokens
        left = total_cost(shorter.content)
        is_all = at_limit or left.fixed + left.text * to.model.token_factor > to.most
        override = {name: value for name, value in (self._reply.usage or {}).items() if name not in _OF_OUTPUT}
        return replace(
            self._reply,
            content=shorter.content,
            stop_reason="model_context_window_exceeded" if at_limit and is_full else shorter.stop_reason,
            stop_sequence=shorter.stop_sequence,
            stop_details=None,
            usage=override,
            output_tokens=to.most if is_all else None,
            max_tokens=None,
        )

    def _whole(self, to: Binding, needs: float) -> Filled:
        """The same of a reply that comes whole and takes so many tokens."""
        timing = self._reply.timing.of(to.model.id)
        pace, template, templates = self._paced.get(id(timing)) or self._at_pace(timing)
        model, use = self._reply.model or to.model.id, to.cache
        output = self._output(to, needs)
        uncached = final = to.input_tokens if use is None else use.uncached
        values = {
            "model": self._profile.json_names.get(model) or encode(dumps(model)),
            "inference_geo": _GEOS[to.model.inference_geo],
            "input_tokens": b"%d" % uncached,
            "output_tokens": b"%d" % output,
            "first_output_tokens": b"%d" % min(output, 1),
            _THINKING.name: self._details(to, output),
            **self._texts_json,
        }
        if self._fed_back:
            final = uncached + round(self._fed_back * to.model.token_factor)
            values["final_input_tokens"] = b"%d" % final
        if use is not None:
            values |= cached(use)
        if to.cache is not None or to.extras is not None:
            template = self._template_of(to, templates, timing.chunking)
        if to.extras is not None:
            values |= self._extra_members(to, to.extras)
        if not to.stream and (pace.is_instant or not to.time_scale):
            timeline = INSTANTLY
        else:
            read = to.input_tokens if use is None else to.input_tokens - use.read
            timeline = pace.timeline(to.time_scale, to.model.token_factor, read, to.draw.jitter)
        headers = self._sse_headers if to.stream else self._json_headers
        if self.once:
            self._templates, self._paced = {}, {}
        usage = self._reply.usage
        counted = (usage.get("input_tokens", final), usage.get("output_tokens", output)) if usage else (final, output)
        return Filled(headers, template, values, self._stamps, self._resumes, timeline, to.stream, counted)

    def _template_of(self, to: Binding, templates: _Templates, chunk: Chunk | None) -> ReplyTemplate:
        """The template that has room for all that this reply carries."""
        cache: CacheKind = ""
        if to.cache is not None:
            cache = "write" if to.cache.written or self._profile.complete_usage else "read"
        kind = _Kind(cache, to.extras is not None)
        return templates.get(kind) or self.template(kind, chunk)

    def _output(self, to: Binding, needs: float) -> int:
        if self._reply.output_tokens is not None:
            return self._reply.output_tokens
        whole = math.ceil(needs - 1e-9)
        return whole if whole <= to.max_tokens else to.most  # a token that is cut nowhere may count for two

    def _details(self, to: Binding, output: int) -> bytes:
        """How much of the output was thought, where the usage has that. A profile that leaves out what does not apply
        has it only where there is a thought, or thinking was asked for."""
        if self._thinking:
            thought = min(output, math.ceil(self._thinking * to.model.token_factor - 1e-9))
            return b',"output_tokens_details":{"thinking_tokens":%d}' % thought
        always = to.model.thinking_usage == "always" and self._profile.complete_usage
        return b',"output_tokens_details":{"thinking_tokens":0}' if always or to.thinks else b""

    # -- what only some replies carry --------------------------------------------------------------------------

    def _extra_members(self, to: Binding, extras: Extras) -> dict[str, bytes]:
        """What this reply carries beside the message, as members of their objects; empty where it carries nothing."""
        members = _NO_MEMBERS.copy()
        if self._profile.complete_usage:
            members |= {"service_tier": _STANDARD, "inference_geo": _GEOS[to.model.inference_geo]}
        if extras.beside is UNEDITED:
            members |= _UNEDITED
        elif extras.beside:
            members |= _members(extras.beside)
        if extras.message or extras.delta or extras.usage:
            members |= _members({**extras.message, **extras.delta, **extras.usage})
        if self._container:
            members["container"] = _member("container", {**extras.delta.get("container", {}), **self._container})
        if extras.iterates:
            members["iterations"] = _member("iterations", self._iterations(to, extras.advisor or to.model.id))
        return members

    def _iterations(self, to: Binding, advisor: str) -> list[dict[str, Any]]:
        """The samplings of the reply, whose tokens sum up to those of its usage, and the advice between them, whose
        tokens are counted here alone. What the prompt did with the cache, its first sampling did.
        """
        factor, use, usage = to.model.token_factor, _NO_USE if to.cache is None else to.cache, self._reply.usage or {}
        uncached = to.input_tokens if to.cache is None else use.uncached
        rounds = self._rounds
        read = [uncached + rounds[0].fed_back * factor, *[one.fed_back * factor for one in rounds[1:]]]
        inputs = _apportioned(usage.get("input_tokens", uncached + round(self._fed_back * factor)), read)
        outputs = _apportioned(
            usage.get("output_tokens", self._output(to, self._needs(to.model))), [one.output for one in rounds]
        )
        caches: Mapping[str, Any] = {
            "cache_read_input_tokens": usage.get("cache_read_input_tokens", use.read),
            "cache_creation_input_tokens": usage.get("cache_creation_input_tokens", use.written),
            "cache_creation": usage.get("cache_creation", _lifetimes(use.written_5m, use.written_1h)),
        }
        kind = "compaction" if self._reply.stop_reason == "compaction" else "message"
        listed: list[dict[str, Any]] = []
        for one, input_tokens, output_tokens in zip(rounds, inputs, outputs, strict=True):
            listed.append({"input_tokens": input_tokens, "output_tokens": output_tokens, **caches, "type": kind})
            caches = _NO_CACHES
            if one.advice:
                heard = to.input_tokens + sum(outputs[: len(listed)])
                advice = {"input_tokens": heard, "output_tokens": one.advice, **_NO_CACHES}
                listed.append({**advice, "type": "advisor_message", "model": advisor})
        return listed

    @lazy
    def _rounds(self) -> tuple[_Round, ...]:
        """Each result of an advisor ends a sampling, and the next one reads it."""
        rounds, output, fed_back = [], 0, 0
        for block in self._content:
            if isinstance(block, AdvisorToolResult):
                rounds.append(_Round(output, fed_back, 0 if _failed(block) else _fed_back(block)))
                output, fed_back = 0, _fed_back(block)
            else:
                cost = block_cost(block)
                output, fed_back = output + cost.text + cost.fixed, fed_back + _fed_back(block)
        return (*rounds, _Round(output, fed_back, 0))


class _Poured(CompiledReply):
    """A reply of slots with the content of one request. What is around its texts is made once for all; what hangs on
    more than their bytes and tokens is worked out when somebody asks.
    """

    def __init__(self, slots: CompiledReply, content: tuple[Block, ...]) -> None:
        self.__dict__ |= slots.__dict__
        for name in ("_content", "_texts", "_rounds"):
            self.__dict__.pop(name, None)
        texts = [(slot, content[at].text) for at, slot in slots.slots]  # type: ignore[union-attr]
        self.is_open = False
        self.once = True
        self._is_at_once = False
        self._slots = slots
        self._unsigned = content
        self._poured = {slot.text: text for slot, text in texts}
        self._texts_json = {slot.name: encode(dumps(text)) for slot, text in texts}
        self._cost = Cost(slots._cost.text + sum([tokens.count(text) for _, text in texts]), slots._cost.fixed)
        self._views, self._templates, self._paced = {}, {}, {}

    @lazy
    def _content(self) -> tuple[Block, ...]:
        texts = {slot: self._unsigned[at] for at, slot in self._slots.slots}
        return tuple([texts.get(block, block) if type(block) is Slot else block for block in self._slots._content])

    @lazy
    def _texts(self) -> tuple[str, ...]:
        return tuple([block.text for block in self._unsigned if isinstance(block, Text)])

    def _made(self, kind: _Kind, chunk: Chunk | None) -> ReplyTemplate:
        template = self._slots.template(kind, chunk)
        return template if self._is_at_once else FilledTemplate(template, self._poured, chunk)

    def _at_pace(self, timing: Timing) -> _Paced:
        slots = self._slots
        return (
            (slots._paced.get(id(timing)) or slots._at_pace(timing)) if self._is_at_once else super()._at_pace(timing)
        )

    def _whole(self, to: Binding, needs: float) -> Filled:
        self._is_at_once = not to.stream and self._slots.at_once(to)  # its JSON has everybody's template, and no time
        return super()._whole(to, needs)


# -- beside the message --------------------------------------------------------------------------------------------


def _apart(extras: Extras) -> tuple[Extras, Mapping[str, Any]]:
    """What a script sets beside the message, and apart from it a container of which it leaves out the id or the end."""
    container = extras.delta.get("container")
    if container is None or {"id", "expires_at"} <= container.keys():
        return extras, {}
    rest = {name: value for name, value in extras.delta.items() if name != "container"}
    return replace(extras, delta=rest), container


def _open(own: Extras) -> Extras:
    """Room for what only some replies carry; what the script sets itself stands."""

    def room(blanks: Sequence[Blank], own: Mapping[str, Any]) -> dict[str, Any]:
        return {**{blank.name: blank.text for blank in blanks}, **own}

    return Extras(
        room(_MESSAGE, own.message), room(_DELTA, own.delta), room(_BESIDE, own.beside), room(_USAGE, own.usage)
    )


def _member(name: str, value: Any) -> bytes:
    """A member of a JSON object, behind others."""
    return encode(f",{dumps(name)}:{dumps(value)}")


def _members(values: Mapping[str, Any]) -> dict[str, bytes]:
    return {name: _member(name, value) for name, value in values.items()}


def _lifetimes(written_5m: int, written_1h: int) -> dict[str, int]:
    return {"ephemeral_5m_input_tokens": written_5m, "ephemeral_1h_input_tokens": written_1h}


_NO_USE = CacheUse()
_NO_CACHES: Mapping[str, Any] = {
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_creation": _lifetimes(0, 0),
}
_NO_MEMBERS = {blank.name: b"" for blank in _MEMBERS}
_UNEDITED = _members(UNEDITED)
_STANDARD = _member("service_tier", "standard")
_GEOS = {geo: _member("inference_geo", geo) for geo in get_args(Geo)}


def _runs_code(block: Block) -> bool:
    """Whether a program runs in a container for this block: its call, its result, or a call that it makes itself."""
    caller = getattr(block, "caller", None) or {}
    if str(caller.get("type")).startswith("code_execution") or block.type.endswith("code_execution_tool_result"):
        return True
    return block.type == "server_tool_use" and getattr(block, "name", "").endswith("code_execution")


# counters of the output: a reply that is cut is counted anew
_OF_OUTPUT = ("output_tokens", "output_tokens_details", "server_tool_use", "iterations", "full_content_extra_count")


# -- what it costs -------------------------------------------------------------------------------------------------


def _apportioned(total: int, weights: Sequence[float]) -> list[int]:
    """A total in whole parts of about these weights."""
    whole, passed, parts = sum(weights), 0.0, [0]
    for weight in weights[:-1]:
        passed += weight
        parts.append(round(total * passed / whole) if whole else total)
    parts.append(total)
    return [later - earlier for earlier, later in pairwise(parts)]


def _failed(block: AdvisorToolResult) -> bool:
    return isinstance(block.payload, dict) and str(block.payload.get("type")).endswith("_error")


def _viewed(block: Block, view: View) -> Block:
    """A block as a request has it shown."""
    if isinstance(block, Thinking):
        drawn = chance(str(view.seed).encode()[:64], block.thinking)
        return replace(
            block,
            omitted=view.omits_thinking,
            counts=view.counts_thinking,
            trails=drawn < _TRAILING[view.omits_thinking],
        )
    if type(block) is ToolUse and block.raw is None and block.name in view.eager:
        return replace(block, eager=True)
    return block


def _names(block: Block, call: str) -> bool:
    """Whether a block belongs to this call of a server's tool: as its result, or because its program made it."""
    caller = getattr(block, "caller", None)
    return getattr(block, "tool_use_id", None) == call or (caller is not None and caller.get("tool_id") == call)


def _counted(content: Sequence[Block]) -> Usage:
    """The output side of the usage."""
    calls = [block.name for block in content if isinstance(block, ServerToolUse) and block.raw is None]
    found = [item for block in content if isinstance(block, WebSearchToolResult) for item in _items(block)]
    return Usage(
        web_search_requests=sum(name.endswith("_search") for name in calls),
        web_fetch_requests=calls.count("web_fetch"),
        full_content=sum("full_content" in item for item in found),
        ran_server_tool=any(is_server_tool(block.type) for block in content),
    )


def _items(block: WebSearchToolResult) -> list[dict[str, Any]]:
    return [item for item in block.payload if isinstance(item, dict)] if isinstance(block.payload, list) else []


def _fed_back(block: Block) -> int:
    """The estimated tokens that the model reads once more: the result of a server's tool."""
    if isinstance(block, McpToolResult):
        return tokens.count(dumps(block.content))
    return tokens.count(dumps(block.payload)) if isinstance(block, WebSearchToolResult) else 0

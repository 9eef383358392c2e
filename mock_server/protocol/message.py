"""The message: what the model says, the events of its stream, and `fold`, the only builder of the reply that is not a
stream.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Literal

from mock_server.protocol import tokens
from mock_server.protocol.blocks import (
    FILLS,
    Block,
    Compaction,
    Text,
    Thinking,
    ToolUse,
)
from mock_server.protocol.chunk import Chunk
from mock_server.protocol.plan import Payload, Plan
from mock_server.protocol.sse import dumps
from mock_server.protocol.tokens import Cost
from mock_server.records import dataclass

# What can be read of JSON that was cut short: every value that was complete, and the containers that were open.

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+)', re.DOTALL)
_CLOSER = {"{": "}", "[": "]"}


def loads(text: str) -> Any:
    """The value of `text` if it is whole, else what was complete of it; `{}` when nothing was."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    for end, closers in reversed(_safe_ends(text)):
        try:
            return json.loads(text[:end] + closers)
        except ValueError:
            continue
    return {}


def _safe_ends(text: str) -> list[tuple[int, str]]:
    """Places where the text could end, with what closes the containers open there."""
    ends: list[tuple[int, str]] = []
    open_: list[str] = []
    at = 0
    while (token := _TOKEN.match(text, at)) is not None:
        mark = token[1]
        if mark == ",":
            ends.append((token.start(1), "".join(reversed(open_))))
        elif mark in _CLOSER:
            open_.append(_CLOSER[mark])
        elif mark in "}]" and open_:
            open_.pop()
        at = token.end()
        if mark not in ":,":
            ends.append((at, "".join(reversed(open_))))
    return ends


# What a reply reports as `usage`. Shapes: docs/protocol.md C.2 and D.4, and A.5 for the fields Octen leaves out.
#
# A counter is a number, or the text that stands for one until a request is known.

Count = int | str
# what a prompt did with the cache: nothing, or it read at most, or it wrote
CacheKind = Literal["", "read", "write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The counters of one reply.

    `final_input_tokens`: the input side at the end, larger when results of server tools were fed back.
    `thinking_tokens` None: not sent. `ran_server_tool`: a tool of the server ran, counted or not. `extras`: counters
    that only some replies have (`speed` …). `override` holds what a scenario sets by hand; it wins.
    """

    input_tokens: Count = 0
    final_input_tokens: Count = 0
    output_tokens: Count = 0
    first_output_tokens: Count = 0
    thinking_tokens: Count | None = None
    ran_server_tool: bool = False
    web_search_requests: int = 0
    web_fetch_requests: int = 0
    full_content: int = 0
    cache: CacheKind = ""
    cache_read: Count = 0
    cache_written: Count = 0
    cache_written_5m: Count = 0
    cache_written_1h: Count = 0
    inference_geo: str = "not_available"
    extras: Mapping[str, Any] = field(default_factory=dict)
    override: Mapping[str, Any] | None = None


# counters that only one of the two events has, whoever sets them
ONLY_AT_END = ("output_tokens", "output_tokens_details", "server_tool_use")
ONLY_AT_START = ("cache_creation", "service_tier", "inference_geo", "speed")


def at_start(usage: Usage, *, complete: bool) -> dict[str, Any]:
    """`message_start.usage`: the input side, and hardly any output yet.

    `complete` profiles (Anthropic) send every counter; the others leave out what does not apply.
    """
    counters: dict[str, Any] = {"input_tokens": usage.input_tokens, **_cache_counters(usage, complete=complete)}
    if complete or usage.cache == "write":
        counters["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_written_5m,
            "ephemeral_1h_input_tokens": usage.cache_written_1h,
        }
    counters["output_tokens"] = usage.first_output_tokens if complete else 0
    if complete:
        counters["service_tier"] = "standard"
        counters["inference_geo"] = usage.inference_geo
    counters |= usage.extras
    return _overridden(counters, usage.override, skip=ONLY_AT_END)


def at_end(usage: Usage, *, complete: bool) -> dict[str, Any]:
    """`message_delta.usage`: totals. Input and cache counters come again, since clients read them here."""
    counters: dict[str, Any] = {"input_tokens": usage.final_input_tokens, **_cache_counters(usage, complete=complete)}
    counters["output_tokens"] = usage.output_tokens
    if usage.thinking_tokens is not None:
        counters["output_tokens_details"] = {"thinking_tokens": usage.thinking_tokens}
    if usage.ran_server_tool:
        counters["server_tool_use"] = {"web_search_requests": usage.web_search_requests}
        if complete:
            counters["server_tool_use"]["web_fetch_requests"] = usage.web_fetch_requests
    if usage.full_content and not complete:
        counters["full_content_extra_count"] = usage.full_content
    return _overridden(counters, usage.override, skip=ONLY_AT_START)


def merged(start: Mapping[str, Any], end: Mapping[str, Any]) -> dict[str, Any]:
    """The usage of the whole message: later totals overwrite, counters not sent again keep their first value."""
    return {**start, **end}


def _cache_counters(usage: Usage, *, complete: bool) -> dict[str, Count]:
    if not complete and not usage.cache:
        return {}
    return {"cache_creation_input_tokens": usage.cache_written, "cache_read_input_tokens": usage.cache_read}


def _overridden(counters: dict[str, Any], by_hand: Mapping[str, Any] | None, skip: tuple[str, ...]) -> dict[str, Any]:
    if by_hand:
        counters |= {name: value for name, value in by_hand.items() if name not in skip}
    return counters


# The message itself.


@dataclass(frozen=True, slots=True)
class Extras:
    """What only some replies carry: in the message, at its end, beside it, and in its usage.

    `iterates`: the usage lists the samplings of the reply; `advisor`: the model that gives advice between them.
    `for_program`: the container is there for a program of the reply alone.
    """

    message: Mapping[str, Any] = field(default_factory=dict)
    delta: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    iterates: bool = False
    advisor: str | None = None
    for_program: bool = False


NONE = Extras()
# what most requests for edits of the context get
UNEDITED: Mapping[str, Any] = {"context_management": {"applied_edits": []}}


@dataclass(frozen=True, slots=True)
class Message:
    """Everything the events of one reply are made from. The two usages are those of message_start and message_delta."""

    id: str
    model: str
    content: tuple[Block, ...]
    stop_reason: str
    stop_sequence: str | None
    stop_details: Mapping[str, Any] | None
    usage_at_start: Mapping[str, Any]
    usage_at_end: Mapping[str, Any]
    complete: bool = False
    extras: Extras = NONE


# what stands beside the delta in message_delta (docs/protocol.md C.1, beta), and in it
BESIDE = ("context_management", "input_transformations")
IN_DELTA = ("stop_reason", "stop_sequence", "stop_details", "container")


def fold(payloads: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The message that the event payloads of a stream add up to, as the SDKs' accumulators read it."""
    message: dict[str, Any] = {}
    for payload in payloads:
        match payload["type"]:
            case "message_start":
                message = {**payload["message"], "content": []}
            case "content_block_start":
                message["content"].append(_Open(payload["content_block"]))
            case "content_block_delta":
                message["content"][payload["index"]].add(payload["delta"])
            case "message_delta":
                message |= payload["delta"]
                message["usage"] = merged(message["usage"], payload["usage"])
                message |= {name: payload[name] for name in BESIDE if name in payload}
    message["content"] = [block.close() for block in message["content"]]
    return message


def sent_message(plan: Plan) -> Payload | None:
    """The message that a plan sends, or what else its JSON body says; None where only the bytes of that are kept.

    It may be shared: nobody may change it.
    """
    payloads = [payload for payload in plan.payloads if payload is not None]
    return fold(payloads) if plan.stream else payloads[0] if payloads else None


def plain(value: Any) -> Any:
    """A value as it comes back out of JSON, and of which nothing is shared."""
    if isinstance(value, Mapping):
        return {name if isinstance(name, str) else dumps(name): plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


class _Open:
    """A block that is still being filled."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self._block = dict(start)
        self._pieces: dict[str, list[str]] = {}

    def add(self, delta: Mapping[str, Any]) -> None:
        kind = delta["type"]
        if kind in FILLS:
            name, piece = FILLS[kind]
            self._pieces.setdefault(name, []).append(delta[piece])
        elif kind == "compaction_delta":
            self._block |= {name: value for name, value in delta.items() if name != "type"}
        elif kind == "citations_delta":
            self._block["citations"] = [*(self._block.get("citations") or ()), delta["citation"]]

    def close(self) -> dict[str, Any]:
        for name, pieces in self._pieces.items():
            text = "".join(pieces)
            self._block[name] = loads(text or "{}") if name == "input" else text
        return self._block


# A message -> the events of its stream, message_start to message_stop. Order and shapes: docs/protocol.md D.2.

PING: dict[str, Any] = {"type": "ping"}


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `tokens` above 0 makes it a step in time; the others come together with the step before them."""

    payload: dict[str, Any]
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Silence:
    """A step in time that sends nothing: tokens that are held back, or shown to nobody."""

    tokens: int


def events(message: Message, chunk: Chunk | None = None, *, in_pieces: bool = True) -> Iterator[Event]:
    """The whole stream, without what is silent."""
    return (step for step in steps(message, chunk, in_pieces=in_pieces) if isinstance(step, Event))


def steps(message: Message, chunk: Chunk | None = None, *, in_pieces: bool = True) -> Iterator[Event | Silence]:
    """The whole stream. One ping comes after the first content_block_start, or after message_start if there is none.

    `chunk`: how texts are split; None: as the API does it. Not `in_pieces`, each text and thought comes at once: for
    those who only want what the stream folds to. The input of a call always comes as it does: of one that was cut short
    only what was sent is known.
    """
    yield Event(_message_start(message))
    if not message.content:
        yield Event(PING)
    for index, block in enumerate(message.content):
        yield Event({"type": "content_block_start", "index": index, "content_block": block.start()})
        if index == 0:
            yield Event(PING)
        for delta, count in block.deltas(chunk if in_pieces or not isinstance(block, Text | Thinking) else "all"):
            if delta is None:
                yield Silence(count)
            else:
                yield Event({"type": "content_block_delta", "index": index, "delta": delta}, count)
        yield Event({"type": "content_block_stop", "index": index})
    yield Event(_message_delta(message))
    yield Event({"type": "message_stop"})


def _message_start(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": message.id,
        "type": "message",
        "role": "assistant",
        "model": message.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
    if message.complete:
        body["stop_details"] = None
    body |= message.extras.message
    return {"type": "message_start", "message": {**body, "usage": dict(message.usage_at_start)}}


def _message_delta(message: Message) -> dict[str, Any]:
    delta: dict[str, Any] = {"stop_reason": message.stop_reason, "stop_sequence": message.stop_sequence}
    if message.complete or message.stop_details is not None:
        delta["stop_details"] = None if message.stop_details is None else dict(message.stop_details)
    delta |= message.extras.delta
    return {"type": "message_delta", "delta": delta, "usage": dict(message.usage_at_end), **message.extras.beside}


# What `max_tokens` and `stop_sequences` of a request leave of a reply. Rules: docs/protocol.md G.3 and G.4.

_NOTHING = 1e-9  # what rounding may add to a sum of tokens


def block_cost(block: Block) -> Cost:
    """The output tokens of one block: those of what its deltas carry, and what a call costs beside its input."""
    if isinstance(block, Text):
        return Cost(tokens.count(block.text))
    if isinstance(block, Thinking):
        return Cost(tokens.count(block.thinking))
    if isinstance(block, ToolUse):
        return Cost(tokens.count(block.json()), block.call_tokens)
    return Cost(tokens.count(block.content or "")) if isinstance(block, Compaction) else Cost()


def total_cost(content: Sequence[Block]) -> Cost:
    """The output tokens of a whole reply."""
    return sum((block_cost(block) for block in content), Cost())


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left, and why it ends there."""

    content: tuple[Block, ...]
    stop_reason: str
    stop_sequence: str | None = None


def cut(content: Sequence[Block], max_tokens: float, stop_sequences: Sequence[str], factor: float = 1.0) -> Cut | None:
    """What is left of `content`, or None when the request leaves it whole.

    The length is cut first; a stop sequence counts only if it was complete before that. `factor`: tokens of the model
    per estimated one.
    """
    short = _to_length(content, max_tokens, factor)
    stopped = _at_sequence(content if short is None else short, stop_sequences)
    if stopped is not None:
        return stopped
    return None if short is None else Cut(short, "max_tokens")


def _to_length(content: Sequence[Block], most: float, factor: float) -> tuple[Block, ...] | None:
    """The blocks that fit in so many tokens of the model, the last one perhaps in part; None when all fit.

    A call whose fixed part does not fit is not begun. Of a text that comes first one token is left at least.
    """
    kept: list[Block] = []
    left = most
    for at, block in enumerate(content, 1):
        cost = block_cost(block)
        need = cost.fixed + cost.text * factor
        if need > left + _NOTHING:
            room = int((left - cost.fixed) / factor + _NOTHING)
            if not cost.fixed and not room and left == most and most > 0:
                room = 1
            if room >= cost.text and left >= cost.fixed:  # that one token was all of it
                return None if at == len(content) else (*kept, block)
            begun = room > 0 or (cost.fixed and left >= cost.fixed)
            return (*kept, _shortened(block, room)) if begun else tuple(kept)
        kept.append(block)
        left -= need
    return None


def _shortened(block: Block, left: int) -> Block:
    if isinstance(block, Text):
        return replace(block, text=tokens.head(block.text, left))
    if isinstance(block, Thinking):
        return replace(block, thinking=tokens.head(block.thinking, left), signature=None)
    if isinstance(block, Compaction):
        return replace(block, content=tokens.head(block.content or "", left))
    assert isinstance(block, ToolUse)
    return replace(block, raw=tokens.head(block.json(), left))


def _at_sequence(content: Sequence[Block], sequences: Sequence[str]) -> Cut | None:
    """The content up to the first stop sequence in its text; thinking and tool input are not searched."""
    for index, block in enumerate(content):
        if not isinstance(block, Text):
            continue
        found = first_sequence(block.text, sequences)
        if found is not None:
            at, sequence = found
            rest = (replace(block, text=block.text[:at]),) if at else ()
            return Cut((*content[:index], *rest), "stop_sequence", sequence)
    return None


def first_sequence(text: str, sequences: Sequence[str]) -> tuple[int, str] | None:
    """Where the first sequence to be complete begins, and which it is; of two that end together, the longer."""
    found = [(at + len(sequence), at, sequence) for sequence in sequences if (at := text.find(sequence)) >= 0]
    if not found:
        return None
    _, at, sequence = min(found)
    return at, sequence

"""What a reply reports as `usage`. Shapes: protocol notes C.2 and D.4, and A.5 for the fields Octen leaves out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mock_server.protocol.request import Block, MessagesRequest, blocks
from mock_server.protocol.sse import dumps
from mock_server.protocol.tokens import TokenCounter

# What the API adds around the text (protocol notes G.2). Estimates, like everything counted here.
FRAMING = 7
PER_MESSAGE = 4
TOOL_PROMPT = 346
IMAGE = 1568


@dataclass(frozen=True, slots=True)
class Usage:
    """The counters of one reply. `override` holds what a scenario sets by hand; it wins over everything counted."""

    input_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    web_search_requests: int = 0
    web_fetch_requests: int = 0
    cache_asked: bool = False
    override: Mapping[str, Any] | None = None


def at_start(usage: Usage, *, complete: bool) -> dict[str, Any]:
    """`message_start.usage`: the input side, and hardly any output yet.

    `complete` profiles (Anthropic) send every counter; the others leave out what does not apply.
    """
    counters: dict[str, Any] = {"input_tokens": usage.input_tokens}
    if complete or usage.cache_asked:
        counters |= _cache_counters()
    if complete:
        counters["cache_creation"] = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    counters["output_tokens"] = min(usage.output_tokens, 1) if complete else 0
    if complete:
        counters["service_tier"] = "standard"
    return _overridden(counters, usage.override, skip=("output_tokens", "output_tokens_details", "server_tool_use"))


def at_end(usage: Usage, *, complete: bool) -> dict[str, Any]:
    """`message_delta.usage`: totals. Input and cache counters come again, since clients read them here."""
    counters: dict[str, Any] = {"input_tokens": usage.input_tokens}
    if complete or usage.cache_asked:
        counters |= _cache_counters()
    counters["output_tokens"] = usage.output_tokens
    if usage.thinking_tokens:
        counters["output_tokens_details"] = {"thinking_tokens": usage.thinking_tokens}
    if usage.web_search_requests or usage.web_fetch_requests:
        counters["server_tool_use"] = {"web_search_requests": usage.web_search_requests}
        if complete:
            counters["server_tool_use"]["web_fetch_requests"] = usage.web_fetch_requests
    return _overridden(counters, usage.override, skip=("cache_creation", "service_tier", "inference_geo", "speed"))


def merged(start: Mapping[str, Any], end: Mapping[str, Any]) -> dict[str, Any]:
    """The usage of the whole message: later totals overwrite, counters not sent again keep their first value."""
    return {**start, **end}


def _cache_counters() -> dict[str, int]:
    return {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}


def _overridden(counters: dict[str, Any], by_hand: Mapping[str, Any] | None, skip: tuple[str, ...]) -> dict[str, Any]:
    if by_hand:
        counters |= {name: value for name, value in by_hand.items() if name not in skip}
    return counters


def input_tokens(request: MessagesRequest, counter: TokenCounter) -> int:
    """The estimate of what a request's prompt costs: framing, system, tools and every message."""
    total = FRAMING + PER_MESSAGE * (len(request.messages) - 1)
    for block in blocks(request.body.get("system")):
        total += counter.count(block["text"])
    if request.tools:
        total += TOOL_PROMPT + sum(counter.count(dumps(tool)) for tool in request.tools)
    for message in request.messages:
        content = message["content"]
        if isinstance(content, str):
            total += counter.count(content)
        else:
            total += sum(_block_tokens(block, counter) for block in content)
    return total


def _block_tokens(block: Block, counter: TokenCounter) -> int:
    kind = block["type"]
    if kind == "text":
        return counter.count(block["text"])
    if kind == "image":
        return IMAGE
    if kind in ("thinking", "redacted_thinking"):
        return 0
    if kind == "tool_result":
        return sum(_block_tokens(inner, counter) for inner in blocks(block.get("content")))
    if kind == "document" and "data" in block["source"] and block["source"].get("type") != "text":
        return IMAGE
    return counter.count(dumps(block.get("input", block)))

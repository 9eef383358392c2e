"""What a reply reports as `usage`. Shapes: docs/protocol.md C.2 and D.4, and A.5 for the fields Octen leaves out.

A counter is a number, or the text that stands for one until a request is known.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from mock_server.records import dataclass

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
    return _overridden(counters, usage.override, skip=("output_tokens", "output_tokens_details", "server_tool_use"))


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
    return _overridden(counters, usage.override, skip=("cache_creation", "service_tier", "inference_geo", "speed"))


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

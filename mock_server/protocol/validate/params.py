"""Rules about top-level parameters."""

from collections.abc import Mapping
from typing import Any

from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.validate.checks import (
    Check,
    Finding,
    anything,
    array,
    boolean,
    dictionary,
    integer,
    items,
    nullable,
    number,
    one_of,
    optional,
    record,
    string,
    string_or,
    tagged,
)
from mock_server.protocol.validate.checks import (
    required as needs,
)

_CACHE_CONTROL = record({"type": needs(one_of("ephemeral")), "ttl": optional(nullable(one_of("5m", "1h")))})


def _non_empty(value: Any) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return string(value)
    if value == "":
        return "", "each stop sequence must be non-empty"
    return None if value.strip() else ("", "each stop sequence must contain non-whitespace")


def _stop_sequences(value: Any) -> tuple[str, str] | None:
    found = items(_non_empty)(value)
    return found if found is None or not found[1].startswith("each ") else ("", found[1])


_THINKING = tagged(
    {
        "enabled": record({"budget_tokens": needs(integer(1024))}),
        "disabled": record({}),
        "adaptive": record({}),
        "between_tools": record({}),
    }
)

# Every parameter of the API (protocol notes B.1 and B.2), in the order they are checked. What the emulator does
# not act on yet is accepted all the same.
PARAMETERS: Mapping[str, Check] = {
    "model": string,
    "messages": array,
    "max_tokens": integer(),
    "system": nullable(string_or(array)),
    "stream": nullable(boolean),
    "stop_sequences": nullable(_stop_sequences),
    "tools": nullable(array),
    "tool_choice": nullable(dictionary),
    "thinking": nullable(_THINKING),
    "output_config": nullable(
        record(
            {
                "effort": optional(nullable(one_of("low", "medium", "high", "xhigh", "max"))),
                "format": optional(
                    nullable(record({"type": needs(one_of("json_schema")), "schema": needs(dictionary)}))
                ),
            }
        )
    ),
    "cache_control": nullable(_CACHE_CONTROL),
    "metadata": nullable(record({"user_id": optional(nullable(string))})),
    "service_tier": nullable(one_of("auto", "standard_only")),
    "container": anything,
    "inference_geo": nullable(string),
    "speed": nullable(one_of("standard", "fast")),
    "diagnostics": nullable(dictionary),
    "temperature": nullable(number(0, 1)),
    "top_p": nullable(number(0, 1)),
    "top_k": nullable(integer(0)),
    "mcp_servers": nullable(array),
    "context_management": nullable(dictionary),
    "compaction": nullable(dictionary),
    "fallbacks": anything,
    "fallback_credit_token": anything,
    "thread": anything,
    "billing_policy": nullable(dictionary),
    "output_format": nullable(dictionary),
}

# Parameters that change what the emulator answers; the others are only accepted.
EMULATED = frozenset(
    [
        "model",
        "messages",
        "max_tokens",
        "system",
        "stream",
        "stop_sequences",
        "tools",
        "tool_choice",
        "output_config",
        "output_format",
        "cache_control",
        "thread",
        "metadata",
    ]
)


def required(request: MessagesRequest, profile: Profile) -> None:
    """Rules 22, 23."""
    for name in ("model", "messages", "max_tokens"):
        if name not in request.body:
            raise invalid(f"{name}: Field required")


def fields(request: MessagesRequest, profile: Profile) -> None:
    """Types, ranges and enums of the parameters that are there."""
    body = request.body
    wrong: dict[str, Finding] = {}
    for name, value in body.items():
        check = PARAMETERS.get(name)
        if check is not None and (found := check(value)) is not None:
            wrong[name] = found
    for name in PARAMETERS if wrong else ():
        if name in wrong:
            where, what = wrong[name]
            raise invalid(f"{name}{where}: {what}")
    if body["max_tokens"] < profile.least_max_tokens:
        raise invalid(f"max_tokens: Input should be greater than or equal to {profile.least_max_tokens}")


def known_model(request: MessagesRequest, profile: Profile) -> None:
    """Rule 29. The hint header tells a developer which setting would let the name pass."""
    if profile.model(request.model) is None:
        hint = f"profile {profile.name} has no such model; start the server with --any-model to accept every name"
        message = profile.unknown_model_message.format(model=request.model)
        raise ApiError("not_found_error", message, headers={"x-mock-hint": hint})


def no_unknown(request: MessagesRequest, profile: Profile) -> None:
    """Rule 28."""
    if profile.unknown_parameters == "error":
        for name in request.body:
            if name not in PARAMETERS:
                raise invalid(f"{name}: Extra inputs are not permitted")


def within_cap(request: MessagesRequest, profile: Profile) -> None:
    """Rule 26."""
    if request.max_tokens <= profile.least_max_output:
        return
    model = profile.model(request.model)
    if model is not None and model.max_output is not None and request.max_tokens > model.max_output:
        raise invalid(
            f"max_tokens: {request.max_tokens} > {model.max_output}, "
            f"which is the maximum allowed number of output tokens for {request.model}"
        )


def no_thread(request: MessagesRequest, profile: Profile) -> None:
    """Threads are not held here: the documented refusal makes clients send their whole history instead."""
    if request.body.get("thread") is not None:
        raise invalid(
            "thread: Message threads are not supported for this request",
            details={"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
        )


def thinking_budget(request: MessagesRequest, profile: Profile) -> None:
    """Rule 101."""
    thinking: Mapping[str, Any] = request.body.get("thinking") or {}
    if thinking.get("type") == "enabled" and thinking["budget_tokens"] >= request.max_tokens:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")

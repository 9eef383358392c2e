"""Rules about top-level parameters, those of Octen's search tools among them."""

from collections.abc import Container, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from mock_server.protocol.errors import ApiError, UnknownModel, invalid
from mock_server.protocol.profile import EFFORTS, Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.rules.checks import (
    Check,
    Fields,
    Finding,
    Stranger,
    anything,
    array,
    boolean,
    cache_control,
    dictionary,
    integer,
    items,
    nullable,
    number,
    one_of,
    optional,
    record,
    shaped,
    strangers,
    string,
    string_or,
    tagged,
    union,
)
from mock_server.protocol.rules.checks import required as needs


def _user_id(value: Any) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return string(value)
    return None if len(value) <= 256 else ("", "String should have at most 256 characters")


def _non_empty(value: Any) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return string(value)
    if value == "":
        return "", "each stop sequence must be non-empty"
    return None if value.strip() else ("", "each stop sequence must contain non-whitespace")


MOST_STOPS = 10_000
"""Stop sequences of one request. A limit of ours: none of the API is known, and each is looked for in the reply."""


def _stop_sequences(value: Any) -> tuple[str, str] | None:
    if isinstance(value, list) and len(value) > MOST_STOPS:
        return "", f"mock-server looks for at most {MOST_STOPS:,} sequences in one request"
    found = items(_non_empty)(value)
    return found if found is None or not found[1].startswith("each ") else ("", found[1])


_DISPLAY = {"display": optional(nullable(one_of("summarized", "omitted", "updates")))}
_BINDING = {"block_binding": optional(nullable(dictionary))}
# thinking.type -> its fields
THINKING: Mapping[str, Fields] = {
    "enabled": {"budget_tokens": needs(integer(1024)), **_DISPLAY, **_BINDING},
    "adaptive": {**_DISPLAY, **_BINDING},
    "disabled": {},
    "between_tools": {},
}
_THINKING = tagged({type: record(fields, skip="type") for type, fields in THINKING.items()})
_FORMAT = record({"type": needs(one_of("json_schema")), "schema": needs(shaped)})

# Every parameter of the API (docs/protocol.md B.1 and B.2), in the order they are checked. What the emulator does
# not act on yet is accepted all the same.
PARAMETERS: Mapping[str, Check] = {
    "model": string,
    "messages": array,
    "max_tokens": integer(),
    "system": nullable(string_or(array)),
    "stream": nullable(boolean),
    "stop_sequences": nullable(_stop_sequences),
    "tools": nullable(array),
    "tool_choice": nullable(union),
    "thinking": nullable(_THINKING),
    "output_config": nullable(
        record(
            {
                "effort": optional(nullable(one_of(*EFFORTS))),
                "format": optional(nullable(_FORMAT)),
                "task_budget": optional(nullable(dictionary)),  # of a beta
            }
        )
    ),
    "cache_control": nullable(cache_control(closed=False)),
    "metadata": nullable(record({"user_id": optional(nullable(_user_id))})),
    "service_tier": nullable(one_of("auto", "standard_only")),
    "container": anything,
    "inference_geo": nullable(string),
    "speed": nullable(one_of("standard", "fast")),
    "diagnostics": nullable(shaped),
    "temperature": nullable(number(0, 1)),
    "top_p": nullable(number(0, 1)),
    "top_k": nullable(integer()),
    "mcp_servers": nullable(array),
    "context_management": nullable(shaped),
    "compaction": nullable(shaped),
    "fallbacks": anything,
    "fallback_credit_token": anything,
    "thread": anything,
    "billing_policy": nullable(shaped),
    "output_format": nullable(_FORMAT),
}

# Parameters that change what the emulator answers; the others are checked, and at most repeated in the reply.
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
        "thinking",
        "output_config",
        "output_format",
        "cache_control",
        "container",
        "diagnostics",
        "context_management",
        "compaction",
        "thread",
    ]
)


MOST_MESSAGES = 100_000
LEAST_COMPACTION = 50_000
MOST_EDITS = 100
"""Edits of the context in one request. A limit of ours: none of the API is known, and each looks at all results."""


def required(request: MessagesRequest, profile: Profile) -> None:
    """Rules 22 and 23: `model`, `messages` and `max_tokens` are there."""
    require(request.body, "model", "messages", "max_tokens")


def require(body: Mapping[str, Any], *names: str) -> None:
    """Raise the ApiError of the first of these parameters that is not there."""
    for name in names:
        if name not in body:
            raise invalid(f"{name}: Field required")


def allow_only(body: Mapping[str, Any], known: Container[str]) -> None:
    """Raise the ApiError of the first parameter that is none of these."""
    for name in body:
        if name not in known:
            raise invalid(f"{name}: Extra inputs are not permitted")


def fields(request: MessagesRequest, profile: Profile) -> None:
    """Types, ranges and enums of the parameters that are there."""
    check_fields(request.body)
    if request.body["max_tokens"] < profile.least_max_tokens:
        raise invalid(f"max_tokens: must be greater than or equal to {profile.least_max_tokens}")
    top_k, least = request.body.get("top_k"), profile.least_top_k
    if top_k is not None and least is not None and top_k < least:
        raise invalid(f"top_k: Input should be greater than or equal to {least}")


def check_fields(body: Mapping[str, Any], table: Mapping[str, Check] = PARAMETERS) -> None:
    """Raise the ApiError of the first parameter, in the order of the table, that is not what it must be."""
    for name, check in table.items():
        if name in body and (found := check(body[name])) is not None:
            where, what = found
            raise invalid(f"{name}{where}: {what}")


def known_model(request: MessagesRequest, profile: Profile) -> None:
    """Rule 29: the model exists."""
    if profile.model(request.model) is None:
        raise UnknownModel(request.model, profile.unknown_model_message)


# parameters of a beta -> how the names of the betas that bring them begin (docs/protocol.md B.2)
BETA_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "mcp_servers": ("mcp-client-",),
    "context_management": ("context-management-", "compact-"),
    "compaction": ("compact-2026-09-04",),
    "fallbacks": ("server-side-fallback-",),
    "fallback_credit_token": ("fallback-credit-",),
    "thread": ("message-threads-",),
    "billing_policy": ("user-profiles-billing-",),
}


def no_unknown(request: MessagesRequest, profile: Profile) -> None:
    """Rule 28: there are no keys that nobody knows; what a beta brings is unknown without its header."""
    if not profile.is_strict:
        return
    for name, value in request.body.items():
        betas = BETA_PARAMETERS.get(name, ())
        if name not in PARAMETERS or (betas and value is not None and not request.has_beta(*betas)):
            raise invalid(f"{name}: Extra inputs are not permitted")


def known_betas(request: MessagesRequest, profile: Profile) -> None:
    """Rule 6: every name in `anthropic-beta` is that of a beta."""
    if not profile.is_strict or not profile.betas or "anthropic-beta" not in request.headers:
        return
    unknown = [beta for beta in request.betas if not any(fnmatchcase(beta, glob) for glob in profile.betas)]
    if unknown:
        named = ", ".join(f"`{beta}`" for beta in unknown)
        raise invalid(
            f"Unexpected value(s) {named} for the `anthropic-beta` header. Please consult our documentation at "
            "platform.claude.com/docs or try again without the header."
        )


def many_messages(request: MessagesRequest, profile: Profile) -> None:
    """Rule 40: there are at most 100,000 messages."""
    if len(request.messages) > MOST_MESSAGES:
        found = len(request.messages)
        raise invalid(f"messages: List should have at most {MOST_MESSAGES} items after validation, not {found}")


def within_cap(request: MessagesRequest, profile: Profile) -> None:
    """Rule 26: `max_tokens` is at most what the model can write."""
    if request.max_tokens <= profile.least_max_output:
        return
    model = profile.model(request.model)
    if model is not None and model.max_output is not None and request.max_tokens > model.max_output:
        raise invalid(
            f"max_tokens: {request.max_tokens} > {model.max_output}, "
            f"which is the maximum allowed number of output tokens for {request.model}"
        )


def no_thread(request: MessagesRequest, profile: Profile) -> None:
    """Where threads are not held, the documented refusal makes clients send their whole history instead."""
    if request.body.get("thread") is not None and not profile.threads:
        raise invalid(
            "thread: Message threads are not supported for this request",
            details={"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
        )


def prewarm(request: MessagesRequest, profile: Profile) -> None:
    """Rule 27: with `max_tokens: 0` nothing is written, so nothing may ask for a certain output."""
    if request.max_tokens:
        return
    config = request.body.get("output_config") or {}
    for wrong, what in (
        (request.stream, "stream"),
        (request.thinking.get("type") == "enabled", "thinking"),
        (config.get("format") is not None or request.body.get("output_format") is not None, "output_config.format"),
        (request.tool_choice.get("type") in ("any", "tool"), "tool_choice"),
    ):
        if wrong:
            raise invalid(f"max_tokens: 0 cannot be combined with `{what}`")


def fallbacks(request: MessagesRequest, profile: Profile) -> None:
    """Rule 41: "default", or at most three models, each once."""
    value = request.body.get("fallbacks")
    if value is None or value == "default":
        return
    names = [one.get("model") for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    if not names or len(names) != len(value) or not all(isinstance(name, str) for name in names):
        raise invalid("fallbacks: Input should be 'default' or a list of models")
    if len(names) > 3:
        raise invalid(f"fallbacks: List should have at most 3 items after validation, not {len(names)}")
    if len(set(names)) != len(names) or request.model in names:
        raise invalid("fallbacks: each model may be named once")
    for at, name in enumerate(names):
        if profile.model(str(name)) is None:
            raise invalid(f"fallbacks.{at}.model: `{name}` is not supported as a fallback")


def context_edits(request: MessagesRequest, profile: Profile) -> None:
    """Rule 145: compaction begins at 50,000 tokens or later. And there are not too many edits."""
    edits = (request.body.get("context_management") or {}).get("edits")
    if isinstance(edits, list) and len(edits) > MOST_EDITS:
        raise invalid(f"context_management.edits: mock-server applies at most {MOST_EDITS} edits in one request")
    for at, edit in enumerate(edits if isinstance(edits, list) else ()):
        trigger = edit.get("trigger") if isinstance(edit, dict) else None
        value = trigger.get("value") if isinstance(trigger, dict) else None
        if isinstance(value, int) and edit.get("type") == "compact_20260112" and value < LEAST_COMPACTION:
            raise invalid(
                f"context_management.edits.{at}.compact_20260112.trigger.value: "
                f"Input should be greater than or equal to {LEAST_COMPACTION}"
            )


# The parameters of Octen's search tools: types and ranges. Table: docs/protocol.md A.4; rule 84.
#
# The error has the gateway's own short words, since no others have been seen; a header says what is wrong and where.

TOOLS = ("octen_search", "octen_broad_search")
_LANGUAGES = "ar de en es fr hi id it ja ko nl pl pt ru th tr vi zh"


def between(least: int, most: int) -> Check:
    """A whole number in a range."""

    def check(value: Any) -> Finding | None:
        found = integer(least)(value)
        return ("", f"Input should be less than or equal to {most}") if found is None and value > most else found

    return check


def texts(most: int, longest: int) -> Check:
    """At most so many texts of so many characters."""

    def check(value: Any) -> Finding | None:
        if (found := items(string)(value)) is not None:
            return found
        if len(value) > most:
            return "", f"List should have at most {most} items"
        long = next((at for at, one in enumerate(value) if len(one) > longest), None)
        return None if long is None else (f".{long}", f"String should have at most {longest} characters")

    return check


def _maybe(check: Check) -> tuple[bool, Check]:
    return optional(nullable(check))


OCTEN_PARAMETERS: Fields = {
    "count": _maybe(between(1, 100)),
    "include_domains": _maybe(texts(1200, 60)),
    "exclude_domains": _maybe(texts(1200, 60)),
    "include_text": _maybe(texts(5, 30)),
    "exclude_text": _maybe(texts(5, 30)),
    "time_basis": _maybe(one_of("auto", "published", "crawled")),
    "time_range": _maybe(one_of("day", "week", "month", "year", "d", "w", "m", "y")),
    "start_time": _maybe(string),
    "end_time": _maybe(string),
    "language": _maybe(items(one_of(*_LANGUAGES.split()))),
    "highlight": _maybe(record({"enable": _maybe(boolean), "max_tokens": _maybe(between(100, 20_000))})),
    "full_content": _maybe(record({"enable": _maybe(boolean), "max_tokens": _maybe(between(100, 100_000))})),
    "format": _maybe(one_of("markdown", "text")),
    "safesearch": _maybe(one_of("off", "strict")),
    "include_images": _maybe(boolean),
    "max_searches": _maybe(integer(1)),
    "max_queries": _maybe(between(1, 30)),
}
_CHECK = record(OCTEN_PARAMETERS)
_BESIDE: Fields = {"name": _maybe(anything), "cache_control": _maybe(anything), "parameters": _maybe(_CHECK)}
_OPTIONS = record({**OCTEN_PARAMETERS, **_BESIDE}, skip="type")


def strange(tool: Any) -> Iterator[Stranger]:
    """The fields of one of Octen's search tools that it has not."""
    return strangers(_OPTIONS, tool)


def parameters(request: MessagesRequest, profile: Profile) -> None:
    """Rule 84: the parameters of Octen's search have their types and ranges."""
    for index, tool in enumerate(request.tools):
        if tool.get("type") not in TOOLS:
            continue
        for path, value in ((f"tools.{index}.parameters", tool.get("parameters") or {}), (f"tools.{index}", tool)):
            if (found := _CHECK(value)) is not None:
                hint = {"x-mock-hint": f"{path}{found[0]}: {found[1]}"}
                raise ApiError("invalid_request_error", headers=hint)

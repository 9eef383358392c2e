"""Rules about tool definitions and tool_choice. Table of the tools: docs/protocol.md B.4."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mock_server.protocol.errors import invalid
from mock_server.protocol.json_schema import size
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.rules.checks import (
    Check,
    Fields,
    Stranger,
    array,
    boolean,
    cache_control,
    dictionary,
    integer,
    items,
    nullable,
    one_of,
    optional,
    pattern,
    record,
    required,
    shaped,
    strangers,
    string,
    tagged,
)
from mock_server.records import lazy

_STRINGS = optional(nullable(items(string)))
_COUNT = optional(nullable(integer(1)))
_COMMON: Fields = {
    "cache_control": optional(nullable(cache_control(closed=False))),
    "strict": optional(nullable(boolean)),
    "defer_loading": optional(nullable(boolean)),
    "allowed_callers": _STRINGS,
}
_CLIENT: Fields = {**_COMMON, "input_examples": optional(nullable(items(dictionary)))}
_DOMAINS: Fields = {"allowed_domains": _STRINGS, "blocked_domains": _STRINGS, "max_uses": _COUNT}
_PLACE: Fields = {
    "type": required(one_of("approximate")),
    "city": optional(nullable(string)),
    "region": optional(nullable(string)),
    "country": optional(nullable(pattern("^[A-Z]{2}$"))),
    "timezone": optional(nullable(string)),
}
_SEARCH: Fields = {**_COMMON, **_DOMAINS, "user_location": optional(nullable(record(_PLACE)))}
_FETCH: Fields = {
    **_COMMON,
    **_DOMAINS,
    "citations": optional(nullable(record({"enabled": optional(nullable(boolean))}))),
    "max_content_tokens": _COUNT,
    "url_sources": optional(nullable(dictionary)),
}
_CACHED: Fields = {"use_cache": optional(nullable(boolean))}
_INCLUDED: Fields = {"response_inclusion": optional(nullable(one_of("full", "excluded")))}
_SCREEN: Fields = {
    **_CLIENT,
    "display_width_px": required(integer(1)),
    "display_height_px": required(integer(1)),
    "display_number": optional(nullable(integer(0))),
}
_TOOLSET: Fields = {"cache_control": _COMMON["cache_control"], "configs": optional(nullable(dictionary))}
_OCTEN: Fields = {
    "cache_control": _COMMON["cache_control"],
    "parameters": optional(nullable(dictionary)),
    "max_searches": _COUNT,
    "max_queries": _COUNT,
}
_EDITOR = "str_replace_based_edit_tool"

CUSTOM: Fields = {
    **_CLIENT,
    "name": required(pattern("^[a-zA-Z0-9_-]{1,128}$")),
    "input_schema": required(shaped),
    "description": optional(nullable(string)),
    "eager_input_streaming": optional(nullable(boolean)),
}
# tools of which each stands for several, which are called by names of their own
TOOLSETS = ("computer_toolset_20260801", "browser_toolset_20260801")
# tool type -> its fixed name ("" where it has none) and its other fields
TYPED: Mapping[str, tuple[str, Fields]] = {
    "bash_20241022": ("bash", _CLIENT),
    "bash_20250124": ("bash", _CLIENT),
    "text_editor_20241022": ("str_replace_editor", _CLIENT),
    "text_editor_20250124": ("str_replace_editor", _CLIENT),
    "text_editor_20250429": (_EDITOR, _CLIENT),
    "text_editor_20250728": (_EDITOR, {**_CLIENT, "max_characters": _COUNT}),
    "memory_20250818": ("memory", _CLIENT),
    "computer_20241022": ("computer", _SCREEN),
    "computer_20250124": ("computer", _SCREEN),
    "computer_20251124": ("computer", {**_SCREEN, "enable_zoom": optional(nullable(boolean))}),
    **dict.fromkeys(TOOLSETS, ("", _TOOLSET)),
    "web_search_20250305": ("web_search", _SEARCH),
    "web_search_20260209": ("web_search", _SEARCH),
    "web_search_20260318": ("web_search", {**_SEARCH, **_INCLUDED}),
    "web_fetch_20250910": ("web_fetch", _FETCH),
    "web_fetch_20260209": ("web_fetch", _FETCH),
    "web_fetch_20260309": ("web_fetch", {**_FETCH, **_CACHED}),
    "web_fetch_20260318": ("web_fetch", {**_FETCH, **_CACHED, **_INCLUDED}),
    "code_execution_20250522": ("code_execution", _COMMON),
    "code_execution_20250825": ("code_execution", _COMMON),
    "code_execution_20260120": ("code_execution", _COMMON),
    "code_execution_20260521": ("code_execution", _COMMON),
    "tool_search_tool_regex": ("tool_search_tool_regex", _COMMON),
    "tool_search_tool_regex_20251119": ("tool_search_tool_regex", _COMMON),
    "tool_search_tool_bm25": ("tool_search_tool_bm25", _COMMON),
    "tool_search_tool_bm25_20251119": ("tool_search_tool_bm25", _COMMON),
    "advisor_20260301": (
        "advisor",
        {
            **_COMMON,
            "model": required(string),
            "max_uses": _COUNT,
            "max_tokens": _COUNT,
            "caching": optional(nullable(dictionary)),
        },
    ),
    "mcp_toolset": (
        "",
        {
            "cache_control": _COMMON["cache_control"],
            "mcp_server_name": required(string),
            "default_config": optional(nullable(dictionary)),
            "configs": optional(nullable(dictionary)),
            "tools": optional(nullable(array)),
        },
    ),
    "octen_search": ("octen_search", _OCTEN),
    "octen_broad_search": ("octen_broad_search", _OCTEN),
}


def _check_of(name: str, fields: Fields, *, closed: bool) -> Check:
    named: Fields = {"name": required(one_of(name))} if name else {}
    return record({**named, **fields}, closed=closed, skip="type")


class _Checks:
    """The checks of every tool, once for each strictness."""

    def __init__(self, *, closed: bool) -> None:
        self._closed = closed

    @lazy
    def custom(self) -> Check:
        return record(CUSTOM, closed=self._closed, skip="type")

    @lazy
    def typed(self) -> Mapping[str, Check]:
        return {type: _check_of(name, fields, closed=self._closed) for type, (name, fields) in TYPED.items()}


_CHECKS = {closed: _Checks(closed=closed) for closed in (True, False)}
_PARALLEL: Fields = {"disable_parallel_tool_use": optional(nullable(boolean))}
_CHOICES: Mapping[str, Fields] = {
    "auto": _PARALLEL,
    "any": _PARALLEL,
    "tool": {"name": required(string), **_PARALLEL},
    "none": {},
}
CHOICE = tagged({type: record(fields, skip="type") for type, fields in _CHOICES.items()})


def strange(tool: Any) -> Iterator[Stranger]:
    """The fields of a definition that no tool of its type has."""
    if isinstance(tool, dict):
        checks = _CHECKS[False]
        check = checks.custom if is_custom(tool) else checks.typed.get(str(tool["type"]))
        yield from () if check is None else strangers(check, tool)


def is_custom(tool: Any) -> bool:
    """Whether a tool is the client's own, with a schema of its own."""
    return tool.get("type") in (None, "custom")


MOST_VALUES = 30_000
"""Values (objects, lists, texts, …) in all tools of a request, and in the schema of its output. A limit of ours: none
of the API is known, and to read more would keep others waiting. A thousand ordinary tools have so many."""


def within_reason(where: str, schemas: Sequence[Any]) -> None:
    """Refuse schemas that are too large to be judged beside other requests."""
    left = MOST_VALUES
    for schema in schemas:
        left -= size(schema, left + 1)
        if left < 0:
            raise invalid(f"{where}: mock-server reads schemas of at most {MOST_VALUES:,} values in one request")


def definitions(request: MessagesRequest, profile: Profile) -> None:
    """Rules 63 to 68, 83 and 85: each tool by the fields of its type; every name once."""
    within_reason("tools", request.tools)
    checks = _CHECKS[profile.is_strict]
    for index, tool in enumerate(request.tools):
        if not isinstance(tool, dict):
            raise invalid(f"tools.{index}: Input should be an object")
        if is_custom(tool):
            _custom(tool, f"tools.{index}.custom", checks.custom)
        else:
            _typed(tool, f"tools.{index}", checks.typed, profile)
    names = [tool["name"] for tool in request.tools if tool.get("name") is not None]
    if len(set(map(str, names))) != len(names):
        raise invalid("tools: Tool names must be unique.")


def _custom(tool: dict[str, Any], path: str, check: Check) -> None:
    if (found := check(tool)) is not None:
        raise invalid(f"{path}{found[0]}: {found[1]}")
    schema = tool["input_schema"]
    if "type" not in schema:
        raise invalid(f"{path}.input_schema.type: Field required")
    if schema["type"] != "object":
        raise invalid(f"{path}.input_schema.type: Input should be 'object'")


def _typed(tool: dict[str, Any], path: str, checks: Mapping[str, Check], profile: Profile) -> None:
    type = tool["type"]
    check = checks.get(type) if isinstance(type, str) and type not in profile.refused_tools else None
    if check is None:
        offered = ("custom", *(one for one in TYPED if one not in profile.refused_tools))
        expected = ", ".join(f"'{one}'" for one in sorted(offered))
        raise invalid(
            f"{path}: Input tag '{type}' found using 'type' does not match any of the expected tags: {expected}"
        )
    if (found := check(tool)) is not None:
        raise invalid(f"{path}.{type}{found[0]}: {found[1]}")


def domains(request: MessagesRequest, profile: Profile) -> None:
    """Rule 82: a search names domains that are allowed, or that are blocked."""
    for index, tool in enumerate(request.tools):
        if tool.get("allowed_domains") and tool.get("blocked_domains"):
            raise invalid(
                f"tools.{index}.{tool['type']}: only one of allowed_domains and blocked_domains may be specified"
            )


def deferred(request: MessagesRequest, profile: Profile) -> None:
    """Rule 80: at least one tool is not deferred."""
    tools = request.tools
    if tools and all(tool.get("defer_loading") is True for tool in tools):
        raise invalid("At least one tool must have defer_loading=false. All tools cannot be deferred.")


def references(request: MessagesRequest, profile: Profile) -> None:
    """Rule 81: a tool that a result refers to is one of those offered."""
    known = set(request.tool_names)
    for name in referred(request):
        if name not in known:
            raise invalid(f"Tool reference '{name}' not found in available tools")


def referred(request: MessagesRequest) -> Iterator[str]:
    """The tools that the conversation refers to: a deferred one is loaded by that."""
    for message in request.messages:
        for block in message["content"] if not isinstance(message["content"], str) else ():
            yield from _referred(block.get("content"))


def _referred(content: Any) -> Sequence[str]:
    if isinstance(content, dict):
        content = content.get("tool_references")
    if not isinstance(content, list):
        return ()
    return [
        str(one.get("tool_name")) for one in content if isinstance(one, dict) and one.get("type") == "tool_reference"
    ]


def choice(request: MessagesRequest, profile: Profile) -> None:
    """Rules 74 to 76: a choice that forces a call comes with tools, and with the one it names."""
    value = request.body.get("tool_choice")
    if value is None:
        return
    if (found := CHOICE(value)) is not None:
        raise invalid(f"tool_choice{found[0]}: {found[1]}")
    if value["type"] == "any" and not request.tools:
        raise invalid("tool_choice.any may only be specified while providing tools")
    if value["type"] == "tool" and value["name"] not in request.tool_names:
        raise invalid(f"Tool '{value['name']}' not found in provided tools")

"""Rules about tool definitions and tool_choice."""

from typing import Any

from mock_server.protocol.errors import invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.validate.checks import (
    boolean,
    dictionary,
    nullable,
    optional,
    pattern,
    record,
    required,
    string,
    tagged,
)

# tool types that are not the client's own (protocol notes B.4), by the stem before their date
STEMS = (
    "bash",
    "text_editor",
    "memory",
    "computer",
    "computer_toolset",
    "browser_toolset",
    "web_search",
    "web_fetch",
    "code_execution",
    "tool_search_tool_regex",
    "tool_search_tool_bm25",
    "advisor",
    "mcp_toolset",
    "octen_search",
    "octen_broad_search",
)
_CUSTOM = record(
    {
        "name": required(pattern("^[a-zA-Z0-9_-]{1,128}$")),
        "input_schema": required(dictionary),
        "description": optional(nullable(string)),
        "strict": optional(nullable(boolean)),
    }
)
_CHOICE = tagged(
    {
        "auto": record({"disable_parallel_tool_use": optional(boolean)}),
        "any": record({"disable_parallel_tool_use": optional(boolean)}),
        "tool": record({"name": required(string), "disable_parallel_tool_use": optional(boolean)}),
        "none": record({}),
    }
)


def is_custom(tool: Any) -> bool:
    """Whether a tool is the client's own, with a schema of its own."""
    return tool.get("type") in (None, "custom")


def definitions(request: MessagesRequest, profile: Profile) -> None:
    """Rules 63 to 68."""
    for index, tool in enumerate(request.tools):
        if not isinstance(tool, dict):
            raise invalid(f"tools.{index}: Input should be a valid dictionary")
        if is_custom(tool):
            _custom(tool, f"tools.{index}.custom")
        elif _stem(str(tool["type"])) not in STEMS:
            expected = ", ".join(f"'{stem}'" for stem in sorted(("custom", *STEMS)))
            raise invalid(
                f"tools.{index}: Input tag '{tool['type']}' found using 'type' "
                f"does not match any of the expected tags: {expected}"
            )
    names = [tool["name"] for tool in request.tools if tool.get("name") is not None]
    if len(set(map(str, names))) != len(names):
        raise invalid("tools: Tool names must be unique.")


def _stem(type: str) -> str:
    head, _, date = type.rpartition("_")
    return head if date.isdigit() and len(date) == 8 else type


def _custom(tool: dict[str, Any], path: str) -> None:
    if (found := _CUSTOM(tool)) is not None:
        raise invalid(f"{path}{found[0]}: {found[1]}")
    schema = tool["input_schema"]
    if "type" not in schema:
        raise invalid(f"{path}.input_schema.type: Field required")
    if schema["type"] != "object":
        raise invalid(f"{path}.input_schema.type: Input should be 'object'")


def choice(request: MessagesRequest, profile: Profile) -> None:
    """Rules 74 to 76."""
    value = request.body.get("tool_choice")
    if value is None:
        return
    if (found := _CHOICE(value)) is not None:
        raise invalid(f"tool_choice{found[0]}: {found[1]}")
    if value["type"] in ("any", "tool") and not request.tools:
        raise invalid(f"tool_choice: `{value['type']}` may only be specified while providing tools")
    if value["type"] == "tool" and value["name"] not in request.tool_names:
        raise invalid(f"tool_choice.tool.name: Tool '{value['name']}' not found in provided tools")

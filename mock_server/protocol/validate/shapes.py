"""Rules about the shape of messages and content blocks. Tables: docs/protocol.md B.3."""

from collections.abc import Mapping
from typing import Any

from mock_server.protocol.errors import excerpt, invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.validate.checks import (
    Check,
    Fields,
    anything,
    array,
    boolean,
    cache_control,
    dictionary,
    nullable,
    optional,
    pattern,
    record,
    required,
    string,
    string_or,
    tagged,
)

_ID = required(pattern("^[a-zA-Z0-9_-]+$"))
_TEXT = required(string)
_CACHE: Fields = {"cache_control": optional(nullable(dictionary))}
_CALLER: Fields = {"caller": optional(nullable(dictionary))}
_RESULT: Fields = {"tool_use_id": _ID, "content": required(anything), **_CACHE, **_CALLER}
_CALL: Fields = {"id": _ID, "name": _TEXT, "input": required(dictionary), **_CACHE, **_CALLER}
_SIDE: Fields = {"toolset_name": optional(nullable(string))}
_FREE: Fields = {}

# block type -> its fields
BLOCK_PARAMS: Mapping[str, Fields] = {
    "text": {"text": _TEXT, "citations": optional(nullable(array)), **_CACHE},
    "image": {"source": required(dictionary), "transformations": optional(nullable(dictionary)), **_CACHE},
    "document": {
        "source": required(dictionary),
        "title": optional(nullable(string)),
        "context": optional(nullable(string)),
        "citations": optional(nullable(dictionary)),
        **_CACHE,
    },
    "search_result": {
        "source": _TEXT,
        "title": _TEXT,
        "content": required(array),
        "citations": optional(nullable(dictionary)),
        **_CACHE,
    },
    "thinking": {"thinking": _TEXT, "signature": _TEXT},
    "redacted_thinking": {"data": _TEXT},
    "tool_use": {**_CALL, **_SIDE},
    "tool_result": {
        "tool_use_id": _ID,
        "content": optional(nullable(string_or(array))),
        "is_error": optional(nullable(boolean)),
        **_CACHE,
        **_SIDE,
    },
    "server_tool_use": _CALL,
    "web_search_tool_result": _RESULT,
    "web_fetch_tool_result": _RESULT,
    "code_execution_tool_result": _RESULT,
    "bash_code_execution_tool_result": _RESULT,
    "text_editor_code_execution_tool_result": _RESULT,
    "tool_search_tool_result": _RESULT,
    "advisor_tool_result": _RESULT,
    "container_upload": {"file_id": _TEXT, **_CACHE},
    "mcp_tool_use": {**_CALL, "server_name": _TEXT},
    "mcp_tool_result": {
        "tool_use_id": _ID,
        "content": optional(string_or(array)),
        "is_error": optional(boolean),
        **_CACHE,
    },
}
# beta blocks whose inside is taken as it comes
_OPEN = ("mcp_tool_listing", "compaction", "fallback", "tool_addition", "tool_removal")


def _variants(*, closed: bool, scoped: bool) -> Check:
    mark = optional(nullable(cache_control(closed=closed, scoped=scoped)))
    known = {
        tag: record(
            {**fields, "cache_control": mark} if "cache_control" in fields else fields, closed=closed, skip="type"
        )
        for tag, fields in BLOCK_PARAMS.items()
    }
    return tagged({**known, **{tag: record(_FREE) for tag in _OPEN}})


_BLOCK = {
    (closed, scoped): _variants(closed=closed, scoped=scoped) for closed in (True, False) for scoped in (True, False)
}
# role -> the keys of its messages
_ROLES: Mapping[str, frozenset[str]] = {
    "user": frozenset(("role", "content")),
    "assistant": frozenset(("role", "content")),
    "system": frozenset(("role", "content", "clear_at", "output_config")),
}
_SCOPE = "prompt-caching-scope-"


def system(request: MessagesRequest, profile: Profile) -> None:
    """The system prompt: a string, or text blocks that are not empty (rule 123)."""
    value = request.body.get("system")
    if not isinstance(value, list):
        return
    check = _BLOCK[profile.is_strict, request.has_beta(_SCOPE)]
    for index, block in enumerate(value):
        if not isinstance(block, dict) or block.get("type") != "text":
            raise invalid(f"system.{index}: Input does not match the expected shape.")
        if (found := check(block)) is not None:
            raise invalid(f"system.{index}{found[0].removeprefix('.text')}: {found[1]}")
        if not block["text"]:
            raise invalid("system: text content blocks must be non-empty")


def messages(request: MessagesRequest, profile: Profile) -> None:
    """Rules 28, 44, 47, 55 to 59: a list of messages, each of known blocks."""
    if not request.messages:
        raise invalid("messages: at least one message is required")
    closed = profile.is_strict
    check = _BLOCK[closed, request.has_beta(_SCOPE)]
    for index, message in enumerate(request.messages):
        if not _is_plain(message):
            _message(message, f"messages.{index}", check, closed=closed)


def _is_plain(message: Any) -> bool:
    """The commonest shape, about which there is nothing to say: a role and a bare string."""
    if not isinstance(message, dict) or len(message) != 2:
        return False
    role = message.get("role")
    return type(message.get("content")) is str and type(role) is str and role in _ROLES


def _message(message: Any, path: str, check: Check, *, closed: bool) -> None:
    if not isinstance(message, dict):
        raise invalid(f"{path}: Input should be an object")
    for name in ("role", "content"):
        if name not in message:
            raise invalid(f"{path}.{name}: Field required")
    if not isinstance(message["role"], str):
        raise invalid(f"{path}.role: Input should be a valid string")
    if message["role"] not in _ROLES:
        shown = excerpt(message["role"], 100)
        raise invalid(f'messages: Unexpected role "{shown}". Allowed roles are "user" or "assistant"')
    extra = next((name for name in message if name not in _ROLES[message["role"]]), None) if closed else None
    if extra is not None:
        raise invalid(f"{path}.{extra}: Extra inputs are not permitted")
    content = message["content"]
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise invalid(f"{path}.content: Input should be a valid array")
    for index, block in enumerate(content):
        _block(block, f"{path}.content.{index}", check)


def _block(block: Any, path: str, check: Check) -> None:
    if (found := check(block)) is not None:
        raise invalid(f"{path}{found[0]}: {found[1]}")
    if block["type"] == "tool_result" and isinstance(block.get("content"), list):
        for index, inner in enumerate(block["content"]):
            if not isinstance(inner, dict):
                raise invalid(f"{path}.tool_result.content.{index}: Input should be an object")
            if not isinstance(inner.get("type"), str):
                raise invalid(f"{path}.tool_result.content.{index}.type: Field required")
            if inner["type"] == "text" and not isinstance(inner.get("text"), str):
                raise invalid(f"{path}.tool_result.content.{index}.text.text: Field required")

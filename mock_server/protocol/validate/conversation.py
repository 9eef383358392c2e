"""Rules about the conversation as a whole: who speaks, nothing empty, every call answered.

They are asked of it as the API takes it: with messages of one role in a row as one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mock_server.protocol.errors import invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest, blocks
from mock_server.protocol.results import result_type

Place = tuple[int, int, Mapping[str, Any]]  # message index, block index, block


def not_empty(request: MessagesRequest, profile: Profile) -> None:
    """Rules 50 to 52: messages have content, and texts are more than white space."""
    last = len(request.messages) - 1
    for index, message in enumerate(request.messages):
        content = message["content"]
        if type(content) is str and content and not content.isspace():
            continue
        if not content:
            if message["role"] == "user":
                raise invalid(f"messages.{index}: user messages must have non-empty content")
            if index != last or message["role"] != "assistant":
                raise invalid(
                    f"messages.{index}: all messages must have non-empty content "
                    "except for the optional final assistant message"
                )
            continue
        _said_something(blocks(content), message["role"])


def _said_something(content: Sequence[Mapping[str, Any]], role: str) -> None:
    """Rules 51 and 52: a text is more than white space.

    The API itself says white space beside other blocks, and takes that back from the assistant.
    """
    blank = [block for block in content if block["type"] == "text" and not block["text"].strip()]
    if any(not block["text"] for block in blank):
        raise invalid("messages: text content blocks must be non-empty")
    if blank and (role != "assistant" or len(blank) == len(content)):
        raise invalid("messages: text content blocks must contain non-whitespace text")


_SIDE = {"tool_use": "assistant", "server_tool_use": "assistant", "tool_result": "user"}


def sides(request: MessagesRequest, profile: Profile) -> None:
    """Rule 62: calls are the assistant's, results the user's."""
    for index, message in enumerate(request.messages):
        for block in _listed(message):
            side = _SIDE.get(block["type"])
            if side is not None and side != message["role"]:
                raise invalid(f"messages.{index}: `{block['type']}` blocks can only be in `{side}` messages")


def ids_unique(request: MessagesRequest, profile: Profile) -> None:
    """Rule 90: the calls of one turn have different ids."""
    for index, message in enumerate(request.messages):
        seen: set[str] = set()
        for at, block in enumerate(_listed(message)):
            if block["type"] == "tool_use":
                if block["id"] in seen:
                    raise invalid(f"messages.{index}.content.{at}: `tool_use` ids must be unique")
                seen.add(block["id"])


def results_paired(request: MessagesRequest, profile: Profile) -> None:
    """Rules 86 to 89: every call has one result, in the next message and before any text.

    System messages stand beside the turns.
    """
    asked: dict[str, int] = {}
    for role, places in _turns(request.messages):
        if role == "user":
            _answers(places, asked)
            asked = {}
        else:
            asked = {block["id"]: index for index, _, block in places if block["type"] == "tool_use"}
    if asked:
        _unanswered(asked)


def _turns(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Place]]]:
    """Runs of messages of one role, as the places of their blocks."""
    role, places = "", list[Place]()
    for index, message in enumerate(messages):
        if message["role"] == "system":
            continue
        if message["role"] != role and role:
            yield role, places
            places = []
        role = message["role"]
        places += [(index, at, block) for at, block in enumerate(blocks(message["content"]))]
    yield role, places


def _answers(places: list[Place], asked: Mapping[str, int]) -> None:
    given: set[str] = set()
    late = False
    for index, at, block in places:
        if block["type"] != "tool_result":
            late = True
            continue
        id, path = block["tool_use_id"], f"messages.{index}.content.{at}"
        if id not in asked:
            raise invalid(
                f"{path}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block "
                "must have a corresponding `tool_use` block in the previous message."
            )
        if id in given:
            raise invalid(
                f"{path}: each tool_use must have a single result. Found multiple `tool_result` blocks with id: {id}"
            )
        if not late:
            given.add(id)
    if missing := {id: index for id, index in asked.items() if id not in given}:
        _unanswered(missing)


def _unanswered(asked: Mapping[str, int]) -> None:
    index = next(iter(asked.values()))
    raise invalid(
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(asked)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )


def server_results_paired(request: MessagesRequest, profile: Profile) -> None:
    """Rule 93: a result of a server's tool follows its call."""
    called: set[str] = set()
    for index, message in enumerate(request.messages):
        for at, block in enumerate(_listed(message)):
            kind = block["type"]
            if kind == "server_tool_use":
                called.add(block["id"])
            elif kind.endswith("_tool_result") and kind != "mcp_tool_result" and block["tool_use_id"] not in called:
                raise invalid(
                    f"messages.{index}.content.{at}: unexpected `tool_use_id` found in `{kind}` blocks: "
                    f"{block['tool_use_id']}. Each `{kind}` block must have a corresponding `server_tool_use` block "
                    "before it."
                )


# name of a server's call -> name of the tool that makes it
_TOOL = {"bash_code_execution": "code_execution", "text_editor_code_execution": "code_execution"}
_PROGRAM = "code_execution"
# server tools that run a program to look through what they found
_RUNNING = ("web_search_2026", "web_fetch_2026")


def server_calls_answered(request: MessagesRequest, profile: Profile) -> None:
    """Rules 94 and 95: a server's call without a result may wait only in the turn that is gone on with.

    That is the last message, or the one before a user's turn of nothing but tool results.
    """
    for call, goes_on in _waiting(request):
        name, id = call["name"], call["id"]
        found = f"`{name}` tool use with id `{id}` was found without a corresponding `{result_type(name)}` block"
        if not goes_on:
            raise invalid(found)
        tool = _TOOL.get(name, name)
        if tool not in request.tool_names and not (tool == _PROGRAM and _runs_programs(request)):
            raise invalid(f"{found}, but no `{tool}` tool was provided")


def container_named(request: MessagesRequest, profile: Profile) -> None:
    """Rule 98: a program that waits for the tools it called goes on in its container, so the request names that."""
    waiting = {call["id"] for call, _ in _waiting(request) if _TOOL.get(call["name"], call["name"]) == _PROGRAM}
    container = request.body.get("container")
    if not waiting or (container.get("id") if isinstance(container, Mapping) else container):
        return
    callers = (block.get("caller") or {} for message in request.messages for block in _listed(message))
    if any(caller.get("tool_id") in waiting for caller in callers):
        raise invalid(
            "container_id is required when there are pending tool uses generated by code execution with tools."
        )


def _waiting(request: MessagesRequest) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """The server's calls that have no result, and whether their turn is still under way."""
    messages = [message for message in request.messages if message["role"] != "system"]
    answered = {
        block["tool_use_id"]
        for message in messages
        for block in _listed(message)
        if block["type"].endswith("_tool_result")
    }
    begun = max((at for at, message in enumerate(messages) if _begins(message)), default=-1)
    for at, message in enumerate(messages):
        for block in _listed(message):
            if block["type"] == "server_tool_use" and block["id"] not in answered:
                yield block, at > begun


def _begins(message: Mapping[str, Any]) -> bool:
    """Whether a turn begins with a message: a user's that is more than the results of the client's own tools."""
    return message["role"] == "user" and any(block["type"] != "tool_result" for block in blocks(message["content"]))


def _runs_programs(request: MessagesRequest) -> bool:
    """Whether a tool on offer brings code execution with it: one that programs may call, or one that runs some."""
    return any(
        str(tool.get("type")).startswith(_RUNNING)
        or any(str(caller).startswith(_PROGRAM) for caller in tool.get("allowed_callers") or ())
        for tool in request.tools
    )


def toolset_results(request: MessagesRequest, profile: Profile) -> None:
    """Rule 97: the result of a toolset's call names the toolset too."""
    if not request.scan("toolset_name", False, _or_toolset)[-1]:
        return
    calls: dict[str, str] = {}
    for index, message in enumerate(request.messages):
        for at, block in enumerate(_listed(message)):
            if block["type"] == "tool_use" and block.get("toolset_name"):
                calls[block["id"]] = block["toolset_name"]
            elif block["type"] == "tool_result" and block["tool_use_id"] in calls and not block.get("toolset_name"):
                raise invalid(f"messages.{index}.content.{at}.tool_result.toolset_name: Field required")


def _or_toolset(before: bool, message: Mapping[str, Any]) -> bool:
    return before or any("toolset_name" in block for block in _listed(message))


def _listed(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The blocks of a message; none when its content is a bare string, which holds no block worth asking about."""
    content = message["content"]
    return content if isinstance(content, list) else ()

"""Rules about what was said before: who speaks, every call answered, thinking that comes back, signed blocks, cache
marks.

They look at it as the API takes it: with messages of one role in a row as one.
"""

from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mock_server.protocol import signing
from mock_server.protocol.blocks import is_server_tool, result_type
from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import THOUGHTS, MessagesRequest, blocks
from mock_server.protocol.rules.models import INTERLEAVED, THINKING_DOCS, is_continuation, is_thinking, model_of


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
        _no_blank_text(blocks(content), message["role"])


def _no_blank_text(content: Sequence[Mapping[str, Any]], role: str) -> None:
    """Rules 51 and 52: a text is more than white space.

    The API itself sends white space beside other blocks, and takes that back from the assistant.
    """
    blank = [block for block in content if block["type"] == "text" and not block["text"].strip()]
    if not blank:
        return
    if any(not block["text"] for block in blank):
        raise invalid("messages: text content blocks must be non-empty")
    if role != "assistant" or len(blank) == len(content):
        raise invalid("messages: text content blocks must contain non-whitespace text")


_SIDE = {"tool_use": "assistant", "server_tool_use": "assistant", "tool_result": "user"}


def sides(request: MessagesRequest, profile: Profile) -> None:
    """Rule 62: calls are the assistant's, results the user's."""
    for index, message in enumerate(request.messages):
        role = message["role"]
        for block in _listed(message):
            if _SIDE.get(block["type"], role) != role:
                side = _SIDE[block["type"]]
                raise invalid(f"messages.{index}: `{block['type']}` blocks can only be in `{side}` messages")


def ids_unique(request: MessagesRequest, profile: Profile) -> None:
    """Rule 90: the calls of one turn have different ids."""
    for index, message in enumerate(request.messages):
        called = [(block["id"], at) for at, block in enumerate(_listed(message)) if block["type"] == "tool_use"]
        if len(called) > 1:
            seen: set[str] = set()
            for id, at in called:
                if id in seen:
                    raise invalid(f"messages.{index}.content.{at}: `tool_use` ids must be unique")
                seen.add(id)


def results_paired(request: MessagesRequest, profile: Profile) -> None:
    """Rules 86 to 89: every call has one result, in the next message and before any text.

    System messages stand beside the turns.
    """
    calls: dict[str, int] = {}
    turn, last = list[_Numbered](), ""
    for index, message in enumerate(request.messages):
        role = message["role"]
        if role == "system":
            continue
        if role != last and last:
            calls, turn = _calls_of(last, turn, calls), []
        last = role
        turn.append((index, message["content"]))
    calls = _calls_of(last, turn, calls)
    if calls:
        _unanswered(calls)


_Numbered = tuple[int, Any]  # the index of a message in the request, and its content


def _calls_of(role: str, turn: Sequence[_Numbered], calls_before: Mapping[str, int]) -> dict[str, int]:
    """The calls that a turn makes, each with the index of its message. Raises ApiError where it leaves some of those of
    the turn before without a result."""
    if role == "user":
        _check_results(turn, calls_before)
        return {}
    return {
        block["id"]: index
        for index, content in turn
        if type(content) is not str
        for block in content or ()
        if block["type"] == "tool_use"
    }


def _check_results(turn: Sequence[_Numbered], calls: Mapping[str, int]) -> None:
    answered: set[str] = set()
    late = False
    for index, content in turn:
        for at, block in enumerate(blocks(content)):
            if block["type"] != "tool_result":
                late = True
                continue
            id = block["tool_use_id"]
            if id not in calls:
                raise invalid(
                    f"messages.{index}.content.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
            if id in answered:
                raise invalid(
                    f"messages.{index}.content.{at}: each tool_use must have a single result. "
                    f"Found multiple `tool_result` blocks with id: {id}"
                )
            if not late:
                answered.add(id)
    if missing := {id: index for id, index in calls.items() if id not in answered}:
        _unanswered(missing)


def _unanswered(calls: Mapping[str, int]) -> None:
    index = next(iter(calls.values()))
    raise invalid(
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(calls)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
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
    if not request.outline.names_toolset:
        return
    calls: dict[str, str] = {}
    for index, message in enumerate(request.messages):
        for at, block in enumerate(_listed(message)):
            if block["type"] == "tool_use" and block.get("toolset_name"):
                calls[block["id"]] = block["toolset_name"]
            elif block["type"] == "tool_result" and block["tool_use_id"] in calls and not block.get("toolset_name"):
                raise invalid(f"messages.{index}.content.{at}.tool_result.toolset_name: Field required")


def _listed(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The blocks of a message; none when its content is a bare string, which holds none that a rule is about."""
    content = message["content"]
    return content if isinstance(content, list) else ()


# Rules about thinking blocks that come back: where they stand in an assistant message.


def thinking_blocks(request: MessagesRequest, profile: Profile) -> None:
    """A thought comes first in its message (rule 109) and never last (rule 114); then the newest (108 and 115)."""
    mode = request.thinking.get("type")
    if mode != "enabled" and request.kinds.isdisjoint(THOUGHTS):
        return
    newest = None
    manual = mode == "enabled" and not request.has_beta(INTERLEAVED)
    for index, message in enumerate(request.messages):
        if message["role"] == "assistant":
            newest = index
            if not isinstance(message["content"], str) and message["content"]:
                _order(message["content"], index, manual=manual)
    if newest is None:
        return
    if manual:
        _starts_with_thinking(request, newest)
    if newest == len(request.messages) - 1 and not is_thinking(request, model_of(request, profile)):
        _no_thinking(request.messages[newest], newest)


def _order(content: Sequence[Mapping[str, Any]], index: int, *, manual: bool) -> None:
    if content[-1]["type"] == "thinking":
        raise invalid(f"messages.{index}: The final block in an assistant message cannot be `thinking`.")
    first = content[0]["type"]
    if manual and first not in THOUGHTS and any(block["type"] in THOUGHTS for block in content):
        raise invalid(
            f"messages.{index}.content.0: If an assistant message contains any thinking blocks, the first block must "
            f"be `thinking` or `redacted_thinking`. Found `{first}`."
        )


def _starts_with_thinking(request: MessagesRequest, newest: int) -> None:
    """Rule 108: in a loop of tools, or when the turn goes on, the newest assistant message starts with a thought.

    Interleaved thinking lifts it: a thought may stand between any two calls, or nowhere.
    """
    content = request.messages[newest]["content"]
    is_last = newest == len(request.messages) - 1
    blocks = [{"type": "text"}] if isinstance(content, str) else content
    called = any(block["type"] == "tool_use" for block in blocks)
    if not blocks or not (called or is_last) or is_continuation(request.messages[newest]):
        return
    if blocks[0]["type"] not in THOUGHTS:
        raise invalid(
            f"messages.{newest}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{blocks[0]['type']}`. When `thinking` is enabled, a final `assistant` message must start with a "
            "thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). We recommend you "
            "include thinking blocks from previous turns. To avoid this requirement, disable `thinking`. Please "
            f"consult our documentation at {THINKING_DOCS}"
        )


def _no_thinking(message: Mapping[str, Any], index: int) -> None:
    """Rule 115: where thinking is off, the assistant's message at the end has no thought in it."""
    content = message["content"]
    for at, block in enumerate(content if not isinstance(content, str) else ()):
        if block["type"] in THOUGHTS:
            raise invalid(
                f"messages.{index}.content.{at}: When thinking is disabled, an `assistant` message in the final "
                f"position cannot contain `{block['type']}`. To use thinking blocks, enable `thinking` in your request."
            )


# Rules about content that comes back. What carries our mark is judged; the rest is taken as it is.
#
# But for signatures of thoughts: one that can be nobody's is refused, whoever is said to have made it.

_DATA = {"thinking": "signature", "redacted_thinking": "data"}
_SIGNED = (*_DATA, "compaction", "web_search_tool_result")
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")


class _Thought(NamedTuple):
    """A thought of ours in the newest turn: its index among the blocks of the turn, and where it stood in its reply."""

    at: int
    place: signing.ThoughtPlace


def signatures(request: MessagesRequest, profile: Profile) -> None:
    """Rules 110, 111 and 96: what carries a signature is as it was, `encrypted_content` stands for one result."""
    covers_text = model_of(request, profile).signed_text
    newest = _newest(request.messages)
    turn: list[tuple[str, Mapping[str, Any]]] = []
    thoughts: list[_Thought] = []
    for index, message in enumerate(request.messages):
        if message["role"] != "assistant" or isinstance(message["content"], str):
            continue
        is_newest = index in newest
        for at, block in enumerate(message["content"]):
            if not is_newest and block["type"] not in _SIGNED:
                continue
            path = f"messages.{index}.content.{at}"
            if block["type"] == "compaction":
                _compaction(block, path)
            elif block["type"] in _DATA:
                signed = _thought(block, path, covers_text=covers_text, is_newest=is_newest)
                if is_newest and signed is not None and signed.place.reply:
                    thoughts.append(_Thought(len(turn), signed.place))
            elif block["type"] == "web_search_tool_result" and isinstance(block["content"], list):
                _results(block["content"], path)
            if is_newest:
                turn.append((path, block))
    if thoughts:
        _in_order(turn, thoughts)


def _newest(messages: Sequence[Mapping[str, Any]]) -> range:
    """The newest assistant turn: neighbours of one role are one message."""
    last = max((at for at, message in enumerate(messages) if message["role"] == "assistant"), default=-1)
    first = last
    while first > 0 and messages[first - 1]["role"] == "assistant":
        first -= 1
    return range(first, last + 1) if last >= 0 else range(0)


def _thought(block: Mapping[str, Any], path: str, *, covers_text: bool, is_newest: bool) -> signing.Signed | None:
    """What the signature of a thought holds, when it is ours."""
    kind = block["type"]
    try:
        signed = signing.opened(kind, block[_DATA[kind]])
    except signing.NotASignature:
        raise _wrong(kind, path) from None
    # A client that was sent no text (display omitted) has none to send back: the signature alone counts then.
    text = block.get("thinking")
    if signed is not None and text and covers_text and not signed.covers(text):
        raise _modified(path) if is_newest else _wrong(kind, path)
    return signed


def _wrong(kind: str, path: str) -> ApiError:
    return invalid(f"{path}: Invalid `{_DATA[kind]}` in `{kind}` block")


def _modified(path: str) -> ApiError:
    return invalid(
        f"{path}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
        "These blocks must remain as they were in the original response."
    )


def _in_order(turn: Sequence[tuple[str, Mapping[str, Any]]], thoughts: Sequence[_Thought]) -> None:
    """Rule 110: thoughts of one reply keep their order and stand once, each behind and before what it was beside.

    What was left out is no matter of this rule.
    """
    where: dict[bytes, list[int]] = {}  # the blocks that may be beside a thought, by their marks
    for at, (_, block) in enumerate(turn):
        for mark in _beside(block):
            where.setdefault(mark, []).append(at)
    seen: dict[bytes, tuple[int, int]] = {}  # of each reply: where its first thought is, and the number of its last
    for at, place in thoughts:
        is_late = where.get(place.before, (at,))[0] > at
        is_early = where.get(place.after, (at,))[-1] < at
        begins, number = seen.get(place.reply, (at, 0))
        if place.number <= number:
            is_early = is_early or place.number > 1 or not _is_repeated(where.get(place.after, ()), begins, at)
            begins = at
        if is_late or is_early:
            raise _modified(turn[at][0])
        seen[place.reply] = (begins, place.number)


def _is_repeated(after: Sequence[int], first: int, second: int) -> bool:
    """Whether what comes after a thought comes after both of these; `after`: wherever it is.

    A turn that was gone on with may hold a reply twice, where a scenario repeats itself: then it is all there twice.
    """
    return bisect(after, first) < bisect(after, second) < len(after)


def _beside(block: Mapping[str, Any]) -> tuple[bytes, ...]:
    """The marks that a block may be known by to a thought beside it."""
    kind = block["type"]
    if kind in _DATA:
        return ()
    if kind == "text":
        return (signing.beside("text", value=block["text"].strip()),)
    if kind in _CALLS:
        name, input = block["name"], block["input"]
        return (signing.beside(kind, name, input), signing.beside(kind, name, cut=True))
    return (signing.beside(kind),)


def _compaction(block: Mapping[str, Any], path: str) -> None:
    if signing.signed("compaction", str(block.get("content")), block.get("signature")) is False:
        raise invalid(
            f"{path}.compaction: Invalid `signature` in `compaction` block",
            details={"error_code": "compaction_signature_invalid"},
        )


def signed_result_text(result: Mapping[str, Any]) -> str:
    """What the mark in `encrypted_content` covers."""
    return f"{result.get('url')} {result.get('title')}"


def _results(results: list[Any], path: str) -> None:
    for number, result in enumerate(results):
        if not isinstance(result, dict):
            continue
        if signing.signed("web_search_result", signed_result_text(result), result.get("encrypted_content")) is False:
            raise invalid(
                f"{path}.web_search_tool_result.content.{number}: Invalid `encrypted_content` in search result"
            )


def paused_content(request: MessagesRequest, profile: Profile) -> None:
    """A paused turn comes back as the last message, unchanged: its calls keep the name and input they had."""
    last = len(request.messages) - 1
    message = request.messages[last]
    if message["role"] != "assistant" or isinstance(message["content"], str):
        return
    if not any(is_server_tool(block["type"]) for block in message["content"]):
        return
    for at, block in enumerate(message["content"]):
        if block["type"] in ("tool_use", "server_tool_use"):
            _call(block, f"messages.{last}.content.{at}")


def _call(block: Mapping[str, Any], path: str) -> None:
    minted = signing.read(block["id"])
    if minted is None:
        return
    changed = []
    if not minted.named(block["name"]):
        changed.append("name")
    elif not minted.called_with(block["name"], block["input"]):
        changed.append("input")
    if changed:
        raise invalid(
            f"{path}: `{block['type']}` block `{block['id']}` cannot be modified: its `{changed[0]}` differs from the "
            "original response. The content of a paused turn must be sent back unchanged."
        )


# Rules about marks for the prompt cache: how many, where, and in which order of their times to live.

MOST = 4
_SHORT = "5m"


class Breakpoint(NamedTuple):
    """One mark: the path of the block that carries it, the block, and its time to live."""

    path: str
    block: Mapping[str, Any]
    ttl: str


def breakpoints(request: MessagesRequest) -> Iterator[Breakpoint]:
    """Every explicit mark, in the order of the prompt: tools, system, messages."""
    yield from _marked(request.tools, "tools")
    yield from _marked(request.body.get("system"), "system")
    _, found = request.last("marks", _NO_MARKS, _marks)
    for index, marks in found:
        for path, block, ttl in marks:
            yield Breakpoint(f"messages.{index}.content{path}", block, ttl)


# how many messages there are, and the marks of those that have any: their paths without those of the messages
_Marks = tuple[int, tuple[tuple[int, Sequence[Breakpoint]], ...]]
_NO_MARKS: _Marks = (0, ())


def _marks(before: _Marks, message: Mapping[str, Any]) -> _Marks:
    at, found = before
    content = message["content"]
    marks = () if type(content) is str else tuple(_marked(content, ""))
    return at + 1, (*found, (at, marks)) if marks and len(found) <= MOST else found


def _marked(blocks: Any, path: str) -> Iterator[Breakpoint]:
    for at, block in enumerate(blocks if isinstance(blocks, list | tuple) else ()):
        mark = block.get("cache_control")
        if isinstance(mark, dict):
            yield Breakpoint(f"{path}.{at}", block, mark.get("ttl") or _SHORT)
        if block.get("type") == "tool_result":
            yield from _marked(block.get("content"), f"{path}.{at}.tool_result.content")


def cache_control(request: MessagesRequest, profile: Profile) -> None:
    """Rules 117 to 119 and 122: at most four marks, none on an empty text, an hour before five minutes."""
    automatic = request.body.get("cache_control")
    marks = list(breakpoints(request))
    found = len(marks) + (automatic is not None)
    if found > MOST:
        raise invalid(f"A maximum of {MOST} blocks with cache_control may be provided. Found {found}.")
    for mark in marks:
        if mark.block.get("type") == "text" and not mark.block.get("text"):
            raise invalid(f"{mark.path}.text: cache_control cannot be set for empty text blocks")
    if automatic is not None:
        marks += _automatic(request, automatic)
    short = False
    for mark in marks:
        if mark.ttl != _SHORT and short:
            raise invalid(
                f"{mark.path}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
                "cache_control block. Note that blocks are processed in the following order: tools, system, messages."
            )
        short = short or mark.ttl == _SHORT


def _automatic(request: MessagesRequest, automatic: Mapping[str, Any]) -> list[Breakpoint]:
    """The mark of the top level, as one on the last block. A mark there already must agree with it."""
    ttl = automatic.get("ttl") or _SHORT
    last = request.messages[-1]["content"]
    block = last[-1] if not isinstance(last, str) and last else {}
    own = block.get("cache_control")
    if isinstance(own, Mapping) and (own.get("ttl") or _SHORT) != ttl:
        raise invalid("cache_control.ttl: the last block has a cache_control with another ttl")
    return [Breakpoint("cache_control", {}, ttl)] if own is None else []

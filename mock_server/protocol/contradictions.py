"""Whether a reply contradicts its request: is one that the API would not give to it.

What a script answers is sent all the same, with a warning. Each contradiction is a sentence about the reply, such as
"calls 't', which the request does not offer". Rules: docs/protocol.md B.4 and B.5 (tools, `tool_choice`), B.6
(thinking), and the documentation of strict tools and structured outputs. What nobody can know is not judged: the names
that an MCP server has, unless the request lists them; what a text was to become that was cut.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from mock_server.protocol.blocks import Block, McpToolUse, Text, ToolUse, is_server_tool
from mock_server.protocol.errors import excerpt
from mock_server.protocol.json_schema import Checker, SchemaProblem
from mock_server.protocol.profile import Model
from mock_server.protocol.request import THOUGHTS, MessagesRequest, strict_json
from mock_server.protocol.rules.tools import TOOLSETS, TYPED, is_custom

NAMED = 5  # tools that a sentence lists
MOST = 8  # contradictions of one reply that are listed
_LONGEST = 400  # characters of a sentence
# how the types of tools begin that the server runs itself
_SERVERS = ("web_search", "web_fetch", "code_execution", "tool_search_tool", "advisor", "octen_", "mcp_toolset")
_PROGRAMS = ("code_execution", "bash_code_execution", "text_editor_code_execution")
_FILTERING = "20260209"  # searches from this version on filter what they find with programs of their own
_ADDITION = b'"tool_addition"'


class Contradiction(NamedTuple):
    """What a reply does against its request, with the reply as subject. What is no error is odd, and only a warning."""

    text: str
    is_error: bool = True


class JudgedReply(NamedTuple):
    """A reply as it is judged: its content, how it ends, and whether a fault changes its content."""

    content: Sequence[Block]
    stop_reason: str
    is_bent: bool = False

    @property
    def calls(self) -> list[ToolUse]:
        return [block for block in self.content if isinstance(block, ToolUse)]

    @property
    def is_whole(self) -> bool:
        """Whether it is complete: it was not refused, cut, paused or bent."""
        return not self.is_bent and self.stop_reason in ("end_turn", "tool_use")


def contradictions(request: MessagesRequest, model: Model | None, reply: JudgedReply) -> tuple[Contradiction, ...]:
    """What a reply does against its request; of many things the first. `model`: None where nobody knows what it can
    do.
    """
    found: dict[Contradiction, None] = {}
    for one in (one for judge in _JUDGES for one in judge(request, model, reply)):
        found[one._replace(text=excerpt(one.text, _LONGEST))] = None
        if len(found) == MOST:
            break
    return tuple(found)


# -- tools ------------------------------------------------------------------------------------------------------------


class Offer(NamedTuple):
    """What a request lets its reply call: the client's tools, the server's, and MCP servers each with the tools that
    are known to be there (True) or not (False); `others`: whether those that are not named are. `has_more`: there are
    tools whose names are not known.
    """

    mine: Mapping[str, Mapping[str, Any]]
    servers: frozenset[str]
    mcp: Mapping[str, "McpOffer"]
    has_more: bool


class McpOffer(NamedTuple):
    named: Mapping[str, bool]
    others: bool


def _offer(request: MessagesRequest) -> Offer:
    """What a request offers; worked out once for all that differ in their messages alone."""
    found: Offer | None = request.steady.get("offer")
    if found is None:
        found = request.steady["offer"] = _offered(request.tools, request.body.get("mcp_servers"))
    if not adds_tools(request):
        return found
    added = _offered(list(_added(request)), ())
    mcp = {**found.mcp, **added.mcp}
    return Offer({**found.mine, **added.mine}, found.servers | added.servers, mcp, found.has_more or added.has_more)


def adds_tools(request: MessagesRequest) -> bool:
    """Whether the messages may offer tools too; else nothing of them is judged but whose the last one is."""
    return request.has_system_messages and request.may_have(_ADDITION)


def _offered(tools: Sequence[Any], servers: Any) -> Offer:
    mine: dict[str, Mapping[str, Any]] = {}
    theirs: set[str] = set()
    mcp = {str(one.get("name")): _mcp_offer(one) for one in servers or () if isinstance(one, dict)}
    has_more = False
    for tool in tools:
        if not isinstance(tool, dict):
            continue
        kind, name = str(tool.get("type")), str(tool.get("name"))
        if is_custom(tool) or not kind.startswith((*_SERVERS, *TOOLSETS)):
            mine[name] = tool
            if not is_custom(tool) and kind not in TYPED:  # whose it is, nobody knows
                theirs.add(name)
        elif kind.startswith("mcp_toolset"):
            mcp[str(tool.get("mcp_server_name"))] = _toolset_offer(tool)
        elif kind in TOOLSETS:
            has_more = True
        else:
            theirs.add(name)
            if kind.startswith("code_execution") or (kind.startswith("web_") and kind[-8:] >= _FILTERING):
                theirs.update(_PROGRAMS)
    return Offer(mine, frozenset(theirs), mcp, has_more)


def _added(request: MessagesRequest) -> Iterator[Any]:
    """The tools that system messages add on the way (beta)."""
    for message in request.messages:
        for block in message["content"] if isinstance(message["content"], list) else ():
            tool = block.get("tool") if block.get("type") == "tool_addition" else None
            if isinstance(tool, dict) and "server_name" in tool:
                yield {"type": "mcp_toolset", "mcp_server_name": tool["server_name"]}
            elif isinstance(tool, dict):
                yield tool.get("definition")


def _mcp_offer(server: Mapping[str, Any]) -> McpOffer:
    """The older way: the server says which of its tools are allowed."""
    configured = server.get("tool_configuration")
    configuration: Mapping[str, Any] = configured if isinstance(configured, dict) else {}
    allowed = configuration.get("allowed_tools")
    if configuration.get("enabled") is False:
        return McpOffer({}, others=False)
    if not isinstance(allowed, list):
        return McpOffer({}, others=True)
    return McpOffer(dict.fromkeys(map(str, allowed), True), others=False)


def _toolset_offer(tool: Mapping[str, Any]) -> McpOffer:
    """The newer way: a tool stands for those of the server, and says which of them are on."""
    default, configs = (
        one if isinstance(one, dict) else {} for one in (tool.get("default_config"), tool.get("configs"))
    )
    others = default.get("enabled") is not False
    named = {
        str(name): one.get("enabled", others) is not False for name, one in configs.items() if isinstance(one, dict)
    }
    return McpOffer(named, others)


def _not_offered(request: MessagesRequest, model: Model | None, reply: JudgedReply) -> Iterator[Contradiction]:
    """A call of a tool that is not there."""
    calls = reply.calls
    if not calls:
        return
    offer = _offer(request)
    seen: set[tuple[str, str]] = set()
    for call in calls:
        if (call.type, call.name) in seen:
            continue
        seen.add((call.type, call.name))
        if isinstance(call, McpToolUse):
            yield from _of_mcp(call, offer)
        elif call.type == "tool_use":
            if call.name not in offer.mine and not offer.has_more:
                yield Contradiction(f"calls {call.name!r}, which the request does not offer ({_listed(offer.mine)})")
        elif call.type == "server_tool_use" and call.name not in offer.servers and not offer.has_more:
            what = f"calls the server's tool {call.name!r}, which the request does not declare"
            yield Contradiction(f"{what} ({_listed(sorted(offer.servers))})")


def _of_mcp(call: McpToolUse, offer: Offer) -> Iterator[Contradiction]:
    there = offer.mcp.get(call.server_name)
    if there is None:
        what = f"calls {call.name!r} of the MCP server {call.server_name!r}, which the request does not name"
        yield Contradiction(f"{what} ({_listed(offer.mcp)})")
    elif not there.named.get(call.name, there.others):
        yield Contradiction(f"calls {call.name!r} of the MCP server {call.server_name!r}, which the request leaves out")


def _listed(names: "Mapping[str, Any] | Sequence[str]") -> str:
    if not names:
        return "it has none"
    shown = ", ".join(list(names)[:NAMED])
    return f"there {'is' if len(names) == 1 else 'are'} {shown}{', …' if len(names) > NAMED else ''}"


def _chosen(request: MessagesRequest, model: Model | None, reply: JudgedReply) -> Iterator[Contradiction]:
    """A call that `tool_choice` forbids, or one that it demands and that is not there."""
    choice = request.tool_choice
    kind = choice.get("type")
    if kind not in ("none", "any", "tool"):
        return
    calls = reply.calls
    if kind == "none":
        if calls:
            yield Contradiction("calls a tool although tool_choice is none")
        return
    if kind == "tool":
        name = str(choice.get("name"))
        other = next((one.name for one in calls if one.type == "tool_use" and one.name != name), None)
        if other is not None:
            yield Contradiction(f"calls {other!r} although tool_choice wants {name!r}")
            return
        if any(one.name == name or (name == "code_execution" and one.name in _PROGRAMS) for one in calls):
            return
        missing = f"does not call {name!r} although tool_choice wants it"
    elif calls:
        return
    else:
        missing = "calls no tool although tool_choice is any"
    # a turn that goes on has called before, and what was cut would have
    if reply.is_whole and request.messages[-1]["role"] != "assistant":
        yield Contradiction(missing)


def _in_parallel(request: MessagesRequest, model: Model | None, reply: JudgedReply) -> Iterator[Contradiction]:
    """Two calls where only one may be made; a program makes as many as it likes."""
    if not request.tool_choice.get("disable_parallel_tool_use"):
        return
    count = sum(one.type == "tool_use" and (one.caller or {}).get("type", "direct") == "direct" for one in reply.calls)
    if count > 1:
        yield Contradiction(f"calls {count} tools at once although disable_parallel_tool_use is set")


# -- schemas ----------------------------------------------------------------------------------------------------------


def _broken_inputs(request: MessagesRequest, model: Model | None, reply: JudgedReply) -> Iterator[Contradiction]:
    """The input of a strict tool fits its schema, unless the reply ends before it is whole."""
    if not reply.is_whole:
        return
    for call in reply.calls:
        tool = _offer(request).mine.get(call.name) if call.type == "tool_use" else None
        if tool is None or tool.get("strict") is not True:
            continue
        wrong = _broken(request, ("strict", call.name), tool.get("input_schema"), partial(_input, call))
        if wrong is not None:
            yield Contradiction(f"calls {call.name!r}, a strict tool, with an input that {wrong}")


def _input(call: ToolUse) -> Any:
    """The input as it is sent. Raises ValueError where that is no JSON."""
    return call.input if call.raw is None else strict_json(call.raw or "{}")


def _broken_text(request: MessagesRequest, model: Model | None, reply: JudgedReply) -> Iterator[Contradiction]:
    """The text fits the schema of the output format, where it is complete: behind the tools that the server ran, not
    before a call of the client's, and not where it goes on from a prefill.
    """
    wanted = request.format
    if not wanted or wanted.get("type") != "json_schema" or reply.stop_reason != "end_turn" or not reply.is_whole:
        return
    if request.messages[-1]["role"] == "assistant":
        return
    texts: list[str] = []
    for block in reply.content:
        if is_server_tool(block.type):
            texts = []
        elif isinstance(block, Text):
            texts.append(block.text)
    wrong = _broken(request, "format", wanted.get("schema"), lambda: strict_json("".join(texts)))
    if wrong is not None:
        yield Contradiction(f"answers with a text that {wrong}, as output_config.format has it")


def _broken(request: MessagesRequest, name: Any, schema: Any, read: Callable[[], Any]) -> str | None:
    """How a value breaks a schema; None where it does not, or where the schema itself is broken."""
    try:
        value = read()
    except ValueError:
        return "is no JSON"
    try:
        checker = request.steady.get(("checker", name))
        if checker is None:
            checker = request.steady["checker", name] = Checker(schema)
        found: list[str] = checker.violations(value, 1)
    except SchemaProblem:
        return None
    return f"breaks its schema: {found[0]}" if found else None


# -- thinking ---------------------------------------------------------------------------------------------------------


def _thoughts(request: MessagesRequest, model: Model | None, reply: JudgedReply) -> Iterator[Contradiction]:
    """A thought where thinking is off, or of a model that has none; where it was just not asked for, that is odd."""
    if not any(block.type in THOUGHTS for block in reply.content):
        return
    mode = request.thinking.get("type")
    if mode == "disabled":
        yield Contradiction("thinks although thinking is disabled")
    elif model is not None and model.thinking is not None and not {*model.thinking} - {"disabled"}:
        yield Contradiction(f"thinks although {model.id} has no thinking")
    elif mode is None and model is not None and model.thinking is not None and model.thinking_default == "off":
        yield Contradiction("thinks although the request does not ask for it", is_error=False)


_JUDGES = (_not_offered, _chosen, _in_parallel, _broken_inputs, _broken_text, _thoughts)

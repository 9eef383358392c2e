"""The reply to a request no scenario matches: plausible, seeded, and as the request asks for it."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from mock_server.engine import citations, server_tools
from mock_server.engine.compile import Reply
from mock_server.engine.server_tools import Making
from mock_server.engine.turns import conversation
from mock_server.protocol.blocks import Text, ToolUse
from mock_server.protocol.errors import invalid
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.sse import dumps
from mock_server.protocol.validate.tools import is_custom
from mock_server.scenario.generate import Generator
from mock_server.scenario.parts import Generate
from mock_server.scenario.timing import Pacing
from mock_server.scenario.values import CannotGenerate

LONGEST, SHORTEST = 160, 40
_MARGIN = 500  # tokens made beyond what a request has room for: how a text ends depends on its length

# Input of the tools whose schema the API knows by itself, by the stem of their type.
_KNOWN_INPUT: Mapping[str, Mapping[str, Any]] = {
    "bash": {"command": "ls"},
    "text_editor": {"command": "view", "path": "/"},
    "memory": {"command": "view", "path": "/memories"},
    "computer": {"action": "screenshot"},
}


def generated(
    request: MessagesRequest,
    seed: bytes,
    generator: Generator,
    timing: Pacing,
    wanted: Generate | None = None,
    factor: float = 1.0,
) -> Reply:
    """The reply: a tool call when tool_choice forces one, JSON when a format asks for it, else text.

    `wanted`: what the text is to be like, its length in tokens of a model whose tokens are `factor` times the estimated
    ones.
    """
    searching = server_tools.forced(request)
    if searching is not None:
        return Reply(server_tools.turn(Making(request, searching, seed, generator)), "end_turn", timing=timing)
    forced = _forced_tool(request, seed)
    if forced is not None:
        call = ToolUse(name=forced["name"], input=_input(forced, seed, generator))
        return Reply((call,), "tool_use", timing=timing)
    schema = _output_schema(request)
    quoting = () if schema is not None else citations.generated(request)
    if quoting:
        return Reply(quoting, "end_turn", timing=timing)
    text = _json(schema, seed, generator) if schema is not None else _prose(request, seed, generator, wanted, factor)
    return Reply((Text(text=text),), "end_turn", timing=timing)


def _forced_tool(request: MessagesRequest, seed: bytes) -> Mapping[str, Any] | None:
    """The client's tool to call. With `any` and a call made already, the last one not called yet: agents that force
    tools end with a call of the tool for their output, which they list after the others."""
    choice = request.tool_choice
    mine = [tool for tool in request.tools if is_custom(tool) or _known_input(tool) is not None]
    if choice.get("type") == "tool":
        return next((tool for tool in mine if tool["name"] == choice["name"]), None)
    if choice.get("type") != "any" or not mine:
        return None
    called = _called(request)
    fresh = [tool for tool in mine if tool["name"] not in called]
    pool = fresh or mine
    return pool[-1] if called and fresh else pool[seed[0] % len(pool)]


def _called(request: MessagesRequest) -> set[str]:
    """The names of the tools that were called since the newest human turn."""
    talk = conversation(request.messages)
    since = talk.turns[talk.human[-1] :]
    return {block["name"] for turn in since for block in turn.content if block["type"] == "tool_use"}


def _known_input(tool: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return _KNOWN_INPUT.get(str(tool.get("type")).rpartition("_")[0])


def _input(tool: Mapping[str, Any], seed: bytes, generator: Generator) -> dict[str, Any]:
    known = _known_input(tool)
    if known is not None:
        return dict(known)
    value = _value(tool["input_schema"], seed, generator, f"input of tool '{tool['name']}'")
    return value if isinstance(value, dict) else {}


def made_input(tool: Mapping[str, Any], how: str, seed: bytes, generator: Generator) -> dict[str, Any]:
    """An input that fits the tool's schema, one at its bounds (`edge`), or one that breaks it (`invalid`).

    Raises CannotGenerate.
    """
    known = _known_input(tool)
    if known is not None:
        return dict(known) if how == "valid" else {}
    schema = tool.get("input_schema") or {"type": "object"}
    return generator.input(schema, seed, how)


def _output_schema(request: MessagesRequest) -> Mapping[str, Any] | None:
    schema = (request.format or {}).get("schema")
    return schema if isinstance(schema, dict) else None


def _json(schema: Mapping[str, Any], seed: bytes, generator: Generator) -> str:
    return dumps(_value(schema, seed, generator, "output_config.format.schema"))


def _value(schema: object, seed: bytes, generator: Generator, what: str) -> object:
    try:
        return generator.value(schema, seed)
    except CannotGenerate as problem:
        hint = "write a scenario for this request"
        raise invalid(
            f"mock-server cannot make up the {what}: {problem}; {hint}", headers={"x-should-retry": "false"}
        ) from None


def _prose(request: MessagesRequest, seed: bytes, generator: Generator, wanted: Generate | None, factor: float) -> str:
    usual = SHORTEST + int.from_bytes(_tail(seed), "big") % (LONGEST - SHORTEST)
    most = min(usual, request.max_tokens)
    if wanted is None:
        return generator.text(seed, max(1, int(most / factor)))
    return text(wanted, seed, generator, request.max_tokens, most, factor)


def text(wanted: Generate, seed: bytes, generator: Generator, limit: int, usual: int = 100, factor: float = 1.0) -> str:
    """A text as `generate` asks for it, `usual` tokens long where it does not say.

    `limit`: more than this is cut off anyway, so little more is made; what is left of the text stays the same.
    """
    low, high = wanted.tokens or (usual, usual)
    tokens = min(Random(seed).randint(low, high), limit + _MARGIN)
    return generator.styled(seed, max(1, int(tokens / factor)), wanted.style, wanted.locale)


def _tail(seed: bytes) -> Sequence[int]:
    return seed[-2:]

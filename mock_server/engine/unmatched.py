"""The reply to a request no scenario matches: plausible, seeded, and as the request asks for it.

It is made as if there were no limit; what `max_tokens` leaves of it is cut later, as of any reply.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from mock_server.engine import citations, server_tools
from mock_server.engine.compile import Reply
from mock_server.engine.seeds import chance
from mock_server.engine.server_tools import Making
from mock_server.engine.turns import Conversation, conversed
from mock_server.protocol.blocks import Block, Text, Thinking, ToolUse
from mock_server.protocol.errors import invalid
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.sse import dumps
from mock_server.protocol.validate.tools import is_custom, referred
from mock_server.scenario.generate import Generator
from mock_server.scenario.parts import Generate, GeneratedReply
from mock_server.scenario.timing import Pacing
from mock_server.scenario.values import CannotGenerate

LONGEST, SHORTEST = 160, 40
THOUGHT = (24, 96)  # tokens of a thought: within the smallest budget that there is
ADAPTIVE = 0.5  # the share of replies that think where the model may decide: of 39 recorded ones 21
_MARGIN = 500  # tokens made beyond what a request has room for: how a text ends depends on its length
# By the tool of this name Claude Code (`--json-schema`) and opencode have the model hand in what they are to print.
# They offer it beside their others, and ask again and again until it was called.
STRUCTURED_OUTPUT = "StructuredOutput"

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
    wanted: GeneratedReply,
    factor: float = 1.0,
) -> Reply:
    """The reply: a thought if the request has its model think; then a call of the tool that is to be called, JSON when
    a format asks for it, else text.

    `wanted`: what it is to be like, lengths in tokens of a model whose tokens are `factor` times the estimated ones.
    """
    talk = conversed(request)
    about = talk.turns[talk.human[-1]].topic
    thoughts: tuple[Block, ...] = ()
    if _thinks(request, talk, seed) if wanted.thinking is None else wanted.thinking:
        length = max(1, int(Random(seed + b"thought").randint(*THOUGHT) / factor))
        thoughts = (Thinking(thinking=generator.thought(seed + b"thought", length, about)),)
    tool = _called_tool(request, talk, seed, matching=wanted.tools == "matching")
    if tool is not None and server_tools.name_of(tool) is not None:
        content: Sequence[Block] = server_tools.turn(Making(request, tool, seed, generator))
    elif tool is not None:
        call = ToolUse(name=tool["name"], input=_input(tool, seed, generator))
        return Reply((*thoughts, call), "tool_use", timing=timing)
    else:
        content = _said(request, seed, generator, wanted, factor, about)
    return Reply((*thoughts, *content), "end_turn", timing=timing)


def _said(
    request: MessagesRequest, seed: bytes, generator: Generator, wanted: Generate, factor: float, about: str
) -> Sequence[Block]:
    """What is answered without a call of a tool."""
    schema = _output_schema(request)
    if schema is not None:
        return (Text(text=_json(schema, seed, generator)),)
    usual = SHORTEST + int.from_bytes(seed[-2:], "big") % (LONGEST - SHORTEST)
    quoting = citations.generated(request)
    return quoting or (Text(text=text(wanted, seed, generator, request.max_tokens, usual, factor, about)),)


# -- thoughts -------------------------------------------------------------------------------------------------------


def _thinks(request: MessagesRequest, talk: Conversation, seed: bytes) -> bool:
    """Whether the model thinks first. Nobody can tell a model that thinks by default from the outside, so that alone is
    no reason to. A turn that goes on has been thought about, and a forced call begins at once."""
    mode = request.thinking.get("type")
    if mode in (None, "disabled") or talk.turns[-1].role == "assistant":
        return False
    if request.tool_choice.get("type") in ("any", "tool") or (mode == "between_tools" and not talk.newest_results):
        return False
    return mode == "enabled" or chance(seed, "thinks") < ADAPTIVE


# -- which tool -----------------------------------------------------------------------------------------------------


def _called_tool(
    request: MessagesRequest, talk: Conversation, seed: bytes, *, matching: bool
) -> Mapping[str, Any] | None:
    """The tool to call: the one that tool_choice forces, else the one that fits the prompt (`matching`), once per human
    turn, and then the one for structured output, once too."""
    kind = request.tool_choice.get("type")
    if not request.tools or kind == "none":
        return None
    called = _called(talk)
    output = next((tool for tool in request.tools if tool.get("name") == STRUCTURED_OUTPUT and is_custom(tool)), None)
    if output is not None and STRUCTURED_OUTPUT in called:
        output = None
    if kind in ("any", "tool"):
        forced = server_tools.forced(request)
        return _forced_tool(request, called, seed, output) if forced is None else forced
    if talk.turns[-1].role == "assistant":
        return None
    fitting = _fitting_tool(request, talk) if matching and not called else None
    return output if fitting is None else fitting


def _forced_tool(
    request: MessagesRequest, called: set[str], seed: bytes, output: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """The client's tool to call. With `any` and a call made already, the last one not called yet: agents that force
    tools end with a call of the tool for their output, which they list after the others."""
    choice = request.tool_choice
    mine = [tool for tool in request.tools if is_custom(tool) or _known_input(tool) is not None]
    if choice["type"] == "tool":
        return next((tool for tool in mine if tool["name"] == choice["name"]), None)
    if output is not None or not mine:
        return output
    fresh = [tool for tool in mine if tool["name"] not in called]
    pool = fresh or mine
    return pool[-1] if called and fresh else pool[seed[0] % len(pool)]


def _called(talk: Conversation) -> set[str]:
    """The names of the tools that were called since the newest human turn."""
    since = talk.turns[talk.human[-1] :]
    return {block["name"] for turn in since for block in turn.content if block["type"] == "tool_use"}


_NAME_WEIGHT = 3  # of a word in a tool's name, against one in its description
_MOST_ASKED = 8000  # characters of a prompt, the last ones
_MOST_DESCRIBED = 400  # characters of a description that say what a tool is for; the rest is how to use it
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")
_ENDING = re.compile(r"(?<=\w\w\w)(?:ies|y|ing|ed|es|s|e)$")
_SMALL_WORDS = (
    "a about all an and any are as at be but by can could did do does for from get give had has have here how i if in "
    "into is it let make me my need not of on or our please she should show so some tell that the their them then "
    "there these they this those to tool up use used using want was we were what when where which who why will with "
    "would you your"
)
_SMALL = frozenset(_SMALL_WORDS.split())


def _stems(text: str) -> set[str]:
    """The words of a text or a name by how they begin, without those that say nothing."""
    words = (word.lower() for word in _WORD.findall(text))
    return {_ENDING.sub("", word)[:6] for word in words if len(word) > 1 and word not in _SMALL}


def _fitting_tool(request: MessagesRequest, talk: Conversation) -> Mapping[str, Any] | None:
    """The tool that shares most words with the newest prompt, the first of equals; None when no tool shares one. A word
    that many tools have says little about any of them."""
    asked = _stems(" ".join(talk.turns[talk.human[-1]].typed)[-_MOST_ASKED:])
    tools = [tool for tool in _offered(request) if tool["name"] != STRUCTURED_OUTPUT]
    named = [_stems(tool["name"]) & asked for tool in tools]
    described = [_stems(str(tool.get("description") or "")[:_MOST_DESCRIBED]) & asked for tool in tools]
    having = Counter(word for name, text in zip(named, described, strict=True) for word in name | text)

    def weight(words: Iterable[str]) -> float:
        return sum([1 / having[word] for word in sorted(words)])

    fits = [_NAME_WEIGHT * weight(name) + weight(text) for name, text in zip(named, described, strict=True)]
    best = max(fits, default=0)
    return tools[fits.index(best)] if best else None


def _offered(request: MessagesRequest) -> list[Mapping[str, Any]]:
    """The tools that the model can call by itself: not those for programs alone, nor deferred ones not loaded yet."""
    loaded = set(referred(request)) if any(tool.get("defer_loading") for tool in request.tools) else set()
    return [
        tool
        for tool in request.tools
        if (is_custom(tool) or _known_input(tool) is not None or server_tools.name_of(tool) is not None)
        and "direct" in (tool.get("allowed_callers") or ("direct",))
        and (not tool.get("defer_loading") or tool["name"] in loaded)
    ]


# -- inputs ---------------------------------------------------------------------------------------------------------


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


def text(
    wanted: Generate,
    seed: bytes,
    generator: Generator,
    limit: int,
    usual: int = 100,
    factor: float = 1.0,
    about: str = "",
) -> str:
    """A text as `generate` asks for it, `usual` tokens long where it does not say.

    `limit`: more than this is cut off anyway, so little more is made; what is left of the text stays the same.
    """
    low, high = wanted.tokens or (usual, usual)
    tokens = min(Random(seed).randint(low, high), limit + _MARGIN)
    return generator.styled(seed, max(1, int(tokens / factor)), wanted.style, wanted.locale, about)

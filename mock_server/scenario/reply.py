"""The blocks of a reply as authors may write them: the API's own, and those whose content only a request can give.

An open block is one of the API's with `template`, `generate` or an input that is made up in place of its content.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from mock_server.protocol.blocks import (
    Block,
    McpToolUse,
    ServerToolUse,
    Text,
    Thinking,
    ToolUse,
)
from mock_server.records import dataclass
from mock_server.scenario.decode import Reads, decode
from mock_server.scenario.node import Mistakes, Node, Problems, kind, spelled, suggestion, wrap
from mock_server.scenario.templates import Template, compiled, read_template

Style = Literal["prose", "markdown", "code", "json", "list"]
Made = Literal["valid", "edge", "invalid"]
MADE: tuple[Made, ...] = ("valid", "edge", "invalid")
MOST_TOKENS = 200_000  # that are made up for one reply: a second or two of work


def _read_tokens(node: Node, problems: Problems) -> tuple[int, int] | None:
    """`300`, or a range `200..300`."""
    words = str(node.value).split("..") if isinstance(node.value, str) else [node.value]
    numbers = [
        int(word) if isinstance(word, int) or re.fullmatch(r"\s*\d{1,9}\s*", str(word)) else None for word in words
    ]
    if isinstance(node.value, bool) or None in numbers or len(numbers) > 2:
        problems.add(node, f"expected a number of tokens or a range such as 200..300, got {node.plain()!r}")
        return None
    low, high = int(numbers[0] or 0), int(numbers[-1] or 0)
    if not 1 <= low <= high <= MOST_TOKENS:
        problems.add(node, f"tokens is 1 to {MOST_TOKENS:,}, got {node.plain()}")
    return low, high


def _read_locale(node: Node, problems: Problems) -> str | None:
    from mock_server.scenario.generated.fakes import locales  # only where a script names one

    if node.value in locales():
        return str(node.value)
    close = suggestion(str(node.value), sorted(locales()))
    problems.add(node, f"unknown locale {node.plain()!r}; expected one such as de_DE or ja_JP{close}")
    return None


Tokens = Annotated[tuple[int, int], Reads(_read_tokens)]
Locale = Annotated[str, Reads(_read_locale)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """Text made up for its request: how many tokens (or a range to draw from), of what kind, in which language."""

    noun: ClassVar[str] = "generate"
    tokens: Tokens | None = None
    """How long: a number, or a range such as 200..300."""
    style: Style = "prose"
    """What kind of text."""
    locale: Locale = "en_US"
    """Whose words and names, such as de_DE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedReply(Generate):
    """A whole reply made up for its request.

    `thinking`: whether a thought comes first; None: as the request asks. `tools`: which tools it calls; None: as the
    setting says.
    """

    thinking: bool | None = None
    """Whether a thought comes first; without it as the request asks."""
    tools: Literal["forced", "matching"] | None = None
    """Which tools it calls: those that tool_choice forces, or the offered one that fits the prompt too."""


# -- open blocks ----------------------------------------------------------------------------------------------------


def _two_sources(block: "OpenText | OpenThinking") -> Mistakes:
    if block.template is not None and block.generate is not None:
        yield ("generate",), "a text comes from a template or is generated, not both"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenText(Text):
    """A text that a template or the generator gives."""

    text: str = field(default="", metadata={"hidden": True})
    template: Annotated[Template, Reads(read_template)] | None = None
    generate: Generate | None = None

    mistakes = _two_sources


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenThinking(Thinking):
    """A thought that a template or the generator gives."""

    thinking: str = field(default="", metadata={"hidden": True})
    template: Annotated[Template, Reads(read_template)] | None = None
    generate: Generate | None = None

    mistakes = _two_sources


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenToolUse(ToolUse):
    """A call whose input is made up, or holds templates: `made` says how, or `input` has Template objects inside."""

    input: dict[str, Any] = field(default_factory=dict, metadata={"hidden": True})
    made: Made | None = field(default=None, metadata={"hidden": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenServerToolUse(ServerToolUse):
    """The same for a tool the server runs itself."""

    made: Made | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMcpToolUse(McpToolUse):
    """The same for a tool on an MCP server."""

    made: Made | None = None


OPEN = (OpenText, OpenThinking, OpenToolUse, OpenServerToolUse, OpenMcpToolUse)


def is_open(reply: Iterable[Block]) -> bool:
    """Whether any of these blocks waits for its request."""
    return any(isinstance(block, OPEN) for block in reply)


def templates_of(value: Any) -> Iterator[Template]:
    """Every template in a block or an input, at any depth."""
    if isinstance(value, Template):
        yield value
    elif isinstance(value, OpenText | OpenThinking):
        yield from templates_of(value.template)
    elif isinstance(value, ToolUse):
        yield from templates_of(value.input)
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from templates_of(inner)


def generated_in(reply: Iterable[Block] | None) -> Iterator[Generate]:
    """What is to be made up in the texts of a reply."""
    for block in reply or ():
        if isinstance(block, OpenText | OpenThinking) and block.generate is not None:
            yield block.generate


# -- reading --------------------------------------------------------------------------------------------------------

_TEXTS: Mapping[str, type] = {"text": OpenText, "thinking": OpenThinking}
CALLS: Mapping[str, tuple[type[ToolUse], type[ToolUse]]] = {
    "tool_use": (ToolUse, OpenToolUse),
    "server_tool_use": (ServerToolUse, OpenServerToolUse),
    "mcp_tool_use": (McpToolUse, OpenMcpToolUse),
}


def is_plain(input: Any) -> bool:
    """Whether the input of a call, written in a script, would be taken as it is: nothing made up, no template."""
    node = wrap(input)
    return _made(node) is None and not _has_template(node)


def _read_part(node: Node, problems: Problems) -> Block | None:
    """A block of the API, or an open one when its content is to be made."""
    if node.value is None or isinstance(node.value, int | float):
        cure = "write a text, or [] for a message without content"
        if node.value is not None:
            cure = f'write it in quotes: "{spelled(node.value)}"'
        problems.add(node, f"a reply is a text, a block or a list of them, got {kind(node)}; {cure}")
        return None
    keys = node.value if isinstance(node.value, dict) else {}
    if "role" in keys and "content" in keys:
        text = "this is a whole message of the API; write its content here, and its stop_reason and usage beside reply"
        problems.add(node, f"{text} (`mock-server import` does so)")
        return None
    tag = str(keys["type"].value) if "type" in keys else ""
    block: Block | None
    if tag in _TEXTS and ("template" in keys or "generate" in keys):
        block = decode(_TEXTS[tag], node.without("type"), problems)
    elif tag in CALLS and "input_json" in keys:
        block = _raw_call(tag, node, problems)
    elif tag in CALLS and "input" in keys and (made := _made(keys["input"])) is not None:
        block = _call(tag, CALLS[tag][1], node, problems, input={}, made=made)
    elif tag in CALLS and "input" in keys and _has_template(keys["input"]):
        block = _call(tag, CALLS[tag][1], node, problems, input=_with_templates(keys["input"], problems))
    else:
        block = decode(Block, node, problems)
    return block


def _call(tag: str, cls: type[ToolUse], node: Node, problems: Problems, **content: Any) -> ToolUse | None:
    """A call of this class with this content in place of its input."""
    rest = node.without("type", "input", "input_json")
    rest.value["input"] = Node({}, node.position)
    call: ToolUse | None = decode(CALLS[tag][0], rest, problems)
    if call is None:
        return None
    server: dict[str, Any] = {"server_name": call.server_name} if isinstance(call, McpToolUse) else {}
    return cls(name=call.name, id=call.id, caller=call.caller, **server, **content)


def _raw_call(tag: str, node: Node, problems: Problems) -> ToolUse | None:
    """A call whose input is written as raw text, broken JSON too."""
    raw = node.value["input_json"]
    if "input" in node.value:
        problems.add(node.keys.get("input") or raw, "a call has an input or an input_json, not both")
    if not isinstance(raw.value, str):
        problems.add(raw, f"expected the JSON as text, got {kind(raw)}")
        return None
    return _call(tag, CALLS[tag][0], node, problems, input={}, raw=raw.value, eager=True)


def _made(node: Node) -> Made | None:
    """How an input is to be made up: `generated`, or `{generate: valid | edge | invalid}`."""
    if node.value == "generated":
        return "valid"
    wanted = node.get("generate")
    return wanted if wanted in MADE and len(node.value) == 1 else None


def _has_template(node: Node) -> bool:
    """Whether there is a `{template: TEXT}` with places to fill below a value; without places it is the tool's own."""
    inner = node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else ()
    return any(_is_template(item) or _has_template(item) for item in inner)


def _is_template(node: Node) -> bool:
    text = node.get("template")
    return isinstance(text, str) and len(node.value) == 1 and ("{{" in text or "{%" in text)


def _with_templates(node: Node, problems: Problems) -> Any:
    if _is_template(node):
        text = node.value["template"]
        return compiled(text.value, text, problems)
    if isinstance(node.value, dict):
        return {key: _with_templates(item, problems) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [_with_templates(item, problems) for item in node.value]
    return node.value


Part = Annotated[Block, Reads(_read_part)]

"""Blocks -> blocks with everything the server adds: ids, signatures, encrypted search results."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mock_server.engine.form import Hole
from mock_server.protocol import marks
from mock_server.protocol.blocks import (
    Block,
    CutMcpToolUse,
    CutToolUse,
    McpToolResult,
    McpToolUse,
    RedactedThinking,
    ServerToolUse,
    Text,
    Thinking,
    ToolUse,
)
from mock_server.protocol.profile import Profile
from mock_server.protocol.results import WebSearchToolResult
from mock_server.protocol.validate.replay import result_said

OPEN_CALL = Hole("open_call")
_THOUGHTS = (Thinking, RedactedThinking)
# the blocks that tell who called their tool, always; a server_tool_use does where a program called it
_CALLED = ("tool_use", "web_search_tool_result", "web_fetch_tool_result")


def sealed(
    blocks: Sequence[Block], profile: Profile, scenario: str, position: int
) -> tuple[tuple[Block, ...], list[tuple[str, marks.Stamp]]]:
    """The content with everything the server adds: holes for ids, signatures, encrypted search results."""
    content: list[Block] = []
    stamps: list[tuple[str, marks.Stamp]] = []
    places = _places(blocks, scenario, position)
    call = program = OPEN_CALL.text
    for at, block in enumerate(blocks):
        block = _called(block, program, profile)
        if isinstance(block, ToolUse):
            if block.id is None:
                hole = Hole(f"call{at}")
                stamps.append((hole.name, _stamp(block, scenario, position)))
                block = replace(block, id=hole.text)
            if isinstance(block, ServerToolUse | McpToolUse):
                call = block.id or call
                program = call if block.name.endswith("code_execution") else program
        elif isinstance(block, WebSearchToolResult | McpToolResult) and block.tool_use_id is None:
            block = replace(block, tool_use_id=call)
        content.append(_signed(block, profile, places.get(at, marks.NOWHERE)))
    return tuple(content), stamps


def _called(block: Block, program: str, profile: Profile) -> Block:
    """The block with who called its tool: the model itself, unless the script says that a program did. A program is
    named by its call, the newest one where the script does not say which."""
    if not isinstance(block, ToolUse | WebSearchToolResult):
        return block
    if block.caller is None:
        return replace(block, caller={"type": "direct"}) if profile.callers and block.type in _CALLED else block
    if block.caller.get("type") == "direct" or block.caller.get("tool_id") is not None:
        return block
    return replace(block, caller={**block.caller, "tool_id": program})


def _stamp(block: ToolUse, scenario: str, position: int) -> marks.Stamp:
    is_cut = isinstance(block, CutToolUse | CutMcpToolUse)
    return marks.stamp(block.id_prefix, scenario, position, block.name, block.input, cut=is_cut)


def _signed(block: Block, profile: Profile, place: marks.Place) -> Block:
    if isinstance(block, Thinking) and block.signature is None:
        return replace(block, signature=marks.signature("thinking", block.thinking, place))
    if isinstance(block, RedactedThinking) and block.data is None:
        return replace(block, data=marks.signature("redacted_thinking", "", place))
    if isinstance(block, WebSearchToolResult) and profile.encrypted_results and isinstance(block.content, list):
        return replace(block, content=[_encrypted(result) for result in block.content])
    return block


def _places(blocks: Sequence[Block], scenario: str, position: int) -> dict[int, marks.Place]:
    """Where each thought of a reply stands, so that it is known when it comes back."""
    thoughts = [at for at, block in enumerate(blocks) if isinstance(block, _THOUGHTS)]
    if not thoughts:
        return {}
    said = [block.thinking if isinstance(block, Thinking) else _said(block).hex() for block in blocks]
    reply = marks.reply_mark(scenario, position, said)
    others = [at for at, block in enumerate(blocks) if at not in thoughts and not _is_blank(block)]
    places = {}
    for number, at in enumerate(thoughts, 1):
        before = next((_said(blocks[one]) for one in reversed(others) if one < at), b"")
        after = next((_said(blocks[one]) for one in others if one > at), b"")
        places[at] = marks.Place(reply, number, before, after)
    return places


def _is_blank(block: Block) -> bool:
    """A text without a word: clients may leave it out."""
    return isinstance(block, Text) and not block.text.strip()


def _said(block: Block) -> bytes:
    if isinstance(block, Text):
        return marks.beside("text", said=block.text.strip())
    if isinstance(block, ToolUse):
        is_cut = isinstance(block, CutToolUse | CutMcpToolUse)
        return marks.beside(block.type, block.name, block.input, cut=is_cut)
    return marks.beside(block.type)


def _encrypted(result: Any) -> Any:
    if isinstance(result, dict) and result.get("type") == "web_search_result" and "encrypted_content" not in result:
        return {**result, "encrypted_content": marks.signature("web_search_result", result_said(result))}
    return result

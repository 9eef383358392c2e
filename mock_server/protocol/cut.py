"""What `max_tokens` and `stop_sequences` of a request leave of a reply. Rules: docs/protocol.md G.3 and G.4."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mock_server.protocol import tokens
from mock_server.protocol.blocks import (
    Block,
    Compaction,
    CutMcpToolUse,
    CutServerToolUse,
    CutToolUse,
    McpToolUse,
    ServerToolUse,
    Text,
    Thinking,
    ToolUse,
)
from mock_server.protocol.prompt import Cost
from mock_server.records import dataclass

_NOTHING = 1e-9  # what rounding may add to a sum of tokens


def block_cost(block: Block) -> Cost:
    """The output tokens of one block: those of what its deltas carry, and what a call costs beside its input."""
    if isinstance(block, Text):
        return Cost(tokens.count(block.text))
    if isinstance(block, Thinking):
        return Cost(tokens.count(block.thinking))
    if isinstance(block, ToolUse):
        return Cost(tokens.count(block.json()), block.call_tokens)
    return Cost(tokens.count(block.content or "")) if isinstance(block, Compaction) else Cost()


def total_cost(content: Sequence[Block]) -> Cost:
    """The output tokens of a whole reply."""
    return sum((block_cost(block) for block in content), Cost())


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left, and why it ends there."""

    content: tuple[Block, ...]
    stop_reason: str
    stop_sequence: str | None = None


def cut(content: Sequence[Block], max_tokens: float, stop_sequences: Sequence[str], factor: float = 1.0) -> Cut | None:
    """What is left of `content`, or None when the request leaves it whole.

    The length is cut first; a stop sequence counts only if it was complete before that. `factor`: tokens of the model
    per estimated one.
    """
    short = _to_length(content, max_tokens, factor)
    stopped = _at_sequence(content if short is None else short, stop_sequences)
    if stopped is not None:
        return stopped
    return None if short is None else Cut(short, "max_tokens")


def _to_length(content: Sequence[Block], most: float, factor: float) -> tuple[Block, ...] | None:
    """The blocks that fit in so many tokens of the model, the last one perhaps in part; None when all fit.

    A call whose fixed part does not fit is not begun. Of a text that comes first one token is left at least.
    """
    kept: list[Block] = []
    left = most
    for at, block in enumerate(content, 1):
        cost = block_cost(block)
        need = cost.fixed + cost.text * factor
        if need > left + _NOTHING:
            room = int((left - cost.fixed) / factor + _NOTHING)
            if not cost.fixed and not room and left == most and most > 0:
                room = 1
            if room >= cost.text and left >= cost.fixed:  # that one token was all of it
                return None if at == len(content) else (*kept, block)
            begun = room > 0 or (cost.fixed and left >= cost.fixed)
            return (*kept, _shortened(block, room)) if begun else tuple(kept)
        kept.append(block)
        left -= need
    return None


def _shortened(block: Block, left: int) -> Block:
    if isinstance(block, Text):
        return replace(block, text=_head(block.text, left))
    if isinstance(block, Thinking):
        return replace(block, thinking=_head(block.thinking, left), signature=None)
    if isinstance(block, Compaction):
        return replace(block, content=_head(block.content or "", left))
    assert isinstance(block, ToolUse)
    names = ("name", "input", "id", "caller", "eager")
    fields: dict[str, Any] = {name: getattr(block, name) for name in names}
    text = _head(block.json(), left)
    if isinstance(block, McpToolUse):
        return CutMcpToolUse(**fields, server_name=block.server_name, text=text)
    return (CutServerToolUse if isinstance(block, ServerToolUse) else CutToolUse)(**fields, text=text)


def _head(text: str, left: int) -> str:
    return "".join(tokens.split(text)[:left])


def _at_sequence(content: Sequence[Block], sequences: Sequence[str]) -> Cut | None:
    """The content up to the first stop sequence in its text; thinking and tool input are not searched."""
    for index, block in enumerate(content):
        if not isinstance(block, Text):
            continue
        found = first_sequence(block.text, sequences)
        if found is not None:
            at, sequence = found
            rest = (replace(block, text=block.text[:at]),) if at else ()
            return Cut((*content[:index], *rest), "stop_sequence", sequence)
    return None


def first_sequence(text: str, sequences: Sequence[str]) -> tuple[int, str] | None:
    """Where the first sequence to be complete begins, and which it is; of two that end together, the longer."""
    found = [(at + len(sequence), at, sequence) for sequence in sequences if (at := text.find(sequence)) >= 0]
    if not found:
        return None
    _, at, sequence = min(found)
    return at, sequence

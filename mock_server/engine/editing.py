"""Context editing: what the edits of `context_management` take out of a prompt. docs/protocol.md B.2 and C.1."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mock_server.protocol.profile import Model
from mock_server.protocol.prompt import block_cost, current_turn
from mock_server.protocol.request import MessagesRequest, blocks
from mock_server.protocol.tokens import TokenCounter

KEEP, TRIGGER = 3, 100_000
_THOUGHTS = ("thinking", "redacted_thinking")


class _Prompt(NamedTuple):
    """A request as its edits look at it; `tokens`: what it costs before any."""

    request: MessagesRequest
    model: Model
    tokens: int
    counter: TokenCounter

    def cost(self, block: Mapping[str, Any], *, is_current: bool = True) -> int:
        return block_cost(block, self.model, self.counter, is_current=is_current).on(self.model)


Edits = tuple[Mapping[str, Any], ...]


def applied_edits(request: MessagesRequest, model: Model, tokens: int, counter: TokenCounter) -> Edits:
    """The edits whose triggers are reached, each with what it took out; `tokens`: the prompt as it came."""
    return tuple(_applied(_Prompt(request.merged, model, tokens, counter)))


def after(edits: Edits, tokens: int) -> int:
    """What is left of a prompt of so many tokens."""
    return max(1, tokens - sum(edit["cleared_input_tokens"] for edit in edits)) if edits else tokens


def _applied(prompt: "_Prompt") -> Iterator[dict[str, Any]]:
    edits = (prompt.request.body["context_management"] or {}).get("edits")
    for edit in edits if isinstance(edits, list) else ():
        apply = _EDITS.get(str(edit.get("type"))) if isinstance(edit, Mapping) else None
        found = apply(edit, prompt) if apply is not None else None
        if found is not None:
            yield {"type": edit["type"], **found}


def _value(edit: Mapping[str, Any], name: str, default: int) -> int:
    given = edit.get(name)
    value = given.get("value") if isinstance(given, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _clear_tool_uses(edit: Mapping[str, Any], prompt: _Prompt) -> dict[str, int] | None:
    """Results of all tools but the newest few go once the prompt is long enough."""
    named = edit.get("exclude_tools")
    kept = [str(name) for name in named] if isinstance(named, list) else []
    results = [cost for name, cost in _results(prompt) if name not in kept]
    trigger = edit.get("trigger")
    counts_calls = isinstance(trigger, Mapping) and trigger.get("type") == "tool_uses"
    reached = len(results) if counts_calls else prompt.tokens
    cleared = results[: max(0, len(results) - _value(edit, "keep", KEEP))]
    if reached <= _value(edit, "trigger", TRIGGER) or not cleared or sum(cleared) < _value(edit, "clear_at_least", 0):
        return None
    return {"cleared_tool_uses": len(cleared), "cleared_input_tokens": sum(cleared)}


def _results(prompt: _Prompt) -> Iterator[tuple[str, int]]:
    """Each tool result of the conversation: the name of its tool, and what it costs."""
    names: dict[str, str] = {}
    for message in prompt.request.messages:
        for block in blocks(message["content"]):
            if block["type"] == "tool_use":
                names[block["id"]] = block["name"]
            elif block["type"] == "tool_result":
                yield names.get(block["tool_use_id"], ""), prompt.cost(block)


def _clear_thinking(edit: Mapping[str, Any], prompt: _Prompt) -> dict[str, int] | None:
    """Thoughts of all turns but the newest few go; `keep: all` keeps them. Of turns that are over they cost nothing."""
    keep = edit.get("keep")
    if keep == "all" or (isinstance(keep, Mapping) and keep.get("type") == "all"):
        return None
    now = current_turn(prompt.request)
    turns = [
        sum(prompt.cost(block, is_current=at >= now) for block in thoughts)
        for at, message in enumerate(prompt.request.messages)
        if (thoughts := [one for one in blocks(message["content"]) if one["type"] in _THOUGHTS])
    ]
    cleared = turns[: max(0, len(turns) - _value(edit, "keep", 1))]
    return {"cleared_thinking_turns": len(cleared), "cleared_input_tokens": sum(cleared)} if cleared else None


_EDITS = {"clear_tool_uses_20250919": _clear_tool_uses, "clear_thinking_20251015": _clear_thinking}

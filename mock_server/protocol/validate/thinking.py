"""Rules about thinking blocks that come back: where they stand in an assistant message."""

from collections.abc import Mapping, Sequence
from typing import Any

from mock_server.protocol.errors import invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.validate.models import INTERLEAVED, is_continuation, is_thinking, model_of

_THOUGHTS = ("thinking", "redacted_thinking")
_DOCS = "https://platform.claude.com/docs/en/build-with-claude/extended-thinking"


def thinking_blocks(request: MessagesRequest, profile: Profile) -> None:
    """A thought comes first in its message (rule 109) and never last (rule 114); then the newest (108 and 115)."""
    mode = request.thinking.get("type")
    if mode != "enabled" and request.kinds.isdisjoint(_THOUGHTS):
        return
    newest = None
    manual = request.thinking.get("type") == "enabled" and not request.has_beta(INTERLEAVED)
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
    if manual and first not in _THOUGHTS and any(block["type"] in _THOUGHTS for block in content):
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
    if blocks[0]["type"] not in _THOUGHTS:
        raise invalid(
            f"messages.{newest}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{blocks[0]['type']}`. When `thinking` is enabled, a final `assistant` message must start with a "
            "thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). We recommend you "
            "include thinking blocks from previous turns. To avoid this requirement, disable `thinking`. Please "
            f"consult our documentation at {_DOCS}"
        )


def _no_thinking(message: Mapping[str, Any], index: int) -> None:
    """Rule 115: where thinking is off, the assistant's message at the end has no thought in it."""
    content = message["content"]
    for at, block in enumerate(content if not isinstance(content, str) else ()):
        if block["type"] in _THOUGHTS:
            raise invalid(
                f"messages.{index}.content.{at}: When thinking is disabled, an `assistant` message in the final "
                f"position cannot contain `{block['type']}`. To use thinking blocks, enable `thinking` in your request."
            )

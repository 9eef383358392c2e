"""Rules about content of ours that comes back. Only what carries our mark is judged; the rest is taken as it is."""

from collections.abc import Mapping
from typing import Any

from mock_server.protocol import marks
from mock_server.protocol.blocks import is_server_tool
from mock_server.protocol.errors import invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest


def signatures(request: MessagesRequest, profile: Profile) -> None:
    """Rules 110, 111 and 96: a signature of ours stands for one text, `encrypted_content` for one result."""
    newest = max((at for at, message in enumerate(request.messages) if message["role"] == "assistant"), default=-1)
    for index, message in enumerate(request.messages):
        if message["role"] != "assistant" or isinstance(message["content"], str):
            continue
        for at, block in enumerate(message["content"]):
            path = f"messages.{index}.content.{at}"
            if block["type"] == "compaction":
                _compaction(block, path)
            elif block["type"] == "thinking":
                _thinking(block, path, is_newest=index == newest)
            elif block["type"] == "web_search_tool_result" and isinstance(block["content"], list):
                _results(block["content"], path)


def _thinking(block: Mapping[str, Any], path: str, *, is_newest: bool) -> None:
    # A client that was sent no text (display omitted) has none to send back: the signature alone counts then.
    if not block["thinking"] or marks.signed("thinking", block["thinking"], block["signature"]) is not False:
        return
    if is_newest:
        raise invalid(
            f"{path}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
            "These blocks must remain as they were in the original response."
        )
    raise invalid(f"{path}: Invalid `signature` in `thinking` block")


def _compaction(block: Mapping[str, Any], path: str) -> None:
    if marks.signed("compaction", str(block.get("content")), block.get("signature")) is False:
        raise invalid(
            f"{path}.compaction: Invalid `signature` in `compaction` block",
            details={"error_code": "compaction_signature_invalid"},
        )


def result_said(result: Mapping[str, Any]) -> str:
    """What the mark in `encrypted_content` covers."""
    return f"{result.get('url')} {result.get('title')}"


def _results(results: list[Any], path: str) -> None:
    for number, result in enumerate(results):
        if not isinstance(result, dict):
            continue
        if marks.signed("web_search_result", result_said(result), result.get("encrypted_content")) is False:
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
    minted = marks.read(block["id"])
    if minted is None:
        return
    changed = []
    if not minted.named(block["name"]):
        changed.append("name")
    elif not minted.given(block["name"], block["input"]):
        changed.append("input")
    if changed:
        raise invalid(
            f"{path}: `{block['type']}` block `{block['id']}` cannot be modified: its `{changed[0]}` differs from the "
            "original response. The content of a paused turn must be sent back unchanged."
        )

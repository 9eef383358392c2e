"""A conversation that was recorded -> the scenario that would have had the assistant's part in it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mock_server.protocol.blocks import BLOCKS, is_server_tool
from mock_server.scenario.dump import block_of, stub


class NoTranscript(ValueError):
    """What was given is no conversation; one line says why."""


def scenario_of(said: Any, name: str) -> dict[str, Any]:
    """The scenario as plain data. Raises NoTranscript.

    `said`: a list of messages; a request body with `messages`; or an entry of the journal, whose reply comes last.
    """
    messages = _messages(said)
    human = next((one for one in messages if one["role"] == "user"), None)
    replies = list(_replies(messages))
    if human is None or not replies:
        raise NoTranscript("a transcript needs a user's message and an assistant's after it")
    prompt = " ".join(_texts(human["content"])).strip()
    made = stub(prompt)
    when: dict[str, Any] = dict(made.get("when", {}))
    tools = list(dict.fromkeys(name for content, _ in replies for name in _called(content)))
    if tools:
        when["tools"] = tools if len(tools) > 1 else tools[0]
    turns = [_turn(content, ending) for content, ending in replies]
    described = {"description": f"Imported: {len(turns)} turn{'s' * (len(turns) > 1)}."}
    head = {"name": _name(name), **described, **({"when": when} if when else {})}
    return {**head, "turns": turns} if len(turns) > 1 or len(turns[0]) > 1 else {**head, **turns[0]}


def _name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "imported"


def _messages(said: Any) -> list[Mapping[str, Any]]:
    """The messages of whatever was given, with the reply to them last."""
    reply: Any = None
    if isinstance(said, Mapping) and isinstance(said.get("request"), Mapping):
        reply = (said.get("reply") or {}).get("body")
        said = said["request"].get("body")
    listed = said.get("messages") if isinstance(said, Mapping) else said
    if not isinstance(listed, list) or not listed:
        raise NoTranscript("expected a list of messages, or an object with `messages`")
    for at, message in enumerate(listed):
        _judge(at, message)
    if isinstance(reply, Mapping) and reply.get("role") == "assistant":
        listed = [*listed, {**reply, "content": reply.get("content", [])}]
    return [one for one in listed if one["role"] != "system"]


def _judge(at: int, message: Any) -> None:
    if not isinstance(message, Mapping) or message.get("role") not in ("user", "assistant", "system"):
        raise NoTranscript(f"message {at + 1}: expected an object with role user or assistant")
    content = message.get("content")
    if not isinstance(content, str | list):
        raise NoTranscript(f"message {at + 1}: expected content, a text or a list of blocks")
    for block in content if isinstance(content, list) else ():
        if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
            raise NoTranscript(f"message {at + 1}: every block needs a type")


def _replies(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[list[Any], str | None]]:
    """The content of every assistant message and the stop reason, where it has one of its own."""
    for at, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        content = message["content"]
        listed = [{"type": "text", "text": content}] if isinstance(content, str) else content
        last = messages[at + 1] if at + 1 < len(messages) else None
        paused = last is not None and last["role"] == "assistant" and any(is_server_tool(one["type"]) for one in listed)
        yield list(listed), "pause_turn" if paused else message.get("stop_reason")


def _turn(content: Sequence[Mapping[str, Any]], ending: str | None) -> dict[str, Any]:
    unknown = next((one["type"] for one in content if one["type"] not in BLOCKS), None)
    if unknown is not None:
        raise NoTranscript(f"a block of type '{unknown}' cannot stand in a reply")
    blocks = [block_of(one) for one in content]
    turn: dict[str, Any] = {"reply": blocks[0] if len(blocks) == 1 and isinstance(blocks[0], str) else blocks}
    calls = any(one["type"] == "tool_use" for one in content)
    natural = "tool_use" if calls else "end_turn"
    return turn if ending in (None, natural) else {**turn, "stop_reason": ending}


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [str(one.get("text", "")) for one in content if one["type"] == "text"]


def _called(content: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from (str(one.get("name")) for one in content if one["type"] == "tool_use")

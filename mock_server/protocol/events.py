"""A message -> the events of its stream, message_start to message_stop. Order and shapes: docs/protocol.md D.2."""

from collections.abc import Iterator
from typing import Any

from mock_server.protocol.blocks import Text, Thinking
from mock_server.protocol.chunk import Chunk
from mock_server.protocol.message import Message
from mock_server.records import dataclass

PING: dict[str, Any] = {"type": "ping"}


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `tokens` above 0 makes it a step in time; the others come together with the step before them."""

    payload: dict[str, Any]
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Silence:
    """A step in time that sends nothing: tokens that are held back, or shown to nobody."""

    tokens: int


def events(message: Message, chunk: Chunk | None = None, *, in_pieces: bool = True) -> Iterator[Event]:
    """The whole stream, without what is silent."""
    return (step for step in steps(message, chunk, in_pieces=in_pieces) if isinstance(step, Event))


def steps(message: Message, chunk: Chunk | None = None, *, in_pieces: bool = True) -> Iterator[Event | Silence]:
    """The whole stream. One ping comes after the first content_block_start, or after message_start if there is none.

    `chunk`: how texts are split; None: as the API does it. Not `in_pieces`, each text and thought comes at once: for
    those who only want what the stream folds to. The input of a call always comes as it does: of one that was cut short
    only what was sent is told.
    """
    yield Event(_message_start(message))
    if not message.content:
        yield Event(PING)
    for index, block in enumerate(message.content):
        yield Event({"type": "content_block_start", "index": index, "content_block": block.start()})
        if index == 0:
            yield Event(PING)
        for delta, tokens in block.deltas(chunk if in_pieces or not isinstance(block, Text | Thinking) else "all"):
            if delta is None:
                yield Silence(tokens)
            else:
                yield Event({"type": "content_block_delta", "index": index, "delta": delta}, tokens)
        yield Event({"type": "content_block_stop", "index": index})
    yield Event(_message_delta(message))
    yield Event({"type": "message_stop"})


def _message_start(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": message.id,
        "type": "message",
        "role": "assistant",
        "model": message.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
    if message.complete:
        body["stop_details"] = None
    body |= message.extras.message
    return {"type": "message_start", "message": {**body, "usage": dict(message.usage_at_start)}}


def _message_delta(message: Message) -> dict[str, Any]:
    delta: dict[str, Any] = {"stop_reason": message.stop_reason, "stop_sequence": message.stop_sequence}
    if message.complete or message.stop_details is not None:
        delta["stop_details"] = None if message.stop_details is None else dict(message.stop_details)
    delta |= message.extras.delta
    return {"type": "message_delta", "delta": delta, "usage": dict(message.usage_at_end), **message.extras.beside}

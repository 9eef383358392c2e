"""The message: what the model says, and `fold`, the only builder of the reply that is not a stream."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mock_server.protocol import partial
from mock_server.protocol.blocks import Block
from mock_server.protocol.usage import merged


@dataclass(frozen=True, slots=True)
class Message:
    """Everything the events of one reply are made from. The two usages are those of message_start and message_delta."""

    id: str
    model: str
    content: tuple[Block, ...]
    stop_reason: str
    stop_sequence: str | None
    stop_details: Mapping[str, Any] | None
    usage_at_start: Mapping[str, Any]
    usage_at_end: Mapping[str, Any]
    complete: bool = False


def fold(payloads: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The message that a stream of event payloads tells, as the SDKs' accumulators read it."""
    message: dict[str, Any] = {}
    for payload in payloads:
        match payload["type"]:
            case "message_start":
                message = {**payload["message"], "content": []}
            case "content_block_start":
                message["content"].append(_Open(payload["content_block"]))
            case "content_block_delta":
                message["content"][payload["index"]].add(payload["delta"])
            case "message_delta":
                message |= payload["delta"]
                message["usage"] = merged(message["usage"], payload["usage"])
    message["content"] = [block.close() for block in message["content"]]
    return message


# delta type -> the field of the block it adds to, and the field of the delta that holds the addition
_ADDS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class _Open:
    """A block that is still being filled."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self._block = dict(start)
        self._pieces: dict[str, list[str]] = {}

    def add(self, delta: Mapping[str, Any]) -> None:
        kind = delta["type"]
        if kind in _ADDS:
            self._pieces.setdefault(_ADDS[kind], []).append(delta[_ADDS[kind]])
        elif kind == "input_json_delta":
            self._pieces.setdefault("input", []).append(delta["partial_json"])
        elif kind == "citations_delta":
            self._block["citations"] = [*self._block["citations"], delta["citation"]]

    def close(self) -> dict[str, Any]:
        for field, pieces in self._pieces.items():
            text = "".join(pieces)
            self._block[field] = partial.loads(text or "{}") if field == "input" else text
        return self._block

"""The message: what the model says, and `fold`, the only builder of the reply that is not a stream."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from mock_server.protocol import partial
from mock_server.protocol.blocks import Block
from mock_server.protocol.plan import Payload, Plan
from mock_server.protocol.sse import dumps
from mock_server.protocol.usage import merged
from mock_server.records import dataclass


@dataclass(frozen=True, slots=True)
class Extras:
    """What only some replies carry: in the message, at its end, beside it, and in its usage.

    `iterates`: the usage lists the samplings of the reply; `advisor`: the model that gives advice between them.
    `for_program`: the container is there for a program of the reply alone.
    """

    message: Mapping[str, Any] = field(default_factory=dict)
    delta: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    iterates: bool = False
    advisor: str | None = None
    for_program: bool = False


NONE = Extras()
# what most requests for edits of the context get
UNEDITED: Mapping[str, Any] = {"context_management": {"applied_edits": []}}


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
    extras: Extras = NONE


# what stands beside the delta in message_delta (docs/protocol.md C.1, beta)
_BESIDE = ("context_management", "input_transformations")


def fold(payloads: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The message that the event payloads of a stream add up to, as the SDKs' accumulators read it."""
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
                message |= {name: payload[name] for name in _BESIDE if name in payload}
    message["content"] = [block.close() for block in message["content"]]
    return message


def said(plan: Plan) -> Payload | None:
    """The message that a plan sends, or what else its JSON body says; None where only the bytes of that are kept.

    It may be shared: nobody may change it.
    """
    payloads = [payload for payload in plan.payloads if payload is not None]
    return fold(payloads) if plan.stream else payloads[0] if payloads else None


def plain(value: Any) -> Any:
    """A value as it comes back out of JSON, and of which nothing is shared."""
    if isinstance(value, Mapping):
        return {name if isinstance(name, str) else dumps(name): plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


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
        elif kind == "compaction_delta":
            self._block |= {name: value for name, value in delta.items() if name != "type"}
        elif kind == "citations_delta":
            self._block["citations"] = [*(self._block.get("citations") or ()), delta["citation"]]

    def close(self) -> dict[str, Any]:
        for name, pieces in self._pieces.items():
            text = "".join(pieces)
            self._block[name] = partial.loads(text or "{}") if name == "input" else text
        return self._block

"""The legacy `POST /v1/complete`: its prompt as a request for a message, and the message's reply as a completion.

Shapes: docs/protocol.md F.5; SDKs before 1.0 have it. What a message says beside text is left out of a completion.
"""

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mock_server.protocol.errors import invalid
from mock_server.protocol.plan import Part, Plan
from mock_server.protocol.sse import PING_FRAME, dumps, encode, frame
from mock_server.protocol.sse import parse as parse_events

PATH = "/v1/complete"
HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
_TURN = re.compile("\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}
# parameters that mean the same in a request for a message
_SAME = ("model", "stream", "metadata")


def as_message(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the request for a message that says the same. Raises ApiError (400) for a prompt without turns.

    What stands before the first turn is the system prompt; text after the last `Assistant:` is a prefill.
    """
    system, *turns = _TURN.split(body["prompt"])
    said = [{"role": _ROLES[role], "content": text.strip()} for role, text in zip(turns[::2], turns[1::2], strict=True)]
    if not said or said[0]["role"] != "user":
        raise invalid(f"prompt must start with {json.dumps(HUMAN)} turn after an optional system prompt")
    if said[-1]["role"] != "assistant":
        raise invalid(f"prompt must end with {json.dumps(ASSISTANT)} turn")
    if not said[-1]["content"]:
        said.pop()
    return {
        **{name: body[name] for name in _SAME if name in body},
        "max_tokens": body["max_tokens_to_sample"],
        "messages": said,
        "stop_sequences": [*(body.get("stop_sequences") or ()), HUMAN],
        **({"system": system.strip()} if system.strip() else {}),
    }


def as_completion(plan: Plan) -> Plan:
    """The reply with a message, as a reply with a completion: the same times. An error stays as it is."""
    if plan.whole.status != 200:
        return plan
    told = plan._replace(parts=tuple(_streamed(plan.parts)) if plan.stream else _whole(plan.parts))
    return told if plan.intact is None else told._replace(intact=as_completion(plan.intact))


def fold(payloads: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The completion that the events of its stream add up to."""
    told = [payload for payload in payloads if payload["type"] == "completion"]
    return {**told[-1], "completion": "".join(one["completion"] for one in told)} if told else {}


def _completion(message: Mapping[str, Any], text: str, ending: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "type": "completion",
        "id": "compl_" + str(message["id"]).removeprefix("msg_"),
        "completion": text,
        "stop_reason": None if ending is None else _stop_reason(ending),
        "stop": None if ending is None else _stop(ending),
        "model": message["model"],
    }


def _stop_reason(ending: Mapping[str, Any]) -> str:
    """Only two are there: a reply that ends by itself has come to the next `Human:`."""
    return "max_tokens" if ending["stop_reason"] == "max_tokens" else "stop_sequence"


def _stop(ending: Mapping[str, Any]) -> str | None:
    return None if ending["stop_reason"] == "max_tokens" else ending.get("stop_sequence") or HUMAN


def _whole(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    try:
        message = json.loads(b"".join(frame for part in parts for frame in part.frames))
        text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
    except (ValueError, KeyError, TypeError):  # a fault has spoilt it
        return parts
    body = encode(dumps(_completion(message, text, message)))
    return (*parts[:-1], parts[-1]._replace(frames=(body,), at=array("I", parts[-1].at[-1:])))


def _streamed(parts: Iterable[Part]) -> Iterator[Part]:
    message: dict[str, Any] = {"id": "", "model": ""}
    for part in parts:
        told = [(new, at) for old, at in zip(part.frames, part.at, strict=True) for new in _events(old, message)]
        if not part.frames:  # it only waits
            yield part
            continue
        frames, times = zip(*(told or [(PING_FRAME, part.at[-1])]), strict=True)
        yield part._replace(frames=frames, at=array("I", times))


def _events(old: bytes, message: dict[str, Any]) -> Iterator[bytes]:
    """What one frame of a message's stream becomes; `message` keeps what `message_start` said."""
    try:
        (payload,) = parse_events(old)
        kind = payload["type"]
    except (ValueError, KeyError, TypeError):  # a fault has spoilt it
        yield old
        return
    if kind == "message_start":
        message.update(payload["message"])
    elif kind == "content_block_delta" and payload["delta"]["type"] == "text_delta":
        yield frame(_completion(message, payload["delta"]["text"], None))
    elif kind == "message_delta":
        yield frame(_completion(message, "", payload["delta"]))
    elif kind in ("ping", "error"):
        yield old

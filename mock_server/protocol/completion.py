"""The legacy `POST /v1/complete`: its rules, its prompt as a request for a message, the message's reply as a
completion.

Shapes: docs/protocol.md F.5; SDKs before 1.0 have it. What a message says beside text is left out of a completion.
"""

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from mock_server.protocol.errors import invalid
from mock_server.protocol.message import PING
from mock_server.protocol.plan import Part, Payload, Payloads, Plan
from mock_server.protocol.profile import Profile
from mock_server.protocol.rules.checks import Check, boolean, dictionary, integer, items, nullable, number, string
from mock_server.protocol.rules.parameters import allow_only, check_fields, require
from mock_server.protocol.sse import PING_FRAME, dumps, encode, frame
from mock_server.protocol.sse import parse as parse_events

PATH = "/v1/complete"
HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
_TURN = re.compile("\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}
# parameters that mean the same in a request for a message
_SAME = ("model", "stream", "metadata")


def as_message(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the same request, for a message. Raises ApiError (400) for a prompt without turns.

    What stands before the first turn is the system prompt; text after the last `Assistant:` is a prefill.
    """
    system, *turns = _TURN.split(body["prompt"])
    pairs = zip(turns[::2], turns[1::2], strict=True)
    messages = [{"role": _ROLES[role], "content": text.strip()} for role, text in pairs]
    if not messages or messages[0]["role"] != "user":
        raise invalid(f"prompt must start with {json.dumps(HUMAN)} turn after an optional system prompt")
    if messages[-1]["role"] != "assistant":
        raise invalid(f"prompt must end with {json.dumps(ASSISTANT)} turn")
    if not messages[-1]["content"]:
        messages.pop()
    return {
        **{name: body[name] for name in _SAME if name in body},
        "max_tokens": body["max_tokens_to_sample"],
        "messages": messages,
        "stop_sequences": [*(body.get("stop_sequences") or ()), HUMAN],
        **({"system": system.strip()} if system.strip() else {}),
    }


def as_completion(plan: Plan) -> Plan:
    """The reply with a message, as a reply with a completion: the same times. An error stays as it is."""
    if plan.whole.status != 200:
        return plan
    converted = plan._replace(parts=tuple(_streamed(plan.parts)) if plan.stream else _whole(plan.parts), tokens=None)
    return converted if plan.intact is None else converted._replace(intact=as_completion(plan.intact))


def fold(payloads: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The completion that the events of its stream add up to."""
    completions = [payload for payload in payloads if payload["type"] == "completion"]
    return {**completions[-1], "completion": "".join(one["completion"] for one in completions)} if completions else {}


def _completion(message: Mapping[str, Any], text: str, ending: Mapping[str, Any] | None) -> dict[str, Any]:
    """One completion. There are two reasons to stop only: a reply that ends by itself has come to the next `Human:`."""
    reason = stop = None
    if ending is not None:
        is_cut = ending["stop_reason"] == "max_tokens"
        reason, stop = ("max_tokens", None) if is_cut else ("stop_sequence", ending.get("stop_sequence") or HUMAN)
    return {
        "type": "completion",
        "id": "compl_" + str(message["id"]).removeprefix("msg_"),
        "completion": text,
        "stop_reason": reason,
        "stop": stop,
        "model": message["model"],
    }


def _whole(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    message = _message(parts)
    if message is None:
        return parts
    try:
        text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
        completion = _completion(message, text, message)
    except (KeyError, TypeError):  # an edit left what no completion can be made of
        return parts
    body = encode(dumps(completion))
    at = array("I", parts[-1].at[-1:])
    return (*parts[:-1], parts[-1]._replace(frames=(body,), at=at, source=(completion,), joined=None))


def _message(parts: tuple[Part, ...]) -> Payload | None:
    """The message in a JSON body, perhaps in pieces; None where a fault has spoilt it."""
    payloads = [payload for part in parts for payload in part.payloads]
    if len(payloads) == 1 and payloads[0] is not None:
        message: Any = payloads[0]
    else:
        try:
            message = json.loads(b"".join(frame for part in parts for frame in part.frames))
        except ValueError:
            return None
    return message if isinstance(message, Mapping) and isinstance(message.get("content"), list) else None


def _streamed(parts: Iterable[Part]) -> Iterator[Part]:
    message: dict[str, Any] = {"id": "", "model": ""}
    for part in parts:
        if not part.frames:  # it only waits
            yield part
            continue
        converted = _completions(part, message) or [(PING_FRAME, PING, part.at[-1])]
        at = array("I", [due for _, _, due in converted])
        yield Part(tuple([data for data, _, _ in converted]), at, part.wait, partial(_payloads, part, message))


def _payloads(part: Part, message: dict[str, Any], frames: tuple[bytes, ...]) -> Payloads:
    """The payloads of a completion's events, worked out again for whoever looks: they are many times their bytes."""
    return tuple([payload for _, payload, _ in _completions(part, message)] or [PING])


def _heard(frame: bytes) -> Payload | None:
    """The payload of a frame that a fault has been at, if it still is one event."""
    try:
        (payload,) = parse_events(frame)
    except ValueError:
        return None
    return payload if isinstance(payload, dict) and "type" in payload else None


def _completions(part: Part, message: dict[str, Any]) -> list[tuple[bytes, Payload | None, int]]:
    """What the frames of a message's stream become: bytes, payloads and times. One that a fault has spoilt stays.

    `message` is filled from `message_start`.
    """
    converted: list[tuple[bytes, Payload | None, int]] = []
    for old, known, at in zip(part.frames, part.payloads, part.at, strict=True):
        payload = _heard(old) if known is None else known
        kind = None if payload is None else payload["type"]
        completion: Payload | None = None
        try:
            if payload is None or kind in ("ping", "error"):
                converted.append((old, known, at))
            elif kind == "message_start":
                message.update(payload["message"])
            elif kind == "content_block_delta" and payload["delta"]["type"] == "text_delta":
                completion = _completion(message, payload["delta"]["text"], None)
            elif kind == "message_delta":
                completion = _completion(message, "", payload["delta"])
        except (KeyError, TypeError, ValueError):  # an edit left what no completion can be made of
            converted.append((old, known, at))
        if completion is not None:
            converted.append((frame(completion), completion, at))
    return converted


# The rules of the legacy `POST /v1/complete`, as far as they are not those of the message it becomes.

PARAMETERS: Mapping[str, Check] = {
    "model": string,
    "prompt": string,
    "max_tokens_to_sample": integer(1),
    "stop_sequences": nullable(items(string)),
    "stream": nullable(boolean),
    "metadata": nullable(dictionary),
    "temperature": nullable(number(0, 1)),
    "top_p": nullable(number(0, 1)),
    "top_k": nullable(integer(0)),
}


def validate(body: Mapping[str, Any], profile: Profile) -> None:
    """Raise the ApiError of the first thing that is wrong with the parameters."""
    require(body, "model", "prompt", "max_tokens_to_sample")
    check_fields(body, PARAMETERS)
    if profile.is_strict:
        allow_only(body, PARAMETERS)

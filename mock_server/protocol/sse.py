"""Server-sent events: payload <-> frame bytes. The framing is that of docs/protocol.md D.1.

Clients of the official SDKs drop events without an `event:` line; others read `data:` alone. So both are always there.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from json.encoder import c_make_encoder, encode_basestring, encode_basestring_ascii  # type: ignore[attr-defined]
from typing import Any

# json.dumps would make a new encoder for every value
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_SPACED = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def writes(encoder: json.JSONEncoder) -> Callable[[object], str]:
    """What an encoder writes of a value that was read from JSON, in less than half the time: the part of it that is C
    is made once, and not for each value. Whether a value holds itself is not looked for.
    """
    if c_make_encoder is None:
        return encoder.encode
    string = encode_basestring_ascii if encoder.ensure_ascii else encode_basestring
    separators = encoder.key_separator, encoder.item_separator
    write = c_make_encoder(
        None, encoder.default, string, None, *separators, encoder.sort_keys, encoder.skipkeys, encoder.allow_nan
    )
    return lambda value: "".join(write(value, 0))


dumps_read = writes(_ENCODER)
"""`dumps` of what was read from JSON."""

_DELTA = 'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%s","%s":%s}}\n\n'


def dumps(value: object) -> str:
    """Compact JSON, the way the API writes it: no spaces, no escapes for letters outside ASCII.

    Raises ValueError for NaN and infinity: they are no JSON, and whatever is read refuses them.
    """
    return _ENCODER.encode(value)


_PIECE, _ITEMS = 1 << 16, 1 << 10
_SMALL = frozenset((int, float, bool, type(None)))


def dumps_in_steps(value: object) -> str:
    """The same for something long, in steps that let other threads run."""
    parts: list[str] = []
    try:
        put_json(value, parts.append)
    except RecursionError:
        return dumps(value)
    return "".join(parts)


def put_json(
    value: object,
    put: Callable[[str], object],
    write: Callable[[object], str] = dumps,
    quote: Callable[[str], str] = encode_basestring,
    members: Callable[[dict[str, Any]], Iterable[tuple[str, Any]]] = dict.items,
) -> None:
    """Hand over the JSON of something long, piece by piece. `write`: a short value; `quote`: a text; `members`: what is
    to be written of an object, in order.
    """
    if isinstance(value, str) and len(value) > _PIECE:
        put('"')
        for at in range(0, len(value), _PIECE):
            put(quote(value[at : at + _PIECE])[1:-1])
        put('"')
    elif isinstance(value, dict) and value:
        mark = "{"
        for name, item in members(value):
            if len(name) <= _PIECE:
                put(f"{mark}{write(name)}:")
            else:
                put(mark)
                put_json(name, put, write, quote, members)
                put(":")
            put_json(item, put, write, quote, members)
            mark = ","
        put("}" if mark == "," else "{}")
    elif isinstance(value, list | tuple) and value:
        mark = "["
        for at in range(0, len(value), _ITEMS):
            items = value[at : at + _ITEMS]
            if _SMALL.issuperset(map(type, items)):
                put(mark)
                put(write(items)[1:-1])
                mark = ","
                continue
            for item in items:
                put(mark)
                put_json(item, put, write, quote, members)
                mark = ","
        put("]")
    else:
        put(write(value))


def spaced(value: object) -> str:
    """JSON the way a model writes the input of a call, and a stream carries it: `": "` and `", "`."""
    return _SPACED.encode(value)


def encode(text: str) -> bytes:
    """UTF-8; a lone surrogate becomes its JSON escape, since JSON in gave it and JSON out must hold it."""
    return text.encode("utf-8", "backslashreplace")


def frame(payload: Mapping[str, Any]) -> bytes:
    """The bytes of one event. `payload["type"]` is its name."""
    delta = payload.get("delta")
    if type(delta) is dict and len(delta) == 2 and len(payload) == 3 and payload["type"] == "content_block_delta":
        (key, kind), (name, text) = delta.items()
        index = payload.get("index")
        if key == "type" and isinstance(kind, str) and isinstance(text, str) and type(index) is int:
            # most events of a stream: the same bytes for a third of the time
            return encode(_DELTA % (index, kind, name, encode_basestring(text)))
    return encode(f"event: {payload['type']}\ndata: {dumps(payload)}\n\n")


PING_FRAME = frame({"type": "ping"})
KEEPALIVE_FRAME = b": keepalive\n\n"  # a comment, as proxies and gateways send it: no event for any client


def read_json(body: bytes) -> dict[str, Any] | None:
    """The JSON object of a body that faults may have been at; None when it is none any more."""
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def readable_payload(frame: bytes) -> dict[str, Any]:
    """The payload of one frame; what is no event becomes a payload of type `(bytes)` with its text."""
    found = list(heard(frame))
    return found[0] if len(found) == 1 else {"type": "(bytes)", "text": frame.decode("utf-8", "replace")}


def heard(stream: bytes) -> Iterator[dict[str, Any]]:
    """The payloads that can be read of a stream that may be broken anywhere; data that is no JSON is `(broken)`. An
    event that the API does not have may be named by its `event:` line alone: that is its type then."""
    for block in re.split(r"\n\n|\r\r|\r\n\r\n", stream.decode("utf-8", "replace")):
        fields = [line.partition(":") for line in re.split(r"\r\n|\n|\r", block)]
        data = [value.removeprefix(" ") for name, _, value in fields if name == "data"]
        if data:
            names = [value.removeprefix(" ") for name, _, value in fields if name == "event"]
            yield _payload("\n".join(data), names[-1] if names else "")


_BLOCK_EVENTS = ("content_block_start", "content_block_delta", "content_block_stop")
_EVENTS = frozenset(("message_start", *_BLOCK_EVENTS, "message_delta", "message_stop", "ping", "error"))


def _payload(data: str, event: str) -> dict[str, Any]:
    try:
        payload = json.loads(data)
    except ValueError:
        payload = None
    if isinstance(payload, dict) and "type" in payload:
        return payload
    if isinstance(payload, dict) and event and event not in _EVENTS:
        return {"type": event, **payload}
    return {"type": "(broken)", "data": data}


def parse(stream: bytes) -> Iterator[dict[str, Any]]:
    """The payloads of a whole stream, in order; comments, `id:` and `retry:` lines are passed over."""
    for block in stream.decode("utf-8").replace("\r\n", "\n").split("\n\n"):
        data = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if data:
            yield json.loads("\n".join(data))

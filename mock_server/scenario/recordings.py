"""Files in which people keep recorded calls -> the exchanges with the Messages API that are in them.

JSON: a list of messages, the body of a request, a reply, `{request, response}` or a list of them, an entry of the
journal, lines of JSON, HAR, betamax, nock, results of a batch. YAML: cassettes of vcrpy, go-vcr, PHP-VCR and of VCR for
Ruby and R. Server-sent events as they came, with or without the head of the response. All are known by their content.
Only requests that hold `messages` and got a message or an error count; what else was recorded is left out and named.
"""

import binascii
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, NamedTuple

from mock_server.protocol.blocks import BLOCKS
from mock_server.protocol.json_schema import depth
from mock_server.protocol.message import fold
from mock_server.protocol.sse import heard
from mock_server.records import dataclass
from mock_server.scenario.load import documents, place_in
from mock_server.scenario.node import MOST_DEPTH, Node, Problems

MAX_BYTES = 64_000_000
MOST_EXCHANGES = 2_000
EXPECTED = (
    "expected recorded calls of the Messages API: a JSON list of messages, a request with its response or a list of"
    " them, a reply, an entry of the journal, HAR, a cassette (vcrpy, go-vcr, VCR), or server-sent events"
)


class NoTranscript(ValueError):
    """The file holds no conversation; one line says why."""


@dataclass(frozen=True)
class RecordedCall:
    """One call: the body and the headers (in lower case) of the request, and what came back.

    `body` None: only the reply was kept. `reply` None: only the conversation was. `where`: its place in the file.
    """

    body: Mapping[str, Any] | None
    reply: Mapping[str, Any] | None
    where: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    response_headers: Mapping[str, str] = field(default_factory=dict)  # the headers of the response


class Recording(NamedTuple):
    """The exchanges of a file, in order, and a line for each thing that was left out. `value`: its JSON, if any."""

    exchanges: tuple[RecordedCall, ...]
    notes: tuple[str, ...]
    value: Any = None


class _Skipped(Exception):
    """Why an exchange is none of ours."""


# -- files ----------------------------------------------------------------------------------------------------------


def read(data: bytes) -> Recording:
    """The exchanges in a file. Raises NoTranscript, whose text begins with line and column where these are known."""
    if len(data) > MAX_BYTES:
        raise NoTranscript(f"{len(data):,} bytes; a recording has {MAX_BYTES:,} at most")
    if data[:2] == _GZIP:
        try:
            data = _inflated(data, 31, MAX_BYTES)
        except _Skipped as error:
            raise NoTranscript(str(error)) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = place_in(data, error.start)
        raise NoTranscript(f"{line}:{column}: not UTF-8 text; {EXPECTED}") from None
    head = _HEAD.match(text)
    text = text if head is None else text[head.end() :]
    if not text.strip():
        raise NoTranscript(f"nothing is in it; {EXPECTED}")
    if _STREAM.match(text):
        return _recording(_streams(text))
    if text.lstrip()[0] in "[{":
        value = _json(text)
        return _recording(_calls_in(value))._replace(value=value)
    return _recording(_cassette(text))


def _recording(found: Iterator[tuple[Any, str]]) -> Recording:
    exchanges: list[RecordedCall] = []
    left: dict[str, list[str]] = {}
    reading = _Reading()
    for item, where in found:
        try:
            exchanges.append(reading.exchange(item, where))
        except _Skipped as why:
            left.setdefault(str(why), []).append(where)
        if len(exchanges) > MOST_EXCHANGES:
            raise NoTranscript(f"more than {MOST_EXCHANGES:,} exchanges; split the file")
    notes = [f"left out{_places(places)}: {why}" for why, places in left.items()]
    if not exchanges:
        raise NoTranscript(f"{'; '.join(notes)}; {EXPECTED}" if notes else EXPECTED)
    return Recording(tuple(exchanges), tuple(notes))


def _places(places: Sequence[str]) -> str:
    named = [place for place in places if place]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    return f" {', '.join(named[:5])}{more}" if named else ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return _lines(text)
        raise NoTranscript(f"{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise NoTranscript("nested too deeply") from None


def _lines(text: str) -> list[Any]:
    """One JSON value a line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise NoTranscript(f"{number}:1: neither one JSON value nor one a line: {error}") from None
    return found


def _cassette(text: str) -> Iterator[tuple[Any, str]]:
    """The interactions in YAML."""
    problems = Problems("")
    try:
        found = list(documents(text, problems, foreign=True))
    except ValueError as error:  # what is no number after all
        raise NoTranscript(f"not YAML: {error}") from None
    if problems.found:
        first = problems.found[0]
        place = "" if first.position is None else f"{first.position.line}:{first.position.column}: "
        raise NoTranscript(f"{place}{first.text}; {EXPECTED}")
    for document in found:
        yield from _interactions(document)


def _interactions(document: Node) -> Iterator[tuple[Any, str]]:
    listed = document
    if isinstance(document.value, dict):
        listed = next((document.value[key] for key in _LISTS if key in document.value), document)
    items = listed.value if isinstance(listed.value, list) else []
    if items and all(isinstance(item.value, dict) and "role" not in item.value for item in items):
        for item in items:
            yield item.plain(), f"line {item.position.line}" if item.position else ""
        return
    if not isinstance(listed.value, dict | list):
        line = 1 if document.position is None else document.position.line
        raise NoTranscript(f"{line}:1: {EXPECTED}")
    yield from _calls_in(document.plain())


# the key under which a file keeps the list of its exchanges
_LISTS = ("interactions", "http_interactions")


def _calls_in(value: Any) -> Iterator[tuple[Any, str]]:
    """Each exchange in a JSON value, with its place."""
    if isinstance(value, Mapping):
        log = value.get("log")
        listed = log.get("entries") if isinstance(log, Mapping) else None
        listed = listed or next((value[key] for key in _LISTS if isinstance(value.get(key), list)), None)
        if not isinstance(listed, list):
            yield value, ""
            return
        value = listed
    if not isinstance(value, list) or not value:
        raise NoTranscript(f"expected a list of messages, or an object with `messages`; {EXPECTED}")
    if all(isinstance(one, Mapping) for one in value) and value[0].get("type") == "message_start":
        yield value, ""
        return
    if any(isinstance(one, Mapping) and one.get("role") in ("user", "system") for one in value) or not any(
        isinstance(one, list) or (isinstance(one, Mapping) and _KEYS & one.keys()) for one in value
    ):
        yield {"messages": value}, ""
        return
    for at, one in enumerate(value, 1):
        yield ({"messages": one} if isinstance(one, list) else one), f"entry {at}"


# what an exchange, a request or a reply has at least one of
_KEYS = {"request", "response", "reply", "messages", "type", "result", "body"}


# -- one exchange ---------------------------------------------------------------------------------------------------


class _Reading:
    """Reads the exchanges of one file; what is packed in it may unfold to so many bytes and no more."""

    def __init__(self) -> None:
        self._left = MAX_BYTES

    def exchange(self, item: Any, where: str) -> RecordedCall:
        """Raises _Skipped."""
        if isinstance(item, list):  # the events of a stream
            item = _folded(item)
        if isinstance(item, Mapping) and isinstance(item.get("result"), Mapping) and "custom_id" in item:
            item = item["result"].get("message") or item["result"].get("error") or {}  # a line of a batch's results
        if not isinstance(item, Mapping):
            raise _Skipped("no object")
        if _is_reply(item):
            return RecordedCall(None, _judged(item), where)
        for body in (item, item.get("params")):
            if isinstance(body, Mapping) and isinstance(body.get("messages"), list):
                return _conversation(body, where)
        request, response = item.get("request"), item.get("response", item.get("reply"))
        if request is None and "path" in item and "body" in item:  # nock keeps them flat
            request = {"body": item["body"], "headers": item.get("reqheaders")}
            response = {"body": response, "status": item.get("status"), "headers": item.get("rawHeaders")}
        if not isinstance(request, Mapping):
            raise _Skipped("no request with a response")
        headers = _headers(request.get("headers"))
        body = self._body(request, headers)
        if not isinstance(body, Mapping) or not isinstance(body.get("messages"), list):
            raise _Skipped("the request holds no messages")
        response_headers = _headers(response.get("headers")) if isinstance(response, Mapping) else {}
        reply = self._body(response, response_headers)
        if reply is None and "response" not in item:
            return replace(_conversation(body, where), headers=headers)
        if not _is_reply(reply):
            raise _Skipped("the response is neither a message nor an error of the Messages API")
        if depth([body, reply], MOST_DEPTH) > MOST_DEPTH:  # or it would hang on the Python whether recursion ends
            raise _Skipped(f"nested more than {MOST_DEPTH} levels deep")
        _judge(body["messages"])
        return RecordedCall(body, _judged(reply), where, headers, _status(response), response_headers)

    def _body(self, part: Any, headers: Mapping[str, str]) -> Any:
        """The body of a request or a response as JSON; a stream as the message it adds up to."""
        if isinstance(part, Mapping) and not _is_reply(part) and "messages" not in part:
            part = next((part[key] for key in _BODIES if key in part), None)
        return self._decoded(part, headers)

    def _decoded(self, raw: Any, headers: Mapping[str, str]) -> Any:
        if isinstance(raw, Mapping):
            for key in ("string", "base64_string", "text"):
                if isinstance(raw.get(key), str | bytes) and not _is_reply(raw):
                    packed = key == "base64_string" or (raw.get("encoding") == "base64" and isinstance(raw[key], str))
                    return self._decoded(_of_base64(raw[key]) if packed else raw[key], headers)
            return raw
        if isinstance(raw, list):
            if raw and all(isinstance(one, Mapping) and "type" in one for one in raw):
                return _folded(raw)
            if raw and all(isinstance(one, str) for one in raw):  # pieces; of what is no text nock keeps hex digits
                whole = "".join(raw)
                is_hex = re.fullmatch(r"(?:[0-9a-f]{2})+", whole) is not None
                return self._decoded(bytes.fromhex(whole) if is_hex else whole, headers)
        if isinstance(raw, bytes):
            raw = self._unpacked(raw, headers.get("content-encoding", ""))
        if not isinstance(raw, str) or raw in ("", "~"):
            return None
        if _STREAM.match(raw):
            return _folded(heard(raw.encode("utf-8", "replace")))
        try:
            return json.loads(raw.removeprefix("\ufeff"))
        except (ValueError, RecursionError):
            raise _Skipped("a body is neither JSON nor server-sent events") from None

    def _unpacked(self, data: bytes, encoding: str) -> str:
        if data[:2] == _GZIP:
            data = _inflated(data, 31, self._left)
        elif encoding == "deflate":
            data = _inflated(data, 15, self._left)
        self._left -= len(data)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            how = f"compressed with {encoding}; record it decoded" if encoding in ("br", "zstd") else "not UTF-8 text"
            raise _Skipped(f"a body is {how}") from None


_GZIP = b"\x1f\x8b"
# the keys under which a body may stand in a request or a response
_BODIES = ("body", "postData", "content", "parsed_body", "json")


def _inflated(data: bytes, bits: int, most: int) -> bytes:
    unpacker = zlib.decompressobj(bits)
    try:
        found = unpacker.decompress(data, max(0, most) + 1)
    except zlib.error as error:
        raise _Skipped(f"a body that cannot be unpacked: {error}") from None
    if len(found) > most:
        raise NoTranscript(f"unpacked it has more than {MAX_BYTES:,} bytes")
    return found


def _of_base64(text: str | bytes) -> bytes:
    try:
        return binascii.a2b_base64(text)
    except ValueError:
        raise _Skipped("a body is not the base64 that it is said to be") from None


def _headers(headers: Any) -> dict[str, str]:
    """Headers by name in lower case, from any of the ways they are kept."""
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(headers, Mapping):
        pairs = headers.items()
    elif isinstance(headers, list) and all(isinstance(one, Mapping) for one in headers):  # HAR
        pairs = [(one.get("name"), one.get("value")) for one in headers]
    elif isinstance(headers, list):  # nock: name, value, name, value
        pairs = zip(headers[::2], headers[1::2], strict=False)
    return {
        str(name).lower(): ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in pairs
    }


def _status(response: Any) -> int:
    """The HTTP status of a response; 200 where it has none."""
    status = response.get("status", response.get("code")) if isinstance(response, Mapping) else None
    if isinstance(status, Mapping):
        status = status.get("code", status.get("status_code"))
    found = re.match(r"\d{3}", str(status))
    return int(found[0]) if found else 200


# -- streams --------------------------------------------------------------------------------------------------------

_HEAD = re.compile(r"HTTP/[\d.]+ \d+[^\n]*\n(?:[^\r\n]+\r?\n)*\r?\n")
_STREAM = re.compile(r"\s*(?::[^\n]*\n\s*)*(?:event|data|id|retry):")
_EVENTS = ("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta")


def _streams(text: str) -> Iterator[tuple[Any, str]]:
    """The reply that each stream in a text adds up to; a stream begins with its message_start."""
    groups: list[list[Mapping[str, Any]]] = []
    for payload in heard(text.encode("utf-8", "replace")):
        if payload["type"] == "message_start" or not groups:
            groups.append([])
        groups[-1].append(payload)
    for number, group in enumerate(groups, 1):
        yield group, f"stream {number}"


def _folded(payloads: Iterable[Any]) -> Any:
    """The message, or the error, that the events of a stream add up to. Raises _Skipped."""
    events: list[Mapping[str, Any]] = []
    is_over = False
    for payload in payloads:
        kind = payload.get("type")
        if kind == "(broken)" and payload["data"].strip() != "[DONE]":
            raise _Skipped("its stream holds data that is no JSON")
        if kind == "error":
            if events:
                raise _Skipped("its stream broke off with an error event")
            return payload
        if kind in _EVENTS:
            events.append(_with_usage(payload))
        is_over = is_over or kind == "message_stop"
    if not events or events[0]["type"] != "message_start" or not is_over:
        raise _Skipped("its stream is not whole, from message_start to message_stop")
    try:
        return fold(events)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _Skipped(f"its stream cannot be put together: {type(error).__name__} {error}") from None


def _with_usage(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """A counter that message_delta has as null keeps the value of message_start, as the SDKs have it."""
    if payload["type"] != "message_delta":
        return payload
    usage = payload.get("usage")
    counters = {name: value for name, value in usage.items() if value is not None} if isinstance(usage, Mapping) else {}
    return {**payload, "usage": counters}


# -- what a conversation and a reply need ---------------------------------------------------------------------------


def _conversation(body: Mapping[str, Any], where: str) -> RecordedCall:
    """A conversation without the reply to it; one that ends with the assistant brings its own."""
    messages = body["messages"]
    _judge(messages)
    if not messages or messages[-1]["role"] != "assistant":
        return RecordedCall(body, None, where)
    content = messages[-1]["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    reply = _judged({**messages[-1], "content": blocks})
    if len(messages) == 1:  # nobody kept what it replies to
        return RecordedCall(None, reply, where)
    return RecordedCall({**body, "messages": messages[:-1]}, reply, where)


def _judge(messages: Sequence[Any]) -> None:
    """Raises _Skipped for what is no list of messages."""
    if not messages:
        raise _Skipped("expected a list of messages, or an object with `messages`")
    for at, message in enumerate(messages, 1):
        if not isinstance(message, Mapping) or message.get("role") not in ("user", "assistant", "system"):
            raise _Skipped(f"message {at}: expected an object with role user or assistant")
        content = message.get("content")
        if not isinstance(content, str | list):
            raise _Skipped(f"message {at}: expected content, a text or a list of blocks")
        for block in content if isinstance(content, list) else ():
            if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
                raise _Skipped(f"message {at}: every block needs a type")
        if message["role"] == "assistant" and isinstance(content, list):
            _judge_blocks(content)


def _judge_blocks(content: Sequence[Any]) -> None:
    for block in content:
        kind = block.get("type") if isinstance(block, Mapping) else type(block).__name__
        if not isinstance(kind, str):
            raise _Skipped("a block of a reply without a type")
        if kind not in BLOCKS:
            raise _Skipped(f"a block of type '{kind}' cannot stand in a reply")
        if kind == "text" and not isinstance(block.get("text"), str):
            raise _Skipped("a text block without text")


def _is_reply(value: Any) -> bool:
    """Whether it is a message of the assistant or an error envelope."""
    if not isinstance(value, Mapping):
        return False
    if value.get("type") == "error":
        return isinstance(value.get("error"), Mapping) and isinstance(value["error"].get("type"), str)
    return (value.get("type") == "message" or value.get("role") == "assistant") and isinstance(
        value.get("content"), list
    )


def _judged(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    if reply.get("type") != "error":
        _judge_blocks(reply["content"])
    return reply

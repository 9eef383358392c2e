"""Body bytes -> MessagesRequest: a thin view over the JSON. Nothing is judged here; `rules` does that."""

import codecs
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from json.decoder import WHITESPACE, JSONArray, JSONObject, scanstring  # type: ignore[attr-defined]
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple, Protocol, TypeVar

from mock_server.protocol.errors import invalid
from mock_server.protocol.sse import put_json, writes
from mock_server.records import lazy, quick

# A form with a file as plain data: what a `multipart/form-data` request says, however its bytes are kept.


class Content(Protocol):
    """The bytes of a file, wherever they are."""

    @property
    def size(self) -> int: ...
    def read(self, most: int = -1) -> bytes:
        """The first `most` bytes; all of them when it is negative."""

    def discard(self) -> None:
        """Nobody will read them any more."""


class InMemory:
    """Bytes that are held."""

    __slots__ = ("_data", "size")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, most: int = -1) -> bytes:
        return self._data if most < 0 else self._data[:most]

    def discard(self) -> None:
        self._data = b""


class Upload(NamedTuple):
    """The part `file` of a form: the name and the type it was sent under, if any, and the bytes."""

    filename: str | None
    mime_type: str | None
    content: Content


class MultipartForm(NamedTuple):
    """The fields of a form by name, and its file if it has one."""

    fields: Mapping[str, str]
    file: Upload | None = None


# The request.

Block = Mapping[str, Any]
# the types of blocks that are thoughts
THOUGHTS = ("thinking", "redacted_thinking")
_S = TypeVar("_S")
CACHE_MARK = b'"cache_control"'  # what stands in every body that marks anything for the prompt cache
# headers whose values are shown to nobody
SECRET_HEADERS = frozenset(("x-api-key", "authorization", "proxy-authorization", "cookie"))


class HttpRequest(NamedTuple):
    """What came over the wire. `path` and `query` are still quoted; `headers` is looked up in lower case; `session` is
    what `/s/NAME` said, `prefix` all that stood before the path of the endpoint. A form has no body of its own: what
    stands in `body` tells of it.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    session: str | None = None
    query: str = ""
    prefix: str = ""
    form: MultipartForm | None = None


class Client(NamedTuple):
    """What the headers of a request say of its client.

    `key`: the API key: what x-api-key has, else the bearer token. `session`: what x-mock-session names. `betas`,
    `version`: the headers as they are, which rules ask for. `ours`: the names that begin as headers of this server do.
    `is_plain`: none of them asks for more than a reply, as betas, a page in a browser and `x-mock-fault` do.
    """

    key: str
    session: str | None
    betas: str | None
    version: str | None
    ours: tuple[str, ...]
    is_plain: bool


OUR_HEADERS = "x-mock-"
FAULT_HEADER = "x-mock-fault"


def client_of(headers: Mapping[str, str]) -> Client:
    """What these headers say; worked out before where they are shared."""
    if type(headers) is SharedHeaders:
        return headers.client
    key = headers.get("x-api-key", "").strip() or _bearer(headers.get("authorization", ""))
    ours = tuple([name for name in map(str.lower, headers) if name.startswith(OUR_HEADERS)])
    betas, version = headers.get("anthropic-beta"), headers.get("anthropic-version")
    session = (headers.get("x-mock-session") or None) if ours else None
    is_plain = betas is None and "origin" not in headers and FAULT_HEADER not in ours
    return Client(key, session, betas, version, ours, is_plain)


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


class SharedHeaders(dict[str, str]):
    """The headers, by their lower-case names, of all requests that have the very same head. Nobody changes them."""

    __slots__ = ("client",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self.client = client_of(headers)


def legible(value: str) -> str:
    """The text of a header as it can be told on. Bytes that are no UTF-8, which came as lone surrogates, are Latin-1,
    as they were when HTTP began (RFC 9110, 5.5).
    """
    if value.isascii():
        return value
    sent = value.encode("utf-8", "surrogateescape")
    try:
        return sent.decode()
    except UnicodeDecodeError:
        return sent.decode("latin-1")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not allowed in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _Infinite(digits)
    return number


class _Infinite(ValueError):
    """A number that becomes infinity when it is read."""


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
# C reads JSON in one go, and lets nothing else run meanwhile: only what takes a few milliseconds is read so
_AT_ONCE = 8 << 20  # bytes
_VALUES_AT_ONCE = 50_000
_SHORT_TEXT = 256 << 10  # letters, that are read at once whatever they say: in steps that takes ten times as long
MOST_VALUES = 1_000_000  # of one body: Python needs 100 bytes or more for each. [INF] what the API says to so many


SCAN: Callable[[str, int], tuple[Any, int]] = _DECODER.scan_once  # type: ignore[attr-defined]
"""Reads the value that begins somewhere in a text, and where it ends. Raises StopIteration where none begins."""


class _Names(dict[str, str]):
    """The names of objects, one text for all that are equal; of the first thousands of names only."""

    def setdefault(self, name: str, default: str = "") -> str:
        return super().setdefault(name, default) if len(self) < 10_000 else self.get(name, default)


class _InSteps:
    """Reads JSON as the decoder of the standard library does, value by value, so that others have their turn."""

    def __init__(self) -> None:
        self._values = 0
        self._names = _Names()

    def decode(self, text: str) -> Any:
        """The value of all of `text`. Raises JSONDecodeError, RecursionError, and ValueError for too many values."""
        try:
            value, end = self._scan(text, WHITESPACE.match(text, 0).end())
        except StopIteration as stop:
            raise json.JSONDecodeError("Expecting value", text, stop.value) from None
        end = WHITESPACE.match(text, end).end()
        if end != len(text):
            raise json.JSONDecodeError("Extra data", text, end)
        return value

    def _scan(self, text: str, at: int) -> tuple[Any, int]:
        self._values += 1
        if self._values > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values")
        first = text[at : at + 1]
        found: tuple[Any, int]
        if first == '"':
            end = text.find('"', at + 1, at + _FIRST_PIECE)
            is_short = end >= 0 and text[end - 1] != "\\"
            found = scanstring(text, at + 1, True) if is_short else _string(text, at + 1)
        elif first == "{":
            found = JSONObject((text, at + 1), True, self._scan, None, None, self._names)
        elif first == "[":
            found = JSONArray((text, at + 1), self._scan)
        else:
            found = SCAN(text, at)
        return found


_FIRST_PIECE, _LARGEST_PIECE = 1 << 12, 1 << 19  # letters


def _string(text: str, at: int) -> tuple[str, int]:
    """The string that begins there, behind its quote, and where it ends. Piece by piece: of one with millions of
    escapes C would make a list of as many texts first, and let nothing else run meanwhile.
    """
    begin, size, parts = at, _FIRST_PIECE, list[str]()
    while True:
        end = _before_escape(text, at, at + size)
        piece = text[at:end] if end >= len(text) else text[at:end] + '"'
        try:
            part, length = scanstring(piece, 0, True)
        except json.JSONDecodeError as error:
            place = begin - 1 if error.pos < 0 else at + error.pos
            raise json.JSONDecodeError(error.msg, text, place) from None
        if at + length <= end:  # its own quote, not the one that was added
            return ("".join([*parts, part]) if parts else part), at + length
        parts.append(part)
        at, size = end, min(2 * size, _LARGEST_PIECE)


def _before_escape(text: str, start: int, end: int) -> int:
    """`end`, or where the escape begins that it would cut through, or that may belong with one behind it."""
    if end >= len(text):
        return len(text)
    at = text.rfind("\\", end - _LONGEST, end)
    if at < 0 or _backslashes(text, start, at) % 2 == 0:
        return end
    if _LOW_HALF(text, at) and _HIGH_HALF(text, at - 6) and _backslashes(text, start, at - 6) % 2:
        return at - 6
    return at


def _backslashes(text: str, start: int, at: int) -> int:
    """How many stand in a row up to and with this one."""
    before = text[start : at + 1]
    return len(before) - len(before.rstrip("\\"))


_LOW_HALF = re.compile(r"\\u[dD][c-fC-F]").match
_HIGH_HALF = re.compile(r"\\u[dD][89abAB]").match


def _decoded(text: str) -> Any:
    if len(text) <= _SHORT_TEXT:
        return _DECODER.decode(text)
    is_small = len(text) <= _AT_ONCE and text.count(",") + text.count("{") + text.count("[") <= _VALUES_AT_ONCE
    return _DECODER.decode(text) if is_small else _InSteps().decode(text)


_NUMBER_OR_QUOTE = re.compile(r'"|[-+.0-9eE]{5,}')  # shorter ones are not infinite
_SHORT_STRINGS = re.compile(r'(?:[^"\d]{0,99}"[^"\\]{0,99}"){0,1000}')  # with what stands before each, but numbers
_ANY_HALF = re.compile(r"\\u[dD][89a-fA-F]").search  # four times as fast as `in`
_HALF = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<low>\\u)|)"
    r"|(?P<high>\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u|(?:\\[^u]){1,1000}"
)
_PIECE = 1 << 20  # characters that are searched at once
_LONGEST = 12  # characters of two halves


def strict_json(text: str) -> Any:
    """The value of a JSON text that every client could read: no NaN, no infinity, no half of a character.

    Raises ValueError, whose text ends with the place. Numbers and halves of characters are refused in the words of
    orjson, which the API reads with [INF: rule 7].
    """
    try:
        value = _decoded(text)
    except json.JSONDecodeError as error:
        raise _misread(error.msg, text, error.pos) from None
    except _Infinite as error:
        raise _misread("number is infinity when parsed as double", text, _place_of(str(error), text)) from None
    except RecursionError:
        raise _misread("nested too deeply", text, 0) from None
    except ValueError as error:
        raise _misread(str(error), text, 0) from None
    check_halves(text)
    return value


def _has_halves(text: str) -> bool:
    return any(_ANY_HALF(text, at, at + _PIECE + _LONGEST) for at in range(0, len(text), _PIECE))


def _place_of(digits: str, text: str) -> int:
    """Where a number stands first in a JSON text, outside of strings."""
    at = 0
    while (found := _NUMBER_OR_QUOTE.search(text, at)) is not None and found[0] != digits:
        at = _string(text, found.end())[1] if found[0] == '"' else found.end()
        at = _SHORT_STRINGS.match(text, at).end()  # type: ignore[union-attr]
    return 0 if found is None else found.start()


def check_halves(text: str) -> None:
    """Raise ValueError unless every `\\ud83d` is followed by its `\\ude00`, and none of these comes first."""
    if "\\" not in text or not (_ANY_HALF(text) if len(text) <= _PIECE else _has_halves(text)):
        return
    for found in _halves(text):
        if found["high"]:
            raise _misread("invalid high surrogate in string", text, found.start())
        if found["low"]:
            raise _misread("invalid low surrogate in string", text, found.start())
        if found[0][1] == "u" and len(found[0]) == 6:
            raise _misread("no low surrogate in string", text, found.start())


def _halves(text: str) -> Iterator[re.Match[str]]:
    """What `_HALF` finds, one after another, searched for piece by piece: C would not stop for others."""
    at = 0
    while at < len(text):
        end = min(len(text), at + _PIECE)
        found = _HALF.search(text, at, end)
        if found is None:
            at = end if end == len(text) else end - 1  # the last may be the beginning of an escape
        elif found.end() > end - _LONGEST and end < len(text) and found.start() > at:
            at = found.start()  # it may go on behind the end
        else:
            yield found
            at = found.end()


def _misread(why: str, text: str, at: int) -> ValueError:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return ValueError(f"{why}: line {line} column {column} (char {at})")


def parse_json(body: bytes) -> Any:
    """The JSON value of a request body; a 400 in the API's wording (rule 7) when it is none."""
    try:
        return strict_json(body.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        reason = f"invalid UTF-8: line 1 column {error.start + 1} (char {error.start})"
    except ValueError as error:
        reason = str(error)
    raise invalid(f"The request body is not valid JSON: {reason}")


def parse(body: bytes, headers: Mapping[str, str] | None = None) -> "MessagesRequest":
    """The request a body holds. Raises ApiError (400) when it is not a JSON object."""
    value = parse_json(body)
    if not isinstance(value, dict):
        raise invalid("Input should be a valid dictionary or object to extract fields from")
    return MessagesRequest(value, headers or {}, body)


_NO_HEADERS: Mapping[str, str] = {}
_SORTED = writes(json.JSONEncoder(sort_keys=True, separators=(",", ":")))
SHORT = 4 << 10  # bytes of a body; to look through so many takes no longer than to remember what was found
LONG = 256 << 10  # bytes of a body; what takes long is done in steps, so that others have their turn


class Known:
    """What is known of a request, since the rest of its body, or the beginning of its conversation too, came before.

    `kept`: the rest, `story`: the conversation. `steady`: what was worked out of all but the messages. `shared`: how
    many messages came before, and passed every rule there was; `scanned`, `had`: what was worked out of those then, and
    which texts were in their bytes (which may be those of a longer conversation). `ends`: where each message ends, if
    that is worth keeping. `start` and `stop`: the bytes of the messages that are new.
    """

    story: Any = None
    shared = 0
    scanned: Mapping[Any, Any] = {}
    had: Mapping[bytes, bool] = {}
    ends: Sequence[int] = ()

    def __init__(self, kept: Any, steady: dict[Any, Any], start: int, stop: int) -> None:
        self.kept = kept
        self.steady = steady
        self.start = start
        self.stop = stop

    def may_have(self, text: bytes, raw: bytes) -> bool:
        """Whether `text` is in the bytes of a request; no text that is asked for is half in one part of it."""
        rest = self.steady.get(text)
        if rest is None:
            rest = self.steady[text] = text in self.kept.head or text in self.kept.tail
        if rest or text in raw[self.start : self.stop]:
            return True
        return bool(self.shared) and self.had.get(text, True) and text in raw[len(self.kept.head) : self.start]


class Ignored(NamedTuple):
    """A field of a request that no Messages API has: where it stands, and the fields that are known there."""

    path: str
    known: frozenset[str]

    @property
    def kind(self) -> str:
        """What it goes by wherever it stands."""
        return _NUMBER.sub(".", self.path)


_NUMBER = re.compile(r"\.\d+\.")


class MessagesRequest:
    """One `POST /v1/messages`. Properties assume a validated body; `body` is the JSON itself, never changed.

    `raw`: the bytes it was read from, where they are known. `ignored`: what of it is passed over, once it was judged.
    `is_resumed`: it has what its thread holds. `files`: the ids of those whose content it has, where they were looked
    up ahead.
    """

    known: "Known | None" = None
    ignored: tuple[Ignored, ...] = ()
    is_resumed = False
    files: Sequence[str] | None = None

    def __init__(self, body: dict[str, Any], headers: Mapping[str, str] = _NO_HEADERS, raw: bytes = b"") -> None:
        self.body = body
        self.headers = headers
        self.raw = raw

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "MessagesRequest":
        """A request of which more is known than its body: all its fields by name, those of `__init__` among them."""
        request = cls.__new__(cls)
        request.__dict__ = fields
        return request

    def may_have(self, text: bytes) -> bool:
        """Whether `text` can be anywhere in it, so that nobody need look when it cannot."""
        if len(self.raw) < SHORT:
            return text in self.raw or not self.raw
        found = self.had.get(text)
        if found is None:
            known = self.known
            found = self.had[text] = text in self.raw if known is None else known.may_have(text, self.raw)
        return found

    @lazy
    def steady(self) -> dict[Any, Any]:
        """What was worked out of all but its messages; requests that differ in these alone share it."""
        return {} if self.known is None else self.known.steady

    @lazy
    def scanned(self) -> dict[Any, Any]:
        """What was worked out message by message, for a longer conversation to go on from."""
        return {}

    def before(self, name: Any) -> tuple[Any, int]:
        """What was worked out under this name for a conversation that begins as this one does, and how many messages
        the two share; None and 0 where nothing was.
        """
        known = self.known
        found = None if known is None or not known.shared else known.scanned.get(name)
        return (None, 0) if found is None or known is None else (found, known.shared)

    def scan(self, name: Any, first: _S, step: Callable[[_S, Any], _S]) -> list[_S]:
        """`first`, and what `step` makes of it with each message in turn: number n is what the first n messages come
        to.

        Each depends on the messages so far and on what stands in `steady`, so that what is known of a beginning is
        taken over. A conversation that goes on where another ended goes on with its list, too, so there may be more in
        it than the messages of one request: what all of these come to is `last`.
        """
        states: list[_S] | None = self.scanned.get(name)
        if states is None:
            messages = self.messages
            known, shared = self.before(name)
            states = [first] if known is None else known
            if shared < len(messages):
                state, new = states[shared], []
                for message in messages[shared:] if shared else messages:
                    state = step(state, message)
                    new.append(state)
                if len(states) > shared + 1:  # another one went on from there before
                    states = states[: shared + 1]
                states += new
            self.scanned[name] = states
        return states

    def last(self, name: Any, first: _S, step: Callable[[_S, Any], _S]) -> _S:
        """What `scan` comes to in the end."""
        return self.scan(name, first, step)[len(self.messages)]

    @property
    def outlines(self) -> "Sequence[MessagesOutline]":
        """What its messages are, one beside another: number n tells of the first n."""
        return self.scan("outline", _NO_MESSAGES, _outlined)

    @lazy
    def outline(self) -> "MessagesOutline":
        """What all of its messages are."""
        return self.outlines[len(self.messages)]

    @lazy
    def is_marked(self) -> bool:
        """Whether anything in it can be marked for the prompt cache."""
        return self.may_have(CACHE_MARK)

    @lazy
    def has_files(self) -> bool:
        """Whether it can name files."""
        return self.has_blocks and self.may_have(b'"file_id"')

    @lazy
    def had(self) -> dict[bytes, bool]:
        """What was looked for in the bytes, and whether it is there."""
        return {}

    @property
    def is_long(self) -> bool:
        """Whether it is so long that others should have their turn meanwhile."""
        return len(self.raw) >= LONG

    @property
    def version(self) -> str | None:
        """What `anthropic-version` says."""
        return self.headers.get("anthropic-version")

    @lazy
    def costs(self) -> dict[str, int]:
        """What is known of its tokens, by model."""
        return {}

    @lazy
    def prefixes(self) -> dict[str, Any]:
        """What is known of its steps for the prompt cache, by model."""
        return {}

    @lazy
    def betas(self) -> tuple[str, ...]:
        """What `anthropic-beta` lists."""
        return tuple(one.strip() for one in self.headers.get("anthropic-beta", "").split(",") if one.strip())

    def has_beta(self, *names: str) -> bool:
        """Whether a beta is asked for whose name begins with one of these."""
        return "anthropic-beta" in self.headers and any(beta.startswith(names) for beta in self.betas)

    @lazy
    def model(self) -> str:
        name: str = self.body["model"]
        return name

    @lazy
    def max_tokens(self) -> int:
        return int(self.body["max_tokens"])

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    @lazy
    def messages(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.body["messages"]
        return found

    @property
    def merged(self) -> "MessagesRequest":
        """The request as the API takes it: messages of one role in a row are one message. Itself, when none are."""
        return self if len(self.messages) == 1 else self._merged or self

    @lazy
    def _merged(self) -> "MessagesRequest | None":
        if self.outline.runs == len(self.messages):
            return None  # not the request itself: it would hold itself in memory
        messages = [_as_one(list(run)) for _, run in groupby(self.messages, key=lambda message: message["role"])]
        return MessagesRequest({**self.body, "messages": messages}, self.headers, self.raw)

    @property
    def thinking(self) -> Mapping[str, Any]:
        return self.body.get("thinking") or {}

    @property
    def effort(self) -> str | None:
        """What `output_config.effort` says."""
        return (self.body.get("output_config") or {}).get("effort")

    @property
    def format(self) -> Mapping[str, Any] | None:
        """The output format, by its newer or its older name."""
        config = self.body.get("output_config")
        return (config.get("format") if config else None) or self.body.get("output_format")

    @property
    def stop_sequences(self) -> Sequence[str]:
        return self.body.get("stop_sequences") or ()

    @lazy
    def tools(self) -> Sequence[Mapping[str, Any]]:
        return self.body.get("tools") or ()

    @property
    def tool_choice(self) -> Mapping[str, Any]:
        return self.body.get("tool_choice") or {}

    @lazy
    def question(self) -> Sequence[str] | None:
        """The texts of a body that was not judged yet, where one message of a user is all that is said: `texts_of`."""
        messages = self.body.get("messages")
        return texts_of(messages[0]) if type(messages) is list and len(messages) == 1 else None

    @lazy
    def has_blocks(self) -> bool:
        """Whether any message is more than a bare string, or blocks that are as good as one (`question`)."""
        if len(self.messages) == 1:
            return self.question is None and type(self.messages[0]["content"]) is not str
        return self.outline.has_blocks

    @property
    def kinds(self) -> frozenset[str]:
        """The types of all content blocks that are not bare strings, those inside tool results too."""
        return self.outline.kinds

    @property
    def has_system_messages(self) -> bool:
        """Whether a message is the system's."""
        if len(self.messages) == 1:
            return bool(self.messages[0]["role"] == "system")
        return self.outline.has_system

    @lazy
    def system(self) -> str:
        """The system prompt: the top-level one and the text of system messages, joined by newlines."""
        parts = [self.body.get("system")]
        if self.has_system_messages:
            parts += [message["content"] for message in self.messages if message["role"] == "system"]
        return "\n".join(text(blocks(part)) for part in parts if part)

    @lazy
    def tool_names(self) -> tuple[str, ...]:
        return tuple(str(tool.get("name") or tool.get("mcp_server_name") or tool.get("type")) for tool in self.tools)

    @lazy
    def fingerprint(self) -> bytes:
        """16 bytes that two requests share when messages, system, tools and model say the same.

        `stream` does not count: some clients fall back from a stream to JSON. Neither do cache marks and nulls.
        """
        if self.is_long:
            messages = [{"content": blocks(m["content"]), "role": m["role"]} for m in self.messages]
            return _DigestInSteps().of({"messages": messages, **{name: self.body.get(name) for name in _PRINTED}})
        if len(self.messages) == 1:
            digest = _printed(_PRINT, self.messages[0], b"")
        else:
            digest = self.last("print", None, _print) or _PRINT
        rest = self.steady.get("print")
        if rest is None:
            rest = ",".join([f'"{name}":{_written(self.body.get(name))}' for name in _PRINTED])
            rest = self.steady["print"] = f"],{rest}}}".encode()
        digest = digest.copy()
        digest.update(rest)
        return digest.digest()


# what is worked out of all but the messages
STEADY = ("betas", "max_tokens", "model", "steady", "tool_names", "tools")
_PRINTED = ("model", "system", "tools")
_PRINT = hashlib.blake2b(b'{"messages":[', digest_size=16)


def _printed(before: "hashlib.blake2b", message: Mapping[str, Any], mark: bytes) -> "hashlib.blake2b":
    digest = before.copy()
    written = _written({"content": blocks(message["content"]), "role": message["role"]})
    digest.update(mark + written.encode())
    return digest


def _print(before: "hashlib.blake2b | None", message: Mapping[str, Any]) -> "hashlib.blake2b | None":
    return _printed(_PRINT, message, b"") if before is None else _printed(before, message, b",")


_MESSAGE = frozenset(("role", "content"))


def texts_of(message: Any, mark: Any = None) -> Sequence[str] | None:
    """The texts of a user's message that is nothing but text, and none of it blank: a bare string, or blocks. None for
    any other, and where there is another field; but that blocks may carry this `mark` for the cache, if there is one.

    No rule has anything to say about such a message; tests hold it to that.
    """
    if type(message) is not dict or message.keys() != _MESSAGE or message["role"] != "user":
        return None
    content = message["content"]
    if type(content) is str:
        return (content,) if content and not content.isspace() else None
    if type(content) is not list or not content:
        return None
    texts = []
    for block in content:
        if type(block) is not dict or block.get("type") != "text" or type(text := block.get("text")) is not str:
            return None
        if len(block) > 2 and (mark is None or len(block) > 3 or block.get("cache_control") != mark):
            return None
        if not text or text.isspace():
            return None
        texts.append(text)
    return texts


class MessagesOutline(NamedTuple):
    """What some messages are, one beside another.

    So many of them (`length`), in `runs` of one role; the last of these has this `role` and begins at `run`. `turn`:
    where the turn begins that is under way: with the last message of a user that is more than tool results.
    `has_system`: one is the system's; `has_blocks`: one is more than a bare string; `kinds`: the types of their blocks,
    those inside tool results too; `names_toolset`: one of these says which toolset it is of.
    """

    length: int = 0
    role: str = ""
    runs: int = 0
    run: int = 0
    turn: int = 0
    has_system: bool = False
    has_blocks: bool = False
    kinds: frozenset[str] = frozenset()
    names_toolset: bool = False


_NO_MESSAGES = MessagesOutline()
_outline = quick(MessagesOutline)


def _outlined(before: MessagesOutline, message: Mapping[str, Any]) -> MessagesOutline:
    """The outline with one more message."""
    at, last, runs, run, turn, has_system, has_blocks, kinds, names_toolset = before
    role, content = message["role"], message["content"]
    if role != last:
        runs, run = runs + 1, at
        has_system = has_system or role == "system"
    is_more = True
    if type(content) is not str:
        has_blocks, is_more = True, False
        for block in content:
            kind = block["type"]
            if kind not in kinds:
                kinds = kinds | {kind}
            if kind != "tool_result":
                is_more = True
            elif type(inner := block.get("content")) is list:
                kinds = kinds.union([one["type"] for one in inner])
            if "toolset_name" in block:
                names_toolset = True
    if is_more and role == "user":
        turn = at
    return _outline((at + 1, role, runs, run, turn, has_system, has_blocks, kinds, names_toolset))


def blocks(content: Any) -> Sequence[Block]:
    """Message or system content as blocks: a bare string is one text block."""
    if isinstance(content, str):
        return ({"type": "text", "text": content},)
    return content or ()


def text(content: Sequence[Block]) -> str:
    """The text blocks, joined by newlines."""
    return "\n".join(block["text"] for block in content if block.get("type") == "text")


def result_text(block: Block) -> str:
    """The text inside one tool_result block."""
    return text(blocks(block.get("content")))


def _as_one(run: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Messages of one role as one: their blocks in order, a bare string as a text block; an empty one adds none."""
    if len(run) == 1:
        return run[0]
    return {**run[0], "content": [block for message in run for block in blocks(message["content"] or ())]}


def _written(value: Any) -> str:
    """What is said, as JSON. Most of it has nothing to leave out, which a look at the text tells."""
    if value is None:
        return "null"
    text = _SORTED(value)
    return _SORTED(_significant(value)) if "null" in text or '"cache_control"' in text else text


def _significant(value: Any) -> Any:
    """The value without nulls and cache marks."""
    if isinstance(value, dict):
        return {
            k: v if type(v) is str else _significant(v)
            for k, v in value.items()
            if v is not None and k != "cache_control"
        }
    if isinstance(value, list | tuple):
        return [item if type(item) is str else _significant(item) for item in value]
    return value


def _members(value: dict[str, Any]) -> list[tuple[str, Any]]:
    """The same of one object, sorted."""
    return sorted([(k, v) for k, v in value.items() if v is not None and k != "cache_control"], key=_name)


def _name(item: tuple[str, Any]) -> str:
    return item[0]


class _DigestInSteps:
    """The digest of what `_SORTED` would write of `_significant`, worked out piece by piece."""

    PIECE = 1 << 16

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)
        self._parts: list[str] = []
        self._held = 0

    def of(self, value: Mapping[str, Any]) -> bytes:
        mark = "{"
        for name, item in sorted(value.items(), key=_name):
            self._put(f'{mark}"{name}":')
            put_json(item, self._put, _SORTED, encode_basestring_ascii, _members)
            mark = ","
        self._put("}")
        self._flush()
        return self._digest.digest()

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._held += len(text)
        if self._held > self.PIECE:
            self._flush()

    def _flush(self) -> None:
        self._digest.update("".join(self._parts).encode())
        self._parts, self._held = [], 0

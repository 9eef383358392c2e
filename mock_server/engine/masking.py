"""Secrets: headers, parameters and parts of bodies that are not kept, and what stands for the others in whatever
leaves the process.

They are known by the name they go under (headers, parameters of a query) or by their shape (`sk-ant-…`, `Bearer …`)
anywhere in a text. To mask one more kind, add a row to `_SHAPES`, and to `_LITERALS` what it always begins with. What a
test holds in its hands is not masked.
"""

import functools
import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from mock_server.protocol.blocks import TEXT_DELTAS
from mock_server.protocol.request import SECRET_HEADERS, HttpRequest
from mock_server.protocol.sse import dumps_in_steps, encode


@functools.lru_cache(maxsize=128)  # a client sends the same again and again
def key_mark(key: str) -> str:
    """What stands for a key or another secret wherever one is kept: a short hash."""
    return "key-" + hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()


# -- by name -----------------------------------------------------------------------------------------------------------

_NAME = re.compile(
    r"(?:^|[-_.\[])(?:(?:access|account|api|auth|client|goog|private|secret|session|shared|signing|subscription)[-_]?key"
    r"|functions-key|assertion|auth|authorization|bearer|cookie|credentials?|jwt|passphrase|passwd|password|pwd|secret|sig"
    r"|signature|token)\]?$"
)


_LONGEST_END = 100  # letters of a name that tell what it is


def is_secret(name: str) -> bool:
    """Whether what goes under this name is secret: `x-goog-api-key`, `access_token`, `accessToken`, …"""
    return _ends_secret(name[-_LONGEST_END:])


@functools.lru_cache(maxsize=1024)
def _ends_secret(end: str) -> bool:
    return _NAME.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", end).lower()) is not None


def masked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as others may see them. Those of `SECRET_HEADERS` are marks since they were noted."""
    return {
        name: value if name in SECRET_HEADERS else key_mark(value) if is_secret(name) else masked(value)
        for name, value in headers.items()
    }


def changed_query(query: str, change: Callable[[str, str], str]) -> str:
    """A query with another text for each value; one that stays as it is keeps its spelling."""
    return "&".join([_parameter(part, change) for part in query.split("&")]) if query else query


def _parameter(part: str, change: Callable[[str, str], str]) -> str:
    name, equals, value = part.partition("=")
    decoded = unquote_plus(value)
    new = change(unquote_plus(name), decoded)
    return part if new == decoded else f"{name}{equals}{quote_plus(new, safe='[]')}"


def masked_query(query: str) -> str:
    """A query as others may see it."""
    return changed_query(
        query, lambda name, value: key_mark(value) if value and (name == "key" or is_secret(name)) else masked(value)
    )


# -- by shape ----------------------------------------------------------------------------------------------------------

_BETWEEN = r"(?:[\s\\]|(?<=\\)[nrt])+"  # a space, or what JSON and YAML make of the end of a line
_WORD = "[A-Za-z0-9._~+/-]"
# one of them is in every secret, so far behind its beginning
_LITERALS = {"sk-": 0, "AIza": 0, "eyJ": 0, "earer": 1, "authorization_token": 0}
_PIECE = 1 << 18  # characters that are looked through at once
_SHAPES = (  # what stands in the group is secret
    "(sk-(?:ant-[A-Za-z0-9_-]+|[A-Za-z0-9_-]{16,}))",
    "(AIza[A-Za-z0-9_-]{30,})",
    r"(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)",
    # in plain English other words follow it, or a small letter begins it
    f"Bearer{_BETWEEN}(?!auth|cred|header|scheme|token)({_WORD}{{6,}}=*)",
    f"bearer{_BETWEEN}(?={_WORD}*[0-9])({_WORD}{{6,}}=*)",
    r'authorization_token\\?"\s*:\s*\\?"([^"\\]+)',  # of an MCP server in a request
)
# No word goes on in them: `task-…` is no `sk-…`. But the n of a `\\n`, as JSON spells it, is no letter of a word.
_ANY = re.compile(rf"(?:(?<![A-Za-z0-9_-])|(?<=\\[bfnrt]))(?:{'|'.join(_SHAPES)})")


def secrets(text: str) -> list[tuple[int, int]]:
    """Where secrets stand in a text, in order: from and to."""
    if len(text) > _PIECE:
        return _secrets_of_long(text)
    if not any(literal in text for literal in _LITERALS):  # as nearly always
        return []
    return [found.span(found.lastindex or 0) for found in _ANY.finditer(text)]


def _secrets_of_long(text: str) -> list[tuple[int, int]]:
    """The same, looked for where one can begin: to try at every letter takes seconds, and no other thread runs."""
    spans: list[tuple[int, int]] = []
    over = 0
    for at in _beginnings(text):
        found = _ANY.match(text, at) if at >= over else None
        if found is not None:
            spans.append(found.span(found.lastindex or 0))
            over = found.end()
    return spans


def _beginnings(text: str) -> Iterator[int]:
    for low in range(0, len(text), _PIECE):
        here: list[int] = []
        for literal, behind in _LITERALS.items():
            high = low + _PIECE + len(literal) - 1
            at = text.find(literal, low, high)
            while at >= 0:
                here.append(at - behind)
                at = text.find(literal, at + 1, high)
        yield from sorted(here)


def masked(text: str) -> str:
    """A text, plain or JSON, as others may see it."""
    return masked_pieces([text])[0]


def masked_pieces(texts: Sequence[str]) -> Sequence[str]:
    """The pieces of one text, where a secret may go over several: its mark stands in the first of them."""
    whole = "".join(texts)
    spans = secrets(whole)
    if not spans:
        return texts
    pieces: list[str] = []
    low = at = 0
    for text in texts:
        high, here, piece = low + len(text), low, ""
        while at < len(spans) and spans[at][0] < high:
            start, end = spans[at]
            piece += whole[here : max(here, start)] + (key_mark(whole[start:end]) if start >= low else "")
            here = min(end, high)
            if end > high:
                break
            at += 1
        pieces.append(piece + whole[here:high])
        low = high
    return pieces


def without_secrets(text: str) -> str:
    """The longest part of a text that has none: what a scenario can be made to look for."""
    spans = secrets(text)
    if not spans:
        return text
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    return max((text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)), key=len).strip()


def masked_events(payloads: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events of a stream as others may see them: secrets that go over several deltas too."""
    shown = list(payloads)
    places: dict[tuple[Any, str], list[int]] = {}
    for at, payload in enumerate(payloads):
        delta = payload.get("delta")
        if isinstance(delta, Mapping):
            for field in TEXT_DELTAS.values():
                if isinstance(delta.get(field), str):
                    places.setdefault((payload.get("index"), field), []).append(at)
        elif isinstance(payload.get("completion"), str):
            places.setdefault((None, ""), []).append(at)
    for (_, field), where in places.items():
        texts = [payloads[at]["delta"][field] if field else payloads[at]["completion"] for at in where]
        for at, old, new in zip(where, texts, masked_pieces(texts), strict=True):
            if new != old and field:
                shown[at] = {**shown[at], "delta": {**shown[at]["delta"], field: new}}
            elif new != old:
                shown[at] = {**shown[at], "completion": new}
    return shown


class _Masking(logging.Filter):
    """Takes secrets out of the lines of a logger, and out of the tracebacks with them."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        shown = masked(text)
        if shown != text:
            record.msg, record.args = shown, None
        if record.exc_info and not record.exc_text:
            text = logging.Formatter().formatException(record.exc_info)
            shown = masked(text)
            if shown != text:
                record.exc_text = shown
        return True


MASKING = _Masking()  # one for all servers of a process: a logger takes the same filter once


# What must not be kept: headers, parameters and parts of bodies that are blotted out before a request is noted.

BLOT = "[redacted]"
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\*)\]")


class Redaction:
    """Headers and parameters of a query by name, parts of a body by path (`$.messages[*].content`)."""

    def __init__(self, what: Iterable[str]) -> None:
        """`what`: as the setting `redact` has checked it."""
        listed = list(what)
        self._names = frozenset(one.lower() for one in listed if not one.startswith("$"))
        self._paths = [_steps(one) for one in listed if one.startswith("$")]

    def apply(self, http: HttpRequest) -> HttpRequest:
        """The request without what must not be kept; a body that is no JSON goes whole where paths are given."""
        headers = {name: self._named(name, value) for name, value in http.headers.items()}
        query = changed_query(http.query, self._named)
        return http._replace(headers=headers, query=query, body=self._body(http.body) if self._paths else http.body)

    def _named(self, name: str, value: str) -> str:
        return BLOT if name.lower() in self._names else value

    def _body(self, body: bytes) -> bytes:
        try:
            value = json.loads(body)
            for path in self._paths:
                value = _blotted(value, path)
            return encode(dumps_in_steps(value))  # raises for NaN, which `loads` lets pass
        except (ValueError, RecursionError):
            return BLOT.encode()


def _steps(path: str) -> Sequence[str]:
    return [key or index for key, index in _STEP.findall(path)]


def _blotted(value: Any, path: Sequence[str]) -> Any:
    """The same value with what the path leads to blotted out, where it leads anywhere."""
    if not path:
        return BLOT
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        keys = list(value) if step == "*" else [step]
        return value | {key: _blotted(value[key], rest) for key in keys if key in value}
    if isinstance(value, list):
        return [_blotted(item, rest) if step in ("*", str(at)) else item for at, item in enumerate(value)]
    return value

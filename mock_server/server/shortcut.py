"""The short way in: a POST whose head arrives in one read, on an idle connection. What is unusual is left to aiohttp.

It saves the parser, the request object, the body stream and the task: half of what a small request costs. Both ways
lead to the same `App.exchange`; tests hold their bytes together.

Whether HTTP is in order is for aiohttp's parser to say. So this takes only what no parser could object to: how TCP cut
a request must not decide what becomes of it.
"""

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

# RFC 3986 without what is escaped, RFC 9110 for names and values of headers
_PATH, _QUERY = r"/[\w.~!$&'()*+,;=:@/-]*", r"[\w.~!$&'()*+,;=:@/?-]*"
_LINE = re.compile(rf"POST ({_PATH})(?:\?({_QUERY}))? HTTP/1\.1\r\n", re.ASCII)
_HEADER = re.compile(r"(?m)^([\w!#$%&'*+.^`|~-]+):[ \t]*([\t -~]*)\r\n", re.ASCII)
_HOST = re.compile(r"[\w.-]+(?::\d{1,5})?", re.ASCII)
_LENGTH = re.compile(r"\d{1,12}", re.ASCII)
MOST_HEADERS = 64  # aiohttp takes 128
LONGEST_HEAD = 32 * 1024  # bytes; aiohttp takes 64 KB in one header

REMEMBERED = 2048  # bytes of a head that is read once for all who send it

# headers that change how a request must be read or answered
_UNUSUAL = frozenset(("transfer-encoding", "content-encoding", "expect", "upgrade", "sec-websocket-key1"))


class Head(NamedTuple):
    """What stands before a body."""

    path: str
    query: str
    headers: Mapping[str, str]
    length: int


def begun_post(data: bytes) -> tuple[Head, int] | None:
    """The head of the HTTP/1.1 POST that begins here, and where its body begins; None when the head is not there as a
    whole, or is unusual in any way."""
    end = data.find(b"\r\n\r\n", 0, LONGEST_HEAD + 2) + 2
    if end < 2 or not data.startswith(b"POST /"):
        return None
    told = data[:end]
    head = _remembered(told) if end <= REMEMBERED else _head(told)
    return None if head is None else (head, end + 2)


_BEGINS = b"POST /"


def is_head_begun(data: bytes) -> bool:
    """Whether this can be the beginning of the head of a POST, and nothing in its lines says that it is none."""
    if len(data) > LONGEST_HEAD or not (data.startswith(_BEGINS) or _BEGINS.startswith(data)):
        return False
    ends = data.count(b"\r\n")
    whole = data.count(b"\r") - data.endswith(b"\r")
    return b"\r\n\r\n" not in data and ends == data.count(b"\n") == whole


def _head(told: bytes) -> Head | None:
    """A head that has nothing unusual about it; None for any other."""
    if b"/_mock/" in told or told.startswith(b"POST / ") or not told.isascii():
        return None  # what the control API is asked takes its time
    text = told.decode("ascii")
    line = _LINE.match(text)
    headers = None if line is None else _headers(text, line.end())
    if line is None or headers is None:
        return None
    length = headers.get("content-length", "")
    if _LENGTH.fullmatch(length) is None or _HOST.fullmatch(headers.get("host", "")) is None:
        return None
    return Head(line[1], line[2] or "", headers, int(length))


# clients say the same again and again; nobody changes the headers that are shared so
_remembered = functools.lru_cache(maxsize=256)(_head)


def _headers(text: str, start: int) -> dict[str, str] | None:
    """The headers by their lower-case names; None when a line is no header, comes twice or is unusual."""
    found = _HEADER.findall(text, start)
    headers = {name.lower(): value.rstrip(" \t") for name, value in found}
    if len(headers) != text.count("\n") - 1 or len(headers) > MOST_HEADERS or not _UNUSUAL.isdisjoint(headers):
        return None
    if headers.get("content-type", "").lower().startswith("multipart/"):
        return None
    return headers if headers.get("connection", "keep-alive").lower() == "keep-alive" else None

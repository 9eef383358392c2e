"""The short way in: a POST that arrives whole, in one read, on an idle connection. What is unusual is left to aiohttp.

It saves the parser, the request object, the body stream and the task: half of what a small request costs. Both ways
lead to the same `App.exchange`; tests hold their bytes together.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

_LINE = re.compile(r"POST (/[^\s?%#]*)(?:\?([^\s#]*))? HTTP/1\.1\r\n")
_HEADER = re.compile(r"(?m)^([!-9;-~]+):[ \t]*([^\r\n\0]*)\r\n")

# headers that change how a request must be read or answered
_UNUSUAL = frozenset(("transfer-encoding", "content-encoding", "expect", "upgrade"))


class Post(NamedTuple):
    """A request that was there as a whole."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    query: str = ""


def whole_post(data: bytes) -> Post | None:
    """The HTTP/1.1 POST that `data` is, when it is exactly one and there is nothing unusual about it."""
    end = data.find(b"\r\n\r\n") + 2
    if (
        end < 2
        or not data.startswith(b"POST /")
        or data.startswith((b"POST /_", b"POST / "))
        or not data[:end].isascii()
    ):
        return None
    text = data[:end].decode("ascii")
    line = _LINE.match(text)
    headers = None if line is None else _headers(text, line.end())
    if line is None or headers is None:
        return None
    length = headers.get("content-length", "")
    if not length.isdecimal() or int(length) != len(data) - end - 2:
        return None
    return Post(line[1], headers, data[end + 2 :], line[2] or "")


def _headers(text: str, start: int) -> dict[str, str] | None:
    """The headers by their lower-case names; None when a line is no header, comes twice or is unusual."""
    found = _HEADER.findall(text, start)
    headers = {name.lower(): value.rstrip(" \t") for name, value in found}
    if len(headers) != text.count("\n") - 1 or not _UNUSUAL.isdisjoint(headers):
        return None
    if headers.get("content-type", "").lower().startswith("multipart/"):
        return None
    return headers if headers.get("connection", "keep-alive").lower() == "keep-alive" else None

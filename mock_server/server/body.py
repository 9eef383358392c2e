"""The body of a request, read as it comes: piece by piece, unpacked, and never more of it than its endpoint takes."""

import asyncio
import zlib
from collections.abc import AsyncIterator

from aiohttp import web

from mock_server.protocol.errors import ApiError, invalid

PIECE = 256 << 10  # bytes that are unpacked before others have their turn
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


async def read_body(request: web.BaseRequest) -> bytes:
    """The whole body, unpacked. Raises ApiError (413, 400), and ConnectionError when the client leaves before."""
    begin_body(request, request.client_max_size)
    held = bytearray()
    try:
        async for piece in _unpacked(request):
            held += piece
            if len(held) > request.client_max_size:
                raise ApiError("request_too_large")
    except (web.RequestPayloadError, ValueError, zlib.error) as error:
        raise invalid(f"The request body could not be read: {error}") from None
    return bytes(held)


def begin_body(request: web.BaseRequest, most: int) -> None:
    """Tell a client that waits for it to send its body. Raises ApiError (413) when it says that it has too much."""
    length = request.content_length
    if length is not None and length > most:
        raise ApiError("request_too_large")
    if "expect" in request.headers and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def is_plain(request: web.BaseRequest) -> bool:
    """Whether a body is what it stands for, and not packed."""
    return _encoding(request) in ("", "identity")


def _encoding(request: web.BaseRequest) -> str:
    return request.headers.get("content-encoding", "").strip().lower()


def _unpacked(request: web.BaseRequest) -> AsyncIterator[bytes]:
    if is_plain(request):
        return request.content.iter_any()
    encoding = _encoding(request)
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise invalid(f"content-encoding: '{encoding[:100]}' is not supported; expected gzip or deflate")
    return _inflated(request, is_gzip=encoding != "deflate")


async def _inflated(request: web.BaseRequest, *, is_gzip: bool) -> AsyncIterator[bytes]:
    """What gzip (any number of members) or deflate (with its header, or without as some send it) unpacks to."""
    unpack = None
    async for data in request.content.iter_any():
        rest = data
        while rest:
            if unpack is None or (is_gzip and unpack.eof):
                unpack = zlib.decompressobj(_GZIP if is_gzip else _ZLIB if rest[0] & 0xF == 8 else _RAW)
            yield unpack.decompress(rest, PIECE)
            await asyncio.sleep(0)  # a little that is sent may be much to unpack
            rest = unpack.unconsumed_tail or unpack.unused_data
            if unpack.eof and not is_gzip and rest:
                raise ValueError("there is more behind what was packed")
    if unpack is not None:
        yield unpack.flush()
        if not unpack.eof:
            raise ValueError("what was packed ends too early")

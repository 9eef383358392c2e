"""The body of a request, read as it comes: piece by piece, unpacked, bounded, and the parts of a `multipart/form-data`
upload.
"""

import io
import os
import tempfile
import zlib
from asyncio import sleep
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import IO, Any, NamedTuple

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import BodyPartReader
from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest

from mock_server.engine.files import MOST_BYTES, full
from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.request import Content, InMemory, MultipartForm, Upload, legible
from mock_server.protocol.sse import dumps, encode
from mock_server.settings import Unusable

# The body of a request, read as it comes: piece by piece, unpacked, and never more of it than its endpoint takes.

PIECE = 256 << 10  # bytes that are unpacked before others have their turn
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


async def read_body(request: BaseRequest) -> bytes:
    """The whole body, unpacked. Raises ApiError (413, 400), and ConnectionError when the client leaves before."""
    begin_body(request, request.client_max_size)
    held = bytearray()
    try:
        async for piece in _unpacked(request):
            held += piece
            if len(held) > request.client_max_size:
                raise ApiError("request_too_large")
    except (RequestPayloadError, ValueError, zlib.error) as error:
        raise invalid(f"The request body could not be read: {error}") from None
    return bytes(held)


def begin_body(request: BaseRequest, most: int) -> None:
    """Tell a client that waits for it to send its body. Raises ApiError (413) when it says that it has too much."""
    length = request.content_length
    if length is not None and length > most:
        raise ApiError("request_too_large")
    if "expect" in request.headers and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def is_plain(request: BaseRequest) -> bool:
    """Whether a body is what it stands for, and not packed."""
    return _encoding(request) in ("", "identity")


def _encoding(request: BaseRequest) -> str:
    return request.headers.get("content-encoding", "").strip().lower()


def _unpacked(request: BaseRequest) -> AsyncIterator[bytes]:
    if is_plain(request):
        return request.content.iter_any()
    encoding = _encoding(request)
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise invalid(f"content-encoding: '{encoding[:100]}' is not supported; expected gzip or deflate")
    return _inflated(request, is_gzip=encoding != "deflate")


async def _inflated(request: BaseRequest, *, is_gzip: bool) -> AsyncIterator[bytes]:
    """What gzip (any number of members) or deflate (with its header, or without as some send it) unpacks to."""
    unpack = None
    async for data in request.content.iter_any():
        rest = data
        while rest:
            if unpack is None or (is_gzip and unpack.eof):
                unpack = zlib.decompressobj(_GZIP if is_gzip else _ZLIB if rest[0] & 0xF == 8 else _RAW)
            yield unpack.decompress(rest, PIECE)
            await sleep(0)  # a little that is sent may be much to unpack
            rest = unpack.unconsumed_tail or unpack.unused_data
            if unpack.eof and not is_gzip and rest:
                raise ValueError("there is more behind what was packed")
    if unpack is not None:
        yield unpack.flush()
        if not unpack.eof:
            raise ValueError("what was packed ends too early")


# A `multipart/form-data` request -> Form, read as it comes: the file's bytes go to memory or to a folder, piece by
# piece, and stop where they are too many. Names on disk are made here; a client's name never reaches the disk.

FRAMING = 1 << 20  # bytes that a form may have beside its file
MOST_PARTS = 100
MOST_LINES = 20_000  # of heads and boundaries, and before the first one
# headers for how the bytes of a part are written, and the values that mean as they are
_PLAIN = {"content-transfer-encoding": ("", "7bit", "8bit", "binary"), "content-encoding": ("", "identity")}


class Room(NamedTuple):
    """Where uploads go: a folder or, with none, memory; and how many bytes a session may hold."""

    folder: str | None
    most: int


class OnDisk:
    """Bytes in a file of ours."""

    __slots__ = ("_path", "size")

    def __init__(self, path: str, size: int) -> None:
        self._path = path
        self.size = size

    def read(self, most: int = -1) -> bytes:
        with open(self._path, "rb") as file:
            return file.read(most)

    def discard(self) -> None:
        with suppress(FileNotFoundError):
            os.remove(self._path)


def form_summary(form: MultipartForm) -> bytes:
    """What the journal keeps of a form: its fields as they are, of its file the name, the type and the size."""
    described: dict[str, object] | None = None
    if form.file is not None:
        name, kind, content = form.file
        described = {"filename": name, "mime_type": kind, "size_bytes": content.size}
    return encode(dumps({"file": described, **form.fields}))


def make_folder(folder: str | None) -> None:
    """Make the folder for files, if there is to be one. Raises Unusable."""
    if folder is not None:
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise Unusable(f"the folder for files {folder} cannot be made: {error.strerror}") from None


def is_form(headers: Mapping[str, str]) -> bool:
    """Whether a request says that its body is a form."""
    return headers.get("content-type", "").lower().startswith("multipart/form-data")


async def read_form(request: BaseRequest, room: Room) -> MultipartForm:
    """The form a request brings. Raises ApiError: 413 as soon as it is known to be too large, 400 for a broken one."""
    begin_body(request, MOST_BYTES + FRAMING)
    if not is_plain(request):
        raise invalid("content-encoding: a form is sent as it is")
    sink = _Sink(room)
    try:
        return await _parts(request, sink)
    except (RequestPayloadError, HttpProcessingError, ValueError, AssertionError, RuntimeWarning) as error:
        sink.discard()
        reason = str(error.message if isinstance(error, HttpProcessingError) else error) or "it ends too early"
        raise invalid(f"The form could not be read: {reason[:200]}") from None
    except BaseException:
        sink.discard()
        raise


async def _parts(request: BaseRequest, sink: "_Sink") -> MultipartForm:
    fields: dict[str, str] = {}
    file: Upload | None = None
    count = 0
    reader = await request.multipart()
    reader._readline = _few(reader._readline)  # type: ignore[method-assign]
    while (part := await reader.next()) is not None:
        count += 1
        if count > MOST_PARTS or not isinstance(part, BodyPartReader) or part.name is None:
            raise invalid(f"A form has at most {MOST_PARTS} parts, each with a name")
        name = legible(part.name)
        if name in fields or (name == "file" and file is not None):
            raise invalid(f"{name}: only one value is permitted")
        _check_encoding(name, part)
        if name == "file":
            content = await sink.fill(part)
            file = Upload(_legible(part.filename), _legible(part.headers.get("content-type")), content)
        else:
            fields[name] = await _text(part)
    return MultipartForm(fields, file)


_Readline = Callable[[], Coroutine[Any, Any, bytes]]


def _few(readline: _Readline) -> _Readline:
    """Reads the lines of a form outside the contents of its parts, if they are few: meanwhile others wait."""
    left = MOST_LINES

    async def read() -> bytes:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"more than {MOST_LINES:,} lines outside its parts")
        return await readline()

    return read


def _legible(text: str | None) -> str | None:
    return None if text is None else legible(text)


def _check_encoding(name: str, part: BodyPartReader) -> None:
    """Refuse a part whose bytes are not what they stand for. RFC 7578, 4.7, has none such; [INF] what the API says."""
    for header, plain in _PLAIN.items():
        encoding = legible(part.headers.get(header, ""))
        if encoding.strip().lower() not in plain:
            raise invalid(f"{name}: a part is sent as it is, without {header}: {encoding[:100]}")


async def _text(part: BodyPartReader) -> str:
    text = b""
    while not part.at_eof():
        text += await part.read_chunk(PIECE)
        if len(text) > FRAMING:
            raise ApiError("request_too_large")
    return text.decode()


class _Sink:
    """Takes a file's bytes as they come."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._path: str | None = None

    async def fill(self, part: BodyPartReader) -> Content:
        """All of a part. Raises ApiError when it is too large."""
        size = 0
        with self._open() as out:
            while not part.at_eof():
                piece = await part.read_chunk(PIECE)
                size += len(piece)
                if size > MOST_BYTES:
                    raise ApiError("request_too_large")
                if size > self._room.most:
                    raise full(self._room.most)
                out.write(piece)
            return OnDisk(self._path, size) if self._path is not None else InMemory(_held(out))

    def _open(self) -> IO[bytes]:
        if self._room.folder is None:
            return io.BytesIO()
        handle, self._path = tempfile.mkstemp(prefix="file_", dir=self._room.folder)
        return os.fdopen(handle, "wb")

    def discard(self) -> None:
        if self._path is not None:
            OnDisk(self._path, 0).discard()


def _held(out: IO[bytes]) -> bytes:
    assert isinstance(out, io.BytesIO)
    return out.getvalue()

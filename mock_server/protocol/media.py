"""What an image or a PDF in base64 is, read from its first bytes; and how many tokens it counts.

Nothing here raises on bad data: what cannot be understood is None. An image costs a few dozen decoded bytes, however
long it is; a PDF is read once, since its page tree may be anywhere. Line breaks inside base64 are ignored.
"""

import binascii
import re
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from typing import NamedTuple

from mock_server.protocol.profile import Model

PATCH = 28  # pixels each way that make one token
DECODED = 1 << 20  # letters of base64 that are decoded at once
SEGMENTS = 1_000  # parts of a JPEG that are passed over in search of its size
OBJECTS = 100_000  # objects of a PDF that are looked at one by one
LARGEST = 4 << 20  # bytes of an object of a PDF that are looked at
STEP = 1 << 20  # bytes that are searched before others have their turn
STREAMS = 10_000  # packed objects of a PDF that are unpacked
UNPACKED = 8 << 20  # bytes those may unpack to, all together

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class Image(NamedTuple):
    """`kind`: its media type (`image/png`); the size in pixels, both at least 1."""

    kind: str
    width: int
    height: int


def is_base64(data: str) -> bool:
    """Whether all of `data` is base64, padded, and not empty."""
    data = _joined(data)
    if not data or len(data) % 4 or not data.isascii():
        return False
    rest = data.encode().translate(None, _ALPHABET)
    return rest in (b"", b"=", b"==") and data.endswith(rest.decode())


def image(data: str) -> Image | None:
    """The image that base64 begins with; None when it is none of the four kinds, or its size cannot be found."""
    data = _joined(data)
    head = _bytes(data, 0, 12)
    for start, end, kind, measure in _KINDS:
        if head.startswith(start) and head[8:].startswith(end):
            width, height = measure(data) or (0, 0)
            return Image(kind, width, height) if width and height else None
    return None


def _joined(data: str) -> str:
    return data.replace("\n", "").replace("\r", "") if "\n" in data else data


def _bytes(data: str, start: int, count: int) -> bytes:
    """`count` bytes from byte `start` on of what base64 stands for; fewer at its end or where it is broken."""
    first = start // 3 * 4
    end = first + (start % 3 + count + 2) // 3 * 4
    try:
        parts = [
            binascii.a2b_base64(data[at : min(at + DECODED, end)]) for at in range(first, min(end, len(data)), DECODED)
        ]
    except ValueError:
        return b""
    return b"".join(parts)[start % 3 :][:count]


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


Size = tuple[int, int]


def _png(data: str) -> Size | None:
    head = _bytes(data, 12, 12)
    return (_big(head[4:8]), _big(head[8:])) if len(head) == 12 and head[:4] == b"IHDR" else None


def _gif(data: str) -> Size | None:
    head = _bytes(data, 4, 6)
    return (_little(head[2:4]), _little(head[4:])) if len(head) == 6 and head[:2] in (b"7a", b"9a") else None


def _jpeg(data: str) -> Size | None:
    """The size is in the first frame header, behind any number of other segments."""
    at = 2
    for _ in range(SEGMENTS):
        head = _bytes(data, at, 9)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xD9, 0xDA):
            return None
        if head[1] == 0xFF or head[1] in range(0xD0, 0xD9):
            at += 1 if head[1] == 0xFF else 2
        elif head[1] in range(0xC0, 0xD0) and head[1] not in (0xC4, 0xC8, 0xCC):
            return (_big(head[7:9]), _big(head[5:7])) if len(head) == 9 else None
        else:
            at += 2 + _big(head[2:4])
    return None


def _webp(data: str) -> Size | None:
    head = _bytes(data, 12, 18)
    body = head[8:]
    if len(body) < 10:
        return None
    if head[:4] == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        return _little(body[6:8]) & 0x3FFF, _little(body[8:10]) & 0x3FFF
    if head[:4] == b"VP8L" and body[0] == 0x2F:
        bits = _little(body[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return (_little(body[4:7]) + 1, _little(body[7:10]) + 1) if head[:4] == b"VP8X" else None


IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
# first bytes, bytes from the eighth on, kind, and what reads the size
_KINDS: tuple[tuple[bytes, bytes, str, Callable[[str], Size | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", b"", "image/png", _png),
    (b"\xff\xd8\xff", b"", "image/jpeg", _jpeg),
    (b"GIF8", b"", "image/gif", _gif),
    (b"RIFF", b"WEBP", "image/webp", _webp),
)

_TREE = re.compile(rb"/Type\s*/Pages(?![A-Za-z])")
_LEAF = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_COUNT = re.compile(rb"/Count\s+(\d{1,9})\b(?!\s+\d+\s+R)")
_FIRST = re.compile(rb"/First\s+(\d{1,9})\b")
_STREAM = re.compile(rb"stream\r?\n")
_END = b"endobj"


def pages(data: str) -> int | None:
    """The number of pages of a PDF in base64; None when it is no PDF, 1 when they cannot be counted (encrypted)."""
    data = _joined(data)
    return pages_of(_bytes(data, 0, len(data))) if b"%PDF-" in _bytes(data, 0, 1024) else None


def pages_of(body: bytes) -> int | None:
    """The same of the bytes themselves. However many they are, other threads run meanwhile."""
    if b"%PDF-" not in body[:1024]:
        return None
    total = leaves = 0
    for part in _objects(body):
        leaves += sum(1 for _ in _LEAF.finditer(part))
        count = _COUNT.search(part) if b"/Pages" in part and _TREE.search(part) else None
        total = max(total, int(count[1]) if count else 0)
    return total or leaves or 1


def _objects(body: bytes) -> Iterator[bytes]:
    """The objects of a PDF that may be about pages, those in packed streams too."""
    packed: list[bytes] = []
    for part in _pieces(body):
        if b"/ObjStm" in part and len(packed) < STREAMS:
            packed.append(part)
        elif b"/Page" in part:
            yield part
    yield from _unpacked(packed)


def _pieces(body: bytes) -> Iterator[bytes]:
    """What stands before each end of an object, and after the last; of what is too long for one its beginning."""
    start = 0
    for _ in range(OBJECTS):
        end = next((at for at in _ends(body, start) if at >= 0), -1)
        if end < 0:
            break
        yield body[start : min(end, start + LARGEST)]
        start = end + len(_END)
    yield body[start : start + LARGEST]


def _ends(body: bytes, start: int) -> Iterator[int]:
    for at in range(start, len(body), STEP):
        yield body.find(_END, at, at + STEP + len(_END) - 1)


def _unpacked(packed: list[bytes]) -> Iterator[bytes]:
    left = UNPACKED
    for part in packed:
        start, first = _STREAM.search(part), _FIRST.search(part)
        if not start or not first or left <= 0:
            continue
        try:
            body = zlib.decompressobj().decompress(part[start.end() :], left)
        except zlib.error:
            continue
        left -= len(body)
        yield from _parts(body, int(first[1]))


def _parts(body: bytes, first: int) -> Iterator[bytes]:
    """The objects in a stream: it begins with pairs of number and offset, and the objects start at `first`."""
    # In order whatever the stream says, so that no byte is looked at twice.
    offsets = sorted({int(n) for n in islice(body[:first].split(), 1, None, 2) if n.isdigit() and len(n) < 10})
    for start, end in pairwise([*offsets, len(body)]):
        yield body[first + start : first + end]


def fitted(width: int, height: int, model: Model) -> Size:
    """The size a model sees: the image's own, or the largest of its shape within the model's side and tokens."""
    long, short = max(width, height), min(width, height)
    if long <= model.image_side and _patches(long, short) <= model.image_tokens:
        return width, height

    def other(side: int) -> int:
        return max(1, short * side // long)

    sides = range(1, min(long, model.image_side) + 1)
    side = max(1, bisect_left(sides, True, key=lambda side: _patches(side, other(side)) > model.image_tokens))
    return (side, other(side)) if width >= height else (other(side), side)


def _patches(width: int, height: int) -> int:
    return -(-width // PATCH) * -(-height // PATCH)


def image_tokens(width: int, height: int, model: Model) -> int:
    """Tokens of an image of this many pixels: one for each patch of what the model sees. docs/protocol.md G.2."""
    return min(model.image_tokens, _patches(*fitted(max(1, width), max(1, height), model)))

"""What an image or a PDF in base64 is, from its first bytes: type, width and height, pages. Never raises on garbage.

Token formulas: protocol notes G.2. What a page of a PDF costs is an estimate: the published range is 1,500 to 3,000.
"""

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable
from typing import NamedTuple

from mock_server.protocol.profile import Model

PAGE = 2250
PATCH = 28
_HEAD = 262_144  # bytes of a JPEG that are searched for its size
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=\s]")
_PAGE_OBJECT = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_PAGE_COUNT = re.compile(rb"/Count\s+(\d{1,6})")


class Image(NamedTuple):
    """The media type the bytes have, and the size in pixels."""

    kind: str
    width: int
    height: int


def size(data: str) -> int:
    """How many bytes base64 text stands for."""
    return len(data) * 3 // 4 - data[-2:].count("=")


def decode(data: str, most: int | None = None) -> bytes | None:
    """The bytes of base64 text, `most` of them at least, or None when it is no base64."""
    part = data if most is None else data[: most * 4 // 3 & ~3]
    if _NOT_BASE64.search(part):
        return None
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4) if most is not None else part)
    except (binascii.Error, ValueError):
        return None


def image(data: str) -> Image | None:
    """The image that base64 text holds, or None when it is none of the four kinds."""
    head = decode(data, _HEAD)
    if head is None:
        return None
    for starts, read in _READERS:
        if head.startswith(starts):
            try:
                return read(head)
            except (struct.error, IndexError):
                return None
    return None


def _png(head: bytes) -> Image | None:
    if head[12:16] != b"IHDR":
        return None
    return Image("image/png", *struct.unpack(">II", head[16:24]))


def _gif(head: bytes) -> Image | None:
    return Image("image/gif", *struct.unpack("<HH", head[6:10]))


def _jpeg(head: bytes) -> Image | None:
    """The size stands in the start-of-frame segment; the segments before it are stepped over."""
    at = 2
    while at + 9 < len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return Image("image/jpeg", width, height)
        alone = marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD8
        at += (1 if marker == 0xFF else 2) if alone else 2 + struct.unpack(">H", head[at + 2 : at + 4])[0]
    return None


def _webp(head: bytes) -> Image | None:
    if head[8:12] != b"WEBP":
        return None
    if head[12:16] == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return Image("image/webp", width & 0x3FFF, height & 0x3FFF)
    if head[12:16] == b"VP8L":
        (bits,) = struct.unpack("<I", head[21:25])
        return Image("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if head[12:16] == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
        return Image("image/webp", width, height) if len(head) >= 30 else None
    return None


_READERS: tuple[tuple[bytes, Callable[[bytes], Image | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8", _jpeg),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"RIFF", _webp),
)


def pages(data: str) -> int | None:
    """The pages of a PDF: its page objects, else the largest count it states; None when it is no PDF."""
    content = decode(data)
    if content is None or b"%PDF-" not in content[:1024]:
        return None
    found = len(_PAGE_OBJECT.findall(content))
    return found or max(map(int, _PAGE_COUNT.findall(content)), default=1)


def image_tokens(width: int, height: int, model: Model) -> int:
    """What an image costs: a token for each patch of 28 by 28 pixels, once it is scaled down to what the model sees."""
    longest = max(width, height, 1)
    scale = min(1.0, model.image_side / longest)
    wide, high = max(1, int(width * scale)), max(1, int(height * scale))
    return min(math.ceil(wide / PATCH) * math.ceil(high / PATCH), model.image_tokens)


def pdf_tokens(pages: int) -> int:
    """What a PDF costs."""
    return pages * PAGE

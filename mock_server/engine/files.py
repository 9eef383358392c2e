"""The files of one session: what is known of each, and its bytes, in memory or in a folder. State only.

A file expires by the clock, when somebody looks; `now` is of a clock that never goes back. Facts: docs/protocol.md F.4
and the SDK's `files.upload`.
"""

import base64
import mimetypes
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from mock_server.clock import INSTANT, rfc3339
from mock_server.protocol import media
from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.request import Upload

MOST_FILES = 10_000
MOST_BYTES = 500 << 20  # of one file
LIFE = (3_600, 7_776_000)  # seconds that `expires_in_seconds` may be
_FORBIDDEN = re.compile(r'[<>:"|?*\\/\x00-\x1f\x7f]')
PDF = "application/pdf"
_HEAD = 96 << 10  # bytes of an image that are looked at for its size


class FileFacts(NamedTuple):
    """What a file is as a source of a message: the type its first bytes show, and what its tokens depend on."""

    kind: str | None = None
    width: int = 0
    height: int = 0
    pages: int = 0


class File:
    """One file, made `now` (`unix`: the same as its JSON has it), and living so many seconds; None: it stays."""

    def __init__(
        self,
        id: str,
        upload: Upload,
        *,
        now: float,
        unix: float,
        lives: int | None = None,
        downloadable: bool = False,
    ) -> None:
        """Raises ApiError (400, rule 137) for a name that files cannot have."""
        self.id = id
        self.filename, self.mime_type = _named(upload)
        self.content = upload.content
        self.expires = None if lives is None else now + lives
        self._created = unix
        self._lives = lives
        self.downloadable = downloadable
        self._facts: FileFacts | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return self.content.size

    def payload(self) -> dict[str, Any]:
        """The file as a JSON object."""
        return {
            "id": self.id,
            "type": "file",
            "filename": self.filename,
            "mime_type": self.mime_type,
            "size_bytes": self.size,
            "created_at": rfc3339(self._created),
            "downloadable": self.downloadable,
            "expires_at": None if self._lives is None else rfc3339(self._created + self._lives),
        }

    def is_over(self, now: float) -> bool:
        """Whether it has expired."""
        return self.expires is not None and self.expires <= now + INSTANT

    @property
    def facts(self) -> FileFacts:
        """Read from the bytes when first asked for."""
        if self._facts is None:
            self._facts = self._looked()
        return self._facts

    def _looked(self) -> FileFacts:
        if self.mime_type in media.IMAGE_TYPES:
            head = self.content.read(_HEAD)
            image = media.image(base64.b64encode(head[: len(head) // 3 * 3] or head).decode())
            return FileFacts() if image is None else FileFacts(image.kind, image.width, image.height)
        if self.mime_type == PDF:
            pages = media.pages_of(self.content.read())
            return FileFacts() if pages is None else FileFacts(PDF, pages=pages)
        return FileFacts("text/plain") if self.mime_type == "text/plain" else FileFacts()


def _named(upload: Upload) -> tuple[str, str]:
    """The name and the type a file is kept under. Only the last part of a path is kept; without one it is `unnamed`."""
    name = (upload.filename or "").rpartition("/")[2]
    kind = upload.mime_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    kind = kind.partition(";")[0].strip().lower()
    if not name and not upload.filename:
        return "unnamed" + (mimetypes.guess_extension(kind) or ""), kind
    if not 1 <= len(name) <= 255 or name in (".", "..") or _FORBIDDEN.search(name):
        raise invalid(
            'file: a file name has 1 to 255 characters, none of them a control character or one of <>:"|?*\\/'
        )
    return name, kind


class Files:
    """The files of one session, oldest first."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, File] = OrderedDict()
        self._expired: OrderedDict[str, None] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def newest_first(self, now: float) -> list[File]:
        """All that have not expired."""
        self._expire(now)
        return list(reversed(self._held.values()))

    def find(self, id: str, now: float) -> File:
        """The file of this id. Raises ApiError (404), for one that has expired with its code: rules 136 and 137."""
        self._expire(now)
        return self.held(id, now)

    def held(self, id: str, now: float) -> File:
        """The same, without forgetting any: for another thread."""
        file = self._held.get(id)
        if file is not None and not file.is_over(now):
            return file
        if id in self._expired:
            raise ApiError("not_found_error", f"File `{id}` has expired.", details={"error_code": "file_expired"})
        raise ApiError("not_found_error", f"File `{id}` not found.")

    def add(self, file: File, now: float, most: int) -> None:
        """Keep one more, `most` bytes in all. Raises ApiError (400) where there is no room for it."""
        self._expire(now)
        if len(self._held) >= MOST_FILES or self.bytes + file.size > most:
            raise full(most)
        self._held[file.id] = file
        self.bytes += file.size

    def delete(self, id: str, now: float) -> None:
        """Forget one. Raises ApiError (404) when there is none."""
        self._drop(self.find(id, now))

    def clear(self) -> None:
        """Forget all of them."""
        for file in list(self._held.values()):
            self._drop(file)
        self._expired.clear()

    def _expire(self, now: float) -> None:
        over = [file for file in self._held.values() if file.is_over(now)]
        for file in over:
            self._drop(file)
            self._expired[file.id] = None
            if len(self._expired) > MOST_FILES:
                self._expired.popitem(last=False)

    def _drop(self, file: File) -> None:
        del self._held[file.id]
        self.bytes -= file.size
        file.content.discard()


def full(most: int) -> ApiError:
    """What an upload gets that does not fit."""
    return invalid(
        f"The files of this session may have {most} bytes together, and {MOST_FILES} of them",
        details={"error_code": "storage_quota_exceeded"},
    )


def lifetime(text: str | None) -> int | None:
    """The value of the field `expires_in_seconds`. Raises ApiError (400)."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise invalid("expires_in_seconds: Input should be a valid integer, unable to parse string as an integer")
    least, most = LIFE
    if int(text) < least:
        raise invalid(f"expires_in_seconds: Input should be greater than or equal to {least}")
    if int(text) > most:
        raise invalid(f"expires_in_seconds: Input should be less than or equal to {most}")
    return int(text)


def page_after(files: Sequence[File], cursor: str | None, limit: int) -> tuple[Sequence[File], str | None]:
    """One page of a list by its cursor, and the cursor of the next. Raises ApiError (400) for one nobody gave out."""
    start = 0
    if cursor is not None:
        known = [f"page_{file.id}" for file in files]
        if cursor not in known:
            raise invalid("page: not a cursor of this list")
        start = known.index(cursor)
    rest = files[start:]
    return rest[:limit], f"page_{rest[limit].id}" if len(rest) > limit else None

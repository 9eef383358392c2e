"""A form with a file as plain data: what a `multipart/form-data` request says, however its bytes are kept."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol


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


class Form(NamedTuple):
    """The fields of a form by name, and its file if it has one."""

    fields: Mapping[str, str]
    file: Upload | None = None

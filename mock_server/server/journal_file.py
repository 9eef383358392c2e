"""The journal as a file: one JSON object a line, appended before the last bytes of the reply go out.

Every line is one write to the operating system, so that a killed server loses at most the line it was writing. At
`MAX_BYTES` the file becomes FILE.1 (and that FILE.2, …) and a new one begins. What cannot be written or rotated is
logged once, and again when it works: the server goes on.
"""

import contextlib
import errno
import logging
import os
import stat
from pathlib import Path

from mock_server.engine.entry import Entry
from mock_server.engine.masking import masked, masked_headers
from mock_server.protocol.sse import dumps, dumps_in_steps, encode
from mock_server.server.control.views import body_of, summary
from mock_server.settings import Unusable

log = logging.getLogger("mock_server")
MAX_BYTES = 100_000_000
KEPT = 5


class JournalFile:
    """An append-only file of entries. Raises Unusable when it cannot be opened; later faults are logged, not raised."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            self._file = self._opened()
        except OSError as error:
            why = "nobody reads this pipe" if error.errno == errno.ENXIO else error.strerror
            raise Unusable(f"the journal file {path} cannot be opened: {why}") from None
        status = os.fstat(self._file)
        self._size = status.st_size
        self._until = MAX_BYTES if stat.S_ISREG(status.st_mode) else None  # a pipe or a terminal is not rotated
        self._is_torn = self._size > 0 and self._last_byte() != b"\n"
        self._lost = 0

    def _opened(self) -> int:
        """Neither opening nor writing waits for the other end of a pipe."""
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0), 0o600)

    def _last_byte(self) -> bytes:
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1)
        return b""

    def write(self, entry: Entry, body: bytes | None = None) -> None:
        """Append an entry that has ended. `body`: what `readable_body` made of it before."""
        line = record(entry, readable_body(entry) if body is None else body) + b"\n"
        if self._until is not None and self._size and self._size + len(line) > self._until:
            self._rotate()
        try:
            self._append(b"\n" + line if self._is_torn else line)
        except OSError as error:
            self._lost += 1
            if self._lost == 1:
                log.error("journal file %s: %s; exchanges are lost until it can be written", self._path, error.strerror)
            return
        if self._lost:
            log.error("journal file %s: written again; %d exchanges were lost", self._path, self._lost)
            self._lost = 0

    def _append(self, data: bytes) -> None:
        """Write all of it, or raise OSError; what follows a part of a line begins on a line of its own."""
        at = 0
        while at < len(data):
            written = os.write(self._file, data[at:] if at else data)
            at += written
            self._size += written
            if written:
                self._is_torn = not data.endswith(b"\n", 0, at)

    def _rotate(self) -> None:
        """Begin a new file. Where that fails the old one is written on, and it is tried again a file later."""
        rotated = self._numbered(0)
        try:
            if rotated.exists():  # of a time when it went wrong half-way
                self._shift()
            self._path.replace(rotated)
            try:
                new = self._opened()
            except OSError:
                rotated.replace(self._path)
                raise
        except OSError as error:
            self._until = self._size + MAX_BYTES
            log.error("journal file %s: cannot be put aside, it grows on: %s", self._path, error.strerror)
            return
        old, self._file = self._file, new
        os.close(old)
        self._size, self._until, self._is_torn = 0, MAX_BYTES, False
        try:
            self._shift()
        except OSError as error:
            log.error("journal file %s: older files cannot be renamed: %s", self._path, error.strerror)

    def _shift(self) -> None:
        """FILE.4 becomes FILE.5, …, FILE.0 (just put aside) becomes FILE.1."""
        for number in range(KEPT - 1, -1, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def close(self) -> None:
        """Nothing is buffered; this gives the file back."""
        os.close(self._file)


def readable_body(entry: Entry) -> bytes:
    """The members of a line that hold the request's body. A large one takes seconds: that is done in another thread."""
    body, raw = body_of(entry)
    return encode(f'"body":{masked(dumps_in_steps(body))},"raw":{masked(dumps_in_steps(raw))}')


def record(entry: Entry, body: bytes) -> bytes:
    """One line of the file: the summary, the request and the reply."""
    head = summary(entry, entry.session)
    reply = {"headers": masked_headers(dict(entry.plan.headers)), "body": entry.reply}
    before = masked(dumps({**head, "request": {"headers": masked_headers(entry.request_headers)}}))
    behind = masked(dumps(reply))
    return b"".join((encode(before[:-2]), b",", body, encode(f'}},"reply":{behind}}}')))

"""The journal as a file: one JSON object a line, appended before the last bytes of the reply go out.

Every line is one write to the operating system, so that a killed server loses at most the line it was writing. At
`MAX_BYTES` the file becomes FILE.1 (and that FILE.2, …) and a new one begins.
"""

import logging
import os
from pathlib import Path

from mock_server.engine.entry import Entry
from mock_server.protocol.sse import dumps, encode
from mock_server.server.control.views import body_of, summary

log = logging.getLogger("mock_server")
MAX_BYTES = 100_000_000
KEPT = 5


class JournalFile:
    """An append-only file of entries. Raises OSError when it cannot be opened; later faults are logged, not raised."""

    def __init__(self, path: str | Path, limit: int = MAX_BYTES) -> None:
        self._path = Path(path)
        self._limit = limit
        self._open()

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size

    def write(self, entry: Entry) -> None:
        """Append an entry that has ended."""
        line = encode(dumps(record(entry))) + b"\n"
        try:
            if self._size and self._size + len(line) > self._limit:
                self._rotate()
            self._size += os.write(self._file, line)
        except OSError as error:
            log.error("journal file %s: %s", self._path, error)

    def _rotate(self) -> None:
        os.close(self._file)
        for number in range(KEPT - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def close(self) -> None:
        """Nothing is buffered; this gives the file back."""
        os.close(self._file)


def record(entry: Entry) -> dict[str, object]:
    """One line of the file: the summary, the request and the reply."""
    body, raw = body_of(entry)
    said = summary(entry, entry.session)
    said["request"] = {"headers": dict(entry.request.headers), "body": body, "raw": raw}
    said["reply"] = {"headers": dict(entry.plan.headers), "body": entry.reply}
    return said

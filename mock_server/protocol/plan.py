"""What goes on the wire and when, as plain data. No socket, no callback: the server only plays it."""

from array import array
from typing import NamedTuple

Headers = tuple[tuple[str, str], ...]

JSON_HEADERS: Headers = (("content-type", "application/json"),)
SSE_HEADERS: Headers = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))


_AT_ONCE = array("I", (0,))


class Part(NamedTuple):
    """Frames and when each is due, in microseconds from the part's start (a shared array when there is no jitter).

    The first part starts when the request came; a later one when the part before it ended.
    """

    frames: tuple[bytes, ...]
    at: "array[int]"


class Plan(NamedTuple):
    """One reply: its head (due `at` microseconds after the request) and its body.

    `stream` says how the body is framed: each frame as it comes, or one body of known length.
    """

    status: int
    headers: Headers
    parts: tuple[Part, ...]
    stream: bool = False
    at: int = 0

    def body(self) -> bytes:
        """Everything the client receives after the head."""
        return b"".join([frame for part in self.parts for frame in part.frames])


def whole(status: int, headers: Headers, body: bytes, at: int = 0) -> Plan:
    """A plan that sends one body at once."""
    return Plan(status, headers, (Part((body,), array("I", (at,)) if at else _AT_ONCE),), False, at)


# what stands where a reply is yet to be given
NOTHING = whole(500, (), b"")

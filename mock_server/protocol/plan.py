"""What goes on the wire and when, as plain data. No socket, no callback: the server only plays it."""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

Headers = tuple[tuple[str, str], ...]
# what an event, or a JSON body, says: the value that became its bytes
Payload = Mapping[str, Any]
Payloads = tuple[Payload | None, ...]

JSON_HEADERS: Headers = (("content-type", "application/json"),)
SSE_HEADERS: Headers = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))

AT_ONCE = array("I", (0,))
_LATEST = 0xFFFFFFFF


class Wait(NamedTuple):
    """The one way to say "until": the gate of this name lets it pass; without a name, until the client leaves.

    A ping goes out every `ping_every` microseconds while it lasts (0: never); with `comments` a comment instead.
    """

    gate: str | None = None
    ping_every: int = 0
    comments: bool = False


class Part(NamedTuple):
    """Frames and when each is due, in microseconds from the part's start (a shared array when there is no jitter).

    The first part starts when the request came; a later one when the part before it ended; one with a `wait` when
    that is over. `source`: the payloads of its frames, or what reads them from those for whoever looks; None where only
    the bytes are kept. `joined`: makes of the frames a few pieces with the same bytes, for whoever sends all at once.
    """

    frames: tuple[bytes, ...]
    at: "array[int]"
    wait: Wait | None = None
    source: Callable[[tuple[bytes, ...]], Payloads] | Payloads | None = None
    joined: Callable[[tuple[bytes, ...]], Sequence[bytes]] | None = None

    @property
    def pieces(self) -> Sequence[bytes]:
        """All its bytes, in no more pieces than need be."""
        return self.frames if self.joined is None else self.joined(self.frames)

    @property
    def payloads(self) -> Payloads:
        """What each frame says, as it was before it became bytes; None for what is no event, or not known.

        They are shared by many replies: nobody may change them.
        """
        source = self.source
        if source is None:
            return (None,) * len(self.frames)
        return source(self.frames) if callable(source) else source


class Manner(NamedTuple):
    """What a broken reply does to HTTP itself.

    `ending`: after the last frame the body is ended properly all the same (`end`), or left open with a FIN (`close`) or
    a RST (`reset`). `head`: bytes in place of the status line and headers. `length`: the content-length that is sent,
    true or not. `apart`: every frame is a write of its own.
    """

    ending: Literal["end", "close", "reset"] | None = None
    head: bytes | None = None
    length: int | None = None
    apart: bool = False


class Plan(NamedTuple):
    """One reply: its head (due `at` microseconds after the request) and its body.

    `stream` says how the body is framed: each frame as it comes, or one body of known length. A plan that faults were
    applied to keeps what it was before in `intact`. `tokens`: input and output as the usage of a message has them.
    """

    status: int
    headers: Headers
    parts: tuple[Part, ...]
    stream: bool = False
    at: int = 0
    manner: Manner | None = None
    intact: "Plan | None" = None
    tokens: tuple[int, int] | None = None

    def body(self) -> bytes:
        """Everything the client receives after the head."""
        return b"".join([frame for part in self.parts for frame in part.frames])

    @property
    def whole(self) -> "Plan":
        """The plan as it was before anything was done to it."""
        return self if self.intact is None else self.intact

    @property
    def frames(self) -> tuple[bytes, ...]:
        """The frames of all parts."""
        return tuple([frame for part in self.parts for frame in part.frames])

    @property
    def payloads(self) -> Payloads:
        """The payloads of all parts."""
        return tuple([payload for part in self.parts for payload in part.payloads])

    @property
    def due(self) -> list[int]:
        """When each frame is due, in microseconds after the request; a wait counts as no time."""
        times: list[int] = []
        start = 0
        for part in self.parts:
            times += [start + at for at in part.at]
            start += part.at[-1] if part.at else 0
        return times


def whole(status: int, headers: Headers, body: bytes, at: int = 0, payload: Payload | None = None) -> Plan:
    """A plan that sends one body at once. `payload`: what the body says, where that is kept beside its bytes."""
    source = None if payload is None else (payload,)
    return Plan(status, headers, (Part((body,), array("I", (at,)) if at else AT_ONCE, None, source),), False, at)


class Send(NamedTuple):
    """A frame with its delay after the one before it (microseconds). `payload`: what it says, while it says that."""

    delay: int
    frame: bytes
    payload: Payload | None = None


# a frame, or what is waited for
Step = Send | Wait


def unrolled(plan: Plan) -> list[Step]:
    """A plan as steps: easy to cut, to insert into, to delay."""
    steps: list[Step] = []
    for part in plan.parts:
        if part.wait is not None:
            steps.append(part.wait)
        before = 0
        for at, frame, payload in zip(part.at, part.frames, part.payloads, strict=True):
            steps.append(Send(at - before, frame, payload))
            before = at
    return steps


def rolled(plan: Plan, steps: Iterable[Step]) -> Plan:
    """The plan with these steps for its own."""
    parts: list[Part] = []
    frames: list[bytes] = []
    payloads: list[Payload | None] = []
    at = array("I")
    wait: Wait | None = None

    def close() -> None:
        nonlocal frames, payloads, at, wait
        if frames or wait is not None:
            parts.append(Part(tuple(frames), at, wait, tuple(payloads)))
        frames, payloads, at, wait = [], [], array("I"), None

    for step in steps:
        if isinstance(step, Wait):
            close()
            wait = step
            continue
        delay, frame, payload = step
        due = (at[-1] if at else 0) + delay
        if due > _LATEST:
            close()
            due = min(delay, _LATEST)
        at.append(due)
        frames.append(frame)
        payloads.append(payload)
    close()
    return plan._replace(parts=tuple(parts))


# what stands where a reply is yet to be given
NOTHING = whole(500, (), b"")

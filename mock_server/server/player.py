"""Plays a plan on a connection: the one hot loop. Bytes out, an Outcome back; nothing is decided here."""

import asyncio
from array import array
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple, Protocol

from mock_server.protocol.plan import Plan
from mock_server.server.wheel import Wheel

RETRY_PAUSED = 0.01
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}
_LAST_CHUNK = b"0\r\n\r\n"


class Outcome(NamedTuple):
    """How an exchange ended (`completed`, `client_left`, `ended`) and how many frames were handed to the transport.

    `sent` tells when: pairs of a frame count and the microsecond it was reached; empty when all went out at once.
    """

    kind: str
    frames: int
    sent: Sequence[int] = ()


class Wire(Protocol):
    """The connection a plan is played on."""

    @property
    def write(self) -> Callable[[bytes], None]: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def is_full(self) -> bool: ...
    def when_lost(self, call: Callable[[], None] | None) -> None: ...


def head(plan: Plan, *, chunked: bool, keep_alive: bool, version: tuple[int, int]) -> bytes:
    """The status line and headers."""
    text = f"HTTP/{version[0]}.{version[1]} {plan.status} {_REASONS.get(plan.status, 'Error')}\r\n"
    for name, value in plan.headers:
        text += f"{name}: {value}\r\n"
    if chunked:
        text += "transfer-encoding: chunked\r\n"
    elif not plan.stream:
        text += f"content-length: {sum([len(frame) for part in plan.parts for frame in part.frames])}\r\n"
    if not keep_alive:
        text += "connection: close\r\n"
    elif version < (1, 1):
        text += "connection: keep-alive\r\n"
    return (text + "\r\n").encode("latin-1", "replace")


def frames_at_once(plan: Plan) -> int:
    """How many frames a plan has if all are due at once, else -1."""
    frames = 0
    for part in plan.parts:
        if part.at[-1]:
            return -1
        frames += len(part.frames)
    return frames


def play_at_once(plan: Plan, wire: Wire, opening: bytes, *, chunked: bool) -> None:
    """Send `opening` (the head) and everything else in one write."""
    body = plan.body()
    wire.write(opening + (_chunk(body) + _LAST_CHUNK if chunked else body))


async def play(playing: "Playing", wire: Wire, wheel: Wheel) -> Outcome:
    """Send the head and the parts, each frame at its time; frames that are due together go out in one write."""
    wire.when_lost(playing.lost)
    try:
        due = playing.step(wheel.now())
        if due is not None:
            wheel.add(due, playing)
        return await playing.done
    finally:
        playing.stopped = True
        wire.when_lost(None)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


class Playing:
    """A plan under way. It is stepped by the wheel, and catches up in one write when it is late: no drift."""

    __slots__ = (
        *(
            "_at",
            "_began",
            "_chunked",
            "_ended",
            "_frame",
            "_opening",
            "_outcome",
            "_part",
            "_plan",
            "_sent",
            "_start",
            "_wire",
        ),
        *("done", "stopped"),
    )

    def __init__(
        self, plan: Plan, wire: Wire, start: float, opening: bytes, chunked: bool, ended: Callable[[Outcome], None]
    ) -> None:
        """`ended` is told the outcome before the last bytes go out; `done` holds it after that."""
        self._plan = plan
        self._wire = wire
        self._start = self._began = start
        self._opening = opening
        self._chunked = chunked
        self._part = 0
        self._frame = 0
        self._at = 0
        self._sent = array("I")
        self._ended = ended
        self._outcome: Outcome | None = None
        self.stopped = False
        self.done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def lost(self) -> None:
        """The client left."""
        self.stop("client_left")

    def stop(self, kind: str) -> None:
        """Send nothing more."""
        self._end(kind)
        self._finish()

    def step(self, now: float) -> float | None:
        if self.stopped or self.done.done():
            return None
        if not self._wire.is_open:
            self.lost()
            return None
        if self._wire.is_full:
            return now + RETRY_PAUSED
        passed = int((now - self._start) * 1_000_000)
        out: list[bytes] = []
        if self._opening and passed >= self._plan.at:
            out.append(self._opening)
            self._opening = b""
        before = self._at
        due = self._start + self._plan.at / 1_000_000 if self._opening else self._take(passed, out)
        if self._at > before:
            self._note(now)
        if due is None:
            if self._chunked:
                out.append(_LAST_CHUNK)
            self._end("completed")
        if out:
            self._wire.write(out[0] if len(out) == 1 else b"".join(out))
        if due is None:
            self._finish()
        return due

    def _take(self, passed: int, out: list[bytes]) -> float | None:
        """Move the frames due by now into `out`; the time of the next one, or None after the last."""
        parts = self._plan.parts
        while self._part < len(parts):
            part = parts[self._part]
            first = last = self._frame
            at, count = part.at, len(part.frames)
            while last < count and at[last] <= passed:
                last += 1
            if last > first:
                data = part.frames[first] if last == first + 1 else b"".join(part.frames[first:last])
                out.append(_chunk(data) if self._chunked else data)
                self._at += last - first
                self._frame = last
            if last < count:
                return self._start + at[last] / 1_000_000
            self._start += (at[-1] if count else 0) / 1_000_000
            passed -= at[-1] if count else 0
            self._part += 1
            self._frame = 0
        return None

    def _note(self, now: float) -> None:
        self._sent.append(self._at)
        self._sent.append(min(int((now - self._began) * 1_000_000), 0xFFFFFFFF))

    def _end(self, kind: str) -> None:
        if self._outcome is None:
            self._outcome = Outcome(kind, self._at, self._sent)
            self._ended(self._outcome)

    def _finish(self) -> None:
        if not self.done.done():
            assert self._outcome is not None
            self.done.set_result(self._outcome)

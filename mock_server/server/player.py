"""Plays plans on connections: the one hot loop, and the one timer that steps them all. Bytes out, an Outcome back;
nothing is decided here.
"""

import asyncio
import heapq
from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple, Protocol

from mock_server.clock import INSTANT
from mock_server.engine.entry import Lane
from mock_server.engine.slots import ReplyStencil, places
from mock_server.protocol.plan import Part, Plan
from mock_server.protocol.sse import KEEPALIVE_FRAME, PING_FRAME

RETRY_PAUSED = 0.01
RETRY_RESET = 0.001
NEVER = float("inf")
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}
_CHUNKED = "transfer-encoding: chunked"
_LAST_CHUNK = b"0\r\n\r\n"


class Outcome(NamedTuple):
    """How an exchange ended (`completed`, `client_left`, `fault`, `ended`) and how many frames the transport was given.

    `sent` tells when: of each frame the seconds after the request; empty when all went out at once.
    """

    kind: str
    frames: int
    sent: Sequence[float] = ()

    def is_in_order(self, plan: Plan) -> bool:
        """Whether HTTP ended as it should, whatever was in the body: the connection takes another request."""
        ends = plan.manner is not None and plan.manner.ending == "end"
        return self.kind == "completed" or (self.kind == "fault" and ends)


class PlayerConnection(Protocol):
    """The connection a plan is played on."""

    @property
    def write(self) -> Callable[[bytes], None]: ...
    @property
    def transport(self) -> asyncio.Transport | None: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def is_full(self) -> bool: ...
    @property
    def is_drained(self) -> bool: ...
    def when_lost(self, call: Callable[[], None] | None) -> None: ...
    def end(self, *, reset: bool) -> None: ...


def head(plan: Plan, framing: str, *, keep_alive: bool, version: tuple[int, int]) -> bytes:
    """The status line and headers. `framing`: the header that tells where the body ends; none where its end does."""
    status = plan.status
    lines = [f"HTTP/{version[0]}.{version[1]} {status} {_REASONS.get(status, 'Error')}", *map(": ".join, plan.headers)]
    if framing:
        lines.append(framing)
    if not keep_alive:
        lines.append("connection: close")
    elif version < (1, 1):
        lines.append("connection: keep-alive")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1", "replace")


def opening_of(plan: Plan, *, keep_alive: bool, version: tuple[int, int]) -> tuple[bytes, bool]:
    """What goes before the body, and whether the body is chunked."""
    manner = plan.manner
    if manner is not None and manner.head is not None:
        return manner.head, False
    length = None if manner is None else manner.length
    chunked = plan.stream and length is None and version >= (1, 1)
    if length is None and not plan.stream:
        length = sum([len(frame) for part in plan.parts for frame in part.frames])
    framing = _CHUNKED if chunked else "" if length is None else f"content-length: {length}"
    return head(plan, framing, keep_alive=keep_alive, version=version), chunked


def frames_at_once(plan: Plan) -> int:
    """How many frames a plan has if it is nothing but frames that are all due at once, else -1."""
    if plan.manner is not None:
        return -1
    frames = 0
    for part in plan.parts:
        if part.wait is not None or part.at[-1]:
            return -1
        frames += len(part.frames)
    return frames


def at_once(plan: Plan, *, keep_alive: bool, version: tuple[int, int]) -> bytes:
    """All that is sent of a plan whose frames are due at once: head and body in one join."""
    pieces = [b""]
    for part in plan.parts:
        pieces += part.pieces
    size = sum(map(len, pieces))
    if not plan.stream:
        pieces[0] = head(plan, f"content-length: {size}", keep_alive=keep_alive, version=version)
    elif version < (1, 1):
        pieces[0] = head(plan, "", keep_alive=keep_alive, version=version)
    else:
        pieces[0] = head(plan, _CHUNKED, keep_alive=keep_alive, version=version)
        if size:
            pieces[0] += b"%x\r\n" % size
            pieces.append(b"\r\n")
        pieces.append(_LAST_CHUNK)
    return b"".join(pieces)


def with_holes(plan: Plan, marks: Mapping[str, bytes]) -> ReplyStencil:
    """The same of a plan with marks in it: holes where they stand, and where the length of its body does."""
    data = at_once(plan, keep_alive=True, version=(1, 1))
    size, form = len(plan.body()), b"%x" if plan.stream else b"%d"
    before, after = (b"\r\n\r\n", b"\r\n") if plan.stream else (b"\r\ncontent-length: ", b"\r\n\r\n")
    start = data.index(before + form % size + after) + len(before)
    return ReplyStencil(data, places(data, marks), (start, start + len(form % size)), form)


async def play(playing: "Playing") -> Outcome:
    """Send the head and the parts, each frame at its time; frames that are due together go out in one write."""
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def over(outcome: Outcome) -> None:
        if not done.done():  # nobody waits any more
            done.set_result(outcome)

    playing.begin(over)
    try:
        return await done
    finally:
        playing.forget()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


# One timer for all streams: what is due within the same millisecond is stepped together, at absolute times.

TICK = 0.001


class Steps(Protocol):
    """Something that is due again and again."""

    def step(self, now: float) -> float | None:
        """Do what is due by `now` (the loop's time); return when to come again, or None at the end."""


class Wheel:
    """Steps at their time, never earlier. The cost of a stream is one list entry a step, not a timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: Callable[[float], float] = lambda now: 0.0) -> None:
        """`patience`: how long (seconds) after a round of steps the next one can wait, at this time of the loop."""
        self._loop = loop
        self._patience = patience
        self._rested = 0.0  # when the last round was over
        self._slots: dict[int, list[Steps]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._next: int | None = None
        self._running = False

    def now(self) -> float:
        """The loop's time, which all due times are in."""
        return self._loop.time()

    def add(self, due: float, steps: Steps) -> None:
        """Call `steps.step` at loop time `due`."""
        slot = _slot(due) + 1
        waiting = self._slots.get(slot)
        if waiting is not None:
            waiting.append(steps)
            return
        self._slots[slot] = [steps]
        heapq.heappush(self._order, slot)
        if not self._running and (self._next is None or slot < self._next):
            self._set(slot)

    def _set(self, slot: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = slot
        self._timer = self._loop.call_at(slot * TICK, self._run)

    def _run(self) -> None:
        now = self._loop.time()
        waits_until = self._rested + self._patience(now)
        if now < waits_until:
            self._set(_slot(waits_until) + 1)
            return
        self._round(now)
        self._rested = self._loop.time()

    def _round(self, now: float) -> None:
        """Step all that is due."""
        reached = _slot(now)
        order, slots = self._order, self._slots
        self._running = True
        try:
            while order and order[0] <= reached:
                for steps in slots.pop(heapq.heappop(order)):
                    due = steps.step(now)
                    if due is None:
                        continue
                    waiting = slots.get(int((due + INSTANT) / TICK) + 1)  # `_slot` and `add`, for nearly all
                    if waiting is not None:
                        waiting.append(steps)
                    else:
                        self.add(due, steps)
        finally:
            self._running = False
            self._next = self._timer = None
            if order:
                self._set(order[0])


def _slot(time: float) -> int:
    """The tick that is over at this time. A timer for a tick must find it over: dividing is not exact."""
    return int((time + INSTANT) / TICK)


# A plan under way.


class Playing:
    """A plan under way. It is stepped by the wheel, and catches up in one write when it is late: no drift.

    Times are those of its session's clock. While that stands still, or a gate holds it, it is in no queue and costs no
    CPU: whoever turns the clock or opens the gate wakes it.
    """

    __slots__ = (
        *("_apart", "_at", "_began", "_chunked", "_clock", "_ended", "_frame", "_frames", "_held", "_lane", "_next"),
        *("_opening", "_outcome", "_over", "_part", "_passed", "_plan", "_sent", "_shift", "_start", "_transport"),
        *("_until", "_wheel", "_wire", "due"),
    )

    _frames: Sequence[bytes]  # of the part under way
    _at: "array[int]"  # when they are due
    _transport: asyncio.Transport  # what takes them

    def __init__(
        self,
        plan: Plan,
        wire: PlayerConnection,
        lane: Lane,
        wheel: Wheel,
        start: float,
        opening: bytes,
        chunked: bool,
        ended: Callable[[Outcome], None],
    ) -> None:
        """`start`: when the request came (loop time). `ended` gets the outcome before the last bytes go out."""
        self._plan = plan
        self._wire = wire
        self._lane = lane
        self._wheel = wheel
        clock = self._clock = lane.clock
        self._shift = clock.now() - wheel.now()
        self._start = self._began = clock.now() if clock.frozen else start + self._shift
        self._opening = opening
        self._chunked = chunked
        self._apart = plan.manner is not None and plan.manner.apart
        self._part = 0
        self._frame = 0
        self._until = 0  # to this frame of the part there is nothing to think of but the next one
        self._sent = array("d")  # when each frame went out (the clock's time)
        self._ended = ended
        self._outcome: Outcome | None = None
        self._held: str | None = None  # the gate that holds it; "" for none but the client's leaving
        self._passed = False  # what the part under way waited for is over
        self._next = 0.0  # the loop time it wants to be stepped at; an older wish in the wheel comes to nothing
        self.due: float | None = self._start
        self._over: Callable[[Outcome], None] | None = None

    def begin(self, over: Callable[[Outcome], None]) -> None:
        """Send what is due now, and the rest in its time. `over` gets the outcome when all is sent."""
        self._over = over
        self._clock.add(self)
        self._go()
        if self._over is not None:  # it waits: whoever leaves now, or has left, gets no more
            self._wire.when_lost(self.lost)

    def lost(self) -> None:
        """The client left."""
        self.stop("client_left")

    def stop(self, kind: str) -> None:
        """Send nothing more."""
        self._end(kind)
        self._finish()

    def cut(self, kind: str) -> None:
        """Send nothing more, and end the connection with it."""
        self.stop(kind)
        self._wire.end(reset=False)

    def forget(self) -> None:
        """Leave every queue, and send nothing more."""
        self._over = None
        self._next = NEVER
        self._wire.when_lost(None)
        self._clock.discard(self)
        if self._held:
            self._lane.gates.leave(self._held, self)

    # -- what wakes it -----------------------------------------------------------------------------------------

    def step(self, now: float) -> float | None:
        """It is time (the loop's); when to come again, or None.

        What nearly all steps of a server are, one frame in the middle of a part, is done here at once: it is `_step`
        with all left out that such a frame does not need. No property is asked on the way: it would cost as much again.
        """
        if now < self._next:
            return None
        frame = self._frame
        if frame < self._until:
            due, time = self._start + self._at[frame + 1] / 1_000_000, now + self._shift
            transport = self._transport
            if due > time and not (transport.is_closing() or transport.get_write_buffer_size()):
                data = self._frames[frame]
                self._frame = frame + 1
                self._sent.append(time)
                self.due = due
                self._next = due = due - self._shift
                transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked and data else data)
                return due
        due = self._next = self._step(now)
        return None if due == NEVER else due

    def wake(self) -> None:
        """The clock was turned."""
        self._shift = self._clock.now() - self._wheel.now()
        self._go()

    def passed(self) -> None:
        """The gate that held it lets it go on."""
        self._held, self._passed = None, True
        self._start = self._now()
        self._go()

    def _go(self) -> None:
        due = self._next = self._step(self._wheel.now())
        if due != NEVER:
            self._wheel.add(due, self)

    def _now(self) -> float:
        return self._clock.now()

    # -- one step ----------------------------------------------------------------------------------------------

    def _step(self, now: float) -> float:
        """Send what is due by now; the loop time to come again."""
        wire, clock = self._wire, self._clock
        if self._over is None:
            return NEVER
        if not wire.is_open:
            self.lost()
            return NEVER
        if wire.is_full:
            return now + RETRY_PAUSED
        time = clock.now() if clock.frozen else now + self._shift
        out: list[bytes] = []
        due = self.due = self._open(time, out) if self._opening else self._take(time, out)
        if due is None and self._held is None:
            return self._last(out, now)
        if out:
            self._write(out)
        return NEVER if due is None or clock.frozen else due - self._shift

    def _open(self, time: float, out: list[bytes]) -> float | None:
        """Move the head into `out` when it is due, and what is due with it."""
        due = self._start + self._plan.at / 1_000_000
        if time < due:
            return due
        out.append(self._opening)
        self._opening = b""
        return self._take(time, out)

    def _write(self, out: list[bytes]) -> None:
        for data in out if self._apart else [b"".join(out)]:
            self._wire.write(data)

    def _last(self, out: list[bytes], now: float) -> float:
        """Everything is out but for `out`: end the body as the plan wants it ended."""
        ending = None if self._plan.manner is None else self._plan.manner.ending
        if self._chunked and ending in (None, "end"):
            out.append(_LAST_CHUNK)
        if ending == "reset" and (out or not self._wire.is_drained):
            if out:
                self._write(out)
            # a reset throws away what has not arrived yet
            return now + (RETRY_RESET if out else RETRY_PAUSED)
        self._end("completed" if ending is None else "fault")
        if out:
            self._write(out)
        if ending in ("close", "reset"):
            self._wire.end(reset=ending == "reset")
        self._finish()
        return NEVER

    def _take(self, time: float, out: list[bytes]) -> float | None:
        """Move the frames due by now into `out`; the time of the next one, or None after the last or while held."""
        self._until = 0
        parts = self._plan.parts
        while self._part < len(parts):
            part = parts[self._part]
            if part.wait is not None and not self._passed and self._is_held(part, time, out):
                return self.due
            passed = int((time - self._start) * 1_000_000 + 0.5)
            first = self._frame
            at, count = part.at, len(part.frames)
            last = bisect_right(at, passed, first)
            if last > first:
                self._sent.extend([time] * (last - first))
                self._frame = last
                if self._apart:
                    out += [_chunk(frame) if self._chunked else frame for frame in part.frames[first:last]]
                else:
                    data = part.frames[first] if last == first + 1 else b"".join(part.frames[first:last])
                    out.append(_chunk(data) if self._chunked else data)
            if last < count:
                transport = self._wire.transport
                if not self._apart and transport is not None:
                    self._transport, self._frames, self._at, self._until = transport, part.frames, at, count - 1
                return self._start + at[last] / 1_000_000
            self._start += (at[-1] if count else 0) / 1_000_000
            self._part += 1
            self._frame = 0
            self._passed = False
        return None

    def _is_held(self, part: Part, time: float, out: list[bytes]) -> bool:
        """Whether it stays where it is; a ping goes out when one is due. `due` says when the next one is."""
        wait = part.wait
        assert wait is not None
        if self._held is None:
            if wait.gate is not None and self._lane.gates.hold(wait.gate, self):
                self._passed, self._start = True, time
                return False
            self._held = wait.gate or ""
            self.due = time + wait.ping_every / 1_000_000 if wait.ping_every else None
        elif self.due is not None and wait.ping_every and time >= self.due:
            beat = KEEPALIVE_FRAME if wait.comments else PING_FRAME
            out.append(_chunk(beat) if self._chunked else beat)
            self.due += wait.ping_every / 1_000_000
        return True

    # -- the end -----------------------------------------------------------------------------------------------

    def _end(self, kind: str) -> None:
        if self._outcome is None:
            began, sent = self._began, self._sent
            self._outcome = Outcome(kind, len(sent), array("d", [time - began for time in sent]))
            self._ended(self._outcome)

    def _finish(self) -> None:
        over = self._over
        if over is not None:
            assert self._outcome is not None
            self.forget()
            over(self._outcome)

"""A loop whose time is turned by hand, a connection that keeps what is written, and a plan played on the two."""

import asyncio
import heapq
from collections.abc import Callable
from typing import Any

from mock_server.clock import VirtualClock
from mock_server.engine.gates import Gates
from mock_server.protocol.plan import Plan
from mock_server.server.player import Outcome, Playing, Wheel, play


class Timer:
    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when, self.call, self.cancelled = when, call, False

    def cancel(self) -> None:
        self.cancelled = True


class HandLoop:
    """What a wheel and an inbox ask of a loop: the time, to be called at a time, to be called soon."""

    def __init__(self) -> None:
        self.now = 100.0
        self._queue: list[tuple[float, int, Timer]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> Timer:
        timer = Timer(when, call)
        heapq.heappush(self._queue, (when, len(self._queue), timer))
        return timer

    def call_soon(self, call: Callable[[], None]) -> Timer:
        return self.call_at(self.now, call)

    def turn_to(self, when: float) -> None:
        while self._queue and self._queue[0][0] <= when:
            due, _, timer = heapq.heappop(self._queue)
            self.now = max(self.now, due)
            if not timer.cancelled:
                timer.call()
        self.now = when

    def jump_to(self, when: float) -> None:
        """As after a stall: nothing ran in between."""
        self.now = when
        self.turn_to(when)


class Wire:
    """A connection that keeps what is written, with the time in milliseconds, and how it was ended."""

    def __init__(self, loop: HandLoop) -> None:
        self._loop = loop
        self.written: list[tuple[float, bytes]] = []
        self.is_open = True
        self.is_full = False
        self.is_drained = True
        self.waiting = 0  # bytes that the transport has kept, since the system did not take them
        self.ended: str | None = None
        self.lost: Callable[[], None] | None = None

    @property
    def transport(self) -> "Wire":
        return self

    def is_closing(self) -> bool:
        return not self.is_open

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes) -> None:
        self.written.append((round((self._loop.time() - 100) * 1000), data))

    def when_lost(self, call: Callable[[], None] | None) -> None:
        self.lost = call

    def end(self, *, reset: bool) -> None:
        self.ended = "reset" if reset else "close"

    @property
    def data(self) -> list[bytes]:
        return [data for _, data in self.written]


class Base:
    """The hand loop's time as a clock."""

    def __init__(self, loop: HandLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return self._loop.time() + 5000.0

    def unix(self) -> float:
        return self._loop.time() + 1_790_000_000.0


class Lane:
    """What a session has for its replies."""

    def __init__(self, loop: HandLoop) -> None:
        self.clock = VirtualClock(Base(loop))
        self.gates = Gates()


def played(
    loop: HandLoop, wire: Wire, what: Plan, *moves: Any, lane: Lane | None = None, chunked: bool = False
) -> Outcome | None:
    """Play on the hand loop; each move is a function called in turn while the plan is under way."""
    at = lane or Lane(loop)

    async def run() -> Outcome | None:
        told: list[Outcome] = []
        playing = Playing(what, wire, at, Wheel(loop), 100.0, b"head;", chunked, told.append)
        task = asyncio.ensure_future(play(playing))
        await asyncio.sleep(0)
        for move in moves:
            move()
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        if task.done():
            assert told == [task.result()]
            return task.result()
        task.cancel()
        return None

    return asyncio.run(run())

"""What is due when on the server's loop: one timer for all streams, and the requests that came whole and wait their
turn.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Protocol

from mock_server.clock import INSTANT
from mock_server.protocol.request import HttpRequest

# Requests that came whole and wait to be answered: first come, first served, a slice at a time.
#
# To take a request off its connection costs a tenth of answering it. So all that came are taken first: each knows when
# it came, and what its reply is late by at first, the rest of it is not.

SLICE = 0.002  # seconds of answering, before what came meanwhile is taken and streams have their turn
MOST_PATIENCE = 0.025  # seconds: a little more than the usual gap of a stream, so that two deltas can go out as one

# a request, all its bytes (none where those are too many to be remembered), and when it came (loop time)
Answer = Callable[[HttpRequest, bytes, float], None]


class Inbox:
    """Has requests answered in the order they were put in."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[float, Answer, HttpRequest, bytes]] = deque()
        self._is_called = False  # or will be: the next slice

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, answer: Answer, http: HttpRequest, sent: bytes) -> None:
        """Have a request answered when its turn comes."""
        self._waiting.append((self._loop.time(), answer, http, sent))
        if not self._is_called:
            self._is_called = True
            self._loop.call_soon(self._run)

    def patience(self, now: float) -> float:
        """How long (seconds) streams can wait for requests: as long as the first of those has waited, within reason.

        When there is too much to do, both are late by the same, and a stream that is late sends in one write what it
        would have sent in two: there is less to do.
        """
        return min(now - self._waiting[0][0], MOST_PATIENCE) if self._waiting else 0.0

    def _run(self) -> None:
        waiting, time = self._waiting, self._loop.time
        until = time() + SLICE
        try:
            while waiting:
                came, answer, http, sent = waiting.popleft()
                answer(http, sent, came)
                if time() >= until:
                    break
        finally:  # whatever became of one, the others have their turn
            self._is_called = bool(waiting)
            if waiting:
                self._loop.call_soon(self._run)


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

"""One timer for all streams: what is due within the same millisecond is stepped together, at absolute times."""

import asyncio
import heapq
from collections.abc import Callable
from typing import Protocol

from mock_server.clock import INSTANT

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

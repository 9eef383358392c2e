"""The clock, real or by hand, and times as the API writes them. Whoever needs the time is given a clock; nobody asks
the operating system.

Tests patch clocks: freezegun rewrites `time.monotonic` and every name of a module that is it, `unittest.mock` the
attribute of `time`, time-machine what `time.time` is in C. A server in the process of such a test goes on all the same,
so the functions of `time` were taken when this module was loaded, into places that no patch looks at: attributes of
classes and default arguments. `tests/test_architecture.py` holds that nobody looks `time` up when it is needed.

A leaf: imports nothing of the package.
"""

import heapq
import time
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import repeat
from operator import add
from typing import Protocol

INSTANT = 1e-6  # seconds; sums of times are not exact to more than this


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    def unix(self) -> float:
        """Seconds since 1970, for what people and headers read."""


class SystemClock:
    """The machine's own time."""

    now = staticmethod(time.monotonic)
    unix = staticmethod(time.time)
    sleep = staticmethod(time.sleep)


class SteadyClock(SystemClock):
    """The machine's own time in a process where tests may travel in theirs."""

    # Of `time.time` there is only one, and time-machine changes that: so this is the monotonic clock, ahead by as much
    # as it was when this module was loaded. An iterator made of C, since it is asked three times a request.
    unix = staticmethod(map(add, iter(time.monotonic, None), repeat(time.time() - time.monotonic())).__next__)


def _forward(seconds: float) -> float:
    if not 0 <= seconds <= 1e10:
        raise ValueError(f"time does not go back, nor on for ever: advance({seconds})")
    return seconds


class Sleeper(Protocol):
    """Something that waits for a time on a virtual clock."""

    @property
    def due(self) -> float | None:
        """When it has something to do (the clock's `now`); None while nothing is planned."""

    def wake(self) -> None:
        """Do what is due by now; the clock may have stopped, jumped or gone on."""


class VirtualClock:
    """A clock over another one that can be frozen, advanced and let go on. Real time until somebody does: until then
    its methods are those of the other.

    To be turned on the thread of those who sleep by it.
    """

    def __init__(self, base: Clock) -> None:
        self._base = base
        self._ahead = 0.0
        self._forgotten = 0.0  # the part of it that `unix` no longer has
        self._stopped = 0.0
        self._epoch = 0.0  # what `unix` is ahead of `now` by while it stands still
        self._sleepers: dict[Sleeper, None] = {}
        self.frozen = False
        vars(self).update(now=base.now, unix=base.unix)

    def now(self) -> float:
        return self._stopped if self.frozen else self._base.now() + self._ahead

    def unix(self) -> float:
        return self._stopped + self._epoch if self.frozen else self._base.unix() + self._ahead - self._forgotten

    def _is_turned(self) -> None:
        """From now on this clock answers for itself."""
        vars(self).pop("now", None)
        vars(self).pop("unix", None)

    def freeze(self) -> None:
        """Stand still from now on. Freezing twice is freezing once."""
        if not self.frozen:
            self._stop(self.now())
        self._wake()

    def resume(self) -> None:
        """Go on from here."""
        if self.frozen:
            self._ahead, self.frozen = self._stopped - self._base.now(), False
        self._wake()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once, and everything that is due in them happen in its order, at its own time."""
        target = self.now() + _forward(seconds)
        was_frozen = self.frozen
        if not was_frozen:
            self._stop(self.now())
        try:
            self._pass_until(target)
        finally:
            self._stopped = target
            self._ahead, self.frozen = target - self._base.now(), was_frozen
            self._wake()

    def _stop(self, now: float) -> None:
        self._is_turned()
        self._epoch = self._base.unix() + self._ahead - self._forgotten - now
        self._stopped, self.frozen = now, True

    def reset(self) -> None:
        """Real time again. `now` does not go back for it; what is under way goes on from where it stands."""
        self.resume()
        self._forgotten = self._ahead

    def add(self, sleeper: Sleeper) -> None:
        """Tell `sleeper` whenever the clock is turned."""
        self._sleepers[sleeper] = None

    def discard(self, sleeper: Sleeper) -> None:
        """Tell it no more."""
        self._sleepers.pop(sleeper, None)

    def _wake(self) -> None:
        for sleeper in tuple(self._sleepers):
            sleeper.wake()

    def _pass_until(self, target: float) -> None:
        order = [(one.due, at, one) for at, one in enumerate(self._sleepers) if one.due is not None]
        heapq.heapify(order)
        while order and order[0][0] <= target:
            due, at, one = order[0]
            if one.due is None or one not in self._sleepers:
                heapq.heappop(order)
            elif one.due > due:
                heapq.heapreplace(order, (one.due, at, one))
            else:
                self._stopped = max(self._stopped, due)
                before = one.due
                one.wake()
                if one.due == before:  # it cannot go on now (a client that does not read): not ours to wait for
                    heapq.heappop(order)


# Times as the API writes them.


def moment(unix: float, of: Callable[[float, timezone], datetime] = datetime.fromtimestamp) -> datetime:
    """Seconds since 1970 as a date and time of UTC."""
    return of(unix, timezone.utc)


def rfc3339(unix: float) -> str:
    """`2026-11-26T01:02:03.000000Z`, of seconds since 1970."""
    return moment(round(unix, 6)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def whole_seconds(at: datetime) -> str:
    """`2026-11-26T01:02:03Z`: a time where nobody asks for fractions of a second."""
    return at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(unix: int, gmtime: Callable[[float], time.struct_time] = time.gmtime) -> str:
    """`Thu, 26 Nov 2026 01:02:03 GMT`: the header `date`, in the words of HTTP and no locale."""
    at = gmtime(unix)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"

"""The clock, real or by hand. Whoever needs the time is given one; nobody asks the operating system.

A leaf: imports nothing of the package.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    def unix(self) -> float:
        """Seconds since 1970, for what people and headers read."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.monotonic()

    def unix(self) -> float:
        return time.time()


class ManualClock:
    """Stands still until it is advanced."""

    def __init__(self, unix: float = 1_790_000_000.0) -> None:
        self._start = unix
        self._passed = 0.0

    def now(self) -> float:
        return self._passed

    def unix(self) -> float:
        return self._start + self._passed

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass (not negative)."""
        if seconds < 0:
            raise ValueError(f"time does not go back: advance({seconds})")
        self._passed += seconds

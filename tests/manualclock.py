"""A clock that tests move by hand."""


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
        self._passed += seconds

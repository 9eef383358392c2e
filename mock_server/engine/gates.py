"""The gates of one session: a reply that comes to a gate is held there until somebody lets it through.

A gate is shut until it is released, before or after a reply has come to it: the order of the two does not matter. All
of this happens on the server's loop; only `wait` may be called from elsewhere.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

from mock_server.engine.waiting import wait, wait_async
from mock_server.scenario.node import several

MOST_GATES = 10_000  # names that are remembered, beside those of gates that hold something or stand open


class NotReached(TimeoutError):
    """No reply came to the gate in time; the text says which gates hold something."""

    __module__ = "mock_server"


class HeldReply(Protocol):
    """A reply under way that can be held."""

    def passed(self) -> None:
        """It may go on."""


class GateView(NamedTuple):
    """One gate: how many replies it holds, whether it stands open, how many more it lets through, how many it has."""

    name: str
    waiting: int
    open: bool
    permits: int
    passed: int


class _Gate:
    __slots__ = ("open", "passed", "permits", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[HeldReply, None] = {}
        self.open = False
        self.permits = 0
        self.passed = 0

    @property
    def is_idle(self) -> bool:
        return not (self.waiting or self.open or self.permits)


class Gates:
    """Gates by name. A name nobody has used is a gate that is shut."""

    def __init__(self) -> None:
        self._gates: dict[str, _Gate] = {}
        self._lock = threading.Lock()
        self._subscribers: tuple[Callable[[], None], ...] = ()

    # -- replies under way -------------------------------------------------------------------------------------

    def _of(self, name: str) -> _Gate:
        """The gate of this name; where there are too many, the oldest is forgotten that is as if nobody had used it."""
        gate = self._gates.get(name)
        if gate is None:
            gate = self._gates[name] = _Gate()
            if len(self._gates) > MOST_GATES:
                oldest = next((one for one, it in self._gates.items() if it is not gate and it.is_idle), None)
                if oldest is not None:
                    del self._gates[oldest]
        return gate

    def hold(self, name: str, held: HeldReply) -> bool:
        """Whether a reply passes at once; else it is held, and hears when it may go on."""
        gate = self._of(name)
        if gate.open or gate.permits:
            gate.permits -= not gate.open
            gate.passed += 1
            return True
        gate.waiting[held] = None
        self._tell()
        return False

    def leave(self, name: str, held: HeldReply) -> None:
        """A reply that was held is over."""
        gate = self._gates.get(name)
        if gate is not None and gate.waiting.pop(held, gate) is None:
            self._tell()

    # -- who lets them through ---------------------------------------------------------------------------------

    def release(self, name: str, times: int | None = None) -> int:
        """Open a gate for good, or let `times` replies through, now or when they come; returns how many went now."""
        gate = self._of(name)
        if times is None:
            gate.open, going = True, list(gate.waiting)
        else:
            going = list(gate.waiting)[:times]
            gate.permits += times - len(going)
        for held in going:
            del gate.waiting[held]
            gate.passed += 1
        for held in going:
            held.passed()
        self._tell()
        return len(going)

    def shut(self, name: str) -> None:
        """Hold whatever comes from now on."""
        gate = self._of(name)
        gate.open, gate.permits = False, 0
        self._tell()

    def reset(self) -> None:
        """Let everything through that is held, and forget the gates."""
        held = [one for gate in self._gates.values() for one in gate.waiting]
        self._gates = {}
        for one in held:
            one.passed()
        self._tell()

    # -- who asks ----------------------------------------------------------------------------------------------

    def waiting(self, name: str) -> int:
        """How many replies a gate holds."""
        gate = self._gates.get(name)
        return 0 if gate is None else len(gate.waiting)

    def all(self) -> tuple[GateView, ...]:
        """The gates that have been used, by name."""
        known = sorted(self._gates.items())
        return tuple(GateView(name, len(one.waiting), one.open, one.permits, one.passed) for name, one in known)

    def subscribe(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Run `tell` whenever a reply comes to a gate or leaves it, or a gate is turned; asked twice, it runs once.
        Returns what ends that.
        """
        with self._lock:
            if tell not in self._subscribers:
                self._subscribers = (*self._subscribers, tell)

        def end() -> None:
            with self._lock:
                self._subscribers = tuple(one for one in self._subscribers if one != tell)

        return end

    def wait(self, name: str, count: int = 1, timeout: float = 5.0) -> None:
        """Block until a gate holds `count` replies. Raises NotReached. Not for the server's own loop."""
        if not wait(lambda: self.waiting(name) >= count, self.subscribe, timeout):
            raise NotReached(self._so_far(name, count, timeout))

    async def wait_async(self, name: str, count: int = 1, timeout: float = 5.0) -> None:
        """The same on an event loop, also the server's own."""
        if not await wait_async(lambda: self.waiting(name) >= count, self.subscribe, timeout):
            raise NotReached(self._so_far(name, count, timeout))

    def _so_far(self, name: str, count: int, timeout: float) -> str:
        held = (
            ", ".join(f"'{one.name}' holds {one.waiting}" for one in self.all() if one.waiting) or "no gate holds any"
        )
        return f"gate '{name}' holds {several(self.waiting(name), 'reply')}, not {count}, after {timeout:g} s; {held}"

    def _tell(self) -> None:
        for tell in self._subscribers:
            tell()

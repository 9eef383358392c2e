"""What a test turns while replies are under way: the clock, the gates, the chaos. For a server in this process.

The same over the control API is in `remote.py`.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mock_server.engine.chaos import OverlayView, ServerOverlays, SessionOverlays
from mock_server.engine.gates import GateView
from mock_server.engine.session import Session
from mock_server.scenario.load import build, load_overlays
from mock_server.scenario.model import Scenario

_T = TypeVar("_T")


class Clock(ABC):
    """The clock of a session. Cache, rate limits, batches and the pace of its replies go by it."""

    @abstractmethod
    def freeze(self) -> None:
        """Stand still from now on: nothing that takes time goes on."""

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once. What is due in them has been sent, in order, when this returns."""

    @abstractmethod
    def resume(self) -> None:
        """Go on by itself, from where it stands."""

    @property
    @abstractmethod
    def unix(self) -> float:
        """Its time in seconds since 1970."""

    @property
    @abstractmethod
    def frozen(self) -> bool:
        """Whether it stands still."""


class Gates(ABC):
    """The gates of a session: `gate: NAME` in a scenario holds a reply there until it is released."""

    @abstractmethod
    def release(self, name: str, times: int | None = None) -> int:
        """Open a gate for good, or let `times` replies through, now or when they come; returns how many went now."""

    @abstractmethod
    def shut(self, name: str) -> None:
        """Hold again what comes from now on."""

    @abstractmethod
    def wait(self, name: str, count: int = 1, timeout: float = 5.0) -> None:
        """Block until a gate holds `count` replies. Raises NotReached. On the server's own loop use `wait_async`."""

    @abstractmethod
    async def wait_async(self, name: str, count: int = 1, timeout: float = 5.0) -> None:
        """The same without blocking the event loop."""

    @abstractmethod
    def all(self) -> Sequence[GateView]:
        """The gates that have been used."""

    def waiting(self, name: str) -> int:
        """How many replies a gate holds."""
        return next((one.waiting for one in self.all() if one.name == name), 0)


class Chaos(ABC):
    """Overlays: faults and paces that are laid over replies whatever scenario gives them."""

    def add(
        self,
        fault: Any = None,
        *,
        when: Mapping[str, Any] | None = None,
        chance: str | None = None,
        gate: Any = None,
        timing: str | Mapping[str, Any] | None = None,
        name: str | None = None,
        priority: int | None = None,
    ) -> str:
        """Lay a fault (its name, a mapping or a list) over every reply, or those `when` picks; returns its name.

        `chance`: how often, such as `20%`, drawn from the seed and the request. Raises ScenarioError.
        """
        __tracebackhide__ = True
        keys = {
            "when": when,
            "chance": chance,
            "fault": fault,
            "gate": gate,
            "timing": timing,
            "priority": priority,
        }
        data = {key: value for key, value in keys.items() if value is not None}
        self._lay(overlay := build({"name": name or self._new_name(), **data}, "chaos.add()"))
        return overlay.name

    def load(self, *paths: str | Path) -> Sequence[str]:
        """Lay the overlays of these files. Raises ScenarioError for a file that holds anything else."""
        __tracebackhide__ = True
        found = load_overlays(paths)
        self._lay(*found)
        return [one.name for one in found]

    @abstractmethod
    def remove(self, name: str) -> None:
        """Take an overlay away that was added. Raises LookupError for one that is not there."""

    @abstractmethod
    def switch(self, name: str, on: bool) -> None:
        """Have an overlay strike, or not, wherever it comes from. Raises LookupError for one that is not there."""

    @abstractmethod
    def all(self) -> Sequence[OverlayView]:
        """The overlays there are, in order."""

    def clear(self) -> None:
        """Take away every overlay that was added."""
        for one in self.all():
            if one.added:
                self.remove(one.name)

    def __iter__(self) -> Iterator[OverlayView]:
        return iter(self.all())

    @abstractmethod
    def _lay(self, *overlays: Scenario) -> None: ...

    @abstractmethod
    def _new_name(self) -> str: ...


# -- in this process --------------------------------------------------------------------------------------------------


class Call:
    """Runs a function on the server's loop, and waits for it."""

    def __init__(self, run: Callable[[Callable[[], Any]], Any]) -> None:
        self._run = run

    def __call__(self, function: Callable[[], _T]) -> _T:
        result: _T = self._run(function)
        return result


class LocalClock(Clock):
    def __init__(self, session: Session, call: Call) -> None:
        self._clock = session.clock
        self._call = call

    def freeze(self) -> None:
        self._call(self._clock.freeze)

    def advance(self, seconds: float) -> None:
        self._call(lambda: self._clock.advance(seconds))

    def resume(self) -> None:
        self._call(self._clock.resume)

    @property
    def unix(self) -> float:
        return self._clock.unix()

    @property
    def frozen(self) -> bool:
        return self._clock.frozen


class LocalGates(Gates):
    def __init__(self, session: Session, call: Call) -> None:
        self._gates = session.gates
        self._call = call

    def release(self, name: str, times: int | None = None) -> int:
        return self._call(lambda: self._gates.release(name, times))

    def shut(self, name: str) -> None:
        self._call(lambda: self._gates.shut(name))

    def wait(self, name: str, count: int = 1, timeout: float = 5.0) -> None:
        if self._gates.waiting(name) < count and self._on_its_loop():
            raise RuntimeError("wait() would block the server's own event loop: use `await gates.wait_async(…)`")
        self._gates.wait(name, count, timeout)

    def _on_its_loop(self) -> bool:
        """Whether this is the thread that the server runs on, and not only waits for it."""
        here: bool = self._call(threading.get_ident) == threading.get_ident()
        return here

    async def wait_async(self, name: str, count: int = 1, timeout: float = 5.0) -> None:
        await self._gates.wait_async(name, count, timeout)

    def all(self) -> Sequence[GateView]:
        return self._gates.all()


class LocalChaos(Chaos):
    def __init__(self, overlays: SessionOverlays | ServerOverlays) -> None:
        self._overlays = overlays

    def remove(self, name: str) -> None:
        self._overlays.remove(name)

    def switch(self, name: str, on: bool) -> None:
        self._overlays.switch(name, on=on)

    def all(self) -> Sequence[OverlayView]:
        return self._overlays.all()

    def _lay(self, *overlays: Scenario) -> None:
        self._overlays.lay(*overlays)

    def _new_name(self) -> str:
        return self._overlays.new_name()

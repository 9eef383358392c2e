"""The overlays in force, of one session or of the whole server: which there are; laying, lifting, switching them."""

from collections.abc import Container, Sequence
from typing import NamedTuple

from mock_server.engine.engine import Engine
from mock_server.engine.session import Session
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import one_of


class OverlayView(NamedTuple):
    """One overlay: what it lays over replies, how often (0 to 1), whether it is switched on, where it comes from.

    `added`: at run time and here, so that it can be taken away here. `between`: when it strikes, in seconds since it
    was laid.
    """

    name: str
    faults: Sequence[str]
    chance: float
    on: bool
    source: str
    added: bool = False
    between: Sequence[float] | None = None


class SessionOverlays:
    """The overlays of one session; those of the whole server can be switched for it too."""

    def __init__(self, engine: Engine, session: Session) -> None:
        self._engine = engine
        self._session = session

    def all(self) -> Sequence[OverlayView]:
        """Those that its replies meet, in order."""
        off = self._engine.off | self._session.off
        added = {one.scenario.name for one in self._session.scenarios}
        return [_view(one, off, added) for one in self._engine.library(self._session).overlays]

    def lay(self, *overlays: Scenario) -> None:
        self._engine.add(self._session, *overlays)

    def remove(self, name: str) -> None:
        """Raises LookupError for one that this session has not added."""
        if not self._session.remove(name):
            raise _unknown(name, [one.scenario.name for one in self._session.scenarios])

    def switch(self, name: str, *, on: bool) -> None:
        """Raises LookupError for one that is not there."""
        known = [one.name for one in self._engine.library(self._session).overlays]
        if name not in known:
            raise _unknown(name, known)
        self._session.switch(name, on=on)

    def new_name(self) -> str:
        return self._session.new_name()


class ServerOverlays:
    """The overlays of the whole server: those of files and those added for every session."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> Sequence[OverlayView]:
        """Those that were added, then those of files."""
        added = {one.name for one in self._engine.chaos}
        return [_view(one, self._engine.off, added) for one in self._known()]

    def lay(self, *overlays: Scenario) -> None:
        self._engine.lay(*overlays)

    def remove(self, name: str) -> None:
        """Raises LookupError for one that was not added."""
        if not self._engine.lift(name):
            raise _unknown(name, [one.name for one in self._engine.chaos])

    def switch(self, name: str, *, on: bool) -> None:
        """Raises LookupError for one that is not there."""
        known = [one.name for one in self._known()]
        if name not in known:
            raise _unknown(name, known)
        self._engine.switch(name, on=on)

    def new_name(self) -> str:
        taken = {one.name for one in self._known()}
        return next(name for at in range(1, len(taken) + 2) if (name := f"chaos-{at}") not in taken)

    def _known(self) -> Sequence[Scenario]:
        return (*self._engine.chaos, *(one for one in self._engine.served if one.is_overlay))


def _view(overlay: Scenario, off: Container[str], added: Container[str]) -> OverlayView:
    """An overlay as it is told. `off`, `added`: the names of those that are."""
    chance = 1.0 if overlay.chance is None else overlay.chance
    name = overlay.name
    between = None if overlay.between is None else [at / 1_000_000 for at in overlay.between]
    return OverlayView(name, overlay.strikes, chance, name not in off, overlay.source, name in added, between)


def _unknown(name: str, known: Sequence[str]) -> LookupError:
    return LookupError(f"no overlay '{name}'{one_of(name, known) if known else '; there are none'}")

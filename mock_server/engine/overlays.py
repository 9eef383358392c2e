"""The overlays in force, of one session or of the whole server: which there are; adding, removing, switching them."""

from collections.abc import Container, Sequence
from typing import NamedTuple

from mock_server.engine.engine import Engine
from mock_server.engine.session import Session
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import one_of


class OverlayView(NamedTuple):
    """One overlay: what it does to replies, how often (0 to 1), whether it is switched on, where it comes from.

    `added`: at run time and here, so that it can be removed here. `between`: when it strikes, in seconds since it was
    added.
    """

    name: str
    faults: Sequence[str]
    chance: float
    on: bool
    source: str
    added: bool = False
    between: Sequence[float] | None = None


class Overlays:
    """The overlays that the replies of one session meet, or without one those of the whole server: those of files, and
    those added at run time. Those of the server can be switched for a session, too.
    """

    def __init__(self, engine: Engine, session: Session | None = None) -> None:
        self._engine = engine
        self._session = session

    def all(self) -> Sequence[OverlayView]:
        """All of them, in order of precedence."""
        off = self._engine.off if self._session is None else self._engine.off | self._session.off
        added = self._added()
        return [_view(one, off, added) for one in self._known()]

    def add(self, *overlays: Scenario) -> None:
        """Raises ScenarioError as `Engine.add` does."""
        if self._session is None:
            self._engine.add_overlays(*overlays)
        else:
            self._engine.add(self._session, *overlays)

    def remove(self, name: str) -> None:
        """Raises LookupError for one that was not added here."""
        take = self._engine.remove_overlay if self._session is None else self._session.remove
        if not take(name):
            raise _unknown(name, self._added())

    def switch(self, name: str, *, on: bool) -> None:
        """Raises LookupError for one that is not there."""
        known = [one.name for one in self._known()]
        if name not in known:
            raise _unknown(name, known)
        (self._session or self._engine).switch(name, on=on)

    def new_name(self) -> str:
        """A name for one that was given none."""
        if self._session is not None:
            return self._session.new_name()
        taken = {one.name for one in self._known()}
        return next(name for at in range(1, len(taken) + 2) if (name := f"chaos-{at}") not in taken)

    def _known(self) -> Sequence[Scenario]:
        if self._session is not None:
            return self._engine.library(self._session).overlays
        return (*self._engine.chaos, *(one for one in self._engine.served if one.is_overlay))

    def _added(self) -> Sequence[str]:
        """The names of those that can be taken away here."""
        if self._session is not None:
            return [one.scenario.name for one in self._session.scenarios]
        return [one.name for one in self._engine.chaos]


def _view(overlay: Scenario, off: Container[str], added: Container[str]) -> OverlayView:
    """What there is to know of an overlay. `off`, `added`: the names of those that are."""
    chance = 1.0 if overlay.chance is None else overlay.chance
    name = overlay.name
    between = None if overlay.between is None else [at / 1_000_000 for at in overlay.between]
    return OverlayView(name, overlay.strikes, chance, name not in off, overlay.source, name in added, between)


def _unknown(name: str, known: Sequence[str]) -> LookupError:
    return LookupError(f"no overlay '{name}'{one_of(name, known) if known else '; there are none'}")

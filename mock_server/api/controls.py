"""What a test controls while replies are under way: the clock, the gates, the states, the chaos.

All of it goes through the control API, in this process or over HTTP.
"""

import asyncio
import itertools
from asyncio import sleep
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from mock_server.api.builders import Faults, Gates, Timing, present
from mock_server.clock import SystemClock
from mock_server.engine.gates import GateView, NotReached
from mock_server.engine.overlays import OverlayView
from mock_server.scenario.conditions import NO_STATES, State, States
from mock_server.scenario.load import build, load_overlays
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import several, suggestion

POLL = 0.02


class Refused(Exception):
    """The control API refused a request; the text is its error and its hint, `problems` all that is wrong."""

    __module__ = "mock_server"

    def __init__(self, status: int, error: str, hint: str, problems: Sequence[str] = ()) -> None:
        super().__init__(f"{error}; {hint}")
        self.status = status
        self.problems = tuple(problems)


class Ask(Protocol):
    """A call of the control API: the path is below `/_mock/`, what is None in the query is left out. Raises Refused."""

    def __call__(
        self, method: str, path: str, body: Mapping[str, Any] | Sequence[Any] | None = None, **query: Any
    ) -> Any: ...


class _Controls:
    """Part of the control API, for one session."""

    def __init__(self, ask: Ask, session: str) -> None:
        self._ask = ask
        self._session = session


class ClockControls(_Controls):
    """The clock of a session. Cache, rate limits, batches and the pace of its replies go by it."""

    def freeze(self) -> None:
        """Stand still from now on: nothing that takes time goes on."""
        self._turn(freeze=True)

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once. What is due in them has been sent, in order, when this returns.

        Raises ValueError for what is no number of seconds from 0 up.
        """
        try:
            self._turn(advance=seconds)
        except Refused as error:
            if error.status != 400:
                raise
            raise ValueError(str(error)) from None

    def resume(self) -> None:
        """Go on by itself, from where it stands."""
        self._turn(resume=True)

    @property
    def unix(self) -> float:
        """Its time in seconds since 1970."""
        return float(self._ask("GET", "clock", session=self._session)["unix"])

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return bool(self._ask("GET", "clock", session=self._session)["frozen"])

    def _turn(self, **how: Any) -> None:
        self._ask("POST", "clock", how, session=self._session)


class GateControls(_Controls):
    """The gates of a session: `gate: NAME` in a scenario holds a reply there until it is released."""

    def release(self, name: str, times: int | None = None) -> int:
        """Open a gate for good, or let `times` replies through, now or when they come; returns how many went now."""
        return int(self._turn(name, {} if times is None else {"times": times})["went"])

    def shut(self, name: str) -> None:
        """Hold again what comes from now on."""
        self._turn(name, {"shut": True})

    def wait(self, name: str, count: int = 1, timeout: float = 5.0) -> None:
        """Block until a gate holds `count` replies. Raises NotReached. On the server's own loop use `wait_async`."""
        deadline = SystemClock.now() + timeout
        while self.waiting(name) < count:
            self._late(name, count, timeout, deadline)
            SystemClock.sleep(POLL)

    async def wait_async(self, name: str, count: int = 1, timeout: float = 5.0) -> None:
        """The same without blocking the event loop."""
        deadline = SystemClock.now() + timeout
        while await asyncio.to_thread(self.waiting, name) < count:
            self._late(name, count, timeout, deadline)
            await sleep(POLL)

    def all(self) -> Sequence[GateView]:
        """The gates that have been used."""
        return [GateView(**one) for one in self._ask("GET", "gates", session=self._session)["gates"]]

    def waiting(self, name: str) -> int:
        """How many replies a gate holds."""
        return next((one.waiting for one in self.all() if one.name == name), 0)

    def _late(self, name: str, count: int, timeout: float, deadline: float) -> None:
        if SystemClock.now() > deadline:
            raise NotReached(
                f"gate '{name}' holds {several(self.waiting(name), 'reply')}, not {count}, after {timeout:g} s"
            )

    def _turn(self, name: str, how: Mapping[str, Any]) -> Any:
        return self._ask("POST", f"gates/{quote(name, safe='')}", how, session=self._session)


class StateView(NamedTuple):
    """A state of a session: what it is, what it can be, what it was at first."""

    name: str
    value: str
    values: tuple[str, ...]
    initial: str


class StateControls(_Controls, Mapping[str, str]):
    """The states of a session, by name: those that its scenarios declare (`states:`)."""

    def __getitem__(self, name: str) -> str:
        """What a state is now. Raises KeyError for one that nothing declares."""
        known = {one.name: one.value for one in self.all()}
        if name not in known:
            there = f"; there are {', '.join(known) or 'none'}"
            raise KeyError(f"no state '{name}'{suggestion(name, known) or there}")
        return known[name]

    def __setitem__(self, name: str, value: str) -> None:
        """Move a state. Raises KeyError for one that nothing declares, ValueError for what it never is."""
        self.set(**{name: value})

    def set(self, **values: str) -> None:
        """Move several states at once, or none. Raises as above."""
        try:
            self._ask("PUT", "states", values, session=self._session)
        except Refused as error:
            if error.status not in (404, 422):
                raise
            raise (KeyError if error.status == 404 else ValueError)(str(error)) from None

    def __iter__(self) -> Iterator[str]:
        return iter([one.name for one in self.all()])

    def __len__(self) -> int:
        return len(self.all())

    def __repr__(self) -> str:
        return f"<StateControls {dict(self)}>"

    def all(self) -> Sequence[StateView]:
        """Every state that there is."""
        found = self._ask("GET", "states", session=self._session)["states"]
        return [StateView(**{**one, "values": tuple(one["values"])}) for one in found]


def known_states(ask: Ask, session: str | None, data: Any) -> States:
    """The states that a scenario from a test need not declare, since files do; fetched where it names any."""
    if not _has_state(data):
        return NO_STATES
    return {one.name: State(one.values, one.initial) for one in StateControls(ask, session or "default").all()}


def _has_state(data: Any) -> bool:
    if isinstance(data, Mapping):
        in_template = "state" in str(data.get("template", ""))
        return in_template or "state" in data or any(map(_has_state, data.values()))
    return isinstance(data, list | tuple) and any(map(_has_state, data))


class OverlayControls:
    """Overlays: faults and paces that lie over replies whatever scenario gives them. Without a session they are those
    of the whole server.
    """

    def __init__(self, ask: Ask, session: str | None, send: Callable[[Sequence[Scenario]], None] | None = None) -> None:
        """`send`: how overlays get to a server in this process, with the places they were written at."""
        self._ask = ask
        self._session = session
        self._send = self._post if send is None else send
        self._names = itertools.count(1)

    def add(
        self,
        fault: Faults | None = None,
        *,
        when: Mapping[str, Any] | None = None,
        chance: str | None = None,
        gate: Gates | None = None,
        timing: Timing | None = None,
        between: Sequence[str] | None = None,
        name: str | None = None,
        priority: int | None = None,
    ) -> str:
        """Lay a fault (its name, a mapping or a list) over every reply, or those `when` picks; returns its name.

        `chance`: how often, such as `20%`, drawn from the seed and the request. `between`: when, such as
        `("10s", "25s")`, on the session's clock from now on. Raises ScenarioError.
        """
        __tracebackhide__ = True
        keys: dict[str, Any] = {"when": when, "chance": chance, "fault": fault, "gate": gate, "timing": timing}
        keys |= {"between": between, "priority": priority}
        data = present(keys)
        known = known_states(self._ask, self._session, data)
        overlay = build({"name": name or self._new_name(), **data}, "chaos.add()", known)
        self._send([overlay])
        return overlay.name

    def load(self, *paths: str | Path) -> Sequence[str]:
        """Add the overlays of these files. Raises ScenarioError for a file that holds anything else."""
        __tracebackhide__ = True
        found = load_overlays(paths)
        self._send(found)
        return [one.name for one in found]

    def remove(self, name: str) -> None:
        """Remove an overlay that was added. Raises LookupError for one that is not there."""
        self._turn("DELETE", name)

    def switch(self, name: str, on: bool) -> None:
        """Have an overlay strike, or not, wherever it comes from. Raises LookupError for one that is not there."""
        self._turn("PUT", name, {"on": on})

    def all(self) -> Sequence[OverlayView]:
        """The overlays there are, in order."""
        found = self._ask("GET", "chaos", session=self._session)["overlays"]
        return [OverlayView(**one) for one in found]

    def clear(self) -> None:
        """Remove every overlay that was added."""
        for one in self.all():
            if one.added:
                self.remove(one.name)

    def __iter__(self) -> Iterator[OverlayView]:
        return iter(self.all())

    def _post(self, overlays: Sequence[Scenario]) -> None:
        listed = [{**one.data.plain(), "name": one.name} for one in overlays]
        self._ask("POST", "chaos", listed, session=self._session)

    def _new_name(self) -> str:
        taken = {one.name for one in self.all()}
        return next(name for at in self._names if (name := f"chaos-{at}") not in taken)

    def _turn(self, method: str, name: str, how: Mapping[str, Any] | None = None) -> None:
        try:
            self._ask(method, f"chaos/{quote(name, safe='')}", how, session=self._session)
        except Refused as error:
            if error.status != 404:
                raise
            raise LookupError(str(error)) from None

"""The clock, the gates and the chaos of a server elsewhere, over its control API."""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from mock_server.engine.chaos import OverlayView
from mock_server.engine.gates import GateView, NotReached
from mock_server.levers import Chaos, Clock, Gates
from mock_server.scenario.model import Scenario

Ask = Callable[..., Any]  # method, path, body, query by name -> the JSON of the answer
POLL = 0.02


class RemoteClock(Clock):
    def __init__(self, ask: Ask, session: str) -> None:
        self._ask = ask
        self._session = session

    def freeze(self) -> None:
        self._turn(freeze=True)

    def advance(self, seconds: float) -> None:
        self._turn(advance=seconds)

    def resume(self) -> None:
        self._turn(resume=True)

    @property
    def unix(self) -> float:
        return float(self._ask("GET", "clock", session=self._session)["unix"])

    @property
    def frozen(self) -> bool:
        return bool(self._ask("GET", "clock", session=self._session)["frozen"])

    def _turn(self, **how: Any) -> None:
        self._ask("POST", "clock", how, session=self._session)


class RemoteGates(Gates):
    def __init__(self, ask: Ask, session: str) -> None:
        self._ask = ask
        self._session = session

    def release(self, name: str, times: int | None = None) -> int:
        return int(self._turn(name, {} if times is None else {"times": times})["went"])

    def shut(self, name: str) -> None:
        self._turn(name, {"shut": True})

    def wait(self, name: str, count: int = 1, timeout: float = 5.0) -> None:
        deadline = time.monotonic() + timeout
        while self.waiting(name) < count:
            self._late(name, count, timeout, deadline)
            time.sleep(POLL)

    async def wait_async(self, name: str, count: int = 1, timeout: float = 5.0) -> None:
        deadline = time.monotonic() + timeout
        while await asyncio.to_thread(self.waiting, name) < count:
            self._late(name, count, timeout, deadline)
            await asyncio.sleep(POLL)

    def all(self) -> Sequence[GateView]:
        found = self._ask("GET", "gates", session=self._session)["gates"]
        return [GateView(**one) for one in found]

    def _late(self, name: str, count: int, timeout: float, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise NotReached(f"gate '{name}' holds {self.waiting(name)} replies, not {count}, after {timeout:g} s")

    def _turn(self, name: str, how: Mapping[str, Any]) -> Any:
        return self._ask("POST", f"gates/{quote(name, safe='')}", how, session=self._session)


class RemoteChaos(Chaos):
    """The overlays of one session; without one, of the whole server."""

    def __init__(self, ask: Ask, session: str | None) -> None:
        self._ask = ask
        self._session = session
        self._names = itertools.count(1)

    def remove(self, name: str) -> None:
        self._found("DELETE", name)

    def switch(self, name: str, on: bool) -> None:
        self._found("PUT", name, {"on": on})

    def all(self) -> Sequence[OverlayView]:
        found = self._ask("GET", "chaos", session=self._session)["overlays"]
        return [OverlayView(**one) for one in found]

    def _lay(self, *overlays: Scenario) -> None:
        for overlay in overlays:
            data = {**overlay.data.plain(), "name": overlay.name}
            self._ask("POST", "chaos", data, session=self._session)

    def _new_name(self) -> str:
        taken = {one.name for one in self.all()}
        return next(name for at in self._names if (name := f"chaos-{at}") not in taken)

    def _found(self, method: str, name: str, body: Any = None) -> None:
        try:
            self._ask(method, f"chaos/{quote(name, safe='')}", body, session=self._session)
        except Exception as error:
            if getattr(error, "status", None) != 404:
                raise
            raise LookupError(str(error)) from None

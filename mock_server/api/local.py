"""MockServer: the server for Python code, in a thread of its own or in your event loop. MockSession: a test's part."""

import asyncio
import contextlib
import itertools
import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from mock_server.api.controls import Ask, GateControls, OverlayControls, Refused
from mock_server.api.session import Verbs
from mock_server.clock import SteadyClock, SystemClock
from mock_server.deferred import Deferred
from mock_server.engine.engine import Engine
from mock_server.engine.gates import GateView
from mock_server.engine.journal import Journal
from mock_server.engine.session import Session
from mock_server.scenario.model import Scenario
from mock_server.server.control.answers import ControlError
from mock_server.server.runner import Runner
from mock_server.settings import TESTING, ServerSettings, SessionSettings, SettingError, Settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mock_server.server.control import routes
else:  # most tests never use it
    routes = Deferred("mock_server.server.control.routes", globals())

# Where a server runs: on a thread of its own, or on the event loop of whoever enters it.

LIMIT = 10.0
_T = TypeVar("_T")

if sys.platform == "win32":
    _Loop = asyncio.ProactorEventLoop
else:
    _Loop = asyncio.SelectorEventLoop


class ServerLoop(_Loop):
    """A loop that goes by the machine's clock, whatever a test makes of `time.monotonic`."""

    time = staticmethod(SystemClock.now)


def _on(loop: asyncio.AbstractEventLoop, function: Callable[[], _T]) -> _T:
    """Run `function` on a loop of another thread and wait for it."""
    done: Future[_T] = Future()

    def run() -> None:
        try:
            done.set_result(function())
        except BaseException as error:  # handed to the thread that waits
            done.set_exception(error)

    loop.call_soon_threadsafe(run)
    return done.result(LIMIT)


def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left and close, as `asyncio.run` does."""
    try:
        for task in asyncio.all_tasks(loop):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(asyncio.wait((task,)))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


class Host(ABC):
    """What a server runs on: `started_by` says how it is started."""

    started_by: ClassVar[str]

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self._began = False
        self._stopped = False

    @abstractmethod
    def start(self) -> None: ...
    @abstractmethod
    def stop(self) -> None: ...
    @abstractmethod
    async def enter(self) -> None: ...
    @abstractmethod
    async def leave(self) -> None: ...

    def _begin(self) -> None:
        if self._began:
            raise RuntimeError("this MockServer was started before; make another one")
        self._began, self._process = True, os.getpid()

    def check_began(self) -> None:
        """Raises RuntimeError before the start."""
        if not self._began:
            raise RuntimeError(f"this MockServer was not started: use {self.started_by}")

    def check(self, *, stopped: bool = False) -> None:
        """Raises RuntimeError unless the server runs in this process (`stopped`: or has run)."""
        if os.getpid() != self._process:
            raise RuntimeError(
                f"this MockServer runs in process {self._process}; in this one ({os.getpid()}) only its url is of use"
            )
        self.check_began()
        if self._stopped and not stopped:
            raise RuntimeError("this MockServer has stopped")

    def call(self, function: Callable[[], _T]) -> _T | None:
        """Run `function` on the server's loop and wait for it; nothing when the server is gone."""
        if self._stopped or self._loop is None or os.getpid() != self._process:
            return None
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        return function() if is_here else _on(self._loop, function)


class InThread(Host):
    """A daemon thread with an event loop of its own; the policy and the loops of others stay as they are."""

    started_by = "`with MockServer() as server` or start()"

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        self._thread = threading.Thread(target=self._run, name="mock-server", daemon=True)
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> None:
        self._begin()
        self._thread.start()
        if not self._ready.wait(LIMIT):
            raise RuntimeError(f"mock-server did not start within {LIMIT:g} s")
        if self._failed is not None:
            self._stopped = True
            raise self._failed

    def stop(self) -> None:
        is_running = self._began and not self._stopped and os.getpid() == self._process
        self._stopped = True
        if is_running and self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(LIMIT)

    async def enter(self) -> None:
        await asyncio.to_thread(self.start)

    async def leave(self) -> None:
        await asyncio.to_thread(self.stop)

    def _run(self) -> None:
        loop = ServerLoop()
        try:
            try:
                loop.run_until_complete(self._serve())
            finally:
                _wind_up(loop)
        except BaseException as error:  # handed to the thread that waits in start()
            self._failed = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await self._runner.start()
        self._ready.set()
        await self._stop.wait()
        await self._runner.stop()


class InLoop(Host):
    """The event loop of whoever enters it."""

    started_by = "`async with MockServer().in_loop() as server`"

    def start(self) -> None:
        raise RuntimeError("a server in your loop is started by `async with`")

    def stop(self) -> None:
        raise RuntimeError("a server in your loop is stopped by leaving `async with`")

    async def enter(self) -> None:
        self._begin()
        self._loop = asyncio.get_running_loop()
        await self._runner.start()

    async def leave(self) -> None:
        self._stopped = True
        await self._runner.stop()


# What tests use: the server, and a session of it.

TEST_SETTINGS = Settings(port=0, **TESTING)


class Local(Verbs):
    """The verbs of a session whose engine is in this process."""

    _runner: Runner
    _host: Host

    @property
    def url(self) -> str:
        """The base URL for a client. Raises RuntimeError before the start."""
        self._host.check_began()
        return self._runner.url

    @property
    def _engine(self) -> Engine:
        """The engine of the running server. Raises RuntimeError when there is none (any more)."""
        self._host.check()
        return self._runner.engine

    @property
    @abstractmethod
    def _session(self) -> Session: ...

    @property
    def scenarios(self) -> Sequence[Scenario]:
        """What this session is answered from, in order of precedence: its own, then those served to everybody."""
        return [one for one in self._engine.library(self._session).every if not one.is_overlay]

    @property
    def gates(self) -> GateControls:
        return _Gates(self._ask, self._session, self._call)

    @property
    def chaos(self) -> OverlayControls:
        return OverlayControls(self._ask, self._overlaid, self._add_overlays)

    @property
    def _name(self) -> str:
        return self._session.name

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | Sequence[Any] | None = None, **query: Any) -> Any:
        try:
            return routes.answered(self._runner.desk.control, self._call, method, path, body, query)
        except ControlError as error:
            raise Refused(error.status, **error.body) from None

    def _add_overlays(self, overlays: Sequence[Scenario]) -> None:
        self._engine.add(self._session, *overlays)

    def _call(self, function: Callable[[], _T]) -> _T:
        """Run a function on the server's loop and wait for it."""
        self._host.check()
        return self._host.call(function)  # type: ignore[return-value]

    def override(self, **settings: "Unpack[SessionSettings]") -> None:
        __tracebackhide__ = True
        try:
            self._engine.override(self._session, **settings)
        except SettingError as error:
            raise SettingError(str(error)) from None  # at the line of the call

    def _new_name(self) -> str:
        return self._session.new_name()

    def _put(self, *scenarios: Scenario) -> None:
        self._engine.add(self._session, *scenarios)

    def _remove(self, name: str) -> None:
        self._session.remove(name)

    def _last_number(self) -> int:
        return self._engine.journals.total

    @property
    def _own(self) -> Sequence[Scenario]:
        return [one.scenario for one in self._session.scenarios]


class _Gates(GateControls):
    """Gates in this process: waiting for one takes no polling."""

    def __init__(self, ask: Ask, session: Session, call: Callable[[Callable[[], int]], int]) -> None:
        super().__init__(ask, session.name)
        self._gates = session.gates
        self._call = call

    def wait(self, name: str, count: int = 1, timeout: float = 5.0) -> None:
        if self._gates.waiting(name) < count and self._call(threading.get_ident) == threading.get_ident():
            raise RuntimeError("wait() would block the server's own event loop: use `await gates.wait_async(…)`")
        self._gates.wait(name, count, timeout)

    async def wait_async(self, name: str, count: int = 1, timeout: float = 5.0) -> None:
        await self._gates.wait_async(name, count, timeout)

    def all(self) -> Sequence[GateView]:
        return self._gates.all()


class MockServer(Local):
    """A running server. A context manager; immediate and strict unless settings say otherwise.

    with MockServer() as server:
        server.add("It is sunny.", when={"prompt": "weather"})
        client = Anthropic(base_url=server.url, api_key=server.api_key)

    `async with MockServer() as server` is the same; `async with MockServer().in_loop() as server` runs on your loop.
    """

    def __init__(
        self, *paths: str | Path, settings: Settings = TEST_SETTINGS, **changes: "Unpack[ServerSettings]"
    ) -> None:
        """Serve the scenarios of `paths` (none: no scenario); `changes` are single settings, such as `port=8787`.

        Raises ScenarioError for mistakes in the files, TypeError for an unknown setting.
        """
        settings = replace(settings, paths=tuple(map(str, paths)), **changes)
        self._runner = Runner(settings, paths, SteadyClock())
        self._host: Host = InThread(self._runner)
        self._keys = itertools.count(1)

    # -- start and stop ----------------------------------------------------------------------------------------

    def start(self) -> "MockServer":
        """Listen. Raises OSError when the address is taken, RuntimeError when it was started before."""
        self._host.start()
        return self

    def stop(self) -> None:
        """Cut what is open and close. Stopping twice is stopping once."""
        self._host.stop()

    def __enter__(self) -> "MockServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> "MockServer":
        await self._host.enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._host.leave()

    def in_loop(self) -> "MockServer":
        """This server on the event loop that enters it: `async with MockServer().in_loop() as server`."""
        self._host = InLoop(self._runner)
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a MockServer cannot go to another process; pass it server.url and server.api_key instead")

    # -- the default session -----------------------------------------------------------------------------------

    @property
    def ca(self) -> Path | None:
        """The CA file that clients must trust, of a server with `tls="self-signed"`; it goes when the server stops."""
        return self._runner.ca

    @property
    def api_key(self) -> str:
        """Any key does; this one says where it belongs."""
        return "mock-server"

    @property
    def journal(self) -> Journal:
        self._host.check(stopped=True)
        return self._runner.engine.sessions.first.journal

    @property
    def elsewhere(self) -> int:
        return self._runner.engine.journals.total - self.journal.total

    @property
    def _session(self) -> Session:
        return self._engine.sessions.first

    @property
    def _overlaid(self) -> None:
        return None

    def _add_overlays(self, overlays: Sequence[Scenario]) -> None:
        self._engine.add_overlays(*overlays)

    # -- sessions ----------------------------------------------------------------------------------------------

    def session(self, key: str | None = None, *, default: bool = False) -> "MockSession":
        """A session of its own: own scenarios, counters and journal, for the clients that send its key.

        `default`: clients with another key or none are its clients too, until it is closed.
        """
        key = key or f"session-{next(self._keys)}-{os.urandom(6).hex()}"
        return MockSession(self, key, default=default)


class MockSession(Local):
    """One test's part of a server. Closing it ends what is under way and closes its key for good."""

    def __init__(self, server: MockServer, key: str, *, default: bool) -> None:
        self._runner, self._host = server._runner, server._host
        self._key = key
        engine = self._engine
        self._claimed = engine.sessions.claim(key, key)
        self._began = engine.journals.total
        if default:
            engine.sessions.default = self._claimed

    @property
    def api_key(self) -> str:
        return self._key

    @property
    def elsewhere(self) -> int:
        return self._runner.engine.journals.total - self._began - self.journal.total

    @property
    def journal(self) -> Journal:
        return self._claimed.journal

    @property
    def _session(self) -> Session:
        return self._claimed

    def close(self) -> None:
        """End the streams under way and refuse the key from now on. The journal can still be read."""
        self._host.call(lambda: self._runner.engine.close(self._key))

    def __enter__(self) -> "MockSession":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

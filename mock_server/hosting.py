"""Where a server runs: on a thread of its own, or on the event loop of whoever enters it."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from mock_server.server.runner import Runner

LIMIT = 10.0
_T = TypeVar("_T")


class Host(Protocol):
    """What runs a server; `check` raises RuntimeError unless it runs here (`stopped`: or has run)."""

    began: bool

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def check(self, *, stopped: bool = False) -> None: ...
    def call(self, function: Callable[[], _T]) -> _T | None: ...


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


class InThread:
    """A daemon thread with an event loop of its own; the policy and the loops of others stay as they are."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._thread = threading.Thread(target=self._run, name="mock-server", daemon=True)
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._process = os.getpid()
        self.began = False
        self._stopped = False

    def start(self) -> None:
        if self.began:
            raise RuntimeError("this MockServer was started before; make another one")
        self.began, self._process = True, os.getpid()
        self._thread.start()
        if not self._ready.wait(LIMIT):
            raise RuntimeError(f"mock-server did not start within {LIMIT:g} s")
        if self._failed is not None:
            self._stopped = True
            raise self._failed

    def stop(self) -> None:
        running = self.began and not self._stopped and os.getpid() == self._process
        self._stopped = True
        if running and self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(LIMIT)

    def check(self, *, stopped: bool = False) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                f"this MockServer runs in process {self._process}; in this one ({os.getpid()}) only its url is of use"
            )
        if not self.began:
            raise RuntimeError("this MockServer was not started: use `with MockServer() as server` or start()")
        if self._stopped and not stopped:
            raise RuntimeError("this MockServer has stopped")

    def call(self, function: Callable[[], _T]) -> _T | None:
        """Run `function` on the server's loop and wait for it; nothing when the server is gone."""
        if self._stopped or not self.began or os.getpid() != self._process or self._loop is None:
            return None
        if threading.current_thread() is self._thread:
            return function()
        return _on(self._loop, function)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
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


class InLoop:
    """The event loop of whoever enters it."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._loop: asyncio.AbstractEventLoop | None = None
        self.began = False
        self._stopped = False

    def start(self) -> None:
        raise RuntimeError("a server in your loop is started by `async with`")

    def stop(self) -> None:
        raise RuntimeError("a server in your loop is stopped by leaving `async with`")

    async def begin(self) -> None:
        if self.began:
            raise RuntimeError("this MockServer was started before; make another one")
        self.began, self._loop = True, asyncio.get_running_loop()
        await self._runner.start()

    async def end(self) -> None:
        self._stopped = True
        await self._runner.stop()

    def check(self, *, stopped: bool = False) -> None:
        if not self.began:
            raise RuntimeError("this MockServer was not started: use `async with MockServer().in_loop() as server`")
        if self._stopped and not stopped:
            raise RuntimeError("this MockServer has stopped")

    def call(self, function: Callable[[], _T]) -> _T | None:
        if self._stopped or self._loop is None:
            return None
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            return function()
        return _on(self._loop, function)

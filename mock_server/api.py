"""MockServer: the server for Python code. It runs in a thread of its own, so any test, sync or async, can use it."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mock_server.engine.session import Session
from mock_server.scenario.load import build
from mock_server.server.runner import Runner
from mock_server.settings import Settings

START_LIMIT = 10.0
TEST_SETTINGS = Settings(port=0, time_scale=0.0, unmatched="error")


class MockServer:
    """A running server: `url`, `add`, `stop`. A context manager; immediate and strict unless `settings` say otherwise.

    with MockServer() as server:
        server.add("It is sunny.", when={"prompt": "weather"})
        client = Anthropic(base_url=server.url, api_key="test")
    """

    def __init__(self, *paths: str | Path, settings: Settings = TEST_SETTINGS) -> None:
        """Load `paths` (none: no scenario). Raises ScenarioError for mistakes in them."""
        self._runner = Runner(replace(settings, paths=tuple(map(str, paths))), paths)
        self._thread = threading.Thread(target=self._run, name="mock-server", daemon=True)
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return self._runner.url

    def start(self) -> "MockServer":
        """Listen. Raises OSError when the address is taken."""
        self._thread.start()
        if not self._ready.wait(START_LIMIT):
            raise RuntimeError(f"mock-server did not start within {START_LIMIT:g} s")
        if self._failed is not None:
            raise self._failed
        return self

    def stop(self) -> None:
        """Cut what is open and close. Stopping twice is stopping once."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def __enter__(self) -> "MockServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def lane(self, key: str) -> "Lane":
        """A session of its own, which owns `key` and is where clients with another key or none arrive meanwhile."""
        session = self._runner.engine.sessions.claim(key, key)
        self._runner.engine.sessions.default = session
        return Lane(self, session, key)

    def add(self, reply: Any = None, **scenario: Any) -> None:
        """Answer with `reply` from now on; the other keys of a scenario are as in YAML (`when`, `turns`, …)."""
        self._add(self._runner.engine.sessions.default, reply, scenario)

    def _add(self, session: Session, reply: Any, scenario: Mapping[str, Any]) -> None:
        data = dict(scenario) if reply is None else {"reply": reply, **scenario}
        data.setdefault("name", session.new_name())
        self._runner.engine.add(session, build(data, "add()"))

    def _close(self, key: str) -> None:
        self._runner.engine.close(key)

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


class Lane:
    """One test's part of a server: its own scenarios and counters, under its own key."""

    def __init__(self, server: MockServer, session: Session, key: str) -> None:
        self._server = server
        self._session = session
        self.api_key = key

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return self._server.url

    @property
    def env(self) -> Mapping[str, str]:
        """The environment variables that point the SDKs here."""
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": self.api_key}

    def add(self, reply: Any = None, **scenario: Any) -> None:
        """Answer this test with `reply`: a text, a block, or a list of them; other keys as in a YAML scenario."""
        self._server._add(self._session, reply, scenario)

    def close(self) -> None:
        """End the lane: its key is refused from now on."""
        self._server._close(self.api_key)

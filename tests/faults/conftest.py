"""Servers that play the table, on the loops there are, and an environment that says nothing of its own."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults.table import SCENARIOS

from mock_server import MockServer
from mock_server.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def _only_what_tests_say() -> Iterator[None]:
    """The SDKs read keys, addresses and proxies from the environment; here only the tests say them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
            patch.delenv(name)
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost")
        yield


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenarios of the table as a file."""
    file = tmp_path_factory.mktemp("table") / "table.yaml"
    file.write_text(SCENARIOS, "utf-8")
    return file


@pytest.fixture(scope="session")
def server(table: Path) -> Iterator[MockServer]:
    """Plays the table on asyncio's own loop."""
    with _playing(table) as running:
        yield running


@pytest.fixture(scope="session")
def servers(table: Path, server: MockServer) -> Iterator[dict[str, MockServer]]:
    """The same on every loop that resets are promised on."""
    uvloop = pytest.importorskip("uvloop")
    with _on(uvloop.new_event_loop, table) as other:
        yield {"asyncio": server, "uvloop": other}


def _playing(table: Path) -> MockServer:
    return MockServer(table, settings=Settings(port=0, time_scale=0, unmatched="error", seed=7))


@contextmanager
def _on(make: Callable[[], asyncio.AbstractEventLoop], table: Path) -> Iterator[MockServer]:
    """A server on a loop of another make, in a thread."""
    server = _playing(table).in_loop()
    loop, started, over = make(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with server:
            started.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(20)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
        loop.close()

"""The pytest plugin: fixture `mock_server`. Nothing heavy is imported until a test takes it."""

import hashlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mock_server.api import Lane, MockServer


@pytest.fixture(scope="session")
def _mock_server_process() -> Iterator["MockServer"]:
    """One server a process, in a thread."""
    from mock_server.api import MockServer

    with MockServer() as server:
        yield server


@pytest.fixture
def mock_server(request: pytest.FixtureRequest, _mock_server_process: "MockServer") -> Iterator["Lane"]:
    """A Messages API on loopback, with scenarios and counters of this test's own.

    `add(reply, when=…)` says what it answers; a request nothing matches is a 400 that says why. `url`, `api_key` and
    `env` point a client at it.
    """
    who = f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')} {request.node.nodeid}"
    # A hash: names of tests may hold what a header cannot.
    lane = _mock_server_process.lane("test-" + hashlib.sha256(who.encode()).hexdigest()[:24])
    yield lane
    lane.close()

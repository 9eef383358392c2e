"""What the SDK suites share: servers on the scenarios of this folder, and an environment that says nothing of its own."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mock_server import MockServer
from mock_server.settings import Settings

SCENARIOS = Path(__file__).parent / "scenarios"
PROFILES = ("octen", "anthropic")


@pytest.fixture(scope="session", autouse=True)
def _only_what_tests_say() -> Iterator[None]:
    """The SDKs read keys, addresses and proxies from the environment; here only the tests say them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
            patch.delenv(name)
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost")
        yield


@pytest.fixture(scope="session", params=PROFILES)
def profile(request: pytest.FixtureRequest) -> str:
    """The API that the server emulates."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def server(profile: str) -> Iterator[MockServer]:
    """Plays the scenarios of this folder; a request that names none of them is an error."""
    with MockServer(SCENARIOS, settings=Settings(port=0, time_scale=0, profile=profile, unmatched="error")) as running:
        yield running


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, MockServer]]:
    """The same, one for each profile, for tables that hold models of both."""
    with ExitStack() as stack:
        yield {
            profile: stack.enter_context(
                MockServer(SCENARIOS, settings=Settings(port=0, time_scale=0, profile=profile, unmatched="error"))
            )
            for profile in PROFILES
        }


@pytest.fixture(scope="session")
def generating(profile: str) -> Iterator[MockServer]:
    """Has no scenario and makes up every reply."""
    with MockServer(settings=Settings(port=0, time_scale=0, profile=profile, unmatched="generate")) as running:
        yield running

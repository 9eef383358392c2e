"""What all tests share: an engine without a socket and a way to ask it, and a server."""

import difflib
import json
import logging
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import pytest

import mock_server
from mock_server import MockClient, MockServer
from mock_server.api.session import Verbs
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.exchange import in_place
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.scenario.model import Scenario
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

MakeEngine = Callable[..., Engine]
Ask = Callable[..., Entry]

_profile = cache(load_profile)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Commands that run in this process set how much is logged: for themselves only."""
    loggers = logging.getLogger(), logging.getLogger("mock_server")
    levels = [one.level for one in loggers]
    yield
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)


@pytest.fixture(scope="session")
def engine() -> MakeEngine:
    """Make an engine that serves scenarios (YAML text, or loaded ones). Immediate, strict, and with a seed."""

    def make(scenarios: str | Iterable[Scenario] = (), **settings: Any) -> Engine:
        chosen = Settings(**{"time_scale": 0.0, "unmatched": "error", "seed": 7, **settings})
        made = Engine(chosen, _profile(chosen.profile))
        made.load(loads(scenarios) if isinstance(scenarios, str) else scenarios)
        return made

    return make


def finished(entry: Entry) -> Entry:
    """The entry with its reply: a long one is made up when somebody has the time, as a server's loop does."""
    late = entry.exchange.late
    if late is not None and late.function is None:
        entry.settled(in_place(late))
    return entry


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Send one `POST /v1/messages` to an engine: a prompt or whole messages, other parameters by name."""

    def send(
        engine: Engine,
        said: str | list[dict[str, Any]] = "Hello",
        headers: Mapping[str, str] | None = None,
        **parameters: Any,
    ) -> Entry:
        messages = [{"role": "user", "content": said}] if isinstance(said, str) else said
        body = {"model": "claude-opus-4-8", "max_tokens": 8192, "messages": messages, **parameters}
        always = {"x-api-key": "test", "anthropic-version": "2023-06-01"}
        http = HttpRequest("POST", "/v1/messages", {**always, **(headers or {})}, json.dumps(body).encode())
        return finished(engine.handle(http))

    return send


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many words each search for the one that was meant has gone through, letter by letter."""
    counts: list[int] = []
    among = difflib.get_close_matches

    def counted(word: str, words: list[str], **how: Any) -> list[str]:
        counts.append(len(words))
        return among(word, words, **how)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    return counts


@pytest.fixture
def server() -> Iterator[MockServer]:
    with MockServer() as running:
        yield running


@pytest.fixture(params=["here", "elsewhere"])
def anywhere(server: MockServer, request: pytest.FixtureRequest) -> Verbs:
    """The verbs of one session, called directly and over the control API."""
    return server if request.param == "here" else MockClient(server.url)


@pytest.fixture(scope="session")
def _every_module() -> None:
    """All that a server imports when it is first needed is there."""
    for module in pkgutil.walk_packages(mock_server.__path__, "mock_server."):
        if not module.name.endswith("__main__"):
            import_module(module.name)


@pytest.fixture
def pytester(_every_module: None, pytester: pytest.Pytester) -> pytest.Pytester:
    """At its end the modules that were imported meanwhile are let go of; a server of this process would have half of
    its own twice."""
    return pytester

"""The pytest plugin: fixtures `mock_server` and `mock_server_env`, markers, options. Nothing heavy is imported until a
test takes a fixture.
"""

import hashlib
import itertools
import os
import re
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mock_server import clock as _clock  # noqa: F401 - takes the real clocks as it is loaded, before a test patches them

if TYPE_CHECKING:
    from mock_server.api.local import MockServer, MockSession
    from mock_server.api.remote import MockClient

    AnySession = MockSession | MockClient


# What in the environment would lead a client past the server. A leaf: imports nothing of the package.

LEAKS = (
    *("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_SCOPE"),
    *("ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE", "ANTHROPIC_FEDERATION_RULE_ID"),
    *("ANTHROPIC_ORGANIZATION_ID", "ANTHROPIC_SERVICE_ACCOUNT_ID", "ANTHROPIC_WORKSPACE_ID"),
    *("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_OAUTH_TOKEN"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def directly(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep a proxy out of the way to this machine, with what they say already."""
    known = ",".join(environ.get(name, "") for name in ("NO_PROXY", "no_proxy")).split(",")
    direct = ",".join(dict.fromkeys(host for host in (*known, *LOOPBACK) if host))
    return dict.fromkeys(("NO_PROXY", "no_proxy"), direct)


# The pytest plugin: fixtures `mock_server` and `mock_server_env`, markers, options. Nothing heavy is imported until
# a
# test takes a fixture.

MARKERS = (
    "mock_scenarios(*what): scenarios for the test: files and folders (relative to the test file or the root), or "
    "names from the library",
    "mock_faults(scenario=…, faults=…, once=False): run the test once for every fault at every event of a scenario, "
    "which the test is answered from; `mock_fault` is the variant",
    "mock_settings(**settings): settings for the test: profile, seed, time_scale, timing, unmatched, …; strict=False "
    "lets unmatched requests and replies that contradict theirs pass",
)
_OPEN_STREAMS = "mock_server_open_streams"
_in_use = pytest.StashKey["InUse"]()
_runs = itertools.count(1)


# -- options ----------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mock_server", "a local Messages API")
    group.addoption(
        "--mock-server-url",
        metavar="URL",
        help="use this running server instead of one of our own; a session per test there (MOCK_SERVER_CONTROL_TOKEN)",
    )
    group.addoption(
        "--mock-coverage",
        nargs="?",
        const="",
        metavar="FILE",
        help="tell which scenarios, turns and cases were never played; with FILE also as JSON",
    )
    group.addoption(
        "--mock-coverage-fail-under",
        type=float,
        metavar="PERCENT",
        help="fail when less than this share of the scenarios was played",
    )
    parser.addini(
        "mock_server_scenarios",
        "scenario files, folders and names from the library for every test",
        type="paths",
        default=[],
    )
    parser.addini("mock_server_settings", "settings of every test, a line each: seed = 3", type="linelist", default=[])
    parser.addini(
        "mock_server_strict",
        "unmatched requests, and replies that contradict theirs, fail the test",
        type="bool",
        default=True,
    )
    parser.addini("mock_server_autouse", "every test gets mock_server_env", type="bool", default=False)
    parser.addini("mock_server_coverage_fail_under", "as --mock-coverage-fail-under", default="")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("mock_server_url") and config.getoption("mock_coverage") is not None:
        raise pytest.UsageError("--mock-coverage counts in this process: it does not go with --mock-server-url")
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    if config.getini("mock_server_autouse"):
        config.pluginmanager.register(_Autouse(), "mock_server_autouse")
    if config.getoption("mock_coverage") is not None or _fail_under(config) is not None:
        from mock_server.coverage import Covering

        config.pluginmanager.register(Covering(config, _fail_under(config)), "mock_server_covering")


def _fail_under(config: pytest.Config) -> float | None:
    given: float | None = config.getoption("mock_coverage_fail_under")
    ini = config.getini("mock_server_coverage_fail_under")
    return given if given is not None else float(ini) if ini else None


class _Autouse:
    """Registered by the ini option: every test gets the environment."""

    @pytest.fixture(autouse=True)
    def _mock_server_autouse(self, mock_server_env: "AnySession") -> None:
        pass


# -- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _mock_server_process(pytestconfig: pytest.Config) -> Iterator["MockServer | MockClient"]:
    """One server a process, in a thread; or the running one that an option names."""
    from mock_server.api.local import MockServer
    from mock_server.scenario.node import ScenarioError

    url = pytestconfig.getoption("mock_server_url")
    if url:
        yield _running(url)
        return
    try:
        server = MockServer(*_ini_scenarios(pytestconfig))
    except ScenarioError as error:
        raise pytest.UsageError(f"mock_server_scenarios:\n{error}") from None
    with server:
        yield server


def _running(url: str) -> "MockClient":
    from mock_server.api.controls import Refused
    from mock_server.api.remote import MockClient, Unreachable

    try:
        return MockClient(url)
    except (Refused, Unreachable) as error:
        raise pytest.UsageError(f"--mock-server-url: {error}") from None


@pytest.fixture
def mock_server(
    request: pytest.FixtureRequest, _mock_server_process: "MockServer | MockClient"
) -> Iterator["AnySession"]:
    """A Messages API on loopback, with scenarios, counters and a journal of this test's own.

    `add(reply, when=…)` says what it answers; a request nothing matches is a 400 that says why, and fails the test.
    `url`, `api_key` and `env` point a client at it; `journal` and `assert_called` tell what came.
    """
    __tracebackhide__ = True
    shared = _is_shared(request.config)  # with others, who may run the same tests
    key = _key(request.node.nodeid, os.urandom(8).hex() if shared else "")
    session = _mock_server_process.session(key, default=not shared)
    use = request.node.stash[_in_use] = InUse(session, request.node)
    try:
        use.prepare()
        yield session
    finally:
        session.close()
        use.leave()
    use.check()


@pytest.fixture
def mock_server_env(mock_server: "AnySession", monkeypatch: pytest.MonkeyPatch) -> "AnySession":
    """`mock_server`, with the environment set so that clients find it by themselves and nothing leads past it."""
    for name in LEAKS:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**mock_server.env, **directly(os.environ)}.items():
        monkeypatch.setenv(name, value)
    return mock_server


@pytest.fixture
def mock_fault(request: pytest.FixtureRequest, mock_server: "AnySession") -> Any:
    """The variant that the marker `mock_faults` runs this test with: `fault`, `turn`, `events`, `next_event`."""
    variant = getattr(request, "param", None)
    if variant is None:
        raise pytest.UsageError(f"{request.node.nodeid}: mock_fault needs the marker mock_faults(scenario=…)")
    mock_server.add(**variant.data)
    return variant


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The fault matrix as the parameters of a test."""
    mark = metafunc.definition.get_closest_marker("mock_faults")
    if mark is None:
        return
    from mock_server.api.matrix import faults
    from mock_server.scenario.node import ScenarioError

    given: dict[str, Any] = {**dict(zip(("scenario", "faults", "once"), mark.args, strict=False)), **mark.kwargs}
    scenario = given.pop("scenario", None)
    if scenario is None:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: mock_faults needs scenario=NAME or a file")
    try:
        variants = list(faults(_resolved(str(scenario), metafunc.definition), **given))
    except ScenarioError as error:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: {error}") from None
    if "mock_fault" not in metafunc.fixturenames:
        metafunc.fixturenames.append("mock_fault")
    metafunc.parametrize("mock_fault", variants, ids=[one.id for one in variants], indirect=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test with the fault matrix gets its variant although it does not ask for it by name."""
    names: list[str] = getattr(item, "fixturenames", [])
    if item.get_closest_marker("mock_faults") is not None and "mock_fault" not in names:
        names.append("mock_fault")


def _is_shared(config: pytest.Config) -> bool:
    """On a server of others, a test gets its own key's requests and no one else's."""
    return bool(config.getoption("mock_server_url"))


def _key(node: str, more: str = "") -> str:
    """A key for one run of one test; a hash, since names of tests may hold what a header cannot."""
    who = f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')} {node} {next(_runs)} {more}"
    return "test-" + hashlib.sha256(who.encode()).hexdigest()[:24]


class InUse:
    """The session of a running test: what the test asked for, and whether it ends well."""

    def __init__(self, session: "AnySession", item: Any) -> None:
        self.session = session
        self._item: pytest.Item = item
        self._strict = bool(item.config.getini("mock_server_strict"))
        self._told = (0, 0, 0, 0)

    def prepare(self) -> None:
        """Do what markers and ini options say. Raises UsageError for what they say wrong."""
        __tracebackhide__ = True
        from mock_server.scenario.node import ScenarioError
        from mock_server.settings import SettingError

        settings = _remote_settings(self._item.config) | _ini_settings(self._item.config)
        for mark in reversed(list(self._item.iter_markers("mock_settings"))):
            settings |= mark.kwargs
        self._strict = bool(settings.pop("strict", self._strict))
        try:
            self.session.override(**settings)
            if _is_shared(self._item.config):
                self.session.load(*_ini_scenarios(self._item.config))
            for mark in self._item.iter_markers("mock_scenarios"):
                self.session.load(*(_resolved(one, self._item) for one in mark.args))
        except (ScenarioError, SettingError) as error:
            raise pytest.UsageError(f"{self._item.nodeid}: {error}") from None

    def check(self) -> None:
        """Fail, once, for what went wrong behind the client: a reply function that raised, an unmatched or unexpected
        request, a reply that contradicts its request."""
        journal = self.session.journal
        faults, unmatched, unexpected, contradicted = now = self._counts()
        told, self._told = self._told, now
        if not self._strict:
            return
        if faults > told[0]:
            fault = journal.faults[told[0]]
            if isinstance(fault, SystemExit | KeyboardInterrupt | pytest.exit.Exception):  # they would end the session
                raise pytest.fail.Exception(f"a reply function raised {fault!r}") from fault
            raise fault
        if unexpected > told[2]:
            from mock_server.engine.verify import unexpected_text

            pytest.fail(unexpected_text(journal), pytrace=False)
        if unmatched > told[1]:
            from mock_server.engine.verify import unmatched_text

            pytest.fail(unmatched_text(journal), pytrace=False)
        if contradicted > told[3]:
            from mock_server.engine.verify import contradicted_text

            pytest.fail(contradicted_text(journal), pytrace=False)

    def _counts(self) -> tuple[int, int, int, int]:
        journal = self.session.journal
        return len(journal.faults), journal.unmatched, journal.unexpected, journal.contradicted

    def failed(self, error: BaseException) -> None:
        """The test has failed by itself; a fault of a reply function goes first, the report tells the rest."""
        journal = self.session.journal
        if journal.faults and error not in journal.faults:
            self.check()
        self._told = self._counts()

    def leave(self) -> None:
        """Keep what reports and coverage want of the test."""
        if self.session.journal.cut:
            self._item.user_properties.append((_OPEN_STREAMS, self.session.journal.cut))
        covering = self._item.config.pluginmanager.get_plugin("mock_server_covering")
        if covering is not None:
            covering.left(self.session, self._item)

    def text(self) -> str:
        """The journal, for the report of a failure, and what would have matched an unmatched request."""
        from mock_server.engine.verify import contradicted_text, journal_text, unmatched_text

        journal = self.session.journal
        parts = [journal_text(journal, self.session.elsewhere)]
        parts += [unmatched_text(journal)] if journal.unmatched else []
        parts += [contradicted_text(journal)] if journal.contradicted else []
        return "\n".join(parts)


def _remote_settings(config: pytest.Config) -> dict[str, Any]:
    """What a server of our own has by itself."""
    if not _is_shared(config):
        return {}
    strict = {"unmatched": "error", "contradictions": "error"}
    return {"time_scale": 0.0, **strict, "fast_retries": True, "batch_seconds": 0.0}


def _ini_settings(config: pytest.Config) -> dict[str, Any]:
    from mock_server import settings

    try:
        return settings.from_lines(config.getini("mock_server_settings"), "mock_server_settings")
    except settings.SettingError as error:
        raise pytest.UsageError(str(error)) from None


def _ini_scenarios(config: pytest.Config) -> list[Path]:
    """The paths that every test gets; one that is not there may be a name from the library."""
    given: list[Path] = config.getini("mock_server_scenarios")
    return [path if path.exists() or path.parent != config.rootpath else Path(path.name) for path in given]


def _resolved(what: str, item: pytest.Item) -> str | Path:
    """A path beside the test file or below the root; a name stays a name."""
    if not re.search(r"[/\\]|\.ya?ml$", what):
        return what
    beside, below = item.path.parent / what, item.config.rootpath / what
    return beside if beside.exists() or not below.exists() else below


# -- reports ----------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """A test that passed may still fail for what its client hid; one that failed for a reply function says so."""
    use = item.stash.get(_in_use, None)
    try:
        result = yield
    except (Exception, pytest.fail.Exception) as error:
        if use is not None:
            use.failed(error)
        raise
    if use is not None:
        use.check()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """The report of a failed test carries the journal."""
    report: pytest.TestReport = yield
    use = item.stash.get(_in_use, None)
    if report.failed and use is not None:
        report.sections.append(("mock_server", use.text()))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    listed = itertools.chain.from_iterable(terminalreporter.stats.values())
    reports = [one for one in listed if isinstance(one, pytest.TestReport)]
    cut = {
        one.nodeid: count
        for one in reports
        if one.when == "teardown"
        for name, count in one.user_properties
        if name == _OPEN_STREAMS
    }
    if cut:
        terminalreporter.write_sep("-", "mock_server")
        for node, count in cut.items():
            terminalreporter.write_line(
                f"{node}: {count} stream{'s' * (count != 1)} still open at the end of the test, cut"
            )

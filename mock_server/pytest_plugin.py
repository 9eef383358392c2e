"""The pytest plugin: fixtures `mock_server` and `mock_server_env`, markers, options. Nothing heavy is imported until a
test takes a fixture.
"""

import hashlib
import itertools
import json
import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mock_server.api import MockServer, MockSession
    from mock_server.client import MockClient

    AnySession = MockSession | MockClient

MARKERS = (
    "mock_scenarios(*what): scenarios for the test: files and folders (relative to the test file or the root), or "
    "names from the library",
    "mock_settings(**settings): settings for the test: profile, seed, time_scale, timing, unmatched, …; strict=False "
    "lets unmatched requests pass",
)
# what would lead a client past the server
LEAKS = (
    *("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_SCOPE"),
    *("ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE", "ANTHROPIC_FEDERATION_RULE_ID"),
    *("ANTHROPIC_ORGANIZATION_ID", "ANTHROPIC_SERVICE_ACCOUNT_ID", "ANTHROPIC_WORKSPACE_ID"),
    *("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_OAUTH_TOKEN"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")

_OPEN_STREAMS = "mock_server_open_streams"
_PLAYED = "mock_server_played"
_WORKER = "mock_server_coverage"
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
    parser.addini("mock_server_strict", "unmatched requests fail the test", type="bool", default=True)
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
        config.pluginmanager.register(_Covering(config), "mock_server_covering")


class _Autouse:
    """Registered by the ini option: every test gets the environment."""

    @pytest.fixture(autouse=True)
    def _mock_server_autouse(self, mock_server_env: "AnySession") -> None:
        pass


# -- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _mock_server_process(pytestconfig: pytest.Config) -> Iterator["MockServer | MockClient"]:
    """One server a process, in a thread; or the running one that an option names."""
    from mock_server.api import MockServer
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
    from mock_server.client import MockClient, Refused, Unreachable

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
    for name, value in mock_server.env.items():
        monkeypatch.setenv(name, value)
    known = ",".join(os.environ.get(name, "") for name in ("NO_PROXY", "no_proxy")).split(",")
    direct = ",".join(dict.fromkeys(host for host in (*known, *LOOPBACK) if host))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, direct)
    return mock_server


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
        self._told = (0, 0, 0)

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
                self.session.load(*(_found(one, self._item) for one in mark.args))
        except (ScenarioError, SettingError) as error:
            raise pytest.UsageError(f"{self._item.nodeid}: {error}") from None

    def check(self) -> None:
        """Fail, once, for what went wrong behind the client: a reply function that raised, an unmatched or unexpected
        request."""
        journal = self.session.journal
        faults, unmatched, unexpected = now = len(journal.faults), journal.unmatched, journal.unexpected
        told, self._told = self._told, now
        if not self._strict:
            return
        if faults > told[0]:
            raise journal.faults[told[0]]
        if unexpected > told[2]:
            from mock_server.engine.verify import unexpected_text

            pytest.fail(unexpected_text(journal), pytrace=False)
        if unmatched > told[1]:
            from mock_server.engine.verify import unmatched_text

            pytest.fail(unmatched_text(journal), pytrace=False)

    def failed(self, error: BaseException) -> None:
        """The test has failed by itself; a fault of a reply function goes first, the report tells the rest."""
        journal = self.session.journal
        if journal.faults and error not in journal.faults:
            self.check()
        self._told = (len(journal.faults), journal.unmatched, journal.unexpected)

    def leave(self) -> None:
        """Keep what reports and coverage want of the test."""
        if self.session.journal.cut:
            self._item.user_properties.append((_OPEN_STREAMS, self.session.journal.cut))
        covering = self._item.config.pluginmanager.get_plugin("mock_server_covering")
        if covering is not None:
            covering.left(self.session, self._item)

    def text(self) -> str:
        """The journal, for the report of a failure, and what would have matched an unmatched request."""
        from mock_server.engine.verify import journal_text, unmatched_text

        journal = self.session.journal
        text = journal_text(journal, self.session.elsewhere)
        return f"{text}\n{unmatched_text(journal)}" if journal.unmatched else text


def _remote_settings(config: pytest.Config) -> dict[str, Any]:
    """What a server of our own has by itself."""
    if not _is_shared(config):
        return {}
    return {"time_scale": 0.0, "unmatched": "error", "fast_retries": True, "batch_seconds": 0.0}


def _ini_settings(config: pytest.Config) -> dict[str, Any]:
    from mock_server import settings

    known = {row.name: row for row in settings.rows()}
    said: dict[str, Any] = {}
    for line in config.getini("mock_server_settings"):
        name, _, value = (part.strip() for part in line.partition("="))
        if name not in known:
            raise pytest.UsageError(f"mock_server_settings: no setting is named '{name}'; known are {', '.join(known)}")
        try:
            said[name] = settings.parse(known[name], value, f"mock_server_settings: {name}")
        except settings.SettingError as error:
            raise pytest.UsageError(str(error)) from None
    return said


def _ini_scenarios(config: pytest.Config) -> list[Path]:
    """The paths that every test gets; one that is not there may be a name from the library."""
    given: list[Path] = config.getini("mock_server_scenarios")
    return [path if path.exists() or path.parent != config.rootpath else Path(path.name) for path in given]


def _found(what: str, item: pytest.Item) -> str | Path:
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
            terminalreporter.write_line(f"{node}: {count} streams still open at the end of the test, cut")


# -- coverage ---------------------------------------------------------------------------------------------------------


def _fail_under(config: pytest.Config) -> float | None:
    given: float | None = config.getoption("mock_coverage_fail_under")
    ini = config.getini("mock_server_coverage_fail_under")
    return given if given is not None else float(ini) if ini else None


class _Covering:
    """Registered by the options: what tests have played of the scenarios they could."""

    def __init__(self, config: pytest.Config) -> None:
        from mock_server.coverage import Coverage

        self._config = config
        self._coverage = Coverage()

    def left(self, session: "AnySession", item: pytest.Item) -> None:
        """A test is over."""
        self._coverage.add(session.scenarios, session.journal)
        aside = {one.name for one in session.scenarios if one.side}
        hits = [hit for hit in session.journal.hits.values() if hit.scenario not in aside]
        played = sorted({f"{hit.scenario} turn {hit.turn}" for hit in hits})
        if played:
            item.user_properties.append((_PLAYED, ", ".join(played)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist has ended."""
        self._coverage.merge(getattr(node, "workeroutput", {}).get(_WORKER, {}))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[_WORKER] = self._coverage.counts
            return
        file = self._config.getoption("mock_coverage")
        if file:
            Path(file).write_text(json.dumps(self._coverage.as_json(), indent=2) + "\n")
        self._tell_junit()
        if self._is_short() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.write_sep("-", "mock_server coverage")
        for line in self._coverage.table():
            terminalreporter.write_line(line)
        if self._is_short():
            least = _fail_under(self._config)
            terminalreporter.write_line(f"FAIL: less than the {least:g}% asked for was played", red=True)

    def _is_short(self) -> bool:
        least = _fail_under(self._config)
        return least is not None and self._coverage.percent < least

    def _tell_junit(self) -> None:
        """Properties of the suite in the JUnit file, if one is written."""
        try:
            from _pytest.junitxml import xml_key
        except ImportError:
            return
        xml = self._config.stash.get(xml_key, None)
        if xml is not None:
            xml.add_global_property("mock_server_coverage_percent", f"{self._coverage.percent:.1f}")
            for name in (one["scenario"] for one in self._coverage.as_json()["scenarios"] if one["missing"]):
                xml.add_global_property("mock_server_never_played", name)

"""The pytest plugin: fixtures (`mock_server` and its kin), markers, options. Nothing heavy is imported until a test
takes a fixture.

It never breaks the run: what is wrong with a marker, or with a server elsewhere, is the failure of the test that it
happens to.
"""

import contextlib
import hashlib
import itertools
import os
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import pytest

from mock_server import clock as _clock  # noqa: F401 - takes the real clocks as it is loaded, before a test patches them

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mock_server.api.local import MockServer, MockSession
    from mock_server.api.remote import MockClient
    from mock_server.settings import SessionSettings

    AnySession: TypeAlias = MockSession | MockClient


# -- the environment ---------------------------------------------------------------------------------------------------

# what would lead a client past the server
LEAKS = (
    *("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_SCOPE"),
    *("ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE", "ANTHROPIC_FEDERATION_RULE_ID"),
    *("ANTHROPIC_ORGANIZATION_ID", "ANTHROPIC_SERVICE_ACCOUNT_ID", "ANTHROPIC_WORKSPACE_ID"),
    *("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_OAUTH_TOKEN"),
)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def directly(environ: Mapping[str, str], url: str = "") -> dict[str, str]:
    """The variables that keep a proxy out of the way to this machine and to `url`, with what they say already."""
    known = ",".join(environ.get(name, "") for name in ("NO_PROXY", "no_proxy")).split(",")
    direct = ",".join(dict.fromkeys(host for host in (*known, *LOOPBACK, urlsplit(url).hostname) if host))
    return dict.fromkeys(("NO_PROXY", "no_proxy"), direct)


def lead_here(server: "AnySession | MockServer", patch: pytest.MonkeyPatch) -> None:
    """Have the environment point clients to this server. Proxies stay, but for the way to it."""
    for name in LEAKS:
        patch.delenv(name, raising=False)
    for name, value in {**server.env, **directly(os.environ, server.url)}.items():
        patch.setenv(name, value)


# -- options ----------------------------------------------------------------------------------------------------------

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
_early = pytest.StashKey["Early"]()
_runs = itertools.count(1)


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
    parser.addini("mock_server_autouse", "every test gets mock_server", type="bool", default=False)
    parser.addini("mock_server_env", "mock_server sets the environment of its test", type="bool", default=True)
    parser.addini(
        "mock_server_early",
        "start the server and set the environment before conftest.py and tests are imported",
        type="bool",
        default=False,
    )
    parser.addini("mock_server_coverage_fail_under", "as --mock-coverage-fail-under", default="")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Code that a `conftest.py` imports may make its client at once."""
    _start_early(early_config)


def _start_early(config: pytest.Config) -> None:
    if not config.getini("mock_server_early") or _early in config.stash:
        return
    if getattr(config.known_args_namespace, "mock_server_url", None):
        raise pytest.UsageError(
            "mock_server_early does not go with --mock-server-url: there every test has a key of its own, which code "
            "that is imported before it cannot know"
        )
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_own_server(config))
        lead_here(server, stack.enter_context(pytest.MonkeyPatch.context()))
        config.stash[_early] = Early(server, stack.pop_all())


class Early(NamedTuple):
    """The server of a process whose clients are made as code is imported, and what ends it."""

    server: "MockServer"
    end: contextlib.ExitStack


def pytest_unconfigure(config: pytest.Config) -> None:
    early = config.stash.get(_early, None)
    if early is not None:
        del config.stash[_early]
        early.end.close()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    _start_early(config)  # unless it is begun: a plugin that a conftest.py names comes too late for its hook
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
    option: float | None = config.getoption("mock_coverage_fail_under")
    ini = config.getini("mock_server_coverage_fail_under")
    return option if option is not None else float(ini) if ini else None


class _Autouse:
    """Registered by the ini option: every test gets the environment."""

    @pytest.fixture(autouse=True)
    def _mock_server_autouse(self, mock_server_env: "AnySession") -> None:
        pass


# -- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _mock_server_process(pytestconfig: pytest.Config) -> Iterator["MockServer | MockClient"]:
    """One server a process, in a thread; or the running one that an option names."""
    url = pytestconfig.getoption("mock_server_url")
    early = pytestconfig.stash.get(_early, None)
    if url:
        yield _running(url)
        return
    if early is not None:
        yield early.server
        return
    try:
        server = _own_server(pytestconfig)
    except pytest.UsageError as error:
        raise _failed(str(error)) from None
    with server:
        yield server


def _own_server(config: pytest.Config) -> "MockServer":
    """A server with the scenarios of the ini option. Raises UsageError for what is wrong with them."""
    from mock_server.api.local import MockServer
    from mock_server.scenario.node import ScenarioError

    try:
        return MockServer(*_ini_scenarios(config))
    except ScenarioError as error:
        raise pytest.UsageError(f"mock_server_scenarios: {error}") from None


def _running(url: str) -> "MockClient":
    from mock_server.api.remote import MockClient

    try:
        return MockClient(url)
    except _lost() as error:
        raise _gone(error) from None


def _lost() -> tuple[type[Exception], ...]:
    """What is raised when a server elsewhere does not answer, or does not know us any more."""
    from mock_server.api.controls import Refused
    from mock_server.api.remote import Unreachable

    return Refused, Unreachable


def _failed(text: str) -> BaseException:
    """The failure of a test with a text for people, whose first line says it all: pytest's summary has only that."""
    return pytest.fail.Exception(text, pytrace=False)


def _gone(error: Exception) -> BaseException:
    """The failure of a test whose server elsewhere does not answer, or not to us."""
    return _failed(f"--mock-server-url: the server does not answer: {error}")


@pytest.fixture
def mock_server(
    request: pytest.FixtureRequest,
    _mock_server_process: "MockServer | MockClient",
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator["AnySession"]:
    """A Messages API on loopback, with scenarios, counters and a journal of this test's own.

    `add(reply, when=…)` says what it answers; a request nothing matches is a 400 that says why, and fails the test.
    The environment points clients here (`ANTHROPIC_BASE_URL`, `ANTHROPIC_API_KEY`), unless the ini option
    `mock_server_env` is off; `url`, `api_key` and `env` do so by hand. `journal` and `assert_called` tell what came.
    """
    __tracebackhide__ = True
    config: pytest.Config = request.config
    shared = _is_shared(config)  # with others, who may run the same tests
    session = _new_session(_mock_server_process, request.node.nodeid, config, default=not shared)
    use = request.node.stash[_in_use] = InUse(session, request.node)
    try:
        use.prepare()
        if config.getini("mock_server_env"):
            lead_here(session, monkeypatch)
        yield session
    finally:
        use.leave()
    use.check()


@pytest.fixture
def mock_server_env(mock_server: "AnySession", monkeypatch: pytest.MonkeyPatch) -> "AnySession":
    """`mock_server`, with the environment set whatever the ini option says, and no proxy in it at all."""
    lead_here(mock_server, monkeypatch)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    return mock_server


class MockServerFactory:
    """Makes sessions that last longer than a test: `factory(profile="anthropic")`. A context manager ends one earlier.

    Each has a key, scenarios, settings and a journal of its own, on the server of the other fixtures. It sets no
    environment.
    """

    def __init__(self, server: "MockServer | MockClient", config: pytest.Config) -> None:
        self._server = server
        self._config = config
        self._made: list[AnySession] = []

    def __call__(self, **settings: "Unpack[SessionSettings]") -> "MockSession | MockClient":
        """A new session with these settings. Raises SettingError."""
        __tracebackhide__ = True
        session = _new_session(self._server, "made", self._config, default=False)
        self._made.append(session)
        own: dict[str, Any] = {**settings}
        session.override(**(_remote_settings(self._config) | _ini_settings(self._config) | own))
        if _is_shared(self._config):
            session.load(*_ini_scenarios(self._config))
        return session

    def end(self) -> None:
        """End them all, and fail for a request that one of them did not answer, or not as it was to be."""
        for session in self._made:
            with contextlib.suppress(*_lost()):
                session.close()
        if not self._config.getini("mock_server_strict"):
            return
        failed: list[BaseException] = []
        for session in self._made:
            try:
                _judge(session, (0, 0, 0, 0), "a session that several tests share: ")
            except _lost() as error:  # all are of one server
                failed.append(_gone(error))
                break
            except (Exception, pytest.fail.Exception) as error:
                failed.append(error)
        if len(failed) > 1:  # one exception ends a fixture: it has the text of all
            raise _failed("\n\n".join([str(one) or repr(one) for one in failed]))
        for one in failed:
            raise one


@pytest.fixture(scope="session")
def mock_server_factory(
    pytestconfig: pytest.Config, _mock_server_process: "MockServer | MockClient"
) -> Iterator[MockServerFactory]:
    """Makes sessions for fixtures of a wider scope than one test: `mock_server_factory(seed=3)`."""
    factory = MockServerFactory(_mock_server_process, pytestconfig)
    yield factory
    factory.end()


@pytest.fixture(scope="session")
def mock_server_session(mock_server_factory: MockServerFactory) -> "AnySession":
    """One session that all tests share, for fixtures that live as long as the run. It sets no environment."""
    return mock_server_factory()


def _new_session(server: "MockServer | MockClient", who: str, config: pytest.Config, *, default: bool) -> "AnySession":
    """A session under a key of its own. Fails when a server elsewhere gives none."""
    key = _key(who, os.urandom(8).hex() if _is_shared(config) else "")
    try:
        return server.session(key, default=default)
    except _lost() as error:
        raise _gone(error) from None


@pytest.fixture
def mock_fault(request: pytest.FixtureRequest, mock_server: "AnySession") -> Any:
    """The variant that the marker `mock_faults` runs this test with: `fault`, `turn`, `events`, `next_event`."""
    variant = getattr(request, "param", None)
    if variant is None:
        raise _failed("mock_fault needs the marker mock_faults(scenario=…)")
    if isinstance(variant, str):
        raise _failed(variant)
    mock_server.add(**variant.data)
    return variant


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The fault matrix as the parameters of a test."""
    mark = metafunc.definition.get_closest_marker("mock_faults")
    if mark is None:
        return
    variants = _variants(metafunc.definition, mark)
    if "mock_fault" not in metafunc.fixturenames:
        metafunc.fixturenames.append("mock_fault")
    ids = ["mistake" if isinstance(one, str) else one.id for one in variants]
    metafunc.parametrize("mock_fault", variants, ids=ids, indirect=True)


def _variants(item: pytest.Item, mark: pytest.Mark) -> Sequence[Any]:
    """What the marker runs a test with; of one that is wrong what is wrong: that is the failure of its test alone."""
    from mock_server.api.matrix import faults
    from mock_server.scenario.node import ScenarioError, one_of

    names = ("scenario", "faults", "once")
    arguments: dict[str, Any] = {**dict(zip(names, mark.args, strict=False)), **mark.kwargs}
    unknown = next((name for name in arguments if name not in names), None)
    if unknown is not None:
        return [f"mock_faults has no '{unknown}'{one_of(unknown, names)}"]
    scenario = arguments.pop("scenario", None)
    if scenario is None:
        return ["mock_faults needs scenario=NAME or a file"]
    try:
        return list(faults(_resolved(str(scenario), item), **arguments))
    except ScenarioError as error:
        return [str(error)]


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


Counts: TypeAlias = tuple[int, int, int, int]  # of what went wrong behind the client


def _counts(session: "AnySession") -> Counts:
    journal = session.journal
    return len(journal.faults), journal.unmatched, journal.unexpected, journal.contradicted


def _judge(session: "AnySession", reported: Counts, whose: str = "") -> None:
    """Fail, once, for what went wrong behind the client and is not `reported` yet: a reply function that raised, an
    unexpected or unmatched request, a reply that contradicts its request."""
    __tracebackhide__ = True
    from mock_server.engine.verify import contradicted_text, unexpected_text, unmatched_text

    journal = session.journal
    faults, unmatched, unexpected, contradicted = _counts(session)
    if faults > reported[0]:
        fault = journal.faults[reported[0]]
        if isinstance(fault, SystemExit | KeyboardInterrupt | pytest.exit.Exception):  # they would end the run
            raise pytest.fail.Exception(f"a reply function raised {fault!r}") from fault
        raise fault
    if unexpected > reported[2]:
        raise _failed(whose + unexpected_text(journal))
    if unmatched > reported[1]:
        raise _failed(whose + unmatched_text(journal))
    if contradicted > reported[3]:
        raise _failed(whose + contradicted_text(journal))


class InUse:
    """The session of a running test: what its markers set, and whether it ends well."""

    def __init__(self, session: "AnySession", item: Any) -> None:
        self.session = session
        self._item: pytest.Item = item
        self._strict = bool(item.config.getini("mock_server_strict"))
        self._reported: Counts = (0, 0, 0, 0)
        self._lost = ""  # why its server did not answer any more

    def prepare(self) -> None:
        """Apply markers and ini options. Fails for a mistake in them."""
        __tracebackhide__ = True
        from mock_server.scenario.node import ScenarioError
        from mock_server.settings import SettingError

        try:
            _check_markers(self._item)
            settings = _remote_settings(self._item.config) | _ini_settings(self._item.config)
            for mark in reversed(list(self._item.iter_markers("mock_settings"))):
                settings |= mark.kwargs
            self._strict = bool(settings.pop("strict", self._strict))
            self.session.override(**settings)
            if _is_shared(self._item.config):
                self.session.load(*_ini_scenarios(self._item.config))
            for mark in self._item.iter_markers("mock_scenarios"):
                self.session.load(*(_resolved(one, self._item) for one in mark.args))
        except (ScenarioError, SettingError) as error:
            raise _failed(str(error)) from None
        except _lost() as error:
            self._lost = str(error)
            raise _gone(error) from None

    def check(self) -> None:
        """Fail, once, for what went wrong behind the client, or when the server does not answer any more."""
        __tracebackhide__ = True
        if self._lost:
            return
        try:
            reported, self._reported = self._reported, _counts(self.session)
            if self._strict:
                _judge(self.session, reported)
        except _lost() as error:
            self._lost = str(error)
            raise _gone(error) from None

    def failed(self, error: BaseException) -> None:
        """The test has failed by itself; a fault of a reply function goes first, the report has the rest."""
        journal = self.session.journal
        if journal.faults and error not in journal.faults:
            self.check()
        try:
            self._reported = _counts(self.session)
        except _lost() as lost:
            self._lost = str(lost)

    def leave(self) -> None:
        """Close the session, and keep what reports and coverage want of the test."""
        __tracebackhide__ = True
        try:
            self.session.close()
            cut = self.session.journal.cut
        except _lost() as error:
            if not self._lost:
                self._lost = str(error)
                raise _gone(error) from None
            return
        if cut:
            self._item.user_properties.append((_OPEN_STREAMS, cut))
        covering = self._item.config.pluginmanager.get_plugin("mock_server_covering")
        if covering is not None:
            covering.left(self.session, self._item)

    def text(self, failure: str) -> str:
        """The journal, for the report of a failure; before it what would have matched an unmatched request and what a
        reply contradicted, unless the failure says so itself."""
        from mock_server.engine.verify import contradicted_text, journal_text, unmatched_text

        if self._lost:
            return f"the journal cannot be read: {self._lost}"
        try:
            journal = self.session.journal
            text = journal_text(journal, self.session.elsewhere)
            before = [unmatched_text(journal)] if journal.unmatched else []
            before += [contradicted_text(journal)] if journal.contradicted else []
            return "\n".join([*(one for one in before if one not in failure), text])
        except Exception as error:  # a report that cannot be made is no reason to lose the other tests
            return f"the journal cannot be read: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    line = str(error).partition("\n")[0]
    return line if isinstance(error, _lost()) else f"{type(error).__name__}: {line}"


def _remote_settings(config: pytest.Config) -> dict[str, Any]:
    """What a server of our own has by itself."""
    from mock_server.settings import TESTING

    return {**TESTING} if _is_shared(config) else {}


def _ini_settings(config: pytest.Config) -> dict[str, Any]:
    from mock_server import settings

    return settings.from_lines(config.getini("mock_server_settings"), "mock_server_settings")


def _ini_scenarios(config: pytest.Config) -> list[Path]:
    """The paths that every test gets; one that is not there may be a name from the library."""
    paths: list[Path] = config.getini("mock_server_scenarios")
    return [path if path.exists() or path.parent != config.rootpath else Path(path.name) for path in paths]


def _check_markers(item: pytest.Item) -> None:
    """A misspelt marker of ours would leave its test without what it says. Fails."""
    registered = [re.split(r"[(:]", line)[0].strip() for line in item.config.getini("markers")]
    for mark in item.iter_markers():
        if mark.name.startswith("mock_") and mark.name not in registered:
            from mock_server.scenario.node import suggestion

            ours = [re.split(r"[(:]", line)[0] for line in MARKERS]
            if close := suggestion(mark.name, ours):
                raise _failed(f"no marker is named '{mark.name}'{close}")


def _resolved(what: str, item: pytest.Item) -> str | Path:
    """A path beside the test file or below the root; a name stays a name."""
    from mock_server.scenario.load import is_name

    if is_name(what):
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
        report.sections.append(("mock_server", use.text(report.longreprtext)))
    if call.when == "setup" and call.excinfo is not None and _MISMATCH.search(str(call.excinfo.value)):
        report.sections.append(("mock_server", _WIDER))
    return report


_MISMATCH = re.compile(r"ScopeMismatch.* function scoped fixture '?(mock_server|mock_server_env)\b")
_WIDER = (
    "mock_server is of one test. A fixture that lives longer takes mock_server_session, which all tests share, or\n"
    "mock_server_factory, which makes sessions of its own: `server = mock_server_factory(profile='anthropic')`."
)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    listed = itertools.chain.from_iterable(terminalreporter.stats.values())
    reports = [one for one in listed if isinstance(one, pytest.TestReport)]
    cut = {
        one.nodeid: count
        for one in reports
        if one.when == "teardown"
        for name, count in one.user_properties
        if name == _OPEN_STREAMS and isinstance(count, int)
    }
    if cut:
        from mock_server.scenario.node import several

        terminalreporter.write_sep("-", "mock_server")
        for node, count in cut.items():
            terminalreporter.write_line(f"{node}: {several(count, 'stream')} still open at the end of the test, cut")

"""The part of the pytest plugin that tells which scenarios were never played. Loaded only when it is asked for."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mock_server.coverage import Coverage

if TYPE_CHECKING:
    from mock_server.api import MockSession
    from mock_server.client import MockClient

    AnySession = MockSession | MockClient

_PLAYED = "mock_server_played"
_WORKER = "mock_server_coverage"


class Covering:
    """Registered by the options: what tests have played of the scenarios they could."""

    def __init__(self, config: pytest.Config, least: float | None) -> None:
        """`least`: the share, in percent, below which the run fails."""
        self._config = config
        self._least = least
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
            terminalreporter.write_line(f"FAIL: less than the {self._least:g}% asked for was played", red=True)

    def _is_short(self) -> bool:
        return self._least is not None and self._coverage.percent < self._least

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

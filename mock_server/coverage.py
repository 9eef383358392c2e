"""Which scenarios, turns and cases tests have played: counted per scenario of a file, merged over processes, printed at
the end of a run. The pytest plugin loads it only when it is asked for.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mock_server.engine.journal import Journal
from mock_server.records import dataclass
from mock_server.scenario.answer import Answer
from mock_server.scenario.model import Scenario

if TYPE_CHECKING:
    from mock_server.api.local import MockSession
    from mock_server.api.remote import MockClient


Counts = dict[str, dict[str, int]]  # "file.yaml:3 name" -> "turn 1 case 2" -> how often


@dataclass
class Coverage:
    """How often each part of each scenario was played."""

    counts: Counts = field(default_factory=dict)

    def add(self, scenarios: Iterable[Scenario], journal: Journal | None = None) -> None:
        """Count the scenarios of files, but for those for side calls, and what a journal says was played of them."""
        hits = {} if journal is None else journal.hits
        for scenario in scenarios:
            if scenario.is_side_call or not _is_file(scenario.source):
                continue
            parts = self.counts.setdefault(f"{_shown(scenario.source)} {scenario.name}", {})
            for label, leaf in leaves(scenario):
                hit = hits.get(id(leaf))
                parts[label] = parts.get(label, 0) + (hit.count if hit is not None and hit.answer is leaf else 0)

    def merge(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Add what another process counted."""
        for name, parts in counts.items():
            own = self.counts.setdefault(name, {})
            for label, count in parts.items():
                own[label] = own.get(label, 0) + count

    @property
    def total(self) -> int:
        return sum(len(parts) for parts in self.counts.values())

    @property
    def played(self) -> int:
        return sum(1 for parts in self.counts.values() for count in parts.values() if count)

    @property
    def percent(self) -> float:
        """100 when there is nothing to play."""
        return 100.0 if not self.total else 100.0 * self.played / self.total

    def as_json(self) -> dict[str, Any]:
        """The whole, for machines."""
        scenarios = []
        for name, parts in sorted(self.counts.items()):
            source, _, scenario = name.partition(" ")
            scenarios.append({"scenario": scenario, "source": source, "parts": dict(parts), "missing": _missing(parts)})
        return {"percent": round(self.percent, 1), "played": self.played, "total": self.total, "scenarios": scenarios}

    def table(self) -> list[str]:
        """The whole, for people: one line a scenario, what was never played at its end."""
        lines = []
        for name, parts in sorted(self.counts.items()):
            missing = _missing(parts)
            never = "" if not missing else f"  never: {', '.join(missing)}" if len(missing) < len(parts) else "  never"
            lines.append(f"{len(parts) - len(missing):>4} of {len(parts):<4} {name}{never}")
        return [*lines, f"{self.played:>4} of {self.total:<4} {self.percent:.1f}%"]


def leaves(scenario: Scenario) -> Iterator[tuple[str, Answer]]:
    """Every reply and error of a scenario with the words for where it stands."""
    for at, turn in enumerate(scenario.turns, 1):
        yield from _leaves(turn, f"turn {at}")


def _leaves(answer: Answer, label: str) -> Iterator[tuple[str, Answer]]:
    for kind, inner in (("case", answer.cases), ("attempt", answer.attempts)):
        for at, one in enumerate(inner or (), 1):
            yield from _leaves(one, f"{label} {kind} {at}")
    if answer.cases is None and answer.attempts is None:
        yield label, answer


def _missing(parts: Mapping[str, int]) -> list[str]:
    return [label for label, count in parts.items() if not count]


def _shown(source: str) -> str:
    file = Path(source)
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


def _is_file(source: str) -> bool:
    file, _, line = source.rpartition(":")
    return line.isdecimal() and file.endswith((".yaml", ".yml"))


# -- in pytest --------------------------------------------------------------------------------------------------------

_PLAYED = "mock_server_played"
_WORKER = "mock_server_coverage"


class Covering:
    """Registered by the options: what tests have played of the scenarios they could."""

    def __init__(self, config: pytest.Config, least: float | None) -> None:
        """`least`: the share, in percent, below which the run fails."""
        self._config = config
        self._least = least
        self._coverage = Coverage()

    def left(self, session: "MockSession | MockClient", item: pytest.Item) -> None:
        """A test is over."""
        self._coverage.add(session.scenarios, session.journal)
        side_calls = {one.name for one in session.scenarios if one.is_side_call}
        hits = [hit for hit in session.journal.hits.values() if hit.scenario not in side_calls]
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

"""A framework on top of the SDK plays the reports of the table, and count_tokens where a file strikes it:
`framework.py`, with `langchain-anthropic`.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from environments import IN_CI, CannotInstall, environment
from faults.endpoints import CALLS, ENDPOINT_ROWS, OF_A_FRAMEWORK
from faults.table import SCENARIOS, WAYS, Way

from mock_server import MockServer
from mock_server.settings import Settings

NEEDS = "langchain-anthropic==1.7.10"
LIMIT = 300
REPORTED = [way for way in WAYS if way.row.report]


@pytest.fixture(scope="session")
def python() -> Path:
    """The Python that has the framework."""
    try:
        return environment("langchain", NEEDS)
    except CannotInstall as reason:
        if IN_CI:
            pytest.fail(str(reason))
        pytest.skip(str(reason))


def run(python: Path, *words: str, wanted: Any, url: str) -> list[Any]:
    """What `framework.py` tells of what is wanted of it."""
    done = subprocess.run(
        [python, Path(__file__).with_name("framework.py"), *words],
        env={**os.environ, "SUITE_URL": url},
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def told(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[str, str, str | None]]:
    """What the framework told its caller of every report, and how the message ended, by scenario and way of calling."""
    file = tmp_path_factory.mktemp("table") / "table.yaml"
    file.write_text(SCENARIOS, "utf-8")
    wanted = [(way.row.name, how, way.seen.ends == "open") for way in REPORTED for how in ways_of(way)]
    with MockServer(file, settings=Settings(port=0, time_scale=0, unmatched="error", seed=7)) as server:
        lines = run(python, wanted=wanted, url=server.url)
    return {(scenario, how): (error, text, final) for scenario, how, error, text, final in lines}


def ways_of(way: Way) -> tuple[str, ...]:
    return ("stream",) if way.stream else ("invoke",)


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("way", REPORTED, ids=lambda way: way.id)
def test_the_framework_tells_of_a_report_what_the_table_says(
    way: Way, told: dict[tuple[str, str], tuple[str, str, str | None]]
) -> None:
    (how,) = ways_of(way)
    assert told[way.row.name, how] == (*way.told["langchain", how], way.final.get("langchain"))


@pytest.mark.timeout(LIMIT)
def test_the_framework_tells_of_other_endpoints_what_their_table_says(python: Path) -> None:
    asked = [(row, called) for row, called in CALLS if called.name in OF_A_FRAMEWORK]
    wanted = [(row.session, called.name) for row, called in asked]
    with MockServer(settings=Settings(port=0, time_scale=0, seed=7)) as server:
        for row in ENDPOINT_ROWS:
            server.session(row.session).add(**row.data)
        told = run(python, "endpoints", wanted=wanted, url=server.url)
        paths = {
            (row.session, called.name): [entry.path for entry in server.session(row.session).journal]
            for row, called in asked
        }
    assert told == [[row.session, called.name, called.told["langchain"]] for row, called in asked]
    for (session, name), sent in paths.items():
        assert f"/v1/messages{'/count_tokens' * (name == 'count_tokens')}" in sent, session

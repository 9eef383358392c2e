"""A framework on top of the SDK plays the reports of the table: `framework.py`, with `langchain-anthropic`."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from environments import IN_CI, CannotInstall, environment
from faults.table import SCENARIOS, WAYS, Way

from mock_server import MockServer
from mock_server.settings import Settings

NEEDS = "langchain-anthropic==1.7.10"
LIMIT = 300
REPORTED = [way for way in WAYS if way.row.report]


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[str, str, str | None]]:
    """What the framework told its caller of every report, and how the message ended, by scenario and way of calling."""
    try:
        python = environment("langchain", NEEDS)
    except CannotInstall as reason:
        if IN_CI:
            pytest.fail(str(reason))
        pytest.skip(str(reason))
    file = tmp_path_factory.mktemp("table") / "table.yaml"
    file.write_text(SCENARIOS, "utf-8")
    wanted = [(way.row.name, how, way.seen.ends == "open") for way in REPORTED for how in ways_of(way)]
    with MockServer(file, settings=Settings(port=0, time_scale=0, unmatched="error", seed=7)) as server:
        done = subprocess.run(
            [python, Path(__file__).with_name("framework.py")],
            env={**os.environ, "SUITE_URL": server.url},
            input=json.dumps(wanted),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
            encoding="utf-8",
        )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
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

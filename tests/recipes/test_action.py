"""The action, step by step as a runner of GitHub plays it: what it starts, exports, tells and leaves behind."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from recipes.workflow import Runner

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
MOCK_SERVER = str(Path(sys.executable).with_name("mock-server"))
ASK = """
curl -sS --fail-with-body "$ANTHROPIC_BASE_URL/v1/messages" -H "x-api-key: $ANTHROPIC_API_KEY" -d '{"model":
  "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "How is the weather?"}],
  "tools": [{"name": "get_weather", "input_schema": {"type": "object"}}]}'
"""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    workspace = tmp_path / "checkout"
    shutil.copytree(ROOT / "examples" / "scenarios", workspace / "tests" / "scenarios")
    made = Runner(tmp_path / "runner", workspace, os.environ["PATH"])
    yield made
    left = tmp_path / "runner" / "temp" / "mock-server" / "pid"
    if left.exists():
        made.action(ACTION, command="stop")


def test_a_job_starts_the_server_asks_it_and_keeps_the_journal(runner: Runner) -> None:
    started = runner.action(ACTION, executable=MOCK_SERVER, port="0", scenarios="tests/scenarios\n")
    assert started["url"] == runner.variables["ANTHROPIC_BASE_URL"]
    assert runner.variables["ANTHROPIC_API_KEY"] == "any"
    assert "1 scenario from tests/scenarios" in runner.printed

    runner.step(ASK)
    assert '"name":"get_weather"' in runner.printed

    stopped = runner.action(ACTION, command="stop")
    assert stopped["journal"] == started["journal"]
    assert stopped["requests"] == "1"
    assert runner.summary == "mock-server: 1 request\n"
    (upload,) = runner.uploads
    assert upload["name"] == "mock-server-journal-test-0"
    journal, log = upload["path"].split()
    assert json.loads(Path(journal.removesuffix("*")).read_text())["scenario"] == "weather"
    assert Path(log).exists()
    with pytest.raises(subprocess.CalledProcessError):
        runner.step(ASK)


def test_the_command_is_there_for_later_steps_and_python_is_not_replaced(runner: Runner) -> None:
    before = runner.path
    runner.action(ACTION, executable=MOCK_SERVER, port="0")
    runner.step("mock-server --version")
    assert "mock-server 0" in runner.printed
    (added,) = (part for part in runner.path.split(":") if part not in before.split(":"))
    assert [path.name for path in Path(added).iterdir()] == ["mock-server"]


def test_without_scenarios_it_serves_the_library_and_the_environment_sets_the_rest(runner: Runner) -> None:
    runner.variables["MOCK_SERVER_UNMATCHED"] = "error"
    runner.action(ACTION, executable=MOCK_SERVER, port="0")
    with pytest.raises(subprocess.CalledProcessError):
        runner.step(ASK)
    assert "No scenario matches" in runner.printed


def test_a_mistake_in_a_scenario_is_shown_where_it_stands(runner: Runner) -> None:
    (runner.workspace / "tests" / "scenarios" / "weather.yaml").write_text("name: weather\nrepyl: Hi\n")
    with pytest.raises(subprocess.CalledProcessError):
        runner.action(ACTION, executable=MOCK_SERVER, port="0", scenarios="tests/scenarios")
    assert "::error file=tests/scenarios/weather.yaml,line=2,col=1::unknown key 'repyl'" in runner.printed
    assert (
        "::error title=mock-server::it did not start: tests/scenarios/weather.yaml:2:1: unknown key" in runner.printed
    )


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"command": "begin"}, "command: 'begin' is neither start nor stop"),
        ({"executable": "no/such/mock-server"}, "executable: there is no no/such/mock-server"),
        ({"scenarios": "tests/nowhere"}, "it did not start: tests/nowhere: no such file or folder"),
        ({"port": "high"}, "it did not start: mock-server: --port: 'high' is not a valid value: expected a number"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(runner: Runner, inputs: dict[str, str], told: str) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        runner.action(ACTION, **{"executable": MOCK_SERVER, "port": "0", **inputs})
    assert f"::error title=mock-server::{told}" in runner.printed


def test_a_port_in_use_is_told_in_a_line(runner: Runner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(subprocess.CalledProcessError):
            runner.action(ACTION, executable=MOCK_SERVER, port=str(port))
    told = f"it did not start: mock-server: cannot listen on 127.0.0.1:{port}: the port is in use"
    assert f"::error title=mock-server::{told}" in runner.printed


def test_a_server_that_takes_too_long_is_ended_and_told(runner: Runner) -> None:
    slow = runner.workspace / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    with pytest.raises(subprocess.CalledProcessError):
        runner.action(ACTION, executable="./slow", port="0", timeout="0")
    assert "::error title=mock-server::it did not start within 0 seconds" in runner.printed


def test_a_journal_elsewhere_is_kept_and_need_not_be_uploaded(runner: Runner) -> None:
    runner.variables["MOCK_SERVER_JOURNAL"] = str(runner.workspace / "seen.jsonl")
    runner.action(ACTION, executable=MOCK_SERVER, port="0", scenarios="tests/scenarios")
    runner.step(ASK)
    stopped = runner.action(ACTION, command="stop", artifact="")
    assert stopped == {"url": "", "journal": str(runner.workspace / "seen.jsonl"), "requests": "1"}
    assert runner.uploads == []


def test_a_second_one_in_the_same_job_is_refused(runner: Runner) -> None:
    runner.action(ACTION, executable=MOCK_SERVER, port="0")
    with pytest.raises(subprocess.CalledProcessError):
        runner.action(ACTION, executable=MOCK_SERVER, port="0")
    assert "there is one already in this job; stop it first" in runner.printed


def test_stopping_where_nothing_was_started_is_a_warning_and_uploads_nothing(runner: Runner) -> None:
    runner.action(ACTION, command="stop")
    assert "::warning title=mock-server::there is none in this job to stop" in runner.printed
    assert runner.uploads == []


def test_a_server_that_ended_before_the_job_did_is_told(runner: Runner) -> None:
    runner.action(ACTION, executable=MOCK_SERVER, port="0")
    runner.step('kill -9 "$(cat "$RUNNER_TEMP/mock-server/pid")"; sleep 0.2')
    assert runner.action(ACTION, command="stop")["requests"] == "0"
    assert "::error title=mock-server::it ended before the job did" in runner.printed


def test_the_inputs_of_the_example_are_those_of_the_action() -> None:
    steps = yaml.safe_load((ROOT / "examples" / "github" / "action.yaml").read_text())["jobs"]["test"]["steps"]
    used = [step for step in steps if step.get("uses", "").startswith("your-org/messages-mock-server")]
    assert len(used) == 2
    for step in used:
        assert step["with"].keys() <= yaml.safe_load(ACTION.read_text())["inputs"].keys()


@pytest.mark.timeout(300)
@pytest.mark.skipif(os.environ.get("CI") != "true", reason="installs from a package index: only with CI=true")
def test_it_installs_the_server_from_its_own_repository(runner: Runner) -> None:
    runner.action(ACTION, python=sys.executable, port="0", scenarios="tests/scenarios")
    runner.step(ASK)
    assert '"name":"get_weather"' in runner.printed
    assert (runner.folder / "temp" / "mock-server" / "venv").is_dir()
    assert runner.action(ACTION, command="stop")["requests"] == "1"

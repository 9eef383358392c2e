"""The official JavaScript SDK against the server: runs `node/suite.test.mjs`, `node/faults.mjs`,
`node/endpoints.mjs` and `node/thinking.mjs`."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest
import thoughts
from faults.endpoints import CALLS, ENDPOINT_ROWS
from faults.table import SCENARIOS, WAYS, Told, Way

from mock_server import MockServer
from mock_server.settings import Settings

SUITE = Path(__file__).parent / "node"
HOME = Path(__file__).parents[2] / ".compat" / "node"
OLDEST_NODE = 20
LIMIT = 300


def cannot(reason: str) -> NoReturn:
    """Where the suite is required, not being able to run it is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def run(*command: str, said: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs in the folder of the installed SDK; both streams come together."""
    env = {**os.environ, **environment}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(
        command, cwd=HOME, env=env, input=said, text=True, timeout=LIMIT, check=False, encoding="utf-8", **streams
    )


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with the suite and the SDK it pins in `.compat/node`."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        cannot("node and npm are not installed")
    HOME.mkdir(parents=True, exist_ok=True)
    major = re.match(r"v(\d+)", run(found, "--version").stdout)
    if major is None or int(major[1]) < OLDEST_NODE:
        cannot(f"node is older than {OLDEST_NODE}")
    for script in SUITE.glob("*.mjs"):
        shutil.copy(script, HOME)
    if not is_installed():
        shutil.copy(SUITE / "package.json", HOME)
        done = run(npm, "install", "--no-audit", "--no-fund", "--no-package-lock")
        if done.returncode:
            errors = re.findall(r"^npm error (.+)$", done.stdout, re.MULTILINE)
            cannot(f"npm cannot install the SDK: {'; '.join(errors[:3]) or done.returncode}")
    return found


def is_installed() -> bool:
    """Whether the SDK is there, as this very package.json asks for it; npm writes the lock last."""
    asked = HOME / "package.json"
    return (
        (HOME / "node_modules" / ".package-lock.json").exists()
        and asked.exists()
        and asked.read_bytes() == (SUITE / "package.json").read_bytes()
    )


@pytest.mark.timeout(LIMIT)
def test_the_javascript_sdk_passes_its_suite(node: str, server: MockServer, profile: str) -> None:
    where = {"SUITE_URL": server.url, "SUITE_PROFILE": profile}
    done = run(node, "--test", "--test-reporter=spec", "suite.test.mjs", **where)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"^\S* ?pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None, done.stdout
    assert int(passed[1]) > 0


@pytest.fixture(scope="session")
def all_told(node: str, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[str, str, str | None]]:
    """What the SDK told its caller of every fault of the table, and how the message ended, by scenario and way of
    calling."""
    file = tmp_path_factory.mktemp("table") / "table.yaml"
    file.write_text(SCENARIOS, "utf-8")
    wanted = [
        {"scenario": way.row.name, "how": how, "hangs": way.seen.ends == "open"}
        for way in WAYS
        for how in (("raw", "helper") if way.stream else ("create",))
    ]
    with MockServer(file, settings=Settings(port=0, time_scale=0, unmatched="error", seed=7)) as server:
        done = run(node, "faults.mjs", said=json.dumps(wanted), SUITE_URL=server.url)
    assert done.returncode == 0, done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {(scenario, how): (error, text, final) for scenario, how, error, text, final in lines}


@pytest.fixture(scope="session")
def told(all_told: dict[tuple[str, str], tuple[str, str, str | None]]) -> dict[tuple[str, str], Told]:
    return {asked: (error, text) for asked, (error, text, _) in all_told.items()}


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("way", [way for way in WAYS if way.row.report and way.stream], ids=lambda way: way.id)
def test_the_finished_message_of_a_report_is_what_the_table_says(
    way: Way, all_told: dict[tuple[str, str], tuple[str, str, str | None]]
) -> None:
    assert all_told[way.row.name, "helper"][2] == way.final.get("js")


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.id)
def test_the_javascript_sdk_tells_of_a_fault_what_the_table_says(way: Way, told: dict[tuple[str, str], Told]) -> None:
    expected = {how: said for (client, how), said in way.told.items() if client == "js"}
    assert {how: told[way.row.name, how] for how in expected} == expected


@pytest.mark.timeout(LIMIT)
def test_the_javascript_sdk_tells_of_other_endpoints_what_their_table_says(node: str) -> None:
    with MockServer(settings=Settings(port=0, time_scale=0, seed=7)) as server:
        for row in ENDPOINT_ROWS:
            server.session(row.session).add(**row.data)
        wanted = [{"session": row.session, "call": called.name} for row, called in CALLS]
        done = run(node, "endpoints.mjs", said=json.dumps(wanted), SUITE_URL=server.url)
    assert done.returncode == 0, done.stdout
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told == [[row.session, called.name, called.told["js"]] for row, called in CALLS]


PLAYS = [
    (profile, model, stream)
    for profile in thoughts.PROFILES
    for model in thoughts.thinking_models(profile)
    for stream in (False, True)
]


@pytest.fixture(scope="session")
def became(node: str, servers: dict[str, MockServer]) -> list[list[str]]:
    """What the SDK was told of each row of the table about thinking that comes back, one list for each of the plays."""
    wanted = []
    for profile, model, stream in PLAYS:
        rows = thoughts.rows(model)
        firsts = {row.scenario: {"scenario": row.scenario, "call": thoughts.call(model, row)} for row in rows}
        play = {"url": servers[profile].url, "stream": stream, "calls": list(firsts.values())}
        wanted.append({**play, "rows": [row._asdict() for row in rows]})
    done = run(node, "thinking.mjs", said=json.dumps(wanted))
    assert done.returncode == 0, done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize(
    "at", range(len(PLAYS)), ids=[f"{one[0]}-{one[1].id}-{'stream' if one[2] else 'json'}" for one in PLAYS]
)
def test_the_javascript_sdk_is_told_what_the_table_of_thoughts_says(at: int, became: list[list[str]]) -> None:
    rows = thoughts.rows(PLAYS[at][1])
    told = {row.what: one[: len(thoughts.expected(row))] for row, one in zip(rows, became[at], strict=True)}
    assert told == {row.what: thoughts.expected(row) for row in rows}

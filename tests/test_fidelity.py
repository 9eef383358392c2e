"""docs/fidelity.md names everything: no parameter, block, delta, stop reason, counter or rule is forgotten there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from conformance.examples import USAGE
from protocol import test_more_rules, test_validate

from mock_server.engine.endpoints import ENDPOINTS
from mock_server.fidelity import FEATURES, RULES, State
from mock_server.protocol.blocks import BLOCKS
from mock_server.protocol.rules.content import BLOCK_PARAMS
from mock_server.protocol.rules.parameters import EMULATED, PARAMETERS
from mock_server.scenario.answer import StopReason

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mock_server"
_CITED = re.compile(r"(?:[Rr]ules?|#) (\d[\d ,to and-]*)")
_NUMBERS = re.compile(r"(\d+)(?:(?:-| to )(\d+))?")
# told apart below the rules: what HTTP says, and what needs more than the request
ELSEWHERE = {*range(1, 22), 43, 46, 79, 84, 116, 136, 137, 143, 144, *range(146, 152)}


SERVED = {f"{method} {path.replace('...', '')}" for path, methods in ENDPOINTS.items() for method in methods}


def named(area: str) -> set[str]:
    return {one.name for one in FEATURES if one.area == area}


def test_every_part_is_named() -> None:
    assert set(PARAMETERS) <= named("parameter")
    assert set(BLOCKS) <= named("block of a reply")
    assert set(BLOCK_PARAMS) <= named("block of a reply") | named("block of a request")
    assert set(get_args(StopReason)) == named("stop reason")
    assert set(USAGE) <= named("usage")
    assert named("endpoint") >= SERVED


def test_what_is_served_is_said_to_be() -> None:
    served = {one.name for one in FEATURES if one.area == "endpoint" and one.state != "not"}
    assert served == SERVED


def test_parameters_said_to_be_emulated_are_those_that_change_a_reply() -> None:
    said = {one.name for one in FEATURES if one.area == "parameter" and one.state in ("emulated", "estimated")}
    assert said == EMULATED


def test_every_rule_is_listed_once_with_a_known_state() -> None:
    assert [rule.number for rule in RULES] == [*range(1, len(RULES) + 1)]
    assert {rule.state for rule in RULES} | {one.state for one in FEATURES} <= set(get_args(State))
    assert all(rule.note for rule in RULES if rule.state not in ("emulated",))


def collected(files: list[str]) -> set[str]:
    """The ids of the tests in these files, as a run of pytest finds them."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        *files,
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return {line for line in run.stdout.splitlines() if "::" in line}


def proofs() -> dict[str, str]:
    """Every row that names a test, and the test."""
    rules = {f"rule {rule.number}": rule.proof for rule in RULES}
    return rules | {f"{one.area} {one.name}": one.proof for one in FEATURES}


def test_every_row_names_the_test_that_shows_it() -> None:
    open_rows = {f"rule {rule.number}" for rule in RULES if rule.state in ("not", "none")}
    open_rows |= {f"{one.area} {one.name}" for one in FEATURES if one.state in ("not", "none")}

    assert {name for name, proof in proofs().items() if not proof} <= open_rows


@pytest.mark.timeout(300)
def test_every_test_that_is_named_is_collected(request: pytest.FixtureRequest) -> None:
    """By this very run, if it is one of the whole suite; else the files that are named are collected beside it."""
    here = {item.nodeid for item in request.session.items}
    rest = {name: proof for name, proof in proofs().items() if proof and proof not in named_in(here)}
    there = collected(sorted({proof.partition("::")[0] for proof in rest.values()})) if rest else set()

    assert {name: proof for name, proof in rest.items() if proof not in named_in(there)} == {}


def named_in(ids: set[str]) -> set[str]:
    """These tests, and those of a table as a whole."""
    return ids | {id.partition("[")[0] for id in ids}


def cited() -> set[int]:
    """The numbers of the rules that the code names."""
    found: set[int] = set()
    for file in (*PACKAGE.glob("protocol/**/*.py"), *PACKAGE.glob("engine/**/*.py"), *PACKAGE.glob("server/*.py")):
        for mention in _CITED.findall(file.read_text()):
            for first, last in _NUMBERS.findall(mention):
                found |= set(range(int(first), int(last or first) + 1))
    return found


def test_a_rule_that_is_emulated_is_named_in_the_code() -> None:
    emulated = {rule.number for rule in RULES if rule.state == "emulated"}
    assert sorted(emulated - cited() - {8, 20}) == []  # 8: the server counts the bytes; 20: a fault of our own


def test_a_rule_of_requests_that_is_emulated_has_a_row_of_tests() -> None:
    rows = [row[0] for row in (*test_validate.TABLE, *test_more_rules.TABLE)]
    tested = {int(found[0]) for row in rows if (found := re.match(r"\d+", row))}
    emulated = {rule.number for rule in RULES if rule.state == "emulated"} - ELSEWHERE
    assert sorted(emulated - tested) == []

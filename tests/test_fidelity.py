"""docs/fidelity.md names everything: no parameter, block, delta, stop reason, counter or rule is forgotten there."""

import re
from pathlib import Path
from typing import get_args

from conformance.examples import USAGE
from protocol import test_more_rules, test_validate

from mock_server.engine.endpoints import ENDPOINTS
from mock_server.fidelity import FEATURES, RULES, State
from mock_server.protocol.blocks import BLOCKS
from mock_server.protocol.validate.params import EMULATED, PARAMETERS
from mock_server.protocol.validate.shapes import BLOCK_PARAMS
from mock_server.scenario.answer import StopReason

PACKAGE = Path(__file__).parent.parent / "mock_server"
_CITED = re.compile(r"(?:[Rr]ules?|#) (\d[\d ,to and-]*)")
_NUMBERS = re.compile(r"(\d+)(?:(?:-| to )(\d+))?")
# told apart below the rules: what HTTP says, and what needs more than the request
ELSEWHERE = {*range(1, 22), 46, 79, 84, 116, 136, 137, 143, 144, *range(146, 152)}


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
    assert [rule.number for rule in RULES] == [*range(1, 152)]
    assert {rule.state for rule in RULES} | {one.state for one in FEATURES} <= set(get_args(State))
    assert all(rule.note for rule in RULES if rule.state not in ("emulated",))


def cited() -> set[int]:
    """The numbers of the rules that the code names."""
    found: set[int] = set()
    for file in (*PACKAGE.glob("protocol/**/*.py"), *PACKAGE.glob("engine/*.py"), *PACKAGE.glob("server/*.py")):
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

"""Answers that no request can get: they load well, and still cannot be what their author meant."""

from collections.abc import Iterator
from typing import Any

from mock_server.scenario.model import Scenario
from mock_server.scenario.node import Mark, Node, Problem


def unreachable(scenario: Scenario) -> Iterator[Problem]:
    """Cases that an earlier case with the same or a wider condition always wins over."""
    source = scenario.source.rpartition(":")[0]
    turns = scenario.data.value.get("turns") if scenario.data is not None else None
    holders = turns.value if turns is not None and isinstance(turns.value, list) else [scenario.data]
    for turn in holders:
        cases = turn.value.get("cases") if isinstance(turn, Node) and isinstance(turn.value, dict) else None
        if cases is not None and isinstance(cases.value, list):
            yield from _hidden(source, cases.value)


def _hidden(source: str, cases: list[Node]) -> Iterator[Problem]:
    before: list[tuple[int, dict[str, Any]]] = []
    for number, case in enumerate(cases, 1):
        when = case.value.get("when") if isinstance(case.value, dict) else None
        if when is None or not isinstance(when.value, dict):
            continue
        own = when.plain()
        wider = next((at for at, one in before if _is_part(one, own)), None)
        if wider is not None:
            text = f"this case can never be reached: case {wider} holds whenever it does"
            yield Problem(source, case.mark or Mark(1, 1), text)
        if "chance" not in case.value:
            before.append((number, own))


def _is_part(wider: dict[str, Any], narrower: dict[str, Any]) -> bool:
    """Whether every condition of one is among those of the other."""
    return all(key in narrower and narrower[key] == value for key, value in wider.items())

"""The table is whole: every type of fault, every word of its choices, every client."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_args, get_origin

import pytest
from faults.table import ROWS, WAYS, Way

from mock_server.scenario.faults import FAULTS, faults_of
from mock_server.scenario.load import loads

PLAYED = [fault for row in ROWS for fault in faults_of(row.faults, "table")]


def choices(cls: Any) -> Iterator[tuple[str, Any]]:
    """The words that the keys of a fault can be, where there are some."""
    for field in fields(cls):
        if field.name != "event" and get_origin(field.type) is not None:
            yield from ((field.name, word) for word in get_args(field.type) if isinstance(word, str))


@pytest.mark.parametrize("type", FAULTS)
def test_every_fault_is_in_the_table(type: str) -> None:
    assert type in {fault.type for fault in PLAYED}


@pytest.mark.parametrize(
    ("type", "key", "word"), [(type, *choice) for type, cls in FAULTS.items() for choice in choices(cls)]
)
def test_every_choice_of_a_fault_is_in_the_table(type: str, key: str, word: str) -> None:
    assert word in {getattr(fault, key) for fault in PLAYED if fault.type == type}


def test_no_row_is_there_twice() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_a_scenario(row: Any) -> None:
    (scenario,) = loads(row.scenario)
    assert scenario.name == row.name


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.id)
def test_a_row_says_what_every_client_is_told(way: Way) -> None:
    hows = ("raw", "helper") if way.stream else ("create",)
    framework = {("langchain", "stream" if way.stream else "invoke")} if way.row.report else set()
    assert {pair for pair in way.told if pair[0] != "older"} == framework | {
        (client, how) for client in ("python", "js") for how in hows
    }


@pytest.mark.parametrize(
    "way", [way for way in WAYS if way.seen.warned and len(way.row.faults) == 1], ids=lambda way: way.id
)
def test_a_fault_that_says_it_does_not_apply_changes_nothing(way: Way) -> None:
    assert set(way.told.values()) == {("ok", way.row.whole)}

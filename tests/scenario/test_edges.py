"""Inputs at the bounds of a schema, and inputs that break it."""

from typing import Any

import pytest

from mock_server.protocol.json_schema import Checker
from mock_server.scenario.generated.content import Generator
from mock_server.scenario.generated.values import CannotGenerate

SCHEMAS: dict[str, dict[str, Any]] = {
    "bounded": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "minLength": 2, "maxLength": 30},
            "days": {"type": "integer", "minimum": 1, "maximum": 14},
            "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 4},
            "unit": {"enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city", "days", "share", "tags", "unit"],
        "additionalProperties": False,
    },
    "nested": {
        "type": "object",
        "properties": {"filter": {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}},
        "required": ["filter"],
    },
    "free": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
}


@pytest.mark.parametrize("seed", [b"1", b"2", b"3", b"4"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_an_edge_fits_and_is_not_the_usual(name: str, seed: bytes) -> None:
    usual, edge = (Generator().input(SCHEMAS[name], seed, how) for how in ("valid", "edge"))

    assert Checker(SCHEMAS[name]).violations(edge) == []
    assert edge != usual


@pytest.mark.parametrize("seed", [b"1", b"2", b"3", b"4"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_an_invalid_input_is_an_object_that_does_not_fit(name: str, seed: bytes) -> None:
    broken = Generator().input(SCHEMAS[name], seed, "invalid")

    assert isinstance(broken, dict)
    assert Checker(SCHEMAS[name]).violations(broken) != []


def test_bounds_are_reached() -> None:
    made = [Generator().input(SCHEMAS["bounded"], bytes([at]), "edge") for at in range(12)]

    assert {1, 14} <= {one["days"] for one in made}
    assert {2, 30} & {len(one["city"]) for one in made}
    assert {0, 4} & {len(one["tags"]) for one in made}


def test_what_takes_everything_cannot_be_broken() -> None:
    with pytest.raises(CannotGenerate, match="accepts every object"):
        Generator().input({"type": "object"}, b"1", "invalid")


def test_an_input_that_breaks_a_pattern_is_found_whatever_the_pattern() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}, "required": ["a"]}

    assert Checker(schema).violations(Generator().input(schema, b"1", "valid")) == []
    assert Checker(schema).violations(Generator().input(schema, b"1", "invalid")) != []


@pytest.mark.parametrize("seed", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_what_cannot_be_judged_in_time_is_not_taken_for_broken(seed: bytes) -> None:
    a = {"type": "string", "pattern": r"^(a)(\1|a)+b", "default": "a" * 60}
    schema = {"type": "object", "properties": {"a": a}, "required": ["a"]}

    told, broken = "", {}
    try:
        broken = Generator().input(schema, seed, "invalid")
    except CannotGenerate as error:
        told = str(error)

    assert "was left unjudged: more than 20 ms of matching in one request" in told or Checker(schema).violations(broken)


def test_the_same_seed_breaks_the_same_thing() -> None:
    assert len({str(Generator().input(SCHEMAS["bounded"], b"s", "invalid")) for _ in range(3)}) == 1

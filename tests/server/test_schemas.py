"""What the schemas of clients can do to a server: nothing that others would notice."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import heartbeat
import pytest

A = "a" * 60
SLOW = r"^(a)(\1|a)+b"  # what only a clock stops
EMAIL = r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$"


def body(**more: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": "x"}]
    return {"model": "claude-opus-4-8", "max_tokens": 100, "messages": said, **more}


def forced(schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A request that has an input made up for a tool of this schema."""
    tool = {"name": "t", "input_schema": {"type": "object", **schema}, **more}
    return body(tools=[tool], tool_choice={"type": "any"})


def one(**keywords: Any) -> dict[str, Any]:
    return forced({"required": ["a"], "properties": {"a": {"type": "string", **keywords}}})


def many(of: Callable[[int], Any], count: int) -> dict[str, Any]:
    return {f"p{at}": of(at) for at in range(count)}


def items(**item: Any) -> dict[str, Any]:
    """A call whose input is made up: with 900 of these in a list."""
    return forced({"required": ["a"], "properties": {"a": {"type": "array", "minItems": 900, "items": item}}})


def nested(schema: dict[str, Any]) -> dict[str, Any]:
    for _ in range(6):
        schema = {"type": "object", "required": ["a"], "properties": {"a": schema}}
    return schema


STRING = {"type": "string"}
DOUBLING = {f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(40)} | {"d40": STRING}
EXAMPLE = {"input_examples": [{"a": A}]}
ATTACKS: dict[str, dict[str, Any]] = {
    **{
        f"{name}: {keyword}": one(pattern=pattern, **{keyword: value})
        for name, pattern in (("an address", EMAIL), ("a back-reference", SLOW))
        for keyword, value in {
            "examples": [A + "!"] * 50,
            "default": A,
            "enum": [A + "!", A],
            "const": A + "!",
            "minLength": 60,
        }.items()
    },
    "patternProperties": forced({"patternProperties": {SLOW: STRING}, "minProperties": 9, "examples": [{A: "x"}]}),
    "propertyNames": forced({"propertyNames": {"pattern": SLOW}, "minProperties": 5, "examples": [{A: "x"}] * 9}),
    "additionalProperties": forced(
        {"patternProperties": {SLOW: True}, "additionalProperties": False, "examples": [{A: 1, A + "a": 2}]}
    ),
    "unevaluatedProperties": forced(
        {"patternProperties": {SLOW: True}, "unevaluatedProperties": False, "examples": [{A: 1, A + "a": 2}]}
    ),
    "an input example": forced({"properties": {"a": {"pattern": SLOW}}}, **EXAMPLE),
    "an input example by names": forced({"patternProperties": {SLOW: {"type": "null"}}}, input_examples=[{A: 1}]),
    "another draft": forced(
        {"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": SLOW}}}, **EXAMPLE
    ),
    "the format of an output": body(
        output_config={
            "format": {
                "type": "json_schema",
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["a"],
                    "properties": {"a": {"type": "string", "pattern": EMAIL, "examples": [A]}},
                },
            }
        }
    ),
    "a thousand patterns": forced({"properties": many(lambda at: {**STRING, "pattern": f"(?:{at}|a+)+$"}, 1_000)}),
    "a pattern of 100,000 letters": one(pattern="(a|b)" * 20_000),
    "20,000 properties": forced({"properties": many(lambda at: STRING, 20_000)}),
    "10,000 properties": forced({"properties": many(lambda at: STRING, 10_000)}),
    "2,900 properties that must be there": forced(
        {"properties": many(lambda at: STRING, 2_900), "required": [*many(lambda at: 0, 2_900)]}
    ),
    "1,000 tools": body(
        tools=[
            {"name": f"t{at}", "input_schema": {"type": "object", "properties": many(lambda n: STRING, 5)}}
            for at in range(1_000)
        ]
    ),
    "1,000 tools that differ": body(
        tools=[
            {"name": f"t{at}", "input_schema": {"type": "object", "$defs": {"n": {"const": at, "pattern": "^a+"}}}}
            for at in range(1_000)
        ]
    ),
    "5,000 prefixItems": forced({"required": ["a"], "properties": {"a": {"prefixItems": [STRING] * 5_000}}}),
    "10,000 values": forced({"required": ["a"], "properties": {"a": {"enum": [f"v{at}" for at in range(10_000)]}}}),
    "values that all differ": forced(
        {
            "required": ["a"],
            "properties": {
                "a": {
                    "type": "array",
                    "uniqueItems": True,
                    "minItems": 900,
                    "items": {"enum": [{"n": at} for at in range(900)]},
                }
            },
        }
    ),
    "two long enums": forced(
        {
            "required": ["a"],
            "properties": {"a": {"allOf": [{"enum": [{"n": at} for at in range(5_000)]}, {"enum": [*range(9_000)]}]}},
        }
    ),
    "doubling references": forced({"required": ["a"], "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": DOUBLING}),
    "3,000 references": forced(
        {
            "properties": {"a": {"$ref": "#/$defs/d0"}},
            "required": ["a"],
            "$defs": {f"d{at}": {"$ref": f"#/$defs/d{at + 1}"} for at in range(3_000)},
        },
        **EXAMPLE,
    ),
    "3,000 parts": forced(
        {
            "required": ["a"],
            "properties": {"a": {"allOf": [{"properties": {f"q{at}": STRING}} for at in range(3_000)]}},
        }
    ),
    "items: long texts": items(type="string", minLength=99_000),
    "items: long texts for a pattern": items(type="string", pattern="^[a-z]{15000}$"),
    "items: a pattern that nothing fits": items(type="string", pattern="^(?=.*zq)[a-z]{500}$"),
    "items: long numbers": items(type="integer", minimum=int("9" * 4_000)),
    "items: numbers that nothing fits": items(type="number", minimum=1e300, multipleOf=1e-300),
    "items: a long description": items(type="string", description="the thing of it " * 20_000),
    "items: many properties that may be left out": items(type="object", properties=many(lambda at: {}, 5_000)),
    "items: a long value": items(enum=[[0] * 20_000]),
    "items that must differ and cannot": forced(
        {
            "required": ["a"],
            "properties": {"a": {"type": "array", "uniqueItems": True, "minItems": 30, "items": {"pattern": r"^\d$"}}},
        }
    ),
    "a class of many ranges": one(
        pattern="[" + "".join(f"{chr(at)}-{chr(at + 26)}" for at in range(1024, 40_000, 30)) + "]{9}"
    ),
    "600 patternProperties": forced({"minProperties": 600, "patternProperties": many(lambda at: STRING, 600)}),
    "8,000 alternatives deep down": forced(
        {
            "required": ["a"],
            "properties": {"a": nested({"anyOf": [{**STRING, "title": f"{at}"} for at in range(8_000)]})},
        }
    ),
    "many alternatives that a long value breaks": forced(
        {"properties": {"a": {"anyOf": [{"type": "null"}] * 2_000}}}, input_examples=[{"a": ["x" * 100] * 1_000}]
    ),
}


@pytest.fixture(scope="module", params=["octen", "anthropic"])
def address(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    with heartbeat.served("--profile", request.param) as address:
        for warm in (one(pattern=r"(?=é\w+)é\w+$"), one(pattern="(a+)+$"), forced({}, input_examples=[{}])):
            heartbeat.asked(address, warm)  # has everything loaded that is loaded when first needed
        yield address


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_schema_keeps_nobody_waiting(address: tuple[str, int], attack: str) -> None:
    waited = heartbeat.during(address, lambda: heartbeat.asked(address, ATTACKS[attack]))

    status, _, reply = waited.result
    assert not waited.is_held, f"{waited.longest * 1000:.0f} ms, busy {waited.busy:.1f}"
    assert status in (200, 400), reply
    assert status == 200 or reply["error"]["type"] == "invalid_request_error"

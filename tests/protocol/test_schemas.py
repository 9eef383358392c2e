"""Schemas that clients send: what counts as one, whichever way it is found out, and that nothing makes us hang."""

import json
import tracemalloc
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, SchemaError
from pydantic import BaseModel, Field

from mock_server.protocol.errors import ApiError
from mock_server.protocol.expression import bounded
from mock_server.protocol.json_schema import Checker, is_schema
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.rules import schemas, validate
from mock_server.scenario.profiles import load_profile

ANTHROPIC = load_profile("anthropic")


def judge(**parameters: Any) -> None:
    said = [{"role": "user", "content": "q"}]
    validate(MessagesRequest({"model": "claude-opus-4-8", "max_tokens": 9, "messages": said, **parameters}), ANTHROPIC)


KEYWORDS = [
    "type",
    "properties",
    "required",
    "items",
    "enum",
    "anyOf",
    "minimum",
    "minItems",
    "default",
    "$ref",
    "$defs",
    "$id",
    "$anchor",
    "pattern",
    "patternProperties",
    "prefixItems",
    "dependentRequired",
    "dependencies",
    "multipleOf",
    "uniqueItems",
    "not",
    "a",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from(["string", "object", "array", "null", "x", "#/$defs/a", "(", "a#", 2.0, 0.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYWORDS), VALUES, max_size=4))
def test_the_table_of_keywords_judges_as_the_meta_schema_does(schema: dict[str, Any]) -> None:
    try:
        Draft202012Validator.check_schema(schema)
        valid = True
    except SchemaError:
        valid = False
    assert is_schema(schema) == valid
    assert schemas._is_schema(schema) == valid


@settings(max_examples=200, deadline=None)
@given(schema=VALUES, strict=st.booleans(), examples=st.lists(VALUES, max_size=2))
def test_any_json_as_a_schema_is_fine_or_a_400(schema: Any, strict: bool, examples: list[Any]) -> None:
    for parameters in (
        {"tools": [{"name": "f", "input_schema": schema, "strict": strict, "input_examples": examples}]},
        {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
    ):
        try:
            judge(**parameters)
        except ApiError as error:
            told = str(error.message)
            assert error.status == 400  # noqa: PT017
            assert told.startswith(("tools", "output_config"))


def test_nesting_beyond_reason_is_no_schema() -> None:
    deep: Any = {"type": "object"}
    for _ in range(3000):
        deep = {"type": "object", "properties": {"a": deep}}
    with pytest.raises(ApiError, match="JSON schema is invalid"):
        judge(tools=[{"name": "f", "input_schema": deep}])


class Hour(BaseModel):
    hour: int
    rain: bool | None = None


class Forecast(BaseModel):
    city: str = Field(description="Where.", min_length=1)
    sky: Literal["sunny", "cloudy"]
    hours: list[Hour]
    more: dict[str, int] = {}


def test_the_schemas_that_the_sdk_makes_of_models_pass() -> None:
    from anthropic import transform_schema

    for model in (Hour, Forecast):
        schema = transform_schema(model)
        judge(output_config={"format": {"type": "json_schema", "schema": json.loads(json.dumps(schema))}})
        judge(tools=[{"name": "f", "input_schema": model.model_json_schema()}])


def test_a_schema_is_judged_once() -> None:
    schemas._tool_problem.cache_clear()
    for _ in range(3):
        judge(tools=[{"name": "f", "input_schema": {"type": "object", "title": "once"}}])
    assert schemas._tool_problem.cache_info().misses == 1


def test_of_long_schemas_that_were_judged_no_text_is_kept() -> None:
    schemas._tool_problem.cache_clear()
    schemas._weight.cache_clear()
    tracemalloc.start()
    try:
        for at in range(20):
            schema = {"type": "object", "additionalProperties": False, "description": f"{at}" * 500_000}
            judge(tools=[{"name": "f", "input_schema": schema, "strict": True}])
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_schema_of_which_a_part_was_left_unjudged_is_judged_again() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": r"(a)(\1|a)+b"}}}
    tool = {"name": "f", "input_schema": schema, "input_examples": [{"a": "a" * 40}]}
    for _ in range(2):
        with bounded() as left:
            judge(tools=[tool])
        assert [*left.unjudged] == [
            r"the pattern '(a)(\\1|a)+b' was left unjudged: more than 20 ms of matching in one request"
        ]


@pytest.mark.parametrize("extra", ["", "#"])
def test_definitions_that_lead_in_a_circle_are_found_however_many_there_are(extra: str) -> None:
    chain = {f"d{at}": {"anyOf": [{"$ref": f"#/$defs/d{at + 1}"}, {"type": "null"}]} for at in range(3_000)}
    chain["d3000"] = {"$ref": extra} if extra else {"type": "string"}
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"a": {"$ref": "#/$defs/d0"}},
        "$defs": chain,
    }

    assert (schemas._circle(schema) is not None) is bool(extra)
    assert schemas._circle({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})


def test_schemas_of_very_many_values_are_refused_before_any_work() -> None:
    many = {"type": "object", "properties": {f"p{at}": {"type": "string"} for at in range(20_000)}}
    with pytest.raises(ApiError, match=r"tools: mock-server reads schemas of at most 30,000 values in one request"):
        judge(tools=[{"name": "f", "input_schema": many}])
    with pytest.raises(
        ApiError, match=r"output_config.format.schema: mock-server reads schemas of at most 30,000 values"
    ):
        judge(output_config={"format": {"type": "json_schema", "schema": {**many, "required": [*many["properties"]]}}})


def test_a_part_that_names_another_draft_keeps_the_bounds_of_this_one() -> None:
    old = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "string", "pattern": r"(a)(\1|a)+b"}
    with bounded() as left:
        judge(
            tools=[
                {
                    "name": "f",
                    "input_schema": {"type": "object", "properties": {"a": old}},
                    "input_examples": [{"a": "a" * 60}],
                }
            ]
        )
    assert len(left.unjudged) == 1


def test_a_reference_to_another_server_is_not_followed() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/never"}}}
    with pytest.raises(ApiError, match="input_schema cannot be applied"):
        judge(tools=[{"name": "f", "input_schema": schema, "input_examples": [{"a": 1}]}])


def test_a_long_list_of_values_costs_more_checks_than_a_short_one() -> None:
    def spent(values: int) -> int:
        with bounded() as left:
            before = left.client.checks
            Checker({"enum": list(range(values))}).first(0)
            return before - left.client.checks

    assert spent(400) - spent(4) == 99

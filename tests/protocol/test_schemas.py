"""Schemas that clients send: what counts as one, whichever way it is found out, and that nothing makes us hang."""

import json
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, SchemaError
from pydantic import BaseModel, Field

from mock_server.protocol.errors import ApiError
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.validate import schemas, validate
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
    "a",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from(["string", "object", "array", "null", "x", "#/$defs/a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYWORDS), VALUES, max_size=4))
def test_what_is_seen_at_a_glance_the_library_sees_too(schema: dict[str, Any]) -> None:
    try:
        Draft202012Validator.check_schema(schema)
        valid = True
    except SchemaError:
        valid = False
    assert valid or not schemas._is_simple(schema)
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

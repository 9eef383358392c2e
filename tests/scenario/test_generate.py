import json
import subprocess
import sys
from datetime import date, datetime
from typing import Any
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.protocol import tokens as token
from mock_server.scenario import pattern
from mock_server.scenario.generate import CannotGenerate, Generator
from mock_server.scenario.schema import Schema

GENERATOR = Generator()
SEEDS = [b"", b"one", b"two", b"three", b"four"]


def a_property(schema: object) -> Schema:
    return {"type": "object", "properties": {"it": schema}, "required": ["it"]}


def made(schema: object, seed: bytes = b"seed") -> Any:
    return GENERATOR.value(schema, seed)


def an_it(schema: object, seed: bytes = b"seed") -> Any:
    return made(a_property(schema), seed)["it"]


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "children", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
EXPRESSION = {
    "type": "object",
    "oneOf": [{"$ref": "#/definitions/sum"}, {"$ref": "#/definitions/number"}],
    "definitions": {
        "number": {
            "type": "object",
            "properties": {"kind": {"const": "number"}, "value": {"type": "number"}},
            "required": ["kind", "value"],
        },
        "sum": {
            "type": "object",
            "properties": {
                "kind": {"const": "sum"},
                "left": {"$ref": "#"},
                "right": {"$ref": "#"},
            },
            "required": ["kind", "left", "right"],
        },
    },
}
PYDANTIC_LIKE = {
    "$defs": {"Level": {"enum": ["low", "high"], "title": "Level", "type": "string"}},
    "properties": {
        "title": {"title": "Title", "type": "string", "maxLength": 12},
        "level": {"$ref": "#/$defs/Level", "default": "low"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    },
    "required": ["title"],
    "title": "Ticket",
    "type": "object",
}
ZOD_EMAIL = (
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
)

# Schemas of one property; each value is judged by jsonschema itself, not by the package's own checks.
PROPERTIES: dict[str, object] = {
    "a type": {"type": "integer"},
    "a list of types": {"type": ["string", "null"]},
    "no type at all": {},
    "true": True,
    "an enum of mixed types": {"enum": ["a", 1, None, [1]]},
    "an enum narrowed by its type": {"type": "string", "enum": [1, 2, 3, "only"]},
    "a const": {"const": {"a": [1]}},
    "a valid default": {"type": "string", "default": "b"},
    "an invalid default": {"type": "integer", "default": "b"},
    "an invalid example": {"type": "integer", "minimum": 5, "examples": [1, "x"]},
    "a number range": {"type": "number", "minimum": 0.25, "maximum": 0.26},
    "an open range": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    "an integer between exclusive bounds": {"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7},
    "only a minimum": {"type": "integer", "minimum": 10**15},
    "only a maximum": {"type": "number", "maximum": -1000},
    "a multiple": {"type": "integer", "multipleOf": 7, "minimum": 15, "maximum": 27},
    "a multiple of a cent": {"type": "number", "multipleOf": 0.01},
    "an integer multiple of a fraction": {"type": "integer", "multipleOf": 1.5},
    "a short string": {"type": "string", "maxLength": 3},
    "an empty string": {"type": "string", "maxLength": 0},
    "a string of exactly one length": {"type": "string", "minLength": 40, "maxLength": 40},
    "a long string": {"type": "string", "minLength": 3000},
    "a pattern": {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"},
    "a pattern with alternatives and groups": {"pattern": r"^(?:red|green)(-(a|b){2,3})?$", "type": "string"},
    "a pattern of a given length": {"type": "string", "pattern": "^[a-z]+$", "minLength": 50, "maxLength": 52},
    "a pattern with lookaheads": {"type": "string", "pattern": r"^(?=.*[a-z])(?=.*\d)\S{8,}$"},
    "a pattern with a back reference": {"type": "string", "pattern": r"^(a|b)\1\1$"},
    "an unanchored pattern": {"type": "string", "pattern": r"\d\s\w"},
    "an e-mail as Zod writes it": {"type": "string", "format": "email", "pattern": ZOD_EMAIL},
    "an array": {"type": "array", "items": {"type": "boolean"}, "minItems": 4, "maxItems": 4},
    "an empty array": {"type": "array", "maxItems": 0},
    "a tuple": {"type": "array", "prefixItems": [{"const": 1}, {"type": "null"}], "items": False, "minItems": 2},
    "unique items": {"type": "array", "items": {"enum": [1, 2, 3, 4]}, "uniqueItems": True, "minItems": 4},
    "unique integers": {
        "type": "array",
        "items": {"type": "integer", "minimum": 1, "maximum": 8},
        "minItems": 6,
        "uniqueItems": True,
    },
    "contains": {"type": "array", "items": {"type": "integer"}, "contains": {"const": 77}, "minContains": 2},
    "no contained item": {"type": "array", "contains": {"const": 77}, "minContains": 0, "maxContains": 0},
    "a map": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    "a map with patterned names": {
        "type": "object",
        "patternProperties": {"^x-[a-z]{3}$": {"type": "integer"}},
        "additionalProperties": False,
        "minProperties": 1,
    },
    "a map with chosen names": {
        "type": "object",
        "propertyNames": {"enum": ["a", "b", "c"]},
        "minProperties": 2,
        "additionalProperties": {"type": "null"},
    },
    "properties that patterns limit too": {
        "type": "object",
        "properties": {"x_count": {"type": "integer"}},
        "patternProperties": {"^x_": {"minimum": 500}},
        "required": ["x_count"],
    },
    "at most one property": {
        "type": "object",
        "properties": {name: {"type": "string"} for name in "abcd"},
        "maxProperties": 1,
    },
    "a required property nobody described": {"type": "object", "required": ["a"]},
    "an optional property that must not be": {"type": "object", "properties": {"never": False, "a": True}},
    "dependent properties": {
        "type": "object",
        "properties": {name: {"type": "string"} for name in "abc"},
        "required": ["a"],
        "dependentRequired": {"a": ["b"], "b": ["c"]},
    },
    "a dependent schema": {
        "type": "object",
        "properties": {"card": {"type": "string"}},
        "required": ["card"],
        "dependentSchemas": {"card": {"required": ["code"], "properties": {"code": {"type": "integer"}}}},
    },
    "anyOf": {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "integer", "minimum": 7}]},
    "oneOf that must not both hold": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    "oneOf told apart by a const": {
        "oneOf": [
            {"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind", "of"]}
            for kind in ("circle", "square")
        ]
    },
    "allOf": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]},
            {"properties": {"a": {"maximum": 4}, "b": {"type": "string"}}, "required": ["b"]},
        ]
    },
    "allOf that narrows a type": {"allOf": [{"type": ["number", "string"]}, {"type": ["integer", "null"]}]},
    "not": {"type": "integer", "minimum": 0, "maximum": 3, "not": {"enum": [0, 1, 2]}},
    "not a string": {"not": {"type": "string"}},
    "if, then and else": {
        "type": "object",
        "properties": {"country": {"enum": ["US", "NL", "DE"]}, "zip": {"type": "string"}},
        "required": ["country", "zip"],
        "if": {"properties": {"country": {"const": "US"}}},
        "then": {"properties": {"zip": {"pattern": r"^\d{5}$"}}},
        "else": {"properties": {"zip": {"pattern": r"^[A-Z]{2}\d{3}$"}}},
    },
    "unevaluated properties": {
        "allOf": [{"properties": {"a": {"type": "string"}}}],
        "type": "object",
        "unevaluatedProperties": False,
    },
}
WHOLE: dict[str, object] = {
    "an object": {"type": "object"},
    "a tree": TREE,
    "an expression": EXPRESSION,
    "a pydantic model": PYDANTIC_LIKE,
    "itself": {"type": "object", "properties": {"sub": {"$ref": "#"}, "n": {"type": "integer"}}, "required": ["n"]},
    "an escaped pointer": {"$defs": {"a/b%": {"type": "object", "required": ["x"]}}, "$ref": "#/$defs/a~1b%25"},
    "a list of trees": {"type": "array", "items": {"$ref": "#/$defs/t"}, "minItems": 2, "$defs": {"t": TREE["$defs"]["node"] | {"properties": {}}}},
    "draft-07 by name": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": ["a"]},
    "a string": {"type": "string", "minLength": 1},
    "an object with an example": {"type": "object", "required": ["a"], "examples": [{"a": 1}]},
}
SCHEMAS = WHOLE | {f"a property: {name}": a_property(schema) for name, schema in PROPERTIES.items()}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_a_value_is_valid_by_its_schema(schema: dict[str, Any]) -> None:
    for seed in SEEDS:
        value = made(schema, seed)
        jsonschema.Draft202012Validator(schema).validate(value)
        assert json.loads(json.dumps(value)) == value

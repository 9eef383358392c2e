import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.protocol import tokens as token
from mock_server.protocol.expression import bounded
from mock_server.scenario.generated import pattern, words
from mock_server.scenario.generated.content import Generator
from mock_server.scenario.generated.fakes import Fakes
from mock_server.scenario.generated.values import CannotGenerate, Schema

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
# Of three kinds only one has an end, and the others have two parts each.
MANY_KINDS = {
    "$ref": "#/$defs/any",
    "$defs": {
        "any": {"anyOf": [{"$ref": f"#/$defs/kind{nth}"} for nth in range(3)]},
        **{
            f"kind{nth}": {
                "type": "object",
                "properties": {"kind": {"const": nth}, "parts": {"$ref": "#/$defs/parts"}},
                "required": ["kind"] if nth == 1 else ["kind", "parts"],
                "additionalProperties": False,
            }
            for nth in range(3)
        },
        "parts": {"type": "array", "items": {"$ref": "#/$defs/any"}, "minItems": 2, "maxItems": 2},
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
ZOD_EMAIL = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"

# Schemas of one property; each value is judged by jsonschema itself, not by the package's own checks.
PROPERTIES: dict[str, object] = {
    "a type": {"type": "integer"},
    "a list of types": {"type": ["string", "null"]},
    "no type at all": {},
    "true": True,
    "an enum of mixed types": {"enum": ["a", 1, None, [1]]},
    "an enum narrowed by its type": {"type": "string", "enum": [*range(60), "only"]},
    "a const": {"const": {"a": [1]}},
    "a valid default": {"type": "string", "default": "b"},
    "an invalid default": {"type": "integer", "default": "b"},
    "an example that fits its place but not the whole": {
        "type": "object",
        "properties": {"a": {"type": "string", "examples": ["x"]}},
        "required": ["a"],
        "not": {"properties": {"a": {"const": "x"}}},
    },
    "an invalid example": {"type": "integer", "minimum": 5, "examples": [1, "x"]},
    "a number range": {"type": "number", "minimum": 0.25, "maximum": 0.26},
    "an open range": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    "an integer between exclusive bounds": {"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7},
    "only a minimum": {"type": "integer", "minimum": 10**15},
    "only a maximum": {"type": "number", "maximum": -1000},
    "a multiple": {"type": "integer", "multipleOf": 7, "minimum": 15, "maximum": 27},
    "multiples of a cent": {"type": "array", "items": {"type": "number", "multipleOf": 0.01}, "minItems": 60},
    "integer multiples of a fraction": {
        "type": "array",
        "items": {"type": "integer", "multipleOf": 1.5},
        "minItems": 12,
    },
    "a bound that is not a number": {"type": "number", "minimum": float("nan")},
    "a short string": {"type": "string", "maxLength": 3},
    "an empty string": {"type": "string", "maxLength": 0},
    "a string of exactly one length": {"type": "string", "minLength": 40, "maxLength": 40},
    "a long string": {"type": "string", "minLength": 3000},
    "a pattern": {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"},
    "a pattern with alternatives and groups": {"pattern": r"^(?:red|green)(-(a|b){2,3})?$", "type": "string"},
    "a pattern of a given length": {
        "type": "string",
        "pattern": "^[a-z]+$",
        "minLength": 50,
        "maxLength": 52,
    },
    "a pattern with lookaheads": {"type": "string", "pattern": r"^(?=.*[a-z])(?=.*\d)\S{8,}$"},
    "a pattern that no sentence should be tried on": {
        "type": "string",
        "description": "The message.",
        "pattern": r"^(\w+\s?)*$",
    },
    "a pattern with a back reference": {"type": "string", "pattern": r"^(a|b)\1\1$"},
    "an unanchored pattern": {"type": "string", "pattern": r"\d\s\w"},
    "an e-mail as Zod writes it": {"type": "string", "format": "email", "pattern": ZOD_EMAIL},
    "an array": {"type": "array", "items": {"type": "boolean"}, "minItems": 4, "maxItems": 4},
    "an empty array": {"type": "array", "maxItems": 0},
    "a tuple": {
        "type": "array",
        "prefixItems": [{"const": 1}, {"type": "null"}],
        "items": False,
        "minItems": 2,
    },
    "unique items": {"type": "array", "items": {"enum": [1, 2, 3, 4]}, "uniqueItems": True, "minItems": 4},
    "unique integers": {
        "type": "array",
        "items": {"type": "integer", "minimum": 1, "maximum": 8},
        "minItems": 6,
        "uniqueItems": True,
    },
    "a list that can only be empty": {
        "type": "array",
        "items": {"allOf": [{"type": "null"}, {"type": "string"}]},
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
    "an object that can only be empty": {
        "type": "object",
        "properties": {name: {"type": "string"} for name in "abcdefgh"},
        "not": {"minProperties": 1},
    },
    "a map of which some names are refused": {
        "type": "object",
        "patternProperties": {"^x[a-z]{2}": False, "^y[a-z]{2}": {"type": "null"}},
        "additionalProperties": False,
        "minProperties": 4,
    },
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
    "many kinds of which one ends": MANY_KINDS,
    "a pydantic model": PYDANTIC_LIKE,
    "itself": {
        "type": "object",
        "properties": {"sub": {"$ref": "#"}, "n": {"type": "integer"}},
        "required": ["n"],
    },
    "an escaped pointer": {
        "$defs": {"a/b%": {"type": "object", "required": ["x"]}},
        "$ref": "#/$defs/a~1b%25",
    },
    "draft-07 by name": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "required": ["a"],
    },
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


# ---- what a value looks like


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("city", r"[A-Z][a-z]+( [A-Z][a-z]+)?"),
        ("cityName", r"[A-Z][a-z]+( [A-Z][a-z]+)?"),
        ("location", r"[A-Z].+, [A-Z].+"),
        ("country_code", "[A-Z]{2}"),
        ("email", r"[\w.]+@example\.com"),
        ("emailAddress", r"[\w.]+@example\.com"),
        ("website_url", r"https://example\.com/\S+"),
        ("start_date", r"2026-\d\d-\d\d"),
        ("departureTime", r"\d\d:\d\d:00"),
        ("name", r"[A-Z][a-z]+ [A-Z]\w+"),
        ("query", r"[\w'-]+( [\w'-]+)+"),
        ("currency", "EUR|USD|GBP|JPY|CHF"),
        ("currency_code", "EUR|USD|GBP|JPY|CHF"),
        ("user_id", r"\w[\w-]*_[0-9a-f]{8}"),
        ("filePath", r"\S+/\S+\.\w+"),
        ("filename", r"\S+\.\w+"),
        ("language", "[A-Z][a-z]+"),
        ("phone_number", r"\+1-202-555-01\d\d"),
        ("message", r"[A-Z].{20,}\."),
        ("nothing_known", r"[a-z]+ [a-z]+"),
    ],
)
def test_a_string_looks_like_what_its_property_is_called(name: str, expected: str) -> None:
    schema = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
    for seed in SEEDS:
        assert re.fullmatch(expected, made(schema, seed)[name])


@pytest.mark.parametrize(
    ("name", "kind", "lowest", "highest"),
    [
        ("latitude", "number", -90, 90),
        ("lng", "number", -180, 180),
        ("price", "number", 5, 500),
        ("limit", "integer", 1, 20),
        ("maxResults", "integer", 1, 20),
        ("year", "number", 2020, 2026),
        ("age", "integer", 18, 80),
        ("confidence", "number", 0, 1),
    ],
)
def test_a_number_lies_where_its_property_suggests(name: str, kind: str, lowest: int, highest: int) -> None:
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    drawn = [made(schema, bytes([nth]))[name] for nth in range(30)]
    assert all(lowest <= value <= highest for value in drawn)
    assert max(drawn) - min(drawn) > (highest - lowest) / 4


def test_a_hinted_range_gives_way_to_the_schemas_bounds() -> None:
    schema = {"type": "integer", "minimum": 50, "maximum": 60}
    assert made({"type": "object", "properties": {"limit": schema}, "required": ["limit"]})["limit"] in range(50, 61)


def test_a_description_helps_where_the_name_does_not() -> None:
    value = an_it({"type": "string", "description": "The absolute path to the file that is to be read."})
    assert re.fullmatch(r"\S+\.\w+", value)


def test_a_hinted_value_is_used_with_a_pattern_it_matches() -> None:
    schema = {"type": "string", "pattern": "^[A-Z]{3}$"}
    value = made({"type": "object", "properties": {"currency": schema}, "required": ["currency"]})
    assert value["currency"] in ("EUR", "USD", "GBP", "JPY", "CHF")


def test_a_hinted_value_that_is_short_enough_is_preferred_to_a_cut_one() -> None:
    schema = {
        "type": "object",
        "properties": {"priority": {"type": "string", "maxLength": 4}},
        "required": ["priority"],
    }
    assert {made(schema, seed)["priority"] for seed in SEEDS} == {"low", "high"}


@pytest.mark.parametrize("longest", range(5, 14))
def test_a_cut_string_does_not_end_in_a_space(longest: int) -> None:
    for seed in SEEDS:
        text = an_it({"type": "string", "maxLength": longest}, seed)
        assert text == text.strip() != ""


def test_the_items_of_a_list_look_like_the_lists_name() -> None:
    schema = {"type": "array", "items": {"type": "string"}, "minItems": 3}
    cities = made({"type": "object", "properties": {"cities": schema}, "required": ["cities"]})["cities"]
    places = [place.split(",")[0] for place in words.PLACES]
    assert set(cities) <= set(places)


@pytest.mark.parametrize(
    ("form", "parse"),
    [
        ("date", date.fromisoformat),
        ("date-time", lambda text: datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")),
        ("time", lambda text: datetime.strptime(text, "%H:%M:%SZ")),
        ("duration", re.compile(r"PT\d+M").fullmatch),
        ("email", re.compile(r"[\w.]+@[\w.]+\.com").fullmatch),
        ("uri", re.compile(r"https://example\.com/[\w-]+/\d+").fullmatch),
        ("uri-reference", re.compile(r"/[\w-]+/\d+").fullmatch),
        ("uuid", UUID),
        ("ipv4", IPv4Address),
        ("ipv6", IPv6Address),
        ("hostname", re.compile(r"[a-z-]+\.example\.com").fullmatch),
        ("regex", re.compile),
        ("json-pointer", re.compile(r"(/[^/~]+)+").fullmatch),
    ],
)
def test_a_formatted_string_is_of_its_format(form: str, parse: Callable[[str], object]) -> None:
    for seed in SEEDS:
        assert parse(an_it({"type": "string", "format": form}, seed)) is not None


def test_required_properties_come_first_and_all_in_the_schemas_order() -> None:
    names = ["o1", "r1", "o2", "r2"]
    schema = {
        "type": "object",
        "properties": {name: {"type": "null"} for name in names},
        "required": ["r2", "r1", "x"],
    }
    orders = {tuple(made(schema, bytes([nth]))) for nth in range(40)}
    assert max(orders, key=len) == ("r1", "r2", "x", "o1", "o2")
    assert orders <= {("r1", "r2", "x", *rest) for rest in ((), ("o1",), ("o2",), ("o1", "o2"))}


def test_most_optional_properties_are_there_and_the_seed_decides_which() -> None:
    schema = {"type": "object", "properties": {f"p{nth}": {"type": "null"} for nth in range(20)}}
    values = [made(schema, bytes([nth])) for nth in range(20)]
    assert 14 < sum(map(len, values)) / len(values) < 20
    assert all(0 < sum(name in value for value in values) < 20 for name in ("p0", "p9", "p19"))


def test_a_property_that_must_not_be_is_left_out_at_once() -> None:
    schema = {"type": "object", "properties": {"never": False, "a": {"type": "null"}}}
    assert sum("a" in made(schema, bytes([nth])) for nth in range(20)) > 12


def test_an_example_then_a_default_then_anything_is_taken() -> None:
    schema = {"type": "string", "default": "the default"}
    assert an_it(schema | {"examples": ["the example", "another"]}) == "the example"
    assert an_it(schema | {"examples": [3]}) == "the default"
    assert an_it(schema | {"default": 3, "examples": []}) not in ("the default", 3)


def test_a_null_default_is_no_reason_to_send_null() -> None:
    optional = {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}
    values = [an_it(optional, bytes([nth])) for nth in range(40)]
    assert sum(value is not None for value in values) > 25
    assert None in values


def test_items_do_not_repeat_one_example() -> None:
    items = {"type": "string", "examples": ["first", "second"]}
    assert an_it({"type": "array", "items": items, "minItems": 3})[:2] == ["first", "second"]
    first, second = an_it({"type": "array", "items": {"type": "string", "default": "first"}, "minItems": 2})[:2]
    assert first == "first" != second


def test_what_comes_out_is_not_the_schemas_own_object() -> None:
    schema = a_property({"default": {"a": []}})
    made(schema)["it"]["a"].append("changed")
    assert made(schema) == {"it": {"a": []}}


@pytest.mark.parametrize("schema", [{}, True, {"minimum": 3}, {"properties": {}}, {"title": "T"}])
def test_a_schema_without_a_type_gives_an_object(schema: object) -> None:
    assert made(schema) == {}


def levels_of(value: object) -> int:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(levels_of, parts), default=0)


def test_deep_down_the_alternative_that_ends_soonest_is_taken() -> None:
    assert max(levels_of(made(MANY_KINDS, bytes([nth]))) for nth in range(12)) == 6


def test_a_recursive_schema_gives_some_depth_and_ends() -> None:
    sizes = [len(json.dumps(made(TREE, bytes([nth])))) for nth in range(20)]
    assert max(sizes) > 200
    assert max(sizes) < 20_000


# ---- broken schemas, and those nothing fits


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"foo": "bar"}, {}),
        ("nonsense", {}),
        (None, {}),
        ([1], {}),
        ({"type": "banana"}, {}),
        ({"type": "object", "properties": "none"}, {}),
        ({"type": "object", "required": "none"}, {}),
        ({"$ref": "#"}, {}),
        ({"$ref": "https://example.invalid/schema.json"}, {}),
        ({"type": "object", "minProperties": "2"}, {}),
        (
            {"type": "object", "required": ["a"], "properties": {"a": {"enum": "b", "type": "null"}}},
            {"a": None},
        ),
    ],
)
def test_a_broken_schema_still_gives_a_value(schema: object, expected: object) -> None:
    assert made(schema) == expected


def test_a_pattern_python_cannot_read_still_gives_a_string() -> None:
    schema = {"type": "string", "pattern": r"^\p{L}+$"}
    assert made({"type": "object", "properties": {"city": schema}, "required": ["city"]})["city"].isascii()


def test_a_subschema_that_is_a_string_allows_anything() -> None:
    schema = {"type": "object", "properties": {"location": "bar"}, "required": ["location"]}
    assert isinstance(made(schema)["location"], str)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (a_property({"type": "integer", "minimum": 3, "maximum": 2}), r"\$\.it: "),
        (a_property({"type": "array", "items": False, "minItems": 1}), r"\$\.it: "),
        (a_property({"type": "array", "minItems": 1_000_000}), r"\$\.it: it needs more than 1000 items"),
        (a_property({"type": "array", "contains": True, "minContains": 10**9}), r"\$\.it: .* 1000 items"),
        (
            a_property({"type": "object", "minProperties": 5000}),
            r"\$\.it: it needs more than 1000 properties",
        ),
        (a_property({"type": "string", "minLength": 10**7}), r"\$\.it: it needs more than 100000 characters"),
        (a_property({"type": "string", "pattern": "^a{500000}$"}), r"\$\.it: no string was found"),
        (a_property({"type": "number", "minimum": 10**400}), "OverflowError"),
        (a_property(False), r"\$\.it: no value is allowed here"),
        (a_property({"enum": [1], "type": "string"}), r"\$\.it: 1 is not of type"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "more than 64 levels"),
        ({"not": {}}, r"\$: "),
        (
            {
                "type": "array",
                "minItems": 900,
                "items": {"type": "array", "minItems": 900, "items": {"type": "null"}},
            },
            "more than 1,500 steps",
        ),
    ],
)
def test_a_schema_nothing_fits_says_where(schema: object, reason: str) -> None:
    with pytest.raises(CannotGenerate, match=reason) as caught:
        made(schema)
    assert "\n" not in str(caught.value)


def test_doubling_references_end() -> None:
    doubling: Schema = {f"a{nth}": {"allOf": [{"$ref": f"#/$defs/a{nth + 1}"}] * 2} for nth in range(40)}
    with pytest.raises(CannotGenerate, match="more than 1,500 steps"):
        made({"$defs": doubling | {"a40": {}}, "$ref": "#/$defs/a0"})


_KEYWORDS = (
    "type enum const default examples properties required additionalProperties minProperties patternProperties "
    "propertyNames dependentRequired dependentSchemas items prefixItems minItems uniqueItems contains minLength "
    "maxLength pattern format minimum exclusiveMaximum multipleOf anyOf oneOf allOf not if then else $ref $defs"
)
_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 30)
    | st.floats()
    | st.sampled_from(["string", "object", "#", "^a", "("]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYWORDS.split()), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=120, derandomize=True)
@given(schema=_ANYTHING)
def test_any_json_as_a_schema_gives_a_value_or_says_that_it_cannot(schema: object) -> None:
    try:
        first = json.dumps(made(schema))
    except CannotGenerate:
        return
    assert json.dumps(made(schema)) == first


# ---- text


@settings(deadline=None, max_examples=150, derandomize=True)
@given(tokens=st.integers(1, 400), seed=st.binary(max_size=8))
def test_a_text_keeps_to_its_budget_and_nearly_uses_it(tokens: int, seed: bytes) -> None:
    text = GENERATOR.text(seed, tokens)
    assert tokens - 6 <= token.count(text) <= tokens
    assert text == text.strip() != ""
    assert text.endswith(".") or tokens == 1


@pytest.mark.parametrize("tokens", range(1, 9))
def test_a_tiny_budget_gives_one_phrase(tokens: int) -> None:
    text = GENERATOR.text(b"seed", tokens)
    assert token.count(text) == tokens
    assert re.fullmatch(r"[A-Z][a-z]*( [a-z]+)*\.?", text)


def test_a_long_text_has_paragraphs_of_whole_sentences() -> None:
    paragraphs = GENERATOR.text(b"seed", 20_000).split("\n\n")
    assert len(paragraphs) > 100
    assert all(re.fullmatch(r"[A-Z].*\.", paragraph) for paragraph in paragraphs)
    assert not any("{" in paragraph or "  " in paragraph for paragraph in paragraphs)


# ---- seeds and imports


def test_the_same_seed_gives_the_same_content_whatever_was_made_before() -> None:
    other = Generator()
    other.text(b"before", 50)
    for schema in (PYDANTIC_LIKE, TREE, a_property({"type": "string"})):
        assert other.value(schema, b"seed") == made(schema)
    assert other.text(b"seed", 90) == GENERATOR.text(b"seed", 90)


def test_different_seeds_give_different_content() -> None:
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("query", "name", "city")},
    }
    assert len({json.dumps(made(schema, bytes([nth]))) for nth in range(20)}) > 17
    assert len({GENERATOR.text(bytes([nth]), 60) for nth in range(20)}) > 17


def run_python(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | environment).stdout


def test_the_hash_seed_of_the_process_changes_nothing() -> None:
    names = [f"p{nth}" for nth in range(9)]
    mapped = {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 4}
    schema = {"type": "object", "properties": dict.fromkeys(names, mapped)}
    code = (
        f"from mock_server.scenario.generated.content import Generator; print(Generator().value({schema!r}, b'seed'))"
    )
    assert run_python(code, PYTHONHASHSEED="1") == run_python(code, PYTHONHASHSEED="2")


def test_importing_the_generator_loads_neither_faker_nor_jsonschema() -> None:
    code = "import sys, mock_server.scenario.generated.content; print({'faker', 'jsonschema'} & sys.modules.keys())"
    assert run_python(code).strip() == "set()"


# ---- regular expressions


@pytest.mark.parametrize(
    "regex",
    [
        r"^\d{5}(-\d{4})?$",
        r"^[^\s@]+@[^\s@]+$",
        r"^(?:[01]\d|2[0-3]):[0-5]\d$",
        r"^[\u0400-\u04ff]+$",
        r"^[^\x00-\x7f]$",
        r"^(?i:yes|no)$",
        r"^(?P<q>['\"]).*(?P=q)$",
        r"^(<)?\w+(?(1)>|!)$",
        r"^\W\D\S$",
        r"^a*?b+?$",
        r"\bword\b",
        r"^[\]\-^]{4}$",
        r"^.{0,3}$",
        r"^(\w+\s?)*$",
    ],
)
def test_a_string_is_written_for_a_regular_expression(regex: str) -> None:
    for nth in range(20):
        text = pattern.matching(regex, Random(nth))
        assert text is not None
        assert re.search(regex, text)


@pytest.mark.parametrize("regex", ["(", r"\p{L}", "^a{200000}$", "(a{900}){900}", "x^y", r"^(?!.*a)a$", "[^\\s\\S]"])
def test_a_regular_expression_that_is_broken_or_too_much_is_given_up(regex: str) -> None:
    assert pattern.matching(regex, Random(1)) is None


def test_a_match_is_empty_only_where_nothing_else_matches() -> None:
    assert all(pattern.matching(r"^(\w+\s?)*$", Random(nth)) for nth in range(50))
    assert pattern.matching("^$", Random(1)) == ""


def test_a_preferred_string_is_taken_if_it_matches_and_is_long_enough() -> None:
    assert pattern.matching("^[a-z]+$", Random(1), 3, 9, preferred=["UP", "ab", "lower"]) == "lower"


@pytest.mark.parametrize(("shortest", "longest"), [(30, 30), (1000, 1010), (5, 5)])
def test_a_match_can_be_asked_for_in_a_range_of_lengths(shortest: int, longest: int) -> None:
    text = pattern.matching(r"^id-[a-z0-9]+$", Random(1), shortest, longest)
    assert text is not None
    assert shortest <= len(text) <= longest


def test_names_are_drawn_as_faker_draws_them() -> None:
    from faker import Faker

    plain, ours = Faker("en_US"), Fakes()
    for seed in range(200):
        plain.seed_instance(seed)
        drawn = ours.seeded(seed)
        for method in ("first_name", "last_name", "company", "name", "user_name", "first_name"):
            assert getattr(drawn, method)() == getattr(plain, method)()


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "minProperties": 500,
            "patternProperties": {r"^x\d+$": {"type": "string"}},
            "additionalProperties": False,
        },
        {
            "type": "object",
            "minProperties": 10,
            "patternProperties": {r"^\d$": {"type": "null"}},
            "additionalProperties": False,
        },
        {"type": "string", "pattern": "^[a-z0-9-]+$", "minLength": 100_000},
        {"type": "array", "minItems": 800, "items": {"type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{12}$"}},
        {"type": "array", "minItems": 200, "items": {"type": "string", "pattern": r"^(?=.*\d)(?=.*[A-Z]).{8,}$"}},
        {"type": "string", "pattern": "^[\u0400-\u04ff\u0531]{9}$"},
        {
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"enum": [f"v{at}" for at in range(3_000)]}, "b": {}},
            "not": {"required": ["b"]},
        },
    ],
)
def test_within_the_bounds_of_its_work_an_unusual_value_is_made(schema: Schema) -> None:
    whole = a_property(schema)
    assert jsonschema.Draft202012Validator(whole).is_valid(made(whole))


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"minLength": 99_000}, "$: making a value takes more than 1,500 steps"),
        ({"pattern": "^(?=.*zq)[a-z]{500}$"}, "$[0]: no string was found for its pattern"),
    ],
)
def test_what_takes_too_much_work_is_refused_with_the_reason(item: Schema, reason: str) -> None:
    with bounded(), pytest.raises(CannotGenerate) as refused:
        made({"type": "array", "minItems": 900, "items": {"type": "string", **item}})
    assert str(refused.value) == reason

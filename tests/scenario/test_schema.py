import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from mock_server.protocol.expression import OverLimit, bounded
from mock_server.protocol.json_schema import Checker, SchemaProblem
from mock_server.scenario.generated.values import Flattener, Schema, merge, resolve

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
        "born": {"type": "string", "format": "date"},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string", "maxLength": 3}},
}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (PERSON, {"name": "Ada", "tags": ["a"], "born": "1815-12-10"}, []),
        (PERSON, {}, ["$: 'name' is a required property"]),
        (PERSON, {"name": 1}, ["$.name: 1 is not of type 'string'"]),
        (PERSON, {"name": "", "tags": ["ok", "long"]}, ["$.tags[1]: 'long' is too long"]),
        (PERSON, {"name": "", "born": "today"}, ["$.born: 'today' is not a 'date'"]),
        ({"type": ["string", "null"]}, None, []),
        ({"prefixItems": [{"const": 1}]}, [2], ["$[0]: 1 was expected"]),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, {"type": "string"}, []),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "type": "null"}, None, []),
        ({"type": "object", "properties": {"sub": {"$ref": "#"}}}, {"sub": {"sub": {}}}, []),
        (True, "anything", []),
        ({}, [1], []),
        ({"foo": "bar"}, {}, []),
    ],
)
def test_violations_name_the_path_and_are_none_for_a_valid_value(
    schema: object, value: object, expected: list[str]
) -> None:
    assert Checker(schema).violations(value) == expected


def test_no_more_violations_are_listed_than_asked_for_and_in_a_stable_order() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    lines = Checker(schema).violations(dict.fromkeys("hgfedcba", 1), limit=3)
    assert lines == [f"$.{name}: 1 is not of type 'string'" for name in "abc"]


def test_a_violation_stays_one_short_line_however_big_the_value_is() -> None:
    [line] = Checker({"type": "string"}).violations({"text": "line\n" * 1000})
    assert "\n" not in line
    assert len(line) <= 240


def nested(levels: int) -> object:
    schema: object = True
    for _ in range(levels):
        schema = {"not": schema}
    return schema


BROKEN: dict[str, object] = {
    "an unknown type": {"type": "banana"},
    "a string for a subschema": {"properties": {"location": "bar"}},
    "a broken subschema nobody reaches": {"properties": {"never": {"minLength": "1"}}},
    "a bad regular expression": {"pattern": "("},
    "a regular expression of another language": {"pattern": r"\p{L}"},
    "a bad name pattern": {"patternProperties": {"[": {}}},
    "a reference to nowhere": {"$ref": "#/$defs/none"},
    "a reference to another server": {"$ref": "https://example.invalid/schema.json"},
    "a reference to a file": {"$ref": "file:///etc/hostname"},
    "a reference to itself": {"$ref": "#"},
    "two references in a circle": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    },
    "no schema at all": "string",
    "a list": [],
    "none": None,
    "keywords of the wrong type": {"required": True},
    "a schema name that is none": {"$schema": []},
    "nesting without end": nested(400),
}


@pytest.mark.parametrize("schema", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_schema_is_a_schema_problem_of_one_line(schema: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(SchemaProblem) as caught:
        Checker(schema).violations({"location": 1})
    assert 0 < len(str(caught.value)) <= 240
    assert "\n" not in str(caught.value)


def test_a_circle_of_references_is_called_a_circle() -> None:
    with pytest.raises(SchemaProblem, match="circle"):
        Checker({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}}}).violations({})


def test_the_same_reference_again_for_a_part_of_the_value_is_no_circle() -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}, "maxItems": 2}}}
    assert Checker(schema).violations([[], [[1], [1]]]) == []
    assert Checker(schema).violations([[[1, 2, 3]]]) == ["$[0][0]: [1, 2, 3] is too long"]


def test_a_value_too_deep_for_the_stack_is_a_schema_problem() -> None:
    value: object = None
    for _ in range(900):
        value = [value]
    with pytest.raises(SchemaProblem, match="nested too deeply"):
        Checker({"items": {"$ref": "#"}}).violations(value)


@pytest.mark.parametrize("key", ["allOf", "oneOf"])
def test_doubling_references_end(key: str) -> None:
    doubling: Schema = {f"a{nth}": {key: [{"$ref": f"#/$defs/a{nth + 1}"}] * 2} for nth in range(30)}
    schema = {"$defs": doubling | {"a30": {"type": "null"}}, "$ref": "#/$defs/a0"}
    with bounded() as left:
        assert Checker(schema).violations(None) == []
    assert [*left.unjudged] == [
        "a value with a schema was left unjudged: more than 20,000 checks of values in one request"
    ]
    with pytest.raises(OverLimit, match="more than 50,000 checks of values in one request"):
        Checker(schema, of_client=False).violations(None)


def test_a_checker_counts_references_afresh_for_every_value() -> None:
    checker = Checker(PERSON)
    many = {"name": "", "tags": ["ok"] * 4_000}
    assert checker.violations(many) == checker.violations(many) == []


def test_a_checker_judges_parts_with_references_from_the_root() -> None:
    checker = Checker(PERSON)
    part = {"type": "array", "items": {"$ref": "#/$defs/tag"}}
    assert checker.accepts(part, ["abc"])
    assert not checker.accepts(part, ["abcd"])
    assert not checker.accepts({"$ref": "#/$defs/none"}, 1)


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("#", "root"),
        ("#/$defs/a", {"const": 1}),
        ("#/$defs/b~1c~0d", {"const": 2}),
        ("#/$defs/e%20f", {"const": 3}),
        ("#/anyOf/1", {"const": 4}),
        ("#/anyOf/2", True),
        ("#/$defs/none/deeper", True),
        ("#anchor", True),
        ("https://example.invalid/", True),
        (7, True),
    ],
)
def test_a_local_reference_is_resolved_and_any_other_allows_all(ref: object, expected: object) -> None:
    root = {
        "$defs": {"a": {"const": 1}, "b/c~d": {"const": 2}, "e f": {"const": 3}},
        "anyOf": [True, {"const": 4}],
    }
    assert resolve(root, ref) == (root if expected == "root" else expected)


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ({"minimum": 1, "maximum": 5}, {"minimum": 2, "maximum": 9}, {"minimum": 2, "maximum": 5}),
        ({"required": ["b", "a"]}, {"required": ["a", "c"]}, {"required": ["b", "a", "c"]}),
        ({"type": ["string", "number"]}, {"type": ["integer", "null"]}, {"type": ["integer"]}),
        ({"type": "string"}, {"type": "null"}, {"type": []}),
        ({"enum": [1, 2, 3]}, {"enum": [3, 2]}, {"enum": [2, 3]}),
        ({"multipleOf": 4}, {"multipleOf": 6}, {"multipleOf": 12}),
        ({"title": "kept"}, {"title": "dropped", "format": "date"}, {"title": "kept", "format": "date"}),
        (
            {"properties": {"a": {"minimum": 1}, "b": True}},
            {"properties": {"c": True, "a": {"maximum": 2}}},
            {"properties": {"a": {"allOf": [{"minimum": 1}, {"maximum": 2}]}, "b": True, "c": True}},
        ),
        (
            {"prefixItems": [{"type": "null"}]},
            {"prefixItems": [True, {"const": 1}]},
            {"prefixItems": [{"allOf": [{"type": "null"}, True]}, {"allOf": [True, {"const": 1}]}]},
        ),
        (
            {"dependentRequired": {"a": ["b"]}},
            {"dependentRequired": {"a": ["c"]}},
            {"dependentRequired": {"a": ["b", "c"]}},
        ),
        ({"minimum": "broken"}, {"minimum": 1}, {"minimum": "broken"}),
    ],
)
def test_merging_asks_for_what_both_ask_for(first: Schema, second: Schema, merged: Schema) -> None:
    assert merge(first, second) == merged
    assert list(merge(first, second).get("properties", {})) == list(merged.get("properties", {}))


def flattened(schema: object, nth: int = 0) -> Schema:
    return Flattener(schema, lambda branches: branches[nth], lambda steps: None).flat(schema)


@pytest.mark.parametrize(
    ("schema", "flat"),
    [
        ({"const": 1, "type": "integer"}, {"enum": [1], "type": "integer"}),
        ({"const": 1, "enum": [1, 2]}, {"enum": [1]}),
        (False, {"enum": []}),
        ("broken", {}),
        ({"allOf": [{"minimum": 1}, {"allOf": [{"maximum": 2}]}]}, {"minimum": 1, "maximum": 2}),
        ({"anyOf": [{"type": "null"}, {"type": "string"}], "title": "T"}, {"type": "null", "title": "T"}),
        ({"if": {"minimum": 1}, "then": {"maximum": 2}, "else": {"maximum": 0}}, {"maximum": 0}),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}, {"type": "null"}),
        ({"$ref": "#"}, {}),
    ],
)
def test_flattening_leaves_no_references_and_no_alternatives(schema: object, flat: Schema) -> None:
    assert flattened(schema) == flat


def test_flattening_takes_the_alternatives_it_is_told_to() -> None:
    assert flattened({"oneOf": [{"type": "null"}, {"type": "string"}]}, nth=1) == {"type": "string"}
    assert flattened({"if": {"minimum": 1}, "then": {"maximum": 2}}, nth=1) == {"minimum": 1, "maximum": 2}


@pytest.mark.parametrize(
    ("schema", "levels"),
    [
        ({"type": "string"}, 0),
        ({"required": ["a"]}, 1),
        ({"properties": {"a": {"required": ["b"]}}, "required": ["a"]}, 2),
        ({"properties": {"a": {"required": ["b"]}}}, 0),
        ({"items": {"required": ["b"]}, "minItems": 1}, 2),
        ({"anyOf": [{"required": ["a"]}, {"type": "null"}]}, 0),
    ],
)
def test_the_shallowest_value_of_a_schema_is_known(schema: Schema, levels: int) -> None:
    assert Flattener(schema, lambda branches: branches[0], lambda steps: None).reach(schema) == levels


def test_a_schema_without_an_end_is_far_deeper_than_one_with_an_end() -> None:
    endless: dict[str, Any] = {"properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    assert Flattener(endless, lambda branches: branches[0], lambda steps: None).reach(endless) > 100


def test_the_depth_of_many_alternatives_is_found_in_few_steps() -> None:
    kinds: Schema = {f"k{nth}": {"required": ["a", "b"]} for nth in range(30)}
    for kind in kinds.values():
        kind["properties"] = {"a": {"$ref": "#/$defs/any"}, "b": {"$ref": "#/$defs/any"}}
    root = {"$defs": kinds | {"any": {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in kinds]}}}
    steps: list[int] = []
    flattener = Flattener(root, lambda branches: branches[0], steps.append)
    assert flattener.reach({"$ref": "#/$defs/any"}, fuel=12) > 100
    assert sum(steps) < 500


def test_importing_the_module_does_not_import_jsonschema() -> None:
    code = "import sys, mock_server.protocol.json_schema; print({'jsonschema', 'referencing'} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "set()"

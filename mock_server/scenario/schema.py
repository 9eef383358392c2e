"""JSON Schema as those read it who make values: following a local `$ref`, merging two schemas into one.

Nothing here makes values (generate.py does) and nothing judges them (`protocol.checker` does).
"""

import itertools
import json
import math
import operator
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

if TYPE_CHECKING:
    from fractions import Fraction

Schema = dict[str, Any]
_Kind = TypeVar("_Kind", list[Any], dict[str, Any], int)

_MOST_HOPS = 32
_FAR = 1_000
_PER_STEP = 20  # parts of a schema that are copied for the price of a subschema
_CHOICES = {"$ref", "allOf", "anyOf", "oneOf", "if", "then", "else"}
_APPLICATORS = _CHOICES | {"not", "const", "$schema", "$defs", "definitions"}


def resolve(root: object, ref: object) -> object:
    """The subschema a local `$ref` names ("#", "#/$defs/x"); True, which allows all, for any other."""
    if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
        return True
    node = root
    for part in unquote(ref[1:]).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            node = node.get(key, True) if isinstance(node, dict) else True
    return node


def merge(first: Schema, second: Schema) -> Schema:
    """One schema that asks for what both ask for; of two titles, defaults or formats the first one's stays.

    Meant for schemas without `$ref` and the `allOf` family at their top level: of those the first stays too.
    """
    merged = {**first, **second, **first}
    for key in first.keys() & second.keys() & _COMBINE.keys():
        # A broken schema has values of the wrong type here; it gets the first one's.
        with suppress(TypeError, AttributeError, ValueError):
            merged[key] = _COMBINE[key](first[key], second[key])
    return merged


def typed(schema: Schema, key: str, kind: type[_Kind]) -> _Kind:
    """`schema[key]`, or an empty `kind()` where it is missing or, in a broken schema, of another type."""
    value = schema.get(key)
    return value if isinstance(value, kind) else kind()


def strings(schema: Schema, key: str) -> list[str]:
    """The strings of the list `schema[key]`, each once."""
    return list(dict.fromkeys(item for item in typed(schema, key, list) if isinstance(item, str)))


def number(schema: Schema, key: str) -> "Fraction | None":
    """`schema[key]` as the decimal number it was written as; None where there is no finite number."""
    value = schema.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value - value != 0:
        return None
    from fractions import Fraction  # only bounds need it

    return Fraction(str(value))


def bounds(schema: Schema) -> "tuple[Fraction | None, Fraction | None]":
    """The lowest and highest number, themselves allowed unless exclusive; None for no bound."""
    lows = [low for key in ("minimum", "exclusiveMinimum") if (low := number(schema, key)) is not None]
    highs = [high for key in ("maximum", "exclusiveMaximum") if (high := number(schema, key)) is not None]
    return max(lows, default=None), min(highs, default=None)


def in_bounds(schema: Schema, value: float) -> bool:
    """Whether a number keeps to the bounds and to `multipleOf`, as the validator will reckon it."""
    multiple = schema.get("multipleOf")
    # The validator divides floats, which a correctly rounded multiple of 0.01 does not always survive.
    even = not isinstance(multiple, float) or multiple == 0 or (value / multiple).is_integer()
    limits = [(keeps, number(schema, key)) for key, keeps in _BOUNDS.items()]
    return even and all(limit is None or keeps(value, limit) for keeps, limit in limits)


def size(schema: Schema, key: str, default: int) -> int:
    """`schema[key]` as a whole number that is at least 0."""
    value = number(schema, key)
    return default if value is None else max(0, math.ceil(value))


def listed(value: object) -> list[Any]:
    """`value` as a list: JSON Schema allows a single type where a list of them may stand."""
    return value if isinstance(value, list) else [value]


def _both(first: object, second: object) -> Schema:
    return {"allOf": [first, second]}


def _both_maps(first: Schema, second: Schema) -> Schema:
    return {**first, **second, **{key: _both(first[key], second[key]) for key in first if key in second}}


def _both_tuples(first: list[Any], second: list[Any]) -> list[Any]:
    return [_both(*pair) for pair in itertools.zip_longest(first, second, fillvalue=True)]


def _both_types(first: object, second: object) -> list[Any]:
    ours, theirs = listed(first), listed(second)
    narrowed = ["integer"] if {"integer", "number"} <= {*ours, *theirs} else []
    return list(dict.fromkeys([kind for kind in ours if kind in theirs] + narrowed))


def _shared(first: list[Any], second: list[Any]) -> list[Any]:
    """The values that both have, equal as JSON has it."""
    there = set(map(_SORTED.encode, second))
    return [value for value in first if _SORTED.encode(value) in there]


_SORTED = json.JSONEncoder(sort_keys=True)


def _weight(value: object) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _union(first: list[Any], second: list[Any]) -> list[Any]:
    return list(dict.fromkeys(first + second))


def _unions(first: Schema, second: Schema) -> Schema:
    return {key: _union(first.get(key, []), second.get(key, [])) for key in {**first, **second}}


_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
}
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_ONE = (
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
)

_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(_LEAST, max),
    **dict.fromkeys(_MOST, min),
    **dict.fromkeys(_ONE, _both),
    **dict.fromkeys(("properties", "patternProperties", "dependentSchemas"), _both_maps),
    "dependentRequired": _unions,
    "required": _union,
    "prefixItems": _both_tuples,
    "type": _both_types,
    "enum": lambda first, second: _shared(first, second),
    "multipleOf": math.lcm,
    "uniqueItems": lambda first, second: first or second,
}


class Flattener:
    """Rewrites one schema's parts as plain schemas: `$ref`, `allOf`, `anyOf`, `oneOf` and `if` merged in.

    `choose` picks one of the alternatives (a non-empty list); `step` is called once for every subschema
    visited and stops the work, when there is too much of it, by raising.
    """

    def __init__(self, root: object, choose: Callable[[list[object]], object], step: Callable[[], None]) -> None:
        self._root = root
        self._choose = choose
        self._step = step
        self._reached: dict[tuple[int, int], tuple[Schema, int]] = {}

    def flat(self, schema: object, hops: int = 0) -> Schema:
        """A schema with `const` as an `enum` of one, an empty `enum` for False, {} for a broken schema."""
        self._step()
        if not isinstance(schema, dict) or hops > _MOST_HOPS:
            return {"enum": []} if schema is False else {}
        merged = {key: sub for key, sub in schema.items() if key not in _APPLICATORS}
        if "const" in schema:
            merged = merge({"enum": [schema["const"]]}, merged)
        for part in self._parts(schema):
            more = self.flat(part, hops + 1)
            for _ in range(sum(map(_weight, (*merged.values(), *more.values()))) // _PER_STEP):
                self._step()
            merged = merge(merged, more)
        return merged

    def _parts(self, schema: Schema) -> Iterator[object]:
        if "$ref" in schema:
            yield resolve(self._root, schema["$ref"])
        yield from typed(schema, "allOf", list)
        for key in ("anyOf", "oneOf"):
            if branches := typed(schema, key, list):
                yield self._choose(branches)
        if "if" in schema:
            then = _both(schema["if"], schema.get("then", True))
            yield self._choose([schema.get("else", True), then])

    def reach(self, schema: object, fuel: int = 6) -> int:
        """How many levels the shallowest value of `schema` has, as far as `fuel` levels tell."""
        if not isinstance(schema, dict) or fuel == 0:
            return 0 if fuel else _FAR
        # The schema is kept with its answer so that its id stays its own.
        kept = self._reached.get((id(schema), fuel))
        if kept is None:
            self._step()
            kept = self._reached[id(schema), fuel] = (schema, self._levels(schema, fuel))
        return kept[1]

    def _levels(self, schema: Schema, fuel: int) -> int:
        levels = [1 + self.reach(part, fuel - 1) for part in self._needed(schema)]
        for branches in (typed(schema, "anyOf", list), typed(schema, "oneOf", list)):
            levels += [min(self.reach(branch, fuel - 1) for branch in branches)] if branches else []
        return max(levels, default=0)

    def _needed(self, schema: Schema) -> Iterator[object]:
        if "$ref" in schema:
            yield resolve(self._root, schema["$ref"])
        yield from typed(schema, "allOf", list)
        properties = typed(schema, "properties", dict)
        yield from (properties.get(name, True) for name in strings(schema, "required"))
        if typed(schema, "minItems", int):
            yield schema.get("items", True)

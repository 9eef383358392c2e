"""JSON Schema: validating a value, following a local `$ref`, merging two schemas into one.

The only file that may import `jsonschema`, and only inside functions: the import costs 46 ms and most runs
never need it. Nothing here makes values (generate.py does) and nothing here reaches the network.
"""

import itertools
import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import Any, TypeVar
from urllib.parse import unquote

from mock_server.scenario.backtracking import explosive

Schema = dict[str, Any]
_Kind = TypeVar("_Kind", list[Any], dict[str, Any], int)

MOST_REFS = 10_000
"""`$ref`s followed in one validation: doubling `$ref`s ("billion laughs") would otherwise run for ever."""

_LONGEST_LINE = 240
_TOO_DEEP = "the schema, or the value with it, is nested too deeply"
_MOST_HOPS = 32
_FAR = 1_000
_CHOICES = {"$ref", "allOf", "anyOf", "oneOf", "if", "then", "else"}
_APPLICATORS = _CHOICES | {"not", "const", "$schema", "$defs", "definitions"}


class SchemaProblem(ValueError):
    """The schema itself is broken, so no value can be judged by it. The message is one line."""


class Checker:
    """One schema (Draft 2020-12, formats checked), checked itself once and then used on many values.

    Making one costs about 5 ms, so keep it for as long as the schema is in use. Raises SchemaProblem when the
    schema breaks the meta-schema; what only shows in use (a `$ref` to nowhere, one that never ends) is raised
    by `violations`.
    """

    def __init__(self, schema: object) -> None:
        self._followed = itertools.count()
        self._open: set[tuple[int, int]] = set()
        with _library_errors():
            from jsonschema import Draft202012Validator as Draft
            from jsonschema import validators
            from referencing import Registry

            for error in Draft(Draft.META_SCHEMA, format_checker=Draft.FORMAT_CHECKER).iter_errors(schema):
                raise SchemaProblem(_line(error))
            counted = {key: self._counting(Draft.VALIDATORS[key]) for key in ("$ref", "$dynamicRef")}
            # An explicit registry, because the default one fetches unknown `$ref`s over HTTP.
            library: Any = validators
            draft = library.extend(Draft, counted)
            self._validator: Any = draft(schema, format_checker=Draft.FORMAT_CHECKER, registry=Registry())

    def violations(self, value: object, limit: int = 5) -> list[str]:
        """At most `limit` lines "$.path: message", empty when `value` is valid. Raises SchemaProblem."""
        self._followed = itertools.count()
        with _library_errors():
            lines = [_line(error) for error in self._validator.iter_errors(value)]
        # Sorted, as the library walks unexpected keys in an order that changes from one process to the next.
        return sorted(lines)[:limit]

    def accepts(self, subschema: Schema, value: object) -> bool:
        """Whether `value` fits a part of the schema, whose `$ref`s then start at the whole schema's root."""
        self._followed = itertools.count()
        with suppress(SchemaProblem), _library_errors():
            return bool(self._validator.evolve(schema=subschema).is_valid(value))
        return False

    def _counting(self, follow: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        def counted(validator: Any, ref: Any, value: object, schema: Schema) -> Iterator[Any]:
            here = (id(schema), id(value))
            if here in self._open:
                raise SchemaProblem("its $refs lead in a circle")
            if next(self._followed) >= MOST_REFS:
                raise SchemaProblem(f"following its $refs takes more than {MOST_REFS} steps")
            self._open.add(here)
            try:
                yield from follow(validator, ref, value, schema)
            finally:
                self._open.discard(here)

        return counted


def hanging(schema: object) -> str | None:
    """The first regular expression in a schema that can take for ever on a text that does not match; None for none."""
    return next((pattern for pattern in _patterns(schema) if explosive(pattern) is not None), None)


def _patterns(schema: object) -> Iterator[str]:
    """Every regular expression in a schema."""
    if isinstance(schema, dict):
        named = schema.get("patternProperties")
        yield from (key for key in named if isinstance(key, str)) if isinstance(named, dict) else ()
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for one in inner:
        yield from _patterns(one)


def violations(schema: object, value: object, limit: int = 5) -> list[str]:
    """At most `limit` lines "$.path: message" on how `value` breaks `schema`, empty when it does not.

    Raises SchemaProblem when the schema is broken, whatever the value: a type or keyword the meta-schema does
    not know, a bad regular expression, a `$ref` that leads nowhere, elsewhere (never fetched) or in circles.
    """
    return Checker(schema).violations(value, limit)


@contextmanager
def _library_errors() -> Iterator[None]:
    # On a broken schema the library raises whatever it stumbled over: KeyError, TypeError, re.error, ...
    try:
        yield
    except SchemaProblem:
        raise
    except RecursionError:
        raise SchemaProblem(_TOO_DEEP) from None
    except Exception as error:
        raise SchemaProblem(_short(str(error) or type(error).__name__)) from error
    except BaseException as error:
        # Where the stack ends inside rpds, the Rust part of the library, it panics, which is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise SchemaProblem(_TOO_DEEP) from None


def _line(error: Any) -> str:
    return _short(f"{error.json_path}: {error.message}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 3] + "..."


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


def number(schema: Schema, key: str) -> Fraction | None:
    """`schema[key]` as the decimal number it was written as; None where there is no finite number."""
    value = schema.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value - value != 0:
        return None
    return Fraction(str(value))


def bounds(schema: Schema) -> tuple[Fraction | None, Fraction | None]:
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
    "enum": lambda first, second: [value for value in first if value in second],
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
            merged = merge(merged, self.flat(part, hops + 1))
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

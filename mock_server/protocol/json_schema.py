"""JSON Schema (draft 2020-12): whether a schema is one, and how a value breaks it. Nothing here reaches the network.

The home of `jsonschema`, which is imported when a value is to be judged: that costs 46 ms and most runs never need it.
The library follows what a schema says as long as it takes; here its steps are counted, its patterns are searched for
by `expression`, and whether a schema is one is looked up in a table, as its own meta-schema takes 0.2 ms a property.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from mock_server.protocol.errors import excerpt
from mock_server.protocol.expression import Expression, OverLimit, allowance, bounded, clients, judged

Schema = dict[str, Any]

_LONGEST_LINE = 240
_TOO_DEEP = "the schema, or the value with it, is nested too deeply"
_FEW = 500  # parts of a broken schema up to which the library says what is wrong
_PER_ERROR = 3  # checks that an error costs, and one more for so many characters of its message
_PER_PATTERN = 3  # checks that the search of a pattern costs beside its own
_PER_CHECK = 500


class SchemaProblem(ValueError):
    """The schema itself is broken, so no value can be judged by it. The message is one line."""


class Checker:
    """One schema, formats checked, checked itself once and then used on many values. Keep it while it is in use.

    `of_client`: it came with a request. What of it takes more than a request may is left unjudged then (see
    `expression.Allowance`); with a scenario's schema OverLimit is raised.

    Raises SchemaProblem when the schema breaks the meta-schema: a type or keyword that it does not know, a bad regular
    expression. What only shows in use (a `$ref` that leads nowhere, elsewhere or in circles; none is ever fetched) is
    raised by `violations`.
    """

    def __init__(self, schema: object, *, of_client: bool = True) -> None:
        self._of_client = of_client
        self._open: set[tuple[int, int]] = set()
        self._own: dict[str, Expression] = {}
        self._size = size(schema, 1_000_000)
        with bounded(), _library_errors():
            if not is_schema(schema):
                raise SchemaProblem(_wrong(schema) if self._size <= _FEW else "it is no schema of draft 2020-12")
            self._validator = self._made(schema)

    def _made(self, schema: object) -> Any:
        from jsonschema import Draft202012Validator as Draft
        from jsonschema import validators
        from referencing import Registry

        own: dict[str, Callable[..., Any]] = {
            "pattern": self._pattern,
            "patternProperties": self._pattern_properties,
            "additionalProperties": self._additional_properties,
            "unevaluatedProperties": self._unevaluated_properties,
            "unevaluatedItems": self._unevaluated_items,
            **{key: self._counting(Draft.VALIDATORS[key]) for key in ("$ref", "$dynamicRef")},
        }
        library: Any = validators
        judges = {**Draft.VALIDATORS, **own}
        draft = library.extend(Draft, {key: self._counted(key, judge) for key, judge in judges.items()})
        draft.evolve = _of_one_draft(draft.evolve)
        # An explicit registry, because the default one fetches unknown `$ref`s over HTTP.
        return draft(schema, format_checker=_formats(), registry=Registry())

    def violations(self, value: object, limit: int = 5) -> list[str]:
        """At most `limit` lines "$.path: message", empty when `value` is valid. Raises SchemaProblem."""
        # Sorted, as the library walks unexpected keys in an order that changes from one process to the next.
        return sorted(map(_line, self._errors(self._validator, value)))[:limit]

    def first(self, value: object) -> str | None:
        """What is wrong first, in the library's words alone. Raises SchemaProblem."""
        return next((str(error.message) for error in self._errors(self._validator, value, 1)), None)

    def accepts(self, subschema: Schema, value: object) -> bool:
        """Whether `value` fits a part of the schema, whose `$ref`s then start at the whole schema's root."""
        with suppress(SchemaProblem), _library_errors():
            return not self._errors(self._validator.evolve(schema=subschema), value, 1)
        return False

    def _errors(self, by: Any, value: object, most: int | None = None) -> list[Any]:
        self._open.clear()
        with bounded() as left, _library_errors():
            try:
                return list(itertools.islice(by.iter_errors(value), most))
            except OverLimit as limit:
                if not self._of_client:
                    raise
                left.left_unjudged("a value with a schema", limit)
                return []

    # -- counting ----------------------------------------------------------------------------------------------------

    def _spend(self, checks: int) -> None:
        left = allowance()
        (left.client if self._of_client else left.scenario).check(checks)

    def _counted(self, key: str, judge: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        weight = _WEIGHTS.get(key)

        def counted(validator: Any, wanted: Any, value: Any, schema: Schema) -> Iterator[Any]:
            self._spend(1 if weight is None else 1 + weight(wanted, value))
            for error in judge(validator, wanted, value, schema) or ():
                if not error.schema_path:
                    self._spend(_PER_ERROR + len(error.message) // _PER_CHECK)
                yield error

        return counted

    def _counting(self, follow: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        def counted(validator: Any, ref: Any, value: object, schema: Schema) -> Iterator[Any]:
            here = (id(schema), id(value))
            if here in self._open:
                raise SchemaProblem("its $refs lead in a circle")
            if isinstance(ref, str) and not re.match(r"#(/|$)", ref):
                self._spend(self._size // 10)  # an anchor is looked for in the whole schema
            self._open.add(here)
            try:
                yield from follow(validator, ref, value, schema)
            finally:
                self._open.discard(here)

        return counted

    # -- keywords with patterns --------------------------------------------------------------------------------------

    def _fits(self, pattern: str, text: str) -> bool | None:
        """Whether a pattern is found in a text; None where that was not judged."""
        if not self._of_client:
            if pattern not in self._own:
                self._own[pattern] = Expression(pattern)
            return self._own[pattern].found_in(text)
        self._spend(_PER_PATTERN)
        return judged(pattern, text)

    def _pattern(self, validator: Any, pattern: Any, value: Any, schema: Schema) -> Iterator[Any]:
        if isinstance(value, str) and self._fits(pattern, value) is False:
            yield _error(f"{value!r} does not match {pattern!r}")

    def _pattern_properties(self, validator: Any, patterns: Any, value: Any, schema: Schema) -> Iterator[Any]:
        for pattern, inner in patterns.items() if isinstance(value, dict) else ():
            for key, item in value.items():
                self._spend(1)
                if self._fits(pattern, key):
                    yield from validator.descend(item, inner, path=key, schema_path=pattern)

    def _additional_properties(self, validator: Any, wanted: Any, value: Any, schema: Schema) -> Iterator[Any]:
        if not isinstance(value, dict):
            return
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        self._spend(len(value) * len(patterns))
        extras = [key for key in value if key not in known and self._is_unlike_all(patterns, key)]
        if isinstance(wanted, dict):
            for key in extras:
                yield from validator.descend(value[key], wanted, path=key)
        elif not wanted and extras:
            if patterns:
                verb = "does" if len(extras) == 1 else "do"
                yield _error(
                    f"{_listed(sorted(extras))} {verb} not match any of the regexes: {_listed(sorted(patterns))}"
                )
            else:
                yield _error(f"Additional properties are not allowed ({_unexpected(sorted(extras))} unexpected)")

    def _is_unlike_all(self, patterns: Iterable[str], key: str) -> bool:
        return all(self._fits(pattern, key) is False for pattern in patterns)

    def _unevaluated_properties(self, validator: Any, wanted: Any, value: Any, schema: Schema) -> Iterator[Any]:
        if not isinstance(value, dict):
            return
        seen = self._evaluated(validator, value, schema)
        wrong = [key for key in value if key not in seen and not _is_valid(validator, value[key], wanted)]
        if wrong and wanted is False:
            yield _error(f"Unevaluated properties are not allowed ({_unexpected(sorted(wrong))} unexpected)")
        elif wrong:
            text = "Unevaluated properties are not valid under the given schema"
            yield _error(f"{text} ({_unexpected(wrong)} unevaluated and invalid)")

    def _unevaluated_items(self, validator: Any, wanted: Any, value: Any, schema: Schema) -> Iterator[Any]:
        if not isinstance(value, list):
            return
        seen = self._evaluated(validator, value, schema)
        wrong = [item for at, item in enumerate(value) if at not in seen]
        if wrong:
            yield _error(f"Unevaluated items are not allowed ({_unexpected(wrong)} unexpected)")

    def _evaluated(self, validator: Any, value: Any, schema: Any) -> set[Any]:
        """The keys, or the places, of a value that some part of a schema looks at."""
        self._spend(1)
        if not isinstance(schema, dict):
            return set()
        looked_at = self._items_of if isinstance(value, list) else self._properties_of
        found: set[Any] = looked_at(validator, value, schema)
        for key in ("$ref", "$dynamicRef"):
            if key in schema:
                led = validator._resolver.lookup(schema[key])
                there = validator.evolve(schema=led.contents, _resolver=led.resolver)
                found |= self._evaluated(there, value, led.contents)
        listed = [one for key in ("allOf", "oneOf", "anyOf") for one in schema.get(key, ())]
        parts = [one for one in listed if _is_valid(validator, value, one)]
        if "if" in schema:
            holds = _is_valid(validator, value, schema["if"])
            parts += [schema["if"], schema.get("then", True)] if holds else [schema.get("else", True)]
        if isinstance(value, dict):
            parts += [one for name, one in schema.get("dependentSchemas", {}).items() if name in value]
        for part in parts:
            found |= self._evaluated(validator, value, part)
        return found

    def _items_of(self, validator: Any, value: list[Any], schema: Schema) -> set[Any]:
        if "items" in schema:
            return set(range(len(value)))
        found = set(range(len(schema.get("prefixItems", ()))))
        for key in ("contains", "unevaluatedItems"):
            if key in schema:
                found |= {at for at, item in enumerate(value) if _is_valid(validator, item, schema[key])}
        return found

    def _properties_of(self, validator: Any, value: Mapping[str, Any], schema: Schema) -> set[Any]:
        found = set(schema.get("properties", {}).keys() & value.keys())
        for key in ("additionalProperties", "unevaluatedProperties"):
            if key in schema:
                found |= {name for name, item in value.items() if _is_valid(validator, item, schema[key])}
        patterns = schema.get("patternProperties", {})
        self._spend(len(value) * len(patterns))
        return found | {name for name in value if not self._is_unlike_all(patterns, name)}


def depth(value: Any, most: int) -> int:
    """How deep JSON data are nested, as far as `most` and one more; without recursion."""
    level, deep = [value], 0
    while level and deep <= most:
        inner: list[Any] = []
        for one in level:
            inner += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        level, deep = inner, deep + 1
    return deep


def size(value: Any, most: int) -> int:
    """How many values a value is made of, itself too; counted as far as `most`."""
    waiting, count = [value], 0
    while waiting and count < most:
        one = waiting.pop()
        count += 1
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return count


def _of_one_draft(evolve: Callable[..., Any]) -> Callable[..., Any]:
    """A part that names another draft is judged by this one too: the library would take its own keywords for it."""

    def evolved(validator: Any, **changes: Any) -> Any:
        schema = changes.get("schema")
        if isinstance(schema, dict) and "$schema" in schema:
            changes["schema"] = {key: one for key, one in schema.items() if key != "$schema"}
        return evolve(validator, **changes)

    return evolved


def _is_valid(validator: Any, value: Any, schema: Any) -> bool:
    return next(validator.descend(value, schema), None) is None


def _error(message: str) -> Any:
    from jsonschema import ValidationError

    return ValidationError(message)


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(repr, values))


def _unexpected(values: list[Any]) -> str:
    return f"{_listed(values)} {'was' if len(values) == 1 else 'were'}"


def _pairs(wanted: Any, value: Any) -> int:
    """What telling that all items differ takes: texts and numbers are sorted, of others each is compared with each."""
    if not isinstance(value, list):
        return 0
    kinds = {type(item) for item in value}
    is_sorted = kinds <= {str} or kinds <= {int, float}
    return len(value) // 4 if is_sorted else len(value) ** 2 // 8


# checks that a keyword costs beside one, of what it says and of the value
_WEIGHTS: Mapping[str, Callable[[Any, Any], int]] = {
    "enum": lambda wanted, value: len(wanted) // 4,
    "required": lambda wanted, value: len(wanted) // 16,
    "properties": lambda wanted, value: len(wanted) // 32,
    "dependentRequired": lambda wanted, value: sum(map(len, wanted.values())) // 16,
    "dependentSchemas": lambda wanted, value: len(wanted) // 32,
    "items": lambda wanted, value: len(value) // 2 if isinstance(value, list) else 0,
    "prefixItems": lambda wanted, value: min(len(wanted), len(value)) // 2 if isinstance(value, list) else 0,
    "uniqueItems": _pairs,
    "contains": lambda wanted, value: len(value) if isinstance(value, list) else 0,
    "propertyNames": lambda wanted, value: len(value) if isinstance(value, dict) else 0,
}


@contextmanager
def _library_errors() -> Iterator[None]:
    # On a broken schema the library raises whatever it stumbled over: KeyError, TypeError, re.error, ...
    try:
        yield
    except (SchemaProblem, OverLimit):
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
    return excerpt(" ".join(text[: 4 * _LONGEST_LINE].split()), _LONGEST_LINE, "...")


@cache
def _formats() -> Any:
    """The library's checks of formats, but for `regex`: to compile one can take as long as it likes."""
    from jsonschema import Draft202012Validator as Draft
    from jsonschema import FormatChecker

    made = FormatChecker(formats=())
    made.checkers = {**Draft.FORMAT_CHECKER.checkers, "regex": (_is_pattern, ())}
    return made


def _wrong(schema: object) -> str:
    """What is wrong with a schema that is none, in the library's words."""
    from jsonschema import Draft202012Validator as Draft

    errors = Draft(Draft.META_SCHEMA, format_checker=_formats()).iter_errors(schema)
    return next(map(_line, errors), "it is no schema of draft 2020-12")


# -- the meta-schema, as a table -------------------------------------------------------------------------------------


def is_schema(schema: object) -> bool:
    """Whether a value is a schema of draft 2020-12. Raises RecursionError for one that is nested beyond reason."""
    if not isinstance(schema, dict):
        return isinstance(schema, bool)
    return all((check := _KEYWORDS.get(key)) is None or check(value) for key, value in schema.items())


_TYPES = frozenset(("string", "number", "integer", "boolean", "object", "array", "null"))


def _is_type(value: Any) -> bool:
    many = isinstance(value, list) and len(value) > 0
    return all(isinstance(one, str) and one in _TYPES for one in (value if many else [value])) and (
        not many or len(set(value)) == len(value)
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_pattern(value: Any) -> bool:
    """Whether a text is a regular expression; one that is too long to be looked at is taken for one."""
    if not isinstance(value, str):
        return True
    left = allowance()
    try:
        left.read(value)
        clients(value)
    except OverLimit as limit:
        left.left_unjudged("a pattern", limit)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value == value // 1 and value >= 0


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _are_listed(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(map(is_schema, value))


def _are_named(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_schema, value.values()))


def _is_anchor(value: Any) -> bool:
    return isinstance(value, str) and re.search(r"^[A-Za-z_][-A-Za-z0-9._]*$", value) is not None


_KEYWORDS: Mapping[str, Callable[[Any], bool]] = {
    "type": _is_type,
    "enum": _is_list,
    "examples": _is_list,
    "pattern": lambda value: isinstance(value, str) and _is_pattern(value),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "required": _are_names,
    "patternProperties": lambda value: _are_named(value) and all(map(_is_pattern, value)),
    "dependentRequired": lambda value: isinstance(value, dict) and all(map(_are_names, value.values())),
    "dependencies": lambda value: (
        isinstance(value, dict) and all(_are_names(one) or is_schema(one) for one in value.values())
    ),
    "$id": lambda value: isinstance(value, str) and re.search(r"^[^#]*#?$", value) is not None,
    "$vocabulary": lambda value: isinstance(value, dict) and all(map(_is_truth, value.values())),
    **dict.fromkeys(("$anchor", "$dynamicAnchor", "$recursiveAnchor"), _is_anchor),
    **dict.fromkeys(("$ref", "$dynamicRef", "$recursiveRef", "$schema", "$comment", "format"), _is_text),
    **dict.fromkeys(("title", "description", "contentEncoding", "contentMediaType"), _is_text),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _is_truth),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains"), _is_count),
    **dict.fromkeys(("minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(("items", "contains", "additionalProperties", "propertyNames", "not"), is_schema),
    **dict.fromkeys(("if", "then", "else", "unevaluatedItems", "unevaluatedProperties", "contentSchema"), is_schema),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _are_listed),
    **dict.fromkeys(("properties", "dependentSchemas", "$defs", "definitions"), _are_named),
}

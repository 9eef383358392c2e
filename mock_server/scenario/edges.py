"""Inputs at the bounds of a schema, and inputs that break it on purpose, made from one that is valid.

Nothing here knows what a schema means: every change is tried on the whole value, and the validator is the judge.
"""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from random import Random
from typing import Any

from mock_server.protocol.checker import Checker, SchemaProblem
from mock_server.protocol.expression import bounded
from mock_server.scenario.values import CannotGenerate, number_of

MAX_TRIALS = 300
_MOST_COPIED = 60_000  # values in all the copies that trials take
_MOST_BOUNDS = 100  # of one kind, anywhere in a schema
_LONGEST, _MOST_ITEMS = 10_000, 100
_STRINGS = ("", " ", "🙂👩\u200d👩\u200d👧", "שלום", "e\u0301", 'a"b\\c\nd', "0", "null", "../x", "<b>&amp;</b>")
_NUMBERS = (0, -1, 1, 2**31 - 1, 2**53, -(2**53), 0.1, -0.5, 1e-9)
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_SIZES = ("minLength", "maxLength", "minItems", "maxItems")

Path = tuple[str | int, ...]


def edge(schema: object, value: dict[str, Any], checker: Checker, seed: bytes) -> dict[str, Any]:
    """The value with boundary values wherever the schema still takes the whole of it."""
    rng = Random(number_of(seed))
    made = copy.deepcopy(value)
    paths = [path for path in _places(made) if path]
    trials, limits = _trials(len(paths)), _Limits(schema)
    for path in paths:
        candidates = list(_bounds(limits, _at(made, path)))
        rng.shuffle(candidates)
        for candidate in candidates:
            if trials == 0:
                return made
            trials -= 1
            changed = _with(made, path, candidate)
            if candidate != _at(made, path) and _is_valid(checker, changed):
                made = changed
                break
    return made


def invalid(schema: object, value: dict[str, Any], checker: Checker, seed: bytes) -> dict[str, Any]:
    """The value broken in one place. Raises CannotGenerate when the schema takes every object."""
    breaks = list(_breaks(_Limits(schema), value))
    Random(number_of(seed)).shuffle(breaks)
    for make in breaks[: _trials(sum(1 for _ in _places(value)))]:
        broken = make()
        if not _is_valid(checker, broken):
            return broken
    raise CannotGenerate("$: the schema accepts every object, so nothing can break it")


def _trials(places: int) -> int:
    """How many changes to try on a value: each takes a copy of it."""
    return min(MAX_TRIALS, max(1, _MOST_COPIED // max(1, places)))


def _is_valid(checker: Checker, value: object) -> bool:
    with bounded() as left:
        before = left.missed
        try:
            wrong = checker.violations(value, limit=1)
        except SchemaProblem as problem:
            raise CannotGenerate(f"$: {problem}") from None
        if left.missed > before:
            raise CannotGenerate(f"$: {[*left.unjudged][-1]}")
    return not wrong


# -- places in a value ----------------------------------------------------------------------------------------------


def _places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The way to every value inside, outer ones first."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _places(item, (*path, key))


def _at(value: Any, path: Path) -> Any:
    """What stands at a path; None where an earlier change took it away."""
    for key in path:
        inner = dict(enumerate(value)) if isinstance(value, list) else value if isinstance(value, dict) else {}
        if key not in inner:
            return None
        value = inner[key]
    return value


def _with(value: Any, path: Path, item: Any) -> Any:
    """A copy with another value at a path; the same where there is no such place any more."""
    made = copy.deepcopy(value)
    holder: Any = _at(made, path[:-1])
    there = range(len(holder)) if isinstance(holder, list) else holder if isinstance(holder, dict) else ()
    if path[-1] in there:
        holder[path[-1]] = item
    return made


# -- what to put there ----------------------------------------------------------------------------------------------


class _Limits:
    """The bounds and the sizes that stand anywhere in a schema."""

    def __init__(self, schema: object) -> None:
        self.bounds = list(islice(_found(schema, _BOUNDS), _MOST_BOUNDS))
        self.sizes = list(islice(_found(schema, _SIZES), _MOST_BOUNDS))


def _bounds(limits: _Limits, value: Any) -> Iterator[Any]:
    """Values at the edge of what a value of this kind can be, by the bounds found anywhere in the schema."""
    sizes = [size for size in limits.sizes if isinstance(size, int)]
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from _NUMBERS
        for bound in limits.bounds:
            yield from (bound, bound + 1, bound - 1)
    elif isinstance(value, str):
        yield from _STRINGS
        yield from (("x" * size, "é" * size)[at % 2] for at, size in enumerate(sizes) if 0 < size <= _LONGEST)
    elif isinstance(value, list):
        yield []
        yield from (([*value] * (size // len(value) + 1))[:size] for size in sizes if value and 0 < size <= _MOST_ITEMS)


def _found(schema: object, keys: tuple[str, ...]) -> Iterator[Any]:
    if isinstance(schema, dict):
        yield from (schema[key] for key in keys if isinstance(schema.get(key), int | float))
        for inner in schema.values():
            yield from _found(inner, keys)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _found(inner, keys)


def _breaks(limits: _Limits, value: dict[str, Any]) -> Iterator[Callable[[], dict[str, Any]]]:
    """What makes the value with one thing wrong, perhaps: a key missing or too many, another type, out of bounds."""
    for path in _places(value):
        here = _at(value, path)
        if path:
            for one in (_other(here), *(_outside(limits, here))):
                yield partial(_with, value, path, one)
        if isinstance(here, dict):
            for left_out in here:
                yield partial(_changed, value, path, here, left_out)
            yield partial(_changed, value, path, here, None)


def _changed(value: dict[str, Any], path: Path, here: dict[str, Any], left_out: str | None) -> dict[str, Any]:
    """The value with one key less in the object at a path, or one more than there should be."""
    less = {key: item for key, item in here.items() if key != left_out}
    changed = {**here, "unexpected_key": 1} if left_out is None else less
    return _with(value, path, changed) if path else changed


def _other(value: Any) -> Any:
    """A value of another type."""
    return 12345 if isinstance(value, str) else "not a number" if isinstance(value, int | float) else "not a container"


def _outside(limits: _Limits, value: Any) -> Iterator[Any]:
    if isinstance(value, str):
        yield from ("", "no such value", "x" * 300)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        bounds = limits.bounds
        yield from (*(bound + 1 for bound in bounds), *(bound - 1 for bound in bounds), 0.5)
    elif isinstance(value, list):
        yield []

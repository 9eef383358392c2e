"""Content nobody wrote: assistant prose, JSON values that fit a client's schema, and values at its bounds or past them.

Everything derives from the seed bytes alone: no clock (so none of Faker's date methods) and no global random. What
makes edges and broken values does not know what a schema means: it tries every change, and the validator is the judge.
"""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from random import Random
from typing import Any

from mock_server.protocol.expression import bounded
from mock_server.protocol.json_schema import Checker, SchemaProblem
from mock_server.scenario import paths
from mock_server.scenario.generated.fakes import DEFAULT, Fakes
from mock_server.scenario.generated.values import TRIES, CannotGenerate, Maker, number_of
from mock_server.scenario.generated.words import Words, styled
from mock_server.scenario.node import Path, is_number

MAX_TRIALS = 300
_MOST_COPIED = 20_000  # values that all trials copy or judge
_MOST_BOUNDS = 100  # of one kind, anywhere in a schema
_LONGEST, _MOST_ITEMS = 10_000, 100
_STRINGS = ("", " ", "🙂👩\u200d👩\u200d👧", "שלום", "e\u0301", 'a"b\\c\nd', "0", "null", "../x", "<b>&amp;</b>")
_NUMBERS = (0, -1, 1, 2**31 - 1, 2**53, -(2**53), 0.1, -0.5, 1e-9)
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_SIZES = ("minLength", "maxLength", "minItems", "maxItems")


def edge(schema: object, value: dict[str, Any], checker: Checker, seed: bytes) -> dict[str, Any]:
    """The value with boundary values wherever the schema still takes the whole of it."""
    rng = Random(number_of(seed))
    made = copy.deepcopy(value)
    places = [path for path in _places(made) if path]
    trials, limits = _trials(len(places)), _Limits(schema)
    for path in places:
        before = _at(made, path)  # None where an earlier change took it away: of that kind there are no candidates
        candidates = list(_bounds(limits, before))
        rng.shuffle(candidates)
        for candidate in candidates:
            if trials == 0:
                return made
            trials -= 1
            if candidate == before:
                continue
            paths.put(made, path, candidate)
            if _is_valid(checker, made):
                break
            paths.put(made, path, before)
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
    return next(paths.find(value, path), None)


def _with(value: Any, path: Path, item: Any) -> Any:
    """A copy with another value at a path; the same where there is no such place any more."""
    made = copy.deepcopy(value)
    if next(paths.find(made, path), paths.MISSING) is not paths.MISSING:
        paths.put(made, path, item)
    return made


# -- what to put there ----------------------------------------------------------------------------------------------


class _Limits:
    """The bounds and the sizes that stand anywhere in a schema."""

    def __init__(self, schema: object) -> None:
        self.bounds = list(islice(_subvalues(schema, _BOUNDS), _MOST_BOUNDS))
        self.sizes = list(islice(_subvalues(schema, _SIZES), _MOST_BOUNDS))


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


def _subvalues(schema: object, keys: tuple[str, ...]) -> Iterator[Any]:
    if isinstance(schema, dict):
        yield from (schema[key] for key in keys if isinstance(schema.get(key), int | float))
        for inner in schema.values():
            yield from _subvalues(inner, keys)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _subvalues(inner, keys)


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
    elif is_number(value):
        bounds = limits.bounds
        yield from (*(bound + 1 for bound in bounds), *(bound - 1 for bound in bounds), 0.5)
    elif isinstance(value, list):
        yield []


# -- the generator --------------------------------------------------------------------------------------------------

_MOST_CHECKERS = 256
_LONGEST_KEPT = 100_000  # characters of a schema


class Generator:
    """Makes content from seeds. Holds the Fakers and the schemas met before; same seed, same content."""

    def __init__(self) -> None:
        self.fakes = Fakes()
        self._checkers: dict[str, Checker | None] = {}

    def text(self, seed: bytes, tokens: int, about: str = "") -> str:
        """English prose of at most `tokens` (>= 1) tokens as `protocol.tokens` counts them, or few fewer.

        Whole sentences in paragraphs ("\\n\\n" between them), a phrase for a tiny budget, "Yes" for 1 token. The first
        one says what the text is `about` (a few words, no braces), where there is room.
        """
        return Words(self.fakes.of(), number_of(seed)).prose(tokens, about)

    def thought(self, seed: bytes, tokens: int, about: str = "") -> str:
        """The same as somebody thinks it."""
        return Words(self.fakes.of(), number_of(seed)).prose(tokens, about, thought=True)

    def styled(self, seed: bytes, tokens: int, style: str, locale: str, about: str = "") -> str:
        """A text of at most `tokens` tokens in one of the styles, with the words of a locale."""
        if style == "prose" and locale == DEFAULT:
            return self.text(seed, tokens, about)
        number = number_of(seed)
        return styled(style, self.fakes.seeded(number, locale), Random(number), tokens, about)

    def input(self, schema: object, seed: bytes, how: str) -> dict[str, Any]:
        """The input of a call: `valid` by the schema, at its bounds (`edge`), or breaking it (`invalid`)."""
        value = self.value(schema, seed)
        arguments = value if isinstance(value, dict) else {}
        if how == "valid":
            return arguments
        checker = self._checker(schema)
        if checker is None:
            raise CannotGenerate("$: the schema is broken, so nothing can be judged by it")
        return (edge if how == "edge" else invalid)(schema, arguments, checker, seed)

    def value(self, schema: object, seed: bytes) -> object:
        """A plausible JSON value valid by `schema` (Draft 2020-12); a schema without a type gives an object.

        For a schema that is itself broken the value is a best effort. Raises CannotGenerate.
        """
        maker = Maker(schema, self._checker(schema), self.fakes.of())
        reason = ""
        for attempt in range(TRIES):
            try:
                made, reason = maker.attempt(number_of(seed + bytes([attempt])), attempt)
            except CannotGenerate as error:
                if maker.is_spent:
                    reason = reason or str(error)
                    break
                reason = str(error)
                continue
            if not reason:
                return made
        raise CannotGenerate(" ".join(reason.split()))

    def _checker(self, schema: object) -> Checker | None:
        """None for a broken schema. Kept, as an agent sends the same tools with every turn."""
        key = json.dumps(schema)
        if len(key) > _LONGEST_KEPT:
            return _checker_of(schema)
        if key not in self._checkers:
            if len(self._checkers) >= _MOST_CHECKERS:
                self._checkers.clear()
            self._checkers[key] = _checker_of(schema)
        return self._checkers[key]


def _checker_of(schema: object) -> Checker | None:
    try:
        return Checker(schema)
    except SchemaProblem:
        return None

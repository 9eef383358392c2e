"""Strings that match a regular expression, written by walking Python's own parse of it.

Random only through the `Random` it is given; all work is bounded.
"""

import itertools
import math
import re
import string
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from random import Random
from typing import Any

from mock_server.protocol.expression import OverLimit, allowance, judged, merged, parse, shown

_PER_DRAFT = 10  # parts of a pattern for whose price a text is begun, and judged
_CHARS_PER_PART = 6  # that are chosen from one class for the price of a part
_MOST_SAMPLES = 1_000
_LONGEST = 100_000
_ALNUM = string.ascii_letters + string.digits
_PRINTABLE = _ALNUM + string.punctuation + " "
_FURTHER = "\n\t\u00e9\u4e2d"


def matching(
    pattern: str, rng: Random, shortest: int = 0, longest: int = _LONGEST, preferred: Iterable[str] = ()
) -> str | None:
    """A string in which `re.search(pattern, ...)` finds something, `shortest` to `longest` characters long.

    The first of `preferred` that will do, else one written for the pattern; empty only if nothing else was
    found, None if not even that: the pattern is broken, or asks for more than a bounded search gives. Where the request
    has no more to spend on patterns, what is left of `preferred` is taken unjudged.
    Lookarounds are skipped while writing and only checked at the end: enough for the usual "has a digit".
    """
    empty: str | None = None
    try:
        allowance().read(pattern)
        for text in itertools.chain(preferred, _drafts(_read(pattern), rng, shortest)):
            if shortest <= len(text) <= longest and fits(pattern, text):
                if text:
                    return text
                empty = text
    except OverLimit as limit:
        allowance().left_unjudged(f"the pattern {shown(pattern)}", limit)
        return next((text for text in preferred if shortest <= len(text) <= longest), empty)
    except (re.error, OverflowError, RecursionError, _TooMuch):
        return empty
    return empty


def fits(pattern: object, text: str) -> bool:
    """Whether `text` matches a client's pattern somewhere, or nobody can tell in time; False for a broken pattern."""
    if not isinstance(pattern, str):
        return False
    try:
        return judged(pattern, text) is not False
    except (re.error, OverflowError, RecursionError):
        return False


def literal(pattern: str) -> str:
    """The longest plain text that every match of a pattern holds; empty where none is plain to see."""
    runs = [""]
    for op, argument in parse(pattern):
        if op.name == "LITERAL":
            runs[-1] += chr(argument)
        else:
            runs.append("")
    return max(runs, key=len)


class _Pattern:
    """A parsed pattern, and the letters of its classes, which are worked out when first needed."""

    def __init__(self, source: str) -> None:
        self.nodes = parse(source)
        self._letters: dict[int, str] = {}

    def letters(self, members: Any) -> str:
        """The characters of a class to choose from."""
        if id(members) not in self._letters:
            self._letters[id(members)] = _members(members)
        return self._letters[id(members)]


_read = lru_cache(maxsize=64)(_Pattern)


def _drafts(pattern: _Pattern, rng: Random, shortest: int) -> Iterator[str]:
    """Texts with short open repeats first, then with repeats as long as `shortest` needs. Raises OverLimit."""
    for _ in range(8):
        yield _Draft(pattern, rng, 3, exact=False).text()
    bare, longer = (_Draft(pattern, Random(1), spread, exact=True).text() for spread in (0, 1))
    yield bare
    # The length grows by the same step with every extra repetition, unless open repeats are nested.
    step = max(1, len(longer) - len(bare))
    spread = math.ceil((shortest - len(bare)) / step)
    if spread > 0:
        yield _Draft(pattern, Random(1), spread, exact=True).text()
        for _ in range(8):
            yield _Draft(pattern, rng, 2 * spread, exact=False).text()


class _TooMuch(Exception):
    """The pattern asks for more characters than a bounded search writes."""


class _Draft:
    """One walk over a parsed pattern. `spread`: how far a repeat exceeds its minimum, at most or exactly."""

    def __init__(self, pattern: _Pattern, rng: Random, spread: int, *, exact: bool) -> None:
        self.rng = rng
        self.groups: dict[int, str] = {}
        self._pattern = pattern
        self._spread = spread
        self._exact = exact
        self._left = self._had = allowance().parts

    def text(self) -> str:
        """What is written. Raises OverLimit, _TooMuch."""
        try:
            return self.sequence(self._pattern.nodes)
        finally:
            allowance().write(self._had - self._left + _PER_DRAFT)

    def sequence(self, nodes: Any) -> str:
        return "".join([self._node(op.name, argument) for op, argument in nodes])

    def times(self, low: int, high: int) -> int:
        most = min(high, low + self._spread)
        if low > _LONGEST:
            raise _TooMuch
        return most if self._exact else self.rng.randint(low, most)

    def one_of(self, members: Any) -> str:
        return self.rng.choice(self._pattern.letters(members))

    def many_of(self, members: Any, times: int) -> str:
        self._take(times // _CHARS_PER_PART)
        letters, choice = self._pattern.letters(members), self.rng.choice
        return "".join([choice(letters) for _ in range(times)])

    def _node(self, name: str, argument: Any) -> str:
        self._take(1)
        write = _WRITERS.get(name)
        return write(self, argument) if write else ""

    def _take(self, parts: int) -> None:
        self._left -= parts
        if self._left < 0:
            raise _TooMuch


def _subpattern(draft: _Draft, argument: Any) -> str:
    group, nodes = argument[0], argument[-1]
    written = draft.sequence(nodes)
    if group is not None:
        draft.groups[group] = written
    return written


def _repeat(draft: _Draft, argument: Any) -> str:
    low, high, nodes = argument
    times = draft.times(low, high)
    if len(nodes) == 1 and nodes[0][0].name == "IN":
        return draft.many_of(nodes[0][1], times)
    return "".join([draft.sequence(nodes) for _ in range(times)])


def _conditional(draft: _Draft, argument: Any) -> str:
    group, then, otherwise = argument
    return draft.sequence((then if group in draft.groups else otherwise) or [])


# Anchors and lookarounds are not here: they write nothing.
_WRITERS: dict[str, Callable[[_Draft, Any], str]] = {
    "LITERAL": lambda draft, code: chr(code),
    "NOT_LITERAL": lambda draft, code: draft.rng.choice([char for char in _ALNUM if ord(char) != code]),
    "ANY": lambda draft, _: draft.rng.choice(_ALNUM),
    "IN": _Draft.one_of,
    "BRANCH": lambda draft, argument: draft.sequence(draft.rng.choice(argument[1])),
    "SUBPATTERN": _subpattern,
    "ATOMIC_GROUP": _Draft.sequence,
    "MAX_REPEAT": _repeat,
    "MIN_REPEAT": _repeat,
    "POSSESSIVE_REPEAT": _repeat,
    "GROUPREF": lambda draft, group: draft.groups.get(group, ""),
    "GROUPREF_EXISTS": _conditional,
}


def _members(members: Any) -> str:
    """The characters of a class to choose from: letters and digits if it has any, else printable ones."""
    tests = [(op.name, argument) for op, argument in members if op.name != "NEGATE"]
    wanted = len(tests) == len(members)
    ranges = merged([(arg, arg) if op == "LITERAL" else arg for op, arg in tests if op != "CATEGORY"])
    kinds = {argument.name for op, argument in tests if op == "CATEGORY"}

    def is_inside(char: str) -> bool:
        held = any(low <= ord(char) <= high for low, high in ranges) or any(_in_category(char, kind) for kind in kinds)
        return held is wanted

    for tier in (_ALNUM, _PRINTABLE):
        if inside := "".join(filter(is_inside, tier)):
            return inside
    further = "".join(filter(is_inside, _FURTHER)) + (_samples(tests) if wanted else "")
    if not further:
        raise _TooMuch
    return further


def _samples(tests: list[tuple[str, Any]]) -> str:
    """Characters of the ranges and literals outside of the printable ASCII ones."""
    ends = [{"LITERAL": (argument, argument), "RANGE": argument}.get(op, (0, -1)) for op, argument in tests]
    codes = (code for low, high in ends for code in range(max(low, 127), min(high, max(low, 127) + 25) + 1))
    return "".join(map(chr, itertools.islice(codes, _MOST_SAMPLES)))


def _in_category(char: str, name: str) -> bool:
    """`name` is "CATEGORY_DIGIT" or "CATEGORY_NOT_DIGIT"."""
    kind = name.removeprefix("CATEGORY_")
    return _CATEGORY[kind.removeprefix("NOT_")](char) is not kind.startswith("NOT_")


_CATEGORY: dict[str, Callable[[str], bool]] = {
    "DIGIT": str.isdigit,
    "SPACE": str.isspace,
    "WORD": lambda char: char.isalnum() or char == "_",
}

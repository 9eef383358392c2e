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

from mock_server.protocol.expression import OverLimit, allowance, judged, parse, shown

_MOST_STEPS = 20_000
_LONGEST = 100_000
_ALNUM = string.ascii_letters + string.digits
_PRINTABLE = _ALNUM + string.punctuation + " "
_FURTHER = "\n\t\u00e9\u4e2d"


def matching(
    pattern: str, rng: Random, shortest: int = 0, longest: int = _LONGEST, preferred: Iterable[str] = ()
) -> str | None:
    """A string in which `re.search(pattern, ...)` finds something, `shortest` to `longest` characters long.

    The first of `preferred` that will do, else one written for the pattern; empty only if nothing else was
    found, None if not even that: the pattern is broken, or asks for more than a bounded search gives.
    Lookarounds are skipped while writing and only checked at the end: enough for the usual "has a digit".
    """
    empty: str | None = None
    try:
        allowance().read(pattern)
    except OverLimit as limit:
        allowance().left_unjudged(f"the pattern {shown(pattern)}", limit)
        return next((text for text in preferred if shortest <= len(text) <= longest), None)
    try:
        tree = _tree(pattern)
        for text in itertools.chain(preferred, _drafts(tree, rng, shortest)):
            if shortest <= len(text) <= longest and fits(pattern, text):
                if text:
                    return text
                empty = text
    except (re.error, OverflowError, RecursionError, _TooMuch):
        return empty
    return empty


_tree = lru_cache(maxsize=64)(parse)


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


def _drafts(tree: Any, rng: Random, shortest: int) -> Iterator[str]:
    """Texts with short open repeats first, then with repeats as long as `shortest` needs."""
    for _ in range(8):
        yield _PatternWriter(rng, 3, exact=False).sequence(tree)
    bare, longer = (_PatternWriter(Random(1), spread, exact=True).sequence(tree) for spread in (0, 1))
    yield bare
    # The length grows by the same step with every extra repetition, unless open repeats are nested.
    step = max(1, len(longer) - len(bare))
    spread = math.ceil((shortest - len(bare)) / step)
    if spread > 0:
        yield _PatternWriter(Random(1), spread, exact=True).sequence(tree)
        for _ in range(8):
            yield _PatternWriter(rng, 2 * spread, exact=False).sequence(tree)


class _TooMuch(Exception):
    """The pattern asks for more characters than a bounded search writes."""


class _PatternWriter:
    """One walk over a parsed pattern. `spread`: how far a repeat exceeds its minimum, at most or exactly."""

    def __init__(self, rng: Random, spread: int, *, exact: bool) -> None:
        self.rng = rng
        self.groups: dict[int, str] = {}
        self._spread = spread
        self._exact = exact
        self._left = _MOST_STEPS + 4 * spread
        self._classes: dict[int, str] = {}

    def sequence(self, nodes: Any) -> str:
        return "".join([self._node(op.name, argument) for op, argument in nodes])

    def times(self, low: int, high: int) -> int:
        most = min(high, low + self._spread)
        if low > _LONGEST:
            raise _TooMuch
        return most if self._exact else self.rng.randint(low, most)

    def one_of(self, members: Any) -> str:
        # The walk meets one class again for every repetition of it.
        if id(members) not in self._classes:
            self._classes[id(members)] = _members(members)
        return self.rng.choice(self._classes[id(members)])

    def _node(self, name: str, argument: Any) -> str:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch
        write = _WRITERS.get(name)
        return write(self, argument) if write else ""


def _subpattern(writer: _PatternWriter, argument: Any) -> str:
    group, nodes = argument[0], argument[-1]
    written = writer.sequence(nodes)
    if group is not None:
        writer.groups[group] = written
    return written


def _repeat(writer: _PatternWriter, argument: Any) -> str:
    low, high, nodes = argument
    return "".join([writer.sequence(nodes) for _ in range(writer.times(low, high))])


def _conditional(writer: _PatternWriter, argument: Any) -> str:
    group, then, otherwise = argument
    return writer.sequence((then if group in writer.groups else otherwise) or [])


# Anchors and lookarounds are not here: they write nothing.
_WRITERS: dict[str, Callable[[_PatternWriter, Any], str]] = {
    "LITERAL": lambda writer, code: chr(code),
    "NOT_LITERAL": lambda writer, code: writer.rng.choice([char for char in _ALNUM if ord(char) != code]),
    "ANY": lambda writer, _: writer.rng.choice(_ALNUM),
    "IN": _PatternWriter.one_of,
    "BRANCH": lambda writer, argument: writer.sequence(writer.rng.choice(argument[1])),
    "SUBPATTERN": _subpattern,
    "ATOMIC_GROUP": _PatternWriter.sequence,
    "MAX_REPEAT": _repeat,
    "MIN_REPEAT": _repeat,
    "POSSESSIVE_REPEAT": _repeat,
    "GROUPREF": lambda writer, group: writer.groups.get(group, ""),
    "GROUPREF_EXISTS": _conditional,
}


def _members(members: Any) -> str:
    """The characters of a class to choose from: letters and digits if it has any, else printable ones."""
    tests = [(op.name, argument) for op, argument in members if op.name != "NEGATE"]
    wanted = len(tests) == len(members)
    candidates = _PRINTABLE + _FURTHER + "".join(_samples(tests))
    inside = [char for char in candidates if any(_MEMBER[op](char, arg) for op, arg in tests) is wanted]
    if not inside:
        raise _TooMuch
    tiers = ([char for char in inside if char in tier] for tier in (_ALNUM, _PRINTABLE))
    return "".join(next(filter(None, tiers), inside))


def _samples(tests: list[tuple[str, Any]]) -> Iterator[str]:
    """Characters of the ranges and literals outside of the printable ASCII ones."""
    for op, argument in tests:
        low, high = {"LITERAL": (argument, argument), "RANGE": argument}.get(op, (0, -1))
        yield from (chr(code) for code in range(max(low, 127), min(high, max(low, 127) + 25) + 1))


def _in_category(char: str, *name: str) -> bool:
    """`name` is ("DIGIT",) or ("NOT", "DIGIT")."""
    return _CATEGORY[name[-1]](char) is (len(name) == 1)


_MEMBER: dict[str, Callable[[str, Any], bool]] = {
    "LITERAL": lambda char, code: ord(char) == code,
    "RANGE": lambda char, ends: ends[0] <= ord(char) <= ends[1],
    "CATEGORY": lambda char, category: _in_category(char, *category.name.split("_")[1:]),
}

_CATEGORY: dict[str, Callable[[str], bool]] = {
    "DIGIT": str.isdigit,
    "SPACE": str.isspace,
    "WORD": lambda char: char.isalnum() or char == "_",
}

"""Regular expressions that can hang: found before they run, by asking whether a text can be read in many ways.

Python's `re` goes back and tries again. Where one stretch of text fits a repeat in many ways, a text that nearly
matches takes exponential time, and nothing can stop it. The method is the usual one: the automaton of an expression's
places (Glushkov), and in its product with itself a way from a pair of equal states back through a pair of others.
"""

import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

MAX_PLACES = 400
_FEW = 24  # places up to which repeats are compared exactly
_MANY = 10  # from here on a bounded repeat is taken for an endless one
_SAMPLES = "aZ0_ \n-.,;:!?/\\'\"()[]{}<>@#%&*+=|~^$é中"


@lru_cache(maxsize=4_096)
def explosive(pattern: str, flags: int = 0) -> str | None:
    """Why an expression can take exponential time, and what to do; None for one that cannot."""
    try:
        trees = list(_trees(pattern, flags))
    except (re.error, OverflowError, RecursionError):
        return None  # no expression at all: its own mistake
    for tree in trees:
        if len(tree.places) > MAX_PLACES:
            return f"it has more than {MAX_PLACES} places; write it shorter"
        if tree.ambiguous or _loops_twice(tree):
            return (
                f"a text that nearly fits {pattern!r} can be read in so many ways that the search never ends; "
                "let each character belong to one repeat only"
            )
    return None


@lru_cache(maxsize=4_096)
def degree(pattern: str, flags: int = 0) -> int:
    """How many endless repeats can share one text, one after another: the power of its length in the worst case."""
    try:
        return max((_most(tree) for tree in _trees(pattern, flags)), default=0)
    except (re.error, OverflowError, RecursionError):
        return 0


# -- the automaton --------------------------------------------------------------------------------------------------


@dataclass
class _Tree:
    """The places of an expression, the characters each takes (as a bit mask of samples), and what may follow what."""

    samples: str
    ignore_case: bool
    dot_all: bool
    places: list[int] = field(default_factory=list)
    follow: dict[tuple[int, int], set[int]] = field(default_factory=dict)
    ambiguous: bool = False
    inner: list[Any] = field(default_factory=list)
    repeats: int = 0
    doubles: int = 0
    loops: list[tuple[set[int], set[int]]] = field(default_factory=list)

    def place(self, mask: int) -> int:
        self.places.append(mask)
        return len(self.places) - 1

    def link(self, before: Iterable[int], after: Iterable[int], why: int) -> None:
        """`after` may follow `before`; two repeats that both say so can share out a text between them."""
        late = tuple(after)
        for one in before:
            for other in late:
                self.follow.setdefault((one, other), set()).add(why)


@dataclass
class _Part:
    """A part of an expression: whether it can be empty, its first and its last places."""

    empty: bool
    first: set[int]
    last: set[int]


def _parse(pattern: str, flags: int) -> Any:
    module = "re._parser" if sys.version_info >= (3, 11) else "sre_parse"
    return importlib.import_module(module).parse(pattern, flags)


def _trees(pattern: str, flags: int) -> Iterator[_Tree]:
    """The automaton of an expression, and those of its lookarounds and atomic groups, which run by themselves."""
    parsed = _parse(pattern, flags)
    flags |= parsed.state.flags
    samples = "".join(dict.fromkeys(_SAMPLES + "".join(_literals(parsed))))[:512]
    waiting = [parsed]
    while waiting:
        tree = _Tree(samples, bool(flags & re.IGNORECASE), bool(flags & re.DOTALL))
        _sequence(tree, waiting.pop())
        waiting += tree.inner
        yield tree


def _literals(nodes: Any) -> Iterator[str]:
    for op, argument in nodes:
        if op.name in ("LITERAL", "NOT_LITERAL"):
            yield from _around(argument, argument)
        elif op.name == "IN":
            for member, value in argument:
                if member.name in ("LITERAL", "RANGE"):
                    yield from _around(*(value if member.name == "RANGE" else (value, value)))
        else:
            for inner in _inside(op.name, argument):
                yield from _literals(inner)


def _around(low: int, high: int) -> Iterator[str]:
    for code in (low, high, low - 1, high + 1):
        if 0 <= code <= 0x10FFFF:
            yield chr(code)
            yield from chr(code).swapcase()


def _inside(name: str, argument: Any) -> list[Any]:
    """The expressions inside a node."""
    if name == "BRANCH":
        return list(argument[1])
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return [argument[2]]
    if name == "SUBPATTERN":
        return [argument[-1]]
    if name in ("ASSERT", "ASSERT_NOT"):
        return [argument[1]]
    if name == "GROUPREF_EXISTS":
        return [one for one in argument[1:] if one is not None]
    return [argument] if name == "ATOMIC_GROUP" else []


def _sequence(tree: _Tree, nodes: Any) -> _Part:
    whole = _Part(True, set(), set())
    for op, argument in nodes:
        if len(tree.places) > MAX_PLACES:
            return whole
        part = _part(tree, op.name, argument)
        tree.link(whole.last, part.first, 0)
        whole = _Part(
            whole.empty and part.empty,
            whole.first | part.first if whole.empty else whole.first,
            whole.last | part.last if part.empty else part.last,
        )
    return whole


def _part(tree: _Tree, name: str, argument: Any) -> _Part:
    if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
        place = tree.place(_mask(tree, name, argument))
        return _Part(False, {place}, {place})
    if name in ("BRANCH", "GROUPREF_EXISTS"):
        parts = [_sequence(tree, one) for one in _inside(name, argument)]
        empty = any(one.empty for one in parts) or name != "BRANCH"
        tree.doubles += sum(one.empty for one in parts) > 1  # (a|a) is read as a(|): two ways to go on
        return _Part(empty, set().union(*(one.first for one in parts)), set().union(*(one.last for one in parts)))
    if name == "SUBPATTERN":
        return _sequence(tree, argument[-1])
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        return _repeat(tree, *argument)
    if name in ("ASSERT", "ASSERT_NOT", "ATOMIC_GROUP", "POSSESSIVE_REPEAT"):
        tree.inner += _inside(name, argument)
        anything = (1 << len(tree.samples)) - 1
        places = {tree.place(anything)} if name in ("ATOMIC_GROUP", "POSSESSIVE_REPEAT") else set()
        return _Part(True, places, places)
    return _Part(True, set(), set())  # anchors; a group once more, which has one reading


def _repeat(tree: _Tree, low: int, high: Any, nodes: Any) -> _Part:
    doubles = tree.doubles
    part = _sequence(tree, nodes)
    if int(high) >= _MANY:
        tree.repeats += 1
        tree.ambiguous = tree.ambiguous or tree.doubles > doubles
        known = {(one, other) for one in part.last for other in part.first if _looped(tree, one, other)}
        tree.ambiguous = tree.ambiguous or bool(known)
        tree.link(part.last, part.first, tree.repeats)
        if int(high) > 1_000:
            tree.loops.append((part.first, part.last))
    return _Part(part.empty or low == 0, part.first, part.last)


def _looped(tree: _Tree, one: int, other: int) -> bool:
    """Whether a repeat inside this one already leads from one place to the other: the two share the text out."""
    return any(why > 0 for why in tree.follow.get((one, other), ()))


def _mask(tree: _Tree, name: str, argument: Any) -> int:
    return sum(1 << at for at, char in enumerate(tree.samples) if _takes(tree, name, argument, char))


def _takes(tree: _Tree, name: str, argument: Any, char: str) -> bool:
    if name == "ANY":
        return tree.dot_all or char != "\n"
    chars = {char, char.swapcase()} if tree.ignore_case else {char}
    if name in ("LITERAL", "NOT_LITERAL"):
        return any(ord(one) == argument for one in chars if len(one) == 1) is (name == "LITERAL")
    return any(_is_member(argument, one) for one in chars if len(one) == 1)


def _is_member(members: Any, char: str) -> bool:
    negated = bool(members[0][0].name == "NEGATE")
    return negated is not any(bool(_is_one(op.name, value, char)) for op, value in members if op.name != "NEGATE")


def _is_one(name: str, value: Any, char: str) -> bool:
    if name == "LITERAL":
        return bool(ord(char) == value)
    if name == "RANGE":
        low, high = value
        return bool(low <= ord(char) <= high)
    kind = str(value.name).removeprefix("CATEGORY_").removeprefix("UNI_").removeprefix("LOC_")
    tests = {"DIGIT": char.isdigit(), "SPACE": char.isspace(), "WORD": char.isalnum() or char == "_"}
    return not tests.get(kind.removeprefix("NOT_"), True) if kind.startswith("NOT_") else tests.get(kind, True)


# -- what can go wrong ----------------------------------------------------------------------------------------------


def _loops_twice(tree: _Tree) -> bool:
    """Whether one text can lead from a place back to itself in two ways."""
    after: dict[int, list[int]] = {}
    for one, other in tree.follow:
        after.setdefault(one, []).append(other)
    looping = [place for place in after if place in _reached(after, {place})]
    pairs: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for start in looping:
        different = {pair for pair in _pairs_from(tree, after, pairs, (start, start)) if pair[0] != pair[1]}
        if any((start, start) in _pairs_from(tree, after, pairs, pair) for pair in different):
            return True
    return False


def _reached(after: dict[int, list[int]], start: set[int]) -> set[int]:
    found: set[int] = set()
    waiting = list(start)
    while waiting:
        for other in after.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _pairs_from(
    tree: _Tree,
    after: dict[int, list[int]],
    known: dict[tuple[int, int], list[tuple[int, int]]],
    start: tuple[int, int],
) -> set[tuple[int, int]]:
    """The pairs of places that two readings of one text can come to."""
    found: set[tuple[int, int]] = set()
    waiting = [start]
    while waiting:
        pair = waiting.pop()
        if pair not in known:
            known[pair] = [
                (one, other)
                for one in after.get(pair[0], ())
                for other in after.get(pair[1], ())
                if tree.places[one] & tree.places[other]
            ]
        for following in known[pair]:
            if following not in found:
                found.add(following)
                waiting.append(following)
    return found


def _most(tree: _Tree) -> int:
    """1 for an endless repeat, one more for each further one that can take over part of what that one took."""
    after: dict[int, list[int]] = {}
    for one, other in tree.follow:
        after.setdefault(one, []).append(other)
    looping = sorted({place for first, last in tree.loops for place in first | last})
    if not looping:
        return 0
    if len(tree.places) > _FEW:
        return len(tree.loops)
    shares = {one: [other for other in looping if other != one and _shares(tree, after, one, other)] for one in looping}
    return 1 + _longest(shares, set(looping))


def _longest(shares: dict[int, list[int]], left: set[int]) -> int:
    """The most steps from one place to the next that shares with it."""
    steps = 0
    reached = left
    while reached := {other for one in reached for other in shares[one]}:
        steps += 1
        if steps >= len(shares):
            break
    return steps


def _shares(tree: _Tree, after: dict[int, list[int]], one: int, other: int) -> bool:
    """Whether some text can be read by staying at one place, by going over to the other, and by staying there."""
    start, end = (one, one, other), (one, other, other)
    found: set[tuple[int, int, int]] = set()
    waiting = [start]
    while waiting:
        here = waiting.pop()
        for first in after.get(here[0], ()):
            for second in after.get(here[1], ()):
                both = tree.places[first] & tree.places[second]
                for third in after.get(here[2], ()) if both else ():
                    following = (first, second, third)
                    if both & tree.places[third] and following not in found:
                        if following == end:
                            return True
                        found.add(following)
                        waiting.append(following)
    return False

"""What an author wrote: JSON values that know their line and column. And the mistakes found in it."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple, TypeGuard

from mock_server.protocol.errors import excerpt
from mock_server.records import dataclass

MOST_NAMES = 10  # that a mistake lists
MOST_SHOWN = 100  # mistakes of one run; the others are counted
MOST_DIGITS = 4300  # of a whole number: what Python writes and reads (its int_max_str_digits)
MOST_DEPTH = 100  # levels of lists and mappings
MOST_VALUES = 500_000
_TOO_LARGE = 10**MOST_DIGITS
_LONGEST = 1000  # characters of a message, from its beginning and from its end
_SURROGATE = re.compile("[\ud800-\udfff]")

Path = tuple[str | int, ...]
# what is well-formed but wrong: the path to it, and what to say
Mistakes = Iterator[tuple[Path, str]]


class Position(NamedTuple):
    """A place in a file, both counted from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Node:
    """One value. Lists hold nodes, objects hold nodes by key; `keys` has the places of the keys themselves."""

    value: Any
    position: Position | None = None
    keys: dict[str, Position | None] = field(default_factory=dict)

    def plain(self) -> Any:
        """The value as ordinary JSON data."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def count(self) -> int:
        """How many values it is made of."""
        inner: Iterable[Node] = ()
        if isinstance(self.value, dict | list):
            inner = self.value.values() if isinstance(self.value, dict) else self.value
        counts: list[int] = [item.count() for item in inner]
        return 1 + sum(counts)

    def under(self, key: str) -> "Node":
        """A mapping that has this value under one key: what a shorthand stands for."""
        return Node({key: self}, self.position, {key: self.position})

    def without(self, *keys: str) -> "Node":
        """A mapping without some of its keys."""
        return Node({key: item for key, item in self.value.items() if key not in keys}, self.position, self.keys)

    def get(self, key: str) -> Any:
        """The value under a key; None where this is no mapping or has no such key."""
        return self.value[key].value if isinstance(self.value, dict) and key in self.value else None

    def find(self, path: Sequence[str | int]) -> Position | None:
        """The place of what `path` leads to, or of the last thing on the way that is there."""
        mark, node = self.position, self
        for step in path:
            if isinstance(step, str) and isinstance(node.value, dict) and step in node.value:
                node, mark = node.value[step], node.keys.get(step) or node.value[step].position
            elif isinstance(step, int) and isinstance(node.value, list) and step < len(node.value):
                node = node.value[step]
                mark = node.position
            else:
                break
        return mark


# what other YAML takes for a truth
_TRUTHS = {**dict.fromkeys(("yes", "on", "y", "true"), "true"), **dict.fromkeys(("no", "off", "n", "false"), "false")}


def unlike(node: Node, wanted: str) -> str:
    """That a value is of another kind than the one wanted (`text`, `a number`, `true or false`), and what to write."""
    value = node.value
    text = f"expected {wanted}, got {kind(node)}"
    if wanted == "text" and isinstance(value, int | float):
        return f'{text}; write it in quotes: "{spelled(value)}"'
    if isinstance(value, str):
        text += f" {excerpt(value, 40)!r}"
        truth = _TRUTHS.get(value.lower()) if wanted == "true or false" else None
        if wanted == "a whole number":
            return f"{text}; write one such as 1"
        return f"{text}; write {truth}" if truth else text
    return text


def spelled(value: Any) -> str:
    """A single value as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def wrap(value: Any) -> Node:
    """Plain data, as a Python caller gives it, as nodes without places."""
    if isinstance(value, Mapping):
        return Node({str(key): wrap(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return Node([wrap(item) for item in value])
    return Node(value)


def is_int(value: object) -> TypeGuard[int]:
    """Whether it is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a mapping"}


def kind(node: Node) -> str:
    """What a value is, in an author's words."""
    return "nothing" if node.value is None else _KINDS.get(type(node.value), type(node.value).__name__)


class NoNumber(str):
    """`.nan` or `.inf` as YAML has them, without quotes: a text, but where a number of JSON may be meant."""


def unfit(value: Any) -> str | None:
    """Why a single value is not JSON that every client can read; None when it is."""
    if isinstance(value, str):
        found = None if value.isascii() else _SURROGATE.search(value)
        return f"half a character (the lone surrogate U+{ord(found[0]):04X})" if found else None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value} is no number of JSON"
    if isinstance(value, int):
        return f"a number of more than {MOST_DIGITS:,} digits" if abs(value) >= _TOO_LARGE else None
    return None if value is None else f"a value of type {type(value).__name__} is no JSON"


def all_unfit(data: Any) -> Iterator[tuple[str, str]]:
    """Where plain data is not JSON that every client can read, and why. Functions may stand where a reply does.

    Raises ValueError for data that is too deep or too large to look at, or that holds itself.
    """
    left: list[tuple[str, Any, int, bool]] = [("$", data, 0, False)]
    seen = 0
    while left:
        path, value, depth, in_block = left.pop()
        seen += 1
        if depth > MOST_DEPTH or seen > MOST_VALUES:
            raise ValueError(f"nested more than {MOST_DEPTH} levels deep, or more than {MOST_VALUES:,} values")
        if isinstance(value, Mapping):
            in_block = in_block or "type" in value
            yield from ((path, f"a key: {why}") for key in value if (why := unfit(str(key))) is not None)
            left += [(f"{path}.{key}", item, depth + 1, in_block) for key, item in reversed(list(value.items()))]
        elif isinstance(value, list | tuple):
            left += [(f"{path}[{at}]", value[at], depth + 1, in_block) for at in range(len(value) - 1, -1, -1)]
        elif (in_block or not callable(value)) and (why := unfit(value)) is not None:
            yield path, why


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where, and what is wrong. Or several that are only counted."""

    source: str
    position: Position | None
    text: str
    count: int = 1

    def __str__(self) -> str:
        place = f":{self.position.line}:{self.position.column}" if self.position else ""
        return f"{self.source}{place}: {self.text}"


class ScenarioError(Exception):
    """The author's mistakes, one line each: the first hundred, then how many more there are. `well`: the scenarios that
    load all the same."""

    __module__ = "mock_server"  # as its users know it, and reports of tests name it

    def __init__(self, problems: Iterable[Problem], well: Sequence[Any] = ()) -> None:
        # each once: what is wrong with the states of a file is wrong in each of its scenarios
        self.problems = _shown(tuple(dict.fromkeys(problems)))
        self.well = tuple(well)
        super().__init__("\n".join(map(str, self.problems)))


def _shown(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    first, left = problems[:MOST_SHOWN], problems[MOST_SHOWN:]
    count = sum(one.count for one in left)
    if count <= 1:  # or it is the count of one file
        return problems
    source = left[0].source if len({one.source for one in left}) == 1 else "in all files"
    return (*first, Problem(source, None, f"{count:,} more mistakes", count))


@dataclass
class Problems:
    """Collects the mistakes found in one source."""

    source: str
    found: list[Problem] = field(default_factory=list)

    def add(self, at: Node | Position | None, text: str) -> None:
        mark = at.position if isinstance(at, Node) else at
        if len(text) > 2 * _LONGEST:
            text = f"{text[:_LONGEST]} […] {text[-_LONGEST:]}"
        self.found.append(Problem(self.source, mark, text))

    def add_key(self, node: Node, key: str, text: str) -> None:
        """A mistake about a key, at the place of the key itself."""
        self.add(node.keys.get(key) or node, text)

    def unknown(self, node: Node, key: str, known: Iterable[str], noun: str) -> None:
        """A key that is none of those known."""
        self.add_key(node, key, f"unknown key '{key}' in {noun}{self.one_of(key, known)}")

    def raise_found(self) -> None:
        """Raises ScenarioError with the mistakes, if there are any."""
        __tracebackhide__ = True
        if self.found:
            raise ScenarioError(self.found)

    def place(self, at: Node) -> str:
        """Where a node stands, for what can go wrong with it later."""
        return f"{self.source}:{at.position.line}" if at.position else self.source

    def meant(self, wrong: str, known: Iterable[str]) -> str | None:
        """The known word that was meant, if any; looked for as long as mistakes are shown."""
        from mock_server.scenario.advice import meant  # only mistakes need it

        return meant(wrong, known) if len(self.found) < MOST_SHOWN else None

    def one_of(self, wrong: str, known: Iterable[str]) -> str:
        """The same as the function's; no word is looked for once there are more mistakes than are shown."""
        words = list(known)
        return one_of(wrong, words) if len(self.found) < MOST_SHOWN else f"; expected one of {listed(words)}"


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing when no known word is close."""
    from mock_server.scenario.advice import Sight, difference, meant  # only mistakes need it

    close = meant(wrong, known)
    if close is None or wrong.isascii():
        return "" if close is None else f"; did you mean '{close}'?"
    apart = difference(close, Sight(wrong))
    if apart is None and wrong.split() == [close]:
        apart = f"it has a space beside it that is none of YAML's, U+{ord(next(filter(str.isspace, wrong))):04X}"
    more = "" if apart is None else f" {apart[0].upper()}{apart[1:]}."
    return f"; did you mean '{close}'?{more}"


def one_of(wrong: str, known: Iterable[str], more: str = "") -> str:
    """What to say behind a word that is none of those known: `; did you mean 'x'? Expected one of a, b`.

    `more`: what it may be beside them.
    """
    words = list(known)
    close = suggestion(wrong, words)
    return f"{close} Expected one of {listed(words)}{more}" if close else f"; expected one of {listed(words)}{more}"


def listed(words: Sequence[str]) -> str:
    """The first ten of some words, and how many more there are."""
    left = len(words) - MOST_NAMES
    return ", ".join(words) if left <= 0 else f"{', '.join(words[:MOST_NAMES])} or {left} more"


def several(count: int, noun: str) -> str:
    """`1 scenario`, `2 scenarios`, `1,000 replies`."""
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else many}"

"""Conditions on a request, and the operators they test with. To add an operator, add a row to `OPERATORS`.

A condition answers `holds` (fast, stops at the first no) and `match` (complete, says what was wanted and what came).
"""

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Union

from mock_server.protocol.lazy import lazy
from mock_server.protocol.request import Block, MessagesRequest, result_text


class Said:
    """A text made of parts, such as the text blocks of a turn. Folded: lower case, white space collapsed."""

    def __init__(self, parts: Sequence[str]) -> None:
        self.parts = parts
        self.text = parts[0] if len(parts) == 1 else "\n".join(parts)

    @lazy
    def folded(self) -> str:
        return fold(self.text)


_COLLAPSED = ("\n", "  ", "\t", "\r", "\v", "\f")


def fold(text: str) -> str:
    """Lower case, white space collapsed. Text that has nothing to collapse takes the short way."""
    if text.isascii() and not any(map(text.__contains__, _COLLAPSED)):
        return text.strip(" ").lower()
    return " ".join(text.split()).lower()


class Asked:
    """What every condition on one request shares; worked out when first asked for."""

    def __init__(
        self, request: MessagesRequest, headers: Mapping[str, str], last: Sequence[Block], results: Sequence[Block]
    ) -> None:
        self.request = request
        self.headers = headers
        self._last = last
        self.results = results

    @lazy
    def system(self) -> Said:
        return Said([self.request.system])

    @lazy
    def last_message(self) -> Said:
        """The newest turn, the text of tool results included."""
        return Said([result_text(b) if b["type"] == "tool_result" else b.get("text", "") for b in self._last])

    @lazy
    def called(self) -> Mapping[str, str]:
        """tool_use id -> the tool's name, over the whole conversation."""
        return {
            block["id"]: block["name"]
            for message in self.request.messages
            if not isinstance(message["content"], str)
            for block in message["content"]
            if block["type"] == "tool_use"
        }


class Facts(NamedTuple):
    """What a condition is asked about: the request, the prompt at one human turn, in cases the place in the script."""

    asked: Asked
    prompt: Said
    turn: int = 0
    attempt: int = 0

    def at(self, turn: int, attempt: int) -> "Facts":
        return self._replace(turn=turn, attempt=attempt)


@dataclass(frozen=True, slots=True)
class Miss:
    """One condition that did not hold. `exact`: the two whole texts, where one had to equal the other."""

    condition: str
    wanted: str
    got: str
    exact: tuple[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.condition}: wanted {self.wanted}, got {self.got}"


@dataclass(frozen=True, slots=True)
class Match:
    """Whether it held, how far off it was (0: held, 1: nothing did), and every condition that failed."""

    ok: bool
    distance: float = 0.0
    misses: tuple[Miss, ...] = ()

    @property
    def reason(self) -> str:
        return "; ".join(map(str, self.misses))


def short(value: object, limit: int = 80) -> str:
    """A value as an explanation shows it."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


# -- operators: (value, wanted) -> bool, both plain ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Operator:
    """One test of one text."""

    name: str
    wanted: Any
    test: Callable[[Any], bool]

    def __str__(self) -> str:
        return f"{self.name} {short(self.wanted)}"


def _equals(wanted: Any, ignore_case: bool) -> Callable[[Any], bool]:
    if not isinstance(wanted, str) or not ignore_case:
        return lambda value: bool(value == wanted)
    return lambda value: value.lower() == wanted.lower()


def _contains(wanted: str, ignore_case: bool) -> Callable[[str], bool]:
    if not ignore_case:
        return lambda value: wanted in value
    return lambda value: wanted.lower() in value.lower()


def _regex(wanted: str, ignore_case: bool) -> Callable[[str], bool]:
    search = re.compile(wanted, re.IGNORECASE if ignore_case else 0).search
    return lambda value: search(value) is not None


def glob(wanted: str, ignore_case: bool) -> Callable[[str], bool]:
    found = re.compile(fnmatch.translate(wanted), re.IGNORECASE if ignore_case else 0).match
    return lambda value: found(value) is not None


OPERATORS: Mapping[str, Callable[[Any, bool], Callable[[Any], bool]]] = {
    "equals": _equals,
    "contains": _contains,
    "regex": _regex,
    "glob": glob,
}


# -- conditions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Test:
    """One subject: the test it has to pass, and how what was wanted and what came are told."""

    __test__ = False  # not a test class, whatever pytest thinks

    subject: str
    said: str
    test: Callable[[Facts], bool]
    got: Callable[[Facts], str]
    exact: "tuple[str, Callable[[Facts], str]] | None" = None

    def holds(self, facts: Facts) -> bool:
        return self.test(facts)

    def match(self, facts: Facts) -> Match:
        if self.test(facts):
            return Match(True)
        exact = None if self.exact is None else (self.exact[0], self.exact[1](facts))
        return Match(False, 1.0, (Miss(self.subject, self.said, self.got(facts), exact),))


@dataclass(frozen=True, slots=True)
class All:
    """Every condition must hold; an empty one always does."""

    conditions: tuple["Condition", ...] = ()

    def holds(self, facts: Facts) -> bool:
        return all(condition.holds(facts) for condition in self.conditions)

    def match(self, facts: Facts) -> Match:
        found = [condition.match(facts) for condition in self.conditions]
        misses = tuple(miss for one in found for miss in one.misses)
        return Match(not misses, sum(one.distance for one in found) / max(1, len(found)), misses)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One condition must hold."""

    conditions: tuple["Condition", ...]

    def holds(self, facts: Facts) -> bool:
        return any(condition.holds(facts) for condition in self.conditions)

    def match(self, facts: Facts) -> Match:
        found = [condition.match(facts) for condition in self.conditions]
        if any(one.ok for one in found):
            return Match(True)
        misses = tuple(miss for one in found for miss in one.misses)
        return Match(False, min(one.distance for one in found), misses)


@dataclass(frozen=True, slots=True)
class Not:
    """The condition must not hold."""

    condition: "Condition"

    def holds(self, facts: Facts) -> bool:
        return not self.condition.holds(facts)

    def match(self, facts: Facts) -> Match:
        if self.holds(facts):
            return Match(True)
        return Match(False, 1.0, (Miss("not", "the condition not to hold", "it holds"),))


@dataclass(frozen=True, slots=True)
class Named:
    """Holds for no request by itself: only one that names the scenario gets it."""

    def holds(self, facts: Facts) -> bool:
        return False

    def match(self, facts: Facts) -> Match:
        return Match(False, 1.0, (Miss("when", "to be named", "no name"),))


Condition = Union[Test, All, AnyOf, Not, Named]  # noqa: UP007 - the classes name it before it exists

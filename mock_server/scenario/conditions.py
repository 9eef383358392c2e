"""Conditions on a request. A condition answers `holds` (fast, stops at the first no), `match` (complete: what was
wanted, what came, how far off) and `captures` (what the named groups of its regular expressions found).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Union

from mock_server.protocol.lazy import lazy
from mock_server.protocol.request import Block, MessagesRequest, result_text
from mock_server.records import dataclass


class SearchedText:
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


class RequestView:
    """What every condition on one request shares; worked out when first asked for."""

    def __init__(
        self, request: MessagesRequest, headers: Mapping[str, str], last: Sequence[Block], results: Sequence[Block]
    ) -> None:
        self.request = request
        self.headers = headers
        self._last = last
        self.results = results

    @lazy
    def system(self) -> SearchedText:
        return SearchedText([self.request.system])

    @lazy
    def last_message(self) -> SearchedText:
        """The newest turn, the text of tool results included."""
        return SearchedText([result_text(b) if b["type"] == "tool_result" else b.get("text", "") for b in self._last])

    @lazy
    def called(self) -> Mapping[str, str]:
        """tool_use id -> the tool's name, over the whole conversation."""
        return {id: block["name"] for id, block in self.calls.items()}

    @lazy
    def calls(self) -> Mapping[str, Block]:
        """tool_use id -> the call, over the whole conversation."""
        return {
            block["id"]: block
            for message in self.request.messages
            if not isinstance(message["content"], str)
            for block in message["content"]
            if block["type"] == "tool_use"
        }


class ConditionContext(NamedTuple):
    """What a condition is asked about: the request, the prompt at one human turn, in cases the place in the script."""

    view: RequestView
    prompt: SearchedText
    turn: int = 0
    attempt: int = 0

    def at(self, turn: int, attempt: int) -> "ConditionContext":
        return self._replace(turn=turn, attempt=attempt)


@dataclass(frozen=True, slots=True)
class Miss:
    """One condition that did not hold. `exact`: the two whole texts, where one had to equal the other; `said`: what is
    told instead of these words."""

    condition: str
    wanted: str
    got: str
    exact: tuple[str, str] | None = None
    said: str = ""

    def __str__(self) -> str:
        return self.said or f"{self.condition}: wanted {self.wanted}, got {self.got}"

    def as_json(self) -> dict[str, str]:
        """The same as JSON."""
        return {"condition": self.condition, "wanted": self.wanted, "got": self.got}


@dataclass(frozen=True, slots=True)
class Match:
    """Whether it held, how far off it was (0: held, 1: nothing did), and every condition that failed."""

    ok: bool
    distance: float = 0.0
    misses: tuple[Miss, ...] = ()

    @property
    def reason(self) -> str:
        return "; ".join(map(str, self.misses))


# -- conditions ---------------------------------------------------------------------------------------------------


_NOTHING: Mapping[str, str] = {}


class Exact(NamedTuple):
    """One place of a request where one of these texts must stand: its name, what is read there."""

    place: str
    read: Callable[[ConditionContext], Sequence[Any]]
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Test:
    """One subject: the test it has to pass, and how what was wanted and what came are told.

    `far`: how far off a text is that failed. `captures`: what its named `groups` found. `needs`: folded texts of which
    one must stand in the prompt for this to hold at all; none when nothing can be said; `last_needs`: the same of the
    last message; `exact_at`: a place where a text must stand. `of_shape`: model, tools, stream, tool_choice and system
    prompt alone decide it; `of_result`: it asks for a tool's result; `headers`: those that it asks about, and nothing
    else.
    """

    __test__ = False  # not a test class, whatever pytest thinks

    subject: str
    description: str
    holds: Callable[[ConditionContext], bool]
    got: Callable[[ConditionContext], str]
    exact: "tuple[str, Callable[[ConditionContext], str]] | None" = None
    far: Callable[[ConditionContext], float] = lambda facts: 1.0
    captures: Callable[[ConditionContext], Mapping[str, str]] = lambda facts: _NOTHING
    groups: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    of_shape: bool = False
    of_result: bool = False
    headers: tuple[str, ...] = ()
    last_needs: tuple[str, ...] = ()
    exact_at: Exact | None = None

    @property
    def subjects(self) -> frozenset[str]:
        """What it asks about."""
        return frozenset((self.subject,))

    @property
    def descriptions(self) -> tuple[str, ...]:
        """The condition in words."""
        return (f"{self.subject}: {self.description}",)

    def match(self, facts: ConditionContext) -> Match:
        if self.holds(facts):
            return Match(True)
        exact = None if self.exact is None else (self.exact[0], self.exact[1](facts))
        return Match(False, self.far(facts), (Miss(self.subject, self.description, self.got(facts), exact),))


@dataclass(frozen=True, slots=True)
class _Several:
    """Conditions taken together."""

    conditions: tuple["Condition", ...] = ()

    @property
    def groups(self) -> frozenset[str]:
        return frozenset().union(*(condition.groups for condition in self.conditions))

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset().union(*(condition.subjects for condition in self.conditions))

    @property
    def of_shape(self) -> bool:
        return all(condition.of_shape for condition in self.conditions)


class All(_Several):
    """Every condition must hold; an empty one always does."""

    __slots__ = ()

    @property
    def descriptions(self) -> tuple[str, ...]:
        return tuple(line for condition in self.conditions for line in condition.descriptions)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the prompt needs for the part that is hardest to meet."""
        return max((condition.needs for condition in self.conditions), key=_hardest, default=())

    @property
    def last_needs(self) -> tuple[str, ...]:
        """The same of the last message."""
        return max((condition.last_needs for condition in self.conditions), key=_hardest, default=())

    @property
    def exact_at(self) -> Exact | None:
        """A place where a text must stand; the first that there is."""
        return next((one.exact_at for one in self.conditions if one.exact_at is not None), None)

    def holds(self, facts: ConditionContext) -> bool:
        return all(condition.holds(facts) for condition in self.conditions)

    def match(self, facts: ConditionContext) -> Match:
        found = [condition.match(facts) for condition in self.conditions]
        misses = tuple(miss for one in found for miss in one.misses)
        return Match(not misses, sum(one.distance for one in found) / max(1, len(found)), misses)

    def captures(self, facts: ConditionContext) -> Mapping[str, str]:
        return {name: text for one in self.conditions for name, text in one.captures(facts).items()}


def _hardest(needs: tuple[str, ...]) -> int:
    return min(map(len, needs), default=0)


def _any_of(needs: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """What is needed where one of several must hold: nothing can be said when one of them needs nothing."""
    parts = list(needs)
    return tuple(text for part in parts for text in part) if all(parts) else ()


class AnyOf(_Several):
    """One condition must hold."""

    __slots__ = ()

    @property
    def descriptions(self) -> tuple[str, ...]:
        return ("any of: " + " | ".join(" and ".join(condition.descriptions) for condition in self.conditions),)

    @property
    def needs(self) -> tuple[str, ...]:
        return _any_of(condition.needs for condition in self.conditions)

    @property
    def last_needs(self) -> tuple[str, ...]:
        return _any_of(condition.last_needs for condition in self.conditions)

    @property
    def exact_at(self) -> Exact | None:
        """None, as another of them may hold."""
        return None

    def holds(self, facts: ConditionContext) -> bool:
        return any(condition.holds(facts) for condition in self.conditions)

    def match(self, facts: ConditionContext) -> Match:
        found = [condition.match(facts) for condition in self.conditions]
        if any(one.ok for one in found):
            return Match(True)
        misses = tuple(miss for one in found for miss in one.misses)
        return Match(False, min(one.distance for one in found), misses)

    def captures(self, facts: ConditionContext) -> Mapping[str, str]:
        return next((one.captures(facts) for one in self.conditions if one.holds(facts)), _NOTHING)


@dataclass(frozen=True, slots=True)
class Not:
    """The condition must not hold."""

    condition: "Condition"
    groups: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    last_needs: tuple[str, ...] = ()
    exact_at: Exact | None = None

    @property
    def subjects(self) -> frozenset[str]:
        return self.condition.subjects

    @property
    def of_shape(self) -> bool:
        return self.condition.of_shape

    @property
    def descriptions(self) -> tuple[str, ...]:
        return (f"not: {' and '.join(self.condition.descriptions)}",)

    def holds(self, facts: ConditionContext) -> bool:
        return not self.condition.holds(facts)

    def match(self, facts: ConditionContext) -> Match:
        if self.holds(facts):
            return Match(True)
        return Match(False, 1.0, (Miss("not", f"not {' and '.join(self.condition.descriptions)}", "it holds"),))

    def captures(self, facts: ConditionContext) -> Mapping[str, str]:
        return _NOTHING


@dataclass(frozen=True, slots=True)
class OnlyNamed:
    """Holds for no request by itself: only one that names the scenario gets it."""

    descriptions: tuple[str, ...] = ("only when it is named",)
    subjects: frozenset[str] = frozenset()
    of_shape: bool = True
    groups: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    last_needs: tuple[str, ...] = ()
    exact_at: Exact | None = None

    def holds(self, facts: ConditionContext) -> bool:
        return False

    def match(self, facts: ConditionContext) -> Match:
        return Match(False, 1.0, (Miss("when", "to be named", "no name"),))

    def captures(self, facts: ConditionContext) -> Mapping[str, str]:
        return _NOTHING


Condition = Union[Test, All, AnyOf, Not, OnlyNamed]  # noqa: UP007 - the classes name it before it exists

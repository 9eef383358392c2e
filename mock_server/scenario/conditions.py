"""Conditions on a request, and the states that they can name. A condition answers `holds` (fast, stops at the first
no), `match` (complete: what was wanted, what came, how far off) and `captures` (what the named groups of its
regular expressions found).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Union

from mock_server.records import dataclass
from mock_server.scenario.conversation import ConditionContext
from mock_server.scenario.node import Mistakes, Node, Position, Problems, kind, one_of

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Miss:
    """One condition that did not hold. `exact`: the two whole texts, where one had to equal the other; `text`: a
    sentence in place of these words."""

    condition: str
    wanted: str
    got: str
    exact: tuple[str, str] | None = None
    text: str = ""

    def __str__(self) -> str:
        return self.text or f"{self.condition}: wanted {self.wanted}, got {self.got}"

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


class Exact(NamedTuple):
    """One place of a request where one of these texts must stand: its name, what is read there."""

    place: str
    read: Callable[[ConditionContext], Sequence[Any]]
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Test:
    """One subject: the test it has to pass, and the words for what was wanted and what came.

    `far`: how far off a text is that failed. `captures`: what its named `groups` found. `needs`: folded texts of which
    one must stand in the prompt for this to hold at all; none when nothing can be said; `last_needs`: the same of the
    last message; `exact_at`: a place where a text must stand. `of_shape`: model, tools, stream, tool_choice and system
    prompt alone decide it; `of_result`: it looks at a tool's result; `headers`: those that it looks at, and nothing
    else; `endpoints`: those that a request must have come to.
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
    endpoints: frozenset[str] | None = None
    needs_suffice: bool = False  # it holds wherever one of its `needs` stands in the folded prompt

    @property
    def subjects(self) -> frozenset[str]:
        """What it looks at."""
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

    def _matches(self, facts: ConditionContext, together: Callable[[Iterable[bool]], bool]) -> Iterator[Match]:
        """How each did; of very many the first ones, and whether the others held `together`: all, or any of them."""
        yield from (condition.match(facts) for condition in self.conditions[:MOST_MATCHED])
        if rest := self.conditions[MOST_MATCHED:]:
            holds = together(condition.holds(facts) for condition in rest)
            yield Match(True) if holds else Match(False, 1.0, (Miss(*_OTHERS),))


MOST_MATCHED = 100  # conditions that stand beside one another, of which each is told when it did not hold
_OTHERS = "the others", "to hold", "they did not"


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
        found = list(self._matches(facts, all))
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
        found = list(self._matches(facts, any))
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


def endpoints_of(when: Condition | None) -> frozenset[str] | None:
    """The endpoints that a condition is about; None where it says nothing of them."""
    if isinstance(when, Test):
        return when.endpoints
    sets = [endpoints_of(one) for one in when.conditions] if isinstance(when, All) else []
    named = [one for one in sets if one is not None]
    return frozenset.intersection(*named) if named else None


# -- states -----------------------------------------------------------------------------------------------------------
#
# What a request cannot show, such as whether a service is up. A file declares them at its top (`states:`), conditions
# name them (`when: {state: …}`), answers move them (`then: {state: …}`).

MOST = 100  # states of a file, and values of a state


@dataclass(frozen=True)
class State:
    """A state as it is declared: the values that it can have, and the one that it has at first."""

    values: tuple[str, ...]
    initial: str

    def __str__(self) -> str:
        return f"{{values: [{', '.join(self.values)}], initial: {self.initial}}}"


States = Mapping[str, State]
NO_STATES: States = {}


class Moved(NamedTuple):
    """A state that an exchange has moved."""

    state: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.state}: {self.before} -> {self.after}"


# -- how they are declared --------------------------------------------------------------------------------------------


def read_states(node: Node, problems: Problems) -> States:
    """`{service: [up, down]}`, the first of them initial; or `{service: {values: [up, down], initial: down}}`."""
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node, f"expected a mapping such as {{service: [up, down]}}, got {kind(node)}")
        return NO_STATES
    if len(node.value) > MOST:
        problems.add(node, f"{MOST} states at most, got {len(node.value)}")
        return NO_STATES
    found = {}
    for name, item in node.value.items():
        if not name.strip() or not name.isprintable():
            problems.add_key(node, name, f"a state's name is one line of text, got {name!r}")
        state = _state(name, item, problems)
        if state is not None:
            found[name] = state
    return found


def _state(name: str, node: Node, problems: Problems) -> State | None:
    listed, first = node, None
    if isinstance(node.value, dict):
        for key in node.value:
            if key not in _KEYS:
                problems.unknown(node, key, _KEYS, "a state")
        if "values" not in node.value:
            problems.add(node, f"state '{name}' has no values; expected {{values: [up, down], initial: up}}")
            return None
        listed, first = node.value["values"], node.value.get("initial")
    values = _values(name, listed, problems)
    if not values:
        return None
    if first is None:
        return State(values, values[0])
    return State(values, first.value) if _is_one(name, first, values, problems) else None


_KEYS = ("values", "initial")


def _values(name: str, node: Node, problems: Problems) -> tuple[str, ...]:
    if not isinstance(node.value, list) or not 2 <= len(node.value) <= MOST:
        got = f"{len(node.value)}" if isinstance(node.value, list) else kind(node)
        problems.add(node, f"state '{name}': expected a list of 2 to {MOST} values such as [up, down], got {got}")
        return ()
    before = len(problems.found)
    values: list[str] = []
    for item in node.value:
        if not isinstance(item.value, str) or not item.value.strip() or not item.value.isprintable():
            hint = "" if isinstance(item.value, str | list | dict) else "; write it in quotes"
            problems.add(item, f"state '{name}': a value is one line of text, got {kind(item)}{hint}")
        elif item.value in values:
            problems.add(item, f"state '{name}' has the value '{item.value}' twice")
        else:
            values.append(item.value)
    return tuple(values) if len(problems.found) == before else ()


def _is_one(name: str, node: Node, values: Sequence[str], problems: Problems) -> bool:
    if node.value not in values:
        problems.add(node, f"state '{name}' is never {node.plain()!r}{one_of(str(node.value), values)}")
    return node.value in values


# -- what stands in conditions and answers ----------------------------------------------------------------------------


def read_wanted(node: Node, problems: Problems) -> Mapping[str, tuple[str, ...]]:
    """The states of a condition: `{service: down}`, or several values of which one will do."""
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node, f"expected a mapping such as {{service: down}}, got {kind(node)}")
        return {}
    wanted = {}
    for name, item in node.value.items():
        listed = item.value if isinstance(item.value, list) else [item]
        if not listed or not all(isinstance(one.value, str) for one in listed):
            problems.add(item, f"expected a value of state '{name}' or a list of them, got {kind(item)}")
        else:
            wanted[name] = tuple(one.value for one in listed)
    return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Then:
    """What comes of an answer."""

    state: Mapping[str, Any]
    """The states that it moves, and where to: {service: up}."""

    def mistakes(self) -> Mistakes:
        if not self.state:
            yield ("state",), "expected a mapping such as {service: up}"
        for name, value in self.state.items():
            if not isinstance(value, str):
                yield ("state", name), f"expected one value of state '{name}'"


def undeclared(name: str, states: States, *, is_python: bool) -> str:
    """That there is no state of this name, and how its author declares one."""
    if states:
        return f"no state '{name}'{one_of(name, states)}"
    how = f'declare it with states={{"{name}": ["up", "down"]}}'
    return f"no state '{name}'; {how if is_python else 'declare it at the top: states: {NAME: [up, down]}'}"


def check_states(node: Node, states: States, problems: Problems) -> None:
    """Report every state and value of a scenario that nothing declares, at its place: to authors in Python, whose nodes
    have none, in the words of Python."""
    for name, at, item in states_in(node):
        if name not in states:
            problems.add(at, undeclared(name, states, is_python=item.position is None))
            continue
        for one in item.value if isinstance(item.value, list) else [item]:
            if isinstance(one.value, str):
                _is_one(name, one, states[name].values, problems)


def states_in(node: Node) -> Iterator[tuple[str, Position | None, Node]]:
    """Every state that a scenario, written out, names or moves: its name, the place of that, and the values."""
    for key, item in node.value.items() if isinstance(node.value, dict) else ():
        if key == "state" and isinstance(item.value, dict):
            yield from ((name, item.keys.get(name) or item.position, one) for name, one in item.value.items())
        elif key in _HOLDING:
            for one in item.value if isinstance(item.value, list) else [item]:
                yield from states_in(one)


# where a state can stand: in conditions, in what comes of an answer, and in the answers that hold these
_HOLDING = ("when", "expect", "all", "any", "not", "then", "turns", "cases", "attempts")


# -- where those of several files and scenarios meet ------------------------------------------------------------------


def merged(declared: Iterable[tuple[str, States]]) -> tuple[States, tuple[tuple[str, str], ...]]:
    """The states of several declarations, each with where it stands; and (where, what) of those that say otherwise."""
    found: dict[str, tuple[str, State]] = {}
    clashes = []
    for source, states in declared:
        for name, state in states.items():
            first, known = found.setdefault(name, (source, state))
            if known != state:
                clashes.append((source, f"state '{name}' is {state} here; {known} in {first}"))
    return {name: state for name, (_, state) in found.items()}, tuple(clashes)

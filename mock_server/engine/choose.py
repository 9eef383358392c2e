"""Scenarios + request + session -> Choice, or NoMatch with the near misses. Pure: nothing is counted here."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mock_server.engine import seeds
from mock_server.engine.library import Library
from mock_server.engine.session import Cursors
from mock_server.engine.turns import NAMED, conversed, position
from mock_server.protocol.errors import invalid
from mock_server.protocol.lazy import lazy
from mock_server.protocol.request import MessagesRequest
from mock_server.records import dataclass
from mock_server.scenario.answer import Answer
from mock_server.scenario.match import Asked, Condition, Facts, Miss
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import suggestion

NAMES = b"[[scenario:"
NEAR_MISSES = 3


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A scenario that did not answer, how far off it was (0 to 1), and every condition that failed."""

    scenario: str
    distance: float
    misses: tuple[Miss, ...]

    def __str__(self) -> str:
        return f"{self.scenario}: {'; '.join(map(str, self.misses))}"

    def told(self) -> dict[str, Any]:
        """The same as JSON."""
        misses = [one.told() for one in self.misses]
        return {"scenario": self.scenario, "distance": round(self.distance, 3), "misses": misses}


class Choice(NamedTuple):
    """The reply or error that answers, and where it stands: turn and attempt counted from 1.

    `attempts` is how many the story of this turn has; `begins` says that one of the exchanges that `times` limits
    begins here.
    """

    scenario: Scenario
    answer: Answer
    turn: int
    attempt: int
    attempts: int = 1
    begins: bool = False
    anchor: int = 0
    case: Answer | None = None

    def conditions(self, asked: "Question") -> "Iterator[tuple[Condition, Facts]]":
        """The conditions on the way to this answer, each with what it was asked about."""
        if self.scenario.when is not None:
            yield self.scenario.when, asked.at(self.anchor)
        here = asked.newest.at(self.turn, self.attempt)
        for answer in (self.scenario.turns[self.turn - 1], self.case):
            for condition in () if answer is None else (answer.when, answer.expect):
                if condition is not None:
                    yield condition, here

    def captures(self, asked: "Question") -> dict[str, str]:
        """What those conditions captured: the scenario's at its anchor, then those of its turn and case."""
        return {name: text for one, facts in self.conditions(asked) for name, text in one.captures(facts).items()}

    def unmet(self, asked: "Question") -> tuple[Miss, ...]:
        """What the request was expected to be like and is not."""
        here = asked.newest.at(self.turn, self.attempt)
        expected = (answer.expect for answer in (self.scenario.turns[self.turn - 1], self.case, self.answer) if answer)
        found = [condition.match(here).misses for condition in dict.fromkeys(expected) if condition is not None]
        return tuple(miss for misses in found for miss in misses)


class NoMatch:
    """Nobody answers. Why is worked out only when it is asked: a generated reply does not need it."""

    def __init__(self, explain: Callable[[], Iterable[NearMiss]]) -> None:
        self._explain = explain

    @lazy
    def near_misses(self) -> tuple[NearMiss, ...]:
        """The nearest scenarios, nearest first."""
        return tuple(sorted(self._explain(), key=lambda miss: miss.distance)[:NEAR_MISSES])

    def __str__(self) -> str:
        lines = [f"  {miss}" for miss in self.near_misses] or ["  no scenario is loaded that answers unnamed requests"]
        return "\n".join(["No scenario matches this request. Nearest:", *lines])


class Question:
    """One request as scenarios are asked about it.

    `asked`: what it asks of every condition; `talk`: its turns; `newest`: it at its newest human turn;
    `retries`: how often the client says that it came before. `were_counts_read`: somebody has looked at how often what
    came before, so the same request may be answered otherwise the next time.
    """

    __slots__ = (
        "_counts", "_facts", "asked", "key", "newest", "request", "retries", "seed", "talk", "were_counts_read",
    )  # fmt: skip

    def __init__(
        self, request: MessagesRequest, headers: Mapping[str, str], key: str, cursors: Cursors, seed: int | None = None
    ) -> None:
        talk = conversed(request)
        results = talk.newest_results if request.has_blocks else ()
        retries = headers.get("x-stainless-retry-count", "0")
        newest = talk.human[-1]
        self.request = request
        self.asked = Asked(request, headers, talk.turns[-1].content, results)
        self.talk = talk
        self.key = key
        self.retries = int(retries) if retries.isdecimal() and len(retries) < 4 else 0
        self.seed = seed
        self.newest = Facts(self.asked, talk.turns[newest].said)
        self.were_counts_read = False
        self._facts = {newest: self.newest}
        self._counts = cursors

    @property
    def cursors(self) -> Cursors:
        """How often what came before."""
        self.were_counts_read = True
        return self._counts

    def at(self, turn: int) -> Facts:
        """The request as it is at one human turn; made once, however many scenarios ask."""
        facts = self._facts.get(turn)
        if facts is None:
            facts = self._facts[turn] = Facts(self.asked, self.talk.turns[turn].said)
        return facts

    def older(self) -> Sequence[Facts]:
        """The request as it is at the human turns before the newest."""
        return [self.at(turn) for turn in self.talk.human[:-1]]

    def draw(self, scenario: str, turn: int) -> float:
        """What chance decides by in one turn of a script, from 0 to 1: the same for the same request, time by time."""
        n = self.cursors.drawn.get((self.key, scenario, self.request.fingerprint), 0)
        seed = seeds.exchange_seed(self.seed, self.key, self.request.fingerprint, n)
        return seeds.chance(seed, f"{scenario} {turn}")


@dataclass(frozen=True, slots=True)
class Named:
    """The scenario a request names, and the human turn that carries the name (None: a header or the system prompt)."""

    name: str
    anchor: int | None


def choose(library: Library, asked: Question) -> Choice | NoMatch:
    """The first scenario (in order of precedence) that answers. One that is named is asked first, and only whether its
    script goes on; before it come only those for side calls. Raises ApiError for a name nobody has."""
    misses: list[NearMiss] = []
    sides = library.sides.likely(asked.newest) if library.has_sides else ()
    named = _name(asked)
    if named is not None:
        aside = _aside(sides, asked)
        if aside is not None:
            return aside
        scenario = library.by_name.get(named.name)
        if scenario is None:
            raise _unknown(named.name, library.by_name)
        found = _ask_named(scenario, asked, named)
        if isinstance(found, Choice):
            return found
        misses.append(found)
    candidates = library.index.candidates(asked.newest, asked.older)
    for scenario in library.sides.among(candidates, sides) if sides else candidates:
        known = named is not None and scenario.name == named.name
        anchor = None if known else _anchor(scenario, asked)
        if anchor is not None:
            found = _at(scenario, asked, anchor)
            if isinstance(found, Choice):
                return found
            misses.append(found)
    return NoMatch(lambda: [*misses, *_off(library.scenarios, asked, {miss.scenario for miss in misses})])


def _aside(sides: Iterable[Scenario], asked: Question) -> Choice | None:
    """The answer to a side call of an agent. The name it carries is meant for the conversation that it is about: in a
    header that goes out with every request, or in a prompt that a title is wanted for."""
    for scenario in sides:
        anchor = _anchor(scenario, asked)
        found = None if anchor is None else _at(scenario, asked, anchor)
        if isinstance(found, Choice):
            return found
    return None


def _name(asked: Question) -> Named | None:
    header = asked.asked.headers.get("x-mock-scenario")
    if header is not None:
        return Named(header, None)
    if not asked.request.may_have(NAMES):
        return None
    for at in reversed(asked.talk.human):
        if (found := _last_name(asked.talk.turns[at].said.text)) is not None:
            return Named(found, at)
    found = _last_name(asked.request.system)
    return None if found is None else Named(found, None)


def _last_name(text: str) -> str | None:
    names: list[str] = NAMED.findall(text) if "[[scenario:" in text else []
    return names[-1].strip() if names else None


def _unknown(name: str, known: Mapping[str, Scenario]) -> Exception:
    close = suggestion(name, known)
    some = ", ".join(sorted(known)[:20])
    return invalid(
        f"no scenario is named '{name}'{close or f'; known are {some}'}", headers={"x-should-retry": "false"}
    )


def _ask_named(scenario: Scenario, asked: Question, named: Named) -> Choice | NearMiss:
    anchor = named.anchor
    if anchor is None:
        anchor = asked.talk.human[0 if scenario.anchored_at == "conversation" else -1]
    return _at(scenario, asked, anchor)


def _anchor(scenario: Scenario, asked: Question) -> int | None:
    """The human turn that a scenario anchors to, by its `when`; None when that does not hold."""
    when, human = scenario.when, asked.talk.human
    if scenario.anchored_at != "conversation":
        return human[-1] if when is None or when.holds(asked.newest) else None
    return next((at for at in human if when is None or when.holds(asked.at(at))), None)


def _off(scenarios: Sequence[Scenario], asked: Question, told: Container[str]) -> Iterator[NearMiss]:
    """Which conditions of the scenarios did not hold at the newest human turn; but for those `told` of already, and
    those for side calls."""
    for scenario in scenarios:
        if scenario.when is None or scenario.named_only or scenario.side:
            continue
        if scenario.name not in told:
            match = scenario.when.match(asked.newest)
            yield NearMiss(scenario.name, match.distance, match.misses)


def _at(scenario: Scenario, asked: Question, anchor: int) -> Choice | NearMiss:
    """What a scenario answers from this anchor on: its turn, case and attempt."""
    if scenario.anchored_at == "session":
        reached = _next(scenario, asked)
    else:
        reached = position(asked.talk, anchor, scenario.tag, scenario.pauses, scenario.pinned)
    turns = scenario.turns
    turn = reached if reached <= len(turns) else _past_end(scenario, reached)
    if turn is None:
        return _miss(scenario, 0.1, "turn", f"1 to {len(turns)}", f"turn {reached} of {len(turns)}")
    attempt = asked.retries + 1  # as the client counts its retries, else as we have
    if attempt == 1 and scenario.counts_attempts[turn - 1]:
        attempt = asked.cursors.attempts.get((asked.key, scenario.name, turn, asked.request.fingerprint), 0) + 1
    answer = scenario.turns[turn - 1]
    if answer.cases is not None:
        found = _case(scenario, asked, answer.cases, turn, attempt, anchor)
    else:
        found = _leaf(scenario, answer, turn, attempt, anchor)
    return found if scenario.times is None or isinstance(found, NearMiss) else _once_more(found, asked, scenario.times)


def _once_more(choice: Choice, asked: Question, times: int) -> Choice | NearMiss:
    """Whether `times` lets another exchange begin; what is under way already always goes on."""
    scenario = choice.scenario
    if choice.turn > 1 or asked.retries > 0 or (choice.attempts > 1 and choice.attempt > 1):
        return choice
    begun = asked.cursors.begun.get((asked.key, scenario.name), 0)
    if begun >= times:
        return _miss(scenario, 0.1, "times", f"{times} at most", f"exchange {begun + 1}")
    return choice._replace(begins=True)


def _miss(scenario: Scenario, distance: float, condition: str, wanted: str, got: str) -> NearMiss:
    return NearMiss(scenario.name, distance, (Miss(condition, wanted, got),))


def _next(scenario: Scenario, asked: Question) -> int:
    """How far a script has come whose position is counted in the session: the same for the same request."""
    own = asked.cursors.order.get((asked.key, scenario.name, asked.request.fingerprint))
    return own or asked.cursors.seen.get((asked.key, scenario.name), 0) + 1


def _past_end(scenario: Scenario, reached: int) -> int | None:
    """The turn of the script that answers a position past its end, or None."""
    last = len(scenario.turns)
    if scenario.at_end == "repeat":
        return last
    if scenario.at_end == "loop":
        return (reached - 1) % last + 1
    if scenario.at_end == "error":
        raise invalid(
            f"scenario '{scenario.name}' is over: turn {reached} of {last}", headers={"x-should-retry": "false"}
        )
    return None


def _case(
    scenario: Scenario, asked: Question, cases: Iterable[Answer], turn: int, attempt: int, anchor: int
) -> Choice | NearMiss:
    """The first case that holds; in cases the prompt is that of the newest human turn."""
    facts = asked.newest.at(turn, attempt)
    misses: list[Miss] = []
    drawn = asked.draw(scenario.name, turn) if scenario.draws else 0.0
    passed = 0.0  # the chances of the cases that held so far: each case has its own part of the draw
    for case in cases:
        if case.when is not None and not case.when.holds(facts):
            misses += case.when.match(facts).misses
            continue
        passed += 0.0 if case.chance is None else case.chance
        if case.chance is None or drawn < passed:
            return _leaf(scenario, case, turn, attempt, anchor, case)
        misses.append(Miss("chance", f"{case.chance:.0%}", "not drawn"))
    return NearMiss(scenario.name, 0.2, (Miss("case", f"one of turn {turn} to hold", "none did"), *misses))


def _leaf(
    scenario: Scenario, answer: Answer, turn: int, attempt: int, anchor: int, case: Answer | None = None
) -> Choice:
    if answer.attempts is None:
        return Choice(scenario, answer, turn, attempt, anchor=anchor, case=case)
    last = len(answer.attempts)
    k = min(attempt, last)
    return Choice(scenario, answer.attempts[k - 1], turn, k, last, anchor=anchor, case=case)

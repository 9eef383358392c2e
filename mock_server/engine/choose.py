"""Scenarios + request + session -> Choice, or NoMatch with the near misses. Pure: nothing is counted here."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from mock_server.engine import seeds
from mock_server.engine.library import Library
from mock_server.engine.session import Cursors
from mock_server.protocol.errors import excerpt, invalid
from mock_server.protocol.expression import OverLimit
from mock_server.protocol.request import LONG, MessagesRequest
from mock_server.records import dataclass, lazy, quick
from mock_server.scenario.answer import Answer
from mock_server.scenario.conditions import Condition, Miss
from mock_server.scenario.conversation import (
    NAMED,
    WHOLE,
    ConditionContext,
    Conversation,
    RequestView,
    SearchedText,
    conversed,
    position,
)
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import listed, several, suggestion

_OPENS = "[[scenario:"
NAMES = _OPENS.encode()
_NAMED = "named"  # whether the rest of a body names a scenario
NEAR_MISSES = 3
MOST_ASKED = 1_000  # scenarios whose conditions are gone through when none holds
MOST_MISSES = 20  # of a scenario that a message tells
MOST_CASES_TOLD = 100  # conditions of cases that did not hold


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A scenario that did not answer, how far off it was (0 to 1), and every condition that failed."""

    scenario: str
    distance: float
    misses: tuple[Miss, ...]

    def __str__(self) -> str:
        more = len(self.misses) - MOST_MISSES
        told = [*map(str, self.misses[:MOST_MISSES]), *([f"and {more} more"] if more > 0 else ())]
        return f"{self.scenario}: {'; '.join(told)}"

    def as_json(self) -> dict[str, Any]:
        """The same as JSON."""
        misses = [one.as_json() for one in self.misses]
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

    def conditions(self, lookup: "Lookup") -> "Iterator[tuple[Condition, ConditionContext]]":
        """The conditions on the way to this answer, each with what it was asked about."""
        if self.scenario.when is not None:
            yield self.scenario.when, lookup.at(self.anchor)
        here = lookup.newest.at(self.turn, self.attempt)
        for answer in (self.scenario.turns[self.turn - 1], self.case):
            for condition in () if answer is None else (answer.when, answer.expect):
                if condition is not None:
                    yield condition, here

    def captures(self, lookup: "Lookup") -> dict[str, str]:
        """What those conditions captured: the scenario's at its anchor, then those of its turn and case."""
        return {name: text for one, facts in self.conditions(lookup) for name, text in one.captures(facts).items()}

    def unmet(self, lookup: "Lookup") -> tuple[Miss, ...]:
        """What the request was expected to be like and is not."""
        here = lookup.newest.at(self.turn, self.attempt)
        expected = (answer.expect for answer in (self.scenario.turns[self.turn - 1], self.case, self.answer) if answer)
        found = [condition.match(here).misses for condition in dict.fromkeys(expected) if condition is not None]
        return tuple(miss for misses in found for miss in misses)


_choice, _context = quick(Choice), quick(ConditionContext)


class NoMatch:
    """Nobody answers. Why is worked out only when it is asked: a generated reply does not need it."""

    def __init__(self, explain: Callable[[], Iterable[NearMiss]], of: str = "") -> None:
        """`of`: of how many it tells the nearest, where that is not all."""
        self._explain = explain
        self._of = of

    @lazy
    def near_misses(self) -> tuple[NearMiss, ...]:
        """The nearest scenarios, nearest first."""
        return tuple(sorted(self._explain(), key=lambda miss: miss.distance)[:NEAR_MISSES])

    def __str__(self) -> str:
        lines = [f"  {miss}" for miss in self.near_misses] or ["  no scenario is loaded that answers unnamed requests"]
        return "\n".join([f"No scenario matches this request. Nearest{self._of}:", *lines])


class Lookup:
    """One request as scenarios are asked about it.

    `prompt`: what is said in its newest human turn, which is number `turn`; `is_question`: that is all there is of it;
    `retries`: how often the client says that it came before. `were_counts_read`: somebody has looked at how often what
    came before, so the same request may be answered otherwise the next time.
    """

    is_question = True
    turn = 0
    retries = 0
    were_counts_read = False
    _talk: Conversation | None = None  # most never ask for it

    def __init__(
        self,
        request: MessagesRequest,
        headers: Mapping[str, str],
        key: str,
        cursors: Cursors,
        seed: int | None = None,
        states: Mapping[str, str] | None = None,
        endpoint: str = "messages",
    ) -> None:
        self.request = request
        self.headers = headers
        self.key = key
        self.seed = seed
        self._counts = cursors
        texts = request.question
        if texts is not None and len(request.raw) < LONG:
            self.prompt = SearchedText(texts)
        else:
            talk = self._talk = conversed(request)
            self.is_question, self.turn = talk.is_question, talk.human[-1]
            self.prompt = talk.turns[self.turn].text
        if _RETRIES in headers:
            count = headers[_RETRIES]
            self.retries = int(count) if count.isdecimal() and len(count) <= 3 else 0
        if states is not None:
            self.view.states, self.view.endpoint = states, endpoint

    @lazy
    def view(self) -> RequestView:
        """What it asks of every condition."""
        request = self.request
        if self.is_question:
            view = RequestView(request, self.headers)
        else:
            talk = self.conversation
            results = talk.newest_results if request.has_blocks else ()
            view = RequestView(request, self.headers, talk.turns[-1].content, results)
        if len(request.raw) >= LONG:
            vars(view).update(request.scanned.get(_AHEAD, {}))
        return view

    @lazy
    def newest(self) -> ConditionContext:
        """It at its newest human turn."""
        return _context((self.view, self.prompt, 0, 0))

    @lazy
    def _facts(self) -> dict[int, ConditionContext]:
        return {}

    @property
    def conversation(self) -> Conversation:
        """Its turns."""
        if self._talk is None:
            self._talk = conversed(self.request)
        return self._talk

    @property
    def cursors(self) -> Cursors:
        """How often what came before."""
        self.were_counts_read = True
        return self._counts

    def at(self, turn: int) -> ConditionContext:
        """The request as it is at one human turn; made once, however many scenarios ask."""
        if turn == self.turn:
            return self.newest
        facts = self._facts.get(turn)
        if facts is None:
            facts = self._facts[turn] = ConditionContext(self.view, self.conversation.turns[turn].text)
        return facts

    def older(self) -> Sequence[SearchedText]:
        """What was said in the human turns before the newest."""
        if self.is_question:
            return ()
        return [self.conversation.turns[turn].text for turn in self.conversation.human[:-1]]

    def draw(self, scenario: str, turn: int) -> float:
        """What chance decides by in one turn of a script, from 0 to 1: the same for the same request, time by time."""
        n = self.cursors.drawn.get((self.key, scenario, self.request.fingerprint), 0)
        seed = seeds.exchange_seed(self.seed, self.key, self.request.fingerprint, n)
        return seeds.chance(seed, f"{scenario} {turn}")


_RETRIES = "x-stainless-retry-count"
_AHEAD = "view"


def look_ahead(request: MessagesRequest, library: Library | None = None) -> None:
    """Work out what scenarios are asked about a long request, and what a reply made up for it goes by: in any thread.

    What is found is kept with the request, apart from what would hold the request itself. `library`: the scenarios that
    will most likely be asked.
    """
    asked = Lookup(request, request.headers, "", Cursors())
    view, talk = asked.view, asked.conversation
    _ = asked.prompt.folded, talk.turns[talk.human[-1]].topic
    _ = view.system.folded, view.last_message.folded, view.called
    for turn in talk.turns:
        _ = turn.minted, turn.is_human and turn.text.sought
    if library is not None:
        with suppress(OverLimit):  # whoever asks next comes to that, too
            _look_back(library, asked)
    request.scanned[WHOLE] = talk
    request.scanned[_AHEAD] = {name: value for name, value in vars(view).items() if name in _WORKED_OUT}


_WORKED_OUT = ("called", "calls", "last_message", "system")
_CHANGING = ("endpoint", "state")


def _look_back(library: Library, lookup: Lookup) -> None:
    """Ask the scenarios of whole conversations where in this one they begin, and how far their scripts have come: both
    take long in a long one. Not those whose answer hangs on more than the request."""
    talk = lookup.conversation
    anchors: dict[int, tuple[Scenario, int | None]] = {}
    talk.anchors, talk.positions = anchors, {}
    for scenario, _ in library.index.candidates(lookup):
        is_fixed = scenario.when is None or scenario.when.subjects.isdisjoint(_CHANGING)
        if scenario.anchored_at == "conversation" and is_fixed:
            anchor = _anchor(scenario, lookup)
            anchors[id(scenario)] = scenario, anchor
            if anchor is not None:
                position(talk, anchor, scenario.tag, scenario.pauses, scenario.pinned)


@dataclass(frozen=True, slots=True)
class NamedScenario:
    """The scenario a request names, and the human turn that carries the name (None: a header or the system prompt)."""

    name: str
    anchor: int | None


def choose(library: Library, lookup: Lookup) -> Choice | NoMatch:
    """The first scenario (in order of precedence) that answers. One that is named is asked first, and only whether its
    script goes on; before it come only those for side calls. Raises ApiError for a name nobody has."""
    misses: list[NearMiss] = []
    sides = library.side_calls.likely(lookup.newest) if library.has_sides else ()
    named = _name(lookup)
    if named is not None:
        found = _side_call(sides, lookup) or _named_choice(library, lookup, named)
        if isinstance(found, Choice):
            return found
        misses.append(found)
    candidates = library.index.candidates(lookup)
    for scenario, holds in library.side_calls.among(candidates, sides) if sides else candidates:
        if named is not None and scenario.name == named.name:
            continue
        anchor = lookup.turn if holds else _anchor(scenario, lookup)
        if anchor is not None:
            found = _at(scenario, lookup, anchor)
            if isinstance(found, Choice):
                return found
            misses.append(found)
    return _nobody(library, lookup, misses)


def _nobody(library: Library, lookup: Lookup, misses: Sequence[NearMiss]) -> NoMatch:
    """`misses`: those that were asked, and whose script does not go on."""
    asked = library.scenarios[:MOST_ASKED]
    of = "" if len(asked) == len(library.scenarios) else f" of the first {MOST_ASKED:,}"
    return NoMatch(lambda: [*misses, *_off(asked, lookup, {miss.scenario for miss in misses})], of)


def _side_call(sides: Iterable[Scenario], lookup: Lookup) -> Choice | None:
    """The answer to a side call of an agent. The name it carries is meant for the conversation that it is about: in a
    header that goes out with every request, or in a prompt that a title is wanted for."""
    for scenario in sides:
        anchor = _anchor(scenario, lookup)
        found = None if anchor is None else _at(scenario, lookup, anchor)
        if isinstance(found, Choice):
            return found
    return None


def _name(lookup: Lookup) -> NamedScenario | None:
    """The scenario that a request names, if it does."""
    request, headers = lookup.request, lookup.headers
    if "x-mock-scenario" in headers:
        return NamedScenario(headers["x-mock-scenario"], None)
    if lookup.is_question and "[" not in lookup.prompt.text:  # as most: a bracket is looked for in less time
        is_named = request.steady.get(_NAMED)
        if is_named is None:
            is_named = request.steady[_NAMED] = _OPENS in request.system
        if not is_named:
            return None
    if not request.may_have(NAMES):
        return None
    for at in reversed(lookup.conversation.human):
        if (found := _last_name(lookup.conversation.turns[at].text.text)) is not None:
            return NamedScenario(found, at)
    found = _last_name(request.system)
    return None if found is None else NamedScenario(found, None)


def _last_name(text: str) -> str | None:
    names: list[str] = NAMED.findall(text) if _OPENS in text else []
    return names[-1].strip() if names else None


_LONGEST_NAME = 100  # that is told back


def _unknown(name: str, known: Mapping[str, Scenario]) -> Exception:
    hint = suggestion(name, known) or f"; known are {listed(sorted(known))}"
    return invalid(f"no scenario is named '{excerpt(name, _LONGEST_NAME)}'{hint}")


def _named_choice(library: Library, lookup: Lookup, named: NamedScenario) -> Choice | NearMiss:
    """What the scenario of this name answers. Raises ApiError where there is none."""
    scenario = library.by_name.get(named.name)
    if scenario is None:
        raise _unknown(named.name, library.by_name)
    anchor = named.anchor
    if anchor is None:
        anchor = lookup.conversation.human[0 if scenario.anchored_at == "conversation" else -1]
    found, came = _at(scenario, lookup, anchor), lookup.view.endpoint
    if came not in scenario.endpoints:
        wanted = " or ".join(sorted(scenario.endpoints))
        return _miss(scenario, "endpoint", wanted, came, f"it is for {wanted}, this goes to {came}")
    return found


def _anchor(scenario: Scenario, lookup: Lookup) -> int | None:
    """The human turn that a scenario anchors to, by its `when`; None when that does not hold."""
    when = scenario.when
    if scenario.anchored_at != "conversation" or lookup.is_question:
        return lookup.turn if when is None or when.holds(lookup.newest) else None
    talk = lookup.conversation
    asked, anchor = talk.anchors.get(id(scenario), (None, None))
    if asked is scenario:
        return anchor
    return next((at for at in talk.human if when is None or when.holds(lookup.at(at))), None)


def _off(scenarios: Sequence[Scenario], lookup: Lookup, known: Container[str]) -> Iterator[NearMiss]:
    """Which conditions of the scenarios did not hold at the newest human turn; but for those `known` already, and
    those for side calls."""
    for scenario in scenarios:
        if scenario.when is None or scenario.named_only or scenario.is_side_call:
            continue
        if scenario.name not in known:
            match = scenario.when.match(lookup.newest)
            yield NearMiss(scenario.name, match.distance, match.misses)


def _at(scenario: Scenario, lookup: Lookup, anchor: int) -> Choice | NearMiss:
    """What a scenario answers from this anchor on: its turn, case and attempt."""
    opening = scenario.opening
    if opening is not None and lookup.is_question:
        return _choice((scenario, opening, 1, lookup.retries + 1, 1, False, anchor, None))
    if scenario.anchored_at == "session":
        reached = _next(scenario, lookup)
    elif lookup.is_question:
        reached = 1
    else:
        reached = position(lookup.conversation, anchor, scenario.tag, scenario.pauses, scenario.pinned)
    turns = scenario.turns
    turn = reached if reached <= len(turns) else _past_end(scenario, reached)
    if turn is None:
        return _over(scenario, reached)
    attempt = lookup.retries + 1  # as the client counts its retries, else as we have
    if attempt == 1 and scenario.counts_attempts[turn - 1]:
        attempt = lookup.cursors.attempts.get((lookup.key, scenario.name, turn, lookup.request.fingerprint), 0) + 1
    answer = scenario.turns[turn - 1]
    if answer.cases is not None:
        found = _case(scenario, lookup, answer.cases, turn, attempt, anchor)
    else:
        found = _leaf(scenario, answer, turn, attempt, anchor)
    return found if scenario.times is None or isinstance(found, NearMiss) else _once_more(found, lookup, scenario.times)


def choose_beside(library: Library, lookup: Lookup) -> Choice | None:
    """The first scenario that answers a request to another endpoint than those of messages; most have none."""
    for scenario in library.beside:
        if scenario.is_overlay or scenario.when is None or not scenario.when.holds(lookup.newest):
            continue
        attempt = lookup.retries + 1
        if attempt == 1 and scenario.counts_attempts[0]:
            attempt = lookup.cursors.attempts.get((lookup.key, scenario.name, 1, lookup.request.fingerprint), 0) + 1
        found = _leaf(scenario, scenario.turns[0], 1, attempt, 0)
        once = found if scenario.times is None else _once_more(found, lookup, scenario.times)
        if isinstance(once, Choice):
            return once
    return None


def _once_more(choice: Choice, lookup: Lookup, times: int) -> Choice | NearMiss:
    """Whether `times` lets another exchange begin; what is under way already always goes on."""
    scenario = choice.scenario
    if choice.turn > 1 or lookup.retries > 0 or (choice.attempts > 1 and choice.attempt > 1):
        return choice
    begun = lookup.cursors.begun.get((lookup.key, scenario.name), 0)
    if begun >= times:
        text = f"no reply is left: it answers {several(times, 'exchange')} at most, this is number {begun + 1}"
        return _miss(scenario, "times", f"{times} at most", f"exchange {begun + 1}", text)
    return choice._replace(begins=True)


def _over(scenario: Scenario, reached: int) -> NearMiss:
    """A script that has come to its end."""
    count = len(scenario.turns)
    if scenario.anchored_at == "session":
        text = f"no reply is left: {count} {'was' if count == 1 else 'were'} added, this is request {reached}"
    else:
        text = f"no reply is left: it has {several(count, 'turn')}, this is turn {reached}"
    return _miss(scenario, "turn", f"1 to {count}", f"turn {reached} of {count}", text)


def _miss(scenario: Scenario, condition: str, wanted: str, got: str, text: str) -> NearMiss:
    return NearMiss(scenario.name, 0.1, (Miss(condition, wanted, got, text=text),))


def _next(scenario: Scenario, lookup: Lookup) -> int:
    """How far a script has come whose position is counted in the session: the same for the same request."""
    own = lookup.cursors.order.get((lookup.key, scenario.name, lookup.request.fingerprint))
    return own or lookup.cursors.seen.get((lookup.key, scenario.name), 0) + 1


def _past_end(scenario: Scenario, reached: int) -> int | None:
    """The turn of the script that answers a position past its end, or None."""
    last = len(scenario.turns)
    if scenario.at_end == "repeat":
        return last
    if scenario.at_end == "loop":
        return (reached - 1) % last + 1
    if scenario.at_end == "error":
        raise invalid(f"scenario '{scenario.name}' is over: turn {reached} of {last}")
    return None


def _case(
    scenario: Scenario, lookup: Lookup, cases: Iterable[Answer], turn: int, attempt: int, anchor: int
) -> Choice | NearMiss:
    """The first case that holds; in cases the prompt is that of the newest human turn."""
    facts = lookup.newest.at(turn, attempt)
    misses: list[Miss] = []
    drawn = lookup.draw(scenario.name, turn) if scenario.draws else 0.0
    passed = 0.0  # the chances of the cases that held so far: each case has its own part of the draw
    for case in cases:
        if case.when is not None and not case.when.holds(facts):
            if len(misses) < MOST_CASES_TOLD:
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
        return _choice((scenario, answer, turn, attempt, 1, False, anchor, case))
    last = len(answer.attempts)
    k = min(attempt, last)
    return Choice(scenario, answer.attempts[k - 1], turn, k, last, anchor=anchor, case=case)

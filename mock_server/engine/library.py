"""The scenarios in force, in order of precedence, each compiled once, with the index that says which of them a request
can match. Immutable: a change is a new Library.

What depends on the client alone (model, tools, stream, system prompt, any results) is judged once for each such shape;
then a scenario is asked only when a text that its condition needs stands in the prompt or the last message, or where it
has to stand exactly. Where a condition is no more than that shape and one text of the prompt, it is known to hold then.
Both only ever leave out what cannot match, so the order and the answer are those of asking every scenario in turn.
"""

import heapq
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from mock_server.engine.compile import CompiledReply, has_slots, reply_of
from mock_server.protocol.profile import Profile
from mock_server.records import lazy
from mock_server.scenario.answer import Answer
from mock_server.scenario.conditions import All, Condition, Exact, Test, merged
from mock_server.scenario.conversation import ConditionContext
from mock_server.scenario.model import Scenario
from mock_server.scenario.subjects import MESSAGE_ENDPOINTS
from mock_server.scenario.timing import Pacing

if TYPE_CHECKING:
    from mock_server.engine.choose import Lookup
    from mock_server.engine.memory import Settled


class Candidate(NamedTuple):
    """A scenario that may answer. `holds`: its condition is known to hold; else it has to be asked."""

    scenario: Scenario
    holds: bool = False


# The scenarios for side calls, and which of them a request can match: of most requests none, told by headers alone.
#
# They are asked about every request, whatever it names, so what they cost the others has to be next to nothing.

MAX_SENDERS = 64
MAX_SETTLED = 256


class SideCalls:
    """Those of `scenarios` (in order of precedence) that are for side calls."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        self._rank = {one.name: at for at, one in enumerate(scenarios)}
        self._scenarios = [(one, _of_headers(one.when)) for one in scenarios if one.is_side_call]
        asked = {name for _, conditions in self._scenarios for one in conditions for name in one.headers}
        self._names = tuple(sorted(asked))
        self._left: OrderedDict[tuple[str | None, ...], tuple[Scenario, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._scenarios)

    def likely(self, facts: ConditionContext) -> tuple[Scenario, ...]:
        """The scenarios whose conditions on headers hold."""
        sender = tuple([facts.view.headers.get(name) for name in self._names])
        left = self._left.get(sender)
        if left is None:
            fitting = (one for one, conditions in self._scenarios if all(each.holds(facts) for each in conditions))
            left = self._left[sender] = tuple(fitting)
            if len(self._left) > MAX_SENDERS:
                self._left.popitem(last=False)
        return left

    def among(self, others: Iterable[Candidate], likely: tuple[Scenario, ...]) -> Iterable[Candidate]:
        """Both in order of precedence."""
        return heapq.merge(map(Candidate, likely), others, key=lambda one: self._rank[one.scenario.name])


def _of_headers(when: Condition | None) -> tuple[Test, ...]:
    """The conditions that headers alone decide and that must hold."""
    parts = when.conditions if isinstance(when, All) else (when,)
    return tuple(part for part in parts if isinstance(part, Test) and part.headers)


# Which scenarios a request can match at all: 200 of them cost little more than one.

MAX_LANES = 64
_LONGEST_SYSTEM = 100_000  # characters of a system prompt whose lane is remembered by it
_FEW = 16  # texts that are looked for one by one

_Shape = tuple[str, tuple[str, ...], bool, str, str, bool]


class _Texts:
    """Scenarios by the texts of which one must stand in what is said, for each of them."""

    def __init__(self) -> None:
        self.texts: dict[str, list[int]] = {}

    def add(self, needs: Iterable[str], at: int) -> None:
        for text in needs:
            self.texts.setdefault(text, []).append(at)

    def found(self, prompt: str) -> list[int]:
        """The places of the scenarios one of whose texts is there, in no order and some of them twice."""
        likely = self._likely(prompt) if len(self.texts) > _FEW else self.texts
        return [*chain.from_iterable(map(self.texts.__getitem__, filter(prompt.__contains__, likely)))]

    def _likely(self, prompt: str) -> Iterable[str]:
        """The texts that the words of what is said leave to be looked for."""
        by_opening, by_word, by_start, by_end, others = self._parts
        if by_opening:
            likely = []
            for words_in, texts in by_opening:
                likely += [text for word in texts.keys() & words_in(prompt) for text in texts[word]]
            return likely + others
        words = prompt.split()
        likely = [text for word in by_word.keys() & words for text in by_word[word]] if by_word else []
        for length, texts in by_start:
            likely += [text for part in texts.keys() & {word[:length] for word in words} for text in texts[part]]
        for length, texts in by_end:
            likely += [text for part in texts.keys() & {word[-length:] for word in words} for text in texts[part]]
        if len(others) > _FEW:
            different = set(words)
            if len(others) * _TRIPLE > sum(map(len, different)):  # to go through all letters is quicker
                triples = {word[at : at + _TRIPLE] for word in different for at in range(len(word) - _TRIPLE + 1)}
                known = self._triples
                return likely + [text for part in known.keys() & {*triples, ""} for text in known[part]]
        return likely + others

    @lazy
    def _parts(self) -> "_Parts":
        """The texts by the part of each that fewest others have: a whole word of it, or how its last word starts or its
        first one ends, since those may go on in the prompt. A text of a single word may stand anywhere in one. Where
        all that have a whole word begin alike but for it, by what stands before it.
        """
        having = Counter(part for text in self.texts for part in set(_parts_of(text)))
        by_word: dict[str, list[str]] = {}
        by_edge: dict[tuple[str, int], dict[str, list[str]]] = {}
        others: list[str] = []
        for text in self.texts:
            where, part = min(_parts_of(text), key=having.__getitem__, default=("", text))
            if not where:
                others.append(text)
            elif where == _WORD:
                by_word.setdefault(part, []).append(text)
            else:
                by_edge.setdefault((where, len(part)), {}).setdefault(part, []).append(text)
        openings = {} if by_edge or len(others) > _FEW else _openings(by_word)
        if openings:
            finders = tuple((_behind(one, texts), texts) for one, texts in openings.items())
            return _Parts(finders, {}, (), (), others)
        starts, ends = ([(n, by_edge[at, n]) for at, n in by_edge if at == where] for where in (_START, _END))
        return _Parts((), by_word, starts, ends, others)

    @lazy
    def _triples(self) -> Mapping[str, Sequence[str]]:
        """The texts of a single word by those three letters of it that fewest others have; shorter ones under none."""
        texts = {text: _triples_of(text) for text in self._parts.others}
        having = Counter(part for parts in texts.values() for part in set(parts))
        found: dict[str, list[str]] = {}
        for text, parts in texts.items():
            found.setdefault(min(parts, key=having.__getitem__, default=""), []).append(text)
        return found


_Part = tuple[str, str]
_WORD, _START, _END = "word", "start", "end"
_EDGE = 4  # letters of a word that may go on
_LONGEST = 200  # letters of what stands before a word
_ALIKE = 4  # ways to begin that are looked for one by one: to take a prompt apart into words takes as long
_TRIPLE = 3


def _parts_of(text: str) -> list[_Part]:
    """What the words of a prompt show of a text: the whole ones first, as they are found the fastest."""
    first, *words = text.split()
    if not words:
        return []
    last = words.pop()
    return [*((_WORD, word) for word in words), (_START, last[:_EDGE]), (_END, first[-_EDGE:])]


def _openings(by_word: Mapping[str, Sequence[str]]) -> dict[str, dict[str, list[str]]]:
    """Texts by what stands before their words, and these; nothing where that differs, or overlaps itself when it comes
    twice, so that one of both would not be found."""
    found: dict[str, dict[str, list[str]]] = {}
    for word, texts in by_word.items():
        for text in texts:
            opening = text[: text.find(f" {word} ") + 1]
            if opening not in found:
                is_usable = 0 < len(opening) <= _LONGEST and len(found) < _ALIKE
                if not is_usable or any(opening.startswith(opening[at:]) for at in range(1, len(opening))):
                    return {}
            found.setdefault(opening, {}).setdefault(word, []).append(text)
    return found


def _triples_of(text: str) -> list[str]:
    return [text[at : at + _TRIPLE] for at in range(len(text) - _TRIPLE + 1)]


def _behind(opening: str, words: Iterable[str]) -> Callable[[str], Sequence[str]]:
    """What finds the words behind an opening that begin as one of these; it may begin again in such a word."""
    letters = re.escape("".join({word[0] for word in words}))
    return re.compile(f"{re.escape(opening)}(?=([{letters}][^ ]*))").findall


class _Parts(NamedTuple):
    """Texts by the word behind what they begin with, and what finds such words; by whole words, by how their last words
    start and their first ones end (with the length), and the rest. By the first alone or by the next three."""

    by_opening: Sequence[tuple[Callable[[str], Sequence[str]], Mapping[str, Sequence[str]]]]
    by_word: Mapping[str, Sequence[str]]
    by_start: Sequence[tuple[int, Mapping[str, Sequence[str]]]]
    by_end: Sequence[tuple[int, Mapping[str, Sequence[str]]]]
    others: list[str]


class _Lane:
    """The scenarios that requests of one shape can match, by what these say: in the prompt, at one place or in the last
    message. `places`: those of them in the index."""

    def __init__(self, index: "Index", places: Iterable[int]) -> None:
        self.index = index
        self._always: list[int] = []
        self._prompt, self._last = _Texts(), _Texts()
        self._at: dict[str, tuple[Exact, dict[str, list[int]]]] = {}
        self._looks_back = False
        for at in places:
            scenario = index.unsure[at].scenario
            when = scenario.when
            self._looks_back = self._looks_back or scenario.anchored_at == "conversation"
            if when is None:
                self._always.append(at)
            elif when.needs:
                self._prompt.add(when.needs, at)
            elif when.exact_at is not None:
                _, values = self._at.setdefault(when.exact_at.place, (when.exact_at, {}))
                for value in when.exact_at.values:
                    values.setdefault(value, []).append(at)
            elif when.last_needs:
                self._last.add(when.last_needs, at)
            else:
                self._always.append(at)
        self._looks_elsewhere = bool(self._at or self._last.texts)

    def candidates(self, asked: "Lookup") -> Iterable[Candidate]:
        """Those of one request, in order."""
        prompt = asked.prompt
        found: list[int] = []
        # a text is then looked for just where a condition would look for it
        is_sure = prompt.text.isascii() and (asked.is_question or not self._looks_back)
        if self._prompt.texts:
            found = self._prompt.found(prompt.folded if is_sure else self._searched(asked))
        if self._looks_elsewhere:
            found += self._elsewhere(asked)
        places = sorted({*found, *self._always}) if found else self._always
        return map((self.index.sure if is_sure else self.index.unsure).__getitem__, places)

    def _searched(self, asked: "Lookup") -> str:
        """What was said that scenarios may ask for."""
        prompt = asked.prompt
        newest = prompt.folded if prompt.text.isascii() else prompt.sought
        return "\n".join([*[text.sought for text in asked.older()], newest]) if self._looks_back else newest

    def _elsewhere(self, asked: "Lookup") -> Iterator[int]:
        """The places of scenarios that go by what stands elsewhere than in the prompt."""
        for exact, values in self._at.values():
            for value in exact.read(asked.newest):
                if isinstance(value, str):
                    yield from values.get(value, ())
        if self._last.texts:
            yield from self._last.found(asked.view.last_message.sought)


_LANE = "lane"


class Index:
    """Scenarios in order of precedence, without those that answer only by name and those for side calls.

    `unsure`: each as a candidate whose condition is to be asked; `sure`: as one of which what the index looks at is
    known: the shape of the request, and a text of the prompt.
    """

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        listed = [one for one in scenarios if not (one.named_only or one.is_side_call)]
        self.unsure = [Candidate(one) for one in listed]
        self.sure = [Candidate(one, _is_looked_at(one.when)) for one in listed]
        self._shaped = [_of_shape(one.when) for one in listed]
        # the system prompt, which may be long, matters to some scenario
        self._has_system = any("system" in one.subjects for of in self._shaped for one in of)
        self._lanes: OrderedDict[_Shape, _Lane] = OrderedDict()

    def candidates(self, asked: "Lookup") -> Iterable[Candidate]:
        """The scenarios worth asking, in order."""
        if not asked.is_question:
            return self._lane(asked).candidates(asked)
        steady = asked.request.steady  # the shape of a question is that of all but its message
        lane: _Lane | None = steady.get(_LANE)
        if lane is None or lane.index is not self:
            lane = steady[_LANE] = self._lane(asked)
        return lane.candidates(asked)

    def _lane(self, asked: "Lookup") -> _Lane:
        """The lane of a request's shape."""
        request, chosen = asked.request, ""
        if choice := request.body.get("tool_choice"):
            chosen = repr([choice.get(name) for name in ("type", "name", "disable_parallel_tool_use")])
        system = request.system if self._has_system else ""
        stream = bool(request.body.get("stream"))
        has_results = not asked.is_question and bool(asked.view.results)
        shape = request.model, request.tool_names, stream, system, chosen, has_results
        lane = self._lanes.get(shape)
        if lane is None:
            facts = asked.newest
            fitting = [at for at, of in enumerate(self._shaped) if all(_can_hold(one, facts) for one in of)]
            lane = _Lane(self, fitting)
            if len(system) <= _LONGEST_SYSTEM:
                self._lanes[shape] = lane
            if len(self._lanes) > MAX_LANES:
                self._lanes.popitem(last=False)
        return lane


def _of_shape(when: Condition | None) -> tuple[Condition, ...]:
    """The conditions of a scenario that the shape of a request decides."""
    parts = when.conditions if isinstance(when, All) else () if when is None else (when,)
    return tuple(part for part in parts if part.of_shape or isinstance(part, Test))


def _is_looked_at(when: Condition | None) -> bool:
    """Whether a condition asks for nothing but the shape of a request and one text of its prompt."""
    parts = when.conditions if isinstance(when, All) else () if when is None else (when,)
    others = [part for part in parts if not part.of_shape]
    return len(others) < 2 and all(isinstance(part, Test) and part.needs_suffice for part in others)


def _can_hold(condition: Condition, facts: ConditionContext) -> bool:
    if isinstance(condition, Test) and condition.of_result:
        return bool(facts.view.results)
    return not condition.of_shape or condition.holds(facts)


# The scenarios in force.


class CompiledScenario:
    """A scenario and its replies as bytes with holes, each made when it is first chosen."""

    __slots__ = ("_positions", "_profile", "_replies", "_timing", "scenario")

    def __init__(self, scenario: Scenario, profile: Profile, timing: Pacing) -> None:
        """`timing` is the pace of replies that set none."""
        self.scenario = scenario
        self._profile = profile
        self._timing = timing
        # by the identity of the answer, which the scenario keeps; without those that are made whole for each request
        self._positions = {
            id(leaf): position
            for position, leaf in _leaves(scenario)
            if leaf.reply is not None and (not leaf.is_open or has_slots(leaf.reply))
        }
        self._replies: dict[int, CompiledReply] = {}

    def reply(self, answer: Answer) -> CompiledReply | None:
        """None for a reply that is made for each request; of one that only wants its texts all else is there."""
        found = self._replies.get(id(answer))
        if found is None and (position := self._positions.get(id(answer))) is not None:
            found = self._replies.setdefault(id(answer), self._compiled(answer, position))
        return found

    def _compiled(self, answer: Answer, position: int) -> CompiledReply:
        reply = reply_of(answer, self._timing, self.scenario.name, position)
        if answer.is_open:
            return CompiledReply.of_slots(reply, self._profile)
        return CompiledReply(reply, self._profile).ready()


def _leaves(scenario: Scenario) -> Iterator[tuple[int, Answer]]:
    for position, turn in enumerate(scenario.turns, 1):
        for leaf in turn.leaves:
            yield position, leaf


class Library:
    """Scenarios asked in this order: higher priority first, else as given. Of two with one name the first counts.

    `overlays` answer nothing: they are laid over what the others answer, `message_overlays` over messages. `beside` are
    those of both kinds that are for other endpoints. `states`: every state that is declared; `initial`: what each is at
    first.
    """

    def __init__(self, compiled: Iterable[CompiledScenario] = ()) -> None:
        first: dict[str, CompiledScenario] = {}
        for one in compiled:
            first.setdefault(one.scenario.name, one)
        self.compiled: Mapping[str, CompiledScenario] = first
        self.by_name: Mapping[str, Scenario] = {
            name: one.scenario for name, one in first.items() if not one.scenario.is_overlay
        }
        ordered = sorted((one.scenario for one in first.values()), key=lambda scenario: -scenario.priority)
        self.every = tuple(ordered)
        self.overlays = tuple(one for one in ordered if one.is_overlay)
        self.message_overlays = tuple(one for one in self.overlays if one.endpoints & MESSAGE_ENDPOINTS)
        self.beside = tuple(one for one in ordered if not one.endpoints <= MESSAGE_ENDPOINTS)
        self.scenarios = tuple(one for one in ordered if not one.is_overlay and one.endpoints & MESSAGE_ENDPOINTS)
        self.states, _ = merged((one.name, one.states) for one in ordered if one.states)
        self.initial: Mapping[str, str] = {name: state.initial for name, state in self.states.items()}
        self.side_calls = SideCalls(self.scenarios)
        self.has_sides = len(self.side_calls) > 0
        self.index = Index(self.scenarios)
        self.settled: dict[Hashable, Settled] = {}  # what simple requests come to, by their kind

    def __len__(self) -> int:
        return len(self.by_name)

    def settle(self, key: Hashable, one: "Settled") -> None:
        """Remember what requests of one kind come to."""
        if len(self.settled) >= MAX_SETTLED:
            self.settled.clear()
        self.settled[key] = one

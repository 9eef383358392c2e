"""Which scenarios a request can match at all: 200 of them cost little more than one.

What depends on the client alone (model, tools, stream, system prompt, any results) is judged once for each
such shape; then a scenario is asked only when a text that its condition needs stands in the prompt or the last message,
or where it has to stand exactly. Both only ever leave out what cannot match, so the order and the answer are those of
asking every scenario in turn.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from mock_server.protocol.lazy import lazy
from mock_server.scenario.match import All, Condition, Exact, Facts, Test
from mock_server.scenario.model import Scenario

MAX_LANES = 64
_FEW = 16  # texts that are looked for one by one

_Shape = tuple[str, tuple[str, ...], bool, str, str, bool]


def _shape(facts: Facts, *, has_system: bool) -> _Shape:
    """`has_system`: the system prompt, which may be long, matters to some scenario."""
    request = facts.asked.request
    choice = request.body.get("tool_choice")
    chosen = f"{choice.get('type')} {choice.get('name')} {choice.get('disable_parallel_tool_use')}" if choice else ""
    system = request.system if has_system else ""
    stream = bool(request.body.get("stream"))
    return request.model, request.tool_names, stream, system, chosen, bool(facts.asked.results)


class _Texts:
    """Scenarios by the texts of which one must stand in what is said, for each of them."""

    def __init__(self) -> None:
        self.texts: dict[str, list[int]] = {}

    def add(self, needs: Iterable[str], at: int) -> None:
        for text in needs:
            self.texts.setdefault(text, []).append(at)

    def found(self, said: str) -> list[int]:
        """The places of the scenarios one of whose texts is there, in no order and some of them twice."""
        likely = self._likely(said) if len(self.texts) > _FEW else self.texts
        return [at for text in likely if text in said for at in self.texts[text]]

    def _likely(self, said: str) -> Iterable[str]:
        """The texts that the words of what is said leave to be looked for."""
        by_word, by_start, by_end, others = self._parts
        words = said.split()
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
        first one ends, since those may go on in the prompt. A text of a single word may stand anywhere in one.
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
        starts, ends = ([(n, by_edge[at, n]) for at, n in by_edge if at == where] for where in (_START, _END))
        return _Parts(by_word, starts, ends, others)

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
_TRIPLE = 3


def _parts_of(text: str) -> list[_Part]:
    """What the words of a prompt show of a text: the whole ones first, as they are found the fastest."""
    first, *words = text.split()
    if not words:
        return []
    last = words.pop()
    return [*((_WORD, word) for word in words), (_START, last[:_EDGE]), (_END, first[-_EDGE:])]


def _triples_of(text: str) -> list[str]:
    return [text[at : at + _TRIPLE] for at in range(len(text) - _TRIPLE + 1)]


class _Parts(NamedTuple):
    """Texts by whole words, by how their last words start and their first ones end (with the length), and the rest."""

    by_word: Mapping[str, Sequence[str]]
    by_start: Sequence[tuple[int, Mapping[str, Sequence[str]]]]
    by_end: Sequence[tuple[int, Mapping[str, Sequence[str]]]]
    others: list[str]


class _Lane:
    """The scenarios that requests of one shape can match, by what these say: in the prompt, at one place or in the last
    message."""

    def __init__(self, scenarios: Iterable[tuple[int, Scenario]]) -> None:
        self._always: list[int] = []
        self._prompt, self._last = _Texts(), _Texts()
        self._at: dict[str, tuple[Exact, dict[str, list[int]]]] = {}
        self._looks_back = False
        for at, scenario in scenarios:
            when = scenario.when
            self._looks_back = self._looks_back or scenario.anchored_at == "conversation"
            if when is None:
                self._always.append(at)
            elif when.needs:
                self._prompt.add(when.needs, at)
            elif when.exact_at is not None:
                _, places = self._at.setdefault(when.exact_at.place, (when.exact_at, {}))
                for value in when.exact_at.values:
                    places.setdefault(value, []).append(at)
            elif when.last_needs:
                self._last.add(when.last_needs, at)
            else:
                self._always.append(at)

    def found(self, newest: Facts, older: Callable[[], Sequence[Facts]]) -> list[int]:
        """The places of the scenarios to ask, in order."""
        found: list[int] = []
        if self._prompt.texts:
            said = newest.prompt.folded
            if self._looks_back:
                said = "\n".join([*[facts.prompt.folded for facts in older()], said])
            found = self._prompt.found(said)
        for exact, places in self._at.values():
            for value in exact.read(newest):
                if isinstance(value, str):
                    found += places.get(value, ())
        if self._last.texts:
            found += self._last.found(newest.asked.last_message.folded)
        return sorted({*found, *self._always}) if found else self._always


class Index:
    """Scenarios in order of precedence, without those that answer only by name and those for side calls."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        self._scenarios = tuple(one for one in scenarios if not (one.named_only or one.side))
        self._shaped = [_of_shape(one.when) for one in self._scenarios]
        self._has_system = any("system" in one.subjects for of in self._shaped for one in of)
        self._lanes: OrderedDict[_Shape, _Lane] = OrderedDict()

    def candidates(self, newest: Facts, older: Callable[[], Sequence[Facts]]) -> Iterable[Scenario]:
        """The scenarios worth asking. `older`: the human turns before the newest."""
        if not self._scenarios:
            return ()
        shape = _shape(newest, has_system=self._has_system)
        lane = self._lanes.get(shape)
        if lane is None:
            lane = self._lane(shape, newest)
        return map(self._scenarios.__getitem__, lane.found(newest, older))

    def _lane(self, shape: _Shape, facts: Facts) -> _Lane:
        fitting = [
            (at, one)
            for at, one in enumerate(self._scenarios)
            if all(_can_hold(condition, facts) for condition in self._shaped[at])
        ]
        lane = self._lanes[shape] = _Lane(fitting)
        if len(self._lanes) > MAX_LANES:
            self._lanes.popitem(last=False)
        return lane


def _of_shape(when: Condition | None) -> tuple[Condition, ...]:
    """The conditions of a scenario that the shape of a request decides."""
    parts = when.conditions if isinstance(when, All) else () if when is None else (when,)
    return tuple(part for part in parts if part.of_shape or isinstance(part, Test))


def _can_hold(condition: Condition, facts: Facts) -> bool:
    if isinstance(condition, Test) and condition.of_result:
        return bool(facts.asked.results)
    return not condition.of_shape or condition.holds(facts)

"""Which scenarios a request can match at all: 200 of them cost little more than one.

What depends on the client alone (model, tools, stream, system prompt, any results) is judged once for each
such shape; then a scenario is asked only when a text that its condition needs stands in the prompt. Both only ever
leave out what cannot match, so the order and the answer are those of asking every scenario in turn.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from mock_server.protocol.lazy import lazy
from mock_server.scenario.match import All, Condition, Facts, Test
from mock_server.scenario.model import Scenario

MAX_LANES = 64
_FEW = 16  # texts that are looked for one by one

_Shape = tuple[str, tuple[str, ...], bool, str, str, bool]


def _shape(facts: Facts, *, has_system: bool) -> _Shape:
    """`has_system`: the system prompt, which may be long, matters to some scenario."""
    request = facts.asked.request
    choice = request.tool_choice
    chosen = f"{choice.get('type')} {choice.get('name')} {choice.get('disable_parallel_tool_use')}" if choice else ""
    system = request.system if has_system else ""
    return request.model, request.tool_names, request.stream, system, chosen, bool(facts.asked.results)


class _Lane:
    """The scenarios that requests of one shape can match, by what their prompts need."""

    def __init__(self, scenarios: Iterable[tuple[int, Scenario]]) -> None:
        self.always: list[int] = []
        self.by_word: dict[str, list[tuple[str, int]]] = {}
        self.by_text: dict[str, list[int]] = {}
        self.looks_back = False
        for at, scenario in scenarios:
            needs = () if scenario.when is None else scenario.when.needs
            self.looks_back = self.looks_back or scenario.anchored_at == "conversation"
            if not needs:
                self.always.append(at)
            for text in needs:
                word = max(text.split()[1:-1], key=len, default="")
                if word:
                    self.by_word.setdefault(word, []).append((text, at))
                else:
                    self.by_text.setdefault(text, []).append(at)

    def found(self, prompt: str) -> list[int]:
        """The places of the scenarios to ask, in order."""
        many = _FEW < len(self.by_text) > prompt.count(" ")  # more texts than words
        words = set(prompt.split()) if many or self.by_word else set()
        texts = self._likely(words) if many else self.by_text
        found = {at for text in texts if text in prompt for at in self.by_text[text]}
        for word in self.by_word.keys() & words:
            found.update([at for text, at in self.by_word[word] if text in prompt])
        found.update(self.always)
        return sorted(found)

    def _likely(self, words: Iterable[str]) -> list[str]:
        """The texts of which three letters in a row stand in some word of the prompt: few are left to look for."""
        there = {word[at : at + 3] for word in words for at in range(len(word) - 2)}
        return [text for key in self.by_letters.keys() & (there | {""}) for text in self.by_letters[key]]

    @lazy
    def by_letters(self) -> dict[str, list[str]]:
        """The texts by the first three letters of their longest word; those without so long a word under none."""
        found: dict[str, list[str]] = {}
        for text in self.by_text:
            word = max(text.split(), key=len, default="")
            found.setdefault(word[:3] if len(word) > 2 else "", []).append(text)
        return found


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
        if not lane.by_text and not lane.by_word:
            found = lane.always
        elif lane.looks_back:
            found = lane.found("\n".join([facts.prompt.folded for facts in (*older(), newest)]))
        else:
            found = lane.found(newest.prompt.folded)
        return [self._scenarios[at] for at in found]

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

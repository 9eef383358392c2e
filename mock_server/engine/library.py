"""The scenarios in force, in order of precedence, each compiled once, when it is first chosen. Immutable: a change is a
new Library.
"""

from collections.abc import Iterable, Iterator, Mapping

from mock_server.engine.compile import CompiledReply, has_slots, reply_of
from mock_server.engine.index import Index
from mock_server.engine.sides import Sides
from mock_server.protocol.profile import Profile
from mock_server.scenario.answer import Answer
from mock_server.scenario.model import Scenario
from mock_server.scenario.timing import Pacing


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

    `overlays` answer nothing: they are laid over what the others answer.
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
        self.scenarios = tuple(one for one in ordered if not one.is_overlay)
        self.overlays = tuple(one for one in ordered if one.is_overlay)
        self.sides = Sides(self.scenarios)
        self.has_sides = len(self.sides) > 0
        self.index = Index(self.scenarios)

    def __len__(self) -> int:
        return len(self.by_name)

"""The scenarios in force, in order of precedence, each compiled once. Immutable: a change is a new Library."""

from collections.abc import Iterable, Iterator, Mapping

from mock_server.engine.compile import CompiledReply, reply_of
from mock_server.engine.index import Index
from mock_server.engine.sides import Sides
from mock_server.protocol.profile import Profile
from mock_server.records import dataclass
from mock_server.scenario.answer import Answer
from mock_server.scenario.model import Scenario
from mock_server.scenario.timing import Pacing


@dataclass(frozen=True)
class CompiledScenario:
    """A scenario and its replies as bytes with holes, by the identity of the answer they stand in."""

    scenario: Scenario
    replies: Mapping[int, CompiledReply]

    def reply(self, answer: Answer) -> CompiledReply | None:
        """None for a reply that is made for each request."""
        return self.replies.get(id(answer))


def compile_scenario(scenario: Scenario, profile: Profile, timing: Pacing) -> CompiledScenario:
    """Every reply of one scenario; `timing` is the pace of those that set none."""
    replies = {
        id(leaf): CompiledReply(reply_of(leaf, timing, scenario.name, position), profile).ready()
        for position, leaf in _leaves(scenario)
        if leaf.reply is not None and not leaf.is_open
    }
    return CompiledScenario(scenario, replies)


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
        self.index = Index(self.scenarios)

    def __len__(self) -> int:
        return len(self.by_name)

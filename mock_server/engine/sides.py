"""The scenarios for side calls, and which of them a request can match: of most requests none, told by headers alone.

They are asked about every request, whatever it names, so what they cost the others has to be next to nothing.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from mock_server.scenario.match import All, Condition, Facts, Test
from mock_server.scenario.model import Scenario

MAX_SENDERS = 64


class Sides:
    """Those of `scenarios` (in order of precedence) that are for side calls."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        self._rank = {one.name: at for at, one in enumerate(scenarios)}
        self._scenarios = [(one, _of_headers(one.when)) for one in scenarios if one.side]
        asked = {name for _, conditions in self._scenarios for one in conditions for name in one.headers}
        self._names = tuple(sorted(asked))
        self._left: OrderedDict[tuple[str | None, ...], tuple[Scenario, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._scenarios)

    def likely(self, facts: Facts) -> tuple[Scenario, ...]:
        """The scenarios whose conditions on headers hold."""
        sender = tuple([facts.asked.headers.get(name) for name in self._names])
        left = self._left.get(sender)
        if left is None:
            fitting = (one for one, conditions in self._scenarios if all(each.holds(facts) for each in conditions))
            left = self._left[sender] = tuple(fitting)
            if len(self._left) > MAX_SENDERS:
                self._left.popitem(last=False)
        return left

    def among(self, others: Iterable[Scenario], likely: tuple[Scenario, ...]) -> Iterable[Scenario]:
        """Both in order of precedence."""
        return heapq.merge(likely, others, key=lambda one: self._rank[one.name])


def _of_headers(when: Condition | None) -> tuple[Test, ...]:
    """The conditions that headers alone decide and that must hold."""
    parts = when.conditions if isinstance(when, All) else (when,)
    return tuple(part for part in parts if isinstance(part, Test) and part.headers)

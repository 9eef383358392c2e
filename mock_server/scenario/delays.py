"""Faults about time, and gates: a reply that stops, crawls or begins late.

Their times are those of the session's clock; `time_scale` does not touch them.
"""

from collections.abc import Iterator
from dataclasses import field
from typing import ClassVar

from mock_server.protocol.events import PING
from mock_server.protocol.plan import Plan, Send, Step, Wait, rolled, unrolled
from mock_server.protocol.sse import PING_FRAME
from mock_server.records import dataclass
from mock_server.scenario.durations import Duration
from mock_server.scenario.endings import ended
from mock_server.scenario.place import CannotApply, Place, Site, split

WRITES_A_SECOND = 20
MOST_PIECES = 50_000


def _late(steps: list[Step], delay: int) -> list[Step]:
    """The steps with a delay before the first frame."""
    for at, step in enumerate(steps):
        if not isinstance(step, Wait):
            return [*steps[:at], step._replace(delay=step.delay + delay), *steps[at + 1 :]]
    return [*steps, Send(delay, b"")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Nothing more comes, for a time, or until the client leaves."""

    type: ClassVar[str] = "stall"
    after: Place | None = None
    for_: Duration | None = field(default=None, metadata={"key": "for"})
    ping: Duration | None = None

    def apply(self, plan: Plan, site: Site) -> Plan:
        before, rest = split(plan, self.after, site)
        if self.for_ is None:
            return ended(plan, before, "hang", _pings(self.ping, plan))
        pings, left = self._pinged(plan)
        return rolled(plan, [*before, *pings, *_late(rest, left)])

    def _pinged(self, plan: Plan) -> tuple[list[Step], int]:
        """The pings while it lasts, and the time left after the last one."""
        every = _pings(self.ping, plan)
        length = self.for_ or 0
        if not every:
            return [], length
        count = min((length - 1) // every, MOST_PIECES)
        return [Send(every, PING_FRAME, PING)] * count, length - count * every


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The reply is held at a place until a test releases the gate of this name."""

    type: ClassVar[str] = "gate"
    name: str
    after: Place | None = None
    ping: Duration | None = None

    def mistakes(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if not self.name.strip() or not self.name.isprintable() or len(self.name) > 200:
            yield ("name",), "the name of a gate is 1 to 200 printable characters"

    def apply(self, plan: Plan, site: Site) -> Plan:
        before, rest = split(plan, self.after, site)
        return rolled(plan, [*before, Wait(self.name, _pings(self.ping, plan)), *rest])


@dataclass(frozen=True, slots=True, kw_only=True)
class Trickle:
    """So many bytes a second and no more, from a place on."""

    type: ClassVar[str] = "trickle"
    bytes_per_second: int
    after: Place | None = None

    def mistakes(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if self.bytes_per_second < 1:
            yield ("bytes_per_second",), "expected a number from 1 up"

    def apply(self, plan: Plan, site: Site) -> Plan:
        before: list[Step] = []
        rest = unrolled(plan)
        if self.after is not None:
            before, rest = split(plan, self.after, site)
        total = sum(len(step.frame) for step in rest if not isinstance(step, Wait))
        size = max(1, self.bytes_per_second // WRITES_A_SECOND, total // MOST_PIECES + 1)
        return rolled(plan, [*before, *(piece for step in rest for piece in self._pieces(step, size))])

    def _pieces(self, step: Step, size: int) -> Iterator[Step]:
        """The pieces of one step: each takes the time that its bytes take; a later frame is later by its own delay."""
        if isinstance(step, Wait):
            yield step
            return
        delay, data, payload = step
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            due = (0 if at else delay) + len(piece) * 1_000_000 // self.bytes_per_second
            yield Send(due, piece, payload if len(piece) == len(data) else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowHeaders:
    """The status line and headers come so much later, and the body behind them."""

    type: ClassVar[str] = "slow_headers"
    for_: Duration = field(metadata={"key": "for"})

    def apply(self, plan: Plan, site: Site) -> Plan:
        late = rolled(plan, _late(unrolled(plan), self.for_))
        return late._replace(at=plan.at + self.for_)


def _pings(every: int | None, plan: Plan) -> int:
    if every is None:
        return 0
    if not plan.stream:
        raise CannotApply("a JSON reply has no pings")
    return every

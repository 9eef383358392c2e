"""Faults that end a reply early or put something else in its place, and faults about time: a reply that stops, crawls
or begins late.

Each has `apply(plan, site) -> plan`; on a JSON reply it does the same to the body.
"""

from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import ClassVar, Literal

from mock_server.protocol.plan import Manner, Plan, Send, Step, Wait, rolled, unrolled
from mock_server.protocol.sse import encode
from mock_server.records import dataclass
from mock_server.scenario.error import Failure, FaultError
from mock_server.scenario.faults.place import At, CannotApply, Place, Placed, Site, Spot, beats, duration, sends, split
from mock_server.scenario.node import Mistakes
from mock_server.scenario.timing import Duration, written

# how the connection goes on: the body is ended properly, or left open with a FIN, a RST, or nothing at all
Then = Literal["end", "close", "reset", "hang"]
MOST_GARBAGE = 1_000_000


def _declared_length(plan: Plan) -> int | None:
    """The content-length that was promised for a body of which not all will come; a stream promises none."""
    if plan.stream or (plan.manner is not None and plan.manner.length is not None):
        return None if plan.manner is None else plan.manner.length
    return len(plan.body())


def ended(plan: Plan, steps: Sequence[Step], then: Then, wait: Wait | None = None) -> Plan:
    """The plan cut to these steps; one that hangs may go on with pings (`wait`)."""
    manner = plan.manner or Manner()
    if then == "end":
        return rolled(plan, steps)._replace(manner=manner._replace(ending="end"))
    kept = rolled(plan, [*steps, wait or Wait()] if then == "hang" else steps)
    ending = None if then == "hang" else then
    return kept._replace(manner=manner._replace(ending=ending, length=_declared_length(plan)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReply:
    """An error reply in place of the whole reply, before anything is sent: a status and an envelope."""

    type: ClassVar[str] = "error"
    error: FaultError = field(default_factory=lambda: Failure(type="overloaded_error"))

    def apply(self, plan: Plan, site: Site) -> Plan:
        failed = site.failure(self.error)
        return failed._replace(manner=plan.manner)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEvent:
    """An `error` event in the stream, and nothing of the reply after it; for JSON the error reply with its status."""

    type: ClassVar[str] = "error_event"
    error: FaultError = field(default_factory=lambda: Failure(type="overloaded_error"))
    after: Place | None = None
    at: Spot | None = None
    then: Then = "end"

    def apply(self, plan: Plan, site: Site) -> Plan:
        failed = site.failure(self.error, streamed=plan.stream)
        if not plan.stream:
            late = duration(unrolled(plan))
            delayed = rolled(failed, [Send(late, failed.body(), failed.payloads[0])])._replace(at=late)
            return delayed if self.then == "end" else ended(delayed, unrolled(delayed), self.then)
        before, _ = split(plan, self.at or self.after, site)
        event = encode("event: error\ndata: ") + failed.body() + b"\n\n"
        return ended(plan, [*before, Send(0, event, failed.payloads[0])], self.then)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect(Placed):
    """The connection is closed in the middle of the body: a FIN, and the body not ended."""

    type: ClassVar[str] = "disconnect"
    ending: ClassVar[Then] = "close"

    def apply(self, plan: Plan, site: Site) -> Plan:
        return ended(plan, self.split(plan, site)[0], self.ending)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Disconnect):
    """The connection is reset in the middle of the body: a TCP RST."""

    type: ClassVar[str] = "reset"
    ending: ClassVar[Then] = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyResponse:
    """The connection is closed without a single byte."""

    type: ClassVar[str] = "empty_response"
    then: Literal["close", "reset"] = "close"

    def apply(self, plan: Plan, site: Site) -> Plan:
        return plan._replace(status=0, parts=(), manner=Manner(ending=self.then, head=b""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate(Placed):
    """The text stops in the middle of a frame, or of a UTF-8 character, though HTTP says that all is well."""

    type: ClassVar[str] = "truncate"
    inside: Literal["frame", "character"] = "frame"
    then: Then = "end"

    def apply(self, plan: Plan, site: Site) -> Plan:
        before, rest = self.split(plan, site)
        kept = _half(rest) if self.inside == "frame" else _to_character(rest)
        if self.inside == "frame" and (not plan.stream or (isinstance(self.at, At) and self.at.bytes is not None)):
            kept = []  # any place in a JSON body is the middle of something, and this one is inside its frame
        return ended(plan, [*before, *kept], self.then)


def _half(rest: Sequence[Step]) -> list[Step]:
    """The steps up to the middle of the next frame."""
    for at, step in enumerate(rest):
        if not isinstance(step, Wait) and step.frame:
            return [*rest[:at], Send(step.delay, step.frame[: len(step.frame) // 2])]
    raise CannotApply("truncate: nothing comes after this place")


def _to_character(rest: Sequence[Step]) -> list[Step]:
    """The steps up to the first byte of the next character that has more than one."""
    for at, step in enumerate(rest):
        if isinstance(step, Wait):
            continue
        where = next((i for i, byte in enumerate(step.frame) if byte >= 0xC0), None)
        if where is not None:
            return [*rest[:at], Send(step.delay, step.frame[: where + 1])]
    raise CannotApply("truncate inside a character: no character of several bytes comes after this place")


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage(Placed):
    """Random bytes in the body; the reply goes on behind them unless `then` says otherwise."""

    type: ClassVar[str] = "garbage"
    bytes: int = 64
    then: Literal["go_on", "end", "close", "reset", "hang"] = "go_on"

    def mistakes(self) -> Mistakes:
        if not 1 <= self.bytes <= MOST_GARBAGE:
            yield ("bytes",), f"expected 1 to {MOST_GARBAGE:,} bytes"

    def apply(self, plan: Plan, site: Site) -> Plan:
        before, rest = self.split(plan, site)
        steps: list[Step] = [*before, Send(0, site.random.randbytes(self.bytes))]
        whole = rolled(plan, [*steps, *rest])
        return whole if self.then == "go_on" else ended(whole, steps, self.then)


# -- about time: their times are those of the session's clock, which `time_scale` does not touch -----------------------

SHORTEST_BEAT = 1_000  # between two pings or comments of a silence: more often they would be all that the server does
WRITES_A_SECOND = 20
MOST_PIECES = 50_000


def _late(steps: list[Step], delay: int) -> list[Step]:
    """The steps with a delay before the first frame."""
    for at, step in enumerate(steps):
        if not isinstance(step, Wait):
            return [*steps[:at], step._replace(delay=step.delay + delay), *steps[at + 1 :]]
    return [*steps, Send(delay, b"")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall(Placed):
    """Nothing more comes, for a time, or until the client leaves."""

    type: ClassVar[str] = "stall"
    for_: Duration | None = field(default=None, metadata={"key": "for"})
    ping: Duration | None = None
    keepalive: Duration | None = None

    def mistakes(self) -> Mistakes:
        yield from _one_beat(self.ping, self.keepalive)

    def apply(self, plan: Plan, site: Site) -> Plan:
        before, rest = self.split(plan, site)
        wait = _wait(None, self.ping, self.keepalive, plan)
        if self.for_ is None:
            return ended(plan, before, "hang", wait)
        *pings, last = beats(wait.ping_every, self.for_, comments=wait.comments)
        assert isinstance(last, Send)
        return rolled(plan, [*before, *pings, *_late(rest, last.delay)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The reply is held at a place until a test releases the gate of this name."""

    type: ClassVar[str] = "gate"
    name: str
    after: Place | None = None
    at: Spot | None = None
    ping: Duration | None = None
    keepalive: Duration | None = None

    def mistakes(self) -> Mistakes:
        yield from _one_beat(self.ping, self.keepalive)
        if not self.name.strip() or not self.name.isprintable() or len(self.name) > 200:
            yield ("name",), "the name of a gate is 1 to 200 printable characters"

    def apply(self, plan: Plan, site: Site) -> Plan:
        before, rest = split(plan, self.at or self.after, site)
        return rolled(plan, [*before, _wait(self.name, self.ping, self.keepalive, plan), *rest])


@dataclass(frozen=True, slots=True, kw_only=True)
class Trickle:
    """So many bytes a second and no more, from a place on."""

    type: ClassVar[str] = "trickle"
    bytes_per_second: int
    after: Place | None = None
    at: Spot | None = None

    def mistakes(self) -> Mistakes:
        if self.bytes_per_second < 1:
            yield ("bytes_per_second",), "expected a number from 1 up"

    def apply(self, plan: Plan, site: Site) -> Plan:
        place = self.at or self.after
        before, rest = ([], unrolled(plan)) if place is None else split(plan, place, site)
        total = sum(len(step.frame) for step in sends(rest))
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


def _one_beat(ping: int | None, keepalive: int | None) -> Mistakes:
    for name, every in (("ping", ping), ("keepalive", keepalive)):
        if every is not None and every < SHORTEST_BEAT:
            what = "a ping" if name == "ping" else "a comment"
            yield (name,), f"{what} comes after {written(SHORTEST_BEAT)} of silence at the earliest"
    if ping is not None and keepalive is not None:
        yield ("keepalive",), "a silence has pings or comments, not both"


def _wait(gate: str | None, ping: int | None, keepalive: int | None, plan: Plan) -> Wait:
    """What is waited for, and what is sent meanwhile."""
    every = ping or keepalive
    if not every:
        return Wait(gate)
    if not plan.stream:
        raise CannotApply(f"a JSON reply has no {'pings' if keepalive is None else 'comments'}")
    return Wait(gate, every, keepalive is not None)

"""When the events of a reply are due: a timing and the events it paces -> offsets from the request, in microseconds.

What is the same for every request is worked out once. Without anything drawn and without a term for the prompt, all
requests share one array per (time scale, token factor).
"""

import math
from array import array
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from typing import NamedTuple

from mock_server.protocol.events import PING, Event
from mock_server.protocol.sse import frame
from mock_server.scenario.distributions import Distribution
from mock_server.scenario.durations import LONGEST
from mock_server.scenario.timing import Replay, Timing

LATEST = 0xFFFFFFFF
MOST_PINGS = 10_000
_MOST_KEPT = 64
_PING = frame(PING)

Delays = list[int | Distribution]


class Timeline(NamedTuple):
    """When each frame is due, and where among them a ping stands that only silence called for."""

    at: "array[int]"
    pings: tuple[int, ...] = ()

    def filled(self, frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The frames of the events with the pings between them."""
        if not self.pings:
            return frames
        listed = list(frames)
        for place in self.pings:
            listed.insert(place, _PING)
        return tuple(listed)


class Pace:
    """The pace of one reply at one timing."""

    __slots__ = ("_delays", "_draws", "_events", "_kept", "_timing")

    def __init__(self, events: Sequence[Event], timing: Timing) -> None:
        self._events = events
        self._timing = timing
        self._draws = timing.draws
        self._delays: dict[float, Delays] = {}
        self._kept: dict[tuple[float, float], Timeline] = {}

    def timeline(self, scale: float, factor: float, input_tokens: int, source: Callable[[], Random]) -> Timeline:
        """The times of one request. `factor`: tokens of its model per estimated one; `source` is asked if need be."""
        if scale and (self._draws or self._timing.per_input_token):
            return self._own(scale, factor, input_tokens, source)
        return self._shared(scale, factor)

    def _shared(self, scale: float, factor: float) -> Timeline:
        """The times of every request."""
        found = self._kept.get((scale, factor))
        if found is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            at = array("I", bytes(4 * len(self._events))) if not scale else offsets(self._of(factor), scale)
            found = self._kept[scale, factor] = self._pinged(at, scale)
        return found

    def _own(self, scale: float, factor: float, input_tokens: int, source: Callable[[], Random]) -> Timeline:
        prefill = self._timing.per_input_token * input_tokens
        if not self._draws:
            shared = self._shared(scale, factor)
            return Timeline(later(shared.at, round(min(prefill, LONGEST) * scale)), shared.pings)
        return self._pinged(offsets(self._of(factor), scale, prefill, self._timing.jitter, source()), scale)

    def _of(self, factor: float) -> Delays:
        found = self._delays.get(factor)
        if found is None:
            found = self._delays[factor] = delays(self._events, self._timing, factor)
        return found

    def _pinged(self, at: "array[int]", scale: float) -> Timeline:
        every = self._timing.ping
        return Timeline(at) if every is None or not scale else pinged(at, every * scale)


def first_due(timing: Timing, scale: float, input_tokens: int, source: Callable[[], Random]) -> int:
    """When an error is due, in microseconds: a first event like any other."""
    delay: int | Distribution = timing.first if timing.replay is None else timing.replay.offsets[0]
    if not scale:
        return 0
    prefill = timing.per_input_token * input_tokens
    drawn = source() if timing.jitter or not isinstance(delay, int) else None
    return offsets([delay], scale, prefill, timing.jitter, drawn)[0]


# -- delays ---------------------------------------------------------------------------------------------------------


def delays(events: Sequence[Event], timing: Timing, factor: float) -> Delays:
    """The delay before each event: `first` before the first, the pace before every delta but one, and the pauses."""
    if timing.replay is not None:
        return _replayed(events, timing.replay)
    found: Delays = [0] * len(events)
    found[0] = timing.first
    before = 0
    for at, event in enumerate(events):
        if event.tokens:
            found[at] = _delay(timing, before * factor)
            before = event.tokens
        elif timing.pauses and event.payload["type"] == "content_block_start":
            found[at] = _pause(timing, event.payload["content_block"]["type"])
    return found


def _delay(timing: Timing, tokens_before: float) -> int | Distribution:
    """The delay between a delta of so many tokens and the next; none before the first."""
    if not tokens_before:
        return 0
    if timing.gap is not None:
        return timing.gap
    return round(tokens_before * 1_000_000 / timing.rate) if timing.rate is not None else 0


def _pause(timing: Timing, type: str) -> int | Distribution:
    """The pause before a block of this type: its own, else that of all results of server tools."""
    group = "server_tool" if type.endswith("_tool_result") else type
    return timing.pauses.get(type, timing.pauses.get(group, 0))


def _replayed(events: Sequence[Event], replay: Replay) -> Delays:
    """The recorded delays. Events past the end of the recording come with its last; what is left of it is not used.

    Between the deltas of a recording without other events, those come with the delta before them, the first with the
    first.
    """
    listed = iter(zip((0, *replay.offsets), replay.offsets, strict=False))
    steps = [later - earlier for earlier, later in listed]
    if replay.events is not None:
        return [*steps[: len(events)], *[0] * (len(events) - len(steps))]
    found: Delays = [0] * len(events)
    found[0] = steps[0]
    places = [at for at, event in enumerate(events) if event.payload["type"] == "content_block_delta"]
    for at, step in zip(places[1:], steps[1:], strict=False):
        found[at] = step
    return found


# -- offsets --------------------------------------------------------------------------------------------------------


def offsets(
    steps: Delays, scale: float, prefill: float = 0, share: float = 0.0, source: Random | None = None
) -> "array[int]":
    """Offsets from the delays, scaled: fixed ones moved by up to `share` of themselves either way, others drawn.

    `prefill` comes on top of the first. No delay is below 0 or above an hour.
    """
    at = array("I")
    passed = min(prefill, LONGEST) * scale
    due = 0
    for step in steps:
        if step:
            passed += scale * (step if source is None else _varied(step, share, source))  # type: ignore[operator]
        due = min(round(passed), LATEST)
        at.append(due)
    return at


def _varied(step: int | Distribution, share: float, source: Random) -> float:
    if not isinstance(step, int):
        return min(max(step.draw(source), 0.0), LONGEST)
    return step * (1 + source.uniform(-share, share)) if share else step


def later(at: "array[int]", by: int) -> "array[int]":
    """The same times, all of them so much later."""
    if at[-1] + by <= LATEST:
        return array("I", [due + by for due in at])
    return array("I", [min(due + by, LATEST) for due in at])


def pinged(at: "array[int]", every: float) -> Timeline:
    """The times with a ping wherever `every` microseconds pass without an event, from the first to message_delta."""
    due = array("I", at[:1])
    pings: list[int] = []
    for earlier, later in pairwise(at[:-1]):
        count = max(0, math.ceil((later - earlier) / every) - 1)
        for number in range(1, min(count, MOST_PINGS - len(pings)) + 1):
            pings.append(len(due))
            due.append(earlier + round(number * every))
        due.append(later)
    due.append(at[-1])
    return Timeline(due, tuple(pings)) if pings else Timeline(at)

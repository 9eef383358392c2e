"""When the events of a reply are due: a timing and the steps it paces -> offsets from the request, in microseconds.

What is the same for every request is worked out once. Without anything drawn and without a term for the prompt, all
requests share one array per (time scale, token factor).
"""

import math
from array import array
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from typing import NamedTuple, Protocol

from mock_server.protocol.message import Event, Silence
from mock_server.protocol.sse import KEEPALIVE_FRAME, PING_FRAME
from mock_server.records import lazy
from mock_server.scenario.timing import LONGEST, Distribution, Replay, Timing

LATEST = 0xFFFFFFFF
MOST_PINGS = 10_000
_MOST_KEPT = 64
_INSTANT = Timing()

Delays = list[int | Distribution]


class Timeline(NamedTuple):
    """When each frame is due, and where among them a ping, or what `beat` is, stands that only silence called for."""

    at: "array[int]"
    pings: tuple[int, ...] = ()
    beat: bytes = PING_FRAME

    def filled(self, frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The frames of the events with the pings between them."""
        if not self.pings:
            return frames
        listed = list(frames)
        for place in self.pings:
            listed.insert(place, self.beat)
        return tuple(listed)


class Stepped(Protocol):
    """What has steps, made when first asked for."""

    @property
    def steps(self) -> Sequence[Event | Silence]: ...


INSTANTLY = Timeline(array("I", (0,)))  # of a reply that is no stream and waits for nothing


class Pace:
    """The pace of one reply at one timing."""

    def __init__(self, reply: Stepped, timing: Timing) -> None:
        self._reply = reply
        self._timing = timing
        self.is_instant = timing == _INSTANT  # nothing ever waits
        rest = (timing.gap or 0, *timing.pauses.values())
        self._draws = bool(timing.jitter) or not all(isinstance(delay, int) for delay in rest)
        self._varies = self._draws or bool(timing.per_input_token) or not isinstance(timing.first, int)
        self._delays: dict[float, Delays] = {}
        self._kept: dict[tuple[float, float], Timeline] = {}

    @lazy
    def _steps(self) -> Sequence[Event | Silence]:
        return self._reply.steps

    @lazy
    def _sent(self) -> list[int] | None:
        """The places of the steps that send something; None when all do."""
        sent = [at for at, step in enumerate(self._steps) if isinstance(step, Event)]
        return None if len(sent) == len(self._steps) else sent

    def timeline(self, scale: float, factor: float, input_tokens: int, source: Callable[[], Random]) -> Timeline:
        """The times of one request. `factor`: tokens of its model per estimated one; `source` is asked if need be."""
        if self._varies and scale:
            return self._own(scale, factor, input_tokens, source)
        return self._kept.get((scale, factor)) or self._shared(scale, factor)

    def _shared(self, scale: float, factor: float) -> Timeline:
        """The times of all requests."""
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        at = offsets(self._of(factor), scale) if scale else array("I", bytes(4 * len(self._steps)))
        found = self._kept[scale, factor] = self._pinged(at, scale)
        return found

    def _own(self, scale: float, factor: float, input_tokens: int, source: Callable[[], Random]) -> Timeline:
        """The times of one request: all drawn, or those of all requests after a first of its own."""
        timing, prefill = self._timing, self._timing.per_input_token * input_tokens
        if self._draws:
            return self._pinged(drawn(self._of(factor), scale, prefill, timing.jitter, source()), scale)
        shared = self._kept.get((scale, factor)) or self._shared(scale, factor)
        first = timing.first if isinstance(timing.first, int) else _within(timing.first.draw(source()))
        at = later(shared.at, round(min(first + prefill, LONGEST) * scale))
        return Timeline(at, shared.pings, shared.beat)

    def _of(self, factor: float) -> Delays:
        found = self._delays.get(factor)
        if found is None:
            found = self._delays[factor] = delays(self._steps, self._timing, factor)
            if self._varies and not self._draws:
                found[0] = 0  # each request has a first of its own
        return found

    def _pinged(self, at: "array[int]", scale: float) -> Timeline:
        every = self._timing.ping or self._timing.keepalive
        if self._sent is not None:
            at = array("I", [at[place] for place in self._sent])
        if every is None or not scale:
            return Timeline(at)
        found = pinged(at, every * scale)
        return found if self._timing.keepalive is None else found._replace(beat=KEEPALIVE_FRAME)


def first_due(timing: Timing, scale: float, input_tokens: int, source: Callable[[], Random]) -> int:
    """When an error is due, in microseconds: a first event like any other."""
    delay: int | Distribution = timing.first if timing.replay is None else timing.replay.offsets[0]
    if not scale:
        return 0
    prefill = timing.per_input_token * input_tokens
    if timing.jitter or not isinstance(delay, int):
        return drawn([delay], scale, prefill, timing.jitter, source())[0]
    return later(offsets([delay], scale), round(min(prefill, LONGEST) * scale))[0]


# -- delays ---------------------------------------------------------------------------------------------------------


def delays(steps: Sequence[Event | Silence], timing: Timing, factor: float) -> Delays:
    """The delay before each step: `first` before the first, the pace before every delta but one, and the pauses."""
    if timing.replay is not None:
        return _replayed(steps, timing.replay)
    found: Delays = [0] * len(steps)
    found[0] = timing.first
    before = 0
    for at, event in enumerate(steps):
        if event.tokens:
            found[at] = _delay(timing, before * factor)
            before = event.tokens
        elif timing.pauses and isinstance(event, Event) and event.payload["type"] == "content_block_start":
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


def _replayed(all_steps: Sequence[Event | Silence], replay: Replay) -> Delays:
    """The recorded delays, of what is sent. Events past the end of the recording come with its last; what is left of it
    is not used. A thought whose text is not shown takes the time of its deltas; an empty delta behind one takes none.

    Between the deltas of a recording without other events, those come with the delta before them, the first with the
    first.
    """
    listed = iter(zip((0, *replay.offsets), replay.offsets, strict=False))
    recorded = [later - earlier for earlier, later in listed]
    places: list[int] = []
    opened = ""
    for at, step in enumerate(all_steps):
        kind = step.payload["type"] if isinstance(step, Event) else ""
        if isinstance(step, Event) and kind == "content_block_start":
            opened = step.payload["content_block"]["type"]
        is_delta = kind == "content_block_delta" or (not kind and opened == "thinking")
        if isinstance(step, Event) and is_delta and step.payload["delta"].get("thinking") == "" and not step.tokens:
            continue
        if is_delta or (kind and replay.events is not None):
            places.append(at)
    found: Delays = [0] * len(all_steps)
    if replay.events is None:
        found[0], recorded, places = recorded[0], recorded[1:], places[1:]
    for at, delay in zip(places, recorded, strict=False):
        found[at] = delay
    return found


# -- offsets --------------------------------------------------------------------------------------------------------


def offsets(steps: Delays, scale: float) -> "array[int]":
    """Offsets from fixed delays, scaled."""
    at, passed = [], 0.0
    for step in steps:
        passed += step * scale  # type: ignore[operator] # none of them is drawn
        at.append(min(round(passed), LATEST))
    return array("I", at)


def drawn(steps: Delays, scale: float, prefill: float, share: float, source: Random) -> "array[int]":
    """Offsets of one request: fixed delays moved by up to `share` of themselves either way, others drawn.

    `prefill` comes on top of the first. No delay is below 0 or above an hour.
    """
    at = []
    due, passed = 0, min(prefill, LONGEST) * scale
    low, width, random = 1 - share, 2 * share, source.random
    for step in steps:
        if step:
            if not isinstance(step, int):
                delay = _within(step.draw(source))
            else:
                delay = step * (low + width * random()) if share else step
            passed += delay * scale
            due = min(round(passed), LATEST)
        at.append(due)
    return array("I", at)


def _within(delay: float) -> float:
    return 0.0 if delay < 0 else min(delay, LONGEST)


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
        if later - earlier > every:
            count = min(math.ceil((later - earlier) / every) - 1, MOST_PINGS - len(pings))
            pings += range(len(due), len(due) + count)
            due.extend([earlier + round(number * every) for number in range(1, count + 1)])
        due.append(later)
    due.append(at[-1])
    return Timeline(due, tuple(pings)) if pings else Timeline(at)

"""Times, rates and the pace of a reply, as authors write them: `250ms`, `80/s`, `{p50: 400ms, p95: 2s}`, a preset by
name, or the keys of a timing.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields
from itertools import pairwise
from random import Random
from typing import Annotated, Any, ClassVar, NamedTuple, get_args

from mock_server.protocol.blocks import BLOCKS, Block, Text
from mock_server.protocol.chunk import Burst, Bytes, Named, Unit
from mock_server.protocol.chunk import Chunk as Chunking
from mock_server.protocol.profile import Profile
from mock_server.records import dataclass
from mock_server.scenario.decode import Reader, Reads, decode
from mock_server.scenario.node import Mistakes, Node, Problems, is_int, is_number, kind, one_of, suggestion, wrap

# -- numbers that vary ----------------------------------------------------------------------------------------------
#
# Every draw comes from a source that is passed in. The caller decides the least and the most a draw may be: a normal
# distribution has no ends of its own.

# percentile -> how many standard deviations of the logarithm it lies above the median
PERCENTILES: Mapping[str, float] = {"p90": 1.2815515655446, "p95": 1.6448536269515, "p99": 2.3263478740408}
SHAPES = ("uniform", "normal", "gamma", "p50")
EXAMPLE = "{uniform: [low, high]}, {normal: {mean: …, sd: …}}, {gamma: {mean: …, shape: …}} or {p50: …, p95: …}"


@dataclass(frozen=True, slots=True)
class Uniform:
    """Anything from `low` to `high`, all alike."""

    low: float
    high: float

    def draw(self, source: Random) -> float:
        return source.uniform(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Normal:
    """Around `mean`, symmetric, with the standard deviation `sd`."""

    mean: float
    sd: float

    def draw(self, source: Random) -> float:
        return source.gauss(self.mean, self.sd)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Half of all below `p50`, with a long tail: `sigma` is the standard deviation of the logarithm."""

    p50: float
    sigma: float

    def draw(self, source: Random) -> float:
        return self.p50 * math.exp(source.gauss(0.0, self.sigma))


@dataclass(frozen=True, slots=True)
class Gamma:
    """Around `mean`; the larger `shape`, the closer to it. Shape 1 is the exponential distribution."""

    mean: float
    shape: float

    def draw(self, source: Random) -> float:
        return source.gammavariate(self.shape, self.mean / self.shape)


Distribution = Uniform | Normal | Lognormal | Gamma


def varying(unit: Reader) -> Callable[[Node, Problems], Any]:
    """Reads a fixed value, as `unit` does, or a distribution of them."""

    def read(node: Node, problems: Problems) -> Any:
        if not isinstance(node.value, dict):
            return unit(node, problems)
        before = len(problems.found)
        name = _shape(node, problems)
        found = None if name is None else _READ[name](node, unit, problems)
        return found if len(problems.found) == before else None

    return read


def _shape(node: Node, problems: Problems) -> str | None:
    """Which of the shapes a mapping has, when its keys are those of one."""
    known = (*SHAPES, *PERCENTILES)
    for key in node.value:
        if key not in known:
            close = suggestion(key, known)
            hint = f"{close} Expected" if close else "; expected"
            problems.add_key(node, key, f"unknown distribution '{key}'{hint} {EXAMPLE}")
            return None
    keys = list(node.value)
    if len(keys) == 1 and keys[0] in ("uniform", "normal", "gamma"):
        return str(keys[0])
    if len(keys) == 2 and "p50" in keys and any(key in PERCENTILES for key in keys):
        return "p50"
    problems.add(node, f"expected one distribution: {EXAMPLE}; got the keys {', '.join(keys) or 'none'}")
    return None


def _uniform(node: Node, unit: Reader, problems: Problems) -> Uniform | None:
    ends = node.value["uniform"]
    if not isinstance(ends.value, list) or len(ends.value) != 2:
        problems.add(ends, "expected the lowest and the highest value, such as [200ms, 600ms]")
        return None
    low, high = (unit(end, problems) for end in ends.value)
    if low is None or high is None:
        return None
    if high < low:
        problems.add(ends.value[1], f"the highest value is below the lowest, {ends.value[0].plain()}")
    return Uniform(low, high)


def _normal(node: Node, unit: Reader, problems: Problems) -> Normal | None:
    parts = _parts(node.value["normal"], "normal", {"mean": unit, "sd": unit}, problems)
    return None if parts is None else Normal(parts["mean"], parts["sd"])


def _gamma(node: Node, unit: Reader, problems: Problems) -> Gamma | None:
    inner = node.value["gamma"]
    parts = _parts(inner, "gamma", {"mean": unit, "shape": _from_to(0.01, 10_000, "shape", " such as 2")}, problems)
    if parts is not None and not parts["mean"]:
        problems.add(inner.value["mean"], "the mean of a gamma distribution is above 0")
        return None
    return None if parts is None else Gamma(parts["mean"], parts["shape"])


def _from_to(low: float, high: int, noun: str, example: str = "") -> Reader:
    """Reads a number within bounds."""

    def read(node: Node, problems: Problems) -> float | None:
        if not is_number(node.value) or not low <= node.value <= high:
            problems.add(node, f"expected a {noun} from {low} to {high}{example}, got {node.plain()!r}")
            return None
        return float(node.value)

    return read


def _percentiles(node: Node, unit: Reader, problems: Problems) -> Lognormal | None:
    name = next(key for key in node.value if key in PERCENTILES)
    middle, upper = unit(node.value["p50"], problems), unit(node.value[name], problems)
    if middle is None or upper is None:
        return None
    if not middle:
        problems.add(node.value["p50"], "p50 is above 0")
        return None
    if upper < middle:
        problems.add(node.value[name], f"{name} is below p50, {node.value['p50'].plain()}")
        return None
    return Lognormal(middle, math.log(upper / middle) / PERCENTILES[name])


def _parts(node: Node, noun: str, readers: Mapping[str, Reader], problems: Problems) -> dict[str, Any] | None:
    """The values of a mapping that has exactly these keys."""
    wanted = " and ".join(readers)
    if not isinstance(node.value, dict):
        problems.add(node, f"expected {wanted} of the {noun} distribution, got {kind(node)}")
        return None
    for key in node.value:
        if key not in readers:
            problems.unknown(node, key, readers, noun)
    for key in readers:
        if key not in node.value:
            problems.add(node, f"missing key '{key}' in {noun}")
    read = {key: reader(node.value[key], problems) for key, reader in readers.items() if key in node.value}
    return read if len(read) == len(readers) and None not in read.values() else None


_READ: Mapping[str, Callable[[Node, Reader, Problems], Distribution | None]] = {
    "uniform": _uniform,
    "normal": _normal,
    "gamma": _gamma,
    "p50": _percentiles,
}


# -- times, rates and shares: `250ms`, `2s`, `80/s`, `20%` ------------------------------------------------------------
#
# Durations are whole microseconds inside.

_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s*(us|ms|s|m)")
_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000}
LONGEST = 3_600_000_000
CHUNKS: tuple[Named, ...] = get_args(Named)


def _duration(node: Node, problems: Problems) -> int | None:
    if node.value == 0 and not isinstance(node.value, bool):
        return 0
    found = _DURATION.fullmatch(node.value) if isinstance(node.value, str) else None
    if found is None:
        hint = f"; did you mean '{node.value}s' or '{node.value}ms'?" if isinstance(node.value, int | float) else ""
        problems.add(node, f"expected a duration such as 250ms or 2s, got {node.plain()!r}{hint}")
        return None
    length = round(float(found[1]) * _UNITS[found[2]])
    if length > LONGEST:
        problems.add(node, f"expected a duration of an hour at most, got {node.value!r}")
        return None
    if not length and float(found[1]):
        problems.add(node, f"expected a duration of a microsecond at least, or 0, got {node.value!r}")
        return None
    return length


def _rate(node: Node, problems: Problems) -> float | None:
    text = str(node.value).removesuffix("/s")
    if isinstance(node.value, bool) or not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text) or float(text) <= 0:
        problems.add(node, f"expected a rate in tokens per second such as 80/s, got {node.plain()!r}")
        return None
    return float(text)


def _share(node: Node, problems: Problems) -> float | None:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,12})?)%", node.value) if isinstance(node.value, str) else None
    share = float(found[1]) / 100 if found else 0.0 if node.value == 0 and not isinstance(node.value, bool) else None
    if share is None or share > 1:
        problems.add(node, f"expected a share from 0% to 100% such as 20%, got {node.plain()!r}")
        return None
    return share


def _is_count(value: Any) -> bool:
    return is_int(value) and value > 0


def _chunk(node: Node, problems: Problems) -> Unit | Bytes | None:
    value = node.value
    if value in CHUNKS or _is_count(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, dict) and list(value) == ["bytes"] and _is_count(value["bytes"].value):
        return Bytes(value["bytes"].value)
    more = ", a number of characters, or {bytes: 7}"
    problems.add(node, f"unknown chunk {node.plain()!r}{one_of(str(value), CHUNKS, more)}")
    return None


MOST_IN_BURST = 10_000
_COUNTS = re.compile(r"(\d{1,9})\.\.(\d{1,9})")


def _count(node: Node, problems: Problems) -> int | Uniform | None:
    """A number of chunks, or from one to another."""
    value = node.value
    if _is_count(value) and value <= MOST_IN_BURST:
        return int(value)
    found = _COUNTS.fullmatch(value) if isinstance(value, str) else None
    if found is not None and 1 <= int(found[1]) <= int(found[2]) <= MOST_IN_BURST:
        return Uniform(int(found[1]) - 0.499, int(found[2]) + 0.499)  # so that the ends come as often as the others
    problems.add(node, f"expected a number from 1 to {MOST_IN_BURST}, or a range such as 1..10; got {node.plain()!r}")
    return None


_count_varying, _delay = varying(_from_to(0, MOST_IN_BURST, "number")), varying(_duration)


def _burst(node: Node, problems: Problems) -> int | Distribution | None:
    return _count_varying(node, problems) if isinstance(node.value, dict) else _count(node, problems)


def _offsets(node: Node, problems: Problems) -> tuple[int, ...] | None:
    if not isinstance(node.value, list) or not node.value:
        got = "an empty list" if node.value == [] else kind(node)
        problems.add(node, f"expected a list of offsets such as [0ms, 410ms, 432ms], got {got}")
        return None
    found = [_duration(item, problems) for item in node.value]
    return None if None in found else tuple(found)  # type: ignore[arg-type]


class Window(NamedTuple):
    """A span of time, in microseconds; its end is not part of it."""

    begin: int
    end: int

    def __str__(self) -> str:
        return f"between {written(self.begin)} and {written(self.end)}"


def _between(node: Node, problems: Problems) -> Window | None:
    if not isinstance(node.value, list) or len(node.value) != 2:
        problems.add(node, f"expected when it begins and when it ends, such as [10s, 25s]; got {kind(node)}")
        return None
    begin, end = (_duration(one, problems) for one in node.value)
    if begin is None or end is None:
        return None
    if end <= begin:
        problems.add(node.value[1], f"it ends at {node.value[1].plain()}, and begins at {node.value[0].plain()}")
    return Window(begin, end)


Between = Annotated[Window, Reads(_between)]
Duration = Annotated[int, Reads(_duration)]
Delay = Annotated[int | Distribution, Reads(_delay)]
"""A duration, fixed or drawn for each request."""
Rate = Annotated[float, Reads(_rate)]
Share = Annotated[float, Reads(_share)]
Chunk = Annotated[Unit | Bytes, Reads(_chunk)]
Count = Annotated[int | Distribution, Reads(_burst)]
"""How many chunks come together, fixed or drawn for each delta."""
Offsets = Annotated[tuple[int, ...], Reads(_offsets)]
"""Times after the request, in order."""


def written(microseconds: int) -> str:
    """A duration as an author would write it."""
    for unit, size in (("s", 1_000_000), ("ms", 1_000)):
        if microseconds >= size and microseconds * 10 % size == 0:
            return f"{microseconds / size:g}{unit}"
    return f"{microseconds}us" if microseconds else "0s"


# -- the pace of a reply: a preset by name, or the keys of a timing ----------------------------------------------------

SHORTEST_PING = 10_000
MOST_OFFSETS = 100_000
# what a pause may stand before: the result of any server tool, or a block of one type
PAUSES = ("server_tool", *BLOCKS)


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded timeline: the offset of every event of the stream, or of every delta."""

    noun: ClassVar[str] = "replay"
    events: Offsets | None = None
    """The offset of every event, from message_start to message_stop."""
    deltas: Offsets | None = None
    """The offset of every content_block_delta; the other events come with the delta before them."""

    @property
    def offsets(self) -> tuple[int, ...]:
        return self.events or self.deltas or ()

    def mistakes(self) -> Mistakes:
        if (self.events is None) == (self.deltas is None):
            yield (), "a replay has the offsets of all events, or of the deltas: {events: […]} or {deltas: […]}"
        if len(self.offsets) > MOST_OFFSETS:
            yield (), f"a replay has at most {MOST_OFFSETS} offsets, got {len(self.offsets)}"


def _read_replay(node: Node, problems: Problems) -> Replay | None:
    """The offsets of the deltas as a list, or a mapping that says whose offsets they are."""
    if isinstance(node.value, list):
        node = node.under("deltas")
    before = len(problems.found)
    replay: Replay | None = decode(Replay, node, problems)
    if replay is None:
        return None
    item = node.value["deltas" if replay.events is None else "events"].value
    for at, (earlier, later) in enumerate(pairwise(replay.offsets), 1):
        if later < earlier:
            problems.add(item[at], f"offsets never go back: {item[at].plain()} after {item[at - 1].plain()}")
    return replay if len(problems.found) == before else None


def _read_pauses(node: Node, problems: Problems) -> Mapping[str, Any] | None:
    """Block type -> how long the model, or a tool of the server, thinks before it."""
    if not isinstance(node.value, dict):
        problems.add(node, f"expected a mapping such as {{server_tool: 1500ms}}, got {kind(node)}")
        return None
    for key in node.value:
        if key not in PAUSES:
            problems.add_key(node, key, f"unknown pause '{key}'{problems.one_of(key, PAUSES)}")
    return {key: decode(Delay, item, problems) for key, item in node.value.items() if key in PAUSES}


Pauses = Annotated[Mapping[str, int | Distribution], Reads(_read_pauses)]
Recorded = Annotated[Replay, Reads(_read_replay)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The pace of a reply: time to the first event, then a gap between deltas or a rate in tokens per second.

    Times are in microseconds, fixed or drawn for each request. `pauses` come before blocks of a type; `ping` or
    `keepalive` is the longest silence; `replay` stands in place of all that says when.
    """

    empty: ClassVar[tuple[str, ...]] = ()
    first: Delay = 0
    """Time to the first event, such as 400ms, or a distribution such as {p50: 400ms, p95: 2s}."""
    per_input_token: Duration = 0
    """What each input token adds to it, such as 0.2ms; tokens read from the cache add nothing."""
    gap: Delay | None = None
    """Time between two deltas, or a distribution."""
    rate: Rate | None = None
    """Tokens a second, such as 80/s, instead of a gap."""
    jitter: Share = 0.0
    """How far each fixed delay may be off, such as 20%: drawn for each request."""
    pauses: Pauses = field(default_factory=dict)
    """Time before blocks of a type, or a distribution: {server_tool: 1500ms, text: 300ms}."""
    ping: Duration | None = None
    """A ping whenever this long passes without an event, such as 5s."""
    keepalive: Duration | None = None
    """A comment, `: keepalive`, instead of a ping."""
    chunk: Chunk | None = None
    """What texts and tool JSON are split by: token, word, sentence, all, a number of characters, or {bytes: 7}. Without
    it texts come by token, tool JSON value by value."""
    burst: Count | None = None
    """How many such chunks one delta carries: 5, 1..10, or a distribution of numbers."""
    replay: Recorded | None = None
    """A recorded timeline instead: the offset of every delta, or {events: […]}."""

    def of(self, model: str) -> "Timing":
        """This pace: it is the same for every model."""
        return self

    @property
    def chunking(self) -> Chunking | None:
        """How texts are split into deltas; None: as the API does it, texts by token, a call's input by its values."""
        return self.chunk if self.burst is None else Burst(self.chunk or "token", self.burst)

    def mistakes(self) -> Mistakes:
        if self.gap is not None and self.rate is not None:
            yield ("rate",), "a pace is either a gap or a rate, not both"
        for name in ("ping", "keepalive"):
            if (every := getattr(self, name)) is not None and every < SHORTEST_PING:
                what = "ping" if name == "ping" else "comment"
                yield (name,), f"a {what} comes after 10ms of silence at the earliest"
        if self.ping is not None and self.keepalive is not None:
            yield ("keepalive",), "a silence has pings or comments, not both"
        if self.burst is not None and self.chunk == "all":
            yield ("burst",), "with chunk: all a text is one delta; there is nothing to put together"
        if self.replay is not None:
            for one in fields(self):
                if one.name in _REPLAYED and getattr(self, one.name) not in (None, 0, {}):
                    yield (one.name,), f"a replay says when everything comes; take '{one.name}' out"


_REPLAYED = ("first", "per_input_token", "gap", "rate", "pauses")

PRESETS: Mapping[str, Timing] = {
    "instant": Timing(),
    "fast": Timing(first=50_000, rate=200.0),
    "realistic": Timing(first=400_000, rate=80.0, jitter=0.2),
    "slow": Timing(first=2_000_000, rate=15.0, jitter=0.3),
}


def read_timing(node: Node, problems: Problems) -> Timing | None:
    """A preset by name, or the keys of a timing."""
    if not isinstance(node.value, str):
        timing: Timing | None = decode(Timing, node, problems)
        return timing
    if node.value not in PRESETS:
        problems.add(node, f"unknown timing '{node.value}'{one_of(node.value, PRESETS, ' or a mapping')}")
    return PRESETS.get(node.value)


Pace = Annotated[Timing, Reads(read_timing)]


# -- the pace of replies that set none ------------------------------------------------------------------------------


@dataclass(frozen=True)
class ByModel:
    """A pace for each model whose row in the profile has one, read when first asked for; `usual` is that of the others.

    Loading the profile has judged the rows already.
    """

    usual: Timing
    written: Mapping[str, Mapping[str, Any] | str]
    _known: dict[str, Timing] = field(default_factory=dict, repr=False, compare=False)

    def of(self, model: str) -> Timing:
        """The pace of the model with this id."""
        if model not in self.written:
            return self.usual
        found = self._known.get(model)
        if found is None:
            found = self._known[model] = _pace(self.written[model])
        return found


def _pace(written: Mapping[str, Any] | str) -> Timing:
    problems = Problems("timing")
    timing = read_timing(wrap(written), problems)
    problems.raise_found()
    assert timing is not None
    return timing


Pacing = Timing | ByModel
BY_MODEL = "model"


def pacing(name: str, profile: Profile) -> Pacing:
    """The pace that a setting names: a preset, or `model` for what the profile says of each model."""
    if name != BY_MODEL:
        return PRESETS[name]
    written = {model.id: model.timing for model in profile.models if model.timing is not None}
    return ByModel(PRESETS["realistic"], written) if written else PRESETS["realistic"]


# -- what a replay needs --------------------------------------------------------------------------------------------


def misfit(timing: Timing, reply: Sequence[Block]) -> str | None:
    """Why a recorded timeline is not that of this reply; None too where that depends on the request.

    Quoted texts whose place is yet to be found are left out where they have none.
    """
    if timing.replay is None:
        return None
    if any("type" not in one for block in reply if isinstance(block, Text) for one in block.citations or ()):
        return None
    deltas = sum(delta is not None for block in reply for delta, _ in block.deltas(timing.chunking))
    events = deltas + 2 * len(reply) + 4  # message_start, ping, message_delta, message_stop
    noun, needed = ("events", events) if timing.replay.events is not None else ("deltas", deltas)
    count = len(timing.replay.offsets)
    if count == needed:
        return None
    has, many = "offset" if count == 1 else "offsets", noun.removesuffix("s") if needed == 1 else noun
    return f"replay has {count} {has}; this reply has {needed} {many}, and each needs one"

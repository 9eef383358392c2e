"""The pace of a reply, as authors write it: a preset by name, or the keys of a timing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, fields
from itertools import pairwise
from typing import Annotated, Any, ClassVar

from mock_server.protocol.blocks import BLOCKS, Block, Text
from mock_server.protocol.chunk import Burst
from mock_server.protocol.chunk import Chunk as Chunking
from mock_server.protocol.profile import Profile
from mock_server.records import dataclass
from mock_server.scenario.decode import Reads, decode
from mock_server.scenario.distributions import Distribution
from mock_server.scenario.durations import Chunk, Count, Delay, Duration, Offsets, Rate, Share
from mock_server.scenario.node import Node, Problems, ScenarioError, kind, suggestion, wrap

Mistakes = Iterator[tuple[tuple[str | int, ...], str]]
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
        node = Node({"deltas": node}, node.mark)
    before = len(problems.found)
    replay: Replay | None = decode(Replay, node, problems)
    for key in ("events", "deltas") if replay is not None else ():
        listed = getattr(replay, key) or ()
        for at, (earlier, later) in enumerate(pairwise(listed), 1):
            if later < earlier:
                item = node.value[key].value
                problems.add(item[at], f"offsets never go back: {item[at].plain()} after {item[at - 1].plain()}")
    return replay if len(problems.found) == before else None


def _read_pauses(node: Node, problems: Problems) -> Mapping[str, Any] | None:
    """Block type -> how long the model, or a tool of the server, thinks before it."""
    if not isinstance(node.value, dict):
        problems.add(node, f"expected a mapping such as {{server_tool: 1500ms}}, got {kind(node)}")
        return None
    for key in node.value:
        if key not in PAUSES:
            close = suggestion(key, PAUSES)
            problems.add(node.keys.get(key) or node, f"unknown pause '{key}'; expected {', '.join(PAUSES)}{close}")
    return {key: decode(Delay, item, problems) for key, item in node.value.items() if key in PAUSES}


Pauses = Annotated[Mapping[str, int | Distribution], Reads(_read_pauses)]
Recorded = Annotated[Replay, Reads(_read_replay)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The pace of a reply: time to the first event, then a gap between deltas or a rate in tokens per second.

    Times are in microseconds, fixed or drawn for each request. `pauses` come before blocks of a type; `ping` is the
    longest silence; `replay` stands in place of all that says when.
    """

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
        if self.ping is not None and self.ping < SHORTEST_PING:
            yield ("ping",), "a ping comes after 10ms of silence at the earliest"
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
        close = suggestion(node.value, PRESETS)
        problems.add(node, f"unknown timing '{node.value}'; expected one of {', '.join(PRESETS)} or a mapping{close}")
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
    if problems.found or timing is None:
        raise ScenarioError(problems.found)
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
    given = len(timing.replay.offsets)
    if given == needed:
        return None
    has, many = "offset" if given == 1 else "offsets", noun.removesuffix("s") if needed == 1 else noun
    return f"replay has {given} {has}; this reply has {needed} {many}, and each needs one"

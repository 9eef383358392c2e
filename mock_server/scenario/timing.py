"""The pace of a reply, as authors write it: a preset by name, or the keys of a timing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from mock_server.scenario.decode import Reads, decode
from mock_server.scenario.durations import Chunk, Duration, Rate, Share
from mock_server.scenario.node import Node, Problems, suggestion

Mistakes = Iterator[tuple[tuple[str | int, ...], str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The pace of a reply: time to the first event, then a gap between deltas or a rate in tokens per second."""

    first: Duration = 0
    gap: Duration | None = None
    rate: Rate | None = None
    jitter: Share = 0.0
    chunk: Chunk = "token"

    def mistakes(self) -> Mistakes:
        if self.gap is not None and self.rate is not None:
            yield ("rate",), "a pace is either a gap or a rate, not both"


PRESETS: Mapping[str, Timing] = {
    "instant": Timing(),
    "fast": Timing(first=50_000, rate=200.0),
    "realistic": Timing(first=400_000, rate=80.0, jitter=0.2),
    "slow": Timing(first=2_000_000, rate=15.0, jitter=0.3),
}


def _read_timing(node: Node, problems: Problems) -> Timing | None:
    """A preset by name, or the keys of a timing."""
    if not isinstance(node.value, str):
        timing: Timing | None = decode(Timing, node, problems)
        return timing
    if node.value not in PRESETS:
        close = suggestion(node.value, PRESETS)
        problems.add(node, f"unknown timing '{node.value}'; expected one of {', '.join(PRESETS)} or a mapping{close}")
    return PRESETS.get(node.value)


Pace = Annotated[Timing, Reads(_read_timing)]

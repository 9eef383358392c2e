"""Numbers that vary, as authors write them: `{uniform: [200ms, 600ms]}`, `{p50: 400ms, p95: 2s}`, ….

Times are in microseconds inside. Every draw comes from a source that is passed in. The caller decides the
least and the most a draw may be: a normal distribution has no ends of its own.
"""

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from mock_server.records import dataclass
from mock_server.scenario.decode import Reader
from mock_server.scenario.node import Node, Problems, kind, suggestion

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
            problems.add(node.keys.get(key) or node, f"unknown distribution '{key}'; expected {EXAMPLE}{close}")
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
        problems.add(ends.value[1], f"the highest value is below the lowest, {_said(ends.value[0])}")
    return Uniform(low, high)


def _normal(node: Node, unit: Reader, problems: Problems) -> Normal | None:
    given = _parts(node.value["normal"], "normal", {"mean": unit, "sd": unit}, problems)
    return None if given is None else Normal(given["mean"], given["sd"])


def _gamma(node: Node, unit: Reader, problems: Problems) -> Gamma | None:
    inner = node.value["gamma"]
    given = _parts(inner, "gamma", {"mean": unit, "shape": _shape_of_gamma}, problems)
    if given is not None and not given["mean"]:
        problems.add(inner.value["mean"], "the mean of a gamma distribution is above 0")
        return None
    return None if given is None else Gamma(given["mean"], given["shape"])


def _shape_of_gamma(node: Node, problems: Problems) -> float | None:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.01 <= value <= 10_000:
        problems.add(node, f"expected a shape from 0.01 to 10000 such as 2, got {node.plain()!r}")
        return None
    return float(value)


def _percentiles(node: Node, unit: Reader, problems: Problems) -> Lognormal | None:
    name = next(key for key in node.value if key in PERCENTILES)
    middle, upper = unit(node.value["p50"], problems), unit(node.value[name], problems)
    if middle is None or upper is None:
        return None
    if not middle:
        problems.add(node.value["p50"], "p50 is above 0")
        return None
    if upper < middle:
        problems.add(node.value[name], f"{name} is below p50, {_said(node.value['p50'])}")
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
            close = suggestion(key, readers)
            problems.add(node.keys.get(key) or node, f"unknown key '{key}' in {noun}; expected {wanted}{close}")
    for key in readers:
        if key not in node.value:
            problems.add(node, f"missing key '{key}' in {noun}")
    read = {key: reader(node.value[key], problems) for key, reader in readers.items() if key in node.value}
    return read if len(read) == len(readers) and None not in read.values() else None


def _said(node: Node) -> str:
    return str(node.plain())


_READ: Mapping[str, Callable[[Node, Reader, Problems], Distribution | None]] = {
    "uniform": _uniform,
    "normal": _normal,
    "gamma": _gamma,
    "p50": _percentiles,
}

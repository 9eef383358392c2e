"""How authors write times and rates: `250ms`, `2s`, `80/s`, `20%`. Durations are whole microseconds inside."""

import re
from typing import Annotated, Any, get_args

from mock_server.protocol.chunk import Bytes, Named, Unit
from mock_server.scenario.decode import Reads
from mock_server.scenario.distributions import Distribution, Uniform, varying
from mock_server.scenario.node import Node, Problems, kind, suggestion

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
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _chunk(node: Node, problems: Problems) -> Unit | Bytes | None:
    value = node.value
    if value in CHUNKS or _is_count(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, dict) and list(value) == ["bytes"] and _is_count(value["bytes"].value):
        return Bytes(value["bytes"].value)
    close = suggestion(str(value), CHUNKS)
    expected = f"expected one of {', '.join(CHUNKS)}, a number of characters, or {{bytes: 7}}"
    problems.add(node, f"{expected}; got {node.plain()!r}{close}")
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


def _amount(node: Node, problems: Problems) -> float | None:
    """A number inside a distribution of counts."""
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_IN_BURST:
        problems.add(node, f"expected a number from 0 to {MOST_IN_BURST}, got {node.plain()!r}")
        return None
    return float(value)


_count_varying, _delay = varying(_amount), varying(_duration)


def _burst(node: Node, problems: Problems) -> int | Distribution | None:
    found: int | Distribution | None = (_count_varying if isinstance(node.value, dict) else _count)(node, problems)
    return found


def _offsets(node: Node, problems: Problems) -> tuple[int, ...] | None:
    if not isinstance(node.value, list) or not node.value:
        got = "an empty list" if node.value == [] else kind(node)
        problems.add(node, f"expected a list of offsets such as [0ms, 410ms, 432ms], got {got}")
        return None
    found = tuple(_duration(item, problems) for item in node.value)
    if None in found:
        return None
    return found  # type: ignore[return-value]


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

"""How authors write times and rates: `250ms`, `2s`, `80/s`, `20%`. Durations are whole microseconds inside."""

import re
from typing import Annotated

from mock_server.protocol.chunk import Chunk as _Chunk
from mock_server.scenario.decode import Reads
from mock_server.scenario.node import Node, Problems, suggestion

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m)")
_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000}
_LONGEST = 3_600_000_000
CHUNKS = ("token", "word", "sentence", "all")


def _duration(node: Node, problems: Problems) -> int | None:
    if node.value == 0 and not isinstance(node.value, bool):
        return 0
    found = _DURATION.fullmatch(node.value) if isinstance(node.value, str) else None
    if found is None:
        hint = f"; did you mean '{node.value}s' or '{node.value}ms'?" if isinstance(node.value, int | float) else ""
        problems.add(node, f"expected a duration such as 250ms or 2s, got {node.plain()!r}{hint}")
        return None
    length = round(float(found[1]) * _UNITS[found[2]])
    if length > _LONGEST:
        problems.add(node, f"expected a duration of an hour at most, got {node.value!r}")
        return None
    return length


def _rate(node: Node, problems: Problems) -> float | None:
    text = str(node.value).removesuffix("/s")
    if isinstance(node.value, bool) or not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) <= 0:
        problems.add(node, f"expected a rate in tokens per second such as 80/s, got {node.plain()!r}")
        return None
    return float(text)


def _share(node: Node, problems: Problems) -> float | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)%", node.value) if isinstance(node.value, str) else None
    share = float(found[1]) / 100 if found else 0.0 if node.value == 0 and not isinstance(node.value, bool) else None
    if share is None or share > 1:
        problems.add(node, f"expected a share from 0% to 100% such as 20%, got {node.plain()!r}")
        return None
    return share


def _chunk(node: Node, problems: Problems) -> _Chunk | None:
    value = node.value
    if value in CHUNKS or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value  # type: ignore[no-any-return]
    close = suggestion(str(value), CHUNKS)
    problems.add(node, f"expected one of {', '.join(CHUNKS)} or a number of characters; got {node.plain()!r}{close}")
    return None


Duration = Annotated[int, Reads(_duration)]
Rate = Annotated[float, Reads(_rate)]
Share = Annotated[float, Reads(_share)]
Chunk = Annotated[_Chunk, Reads(_chunk)]


def written(microseconds: int) -> str:
    """A duration as an author would write it."""
    for unit, size in (("s", 1_000_000), ("ms", 1_000)):
        if microseconds >= size and microseconds * 10 % size == 0:
            return f"{microseconds / size:g}{unit}"
    return f"{microseconds}us" if microseconds else "0s"

"""Paths into JSON: `metadata.user_id`, `messages[-1].content[*].type`, `content.0.text`. Conditions read what they lead
to, edits of a reply change it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mock_server.protocol.message import plain

_STEP = re.compile(r"\.?([^.\[\]*\s]+)|\[(-?\d{1,9})\]|\[?(\*)\]?|\[\"([^\"]+)\"\]|\.")

_MOST_DIGITS = 9  # of an index
Step = str | int | None  # a key, an index, or None for every one
MISSING: Any = object()


MOST_STEPS = 100  # of a path: no JSON that is read is deeper


def parse(path: str) -> tuple[Step, ...] | None:
    """The steps of a path, or None when it is none, or too long. A leading `$` is allowed."""
    rest = path.removeprefix("$").removeprefix(".")
    steps: list[Step] = []
    at = 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None or found.group() == ".":
            return None
        key, index, every, quoted = found.groups()
        steps.append(int(index) if index is not None else None if every else key or quoted)
        at = found.end()
        if len(steps) > MOST_STEPS:
            return None
    return tuple(steps) or None


def reader(steps: Sequence[Step]) -> Callable[[Any], Sequence[Any]]:
    """What the steps lead to in a value; without `*` in them that is one value, found without detours."""
    if None in steps or any(isinstance(step, int) or (step or "").isdecimal() for step in steps):
        return lambda value: list(find(value, steps)) or (MISSING,)

    def read(value: Any) -> Sequence[Any]:
        for step in steps:
            if type(value) is not dict or step not in value:
                return (MISSING,)
            value = value[step]
        return (value,)

    return read


def find(value: Any, steps: Sequence[Step]) -> Iterator[Any]:
    """Every value that the steps lead to."""
    if not steps:
        yield value
        return
    for key in _keys(value, steps[0]):
        yield from find(value[key], steps[1:])


def put(value: Any, steps: Sequence[Step], item: Any) -> bool:
    """Put a copy of `item` wherever the steps lead, also under a new key of an object; False where that is nowhere."""
    changed = False
    for holder in find(value, steps[:-1]):
        step = steps[-1]
        keys = (step,) if isinstance(step, str) and isinstance(holder, dict) else _keys(holder, step)
        for key in keys:
            holder[key] = plain(item)
            changed = True
    return changed


def take(value: Any, steps: Sequence[Step]) -> bool:
    """Take out what the steps lead to; False where there is nothing."""
    changed = False
    for holder in find(value, steps[:-1]):
        for key in reversed(_keys(holder, steps[-1])):
            del holder[key]
            changed = True
    return changed


def _keys(value: Any, step: Step) -> Sequence[Any]:
    """The keys or the indexes that one step means in a value. A bare number is an index in a list, a key elsewhere."""
    if isinstance(value, dict):
        return list(value) if step is None else (step,) if step in value else ()
    if not isinstance(value, list):
        return ()
    if step is None:
        return range(len(value))
    at = int(step) if isinstance(step, str) and step.isdecimal() and len(step) <= _MOST_DIGITS else step
    return (at,) if isinstance(at, int) and -len(value) <= at < len(value) else ()

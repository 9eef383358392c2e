"""Paths into JSON: `metadata.user_id`, `messages[-1].content[*].type`, `content.0.text`. For the subject `body`, for
tool inputs and for edits of a reply.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

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
    for inner in _inside(value, steps[0]):
        yield from find(inner, steps[1:])


def step_in(value: Any, step: Step) -> Step:
    """A step as it is meant in this value: a bare number is an index in a list, and a key elsewhere."""
    is_index = isinstance(value, list) and isinstance(step, str) and step.isdecimal() and len(step) <= _MOST_DIGITS
    return int(step) if is_index else step  # type: ignore[arg-type]


def _inside(value: Any, step: Step) -> Sequence[Any]:
    step = step_in(value, step)
    if step is None:
        return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(step, str):
        return (value[step],) if isinstance(value, dict) and step in value else ()
    return (value[step],) if isinstance(value, list) and -len(value) <= step < len(value) else ()

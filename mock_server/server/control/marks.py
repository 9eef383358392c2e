"""What stands out on the timeline of a reply: where a gate holds it, a fault struck, it is cut."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mock_server.protocol.plan import Plan, Wait, unrolled

Kind = Literal["gate", "stall", "fault", "cut"]
_TOLD = frozenset(
    ("gate", "disconnect", "reset", "empty_response")
)  # a wait or the cut is all there is to tell of them
_ENDINGS: Mapping[str, str] = {
    "end": "ends here",
    "close": "connection closed, the body not ended",
    "reset": "connection reset",
}


class Mark(NamedTuple):
    """`event`: the index of the event it stands before; the number of events for what comes behind the last one."""

    event: int
    kind: Kind
    text: str


def marks(plan: Plan, faults: Sequence[str]) -> list[dict[str, Any]]:
    """The marks of a reply that was given these faults (in words), in the order of its events."""
    found = sorted((*_waits(plan), *_struck(plan, faults), *_cut(plan)), key=lambda mark: mark.event)
    return [mark._asdict() for mark in found]


def _waits(plan: Plan) -> Iterator[Mark]:
    passed = 0
    for part in plan.parts:
        if part.wait is not None and part.wait.gate is not None:
            yield Mark(passed, "gate", f"gate {part.wait.gate}")
        elif part.wait is not None:
            yield Mark(passed, "stall", "nothing more until the client leaves")
        passed += len(part.frames)


def _cut(plan: Plan) -> Iterator[Mark]:
    manner = plan.manner
    if manner is not None and manner.ending is not None:
        text = "connection ended without a byte" if manner.head == b"" else _ENDINGS[manner.ending]
        yield Mark(len(plan.frames), "cut", text)


def _struck(plan: Plan, faults: Sequence[str]) -> Iterator[Mark]:
    """The first frame that is not as it was before, or not at its time. What only ends the reply has a mark already.

    Which of several faults changed which frame cannot be told from the plan: they share the mark of the first change.
    """
    done = [fault for fault in faults if fault.split(" ")[0] not in _TOLD]
    if plan.intact is None or not done:
        return
    at = _first_change(_steps(plan.intact), _steps(plan))
    is_cut = (plan.manner is not None and plan.manner.ending is not None) or any(
        part.wait is not None and part.wait.gate is None for part in plan.parts
    )
    if at is None and not is_cut:  # the head alone is another
        at = 0
    if at is not None and not (is_cut and at == len(plan.frames)):
        yield Mark(at, "fault", done[0] if len(done) == 1 else f"from here on {', '.join(done)}")


def _steps(plan: Plan) -> list[tuple[int, bytes]]:
    return [(step.delay, step.frame) for step in unrolled(plan) if not isinstance(step, Wait)]


def _first_change(before: Sequence[tuple[int, bytes]], after: Sequence[tuple[int, bytes]]) -> int | None:
    for at, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return at
    return None if len(before) == len(after) else min(len(before), len(after))

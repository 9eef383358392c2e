"""Faults that have no place in the reply they are written beside: found at load, by applying them to it."""

from collections.abc import Iterator
from random import Random

from mock_server.protocol.events import events
from mock_server.protocol.message import Message
from mock_server.protocol.plan import AT_ONCE, JSON_HEADERS, Part, Plan, whole
from mock_server.protocol.sse import frame
from mock_server.scenario.answer import Answer
from mock_server.scenario.error import Failure
from mock_server.scenario.faults import Fault, reason_of
from mock_server.scenario.place import CannotApply, Site
from mock_server.scenario.timing import Mistakes, Timing
from mock_server.scenario.wire import Wire

_NO_USAGE = {"input_tokens": 0, "output_tokens": 0}


def misfits(leaf: Answer) -> Mistakes:
    """What cannot apply to this reply or error, as (path to the fault, text). A reply that is made for each
    request is not known yet: there the request gets a warning."""
    plan = _plan(leaf)
    if plan is None:
        return
    site = Site(Random(0), plan if plan.stream else None, _failed)
    for key, at, fault in sorted(_written(leaf), key=lambda found: isinstance(found[2], Wire)):
        try:
            plan = fault.apply(plan, site)
        except CannotApply as reason:
            yield (key, at), reason_of(fault, reason)


def _written(leaf: Answer) -> Iterator[tuple[str, int, Fault]]:
    for key in ("gate", "fault"):
        for at, fault in enumerate(getattr(leaf, key) or ()):
            yield key, at, fault


def _plan(leaf: Answer) -> Plan | None:
    """The reply as a stream without its ids and counters; None while it cannot be known."""
    if leaf.error is not None:
        return _failed(leaf.error)
    if leaf.reply is None or leaf.is_open or any(getattr(block, "is_open", False) for block in leaf.reply):
        return None
    chunk = (leaf.timing or Timing()).chunking
    message = Message("", "", leaf.reply, leaf.ending, leaf.stop_sequence, None, _NO_USAGE, _NO_USAGE)
    payloads = tuple(event.payload for event in events(message, chunk))
    return Plan(200, (), (Part(tuple(map(frame, payloads)), AT_ONCE * len(payloads), None, payloads),), True)


def _failed(script: Failure, *, streamed: bool = False) -> Plan:
    return whole(script.http_status, JSON_HEADERS, b"{}")

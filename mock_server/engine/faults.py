"""What goes wrong with one reply, and the plan after it: faults of its script, of overlays, of the request's header.

Chance is drawn from the seed, the key, the request and how often it came: never from arrival order.
"""

import functools
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from random import Random
from typing import Any, NamedTuple

from mock_server.engine.choose import Lookup
from mock_server.engine.errors import failure, scripted
from mock_server.engine.exchange import Call, Exchange, Late, Steps, Work, digest_of
from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.message import said
from mock_server.protocol.plan import JSON_HEADERS, SSE_HEADERS, Headers, Plan, whole
from mock_server.protocol.sse import dumps, encode
from mock_server.scenario import faults
from mock_server.scenario.answer import Answer
from mock_server.scenario.error import Failure
from mock_server.scenario.faults import Applied, Fault
from mock_server.scenario.faults.place import Site
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.timing import Timing

log = logging.getLogger("mock_server")
HEADER = "x-mock-fault"


class ReplyFaults(NamedTuple):
    """What happens to one reply: its faults in order, and a pace laid over its own."""

    faults: tuple[Fault, ...] = ()
    timing: Timing | None = None


NONE = ReplyFaults()


def faults_for(call: Call, lookup: Lookup, overlays: Iterable[Scenario], answer: Answer | None) -> ReplyFaults:
    """What a reply is to suffer. Raises ApiError (400) for a header that names no fault."""
    own = () if answer is None else answer.faults
    laid = [one for one in overlays if _applies(one, lookup)]
    found = (*own, *(fault for one in laid for fault in (*(one.gate or ()), *(one.fault or ()))), *of_header(call))
    timing = next((one.timing for one in laid if one.timing is not None), None)
    return ReplyFaults(found, timing) if found or timing is not None else NONE


def of_header(call: Call) -> tuple[Fault, ...]:
    """The faults that a request asks for itself. Raises ApiError (400)."""
    text = call.http.headers.get(HEADER)
    if text is None:
        return ()
    try:
        return _parsed(text)
    except ScenarioError as error:
        raise invalid(str(error), headers={"x-should-retry": "false"}) from None


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[Fault, ...]:
    return faults.parse_header(text)


def _applies(overlay: Scenario, lookup: Lookup) -> bool:
    """Whether an overlay is for this request, and drawn; what was drawn for is counted."""
    if overlay.when is not None and not overlay.when.holds(lookup.newest):
        return False
    if overlay.chance is None:
        return True
    drawn = lookup.draw(overlay.name, 0)
    lookup.cursors.drawn.add((lookup.key, overlay.name, lookup.request.fingerprint))
    return drawn < overlay.chance


def apply_faults(call: Call, plan: Plan, breaks: Iterable[Fault], told: Plan | None, seed: bytes) -> Applied:
    """The plan after its faults. `told`: the same message as a stream; `seed`: what is drawn for this exchange."""
    terms = call.session.in_force
    name = terms.profile.request_id_headers[0]
    request_id = next((value for header, value in plan.headers if header == name), "")

    def fail(script: Failure, *, streamed: bool = False) -> Plan:
        error = scripted(script, Answer(), fast_retries=terms.settings.fast_retries)
        return failure(error, call.session, request_id, streamed=streamed)

    done = faults.applied(plan, tuple(breaks), Site(Random(seed + b"faults"), told, fail))
    for reason in done.failed:
        log.warning("a fault could not be applied: %s", reason)
    return done._replace(plan=done.plan._replace(headers=done.plan.headers + tuple(warnings(done.failed))))


def beside(call: Call, exchange: Exchange) -> Exchange:
    """An exchange of another endpoint than messages with the faults that its request asks for."""
    if isinstance(exchange.late, Work):
        steps = _Then(exchange.late.steps, lambda done: beside(call, done))
        return exchange._replace(late=exchange.late._replace(steps=steps))
    if isinstance(exchange.late, Late):
        settle = exchange.late.settle
        return exchange._replace(late=exchange.late._replace(settle=lambda given: beside(call, settle(given))))
    done = apply_faults(call, exchange.plan, of_header(call), None, digest_of(call.http, call.reading))
    return exchange._replace(plan=done.plan, faults=done.faults, note=noted(done, exchange.note))


class _Then(Generator[Late | None, Exchange | None, Exchange]):
    """Steps under way, and what is made of the exchange that they come to."""

    def __init__(self, steps: Steps, finish: Callable[[Exchange], Exchange]) -> None:
        self._steps = steps
        self._finish = finish

    def send(self, value: Exchange | None) -> Late | None:
        try:
            return self._steps.send(value)
        except StopIteration as end:
            raise StopIteration(self._finish(end.value)) from None

    def throw(self, *error: Any) -> Late | None:
        try:
            return self._steps.throw(*error)
        except StopIteration as end:
            raise StopIteration(self._finish(end.value)) from None

    def close(self) -> None:
        self._steps.close()


def noted(done: Applied, note: str = "") -> str:
    """What the journal notes: the reason itself, what else is to be said, and the faults that could not be applied."""
    failed = [f"fault not applied: {reason}" for reason in done.failed]
    return "; ".join([*([note] if note else []), *done.notes, *failed])


def warnings(failed: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The headers that tell what could not be applied."""
    for reason in failed:
        yield "x-mock-warning", f"fault not applied: {reason}".replace("\n", " ").encode("ascii", "replace").decode()


def as_json(streamed: Plan) -> Plan:
    """The reply that is not a stream, from the one that is: what the events fold to, due when the last one is."""
    headers: Headers = (*JSON_HEADERS, *streamed.headers[len(SSE_HEADERS) :])
    message = said(streamed)
    return whole(streamed.status, headers, encode(dumps(message)), streamed.due[-1], message)._replace(
        tokens=streamed.tokens
    )


def refused(error: ApiError, call_headers: Iterable[str]) -> ApiError:
    """The error of a request that asked for a fault it did not get: it was refused before."""
    if HEADER in call_headers:
        error.headers["x-mock-warning"] = "fault not applied: the request was refused"
    return error

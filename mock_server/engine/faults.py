"""What goes wrong with one reply, and the plan after it: faults of its script, of overlays, of the request's header.

Chance is drawn from the seed, the key, the request and how often it came: never from arrival order.
"""

import functools
import gzip
import logging
import zlib
from collections.abc import Iterable
from random import Random
from typing import Any, NamedTuple

from mock_server.engine.choose import Choice, Lookup
from mock_server.engine.errors import failure, scripted
from mock_server.engine.exchange import Call, Exchange, afterwards, digest_of, warn
from mock_server.protocol.errors import invalid
from mock_server.protocol.message import sent_message
from mock_server.protocol.plan import JSON_HEADERS, SSE_HEADERS, Headers, Plan, whole
from mock_server.protocol.request import FAULT_HEADER, MessagesRequest
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


class ReplyFaults(NamedTuple):
    """What happens to one reply: its faults in order, and the pace of an overlay in place of its own."""

    faults: tuple[Fault, ...] = ()
    timing: Timing | None = None


NONE = ReplyFaults()


def faults_for(call: Call, lookup: Lookup, overlays: Iterable[Scenario], answer: Answer | None) -> ReplyFaults:
    """What a reply is to suffer. Raises ApiError (400) for a header that names no fault."""
    own = () if answer is None else answer.faults
    active = [one for one in overlays if _applies(one, call, lookup)]
    found = (*own, *(fault for one in active for fault in (*(one.gate or ()), *(one.fault or ()))), *of_header(call))
    timing = next((one.timing for one in active if one.timing is not None), None)
    return ReplyFaults(found, timing) if found or timing is not None else NONE


def of_header(call: Call) -> tuple[Fault, ...]:
    """The faults that a request asks for itself. Raises ApiError (400)."""
    text = call.http.headers.get(FAULT_HEADER)
    if text is None:
        return ()
    try:
        return _parsed(text)
    except ScenarioError as error:
        raise invalid(str(error)) from None


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[Fault, ...]:
    return faults.parse_header(text)


def _applies(overlay: Scenario, call: Call, lookup: Lookup) -> bool:
    """Whether an overlay is for this request and this time, and drawn; what was drawn for is counted."""
    if overlay.when is not None and not overlay.when.holds(lookup.newest):
        return False
    if overlay.between is not None:
        window = overlay.between
        if not window.begin <= round(call.session.since(overlay) * 1_000_000) < window.end:
            return False
    if overlay.chance is None:
        return True
    drawn = lookup.draw(overlay.name, 0)
    lookup.cursors.drawn.add((lookup.key, overlay.name, lookup.request.fingerprint))
    return drawn < overlay.chance


def apply_faults(
    call: Call,
    plan: Plan,
    breaks: Iterable[Fault],
    streamed: Plan | None,
    seed: bytes,
    most: int = faults.MOST_WORK,
) -> Applied:
    """The plan after its faults. `streamed`: the same message as a stream; `seed`: where what they draw comes from;
    `most`: how many frames all of them may go through.
    """
    in_force = call.session.in_force
    name = in_force.profile.request_id_headers[0]
    request_id = next((value for header, value in plan.headers if header == name), "")

    def fail(script: Failure, *, streamed: bool = False) -> Plan:
        error = scripted(script, Answer(), fast_retries=in_force.settings.fast_retries)
        return failure(error, call.session, request_id, streamed=streamed)

    shows = (lambda one: (one.status, unpacked(one))) if call.in_batch else None  # a line of results
    done = faults.applied(plan, tuple(breaks), Site(Random(seed + b"faults"), streamed, fail, shows=shows), most)
    for reason in done.failed:
        log.warning("a fault could not be applied: %s", reason)
    return done


def with_faults(call: Call, exchange: Exchange, breaks: tuple[Fault, ...]) -> Exchange:
    """An exchange of another endpoint than messages with these faults."""
    if not breaks:
        return exchange
    if exchange.late is not None:
        return afterwards(exchange, lambda done: with_faults(call, done, breaks))
    done = apply_faults(call, exchange.plan, breaks, None, digest_of(call.http, call.reading))
    exchange = exchange._replace(plan=done.plan, faults=done.faults, note=noted(done, exchange.note))
    return warn(exchange, *not_applied(done.failed))


def stand_in(call: Call, body: dict[str, Any] | None) -> MessagesRequest:
    """A request to another endpoint as scenarios see it. `body`: that of one that has a prompt."""
    request = MessagesRequest(_NO_PROMPT if body is None else body, call.http.headers, call.http.body)
    vars(request)["fingerprint"] = digest_of(call.http, call.reading)  # of what came, and where to
    return request


_NO_PROMPT: dict[str, Any] = {"model": "", "messages": [{"role": "user", "content": ""}]}


def answered(call: Call, lookup: Lookup, choice: Choice, overlays: Iterable[Scenario]) -> Exchange:
    """The error that a scenario gives for a request to another endpoint than messages."""
    answer, scenario, session = choice.answer, choice.scenario, call.session
    assert answer.error is not None
    breaks = faults_for(call, lookup, overlays, answer).faults
    if choice.begins or scenario.counts:
        lookup.cursors.commit(call.key, choice, lookup.request)
    error = scripted(answer.error, answer, fast_retries=session.in_force.settings.fast_retries)
    plan = failure(error, session, call.ids.new("req"))
    headed = plan._replace(headers=(*plan.headers, scenario.header, ("x-mock-turn", "1")))
    exchange = Exchange(
        headed, scenario.name, 1, choice.attempt, lookup.view.endpoint, answer, understood=True, aside=True
    )
    return with_faults(call, exchange, breaks)


def is_lost(plan: Plan) -> bool:
    """Whether a reply has not come whole: an error instead, or a body that is cut, held for good or cannot be unpacked.

    Every reply after which the Python SDK asks again is one; so is a stream that is cut, though there it does not.
    """
    if not 200 <= plan.status < 400 or (plan.manner is not None and plan.manner.ending is not None):
        return True
    if any(part.wait is not None and part.wait.gate is None for part in plan.parts):
        return True
    return _PACKED in plan.headers and unpacked(plan) is None


_PACKED = ("content-encoding", "gzip")


def unpacked(plan: Plan) -> bytes | None:
    """The body of a reply as a client reads it; None where its headers say that it is packed, and it is not."""
    body = plan.body()
    if _PACKED not in plan.headers:
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return None


def noted(done: Applied, note: str = "") -> str:
    """The note of the journal: its reason, the notes of the faults, and those that could not be applied."""
    return "; ".join([*([note] if note else []), *done.notes, *not_applied(done.failed)])


def not_applied(failed: Iterable[str]) -> list[str]:
    """The warnings of faults that could not be applied."""
    return [f"fault not applied: {reason}" for reason in failed]


def as_json(streamed: Plan) -> Plan:
    """The reply that is not a stream, from the one that is: what the events fold to, due when the last one is."""
    headers: Headers = (*JSON_HEADERS, *streamed.headers[len(SSE_HEADERS) :])
    message = sent_message(streamed)
    return whole(streamed.status, headers, encode(dumps(message)), streamed.due[-1], message)._replace(
        tokens=streamed.tokens
    )


def refused(call_headers: Iterable[str]) -> tuple[str, ...]:
    """The warning to a request that asked for a fault and did not get it, since it was refused before."""
    return ("fault not applied: the request was refused",) if FAULT_HEADER in call_headers else ()

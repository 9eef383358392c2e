"""`/v1/messages/batches`: create, list, get, cancel, delete, results; each request of one takes the straight line of
POST /v1/messages.
"""

import functools
from array import array
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any

from mock_server.engine.batches import Batch, Item, Kind, Sender
from mock_server.engine.endpoints import messages
from mock_server.engine.errors import failure, headers_for, json_reply
from mock_server.engine.exchange import Apart, Call, Exchange, Late, base_url, give_way, read_apart
from mock_server.engine.faults import unpacked
from mock_server.engine.session import Session
from mock_server.protocol import message
from mock_server.protocol.errors import failure_of_ours
from mock_server.protocol.plan import NOTHING, Headers, Part, Payload, Plan, whole
from mock_server.protocol.query import PAGE, id_page
from mock_server.protocol.request import LONG, HttpRequest, parse_json
from mock_server.protocol.rules import requests_of
from mock_server.protocol.sse import dumps, encode, read_json

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine


# The requests of a batch -> the lines of its results. In the journal each is a request like any other; of one batch the
# first `NOTED` are kept, the others are only counted.

NOTED = 100
SLICE = 50  # requests that are answered before others have their turn
MESSAGES_PATH = "/v1/messages"
# headers of the create that are not those of its requests
_NOT_THEIRS = frozenset(("content-length", "content-encoding", "transfer-encoding", "x-stainless-retry-count"))


def headers_of(http: HttpRequest) -> dict[str, str]:
    """What the requests of a batch come under: the headers of its create."""
    return {name.lower(): value for name, value in http.headers.items() if name.lower() not in _NOT_THEIRS}


# What has to be awaited of the work on a batch before it goes on.
Step = Callable[[Apart], Awaitable[None]]


def _answering(engine: "Engine", session: Session, batch: Batch) -> Iterator[Step]:
    """Answer every pending request of a batch whose time is over; those it does not reach are canceled or expire. Each
    step is to be awaited before the next is taken: a reply that is late, or after a slice the turn of others.
    """
    batch.is_answering = True
    try:
        for at, item in enumerate(batch.pending(), batch.settled):
            if at >= batch.reached:
                batch.settle(item, batch.left)
                continue
            headers = {**batch.sender.headers, "x-mock-custom-id": item.custom_id, "x-mock-batch": batch.id}
            http = HttpRequest("POST", MESSAGES_PATH, headers, item.params)
            exchange = _answered(engine, session, batch.sender.key, http)
            settle = functools.partial(_settle, engine, session, batch, item, http, is_noted=at < NOTED)
            if exchange.late is None:
                settle(exchange)
            else:
                yield functools.partial(_settle_late, session, exchange.late, settle)
            if at % SLICE == SLICE - 1:
                yield _give_way
    finally:
        batch.is_answering = False


def _answered(engine: "Engine", session: Session, key: str, http: HttpRequest) -> Exchange:
    """What answers one request; a long one is read in another thread first, as one that comes by itself is."""
    answer = functools.partial(engine.answer, http, session, key, in_batch=True)
    if len(http.body) < LONG:
        return answer()

    async def reply(apart: Apart) -> Exchange:
        reading = await apart(read_apart, messages.read_ahead, http, session, patience=messages.PATIENCE)
        exchange = answer(reading=reading)
        return exchange if exchange.late is None else await exchange.late.reply(apart)

    return Exchange(NOTHING, late=Late(reply))


async def _give_way(apart: Apart) -> None:
    await give_way()


async def _settle_late(session: Session, late: Late, settle: Callable[[Exchange], None], apart: Apart) -> None:
    """Settle a request with its late reply: errored where a function raises, and the journal keeps the exception."""
    from asyncio import CancelledError  # where anything is awaited there is a loop

    try:
        exchange = await late.reply(apart)
    except (CancelledError, GeneratorExit):
        raise
    except BaseException as error:  # of a test: its own kind of failure is not an Exception
        session.journal.failed(error)
        failed = failure_of_ours(f"{type(error).__name__}: {error}")
        exchange = Exchange(failure(failed, session, session.ids().new("req")), note=str(failed))
    settle(exchange)


def _settle(
    engine: "Engine",
    session: Session,
    batch: Batch,
    item: Item,
    http: HttpRequest,
    exchange: Exchange,
    *,
    is_noted: bool,
) -> None:
    """Write down what one request came to; and it is noted in the journal, or counted there."""
    kind, body = _as_result(exchange)
    data = b"" if body is None else encode(dumps(body))
    batch.settle(item, kind, data)
    if not is_noted:
        session.journal.pass_over(exchange)
        return
    if data:
        plan = exchange.plan
        exchange = exchange._replace(plan=whole(plan.status, plan.headers, data, 0, body)._replace(tokens=plan.tokens))
    kept = engine.journals.kept(http)
    entry = engine.journals.record(session.journal, session.clock.unix(), kept, exchange)
    entry.in_batch = True
    entry.end("completed", 1)


def _as_result(exchange: Exchange) -> tuple[Kind, Payload | None]:
    """The result in the line of a request: its kind, and the message or the error."""
    if exchange.answer is not None and exchange.answer.batch is not None:
        return exchange.answer.batch, None
    plan = exchange.plan
    body = (message.sent_message(plan) if plan.intact is None else read_json(unpacked(plan) or b"")) or {}
    if plan.status == 200 and body.get("type") == "message":
        return "succeeded", {**body, "usage": {**body["usage"], "service_tier": "batch"}}
    if body.get("type") != "error":  # cut off or garbled by a fault: nothing a line could hold
        body = {"type": "error", "error": {"type": "api_error", "message": "Internal server error"}}
    return "errored", body


# The endpoints. Shapes: docs/protocol.md F.3.

PATH = "/v1/messages/batches"
JSONL: Headers = (("content-type", "application/x-jsonl"),)
# how fast results go out: a client that reads slowly does not have all of them put before it at once
PIECES_PER_MS = 16
POLL: Headers = (("retry-after", "10"),)  # when to look again at a batch that has not ended


def read(http: HttpRequest, session: Session) -> list[Item]:
    """The requests of a batch. Raises ApiError."""
    listed = requests_of(parse_json(http.body), session.in_force.profile)
    return [Item(one["custom_id"], encode(dumps(one["params"]))) for one in listed]


def create(engine: "Engine", call: Call) -> Exchange:
    """`POST …/batches`."""
    call.query({})
    session = call.session
    items = call.read(read)
    now = session.clock.now()
    batch = Batch(
        "msgbatch_01" + call.ids_of().take(22),
        items,
        Sender(call.key, headers_of(call.http)),
        now=now,
        unix=session.reply_time(),
        seconds=session.in_force.settings.batch_seconds,
    )
    session.batches.add(batch, now)
    return _batch_reply(call, batch)


def get(engine: "Engine", call: Call) -> Exchange:
    """`GET …/{id}`."""
    call.query({})
    batch = _named(call)
    return _looked_at(engine, call, [batch], lambda: _batch_reply(call, batch, () if batch.has_ended else POLL))


def list_all(engine: "Engine", call: Call) -> Exchange:
    """`GET …/batches`: newest first."""
    query = call.query(PAGE)
    held = {batch.id: batch for batch in call.session.batches.newest_first()}
    shown = [held[one["id"]] for one in id_page(held, query, lambda batch: {"id": batch.id})["data"]]
    return _looked_at(engine, call, shown, lambda: _reply(call, id_page(held, query, lambda one: _view(call, one))))


def cancel(engine: "Engine", call: Call) -> Exchange:
    """`POST …/{id}/cancel`: what is not answered yet is canceled."""
    call.query({})
    batch = _named(call)
    batch.cancel(call.session.clock.now())
    return _batch_reply(call, batch)


def delete(engine: "Engine", call: Call) -> Exchange:
    """`DELETE …/{id}`: only what has ended."""
    call.query({})
    batch = _named(call)
    call.session.batches.delete(batch.id, call.session.clock.now())
    return _reply(call, {"id": batch.id, "type": "message_batch_deleted"})


def results(engine: "Engine", call: Call) -> Exchange:
    """`GET …/{id}/results`: one JSON line a request."""
    call.query({})
    batch = _named(call)
    batch.allow_results(call.session.clock.now())
    return _looked_at(engine, call, [batch], lambda: Exchange(_lines(call, batch), note="batch results"))


def _named(call: Call) -> Batch:
    return call.session.batches.find(call.params["id"])


def _looked_at(engine: "Engine", call: Call, batches: Iterable[Batch], reply: Callable[[], Exchange]) -> Exchange:
    """The reply once all of these batches whose time is over are answered; one that somebody else sees to is not
    waited for."""
    steps = _steps(engine, call.session, batches)
    first = next(steps, None)
    if first is None:
        return reply()

    async def looked(apart: Apart) -> Exchange:
        with closing(steps):
            for step in chain((first,), steps):
                await step(apart)
        return reply()

    return Exchange(NOTHING, late=Late(looked))


def _steps(engine: "Engine", session: Session, batches: Iterable[Batch]) -> Generator[Step, None, None]:
    now = session.clock.now()
    for batch in batches:
        if batch.is_over(now) and not batch.has_ended and not batch.is_answering:
            yield from _answering(engine, session, batch)


def _batch_reply(call: Call, batch: Batch, more: Headers = ()) -> Exchange:
    return _reply(call, _view(call, batch), more)


def _view(call: Call, batch: Batch) -> dict[str, Any]:
    return batch.payload(call.session.clock.now(), f"{base_url(call.http)}{PATH}/{batch.id}/results")


def _reply(call: Call, body: dict[str, Any], more: Headers = ()) -> Exchange:
    return Exchange(json_reply(call, body, more), note="batch")


def _lines(call: Call, batch: Batch) -> Plan:
    """The results as a body of unknown length, in the pieces they are kept in. A clock that stands still holds none of
    them back."""
    apart = 0 if call.session.clock.frozen else 1_000
    at = array("I", [piece // PIECES_PER_MS * apart for piece in range(len(batch.frames))])
    named: Headers = (("content-disposition", f"attachment; filename*=utf-8''{batch.id}_results.jsonl"),)
    return Plan(200, JSONL + headers_for(call) + named, (Part(tuple(batch.frames), at),), True)

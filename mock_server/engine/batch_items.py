"""The requests of a batch -> the lines of its results. Each takes the same straight line as POST /v1/messages.

In the journal each is a request like any other; of one batch the first `NOTED` are kept, the others are only counted.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING

from mock_server.engine.batches import Batch, Item, Kind
from mock_server.engine.exchange import Exchange, Late
from mock_server.engine.failure import failure
from mock_server.engine.session import Session
from mock_server.protocol import message
from mock_server.protocol.errors import ApiError
from mock_server.protocol.plan import Payload, whole
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps, encode, read_json

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine

NOTED = 100
SLICE = 50  # requests that are answered before others have their turn
PATH = "/v1/messages"
# headers of the create that are not those of its requests
_NOT_THEIRS = frozenset(("content-length", "content-encoding", "transfer-encoding", "x-stainless-retry-count"))


def headers_of(http: HttpRequest) -> dict[str, str]:
    """What the requests of a batch come under: the headers of its create."""
    return {name.lower(): value for name, value in http.headers.items() if name.lower() not in _NOT_THEIRS}


def answering(engine: "Engine", session: Session, batch: Batch) -> Generator[Late | None, Exchange | None, None]:
    """Answer every pending request of a batch whose time is over; those it does not reach are canceled or expire."""
    batch.is_answering = True
    try:
        for at, item in enumerate(batch.pending(), batch.settled):
            if at >= batch.reached:
                batch.settle(item, batch.left)
                continue
            batch.settle(item, *(yield from _result(engine, session, batch, item, is_noted=at < NOTED)))
            if at % SLICE == SLICE - 1:
                yield None
    finally:
        batch.is_answering = False


Result = tuple[Kind, bytes]


def _result(
    engine: "Engine", session: Session, batch: Batch, item: Item, *, is_noted: bool
) -> Generator[Late | None, Exchange | None, Result]:
    """What one request comes to; and it is noted in the journal, or counted there."""
    headers = {**batch.sender.headers, "x-mock-custom-id": item.custom_id, "x-mock-batch": batch.id}
    http = HttpRequest("POST", PATH, headers, item.params)
    exchange = engine.answer(http, session, batch.sender.key, in_batch=True)
    if isinstance(exchange.late, Late):
        exchange = yield from _given(exchange.late, session)
    kind, body = _as_result(exchange)
    said = b"" if body is None else encode(dumps(body))
    if not is_noted:
        session.journal.pass_over(exchange)
        return kind, said
    if said:
        plan = exchange.plan
        exchange = exchange._replace(plan=whole(plan.status, plan.headers, said, 0, body)._replace(tokens=plan.tokens))
    kept = engine.journals.kept(http)
    engine.journals.record(session.journal, session.clock.unix(), kept, exchange, session).end("completed", 1)
    return kind, said


def _given(late: Late, session: Session) -> Generator[Late | None, Exchange | None, Exchange]:
    """What a Python function gives; an errored request when it raises, and the journal keeps the exception."""
    try:
        exchange = yield late
    except GeneratorExit:
        raise
    except BaseException as error:  # of a test: its own kind of failure is not an Exception
        session.journal.failed(error)
        told = ApiError("api_error", f"mock-server: {type(error).__name__}: {error}")
        return Exchange(failure(told, session, session.ids().request()), note=str(told))
    assert exchange is not None
    return exchange


def _as_result(exchange: Exchange) -> tuple[Kind, Payload | None]:
    """The result that the line of a request tells: its kind, and the message or the error."""
    if exchange.answer is not None and exchange.answer.batch is not None:
        return exchange.answer.batch, None
    plan = exchange.plan
    body = (message.said(plan) if plan.intact is None else read_json(plan.body())) or {}
    if plan.status == 200 and body.get("type") == "message":
        return "succeeded", {**body, "usage": {**body["usage"], "service_tier": "batch"}}
    if body.get("type") != "error":  # cut off or garbled by a fault: nothing a line could hold
        body = {"type": "error", "error": {"type": "api_error", "message": "Internal server error"}}
    return "errored", body

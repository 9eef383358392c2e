"""The legacy `POST /v1/complete`: scenarios answer it as they would answer the same prompt as a message."""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from mock_server.engine.admission import passing_over
from mock_server.engine.endpoints import messages
from mock_server.engine.errors import failure
from mock_server.engine.exchange import Apart, Call, Exchange, Late, Reading, afterwards, read_apart
from mock_server.engine.faults import refused
from mock_server.protocol import completion
from mock_server.protocol.completion import as_completion, as_message
from mock_server.protocol.errors import ApiError
from mock_server.protocol.expression import bounded
from mock_server.protocol.plan import NOTHING
from mock_server.protocol.request import LONG, HttpRequest, Ignored, parse
from mock_server.protocol.rules import MOST_IGNORED
from mock_server.protocol.sse import dumps_in_steps, encode

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine
    from mock_server.engine.session import Session


LARGE = LONG // 8  # bytes of a body that may be long as a message: a turn is a few letters here, and 35 there


def complete(engine: "Engine", call: Call) -> Exchange:
    """parse -> validate -> the line of a message -> completion. Raises ApiError for the client's mistakes."""
    if call.reading is not None or len(call.http.body) < LARGE:
        return _complete(engine, call)

    async def reply(apart: Apart) -> Exchange:
        reading = await apart(read_apart, read_ahead, call.http, call.session, patience=messages.PATIENCE)
        try:
            with bounded(None if reading is None else reading.spent):
                exchange = _complete(engine, call._replace(reading=reading))
        except ApiError as error:
            plan = failure(error, call.session, call.ids.new("req"))
            return Exchange(plan, note=error.note or str(error), warnings=refused(call.http.headers))
        return exchange if exchange.late is None else await exchange.late.reply(apart)

    return Exchange(NOTHING, late=Late(reply))


def _complete(engine: "Engine", call: Call) -> Exchange:
    http, reading, ignored = call.read(read)
    try:
        message_call = call._replace(http=http, reading=reading, endpoint="complete", came=call.http, alike=False)
        exchange = messages.create(engine, message_call)
    except ApiError as error:
        raise _renamed(error) from None
    assert isinstance(exchange, Exchange)
    if ignored:
        exchange = passing_over(exchange, ignored, engine.once)
    return _completed(exchange)


def read(http: HttpRequest, session: "Session") -> tuple[HttpRequest, Reading | None, Sequence[Ignored]]:
    """The same prompt as a message, and what of the request is passed over. Raises ApiError."""
    body = parse(http.body).body
    completion.validate(body, session.in_force.profile)
    known = frozenset(completion.PARAMETERS)
    ignored = [Ignored(name, known) for name in islice((name for name in body if name not in known), MOST_IGNORED)]
    return http._replace(path="/v1/messages", body=encode(dumps_in_steps(as_message(body)))), None, ignored


def read_ahead(http: HttpRequest, session: "Session") -> tuple[HttpRequest, Reading | None, Sequence[Ignored]]:
    """The same, and the message read too."""
    http, _, ignored = read(http, session)
    return http, read_apart(messages.read_ahead, http, session), ignored


def _completed(exchange: Exchange) -> Exchange:
    if exchange.late is not None:
        return afterwards(exchange, _completed)
    return exchange._replace(plan=as_completion(exchange.plan), again=None)


def _renamed(error: ApiError) -> ApiError:
    """The error under the parameter's name here."""
    if error.message is None or not error.message.startswith("max_tokens: "):
        return error
    text = error.message.replace("max_tokens", "max_tokens_to_sample", 1)
    return ApiError(error.type, text, status=error.status, details=error.details, headers=error.headers)

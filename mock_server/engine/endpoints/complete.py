"""The legacy `POST /v1/complete`: scenarios answer it as they would answer the same prompt as a message."""

from typing import TYPE_CHECKING, Any

from mock_server.engine.endpoints import messages
from mock_server.engine.exchange import Call, Exchange, Late, Reading, read_apart
from mock_server.engine.request_view import Request
from mock_server.protocol import completion
from mock_server.protocol.completion import as_completion, as_message
from mock_server.protocol.errors import ApiError
from mock_server.protocol.request import HttpRequest, parse
from mock_server.protocol.sse import dumps_in_steps, encode

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine
    from mock_server.engine.session import Session


def complete(engine: "Engine", call: Call) -> Exchange:
    """parse -> validate -> the line of a message -> completion. Raises ApiError for the client's mistakes."""
    asked, reading = call.read(read)
    try:
        exchange = messages.create(engine, call._replace(http=asked, reading=reading))
    except ApiError as error:
        raise _renamed(error) from None
    return _completed(exchange, Request(call.http))


def read(http: HttpRequest, session: "Session") -> tuple[HttpRequest, Reading | None]:
    """The same prompt as a message. Raises ApiError."""
    body = parse(http.body).body
    completion.validate(body, session.in_force.profile)
    return http._replace(path="/v1/messages", body=encode(dumps_in_steps(as_message(body)))), None


def read_ahead(http: HttpRequest, session: "Session") -> tuple[HttpRequest, Reading | None]:
    """The same, and what that message says."""
    asked, _ = read(http, session)
    return asked, read_apart(messages.read_ahead, asked, session)


def _completed(exchange: Exchange, request: Request) -> Exchange:
    late = exchange.late
    if not isinstance(late, Late):
        return exchange._replace(plan=as_completion(exchange.plan), again=None)
    settle = late.settle

    def completed(given: Any) -> Exchange:
        return _completed(settle(given), request)

    return exchange._replace(late=late._replace(request=request, settle=completed))


def _renamed(error: ApiError) -> ApiError:
    """The error under the parameter's name here."""
    if error.message is None or not error.message.startswith("max_tokens: "):
        return error
    text = error.message.replace("max_tokens", "max_tokens_to_sample", 1)
    return ApiError(error.type, text, status=error.status, details=error.details, headers=error.headers)

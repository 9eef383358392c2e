"""`POST /v1/messages/count_tokens`: the input tokens that `POST /v1/messages` would report for the same request.

Asks no scenario, takes nothing from a rate limit and leaves nothing in the session. Shapes: docs/protocol.md F.1.
"""

from typing import TYPE_CHECKING, Any

from mock_server.engine.admission import (
    after,
    counted_ahead,
    edited,
    judged,
    keep,
    passing_over,
    sourced,
    sourced_ahead,
    warned,
)
from mock_server.engine.errors import json_reply
from mock_server.engine.exchange import Call, Exchange
from mock_server.engine.session import Session
from mock_server.protocol.errors import ApiError
from mock_server.protocol.request import HttpRequest, MessagesRequest, parse
from mock_server.protocol.rules import readable_count, validate_count
from mock_server.protocol.rules.models import model_of
from mock_server.protocol.tokens import counted

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine


def read(http: HttpRequest, session: Session) -> tuple[MessagesRequest, ApiError | None]:
    """The request, and what is wrong with it where that is let pass. Raises ApiError."""
    in_force = session.in_force
    request = in_force.beginnings.read(http, in_force.profile)
    finding = judged(request, in_force, readable_count, validate_count)
    if finding is None:
        keep(request, in_force, http.path)
    return request, finding


def read_ahead(http: HttpRequest, session: Session) -> tuple[MessagesRequest, ApiError | None]:
    """The same, and counted already, with its files."""
    in_force = session.in_force
    request = parse(http.body, http.headers)
    finding = judged(request, in_force, readable_count, validate_count)
    request = sourced_ahead(request, session)
    counted_ahead(request, model_of(request, in_force.profile))
    return request, finding


def count_tokens(engine: "Engine", call: Call) -> Exchange:
    """parse -> validate -> count. Raises ApiError for the client's mistakes."""
    request, finding = call.read(read)
    ignored = request.ignored
    request, missing = sourced(request, call.session)
    finding = finding or missing
    model = model_of(request, call.session.in_force.profile)
    tokens = counted(request, model, engine.counter)
    body: dict[str, Any] = {"input_tokens": tokens}
    if request.body.get("context_management") is not None:
        left = after(edited(request, model, tokens, engine.counter), tokens)
        body = {"input_tokens": left, "context_management": {"original_input_tokens": tokens}}
    exchange = Exchange(json_reply(call, body), note="count_tokens", understood=True, aside=True)
    if ignored:
        exchange = passing_over(exchange, ignored, engine.once)
    return exchange if finding is None else warned(exchange, finding)

"""`POST /v1/messages/count_tokens`: the input tokens that the same request would be told by `POST /v1/messages`.

Asks no scenario, takes nothing from a rate limit and leaves nothing in the session. Shapes: protocol notes F.1.
"""

from typing import TYPE_CHECKING, Any

from mock_server.engine.editing import after, applied_edits
from mock_server.engine.endpoints.replies import json_reply
from mock_server.engine.exchange import Call, Exchange
from mock_server.engine.judged import judged, warned
from mock_server.engine.sources import sourced
from mock_server.protocol.prompt import input_tokens
from mock_server.protocol.request import parse
from mock_server.protocol.validate import counting
from mock_server.protocol.validate.models import model_of

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine


def count_tokens(engine: "Engine", call: Call) -> Exchange:
    """parse -> validate -> count. Raises ApiError for the client's mistakes."""
    request = parse(call.http.body, call.http.headers)
    finding = judged(request, call, counting.readable, counting.validate)
    request, missing = sourced(request, call)
    finding = finding or missing
    model = model_of(request, call.session.terms.profile)
    tokens = input_tokens(request, model, engine.counter)
    body: dict[str, Any] = {"input_tokens": tokens}
    if request.body.get("context_management") is not None:
        left = after(applied_edits(request, model, tokens, engine.counter), tokens)
        body = {"input_tokens": left, "context_management": {"original_input_tokens": tokens}}
    exchange = Exchange(json_reply(call, body), note="count_tokens", understood=True, aside=True)
    return exchange if finding is None else warned(exchange, finding)

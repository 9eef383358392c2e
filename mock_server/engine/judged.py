"""What is wrong with a request, and what becomes of it: an error, or an answer with a warning. `validation` decides."""

import logging
from collections.abc import Callable, Iterable

from mock_server.engine.exchange import Exchange, Late
from mock_server.engine.session import Terms
from mock_server.protocol.errors import ApiError
from mock_server.protocol.expression import allowance
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.validate import readable, validate

log = logging.getLogger("mock_server")
Readable = Callable[[MessagesRequest, Profile], None]
Validate = Callable[..., None]


def judged(
    request: MessagesRequest, terms: Terms, readable: Readable = readable, validate: Validate = validate
) -> ApiError | None:
    """What is wrong with a request that is answered all the same, as `validation` says. Raises it where it is not."""
    if terms.settings.validation != "strict":
        readable(request, terms.profile)
        if terms.settings.validation == "off":
            return None
    try:
        validate(request, terms.profile, has_cache_marks=request.is_marked)
    except ApiError as error:
        return let_pass(error, terms)
    return None


def keep(request: MessagesRequest, terms: Terms, endpoint: str) -> None:
    """Remember a request about which no rule of an endpoint had anything to say, and which was judged whole."""
    if terms.settings.validation != "off" and not allowance().unjudged:
        terms.beginnings.keep(request, terms.profile, endpoint)


def let_pass(error: ApiError, terms: Terms) -> ApiError:
    """The error, where it is only told; raises it under `validation: strict`."""
    if terms.settings.validation == "strict":
        raise error
    log.warning("answered although it breaks a rule (%s): %s", error.status, error)
    return error


def warned(exchange: Exchange, finding: ApiError) -> Exchange:
    """The exchange with what is wrong with its request in a header and in the journal."""
    text = f"{finding.status} {finding.type}: {finding}"
    return _told(exchange, text, f"validation: {text}")


def left_unjudged(exchange: Exchange, what: Iterable[str]) -> Exchange:
    """The exchange with what of its request nobody judged, as it would have taken too much, told in the same places."""
    text = "; ".join(what)
    return _told(exchange, text, text)


def _told(exchange: Exchange, text: str, noted: str) -> Exchange:
    header = ("x-mock-warning", text.replace("\n", " ").encode("ascii", "replace").decode())
    late = exchange.late
    if isinstance(late, Late):
        settle = late.settle
        late = late._replace(settle=lambda given: _told(settle(given), text, noted))
    plan = exchange.plan._replace(headers=(*exchange.plan.headers, header))
    note = f"{exchange.note}; {noted}" if exchange.note else noted
    return exchange._replace(plan=plan, late=late, note=note)

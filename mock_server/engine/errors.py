"""Replies that are no messages: an error in the words of the profile, what becomes of a request that breaks a rule, a
JSON object.
"""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

from mock_server.clock import http_date
from mock_server.engine.exchange import Call, Exchange, in_ascii, warn
from mock_server.engine.session import InForce
from mock_server.protocol.errors import MESSAGE, ApiError, UnknownModel, envelope, excerpt, nearest, one_line
from mock_server.protocol.expression import allowance
from mock_server.protocol.plan import JSON_HEADERS, Headers, Plan, whole
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import Ignored, MessagesRequest
from mock_server.protocol.rules import ignored, readable, told_of, validate
from mock_server.protocol.sse import dumps, encode
from mock_server.scenario.answer import Answer
from mock_server.scenario.error import Failure
from mock_server.scenario.profiles import built_in, load_profile
from mock_server.scenario.templates import Template

if TYPE_CHECKING:
    from mock_server.engine.session import Session


def reply_headers(session: "Session", request_id: str, *, is_known: bool = True) -> Headers:
    """The headers that every reply has: when it was made, its id, and whose key it was if that `is_known`."""
    return headers_at(session.in_force.profile, int(session.reply_time()), request_id, is_known=is_known)


def headers_at(profile: Profile, second: int, request_id: str, *, is_known: bool = True) -> Headers:
    """The same, of a reply that was made in this second (unix)."""
    headers = (_date(second), *zip(profile.request_id_headers, repeat(request_id)))
    return headers + profile.owner_headers if is_known else headers


@functools.lru_cache(maxsize=16)
def _date(unix: int) -> tuple[str, str]:
    """The same pair for all replies of one second, which the journal keeps."""
    return ("date", http_date(unix))


@functools.lru_cache(maxsize=16)
def date_bytes(second: int) -> bytes:
    """The date of a reply as it is sent."""
    return http_date(second).encode()


# What `x-should-retry` says of a status, where the error has no word of its own. Of the others nothing is said.
SHOULD_RETRY: Mapping[int, str] = {**dict.fromkeys((400, 401, 403, 404, 413), "false"), 429: "true"}


def failure(error: ApiError, session: "Session", request_id: str, at: int = 0, *, streamed: bool = False) -> Plan:
    """The reply that tells an error, `at` microseconds after the request. `streamed`: its body is for an `error` event,
    where the API names details even when there are none.
    """
    profile = session.in_force.profile
    message = error.message
    if message is None:
        message = profile.error_messages.get(error.type) or MESSAGE.get(error.type, error.type)
    body = envelope(error.type, message, error.details, request_id if profile.request_id_in_body else None)
    if streamed and profile.request_id_in_body:
        body["error"] = {"details": None, **body["error"]}
    own = dict(error.headers)
    if "x-should-retry" not in own and error.status in SHOULD_RETRY:
        own["x-should-retry"] = SHOULD_RETRY[error.status]
    printable = ((name, value.replace("\r", " ").replace("\n", " ")) for name, value in own.items())
    told = reply_headers(session, request_id, is_known=error.type != "authentication_error")
    return whole(error.status, (*JSON_HEADERS, *told, *printable), encode(dumps(body)), at, body)


_RETRIED = {408, 409, 429}


def scripted(script: Failure, answer: Answer, *, fast_retries: bool = False) -> ApiError:
    """The error a scenario asks for. `fast_retries`: where it names no time, clients retry after a millisecond."""
    headers = {name.lower(): str(value) for name, value in answer.headers.items()}
    if script.retry_after is not None:
        headers["retry-after"] = f"{script.retry_after / 1_000_000:g}"
    if script.retry_after_ms is not None:
        headers["retry-after-ms"] = str(script.retry_after_ms)
    retried = script.http_status in _RETRIED or script.http_status >= 500
    if fast_retries and retried and not any(name.startswith("retry-after") for name in headers):
        headers["retry-after-ms"] = "1"
    if script.should_retry is not None:
        headers["x-should-retry"] = str(script.should_retry).lower()
    message = script.message.source if isinstance(script.message, Template) else script.message
    return ApiError(script.error_type, message, status=script.http_status, details=script.details, headers=headers)


# What is wrong with a request, and what becomes of it: an error, or an answer with a warning. `validation` decides.

log = logging.getLogger("mock_server")
Readable = Callable[[MessagesRequest, Profile], None]
Validate = Callable[..., None]


def judged(
    request: MessagesRequest, in_force: InForce, readable: Readable = readable, validate: Validate = validate
) -> ApiError | None:
    """What is wrong with a request that is answered all the same, as `validation` says. Raises it where it is not."""
    if in_force.settings.validation != "strict":
        readable(request, in_force.profile)
        if in_force.settings.validation == "off":
            return None
    try:
        validate(request, in_force.profile, has_cache_marks=request.is_marked)
    except UnknownModel as error:
        finding = let_pass(unserved(error, in_force.profile), in_force)
    except ApiError as error:
        finding = let_pass(error, in_force)
    else:
        return None
    request.ignored = ignored(request)
    return finding


def keep(request: MessagesRequest, in_force: InForce, endpoint: str) -> None:
    """Remember a request about which no rule of an endpoint had anything to say, and which was judged whole."""
    if in_force.settings.validation != "off" and not allowance().missed:
        in_force.beginnings.keep(request, in_force.profile, endpoint)


def let_pass(error: ApiError, in_force: InForce) -> ApiError:
    """The error, where it is only a warning; raises it under `validation: strict`."""
    if in_force.settings.validation == "strict":
        raise error
    log.warning("answered although it breaks a rule (%s): %s", error.status, error.note or error)
    return error


def warned(exchange: Exchange, finding: ApiError) -> Exchange:
    """The exchange with what is wrong with its request in a header and in the journal."""
    text = f"{finding.status} {finding.type}: {finding.note or finding}"
    return warn(exchange, text, note=f"validation: {text}")


class Once:
    """Names that were told of, so that the log tells each once: at most so many."""

    MOST = 1_000

    def __init__(self) -> None:
        self._told: set[str] = set()

    def first(self, name: str) -> bool:
        """Whether nobody was told of this name before; somebody is from now on."""
        if name in self._told or len(self._told) >= self.MOST or len(name) > self.MOST:
            return False
        self._told.add(name)
        return True


def passing_over(exchange: Exchange, found: Sequence[Ignored], once: Once) -> Exchange:
    """The exchange with what of its request no Messages API has, and was ignored, told as a warning."""
    text = told_of(found)
    if [one for one in found if once.first(one.kind)]:
        log.warning("%s", text)
    return warn(exchange, text)


# A model that the profile does not serve: which, which are near, and who has it.

_NEAR = 3
_LONGEST_MODEL = 100


def unserved(error: UnknownModel, profile: Profile) -> ApiError:
    """The error with what helps. The profile's own words come first, and stay alone where they name the model."""
    name = one_line(excerpt(error.model, _LONGEST_MODEL))
    by_short = {_short(one.id): one.id for one in reversed(profile.models)}
    near = ", ".join(by_short[short] for short in nearest(_short(error.model), by_short, _NEAR))
    others = [other for other in built_in() if other != profile.name and _profile(other).model(error.model) is not None]
    told = f"profile {profile.name} serves no model '{name}'{near and f'; nearest: {near}'}"
    told += f"; profile {others[0]} has it" if others else ""
    log.warning("a model that nobody serves: %s", told)
    error.note = f"{profile.unknown_model_message.format(model=name)}: {told}"
    if "{model}" not in profile.unknown_model_message:
        error.message = error.note
    switch = f"--profile {others[0]}, or with " if others else ""
    hint = f"{told}; start the server with {switch}--any-model to accept every name"
    error.headers["x-mock-hint"] = in_ascii(hint)
    return error


def _short(model: str) -> str:
    """A model's name without its maker, written as everybody writes it."""
    return model.rpartition("/")[2].replace(".", "-").lower()


@functools.lru_cache(maxsize=4)
def _profile(name: str) -> Profile:
    return load_profile(name)


# A JSON object as the reply of an endpoint, with the headers that every reply of a profile has.


def headers_for(call: Call) -> Headers:
    """When, the request id, and whose key it was."""
    return reply_headers(call.session, call.ids.new("req"))


def json_reply(call: Call, body: Mapping[str, Any], more: Headers = ()) -> Plan:
    """A 200 with this body, and headers of its own."""
    return whole(200, JSON_HEADERS + headers_for(call) + more, encode(dumps(body)))

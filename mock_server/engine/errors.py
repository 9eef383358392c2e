"""Replies that are no messages: an error in the words of the profile, a JSON object."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mock_server.engine.exchange import Call, in_ascii
from mock_server.protocol.errors import MESSAGE, ApiError, UnknownModel, envelope, excerpt, nearest, one_line
from mock_server.protocol.plan import JSON_HEADERS, Headers, Plan, whole
from mock_server.protocol.profile import Profile
from mock_server.protocol.sse import dumps, encode
from mock_server.scenario.answer import Answer
from mock_server.scenario.error import Failure
from mock_server.scenario.profiles import built_in, load_profile
from mock_server.scenario.templates import Template

if TYPE_CHECKING:
    from mock_server.engine.session import Session


# `x-should-retry` by status, where the error has none of its own. Others have none.
SHOULD_RETRY: Mapping[int, str] = {**dict.fromkeys((400, 401, 403, 404, 413), "false"), 429: "true"}


def failure(error: ApiError, session: "Session", request_id: str, at: int = 0, *, streamed: bool = False) -> Plan:
    """The reply with an error, `at` microseconds after the request. `streamed`: its body is for an `error` event, where
    the API names details even when there are none.
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
    usual = session.reply_headers(request_id, is_known=error.type != "authentication_error")
    return whole(error.status, (*JSON_HEADERS, *usual, *printable), encode(dumps(body)), at, body)


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


# A model that the profile does not serve: which, which are near, and who has it.

log = logging.getLogger("mock_server")
_NEAR = 3
_LONGEST_MODEL = 100


def unserved(error: UnknownModel, profile: Profile) -> ApiError:
    """The error with what helps. The profile's own words come first, and stay alone where they name the model."""
    name = one_line(excerpt(error.model, _LONGEST_MODEL))
    by_short = {_short(one.id): one.id for one in reversed(profile.models)}
    near = ", ".join(by_short[short] for short in nearest(_short(error.model), by_short, _NEAR))
    known = {other: load_profile(other) for other in built_in() if other != profile.name}
    others = [other for other, its in known.items() if its.model(error.model) is not None]
    text = f"profile {profile.name} serves no model '{name}'{near and f'; nearest: {near}'}"
    text += f"; profile {others[0]} has it" if others else ""
    log.warning("a model that nobody serves: %s", text)
    error.note = f"{profile.unknown_model_message.format(model=name)}: {text}"
    if "{model}" not in profile.unknown_model_message:
        error.message = error.note
    switch = f"--profile {others[0]}, or with " if others else ""
    hint = f"{text}; start the server with {switch}--any-model to accept every name"
    error.headers["x-mock-hint"] = in_ascii(hint)
    return error


def _short(model: str) -> str:
    """A model's name without its maker, written as everybody writes it."""
    return model.rpartition("/")[2].replace(".", "-").lower()


# A JSON object as the reply of an endpoint, with the headers that every reply of a profile has.


def headers_for(call: Call) -> Headers:
    """When, the request id, and whose key it was."""
    return call.session.reply_headers(call.ids.new("req"))


def json_reply(call: Call, body: Mapping[str, Any], more: Headers = ()) -> Plan:
    """A 200 with this body, and headers of its own."""
    return whole(200, JSON_HEADERS + headers_for(call) + more, encode(dumps(body)))

"""An error -> the plan of its reply: the envelope, the status, the headers, in the words of the profile."""

from collections.abc import Mapping

from mock_server.protocol.errors import MESSAGE, ApiError, envelope
from mock_server.protocol.plan import JSON_HEADERS, Headers, Plan, whole
from mock_server.protocol.profile import Profile
from mock_server.protocol.sse import dumps, encode
from mock_server.scenario.answer import Answer
from mock_server.scenario.error import Failure
from mock_server.scenario.template import Template


def request_headers(profile: Profile, request_id: str) -> Headers:
    """The headers that every reply of this profile carries."""
    return tuple([(name, request_id) for name in profile.request_id_headers])


# What `x-should-retry` says of a status, where the error has no word of its own. Of the others nothing is said.
SHOULD_RETRY: Mapping[int, str] = {**dict.fromkeys((400, 401, 403, 404, 413), "false"), 429: "true"}


def failure(error: ApiError, profile: Profile, request_id: str, at: int = 0) -> Plan:
    """The reply that tells an error, `at` microseconds after the request."""
    message = error.message
    if message is None:
        message = profile.error_messages.get(error.type) or MESSAGE.get(error.type, error.type)
    body = envelope(error.type, message, error.details, request_id if profile.request_id_in_body else None)
    told = dict(error.headers)
    if "x-should-retry" not in told and error.status in SHOULD_RETRY:
        told["x-should-retry"] = SHOULD_RETRY[error.status]
    printable = ((name, value.replace("\r", " ").replace("\n", " ")) for name, value in told.items())
    known = profile.organization_headers if error.type != "authentication_error" else ()
    headers = (*JSON_HEADERS, *request_headers(profile, request_id), *known, *printable)
    return whole(error.status, headers, encode(dumps(body)), at)


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

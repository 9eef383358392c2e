"""An error -> the plan of its reply: the envelope, the status, the headers, in the words of the profile."""

import functools
from collections.abc import Mapping
from itertools import repeat
from typing import TYPE_CHECKING

from mock_server.protocol.errors import MESSAGE, ApiError, envelope
from mock_server.protocol.moment import http_date
from mock_server.protocol.plan import JSON_HEADERS, Headers, Plan, whole
from mock_server.protocol.profile import Profile
from mock_server.protocol.sse import dumps, encode
from mock_server.scenario.answer import Answer
from mock_server.scenario.error import Failure
from mock_server.scenario.template import Template

if TYPE_CHECKING:
    from mock_server.engine.session import Session


def reply_headers(session: "Session", request_id: str, *, is_known: bool = True) -> Headers:
    """The headers that every reply has: when it was made, its id, and whose key it was if that `is_known`."""
    return headers_at(session.terms.profile, int(session.told_unix()), request_id, is_known=is_known)


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
    profile = session.terms.profile
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

"""Errors as the Messages API reports them: types, statuses, the envelope.

To add an error type, add a row to `STATUS`. Source of the table: docs/protocol.md E.1 and E.2.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

# error type -> the HTTP status it usually comes with
STATUS: dict[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

# HTTP status -> error type, also for statuses that share a type with another
TYPE: dict[int, str] = {
    **{status: name for name, status in STATUS.items()},
    405: "invalid_request_error",
    408: "timeout_error",
    422: "invalid_request_error",
    501: "api_error",
    502: "api_error",
    503: "api_error",
}

# What a profile that has no text of its own says.
MESSAGE: dict[str, str] = {
    "invalid_request_error": "Invalid request",
    "authentication_error": "invalid x-api-key",
    "billing_error": "There is a problem with your billing information.",
    "permission_error": "Your API key does not have permission to use the specified resource",
    "not_found_error": "The requested resource could not be found",
    "conflict_error": "The request conflicts with the current state of the resource",
    "request_too_large": "Request exceeds the maximum size",
    "rate_limit_error": "This request would exceed your account's rate limit. Please try again later.",
    "api_error": "Internal server error",
    "timeout_error": "The request timed out",
    "overloaded_error": "Overloaded",
}


class ApiError(Exception):
    """The client's fault, or a scripted failure: becomes a reply shaped like the API's.

    `message` None means the profile's own text for the type; `details` is the coded part newer servers send;
    `headers` come on top of those every reply has. `note`: what the journal says of it, where that is more.
    """

    note: str | None = None

    def __init__(
        self,
        type: str,
        message: str | None = None,
        *,
        status: int | None = None,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message or type)
        self.type = type
        self.message = message
        self.status = STATUS[type] if status is None else status
        self.details = details
        self.headers = dict(headers or {})


LONGEST_MESSAGE = 10_000  # letters of what a client is told: it quotes what it sent, names of any length among that


def invalid(message: str, **more: Any) -> ApiError:
    """A 400 `invalid_request_error`, the commonest of all. Of a very long message, what it begins with."""
    return ApiError("invalid_request_error", excerpt(message, LONGEST_MESSAGE), **more)


def failure_of_ours(text: str) -> ApiError:
    """A 500 in words of the emulator's own. To send the same again would not help."""
    return ApiError("api_error", f"mock-server: {text}", headers={"x-should-retry": "false"})


_LONGEST_WORD = 200  # of a client's that a message quotes, or that a known word is looked for beside


class UnknownModel(ApiError):
    """A 404 for a model that the profile does not serve, in the profile's own words, in which `{model}` is its name."""

    def __init__(self, model: str, words: str) -> None:
        super().__init__("not_found_error", words.format(model=excerpt(model, _LONGEST_WORD)))
        self.model = model


_MOST_LOOKED_AT = 5_000  # letters of known words that are compared one by one: some milliseconds


def nearest(wrong: str, known: Iterable[str], most: int = 1) -> list[str]:
    """The known words that look most like a wrong one, the nearest first; of very many, out of those that begin and end
    most like it."""
    if len(wrong) > _LONGEST_WORD:
        return []
    import difflib  # only mistakes need it

    words = list(known)
    if sum(map(len, words)) > _MOST_LOOKED_AT:
        words.sort(key=lambda word: -_in_common(word, wrong) - _in_common(word[::-1], wrong[::-1]))
        del words[_MOST_LOOKED_AT // max(1, len(wrong)) :]
    return difflib.get_close_matches(wrong, words, n=most, cutoff=0.6)


def _in_common(one: str, other: str) -> int:
    """How many letters two words have in common from their beginning."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")


def one_line(text: str) -> str:
    """A text without breaks and other control characters."""
    return _UNPRINTABLE.sub(" ", text)


def excerpt(text: str, most: int, end: str = "…") -> str:
    """A text as messages and tables quote it: of one that is longer than `most`, the beginning and `…`."""
    return text if len(text) <= most else text[: most - len(end)] + end


def envelope(type: str, message: str, details: Mapping[str, Any] | None, request_id: str | None) -> dict[str, Any]:
    """The JSON body of an error; `request_id` None where the profile's bodies carry none."""
    error: dict[str, Any] = {"type": type, "message": message}
    if details:
        error["details"] = dict(details)
    body: dict[str, Any] = {"type": "error", "error": error}
    if request_id is not None:
        body["request_id"] = request_id
    return body

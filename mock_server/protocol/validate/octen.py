"""The parameters of Octen's search tools: types and ranges. Table: docs/protocol.md A.4; rule 84.

What is wrong is told in the gateway's own short words, since no others have been seen; a header says where it is.
"""

from typing import Any

from mock_server.protocol.errors import ApiError
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.validate.checks import (
    Check,
    Fields,
    Finding,
    boolean,
    integer,
    items,
    nullable,
    one_of,
    optional,
    record,
    string,
)

TOOLS = ("octen_search", "octen_broad_search")
_LANGUAGES = "ar de en es fr hi id it ja ko nl pl pt ru th tr vi zh"


def between(least: int, most: int) -> Check:
    """A whole number in a range."""

    def check(value: Any) -> Finding | None:
        found = integer(least)(value)
        return ("", f"Input should be less than or equal to {most}") if found is None and value > most else found

    return check


def texts(most: int, longest: int) -> Check:
    """At most so many texts of so many characters."""

    def check(value: Any) -> Finding | None:
        if (found := items(string)(value)) is not None:
            return found
        if len(value) > most:
            return "", f"List should have at most {most} items"
        long = next((at for at, one in enumerate(value) if len(one) > longest), None)
        return None if long is None else (f".{long}", f"String should have at most {longest} characters")

    return check


def _maybe(check: Check) -> tuple[bool, Check]:
    return optional(nullable(check))


PARAMETERS: Fields = {
    "count": _maybe(between(1, 100)),
    "include_domains": _maybe(texts(1200, 60)),
    "exclude_domains": _maybe(texts(1200, 60)),
    "include_text": _maybe(texts(5, 30)),
    "exclude_text": _maybe(texts(5, 30)),
    "time_basis": _maybe(one_of("auto", "published", "crawled")),
    "time_range": _maybe(one_of("day", "week", "month", "year", "d", "w", "m", "y")),
    "start_time": _maybe(string),
    "end_time": _maybe(string),
    "language": _maybe(items(one_of(*_LANGUAGES.split()))),
    "highlight": _maybe(record({"enable": _maybe(boolean), "max_tokens": _maybe(between(100, 20_000))})),
    "full_content": _maybe(record({"enable": _maybe(boolean), "max_tokens": _maybe(between(100, 100_000))})),
    "format": _maybe(one_of("markdown", "text")),
    "safesearch": _maybe(one_of("off", "strict")),
    "include_images": _maybe(boolean),
    "max_searches": _maybe(integer(1)),
    "max_queries": _maybe(between(1, 30)),
}
_CHECK = record(PARAMETERS)


def parameters(request: MessagesRequest, profile: Profile) -> None:
    """Rule 84: the parameters of Octen's search have their types and ranges."""
    for index, tool in enumerate(request.tools):
        if tool.get("type") not in TOOLS:
            continue
        for path, value in ((f"tools.{index}.parameters", tool.get("parameters") or {}), (f"tools.{index}", tool)):
            if (found := _CHECK(value)) is not None:
                hint = {"x-mock-hint": f"{path}{found[0]}: {found[1]}"}
                raise ApiError("invalid_request_error", headers=hint)

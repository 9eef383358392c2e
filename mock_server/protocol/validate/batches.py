"""Rules of a message batch: what is wrong with it as a whole, and what its requests may not ask for.

The requests' own parameters are judged when they are answered, so a bad one is an errored line, not an error here.
"""

import re
from collections.abc import Mapping
from typing import Any

from mock_server.protocol.errors import invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.validate.checks import Finding, array, dictionary, record, required, string

MOST_REQUESTS = 100_000
_CUSTOM_ID = re.compile("[a-zA-Z0-9_-]{1,64}")
_LONGEST_ID = 64


def _custom_id(value: Any) -> Finding | None:
    if not isinstance(value, str):
        return string(value)
    if len(value) > _LONGEST_ID:
        return "", f"String should have at most {_LONGEST_ID} characters"
    fits = _CUSTOM_ID.fullmatch(value) is not None
    return None if fits else ("", f"String should match pattern '^{_CUSTOM_ID.pattern}$'")


def _item(*, closed: bool) -> Any:
    return record({"custom_id": required(_custom_id), "params": required(dictionary)}, closed=closed)


_BATCH = {closed: record({"requests": required(array)}, closed=closed) for closed in (True, False)}
_ITEM = {closed: _item(closed=closed) for closed in (True, False)}


def requests_of(body: Any, profile: Profile) -> list[Mapping[str, Any]]:
    """The requests of a batch, each with `custom_id` and `params`. Raises ApiError (400): rules 146 and 147."""
    if not isinstance(body, dict):
        raise invalid("Input should be a valid dictionary or object to extract fields from")
    if (found := _BATCH[profile.is_strict](body)) is not None:
        raise invalid(f"{found[0].removeprefix('.')}: {found[1]}")
    listed: list[Mapping[str, Any]] = body["requests"]
    if not listed:
        raise invalid("requests: List should have at least 1 item after validation, not 0")
    if len(listed) > MOST_REQUESTS:
        raise invalid(f"requests: List should have at most {MOST_REQUESTS} items after validation, not {len(listed)}")
    seen: dict[str, int] = {}
    for at, one in enumerate(listed):
        if (found := _ITEM[profile.is_strict](one)) is not None:
            raise invalid(f"requests.{at}{found[0]}: {found[1]}")
        if seen.setdefault(one["custom_id"], at) != at:
            raise invalid(
                f"requests: custom_id's must be unique within a batch. Duplicate custom_id found: {one['custom_id']}"
            )
    return listed


def allowed_in_batch(params: Mapping[str, Any]) -> None:
    """Raise the ApiError (400) of what an ordinary request may ask for and one of a batch may not (rule 148)."""
    if params.get("stream"):
        raise invalid('"stream=True" is not supported in the Message Batches API')
    if params.get("speed") is not None:
        raise invalid("speed: is not supported in a message batch")
    if params.get("max_tokens") == 0:
        raise invalid("max_tokens: 0 is not supported in a message batch")

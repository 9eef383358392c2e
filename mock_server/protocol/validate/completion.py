"""The rules of the legacy `POST /v1/complete`, as far as they are not those of the message it becomes."""

from collections.abc import Mapping
from typing import Any

from mock_server.protocol.errors import invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.validate.checks import (
    Check,
    boolean,
    dictionary,
    integer,
    items,
    nullable,
    number,
    string,
)

_REQUIRED = ("model", "prompt", "max_tokens_to_sample")
PARAMETERS: Mapping[str, Check] = {
    "model": string,
    "prompt": string,
    "max_tokens_to_sample": integer(1),
    "stop_sequences": nullable(items(string)),
    "stream": nullable(boolean),
    "metadata": nullable(dictionary),
    "temperature": nullable(number(0, 1)),
    "top_p": nullable(number(0, 1)),
    "top_k": nullable(integer(0)),
}


def validate(body: Mapping[str, Any], profile: Profile) -> None:
    """Raise the ApiError of the first thing that is wrong with the parameters."""
    for name in _REQUIRED:
        if name not in body:
            raise invalid(f"{name}: Field required")
    for name, check in PARAMETERS.items():
        found = check(body[name]) if name in body else None
        if found is not None:
            raise invalid(f"{name}{found[0]}: {found[1]}")
    for name in body if profile.is_strict else ():
        if name not in PARAMETERS:
            raise invalid(f"{name}: Extra inputs are not permitted")

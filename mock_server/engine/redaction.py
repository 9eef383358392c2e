"""What must not be kept: headers and parts of request bodies that are blotted out before an exchange is noted."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps, encode

BLOT = "[redacted]"
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\*)\]")


class Redaction:
    """Headers by name (`cookie`) and JSON paths (`$.metadata.user_id`, `$.messages[*].content`)."""

    def __init__(self, what: Iterable[str]) -> None:
        """`what`: as the setting `redact` has checked it."""
        listed = list(what)
        self._headers = frozenset(one.lower() for one in listed if not one.startswith("$"))
        self._paths = [_steps(one) for one in listed if one.startswith("$")]

    def apply(self, http: HttpRequest) -> HttpRequest:
        """The request without what must not be kept; a body that is no JSON goes whole where paths are given."""
        headers = {name: BLOT if name.lower() in self._headers else value for name, value in http.headers.items()}
        return http._replace(headers=headers, body=self._body(http.body) if self._paths else http.body)

    def _body(self, body: bytes) -> bytes:
        try:
            value = json.loads(body)
            for path in self._paths:
                value = _blotted(value, path)
        except (ValueError, RecursionError):
            return BLOT.encode()
        return encode(dumps(value))


def _steps(path: str) -> Sequence[str]:
    return [key or index for key, index in _STEP.findall(path)]


def _blotted(value: Any, path: Sequence[str]) -> Any:
    """The same value with what the path leads to blotted out, where it leads anywhere."""
    if not path:
        return BLOT
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        keys = list(value) if step == "*" else [step]
        return value | {key: _blotted(value[key], rest) for key in keys if key in value}
    if isinstance(value, list):
        return [_blotted(item, rest) if step in ("*", str(at)) else item for at, item in enumerate(value)]
    return value

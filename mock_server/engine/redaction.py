"""What must not be kept: headers, parameters and parts of bodies that are blotted out before a request is noted."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from mock_server.engine.masking import changed_query
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps_in_steps, encode

BLOT = "[redacted]"
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\*)\]")


class Redaction:
    """Headers and parameters of a query by name, parts of a body by path (`$.messages[*].content`)."""

    def __init__(self, what: Iterable[str]) -> None:
        """`what`: as the setting `redact` has checked it."""
        listed = list(what)
        self._names = frozenset(one.lower() for one in listed if not one.startswith("$"))
        self._paths = [_steps(one) for one in listed if one.startswith("$")]

    def apply(self, http: HttpRequest) -> HttpRequest:
        """The request without what must not be kept; a body that is no JSON goes whole where paths are given."""
        headers = {name: self._named(name, value) for name, value in http.headers.items()}
        query = changed_query(http.query, self._named)
        return http._replace(headers=headers, query=query, body=self._body(http.body) if self._paths else http.body)

    def _named(self, name: str, value: str) -> str:
        return BLOT if name.lower() in self._names else value

    def _body(self, body: bytes) -> bytes:
        try:
            value = json.loads(body)
            for path in self._paths:
                value = _blotted(value, path)
            return encode(dumps_in_steps(value))  # raises for NaN, which `loads` lets pass
        except (ValueError, RecursionError):
            return BLOT.encode()


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

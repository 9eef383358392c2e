"""A request to the control API and its answer, or the mistake of its caller."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mock_server.engine.masking import masked
from mock_server.protocol.plan import JSON_HEADERS, Headers, Plan, whole
from mock_server.protocol.request import strict_json
from mock_server.protocol.sse import dumps_in_steps, encode

PREFIX = "/_mock/"
STREAM = "/_mock/journal/stream"
SAFE: Headers = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))


class Query(NamedTuple):
    """One control request. `query` holds the last value of each name; `rest` what the path had for `{name}`; `data` is
    the JSON body of one that was made in this process.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    rest: str = ""
    data: Mapping[str, Any] | Sequence[Any] | None = None

    def number(self, name: str, default: int, least: int = 0, most: int | None = None) -> int:
        """A whole number of the query. Raises ControlError (400) for anything else."""
        text = self.query.get(name) or str(default)
        if not text.isdecimal() or len(text) > 15 or int(text) < least or (most is not None and int(text) > most):
            to = f" to {most}" if most is not None else " up"
            raise ControlError(400, f"{name}: {text!r}", f"a whole number from {least}{to}")
        return int(text)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises ControlError (400)."""
        value = self._value()
        if not isinstance(value, dict):
            raise ControlError(400, "the body is not a JSON object", "send a JSON object")
        return value

    def objects(self) -> list[dict[str, Any]]:
        """The body as JSON objects: one, or a list of them. Raises ControlError (400)."""
        value = self._value()
        listed = value if isinstance(value, list) else [value]
        if not listed or not all(isinstance(one, dict) for one in listed):
            raise ControlError(400, "the body is neither a JSON object nor a list of them", "send a JSON object")
        return listed

    def _value(self) -> Any:
        if self.data is not None:
            return dict(self.data) if isinstance(self.data, Mapping) else list(self.data)
        try:
            return strict_json(self.body.decode() or "{}")
        except ValueError as error:
            raise ControlError(400, f"the body is not JSON: {error}", "send a JSON object") from None


class ControlError(Exception):
    """The caller's mistake: a 4xx with what is wrong and what would be right."""

    def __init__(self, status: int, error: str, hint: str, **more: Any) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, "hint": hint, **more}


class RouteAnswer(NamedTuple):
    """The answer of a route: JSON, or text of a `type`. `mask`: it holds what clients sent, so secrets in it are masked
    where it leaves the process.
    """

    status: int
    value: Mapping[str, Any] | str
    mask: bool = False
    type: str = ""

    @property
    def plan(self) -> Plan:
        """It as a reply."""
        if isinstance(self.value, str):
            return whole(self.status, (("content-type", self.type), *SAFE), encode(self.value))
        text = dumps_in_steps(self.value)
        return whole(self.status, (*JSON_HEADERS, *SAFE), encode(masked(text) if self.mask else text))

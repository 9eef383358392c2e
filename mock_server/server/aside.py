"""What is answered beside the emulated API and kept in no journal: the control API, OPTIONS, a look who is there."""

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl

from mock_server.engine.endpoints import ENDPOINTS
from mock_server.engine.entry import Lane
from mock_server.engine.exchange import Exchange
from mock_server.engine.routing import allowed, find
from mock_server.protocol.plan import JSON_HEADERS, Plan, whole
from mock_server.protocol.request import HttpRequest
from mock_server.server import cors
from mock_server.server.control import Desk, Query

_ANY = "GET, HEAD, POST, DELETE, OPTIONS"
# Where an agent's CLI looks whether anybody is there.
_HELLO = "/api/hello"


class Aside:
    """A reply that no journal keeps: of the control API, and to what could not be read."""

    def __init__(self, exchange: Exchange, lane: Lane) -> None:
        self.exchange = exchange
        self.lane = lane

    def opened(self, cut: Callable[[str], None]) -> None:
        """Nobody wants to cut it."""

    def end(self, kind: str, frames: int, sent: Sequence[int] = ()) -> None:
        """Nobody asks."""


def aside(http: HttpRequest, desk: Desk, lane: Lane) -> Aside | None:
    """The reply to a request that is not for the emulated API; None when it is for that."""
    plan = _plan(http, desk)
    return None if plan is None else Aside(Exchange(plan, note="control"), lane)


def query_of(http: HttpRequest) -> Query:
    """The request as the control API reads it."""
    return Query(http.method, http.path, dict(parse_qsl(http.query, True)), http.headers, http.body)


def _plan(http: HttpRequest, desk: Desk) -> Plan | None:
    if http.session is None and desk.serves(http.path):
        return desk.answer(query_of(http))
    if http.method == "OPTIONS":
        return _options(http.path, http.headers)
    if http.path == "/" and http.method in ("GET", "HEAD"):
        return whole(200, JSON_HEADERS, b'{"type":"mock_server"}')
    if http.path == _HELLO and http.method in ("GET", "HEAD"):
        return whole(200, JSON_HEADERS, b'{"message":"hello"}')
    return None


def _options(path: str, headers: Mapping[str, str]) -> Plan:
    """What a browser asks before a request, else which methods there are."""
    if "origin" in headers:
        return cors.preflight(headers)
    found = find(path)
    return whole(204, (("allow", _ANY if found is None else allowed(ENDPOINTS[found.pattern])),), b"")

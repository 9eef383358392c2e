"""`/_mock/…`: what a developer or a health check asks the server itself, as JSON."""

from collections.abc import Callable, Mapping
from typing import Any

from mock_server import version
from mock_server.clock import Clock
from mock_server.engine.engine import Engine
from mock_server.protocol.plan import JSON_HEADERS, Plan, whole
from mock_server.protocol.sse import dumps, encode


class Control:
    """The routes of the control API. `load_error` is what the last reload found wrong, if anything."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._started = clock.now()
        self.load_error: str | None = None

    def answer(self, method: str, path: str) -> Plan:
        """The reply to one control request."""
        route = _ROUTES.get(path)
        if route is None:
            hint = f"served are {', '.join(_ROUTES)}"
            return _json(404, {"error": f"no control route {path}", "hint": hint})
        if method not in ("GET", "HEAD"):
            return _json(405, {"error": f"{path} answers GET", "hint": "use GET"})
        return _json(200, route(self))

    def health(self) -> dict[str, Any]:
        """`status` is `ok`, or `degraded` while a broken edit keeps the last good scenarios in force."""
        state: dict[str, Any] = {
            "status": "ok" if self.load_error is None else "degraded",
            "version": version.VERSION,
            "profile": self._engine.profile.name,
            "scenarios": self._engine.scenarios,
            "uptime_seconds": round(self._clock.now() - self._started, 3),
        }
        return state if self.load_error is None else {**state, "load_error": self.load_error.split("\n")}


_ROUTES: Mapping[str, Callable[[Control], dict[str, Any]]] = {"/_mock/health": Control.health}


def _json(status: int, body: Mapping[str, Any]) -> Plan:
    return whole(status, JSON_HEADERS, encode(dumps(body)))

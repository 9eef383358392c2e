"""`/_mock/…` and the page: the public verbs as JSON, for people, health checks and clients in other processes.

A route is one function in `control.py` and its row in `routes.py`; the OpenAPI document is made from the same rows.
"""

from mock_server.engine.engine import Engine
from mock_server.protocol.expression import OverLimit, bounded
from mock_server.protocol.plan import Plan
from mock_server.protocol.request import HttpRequest
from mock_server.server.control import page, routes
from mock_server.server.control.answers import ControlError, Query, as_json
from mock_server.server.control.control import Control
from mock_server.server.control.feed import Feed
from mock_server.server.control.guard import Guard

__all__ = ["Desk", "Query"]


class Desk:
    """The front of the control API: who may ask, which function answers, what an error looks like."""

    def __init__(self, control: Control, engine: Engine, token: str | None) -> None:
        self.control = control
        self.feed = Feed(engine)
        self._guard = Guard(token)
        self._page = page.Page(engine.settings.base_path)
        control.changed = lambda: self.feed.say("scenarios")

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path is the desk's rather than the emulated API's."""
        return path.startswith("/_mock/") or page.is_page(path)

    def takes_long(self, http: HttpRequest) -> bool:
        """Whether this request is for the desk, and may take it so long that others should not wait for it."""
        return http.session is None and self.serves(http.path) and routes.is_apart(http.method, http.path)

    def is_stream(self, asked: Query) -> bool:
        """Whether a request is for the live stream, and may have it. Raises ControlError."""
        if asked.path != routes.STREAM or asked.method != "GET":
            return False
        self._guard.check(asked.headers, asked.query)
        return True

    def answer(self, asked: Query) -> Plan:
        """The reply to one control request."""
        try:
            with bounded():
                return self._answer(asked)
        except ControlError as error:
            return as_json(error.status, error.body).plan
        except OverLimit as error:
            return as_json(
                422, {"error": str(error), "hint": "a condition that takes less, or one on fewer requests"}
            ).plan

    def _answer(self, asked: Query) -> Plan:
        if page.is_page(asked.path):
            self._guard.check(asked.headers, asked.query, is_page=True)
            if asked.method not in ("GET", "HEAD"):
                raise ControlError(405, f"the page does not answer {asked.method}", "use GET")
            return self._page.answer(asked.path)
        route, rest = routes.find(asked.method, asked.path)
        if not route.open:
            self._guard.check(asked.headers, asked.query)
        answer = route.run(self.control, asked._replace(rest=rest))
        if (route.method == "DELETE" and route.path == "journal") or route.path == "reset":
            self.feed.say("reset")
        return answer.plan

"""One request on its way through the engine, and what came of it."""

from typing import NamedTuple

from mock_server.engine.seeds import Ids
from mock_server.engine.session import Session
from mock_server.protocol.plan import Plan
from mock_server.protocol.request import HttpRequest


class Call(NamedTuple):
    """A request whose sender is known: the session it belongs to, its key, and ids for its reply."""

    http: HttpRequest
    session: Session
    key: str
    ids: Ids


class Exchange(NamedTuple):
    """The plan that answers a request, and what chose it: a scenario with its turn and attempt, or a note."""

    plan: Plan
    scenario: str | None = None
    turn: int = 0
    attempt: int = 0
    note: str = ""

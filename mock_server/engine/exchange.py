"""One request on its way through the engine, and what came of it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mock_server.engine.received import Request
from mock_server.engine.seeds import Ids
from mock_server.protocol.plan import Plan
from mock_server.protocol.query import Parameter, read_query
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.answer import Answer

if TYPE_CHECKING:
    from mock_server.engine.session import Session

NO_PARAMS: Mapping[str, str] = {}


class Call(NamedTuple):
    """A request whose sender is known: the session it belongs to, its key, and ids for its reply.

    `params`: what its path has for the `{names}` of the endpoint's pattern, unquoted.
    """

    http: HttpRequest
    session: "Session"
    key: str
    ids: Ids
    params: Mapping[str, str] = NO_PARAMS

    def query(self, known: Mapping[str, Parameter]) -> Mapping[str, Any]:
        """The query's values, of the parameters an endpoint knows. Raises ApiError (400) for any other."""
        return read_query(self.http.query, known)


class Late(NamedTuple):
    """A reply that a Python function gives: whoever has a loop calls it, then `settle` makes the exchange of it."""

    function: Callable[[Request], Any]
    request: Request
    settle: Callable[[Any], "Exchange"]


class Exchange(NamedTuple):
    """The plan that answers a request, and what chose it: a scenario with its turn and attempt, or a note.

    `late` stands in for the plan while a function has yet to give the reply. `understood`: the request was valid;
    `unexpected`: it was not as the script expects it; `aside`: no scenario is asked about requests of this kind;
    `side`: it was a side call of an agent.
    """

    plan: Plan
    scenario: str | None = None
    turn: int = 0
    attempt: int = 0
    note: str = ""
    answer: Answer | None = None
    understood: bool = False
    late: Late | None = None
    unexpected: bool = False
    aside: bool = False
    side: bool = False

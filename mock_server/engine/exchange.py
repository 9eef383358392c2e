"""One request on its way through the engine, and what came of it."""

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mock_server.engine.reading import Reader, Reading, digest
from mock_server.engine.received import Request
from mock_server.engine.seeds import Ids, exchange_seed
from mock_server.protocol.plan import NOTHING, Plan
from mock_server.protocol.query import Parameter, read_query
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.answer import Answer

if TYPE_CHECKING:
    from mock_server.engine.memory import Again
    from mock_server.engine.session import Session

NO_PARAMS: Mapping[str, str] = {}


class Call(NamedTuple):
    """A request whose sender is known: the session it belongs to, its key, and ids for its reply.

    `params`: what its path has for the `{names}` of the endpoint's pattern, unquoted. `in_batch`: it is one of a batch.
    `reading`: what was made of its body before its turn came.
    """

    http: HttpRequest
    session: "Session"
    key: str
    ids: Ids
    params: Mapping[str, str] = NO_PARAMS
    in_batch: bool = False
    reading: Reading | None = None

    def read(self, reader: Reader) -> Any:
        """What the reader makes of the body; read before where the body is large. Raises ApiError."""
        if self.reading is None or self.reading.terms is not self.session.terms:
            return reader(self.http, self.session.terms)
        return self.reading.told()

    def ids_of(self, said: bytes | None = None) -> Ids:
        """Where the id of something lasting is drawn from: with a seed, from what is said (if nothing is, the body) and
        how often it was.
        """
        seed = self.session.terms.settings.seed
        if seed is None:
            return self.ids
        if said is not None:
            spoken = digest(said)
        else:
            known = None if self.reading is None else self.reading.digests
            spoken = digest(self.http.body) if known is None else known[1]
        n = self.session.cursors.sent.add((self.key, spoken))
        return Ids(exchange_seed(seed, self.key, spoken, n))

    def query(self, known: Mapping[str, Parameter]) -> Mapping[str, Any]:
        """The query's values, of the parameters an endpoint knows. Raises ApiError (400) for any other."""
        return read_query(self.http.query, known)


class Late(NamedTuple):
    """A reply that a Python function gives: whoever has a loop calls it, then `settle` makes the exchange of it.

    `patience`: the seconds it may take, where it is not as usual. `is_ours`: the function is no test's but the server's
    own, and its work long.
    """

    function: Callable[[Request], Any]
    request: Request
    settle: Callable[[Any], "Exchange"]
    patience: float | None = None
    is_ours: bool = False


# Takes one step after another; yields a reply that a function is to give (and is sent what it came to, or thrown what
# the function raised), or None to let others have their turn; returns the exchange in the end.
Steps = Generator["Late | None", "Exchange | None", "Exchange"]


class Work(NamedTuple):
    """A reply that takes many steps: whoever has a loop takes them. `waits`: what the last step waits for."""

    steps: Steps
    waits: Late | None


class Exchange(NamedTuple):
    """The plan that answers a request, and what chose it: a scenario with its turn and attempt, or a note.

    `late` stands in for the plan while a function has yet to give the reply, or work has to be done for it.
    `understood`: the request was valid; `unexpected`: it was not as the script expects it; `aside`: no scenario is
    asked about requests of this kind; `side`: it was a side call of an agent. `faults`: what was done to the plan, in
    words. `again`: what the same request is answered from the next time, where nothing stands against it.
    """

    plan: Plan
    scenario: str | None = None
    turn: int = 0
    attempt: int = 0
    note: str = ""
    answer: Answer | None = None
    understood: bool = False
    late: Late | Work | None = None
    unexpected: bool = False
    aside: bool = False
    side: bool = False
    faults: tuple[str, ...] = ()
    again: "Again | None" = None


def worked(steps: Steps) -> Exchange:
    """The exchange that some steps come to: at once when they can, else as work still to be done."""
    try:
        waits = next(steps)
    except StopIteration as end:
        exchange: Exchange = end.value
        return exchange
    return Exchange(NOTHING, late=Work(steps, waits))

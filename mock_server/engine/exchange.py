"""One request on its way through the engine: where it goes, what its body says, and what came of it."""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from types import coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import unquote

from mock_server.engine.request_view import Request
from mock_server.engine.seeds import Ids, exchange_seed
from mock_server.protocol.errors import ApiError, excerpt, one_line
from mock_server.protocol.expression import Allowance, bounded
from mock_server.protocol.plan import Plan
from mock_server.protocol.query import Parameter, read_query
from mock_server.protocol.request import Client, HttpRequest
from mock_server.scenario.answer import Answer
from mock_server.scenario.conditions import Moved

if TYPE_CHECKING:
    from mock_server.engine.memory import Again, Settled
    from mock_server.engine.session import InForce, Session


# Where a request goes: what stands before the path of an endpoint is taken off it. A plain /v1/messages needs none.
#
# `/s/NAME` in front names the session. The base path (a setting) may stand before and after it; without one, anything
# may stand before the first `/v1/`: the SDKs append `/v1/messages` to whatever path a base URL has.

_SESSION = re.compile(r"/s/([^/]+)(/.*)?", re.DOTALL)
_PREFIX = re.compile(r"(?:/(?!v1/|_mock/)[^/]+)+?(/v1/.*)", re.DOTALL)


def addressed(http: HttpRequest, base_path: str = "") -> HttpRequest:
    """The request with the path its endpoint has, the session its path names, and what stood before."""
    path, session = _below(http.path, base_path), http.session
    named = _SESSION.fullmatch(path)
    if named is not None:
        session, path = unquote(named[1]), _below(named[2] or "/", base_path)
    if not base_path:
        prefixed = _PREFIX.fullmatch(path)
        path = path if prefixed is None else prefixed[1]
    before = http.path.removesuffix(path) if path != http.path else ""
    return http._replace(path=path, session=session, prefix=http.prefix + before)


def base_url(http: HttpRequest) -> str:
    """What the client has for this server, up to `/v1`: its host, and all that stood before the path; without a host
    only the latter.
    """
    host = http.headers.get("host", "")
    scheme = http.headers.get("x-forwarded-proto", "http").partition(",")[0].strip().lower()
    return f"{'https' if scheme == 'https' else 'http'}://{host}{http.prefix}" if host else http.prefix


def _below(path: str, base_path: str) -> str:
    if not base_path or not path.startswith(base_path):
        return path
    rest = path[len(base_path) :]
    return path if rest and rest[0] != "/" else rest or "/"


# What a body says, before anybody asks whose it is: parsed and judged by the settings in force, and counted.
#
# It depends on the bytes and the settings, and changes nothing. So a large body is read in another thread while others
# are answered, and its reading waits in the call for the endpoint that asks for it. A reader may look at what the
# session holds (the thread that a request goes on from, its files), and must not change it.

log = logging.getLogger("mock_server")

Reader = Callable[[HttpRequest, "Session"], Any]


class Reading(NamedTuple):
    """What a reader made of a body for a session under these terms, or the error that it raised. `spent`: what is left
    to the request after that. `digests`: with a seed, those of the request and of its body alone.
    """

    session: "Session"
    in_force: "InForce"
    spent: Allowance
    value: Any = None
    error: ApiError | None = None
    digests: tuple[bytes, bytes] | None = None

    def result(self) -> Any:
        """The value. Raises the ApiError."""
        if self.error is not None:
            raise self.error
        return self.value


def read_apart(reader: Reader, http: HttpRequest, session: "Session") -> Reading | None:
    """Read a body in whatever thread this is; None where that is a fault of ours, which shows when it is answered."""
    in_force = session.in_force
    digests = None if in_force.settings.seed is None else (digest_of(http), digest(http.body))
    with bounded() as spent:
        try:
            return Reading(session, in_force, spent, reader(http, session), None, digests)
        except ApiError as error:
            return Reading(session, in_force, spent, None, error, digests)
        except Exception:
            log.debug("a large body could not be read apart", exc_info=True)
            return None


def digest(*pieces: bytes) -> bytes:
    """16 bytes that stand for what these pieces say together."""
    made = hashlib.blake2b(digest_size=16)
    for piece in pieces:
        made.update(piece)
    return made.digest()


def digest_of(http: HttpRequest, reading: Reading | None = None) -> bytes:
    """What stands for a request before it is understood. `reading`: what was made of it, and may know that already."""
    if reading is not None and reading.digests is not None:
        return reading.digests[0]
    return digest(f"{http.method} {http.path}".encode(), http.body)


NO_PARAMS: Mapping[str, str] = {}


class Call(NamedTuple):
    """A request whose client is known: the session it belongs to, its key, and ids for its reply.

    `params`: what its path has for the `{names}` of the endpoint's pattern, unquoted. `in_batch`: it is one of a batch.
    `reading`: what was made of its body before its turn came. `endpoint`: what scenarios call where it came to.
    `again`: somebody wants to know what the same bytes are answered from the next time. `came`: the request as it came,
    where `http` is what it means. `alike`: an `Alike` will do. `client`: what its headers say.
    """

    http: HttpRequest
    session: "Session"
    key: str
    ids: Ids
    params: Mapping[str, str] = NO_PARAMS
    in_batch: bool = False
    reading: Reading | None = None
    endpoint: str = "messages"
    again: bool = True
    came: HttpRequest | None = None
    alike: bool = False
    client: Client | None = None

    def read(self, reader: Reader) -> Any:
        """What the reader makes of the body; read before where the body is large. Raises ApiError."""
        reading = self.reading
        if reading is None or reading.session is not self.session or reading.in_force is not self.session.in_force:
            return reader(self.http, self.session)
        return reading.result()

    def ids_of(self, text: bytes | None = None) -> Ids:
        """Where the id of something lasting is drawn from: with a seed, from `text` (without one, the body) and
        how often it was.
        """
        seed = self.session.in_force.settings.seed
        if seed is None:
            return self.ids
        if text is not None:
            digested = digest(text)
        else:
            known = None if self.reading is None else self.reading.digests
            digested = digest(self.http.body) if known is None else known[1]
        n = self.session.cursors.sent.add((self.key, digested))
        return Ids(exchange_seed(seed, self.key, digested, n))

    def query(self, known: Mapping[str, Parameter]) -> Mapping[str, Any]:
        """The query's values, of the parameters an endpoint knows. Raises ApiError (400) for any other."""
        return read_query(self.http.query, known)


class Apart(Protocol):
    """Calls a function where it holds up nobody, and comes to what it gives. Raises what it raises, and TimeoutError
    after `patience` seconds, or as many as a function of a test has.
    """

    def __call__(
        self, function: Callable[..., Any], *arguments: Any, patience: float | None = None
    ) -> Awaitable[Any]: ...


class Late(NamedTuple):
    """A reply that takes time: whoever has a loop awaits `reply(apart)`. `function`: that of a test that gives it."""

    reply: Callable[[Apart], Coroutine[Any, Any, "Exchange"]]
    function: Callable[[Request], Any] | None = None


@coroutine
def give_way() -> Generator[None, None, None]:
    """Lets others have their turn, as `asyncio.sleep(0)` does; it needs no loop."""
    yield


def in_place(late: Late) -> "Exchange":
    """The exchange of a late reply, all of it worked out in this thread: where nobody else has to be answered."""

    async def call(function: Callable[..., Any], *arguments: Any, patience: float | None = None) -> Any:
        return function(*arguments)

    work = late.reply(call)
    try:
        while True:
            work.send(None)
    except StopIteration as end:
        exchange: Exchange = end.value
        return exchange


class Exchange(NamedTuple):
    """The plan that answers a request, and what chose it: a scenario with its turn and attempt, or a note.

    `late` stands in for the plan while a function has yet to give the reply, or much has to be done for it.
    `understood`: the request was valid; `unexpected`: it was not as the script expects it; `aside`: no scenario is
    asked about requests of this kind; `side`: it was a side call of an agent. `faults`: what was done to the plan, in
    words. `contradictions`: what the reply does against its request, in sentences; `contradicted`: that counts as an
    error. `again`: what the same request is answered from the next time, where nothing stands against it. `warnings`:
    what its client should know although it was answered, a sentence each. `moved`: the states that it has moved.
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
    faults: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    contradicted: bool = False
    warnings: tuple[str, ...] = ()
    moved: tuple[Moved, ...] = ()
    again: "Again | None" = None


class Alike(NamedTuple):
    """An exchange that is like one before but for values of its own. Its reply can be sent from these alone; what else
    there is to it is worked out for whoever looks.

    `values`: what fills the holes of its reply, and of its head. `tokens`: of its input and output. `second`,
    `request_id`: when it says it was made (unix), and its id. `again`: as of any exchange.
    """

    settled: "Settled"
    values: Mapping[str, bytes]
    tokens: tuple[int, int]
    second: int
    request_id: str
    again: "Again | None"

    def exchange(self) -> Exchange:
        """The same as any other."""
        return self.settled.exchange_of(self)


# What a client should know although it was answered: whoever finds it adds it to the exchange; the header tells it.

WARNING = "x-mock-warning"
_LONGEST, _LONGEST_IN_ALL = 200, 1000  # letters of one, and of the header


def afterwards(exchange: Exchange, finish: Callable[[Exchange], Exchange]) -> Exchange:
    """The exchange; if its reply is late, `finish` is done to it when it is there."""
    late = exchange.late
    if late is None:
        return exchange

    async def reply(apart: Apart) -> Exchange:
        return finish(await late.reply(apart))

    return exchange._replace(late=late._replace(reply=reply))


def warn(exchange: Exchange, *texts: str, note: str = "") -> Exchange:
    """The exchange with more warnings, also when its reply comes late. `note`: what the journal's note says of it."""
    exchange = afterwards(exchange, lambda done: warn(done, *texts, note=note))
    noted = f"{exchange.note}; {note}" if exchange.note and note else exchange.note or note
    return exchange._replace(note=noted, warnings=(*exchange.warnings, *texts))


def with_warning_header(exchange: Exchange) -> Exchange:
    """The exchange, its warnings in a header of the reply: the last thing that is done to it."""
    exchange = afterwards(exchange, with_warning_header)
    if not exchange.warnings:
        return exchange
    headers = (*exchange.plan.headers, (WARNING, folded(exchange.warnings)))
    return exchange._replace(plan=exchange.plan._replace(headers=headers))


def folded(warnings: Iterable[str]) -> str:
    """Warnings as the value of a header: ASCII, one line, at most 1,000 letters; of each at most 200, each once."""
    lines = dict.fromkeys(excerpt(in_ascii(one), _LONGEST, "...") for one in warnings)
    return excerpt("; ".join(lines), _LONGEST_IN_ALL, "...")


def in_ascii(text: str) -> str:
    """A text as the value of a header."""
    return one_line(text).encode("ascii", "backslashreplace").decode()

"""One request at the edge: read the body, ask the engine, play the plan, log a line."""

import asyncio
import functools
import inspect
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from mock_server.engine.endpoints import ENDPOINTS, allowed, find, most_bytes
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry, Lane
from mock_server.engine.exchange import Alike, Exchange, Reading, addressed
from mock_server.engine.memory import Remembered
from mock_server.protocol.errors import ApiError
from mock_server.protocol.plan import JSON_HEADERS, SSE_HEADERS, Headers, Plan, whole
from mock_server.protocol.request import LONG, HttpRequest, legible
from mock_server.scenario.answer import name_of
from mock_server.server.body import Room, form_summary, is_form, read_body, read_form
from mock_server.server.connection import HTTP_1_1, Answered, Connection, Inbox, Written, canceling, nobody_asks
from mock_server.server.control import Desk, Query
from mock_server.server.control.answers import SAFE, STREAM, ControlError
from mock_server.server.player import Outcome, Playing, Wheel, at_once, frames_at_once, opening_of, play, with_holes

# What browsers ask before and look for after a request to the emulated API. The control API has none of it.
#
# The API lets a page in when it says `anthropic-dangerous-direct-browser-access: true`, which SDKs in browsers do.
# [INF] The exact headers of the real answer have not been seen.

ASKED = "anthropic-dangerous-direct-browser-access"
_ANYONE: Headers = (("access-control-allow-origin", "*"), ("vary", "origin"))


def preflight(headers: Mapping[str, str]) -> Plan:
    """The answer to OPTIONS: yes, when the request to come will ask for it by name."""
    wanted = headers.get("access-control-request-headers", "")
    if ASKED not in wanted.lower():
        return whole(400, (("content-type", "text/plain"),), b"CORS requests must set '%b'" % ASKED.encode())
    allowed: Headers = (
        ("access-control-allow-methods", "GET, POST, DELETE, OPTIONS"),
        ("access-control-allow-headers", wanted),
        ("access-control-max-age", "600"),
    )
    return whole(204, (*_ANYONE, *allowed), b"")


def shared_with_browsers(plan: Plan, headers: Mapping[str, str]) -> Plan:
    """The same plan, readable by the page that asked for it by name."""
    if headers.get(ASKED, "").lower() != "true":
        return plan
    exposed = ", ".join(name for name, _ in plan.headers if name.endswith("request-id") or name.startswith("retry"))
    return plan._replace(headers=(*plan.headers, *_ANYONE, ("access-control-expose-headers", exposed or "request-id")))


# Late replies: what holds up others is called apart from the loop.

LATE_LIMIT = 5.0  # seconds that a function of a test has


async def apart(function: Callable[..., Any], *arguments: Any, patience: float | None = None) -> Any:
    """What a function gives: an async one runs on the server's loop, any other in a thread of its own. Raises whatever
    it raises, and TimeoutError.
    """
    limit = patience or LATE_LIMIT
    try:
        return await asyncio.wait_for(_call(function, arguments), limit)
    except asyncio.TimeoutError:
        raise TimeoutError(f"{name_of(function)} gave no reply within {limit:g} s") from None
    except _Raised as raised:
        raise raised.error from None


async def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What the function gives. What it raises comes as `_Raised`: a task would hand SystemExit and KeyboardInterrupt to
    its loop, which ends by them, and `wait_for` makes a task of this (Python 3.10, 3.11).
    """
    try:
        if inspect.iscoroutinefunction(function):
            return await function(*arguments)
        result = await _in_thread(function, arguments)
        return await result if inspect.isawaitable(result) else result
    except (asyncio.CancelledError, _Raised):
        raise
    except BaseException as error:
        raise _Raised(error) from error


async def _in_thread(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """A daemon thread, not the loop's pool: a function that never returns must not keep the server from stopping."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: BaseException | None) -> None:
        if done.done():  # nobody waits any more
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(_Raised(error))

    def run() -> None:
        result, error = None, None
        try:
            result = function(*arguments)
        except BaseException as raised:  # of a test: its own kind of failure is not an Exception
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name="mock-server reply", daemon=True).start()
    return await done


class _Raised(Exception):
    """Carries an exception through futures and tasks, which refuse some kinds (StopIteration) or end their loop."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(repr(error))
        self.error = error


# What is answered beside the emulated API and kept in no journal: the control API, OPTIONS, a look who is there.

_ANY = "GET, HEAD, POST, DELETE, OPTIONS"
# Where an agent's CLI looks whether anybody is there.
_HELLO = "/api/hello"


class BesideApi:
    """A reply that no journal keeps: of the control API, and to what could not be read."""

    alike: Alike | None = None

    def __init__(self, exchange: Exchange, lane: Lane) -> None:
        self.exchange = exchange
        self.lane = lane

    def opened(self, cut: Callable[[str], None]) -> None:
        """Nobody wants to cut it."""

    def end(self, kind: str, frames: int, sent: Sequence[float] = ()) -> None:
        """Nobody asks."""


def beside_api(http: HttpRequest, desk: Desk, lane: Lane) -> BesideApi | None:
    """The reply to a request that is not for the emulated API; None when it is for that."""
    plan = _plan(http, desk)
    return None if plan is None else BesideApi(Exchange(plan, note="control"), lane)


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
        return preflight(headers)
    found = find(path)
    return whole(204, (("allow", _ANY if found is None else allowed(ENDPOINTS[found.pattern])),), b"")


# One request at the edge: read the body, ask the engine, play the plan, log a line.

if TYPE_CHECKING:
    from mock_server.server.journal_file import JournalFile

log = logging.getLogger("mock_server")
READERS = 4  # large bodies that are read at the same time
MESSAGES, FILES = "/v1/messages", "/v1/files"


class App:
    """Answers every request of one server: the control API under `/_mock/`, the emulated API elsewhere."""

    def __init__(self, engine: Engine, desk: Desk, file: "JournalFile | None" = None) -> None:
        self._engine = engine
        self._desk = desk
        self._file = file
        self._watchers = desk.feed.watchers
        self._base_path = engine.settings.base_path
        self._loop = asyncio.get_running_loop()
        self._readers = ThreadPoolExecutor(READERS, "mock-server reader")
        self._clerks = ThreadPoolExecutor(READERS, "mock-server desk")
        desk.standing.changed = self._changed
        self.remembered, self._came_before = engine.remembered, engine.memory.has_seen
        engine.journals.loop_thread = threading.get_ident()
        self.inbox = Inbox(self._loop)
        self.wheel = Wheel(self._loop, self.inbox.patience)

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        """The long way in: a request as aiohttp parsed it."""
        start = self._loop.time()
        connection: Connection = request.protocol  # type: ignore[assignment]
        if not (1, 0) <= request.version <= HTTP_1_1:
            return connection.not_http("a request line ends with HTTP/1.1 or HTTP/1.0")
        path = request.rel_url.raw_path
        filed: bytes | None = None
        try:
            http = await self._read(request, path)
            if http is None:
                return Written(keep_alive=False)
            if self._is_stream(http):
                return await self._stream(http, request)
            answered, filed = await self.answered(http)
        except ApiError as error:
            answered = self.refused(error)
        if answered.exchange.late is not None:
            connection.when_lost(canceling(asyncio.current_task()))
            await self.settle(answered)
            connection.when_lost(None)
        version = request.version
        plan = answered.exchange.plan
        keep_alive = request.keep_alive and (version >= (1, 1) or not plan.stream)
        ended = functools.partial(self.ended, answered, request.method, path, start, filed=filed)
        frames = frames_at_once(plan)
        if frames >= 0 and request.method != "HEAD":
            ended(Outcome("completed", frames))
            connection.write(at_once(plan, keep_alive=keep_alive, version=version))
            return Written(keep_alive=keep_alive, unread=request.content)
        opening, chunked = opening_of(plan, keep_alive=keep_alive, version=version)
        if request.method == "HEAD":
            ended(Outcome("completed", 0))
            return Written(opening, keep_alive=keep_alive)
        playing = Playing(plan, connection, answered.lane, self.wheel, start, opening, chunked, ended)
        answered.opened(playing.cut)
        outcome = await play(playing)
        return Written(keep_alive=keep_alive and outcome.is_in_order(plan))

    async def _read(self, request: BaseRequest, path: str) -> HttpRequest | None:
        """The request with its body; None when its client left before it was whole. Raises ApiError."""
        http = HttpRequest(request.method, path, _headers(request), b"", None, request.rel_url.raw_query_string)
        try:
            if self._brings_file(http):
                return await self._form(request, http)
            return http._replace(body=await read_body(request))
        except ConnectionError:
            log.debug("%s %s: the client left in the midst of its request", request.method, path)
            return None

    async def answered(self, http: HttpRequest) -> tuple[Answered, bytes | None]:
        """What answers a request, where parts of that may take long, and what the journal file says of its body."""
        answered = await self._asked(http)
        if answered is not None:
            return answered, None
        reading, kept = await self._reading(http), await self._kept(http)
        answered = self.exchange(http, reading, kept)
        return answered, await self._filed(answered, http)

    async def _reading(self, http: HttpRequest) -> Reading | None:
        """What a large body says, read in another thread: it may take seconds, and others are answered meanwhile."""
        if len(http.body) < LONG:
            return None
        read = self._engine.reading(addressed(http, self._base_path))
        return None if read is None else await self._loop.run_in_executor(self._readers, read)

    async def _kept(self, http: HttpRequest) -> HttpRequest | None:
        """What the journal keeps of a large body, where something is blotted out in it."""
        if len(http.body) < LONG or not self._engine.journals.redacts:
            return None
        return await self._loop.run_in_executor(
            self._readers, self._engine.journals.kept, addressed(http, self._base_path)
        )

    async def _filed(self, answered: Answered, http: HttpRequest) -> bytes | None:
        """What the journal file says of a large body, and who watches is shown of it."""
        if len(http.body) < LONG or not isinstance(answered, Entry):
            return None
        if self._file is None and not self._watchers:
            return None
        return await self._loop.run_in_executor(self._readers, _outlined, answered, self._file is not None)

    async def _asked(self, http: HttpRequest) -> Answered | None:
        """What the control API says to what may take it seconds, worked out in another thread; None to all else."""
        if "/_mock/" not in http.path:
            return None
        http = addressed(http, self._base_path)
        if not self._desk.takes_long(http):
            return None
        return await self._loop.run_in_executor(self._clerks, beside_api, http, self._desk, self._engine.sessions.first)

    def _changed(self) -> None:
        """Tell who watches that there are other scenarios, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._desk.feed.say, "scenarios")

    def close(self) -> None:
        """Read nothing more."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._clerks.shutdown(wait=False, cancel_futures=True)

    def exchange(
        self, http: HttpRequest, reading: Reading | None = None, kept: HttpRequest | None = None, *, came: bytes = b""
    ) -> Answered:
        """What answers a request, whichever way it came in. `reading`: what its body says, where that is known; `kept`:
        what the journal keeps of it. `came`: all its bytes, to `remember` it by."""
        if http.path != MESSAGES or http.method != "POST":
            http = addressed(http, self._base_path)
            answered = beside_api(http, self._desk, self._engine.sessions.first)
            if answered is not None:
                return answered
        entry = self._engine.handle(http, reading, kept, again=bool(came) and self._came_before(came))
        if "origin" in entry.request_headers:
            self._share(entry)
        if self._watchers:
            self._desk.feed.came(entry, entry.session)
        return entry

    def remember(self, came: bytes, http: HttpRequest, answered: Answered) -> None:
        """Keep what a request came to, for when the same bytes come again."""
        if isinstance(answered, Entry):
            asked = http if http.path == MESSAGES else addressed(http, self._base_path)
            one = self._engine.remember(came, asked, answered)
            if one is not None and one.is_at_once:
                one.wire = with_holes(*one.marked())

    def again(self, one: Remembered, start: float) -> bytes:
        """The bytes that answer a request as the same was answered before; it is noted, and has ended."""
        assert one.wire is not None
        entry = self._engine.repeat(one)
        if self._file is not None or self._watchers or log.isEnabledFor(logging.INFO):
            self._tell(entry, "POST", one.path, start, "completed")
        return entry.sent_by(one.wire)

    def begun_again(self, one: Remembered) -> Entry:
        """What answers a request as the same was answered before, where that takes time; it is noted."""
        entry = self._engine.repeat(one)
        if self._watchers:
            self._desk.feed.came(entry, entry.session)
        return entry

    def sent(self, alike: Alike) -> bytes:
        """The bytes of a reply that is like one before, but for values of its own."""
        settled = alike.settled
        if settled.wire is None:
            settled.wire = with_holes(*settled.marked(alike.values))
        return settled.wire.fill(alike.values)

    def most_bytes(self, path: str) -> int:
        """How large the body of a request to this path may be."""
        return most_bytes(addressed(HttpRequest("", path, {}), self._base_path).path)

    def _brings_file(self, http: HttpRequest) -> bool:
        if http.method != "POST" or not is_form(http.headers):
            return False
        return addressed(http, self._base_path).path == FILES

    async def _form(self, request: BaseRequest, http: HttpRequest) -> HttpRequest:
        """The request with the form that it brings. Raises ApiError."""
        room = Room(self._engine.settings.files, self._engine.file_room(addressed(http, self._base_path)))
        form = await read_form(request, room)
        return http._replace(form=form, body=form_summary(form))

    @staticmethod
    def _share(entry: Entry) -> None:
        """Have the page that asked read the reply."""
        shared = shared_with_browsers(entry.exchange.plan, entry.request_headers)
        entry.exchange = entry.exchange._replace(plan=shared)

    def _is_stream(self, http: HttpRequest) -> bool:
        """Whether this is a request for the live stream; one that may not have it is refused by the desk."""
        if not http.path.endswith(STREAM):
            return False
        try:
            asked = addressed(http, self._base_path)
            return asked.session is None and self._desk.is_stream(query_of(asked))
        except ControlError:
            return False

    async def _stream(self, http: HttpRequest, request: BaseRequest) -> StreamResponse:
        """Send the live stream until the client leaves."""
        connection: Connection = request.protocol  # type: ignore[assignment]
        connection.when_lost(nobody_asks)
        response = StreamResponse(headers=dict((*SSE_HEADERS, *SAFE)))
        await response.prepare(request)
        frames = self._desk.feed.watch(query_of(http).query.get("session"))
        try:
            async for frame in frames:
                await response.write(frame)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            await frames.aclose()
        return response

    async def settle(self, answered: Answered) -> None:
        """Have the function give the reply that is still missing."""
        assert isinstance(answered, Entry)
        assert answered.exchange.late is not None
        task = asyncio.current_task()
        assert task is not None
        entry = answered

        def cut(outcome: str) -> None:
            entry.end(outcome, 0)
            task.cancel()

        entry.opened(cut)
        try:
            answered.settled(await answered.exchange.late.reply(apart))
        except asyncio.CancelledError:
            answered.end("client_left", 0)
            raise
        except BaseException as error:  # of a test: its own kind of failure is not an Exception
            self._engine.failed(answered, error)
        if "origin" in entry.request_headers:
            self._share(entry)

    def refused(self, error: ApiError) -> Answered:
        """What answers a request that could not be read."""
        return BesideApi(self._engine.refuse(error), self._engine.sessions.first)

    def ended(
        self,
        answered: Answered,
        method: str,
        path: str,
        start: float,
        outcome: Outcome,
        filed: bytes | None = None,
    ) -> None:
        """The end of an exchange, told before its last bytes go out: the journal entry and the log line."""
        answered.end(outcome.kind, outcome.frames, outcome.sent)
        if self._file is not None or self._watchers or log.isEnabledFor(logging.INFO):
            self._tell(answered, method, path, start, outcome.kind, filed)

    def _tell(
        self, answered: Answered, method: str, path: str, start: float, outcome: str, filed: bytes | None = None
    ) -> None:
        """Tell whoever listens of an exchange that has ended."""
        if isinstance(answered, Entry):
            if self._file is not None:
                self._file.write(answered, filed)
            if self._watchers:
                self._desk.feed.came(answered, answered.session)
        if not log.isEnabledFor(logging.INFO) or answered.exchange.note == "control":
            return
        exchange = answered.exchange
        by = f"{exchange.scenario} turn {exchange.turn}" if exchange.scenario else exchange.note.split("\n")[0][:200]
        took = (self._loop.time() - start) * 1000
        form = "stream" if exchange.plan.stream else "json"
        log.info("%s %s %d %s %s, %s in %.0f ms", method, path, exchange.plan.status, form, by, outcome, took)


def _outlined(entry: Entry, is_filed: bool) -> bytes | None:
    """Has what lists show of an entry worked out, and what the file says of its body."""
    filed = None
    if is_filed:
        from mock_server.server.journal_file import readable_body  # it is there: the file that is written is of it

        filed = readable_body(entry)
    _ = entry.outline
    return filed


def _headers(request: BaseRequest) -> Mapping[str, str]:
    """The headers, looked up in lower case, as text that can be shown."""
    headers = request.headers
    if all(map(str.isascii, headers.values())):
        return headers
    return {name.lower(): legible(headers[name]) for name in headers}  # of two, the first counts

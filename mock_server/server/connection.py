"""One client connection: aiohttp's own, with three things changed. Its error pages become the API's envelopes, a reply
is written as prepared bytes instead of through header maps and payload writers, a plain POST takes the short way in,
in however many reads it comes.
"""

import asyncio
import contextlib
import functools
import os
import re
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from aiohttp.base_protocol import BaseProtocol
from aiohttp.log import server_logger
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_server import Server as WebServer

from mock_server.engine.entry import Lane
from mock_server.engine.exchange import Alike, Exchange
from mock_server.engine.memory import Remembered
from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.request import LONG, HttpRequest, SharedHeaders
from mock_server.records import quick
from mock_server.server.player import Outcome, Playing, Wheel, at_once, frames_at_once, opening_of

# Closing a connection with a RST, where the system can; elsewhere it is closed as the transport aborts.

try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = termios = None  # type: ignore[assignment]

_AT_ONCE = struct.pack("ii", 1, 0)  # linger on, for no time: what is unsent is thrown away and a RST sent


def reset_on_close(transport: asyncio.BaseTransport) -> None:
    """Have the closing of a connection send a RST instead of a FIN."""
    number = _number(transport)
    if number is None or os.name != "posix":
        return
    with socket.socket(fileno=os.dup(number)) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)


def on_the_way(transport: asyncio.BaseTransport) -> int:
    """How many bytes the system has not seen arrive yet; 0 where it cannot tell."""
    number = _number(transport)
    if number is None or fcntl is None:
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return 0


def _number(transport: asyncio.BaseTransport) -> int | None:
    """The file number of a connection's socket."""
    found = transport.get_extra_info("socket")
    number: int = -1 if found is None else found.fileno()
    return None if number < 0 else number


# The head of a request that takes the short way: as a plain POST has it.
#
# That saves the parser, the request object, the body stream and the task: half of what a small request costs. Both ways
# lead to the same `App.exchange`; tests hold their bytes together. Whether HTTP is in order is for aiohttp's parser to
# say. So this takes only what no parser could object to: how TCP cut a request must not decide what becomes of it.

# RFC 3986 without what is escaped, RFC 9110 for names and values of headers
_PATH, _QUERY = r"/[\w.~!$&'()*+,;=:@/-]*", r"[\w.~!$&'()*+,;=:@/?-]*"
_LINE = re.compile(rf"POST ({_PATH})(?:\?({_QUERY}))? HTTP/1\.1\r\n", re.ASCII)
_HEADER = re.compile(r"(?m)^([\w!#$%&'*+.^`|~-]+):[ \t]*([\t -~]*)\r\n", re.ASCII)
_HOST = re.compile(r"[\w.-]+(?::\d{1,5})?", re.ASCII)
_LENGTH = re.compile(r"\d{1,12}", re.ASCII)
MOST_HEADERS = 64  # aiohttp takes 128
LONGEST_HEAD = 32 * 1024  # bytes; aiohttp takes 64 KB in one header

REMEMBERED = 2048  # bytes of a head that is read once for all who send it

# headers that change how a request must be read or answered
_UNUSUAL = frozenset(("transfer-encoding", "content-encoding", "expect", "upgrade", "sec-websocket-key1"))


class Head(NamedTuple):
    """What stands before a body; `sent`: its bytes, up to where that begins."""

    path: str
    query: str
    headers: Mapping[str, str]
    length: int
    sent: bytes


def begun_post(data: bytes) -> Head | None:
    """The head of the HTTP/1.1 POST that begins here; None where it is not there as a whole, or is unusual."""
    end = data.find(b"\r\n\r\n", 0, LONGEST_HEAD + 2) + 4
    if end < 4 or not data.startswith(b"POST /"):
        return None
    sent = data[:end]
    return _remembered(sent) if end <= REMEMBERED else _head(sent)


_BEGINS = b"POST /"


def is_head_begun(data: bytes) -> bool:
    """Whether this can be the beginning of the head of a POST, and nothing in its lines says that it is none."""
    if len(data) > LONGEST_HEAD or not (data.startswith(_BEGINS) or _BEGINS.startswith(data)):
        return False
    ends = data.count(b"\r\n")
    whole = data.count(b"\r") - data.endswith(b"\r")
    return b"\r\n\r\n" not in data and ends == data.count(b"\n") == whole


def _head(sent: bytes) -> Head | None:
    """A head that has nothing unusual about it; None for any other."""
    if b"/_mock/" in sent or sent.startswith(b"POST / ") or not sent.isascii():
        return None  # what the control API is asked takes its time
    text = sent[:-2].decode("ascii")
    line = _LINE.match(text)
    headers = None if line is None else _headers(text, line.end())
    if line is None or headers is None:
        return None
    length = headers.get("content-length", "")
    if _LENGTH.fullmatch(length) is None or _HOST.fullmatch(headers.get("host", "")) is None:
        return None
    return Head(line[1], line[2] or "", SharedHeaders(headers), int(length), sent)


# clients say the same again and again
_remembered = functools.lru_cache(maxsize=256)(_head)


def _headers(text: str, start: int) -> dict[str, str] | None:
    """The headers by their lower-case names; None when a line is no header, comes twice or is unusual."""
    found = _HEADER.findall(text, start)
    headers = {name.lower(): value.rstrip(" \t") for name, value in found}
    if len(headers) != text.count("\n") - 1 or len(headers) > MOST_HEADERS or not _UNUSUAL.isdisjoint(headers):
        return None
    if headers.get("content-type", "").lower().startswith("multipart/"):
        return None
    return headers if headers.get("connection", "keep-alive").lower() == "keep-alive" else None


# Requests that came whole and wait to be answered: first come, first served, a slice at a time.
#
# To take a request off its connection costs a tenth of answering it. So all that came are taken first: each knows when
# it came, and what its reply is late by at first, the rest of it is not.

SLICE = 0.002  # seconds of answering, before what came meanwhile is taken and streams have their turn
MOST_PATIENCE = 0.025  # seconds: a little more than the usual gap of a stream, so that two deltas can go out as one

_Asked = TypeVar("_Asked")
# what is known of a request, all its bytes (none where they are too many to be remembered), when it came (loop time)
Answer = Callable[[_Asked, bytes, float], None]


class Inbox:
    """Has requests answered in the order they were put in.

    Replies go out together, with the last of those that wait or at the end of a slice: a client on the same machine is
    woken once for all of them, not for each, which took a tenth of the processor's time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._replies: list[tuple[asyncio.WriteTransport, bytes]] | None = None  # of the slice under way
        self._waiting: deque[tuple[float, Answer[Any], Any, bytes]] = deque()
        self._is_called = False  # or will be: the next slice

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, answer: Answer[_Asked], asked: _Asked, sent: bytes) -> None:
        """Have a request answered when its turn comes."""
        self._waiting.append((self._loop.time(), answer, asked, sent))
        if not self._is_called:
            self._is_called = True
            self._loop.call_soon(self._run)

    def send(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write the whole reply of a request: with the next ones, if a slice is under way and others wait."""
        if self._replies is None:
            transport.write(data)
            return
        self._replies.append((transport, data))
        if not self._waiting:
            self._flush(self._replies)

    @staticmethod
    def _flush(replies: list[tuple[asyncio.WriteTransport, bytes]]) -> None:
        for transport, data in replies:
            transport.write(data)
        replies.clear()

    def patience(self, now: float) -> float:
        """How long (seconds) streams can wait for requests: as long as the first of those has waited, within reason.

        When there is too much to do, both are late by the same, and a stream that is late sends in one write what it
        would have sent in two: there is less to do.
        """
        return min(now - self._waiting[0][0], MOST_PATIENCE) if self._waiting else 0.0

    def _run(self) -> None:
        waiting, time = self._waiting, self._loop.time
        until = time() + SLICE
        replies = self._replies = []
        try:
            while waiting:
                came, answer, asked, sent = waiting.popleft()
                answer(asked, sent, came)
                if time() >= until:
                    break
        finally:  # whatever became of one, the others have their turn
            self._replies = None
            self._is_called = bool(waiting)
            if waiting:
                self._loop.call_soon(self._run)
            if replies:
                self._flush(replies)


# The connection itself.

MAX_HEADER = 64 * 1024
MAX_HELD = 256 * 1024
MOST_REFUSED = 1 << 30  # bytes that a client may go on sending after it was refused
PATIENCE = 10.0  # seconds that it may pause meanwhile
HTTP_1_1 = (1, 1)

# What is used of aiohttp's connection that it does not promise to have. Where a release lacks any of it, every request
# takes the long way, and a test fails.
_FIELDS = {
    *("_waiter", "_messages", "_next_keepalive_close_time", "_keepalive_timeout", "_keepalive_handle", "_close"),
    *(
        "_force_close",
        "_loop",
        "_process_keepalive",
        "_manager",
        "_task_handler",
        "_payload_parser",
        "_current_request",
    ),
    *("_request_in_progress", "_paused", "logger"),
}
SHORT_WAY = all(hasattr(RequestHandler, field) for field in _FIELDS)
KEPT_OPEN = 3630.0  # seconds that a connection may be idle: more than a proxy before it has patience
LOOK = 60.0  # seconds between two looks for those that are


_http, _outcome = quick(HttpRequest), quick(Outcome)


class Answered(Protocol):
    """A request with its reply: an entry of the journal, or an aside. It hears how the reply ended."""

    @property
    def exchange(self) -> Exchange: ...
    @property
    def alike(self) -> Alike | None: ...
    @property
    def lane(self) -> Lane: ...
    def opened(self, cut: Callable[[str], None]) -> None: ...
    def end(self, kind: str, frames: int, sent: Sequence[float] = ()) -> None: ...


class Application(Protocol):
    """What a connection asks of the application."""

    wheel: Wheel
    inbox: Inbox

    @property
    def remembered(self) -> Callable[[bytes], Remembered | None]: ...

    async def __call__(self, request: BaseRequest) -> StreamResponse: ...
    def exchange(self, http: HttpRequest, *, came: bytes = b"") -> Answered: ...
    async def answered(self, http: HttpRequest) -> tuple[Answered, bytes | None]: ...
    def remember(self, came: bytes, http: HttpRequest, answered: Answered) -> None: ...
    def again(self, one: Remembered, start: float) -> bytes: ...
    def begun_again(self, one: Remembered) -> Answered: ...
    def sent(self, alike: Alike) -> bytes: ...
    def most_bytes(self, path: str) -> int: ...
    async def settle(self, answered: Answered) -> None: ...
    def refused(self, error: ApiError) -> Answered: ...
    def ended(
        self, answered: Answered, method: str, path: str, start: float, outcome: Outcome, filed: bytes | None = None
    ) -> None: ...


class Connection(RequestHandler):
    """The protocol of one connection; also the `Wire` that a plan is played on."""

    __slots__ = (
        "_app",
        "_begun",
        "_busy",
        "_has_ended",
        "_head",
        "_held",
        "_is_joined",
        "_last_head",
        "_partial",
        "_when_lost",
        "handled",
        "reading",
    )

    def __init__(self, manager: "Server", app: Application) -> None:
        self._is_joined = True  # all is there that aiohttp's connection has
        if SHORT_WAY:
            self._begin_alone(manager)
        else:
            self._begin_joined(manager)
        self._app = app
        self._when_lost: Callable[[], None] | None = None
        self._partial = False  # the parser has the beginning of a request
        self._busy = False  # a request is being answered that took the short way
        self._begun: _Begun | None = None  # a request of which the head has come, and not all of its body
        self._head = b""  # the beginning of a head
        self._last_head: Head | None = None  # of the last request: most clients say the same again
        self._has_ended = False  # the client sends nothing more
        self.reading: StreamReader | None = None  # the body of the request that aiohttp answers, or answered last
        self.handled = True  # nothing of that request is still to be written or read
        self._held = b""

    # -- what of aiohttp's connection is there when ------------------------------------------------------------

    # Its parser, its task, its timer and its queue are 4 KB, which most connections never need: they are made when the
    # first request takes the long way. Until then this has the fields that its methods read whatever comes.

    def _begin_alone(self, manager: "Server") -> None:
        BaseProtocol.__init__(self, manager._loop)
        self._is_joined = False
        self._manager = manager
        self._keepalive_timeout = KEPT_OPEN
        self._keepalive_handle = self._waiter = self._task_handler = None
        self._payload_parser = self._current_request = None
        self._close = self._force_close = self._request_in_progress = False
        self._messages = ()  # type: ignore[assignment]  # looked at, never added to
        self.logger = server_logger

    def _begin_joined(self, manager: "Server") -> None:
        super().__init__(
            manager,
            loop=manager._loop,
            keepalive_timeout=KEPT_OPEN,
            access_log=None,  # type: ignore[arg-type]
            tcp_keepalive=False,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            lingering_time=10.0,
            auto_decompress=False,  # it would unpack all that came before anybody counts it
        )

    def _join(self) -> None:
        """Have all that aiohttp's connection has."""
        transport, manager = self.transport, self._manager
        was = self._close, self._force_close, self._paused
        self._is_joined = True
        self._begin_joined(manager)  # type: ignore[arg-type]
        self._close, self._force_close, self._paused = was
        if transport is not None:
            super().connection_made(transport)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """A field that is not there yet; none that has been thought of."""
            if self._is_joined or self._manager is None or not hasattr(RequestHandler, name):
                raise AttributeError(name)
            self._join()
            return getattr(self, name)

    def close_if_idle(self, now: float) -> None:
        """Close it if nothing has come for `KEPT_OPEN`; one that is joined has a timer of its own."""
        is_idle = not self._is_joined and not self._busy and self._begun is None
        if is_idle and now >= self._next_keepalive_close_time:
            self.force_close()

    # -- the Wire ----------------------------------------------------------------------------------------------

    @property
    def write(self) -> Callable[[bytes], None]:
        transport = self.transport
        return transport.write if transport is not None else _nowhere

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    @property
    def is_full(self) -> bool:
        return self.writing_paused

    @property
    def is_drained(self) -> bool:
        """Whether everything written has arrived, as far as the system tells."""
        transport = self.transport
        if transport is None:
            return True
        return not transport.get_write_buffer_size() and not on_the_way(transport)

    def end(self, *, reset: bool) -> None:
        """Close the connection as a broken server does: a FIN, or a RST."""
        transport = self.transport
        if reset and transport is not None:
            reset_on_close(transport)
            transport.abort()
        self.force_close()

    def when_lost(self, call: Callable[[], None] | None) -> None:
        """Have `call` called when the client leaves, or has left; None to be called no more."""
        self._when_lost = call
        if call is not None and self._has_ended:
            self.force_close()

    # -- what asyncio and aiohttp call -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._is_joined:
            super().connection_made(transport)
            return
        # not the parent's: it switches Nagle's delay off, as the door has done, and has uvloop keep a socket for that
        self.transport = transport  # type: ignore[assignment]
        assert self._manager is not None
        self._manager.connection_made(self, self.transport)  # type: ignore[arg-type]
        self._stays_open(self._loop.time())

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._when_lost is not None:
            self._when_lost()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio reads it, aiohttp says None
        """The client sends nothing more; False to close the connection.

        TCP does not tell a client that left from one that only closed its half. A reply that is due at once is sent
        either way, and the connection closes then; while a reply waits for its time, the client counts as gone. TLS
        knows no half that is closed.
        """
        if self.transport is not None and self.transport.get_extra_info("sslcontext") is not None:
            return False
        self._has_ended = self._when_lost is None and self._owes_reply()
        return self._has_ended

    def _owes_reply(self) -> bool:
        """Whether a request has come whole and is not answered."""
        if self._busy:
            return True
        if self._waiter is not None and not self._waiter.done():
            return False  # aiohttp waits for a request
        bodies = [body for _, body in self._messages] + ([] if self.reading is None else [self.reading])
        return bool(bodies) and all(body.is_eof() for body in bodies)

    @property
    def is_over(self) -> bool:
        """Whether everything is answered, and nothing more will come."""
        return self._has_ended and not (self._messages or self._held)

    def data_received(self, data: bytes) -> None:
        if not data:  # from aiohttp itself, which goes on with what it has kept
            super().data_received(data)
        elif self._busy:
            self._hold(data)
        elif not SHORT_WAY or not self.handled or self._partial or self._messages or self._close or self._force_close:
            self._leave(data)
        elif self._begun is not None:
            self._go_on(self._begun, data)
        elif self._head:
            data, self._head = self._head + data, b""
            self._begin(data)
        else:
            self._begin(data)

    def _leave(self, data: bytes) -> None:
        """Have aiohttp read it."""
        is_first = not self._is_joined
        if is_first:
            self._join()
        super().data_received(data)
        if self._waiter is not None:
            self._partial = not self._waiter.done()
        elif is_first:  # its task will find what there is
            self._partial = not self._messages
        else:  # while aiohttp does not wait, nobody can tell what of it the parser has kept
            self._partial = True

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """What aiohttp would answer with a page of its own: a request it could not parse, or our own fault."""
        if status == 500 or exc is None:
            return Written(self._fault(exc), keep_alive=False)
        return self.not_http((message or str(exc)).strip().split("\n")[0])

    def log_exception(self, *args: Any, **how: Any) -> None:
        """Log a fault, unless it is the client's: a body that was answered as broken, and is read to its end."""
        if not isinstance(how.get("exc_info"), RequestPayloadError):
            super().log_exception(*args, **how)

    def not_http(self, reason: str) -> StreamResponse:
        """The answer to what is no HTTP request; the connection closes after it."""
        return Written(self._last_reply(invalid(f"The request is not valid HTTP: {reason}")), keep_alive=False)

    def _fault(self, exc: BaseException | None) -> bytes:
        """Our own mistake: logged, and the reply that the client gets."""
        self.log_exception("a fault of mock-server", exc_info=exc)
        return self._last_reply(ApiError("api_error"))

    def _last_reply(self, error: ApiError) -> bytes:
        plan = self._app.refused(error).exchange.plan
        return at_once(plan, keep_alive=False, version=HTTP_1_1)

    # -- the short way -------------------------------------------------------------------------------------------

    def _begin(self, data: bytes) -> None:
        """A request begins; it may be there as a whole, or with the beginning of the next behind it."""
        known = self._app.remembered(data)
        if known is not None:
            self._repeat(known, data)
            return
        head = self._last_head
        if head is None or not data.startswith(head.sent):
            head = begun_post(data)
            if head is None:
                if is_head_begun(data):
                    self._head = data
                else:
                    self._leave(data)
                return
            self._last_head = head if len(head.sent) <= REMEMBERED else None
        at = len(head.sent)
        missing = head.length - (len(data) - at)
        if not missing:
            self._take(head, data[at:], data)
        elif missing < 0:
            self._held, data = data[missing:], data[:missing]
            self._whole(head, data[at:], data)
        elif head.length > LONG and head.length > self._app.most_bytes(head.path):
            self._leave(data)  # it is refused before it has come
        else:
            self._begun = _Begun(head, [data], missing)

    def _go_on(self, begun: "_Begun", data: bytes) -> None:
        """More comes of a request that has begun."""
        begun.pieces.append(data)
        begun.missing -= len(data)
        if begun.missing > 0:
            return
        self._begun = None
        if begun.missing:
            self._held, begun.pieces[-1] = data[begun.missing :], data[: begun.missing]
        if begun.head.length >= LONG:
            begun.pieces[0] = begun.pieces[0][len(begun.head.sent) :]
            self._take(begun.head, b"".join(begun.pieces), b"")
        else:
            came = b"".join(begun.pieces)
            self._whole(begun.head, came[len(begun.head.sent) :], came)

    def _whole(self, head: Head, body: bytes, came: bytes) -> None:
        """A request has come as a whole, in several reads or with more behind it; that waits for its turn."""
        known = None if self._held else self._app.remembered(came)
        if known is None:
            self._take(head, body, came)
        else:
            self._repeat(known, came)

    def _repeat(self, known: Remembered, came: bytes) -> None:
        """Answer a request that is as one before: there is nothing to wait for, unless its reply takes time."""
        if known.wire is None:
            self._busy = True
            self._app.inbox.put(self._play_again, known.path, came)
            return
        try:
            start = self._loop.time()
            self._stays_open(start)
            self.write(self._app.again(known, start))
        except Exception as error:
            self._fail(error, None)

    def _play_again(self, path: str, came: bytes, start: float) -> None:
        """Begin a reply that takes time, as it did before, if what it hung on is still the same now."""
        known = self._app.remembered(came)
        if known is None or known.wire is not None:
            head = begun_post(came)
            assert head is not None
            body = came[len(head.sent) :]
            self._answer(_http(("POST", path, head.headers, body, None, head.query, "", None)), came, start)
            return
        answered: Answered | None = None
        try:
            answered = self._app.begun_again(known)
            self._play(answered, path, start)
        except Exception as error:
            self._fail(error, answered)

    def _take(self, head: Head, body: bytes, came: bytes) -> None:
        """Have a request answered when its turn comes. `came`: all its bytes, to remember it by; none if too many."""
        self._busy = True
        http = _http(("POST", head.path, head.headers, body, None, head.query, "", None))
        self._app.inbox.put(self._answer, http, came)

    def _answer(self, http: HttpRequest, came: bytes, start: float) -> None:
        answered: Answered | None = None
        try:
            if len(http.body) >= LONG:
                self._loop.create_task(self._answer_large(http, came, start))
                return
            answered = self._app.exchange(http, came=came)
            if answered.alike is not None or answered.exchange.late is None:
                self._send(http, came, answered, start)
            elif self.is_open:
                task = self._loop.create_task(self._answer_late(http, came, answered, start))
                self.when_lost(canceling(task))
            else:
                answered.end("client_left", 0)
        except Exception as error:
            self._fail(error, answered)

    async def _answer_large(self, http: HttpRequest, came: bytes, start: float) -> None:
        """The same for a large body, which is read while others are answered."""
        answered: Answered | None = None
        try:
            answered, filed = await self._app.answered(http)
            if answered.exchange.late is not None:
                self.when_lost(canceling(asyncio.current_task()))
                await self._answer_late(http, came, answered, start, filed)
            else:
                self._send(http, came, answered, start, filed)
        except Exception as error:
            self._fail(error, answered)

    async def _answer_late(
        self, http: HttpRequest, came: bytes, answered: Answered, start: float, filed: bytes | None = None
    ) -> None:
        try:
            await self._app.settle(answered)
        except asyncio.CancelledError:
            self.force_close()
            raise
        self._when_lost = None
        try:
            self._send(http, came, answered, start, filed)
        except Exception as error:
            self._fail(error, answered)

    def _fail(self, error: Exception, answered: Answered | None) -> None:
        """A mistake of ours. `answered`: what was to be sent; the journal keeps it, and that it came to nothing."""
        if answered is not None:
            answered.end("fault", 0)
        self.write(self._fault(error))
        self.force_close()

    def _send(
        self, http: HttpRequest, came: bytes, answered: Answered, start: float, filed: bytes | None = None
    ) -> None:
        alike = answered.alike
        if alike is not None and alike.settled.frames >= 0:
            frames, data, again = alike.settled.frames, self._app.sent(alike), alike.again
        else:
            plan, again = answered.exchange.plan, answered.exchange.again
            frames = frames_at_once(plan)
            data = at_once(plan, keep_alive=True, version=HTTP_1_1) if frames >= 0 else b""
        if frames >= 0:
            transport = self.transport
            is_open = transport is not None and not transport.is_closing()
            outcome = _outcome(("completed", frames, ()) if is_open else ("client_left", 0, ()))
            self._app.ended(answered, "POST", http.path, start, outcome, filed)
            if transport is not None and (self._held or self._has_ended):
                transport.write(data)  # before what else becomes of the connection now
            elif transport is not None:
                self._app.inbox.send(transport, data)
            if again is not None:
                self._app.remember(came, http, answered)
            self._free(outcome)
        else:
            if again is not None:
                self._app.remember(came, http, answered)
            self._play(answered, http.path, start, filed)

    def _play(self, answered: Answered, path: str, start: float, filed: bytes | None = None) -> None:
        """Send a reply in its time."""
        plan = answered.exchange.plan
        opening, chunked = opening_of(plan, keep_alive=True, version=HTTP_1_1)
        ended = Ending(self._app, answered, path, start, filed)
        playing = Playing(plan, self, answered.lane, self._app.wheel, start, opening, chunked, ended)
        answered.opened(playing.cut)
        playing.begin(self._free)

    def _stays_open(self, now: float) -> None:
        """Not idle: count the time until an unused connection is closed from here."""
        self._next_keepalive_close_time = now + self._keepalive_timeout

    def _process_keepalive(self) -> None:
        """aiohttp's timer for idle connections, which does not see what is played the short way."""
        if not self._busy and self._begun is None:
            super()._process_keepalive()
            return
        self._keepalive_handle = self._loop.call_at(
            self._loop.time() + self._keepalive_timeout, self._process_keepalive
        )

    def _hold(self, data: bytes) -> None:
        """Keep what a client sends ahead of its turn; one that sends too much of it is cut off."""
        self._held += data
        if len(self._held) > MAX_HELD:
            self.force_close()

    def _free(self, outcome: Outcome) -> None:
        """A reply has gone out: the connection takes the next request."""
        self._busy = False
        self._when_lost = None
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._held:
            self._take_held()
        if self._has_ended and not self._owes_reply():
            self.force_close()

    def _take_held(self) -> None:
        """Go on with what came ahead of its turn."""
        if self.is_open:
            held, self._held = self._held, b""
            self.data_received(held)


class Ending:
    """Called when a reply has ended, and tells the application."""

    __slots__ = ("_answered", "_app", "_filed", "_path", "_start")

    def __init__(self, app: Application, answered: Answered, path: str, start: float, filed: bytes | None) -> None:
        self._app = app
        self._answered = answered
        self._path = path
        self._start = start
        self._filed = filed

    def __call__(self, outcome: Outcome) -> None:
        self._app.ended(self._answered, "POST", self._path, self._start, outcome, self._filed)


class _Begun:
    """A request of which the head has come: what came so far, and how much is missing."""

    __slots__ = ("head", "missing", "pieces")

    def __init__(self, head: Head, pieces: list[bytes], missing: int) -> None:
        self.head = head
        self.pieces = pieces
        self.missing = missing


def canceling(task: "asyncio.Task[Any] | None") -> Callable[[], None]:
    """What ends a task when its client leaves."""
    assert task is not None

    def cancel() -> None:
        task.cancel()

    return cancel


def nobody_asks() -> None:
    """Hears that a client left, where nothing is to be done about it."""


def _nowhere(data: bytes) -> None:
    """The client has left already."""


class Written(StreamResponse):
    """A reply that is bytes already: written whole when aiohttp asks for it, or written before by the player.

    `unread`: a body that was refused. It is read on, since a client that is still sending would not see the reply
    behind a connection that closes.
    """

    def __init__(self, data: bytes = b"", *, keep_alive: bool = True, unread: StreamReader | None = None) -> None:
        # Not the parent's: it makes header maps that nothing here reads, for every reply.
        self._data = data
        self._stays = keep_alive
        self._unread = unread
        self._connection: Connection | None = None

    @property
    def keep_alive(self) -> bool:
        """Whether the connection takes another request; aiohttp asks when this one is answered."""
        return self._stays and not (self._connection is not None and self._connection.is_over)

    async def prepare(self, request: BaseRequest) -> None:
        self._connection = request.protocol  # type: ignore[assignment]
        if self._data and request.transport is not None:
            request.transport.write(self._data)

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""
        unread, passed, connection = self._unread, 0, self._connection
        if connection is None:
            return
        if unread is not None:
            with contextlib.suppress(asyncio.TimeoutError, ConnectionError, RequestPayloadError):
                while connection.is_open and not unread.is_eof() and passed < MOST_REFUSED:
                    passed += len(await asyncio.wait_for(unread.readany(), PATIENCE))
        connection.handled = self._stays and (connection.reading is None or connection.reading.is_eof())


class Server(WebServer):
    """Makes a `Connection` for each client."""

    def __init__(self, app: Application) -> None:
        super().__init__(app, request_factory=self._request)
        self._app = app
        self._look: asyncio.TimerHandle | None = None

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> BaseRequest:
        most = self._app.most_bytes(message.url.raw_path)
        protocol.reading, protocol.handled = payload, False
        return BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=most)

    def cut(self) -> None:
        """Close every connection, whatever is under way on it."""
        for connection in self.connections:
            connection.force_close()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if self._look is None:
            self._look = self._loop.call_later(LOOK, self._close_idle)

    def _close_idle(self) -> None:
        """Close what nobody uses any more, and look again while there is anything."""
        now = self._loop.time()
        for connection in self.connections:
            connection.close_if_idle(now)  # type: ignore[attr-defined]
        self._look = self._loop.call_later(LOOK, self._close_idle) if self._connections else None

    def pre_shutdown(self) -> None:
        if self._look is not None:
            self._look.cancel()
        super().pre_shutdown()

    def __call__(self) -> RequestHandler:
        return Connection(self, self._app)

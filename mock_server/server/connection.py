"""One client connection: aiohttp's own, with three things changed. Its error pages become the API's envelopes, a reply
is written as prepared bytes instead of through header maps and payload writers, a plain POST takes the short way in.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from mock_server.engine.engine import MAX_BODY
from mock_server.engine.exchange import Exchange
from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.plan import Plan
from mock_server.server.player import Outcome, Playing, head, play_at_once
from mock_server.server.shortcut import Post, whole_post
from mock_server.server.wheel import Wheel

MAX_HEADER = 64 * 1024
MAX_HELD = 256 * 1024
HTTP_1_1 = (1, 1)

# What the short way reads of aiohttp's connection. Where a release lacks them, every request takes the long way.
_FIELDS = {"_waiter", "_messages", "_next_keepalive_close_time", "_keepalive_timeout", "_close", "_force_close"}
SHORT_WAY = set(RequestHandler.__slots__) >= _FIELDS


class App(Protocol):
    """What a connection asks of the application."""

    wheel: Wheel

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse: ...
    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Exchange: ...
    def refused(self, error: ApiError) -> Exchange: ...
    def say(self, method: str, path: str, exchange: Exchange, outcome: Outcome, start: float) -> None: ...


class Connection(RequestHandler):
    """The protocol of one connection; also the `Wire` that a plan is played on."""

    __slots__ = ("_app", "_busy", "_held", "_partial", "_when_lost")

    def __init__(self, manager: "Server", app: App, **how: Any) -> None:
        super().__init__(manager, loop=manager._loop, **how)
        self._app = app
        self._when_lost: Callable[[], None] | None = None
        self._partial = False  # the parser has the beginning of a request
        self._busy = False  # a reply is being played the short way
        self._held = b""

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

    def when_lost(self, call: Callable[[], None] | None) -> None:
        """Have `call` called when the client leaves; None to be called no more."""
        self._when_lost = call

    # -- what asyncio and aiohttp call -------------------------------------------------------------------------

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._when_lost is not None:
            self._when_lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._busy:
            self._hold(data)
            return
        post = whole_post(data) if SHORT_WAY and self._is_idle() else None
        if post is not None:
            self._answer(post)
            return
        super().data_received(data)
        if SHORT_WAY:
            self._partial = self._waiter is not None and not self._waiter.done()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp would answer with a page of its own: a request it could not parse, or our own fault."""
        if status == 500 or exc is None:
            self.log_exception("a fault of mock-server", exc_info=exc)
            error = ApiError("api_error")
        else:
            reason = (message or str(exc)).strip().split("\n")[0]
            error = invalid(f"The request is not valid HTTP: {reason}")
        plan = self._app.refused(error).plan
        return Written(head(plan, chunked=False, keep_alive=False, version=HTTP_1_1) + plan.body(), keep_alive=False)

    # -- the short way -------------------------------------------------------------------------------------------

    def _is_idle(self) -> bool:
        waiter = self._waiter
        waits = waiter is not None and not waiter.done() and not self._messages
        return waits and not (self._partial or self._close or self._force_close)

    def _answer(self, post: Post) -> None:
        start = self._loop.time()
        exchange = self._app.exchange("POST", post.path, post.headers, post.body)
        plan = exchange.plan
        opening = head(plan, chunked=plan.stream, keep_alive=True, version=HTTP_1_1)
        outcome = play_at_once(plan, self, opening, chunked=plan.stream)
        self._stays_open(start, plan)
        if outcome is not None:
            self._app.say("POST", post.path, exchange, outcome, start)
        else:
            self._play(post, exchange, opening, start)

    def _play(self, post: Post, exchange: Exchange, opening: bytes, start: float) -> None:
        playing = Playing(exchange.plan, self, start, opening, exchange.plan.stream)
        self._busy = True
        self._when_lost = playing.lost

        def finished(done: "asyncio.Future[Outcome]") -> None:
            self._app.say("POST", post.path, exchange, done.result(), start)
            self._free()

        playing.done.add_done_callback(finished)
        due = playing.step(start)
        if due is not None:
            self._app.wheel.add(due, playing)

    def _stays_open(self, now: float, plan: Plan) -> None:
        """Not idle: count the time until an unused connection is closed from the end of this reply."""
        lasts = sum(part.at[-1] for part in plan.parts if part.at) / 1_000_000
        self._next_keepalive_close_time = now + lasts + self._keepalive_timeout

    def _hold(self, data: bytes) -> None:
        """Keep what a client sends ahead of its turn; one that sends too much of it is cut off."""
        self._held += data
        if len(self._held) > MAX_HELD:
            self.force_close()

    def _free(self) -> None:
        self._busy = False
        self._when_lost = None
        if self._held and self.transport is not None:
            held, self._held = self._held, b""
            self.data_received(held)


def _nowhere(data: bytes) -> None:
    """The client has left already."""


class Written(web.StreamResponse):
    """A reply that is bytes already: written whole when aiohttp asks for it, or written before by the player."""

    def __init__(self, data: bytes = b"", *, keep_alive: bool = True) -> None:
        # Not the parent's: it makes header maps that nothing here reads, for every reply.
        self._data = data
        self._stays = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._stays

    async def prepare(self, request: web.BaseRequest) -> None:
        if self._data and request.transport is not None:
            request.transport.write(self._data)

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


class Server(web.Server):
    """Makes a `Connection` for each client."""

    def __init__(self, app: App) -> None:
        super().__init__(app, request_factory=self._request)
        self._app = app

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=MAX_BODY)

    def cut(self) -> None:
        """Close every connection, whatever is under way on it."""
        for connection in self.connections:
            connection.force_close()

    def __call__(self) -> RequestHandler:
        return Connection(
            self,
            self._app,
            access_log=None,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            lingering_time=10.0,
        )

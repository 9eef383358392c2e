"""One client connection: aiohttp's own, with two things changed. Its error pages become the API's envelopes, and a
reply is written as prepared bytes instead of through header maps and payload writers.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from mock_server.engine.engine import MAX_BODY, Engine
from mock_server.protocol.errors import ApiError, invalid
from mock_server.server.player import head

MAX_HEADER = 64 * 1024


class Connection(RequestHandler):
    """The protocol of one connection; also the `Wire` that a plan is played on."""

    __slots__ = ("_engine", "_when_lost")

    def __init__(self, manager: "Server", engine: Engine, **how: Any) -> None:
        super().__init__(manager, loop=manager._loop, **how)
        self._engine = engine
        self._when_lost: Callable[[], None] | None = None

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

    # -- what aiohttp calls --------------------------------------------------------------------------------------

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._when_lost is not None:
            self._when_lost()
        super().connection_lost(exc)

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
        plan = self._engine.refuse(error).plan
        opening = head(plan, chunked=False, keep_alive=False, version=(1, 1))
        return Written(opening + plan.body(), keep_alive=False)


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

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], engine: Engine) -> None:
        super().__init__(handler, request_factory=self._request)
        self._engine = engine

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=MAX_BODY)

    def cut(self) -> None:
        """Close every connection, whatever is under way on it."""
        for connection in self.connections:
            connection.force_close()

    def __call__(self) -> RequestHandler:
        return Connection(
            self,
            self._engine,
            access_log=None,
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            lingering_time=10.0,
        )

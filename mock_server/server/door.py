"""Where connections come in: the listening sockets of one address.

The loops' own servers do not bear a process that has no descriptor left: asyncio writes ten thousands of tracebacks a
second, uvloop closes what comes. Here it waits until others have ended, and one line in the log says so.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable

log = logging.getLogger("mock_server")
BACKLOG = 4096
AT_ONCE = 100  # connections that are taken before others have their turn
PAUSE = 0.25  # seconds
SILENCE = 60.0  # seconds between two lines in the log


class Door:
    """Takes every connection that comes, and makes its protocol."""

    def __init__(self, make: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None = None) -> None:
        """`tls`: what connections are encrypted by, if they are."""
        self._make = make
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._taking: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._told: float | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen on every address of a host; the port. Raises OSError, OverflowError."""
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, address in dict.fromkeys((one[0], one[4]) for one in found):
                self._listen(family, address)
        except BaseException:
            self.shut()
            raise
        if not self._sockets:
            raise OSError(errno.EADDRNOTAVAIL, "no address of this machine")
        try:
            self._watch()
        except NotImplementedError:  # Windows: the loop's own way
            self._servers = [
                await self._loop.create_server(self._make, sock=one, ssl=self._tls) for one in self._sockets
            ]
        return int(self._sockets[0].getsockname()[1])

    def _listen(self, family: int, address: tuple[object, ...]) -> None:
        try:
            listening = socket.create_server(address, family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:  # a name with an address of IPv6 on a machine without it
                return
            raise
        listening.setblocking(False)
        self._sockets.append(listening)

    def _watch(self) -> None:
        self._pause = None
        for one in self._sockets:
            self._loop.add_reader(one, self._accept, one)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                client, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError as error:
                self._wait(error)
                return
            client.setblocking(False)
            task = self._loop.create_task(self._take(client), name="mock-server connection")
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def _take(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, client, ssl=self._tls)
        except OSError:  # it has left already
            client.close()

    def _wait(self, error: OSError) -> None:
        """Let what comes wait in the system's queue until some connections have ended."""
        for one in self._sockets:
            self._loop.remove_reader(one)
        self._pause = self._loop.call_later(PAUSE, self._watch)
        now = self._loop.time()
        if self._told is None or now - self._told > SILENCE:
            log.error("no further connection can be taken until others end: %s", error.strerror)
            self._told = now

    def shut(self) -> None:
        """Listen no more."""
        if self._pause is not None:
            self._pause.cancel()
        for server in self._servers:
            server.close()
        for one in self._sockets:
            with contextlib.suppress(NotImplementedError):
                self._loop.remove_reader(one)
            one.close()
        self._sockets, self._servers = [], []

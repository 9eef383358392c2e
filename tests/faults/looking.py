"""A client that looks at the bytes: how a connection ends, and everything that came before."""

import socket
from collections.abc import Callable
from typing import NamedTuple

from faults.table import Way
from rawclient import address, asks, post

from mock_server import MockServer

AUTH = ("x-api-key: k", "anthropic-version: 2023-06-01")


Send = Callable[[socket.socket, bytes], None]


class Received(NamedTuple):
    """All bytes of a response, and what came after them: `ended` in order, `FIN`, `RST`, or `open`: nothing."""

    data: bytes
    ends: str

    @property
    def status(self) -> int | None:
        return int(self.data.split(b" ", 2)[1]) if self.data else None

    @property
    def headers(self) -> dict[str, str]:
        _, *lines = self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        return dict(line.split(": ", 1) for line in lines)

    @property
    def body(self) -> bytes:
        """The payload, as far as it came."""
        body = self.data.partition(b"\r\n\r\n")[2]
        return _payload(body)[0] if "transfer-encoding" in self.headers else body


def short(client: socket.socket, request: bytes) -> None:
    """The whole request in one write."""
    client.sendall(request)


def long(client: socket.socket, request: bytes) -> None:
    """The headers, and the body when the server asks for it."""
    head, _, body = request.partition(b"\r\n\r\n")
    client.sendall(head + b"\r\nexpect: 100-continue\r\n\r\n")
    assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(body)


def look(server: MockServer, way: Way, send: Send = short) -> Received:
    """Everything that comes, until it ends as the table says or otherwise."""
    request = post(asks(stream=way.stream, **TOOLS), *AUTH, f"x-mock-scenario: {way.row.name}", close=False)
    with socket.create_connection(address(server), timeout=20) as client:
        send(client, request)
        data = b""
        while True:
            if way.seen.ends == "open" and data.endswith(way.seen.last):
                return Received(data, "open" if server._session.journal.open else "over")  # held, and not only slow
            if way.seen.ends == "ended" and _is_whole(data):
                return Received(data, "ended" if _answers_on(client) else "closed")
            try:
                some = client.recv(65536)
            except ConnectionResetError:
                return Received(data, "RST")
            if not some:
                return Received(data, "FIN")
            data += some


TOOLS = {"tools": [{"name": "get_weather", "input_schema": {"type": "object"}}]}


def _is_whole(data: bytes) -> bool:
    """Whether a response has come to the end that its own headers announce."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    if b"transfer-encoding: chunked" in head:
        return _payload(body)[1]
    length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
    return len(body) >= length


def _payload(body: bytes) -> tuple[bytes, bool]:
    """What a chunked body says so far, and whether the last chunk came."""
    out = b""
    while b"\r\n" in body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return out, rest == b"\r\n"
        out, body = out + rest[:length], rest[length + 2 :]
    return out, False


def _answers_on(client: socket.socket) -> bool:
    """Whether the connection takes another request."""
    client.sendall(b"GET /_mock/health HTTP/1.1\r\nhost: test\r\n\r\n")
    try:
        return client.recv(65536).startswith(b"HTTP/1.1 200")
    except ConnectionResetError:
        return False

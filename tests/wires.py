"""Connections of a server without sockets, and requests to feed them: ordinary ones, and odd ones that HTTP refuses."""

import asyncio
import gzip
import re
from collections.abc import Sequence
from typing import Any

from rawclient import asks, post

from mock_server.server.runner import Runner

SCENARIOS = """
name: text
when: named
reply: Hello there!
"""
BODY = asks("[[scenario:text]]")
KEY = "x-api-key: k"


def request(
    *headers: str, line: str = "POST /v1/messages HTTP/1.1", host: str = "host: t", body: bytes = BODY
) -> bytes:
    lines = [line, host, f"content-length: {len(body)}", *headers]
    return "\r\n".join(one for one in lines if one).encode("latin-1") + b"\r\n\r\n" + body


ORDINARY = {
    "json": request(KEY),
    "stream": request(KEY, body=asks("[[scenario:text]]", stream=True)),
    "query": request(KEY, line="POST /v1/messages?beta=true HTTP/1.1"),
    "count_tokens": request(KEY, line="POST /v1/messages/count_tokens HTTP/1.1"),
    "closes": request(KEY, "connection: close"),
    "bad body": request(KEY, body=b"{"),
    "no key": request(),
    "HTTP/1.0": post(BODY, KEY, version="1.0", close=False),
    "two at once": request(KEY) + request(KEY, body=b"[]"),
    "the next begins": request(KEY) + request(KEY)[:60],
    "bytes behind it": request(KEY) + b"no request\r\n\r\n",
}
ODD = {
    "no host": request(KEY, host=""),
    "odd host": request(KEY, host="host: a b"),
    "separator in a name": request(KEY, "a(b): x"),
    "control character in a value": request(KEY, "x-a: a\x01b"),
    "DEL in a value": request(KEY, "x-a: a\x7fb"),
    "tab in a value": request(KEY, "x-a: a\tb"),
    "empty value": request(KEY, "x-a:"),
    "bytes that are no UTF-8": request("x-api-key: cl\xe9"),
    "a header twice": request(KEY, "x-mock-session: a", "x-mock-session: b"),
    "folded line": request(KEY, "x-a: a\r\n b"),
    "bare line feed": request(KEY, "x-a: a\nx-b: b"),
    "space before the colon": request(KEY, "x-a : b"),
    "plus in the length": request(KEY).replace(b"content-length: ", b"content-length: +"),
    "zeros before the length": request(KEY).replace(b"content-length: ", b"content-length: 00"),
    "a length of 30 digits": request(KEY).replace(b"content-length: ", b"content-length: " + b"1" * 30),
    "no version": request(KEY, line="POST /v1/messages"),
    "HTTP/0.9": request(KEY, line="POST /v1/messages HTTP/0.9"),
    "HTTP/2.0": request(KEY, line="POST /v1/messages HTTP/2.0"),
    "two spaces": request(KEY, line="POST  /v1/messages HTTP/1.1"),
    "control character in the path": request(KEY, line="POST /v1/mess\x01ages HTTP/1.1"),
    "quotes in the path": request(KEY, line='POST /v1/"<> HTTP/1.1'),
    "escaped path": request(KEY, line="POST /v1/%6dessages HTTP/1.1"),
    "escaped query": request(KEY, line="POST /v1/messages?a=%7e%ff HTTP/1.1"),
    "dots in the path": request(KEY, line="POST /v1/../v1/messages HTTP/1.1"),
    "two slashes": request(KEY, line="POST //v1/messages HTTP/1.1"),
    "two query marks": request(KEY, line="POST /v1/messages?a?b HTTP/1.1"),
    "fragment": request(KEY, line="POST /v1/messages#x HTTP/1.1"),
    "whole URL": request(KEY, line="POST http://t/v1/messages HTTP/1.1"),
    "line break first": b"\r\n" + request(KEY),
    "chunked": b"POST /v1/messages HTTP/1.1\r\nhost: t\r\nx-api-key: k\r\ntransfer-encoding: chunked\r\n\r\n"
    b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    "chunked with a length": request(KEY, "transfer-encoding: chunked"),
    "gzip": request(KEY, "content-encoding: gzip", body=gzip.compress(BODY, mtime=0)),
    "no gzip": request(KEY, "content-encoding: gzip"),
    "expects": request(KEY, "expect: 100-continue"),
    "upgrades": request(KEY, "connection: upgrade", "upgrade: h2c"),
    "preflight": request("origin: http://a", line="OPTIONS /v1/messages HTTP/1.1", body=b""),
}
CORPUS = {**ORDINARY, **ODD}


class Memory(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.protocol, self.written, self.closed = protocol, b"", False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """What is fed is fed."""

    resume_reading = pause_reading

    def get_write_buffer_size(self) -> int:
        return 0


class Asker:
    """Makes connections of a server without sockets, and feeds them bytes in pieces."""

    def __init__(self, runner: Runner) -> None:
        assert runner._server is not None
        self._server = runner._server

    async def answer(self, pieces: Sequence[bytes], expected: bytes | None = None) -> bytes:
        """What comes back, ids and dates aside, and whether the connection closes. Waits until it is as `expected`."""
        connection: Any = self._server()
        transport = Memory(connection)
        connection.connection_made(transport)
        for piece in pieces:
            if not transport.closed:
                connection.data_received(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        for _ in range(400):
            if told(transport) == expected:
                break
            await asyncio.sleep(0)
        for _ in range(4):  # and nothing follows
            await asyncio.sleep(0)
        found = told(transport)
        transport.close()
        await asyncio.sleep(0)
        return found


def told(transport: Memory) -> bytes:
    said = re.sub(rb"(msg|req)_01\w+", rb"\1_", transport.written)
    said = re.sub(rb"(?m)^date: .*$", b"date:", said)
    return said + (b"<closed>" if transport.closed else b"")

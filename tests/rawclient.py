"""HTTP by hand, for tests that look at the bytes."""

import http.client
import json
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mock_server import MockServer
from mock_server.protocol.sse import dumps, encode


def address(server: MockServer) -> tuple[str, int]:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return host, int(port)


def post(body: bytes, *headers: str, version: str = "1.1", path: str = "/v1/messages", close: bool = True) -> bytes:
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/{version}", "host: test", f"content-length: {len(body)}", *headers]
    if close:
        lines.append("connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def asks(text: str = "Hi", **more: Any) -> bytes:
    """A valid request body."""
    message = {"role": "user", "content": text}
    return json.dumps({"model": "claude-opus-4-8", "max_tokens": 200, "messages": [message], **more}).encode()


def answer(received: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one response."""
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


def dechunked(body: bytes) -> bytes:
    """The payload of a chunked body; raises ValueError when the last chunk is missing."""
    out = b""
    while True:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            assert rest == b"\r\n"
            return out
        out, body = out + rest[:length], rest[length + 2 :]


class Answer(NamedTuple):
    """What came back; `headers` by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"]["message"])


def call(server: Any, method: str, path: str, body: Any = None, /, **headers: str) -> Answer:
    """One request on a connection of its own; a body that is neither bytes nor text is sent as JSON."""
    data = body if isinstance(body, bytes | str | None) else dumps(body)
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)) as connection:
        sent = {
            name.replace("_", "-"): value for name, value in {"content_type": "application/json", **headers}.items()
        }
        connection.request(method, path, encode(data) if isinstance(data, str) else data, sent)
        reply = connection.getresponse()
        return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())

"""A served scenario file and a raw client: bytes in, bytes out."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rawclient import address

from mock_server import MockServer

Talk = Callable[..., bytes]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., MockServer]]:
    """Start a server on a scenario text; stopped when the test ends."""
    running: list[MockServer] = []

    def start(text: str = "name: hello\nwhen: named\nreply: Hello!", **more: Any) -> MockServer:
        file = tmp_path / f"scenario{len(running)}.yaml"
        file.write_text(text)
        running.append(MockServer(file, **more).start())
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def talk() -> Talk:
    """Send raw bytes and read until the server closes, or until `until` has come."""

    def send(server: MockServer | tuple[str, int], data: bytes, until: bytes | None = None) -> bytes:
        at = server if isinstance(server, tuple) else address(server)
        with socket.create_connection(at, timeout=20) as client:
            client.sendall(data)
            received = b""
            while until is None or until not in received:
                some = client.recv(65536)
                if not some:
                    break
                received += some
            return received

    return send

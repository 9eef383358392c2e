"""A server that has no descriptor left: what comes waits, one line says so, and it goes on when others have ended."""

import socket
import subprocess
import sys
import time

import pytest

SERVE = """
import resource, sys
if sys.argv[1] == "asyncio":
    sys.modules["uvloop"] = None
from mock_server.cli import main
resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
sys.exit(main(["serve", "--port", "0", "--log-level", "warning"]))
"""
GET = b"GET /_mock/ready HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


def is_answered(client: socket.socket, within: float) -> bool:
    client.settimeout(within)
    try:
        return client.recv(65_536).startswith(b"HTTP/1.1 200 ")
    except TimeoutError:
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="limits of descriptors are POSIX")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_without_descriptors_connections_wait_until_others_end(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    command = [sys.executable, "-c", SERVE, loop]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        host, _, port = process.stdout.readline().split()[-1].removeprefix("http://").partition(":")
        clients = []
        for _ in range(80):
            clients.append(socket.create_connection((host, int(port)), timeout=20))
            clients[-1].sendall(GET)
        answered = 0
        while answered < len(clients) and is_answered(clients[answered], 1.0):
            answered += 1
        waiting = clients[answered:]
        assert 20 < answered < 48
        assert waiting
        assert not is_answered(waiting[-1], 0.5)  # and is still connected
        for client in clients[:answered]:
            client.close()
        assert is_answered(waiting[0], 20.0)
        for client in waiting[1:answered]:
            assert is_answered(client, 20.0)
        for client in clients:
            client.close()
        before = time.monotonic()
        process.terminate()
        process.wait(20)
        assert time.monotonic() - before < 20
        said = process.stderr.read().splitlines()
    assert len(said) == 1
    assert said[0].endswith("ERROR no further connection can be taken until others end: Too many open files")

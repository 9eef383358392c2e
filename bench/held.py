"""What streams cost that are held: 1,000 that stall until their client leaves, 1,000 that wait at a gate.

    python bench/held.py [STREAMS]

Prints each figure beside its goal; exit 1 when one is missed. Needs Linux: the figures are those of /proc.
"""

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SCENARIO = """
name: stalled
when: named
reply: One two three four five.
fault: {type: stall, after: 3}
---
name: gated
when: named
reply: One two three four five.
gate: {name: middle, after: 3}
"""
BODY = json.dumps(
    {
        "model": "claude-opus-4-8",
        "max_tokens": 99,
        "stream": True,
        "messages": [{"role": "user", "content": "Hello"}],
    }
).encode()
LAST = b'" three"}}\n\n\r\n'  # what comes last before a stream is held
MEGABYTES, MILLISECONDS = 16.0, 10.0  # for 1,000 streams: memory, and CPU in a second


def main(streams: int) -> int:
    """Hold streams of both kinds, each on a server of its own."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    missed = 0
    for scenario in ("stalled", "gated"):
        with serving() as (pid, port):
            idle = busy(pid)
            for one in [ask(port, scenario) for _ in range(20)]:  # what is made once is made
                hear(one)
                one.close()
            before = memory(pid)
            held = [ask(port, scenario) for _ in range(streams)]
            for one in held:
                hear(one)
            cpu, kept = busy(pid), memory(pid) - before
            is_open = all(still_open(one) for one in held)
            for one in held:
                one.close()
        for what, got, goal, unit in (
            (f"{streams:,} {scenario} streams: memory (RSS)", kept, MEGABYTES * streams / 1000, "MB"),
            (f"{streams:,} {scenario} streams: CPU in a second (idle {idle:.1f} ms)", cpu, MILLISECONDS, "ms"),
            (f"{scenario} streams that were not held", 0 if is_open else 1, 0, ""),
        ):
            missed += got > goal
            print(f"{what:<64} {got:8.2f} {unit:<2} (goal {goal:g})")
    return 1 if missed else 0


@contextlib.contextmanager
def serving() -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its process id and port."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "held.yaml"
        file.write_text(SCENARIO)
        command = [sys.executable, "-m", "mock_server", "serve", "--port", "0", "--time-scale", "0", str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            try:
                yield server.pid, int(url.rpartition(":")[2])
            finally:
                server.terminate()


def ask(port: int, scenario: str) -> socket.socket:
    """A connection with a request on it."""
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: bench\r\nx-api-key: k\r\nx-mock-scenario: {scenario}\r\n"
        f"content-length: {len(BODY)}\r\n\r\n"
    )
    client.sendall(head.encode() + BODY)
    return client


def hear(client: socket.socket) -> None:
    """Read up to where the stream is held."""
    heard = b""
    while not heard.endswith(LAST):
        some = client.recv(65536)
        if not some:
            raise ConnectionError(f"the stream ended: {heard[-200:]!r}")
        heard += some


def still_open(client: socket.socket) -> bool:
    """Whether nothing more has come, not even an end."""
    client.setblocking(False)
    try:
        client.recv(1)
    except BlockingIOError:
        return True
    return False


def memory(pid: int) -> float:
    """Resident megabytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def busy(pid: int) -> float:
    """Milliseconds of CPU that a process takes in a second of real time, all its threads together."""
    before = _cpu(pid)
    time.sleep(1)
    return (_cpu(pid) - before) / 1e6


def _cpu(pid: int) -> int:
    """Nanoseconds."""
    return sum(int(one.read_text().split()[0]) for one in Path(f"/proc/{pid}/task").glob("*/schedstat"))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))

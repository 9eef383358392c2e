"""What the pytest fixture costs: start to first reply, a session per test, memory over many tests.

    python bench/fixture.py

Prints each figure beside its goal; exit 1 when one is missed.
"""

import gc
import http.client
import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable

from mock_server.api.local import MockServer, MockSession

BODY = json.dumps(
    {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "Hello"}]}
).encode()


def main() -> int:
    """Measure everything."""
    missed = 0
    for what, goal, unit, measure in FIGURES:
        got = measure()
        missed += got > goal
        print(f"{what:<58} {got:8.2f} {unit:<3} (goal {goal:g})")
    return 1 if missed else 0


def first_reply() -> float:
    """Milliseconds from making the server to its first reply, aiohttp imported; the median of ten."""
    return statistics.median(_timed(_start_and_ask) for _ in range(10))


def session() -> float:
    """Milliseconds to open and close a session, with one scenario added in it; the median of 500."""
    with MockServer() as server:
        return statistics.median(_timed(lambda: _one_session(server)) for _ in range(500))


def growth() -> float:
    """Kilobytes that the process keeps for each of 1,000 tests with one request, after the first 200."""
    with MockServer() as server:
        for _ in range(200):
            _one_test(server)
        tracemalloc.start()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            _one_test(server)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    return (after - before) / 1000 / 1024


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def _start_and_ask() -> None:
    with MockServer() as server:
        server.add("Hi")
        _ask(server)


def _one_session(server: MockServer) -> None:
    with server.session(default=True) as session:
        session.add("Hi")


def _one_test(server: MockServer) -> None:
    with server.session(default=True) as session:
        session.add("Hi")
        _ask(session)


def _ask(server: MockServer | MockSession) -> None:
    client = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    client.request("POST", "/v1/messages", BODY, {"x-api-key": server.api_key})
    assert client.getresponse().status == 200
    client.close()


FIGURES: tuple[tuple[str, float, str, Callable[[], float]], ...] = (
    ("fixture to first reply, aiohttp imported", 10, "ms", first_reply),
    ("a session per test, opened, one scenario added, closed", 1, "ms", session),
    ("kept in memory for each of 1,000 tests", 1, "KB", growth),
)

if __name__ == "__main__":
    sys.exit(main())

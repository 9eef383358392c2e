"""Another client's pulse: while something is done to a server, a small request goes out again and again.

What counts is the longest wait for an answer. A loop of fixed work in the same process tells how busy the machine is
meanwhile: by how much it takes longer than the processor worked on it, the wait may be longer too.
"""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

LONGEST = 0.1  # seconds that another client waits at most
TRIES = 5


class Waited(NamedTuple):
    """How long another client waited at most, how busy the machine was (1: not at all), and what the attack got."""

    longest: float
    busy: float
    result: Any

    @property
    def is_held(self) -> bool:
        """Whether others were kept waiting, for another reason than that the machine is busy."""
        return self.longest > LONGEST * self.busy


def during(address: tuple[str, int], attack: Callable[[], Any]) -> Waited:
    """Do something to a server in a process of its own, and feel another client's pulse meanwhile.

    What holds a server holds it every time: of a few tries the calmest counts.
    """
    waited = _once(address, attack)
    for _ in range(TRIES - 1):
        if not waited.is_held:
            break
        waited = min(waited, _once(address, attack), key=lambda one: one.longest / one.busy)
    return waited


def _once(address: tuple[str, int], attack: Callable[[], Any]) -> Waited:
    waits, busy, over = [0.0], [_busy()], threading.Event()
    pulse = threading.Thread(target=_pulse, args=(address, waits, busy, over), daemon=True)
    pulse.start()
    try:
        result = attack()
    finally:
        over.set()
        pulse.join(60)
    return Waited(max(waits), max(*busy, _busy()), result)


def _pulse(address: tuple[str, int], waits: list[float], busy: list[float], over: threading.Event) -> None:
    with closing(http.client.HTTPConnection(*address, timeout=60)) as client:
        while not over.is_set():
            start = time.perf_counter()
            client.request("GET", "/")
            client.getresponse().read()
            waits.append(time.perf_counter() - start)
            busy.append(_busy(1))


def _busy(times: int = 5) -> float:
    """How much longer a bit of work takes than the processor spends on it."""
    longest = 1.0
    for _ in range(times):
        start, worked = time.perf_counter(), time.thread_time()
        sum(range(100_000))
        longest = max(longest, (time.perf_counter() - start) / max(1e-6, time.thread_time() - worked))
    return longest


@contextmanager
def served(*words: str) -> Iterator[tuple[str, int]]:
    """A server in a process of its own: this one's work does not keep it waiting. Its address."""
    command = [sys.executable, "-m", "mock_server", "serve", "--port", "0", *words]
    process = subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ}
    )
    try:
        assert process.stdout is not None
        host, _, port = process.stdout.readline().strip().rpartition("//")[2].rpartition(":")
        yield host, int(port)
    finally:
        process.kill()
        process.communicate()


def asked(address: tuple[str, int], body: Mapping[str, Any], **headers: str) -> tuple[int, Mapping[str, str], Any]:
    """One request for a message: the status, the headers in lower case and the JSON of its reply."""
    said = {"x-api-key": "k", "anthropic-version": "2023-06-01", **headers}
    with closing(http.client.HTTPConnection(*address, timeout=60)) as client:
        client.request("POST", "/v1/messages", json.dumps(body), said)
        reply = client.getresponse()
        return reply.status, {name.lower(): text for name, text in reply.getheaders()}, json.loads(reply.read())

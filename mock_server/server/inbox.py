"""Requests that came whole and wait to be answered: first come, first served, a slice at a time.

To take a request off its connection costs a tenth of answering it. So all that came are taken first: each knows when it
came, and what its reply is late by at first, the rest of it is not.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from mock_server.protocol.request import HttpRequest

SLICE = 0.002  # seconds of answering, before what came meanwhile is taken and streams have their turn
MOST_PATIENCE = 0.025  # seconds: a little more than the usual gap of a stream, so that two deltas can go out as one

# a request, all its bytes (none where those are too many to be remembered), and when it came (loop time)
Answer = Callable[[HttpRequest, bytes, float], None]


class Inbox:
    """Has requests answered in the order they were put in."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[float, Answer, HttpRequest, bytes]] = deque()
        self._is_called = False  # or will be: the next slice

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, answer: Answer, http: HttpRequest, sent: bytes) -> None:
        """Have a request answered when its turn comes."""
        self._waiting.append((self._loop.time(), answer, http, sent))
        if not self._is_called:
            self._is_called = True
            self._loop.call_soon(self._run)

    def patience(self, now: float) -> float:
        """How long (seconds) streams can wait for requests: as long as the first of those has waited, within reason.

        When there is too much to do, both are late by the same, and a stream that is late sends in one write what it
        would have sent in two: there is less to do.
        """
        return min(now - self._waiting[0][0], MOST_PATIENCE) if self._waiting else 0.0

    def _run(self) -> None:
        waiting, time = self._waiting, self._loop.time
        until = time() + SLICE
        try:
            while waiting:
                came, answer, http, sent = waiting.popleft()
                answer(http, sent, came)
                if time() >= until:
                    break
        finally:  # whatever became of one, the others have their turn
            self._is_called = bool(waiting)
            if waiting:
                self._loop.call_soon(self._run)

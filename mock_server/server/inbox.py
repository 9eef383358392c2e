"""Requests that came whole and wait to be answered: first come, first served, a slice at a time.

To take a request off its connection costs a tenth of answering it. So all that came are taken first: each knows when it
came, and what its reply is late by at first, the rest of it is not.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from mock_server.server.shortcut import Post

SLICE = 0.002  # seconds of answering, before what came meanwhile is taken and streams have their turn
MOST_PATIENCE = 0.025  # seconds


Answer = Callable[[Post, float], None]


class Inbox:
    """Has requests answered in the order they were put in."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[float, Answer, Post]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, came: float, answer: Answer, post: Post) -> None:
        """Have `answer(post, came)` called when its turn comes; it must not raise. `came`: loop time."""
        if not self._waiting:
            self._loop.call_soon(self._run)
        self._waiting.append((came, answer, post))

    def patience(self, now: float) -> float:
        """How long (seconds) streams can wait for requests: as long as the first of those has waited, within reason.

        When there is too much to do, both are late by the same, and a stream that is late sends in one write what it
        would have sent in two: there is less to do.
        """
        return min(now - self._waiting[0][0], MOST_PATIENCE) if self._waiting else 0.0

    def _run(self) -> None:
        waiting, time = self._waiting, self._loop.time
        until = time() + SLICE
        while waiting:
            came, answer, post = waiting[0]
            answer(post, came)
            waiting.popleft()
            if time() >= until:
                break
        if waiting:
            self._loop.call_soon(self._run)

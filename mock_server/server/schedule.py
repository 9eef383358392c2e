"""What is due when on the server's loop: one timer for all streams, and the requests that came whole and wait their
turn.

It saves the parser, the request object, the body stream and the task: half of what a small request costs. Both ways
lead to the same `App.exchange`; tests hold their bytes together.

Whether HTTP is in order is for aiohttp's parser to say. So this takes only what no parser could object to: how TCP
cut
a request must not decide what becomes of it.
"""

import asyncio
import functools
import heapq
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from mock_server.clock import INSTANT
from mock_server.protocol.request import HttpRequest

# RFC 3986 without what is escaped, RFC 9110 for names and values of headers
_PATH, _QUERY = r"/[\w.~!$&'()*+,;=:@/-]*", r"[\w.~!$&'()*+,;=:@/?-]*"
_LINE = re.compile(rf"POST ({_PATH})(?:\?({_QUERY}))? HTTP/1\.1\r\n", re.ASCII)
_HEADER = re.compile(r"(?m)^([\w!#$%&'*+.^`|~-]+):[ \t]*([\t -~]*)\r\n", re.ASCII)
_HOST = re.compile(r"[\w.-]+(?::\d{1,5})?", re.ASCII)
_LENGTH = re.compile(r"\d{1,12}", re.ASCII)
MOST_HEADERS = 64  # aiohttp takes 128
LONGEST_HEAD = 32 * 1024  # bytes; aiohttp takes 64 KB in one header

REMEMBERED = 2048  # bytes of a head that is read once for all who send it

# headers that change how a request must be read or answered
_UNUSUAL = frozenset(("transfer-encoding", "content-encoding", "expect", "upgrade", "sec-websocket-key1"))


class Head(NamedTuple):
    """What stands before a body."""

    path: str
    query: str
    headers: Mapping[str, str]
    length: int


def begun_post(data: bytes) -> tuple[Head, int] | None:
    """The head of the HTTP/1.1 POST that begins here, and where its body begins; None when the head is not there as a
    whole, or is unusual in any way."""
    end = data.find(b"\r\n\r\n", 0, LONGEST_HEAD + 2) + 2
    if end < 2 or not data.startswith(b"POST /"):
        return None
    told = data[:end]
    head = _remembered(told) if end <= REMEMBERED else _head(told)
    return None if head is None else (head, end + 2)


_BEGINS = b"POST /"


def is_head_begun(data: bytes) -> bool:
    """Whether this can be the beginning of the head of a POST, and nothing in its lines says that it is none."""
    if len(data) > LONGEST_HEAD or not (data.startswith(_BEGINS) or _BEGINS.startswith(data)):
        return False
    ends = data.count(b"\r\n")
    whole = data.count(b"\r") - data.endswith(b"\r")
    return b"\r\n\r\n" not in data and ends == data.count(b"\n") == whole


def _head(told: bytes) -> Head | None:
    """A head that has nothing unusual about it; None for any other."""
    if b"/_mock/" in told or told.startswith(b"POST / ") or not told.isascii():
        return None  # what the control API is asked takes its time
    text = told.decode("ascii")
    line = _LINE.match(text)
    headers = None if line is None else _headers(text, line.end())
    if line is None or headers is None:
        return None
    length = headers.get("content-length", "")
    if _LENGTH.fullmatch(length) is None or _HOST.fullmatch(headers.get("host", "")) is None:
        return None
    return Head(line[1], line[2] or "", headers, int(length))


# clients say the same again and again; nobody changes the headers that are shared so
_remembered = functools.lru_cache(maxsize=256)(_head)


def _headers(text: str, start: int) -> dict[str, str] | None:
    """The headers by their lower-case names; None when a line is no header, comes twice or is unusual."""
    found = _HEADER.findall(text, start)
    headers = {name.lower(): value.rstrip(" \t") for name, value in found}
    if len(headers) != text.count("\n") - 1 or len(headers) > MOST_HEADERS or not _UNUSUAL.isdisjoint(headers):
        return None
    if headers.get("content-type", "").lower().startswith("multipart/"):
        return None
    return headers if headers.get("connection", "keep-alive").lower() == "keep-alive" else None


# Requests that came whole and wait to be answered: first come, first served, a slice at a time.
#
# To take a request off its connection costs a tenth of answering it. So all that came are taken first: each knows
# when it
# came, and what its reply is late by at first, the rest of it is not.

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


# One timer for all streams: what is due within the same millisecond is stepped together, at absolute times.

TICK = 0.001


class Steps(Protocol):
    """Something that is due again and again."""

    def step(self, now: float) -> float | None:
        """Do what is due by `now` (the loop's time); return when to come again, or None at the end."""


class Wheel:
    """Steps at their time, never earlier. The cost of a stream is one list entry a step, not a timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: Callable[[float], float] = lambda now: 0.0) -> None:
        """`patience`: how long (seconds) after a round of steps the next one can wait, at this time of the loop."""
        self._loop = loop
        self._patience = patience
        self._rested = 0.0  # when the last round was over
        self._slots: dict[int, list[Steps]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._next: int | None = None
        self._running = False

    def now(self) -> float:
        """The loop's time, which all due times are in."""
        return self._loop.time()

    def add(self, due: float, steps: Steps) -> None:
        """Call `steps.step` at loop time `due`."""
        slot = _slot(due) + 1
        waiting = self._slots.get(slot)
        if waiting is not None:
            waiting.append(steps)
            return
        self._slots[slot] = [steps]
        heapq.heappush(self._order, slot)
        if not self._running and (self._next is None or slot < self._next):
            self._set(slot)

    def _set(self, slot: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = slot
        self._timer = self._loop.call_at(slot * TICK, self._run)

    def _run(self) -> None:
        now = self._loop.time()
        waits_until = self._rested + self._patience(now)
        if now < waits_until:
            self._set(_slot(waits_until) + 1)
            return
        self._round(now)
        self._rested = self._loop.time()

    def _round(self, now: float) -> None:
        """Step all that is due."""
        reached = _slot(now)
        order, slots = self._order, self._slots
        self._running = True
        try:
            while order and order[0] <= reached:
                for steps in slots.pop(heapq.heappop(order)):
                    due = steps.step(now)
                    if due is None:
                        continue
                    waiting = slots.get(int((due + INSTANT) / TICK) + 1)  # `_slot` and `add`, for nearly all
                    if waiting is not None:
                        waiting.append(steps)
                    else:
                        self.add(due, steps)
        finally:
            self._running = False
            self._next = self._timer = None
            if order:
                self._set(order[0])


def _slot(time: float) -> int:
    """The tick that is over at this time. A timer for a tick must find it over: dividing is not exact."""
    return int((time + INSTANT) / TICK)

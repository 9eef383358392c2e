"""The journal: what came and what it got. A bounded ring of entries per session, and exact counts beside it.

The server's loop writes, any thread reads. An entry is complete before the last bytes of its reply are handed to the
transport, so whoever has an answer finds it here; reading an open one waits for its end.
"""

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, overload

from mock_server.engine.entry import Entry, Lane
from mock_server.engine.exchange import Exchange
from mock_server.engine.redaction import Redaction
from mock_server.protocol.expression import bounded
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.answer import Answer
from mock_server.scenario.load import read_condition
from mock_server.scenario.match import Condition

MAX_FAULTS = 100


class StillOpen(TimeoutError):
    """What was asked about has not ended yet; the text says what is open."""


class Incomplete(LookupError):
    """The ring has dropped entries that the question is about."""


class Hit:
    """How often one answer of a scenario was played."""

    __slots__ = ("answer", "count", "scenario", "turn")

    def __init__(self, scenario: str, turn: int, answer: Answer) -> None:
        self.scenario = scenario
        self.turn = turn
        self.answer = answer
        self.count = 0


class Journal:
    """The entries of one session, oldest first; `len`, `[i]` and iteration see those still held.

    Counts (`total`, `side`, `unmatched`, `unexpected`, `played`) stay exact however many entries the ring has dropped.
    """

    def __init__(self, size: int = 1000, session: str = "") -> None:
        self.session = session
        self.total = 0
        self.side = 0
        self.unmatched = 0
        self.unexpected = 0
        self.dropped = 0
        self.cut = 0
        self.finished = 0
        self.faults: list[BaseException] = []
        self.hits: dict[int, Hit] = {}
        self.size = size
        self._ring: deque[Entry] = deque()
        self._open: dict[Entry, Callable[[str], None]] = {}
        self._lock = threading.Lock()
        self._subscribers: tuple[Callable[[Entry], None], ...] = ()
        self.loop_thread: int | None = None

    # -- writing: the server's loop ----------------------------------------------------------------------------

    def add(self, entry: Entry, exchange: Exchange) -> Entry | None:
        """Keep the entry of an exchange; returns the one that had to go for it."""
        self.loop_thread = threading.get_ident()
        with self._lock:
            self._count(exchange)
            self._ring.append(entry)
            gone = self._ring.popleft() if len(self._ring) > self.size else None
            self.dropped += gone is not None
        self._tell(entry)
        return gone

    def pass_over(self, exchange: Exchange) -> None:
        """Count an exchange that is not kept, as if it had been dropped at once."""
        with self._lock:
            self._count(exchange)
            self.dropped += 1
            self.finished += 1

    def _count(self, exchange: Exchange) -> None:
        self.total += 1
        self.side += exchange.side
        if exchange.unexpected:
            self.unexpected += 1
        elif exchange.answer is not None:
            self._hit(exchange)
        elif exchange.understood and not exchange.aside:
            self.unmatched += 1

    def _hit(self, exchange: Exchange) -> None:
        answer, scenario = exchange.answer, exchange.scenario
        assert answer is not None
        assert scenario is not None
        hit = self.hits.get(id(answer))
        if hit is None:
            hit = self.hits[id(answer)] = Hit(scenario, exchange.turn, answer)
        hit.count += 1

    def drop_oldest(self) -> None:
        """Make room: the journal of the whole server is over its bound."""
        with self._lock:
            if self._ring:
                self._ring.popleft()
                self.dropped += 1

    def opened(self, entry: Entry, cut: Callable[[str], None]) -> None:
        """A reply takes time; `cut` would end it, with this outcome."""
        self._open[entry] = cut

    def ended(self, entry: Entry) -> None:
        """An entry is complete."""
        self._open.pop(entry, None)
        self.finished += 1
        self._tell(entry)

    def failed(self, exception: BaseException) -> None:
        """A function that was to give a reply raised."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(exception)

    def cut_open(self) -> None:
        """End every reply that is under way. On the server's loop."""
        for cut in list(self._open.values()):
            self.cut += 1
            cut("ended")

    def _tell(self, entry: Entry) -> None:
        for subscriber in self._subscribers:
            subscriber(entry)

    # -- reading: any thread -----------------------------------------------------------------------------------

    def entries(self) -> tuple[Entry, ...]:
        """Those still held, oldest first."""
        with self._lock:
            return tuple(self._ring)

    def __len__(self) -> int:
        return len(self._ring)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries())

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Entry, ...]: ...
    def __getitem__(self, at: int | slice) -> Entry | tuple[Entry, ...]:
        held = self.entries()
        try:
            return held[at]
        except IndexError:
            raise IndexError(f"the journal has {len(held)} entries, asked for [{at}]") from None

    @property
    def last(self) -> Entry:
        """The newest entry. Raises LookupError when nothing came."""
        held = self.entries()
        if not held:
            raise LookupError("the journal is empty: no request came to this session")
        return held[-1]

    def played(self, scenario: str) -> int:
        """How often a scenario answered, ever."""
        return sum(hit.count for hit in tuple(self.hits.values()) if hit.scenario == scenario)

    def matching(self, condition: Condition) -> tuple[Entry, ...]:
        """The valid requests for which a condition holds. Raises Incomplete when entries have been dropped."""
        self.complete()
        with bounded():
            return tuple(entry for entry in self.entries() if holds(condition, entry))

    def find(self, when: Mapping[str, Any]) -> tuple[Entry, ...]:
        """The same, the condition in the words of the YAML."""
        return self.matching(read_condition(when))

    @property
    def open(self) -> int:
        """How many replies are under way."""
        return len(self._open)

    def complete(self) -> None:
        """Raises Incomplete when entries have been dropped."""
        if self.dropped:
            raise Incomplete(
                f"the journal has dropped {self.dropped} of {self.total} entries, so this cannot be told; "
                "raise journal_entries (mock_settings, MOCK_SERVER_JOURNAL_ENTRIES) or ask without a condition"
            )

    def clear(self) -> None:
        """Forget every entry and every count."""
        with self._lock:
            self._ring.clear()
            self.hits.clear()
            self.faults.clear()
            self.total = self.side = self.unmatched = self.unexpected = self.dropped = self.cut = self.finished = 0

    # -- waiting -----------------------------------------------------------------------------------------------

    def subscribe(self, call: Callable[[Entry], None]) -> Callable[[], None]:
        """Have `call` called, on the server's loop, when an entry comes or ends; returns what ends that."""
        with self._lock:
            self._subscribers = (*self._subscribers, call)

        def end() -> None:
            with self._lock:
                self._subscribers = tuple(one for one in self._subscribers if one is not call)

        return end

    def wait_for(self, count: int, timeout: float = 5.0) -> tuple[Entry, ...]:
        """Block until `count` exchanges have ended; returns the entries. Raises StillOpen after `timeout` seconds."""
        self.wait_until(lambda: self.finished >= count, timeout, lambda: self._so_far(count))
        return self.entries()

    async def wait_for_async(self, count: int, timeout: float = 5.0) -> tuple[Entry, ...]:
        """The same on an event loop, also the server's own."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        end = self.subscribe(lambda entry: _set(loop, changed))
        try:
            while self.finished < count:
                changed.clear()
                if self.finished < count:
                    await asyncio.wait_for(changed.wait(), timeout)
        except asyncio.TimeoutError:
            raise StillOpen(f"{self._so_far(count)}; waited {timeout:g} s") from None
        finally:
            end()
        return self.entries()

    def _so_far(self, count: int) -> str:
        still = "".join(f"\n  still open: {entry}" for entry in tuple(self._open))
        return f"expected {count} exchanges to end, {self.finished} have{still}"

    def wait_until(self, done: Callable[[], bool], timeout: float, else_: Callable[[], str]) -> None:
        """Block until `done()`. Raises StillOpen after `timeout` seconds, or at once on the server's own thread."""
        if done():
            return
        if threading.get_ident() == self.loop_thread:
            raise StillOpen(f"{else_()} (asked on the server's own loop, which cannot wait for itself)")
        changed = threading.Event()
        end = self.subscribe(lambda entry: changed.set())
        deadline = time.monotonic() + timeout
        try:
            while not done():
                changed.clear()
                if not (done() or changed.wait(max(0.0, deadline - time.monotonic()))):
                    raise StillOpen(f"{else_()}; waited {timeout:g} s")
        finally:
            end()


def _set(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)


def holds(condition: Condition, entry: Entry) -> bool:
    """Whether an entry is of a valid request for which `condition` holds."""
    if not entry.is_readable:
        return False
    return condition.holds(entry.request.facts.at(entry.turn, entry.attempt))


class Journals:
    """What bounds the journals of all sessions together: `limit` bytes, the oldest entries going first."""

    def __init__(self, limit: int = 64_000_000, redaction: Redaction | None = None) -> None:
        self.total = 0
        self.bytes = 0
        self._limit = limit
        self._redaction = redaction
        self._order: OrderedDict[int, tuple[Journal, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def redacts(self) -> bool:
        """Whether anything is blotted out."""
        return self._redaction is not None

    def kept(self, http: HttpRequest) -> HttpRequest:
        """The request without what must not be kept."""
        return http if self._redaction is None else self._redaction.apply(http)

    def record(self, journal: Journal, at: float, http: HttpRequest, exchange: Exchange, lane: Lane) -> Entry:
        """A new entry in one session's journal, of a request as it is kept."""
        entry = Entry(self.total + 1, at, http, exchange, journal, lane)
        self.note(journal, entry, exchange)
        return entry

    def note(self, journal: Journal, entry: Entry, exchange: Exchange) -> None:
        """Keep an entry in one session's journal. `exchange`: what counts of it."""
        self.total += 1
        gone = journal.add(entry, exchange)
        with self._lock:
            if gone is not None:
                self.bytes -= self._order.pop(gone.number, (journal, 0))[1]
            self._order[entry.number] = (journal, entry.weight)
            self.bytes += entry.weight
            while self.bytes > self._limit and len(self._order) > 1:
                _, (oldest, weight) = self._order.popitem(last=False)
                self.bytes -= weight
                oldest.drop_oldest()

    def forget(self, journal: Journal) -> None:
        """A session has ended: its entries are no longer counted."""
        with self._lock:
            for entry in journal.entries():
                self.bytes -= self._order.pop(entry.number, (journal, 0))[1]

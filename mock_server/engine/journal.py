"""The journal: what came and what it got. A bounded ring of entries per session, and exact counts beside it, of the
server's life too.

The server's loop writes, any thread reads. An entry is complete before the last bytes of its reply are handed to the
transport, so whoever has an answer finds it here; reading an open one waits for its end.
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from heapq import heapify, heappop, heappush, heapreplace
from threading import get_ident
from typing import Any, overload

from mock_server.engine.entry import Entry, Lane, without_keys
from mock_server.engine.exchange import Alike, Exchange
from mock_server.engine.masking import Redaction
from mock_server.engine.waiting import wait, wait_async
from mock_server.protocol.expression import bounded
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.answer import Answer
from mock_server.scenario.conditions import Condition
from mock_server.scenario.load import read_condition
from mock_server.scenario.node import Problem, ScenarioError, several

# Counts over the life of a server, as Prometheus reads them.

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
MOST_LABELS = 10_000  # scenarios with their statuses and outcomes; further ones are counted together
OTHERS = "(others)"


class Metrics:
    """Requests by scenario, status and outcome; tokens; how late streams were."""

    def __init__(self) -> None:
        self._requests: defaultdict[tuple[str | None, int, str], int] = defaultdict(int)
        self._input = self._output = 0
        self._late: Counter[float] = Counter()
        self._late_sum = 0.0

    def count(self, entry: Entry) -> None:
        """An exchange has ended."""
        alike = entry.alike
        exchange = entry.exchange if alike is None else alike.settled.exchange
        plan = exchange.plan
        whole = plan if plan.intact is None else plan.intact
        tokens = whole.tokens if alike is None else alike.tokens
        assert entry.ending is not None
        self.add((exchange.scenario, plan.status, entry.ending[0]), tokens)
        if entry.is_paced:
            late = entry.lateness
            self._late_sum += late
            self._late[next((edge for edge in BUCKETS if late <= edge), float("inf"))] += 1

    def add(self, ended: tuple[str | None, int, str], tokens: tuple[int, int] | None) -> None:
        """One more of these (scenario, status, outcome), and the tokens that it told."""
        if ended not in self._requests and len(self._requests) >= MOST_LABELS:
            ended = (OTHERS, *ended[1:])
        self._requests[ended] += 1
        if tokens is not None:
            self._input += tokens[0]
            self._output += tokens[1]

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """The exposition format; `gauges`: name -> help and value now."""
        lines = [*_head("mock_server_requests_total", "counter", "exchanges ended")]
        ended = [(name or "", status, outcome, count) for (name, status, outcome), count in self._requests.items()]
        for scenario, status, outcome, count in sorted(ended):
            labels = f'scenario="{_escaped(scenario)}",status="{status}",outcome="{outcome}"'
            lines.append(f"mock_server_requests_total{{{labels}}} {count}")
        lines += _head("mock_server_tokens_total", "counter", "tokens that usage told")
        lines.append(f'mock_server_tokens_total{{kind="input"}} {self._input}')
        lines.append(f'mock_server_tokens_total{{kind="output"}} {self._output}')
        lines += self._histogram()
        for name, (help, value) in gauges.items():
            lines += [*_head(name, "gauge", help), f"{name} {value:g}"]
        return "\n".join(lines) + "\n"

    def _histogram(self) -> Iterator[str]:
        name = "mock_server_stream_lateness_seconds"
        yield from _head(name, "histogram", "the latest event of each paced stream, sent against due")
        below = 0
        for edge in BUCKETS:
            below += self._late[edge]
            yield f'{name}_bucket{{le="{edge:g}"}} {below}'
        total = below + self._late[float("inf")]
        yield f'{name}_bucket{{le="+Inf"}} {total}'
        yield f"{name}_sum {self._late_sum:g}"
        yield f"{name}_count {total}"


def _head(name: str, kind: str, help: str) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# The journal: what came and what it got. A bounded ring of entries per session, and exact counts beside it.

MAX_FAULTS = 100
MOST_HITS = 20_000  # answers that were played; of those beyond the first ones are counted no more
# One for all journals, so that an entry takes one lock: what is done under it takes microseconds. It may be taken again
# by the same thread: the collector may run meanwhile, and what it ends may look into a journal.
LOCK = threading.RLock()
_HEADERS = 64  # headers whose keys have been taken out, for clients that send the same again


class StillOpen(TimeoutError):
    """What was asked about has not ended yet; the text says what is open."""

    __module__ = "mock_server"


class Incomplete(LookupError):
    """The ring has dropped entries that the question is about."""

    __module__ = "mock_server"


# what a journal counts exactly, whatever its ring has dropped
COUNTS = ("total", "side", "unmatched", "unexpected", "contradicted", "dropped", "finished", "cut")


class Hit:
    """How often one answer of a scenario was played; without an answer, those of a turn that are served no more."""

    __slots__ = ("answer", "count", "scenario", "turn")

    def __init__(self, scenario: str, turn: int, answer: Answer | None) -> None:
        self.scenario = scenario
        self.turn = turn
        self.answer = answer
        self.count = 0


class Journal:
    """The entries of one session, oldest first; `len`, `[i]` and iteration see those still held.

    Counts (`total`, `side`, `unmatched`, `unexpected`, `contradicted`, `played`) stay exact however many entries the
    ring has dropped.
    """

    def __init__(self, size: int = 1000, session: str = "") -> None:
        self.session = session
        self.total = 0
        self.side = 0
        self.unmatched = 0
        self.unexpected = 0
        self.contradicted = 0
        self.dropped = 0
        self.cut = 0
        self.finished = 0
        self.faults: list[BaseException] = []
        self.hits: dict[int, Hit] = {}
        self.size = size
        self._ring: deque[Entry] = deque()
        self._open: dict[Entry, Callable[[str], None]] = {}
        self.listeners: tuple[Callable[[Entry], None], ...] = ()
        self.loop_thread: int | None = None

    # -- writing: the server's loop ----------------------------------------------------------------------------

    def add(self, entry: Entry | None, exchange: Exchange) -> Entry | None:
        """Count an exchange and keep its entry, if it has one; returns the one that had to go for it. Under the lock.

        Once for every request, so all of it stands here.
        """
        self.loop_thread = get_ident()
        self.total += 1
        if exchange.side:
            self.side += 1
        if exchange.contradicted:
            self.contradicted += 1
        answer = exchange.answer
        if exchange.unexpected:
            self.unexpected += 1
        elif answer is not None:
            hit = self.hits.get(id(answer))
            if hit is None:
                assert exchange.scenario is not None
                hit = self.hits[id(answer)] = Hit(exchange.scenario, exchange.turn, answer)
                if len(self.hits) > MOST_HITS:
                    del self.hits[next(iter(self.hits))]
            hit.count += 1
        elif exchange.understood and not exchange.aside:
            self.unmatched += 1
        if entry is None:
            self.dropped += 1
            return None
        ring = self._ring
        ring.append(entry)
        if len(ring) <= self.size:
            return None
        self.dropped += 1
        return ring.popleft()

    def forget_answers(self, served: Container[int]) -> None:
        """Let go of answers that are served no more (by their ids), and keep how often they were played."""
        gone = [(id, hit) for id, hit in self.hits.items() if id not in served and hit.answer is not None]
        if not gone:
            return
        with LOCK:
            totals = {(hit.scenario, hit.turn): hit for hit in self.hits.values() if hit.answer is None}
            for at, hit in gone:
                del self.hits[at]
                total = totals.get((hit.scenario, hit.turn))
                if total is None:
                    total = totals[hit.scenario, hit.turn] = Hit(hit.scenario, hit.turn, None)
                    self.hits[id(total)] = total
                total.count += hit.count

    def pass_over(self, exchange: Exchange) -> None:
        """Count an exchange that is not kept, as if it had been dropped at once."""
        with LOCK:
            self.add(None, exchange)
            self.finished += 1

    @property
    def first(self) -> Entry | None:
        """The oldest entry still held. Under the lock."""
        return self._ring[0] if self._ring else None

    def drop_oldest(self) -> None:
        """Make room: the journal of the whole server is over its bound. Under the lock."""
        self._ring.popleft()
        self.dropped += 1

    def opened(self, entry: Entry, cut: Callable[[str], None]) -> None:
        """A reply takes time; `cut` would end it, with this outcome."""
        self._open[entry] = cut

    def ended(self, entry: Entry) -> None:
        """An entry is complete."""
        if self._open:
            self._open.pop(entry, None)
        self.finished += 1
        if self.listeners:
            self.told(entry)

    def failed(self, exception: BaseException) -> None:
        """A function that was to give a reply raised."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(exception)

    def settled(self, exchange: Exchange) -> None:
        """A late reply is there: what it was counted without when its request came is counted now."""
        if exchange.contradicted:
            self.contradicted += 1

    def cut_open(self) -> None:
        """End every reply that is under way. On the server's loop."""
        for cut in list(self._open.values()):
            self.cut += 1
            cut("ended")

    def told(self, entry: Entry) -> None:
        """Tell who listens that an entry came or ended."""
        for subscriber in self.listeners:
            subscriber(entry)

    # -- reading: any thread -----------------------------------------------------------------------------------

    @property
    def held(self) -> Collection[Entry]:
        """Those still held, oldest first. Under the lock."""
        return self._ring

    def entries(self) -> tuple[Entry, ...]:
        """Those still held, oldest first."""
        with LOCK:
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
            raise IndexError(f"the journal has {several(len(held), 'entry')}, asked for [{at}]") from None

    @property
    def last(self) -> Entry:
        """The newest entry. Raises LookupError when nothing came."""
        held = self.entries()
        if not held:
            raise LookupError("the journal is empty: no request came to this session")
        return held[-1]

    def by_request_id(self, request_id: str) -> Entry:
        """The exchange whose reply bore this id: an SDK's message has it as `_request_id`, an error as `request_id`.

        Raises LookupError when none that is held did.
        """
        for entry in reversed(self.entries()):
            if entry.request_id == request_id:
                return entry
        more = f"; {self.dropped} are no longer kept" if self.dropped else ""
        raise LookupError(f"no exchange has the request id {request_id!r}: {len(self)} are held{more}")

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
        return self.matching(read_past(when))

    @property
    def open(self) -> int:
        """How many replies are under way."""
        return len(self._open)

    def complete(self) -> None:
        """Raises Incomplete when entries have been dropped."""
        if self.dropped:
            raise Incomplete(
                f"the journal has dropped {self.dropped} of {several(self.total, 'entry')}, so this cannot be told; "
                "raise journal_entries (mock_settings, MOCK_SERVER_JOURNAL_ENTRIES) or ask without a condition"
            )

    def clear(self) -> None:
        """Forget every entry and every count."""
        with LOCK:
            self._ring.clear()
            self.hits.clear()
            self.faults.clear()
            self.total = self.side = self.unmatched = self.unexpected = self.contradicted = 0
            self.dropped = self.cut = self.finished = 0

    # -- waiting -----------------------------------------------------------------------------------------------

    def subscribe(self, call: Callable[[Entry], None]) -> Callable[[], None]:
        """Have `call` called, on the server's loop, when an entry comes or ends; returns what ends that."""
        with LOCK:
            self.listeners = (*self.listeners, call)

        def end() -> None:
            with LOCK:
                self.listeners = tuple(one for one in self.listeners if one is not call)

        return end

    def wait_for(self, count: int, timeout: float = 5.0) -> tuple[Entry, ...]:
        """Block until `count` exchanges have ended; returns the entries. Raises StillOpen after `timeout` seconds."""
        self.wait_until(lambda: self.finished >= count, timeout, lambda: self._so_far(count))
        return self.entries()

    async def wait_for_async(self, count: int, timeout: float = 5.0) -> tuple[Entry, ...]:
        """The same on an event loop, also the server's own."""
        if not await wait_async(lambda: self.finished >= count, self._heard, timeout):
            raise StillOpen(f"{self._so_far(count)}; waited {timeout:g} s")
        return self.entries()

    def _heard(self, tell: Callable[[], None]) -> Callable[[], None]:
        return self.subscribe(lambda entry: tell())

    def _so_far(self, count: int) -> str:
        still = "".join(f"\n  still open: {entry}" for entry in tuple(self._open))
        return f"expected {several(count, 'exchange')} to end, {self.finished} have{still}"

    def wait_until(self, done: Callable[[], bool], timeout: float, else_: Callable[[], str]) -> None:
        """Block until `done()`. Raises StillOpen after `timeout` seconds, or at once on the server's own thread."""
        if done():
            return
        if threading.get_ident() == self.loop_thread:
            raise StillOpen(f"{else_()} (asked on the server's own loop, which cannot wait for itself)")
        if not wait(done, self._heard, timeout):
            raise StillOpen(f"{else_()}; waited {timeout:g} s")


def read_past(when: Mapping[str, Any]) -> Condition:
    """A condition on requests that came. Raises ScenarioError, also for what only a request that comes can be asked."""
    condition = read_condition(when)
    if wrong := condition.subjects & {"state"}:
        text = f"'{min(wrong)}' is asked when a request comes; an entry of the journal has what was `moved`"
        raise ScenarioError([Problem("when", None, text)])
    return condition


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
        self.redacts = redaction is not None  # whether anything is blotted out
        self._known: set[Journal] = set()  # that have entries
        self._oldest: list[tuple[int, Journal]] = []  # a heap of them, by the number of the first entry (or one before)
        self._headers: dict[int, tuple[Mapping[str, str], Mapping[str, str]]] = {}

    def kept(self, http: HttpRequest) -> HttpRequest:
        """The request without what must not be kept."""
        return http if self._redaction is None else self._redaction.apply(http)

    def record(self, journal: Journal, at: float, http: HttpRequest, exchange: Exchange | Alike, lane: Lane) -> Entry:
        """A new entry in one session's journal, of a request as it is kept."""
        given = http.headers
        known = self._headers.get(id(given))
        shown = known[1] if known is not None and known[0] is given else self._shown(given)
        entry = Entry(self.total + 1, at, http, exchange, journal, lane, shown)
        self.note(journal, entry, exchange.settled.exchange if isinstance(exchange, Alike) else exchange)
        return entry

    def note(self, journal: Journal, entry: Entry, exchange: Exchange) -> None:
        """Keep an entry in one session's journal. `exchange`: what counts of it."""
        with LOCK:
            self.total += 1
            gone = journal.add(entry, exchange)
            if journal not in self._known:
                self._known.add(journal)
                heappush(self._oldest, (entry.number, journal))
            self.bytes += entry.weight if gone is None else entry.weight - gone.weight
            if self.bytes > self._limit:
                self._make_room()
        if journal.listeners:
            journal.told(entry)

    def _make_room(self) -> None:
        """Drop the oldest entries of all until the rest is within the bound; the newest one stays."""
        while self.bytes > self._limit:
            number, journal = self._oldest[0]
            first = journal.first
            if first is None:  # they have left its ring
                heappop(self._oldest)
                self._known.discard(journal)
            elif first.number > number:
                heapreplace(self._oldest, (first.number, journal))
            elif first.number == self.total:
                return
            else:
                self.bytes -= first.weight
                journal.drop_oldest()

    def _shown(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """The headers without keys: once for all requests that share them."""
        shown = without_keys(given)
        if isinstance(given, dict):  # nobody changes those that requests share
            if len(self._headers) >= _HEADERS:
                self._headers = {}
            self._headers[id(given)] = given, shown
        return shown

    def forget(self, journal: Journal) -> None:
        """A session has ended: its entries are no longer counted."""
        with LOCK:
            for entry in journal.held:
                self.bytes -= entry.weight
                entry.weight = 0
            if journal in self._known:
                self._known.discard(journal)
                self._oldest = [one for one in self._oldest if one[1] is not journal]
                heapify(self._oldest)

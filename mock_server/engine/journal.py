"""The journal: what came and what it got. A bounded ring of entries per session, and exact counts beside it, of the
server's life too.

The server's loop writes, any thread reads. An entry is complete before the last bytes of its reply are handed to the
transport, so whoever has an answer finds it here; reading an open one waits for its end.

What a request costs here is one entry at the end of a list (`Journals.record`). Into the ring of its session, the
counts and the bound it goes with others: when somebody looks, or when enough of them wait (`Journals.catch_up`).
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Container, Iterator, Mapping
from heapq import heapify, heappop, heappush, heapreplace
from itertools import groupby
from operator import attrgetter
from threading import get_ident
from typing import TYPE_CHECKING, Any, overload

from mock_server.clock import Clock, SystemClock
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

if TYPE_CHECKING:
    from mock_server.engine.memory import Settled

# Counts over the life of a server, as Prometheus reads them.

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
MOST_LABELS = 10_000  # scenarios with their statuses and outcomes; further ones are counted together
OTHERS = "(others)"


class Metrics:
    """Requests by scenario, status and outcome; tokens; how late streams were."""

    def __init__(self, catch_up: Callable[[], None] = lambda: None) -> None:
        """`catch_up`: counts what has not been counted yet."""
        self._catch_up = catch_up
        self._requests: defaultdict[tuple[str | None, int, str], int] = defaultdict(int)
        self._input = self._output = 0
        self._late: Counter[float] = Counter()
        self._late_sum = 0.0

    def count(self, entry: Entry) -> None:
        """An exchange has ended."""
        assert entry.ending is not None
        like, tokens = entry.like, entry.tokens if entry.alike is None else entry.alike.tokens
        self.add((like.scenario, like.plan.status, entry.ending[0]), tokens)
        if entry.is_paced:
            late = entry.lateness
            self._late_sum += late
            self._late[next((edge for edge in BUCKETS if late <= edge), float("inf"))] += 1

    def add(self, ended: tuple[str | None, int, str], tokens: tuple[int, int] | None, times: int = 1) -> None:
        """So many more of these (scenario, status, outcome), and the tokens that they told together."""
        if ended not in self._requests and len(self._requests) >= MOST_LABELS:
            ended = (OTHERS, *ended[1:])
        self._requests[ended] += times
        if tokens is not None:
            self._input += tokens[0]
            self._output += tokens[1]

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """The exposition format; `gauges`: name -> help and value now."""
        with LOCK:
            self._catch_up()
            return self._text(gauges)

    def _text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
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
MOST_WAITING = 32  # entries that wait to be counted
MOST_UNCOUNTED = 1 << 20  # bytes that they hold together; what would hold more is counted at once
# Whoever counts, or looks, has this: one for all journals, for microseconds. Whoever adds an entry has not. It may be
# taken again by the same thread: the collector may run meanwhile, and what it ends may look into a journal.
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


class Tally:
    """The counts of a journal. `hits`: how often each answer was played, by its `id`."""

    def __init__(self) -> None:
        self.total = 0
        self.side = 0
        self.unmatched = 0
        self.unexpected = 0
        self.contradicted = 0
        self.dropped = 0
        self.finished = 0
        self.cut = 0
        self.hits: dict[int, Hit] = {}

    def came(self, exchange: Exchange, times: int = 1) -> None:
        """Count an exchange: a request, and what answers it."""
        self.total += times
        if exchange.side:
            self.side += times
        if exchange.contradicted:
            self.contradicted += times
        answer = exchange.answer
        if exchange.unexpected:
            self.unexpected += times
        elif answer is not None:
            hit = self.hits.get(id(answer))
            if hit is None:
                assert exchange.scenario is not None
                hit = self.hits[id(answer)] = Hit(exchange.scenario, exchange.turn, answer)
                if len(self.hits) > MOST_HITS:
                    del self.hits[next(iter(self.hits))]
            hit.count += times
        elif exchange.understood and not exchange.aside:
            self.unmatched += times

    def forget_answers(self, served: Container[int]) -> None:
        """Let go of answers that are served no more (by their ids), and keep how often they were played."""
        gone = [(id, hit) for id, hit in self.hits.items() if id not in served and hit.answer is not None]
        totals = {(hit.scenario, hit.turn): hit for hit in self.hits.values() if hit.answer is None}
        for at, hit in gone:
            del self.hits[at]
            total = totals.get((hit.scenario, hit.turn))
            if total is None:
                total = totals[hit.scenario, hit.turn] = Hit(hit.scenario, hit.turn, None)
                self.hits[id(total)] = total
            total.count += hit.count


class Journal:
    """The entries of one session, oldest first; `len`, `[i]` and iteration see those still held.

    Counts (`total`, `side`, `unmatched`, `unexpected`, `contradicted`, `played`) stay exact however many entries the
    ring has dropped.
    """

    def __init__(
        self, size: int = 1000, session: str = "", journals: "Journals | None" = None, lane: Lane | None = None
    ) -> None:
        """`journals`: those of all sessions, this one among them; `lane`: its session."""
        self.session = session
        self.lane = lane
        self.clock: Clock = SystemClock() if lane is None else lane.clock
        self.size = size
        self.ring: deque[Entry] = deque()  # as of the last `catch_up`, and the tally
        self.tally = Tally()
        self.faults: list[BaseException] = []
        self.listeners: tuple[Callable[[Entry], None], ...] = ()
        self._journals = Journals() if journals is None else journals
        self._open: dict[Entry, Callable[[str], None]] = {}

    # -- writing: the server's loop ----------------------------------------------------------------------------

    def pass_over(self, exchange: Exchange) -> None:
        """Count an exchange that is not kept, as if it had been dropped at once."""
        with LOCK:
            tally = self._now()
            tally.came(exchange)
            tally.dropped += 1
            tally.finished += 1

    def forget_answers(self, served: Container[int]) -> None:
        """Let go of answers that are served no more (by their ids), and keep how often they were played."""
        with LOCK:
            self._now().forget_answers(served)

    def opened(self, entry: Entry, cut: Callable[[str], None]) -> None:
        """A reply takes time; `cut` would end it, with this outcome."""
        entry.is_awaited = True
        self._open[entry] = cut

    def ended(self, entry: Entry) -> None:
        """An entry is complete whose end somebody waits for."""
        self._open.pop(entry, None)
        self._journals.finish(entry)
        if self.listeners:
            self.tell(entry)

    def failed(self, exception: BaseException) -> None:
        """A function that was to give a reply raised."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(exception)

    def settled(self, entry: Entry, exchange: Exchange) -> None:
        """A late reply is there: what it was counted without when its request came is counted now."""
        with LOCK:
            tally = self._now()
            entry.exchange = exchange
            if exchange.contradicted:
                tally.contradicted += 1

    def cut_open(self) -> None:
        """End every reply that is under way. On the server's loop."""
        for cut in list(self._open.values()):
            with LOCK:
                self.tally.cut += 1
            cut("ended")

    def tell(self, entry: Entry) -> None:
        """Tell who listens that an entry came or ended."""
        for subscriber in self.listeners:
            subscriber(entry)

    def resize(self, size: int) -> None:
        """Hold so many entries from now on."""
        with LOCK:
            self._journals.catch_up()
            self.size = size

    # -- reading: any thread -----------------------------------------------------------------------------------

    def _now(self) -> Tally:
        """The counts, with all that has come."""
        self._journals.catch_up()
        return self.tally

    @property
    def total(self) -> int:
        """How many requests came."""
        return self._now().total

    @property
    def side(self) -> int:
        """How many of them were side calls of an agent."""
        return self._now().side

    @property
    def unmatched(self) -> int:
        """How many valid requests no scenario answered."""
        return self._now().unmatched

    @property
    def unexpected(self) -> int:
        """How many requests were not as their script expects them."""
        return self._now().unexpected

    @property
    def contradicted(self) -> int:
        """How many scripted replies do something against their request that fails its test."""
        return self._now().contradicted

    @property
    def dropped(self) -> int:
        """How many entries are no longer held."""
        return self._now().dropped

    @property
    def finished(self) -> int:
        """How many exchanges have ended."""
        return self._now().finished

    @property
    def cut(self) -> int:
        """How many replies were ended with their session."""
        return self._now().cut

    @property
    def hits(self) -> Mapping[int, Hit]:
        """How often each answer was played, by its `id`."""
        return self._now().hits

    def entries(self) -> tuple[Entry, ...]:
        """Those still held, oldest first."""
        with LOCK:
            self._journals.catch_up()
            return tuple(self.ring)

    def __len__(self) -> int:
        return len(self.entries())

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
            self._journals.catch_up()
            self.ring.clear()
            self.faults.clear()
            self.tally = Tally()

    # -- waiting -----------------------------------------------------------------------------------------------

    def subscribe(self, call: Callable[[Entry], None]) -> Callable[[], None]:
        """Have `call` called, on the server's loop, when an entry comes or ends; returns what ends that."""
        with LOCK:
            self.listeners = (*self.listeners, call)
            self._journals.catch_up()  # those that are open tell when they end

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
        if get_ident() == self._journals.loop_thread:
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
    """The journals of all sessions together: what came, before it is counted, and what bounds them: `limit` bytes, the
    oldest entries going first.

    `total`: how many requests came. `loop_thread`: the one that writes. `metrics` hear of each exchange that has ended.
    """

    def __init__(self, limit: int = 64_000_000, redaction: Redaction | None = None) -> None:
        self.total = 0
        self.loop_thread = get_ident()
        self.metrics = Metrics(self.catch_up)
        self.redacts = redaction is not None  # whether anything is blotted out
        self._limit = limit
        self._redaction = redaction
        self._news: list[Entry] = []  # what came since it was counted
        self._uncounted = 0  # the bytes that these hold, about
        self._most_uncounted = min(MOST_UNCOUNTED, limit // 16)
        self._bytes = 0
        self._known: set[Journal] = set()  # that have entries
        self._oldest: list[tuple[int, Journal]] = []  # a heap of them, by the number of the first entry (or one before)
        self._headers: dict[int, Mapping[str, str]] = {}  # without keys, by the `id` of those that were given
        self._given: list[Mapping[str, str]] = []  # these; nothing else can have their ids while they are here

    # -- writing: the server's loop ----------------------------------------------------------------------------

    def kept(self, http: HttpRequest) -> HttpRequest:
        """The request without what must not be kept."""
        return http if self._redaction is None else self._redaction.apply(http)

    def record(self, journal: Journal, at: float, http: HttpRequest, exchange: Exchange | Alike) -> Entry:
        """A new entry in one session's journal, of a request as it is kept. It waits to be counted with others."""
        shown = self._headers.get(id(http.headers)) or self._shown(http.headers)
        self.total = number = self.total + 1
        entry = Entry(number, at, http, exchange, journal, shown)
        self._news.append(entry)
        self._uncounted += len(http.body) if entry.alike is not None else entry.weigh()
        if not number % MOST_WAITING or self._uncounted > self._most_uncounted:
            self.catch_up()
        if journal.listeners:
            entry.is_awaited = True
            journal.tell(entry)
        return entry

    def note(self, journal: Journal, entry: Entry) -> None:
        """Keep an entry that is like one before, in one session's journal."""
        self.total += 1
        self._news.append(entry)
        if not self.total % MOST_WAITING:
            self.catch_up()

    def finish(self, entry: Entry) -> None:
        """Count that an entry has ended whose end somebody waits for."""
        with LOCK:
            self.catch_up()
            if entry.is_awaited:
                self._finished(entry)

    def _shown(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers without keys: once for all requests that share them."""
        shown = without_keys(headers)
        if isinstance(headers, dict):  # nobody changes those that requests share
            if len(self._given) >= _HEADERS:
                self._headers, self._given = {}, []
            self._headers[id(headers)] = shown
            self._given.append(headers)
        return shown

    # -- counting: whoever looks -------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Take what came meanwhile into the journals, in its order, count it, and keep within the bounds."""
        with LOCK:
            came = self._news[:]
            if not came:
                return
            del self._news[: len(came)]
            self._uncounted = 0
            for journal, entries in groupby(came, attrgetter("journal")):
                self._take(journal, list(entries))
            if self._bytes > self._limit:
                self._make_room(came[-1])

    def _take(self, journal: Journal, entries: list[Entry]) -> None:
        """Take entries into a journal. Those that are alike, and over, are counted together."""
        if journal not in self._known:
            self._known.add(journal)
            heappush(self._oldest, (entries[0].number, journal))
        ring, tally = journal.ring, journal.tally
        ring.extend(entries)
        for entry in entries:
            entry.weight = entry.weight or entry.weigh()
            self._bytes += entry.weight
        for _ in range(len(ring) - journal.size):
            self._drop_oldest(journal)
        together: defaultdict[tuple[Settled, str], list[tuple[int, int]]] = defaultdict(list)  # the tokens of each
        for entry in entries:
            alike, ending = entry.alike, entry.ending
            if alike is not None and ending is not None and not entry.is_awaited:
                together[alike.settled, ending[0]].append(alike.tokens)
                continue
            tally.came(entry.like)
            if ending is None:
                entry.is_awaited = True  # from here on it tells when it ends
            if entry.ending is not None:  # also where the loop has ended it meanwhile
                self._finished(entry)
        for (settled, outcome), tokens in together.items():
            like = settled.exchange
            tally.came(like, len(tokens))
            tally.finished += len(tokens)
            spent = sum([one[0] for one in tokens]), sum([one[1] for one in tokens])
            self.metrics.add((like.scenario, like.plan.status, outcome), spent, len(tokens))

    def _finished(self, entry: Entry) -> None:
        """Count that an exchange has ended, once. Not for metrics: what is of a batch, or was cut before its reply."""
        entry.is_awaited = False
        entry.journal.tally.finished += 1
        if not entry.in_batch and entry.like.late is None:
            self.metrics.count(entry)

    @property
    def bytes(self) -> int:
        """How many bytes are held."""
        self.catch_up()
        return self._bytes

    def _make_room(self, newest: Entry) -> None:
        """Drop the oldest entries of all until the rest is within the bound; the newest one stays."""
        while self._bytes > self._limit:
            number, journal = self._oldest[0]
            first = journal.ring[0] if journal.ring else None
            if first is None:  # they have left its ring
                heappop(self._oldest)
                self._known.discard(journal)
            elif first.number > number:
                heapreplace(self._oldest, (first.number, journal))
            elif first is newest:
                return
            else:
                self._drop_oldest(journal)

    def _drop_oldest(self, journal: Journal) -> None:
        self._bytes -= journal.ring.popleft().weight
        journal.tally.dropped += 1

    def forget(self, journal: Journal) -> None:
        """A session has ended: its entries are no longer counted."""
        with LOCK:
            self.catch_up()
            for entry in journal.ring:
                self._bytes -= entry.weight
                entry.weight = 0
            if journal in self._known:
                self._known.discard(journal)
                self._oldest = [one for one in self._oldest if one[1] is not journal]
                heapify(self._oldest)

"""Sessions: everything a lane remembers. Only `resume`, `admit` and `commit` of the straight line touch one.

A request belongs to the session that its header or base path names, else to the one that claimed its key, else to the
server's default. Counters are per key inside a session. Everything here is bounded; the oldest goes first.
"""

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import field
from itertools import repeat
from typing import TYPE_CHECKING, TypeVar

from mock_server.clock import Clock, VirtualClock, http_date
from mock_server.engine.batches import Batches
from mock_server.engine.cache import PromptCache
from mock_server.engine.compile import CompiledReply, of_one_text
from mock_server.engine.files import Files
from mock_server.engine.gates import Gates
from mock_server.engine.journal import Journal, Journals
from mock_server.engine.library import CompiledScenario, Library
from mock_server.engine.limits import RateLimiter
from mock_server.engine.seeds import Ids
from mock_server.engine.threads import Threads
from mock_server.protocol.beginnings import Beginnings
from mock_server.protocol.errors import invalid
from mock_server.protocol.plan import Headers
from mock_server.protocol.profile import Limits, Model, Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.records import dataclass, lazy
from mock_server.scenario.conditions import Moved
from mock_server.scenario.model import Scenario
from mock_server.scenario.timing import Pacing
from mock_server.settings import Settings

if TYPE_CHECKING:
    from mock_server.engine.choose import Choice

MAX_COUNTERS = 100_000
MAX_SESSIONS = 10_000
DEFAULT = "default"
FIXED = 1_790_000_000.0  # the time of all replies where there is a seed

_K = TypeVar("_K", bound=Hashable)


class Counters(OrderedDict[_K, int]):
    """Counts that start at 0; at most `MAX_COUNTERS` of them."""

    def set(self, key: _K, value: int) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > MAX_COUNTERS:
            self.popitem(last=False)

    def add(self, key: _K) -> int:
        """Count one more; returns the count before."""
        before = self.get(key, 0)
        self.set(key, before + 1)
        return before


Attempted = tuple[str, str, int, bytes]  # key, scenario, position, fingerprint


@dataclass
class Cursors:
    """How far each key has come: attempts at a request, exchanges begun, requests seen and repeated."""

    attempts: Counters[Attempted] = field(default_factory=Counters)
    begun: Counters[tuple[str, str]] = field(default_factory=Counters)
    order: Counters[tuple[str, str, bytes]] = field(default_factory=Counters)
    seen: Counters[tuple[str, str]] = field(default_factory=Counters)
    sent: Counters[tuple[str, bytes]] = field(default_factory=Counters)
    drawn: Counters[tuple[str, str, bytes]] = field(default_factory=Counters)

    def commit(self, key: str, choice: "Choice", request: MessagesRequest) -> None:
        """Count what `choice` used up."""
        name = choice.scenario.name
        if choice.begins:
            self.begun.add((key, name))
        if choice.scenario.draws:
            self.drawn.add((key, name, request.fingerprint))
        if choice.scenario.counts_attempts[choice.turn - 1]:
            used = 0 if choice.attempts > 1 and choice.attempt >= choice.attempts else choice.attempt
            self.attempts.set((key, name, choice.turn, request.fingerprint), used)
        if choice.scenario.anchored_at == "session" and (key, name, request.fingerprint) not in self.order:
            turn = self.seen.add((key, name)) + 1
            if choice.answer.error is None or choice.attempts > 1:  # after an error the next call gets the next turn
                self.order.set((key, name, request.fingerprint), turn)

    def fail(self, key: str, choice: "Choice", request: MessagesRequest) -> None:
        """The reply was broken by a fault of its own: as after an error the next call gets the next turn."""
        if choice.scenario.anchored_at == "session" and choice.attempts == 1:
            self.order.pop((key, choice.scenario.name, request.fingerprint), None)


CompiledAs = tuple[str, str | None, bool, str, str | None]


@dataclass(frozen=True)
class InForce:
    """What holds for one session: the server's settings with its own on top, and what they name.

    `beginnings`: what was understood of bodies before, in all sessions of a server.
    """

    settings: Settings
    profile: Profile
    timing: Pacing
    limits: Limits | None = None
    beginnings: Beginnings = field(default_factory=Beginnings, compare=False, repr=False)

    @lazy
    def one_text(self) -> CompiledReply:
        """A made-up reply that is a text, in all but the text."""
        return of_one_text(self.profile, self.timing)

    @lazy
    def compiled_as(self) -> CompiledAs:
        """The settings that scenarios are compiled under: one set of replies for each."""
        one = self.settings
        return one.profile, one.catalogue, one.any_model, one.timing, one.unknown_parameters

    @lazy
    def passed_versions(self) -> set[str | None]:
        """The values of `anthropic-version` that were checked, and passed; None where it was left out."""
        return set()

    def headers_at(self, second: int, request_id: str, *, is_known: bool = True) -> Headers:
        """The headers that every reply has: the second (unix) it was made in, its id, and whose key it was if that
        `is_known`."""
        profile = self.profile
        headers = (_date(second), *zip(profile.request_id_headers, repeat(request_id)))
        return headers + profile.owner_headers if is_known else headers

    def limits_of(self, model: Model) -> Limits | None:
        """The rate limits of a model; None where they are off. Those of the settings win over the profile's."""
        if self.settings.rate_limits == "off":
            return None
        return self.limits or model.limits or self.profile.limits


@functools.lru_cache(maxsize=16)
def _date(unix: int) -> tuple[str, str]:
    """The same pair for all replies of one second, which the journal keeps."""
    return ("date", http_date(unix))


Values = Mapping[str, str]
_FIRST: Values = {}


class Session:
    """One lane: its own settings, scenarios (of the newest call first), counters, prompt cache, threads, rate limits,
    batches, files, states, clock, gates and journal.

    `moved`: the states that are not what they were at first; another object whenever one is moved.
    """

    def __init__(self, name: str, clock: Clock, in_force: InForce, journals: Journals | None = None) -> None:
        self.name = name
        self.clock = VirtualClock(clock)
        self.gates = Gates()
        self.off: frozenset[str] = frozenset()  # overlays that are switched off here
        self.moved = _FIRST
        self._mover: tuple[str, bytes] | None = None  # the request that has moved states last, by key and fingerprint
        self._states: tuple[object, object, Values] | None = None
        self._began = self.clock.now()
        self._windows: dict[str, tuple[Scenario, float]] = {}  # overlays with a window that were added later, and when
        self.in_force = in_force
        self.scenarios: tuple[CompiledScenario, ...] = ()
        self.cursors = Cursors()
        self.cache = PromptCache()
        self.threads = Threads()
        self.limiter = RateLimiter()
        self.batches = Batches()
        self.files = Files()
        self.journal = Journal(in_force.settings.journal_entries, name, journals, self)
        self._added = 0
        self._library: tuple[object, object, Library] | None = None
        self.known_library: tuple[object, object, object, Library] | None = None  # with all that it hangs on
        self._lock = threading.Lock()

    def library(self, served: tuple[CompiledScenario, ...]) -> Library:
        """This session's scenarios before those served to everybody; made again only when either changed."""
        known = self._library
        if known is None or known[0] is not served or known[1] is not self.scenarios:
            own = self.scenarios
            known = self._library = (served, own, Library((*own, *served)))
        return known[2]

    @property
    def last_library(self) -> Library | None:
        """What the newest request was answered from."""
        return None if self._library is None else self._library[2]

    def states(self, library: Library) -> Values:
        """What every state is now; the same object while nothing moves."""
        known = self._states
        if known is None or known[0] is not library or known[1] is not self.moved:
            moved = {name: value for name, value in self.moved.items() if _can_be(library, name, value)}
            known = self._states = (library, self.moved, {**library.initial, **moved})
        return known[2]

    def move(self, library: Library, to: Values, mover: tuple[str, bytes] | None = None) -> tuple[Moved, ...]:
        """Move states; what that changed. `mover`: the request whose answer does it, by key and fingerprint; it moves
        nothing when it comes again before somebody else has."""
        if mover is not None and mover == self._mover:
            return ()
        before = self.states(library)
        meant = {name: value for name, value in to.items() if _can_be(library, name, value)}
        changed = tuple(Moved(name, before[name], value) for name, value in meant.items() if before[name] != value)
        if changed:
            self.moved = {**self.moved, **meant}
        if changed or mover is None:
            self._mover = mover
        return changed

    def begin_windows(self, overlays: Iterable[Scenario]) -> None:
        """The windows of these overlays begin now."""
        for one in overlays:
            if one.between is not None:
                self._windows[one.name] = (one, self.clock.now())

    def since(self, overlay: Scenario) -> float:
        """The seconds since an overlay was added, or since the session began where that was later."""
        known, at = self._windows.get(overlay.name, (None, 0.0))
        return self.clock.now() - (at if known is overlay else self._began)

    def new_name(self) -> str:
        """A name for a scenario that was given none; never the same twice."""
        with self._lock:
            self._added += 1
            return f"added-{self._added}"

    def add(self, *scenarios: CompiledScenario) -> None:
        """Put scenarios before all others, in their order; a name that is here already is replaced. From any thread."""
        names = {one.scenario.name for one in scenarios}
        with self._lock:
            kept = (old for old in self.scenarios if old.scenario.name not in names)
            self.scenarios = (*scenarios, *kept)
        self.begin_windows(one.scenario for one in scenarios)

    def remove(self, name: str) -> bool:
        """Take one of its own scenarios away; False when it has none of this name."""
        with self._lock:
            kept = tuple(one for one in self.scenarios if one.scenario.name != name)
            found = len(kept) < len(self.scenarios)
            self.scenarios = kept
        return found

    def switch(self, name: str, *, on: bool) -> None:
        """Have an overlay strike here, or not."""
        with self._lock:
            self.off = self.off - {name} if on else self.off | {name}

    def agree(self, in_force: InForce, compile: Callable[[Scenario], CompiledScenario]) -> None:
        """Take other settings; what is loaded is compiled anew under them."""
        with self._lock:
            self.in_force = in_force
            self.scenarios = tuple(compile(one.scenario) for one in self.scenarios)

    def reset(self) -> None:
        """Forget every scenario added and every count. What is under way goes on."""
        with self._lock:
            self.scenarios = ()
            self.cursors = Cursors()
            self.cache = PromptCache()
            self.threads = Threads()
            self.limiter = RateLimiter()
            self.off = frozenset()
            self.moved, self._mover = _FIRST, None
            self.batches = Batches()
            files, self.files = self.files, Files()
        files.clear()
        self.gates.reset()
        self.clock.reset()
        self._began = self.clock.now()
        self._windows.clear()

    def ids(self) -> Ids:
        """The ids of one reply, drawn from chance and the time."""
        return Ids(None, unix=self.clock.unix())

    def reply_time(self) -> float:
        """The time of a reply, in unix seconds: with a seed always the same."""
        return FIXED if self.in_force.settings.seed is not None else self.clock.unix()

    def reply_headers(self, request_id: str, *, is_known: bool = True) -> Headers:
        """The headers that every reply has, of one that is made now."""
        return self.in_force.headers_at(int(self.reply_time()), request_id, is_known=is_known)


def _can_be(library: Library, name: str, value: str) -> bool:
    return name in library.states and value in library.states[name].values


class Sessions:
    """The sessions of one server, by name and by the key they claimed. `forget` hears of those that go."""

    def __init__(
        self,
        clock: Clock,
        in_force: InForce,
        journals: Journals,
        forget: Callable[[Session], None] = lambda session: None,
    ) -> None:
        self._clock = clock
        self._terms = in_force
        self._journals = journals
        self._forget = forget
        self.first = self.default = Session(DEFAULT, clock, in_force, journals)
        self._named: OrderedDict[str, Session] = OrderedDict({DEFAULT: self.default})
        self._claims: dict[str, str] = {}
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def named(self, name: str) -> Session:
        """The session of this name, made when first asked for."""
        session = self._named.get(name)
        return session if session is not None else self._make(name)

    def _make(self, name: str) -> Session:
        with self._lock:
            session = self._named.get(name)
            if session is None:
                session = self._named[name] = Session(name, self._clock, self._terms, self._journals)
                while len(self._named) > MAX_SESSIONS:
                    self._drop(next(n for n in self._named if n not in (DEFAULT, self.default.name, name)))
        return session

    def _drop(self, name: str) -> None:
        session = self._named.pop(name, None)
        if session is not None:
            self._forget(session)

    def all(self) -> Iterable[Session]:
        """Every session there is."""
        return tuple(self._named.values())

    def find(self, name: str) -> Session | None:
        """The session of this name, if there is one."""
        return self._named.get(name)

    def keys_of(self, name: str) -> tuple[str, ...]:
        """The keys a session has claimed."""
        return tuple(key for key, owner in self._claims.items() if owner == name)

    def drop(self, name: str) -> None:
        """Forget a session that has claimed no key."""
        with self._lock:
            if self.default.name == name:
                self.default = self.first
            self._drop(name)

    def claim(self, key: str, name: str) -> Session:
        """Give a key to a session."""
        self._claims[key] = name
        if len(self._claims) > MAX_COUNTERS:
            del self._claims[next(iter(self._claims))]
        return self.named(name)

    def claimed(self, key: str) -> str | None:
        """The name of the session that owns a key."""
        return self._claims.get(key)

    def close(self, key: str) -> None:
        """End a claimed key for good: what still comes under it is refused and reaches no other session."""
        with self._lock:
            name = self._claims.pop(key, None)
            if name is not None:
                if self.default.name == name:
                    self.default = self.first
                self._drop(name)
            self._closed[key] = None
            while len(self._closed) > MAX_COUNTERS:
                self._closed.popitem(last=False)

    def is_closed(self, key: str) -> bool:
        """Whether the session that owned this key has ended."""
        return key in self._closed

    def of(self, wanted: str | None, key: str) -> Session:
        """The session of a request. Raises ApiError for a key whose session has ended."""
        if key in self._closed:
            raise invalid("this API key belongs to a test that has ended")
        if wanted is not None:
            if not wanted or len(wanted) > 200 or not wanted.isprintable():
                raise invalid("x-mock-session: a name of 1 to 200 printable characters")
            return self.named(wanted)
        name = self._claims.get(key)
        return self.default if name is None else self.named(name)

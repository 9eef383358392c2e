"""The engine: an HTTP request in, an Entry with its reply out. No socket, no wait; here errors become replies."""

import fnmatch
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Lock, local
from typing import TYPE_CHECKING, Any, NamedTuple

from mock_server import settings as configuration
from mock_server.clock import Clock, SystemClock
from mock_server.deferred import Deferred
from mock_server.engine import faults, seeds
from mock_server.engine.admission import Once
from mock_server.engine.choose import Lookup, NearMiss, NoMatch, choose, choose_beside
from mock_server.engine.endpoints import JUDGES, MESSAGES, NAMES, READERS, STRAIGHT, Endpoint, find, route
from mock_server.engine.entry import Entry
from mock_server.engine.errors import failure
from mock_server.engine.exchange import (
    NO_PARAMS,
    Alike,
    Call,
    Exchange,
    Reading,
    digest,
    digest_of,
    read_apart,
    warn,
    with_warning_header,
)
from mock_server.engine.journal import Journals
from mock_server.engine.library import CompiledScenario, Library
from mock_server.engine.masking import Redaction
from mock_server.engine.memory import Memory, Remembered, Repeated
from mock_server.engine.request_view import Request
from mock_server.engine.session import CompiledAs, Cursors, InForce, Session, Sessions
from mock_server.protocol.beginnings import Beginnings
from mock_server.protocol.errors import ApiError, failure_of_ours, invalid, nearest
from mock_server.protocol.expression import ALLOWANCE, Allowance, OverLimit
from mock_server.protocol.profile import Limits, Profile
from mock_server.protocol.request import FAULT_HEADER, LONG, OUR_HEADERS, Client, HttpRequest, client_of, parse
from mock_server.protocol.tokens import TokenCounter
from mock_server.records import quick
from mock_server.scenario.answer import name_of
from mock_server.scenario.conditions import merged
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import Problem, ScenarioError
from mock_server.scenario.subjects import MESSAGE_ENDPOINTS
from mock_server.scenario.timing import pacing
from mock_server.settings import SettingError, Settings

if TYPE_CHECKING:
    from mock_server.scenario.generated import content
else:  # most replies are written
    content = Deferred("mock_server.scenario.generated.content", globals())

log = logging.getLogger("mock_server")
_call = quick(Call)
_MOST_VERSIONS = 64  # that are known to pass
_LONGEST_KEY = 1024  # letters of a key that is counted by itself; a longer one by what stands for it

MOST_SCENARIOS = 10_000  # that are added to a session: each change is gone through before the next request


class Engine:
    """Answers requests from scenarios. `load` swaps the served scenarios whole; sessions add their own on top."""

    def __init__(
        self,
        settings: Settings,
        profile: Profile,
        clock: Clock | None = None,
        profiles: Callable[[str, str | None], Profile] | None = None,
    ) -> None:
        """`profiles` finds a profile by name and catalogue, for sessions that ask for another one."""
        self.settings = settings
        self._profiles = profiles or (lambda name, catalogue: profile)
        self._beginnings = Beginnings()
        self.in_force = _in_force(settings, profile, self._beginnings)
        self.counter = TokenCounter()
        self._made = _Made()
        self.making = Lock()  # held while a long reply is made up, in a thread of its own
        self.clock = clock or SystemClock()
        self.journals = Journals(settings.journal_bytes, Redaction(settings.redact) if settings.redact else None)
        self.metrics = self.journals.metrics
        self.sessions = Sessions(self.clock, self.in_force, self.journals, self._forgotten)
        # sees what comes under the keys of ended sessions
        self.ended = Session("ended", self.clock, self.in_force, self.journals)
        self._chance = seeds.Chance()
        self._scenarios: tuple[Scenario, ...] = ()
        self.chaos: tuple[Scenario, ...] = ()  # overlays added at run time, for every session
        self.off: frozenset[str] = frozenset()  # overlays that are switched off everywhere
        self._windows: tuple[Scenario, ...] = ()  # overlays that strike for a time, served to everybody
        self._strikes = False  # whether anything that is served to everybody is for other endpoints than messages
        self._served: dict[CompiledAs, Served] = {}
        self.memory = Memory()
        self.once = Once()  # what the log tells of once

    @property
    def generator(self) -> "content.Generator":
        """What makes content, for this thread: its Fakers are seeded anew for each use."""
        made = self._made
        if made.generator is None:
            made.generator = content.Generator()
        return made.generator

    @property
    def profile(self) -> Profile:
        """The profile of requests that no session with another one gets."""
        return self.in_force.profile

    def load(self, scenarios: Iterable[Scenario]) -> None:
        """Serve these scenarios instead of those before. Requests under way keep what they have."""
        self.swap(self.prepare(tuple(scenarios)))

    def prepare(self, scenarios: tuple[Scenario, ...]) -> "Prepared":
        """Compile a set of scenarios for everybody who is served one, from any thread. What stays the same is kept."""
        used = {key: one.in_force for key, one in dict(self._served).items()}
        wanted = {**used, self.in_force.compiled_as: self.in_force}
        return Prepared(scenarios, {key: self._renewed(terms, scenarios) for key, terms in wanted.items()})

    def _renewed(self, in_force: InForce, scenarios: tuple[Scenario, ...]) -> "Served":
        before = self._served.get(in_force.compiled_as)
        kept = {id(one.scenario): one for one in (before.compiled if before is not None else ())}
        every = (*self.chaos, *scenarios)
        return Served(in_force, tuple(kept.get(id(one)) or _compiled(one, in_force) for one in every))

    def swap(self, prepared: "Prepared") -> None:
        """Serve a prepared set: one step, so no request sees half of it."""
        before = {id(one) for one in (*self._scenarios, *self._windows)}
        self._scenarios, self._served = prepared.scenarios, dict(prepared.served)
        served = (*self.chaos, *self._scenarios)
        self._strikes = any(not one.endpoints <= MESSAGE_ENDPOINTS for one in served)
        self._windows = tuple(one for one in served if one.between is not None)
        added = [one for one in self._windows if id(one) not in before]
        for session in self.sessions.all() if added else ():
            session.begin_windows(added)
        answers = {id(leaf) for one in served for turn in one.turns for leaf in turn.leaves}
        for session in (*self.sessions.all(), self.ended):
            own = {id(leaf) for one in session.scenarios for turn in one.scenario.turns for leaf in turn.leaves}
            session.journal.forget_answers(answers | own if own else answers)

    def add(self, session: Session, *scenarios: Scenario) -> None:
        """Put scenarios before all others, in their order, for one session. Raises ScenarioError for a state that is
        known there and is declared otherwise, and where there would be too many."""
        if any(one.states for one in scenarios):
            _check_states(self.library(session).every, scenarios)
        _check_room(session, scenarios)
        session.add(*[_compiled(one, session.in_force) for one in scenarios])

    def add_overlays(self, *overlays: Scenario) -> None:
        """Lay overlays over every session's replies; one whose name is there already is replaced. Raises ScenarioError
        as `add` does."""
        names = {one.name for one in overlays}
        if any(one.states for one in overlays):
            _check_states((*self.chaos, *self._scenarios), overlays)
        self._replace_overlays((*overlays, *(one for one in self.chaos if one.name not in names)))

    def remove_overlay(self, name: str) -> bool:
        """Take away an overlay that was laid at run time; False when there is none of this name."""
        kept = tuple(one for one in self.chaos if one.name != name)
        found = len(kept) < len(self.chaos)
        self._replace_overlays(kept)
        return found

    def switch(self, name: str, *, on: bool) -> None:
        """Have an overlay strike everywhere, or not."""
        self.off = self.off - {name} if on else self.off | {name}

    def _replace_overlays(self, chaos: tuple[Scenario, ...]) -> None:
        self.chaos = chaos
        self.swap(self.prepare(self._scenarios))

    def overlays(self, session: Session) -> tuple[Scenario, ...]:
        """The overlays that are laid over the messages of a session, in order of precedence."""
        listed = self.library(session).message_overlays
        off = self.off | session.off
        return tuple(one for one in listed if one.name not in off) if off else listed

    def override(self, session: Session, **settings: Any) -> None:
        """Give one session settings of its own. Raises SettingError for a value a setting cannot have."""
        changed = configuration.changed(session.in_force.settings, settings)
        try:
            terms = _in_force(changed, self._profiles(changed.profile, changed.catalogue), self._beginnings)
        except ScenarioError as error:
            raise SettingError(str(error)) from None
        session.agree(terms, lambda scenario: _compiled(scenario, terms))
        session.journal.resize(changed.journal_entries)

    @property
    def scenarios(self) -> int:
        """How many scenarios that answer are served to everybody."""
        return sum(not one.is_overlay for one in self._scenarios)

    @property
    def served(self) -> tuple[Scenario, ...]:
        """The scenarios that are served to everybody."""
        return self._scenarios

    def library(self, session: Session) -> Library:
        """What this session is answered from: its own scenarios, then the served ones."""
        known, terms = session.known_library, session.in_force
        if known is not None and known[0] is self._served and known[1] is terms and known[2] is session.scenarios:
            return known[3]
        served = self._served.get(terms.compiled_as)
        if served is None:
            served = self._served[terms.compiled_as] = self._renewed(terms, self._scenarios)
        library = session.library(served.compiled)
        session.known_library = self._served, terms, session.scenarios, library
        return library

    def reading(self, http: HttpRequest) -> Callable[[], Reading | None] | None:
        """What reads a large body, in any thread; None for a body that is small, or that nobody reads apart."""
        found = find(http.path) if len(http.body) >= LONG and http.method == "POST" else None
        reader = None if found is None else READERS.get(found.pattern)
        if reader is None:
            return None
        session, _, _ = self._session_of(http)
        self.library(session)  # the reader asks it ahead
        return functools.partial(read_apart, reader, http, session)

    def handle(
        self,
        http: HttpRequest,
        reading: Reading | None = None,
        kept: HttpRequest | None = None,
        *,
        again: bool = True,
    ) -> Entry:
        """Answer one request and note it. Never raises: the client's mistakes and ours both become replies.

        `reading`: what was made of its body before. `kept`: what `Journals.kept` made of it. `again`: whether it is to
        be remembered.
        """
        session, client, refused = self._session_of(http)
        exchange = self._answer(http, session, client, refused, reading=reading, again=again, alike=True)
        if kept is None:
            kept = self.journals.kept(http) if self.journals.redacts else http
        return self.journals.record(session.journal, self.clock.unix(), kept, exchange)

    def remember(self, came: bytes, http: HttpRequest, entry: Entry) -> Remembered | None:
        """Keep what the bytes that came are answered from. None where nothing is kept, or the same already.

        `http`, `entry`: the request that they are, and what it came to.
        """
        again = entry.exchange.again
        if again is None or self.remembered(came) is not None or self.memory.find(came) is not None:
            return None
        session, client, refused = self._session_of(http)
        if refused is not None or again.library is not self.library(session) or again.terms is not session.in_force:
            return None
        if again.moved is not session.moved:
            return None
        one = Remembered(came, session, client.session or http.session, client.key, http.prefix + http.path, entry)
        self.memory.keep(one)
        return one

    def remembered(self, came: bytes) -> Remembered | None:
        """What these bytes are answered from, where they came before and would be answered alike."""
        one = self.memory.find(came)
        if one is None or one.session.journal.listeners:  # who listens hears of each that comes, and of its end
            return None
        if log.isEnabledFor(logging.INFO) and (one.is_made_up or log.isEnabledFor(logging.DEBUG)):
            return None  # the log has a line for each
        again = one.again
        try:
            session = self.sessions.of(one.asked, one.key)
        except ApiError:  # it has ended
            session = self.ended
        is_same = session is one.session and session.in_force is again.terms and session.moved is again.moved
        if is_same and self.library(session) is again.library:
            return one
        self.memory.drop(one)
        return None

    def repeat(self, one: Remembered) -> Repeated:
        """Answer a request as the one before, with ids and times of its own, and note it."""
        session, journals = one.session, self.journals
        unix = session.clock.unix()
        ids = seeds.Ids(None, self._chance, unix)
        request_id = ids.new("req")
        drawn = one.again.filled.drawn(ids, str)
        entry = Repeated(one, journals.total + 1, self.clock.unix(), int(unix), request_id, drawn)
        journals.note(session.journal, entry)
        return entry

    def answer(
        self,
        http: HttpRequest,
        session: Session,
        key: str,
        *,
        in_batch: bool = False,
        reading: Reading | None = None,
    ) -> Exchange:
        """The exchange of one request, noted nowhere. Never raises."""
        client = client_of(http.headers)._replace(key=key)
        exchange = self._answer(http, session, client, None, in_batch=in_batch, reading=reading)
        assert isinstance(exchange, Exchange)
        return exchange

    def _answer(
        self,
        http: HttpRequest,
        session: Session,
        client: Client,
        refused: ApiError | None,
        *,
        in_batch: bool = False,
        reading: Reading | None = None,
        again: bool = True,
        alike: bool = False,
    ) -> Exchange | Alike:
        """The same. `refused`: why its client is turned away; `alike`: an `Alike` will do."""
        terms = session.in_force
        seed = terms.settings.seed
        if seed is None:
            ids = seeds.Ids(None, self._chance, session.clock.unix())
        else:
            ids = seeds.Ids(_early_seed(http, seed, reading))
        left, token = ALLOWANCE.get(), None  # one of a batch shares its
        if left is None:
            left = Allowance() if reading is None else reading.spent
            token = ALLOWANCE.set(left)
        misspelt = _misspelt(client.ours) if client.ours else ()
        try:
            endpoint, params = STRAIGHT.get((http.method, http.path)), NO_PARAMS
            if endpoint is None:
                endpoint, params = route(http, terms)
            if refused is not None:
                raise refused
            if client.version not in terms.passed_versions:
                _check_version(client.version, terms)
            call = _call(
                (http, session, client.key, ids, params, in_batch, reading, "messages", again, None, alike, client)
            )
            if endpoint in MESSAGES or not (self._strikes or session.scenarios or FAULT_HEADER in http.headers):
                found = endpoint(self, call)
            else:
                found = self._beside(endpoint, call)
            if isinstance(found, Alike):
                if not (left.missed or misspelt):
                    return found
                found = found.exchange()
            exchange = found
        except ApiError as error:
            exchange = self._refused(error, session, ids)._replace(warnings=faults.refused(http.headers))
        except RecursionError:
            exchange = self._refused(invalid("The request body is nested too deeply"), session, ids)
        except OverLimit as error:
            log.error("%s", error)
            exchange = self._refused(failure_of_ours(str(error)), session, ids)
        except Exception:
            log.exception("a fault of mock-server while answering %s %s", http.method, http.path)
            exchange = self._refused(ApiError("api_error"), session, ids)
        finally:
            if token is not None:
                ALLOWANCE.reset(token)
        if left.missed:
            exchange = warn(exchange, *left.unjudged, note="; ".join(left.unjudged))._replace(again=None)
        if misspelt:
            exchange = warn(exchange, *misspelt, note="; ".join(misspelt))._replace(again=None)
        return with_warning_header(exchange) if exchange.warnings or exchange.late is not None else exchange

    def _beside(self, endpoint: Endpoint, call: Call) -> Exchange | Alike:
        """What another endpoint than those of messages answers: an error where a scenario says so, and nothing is done;
        else what it does, with what goes wrong with its reply. Raises ApiError."""
        library, name = self.library(call.session), NAMES[endpoint]
        if not any(name in one.endpoints for one in library.beside):
            exchange = endpoint(self, call)
            if FAULT_HEADER not in call.http.headers:
                return exchange
            assert isinstance(exchange, Exchange)
            return faults.with_faults(call, exchange, faults.of_header(call))
        judge = JUDGES.get(endpoint)
        read = None if judge is None else call.read(judge)
        asked = faults.stand_in(call, read[0].body if name == "count_tokens" and read else None)
        session = call.session
        states = session.states(library)
        lookup = Lookup(
            asked, call.http.headers, call.key, session.cursors, session.in_force.settings.seed, states, name
        )
        off = self.off | session.off
        overlays = [one for one in library.beside if one.is_overlay and name in one.endpoints and one.name not in off]
        choice = choose_beside(library, lookup)
        if choice is not None:
            return faults.answered(call, lookup, choice, overlays)
        exchange = endpoint(self, call)
        assert isinstance(exchange, Exchange)
        return faults.with_faults(call, exchange, faults.faults_for(call, lookup, overlays, None).faults)

    def refuse(self, error: ApiError) -> Exchange:
        """The reply that tells an error of a request that could not be read."""
        return self._refused(error, self.sessions.default, self.sessions.default.ids())

    def file_room(self, http: HttpRequest) -> int:
        """How many bytes the session of a request still takes as files."""
        session, _, _ = self._session_of(http)
        return max(0, session.in_force.settings.file_bytes - session.files.bytes)

    def explain(self, session: Session, request: Request) -> tuple[NearMiss, ...]:
        """The scenarios nearest to a valid request, with every condition that fails; none when one answers."""
        library = self.library(session)
        asked = Lookup(parse(request.raw), request.headers, "", Cursors(), states=session.states(library))
        try:
            found = choose(library, asked)
        except (ApiError, OverLimit):
            return ()
        return found.near_misses if isinstance(found, NoMatch) else ()

    def reset(self, session: Session) -> None:
        """Forget what one session added, counted and noted."""
        self.journals.forget(session.journal)
        session.journal.clear()
        session.reset()

    def failed(self, entry: Entry, exception: BaseException) -> None:
        """The function that was to give the reply raised: a 500 to the client, and the journal keeps the exception."""
        late = entry.exchange.late
        assert late is not None
        session = self.sessions.find(entry.session) or self.sessions.default
        if late.function is None and entry.scenario is None:
            log.error("a fault of mock-server while answering %s %s", entry.method, entry.path, exc_info=exception)
            entry.settled(self._refused(ApiError("api_error"), session, session.ids()))
            return
        what = str(exception)
        if late.function is not None and not isinstance(exception, TimeoutError | ScenarioError):
            what = f"{name_of(late.function)} raised {type(exception).__name__}: {exception}"
        log.error("the reply function of scenario %r failed: %s", entry.scenario, what, exc_info=exception)
        plan = failure(failure_of_ours(what), session, session.ids().new("req"))
        plan = plan._replace(headers=plan.headers + entry.exchange.plan.headers)  # where it comes from
        entry.settled(with_warning_header(entry.exchange._replace(plan=plan, late=None, note=what)), exception)

    def close(self, key: str) -> None:
        """End the session that claimed `key`, and the replies that are under way in it. On the server's loop."""
        name = self.sessions.claimed(key)
        if name is not None:
            self.sessions.named(name).journal.cut_open()
        self.sessions.close(key)

    def _forgotten(self, session: Session) -> None:
        self.memory.forget(session)
        self.journals.forget(session.journal)
        session.files.clear()

    def _refused(self, error: ApiError, session: Session, ids: seeds.Ids) -> Exchange:
        return Exchange(failure(error, session, ids.new("req")), note=error.note or str(error))

    def _session_of(self, http: HttpRequest) -> tuple[Session, Client, ApiError | None]:
        """The session of a request, who sent it, and why that one is refused if it is; without a key, the default
        session. Rules 1 to 3.
        """
        client = client_of(http.headers)
        key = client.key
        if not key:
            return self.sessions.default, client, ApiError("authentication_error", "x-api-key header is required")
        allowed = self.settings.api_key
        if allowed and not any(fnmatch.fnmatchcase(key, glob) for glob in allowed):
            return self.sessions.default, client._replace(key=""), ApiError("authentication_error")
        try:
            session = self.sessions.of(client.session or http.session, key)
        except ApiError as error:
            return self.ended if self.sessions.is_closed(key) else self.sessions.default, client, error
        return session, client if len(key) <= _LONGEST_KEY else client._replace(key=_digested(key)), None


def _digested(key: str) -> str:
    return f"key of {len(key)} letters {digest(key.encode('utf-8', 'surrogateescape')).hex()}"


def _compiled(scenario: Scenario, in_force: InForce) -> CompiledScenario:
    return CompiledScenario(scenario, in_force.profile, in_force.timing)


def _check_states(known: Iterable[Scenario], added: Sequence[Scenario]) -> None:
    """Raises ScenarioError for a state that these declare otherwise than those which they do not replace."""
    replaced = {one.name for one in added}
    kept = (one for one in known if one.name not in replaced)
    _, clashes = merged((one.source or one.name, one.states) for one in (*kept, *added))
    if clashes:
        raise ScenarioError(Problem(source, None, text) for source, text in clashes)


def _check_room(session: Session, added: Sequence[Scenario]) -> None:
    """Raises ScenarioError where a session would have more scenarios of its own than a request can be asked for."""
    if len(session.scenarios) + len(added) <= MOST_SCENARIOS:
        return
    replaced = {one.name for one in added}
    count = len(replaced) + sum(one.scenario.name not in replaced for one in session.scenarios)
    if count > MOST_SCENARIOS:
        text = f"a session has {MOST_SCENARIOS:,} scenarios of its own at most, with these it would have {count:,}"
        raise ScenarioError([Problem(added[0].source or added[0].name, None, f"{text}; take some away, or reset it")])


class _Made(local):
    """What each thread has of its own."""

    generator: "content.Generator | None" = None


class Served(NamedTuple):
    """The scenarios that sessions with the same terms get."""

    in_force: InForce
    compiled: tuple[CompiledScenario, ...]


class Prepared(NamedTuple):
    """A set of scenarios ready to be served."""

    scenarios: tuple[Scenario, ...]
    served: Mapping[CompiledAs, Served]


def _in_force(settings: Settings, profile: Profile, beginnings: Beginnings) -> InForce:
    changed = replace(profile, any_model=settings.any_model)
    if settings.unknown_parameters is not None:
        changed = replace(changed, unknown_parameters=settings.unknown_parameters)
    own = None if settings.rate_limits in ("off", "on") else Limits(**configuration.limits(settings.rate_limits))
    return InForce(settings, changed, pacing(settings.timing, changed), own, beginnings)


def _early_seed(http: HttpRequest, seed: int, reading: Reading | None) -> Callable[[], bytes]:
    """What ids are drawn from before a request is understood: with a seed, the bytes that came, if any is drawn."""
    return lambda: seeds.exchange_seed(seed, "", digest_of(http, reading), 0)


_MEANT = ("scenario", "fault", "session")  # what a client may say in a header of ours


def _misspelt(ours: Iterable[str]) -> list[str]:
    """What to say of headers that are none of ours and look like one: what they ask for is not done."""
    named = [(name, name[len(OUR_HEADERS) :]) for name in ours]
    found = [(name, close[0]) for name, word in named if word not in _MEANT and (close := nearest(word, _MEANT))]
    return [f"header '{name}' is ignored (did you mean '{OUR_HEADERS}{meant}'?)" for name, meant in found]


def _check_version(version: str | None, in_force: InForce) -> None:
    """Rules 4 and 5: `anthropic-version` is there, and is one that was released."""
    profile = in_force.profile
    if version is None:
        if profile.version_required:
            raise invalid("anthropic-version: header is required")
    elif profile.versions and version not in profile.versions:
        raise invalid(f'anthropic-version: "{version}" is not a valid version')
    if len(in_force.passed_versions) < _MOST_VERSIONS:
        in_force.passed_versions.add(version)

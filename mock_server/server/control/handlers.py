"""The functions behind the routes of the control API. Each answers a Query, or raises ControlError."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mock_server import version
from mock_server.engine import verify
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.explain import TARGETS, explain, request_to
from mock_server.engine.journal import Incomplete
from mock_server.engine.masking import masked
from mock_server.engine.overlays import Overlays
from mock_server.engine.preview import preview
from mock_server.engine.session import Session
from mock_server.scenario.conditions import NO_STATES
from mock_server.scenario.decode import is_needed
from mock_server.scenario.faults import FAULTS
from mock_server.scenario.load import build, loads, same_names
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import ScenarioError, one_of, suggestion
from mock_server.scenario.subjects import PROMPT_ENDPOINTS
from mock_server.scenario.writing import written
from mock_server.server.control import views
from mock_server.server.control.answers import ControlError, Query, RouteAnswer
from mock_server.settings import SettingError

if TYPE_CHECKING:
    from mock_server.server.control import Standing

log = logging.getLogger("mock_server")
MAX_PAGE = 1000
MOST_ENTRIES = 10**15 - 1  # no journal comes to so many


class Control:
    """The control API of one server."""

    def __init__(self, engine: Engine, standing: "Standing") -> None:
        self.engine = engine
        self._standing = standing

    def changed(self) -> None:
        """Others than before are served."""
        self._standing.changed()

    def _problems(self) -> list[str] | None:
        error = self._standing.load_error
        return None if error is None else [str(problem) for problem in error.problems]

    # -- the server ------------------------------------------------------------------------------------------------

    def health(self, query: Query) -> RouteAnswer:
        """`status` is `ok`, or `degraded` (503) while a broken edit keeps the last good scenarios in force."""
        problems = self._problems()
        state: dict[str, Any] = {
            "status": "ok" if problems is None else "degraded",
            "version": version.VERSION,
            "profile": self.engine.profile.name,
            "scenarios": self.engine.scenarios,
            "uptime_seconds": round(self._standing.uptime, 3),
        }
        return RouteAnswer(200, state) if problems is None else RouteAnswer(503, {**state, "load_error": problems})

    def ready(self, query: Query) -> RouteAnswer:
        """200 once requests are answered, whatever the scenarios are like."""
        return RouteAnswer(200, {"ready": True})

    def metrics(self, query: Query) -> RouteAnswer:
        """Counts in the text format of Prometheus."""
        sessions = tuple(self.engine.sessions.all())
        gauges = {
            "mock_server_open_streams": ("replies under way", float(sum(one.journal.open for one in sessions))),
            "mock_server_sessions": ("sessions", float(len(sessions))),
            "mock_server_scenarios": ("scenarios served to everybody", float(self.engine.scenarios)),
            "mock_server_journal_bytes": ("what the journals hold", float(self.engine.journals.bytes)),
        }
        return RouteAnswer(200, self.engine.metrics.text(gauges), type="text/plain; version=0.0.4; charset=utf-8")

    # -- scenarios -------------------------------------------------------------------------------------------------

    def scenarios(self, query: Query) -> RouteAnswer:
        """What is served, in order of precedence; with `session`, what that session is answered from."""
        calls = self._calls(query)
        listed = [views.scenario_view(one, owner, calls[one.name]) for one, owner in self._listed(query)]
        return RouteAnswer(200, {"scenarios": listed, "load_error": self._problems()})

    def scenario(self, query: Query) -> RouteAnswer:
        """One scenario with its source."""
        one, owner = self._find(query)
        view = views.scenario_view(one, owner, self._calls(query)[one.name])
        return RouteAnswer(200, {**view, "yaml": written(one).rstrip()})

    def add(self, query: Query) -> RouteAnswer:
        """Add scenarios, as YAML or JSON (one, or a list), to one session (without `session`: to the default one).

        They keep their order among themselves, and come before all that was added earlier.
        """
        session = self.session(query)
        added = self.read(query)
        for one in added:
            if not one.name:
                raise ControlError(422, "a scenario without a name", "give it a name")
        _added(lambda: self.engine.add(session, *_of_library(added, query)))
        self.changed()
        return RouteAnswer(201, {"added": [one.name for one in added]})

    def put(self, query: Query) -> RouteAnswer:
        """Add or replace the scenario of this name."""
        found = self.read(query, query.rest)
        if len(found) != 1 or found[0].name != query.rest:
            raise ControlError(422, f"the body is not one scenario named '{query.rest}'", "name and path must agree")
        _added(lambda: self.engine.add(self.session(query), *_of_library(found, query)))
        self.changed()
        return RouteAnswer(200, {"added": [query.rest]})

    def remove(self, query: Query) -> RouteAnswer:
        """Take a scenario away that was added at run time."""
        session = self.session(query)
        if not session.remove(query.rest):
            if any(one.name == query.rest for one in self.engine.served):
                raise ControlError(409, f"'{query.rest}' comes from a file", "delete it there; --reload sees that")
            raise _no_scenario(query.rest, [one.scenario.name for one in session.scenarios])
        self.changed()
        return RouteAnswer(200, {"removed": query.rest})

    def read(self, query: Query, name: str | None = None) -> Sequence[Scenario]:
        session = self.session(query)
        may_ask = "state" in str(query.data) if query.data is not None else b"state" in query.body
        known = self.engine.library(session).states if may_ask else NO_STATES

        def read() -> Sequence[Scenario]:
            if "json" in query.headers.get("content-type", ""):
                listed = query.objects()
                added = [build({"name": name or session.new_name(), **one}, "request", known) for one in listed]
                if twice := same_names(added):
                    raise ScenarioError(twice)
                return added
            return loads(query.body.decode("utf-8"), "request", known=known)

        try:
            return _added(read)
        except UnicodeDecodeError:
            raise ControlError(400, "the body is not UTF-8", "send YAML, or JSON with content-type json") from None

    def _listed(self, query: Query) -> Iterator[tuple[Scenario, Session | None]]:
        sessions: Iterable[Session] = self.engine.sessions.all()
        if "session" in query.query:
            sessions = [self.session(query)]
        for session in sessions:
            for one in session.scenarios:
                yield one.scenario, session
        for scenario in self.engine.served:
            yield scenario, None

    def _calls(self, query: Query) -> Counter[str]:
        """How often each scenario answered."""
        sessions = [self.session(query)] if "session" in query.query else self.engine.sessions.all()
        calls: Counter[str] = Counter()
        for session in sessions:
            for hit in tuple(session.journal.hits.values()):
                calls[hit.scenario] += hit.count
        return calls

    def _find(self, query: Query) -> tuple[Scenario, Session | None]:
        known = list(self._listed(query))
        for scenario, owner in known:
            if scenario.name == query.rest:
                return scenario, owner
        raise _no_scenario(query.rest, [scenario.name for scenario, _ in known])

    def _check_name(self, name: Any, query: Query, session: Session) -> None:
        """A scenario that is misspelt was never called: that proves nothing. Raises ControlError."""
        if not isinstance(name, str) or session.journal.played(name):
            return
        known = [scenario.name for scenario, _ in self._listed(query)]
        if name not in known:
            raise _no_scenario(name, known)

    # -- the journal -----------------------------------------------------------------------------------------------

    def journal(self, query: Query) -> RouteAnswer:
        """Entries, newest first: `before` and `after` are numbers, `next` is the `before` of the following page."""
        limit, after = query.number("limit", 100, 1, MAX_PAGE), query.number("after", 0)
        before = query.number("before", MOST_ENTRIES)
        found: list[tuple[Entry, Session]] = []
        for entry, session in self._entries(query):
            if entry.number <= after:
                break
            if entry.number < before and _passes(entry, query.query):
                found.append((entry, session))
                if len(found) > limit:
                    break
        page, more = found[:limit], len(found) > limit
        sessions = list(self._sessions(query))
        return RouteAnswer(
            200,
            {
                "entries": [views.summary(entry, session.name) for entry, session in page],
                "next": page[-1][0].number if more else None,
                "total": sum(session.journal.total for session in sessions),
                "dropped": sum(session.journal.dropped for session in sessions),
            },
        )

    def entry(self, query: Query) -> RouteAnswer:
        """One entry with everything that is known of it. Of a body that is too large to be shown, only how it begins;
        with `whole=true` all of it, as text. `number`: or the request id of its reply.
        """
        meant = query.rest
        number = int(meant) if meant.isdecimal() and len(meant) < 16 else None
        for entry, session in self._entries(query):
            if entry.request_id == meant if number is None else entry.number == number:
                asks = entry.unmatched and not views.is_large(entry)
                near = self.engine.explain(session, entry.request) if asks else ()
                whole = query.query.get("whole") == "true"
                return RouteAnswer(200, views.detail(entry, session.name, near, whole=whole), mask=True)
        raise ControlError(404, f"no entry {meant}", "it may have left the ring; GET /_mock/journal lists what is held")

    def clear(self, query: Query) -> RouteAnswer:
        """Forget the entries of one session, or of all."""
        cleared = 0
        for session in self._sessions(query):
            cleared += len(session.journal)
            self.engine.journals.forget(session.journal)
            session.journal.clear()
        self.changed()
        return RouteAnswer(200, {"cleared": cleared})

    def counts(self, query: Query) -> RouteAnswer:
        """The exact counts of one session's journal, also of what the ring has dropped."""
        session = self.session(query)
        return RouteAnswer(200, views.counts(session, self.engine.journals.total - session.journal.total))

    def _entries(self, query: Query) -> Iterator[tuple[Entry, Session]]:
        held = [(entry, session) for session in self._sessions(query) for entry in session.journal.entries()]
        yield from sorted(held, key=lambda pair: -pair[0].number)

    def _sessions(self, query: Query) -> Iterable[Session]:
        if "session" not in query.query:
            return (*self.engine.sessions.all(), self.engine.ended)
        return (self.session(query),)

    def verify(self, query: Query) -> RouteAnswer:
        """Whether so many came (times, when, scenario), in order (sequence), all_used, expected, no_contradictions."""
        session, body = self.session(query), query.json()
        known = ("times", "when", "scenario", "sequence", "all_used", "expected", "no_contradictions")
        unknown = set(body) - set(known)
        if unknown:
            raise ControlError(400, f"unknown key '{min(unknown)}'", f"{', '.join(known[:-1])} or {known[-1]}")
        self._check_name(body.get("scenario"), query, session)
        try:
            text = _verified(session, body)
        except ScenarioError as error:
            raise ControlError(422, str(error), "conditions are written as `when` in a scenario") from None
        except Incomplete as error:
            raise ControlError(409, str(error), "raise --journal-entries") from None
        return RouteAnswer(200, {"ok": text is None, "explanation": text or ""})

    # -- sessions --------------------------------------------------------------------------------------------------

    def sessions(self, query: Query) -> RouteAnswer:
        """Every session with its counts and settings."""
        listed = [views.session_view(one, self.engine) for one in self.engine.sessions.all()]
        return RouteAnswer(200, {"sessions": listed})

    def open_session(self, query: Query) -> RouteAnswer:
        """Make a session: `name`, `key` to claim for it, `default` to give it all other clients, `settings`."""
        body = query.json()
        name, key = body.get("name"), body.get("key")
        if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable():
            raise ControlError(400, "name is missing or no name", "1 to 200 printable characters")
        if key is not None and (not isinstance(key, str) or not key.isascii() or not key.isprintable() or not key):
            raise ControlError(400, "key is no API key", "printable ASCII text")
        if key is not None and self.engine.sessions.is_closed(key):
            raise ControlError(409, "this key belongs to a session that has ended", "take another key")
        settings = body.get("settings", {})
        settings = {} if settings is None else settings
        if not isinstance(settings, dict):
            raise ControlError(400, "settings is not an object", "names and values of settings")
        if "." in str(settings.get("profile")):
            raise ControlError(422, "a profile file is chosen when the server starts", "--profile FILE")
        session = self.engine.sessions.named(name)
        try:
            self.engine.override(session, **settings)
        except SettingError as error:
            raise ControlError(422, str(error), "the names and values are those of the command line") from None
        if key is not None:
            self.engine.sessions.claim(key, name)
        if body.get("default"):
            self.engine.sessions.default = session
        return RouteAnswer(201, views.session_view(session, self.engine))

    def close_session(self, query: Query) -> RouteAnswer:
        """End a session: its streams, its keys (refused from now on), its journal."""
        session = self._known(query.rest)
        if session is None or session is self.engine.sessions.first:
            raise ControlError(404, f"no session '{query.rest}' to end", "GET /_mock/sessions lists them")
        cut = session.journal.open
        keys = self.engine.sessions.keys_of(session.name)
        for key in keys:
            self.engine.close(key)
        if not keys:
            session.journal.cut_open()
            self.engine.sessions.drop(session.name)
        self.changed()
        return RouteAnswer(200, {"ended": query.rest, "cut": cut})

    def reset(self, query: Query) -> RouteAnswer:
        """Forget what one session added, counted and noted; `all=true` for every session."""
        if "session" not in query.query and query.query.get("all") != "true":
            raise ControlError(400, "reset of what?", "?session=NAME, or ?all=true on a server that nobody shares")
        sessions = self.engine.sessions.all() if "session" not in query.query else [self.session(query)]
        for session in sessions:
            self.engine.reset(session)
        self.changed()
        return RouteAnswer(200, {"reset": [session.name for session in sessions]})

    def _known(self, name: str) -> Session | None:
        """The session of this name, or whose name is a secret for which this stands."""
        alike = (one for one in self.engine.sessions.all() if masked(one.name) == name)
        return self.engine.sessions.find(name) or next(alike, None)

    def session(self, query: Query) -> Session:
        """The session a query names; the default one when it names none."""
        name = query.query.get("session") or query.headers.get("x-mock-session")
        if not name:
            return self.engine.sessions.first
        session = self._known(name)
        if session is None:
            known = [one.name for one in self.engine.sessions.all()]
            raise ControlError(404, f"no session '{name}'", _hint(name, known, "GET /_mock/sessions lists them"))
        return session


def _hint(wrong: str, known: Iterable[str], otherwise: str) -> str:
    """The name that was meant, or else where the names are found."""
    return suggestion(wrong, known).removeprefix("; ") or otherwise


def _no_scenario(name: str, known: Iterable[str]) -> ControlError:
    return ControlError(404, f"no scenario '{name}'", _hint(name, known, "GET /_mock/scenarios lists them"))


def _of_library(scenarios: Sequence[Scenario], query: Query) -> list[Scenario]:
    """The scenarios, those of the library marked (the query names them)."""
    names = query.query.get("library", "").split(",")
    return [replace(one, of_library=one.name in names) for one in scenarios]


_T = TypeVar("_T")


def _added(act: Callable[[], _T]) -> _T:
    """What reads or adds scenarios, with their mistakes as a 422."""
    try:
        return act()
    except ScenarioError as error:
        problems = [str(problem) for problem in error.problems]
        raise ControlError(422, problems[0], "mend the scenario; nothing was added", problems=problems) from None


def _passes(entry: Entry, query: Mapping[str, str]) -> bool:
    """Whether an entry passes the filters of a query."""
    if (scenario := query.get("scenario")) and entry.scenario != scenario:
        return False
    if outcome := query.get("outcome"):
        is_it = entry.unmatched if outcome == "unmatched" else outcome == ("open" if entry.is_open else entry.outcome)
        if not is_it:
            return False
    wanted = query.get("text", "").lower()
    text = wanted.encode()
    if not wanted or wanted in (entry.request_id or "").lower() or text in entry.request.raw.lower():
        return True
    return not entry.is_open and text in entry.plan.body().lower()


def _verified(session: Session, body: Mapping[str, Any]) -> str | None:
    """Why it is not as the caller says; None when it is."""
    journal = session.journal
    if "sequence" in body:
        if not isinstance(body["sequence"], list):
            raise ControlError(400, "sequence is not a list", "names of scenarios and conditions")
        return verify.out_of_sequence(journal, body["sequence"], 0)
    if body.get("all_used"):
        return verify.never_played(journal, [one.scenario for one in session.scenarios], 0)
    if body.get("expected"):
        return verify.unexpected_text(journal) if journal.unexpected else None
    if body.get("no_contradictions"):
        return verify.contradicted_text(journal) if journal.contradicted else None
    times, when, scenario = body.get("times"), body.get("when"), body.get("scenario")
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 0):
        raise ControlError(400, "times is not a number", "0 or more, or leave it out for at least one")
    if scenario is not None and not isinstance(scenario, str):
        raise ControlError(400, "scenario is not a name", "the name of a scenario")
    return verify.not_called(journal, times, when, scenario, 0)


# What a test controls meanwhile. These routes run on the server's loop, as clocks and gates need.

MOST_TIMES = 1_000_000


# -- the clock --------------------------------------------------------------------------------------------------------


def clock(control: Control, query: Query) -> RouteAnswer:
    """The clock of a session: its time, and whether it stands still."""
    return RouteAnswer(200, _clock(control.session(query)))


def turn_clock(control: Control, query: Query) -> RouteAnswer:
    """Turn the clock of a session: `freeze`, `advance` by so many seconds, `resume`, in this order."""
    session, body = control.session(query), query.json()
    _only(body, "freeze", "advance", "resume")
    if not body:
        raise ControlError(400, "nothing to do", 'for example {"advance": 60}')
    seconds = body.get("advance", 0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ControlError(400, "advance is not a number", "seconds, 0 or more")
    if body.get("freeze"):
        session.clock.freeze()
    try:
        session.clock.advance(seconds)
    except ValueError as error:
        raise ControlError(400, str(error), "seconds, 0 or more") from None
    if body.get("resume"):
        session.clock.resume()
    control.changed()
    return RouteAnswer(200, _clock(session))


def _clock(session: Session) -> Mapping[str, Any]:
    return {"unix": round(session.clock.unix(), 6), "frozen": session.clock.frozen, "session": session.name}


# -- gates ------------------------------------------------------------------------------------------------------------


def gates(control: Control, query: Query) -> RouteAnswer:
    """The gates that have been used, and how many replies each holds."""
    session = control.session(query)
    return RouteAnswer(200, {"gates": [one._asdict() for one in session.gates.all()]})


def turn_gate(control: Control, query: Query) -> RouteAnswer:
    """Open a gate for good; with `times` let so many replies through; with `shut` hold what comes again."""
    session, body = control.session(query), query.json()
    _only(body, "times", "shut")
    times = body.get("times")
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or not 1 <= times <= MOST_TIMES):
        raise ControlError(400, "times is not a number", f"1 to {MOST_TIMES:,}, or leave it out to open the gate")
    if body.get("shut"):
        session.gates.shut(query.rest)
        went = 0
    else:
        went = session.gates.release(query.rest, times)
    control.changed()
    view = next(one for one in session.gates.all() if one.name == query.rest)
    return RouteAnswer(200, {**view._asdict(), "went": went})


# -- states -----------------------------------------------------------------------------------------------------------


def states(control: Control, query: Query) -> RouteAnswer:
    """The states of a session: what each is, what it can be, and what it was at first."""
    return RouteAnswer(200, _states(control, control.session(query)))


def set_states(control: Control, query: Query) -> RouteAnswer:
    """Set states of a session: `{"service": "down"}`; the others stay as they are."""
    session, body = control.session(query), query.json()
    library = control.engine.library(session)
    if not body:
        raise ControlError(400, "nothing to do", 'for example {"service": "down"}')
    for name, value in body.items():
        state = library.states.get(name)
        if state is None:
            there = f"there are {', '.join(library.states) or 'none'}"
            raise ControlError(404, f"no state '{name}'", _hint(name, library.states, there))
        if value not in state.values:
            expected = one_of(str(value), state.values).removeprefix("; ")
            raise ControlError(422, f"state '{name}' is never {value!r}", expected)
    session.move(library, body)
    control.changed()
    return RouteAnswer(200, _states(control, session))


def _states(control: Control, session: Session) -> Mapping[str, Any]:
    library = control.engine.library(session)
    now = session.states(library)
    listed = [
        {"name": name, "value": now[name], "values": list(state.values), "initial": state.initial}
        for name, state in library.states.items()
    ]
    return {"session": session.name, "states": listed}


# -- chaos ------------------------------------------------------------------------------------------------------------


def chaos(control: Control, query: Query) -> RouteAnswer:
    """The overlays in order: of the whole server, or with `session` those of that session; and the faults there are."""
    overlays = [{**one._asdict(), "faults": list(one.faults)} for one in _chaos(control, query).all()]
    return RouteAnswer(200, {"overlays": overlays, "faults": _faults()})


def add_overlays(control: Control, query: Query) -> RouteAnswer:
    """Add overlays (YAML, or JSON: one, or a list) to every reply; with `session` to those of that session."""
    found = control.read(query)
    wrong = next((one for one in found if not one.is_overlay), None)
    if wrong is not None:
        raise ControlError(422, f"'{wrong.name}' answers requests", "an overlay has a fault, a gate or a timing only")
    where = _chaos(control, query)
    _added(lambda: where.add(*found))
    control.changed()
    return RouteAnswer(201, {"added": [one.name for one in found]})


def switch_overlay(control: Control, query: Query) -> RouteAnswer:
    """Switch an overlay on or off: `{"on": false}`."""
    body = query.json()
    _only(body, "on")
    if not isinstance(body.get("on"), bool):
        wrong = "on is neither true nor false" if "on" in body else "on is missing"
        raise ControlError(400, wrong, '{"on": true} or {"on": false}')
    where = _chaos(control, query)
    _known(lambda: where.switch(query.rest, on=body["on"]))
    control.changed()
    return RouteAnswer(200, {"name": query.rest, "on": body["on"]})


def remove_overlay(control: Control, query: Query) -> RouteAnswer:
    """Take an overlay away that was added at run time."""
    where = _chaos(control, query)
    _known(lambda: where.remove(query.rest))
    control.changed()
    return RouteAnswer(200, {"removed": query.rest})


def _chaos(control: Control, query: Query) -> Overlays:
    if "session" in query.query or "x-mock-session" in query.headers:
        return Overlays(control.engine, control.session(query))
    return Overlays(control.engine)


def _faults() -> list[Mapping[str, Any]]:
    """Every fault: what it does, whether it takes a place (`after`), and the keys it cannot do without."""
    return [
        {
            "type": name,
            "summary": (fault.__doc__ or "").split("\n")[0],
            "after": any(one.name == "after" for one in fields(fault)),
            "needs": [
                *(one.metadata.get("key", one.name) for one in fields(fault) if is_needed(one)),
                *getattr(fault, "needs", ()),
            ],
        }
        for name, fault in FAULTS.items()
    ]


def _known(act: Callable[[], _T]) -> _T:
    try:
        return act()
    except LookupError as error:
        raise ControlError(404, str(error), "GET /_mock/chaos lists them; those of files can be switched off") from None


def _only(body: Mapping[str, Any], *keys: str) -> None:
    unknown = set(body) - set(keys)
    if unknown:
        raise ControlError(400, f"unknown key '{min(unknown)}'", ", ".join(keys))


# -- trying out: nothing is counted or noted -------------------------------------------------------------------------


def previewed(control: Control, query: Query) -> RouteAnswer:
    """What a scenario (`scenario`: a name, or `yaml`) sends: events with their times; of a `request` its answer."""
    session, body = control.session(query), query.json()
    request = _object(body, "request")
    scenarios = _meant(control.engine, session, body)
    exchanges = [
        one
        for scenario in scenarios
        for one in preview(
            control.engine, session.in_force, scenario, request, _headers(body), waits=query.data is not None
        )
    ]
    return RouteAnswer(200, {"scenario": scenarios[0].name, "exchanges": [one.as_json() for one in exchanges]})


def explained(control: Control, query: Query) -> RouteAnswer:
    """Which scenario answers a `request` (with these `headers`, to this `endpoint`) and why; or what came near."""
    session, body = control.session(query), query.json()
    request, endpoint = _object(body, "request"), body.get("endpoint", "messages")
    if endpoint not in TARGETS:
        expected = one_of(str(endpoint), TARGETS).removeprefix("; ")
        raise ControlError(400, f"no endpoint is called {endpoint!r}", expected)
    if request is None and endpoint in PROMPT_ENDPOINTS:
        raise ControlError(400, "request is missing", "the JSON body of a request to the API")
    headers = {"anthropic-version": session.in_force.profile.default_version, **_headers(body)}
    return RouteAnswer(200, explain(control.engine, session, request_to(endpoint, request or {}, headers)).as_json())


def file_schema(control: Control, query: Query) -> RouteAnswer:
    """The JSON Schema of scenario files, for editors."""
    from mock_server.scenario.schema import schema  # made when first asked for: a server starts without it

    return RouteAnswer(200, schema())


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise ControlError(400, f"{name} is not an object", "the JSON body of a request to the API")
    return value


def _headers(body: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): str(text) for name, text in (_object(body, "headers") or {}).items()}


def _meant(engine: Engine, session: Session, body: Mapping[str, Any]) -> tuple[Scenario, ...]:
    """The scenarios of a text, or the one of a name. Raises ControlError."""
    if isinstance(body.get("yaml"), str):
        try:
            return loads(body["yaml"], "<preview>")
        except ScenarioError as error:
            problems = [str(one) for one in error.problems]
            raise ControlError(422, problems[0], "mend the scenario", problems=problems) from None
    name = body.get("scenario")
    if not isinstance(name, str):
        raise ControlError(400, "neither scenario nor yaml", "the name of a scenario, or the text of one")
    known = engine.library(session).by_name
    if name not in known:
        raise _no_scenario(name, known)
    return (known[name],)

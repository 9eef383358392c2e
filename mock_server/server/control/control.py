"""The functions behind the routes of the control API. Each takes a Query and gives a Plan, or raises ControlError."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mock_server import version
from mock_server.clock import Clock
from mock_server.engine import verify
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.journal import Incomplete
from mock_server.engine.masking import masked
from mock_server.engine.session import Session
from mock_server.scenario.dump import written
from mock_server.scenario.load import build, loads
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import ScenarioError, suggestion
from mock_server.server.control import views
from mock_server.server.control.answers import Answer, ControlError, Query, as_json, as_text
from mock_server.settings import SettingError

log = logging.getLogger("mock_server")
MAX_PAGE = 1000


class Control:
    """The control API of one server. `load_error` is what the last reload found wrong, if anything."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self._clock = clock
        self._started = clock.now()
        self._load_error: ScenarioError | None = None
        self.changed: Callable[[], None] = lambda: None

    @property
    def load_error(self) -> ScenarioError | None:
        return self._load_error

    @load_error.setter
    def load_error(self, error: ScenarioError | None) -> None:
        self._load_error = error
        self.changed()

    def _problems(self) -> list[str] | None:
        return None if self._load_error is None else [str(problem) for problem in self._load_error.problems]

    # -- the server ------------------------------------------------------------------------------------------------

    def health(self, asked: Query) -> Answer:
        """`status` is `ok`, or `degraded` (503) while a broken edit keeps the last good scenarios in force."""
        problems = self._problems()
        state: dict[str, Any] = {
            "status": "ok" if problems is None else "degraded",
            "version": version.VERSION,
            "profile": self.engine.profile.name,
            "scenarios": self.engine.scenarios,
            "uptime_seconds": round(self._clock.now() - self._started, 3),
        }
        if problems is None:
            return as_json(200, state)
        return as_json(503, {**state, "load_error": problems})

    def ready(self, asked: Query) -> Answer:
        """200 once requests are answered, whatever the scenarios are like."""
        return as_json(200, {"ready": True})

    def metrics(self, asked: Query) -> Answer:
        """Counts in the text format of Prometheus."""
        sessions = tuple(self.engine.sessions.all())
        gauges = {
            "mock_server_open_streams": ("replies under way", float(sum(one.journal.open for one in sessions))),
            "mock_server_sessions": ("sessions", float(len(sessions))),
            "mock_server_scenarios": ("scenarios served to everybody", float(self.engine.scenarios)),
            "mock_server_journal_bytes": ("what the journals hold", float(self.engine.journals.bytes)),
        }
        return as_text(200, self.engine.metrics.text(gauges), "text/plain; version=0.0.4; charset=utf-8")

    # -- scenarios -------------------------------------------------------------------------------------------------

    def scenarios(self, asked: Query) -> Answer:
        """What is served, in order of precedence; with `session`, what that session is answered from."""
        listed = [views.scenario_view(one, owner, self._calls(one, asked)) for one, owner in self._listed(asked)]
        return as_json(200, {"scenarios": listed, "load_error": self._problems()})

    def scenario(self, asked: Query) -> Answer:
        """One scenario with its source."""
        one, owner = self._find(asked)
        view = views.scenario_view(one, owner, self._calls(one, asked))
        return as_json(200, {**view, "yaml": written(one).rstrip()})

    def add(self, asked: Query) -> Answer:
        """Add scenarios, as YAML or JSON, to one session (without `session`: to the default one)."""
        session = self.session(asked)
        added = self.read(asked)
        for one in added:
            if not one.name:
                raise ControlError(422, "a scenario without a name", "give it a name")
        self.engine.add(session, *added)
        self.changed()
        return as_json(201, {"added": [one.name for one in added]})

    def put(self, asked: Query) -> Answer:
        """Add or replace the scenario of this name."""
        found = self.read(asked, asked.rest)
        if len(found) != 1 or found[0].name != asked.rest:
            raise ControlError(422, f"the body is not one scenario named '{asked.rest}'", "name and path must agree")
        self.engine.add(self.session(asked), *found)
        self.changed()
        return as_json(200, {"added": [asked.rest]})

    def remove(self, asked: Query) -> Answer:
        """Take a scenario away that was added at run time."""
        session = self.session(asked)
        if not session.remove(asked.rest):
            if any(one.name == asked.rest for one in self.engine.served):
                raise ControlError(409, f"'{asked.rest}' comes from a file", "delete it there; --reload sees that")
            raise self._unknown_scenario(asked.rest, [one.scenario.name for one in session.scenarios])
        self.changed()
        return as_json(200, {"removed": asked.rest})

    def read(self, asked: Query, name: str | None = None) -> Sequence[Scenario]:
        try:
            if "json" in asked.headers.get("content-type", ""):
                data = asked.json()
                fallback = name or self.session(asked).new_name()
                return [build({"name": fallback, **data}, "request")]
            return loads(asked.body.decode("utf-8"), "request")
        except UnicodeDecodeError:
            raise ControlError(400, "the body is not UTF-8", "send YAML, or JSON with content-type json") from None
        except ScenarioError as error:
            problems = [str(problem) for problem in error.problems]
            raise ControlError(422, problems[0], "mend the scenario; nothing was added", problems=problems) from None

    def _listed(self, asked: Query) -> Iterator[tuple[Scenario, Session | None]]:
        sessions: Iterable[Session] = self.engine.sessions.all()
        if "session" in asked.query:
            sessions = [self.session(asked)]
        for session in sessions:
            for one in session.scenarios:
                yield one.scenario, session
        for scenario in self.engine.served:
            yield scenario, None

    def _calls(self, scenario: Scenario, asked: Query) -> int:
        sessions = [self.session(asked)] if "session" in asked.query else self.engine.sessions.all()
        return sum(session.journal.played(scenario.name) for session in sessions)

    def _find(self, asked: Query) -> tuple[Scenario, Session | None]:
        known = list(self._listed(asked))
        for scenario, owner in known:
            if scenario.name == asked.rest:
                return scenario, owner
        raise self._unknown_scenario(asked.rest, [scenario.name for scenario, _ in known])

    @staticmethod
    def _unknown_scenario(name: str, known: Sequence[str]) -> ControlError:
        close = suggestion(name, known).removeprefix("; ")
        return ControlError(404, f"no scenario '{name}'", close or "GET /_mock/scenarios lists them")

    # -- the journal -----------------------------------------------------------------------------------------------

    def journal(self, asked: Query) -> Answer:
        """Entries, newest first: `before` and `after` are numbers, `next` is the `before` of the following page."""
        limit = asked.number("limit", 100, 1, MAX_PAGE) or 100
        before, after = asked.number("before", None), asked.number("after", 0) or 0
        found: list[tuple[Entry, Session]] = []
        for entry, session in self._entries(asked):
            if entry.number <= after:
                break
            if (before is None or entry.number < before) and _passes(entry, asked.query):
                found.append((entry, session))
                if len(found) > limit:
                    break
        page, more = found[:limit], len(found) > limit
        sessions = list(self._sessions(asked))
        return as_json(
            200,
            {
                "entries": [views.summary(entry, session.name) for entry, session in page],
                "next": page[-1][0].number if more else None,
                "total": sum(session.journal.total for session in sessions),
                "dropped": sum(session.journal.dropped for session in sessions),
            },
        )

    def entry(self, asked: Query) -> Answer:
        """One entry with everything that is known of it. Of a body that is too large to be shown, only how it begins;
        with `whole=true` all of it, as text.
        """
        number = int(asked.rest) if asked.rest.isdecimal() and len(asked.rest) < 16 else -1
        for entry, session in self._entries(asked):
            if entry.number == number:
                asks = entry.unmatched and not views.is_large(entry)
                near = self.engine.explain(session, entry.request) if asks else ()
                whole = asked.query.get("whole") == "true"
                return as_json(200, views.detail(entry, session.name, near, whole=whole), mask=True)
        raise ControlError(
            404, f"no entry {asked.rest}", "it may have left the ring; GET /_mock/journal lists what is held"
        )

    def clear(self, asked: Query) -> Answer:
        """Forget the entries of one session, or of all."""
        cleared = 0
        for session in self._sessions(asked):
            cleared += len(session.journal)
            self.engine.journals.forget(session.journal)
            session.journal.clear()
        self.changed()
        return as_json(200, {"cleared": cleared})

    def counts(self, asked: Query) -> Answer:
        """The exact counts of one session's journal, also of what the ring has dropped."""
        session = self.session(asked)
        return as_json(200, views.counts(session, self.engine.journals.total - session.journal.total))

    def _entries(self, asked: Query) -> Iterator[tuple[Entry, Session]]:
        held = [(entry, session) for session in self._sessions(asked) for entry in session.journal.entries()]
        yield from sorted(held, key=lambda pair: -pair[0].number)

    def _sessions(self, asked: Query) -> Iterable[Session]:
        if "session" not in asked.query:
            return (*self.engine.sessions.all(), self.engine.ended)
        return (self.session(asked),)

    def verify(self, asked: Query) -> Answer:
        """Whether so many requests came (times, when, scenario), in this order (sequence), all used or expected."""
        session, said = self.session(asked), asked.json()
        unknown = set(said) - {"times", "when", "scenario", "sequence", "all_used", "expected"}
        if unknown:
            raise ControlError(
                400, f"unknown key '{min(unknown)}'", "times, when, scenario, sequence, all_used or expected"
            )
        try:
            text = _verified(session, said)
        except ScenarioError as error:
            raise ControlError(422, str(error), "conditions are written as `when` in a scenario") from None
        except Incomplete as error:
            raise ControlError(409, str(error), "raise --journal-entries") from None
        return as_json(200, {"ok": text is None, "explanation": text or ""})

    # -- sessions --------------------------------------------------------------------------------------------------

    def sessions(self, asked: Query) -> Answer:
        """Every session with its counts and settings."""
        listed = [views.session_view(one, self.engine) for one in self.engine.sessions.all()]
        return as_json(200, {"sessions": listed})

    def open_session(self, asked: Query) -> Answer:
        """Make a session: `name`, `key` to claim for it, `default` to give it all other clients, `settings`."""
        said = asked.json()
        name, key = said.get("name"), said.get("key")
        if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable():
            raise ControlError(400, "name is missing or no name", "1 to 200 printable characters")
        if key is not None and (not isinstance(key, str) or not key.isascii() or not key.isprintable() or not key):
            raise ControlError(400, "key is no API key", "printable ASCII text")
        if key is not None and self.engine.sessions.is_closed(key):
            raise ControlError(409, "this key belongs to a session that has ended", "take another key")
        settings = said.get("settings", {})
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
        if said.get("default"):
            self.engine.sessions.default = session
        return as_json(201, views.session_view(session, self.engine))

    def close_session(self, asked: Query) -> Answer:
        """End a session: its streams, its keys (refused from now on), its journal."""
        session = self._known(asked.rest)
        if session is None or session is self.engine.sessions.first:
            raise ControlError(404, f"no session '{asked.rest}' to end", "GET /_mock/sessions lists them")
        cut = session.journal.open
        keys = self.engine.sessions.keys_of(session.name)
        for key in keys:
            self.engine.close(key)
        if not keys:
            session.journal.cut_open()
            self.engine.sessions.drop(session.name)
        self.changed()
        return as_json(200, {"ended": asked.rest, "cut": cut})

    def reset(self, asked: Query) -> Answer:
        """Forget what one session added, counted and noted; `all=true` for every session."""
        if "session" not in asked.query and asked.query.get("all") != "true":
            raise ControlError(400, "reset of what?", "session=NAME, or all=true on a server that nobody shares")
        sessions = self.engine.sessions.all() if "session" not in asked.query else [self.session(asked)]
        for session in sessions:
            self.engine.reset(session)
        self.changed()
        return as_json(200, {"reset": [session.name for session in sessions]})

    def _known(self, name: str) -> Session | None:
        """The session of this name, or whose name is a secret for which this stands."""
        alike = (one for one in self.engine.sessions.all() if masked(one.name) == name)
        return self.engine.sessions.find(name) or next(alike, None)

    def session(self, asked: Query) -> Session:
        """The session a query names; the default one when it names none."""
        name = asked.query.get("session") or asked.headers.get("x-mock-session")
        if not name:
            return self.engine.sessions.first
        session = self._known(name)
        if session is None:
            known = [one.name for one in self.engine.sessions.all()]
            hint = suggestion(name, known).removeprefix("; ") or "GET /_mock/sessions lists them"
            raise ControlError(404, f"no session '{name}'", hint)
        return session


def _passes(entry: Entry, query: Mapping[str, str]) -> bool:
    """Whether an entry is one that the filters of a query ask for."""
    if (scenario := query.get("scenario")) and entry.scenario != scenario:
        return False
    if outcome := query.get("outcome"):
        is_it = entry.unmatched if outcome == "unmatched" else outcome == ("open" if entry.is_open else entry.outcome)
        if not is_it:
            return False
    text = query.get("text", "").lower().encode()
    return not text or text in entry.request.raw.lower() or (not entry.is_open and text in entry.plan.body().lower())


def _verified(session: Session, said: Mapping[str, Any]) -> str | None:
    """None when it is so, else why it is not."""
    journal = session.journal
    if "sequence" in said:
        if not isinstance(said["sequence"], list):
            raise ControlError(400, "sequence is not a list", "names of scenarios and conditions")
        return verify.out_of_sequence(journal, said["sequence"], 0)
    if said.get("all_used"):
        lines = verify.unused(journal, [one.scenario for one in reversed(session.scenarios)])
        return "\n".join(["never played:", *lines, verify.journal_text(journal)]) if lines else None
    if said.get("expected"):
        return verify.unexpected_text(journal) if journal.unexpected else None
    times, when, scenario = said.get("times"), said.get("when"), said.get("scenario")
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 0):
        raise ControlError(400, "times is not a number", "0 or more, or leave it out for at least one")
    if scenario is not None and not isinstance(scenario, str):
        raise ControlError(400, "scenario is not a name", "the name of a scenario")
    got = verify.count(journal, when, scenario)
    if got >= 1 if times is None else got == times:
        return None
    return verify.not_called(journal, got, times, when, scenario, 0)

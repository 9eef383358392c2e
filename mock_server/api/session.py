"""The verbs of a session: what it answers, what came, what a test asserts; and what it controls meanwhile: clock,
gates, overlays.

The words are those of the YAML: `add("Hi", when={"prompt": "hello"})` is a scenario with `reply` and `when`.
"""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mock_server.api.builders import Faults, Gates, Reply, ReplyFunction, ScenarioKeys, Timing, present
from mock_server.api.controls import ClockControls, GateControls, OverlayControls, Refused, StateControls, known_states
from mock_server.engine import verify
from mock_server.engine.entry import Entry
from mock_server.engine.journal import Incomplete, Journal
from mock_server.scenario.load import build, files, is_name, library, load, same_names
from mock_server.scenario.model import Scenario, without_name
from mock_server.scenario.node import Problem, ScenarioError, one_of, several, suggestion
from mock_server.settings import SessionSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack

Answers = Reply | ReplyFunction
_PACKAGE = str(Path(__file__).parent.parent)


class Route:
    """A scenario that a test added, and what came of it."""

    def __init__(self, owner: "Verbs", name: str) -> None:
        self._owner = owner
        self.name = name
        self._since = owner._last_number()
        self._before = owner.journal.played(name)

    @property
    def call_count(self) -> int:
        """How many requests it answered: exact, also when the journal has dropped some."""
        return self._owner.journal.played(self.name) - self._before

    @property
    def called(self) -> bool:
        """Whether it answered a request."""
        return self.call_count > 0

    @property
    def calls(self) -> Sequence[Entry]:
        """The exchanges it answered, oldest first. Raises Incomplete when the journal has dropped one of them."""
        entries = verify.matching(self._owner.journal, None, self.name, self._since)
        if len(entries) < self.call_count:
            raise Incomplete(
                f"the journal has dropped {self.call_count - len(entries)} of the {several(self.call_count, 'call')}"
            )
        return entries

    def remove(self) -> None:
        """Answer with it no more. Removing twice is removing once."""
        self._owner._remove(self.name)

    def __repr__(self) -> str:
        return f"<Route '{self.name}', {several(self.call_count, 'call')}>"


class Verbs(ABC):
    """A session of a server as a test uses it."""

    # -- where it is -------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def url(self) -> str:
        """The base URL for a client."""

    @property
    @abstractmethod
    def api_key(self) -> str:
        """The key that clients of this session send."""

    @property
    def env(self) -> Mapping[str, str]:
        """The environment variables that point SDKs and agents here."""
        pairs = {"BASE_URL": self.url, "API_KEY": self.api_key}
        return {f"{prefix}_{name}": value for prefix in ("ANTHROPIC", "OCTEN") for name, value in pairs.items()}

    # -- what it answers ---------------------------------------------------------------------------------------

    def add(
        self,
        reply: Answers | None = None,
        *,
        when: Mapping[str, Any] | None = None,
        name: str | None = None,
        turns: Sequence[Answers] | None = None,
        attempts: Sequence[Answers] | None = None,
        times: int | None = None,
        priority: int | None = None,
        timing: Timing | None = None,
        anchor: Literal["prompt", "conversation", "session"] | None = None,
        at_end: Literal["pass", "repeat", "loop", "error"] | None = None,
        fault: Faults | None = None,
        gate: Gates | None = None,
        contradicts: bool | None = None,
        **more: "Unpack[ScenarioKeys]",
    ) -> Route:
        """Answer with `reply` from now on: a text, a block, a list of them, an answer, or a function that gives one.

        `fault` is what goes wrong with it, `gate` where it is held; without any reply they are laid over the replies of
        others. `contradicts`: the reply is meant to contradict its request.
        The other keys are those of a scenario in YAML. What is added last is asked first. A reply answers every
        request that matches, one with a `tool_use` only the first of an exchange (`at_end="repeat"`: all of them).
        Raises ScenarioError with every mistake, at the line of the call.
        """
        __tracebackhide__ = True
        keys = {
            "when": when,
            "name": name,
            "turns": None if turns is None else list(turns),
            "attempts": None if attempts is None else list(attempts),
            "times": times,
            "priority": priority,
            "timing": timing,
            "anchor": anchor,
            "at_end": at_end,
            "fault": fault,
            "gate": gate,
            "contradicts": contradicts,
        }
        data = present(keys) | dict(more)
        return self._add({**_answer(reply), **data})

    def script(self, *replies: Answers, when: Mapping[str, Any] | None = None, name: str | None = None) -> Route:
        """Answer independent calls in order, one each; the same request again (a retry) keeps its reply.

        After an error, or a reply whose own fault kept it from coming whole, the next call, retry or not, gets the
        next reply.
        """
        __tracebackhide__ = True
        return self.add(turns=_some("script", replies), anchor="session", when=when, name=name)

    def conversation(self, *replies: Answers, when: Mapping[str, Any] | None = None, name: str | None = None) -> Route:
        """Answer the turns of a conversation that grows from call to call: the position is read from the messages."""
        __tracebackhide__ = True
        return self.add(turns=_some("conversation", replies), anchor="conversation", when=when, name=name)

    def load(self, *what: str | Path) -> Sequence[Route]:
        """Add scenarios from files and folders, or by name from the library; those by name answer every request.

        They keep their order among themselves, and are asked before all that was added earlier. Raises ScenarioError.
        """
        __tracebackhide__ = True
        found: list[Scenario] = []
        for one in what:
            found += _named(str(one)) if is_name(one) else load([one])
        if twice := same_names(found):
            raise ScenarioError(twice)
        routes = [Route(self, scenario.name) for scenario in found]
        self._put(*found)
        return routes

    def reset(self) -> None:
        """Forget what this session added, counted and noted."""
        self._ask("POST", "reset", session=self._name)

    @abstractmethod
    def override(self, **settings: "Unpack[SessionSettings]") -> None:
        """Give this session settings of its own: profile, seed, time_scale, unmatched, … Raises SettingError."""

    def _add(self, data: Mapping[str, Any]) -> Route:
        __tracebackhide__ = True
        named = data if "name" in data else {"name": self._new_name(), **data}
        scenario = build(named, _caller(), known_states(self._ask, self._name, data))
        route = Route(self, scenario.name)
        self._put(scenario)
        return route

    @abstractmethod
    def _new_name(self) -> str:
        """A name for a scenario that was given none."""

    @abstractmethod
    def _put(self, *scenarios: Scenario) -> None:
        """Put scenarios before all others, in their order."""

    @abstractmethod
    def _remove(self, name: str) -> None: ...

    @abstractmethod
    def _last_number(self) -> int:
        """The number of the newest entry of the whole server."""

    @property
    @abstractmethod
    def _own(self) -> Sequence[Scenario]:
        """The scenarios this session has added, in order of precedence."""

    # -- what is turned meanwhile ------------------------------------------------------------------------------

    @property
    def clock(self) -> ClockControls:
        """The clock of this session: real until it is frozen or advanced."""
        return ClockControls(self._ask, self._name)

    @property
    def gates(self) -> GateControls:
        """The gates that hold replies of this session."""
        return GateControls(self._ask, self._name)

    @property
    def states(self) -> StateControls:
        """The states of this session: `states["service"] = "down"`."""
        return StateControls(self._ask, self._name)

    @property
    def chaos(self) -> OverlayControls:
        """Overlays: faults laid over replies, of this session or (on a server) of all."""
        return OverlayControls(self._ask, self._overlaid)

    @property
    @abstractmethod
    def _name(self) -> str:
        """The name of the session in the control API."""

    @property
    def _overlaid(self) -> str | None:
        """The session whose overlays `chaos` means; None: those of the whole server."""
        return self._name

    @abstractmethod
    def _ask(self, method: str, path: str, body: Mapping[str, Any] | Sequence[Any] | None = None, **query: Any) -> Any:
        """The answer of the control API, in this process or over HTTP. Raises Refused."""

    # -- what came ---------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def journal(self) -> Journal:
        """The exchanges of this session, oldest first."""

    @property
    @abstractmethod
    def elsewhere(self) -> int:
        """How many requests came to the server under other keys since this session began."""

    def explain(
        self, request: Mapping[str, Any], headers: Mapping[str, str] | None = None, *, endpoint: str = "messages"
    ) -> Mapping[str, Any]:
        """Which scenario answers this request body, which turn of it and why, or what came near; nothing is noted.

        `endpoint`: where it goes, by the name that `when: {endpoint: …}` has for it, such as `count_tokens`.
        Keys: matched, scenario, turn, attempt, conditions, captures, differences, near_misses, error, text.
        """
        body = {"request": dict(request), "headers": dict(headers or {}), "endpoint": endpoint}
        found: Mapping[str, Any] = self._ask("POST", "explain", body, session=self._name)
        return found

    def preview(self, scenario: str, request: Mapping[str, Any] | None = None) -> Sequence[Mapping[str, Any]]:
        """What a scenario (by name, or its YAML text) sends, exchange by exchange; of a request only its answer.

        Keys of each: scenario, turn, attempt, request, status, stream, headers, frames (at_ms, text), reply, note.
        Raises ScenarioError.
        """
        meant = {"yaml" if "\n" in scenario else "scenario": scenario, "request": request}
        try:
            found = self._ask("POST", "preview", meant, session=self._name)
        except Refused as error:
            if error.status not in (404, 422):
                raise
            texts = error.problems or (str(error),)
            raise ScenarioError([Problem("preview()", None, text) for text in texts]) from None
        exchanges: Sequence[Mapping[str, Any]] = found["exchanges"]
        return exchanges

    def assert_called(
        self,
        times: int | None = None,
        *,
        when: Mapping[str, Any] | None = None,
        scenario: "str | Route | None" = None,
    ) -> None:
        """So many requests came (None: at least one), with this condition and answered by this scenario."""
        __tracebackhide__ = True
        name = scenario.name if isinstance(scenario, Route) else scenario
        if isinstance(scenario, str) and not self.journal.played(scenario):
            known = [one["name"] for one in self._ask("GET", "scenarios", session=self._name)["scenarios"]]
            if scenario not in known:  # one that is misspelt was never called: that proves nothing
                raise AssertionError(f"no scenario is named '{scenario}'{suggestion(scenario, known)}")
        _assert(verify.not_called(self.journal, times, when, name, self.elsewhere))

    def assert_not_called(self, *, when: Mapping[str, Any] | None = None) -> None:
        """No request came (with this condition)."""
        __tracebackhide__ = True
        self.assert_called(0, when=when)

    def assert_all_used(self) -> None:
        """Every turn of every scenario that this session added was played."""
        __tracebackhide__ = True
        _assert(verify.never_played(self.journal, self._own, self.elsewhere))

    def assert_sequence(self, *steps: "str | Route | Mapping[str, Any]") -> None:
        """Requests came in this order, others may lie between: each step a scenario (or its route) or a condition."""
        __tracebackhide__ = True
        named = [step.name if isinstance(step, Route) else step for step in steps]
        _assert(verify.out_of_sequence(self.journal, named, self.elsewhere))

    def assert_expected(self) -> None:
        """Every request was as the `expect:` of its script says."""
        __tracebackhide__ = True
        _assert(verify.unexpected_text(self.journal) if self.journal.unexpected else None)

    def assert_no_contradictions(self) -> None:
        """No scripted reply contradicted its request (under `contradictions: error`, as tests have it)."""
        __tracebackhide__ = True
        _assert(verify.contradicted_text(self.journal) if self.journal.contradicted else None)

    def assert_no_unmatched(self) -> None:
        """Some scenario answered every valid request."""
        __tracebackhide__ = True
        _assert(verify.unmatched_text(self.journal) if self.journal.unmatched else None)


def _assert(wrong: str | None) -> None:
    """Fail with what is wrong, if anything."""
    __tracebackhide__ = True
    if wrong is not None:
        raise AssertionError(wrong)


def _some(builder: str, replies: Sequence[Any]) -> Sequence[Any]:
    if not replies:
        raise ScenarioError([Problem(f"{builder}()", None, f'no reply is given; for example {builder}("one", "two")')])
    return replies


def _answer(reply: Any) -> Mapping[str, Any]:
    """The keys of a scenario that a reply stands for."""
    if reply is None:
        return {}
    return reply if isinstance(reply, Mapping) and "type" not in reply else {"reply": reply}


def _caller() -> str:
    """Where the test called us, as file:line."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename.removeprefix(os.getcwd() + os.sep)}:{frame.f_lineno}"


def _named(name: str) -> Sequence[Scenario]:
    """A scenario of the library, made to answer without being named."""
    known = {file.stem: file for file in files([library()])}
    if name not in known:
        text = f"no scenario '{name}'{one_of(name, known, '; or a path, such as scenarios/mine.yaml')}"
        raise ScenarioError([Problem("load()", None, text)])
    return [without_name(one) for one in load([known[name]])]

"""`mock-server check`: every mistake in scenario files, replies that differ as JSON and as a stream, and notes on what
may not be what was meant."""

import argparse
import json
import logging
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from mock_server.commands.shared import engine_of
from mock_server.engine.engine import Engine
from mock_server.engine.preview import Previewed, preview
from mock_server.protocol.errors import excerpt
from mock_server.protocol.profile import Family
from mock_server.scenario.answer import ANSWER_KEYS, Answer
from mock_server.scenario.load import Loader, library
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import Node, Position, Problem, Problems, ScenarioError, several, suggestion
from mock_server.scenario.operators import glob, read_name
from mock_server.scenario.profiles import built_in, load_profile
from mock_server.scenario.subjects import MESSAGE_ENDPOINTS
from mock_server.scenario.templates import NAMES
from mock_server.settings import Settings

# -- answers that no request can get ----------------------------------------------------------------------------------


def unreachable(scenario: Scenario) -> Iterator[Problem]:
    """Cases that an earlier case with the same or a wider condition always wins over."""
    source = _source(scenario)
    turns = scenario.data.value.get("turns") if scenario.data is not None else None
    holders = turns.value if turns is not None and isinstance(turns.value, list) else [scenario.data]
    for turn in holders:
        cases = turn.value.get("cases") if isinstance(turn, Node) and isinstance(turn.value, dict) else None
        if cases is not None and isinstance(cases.value, list):
            yield from _hidden(source, cases.value)


def _hidden(source: str, cases: list[Node]) -> Iterator[Problem]:
    before = _Wider()
    for number, case in enumerate(cases, 1):
        when = case.value.get("when") if isinstance(case.value, dict) else None
        if when is None or not isinstance(when.value, dict):
            continue
        own = _parts_of(when)
        wider = min(before.those_of(own), default=None)
        if wider is not None:
            text = f"this case can never be reached: case {wider} holds whenever it does"
            yield Problem(source, case.position or Position(1, 1), text)
        elif "chance" not in case.value:  # what one that is hidden would hide is hidden by the same
            before.add(number, own)


def _parts_of(when: Node) -> frozenset[str]:
    """The conditions of a mapping, each as text: equal ones are the same."""
    return frozenset([json.dumps([key, value.plain()], sort_keys=True) for key, value in when.value.items()])


class _Wider:
    """Conditions by one of their parts: those that are wider than another one have it in common with it."""

    def __init__(self) -> None:
        self._by_part: dict[str, list[tuple[int, frozenset[str]]]] = {}

    def add(self, number: int, parts: frozenset[str]) -> None:
        """Under the part that fewest others stand under."""
        first = min(parts, key=lambda part: (len(self._by_part.get(part, ())), part), default="")
        self._by_part.setdefault(first, []).append((number, parts))

    def those_of(self, parts: frozenset[str]) -> Iterator[int]:
        """The numbers of those whose every part is among these."""
        for part in ("", *parts):
            for number, wider in self._by_part.get(part, ()):
                if wider <= parts:
                    yield number


# -- notes: what loads and works, and still may not be what its author meant ------------------------------------------


def notes(scenarios: Sequence[Scenario], settings: Settings) -> Iterator[Problem]:
    """What to look at in scenarios that load: order, templates, models, tools, attempts. Silent about those that only
    answer by name."""
    answering = [one for one in scenarios if not (one.named_only or one.is_overlay)]
    yield from _shadowed(answering)
    yield from _not_served(scenarios, settings)
    models = _Models(settings)
    for scenario in answering:
        source = _source(scenario)
        for at, text in (
            *_unfilled(scenario.data, ""),
            *_of_models(scenario.data, models),
            *_of_tools(scenario),
            *_of_attempts(scenario),
        ):
            yield Problem(source, at.position if isinstance(at, Node) else at, text)


def _not_served(scenarios: Sequence[Scenario], settings: Settings) -> Iterator[Problem]:
    """A scenario for endpoints of which the profile has none."""
    profile = engine_of(settings, ()).profile
    for scenario in scenarios:
        missing = {name for name in scenario.endpoints if not profile.serves(_family(name))}
        if missing and scenario.endpoints is not MESSAGE_ENDPOINTS:  # it names them
            listed = ", ".join(sorted(missing))
            text = f"profile {profile.name} has no {listed}: no request that comes there reaches '{scenario.name}'"
            yield Problem(_source(scenario), scenario.data.find(("when", "endpoint")) or scenario.data.position, text)


def _family(endpoint: str) -> Family | None:
    return next((one for one in get_args(Family) if one == endpoint.partition(".")[0]), None)


def _source(scenario: Scenario) -> str:
    return scenario.source.rpartition(":")[0]


def _line(scenario: Scenario, beside: Scenario) -> str:
    """Where a scenario stands, in a note on another one."""
    source, _, line = scenario.source.rpartition(":")
    return f"line {line}" if source == _source(beside) else f"{source}:{line}"


def _shadowed(scenarios: Sequence[Scenario]) -> Iterator[Problem]:
    """A scenario that answers every request that those behind it would."""
    first_of: dict[str, Scenario] = {}
    for one in scenarios:
        if not one.is_side_call:
            first_of.setdefault(one.name, one)
    ordered = sorted(first_of.values(), key=lambda one: -one.priority)
    for at, listed in sorted(_hidden_by(ordered).items()):
        first, hidden = ordered[at], [ordered[one] for one in listed]
        named = ", ".join(f"'{one.name}' ({_line(one, first)})" for one in hidden[:3])
        more = f" and {len(hidden) - 3} more" if len(hidden) > 3 else ""
        who, verb = (f"'{hidden[0].name}'", "is") if len(hidden) == 1 else ("they", "are")
        what = "every request" if first.when is None else f"every request that {who} would"
        text = f"'{first.name}' answers {what}, so {named}{more} {verb} never asked; put '{first.name}' last"
        position = first.data.find(("when",)) if first.when is not None else first.data.position
        yield Problem(_source(first), position, text)


def _always_answers(scenario: Scenario) -> bool:
    """Whether it answers whenever its `when` holds: every time, at every position, in some case."""
    if scenario.times is not None or scenario.at_end not in ("repeat", "loop"):
        return False
    return all(
        turn.cases is None or (turn.cases[-1].when is None and turn.cases[-1].chance is None) for turn in scenario.turns
    )


def _hidden_by(ordered: Sequence[Scenario]) -> dict[int, list[int]]:
    """The places of scenarios that always answer -> those of the scenarios behind each that it hides."""
    found: dict[int, list[int]] = {}
    before = _Wider()
    for at, one in enumerate(ordered):
        parts = _parts_in(one)
        wider = before.those_of(frozenset() if parts is None else parts)
        covering = (
            place
            for place in wider
            if one.endpoints <= ordered[place].endpoints
            and (ordered[place].when is None or (parts is not None and one.anchored_at == ordered[place].anchored_at))
        )
        first = min(covering, default=None)
        if first is not None:
            found.setdefault(first, []).append(at)
        elif _always_answers(one) and (one.when is None or parts is not None):
            before.add(at, frozenset() if parts is None else parts)
    return found


def _parts_in(scenario: Scenario) -> frozenset[str] | None:
    """The conditions of a scenario; None where it has none, or has not written them as a mapping."""
    when = scenario.data.value.get("when")
    return _parts_of(when) if when is not None and isinstance(when.value, dict) else None


_Found = tuple[Node | Position | None, str]
_PLACE = re.compile(r"\{\{[-+]?\s*(?P<name>[A-Za-z_]\w*)[^{}]*\}\}")
_CURLY = re.compile("[\u201c\u201e\u2018].*[\u201d\u2019\u201c]", re.DOTALL)
_NO_TEXT = ("template", "when", "expect", "input", "input_json", "description", "name", "headers", "signature")


def _unfilled(node: Node, key: str) -> Iterator[_Found]:
    """Places of a template in a text that is none."""
    if isinstance(node.value, dict):
        for name, item in node.value.items():
            if name not in _NO_TEXT:
                yield from _unfilled(item, name)
    elif isinstance(node.value, list):
        for item in node.value:
            yield from _unfilled(item, key)
    elif isinstance(node.value, str) and _CURLY.fullmatch(node.value):
        yield node, f"the curly quotes are part of the text: {excerpt(node.value, 40)}; write straight ones, or none"
    elif isinstance(node.value, str) and (found := _PLACE.search(node.value)) is not None:
        whole = excerpt(node.value, 40)
        close = suggestion(found["name"], NAMES) if found["name"] not in NAMES else ""
        yield node, f"{found[0]} is sent as it stands; to have it filled in write {{template: {whole!r}}}{close}"


class _Models:
    """The models of the profiles that there are: that of the settings first, the others where it has none that fits."""

    def __init__(self, settings: Settings) -> None:
        self.any_model = settings.any_model
        self.profiles = tuple(dict.fromkeys((settings.profile, *built_in())))
        self._known: dict[str, frozenset[str]] = {}

    def fit(self, test: Callable[[str], bool]) -> bool:
        """Whether any of them is called so."""
        return any(test(name) for profile in self.profiles for name in self._names(profile))

    def nearest(self, wanted: str) -> str:
        """What to say of a name that none of them has."""
        for pattern in (f"{wanted}*", f"*{wanted}*"):
            if not set(wanted) & set("*?[") and self.fit(glob(pattern)):
                return f"; write '{pattern}'"
        return suggestion(wanted, sorted({name for profile in self.profiles for name in self._names(profile)}))

    def _names(self, profile: str) -> frozenset[str]:
        if profile not in self._known:
            models = load_profile(profile).models
            self._known[profile] = frozenset(name for model in models for name in (model.id, *model.aliases))
        return self._known[profile]


def _of_models(document: Node, models: _Models) -> Iterator[_Found]:
    """A condition on the model that no model fits."""
    if models.any_model:
        return
    for node in _conditions(document, "model"):
        wanted = read_name(node, Problems(""))
        if not models.fit(wanted.test):
            close = models.nearest(node.value) if isinstance(node.value, str) else ""
            known = " or ".join(models.profiles)
            yield node, f"no model of {known} is called {wanted.description}, so this never holds{close}"


def _conditions(node: Node, subject: str) -> Iterator[Node]:
    """The conditions of a document on one subject; without those that must not hold."""
    if isinstance(node.value, list):
        for item in node.value:
            yield from _conditions(item, subject)
    elif isinstance(node.value, dict):
        for key in _HOLDING & node.value.keys():
            yield from _conditions(node.value[key], subject)
        when = node.value.get("when")
        if when is not None:
            yield from _of_subject(when, subject)


_HOLDING = {"turns", "cases"}


def _of_subject(when: Node, subject: str) -> Iterator[Node]:
    if not isinstance(when.value, dict):
        return
    if subject in when.value:
        yield when.value[subject]
    for key in ("all", "any"):
        inner = when.value.get(key)
        for one in inner.value if inner is not None and isinstance(inner.value, list) else ():
            yield from _of_subject(one, subject)


def _of_tools(scenario: Scenario) -> Iterator[_Found]:
    """A call of a tool that no condition asks for."""
    listed = [node.value if isinstance(node.value, list) else [node] for node in _conditions(scenario.data, "tools")]
    tests = [read_name(item, Problems("")).test for items in listed for item in items]
    reported: set[str] = set()
    for node in _calls(scenario.data):
        name = node.value["name"].value
        if name not in reported and not any(test(name) for test in tests):
            reported.add(name)
            asks = "no when asks for tools" if not tests else "when.tools asks for others"
            cure = f"a request that does not offer it gets the call too; write when: {{tools: {name}}}"
            yield node, f"{name} is called and {asks}: {cure}"


def _calls(node: Node) -> Iterator[Node]:
    """Every call of a client's tool in a document, but those that are meant to contradict their requests."""
    if isinstance(node.value, list):
        for item in node.value:
            yield from _calls(item)
    elif isinstance(node.value, dict):
        meant = node.value.get("contradicts")
        if meant is not None and meant.value is True:
            return
        kind, name = node.value.get("type"), node.value.get("name")
        if kind is not None and kind.value == "tool_use" and name is not None and isinstance(name.value, str):
            yield node
            return
        for key, item in node.value.items():
            if key not in _NO_TEXT:
                yield from _calls(item)


def _of_attempts(scenario: Scenario) -> Iterator[_Found]:
    """Attempts that no client comes to."""
    for at, turn in enumerate(scenario.turns):
        yield from _in_answer(scenario, turn, ("turns", at), None)
        for number, case in enumerate(turn.cases or ()):
            if case.attempts is None:
                continue
            yield from _in_answer(scenario, case, ("turns", at, "cases", number), _attempts_of(scenario, at, number))


def _attempts_of(scenario: Scenario, turn: int, case: int) -> Collection[int] | None:
    """The attempts that a case is for, where its `when` lists them."""
    written = scenario.data.value
    answer = written["turns"].value[turn].value if "turns" in written else written
    when = answer["cases"].value[case].value.get("when")
    wanted = when.value["attempt"].plain() if when is not None and when.get("attempt") is not None else None
    numbers: list[Any] = wanted if isinstance(wanted, list) else [wanted]
    return numbers if all(isinstance(one, int) for one in numbers) else None


def _in_answer(
    scenario: Scenario, answer: Answer, path: tuple[str | int, ...], only: Collection[int] | None
) -> Iterator[_Found]:
    attempts = answer.attempts or ()
    for number in range(2, len(attempts) + 1):
        place = _place(scenario, (*path, "attempts", number - 1))
        before = attempts[number - 2]
        if only is not None and not any(number == one or (number == len(attempts) < one) for one in only):
            yield place, f"attempt {number} is never reached: this case is for attempt {', '.join(map(str, only))} only"
        elif (why := _is_final(before)) is not None:
            only_again = (
                f"attempt {number} comes only when the very same request is sent again: no client retries {why}"
            )
            yield place, f"{only_again}; answers to calls one after another are turns"
            return


def _is_final(answer: Answer) -> str | None:
    """After what no client asks again by itself; None where it may."""
    if answer.error is not None:
        status, advised = answer.error.http_status, answer.error.should_retry
        retried = advised if advised is not None else status in (408, 409, 429) or status >= 500
        return None if retried else f"after a {status}"
    return "after a whole reply" if answer.reply is not None and not answer.faults else None


def _place(scenario: Scenario, path: tuple[str | int, ...]) -> Position | None:
    """The place of a part of a scenario, whose only turn may be written at the top."""
    found: Position | None = scenario.data.find(path if "turns" in scenario.data.value else path[2:])
    return found


# -- the command ------------------------------------------------------------------------------------------------------


def run_check(args: argparse.Namespace, settings: Settings) -> int:
    """Read scenario files and report every mistake as file:line:column, and what else to look at as notes."""
    logging.getLogger("mock_server").setLevel(logging.ERROR)  # what a reply met when it was played is no mistake
    loader = Loader()
    try:
        scenarios: Sequence[Scenario] = loader.load(settings.paths or (library(),))
        problems: Sequence[Problem] = ()
    except ScenarioError as error:
        scenarios, problems = error.well, error.problems
    problems = ScenarioError((*problems, *findings(scenarios, settings))).problems
    noted = ScenarioError((*loader.passed_over, *notes(scenarios, settings))).problems
    _FORMATS[args.format](problems, noted, len(scenarios))
    return 2 if problems or (args.strict and noted) else 0


def check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--strict", action="store_true", help="notes fail too (exit code 2)")
    parser.add_argument(
        "--format", choices=tuple(_FORMATS), default="text", help="text (default), json, or github (annotations)"
    )


def findings(scenarios: Sequence[Scenario], settings: Settings) -> Iterator[Problem]:
    """What is wrong with scenarios that load: answers that are never given, replies that do not work."""
    engine = engine_of(settings, ())
    for scenario in scenarios:
        yield from unreachable(scenario)
        yield from _played(engine, scenario)


def _played(engine: Engine, scenario: Scenario) -> Iterator[Problem]:
    """Plays the script both ways. A reply that fails, or says two things, is a mistake."""
    streamed = preview(engine, engine.in_force, scenario, stream=True)
    whole = preview(engine, engine.in_force, scenario, stream=False)
    for one in streamed:
        if one.plan.status == 500 and one.note.startswith("mock-server:"):
            yield _problem(scenario, one, one.note.removeprefix("mock-server: "))
            return
    for one, other in zip(streamed, whole, strict=False):
        if one.plan.status == 200 and one.reply != other.reply:
            yield _problem(scenario, one, "the JSON reply and the stream say different things; please report this")


def _problem(scenario: Scenario, one: Previewed, text: str) -> Problem:
    source, _, line = scenario.source.rpartition(":")
    written = scenario.data.value
    short = next((key for key in ANSWER_KEYS if key in written), "")
    mark = scenario.data.find(("turns", one.turn - 1) if "turns" in written else (short,))
    return Problem(source, mark or Position(int(line or 1), 1), text)


# -- how it is shown ------------------------------------------------------------------------------------------------


def _text(problems: Sequence[Problem], noted: Sequence[Problem], scenarios: int) -> None:
    for one in (*problems, *(replace(one, text=f"note: {one.text}") for one in noted)):
        print(one, file=sys.stderr)
    if not problems:
        print(_summary(noted, scenarios))


def _summary(noted: Sequence[Problem], scenarios: int) -> str:
    """The line where nothing is wrong."""
    more = f", {several(sum(one.count for one in noted), 'note')}" if noted else ""
    return f"{several(scenarios, 'scenario')}, no mistakes{more}"


def _as_json(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.source,
        "line": problem.position.line if problem.position else None,
        "column": problem.position.column if problem.position else None,
        "message": problem.text,
    }


def _json(problems: Sequence[Problem], noted: Sequence[Problem], scenarios: int) -> None:
    report = {
        "scenarios": scenarios,
        "mistakes": [_as_json(one) for one in problems],
        "notes": [_as_json(one) for one in noted],
    }
    print(json.dumps(report, ensure_ascii=False, indent=2))


def _github(problems: Sequence[Problem], noted: Sequence[Problem], scenarios: int) -> None:
    for kind, listed in (("error", problems), ("notice", noted)):
        for one in listed:
            place = f",line={one.position.line},col={one.position.column}" if one.position else ""
            print(f"::{kind} file={_escaped(one.source)}{place}::{_escaped(one.text)}")
    if not problems:
        print(_summary(noted, scenarios))


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


_Format = Callable[[Sequence[Problem], Sequence[Problem], int], None]
_FORMATS: Mapping[str, _Format] = {"text": _text, "json": _json, "github": _github}

"""`mock-server check`: every mistake in scenario files, and replies that differ as JSON and as a stream; and notes on
what is no mistake.
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from mock_server.commands.shared import engine_of
from mock_server.engine.engine import Engine
from mock_server.engine.preview import Previewed, preview
from mock_server.protocol.profile import Family
from mock_server.scenario.answer import ANSWER_KEYS
from mock_server.scenario.load import library, load
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import Node, Position, Problem, ScenarioError
from mock_server.scenario.subjects import TELLING
from mock_server.settings import Settings

# Answers that no request can get: they load well, and still cannot be what their author meant.


def unreachable(scenario: Scenario) -> Iterator[Problem]:
    """Cases that an earlier case with the same or a wider condition always wins over."""
    source = scenario.source.rpartition(":")[0]
    turns = scenario.data.value.get("turns") if scenario.data is not None else None
    holders = turns.value if turns is not None and isinstance(turns.value, list) else [scenario.data]
    for turn in holders:
        cases = turn.value.get("cases") if isinstance(turn, Node) and isinstance(turn.value, dict) else None
        if cases is not None and isinstance(cases.value, list):
            yield from _hidden(source, cases.value)


def _hidden(source: str, cases: list[Node]) -> Iterator[Problem]:
    before: list[tuple[int, dict[str, Any]]] = []
    for number, case in enumerate(cases, 1):
        when = case.value.get("when") if isinstance(case.value, dict) else None
        if when is None or not isinstance(when.value, dict):
            continue
        own = when.plain()
        wider = next((at for at, one in before if _is_part(one, own)), None)
        if wider is not None:
            text = f"this case can never be reached: case {wider} holds whenever it does"
            yield Problem(source, case.position or Position(1, 1), text)
        if "chance" not in case.value:
            before.append((number, own))


def _is_part(wider: dict[str, Any], narrower: dict[str, Any]) -> bool:
    """Whether every condition of one is among those of the other."""
    return all(key in narrower and narrower[key] == value for key, value in wider.items())


# `mock-server check`: every mistake in scenario files, and replies that differ as JSON and as a stream.


def run(given: argparse.Namespace, settings: Settings) -> int:
    """Read scenario files and report every mistake as file:line:column."""
    logging.getLogger("mock_server").setLevel(logging.ERROR)  # what a reply met when it was played is no mistake
    paths = settings.paths or (library(),)
    told: list[Problem] = []
    try:
        scenarios = load(paths)
        problems = ScenarioError(findings(scenarios, settings)).problems
        told = list(notes(scenarios, settings))
    except ScenarioError as error:
        scenarios, problems = (), error.problems
    _FORMATS[given.format](problems, len(scenarios), told)
    return 2 if problems else 0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=tuple(_FORMATS), default="text", help="text (default), json, or github (annotations)"
    )


def findings(scenarios: Sequence[Scenario], settings: Settings) -> Iterator[Problem]:
    """What is wrong with scenarios that load: answers that are never given, replies that do not work."""
    engine = engine_of(settings, ())
    for scenario in scenarios:
        yield from unreachable(scenario)
        yield from _played(engine, scenario)


def notes(scenarios: Sequence[Scenario], settings: Settings) -> Iterator[Problem]:
    """What is no mistake, and still may surprise: a scenario for endpoints of which the profile has none."""
    profile = engine_of(settings, ()).profile
    for scenario in scenarios:
        missing = {name for name in scenario.endpoints if not profile.serves(_family(name))}
        if missing and scenario.endpoints is not TELLING:  # it names them
            listed = ", ".join(sorted(missing))
            place = scenario.data.find(("when", "endpoint"))
            source, _, line = scenario.source.rpartition(":")
            text = f"profile {profile.name} has no {listed}: no request that comes there reaches '{scenario.name}'"
            yield Problem(source, place or Position(int(line or 1), 1), text)


def _family(endpoint: str) -> Family | None:
    return next((one for one in get_args(Family) if one == endpoint.partition(".")[0]), None)


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


# -- how it is told -------------------------------------------------------------------------------------------------


def _text(problems: Sequence[Problem], scenarios: int, told: Sequence[Problem]) -> None:
    for one in told:
        print(f"{one} (a note)")
    if not problems:
        print(f"{scenarios} scenarios, no mistakes")
        return
    print("\n".join(map(str, problems)), file=sys.stderr)


def _json(problems: Sequence[Problem], scenarios: int, told: Sequence[Problem]) -> None:
    listed, noted = (
        [
            {
                "file": one.source,
                "line": one.position.line if one.position else None,
                "column": one.position.column if one.position else None,
                "message": one.text,
            }
            for one in some
        ]
        for some in (problems, told)
    )
    print(json.dumps({"scenarios": scenarios, "mistakes": listed, "notes": noted}, ensure_ascii=False, indent=2))


def _github(problems: Sequence[Problem], scenarios: int, told: Sequence[Problem]) -> None:
    for kind, one in (*(("notice", note) for note in told), *(("error", problem) for problem in problems)):
        place = f"file={_escaped(one.source)}" + (
            f",line={one.position.line},col={one.position.column}" if one.position else ""
        )
        print(f"::{kind} {place}::{_escaped(one.text)}")
    if not problems:
        print(f"{scenarios} scenarios, no mistakes")


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


_Format = Callable[[Sequence[Problem], int, Sequence[Problem]], None]
_FORMATS: Mapping[str, _Format] = {"text": _text, "json": _json, "github": _github}

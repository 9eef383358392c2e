"""`mock-server import`: a recorded conversation as a scenario, written as a person would write it."""

import argparse
import sys
from pathlib import Path
from typing import Any

from mock_server.commands import Mistake
from mock_server.commands.loading import read_json
from mock_server.scenario.dump import dump
from mock_server.scenario.load import loads
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.timeline import timing_of
from mock_server.scenario.transcript import NoTranscript, scenario_of
from mock_server.settings import Settings


def run(given: argparse.Namespace, settings: Settings) -> int:
    """Make a scenario of a conversation: a JSON list of messages, a request with its reply, or an entry of the page."""
    said = read_json(given.file)
    name = given.name or (Path(given.file).stem if given.file != "-" else "imported")
    try:
        scenario = scenario_of(said, name)
        text = dump(scenario)
        loaded = loads(text, given.file)
        if given.timing:
            text = dump(_timed(scenario, timing_of(said, loaded[0].turns[-1].reply or ())))
            loads(text, given.file)
    except NoTranscript as error:
        raise Mistake(f"{given.file}: {error}") from None
    except ScenarioError as error:
        raise Mistake(f"{given.file}: it cannot be told as a scenario: {error}") from None
    if given.output is None:
        sys.stdout.write(text)
        return 0
    if Path(given.output).exists():
        raise Mistake(f"{given.output} is there already")
    Path(given.output).write_text(text, encoding="utf-8")
    print(f"{given.output}\ntry it: mock-server preview {given.output}")
    return 0


def _timed(scenario: dict[str, Any], timing: dict[str, Any]) -> dict[str, Any]:
    """The scenario with a timing for its last reply."""
    if "turns" not in scenario:
        return {**scenario, "timing": timing}
    *before, last = scenario["turns"]
    return {**scenario, "turns": [*before, {**last, "timing": timing}]}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="JSON; - for standard input")
    parser.add_argument("--name", metavar="NAME", help="the scenario's name (default: the file's)")
    parser.add_argument("--timing", action="store_true", help="keep when the events of an entry came, as a replay")
    parser.add_argument("--output", "-o", metavar="FILE", help="write there instead of to standard output")

"""`mock-server import`: a recorded conversation as a scenario, written as a person would write it."""

import argparse
import sys
from pathlib import Path

from mock_server.commands import Mistake
from mock_server.commands.loading import read_json
from mock_server.scenario.dump import dump
from mock_server.scenario.load import loads
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.transcript import NoTranscript, scenario_of
from mock_server.settings import Settings


def run(given: argparse.Namespace, settings: Settings) -> int:
    """Make a scenario of a conversation: a JSON list of messages, a request with its reply, or an entry of the page."""
    said = read_json(given.file)
    name = given.name or (Path(given.file).stem if given.file != "-" else "imported")
    try:
        text = dump(scenario_of(said, name))
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


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="JSON; - for standard input")
    parser.add_argument("--name", metavar="NAME", help="the scenario's name (default: the file's)")
    parser.add_argument("--output", "-o", metavar="FILE", help="write there instead of to standard output")

"""`mock-server list`: a table of the scenarios that files hold."""

import argparse
import json

from mock_server.commands.shared import Paint, table
from mock_server.protocol.errors import excerpt
from mock_server.scenario.load import library, load
from mock_server.scenario.model import Scenario
from mock_server.settings import Settings


def run(given: argparse.Namespace, settings: Settings) -> int:
    """List the scenarios: name, what it answers to, turns, what it is for."""
    scenarios = [one for one in load(settings.paths or (library(),)) if not given.tag or given.tag in one.tags]
    if given.json:
        print(json.dumps([_as_json(one) for one in scenarios], ensure_ascii=False, indent=2))
        return 0
    paint = Paint()
    head, *rows = table([("name", "when", "turns", "description"), *map(_row, scenarios)])
    print("\n".join([paint("bold", head), *rows]))
    return 0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tag", metavar="TAG", help="only scenarios with this tag")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _row(one: Scenario) -> tuple[str, ...]:
    return one.name, _when(one), str(len(one.turns)) if one.turns else "overlay", one.description


def _when(one: Scenario) -> str:
    said = "anything" if one.when is None else "named" if one.named_only else ", ".join(one.when.descriptions)
    return excerpt(said, 50)


def _as_json(one: Scenario) -> dict[str, object]:
    return {
        "name": one.name,
        "when": [] if one.when is None else list(one.when.descriptions),
        "turns": len(one.turns),
        "tags": list(one.tags),
        "description": one.description,
        "source": one.source,
    }

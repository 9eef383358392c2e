"""`mock-server faults`: every fault at every event of a scenario, as a list or as scenarios."""

import argparse
import sys

from mock_server.api.matrix import USUAL, Variant, faults
from mock_server.commands.shared import meant
from mock_server.scenario.faults import FAULTS
from mock_server.scenario.node import one_of, several
from mock_server.scenario.writing import dump
from mock_server.settings import Settings


def run(given: argparse.Namespace, settings: Settings) -> int:
    """List one variant of a scenario for every fault at every event; with --yaml print them as scenarios."""
    chosen = tuple(given.fault or USUAL)
    variants = [one for each in meant(given.name, settings.paths) for one in faults(each, chosen, once=given.once)]
    if given.yaml:
        sys.stdout.write("---\n".join(_document(one) for one in variants))
        return 0
    for one in variants:
        print(
            f"{one.name:<44} turn {one.turn}  {one.text:<40}  {one.next_event and 'before ' + one.next_event}".rstrip()
        )
    print(several(len(variants), "variant"), file=sys.stderr)
    return 0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME|FILE", help="a scenario by name, or a file of scenarios")
    parser.add_argument(
        "--fault",
        action="append",
        type=_known,
        metavar="FAULT",
        help="only this fault, with its keys as in the header: 'edit;remove=index' (repeatable)",
    )
    parser.add_argument("--once", action="store_true", help="only the first try of a request meets the fault")
    parser.add_argument("--yaml", action="store_true", help="the variants as scenarios that answer by their names")


def _known(text: str) -> str:
    """A fault by name, perhaps with keys."""
    name = text.split(";")[0].strip()
    if name not in FAULTS and not text.lstrip().startswith("{"):
        raise argparse.ArgumentTypeError(f"unknown fault '{name}'{one_of(name, FAULTS)}")
    return text


def _document(variant: Variant) -> str:
    data = {**variant.data, "name": variant.name, "when": "named"}
    return dump({"name": data.pop("name"), **data})

"""`mock-server import`: recorded calls as scenarios, written as a person would write them."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mock_server.commands import Mistake
from mock_server.commands.shared import engine_of
from mock_server.protocol.message import plain, sent_message
from mock_server.protocol.request import HttpRequest
from mock_server.scenario import recordings
from mock_server.scenario.imported import differences, scenarios_of, timing_of
from mock_server.scenario.load import MAX_BYTES, loads
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.recordings import NoTranscript, RecordedCall
from mock_server.scenario.writing import dump
from mock_server.settings import Settings

KEY = "import"


def run_import(args: argparse.Namespace, settings: Settings) -> int:
    """Make scenarios of what was recorded, and report what of it they cannot express."""
    stem = "" if args.file == "-" else Path(args.file).name.split(".")[0]
    name = args.name or stem or "imported"
    try:
        found = recordings.read(_bytes(args.file))
        imported = scenarios_of(found.exchanges, name)
        scenarios, lost = _tellable(imported.scenarios, args.file)
        text = _text(scenarios)
        loaded = loads(text, args.file)
        if args.timing:
            if len(scenarios) > 1:
                raise NoTranscript("--timing is for one entry of the journal, and this holds several conversations")
            text = dump(_timed(scenarios[0], timing_of(found.value, loaded[0].turns[-1].reply or ())))
            loaded = loads(text, args.file)
        notes = list(unequal(settings, loaded, found.exchanges))
    except NoTranscript as error:
        raise Mistake(f"{args.file}:{_spaced(str(error))}") from None
    except ScenarioError as error:
        raise Mistake(f"{args.file}: it cannot be told as a scenario: {error}") from None
    except RecursionError:
        raise Mistake(f"{args.file}: nested too deeply") from None
    for note in (*found.notes, *imported.notes, *lost, *notes):
        print(f"mock-server: {args.file}: {note}", file=sys.stderr)
    if args.output is None:
        sys.stdout.write(text)
        return 0
    if Path(args.output).exists():
        raise Mistake(f"{args.output} is there already")
    Path(args.output).write_text(text, encoding="utf-8")
    print(f"{args.output}\ntry it: mock-server preview {args.output}")
    return 0


def _tellable(made: Sequence[dict[str, Any]], file: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The scenarios that load, and why the others do not. Raises ScenarioError when there are none."""
    kept, lost = [], []
    for scenario in made:
        try:
            loads(_text([scenario]), file)
            kept.append(scenario)
        except ScenarioError as error:
            if len(made) == 1 or (scenario is made[-1] and not kept):
                raise
            lost.append(f"left out {scenario['name']}: it cannot be told as a scenario: {error.problems[0].text}")
    return kept, lost


def _spaced(text: str) -> str:
    """What follows the name of the file: a place in it without a space between."""
    return text if text[:1].isdecimal() and ":" in text[:12] else f" {text}"


def _bytes(path: str) -> bytes:
    """A file, or standard input for `-`; of one that is too large enough to see that."""
    try:
        if path == "-":
            return sys.stdin.buffer.read(recordings.MAX_BYTES + 1)
        with Path(path).open("rb") as file:
            return file.read(recordings.MAX_BYTES + 1)
    except OSError as error:
        raise Mistake(f"{path}: cannot be read: {error.strerror}") from None


def _text(scenarios: Sequence[Mapping[str, Any]]) -> str:
    text = "---\n".join(map(dump, scenarios))
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise NoTranscript("half of a character (a lone surrogate) cannot stand in a scenario") from None
    if size > MAX_BYTES:
        raise NoTranscript(f"it makes {size:,} bytes of scenarios, and a file of them has {MAX_BYTES:,} at most")
    return text


def _timed(scenario: dict[str, Any], timing: dict[str, Any]) -> dict[str, Any]:
    """The scenario with a timing for its last reply."""
    if "turns" not in scenario:
        return {**scenario, "timing": timing}
    *before, last = scenario["turns"]
    return {**scenario, "turns": [*before, {**last, "timing": timing}]}


# -- whether it answers as recorded -----------------------------------------------------------------------------------

# settings under which nothing but the scenarios decides what is answered
_ASKING: dict[str, Any] = {
    "validation": "off",
    "any_model": True,
    "rate_limits": "off",
    "unmatched": "error",
    "time_scale": 0.0,
    "timing": "instant",
    "seed": 0,
}


def unequal(settings: Settings, scenarios: Sequence[Scenario], exchanges: Sequence[RecordedCall]) -> Iterator[str]:
    """A line for each recorded request that the scenarios answer otherwise than it was answered."""
    engine = engine_of(replace(settings, **_ASKING), scenarios)
    for at, exchange in enumerate(exchanges, 1):
        if exchange.body is None or exchange.reply is None or len(exchange.body) == 1:
            continue
        headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
        headers |= {name: exchange.headers[name] for name in ("anthropic-beta",) if name in exchange.headers}
        body = json.dumps(exchange.body, default=repr).encode()
        http = HttpRequest("POST", "/v1/messages", headers, body)
        plan = engine.answer(http, engine.sessions.default, KEY).plan
        got = plain(sent_message(plan) or {})
        found = list(differences(exchange.reply, got))
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            yield f"{exchange.where or f'request {at}'} is answered otherwise than it was: {found[0]}{more}"


def import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", help="JSON, HAR, a cassette or server-sent events; - for standard input"
    )
    parser.add_argument("--name", metavar="NAME", help="the scenario's name, or what names begin with (the file's)")
    parser.add_argument("--timing", action="store_true", help="keep when the events of an entry came, as a replay")
    parser.add_argument("--output", "-o", metavar="FILE", help="write there instead of to standard output")

"""What the commands for authors share: the scenarios meant, an engine that serves them to nobody, the file of a
request, and tables and colour on a terminal.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from mock_server.commands import Mistake
from mock_server.engine.engine import Engine
from mock_server.scenario.load import library, load
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import MOST_DIGITS, suggestion
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


class Paint:
    """`paint("red", "text")`: the text in a colour on a terminal without NO_COLOR, as it is in a pipe."""

    def __init__(self, stream: TextIO | None = None) -> None:
        stream = sys.stdout if stream is None else stream
        self.on = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def __call__(self, style: str, text: str) -> str:
        return f"\033[{_CODES[style]}m{text}\033[0m" if self.on else text


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines, the columns as wide as what stands in them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def engine_of(settings: Settings, scenarios: Sequence[Scenario]) -> Engine:
    """An engine with these settings and scenarios."""
    engine = Engine(settings, load_profile(settings.profile, settings.catalogue), profiles=load_profile)
    engine.load(scenarios)
    return engine


def meant(name: str, paths: Sequence[str]) -> tuple[Scenario, ...]:
    """The scenarios of a file, or the one of this name. Raises Mistake for a name nobody has."""
    if name.endswith((".yaml", ".yml")) or Path(name).exists():
        return load([name])
    known = {one.name: one for one in load(paths or (library(),))}
    if name not in known:
        raise Mistake(f"no scenario '{name}'{suggestion(name, known) or '; `mock-server list` shows what there is'}")
    return (known[name],)


def read_request(path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Body and headers of a request in a file (`-`: standard input).

    The file holds the body, or `{"headers": …, "body": …}`, or an entry of the journal. Raises Mistake.
    """
    found = _read_json(path)
    if isinstance(found, Mapping) and isinstance(found.get("request"), Mapping):
        found = found["request"]
    if not isinstance(found, dict):
        raise Mistake(f"{path}: expected a JSON object: the body of a request")
    if isinstance(found.get("body"), dict):
        headers = found["headers"] if isinstance(found.get("headers"), dict) else {}
        return found["body"], {str(name).lower(): str(text) for name, text in headers.items()}
    return found, {}


def _read_json(path: str) -> Any:
    try:
        return json.loads(sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Mistake(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Mistake(f"{path}: not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise Mistake(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    except ValueError:
        raise Mistake(f"{path}: not JSON: a number of more than {MOST_DIGITS:,} digits") from None
    except RecursionError:
        raise Mistake(f"{path}: nested too deeply") from None

"""Writes the generated parts of the docs: between `<!-- generated: NAME -->` and `<!-- end -->` markers.

`python docs/generate.py` writes, `--check` only tells (exit 1) whether something is out of date.
"""

import itertools
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from mock_server import settings
from mock_server.cli import COMMANDS
from mock_server.fidelity import FEATURES, RULES
from mock_server.scenario import hover
from mock_server.scenario.language import schema
from mock_server.scenario.load import library, load
from mock_server.scenario.model import Scenario
from mock_server.scenario.operators import OPERATORS
from mock_server.server.control.routes import ROUTES

DOCS = Path(__file__).parent
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def settings_table() -> str:
    """Every setting: flag, variable, default, meaning."""
    lines = ["| flag | variable | default | meaning |", "|---|---|---|---|"]
    for row in settings.rows():
        flag = "`PATH…`" if row.name == "paths" else f"`{row.flag}`"
        default = f"`{settings.spelled(row.default)}`" if row.default not in (None, ()) else ""
        choices = f" ({', '.join(f'`{choice}`' for choice in row.option.choices)})" if row.option.choices else ""
        lines.append(f"| {flag} | `{row.variable}` | {default} | {row.option.help}{choices} |")
    return "\n".join(lines)


def commands() -> str:
    """Every command in a line."""
    return "\n".join(f"- `mock-server {name}`: {command.help}" for name, command in COMMANDS.items())


def scenarios() -> str:
    """The scenario library by tag: name, description, and the client bug that the file's comment names."""
    listed = load([library()])
    lines: list[str] = []
    for tag in sorted({one.tags[0] for one in listed}):
        lines += [f"## {tag}", "", "| scenario | what it plays | what it is for |", "|---|---|---|"]
        lines += [f"| `{one.name}` | {one.description} | {_purpose(one)} |" for one in listed if one.tags[0] == tag]
        lines.append("")
    return "\n".join(lines).rstrip()


def _purpose(one: Scenario) -> str:
    """The comment above the scenario."""
    file, _, line = one.source.rpartition(":")
    above = reversed(Path(file).read_text(encoding="utf-8").splitlines()[: int(line) - 1])
    comment = [*itertools.takewhile(lambda text: re.match("# (?!yaml-language-server)", text), above)]
    return " ".join(text.removeprefix("# ") for text in reversed(comment)).replace("|", "\\|")


def subjects() -> str:
    """Every subject of `when`."""
    return _rows("subject", hover.SUBJECTS)


def operators() -> str:
    """Every operator."""
    return _rows("operator", {name: one.about for name, one in OPERATORS.items()})


def _rows(head: str, told: Mapping[str, str]) -> str:
    return "\n".join([f"| {head} | |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in told.items())])


def timing() -> str:
    """Every key of a timing."""
    return _rows("key", hover.TIMING)


def control() -> str:
    """Every route of the control API."""
    lines = ["| request | query | what it does |", "|---|---|---|"]
    for route in ROUTES:
        query = ", ".join(f"`{name}`" for name in route.parameters)
        summary = (route.run.__doc__ or "").strip().split("\n")[0]
        lines.append(f"| `{route.method} /_mock/{route.path}` | {query} | {summary} |")
    return "\n".join(lines)


def features() -> str:
    """Every part of the API and what becomes of it."""
    lines = ["| part | | state | evidence | |", "|---|---|---|---|---|"]
    lines += [f"| {one.area} | `{one.name}` | {one.state} | {one.evidence} | {one.note} |" for one in FEATURES]
    return "\n".join(lines)


def rules() -> str:
    """Every request rule and what becomes of it."""
    lines = ["| rule | | state | evidence | |", "|---|---|---|---|---|"]
    lines += [f"| {one.number} | {one.what} | {one.state} | {one.evidence} | {one.note} |" for one in RULES]
    return "\n".join(lines)


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "commands": commands,
    "scenarios": scenarios,
    "subjects": subjects,
    "operators": operators,
    "timing": timing,
    "control": control,
    "features": features,
    "rules": rules,
}


def rendered(text: str) -> str:
    """`text` with every generated part as it should be now."""
    return _PART.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}\n{found[3]}", text)


def _pages() -> dict[Path, str]:
    """Every generated file as it should be now."""
    pages = {page: rendered(page.read_text()) for page in sorted(DOCS.glob("*.md"))}
    return {**pages, library() / "schema.json": json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"}


def main(check: bool) -> int:
    """Write or check every page, and the schema that editors use."""
    stale = {page: text for page, text in _pages().items() if not page.exists() or page.read_text() != text}
    for page, text in stale.items():
        print(f"{page.name} is out of date" if check else f"wrote {page.name}")
        if not check:
            page.write_text(text)
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))

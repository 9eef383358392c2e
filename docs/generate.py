"""Writes the generated parts of the docs: between `<!-- generated: NAME -->` and `<!-- end -->` markers.

`python docs/generate.py` writes, `--check` only tells (exit 1) whether something is out of date.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from mock_server import settings
from mock_server.cli import COMMANDS
from mock_server.fidelity import FEATURES, RULES
from mock_server.scenario.load import library, load
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
    """The scenario library: name and description."""
    lines = ["| scenario | what it plays |", "|---|---|"]
    lines += [f"| `{one.name}` | {one.description} |" for one in load([library()])]
    return "\n".join(lines)


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
    "control": control,
    "features": features,
    "rules": rules,
}


def rendered(text: str) -> str:
    """`text` with every generated part as it should be now."""
    return _PART.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}\n{found[3]}", text)


def main(check: bool) -> int:
    """Write or check every page."""
    stale = [page for page in sorted(DOCS.glob("*.md")) if page.read_text() != rendered(page.read_text())]
    for page in stale:
        print(f"{page.name} is out of date" if check else f"wrote {page.name}")
        if not check:
            page.write_text(rendered(page.read_text()))
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))

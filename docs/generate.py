"""Writes the generated parts of the docs: between `<!-- generated: NAME -->` and `<!-- end -->` markers.

`python docs/generate.py` writes, `--check` only tells (exit 1) whether something is out of date.
"""

import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_origin

from mock_server import settings
from mock_server.cli import COMMANDS
from mock_server.fidelity import FEATURES, RULES, Feature, Rule
from mock_server.scenario import filters, hover, methods, sandbox
from mock_server.scenario.error import Failure
from mock_server.scenario.faults import FAULTS
from mock_server.scenario.language import schema
from mock_server.scenario.load import library, load
from mock_server.scenario.model import Scenario
from mock_server.scenario.operators import OPERATORS
from mock_server.server.control.routes import ROUTES

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))  # the home of the table of faults
sys.path.insert(0, str(DOCS.parent / "bench"))  # what was measured last, and how it is told
import report  # noqa: E402
from faults.table import ROWS, Row, Told, Way  # noqa: E402

_PART = re.compile(r"(<!-- generated: (\w+)(?: (\S+))? -->\n).*?(<!-- end -->)", re.DOTALL)


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


def templates() -> str:
    """What templates may use: filters, tests, methods, functions."""
    rows: dict[str, Iterable[str]] = {
        "filters": filters.FILTERS,
        "tests (after `is`)": (name for name in filters.TESTS if name[0].isalpha()),
        "functions": methods.FUNCTIONS,
        **{f"methods of {noun}": methods.METHODS[kind] for noun, kind in _KINDS.items()},
    }
    lines = ["| | |", "|---|---|"]
    return "\n".join(
        [*lines, *(f"| {noun} | {', '.join(f'`{name}`' for name in sorted(names))} |" for noun, names in rows.items())]
    )


_KINDS = {"texts": str, "lists": list, "mappings": dict, "times": datetime}


def limits() -> str:
    """How much templates may do."""
    rows = (f"| {value:,} | {about} |" for value, about in sandbox.LIMITS.values())
    return "\n".join(["| at most | |", "|---|---|", *rows])


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
    return _states("part", ((one.area, f"`{one.name}`", one) for one in FEATURES))


def rules() -> str:
    """Every request rule and what becomes of it."""
    return _states("rule", ((one.number, one.what, one) for one in RULES))


def _states(head: str, rows: Iterable[tuple[object, str, Rule | Feature]]) -> str:
    lines = [f"| {head} | | state | evidence | | shown by |", "|---|---|---|---|---|---|"]
    for first, second, one in rows:
        told = (str(first), second, one.state, one.evidence, one.note, _proof(one.proof))
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines)


def _proof(proof: str) -> str:
    """The name of a test, as a link to its file."""
    file, _, name = proof.partition("::")
    return f"[`{name}`](../{file})" if proof else ""


def fault_keys() -> str:
    """Every fault: its keys, and what it does."""
    lines = ["| fault | keys | what it does |", "|---|---|---|"]
    for name, cls in FAULTS.items():
        lines.append(f"| `{name}` | {', '.join(_keys(cls))} | {' '.join(cls.__doc__.split())} |")
    return "\n".join(lines)


def _keys(cls: Any) -> Iterator[str]:
    for field in fields(cls):
        name = field.metadata.get("key", field.name)
        words = get_args(field.type) if get_origin(field.type) is not None else ()
        words = tuple(word for word in words if isinstance(word, str))
        default = "" if field.default in (MISSING, None) else str(field.default)
        if field.type is Failure or name == "error":
            default = "overloaded_error"
        if words and name != "event":
            yield f"`{name}: {default}` ({', '.join(f'`{word}`' for word in words if word != default)})"
        else:
            yield f"`{name}: {default}`" if default else f"`{name}`"


def faults_streams() -> str:
    """What comes of every fault of the table on a stream."""
    lines = [
        "| fault | what it does | the socket | Python `create(stream=True)` | `stream()` | JS `create({stream})` "
        "| `stream()` | retried |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        (way,) = (way for way in row.ways if way.stream)
        hows = (("python", "raw"), ("python", "helper"), ("js", "raw"), ("js", "helper"))
        told = " | ".join(_told(way, row, *how) for how in hows)
        lines.append(f"| {_fault(row)} | {row.about} | {_socket(way)} | {told} | {'yes' if way.retried else ''} |")
    return "\n".join(lines)


def faults_json() -> str:
    """What comes of every fault of the table on a JSON reply, where it has a twin."""
    lines = ["| fault | the socket | Python `create()` | JS `create()` | retried |", "|---|---|---|---|---|"]
    for row in ROWS:
        for way in row.ways:
            if way.stream or way.seen.warned:
                continue
            told = " | ".join(_told(way, row, client, "create") for client in ("python", "js"))
            lines.append(f"| {_fault(row)} | {_socket(way)} | {told} | {'yes' if way.retried else ''} |")
    return "\n".join(lines)


def _fault(row: Row) -> str:
    """The fault as it is written, without what stands in every row."""
    said = [f"{key}: {_flow(value)}" for key, value in row.fault.items() if key != "type"]
    return f"`{row.fault['type']}`" + (f" `{', '.join(said)}`" if said else "")


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    return str(value)


def _socket(way: Way) -> str:
    ends = {"ended": "ends in order", "open": "stays open"}.get(way.seen.ends, way.seen.ends)
    return f"nothing, {ends}" if way.seen.status is None else f"{way.seen.status}, {ends}"


def _told(way: Way, row: Row, client: str, how: str) -> str:
    """The exception and the text that had arrived; older SDKs where they say something else."""
    told = _outcome(way.told[client, how], row)
    older = way.told.get(("older", how)) if client == "python" else None
    return told if older is None else f"{told} (0.121: {_outcome(older, row)})"


def _outcome(told: Told, row: Row) -> str:
    error, text = told
    if error == "ok" and not text:
        return "ok, and no text"
    said = error if error in ("ok", "waits") else f"`{error}`"
    return said if not text or (error == "ok" and text == row.whole) else f"{said} after “{text.strip()}”"


def file(path: str) -> str:
    """A file of the repository, as it is. Its language is not spelled as that of blocks which the docs' tests run."""
    text = (DOCS.parent / path).read_text()
    language = {".yaml": "yml", ".yml": "yml", ".py": "py"}[Path(path).suffix]
    return f"```{language}\n{text}```"


def performance() -> str:
    """The figures of the run that is kept."""
    return report.page(json.loads(report.RUN.read_text(encoding="utf-8")))


PARTS: dict[str, Callable[..., str]] = {
    "settings": settings_table,
    "commands": commands,
    "scenarios": scenarios,
    "subjects": subjects,
    "templates": templates,
    "limits": limits,
    "operators": operators,
    "timing": timing,
    "control": control,
    "features": features,
    "rules": rules,
    "fault_keys": fault_keys,
    "faults_streams": faults_streams,
    "faults_json": faults_json,
    "file": file,
    "performance": performance,
}


def rendered(text: str) -> str:
    """`text` with every generated part as it should be now."""
    return _PART.sub(lambda found: f"{found[1]}{PARTS[found[2]](*filter(None, [found[3]]))}\n{found[4]}", text)


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

"""Writes the generated parts of the docs: between `<!-- generated: NAME -->` and `<!-- end -->` markers.

`python docs/generate.py` writes, `--check` only tells (exit 1) whether something is out of date.
"""

import functools
import itertools
import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml

from mock_server import settings
from mock_server.cli import COMMANDS
from mock_server.fidelity import FEATURES, RULES, Feature, Rule
from mock_server.protocol.blocks import ERROR_CODES
from mock_server.protocol.errors import STATUS, TYPE, ApiError
from mock_server.protocol.profile import Model
from mock_server.protocol.rules import validate
from mock_server.protocol.rules.parameters import BETA_PARAMETERS
from mock_server.scenario.error import Failure
from mock_server.scenario.faults import FAULTS
from mock_server.scenario.load import library, load
from mock_server.scenario.model import Scenario
from mock_server.scenario.operators import OPERATORS
from mock_server.scenario.profiles import load_profile
from mock_server.scenario.schema import explained, schema
from mock_server.scenario.subjects import CASE_SUBJECTS, JOINED, SUBJECTS
from mock_server.scenario.templates import environment, filters, sandbox
from mock_server.scenario.timing import Timing
from mock_server.server.control.routes import ROUTES

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))  # the home of the tables of faults and of broken rules
sys.path.insert(0, str(DOCS.parent / "bench"))  # what was measured last, and how it is told
import report  # noqa: E402
from faults.endpoints import ENDPOINT_ROWS, REACHED, Called, reaches  # noqa: E402
from faults.table import ROWS, Row, Told, Way  # noqa: E402
from protocol import test_more_rules, test_validate  # noqa: E402

_PART = re.compile(r"(<!-- generated: (\w+)(?: (\S+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: str, rows: Iterable[Iterable[object]]) -> str:
    """A table of Markdown; `head` is its first line as it stands there."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *lines])


def quoted(words: Iterable[object], form: str = "`{}`") -> str:
    return ", ".join(form.format(word) for word in words)


def settings_table() -> str:
    """Every setting: flag, variable, default, meaning."""

    def row(one: settings.Row) -> tuple[str, ...]:
        flag = "PATH…" if one.name == "paths" else one.flag
        default = f"`{settings.spelled(one.default)}`" if one.default not in (None, ()) else ""
        choices = f" ({quoted(one.option.choices)})" if one.option.choices else ""
        return f"`{flag}`", f"`{one.variable}`", default, f"{one.option.help}{choices}"

    return table("| flag | variable | default | meaning |", map(row, settings.rows()))


def commands() -> str:
    """Every command in a line."""
    return "\n".join(f"- `mock-server {name}`: {command.help}" for name, command in COMMANDS.items())


def scenarios() -> str:
    """The scenario library by tag: name, description, and the client bug that the file's comment names."""
    listed = load([library()])
    parts = []
    for tag in sorted({one.tags[0] for one in listed}):
        rows = [(f"`{one.name}`", one.description, _purpose(one)) for one in listed if one.tags[0] == tag]
        parts.append(f"## {tag}\n\n{table('| scenario | what it plays | what it is for |', rows)}")
    return "\n\n".join(parts)


def _purpose(one: Scenario) -> str:
    """The comment above the scenario."""
    file, _, line = one.source.rpartition(":")
    above = reversed(Path(file).read_text(encoding="utf-8").splitlines()[: int(line) - 1])
    comment = [*itertools.takewhile(lambda text: re.match("# (?!yaml-language-server)", text), above)]
    return " ".join(text.removeprefix("# ") for text in reversed(comment)).replace("|", "\\|")


def subjects() -> str:
    """Every subject of `when`."""
    return _rows("subject", {**{name: one.about for name, one in {**SUBJECTS, **CASE_SUBJECTS}.items()}, **JOINED})


def operators() -> str:
    """Every operator."""
    return _rows("operator", {name: one.about for name, one in OPERATORS.items()})


def _rows(head: str, told: Mapping[str, str]) -> str:
    return table(f"| {head} | |", ((f"`{name}`", text) for name, text in told.items()))


def timing() -> str:
    """Every key of a timing."""
    return _rows("key", explained(Timing))


def templates() -> str:
    """What templates may use: filters, tests, methods, functions."""
    rows: dict[str, Iterable[str]] = {
        "filters": filters.FILTERS,
        "tests (after `is`)": (name for name in filters.TESTS if name[0].isalpha()),
        "functions": environment.FUNCTIONS,
        **{f"methods of {noun}": environment.METHODS[kind] for noun, kind in _KINDS.items()},
    }
    return table("| | |", ((noun, quoted(sorted(names))) for noun, names in rows.items()))


_KINDS = {"texts": str, "lists": list, "mappings": dict, "times": datetime}


def limits() -> str:
    """How much templates may do."""
    return table("| at most | |", ((f"{value:,}", about) for value, about in sandbox.LIMITS.values()))


def control() -> str:
    """Every route of the control API."""
    return table(
        "| request | query | what it does |",
        (
            (
                f"`{one.method} /_mock/{one.path}`",
                quoted(one.parameters),
                (one.run.__doc__ or "").strip().split("\n")[0],
            )
            for one in ROUTES
        ),
    )


def features() -> str:
    """Every part of the API and what becomes of it."""
    return _states("part", ((one.area, f"`{one.name}`", one) for one in FEATURES))


def rules() -> str:
    """Every request rule and what becomes of it."""
    return _states("rule", ((one.number, one.what, one) for one in RULES))


def rulebook(span: str) -> str:
    """The rules of a span (`22-43`; `146-`: to the end): each in a sentence, and what is said when it is broken."""
    first, last = (int(end or len(RULES)) for end in span.split("-"))
    rows = (
        (f'<a id="rule-{one.number}"></a>{one.number}', written()[one.number]["rule"], *_answer_to(one), one.evidence)
        for one in RULES[first - 1 : last]
    )
    return table("| | what must hold | else | in these words | profile | known from |", rows)


@functools.cache
def written() -> Mapping[int, Mapping[str, Any]]:
    """The rules as docs/rules.yaml has them, by number."""
    found: Mapping[int, Mapping[str, Any]] = yaml.safe_load((DOCS / "rules.yaml").read_text())
    return found


def _answer_to(one: Rule) -> tuple[str, str, str]:
    """The status, the words and the profile of a rule, of which the code is asked where a test breaks the rule."""
    if one.state in ("none", "not"):
        return one.state, "", ""
    row = written()[one.number]
    judge = _breaking(one.number)
    if judge is None:
        status, says, profile = str(row["status"]), row.get("says", ""), row.get("profile", "both")
    else:
        strict, lenient = _refusal(judge, "anthropic"), _refusal(judge, "octen")
        assert strict is not None, f"rule {one.number}: what its row of tests breaks is let pass"
        status, says = str(strict.status), str(strict.message)
        profile = row.get("profile", "anthropic" if lenient is None else "both")
    scripted = ", scripted" if one.state == "scripted" else ""
    return status + scripted, _words(says), profile if profile == "both" else f"`{profile}`"


def _breaking(number: int) -> Callable[[str], None] | None:
    """What judges, in a profile, the first request of the tables of tests that breaks a rule; None: no row does."""
    if "breaks" in written()[number]:
        return functools.partial(test_validate.check, written()[number]["breaks"])
    wanted = re.compile(rf"{number}( |$)")
    for name, change, *_ in test_validate.TABLE:
        if wanted.match(name):
            return functools.partial(test_validate.check, change)
    for name, change, *_ in test_more_rules.TABLE:
        if wanted.match(name):
            return lambda profile, change=change: validate(  # type: ignore[misc]
                test_more_rules.request(change), test_more_rules.PROFILES[profile]
            )
    return None


def _refusal(judge: Callable[[str], None], profile: str) -> ApiError | None:
    try:
        judge(profile)
    except ApiError as error:
        return error
    return None


def _words(message: str) -> str:
    """A message in a cell of a table; what is longer than a line or two ends in `…`."""
    short = message if len(message) <= 200 else message[:199] + "…"
    return f"`` {short} ``".replace("|", "\\|") if short else ""


def beta_parameters() -> str:
    """Every parameter of a beta, and how the names of its headers begin."""
    rows = ((f"`{name}`", quoted(betas, "`{}…`")) for name, betas in BETA_PARAMETERS.items())
    return table("| parameter | beta |", rows)


def thinking_models() -> str:
    """Which model takes which kind of thinking."""

    def row(one: Model) -> tuple[str, ...]:
        efforts = "any" if one.efforts is None else ", ".join(one.efforts)
        modes = "any" if one.thinking is None else ", ".join(one.thinking)
        return f"`{one.id}`", modes, one.thinking_default, one.thinking_display, efforts

    head = "| model | takes | without the parameter | `display` | efforts |"
    return table(head, map(row, load_profile("anthropic").models))


def model_limits() -> str:
    """How much a model takes and writes, and what it costs beside text."""

    def row(one: Model) -> tuple[str, ...]:
        return (
            f"`{one.id}`",
            _amount(one.context_window),
            _amount(one.max_output),
            "yes" if one.prefill else "no",
            one.sampling,
            _amount(one.cache_minimum),
            _amount(one.tool_tokens),
            _amount(one.forced_tool_tokens) if one.forced_tools else "not forced",
        )

    head = "| model | window | most output | prefill | sampling | least cached | hidden prompt of tools | when forced |"
    return table(head, map(row, load_profile("anthropic").models))


def _amount(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def result_errors() -> str:
    """The codes that errors of the server's tools have."""
    rows = ((f"`{name}`", quoted(codes)) for name, codes in ERROR_CODES.items())
    return table("| result | codes of its errors |", rows)


def error_types() -> str:
    """Every type of an error with its status."""

    def others(name: str, status: int) -> str:
        return quoted((other for other, type in TYPE.items() if type == name and other != status), "{}")

    rows = ((f"`{name}`", status, others(name, status)) for name, status in STATUS.items())
    return table("| type | status | also with |", rows)


def _states(head: str, rows: Iterable[tuple[object, str, Rule | Feature]]) -> str:
    told = ((first, second, one.state, one.evidence, one.note, _proof(one.proof)) for first, second, one in rows)
    return table(f"| {head} | | state | evidence | | shown by |", told)


def _proof(proof: str) -> str:
    """The name of a test, as a link to its file."""
    file, _, name = proof.partition("::")
    return f"[`{name}`](../{file})" if proof else ""


def fault_keys() -> str:
    """Every fault: its keys, and what it does."""
    rows = ((f"`{name}`", ", ".join(_keys(cls)), " ".join(cls.__doc__.split())) for name, cls in FAULTS.items())
    return table("| fault | keys | what it does |", rows)


def _keys(cls: Any) -> Iterator[str]:
    for field in fields(cls):
        name = field.metadata.get("key", field.name)
        words = get_args(field.type) if get_origin(field.type) is not None else ()
        words = tuple(word for word in words if isinstance(word, str))
        default = "" if field.default in (MISSING, None, False, ()) else str(field.default)
        if field.type is Failure or name == "error":
            default = "overloaded_error"
        if words and name != "event":
            yield f"`{name}: {default}` ({', '.join(f'`{word}`' for word in words if word != default)})"
        else:
            yield f"`{name}: {default}`" if default else f"`{name}`"


_STREAMED = (("python", "raw"), ("python", "helper"), ("js", "raw"), ("js", "helper"))


def faults_streams() -> str:
    """What comes of every fault of the table on a stream."""

    def cells(row: Row) -> tuple[str, ...]:
        (way,) = (way for way in row.ways if way.stream)
        told = (_told(way, row, *how) for how in _STREAMED)
        return _fault(row), row.about, _socket(way), *told, "yes" if way.retried else ""

    return table(
        "| fault | what it does | the socket | Python `create(stream=True)` | `stream()` | JS `create({stream})` "
        "| `stream()` | retried |",
        map(cells, ROWS),
    )


def faults_reports() -> str:
    """What comes of every public report of the table, on a stream."""
    rows = []
    for row in ROWS:
        for way in row.ways:
            if way.stream and row.report:
                told = (_told(way, row, *how) for how in (*_STREAMED, ("langchain", "stream")))
                rows.append((row.report, _fault(row), *told, _final(way)))
    return table(
        "| what was reported | the fault | Python `create(stream=True)` | `stream()` "
        "| JS `create({stream})` | `stream()` | langchain `stream()` | the message in the end |",
        rows,
    )


def _final(way: Way) -> str:
    """What the finished message says to each client; once where all are told the same."""
    if len(way.final) == 3 and len(set(way.final.values())) == 1:
        return next(iter(way.final.values()))
    return "; ".join(f"{client}: {said}" for client, said in way.final.items())


def faults_endpoints() -> str:
    """What comes of other endpoints than messages that a file strikes."""
    rows = []
    for row in ENDPOINT_ROWS:
        (kind,) = row.answer
        struck = f"`when: {_flow(row.when)}` `{kind}: {_flow(row.answer[kind])}`"
        rows.append((row.about, struck, *(_told_of(row.calls, client) for client in ("python", "js", "langchain"))))
    return table("| what happens | what strikes | Python | JS | langchain |", rows)


def _told_of(calls: Iterable[Called], client: str) -> str:
    """What a client is told at each call that it has; what the SDK then sends again is marked."""
    told = []
    for called in calls:
        if client not in called.told:
            continue
        what = called.told[client] if called.told[client] == "ok" else f"`{called.told[client]}`"
        told.append(f"`{called.name}` {what}{', retried' if called.retried and client == 'python' else ''}")
    return "; ".join(told)


def faults_reach() -> str:
    """Which fault reaches which endpoint."""
    logging.getLogger("mock_server").setLevel(logging.ERROR)  # that some cannot be applied is what is asked here
    heads = ["messages, stream", "messages, JSON", *(f"`{name}`" for name in REACHED[2:])]
    rows = ((f"`{type}`", *("yes" if strikes else "" for strikes in reaches(type).values())) for type in FAULTS)
    return table(f"| fault | {' | '.join(heads)} |", rows)


def faults_json() -> str:
    """What comes of every fault of the table on a JSON reply, where it has a twin."""
    rows = []
    for row in ROWS:
        for way in row.ways:
            if not way.stream and not way.seen.warned:
                told = (_told(way, row, client, "create") for client in ("python", "js"))
                rows.append((_fault(row), _socket(way), *told, "yes" if way.retried else ""))
    return table("| fault | the socket | Python `create()` | JS `create()` | retried |", rows)


def _fault(row: Row) -> str:
    """The fault as it is written, without what stands in every row."""
    return ", ".join(_one_fault(one) for one in row.faults)


def _one_fault(fault: Mapping[str, Any]) -> str:
    said = [f"{key}: {_flow(value)}" for key, value in fault.items() if key != "type"]
    return f"`{fault['type']}`" + (f" `{', '.join(said)}`" if said else "")


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return json.dumps(value) if isinstance(value, str) and "\n" in value else str(value)


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
    **{
        part.__name__: part
        for part in (
            *(commands, scenarios, subjects, templates, limits, operators, timing, control, features, rules, rulebook),
            *(beta_parameters, thinking_models, model_limits, result_errors, error_types, file, performance),
            *(fault_keys, faults_streams, faults_reports, faults_json, faults_endpoints, faults_reach),
        )
    },
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

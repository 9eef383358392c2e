"""What an author looks up or starts from: `mock-server list`, `docs`, `schema` and `new`."""

import argparse
import json
import re
from pathlib import Path

from mock_server.commands import Mistake
from mock_server.commands.shared import Paint, table
from mock_server.protocol.errors import excerpt
from mock_server.scenario.load import PACKAGE, library, load
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import one_of
from mock_server.settings import Settings

# -- list -----------------------------------------------------------------------------------------------------------


def run_list(args: argparse.Namespace, settings: Settings) -> int:
    """List the scenarios: name, what it answers to, turns, what it is for."""
    scenarios = [one for one in load(settings.paths or (library(),)) if not args.tag or args.tag in one.tags]
    if args.json:
        print(json.dumps([_as_json(one) for one in scenarios], ensure_ascii=False, indent=2))
        return 0
    head, *rows = table([("name", "when", "turns", "description"), *map(_row, scenarios)])
    print("\n".join([Paint()("bold", head), *rows]))
    return 0


def list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tag", metavar="TAG", help="only scenarios with this tag")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _row(one: Scenario) -> tuple[str, ...]:
    when = "anything" if one.when is None else "named" if one.named_only else ", ".join(one.when.descriptions)
    return one.name, excerpt(when, 50), str(len(one.turns)) if one.turns else "overlay", one.description


def _as_json(one: Scenario) -> dict[str, object]:
    return {
        "name": one.name,
        "when": [] if one.when is None else list(one.when.descriptions),
        "turns": len(one.turns),
        "tags": list(one.tags),
        "description": one.description,
        "source": one.source,
    }


# -- docs -----------------------------------------------------------------------------------------------------------


def run_docs(args: argparse.Namespace, settings: Settings) -> int:
    """Print a page of the documentation (Markdown); without a name, which pages there are."""
    inside = PACKAGE / "docs"  # of an installed package; in a checkout they are beside it
    folder = inside if inside.is_dir() else PACKAGE.parent / "docs"
    pages = {page.stem: page.read_text(encoding="utf-8") for page in sorted(folder.glob("*.md"))}
    if args.page is None:
        titles = [(name, _title(name, text)) for name, text in pages.items()]
        print("\n".join([*table(titles), "", "mock-server docs PAGE"]))
        return 0
    name = args.page.removeprefix("docs/").partition("#")[0].removesuffix(".md")
    if name not in pages:
        raise Mistake(f"no page '{name}'{one_of(name, pages)}")
    print(pages[name], end="")
    return 0


def docs_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("page", nargs="?", metavar="PAGE", help="the page; none: list them")


def _title(name: str, page: str) -> str:
    found = re.search(r"(?m)^# (.+)", page)
    return found[1] if found else name


# -- schema ---------------------------------------------------------------------------------------------------------


def run_schema(args: argparse.Namespace, settings: Settings) -> int:
    """Print the JSON Schema of scenario files: editors complete and explain by it."""
    from mock_server.scenario.schema import schema  # made as it is imported, for these two commands alone

    print(json.dumps(schema(), indent=1, ensure_ascii=False))
    return 0


# -- new ------------------------------------------------------------------------------------------------------------

STARTER = """\
# yaml-language-server: $schema={schema}
# What this is for: say which behaviour of your client it tests.
name: {name}
description: One line that `mock-server list` shows.
# Every condition must hold. A text is looked for, whatever the case; a list means any of.
# Other subjects: system, model, tools, tool_result, stream, header, body, … (mock-server docs scenarios)
when:
  prompt: {prompt}
# instant, fast, realistic or slow; or {{first: 400ms, rate: 80/s}}
timing: fast
turns:
  # A call of a tool. The next turn answers the request that brings its result.
  - reply:
      - Let me look.
      - {{type: tool_use, name: get_weather, input: {{city: Paris}}}}
  - cases:
      # The first case that holds wins.
      - when: {{tool_result: {{of: get_weather, is_error: true}}}}
        reply: I could not find out.
      - reply: {{template: "It is {{{{ tool_result('get_weather') }}}} in Paris."}}
"""


def run_new(args: argparse.Namespace, settings: Settings) -> int:
    """Write a commented scenario file, and beside it the schema that editors complete from."""
    from mock_server.scenario.schema import schema

    name = args.name.removesuffix(".yaml").removesuffix(".yml")
    if not re.fullmatch(r"[\w.-]+", name):
        raise Mistake(f"'{name}' is no file name; letters, digits, - _ and . please")
    folder = Path(args.folder)
    file = folder / f"{name}.yaml"
    if file.exists():
        raise Mistake(f"{file} is there already")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(STARTER.format(name=name, schema="schema.json", prompt=name.replace("-", " ")))
        beside = folder / "schema.json"
        if not beside.exists():
            beside.write_text(json.dumps(schema(), indent=1) + "\n")
    except OSError as error:
        raise Mistake(f"{file}: {error.strerror}") from None
    print(f"{file}\ntry it: mock-server preview {file}")
    return 0


def new_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the scenario's name, and the file's")
    parser.add_argument("--folder", default="scenarios", metavar="DIR", help="where to (default scenarios)")

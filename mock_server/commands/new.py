"""`mock-server new`: a commented scenario file to start from."""

import argparse
import json
import re
from pathlib import Path

from mock_server.commands import Mistake
from mock_server.scenario.schema import schema
from mock_server.settings import Settings

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


def run(given: argparse.Namespace, settings: Settings) -> int:
    """Write a commented scenario file, and beside it the schema that editors complete from."""
    name = given.name.removesuffix(".yaml").removesuffix(".yml")
    if not re.fullmatch(r"[\w.-]+", name):
        raise Mistake(f"'{name}' is no file name; letters, digits, - _ and . please")
    folder = Path(given.folder)
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


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the scenario's name, and the file's")
    parser.add_argument("--folder", default="scenarios", metavar="DIR", help="where to (default scenarios)")

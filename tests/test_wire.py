"""Golden transcripts: a scenario, a request, and the exact bytes that answer it.

Each file in `wire/` has three parts, `=== scenario`, `>>> request` and `<<< response`. With WIRE_UPDATE=1 the responses
are written anew; read every change before keeping it. The seed makes ids repeat.
"""

import json
import os
import re
from pathlib import Path

import pytest

from mock_server.engine.engine import Engine
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

FILES = sorted((Path(__file__).parent / "wire").glob("*.txt"))
PARTS = re.compile(r"=== scenario\n(.*?)>>> request\n(.*?)<<< response\n(.*)", re.DOTALL)


def answer(scenario: str, request: str) -> str:
    """The response as text. The request's first line is the method, the path with a query, and perhaps a profile."""
    head, _, body = request.strip("\n").partition("\n\n")
    line, *headers = head.split("\n")
    method, path, *profile = line.split()
    engine = Engine(Settings(seed=1, time_scale=0), load_profile(profile[0] if profile else "octen"))
    engine.load(loads(scenario) if scenario.strip() else ())
    given = dict(header.split(": ", 1) for header in headers)
    path, _, query = path.partition("?")
    plan = engine.handle(HttpRequest(method, path, given, body.encode(), None, query)).plan
    lines = [str(plan.status), *(f"{name}: {value}" for name, value in plan.headers)]
    return "\n".join(lines) + "\n\n" + plan.body().decode() + "\n"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_answer_is_exactly_this(file: Path) -> None:
    text = file.read_text()
    parts = PARTS.fullmatch(text)
    assert parts is not None, "a transcript has three parts"
    scenario, request, expected = parts.groups()

    response = answer(scenario, request)

    if os.environ.get("WIRE_UPDATE"):
        file.write_text(text[: parts.start(3)] + response)
    else:
        assert response == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_data_line_of_a_transcript_is_json(file: Path) -> None:
    response = file.read_text().partition("<<< response\n")[2]
    for line in response.splitlines():
        if line.startswith(("data: ", "{")):
            json.loads(line.removeprefix("data: "))


def test_there_are_transcripts() -> None:
    assert len(FILES) >= 20

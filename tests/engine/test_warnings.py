"""What a client should know although it was answered: a list on the exchange, one header."""

import json
from typing import Any

import pytest
from multidict import CIMultiDict

from mock_server.engine.exchange import folded
from mock_server.protocol.request import HttpRequest

CUT = """
name: cut
reply: One two three four five six seven eight.
"""


@pytest.mark.parametrize(
    ("warnings", "header"),
    [
        (["one thing"], "one thing"),
        (["one thing", "another", "one thing"], "one thing; another"),
        (["a\r\nx-injected: yes"], "a x-injected: yes"),
        (["caf\u00e9 \u2713"], "caf\\xe9 \\u2713"),
        (["x" * 201], "x" * 197 + "..."),
        ([f"{at} " + "x" * 198 for at in range(6)], None),
    ],
    ids=["one", "several, each once", "one line", "ASCII", "200 letters each", "1,000 letters in all"],
)
def test_warnings_are_one_header_that_is_short_and_printable(warnings: list[str], header: str | None) -> None:
    made = folded(warnings)
    assert (made == header) if header is not None else (len(made) == 1000 and made.endswith("..."))


def test_all_that_is_warned_of_comes_in_one_header_and_in_the_journal(engine: Any, ask: Any) -> None:
    entry = ask(engine(CUT), headers={"x-mock-fault": "disconnect;after=90"}, max_tokens=3, stream=True)
    assert entry.warnings == (
        "scenario 'cut' turn 1: the reply was cut short: it takes 12 tokens, and max_tokens is 3",
        "fault not applied: disconnect after 90 deltas: the reply has 2 deltas",
    )
    assert [value for name, value in entry.plan.headers if name == "x-mock-warning"] == ["; ".join(entry.warnings)]


def test_a_refused_request_that_asked_for_a_fault_warns_of_that(engine: Any, ask: Any) -> None:
    entry = ask(engine(CUT), headers={"x-mock-fault": "disconnect"}, model="nope")
    assert (entry.status, entry.headers["x-mock-warning"]) == (404, "fault not applied: the request was refused")
    assert json.loads(entry.plan.body())["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("x-mock-fualt", "x-mock-fault"),
        ("x-mock-faults", "x-mock-fault"),
        ("x-mock-scenarios", "x-mock-scenario"),
        ("x-mock-sesion", "x-mock-session"),
        ("x-mock-user", ""),
        ("x-mock-turn", ""),
        ("x-mock-custom-id", ""),
    ],
)
def test_a_misspelt_header_of_ours_is_told(name: str, meant: str, engine: Any, ask: Any) -> None:
    served = engine(CUT)
    for _ in range(3):  # not only the first time
        entry = ask(served, headers={name: "disconnect"})
        told = f"header '{name}' is ignored (did you mean '{meant}'?)" if meant else ""
        assert (entry.headers.get("x-mock-warning", ""), entry.note) == (told, told)


def test_a_misspelt_header_is_told_however_it_is_written(engine: Any, ask: Any) -> None:
    """The long way in has the names of headers as they came."""
    body = ask(engine(CUT)).request.body
    headers = CIMultiDict({"X-Api-Key": "k", "Anthropic-Version": "2023-06-01", "X-Mock-Sesion": "mine"})
    entry = engine(CUT).handle(HttpRequest("POST", "/v1/messages", headers, json.dumps(body).encode()))
    assert entry.headers["x-mock-warning"] == "header 'x-mock-sesion' is ignored (did you mean 'x-mock-session'?)"

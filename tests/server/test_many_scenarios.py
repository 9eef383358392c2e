"""Thousands of scenarios and sessions: who lists them keeps nobody waiting, and a session does not take any number."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from heartbeat import during, served

from mock_server import MockServer, ScenarioError
from mock_server.engine import engine

MANY = 3_000


@pytest.fixture(scope="module")
def crowded() -> Iterator[tuple[str, int]]:
    """A server with thousands of scenarios, each of which has answered, and with many sessions."""
    with served("--time-scale", "0", "--batch-seconds", "0") as address:
        written = [{"name": f"n{at}", "when": {"prompt": f"word{at} of many"}, "reply": "x"} for at in range(MANY)]
        assert ask(address, "POST", "/_mock/scenarios", written)[0] == 201
        requests = [{"custom_id": f"c{at}", "params": says(f"word{at} of many")} for at in range(MANY)]
        batch = ask(address, "POST", "/v1/messages/batches", {"requests": requests})[1]["id"]
        counts = ask(address, "GET", f"/v1/messages/batches/{batch}")[1]["request_counts"]
        assert counts["succeeded"] == MANY, counts
        with closing(http.client.HTTPConnection(*address, timeout=60)) as client:
            for at in range(1_000):
                client.request("POST", "/v1/messages", json.dumps(says("Hi")), {**KEYS, "x-mock-session": f"s{at}"})
                client.getresponse().read()
        yield address


KEYS = {"x-api-key": "k", "anthropic-version": "2023-06-01", "content-type": "application/json"}


def says(text: str) -> dict[str, Any]:
    return {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}


def ask(address: tuple[str, int], method: str, path: str, body: Any = None) -> tuple[int, Any]:
    with closing(http.client.HTTPConnection(*address, timeout=60)) as client:
        client.request(method, path, None if body is None else json.dumps(body), KEYS)
        reply = client.getresponse()
        return reply.status, json.loads(reply.read())


@pytest.mark.parametrize("path", ["scenarios", f"scenarios/n{MANY - 1}", "sessions"])
def test_another_client_is_answered_while_they_are_listed(path: str, crowded: tuple[str, int]) -> None:
    waited = during(crowded, lambda: ask(crowded, "GET", f"/_mock/{path}"))

    status, told = waited.result
    assert status == 200
    assert not waited.is_held, waited._replace(result=None)
    if path == "sessions":
        assert len(told["sessions"]) == 1_001
    else:
        calls = {one["name"]: one["calls"] for one in told.get("scenarios", [told])}
        assert calls[f"n{MANY - 1}"] == 1


def test_a_session_has_so_many_scenarios_of_its_own_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MOST_SCENARIOS", 2)
    with MockServer() as server:
        server.add("x", name="one", when="named")
        server.add("x", name="two", when="named")
        server.add("another", name="two", when="named")

        with pytest.raises(ScenarioError) as told:
            server.add("x", name="three", when="named")

    assert "a session has 2 scenarios of its own at most, with these it would have 3" in str(told.value)


MANY_CONDITIONS = {
    "scenarios": "\n---\n".join(f"name: n{at}\nwhen: {{prompt: word{at} alpha beta}}\nreply: x" for at in range(5_000)),
    "cases": "name: a\ncases:\n"
    + "".join(f"  - {{when: {{prompt: word{at} alpha}}, reply: x}}\n" for at in range(8_000)),
    "alternatives": f"name: a\nwhen: {{any: [{', '.join(f'{{prompt: w{at} alpha}}' for at in range(5_000))}]}}\nreply: x",
}


@pytest.mark.parametrize("of", MANY_CONDITIONS)
def test_another_client_is_answered_while_nothing_of_very_much_fits(of: str, tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(MANY_CONDITIONS[of])
    body = says("lorem ipsum dolor sit amet " * 200)

    with served(str(file), "--unmatched", "error") as address:
        ask(address, "POST", "/v1/messages", says("Hi"))
        waited = during(address, lambda: ask(address, "POST", "/v1/messages", body))

    status, told = waited.result
    assert status == 400
    assert len(told["error"]["message"]) < 5_000
    assert not waited.is_held, waited._replace(result=None)


@pytest.mark.parametrize(
    ("wanted", "came", "shown"),
    [
        ("a" * 400 + "b", "a" * 400 + "c", ["- …" + "a" * 100 + "b", "+ …" + "a" * 100 + "c"]),
        ("line\n" * 100, "line\n" * 100 + "more", ["… 97 lines alike", "+ more"]),
    ],
)
def test_what_differs_is_shown_wherever_it_stands(wanted: str, came: str, shown: list[str]) -> None:
    with MockServer() as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        ask(address, "POST", "/v1/messages", says(came))
        told = ask(address, "POST", "/_mock/verify", {"when": {"prompt": {"equals": wanted}}})[1]["explanation"]

    assert all(one in told for one in shown), told


def test_two_long_texts_that_should_be_equal_are_told_apart_by_their_first_lines() -> None:
    wanted = [f"the quick brown fox {at} jumps over the lazy dog {at * 7}" for at in range(3_000)]
    came = [*wanted[:1_000], *(line.replace("fox", "fax") for line in wanted[1_000:])]
    with MockServer() as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        ask(address, "POST", "/v1/messages", says("\n".join(came)))
        said = {"when": {"prompt": {"equals": "\n".join(wanted)}}}
        told = ask(address, "POST", "/_mock/verify", said)[1]["explanation"]

    assert "… 997 lines alike" in told
    assert "- the quick brown fox 1000 jumps" in told
    assert "+ the quick brown fax 1000 jumps" in told
    assert "… 1,943 more lines" in told

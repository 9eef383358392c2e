"""Preview and explain where code asks: in Python, from another process, and over the control API."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from mock_server import MockClient, MockServer
from mock_server.api.session import Verbs
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.schema import schema

ASK: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "weather in Rome"}],
}


@pytest.fixture(params=["here", "elsewhere"])
def server(request: pytest.FixtureRequest) -> Iterator[Verbs]:
    with MockServer("scenarios") as running:
        asked: Verbs = running if request.param == "here" else MockClient(running.url)
        asked.add("Sunny.", when={"prompt": {"regex": r"weather in (?P<city>\w+)"}}, name="weather")
        yield asked


def test_a_request_is_explained(server: Verbs) -> None:
    told = server.explain(ASK)

    assert (told["matched"], told["scenario"], told["turn"]) == (True, "weather", 1)
    assert told["captures"] == {"city": "Rome"}
    assert told["conditions"] == ["prompt: regex 'weather in (?P<city>\\\\w+)'"]
    assert server.explain(ASK, {"x-mock-scenario": "hello"})["scenario"] == "hello"
    near = server.explain({**ASK, "messages": [{"role": "user", "content": "Hi"}]})
    assert (near["matched"], near["near_misses"][0]["scenario"]) == (False, "weather")
    assert server.explain({**ASK, "max_tokens": -1})["error"]["status"] == 400
    assert server.explain({"messages": 3})["error"]["type"] == "invalid_request_error"


def test_a_request_to_another_endpoint_is_explained(server: Verbs) -> None:
    counting = {"endpoint": "count_tokens", "prompt": "Rome"}
    server.add(error=529, when=counting, name="no-count")
    server.add(error=500, when={"endpoint": "models", "header": {"x-who": "bob"}}, name="no-models")
    body = {name: value for name, value in ASK.items() if name != "max_tokens"}

    told = server.explain(body, endpoint="count_tokens")
    assert (told["scenario"], told["turn"], told["error"]) == ("no-count", 1, None)
    assert told["conditions"] == ["endpoint: count_tokens", "prompt: contains 'Rome'"]
    near = server.explain({**body, "messages": [{"role": "user", "content": "Hi"}]}, endpoint="count_tokens")
    assert [one["scenario"] for one in near["near_misses"]] == ["no-count"]
    assert server.explain({"model": "m"}, endpoint="count_tokens")["error"]["status"] == 400
    assert server.explain({}, {"x-who": "bob"}, endpoint="models.get")["scenario"] == "no-models"
    assert server.explain({}, endpoint="models.list")["text"].splitlines()[:2] == [
        "No scenario matches this request (1 asked).",
        "  no-models, 50% near",
    ]
    assert server.explain({}, endpoint="files.list")["near_misses"] == []
    legacy = {
        "model": "claude-opus-4-8",
        "max_tokens_to_sample": 9,
        "prompt": "\n\nHuman: weather in Rome\n\nAssistant:",
    }
    assert server.explain(legacy, endpoint="complete")["captures"] == {"city": "Rome"}
    assert server.journal.total == 0


def test_a_scenario_is_previewed(server: Verbs) -> None:
    call, answer = server.preview("tool-use")

    assert [one["turn"] for one in (call, answer)] == [1, 2]
    assert call["reply"]["stop_reason"] == "tool_use"
    assert call["frames"][0]["text"].startswith("event: message_start\n")
    assert server.preview("weather", ASK)[0]["reply"]["content"][0]["text"] == "Sunny."
    assert server.preview("name: x\nreply: new")[0]["reply"]["content"][0]["text"] == "new"
    assert server.journal.total == 0


@pytest.mark.parametrize(("what", "told"), [("helo", "hello"), ("name: x\nrepyl: y", "unknown key 'repyl'")])
def test_what_cannot_be_previewed(what: str, told: str, server: Verbs) -> None:
    with pytest.raises(ScenarioError, match=told):
        server.preview(what)


@pytest.mark.parametrize(
    ("route", "body", "status", "told"),
    [
        ("preview", {}, 400, "neither scenario nor yaml"),
        ("preview", {"scenario": "helo"}, 404, "no scenario 'helo'"),
        ("preview", {"scenario": "hello", "request": 3}, 400, "request is not an object"),
        ("preview", {"yaml": "name: x"}, 422, "a scenario needs turns"),
        ("explain", {}, 400, "request is missing"),
        ("explain", {"request": [], "headers": {}}, 400, "request is not an object"),
        ("explain", {"endpoint": "count_token"}, 400, "no endpoint is called 'count_token'"),
    ],
)
def test_a_caller_is_told_what_is_wrong(route: str, body: Any, status: int, told: str) -> None:
    with MockServer("scenarios") as server, pytest.raises(urllib.error.HTTPError) as caught:
        post(server.url, route, body)

    assert caught.value.code == status
    assert told in caught.value.read().decode()


def post(url: str, route: str, body: Any) -> Any:
    request = urllib.request.Request(
        f"{url}/_mock/{route}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as reply:
        return json.load(reply)


def test_the_schema_is_served() -> None:
    with MockServer("scenarios") as server, urllib.request.urlopen(f"{server.url}/_mock/schema", timeout=20) as reply:
        assert json.load(reply) == schema()


def test_an_unexpected_request_is_told_at_every_door(server: Verbs) -> None:
    server.add("ok", when={"prompt": "strict"}, expect={"system": "kind"}, name="strict")
    url = server.url
    body = {**ASK, "messages": [{"role": "user", "content": "strict"}]}
    request = urllib.request.Request(f"{url}/v1/messages", json.dumps(body).encode(), {"x-api-key": "k"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20)
    assert "wanted contains 'kind', got ''" in caught.value.read().decode()

    assert server.journal.unexpected == 1
    assert server.journal.last.unexpected
    with pytest.raises(AssertionError, match="1 request was not as expected\nPOST /v1/messages: scenario 'strict'"):
        server.assert_expected()
    assert post(url, "verify", {"expected": True})["ok"] is False

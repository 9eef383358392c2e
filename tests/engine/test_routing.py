"""The table of endpoints: paths with parts, methods, families that a profile has not, and what is told of a miss."""

import json
from dataclasses import replace
from typing import Any

import pytest

from mock_server.engine.endpoints import ENDPOINTS, FAMILIES, family, find
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

OCTEN = load_profile("octen")


def ask(method: str, path: str, *, off: str | None = None, **settings: Any) -> Entry:
    profile = OCTEN if off is None else replace(OCTEN, endpoints={off: False})
    engine = Engine(Settings(seed=1, **settings), profile)
    return engine.handle(HttpRequest(method, path, {"x-api-key": "k"}, b"{}"))


def message(entry: Entry) -> str:
    text: str = json.loads(entry.plan.body())["error"]["message"]
    return text


@pytest.mark.parametrize(
    ("path", "pattern", "params"),
    [
        ("/v1/messages", "/v1/messages", {}),
        ("/%761/mess%61ges", "/v1/messages", {}),
        ("/v1/messages/count_tokens", "/v1/messages/count_tokens", {}),
        ("/v1/models", "/v1/models", {}),
        ("/v1/models/claude-opus-4-8", "/v1/models/{id...}", {"id": "claude-opus-4-8"}),
        ("/v1/models/anthropic/claude-opus-4.8", "/v1/models/{id...}", {"id": "anthropic/claude-opus-4.8"}),
        ("/v1/models/anthropic%2Fclaude-opus-4.8", "/v1/models/{id...}", {"id": "anthropic/claude-opus-4.8"}),
        ("/v1/models/..%2f..%2fv1%2fmessages", "/v1/models/{id...}", {"id": "../../v1/messages"}),
        ("/v1/models/../messages", "/v1/models/{id...}", {"id": "../messages"}),
    ],
)
def test_a_path_finds_its_endpoint(path: str, pattern: str, params: dict[str, str]) -> None:
    assert find(path) == (pattern, params)


@pytest.mark.parametrize(
    "path",
    ["", "/", "*", "/v1", "/v1/", "/v1/messages/", "//v1/messages", "/v1//messages", "/v1/models/", "/V1/messages",
     "/v1/messages%2Fcount_tokens", "/messages", "/v1/messages/count_tokens/x"],
)  # fmt: skip
def test_any_other_path_is_a_404_that_lists_what_exists(path: str) -> None:
    entry = ask("POST", path)
    assert entry.status == 404
    assert json.loads(entry.plan.body())["error"]["type"] == "not_found_error"
    assert all(pattern.replace("...", "") in message(entry) for pattern in ENDPOINTS)


def test_a_long_path_is_not_repeated_whole() -> None:
    assert len(message(ask("GET", "/x" * 30_000))) < 600


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/messages", "POST, OPTIONS"),
        ("HEAD", "/v1/messages", "POST, OPTIONS"),
        ("DELETE", "/v1/messages", "POST, OPTIONS"),
        ("GET", "/v1/messages/count_tokens", "POST, OPTIONS"),
        ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("DELETE", "/v1/models/claude-opus-4-8", "GET, HEAD, OPTIONS"),
        ("get", "/v1/models", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_a_405_that_says_which_are_right(method: str, path: str, allow: str) -> None:
    entry = ask(method, path)
    assert (entry.status, entry.headers["allow"]) == (405, allow)


def test_what_is_answered_with_get_is_answered_with_head() -> None:
    assert ask("HEAD", "/v1/models").plan.body() == ask("GET", "/v1/models").plan.body()


@pytest.mark.parametrize("path", [pattern for pattern in ENDPOINTS if family(pattern)])
def test_a_profile_can_be_without_a_family_of_endpoints(path: str) -> None:
    off = family(path)
    other = "models" if off == "files" else "files"
    for method in ENDPOINTS[path]:
        asked = path.replace("{id...}", "claude-opus-4-8").replace("{id}", "x")
        entry = ask(method, asked, off=off)
        assert entry.status == 404
        assert f"has no {off}" in message(entry)
        assert path.replace("...", "") not in message(entry).partition("served are ")[2].split(", ")
        assert "Not found: /v1" not in ask(method, asked, off=other).plan.body().decode()


def test_messages_belong_to_no_family() -> None:
    assert family("/v1/messages") is None
    assert set(FAMILIES.values()) == set(OCTEN.endpoints)


def test_v1_twice_and_another_base_path_are_told_apart() -> None:
    assert "leave it out of the base URL" in message(ask("POST", "/v1/v1/messages"))
    assert "/llm/v1" in message(ask("POST", "/other/v1/messages", base_path="/llm"))


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/message", "did you mean /v1/messages? served are "),
        ("/v1/messages/count_token", "did you mean /v1/messages/count_tokens? served are "),
        ("/v1/chat/completions", "did you mean /v1/messages? served are "),
        ("/v1/responses", "did you mean /v1/messages? served are "),
        ("/v1/organizations", "served are "),
    ],
)
def test_a_path_that_is_nearly_one_is_told_which(path: str, hint: str) -> None:
    assert message(ask("POST", path)).startswith(f"Not found: {path}; {hint}/v1/messages, ")

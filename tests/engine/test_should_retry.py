"""`x-should-retry`: what each error says to a client that would try again, at every endpoint and in both profiles."""

import json
from typing import Any

import pytest

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol.errors import STATUS
from mock_server.protocol.request import HttpRequest

KEY = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
HI = {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
# status -> the header: recorded for 400, 401, 403, 404, 413 and 429; on no other has one been seen
SAYS = {400: "false", 401: "false", 403: "false", 404: "false", 413: "false", 429: "true"}
PROFILES = ["anthropic", "octen"]


def send(engine: Engine, method: str, path: str, body: Any = None, headers: Any = KEY) -> Entry:
    return engine.handle(HttpRequest(method, path, headers, b"" if body is None else json.dumps(body).encode()))


def word(entry: Entry) -> list[str]:
    return [value for name, value in entry.exchange.plan.headers if name.lower() == "x-should-retry"]


def expected(status: int) -> list[str]:
    return [SAYS[status]] if status in SAYS else []


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("type", STATUS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_of_a_scenario_says_what_its_status_says(engine, profile: str, type: str, stream: bool) -> None:
    entry = send(engine(f"name: n\nturns: [error: {type}]", profile=profile),
                 "POST", "/v1/messages", {**HI, "stream": stream})  # fmt: skip
    assert entry.status == STATUS[type]
    assert word(entry) == expected(STATUS[type])


@pytest.mark.parametrize("status", [400, 402, 403, 405, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529])
def test_the_status_decides_not_the_type(engine, status: int) -> None:
    entry = send(engine(f"name: n\nturns: [error: {{status: {status}}}]"), "POST", "/v1/messages", HI)
    assert (entry.status, word(entry)) == (status, expected(status))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/messages", {**HI, "messages": []}, 400),
        ("POST", "/v1/messages", {**HI, "model": "nobody"}, 404),
        ("POST", "/v1/messages/count_tokens", {"model": "claude-haiku-4-5", "messages": []}, 400),
        ("POST", "/v1/complete", {"model": "claude-haiku-4-5"}, 400),
        ("GET", "/v1/models/nobody", None, 404),
        ("GET", "/v1/messages/batches/nobody", None, 404),
        ("POST", "/v1/messages/batches", {"requests": []}, 400),
        ("GET", "/v1/files/nobody", None, 404),
        ("GET", "/v1/nowhere", None, 404),
        ("GET", "/v1/messages", None, 405),
    ],
)
def test_it_is_said_at_every_endpoint(engine, profile: str, method: str, path: str, body: Any, status: int) -> None:
    entry = send(engine(profile=profile), method, path, body)
    assert (entry.status, word(entry)) == (status, expected(status))


def test_it_is_said_to_who_has_no_key_and_to_who_sends_too_much(engine) -> None:
    made = engine()
    assert word(send(made, "POST", "/v1/messages", HI, {})) == ["false"]
    limited = engine("name: n\nreply: hi", rate_limits="requests=1", unmatched="generate", profile="anthropic")
    assert send(limited, "POST", "/v1/messages", HI).status == 200
    refused = send(limited, "POST", "/v1/messages", HI)
    assert (refused.status, word(refused)) == (429, ["true"])


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("error: {type: invalid_request_error, should_retry: true}", ["true"]),
        ("error: {type: rate_limit_error, should_retry: false}", ["false"]),
        ("error: {type: overloaded_error, should_retry: true}", ["true"]),
        ("error: rate_limit_error, headers: {X-Should-Retry: 'false'}", ["false"]),
    ],
)
def test_the_word_of_a_scenario_wins(engine, script: str, said: list[str]) -> None:
    assert word(send(engine(f"name: n\nturns: [{{{script}}}]"), "POST", "/v1/messages", HI)) == said


def test_what_is_our_own_error_is_never_worth_a_retry(engine) -> None:
    unmatched = send(engine(), "POST", "/v1/messages", HI)
    nobody = send(engine(), "POST", "/v1/messages", HI, {**KEY, "x-mock-scenario": "nobody"})
    assert (word(unmatched), word(nobody)) == (["false"], ["false"])


def test_a_reply_says_nothing_of_it(engine) -> None:
    assert word(send(engine("name: n\nreply: hi"), "POST", "/v1/messages", HI)) == []

"""The reply to a request nothing matches: plausible, seeded, and as the request asks for it."""

import json
from typing import Any

import jsonschema
import pytest

from mock_server.engine.engine import Engine
from mock_server.protocol import tokens
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

PROFILE = load_profile("octen")
WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
        },
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
}
ANSWER = {"name": "final_answer", "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}}}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(Settings(time_scale=0), PROFILE)


def ask(engine: Engine, messages: Any = "Hi", **body: Any) -> dict[str, Any]:
    talk = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    request = {"model": "claude-opus-4-8", "max_tokens": 400, "messages": talk, **body}
    plan = engine.handle(HttpRequest("POST", "/v1/messages", {"x-api-key": "k"}, json.dumps(request).encode())).plan
    assert plan.status == 200, plan.body()
    message: dict[str, Any] = json.loads(plan.body())
    return message


@pytest.mark.parametrize("limit", [1, 2, 5, 20])
def test_a_text_is_as_long_as_it_is_and_is_cut_like_any(engine: Engine, limit: int) -> None:
    whole = ask(engine, max_tokens=1000)
    message = ask(engine, max_tokens=limit)
    text = message["content"][0]["text"]
    assert (whole["stop_reason"], message["stop_reason"]) == ("end_turn", "max_tokens")
    assert message["usage"]["output_tokens"] == limit
    assert 0 < tokens.count(text) <= limit
    assert whole["content"][0]["text"].startswith(text)


def test_one_token_is_one_token(engine: Engine) -> None:
    message = ask(engine, max_tokens=1, model="claude-haiku-4-5")
    assert tokens.count(message["content"][0]["text"]) == 1
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 1)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_a_forced_tool_is_called_with_input_that_validates(engine: Engine, choice: dict[str, Any]) -> None:
    for prompt in ("Paris?", "Rome?", "Oslo?"):
        message = ask(engine, prompt, tools=[WEATHER], tool_choice=choice)
        (call,) = message["content"]
        assert (message["stop_reason"], call["name"]) == ("tool_use", "get_weather")
        jsonschema.validate(call["input"], WEATHER["input_schema"])  # type: ignore[arg-type]


def test_an_agent_that_always_forces_a_tool_reaches_each_of_them_and_ends(engine: Engine) -> None:
    talk: list[dict[str, Any]] = [{"role": "user", "content": "Plan my day"}]
    called = []
    for _ in range(2):
        (call,) = ask(engine, talk, tools=[WEATHER, ANSWER], tool_choice={"type": "any"})["content"]
        called.append(call["name"])
        talk += [
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "ok"}]},
        ]
    assert sorted(called) == ["final_answer", "get_weather"]


@pytest.mark.parametrize("choice", [None, {"type": "auto"}, {"type": "none"}])
def test_tools_that_are_only_offered_get_text(engine: Engine, choice: dict[str, Any] | None) -> None:
    more = {} if choice is None else {"tool_choice": choice}
    message = ask(engine, tools=[WEATHER], **more)
    assert [block["type"] for block in message["content"]] == ["text"]


@pytest.mark.parametrize(
    ("type", "name", "key"),
    [
        ("bash_20250124", "bash", "command"),
        ("text_editor_20250728", "str_replace_based_edit_tool", "path"),
        ("memory_20250818", "memory", "command"),
    ],
)
def test_a_tool_whose_schema_the_api_knows_gets_input_too(engine: Engine, type: str, name: str, key: str) -> None:
    (call,) = ask(engine, tools=[{"type": type, "name": name}], tool_choice={"type": "any"})["content"]
    assert call["name"] == name
    assert key in call["input"]


def test_a_forced_tool_of_the_servers_own_gets_an_answer(engine: Engine) -> None:
    tool = {"type": "octen_search", "name": "octen_search"}
    assert ask(engine, tools=[tool], tool_choice={"type": "tool", "name": "octen_search"})["content"]


def test_a_format_gets_one_text_block_of_json_that_validates(engine: Engine) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
        "required": ["name", "tags"],
        "additionalProperties": False,
    }
    message = ask(engine, output_config={"format": {"type": "json_schema", "schema": schema}})
    (block,) = message["content"]
    jsonschema.validate(json.loads(block["text"]), schema)


def test_a_stop_sequence_cuts_generated_text_too(engine: Engine) -> None:
    whole = ask(engine, "Tell me")["content"][0]["text"]
    word = whole.split()[3]
    message = ask(engine, "Tell me", stop_sequences=[word])
    assert message["stop_sequence"] == word
    assert whole.startswith(message["content"][0]["text"] + word)


def test_a_schema_nothing_can_satisfy_is_said_so(engine: Engine) -> None:
    tool = {"name": "f", "input_schema": {"type": "object", "required": ["a"], "properties": {"a": False}}}
    body = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    request = json.dumps({**body, "tools": [tool], "tool_choice": {"type": "any"}}).encode()
    plan = engine.handle(HttpRequest("POST", "/v1/messages", {"x-api-key": "k"}, request)).plan
    assert plan.status == 400
    assert b"cannot make up the input of tool 'f'" in plan.body()


def test_a_search_that_only_the_log_would_make_fails_nobody(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mock_server")
    engine = Engine(Settings(), PROFILE)
    engine.load(
        loads(
            "name: guarded\nwhen: {header: {x-search: \"1\"}, prompt: {regex: '^(?:\\w+\\s?)*\\B\\b$'}}\nreply: Found"
        )
    )
    for size in (100_000, 300_000):  # a short request, and one that is looked through beside the loop
        entry = ask(engine, "a" * size)
        assert (entry.status, entry.scenario) == (200, None)

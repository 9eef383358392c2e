"""Fields that no Messages API has: the gateway ignores them, and everybody is told."""

import inspect
import json
import logging
from typing import Any

import anthropic.types
import anthropic.types.beta
import pytest
import typing_extensions
from agents import ORDINARY, SIDE_CALLS

from mock_server.protocol.request import HttpRequest, MessagesRequest
from mock_server.protocol.rules import content, ignored, ignored_text, tools

KEY = {"x-api-key": "k"}
HELLO = "name: hello\nreply: Hi"
BLOCK = {"type": "text", "text": "Hi"}
TOOL = {"name": "weather", "input_schema": {"type": "object"}}


def said(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks), **more}]}


# what is asked, and the warning
TABLE: list[tuple[dict[str, Any], str]] = [
    ({"temprature": 1}, "parameter 'temprature' is ignored (did you mean 'temperature'?)"),
    ({"maxTokens": 1}, "parameter 'maxTokens' is ignored (did you mean 'max_tokens'?)"),
    ({"stop": ["x"]}, "parameter 'stop' is ignored (did you mean 'stop_sequences'?)"),
    ({"reasoning_effort": "low"}, "parameter 'reasoning_effort' is ignored (did you mean 'output_config.effort'?)"),
    ({"functions": []}, "parameter 'functions' is ignored (did you mean 'tools'?)"),
    ({"function_call": "auto"}, "parameter 'function_call' is ignored (did you mean 'tool_choice'?)"),
    ({"input": "Hi"}, "parameter 'input' is ignored (did you mean 'messages'?)"),
    ({"instructions": "Hi"}, "parameter 'instructions' is ignored (did you mean 'system'?)"),
    ({"prompt": "Hi"}, "parameter 'prompt' is ignored (did you mean 'messages'?)"),
    ({"system_prompt": "Hi"}, "parameter 'system_prompt' is ignored (did you mean 'system'?)"),
    ({"reasoning": {}}, "parameter 'reasoning' is ignored (did you mean 'thinking'?)"),
    ({"response_format": {}}, "parameter 'response_format' is ignored (did you mean 'output_config.format'?)"),
    ({"presence_penalty": 1}, "parameter 'presence_penalty' is ignored"),
    ({"user": "u"}, "parameter 'user' is ignored (did you mean 'metadata.user_id'?)"),
    (
        {"parallel_tool_calls": True},
        "parameter 'parallel_tool_calls' is ignored (did you mean 'tool_choice.disable_parallel_tool_use'?)",
    ),
    ({"max_completion_tokens": 1}, "parameter 'max_completion_tokens' is ignored (did you mean 'max_tokens'?)"),
    ({"max_output_tokens": 1}, "parameter 'max_output_tokens' is ignored (did you mean 'max_tokens'?)"),
    ({"frequency_penalty": 1}, "parameter 'frequency_penalty' is ignored"),
    ({"xyz": 1}, "parameter 'xyz' is ignored"),
    (
        {"temprature": 1, "xyz": 1, "tool_choise": 1},
        "parameters 'temprature' (did you mean 'temperature'?), 'xyz', 'tool_choise' (did you mean 'tool_choice'?) are "
        "ignored",
    ),
    (
        {f"some_rather_long_name_number_{at}": 1 for at in range(9)},
        "parameters 'some_rather_long_name_number_0', 'some_rather_long_name_number_1', "
        "'some_rather_long_name_number_2', 'some_rather_long_name_number_3' and 5 more are ignored",
    ),
    (
        {"thinking": {"type": "adaptive", "displya": "omitted"}},
        "parameter 'thinking.displya' is ignored (did you mean 'display'?)",
    ),
    (
        {"output_config": {"efort": "low"}},
        "parameter 'output_config.efort' is ignored (did you mean 'effort'?)",
    ),
    ({"metadata": {"userid": "u"}}, "parameter 'metadata.userid' is ignored (did you mean 'user_id'?)"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel": True}},
        "parameter 'tool_choice.disable_parallel' is ignored (did you mean 'disable_parallel_tool_use'?)",
    ),
    (
        {"tools": [TOOL | {"parameters": {}}]},
        "parameter 'tools.0.parameters' is ignored (did you mean 'input_schema'?)",
    ),
    (
        {"tools": [TOOL, {"type": "web_search_20250305", "name": "web_search", "max_use": 1}]},
        "parameter 'tools.1.max_use' is ignored (did you mean 'max_uses'?)",
    ),
    (
        {"tools": [{"type": "octen_search", "name": "octen_search", "parameters": {"cuont": 2}}]},
        "parameter 'tools.0.parameters.cuont' is ignored (did you mean 'count'?)",
    ),
    (
        {"system": [{**BLOCK, "cache_contol": {}}]},
        "parameter 'system.0.cache_contol' is ignored (did you mean 'cache_control'?)",
    ),
    (said(BLOCK, name="bob"), "parameter 'messages.0.name' is ignored"),
    ({"messages": [{"role": "user", "content": "Hi", "name": "bob"}]}, "parameter 'messages.0.name' is ignored"),
    (
        said(BLOCK, {**BLOCK, "cache_control": {"type": "ephemeral", "tll": "5m"}}),
        "parameter 'messages.0.content.1.cache_control.tll' is ignored (did you mean 'ttl'?)",
    ),
    (
        said({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x", "dat": 1}}),
        "parameter 'messages.0.content.0.source.dat' is ignored (did you mean 'data'?)",
    ),
    (said(*[{**BLOCK, "txt": 1}] * 20), "parameter 'messages.0.content.0.txt' is ignored (did you mean 'text'?)"),
    ({"x\r\ny: z": 1}, "parameter 'x y: z' is ignored"),
]


@pytest.mark.parametrize(("asked", "warning"), TABLE, ids=[warning[:60] for _, warning in TABLE])
def test_what_nobody_knows_is_told(asked: dict[str, Any], warning: str, engine: Any, ask: Any) -> None:
    entry = ask(engine(HELLO), **asked)
    assert (entry.status, entry.warnings) == (200, (warning,))
    assert entry.headers["x-mock-warning"] == warning
    assert len(warning) <= 200


@pytest.mark.parametrize(("asked", "warning"), TABLE, ids=[warning[:60] for _, warning in TABLE])
def test_it_is_told_every_time(asked: dict[str, Any], warning: str, engine: Any, ask: Any) -> None:
    """Also of requests whose rest is known already."""
    made = engine(HELLO)
    assert [ask(made, **asked).warnings for _ in range(6)] == [(warning,)] * 6


# What only looks strange: each is in the API's documentation, or in the SDK's types.
KNOWN: list[dict[str, Any]] = [
    {"temperature": 1, "top_k": 1, "service_tier": "auto"},
    {"output_config": {"effort": "low", "task_budget": {"type": "tokens", "total": 9}}},
    {"tools": [{"type": "octen_search", "name": "octen_search", "count": 2, "parameters": {"count": 2}}]},
    said({**BLOCK, "cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"}}),
    {"context_management": {"edits": []}},
]


@pytest.mark.parametrize("asked", KNOWN, ids=str)
def test_what_the_api_has_is_not_warned_of(asked: dict[str, Any], engine: Any, ask: Any) -> None:
    assert ask(engine(HELLO), **asked).warnings == ()


def test_the_strict_profile_refuses_at_the_top_and_warns_of_what_it_lets_pass(engine: Any, ask: Any) -> None:
    made = engine(HELLO, profile="anthropic")
    refused = ask(made, temprature=1)
    assert (refused.status, refused.note) == (400, "temprature: Extra inputs are not permitted")
    passed = ask(made, output_config={"efort": "low"})
    assert passed.warnings == ("parameter 'output_config.efort' is ignored (did you mean 'effort'?)",)


def test_a_line_about_the_exchange_tells_it(engine: Any, ask: Any) -> None:
    line = "POST /v1/messages 'Hello' -> 200 {}parameter 'temprature' is ignored (did you mean 'temperature'?), open"
    assert str(ask(engine(HELLO), temprature=1)) == line.format("hello turn 1: ")
    assert str(ask(engine(unmatched="generate"), temprature=1)) == line.format("generated; ")


def test_the_log_tells_each_name_once(engine: Any, ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    made = engine(HELLO)
    with caplog.at_level(logging.WARNING, logger="mock_server"):
        for at in range(3):
            ask(
                made,
                messages=[{"role": "user", "content": [BLOCK, {"type": "text", "text": f"{at}", "txt": 1}]}],
                xyz=1,
            )
    said = [one.getMessage() for one in caplog.records]
    assert len(said) == 1
    assert said[0].startswith("parameters 'xyz', 'messages.0.content.1.txt'")


def test_a_longer_conversation_goes_on_telling(engine: Any, ask: Any) -> None:
    made, story = engine(HELLO), [{"role": "user", "content": [{**BLOCK, "txt": 1}] + [BLOCK] * 200}]
    for _ in range(4):
        entry = ask(made, messages=story)
        assert [one.partition(" is ")[0] for one in entry.warnings] == ["parameter 'messages.0.content.0.txt'"]
        story = [*story, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "And?"}]


def test_the_same_bytes_again_are_warned_of_again(engine: Any, ask: Any) -> None:
    made = engine(HELLO, seed=None)
    body = json.dumps(
        {"model": "claude-opus-4-8", "max_tokens": 9, "xyz": 1, "messages": [{"role": "user", "content": "Hi"}]}
    )
    http = HttpRequest("POST", "/v1/messages", {"x-api-key": "k"}, body.encode())
    for _ in range(3):
        entry = made.handle(http)
        entry.end("completed", len(entry.plan.frames))
        made.remember(body.encode(), http, entry)
    one = made.remembered(body.encode())
    assert one is not None
    assert made.repeat(one).headers["x-mock-warning"] == "parameter 'xyz' is ignored"


def test_counting_and_completions_tell_it_too(engine: Any, ask: Any) -> None:
    made = engine(HELLO)
    body: dict[str, Any] = {
        "model": "claude-opus-4-8",
        "messages": [{"role": "user", "content": "Hi"}],
        "temprature": 1,
    }
    counted = made.handle(HttpRequest("POST", "/v1/messages/count_tokens", KEY, json.dumps(body).encode()))
    assert counted.headers["x-mock-warning"] == "parameter 'temprature' is ignored (did you mean 'temperature'?)"
    body = {
        "model": "claude-opus-4-8",
        "prompt": "\n\nHuman: Hi\n\nAssistant:",
        "max_tokens_to_sample": 9,
        "max_tokens": 9,
    }
    completed = made.handle(HttpRequest("POST", "/v1/complete", KEY, json.dumps(body).encode()))
    assert completed.headers["x-mock-warning"].startswith(
        "parameter 'max_tokens' is ignored (did you mean 'max_tokens_"
    )


@pytest.mark.parametrize(("validation", "told"), [("strict", 1), ("warn", 1), ("off", 0)])
def test_validation_decides_whether_it_is_told(validation: str, told: int, engine: Any, ask: Any) -> None:
    assert len(ask(engine(HELLO, validation=validation), temprature=1).warnings) == told


def test_beside_what_is_let_pass_it_is_told_too(engine: Any, ask: Any) -> None:
    entry = ask(engine(HELLO, validation="warn"), temprature=1, model="claude-sonet-5")
    parameter, model = entry.warnings
    assert parameter == "parameter 'temprature' is ignored (did you mean 'temperature'?)"
    assert model.startswith("404 not_found_error: Model or resource not found: profile octen serves no model")


def test_a_name_without_end_costs_little() -> None:
    body = {"model": "m", "messages": [], **{f"{at} {'x' * 300}": 1 for at in range(20_000)}}
    found = ignored(MessagesRequest(body))
    assert len(found) == 10
    assert len(ignored_text(found)) <= 200
    assert max(len(one.path) for one in found) <= 200


def fields(made: Any) -> tuple[set[str], list[str]]:
    """The fields of one of the SDK's types for requests, and what its `type` may be."""
    hints = typing_extensions.get_type_hints(made)  # which knows `Required` on every Python
    return set(hints), [str(one) for one in typing_extensions.get_args(hints.get("type")) if isinstance(one, str)]


def test_no_field_of_the_sdks_types_is_strange() -> None:
    looked_at = 0
    for module in (anthropic.types, anthropic.types.beta):
        for name, made in inspect.getmembers(module, inspect.isclass):
            # what is in a block or a tool, and has a type of the same name
            if (
                not name.endswith("Param")
                or "Source" in name
                or "Caller" in name
                or not hasattr(made, "__annotations__")
            ):
                continue
            try:
                names, types = fields(made)
            except NameError:  # the SDK leaves a name out
                continue
            for kind in types:
                value = {**dict.fromkeys(names), "type": kind}
                found = [*content.strange(value), *(tools.strange(value) if kind in (*tools.TYPED, "custom") else ())]
                assert found == [], f"{name}: {found}"
                looked_at += kind in content.BLOCK_PARAMS or kind in tools.TYPED
    assert looked_at > 60


@pytest.mark.parametrize("name", ["BetaOutputConfigParam", "BetaMetadataParam", "BetaCacheControlEphemeralParam"])
def test_no_field_of_the_sdks_parameters_is_strange(name: str) -> None:
    names, types = fields(getattr(anthropic.types.beta, name))
    parameter = {"O": "output_config", "M": "metadata", "C": "cache_control"}[name.removeprefix("Beta")[0]]
    value = {**dict.fromkeys(names), **({"type": types[0]} if types else {})}
    assert ignored(MessagesRequest({parameter: value, "messages": []})) == ()


def test_nothing_that_agents_send_is_strange() -> None:
    sent = [*ORDINARY.values(), *(one for many in SIDE_CALLS.values() for one in many)]
    assert [ignored(MessagesRequest(dict(one.body))) for one in sent] == [()] * len(sent)


def test_what_is_no_message_is_passed_over() -> None:
    said = ["Hi", {"role": "user", "content": "Hi", "name": "Ann"}]
    assert [one.path for one in ignored(MessagesRequest({"messages": said}, {}))] == ["messages.1.name"]

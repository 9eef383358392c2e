"""The engine at its edge: keys, versions, paths, models, sessions, faults of ours, what is said when nothing matches."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mock_server.engine import engine as module
from mock_server.engine.engine import Engine
from mock_server.protocol.plan import Plan
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import build, loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

PROFILES = {name: load_profile(name) for name in ("octen", "anthropic")}
Asks = Callable[..., Plan]


def engine_of(text: str = "name: hello\nreply: Hello!", profile: str = "octen", **settings: Any) -> Engine:
    engine = Engine(Settings(time_scale=0, **settings), PROFILES[profile])
    engine.load(loads(text))
    return engine


def ask(engine: Engine, text: str = "Hi", headers: dict[str, str] | None = None, **more: Any) -> Plan:
    body = {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": text}]}
    given = {"x-api-key": "k", "anthropic-version": "2023-06-01"} if headers is None else headers
    session, path, method = more.pop("session", None), more.pop("path", "/v1/messages"), more.pop("method", "POST")
    return engine.handle(HttpRequest(method, path, given, json.dumps({**body, **more}).encode(), session)).plan


def error(plan: Plan) -> tuple[int, str, str]:
    value = json.loads(plan.body())["error"]
    return plan.status, value["type"], value["message"]


def text_of(plan: Plan) -> str:
    message = json.loads(plan.body())
    assert plan.status == 200, message
    text: str = message["content"][0]["text"]
    return text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": "any"}, 200),
        ({"authorization": "Bearer any"}, 200),
        ({"authorization": "bearer any"}, 200),
        ({"x-api-key": "any", "authorization": "Bearer other"}, 200),
        ({}, 401),
        ({"x-api-key": " "}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": "Basic dTpw"}, 401),
    ],
)
def test_any_key_in_either_header_will_do_but_there_must_be_one(headers: dict[str, str], status: int) -> None:
    assert ask(engine_of(), headers=headers).status == status


@pytest.mark.parametrize(
    ("key", "status"), [("team-a", 200), ("exact", 200), ("Team-a", 401), ("other", 401), ("exactly", 401)]
)
def test_an_allow_list_of_globs_refuses_other_keys(key: str, status: int) -> None:
    plan = ask(engine_of(api_key=("team-*", "exact")), headers={"x-api-key": key})
    assert plan.status == status
    if status == 401:
        assert error(plan) == (401, "authentication_error", "Invalid API Key")


def test_an_unknown_bearer_token_is_an_unknown_key() -> None:
    plan = ask(engine_of(api_key=("good",)), headers={"authorization": "Bearer bad"})
    assert error(plan) == (401, "authentication_error", "Invalid API Key")


def test_x_api_key_wins_over_a_bearer_token() -> None:
    engine = engine_of(api_key=("good",))
    assert ask(engine, headers={"x-api-key": "bad", "authorization": "Bearer good"}).status == 401


@pytest.mark.parametrize(
    ("profile", "version", "status"),
    [
        ("octen", None, 200),
        ("octen", "1999-01-01", 200),
        ("anthropic", "2023-06-01", 200),
        ("anthropic", "2026-10-21", 200),
        ("anthropic", None, 400),
        ("anthropic", "1999-01-01", 400),
    ],
)
def test_the_version_header(profile: str, version: str | None, status: int) -> None:
    headers = {"x-api-key": "k", **({"anthropic-version": version} if version else {})}
    plan = ask(engine_of(profile=profile), headers=headers)
    assert plan.status == status
    if status == 400:
        wanted = f'"{version}" is not a valid version' if version else "header is required"
        assert error(plan) == (400, "invalid_request_error", f"anthropic-version: {wanted}")


def test_an_unknown_path_and_a_wrong_method() -> None:
    assert error(ask(engine_of(), path="/v1/nope"))[:2] == (404, "not_found_error")
    plan = ask(engine_of(), method="GET")
    assert (plan.status, dict(plan.headers)["allow"]) == (405, "POST, OPTIONS")


@pytest.mark.parametrize("profile", PROFILES)
def test_every_reply_has_a_request_id(profile: str) -> None:
    for plan in (ask(engine_of(profile=profile)), ask(engine_of(profile=profile), path="/nope")):
        assert dict(plan.headers)["request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("profile", "model", "echoed"),
    [
        ("octen", "anthropic/claude-opus-4.8", "anthropic/claude-opus-4.8"),
        ("octen", "claude-opus-4-8", "anthropic/claude-opus-4.8"),
        ("octen", "claude-haiku-4-5-20251001", "anthropic/claude-haiku-4.5"),
        ("octen", "openai/gpt-5.5", "openai/gpt-5.5"),
        ("octen", "gpt-5.5", None),
        ("octen", "anthropic/claude-opus-4-8", None),
        ("octen", "claude-opus-4.8", None),
        ("anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ("anthropic", "anthropic/claude-opus-4.8", None),
    ],
)
def test_model_names(profile: str, model: str, echoed: str | None) -> None:
    plan = ask(engine_of(profile=profile), model=model)
    if echoed is None:
        assert error(plan)[:2] == (404, "not_found_error")
        assert "--any-model" in dict(plan.headers)["x-mock-hint"]
    else:
        assert json.loads(plan.body())["model"] == echoed


def test_any_model_accepts_every_name_and_says_it_back() -> None:
    assert json.loads(ask(engine_of(any_model=True), model='my "own" model').body())["model"] == 'my "own" model'


def test_a_fault_of_ours_is_a_500_and_the_server_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = engine_of()
    with monkeypatch.context() as broken:
        broken.setattr(module, "_check_version", lambda *_: 1 / 0)
        assert error(ask(engine))[:2] == (500, "api_error")
    assert "ZeroDivisionError" in caplog.text
    assert text_of(ask(engine)) == "Hello!"


def test_a_body_nested_too_deeply_is_the_clients_fault() -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = {"a": deep}
    plan = ask(
        engine_of("name: a\nturns:\n  - attempts: [error: 529, reply: hi]"), metadata={"user_id": None, "x": deep}
    )
    assert plan.status != 500


def test_a_call_although_tool_choice_is_none_is_played_loudly(caplog: pytest.LogCaptureFixture) -> None:
    engine = engine_of("name: t\nreply: {type: tool_use, name: f, input: {}}")
    plan = ask(engine, tools=[{"name": "f", "input_schema": {"type": "object"}}], tool_choice={"type": "none"})
    warning = "scenario 't' turn 1 calls a tool although tool_choice is none"
    assert dict(plan.headers)["x-mock-warning"] == warning
    assert warning in caplog.text


# -- nothing matches ------------------------------------------------------------------------------------------------


def test_unmatched_error_says_what_was_nearest_and_why() -> None:
    engine = engine_of(
        "name: weather\nwhen: {prompt: weather, tools: [get_weather]}\nreply: x\n---\n"
        "name: time\nwhen: {prompt: time}\nreply: x\n---\nname: named\nwhen: named\nreply: x",
        unmatched="error",
    )
    plan = ask(engine, "the weather?")
    assert dict(plan.headers)["x-should-retry"] == "false"
    assert error(plan) == (
        400,
        "invalid_request_error",
        "No scenario matches this request. Nearest:\n"
        "  weather: tools: wanted 'get_weather', got no tools\n"
        "  time: prompt: wanted contains 'time', got 'the weather?'",
    )


def test_past_the_last_turn_the_near_miss_says_so() -> None:
    engine = engine_of("name: two\nturns: [one, two]", unmatched="error")
    talk = [{"role": role, "content": "x"} for role in ("user", "assistant", "user", "assistant", "user")]
    assert "two: no reply is left: it has 2 turns, this is turn 3" in error(ask(engine, messages=talk))[2]


def test_unmatched_generate_answers() -> None:
    assert text_of(ask(engine_of("name: n\nwhen: named\nreply: x")))


# -- by name --------------------------------------------------------------------------------------------------------

NAMED = "name: one\nwhen: named\nreply: One.\n---\nname: two\nwhen: named\nreply: Two.\n---\nname: any\nreply: Any."


@pytest.mark.parametrize(
    ("text", "headers", "system", "answer"),
    [
        ("Hi", {}, None, "Any."),
        ("Hi", {"x-mock-scenario": "one"}, None, "One."),
        ("[[scenario:two]] Hi", {}, None, "Two."),
        ("[[scenario:two]] Hi", {"x-mock-scenario": "one"}, None, "One."),
        ("Hi", {}, "Be brief. [[scenario:one]]", "One."),
        ("[[scenario:two]]", {}, "[[scenario:one]]", "Two."),
    ],
)
def test_a_scenario_is_picked_by_name(text: str, headers: dict[str, str], system: str | None, answer: str) -> None:
    more = {} if system is None else {"system": system}
    assert text_of(ask(engine_of(NAMED), text, {"x-api-key": "k", **headers}, **more)) == answer


def test_an_unknown_name_is_a_400_that_lists_the_close_ones() -> None:
    status, _, message = error(ask(engine_of(NAMED), headers={"x-api-key": "k", "x-mock-scenario": "tow"}))
    assert (status, message) == (400, "no scenario is named 'tow'; did you mean 'two'?")


@pytest.mark.parametrize("door", ["header", "text"])
def test_a_name_of_60_kb_is_told_back_by_its_beginning(door: str) -> None:
    name = "two" * 20_000
    headers, text = ({"x-mock-scenario": name}, "Hi") if door == "header" else ({}, f"[[scenario:{name}]]")
    status, _, message = error(ask(engine_of(NAMED), text, {"x-api-key": "k", **headers}))
    assert (status, message) == (400, f"no scenario is named '{name[:99]}…'; known are any, one, two")


# -- order, attempts, times, sessions ---------------------------------------------------------------------------------


def test_priority_then_added_then_file_order() -> None:
    engine = engine_of(
        "name: a\nreply: A\n---\nname: b\nreply: B\n---\nname: c\nwhen: {prompt: top}\npriority: 1\nreply: C"
    )
    assert [text_of(ask(engine)), text_of(ask(engine, "top"))] == ["A", "C"]
    engine.add(engine.sessions.default, build({"name": "d", "reply": "D"}))
    engine.add(engine.sessions.default, build({"name": "e", "reply": "E"}))
    assert [text_of(ask(engine)), text_of(ask(engine, "top"))] == ["E", "C"]


RETRIED = "name: r\nturns:\n  - attempts: [{error: 529}, {error: 500}, {reply: done}]"


def test_the_same_request_again_is_the_next_attempt_and_after_the_last_the_first() -> None:
    engine = engine_of(RETRIED)
    assert [ask(engine).status for _ in range(6)] == [529, 500, 200, 529, 500, 200]


def test_attempts_of_other_requests_and_other_keys_are_apart() -> None:
    engine = engine_of(RETRIED)
    assert ask(engine, "one").status == 529
    assert ask(engine, "two").status == 529
    assert ask(engine, "one", {"x-api-key": "other"}).status == 529
    assert ask(engine, "one").status == 500


def test_the_clients_own_retry_count_is_believed() -> None:
    engine = engine_of(RETRIED)
    counts = [{"x-api-key": "k", "x-stainless-retry-count": str(n)} for n in (0, 1, 2)]
    assert [ask(engine, headers=headers).status for headers in counts] == [529, 500, 200]
    assert ask(engine, headers={"x-api-key": "k", "x-stainless-retry-count": "9"}).status == 200


def test_times_limits_how_many_exchanges_begin() -> None:
    engine = engine_of("name: once\ntimes: 1\nturns: [first, second]\n---\nname: rest\nreply: rest")
    assert [text_of(ask(engine)), text_of(ask(engine))] == ["first", "rest"]
    talk = [{"role": role, "content": "x"} for role in ("user", "assistant", "user")]
    assert text_of(ask(engine, messages=talk)) == "second"
    assert text_of(ask(engine, headers={"x-api-key": "another key"})) == "first"


@pytest.mark.parametrize(("at_end", "answers"), [("repeat", "two"), ("loop", "one"), ("pass", "rest"), ("error", None)])
def test_past_the_last_turn(at_end: str, answers: str | None) -> None:
    engine = engine_of(f"name: s\nat_end: {at_end}\nturns: [one, two]\n---\nname: t\nreply: rest")
    talk = [{"role": role, "content": "x"} for role in ("user", "assistant", "user", "assistant", "user")]
    plan = ask(engine, messages=talk)
    if answers is None:
        assert error(plan) == (400, "invalid_request_error", "scenario 's' is over: turn 3 of 2")
    else:
        assert text_of(plan) == answers


def test_anchor_session_takes_independent_calls_in_order() -> None:
    engine = engine_of("name: s\nanchor: session\nturns: [one, two]\n---\nname: t\nreply: rest")
    assert [text_of(ask(engine, word)) for word in ("a", "b", "a", "c")] == ["one", "two", "one", "rest"]


def test_sessions_by_header_base_path_and_claimed_key_have_scenarios_of_their_own() -> None:
    engine = engine_of()
    engine.add(engine.sessions.named("red"), build({"name": "r", "reply": "red"}))
    engine.add(engine.sessions.claim("blue key", "blue"), build({"name": "b", "reply": "blue"}))
    assert text_of(ask(engine)) == "Hello!"
    assert text_of(ask(engine, headers={"x-api-key": "k", "x-mock-session": "red"})) == "red"
    assert text_of(ask(engine, session="red")) == "red"
    assert text_of(ask(engine, headers={"x-api-key": "blue key"})) == "blue"
    engine.sessions.close("blue key")
    assert error(ask(engine, headers={"x-api-key": "blue key"}))[2] == "this API key belongs to a test that has ended"


# -- seeds ----------------------------------------------------------------------------------------------------------


def test_with_a_seed_the_same_request_has_the_same_bytes_in_another_engine() -> None:
    generated = "name: n\nwhen: named\nreply: x"
    first, second = engine_of(generated, seed=7), engine_of(generated, seed=7)
    ask(second, "something else in between")
    assert ask(first, "Tell me").body() == ask(second, "Tell me").body()
    assert ask(first, "Tell me").body() != ask(engine_of(generated, seed=8), "Tell me").body()


def test_the_same_request_again_has_other_ids_and_the_same_content() -> None:
    engine = engine_of("name: n\nwhen: named\nreply: x", seed=7)
    one, two = (json.loads(ask(engine, "Tell me").body()) for _ in range(2))
    assert one["id"] != two["id"]
    assert one["content"] == two["content"]


def test_without_a_seed_content_repeats_and_ids_do_not() -> None:
    one, two = (json.loads(ask(engine_of("name: n\nwhen: named\nreply: x"), "Tell me").body()) for _ in range(2))
    assert one["id"] != two["id"]
    assert one["content"] == two["content"]

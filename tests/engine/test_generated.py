"""Generated replies behave like a model's: they think where the request has it so, say what they are about, call the tool
that fits where they may, and can be sent back.
"""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema
import pytest
from anthropic.types import Message
from conformance import strict
from conftest import MakeEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.engine.engine import Engine
from mock_server.engine.unmatched import text
from mock_server.protocol import tokens
from mock_server.protocol.message import fold
from mock_server.protocol.plan import Plan
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import parse
from mock_server.scenario.generated.content import Generator
from mock_server.scenario.profiles import load_profile
from mock_server.scenario.reply import GeneratedReply
from mock_server.settings import Settings

WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
}
HI = [{"role": "user", "content": "Hi"}]


def send(served: Engine, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Plan:
    given = {"x-api-key": "k", "anthropic-version": "2023-06-01", **(headers or {})}
    return served.handle(HttpRequest("POST", "/v1/messages", given, json.dumps(body).encode())).plan


def message_of(plan: Plan) -> dict[str, Any]:
    return fold(parse(plan.body())) if plan.stream else json.loads(plan.body())


def ask(served: Engine, said: Any = "Hi", headers: Mapping[str, str] | None = None, **body: Any) -> dict[str, Any]:
    talk = [{"role": "user", "content": said}] if isinstance(said, str) else said
    plan = send(served, {"model": "claude-opus-4-8", "max_tokens": 400, "messages": talk, **body}, headers)
    assert plan.status == 200, plan.body()
    return message_of(plan)


@pytest.fixture(scope="module")
def plain(engine: MakeEngine) -> Engine:
    """An engine with nothing loaded."""
    return engine(unmatched="generate")


# -- what the text is about ---------------------------------------------------------------------------------------

REMINDER = {"type": "text", "text": "<system-reminder>\nToday is Monday.\n</system-reminder>"}


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("What is the weather in Paris?", "What is the weather in Paris"),
        ("[[scenario:made-up]] Fix the parser!", "Fix the parser"),
        ([REMINDER, {"type": "text", "text": "(Fix) the **parser**"}, REMINDER], "Fix the parser"),
        ("<p>Fix</p> {city} the {{ x }} `parser` \x00 now", "city the x parser now"),
        ("日本語で要約してください。" * 50, "日本語で要約してください。日本語で要約してくださ"),
        ("x" * 100_000, "x" * 24),
        ("one two three " * 10_000, "one two three one two three one two three one two three one"),
        ('{"a": [1, 2]}', "a 1 2"),
    ],
)
def test_a_few_words_of_the_prompt_are_in_it(engine: MakeEngine, prompt: Any, told: str) -> None:
    made_up = engine("name: made-up\nwhen: named\ngenerate: {}", unmatched="generate")
    (block,) = ask(made_up, [{"role": "user", "content": prompt}], model="claude-haiku-4-5")["content"]
    assert f'"{told}"' in block["text"]


@pytest.mark.parametrize("prompt", ["???", "<p></p>", "\U0001f600", [REMINDER], "{}"])
def test_a_prompt_without_a_word_gets_a_text_all_the_same(plain: Engine, prompt: Any) -> None:
    (block,) = ask(plain, [{"role": "user", "content": prompt}])["content"]
    assert '"' not in block["text"]


@pytest.mark.parametrize("style", ["prose", "markdown", "code", "json", "list"])
@pytest.mark.parametrize("locale", ["en_US", "de_DE"])
def test_they_are_in_a_text_of_every_style(style: str, locale: str) -> None:
    wanted = GeneratedReply(tokens=(80, 80), style=style, locale=locale)  # type: ignore[arg-type]
    made = text(wanted, b"seed", Generator(), 1000, about="Fix the parser")
    assert "Fix the parser" in made
    assert 40 < tokens.count(made) <= 80
    assert style != "json" or json.loads(made)["about"] == "Fix the parser"
    assert text(wanted, b"seed", Generator(), 1000) != made


# -- thoughts -----------------------------------------------------------------------------------------------------

ENABLED = {"type": "enabled", "budget_tokens": 1024}
CLAUDE = {"octen": "anthropic/claude-sonnet-4.6", "anthropic": "claude-sonnet-4-6"}


@pytest.fixture(params=["octen", "anthropic"])
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def kinds(message: Mapping[str, Any]) -> list[str]:
    return [block["type"] for block in message["content"]]


def thinking(served: Engine, prompt: str = "Hi", **body: Any) -> dict[str, Any]:
    return ask(served, prompt, **{"model": "claude-sonnet-4-6", "max_tokens": 2048, "thinking": ENABLED, **body})


def test_a_request_for_thinking_gets_a_thought_first(engine: MakeEngine, profile: str) -> None:
    served = engine(profile=profile, unmatched="generate")
    for prompt in ("Paris?", "Rome?", "Oslo?"):
        message = thinking(served, prompt, model=CLAUDE[profile])
        thought = message["content"][0]
        assert kinds(message) == ["thinking", "text"]
        assert prompt[:-1] in thought["thinking"] != message["content"][1]["text"]
        assert thought["signature"]
        assert 0 < message["usage"]["output_tokens_details"]["thinking_tokens"] <= 1024


def test_a_thought_that_max_tokens_cuts_is_all_there_is(engine: MakeEngine) -> None:
    served = engine(unmatched="generate")
    headers = {"anthropic-beta": "interleaved-thinking-2025-05-14"}  # with it the budget may be larger
    message = thinking(served, max_tokens=5, headers=headers)
    assert (kinds(message), message["stop_reason"]) == (["thinking"], "max_tokens")
    assert message["usage"]["output_tokens"] == message["usage"]["output_tokens_details"]["thinking_tokens"] == 5


@pytest.mark.parametrize(
    ("model", "display", "is_shown"),
    [
        ("claude-sonnet-4-6", None, True),
        ("claude-sonnet-4-6", "omitted", False),
        ("claude-opus-4-8", None, False),
        ("claude-opus-4-8", "summarized", True),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_thought_is_shown_as_the_request_and_the_model_have_it(
    engine: MakeEngine, model: str, display: str | None, is_shown: bool, stream: bool
) -> None:
    served = engine("name: s\ngenerate: {thinking: true}", profile="anthropic")
    given = {"type": "adaptive", **({} if display is None else {"display": display})}
    message = thinking(served, model=model, thinking=given, stream=stream)
    assert bool(message["content"][0]["thinking"]) is is_shown
    assert message["content"][0]["signature"]
    assert message["usage"]["output_tokens_details"]["thinking_tokens"] > 10


def test_the_gateway_shows_it_whichever_the_model(engine: MakeEngine) -> None:
    served = engine("name: s\ngenerate: {thinking: true}", profile="octen")
    assert thinking(served, model="anthropic/claude-opus-4.8", thinking=None)["content"][0]["thinking"]


def test_an_item_of_a_batch_gets_the_same(engine: MakeEngine) -> None:
    served = engine(unmatched="generate", profile="anthropic", batch_seconds=0)
    params = {"model": "claude-sonnet-4-6", "max_tokens": 2048, "thinking": ENABLED, "messages": HI}
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    body = json.dumps({"requests": [{"custom_id": "a", "params": params}]}).encode()
    batch = json.loads(served.handle(HttpRequest("POST", "/v1/messages/batches", headers, body)).plan.body())
    path = f"/v1/messages/batches/{batch['id']}/results"
    line = json.loads(served.handle(HttpRequest("GET", path, headers)).plan.body())
    assert kinds(line["result"]["message"]) == ["thinking", "text"]
    assert line["result"]["message"]["content"] == message_of(send(served, params))["content"]


def test_about_half_of_the_replies_think_where_the_model_may_decide(engine: MakeEngine) -> None:
    served = engine(unmatched="generate")
    for model in ("claude-opus-4-8", "claude-opus-5"):
        got = [kinds(thinking(served, f"Prompt {n}", model=model, thinking={"type": "adaptive"})) for n in range(100)]
        assert 30 < got.count(["thinking", "text"]) < 70
        assert got.count(["thinking", "text"]) + got.count(["text"]) == 100


def test_that_a_model_thinks_by_default_is_no_reason_to(engine: MakeEngine) -> None:
    served = engine(unmatched="generate", profile="anthropic")
    for model in ("claude-opus-5", "claude-fable-5", "claude-opus-5-5"):
        assert all(kinds(ask(served, f"Prompt {n}", model=model)) == ["text"] for n in range(8))


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("mode", [None, ENABLED, {"type": "adaptive"}, {"type": "disabled"}])
def test_a_script_decides_over_the_request(engine: MakeEngine, wanted: bool, mode: Mapping[str, Any] | None) -> None:
    served = engine(f"name: s\ngenerate: {{thinking: {str(wanted).lower()}}}")
    message = thinking(served, **({"thinking": mode} if mode else {"thinking": None}))
    assert kinds(message) == (["thinking", "text"] if wanted else ["text"])


def test_a_call_that_is_forced_begins_at_once(engine: MakeEngine) -> None:
    served = engine(unmatched="generate")
    forced = {"tools": [WEATHER], "tool_choice": {"type": "any"}, "thinking": {"type": "adaptive"}}
    assert all(kinds(thinking(served, f"Prompt {n}", **forced)) == ["tool_use"] for n in range(12))


def test_a_call_that_is_chosen_comes_after_the_thought(engine: MakeEngine) -> None:
    served = engine(unmatched="generate", generated_tools="matching")
    assert kinds(thinking(served, "The weather in Paris?", tools=[WEATHER])) == ["thinking", "tool_use"]


def test_what_continues_a_reply_does_not_begin_with_a_thought(engine: MakeEngine) -> None:
    served = engine(unmatched="generate")
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Well,"}]
    for n in range(12):
        talk[0] = {"role": "user", "content": f"Prompt {n}"}
        message = ask(served, talk, model="anthropic/claude-haiku-4.5", thinking={"type": "disabled"})
        assert kinds(message) == ["text"]


def test_thinking_between_tools_begins_with_the_results(engine: MakeEngine) -> None:
    served = engine(unmatched="generate", profile="anthropic")
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    sent = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}]}
    more = {"model": "claude-sonnet-5-5", "tools": [WEATHER], "thinking": {"type": "between_tools"}}

    def first(n: int, *said: Any) -> str:
        return kinds(ask(served, [{"role": "user", "content": f"Prompt {n}"}, *said], **more))[0]

    assert {first(n) for n in range(20)} == {"text"}
    assert {first(n, {"role": "assistant", "content": [call]}, sent) for n in range(20)} == {"text", "thinking"}


# -- tools that fit the prompt ------------------------------------------------------------------------------------


def offered(name: str, description: str = "", **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"it": {"type": "string"}}, "required": ["it"]}
    return {"name": name, "description": description, "input_schema": schema, **more}


OFFERED = [
    offered("get_weather", "The weather at a place."),
    offered("Read", "Reads a file from the disk. Usage: files are shown with numbers of lines."),
    offered("Write", "Writes a file to the disk."),
    offered("mcp__github__listIssues", "Lists the open issues of a repository."),
    offered("hidden", "Converts currencies.", defer_loading=True),
    offered("program", "Draws charts.", allowed_callers=["code_execution_20260120"]),
    {"type": "bash_20250124", "name": "bash"},
    {"type": "web_search_20250305", "name": "web_search"},
]


@pytest.mark.parametrize(
    ("prompt", "tool"),
    [
        ("What is the weather in Paris?", "get_weather"),
        ("Please read hello.py", "Read"),
        ("Show me reading material", "Read"),
        ("Write the result to a file", "Write"),
        ("Which issues are open?", "mcp__github__listIssues"),
        ("LIST ISSUES", "mcp__github__listIssues"),
        ("Run ls in bash", "bash"),
        ("Search the web for news", "web_search"),
        ("Convert currencies", None),
        ("Draw a chart", None),
        ("Hi", None),
        ("Get me the tool that you use", None),
        ("<system-reminder>The weather</system-reminder>", None),
        ("", None),
    ],
)
def test_the_tool_that_fits_the_prompt_best_is_called(engine: MakeEngine, prompt: str, tool: str | None) -> None:
    served = engine(unmatched="generate", generated_tools="matching", profile="anthropic", validation="warn")
    message = ask(served, prompt, tools=OFFERED)
    called = [block["name"] for block in message["content"] if block["type"].endswith("tool_use")]
    assert called == ([] if tool is None else [tool])
    assert message["stop_reason"] == ("end_turn" if tool in (None, "web_search") else "tool_use")


def test_a_deferred_tool_that_was_found_can_be_called(engine: MakeEngine) -> None:
    served = engine(unmatched="generate", generated_tools="matching")
    talk = [
        {"role": "user", "content": "Find tools"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "find", "input": {}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "tool_reference", "tool_name": "hidden"}],
                }
            ],
        },
        {"role": "assistant", "content": "Found."},
        {"role": "user", "content": "Convert currencies"},
    ]
    (call,) = ask(served, talk, tools=[*OFFERED[:-1], offered("find")])["content"]
    assert call["name"] == "hidden"


def test_the_setting_and_the_script_say_which_tools_are_called(engine: MakeEngine) -> None:
    def first(scenario: str, setting: str) -> str:
        served = engine(scenario, generated_tools=setting, unmatched="generate")
        return kinds(ask(served, "The weather in Paris?", tools=[WEATHER]))[0]

    scripted = "name: s\ngenerate: {tools: TOOLS}"
    assert [first("name: other\nwhen: named\nreply: x", one) for one in ("forced", "matching")] == ["text", "tool_use"]
    assert [first("name: s\ngenerate: {}", one) for one in ("forced", "matching")] == ["text", "tool_use"]
    assert [first(scripted.replace("TOOLS", one), "matching") for one in ("forced", "matching")] == ["text", "tool_use"]
    assert first(scripted.replace("TOOLS", "matching"), "forced") == "tool_use"


@pytest.mark.parametrize("choice", [{"type": "none"}, {"type": "auto"}])
def test_a_request_that_wants_no_call_gets_none(engine: MakeEngine, choice: Mapping[str, Any]) -> None:
    served = engine(unmatched="generate", generated_tools="matching")
    tools = [WEATHER, offered("StructuredOutput")]
    message = ask(served, "The weather in Paris?", tools=tools, tool_choice=choice)
    assert kinds(message) == (["text"] if choice["type"] == "none" else ["tool_use"])


# -- structured output --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [None, {"type": "auto"}, {"type": "any"}])
def test_the_tool_for_structured_output_is_called_once_with_what_fits(
    plain: Engine, choice: Mapping[str, Any] | None
) -> None:
    tools = [offered("Bash"), {**WEATHER, "name": "StructuredOutput"}, offered("Read")]
    more = {"tools": tools, **({} if choice is None else {"tool_choice": choice})}
    talk: list[dict[str, Any]] = []
    for prompt in ("Paris?", "Rome?"):
        talk.append({"role": "user", "content": prompt})
        message = ask(plain, talk, **more)
        (call,) = message["content"]
        assert (call["name"], message["stop_reason"]) == ("StructuredOutput", "tool_use")
        jsonschema.validate(call["input"], WEATHER["input_schema"])  # type: ignore[arg-type]
        result = {
            "type": "tool_result",
            "tool_use_id": call["id"],
            "content": "Structured output provided successfully",
        }
        talk += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        message = ask(plain, talk, tools=tools)
        assert kinds(message) == ["text"]
        talk.append({"role": "assistant", "content": message["content"]})


def test_a_schema_for_output_that_nothing_fits_is_said_so(engine: MakeEngine) -> None:
    served = engine(unmatched="generate")
    schema = {"type": "object", "required": ["a"], "properties": {"a": False}}
    tools = [{"name": "StructuredOutput", "input_schema": schema}]
    plan = send(served, {"model": "claude-opus-4-8", "max_tokens": 9, "messages": HI, "tools": tools})
    assert plan.status == 400
    assert b"cannot make up the input of tool 'StructuredOutput'" in plan.body()


# -- every request ------------------------------------------------------------------------------------------------

MODELS = {name: [model.id for model in load_profile(name).models] for name in ("octen", "anthropic")}
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "additionalProperties": False}
TOOLS: list[list[dict[str, Any]]] = [
    [],
    [WEATHER],
    [WEATHER, offered("final_answer")],
    [{"type": "bash_20250124", "name": "bash"}, offered("StructuredOutput")],
    [{"type": "web_search_20250305", "name": "web_search"}, WEATHER],
]
BODIES = st.fixed_dictionaries(
    {"max_tokens": st.sampled_from([1, 2, 7, 60, 1100, 4096, 4096, 4096]), "stream": st.booleans()},
    optional={
        "tools": st.sampled_from(TOOLS),
        "tool_choice": st.sampled_from([{"type": "auto"}, {"type": "any"}, {"type": "none"}]),
        "thinking": st.sampled_from(
            [ENABLED, {"type": "adaptive"}, {"type": "adaptive", "display": "omitted"}, {"type": "disabled"}]
        ),
        "stop_sequences": st.sampled_from([["e"], ["the", "."], ["never said"]]),
        "output_config": st.just({"format": {"type": "json_schema", "schema": SCHEMA}}),
    },
)
PROMPTS = st.one_of(
    st.sampled_from(["The weather?", "Search the web in bash", "The final answer"]),
    st.text(min_size=1).filter(str.strip),
)
ROUNDS = 3  # of tools: a human turn of replies that are made up has no more


def served(profile: str, tools: str) -> Engine:
    """One of several engines that get the same requests: new for each example, whose ids hang on what came before."""
    chosen = Settings(profile=profile, generated_tools=tools, time_scale=0, seed=7)  # type: ignore[arg-type]
    return Engine(chosen, load_profile(profile))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("profile", ["octen", "anthropic"])
def test_any_valid_request_gets_a_reply_that_is_valid_and_may_be_sent_back(profile: str, data: st.DataObject) -> None:
    tools = data.draw(st.sampled_from(["forced", "matching"]))
    body = {"model": data.draw(st.sampled_from(MODELS[profile])), **data.draw(BODIES)}
    engines = [served(profile, tools) for _ in range(3)]
    talk: list[dict[str, Any]] = []
    for _ in range(3):
        talk = [*talk, {"role": "user", "content": data.draw(PROMPTS)}]
        for _ in range(ROUNDS):
            request = {**body, "messages": talk}
            one, again = (send(engine, request) for engine in engines[:2])
            other = send(engines[2], {**request, "stream": not body["stream"]})
            if one.status != 200 and len(talk) == 1:
                return  # no valid request
            assert one.status == 200, one.body()
            assert one.body() == again.body()
            message = message_of(one)
            assert message_of(other) == message
            assert message["usage"]["output_tokens"] <= body["max_tokens"]
            if profile == "anthropic":
                assert strict.problems(message, Message) == []
            if message["stop_reason"] not in ("end_turn", "tool_use"):
                return  # cut short: what is left of it may be no message that can be sent back
            talk = [*talk, {"role": "assistant", "content": message["content"]}]
            calls = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
            if not calls:
                break
            results = [{"type": "tool_result", "tool_use_id": id, "content": "ok"} for id in calls]
            talk = [*talk, {"role": "user", "content": results}]
        else:
            assert body["tool_choice"] == {"type": "any"}  # who forces every call ends the loop by itself
            return

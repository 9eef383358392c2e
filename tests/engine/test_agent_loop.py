"""The loop of a real agent with no scenario at all: every request is answered, and the loop ends by itself."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from agents import CLAUDE_CODE, TOOLS, tool, turn
from conftest import MakeEngine

from mock_server.engine.engine import Engine
from mock_server.protocol.message import fold
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import parse

ANY = {"type": "any"}
LIMIT = 5  # turns that a loop may take

Message = Mapping[str, Any]


@pytest.fixture(params=["octen", "anthropic"])
def server(engine: MakeEngine, request: pytest.FixtureRequest) -> Engine:
    return engine(profile=request.param, unmatched="generate")


def answer(engine: Engine, body: Mapping[str, Any]) -> Message:
    """The message that one request of Claude Code gets, from its stream if it asked for one."""
    headers = {**CLAUDE_CODE, "x-api-key": "sk-ant-x"}
    entry = engine.handle(HttpRequest("POST", "/v1/messages", headers, json.dumps(body).encode()))
    assert entry.status == 200, entry.text
    return fold(parse(entry.plan.body())) if body["stream"] else entry.reply


def results(message: Message) -> dict[str, Any]:
    """What an agent sends back: a result for each call."""
    calls = [block for block in message["content"] if block["type"] == "tool_use"]
    content = [{"type": "tool_result", "tool_use_id": call["id"], "content": "done"} for call in calls]
    return {"role": "user", "content": content}


def loop(engine: Engine, prompt: str, last: str | None = None, **changed: Any) -> list[Message]:
    """Play an agent: as long as tools are called their results go back. `last`: the tool whose call ends the loop."""
    said: list[Message] = []
    messages: list[Mapping[str, Any]] = []
    for _ in range(LIMIT):
        message = answer(engine, turn(prompt, *messages, **changed))
        said.append(message)
        if message["stop_reason"] != "tool_use" or last in called([message]):
            break
        messages += [{"role": "assistant", "content": message["content"]}, results(message)]
    return said


def called(said: Sequence[Message]) -> list[str]:
    return [block["name"] for message in said for block in message["content"] if block["type"] == "tool_use"]


@pytest.mark.parametrize("stream", [True, False], ids=["sse", "json"])
def test_an_agent_that_leaves_the_choice_gets_a_text_at_once(server: Engine, stream: bool) -> None:
    assert len(TOOLS) == 24
    (message,) = loop(server, "Fix the parser", stream=stream)
    assert message["stop_reason"] == "end_turn"
    assert [block["type"] for block in message["content"] if block["type"] != "thinking"] == ["text"]


@pytest.mark.parametrize("choice", [ANY, {"type": "tool", "name": "Read"}], ids=["any", "tool"])
def test_an_agent_that_forces_its_first_call_gets_a_call_and_then_a_text(server: Engine, choice: Message) -> None:
    first = answer(server, turn("Fix the parser", thinking={"type": "disabled"}, tool_choice=choice))
    assert first["stop_reason"] == "tool_use"
    assert called([first]) == ["Read"] or (choice is ANY and {*called([first])} < {*TOOLS})

    sent = [{"role": "assistant", "content": first["content"]}, results(first)]
    assert answer(server, turn("Fix the parser", *sent))["stop_reason"] == "end_turn"


@pytest.mark.parametrize("prompt", ["Fix the parser", "Add a test", "Explain the build", "Write the changelog"])
def test_an_agent_that_forces_every_call_ends_with_the_tool_for_its_output(server: Engine, prompt: str) -> None:
    listed = [*map(tool, TOOLS), tool("final_result")]
    said = loop(server, prompt, "final_result", tools=listed, tool_choice=ANY, thinking={"type": "disabled"})
    assert called(said)[-1] == "final_result"
    assert len(said) <= 2


@pytest.mark.parametrize("tools", ["forced", "matching"])
@pytest.mark.parametrize("choice", [{"type": "auto"}, ANY], ids=["auto", "any"])
def test_an_agent_that_prints_what_fits_a_schema_gets_it_before_its_loop_ends(
    engine: MakeEngine, choice: Message, tools: str
) -> None:
    server = engine(unmatched="generate", generated_tools=tools)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    output = {"name": "StructuredOutput", "description": "Use this tool to return …", "input_schema": schema}
    more = {"tools": [*map(tool, TOOLS), output], "tool_choice": choice, "thinking": {"type": "disabled"}}
    said = loop(server, "Read the parser", last="StructuredOutput" if choice is ANY else None, **more)
    first = ["Read"] if tools == "matching" and choice is not ANY else []
    assert called(said) == [*first, "StructuredOutput"]
    output_call = next(block for block in said[len(first)]["content"] if block["type"] == "tool_use")
    assert isinstance(output_call["input"]["n"], int)
    assert choice is ANY or said[-1]["stop_reason"] == "end_turn"


@pytest.mark.parametrize("mode", ["adaptive", "disabled"])
@pytest.mark.parametrize("prompt", ["Read hello.py", "Fetch the web page", "Write it to a file", "Hi", "日本語で"])
def test_an_agent_whose_tools_are_called_as_they_fit_ends_too(engine: MakeEngine, prompt: str, mode: str) -> None:
    server = engine(unmatched="generate", generated_tools="matching", profile="anthropic")
    said = loop(server, prompt, thinking={"type": mode})
    assert said[-1]["stop_reason"] == "end_turn"
    assert len(said) == 1 + len(called(said)) <= 2


def test_calls_of_an_earlier_prompt_do_not_keep_the_next_one_from_its_end(server: Engine) -> None:
    listed = [tool("look"), tool("final_result")]
    before: list[Message] = []
    for prompt in ("one", "two", "three"):
        asked = {"role": "user", "content": prompt}
        more: list[Message] = []
        for _ in range(3):
            messages = [*before, asked, *more]
            body = turn("x", tools=listed, tool_choice=ANY, thinking={"type": "disabled"}, messages=messages)
            message = answer(server, body)
            more += [{"role": "assistant", "content": message["content"]}, results(message)]
            if called([message]) == ["final_result"]:
                break
        assert called([more[-2]]) == ["final_result"]
        assert len(more) <= 4
        before += [asked, *more, {"role": "assistant", "content": "Done."}]

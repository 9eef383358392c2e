"""The builders for what only a request can give, and for conditions on more than its text."""

from typing import Any

import pytest
from rawclient import call

from mock_server import (
    MockServer,
    attempts,
    body,
    endpoint,
    error,
    generate,
    has,
    reply,
    state,
    template,
    tool_choice,
    tool_result,
    tool_use,
)
from mock_server.scenario.node import ScenarioError


@pytest.mark.parametrize(
    ("built", "plain"),
    [
        (template("{{ prompt }}"), {"type": "text", "template": "{{ prompt }}"}),
        (tool_use("x", "generated"), {"type": "tool_use", "name": "x", "input": "generated"}),
        (tool_use("x", input_json="{"), {"type": "tool_use", "name": "x", "input_json": "{"}),
        (generate(tokens="2..3", style="list"), {"generate": {"tokens": "2..3", "style": "list"}}),
        (generate(thinking=True, tools="matching"), {"generate": {"thinking": True, "tools": "matching"}}),
        (generate(thinking=False), {"generate": {"thinking": False}}),
        (reply("x", expect={"stream": True}), {"reply": ["x"], "expect": {"stream": True}}),
        (reply("x", max_tokens=9, model="m"), {"reply": ["x"], "max_tokens": 9, "model": "m"}),
        (
            reply("x", container={"id": "c"}, diagnostics={}),
            {"reply": ["x"], "container": {"id": "c"}, "diagnostics": {}},
        ),
        (
            reply("x", context_management={"applied_edits": []}, input_transformations=[]),
            {"reply": ["x"], "context_management": {"applied_edits": []}, "input_transformations": []},
        ),
        (attempts("a", reply("x", fault="reset")), {"attempts": ["a", {"reply": ["x"], "fault": "reset"}]}),
        (tool_choice("any"), {"tool_choice": {"type": "any"}}),
        (tool_choice(name="x"), {"tool_choice": {"name": "x"}}),
        (has("image", "document"), {"has": ["image", "document"]}),
        (body({"max_tokens": {"gt": 3}}), {"body": {"max_tokens": {"gt": 3}}}),
        (tool_result("x", for_={"city": "Paris"}), {"tool_result": {"of": "x", "for": {"city": "Paris"}}}),
    ],
)
def test_a_builder_gives_what_yaml_would_hold(built: Any, plain: Any) -> None:
    assert built == plain


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: reply("x", container={"ends": "now"}), r"reply\(\): unknown key 'ends' in container"),
        (lambda: template("{{ promt }}"), r"template\(\): unknown name 'promt'"),
        (lambda: generate(tokens="many"), r"generate\(\): expected a number of tokens"),
        (lambda: attempts(), r"attempts\(\): attempts must not be empty"),
        (lambda: attempts("a", {"repley": "b"}), r"attempts\(\): unknown key 'repley' in answer"),
        (lambda: attempts("a", attempts("b")), r"attempts\(\): an attempt is a reply or an error"),
        (lambda: has("pictures"), r"has\(\): unknown kind of content"),
        (lambda: body({"a..b": 1}), r"body\(\): not a path"),
        (lambda: tool_choice(), "an empty tool_choice"),
    ],
)
def test_a_wrong_value_is_told_at_the_call(wrong: Any, text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        wrong()


def test_a_function_may_give_a_template() -> None:
    asked = {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "Hello"}]}
    with MockServer(seed=1) as server:
        server.add(lambda request: reply(template("You said {{ prompt }}."), tool_use("x", {"a": 1})))
        answer = call(server, "POST", "/v1/messages", asked, x_api_key="k")

    said, calls = answer.json["content"]
    assert (answer.status, said["text"], calls["input"]) == (200, "You said Hello.", {"a": 1})


def test_states_and_endpoints() -> None:
    assert state(service="down", other=["a", "b"]) == {"state": {"service": "down", "other": ["a", "b"]}}
    assert endpoint("count_tokens", "models") == {"endpoint": ["count_tokens", "models"]}
    assert reply("Up.", then={"state": {"service": "up"}})["then"] == {"state": {"service": "up"}}
    assert error(529, then={"state": {"service": "up"}})["then"] == {"state": {"service": "up"}}
    with pytest.raises(ScenarioError, match=r"no endpoint 'count_token'; did you mean 'count_tokens'\?"):
        endpoint("count_token")
    with pytest.raises(ScenarioError, match="expected a value of state 'service'"):
        state(service=1)  # type: ignore[arg-type]


def test_a_mistake_that_is_met_twice_is_told_once(mock_server: Any) -> None:
    with pytest.raises(ScenarioError, match="an error only") as caught:
        mock_server.add("x", when=endpoint("count_tokens"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("builder", ["script", "conversation"])
def test_a_script_of_no_reply_is_told_at_the_call(mock_server: Any, builder: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        getattr(mock_server, builder)()
    assert str(caught.value) == f'{builder}(): no reply is given; for example {builder}("one", "two")'

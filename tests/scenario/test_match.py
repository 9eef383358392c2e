"""Subjects and operators: what holds, what does not, and how a miss is told."""

from typing import Any

import pytest

from mock_server.engine.choose import Lookup
from mock_server.engine.session import Cursors
from mock_server.protocol.request import MessagesRequest
from mock_server.scenario.conversation import ConditionContext
from mock_server.scenario.load import build

CALL = {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {}}
RESULT = {
    "type": "tool_result",
    "tool_use_id": "t1",
    "content": [{"type": "text", "text": "No such City"}],
    "is_error": True,
}
BODY: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "max_tokens": 9,
    "stream": True,
    "system": [{"type": "text", "text": "You are a Helpful bot."}],
    "tools": [{"name": "get_weather"}, {"name": "get_time"}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is the  weather\nin Paris?"},
                {"type": "text", "text": "Please"},
            ],
        },
        {"role": "assistant", "content": [CALL]},
        {"role": "user", "content": [RESULT]},
    ],
}
HEADERS = {"x-team": "support", "user-agent": "Anthropic/Python"}

# when, whether it holds, how a miss is told
TABLE: list[tuple[Any, bool, str]] = [
    ({"prompt": "WEATHER in paris"}, True, ""),
    ({"prompt": "london"}, False, "prompt: wanted contains 'london', got 'What is the  weather\\nin Paris?\\nPlease'"),
    ({"prompt": ["london", "paris"]}, True, ""),
    ({"prompt": {"equals": "Please"}}, True, ""),
    ({"prompt": {"equals": "please"}}, False, "prompt: wanted equals 'please', got"),
    ({"prompt": {"equals": "please", "ignore_case": True}}, True, ""),
    ({"prompt": {"contains": "weather in"}}, False, "prompt: wanted contains 'weather in', got"),
    ({"prompt": {"contains": "Paris"}}, True, ""),
    ({"prompt": {"regex": "P\\w+s\\?"}}, True, ""),
    ({"prompt": {"regex": "^paris"}}, False, "prompt: wanted regex '^paris', got"),
    ({"prompt": {"glob": "What*Please"}}, True, ""),
    ({"prompt": {"contains": "Paris", "regex": "London"}}, False, "prompt: wanted contains 'Paris' and regex 'London'"),
    ({"last_message": "no such city"}, True, ""),
    ({"last_message": "weather"}, False, "last_message: wanted contains 'weather', got 'No such City'"),
    ({"system": "helpful"}, True, ""),
    ({"system": "sandbox"}, False, "system: wanted contains 'sandbox', got 'You are a Helpful bot.'"),
    ({"model": "claude-*"}, True, ""),
    ({"model": "claude"}, False, "model: wanted 'claude', got 'claude-opus-4-8'"),
    ({"model": ["gpt-*", "claude-opus-?-8"]}, True, ""),
    ({"model": {"regex": "opus"}}, True, ""),
    ({"tools": "get_time"}, True, ""),
    ({"tools": ["get_time", "get_*"]}, True, ""),
    ({"tools": ["get_time", "search"]}, False, "tools: wanted 'get_time' and 'search', got get_weather, get_time"),
    ({"tool_result": True}, True, ""),
    (
        {"tool_result": False},
        False,
        "tool_result: wanted no tool result, got a result of get_weather (error) 'No such City'",
    ),
    ({"tool_result": {"of": "get_weather", "is_error": True, "content": "such city"}}, True, ""),
    (
        {"tool_result": {"of": "get_weather", "is_error": False}},
        False,
        "tool_result: wanted of 'get_weather' and is_error false",
    ),
    ({"tool_result": {"of": "get_time"}}, False, "tool_result: wanted of 'get_time', got a result of get_weather"),
    ({"tool_result": {"id": "t*"}}, True, ""),
    ({"stream": True}, True, ""),
    ({"stream": False}, False, "stream: wanted false, got true"),
    ({"header": {"X-Team": "supp*"}}, True, ""),
    ({"header": {"x-team": "sales"}}, False, "header: wanted x-team: 'sales', got x-team: 'support'"),
    ({"header": {"x-none": "*"}}, False, "header: wanted x-none: '*', got x-none: absent"),
    ({"prompt": "paris", "stream": False}, False, "stream: wanted false, got true"),
    ({"any": [{"prompt": "london"}, {"stream": True}]}, True, ""),
    ({"any": [{"prompt": "london"}, {"stream": False}]}, False, "prompt: wanted contains 'london'"),
    ({"all": [{"prompt": "paris"}, {"stream": True}]}, True, ""),
    ({"not": {"prompt": "london"}}, True, ""),
    ({"not": {"prompt": "paris"}}, False, "not: wanted not prompt: contains 'paris', got it holds"),
    ("named", False, "when: wanted to be named, got no name"),
]


def facts() -> ConditionContext:
    asked = Lookup(MessagesRequest(BODY), HEADERS, "k", Cursors())
    return ConditionContext(asked.view, asked.conversation.turns[0].text, turn=2, attempt=1)


@pytest.mark.parametrize(("when", "holds", "told"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_a_condition(when: Any, holds: bool, told: str) -> None:
    condition = build({"name": "s", "when": when, "reply": "x"}).when
    assert condition is not None
    match = condition.match(facts())
    assert condition.holds(facts()) is holds
    assert match.ok is holds
    assert (match.distance == 0) is holds
    assert match.reason.startswith(told)


@pytest.mark.parametrize(
    ("when", "holds"), [({"turn": 2}, True), ({"turn": [1, 3]}, False), ({"attempt": 1}, True), ({"attempt": 2}, False)]
)
def test_the_place_in_the_script_is_asked_in_cases(when: dict[str, Any], holds: bool) -> None:
    scenario = build({"name": "s", "turns": [{"cases": [{"when": when, "reply": "x"}, {"reply": "y"}]}]})
    cases = scenario.turns[0].cases
    assert cases is not None
    assert cases[0].when is not None
    assert cases[0].when.holds(facts()) is holds

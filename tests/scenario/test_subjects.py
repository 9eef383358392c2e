"""Every subject of `when` with every operator that makes sense for it: a request that holds and what a miss says."""

import json
from typing import Any

import pytest

from mock_server.engine.request_view import Request
from mock_server.protocol.expression import OverLimit
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads, read_condition
from mock_server.scenario.node import ScenarioError

BODY: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "max_tokens": 1024,
    "system": "You are a helpful agent.",
    "stream": True,
    "tools": [{"name": "get_weather"}, {"name": "get_time"}],
    "tool_choice": {"type": "tool", "name": "get_weather"},
    "metadata": {"user_id": "alice", "age": 7, "vip": True, "note": None},
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Order 66 for  Paris"},
                {"type": "image", "source": {}},
                {"type": "text", "text": "Please"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "t2", "name": "get_weather", "input": {"city": "Tokyo", "days": [1, 2]}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "21 degrees"},
                {"type": "tool_result", "tool_use_id": "t2", "content": "no answer", "is_error": True},
            ],
        },
    ],
}
HEADERS = {"x-team": "Search", "x-count": "3", "x-api-key": "secret"}

# a condition, whether it holds, and what a miss tells
TABLE: list[tuple[Any, bool, str]] = [
    ({"prompt": "order 66 FOR paris"}, True, ""),
    ({"prompt": ["rome", "paris"]}, True, ""),
    ({"prompt": {"equals": "Order 66 for  Paris"}}, True, ""),
    ({"prompt": {"equals": "order 66 for  paris", "ignore_case": True}}, True, ""),
    ({"prompt": {"equals": "order"}}, False, "prompt: wanted equals 'order', got"),
    ({"prompt": {"contains": "order"}}, False, "prompt: wanted contains 'order', got 'Order 66 for  Paris\\nPlease'"),
    ({"prompt": {"contains": "Paris", "regex": "London"}}, False, "prompt: wanted contains 'Paris' and regex 'London'"),
    ({"prompt": {"glob": "Order *Please"}}, True, ""),
    ({"prompt": {"regex": r"Order (?P<number>\d+)"}}, True, ""),
    ({"prompt": {"regex": "order"}}, False, "prompt: wanted regex 'order'"),
    ({"prompt": {"regex": "order", "ignore_case": True}}, True, ""),
    ({"prompt": {"in": ["Order 66 for  Paris", "x"]}}, True, ""),
    ({"prompt": {"in": ["x"]}}, False, "prompt: wanted in ['x']"),
    ({"prompt": {"exists": False}}, False, "prompt: wanted exists False"),
    ({"last_message": "no answer"}, True, ""),
    ({"last_message": "paris"}, False, "last_message: wanted contains 'paris', got"),
    ({"system": {"exists": True}}, True, ""),
    ({"system": "you are a HELPFUL"}, True, ""),
    ({"system": "sandbox"}, False, "system: wanted contains 'sandbox', got 'You are a helpful agent.'"),
    ({"model": "claude-*"}, True, ""),
    ({"model": ["gpt-*", "*-4-8"]}, True, ""),
    ({"model": {"contains": "opus"}}, True, ""),
    ({"model": "*haiku*"}, False, "model: wanted '*haiku*', got 'claude-opus-4-8'"),
    ({"tools": ["get_*", "get_time"]}, True, ""),
    ({"tools": ["get_time", "search"]}, False, "tools: wanted 'get_time' and 'search', got get_weather, get_time"),
    ({"tool_choice": "tool"}, True, ""),
    ({"tool_choice": ["any", "tool"]}, True, ""),
    ({"tool_choice": {"type": "tool", "name": "get_*"}}, True, ""),
    (
        {"tool_choice": {"name": "search"}},
        False,
        "tool_choice: wanted name: 'search', got type: 'tool', name: 'get_weather'",
    ),
    ({"stream": True}, True, ""),
    ({"stream": False}, False, "stream: wanted false, got true"),
    ({"has": "image"}, True, ""),
    ({"has": ["document", "tool_result"]}, True, ""),
    ({"has": "document"}, False, "has: wanted document, got image, text, tool_result, tool_use"),
    ({"has": "cache_control"}, False, "has: wanted cache_control"),
    ({"header": {"X-Team": "Sea*"}}, True, ""),
    ({"header": {"x-count": {"gte": 3, "lt": 4}}}, True, ""),
    ({"header": {"x-none": {"exists": False}}}, True, ""),
    ({"header": {"x-team": {"equals": "search", "ignore_case": True}}}, True, ""),
    ({"header": {"x-none": "*"}}, False, "header: wanted x-none: '*', got x-none: absent"),
    ({"header": {"x-api-key": "other"}}, False, "header: wanted x-api-key: 'other', got x-api-key: (hidden)"),
    ({"body": {"max_tokens": 1024}}, True, ""),
    ({"body": {"max_tokens": {"gt": 1000, "lte": 1024}}}, True, ""),
    ({"body": {"max_tokens": {"gt": 1024}}}, False, "body: wanted max_tokens gt 1024, got max_tokens: 1024"),
    ({"body": {"metadata.user_id": ["bob", "alice"]}}, True, ""),
    ({"body": {"$.metadata.vip": True}}, True, ""),
    ({"body": {"metadata.vip": 1}}, False, "body: wanted metadata.vip equals 1, got metadata.vip: True"),
    ({"body": {"metadata.note": None}}, True, ""),
    ({"body": {"metadata.note": {"exists": True}}}, True, ""),
    ({"body": {"metadata.none": {"exists": False}}}, True, ""),
    ({"body": {"metadata.none": "x"}}, False, "body: wanted metadata.none equals 'x', got metadata.none: nothing"),
    ({"body": {"messages[-1].content[*].is_error": True}}, True, ""),
    ({"body": {"messages[0].role": "user", "messages[1].role": "assistant"}}, True, ""),
    ({"body": {"messages[9].role": "user"}}, False, "body: wanted messages[9].role equals 'user'"),
    ({"body": {"tools[*].name": {"regex": "^get_t"}}}, True, ""),
    ({"body": {"metadata": {"equals": BODY["metadata"]}}}, True, ""),
    ({"schema": {"required": ["metadata"], "properties": {"max_tokens": {"maximum": 2000}}}}, True, ""),
    (
        {"schema": {"required": ["thinking"]}},
        False,
        "schema: wanted a body that fits the schema, got $: 'thinking' is a",
    ),
    ({"tool_result": True}, True, ""),
    (
        {"tool_result": False},
        False,
        "wanted no tool result, got a result of get_weather '21 degrees', a result of get_weather (error) 'no answer'",
    ),
    ({"tool_result": {"of": "get_time"}}, False, "tool_result: wanted of 'get_time', got a result of get_weather"),
    ({"tool_result": {"of": "get_*", "is_error": True}}, True, ""),
    ({"tool_result": {"of": "get_weather", "for": {"city": "Tokyo"}, "is_error": True}}, True, ""),
    (
        {"tool_result": {"for": {"city": "Paris"}, "is_error": True}},
        False,
        "tool_result: wanted for city equals 'Paris'",
    ),
    ({"tool_result": {"for": {"days[*]": {"gt": 1}}}}, True, ""),
    ({"tool_result": {"id": "t1", "content": {"regex": r"^\d+ degrees$"}}}, True, ""),
    (
        {"tool_result": {"content": "degrees", "is_error": True}},
        False,
        "tool_result: wanted contains 'degrees' and is_error",
    ),
    ({"turn": 2}, True, ""),
    ({"turn": {"gte": 2}, "attempt": [1, 3]}, True, ""),
    ({"attempt": 1}, False, "attempt: wanted 1, got 3"),
    ({"prompt": "paris", "stream": False}, False, "stream: wanted false, got true"),
    ({"all": [{"prompt": "order"}, {"stream": True}]}, True, ""),
    ({"any": [{"prompt": "rome"}, {"stream": True}]}, True, ""),
    ({"any": [{"prompt": "rome"}, {"stream": False}]}, False, "prompt: wanted contains 'rome'"),
    ({"not": {"prompt": "rome"}}, True, ""),
    ({"not": {"stream": True}}, False, "not: wanted not stream: true, got it holds"),
]


def facts() -> Any:
    request = Request(HttpRequest("POST", "/v1/messages", HEADERS, json.dumps(BODY).encode()))
    return request.facts.at(2, 3)


@pytest.mark.parametrize(("when", "holds", "told"), TABLE, ids=[json.dumps(row[0])[:70] for row in TABLE])
def test_a_condition_holds_or_says_why_not(when: Any, holds: bool, told: str) -> None:
    condition = read_condition(when)

    assert condition.holds(facts()) is holds
    match = condition.match(facts())
    assert match.ok is holds
    assert (match.distance == 0) is holds
    assert told in match.reason


@pytest.mark.parametrize(
    ("when", "captured"),
    [
        ({"prompt": {"regex": r"Order (?P<number>\d+)"}}, {"number": "66"}),
        ({"prompt": {"regex": r"Order (?P<number>\d+)(?P<rest>, please)?"}}, {"number": "66"}),
        ({"body": {"metadata.user_id": {"regex": "(?P<user>.*)"}}}, {"user": "alice"}),
        ({"header": {"x-team": {"regex": "(?P<team>.*)"}}}, {"team": "Search"}),
        ({"tool_result": {"is_error": True, "content": {"regex": "no (?P<what>.*)"}}}, {"what": "answer"}),
        ({"any": [{"prompt": {"regex": "(?P<a>x)"}}, {"prompt": {"regex": "(?P<b>P)"}}]}, {"b": "P"}),
        ({"not": {"prompt": {"regex": "(?P<a>x)"}}}, {}),
    ],
)
def test_named_groups_are_captured(when: Any, captured: dict[str, str]) -> None:
    assert dict(read_condition(when).captures(facts())) == captured


def test_no_request_meets_a_condition_that_only_a_name_does() -> None:
    named = read_condition("named", of_case=False)

    assert not named.holds(facts())
    assert named.match(facts()).reason == "when: wanted to be named, got no name"


def test_a_text_that_is_almost_there_is_nearer_than_one_that_is_not() -> None:
    near, far = (read_condition({"prompt": text}).match(facts()).distance for text in ("Order 67 for", "umbrella"))

    assert 0 < near < far < 1


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ("{prompt: {regex: '('}}", "3:24: not a regular expression"),
        ("{body: {'a..b': 1}}", "3:15: not a path: 'a..b'"),
        ("{body: {a: {gt: '3'}}}", "3:23: expected a number, got text"),
        ("{body: {a: {exists: 1}}}", "3:27: expected true or false, got a number"),
        ("{body: {a: {in: []}}}", "3:23: an empty list matches nothing"),
        ("{body: 3}", "3:14: expected a mapping of paths"),
        ("{has: pictures}", "3:13: unknown kind of content 'pictures'; expected one of text, image"),
        (
            "{tool_choice: {typ: any}}",
            "3:22: unknown key 'typ' in tool_choice; did you mean 'type'? Expected one of type, name",
        ),
        (
            "{tool_result: {fro: 1}}",
            "3:22: unknown key 'fro' in tool_result; did you mean 'for'? Expected one of of, for, id, is_error, content",
        ),
        ("{tool_result: {for: Paris}}", "3:27: expected a mapping of paths into the call's input"),
        ("{schema: {type: strin}}", "3:16: not a JSON Schema"),
        ("{turn: 2}", "3:8: 'turn' can be asked only in a case"),
    ],
)
def test_a_wrong_condition_is_told_with_its_place(when: str, text: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(f"name: a\nreply: x\nwhen: {when}", "a.yaml")

    assert str(caught.value).startswith(f"a.yaml:{text}")


def test_an_expression_that_takes_too_long_is_told_with_its_place() -> None:
    [scenario] = loads("name: a\nreply: x\nwhen:\n  prompt: {regex: '(a)(\\1|a)+b'}", "a.yaml")
    long = {**BODY, "messages": [{"role": "user", "content": "a" * 60}]}
    request = Request(HttpRequest("POST", "/v1/messages", {}, json.dumps(long).encode()))

    assert scenario.when is not None
    with pytest.raises(OverLimit) as caught:
        scenario.when.holds(request.facts)
    assert str(caught.value) == (
        r"a.yaml:4: the regular expression '(a)(\\1|a)+b' on 60 characters: more than 30 ms of matching in one request"
    )

"""NaN, infinity and halves of characters: wherever they come in they are refused, and no reply holds them."""

import json
import math
import re
from typing import Any

import pytest
from rawclient import call

from mock_server import MockServer
from mock_server.protocol.request import strict_json

ASK = {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}


def send(server: MockServer, path: str, body: str, **headers: str) -> tuple[int, Any]:
    reply = call(server, "POST", path, body, **{"x_api_key": "k", "anthropic_version": "2023-06-01", **headers})
    return reply.status, strict_json(reply.text)


# the text that a request holds as the value of a tool's default -> what the API says of it
NO_JSON = [
    ("NaN", "NaN is not allowed in JSON: line 1 column 1 (char 0)"),
    ("-Infinity", "-Infinity is not allowed in JSON: line 1 column 1 (char 0)"),
    ("1e999", "number is infinity when parsed as double: line 1 column 7 (char 6)"),
    ('"\\ud83d"', "no low surrogate in string: line 1 column 8 (char 7)"),
    ('"a\\ud83d\\u0041"', "invalid low surrogate in string: line 1 column 9 (char 8)"),
    ('"\\uDE00"', "invalid high surrogate in string: line 1 column 8 (char 7)"),
    ('"1e999", "b":\n 1e999', "number is infinity when parsed as double: line 2 column 2 (char 21)"),
]


@pytest.mark.parametrize(("value", "why"), NO_JSON, ids=[value.replace("\n", "") for value, _ in NO_JSON])
def test_a_request_that_holds_one_is_a_400_and_can_be_looked_at(server: MockServer, value: str, why: str) -> None:
    status, error = send(server, "/v1/messages", f'{{"a": {value}}}')
    assert (status, error["error"]["type"]) == (400, "invalid_request_error")
    assert error["error"]["message"] == f"The request body is not valid JSON: {why}"
    entry = strict_json(call(server, "GET", "/_mock/journal/1").text)
    assert (entry["request"]["body"], entry["request"]["raw"]) == (None, f'{{"a": {value}}}')


FILLERS = {
    "long": '"' + "word " * (2 << 20) + '"',
    "many values": f"[{'0,' * 60_000}0]",
    "escapes": '"' + "\\n" * (5 << 20) + '"',
    "escapes at an odd place": '"x' + "\\\\" * (5 << 20) + '"',
}


@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize(("value", "why"), NO_JSON[2:6], ids=[value for value, _ in NO_JSON[2:6]])
def test_so_it_is_behind_much_that_is_read_in_steps(filler: str, value: str, why: str) -> None:
    behind = f'{{"b": {FILLERS[filler]}, "a": '
    said, _, place = why.partition(": line 1 column ")
    at = len(behind) - len('{"a": ') + int(place.split()[0]) - 1
    with pytest.raises(ValueError, match=re.escape(f"{said}: line 1 column {at + 1} (char {at})")):
        strict_json(f"{behind}{value}}}")
    assert strict_json(f'{behind}"\\ud83d\\ude00"}}')["a"] == "\U0001f600"


@pytest.mark.parametrize("before", [*range((1 << 20) - 16, (1 << 20) + 4)])
def test_a_character_that_is_cut_by_a_piece_is_read_whole(before: int) -> None:
    whole = '"' + "x" * before + "\\ud83d\\ude00" + "y" * 50 + '"'
    assert strict_json(whole) == json.loads(whole)
    with pytest.raises(ValueError, match=f"no low surrogate in string: line 1 column {before + 2} "):
        strict_json(whole.replace("\\ude00", ""))


@pytest.mark.parametrize(
    "text", ['{"a": "\\ud83d\\ude00"}', '{"a": "\\uD83D\\uDE00"}', '{"a": "\\\\ud83d"}', '{"a": 1e308}']
)
def test_whole_characters_and_large_numbers_are_read(text: str) -> None:
    assert strict_json(text) == json.loads(text)


@pytest.mark.parametrize("value", [value for value, _ in NO_JSON[:-1]])
def test_the_control_api_takes_none(server: MockServer, value: str) -> None:
    scenario = f'{{"name": "a", "reply": {{"type": "tool_use", "name": "t", "input": {{"x": {value}}}}}}}'
    kind = {"content-type": "application/json"}
    for path, body in (
        ("/_mock/scenarios", scenario),
        ("/_mock/preview", f'{{"scenario": "hello", "request": {{"x": {value}}}}}'),
        ("/_mock/explain", f'{{"request": {{"x": {value}}}}}'),
        ("/_mock/verify", f'{{"when": {{"body": {{"x": {value}}}}}}}'),
    ):
        status, said = send(server, path, body, **kind)
        assert (status, said["error"][:21]) == (400, "the body is not JSON:"), path


def test_a_yaml_text_inside_json_may_hold_none(server: MockServer) -> None:
    status, said = send(
        server, "/_mock/preview", json.dumps({"yaml": "name: a\nreply: {template: '{{ 1 }}'}\ntimes: 1e999"})
    )
    assert (status, said["error"][:40]) == (422, "<preview>:3:8: '1e999': inf is no number")


@pytest.mark.parametrize("template", ['{{ "\\ud83d" }}', "{{ '%c' % 55357 }}"])
def test_a_template_that_gives_half_a_character_is_a_500_with_its_place(server: MockServer, template: str) -> None:
    server.add({"type": "text", "template": template}, name="half")
    status, error = send(server, "/v1/messages", json.dumps(ASK))
    assert status == 500
    assert error["error"]["message"].endswith("the template gives half a character (the lone surrogate U+D83D)")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "nan is no number of JSON"),
        (math.inf, "inf is no number of JSON"),
        ("\ud83d", "half a character (the lone surrogate U+D83D)"),
        (object(), "a value of type object is no JSON"),
    ],
    ids=["NaN", "infinity", "half", "object"],
)
def test_a_function_that_gives_one_is_a_500_that_says_where(server: MockServer, value: Any, why: str) -> None:
    def reply(request: Any) -> Any:
        return {"type": "tool_use", "name": "t", "input": {"x": [value]}}

    server.add(reply, name="made")
    status, error = send(server, "/v1/messages", json.dumps(ASK))
    assert status == 500
    assert error["error"]["message"].endswith(f"$.input.x[0]: {why}")

"""Wherever max_tokens and stop sequences cut a reply, its JSON and its stream are the same message."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.engine.engine import Engine
from mock_server.protocol import sse, tokens
from mock_server.protocol.message import fold
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

MIXED = """
name: mixed
turns:
  - reply:
      - {type: thinking, thinking: "The user asks. I think it over, twice."}
      - "Let me check that: 12,345 things, naïve café 🎉 漢字."
      - {type: tool_use, name: get_weather, input: {city: Paris, days: [1, 2.5, null], deep: {a: "x \\"y\\""}}}
      - And then some more text STOP here.
"""
SEARCHING = """
name: searching
turns:
  - reply:
      - {type: server_tool_use, name: web_search, input: {query: weather in Paris}}
      - type: web_search_tool_result
        content: [{type: web_search_result, title: T, url: "https://example.com"}]
      - {type: text, text: It is sunny today., citations: [{type: web_search_result_location, url: "https://example.com",
         title: T, encrypted_index: "", cited_text: sunny}]}
"""
PROFILES = {name: load_profile(name) for name in ("octen", "anthropic")}


def ask(script: str, profile: str, **body: Any) -> dict[str, Any]:
    """One request to an engine of its own, so that ids are the same whichever way it is asked."""
    engine = Engine(Settings(seed=1, time_scale=0), PROFILES[profile])
    engine.load(loads(script))
    request = {
        "model": "claude-haiku-4-5",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": "go"}],
        **body,
    }
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    plan = engine.handle(HttpRequest("POST", "/v1/messages", headers, json.dumps(request).encode())).plan
    assert plan.status == 200, plan.body()
    return fold(sse.parse(plan.body())) if body.get("stream") else json.loads(plan.body())


def both(script: str, profile: str, **body: Any) -> dict[str, Any]:
    """The message, after its stream was found to tell the same."""
    message = ask(script, profile, **body)
    assert ask(script, profile, stream=True, **body) == message
    return message


def said(message: dict[str, Any]) -> str:
    """Everything a message says, in order, tool input as its JSON."""
    fields = {"thinking": "thinking", "text": "text"}
    return "".join(block[fields[block["type"]]] for block in message["content"] if block["type"] in fields)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("script", [MIXED, SEARCHING], ids=["mixed", "searching"])
def test_json_and_stream_agree_at_every_cut_position(script: str, profile: str) -> None:
    whole = both(script, profile)
    total = whole["usage"]["output_tokens"]
    least = PROFILES[profile].least_max_tokens

    for limit in range(max(least, 1), total + 3):  # with 0 nothing can be streamed
        message = both(script, profile, max_tokens=limit)
        assert message["usage"]["output_tokens"] == min(limit, total)
        assert (message["stop_reason"] == "max_tokens") == (limit < total)
        assert said(whole).startswith(said(message))
        assert [block["type"] for block in message["content"]] == [
            block["type"] for block in whole["content"][: len(message["content"])]
        ]


def test_a_reply_that_fits_exactly_is_whole() -> None:
    total = both(MIXED, "octen")["usage"]["output_tokens"]
    assert both(MIXED, "octen", max_tokens=total)["stop_reason"] == "tool_use"


def test_max_tokens_0_is_a_message_without_content() -> None:
    message = ask(MIXED, "anthropic", max_tokens=0)
    assert (message["content"], message["stop_reason"]) == ([], "max_tokens")


CALL = 36 + 2  # what a call with two values costs beside its JSON


def test_a_cut_inside_tool_json_keeps_what_was_complete() -> None:
    script = "name: t\nreply: {type: tool_use, name: f, input: {city: Paris, country: France}}"
    inputs = [both(script, "octen", max_tokens=n)["content"][0]["input"] for n in range(CALL, CALL + 20)]
    assert inputs[0] == {}
    assert {"city": "Paris"} in inputs
    assert inputs[-1] == {"city": "Paris", "country": "France"}


def test_a_call_that_has_no_room_for_its_fixed_part_is_not_begun() -> None:
    script = "name: t\nreply: [Well., {type: tool_use, name: f, input: {city: Paris, country: France}}]"
    endings = {n: both(script, "octen", max_tokens=n) for n in range(2, 2 + CALL + 1)}
    assert {len(message["content"]) for n, message in endings.items() if n < 2 + CALL} == {1}
    assert [block["type"] for block in endings[2 + CALL]["content"]] == ["text", "tool_use"]
    assert {message["stop_reason"] for message in endings.values()} == {"max_tokens"}
    assert all(message["usage"]["output_tokens"] == n for n, message in endings.items())


@pytest.mark.parametrize(
    ("sequences", "text", "found"),
    [
        (["STOP"], "And then some more text ", "STOP"),
        (["some more", "then"], "And ", "then"),
        (["more text STOP", "text"], "And then some more ", "text"),  # the one that is complete first
        (["xt S", "text STOP"], "And then some more te", "xt S"),
        (["nowhere"], None, None),
        (["city"], None, None),  # not looked for in tool input
        (["think"], None, None),  # nor in thinking
    ],
)
def test_a_stop_sequence_ends_the_text_before_it(sequences: list[str], text: str | None, found: str | None) -> None:
    message = both(MIXED, "octen", stop_sequences=sequences)
    if found is None:
        assert (message["stop_reason"], message["stop_sequence"]) == ("tool_use", None)
        return
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", found)
    assert message["content"][-1] == {"type": "text", "text": text}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_length_and_sequences_together_never_part_json_and_stream(data: st.DataObject) -> None:
    text = "Let me check that: 12,345 things, naïve café 🎉 漢字."
    start = data.draw(st.integers(0, len(text) - 1))
    sequence = text[start : start + data.draw(st.integers(1, 6))]
    limit = data.draw(st.integers(1, 80))
    message = both(MIXED, "octen", max_tokens=limit, **({"stop_sequences": [sequence]} if sequence.strip() else {}))
    assert message["usage"]["output_tokens"] <= limit
    if message["stop_reason"] == "stop_sequence":
        assert sequence not in "".join(block.get("text", "") for block in message["content"])
        assert message["stop_sequence"] == sequence


def test_a_cut_stream_has_the_deltas_of_the_whole_one() -> None:
    engine = Engine(Settings(seed=1, time_scale=0), PROFILES["octen"])
    engine.load(loads("name: t\nreply: one two three four five"))

    def deltas(limit: int) -> list[str]:
        body = {"model": "claude-haiku-4-5", "max_tokens": limit, "stream": True}
        body["messages"] = [{"role": "user", "content": "go"}]
        http = HttpRequest("POST", "/v1/messages", {"x-api-key": "k"}, json.dumps(body).encode())
        payloads = sse.parse(engine.handle(http).plan.body())
        return [p["delta"]["text"] for p in payloads if p["type"] == "content_block_delta"]

    whole = deltas(100)
    assert whole == tokens.split("one two three four five")
    for limit in range(1, len(whole)):
        assert deltas(limit) == whole[:limit]

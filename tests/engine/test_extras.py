"""What only some requests are told: containers, edits of the context, tiers, iterations, summaries, hidden thoughts."""

import json
from dataclasses import replace
from typing import Any

import pytest

from mock_server.engine.engine import Engine
from mock_server.protocol import sse
from mock_server.protocol.message import fold
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.signing import SIGNATURE
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

PROFILE = load_profile("anthropic")
EDITS = "context-management-2025-06-27"
RESULT = "word " * 199 + "word"


def ask(script: str = "name: a\nreply: Yes.", beta: str = "", profile: Any = PROFILE, **body: Any) -> dict[str, Any]:
    """The message, after its stream was found to tell the same."""
    told = []
    for stream in (False, True):
        engine = Engine(Settings(seed=1, time_scale=0, unmatched="generate"), profile)
        engine.load(loads(script) if script else ())
        said = [{"role": "user", "content": "hi"}]
        request = {"model": "claude-haiku-4-5", "max_tokens": 500, "messages": said, "stream": stream, **body}
        headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", **({"anthropic-beta": beta} if beta else {})}
        plan = engine.handle(HttpRequest("POST", "/v1/messages", headers, json.dumps(request).encode())).plan
        assert plan.status == 200, plan.body()
        told.append(fold(sse.parse(plan.body())) if stream else json.loads(plan.body()))
    assert told[0] == told[1]
    return told[0]


def agent(rounds: int) -> list[dict[str, Any]]:
    """A conversation of so many calls, each with a result of 200 tokens and a thought of 10 before it."""
    said: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
    for n in range(rounds):
        thought = {"type": "thinking", "thinking": "word " * 9 + "word", "signature": SIGNATURE}
        call = {"type": "tool_use", "id": f"t{n}", "name": "look" if n % 2 else "find", "input": {}}
        said.append({"role": "assistant", "content": [thought, call]})
        said.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{n}", "content": RESULT}]})
    return said


def edits(*listed: dict[str, Any], rounds: int = 6) -> list[dict[str, Any]]:
    body = {"context_management": {"edits": list(listed)}, "messages": agent(rounds)}
    applied: list[dict[str, Any]] = ask(beta=EDITS, **body)["context_management"]["applied_edits"]
    return applied


CLEAR: dict[str, Any] = {"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 5}}


def test_tool_uses_are_cleared_but_for_the_newest() -> None:
    assert edits(CLEAR) == [{"type": "clear_tool_uses_20250919", "cleared_tool_uses": 3, "cleared_input_tokens": 600}]
    assert edits({**CLEAR, "keep": {"type": "tool_uses", "value": 1}})[0]["cleared_tool_uses"] == 5


@pytest.mark.parametrize(
    "edit",
    [
        {**CLEAR, "trigger": {"type": "tool_uses", "value": 6}},
        {"type": "clear_tool_uses_20250919"},  # 100,000 tokens unless told otherwise
        {**CLEAR, "clear_at_least": {"type": "input_tokens", "value": 601}},
        {**CLEAR, "exclude_tools": ["look", "find"]},
    ],
)
def test_nothing_is_cleared_before_its_time(edit: dict[str, Any]) -> None:
    assert edits(edit) == []


def test_a_trigger_of_input_tokens_and_tools_that_are_left_alone() -> None:
    edit = {
        "type": "clear_tool_uses_20250919",
        "trigger": {"type": "input_tokens", "value": 1000},
        "exclude_tools": ["look"],
    }
    assert edits({**edit, "keep": {"type": "tool_uses", "value": 1}})[0]["cleared_tool_uses"] == 2


def test_thoughts_of_old_turns_are_cleared() -> None:
    edit = {"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 2}}
    assert edits(edit) == [{"type": "clear_thinking_20251015", "cleared_thinking_turns": 4, "cleared_input_tokens": 40}]
    assert edits({"type": "clear_thinking_20251015", "keep": "all"}) == []


def test_a_container_is_told_of_where_a_program_ran_and_goes_on_when_named() -> None:
    tool = {"type": "code_execution_20250825", "name": "code_execution"}
    first = ask("", tools=[tool], tool_choice={"type": "any"})["container"]
    assert first["id"].startswith("container_")
    again = ask("", tools=[tool], tool_choice={"type": "any"}, container=first["id"])["container"]
    assert again["id"] == first["id"]
    assert "container" not in ask(tools=[tool])  # offered, not used
    skills = [{"skill_id": "pdf", "type": "anthropic"}]
    assert ask(container={"skills": skills})["container"]["skills"] == [{**skills[0], "version": "latest"}]


def test_speed_and_place_are_told_back() -> None:
    usage = ask(model="claude-opus-4-8", speed="fast", inference_geo="us")["usage"]
    assert (usage["speed"], usage["inference_geo"]) == ("fast", "us")
    assert ask()["usage"]["inference_geo"] == "not_available"


@pytest.mark.parametrize(("asked", "tier"), [("auto", "priority"), (None, "priority"), ("standard_only", "standard")])
def test_the_priority_tier(asked: str, tier: str) -> None:
    assert ask(profile=replace(PROFILE, priority_tier=True), service_tier=asked)["usage"]["service_tier"] == tier
    assert ask(service_tier=asked)["usage"]["service_tier"] == "standard"


def test_betas_that_sample_more_than_once_list_their_samplings() -> None:
    usage = ask(beta="server-side-fallback-2026-07-01", fallbacks="default")["usage"]
    (one,) = usage["iterations"]
    assert (one["type"], one["output_tokens"]) == ("message", usage["output_tokens"])
    assert "iterations" not in ask()["usage"]


def test_a_compaction_is_alone_signed_and_may_stand_first() -> None:
    beta = "compact-2026-09-04"
    message = ask(beta=beta, compaction={"type": "summarize"})
    (summary,) = message["content"]
    assert (summary["type"], message["stop_reason"]) == ("compaction", "compaction")
    after = [{"role": "assistant", "content": [summary]}, {"role": "user", "content": "go on"}]
    assert ask(beta=beta, messages=after)["content"][0]["text"] == "Yes."
    forged = [{"role": "assistant", "content": [{**summary, "content": "x"}]}, after[1]]
    with pytest.raises(AssertionError, match="compaction_signature_invalid"):
        ask(beta=beta, messages=forged)


def test_a_scripted_summary_wins() -> None:
    message = ask(
        "name: a\nreply: {type: compaction, content: Short.}", "compact-2026-09-04", compaction={"type": "summarize"}
    )
    assert message["content"][0]["content"] == "Short."


def test_thoughts_are_hidden_but_cost_the_same_and_can_come_back() -> None:
    script = "name: a\nreply: [{type: thinking, thinking: I think so.}, Yes.]"
    thinking = {"type": "enabled", "budget_tokens": 1024}
    shown = ask(script, thinking=thinking, max_tokens=2000)
    hidden = ask(script, thinking={**thinking, "display": "omitted"}, max_tokens=2000)
    assert (shown["content"][0]["thinking"], hidden["content"][0]["thinking"]) == ("I think so.", "")
    assert hidden["content"][0]["signature"] == shown["content"][0]["signature"]
    assert hidden["usage"] == shown["usage"]
    said = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": hidden["content"]},
        {"role": "user", "content": "and?"},
    ]
    assert ask(script, thinking=thinking, max_tokens=2000, messages=said)["content"]


FALLBACK = "server-side-fallback-2026-07-01"
# parameter -> a value that is fine, one that is not, and how the message about it begins
ACCEPTED: dict[str, tuple[Any, Any, str]] = {
    "metadata": ({"user_id": "u-1"}, {"user_id": 5}, "metadata.user_id"),
    "service_tier": ("standard_only", "gold", "service_tier"),
    "temperature": (0.5, 2, "temperature: range: 0..1"),
    "top_p": (0.5, 1.5, "top_p: range: 0..1"),
    "top_k": (5, "five", "top_k"),
    "mcp_servers": ([{"type": "url", "url": "https://example.com/sse", "name": "sea"}], "sea", "mcp_servers"),
    "fallback_credit_token": ("fct_1", ..., ""),  # taken whatever it is
    "billing_policy": ({"type": "user_funded"}, 5, "billing_policy"),
}
BETAS = f"{FALLBACK}, fallback-credit-2026-07-01, mcp-client-2025-11-20, user-profiles-billing-2026-10-01"


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_parameter_that_is_accepted_is_checked_and_changes_nothing(name: str) -> None:
    fine, wrong, said = ACCEPTED[name]
    with_it, without = ask(beta=BETAS, **{name: fine}), ask(beta=BETAS)
    assert {**with_it, "id": ""} == {**without, "id": ""}
    if wrong is not ...:
        with pytest.raises(AssertionError, match=said):
            ask(beta=BETAS, **{name: wrong})


def test_the_older_name_of_a_format_does_the_same() -> None:
    closed = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }
    format = {"type": "json_schema", "schema": closed}
    older, newer = ask("", output_format=format), ask("", output_config={"format": format})
    (text,) = older["content"]
    assert [*json.loads(text["text"])] == [*json.loads(newer["content"][0]["text"])] == ["city"]
    assert older["usage"]["input_tokens"] == newer["usage"]["input_tokens"]


def test_fallbacks_are_checked_and_no_other_model_takes_over() -> None:
    asked = {"model": "claude-fable-5", "fallbacks": [{"model": "claude-opus-4-8"}]}
    message = ask(beta=FALLBACK, **asked)
    assert (message["model"], [one["type"] for one in message["usage"]["iterations"]]) == (
        "claude-fable-5",
        ["message"],
    )
    with pytest.raises(AssertionError, match="fallbacks"):
        ask(beta=FALLBACK, **{**asked, "fallbacks": [{"model": "claude-none"}]})


def test_what_became_of_a_credit_is_told_as_it_is_scripted() -> None:
    told = {"status": "not_applied", "reason": "expired"}
    assert (
        ask(f"name: a\nreply: Yes.\nusage: {{fallback_credit: {json.dumps(told)}}}")["usage"]["fallback_credit"] == told
    )
    assert "fallback_credit" not in ask(beta=BETAS, fallback_credit_token="fct_1")["usage"]


def test_a_prefill_is_gone_on_with() -> None:
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Yes, and"}]
    assert ask("name: a\nreply: ' no.'", messages=said)["content"] == [{"type": "text", "text": " no."}]
    with pytest.raises(AssertionError, match="does not support assistant message prefill"):
        ask(model="claude-opus-4-8", messages=said)


@pytest.mark.parametrize("change", ["tool_addition", "tool_removal"])
def test_a_change_of_the_tools_is_let_pass_and_changes_nothing(change: str) -> None:
    block = {"type": change, "tool": {"type": "tool_reference", "tool_name": "f"}}
    said = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Go on."},
        {"role": "system", "content": [block]},
    ]
    assert ask(model="claude-opus-4-8", messages=said)["content"] == [{"type": "text", "text": "Yes."}]


def test_a_turn_of_server_and_client_tools_goes_on_with_both() -> None:
    script = """
name: a
turns:
  - reply:
      - {type: server_tool_use, name: web_search, input: {query: tides}}
      - {type: web_search_tool_result}
      - {type: tool_use, name: look, input: {}}
  - reply: High at noon.
"""
    tools = [
        {"type": "web_search_20250305", "name": "web_search"},
        {"name": "look", "input_schema": {"type": "object"}},
    ]
    first = ask(script, tools=tools)
    assert [block["type"] for block in first["content"]] == ["server_tool_use", "web_search_tool_result", "tool_use"]
    assert first["stop_reason"] == "tool_use"
    result = {"type": "tool_result", "tool_use_id": first["content"][2]["id"], "content": "ok"}
    said = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": [result]},
    ]
    assert ask(script, tools=tools, messages=said)["content"] == [{"type": "text", "text": "High at noon."}]


def test_citations_that_come_back_are_taken_as_they_are() -> None:
    cited = {"type": "char_location", "cited_text": "grass", "document_index": 7, "document_title": None}
    text = {"type": "text", "text": "Green.", "citations": [{**cited, "start_char_index": 5, "end_char_index": 1}]}
    said = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [text]},
        {"role": "user", "content": "and?"},
    ]
    assert ask(messages=said)["content"] == [{"type": "text", "text": "Yes."}]


def test_the_tools_of_an_mcp_server_are_called_by_scripts_alone() -> None:
    servers = [{"type": "url", "url": "https://example.com/sse", "name": "sea"}]
    tools = [{"type": "mcp_toolset", "mcp_server_name": "sea"}]
    message = ask("", "mcp-client-2025-11-20", mcp_servers=servers, tools=tools)
    assert [block["type"] for block in message["content"]] == ["text"]


def test_a_thought_is_not_bound_to_a_model_or_a_conversation() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    script = "name: a\nreply: [{type: thinking, thinking: I think so.}, Yes.]"
    first = ask(script, thinking=thinking, max_tokens=2000)
    said = [
        {"role": "user", "content": "Something else."},
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": "and?"},
    ]
    assert ask(model="claude-opus-4-8", messages=said)["stop_reason"] == "end_turn"

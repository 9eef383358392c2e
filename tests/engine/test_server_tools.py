"""Turns of server tools that nobody scripted, and results that a script leaves to be made."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.engine.engine import Engine
from mock_server.protocol import sse
from mock_server.protocol.blocks import ERROR_CODES
from mock_server.protocol.message import fold
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

PROFILES = {name: load_profile(name) for name in ("octen", "anthropic")}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
OCTEN = {"type": "octen_search", "name": "octen_search"}


def plan(tool: dict[str, Any], script: str = "", profile: str = "", seed: int = 1, **body: Any) -> Any:
    profile = profile or ("octen" if tool["name"].startswith("octen") else "anthropic")
    engine = Engine(Settings(seed=seed, time_scale=0, unmatched="generate"), PROFILES[profile])
    engine.load(loads(script) if script else ())
    forced = {} if script else {"tool_choice": {"type": "tool", "name": tool["name"]}}
    said = [{"role": "user", "content": "How high are the tides in the Bay of Fundy, roughly?"}]
    request = {"model": "claude-opus-4-8", "max_tokens": 4000, "messages": said, "tools": [tool], **forced, **body}
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    return engine.handle(HttpRequest("POST", "/v1/messages", headers, json.dumps(request).encode())).plan


def ask(tool: dict[str, Any], script: str = "", **body: Any) -> dict[str, Any]:
    """The message, after its stream was found to tell the same."""
    said: dict[str, Any] = json.loads(plan(tool, script, **body).body())
    assert fold(sse.parse(plan(tool, script, stream=True, **body).body())) == said
    return said


def found(tool: dict[str, Any], **body: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = ask(tool, **body)["content"][1]["content"]
    return items


# tool -> the name of its call, the type of its result, the type of what that holds
TOOLS = [
    (SEARCH, "web_search", "web_search_tool_result", "web_search_result"),
    (OCTEN, "octen_search", "web_search_tool_result", "web_search_result"),
    ({"type": "octen_broad_search", "name": "octen_broad_search"}, "octen_broad_search", "web_search_tool_result", "web_search_result"),
    ({"type": "web_fetch_20250910", "name": "web_fetch"}, "web_fetch", "web_fetch_tool_result", "web_fetch_result"),
    ({"type": "code_execution_20250522", "name": "code_execution"}, "code_execution", "code_execution_tool_result", "code_execution_result"),
    ({"type": "code_execution_20250825", "name": "code_execution"}, "bash_code_execution", "bash_code_execution_tool_result",
     "bash_code_execution_result"),
    ({"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25"}, "tool_search_tool_bm25", "tool_search_tool_result",
     "tool_search_tool_search_result"),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "call", "result", "holds"), TOOLS, ids=[row[0]["type"] for row in TOOLS])
def test_a_forced_tool_is_called_answered_and_told_about(
    tool: dict[str, Any], call: str, result: str, holds: str
) -> None:
    message = ask(tool)
    asked, answer, *texts = message["content"]
    assert (asked["type"], asked["name"]) == ("server_tool_use", call)
    assert (answer["type"], answer["tool_use_id"]) == (result, asked["id"])
    inside = answer["content"]
    assert {one["type"] for one in (inside if isinstance(inside, list) else [inside])} == {holds}
    assert [one["type"] for one in texts] == ["text"] * len(texts) != []
    assert message["stop_reason"] == "end_turn"
    assert ("container" in message) == call.endswith("code_execution")


def test_a_search_for_tools_finds_the_deferred_ones() -> None:
    find = {"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25"}
    own = {"input_schema": {"type": "object"}}
    tools = [find, {"name": "tides", **own, "defer_loading": True}, {"name": "clock", **own}]
    result = ask(find, tools=tools)["content"][1]["content"]
    assert result["tool_references"] == [{"type": "tool_reference", "tool_name": "tides"}]


def test_same_seed_same_bytes_and_another_seed_other_results() -> None:
    assert plan(SEARCH).body() == plan(SEARCH).body()
    assert found(SEARCH) != found(SEARCH, seed=2)


def test_usage_counts_the_search() -> None:
    assert ask(SEARCH)["usage"]["server_tool_use"] == {"web_search_requests": 1, "web_fetch_requests": 0}


@pytest.mark.parametrize("tool", [SEARCH, OCTEN], ids=["web_search", "octen_search"])
def test_citations_quote_a_result_and_its_own_words(tool: dict[str, Any]) -> None:
    content = ask(tool)["content"]
    results = {item["url"]: item for item in content[1]["content"]}
    cited = [citation for block in content[2:] for citation in block.get("citations") or ()]
    assert len(cited) == 2
    for citation in cited:
        item = results[citation["url"]]
        assert (citation["type"], citation["title"]) == ("web_search_result_location", item["title"])
        assert citation["cited_text"] in item.get("highlights", citation["cited_text"])


def test_octens_parameters_are_honoured() -> None:
    items = found(
        {
            **OCTEN,
            "parameters": {
                "count": 3,
                "highlight": {"enable": False},
                "full_content": {"enable": True, "max_tokens": 100},
            },
        }
    )
    assert len(items) == 3
    for item in items:
        assert "highlights" not in item
        assert 0 < len(item["full_content"]) < 1000
        assert "encrypted_content" not in item
    full = ask({**OCTEN, "parameters": {"full_content": {"enable": True}}})["usage"]
    assert full["full_content_extra_count"] == 5


def test_texts_that_must_and_must_not_be_there() -> None:
    items = found({**OCTEN, "parameters": {"include_text": ["high tide"], "exclude_text": ["office"]}})
    assert all("high tide" in item["highlights"] and "office" not in item["highlights"] for item in items)


def test_results_are_from_the_time_that_was_asked_for() -> None:
    window = {"start_time": "2024-02-01T00:00:00Z", "end_time": "2024-03-01T00:00:00Z"}
    for item in found({**OCTEN, "parameters": window}):
        assert "2024-02-01" <= item["time_published"] <= "2024-03-01"
    for item in found({**OCTEN, "parameters": {"time_range": "week"}}):
        assert "2026-05-25" <= item["time_published"] <= "2026-06-01T23"


DOMAIN = st.sampled_from(["a.org", "b.a.org", "c.net", "example.com", "x.example.com"])


@settings(max_examples=30, deadline=None)
@given(include=st.lists(DOMAIN, max_size=3), exclude=st.lists(DOMAIN, max_size=3))
def test_results_are_inside_the_domains(include: list[str], exclude: list[str]) -> None:
    tool = {**OCTEN, "parameters": {"include_domains": include, "exclude_domains": exclude}}
    sites = [item["url"].split("/")[2] for item in json.loads(plan(tool).body())["content"][1]["content"]]
    assert not include or set(sites) <= set(include)
    assert not [site for site in sites for one in exclude if site == one or site.endswith("." + one)]
    allowed = [one for one in include if not any(one == bad or one.endswith("." + bad) for bad in exclude)]
    assert bool(sites) or (bool(include) and not allowed)


def test_a_count_may_be_written_with_a_point() -> None:
    assert len(found({**OCTEN, "parameters": {"count": 3.0}})) == 3


def test_a_turn_that_goes_on_after_its_last_search_is_told_so() -> None:
    tool = {**SEARCH, "max_uses": 1}
    first = ask(tool)["content"]
    said = [{"role": "user", "content": "And?"}, {"role": "assistant", "content": first[:2]}]
    again = ask(tool, messages=said)["content"]
    assert again[1]["content"] == {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}


@pytest.mark.parametrize(("kind", "codes"), ERROR_CODES.items())
def test_an_error_is_written_by_its_code(kind: str, codes: tuple[str, ...]) -> None:
    script = f"name: a\nreply:\n  - {{type: server_tool_use, name: {kind.removesuffix('_tool_result')}, input: {{}}}}\n"
    for code in codes:
        content = ask(SEARCH, f"{script}  - {{type: {kind}, error: {code}}}")["content"]
        assert content[1]["content"] == {"type": f"{kind}_error", "error_code": code}
    with pytest.raises(ScenarioError, match="unknown error 'bad'; expected one of"):
        loads(f"{script}  - {{type: {kind}, error: bad}}")
    with pytest.raises(ScenarioError, match="content or an error, not both"):
        loads(f"{script}  - {{type: {kind}, error: {codes[0]}, content: []}}")


def test_a_result_that_a_script_leaves_out_is_made_for_its_call() -> None:
    script = """
name: a
reply:
  - {type: server_tool_use, name: web_search, input: {query: tunnels}}
  - {type: web_search_tool_result}
  - Here you are.
"""
    call, result, text = ask({**SEARCH, "allowed_domains": ["trains.example"]}, script)["content"]
    assert result["tool_use_id"] == call["id"]
    assert {item["url"].split("/")[2] for item in result["content"]} == {"trains.example"}
    assert all("tunnels" in item["title"] for item in result["content"])
    assert text["text"] == "Here you are."


@pytest.mark.parametrize(
    "parameters",
    [
        {"count": 0},
        {"count": 101},
        {"include_domains": ["x" * 61]},
        {"include_text": ["a"] * 6},
        {"time_range": "decade"},
        {"language": ["xx"]},
        {"highlight": {"max_tokens": 99}},
        {"full_content": {"max_tokens": 100_001}},
        {"max_queries": 31},
    ],
)
def test_rule_84_octens_parameters_have_ranges(parameters: dict[str, Any]) -> None:
    refused = plan({**OCTEN, "parameters": parameters})
    assert refused.status == 400
    assert json.loads(refused.body())["error"]["type"] == "invalid_request_error"
    assert dict(refused.headers)["x-mock-hint"].startswith(f"tools.0.parameters.{next(iter(parameters))}")

"""A scripted reply that contradicts its request is played as it is written, and told; a made-up one never does."""

import json
import random
from typing import Any

import pytest

from mock_server.engine.exchange import in_place
from mock_server.engine.explain import explain
from mock_server.engine.preview import preview
from mock_server.protocol.contradictions import JudgedReply, contradictions
from mock_server.protocol.request import HttpRequest, MessagesRequest
from mock_server.protocol.rules.models import model_of
from mock_server.scenario.load import build, loads, read_answer
from mock_server.scenario.profiles import load_profile
from mock_server.scenario.writing import answer

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
T = {"name": "t", "input_schema": {"type": "object"}}
U = {"name": "u", "input_schema": {"type": "object"}}
STRICT = {"name": "t", "input_schema": CITY, "strict": True}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
FILTERED = {"type": "web_search_20260209", "name": "web_search"}
CODE = {"type": "code_execution_20250825", "name": "code_execution"}
FORMAT = {"output_config": {"format": {"type": "json_schema", "schema": CITY}}}
MCP = {"mcp_servers": [{"type": "url", "url": "https://x.example", "name": "notes"}]}
TOOLSET = {"type": "mcp_toolset", "mcp_server_name": "notes"}
CALL = "{type: tool_use, name: t, input: {city: Rome}}"
SEARCHES = "{type: server_tool_use, name: web_search, input: {query: x}}, {type: web_search_tool_result, content: []}"
BASH = "{type: server_tool_use, name: bash_code_execution, input: {command: ls}}"
NOTES = "{type: mcp_tool_use, name: read, server_name: notes, input: {}}"
THINKS = "[{type: thinking, thinking: hm}, x]"


def tools(*listed: Any, choice: Any = None, **more: Any) -> dict[str, Any]:
    return {"tools": list(listed), **({"tool_choice": choice} if choice else {}), **more}


def off(configs: Any = None, default: Any = None) -> dict[str, Any]:
    """A tool for the MCP server, with some of its tools on and off."""
    return {**TOOLSET, **({"configs": configs} if configs else {}), **({"default_config": default} if default else {})}


NO_TOOLS = "calls 't', which the request does not offer (it has none)"
NO_INPUT = "calls 't', a strict tool, with an input that breaks its schema: $: 'city' is a required property"
# what a script replies, what the request has, and what is told of the two
TABLE: list[tuple[str, dict[str, Any], str]] = [
    # tools that are not offered
    (CALL, {}, NO_TOOLS),
    (CALL, tools(U), "calls 't', which the request does not offer (there is u)"),
    (CALL, tools(T), ""),
    (
        CALL,
        tools(U, SEARCH),
        "calls 't', which the request does not offer (there is u)",
    ),
    (
        "{type: tool_use, name: web_search, input: {}}",
        tools(SEARCH),
        "calls 'web_search', which the request does not offer",
    ),
    ("{type: tool_use, name: bash, input: {}}", tools({"type": "bash_20250124", "name": "bash"}), ""),
    ("{type: tool_use, name: left_click, input: {}}", tools({"type": "computer_toolset_20260801"}), ""),
    (f"[{SEARCHES}]", {}, "calls the server's tool 'web_search', which the request does not declare (it has none)"),
    (f"[{SEARCHES}]", tools(SEARCH), ""),
    (f"[{BASH}]", tools(CODE), ""),
    (f"[{BASH}]", tools(FILTERED), ""),
    (f"[{BASH}]", tools(SEARCH), "calls the server's tool 'bash_code_execution', which the request does not declare"),
    (f"[{NOTES}]", tools(T), "calls 'read' of the MCP server 'notes', which the request does not name (it has none)"),
    (f"[{NOTES}]", MCP, ""),
    (f"[{NOTES}]", {**MCP, **tools(TOOLSET)}, ""),
    (
        f"[{NOTES}]",
        tools(off({"read": {"enabled": False}})),
        "calls 'read' of the MCP server 'notes', which the request",
    ),
    (
        f"[{NOTES}]",
        tools(off(None, {"enabled": False})),
        "calls 'read' of the MCP server 'notes', which the request leaves",
    ),
    (f"[{NOTES}]", tools(off({"read": {"enabled": True}}, {"enabled": False})), ""),
    (
        f"[{NOTES}]",
        {"mcp_servers": [{"name": "notes", "tool_configuration": {"allowed_tools": ["write"]}}]},
        "calls 'read' of the MCP server 'notes', which the request leaves out",
    ),
    # tool_choice
    (CALL, tools(T, choice={"type": "none"}), "calls a tool although tool_choice is none"),
    ("x", tools(T, choice={"type": "none"}), ""),
    ("x", tools(T, choice={"type": "any"}), "calls no tool although tool_choice is any"),
    (f"[{SEARCHES}]", tools(SEARCH, choice={"type": "any"}), ""),
    (f"[{BASH}]", tools(CODE, choice={"type": "tool", "name": "code_execution"}), ""),
    ("x", tools(T, U, choice={"type": "tool", "name": "u"}), "does not call 'u' although tool_choice wants it"),
    (CALL, tools(T, U, choice={"type": "tool", "name": "u"}), "calls 't' although tool_choice wants 'u'"),
    (CALL, tools(T, U, choice={"type": "tool", "name": "t"}), ""),
    ("x\nstop_reason: max_tokens", tools(T, choice={"type": "any"}), ""),
    ("x\nstop_reason: refusal", tools(T, choice={"type": "any"}), ""),
    (
        f"[{CALL}, {CALL}]",
        tools(T, choice={"type": "auto", "disable_parallel_tool_use": True}),
        "calls 2 tools at once",
    ),
    (f"[{CALL}, {CALL}]", tools(T), ""),
    (CALL, tools(T, choice={"type": "any", "disable_parallel_tool_use": True}), ""),
    # schemas
    (CALL, tools(STRICT), ""),
    ("{type: tool_use, name: t, input: {}}", tools(STRICT), NO_INPUT),
    ("{type: tool_use, name: t, input: {}}", tools({**STRICT, "strict": False}), ""),
    ("{type: tool_use, name: t, input: {}}\nstop_reason: max_tokens", tools(STRICT), ""),
    ("{type: tool_use, name: t, input: {}}\nfault: {type: disconnect, after: {events: 2}}", tools(STRICT), ""),
    (
        "{type: tool_use, name: u, input: {}}\nfault: {type: edit, message: {set: {content.0.name: t}}}",
        tools(STRICT),
        "",
    ),
    ("{type: tool_use, name: t, input: {}}\ngate: g", tools(STRICT), NO_INPUT),
    (
        "{type: tool_use, name: t, input_json: '{'}",
        tools(STRICT),
        "calls 't', a strict tool, with an input that is no JSON",
    ),
    ("hello", FORMAT, "answers with a text that is no JSON, as output_config.format has it"),
    ("'{}'", FORMAT, "answers with a text that breaks its schema: $: 'city' is a required property, as output_config"),
    ("""'{"city": "Rome"}'""", FORMAT, ""),
    ("hello\nstop_reason: refusal", FORMAT, ""),
    ("hello\nstop_reason: max_tokens", FORMAT, ""),
    (f"[hello, {CALL}]", {**FORMAT, **tools(T)}, ""),
    (f"""[One moment., {SEARCHES}, '{{"city": "Rome"}}']""", {**FORMAT, **tools(SEARCH)}, ""),
    ("{template: '{{ prompt }}'}", FORMAT, "answers with a text that is no JSON"),
    ("{type: tool_use, name: t, input: generated}", tools(STRICT), ""),
    # thinking
    (THINKS, {"thinking": {"type": "disabled"}}, "thinks although thinking is disabled"),
    (THINKS, {"thinking": {"type": "adaptive"}}, ""),
    ("[{type: redacted_thinking}, x]", {"thinking": {"type": "disabled"}}, "thinks although thinking is disabled"),
    (THINKS, {}, "thinks although the request does not ask for it"),
    (THINKS, {"model": "claude-opus-5"}, ""),  # thinks by itself
]


def script(reply: str, more: str = "") -> str:
    return f"name: s\nat_end: repeat\nreply: {reply}\n{more}"


@pytest.mark.parametrize(("reply", "request_", "told"), TABLE)
def test_what_is_told_of_a_reply(reply: str, request_: dict[str, Any], told: str, engine: Any, ask: Any) -> None:
    made = engine(script(reply), profile="anthropic", contradictions="error", validation="off")
    entry = ask(made, **request_)

    is_odd = "does not ask for it" in told
    warning = entry.headers.get("x-mock-warning", "")
    if told:
        assert warning.startswith(f"scenario 's' turn 1 {told}")
        assert entry.contradictions[0].startswith(f"scenario 's' turn 1 {told}")
    else:
        assert "turn 1" not in warning
        assert not entry.contradictions
    assert entry.contradicted == (bool(told) and not is_odd)
    assert entry.journal.contradicted == entry.contradicted
    assert entry.status == 200
    assert entry.scenario == "s"


def test_a_sentence_that_tells_all_is_no_longer_than_that(engine: Any, ask: Any) -> None:
    entry = ask(engine(script("x"), contradictions="error"), **tools(T, choice={"type": "any"}))
    assert entry.contradictions == ("scenario 's' turn 1 calls no tool although tool_choice is any",)


def test_the_reply_goes_out_as_it_is_written(engine: Any, ask: Any) -> None:
    told, untold = (ask(engine(script(CALL), contradictions=wanted)) for wanted in ("error", "off"))

    assert told.plan.body() == untold.plan.body()
    assert [name for name, _ in told.plan.headers if name == "x-mock-warning"] == ["x-mock-warning"]
    assert not untold.contradictions
    assert "x-mock-warning" not in untold.headers


@pytest.mark.parametrize("stream", [True, False])
def test_it_is_logged_once_and_told_each_time(
    stream: bool, engine: Any, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = engine(script(CALL), contradictions="warn")
    entries = [ask(made, stream=stream) for _ in range(2)]

    assert [record.getMessage() for record in caplog.records] == [f"scenario 's' turn 1 {NO_TOOLS}"] * 2
    assert all(one.headers["x-mock-warning"] == f"scenario 's' turn 1 {NO_TOOLS}" for one in entries)
    assert not any(one.contradicted for one in entries)


WANTED = [
    "name: s\ncontradicts: true\nreply: CALL",
    "name: s\ncontradicts: true\nturns: [reply: CALL]",
    "name: s\nturns: [{reply: CALL, contradicts: true}]",
    "name: s\nturns: [{contradicts: true, cases: [{reply: CALL}]}]",
    "name: s\nturns: [{contradicts: true, attempts: [CALL]}]",
]


@pytest.mark.parametrize("text", WANTED)
def test_a_scenario_says_that_it_means_it(text: str, engine: Any, ask: Any) -> None:
    entry = ask(engine(text.replace("CALL", CALL), contradictions="error"))

    assert entry.reply["content"][0]["name"] == "t"
    assert not entry.contradictions
    assert "x-mock-warning" not in entry.headers


@pytest.mark.parametrize(
    "text", ["name: s\nturns: [{error: 529, contradicts: true}]", "name: s\nfault: reset\ncontradicts: true"]
)
def test_only_a_reply_can_mean_it(text: str) -> None:
    from mock_server.scenario.node import ScenarioError

    with pytest.raises(ScenarioError, match="'contradicts' belongs"):
        loads(text)


def test_a_function_is_judged_by_what_it_gives(engine: Any, ask: Any) -> None:
    call = {"type": "tool_use", "name": "t", "input": {}}
    for data, count in (({}, 1), ({"contradicts": True}, 0)):
        made = engine([build({"name": "s", "turns": [lambda request: call], **data})], contradictions="error")
        entry = ask(made)
        assert entry.journal.contradicted == 0
        entry.settled(in_place(entry.exchange.late))
        assert len(entry.contradictions) == entry.journal.contradicted == count


def test_what_was_cut_off_is_not_judged(engine: Any, ask: Any) -> None:
    made = engine(script(f"[A long text that has no end., {CALL}]"), contradictions="error")

    assert not ask(made, max_tokens=3).contradictions
    assert not ask(made, max_tokens=3, **tools(T, choice={"type": "any"}), thinking=None).contradictions
    assert ask(made).contradicted


def test_a_turn_that_goes_on_has_called_already(engine: Any, ask: Any) -> None:
    asked = [
        {"role": "user", "content": "x"},
        {
            "role": "assistant",
            "content": [{"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}],
        },
    ]
    entry = ask(
        engine(script("x", "anchor: session"), contradictions="error", validation="off"),
        asked,
        **tools(SEARCH, choice={"type": "any"}),
    )
    assert entry.scenario == "s"
    assert not entry.contradictions


@pytest.mark.parametrize(
    ("reply", "added", "is_offered"),
    [
        (CALL, {"type": "tool_definition", "definition": T}, True),
        (CALL, {"type": "tool_reference", "tool_name": "u"}, False),
        (f"[{NOTES}]", {"type": "mcp_toolset_reference", "server_name": "notes"}, True),
        (f"[{NOTES}]", {"type": "mcp_tool_reference", "server_name": "other", "tool_name": "read"}, False),
    ],
)
def test_a_tool_that_a_system_message_adds_is_offered(
    reply: str, added: Any, is_offered: bool, engine: Any, ask: Any
) -> None:
    made = engine(script(reply), contradictions="error", validation="off")
    said = {"role": "user", "content": "x"}
    assert ask(made, [said], **tools(U)).contradictions
    asked = [said, {"role": "system", "content": [{"type": "tool_addition", "tool": added}]}]
    assert bool(ask(made, asked, **tools(U)).contradictions) != is_offered


def test_a_side_call_is_only_told(engine: Any, ask: Any) -> None:
    entry = ask(engine(script(CALL, "when: {prompt: Hello}\ntags: [side]"), contradictions="error"))
    assert entry.contradictions
    assert not entry.contradicted


def test_one_of_the_library_is_only_told(ask: Any, engine: Any) -> None:
    from mock_server.scenario.load import library, load

    entry = ask(engine(load([library()]), contradictions="error"), headers={"x-mock-scenario": "tool-use"})
    assert entry.contradictions
    assert not entry.contradicted


def test_what_takes_too_long_to_judge_is_left_unjudged(engine: Any, ask: Any) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"city": {"anyOf": [{"$ref": "#/$defs/a0"}]}},
        "$defs": {},
    }
    for n in range(40):
        ref = {"$ref": f"#/$defs/a{n + 1}"}
        schema["$defs"][f"a{n}"] = {"allOf": [ref, ref]}
    schema["$defs"]["a40"] = {"type": "string"}
    made = engine(script(CALL), contradictions="error", validation="off")
    for n in range(2):
        entry = ask(made, f"{n}", **tools({"name": "t", "strict": True, "input_schema": schema}))
        assert entry.status == 200
        assert not entry.contradicted
        assert "a value with a schema" in entry.headers["x-mock-warning"]


def test_a_schema_that_is_none_is_left_unjudged(engine: Any, ask: Any) -> None:
    made = engine(script(CALL), contradictions="error", validation="off")
    entry = ask(made, **tools({"name": "t", "strict": True, "input_schema": {"$ref": "#/nowhere"}}))
    assert not entry.contradictions


def test_the_warning_is_one_line_of_ascii_within_a_bound(engine: Any, ask: Any) -> None:
    name = "wetter·auskunft\n" * 200
    made = engine([build({"name": "s", "reply": {"type": "tool_use", "name": name, "input": {}}})])
    warning = ask(made).headers["x-mock-warning"]
    assert warning.isascii()
    assert warning.isprintable()
    assert len(warning) <= 600


def test_what_is_known_of_a_reply_is_asked_for_no_other_request(engine: Any, ask: Any) -> None:
    """A body that differs from one before in its messages alone is judged by what is known of that one."""
    other = script(CALL, "when: {prompt: two}").replace("name: s", "name: z")
    made = engine(script(CALL, "when: {prompt: one}\n---\n") + other, contradictions="error")
    wanted = tools(T, choice={"type": "tool", "name": "t", "disable_parallel_tool_use": True})
    for _ in range(3):
        assert not ask(made, "one", **wanted).contradictions
        assert ask(made, "one", **{**wanted, "tool_choice": {"type": "none"}}).contradictions
        assert ask(made, "two", **tools(U)).contradictions == (
            "scenario 'z' turn 1 calls 't', which the request does not offer (there is u)",
        )
    assert [one.contradicted for one in made.sessions.default.journal] == [False, True, True] * 3


@pytest.mark.parametrize("kind", ["tool_use", "server_tool_use"])
def test_a_recorded_tool_of_a_kind_that_nobody_knows_may_be_anybodys(kind: str) -> None:
    request = MessagesRequest({"tools": [{"type": "draw_20991231", "name": "draw"}], "messages": [{"role": "user"}]})
    said = read_answer([{"type": kind, "name": "draw", "input": {}}], "reply")
    assert contradictions(request, None, JudgedReply(said.reply or (), said.ending)) == ()


def test_of_many_things_the_first_are_told(engine: Any, ask: Any) -> None:
    calls = [{"type": "tool_use", "name": f"t{n}", "input": {}} for n in range(1000)]
    entry = ask(engine([build({"name": "s", "reply": calls})], contradictions="error"))
    assert len(entry.contradictions) == 8
    assert entry.contradicted


# -- where else a reply is shown -------------------------------------------------------------------------------------


def test_a_preview_and_an_explanation_tell_it(engine: Any) -> None:
    made = engine(script(CALL))
    body = {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "x"}]}
    (scenario,) = made.served
    told = f"scenario 's' turn 1 {NO_TOOLS}"

    assert preview(made, made.in_force, scenario, body)[0].as_json()["contradictions"] == [told]
    assert not preview(made, made.in_force, scenario)[0].contradictions  # its request is made up for it
    http = HttpRequest("POST", "/v1/messages", {"x-api-key": "k"}, json.dumps(body).encode())
    found = explain(made, made.sessions.default, http)
    assert found.as_json()["contradictions"] == [NO_TOOLS]
    assert f"  contradicts it: {NO_TOOLS}" in str(found)


# -- replies that are made up ----------------------------------------------------------------------------------------

CHOICES: list[Any] = [None, {"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": "t"}]
CHOICES += [{"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "web_search"}]
CHOICES += [{"type": "tool", "name": "code_execution"}, {"type": "tool", "name": "bash"}]
DEEP = {
    "type": "object",
    "properties": {
        "when": {"type": "string", "format": "date-time"},
        "kind": {"enum": ["a", "b"]},
        "list": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        "inner": CITY,
    },
    "required": ["when", "kind", "list", "inner"],
    "additionalProperties": False,
}
OFFERED: list[Any] = [T, STRICT, {**STRICT, "input_schema": DEEP}, SEARCH, CODE, FILTERED, TOOLSET]
OFFERED += [{"type": "bash_20250124", "name": "bash"}, {**U, "name": "StructuredOutput", "input_schema": CITY}]
FORMATS: list[Any] = [{}, FORMAT, {"output_config": {"format": {"type": "json_schema", "schema": DEEP}}}]
THINKING: list[Any] = [{}, {"thinking": {"type": "disabled"}}, {"thinking": {"type": "adaptive"}}]


def anything(draw: random.Random) -> dict[str, Any]:
    """The parameters of some request; most of them are valid."""
    listed = list({one.get("name", ""): one for one in draw.sample(OFFERED, draw.randrange(4))}.values())
    choice = draw.choice(CHOICES)
    chosen = {"tool_choice": choice} if choice and (listed or choice["type"] in ("auto", "none")) else {}
    offered = {"tools": listed, **MCP} if TOOLSET in listed else {"tools": listed} if listed else {}
    return {**offered, **chosen, **draw.choice(FORMATS), **draw.choice(THINKING), "stream": draw.random() < 0.5}


@pytest.mark.parametrize("generated_tools", ["forced", "matching"])
@pytest.mark.parametrize("profile", ["octen", "anthropic"])
def test_a_reply_that_is_made_up_never_contradicts(profile: str, generated_tools: str, engine: Any, ask: Any) -> None:
    draw = random.Random(f"{profile} {generated_tools}")
    made = engine(profile=profile, unmatched="generate", generated_tools=generated_tools)
    judged = called = formed = 0
    for n in range(300):
        asked = anything(draw)
        entry = ask(made, f"t: search the web and run bash {n}", {"anthropic-beta": "mcp-client-2025-11-20"}, **asked)
        if entry.status != 200:
            assert entry.status == 400, entry.text
            continue
        assert entry.headers["x-mock-scenario"] == "(generated)"
        request = MessagesRequest(json.loads(entry.request.raw))
        reply = read_answer(answer(entry.reply), "reply")
        said = JudgedReply(reply.reply or (), reply.ending)
        assert contradictions(request, model_of(request, load_profile(profile)), said) == (), (asked, entry.reply)
        judged, called, formed = judged + 1, called + bool(said.calls), formed + ("output_config" in asked)
    assert min(judged, called, formed) > 25, (judged, called, formed)


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        (TOOLSET, [("mcp_tool_use", "search"), ("mcp_tool_result", None), ("text", None)]),
        (off({"a": {"enabled": False}, "b": {}}), [("mcp_tool_use", "b"), ("mcp_tool_result", None), ("text", None)]),
        ({"type": "browser_toolset_20260801"}, [("tool_use", "screenshot")]),
    ],
)
def test_a_set_of_tools_is_called_where_nothing_else_is(tool: Any, said: Any, engine: Any, ask: Any) -> None:
    made = engine(profile="anthropic", unmatched="generate")
    beta = {"anthropic-beta": "mcp-client-2025-11-20"}
    reply = ask(made, "Hi", beta, **MCP, **tools(tool, choice={"type": "any"})).reply
    assert [(one["type"], one.get("name")) for one in reply["content"]] == said


# -- where a reply comes from ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "headers", "more", "origin"),
    [
        ({}, {}, {}, "(generated)"),
        ({"unmatched": "error"}, {}, {}, "(unmatched)"),
        ({}, {"x-mock-scenario": "s"}, {}, "s"),
        ({}, {"anthropic-beta": "compact-2026-01-12"}, {"compaction": {"type": "summarize"}}, "(compaction)"),
    ],
)
def test_every_reply_to_a_valid_request_says_where_it_comes_from(
    settings: Any, headers: Any, more: Any, origin: str, engine: Any, ask: Any
) -> None:
    made = engine("name: s\nwhen: {prompt: weather}\nreply: x", **{"unmatched": "generate", **settings})
    entry = ask(made, "the wether?", headers, **more)
    assert entry.headers["x-mock-scenario"] == origin


def test_the_log_has_the_nearest_miss_in_one_line(engine: Any, ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    made = engine("name: s\nwhen: {prompt: weather}\nreply: x", unmatched="generate")
    with caplog.at_level("INFO", "mock_server"):
        ask(made, "the wether?")
    assert [one.getMessage() for one in caplog.records] == [
        "no scenario matches, a reply is made up; nearest: s: prompt: wanted contains 'weather', got 'the wether?'"
    ]


def test_why_is_worked_out_only_for_a_log_that_wants_it(
    engine: Any, ask: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = engine("name: s\nwhen: {prompt: weather}\nreply: x", unmatched="generate")
    monkeypatch.setattr("mock_server.engine.choose._off", lambda *asked: pytest.fail("nobody asked"))
    with caplog.at_level("WARNING", "mock_server"):
        assert ask(made, "the wether?").status == 200

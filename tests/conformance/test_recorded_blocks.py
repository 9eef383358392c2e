"""Blocks and counts as recorded traffic of the real API has them; each JSON reply is what its stream folds to."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from conformance.replies import Reply, reply
from conformance.strict import problems
from hypothesis import given
from hypothesis import strategies as st

from mock_server.engine.compile import View, _viewed
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.exchange import Exchange
from mock_server.protocol import tokens
from mock_server.protocol.blocks import Thinking, ToolUse
from mock_server.protocol.chunk import values
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps, spaced
from mock_server.scenario.profiles import load_profile

MakeEngine = Callable[..., Engine]
Ask = Callable[..., Entry]
ANTHROPIC = load_profile("anthropic")
TOKEN_COUNT = {"anthropic-beta": "thinking-token-count-2026-05-13"}
FINE_GRAINED = {"anthropic-beta": "fine-grained-tool-streaming-2025-05-14"}
HAIKU = "claude-haiku-4-5"  # a token of it is an estimated one
WEATHER = {"name": "get_weather", "input_schema": {"type": "object"}}
CALL = "name: a\nreply: {type: tool_use, name: get_weather, input: {city: Paris, days: [1, 2], at: {x: 1}}}\n"
THOUGHT = "name: a\nreply: [{type: thinking, thinking: I weigh it.}, Done.]"


class Both(NamedTuple):
    """One request asked twice: what came as JSON, and the events of the stream."""

    json: Reply
    stream: Reply

    @property
    def content(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json.message["content"]
        return found

    def deltas(self, kind: str) -> list[dict[str, Any]]:
        listed = [value["delta"] for root, value in self.stream.values if root == "content_block_delta"]
        return [delta for delta in listed if delta["type"] == kind]

    @property
    def pieces(self) -> list[str]:
        return [delta["partial_json"] for delta in self.deltas("input_json_delta")]


@pytest.fixture
def both(engine: MakeEngine, ask: Ask) -> Callable[..., Both]:
    """Ask for one reply as JSON and as a stream: one message, and in profile `anthropic` of the SDK's types."""

    def asked(script: str, profile: str = "anthropic", said: Any = "Hi", seed: int = 7, **more: Any) -> Both:
        found = []
        for stream in (False, True):
            served = engine(script, profile=profile, seed=seed)
            found.append(reply(script, ask(served, said, stream=stream, **more).exchange))
        plain, streamed = found
        assert plain.status == 200, plain.values
        assert {**plain.message, "id": ""} == {**streamed.message, "id": ""}
        for root, value in (*plain.values, *streamed.values):
            if root != "ping" and profile == "anthropic":
                assert problems(value, BetaMessage if root == "message" else BetaRawMessageStreamEvent, root) == []
        return Both(plain, streamed)

    return asked


# -- who called a tool ------------------------------------------------------------------------------------------------

DIRECT = {"type": "direct"}
PROGRAM = {"type": "code_execution_20260120"}
CALLED = """
name: a
reply:
  - {type: server_tool_use, name: web_search, input: {query: sun}}
  - {type: web_search_tool_result, content: []}
  - {type: server_tool_use, name: web_fetch, input: {url: "https://example.com"}}
  - {type: web_fetch_tool_result, error: unavailable}
  - {type: server_tool_use, name: code_execution, input: {code: x}}
  - {type: code_execution_tool_result, error: unavailable}
  - {type: tool_use, name: get_weather, input: {}}
"""


def test_a_call_tells_that_the_model_made_it(both: Any) -> None:
    told = {block["type"]: block.get("caller") for block in both(CALLED).content}

    assert told == {
        "server_tool_use": None,
        "web_search_tool_result": DIRECT,
        "web_fetch_tool_result": DIRECT,
        "code_execution_tool_result": None,
        "tool_use": DIRECT,
    }


def test_a_call_of_the_gateway_tells_nothing_of_the_kind(both: Any) -> None:
    assert [block for block in both(CALLED, "octen").content if "caller" in block] == []


NESTED = """
name: a
reply:
  - {type: server_tool_use, name: code_execution, id: srvtoolu_program, input: {code: x}}
  - {type: server_tool_use, name: web_search, id: srvtoolu_search, input: {query: q}, caller: {type: code_execution_20260120}}
  - {type: web_search_tool_result, content: [], caller: {type: code_execution_20260120}}
  - {type: tool_use, name: get_weather, input: {}, caller: {type: code_execution_20260120}}
  - {type: tool_use, name: get_weather, input: {}, caller: {type: code_execution_20260120, tool_id: srvtoolu_other}}
"""


@pytest.mark.parametrize("profile", ["anthropic", "octen"])
def test_a_call_of_a_program_names_the_call_that_runs_it(profile: str, both: Any) -> None:
    _, *called = both(NESTED, profile).content

    ours, other = {**PROGRAM, "tool_id": "srvtoolu_program"}, {**PROGRAM, "tool_id": "srvtoolu_other"}
    assert [block["caller"] for block in called] == [ours, ours, ours, other]
    assert called[1]["tool_use_id"] == "srvtoolu_search"


def test_the_program_may_have_been_called_in_the_turn_before(engine: MakeEngine, ask: Ask) -> None:
    script = f"""
name: a
turns:
  - reply: [{{type: server_tool_use, name: code_execution, input: {{code: x}}}}]
    stop_reason: pause_turn
  - reply: [{{type: tool_use, name: get_weather, input: {{}}, caller: {json.dumps(PROGRAM)}}}]
"""
    tools = [WEATHER, {"type": "code_execution_20260120", "name": "code_execution"}]
    served = engine(script, profile="anthropic")
    said = [{"role": "user", "content": "Hi"}]
    paused = ask(served, said, tools=tools).exchange
    content = json.loads(paused.plan.body())["content"]
    resumed = ask(served, [*said, {"role": "assistant", "content": content}], tools=tools).exchange

    (call,) = json.loads(resumed.plan.body())["content"]
    assert call["caller"] == {**PROGRAM, "tool_id": content[0]["id"]}


# -- thoughts ---------------------------------------------------------------------------------------------------------

OMITTING = [model.id for model in ANTHROPIC.models if model.thinking_display == "omitted"]
SHOWING = [model.id for model in ANTHROPIC.models if model.thinking_display == "summarized"]


def test_every_model_has_a_default_display() -> None:
    """The newer ones leave the text out: from opus-4-7 on, but for those of 4.6."""
    assert {name for name in SHOWING if "4-5" not in name and "4-6" not in name} == set()
    assert {name for name in OMITTING if "4-5" in name or "4-6" in name} == set()


@pytest.mark.parametrize("model", [*OMITTING, *SHOWING])
def test_a_thought_comes_as_its_model_shows_it_unless_the_request_asks(model: str, both: Any) -> None:
    mode = "adaptive" if "adaptive" in (ANTHROPIC.model(model).thinking or ()) else "enabled"  # type: ignore[union-attr]
    budget = {} if mode == "adaptive" else {"budget_tokens": 1024}
    asking = {
        display: {"thinking": {"type": mode, **budget, "display": display}} for display in ("summarized", "omitted")
    }

    shown = {None: both(THOUGHT, model=model)} | {
        display: both(THOUGHT, model=model, **more) for display, more in asking.items()
    }

    texts = {display: found.content[0]["thinking"] for display, found in shown.items()}
    assert texts == {None: "I weigh it." if model in SHOWING else "", "summarized": "I weigh it.", "omitted": ""}
    assert len({found.content[0]["signature"] for found in shown.values()}) == 1
    spent = {json.dumps(found.json.message["usage"]["output_tokens"]) for found in shown.values()}
    assert len(spent) == 1  # it costs the same


def test_the_gateway_shows_thoughts_whichever_the_model(both: Any) -> None:
    assert both(THOUGHT, "octen", model="claude-opus-4-8").content[0]["thinking"] == "I weigh it."
    omitted = {"type": "adaptive", "display": "omitted"}
    assert both(THOUGHT, "octen", model="claude-opus-4-8", thinking=omitted).content[0]["thinking"] == ""


def test_an_omitted_thought_takes_the_time_it_takes(engine: MakeEngine, ask: Ask) -> None:
    served = engine(f"{THOUGHT}\ntiming: {{first: 5ms, gap: 10ms}}", profile="anthropic", time_scale=1.0)
    last = {}
    for display in ("summarized", "omitted"):
        thinking = {"type": "adaptive", "display": display}
        (part,) = ask(served, stream=True, thinking=thinking).exchange.plan.parts
        last[display] = part.at[-1]
    assert last["summarized"] == last["omitted"] == 5_000 + 10_000 * (4 + 2 - 1)  # 4 tokens of a thought, 2 of a text


@pytest.mark.parametrize(("display", "share"), [("summarized", (0.1, 0.3)), ("omitted", (0.7, 0.9))])
def test_a_thought_may_end_in_an_empty_delta(display: str, share: tuple[float, float]) -> None:
    """25 of 114 recorded ones did, 4 of the 5 whose text was omitted."""
    thoughts = [Thinking(thinking=f"thought {number}") for number in range(500)]
    view = View(omits_thinking=display == "omitted", seed=7)
    trailing = 0
    for thought in thoughts:
        *before, last = [delta for delta, _ in _viewed(thought, view).deltas(None) if delta is not None]
        assert last["type"] == "signature_delta"
        trailing += bool(before) and before[-1]["thinking"] == ""
    assert share[0] < trailing / len(thoughts) < share[1]


def test_which_thoughts_do_is_drawn_from_the_seed(both: Any) -> None:
    def deltas(seed: int) -> int:
        return len(both(THOUGHT, model="claude-sonnet-4-6", seed=seed).deltas("thinking_delta"))

    assert [deltas(seed) for seed in range(12)] == [deltas(seed) for seed in range(12)]
    assert {deltas(seed) for seed in range(12)} == {4, 5}


def test_the_beta_counts_the_tokens_of_a_thought_that_is_not_shown(both: Any) -> None:
    script = f"name: a\nreply: [{{type: thinking, thinking: {' '.join(['word'] * 260)}}}, Done.]"

    shown = both(script, model="claude-sonnet-4-6", headers=TOKEN_COUNT)
    assert {delta["estimated_tokens"] for delta in shown.deltas("thinking_delta")} == {None}

    hidden = both(script, model="claude-opus-4-8", headers=TOKEN_COUNT)
    counted = [delta["estimated_tokens"] or 0 for delta in hidden.deltas("thinking_delta")]
    assert {delta["thinking"] for delta in hidden.deltas("thinking_delta")} == {""}
    assert sum(counted) == 250
    assert all(step % 50 == 0 for step in counted)

    without = both(script, model="claude-opus-4-8")
    assert [delta for delta in without.deltas("thinking_delta") if "estimated_tokens" in delta] == []


# -- nothing where there is nothing -----------------------------------------------------------------------------------


def test_a_citation_has_a_file_only_where_the_document_is_one(both: Any) -> None:
    facts = {"type": "text", "media_type": "text/plain", "data": "Grass is green. The sky is blue."}
    document = {"type": "document", "source": facts, "title": "Facts", "citations": {"enabled": True}}
    script = "name: a\nreply: [{type: text, text: Green., citations: [{cited_text: Grass is green.}]}]"
    said = [{"role": "user", "content": [document, {"type": "text", "text": "What?"}]}]

    (block,) = both(script, said=said).content
    assert "file_id" not in block["citations"][0]


@pytest.mark.parametrize("encrypted", [None, "abc"])
def test_a_compaction_is_encrypted_only_where_it_is(encrypted: str | None, both: Any) -> None:
    more = "" if encrypted is None else f", encrypted_content: {encrypted}"
    found = both(f"name: a\nreply: [{{type: compaction, content: They spoke.{more}}}]")

    (block,) = found.content
    (delta,) = found.deltas("compaction_delta")
    assert [one.get("encrypted_content", "none") for one in (block, delta)] == [encrypted or "none"] * 2


# -- the input of calls -----------------------------------------------------------------------------------------------

WHOLE = ["", '{"city": "Paris"', ', "days": [1, 2]', ', "at": {"x": 1}', "}"]


@pytest.mark.parametrize("profile", ["anthropic", "octen"])
def test_each_value_of_an_input_comes_when_it_is_whole(profile: str, both: Any) -> None:
    assert both(CALL, profile, tools=[WEATHER]).pieces == WHOLE


def eager(value: bool | None) -> dict[str, Any]:
    return {"tools": [WEATHER if value is None else {**WEATHER, "eager_input_streaming": value}]}


@pytest.mark.parametrize(
    ("more", "is_eager"),
    [
        ({**eager(True)}, True),
        ({**eager(False)}, False),
        ({**eager(None), "headers": FINE_GRAINED}, True),
        ({**eager(False), "headers": FINE_GRAINED}, False),
        ({"tools": [{**WEATHER, "name": "other", "eager_input_streaming": True}, WEATHER]}, False),
    ],
)
def test_the_tool_or_the_beta_has_it_come_in_pieces(more: dict[str, Any], is_eager: bool, both: Any) -> None:
    pieces = both(CALL, **more).pieces

    assert "".join(pieces) == "".join(WHOLE)
    assert (len(pieces) > 20) == is_eager


@pytest.mark.parametrize("timing", ["{chunk: token}", "{chunk: 5}", "{burst: 2}"])
def test_a_chunk_of_the_scenario_keeps_its_pieces(timing: str, both: Any) -> None:
    pieces = both(f"{CALL}timing: {timing}", tools=[WEATHER]).pieces

    assert "".join(pieces) == "".join(WHOLE)
    assert pieces != WHOLE


def test_a_value_takes_the_time_of_its_pieces(engine: MakeEngine, ask: Ask) -> None:
    def times(timing: str, **more: Any) -> dict[str, int]:
        """When the input stood at a certain length."""
        script = f"{CALL}timing: {{first: 3ms, {timing}}}"
        plan = ask(engine(script, time_scale=1.0), stream=True, **{"tools": [WEATHER], **more}).exchange.plan
        found: dict[str, int] = {}
        told = ""
        for payload, at in zip(reply("", Exchange(plan)).values, plan.parts[0].at, strict=True):
            told += payload[1].get("delta", {}).get("partial_json", "")
            found.setdefault(told, at)
        return {**found, "end": plan.parts[0].at[-1]}

    for pace in ("gap: 10ms", "rate: 50/s", "gap: {uniform: [5ms, 20ms]}", "gap: 10ms, jitter: 50%"):
        whole, pieces = times(pace), times(f"{pace}, chunk: token")
        assert {told: at for told, at in pieces.items() if told in whole} == whole
        assert times(pace, **eager(True)) == times(f"{pace}, chunk: token", **eager(True))


FIXED = 36 + 3  # a call with three values, beside its JSON


def test_max_tokens_inside_a_value_leaves_the_values_before_it(both: Any) -> None:
    inputs = {}
    for most in range(FIXED, FIXED + 40):
        found = both(CALL, model=HAIKU, tools=[WEATHER], max_tokens=most)
        (call,) = found.content
        inputs[json.dumps(call["input"])] = found.pieces
        assert found.pieces in [WHOLE[:count] for count in range(1, 6)]
    assert [json.loads(one) for one in inputs] == [
        {},
        {"city": "Paris"},
        {"city": "Paris", "days": [1, 2]},
        {"city": "Paris", "days": [1, 2], "at": {"x": 1}},
    ]


def test_only_an_eager_tool_streams_half_a_value(both: Any) -> None:
    halves = set()
    for most in range(FIXED, FIXED + 40):
        found = both(CALL, model=HAIKU, max_tokens=most, **eager(True))
        halves.add("".join(found.pieces))
    assert '{"city": "Paris", "days": [1' in halves
    assert {"city": "Paris", "days": [1]} in [
        both(CALL, model=HAIKU, max_tokens=most, **eager(True)).content[0]["input"] for most in range(FIXED, FIXED + 40)
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
INPUTS = st.dictionaries(st.text(max_size=6), JSON, max_size=4)


@given(INPUTS)
def test_the_pieces_of_any_input_are_its_json(given: dict[str, Any]) -> None:
    parts = list(values(spaced(given)))

    assert "".join(text for text, _ in parts) == spaced(given)
    assert all(is_whole for _, is_whole in parts)
    assert len(parts) == (len(given) + 1 if given else 1)
    for count in range(len(parts)):
        told = "".join(text for text, _ in parts[:count]) or "{"
        assert json.loads(told + "}" * (count < len(parts))) == dict(list(given.items())[:count])


@given(INPUTS, st.data())
def test_of_an_input_cut_anywhere_only_whole_values_come(given: dict[str, Any], data: Any) -> None:
    text = spaced(given)
    short = text[: data.draw(st.integers(0, len(text)))]
    told = "".join(part for part, is_whole in values(short) if is_whole)

    assert "".join(part for part, _ in values(short)) == short
    if short != text and told:
        assert json.loads(told + "}") == dict(list(given.items())[: len(json.loads(told + "}"))])


def test_the_json_of_a_call_that_a_script_writes_itself_comes_as_it_is(both: Any) -> None:
    pieces = both('name: a\nreply: [{type: tool_use, name: x, input_json: \'{"city":"Par\'}]').pieces

    assert "".join(pieces) == '{"city":"Par'


# -- what it costs ----------------------------------------------------------------------------------------------------


class Counted(NamedTuple):
    """A part of a request, and what it is recorded to cost beside its text; for one model, or for all."""

    what: str
    more: Mapping[str, Any]
    cost: int
    model: str = HAIKU


FORMAT = {"type": "json_schema", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}
TEXT = {"type": "text", "media_type": "text/plain", "data": "Grass."}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjc8PCAvVHlwZSAvUGFnZSA+Pg=="}
BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
COMPUTER = {"name": "computer", "display_width_px": 1024, "display_height_px": 768}


def holding(block: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [block, {"type": "text", "text": "Hi"}]}]}


def tool(type: str, name: str, **more: Any) -> dict[str, Any]:
    return {"tools": [{"type": type, "name": name, **more}]}


COUNTED = (
    Counted("thinking", BUDGET, 29, "claude-sonnet-4-5"),
    Counted("thinking", BUDGET, 29, "claude-opus-4-6"),
    Counted("adaptive thinking", {"thinking": {"type": "adaptive"}}, 0, "claude-opus-4-6"),
    Counted("a format", {"output_config": {"format": FORMAT}}, 75 + round(0.45 * len(dumps(FORMAT)))),
    Counted("a text document", holding({"type": "document", "source": TEXT}), 33 + 2),
    Counted("citations", holding({"type": "document", "source": TEXT, "citations": {"enabled": True}}), 33 + 2 + 540),
    Counted("a page", holding({"type": "document", "source": PDF}), 1600),
    Counted("a page", holding({"type": "document", "source": PDF}), 2400, "claude-sonnet-4-5"),
    Counted("memory", tool("memory_20250818", "memory"), 1050),
    Counted("computer", tool("computer_20250124", **COMPUTER), 1090),
    Counted("computer", tool("computer_20251124", **COMPUTER), 1280),
    Counted("web search", tool("web_search_20250305", "web_search"), 1650),
    Counted("advisor", tool("advisor_20260301", "advisor", model="claude-opus-4-8"), 650, "claude-sonnet-4-6"),
)
TOOL_PROMPTS = {"claude-haiku-4-5": 496, "claude-sonnet-4-6": 497}


def test_count_tokens_and_usage_agree_on_what_things_cost(engine: MakeEngine) -> None:
    served = engine("name: a\nreply: Yes.", profile="anthropic")

    def post(path: str, **body: Any) -> dict[str, Any]:
        headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
        entry = served.handle(HttpRequest("POST", path, headers, json.dumps(body).encode()))
        assert entry.status == 200, entry.plan.body()
        told: dict[str, Any] = json.loads(entry.plan.body())
        return told

    def input_tokens(model: str, **more: Any) -> int:
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}
        counted = post("/v1/messages/count_tokens", **body)["input_tokens"]
        assert post("/v1/messages", **body, max_tokens=2000)["usage"]["input_tokens"] == counted
        return int(counted)

    for what, more, cost, model in COUNTED:
        told = input_tokens(model, **more) - input_tokens(model)
        for one in more.get("tools", ()):  # the prompt of all tools comes on top, and what is said of this one
            told -= TOOL_PROMPTS[model] + tokens.count(dumps(one))
        assert told == cost, what


@pytest.mark.parametrize("input", [{}, {"a": 1}, {"city": "Paris", "days": 3}])
def test_a_call_costs_more_than_its_json(input: dict[str, Any], both: Any) -> None:
    spent = both(f"name: a\nreply: {json.dumps({'type': 'tool_use', 'name': 'f', 'input': input})}", model=HAIKU)
    json_alone = both(f"name: a\nreply: {json.dumps(spaced(input))}", model=HAIKU)

    more = spent.json.message["usage"]["output_tokens"] - json_alone.json.message["usage"]["output_tokens"]
    assert more == 36 + len(input)
    if not input:
        assert spent.json.message["usage"]["output_tokens"] == 38


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-4-8"])
def test_the_fixed_part_of_a_call_does_not_grow_with_the_model(model: str, both: Any) -> None:
    call = ToolUse(name="f", input={})
    spent = both("name: a\nreply: {type: tool_use, name: f, input: {}}", model=model).json.message["usage"]
    assert spent["output_tokens"] - call.call_tokens in (2, 3)  # two tokens of JSON


# -- a reply that is cut ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_that_was_scripted_whole_and_is_cut_says_so(stream: bool, engine: MakeEngine, ask: Ask) -> None:
    entry = ask(engine("name: a\nreply: one two three four", profile="anthropic"), max_tokens=2, stream=stream)

    why = "the reply was cut short: it takes 6 tokens, and max_tokens is 2"
    assert dict(entry.plan.headers)["x-mock-warning"] == f"scenario 'a' turn 1: {why}"
    assert entry.note == why
    assert f"-> 200 a turn 1: {why}" in str(entry)


@pytest.mark.parametrize(
    ("script", "more"),
    [
        ("name: a\nreply: one two three four", {"max_tokens": 6}),
        ("name: a\nreply: one two three four\nstop_reason: max_tokens", {"max_tokens": 2}),
        ("name: a\ngenerate: {tokens: 50}", {"max_tokens": 2}),
        ("name: a\nreply: one STOP three four", {"max_tokens": 5, "stop_sequences": ["STOP"]}),
        ((), {"max_tokens": 2}),
        ("name: a\nreply: one two three four", {"max_tokens": 0}),
    ],
    ids=["it fits", "the script says so", "made up", "a stop sequence", "no script", "a warm cache"],
)
def test_nothing_is_said_where_nothing_of_a_script_was_cut(
    script: Any, more: dict[str, Any], engine: MakeEngine, ask: Ask
) -> None:
    entry = ask(engine(script, profile="anthropic", unmatched="generate"), **more)

    assert (entry.status, "x-mock-warning" in dict(entry.plan.headers)) == (200, False)
    assert "cut short" not in entry.note


def test_a_full_window_is_told_as_one(engine: MakeEngine, ask: Ask) -> None:
    long = "word " * 199_988 + "word"
    entry = ask(engine("name: a\nreply: one two three four five six"), long, model=HAIKU, max_tokens=100)

    assert dict(entry.plan.headers)["x-mock-warning"].endswith("and the model's window has room for 4")

"""The scenario library: every file is loaded, walked to its end as a client would, and held against the protocol."""

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from offered import OFFERED

from mock_server.engine.engine import Engine
from mock_server.engine.exchange import Exchange
from mock_server.protocol import sse, tokens
from mock_server.protocol.blocks import Block, RedactedThinking, Text, Thinking, ToolUse, WebSearchToolResult
from mock_server.protocol.errors import MESSAGE, STATUS
from mock_server.protocol.message import fold
from mock_server.scenario.load import files, library, loads
from mock_server.scenario.model import Scenario
from mock_server.scenario.profiles import load_profile

# the others answer only by name; these have tests of their own in test_side_calls.py
FILES = {file.stem: file for file in files([library()]) if file.stem != "side-calls"}
PROFILES = ("octen", "anthropic")

# scenario -> how each of its exchanges ends: a stop reason, or the status of an error
JOURNEYS: Mapping[str, list[str | int]] = {
    "hello": ["end_turn"],
    "echo": ["end_turn"],
    "long-answer": ["end_turn"],
    "thinking": ["end_turn"],
    "tool-use": ["tool_use", "end_turn"],
    "parallel-tools": ["tool_use", "end_turn"],
    "tool-error": ["tool_use", "end_turn"],
    "agent-loop": ["tool_use", "tool_use", "tool_use", "end_turn"],
    "pause-turn": ["pause_turn", "end_turn"],
    "pause-turn-twice": ["pause_turn", "pause_turn", "end_turn"],
    "octen-search": ["end_turn"],
    "web-search": ["end_turn"],
    "refusal": ["refusal"],
    "refusal-mid-stream": ["refusal"],
    "max-tokens": ["max_tokens"],
    "stop-sequence": ["stop_sequence"],
    "context-window": ["model_context_window_exceeded"],
    "structured-output": ["end_turn"],
    "empty-end-turn": ["tool_use", "end_turn"],
    "overloaded-twice": [529, 529, "end_turn"],
    "rate-limited": [429, "end_turn"],
    "slow-first-token": ["end_turn"],
    "advisor": ["end_turn"],
    "advisor-error": ["end_turn"],
    "code-execution-python": ["end_turn"],
    "empty-text": ["end_turn"],
    "mcp-listing": ["end_turn"],
    "refusal-frontier": ["refusal"],
    "refusal-general": ["refusal"],
    "text-editor-error": ["end_turn"],
    "tool-search-error": ["end_turn"],
    "tool-unicode": ["tool_use", "end_turn"],
    "cache-hit": ["tool_use", "end_turn"],
    "citations-document": ["end_turn"],
    "code-execution": ["end_turn"],
    "code-execution-error": ["end_turn"],
    "compaction": ["compaction"],
    "container-upload": ["end_turn"],
    "fallback": ["end_turn"],
    "long-200k": ["max_tokens"],
    "long-tool-json": ["tool_use", "end_turn"],
    "many-blocks": ["end_turn"],
    "markdown": ["end_turn"],
    "mcp": ["end_turn"],
    "mcp-error": ["end_turn"],
    "octen-search-error": ["end_turn"],
    "one-token": ["end_turn"],
    "overloaded-then-tool": [529, "tool_use", "end_turn"],
    "parallel-tools-100": ["tool_use", "end_turn"],
    "prefill": ["end_turn"],
    "rate-limit-recovery": [429, 429, "end_turn"],
    "refusal-bio": ["refusal"],
    "refusal-cyber": ["refusal"],
    "refusal-reasoning": ["refusal"],
    "text-editor": ["end_turn"],
    "thinking-interleaved": ["tool_use", "end_turn"],
    "thinking-redacted": ["end_turn"],
    "thinking-signature-only": ["end_turn"],
    "tool-broken-json": ["tool_use", "end_turn"],
    "tool-invalid-input": ["tool_use", "tool_use", "end_turn"],
    "tool-no-input": ["tool_use", "end_turn"],
    "tool-search": ["tool_use", "end_turn"],
    "unicode": ["end_turn"],
    "web-fetch": ["end_turn"],
    "web-fetch-error": ["end_turn"],
    "web-search-empty": ["end_turn"],
    "web-search-error": ["end_turn"],
    "whitespace": ["end_turn"],
    "timing-bursts": ["end_turn"],
    "timing-bytes": ["tool_use", "end_turn"],
    "timing-long-prompt": ["end_turn"],
    "timing-long-tail": ["end_turn"],
    "timing-pings": ["end_turn"],
    "timing-replay": ["end_turn"],
    "timing-server-tool": ["end_turn"],
    "error-invalid-request": [400],
    "error-authentication": [401],
    "error-billing": [402],
    "error-permission": [403],
    "error-not-found": [404],
    "error-too-large": [413],
    "error-rate-limit": [429, 429, 429],
    "error-api": [500, 500, 500],
    "error-timeout": [504, 504, 504],
    "error-overloaded": [529, 529, 529],
    "fault-disconnect": ["fault", "end_turn"],
    "fault-cut-after-time": ["fault", "fault", "fault"],
    "fault-edit": ["tired"],
    "fault-empty-body": ["fault", "fault", "fault"],
    "fault-empty-response": ["fault", "end_turn"],
    "fault-error-event": [529, "end_turn"],
    "fault-html-200": ["fault", "fault", "fault"],
    "fault-html-error": [502, "end_turn"],
    "fault-malformed-json": ["fault", "fault", "fault"],
    "fault-reset": ["fault", "end_turn"],
    "fault-slow-headers": ["end_turn"],
    "fault-stall": ["fault", "fault", "fault"],
    "fault-tool-json": ["fault", "tool_use", "end_turn"],
    "fault-trickle": ["end_turn"],
    "fault-truncate": ["fault", "fault", "fault"],
    "fault-unknown-event": ["end_turn"],
    "fault-wire": ["end_turn"],
    "gate": ["end_turn"],
    "outage": ["tool_use", "end_turn"],
}
WHOLE = [name for name in FILES if not name.startswith("fault-")]
ANSWERING = [name for name in WHOLE if not name.startswith("error-")]
WITHOUT_CONTENT = ["refusal", "empty-end-turn", "refusal-bio", "refusal-cyber", "refusal-frontier", "refusal-general"]
# one of a kind: what the tests of every stream take for granted is what these are there to break
ODD = [
    *("unicode", "thinking-signature-only", "tool-no-input", "tool-broken-json", "web-search-empty"),
    *("timing-bursts", "timing-bytes", "timing-replay", "outage"),
]
USUAL_BLOCKS = {"text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "web_search_tool_result"}


# -- a client -------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One exchange: the messages that were sent, what came back, and the JSON that it says."""

    messages: list[dict[str, Any]]
    exchange: Exchange
    body: bytes
    reply: dict[str, Any]

    @property
    def outcome(self) -> str | int:
        status = self.exchange.plan.status
        if self.reply.get("type") == "error":
            return STATUS[self.reply["error"]["type"]]
        if status not in (0, 200):
            return status
        return str(self.reply["stop_reason"]) if self.reply else "fault"

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.exchange.plan.headers)

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(sse.parse(self.body))

    @property
    def texts(self) -> list[str]:
        return [block["text"] for block in self.reply["content"] if block["type"] == "text"]


MakeEngine = Callable[..., Engine]
Ask = Callable[..., Exchange]
Walk = Callable[..., list[Step]]


def said(exchange: Exchange) -> dict[str, Any]:
    """The JSON that a reply says, be it a stream or not; nothing where a fault left nothing that says it whole."""
    body = exchange.plan.body()
    if exchange.faults:
        return salvaged(body, exchange.plan.stream)
    return fold(sse.parse(body)) if exchange.plan.stream else json.loads(body)


def salvaged(body: bytes, stream: bool) -> dict[str, Any]:
    """What a careful client makes of a reply that a fault struck: the message, the error in it, or nothing."""
    if not stream:
        try:
            reply: dict[str, Any] = json.loads(body)
        except ValueError:
            return {}
        return reply
    events = list(sse.heard(body))
    types = [event["type"] for event in events]
    if "error" in types:
        return events[types.index("error")]
    is_whole = "message_stop" in types and "(broken)" not in types
    return fold(event for event in events if event["type"] != "ping") if is_whole else {}


class Client:
    """Goes on as an agent on an SDK does: retries twice, answers calls, sends back what was paused."""

    RETRIED = (429, 500, 502, 504, 529, "fault")
    RETRIES = 2
    MOST_STEPS = 12

    def __init__(
        self, ask: Ask, engine: Engine, name: str | None = None, prompt: str = "Go on.", **habits: bool
    ) -> None:
        """`habits`: `stream`; `failing` tools; `joined`: a resumed turn is kept as one message; `counting` retries."""
        self._ask = ask
        self._engine = engine
        self._headers = {} if name is None else {"x-mock-scenario": name}
        self._habits = habits
        named = name or prompt.rpartition("scenario:")[2].partition("]")[0]
        self._offered = {"tools": OFFERED[named]} if named in OFFERED else {}
        self.messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]

    def walk(self) -> list[Step]:
        steps: list[Step] = []
        retries = 0
        while len(steps) < self.MOST_STEPS:
            step = self._step(retries)
            steps.append(step)
            if step.outcome in self.RETRIED and retries < self.RETRIES:
                retries += 1
                continue
            if step.outcome not in ("tool_use", "pause_turn"):
                return steps
            self._say("assistant", step.reply["content"])
            if step.outcome == "tool_use":
                self._say(
                    "user", [self._result(block) for block in step.reply["content"] if block["type"] == "tool_use"]
                )
        raise AssertionError(f"no end after {[step.outcome for step in steps]}")

    def _step(self, retries: int) -> Step:
        stream = self._habits.get("stream", False)
        counted = {"x-stainless-retry-count": str(retries)} if self._habits.get("counting") else {}
        sent = [dict(message) for message in self.messages]
        exchange = self._ask(self._engine, sent, {**self._headers, **counted}, stream=stream, **self._offered)
        return Step(sent, exchange, exchange.plan.body(), said(exchange))

    def _say(self, role: str, content: list[dict[str, Any]]) -> None:
        if self._habits.get("joined") and self.messages[-1]["role"] == role:
            content = self.messages.pop()["content"] + content
        self.messages.append({"role": role, "content": content})

    def _result(self, call: Mapping[str, Any]) -> dict[str, Any]:
        failing = self._habits.get("failing", False)
        return {
            "type": "tool_result",
            "tool_use_id": call["id"],
            "content": "no answer" if failing else "done",
            "is_error": failing,
        }


@cache
def script(name: str) -> Scenario:
    (scenario,) = loads(FILES[name].read_text(), str(FILES[name]))
    return scenario


@pytest.fixture(scope="module")
def walk(engine: MakeEngine, ask: Ask) -> Walk:
    """Walk one scenario, named in the header, to its end; done once for all tests that look at the same walk."""

    @cache
    def walked(name: str, profile: str = "octen", **habits: bool) -> list[Step]:
        return Client(ask, engine([script(name)], profile=profile), name, **habits).walk()

    return walked


@pytest.fixture
def everything(engine: MakeEngine) -> Engine:
    """An engine that serves the whole library and generates what no scenario answers."""
    return engine([script(name) for name in FILES], unmatched="generate")


def is_made_up(name: str) -> bool:
    """Whether a part of the script is made for each request."""
    leaves = [leaf for turn in script(name).turns for leaf in turn.leaves]
    blocks = [block for leaf in leaves for block in leaf.reply or ()]
    made = any(isinstance(block, WebSearchToolResult) and block.is_open for block in blocks)
    return made or any(leaf.is_open or leaf.generate is not None for leaf in leaves)


def usual(names: list[str]) -> list[str]:
    """Those of plain blocks, written whole."""
    return [
        name
        for name in names
        if name not in ODD and not is_made_up(name) and {block.type for block in answers(name)} <= USUAL_BLOCKS
    ]


def answers(name: str) -> Iterator[Block]:
    """Every block that a script plays when no tool fails, in order."""
    for turn in script(name).turns:
        for leaf in turn.leaves:
            if leaf.when is None:
                yield from leaf.reply or ()


# -- the files ------------------------------------------------------------------------------------------------------


def test_the_library_has_these_scenarios_and_no_others() -> None:
    assert sorted(FILES) == sorted(JOURNEYS)


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_a_file_holds_the_one_scenario_it_is_named_after(file: Path) -> None:
    assert [scenario.name for scenario in loads(file.read_text(), str(file))] == [file.stem]


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_a_file_begins_with_what_it_is_for(file: Path) -> None:
    assert re.match(
        r"# yaml-language-server: \$schema=schema.json\n(# \S.*\n){1,3}name: \S+\ndescription: \S.*\ntags: \[",
        file.read_text(),
    )


@pytest.mark.parametrize("name", FILES)
def test_a_scenario_answers_only_requests_that_name_it(name: str) -> None:
    assert script(name).named_only


# -- walks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", FILES)
def test_a_scenario_is_played_to_its_end(name: str, profile: str, stream: bool, walk: Walk) -> None:
    steps = walk(name, profile, stream=stream)

    assert [step.outcome for step in steps] == JOURNEYS[name]
    assert {step.exchange.scenario for step in steps} == {name}
    assert {(step.exchange.turn, step.exchange.attempt) for step in steps} == {
        (turn, attempt)
        for turn, answer in enumerate(script(name).turns, 1)
        for attempt in range(1, len(answer.attempts or [answer]) + 1)
    }


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", WHOLE)
def test_json_and_stream_say_the_same(name: str, profile: str, walk: Walk) -> None:
    as_json, as_stream = walk(name, profile), walk(name, profile, stream=True)

    assert [told(step) for step in as_stream] == [told(step) for step in as_json]
    for plain, streamed in zip(as_json, as_stream, strict=True):
        answered = plain.exchange.plan.status == 200
        assert plain.headers["content-type"] == "application/json"
        assert streamed.headers["content-type"].startswith("text/event-stream" if answered else "application/json")


def told(step: Step) -> dict[str, Any]:
    """The reply without the id of an error, which is drawn from the bytes of the request; `stream` is among them."""
    return {key: value for key, value in step.reply.items() if key != "request_id"}


@pytest.mark.parametrize("name", FILES)
def test_a_name_in_the_prompt_works_like_the_header(name: str, everything: Engine, ask: Ask, walk: Walk) -> None:
    steps = Client(ask, everything, prompt=f"Please play [[scenario:{name}]] now.").walk()

    assert [step.outcome for step in steps] == JOURNEYS[name]
    assert {step.exchange.scenario for step in steps} == {name}
    by_header = walk(name)[-1].reply
    assert steps[-1].reply.get("stop_details") == by_header.get("stop_details")
    assert is_made_up(name) or plain(steps[-1].reply) == plain(by_header)


def plain(reply: Mapping[str, Any]) -> Any:
    """What a reply says, without the ids in it."""
    if not reply or reply["type"] == "error":
        return reply.get("error")
    return [{k: v for k, v in block.items() if k not in ("id", "tool_use_id")} for block in reply["content"]]


@pytest.mark.parametrize("name", FILES)
def test_an_ordinary_prompt_is_not_hijacked(name: str, everything: Engine, ask: Ask) -> None:
    exchange = ask(everything, f"{name}: {script(name).description}")

    assert (exchange.plan.status, exchange.scenario, exchange.note) == (200, None, "generated")


def test_an_ordinary_tool_call_is_not_hijacked(everything: Engine, ask: Ask) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"name": "get_weather", "input_schema": schema}]

    exchange = ask(everything, "What is the weather in Paris?", tools=tools, tool_choice={"type": "any"})

    assert (exchange.scenario, exchange.note) == (None, "generated")
    assert said(exchange)["stop_reason"] == "tool_use"


# Neither a message without content nor one with an empty text can go back; see the next test.
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", sorted({*ANSWERING} - {*WITHOUT_CONTENT, "empty-text"}))
def test_a_follow_up_in_the_same_conversation_begins_the_story_again(
    name: str, profile: str, walk: Walk, engine: MakeEngine, ask: Ask
) -> None:
    again = follow_up(walk(name, profile)[-1])

    offered = {"tools": OFFERED[name]} if name in OFFERED else {}
    exchange = ask(engine([script(name)], profile=profile), again, {"x-mock-scenario": name}, **offered)

    assert (exchange.turn, exchange.attempt) == (1, 1)
    reply = said(exchange)
    assert (exchange.plan.status if reply["type"] == "error" else reply["stop_reason"]) == JOURNEYS[name][0]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", WITHOUT_CONTENT)
def test_a_message_without_content_cannot_be_sent_back(
    name: str, profile: str, walk: Walk, engine: MakeEngine, ask: Ask
) -> None:
    last = walk(name, profile)[-1]
    assert last.reply["content"] == []

    exchange = ask(engine([script(name)], profile=profile), follow_up(last), {"x-mock-scenario": name})

    assert exchange.plan.status == 400
    assert "non-empty content" in exchange.note


def follow_up(last: Step) -> list[dict[str, Any]]:
    """The conversation so far, and another question."""
    return [
        *last.messages,
        {"role": "assistant", "content": last.reply["content"]},
        {"role": "user", "content": "Thank you. And now?"},
    ]


# -- what single scenarios are for ----------------------------------------------------------------------------------


def test_the_long_answer_is_several_hundred_tokens_in_paragraphs_and_blocks(walk: Walk) -> None:
    (step,) = walk("long-answer")

    assert 300 <= step.reply["usage"]["output_tokens"] <= 800
    assert [text.count("\n\n") + 1 for text in step.texts] == [2, 1]


def test_the_thoughts_come_before_the_text(walk: Walk) -> None:
    (step,) = walk("thinking")

    thought, sealed, _ = step.reply["content"]
    assert [block["type"] for block in step.reply["content"]] == ["thinking", "redacted_thinking", "text"]
    assert thought["signature"]
    assert sealed["data"]
    assert 0 < step.reply["usage"]["output_tokens_details"]["thinking_tokens"] < step.reply["usage"]["output_tokens"]


@pytest.mark.parametrize(("changed", "status"), [(False, 200), (True, 400)])
def test_a_thought_goes_back_unchanged_or_not_at_all(
    changed: bool, status: int, walk: Walk, engine: MakeEngine, ask: Ask
) -> None:
    messages = copy.deepcopy(follow_up(walk("thinking")[-1]))
    messages[1]["content"][0]["thinking"] += " Or is it?" * changed

    exchange = ask(engine([script("thinking")]), messages, {"x-mock-scenario": "thinking"})

    assert exchange.plan.status == status


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("tool-use", [["get_weather"], []]),
        ("parallel-tools", [["get_weather", "get_weather", "get_time"], []]),
        ("tool-error", [["get_weather"], []]),
        ("agent-loop", [["get_weather"], ["get_time"], ["get_weather"], []]),
        ("empty-end-turn", [["get_weather"], []]),
    ],
)
def test_the_tool_scenarios_call_these_tools_with_a_city(name: str, calls: list[list[str]], walk: Walk) -> None:
    called = [[block for block in step.reply["content"] if block["type"] == "tool_use"] for step in walk(name)]

    assert [[block["name"] for block in blocks] for blocks in called] == calls
    assert all(block["input"].keys() == {"city"} for blocks in called for block in blocks)
    ids = [block["id"] for blocks in called for block in blocks]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        (False, "It is sunny in Paris, 21 degrees."),
        (True, "I could not reach the weather service, so I do not know whether it is sunny in Paris."),
    ],
)
def test_the_answer_of_tool_error_depends_on_the_result(failing: bool, said: str, walk: Walk) -> None:
    assert walk("tool-error", failing=failing)[-1].texts == [said]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ["pause-turn", "pause-turn-twice"])
def test_a_paused_turn_may_come_back_as_one_message_or_as_several(name: str, profile: str, walk: Walk) -> None:
    several, one = walk(name, profile), walk(name, profile, joined=True)

    pauses = len(several) - 1
    assert len(several[-1].messages) == 1 + pauses
    assert len(one[-1].messages) == 2
    assert [plain(step.reply) for step in one] == [plain(step.reply) for step in several]


@pytest.mark.parametrize("joined", [False, True], ids=["several messages", "one message"])
@pytest.mark.parametrize("name", ["pause-turn", "pause-turn-twice"])
def test_a_paused_call_gets_its_result_when_the_turn_goes_on(name: str, joined: bool, walk: Walk) -> None:
    steps = walk(name, joined=joined)

    for paused, resumed in pairwise(steps):
        call, result = paused.reply["content"][-1], resumed.reply["content"][0]
        assert (call["type"], call["name"]) == ("server_tool_use", "web_search")
        assert (result["type"], result["tool_use_id"]) == ("web_search_tool_result", call["id"])


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ["octen-search", "web-search"])
def test_every_citation_names_a_result_of_the_search(name: str, profile: str, walk: Walk) -> None:
    ((call, result), cited) = searched(walk(name, profile)[0])

    assert call["name"] == name.replace("-", "_")
    assert result["tool_use_id"] == call["id"]
    assert len(cited) == 2
    assert {citation["type"] for citation in cited} == {"web_search_result_location"}
    known = {(found["url"], found["title"]) for found in result["content"]}
    assert {(citation["url"], citation["title"]) for citation in cited} == known
    assert walk(name, profile)[0].reply["usage"]["server_tool_use"]["web_search_requests"] == 1


def test_every_citation_of_octen_search_is_a_span_of_the_highlights(walk: Walk) -> None:
    ((_, result), cited) = searched(walk("octen-search")[0])

    highlights = {found["url"]: found["highlights"] for found in result["content"]}
    assert [citation["cited_text"] in highlights[citation["url"]] for citation in cited] == [True, True]
    assert all("encrypted_content" not in found for found in result["content"])


def searched(step: Step) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The search call with its result, and every citation."""
    content = step.reply["content"]
    search = [block for block in content if block["type"] in ("server_tool_use", "web_search_tool_result")]
    return search, [citation for block in content for citation in block.get("citations") or ()]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_refusal_before_any_output_costs_nothing(profile: str, walk: Walk) -> None:
    (step,) = walk("refusal", profile, stream=True)

    assert step.reply["content"] == []
    assert step.reply["usage"]["output_tokens"] == 0
    details = step.reply["stop_details"]
    assert (details["type"], details["category"]) == ("refusal", "cyber")
    assert details["explanation"]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_refusal_in_the_middle_keeps_the_text_and_the_cost(profile: str, walk: Walk) -> None:
    (step,) = walk("refusal-mid-stream", profile, stream=True)

    assert len(step.texts) == 1
    assert step.reply["usage"]["output_tokens"] > 0
    assert step.reply["stop_details"]["type"] == "refusal"


def test_an_empty_end_of_turn_still_costs_three_tokens(walk: Walk) -> None:
    last = walk("empty-end-turn", stream=True)[-1]

    assert (last.reply["content"], last.reply["usage"]["output_tokens"]) == ([], 3)


def test_the_stop_sequence_is_named_and_not_in_the_text(walk: Walk) -> None:
    (step,) = walk("stop-sequence")

    assert step.reply["stop_sequence"] == "END"
    assert "END" not in "".join(step.texts)


def test_the_structured_output_is_one_block_of_json(walk: Walk) -> None:
    (step,) = walk("structured-output")

    (text,) = step.texts
    assert len(step.reply["content"]) == 1
    assert json.loads(text)["city"] == "Paris"


@pytest.mark.parametrize(
    ("name", "pings", "end"),
    [
        ("timing-pings", [5.3, 10.3, 15.3, 20.3], 20.5),
        ("timing-server-tool", [0.4, 1.6, 2.6], 3.7),
        ("timing-replay", [0.64], 2.838),
    ],
)
def test_the_pings_and_the_end_come_when_they_should(
    name: str, pings: list[float], end: float, engine: MakeEngine, ask: Ask
) -> None:
    exchange = ask(engine([script(name)], time_scale=1.0), headers={"x-mock-scenario": name}, stream=True)

    (part,) = exchange.plan.parts
    times = [at / 1e6 for at, frame in zip(part.at, part.frames, strict=True) if b"event: ping" in frame]
    assert times == pytest.approx(pings, abs=0.15)
    assert part.at[-1] / 1e6 == pytest.approx(end, abs=0.15)


def test_the_long_prompt_takes_its_time(engine: MakeEngine, ask: Ask) -> None:
    served = engine([script("timing-long-prompt")], time_scale=1.0)
    short, long = (
        ask(served, "word " * words, headers={"x-mock-scenario": "timing-long-prompt"}).plan.at
        for words in (10, 10_000)
    )
    assert 2_000_000 < long - short < 3_000_000


@pytest.mark.parametrize(("scale", "microseconds"), [(1.0, 5_000_000), (0.0, 0)])
def test_the_first_token_takes_five_seconds(scale: float, microseconds: int, engine: MakeEngine, ask: Ask) -> None:
    served = engine([script("slow-first-token")], time_scale=scale)

    plan = ask(served, headers={"x-mock-scenario": "slow-first-token"}, stream=True).plan

    (part,) = plan.parts
    assert (plan.at, part.at[0]) == (microseconds, microseconds)


# The comments in max-tokens and stop-sequence say that no script is needed for either.
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("name", ["long-answer", "thinking", "tool-use", "web-search", "stop-sequence"])
def test_max_tokens_of_the_request_cuts_any_reply(name: str, stream: bool, engine: MakeEngine, ask: Ask) -> None:
    exchange = ask(engine([script(name)]), headers={"x-mock-scenario": name}, max_tokens=8, stream=stream)

    reply = said(exchange)
    assert (reply["stop_reason"], reply["stop_sequence"]) == ("max_tokens", None)
    assert reply["usage"]["output_tokens"] == 8


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize(
    ("name", "sequence", "kept"),
    [("hello", " How", ["Hello!"]), ("max-tokens", ". The", ["There are three reasons why the sky is blue"])],
)
def test_stop_sequences_of_the_request_cut_any_reply(
    name: str,
    sequence: str,
    kept: list[str],
    stream: bool,
    engine: MakeEngine,
    ask: Ask,
) -> None:
    exchange = ask(
        engine([script(name)]), headers={"x-mock-scenario": name}, stop_sequences=["absent", sequence], stream=stream
    )

    reply = said(exchange)
    assert [block["text"] for block in reply["content"]] == kept
    assert (reply["stop_reason"], reply["stop_sequence"]) == ("stop_sequence", sequence)


@pytest.mark.parametrize("name", ["overloaded-twice", "rate-limited"])
def test_attempts_are_counted_by_the_client_too(name: str, walk: Walk) -> None:
    by_client, by_server = walk(name, counting=True), walk(name)

    assert [step.outcome for step in by_client] == JOURNEYS[name]
    assert by_client[-1].texts == by_server[-1].texts


@pytest.mark.parametrize("name", ["overloaded-twice", "rate-limited"])
def test_the_story_of_attempts_can_be_told_twice(name: str, engine: MakeEngine, ask: Ask) -> None:
    served = engine([script(name)])

    told_twice = [Client(ask, served, name).walk() for _ in range(2)]

    assert [[step.outcome for step in story] for story in told_twice] == [JOURNEYS[name], JOURNEYS[name]]


# -- errors ---------------------------------------------------------------------------------------------------------

ERRORS = {
    "error-invalid-request": "invalid_request_error",
    "error-authentication": "authentication_error",
    "error-billing": "billing_error",
    "error-permission": "permission_error",
    "error-not-found": "not_found_error",
    "error-too-large": "request_too_large",
    "error-rate-limit": "rate_limit_error",
    "error-api": "api_error",
    "error-timeout": "timeout_error",
    "error-overloaded": "overloaded_error",
    "overloaded-twice": "overloaded_error",
    "rate-limited": "rate_limit_error",
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("name", "type"), ERRORS.items(), ids=ERRORS)
def test_an_error_is_an_envelope_in_the_words_of_the_profile(name: str, type: str, profile: str, walk: Walk) -> None:
    emulated = load_profile(profile)

    for step in walk(name, profile, stream=True):
        if step.outcome == "end_turn":
            continue
        request_id = {"request_id": step.headers["request-id"]} if emulated.request_id_in_body else {}
        message = emulated.error_messages.get(type, MESSAGE[type])
        assert step.reply == {"type": "error", "error": {"type": type, "message": message}, **request_id}


@pytest.mark.parametrize("name", ERRORS)
def test_only_rate_limits_say_when_to_come_back(name: str, walk: Walk) -> None:
    first = walk(name)[0].headers

    assert first.get("retry-after") == ("1" if ERRORS[name] == "rate_limit_error" else None)


# -- the events of every stream -------------------------------------------------------------------------------------

streams = pytest.mark.parametrize("name", ANSWERING)
usual_streams = pytest.mark.parametrize("name", usual(ANSWERING))
profiles = pytest.mark.parametrize("profile", PROFILES)

# block type -> what is empty when it opens, and the deltas that may fill it
FILLED: Mapping[str, tuple[dict[str, Any], set[str]]] = {
    "text": ({"text": ""}, {"text_delta", "citations_delta"}),
    "thinking": ({"thinking": "", "signature": ""}, {"thinking_delta", "signature_delta"}),
    "redacted_thinking": ({}, set()),
    "tool_use": ({"input": {}}, {"input_json_delta"}),
    "server_tool_use": ({"input": {}}, {"input_json_delta"}),
    "web_search_tool_result": ({}, set()),
}
SIGNS = {
    "message_start": "S",
    "content_block_start": "(",
    "content_block_delta": ".",
    "content_block_stop": ")",
    "ping": "p",
    "message_delta": "d",
    "message_stop": "E",
}


class Streamed(NamedTuple):
    """One block as a stream told it."""

    start: dict[str, Any]
    deltas: list[dict[str, Any]]

    def said(self, field: str) -> list[str]:
        return [delta[field] for delta in self.deltas if field in delta]


def answered(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step.exchange.plan.status == 200]


def streamed(steps: list[Step], *types: str) -> list[Streamed]:
    """The blocks of these types (none given: of all) in all streams of a walk."""
    found = []
    for step in answered(steps):
        for event in step.events:
            if event["type"] == "content_block_start":
                found.append(Streamed(event["content_block"], []))
            elif event["type"] == "content_block_delta":
                found[-1].deltas.append(event["delta"])
    return [block for block in found if not types or block.start["type"] in types]


@profiles
@streams
def test_a_frame_names_its_event_and_holds_its_data_in_one_line(name: str, profile: str, walk: Walk) -> None:
    for step in answered(walk(name, profile, stream=True)):
        frames = [frame for part in step.exchange.plan.parts for frame in part.frames]
        found = [re.fullmatch(r"event: (\w+)\ndata: (\{.*\})\n\n", frame.decode()) for frame in frames]
        assert [one and one[1] for one in found] == [event["type"] for event in step.events]


@profiles
@streams
def test_the_events_come_in_order(name: str, profile: str, walk: Walk) -> None:
    """message_start; the blocks one after the other, a ping right after the first opened; message_delta; message_stop."""
    for step in answered(walk(name, profile, stream=True)):
        signs = "".join(SIGNS[event["type"]] for event in step.events)
        expected = r"S\(p\.*\)(\(\.*\))*dE" if step.reply["content"] else "SpdE"
        assert re.fullmatch(expected, signs), signs


@profiles
@streams
def test_the_indexes_are_dense_and_those_of_the_open_block(name: str, profile: str, walk: Walk) -> None:
    for step in answered(walk(name, profile, stream=True)):
        opened = -1
        for event in step.events:
            opened += event["type"] == "content_block_start"
            if "index" in event:
                assert event["index"] == opened
        assert opened + 1 == len(step.reply["content"])


@profiles
@usual_streams
def test_the_message_starts_empty_and_ends_with_its_totals(name: str, profile: str, walk: Walk) -> None:
    for plain_step, step in zip(walk(name, profile), walk(name, profile, stream=True), strict=True):
        if step.exchange.plan.status != 200:
            continue
        start, end = step.events[0]["message"], step.events[-2]
        assert (start["content"], start["stop_reason"], start["stop_sequence"]) == ([], None, None)
        assert (start["type"], start["role"]) == ("message", "assistant")
        assert start["usage"]["output_tokens"] <= 5
        fed_back = any(block["type"].endswith("_tool_result") for block in plain_step.reply["content"])
        assert 0 < start["usage"]["input_tokens"] <= end["usage"]["input_tokens"]
        assert (start["usage"]["input_tokens"] < end["usage"]["input_tokens"]) == fed_back
        assert end["usage"]["output_tokens"] == plain_step.reply["usage"]["output_tokens"]
        assert end["delta"]["stop_reason"] == plain_step.reply["stop_reason"]


@profiles
@usual_streams
def test_a_block_opens_empty_and_is_filled_by_its_own_deltas(name: str, profile: str, walk: Walk) -> None:
    for block in streamed(walk(name, profile, stream=True)):
        empty, deltas = FILLED[block.start["type"]]
        assert block.start.items() >= empty.items()
        assert {delta["type"] for delta in block.deltas} <= deltas


@profiles
@usual_streams
def test_text_comes_token_by_token_and_its_citations_one_by_one(name: str, profile: str, walk: Walk) -> None:
    written = [block for block in answers(name) if isinstance(block, Text)]

    blocks = streamed(walk(name, profile, stream=True), "text")

    assert [block.said("text") for block in blocks] == [tokens.split(block.text) for block in written]
    assert [block.said("citation") for block in blocks] == [list(block.citations or ()) for block in written]
    assert [block.start.get("citations") for block in blocks] == [block.citations and [] for block in written]


@profiles
@usual_streams
def test_tool_json_begins_with_an_empty_delta_and_comes_value_by_value(name: str, profile: str, walk: Walk) -> None:
    written = [(block.name, block.input) for block in answers(name) if isinstance(block, ToolUse)]

    calls = streamed(walk(name, profile, stream=True), "tool_use", "server_tool_use")

    partials = [call.said("partial_json") for call in calls]
    assert [
        (call.start["name"], json.loads("".join(partial))) for call, partial in zip(calls, partials, strict=True)
    ] == (written)
    for (_, input), partial in zip(written, partials, strict=True):
        assert partial[0] == ""
        assert len(partial) == 1 + len(input) + 1  # and the bracket that closes them
        assert all(partial[1:])


@profiles
@usual_streams
def test_a_thought_is_signed_once_at_its_end(name: str, profile: str, walk: Walk) -> None:
    written = [block.thinking for block in answers(name) if isinstance(block, Thinking)]

    thoughts = streamed(walk(name, profile, stream=True), "thinking")

    is_shown = profile == "octen"  # the model leaves thoughts out by itself
    assert ["".join(thought.said("thinking")) for thought in thoughts] == [one if is_shown else "" for one in written]
    for thought in thoughts:
        kinds = [delta["type"] for delta in thought.deltas]
        assert kinds == ["thinking_delta"] * (len(kinds) - 1) + ["signature_delta"]
        assert not is_shown or len(kinds) > 2
        assert thought.deltas[-1]["signature"]


@profiles
def test_a_summary_comes_in_one_delta(profile: str, walk: Walk) -> None:
    (summary,) = streamed(walk("compaction", profile, stream=True))

    (delta,) = summary.deltas
    assert (summary.start["type"], summary.start["content"], delta["type"]) == ("compaction", None, "compaction_delta")
    assert delta["content"] == walk("compaction", profile)[0].reply["content"][0]["content"] != ""


@profiles
@usual_streams
def test_results_and_sealed_thoughts_come_whole(name: str, profile: str, walk: Walk) -> None:
    written = [type(block).type for block in answers(name) if isinstance(block, WebSearchToolResult | RedactedThinking)]

    blocks = streamed(walk(name, profile, stream=True), "web_search_tool_result", "redacted_thinking")

    assert [block.start["type"] for block in blocks] == written
    assert all(block.start.get("content") or block.start.get("data") for block in blocks)
    assert all(block.deltas == [] for block in blocks)

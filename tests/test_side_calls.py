"""The side calls of agent CLIs: answered by scenarios of their own, whatever the request names, and counted as nothing."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

import pytest
from agents import CALLED, CLAUDE_CODE, ORDINARY, OUTPUT, SDK, SIDE_CALLS, Sent, bare, titled, tool, turn, user
from conftest import Ask, MakeEngine

from mock_server import MockServer, ScenarioError
from mock_server.api.session import Verbs
from mock_server.coverage import Coverage
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import files, library, load, loads
from mock_server.server.control.views import summary

FILE = library() / "side-calls.yaml"
CALLS = [
    pytest.param(name, sent, id=f"{name}-{at}") for name, calls in SIDE_CALLS.items() for at, sent in enumerate(calls)
]
LOOP = "x-mock-scenario"


def send(engine: Engine, sent: Sent, headers: Mapping[str, str] | None = None) -> Entry:
    given = {**sent.headers, "x-api-key": "k", **(headers or {})}
    return engine.handle(HttpRequest("POST", "/v1/messages", given, json.dumps(sent.body).encode()))


@pytest.fixture(scope="module", params=["octen", "anthropic"])
def served(engine: MakeEngine, request: pytest.FixtureRequest) -> Engine:
    """The whole library, as the server serves it by itself."""
    return engine(load([library()]), profile=request.param, unmatched="generate")


# -- which requests -----------------------------------------------------------------------------------------------


def test_every_scenario_of_the_file_has_a_call_here() -> None:
    assert [one.name for one in load([FILE])] == list(dict.fromkeys(one.name for one in load([FILE])))
    assert {one.name for one in load([FILE])} == {*SIDE_CALLS}
    assert all(one.is_side_call and one.priority == 1000 for one in load([FILE]))


@pytest.mark.parametrize(("name", "sent"), CALLS)
def test_a_side_call_is_answered_without_a_name(served: Engine, name: str, sent: Sent) -> None:
    entry = send(served, sent)
    assert (entry.status, entry.scenario, entry.side) == (200, name, True), entry.text
    assert entry.reply["content"]


@pytest.mark.parametrize(("name", "sent"), CALLS)
def test_a_side_call_is_answered_before_a_scenario_that_a_header_names(served: Engine, name: str, sent: Sent) -> None:
    assert send(served, sent, {LOOP: "agent-loop"}).scenario == name


@pytest.mark.parametrize("sent", ORDINARY.values(), ids=ORDINARY)
def test_an_ordinary_request_is_no_side_call(served: Engine, sent: Sent) -> None:
    entry = send(served, sent)
    assert (entry.status, entry.scenario, entry.side, entry.note) == (200, None, False, "generated"), entry.text


def test_nobody_is_told_how_far_an_ordinary_request_is_from_a_side_call(engine: MakeEngine) -> None:
    served = engine([*load([FILE]), *loads("name: mine\nwhen: {prompt: weather}\nreply: x")])
    near = served.explain(served.sessions.default, send(served, ORDINARY["a prompt of Claude Code"]).request)
    assert [one.scenario for one in near] == ["mine"]


@pytest.mark.parametrize("sent", ORDINARY.values(), ids=ORDINARY)
def test_an_ordinary_request_gets_the_scenario_that_it_names(served: Engine, sent: Sent) -> None:
    entry = send(served, sent, {LOOP: "echo"})
    assert (entry.scenario, entry.side) == ("echo", False)


# -- what they get ------------------------------------------------------------------------------------------------


def test_a_title_is_json_that_fits_the_format_that_was_asked_for(served: Engine) -> None:
    title = json.loads(send(served, Sent(titled("Fix the parser"))).text)
    assert [*title] == ["title"]
    assert 3 <= len(title["title"].split()) <= 7


def test_a_topic_is_json_also_behind_the_first_character(served: Engine) -> None:
    whole = send(served, SIDE_CALLS["side-topic"][0]).text
    rest = send(served, SIDE_CALLS["side-topic-prefilled"][0]).text
    assert json.loads("{" + rest) == json.loads(whole) == {"isNewTopic": True, "title": "Mock session"}


def test_a_name_has_all_that_the_callers_read(served: Engine) -> None:
    assert {*json.loads(send(served, SIDE_CALLS["side-name"][0]).text)} == {"name", "title", "branch"}


def test_a_probe_gets_one_token(served: Engine) -> None:
    for name in ("side-quota", "side-probe"):
        reply = send(served, SIDE_CALLS[name][0]).reply
        assert (reply["stop_reason"], reply["usage"]["output_tokens"]) == ("max_tokens", 1)


def test_a_summary_has_the_part_that_the_conversation_goes_on_from(served: Engine) -> None:
    assert "<summary>" in send(served, SIDE_CALLS["side-compact"][0]).text


# -- what they leave alone ----------------------------------------------------------------------------------------

WEATHER = """
name: weather
times: 1
when: {header: {user-agent: "claude-cli/*"}}
turns:
  - reply: {type: tool_use, name: Read, input: {}}
  - attempts:
      - error: overloaded_error
      - reply: It is sunny.
"""


def test_a_conversation_goes_on_as_if_they_had_not_come(engine: MakeEngine) -> None:
    both = engine([*load([FILE]), *loads(WEATHER)])
    alone = engine(loads(WEATHER))
    prompt, results = turn("Weather?"), turn("Weather?", *CALLED)

    def played(on: Engine, *asides: Sent) -> list[tuple[Any, ...]]:
        found = []
        for body in (prompt, results, results):
            for one in asides:
                assert send(on, one).side
            entry = send(on, Sent(body))
            found.append((entry.scenario, entry.turn, entry.attempt, entry.status))
        return found

    story = [("weather", 1, 1, 200), ("weather", 2, 1, 529), ("weather", 2, 2, 200)]
    assert played(alone) == story
    assert played(both, *(sent for calls in SIDE_CALLS.values() for sent in calls)) == story


def test_a_script_that_ends_in_a_text_gets_its_structured_output_beside(engine: MakeEngine) -> None:
    served = engine([*load([FILE]), *loads("name: s\nat_end: error\nwhen: {prompt: eggs}\nturns: [reply: Three.]")])
    tools = {"tools": [tool("Read"), tool("StructuredOutput")]}
    first = send(served, Sent(turn("How many eggs?", **tools)))
    told = [{"role": "assistant", "content": first.reply["content"]}, user(OUTPUT)]
    call = send(served, Sent(turn("How many eggs?", *told, **tools)))
    (block,) = call.reply["content"]
    assert (first.scenario, call.scenario, block["name"]) == ("s", "side-output", "StructuredOutput")
    assert [*block["input"]] == ["description"]  # all that the schema asks for
    result = {"type": "tool_result", "tool_use_id": block["id"], "content": "Structured output provided successfully"}
    told += [{"role": "assistant", "content": [block]}, {"role": "user", "content": [result]}]
    last = send(served, Sent(turn("How many eggs?", *told, **tools)))
    assert (last.scenario, last.turn, last.reply["stop_reason"]) == ("side-output", 2, "end_turn")


def test_independent_calls_in_order_are_not_put_out_of_step(engine: MakeEngine, ask: Ask) -> None:
    served = engine([*load([FILE]), *loads("name: s\nanchor: session\nturns: [{reply: a}, {reply: b}]")])
    said = []
    for prompt in ("one", "two"):
        send(served, SIDE_CALLS["side-quota"][0], {LOOP: "s"})
        said.append(ask(served, prompt).text)
    assert said == ["a", "b"]


def test_a_scenario_of_higher_priority_may_take_one_over(engine: MakeEngine) -> None:
    mine = "name: mine\npriority: 1001\nwhen: {prompt: '<session>'}\nreply: 'not JSON'"
    served = engine([*load([FILE]), *loads(mine)])
    assert send(served, SIDE_CALLS["side-title"][0]).scenario == "mine"
    assert send(served, SIDE_CALLS["side-quota"][0]).scenario == "side-quota"


def test_one_that_is_over_leaves_the_call_to_what_it_names(engine: MakeEngine) -> None:
    once = "name: once\ntags: [side]\ntimes: 1\nwhen: {prompt: '<session>'}\nreply: x"
    served = engine(loads(f"{once}\n---\nname: other\nwhen: named\nreply: y"))
    call = SIDE_CALLS["side-title"][0]
    assert [send(served, call, {LOOP: "other"}).scenario for _ in range(2)] == ["once", "other"]


@pytest.mark.parametrize("when", ["", "when: named\n"])
def test_one_that_any_request_could_meet_is_a_mistake(when: str) -> None:
    with pytest.raises(ScenarioError, match="asked before any name, so it needs a when of its own"):
        loads(f"name: x\ntags: [side]\n{when}reply: x")


# -- what is told of them -----------------------------------------------------------------------------------------


def test_the_journal_marks_them(served: Engine) -> None:
    aside, ordinary = send(served, SIDE_CALLS["side-quota"][0]), send(served, Sent(turn("Hi")))
    assert [summary(entry, "s")["side"] for entry in (aside, ordinary)] == [True, False]
    assert "side-quota turn 1 (side call), " in str(aside)
    assert "x-mock-warning" not in dict(aside.plan.headers)  # the one token that it asks for is what it wants
    assert "(side call)" not in str(ordinary)


def post(to: Verbs, sent: Sent) -> int:
    """Send a request over a socket, with the parameter that Claude Code puts behind the path."""
    headers = {**sent.headers, "x-api-key": to.api_key, "content-type": "application/json"}
    request = urllib.request.Request(f"{to.url}/v1/messages?beta=true", json.dumps(sent.body).encode(), headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as reply:
        reply.read()
        return int(reply.status)


def test_assertions_leave_them_out_and_the_journal_has_them(anywhere: Verbs) -> None:
    routes = {route.name: route for route in anywhere.load("side-calls")}
    anywhere.add("It is sunny.", name="weather", when={"prompt": "weather"})
    title = Sent(titled("How is the weather?"))
    for sent in (title, Sent(turn("How is the weather?")), SIDE_CALLS["side-quota"][0]):
        assert post(anywhere, sent) == 200

    anywhere.assert_called(1)
    anywhere.assert_called(1, when={"prompt": "weather"})
    anywhere.assert_called(1, scenario="side-title")
    anywhere.assert_not_called(when={"prompt": "quota"})
    anywhere.assert_sequence("weather")
    anywhere.assert_sequence("side-title", {"prompt": "weather"}, "side-quota")
    anywhere.assert_all_used()
    anywhere.assert_no_unmatched()
    with pytest.raises(AssertionError, match="step 2 was not reached"):
        anywhere.assert_sequence("weather", {"prompt": "quota"})

    assert [entry.side for entry in anywhere.journal] == [True, False, True]
    assert (anywhere.journal.total, anywhere.journal.side) == (3, 2)
    assert (routes["side-title"].call_count, routes["side-warmup"].called) == (1, False)


def test_a_reset_forgets_how_many_came(server: MockServer) -> None:
    server.load("side-calls")
    post(server, SIDE_CALLS["side-quota"][0])
    server.reset()
    assert server.journal.side == 0
    server.assert_not_called()


def test_coverage_does_not_ask_for_them(engine: MakeEngine) -> None:
    served = engine([*load([FILE]), *load([library() / "hello.yaml"])])
    send(served, SIDE_CALLS["side-quota"][0])
    send(served, Sent(bare("x"), SDK), {LOOP: "hello"})
    coverage = Coverage()
    coverage.add(served.served, served.sessions.default.journal)
    assert (coverage.total, coverage.played) == (1, 1)


def test_a_name_of_the_library_stands_for_its_file() -> None:
    assert files(["side-calls"]) == [FILE]
    with pytest.raises(ScenarioError, match="side-call: no such file or folder"):
        files(["side-call"])


def test_a_prompt_may_name_a_scenario_although_a_title_is_asked_for_it(served: Engine) -> None:
    prompt = "[[scenario:hello]] Hi"
    assert [send(served, Sent(body)).scenario for body in (titled(prompt), turn(prompt))] == ["side-title", "hello"]


def test_a_side_call_may_be_named_itself(served: Engine) -> None:
    assert send(served, Sent(bare("x", max_tokens=99), {**SDK, LOOP: "side-recap"})).scenario == "side-recap"
    assert send(served, Sent(turn("Hi"), {**CLAUDE_CODE, LOOP: "side-title"})).side

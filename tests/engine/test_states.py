"""States of a session: which answer hangs on them, what moves them and what does not; and windows of overlays."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from manualclock import ManualClock

from mock_server import cli, faults
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.exchange import in_place
from mock_server.engine.explain import explain
from mock_server.engine.preview import preview
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps, encode
from mock_server.scenario.load import build, library, load, loads
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

MakeEngine = Callable[..., Engine]
Ask = Callable[..., Entry]

SERVICE = """
states: {service: [up, down, recovering]}
---
name: outage
when: {state: {service: down}}
error: overloaded_error
---
name: crash
when: {prompt: crash}
reply: Going down.
then: {state: {service: down}}
---
name: restart
when: {prompt: restart}
priority: 1
reply: Coming up.
then: {state: {service: up}}
---
name: usual
reply: All is well.
"""
FIRST = {"service": "up"}
RETRY = {"x-stainless-retry-count": "1"}


def states(engine: Engine, name: str = "default") -> dict[str, str]:
    session = engine.sessions.named(name)
    return dict(session.states(engine.library(session)))


def moved(entry: Entry) -> list[str]:
    return [str(one) for one in entry.exchange.moved]


# -- what moves -------------------------------------------------------------------------------------------------------


def test_an_answer_moves_a_state_and_others_hang_on_it(engine: MakeEngine, ask: Ask) -> None:
    served = engine(SERVICE)
    assert states(served) == FIRST

    told = [(entry.status, moved(entry)) for entry in (ask(served, said) for said in ("hi", "crash", "hi", "restart"))]

    assert told == [(200, []), (200, ["service: up -> down"]), (529, []), (200, ["service: down -> up"])]
    assert ask(served).text == "All is well."


def test_each_session_has_its_own(engine: MakeEngine, ask: Ask) -> None:
    served = engine(SERVICE)
    ask(served, "crash", {"x-mock-session": "one"})
    assert states(served, "one") == {"service": "down"}
    assert states(served) == FIRST
    assert ask(served, headers={"x-mock-session": "two"}).status == 200


def test_an_error_moves_a_state_too(engine: MakeEngine, ask: Ask) -> None:
    served = engine("name: a\nstates: {turn: [first, second]}\nerror: 529\nthen: {state: {turn: second}}")
    assert ask(served).exchange.moved == (("turn", "first", "second"),)


def test_the_state_that_it_has_already_is_no_move(engine: MakeEngine, ask: Ask) -> None:
    served = engine(SERVICE)
    before = served.sessions.default.moved
    assert ask(served, "restart").exchange.moved == ()
    assert served.sessions.default.moved is before


CHAIN = """
states: {step: [one, two, three]}
---
name: first
when: {state: {step: one}}
reply: One.
then: {state: {step: two}}
---
name: second
when: {state: {step: two}}
reply: Two.
then: {state: {step: three}}
---
name: third
reply: Three.
"""


@pytest.mark.parametrize("headers", [RETRY, {}], ids=["told by its header", "the same bytes"])
def test_a_retry_moves_nothing(headers: dict[str, str], engine: MakeEngine, ask: Ask) -> None:
    served = engine(CHAIN)
    ask(served, "Hello")
    again = ask(served, "Hello", headers)
    assert (again.text, moved(again), states(served)) == ("Two.", [], {"step": "two"})
    assert moved(ask(served, "Another")) == ["step: two -> three"]


def test_the_same_request_moves_again_once_somebody_else_has(engine: MakeEngine, ask: Ask) -> None:
    served = engine(SERVICE)
    told = [moved(ask(served, said)) for said in ("crash", "restart", "restart", "crash")]
    assert told == [["service: up -> down"], ["service: down -> up"], [], ["service: up -> down"]]


def test_a_state_that_was_set_from_outside_is_moved_by_the_same_request(engine: MakeEngine, ask: Ask) -> None:
    served = engine(SERVICE)
    session = served.sessions.default
    ask(served, "crash")
    session.move(served.library(session), {"service": "up"})
    assert moved(ask(served, "crash")) == ["service: up -> down"]


ATTEMPTS = """
name: a
states: {service: [down, recovering, up]}
turns:
  - attempts:
      - {error: 529, then: {state: {service: recovering}}}
      - {error: 529}
      - {reply: Up again., then: {state: {service: up}}}
"""


@pytest.mark.parametrize("counted", [True, False], ids=["by the client", "by the script"])
def test_each_attempt_moves_what_it_says(counted: bool, engine: MakeEngine, ask: Ask) -> None:
    served = engine(ATTEMPTS)
    headers = [{"x-stainless-retry-count": str(at if counted else 0)} for at in range(3)]
    told = [moved(ask(served, "Hello", one)) for one in headers]
    assert told == [["service: down -> recovering"], [], ["service: recovering -> up"]]
    if counted:  # past the last attempt the client tries on, and gets what it got
        served.sessions.default.move(served.library(served.sessions.default), {"service": "down"})
        assert moved(ask(served, "Hello", {"x-stainless-retry-count": "3"})) == []


def test_a_script_of_a_session_moves_once_a_request(engine: MakeEngine, ask: Ask) -> None:
    script = "name: a\nanchor: session\nstates: {at: [none, one, two]}\nturns:\n"
    script += "  - {reply: One., then: {state: {at: one}}}\n  - {reply: Two., then: {state: {at: two}}}\n"
    served = engine(script)
    told = [(entry.text, moved(entry)) for entry in (ask(served, said) for said in ("a", "b", "a"))]
    assert told == [("One.", ["at: none -> one"]), ("Two.", ["at: one -> two"]), ("One.", [])]


def test_a_side_call_moves_nothing(engine: MakeEngine, ask: Ask) -> None:
    side = "name: title\ntags: [side]\nwhen: {prompt: crash}\nreply: A title.\nthen: {state: {service: down}}\n"
    served = engine(f"states: {{service: [up, down]}}\n---\n{side}")
    assert ask(served, "crash").text == "A title."
    assert states(served) == FIRST


def test_count_tokens_moves_nothing(engine: MakeEngine) -> None:
    served = engine(SERVICE)
    body = {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "crash"}]}
    http = HttpRequest("POST", "/v1/messages/count_tokens", {"x-api-key": "k"}, encode(dumps(body)))
    assert served.handle(http).status == 200
    assert states(served) == FIRST


@pytest.mark.parametrize(
    "answer",
    ["expect: {model: other}", "expect: {state: {service: down}}"],
)
def test_what_is_refused_moves_nothing(answer: str, engine: MakeEngine, ask: Ask) -> None:
    script = f"name: a\nstates: {{service: [up, down]}}\nreply: x\nthen: {{state: {{service: down}}}}\n{answer}"
    served = engine(script)
    assert ask(served).status == 400
    assert states(served) == FIRST


def test_a_reply_that_a_fault_breaks_has_moved_it(engine: MakeEngine, ask: Ask) -> None:
    script = "name: a\nstates: {service: [up, down]}\nreply: x\nfault: disconnect\nthen: {state: {service: down}}"
    served = engine(script)
    assert moved(ask(served)) == ["service: up -> down"]


def test_what_a_function_gives_moves_what_it_says(engine: MakeEngine, ask: Ask) -> None:
    def crash(request: Any) -> Any:
        return {"reply": "Down.", "then": {"state": {"service": "down"}}}

    served = engine([build({"name": "a", "states": {"service": ["up", "down"]}, "reply": crash})])
    late = ask(served).exchange.late
    assert late is not None
    assert [str(one) for one in in_place(late).moved] == ["service: up -> down"]


def test_what_a_function_gives_knows_no_other_states(engine: MakeEngine, ask: Ask) -> None:
    def slips(request: Any) -> Any:
        return {"reply": "x", "then": {"state": {"servce": "up"}}}

    late = ask(engine([build({"name": "a", "states": {"service": ["up", "down"]}, "reply": slips})])).exchange.late
    assert late is not None
    with pytest.raises(ScenarioError, match=r"the reply of .*: no state 'servce'; did you mean 'service'"):
        in_place(late)


def test_a_state_that_nobody_declares_is_told_an_author_in_python_in_the_words_of_python() -> None:
    with pytest.raises(ScenarioError, match=r"""no state 'a'; declare it with states={"a": \["up", "down"\]}"""):
        build({"name": "x", "when": {"state": {"a": "b"}}, "reply": "y"})


def test_what_stands_on_a_turn_is_of_all_its_answers(engine: MakeEngine, ask: Ask) -> None:
    script = "name: a\nstates: {at: [a, b, c]}\nturns:\n  - then: {state: {at: b}}\n    cases:\n"
    script += "      - {when: {prompt: one}, reply: x}\n      - {reply: y, then: {state: {at: c}}}\n"
    served = engine(script)
    assert [moved(ask(served, said)) for said in ("one", "two")] == [["at: a -> b"], ["at: b -> c"]]


def test_a_request_of_a_batch_moves_it(engine: MakeEngine) -> None:
    served = engine(SERVICE, batch_seconds=0.0)
    params = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "crash"}]}
    body = {"requests": [{"custom_id": "a", "params": params}]}
    headers = {"x-api-key": "k"}
    made = served.handle(HttpRequest("POST", "/v1/messages/batches", headers, encode(dumps(body))))
    served.handle(HttpRequest("GET", f"/v1/messages/batches/{made.reply['id']}", headers, b""))
    assert states(served) == {"service": "down"}


# -- what tells ------------------------------------------------------------------------------------------------------


TELLS = """
states: {service: [up, down], load: [low, high]}
---
name: crash
when: {prompt: crash}
reply: Going down.
then: {state: {service: down}}
---
name: missing
when: {prompt: missing}
error: {type: not_found_error, message: {template: "{{ state.service }}, so no such order"}}
---
name: tool
when: {prompt: tool}
reply: {type: tool_use, name: note, input: {seen: {template: "{{ state['load'] }}"}}}
---
name: usual
reply: {template: "It is {{ state.service }}{% if state.load == 'high' %}, and busy{% endif %}."}
"""


@pytest.mark.parametrize("seed", [7, None])
def test_a_template_tells_the_states_as_they_are_by_then(seed: int | None, engine: MakeEngine, ask: Ask) -> None:
    served = engine(TELLS, seed=seed)
    assert [ask(served).text for _ in range(3)] == ["It is up."] * 3
    ask(served, "crash")
    assert [ask(served).text, ask(served, "missing").reply["error"]["message"]] == [
        "It is down.",
        "down, so no such order",
    ]
    session = served.sessions.first
    session.move(served.library(session), {"load": "high"})
    assert ask(served, stream=True).text == ask(served).text == "It is down, and busy."
    assert ask(served, "tool").reply["content"][0]["input"] == {"seen": "high"}
    assert ask(served, headers={"x-mock-session": "another"}).text == "It is up."


def test_a_state_that_a_template_misspells_is_a_mistake_at_load() -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(TELLS.replace("state.service", "state.servcie").replace("state['load']", "state['laod']"), "a.yaml")
    assert [str(one) for one in caught.value.problems] == [
        "a.yaml:11:52: no state 'servcie'; did you mean 'service'? Expected one of service, load",
        "a.yaml:15:62: no state 'laod'; did you mean 'load'? Expected one of service, load",
        "a.yaml:18:19: no state 'servcie'; did you mean 'service'? Expected one of service, load",
    ]


def test_a_template_that_is_added_tells_what_others_declare(engine: MakeEngine, ask: Ask) -> None:
    served = engine(TELLS)
    session = served.sessions.first
    known = served.library(session).states
    added = build({"name": "added", "reply": {"template": "{{ state.load }}"}}, "test", known)
    assert added.states.keys() == added.data.plain()["states"].keys() == {"load"}
    served.add(session, added)
    assert ask(served).text == "low"


# -- a session and its scenarios --------------------------------------------------------------------------------------


def test_a_reset_puts_the_first_ones_back(engine: MakeEngine, ask: Ask) -> None:
    served = engine(SERVICE)
    ask(served, "crash")
    served.reset(served.sessions.default)
    assert states(served) == FIRST


def test_a_value_that_scenarios_no_longer_know_is_the_first_one(engine: MakeEngine, ask: Ask) -> None:
    served = engine(SERVICE)
    ask(served, "crash")
    served.load(loads("name: a\nstates: {service: [fine, broken]}\nreply: x"))
    assert states(served) == {"service": "fine"}


def test_a_state_that_is_declared_otherwise_cannot_be_added(engine: MakeEngine) -> None:
    served = engine(SERVICE)
    other = build({"name": "mine", "states": {"service": ["up", "off"]}, "reply": "x"}, "test.py:3")
    with pytest.raises(
        ScenarioError, match=r"test.py:3: state 'service' is \{values: \[up, off\], initial: up\} here; "
    ):
        served.add(served.sessions.default, other)


def test_a_miss_by_a_state_is_explained(engine: MakeEngine, ask: Ask) -> None:
    served = engine("name: a\nstates: {service: [up, down]}\nwhen: {state: {service: down}}\nreply: x")
    assert ask(served).note.endswith("a: state: wanted service down, got service up")
    body = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
    http = HttpRequest("POST", "/v1/messages", {"x-api-key": "k"}, encode(dumps(body)))
    session = served.sessions.default
    assert "state: wanted service down, got service up" in str(explain(served, session, http))
    session.move(served.library(session), {"service": "down"})
    assert explain(served, session, http).conditions == ("state: service down",)


def test_files_meet_by_the_name_of_a_state(tmp_path: Any) -> None:
    (tmp_path / "a.yaml").write_text("states: {service: [up, down]}\n---\nname: a\nreply: x")
    (tmp_path / "b.yaml").write_text("states: {service: {values: [up, down]}}\n---\nname: b\nreply: x")
    assert len(load([tmp_path])) == 2
    (tmp_path / "b.yaml").write_text("name: b\nreply: x\nstates: {service: [down, up]}")
    with pytest.raises(ScenarioError, match=r"b.yaml:1: state 'service' is .* here; .* in .*a.yaml:3"):
        load([tmp_path])


# -- windows ----------------------------------------------------------------------------------------------------------

OUTAGE = "name: outage\nbetween: [10s, 25s]\nfault: {type: error}\n"
HELLO = "name: hello\nreply: Hello.\n"


@pytest.fixture
def timed() -> Engine:
    made = Engine(Settings(time_scale=0.0, seed=7), load_profile("octen"), ManualClock())
    made.load(loads(HELLO))
    return made


def statuses(engine: Engine, ask: Ask, *steps: float, headers: dict[str, str] | None = None) -> list[int]:
    """The status of a reply after each of these steps of the session's time."""
    told = []
    for step in steps:
        engine.sessions.named((headers or {}).get("x-mock-session", "default")).clock.advance(step)
        told.append(ask(engine, headers=headers).status)
    return told


def test_an_overlay_of_a_file_strikes_in_its_window_of_the_session(timed: Engine, ask: Ask) -> None:
    timed.load(loads(f"{HELLO}---\n{OUTAGE}"))
    assert statuses(timed, ask, 0, 9.999, 0.001, 14.999, 0.001, 1000) == [200, 200, 529, 529, 200, 200]


@pytest.mark.parametrize(
    "lay", [lambda one, *laid: one.add_overlays(*laid), lambda one, *laid: one.add(one.sessions.default, *laid)]
)
def test_a_window_begins_when_the_overlay_is_laid(lay: Callable[..., None], timed: Engine, ask: Ask) -> None:
    timed.sessions.default.clock.advance(500)
    lay(timed, *loads(OUTAGE))
    assert statuses(timed, ask, 0, 10, 15) == [200, 529, 200]
    lay(timed, *loads(OUTAGE))  # the same anew
    assert statuses(timed, ask, 0, 10, 15) == [200, 529, 200]


def test_a_session_that_begins_later_has_the_window_from_then_on(timed: Engine, ask: Ask) -> None:
    timed.add_overlays(*loads(OUTAGE))
    timed.clock.advance(100)  # type: ignore[attr-defined]
    assert statuses(timed, ask, 0, 10, 15, headers={"x-mock-session": "later"}) == [200, 529, 200]
    assert statuses(timed, ask, 0) == [200]


def test_the_windows_of_sessions_go_by_their_own_clocks(timed: Engine, ask: Ask) -> None:
    one, other = {"x-mock-session": "one"}, {"x-mock-session": "other"}
    assert statuses(timed, ask, 0, headers=one) + statuses(timed, ask, 0, headers=other) == [200, 200]
    timed.add_overlays(*loads(OUTAGE))
    assert statuses(timed, ask, 10, headers=one) == [529]
    assert statuses(timed, ask, 0, headers=other) == [200]
    timed.sessions.named("other").clock.freeze()
    timed.clock.advance(12)  # type: ignore[attr-defined]
    assert statuses(timed, ask, 0, headers=other) == [200]


def test_a_reset_begins_the_windows_of_files_anew(timed: Engine, ask: Ask) -> None:
    timed.load(loads(f"{HELLO}---\n{OUTAGE}"))
    assert statuses(timed, ask, 30) == [200]
    timed.reset(timed.sessions.default)
    assert statuses(timed, ask, 0, 10) == [200, 529]


def test_a_window_of_one_pace(timed: Engine, ask: Ask) -> None:
    timed.override(timed.sessions.default, time_scale=1.0)
    timed.add_overlays(*loads("name: slow\nbetween: [1s, 2s]\ntiming: {first: 3s}\n"))
    assert ask(timed).plan.due[0] < 1_000_000
    timed.sessions.default.clock.advance(1)
    assert ask(timed).plan.due[0] == 3_000_000


# -- the outage of the library ----------------------------------------------------------------------------------------


def test_the_outage_of_the_library_ends_with_a_tool_call_or_by_hand(engine: MakeEngine, ask: Ask) -> None:
    served = engine(load([library() / "outage.yaml"]))
    named, session = {"x-mock-scenario": "outage"}, served.sessions.default
    first = ask(
        served, "How many rows?", named, tools=[{"name": "restart_database", "input_schema": {"type": "object"}}]
    )
    assert first.reply["stop_reason"] == "tool_use"
    assert ask(served, "And me?", named).status == 529
    call = first.reply["content"][1]
    talk = [
        {"role": "user", "content": "How many rows?"},
        {"role": "assistant", "content": first.reply["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "done"}]},
    ]
    assert moved(ask(served, talk, named)) == ["database: starting -> up"]
    assert ask(served, "And me?", named).text == "The database is up, and all 42 rows are there."

    session.move(served.library(session), {"database": "starting"})
    assert ask(served, "And me?", named).status == 529
    session.move(served.library(session), {"database": "up"})
    assert ask(served, "And me?", named).status == 200


# -- previews ---------------------------------------------------------------------------------------------------------


def test_a_preview_finds_the_states_that_it_is_about(engine: MakeEngine) -> None:
    served = engine()
    script = "name: a\nstates: {service: [up, down, slow]}\nwhen: {state: {service: [slow, down]}}\nreply: Slow.\n"
    (one,) = preview(served, served.in_force, *loads(script + "then: {state: {service: up}}"))
    assert (one.scenario, one.reply["content"][0]["text"]) == ("a", "Slow.")


def test_a_preview_of_another_endpoint_asks_there(engine: MakeEngine) -> None:
    served = engine()
    script = (
        "name: a\nwhen: {endpoint: count_tokens, prompt: hello}\nattempts: [{error: 500}, {error: 529, fault: reset}]"
    )
    told = [(one.asked, one.plan.status, one.faults) for one in preview(served, served.in_force, *loads(script))]
    asked = "POST /v1/messages/count_tokens"
    assert told == [(asked, 500, ()), (asked, 529, ("reset",))]


def test_every_fault_at_every_event_goes_with_states() -> None:
    made = list(faults("outage", ["reset"]))
    assert {one.turn for one in made} == {1}
    assert made[0].scenario.states["database"].values == ("down", "starting", "up")


def test_check_notes_what_a_profile_does_not_serve(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.yaml").write_text("extends: octen\nname: small\nendpoints: {count_tokens: false}")
    script = tmp_path / "a.yaml"
    script.write_text("name: a\nwhen: {endpoint: [models, count_tokens]}\nerror: 500")
    assert cli.main(["check", "--profile", str(tmp_path / "small.yaml"), str(script)]) == 0
    said = capsys.readouterr().err
    assert f"{script}:2:8: note: profile small has no count_tokens: no request that comes there reaches 'a'" in said
    assert cli.main(["check", str(script)]) == 0
    assert capsys.readouterr().out == "1 scenario, no mistakes\n"


def test_explain_takes_the_states_that_a_request_finds(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    script, asked = tmp_path / "a.yaml", tmp_path / "request.json"
    script.write_text("name: a\nstates: {service: [up, down]}\nwhen: {state: {service: down}}\nreply: x")
    asked.write_text('{"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}')
    assert cli.main(["explain", str(asked), str(script)]) == 1
    assert "state: wanted service down, got service up" in capsys.readouterr().out
    assert cli.main(["explain", "--state", "service:down", str(asked), str(script)]) == 0
    assert cli.main(["explain", "--state", "service:dwn", str(asked), str(script)]) == 2
    assert "no state service:dwn; there are service: up, down" in capsys.readouterr().err


def test_the_journal_is_not_asked_about_states(engine: MakeEngine, ask: Ask) -> None:
    served = engine(SERVICE)
    ask(served, "crash")
    with pytest.raises(
        ScenarioError, match="'state' is asked when a request comes; an entry of the journal has what was"
    ):
        served.sessions.default.journal.find({"state": {"service": "up"}})


def test_what_is_loaded_again_as_it_was_goes_on_in_its_window(timed: Engine, ask: Ask) -> None:
    scenarios = loads(f"{HELLO}---\n{OUTAGE}")
    timed.load(scenarios)
    assert statuses(timed, ask, 20) == [529]
    timed.load(scenarios)
    assert statuses(timed, ask, 0, 5) == [529, 200]
    timed.load(loads(f"{HELLO}---\n{OUTAGE}"))  # read anew: it begins anew
    assert statuses(timed, ask, 0, 10) == [200, 529]


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ("\n  state: {}", "5:3: expected a mapping such as {service: up}"),
        ("{state: {}}", "4:8: expected a mapping such as {service: up}"),
        ("\n  state: {service: [up, down]}", "5:11: expected one value of state 'service'"),
        ("{state: {service: [up, down]}}", "4:16: expected one value of state 'service'"),
    ],
)
def test_a_move_that_is_none_is_told_where_it_stands(then: str, told: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(told)):
        loads(f"name: a\nstates: {{service: [up, down]}}\nreply: Hi\nthen: {then}")


def test_every_state_and_value_that_nothing_declares_is_told() -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(
            "name: a\nstates: {service: [up, down]}\nwhen: {state: {servce: up}}\nreply: Hi\nthen: {state: {service: dwn}}"
        )
    assert [str(one).partition(";")[0] for one in caught.value.problems] == [
        "<text>:3:16: no state 'servce'",
        "<text>:5:25: state 'service' is never 'dwn'",
    ]

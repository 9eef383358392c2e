"""Overlays: which requests they strike, how often, in which order; and what is told of faults that cannot apply."""

import json
import logging
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol.sse import heard
from mock_server.scenario.load import load_overlays, loads
from mock_server.scenario.node import ScenarioError

MakeEngine = Callable[..., Engine]
Ask = Callable[..., Entry]

HELLO = "name: hello\nreply: One two three four five.\n"
FLAKY = "name: flaky\nchance: 20%\nfault: {type: error, error: overloaded_error}\n"


def outcome(entry: Entry) -> Any:
    """The status of an error, or the text that is there."""
    plan = entry.exchange.plan
    return plan.status if plan.status != 200 else entry.exchange.faults


# -- chance ------------------------------------------------------------------------------------------------------------


def test_the_chance_is_what_is_written(engine: MakeEngine, ask: Ask) -> None:
    served = engine(f"{HELLO}---\n{FLAKY}")

    counted = Counter(outcome(ask(served, f"Question {number}")) for number in range(2000))

    assert counted.keys() == {(), 529}
    assert 340 <= counted[529] <= 460  # 400, give or take three and a half standard deviations


def test_who_is_struck_does_not_hang_on_who_came_first(engine: MakeEngine, ask: Ask) -> None:
    prompts = [f"Question {number}" for number in range(200)]
    shuffled = random.Random(1).sample(prompts, len(prompts))

    told = [
        {prompt: outcome(ask(served, prompt)) for prompt in order}
        for order in (prompts, shuffled)
        for served in [engine(f"{HELLO}---\n{FLAKY}")]
    ]

    assert told[0] == told[1]


def test_the_same_request_draws_anew_each_time(engine: MakeEngine, ask: Ask) -> None:
    stories = []
    for _ in range(2):
        served = engine(f"{HELLO}---\n{FLAKY.replace('20%', '50%')}")
        stories.append([outcome(ask(served, "Hello")) for _ in range(40)])

    assert stories[0] == stories[1]
    assert set(stories[0]) == {(), 529}


def test_another_key_draws_its_own(engine: MakeEngine, ask: Ask) -> None:
    served = engine(f"{HELLO}---\n{FLAKY.replace('20%', '50%')}")

    stories = [
        [outcome(ask(served, f"Question {number}", {"x-api-key": key})) for number in range(40)] for key in ("a", "b")
    ]

    assert stories[0] != stories[1]


def test_another_seed_draws_another_story(engine: MakeEngine, ask: Ask) -> None:
    stories = []
    for seed in (1, 2):
        served = engine(f"{HELLO}---\n{FLAKY.replace('20%', '50%')}", seed=seed)
        stories.append([outcome(ask(served, f"Question {number}")) for number in range(40)])

    assert stories[0] != stories[1]


def test_two_overlays_draw_apart(engine: MakeEngine, ask: Ask) -> None:
    one = "name: one\nchance: 50%\nfault: {type: stall, after: 1, for: 1s}\n"
    other = "name: other\nchance: 50%\nfault: {type: unknown_event, after: 1}\n"
    served = engine(f"{HELLO}---\n{one}---\n{other}")

    counted = Counter(outcome(ask(served, f"Question {number}", stream=True)) for number in range(200))

    assert len(counted) == 4  # neither, one, other, both
    assert min(counted.values()) > 25


@pytest.mark.parametrize(("chance", "struck"), [("0%", 0), ("100%", 50)])
def test_never_and_always(chance: str, struck: int, engine: MakeEngine, ask: Ask) -> None:
    served = engine(f"{HELLO}---\n{FLAKY.replace('20%', chance)}")

    assert [outcome(ask(served, f"Question {number}")) for number in range(50)].count(529) == struck


# -- which requests ----------------------------------------------------------------------------------------------------


def test_an_overlay_strikes_whatever_scenario_answers(engine: MakeEngine, ask: Ask) -> None:
    served = engine(f"{HELLO}---\nname: other\nwhen: {{prompt: other}}\nreply: Two.\n---\nname: all\nfault: disconnect")

    for prompt in ("Hello", "The other one"):
        assert outcome(ask(served, prompt)) == ("disconnect",)


def test_when_picks_the_requests(engine: MakeEngine, ask: Ask) -> None:
    served = engine(f"{HELLO}---\nname: some\nwhen: {{stream: true, header: {{x-team: search}}}}\nfault: reset")

    assert outcome(ask(served, stream=True)) == ()
    assert outcome(ask(served, headers={"x-team": "search"})) == ()
    assert outcome(ask(served, headers={"x-team": "search"}, stream=True)) == ("reset",)


def test_an_overlay_strikes_errors_and_made_up_replies_too(engine: MakeEngine, ask: Ask) -> None:
    broken = engine("name: a\nerror: 529\n---\nname: all\nfault: empty_response")
    made_up = engine("name: all\nfault: empty_response", unmatched="generate")

    for served in (broken, made_up):
        assert ask(served).exchange.faults == ("empty_response",)


def test_what_was_refused_was_never_struck(engine: MakeEngine, ask: Ask) -> None:
    entry = ask(engine(f"{HELLO}---\nname: all\nfault: empty_response"), max_tokens=0.5)

    assert entry.exchange.plan.status == 400
    assert entry.exchange.faults == ()


def test_an_overlay_may_lay_only_a_pace(engine: MakeEngine, ask: Ask) -> None:
    served = engine(f"{HELLO}---\nname: slow\ntiming: {{first: 2s, gap: 1s}}", time_scale=1.0)

    assert ask(served, stream=True).exchange.plan.due[0] == 2_000_000


# -- where they come from, and their order -------------------------------------------------------------------------------


def test_the_scenario_comes_first_then_overlays_in_their_order_then_the_header(engine: MakeEngine, ask: Ask) -> None:
    served = engine(
        f"{HELLO}fault: {{type: garbage, after: 1}}\n"
        "---\nname: low\npriority: 1\nfault: {type: stall, after: 1, for: 1s}\n"
        "---\nname: high\npriority: 2\nfault: {type: unknown_event, after: 1}\n"
    )
    served.add_overlays(*loads("name: server\nfault: extra_fields"))
    served.add(served.sessions.default, *loads("name: session\nfault: {type: no_usage}"))

    entry = ask(served, headers={"x-mock-fault": "disconnect;after=4"}, stream=True)

    kinds = [fault.split()[0] for fault in entry.exchange.faults]
    assert kinds == ["garbage", "unknown_event", "stall", "no_usage", "extra_fields", "disconnect"]


def test_an_overlay_of_a_session_is_its_own(engine: MakeEngine, ask: Ask) -> None:
    served = engine(HELLO)
    served.sessions.claim("key-of-mine", "mine")
    served.add(served.sessions.named("mine"), *loads("name: mine\nfault: reset"))

    assert outcome(ask(served, headers={"x-api-key": "key-of-mine"})) == ("reset",)
    assert outcome(ask(served, headers={"x-api-key": "another"})) == ()


def test_an_overlay_of_the_server_is_every_session_s(engine: MakeEngine, ask: Ask) -> None:
    served = engine(HELLO)
    served.sessions.claim("key-of-mine", "mine")
    served.add_overlays(*loads("name: all\nfault: reset"))

    for key in ("key-of-mine", "another"):
        assert outcome(ask(served, headers={"x-api-key": key})) == ("reset",)
    assert served.remove_overlay("all")
    assert not served.remove_overlay("all")
    assert outcome(ask(served)) == ()


def test_laying_one_of_the_same_name_replaces_it(engine: MakeEngine, ask: Ask) -> None:
    served = engine(HELLO)
    served.add_overlays(*loads("name: all\nfault: reset"))
    served.add_overlays(*loads("name: all\nfault: disconnect"))

    assert outcome(ask(served)) == ("disconnect",)


def test_an_overlay_is_switched_off_everywhere_or_for_one_session(engine: MakeEngine, ask: Ask) -> None:
    served = engine(f"{HELLO}---\nname: all\nfault: reset")
    served.sessions.claim("key-of-mine", "mine")
    mine, other = {"x-api-key": "key-of-mine"}, {"x-api-key": "another"}

    served.sessions.named("mine").switch("all", on=False)
    assert (outcome(ask(served, headers=mine)), outcome(ask(served, headers=other))) == ((), ("reset",))
    served.sessions.named("mine").switch("all", on=True)
    served.switch("all", on=False)
    assert (outcome(ask(served, headers=mine)), outcome(ask(served, headers=other))) == ((), ())
    served.switch("all", on=True)
    assert outcome(ask(served, headers=mine)) == ("reset",)


def test_a_file_of_chaos_holds_overlays_only(tmp_path: Path) -> None:
    (tmp_path / "chaos.yaml").write_text(f"{FLAKY}---\n{HELLO}")

    with pytest.raises(ScenarioError) as caught:
        load_overlays([tmp_path / "chaos.yaml"])

    assert "'hello' answers requests; chaos is made of overlays: fault, gate or timing" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\nchance: 20%", "1:1: a scenario needs turns, or a reply or error of its own"),
        ("name: a\nfault: reset\nwhen: named", "3:1: an overlay cannot be named"),
        ("name: a\nfault: reset\ntimes: 2", "3:1: 'times' belongs to a scenario with turns; this one is an overlay"),
        ("name: a\nfault: reset\nat_end: loop", "3:1: 'at_end' belongs to a scenario with turns"),
        ("name: a\nfault: reset\nchance: 0.2", "3:9: expected a share from 0% to 100% such as 20%, got 0.2"),
    ],
)  # fmt: skip
def test_an_overlay_with_mistakes(text: str, expected: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(text, "chaos.yaml")
    assert expected in str(caught.value)


# -- the header of one request ---------------------------------------------------------------------------------------------


def test_the_header_breaks_one_request(engine: MakeEngine, ask: Ask) -> None:
    served = engine(HELLO)

    assert outcome(ask(served, headers={"x-mock-fault": "disconnect;after=2"})) == ("disconnect after 2 deltas",)
    assert outcome(ask(served)) == ()


def test_a_mistake_in_the_header_is_a_400_that_says_what_is_expected(engine: MakeEngine, ask: Ask) -> None:
    entry = ask(engine(HELLO), headers={"x-mock-fault": "disconect;after=2"})

    assert entry.exchange.plan.status == 400
    assert b"did you mean 'disconnect'?" in entry.exchange.plan.body()
    assert dict(entry.exchange.plan.headers)["x-should-retry"] == "false"


# -- bounds ------------------------------------------------------------------------------------------------------------------

WORDS = f"name: words\nreply: {'word ' * 3000}\n"


def struck(entry: Entry) -> tuple[int, str]:
    """How many faults a reply has suffered, and why the first that could not be applied was not."""
    warnings = entry.exchange.warnings
    return len(entry.exchange.faults), warnings[0] if warnings else ""


def test_a_request_may_ask_for_a_hundred_faults(engine: MakeEngine, ask: Ask) -> None:
    asked = [ask(engine(HELLO), headers={"x-mock-fault": ", ".join(["extra_fields"] * count)}) for count in (100, 101)]

    assert struck(asked[0]) == (100, "")
    assert asked[1].exchange.plan.status == 400
    assert b"x-mock-fault: a list of 101; 100 at most for one reply" in asked[1].exchange.plan.body()


def test_faults_go_through_so_much_of_a_reply_and_no_more(engine: MakeEngine, ask: Ask) -> None:
    entry = ask(engine(HELLO), stream=True, headers={"x-mock-fault": ", ".join(["garbage;bytes=1000000"] * 99)})

    assert struck(entry) == (
        4,
        "fault not applied: garbage: the faults of this reply go through more than 20,000 frames",
    )
    assert len(entry.exchange.plan.body()) < 5_000_000


def test_many_faults_of_a_long_reply_are_applied_beside_everything_else(engine: MakeEngine, ask: Ask) -> None:
    served = engine(WORDS)

    one, many = (
        ask(served, stream=True, max_tokens=9_000, headers={"x-mock-fault": text})
        for text in ("duplicate_event", ", ".join(["duplicate_event"] * 20))
    )

    assert struck(one) == (1, "")
    assert struck(many) == (20, "")
    said = [sum(1 for _ in heard(entry.exchange.plan.body())) for entry in (one, many)]
    assert said[1] == said[0] + 19


@pytest.mark.parametrize("ping", ["ping", "keepalive"])
@pytest.mark.parametrize("fault", ["stall", "stall;for=3600s", "gate;name=g"])
def test_a_silence_is_no_flood(fault: str, ping: str, engine: MakeEngine, ask: Ask) -> None:
    entry = ask(engine(HELLO), stream=True, headers={"x-mock-fault": f"{fault};{ping}=1us"})

    assert entry.exchange.plan.status == 400
    assert b"comes after 1ms of silence at the earliest" in entry.exchange.plan.body()


EDITS = {
    "a path of many steps": ("edit;event=message_start;set.message" + ".a" * 100 + "=1", 400, "is no path"),
    "an index of many digits": (f"edit;event=message_start;set.message.content[{'9' * 5000}]=1", 400, "is no path"),
    "a step of many digits": (
        f"edit;event=message_start;set.message.content.{'9' * 5000}=1",
        200,
        "message_start has no '999",
    ),
    "a list that grows with each path": (
        json.dumps(
            {
                "type": "edit",
                "event": "message_start",
                "set": {"z": [0] * 100, **{"z" + "[*]" * times: [0] * 100 for times in range(1, 9)}},
            }
        ),
        200,
        "set z[*][*]: its value in 10,000 places is more than 2,000,000 characters",
    ),
    "a text in every event": (
        f"edit;event=content_block_delta;nth=all;set.delta.text={'x' * 60_000}",
        200,
        "its 3,000 events are more than 16,777,216 bytes",
    ),
}


@pytest.mark.parametrize("attack", EDITS)
def test_an_edit_does_not_grow_beyond_all_measure(attack: str, engine: MakeEngine, ask: Ask) -> None:
    header, status, told = EDITS[attack]

    entry = ask(engine(WORDS), stream=True, max_tokens=9_000, headers={"x-mock-fault": header})

    assert entry.exchange.plan.status == status
    said = "".join(entry.exchange.warnings) if status == 200 else entry.exchange.plan.body().decode()
    assert told in said
    assert len(entry.exchange.plan.body()) < 2_000_000


# -- what cannot apply -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "asked", "reason"),
    [
        ("missing_event", {}, "missing_event: a JSON reply has no events"),
        ("disconnect;after=50", {"stream": True}, "disconnect after 50 deltas: the reply has 6 deltas"),
        ("disconnect;after=5", {"stream": True, "max_tokens": 2}, "disconnect after 5 deltas: the reply has 1 delta"),
        ("stall;for=1s;ping=1ms", {}, "stall: a JSON reply has no pings"),
    ],
)
def test_what_cannot_apply_is_told_in_the_header_the_log_and_the_journal(
    header: str, asked: dict[str, Any], reason: str, engine: MakeEngine, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="mock_server"):
        entry = ask(engine(HELLO), headers={"x-mock-fault": header}, **asked)

    assert entry.exchange.faults == ()
    assert entry.exchange.warnings[-1] == f"fault not applied: {reason}"
    told = [value for name, value in entry.exchange.plan.headers if name == "x-mock-warning"]
    assert told == ["; ".join(entry.exchange.warnings)]
    cut = ["the reply was cut short: it takes 8 tokens, and max_tokens is 2"] if "max_tokens" in asked else []
    assert entry.exchange.note == "; ".join([*cut, f"fault not applied: {reason}"])
    assert caplog.messages == [f"a fault could not be applied: {reason}"]


def test_a_request_that_was_refused_says_that_its_fault_did_not_come(engine: MakeEngine, ask: Ask) -> None:
    entry = ask(engine(HELLO), headers={"x-mock-fault": "disconnect"}, max_tokens=-1)

    assert entry.exchange.plan.status == 400
    assert dict(entry.exchange.plan.headers)["x-mock-warning"] == "fault not applied: the request was refused"


def test_a_fault_of_the_script_that_max_tokens_leaves_no_place_is_told(engine: MakeEngine, ask: Ask) -> None:
    served = engine(f"{HELLO}fault: {{type: disconnect, after: 5}}")

    assert outcome(ask(served, stream=True)) == ("disconnect after 5 deltas",)
    cut = ask(served, stream=True, max_tokens=2)
    assert cut.exchange.faults == ()
    assert "after 5 deltas: the reply has 1 delta" in cut.exchange.note


@pytest.mark.parametrize("stream", [True, False])
def test_a_reply_that_a_fault_replaced_has_no_places_of_the_message(stream: bool, engine: MakeEngine, ask: Ask) -> None:
    served = engine(HELLO)
    entry = ask(served, headers={"x-mock-fault": "error, disconnect;after=1, truncate"}, stream=stream)
    assert (entry.status, entry.faults) == (529, ("error overloaded_error", "truncate"))
    assert entry.warnings == ("fault not applied: disconnect after 1 delta: a reply that is no message has no events",)

"""The fault matrix: what is in it, and that it says what it does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Ask, MakeEngine

from mock_server import ScenarioError, faults
from mock_server.cli import main
from mock_server.scenario.faults import FAULTS
from mock_server.scenario.faults.place import name_of
from mock_server.scenario.load import loads

TWO_TURNS = """
name: two
when: {prompt: go}
turns:
  - reply: [{type: tool_use, name: look, input: {}}]
  - cases:
      - when: {tool_result: {of: look, is_error: true}}
        reply: It failed.
      - reply: It worked.
"""


# what cannot do without keys, and gates
NEEDY = ("gate", "trickle", "slow_headers", "stall", "edit", "insert")


def written(text: str, tmp_path: Path) -> Path:
    file = tmp_path / "two.yaml"
    file.write_text(text)
    return file


def test_there_is_one_variant_for_every_fault_at_every_event_of_every_turn(tmp_path: Path) -> None:
    variants = list(faults(written(TWO_TURNS, tmp_path), ["disconnect", "html_error"]))

    first = [one.next_event for one in variants if one.turn == 1 and one.fault["type"] == "disconnect"]
    assert first == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [one.events for one in variants if one.turn == 1 and one.fault["type"] == "disconnect"] == list(range(7))
    assert [one.id for one in variants if one.fault["type"] == "html_error"] == [
        "turn1-html_error",
        "turn2-html_error",
    ]
    assert len({one.name for one in variants}) == len(variants)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in NEEDY])
def test_a_variant_breaks_its_reply_right_there_and_nowhere_else(
    fault: str, engine: MakeEngine, ask: Ask, tmp_path: Path
) -> None:
    whole = ask(engine(TWO_TURNS), "go", stream=True).plan
    events = [frame for frame in whole.frames if name_of(frame) != "ping"]
    for variant in faults(written(TWO_TURNS, tmp_path), [fault]):
        if variant.turn > 1:
            continue
        entry = ask(engine([variant.scenario]), "go", stream=True)
        assert list(entry.faults) == [variant.text]
        if variant.next_event and "after" in variant.fault:
            before = b"".join(frame for frame in events[: variant.events])
            assert b"".join(f for f in entry.plan.frames if name_of(f) != "ping").startswith(before)


def test_a_fault_with_its_keys_comes_at_every_event_that_it_fits(tmp_path: Path) -> None:
    file = written(TWO_TURNS, tmp_path)
    edited = list(faults(file, ["edit;remove=index"]))
    put_in = list(faults(file, [{"type": "insert", "raw": ": x\n\n"}]))

    assert {one.next_event for one in edited} == {"content_block_start", "content_block_delta", "content_block_stop"}
    assert [one.next_event for one in put_in if one.turn == 1] == [
        one.next_event for one in faults(file, ["disconnect"]) if one.turn == 1
    ]
    assert edited[0].text == "edit after 1 event -index"


@pytest.mark.parametrize(
    "fault",
    [
        {"type": "edit", "message": {"set": {"id": 1}}},
        {"type": "edit", "event": "message_stop", "name": None},
        {"type": "disconnect", "at": "message_stop"},
        {"type": "disconnect", "after": 1},
        {"type": "stall", "after": {"event": "message_start"}, "for": "1s"},
    ],
    ids=str,
)
def test_a_fault_that_says_itself_what_it_means_comes_once_a_turn(fault: dict[str, Any], tmp_path: Path) -> None:
    assert [one.turn for one in faults(written(TWO_TURNS, tmp_path), [fault])] == [1, 2]


def test_a_fault_that_is_written_wrongly_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ScenarioError, match="unknown key 'st' in edit"):
        list(faults(written(TWO_TURNS, tmp_path), ["edit;st=1"]))
    with pytest.raises(SystemExit):
        main(["faults", "hello", "--fault", "disconect"])
    assert "unknown fault 'disconect'" in capsys.readouterr().err
    assert main(["faults", "hello", "--fault", "edit;remove=index"]) == 0
    assert "edit after 1 event -index" in capsys.readouterr().out


def test_once_means_that_the_second_try_is_whole(engine: MakeEngine, ask: Ask, tmp_path: Path) -> None:
    variant = next(iter(faults(written(TWO_TURNS, tmp_path), ["reset"], once=True)))
    served = engine([variant.scenario])

    first, second = ask(served, "go", stream=True), ask(served, "go", stream=True)

    assert first.faults
    assert not second.faults


def test_all_cases_of_a_turn_meet_the_fault(tmp_path: Path) -> None:
    variant = next(one for one in faults(written(TWO_TURNS, tmp_path), ["reset"]) if one.turn == 2)
    assert [bool(leaf.fault) for turn in variant.scenario.turns for leaf in turn.leaves] == [False, True, True]


def test_the_attempts_of_a_turn_meet_it_too(tmp_path: Path) -> None:
    text = "name: a\nturns:\n  - attempts:\n      - error: 529\n      - reply: Yes.\n  - reply: Then.\n"
    every = [one for one in faults(written(text, tmp_path), ["html_error"], once=False) if one.turn == 2]
    assert [bool(leaf.fault) for turn in every[0].scenario.turns for leaf in turn.leaves] == [False, False, True]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: list(faults("helo")), "no scenario 'helo'; did you mean 'hello'"),
        (lambda: list(faults("hello", ["rest"])), "unknown type 'rest'.*did you mean 'reset'"),
        (lambda: list(faults(loads("name: o\nfault: reset")[0])), "disconnect has no place in 'o'"),
        (lambda: list(faults("one-token", ["disconnect;after=99"])), "disconnect;after=99 has no place in 'one-token'"),
        (
            lambda: list(faults("one-token", [{"type": "truncate", "inside": "character"}])),
            "has no place in 'one-token'",
        ),
    ],
)
def test_mistakes(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        make()


def test_the_command_lists_them_and_prints_them_as_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults", "hello", "--fault", "reset"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "hello/1/reset/0"
    assert lines[0].endswith("before message_start")

    assert main(["faults", "hello", "--fault", "reset", "--once", "--yaml"]) == 0
    printed = loads(capsys.readouterr().out)
    assert len(printed) == len(lines)
    assert all(one.named_only and len(one.turns[0].attempts or ()) == 2 for one in printed)

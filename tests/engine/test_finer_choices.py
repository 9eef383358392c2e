"""The choice of a scenario where it hangs by a thread: found by mutants that no other test noticed."""

import json

from conftest import Ask, MakeEngine

from mock_server.protocol.request import LONG, Known, MessagesRequest, parse
from mock_server.scenario.conditions import Miss
from mock_server.scenario.conversation import WHOLE, HumanTurn, conversation, conversed, position


def never(turn: int) -> bool:
    return False


def topic(text: str) -> str:
    return HumanTurn("user", ({"type": "text", "text": text},)).topic


def test_a_topic_ends_before_the_word_that_is_too_much() -> None:
    long = ["a" * 24, "b" * 24, "c" * 24]

    assert topic(" ".join([*long, "d"])) == " ".join(long[:2])
    assert topic(" ".join(["a" * 20, "b" * 20, "c" * 19, "d"])) == " ".join(["a" * 20, "b" * 20, "c" * 19])
    assert topic(" ".join(["a" * 20, "b" * 20, "c" * 20])) == " ".join(["a" * 20, "b" * 20])
    assert topic("a<b one, two`three four") == "one four"
    assert topic("e" * 30) == "e" * 24


CASES = """
name: by case
when: {prompt: weather}
cases:
- {when: {prompt: paris}, reply: Rain}
- {when: {prompt: rome}, reply: Sun}
"""


def test_a_script_none_of_whose_cases_holds_says_so(engine: MakeEngine, ask: Ask) -> None:
    made = engine(CASES)

    assert ask(made, "The weather in Rome?").text == "Sun"
    missed = ask(made, "The weather in Oslo?")
    assert (missed.status >= 400, "case: wanted one of turn 1 to hold, got none did" in missed.text) == (True, True), (
        missed.text
    )


CAPTURED = r"""
name: captured
when: {prompt: {regex: 'weather in (?P<city>\w+)'}}
cases:
- {when: {prompt: {regex: 'on (?P<day>\w+)'}}, reply: {template: '{{ captures.city }}, {{ captures.day }}'}}
- {reply: {template: '{{ captures.city }}'}}
"""


def test_a_case_and_the_scenario_around_it_capture_for_its_template(engine: MakeEngine, ask: Ask) -> None:
    made = engine(CAPTURED)

    assert ask(made, "The weather in Rome on Monday?").text == "Rome, Monday"
    assert ask(made, "The weather in Rome?").text == "Rome"


def test_where_a_named_script_is_over_the_others_are_asked(engine: MakeEngine, ask: Ask) -> None:
    made = engine("name: s\nturns: [one]\n---\nname: t\nreply: rest")
    first = {"role": "user", "content": "[[scenario:s]] Hi"}
    talk = [first, {"role": "assistant", "content": "one"}, {"role": "user", "content": "More"}]

    assert ask(made, messages=[first]).text == "one"
    assert ask(made, messages=talk).text == "rest"


def test_a_longer_conversation_has_the_turns_that_it_would_have_alone() -> None:
    """What is known of its beginning changes nothing, whoever spoke last in that."""
    roles = ["user", "assistant", "user", "user", "assistant", "user", "assistant", "user", "user", "assistant", "user"]
    messages = [{"role": role, "content": f"number {at}"} for at, role in enumerate(roles)]
    for length in range(6, len(roles)):
        first = MessagesRequest({"messages": messages[:length]})
        conversed(first)
        longer = MessagesRequest({"messages": messages})
        longer.known = Known(None, {}, 0, 0)
        longer.known.shared = length
        longer.known.scanned = first.scanned

        talk, alone = conversed(longer), conversation(messages)

        assert [(turn.role, turn.content) for turn in talk.turns] == [(turn.role, turn.content) for turn in alone.turns]
        assert talk.human == alone.human


def test_a_condition_that_failed_is_told_under_these_names() -> None:
    assert Miss("prompt", "'a'", "'b'").as_json() == {"condition": "prompt", "wanted": "'a'", "got": "'b'"}


def test_what_is_said_beside_an_image_is_the_prompt(engine: MakeEngine, ask: Ask) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://a.example/cat.png"}}
    made = engine("name: cat\nwhen: {prompt: what is this}\nreply: A cat.")

    assert ask(made, [{"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}]).text == "A cat."


def test_the_end_of_what_was_typed_has_a_space_between_two_texts() -> None:
    turn = HumanTurn("user", tuple({"type": "text", "text": text} for text in ("one two", "<told/>", "three")))

    assert turn.typed_last(100) == "one two three"
    assert turn.typed_last(9) == "two three"


def test_a_place_in_a_script_that_was_worked_out_ahead_is_the_one_that_is_told() -> None:
    turns = ("Hi", "One.", "More", "Two.", "And?")
    messages = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(turns)]
    talk = conversation(messages)
    talk.positions = {}

    assert [position(talk, 0, "tag", never) for _ in range(2)] == [3, 3]


def test_of_a_long_request_the_conversation_is_that_which_was_worked_out_ahead() -> None:
    request = parse(json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * LONG}]}).encode())
    talk = conversed(request)
    assert conversed(request) is not talk
    request.scanned[WHOLE] = talk
    assert conversed(request) is talk

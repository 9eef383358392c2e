"""The choice of a scenario where it hangs by a thread: found by mutants that no other test noticed."""

from conftest import Ask, MakeEngine

from mock_server.engine.turns import Turn


def topic(text: str) -> str:
    return Turn("user", ({"type": "text", "text": text},)).topic


def test_a_topic_ends_before_the_word_that_is_too_much() -> None:
    long = ["a" * 24, "b" * 24, "c" * 24]

    assert topic(" ".join([*long, "d"])) == " ".join(long[:2])
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
    assert (missed.status >= 400, "one of turn 1 to hold" in missed.text) == (True, True), missed.text

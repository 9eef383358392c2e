"""Which turn of a script answers: read from the conversation, for every way clients keep one."""

from typing import Any

import pytest

from mock_server.protocol import signing
from mock_server.scenario.conversation import conversation, position

NAME = "script"
TAG = signing.tag(NAME)
Message = dict[str, Any]


def call(at: int, *, server: bool = False, tool: str = "f", number: int = 0) -> Message:
    """A call that our server made at this position of the script."""
    prefix, kind = ("srvtoolu_", "server_tool_use") if server else ("toolu_", "tool_use")
    id = signing.mint(f"nonce{number}", signing.stamp(prefix, NAME, at, tool, {}))
    return {"type": kind, "id": id, "name": tool, "input": {}}


def result(of: Message) -> Message:
    return {"type": "tool_result", "tool_use_id": of["id"], "content": "ok"}


def found(of: Message) -> Message:
    return {"type": "web_search_tool_result", "tool_use_id": of["id"], "content": []}


def text(said: str) -> Message:
    return {"type": "text", "text": said}


def user(*content: Any) -> Message:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}


def assistant(*content: Any) -> Message:
    return {"role": "assistant", "content": content[0] if isinstance(content[0], str) else list(content)}


SYSTEM = {"role": "system", "content": "Remember the rules."}
ONE, TWO, THREE = call(1), call(2), call(3)
FOREIGN = {"type": "tool_use", "id": "toolu_made_elsewhere", "name": "f", "input": {}}
PAUSE1, PAUSE2 = call(1, server=True), call(2, server=True)
FIRST, LAST = "first human turn", "newest human turn"

# name, messages, anchor, turns that pause, position
CONVERSATIONS = [
    ("one question", [user("Hi")], FIRST, (), 1),
    ("chat: second question, conversation anchor", [user("a"), assistant("A"), user("b")], FIRST, (), 2),
    ("chat: second question, prompt anchor", [user("a"), assistant("A"), user("b")], LAST, (), 1),
    ("chat: third question", [user("a"), assistant("A"), user("b"), assistant("B"), user("c")], FIRST, (), 3),
    (
        "few-shot pairs count from the anchor",
        [user("x"), assistant("X"), user("y"), assistant("Y"), user("q")],
        LAST,
        (),
        1,
    ),
    ("tool loop, first result", [user("q"), assistant(ONE), user(result(ONE))], LAST, (), 2),
    (
        "tool loop, second result",
        [user("q"), assistant(ONE), user(result(ONE)), assistant(TWO), user(result(TWO))],
        LAST,
        (),
        3,
    ),
    ("tool loop with ids made elsewhere", [user("q"), assistant(FOREIGN), user(result(FOREIGN))], LAST, (), 2),
    (
        "parallel tools, results in one message",
        [user("q"), assistant(ONE, call(1, number=1)), user(result(ONE), result(call(1, number=1)))],
        LAST,
        (),
        2,
    ),
    (
        "parallel tools, results in two messages",
        [user("q"), assistant(ONE, call(1, number=1)), user(result(ONE)), user(result(call(1, number=1)))],
        LAST,
        (),
        2,
    ),
    ("text beside the result", [user("q"), assistant(ONE), user(result(ONE), text("hurry"))], LAST, (), 2),
    (
        "a reminder as its own user message after the result",
        [user("q"), assistant(ONE), user(result(ONE)), user("<reminder>")],
        LAST,
        (),
        2,
    ),
    ("a reminder before the question", [user("<reminder>"), user("q")], LAST, (), 1),
    ("role system last", [user("q"), assistant(ONE), user(result(ONE)), SYSTEM], LAST, (), 2),
    ("role system in between", [user("q"), SYSTEM, assistant(ONE), user(result(ONE))], LAST, (), 2),
    ("two user messages with the prompt in the first", [user("q"), user("more")], FIRST, (), 1),
    (
        "an assistant message split in two",
        [user("a"), assistant("A, part one"), assistant("A, part two"), user("b")],
        FIRST,
        (),
        2,
    ),
    (
        "an assistant message with a call split in two",
        [user("q"), assistant("I look"), assistant(ONE), user(result(ONE))],
        LAST,
        (),
        2,
    ),
    ("paused, sent back", [user("q"), assistant(PAUSE1)], LAST, (1,), 2),
    ("paused, content ends in text", [user("q"), assistant(PAUSE1, found(PAUSE1), text("so far"))], LAST, (1,), 2),
    (
        "paused twice, appended as messages of their own",
        [user("q"), assistant(PAUSE1), assistant(found(PAUSE1), PAUSE2)],
        LAST,
        (1, 2),
        3,
    ),
    (
        "paused twice, concatenated into one message",
        [user("q"), assistant(PAUSE1, found(PAUSE1), PAUSE2)],
        LAST,
        (1, 2),
        3,
    ),
    ("paused twice, only the newest kept", [user("q"), assistant(PAUSE2)], LAST, (1, 2), 3),
    (
        "paused, then a call of the client's tool, then its result",
        [user("q"), assistant(PAUSE1, found(PAUSE1), call(2)), user(result(call(2)))],
        LAST,
        (1,),
        3,
    ),
    (
        "paused and finished in one message, then the next question",
        [user("q"), assistant(PAUSE1, found(PAUSE1), text("done")), user("next")],
        FIRST,
        (1,),
        3,
    ),
    (
        "paused and finished as two messages, then the next question",
        [user("q"), assistant(PAUSE1), assistant(found(PAUSE1), text("done")), user("next")],
        FIRST,
        (1,),
        3,
    ),
    ("prefill", [user("q"), assistant("The answer is")], LAST, (), 1),
    ("prefill after a tool round", [user("q"), assistant(ONE), user(result(ONE)), assistant("So")], LAST, (), 2),
    (
        "asked again after invalid JSON",
        [user("give JSON"), assistant("{oops"), user("that was no JSON, again")],
        FIRST,
        (),
        2,
    ),
    ("history cut to the last rounds", [user("q"), assistant(THREE), user(result(THREE))], LAST, (), 4),
    (
        "history compacted in mid-loop",
        [user("Summary: q was asked, two tools ran."), assistant(THREE), user(result(THREE))],
        LAST,
        (),
        4,
    ),
    ("thread continued: joined history", [user("q"), assistant(ONE), user(result(ONE))], LAST, (), 2),
    ("the first message is only a tool_result", [user(result(TWO))], LAST, (), 3),
    ("the assistant greets first, then the question", [assistant("Welcome!"), user("q")], FIRST, (), 1),
    (
        "the assistant greets first: second question",
        [assistant("Welcome!"), user("a"), assistant("A"), user("b")],
        FIRST,
        (),
        2,
    ),
    (
        "the assistant greets first: a tool loop",
        [assistant("Welcome!"), user("q"), assistant(ONE), user(result(ONE))],
        LAST,
        (),
        2,
    ),
    ("a greeting in two messages", [assistant("Welcome!"), assistant("How can I help?"), user("q")], FIRST, (), 1),
    ("a call of ours before the first question says nothing", [assistant(TWO), user("q")], FIRST, (), 1),
    ("history cut down to a call and its result", [assistant(THREE), user(result(THREE))], LAST, (), 4),
    (
        "history cut down to a call made elsewhere and its result",
        [assistant(FOREIGN), user(result(FOREIGN))],
        LAST,
        (),
        2,
    ),
    ("nothing but a prefill", [assistant("The answer is")], LAST, (), 1),
    (
        "a round of another scenario before ours",
        [
            user("x"),
            assistant(FOREIGN),
            user(result(FOREIGN)),
            assistant("X"),
            user("q"),
            assistant(ONE),
            user(result(ONE)),
        ],
        LAST,
        (),
        2,
    ),
    (
        "a result of the server's that answers a call of the turn before",
        [user("q"), assistant(PAUSE1, ONE), user(result(ONE)), assistant(found(PAUSE1), text("done")), user("b")],
        FIRST,
        (),
        3,
    ),
]


@pytest.mark.parametrize(
    ("messages", "anchor", "pauses", "expected"),
    [row[1:] for row in CONVERSATIONS],
    ids=[row[0] for row in CONVERSATIONS],
)
def test_the_position_in_a_script(messages: list[Message], anchor: str, pauses: tuple[int, ...], expected: int) -> None:
    talk = conversation(messages)
    at = talk.human[0 if anchor == FIRST else -1]
    assert position(talk, at, TAG, lambda turn: turn in pauses) == expected


def test_ids_that_a_script_pins_name_their_turn() -> None:
    """As in a recording that paused twice: both messages are one turn of the conversation, and two of the script."""
    first, second = ({"type": "server_tool_use", "id": f"srvtoolu_{n}", "name": "f", "input": {}} for n in "ab")
    talk = conversation([user("q"), assistant(first), assistant(found(first), second)])

    assert position(talk, 0, TAG, lambda turn: turn < 3) == 2
    assert position(talk, 0, TAG, lambda turn: turn < 3, {"srvtoolu_a": 1, "srvtoolu_b": 2}) == 3


def test_ids_of_another_scenario_say_nothing_about_ours() -> None:
    talk = conversation([user("q"), assistant(call(7)), user(result(call(7)))])
    assert position(talk, 0, signing.tag("another"), lambda _: False) == 2


@pytest.mark.parametrize(
    ("messages", "human"),
    [
        ([user("a")], (0,)),
        ([user("a"), assistant("A"), user("b")], (0, 2)),
        ([user("a"), user("b"), assistant("A")], (0,)),
        ([user("q"), assistant(ONE), user(result(ONE))], (0,)),
        ([user("q"), assistant(ONE), user(result(ONE), text("and?"))], (0,)),
        ([user(result(ONE))], (0,)),
        ([SYSTEM], (0,)),
        ([assistant("Welcome!"), user("a")], (1,)),
        ([assistant(ONE), user(result(ONE))], (0,)),
    ],
)
def test_a_human_turn_is_a_user_turn_without_a_result(messages: list[Message], human: tuple[int, ...]) -> None:
    assert conversation(messages).human == human


def test_what_the_assistant_says_first_is_nobodys_prompt() -> None:
    for messages in ([assistant("[[scenario:x]]")], [assistant(text("Hi"), ONE), user(result(ONE))]):
        talk = conversation(messages)
        assert talk.turns[talk.human[-1]].text.text == ""


def test_many_messages_of_one_role_are_one_turn_soon() -> None:
    """Read in one pass: 100,000 messages would take minutes if each were put behind a copy of those before."""
    talk = conversation([user("again")] * 100_000)
    assert [len(turn.content) for turn in talk.turns] == [100_000]

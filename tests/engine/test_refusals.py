"""Conversations as clients split them: what the API merges is judged as one, whatever it was sent as; and what it refuses is
an envelope that names the right place and leaves nothing behind.
"""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol.request import HttpRequest, MessagesRequest

JSON = dict[str, Any]
Turn = list[JSON]  # the blocks of one role
Draw = Callable[[st.SearchStrategy[Any]], Any]
KEY = {"x-api-key": "k", "anthropic-version": "2023-06-01", "anthropic-beta": "message-threads-2026-08-12"}
SCRIPT = """
name: counted
anchor: session
at_end: repeat
turns:
  - attempts: [{reply: Once more.}, {reply: Here you are.}]
  - reply: And on.
"""
LONG = [{"type": "text", "text": "A long preamble. " * 300, "cache_control": {"type": "ephemeral"}}]
TEXTS = st.sampled_from(["hi", "a\nb", " led by a space", "ünïcode", "[[not a scenario]]"])


def text(said: str) -> JSON:
    return {"type": "text", "text": said}


def result(id: str) -> JSON:
    return {"type": "tool_result", "tool_use_id": id, "content": "ok"}


def call(id: str) -> JSON:
    return {"type": "tool_use", "id": id, "name": "f", "input": {}}


@st.composite
def talks(draw: Draw, first: str | None = None) -> list[Turn]:
    """A legal conversation by turns; it ends with the user's, and begins with anybody's. Ids come back in later turns."""
    count = draw(st.integers(1, 6))
    if first == "user":
        count = count // 2 * 2 + 1
    turns: list[Turn] = []
    asked: list[str] = []
    for left in range(count - 1, -1, -1):
        if left % 2:
            asked = draw(st.lists(st.sampled_from(["t1", "t2", "t3"]), max_size=2, unique=True))
            said = [text(one) for one in draw(st.lists(TEXTS, min_size=0 if asked else 1, max_size=2))]
            blank = [text(" \n")] if draw(st.booleans()) else []
            turns.append([*blank, *said, *map(call, asked)])
        else:
            said = [text(one) for one in draw(st.lists(TEXTS, min_size=0 if asked else 1, max_size=2))]
            turns.append([*map(result, draw(st.permutations(asked))), *said])
            asked = []
    return turns


def role_of(turns: list[Turn], at: int) -> str:
    """The newest turn is the user's, the one before it the assistant's, and so on."""
    return "assistant" if (len(turns) - 1 - at) % 2 else "user"


def whole(turns: list[Turn]) -> list[JSON]:
    """One message a turn."""
    return [{"role": role_of(turns, at), "content": turn} for at, turn in enumerate(turns)]


def split(draw: Draw, turns: list[Turn]) -> list[JSON]:
    """The same in messages of one role in a row, some of them bare strings."""
    messages = []
    for at, turn in enumerate(turns):
        rest = turn
        while rest:
            size = draw(st.integers(1, len(rest)))
            piece, rest = rest[:size], rest[size:]
            is_bare = size == 1 and piece[0].keys() == {"type", "text"} and draw(st.booleans())
            messages.append({"role": role_of(turns, at), "content": piece[0]["text"] if is_bare else piece})
    return messages


def make(engine: Callable[..., Engine]) -> Engine:
    return engine(SCRIPT, profile="anthropic", rate_limits="on")


def send(engine: Engine, messages: list[JSON], **more: Any) -> Entry:
    body = {"model": "claude-sonnet-4-5", "max_tokens": 20, "system": LONG, "messages": messages, **more}
    return engine.handle(HttpRequest("POST", "/v1/messages", KEY, json.dumps(body).encode()))


def count(engine: Engine, messages: list[JSON]) -> Entry:
    body = {"model": "claude-sonnet-4-5", "messages": messages}
    return engine.handle(HttpRequest("POST", "/v1/messages/count_tokens", KEY, json.dumps(body).encode()))


def told(entry: Entry) -> JSON:
    return dict(json.loads(entry.plan.body()))


# -- what is merged -------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_split_or_whole_a_conversation_is_the_same_prompt(engine, data: st.DataObject) -> None:
    """The same verdict, the same tokens, and what the one wrote into the cache the other reads."""
    turns = data.draw(talks())
    turns[-1][-1] = {**turns[-1][-1], "cache_control": {"type": "ephemeral"}}
    one, other = whole(turns), split(data.draw, turns)
    if data.draw(st.booleans()):
        one, other = other, one
    made = make(engine)

    first, second = told(send(made, one)), told(send(made, other))

    written, read = first["usage"], second["usage"]
    assert first["type"] == second["type"] == "message"
    assert written["cache_creation_input_tokens"] > 1_024
    assert read["cache_read_input_tokens"] == written["cache_creation_input_tokens"]
    assert (read["cache_creation_input_tokens"], read["input_tokens"]) == (0, written["input_tokens"])


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_is_merged_is_all_that_was_sent(data: st.DataObject) -> None:
    turns = data.draw(talks())
    sent = split(data.draw, turns)
    request = MessagesRequest({"messages": sent})

    merged = request.merged.messages

    assert [message["role"] for message in merged] == [role_of(turns, at) for at in range(len(turns))]
    found = [[text(one["content"])] if isinstance(one["content"], str) else one["content"] for one in merged]
    assert found == turns
    assert request.merged.merged is request.merged
    assert (request.merged is request) == (len(sent) == len(turns))


# -- what is refused ------------------------------------------------------------------------------------------------

Broken = tuple[list[Turn], str]  # what is sent, and how the message begins; {} is where the conversation begins


def orphan(draw: Draw, turns: list[Turn]) -> Broken:
    """A result of a call that nobody made: named where it stands in its turn."""
    at = draw(st.sampled_from([at for at in range(len(turns)) if role_of(turns, at) == "user"]))
    place = draw(st.integers(0, len(turns[at])))
    turns[at].insert(place, result("nobody"))
    return turns, f"messages.{{{at}}}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: nobody."


def unanswered(draw: Draw, turns: list[Turn]) -> Broken:
    """A call whose result is left out: the turn that made it is named."""
    turns = [*turns, [text("I look"), call("lost")], [text("and?")]]
    at = len(turns) - 2
    return turns, f"messages.{{{at}}}: `tool_use` ids were found without `tool_result` blocks immediately after: lost."


def late(draw: Draw, turns: list[Turn]) -> Broken:
    """A result behind a text."""
    turns = [*turns, [call("late")], [text("here"), result("late")]]
    return turns, f"messages.{{{len(turns) - 2}}}: `tool_use` ids were found without `tool_result` blocks"


def twice_called(draw: Draw, turns: list[Turn]) -> Broken:
    """One id twice in a turn."""
    turns = [*turns, [call("same"), text("and"), call("same")], [result("same")]]
    return turns, f"messages.{{{len(turns) - 2}}}.content.2: `tool_use` ids must be unique"


def twice_answered(draw: Draw, turns: list[Turn]) -> Broken:
    """Two results of one call."""
    turns = [*turns, [call("once")], [result("once"), result("once")]]
    return turns, f"messages.{{{len(turns) - 1}}}.content.1: each tool_use must have a single result."


def blank(draw: Draw, turns: list[Turn]) -> Broken:
    """White space of the user, wherever it stands."""
    turns[-1].append(text(draw(st.sampled_from([" ", "\n\t"]))))
    return turns, "messages: text content blocks must contain non-whitespace text"


def no_container(draw: Draw, turns: list[Turn]) -> Broken:
    """A program that waits."""
    program = {"type": "server_tool_use", "id": "s", "name": "code_execution", "input": {}}
    called = {**call("c"), "caller": {"type": "code_execution_20260120", "tool_id": "s"}}
    return [*turns, [program, called], [result("c")]], "container_id is required when there are pending tool uses"


CONVERSED = [orphan, unanswered, late, twice_called, twice_answered, blank, no_container]
TOOLS = [
    {"type": "code_execution_20260120", "name": "code_execution"},
    {"name": "f", "input_schema": {"type": "object"}},
]
OPEN = {
    "name": "g",
    "strict": True,
    "input_schema": {"type": "object", "additionalProperties": False, "properties": {"x": True}},
}
PARAMETERS = [
    ({"temperature": 2}, "temperature: range: 0..1"),
    ({"output_config": {"effort": "low"}}, "This model does not support the effort parameter."),
    ({"output_format": {"type": "json_schema"}}, "output_format.schema: Field required"),
    ({"tools": [{"name": "g", "input_schema": 5}]}, "tools.0.custom.input_schema: Input does not match the expected shape."),
    ({"tools": [*TOOLS, OPEN]}, "tools.2.custom: For 'object' type, property 'properties' is not supported"),
]  # fmt: skip
THREADS = st.sampled_from([None, "create", "continue"])


def left_in(engine: Engine) -> bytes:
    """All that the session remembers: the cache, threads, counters, rate limits, batches."""
    session = engine.sessions.default
    return pickle.dumps([session.cursors, session.cache, session.threads, session.limiter, session.batches])


def under_way(engine: Engine, thread: str | None) -> tuple[JSON, int]:
    """The parameters that begin or go on with a thread, and how many messages it holds so far."""
    send(engine, [{"role": "user", "content": "Before all that"}])
    if thread != "continue":
        return ({} if thread is None else {"thread": {"type": thread}}), 0
    begun = told(send(engine, [{"role": "user", "content": "First"}], tools=TOOLS, thread={"type": "create"}))
    return {"thread": {"type": "continue", "previous_message_id": begun["id"]}}, 2


def assert_refused(entry: Entry, begins: str) -> None:
    body = told(entry)
    assert (entry.plan.status, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")
    assert body["error"]["message"].startswith(begins)
    assert dict(entry.plan.headers)["x-should-retry"] == "false"
    assert body["request_id"] == dict(entry.plan.headers)["request-id"]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), thread=THREADS, breaks=st.sampled_from(CONVERSED))
def test_a_refused_conversation_names_the_place_and_leaves_nothing(
    engine, data: st.DataObject, thread: str | None, breaks: Callable[[Draw, list[Turn]], Broken]
) -> None:
    made = make(engine)
    more, held = under_way(made, thread)
    turns, begins = breaks(data.draw, copy.deepcopy(data.draw(talks(first="user" if held else None))))
    begins = begins.format(*range(held, held + len(turns)))
    before = left_in(made)

    messages = split(data.draw, turns)

    assert_refused(send(made, messages, tools=TOOLS, **more), begins)
    if thread is None and breaks is not no_container:  # a count has no threads and no container
        assert_refused(count(made, messages), begins)
    assert left_in(made) == before


@settings(max_examples=100, deadline=None)
@given(data=st.data(), thread=THREADS)
def test_a_block_of_no_known_shape_is_named_where_it_was_sent(engine, data: st.DataObject, thread: str | None) -> None:
    made = make(engine)
    more, held = under_way(made, thread)
    messages = copy.deepcopy(split(data.draw, data.draw(talks())))
    at = data.draw(st.integers(0, len(messages) - 1))
    if isinstance(messages[at]["content"], str):
        messages[at]["content"] = [text(messages[at]["content"])]
    place = data.draw(st.integers(0, len(messages[at]["content"])))
    messages[at]["content"] = [*messages[at]["content"][:place], {"type": "sound"}, *messages[at]["content"][place:]]
    before = left_in(made)

    refused = send(made, messages, tools=TOOLS, **more)

    assert_refused(refused, f"messages.{held + at}.content.{place}: Input tag 'sound' found using 'type'")
    assert left_in(made) == before


@settings(max_examples=100, deadline=None)
@given(data=st.data(), thread=st.sampled_from([None, "create"]), wrong=st.sampled_from(PARAMETERS))
def test_a_refused_parameter_leaves_nothing_either(
    engine, data: st.DataObject, thread: str | None, wrong: tuple[JSON, str]
) -> None:
    made = make(engine)
    more, _ = under_way(made, thread)
    before = left_in(made)

    refused = send(made, split(data.draw, data.draw(talks())), **{"tools": TOOLS, **more, **wrong[0]})

    assert_refused(refused, wrong[1])
    assert left_in(made) == before


def test_what_was_refused_may_be_sent_again_mended(engine) -> None:
    """A thread goes on from where it was, and a script stands where it stood."""
    made = make(engine)
    more, _ = under_way(made, "continue")
    broken = [{"role": "user", "content": "a"}, {"role": "user", "content": [result("nobody")]}]

    assert_refused(send(made, broken, **more), "messages.2.content.1: unexpected `tool_use_id`")

    before = left_in(made)
    mended = send(made, broken[:1], **more)
    assert mended.plan.status == 200
    assert left_in(made) != before
    assert dict(mended.plan.headers)["x-mock-turn"] == "2"

"""The legacy `POST /v1/complete`: a prompt with turns, answered as the same message would be."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.exchange import in_place
from mock_server.protocol import sse
from mock_server.protocol.completion import as_message, fold
from mock_server.protocol.request import HttpRequest

Make = Callable[..., Engine]
PROFILES = ("octen", "anthropic")
HELLO = "\n\nHuman: Hello, Claude\n\nAssistant:"
SCRIPT = """
name: hello
when: {prompt: Hello}
reply: Hello! How are you today?
---
name: two
when: {prompt: twice}
turns: [First., Second.]
---
name: tool
when: {prompt: tool}
reply: [Let me look., {type: tool_use, name: look, input: {}}]
---
name: busy
when: {prompt: busy}
error: overloaded_error
"""


def send(engine: Engine, prompt: str = HELLO, **more: Any) -> Entry:
    body = {"model": "claude-opus-4-8", "prompt": prompt, "max_tokens_to_sample": 300, **more}
    body = {name: value for name, value in body.items() if value is not ...}
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    return engine.handle(HttpRequest("POST", "/v1/complete", headers, json.dumps(body).encode()))


def both(make: Callable[[], Engine], prompt: str = HELLO, **more: Any) -> dict[str, Any]:
    """The completion, after its stream was found to tell the same."""
    whole = json.loads(send(make(), prompt, **more).plan.body())
    stream = send(make(), prompt, stream=True, **more)
    assert stream.plan.stream
    assert fold(sse.parse(stream.plan.body())) == whole == stream.reply
    return whole  # type: ignore[no-any-return]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_scenario_answers_with_its_text(engine: Make, profile: str) -> None:
    told = both(lambda: engine(SCRIPT, profile=profile))
    assert told["id"].startswith("compl_01")
    assert {**told, "id": "", "model": ""} == {
        "type": "completion",
        "id": "",
        "completion": "Hello! How are you today?",
        "stop_reason": "stop_sequence",
        "stop": "\n\nHuman:",
        "model": "",
    }


def test_a_stream_is_of_completions_and_pings(engine: Make) -> None:
    body = send(engine(SCRIPT), stream=True).plan.body().decode()
    names = [line.removeprefix("event: ") for line in body.split("\n") if line.startswith("event: ")]
    assert set(names) == {"completion", "ping"}
    events = [payload for payload in sse.parse(body.encode()) if payload["type"] == "completion"]
    assert [one["stop_reason"] for one in events] == [None] * (len(events) - 1) + ["stop_sequence"]
    assert events[-1]["completion"] == ""


def test_it_is_made_up_where_nothing_matches_and_the_same_each_time(engine: Make) -> None:
    def make() -> Engine:
        return engine(unmatched="generate")

    told = both(make)
    assert told == both(make)
    assert told["completion"]


def test_what_cuts_a_message_cuts_a_completion(engine: Make) -> None:
    cut = both(lambda: engine(SCRIPT), max_tokens_to_sample=3)
    assert (cut["stop_reason"], cut["stop"]) == ("max_tokens", None)
    assert "Hello! How are you today?".startswith(cut["completion"])
    stopped = both(lambda: engine(SCRIPT), stop_sequences=[" are"])
    assert (stopped["completion"], stopped["stop_reason"], stopped["stop"]) == ("Hello! How", "stop_sequence", " are")


def test_a_completion_that_crawls_comes_whole_when_its_last_byte_would(engine: Make) -> None:
    crawling = SCRIPT.replace("today?", "today?\nfault: {type: trickle, bytes_per_second: 100}", 1)
    slow = send(engine(crawling)).exchange.plan
    assert len(slow.due) == 1
    assert slow.due[0] > 2_000_000  # of a message of more than 200 bytes
    assert json.loads(slow.body())["completion"] == "Hello! How are you today?"


def test_only_the_text_of_a_reply_is_told(engine: Make) -> None:
    told = both(lambda: engine(SCRIPT), "\n\nHuman: Use a tool\n\nAssistant:")
    assert (told["completion"], told["stop_reason"]) == ("Let me look.", "stop_sequence")


def test_the_turns_of_a_prompt_are_those_of_a_conversation(engine: Make) -> None:
    made = engine(SCRIPT)
    assert send(made, "\n\nHuman: twice\n\nAssistant:").text == "First."
    assert send(made, "\n\nHuman: twice\n\nAssistant: First.\n\nHuman: Go on\n\nAssistant:").text == "Second."


@pytest.mark.parametrize(
    ("prompt", "messages", "system"),
    [
        (HELLO, ["user Hello, Claude"], None),
        ("Be brief.\n\nHuman: Hi\n\nAssistant:", ["user Hi"], "Be brief."),
        ("\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: (", ["user a", "assistant b", "user c", "assistant ("], None),
        ("\n\nHuman: one\n\nHuman: two\n\nAssistant:", ["user one", "user two"], None),
    ],
)  # fmt: skip
def test_a_prompt_becomes_messages(prompt: str, messages: list[str], system: str | None) -> None:
    found = as_message({"model": "m", "prompt": prompt, "max_tokens_to_sample": 5, "stream": True})
    assert [f"{one['role']} {one['content']}" for one in found["messages"]] == messages
    assert found.get("system") == system
    assert (found["max_tokens"], found["stream"], found["stop_sequences"]) == (5, True, ["\n\nHuman:"])


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        ({"prompt": ...}, 400, "prompt: Field required"),
        ({"model": ...}, 400, "model: Field required"),
        ({"max_tokens_to_sample": ...}, 400, "max_tokens_to_sample: Field required"),
        ({"max_tokens_to_sample": 0}, 400, "max_tokens_to_sample: Input should be greater"),
        ({"max_tokens_to_sample": 10**7}, 400, "max_tokens_to_sample: 10000000 > 128000"),
        ({"prompt": 5}, 400, "prompt: Input should be a valid string"),
        ({"prompt": "Hello"}, 400, "prompt must start with"),
        ({"prompt": "\n\nAssistant: Hello\n\nHuman: Hi\n\nAssistant:"}, 400, "prompt must start with"),
        ({"prompt": "\n\nHuman: Hello"}, 400, "prompt must end with"),
        ({"prompt": "\n\nHuman:\n\nAssistant:"}, 400, "messages"),
        ({"stop_sequences": "x"}, 400, "stop_sequences: Input should be a valid array"),
        ({"stop_sequences": [""]}, 400, "stop_sequences: each"),
        ({"temperature": 2}, 400, "temperature: range: 0..1"),
        ({"stream": "yes"}, 400, "stream: Input should be a valid boolean"),
        ({"messages": []}, 400, "messages: Extra inputs are not permitted"),
        ({"model": "claude-none"}, 404, "model: claude-none"),
        ({"prompt": "\n\nHuman: busy\n\nAssistant:"}, 529, "Overloaded"),
    ],
)
def test_errors_are_those_of_the_api(engine: Make, more: dict[str, Any], status: int, message: str) -> None:
    entry = send(engine(SCRIPT, profile="anthropic"), **more)
    assert (entry.status, entry.reply["type"]) == (status, "error")
    assert entry.reply["error"]["message"].startswith(message)


def test_a_function_gives_the_text(engine: Make) -> None:
    from mock_server.engine.exchange import in_place
    from mock_server.scenario.load import build

    entry = send(engine([build({"name": "late", "reply": lambda request: f"You said {request.prompt}."})]))
    assert entry.exchange.late is not None
    entry.settled(in_place(entry.exchange.late))
    assert entry.text == "You said Hello, Claude."


def test_the_journal_reads_the_prompt_as_a_conversation(engine: Make) -> None:
    entry = send(engine(SCRIPT))
    assert (entry.scenario, entry.turn, entry.text) == ("hello", 1, "Hello! How are you today?")
    assert (entry.request.prompt, entry.request.max_tokens) == ("Hello, Claude", 300)
    assert b"Human" in entry.request.raw


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_of_many_turns_is_read_apart_and_answered_as_a_short_one(engine: Make, stream: bool) -> None:
    before = "\n\nHuman: a\n\nAssistant: b" * 2_000
    entry = send(engine(SCRIPT), before + HELLO, stream=stream)
    assert entry.exchange.late is not None
    entry.settled(in_place(entry.exchange.late))

    assert (entry.plan.status, entry.scenario) == (200, "hello")
    assert b"Hello" in entry.plan.body()


def test_what_is_wrong_with_such_a_prompt_is_told(engine: Make) -> None:
    entry = send(engine(SCRIPT), "\n\nHuman: a\n\nAssistant: b" * 2_000 + HELLO, max_tokens_to_sample=10**7)
    assert entry.exchange.late is not None
    told = in_place(entry.exchange.late)

    assert told.plan.status == 400
    assert b"max_tokens_to_sample: 10000000 > " in told.plan.body()
    assert told.note

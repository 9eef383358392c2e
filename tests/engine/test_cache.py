"""The prompt cache: whole conversations, their arithmetic worked out by hand. Rules: docs/protocol.md G.1.

Texts are made of `word ` (one token each), and the model is one whose tokens are the estimated ones (factor 1, at least
4,096 tokens in the cache), so that every number here can be checked with a pencil.
"""

import json
from typing import Any

import pytest
from manualclock import ManualClock

from mock_server.engine.engine import Engine
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

MODEL = "claude-haiku-4-5"
PROFILES = {name: load_profile(name) for name in ("octen", "anthropic")}
MARK, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
FORMAT = {"type": "json_schema", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}
FRAME, END = 4, 3  # what stands before the first message and after the last; each further message costs 4


def text(tokens: int, mark: dict[str, str] | None = None, word: str = "word") -> dict[str, Any]:
    """A text block of so many tokens."""
    block: dict[str, Any] = {"type": "text", "text": " ".join([word] * tokens)}
    return block if mark is None else {**block, "cache_control": mark}


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


class Talk:
    """A client of an engine of its own, whose clock stands still."""

    def __init__(self, profile: str = "anthropic", **settings: Any) -> None:
        self.clock = ManualClock()
        self._engine = Engine(Settings(time_scale=0, **settings), PROFILES[profile], self.clock)
        self._engine.load(loads("name: a\nreply: Yes."))

    def ask(self, *messages: dict[str, Any], session: str = "a", **more: Any) -> dict[str, Any]:
        body = {"model": MODEL, "max_tokens": 100, "messages": list(messages), **more}
        headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "x-mock-session": session}
        plan = self._engine.handle(HttpRequest("POST", "/v1/messages", headers, json.dumps(body).encode())).plan
        assert plan.status == 200, plan.body()
        said: dict[str, Any] = json.loads(plan.body())
        return said

    def usage(self, *messages: dict[str, Any], **more: Any) -> tuple[int, int, int]:
        """Read from the cache, written to it, and the rest of the input."""
        usage = self.ask(*messages, **more)["usage"]
        assert usage["cache_creation_input_tokens"] == sum(usage["cache_creation"].values())
        return usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"], usage["input_tokens"]


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_1_what_is_marked_is_written_then_read(talk: Talk) -> None:
    asked = user(text(5000, MARK), text(10))
    assert talk.usage(asked) == (0, 5004, 10 + END)  # 4 of framing before the marked block, 3 after the last
    assert talk.usage(asked) == (5004, 0, 10 + END)


def test_2_a_conversation_that_grows_reads_what_the_last_turn_wrote(talk: Talk) -> None:
    first = user(text(5000, MARK))
    assert talk.usage(first) == (0, 5004, END)
    second = [user(text(5000)), assistant(text(1)), user(text(100, MARK))]
    assert talk.usage(*second) == (5004, 1 + 4 + 100 + 4, END)
    third = [*second[:2], user(text(100)), assistant(text(1)), user(text(50, MARK), text(3))]
    assert talk.usage(*third) == (5004 + 109, 1 + 4 + 50 + 4, 3 + END)


@pytest.mark.parametrize("word", ["word", 'a "word" \\ of', "Wörter", "字", "\n\tx"], ids=ascii)
def test_a_text_is_found_however_its_block_is_written(talk: Talk, word: str) -> None:
    block = {"type": "text", "text": "on " + word * 9000}
    _, written, _ = talk.usage(user({**block, "cache_control": MARK}, text(10)))
    assert written > 4_096
    for other in ({"citations": None}, {"cache_control": HOUR}, {"citations": None, "cache_control": MARK}):
        read, *_ = talk.usage(user({**other, **block, "cache_control": MARK}, text(10)))
        assert read == written
    read, *_ = talk.usage(user({**block, "text": block["text"] + ".", "cache_control": MARK}, text(10)))
    assert read == 0


def test_3_below_the_minimum_nothing_is_cached_and_nothing_is_said(talk: Talk) -> None:
    asked = user(text(4088, MARK))
    for _ in range(2):
        assert talk.usage(asked) == (0, 0, 4095)
    assert talk.usage(user(text(4092, MARK))) == (0, 4096, END)


def test_4_tools_then_system_then_messages_and_the_longest_entry_wins(talk: Talk) -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}, "cache_control": MARK}
    system = [text(5000, MARK)]
    read, written, rest = talk.usage(user(text(10)), tools=[tool], system=system)
    assert (read, rest) == (0, 10 + FRAME + END)
    assert talk.usage(user(text(20)), tools=[tool], system=system) == (written, 0, 20 + FRAME + END)
    # another system prompt: the tools alone are below the minimum
    other = [text(5000, MARK, word="other")]
    assert talk.usage(user(text(20)), tools=[tool], system=other) == (0, written, 20 + FRAME + END)
    # another tool: nothing of it can be used
    changed = {**tool, "description": "It does."}
    read, again, _ = talk.usage(user(text(20)), tools=[changed], system=system)
    assert (read, again > written) == (0, True)


def test_5_an_entry_is_found_twenty_blocks_back_and_no_further(talk: Talk) -> None:
    blocks = [text(4200, MARK)]
    assert talk.usage(user(*blocks)) == (0, 4204, END)
    near = [text(4200), *[text(2) for _ in range(18)], text(2, MARK)]  # the mark is block 20, the entry block 1
    assert talk.usage(user(*near)) == (4204, 38, END)
    talk = Talk()
    talk.usage(user(*blocks))
    far = [text(4200), *[text(2) for _ in range(19)], text(2, MARK)]
    assert talk.usage(user(*far)) == (0, 4204 + 40, END)


def test_6_two_times_to_live_are_told_apart(talk: Talk) -> None:
    asked = user(text(5000, HOUR), text(300, MARK), text(5))
    usage = talk.ask(asked)["usage"]
    assert usage["cache_creation"] == {"ephemeral_1h_input_tokens": 5004, "ephemeral_5m_input_tokens": 300}
    assert (usage["cache_creation_input_tokens"], usage["input_tokens"]) == (5304, 5 + END)
    talk.clock.advance(301)  # the five minutes are over, the hour is not
    usage = talk.ask(asked)["usage"]
    assert usage["cache_read_input_tokens"] == 5004
    assert usage["cache_creation"] == {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 300}


def test_7_reading_keeps_an_entry_alive(talk: Talk) -> None:
    asked = user(text(5000, MARK))
    talk.usage(asked)
    for _ in range(3):
        talk.clock.advance(299)
        assert talk.usage(asked) == (5004, 0, END)
    talk.clock.advance(300)
    assert talk.usage(asked) == (0, 5004, END)


def test_8_the_mark_of_the_top_level_is_one_on_the_last_block_that_takes_one(talk: Talk) -> None:
    first = user(text(5000))
    assert talk.usage(first, cache_control=MARK) == (0, 5004, END)
    grown = [first, assistant(text(1)), user(text(10))]
    assert talk.usage(*grown, cache_control=MARK) == (5004, 1 + 4 + 10 + 4, END)
    assert talk.usage(*grown[:2], user(text(10, MARK)), cache_control=MARK) == (5004 + 19, 0, END)


def test_9_a_prewarmed_prompt_is_read_by_the_next_request(talk: Talk) -> None:
    asked = user(text(5000, MARK), text(1))
    message = talk.ask(asked, max_tokens=0)
    assert (message["content"], message["stop_reason"]) == ([], "max_tokens")
    assert (message["usage"]["output_tokens"], message["usage"]["cache_creation_input_tokens"]) == (0, 5004)
    assert talk.usage(asked) == (5004, 0, 1 + END)


@pytest.mark.parametrize(
    ("change", "levels", "more"),
    [
        ({"tool_choice": {"type": "none"}}, "messages", 0),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}, "messages", 29),
        ({"speed": "fast"}, "system", 0),
        ({"model": "claude-sonnet-4-5"}, "tools", 0),
        ({"output_config": {"format": FORMAT}}, "system", 75 + round(0.45 * len(dumps(FORMAT)))),
    ],
)
def test_10_what_changes_for_a_level_leaves_the_levels_before_it(
    talk: Talk, change: dict[str, Any], levels: str, more: int
) -> None:
    tool = {
        "name": "f",
        "description": " ".join(["word"] * 5000),
        "input_schema": {"type": "object"},
        "cache_control": MARK,
    }
    request: dict[str, Any] = {"tools": [tool], "system": [text(100, MARK)]}
    asked = user(text(10, MARK))
    _, written, _ = talk.usage(asked, **request)
    read, again, _ = talk.usage(asked, **request, **change)
    at = {"tools": 0, "system": written - 100 - 14, "messages": written - 14}[levels]
    assert (read, read + again) == (at, written + more)


def test_an_image_anywhere_changes_the_messages_but_not_the_system_prompt(talk: Talk) -> None:
    system = [text(5000, MARK)]
    assert talk.usage(user(text(10, MARK)), system=system) == (0, 5000 + FRAME + 10, END)
    url = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    assert talk.usage(user(text(10, MARK), url), system=system) == (5000, FRAME + 10, 1568 + END)


def test_sessions_do_not_share_a_cache(talk: Talk) -> None:
    asked = user(text(5000, MARK))
    talk.usage(asked)
    assert talk.usage(asked, session="b") == (0, 5004, END)


def test_an_entry_can_be_used_once_its_reply_has_begun() -> None:
    talk = Talk(timing="slow")
    talk._engine.override(talk._engine.sessions.named("a"), time_scale=1.0)  # two seconds to the first event
    asked = user(text(5000, MARK))
    assert talk.usage(asked) == (0, 5004, END)
    talk.clock.advance(1)
    assert talk.usage(asked) == (0, 5004, END)
    talk.clock.advance(2)
    assert talk.usage(asked) == (5004, 0, END)


def test_an_error_writes_nothing() -> None:
    talk = Talk()
    talk._engine.load(loads("name: a\nturns: [{attempts: [{error: 529}, {reply: Yes.}]}]"))
    asked = user(text(5000, MARK))
    with pytest.raises(AssertionError, match="overloaded_error"):
        talk.ask(asked)
    assert talk.usage(asked) == (0, 5004, END)


def test_the_stream_tells_the_same_numbers(talk: Talk) -> None:
    asked = {"model": MODEL, "max_tokens": 100, "messages": [user(text(5000, MARK), text(10))], "stream": True}
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    told = []
    for _ in range(2):
        plan = talk._engine.handle(HttpRequest("POST", "/v1/messages", headers, json.dumps(asked).encode())).plan
        frames = [json.loads(line[6:]) for line in plan.body().splitlines() if line.startswith(b"data: ")]
        start = next(f["message"]["usage"] for f in frames if f["type"] == "message_start")
        end = next(f["usage"] for f in frames if f["type"] == "message_delta")
        counters = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        assert [start[name] for name in counters] == [end[name] for name in counters]
        told.append([start[name] for name in counters])
    assert told == [[10 + END, 0, 5004], [10 + END, 5004, 0]]


def test_octen_tells_only_what_applies() -> None:
    talk = Talk("octen")
    plain = talk.ask(user(text(5000)))["usage"]
    wrote = talk.ask(user(text(5000, MARK)))["usage"]
    read = talk.ask(user(text(5000, MARK)))["usage"]
    assert set(plain) == {"input_tokens", "output_tokens"}
    assert wrote["cache_creation"] == {"ephemeral_5m_input_tokens": 5004, "ephemeral_1h_input_tokens": 0}
    assert "cache_creation" not in read
    assert (read["cache_read_input_tokens"], read["cache_creation_input_tokens"]) == (5004, 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"model": "claude-sonnet-4-5"}, "model_changed"),
        ({"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, "tools_changed"),
        ({"system": [text(10)]}, "system_changed"),
        ({"messages": [user(text(5001, MARK))]}, "messages_changed"),
    ],
)
def test_diagnostics_say_why_the_cache_was_missed(talk: Talk, change: dict[str, Any], reason: str | None) -> None:
    asked = user(text(5000, MARK))
    first = talk.ask(asked, diagnostics={"previous_message_id": None})
    assert first["diagnostics"] == {"cache_miss_reason": None}
    messages = change.pop("messages", [asked, assistant(text(1)), user(text(3, MARK))]) if change else [asked]
    again = talk.ask(*messages, diagnostics={"previous_message_id": first["id"]}, **change)
    found = again["diagnostics"]["cache_miss_reason"]
    assert (found and found["type"]) == reason
    if found:
        assert 0 < found["cache_missed_input_tokens"] <= 5004


def test_diagnostics_of_an_unknown_message(talk: Talk) -> None:
    message = talk.ask(user(text(1)), diagnostics={"previous_message_id": "msg_none"})
    assert message["diagnostics"] == {"cache_miss_reason": {"type": "previous_message_not_found"}}

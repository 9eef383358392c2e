"""Message threads as a client meets them: what it may leave out, and what it is told when it may not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server.engine import threads
from mock_server.engine.engine import Engine
from mock_server.engine.threads import Threads
from mock_server.protocol.errors import ApiError
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

SCRIPT = """
name: tools
when: {prompt: weather}
turns:
  - reply: {type: tool_use, name: f, input: {}}
  - reply: Sunny.
---
name: pause
when: {prompt: search}
turns:
  - reply: [{type: server_tool_use, name: web_search, input: {}}]
    stop_reason: pause_turn
  - reply: [{type: web_search_tool_result, content: []}, Done.]
---
name: chat
turns: [{reply: One.}, {reply: Two.}, {reply: Three.}]
"""
TOOLS = [{"name": "f", "input_schema": {"type": "object"}}, {"type": "web_search_20250305", "name": "web_search"}]


class Client:
    def __init__(self, profile: str = "anthropic") -> None:
        self._engine = Engine(Settings(time_scale=0, seed=1), load_profile(profile))
        self._engine.load(loads(SCRIPT))

    def send(self, thread: dict[str, Any], *said: Any, session: str = "a", **more: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": one} for one in said]
        body = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": messages, "thread": thread, **more}
        headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "anthropic-beta": "message-threads-2026-08-12"}
        http = HttpRequest("POST", "/v1/messages", {**headers, "x-mock-session": session}, json.dumps(body).encode())
        reply: dict[str, Any] = json.loads(self._engine.handle(http).plan.body())
        return reply

    def create(self, *said: Any, **more: Any) -> dict[str, Any]:
        return self.send({"type": "create"}, *said, **more)

    def go_on(self, after: dict[str, Any], *said: Any, **more: Any) -> dict[str, Any]:
        return self.send({"type": "continue", "previous_message_id": after["id"]}, *said, **more)


@pytest.fixture
def client() -> Client:
    return Client()


def text(reply: dict[str, Any]) -> str:
    return str(reply["content"][-1]["text"])


def code(reply: dict[str, Any]) -> str:
    return str(reply["error"]["details"]["error_code"])


def test_each_turn_sends_only_what_is_new(client: Client) -> None:
    first = client.create("a")
    second = client.go_on(first, "b")
    third = client.go_on(second, "c")
    assert [text(reply) for reply in (first, second, third)] == ["One.", "Two.", "Three."]
    assert first["usage"]["input_tokens"] < second["usage"]["input_tokens"] < third["usage"]["input_tokens"]


def test_tools_and_system_stay_those_of_the_create(client: Client) -> None:
    first = client.create("weather", tools=TOOLS, system="Be brief.")
    result = {"type": "tool_result", "tool_use_id": first["content"][0]["id"], "content": "sun"}
    assert text(client.go_on(first, [result])) == "Sunny."


def test_after_a_pause_nothing_need_be_sent(client: Client) -> None:
    first = client.create("search", tools=TOOLS)
    assert first["stop_reason"] == "pause_turn"
    second = client.go_on(first)
    assert (second["content"][0]["tool_use_id"], text(second)) == (first["content"][0]["id"], "Done.")


def test_a_message_is_gone_on_from_once(client: Client) -> None:
    first = client.create("a")
    client.go_on(first, "b")
    refused = client.go_on(first, "c")
    assert (refused["error"]["type"], code(refused)) == ("invalid_request_error", "thread_already_continued")


def test_an_unknown_message(client: Client) -> None:
    refused = client.go_on({"id": "msg_none"}, "a")
    assert (refused["error"]["type"], code(refused)) == ("not_found_error", "thread_not_found")
    first = client.create("a")
    assert code(client.go_on(first, "b", session="b")) == "thread_not_found"  # another session's


def test_what_must_stay_the_same_is_named(client: Client) -> None:
    first = client.create("a", system="Be brief.")
    refused = client.go_on(first, "b", system="Be long.")
    assert code(refused) == "thread_fingerprint_mismatch"
    assert "system" in refused["error"]["message"]
    assert text(client.go_on(first, "b", system="Be brief.")) == "Two."


def test_a_turn_that_failed_can_be_tried_again(client: Client) -> None:
    first = client.create("a")
    assert client.go_on(first, "b", temperature=5)["error"]["type"] == "invalid_request_error"
    assert text(client.go_on(first, "b")) == "Two."


@pytest.mark.parametrize(
    ("thread", "path"),
    [
        ({"type": "fork"}, "thread"),
        ("create", "thread"),
        ({"type": "continue"}, "thread.continue.previous_message_id"),
        ({"type": "continue", "previous_message_id": 5}, "thread.continue.previous_message_id"),
    ],
)
def test_a_wrong_thread(client: Client, thread: Any, path: str) -> None:
    assert client.send(thread, "a")["error"]["message"].startswith(f"{path}:")


def test_what_threads_do_not_take_is_refused_so_that_clients_fall_back(client: Client) -> None:
    refused = client.create("a", cache_control={"type": "ephemeral"})
    assert refused["error"]["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["cache_control"]}


def test_octen_holds_no_threads() -> None:
    assert code(Client("octen").create("a")) == "thread_unsupported_request"


def test_the_oldest_threads_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "MOST_THREADS", 3)
    held = Threads()
    for n in range(5):
        held.keep({"thread": {"type": "create"}, "messages": []}, {"id": str(n), "content": []}, 40)
    with pytest.raises(ApiError):
        held.resume({"thread": {"type": "continue", "previous_message_id": "1"}})
    assert held.resume({"thread": {"type": "continue", "previous_message_id": "2"}})["messages"] == []


@given(st.lists(st.lists(st.text(max_size=5), min_size=1, max_size=3), min_size=1, max_size=6))
def test_what_is_resumed_is_the_conversation_kept_by_hand(turns: list[list[str]]) -> None:
    held, whole, previous = Threads(), list[dict[str, Any]](), None
    for n, said in enumerate(turns):
        thread = {"type": "create"} if previous is None else {"type": "continue", "previous_message_id": previous}
        new = [{"role": "user", "content": one} for one in said]
        body = held.resume({"thread": thread, "messages": new})
        whole += new
        assert body["messages"] == whole
        reply = {"id": f"msg_{n}", "content": [{"type": "text", "text": str(n)}]}
        held.keep(body, reply, len(json.dumps(body)))
        whole.append({"role": "assistant", "content": reply["content"]})
        previous = reply["id"]


def test_a_conversation_that_has_grown_long_is_sent_whole(client: Client) -> None:
    first = client.create("a" + " " * threads.LONGEST)
    refused = client.go_on(first, "b")
    assert (refused["error"]["type"], code(refused)) == ("not_found_error", "thread_not_found")

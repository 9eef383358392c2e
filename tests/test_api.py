"""The server for Python code, over real sockets with the real SDK: what is added, what came, what is asserted."""

import asyncio
import multiprocessing
import pickle
import re
import threading
import time
from typing import Any

import anthropic
import pytest
from httpx2 import TransportError

from mock_server import (
    Incomplete,
    MockServer,
    Request,
    ScenarioError,
    SettingError,
    StillOpen,
    attempts,
    error,
    fault,
    generate,
    prompt,
    reply,
    thinking,
    tool_result,
    tool_use,
)
from mock_server.api.session import Verbs

GET = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def client(server: Any, **more: Any) -> anthropic.Anthropic:
    """An SDK client: to be used in a ``with``, so that no socket is left to the garbage collector."""
    return anthropic.Anthropic(base_url=server.url, api_key=server.api_key, **more)


def ask(server: Any, said: Any = "Hi", max_retries: int = 2, **parameters: Any) -> Any:
    messages = said if isinstance(said, list) else [{"role": "user", "content": said}]
    with client(server, max_retries=max_retries) as one:
        return one.messages.create(
            **{"model": "claude-opus-4-8", "max_tokens": 500, "messages": messages, **parameters}
        )


def said(server: Any, text: Any = "Hi", **parameters: Any) -> str:
    return str(ask(server, text, **parameters).content[0].text)


# -- what it answers --------------------------------------------------------------------------------------------------


def test_what_was_added_last_is_asked_first(anywhere: Verbs) -> None:
    anywhere.add("anything")
    route = anywhere.add("It is sunny.", when=prompt(contains="weather"))

    assert said(anywhere, "How is the weather?") == "It is sunny."
    assert said(anywhere, "Hello") == "anything"
    assert route.called
    assert [call.request.prompt for call in route.calls] == ["How is the weather?"]


def test_a_removed_route_answers_no_more(anywhere: Verbs) -> None:
    anywhere.add("first")
    route = anywhere.add("second")
    route.remove()
    route.remove()

    assert said(anywhere) == "first"
    assert not route.called


def test_a_route_counts_its_own_calls_only_also_under_a_name_used_before(server: MockServer) -> None:
    first = server.add("one", name="same")
    said(server)
    second = server.add("two", name="same")
    said(server)

    assert second.call_count == 1
    assert [call.text for call in second.calls] == ["two"]
    assert first.call_count == 2  # a route goes by its name


def test_blocks_answers_and_dictionaries_say_the_same(anywhere: Verbs) -> None:
    tool = {"type": "tool_use", "name": "get_weather", "input": {"city": "Paris"}}
    anywhere.add([thinking("Hm."), "Let me check.", tool], when=prompt("blocks"))
    anywhere.add(reply("cut", stop_reason="max_tokens"), when=prompt("answer"))
    anywhere.add({"reply": ["dict"], "stop_reason": "refusal"}, when={"prompt": "dictionary"})

    message = ask(anywhere, "blocks", tools=[GET])
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    assert ask(anywhere, "answer").stop_reason == "max_tokens"
    assert ask(anywhere, "dictionary").stop_reason == "refusal"


def test_a_script_answers_independent_calls_in_order_and_errors_are_retried(anywhere: Verbs) -> None:
    route = anywhere.script("a", "b", error(529), "c")

    assert [said(anywhere, f"call {n}") for n in range(3)] == ["a", "b", "c"]
    assert [call.status for call in route.calls] == [200, 200, 529, 200]


def test_after_an_error_a_call_that_is_no_retry_gets_the_next_reply_too(server: MockServer) -> None:
    server.script(error(429), "after")
    with pytest.raises(anthropic.RateLimitError):
        ask(server, "one", max_retries=0)
    assert said(server, "two") == "after"


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own back-off after a broken connection, which no header can shorten, without the half second."""
    monkeypatch.setattr("anthropic._base_client.INITIAL_RETRY_DELAY", 0.001)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(
    "first",
    [error(529), *(reply("x", fault=fault) for fault in ("empty_response", "html_error", "disconnect", "reset"))],
)
def test_what_breaks_a_reply_of_a_script_is_a_failed_attempt_like_an_error(anywhere: Verbs, first: Any) -> None:
    anywhere.script(first, "ok", "then")
    assert [said(anywhere, text) for text in ("one", "two")] == ["ok", "then"]
    assert anywhere.journal[1].request.headers["x-stainless-retry-count"] == "1"


def test_the_page_of_a_proxy_names_a_time_too(server: MockServer) -> None:
    server.script(reply("x", fault="html_error"), "ok")
    assert said(server) == "ok"
    assert server.journal[0].headers["retry-after-ms"] == "1"


def test_a_broken_stream_of_a_script_is_one_too_for_whoever_asks_again(server: MockServer) -> None:
    server.script(reply("One two three", fault=fault("disconnect", after=2)), "ok")

    def streamed() -> str:
        asked = [{"role": "user", "content": "Hi"}]
        with client(server) as one, one.messages.stream(model="claude-opus-4-8", max_tokens=9, messages=asked) as got:
            return str(got.get_final_text())

    with pytest.raises(Exception, match="peer closed connection"):
        streamed()
    assert streamed() == "ok"


@pytest.mark.usefixtures("quick_retries")
def test_attempts_answer_the_tries_of_one_request(anywhere: Verbs) -> None:
    anywhere.script(attempts(reply("x", fault="empty_response"), error(529), "ok"), "then")
    assert [said(anywhere, text) for text in ("one", "two", "one")] == ["ok", "then", "ok"]
    anywhere.add(attempts(error(529), ["Hi ", {"type": "text", "text": "there"}]), when=prompt("list"))
    assert len(ask(anywhere, "list").content) == 2


def test_an_attempt_may_be_a_function(server: MockServer) -> None:
    server.add(attempts(error(529), lambda request: request.prompt.upper()))
    assert said(server, "shout") == "SHOUT"


def test_the_same_request_again_keeps_its_turn_of_a_script(anywhere: Verbs) -> None:
    anywhere.script("a", "b")
    assert [said(anywhere, text) for text in ("x", "x", "y", "x")] == ["a", "a", "b", "a"]


def test_a_conversation_is_answered_by_its_position(anywhere: Verbs) -> None:
    anywhere.conversation("Hello!", tool_use("get_weather", {"city": "Oslo"}), "Cold.")
    talk: list[Any] = [{"role": "user", "content": "Hi"}]
    for more in ("Oslo?", None):
        message = ask(anywhere, talk, tools=[GET])
        talk.append({"role": "assistant", "content": message.to_dict()["content"]})
        calls = [block for block in message.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "-3"} for call in calls]
        talk.append({"role": "user", "content": results or more})

    assert said(anywhere, talk, tools=[GET]) == "Cold."


def test_retryable_errors_are_retried_at_once(anywhere: Verbs) -> None:
    anywhere.script(error(529), error("rate_limit_error"), "third time lucky")
    began = time.monotonic()
    assert said(anywhere) == "third time lucky"
    assert anywhere.journal[0].headers["retry-after-ms"] == "1"
    assert time.monotonic() - began < 5  # the SDK's own pauses are 0.5 s and more, twice


def test_an_error_that_names_a_time_or_is_final_is_left_as_it_is(anywhere: Verbs) -> None:
    anywhere.script(error(429, retry_after="2s"), error(400), error(529, should_retry=False))
    for n in range(3):
        with pytest.raises(anthropic.APIStatusError):
            ask(anywhere, str(n), max_retries=0)
    assert [one.headers.get("retry-after-ms") for one in anywhere.journal] == [None, None, "1"]
    assert anywhere.journal[0].headers["retry-after"] == "2"


def test_a_generated_reply_honours_the_request(server: MockServer) -> None:
    server.add(generate(tokens=12), when=prompt("short"))
    server.add(generate(), when=prompt("tool"))

    assert 5 <= ask(server, "short").usage.output_tokens <= 12
    called = ask(server, "tool", tools=[GET], tool_choice={"type": "tool", "name": "get_weather"})
    assert called.stop_reason == "tool_use"
    assert server.journal.last.scenario == "added-2"


def test_scenarios_are_loaded_from_files_and_by_name_from_the_library(anywhere: Verbs, tmp_path: Any) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nwhen: {prompt: mine}\nreply: from a file")
    anywhere.load("hello")
    (route,) = anywhere.load(file)

    assert said(anywhere, "is it mine?") == "from a file"
    assert route.called
    assert anywhere.journal.last.scenario == "mine"
    ask(anywhere, "anything")
    assert anywhere.journal.last.scenario == "hello"


# -- functions --------------------------------------------------------------------------------------------------------


def test_a_function_gives_the_reply_in_a_thread_of_its_own(server: MockServer) -> None:
    threads: list[str] = []

    def upper(request: Request) -> Any:
        threads.append(threading.current_thread().name)
        return request.prompt.upper()

    server.add(upper)
    assert said(server, "shout") == "SHOUT"
    with (
        client(server) as one,
        one.messages.stream(
            model="claude-opus-4-8", max_tokens=50, messages=[{"role": "user", "content": "stream"}]
        ) as stream,
    ):
        assert stream.get_final_text() == "STREAM"
    assert threads == ["mock-server reply"] * 2


def test_an_async_function_runs_on_the_loop_of_the_server(server: MockServer) -> None:
    async def look(request: Request) -> Any:
        await asyncio.sleep(0)
        if request.tool_results:
            return f"It is {request.tool_results[0].text}."
        return tool_use("get_weather", {"city": request.prompt})

    server.add(look)
    message = ask(server, "Rome", tools=[GET])
    (call,) = message.content
    assert call.input == {"city": "Rome"}
    talk = [
        {"role": "user", "content": "Rome"},
        {"role": "assistant", "content": message.to_dict()["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "warm"}]},
    ]
    assert said(server, talk, tools=[GET]) == "It is warm."


def test_a_function_may_give_an_error_or_whole_answers(server: MockServer) -> None:
    server.add(lambda request: error(404, "no such thing"), when=prompt("gone"))
    server.add(lambda request: reply("so far", stop_reason="max_tokens"), when=prompt("long"))

    with pytest.raises(anthropic.NotFoundError, match="no such thing"):
        ask(server, "gone")
    assert ask(server, "long").stop_reason == "max_tokens"


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda request: 1 / 0, "ZeroDivisionError"),
        (lambda request: tool_use("x", request), r"tool_use\(\): expected a mapping, got Request"),
        (lambda request: {"replay": "x"}, "unknown key 'replay' in answer.*did you mean 'reply'"),
        (lambda request: None, "expected"),
    ],
)
def test_a_function_that_fails_is_a_500_that_is_not_retried(server: MockServer, function: Any, text: str) -> None:
    server.add(function)
    with pytest.raises(anthropic.InternalServerError, match=re.compile(text, re.DOTALL)):
        ask(server)
    assert server.journal.total == 1
    assert server.journal.last.exception is server.journal.faults[0]


def test_a_function_that_takes_too_long_is_given_up(server: MockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mock_server.server.app.LATE_LIMIT", 0.05)
    let_go = threading.Event()
    server.add(lambda request: let_go.wait(20))
    with pytest.raises(anthropic.InternalServerError, match="gave no reply within"):
        ask(server)
    let_go.set()


def test_functions_do_not_wait_for_each_other(server: MockServer) -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(request: Request) -> str:
        both.wait()
        return "met"

    server.add(meet)
    answers: list[str] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(said(server, f"{n}"))) for n in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(20)
    assert answers == ["met", "met"]


# -- looking back -----------------------------------------------------------------------------------------------------


def test_an_entry_tells_the_request_the_reply_and_the_events(anywhere: Verbs) -> None:
    anywhere.add(["Hm.", tool_use("get_weather", {"city": "Paris"})])
    with (
        client(anywhere) as one,
        one.messages.stream(
            model="claude-opus-4-8",
            max_tokens=50,
            system="Be brief.",
            metadata={"user_id": "u"},
            tools=[GET],  # type: ignore[list-item]
            messages=[{"role": "user", "content": "Weather?"}],
        ) as stream,
    ):
        final = stream.get_final_message()

    entry = anywhere.journal.last
    request = entry.request
    assert (request.prompt, request.system, request.model) == ("Weather?", "Be brief.", "claude-opus-4-8")
    assert list(request.tools) == ["get_weather"]
    assert request.tools["get_weather"]["input_schema"]["type"] == "object"
    assert request.params["metadata"] == {"user_id": "u"}
    assert request.tool_results == ()
    assert entry.reply["id"] == final.id
    assert entry.text == "Hm."
    assert entry.events[0]["type"] == "message_start"
    assert entry.events[-1]["type"] == "message_stop"
    assert (entry.outcome, entry.status, entry.scenario, entry.turn) == ("completed", 200, "added-1", 1)
    assert entry.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert 0 <= entry.duration < 10


def test_an_exchange_is_found_by_the_id_of_its_reply(anywhere: Verbs) -> None:
    """As a message has it, an exception, and a reply that a fault kept from the client."""
    anywhere.add("Hi")
    anywhere.add(error(400), when=prompt("bad"))
    anywhere.add("x", when=prompt("proxy"), fault="html_error")
    message = ask(anywhere, "good")
    with pytest.raises(anthropic.BadRequestError) as refused:
        ask(anywhere, "bad")
    with pytest.raises(anthropic.InternalServerError):
        ask(anywhere, "proxy", max_retries=0)

    assert anywhere.journal.by_request_id(message._request_id).text == "Hi"
    assert anywhere.journal.by_request_id(str(refused.value.request_id)).status == 400
    assert anywhere.journal.by_request_id(str(anywhere.journal[2].request_id)).faults == ("html_error status 502",)
    with pytest.raises(LookupError, match="no exchange has the request id 'req_none'"):
        anywhere.journal.by_request_id("req_none")


def test_keys_are_kept_as_marks_only(anywhere: Verbs) -> None:
    anywhere.add("x")
    ask(anywhere)
    entry = anywhere.journal.last
    kept = str(dict(entry.request.headers))
    assert anywhere.api_key not in kept
    assert re.fullmatch(r"key-[0-9a-f]{8}", entry.key)


def test_a_refused_request_says_why_it_has_no_parts(anywhere: Verbs) -> None:
    with pytest.raises(anthropic.BadRequestError):
        ask(anywhere, max_tokens=-1)
    entry = anywhere.journal.last
    assert entry.status == 400
    assert not entry.unmatched
    with pytest.raises(ValueError, match="was refused"):
        _ = entry.request.prompt
    assert b"claude-opus-4-8" in entry.request.raw


def test_waiting_for_entries_from_another_thread(anywhere: Verbs) -> None:
    anywhere.add("x")
    threading.Timer(0.05, lambda: said(anywhere)).start()
    (entry,) = anywhere.journal.wait_for(1, timeout=10)
    assert entry.outcome == "completed"


def test_waiting_in_vain_says_what_is_still_open(server: MockServer) -> None:
    server.override(time_scale=1)
    server.add("never", timing={"first": "30s"})
    broken: list[Exception] = []

    def ask_in_vain() -> None:
        try:
            ask(server, max_retries=0)
        except anthropic.APIError as gone:
            broken.append(gone)

    came = threading.Event()
    server.journal.subscribe(lambda entry: came.set())
    thread = threading.Thread(target=ask_in_vain, daemon=True)
    thread.start()
    assert came.wait(10)
    with pytest.raises(StillOpen, match=r"expected 1 exchange to end, 0 have\n  still open: POST /v1/messages 'Hi'"):
        server.journal.wait_for(1, timeout=0.05)
    entry = server.journal.last
    assert entry.is_open
    with pytest.raises(StillOpen, match=r"still open: POST /v1/messages 'Hi' .*; waited 0.05 s"):
        entry.wait(timeout=0.05)
    server.stop()
    assert entry.wait().outcome == "ended"
    thread.join(20)
    assert isinstance(broken[0], anthropic.APIConnectionError)
    assert server.journal.last.outcome == "ended"


def test_counts_stay_exact_when_entries_are_dropped_or_the_question_is_an_error(anywhere: Verbs) -> None:
    anywhere.override(journal_entries=3)
    route = anywhere.add("x")
    for n in range(5):
        said(anywhere, f"call {n}")

    assert len(anywhere.journal) == 3
    assert [entry.request.prompt for entry in anywhere.journal] == ["call 2", "call 3", "call 4"]
    assert route.call_count == 5
    anywhere.assert_called(5)
    anywhere.assert_called(5, scenario=route)
    for question in (
        lambda: anywhere.assert_called(1, when=prompt("call 0")),
        lambda: anywhere.journal.find(prompt("call 0")),
        lambda: anywhere.assert_sequence(route),
        lambda: route.calls,
    ):
        with pytest.raises(Incomplete, match="dropped"):
            question()


# -- asserting --------------------------------------------------------------------------------------------------------


def test_a_failed_assertion_shows_the_nearest_requests_and_a_diff(anywhere: Verbs) -> None:
    anywhere.add("x", name="any")
    said(anywhere, "Please translate the following text\ninto French, keeping names.")
    with pytest.raises(AssertionError) as caught:
        anywhere.assert_called(when=prompt(equals="Please translate the following text\ninto German, keeping names."))
    assert (
        str(caught.value)
        == """\
expected at least 1 request with prompt {'equals': 'Please translate the following text\\ninto German, keeping names.'}, got 0
  near: POST /v1/messages 'Please translate the following text into French, keeping na…' -> 200 any turn 1, completed
    prompt: wanted equals 'Please translate the following text\\ninto German, keeping names.', got 'Please translate the following text\\ninto French, keeping names.'
        Please translate the following text
      - into German, keeping names.
      + into French, keeping names.
the journal (1 request):
  1. POST /v1/messages 'Please translate the following text into French, keeping na…' -> 200 any turn 1, completed"""
    )


def test_a_misspelt_scenario_was_not_called_and_that_proves_nothing(anywhere: Verbs) -> None:
    anywhere.add("x", name="weather")
    anywhere.assert_called(0, scenario="weather")
    with pytest.raises(AssertionError, match=r"^no scenario is named 'wether'; did you mean 'weather'\?$"):
        anywhere.assert_called(0, scenario="wether")


def test_assert_called_counts(anywhere: Verbs) -> None:
    anywhere.assert_not_called()
    anywhere.add("x")
    said(anywhere, "one fish")
    said(anywhere, "two fish")

    anywhere.assert_called()
    anywhere.assert_called(2)
    anywhere.assert_called(1, when=prompt("one"))
    anywhere.assert_called(0, when=prompt("red"))
    anywhere.assert_not_called(when=prompt("blue"))
    anywhere.assert_called(2, when=prompt("fish") & ~prompt("red"))
    with pytest.raises(AssertionError, match="expected 3 requests, got 2"):
        anywhere.assert_called(3)


def test_assert_sequence_goes_by_scenarios_and_conditions(anywhere: Verbs) -> None:
    first, second = anywhere.add("1", when=prompt("one")), anywhere.add("2", when=prompt("two"))
    for text in ("one", "between (one)", "two"):
        said(anywhere, text)

    anywhere.assert_sequence(first, second)
    anywhere.assert_sequence(prompt("between"), second.name)
    with pytest.raises(AssertionError, match=r"step 2 was not reached:\n.*ok: .*\n  2\. scenario 'added-1': missing"):
        anywhere.assert_sequence(second, first)


def test_assert_all_used_names_the_turns_that_were_not(anywhere: Verbs) -> None:
    anywhere.add("used", when=prompt("hi"), name="used")
    anywhere.script("a", "b", when=prompt("script"), name="half")
    said(anywhere, "hi")
    said(anywhere, "script")
    with pytest.raises(AssertionError, match=r"never played:\n  'half' turn 2 of 2 \(.*test_api\.py:\d+\)"):
        anywhere.assert_all_used()
    said(anywhere, "script again")
    anywhere.assert_all_used()


def test_an_unmatched_request_comes_with_the_scenario_that_would_match(anywhere: Verbs) -> None:
    anywhere.add("x", when=prompt("something else"), name="other")
    with pytest.raises(anthropic.BadRequestError):
        said(anywhere, "How is the weather in Oslo?")
    with pytest.raises(AssertionError) as caught:
        anywhere.assert_no_unmatched()
    assert "other: prompt: wanted contains 'something else', got 'How is the weather in Oslo?'" in str(caught.value)
    ready = str(caught.value).split("This would match:\n")[1].strip()
    eval(ready, {"mock_server": anywhere})
    assert said(anywhere, "How is the weather in Oslo?") == "…"


def test_requests_that_came_elsewhere_are_counted(anywhere: Verbs) -> None:
    anywhere.add("x")
    with anywhere.session() as session:
        said(anywhere)
        said(anywhere)
        with pytest.raises(AssertionError, match="2 requests came under other keys"):
            session.assert_called()


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_sessions_do_not_see_each_other(anywhere: Verbs) -> None:
    with anywhere.session() as one, anywhere.session() as two:
        one.add("one")
        two.add("two")
        assert (said(one), said(two)) == ("one", "two")
        assert [entry.text for entry in one.journal] == ["one"]
        with pytest.raises(anthropic.BadRequestError, match="No scenario matches"):
            said(anywhere)


def test_a_default_session_sees_clients_with_any_key_until_it_is_closed(anywhere: Verbs) -> None:
    anywhere.add("the server's")
    with anywhere.session(default=True) as session:
        session.add("the session's")
        assert said(anywhere) == "the session's"
    assert said(anywhere) == "the server's"
    with pytest.raises(anthropic.BadRequestError, match="has ended"):
        said(session)


def test_a_session_has_settings_of_its_own(server: MockServer) -> None:
    with server.session() as one:
        one.override(profile="anthropic", seed=3, unmatched="generate")
        first, again = ask(one), ask(one)
        assert first.content[0].text == again.content[0].text
        assert one.journal.last.headers["request-id"]
        one.add("then")
        assert ask(one).usage.service_tier == "standard"
    with pytest.raises(anthropic.BadRequestError):
        said(server)


def test_closing_ends_open_streams_and_counts_them(server: MockServer) -> None:
    session = server.session()
    session.override(time_scale=1)
    session.add("a b c d e f g h", timing={"first": "0ms", "gap": "5s"})
    with (
        client(session) as one,
        one.messages.stream(
            model="claude-opus-4-8", max_tokens=50, messages=[{"role": "user", "content": "x"}]
        ) as stream,
    ):
        events = iter(stream)
        next(events)
        session.close()
        with pytest.raises(TransportError):
            list(events)
    entry = session.journal.last
    assert entry.outcome == "ended"
    assert session.journal.cut == 1
    assert 0 < len(entry.events) < 10


def test_sixteen_threads_of_clients_never_see_another_ones_reply(server: MockServer) -> None:
    wrong: list[str] = []

    def lane(number: int) -> None:
        with server.session() as session:
            session.add(lambda request: f"{number}: {request.prompt}", when=prompt("call"))
            session.script(*(f"{number} script {n}" for n in range(20)), when=prompt("script"))
            with client(session) as one:
                for n in range(20):
                    for text, expected in (
                        (f"script {n}", f"{number} script {n}"),
                        (f"call {n}", f"{number}: call {n}"),
                    ):
                        message = one.messages.create(
                            model="claude-opus-4-8", max_tokens=50, messages=[{"role": "user", "content": text}]
                        )
                        if message.content[0].text != expected:  # type: ignore[union-attr]
                            wrong.append(f"{expected}, got {message.content}")
            if session.journal.total != 40 or session.journal.unmatched:
                wrong.append(f"session {number} saw {session.journal.total} requests")

    threads = [threading.Thread(target=lane, args=(number,)) for number in range(16)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert wrong == []


def test_many_sessions_leave_nothing_behind(server: MockServer) -> None:
    for n in range(300):
        with server.session() as session:
            session.add(f"reply {n}")
    journals = server._runner.engine.journals
    sessions = server._runner.engine.sessions
    assert journals.bytes == 0
    assert len(list(sessions.all())) == 1


# -- the life of a server ---------------------------------------------------------------------------------------------


def test_the_same_in_your_own_loop() -> None:
    async def main() -> str:
        async with MockServer().in_loop() as server:
            server.add("from this loop")
            async with anthropic.AsyncAnthropic(base_url=server.url, api_key="k") as one:
                message = await one.messages.create(
                    model="claude-opus-4-8", max_tokens=9, messages=[{"role": "user", "content": "x"}]
                )
            (entry,) = await server.journal.wait_for_async(1)
            with pytest.raises(StillOpen, match="own loop"):
                server.journal.wait_for(2)
            with server.session() as session:
                assert session.journal.total == 0
            assert entry.text == message.content[0].text  # type: ignore[union-attr]
            return entry.text

    assert asyncio.run(main()) == "from this loop"


def test_an_async_test_may_use_the_thread_too() -> None:
    async def main() -> None:
        async with MockServer() as server:
            server.add("x")
            async with anthropic.AsyncAnthropic(base_url=server.url, api_key="k") as one:
                await one.messages.create(
                    model="claude-opus-4-8", max_tokens=9, messages=[{"role": "user", "content": "x"}]
                )
            assert server.journal.total == 1

    asyncio.run(main())


def test_a_server_that_is_not_running_says_so() -> None:
    server = MockServer()
    for use in (lambda: server.url, lambda: server.add("x"), lambda: server.journal):
        with pytest.raises(RuntimeError, match="was not started"):
            use()
    with server:
        session = server.session()
    for use in (lambda: server.add("x"), lambda: session.add("x"), lambda: server.session()):
        with pytest.raises(RuntimeError, match="has stopped"):
            use()
    with pytest.raises(RuntimeError, match="started before"):
        server.start()
    session.close()
    server.stop()


def test_a_port_that_is_taken_is_told(server: MockServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        MockServer(port=port).start()


def test_a_server_does_not_travel_but_says_what_does(server: MockServer) -> None:
    with pytest.raises(TypeError, match=r"pass it server\.url"):
        pickle.dumps(server)


def in_child(server: MockServer, answers: Any) -> None:
    try:
        server.add("x")
    except RuntimeError as error:
        answers.put(str(error))
    server.stop()
    answers.put(said(server))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_can_talk_to_it_but_not_change_it(server: MockServer) -> None:
    server.add("from the parent")
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=in_child, args=(server, answers))
    child.start()
    assert "only its url is of use" in answers.get(timeout=20)
    assert answers.get(timeout=20) == "from the parent"
    child.join(20)
    assert said(server) == "from the parent"


def test_scenarios_may_be_added_from_any_thread_while_requests_come(server: MockServer) -> None:
    server.add("base")
    stop = threading.Event()

    def add() -> None:
        while not stop.is_set():
            server.add("other", when=prompt("other")).remove()

    adders = [threading.Thread(target=add) for _ in range(4)]
    for one in adders:
        one.start()
    assert [said(server) for _ in range(20)] == ["base"] * 20
    stop.set()
    for one in adders:
        one.join(10)


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda s: s.add("x", wen={"prompt": "y"}), r"test_api\.py:\d+: unknown key 'wen' in scenario; .*'when'\?"),
        (lambda s: s.add("x", when={"promt": "y"}), r"test_api\.py:\d+: unknown key 'promt' in when; .*'prompt'\?"),
        (lambda s: s.add(), "a scenario needs turns, or a reply"),
        (lambda s: s.add(["x"], turns=["y"]), "'reply' beside turns"),
        (lambda s: error("overloded"), r"error\(\): unknown error type 'overloded'; .*'overloaded_error'\?"),
        (lambda s: error(299), "an error status is 400 to 599"),
        (lambda s: prompt(contains=" "), r"prompt\(\): an empty pattern"),
        (lambda s: prompt(regex="("), "not a regular expression"),
        (lambda s: tool_use("x", ["y"]), r"tool_use\(\): expected a mapping, got a list"),
        (lambda s: tool_result(of=3), r"expected text, got a number"),
        (lambda s: reply("x", stop_reason="pause_turn"), "must hold a server tool's block"),
        (lambda s: generate(tokens=0), "tokens is 1 to"),
        (lambda s: s.load("helo"), "no scenario 'helo'.*'hello'"),
        (lambda s: s.load("nowhere.yaml"), "no such file"),
    ],
)
def test_a_wrong_call_fails_there_with_what_is_allowed(server: MockServer, wrong: Any, text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        wrong(server)


def test_wrong_arguments_and_settings_fail_there_too(server: MockServer) -> None:
    with pytest.raises(TypeError, match="either a text or operators"):
        prompt("a", contains="b")
    with pytest.raises(TypeError, match="expected a text, or one of"):
        prompt()
    with pytest.raises(SettingError, match="no setting of a session is named 'port'; known are profile, catalogue"):
        server.override(port=1)
    for bad in ({"profile": "openai"}, {"time_scale": -1}, {"time_scale": True}, {"fast_retries": "perhaps"}):
        with pytest.raises(SettingError):
            server.override(**bad)

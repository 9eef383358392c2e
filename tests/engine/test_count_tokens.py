"""`POST /v1/messages/count_tokens`: what the same request is told as its input later, and no trace of it but a note."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from anthropic.types import MessageTokensCount
from anthropic.types.beta import BetaMessageTokensCount
from conformance.examples import REQUESTS
from conformance.strict import problems

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.verify import count as counted_calls
from mock_server.engine.verify import out_of_sequence
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import parse
from mock_server.scenario.load import library, load

Make = Callable[..., Engine]
PATH = "/v1/messages/count_tokens"
HI: dict[str, Any] = {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "Hello, world"}]}
EDITS = {"anthropic-beta": "context-management-2025-06-27"}


def send(engine: Engine, body: Any, headers: Mapping[str, str] | None = None, path: str = PATH) -> Entry:
    always = {"x-api-key": "test", "anthropic-version": "2023-06-01"}
    return engine.handle(HttpRequest("POST", path, {**always, **(headers or {})}, json.dumps(body).encode()))


def counted(engine: Engine, body: Any, headers: Mapping[str, str] | None = None) -> int:
    entry = send(engine, body, headers)
    assert entry.status == 200, entry.plan.body()
    tokens: int = json.loads(entry.plan.body())["input_tokens"]
    return tokens


def told(engine: Engine, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> int:
    """The input tokens of the reply, from the cache or not, as its start tells them (before results are fed back)."""
    entry = send(engine, {"max_tokens": 4096, **body, "stream": True}, headers, "/v1/messages")
    assert entry.status == 200, entry.plan.body()
    usage = next(iter(entry.planned_events))["message"]["usage"]
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(usage.get(name) or 0 for name in names)


# -- the count ------------------------------------------------------------------------------------------------------

SYSTEM = [{"type": "text", "text": "Be brief. " * 400, "cache_control": {"type": "ephemeral"}}]
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "additionalProperties": False}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
CALLED = [
    {"role": "user", "content": "Look."},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "it"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "There. " * 500}]},
]
BODIES: Mapping[str, dict[str, Any]] = {
    "a text": {},
    "a system prompt": {"system": "Be brief."},
    "a marked system prompt": {"system": SYSTEM},
    "tools": {"tools": [TOOL]},
    "a forced tool": {"tools": [TOOL], "tool_choice": {"type": "any"}},
    "tool results": {"tools": [TOOL], "messages": CALLED},
    "an image": {"messages": [{"role": "user", "content": [IMAGE, {"type": "text", "text": "What is it?"}]}]},
    "an older model": {"model": "claude-haiku-4-5"},
    "thinking": {"model": "claude-opus-4-6", "thinking": {"type": "adaptive"}},
    "a schema": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
}


@pytest.mark.parametrize("profile", ["octen", "anthropic"])
@pytest.mark.parametrize("what", BODIES)
def test_a_count_is_what_the_reply_tells_later(engine: Make, what: str, profile: str) -> None:
    made, body = engine(profile=profile, unmatched="generate"), {**HI, **BODIES[what]}
    first = counted(made, body)
    assert first == told(made, body)
    assert first == told(made, body) == counted(made, body)  # when the cache has it, too


# parameters of a message that are none of a count
OF_REPLIES = {"max_tokens", "stream", "stop_sequences", "temperature", "top_p", "top_k", "metadata", "service_tier",
              "container", "inference_geo", "diagnostics"}  # fmt: skip


@pytest.mark.parametrize("what", REQUESTS)
def test_every_kind_of_request_is_counted_as_it_is_charged(engine: Make, what: str) -> None:
    parameters = {"model": "claude-opus-4-8", "max_tokens": 4096, **REQUESTS[what][0]}
    body = {**HI, **parameters}
    made = engine(profile="anthropic", unmatched="generate")
    assert counted(made, {k: v for k, v in body.items() if k not in OF_REPLIES}) == told(made, body)


def conversation(engine: Engine, name: str) -> Iterator[tuple[dict[str, Any], Entry]]:
    """The requests that play a scenario of the library by name, with what each got, as long as it is a stream."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"[[scenario:{name}]] Go on."}]
    for _ in range(4):
        body = {**HI, "messages": messages}
        entry = send(engine, {**body, "max_tokens": 4096, "stream": True}, path="/v1/messages")
        if not entry.plan.stream:
            return
        entry.end("completed", 0)
        yield body, entry
        content = entry.reply.get("content") or [{"type": "text", "text": "…"}]
        calls = [block["id"] for block in content if block["type"] == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": id, "content": "Done."} for id in calls]
        messages = [*messages, {"role": "assistant", "content": content}, {"role": "user", "content": results or "Go."}]


@pytest.mark.parametrize("name", [one.name for one in load([library()]) if one.name != "long-200k"])
def test_every_request_of_the_library_is_counted_as_it_is_charged(engine: Make, name: str) -> None:
    made = engine(load([library()]), unmatched="generate")
    for body, entry in conversation(made, name):
        answer = entry.exchange.answer
        if answer is None or not answer.usage:  # a scenario may say by hand what is charged
            start = next(iter(parse(entry.plan.whole.body())))  # whatever a fault makes of it
            assert counted(made, body) == start["message"]["usage"]["input_tokens"]


def agent(rounds: int) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
    for n in range(rounds):
        said.append(
            {"role": "assistant", "content": [{"type": "tool_use", "id": f"t{n}", "name": "look", "input": {}}]}
        )
        said.append(
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{n}", "content": "word " * 200}]}
        )
    return said


def test_edits_of_the_context_are_taken_off_and_the_original_is_told(engine: Make) -> None:
    made = engine(profile="anthropic", unmatched="generate")
    clear = {"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 5}}
    plain = {**HI, "tools": [TOOL], "messages": agent(6)}
    edited = {**plain, "context_management": {"edits": [clear]}}

    body = json.loads(send(made, edited, EDITS).plan.body())

    assert body["context_management"] == {"original_input_tokens": counted(made, plain)}
    assert body["input_tokens"] < counted(made, plain)
    assert body["input_tokens"] == told(made, edited, EDITS)
    assert problems(body, BetaMessageTokensCount) == []


def test_edits_that_take_nothing_leave_the_count(engine: Make) -> None:
    made = engine(profile="anthropic")
    body = json.loads(send(made, {**HI, "context_management": {"edits": []}}, EDITS).plan.body())
    assert body["input_tokens"] == body["context_management"]["original_input_tokens"]


@pytest.mark.parametrize("profile", ["octen", "anthropic"])
def test_the_reply_is_of_the_sdks_type(engine: Make, profile: str) -> None:
    entry = send(engine(profile=profile), HI)
    assert problems(json.loads(entry.plan.body()), MessageTokensCount) == []
    assert entry.headers["request-id"].startswith("req_")


def test_a_prompt_that_is_too_long_is_counted_all_the_same(engine: Make) -> None:
    made = engine()
    assert (
        counted(made, {**HI, "model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "word " * 250_000}]})
        > 200_000
    )


# -- what is wrong ---------------------------------------------------------------------------------------------------

USER = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ([], 400, "Input should be a valid dictionary"),
        ({"messages": USER}, 400, "model: Field required"),
        ({"model": "claude-opus-4-8"}, 400, "messages: Field required"),
        ({**HI, "messages": []}, 400, "messages: at least one message is required"),
        ({**HI, "messages": [{"role": "assistant", "content": "Hi"}]}, 400, "This model does not support"),
        ({**HI, "model": "claude-none"}, 404, "model: claude-none"),
        ({**HI, "model": 5}, 400, "model: Input should be a valid string"),
        ({**HI, "max_tokens": 5}, 400, "max_tokens: Extra inputs are not permitted"),
        ({**HI, "stream": False}, 400, "stream: Extra inputs are not permitted"),
        ({**HI, "temperature": 1}, 400, "temperature: Extra inputs are not permitted"),
        ({**HI, "response_format": {}}, 400, "response_format: Extra inputs are not permitted"),
        ({**HI, "thread": {"type": "create"}}, 400, "thread: Extra inputs are not permitted"),
        ({**HI, "context_management": {}}, 400, "context_management: Extra inputs are not permitted"),
        ({**HI, "tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, 400, "tools.0.custom.name"),
        ({**HI, "thinking": {"type": "enabled", "budget_tokens": 5}}, 400, "thinking.enabled.budget_tokens"),
        ({**HI, "output_config": {"effort": "most"}}, 400, "output_config.effort"),
    ],
)
def test_a_count_is_refused_as_the_message_would_be(engine: Make, body: Any, status: int, message: str) -> None:
    entry = send(engine(profile="anthropic"), body)
    assert entry.status == status
    assert entry.reply["error"]["message"].startswith(message)


def test_octen_ignores_the_parameters_of_a_reply_but_not_a_thread(engine: Make) -> None:
    made = engine()
    assert counted(made, {**HI, "max_tokens": 10**9, "temperature": 3, "stream": "yes"}) == counted(made, HI)
    assert send(made, {**HI, "thread": {"type": "create"}}).status == 400


def test_validation_can_be_off_for_counts_too(engine: Make) -> None:
    bad = {**HI, "max_tokens": 5}
    entry = send(engine(profile="anthropic", validation="warn"), bad)
    assert (entry.status, "max_tokens" in entry.headers["x-mock-warning"]) == (200, True)
    assert send(engine(profile="anthropic", validation="off"), {**bad, "model": "claude-none"}).status == 200
    assert send(engine(profile="anthropic", validation="off"), {"model": "m"}).status == 400


# -- what is left behind ----------------------------------------------------------------------------------------------

SCRIPT = """
name: once
when: {prompt: Hello}
times: 1
turns: [{attempts: [{error: overloaded_error}, First.]}]
---
name: second
when: {prompt: Hello}
reply: Second.
"""


def test_a_count_uses_up_nothing(engine: Make, ask: Any) -> None:
    made = engine(SCRIPT, profile="anthropic", rate_limits="requests=1", seed=3)
    for _ in range(50):
        counted(made, HI)
    assert ask(made, "Hello").status == 529  # the first attempt, let in by the limit of one request
    assert ask(made, "Hello").status == 429


def test_a_count_writes_no_cache(engine: Make) -> None:
    made, body = engine(unmatched="generate"), {**HI, "system": SYSTEM}
    counted(made, body)
    usage = send(made, {**body, "max_tokens": 10}, path="/v1/messages").reply["usage"]
    assert usage["cache_creation_input_tokens"] > 0
    assert usage["cache_read_input_tokens"] == 0


def test_the_journal_notes_a_count_and_checks_pass_over_it(engine: Make, ask: Any) -> None:
    made = engine("name: hi\nwhen: {prompt: Hello}\nreply: Hi.")
    ask(made, "Hello")
    counted(made, HI)
    journal = made.sessions.first.journal
    entry = journal.last

    assert (journal.total, journal.unmatched, entry.unmatched, entry.scenario) == (2, 0, False, None)
    assert (entry.note, entry.request.prompt, entry.request.model) == ("count_tokens", "Hello, world", HI["model"])
    assert counted_calls(journal, {"prompt": "Hello"}, None) == 1
    assert out_of_sequence(journal, ["hi", {"prompt": "Hello"}], 0) is not None
    assert journal.find({"prompt": "Hello"}) == (journal[0],)
    assert "count_tokens" in str(entry)

"""What a prompt costs, whether it fits the window, and what `validation` makes of a request that breaks a rule."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manualclock import ManualClock

from mock_server.engine.cache import prefix
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol.profile import Model, Profile
from mock_server.protocol.request import HttpRequest, MessagesRequest
from mock_server.protocol.signing import SIGNATURE
from mock_server.protocol.tokens import CLOSING, TokenCounter, input_tokens
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

PROFILES = {name: load_profile(name) for name in ("octen", "anthropic")}


def cost(content: Any, model: str = "claude-haiku-4-5", **more: Any) -> int:
    """The input tokens of one user message, without its framing of 7."""
    known = PROFILES["anthropic"].model(model)
    assert known is not None
    request = MessagesRequest({"messages": [{"role": "user", "content": content}], **more})
    return input_tokens(request, known, TokenCounter()) - 7


def png(width: int, height: int) -> dict[str, Any]:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def test_text_costs_the_one_estimate_times_the_models_factor() -> None:
    assert cost("word " * 100 + "word") == 101
    assert cost("word " * 100 + "word", "claude-opus-4-8") == 131


@pytest.mark.parametrize(
    ("width", "height", "model", "tokens"),
    [
        (28, 28, "claude-haiku-4-5", 1),
        (280, 280, "claude-haiku-4-5", 100),
        (29, 28, "claude-haiku-4-5", 2),
        (1568, 784, "claude-haiku-4-5", 56 * 28),
        (3136, 1568, "claude-haiku-4-5", 56 * 28),  # scaled down to a side of 1568
        (1568, 1568, "claude-haiku-4-5", 39 * 39),  # scaled down until it fits 1568 tokens
        (3136, 1568, "claude-opus-4-8", 92 * 46),  # scaled down to a side of 2576
        (8000, 8000, "claude-opus-4-8", 69 * 69),
    ],
)
def test_images_by_the_published_formula(width: int, height: int, model: str, tokens: int) -> None:
    assert cost([png(width, height)], model) == tokens


def test_a_pdf_costs_by_its_pages() -> None:
    data = base64.b64encode(b"%PDF-1.7" + b"<< /Type /Page >>" * 3).decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    assert cost([{"type": "document", "source": source}]) == 3 * 1600


@pytest.mark.parametrize(
    ("model", "offered", "forced"),
    [("claude-opus-5", 286, 406), ("claude-opus-4-7", 675, 804), ("claude-sonnet-4-5", 496, 588)],
)
def test_tools_bring_the_hidden_prompt_of_the_model(model: str, offered: int, forced: int) -> None:
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    plain = cost("hi", model)
    definition = cost(json.dumps(tools[0], separators=(",", ":")), model)
    for choice, hidden in (({"type": "auto"}, offered), ({"type": "any"}, forced)):
        assert abs(cost("hi", model, tools=tools, tool_choice=choice) - plain - definition - hidden) <= 1


def test_thoughts_count_only_in_the_turn_they_are_of() -> None:
    thought = {"type": "thinking", "thinking": "word " * 99 + "word", "signature": SIGNATURE}
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "ok"}
    model = PROFILES["anthropic"].model("claude-haiku-4-5")
    assert model is not None

    def total(*content: Any) -> int:
        roles = ("user", "assistant") * 3
        messages = [{"role": role, "content": one} for role, one in zip(roles, content, strict=False)]
        return input_tokens(MessagesRequest({"messages": messages}), model, TokenCounter())

    loop = ("q", [thought, call], [result])
    assert total(*loop) - total("q", [call], [result]) == 100
    over = (*loop, "done", "and?")
    assert total(*over) == total("q", [call], [result], "done", "and?")


MODEL = Model(id="m", token_factor=1.3, thinking_tokens=29)
GREEN = {"type": "text", "media_type": "text/plain", "data": "Grass is green."}
BLOCKS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, st.text(min_size=1, max_size=30)),
    st.builds(lambda text: {"type": "tool_result", "tool_use_id": "t", "content": text}, st.text(max_size=30)),
    st.just({"type": "thinking", "thinking": "hm", "signature": SIGNATURE}),
    st.just({"type": "image", "source": {"type": "url", "url": "u"}}),
    st.builds(lambda on: {"type": "document", "source": GREEN, "citations": {"enabled": on}}, st.booleans()),
)
TOOLS = st.sampled_from(
    [{"name": "f", "input_schema": {"type": "object"}}, {"type": "memory_20250818", "name": "memory"}]
)
ASKED = st.sampled_from(
    [
        {},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
    ]
)


@given(
    system=st.none() | st.text(min_size=1, max_size=20),
    tools=st.lists(TOOLS, max_size=2),
    turns=st.lists(st.lists(BLOCKS, min_size=1, max_size=3), min_size=1, max_size=4),
    asked=ASKED,
)
def test_the_prefix_adds_up_to_the_input_tokens(system: Any, tools: Any, turns: Any, asked: Any) -> None:
    roles = ("user", "assistant") * 2
    messages = [{"role": role, "content": content} for role, content in zip(roles, turns, strict=False)]
    request = MessagesRequest({"messages": messages, "tools": tools, "system": system, **asked})
    counter = TokenCounter()
    steps = prefix(request, MODEL, counter).steps
    assert steps[-1].tokens + CLOSING == input_tokens(request, MODEL, counter)
    assert [step.tokens for step in steps] == sorted(step.tokens for step in steps)


# -- the window, and what validation lets pass -----------------------------------------------------------------------


def ask(profile: str | Profile = "anthropic", script: str = "name: a\nreply: " + "word " * 60, **more: Any) -> Entry:
    given = {name: more.pop(name) for name in ("validation", "unknown_parameters") if name in more}
    emulated = PROFILES[profile] if isinstance(profile, str) else profile
    engine = Engine(Settings(time_scale=0, seed=1, **given), emulated, ManualClock())
    engine.load(loads(script) if script else ())
    body = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **more}
    body = {name: value for name, value in body.items() if value is not ...}
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    return engine.handle(HttpRequest("POST", "/v1/messages", headers, json.dumps(body).encode()))


def said(entry: Entry) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(entry.exchange.plan.body())
    return message


def test_a_prompt_longer_than_the_window_is_refused() -> None:
    entry = ask(messages=[{"role": "user", "content": "word " * 200_000}])
    assert said(entry)["error"]["message"] == "prompt is too long: 200008 tokens > 200000 maximum"


def test_a_reply_ends_where_the_window_is_full() -> None:
    message = said(ask(messages=[{"role": "user", "content": "word " * 199_982 + "word"}]))
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("model_context_window_exceeded", 10)
    assert message["usage"]["input_tokens"] == 199_990


def test_a_prompt_and_its_reply_longer_than_the_window_are_refused_where_the_model_says_so(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "extends: anthropic\nmodels: [{id: claude-old, like: claude-haiku-4-5-20251001, over_window: error}]"
    )
    long = [{"role": "user", "content": "word " * 199_982 + "word"}]
    refused = said(ask(load_profile(str(own)), model="claude-old", messages=long, max_tokens=100))
    assert refused["error"]["message"] == (
        "input length and `max_tokens` exceed context limit: 199990 + 100 > 200000, "
        "decrease input length or `max_tokens` and try again"
    )


WRONG = {"temperature": 0.5, "top_p": 0.5}


def test_warn_answers_and_says_in_three_places_what_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    entry = ask(validation="warn", **WRONG)
    assert entry.status == 200
    told = "400 invalid_request_error: `temperature` and `top_p` cannot both be specified"
    assert dict(entry.exchange.plan.headers)["x-mock-warning"].startswith(told)
    assert told in entry.exchange.note
    assert "cannot both be specified" in caplog.text


def test_off_answers_and_says_nothing() -> None:
    entry = ask(validation="off", **WRONG)
    assert (entry.status, entry.exchange.note) == (200, "")
    assert "x-mock-warning" not in dict(entry.exchange.plan.headers)


@pytest.mark.parametrize("validation", ["warn", "off"])
@pytest.mark.parametrize("change", [{"messages": 5}, {"model": ...}, {"messages": [{"role": "user", "content": [{}]}]}])
def test_what_cannot_be_read_is_refused_all_the_same(validation: str, change: dict[str, Any]) -> None:
    assert ask(validation=validation, **change).status == 400


def test_a_function_as_a_reply_is_warned_about_too() -> None:
    entry = ask(validation="warn", messages=[{"role": "user", "content": " "}])
    assert entry.status == 200
    assert "must contain non-whitespace text" in dict(entry.exchange.plan.headers)["x-mock-warning"]


def test_octen_judges_what_it_would_ignore_when_told_to_and_anthropic_the_other_way_round() -> None:
    assert ask("octen", extra=1, **WRONG).status == 200
    refused = said(ask("octen", unknown_parameters="error", extra=1))
    assert refused["error"]["message"] == "extra: Extra inputs are not permitted"
    assert ask("octen", unknown_parameters="error", **WRONG).status == 400
    assert ask("anthropic", unknown_parameters="ignore", extra=1, **WRONG).status == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, width=16) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "role", "content", "text", "id", "name", "input", "tool_use_id", "source", "data", "schema",
                         "media_type", "citations", "cache_control", "ttl", "thinking", "signature", "input_schema", "enabled"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
WORDS = st.sampled_from(["text", "image", "document", "tool_use", "tool_result", "thinking", "server_tool_use", "compaction",
                         "search_result", "web_search_tool_result", "mcp_tool_use", "base64", "ephemeral", "user", "assistant",
                         "enabled", "adaptive", "json_schema", "continue", "web_search_20250305", "octen_search", "any"])  # fmt: skip
NAMES = st.sampled_from(["model", "messages", "max_tokens", "system", "tools", "tool_choice", "thinking", "output_config",
                         "cache_control", "thread", "fallbacks", "context_management", "compaction", "container", "diagnostics",
                         "speed", "metadata", "stop_sequences", "temperature", "mcp_servers", "output_format"])  # fmt: skip


def worded(value: Any, words: Any) -> Any:
    """The same JSON, its texts replaced by words that mean something to the API."""
    if isinstance(value, dict):
        return {key: worded(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [worded(item, words) for item in value]
    return words.draw(WORDS) if isinstance(value, str) else value


@settings(max_examples=400, deadline=None)
@given(
    body=st.dictionaries(NAMES, JSON, max_size=4), validation=st.sampled_from(["strict", "warn", "off"]), data=st.data()
)
def test_no_body_whatever_is_a_fault_of_ours(body: dict[str, Any], validation: str, data: Any) -> None:
    for profile in PROFILES:
        entry = ask(profile, "", validation=validation, **worded(body, data))
        assert entry.status in (200, 400, 404), entry.exchange.plan.body()


@settings(max_examples=200, deadline=None)
@given(content=st.lists(JSON, max_size=3), data=st.data())
def test_no_content_whatever_is_a_fault_of_ours(content: list[Any], data: Any) -> None:
    said = [{"role": "user", "content": worded(content, data)}, {"role": "assistant", "content": worded(content, data)}]
    for validation in ("strict", "off"):
        entry = ask("anthropic", "", validation=validation, messages=[*said, *said[:1]])
        assert entry.status in (200, 400), entry.exchange.plan.body()


VALID: dict[str, Any] = {
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "tools": [
        {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}
    ],
    "messages": [
        {"role": "user", "content": [png(3, 3), {"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": "b"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]},
    ],
}


def shuffled(value: Any, draw: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key], draw) for key in draw(st.permutations(list(value)))}
    return [shuffled(item, draw) for item in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None)
@given(metadata=st.dictionaries(st.just("user_id"), st.text(max_size=50)), data=st.data())
def test_a_valid_request_stays_valid_in_any_order_and_with_any_user(metadata: dict[str, str], data: Any) -> None:
    assert ask(**shuffled({**VALID, "metadata": metadata}, data.draw)).status == 200


# -- what a refusal says, and that it leaves nothing behind ----------------------------------------------------------


def leads_somewhere(path: list[str], body: Any, *, may_be_missing: bool) -> bool:
    """Whether a path leads to a value of the body; the tags of unions stand in it, a missing last key may."""
    here = body
    for at, step in enumerate(path):
        if isinstance(here, dict) and step in here:
            here = here[step]
        elif isinstance(here, list) and step.isdecimal() and int(step) < len(here):
            here = here[int(step)]
        elif at == len(path) - 1 and may_be_missing:
            return True
        elif not isinstance(here, dict) or step not in (here.get("type"), "custom", "pdf"):
            return False
    return True


MUTATIONS = st.sampled_from([None, 5, "x", [], {}, "delete", "extra"])


def mutated(value: Any, path: list[Any], how: Any) -> None:
    """Change one value of a body in place."""
    for step in path[:-1]:
        value = value[step]
    if how == "delete" and isinstance(value, dict):
        del value[path[-1]]
    elif how == "extra" and isinstance(value[path[-1]], dict):
        value[path[-1]]["surplus"] = 1
    else:
        value[path[-1]] = how


def places(value: Any, path: tuple[Any, ...] = ()) -> list[list[Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [[*path, key] for key, _ in inner]
    return found + [place for key, item in inner for place in places(item, (*path, key))]


WHOLE: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 100,
    "metadata": {"user_id": "u"},
    "thinking": {"type": "disabled"},
    "tool_choice": {"type": "auto"},
    "output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}},
    **VALID,
}


@settings(max_examples=400, deadline=None)
@given(data=st.data(), how=MUTATIONS)
def test_every_400_names_a_path_that_is_there_or_one_that_is_missing(data: Any, how: Any) -> None:
    body = json.loads(json.dumps(WHOLE))
    mutated(body, data.draw(st.sampled_from(places(body))), how)
    engine = Engine(Settings(time_scale=0), PROFILES["anthropic"])
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    plan = engine.handle(HttpRequest("POST", "/v1/messages", headers, json.dumps(body).encode())).plan
    if plan.status == 400:
        message = json.loads(plan.body())["error"]["message"]
        path, _, text = message.partition(":")
        named = path.split(".")
        if path.replace(".", "").replace("_", "").isalnum() and named[0] in {*WHOLE, "surplus"}:
            assert leads_somewhere(named, body, may_be_missing="required" in text), message
        else:
            assert "`" in message or "final" in message, message  # says in words what it is about


SIGNING = """
name: thinks
reply: [{type: thinking, thinking: Hm.}, {type: tool_use, name: f, input: {}}]
"""


def test_a_refused_replay_leaves_no_state_behind() -> None:
    engine = Engine(Settings(time_scale=0, seed=1), PROFILES["anthropic"], ManualClock())
    engine.load(loads(SIGNING))
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "anthropic-beta": "message-threads-2026-08-12"}

    def ask(*after: Any, **more: Any) -> Any:
        said = [{"role": "user", "content": "q"}, *after]
        body = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": said, **more}
        return engine.handle(HttpRequest("POST", "/v1/messages", headers, json.dumps(body).encode())).plan

    first = json.loads(ask().body())["content"]
    forged = [{**first[0], "signature": first[0]["signature"][:-4]}, first[1]]
    result = {
        "type": "tool_result",
        "tool_use_id": first[1]["id"],
        "content": "ok",
        "cache_control": {"type": "ephemeral"},
    }
    foreign = {**result, "tool_use_id": "toolu_foreign"}
    session = engine.sessions.default
    before = (str(session.cursors), len(session.cache._entries), len(session.threads._held))
    for content, results in ((forged, [result]), (first, [foreign]), (first, [])):
        said = [
            {"role": "assistant", "content": content},
            {"role": "user", "content": [*results, {"type": "text", "text": "x"}]},
        ]
        assert ask(*said).status == 400
        assert ask(*said, thread={"type": "create"}).status == 400
    assert (str(session.cursors), len(session.cache._entries), len(session.threads._held)) == before

"""The request rules: for each a request that just breaks it, and that the one beside it passes.

Texts are asserted only where somebody has seen them; elsewhere the path before the first colon is.
"""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.protocol import signing
from mock_server.protocol.errors import ApiError
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest, parse
from mock_server.protocol.rules import validate
from mock_server.protocol.rules.parameters import PARAMETERS
from mock_server.protocol.rules.tools import TYPED
from mock_server.scenario.profiles import load_profile

PROFILES = {name: load_profile(name) for name in ("octen", "anthropic")}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
CLOSED = {"type": "object", "additionalProperties": False}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
TEXT = {"type": "text", "text": "hi"}
Q = {"role": "user", "content": "q"}


def talk(*rest: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [Q, *({"role": role, "content": content} for role, content in rest)]}


FETCH = {"type": "web_fetch_20250910", "name": "web_fetch"}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
BETAS = "mcp-client-2025-11-20, context-management-2025-06-27, compact-2026-09-04, message-threads-2026-08-12"
BETAS += ", server-side-fallback-2026-07-01, fallback-credit-2026-07-01, user-profiles-billing-2026-10-01"


def check(change: dict[str, Any], profile: str = "anthropic", **headers: str) -> None:
    """Judge a request of a model that accepts prefill, manual thinking and sampling, changed as told."""
    body = {"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [Q], **change}
    body = {name: value for name, value in body.items() if value is not ...}
    headers = {name.replace("_", "-"): value for name, value in {"anthropic_beta": BETAS, **headers}.items()}
    validate(MessagesRequest(body, headers), PROFILES[profile])


SIGNED = {"type": "thinking", "thinking": "Hm.", "signature": signing.signature("thinking", "Hm.")}
CHANGED = {**SIGNED, "thinking": "Other."}
THEIRS = base64.b64encode(b"\x12\x70" + bytes(range(112))).decode()
PAUSED = {
    "type": "server_tool_use",
    "id": signing.mint("abcdef", signing.stamp("srvtoolu_", "s", 1, "web_search", {"query": "x"})),
    "name": "web_search",
    "input": {"query": "x"},
}
FOUND = {"type": "web_search_result", "title": "T", "url": "u"}
SEALED = {**FOUND, "encrypted_content": signing.signature("web_search_result", "u T")}


def results(of: dict[str, Any], *found: dict[str, Any]) -> dict[str, Any]:
    return {"type": "web_search_tool_result", "tool_use_id": of["id"], "content": list(found)}


# rule, what breaks it, status, how the message begins, what just passes
TABLE: list[tuple[str, dict[str, Any], int, str, dict[str, Any]]] = [
    ("22", {"max_tokens": ...}, 400, "max_tokens: Field required", {}),
    ("23 model", {"model": ...}, 400, "model:", {}),
    ("23 messages", {"messages": ...}, 400, "messages:", {}),
    ("24 text", {"max_tokens": "5x"}, 400, "max_tokens:", {"max_tokens": 5}),
    ("24 fraction", {"max_tokens": 1.5}, 400, "max_tokens:", {"max_tokens": 1.0}),
    ("24 truth", {"max_tokens": True}, 400, "max_tokens:", {}),
    ("25", {"max_tokens": -1}, 400, "max_tokens: must be greater than or equal to 0", {"max_tokens": 0}),
    (
        "26",
        {"max_tokens": 64001},
        400,
        "max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens for claude-haiku-4-5",
        {"max_tokens": 64000},
    ),
    ("28", {"response_format": {}}, 400, "response_format: Extra inputs are not permitted", {"metadata": {}}),
    ("29", {"model": "claude-nope"}, 404, "model: claude-nope", {"model": "claude-haiku-4-5"}),
    (
        "35",
        {"stop_sequences": [""]},
        400,
        "stop_sequences: each stop sequence must be non-empty",
        {"stop_sequences": ["a"]},
    ),
    (
        "36",
        {"stop_sequences": ["\n"]},
        400,
        "stop_sequences: each stop sequence must contain non-whitespace",
        {"stop_sequences": []},
    ),
    ("37", {"stream": "yes"}, 400, "stream:", {"stream": False}),
    ("38", {"service_tier": "gold"}, 400, "service_tier:", {"service_tier": "auto"}),
    ("44", {"messages": []}, 400, "messages:", {}),
    (
        "46 is no rule",
        {"messages": [{"role": "bot", "content": "x"}]},
        400,
        'messages: Unexpected role "bot". Allowed roles are "user" or "assistant"',
        talk(("user", "again")),
    ),
    (
        "47",
        talk(("bot", "x")),
        400,
        'messages: Unexpected role "bot".',
        {**talk(("system", "x")), "model": "claude-opus-4-8"},
    ),
    (
        "50",
        talk(("assistant", ""), ("user", "x")),
        400,
        "messages.1: all messages must have non-empty content except for the optional final assistant message",
        talk(("assistant", "")),
    ),
    (
        "51",
        talk(("user", [{"type": "text", "text": ""}])),
        400,
        "messages: text content blocks must be non-empty",
        talk(("user", [TEXT])),
    ),
    (
        "52",
        talk(("user", [{"type": "text", "text": " \n"}])),
        400,
        "messages: text content blocks must contain non-whitespace text",
        talk(("user", [{"type": "text", "text": " a"}])),
    ),
    ("55", talk(("user", 5)), 400, "messages.1.content: Input should be a valid array", talk(("user", "5"))),
    (
        "56",
        talk(("user", [{"type": "sound"}])),
        400,
        "messages.1.content.0: Input tag 'sound' found using 'type'",
        talk(("user", [TEXT])),
    ),
    ("57", talk(("user", [{"text": "x"}])), 400, "messages.1.content.0.type: Field required", talk(("user", [TEXT]))),
    ("58", talk(("user", [{"type": "text"}])), 400, "messages.1.content.0.text.text:", talk(("user", [TEXT]))),
    (
        "59",
        talk(("assistant", [{**CALL, "text": "x"}])),
        400,
        "messages.1.content.0.tool_use.text: Extra inputs are not permitted",
        talk(("assistant", [{**CALL, "caller": None}]), ("user", [RESULT])),
    ),
    ("62 call", talk(("user", [CALL])), 400, "messages.0:", talk(("assistant", [CALL]), ("user", [RESULT]))),
    ("62 result", talk(("assistant", [RESULT])), 400, "messages.1:", talk(("assistant", [CALL]), ("user", [RESULT]))),
    (
        "63",
        {"tools": [{**TOOL, "name": "a b"}]},
        400,
        "tools.0.custom.name: String should match pattern",
        {"tools": [TOOL]},
    ),
    ("64", {"tools": [TOOL, TOOL]}, 400, "tools: Tool names must be unique.", {"tools": [TOOL, {**TOOL, "name": "g"}]}),
    (
        "65",
        {"tools": [{"type": "function", "name": "f"}]},
        400,
        "tools.0: Input tag 'function' found using 'type' does not match any of the expected tags:",
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ),
    ("67", {"tools": [{"name": "f"}]}, 400, "tools.0.custom.input_schema:", {"tools": [TOOL]}),
    (
        "68 missing",
        {"tools": [{"name": "f", "input_schema": {}}]},
        400,
        "tools.0.custom.input_schema.type:",
        {"tools": [TOOL]},
    ),
    (
        "68 other",
        {"tools": [{"name": "f", "input_schema": {"type": "array"}}]},
        400,
        "tools.0.custom.input_schema.type:",
        {"tools": [TOOL]},
    ),
    (
        "74",
        {"tool_choice": {"type": "any"}},
        400,
        "tool_choice.any may only be specified while providing tools",
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
    ),
    (
        "75",
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}},
        400,
        "Tool 'g' not found in provided tools",
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}},
    ),
    (
        "76",
        {"tools": [TOOL], "tool_choice": {"type": "tool"}},
        400,
        "tool_choice.tool.name:",
        {"tool_choice": {"type": "none"}},
    ),
    (
        "86",
        talk(("assistant", [CALL]), ("user", "never mind")),
        400,
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: t1. Each `tool_use` block "
        "must have a corresponding `tool_result` block in the next message.",
        talk(("assistant", [CALL]), ("user", [RESULT, TEXT])),
    ),
    (
        "86 at the end",
        talk(("assistant", [CALL])),
        400,
        "messages.1: `tool_use` ids were found",
        talk(("assistant", [CALL]), ("user", [RESULT])),
    ),
    (
        "87",
        talk(("assistant", [CALL]), ("user", [TEXT, RESULT])),
        400,
        "messages.1: `tool_use` ids were found",
        talk(("assistant", [CALL]), ("user", [RESULT]), ("user", "reminder")),
    ),
    (
        "88",
        talk(("assistant", "x"), ("user", [RESULT])),
        400,
        "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: t1. Each `tool_result` block must "
        "have a corresponding `tool_use` block in the previous message.",
        talk(("assistant", [CALL]), ("user", [RESULT])),
    ),
    (
        "89",
        talk(("assistant", [CALL]), ("user", [RESULT, RESULT])),
        400,
        "messages.2.content.1: each tool_use must have a single result. Found multiple `tool_result` blocks with id: t1",
        talk(
            ("assistant", [CALL, {**CALL, "id": "t2"}]), ("user", [RESULT]), ("user", [{**RESULT, "tool_use_id": "t2"}])
        ),
    ),
    (
        "90",
        talk(("assistant", [CALL, CALL]), ("user", [RESULT])),
        400,
        "messages.1.content.1: `tool_use` ids must be unique",
        {},
    ),
    (
        "91",
        talk(("assistant", [{**CALL, "id": "a.b"}])),
        400,
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        {},
    ),
    (
        "92",
        talk(("assistant", [{**CALL, "input": "x"}])),
        400,
        "messages.1.content.0.tool_use.input: Input should be a valid dictionary",
        {},
    ),
    (
        "93",
        talk(("assistant", [results(PAUSED)])),
        400,
        f"messages.1.content.0: unexpected `tool_use_id` found in `web_search_tool_result` blocks: {PAUSED['id']}.",
        talk(("assistant", [PAUSED, results(PAUSED)])),
    ),
    (
        "99",
        {"thinking": {"type": "enabled", "budget_tokens": 1023}},
        400,
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
    ),
    (
        "100",
        {"thinking": {"type": "enabled"}},
        400,
        "thinking.enabled.budget_tokens:",
        {"thinking": {"type": "disabled"}},
    ),
    (
        "101",
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 1024},
        400,
        "`max_tokens` must be greater than `thinking.budget_tokens`",
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 1025},
    ),
    ("107", {"thinking": {"type": "deep"}}, 400, "thinking:", {"thinking": {"type": "disabled"}}),
    ("123", {"system": [{"type": "text", "text": ""}]}, 400, "system", {"system": [TEXT]}),
    (
        "141",
        {"output_config": {"effort": "huge"}, "model": "claude-opus-4-8"},
        400,
        "output_config.effort:",
        {"output_config": {"effort": "max"}, "model": "claude-opus-4-8"},
    ),
    (
        "111",
        {
            "model": "claude-opus-4-8",
            **talk(("assistant", [CHANGED, TEXT]), ("user", "x"), ("assistant", "y"), ("user", "z")),
        },
        400,
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        talk(("assistant", [CHANGED, TEXT]), ("user", "x")),
    ),
    (
        "110",
        {"model": "claude-opus-4-8", **talk(("assistant", [CHANGED, TEXT]), ("user", "x"))},
        400,
        "messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified.",
        talk(("assistant", [SIGNED, TEXT]), ("user", "x")),
    ),
    (
        "111 of others",
        talk(("assistant", [{**SIGNED, "signature": "theirs"}, TEXT]), ("user", "x")),
        400,
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        talk(("assistant", [{**SIGNED, "signature": THEIRS}, TEXT]), ("user", "x")),
    ),
    (
        "96",
        talk(("assistant", [PAUSED, results(PAUSED, {**SEALED, "title": "Other"})])),
        400,
        "messages.1.content.1.web_search_tool_result.content.0:",
        talk(("assistant", [PAUSED, results(PAUSED, SEALED)])),
    ),
    (
        "paused input",
        {"tools": [SEARCH], **talk(("assistant", [{**PAUSED, "input": {"query": "y"}}]))},
        400,
        "messages.1.content.0:",
        {"tools": [SEARCH], **talk(("assistant", [{**PAUSED, "caller": None}]))},
    ),
    (
        "paused name",
        {"tools": [SEARCH, FETCH], **talk(("assistant", [{**PAUSED, "name": "web_fetch"}]))},
        400,
        "messages.1.content.0:",
        {"tools": [SEARCH], **talk(("assistant", [PAUSED]))},
    ),
]


@pytest.mark.parametrize(("bad", "status", "begins"), [row[1:4] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_request_that_breaks_a_rule(bad: dict[str, Any], status: int, begins: str) -> None:
    with pytest.raises(ApiError) as caught:
        check(bad)
    assert caught.value.status == status
    assert str(caught.value.message).startswith(begins)


@pytest.mark.parametrize("good", [row[4] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_one_beside_it_passes(good: dict[str, Any]) -> None:
    check(good)


def test_what_differs_in_paused_content_is_named() -> None:
    for key, other in (("input", {"query": "y"}), ("name", "web_fetch")):
        with pytest.raises(ApiError, match=f"its `{key}` differs"):
            check({"tools": [SEARCH, FETCH], **talk(("assistant", [{**PAUSED, key: other}]))})


def test_a_thread_is_refused_in_the_documented_way() -> None:
    with pytest.raises(ApiError) as caught:
        check({"thread": {"type": "create"}}, "octen")
    assert caught.value.details == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


def test_octen_ignores_what_it_does_not_know_and_wants_a_token() -> None:
    check({"response_format": {}}, "octen")
    with pytest.raises(ApiError, match=r"^max_tokens:"):
        check({"max_tokens": 0}, "octen")


LEGAL: dict[str, Any] = {
    "temperature": 0.5, "top_p": 0.5, "top_k": 5, "service_tier": "auto", "container": {"id": "c"}, "inference_geo": "us",
    "speed": "fast", "diagnostics": {}, "mcp_servers": [], "context_management": {"edits": []}, "compaction": {},
    "fallbacks": "default", "fallback_credit_token": "t", "billing_policy": {"type": "billing_policy"},
    "output_format": {"type": "json_schema", "schema": {"foo": "bar"}}, "cache_control": {"type": "ephemeral", "ttl": "1h"},
    "metadata": {"user_id": "u"}, "output_config": {"format": {"type": "json_schema", "schema": {"foo": "bar"}}},
}  # fmt: skip


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", LEGAL)
def test_every_parameter_of_the_api_is_accepted(name: str, profile: str) -> None:
    thinking = {"thinking": {"type": "disabled"}}
    check({**thinking, name: LEGAL[name]}, profile)
    check({**thinking, name: None}, profile)


def test_no_parameter_is_forgotten_here() -> None:
    tested = {
        *LEGAL,
        "model",
        "messages",
        "max_tokens",
        "system",
        "stream",
        "stop_sequences",
        "tools",
        "tool_choice",
        "thinking",
        "thread",
    }
    assert set(PARAMETERS) == tested


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "f", "input_schema": {"type": "object", "properties": {"location": {}}}},
        {"type": "custom", "name": "f", "input_schema": CLOSED, "strict": True, "input_examples": [{}]},
        {"type": "computer_toolset_20260801"},
        {"type": "mcp_toolset", "mcp_server_name": "x"},
    ],
)
def test_odd_but_legal_tools_pass(tool: dict[str, Any]) -> None:
    check({"tools": [tool]})


SCREEN = {"display_width_px": 800, "display_height_px": 600}
# what a tool of some types cannot be without
NEEDED = {
    **dict.fromkeys((type for type in TYPED if type.startswith("computer_2")), SCREEN),
    "advisor_20260301": {"model": "claude-opus-4-8"},
    "mcp_toolset": {"mcp_server_name": "sea"},
}
OFFERED = sorted({*TYPED} - {*PROFILES["anthropic"].refused_tools})


@pytest.mark.parametrize("type", OFFERED)
def test_a_tool_is_judged_by_the_fields_of_its_type(type: str) -> None:
    name = {"name": TYPED[type][0]} if TYPED[type][0] else {}
    check({"tools": [{"type": type, **name, **NEEDED.get(type, {})}]})
    with pytest.raises(ApiError, match=rf"^tools\.0\.{type}\.extra: Extra inputs are not permitted"):
        check({"tools": [{"type": type, **name, **NEEDED.get(type, {}), "extra": 1}]})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["type", "role", "content", "text", "id", "name", "input", "tool_use_id", "thinking", "signature", "source", "a"]
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
TAGS = st.sampled_from(
    ["text", "tool_use", "tool_result", "thinking", "image", "document", "server_tool_use", "web_search_tool_result"]
)
BLOCKS = st.dictionaries(
    st.sampled_from(["text", "id", "name", "input", "content", "tool_use_id", "source", "citations"]), JSON
).flatmap(lambda block: TAGS.map(lambda tag: {"type": tag, **block}))


@settings(max_examples=300, deadline=None)
@given(
    parts=st.dictionaries(st.sampled_from(sorted(PARAMETERS)), JSON, max_size=6),
    content=JSON | st.lists(BLOCKS | JSON, max_size=3),
    role=st.sampled_from(["user", "assistant", "system"]) | JSON,
)
def test_no_body_raises_anything_but_the_apis_error(parts: dict[str, Any], content: Any, role: Any) -> None:
    body = {"model": "claude-opus-4-8", "max_tokens": 5, "messages": [Q, {"role": role, "content": content}], **parts}
    for profile in PROFILES.values():
        assert status(json.dumps(body).encode(), profile) in (200, 400, 404)


def status(body: bytes, profile: Profile) -> int:
    """What the rules say of a body; anything but the API's own error goes through."""
    try:
        validate(parse(body), profile)
    except ApiError as error:
        return error.status
    return 200

"""What is sent and what scripts write, so that every kind of reply comes back: tables, no code."""

from collections.abc import Mapping
from typing import Any

CITY: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "input_schema": CITY}
BASH = {"type": "bash_20250124", "name": "bash"}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
OCTEN_SEARCH = {"type": "octen_search", "name": "octen_search"}
FETCH = {"type": "web_fetch_20250910", "name": "web_fetch"}
RUN = {"type": "code_execution_20250522", "name": "code_execution"}
SHELL = {"type": "code_execution_20250825", "name": "code_execution"}
FIND = {"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25"}
FACTS = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "Grass is green in spring. Snow is white."},
    "citations": {"enabled": True},
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FORMAT = {"type": "json_schema", "schema": {**CITY, "additionalProperties": False}}


def _said(*content: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


# a request that no scenario answers -> its parameters, and how the generated reply ends
REQUESTS: Mapping[str, tuple[dict[str, Any], str]] = {
    "text": ({}, "end_turn"),
    "one token": ({"max_tokens": 1}, "max_tokens"),
    "system": ({"system": [{"type": "text", "text": "Be brief."}]}, "end_turn"),
    "history": (
        {
            "messages": [
                *_said({"type": "text", "text": "Hi"}),
                {"role": "assistant", "content": "Hi!"},
                *_said({"type": "text", "text": "And?"}),
            ]
        },
        "end_turn",
    ),
    "image": (
        {
            "messages": _said(
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                {"type": "text", "text": "What?"},
            )
        },
        "end_turn",
    ),
    "cache": ({"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]}, "end_turn"),
    "metadata": ({"metadata": {"user_id": "u-1"}}, "end_turn"),
    "thinking": ({"thinking": {"type": "adaptive"}}, "end_turn"),
    "a thought": (
        {"model": "claude-sonnet-4-6", "max_tokens": 2048, "thinking": {"type": "enabled", "budget_tokens": 1024}},
        "end_turn",
    ),
    "structured output": ({"tools": [BASH, {**WEATHER, "name": "StructuredOutput"}]}, "tool_use"),
    "offered tools": ({"tools": [WEATHER, BASH]}, "end_turn"),
    "a forced tool": ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "get_weather"}}, "tool_use"),
    "any tool": ({"tools": [WEATHER, BASH], "tool_choice": {"type": "any"}}, "tool_use"),
    "a tool of known schema": ({"tools": [BASH], "tool_choice": {"type": "any"}}, "tool_use"),
    "a search": ({"tools": [SEARCH], "tool_choice": {"type": "tool", "name": "web_search"}}, "end_turn"),
    "a fetch": ({"tools": [FETCH], "tool_choice": {"type": "any"}}, "end_turn"),
    "a program": ({"tools": [RUN], "tool_choice": {"type": "any"}}, "end_turn"),
    "a shell": ({"tools": [SHELL], "tool_choice": {"type": "any"}}, "end_turn"),
    "a search for tools": ({"tools": [FIND], "tool_choice": {"type": "any"}}, "end_turn"),
    "documents": ({"messages": _said(FACTS, {"type": "text", "text": "What?"})}, "end_turn"),
    "diagnostics": ({"diagnostics": {"previous_message_id": "msg_none"}}, "end_turn"),
    "speed": ({"speed": "fast", "inference_geo": "us"}, "end_turn"),
    "container": (
        {"container": {"id": "container_1", "skills": [{"skill_id": "pdf", "type": "anthropic"}]}},
        "end_turn",
    ),
    "a call cut short": ({"tools": [WEATHER], "tool_choice": {"type": "any"}, "max_tokens": 3}, "max_tokens"),
    "json": ({"output_config": {"format": FORMAT}}, "end_turn"),
    "json cut short": ({"output_config": {"format": FORMAT}, "max_tokens": 2}, "max_tokens"),
    "stop sequence": ({"stop_sequences": ["e"]}, "stop_sequence"),
}

# the same for the gateway's own tool
OCTEN_REQUESTS: Mapping[str, tuple[dict[str, Any], str]] = {
    "octen's search": (
        {
            "tools": [{**OCTEN_SEARCH, "parameters": {"full_content": {"enable": True}}}],
            "tool_choice": {"type": "tool", "name": "octen_search"},
        },
        "end_turn",
    )
}

# the same with what betas bring, and the header that brings it
BETA_REQUESTS: Mapping[str, tuple[dict[str, Any], str, str]] = {
    "edits": (
        {"context_management": {"edits": [{"type": "clear_thinking_20251015"}]}},
        "end_turn",
        "context-management-2025-06-27",
    ),
    "compaction": ({"compaction": {"type": "summarize"}}, "compaction", "compact-2026-09-04"),
    "fallbacks": ({"fallbacks": "default"}, "end_turn", "server-side-fallback-2026-07-01"),
    "no edits": ({}, "end_turn", "context-management-2025-06-27"),
    "advice": ({}, "end_turn", "advisor-tool-2026-03-01"),
}

PROGRAM = {"type": "server_tool_use", "name": "code_execution", "input": {"code": "print(1)"}}
_PAGE = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "Grass is green."},
    "title": None,
    "citations": {"enabled": True},
}
_CITED = {"cited_text": "grass", "document_index": 0, "document_title": "Facts"}

# the type of a block, and which of its forms -> what a script writes for it
WRITTEN: Mapping[tuple[str, str], dict[str, Any]] = {
    ("text", "plain"): {"text": "Hello."},
    ("text", "cites characters"): {
        "text": "Green.",
        "citations": [{"type": "char_location", **_CITED, "start_char_index": 0, "end_char_index": 5}],
    },
    ("text", "cites pages"): {
        "text": "Green.",
        "citations": [{"type": "page_location", **_CITED, "start_page_number": 1, "end_page_number": 2}],
    },
    ("text", "cites blocks"): {
        "text": "Green.",
        "citations": [{"type": "content_block_location", **_CITED, "start_block_index": 0, "end_block_index": 1}],
    },
    ("text", "cites a search result"): {
        "text": "Green.",
        "citations": [
            {
                "type": "search_result_location",
                "cited_text": "grass",
                "search_result_index": 0,
                "source": "kb",
                "title": None,
                "start_block_index": 0,
                "end_block_index": 1,
            }
        ],
    },
    ("thinking", "plain"): {"thinking": "Well."},
    ("redacted_thinking", "plain"): {},
    ("tool_use", "plain"): {"name": "get_weather", "input": {"city": "Paris", "days": [1, None]}},
    ("tool_use", "of a program"): {
        "name": "get_weather",
        "input": {},
        "caller": {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"},
    },
    ("server_tool_use", "plain"): {"name": "web_search", "input": {"query": "sun"}, "caller": {"type": "direct"}},
    ("web_search_tool_result", "results"): {
        "content": [{"type": "web_search_result", "title": "Sun", "url": "https://example.com/sun", "page_age": None}]
    },
    ("web_search_tool_result", "no results"): {"content": []},
    ("web_search_tool_result", "error"): {
        "content": {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
    },
    ("web_fetch_tool_result", "page"): {
        "content": {"type": "web_fetch_result", "url": "https://example.com", "retrieved_at": None, "content": _PAGE}
    },
    ("web_fetch_tool_result", "error"): {
        "content": {"type": "web_fetch_tool_result_error", "error_code": "url_not_accessible"}
    },
    ("code_execution_tool_result", "output"): {
        "content": {
            "type": "code_execution_result",
            "stdout": "1\n",
            "stderr": "",
            "return_code": 0,
            "content": [{"type": "code_execution_output", "file_id": "file_1"}],
        }
    },
    ("code_execution_tool_result", "error"): {
        "content": {"type": "code_execution_tool_result_error", "error_code": "execution_time_exceeded"}
    },
    ("bash_code_execution_tool_result", "output"): {
        "content": {"type": "bash_code_execution_result", "stdout": "", "stderr": "", "return_code": 1, "content": []}
    },
    ("bash_code_execution_tool_result", "error"): {
        "content": {"type": "bash_code_execution_tool_result_error", "error_code": "output_file_too_large"}
    },
    ("text_editor_code_execution_tool_result", "view"): {
        "content": {
            "type": "text_editor_code_execution_view_result",
            "content": "a",
            "file_type": "text",
            "num_lines": 1,
            "start_line": 1,
            "total_lines": 1,
        }
    },
    ("text_editor_code_execution_tool_result", "error"): {
        "content": {
            "type": "text_editor_code_execution_tool_result_error",
            "error_code": "file_not_found",
            "error_message": None,
        }
    },
    ("tool_search_tool_result", "tools"): {
        "content": {
            "type": "tool_search_tool_search_result",
            "tool_references": [{"type": "tool_reference", "tool_name": "get_weather"}],
        }
    },
    ("tool_search_tool_result", "error"): {
        "content": {
            "type": "tool_search_tool_result_error",
            "error_code": "unavailable",
            "error_message": "Try again later.",
        }
    },
}

CALLED = {"type": "mcp_tool_use", "name": "look", "server_name": "sea", "input": {"depth": 3}}
_LISTED = {"name": "look", "input_schema": {"type": "object"}, "description": "Looks."}
# blocks that only the types of the beta have
BETA_WRITTEN: Mapping[tuple[str, str], dict[str, Any]] = {
    ("mcp_tool_use", "plain"): {"name": "look", "server_name": "sea", "input": {}},
    ("mcp_tool_result", "text"): {"content": [{"type": "text", "text": "Deep.", "citations": None}]},
    ("mcp_tool_result", "error"): {"content": "no such thing", "is_error": True},
    ("mcp_tool_listing", "plain"): {"mcp_server_name": "sea", "tools": [_LISTED]},
    ("container_upload", "plain"): {"file_id": "file_1"},
    ("compaction", "plain"): {"content": "They spoke of grass."},
    ("compaction", "encrypted"): {"content": None, "encrypted_content": "abc"},
    ("fallback", "plain"): {"from": {"model": "claude-fable-5"}, "to": {"model": "claude-opus-5"}},
    ("fallback", "with its reason"): {
        "from": {"model": "claude-fable-5"},
        "to": {"model": "claude-opus-5"},
        "trigger": {"type": "refusal", "category": "cyber"},
    },
    ("advisor_tool_result", "advice"): {"content": {"type": "advisor_result", "text": "Wait."}},
    ("advisor_tool_result", "error"): {"error": "overloaded"},
}

# usage that a script sets by hand
USAGE = {
    "input_tokens": 1200,
    "output_tokens": 34,
    "cache_creation_input_tokens": 150,
    "cache_read_input_tokens": 1000,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 50},
    "output_tokens_details": {"thinking_tokens": 4},
    "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 2},
    "service_tier": "priority",
    "inference_geo": "us",
    "speed": "fast",
}

HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
_BODY = b'{"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}'
# a request that is refused -> method, path, headers, body, and the status of the answer
REFUSED: Mapping[str, tuple[str, str, dict[str, str], bytes, int]] = {
    "no key": ("POST", "/v1/messages", {}, _BODY, 401),
    "unknown path": ("POST", "/v1/nope", HEADERS, _BODY, 404),
    "wrong method": ("PUT", "/v1/messages", HEADERS, _BODY, 405),
    "unknown model": ("POST", "/v1/messages", HEADERS, _BODY.replace(b"opus", b"opera"), 404),
    "no JSON": ("POST", "/v1/messages", HEADERS, b"{", 400),
    "a parameter is missing": ("POST", "/v1/messages", HEADERS, _BODY.replace(b"max_tokens", b"most_tokens"), 400),
    "a block is wrong": ("POST", "/v1/messages", HEADERS, _BODY.replace(b'"Hi"', b'[{"type": "text"}]'), 400),
    "nothing matches": ("POST", "/v1/messages", HEADERS, _BODY, 400),
}

# how a script ends its reply, beside what the blocks ask for -> what it writes
ENDINGS: Mapping[str, dict[str, Any]] = {
    "end_turn": {"stop_reason": "end_turn"},
    "tool_use": {"reply": {"type": "tool_use", "name": "get_weather", "input": {}}},
    "pause_turn": {"reply": PROGRAM, "stop_reason": "pause_turn"},
    "max_tokens": {"stop_reason": "max_tokens"},
    "stop_sequence": {"stop_sequence": "END"},
    "model_context_window_exceeded": {"stop_reason": "model_context_window_exceeded"},
    "refusal": {"stop_reason": "refusal"},
    "refusal, no content": {"reply": [], "stop_details": {}},
    "refusal, category": {"stop_details": {"category": "frontier_llm"}},
    "refusal, explanation": {"stop_details": {"explanation": "No."}},
    "generated": {"generate": {"tokens": 5}},
    "counted by hand": {"usage": USAGE},
}

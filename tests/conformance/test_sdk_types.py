"""Every reply, held against the types of the installed SDK as strictly as they are written.

No field they do not know at any depth, no required one missing, no value outside their literals; in whole bodies and
in every event of a stream; for the types of `client.messages` and of `client.beta.messages`, which ask the same path.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, NamedTuple

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from anthropic.types.beta_error_response import BetaErrorResponse
from anthropic.types.shared import ErrorResponse
from anthropic.types.shared.error_details import ErrorDetails
from conformance.replies import Reply, events, reply, walk
from conformance.strict import problems
from pydantic import TypeAdapter

from mock_server.engine import engine as engine_module
from mock_server.engine.endpoints import ENDPOINTS
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol.blocks import BLOCKS
from mock_server.protocol.errors import STATUS, ApiError
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import build, files, library, loads
from mock_server.scenario.model import Scenario

MakeEngine = Callable[..., Engine]
Ask = Callable[..., Entry]
PROFILES = ("octen", "anthropic")
LIBRARY = {scenario.name: scenario for file in files([library()]) for scenario in loads(file.read_text("utf-8"))}

# -- what is sent ---------------------------------------------------------------------------------------------------

WEATHER = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
BASH = {"type": "bash_20250124", "name": "bash"}
SEARCH = {"type": "octen_search", "name": "octen_search"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FORMAT = {"type": "json_schema", "schema": {**WEATHER["input_schema"], "additionalProperties": False}}  # type: ignore[dict-item]


def _said(*content: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


# a request that no scenario answers -> its parameters, and how the generated reply ends
REQUESTS: Mapping[str, tuple[dict[str, Any], str]] = {
    "text": ({}, "end_turn"),
    "one token": ({"max_tokens": 1}, "end_turn"),
    "system": ({"system": [{"type": "text", "text": "Be brief."}]}, "end_turn"),
    "history": (
        {"messages": [*_said({"type": "text", "text": "Hi"}), {"role": "assistant", "content": "Hi!"}, *_said({"type": "text", "text": "And?"})]},
        "end_turn",
    ),
    "image": (
        {"messages": _said({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}, {"type": "text", "text": "What?"})},
        "end_turn",
    ),
    "cache": ({"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]}, "end_turn"),
    "metadata": ({"metadata": {"user_id": "u-1"}}, "end_turn"),
    "thinking": ({"thinking": {"type": "adaptive"}}, "end_turn"),
    "offered tools": ({"tools": [WEATHER, BASH]}, "end_turn"),
    "a forced tool": ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "get_weather"}}, "tool_use"),
    "any tool": ({"tools": [WEATHER, BASH], "tool_choice": {"type": "any"}}, "tool_use"),
    "a tool of known schema": ({"tools": [BASH], "tool_choice": {"type": "any"}}, "tool_use"),
    "the server's own tool": ({"tools": [SEARCH], "tool_choice": {"type": "tool", "name": "octen_search"}}, "end_turn"),
    "a call cut short": ({"tools": [WEATHER], "tool_choice": {"type": "any"}, "max_tokens": 3}, "max_tokens"),
    "json": ({"output_config": {"format": FORMAT}}, "end_turn"),
    "json cut short": ({"output_config": {"format": FORMAT}, "max_tokens": 2}, "max_tokens"),
    "stop sequence": ({"stop_sequences": ["e"]}, "stop_sequence"),
}

_RESULT = {"type": "server_tool_use", "name": "code_execution", "input": {"code": "print(1)"}}
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

JSON = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
_BODY = b'{"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}'
# a request that is refused -> method, path, headers, body, and the status of the answer
REFUSED: Mapping[str, tuple[str, str, dict[str, str], bytes, int]] = {
    "no key": ("POST", "/v1/messages", {}, _BODY, 401),
    "unknown path": ("POST", "/v1/nope", JSON, _BODY, 404),
    "wrong method": ("PUT", "/v1/messages", JSON, _BODY, 405),
    "unknown model": ("POST", "/v1/messages", JSON, _BODY.replace(b"opus", b"opera"), 404),
    "no JSON": ("POST", "/v1/messages", JSON, b"{", 400),
    "a parameter is missing": ("POST", "/v1/messages", JSON, _BODY.replace(b"max_tokens", b"most_tokens"), 400),
    "a block is wrong": ("POST", "/v1/messages", JSON, _BODY.replace(b'"Hi"', b'[{"type": "text"}]'), 400),
    "nothing matches": ("POST", "/v1/messages", JSON, _BODY, 400),
}


# -- the replies ----------------------------------------------------------------------------------------------------


class Client:
    """Asks engines of one profile, and hands back replies taken apart."""

    def __init__(self, profile: str, engine: MakeEngine, ask: Ask) -> None:
        self.profile = profile
        self._engine = engine
        self._ask = ask

    def serving(self, *scenarios: Scenario, **settings: Any) -> Engine:
        return self._engine(scenarios, profile=self.profile, **settings)

    def both(self, what: str, engine: Engine, messages: Any = "Hi", **more: Any) -> Iterator[Reply]:
        """The reply to one request, plain and streamed."""
        for stream in (False, True):
            yield reply(what, self._ask(engine, messages, stream=stream, **more).exchange)

    def walk(self, name: str, *, stream: bool, failing: bool) -> Iterator[Reply]:
        """A scenario of the library to its end."""
        engine, headers = self.serving(LIBRARY[name]), {"x-mock-scenario": name}
        return walk(
            lambda messages: reply(name, self._ask(engine, messages, headers, stream=stream).exchange), failing=failing
        )


def of_the_library(client: Client) -> Iterator[Reply]:
    for name in LIBRARY:
        for stream in (False, True):
            for failing in (False, True):
                yield from client.walk(name, stream=stream, failing=failing)


CUT = ("long-answer", "octen-search", "parallel-tools", "thinking", "tool-use", "web-search")
LENGTHS = (*range(1, 24), 30, 40, 60)


def cut_short(client: Client) -> Iterator[Reply]:
    """Text, thoughts and calls that end after any number of tokens."""
    for name in CUT:
        engine = client.serving(LIBRARY[name])
        for length in LENGTHS:
            what = f"{name} of {length} tokens"
            yield from client.both(what, engine, headers={"x-mock-scenario": name}, max_tokens=length)


def of_every_block(client: Client) -> Iterator[Reply]:
    for (type, form), fields in WRITTEN.items():
        call = [_RESULT] if type.endswith("_tool_result") else []
        scenario = build({"name": "block", "reply": [*call, {"type": type, **fields}]})
        yield from client.both(f"{type} ({form})", client.serving(scenario))
    yield from client.both("usage", client.serving(build({"name": "u", "reply": "Counted by hand.", "usage": USAGE})))


def generated(client: Client) -> Iterator[Reply]:
    engine = client.serving(unmatched="generate")
    for what, (parameters, ending) in REQUESTS.items():
        messages = parameters.get("messages", "Hi")
        rest = {name: value for name, value in parameters.items() if name != "messages"}
        for got in client.both(what, engine, messages, **rest):
            assert (got.exchange.note, got.ending) == ("generated", ending), what
            yield got


def errors(client: Client) -> Iterator[Reply]:
    engine = client.serving()
    for what, (method, path, headers, body, status) in REFUSED.items():
        got = reply(what, engine.handle(HttpRequest(method, path, headers, body)).exchange)
        assert got.status == status, got
        yield got
    for type in STATUS:
        yield reply(type, engine.refuse(ApiError(type)))
        yield from client.both(f"scripted {type}", client.serving(build({"name": "error", "error": type})))
    detailed = {"type": "invalid_request_error", "details": {"error_code": "tool_name_conflict"}}
    yield from client.both("details", client.serving(build({"name": "error", "error": detailed})))
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(engine_module, "_check_version", lambda *_: 1 / 0)
        yield from client.both("a fault of the server", engine)


GROUPS: Mapping[str, Callable[[Client], Iterator[Reply]]] = {
    "library": of_the_library,
    "cut": cut_short,
    "blocks": of_every_block,
    "generated": generated,
    "errors": errors,
}

Replies = Callable[[str, str], list[Reply]]


@pytest.fixture(scope="module")
def replies(engine: MakeEngine, ask: Ask) -> Replies:
    """Every reply of one group in one profile, asked for once."""
    return cache(lambda profile, group: list(GROUPS[group](Client(profile, engine, ask))))


# -- how they are judged --------------------------------------------------------------------------------------------

# the types of `client.messages` and of `client.beta.messages`: a message, an event of a stream, an error
FAMILIES: Mapping[str, tuple[Any, Any, Any]] = {
    "stable": (Message, RawMessageStreamEvent, ErrorResponse),
    "beta": (BetaMessage, BetaRawMessageStreamEvent, BetaErrorResponse),
}


def judged(root: str, value: dict[str, Any], family: str) -> list[str]:
    """The problems of a body or an event; an event's root is its type."""
    message, event, error = FAMILIES[family]
    if root == "ping":  # swallowed by the SDKs before anything is parsed
        return [] if value == {"type": "ping"} else ["ping: unknown field"]
    if root == "error":
        return _judged_error(value, error)
    return problems(value, message if root == "message" else event, root)


def _judged_error(value: dict[str, Any], kind: Any) -> list[str]:
    """The SDK reads `error.details` by itself: the type of the error does not declare them."""
    error = {name: item for name, item in value["error"].items() if name != "details"}
    details = value["error"].get("details")
    told = [] if details is None else problems(details, ErrorDetails, "error.error.details")
    return problems({**value, "error": error}, kind, "error") + told


Told = Callable[[str, str, str], dict[str, str]]


@pytest.fixture(scope="module")
def told(replies: Replies) -> Told:
    """The problems of one group in one profile, as one family sees it: each once, with the first reply that has it."""

    @cache
    def told(profile: str, family: str, group: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for got in replies(profile, group):
            for root, value in got.values:
                for problem in judged(root, value, family):
                    found.setdefault(problem, got.what)
        return found

    return told


class Difference(NamedTuple):
    """What the types do not allow and a reply says all the same: where, and why that is right (or not yet)."""

    profile: str
    problem: str
    why: str


# Documented for the API that is emulated. Sources: protocol notes.
DIFFERENCES = ()
# Mistakes of this server that are yet to be mended.
KNOWN: tuple[Difference, ...] = ()


def expected(profile: str, problem: str) -> bool:
    return any(row.profile == profile and fnmatchcase(problem, row.problem) for row in (*DIFFERENCES, *KNOWN))


each_profile = pytest.mark.parametrize("profile", PROFILES)
each_family = pytest.mark.parametrize("family", FAMILIES)
each_group = pytest.mark.parametrize("group", GROUPS)


@each_profile
@each_family
@each_group
def test_the_sdk_has_a_type_for_everything_that_is_said(profile: str, family: str, group: str, told: Told) -> None:
    surprises = {what: problem for problem, what in told(profile, family, group).items() if not expected(profile, problem)}

    assert surprises == {}

"""Recorded calls through `mock-server import`: the scenario answers its own request with the recorded reply.

The cases of the first table are what recorded traffic had and a replay once got wrong (REC), in small. Equal means every
field that the recording has, ids that the server makes and signatures aside.
"""

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeEngine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mock_server import cli
from mock_server.engine.engine import Engine
from mock_server.protocol.blocks import Text
from mock_server.protocol.message import fold
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps, parse
from mock_server.scenario.imported import differences, scenarios_of
from mock_server.scenario.load import loads
from mock_server.scenario.recordings import MAX_BYTES, NoTranscript, RecordedCall, read
from mock_server.scenario.writing import dump

Body = dict[str, Any]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# -- asking and comparing ---------------------------------------------------------------------------------------------


def imported(said: Any, *flags: str, file: str = "recorded.json", capsys: Any) -> tuple[str, str]:
    """What `mock-server import` writes and what it says beside it, for a file with this in it."""
    data = said if isinstance(said, bytes) else said.encode() if isinstance(said, str) else json.dumps(said).encode()
    Path(file).write_bytes(data)
    code = cli.main(["import", file, *flags])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out, err


def answered(
    engine: Engine, body: Mapping[str, Any], headers: Mapping[str, str] | None = None, *, stream: bool
) -> tuple[int, Body]:
    """Status and reply as an engine gives it to a recorded request, as JSON or folded from a stream."""
    always = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    sent = json.dumps({**body, "stream": stream}).encode()
    plan = engine.handle(HttpRequest("POST", "/v1/messages", {**always, **(headers or {})}, sent)).exchange.plan
    return plan.status, fold(parse(plan.body())) if plan.stream else json.loads(plan.body())


def unlike(recorded: Any, got: Any, path: str = "") -> Iterator[str]:
    """Where a reply is not as recorded; what the recording has not does not count."""
    if isinstance(recorded, dict) and isinstance(got, dict):
        ours = {"id"} if recorded.get("type") in ("message", "tool_use") else set()
        ours |= {"data"} if recorded.get("type") == "redacted_thinking" else {"signature"}
        for key in recorded.keys() - ours:
            if key not in got and recorded[key] is not None:
                yield f"{path}.{key} is missing"
            elif key in got:
                yield from unlike(recorded[key], got[key], f"{path}.{key}")
    elif isinstance(recorded, list) and isinstance(got, list) and len(recorded) == len(got):
        for at, (one, other) in enumerate(zip(recorded, got, strict=True)):
            yield from unlike(one, other, f"{path}[{at}]")
    elif recorded != got:
        yield f"{path} is {got!r}, recorded {recorded!r}"


def asks(*messages: Any, model: str = "claude-haiku-4-5", max_tokens: int = 1024, **more: Any) -> Body:
    """A request: texts are the user's and the assistant's by turns, blocks are theirs, whole messages are as they are."""
    listed = []
    for message in messages:
        role = "assistant" if listed and listed[-1]["role"] == "user" else "user"
        is_whole = isinstance(message, dict) and "role" in message
        listed.append(message if is_whole else {"role": role, "content": message})
    return {"model": model, "max_tokens": max_tokens, **more, "messages": listed}


def says(*content: Any, model: str = "claude-haiku-4-5-20251001", **more: Any) -> Body:
    """A message of the assistant; texts are text blocks."""
    blocks = [{"type": "text", "text": one} if isinstance(one, str) else one for one in content]
    usage = {"input_tokens": 20, "output_tokens": 21, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    calls = any(one["type"] == "tool_use" for one in blocks)
    said = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None, "usage": usage}
    return {"id": "msg_01R", "type": "message", "role": "assistant", "model": model, "content": blocks, **said, **more}


def calls(name: str, id: str, kind: str = "tool_use", **more: Any) -> Body:
    return {"type": kind, "id": id, "name": name, "input": {}, **more}


def gave(id: str, content: str = "ok") -> Body:
    return {"type": "tool_result", "tool_use_id": id, "content": content}


def tool(name: str, **more: Any) -> Body:
    return {"name": name, "input_schema": {"type": "object"}, **more}


LONG = "# Report\n\n" + "\n".join(f"- **Row {n}**: `f_{n}()` → {n * 37 % 101} % (0x{n * 7919:x})" for n in range(20))
DIRECT = {"caller": {"type": "direct"}}
FROM_CODE = {"caller": {"type": "code_execution_20260120", "tool_id": "srvtoolu_01A"}}
RAN = {"type": "code_execution_result", "stdout": "20C", "stderr": "", "return_code": 0, "content": []}
SONNET = {"model": "claude-sonnet-4-6"}
CONTAINER = {"id": "container_01A", "expires_at": "2026-08-19T10:00:00.123456Z", "skills": None}

# name -> request, reply, headers of the request
CASES: dict[str, tuple[Body, Body, dict[str, str]]] = {
    "a prefill": (
        asks("Three trees as JSON, please", "The trees:\n{"),
        says('\n  "trees": ["ash", "elm", "oak"]\n}'),
        {},
    ),
    "parallel calls of MCP tools": (
        asks("list", mcp_servers=[{"type": "url", "name": "gh", "url": "https://example.com/mcp"}]),
        says(
            calls("search", "mcptoolu_01A", "mcp_tool_use", server_name="gh"),
            calls("search", "mcptoolu_01B", "mcp_tool_use", server_name="gh"),
            {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_01A", "is_error": False, "content": []},
            {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_01B", "is_error": True, "content": "rb"},
            "done",
        ),
        {"anthropic-beta": "mcp-client-2025-11-20"},
    ),
    "a search inside a program": (
        asks("nested search", tools=[{"type": "web_search_20260209", "name": "web_search"}], **SONNET),
        says(
            calls("code_execution", "srvtoolu_01A", "server_tool_use", **DIRECT),
            calls("web_search", "srvtoolu_01B", "server_tool_use", **FROM_CODE),
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01B", "content": [], **FROM_CODE},
            {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_01A", "content": RAN},
            "done",
            container=CONTAINER,
            **SONNET,
        ),
        {},
    ),
    "a stop sequence": (
        asks("Begin the alphabet", stop_sequences=["alpha"]),
        says("It begins with ", stop_reason="stop_sequence", stop_sequence="alpha"),
        {},
    ),
    "tools of the history that are not offered any more": (
        asks("Refund?", [calls("search_tools", "toolu_01x")], [gave("toolu_01x")], tools=[tool("lookup")]),
        says(calls("lookup", "toolu_01y", **DIRECT)),
        {},
    ),
    "cut at its limit, which our count calls longer": (
        asks("Write the report", max_tokens=200),
        says(LONG, stop_reason="max_tokens", usage={"input_tokens": 20, "output_tokens": 200}),
        {},
    ),
    "a citation of nothing": (
        asks("News?", tools=[{"type": "web_search_20250305", "name": "web_search"}]),
        says(
            {
                "type": "text",
                "text": "Some news.",
                "citations": [
                    {
                        "type": "web_search_result_location",
                        "cited_text": "",
                        "url": "https://example.com/",
                        "title": None,
                        "encrypted_index": "Eo8BCioIDBgC",
                    }
                ],
            },
            {"type": "text", "text": " More.", "citations": []},
        ),
        {},
    ),
    "an advisor's result that nobody may read": (
        asks(
            "Ask the advisor",
            tools=[{"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-8"}],
            model="claude-sonnet-5",
        ),
        says(
            calls("advisor", "srvtoolu_01F", "server_tool_use"),
            {
                "type": "advisor_tool_result",
                "tool_use_id": "srvtoolu_01F",
                "content": {
                    "type": "advisor_redacted_result",
                    "encrypted_content": "EsgCCioI",
                    "stop_reason": "end_turn",
                },
            },
            "2",
            model="claude-sonnet-5",
        ),
        {"anthropic-beta": "advisor-tool-2026-03-01"},
    ),
    "two messages of the assistant in a row": (
        asks(
            "Refund?",
            [calls("a", "toolu_01a")],
            {"role": "assistant", "content": [calls("b", "toolu_01b")]},
            {"role": "user", "content": [gave("toolu_01a"), gave("toolu_01b")]},
            tools=[tool("a"), tool("b")],
        ),
        says("Yes, refundable."),
        {},
    ),
    "a call that a program makes": (
        asks(
            "weather?",
            [
                calls("code_execution", "srvtoolu_01A", "server_tool_use", **DIRECT),
                calls("get_weather", "toolu_01B", **FROM_CODE),
            ],
            [gave("toolu_01B", "20C")],
            tools=[
                {"type": "code_execution_20260120", "name": "code_execution"},
                tool("get_weather", allowed_callers=["code_execution_20260120"]),
            ],
            container="container_01A",
            **SONNET,
        ),
        says(
            {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_01A", "content": RAN},
            "It is 20C.",
            container=CONTAINER,
            **SONNET,
        ),
        {},
    ),
    "why it was refused": (
        asks("Something that is refused", model="claude-opus-4-8", max_tokens=9),
        says(
            stop_reason="refusal",
            stop_details={"type": "refusal", "category": "cyber", "explanation": "The request was declined."},
            model="claude-opus-4-8",
        ),
        {},
    ),
    "a refusal that names no category but another model": (
        asks("Something else", model="claude-opus-4-8"),
        says(
            stop_reason="refusal",
            stop_details={"type": "refusal", "category": None, "recommended_model": "claude-sonnet-5"},
            model="claude-opus-4-8",
        ),
        {},
    ),
    "usage, edits and a model of its own": (
        asks("Count", max_tokens=50),
        says(
            "One.",
            model="claude-sonnet-4-6",
            context_management={"applied_edits": []},
            diagnostics={"cache_miss_reason": None},
            usage={
                "input_tokens": 3,
                "output_tokens": 49,
                "output_tokens_details": {"thinking_tokens": 40},
                "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 0},
                "cache_creation_input_tokens": 7,
                "cache_read_input_tokens": 11,
                "server_tool_use": None,
                "service_tier": "priority",
                "inference_geo": "us",
                "iterations": [{"type": "message", "input_tokens": 3, "output_tokens": 49}],
            },
        ),
        {"anthropic-beta": "compact-2026-01-12"},
    ),
    "what looks like a template, or like something to make up": (
        asks("Mail", tools=[tool("mail"), tool("fill")]),
        says(
            "Hello {{ name }}",
            {**calls("mail", "toolu_01m"), "input": {"template": "Dear {{ name }} {% if x %}"}},
            {**calls("fill", "toolu_01n"), "input": {"generate": "valid"}},
        ),
        {},
    ),
    "thoughts": (
        asks("Think", model="claude-opus-4-8", thinking={"type": "adaptive", "display": "summarized"}),
        says(
            {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCkYIBxgCKkA"},
            {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4a" * 4},
            "Done.",
            model="claude-opus-4-8",
        ),
        {},
    ),
    "an assistant's message at the start": (
        asks({"role": "assistant", "content": "How can I help?"}, {"role": "user", "content": "With a poem"}),
        says("Roses."),
        {},
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("case", CASES)
def test_a_recorded_reply_is_said_again(case: str, stream: bool, engine: MakeEngine, capsys: Any) -> None:
    body, reply, headers = CASES[case]
    entry = {"request": {"body": body, "headers": headers}, "reply": {"body": reply}}

    out, err = imported(entry, "--profile", "anthropic", capsys=capsys)

    made = engine(loads(out), profile="anthropic")
    status, got = answered(made, body, headers, stream=stream)
    assert (status, list(unlike(reply, got))) == (200, [])
    assert err == ""


@pytest.mark.parametrize("case", CASES)
def test_its_own_profile_says_it_too(case: str, engine: MakeEngine, capsys: Any) -> None:
    body, reply, headers = CASES[case]

    out, err = imported({"request": {"body": body, "headers": headers}, "response": reply}, capsys=capsys)

    made = engine(loads(out), validation="off", any_model=True)
    assert list(differences(reply, answered(made, body, headers, stream=False)[1])) == []
    assert err == ""


# -- kinds of file ----------------------------------------------------------------------------------------------------

ASKED = asks("What is the weather in Paris?", tools=[tool("get_weather")])
TOLD = says("Let me look.", {**calls("get_weather", "toolu_01w"), "input": {"city": "Paris"}})
ASKED_2 = asks("And a joke, please")
TOLD_2 = says("Ünïcode jokes: 🙂 “…”.", "Second block.")


def sse(reply: Body) -> str:
    """A reply as the API streams it."""
    start = {**reply, "content": [], "stop_reason": None, "usage": {**reply["usage"], "output_tokens": 1}}
    events: list[Body] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(reply["content"]):
        key, delta = ("text", "text_delta") if block["type"] == "text" else ("input", "input_json_delta")
        whole = block["text"] if key == "text" else dumps(block["input"])
        events.append(
            {
                "type": "content_block_start",
                "index": index,
                "content_block": {**block, key: "" if key == "text" else {}},
            }
        )
        for piece in (whole[:3], whole[3:]):
            name = "text" if key == "text" else "partial_json"
            events.append({"type": "content_block_delta", "index": index, "delta": {"type": delta, name: piece}})
        events.append({"type": "content_block_stop", "index": index})
    ends = {"stop_reason": reply["stop_reason"], "stop_sequence": None}
    usage = {"input_tokens": None, "output_tokens": reply["usage"]["output_tokens"]}
    events += [{"type": "message_delta", "delta": ends, "usage": usage}, {"type": "message_stop"}]
    return "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events)


def indented(text: str, by: int) -> str:
    return "".join(" " * by + line + "\n" for line in text.splitlines())


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def vcrpy() -> str:
    """Two calls by vcrpy, the first reply gzipped; and one of something else."""
    return f"""interactions:
- request:
    body: '{json.dumps(ASKED)}'
    headers:
      Content-Type: [application/json]
      anthropic-version: ['2023-06-01']
      x-api-key: [REDACTED]
    method: POST
    uri: https://api.anthropic.com/v1/messages
  response:
    body:
      string: !!binary |
        {b64(gzip.compress(json.dumps(TOLD).encode()))}
    headers: {{Content-Encoding: [gzip], Content-Type: [application/json]}}
    status: {{code: 200, message: OK}}
- request:
    body: '{{"input": "x", "model": "embed"}}'
    headers: {{}}
    method: POST
    uri: https://example.com/v1/embeddings
  response:
    body: {{string: '{{"data": []}}'}}
    headers: {{}}
    status: {{code: 200, message: OK}}
- request:
    body: !!binary |
      {b64(json.dumps(ASKED_2).encode())}
    headers: &id001 {{Accept: ['*/*']}}
    method: POST
    uri: https://api.anthropic.com/v1/messages
  response:
    body:
      string: !!python/unicode '{json.dumps(TOLD_2)}'
    headers: *id001
    status: {{code: 200, message: OK}}
version: 1
"""


def go_vcr() -> str:
    return f"""---
version: 2
interactions:
    - id: 0
      request:
        proto: HTTP/1.1
        content_length: 99
        body: '{json.dumps(ASKED)}'
        form: {{}}
        headers:
            Anthropic-Version: [2023-06-01]
        url: https://api.anthropic.com/v1/messages
        method: POST
      response:
        proto: HTTP/2.0
        body: |
{indented(sse(TOLD), 12)}
        headers:
            Content-Type: [text/event-stream; charset=utf-8]
        status: 200 OK
        code: 200
        duration: 1.22s
    - id: 1
      request: {{body: '{json.dumps(ASKED_2)}', headers: {{}}, url: 'https://api.anthropic.com/v1/messages', method: POST}}
      response: {{body: '{json.dumps(TOLD_2)}', headers: {{}}, status: 200 OK, code: 200}}
"""


def ruby_vcr() -> str:
    return f"""---
http_interactions:
- request:
    method: post
    uri: https://api.anthropic.com/v1/messages
    body:
      encoding: UTF-8
      string: '{json.dumps(ASKED)}'
    headers:
      X-Api-Key:
      - "<KEY>"
  response:
    status:
      code: 200
      message: OK
    headers:
      Content-Type:
      - application/json
    body:
      encoding: ASCII-8BIT
      string: !binary |-
        {b64(json.dumps(TOLD).encode())}
  recorded_at: Tue, 19 Aug 2025 10:00:00 GMT
- request:
    method: post
    uri: https://api.anthropic.com/v1/messages
    body: {{encoding: UTF-8, base64_string: {b64(json.dumps(ASKED_2).encode())}}}
    headers: {{}}
  response:
    status: {{code: 200, message: }}
    headers: {{}}
    body: {{encoding: UTF-8, string: '{json.dumps(TOLD_2)}'}}
recorded_with: VCR 6.3.1
"""


def r_vcr() -> str:
    return f"""http_interactions:
- request:
    method: POST
    uri: https://api.anthropic.com/v1/messages
    body:
      string: '{json.dumps(ASKED)}'
  response:
    status: 200
    headers:
      content-type: application/json
    body:
      string: '{json.dumps(TOLD)}'
  recorded_at: 2026-02-18 10:00:00
- request:
    method: POST
    uri: https://api.anthropic.com/v1/messages
    body:
      string: '{json.dumps(ASKED_2)}'
  response:
    status: {{status_code: 200, message: OK}}
    headers:
      content-encoding: deflate
    body:
      base64_string: {b64(zlib.compress(json.dumps(TOLD_2).encode()))}
recorded_with: VCR-vcr/2.0.0
"""


def har() -> Body:
    def entry(body: Body, content: Body, kind: str) -> Body:
        headers = [{"name": "Content-Type", "value": "application/json"}]
        post = {"mimeType": "application/json", "text": json.dumps(body)}
        request = {
            "method": "POST",
            "url": "https://api.anthropic.com/v1/messages",
            "headers": headers,
            "postData": post,
        }
        return {
            "request": request,
            "response": {"status": 200, "headers": [], "content": {"mimeType": kind, **content}},
        }

    page: Body = {
        "request": {"method": "GET", "url": "https://example.com/", "headers": []},
        "response": {"status": 200, "headers": [], "content": {"mimeType": "text/html", "text": "<html>"}},
    }
    return {
        "log": {
            "version": "1.2",
            "entries": [
                page,
                entry(ASKED, {"text": b64(sse(TOLD).encode()), "encoding": "base64"}, "text/event-stream"),
                entry(ASKED_2, {"text": json.dumps(TOLD_2)}, "application/json"),
            ],
        }
    }


def pairs() -> list[Body]:
    return [
        {"request": ASKED, "response": TOLD},
        {"request": {"body": ASKED_2}, "response": {"body": TOLD_2, "status": 200}},
    ]


def betamax() -> Body:
    def one(body: Body, reply: Body) -> Body:
        told = {"base64_string": b64(gzip.compress(json.dumps(reply).encode())), "encoding": "utf-8", "string": ""}
        return {
            "request": {"body": {"encoding": "utf-8", "string": json.dumps(body)}, "headers": {}, "method": "POST"},
            "response": {"body": {"base64_string": told["base64_string"]}, "status": {"code": 200, "message": "OK"}},
        }

    return {"http_interactions": [one(ASKED, TOLD), one(ASKED_2, TOLD_2)], "recorded_with": "betamax/0.8.1"}


def nock() -> list[Body]:
    def one(body: Body, response: Any, headers: Any) -> Body:
        place = {"scope": "https://api.anthropic.com:443", "method": "POST", "path": "/v1/messages"}
        return {**place, "body": body, "status": 200, "response": response, "rawHeaders": headers}

    packed = gzip.compress(json.dumps(TOLD).encode()).hex()
    return [
        one(ASKED, [packed[:80], packed[80:]], ["Content-Encoding", "gzip"]),
        one(ASKED_2, TOLD_2, {"content-type": "application/json"}),
    ]


KINDS: dict[str, Callable[[], Any]] = {
    "vcrpy": vcrpy,
    "go-vcr": go_vcr,
    "VCR of Ruby": ruby_vcr,
    "vcr of R": r_vcr,
    "HAR": har,
    "a list of requests with their responses": pairs,
    "lines of JSON": lambda: "".join(json.dumps(one) + "\n" for one in pairs()),
    "betamax": betamax,
    "nock": nock,
    "a gzipped list": lambda: gzip.compress(json.dumps(pairs()).encode()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_answers_its_own_requests(kind: str, engine: MakeEngine, capsys: Any) -> None:
    out, err = imported(KINDS[kind](), capsys=capsys)

    made = engine(loads(out), profile="anthropic")
    assert [one.name for one in loads(out)] == ["recorded-what-is-the-weather-in", "recorded-and-a-joke-please"]
    for body, reply in ((ASKED, TOLD), (ASKED_2, TOLD_2)):
        assert list(unlike(reply, answered(made, body, stream=False)[1])) == []
        assert list(unlike(reply, answered(made, body, stream=True)[1])) == []
    left = {
        "vcrpy": "left out line 16: the request holds no messages",
        "HAR": "left out entry 1: the request holds no messages",
    }
    assert err.removeprefix("mock-server: recorded.json: ").strip() == left.get(kind, "")


@pytest.mark.parametrize(
    "said",
    [
        sse(TOLD_2),
        "HTTP/2 200 \r\ncontent-type: text/event-stream\r\n\r\n" + sse(TOLD_2).replace("\n", "\r\n"),
        ": a comment\n\n" + sse(TOLD_2) + "data: [DONE]\n\n",
        TOLD_2,
        [TOLD_2],
        {"custom_id": "a", "result": {"type": "succeeded", "message": TOLD_2}},
        list(parse(sse(TOLD_2).encode())),
    ],
    ids=["stream", "curl -i", "comments", "message", "list of one", "line of a batch", "events"],
)
def test_a_reply_alone_answers_every_request(said: Any, engine: MakeEngine, capsys: Any) -> None:
    out, err = imported(said, file="joke.txt", capsys=capsys)

    made = engine(loads(out), profile="anthropic")
    assert "name: joke\ndescription: 'Imported: 1 reply; no request was recorded.'\nreply: [" in out
    for body in (ASKED, ASKED_2):
        assert (
            list(unlike({**TOLD_2, "model": body["model"] + "-20251001"}, answered(made, body, stream=True)[1])) == []
        )
    assert err == ""


def test_several_replies_alone_come_one_after_the_other(engine: MakeEngine, capsys: Any) -> None:
    out, _ = imported(sse(says("One.")) + sse(says("Two.")), capsys=capsys)

    made = engine(loads(out), profile="anthropic")
    said = [answered(made, asks(prompt), stream=False)[1]["content"][0]["text"] for prompt in ("a", "b", "a")]
    assert said == ["One.", "Two.", "One."]


def test_an_error_alone(engine: MakeEngine, capsys: Any) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}

    out, err = imported(error, capsys=capsys)

    status, got = answered(engine(loads(out), profile="anthropic"), ASKED, stream=False)
    assert (status, got["error"], err) == (529, error["error"], "")


# -- conversations ----------------------------------------------------------------------------------------------------


def pair(body: Body, reply: Any, **more: Any) -> Body:
    return {"request": body, "response": {"body": reply, **more}}


WEATHER = [
    pair(ASKED, TOLD),
    pair(
        asks("What is the weather in Paris?", TOLD["content"], [gave("toolu_01w")], tools=[tool("get_weather")]),
        says("Sun."),
    ),
    pair(
        asks(
            "What is the weather in Paris?",
            TOLD["content"],
            [gave("toolu_01w")],
            "Sun.",
            "Thanks",
            tools=[tool("get_weather")],
        ),
        says("You are welcome."),
    ),
]


def replayed(said: list[Body], made: Engine) -> None:
    """Every call of a list is answered as recorded, in this order and then again from behind."""
    for stream in (False, True):
        for one in said:
            told = one["response"]["body"]
            assert list(unlike(told, answered(made, one["request"], stream=stream)[1])) == []


def test_calls_that_go_on_from_one_another_are_one_scenario(engine: MakeEngine, capsys: Any) -> None:
    out, err = imported(WEATHER, "--name", "weather", capsys=capsys)

    (scenario,) = loads(out)
    assert (scenario.name, len(scenario.turns), scenario.anchor, err) == ("weather", 3, "conversation", "")
    replayed(WEATHER, engine([scenario], profile="anthropic"))
    replayed(WEATHER[::-1], engine([scenario], profile="anthropic"))


def test_a_client_that_drops_thoughts_and_marks_its_prompt_still_goes_on(capsys: Any) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "abc"}
    marked = [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]

    out, _ = imported(
        [pair(asks("Hi"), says(thought, "Hello. ")), pair(asks(marked, "Hello.", "Bye"), says("Bye."))], capsys=capsys
    )

    (scenario,) = loads(out)
    assert [block.type for block in scenario.turns[0].reply or ()] == ["thinking", "text"]


def test_what_an_agent_puts_before_the_prompt_is_no_part_of_it(engine: MakeEngine, capsys: Any) -> None:
    reminder = {"type": "text", "text": "<system-reminder>\nAs you answer, mind the time.\n</system-reminder>"}
    said = [pair(asks([reminder, {"type": "text", "text": "Fix the bug"}, reminder]), says("Done."))]

    out, err = imported(said, capsys=capsys)

    assert ("when: {prompt: Fix the bug}\n" in out, err) == (True, "")
    replayed(said, engine(loads(out), profile="anthropic"))


BRANCHES = [
    *WEATHER,
    pair(
        asks(
            "What is the weather in Paris?", TOLD["content"], [gave("toolu_01w", "rain")], tools=[tool("get_weather")]
        ),
        says("Rain."),
    ),
    pair(asks("What is the weather in Paris?", system="Answer in French."), says("Il fait beau.")),
    pair(asks("What is the weather in Paris?", temperature=0.5), says("Fine.")),
    pair(asks("What is the weather in Paris?", stop_sequences=["x"]), says("Well.")),
    pair(asks("What is the weather in Paris? And in Rome?"), says("Both are fine.")),
    pair(asks(LONG + " one"), says("1")),
    pair(asks(LONG + " two"), says("2")),
    pair(asks("Hi"), says("A.")),
    pair(asks("Hi there"), says("B.")),
]


@pytest.mark.parametrize("said", [BRANCHES, BRANCHES[::-1]], ids=["as recorded", "from behind"])
def test_no_conversation_takes_the_request_of_another(said: list[Body], engine: MakeEngine, capsys: Any) -> None:
    out, err = imported(said, capsys=capsys)

    assert err == ""
    replayed(said, engine(loads(out), profile="anthropic"))


def test_the_same_request_again_is_another_attempt(engine: MakeEngine, capsys: Any) -> None:
    busy = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"}}
    told = {"status": {"code": 429}, "headers": {"Retry-After": ["2"], "x-should-retry": ["true"]}}
    said = [pair(ASKED_2, busy, **told), pair(ASKED_2, says("One.")), pair(ASKED_2, says("Two."))]

    out, err = imported(said, capsys=capsys)

    (scenario,) = loads(out)
    made = engine([scenario], profile="anthropic")
    found = [answered(made, ASKED_2, stream=False) for _ in said]
    assert [(status, got.get("error"), got.get("content")) for status, got in found] == [
        (429, busy["error"], None),
        (200, None, says("One.")["content"]),
        (200, None, says("Two.")["content"]),
    ]
    assert err == ""
    assert "retry_after: 2s, should_retry: true" in out


def test_a_turn_that_paused_twice_for_the_server(engine: MakeEngine, capsys: Any) -> None:
    searching = [{"type": "web_search_20250305", "name": "web_search"}]
    first = [calls("web_search", "srvtoolu_01A", "server_tool_use")]
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01A", "content": []}
    second = [found, calls("web_search", "srvtoolu_01B", "server_tool_use")]
    third = [{**found, "tool_use_id": "srvtoolu_01B"}, {"type": "text", "text": "Nothing."}]
    first_message, second_message = ({"role": "assistant", "content": content} for content in (first, second))
    said = [
        pair(asks("Find it", tools=searching), says(*first, stop_reason="pause_turn")),
        pair(asks("Find it", first_message, tools=searching), says(*second, stop_reason="pause_turn")),
        pair(asks("Find it", first_message, second_message, tools=searching), says(*third)),
        pair(
            asks(
                "Find it",
                first_message,
                second_message,
                {"role": "assistant", "content": third},
                "Thanks",
                tools=searching,
            ),
            says("Any time."),
        ),
    ]

    out, err = imported(said, capsys=capsys)

    (scenario,) = loads(out)
    assert (len(scenario.turns), err) == (4, "")
    replayed(said, engine([scenario], profile="anthropic"))


def test_conversations_without_their_replies(engine: MakeEngine, capsys: Any) -> None:
    """Training data and logs: whole conversations, a list or a line each."""
    talks = [asks("Hi", "Hello.", "Bye", "Good bye.")["messages"], asks("Name a tree", "An ash.")["messages"]]
    for said in (talks, "".join(json.dumps({"messages": one}) + "\n" for one in talks)):
        out, _ = imported(said, capsys=capsys)
        made = engine(loads(out), profile="anthropic")
        assert answered(made, asks("Hi", "Hello.", "Bye"), stream=False)[1]["content"] == says("Good bye.")["content"]
        assert answered(made, asks("Name a tree"), stream=False)[1]["content"] == says("An ash.")["content"]


# -- the limit a reply was said under ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_tokens", "whole", "ends", "output"),
    [
        (200, True, "max_tokens", 200),
        (4096, True, "max_tokens", 200),
        (199, False, "max_tokens", 199),
        (20, False, "max_tokens", 20),
    ],
)
def test_a_smaller_limit_cuts_and_no_other(
    max_tokens: int, whole: bool, ends: str, output: int, engine: MakeEngine, capsys: Any
) -> None:
    body, reply, _ = CASES["cut at its limit, which our count calls longer"]
    out, _ = imported(pair(body, reply), capsys=capsys)

    for stream in (False, True):
        got = answered(engine(loads(out), profile="anthropic"), {**body, "max_tokens": max_tokens}, stream=stream)[1]
        assert (got["content"] == reply["content"], got["stop_reason"]) == (whole, ends)
        assert (got["usage"]["input_tokens"], got["usage"]["output_tokens"]) == (20, output)
        assert LONG.startswith(got["content"][0]["text"])


def test_a_reply_that_ended_by_itself_is_as_long_as_its_usage_says(engine: MakeEngine, capsys: Any) -> None:
    usage = {"input_tokens": 20, "output_tokens": 100, "output_tokens_details": {"thinking_tokens": 60}}
    out, _ = imported(pair(asks("Hi", max_tokens=150), says("One two three four.", usage=usage)), capsys=capsys)
    made = engine(loads(out), profile="anthropic")

    whole = answered(made, asks("Hi", max_tokens=100), stream=False)[1]
    cut = answered(made, asks("Hi", max_tokens=50), stream=False)[1]

    assert (whole["stop_reason"], whole["usage"]["output_tokens"]) == ("end_turn", 100)
    assert (cut["stop_reason"], cut["usage"]["output_tokens"]) == ("max_tokens", 50)
    assert "output_tokens_details" not in cut["usage"]


@pytest.mark.parametrize(("max_tokens", "whole"), [(5, True), (500, True), (4, False)])
def test_a_scenario_written_by_hand_can_say_its_limit(max_tokens: int, whole: bool, engine: MakeEngine) -> None:
    text = "A long text that our count takes for more than five tokens."
    made = engine(f"name: a\nreply: {text}\nmax_tokens: 5\nstop_reason: max_tokens", profile="anthropic")

    got = answered(made, asks("Hi", max_tokens=max_tokens), stream=False)[1]

    assert (got["content"][0]["text"] == text, got["stop_reason"]) == (whole, "max_tokens")
    assert got["usage"]["output_tokens"] == min(max_tokens, 5)


@pytest.mark.parametrize("max_tokens", [1, 5])
def test_a_stop_sequence_in_a_reply_with_a_limit_leaves_no_more_than_the_limit(
    max_tokens: int, engine: MakeEngine
) -> None:
    made = engine("name: a\nreply: One two three four five six END.\nmax_tokens: 5\nstop_reason: max_tokens")
    for stream in (False, True):
        body = asks("Hi", max_tokens=max_tokens, stop_sequences=["END"])
        got = answered(made, body, stream=stream)[1]
        assert got["usage"]["output_tokens"] <= max_tokens


# -- beside a reply ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["octen", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_stands_beside_a_reply_can_be_scripted(profile: str, stream: bool, engine: MakeEngine) -> None:
    made = engine(
        """
        name: a
        reply: Hi
        model: claude-other
        container: {id: container_1, expires_at: "2030-01-01T00:00:00Z"}
        context_management: {applied_edits: [{type: clear_thinking_20251015, cleared_thinking_turns: 1}]}
        diagnostics: {cache_miss_reason: {type: model_changed}}
        input_transformations: [{type: x}]
        stop_details: {category: bio, fallback_has_prefill_claim: true}
        """,
        profile=profile,
        any_model=True,
    )

    got = answered(made, asks("Hi"), stream=stream)[1]

    assert got["model"] == "claude-other"
    assert got["container"] == {"id": "container_1", "expires_at": "2030-01-01T00:00:00Z"}
    assert got["context_management"]["applied_edits"][0]["cleared_thinking_turns"] == 1
    assert got["diagnostics"] == {"cache_miss_reason": {"type": "model_changed"}}
    assert got["input_transformations"] == [{"type": "x"}]
    assert got["stop_details"] == {
        "type": "refusal",
        "category": "bio",
        "explanation": None,
        "fallback_has_prefill_claim": True,
    }


def test_a_stream_tells_the_container_and_the_edits_at_its_end(engine: MakeEngine) -> None:
    made = engine("name: a\nreply: Hi\ncontainer: {id: container_1}\ncontext_management: {applied_edits: []}")
    always = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    body = json.dumps({**asks("Hi"), "stream": True}).encode()

    events = list(parse(made.handle(HttpRequest("POST", "/v1/messages", always, body)).exchange.plan.body()))

    ends = next(one for one in events if one["type"] == "message_delta")
    assert ends["delta"]["container"]["id"] == "container_1"
    assert set(ends["delta"]["container"]) == {"id", "expires_at"}  # what is not written is made
    assert ends["context_management"] == {"applied_edits": []}
    assert "container" not in events[0]["message"]


SAYS_SO = {"type": "message", "role": "assistant", "model": "claude-haiku-4-5", "stop_reason": "tool_use"}
CALLS_T = [{"type": "tool_use", "id": "toolu_1", "name": "t", "input": {"x": 1}}]
OFFERS_T = {"name": "t", "input_schema": {"type": "object", "additionalProperties": False, "properties": {}}}


@pytest.mark.parametrize(
    ("more", "content", "is_meant"),
    [
        ({}, CALLS_T, True),
        ({"tools": [OFFERS_T]}, CALLS_T, False),
        ({"tools": [{**OFFERS_T, "strict": True}]}, CALLS_T, True),
        ({"tools": [OFFERS_T], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, CALLS_T * 2, True),
        ({}, [{"type": "thinking", "thinking": "hm", "signature": "x"}, *CALLS_T], True),
    ],
)
def test_a_recorded_reply_that_contradicts_its_request_was_meant(
    more: Body, content: list[Body], is_meant: bool, engine: MakeEngine, capsys: Any
) -> None:
    body = asks("Hi", **more)
    recorded = {"request": body, "response": {**SAYS_SO, "content": content}}
    text, _ = imported(recorded, capsys=capsys)

    (scenario,) = loads(text)
    assert scenario.turns[0].contradicts == is_meant
    made = engine([scenario], profile="anthropic", contradictions="error")
    status, got = answered(made, body, stream=False)
    assert status == 200
    assert [block["type"] for block in got["content"]] == [block["type"] for block in content]
    assert made.sessions.default.journal.contradicted == 0


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("container: {name: x}", "unknown key 'name' in container"),
        ("container: yes", "expected a container (a mapping), got text"),
        ("context_management: {}", "context_management tells a list of applied_edits"),
        ("max_tokens: 0", "max_tokens is 1 or more"),
        ("usage: {output_token: 3}", "unknown counter 'output_token'"),
        ("model: 3", "expected text, got a number"),
    ],
)
def test_mistakes_in_what_stands_beside_a_reply(key: str, told: str) -> None:
    from mock_server.scenario.node import ScenarioError

    with pytest.raises(ScenarioError, match=r"a\.yaml:3:\d+") as caught:
        loads(f"name: a\nreply: Hi\n{key}\n", "a.yaml")
    assert told in str(caught.value)


# -- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_a_copy_from_the_page_answers_its_own_request(case: str, engine: MakeEngine, capsys: Any) -> None:
    """What the control API gives as `yaml` of an entry: the reply of this server, told as a scenario again."""
    from mock_server.server.control.views import detail

    body, reply, headers = CASES[case]
    served = engine(loads(imported(pair(body, reply), capsys=capsys)[0]), profile="anthropic", validation="off")
    always = {"x-api-key": "k", "anthropic-version": "2023-06-01", **headers}
    entry = served.handle(HttpRequest("POST", "/v1/messages", always, json.dumps(body).encode()))
    entry.end("completed", len(entry.plan.frames))

    copied = detail(entry, "default", ())["yaml"]

    again = engine(loads(copied), profile="anthropic", validation="off")
    for stream in (False, True):
        assert list(unlike(dict(entry.reply), answered(again, body, headers, stream=stream)[1])) == []


# -- files that are none ----------------------------------------------------------------------------------------------

OPENAI = [{"request": {"messages": [{"role": "user", "content": "Hi"}]}, "response": {"choices": []}}]
HELLO = {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]}
CUT = sse(TOLD_2).split("event: message_delta")[0]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "recorded.json: nothing is in it; expected recorded calls of the Messages API: a JSON list"),
        ("hello\nworld", "recorded.json:1:1: expected recorded calls"),
        ('{\n "a": }', "recorded.json:2:7: not JSON: Expecting value"),
        ('{"a": 1}\n{"b"', "recorded.json:2:1: neither one JSON value nor one a line"),
        ("a: [1\nb: 2", "recorded.json:2:"),
        ("interactions:\n- {request: {}, response: {}}", "left out line 2: the request holds no messages; expected"),
        ("version: 1\ninteractions: []", "recorded.json: expected a list of messages"),
        (b"a: \xff", "recorded.json:1:4: not UTF-8 text"),
        (OPENAI, "left out entry 1: the response is neither a message nor an error of the Messages API"),
        (
            {"log": {"entries": [{"request": {"postData": {"text": "%"}}}]}},
            "a body is neither JSON nor server-sent events",
        ),
        (CUT, "left out stream 1: its stream is not whole, from message_start to message_stop"),
        (sse(says(calls("a", "b"))).replace("{}", "{", 1), "its stream"),
        ("event: x\ndata: {]\n\n", "its stream holds data that is no JSON"),
        ([1, 2], "message 1: expected an object with role user or assistant"),
        ({"messages": []}, "expected a list of messages"),
        ([pair(asks("Hi"), says({"type": "hologram"}))], "a block of type 'hologram' cannot stand in a reply"),
        ([pair(asks("Hi"), says({"type": {}}))], "left out entry 1: a block of a reply without a type"),
        ([{"custom_id": "a", "result": {"message": "Hi"}}, 1], "left out entry 1, entry 2: no object"),
        ([pair(asks("Hi"), says(stop_reason="bored"))], "it cannot be told as a scenario"),
        ("[" * 100_000, "nested too deeply"),
        (
            json.dumps(pair(asks("Hi"), says())).replace('"Hi"', '[{"type": "x", "y": ' + "[" * 700 + "]" * 700 + "}]"),
            "nested",
        ),
        (gzip.compress(b"hello", mtime=0)[:-9], "recorded.json:"),
    ],
)
def test_a_file_that_is_no_recording_says_what_was_expected(said: Any, told: str, capsys: Any) -> None:
    data = said if isinstance(said, bytes) else said.encode() if isinstance(said, str) else json.dumps(said).encode()
    Path("recorded.json").write_bytes(data)

    code = cli.main(["import", "recorded.json"])

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert told in err


@pytest.mark.parametrize("said", [[HELLO], {"messages": [HELLO]}, [[HELLO]]], ids=["messages", "request", "list"])
def test_an_assistants_message_alone_is_a_reply(said: Any, engine: MakeEngine, capsys: Any) -> None:
    out, err = imported(said, capsys=capsys)

    assert err == ""
    status, got = answered(engine(loads(out)), asks("Anything"), stream=False)
    assert (status, got["content"]) == (200, HELLO["content"])


def test_a_recording_is_bounded() -> None:
    with pytest.raises(NoTranscript, match="64,000,001 bytes; a recording has 64,000,000 at most"):
        read(b" " * (MAX_BYTES + 1))
    with pytest.raises(NoTranscript, match="unpacked it has more than 64,000,000 bytes"):
        read(gzip.compress(b" " * (MAX_BYTES + 1)))
    bomb = b64(gzip.compress(b" " * 40_000_000))
    with pytest.raises(NoTranscript, match="unpacked it has more than"):
        read(json.dumps([{"request": ASKED, "response": {"body": {"base64_string": bomb}}}] * 3).encode())
    with pytest.raises(NoTranscript, match="more than 2,000 exchanges"):
        read(json.dumps([{"request": ASKED, "response": TOLD}] * 2_001).encode())
    laughs = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghijklmnopqrs", "bcdefghijklmnopqrst", strict=True)
    )
    with pytest.raises(NoTranscript, match="too large: more than 500,000 values"):
        read(laughs.encode())


@pytest.mark.parametrize("text", ["0E0", "1e5", "-3", "4.25", "true", "null", "~"])
def test_a_text_that_looks_like_a_number_stays_a_text(text: str) -> None:
    (scenario,) = loads(dump({"name": "a", "reply": text}))
    assert scenario.turns[0].reply == (Text(text=text),)


def test_a_conversation_that_cannot_be_told_leaves_the_others(capsys: Any) -> None:
    out, err = imported([pair(asks("Hi"), says(stop_reason="bored")), pair(ASKED, TOLD)], capsys=capsys)

    assert [one.name for one in loads(out)] == ["recorded-what-is-the-weather-in"]
    assert (
        "left out recorded-hi: it cannot be told as a scenario: unknown value 'bored'; expected one of end_turn" in err
    )
    assert "entry 1 is answered otherwise than it was" in err


def test_what_a_scenario_cannot_say_is_named(capsys: Any) -> None:
    reply = says(
        {"type": "text", "text": "Hi", "mood": "good"},
        mood=1,
        usage={"input_tokens": 1, "moods": 2, "output_tokens": 1},
    )

    _, err = imported(pair(asks("Hi"), reply), capsys=capsys)

    lines = [line.removeprefix("mock-server: recorded.json: ") for line in err.splitlines()]
    assert lines == [
        "the reply: a scenario cannot say mood, usage.moods, content[0].mood",
        'request 1 is answered otherwise than it was: content[0].mood: null, recorded "good" and 2 more',
    ]


def test_output_and_standard_input(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    class Input:
        buffer = io.BytesIO(json.dumps(pairs()).encode())

    monkeypatch.setattr(sys, "stdin", Input())
    assert cli.main(["import", "-", "-o", "out.yaml", "--name", "mine"]) == 0
    assert [one.name for one in loads(Path("out.yaml").read_text())] == [
        "mine-what-is-the-weather-in",
        "mine-and-a-joke-please",
    ]
    assert cli.main(["check", "out.yaml"]) == 0


# -- any reply --------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
COUNT = st.integers(0, 100_000)


@st.composite
def replies(draw: st.DrawFn) -> Body:
    """A valid message: texts, thoughts, calls of the client's tools and of the server's with results, in any order."""
    content: list[Body] = []
    for at in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["text", "cited", "thinking", "tool_use", "search", "code"]))
        id = f"srvtoolu_01{at}"
        if kind == "text":
            content.append({"type": "text", "text": draw(TEXT)})
        elif kind == "cited":
            place = {"type": "web_search_result_location", "url": draw(TEXT), "title": draw(st.none() | TEXT)}
            cited = {**place, "cited_text": draw(TEXT), "encrypted_index": draw(TEXT)}
            content.append({"type": "text", "text": draw(TEXT), "citations": draw(st.sampled_from([[], [cited]]))})
        elif kind == "thinking":
            content.append({"type": "thinking", "thinking": draw(TEXT), "signature": "EqQBCkYIBxgC"})
        elif kind == "tool_use":
            given = draw(st.dictionaries(TEXT, JSON, max_size=3))
            content.append({"type": "tool_use", "id": f"toolu_01{at}", "name": "look", "input": given, **DIRECT})
        elif kind == "search":
            content.append({**calls("web_search", id, "server_tool_use"), "input": {"query": draw(TEXT)}})
            found = {"type": "web_search_result", "title": draw(TEXT), "url": "u", "encrypted_content": draw(TEXT)}
            content.append({"type": "web_search_tool_result", "tool_use_id": id, "content": [found]})
        else:
            content.append(calls("code_execution", id, "server_tool_use"))
            content.append(
                {"type": "code_execution_tool_result", "tool_use_id": id, "content": {**RAN, "stdout": draw(TEXT)}}
            )
    usage = {"input_tokens": draw(COUNT), "output_tokens": draw(COUNT), "cache_read_input_tokens": draw(COUNT)}
    ends = draw(
        st.sampled_from([{}, {"stop_reason": "max_tokens"}, {"stop_reason": "stop_sequence", "stop_sequence": "END"}])
    )
    container = draw(st.sampled_from([{}, {"container": CONTAINER}]))
    return says(*content, usage=usage, **ends, **container)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(reply=replies(), prompt=TEXT.filter(lambda text: text.strip()), limit=st.integers(1, 300))
def test_any_reply_that_is_imported_and_replayed_is_equal(
    reply: Body, prompt: str, limit: int, engine: MakeEngine
) -> None:
    body = asks(prompt, max_tokens=limit, tools=[tool("look")])

    made = scenarios_of([RecordedCall(body, json.loads(json.dumps(reply)))], "any").scenarios
    served = engine(loads("---\n".join(map(dump, made))), profile="anthropic", validation="off")

    for stream in (False, True):
        status, got = answered(served, body, stream=stream)
        assert (status, list(unlike(reply, got))) == (200, [])


@st.composite
def conversations(draw: st.DrawFn) -> list[Body]:
    """Calls of agents that ask alike: each goes on from one before, with a result or a prompt, or begins anew."""
    prompts = st.sampled_from(["Hi", "Hi there", "Look", "Look at this"])
    said: list[Body] = []
    for number in range(draw(st.integers(1, 6))):
        before = draw(st.sampled_from(said)) if said and draw(st.booleans()) else None
        if before is None:
            body = asks(draw(prompts), tools=[tool("look")], temperature=draw(st.sampled_from([0, 1])))
        else:
            content = before["response"]["body"]["content"]
            asked = [one["id"] for one in content if one["type"] == "tool_use"]
            results = [gave(id, draw(prompts)) for id in asked] or draw(prompts)
            turns = [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
            body = {**before["request"], "messages": [*before["request"]["messages"], *turns]}
        if any(body == one["request"] for one in said):
            continue
        ends = draw(st.sampled_from([[f"Reply {number}."], [calls("look", f"toolu_01{number}")]]))
        said.append(pair(body, says(f"{number} ", *ends)))
    return said


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(said=conversations())
def test_any_calls_that_are_imported_together_are_answered_as_they_were(said: list[Body], engine: MakeEngine) -> None:
    exchanges = read(json.dumps(said).encode()).exchanges

    made = scenarios_of(exchanges, "any")

    assert made.notes == ()
    served = engine(loads("---\n".join(map(dump, made.scenarios))), profile="anthropic", validation="off")
    replayed(said, served)
    replayed(said[::-1], served)

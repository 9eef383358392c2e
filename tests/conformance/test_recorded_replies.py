"""What recorded replies of the real API say beside their content, one part of it a section (evidence REC).

Each message here came twice, as JSON and as a stream that folds to the same, and fits the types of the SDK.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from conformance.replies import Reply, events, reply
from conformance.test_sdk_types import judged
from manualclock import ManualClock

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

CONTEXT, ADVISOR, FILES = "context-management-2025-06-27", "advisor-tool-2026-03-01", "files-api-2025-04-14"
COMPACT, FALLBACK = "compact-2026-09-04", "server-side-fallback-2026-07-01"
HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
CODE = {"type": "code_execution_20260120", "name": "code_execution"}
YES = "name: a\nreply: Yes."
ADVICE = {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5"}


def serve(script: str, profile: str = "anthropic", clock: ManualClock | None = None, **settings: Any) -> Engine:
    made = Engine(Settings(**{"time_scale": 0, "seed": 1, **settings}), load_profile(profile), clock)
    made.load(loads(script))
    return made


def send(engine: Engine, beta: str = "", method: str = "POST", path: str = "/v1/messages", **body: Any) -> Entry:
    headers = {**HEADERS, **({"anthropic-beta": beta} if beta else {})}
    return engine.handle(HttpRequest(method, path, headers, json.dumps(body).encode()))


def create(engine: Engine, beta: str = "", **body: Any) -> Entry:
    said = [{"role": "user", "content": "hi"}]
    return send(engine, beta, **{"model": "claude-opus-4-8", "max_tokens": 4000, "messages": said, **body})


def told(script: str = YES, beta: str = "", profile: str = "anthropic", **body: Any) -> Reply:
    """The reply, after JSON and stream were found to be the same message, and one that the SDK has a type for."""
    plain, streamed = (
        reply(script, create(serve(script, profile), beta, stream=stream, **body).exchange) for stream in (False, True)
    )
    assert plain.status == 200, plain.message
    assert plain.message == streamed.message
    families = ("beta",) if beta or "mcp" in script or "advisor" in script else ("stable", "beta")
    fits = {"anthropic": lambda problem: False, "octen": lambda problem: "web_fetch_requests: missing" in problem}
    for got in (plain, streamed):
        for root, value in got.values:
            for family in families:
                assert [one for one in judged(root, value, family) if not fits[profile](one)] == []
    return streamed


def usage(*args: Any, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = told(*args, **more).message["usage"]
    return found


def event(got: Reply, name: str) -> dict[str, Any]:
    return next(value for root, value in got.values if root == name)


# -- where a reply was made ------------------------------------------------------------------------------------------

GLOBAL = (
    *("claude-opus-4-6", "claude-sonnet-4-6", "claude-opus-4-7", "claude-opus-4-8", "claude-sonnet-5", "claude-opus-5"),
    *("claude-fable-5", "claude-fable-5-1", "claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5"),
)
OLDER = ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-haiku-4-5-20251001")


@pytest.mark.parametrize("model", [*GLOBAL, *OLDER])
def test_models_from_4_6_on_are_said_to_run_anywhere(model: str) -> None:
    got = told(model=model)
    geo = "not_available" if model in OLDER else "global"
    assert got.message["usage"]["inference_geo"] == geo
    assert event(got, "message_start")["message"]["usage"]["inference_geo"] == geo


def test_a_place_that_was_asked_for_or_scripted_is_told_back() -> None:
    assert usage(inference_geo="us")["inference_geo"] == "us"
    assert usage(f"{YES}\nusage: {{inference_geo: eu}}", inference_geo="us")["inference_geo"] == "eu"


def test_octen_tells_no_place_unless_it_was_asked_for() -> None:
    assert "inference_geo" not in usage(profile="octen")
    assert usage(profile="octen", inference_geo="us")["inference_geo"] == "us"


# -- tokens of thinking -----------------------------------------------------------------------------------------------

ALWAYS = (
    "claude-opus-4-8",
    "claude-sonnet-5",
    "claude-opus-5",
    "claude-fable-5",
    "claude-opus-5-5",
    "claude-haiku-5-5",
)
ASKED = ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5", "claude-sonnet-4-6", "claude-opus-4-6")
THINK = {"type": "enabled", "budget_tokens": 1024}
NONE = {"thinking_tokens": 0}


@pytest.mark.parametrize("model", ALWAYS)
def test_newer_models_always_tell_the_tokens_of_thinking(model: str) -> None:
    got = told(model=model)
    assert event(got, "message_delta")["usage"]["output_tokens_details"] == NONE
    assert "output_tokens_details" not in event(got, "message_start")["message"]["usage"]


@pytest.mark.parametrize("model", ASKED)
def test_older_models_tell_them_when_thinking_was_asked_for(model: str) -> None:
    assert "output_tokens_details" not in usage(model=model)
    assert "output_tokens_details" not in usage(model=model, thinking={"type": "disabled"})
    assert usage(model=model, thinking=THINK)["output_tokens_details"] == NONE


@pytest.mark.parametrize("profile", ["anthropic", "octen"])
def test_thoughts_are_counted_whoever_asked_for_them(profile: str) -> None:
    script = "name: a\nreply: [{type: thinking, thinking: Let me see.}, Yes.]"
    details = usage(script, profile=profile, model="claude-haiku-4-5")["output_tokens_details"]
    assert details["thinking_tokens"] > 0


def test_a_script_may_count_them_itself() -> None:
    assert usage(f"{YES}\nusage: {{output_tokens_details: {{thinking_tokens: 7}}}}")["output_tokens_details"] == {
        "thinking_tokens": 7
    }


def test_octen_tells_them_where_somebody_thought_or_was_asked_to() -> None:
    assert "output_tokens_details" not in usage(profile="octen")
    assert usage(profile="octen", thinking={"type": "adaptive"})["output_tokens_details"] == NONE


# -- tools of the server ----------------------------------------------------------------------------------------------

RAN = {
    "code execution": (
        "[{type: server_tool_use, name: code_execution, input: {code: '1'}}, {type: code_execution_tool_result}]"
    ),
    "a shell": (
        "[{type: server_tool_use, name: bash_code_execution, input: {command: ls}}, "
        "{type: bash_code_execution_tool_result}]"
    ),
    "a search for tools": (
        "[{type: server_tool_use, name: tool_search_tool_bm25, input: {query: x}}, {type: tool_search_tool_result}]"
    ),
    "an advisor": "[{type: server_tool_use, name: advisor, input: {}}, {type: advisor_tool_result}]",
    "an MCP server": (
        "[{type: mcp_tool_use, name: look, server_name: sea, input: {}}, {type: mcp_tool_result, content: Deep.}]"
    ),
}


@pytest.mark.parametrize("what", RAN)
def test_a_tool_that_searched_nothing_counts_no_searches(what: str) -> None:
    got = told(f"name: a\nreply: {RAN[what]}")
    counted = {"web_search_requests": 0, "web_fetch_requests": 0}
    assert event(got, "message_delta")["usage"]["server_tool_use"] == counted
    assert usage(f"name: a\nreply: {RAN[what]}", profile="octen")["server_tool_use"] == {"web_search_requests": 0}


def test_without_a_tool_of_the_server_nothing_is_counted() -> None:
    assert "server_tool_use" not in usage()
    assert "server_tool_use" not in usage("name: a\nreply: {type: tool_use, name: look, input: {}}")


# -- edits of the context ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["anthropic", "octen"])
@pytest.mark.parametrize("parameters", [{}, {"context_management": {"edits": [{"type": "clear_thinking_20251015"}]}}])
def test_the_beta_alone_has_every_reply_tell_of_edits(profile: str, parameters: Mapping[str, Any]) -> None:
    got = told(beta=CONTEXT, profile=profile, **parameters)
    assert got.message["context_management"] == {"applied_edits": []}
    assert event(got, "message_delta")["context_management"] == {"applied_edits": []}


def test_without_the_beta_nothing_is_told_of_edits() -> None:
    assert "context_management" not in told().message
    assert "context_management" not in told(beta=FILES).message


def test_what_only_some_are_told_does_not_stay_for_others() -> None:
    """Frames are shared; what is put into them for one request is in no other."""
    engine = serve(YES)
    asked = [("", {}), (CONTEXT, {}), ("", {"speed": "fast"}), (ADVISOR, {}), ("", {})]
    found = [reply("", create(engine, beta, **more).exchange).message for beta, more in asked]
    assert ["context_management" in one for one in found] == [False, True, False, False, False]
    assert ["speed" in one["usage"] for one in found] == [False, False, True, False, False]
    assert ["iterations" in one["usage"] for one in found] == [False, False, False, True, False]


# -- the samplings of a reply -----------------------------------------------------------------------------------------

SYSTEM = [{"type": "text", "text": "word " * 3000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]


@pytest.mark.parametrize("beta", [ADVISOR, FALLBACK, COMPACT])
def test_some_betas_have_a_reply_list_its_samplings(beta: str) -> None:
    got = told(beta=beta)
    (only,) = event(got, "message_delta")["usage"]["iterations"]
    total = got.message["usage"]
    assert only == {
        "input_tokens": total["input_tokens"],
        "output_tokens": total["output_tokens"],
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "type": "message",
    }
    assert "iterations" not in event(got, "message_start")["message"]["usage"]
    assert "iterations" not in usage(beta=CONTEXT)


def test_a_sampling_tells_what_it_wrote_to_the_cache() -> None:
    total = usage(beta=ADVISOR, system=SYSTEM)
    (only,) = total["iterations"]
    assert total["cache_creation"]["ephemeral_1h_input_tokens"] > 0
    assert only["cache_creation"] == total["cache_creation"]
    assert only["cache_creation_input_tokens"] == total["cache_creation_input_tokens"]


CALLS_ADVISOR = "{type: server_tool_use, name: advisor, input: {}}"
ASKS = f"""
name: a
reply:
  - Let me ask.
  - {CALLS_ADVISOR}
  - type: advisor_tool_result
    content: {{type: advisor_result, text: Start small and measure before you change it.}}
  - Then I would start small.
"""


def test_advice_stands_between_two_samplings_that_sum_up_to_the_usage() -> None:
    total = usage(ASKS, ADVISOR, tools=[ADVICE], system=SYSTEM)
    before, advice, after = total["iterations"]
    assert [one["type"] for one in (before, advice, after)] == ["message", "advisor_message", "message"]
    for counter in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        assert before[counter] + after[counter] == total[counter]
    assert min(before["output_tokens"], after["output_tokens"], after["input_tokens"]) > 0
    assert (advice["model"], advice["cache_creation_input_tokens"]) == ("claude-opus-5", 0)
    assert advice["input_tokens"] > total["cache_creation_input_tokens"]
    assert advice["output_tokens"] > 0


def test_advice_that_failed_cost_nothing() -> None:
    script = f"name: a\nreply: [{CALLS_ADVISOR}, {{type: advisor_tool_result, error: overloaded}}, So.]"
    assert [one["type"] for one in usage(script, ADVISOR, tools=[ADVICE])["iterations"]] == ["message", "message"]


def test_samplings_agree_with_what_a_script_counts() -> None:
    counted = "usage: {input_tokens: 100, output_tokens: 31}"
    for script in (f"{YES}\n{counted}", ASKS + counted):
        total = usage(script, ADVISOR, tools=[ADVICE])
        own = [one for one in total["iterations"] if one["type"] == "message"]
        assert (sum(one["input_tokens"] for one in own), sum(one["output_tokens"] for one in own)) == (100, 31)
    listed = [{"type": "message", "input_tokens": 1, "output_tokens": 2}]
    engine = serve(f"{YES}\nusage: {{iterations: {json.dumps(listed)}}}")
    assert reply("", create(engine, ADVISOR).exchange).message["usage"]["iterations"] == listed


# -- headers ----------------------------------------------------------------------------------------------------------

NOON = datetime(2026, 11, 26, 12, 0, 5, tzinfo=timezone.utc)
MESSAGE = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
BATCH = {"requests": [{"custom_id": "one", "params": MESSAGE}]}
COMPLETE = {"model": "claude-opus-4-8", "max_tokens_to_sample": 9, "prompt": "\n\nHuman: hi\n\nAssistant:"}
COUNT = {name: value for name, value in MESSAGE.items() if name != "max_tokens"}
ASKED_OF: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "a message": ("POST", "/v1/messages", MESSAGE),
    "a stream": ("POST", "/v1/messages", {**MESSAGE, "stream": True}),
    "a count": ("POST", "/v1/messages/count_tokens", COUNT),
    "the models": ("GET", "/v1/models", {}),
    "a model": ("GET", "/v1/models/claude-opus-4-8", {}),
    "a completion": ("POST", "/v1/complete", COMPLETE),
    "a batch": ("POST", "/v1/messages/batches", BATCH),
    "the batches": ("GET", "/v1/messages/batches", {}),
    "the files": ("GET", "/v1/files", {}),
    "a mistake": ("POST", "/v1/messages", {}),
    "an unknown path": ("POST", "/v1/nope", {}),
}


@pytest.mark.parametrize("profile", ["anthropic", "octen"])
@pytest.mark.parametrize("what", ASKED_OF)
def test_every_reply_tells_when_it_was_made_and_whose_key_it_was(what: str, profile: str) -> None:
    engine = serve(YES, profile, ManualClock(NOON.timestamp()), seed=None)
    method, path, body = ASKED_OF[what]
    engine.sessions.default.clock.advance(60)
    headers = dict(send(engine, "", method, path, **body).plan.headers)
    assert headers["date"] == "Thu, 26 Nov 2026 12:01:05 GMT"
    assert parsedate_to_datetime(headers["date"]) == NOON + timedelta(minutes=1)
    assert ("anthropic-workspace-id" in headers) == ("anthropic-organization-id" in headers) == (profile == "anthropic")


def test_a_key_that_nobody_knows_has_no_workspace() -> None:
    plan = serve(YES).handle(HttpRequest("POST", "/v1/messages", {}, b"{}")).plan
    assert plan.status == 401
    assert "date" in dict(plan.headers)
    assert not [name for name, _ in plan.headers if name.startswith("anthropic-")]


def test_with_a_seed_the_date_is_always_the_same() -> None:
    dates = []
    for clock in (ManualClock(), ManualClock(5.0)):
        dates.append(dict(create(serve(YES, clock=clock)).plan.headers)["date"])
    assert dates == ["Mon, 21 Sep 2026 14:13:20 GMT"] * 2


def test_the_page_of_a_proxy_has_a_date_too() -> None:
    plan = create(serve(f"{YES}\nfault: html_error")).plan
    assert [name for name, _ in plan.headers if name != "x-mock-scenario"][:3] == ["content-type", "server", "date"]


def test_a_batch_in_progress_says_when_to_look_again() -> None:
    clock = ManualClock()
    engine = serve(YES, clock=clock, batch_seconds=60)
    id = json.loads(send(engine, path="/v1/messages/batches", **BATCH).plan.body())["id"]
    path = f"/v1/messages/batches/{id}"

    def polled(path: str) -> tuple[str, str | None]:
        plan = send(engine, "", "GET", path).plan
        return json.loads(plan.body())["processing_status"], dict(plan.headers).get("retry-after")

    assert polled(path) == ("in_progress", "10")
    clock.advance(61)
    assert polled(path) == ("ended", None)
    results = send(engine, "", "GET", f"{path}/results").plan
    named = dict(results.headers)["content-disposition"]
    assert named == f"attachment; filename*=utf-8''{id}_results.jsonl"
    message = json.loads(results.body())["result"]["message"]
    assert message["usage"]["inference_geo"] == "global"
    assert message["usage"]["output_tokens_details"] == {"thinking_tokens": 0}


def test_the_requests_of_a_batch_come_under_its_betas() -> None:
    engine = serve(YES, batch_seconds=0)
    created = send(engine, f"{CONTEXT},{ADVISOR}", path="/v1/messages/batches", **BATCH)
    path = f"/v1/messages/batches/{json.loads(created.plan.body())['id']}"
    send(engine, "", "GET", path)
    message = json.loads(send(engine, "", "GET", f"{path}/results").plan.body())["result"]["message"]
    assert message["context_management"] == {"applied_edits": []}
    assert [one["type"] for one in message["usage"]["iterations"]] == ["message"]


# -- ids --------------------------------------------------------------------------------------------------------------


def ids(engine: Engine) -> tuple[str, str]:
    entry = create(engine)
    return json.loads(entry.plan.body())["id"], dict(entry.plan.headers)["request-id"]


@pytest.mark.parametrize("profile", ["anthropic", "octen"])
@pytest.mark.parametrize("seed", [None, 1])
def test_ids_of_messages_and_requests_begin_alike(profile: str, seed: int | None) -> None:
    message, request = ids(serve(YES, profile, seed=seed))
    for id, kind in ((message, "msg_"), (request, "req_")):
        assert id.startswith(kind + "011C")
        assert len(id) == len(kind) + 24
        assert id[len(kind) :].isalnum()


def test_without_a_seed_ids_grow_with_time() -> None:
    clock = ManualClock(NOON.timestamp())
    engine = serve(YES, clock=clock, seed=None)
    drawn = []
    for step in (0.005, 0.1, 1, 60, 3600, 86_400, 30 * 86_400, 300 * 86_400):
        clock.advance(step)
        drawn.append(ids(engine))
    for kind in zip(*drawn, strict=True):
        assert list(kind) == sorted(kind)
    assert len({id for both in drawn for id in both}) == 2 * len(drawn)


def test_ids_of_one_moment_differ() -> None:
    engine = serve(YES, clock=ManualClock(NOON.timestamp()), seed=None)
    assert len({ids(engine) for _ in range(200)}) == 200


def test_a_real_id_of_that_moment_begins_as_ours() -> None:
    """The API's ids are 128 bits to the base 58, and the first 48 of them are milliseconds."""
    digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, real = int(NOON.timestamp() * 1000) << 80, ""
    for _ in range(22):
        number, digit = divmod(number, 58)
        real = digits[digit] + real
    message, request = ids(serve(YES, clock=ManualClock(NOON.timestamp()), seed=None))
    assert message[4:14] == request[4:14] == "01" + real[:8]


def test_the_same_seed_gives_the_same_bytes_whatever_the_time() -> None:
    early, late = (create(serve(YES, clock=ManualClock(at))).plan for at in (1e9, 2e9))
    assert (early.headers, early.body()) == (late.headers, late.body())


# -- an error in a stream ---------------------------------------------------------------------------------------------

BREAKS = "name: a\nreply: One two three.\nfault: {type: error_event, error: overloaded_error, after: 1}"


@pytest.mark.parametrize("seed", [None, 1])
def test_an_error_in_a_stream_carries_the_id_of_its_response(seed: int | None) -> None:
    plan = create(serve(BREAKS, seed=seed), stream=True).plan
    request_id = dict(plan.headers)["request-id"]
    assert plan.frames[-1] == (
        b'event: error\ndata: {"type":"error","error":{"details":null,"type":"overloaded_error","message":"Overloaded"},'
        b'"request_id":"%b"}\n\n' % request_id.encode()
    )
    assert judged("error", events(plan.body())[-1], "stable") == []


def test_the_same_error_in_json_is_a_reply_under_that_id() -> None:
    plan = create(serve(BREAKS)).plan
    assert plan.status == 529
    error = {"type": "overloaded_error", "message": "Overloaded"}
    request_id = dict(plan.headers)["request-id"]
    assert json.loads(plan.body()) == {"type": "error", "error": error, "request_id": request_id}


def test_details_that_there_are_stand_in_the_event() -> None:
    error = "{type: api_error, message: No., details: {error_code: tool_name_conflict}}"
    plan = create(serve(f"name: a\nreply: One two.\nfault: {{type: error_event, error: {error}}}"), stream=True).plan
    assert events(plan.body())[-1]["error"] == {
        "details": {"error_code": "tool_name_conflict"},
        "type": "api_error",
        "message": "No.",
    }


def test_octen_says_in_a_stream_what_it_says_in_a_body() -> None:
    error = events(create(serve(BREAKS, "octen"), stream=True).plan.body())[-1]
    said = "Service is temporarily overloaded, retry later"
    assert error == {"type": "error", "error": {"type": "overloaded_error", "message": said}}


def test_an_error_that_a_request_asks_for_itself_and_one_of_a_completion() -> None:
    headers = {**HEADERS, "x-mock-fault": "error_event;after=1"}
    for path, body in (("/v1/messages", MESSAGE), ("/v1/complete", COMPLETE)):
        sent = json.dumps({**body, "stream": True}).encode()
        plan = serve("name: a\nreply: One two.").handle(HttpRequest("POST", path, headers, sent)).plan
        *_, error = events(plan.body())
        assert error["request_id"] == dict(plan.headers)["request-id"]


def test_an_error_in_place_of_a_reply_comes_under_the_id_of_the_reply() -> None:
    faulty, whole = (create(serve(YES + more)).plan for more in ("\nfault: error", ""))
    assert faulty.status == 529
    assert dict(faulty.headers)["request-id"] == dict(whole.headers)["request-id"]


# -- containers -------------------------------------------------------------------------------------------------------

WAITS = """
name: a
turns:
  - reply:
      - {type: server_tool_use, id: srvtoolu_1, name: code_execution, input: {code: look()}}
      - {type: tool_use, name: look, input: {}, caller: {type: code_execution_20260120, tool_id: srvtoolu_1}}
  - reply:
      - {type: tool_use, name: look, input: {}, caller: {type: code_execution_20260120, tool_id: srvtoolu_1}}
  - reply:
      - type: code_execution_tool_result
        tool_use_id: srvtoolu_1
        content: {type: code_execution_result, stdout: "", stderr: "", return_code: 0, content: []}
      - Done.
  - reply: Bye.
"""
LOOK = {"name": "look", "input_schema": {"type": "object"}, "allowed_callers": ["code_execution_20260120"]}


@pytest.mark.parametrize("profile", ["anthropic", "octen"])
def test_a_turn_that_waits_for_a_clients_tool_tells_of_its_container(profile: str) -> None:
    got = told(WAITS, profile=profile, tools=[CODE, LOOK])
    container = event(got, "message_delta")["delta"]["container"]
    assert got.message["stop_reason"] == "tool_use"
    assert got.message["container"] == container
    assert container["id"].startswith("container_011C")
    assert container["expires_at"] == "2026-09-21T15:13:20Z"


def test_the_container_goes_on_until_the_program_has_ended() -> None:
    engine = serve(WAITS)
    messages: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
    named: dict[str, Any] = {}
    seen = []
    for _ in range(3):
        message = reply("", create(engine, messages=messages, tools=[CODE, LOOK], **named).exchange).message
        seen.append(message["container"]["id"])
        named = {"container": seen[-1]}
        calls = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": id, "content": "fine"} for id in calls]
        messages = [*messages, {"role": "assistant", "content": message["content"]}]
        messages += [{"role": "user", "content": results or "and?"}]
    assert len(set(seen)) == 1
    assert "container" not in reply("", create(engine, messages=messages, tools=[CODE, LOOK]).exchange).message


def test_a_program_that_pauses_keeps_its_container() -> None:
    """[INF] Nobody has recorded one."""
    script = (
        "name: a\nreply: {type: server_tool_use, name: code_execution, input: {code: '1'}}\nstop_reason: pause_turn"
    )
    assert told(script, tools=[CODE]).message["container"]["id"].startswith("container_011C")


@pytest.mark.parametrize(
    "blocks",
    [
        "[{type: tool_use, name: look, input: {}, caller: {type: direct}}]",
        "[{type: server_tool_use, name: web_search, input: {query: x}}, {type: web_search_tool_result, content: []}]",
    ],
)
def test_without_a_program_there_is_no_container(blocks: str) -> None:
    assert "container" not in told(f"name: a\nreply: {blocks}").message


@pytest.mark.parametrize(
    ("more", "is_told"),
    [
        ({"max_tokens": 3}, False),
        ({"stop_sequences": ["look"]}, False),
        ({"max_tokens": 45}, True),  # cut within the call of the program
        ({"max_tokens": 3, "container": "container_01A"}, True),  # the request's own
    ],
)
def test_a_reply_that_is_cut_before_its_program_has_no_container(more: dict[str, Any], is_told: bool) -> None:
    script = f"""
name: a
reply:
  - Let me look that up for you.
  - {{type: server_tool_use, name: code_execution, input: {{code: {"look() " * 20}}}}}
"""
    message = told(script, tools=[CODE], **more).message
    assert ("server_tool_use" in [block["type"] for block in message["content"]]) == (more == {"max_tokens": 45})
    assert ("container" in message) == is_told

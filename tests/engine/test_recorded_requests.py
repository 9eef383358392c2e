"""Requests that the real API was seen to judge: what it said, at every door that takes a request for a message.

Evidence: REC recorded traffic, LIVE somebody's published test against the live API, REP several public reports.
Where `octen` documents nothing it says the same; what it lets pass, since it ignores what it does not support, is said.
"""

import json
from typing import Any, NamedTuple

import pytest

from mock_server.engine.engine import Engine
from mock_server.engine.exchange import in_place
from mock_server.protocol.request import HttpRequest

JSON = dict[str, Any]
REPLY = "name: n\nreply: Hi"
KEY = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
TOOL = {"name": "lookup", "input_schema": {"type": "object"}}
PROGRAM = {"type": "code_execution_20260120", "name": "code_execution"}
ORPHAN = (
    "unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each `tool_result` block must have a corresponding "
    "`tool_use` block in the previous message."
)
UNANSWERED = (
    "`tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each `tool_use` block must have a "
    "corresponding `tool_result` block in the next message."
)
COMPLEX = "Schema is too complex for compilation. Try reducing the number of tools or simplifying tool schemas."
CIRCLE = (
    "Invalid schema: Circular reference detected in schema definitions: Node -> Node. "
    "Self-referencing or mutually-referencing definitions are not supported."
)


def user(*content: Any) -> JSON:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}


def assistant(*content: Any) -> JSON:
    return {"role": "assistant", "content": content[0] if isinstance(content[0], str) else list(content)}


def text(said: str) -> JSON:
    return {"type": "text", "text": said}


def call(id: str = "toolu_1", name: str = "lookup", **more: Any) -> JSON:
    return {"type": "tool_use", "id": id, "name": name, "input": {}, **more}


def result(id: str = "toolu_1") -> JSON:
    return {"type": "tool_result", "tool_use_id": id, "content": "ok"}


def program(id: str = "srvtoolu_1") -> JSON:
    return {"type": "server_tool_use", "id": id, "name": "code_execution", "input": {"code": "await lookup({})"}}


def called_by(id: str = "srvtoolu_1") -> JSON:
    return {"caller": {"type": "code_execution_20260120", "tool_id": id}}


PENDING = [user("Look it up"), assistant(program(), call(**called_by())), user(result())]
SYSTEM = {"role": "system", "content": "Be brief."}


def closed(properties: JSON, **more: Any) -> JSON:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": list(properties),
        **more,
    }


def strict(*schemas: JSON) -> JSON:
    return {"tools": [{"name": f"t{at}", "input_schema": one, "strict": True} for at, one in enumerate(schemas)]}


def unions(count: int) -> JSON:
    return closed({f"u{at}": {"type": ["string", "null"]} for at in range(count)})


def optional(count: int) -> JSON:
    return closed({f"o{at}": {"type": "string"} for at in range(count)}, required=[])


NODE = closed(
    {"n": {"$ref": "#/$defs/Node"}},
    **{"$defs": {"Node": closed({"next": {"$ref": "#/$defs/Node"}})}},
)


class Case(NamedTuple):
    """One request, and what is said of it: None that it is fine. `passes`: the profile and the doors that let it pass."""

    name: str
    evidence: str
    request: JSON
    said: str | None
    model: str = "claude-haiku-4-5"
    passes: tuple[str, ...] = ()


OCTEN, COUNT = "octen", "count_tokens"
CASES = [
    # who speaks, and in which message
    Case("an assistant first", "REC", {"messages": [assistant("I can help."), user("Go on.")]}, None),
    Case("an assistant first, on a newer model", "REC", {"messages": [assistant("I can help."), user("Go on.")]}, None,
         "claude-opus-4-8"),
    Case("nothing but an assistant, where a prefill is none", "LIVE", {"messages": [assistant("I can help.")]},
         "This model does not support assistant message prefill. The conversation must end with a user message.",
         "claude-opus-4-8"),
    Case("a prefill in two messages", "REC", {"messages": [user("q"), assistant("So"), assistant("the")]},
         "This model does not support assistant message prefill. The conversation must end with a user message.",
         "claude-opus-4-8"),
    Case("an orphan result in a second message", "REC", {"messages": [user("hi"), user(result())]},
         f"messages.0.content.1: {ORPHAN}"),
    Case("an orphan result further on", "REC",
         {"messages": [user("a"), user("b"), assistant("c"), assistant("d"), user("e"), user(text("f"), result())]},
         f"messages.2.content.2: {ORPHAN}"),
    Case("a call without a result, behind messages in a row", "REC",
         {"messages": [user("a"), user("b"), assistant("c"), assistant(call()), user("d")]}, f"messages.1: {UNANSWERED}"),
    Case("results in two messages", "REC",
         {"messages": [user("q"), assistant(call(), call("toolu_2")), user(result()), user(result("toolu_2"))]}, None),
    Case("a call in a message of its own", "REC", {"messages": [user("q"), assistant("I look"), assistant(call()), user(result())]}, None),
    Case("one id twice, in two messages of one turn", "REC",
         {"messages": [user("q"), assistant(call()), assistant(call()), user(result())]},
         "messages.1.content.1: `tool_use` ids must be unique"),
    Case("one id in two turns, each answered", "REC",
         {"messages": [user("q"), assistant(call()), user(result()), assistant(call()), user(result())]}, None),
    Case("a system message where the model has none", "REP", {"messages": [user("hi"), SYSTEM, user("go")]},
         "role 'system' is not supported on this model", "claude-sonnet-4-6"),
    Case("a system message first", "LIVE", {"messages": [SYSTEM, user("go")]},
         "messages.0: use the top-level 'system' parameter for the initial system prompt", "claude-opus-4-8"),
    Case("nothing but a system message", "LIVE", {"messages": [SYSTEM]},
         "messages.0: use the top-level 'system' parameter for the initial system prompt", "claude-opus-4-8"),
    Case("two system messages, then a user", "LIVE", {"messages": [user("a"), SYSTEM, SYSTEM, user("b")]},
         "messages.2: role 'system' must precede an 'assistant' message or end the array", "claude-opus-4-8"),
    # what is empty
    Case("white space of the assistant beside other blocks", "REC",
         {"messages": [user("q"), assistant(text(" "), call()), user(result())]}, None),
    Case("white space of the assistant in a message of its own", "REC",
         {"messages": [user("q"), assistant("\n"), assistant(call()), user(result())]}, None),
    Case("white space of the assistant alone", "ISS", {"messages": [user("q"), assistant(text(" ")), user("a")]},
         "messages: text content blocks must contain non-whitespace text"),
    Case("nothing but white space of the assistant", "ISS",
         {"messages": [user("q"), assistant(text(" "), text("\n")), user("a")]},
         "messages: text content blocks must contain non-whitespace text"),
    Case("white space of the user beside other blocks", "ISS", {"messages": [user(text("a"), text(" "))]},
         "messages: text content blocks must contain non-whitespace text"),
    Case("an empty text of the assistant beside other blocks", "ISS",
         {"messages": [user("q"), assistant(text(""), call()), user(result())]},
         "messages: text content blocks must be non-empty"),
    Case("an empty message beside another of its role", "LIVE", {"messages": [{"role": "user", "content": []}, user("ping")]}, None),
    Case("an empty message alone", "LIVE", {"messages": [user("ping"), assistant("pong"), {"role": "user", "content": []}]},
         "messages.2: user messages must have non-empty content"),
    Case("an empty string beside another message of its role", "LIVE", {"messages": [user(""), user("ping")]}, None),
    Case("an empty string of the user", "REP", {"messages": [user("")]}, "messages.0: user messages must have non-empty content"),
    Case("an empty message of the assistant", "ISS", {"messages": [user("a"), assistant(""), user("b")]},
         "messages.1: all messages must have non-empty content except for the optional final assistant message"),
    Case("an empty message of the assistant, the last", "ISS", {"messages": [user("a"), assistant("")]}, None),
    # what stands beside role and content
    Case("a reply sent back whole", "REP", {"messages": [user("a"), {**assistant("b"), "id": "msg_1"}, user("c")]},
         "messages.1.id: Extra inputs are not permitted", passes=(OCTEN,)),
    Case("a name", "REP", {"messages": [{**user("a"), "name": "Ann"}]}, "messages.0.name: Extra inputs are not permitted",
         passes=(OCTEN,)),
    # programs that wait
    Case("a waiting program, and a tool that it may call", "REC",
         {"messages": PENDING, "container": "container_1",
          "tools": [{**TOOL, "allowed_callers": ["code_execution_20260120"]}]}, None, passes=(COUNT,)),
    Case("a waiting program whose container is not named", "REP", {"messages": PENDING, "tools": [PROGRAM, TOOL]},
         "container_id is required when there are pending tool uses generated by code execution with tools.",
         passes=(COUNT,)),
    # schemas
    Case("sixteen unions in one schema", "REC", strict(unions(16)), COMPLEX, passes=(OCTEN,)),
    Case("sixteen unions in sixteen schemas", "REC", strict(*[unions(1)] * 16), None),
    Case("fifteen unions in one schema", "REC", strict(unions(15)), None),
    Case("seventeen unions in all", "REC", strict(*[unions(1)] * 17),
         "Schemas contains too many parameters with union types (17 parameters with type arrays or anyOf). This causes "
         "exponential compilation cost. Reduce the number of nullable or union-typed parameters (limit: 16 parameters "
         "with unions).", passes=(OCTEN,)),
    Case("24 optional parameters in one schema", "REC", strict(optional(24)), COMPLEX, passes=(OCTEN,)),
    Case("24 optional parameters in all", "REC", strict(*[optional(4)] * 6), None),
    Case("25 optional parameters in all", "REC", strict(*[optional(5)] * 5),
         "Schemas contains too many optional parameters (25), which would make grammar compilation inefficient. Reduce "
         "the number of optional parameters in your tool schemas (limit: 24).", passes=(OCTEN,)),
    Case("21 strict tools", "REC", strict(*[closed({})] * 21),
         "Too many strict tools (21). The maximum number of strict tools supported is 20. Try reducing the number of tools "
         "marked as strict.", passes=(OCTEN,)),
    Case("a subschema true", "REC", strict(closed({"value": True})),
         "tools.0.custom: For 'object' type, property 'properties' is not supported", passes=(OCTEN,)),
    Case("a schema that names itself", "REC", strict(NODE), f"tools.0.custom: {CIRCLE}", passes=(OCTEN,)),
    Case("a format that names itself", "REP",
         {"output_config": {"format": {"type": "json_schema", "schema": NODE}}},
         f"output_config.format.schema: {CIRCLE}", passes=(OCTEN,)),
    Case("a format under its older name", "REP", {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
         "output_format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false", passes=(OCTEN,)),
    Case("a format without a schema", "REC", {"output_format": {"type": "json_schema", "json_schema": {"name": "p"}}},
         "output_format.schema: Field required"),
    Case("a format without a schema, under its newer name", "REC", {"output_config": {"format": {"type": "json_schema"}}},
         "output_config.format.schema: Field required"),
    # words: shapes, ranges, efforts
    Case("an input schema that is no object", "REC", {"tools": [{"name": "t", "input_schema": True}]},
         "tools.0.custom.input_schema: Input does not match the expected shape."),
    Case("a schema of the output that is no object", "REC", {"output_config": {"format": {"type": "json_schema", "schema": []}}},
         "output_config.format.schema: Input does not match the expected shape."),
    Case("output_config as a string", "LIVE", {"output_config": "x"}, "output_config: Input does not match the expected shape."),
    Case("a system block that is no object", "LIVE", {"system": [7]}, "system.0: Input does not match the expected shape."),
    Case("messages as a string", "LIVE", {"messages": "x"}, "messages: Input should be a valid array"),
    Case("content as a number", "LIVE", {"messages": [user("q"), {"role": "user", "content": 7}]},
         "messages.1.content: Input should be a valid array"),
    Case("a block that is no object", "LIVE", {"messages": [user("a"), {"role": "user", "content": [7]}]},
         "messages.1.content.0: Input should be an object"),
    Case("a block without a type", "LIVE", {"messages": [user("a"), {"role": "user", "content": [{}]}]},
         "messages.1.content.0.type: Field required"),
    Case("a role that nobody has", "LIVE", {"messages": [{"role": "bogus", "content": "x"}]},
         'messages: Unexpected role "bogus". Allowed roles are "user" or "assistant"'),
    Case("tools as a string", "LIVE", {"tools": "x"}, "tools: Input should be a valid array"),
    Case("a tool that is no object", "LIVE", {"tools": [7]}, "tools.0: Input should be an object"),
    Case("thinking as a string", "LIVE", {"thinking": "x"}, "thinking: Input should be an object"),
    Case("tool_choice as a number", "LIVE", {"tool_choice": 7}, "tool_choice: Input should be an object"),
    Case("a choice of a tool that is not there", "LIVE", {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}},
         "Tool 'x' not found in provided tools"),
    Case("a choice of any tool without one", "LIVE", {"tool_choice": {"type": "any"}},
         "tool_choice.any may only be specified while providing tools"),
    Case("an effort that the model lacks", "REC", {"output_config": {"effort": "xhigh"}},
         "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.", "claude-opus-4-6"),
    Case("an effort where the model has none", "ISS", {"output_config": {"effort": "low"}},
         "This model does not support the effort parameter."),
    Case("an effort that wants thinking", "REP", {"output_config": {"effort": "max"}, "thinking": {"type": "disabled"}},
         "output_config.effort 'max' is not supported when thinking is disabled on this model. Use effort 'high' or below, "
         "or enable thinking.", "claude-opus-5"),
]  # fmt: skip

# parameters that a count does not have
OF_A_REPLY = [
    Case("temperature below its range", "REC", {"temperature": -5.0}, "temperature: range: 0..1"),
    Case("temperature above its range", "LIVE", {"temperature": 2}, "temperature: range: 0..1"),
    Case("top_p above its range", "LIVE", {"top_p": 1.5}, "top_p: range: 0..1"),
    Case("metadata as a string", "LIVE", {"metadata": "x"}, "metadata: Input does not match the expected shape."),
]

# where the gateway documents a range of its own
OF_ANTHROPIC = [
    Case("a negative top_k", "LIVE", {"top_k": -1}, None),
    Case("max_tokens below zero", "LIVE", {"max_tokens": -1}, "max_tokens: must be greater than or equal to 0"),
]


def send(engine: Engine, path: str, body: JSON) -> tuple[int, str | None]:
    entry = engine.handle(HttpRequest("POST", path, KEY, json.dumps(body).encode()))
    value = json.loads(entry.plan.body())
    return entry.plan.status, value["error"]["message"] if value.get("type") == "error" else None


def body_of(case: Case) -> JSON:
    return {"model": case.model, "max_tokens": 64, "messages": [user("go")], **case.request}


@pytest.fixture(params=["anthropic", OCTEN])
def profile(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("case", [*CASES, *OF_A_REPLY], ids=lambda case: f"{case.name}, {case.evidence}")
def test_a_message(engine, case: Case, profile: str) -> None:
    status, said = send(engine(REPLY, profile=profile), "/v1/messages", body_of(case))
    wanted = None if profile in case.passes else case.said
    assert (status, said) == (200 if wanted is None else 400, wanted)


@pytest.mark.parametrize("case", OF_ANTHROPIC, ids=lambda case: f"{case.name}, {case.evidence}")
def test_a_range_that_the_gateway_documents_otherwise(engine, case: Case) -> None:
    status, said = send(engine(REPLY, profile="anthropic"), "/v1/messages", body_of(case))
    assert (status, said) == (200 if case.said is None else 400, case.said)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_count_is_judged_alike(engine, case: Case, profile: str) -> None:
    body = {name: value for name, value in body_of(case).items() if name not in ("max_tokens", "container")}
    status, said = send(engine(profile=profile), "/v1/messages/count_tokens", body)
    wanted = None if {profile, COUNT} & set(case.passes) else case.said
    assert (status, said) == (200 if wanted is None else 400, wanted)


def test_requests_of_a_batch_are_judged_alike(engine, profile: str) -> None:
    made = engine(REPLY, profile=profile, batch_seconds=0)
    requests = [{"custom_id": f"c{at}", "params": body_of(case)} for at, case in enumerate(CASES)]
    path = "/v1/messages/batches"
    created = json.loads(
        made.handle(HttpRequest("POST", path, KEY, json.dumps({"requests": requests}).encode())).plan.body()
    )
    late = made.handle(HttpRequest("GET", f"{path}/{created['id']}/results", KEY)).exchange.late
    lines = [json.loads(line)["result"] for line in in_place(late).plan.body().splitlines()]
    found = [line["error"]["error"]["message"] if line["type"] == "errored" else None for line in lines]
    assert found == [None if profile in case.passes else case.said for case in CASES]


def test_octen_keeps_the_ranges_that_it_documents(engine) -> None:
    made = engine(profile=OCTEN)
    one = Case("", "OCT", {"top_k": -1}, None)
    assert send(made, "/v1/messages", body_of(one)) == (400, "top_k: Input should be greater than or equal to 0")
    assert send(made, "/v1/messages", {**body_of(one), "top_k": 0, "max_tokens": 0}) == (
        400,
        "max_tokens: must be greater than or equal to 1",
    )


def test_a_container_is_no_parameter_of_a_count(engine) -> None:
    case = next(case for case in CASES if "container" in case.request)
    body = {name: value for name, value in body_of(case).items() if name != "max_tokens"}
    assert send(engine(profile="anthropic"), "/v1/messages/count_tokens", body) == (
        400,
        "container: Extra inputs are not permitted",
    )

"""The request rules that depend on the model, the version, the media or the marks for the cache: both sides of each.

Texts are asserted only where somebody has seen them; elsewhere the path before the first colon, or the status alone.
"""

import base64
import struct
from typing import Any

import pytest

from mock_server.protocol.errors import ApiError
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.rules import readable, validate
from mock_server.protocol.signing import SIGNATURE
from mock_server.scenario.profiles import load_profile

PROFILES = {name: load_profile(name) for name in ("octen", "anthropic")}
Q = {"role": "user", "content": "q"}
TEXT = {"type": "text", "text": "hi"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
ASKED = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}}
PROGRAM = {"type": "code_execution_20260120", "name": "code_execution"}
RUN = {"type": "server_tool_use", "id": "s2", "name": "code_execution", "input": {"code": "await f()"}}
RAN = {"type": "code_execution_tool_result", "tool_use_id": "s2", "content": {}}
CALLED = {**CALL, "caller": {"type": "code_execution_20260120", "tool_id": "s2"}}
RUNNING = (("assistant", [RUN, CALLED]), ("user", [RESULT]))
MANUAL = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
ADAPTIVE = {"thinking": {"type": "adaptive"}}
OFF = {"thinking": {"type": "disabled"}}
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
CLOSED = {"type": "object", "additionalProperties": False, "properties": {}, "required": []}


def talk(*rest: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [Q, *({"role": role, "content": content} for role, content in rest)]}


def by(model: str, *changes: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {"model": f"claude-{model}"}
    for change in changes:
        merged |= change
    return merged


def since(version: str, change: dict[str, Any]) -> dict[str, Any]:
    return {**change, "version": version}


def asks(**parameters: Any) -> dict[str, Any]:
    return parameters


def strict(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"tools": [{"name": "f", "input_schema": {**CLOSED, **schema}, "strict": True, **more}]}


def one_property(**schema: Any) -> dict[str, Any]:
    return strict({"properties": {"p": schema}, "required": ["p"]})


def union_schema(parameters: int) -> dict[str, Any]:
    names = [f"p{n}" for n in range(parameters)]
    return {**CLOSED, "properties": {name: {"type": ["string", "null"]} for name in names}, "required": names}


def unions(parameters: int) -> dict[str, Any]:
    return strict(union_schema(parameters))


def output(schema: dict[str, Any]) -> dict[str, Any]:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def png(width: int, height: int) -> str:
    return base64_of(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height))


def image(data: str, media_type: str = "image/png", **more: Any) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}, **more}


def pdf(pages: int, **more: Any) -> dict[str, Any]:
    data = base64_of(b"%PDF-1.7\n" + b"<< /Type /Page >>\n" * pages)
    return {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}, **more}


def note(text: str = "Some facts.", **more: Any) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}, **more}


def found(**more: Any) -> dict[str, Any]:
    return {"type": "search_result", "source": "s", "title": "t", "content": [TEXT], **more}


def says(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


COMPLEX = "Schema is too complex for compilation. Try reducing the number of tools or simplifying tool schemas."
CITED = {"citations": {"enabled": True}}
NEW, OLD = "2026-10-21", "2023-06-01"
Row = tuple[str, dict[str, Any], str, dict[str, Any]]

# rule, what breaks it, how the message begins, what just passes
MODEL_RULES: list[Row] = [
    ("6", asks(beta="string, other"), "Unexpected value(s) `string`, `other` for the `anthropic-beta` header. Please consult our "
     "documentation at platform.claude.com/docs or try again without the header.", asks(beta="claude-code-20250219, new-2027-01-01")),
    ("27 stream", asks(max_tokens=0, stream=True), "max_tokens", asks(max_tokens=1, stream=True)),
    ("27 thinking", {**MANUAL, "max_tokens": 0}, "", asks(max_tokens=0)),
    ("27 tool", asks(max_tokens=0, tools=[TOOL], tool_choice={"type": "any"}), "max_tokens",
     asks(max_tokens=0, tools=[TOOL], tool_choice={"type": "auto"})),
    ("27 format", {"max_tokens": 0, **output(CLOSED)}, "max_tokens", output(CLOSED)),
    ("28 beta", asks(context_management={}, beta=""), "context_management: Extra inputs are not permitted",
     asks(context_management={}, beta="context-management-2025-06-27")),
    ("30", since(NEW, asks(temperature=1)), "temperature:", since(OLD, asks(temperature=1))),
    ("30 top_k", since(NEW, asks(top_k=5)), "top_k:", since(OLD, asks(top_k=5))),
    ("31", by("opus-4-8", asks(temperature=0.5)), "`temperature` is deprecated for this model.",
     by("opus-4-8", asks(temperature=1))),
    ("31 top_p", by("sonnet-5", asks(top_p=0.9)), "`top_p` is deprecated for this model.", by("sonnet-4-6", asks(top_p=0.9))),
    ("31 top_k", by("opus-4-8", asks(top_k=5)), "`top_k` is deprecated for this model.", by("opus-4-6", asks(top_k=5))),
    ("32", by("sonnet-4-6", asks(temperature=0.5, top_p=0.9)),
     "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
     by("sonnet-4-6", asks(temperature=0.5))),
    ("33", asks(temperature=1.1), "temperature: range: 0..1", asks(temperature=0)),
    ("33 top_p", asks(top_p=-0.1), "top_p: range: 0..1", asks(top_p=1)),
    ("34", {**MANUAL, "temperature": 0.5}, "`temperature` may only be set to 1 when thinking is enabled", {**MANUAL, "temperature": 1}),
    ("34 top_p", {**MANUAL, "top_p": 0.9}, "`top_p`", {**MANUAL, "top_p": 0.95}),
    ("34 top_k", {**MANUAL, "top_k": 1}, "`top_k`", MANUAL),
    ("39", asks(metadata={"user_id": "x" * 257}), "metadata.user_id:", asks(metadata={"user_id": "x" * 256})),
    ("41 many", asks(fallbacks=[{"model": "claude-opus-4-8"}] * 4), "fallbacks:", asks(fallbacks=[{"model": "claude-opus-4-8"}])),
    ("41 twice", asks(fallbacks=[{"model": "claude-opus-4-8"}] * 2), "fallbacks:", asks(fallbacks="default")),
    ("41 unknown", asks(fallbacks=[{"model": "gpt"}]), "fallbacks.0.model:", asks(fallbacks=None)),
    ("42", by("opus-4-7", asks(speed="fast")), "speed:", by("opus-4-8", asks(speed="fast"))),
    ("77", {**MANUAL, "tools": [TOOL], "tool_choice": {"type": "any"}},
     "Thinking may not be enabled when tool_choice forces tool use.",
     {**MANUAL, "tools": [TOOL], "tool_choice": {"type": "auto"}}),
    ("78", by("opus-5-5", asks(tools=[TOOL], tool_choice={"type": "tool", "name": "f"})),
     'tool_choice: type "tool" and "any" are not supported for this model.',
     by("opus-5", asks(tools=[TOOL], tool_choice={"type": "tool", "name": "f"}))),
    ("102", by("opus-4-8", MANUAL),
     '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to '
     "control thinking behavior.", by("opus-4-6", MANUAL)),
    ("103", by("haiku-4-5", ADAPTIVE), "adaptive thinking is not supported on this model", by("sonnet-4-6", ADAPTIVE)),
    ("104", by("fable-5", OFF),
     '"thinking.type.disabled" is not supported for this model. Thinking defaults to adaptive mode when not specified; use '
     '"thinking.type.enabled" with "budget_tokens" for extended thinking.', by("opus-5", OFF)),
    ("104 newer", by("opus-5-5", OFF),
     '"thinking.type.disabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to '
     "control thinking behavior.", by("opus-5-5", ADAPTIVE)),
    ("104 between", by("opus-5", asks(thinking={"type": "between_tools"})), "",
     by("sonnet-5-5", asks(thinking={"type": "between_tools"}))),
    ("105", by("opus-5", OFF, asks(output_config={"effort": "xhigh"})),
     "output_config.effort 'xhigh' is not supported when thinking is disabled on this model. Use effort 'high' or below, or enable "
     "thinking.", by("opus-5", OFF, asks(output_config={"effort": "high"}))),
    ("106", asks(thinking={"type": "disabled", "display": "omitted"}), "thinking.disabled.display:", OFF),
    ("106 budget", by("opus-4-6", asks(thinking={"type": "adaptive", "budget_tokens": 2000})), "thinking.adaptive.budget_tokens:",
     by("opus-4-6", asks(thinking={"type": "adaptive", "display": "omitted"}))),
    ("101 interleaved", {**MANUAL, "max_tokens": 1024}, "`max_tokens` must be greater than `thinking.budget_tokens`.",
     {**MANUAL, "max_tokens": 1024, "beta": "interleaved-thinking-2025-05-14"}),
    ("142", by("opus-4-5", asks(output_config={"effort": "max"})), "This model does not support effort level 'max'. Supported levels: high, low, medium.", by("opus-4-5", asks(output_config={"effort": "high"}))),
    ("142 none", by("haiku-4-5", asks(output_config={"effort": "low"})), "This model does not support the effort parameter.", by("opus-4-6", asks(output_config={"effort": "low"}))),
    ("145", asks(context_management={"edits": [{"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 49_999}}]}),
     "context_management.edits.0",
     asks(context_management={"edits": [{"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 50_000}}]})),
    ("too many stop sequences", asks(stop_sequences=["a"] * 10_001), "stop_sequences: mock-server looks for at most 10,000 sequences", asks(stop_sequences=["a"] * 10_000)),
    ("too many edits", asks(context_management={"edits": [{"type": "clear_tool_uses_20250919"}] * 101}), "context_management.edits: mock-server applies at most 100 edits",
     asks(context_management={"edits": [{"type": "clear_tool_uses_20250919"}] * 100})),
]  # fmt: skip

CONVERSATION_RULES: list[Row] = [
    ("40", asks(messages=[Q] * 100_001), "messages: List should have at most 100000 items", asks(messages=[Q] * 100_000)),
    ("48", by("opus-4-8", talk(("system", "s"), ("user", "x"))),
     "messages.1: role 'system' must precede an 'assistant' message or end the array",
     by("opus-4-8", talk(("system", "s"), ("assistant", "x"), ("user", "y")))),
    ("49 model", by("sonnet-5", talk(("system", "s"))), "role 'system' is not supported on this model", by("opus-4-8", talk(("system", "s")))),
    ("49 after text", by("opus-4-8", talk(("assistant", "x"), ("system", "s"))), "messages.2",
     by("opus-4-8", talk(("assistant", "x"), ("user", "y"), ("system", "s"), ("system", "t")))),
    ("53", talk(("assistant", "Once ")), "messages: final assistant content cannot end with trailing whitespace",
     talk(("assistant", "Once"))),
    ("53 block", talk(("assistant", [{"type": "text", "text": "Once\n"}])),
     "messages: final assistant content cannot end with trailing whitespace", talk(("assistant", [TEXT]))),
    ("54", by("opus-4-6", talk(("assistant", "Once"))),
     "This model does not support assistant message prefill. The conversation must end with a user message.",
     by("haiku-4-5", talk(("assistant", "Once")))),
    ("54 not when it goes on", by("opus-4-6", talk(("assistant", "Once"))), "",
     by("opus-4-6", talk(("assistant", [TEXT, ASKED])), asks(tools=[SEARCH]))),
    ("60", since(NEW, talk(("assistant", [note()]), ("user", "x"))), "messages.1.content.0",
     since(OLD, talk(("assistant", [note()]), ("user", "x")))),
    ("61", since(NEW, says({**TEXT, "citations": [{"type": "char_location"}]})), "messages.0.content.0",
     since(OLD, says({**TEXT, "citations": [{"type": "char_location"}]}))),
    ("61 inside", since(NEW, says(found(content=[{**TEXT, "citations": [{}]}]))), "messages.0.content.0",
     since(NEW, says(found(content=[{**TEXT, "citations": []}])))),
    ("94", {"tools": [SEARCH], **talk(("assistant", [ASKED]), ("user", "never mind"))},
     "`web_search` tool use with id `s1` was found without a corresponding `web_search_tool_result` block",
     {"tools": [SEARCH, TOOL], **talk(("assistant", [ASKED, CALL]), ("user", [RESULT]))}),
    ("94 text beside the results", {"tools": [SEARCH, TOOL], **talk(("assistant", [ASKED, CALL]), ("user", [RESULT, TEXT]))},
     "`web_search` tool use with id `s1`", {"tools": [SEARCH], **talk(("assistant", [ASKED]))}),
    ("95", talk(("assistant", [ASKED])),
     "`web_search` tool use with id `s1` was found without a corresponding `web_search_tool_result` block, but no "
     "`web_search` tool was provided", {"tools": [SEARCH], **talk(("assistant", [ASKED]))}),
    ("98", {"tools": [PROGRAM, TOOL], **talk(*RUNNING)},
     "container_id is required when there are pending tool uses generated by code execution with tools.",
     {"tools": [PROGRAM, TOOL], "container": "container_1", **talk(*RUNNING)}),
    ("98 without an id", {"tools": [PROGRAM, TOOL], "container": {"skills": []}, **talk(*RUNNING)}, "container_id is required",
     {"tools": [PROGRAM, TOOL], "container": {"id": "container_1"}, **talk(*RUNNING)}),
    ("98 only for what a program called", {"tools": [PROGRAM, TOOL], **talk(*RUNNING)}, "container_id is required",
     {"tools": [PROGRAM, TOOL], **talk(("assistant", [RUN, CALL]), ("user", [RESULT]))}),
    ("98 only while it waits", {"tools": [PROGRAM, TOOL], **talk(*RUNNING)}, "container_id is required",
     {"tools": [PROGRAM, TOOL], **talk(("assistant", [RUN, CALLED]), ("user", [RESULT]), ("assistant", [RAN, TEXT]), ("user", "and?"))}),
    ("95 a program", {"tools": [TOOL], "container": "c", **talk(*RUNNING)},
     "`code_execution` tool use with id `s2` was found without a corresponding `code_execution_tool_result` block, "
     "but no `code_execution` tool was provided",
     {"tools": [{**TOOL, "allowed_callers": ["code_execution_20260120"]}], "container": "c", **talk(*RUNNING)}),
    ("95 a search that programs", {"tools": [TOOL, SEARCH], "container": "c", **talk(*RUNNING)}, "`code_execution` tool use with id `s2`",
     {"tools": [TOOL, {**SEARCH, "type": "web_search_20260209"}], "container": "c", **talk(*RUNNING)}),
    ("97", talk(("assistant", [{**CALL, "toolset_name": "browser"}]), ("user", [RESULT])), "messages.2.content.0.tool_result.toolset_name",
     talk(("assistant", [{**CALL, "toolset_name": "browser"}]), ("user", [{**RESULT, "toolset_name": "browser"}]))),
    ("108", {**MANUAL, "tools": [TOOL], **talk(("assistant", [TEXT, CALL]), ("user", [RESULT]))},
     "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`. When `thinking` is enabled, a "
     "final `assistant` message must start with a thinking block",
     {**MANUAL, "tools": [TOOL], **talk(("assistant", [THOUGHT, CALL]), ("user", [RESULT]))}),
    ("108 only in a loop", {**MANUAL, **talk(("assistant", "Once"))}, "messages.1.content.0.type: Expected `thinking`",
     {**MANUAL, **talk(("assistant", "Once."), ("user", "And?"))}),
    ("108 not when adaptive", {**MANUAL, **talk(("assistant", [TEXT, CALL]), ("user", [RESULT]))}, "messages.1.content.0.type",
     by("opus-4-6", ADAPTIVE, talk(("assistant", [TEXT, CALL]), ("user", [RESULT])))),
    ("109", {**MANUAL, **talk(("assistant", [TEXT, THOUGHT, TEXT]), ("user", "x"))},
     "messages.1.content.0: If an assistant message contains any thinking blocks, the first block must be `thinking` or "
     "`redacted_thinking`. Found `text`.",
     {**MANUAL, **talk(("assistant", [THOUGHT, TEXT]), ("user", "x")), "beta": ""}),
    ("112", talk(("assistant", [{"type": "thinking", "thinking": "x"}, TEXT]), ("user", "x")), "messages.1.content.0.thinking.signature:",
     talk(("assistant", [THOUGHT, TEXT]), ("user", "x"))),
    ("113", talk(("assistant", [{**THOUGHT, "cache_control": MARK}, TEXT]), ("user", "x")),
     "messages.1.content.0.thinking.cache_control: Extra inputs are not permitted",
     talk(("assistant", [THOUGHT, {**TEXT, "cache_control": MARK}]), ("user", "x"))),
    ("114", talk(("assistant", [TEXT, THOUGHT]), ("user", "x")),
     "messages.1: The final block in an assistant message cannot be `thinking`.",
     talk(("assistant", [THOUGHT, TEXT]), ("user", "x"))),
    ("115", talk(("assistant", [THOUGHT, TEXT])),
     "messages.1.content.0: When thinking is disabled, an `assistant` message in the final position cannot contain `thinking`. "
     "To use thinking blocks, enable `thinking` in your request.", {**MANUAL, **talk(("assistant", [THOUGHT, TEXT]))}),
]  # fmt: skip

TOOL_RULES: list[Row] = [
    ("65 octen's", asks(tools=[{"type": "octen_search", "name": "octen_search"}]), "tools.0: Input tag 'octen_search' found", asks(tools=[SEARCH])),
    ("66", asks(tools=[{**TOOL, "parameters": {}}]), "tools.0.custom.parameters: Extra inputs are not permitted",
     asks(tools=[{**TOOL, "eager_input_streaming": True, "defer_loading": False, "allowed_callers": ["direct"]}])),
    ("66 typed", asks(tools=[{**SEARCH, "count": 3}]), "tools.0.web_search_20250305.count:", asks(tools=[{**SEARCH, "max_uses": 3}])),
    ("63 fixed name", asks(tools=[{**SEARCH, "name": "search"}]), "tools.0.web_search_20250305.name:", asks(tools=[SEARCH])),
    ("69", asks(tools=[{"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "text"}}}}]),
     "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12",
     asks(tools=[{"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}])),
    ("70", asks(tools=[{"name": "f", "input_schema": {"type": "object", "oneOf": [{}]}}]),
     "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
     asks(tools=[{"name": "f", "input_schema": {"type": "object", "properties": {"a": {"oneOf": [{}]}}}}])),
    ("71", asks(tools=[{"name": "f", "input_schema": {"type": "object", "required": ["a"]}, "input_examples": [{"a": 1}, {}]}]),
     "tools.0.custom.input_examples.1", asks(tools=[{"name": "f", "input_schema": {"type": "object"}, "input_examples": [{}]}])),
    ("72", one_property(type="array", items={}, maxItems=3), "tools.0.custom: For 'array' type, property 'maxItems' is not supported",
     one_property(type="array", items={"type": "string"}, minItems=1)),
    ("72 number", one_property(type="integer", minimum=1), "tools.0.custom: For 'integer' type, property 'minimum' is not supported",
     one_property(type="integer", enum=[1, 2])),
    ("72 circle", strict({"properties": {"p": {"$ref": "#/$defs/a"}}, "required": ["p"], "$defs": {"a": {"$ref": "#/$defs/a"}}}),
     "tools.0.custom: Invalid schema: Circular reference detected in schema definitions: a -> a. Self-referencing or "
     "mutually-referencing definitions are not supported.",
     strict({"properties": {"p": {"$ref": "#/$defs/a"}}, "required": ["p"], "$defs": {"a": {"type": "null"}}})),
    ("72 circle of two", strict({"$defs": {"z": {"type": "null"}, "a": {"$ref": "#/$defs/b"}, "b": {"items": {"$ref": "#/$defs/a"}}}}),
     "tools.0.custom: Invalid schema: Circular reference detected in schema definitions: a -> b -> a.",
     strict({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/c"}, "c": {"type": "null"}}})),
    ("72 circle through the whole", one_property(**{"$ref": "#"}),
     "tools.0.custom: Invalid schema: Circular reference detected in schema definitions: # -> #.", strict({})),
    ("72 several", one_property(type="number", minimum=1, maximum=2), "tools.0.custom: For 'number' type, properties maximum, minimum are not supported",
     one_property(type="number")),
    ("72 oneOf", one_property(oneOf=[{"type": "null"}]), "tools.0.custom: Schema type 'oneOf' is not supported", one_property(anyOf=[{"type": "null"}])),
    ("72 not", one_property(type="string", **{"not": {"type": "null"}}), "tools.0.custom: Schema keyword 'not' is not supported", one_property(type="string")),
    ("72 map", strict({"additionalProperties": {"type": "string"}}),
     "tools.0.custom: For 'object' type, 'additionalProperties: object' is not supported. Please set 'additionalProperties' to false", strict({})),
    ("72 true", strict({"properties": {"p": True}, "required": ["p"]}), "tools.0.custom: For 'object' type, property 'properties' is not supported",
     strict({"properties": {"p": {"type": "boolean"}}, "required": ["p"]})),
    ("72 true as items", one_property(type="array", items=True), "tools.0.custom: For 'array' type, property 'items' is not supported",
     one_property(type="array", items={"type": "string"})),
    ("72 true in a union", one_property(anyOf=[True]), "tools.0.custom: property 'anyOf' is not supported", one_property(anyOf=[{"type": "string"}])),
    ("73 optional", strict({"properties": {f"p{n}": {"type": "string"} for n in range(25)}}), "Schemas contains too many optional parameters (25)",
     strict({"properties": {f"p{n}": {"type": "string"} for n in range(23)}})),
    ("73 complex", strict({"properties": {f"p{n}": {"type": "string"} for n in range(24)}}), COMPLEX,
     strict({"properties": {f"p{n}": {"type": "string"} for n in range(23)}})),
    ("73 unions", unions(17), "Schemas contains too many parameters with union types (17 parameters with type arrays or anyOf).", unions(15)),
    ("73 complex unions", unions(16), COMPLEX, unions(15)),
    ("73 with the output", {**unions(9), **output(union_schema(8))}, "Schemas contains too many parameters with union types (17 ",
     {**unions(9), **output(union_schema(7))}),
    ("73 output alone", output(union_schema(16)), COMPLEX, output(union_schema(15))),
    ("73 tools", asks(tools=[{"name": f"f{n}", "input_schema": CLOSED, "strict": True} for n in range(21)]),
     "Too many strict tools (21). The maximum number of strict tools supported is 20. Try reducing the number of tools marked as strict.",
     asks(tools=[{"name": f"f{n}", "input_schema": CLOSED, "strict": n < 20} for n in range(21)])),
    ("80", asks(tools=[{**TOOL, "defer_loading": True}]), "At least one tool must have defer_loading=false. All tools cannot be deferred.",
     asks(tools=[{**TOOL, "defer_loading": True}, {"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25"}])),
    ("81", {"tools": [TOOL], **talk(("assistant", [CALL]), ("user", [{**RESULT, "content": [{"type": "tool_reference", "tool_name": "g"}]}]))},
     "Tool reference 'g' not found in available tools",
     {"tools": [TOOL], **talk(("assistant", [CALL]), ("user", [{**RESULT, "content": [{"type": "tool_reference", "tool_name": "f"}]}]))}),
    ("82", asks(tools=[{**SEARCH, "allowed_domains": ["a"], "blocked_domains": ["b"]}]), "tools.0", asks(tools=[{**SEARCH, "allowed_domains": ["a"]}])),
    ("83", asks(tools=[{**SEARCH, "user_location": {"type": "approximate", "country": "France"}}]), "tools.0",
     asks(tools=[{**SEARCH, "user_location": {"type": "approximate", "country": "FR"}}])),
    ("85", asks(tools=[{"type": "computer_toolset_20260801", "defer_loading": True}]), "tools.0", asks(tools=[{"type": "computer_toolset_20260801"}])),
    ("138", output({"type": "object"}),
     "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false", output(CLOSED)),
    ("138 deep", output({**CLOSED, "properties": {"a": {"type": "object"}}}), "output_config.format.schema: For 'object' type",
     output({**CLOSED, "properties": {"a": CLOSED}})),
    ("139", output({**CLOSED, "additionalProperties": True}),
     "output_config.format.schema: For 'object' type, 'additionalProperties: true' is not supported. Please set "
     "'additionalProperties' to false", output(CLOSED)),
    ("140", output({**CLOSED, "properties": {"a": {"type": "string", "minLength": 3}}}), "output_config.format.schema",
     output({**CLOSED, "properties": {"a": {"type": "string", "format": "date"}}})),
]  # fmt: skip

CACHE_AND_MEDIA_RULES: list[Row] = [
    ("117", says(*[{**TEXT, "cache_control": MARK}] * 5), "A maximum of 4 blocks with cache_control may be provided. Found 5.",
     says(*[{**TEXT, "cache_control": MARK}] * 4)),
    ("117 automatic", {**says(*[{**TEXT, "cache_control": MARK}] * 4), "cache_control": MARK},
     "A maximum of 4 blocks with cache_control may be provided. Found 5.",
     {**says(*[{**TEXT, "cache_control": MARK}] * 3), "cache_control": MARK}),
    ("118", says({"type": "text", "text": "", "cache_control": MARK}, TEXT),
     "messages.0.content.0.text: cache_control cannot be set for empty text blocks", says({**TEXT, "cache_control": MARK})),
    ("119", says({**TEXT, "cache_control": MARK}, {**TEXT, "cache_control": HOUR}),
     "messages.0.content.1.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control "
     "block. Note that blocks are processed in the following order: tools, system, messages.",
     says({**TEXT, "cache_control": HOUR}, {**TEXT, "cache_control": MARK})),
    ("119 levels", {"tools": [{**TOOL, "cache_control": MARK}], "system": [{**TEXT, "cache_control": HOUR}]}, "system.0.cache_control.ttl",
     {"tools": [{**TOOL, "cache_control": HOUR}], "system": [{**TEXT, "cache_control": MARK}]}),
    ("120", {"system": [{**TEXT, "cache_control": {**MARK, "scope": "global"}}]},
     "system.0.cache_control.ephemeral.scope: Extra inputs are not permitted", {"system": [{**TEXT, "cache_control": MARK}]}),
    ("120 without its beta", says({**TEXT, "cache_control": {**MARK, "scope": "global"}}), "messages.0.content.0.text.cache_control.ephemeral.scope:",
     {**says({**TEXT, "cache_control": {**MARK, "scope": "global"}}), "beta": "prompt-caching-scope-2026-01-05"}),
    ("121", says({**TEXT, "cache_control": {**MARK, "ttl": "2h"}}), "messages.0.content.0.text.cache_control.ephemeral.ttl:",
     says({**TEXT, "cache_control": HOUR})),
    ("122", {**says({**TEXT, "cache_control": HOUR}), "cache_control": MARK}, "cache_control", {**says({**TEXT, "cache_control": MARK}), "cache_control": MARK}),
    ("124", says(image(png(1, 1), "image/bmp")),
     "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
     says(image(png(1, 1)))),
    ("124 source", says({"type": "image", "source": {"type": "url"}}), "messages.0.content.0.image.source.url.url:",
     says({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}})),
    ("125", says(image(png(1, 1), "image/gif")), "messages.0.content.0.image.source.base64", says(image(png(1, 1), "image/png"))),
    ("126", says(image("A" * 14_000_000)), "messages.0.content.0.image.source.base64: image exceeds 10 MB maximum: 14000000 bytes > 10485760 bytes",
     says(image(png(1, 1)))),
    ("127", says(image(png(8001, 10))),
     "messages.0.content.0.image.source.base64.data: At least one of the image dimensions exceed max allowed size: 8000 pixels",
     says(image(png(8000, 10)))),
    ("128", says(*[image(png(2001, 10))] * 21),
     "messages.0.content.0.image.source.base64.data: At least one of the image dimensions exceed max allowed size for many-image "
     "requests: 2000 pixels", says(*[image(png(2001, 10))] * 20)),
    ("129", says(image("AAAA")), "", says(image(png(2, 2)))),
    ("129 pdf", says({**pdf(1), "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}), "Could not process PDF", says(pdf(1))),
    ("130", says(pdf(101)), "messages.0.content.0.pdf.source.base64.data: A maximum of 100 PDF pages may be provided.", says(pdf(100))),
    ("130 wide", by("opus-4-8", says(pdf(601))), "messages.0.content.0.pdf", by("opus-4-8", says(pdf(600)))),
    ("131", says(*[image(png(1, 1))] * 100, note()), "too many images and documents: 100 + 1 > 100", says(*[image(png(1, 1))] * 99, note())),
    ("132", says(image(png(1569, 10), transformations={"oversized_image": "error"})), "messages.0.content.0",
     says(image(png(1569, 10), transformations={"oversized_image": "downsize"}))),
    ("133", says(note(**CITED), note()), "", says(note(**CITED), note(**CITED))),
    ("134", {**says(note(**CITED)), **output(CLOSED)}, "", {**says(note()), **output(CLOSED)}),
    ("135", says(found(**CITED), found()), "", says(found(**CITED), note())),
    ("a document's source", says({"type": "document", "source": {"type": "html"}}), "messages.0.content.0.document.source",
     says({"type": "document", "source": {"type": "content", "content": [TEXT, image(png(1, 1))]}})),
    ("inside a result", talk(("assistant", [CALL]), ("user", [{**RESULT, "content": [image("AAAA")]}])), "",
     talk(("assistant", [CALL]), ("user", [{**RESULT, "content": [image(png(1, 1)), TEXT]}]))),
]  # fmt: skip

TABLE = [*MODEL_RULES, *CONVERSATION_RULES, *TOOL_RULES, *CACHE_AND_MEDIA_RULES]
BETAS = "context-management-2025-06-27,server-side-fallback-2026-07-01"


def request(change: dict[str, Any]) -> MessagesRequest:
    """A request of a model that accepts prefill, manual thinking and sampling, changed as told."""
    change = dict(change)
    headers = {"anthropic-version": change.pop("version", OLD), "anthropic-beta": change.pop("beta", BETAS)}
    return MessagesRequest({"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [Q], **change}, headers)


@pytest.mark.parametrize(("bad", "begins"), [row[1:3] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_request_that_breaks_a_rule(bad: dict[str, Any], begins: str) -> None:
    with pytest.raises(ApiError) as caught:
        validate(request(bad), PROFILES["anthropic"])
    assert (caught.value.status, caught.value.type) == (400, "invalid_request_error")
    assert str(caught.value.message).startswith(begins)


@pytest.mark.parametrize("good", [row[3] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_one_beside_it_passes(good: dict[str, Any]) -> None:
    validate(request(good), PROFILES["anthropic"])


# what has no shape at all: an error whatever `validation` says
UNREADABLE = ("33", "33 top_p", "39", "too many stop sequences", "63 fixed name", "65 octen's", "112", "121", "83")


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_what_breaks_a_rule_of_meaning_can_still_be_read(row: Row) -> None:
    """`validation: warn` answers these."""
    if row[0] not in UNREADABLE:
        readable(request(row[1]), PROFILES["anthropic"])
        return
    with pytest.raises(ApiError):
        readable(request(row[1]), PROFILES["anthropic"])


# rows marked with a dagger in the notes: what a gateway that ignores what it does not support lets pass
IGNORED = [
    "28 beta",
    "30",
    "31",
    "31 top_p",
    "31 top_k",
    "32",
    "34",
    "34 top_p",
    "34 top_k",
    "60",
    "61",
    "66",
    "69",
    "70",
    "72",
    "138",
    "120",
]


@pytest.mark.parametrize("name", IGNORED)
def test_octen_ignores_what_it_does_not_support(name: str) -> None:
    bad = next(row[1] for row in TABLE if row[0] == name)
    if name == "69":
        with pytest.raises(ApiError):
            validate(request(bad), PROFILES["octen"])
        return
    validate(request(bad), PROFILES["octen"])

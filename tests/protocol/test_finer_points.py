"""Where a rule ends: the last value that is in and the first that is out, and keywords that schemas seldom have.

Found by mutants that no other test noticed (`make reliability ARGS="--only mutants"`).
"""

import base64
import json
import re
import struct
import sys
from dataclasses import asdict
from typing import Any, get_args

import pytest

from mock_server.engine import cache as cache_module
from mock_server.engine.cache import Prefix, PromptCache, Step, prefix
from mock_server.protocol import completion, expression, media, request, rules, signing, sse
from mock_server.protocol.beginnings import Story
from mock_server.protocol.blocks import Compaction, Text, ToolUse, is_server_tool
from mock_server.protocol.errors import MESSAGE, STATUS, TYPE, ApiError
from mock_server.protocol.expression import _PER_PATTERN, Expression, OverLimit, Purse, bounded
from mock_server.protocol.json_schema import Checker, SchemaProblem, depth, is_schema
from mock_server.protocol.message import Cut, Usage, at_end, at_start, cut, fold
from mock_server.protocol.plan import AT_ONCE, Plan, Send, rolled
from mock_server.protocol.profile import Capability, Model, Profile
from mock_server.protocol.query import Whole, read_query
from mock_server.protocol.request import Known, MessagesRequest
from mock_server.protocol.rules import COUNTED as PARAMETERS_COUNTED
from mock_server.protocol.rules import history, models, only_counted, parameters, schemas, validate
from mock_server.protocol.rules.checks import integer, one_of
from mock_server.protocol.rules.history import results_paired
from mock_server.protocol.rules.models import model_of
from mock_server.protocol.tokens import Cost, TokenCounter, block_cost, input_tokens
from mock_server.scenario.profiles import load_profile

ANTHROPIC = load_profile("anthropic")

# schema, what fits it, what does not, and what is told of that
DEPENDENT = {
    "properties": {"a": {}},
    "dependentSchemas": {"a": {"properties": {"b": {}}}},
    "unevaluatedProperties": False,
}
SEEN = {
    "allOf": [{"properties": {"a": {}}, "additionalProperties": {"type": "string"}}],
    "unevaluatedProperties": False,
}
SCHEMAS: dict[str, tuple[dict[str, Any], Any, Any, str]] = {
    "a pattern": ({"pattern": "^a"}, "ab", "ba", "$: 'ba' does not match '^a'"),
    "names by patterns": (
        {"patternProperties": {"^a": {}}, "additionalProperties": False},
        {"ab": 1},
        {"ab": 1, "b": 1},
        "$: 'b' does not match any of the regexes: '^a'",
    ),
    "what depends on a name": (
        DEPENDENT,
        {"a": 1, "b": 1},
        {"b": 1},
        "$: Unevaluated properties are not allowed ('b' was unexpected)",
    ),
    "names that a part has looked at": (
        SEEN,
        {"a": 1, "b": "x"},
        {"a": 1, "b": 1},
        "$: Unevaluated properties are not allowed ('a', 'b' were unexpected)",
    ),
    "names that are judged where nothing else does": (
        {"properties": {"a": {}}, "unevaluatedProperties": {"type": "string"}},
        {"a": 1, "b": "x"},
        {"a": 1, "b": 1},
        "$: Unevaluated properties are not valid under the given schema ('b' was unevaluated and invalid)",
    ),
    "names that a part has judged where nothing else does": (
        {"allOf": [{"unevaluatedProperties": {"type": "string"}}], "unevaluatedProperties": False},
        {"a": "x"},
        {"a": 1},
        "$: Unevaluated properties are not allowed ('a' was unexpected)",
    ),
    "names that a reference has looked at": (
        {
            "$dynamicRef": "#a",
            "$defs": {"a": {"$dynamicAnchor": "a", "properties": {"a": {}}}},
            "unevaluatedProperties": False,
        },
        {"a": 1},
        {"b": 1},
        "$: Unevaluated properties are not allowed ('b' was unexpected)",
    ),
    "what a condition looks at where it holds": (
        {"if": {"required": ["a"], "properties": {"a": {}}}, "unevaluatedProperties": False},
        {"a": 1},
        {"a": 1, "b": 1},
        "$: Unevaluated properties are not allowed ('b' was unexpected)",
    ),
    "items of which some are looked for": (
        {"contains": {"type": "integer"}, "unevaluatedItems": False},
        [1, 2],
        [1, "x"],
        "$: Unevaluated items are not allowed ('x' was unexpected)",
    ),
    "the first items": (
        {"prefixItems": [{}], "unevaluatedItems": False},
        [1],
        [1, 2],
        "$: Unevaluated items are not allowed (2 was unexpected)",
    ),
}


@pytest.mark.parametrize("case", SCHEMAS)
def test_a_keyword_tells_what_fits_from_what_does_not(case: str) -> None:
    schema, fits, breaks, told = SCHEMAS[case]

    assert Checker(schema).violations(fits) == []
    assert told in Checker(schema).violations(breaks)


@pytest.mark.parametrize(("pattern", "is_one"), [("a", True), ("(", False), (5, False)])
def test_a_pattern_is_a_regular_expression(pattern: Any, is_one: bool) -> None:
    assert is_schema({"pattern": pattern}) == is_one


def test_what_is_wrong_with_a_schema_is_told_of_its_pattern() -> None:
    with pytest.raises(ValueError, match="'\\(' is not a 'regex'"):
        Checker({"pattern": "("})


def test_a_schema_that_is_none_says_so_however_large_it_is() -> None:
    with pytest.raises(SchemaProblem, match=r"^it is no schema of draft 2020-12$"):
        Checker({"type": "none", "enum": list(range(1_000))})
    with pytest.raises(SchemaProblem, match=r"^its \$refs lead in a circle$"):
        Checker({"$ref": "#"}).violations(1)


@pytest.mark.parametrize("of_client", [True, False])
def test_too_much_is_left_unjudged_for_a_client_and_told_to_an_author(of_client: bool) -> None:
    checker = Checker({"items": {"enum": list(range(4_000))}}, of_client=of_client)

    if of_client:
        with bounded() as left:
            assert checker.violations(["x"] * 100_000) == []
        assert [note.partition(":")[0] for note in left.unjudged] == ["a value with a schema was left unjudged"]
    else:
        with pytest.raises(OverLimit):
            checker.violations(["x"] * 100_000)


def strict(schema: dict[str, Any], **more: Any) -> MessagesRequest:
    closed = {"type": "object", "additionalProperties": False, **schema}
    tool = {"name": "f", "input_schema": closed, "strict": True}
    said = [{"role": "user", "content": "q"}]
    return MessagesRequest({"model": "claude-opus-4-8", "max_tokens": 9, "messages": said, "tools": [tool], **more})


NODE = {"type": "object", "additionalProperties": False, "properties": {"next": {"$ref": "#/definitions/node"}}}


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (
            {"properties": {"a": {"$ref": "#/definitions/node"}}, "definitions": {"node": NODE}},
            "Circular reference detected in schema definitions: node -> node",
        ),
        (
            {"properties": {"a": {"type": "array", "items": {"type": "array", "minItems": 2}}}},
            "'minItems' values other than 0 or 1 are not supported",
        ),
        (
            {"properties": {"a": {"additionalProperties": {"type": "array", "minItems": 2}}}},
            "'minItems' values other than 0 or 1 are not supported",
        ),
    ],
    ids=["an old name for definitions", "items of items", "other properties"],
)
def test_a_part_outside_the_subset_is_found_wherever_it_stands(schema: dict[str, Any], told: str) -> None:
    with pytest.raises(ApiError, match=told):
        validate(strict(schema), ANTHROPIC)


@pytest.mark.parametrize(("text", "is_number"), [("9" * 15, True), ("9" * 16, False), ("-" + "9" * 15, True)])
def test_a_whole_number_has_at_most_15_digits(text: str, is_number: bool) -> None:
    whole = Whole(-(10**16), 10**16, 0)

    if is_number:
        assert whole.read("limit", [text]) == int(text)
    else:
        with pytest.raises(ApiError, match="limit: Input should be a valid integer"):
            whole.read("limit", [text])


def test_an_id_of_a_batch_has_at_most_64_characters() -> None:
    def asked(id: str) -> list[Any]:
        return list(rules.requests_of({"requests": [{"custom_id": id, "params": {}}]}, ANTHROPIC))

    assert len(asked("a" * 64)) == 1
    with pytest.raises(ApiError, match="custom_id: String should have at most 64 characters"):
        asked("a" * 65)


def test_a_batch_may_be_as_long_as_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_REQUESTS", 2)
    listed = [{"custom_id": str(at), "params": {}} for at in range(3)]

    assert len(rules.requests_of({"requests": listed[:2]}, ANTHROPIC)) == 2
    with pytest.raises(ApiError, match="List should have at most 2 items after validation, not 3"):
        rules.requests_of({"requests": listed}, ANTHROPIC)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "stop_sequences: each stop sequence must be non-empty"),
        (" \n", "stop_sequences: each stop sequence must contain non-whitespace"),
    ],
)
def test_a_stop_sequence_says_something(text: str, told: str) -> None:
    with pytest.raises(ApiError) as refused:
        validate(strict({}, stop_sequences=[text]), ANTHROPIC)
    assert str(refused.value).endswith(told.partition(": ")[2])


def test_the_last_step_of_a_purse_may_be_spent() -> None:
    purse = Purse(1.0, 10, 10)
    purse.search(10)
    with pytest.raises(OverLimit, match="more than 10 steps"):
        purse.search(1)
    purse.check(10)
    with pytest.raises(OverLimit, match="more than 10 checks"):
        purse.check(1)


@pytest.mark.parametrize("pattern", ["(?ai)^[w-z]$", "(?i)^[w-z]$"])
@pytest.mark.parametrize("text", ["W", "X", "Y", "Z", "w", "x", "y", "z", "V", "v", "["])
def test_letters_of_either_case_are_those_of_re(pattern: str, text: str) -> None:
    assert Expression(pattern).found_in(text) == (re.search(pattern, text) is not None)


def test_the_last_character_of_the_patterns_may_be_spent() -> None:
    with bounded() as left:
        left.characters = 2 * (10 + _PER_PATTERN)
        left.read("a" * 10)
        left.read("a" * 10)
        left.read("b" * 10)
        with pytest.raises(OverLimit):
            left.read("")


@pytest.mark.parametrize("pattern", ["(?:(a|b*){2}c)", "(a|b*){1}c", "(?:a|b*){2}c", "(x){0,1}y"])
@pytest.mark.parametrize("text", ["abc", "c", "bbc", "aac", "y", "xy", "d"])
def test_repeats_of_nothing_find_what_re_finds(pattern: str, text: str) -> None:
    assert Expression(pattern).found_in(text) == (re.search(pattern, text) is not None)


@pytest.mark.parametrize("pattern", ["(?P<x>a?)*", "^(?P<x>a?)+", "(?P<x>a|b*){2}", "(?P<x>ab)*"])
@pytest.mark.parametrize("text", ["a", "aa", "ab", "abab", "b", "c"])
def test_repeats_of_nothing_capture_what_re_captures(pattern: str, text: str) -> None:
    found = re.search(pattern, text)

    assert found is not None
    assert Expression(pattern).captures(text) == {k: v for k, v in found.groupdict().items() if v is not None}


def test_json_of_many_objects_is_read_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of many small objects holds as many values as one of commas, and is read in steps as well."""
    taken: list[str] = []
    whole = request._InSteps.decode

    def noted(self: Any, text: str) -> Any:
        taken.append(text)
        return whole(self, text)

    monkeypatch.setattr(request._InSteps, "decode", noted)
    monkeypatch.setattr(request, "_SHORT_TEXT", 100)
    monkeypatch.setattr(request, "_VALUES_AT_ONCE", 100)
    for text in ("[" * 101 + "]" * 101, '{"a":' * 101 + "1" + "}" * 101, "[" + "1," * 101 + "1]"):
        request.parse_json(text.encode())
    request.parse_json(b"[" + b" " * 200 + b"1,2]")
    assert len(taken) == 3


def test_nulls_and_marks_do_not_make_a_prompt_another_one() -> None:
    def fingerprint(block: dict[str, Any]) -> bytes:
        said = [{"role": "user", "content": [{"type": "text", "text": "Hi", **block}]}]
        return MessagesRequest({"model": "m", "messages": said}).fingerprint

    plain = fingerprint({})
    assert fingerprint({"cache_control": {"type": "ephemeral"}}) == plain
    assert fingerprint({"citations": None}) == plain
    assert fingerprint({"citations": {"enabled": True}}) != plain


def test_each_search_tool_is_judged_whatever_stands_before_it() -> None:
    tools = [{"name": "f", "input_schema": {"type": "object"}}, {"type": "octen_search", "parameters": {"count": 0}}]
    asked = MessagesRequest({"model": "m", "messages": [], "tools": tools})

    with pytest.raises(ApiError) as refused:
        parameters.parameters(asked, load_profile("octen"))
    assert dict(refused.value.headers)["x-mock-hint"].startswith("tools.1.parameters.count: ")


def jpeg(*segments: tuple[int, bytes]) -> str:
    parts = [bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data for marker, data in segments]
    return base64.b64encode(b"\xff\xd8" + b"".join(parts)).decode()


FRAME = struct.pack(">BHHB", 8, 20, 30, 3) + bytes(9)
OTHER = struct.pack(">BHHB", 8, 50, 60, 3) + bytes(9)


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC9, 0xCB, 0xCF])
def test_a_jpeg_is_as_large_as_its_frame_says(marker: int) -> None:
    assert media.image(jpeg((0xE0, b"JFIF\0" + bytes(9)), (marker, FRAME))) == media.Image("image/jpeg", 30, 20)


@pytest.mark.parametrize("marker", [0xC4, 0xC8, 0xCC, 0xDB, 0xFE])
def test_a_segment_that_is_no_frame_is_passed_over(marker: int) -> None:
    assert media.image(jpeg((marker, OTHER), (0xC0, FRAME))) == media.Image("image/jpeg", 30, 20)


@pytest.mark.parametrize(
    ("anchor", "is_one"), [("a", True), ("_a-1.b", True), ("1a", False), ("a#", False), ("", False)]
)
def test_an_anchor_is_a_name(anchor: str, is_one: bool) -> None:
    assert is_schema({"$anchor": anchor}) == is_one


@pytest.mark.parametrize(("length", "shown"), [(100, "a" * 100), (101, "a" * 99 + "…")])
def test_a_name_of_a_query_is_told_whole_up_to_100_characters(length: int, shown: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_query(f"{'a' * length}=1", {})
    assert refused.value.message == f"{shown}: Extra inputs are not permitted"


@pytest.mark.parametrize("text", ['"\\ud83d"', '"\\ude00"', '"\\ude00\\ud83d"', '{"\\ud83d": 1}', '"\\ud83d\\ud83d"'])
def test_half_a_character_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        request.strict_json(text)


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', '"\\\\ud83d"', '"\\u0041\\n"'])
def test_what_only_looks_like_half_a_character_is_json(text: str) -> None:
    assert request.strict_json(text) == json.loads(text)


@pytest.mark.parametrize("pattern", [r"a\Z", "a$", "(a$)|x", "(?m)a$", r"\Aa", "^a", "(?m)^a", r"\ba\b", r"a\B"])
@pytest.mark.parametrize("text", ["a", "a\n", "ba", "ab", "b\na\nb", "a b", "é a", ""])
def test_places_are_those_of_re(pattern: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(pattern, text) is not None

    assert Expression(pattern).found_in(text) == found
    monkeypatch.setattr(expression, "_AT_ONCE", -1)  # as of a text that is too long for `re`
    assert Expression(pattern).found_in(text) == found


def test_neighbours_of_one_role_are_one_turn_from_the_first_message_on() -> None:
    said = [{"role": role} for role in ("assistant", "assistant", "user")]

    assert history._newest(said) == range(2)
    assert history._newest([*said, {"role": "assistant"}]) == range(3, 4)
    assert history._newest(said[2:]) == range(0)


def test_what_costs_little_is_judged_however_much_there_is_of_it() -> None:
    many = [f"item {at}" for at in range(2_000)]
    assert Checker({"uniqueItems": True}).violations(many) == []
    assert Checker({"uniqueItems": True}).violations([*many, "item 0"]) != []

    named = {"$defs": {f"d{at}": {"type": "integer"} for at in range(3_000)}, "items": {"$ref": "#/$defs/d7"}}
    assert Checker(named).violations([1] * 100) == []
    assert Checker(named).violations([1] * 100 + ["x"]) == ["$[100]: 'x' is not of type 'integer'"]


def test_a_format_costs_tokens_of_a_prompt_that_is_a_mere_text_too() -> None:
    body = {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "Hi"}]}
    schema = {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
    asked = MessagesRequest({**body, "output_config": {"format": schema}})
    model = model_of(asked, ANTHROPIC)

    assert input_tokens(asked, model, TokenCounter()) > input_tokens(MessagesRequest(body), model, TokenCounter())


def test_a_reply_is_cut_to_its_length_and_stays_what_it_is() -> None:
    call = ToolUse(name="look", input={"where": "here and there and everywhere"}, id="toolu_1")
    short = cut([call], call.call_tokens + 3, [])

    assert cut([Text(text="one two three four")], 2, []) == Cut((Text(text="one two"),), "max_tokens")
    assert short is not None
    (left,) = short.content
    assert isinstance(left, ToolUse)
    assert left.raw is not None
    assert (left.name, left.id, left.input) == ("look", "toolu_1", call.input)


def test_a_first_text_of_one_token_is_whole_whatever_the_model_makes_of_it() -> None:
    assert cut([Text(text="Hi")], 1, [], 1.3) is None
    assert cut([Text(text="Hi"), Text(text="there")], 1, [], 1.3) == Cut((Text(text="Hi"),), "max_tokens")


def test_bytes_that_are_no_event_are_told_as_such() -> None:
    assert sse.readable_payload(b"junk") == {"type": "(bytes)", "text": "junk"}
    assert sse.readable_payload(b'data: {"type":"ping"}\n\n') == {"type": "ping"}


def test_json_written_in_steps_is_that_written_at_once() -> None:
    written: list[str] = []
    many = {"many": ["x" * 100] * 2_000}
    said = {"a": [1, None, [], {}, "x" * 70_000, [True, "y"]], "b": {"c": "\n"}, "d": 0.5, "e": ("z", *range(3_000))}

    assert sse.dumps_in_steps(said) == sse.dumps(said)
    assert sse.dumps_in_steps("é") == '"é"'
    sse.put_json(many, written.append)
    assert "".join(written) == sse.dumps(many)
    assert max(map(len, written)) == 102


def test_a_strict_profile_wants_one_schema_at_the_top() -> None:
    tool = {"name": "f", "input_schema": {"type": "object", "oneOf": [{}]}}
    said = [{"role": "user", "content": "q"}]
    asked = MessagesRequest({"model": "claude-opus-4-8", "max_tokens": 9, "messages": said, "tools": [tool]})

    with pytest.raises(ApiError) as refused:
        validate(asked, ANTHROPIC)
    told = ".input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
    assert refused.value.message.endswith(told)


@pytest.mark.parametrize("key", ["$defs", "definitions"])
def test_a_definition_that_nobody_refers_to_is_no_way_into_a_circle(key: str) -> None:
    whole = {key: {"whole": {"$ref": "#"}}}

    assert schemas._circle(whole) is None
    assert schemas._circle({"not": {"$ref": f"#/{key}/whole"}, **whole}) == ["#", "whole", "#"]


def test_calls_and_results_may_come_in_several_messages_of_one_turn() -> None:
    told = {"role": "system", "content": "Be brief."}
    calls, results = (
        [{"role": role, "content": [{"type": type, key: id}]} for id in ("a", "b")]
        for role, type, key in (("assistant", "tool_use", "id"), ("user", "tool_result", "tool_use_id"))
    )

    results_paired(MessagesRequest({"messages": [calls[0], told, calls[1], results[0], told, results[1]]}), ANTHROPIC)
    with pytest.raises(ApiError, match="`tool_use` ids were found without `tool_result` blocks"):
        results_paired(MessagesRequest({"messages": [calls[0], told, calls[1], results[0]]}), ANTHROPIC)


@pytest.mark.parametrize(("value", "is_whole"), [(2, True), (2.0, True), (2.5, False), (-0.5, False)])
def test_a_whole_number_may_be_written_with_a_point(value: float, is_whole: bool) -> None:
    wrong = "Input should be a valid integer, got a number with a fractional part"

    assert integer()(value) == (None if is_whole else ("", wrong))


def test_what_cannot_be_read_in_its_bounds_is_told_of_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^nested too deeply: line 1 column 1 \(char 0\)$"):
        request.strict_json("[" * 100_000)
    monkeypatch.setattr(request, "_SHORT_TEXT", 1)
    monkeypatch.setattr(request, "_VALUES_AT_ONCE", 1)
    monkeypatch.setattr(request, "MOST_VALUES", 3)
    assert request.strict_json("[1, 2]") == [1, 2]
    with pytest.raises(ValueError, match=r"^more than 3 values: line 1 column 1 \(char 0\)$"):
        request.strict_json("[1, 2, 3]")


@pytest.mark.parametrize("enabled", [True, False, None])
def test_citations_of_a_search_result_are_judged_and_those_of_a_document_cost(enabled: bool | None) -> None:
    cited = {"citations": {"enabled": enabled}}
    found = {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "Hi"}]}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}}

    def asking(block: dict[str, Any]) -> MessagesRequest:
        said = [{"role": "user", "content": [block]}]
        return MessagesRequest({"model": "claude-opus-4-8", "max_tokens": 9, "messages": said})

    validate(asking({**found, **cited}), ANTHROPIC)
    with pytest.raises(ApiError, match="citations"):
        validate(asking({**found, "citations": {"enabled": "yes"}}), ANTHROPIC)
    model = model_of(asking(document), ANTHROPIC)
    shown = ({"type": "text", "text": "Hi"}, document, {**document, **cited})
    text, plain, told = (input_tokens(asking(one), model, TokenCounter()) for one in shown)
    assert (plain - text, told - plain) == (33, 540 if enabled else 0)


NAMES = [f"name {at}" for at in range(3_200)]


@pytest.mark.parametrize(
    ("schema", "value", "least"),
    [
        ({"required": NAMES}, dict.fromkeys(NAMES), 200),
        ({"enum": NAMES}, NAMES[0], 800),
        ({"properties": {name: {} for name in NAMES}}, {}, 100),
        ({"dependentRequired": {"a": NAMES}}, {}, 200),
        ({"dependentSchemas": {name: {} for name in NAMES}}, {}, 100),
        ({"uniqueItems": True}, NAMES, 800),
        ({"contains": {}}, NAMES, 3_200),
        ({"propertyNames": {}}, dict.fromkeys(NAMES), 3_200),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) and len(one) == 1 else "",
)
def test_what_a_keyword_goes_through_is_counted(schema: dict[str, Any], value: Any, least: int) -> None:
    with bounded() as left:
        before = left.client.checks
        assert Checker(schema).violations(value) == []
    assert before - left.client.checks >= least


KEYWORDS = """
    type enum examples pattern multipleOf required patternProperties dependentRequired dependencies $id $vocabulary
    $anchor $dynamicAnchor $recursiveAnchor $ref $dynamicRef $recursiveRef $schema $comment format title description
    contentEncoding contentMediaType uniqueItems deprecated readOnly writeOnly minimum maximum exclusiveMinimum
    exclusiveMaximum minLength maxLength minItems maxItems minContains maxContains minProperties maxProperties items
    contains additionalProperties propertyNames not if then else unevaluatedItems unevaluatedProperties contentSchema
    allOf anyOf oneOf prefixItems properties dependentSchemas $defs definitions
""".split()  # noqa: SIM905 # words are read more easily so


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_keyword_says_something_of_its_kind(keyword: str) -> None:
    assert not is_schema({keyword: 5}) or not is_schema({keyword: "x"})


@pytest.mark.parametrize(
    ("status", "type", "message"),
    [
        (400, "invalid_request_error", "Invalid request"),
        (401, "authentication_error", "invalid x-api-key"),
        (402, "billing_error", "There is a problem with your billing information."),
        (403, "permission_error", "Your API key does not have permission to use the specified resource"),
        (404, "not_found_error", "The requested resource could not be found"),
        (409, "conflict_error", "The request conflicts with the current state of the resource"),
        (413, "request_too_large", "Request exceeds the maximum size"),
        (429, "rate_limit_error", "This request would exceed your account's rate limit. Please try again later."),
        (500, "api_error", "Internal server error"),
        (504, "timeout_error", "The request timed out"),
        (529, "overloaded_error", "Overloaded"),
    ],
)
def test_an_error_that_nobody_words_has_its_type_and_text(status: int, type: str, message: str) -> None:
    assert (STATUS[type], TYPE[status], MESSAGE[type]) == (status, type, message)


@pytest.mark.parametrize(
    ("status", "type"),
    [
        *((status, "invalid_request_error") for status in (405, 422)),
        (408, "timeout_error"),
        *((status, "api_error") for status in (501, 502, 503)),
    ],
)
def test_a_status_beside_those_of_the_types_has_one_of_them(status: int, type: str) -> None:
    assert TYPE[status] == type


def test_a_frame_is_due_at_most_as_late_as_its_clock_can_say() -> None:
    latest = (1 << 32) - 1
    steps = [Send(latest, b"a"), Send(1, b"b"), Send(latest + 1, b"c")]
    parts = rolled(Plan(200, (), ()), steps).parts

    assert [list(part.at) for part in parts] == [[latest], [1], [latest]]
    assert list(AT_ONCE) == [0]


def test_what_deltas_add_to_a_thought_is_its_text_and_signature() -> None:
    start = {"type": "content_block_start", "content_block": {"type": "thinking", "thinking": "", "signature": ""}}
    deltas = [
        {"type": "thinking_delta", "thinking": "Hm"},
        {"type": "thinking_delta", "thinking": "."},
        {"type": "signature_delta", "signature": "s"},
    ]
    events = [{"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas]
    stop = {"type": "content_block_stop", "index": 0}

    said = fold([{"type": "message_start", "message": {}}, start, *events, stop])
    assert said["content"] == [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]


def test_a_model_and_a_profile_that_say_nothing_are_as_the_api_is() -> None:
    model, profile = Model(id="m"), Profile(name="p", models=())

    assert (model.thinking_default, model.thinking_display, model.effort, model.sampling) == (
        *("off", "summarized", "high", "free"),
    )
    assert (model.over_window, model.inference_geo, model.thinking_usage) == ("stop", "global", "asked")
    assert all((model.fast, model.prefill, model.forced_tools, model.system_messages, model.signed_text))
    assert all((profile.request_id_in_body, profile.rate_limit_headers, profile.complete_usage))
    assert all((profile.encrypted_results, profile.callers))
    others = (model.bound_thinking, profile.version_required, profile.priority_tier, profile.threads, profile.any_model)
    assert not any(others)


def test_a_model_is_listed_without_what_it_lacks_by_these_names() -> None:
    assert set(get_args(Capability)) == {
        *("batch", "citations", "clear_thinking_20251015", "clear_tool_uses_20250919", "code_execution"),
        *("compact_20260112", "compaction", "image_input", "pdf_input", "programmatic_tools", "structured_outputs"),
        "web_search",
    }


def test_what_nobody_knows_of_a_batch_is_passed_over_where_the_profile_does() -> None:
    told = {"requests": [{"custom_id": "a", "params": {}, "more": 1}], "more": 1}

    assert len(rules.requests_of(told, load_profile("octen"))) == 1
    with pytest.raises(ApiError, match="more: Extra inputs are not permitted"):
        rules.requests_of(told, ANTHROPIC)
    with pytest.raises(ApiError, match=r"requests\.0\.more: Extra inputs are not permitted"):
        rules.requests_of({"requests": told["requests"]}, ANTHROPIC)


@pytest.mark.parametrize(
    ("name", "fits", "breaks"),
    [
        ("model", "m", 5),
        ("prompt", "Hi", 5),
        ("max_tokens_to_sample", 1, 0),
        ("stop_sequences", ["a"], [5]),
        ("stream", None, "yes"),
        ("metadata", {}, "m"),
        ("temperature", 1, 1.5),
        ("top_p", 0.5, 2),
        ("top_k", 0, -1),
    ],
)
def test_a_parameter_of_an_old_completion_is_judged(name: str, fits: Any, breaks: Any) -> None:
    body = {"model": "m", "prompt": "Hi", "max_tokens_to_sample": 9}

    completion.validate({**body, name: fits}, ANTHROPIC)
    with pytest.raises(ApiError, match=f"^{name}"):
        completion.validate({**body, name: breaks}, ANTHROPIC)


COUNTED = """
    model messages system tools tool_choice thinking output_config cache_control speed mcp_servers context_management
    compaction billing_policy output_format
""".split()  # noqa: SIM905 # words are read more easily so


def test_a_request_for_a_count_has_these_parameters_and_no_other() -> None:
    assert set(COUNTED) == PARAMETERS_COUNTED
    with pytest.raises(ApiError, match="max_tokens: Extra inputs are not permitted"):
        only_counted(MessagesRequest({"model": "m", "messages": [], "max_tokens": 9}), ANTHROPIC)


def test_a_usage_that_counts_nothing_is_all_zeros() -> None:
    counted = {name: value for name, value in asdict(Usage()).items() if isinstance(value, int)}

    assert set(counted.values()) == {0}
    assert len(counted) == 12
    assert Usage().inference_geo == "not_available"


def test_a_counter_that_a_scenario_sets_is_told_where_the_api_tells_it() -> None:
    usage = Usage(override={"input_tokens": 3, "output_tokens": 7, "service_tier": "batch"})

    start, end = at_start(usage, complete=True), at_end(usage, complete=True)

    assert (start["input_tokens"], start["output_tokens"], start["service_tier"]) == (3, 0, "batch")
    assert (end["input_tokens"], end["output_tokens"], end.get("service_tier")) == (3, 7, None)


LANGUAGES = "ar de en es fr hi id it ja ko nl pl pt ru th tr vi zh"
SEARCH: dict[str, tuple[list[Any], list[Any]]] = {
    "count": ([1, 100, None], [0, 101]),
    "include_domains": ([["a" * 60] * 1_200], [["a" * 61], ["a"] * 1_201]),
    "exclude_domains": ([["a" * 60] * 1_200], [["a" * 61], ["a"] * 1_201]),
    "include_text": ([["a" * 30] * 5], [["a" * 31], ["a"] * 6]),
    "exclude_text": ([["a" * 30] * 5], [["a" * 31], ["a"] * 6]),
    "time_basis": (["auto", "published", "crawled"], ["never"]),
    "time_range": (["day", "week", "month", "year", "d", "w", "m", "y"], ["hour"]),
    "start_time": (["2026-01-01"], [5]),
    "end_time": (["2026-01-01"], [5]),
    "language": ([LANGUAGES.split()], [["xx"]]),
    "highlight": (
        [{"enable": True, "max_tokens": 100}, {"max_tokens": 20_000}],
        [{"max_tokens": 99}, {"max_tokens": 20_001}],
    ),
    "full_content": (
        [{"enable": True, "max_tokens": 100}, {"max_tokens": 100_000}],
        [{"max_tokens": 99}, {"max_tokens": 100_001}],
    ),
    "format": (["markdown", "text"], ["html"]),
    "safesearch": (["off", "strict"], ["on"]),
    "include_images": ([True, False], ["yes"]),
    "max_searches": ([1], [0]),
    "max_queries": ([1, 30], [0, 31]),
}


@pytest.mark.parametrize("name", SEARCH)
def test_a_parameter_of_the_search_is_judged(name: str) -> None:
    def judge(value: Any) -> None:
        tool = {"type": "octen_search", "parameters": {name: value}}
        parameters.parameters(MessagesRequest({"model": "m", "messages": [], "tools": [tool]}), load_profile("octen"))

    fits, breaks = SEARCH[name]
    for value in fits:
        judge(value)
    for value in breaks:
        with pytest.raises(ApiError) as refused:
            judge(value)
        assert dict(refused.value.headers)["x-mock-hint"].startswith(f"tools.0.parameters.{name}")


@pytest.mark.parametrize(
    ("name", "breaks"),
    [
        *((name, 5) for name in ("model", "messages", "system", "stop_sequences", "tools", "tool_choice", "thinking")),
        *(
            (name, 5)
            for name in ("output_config", "cache_control", "metadata", "service_tier", "inference_geo", "speed")
        ),
        *((name, "x") for name in ("max_tokens", "stream", "temperature", "top_p", "top_k")),
        *((name, 5) for name in ("diagnostics", "mcp_servers", "context_management", "compaction", "billing_policy")),
        ("output_format", 5),
    ],
)
def test_each_parameter_is_of_its_kind(name: str, breaks: Any) -> None:
    with pytest.raises(ApiError, match=f"^{name}"):
        parameters.check_fields({name: breaks})


@pytest.mark.parametrize(
    ("name", "betas"),
    [
        ("mcp_servers", ["mcp-client-2025-04-04"]),
        ("context_management", ["context-management-2025-06-27", "compact-2026-01-12"]),
        ("compaction", ["compact-2026-09-04"]),
        ("fallbacks", ["server-side-fallback-2026-06-01"]),
        ("fallback_credit_token", ["fallback-credit-2026-06-01"]),
        ("thread", ["message-threads-2026-08-26"]),
        ("billing_policy", ["user-profiles-billing-2026-01-01"]),
    ],
)
def test_a_parameter_of_a_beta_is_known_where_the_beta_is_asked_for(name: str, betas: list[str]) -> None:
    for beta in betas:
        parameters.no_unknown(MessagesRequest({name: {}}, {"anthropic-beta": beta}), ANTHROPIC)
    with pytest.raises(ApiError, match=f"^{name}: Extra inputs are not permitted"):
        parameters.no_unknown(MessagesRequest({name: {}}, {"anthropic-beta": "other-2026-01-01"}), ANTHROPIC)


BOUNDS = "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf"
NOT_STRICT = {
    "integer": BOUNDS,
    "number": BOUNDS,
    "string": "minLength maxLength",
    "array": "maxItems uniqueItems contains minContains maxContains prefixItems",
    "object": "patternProperties propertyNames minProperties maxProperties dependentRequired if dependentSchemas",
}
OF_A_SCHEMA = {"contains", "propertyNames", "if"}
OF_NAMES = {"patternProperties", "dependentSchemas"}


@pytest.mark.parametrize(
    ("type", "keyword"), [(type, keyword) for type, keywords in NOT_STRICT.items() for keyword in keywords.split()]
)
def test_a_strict_schema_has_none_of_these(type: str, keyword: str) -> None:
    values = {"prefixItems": [{}], "uniqueItems": True, "dependentRequired": {"a": ["b"]}}
    value: Any = {} if keyword in OF_A_SCHEMA else {"a": {}} if keyword in OF_NAMES else values.get(keyword, 2)
    closed = {"additionalProperties": False} if type == "object" else {}

    with pytest.raises(ApiError) as refused:
        validate(strict({"properties": {"a": {"type": type, **closed, keyword: value}}}), ANTHROPIC)
    assert refused.value.message.endswith(f"For '{type}' type, property '{keyword}' is not supported")


@pytest.mark.parametrize("tail", ["$", r"\Z"])
def test_an_end_inside_a_group_is_the_end(tail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expression, "_AT_ONCE", -1)  # as of a text that is too long for `re`
    ends = Expression(f"(?:(?P<x>a{tail})|b) ?")
    monkeypatch.setattr(expression, "_AT_ONCE", 1_000)  # so that RE2 has the word
    monkeypatch.setattr(ends, "_plain", None)
    assert ends.captures("a") == {"x": "a"}
    assert ends.captures("ac") == {}


def test_a_long_body_that_says_what_a_short_one_says_is_the_same_prompt() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "system": "Be kind."}
    short = json.dumps(body).encode()
    long = short + b" " * request.LONG
    assert request.parse(long).is_long
    assert request.parse(long).fingerprint == request.parse(short).fingerprint


def test_a_stream_is_read_whichever_way_its_lines_end() -> None:
    ping = {"type": "ping"}
    for end in (b"\n", b"\r\n", b"\r"):
        said = b"event: ping" + end + b'data: {"type":' + end + b'data: "ping"}' + end + end
        assert list(sse.heard(said)) == [ping]
        assert list(sse.heard(said + b": a remark" + end + end + said)) == [ping, ping]


@pytest.mark.parametrize("data", ["{", "[1]", '["type"]', '"type"', "{}", "null"])
def test_data_that_is_no_event_is_told_as_broken(data: str) -> None:
    assert list(sse.heard(f"data: {data}\n\n".encode())) == [{"type": "(broken)", "data": data}]


def test_an_event_that_the_api_does_not_have_is_told_by_its_name() -> None:
    assert list(sse.heard(b'event: queued\ndata: {"place":3}\n\n')) == [{"type": "queued", "place": 3}]
    assert list(sse.heard(b"event: queued\ndata: 3\n\n")) == [{"type": "(broken)", "data": "3"}]
    bare = b'event: message_stop\ndata: {"place":3}\n\n'  # the API's own has a type
    assert list(sse.heard(bare)) == [{"type": "(broken)", "data": '{"place":3}'}]


def test_a_summary_is_cut_to_its_length_and_stays_one() -> None:
    summary = Compaction(content="one two three four", signature="x")
    short = cut([summary], 2, [])
    assert short is not None
    (left,) = short.content
    assert isinstance(left, Compaction)
    assert left.content == "one two"


@pytest.mark.parametrize("over", [0, 1])
def test_a_schema_may_have_so_many_nodes(over: int) -> None:
    assert schemas.Weight(0, 0, schemas.MOST_NODES + over).is_complex == bool(over)


def steps_of(body: dict[str, Any], known: Known | None = None) -> MessagesRequest:
    asked = MessagesRequest({"model": "claude-opus-4-8", **body})
    if known is not None:
        asked.known = known
    return asked


def beginning(of: MessagesRequest) -> Known:
    """What is known of a conversation that goes on from this one."""
    known = Known(None, {}, 0, 0)
    known.shared = len(of.messages)
    known.scanned = of.scanned
    return known


def prefix_of(asked: MessagesRequest) -> Prefix:
    return prefix(asked, model_of(asked, ANTHROPIC), TokenCounter())


@pytest.mark.parametrize(("ttl", "told"), [(None, "5m"), ("5m", "5m"), ("1h", "1h")])
def test_a_search_tool_marks_the_prompt_for_as_long_as_it_says(ttl: str | None, told: str) -> None:
    mark = {"type": "ephemeral", **({} if ttl is None else {"ttl": ttl})}
    tool = {"type": "web_search_20250305", "name": "web_search", "cache_control": mark}
    made = prefix_of(steps_of({"messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}))
    assert [made.steps[at].ttl for at in made.marked] == [told]


@pytest.mark.parametrize(("last", "marked"), [("more", 1), ("", 0)])
def test_a_mark_of_the_request_is_on_the_last_block_that_says_something(last: str, marked: int) -> None:
    said = [{"type": "text", "text": "Hi"}, {"type": "text", "text": last}]
    body = {"messages": [{"role": "user", "content": said}], "cache_control": {"type": "ephemeral"}}
    assert list(prefix_of(steps_of(body)).marked) == [marked]


def test_a_prompt_with_thoughts_whose_turn_is_over_is_worked_out_anew() -> None:
    """So that a conversation that is known costs what it costs when nobody has seen its beginning."""
    thought = {"type": "thinking", "thinking": "Let me look. " * 9, "signature": "x"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [thought, call]},
        {"role": "user", "content": [result]},
    ]
    more = [{"role": "assistant", "content": "There."}, {"role": "user", "content": "Thanks."}]
    first = steps_of({"messages": messages})
    prefix_of(first)

    known = prefix_of(steps_of({"messages": [*messages, *more]}, beginning(first)))

    assert known == prefix_of(steps_of({"messages": [*messages, *more]}))


def test_a_thought_that_was_blotted_out_has_its_data() -> None:
    thought = {"type": "redacted_thinking", "data": "x" * 8}
    said = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [thought]},
        {"role": "user", "content": "?"},
    ]
    body = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": said}
    with pytest.raises(ApiError, match=r"redacted_thinking.*data"):
        validate(
            MessagesRequest(
                {**body, "messages": [said[0], {**said[1], "content": [{"type": "redacted_thinking"}]}, said[2]]}
            ),
            ANTHROPIC,
        )
    with pytest.raises(ApiError, match=r"signature|data") as refused:
        validate(MessagesRequest(body), ANTHROPIC)
    assert "Field required" not in str(refused.value)


def test_what_is_hard_about_a_schema_is_counted() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": ["string", "null"]}, "c": {"anyOf": [{"type": "null"}]}},
        "required": ["a"],
    }
    assert schemas._weight(schemas._Written(schema)) == schemas.Weight(optional=2, unions=2, nodes=5)


def test_a_search_result_that_was_changed_is_found_behind_one_that_is_none() -> None:
    sound = {"type": "web_search_result", "url": "https://a.example", "title": "A", "page_age": None}
    sound["encrypted_content"] = signing.signature("web_search_result", history.signed_result_text(sound))
    history._results(["none", sound], "messages.1.content.0")
    with pytest.raises(ApiError, match=r"content\.1: Invalid `encrypted_content`"):
        history._results(["none", {**sound, "title": "B"}], "messages.1.content.0")


def test_what_belongs_to_a_tool_that_the_server_runs() -> None:
    theirs = (
        "server_tool_use",
        "mcp_tool_use",
        "web_search_tool_result",
        "mcp_tool_result",
        "bash_code_execution_tool_result",
    )
    assert [kind for kind in (*theirs, "tool_use", "tool_result", "text", None) if is_server_tool(kind)] == [*theirs]


@pytest.mark.parametrize("content", [[], ""])
def test_a_question_says_something(content: object) -> None:
    assert request.texts_of({"role": "user", "content": content}) is None
    assert request.texts_of({"role": "user", "content": [{"type": "text", "text": "Hi"}]}) == ["Hi"]


def test_a_conversation_of_no_messages_is_told_in_one_sentence() -> None:
    with pytest.raises(ApiError) as caught:
        rules.content.messages(request.MessagesRequest({"messages": []}, {}), ANTHROPIC)
    assert caught.value.message == "messages: at least one message is required"


def test_bytes_in_memory_are_read_in_part_or_whole() -> None:
    assert [request.InMemory(b"Hello").read(most) for most in (-1, 0, 2, 9)] == [b"Hello", b"", b"He", b"Hello"]


@pytest.mark.parametrize(
    ("allowed", "told"),
    [("a", "'a'"), ("ab", "'a' or 'b'"), ("abc", "'a', 'b' or 'c'"), ("abcd", "'a', 'b', 'c' or 'd'")],
)
def test_each_value_that_would_do_is_told_once(allowed: str, told: str) -> None:
    assert one_of(*allowed)("x") == ("", f"Input should be {told}")
    assert [one_of(*allowed)(one) for one in allowed] == [None] * len(allowed)


def test_a_summary_that_comes_in_deltas_is_that_of_the_json() -> None:
    start = {"type": "content_block_start", "content_block": {"type": "compaction", "content": None}}
    delta = {"type": "compaction_delta", "content": "They talked.", "encrypted_content": "x"}
    events = [{"type": "content_block_delta", "index": 0, "delta": delta}, {"type": "content_block_stop", "index": 0}]

    said = fold([{"type": "message_start", "message": {}}, start, *events])
    assert said["content"] == [{"type": "compaction", "content": "They talked.", "encrypted_content": "x"}]


def test_the_kind_of_thinking_that_a_model_has_is_named_in_one_sentence() -> None:
    said = [{"role": "user", "content": "q"}]
    body = {"model": "claude-opus-4-8", "max_tokens": 2_000, "messages": said}
    with pytest.raises(ApiError) as refused:
        validate(MessagesRequest({**body, "thinking": {"type": "enabled", "budget_tokens": 1_024}}), ANTHROPIC)
    assert refused.value.message == (
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to '
        "control thinking behavior."
    )


NEEDS = {
    "text": "text",
    "image": "source",
    "document": "source",
    "search_result": "source",
    "thinking": "thinking",
    "redacted_thinking": "data",
    "tool_use": "id",
    "tool_result": "tool_use_id",
    "server_tool_use": "id",
    "web_search_tool_result": "tool_use_id",
    "web_fetch_tool_result": "tool_use_id",
    "code_execution_tool_result": "tool_use_id",
    "bash_code_execution_tool_result": "tool_use_id",
    "text_editor_code_execution_tool_result": "tool_use_id",
    "tool_search_tool_result": "tool_use_id",
    "advisor_tool_result": "tool_use_id",
    "container_upload": "file_id",
    "mcp_tool_use": "id",
    "mcp_tool_result": "tool_use_id",
}


@pytest.mark.parametrize(("type", "field"), NEEDS.items())
def test_a_block_without_its_first_field_is_told_what_it_needs(type: str, field: str) -> None:
    said = [{"role": "user", "content": [{"type": type}]}]
    with pytest.raises(ApiError) as refused:
        rules.content.messages(MessagesRequest({"messages": said}), ANTHROPIC)
    assert refused.value.message == f"messages.0.content.0.{type}.{field}: Field required"


@pytest.mark.parametrize("type", ["mcp_tool_listing", "compaction", "fallback", "tool_addition", "tool_removal"])
def test_the_inside_of_a_block_of_a_beta_is_taken_as_it_comes(type: str) -> None:
    said = [{"role": "user", "content": [{"type": type, "more": [1]}]}]
    rules.content.messages(MessagesRequest({"messages": said}), ANTHROPIC)


def test_a_message_of_a_bare_string_has_no_other_fields() -> None:
    said = [{"role": "user", "content": "Hi", "name": "Ann"}]
    rules.content.messages(MessagesRequest({"messages": said}), load_profile("octen"))
    with pytest.raises(ApiError, match=r"^messages\.0\.name: Extra inputs are not permitted"):
        rules.content.messages(MessagesRequest({"messages": said}), ANTHROPIC)


@pytest.mark.parametrize(
    ("call", "tool"),
    [
        ("code_execution", "code_execution"),
        ("bash_code_execution", "code_execution"),
        ("text_editor_code_execution", "code_execution"),
        ("web_fetch", "web_fetch"),
    ],
)
def test_a_call_that_waits_wants_the_tool_that_makes_it(call: str, tool: str) -> None:
    waits = {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s1", "name": call, "input": {}}]}
    said = {"messages": [{"role": "user", "content": "q"}, waits]}

    history.server_calls_answered(MessagesRequest({**said, "tools": [{"type": tool, "name": tool}]}), ANTHROPIC)
    with pytest.raises(ApiError, match=f"but no `{tool}` tool was provided"):
        history.server_calls_answered(
            MessagesRequest({**said, "tools": [{"type": "other", "name": "other"}]}), ANTHROPIC
        )


def test_what_was_worked_out_before_is_that_of_a_shared_beginning() -> None:
    known = Known(None, {}, 0, 0)
    known.scanned = {"turns": "worked out"}
    asked = steps_of({"messages": [{"role": "user", "content": "Hi"}]}, known)

    assert asked.before("turns") == (None, 0)
    known.shared = 1
    assert asked.before("turns") == ("worked out", 1)
    assert asked.before("other") == (None, 0)


def test_an_atomic_group_keeps_what_it_has_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expression, "_AT_ONCE", -1)  # as of a text that is too long for `re`
    if sys.version_info >= (3, 11):
        assert Expression("(?>a+)b").found_in("caab")
        assert not Expression("(?>a+)ab").found_in("caab")
    else:
        with pytest.raises(re.error):
            Expression("(?>a+)b")


@pytest.mark.parametrize("name", ["highlight", "full_content"])
def test_a_part_of_the_search_is_switched_with_yes_or_no(name: str) -> None:
    tool = {"type": "octen_search", "parameters": {name: {"enable": 1}}}
    with pytest.raises(ApiError) as refused:
        parameters.parameters(MessagesRequest({"model": "m", "messages": [], "tools": [tool]}), load_profile("octen"))
    assert dict(refused.value.headers)["x-mock-hint"].startswith(f"tools.0.parameters.{name}.enable: ")


def test_a_second_message_is_judged_behind_a_question_with_a_mark() -> None:
    """Also where the rest of the request is known, and passed before."""
    marked = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
    said = [{"role": "user", "content": [marked]}, {"role": "assistant", "content": [{"type": "text", "text": ""}]}]
    asked = steps_of({"max_tokens": 9, "messages": said}, Known(None, {}, 0, 0))

    with pytest.raises(ApiError, match="text content blocks must be non-empty"):
        rules.judge(rules.RULES, asked, ANTHROPIC, has_cache_marks=True)


def test_tokens_that_are_a_models_own_are_not_scaled() -> None:
    model = Model(id="m", token_factor=1.5)

    assert [Cost(10, 3).on(model), Cost(10).on(model), Cost(0, 3).on(model)] == [18, 15, 3]
    assert Cost(10, 3) + Cost(1, 2) == Cost(11, 5)


def test_of_two_conversations_the_messages_are_known_in_which_both_agree() -> None:
    said = [f'{{"at":{at}}}' for at in range(5)]
    text = ",".join(said).encode()
    ends = [len(",".join(said[: at + 1])) for at in range(5)]
    story = Story([text], ends, MessagesRequest({"messages": [*range(5)]}), 0)

    for shared in range(6):
        other = b'{"messages":[' + text[: ends[shared - 1] if shared else 0] + b',{"other":1},{"another":"message"}]}'
        assert story.shared(other, len(b'{"messages":['), len(other) - 2) == shared


def test_a_name_too_long_for_one_piece_is_written_as_any_other() -> None:
    said = {"a": 1, "n" * 70_000: {"b": 2}}
    assert sse.dumps_in_steps(said) == sse.dumps(said)


def test_sources_that_come_in_deltas_are_those_of_the_json() -> None:
    start = {"type": "content_block_start", "content_block": {"type": "text", "text": "", "citations": []}}
    deltas = [
        {"type": "text_delta", "text": "So."},
        *({"type": "citations_delta", "citation": {"cited_text": one}} for one in "ab"),
    ]
    events = [{"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas]
    stop = {"type": "content_block_stop", "index": 0}

    said = fold([{"type": "message_start", "message": {}}, start, *events, stop])
    cited = [{"cited_text": "a"}, {"cited_text": "b"}]
    assert said["content"] == [{"type": "text", "text": "So.", "citations": cited}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"\\ud83d"', "no low surrogate in string: line 1 column 2 (char 1)"),
        ('"\\ude00"', "invalid high surrogate in string: line 1 column 2 (char 1)"),
        ('"a\\ud83d\\u0041"', "invalid low surrogate in string: line 1 column 3 (char 2)"),
    ],
)
def test_half_a_character_is_told_where_it_stands(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        request.strict_json(text)


@pytest.mark.parametrize(("value", "deep"), [(1, 1), ([], 1), ([1], 2), ({"a": [1]}, 3), ([[[[[[1]]]]]], 5)])
def test_how_deep_json_is_nested_is_counted_to_one_more_than_the_most(value: Any, deep: int) -> None:
    assert depth(value, 4) == deep


@pytest.mark.parametrize("kind", ["text", "tool_use"])
def test_a_message_of_the_systems_does_not_stand_after_what_an_assistant_says(kind: str) -> None:
    block = {"type": "text", "text": "x"} if kind == "text" else {"type": kind, "id": "t1", "name": "f", "input": {}}
    said = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [block]},
        {"role": "system", "content": "s"},
    ]
    with pytest.raises(ApiError, match=r"messages\.2"):
        models.system_messages(steps_of({"messages": said}), ANTHROPIC)


def test_what_a_prompt_has_lost_of_the_cache_is_all_that_it_does_not_share() -> None:
    def prompt(*steps: tuple[bytes, int]) -> Prefix:
        return Prefix([Step(*step) for step in steps], (), b"m", b"t", b"s")

    cache = PromptCache()
    cache.remember("msg_1", prompt((b"a", 10), (b"b", 25)))

    for other, lost in ((prompt((b"x", 10)), 25), (prompt((b"a", 10), (b"y", 30)), 15)):
        assert cache.miss_reason("msg_1", other) == {"type": "messages_changed", "cache_missed_input_tokens": lost}
    assert cache.miss_reason("msg_1", prompt((b"a", 10), (b"b", 25), (b"c", 30))) is None


def test_a_prompt_that_is_remembered_again_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MOST_STEPS", 4)
    made, prompt = PromptCache(), Prefix([Step(b"a", 10), Step(b"b", 20)], (), b"m", b"t", b"s")
    for id in ("msg_1", "msg_2", "msg_2", "msg_2"):
        made.remember(id, prompt)

    assert made.miss_reason("msg_1", prompt) is None
    made.remember("msg_3", prompt)
    assert made.miss_reason("msg_1", prompt) == {"type": "previous_message_not_found"}


def test_a_mark_for_the_cache_costs_nothing() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"where": "here"}}
    model = Model(id="m")

    marked = block_cost({**call, "cache_control": {"type": "ephemeral"}}, model, TokenCounter())
    assert marked == block_cost(call, model, TokenCounter())


def test_of_too_many_entries_of_the_cache_the_oldest_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MOST_ENTRIES", 2)
    cache = PromptCache()
    prompts = [Prefix([Step(name, 5_000, "5m")], (0,), b"m", b"t", b"s") for name in (b"a", b"b", b"c")]
    for prompt in prompts:
        cache.commit(cache.admit(prompt, 5_000, 1_024, 0), 0, 0)

    assert [cache.admit(prompt, 5_000, 1_024, 1).use.read for prompt in prompts] == [0, 5_000, 5_000]

"""Rules about the JSON schemas that clients send: of their tools' input, and of the output they ask for.

A schema is judged once; that it was fine is remembered by its text. What strict tools and structured outputs take of
JSON Schema is the subset of the public documentation on structured outputs.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeGuard

from mock_server.protocol.checker import Checker, SchemaProblem, is_schema
from mock_server.protocol.errors import invalid
from mock_server.protocol.expression import bounded
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.validate.tools import is_custom, within_reason

DEEPEST, MOST_NODES = 64, 20_000
MOST_STRICT, MOST_OPTIONAL, MOST_UNIONS = 20, 24, 16
_DRAFT = (
    "JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12). "
    "Learn more about tool use at https://docs.claude.com/en/docs/tool-use."
)
_COMPLEX = "Schema is too complex for compilation."
# keywords of each type that the subset does not have; minItems is allowed up to 1
_UNSUPPORTED: Mapping[str, frozenset[str]] = {
    "integer": frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    "number": frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    "string": frozenset(("minLength", "maxLength")),
    "array": frozenset(("maxItems", "uniqueItems", "contains", "minContains", "maxContains", "prefixItems")),
    "object": frozenset(("patternProperties", "propertyNames", "minProperties", "maxProperties", "dependentRequired")),
}
_ANYWHERE = ("not", "if", "oneOf", "dependentSchemas")
# a pattern with one of these needs more than a regular language
_BACKWARD = re.compile(r"\\[1-9]|\(\?[=!<]|\\[bB]")
_LISTED = ("anyOf", "allOf")
_MAPPED = ("properties", "$defs", "definitions")


def tool_schemas(request: MessagesRequest, profile: Profile) -> None:
    """Rules 69 to 73."""
    for index, tool in enumerate(request.tools):
        if is_custom(tool):
            strict = profile.is_strict and bool(tool.get("strict"))
            said = _text([tool["input_schema"], tool.get("input_examples") if profile.is_strict else None])
            if (wrong := _tool_problem(said, profile.is_strict, strict)) is not None:
                raise invalid(f"tools.{index}.custom{wrong}")
    if profile.is_strict:
        _strict_limits(request)


def output_schema(request: MessagesRequest, profile: Profile) -> None:
    """Rules 138 to 140."""
    body = request.body
    format = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    schema = format.get("schema")
    if schema is not None:
        within_reason("output_config.format.schema", [schema])
    if profile.is_strict and schema is not None and (wrong := _output_problem(_text(schema))) is not None:
        raise invalid(f"output_config.format.schema: {wrong}")


def _text(value: object) -> str:
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):
        return "null"


def _tool_problem(said: str, is_strict: bool, subset: bool) -> str | None:
    """What is wrong with the schema and the examples of a tool, after its path."""
    return _once(_judged_tool, said, is_strict, subset)


def _output_problem(said: str) -> str | None:
    return _once(_judged_output, said)


class _NotWhole(Exception):
    """What was found out about a schema of which a part was left unjudged: not to be remembered."""


def _once(judge: Callable[..., str | None], *given: Any) -> str | None:
    """What a judge says; the same text is judged once, but for one that takes more than a request may."""
    try:
        return judge(*given)
    except _NotWhole as found:
        problem: str | None = found.args[0]
        return problem


def _whole(judge: Callable[..., str | None]) -> Callable[..., str | None]:
    def judged(*given: Any) -> str | None:
        with bounded() as left:
            before = left.missed
            problem = judge(*given)
            if left.missed > before:
                raise _NotWhole(problem)
        return problem

    return lru_cache(maxsize=2_000)(judged)


@_whole
def _judged_tool(said: str, is_strict: bool, subset: bool) -> str | None:
    parsed: Any = json.loads(said)
    schema, examples = parsed if isinstance(parsed, list) else (None, None)
    if not _is_schema(schema):
        return f".input_schema: {_DRAFT}"
    if is_strict and any(key in schema for key in ("oneOf", "allOf", "anyOf")):
        return ".input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
    checker = Checker(schema) if examples else None
    for at, example in enumerate(examples or ()):
        if checker is not None and (wrong := _unfit(example, checker)) is not None:
            return f".input_examples.{at}: {wrong}"
    return f": {wrong}" if subset and (wrong := _outside_subset(schema)) is not None else None


@_whole
def _judged_output(said: str) -> str | None:
    schema = json.loads(said)
    return _outside_subset(schema) if _is_schema(schema) else "Schema is invalid"


def _is_schema(schema: Any) -> TypeGuard[dict[str, Any]]:
    """Rule 69: whether it is an object that draft 2020-12 has, and not nested beyond reason."""
    if not isinstance(schema, dict) or _depth(schema) > DEEPEST:
        return False
    return is_schema(schema)


def _depth(value: Any) -> int:
    """How deep a value is nested, as far as `DEEPEST`; without recursion."""
    level, deep = [value], 0
    while level and deep <= DEEPEST:
        inner: list[Any] = []
        for one in level:
            inner += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        level, deep = inner, deep + 1
    return deep


def _unfit(example: Any, checker: Checker) -> str | None:
    """Rule 71: why an example does not match its schema."""
    try:
        wrong = checker.first(example)
    except SchemaProblem as problem:  # a reference that leads nowhere: the schema's fault, found only now
        return f"input_schema cannot be applied: {problem}"
    return None if wrong is None else f"example does not match input_schema: {wrong}"


# -- the subset of strict tools and structured outputs -----------------------------------------------------------------


def _outside_subset(schema: Any) -> str | None:
    """What of a schema is outside the subset, the first part that is."""
    if _is_circular(schema):
        return "Circular $ref detected"
    for count, part in enumerate(_parts(schema)):
        if count > MOST_NODES:
            return _COMPLEX
        if (found := _outside(part)) is not None:
            return found
    return None


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """A schema and every schema in it."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += _inner(part)


def _inner(part: Mapping[str, Any]) -> list[Any]:
    inner = [one for key in _LISTED if isinstance(part.get(key), list) for one in part[key]]
    inner += [one for key in _MAPPED if isinstance(part.get(key), dict) for one in part[key].values()]
    return [*inner, part.get("items"), part.get("additionalProperties")]


def _outside(part: Mapping[str, Any]) -> str | None:
    """What of one schema is not in the subset."""
    given = part.get("type")
    for type in given if isinstance(given, list) else [given]:
        if type == "object" and (found := _open_object(part)) is not None:
            return found
        for key in part:
            if key in _UNSUPPORTED.get(str(type), ()):
                return f"For '{type}' type, property '{key}' is not supported"
        if type == "array" and isinstance(part.get("minItems"), int) and part["minItems"] > 1:
            return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
        if type == "string" and _BACKWARD.search(str(part.get("pattern", ""))):
            return f"For 'string' type, pattern '{part['pattern']}' is not supported"
    return next((f"property '{key}' is not supported" for key in _ANYWHERE if key in part), None)


def _open_object(part: Mapping[str, Any]) -> str | None:
    if "additionalProperties" not in part:
        return "For 'object' type, 'additionalProperties' must be explicitly set to false"
    if part["additionalProperties"] is not False:
        return (
            "For 'object' type, 'additionalProperties: true' is not supported. "
            "Please set 'additionalProperties' to false"
        )
    return None


def _is_circular(schema: Any) -> bool:
    """Whether a definition leads back to itself by `$ref`."""
    named = {key: schema[key] for key in ("$defs", "definitions") if isinstance(schema.get(key), dict)}
    defs = {f"#/{key}/{name}": one for key, listed in named.items() for name, one in listed.items()}
    leads = {ref: _refs(one) for ref, one in defs.items()}
    seen, waiting = set[str](), _refs(schema)
    while waiting:
        ref = waiting.pop()
        if ref == "#":
            return True
        if ref in leads and ref not in seen:
            seen.add(ref)
            waiting += leads[ref]
    # take away what nothing leads to, again and again: what is left leads in a circle
    left = Counter(ref for refs in leads.values() for ref in refs)
    free = [ref for ref in leads if not left[ref]]
    while free:
        for ref in leads.pop(free.pop()):
            left[ref] -= 1
            if ref in leads and not left[ref]:
                free.append(ref)
    return bool(leads)


def _refs(part: Any) -> list[str]:
    """The references in a schema, but for those inside its definitions."""
    found, waiting = list[str](), [part]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("$ref"), str):
                found.append(one["$ref"])
            waiting += [inner for key, inner in one.items() if key not in ("$defs", "definitions")]
        elif isinstance(one, list):
            waiting += one
    return found


def _strict_limits(request: MessagesRequest) -> None:
    """Rule 73."""
    strict = [tool["input_schema"] for tool in request.tools if is_custom(tool) and tool.get("strict")]
    if len(strict) > MOST_STRICT:
        raise invalid(f"tools: at most {MOST_STRICT} strict tools may be provided. Found {len(strict)}.")
    if not strict:
        return
    optional = sum(_optional(part) for schema in strict for part in _parts(schema))
    if optional > MOST_OPTIONAL:
        raise invalid(f"tools: strict tools may have {MOST_OPTIONAL} optional parameters. Found {optional}.")
    unions = sum("anyOf" in part or isinstance(part.get("type"), list) for schema in strict for part in _parts(schema))
    if unions > MOST_UNIONS:
        raise invalid(f"tools: {_COMPLEX} At most {MOST_UNIONS} parameters may have union types. Found {unions}.")


def _optional(part: Mapping[str, Any]) -> int:
    properties, needed = part.get("properties"), part.get("required")
    if not isinstance(properties, dict):
        return 0
    return len(set(properties) - set(needed if isinstance(needed, list) else ()))

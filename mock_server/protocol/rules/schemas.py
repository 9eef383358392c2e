"""Rules about the JSON schemas that clients send: of their tools' input, and of the output they ask for.

A schema is judged once; that it was fine is remembered. What strict tools and structured outputs take of
JSON Schema is the subset of the public documentation on structured outputs.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, TypeGuard, TypeVar

from mock_server.protocol.errors import LONGEST_MESSAGE, excerpt, invalid
from mock_server.protocol.expression import bounded
from mock_server.protocol.json_schema import Checker, SchemaProblem, depth, is_schema
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.rules.tools import is_custom, within_reason
from mock_server.protocol.sse import dumps, dumps_in_steps, encode

DEEPEST, MOST_NODES = 64, 20_000
MOST_STRICT, MOST_OPTIONAL, MOST_UNIONS = 20, 24, 16
_DRAFT = (
    "JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12). "
    "Learn more about tool use at https://docs.claude.com/en/docs/tool-use."
)
_COMPLEX = "Schema is too complex for compilation. Try reducing the number of tools or simplifying tool schemas."
# keywords of each type that the subset does not have; minItems is allowed up to 1
_UNSUPPORTED: Mapping[str, frozenset[str]] = {
    "integer": frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    "number": frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    "string": frozenset(("minLength", "maxLength")),
    "array": frozenset(("maxItems", "uniqueItems", "contains", "minContains", "maxContains", "prefixItems")),
    "object": frozenset(("patternProperties", "propertyNames", "minProperties", "maxProperties", "dependentRequired")),
}
_ANYWHERE: Mapping[str, str] = {
    "oneOf": "Schema type 'oneOf' is not supported",
    "not": "Schema keyword 'not' is not supported",
    "if": "For 'object' type, property 'if' is not supported",
    "dependentSchemas": "For 'object' type, property 'dependentSchemas' is not supported",
}
# a pattern with one of these needs more than a regular language
_BACKWARD = re.compile(r"\\[1-9]|\(\?[=!<]|\\[bB]")
_NOTHING: frozenset[str] = frozenset()
_LISTED = ("anyOf", "allOf")
_MAPPED = ("properties", "$defs", "definitions")


def tool_schemas(request: MessagesRequest, profile: Profile) -> None:
    """Rules 69 to 72: the schema of a tool is a JSON Schema, its examples fit it, a strict one can become a grammar."""
    for index, tool in enumerate(request.tools):
        if is_custom(tool):
            strict = profile.is_strict and bool(tool.get("strict"))
            judged = [tool["input_schema"], tool.get("input_examples") if profile.is_strict else None]
            written = _Written(judged, is_long=request.is_long)
            if (wrong := _once(_tool_problem, written, profile.is_strict, strict)) is not None:
                raise invalid(f"tools.{index}.custom{wrong}")


def output_schema(request: MessagesRequest, profile: Profile) -> None:
    """Rules 138 to 140: the schema of a format has closed objects, and only what a grammar can be made of."""
    where, schema = _output_format(request)
    if schema is not None:
        within_reason(f"{where}.schema", [schema])
    if not profile.is_strict or schema is None:
        return
    if (wrong := _once(_output_problem, _Written(schema, is_long=request.is_long))) is not None:
        raise invalid(f"{where}.schema: {wrong}")


def _output_format(request: MessagesRequest) -> tuple[str, Any]:
    """Where a request describes its output, and the schema of that, if any."""
    format = (request.body.get("output_config") or {}).get("format")
    if format:
        return "output_config.format", format.get("schema")
    return "output_format", (request.body.get("output_format") or {}).get("schema")


def limits(request: MessagesRequest, profile: Profile) -> None:
    """Rule 73: what the schemas of strict tools and of the output may have together, and one of them alone."""
    strict = [tool["input_schema"] for tool in request.tools if is_custom(tool) and tool.get("strict")]
    _, output = _output_format(request)
    if not profile.is_strict or not (strict or output):
        return
    if len(strict) > MOST_STRICT:
        raise invalid(
            f"Too many strict tools ({len(strict)}). The maximum number of strict tools supported is {MOST_STRICT}. "
            "Try reducing the number of tools marked as strict."
        )
    written = (_Written(one, is_long=request.is_long) for one in (*strict, output) if one is not None)
    weights = [_once(_weight, one) for one in written]
    optional, unions = sum(one.optional for one in weights), sum(one.unions for one in weights)
    if optional > MOST_OPTIONAL:
        raise invalid(
            f"Schemas contains too many optional parameters ({optional}), which would make grammar compilation "
            "inefficient. Reduce the number of optional parameters in your tool schemas "
            f"(limit: {MOST_OPTIONAL})."
        )
    if unions > MOST_UNIONS:
        raise invalid(
            f"Schemas contains too many parameters with union types ({unions} parameters with type arrays or anyOf). "
            "This causes exponential compilation cost. Reduce the number of nullable or union-typed parameters "
            f"(limit: {MOST_UNIONS} parameters with unions)."
        )
    if any(one.is_complex for one in weights):
        raise invalid(_COMPLEX)


class Weight(NamedTuple):
    """What makes a schema hard to compile: parameters that may be left out, and those of several types."""

    optional: int
    unions: int
    nodes: int

    @property
    def is_complex(self) -> bool:
        """Whether it is too hard alone: what all schemas together may just have, one may not."""
        return self.optional >= MOST_OPTIONAL or self.unions >= MOST_UNIONS or self.nodes > MOST_NODES


class _Written:
    """A schema as the text that is judged. It is known by a digest, by which alone it is remembered: clients send long
    ones.
    """

    __slots__ = ("_digest", "text")

    def __init__(self, value: object, *, is_long: bool = False) -> None:
        try:
            self.text = dumps_in_steps(value) if is_long else dumps(value)
        except (ValueError, RecursionError):
            self.text = "null"
        self._digest = hashlib.blake2b(encode(self.text), digest_size=16).digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Written) and other._digest == self._digest


class _NotWhole(Exception):
    """What was found out about a schema of which a part was left unjudged: not to be remembered."""


_J = TypeVar("_J")


def _once(judge: Callable[..., _J], written: _Written, *more: Any) -> _J:
    """What a judge says; the same text is judged once, but for one that takes more than a request may."""
    try:
        return judge(written, *more)
    except _NotWhole as found:
        problem: _J = found.args[0]
        return problem
    finally:
        written.text = ""  # it may be remembered from now on


def _whole(judge: Callable[..., str | None]) -> Callable[..., str | None]:
    def judged(written: _Written, *more: Any) -> str | None:
        with bounded() as left:
            before = left.missed
            problem = judge(written.text, *more)
            if left.missed > before:
                raise _NotWhole(problem)
        return None if problem is None else excerpt(problem, LONGEST_MESSAGE)

    return lru_cache(maxsize=2_000)(judged)


@_whole
def _tool_problem(text: str, is_strict: bool, subset: bool) -> str | None:
    """What is wrong with the schema and the examples of a tool, after its path."""
    parsed: Any = json.loads(text)
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
def _output_problem(text: str) -> str | None:
    schema = json.loads(text)
    return _outside_subset(schema) if _is_schema(schema) else "Schema is invalid"


@lru_cache(maxsize=2_000)
def _weight(written: _Written) -> Weight:
    optional, unions, nodes = 0, 0, 0
    for part in islice(_parts(json.loads(written.text)), MOST_NODES + 1):
        optional += _optional(part)
        unions += "anyOf" in part or isinstance(part.get("type"), list)
        nodes += 1
    return Weight(optional, unions, nodes)


def _is_schema(schema: Any) -> TypeGuard[dict[str, Any]]:
    """Rule 69: whether it is an object that draft 2020-12 has, and not nested beyond reason."""
    if not isinstance(schema, dict) or depth(schema, DEEPEST) > DEEPEST:
        return False
    return is_schema(schema)


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
    if (circle := _circle(schema)) is not None:
        return (
            f"Invalid schema: Circular reference detected in schema definitions: {' -> '.join(circle)}. "
            "Self-referencing or mutually-referencing definitions are not supported."
        )
    return next((found for part in islice(_parts(schema), MOST_NODES) if (found := _outside(part)) is not None), None)


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
    kind = part.get("type")
    for type in kind if isinstance(kind, list) else [kind]:
        if type == "object" and (found := _open_object(part)) is not None:
            return found
        unsupported = sorted(_UNSUPPORTED.get(str(type), _NOTHING).intersection(part))
        if len(unsupported) == 1:
            return f"For '{type}' type, property '{unsupported[0]}' is not supported"
        if unsupported:
            return f"For '{type}' type, properties {', '.join(unsupported)} are not supported"
        if type == "array" and isinstance(part.get("minItems"), int) and part["minItems"] > 1:
            return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
        if type == "string" and _BACKWARD.search(str(part.get("pattern", ""))):
            return f"For 'string' type, pattern '{part['pattern']}' is not supported"
    if (word := _bare(part)) is not None:
        return word
    return next((text for key, text in _ANYWHERE.items() if key in part), None)


def _bare(part: Mapping[str, Any]) -> str | None:
    """A schema that is no object but `true` or `false` is not taken; what holds it is named."""
    if any(isinstance(one, bool) for one in _values(part.get("properties"))):
        return "For 'object' type, property 'properties' is not supported"
    if isinstance(part.get("items"), bool):
        return "For 'array' type, property 'items' is not supported"
    key = next((key for key in _LISTED if any(isinstance(one, bool) for one in _values(part.get(key)))), None)
    return None if key is None else f"property '{key}' is not supported"


def _values(inner: Any) -> Collection[Any]:
    return inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else ()


def _open_object(part: Mapping[str, Any]) -> str | None:
    if "additionalProperties" not in part:
        return "For 'object' type, 'additionalProperties' must be explicitly set to false"
    if part["additionalProperties"] is not False:
        value = "true" if part["additionalProperties"] is True else "object"
        return (
            f"For 'object' type, 'additionalProperties: {value}' is not supported. "
            "Please set 'additionalProperties' to false"
        )
    return None


def _circle(schema: Any) -> list[str] | None:
    """The names of definitions that lead back to the first of them by `$ref`; the schema itself is `#`."""
    named = {key: schema[key] for key in ("$defs", "definitions") if isinstance(schema.get(key), dict)}
    defs = {f"#/{key}/{name}": one for key, listed in named.items() for name, one in listed.items()}
    leads = {"#": _refs(schema), **{ref: _refs(one) for ref, one in defs.items()}}
    done = set[str]()
    for start in leads:
        path, on_path, ahead = [start], {start: 0}, [iter(leads[start] if start not in done else ())]
        while ahead:
            ref = next((ref for ref in ahead[-1] if ref in leads and ref not in done), None)
            if ref is None:
                done.add(path[-1])
                del on_path[path.pop()]
                ahead.pop()
            elif ref in on_path:
                return [one.rpartition("/")[2] for one in (*path[on_path[ref] :], ref)]
            else:
                on_path[ref] = len(path)
                path.append(ref)
                ahead.append(iter(leads[ref]))
    return None


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


def _optional(part: Mapping[str, Any]) -> int:
    properties, needed = part.get("properties"), part.get("required")
    if not isinstance(properties, dict):
        return 0
    return len(set(properties) - set(needed if isinstance(needed, list) else ()))

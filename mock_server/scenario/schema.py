"""The scenario language as a JSON Schema, for editors, with a line of help beside each key. The dataclasses say what
there is; here it is written out for others, shorthands too. The loader does not use it: tests hold the two together.
"""

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, Literal, get_args, get_origin

from mock_server.protocol.blocks import BLOCKS
from mock_server.protocol.errors import STATUS, TYPE
from mock_server.scenario.answer import ANSWER_KEYS, Answer, Usage
from mock_server.scenario.conditions import read_states
from mock_server.scenario.decode import Reads, is_needed, keys_of
from mock_server.scenario.error import Failure, read_failure
from mock_server.scenario.faults import FAULTS, KEYS, read_faults, read_gates
from mock_server.scenario.faults.events import read_event_name, read_habit, read_nth, read_removed, read_sets
from mock_server.scenario.faults.place import After, At, Place, Spot
from mock_server.scenario.faults.stream import Gate
from mock_server.scenario.load import DEFAULTS
from mock_server.scenario.model import Scenario
from mock_server.scenario.operators import IGNORE_CASE, OPERATORS, Kind, Word
from mock_server.scenario.reply import MADE, Generate, Locale, Part, Tokens
from mock_server.scenario.subjects import CASE_SUBJECTS, JOINED, SUBJECTS, read_case_when, read_when
from mock_server.scenario.templates import Rendered, read_template
from mock_server.scenario.timing import (
    CHUNKS,
    MOST_IN_BURST,
    PAUSES,
    PERCENTILES,
    PRESETS,
    Between,
    Chunk,
    Count,
    Delay,
    Duration,
    Offsets,
    Pace,
    Pauses,
    Rate,
    Recorded,
    Replay,
    Share,
    Timing,
)

Schema = dict[str, Any]
ID = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Schema = {"type": "string", "pattern": r"\S"}


def schema() -> Schema:
    """The JSON Schema (Draft 2020-12) of one YAML document of a scenario file."""
    return {
        "$schema": ID,
        "title": "A scenario of mock-server",
        "if": {
            "type": "object",
            "anyOf": [{"required": ["defaults"]}, {"required": ["states"]}],
            "not": {"required": ["name"]},
        },
        "then": _object({"defaults": _ref("defaults"), "states": _ref("states")}),
        "else": _ref("scenario"),
        "$defs": _definitions(),
    }


def _definitions() -> dict[str, Schema]:
    return {
        "scenario": _scenario(),
        "defaults": _object(
            {key: value for key, value in _fields(Scenario).items() if key in DEFAULTS},
            description="What every scenario of this file has unless it sets it itself.",
        ),
        "states": _states(),
        "answer": _answer(),
        "reply": {"anyOf": [{"type": "array", "items": _item()}, _ref("block")]},
        "block": _block(),
        "error": _error(),
        "fault": _one_or_more(_tagged_by_type(FAULTS, short=True)),
        "gate": _one_or_more({"if": {"type": "object"}, "then": _record(Gate), "else": _TEXT}),
        "after": {"if": {"type": "object"}, "then": _record(After), "else": {"type": "integer", "minimum": 0}},
        "at": {"if": {"type": "object"}, "then": _record(At), "else": _TEXT},
        "timing": {"anyOf": [{"enum": list(PRESETS)}, _record(Timing)]},
        "delay": {"anyOf": [_DURATION, *_distributions(_DURATION)]},
        "replay": _replay(),
        "when": {"anyOf": [{"const": "named"}, _ref("conditions")]},
        "conditions": _conditions(SUBJECTS),
        "inner_conditions": _conditions({name: word for name, word in SUBJECTS.items() if name != "endpoint"}),
        "case_conditions": _conditions(CASE_SUBJECTS),
        "text": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}, _ref("operators")]},
        "value": {"anyOf": [{"not": {"type": "object"}}, _ref("operators")]},
        "operators": _operators(),
        "template": _object({"template": {"type": "string"}}, ["template"]),
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _object(properties: Mapping[str, Schema], required: list[str] | None = None, **more: Any) -> Schema:
    made: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False, **more}
    return made if not required else {**made, "required": required}


def _described(value: Mapping[str, Any], text: str | None) -> Schema:
    return dict(value) if text is None else {**value, "description": text}


# -- scenario and answers -------------------------------------------------------------------------------------------


def _scenario() -> Schema:
    own, inner = _fields(Scenario), _fields(Answer)
    short = {key: inner[key] for key in ANSWER_KEYS}
    answers = ("turns", "reply", "error", "generate", "cases", "attempts", "fault", "gate", "timing")
    return {**_object({**own, **short}, ["name"]), "anyOf": [{"required": [key]} for key in answers]}


def _states() -> Schema:
    values: Schema = {"type": "array", "items": _TEXT, "minItems": 2, "uniqueItems": True}
    keys = {"values": _described(values, "What it can be."), "initial": _described(_TEXT, "What it is at first.")}
    either: Schema = {"if": {"type": "array"}, "then": values, "else": _object(keys, ["values"])}
    about = "The states that conditions name and answers move: {service: [up, down]}; the first value is initial."
    return {"type": "object", "additionalProperties": either, "minProperties": 1, "description": about}


def _answer() -> Schema:
    return {
        "if": {"type": "object", "not": {"required": ["type"]}},
        "then": _object(_fields(Answer)),
        "else": _ref("reply"),
    }


def _error() -> Schema:
    return {"if": {"type": "object"}, "then": _record(Failure), "else": {"enum": [*STATUS, *sorted(TYPE)]}}


def _record(cls: Any) -> Schema:
    return _object(_fields(cls), [key for key, field in keys_of(cls).items() if is_needed(field)])


def _fields(cls: Any) -> dict[str, Schema]:
    """The schema of every key of a class, as an author may write it."""
    hints = typing.get_type_hints(cls, include_extras=True)
    texts = explained(cls)
    return {
        key: _described(_of(hints[field.name]), texts.get(field.name))
        for key, field in keys_of(cls).items()
        if not field.metadata.get("unlisted")
    }


# -- types ----------------------------------------------------------------------------------------------------------


def _of(type: Any) -> Schema:
    """The schema of one type of a field."""
    origin, args = get_origin(type), get_args(type)
    if origin is typing.Annotated:
        return _READ[_reads(type)]
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (typing.Union, types.UnionType):
        members = [_of(member) for member in args if member is not types.NoneType]
        return members[0] if len(members) == 1 else {"anyOf": members}
    if origin is tuple:
        return _listed(args[0])
    if type in _CLASSES:
        return _CLASSES[type]
    return _record(type) if dataclasses.is_dataclass(type) else _SCALARS[origin or type]


@cache
def explained(cls: Any) -> Mapping[str, str]:
    """What each field of a class means: the text below it in its source. The keys of faults mean the same in each."""
    if cls in FAULTS.values():
        return KEYS
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__[:-1]):
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(node, ast.ClassDef)
        for field, text in pairwise(node.body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                found[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found


def _reads(type: Any) -> Callable[..., Any]:
    """What reads a type that reads itself."""
    return next(mark.read for mark in get_args(type)[1:] if isinstance(mark, Reads))


def _listed(item: Any) -> Schema:
    if item == Part:
        return _ref("reply")
    found = _of(item)
    return {"type": "array", "items": found, **({"minItems": 1} if item is Answer else {})}


_CLASSES: dict[Any, Schema] = {Answer: _ref("answer"), Failure: _ref("error")}
_SCALARS: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    dict: {"type": "object"},
    Mapping: {"type": "object"},
    list: {"type": "array"},
    Any: {},
}
_TOKENS: Schema = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^\d+(\.\.\d+)?$"}]}
_DURATION: Schema = {"anyOf": [{"const": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(us|ms|s|m)$"}]}
_AMOUNT: Schema = {"type": "number", "minimum": 0, "maximum": MOST_IN_BURST}
_WHOLE: Schema = {"type": "integer", "minimum": 1}


def _replay() -> Schema:
    either: Schema = {**_record(Replay), "minProperties": 1, "maxProperties": 1}
    return {"if": {"type": "array"}, "then": {"items": _DURATION, "minItems": 1}, "else": either}


def _distributions(unit: Schema) -> list[Schema]:
    """The ways to write a value that varies."""
    shape: Schema = {"type": "number", "minimum": 0.01, "maximum": 10_000}
    ends: Schema = {"type": "array", "items": unit, "minItems": 2, "maxItems": 2}
    return [
        _object({"uniform": _described(ends, "The lowest and the highest value.")}, ["uniform"]),
        _object({"normal": _object({"mean": unit, "sd": unit}, ["mean", "sd"])}, ["normal"]),
        _object({"gamma": _object({"mean": unit, "shape": shape}, ["mean", "shape"])}, ["gamma"]),
        *(_object({"p50": unit, name: unit}, ["p50", name]) for name in PERCENTILES),
    ]


# what reads a type -> what it reads
_READ: Mapping[Callable[..., Any], Schema] = {
    _reads(Duration): _DURATION,
    _reads(Delay): _ref("delay"),
    _reads(Offsets): {"type": "array", "items": _DURATION, "minItems": 1},
    _reads(Count): {"anyOf": [_WHOLE, {"type": "string", "pattern": r"^\d+\.\.\d+$"}, *_distributions(_AMOUNT)]},
    _reads(Pauses): _object({name: _ref("delay") for name in PAUSES}),
    _reads(Recorded): _ref("replay"),
    _reads(Rate): {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^\d+(\.\d+)?(/s)?$"}]},
    _reads(Share): {"anyOf": [{"const": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?%$"}]},
    _reads(Chunk): {"anyOf": [{"enum": list(CHUNKS)}, _WHOLE, _object({"bytes": _WHOLE}, ["bytes"])]},
    _reads(Pace): _ref("timing"),
    _reads(Between): {"type": "array", "items": _DURATION, "minItems": 2, "maxItems": 2},
    read_states: _ref("states"),
    read_when: _ref("when"),
    read_case_when: _ref("case_conditions"),
    _reads(Rendered): {"anyOf": [{"type": "string"}, _ref("template")]},
    read_template: {"type": "string"},
    read_failure: _ref("error"),
    read_faults: _ref("fault"),
    read_gates: _ref("gate"),
    _reads(Place): _ref("after"),
    _reads(Spot): _ref("at"),
    read_sets: {"type": "object", "minProperties": 1},
    read_removed: {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
    read_habit: {"const": True},
    read_nth: {"anyOf": [{"type": "integer"}, {"const": "all"}]},
    read_event_name: {"anyOf": [_TEXT, {"type": "null"}]},
    _reads(Part): _ref("block"),
    _reads(Tokens): _TOKENS,
    _reads(Usage): {"type": "object"},
    _reads(Locale): {"type": "string", "pattern": r"^[a-z]{2,3}(_[A-Z]{2})?$"},
}


# -- blocks ---------------------------------------------------------------------------------------------------------


def _block() -> Schema:
    """A text, a template, or a mapping with a `type`."""
    mapping = _tagged_by_type(BLOCKS)
    return {
        "if": {"type": "object"},
        "then": {"if": {"required": ["template"], "maxProperties": 1}, "then": _ref("template"), "else": mapping},
        "else": {"type": "string"},
    }


def _tagged_by_type(classes: Mapping[str, Any], *, short: bool = False) -> Schema:
    """One of several kinds of mapping, by its `type`; `short`: the bare name of one does as well."""
    variants = [
        {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": _of_type(name, cls)}
        for name, cls in classes.items()
    ]
    mapping = {"properties": {"type": {"enum": list(classes)}}, "required": ["type"], "allOf": variants}
    return {"if": {"type": "object"}, "then": mapping, "else": {"enum": list(classes)}} if short else mapping


def _one_or_more(one: Schema) -> Schema:
    return {"if": {"type": "array"}, "then": {"type": "array", "items": one, "minItems": 1}, "else": one}


_BETWEEN = "A gate between two blocks: the reply is held here until a test lets it go on."


def _item() -> Schema:
    """What stands in a list of blocks: a block, or a gate between two."""
    gate = _object({"gate": _TEXT, "ping": _READ[_reads(Duration)]}, ["gate"], description=_BETWEEN)
    is_gate = {"type": "object", "required": ["gate"], "not": {"required": ["type"]}}
    return {"if": is_gate, "then": gate, "else": _ref("block")}


def _of_type(name: str, cls: Any) -> Schema:
    whole = _record(cls)
    about = {"description": (cls.__doc__ or "").split("\n\n")[0]} if name in FAULTS else {}
    whole["properties"] = {"type": {"const": name, **about}, **whole["properties"]}
    ways = _WAYS.get(name)
    if ways is None:
        return whole
    content, more = ways
    whole["properties"] |= more
    whole["required"] = [key for key in whole["required"] if key != content]
    return {**whole, "anyOf": [{"required": [key]} for key in (content, *more)]}


_INPUT: Schema = {"anyOf": [{"type": "object"}, {"const": "generated"}]}
_MADE: Schema = {
    "description": f"The arguments; `generated`, or {{generate: {' | '.join(MADE)}}}, makes them up for the tool."
}
_OPEN: Mapping[str, Schema] = {
    "template": {"type": "string", "description": "The text as a Jinja2 template."},
    "generate": _record(Generate),
}
_RAW: Mapping[str, Schema] = {"input_json": {"type": "string", "description": "The arguments as raw text."}}
# block -> the key its content stands under, and what may stand in its place
_WAYS: Mapping[str, tuple[str, Mapping[str, Schema]]] = {
    "text": ("text", _OPEN),
    "thinking": ("thinking", _OPEN),
    **dict.fromkeys(("tool_use", "server_tool_use", "mcp_tool_use"), ("input", {**_RAW, "input": {**_INPUT, **_MADE}})),
}


# -- conditions -----------------------------------------------------------------------------------------------------


def _conditions(known: Mapping[str, Word[Any]]) -> Schema:
    inner = _ref("case_conditions" if "turn" in known else "inner_conditions")
    same = _ref("conditions") if "endpoint" in known else inner  # what a scenario is for stands at the top or in `all`
    shapes: Mapping[str, Schema] = {
        "all": {"type": "array", "items": same, "minItems": 1},
        "any": {"type": "array", "items": inner, "minItems": 1},
        "not": inner,
    }
    joined = {name: _described(shapes[name], about) for name, about in JOINED.items()}
    return _object(
        {**{name: _described(one.shape, one.about) for name, one in known.items()}, **joined}, minProperties=1
    )


def _operators() -> Schema:
    words: Mapping[str, Kind | Word[Any]] = {**OPERATORS, "ignore_case": IGNORE_CASE}
    return _object({name: _described(one.shape, one.about) for name, one in words.items()}, minProperties=1)

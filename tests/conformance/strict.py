"""What is wrong with a JSON value as one of the SDK's types, told in full.

The SDK builds its models without validating and keeps fields it does not know, so that servers may run ahead of it.
A server that claims to be one of them gets no such leave here.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from anthropic._models import UnionDiscriminator
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def problems(value: object, kind: Any, path: str = "value") -> list[str]:
    """Every difference between `value`, as JSON gives it, and `kind`: a model, or any annotation of one's fields.

    Each begins with its path, names and list indexes joined by dots, as in `message.content.0.name`. After it comes
    `unknown field`, `missing`, `not one of` with the choices and the value, or `expected` with a type and the found
    one. Raises TypeError for an annotation that no rule is for.
    """
    origin = get_origin(kind)
    if origin is Annotated:
        return _annotated(value, kind, path)
    if origin is not None:
        return _GENERIC[origin](value, get_args(kind), path) if origin in _GENERIC else _no_rule(kind, path)
    if kind in (object, Any):
        return []
    if kind in _PLAIN:
        return [] if _PLAIN[kind](value) else [_expected(path, kind.__name__, value)]
    if _is_model(kind):
        return _model(value, kind, path)
    return _no_rule(kind, path)


def _no_rule(kind: Any, path: str) -> list[str]:
    raise TypeError(f"no rule for {kind} at {path}")


def _expected(path: str, wanted: str, value: object) -> str:
    return f"{path}: expected {wanted}, not {type(value).__name__}"


# -- plain values ---------------------------------------------------------------------------------------------------


def _is_time(value: object) -> bool:
    try:
        datetime.fromisoformat(value.replace("Z", "+00:00") if isinstance(value, str) else "")
    except ValueError:
        return False
    return True


_PLAIN: Mapping[Any, Callable[[object], bool]] = {
    str: lambda value: type(value) is str,
    int: lambda value: type(value) is int,
    float: lambda value: type(value) in (int, float),
    bool: lambda value: type(value) is bool,
    NoneType: lambda value: value is None,
    datetime: _is_time,
}


# -- annotations with arguments -------------------------------------------------------------------------------------


def _annotated(value: object, kind: Any, path: str) -> list[str]:
    """A union may name the field that tells its variants apart; nothing else that annotates a type matters here."""
    inner, *notes = get_args(kind)
    named = [note.field_name for note in notes if isinstance(note, UnionDiscriminator)]
    return _union(value, get_args(inner), path, *named) if named else problems(value, inner, path)


def _union(value: object, kinds: Sequence[Any], path: str, tag: str = "type") -> list[str]:
    """An object is held against the variant that its tag names; any other value against the one that fits it best."""
    tags = {name: kind for kind in kinds if _is_model(kind) for name in _choices(kind, tag)}
    if isinstance(value, dict) and tags:
        if tag not in value:
            return [f"{path}.{tag}: missing"]
        return _literal(value[tag], tuple(tags), f"{path}.{tag}") or _model(value, tags[value[tag]], path)
    told = [problems(value, kind, path) for kind in kinds]
    # a list with a mistake deep inside is still rather a list than a string
    return min(told, key=lambda found: (any(one.startswith(f"{path}: ") for one in found), len(found)))


def _literal(value: object, choices: Sequence[object], path: str) -> list[str]:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return []
    return [f"{path}: not one of {', '.join(map(str, choices))}; it is {value!r}"]


def _list(value: object, kinds: Sequence[Any], path: str) -> list[str]:
    if not isinstance(value, list):
        return [_expected(path, "list", value)]
    return [found for at, item in enumerate(value) for found in problems(item, kinds[0], f"{path}.{at}")]


def _dict(value: object, kinds: Sequence[Any], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [_expected(path, "object", value)]
    return [found for key, item in value.items() for found in problems(item, kinds[1], f"{path}.{key}")]


_GENERIC: Mapping[Any, Callable[[object, Sequence[Any], str], list[str]]] = {
    Union: _union,
    UnionType: _union,
    Literal: _literal,
    list: _list,
    dict: _dict,
}


# -- models ---------------------------------------------------------------------------------------------------------


def _model(value: object, model: type[BaseModel], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [_expected(path, "object", value)]
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    unknown = [f"{path}.{name}: unknown field" for name in value if name not in fields]
    missing = [f"{path}.{name}: missing" for name, field in fields.items() if field.is_required() and name not in value]
    inside = [
        found
        for name, field in fields.items()
        if name in value
        for found in problems(value[name], _field_kind(field), f"{path}.{name}")
    ]
    return unknown + missing + inside


def _is_model(kind: Any) -> bool:
    return get_origin(kind) is None and isinstance(kind, type) and issubclass(kind, BaseModel)


def _choices(model: type[BaseModel], name: str) -> Sequence[Any]:
    """The values that a field of literals may have; none where there is no such field."""
    field = model.model_fields.get(name)
    return get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()


def _field_kind(field: FieldInfo) -> Any:
    """The annotation of a field, with the notes that Pydantic takes off it."""
    noted: Any = (field.annotation, *field.metadata)
    return Annotated[noted] if field.metadata else field.annotation

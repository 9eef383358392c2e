"""Nodes -> typed data. The dataclasses are the description: `decode` reads what their field types say.

A type may carry its own reader: `Annotated[int, Reads(function)]`. A dataclass may have `mistakes()`, which yields
(path, text) for what is well-formed but wrong, and `shorthand`: keys that are written out before it is read. A field
whose key is no name of Python says it in its metadata (`key`). Every mistake is collected; nothing is raised here.

For its messages a dataclass may name its `usual` keys (listed first), keys that belong `elsewhere` with what to say of
them, `examples` of keys that are missing, and that its mistakes are `separate`: reported beside keys that are unknown.
Keys that may be `empty` are those of the API's own JSON, which says null; any other key with nothing behind it is a
mistake.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, get_args, get_origin

from mock_server.records import dataclass
from mock_server.scenario.node import Node, Problems, kind, listed, unlike

Reader = Callable[[Node, Problems], Any]


@dataclass(frozen=True)
class Reads:
    """Marks a type that reads itself."""

    read: Reader


def decode(type: Any, node: Node, problems: Problems) -> Any:
    """The value of `type` that `node` holds; None, with the reason in `problems`, when it holds none."""
    return _reader(type)(node, problems)


@cache
def _reader(type: Any) -> Reader:
    origin, args = get_origin(type), get_args(type)
    if origin is typing.Annotated:
        return next((mark.read for mark in args[1:] if isinstance(mark, Reads)), _reader(args[0]))
    if origin is Literal:
        return _choice(args)
    if origin in (typing.Union, types.UnionType):
        return _union(args)
    if origin is tuple:
        return _sequence(args[0])
    if origin in _CONTAINERS:
        return _CONTAINERS[origin]
    if dataclasses.is_dataclass(type):
        return _record(type)
    return _SCALARS.get(type, _plain)


def _plain(node: Node, problems: Problems) -> Any:
    return node.plain()


def _of(container: type, name: str) -> Reader:
    """Reads JSON data of one kind as it is."""

    def read(node: Node, problems: Problems) -> Any:
        if isinstance(node.value, container):
            return node.plain()
        problems.add(node, f"expected {name}, got {kind(node)}")
        return None

    return read


_MAPPING = _of(dict, "a mapping")
_CONTAINERS: Mapping[Any, Reader] = {dict: _MAPPING, Mapping: _MAPPING, list: _of(list, "a list")}


def _scalar(name: str, *accepted: type) -> Reader:
    def read(node: Node, problems: Problems) -> Any:
        value = node.value
        if isinstance(value, accepted) and (bool in accepted or not isinstance(value, bool)):
            return value
        problems.add(node, unlike(node, name))
        return None

    return read


_SCALARS: Mapping[Any, Reader] = {
    str: _scalar("text", str),
    int: _scalar("a whole number", int),
    float: _scalar("a number", int, float),
    bool: _scalar("true or false", bool),
}


def _choice(allowed: tuple[Any, ...]) -> Reader:
    def read(node: Node, problems: Problems) -> Any:
        if node.value in allowed and not isinstance(node.value, bool):
            return node.value
        problems.add(node, f"unknown value {node.plain()!r}{problems.one_of(str(node.value), map(str, allowed))}")
        return None

    return read


def _sequence(item: Any) -> Reader:
    def read(node: Node, problems: Problems) -> Any:
        if not isinstance(node.value, list):
            problems.add(node, f"expected a list, got {kind(node)}")
            return ()
        return tuple(decode(item, one, problems) for one in node.value)

    return read


def _union(members: tuple[Any, ...]) -> Reader:
    rest = tuple(member for member in members if member is not types.NoneType)
    if len(rest) == len(members):
        return _tagged({member.type: member for member in rest}) if _are_tagged(rest) else _either(rest)
    read_rest = _reader(rest[0]) if len(rest) == 1 else _union(rest)
    return lambda node, problems: None if node.value is None else read_rest(node, problems)


def _are_tagged(members: tuple[Any, ...]) -> bool:
    return all(dataclasses.is_dataclass(member) and hasattr(member, "type") for member in members)


def _either(members: tuple[Any, ...]) -> Reader:
    """The first member that takes the value as it is; such unions are of plain kinds (a list or a mapping)."""

    def read(node: Node, problems: Problems) -> Any:
        for member in members:
            attempt = Problems(problems.source)
            value = decode(member, node, attempt)
            if not attempt.found:
                return value
        problems.add(node, f"cannot be {kind(node)}")
        return None

    return read


def _tagged(classes: Mapping[str, Any]) -> Reader:
    """A union whose members are distinguished by `type`. A mistake inside a member is reported as that member's own."""

    def read(node: Node, problems: Problems) -> Any:
        if not isinstance(node.value, dict):
            problems.add(node, f"expected a mapping with a type, got {kind(node)}")
            return None
        tag = node.value.get("type")
        if tag is None:
            known = next((key for key in ("error", "reply", "attempts") if key in node.value), None)
            meant = next((key for key in node.value if key in classes), None)
            if meant is not None:
                hint = f"; did you mean {{type: {meant}, …}}?"
            elif known is not None:
                hint = f"; '{known}' is an answer of its own and stands beside blocks nowhere"
            else:
                hint = f"; expected one of {listed(list(classes))}"
            problems.add(node, f"missing key 'type'{hint}")
            return None
        if not isinstance(tag.value, str):
            problems.add(tag, f"expected the name of a type, got {kind(tag)}; one of {listed(list(classes))}")
            return None
        if tag.value not in classes:
            problems.add(tag, f"unknown type {tag.plain()!r}{problems.one_of(tag.value, classes)}")
        cls = classes.get(tag.value) or classes.get(problems.meant(tag.value, classes) or "")
        if cls is None:
            return None
        found = decode(cls, node.without("type"), problems)  # of the one that is meant too
        return found if tag.value in classes else None

    return read


def keys_of(cls: Any) -> dict[str, "dataclasses.Field[Any]"]:
    """The fields of a dataclass that authors write, by the keys that they write."""
    written = (field for field in dataclasses.fields(cls) if field.init and not field.metadata.get("hidden"))
    return {field.metadata.get("key", field.name): field for field in written}


def is_needed(field: "dataclasses.Field[Any]") -> bool:
    """Whether a field must be written, as it has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _record(cls: Any) -> Reader:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = keys_of(cls)
    needed = [name for name, field in fields.items() if is_needed(field)]
    noun = _noun(cls)
    shown = [name for name, field in fields.items() if not field.metadata.get("unlisted")]
    known = tuple(dict.fromkeys((*getattr(cls, "usual", ()), *shown, *getattr(cls, "shorthand", ()))))
    separate = getattr(cls, "separate", False)

    def read(node: Node, problems: Problems) -> Any:
        if not isinstance(node.value, dict):
            close = "; a space is missing behind a colon" if _UNSPACED.match(str(node.value)) else ""
            a = "an" if noun[0] in "aeio" else "a"  # not `u`: a usage
            problems.add(node, f"expected {a} {noun} (a mapping), got {kind(node)}{close}")
            return None
        before = len(problems.found)
        _report_keys(node, cls, fields, known, needed, problems)
        written = {fields[key].name: item for key, item in node.value.items() if key in fields}
        values = {name: decode(hints[name], item, problems) for name, item in written.items()}
        if len(problems.found) > before and not (
            separate and values.keys() >= set(needed) and None not in values.values()
        ):
            return None
        record = cls(**values)
        for path, text in getattr(record, "mistakes", tuple)():
            problems.add(node.find(path), text)
        return record if len(problems.found) == before else None

    return read


_UNSPACED = re.compile(r"[a-z_]+:[^\s:/]")


def _noun(cls: Any) -> str:
    """What an author calls one of these: the block's type, else `noun`, else the class name."""
    named = getattr(cls, "type", None)
    return named if isinstance(named, str) else str(getattr(cls, "noun", cls.__name__.lower()))


def _report_keys(
    node: Node, cls: Any, fields: Mapping[str, Any], known: Sequence[str], needed: list[str], problems: Problems
) -> None:
    noun, elsewhere = _noun(cls), getattr(cls, "elsewhere", {})
    if (empty := getattr(cls, "empty", None)) is not None:
        for key, item in node.value.items():
            if item.value is None and key in fields and key not in (*empty, *needed):
                problems.add(node.keys.get(key) or node.position, f"nothing stands behind '{key}'; leave the key out")
    unknown = [key for key in node.value if key not in fields]
    for key in unknown:
        if key in elsewhere:
            problems.add_key(node, key, f"unknown key '{key}' in {noun}; {elsewhere[key]}")
        else:
            problems.unknown(node, key, known, noun)
    for name in needed:
        if name not in node.value and not any(problems.meant(key, known) == name for key in unknown):
            more = f"; {example}" if (example := getattr(cls, "examples", {}).get(name)) else ""
            problems.add(node, f"missing key '{name}' in {noun}{more}")

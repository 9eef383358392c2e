"""What templates may ask values for and call: the methods of texts, lists, mappings and times, macros, `fake`, `range`.

What is in no table is not there.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, NamedTuple

from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.utils import Cycler, Joiner, Namespace

from mock_server.scenario.generated.fakes import Fake, Faked
from mock_server.scenario.templates.filters import (
    FIELDS,
    Group,
    as_list,
    joined_by,
    of_text,
    padded,
    pairs,
    replaced,
    stripped,
)
from mock_server.scenario.templates.sandbox import (
    CHARACTERS,
    DATE,
    DATETIME,
    DURATION,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TEXT,
    MOMENTS,
    PLAIN,
    TIME,
    Budget,
    Exceeded,
    Misused,
    amount,
    brief,
    kind_of,
    listed,
    ordinary,
    scalar,
    text_of,
    weigh,
)

# -- methods --------------------------------------------------------------------------------------------------------


def _searching(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that looks for a text, or for one of several."""

    def run(budget: Budget, said: str, sought: Any, *ends: Any) -> Any:
        budget.text(len(said))
        for one in sought if isinstance(sought, tuple) else ():
            budget.text(len(brief(one)) + CHARACTERS)
        ordinary(*(end for end in ends if end is not None))
        return method(said, sought, *ends)

    return run


def _splitting(method: Callable[..., Any]) -> Callable[..., list[str]]:
    def run(budget: Budget, said: str, sep: Any = None, maxsplit: Any = -1) -> list[str]:
        budget.text(len(said))
        times = amount(maxsplit, "a number of pieces", MAX_TEXT)
        found: list[str] = method(said, sep, times if 0 <= times < MAX_ITEMS else MAX_ITEMS)
        budget.items(len(found))
        return found

    return run


def _lines(budget: Budget, said: str, keepends: bool = False) -> list[str]:
    budget.text(len(said))
    budget.items(said.count("\n"))
    found = said.splitlines(bool(keepends))
    budget.items(len(found))
    return found


def _tabs(budget: Budget, said: str, tabsize: Any = 8) -> str:
    budget.text(len(said) + said.count("\t") * max(0, amount(tabsize)))
    return said.expandtabs(tabsize)


_FOUND = (
    *("count", "endswith", "find", "index", "rfind", "rindex", "startswith"),
    *("partition", "removeprefix", "removesuffix", "rpartition"),
)
_ASKED = (
    *("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric"),
    *("isprintable", "isspace", "istitle", "isupper"),
)
_PLAINLY = ("capitalize", "casefold", "lower", "swapcase", "title", "upper")


def _index(method: Callable[..., int]) -> Callable[..., int]:
    def run(budget: Budget, every: Any, one: Any) -> int:
        weigh(budget, every)
        return method(every, one)

    return run


def _get(budget: Budget, every: dict[Any, Any], key: Any, default: Any = None) -> Any:
    return every.get(scalar(key), default)


def _strftime(budget: Budget, at: Any, format: Any) -> str:
    if len(brief(format)) > 200 or re.search(r"%[^a-zA-Z%]*\d", format):
        raise Exceeded("it formats a time by more than 200 characters, or by a width")
    return str(at.strftime(format))


def _brisk(method: str) -> Callable[..., Any]:
    """A method that only ever makes something small."""

    def run(budget: Budget, value: Any, *given: Any, **named: Any) -> Any:
        for one in (*given, *named.values()):
            brief(one) if isinstance(one, str) else ordinary(one)
        return getattr(value, method)(*given, **named)

    return run


_CALENDAR = ("ctime", "isoformat", "isoweekday", "weekday")
METHODS: Mapping[type, Mapping[str, Callable[..., Any]]] = {
    str: {
        **{name: of_text(getattr(str, name)) for name in (*_PLAINLY, *_ASKED)},
        **{name: _searching(getattr(str, name)) for name in _FOUND},
        **{name: padded(getattr(str, name)) for name in ("center", "ljust", "rjust", "zfill")},
        **{name: stripped(getattr(str, name)) for name in ("lstrip", "rstrip", "strip")},
        "expandtabs": _tabs,
        "join": lambda budget, said, every: joined_by(budget, every, said),
        "replace": replaced,
        "rsplit": _splitting(str.rsplit),
        "split": _splitting(str.split),
        "splitlines": _lines,
    },
    list: {"count": _index(list.count), "index": _index(list.index)},
    tuple: {"count": _index(tuple.count), "index": _index(tuple.index)},
    dict: {
        "get": _get,
        "items": pairs,
        "keys": as_list,
        "values": lambda budget, every: listed(budget, list(every.values())),
    },
    DATETIME: {
        "strftime": _strftime,
        **{name: _brisk(name) for name in (*_CALENDAR, "date", "replace", "time", "timestamp", "tzname")},
    },
    DATE: {"strftime": _strftime, **{name: _brisk(name) for name in _CALENDAR}},
    TIME: {"strftime": _strftime, "isoformat": _brisk("isoformat")},
    DURATION: {"total_seconds": _brisk("total_seconds")},
}
_LOOP = (
    *("index", "index0", "revindex", "revindex0", "first", "last", "length"),
    *("depth", "depth0", "previtem", "nextitem", "cycle", "changed"),
)
_ATTRIBUTES: Mapping[type, Sequence[str]] = {
    **dict.fromkeys(MOMENTS, FIELDS),
    LoopContext: _LOOP,
    Cycler: ("next", "reset", "current"),
    Group: ("grouper", "list"),
}


class Method(NamedTuple):
    """A method of a value, found by name and not called yet."""

    run: Callable[..., Any]
    of: Any = None


MISSING: Any = object()


def attribute(value: Any, name: str) -> Any:
    """What `value.name` is; MISSING where there is none."""
    kind = type(value)
    if kind is dict and name not in METHODS[dict]:
        return value.get(name, MISSING)
    methods = METHODS.get(kind)
    if methods is not None and name in methods:
        return Method(methods[name], value)
    if name in _ATTRIBUTES.get(kind, ()) or (kind in (Fake, Namespace) and not name.startswith("_")):
        return getattr(value, name, MISSING)
    return MISSING


def item(value: Any, key: Any) -> Any:
    """What `value[key]` is; MISSING where there is none."""
    kind = type(value)
    if kind is dict:
        return value.get(key, MISSING) if isinstance(key, str) or type(key) in PLAIN else MISSING
    if isinstance(value, str | list | tuple | range) and isinstance(key, int):
        return value[key] if -len(value) <= key < len(value) else MISSING
    return attribute(value, key) if isinstance(key, str) else MISSING


def briefly(key: Any) -> Any:
    """A key, for a message: one of another kind could be endless."""
    return key[:CHARACTERS] if isinstance(key, str) else key if type(key) in PLAIN else kind_of(key)


def refusal(value: Any, name: Any) -> str | None:
    """Why there is no such method, where Python has one."""
    kind = type(value)
    if kind not in METHODS or not isinstance(name, str) or not hasattr(kind, name):
        return None
    return f"{kind_of(value)} has no {name[:CHARACTERS]!r} in a template; it has {', '.join(sorted(METHODS[kind]))}"


# -- calls ----------------------------------------------------------------------------------------------------------


def _range(budget: Budget, *ends: Any) -> range:
    ordinary(*ends)
    found = range(*ends)
    budget.items(max(0, (found.stop - found.start) // found.step))
    return found


def _dict(budget: Budget, *given: Any, **named: Any) -> dict[str, Any]:
    if not given:
        return named
    (base,) = given
    items = listed(budget, pairs(budget, base) if isinstance(base, dict) else base)
    return {**{scalar(key): value for key, value in items}, **named}


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "cycler": lambda budget, *given: Cycler(*given),
    "dict": _dict,
    "joiner": lambda budget, sep=", ": Joiner(text_of(budget, sep)),
    "namespace": lambda budget, *given, **named: Namespace(_dict(budget, *given, **named)),
    "range": _range,
}
GLOBALS: Mapping[str, Method] = {name: Method(run) for name, run in _FUNCTIONS.items()}


def call(budget: Budget, called: Any, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """`called(…)`, if it may be called. Raises whatever it raises."""
    kind = type(called)
    if kind is Method:
        if called.of is None:
            return called.run(budget, *given, **named)
        return called.run(budget, called.of, *given, **named)
    if kind is Macro or kind is LoopContext:
        return _deeper(budget, called, given, named)
    if kind is Faked:
        budget.take(called.price(given, named))
        made = called(*given, **named)
        weigh(budget, made)
        return made
    if kind is Joiner or (getattr(called, "__self__", None).__class__ in (Cycler, LoopContext)):
        for one in given:  # what a loop compares, and what it goes through
            if isinstance(one, dict | list | tuple):
                weigh(budget, one)
        return called(*given, **named)
    if isinstance(called, Undefined):
        str(called)
    if kind is FunctionType:  # of ours: a template comes by no other
        return called(*map(scalar, given), **{name: scalar(one) for name, one in named.items()})
    raise Misused(f"{kind_of(called)} cannot be called")


def _deeper(budget: Budget, called: Any, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """A macro, or a loop once more: what it collects is paid for when it is back."""
    if budget.depth <= 0:
        raise Exceeded(f"it goes more than {MAX_DEPTH} calls deep")
    budget.depth -= 1
    try:
        budget.take(1)
        if type(called) is LoopContext:
            given = [listed(budget, given[0]), *given[1:]]
        made = called(*given, **named)
    finally:
        budget.depth += 1
    budget.text(len(made))
    return made

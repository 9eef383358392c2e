"""The filters and tests that templates have: ours, not Jinja's, so that each pays before it works."""

import html
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from textwrap import wrap
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from jinja2.filters import do_batch
from jinja2.runtime import Undefined

from mock_server.scenario.node import is_int
from mock_server.scenario.templates.sandbox import (
    CHARACTERS,
    MAX_TEXT,
    MOMENTS,
    MOST_NAMES,
    SHORT,
    Budget,
    Exceeded,
    Misused,
    add,
    amount,
    brief,
    compared,
    is_in,
    kind_of,
    listed,
    number,
    scalar,
    text_of,
    weigh,
)

# -- filters --------------------------------------------------------------------------------------------------------


def of_text(method: Callable[..., Any]) -> Callable[..., Any]:
    """A filter, test or method that reads a text and takes nothing. What it gives is at most three times as long."""

    def run(budget: Budget, value: Any) -> Any:
        text = text_of(budget, value)
        budget.text(len(text))
        budget.work(len(text), 1)
        return method(text)

    return run


FIELDS = (*("year", "month", "day", "hour", "minute", "second", "microsecond"), *("days", "seconds", "microseconds"))


def _steps(name: Any) -> Sequence[Any]:
    """The steps of `attribute='a.b'`."""
    steps = brief(name).split(".") if isinstance(name, str) else [scalar(name)]
    if len(steps) > MOST_NAMES:
        raise Exceeded(f"it names an attribute of more than {MOST_NAMES} steps")
    return steps


def _path(value: Any, steps: Sequence[Any]) -> Any:
    """What the steps lead to; nothing (None) where they lead nowhere."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list | tuple) and str(step).isdecimal():
            at = int(str(step)[:9])
            value = value[at] if at < len(value) else None
        elif isinstance(value, MOMENTS) and step in FIELDS:
            value = getattr(value, step, None)
        else:
            return None
    return value


def _key(budget: Budget, attribute: Any, case_sensitive: bool) -> Callable[[Any], Any]:
    """What items are compared by."""
    names = brief(attribute).split(",") if isinstance(attribute, str) else [attribute]
    if len(names) > MOST_NAMES:
        raise Exceeded(f"it compares by more than {MOST_NAMES} attributes")
    paths = [() if name is None else _steps(name) for name in names]

    def one(item: Any, path: Sequence[Any]) -> Any:
        found = scalar(_path(item, path))
        if isinstance(found, str):
            budget.take(1 + len(found) // CHARACTERS)
            return found if case_sensitive else found.lower()
        return found

    return lambda item: one(item, paths[0]) if len(paths) == 1 else tuple(one(item, path) for path in paths)


def _sorted(budget: Budget, items: Iterable[Any], key: Callable[[Any], Any], reverse: bool = False) -> list[Any]:
    """In order; a comparison costs what the longest key does."""
    keys = [(key(item), at, item) for at, item in enumerate(items)]
    longest = max((len(str(one[0])) if isinstance(one[0], str) else 10 for one in keys), default=0)
    budget.take(len(keys) * len(keys).bit_length() * (1 + longest // (10 * CHARACTERS)) // 4)
    keys.sort(key=lambda one: one[0], reverse=bool(reverse))
    return [item for _, _, item in keys]


def _batch(budget: Budget, value: Any, linecount: Any, fill_with: Any = None) -> list[list[Any]]:
    width = amount(linecount, "a row")
    if width < 1:
        raise Misused("a row has one item or more")
    items = listed(budget, value)
    if fill_with is not None and len(items) % width:
        budget.items(width)
    return list(do_batch(items, width, fill_with))


def _slice(budget: Budget, value: Any, slices: Any, fill_with: Any = None) -> list[list[Any]]:
    columns = amount(slices, "a number of columns")
    if columns < 1:
        raise Misused("there is one column or more")
    items = listed(budget, value)
    budget.items(columns)
    each, more = divmod(len(items), columns)
    found, at = [], 0
    for column in range(columns):
        end = at + each + (column < more)
        found.append([*items[at:end], *([fill_with] if fill_with is not None and column >= more else [])])
        at = end
    return found


def padded(method: Callable[..., str]) -> Callable[..., str]:
    def run(budget: Budget, text: str, width: Any, *fill: Any) -> str:
        budget.text(max(len(text), amount(width)))
        return method(text, width, *fill)

    return run


def _center(budget: Budget, value: Any, width: Any = 80) -> str:
    return padded(str.center)(budget, text_of(budget, value), width)


def _default(budget: Budget, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    return default_value if isinstance(value, Undefined) or (boolean and not value) else value


def _dictsort(
    budget: Budget, value: Any, case_sensitive: bool = False, by: str = "key", reverse: bool = False
) -> list[Any]:
    if by not in ("key", "value"):
        raise Misused("a mapping is sorted by its 'key' or its 'value'")
    return _sorted(budget, pairs(budget, value), _key(budget, int(by == "value"), case_sensitive), reverse)


_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"}
_ESCAPES = str.maketrans(_ESCAPED)


def _escape(budget: Budget, value: Any) -> str:
    text = text_of(budget, value)
    budget.text(len(text))
    budget.text(len(text) + sum(text.count(sign) * 4 for sign in _ESCAPED))
    return text.translate(_ESCAPES)


def _filesize(budget: Budget, value: Any, binary: bool = False) -> str:
    size, base = float(number(value)), 1024 if binary else 1000
    if size == 1:
        return "1 Byte"
    if abs(size) < base or not math.isfinite(size):
        return f"{size:g} Bytes" if not math.isfinite(size) else f"{int(size)} Bytes"
    letters = "kMGTPEZY"
    at = min(int(math.log(abs(size), base)), len(letters))
    at += abs(size) >= base ** (at + 1) and at < len(letters)
    return f"{size / base**at:.1f} {letters[at - 1].upper() if binary else letters[at - 1]}{'iB' if binary else 'B'}"


def _first(budget: Budget, value: Any) -> Any:
    return next(iter(_ended(value)))


def _last(budget: Budget, value: Any) -> Any:
    return next(reversed(_ended(value)))


def _ended(value: Any) -> Any:
    if isinstance(value, Undefined):
        str(value)
    if not isinstance(value, str | list | tuple | range | dict):
        raise Misused(f"{kind_of(value)} has no first and no last item")
    if not value:
        raise Misused("there is no item at all")
    return value


def _readable(value: Any) -> Any:
    """What is read as a number: one, or a text short enough for one."""
    if isinstance(value, str):
        return brief(value)
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) > 300:
        raise Exceeded("it makes a whole number of more than 300 digits")
    return value if isinstance(value, int | float | Decimal) else str(scalar(value))


def _float(budget: Budget, value: Any, default: Any = 0.0) -> Any:
    try:
        return float(_readable(value))
    except (Misused, TypeError, ValueError, OverflowError):
        return default


def _int(budget: Budget, value: Any, default: Any = 0, base: int = 10) -> Any:
    found = value
    try:
        found = _readable(value)
        return int(found, base) if isinstance(found, str) else int(found)
    except (Misused, TypeError, ValueError, OverflowError):
        try:
            return int(float(found))
        except (TypeError, ValueError, OverflowError):
            return default


class Group(NamedTuple):
    """What `groupby` gives: items that have something in common."""

    grouper: Any
    list: list[Any]


def _groupby(
    budget: Budget, value: Any, attribute: Any, default: Any = None, case_sensitive: bool = False
) -> list[Group]:
    steps = _steps(attribute)

    def found(item: Any) -> Any:
        reached = _path(item, steps)
        return default if reached is None else reached

    items = [(found(item), item) for item in listed(budget, value)]
    key = _key(budget, 0, case_sensitive)
    ordered = _sorted(budget, items, key)
    groups = [list(group) for _, group in groupby(ordered, key)]
    return [Group(group[0][0], [item for _, item in group]) for group in groups]


def _indent(budget: Budget, value: Any, width: Any = 4, first: bool = False, blank: bool = False) -> str:
    text = text_of(budget, value)
    space = brief(width) if isinstance(width, str) else " " * amount(width, "an indent", SHORT)
    budget.text(len(text))
    budget.text(len(text) + (text.count("\n") + 1) * len(space))
    lines = text.split("\n")
    rest = [space + line if line or blank else line for line in lines[1:]]
    return "\n".join([space + lines[0] if first else lines[0], *rest])


def pairs(budget: Budget, value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Undefined):
        return []
    if not isinstance(value, dict):
        raise Misused(f"{kind_of(value)} is no mapping")
    budget.items(len(value))
    return list(value.items())


def joined_by(budget: Budget, value: Any, d: Any = "", attribute: Any = None) -> str:
    between = text_of(budget, d)
    steps = () if attribute is None else _steps(attribute)
    texts = [text_of(budget, _path(item, steps)) for item in listed(budget, value)]
    budget.text(sum(map(len, texts)) + len(between) * max(0, len(texts) - 1))
    return between.join(texts)


def _size(budget: Budget, value: Any) -> int:
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, str | list | tuple | range | dict | set | frozenset | bytes):
        return len(value)
    raise Misused(f"{kind_of(value)} has no length")


def as_list(budget: Budget, value: Any) -> list[Any]:
    return list(listed(budget, value))


def _map(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
    if isinstance(value, Undefined):
        return []
    items = listed(budget, value)
    if not args and "attribute" in kwargs:
        default, steps = kwargs.get("default"), _steps(kwargs["attribute"])
        found = (_path(item, steps) for item in items)
        return [default if one is None else one for one in found]
    name, *rest = args or [""]
    run = _named(FILTERS, name, "filter")
    budget.take(2 * len(items))
    return [run(budget, item, *rest, **kwargs) for item in items]


def _named(table: Mapping[str, Any], name: Any, noun: str) -> Any:
    found = table.get(name) if isinstance(name, str) else None
    if found is None:
        raise Misused(f"no {noun} named {str(name)[:40]!r}" if isinstance(name, str) else f"expected a {noun}")
    return found


def _chosen(wanted: bool, by_attribute: bool) -> Callable[..., list[Any]]:
    """`select`, `reject`, `selectattr`, `rejectattr`."""

    def run(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, Undefined):
            return []
        items = listed(budget, value)
        budget.take(2 * len(items))
        steps, args = (_steps(args[0]), args[1:]) if by_attribute else ((), args)
        test = _named(TESTS, args[0], "test") if args else lambda budget, one: bool(one)
        found = ((item, _path(item, steps)) for item in items)
        return [item for item, one in found if bool(test(budget, one, *args[1:], **kwargs)) is wanted]

    return run


def _extreme(pick: Callable[..., Any]) -> Callable[..., Any]:
    """`min` and `max`."""

    def run(budget: Budget, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
        items = listed(budget, value)
        if not items:
            raise Misused("there is no item at all")
        return pick(items, key=_key(budget, attribute, case_sensitive))

    return run


def _random(budget: Budget, value: Any) -> Any:
    return budget.random.choice(listed(budget, value))


def replaced(budget: Budget, value: Any, old: Any, new: Any, count: Any = None) -> str:
    text, one, other = (text_of(budget, part) for part in (value, old, new))
    budget.text(len(text))
    found = text.count(one) if one else len(text) + 1
    times = found if count is None or count < 0 else min(found, amount(count, "a count", MAX_TEXT))
    budget.text(len(text) + times * max(0, len(other) - len(one)))
    return text.replace(one, other, times)


def _reverse(budget: Budget, value: Any) -> Any:
    if isinstance(value, str):
        budget.text(len(value))
        return value[::-1]
    return list(listed(budget, value))[::-1]


def _round(budget: Budget, value: Any, precision: Any = 0, method: str = "common") -> Any:
    places = amount(precision, "a precision", 100)
    if method == "common":
        return round(number(value), places)
    if method not in ("ceil", "floor"):
        raise Misused("a number is rounded by common, ceil or floor")
    factor = 10**places
    return (math.ceil if method == "ceil" else math.floor)(float(number(value)) * factor) / factor


def _sort(
    budget: Budget, value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: Any = None
) -> list[Any]:
    return _sorted(budget, listed(budget, value), _key(budget, attribute, case_sensitive), reverse)


def _striptags(budget: Budget, value: Any) -> str:
    """The text outside of `<…>` and `<!--…-->`, its white space folded."""
    text = text_of(budget, value)
    budget.text(len(text))
    budget.take(text.count("<"))
    kept, at = [], 0
    while (start := text.find("<", at)) >= 0:
        is_comment = text.startswith("<!--", start)
        end = text.find("-->" if is_comment else ">", start)
        if end < 0:
            break
        kept.append(text[at:start])
        at = end + (3 if is_comment else 1)
    return " ".join(html.unescape("".join([*kept, text[at:]])).split())


def _sum(budget: Budget, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    total, steps = start, () if attribute is None else _steps(attribute)
    for item in listed(budget, value):
        total = add(budget, total, _path(item, steps))
    return total


def _title(budget: Budget, value: Any) -> str:
    text = text_of(budget, value)
    budget.work(len(text), 5)
    return "".join([word[0].upper() + word[1:].lower() for word in re.split(r"([-\s({\[<]+)", text) if word])


def _tojson(budget: Budget, value: Any, indent: Any = None) -> str:
    step = len(indent) if isinstance(indent, str) else amount(indent or 0, "an indent", 16)
    if step > 16:
        raise Exceeded(f"it asks for an indent of {step:,}; 16 at most")
    size = weigh(budget, value)
    if step:
        size += _deep(budget, value) * step
        budget.text(size)
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _deep(budget: Budget, value: Any) -> int:
    """The levels of all values together: how often an indent is written."""
    total = 0
    waiting = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        total += depth + 1
        if isinstance(one, dict | list | tuple):
            budget.take(1 + len(one) // 2)
            waiting += [(item, depth + 1) for item in (one.values() if isinstance(one, dict) else one)]
    return total


def stripped(method: Callable[..., str]) -> Callable[..., str]:
    def run(budget: Budget, value: Any, chars: Any = None) -> str:
        text = text_of(budget, value)
        signs = None if chars is None else brief(chars)
        if signs is not None and len(signs) > 100:
            raise Exceeded("it strips more than 100 kinds of characters")
        budget.text(len(text))
        return method(text, signs)

    return run


def _truncate(
    budget: Budget, value: Any, length: Any = 255, killwords: bool = False, end: Any = "...", leeway: Any = 5
) -> str:
    text, last = text_of(budget, value), brief(end)
    most = amount(length, "a length", MAX_TEXT)
    if most < len(last):
        raise Misused(f"expected a length of {len(last)} or more, got {most}")
    if len(text) <= most + amount(5 if leeway is None else leeway, "a leeway"):
        return text
    budget.text(most)
    kept = text[: most - len(last)]
    return (kept if killwords else kept.rsplit(" ", 1)[0]) + last


def _unique(budget: Budget, value: Any, case_sensitive: bool = False, attribute: Any = None) -> list[Any]:
    key = _key(budget, attribute, case_sensitive)
    found: dict[Any, Any] = {}
    for item in listed(budget, value):
        found.setdefault(key(item), item)
    return list(found.values())


def _urlencode(budget: Budget, value: Any) -> str:
    items = pairs(budget, value) if isinstance(value, dict) else value
    if isinstance(items, str) or not isinstance(items, list | tuple):
        return _quoted(budget, items).replace("%2F", "/")
    return "&".join(f"{_quoted(budget, key)}={_quoted(budget, item)}" for key, item in listed(budget, items))


def _quoted(budget: Budget, value: Any) -> str:
    text = text_of(budget, value)
    budget.text(len(text))
    budget.work(len(text), 5)
    return quote_plus(text).replace("+", "%20")


def _wordcount(budget: Budget, value: Any) -> int:
    text = text_of(budget, value)
    budget.work(len(text), 5)
    return sum(1 for _ in re.finditer(r"\w+", text))


def _wordwrap(
    budget: Budget,
    value: Any,
    width: Any = 79,
    break_long_words: bool = True,
    wrapstring: Any = None,
    break_on_hyphens: bool = True,
) -> str:
    text, between = text_of(budget, value), "\n" if wrapstring is None else brief(wrapstring)
    most = max(1, amount(width))
    budget.work(len(text), 20)
    if max(map(len, text.split()), default=0) > SHORT:
        raise Exceeded(f"it wraps a word of more than {SHORT:,} characters")
    budget.text(len(text) + (len(text) // most + text.count("\n") + text.count(" ") + 1) * len(between))
    lines = (
        wrap(
            line,
            most,
            expand_tabs=False,
            replace_whitespace=False,
            break_long_words=bool(break_long_words),
            break_on_hyphens=bool(break_on_hyphens),
        )
        for line in text.splitlines()
    )
    return between.join([between.join(one) for one in lines])


FILTERS: Mapping[str, Callable[..., Any]] = {
    "abs": lambda budget, value: abs(number(value)),
    "batch": _batch,
    "capitalize": of_text(str.capitalize),
    "center": _center,
    "count": _size,
    "d": _default,
    "default": _default,
    "dictsort": _dictsort,
    "e": _escape,
    "escape": _escape,
    "filesizeformat": _filesize,
    "first": _first,
    "float": _float,
    "forceescape": _escape,
    "groupby": _groupby,
    "indent": _indent,
    "int": _int,
    "items": pairs,
    "join": joined_by,
    "last": _last,
    "length": _size,
    "list": as_list,
    "lower": of_text(str.lower),
    "map": _map,
    "max": _extreme(max),
    "min": _extreme(min),
    "random": _random,
    "reject": _chosen(wanted=False, by_attribute=False),
    "rejectattr": _chosen(wanted=False, by_attribute=True),
    "replace": replaced,
    "reverse": _reverse,
    "round": _round,
    "safe": text_of,
    "select": _chosen(wanted=True, by_attribute=False),
    "selectattr": _chosen(wanted=True, by_attribute=True),
    "slice": _slice,
    "sort": _sort,
    "string": text_of,
    "striptags": _striptags,
    "sum": _sum,
    "title": _title,
    "tojson": _tojson,
    "trim": stripped(str.strip),
    "truncate": _truncate,
    "unique": _unique,
    "upper": of_text(str.upper),
    "urlencode": _urlencode,
    "wordcount": _wordcount,
    "wordwrap": _wordwrap,
}
# a filter whose first word names another filter, or a test
NAMING: Mapping[str, tuple[str, int]] = {
    "map": ("filter", 0),
    "select": ("test", 0),
    "reject": ("test", 0),
    "selectattr": ("test", 1),
    "rejectattr": ("test", 1),
}


# -- tests ----------------------------------------------------------------------------------------------------------


def _is(kinds: Any) -> Callable[[Budget, Any], bool]:
    return lambda budget, value: isinstance(value, kinds)


def _by(operator: str) -> Callable[[Budget, Any, Any], bool]:
    return lambda budget, value, other: compared(budget, operator, value, other)


def _divisible(budget: Budget, value: Any, num: Any) -> bool:
    return bool(number(value) % number(num) == 0)


TESTS: Mapping[str, Callable[..., bool]] = {
    "!=": _by("ne"),
    "<": _by("lt"),
    "<=": _by("lteq"),
    "==": _by("eq"),
    ">": _by("gt"),
    ">=": _by("gteq"),
    "boolean": lambda budget, value: isinstance(value, bool),
    "defined": lambda budget, value: not isinstance(value, Undefined),
    "divisibleby": _divisible,
    "eq": _by("eq"),
    "equalto": _by("eq"),
    "even": lambda budget, value: _divisible(budget, value, 2),
    "false": lambda budget, value: value is False,
    "float": _is(float),
    "ge": _by("gteq"),
    "greaterthan": _by("gt"),
    "gt": _by("gt"),
    "in": is_in,
    "integer": lambda budget, value: is_int(value),
    "iterable": _is((str, list, tuple, dict, range, set, frozenset)),
    "le": _by("lteq"),
    "lessthan": _by("lt"),
    "lower": of_text(str.islower),
    "lt": _by("lt"),
    "mapping": _is(dict),
    "ne": _by("ne"),
    "none": lambda budget, value: value is None,
    "number": _is((int, float, Decimal)),
    "odd": lambda budget, value: not _divisible(budget, value, 2),
    "sameas": lambda budget, value, other: value is other,
    "sequence": _is((str, list, tuple, dict, range)),
    "string": _is(str),
    "true": lambda budget, value: value is True,
    "undefined": lambda budget, value: isinstance(value, Undefined),
    "upper": of_text(str.isupper),
}

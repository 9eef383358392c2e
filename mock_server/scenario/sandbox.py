"""What templates may do, and what it costs: filters, tests, methods, operators, each judged before it runs.

Everything here takes a `Budget` first and draws from it before it does any work. So a rendering ends after a count of
steps, the same on every machine; the clock is only asked as a backstop. What is in no table cannot be done.
"""

import html
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time as day_time, timedelta
from decimal import Decimal
from itertools import groupby
from operator import eq, floordiv, ge, gt, le, lt, mod, mul, ne, neg, pos, sub, truediv
from random import Random
from textwrap import wrap
from types import FunctionType
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from jinja2.exceptions import UndefinedError
from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.utils import Cycler, Joiner, Namespace

from mock_server.scenario.fakes import Fake, Faked

# limit -> (value, what is bounded by it): the table of docs/scenarios.md
MAX_SOURCE = 100_000
MAX_PARTS = 5_000
MAX_STEPS = 20_000
MAX_TEXT = 1_000_000
MAX_ITEMS = 10_000
MAX_OUTPUT = 50_000
MAX_DEPTH = 30
MAX_BITS = 4_096
MAX_WIDTH = 10_000
MAX_SECONDS = 1.0
LIMITS: Mapping[str, tuple[int, str]] = {
    "source": (MAX_SOURCE, "characters in a template"),
    "parts": (MAX_PARTS, "words, operators and texts that a template is made of"),
    "steps": (
        MAX_STEPS,
        "steps of all templates of a reply: one for every such part a turn of a loop or a call of a macro goes "
        "through, and one for every 100 characters or 5 items that a filter, a method or an operator reads or makes",
    ),
    "output": (MAX_OUTPUT, "characters that all templates of a reply give"),
    "text": (MAX_TEXT, "characters of a text on the way there"),
    "items": (MAX_ITEMS, "items of a list"),
    "depth": (MAX_DEPTH, "macros that call one another, or loops inside themselves"),
    "bits": (MAX_BITS, "bits of a whole number"),
    "width": (MAX_WIDTH, "width, count or length that is given to a filter or a method"),
}
_CHARACTERS = 100  # that cost a step
_CELLS = 5  # items that cost a step
_SHORT = 1_000  # characters of a text that is read as a number, or says how to do something


class Exceeded(Exception):
    """A template wants more than a bound allows: what, in a line."""


class Budget:
    """What the templates of one reply may still do."""

    __slots__ = ("_ends", "depth", "output", "random", "steps")

    def __init__(self, seed: int) -> None:
        self.steps = MAX_STEPS
        self.output = MAX_OUTPUT
        self.depth = MAX_DEPTH
        self.random = Random(seed)
        self._ends = 0.0

    def take(self, steps: int) -> None:
        """Pay for what is about to be done. Raises Exceeded."""
        self.steps -= steps
        if self.steps < 0:
            raise Exceeded(f"it takes more than {MAX_STEPS:,} steps")
        if not self._ends:
            self._ends = time.monotonic() + MAX_SECONDS
        elif time.monotonic() > self._ends:
            raise Exceeded(f"it takes more than {MAX_SECONDS:g} s")

    def text(self, length: int) -> None:
        """Pay for a text of this length that is about to be read or made."""
        if length > MAX_TEXT:
            raise Exceeded(f"it makes a text of {_told(length)} characters; {MAX_TEXT:,} at most")
        if length >= _CHARACTERS:
            self.take(length // _CHARACTERS)

    def items(self, count: int) -> None:
        """Pay for a list of so many items that is about to be read or made."""
        if count > MAX_ITEMS:
            raise Exceeded(f"it makes a list of {_told(count)} items; {MAX_ITEMS:,} at most")
        if count >= _CELLS:
            self.take(count // _CELLS)

    def said(self, length: int) -> None:
        """Pay for what comes out."""
        self.output -= length
        if self.output < 0:
            raise Exceeded(f"the templates of a reply give more than {MAX_OUTPUT:,} characters")


def _told(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"10^{number.bit_length() * 30_103 // 100_000}"


# -- values ---------------------------------------------------------------------------------------------------------

_MOMENTS = (datetime, date, day_time, timedelta)
_PLAIN = frozenset((int, float, bool, type(None), Decimal, *_MOMENTS))
_LISTS = (list, tuple, set, frozenset)


def weigh(budget: Budget, value: Any) -> int:
    """About how long a value is as text; every item in it is paid for. Raises Exceeded, UndefinedError, TypeError."""
    if isinstance(value, str):
        return len(value)
    kind = type(value)
    if kind in _PLAIN:
        return 5 + value.bit_length() // 3 if kind is int else 20
    size = 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        inner: Iterable[Any]
        if isinstance(one, dict):
            inner = [*one.keys(), *one.values()]
        elif isinstance(one, _LISTS):
            inner = one
        elif isinstance(one, str | bytes):
            size += len(one) + 4
            budget.text(len(one))
            continue
        elif type(one) in _PLAIN:
            size += 8 + one.bit_length() // 3 if type(one) is int else 24
            continue
        elif isinstance(one, range):
            size += 40
            continue
        else:
            size += len(_word(one))
            continue
        size += 2
        budget.take(1 + len(one) // 2)
        waiting += inner
        if size > MAX_TEXT:
            budget.text(size)
    budget.text(size)
    return size


def _word(value: Any) -> str:
    """What is neither text, number nor list, as text: of a few kinds only."""
    if isinstance(value, Undefined):
        return str(value)  # raises
    if type(value).__name__ in ("ZoneInfo", "UUID"):  # of fake
        return str(value)
    raise TypeError(f"{_kind(value)} is no text")


def text_of(budget: Budget, value: Any) -> str:
    """A value as text."""
    if type(value) is str:
        return value
    weigh(budget, value)
    return str(value)


def shown(budget: Budget, value: Any) -> str:
    """A value as it stands in the output, or in what a macro or a block collects."""
    said = value if type(value) is str else text_of(budget, value)
    budget.text(len(said))
    return said


def _kind(value: Any) -> str:
    names = {Namespace: "a namespace", LoopContext: "a loop", Macro: "a macro", Fake: "fake", Faked: "a fake method"}
    return names.get(type(value), f"a {type(value).__name__}")


def listed(budget: Budget, value: Any, price: int = 1) -> Sequence[Any]:
    """What a loop or a filter goes through, each turn at a price."""
    if isinstance(value, str | list | tuple | range):
        found: Sequence[Any] = value
    elif isinstance(value, dict | set | frozenset):
        found = list(value) if len(value) <= MAX_ITEMS else range(len(value))
    elif isinstance(value, Undefined):
        return list(value)  # raises, or has none
    else:
        raise TypeError(f"{_kind(value)} has no items to go through")
    count = len(found)
    if price == 1:
        budget.items(count)
    else:
        budget.take(count * price)
    return found


def _scalar(value: Any) -> Any:
    """A value that others are compared with: its comparison costs what its text does."""
    if isinstance(value, str) or type(value) in _PLAIN:
        return value
    if isinstance(value, Undefined):
        str(value)
    raise TypeError(f"expected text or numbers to compare, got {_kind(value)}")


def _number(value: Any) -> Any:
    if isinstance(value, int | float | Decimal):
        return value
    if isinstance(value, Undefined):
        str(value)
    raise TypeError(f"expected a number, got {_kind(value)}")


def _count(value: Any, name: str = "a width", most: int = MAX_WIDTH) -> int:
    """A number that says how long or how many."""
    if not isinstance(value, int):
        if isinstance(value, Undefined):
            str(value)
        raise TypeError(f"expected a whole number, got {_kind(value)}")
    if abs(value) > most:
        raise Exceeded(f"it asks for {name} of {_told(abs(value))}; {most:,} at most")
    return value


def _brief(value: Any) -> str:
    """A text that says how to do something."""
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {_kind(value)}")
    if len(value) > _SHORT:
        raise Exceeded(f"it gives a text of {len(value):,} characters where {_SHORT:,} are the most")
    return value


# -- operators ------------------------------------------------------------------------------------------------------


def _add(budget: Budget, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        budget.text(len(left) + len(right))
    elif (isinstance(left, list) and isinstance(right, list)) or (isinstance(left, tuple) and isinstance(right, tuple)):
        budget.items(len(left) + len(right))
    else:
        _ordinary(left, right)
    return left + right


def _multiply(budget: Budget, left: Any, right: Any) -> Any:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and isinstance(other, int):
            (budget.text if isinstance(one, str) else budget.items)(len(one) * max(0, other))
            return one * other
    _ordinary(left, right)
    _bits(_length(left) + _length(right))
    return mul(left, right)


def _power(budget: Budget, left: Any, right: Any) -> Any:
    _number(left), _number(right)
    if isinstance(left, int) and isinstance(right, int) and abs(left) > 1:
        _bits(_length(left) * abs(right))
    return left**right


def _remainder(budget: Budget, left: Any, right: Any) -> Any:
    if isinstance(left, str):
        return _formatted(budget, left, right)
    _ordinary(left, right)
    return mod(left, right)


_SPEC = re.compile(r"%(?:\([^()]{0,200}\))?[-+ #0]*(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.)", re.DOTALL)


def _formatted(budget: Budget, said: str, given: Any) -> str:
    """`'%s' % value`: as long as the text, its widths, and what is put in for every place."""
    budget.text(len(said))
    specs = _SPEC.findall(said)
    budget.take(len(specs))
    for width, precision, _ in specs:
        if "*" in (width, precision):
            raise Exceeded("it takes the width of a '%' from a value; write it out")
        for digits in (width, precision):
            if len(digits) > 4 or int(digits or 0) > _SHORT:
                raise Exceeded(f"it asks for a width of {digits[:20]}; {_SHORT:,} at most in a '%'")
    most = 10 if any(letter in "ra" for _, _, letter in specs) else 1
    places = sum(int(width or 0) + int(precision or 0) + 320 for width, precision, _ in specs)
    budget.text(len(said) + places + len(specs) * weigh(budget, given) * most)
    return said % given


def _ordinary(*values: Any) -> None:
    """Numbers and times can be reckoned with; what is undefined says so by itself."""
    for value in values:
        if type(value) not in _PLAIN and not isinstance(value, Undefined | int | float):
            raise TypeError(f"cannot reckon with {_kind(value)}")


def _length(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise Exceeded(f"it makes a whole number of more than {MAX_BITS:,} bits")


def _plainly(operate: Callable[[Any, Any], Any]) -> Callable[[Budget, Any, Any], Any]:
    def operated(budget: Budget, left: Any, right: Any) -> Any:
        _ordinary(left, right)
        return operate(left, right)

    return operated


BINARY: Mapping[str, Callable[[Budget, Any, Any], Any]] = {
    "+": _add,
    "-": _plainly(sub),
    "*": _multiply,
    "/": _plainly(truediv),
    "//": _plainly(floordiv),
    "%": _remainder,
    "**": _power,
}


def _unary(operate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def operated(value: Any) -> Any:
        _ordinary(value)
        return operate(value)

    return operated


UNARY: Mapping[str, Callable[[Any], Any]] = {"-": _unary(neg), "+": _unary(pos)}
_ORDER: Mapping[str, Callable[[Any, Any], Any]] = {"eq": eq, "ne": ne, "lt": lt, "lteq": le, "gt": gt, "gteq": ge}


def _compared(budget: Budget, operator: str, left: Any, right: Any) -> bool:
    if operator in ("in", "notin"):
        return _is_in(budget, left, right) is (operator == "in")
    if isinstance(left, str) and isinstance(right, str):
        budget.text(min(len(left), len(right), MAX_TEXT))
    elif not (type(left) in _PLAIN or type(right) in _PLAIN):
        for one in (left, right):
            if isinstance(one, dict | list | tuple | set | frozenset):
                weigh(budget, one)
            elif isinstance(one, range):
                budget.items(len(one))
    return bool(_ORDER[operator](left, right))


def _is_in(budget: Budget, one: Any, every: Any) -> bool:
    if isinstance(every, str):
        budget.take(1 + len(every) // _CHARACTERS)
        return one in every if isinstance(one, str) else text_of(budget, one) in every
    if isinstance(every, dict | set | frozenset):
        return _scalar(one) in every
    if isinstance(every, range):
        return isinstance(one, int) and one in every
    if isinstance(every, list | tuple):
        weigh(budget, every)
        return one in every
    if isinstance(every, Undefined):
        str(every)
    raise TypeError(f"nothing is in {_kind(every)}")


def compare(budget: Budget, left: Any, *rest: Any) -> bool:
    """`left OPERATOR right OPERATOR right …`: the operators and what they compare, in turn."""
    for operator, right in zip(rest[::2], rest[1::2], strict=True):
        if not _compared(budget, operator, left, right):
            return False
        left = right
    return True


def joined(budget: Budget, *values: Any) -> str:
    """`a ~ b`."""
    texts = [text_of(budget, one) for one in values]
    budget.text(sum(map(len, texts)))
    return "".join(texts)


def sliced(budget: Budget, value: Any, *ends: Any) -> Any:
    """`value[a:b:c]`."""
    if isinstance(value, Undefined):
        str(value)
    if not isinstance(value, str | list | tuple | range):
        raise TypeError(f"{_kind(value)} cannot be cut")
    for end in ends:
        if end is not None:
            _ordinary(end)
    cut = slice(*ends)
    count = len(range(*cut.indices(len(value))))
    (budget.text if isinstance(value, str) else budget.items)(count)
    return value[cut]


def keyed(budget: Budget, value: Any) -> Any:
    """A key of a mapping that is written in a template."""
    return _scalar(value)


# -- filters --------------------------------------------------------------------------------------------------------


def _of_text(method: Callable[..., Any], most: int = 1) -> Callable[..., Any]:
    """A filter or method that reads a text and takes nothing; its result is at most so many times as long."""

    def run(budget: Budget, value: Any) -> Any:
        said = text_of(budget, value)
        budget.text(len(said) * most)
        return method(said)

    return run


def _path(value: Any, name: Any) -> Any:
    """What `attribute='a.b'` leads to; nothing (None) where it leads nowhere."""
    for step in name.split(".") if isinstance(name, str) else [name]:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list | tuple) and (isinstance(step, int) or str(step).isdecimal()):
            at = int(step) if len(str(step)) < 10 else MAX_ITEMS
            value = value[at] if at < len(value) else None
        elif isinstance(value, _MOMENTS) and step in _FIELDS:
            value = getattr(value, step, None)
        else:
            return None
    return value


def _key(budget: Budget, attribute: Any, case_sensitive: bool) -> Callable[[Any], Any]:
    """What items are compared by."""
    names = attribute.split(",") if isinstance(attribute, str) else [attribute]
    if len(names) > 10:
        raise Exceeded("it compares by more than 10 attributes")

    def one(item: Any, name: Any) -> Any:
        found = _scalar(item if name is None else _path(item, name))
        if isinstance(found, str):
            budget.take(1 + len(found) // _CHARACTERS)
            return found if case_sensitive else found.lower()
        return found

    return lambda item: one(item, names[0]) if len(names) == 1 else tuple(one(item, name) for name in names)


def _sorted(budget: Budget, items: Iterable[Any], key: Callable[[Any], Any], reverse: bool = False) -> list[Any]:
    """In order; a comparison costs what the longest key does."""
    keys = [(key(item), at, item) for at, item in enumerate(items)]
    longest = max((len(str(one[0])) if isinstance(one[0], str) else 10 for one in keys), default=0)
    budget.take(len(keys) * len(keys).bit_length() * (1 + longest // (10 * _CHARACTERS)) // 4)
    keys.sort(key=lambda one: one[0], reverse=bool(reverse))
    return [item for _, _, item in keys]


def _batch(budget: Budget, value: Any, linecount: Any, fill_with: Any = None) -> list[list[Any]]:
    width = _count(linecount, "a row")
    if width < 1:
        raise ValueError("a row has one item or more")
    items = listed(budget, value)
    rows = [list(items[at : at + width]) for at in range(0, len(items), width)]
    if rows and fill_with is not None and len(rows[-1]) < width:
        budget.items(width)
        rows[-1] += [fill_with] * (width - len(rows[-1]))
    return rows


def _slice(budget: Budget, value: Any, slices: Any, fill_with: Any = None) -> list[list[Any]]:
    columns = _count(slices, "a number of columns")
    if columns < 1:
        raise ValueError("there is one column or more")
    items = listed(budget, value)
    budget.items(columns)
    each, more = divmod(len(items), columns)
    found, at = [], 0
    for column in range(columns):
        end = at + each + (column < more)
        found.append([*items[at:end], *([fill_with] if fill_with is not None and column >= more else [])])
        at = end
    return found


def _center(budget: Budget, value: Any, width: Any = 80) -> str:
    return _padded(str.center)(budget, text_of(budget, value), width)


def _default(budget: Budget, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    return default_value if isinstance(value, Undefined) or (boolean and not value) else value


def _dictsort(
    budget: Budget, value: Any, case_sensitive: bool = False, by: str = "key", reverse: bool = False
) -> list[Any]:
    if by not in ("key", "value"):
        raise ValueError("a mapping is sorted by its 'key' or its 'value'")
    return _sorted(budget, _items(budget, value), _key(budget, int(by == "value"), case_sensitive), reverse)


_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"}
_ESCAPES = str.maketrans(_ESCAPED)


def _escape(budget: Budget, value: Any) -> str:
    said = text_of(budget, value)
    budget.text(len(said))
    budget.text(len(said) + sum(said.count(sign) * 4 for sign in _ESCAPED))
    return said.translate(_ESCAPES)


def _filesize(budget: Budget, value: Any, binary: bool = False) -> str:
    size, base = float(_number(value)), 1024 if binary else 1000
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
        raise TypeError(f"{_kind(value)} has no first and no last item")
    if not value:
        raise ValueError("there is no item at all")
    return value


def _readable(value: Any) -> Any:
    """What is read as a number: one, or a text short enough for one."""
    if isinstance(value, str):
        return _brief(value)
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) > 300:
        raise Exceeded("it makes a whole number of more than 300 digits")
    return value if isinstance(value, int | float | Decimal) else str(_scalar(value))


def _float(budget: Budget, value: Any, default: Any = 0.0) -> Any:
    try:
        return float(_readable(value))
    except (TypeError, ValueError, OverflowError):
        return default


def _int(budget: Budget, value: Any, default: Any = 0, base: int = 10) -> Any:
    found = _readable(value)
    try:
        return int(found, base) if isinstance(found, str) else int(found)
    except (TypeError, ValueError, OverflowError):
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
    def found(item: Any) -> Any:
        reached = _path(item, attribute)
        return default if reached is None else reached

    items = [(found(item), item) for item in listed(budget, value)]
    key = _key(budget, 0, case_sensitive)
    ordered = _sorted(budget, items, key)
    groups = [list(group) for _, group in groupby(ordered, key)]
    return [Group(group[0][0], [item for _, item in group]) for group in groups]


def _indent(budget: Budget, value: Any, width: Any = 4, first: bool = False, blank: bool = False) -> str:
    said = text_of(budget, value)
    space = _brief(width) if isinstance(width, str) else " " * _count(width, "an indent", _SHORT)
    budget.text(len(said))
    budget.text(len(said) + (said.count("\n") + 1) * len(space))
    lines = said.split("\n")
    rest = [space + line if line or blank else line for line in lines[1:]]
    return "\n".join([space + lines[0] if first else lines[0], *rest])


def _items(budget: Budget, value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Undefined):
        return []
    if not isinstance(value, dict):
        raise TypeError(f"{_kind(value)} is no mapping")
    budget.items(len(value))
    return list(value.items())


def _join(budget: Budget, value: Any, d: Any = "", attribute: Any = None) -> str:
    between = text_of(budget, d)
    items = listed(budget, value)
    texts = [text_of(budget, item if attribute is None else _path(item, attribute)) for item in items]
    budget.text(sum(map(len, texts)) + len(between) * max(0, len(texts) - 1))
    return between.join(texts)


def _size(budget: Budget, value: Any) -> int:
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, str | list | tuple | range | dict | set | frozenset | bytes):
        return len(value)
    raise TypeError(f"{_kind(value)} has no length")


def _list(budget: Budget, value: Any) -> list[Any]:
    return list(listed(budget, value))


def _map(budget: Budget, value: Any, *given: Any, **named: Any) -> list[Any]:
    if isinstance(value, Undefined):
        return []
    items = listed(budget, value)
    if not given and "attribute" in named:
        default = named.get("default")
        found = (_path(item, named["attribute"]) for item in items)
        return [default if one is None else one for one in found]
    name, *rest = given or [""]
    run = _named(FILTERS, name, "filter")
    budget.take(2 * len(items))
    return [run(budget, item, *rest, **named) for item in items]


def _named(table: Mapping[str, Any], name: Any, noun: str) -> Any:
    found = table.get(name) if isinstance(name, str) else None
    if found is None:
        raise TypeError(f"no {noun} named {str(name)[:40]!r}" if isinstance(name, str) else f"expected a {noun}")
    return found


def _chosen(wanted: bool, by_attribute: bool) -> Callable[..., list[Any]]:
    """`select`, `reject`, `selectattr`, `rejectattr`."""

    def run(budget: Budget, value: Any, *given: Any, **named: Any) -> list[Any]:
        if isinstance(value, Undefined):
            return []
        items = listed(budget, value)
        budget.take(2 * len(items))
        attribute, given = (given[0], given[1:]) if by_attribute else (None, given)
        test = _named(TESTS, given[0], "test") if given else lambda budget, one: bool(one)
        found = ((item, _path(item, attribute) if by_attribute else item) for item in items)
        return [item for item, one in found if bool(test(budget, one, *given[1:], **named)) is wanted]

    return run


def _extreme(pick: Callable[..., Any]) -> Callable[..., Any]:
    """`min` and `max`."""

    def run(budget: Budget, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
        items = listed(budget, value)
        if not items:
            raise ValueError("there is no item at all")
        return pick(items, key=_key(budget, attribute, case_sensitive))

    return run


def _random(budget: Budget, value: Any) -> Any:
    return budget.random.choice(listed(budget, value))


def _replace(budget: Budget, value: Any, old: Any, new: Any, count: Any = None) -> str:
    said, one, other = (text_of(budget, part) for part in (value, old, new))
    budget.text(len(said))
    found = said.count(one) if one else len(said) + 1
    times = found if count is None or count < 0 else min(found, _count(count, "a count", MAX_TEXT))
    budget.text(len(said) + times * max(0, len(other) - len(one)))
    return said.replace(one, other, times)


def _reverse(budget: Budget, value: Any) -> Any:
    if isinstance(value, str):
        budget.text(len(value))
        return value[::-1]
    return list(listed(budget, value))[::-1]


def _round(budget: Budget, value: Any, precision: Any = 0, method: str = "common") -> Any:
    places = _count(precision, "a precision", 100)
    if method == "common":
        return round(_number(value), places)
    if method not in ("ceil", "floor"):
        raise ValueError("a number is rounded by common, ceil or floor")
    factor = 10**places
    return (math.ceil if method == "ceil" else math.floor)(float(_number(value)) * factor) / factor


def _sort(
    budget: Budget, value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: Any = None
) -> list[Any]:
    return _sorted(budget, listed(budget, value), _key(budget, attribute, case_sensitive), reverse)


def _striptags(budget: Budget, value: Any) -> str:
    """The text outside of `<…>` and `<!--…-->`, its white space folded."""
    said = text_of(budget, value)
    budget.text(2 * len(said))
    kept, at = [], 0
    while (start := said.find("<", at)) >= 0:
        is_comment = said.startswith("<!--", start)
        end = said.find("-->" if is_comment else ">", start)
        if end < 0:
            break
        kept.append(said[at:start])
        at = end + (3 if is_comment else 1)
    return " ".join(html.unescape("".join([*kept, said[at:]])).split())


def _sum(budget: Budget, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    total = start
    for item in listed(budget, value):
        total = _add(budget, total, item if attribute is None else _path(item, attribute))
    return total


def _title(budget: Budget, value: Any) -> str:
    said = text_of(budget, value)
    budget.text(3 * len(said))
    return "".join([word[0].upper() + word[1:].lower() for word in re.split(r"([-\s({\[<]+)", said) if word])


def _tojson(budget: Budget, value: Any, indent: Any = None) -> str:
    step = len(indent) if isinstance(indent, str) else _count(indent or 0, "an indent", 16)
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


def _stripped(method: Callable[..., str]) -> Callable[..., str]:
    def run(budget: Budget, value: Any, chars: Any = None) -> str:
        said = text_of(budget, value)
        signs = None if chars is None else _brief(chars)
        if signs is not None and len(signs) > 100:
            raise Exceeded("it strips more than 100 kinds of characters")
        budget.text(len(said))
        return method(said, signs)

    return run


def _truncate(
    budget: Budget, value: Any, length: Any = 255, killwords: bool = False, end: Any = "...", leeway: Any = 5
) -> str:
    said, last = text_of(budget, value), _brief(end)
    most = _count(length, "a length", MAX_TEXT)
    if most < len(last):
        raise ValueError(f"expected a length of {len(last)} or more, got {most}")
    if len(said) <= most + _count(5 if leeway is None else leeway, "a leeway"):
        return said
    budget.text(most)
    kept = said[: most - len(last)]
    return (kept if killwords else kept.rsplit(" ", 1)[0]) + last


def _unique(budget: Budget, value: Any, case_sensitive: bool = False, attribute: Any = None) -> list[Any]:
    key = _key(budget, attribute, case_sensitive)
    found: dict[Any, Any] = {}
    for item in listed(budget, value):
        found.setdefault(key(item), item)
    return list(found.values())


def _urlencode(budget: Budget, value: Any) -> str:
    pairs = _items(budget, value) if isinstance(value, dict) else value
    if isinstance(pairs, str) or not isinstance(pairs, list | tuple):
        return _quoted(budget, pairs).replace("%2F", "/")
    return "&".join(f"{_quoted(budget, key)}={_quoted(budget, item)}" for key, item in listed(budget, pairs))


def _quoted(budget: Budget, value: Any) -> str:
    said = text_of(budget, value)
    budget.text(12 * len(said))
    return quote_plus(said).replace("+", "%20")


def _wordcount(budget: Budget, value: Any) -> int:
    said = text_of(budget, value)
    budget.text(5 * len(said))
    return sum(1 for _ in re.finditer(r"\w+", said))


def _wordwrap(
    budget: Budget,
    value: Any,
    width: Any = 79,
    break_long_words: bool = True,
    wrapstring: Any = None,
    break_on_hyphens: bool = True,
) -> str:
    said, between = text_of(budget, value), "\n" if wrapstring is None else _brief(wrapstring)
    most = max(1, _count(width))
    budget.text(20 * len(said))
    if max(map(len, said.split()), default=0) > _SHORT:
        raise Exceeded(f"it wraps a word of more than {_SHORT:,} characters")
    budget.text(len(said) + (len(said) // most + said.count("\n") + said.count(" ") + 1) * len(between))
    lines = (
        wrap(
            line,
            most,
            expand_tabs=False,
            replace_whitespace=False,
            break_long_words=bool(break_long_words),
            break_on_hyphens=bool(break_on_hyphens),
        )
        for line in said.splitlines()
    )
    return between.join([between.join(one) for one in lines])


FILTERS: Mapping[str, Callable[..., Any]] = {
    "abs": lambda budget, value: abs(_number(value)),
    "batch": _batch,
    "capitalize": _of_text(str.capitalize),
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
    "items": _items,
    "join": _join,
    "last": _last,
    "length": _size,
    "list": _list,
    "lower": _of_text(str.lower),
    "map": _map,
    "max": _extreme(max),
    "min": _extreme(min),
    "random": _random,
    "reject": _chosen(wanted=False, by_attribute=False),
    "rejectattr": _chosen(wanted=False, by_attribute=True),
    "replace": _replace,
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
    "trim": _stripped(str.strip),
    "truncate": _truncate,
    "unique": _unique,
    "upper": _of_text(str.upper),
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
    return lambda budget, value, other: _compared(budget, operator, value, other)


def _divisible(budget: Budget, value: Any, num: Any) -> bool:
    return bool(_number(value) % _number(num) == 0)


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
    "in": _is_in,
    "integer": lambda budget, value: isinstance(value, int) and not isinstance(value, bool),
    "iterable": _is((str, list, tuple, dict, range, set, frozenset)),
    "le": _by("lteq"),
    "lessthan": _by("lt"),
    "lower": _of_text(str.islower),
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
    "upper": _of_text(str.isupper),
}


# -- methods --------------------------------------------------------------------------------------------------------


def _padded(method: Callable[..., str]) -> Callable[..., str]:
    def run(budget: Budget, said: str, width: Any, *fill: Any) -> str:
        budget.text(max(len(said), _count(width)))
        return method(said, width, *fill)

    return run


def _searching(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that looks for a text, or for one of several."""

    def run(budget: Budget, said: str, sought: Any, *ends: Any) -> Any:
        budget.text(len(said))
        for one in sought if isinstance(sought, tuple) else ():
            budget.text(len(_brief(one)) + _CHARACTERS)
        _ordinary(*(end for end in ends if end is not None))
        return method(said, sought, *ends)

    return run


def _splitting(method: Callable[..., Any]) -> Callable[..., list[str]]:
    def run(budget: Budget, said: str, sep: Any = None, maxsplit: Any = -1) -> list[str]:
        budget.text(len(said))
        times = _count(maxsplit, "a number of pieces", MAX_TEXT)
        count = len(said) // 2 + 1 if sep is None else said.count(sep) + 1
        budget.items(min(count, times + 1) if times >= 0 else _pieces(said, sep, count))
        found: list[str] = method(said, sep, times)
        return found

    return run


def _pieces(said: str, sep: Any, most: int) -> int:
    """How many pieces a text falls into; counted where there could be too many."""
    return sum(1 for _ in re.finditer(r"\S+", said)) if sep is None and most > MAX_ITEMS else most


def _lines(budget: Budget, said: str, keepends: bool = False) -> list[str]:
    budget.text(len(said))
    found = said.splitlines(bool(keepends))
    budget.items(len(found))
    return found


def _tabs(budget: Budget, said: str, tabsize: Any = 8) -> str:
    budget.text(len(said) + said.count("\t") * max(0, _count(tabsize)))
    return said.expandtabs(tabsize)


_CUT = {name: _searching(getattr(str, name)) for name in ("partition", "removeprefix", "removesuffix", "rpartition")}
_FOUND = ("count", "endswith", "find", "index", "rfind", "rindex", "startswith")
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
    return every.get(_scalar(key), default)


def _strftime(budget: Budget, at: Any, format: Any) -> str:
    if len(_brief(format)) > 200 or re.search(r"%[^a-zA-Z%]*\d", format):
        raise Exceeded("it formats a time by more than 200 characters, or by a width")
    return str(at.strftime(format))


def _brisk(method: str) -> Callable[..., Any]:
    """A method that only ever makes something small."""

    def run(budget: Budget, value: Any, *given: Any, **named: Any) -> Any:
        for one in (*given, *named.values()):
            _brief(one) if isinstance(one, str) else _ordinary(one)
        return getattr(value, method)(*given, **named)

    return run


_FIELDS = (
    *("year", "month", "day", "hour", "minute", "second", "microsecond"),
    *("days", "seconds", "microseconds"),
)
METHODS: Mapping[type, Mapping[str, Callable[..., Any]]] = {
    str: {
        **{name: _of_text(getattr(str, name), 3) for name in _PLAINLY},
        **{name: _of_text(getattr(str, name)) for name in _ASKED},
        **{name: _searching(getattr(str, name)) for name in _FOUND},
        **_CUT,
        **{name: _padded(getattr(str, name)) for name in ("center", "ljust", "rjust", "zfill")},
        **{name: _stripped(getattr(str, name)) for name in ("lstrip", "rstrip", "strip")},
        "expandtabs": _tabs,
        "join": lambda budget, said, every: _join(budget, every, said),
        "replace": _replace,
        "rsplit": _splitting(str.rsplit),
        "split": _splitting(str.split),
        "splitlines": _lines,
    },
    list: {"count": _index(list.count), "index": _index(list.index)},
    tuple: {"count": _index(tuple.count), "index": _index(tuple.index)},
    dict: {
        "get": _get,
        "items": _items,
        "keys": _list,
        "values": lambda budget, every: listed(budget, list(every.values())),
    },
    datetime: {
        "strftime": _strftime,
        **{
            name: _brisk(name)
            for name in ("ctime", "date", "isoformat", "isoweekday", "replace", "time", "timestamp", "tzname", "weekday")
        },
    },
    date: {"strftime": _strftime, **{name: _brisk(name) for name in ("ctime", "isoformat", "isoweekday", "weekday")}},
    day_time: {"strftime": _strftime, "isoformat": _brisk("isoformat")},
    timedelta: {"total_seconds": _brisk("total_seconds")},
}
_LOOP = (
    *("index", "index0", "revindex", "revindex0", "first", "last", "length"),
    *("depth", "depth0", "previtem", "nextitem", "cycle", "changed"),
)
_ATTRIBUTES: Mapping[type, Sequence[str]] = {
    datetime: _FIELDS,
    date: _FIELDS,
    day_time: _FIELDS,
    timedelta: _FIELDS,
    LoopContext: _LOOP,
    Cycler: ("next", "reset", "current"),
    Group: ("grouper", "list"),
}


class Method(NamedTuple):
    """A method of a value, found by name and not called yet."""

    run: Callable[..., Any]
    of: Any
    name: str


_MISSING: Any = object()


def attribute(value: Any, name: str) -> Any:
    """What `value.name` is; `missing` where there is none."""
    kind = type(value)
    if kind is dict and name not in METHODS[dict]:
        return value.get(name, _MISSING)
    methods = METHODS.get(kind)
    if methods is not None and name in methods:
        return Method(methods[name], value, name)
    if name in _ATTRIBUTES.get(kind, ()) or (kind in (Fake, Namespace) and not name.startswith("_")):
        return getattr(value, name, _MISSING)
    return _MISSING


def item(value: Any, key: Any) -> Any:
    """What `value[key]` is; `missing` where there is none."""
    kind = type(value)
    if kind is dict:
        return value.get(key, _MISSING) if isinstance(key, str) or type(key) in _PLAIN else _MISSING
    if isinstance(value, str | list | tuple | range) and isinstance(key, int):
        return value[key] if -len(value) <= key < len(value) else _MISSING
    return attribute(value, key) if isinstance(key, str) else _MISSING


def is_missing(value: Any) -> bool:
    """Whether `attribute` or `item` found nothing."""
    return value is _MISSING


def refusal(value: Any, name: Any) -> str | None:
    """Why there is no such method, where Python has one."""
    kind = type(value)
    if kind not in METHODS or not isinstance(name, str) or not hasattr(kind, name):
        return None
    return f"a template cannot ask {_kind(value)} for {name!r}; it has {', '.join(sorted(METHODS[kind]))}"


# -- calls ----------------------------------------------------------------------------------------------------------


def _range(budget: Budget, *ends: Any) -> range:
    _ordinary(*ends)
    found = range(*ends)
    budget.items(max(0, (found.stop - found.start) // found.step))
    return found


def _dict(budget: Budget, *given: Any, **named: Any) -> dict[str, Any]:
    if not given:
        return named
    (base,) = given
    pairs = listed(budget, _items(budget, base) if isinstance(base, dict) else base)
    return {**{_scalar(key): value for key, value in pairs}, **named}


def _namespace(budget: Budget, *given: Any, **named: Any) -> Namespace:
    return Namespace(_dict(budget, *given, **named))


def _cycler(budget: Budget, *given: Any) -> Cycler:
    return Cycler(*given)


def _joiner(budget: Budget, sep: Any = ", ") -> Joiner:
    return Joiner(text_of(budget, sep))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "cycler": _cycler,
    "dict": _dict,
    "joiner": _joiner,
    "namespace": _namespace,
    "range": _range,
}
GLOBALS: Mapping[str, Method] = {name: Method(run, None, name) for name, run in FUNCTIONS.items()}


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
        return called(*map(_scalar, given), **{name: _scalar(one) for name, one in named.items()})
    raise TypeError(f"{_kind(called)} cannot be called")


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


def collected(pieces: Sequence[str]) -> str:
    """What a macro, a block or a loop has collected. Raises Exceeded."""
    length = sum(map(len, pieces))
    if length > MAX_TEXT:
        raise Exceeded(f"it makes a text of {length:,} characters; {MAX_TEXT:,} at most")
    return "".join(pieces)


def failure(error: Exception) -> str:
    """What went wrong, in a line that is the same with every version of Python where it can be."""
    if isinstance(error, Exceeded | UndefinedError):
        return str(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return f"{type(error).__name__}: {error}"


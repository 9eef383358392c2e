"""What templates may do, and what it costs: the budget of a rendering, and the operators.

Everything here takes a `Budget` first and draws from it before it does any work. So a rendering ends after a count of
steps, the same on every machine; the clock is only asked as a backstop. What is in no table cannot be done.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from datetime import time as day_time
from decimal import Decimal
from operator import eq, floordiv, ge, gt, le, lt, mod, mul, ne, neg, pos, sub, truediv
from random import Random
from typing import Any

from jinja2.exceptions import UndefinedError
from jinja2.runtime import LoopContext, Macro, Undefined
from jinja2.utils import Namespace, pass_context

from mock_server.scenario.generated.fakes import Fake, Faked
from mock_server.scenario.templates import BUDGET

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
CHARACTERS = 100  # that cost a step
_CELLS = 5  # items that cost a step
MOST_NAMES = 10  # attributes to compare by, and steps to one of them
SHORT = 1_000  # characters of a text that is read as a number, or says how to do something


class Exceeded(Exception):
    """A template wants more than a bound allows: what, in a line."""


class Misused(Exception):
    """A template asks for what a value cannot do, in a line."""


class Budget:
    """What the templates of one reply may still do."""

    __slots__ = ("_ends", "_random", "_seed", "depth", "output", "steps")
    _cpu = staticmethod(time.thread_time)  # not what others do on a busy machine

    def __init__(self, seed: Callable[[], int]) -> None:
        self.steps = MAX_STEPS
        self.output = MAX_OUTPUT
        self.depth = MAX_DEPTH
        self._seed = seed
        self._random: Random | None = None
        self._ends = 0.0

    @property
    def random(self) -> Random:
        """The source of what is drawn."""
        if self._random is None:
            self._random = Random(self._seed())
        return self._random

    def take(self, steps: int) -> None:
        """Pay for what is about to be done. Raises Exceeded."""
        self.steps -= steps
        if self.steps < 0:
            raise Exceeded(f"it takes more than {MAX_STEPS:,} steps")
        if not self._ends:
            self._ends = self._cpu() + MAX_SECONDS
        elif self._cpu() > self._ends:
            raise Exceeded(f"it takes more than {MAX_SECONDS:g} s")

    def text(self, length: int) -> None:
        """Pay for a text of this length that is about to be read or made."""
        if length > MAX_TEXT:
            raise Exceeded(f"it makes a text of {_written(length)} characters; {MAX_TEXT:,} at most")
        if length >= CHARACTERS:
            self.take(length // CHARACTERS)

    def work(self, length: int, price: int) -> None:
        """Pay for going through a text at so many times the usual price."""
        self.take(length * price // CHARACTERS)

    def items(self, count: int) -> None:
        """Pay for a list of so many items that is about to be read or made."""
        if count > MAX_ITEMS:
            raise Exceeded(f"it makes a list of {_written(count)} items; {MAX_ITEMS:,} at most")
        if count >= _CELLS:
            self.take(count // _CELLS)

    def pay_output(self, length: int) -> None:
        """Pay for what comes out."""
        self.output -= length
        if self.output < 0:
            raise Exceeded(f"the templates of a reply give more than {MAX_OUTPUT:,} characters")


def _written(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"10^{number.bit_length() * 30_103 // 100_000}"


# -- values ---------------------------------------------------------------------------------------------------------


def _itself(kind: type) -> type:
    """The class of the standard library, also while freezegun has put one of its own in its place."""
    return next(one for one in kind.__mro__ if one.__module__ == "datetime")


MOMENTS = DATETIME, DATE, TIME, DURATION = tuple(map(_itself, (datetime, date, day_time, timedelta)))
PLAIN = frozenset((int, float, bool, type(None), Decimal, *MOMENTS))
_LISTS = (list, tuple, set, frozenset)


def weigh(budget: Budget, value: Any) -> int:
    """About how long a value is as text; every item in it is paid for. Raises Exceeded, Misused, UndefinedError."""
    if isinstance(value, str):
        return len(value)
    kind = type(value)
    if kind in PLAIN:
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
        elif type(one) in PLAIN:
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
    raise Misused(f"{kind_of(value)} is no text")


def text_of(budget: Budget, value: Any) -> str:
    """A value as text."""
    if type(value) is str:
        return value
    weigh(budget, value)
    return str(value)


def shown(budget: Budget, value: Any) -> str:
    """A value as it stands in the output, or in what a macro or a block collects."""
    text = value if type(value) is str else text_of(budget, value)
    budget.text(len(text))
    return text


def kind_of(value: Any) -> str:
    return _KINDS.get(type(value), f"a {type(value).__name__}")


_KINDS: Mapping[type, str] = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "nothing",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
    range: "a range",
    set: "a set",
    Namespace: "a namespace",
    LoopContext: "a loop",
    Macro: "a macro",
    Fake: "fake",
    Faked: "a fake method",
}


def listed(budget: Budget, value: Any, price: int | None = None) -> Sequence[Any]:
    """What a filter goes through, or a loop, each turn of which has a price."""
    if isinstance(value, str | list | tuple | range):
        found: Sequence[Any] = value
    elif isinstance(value, dict | set | frozenset):
        found = list(value) if len(value) <= MAX_ITEMS else range(len(value))
    elif isinstance(value, Undefined):
        return list(value)  # raises, or has none
    else:
        raise Misused(f"{kind_of(value)} has no items to go through")
    count = len(found)
    if price is None:
        budget.items(count)
    else:
        budget.take(count * price)
    return found


def scalar(value: Any) -> Any:
    """A value that others are compared with: its comparison costs what its text does."""
    if isinstance(value, str) or type(value) in PLAIN:
        return value
    if isinstance(value, Undefined):
        str(value)
    raise Misused(f"expected text or numbers to compare, got {kind_of(value)}")


def number(value: Any) -> Any:
    if isinstance(value, int | float | Decimal):
        return value
    if isinstance(value, Undefined):
        str(value)
    raise Misused(f"expected a number, got {kind_of(value)}")


def amount(value: Any, name: str = "a width", most: int = MAX_WIDTH) -> int:
    """A number that says how long or how many."""
    if not isinstance(value, int):
        if isinstance(value, Undefined):
            str(value)
        raise Misused(f"expected a whole number, got {kind_of(value)}")
    if abs(value) > most:
        raise Exceeded(f"it asks for {name} of {_written(abs(value))}; {most:,} at most")
    return value


def brief(value: Any) -> str:
    """A text that says how to do something."""
    if not isinstance(value, str):
        raise Misused(f"expected text, got {kind_of(value)}")
    if len(value) > SHORT:
        raise Exceeded(f"it gives a text of {len(value):,} characters where {SHORT:,} are the most")
    return value


# -- operators ------------------------------------------------------------------------------------------------------


def add(budget: Budget, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        budget.text(len(left) + len(right))
    elif (isinstance(left, list) and isinstance(right, list)) or (isinstance(left, tuple) and isinstance(right, tuple)):
        budget.items(len(left) + len(right))
    else:
        ordinary(left, right)
    return left + right


def _multiply(budget: Budget, left: Any, right: Any) -> Any:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and isinstance(other, int):
            (budget.text if isinstance(one, str) else budget.items)(len(one) * max(0, other))
            return one * other
    ordinary(left, right)
    _bits(_length(left) + _length(right))
    return mul(left, right)


def _power(budget: Budget, left: Any, right: Any) -> Any:
    number(left), number(right)
    if isinstance(left, int) and isinstance(right, int) and abs(left) > 1:
        _bits(_length(left) * abs(right))
    return left**right


def _remainder(budget: Budget, left: Any, right: Any) -> Any:
    if isinstance(left, str):
        return _formatted(budget, left, right)
    ordinary(left, right)
    return mod(left, right)


_SPEC = re.compile(r"%(?:\([^()]{0,200}\))?[-+ #0]*(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.)", re.DOTALL)


def _formatted(budget: Budget, text: str, values: Any) -> str:
    """`'%s' % value`: as long as the text, its widths, and what is put in for every place."""
    budget.text(len(text))
    specs = _SPEC.findall(text)
    budget.take(len(specs))
    for width, precision, _ in specs:
        if "*" in (width, precision):
            raise Exceeded("it takes the width of a '%' from a value; write it out")
        for digits in (width, precision):
            if len(digits) > 4 or int(digits or 0) > SHORT:
                raise Exceeded(f"it asks for a width of {digits[:20]}; {SHORT:,} at most in a '%'")
    most = 10 if any(letter in "ra" for _, _, letter in specs) else 1
    places = sum(int(width or 0) + int(precision or 0) + 320 for width, precision, _ in specs)
    budget.text(len(text) + places + len(specs) * weigh(budget, values) * most)
    made: str = text % values
    return made


def ordinary(*values: Any) -> None:
    """Numbers and times can be reckoned with; what is undefined says so by itself."""
    for value in values:
        if type(value) not in PLAIN and not isinstance(value, Undefined | int | float):
            raise Misused(f"cannot reckon with {kind_of(value)}")


def _length(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise Exceeded(f"it makes a whole number of more than {MAX_BITS:,} bits")


def _plainly(operate: Callable[[Any, Any], Any]) -> Callable[[Budget, Any, Any], Any]:
    def operated(budget: Budget, left: Any, right: Any) -> Any:
        ordinary(left, right)
        return operate(left, right)

    return operated


BINARY: Mapping[str, Callable[[Budget, Any, Any], Any]] = {
    "+": add,
    "-": _plainly(sub),
    "*": _multiply,
    "/": _plainly(truediv),
    "//": _plainly(floordiv),
    "%": _remainder,
    "**": _power,
}


def _unary(operate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def operated(value: Any) -> Any:
        ordinary(value)
        return operate(value)

    return operated


UNARY: Mapping[str, Callable[[Any], Any]] = {"-": _unary(neg), "+": _unary(pos)}
_ORDER: Mapping[str, Callable[[Any, Any], Any]] = {"eq": eq, "ne": ne, "lt": lt, "lteq": le, "gt": gt, "gteq": ge}


def compared(budget: Budget, operator: str, left: Any, right: Any) -> bool:
    if operator in ("in", "notin"):
        return is_in(budget, left, right) is (operator == "in")
    if isinstance(left, str) and isinstance(right, str):
        budget.text(min(len(left), len(right), MAX_TEXT))
    elif not (type(left) in PLAIN or type(right) in PLAIN):
        for one in (left, right):
            if isinstance(one, dict | list | tuple | set | frozenset):
                weigh(budget, one)
            elif isinstance(one, range):
                budget.items(len(one))
    return bool(_ORDER[operator](left, right))


def is_in(budget: Budget, one: Any, every: Any) -> bool:
    if isinstance(every, str):
        budget.take(1 + len(every) // CHARACTERS)
        return one in every if isinstance(one, str) else text_of(budget, one) in every
    if isinstance(every, dict | set | frozenset):
        return scalar(one) in every
    if isinstance(every, range):
        return isinstance(one, int) and one in every
    if isinstance(every, list | tuple):
        weigh(budget, every)
        return one in every
    if isinstance(every, Undefined):
        str(every)
    raise Misused(f"nothing is in {kind_of(every)}")


def compare(budget: Budget, left: Any, *rest: Any) -> bool:
    """`left OPERATOR right OPERATOR right …`: the operators and what they compare, in turn."""
    for operator, right in zip(rest[::2], rest[1::2], strict=True):
        if not compared(budget, operator, left, right):
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
        raise Misused(f"{kind_of(value)} cannot be cut")
    for end in ends:
        if end is not None:
            ordinary(end)
    cut = slice(*ends)
    count = len(range(*cut.indices(len(value))))
    (budget.text if isinstance(value, str) else budget.items)(count)
    return value[cut]


# -- what Jinja calls -----------------------------------------------------------------------------------------------


def drawing(run: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or a test as Jinja calls it; it draws from the budget of its rendering."""

    def run_with(context: Any, *args: Any, **kwargs: Any) -> Any:
        return run(context.parent[BUDGET], *args, **kwargs)

    return pass_context(run_with)


@pass_context
def finalized(context: Any, value: Any) -> str:
    """What stands between `{{` and `}}`, as text."""
    return shown(context.parent[BUDGET], value)


# -- what comes of it -----------------------------------------------------------------------------------------------


def collected(pieces: Sequence[str]) -> str:
    """What a macro, a block or a loop has collected. Raises Exceeded."""
    length = sum(map(len, pieces))
    if length > MAX_TEXT:
        raise Exceeded(f"it makes a text of {length:,} characters; {MAX_TEXT:,} at most")
    return "".join(pieces)


def failure(error: Exception) -> str:
    """What went wrong, in a line that is the same with every version of Python where it can be."""
    if isinstance(error, Exceeded | Misused | UndefinedError):
        return str(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return f"{type(error).__name__}: {error}"

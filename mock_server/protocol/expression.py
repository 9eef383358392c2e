"""Regular expressions of outside text: what they mean is what Python's `re` says, and a search always ends.

`re` goes back and tries again, which can take for ever. So an expression is parsed by `re`, written anew in plain
terms (character classes spelled out, as other engines have their own idea of `\\w`, of case and of `$`), and searched
for by RE2, whose time grows with the text alone; what RE2 has no notion of (look-around, back-references) goes to
`regex`, which can be told to stop. Steps are counted before a search, and `regex` has so many milliseconds a request.
The home of both packages, which are loaded when an expression needs them: one without repeats and branches does not.
"""

import importlib
import re
import sys
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

from mock_server.records import dataclass, lazy

MOST_CHARACTERS = 10_000
"""Characters of all the patterns that the schemas of one request bring."""
MOST_PARTS = 20_000
"""Of the texts that are written for patterns in one request: 1.5 us each."""
_AT_ONCE = 3_000_000  # steps of one search: more than that RE2 might spend without its fast tables
MOST_COMPARED = 100  # texts that a request is compared with letter by letter when nothing fits it
_SMALL = 16  # a program too small to make RE2 leave them, whatever the text
_MEMORY = 2 << 20  # bytes that RE2 keeps for one program
_MOST_RANGES = 20_000  # of all classes of an expression together; \w alone has 734
_PER_PATTERN = 10  # characters that a pattern costs beside its own


class OverLimit(Exception):
    """A search, or the work on a schema, would take more than one request may. The message says what was exceeded."""


@dataclass(slots=True)
class Purse:
    """What one request may still spend: seconds of `regex`, steps of RE2 (its program's size x the text's length),
    and checks of values by schemas."""

    seconds: float
    steps: int
    checks: int
    _had: tuple[float, int, int] = field(init=False)
    _cpu = staticmethod(time.thread_time)  # not what others do on a busy machine

    def __post_init__(self) -> None:
        self._had = (self.seconds, self.steps, self.checks)

    def search(self, steps: int) -> None:
        """Take account of a search by its steps. Raises OverLimit."""
        self.steps -= steps
        if self.steps < 0:
            raise OverLimit(f"more than {self._had[1]:,} steps of matching in one request")

    def check(self, checks: int) -> None:
        """Take account of work on a value. Raises OverLimit."""
        self.checks -= checks
        if self.checks < 0:
            raise OverLimit(f"more than {self._had[2]:,} checks of values in one request")

    @contextmanager
    def timed(self) -> Iterator[float]:
        """The seconds that are left, for a search that raises TimeoutError after them. Raises OverLimit."""
        start = self._cpu()
        try:
            if self.seconds <= 0:
                raise TimeoutError
            yield self.seconds
        except TimeoutError:
            raise OverLimit(f"more than {self._had[0] * 1000:.0f} ms of matching in one request") from None
        finally:
            self.seconds -= self._cpu() - start


class Allowance:
    """What one request may still spend, on patterns and schemas of its own and on those of scenarios: 50 ms in all of
    what only a clock can stop. `unjudged`: what of the client's was left unjudged because of that, and why.

    Every request has one and few spend of it: the purses are filled when somebody asks for them.
    """

    missed = 0
    characters = MOST_CHARACTERS
    parts = MOST_PARTS
    comparisons = MOST_COMPARED

    @lazy
    def unjudged(self) -> dict[str, None]:
        return {}

    @lazy
    def client(self) -> Purse:
        """For what came with the request."""
        return Purse(0.02, 3_000_000, 20_000)

    @lazy
    def scenario(self) -> Purse:
        """For what scenarios look for."""
        return Purse(0.03, 300_000_000, 50_000)

    @lazy
    def _patterns(self) -> set[str]:
        return set()

    @lazy
    def _expressions(self) -> dict[str, "Expression"]:
        return {}

    def expression(self, pattern: str) -> "Expression":
        """One of the client's patterns, parsed. Raises OverLimit, and what Expression raises."""
        found = self._expressions.get(pattern)
        if found is None:
            self.read(pattern)
            found = self._expressions[pattern] = clients(pattern)
        return found

    def read(self, pattern: str) -> None:
        """Take account of one of the client's patterns. Raises OverLimit."""
        if pattern in self._patterns:
            return
        if len(pattern) + _PER_PATTERN > self.characters:
            raise OverLimit(f"more than {MOST_CHARACTERS:,} characters of patterns in one request")
        self.characters -= len(pattern) + _PER_PATTERN
        self._patterns.add(pattern)

    def write(self, parts: int) -> None:
        """Take account of a text written for a pattern, by the parts of it that were written. Raises OverLimit."""
        self.parts -= parts
        if self.parts < 0:
            self.parts = 0
            raise OverLimit(f"more than {MOST_PARTS:,} parts of texts for patterns in one request")

    def compare(self) -> bool:
        """Whether one more text may be compared letter by letter, to tell how near it came."""
        self.comparisons -= 1
        return self.comparisons >= 0

    def left_unjudged(self, what: str, limit: OverLimit) -> None:
        """Note what nobody judged; `missed` counts how often."""
        self.missed += 1
        if len(self.unjudged) < _MOST_NOTES:
            self.unjudged[f"{what} was left unjudged: {limit}"] = None


_MOST_NOTES = 3
# of the request that is being answered: whoever answers one sets it, and resets it at its end; see `bounded`
ALLOWANCE: ContextVar[Allowance | None] = ContextVar("allowance", default=None)


@contextmanager
def bounded(begun: Allowance | None = None) -> Iterator[Allowance]:
    """Everything searched for inside shares one allowance, as within one request: that of those around it, if any.

    `begun`: what is left to a request that was begun elsewhere.
    """
    shared = ALLOWANCE.get()
    if shared is not None:
        yield shared
        return
    made = begun or Allowance()
    token = ALLOWANCE.set(made)
    try:
        yield made
    finally:
        ALLOWANCE.reset(token)


def allowance() -> Allowance:
    """What is left to the request that is being answered; all of it where none is."""
    return ALLOWANCE.get() or Allowance()


class Expression:
    """A regular expression. `of_client`: it came with a request, so it shares the narrower bounds of those.

    Raises re.error (and what else `re` raises: OverflowError, RecursionError) where it is none.
    """

    __slots__ = ("_flags", "_names", "_of_client", "_plain", "_programs", "_tree", "source")

    def __init__(self, source: str, *, ignore_case: bool = False, of_client: bool = False) -> None:
        self.source = source
        self._of_client = of_client
        self._tree = parse(source, re.IGNORECASE if ignore_case else 0)
        self._flags: int = self._tree.state.flags
        self._names: dict[str, int] = dict(self._tree.state.groupdict)
        self._plain = re.compile(source, self._flags & re.IGNORECASE) if _is_plain(self._tree, self._flags) else None
        self._programs: dict[str, Any] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its groups."""
        return tuple(self._names)

    def found_in(self, text: str) -> bool:
        """Whether `re.search` finds it in a text. Raises OverLimit."""
        return self._search(text, {}) is not None

    def captures(self, text: str) -> dict[str, str]:
        """What its named groups hold where `re.search` finds it, but for those that hold nothing. Raises OverLimit."""
        return self._search(text, self._names) or {}

    def _search(self, text: str, names: Mapping[str, int]) -> dict[str, str] | None:
        """What the groups of these names hold; None where nothing is found."""
        purse = allowance().client if self._of_client else allowance().scenario
        if self._plain is not None and len(text) * len(self.source) <= _AT_ONCE:
            purse.search(len(text))
            return _held(self._plain.search(text), names)
        linear = self._linear(text, names)
        if linear is None:
            return self._timed(text, names, purse)
        program, data, steps = linear
        purse.search(steps)
        found = program.search(data)
        if found is None or not names:
            return None if found is None else {}
        groups = found.groupdict()
        held = ((name, groups.get(f"g{number}".encode())) for name, number in names.items())
        return {name: one.decode() for name, one in held if one is not None}

    def _linear(self, text: str, names: Mapping[str, int]) -> tuple[Any, bytes, int] | None:
        """RE2's program for a text, the text as it takes it and the steps; None where RE2 is not for this."""
        try:
            data = text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair
            return None
        kind = f"{'ascii' if len(data) == len(text) else 'text'} {'groups' if names else ''}"
        if kind not in self._programs:
            self._programs[kind] = self._compiled(names, is_ascii=kind.startswith("ascii"))
        program, has_inner_end = self._programs[kind]
        if program is None or (has_inner_end and text.endswith("\n")):
            return None
        is_small = program.programsize <= _SMALL and not names
        steps = len(data) * (1 if is_small else program.programsize)
        return (program, data, steps) if is_small or steps <= _AT_ONCE else None

    def _compiled(self, names: Mapping[str, int], *, is_ascii: bool) -> tuple[Any, bool]:
        re2 = _linear_engine()
        if re2 is None:
            return None, False
        writer = _ExpressionWriter(frozenset(names.values()), is_ascii=is_ascii)
        options = re2.Options()
        options.log_errors, options.never_capture, options.max_mem = False, not names, _MEMORY
        try:
            return re2.compile(writer.sequence(self._tree, self._flags, tail=True).encode(), options), writer.inner_end
        except (_NotLinear, re2.error):
            return None, False

    def _timed(self, text: str, names: Mapping[str, int], purse: Purse) -> dict[str, str] | None:
        """The same by `regex`, which goes back and tries again until the time is over."""
        import regex

        kind = "timed ascii" if text.isascii() else "timed text"
        if kind not in self._programs:
            writer = _ExpressionWriter(frozenset(), is_ascii=text.isascii(), is_linear=False)
            self._programs[kind] = regex.compile(writer.sequence(self._tree, self._flags), regex.VERSION0)
        with purse.timed() as seconds:
            return _held(self._programs[kind].search(text, timeout=seconds, concurrent=True), names)


@lru_cache(maxsize=128)
def clients(source: str) -> Expression:
    """A pattern that came with a request, parsed; raises as Expression does."""
    return Expression(source, of_client=True)


def shown(source: str) -> str:
    """An expression as a message shows it."""
    return repr(source if len(source) <= 80 else f"{source[:79]}…")


def _held(found: Any, names: Mapping[str, int]) -> dict[str, str] | None:
    if found is None:
        return None
    return {name: found[number] for name, number in names.items() if found[number] is not None}


@cache
def _linear_engine() -> ModuleType | None:
    """RE2; None on a platform that it has no wheel for, where `regex` does all, in its time."""
    try:
        import re2
    except ImportError:
        return None
    module: ModuleType = re2
    return module


def parse(source: str, flags: int = 0) -> Any:
    """Python's own parse of an expression. Raises as `re.compile` does."""
    module = "re._parser" if sys.version_info >= (3, 11) else "sre_parse"
    tree = importlib.import_module(module).parse(source, flags)
    if tree.state.flags & ~(re.I | re.M | re.S | re.X | re.A | re.U):
        raise re.error("a flag that a text cannot have", source)
    if "(?<" in source:
        _look_back(tree, source)
    return tree


def _look_back(nodes: Any, source: str) -> None:
    """Raise what `re.compile` raises about look-behind."""
    for op, argument in nodes:
        for inner in _parts(argument):
            if op.name in ("ASSERT", "ASSERT_NOT") and argument[0] < 0 and len({*inner.getwidth()}) > 1:
                raise re.error("look-behind requires fixed-width pattern", source)
            _look_back(inner, source)


def _parts(argument: Any) -> Iterator[Any]:
    """The expressions inside a node."""
    if hasattr(argument, "getwidth"):
        yield argument
    elif isinstance(argument, list | tuple):
        for one in argument:
            yield from _parts(one)


_PLAIN = frozenset(("LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "SUBPATTERN"))


def _is_plain(nodes: Any, flags: int) -> bool:
    """Whether nothing in it can be tried in two ways, so that `re` itself takes no more than length x length."""
    for op, argument in nodes:
        if op.name not in _PLAIN or (op.name == "IN" and flags & re.IGNORECASE):
            return False
        if op.name == "SUBPATTERN" and not _is_plain(argument[-1], flags | argument[1]):
            return False
    return True


# -- how it is written for the other engines ---------------------------------------------------------------------------


class _NotLinear(Exception):
    """RE2 has nothing that means this."""


class _ExpressionWriter:
    """An expression written from its parse. `groups`: those to keep, for RE2; `regex` keeps all, as they are counted.

    With `is_ascii` it will only meet such texts, where all classes are short. `inner_end`: a `$` stands where RE2
    would have to look ahead, so what is written is not for a text that ends in a newline.
    """

    def __init__(self, groups: frozenset[int], *, is_ascii: bool, is_linear: bool = True) -> None:
        self.inner_end = False
        self._groups = groups
        self._top = 0x7F if is_ascii else 0x10FFFF
        self._is_linear = is_linear
        self._left = _MOST_RANGES

    def sequence(self, nodes: Any, flags: int, *, tail: bool = False) -> str:
        """`tail`: what is written here can be the end of the whole."""
        last = len(nodes) - 1
        return "".join([self._node(op.name, arg, flags, tail and at == last) for at, (op, arg) in enumerate(nodes)])

    def _node(self, name: str, argument: Any, flags: int, tail: bool) -> str:
        if name in ("LITERAL", "NOT_LITERAL"):
            wanted = _folded(((argument, argument),), flags, self._top) if flags & re.I else ((argument, argument),)
            return self._class(wanted if name == "LITERAL" else _outside(wanted))
        if name == "ANY":
            return self._class(_ALL if flags & re.S else _outside(((10, 10),)))
        if name == "IN":
            return self._class(self._members(argument, flags))
        if name == "AT":
            return self._place(argument.name, flags, tail)
        if name in _REPEATS:
            return self._repeat(_REPEATS[name], argument, flags)
        if name == "BRANCH":
            return f"(?:{'|'.join(self.sequence(one, flags, tail=tail) for one in argument[1])})"
        if name == "SUBPATTERN":
            number, more, less, inner = argument
            kept = number in self._groups if self._is_linear else number is not None
            opening = "(?:" if not kept else f"(?P<g{number}>" if self._is_linear else "("
            return f"{opening}{self.sequence(inner, (flags | more) & ~less, tail=tail and not kept)})"
        return self._backtracked(name, argument, flags)

    def _backtracked(self, name: str, argument: Any, flags: int) -> str:
        """What only an engine that goes back has."""
        if self._is_linear:
            raise _NotLinear
        if name in ("ASSERT", "ASSERT_NOT"):
            way, inner = argument
            return f"(?{'<' if way < 0 else ''}{'=' if name == 'ASSERT' else '!'}{self.sequence(inner, flags)})"
        if name == "GROUPREF":
            return f"(?i:\\g<{argument}>)" if flags & re.I else f"(?:\\g<{argument}>)"
        if name == "GROUPREF_EXISTS":
            number, then, otherwise = argument
            return f"(?({number}){self.sequence(then, flags)}|{self.sequence(otherwise or (), flags)})"
        if name == "ATOMIC_GROUP":
            return f"(?>{self.sequence(argument, flags)})"
        return "(?!)"  # FAILURE

    def _repeat(self, way: str, argument: Any, flags: int) -> str:
        low, high, inner = argument
        if self._is_linear and (way == "+" or (self._groups and int(high) > 1 and inner.getwidth()[0] == 0)):
            raise _NotLinear  # how a repeat of nothing ends is each engine's own
        most = "" if int(high) >= _ENDLESS else str(high)
        times = {(0, ""): "*", (1, ""): "+", (0, "1"): "?"}.get((low, most), f"{{{low},{most}}}")
        return f"(?:{self.sequence(inner, flags)}){times}{way}"

    def _place(self, name: str, flags: int, tail: bool) -> str:
        if name in ("AT_BEGINNING", "AT_END") and flags & re.M:
            return "(?m:^)" if name == "AT_BEGINNING" else "(?m:$)"
        if name == "AT_END" and self._is_linear:
            self.inner_end = self.inner_end or not tail
            return "\\n?\\z" if tail else "\\z"
        if name in ("AT_BOUNDARY", "AT_NON_BOUNDARY"):
            return self._boundary(name == "AT_BOUNDARY", flags)
        end = "\\z" if self._is_linear else "\\Z"
        return {"AT_END": f"(?=\\n?{end})", "AT_END_STRING": end}.get(name, "\\A")

    def _boundary(self, wanted: bool, flags: int) -> str:
        """Between a word's letter and another, or an end. RE2 knows the letters of ASCII; of an empty text each has
        its own idea."""
        if self._is_linear:
            if not wanted or not (flags & re.A or self._top == 0x7F):
                raise _NotLinear
            return "\\b"
        word = self._class(self._category("WORD", flags))
        if wanted:
            return f"(?:(?<={word})(?!{word})|(?<!{word})(?={word}))"
        empty = "" if sys.version_info >= (3, 14) else "(?!\\A\\Z)"
        return f"(?:{empty}(?:(?<={word})(?={word})|(?<!{word})(?!{word})))"

    # -- classes of characters ---------------------------------------------------------------------------------------

    def _members(self, members: Any, flags: int) -> "_Ranges":
        found: list[tuple[int, int]] = []
        categories: list[tuple[int, int]] = []
        for op, value in members:
            if op.name == "LITERAL":
                found.append((value, value))
            elif op.name == "RANGE":
                found.append(value)
            elif op.name == "CATEGORY":
                kind = value.name.removeprefix("CATEGORY_")
                inside = self._category(kind.removeprefix("NOT_"), flags)
                categories += _outside(inside) if kind.startswith("NOT_") else inside
        wanted = _folded(merged(found), flags, self._top) if flags & re.I else merged(found)
        wanted = merged([*wanted, *categories]) if categories else wanted
        return _outside(wanted) if members[0][0].name == "NEGATE" else wanted

    def _category(self, kind: str, flags: int) -> "_Ranges":
        if flags & re.A:
            return _ASCII[kind]
        return _OF_ASCII_TEXTS[kind] if self._top == 0x7F else _categories()[kind]

    def _class(self, ranges: "_Ranges") -> str:
        shown = [(low, min(high, self._top)) for low, high in ranges if low <= self._top]
        self._left -= len(shown)
        if self._left < 0 and self._is_linear:
            raise _NotLinear
        if len(shown) == 1 and shown[0][0] == shown[0][1]:
            return self._char(shown[0][0])
        if not shown:
            return "[^\\x00-\\x{10FFFF}]" if self._is_linear else "(?!)"
        return f"[{''.join([self._char(a) if a == b else f'{self._char(a)}-{self._char(b)}' for a, b in shown])}]"

    def _char(self, code: int) -> str:
        if code < 0x80 and chr(code).isalnum():
            return chr(code)
        return f"\\x{{{code:X}}}" if self._is_linear else f"\\U{code:08X}"


_Ranges = Sequence[tuple[int, int]]
_REPEATS = {"MAX_REPEAT": "", "MIN_REPEAT": "?", "POSSESSIVE_REPEAT": "+"}
_ENDLESS = 1 << 31
_ALL: _Ranges = ((0, 0x10FFFF),)
_ASCII: Mapping[str, _Ranges] = {
    "DIGIT": ((48, 57),),
    "SPACE": ((9, 13), (32, 32)),
    "WORD": ((48, 57), (65, 90), (95, 95), (97, 122)),
}
_OF_ASCII_TEXTS = {**_ASCII, "SPACE": ((9, 13), (28, 32))}


def merged(ranges: Iterable[tuple[int, int]]) -> _Ranges:
    """In order, and none touching another."""
    made: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if made and low <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(made[-1][1], high))
        else:
            made.append((low, high))
    return made


def _outside(ranges: _Ranges) -> _Ranges:
    """All that is in none of these, which are merged."""
    ends = [-1, *(end for both in ranges for end in both), 0x110000]
    gaps = [(ends[at] + 1, ends[at + 1] - 1) for at in range(0, len(ends), 2)]
    return [(low, high) for low, high in gaps if low <= high]


@cache
def _categories() -> Mapping[str, _Ranges]:
    """What `re` takes for a digit, for white space and for a letter of a word, by asking it."""
    every = "".join(map(chr, range(_LAST_OF_A_KIND + 1)))
    patterns = {"DIGIT": r"\d+", "SPACE": r"\s+", "WORD": r"\w+"}
    return {
        kind: [(ord(run[0][0]), ord(run[0][-1])) for run in re.finditer(pattern, every)]
        for kind, pattern in patterns.items()
    }


def _key(char: str) -> str:
    """What two characters share that `re` takes for one another when it ignores case."""
    return char.lower()[0].upper()


@cache
def _cases(top: int) -> Mapping[str, Sequence[int]]:
    """The characters by that key, where there are several."""
    found: dict[str, list[int]] = {}
    for char in map(chr, range(min(top, _LAST_CASED) + 1)):
        if (lower := char.lower()) != char or char.upper() != char:
            found.setdefault(lower[0].upper(), []).append(ord(char))
    return found


_LAST_CASED, _LAST_OF_A_KIND = 0x1FFFF, 0x33FFF
_FEW = 64


def _folded(ranges: _Ranges, flags: int, top: int) -> _Ranges:
    """These and all that differ from one of them by case alone."""
    if flags & re.A:
        letters = [code for low, high in ranges for code in range(max(low, 65), min(high, 122) + 1)]
        return merged([*ranges, *((ord(c), ord(c)) for code in letters for c in chr(code).swapcase())])
    if sum(high - low for low, high in ranges) < _FEW:
        cases = _cases(top)
        codes = [one for low, high in ranges for code in range(low, high + 1) for one in cases.get(_key(chr(code)), ())]
    else:
        whole = _cases(0x10FFFF)  # a character beyond ASCII can be one of ASCII in another case
        codes = [one for same in whole.values() if any(_is_in(code, ranges) for code in same) for one in same]
    return merged([*ranges, *((code, code) for code in codes)])


def _is_in(code: int, ranges: _Ranges) -> bool:
    at = bisect_right(ranges, (code, 0x110000)) - 1
    return at >= 0 and code <= ranges[at][1]


def judged(pattern: str, text: str) -> bool | None:
    """Whether a client's pattern is found in a text; None where that took too long and was left unjudged.

    Raises re.error, OverflowError or RecursionError for what is no pattern.
    """
    left = allowance()
    try:
        return left.expression(pattern).found_in(text)
    except OverLimit as limit:
        left.left_unjudged(f"the pattern {shown(pattern)}", limit)
        return None

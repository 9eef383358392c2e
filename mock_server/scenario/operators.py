"""What one value must be like, as authors write it: a bare value, a list of them, or operators: `{contains: x}`,
`{gte: 3}`. To add an operator, add a row to `OPERATORS`.

They are exact unless `ignore_case: true`. What regular expressions cost is bounded: a search that takes more than one
request may raises OverLimit, with the place of the expression.
"""

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar

from mock_server.protocol.errors import excerpt
from mock_server.protocol.expression import Expression, OverLimit, allowance, shown
from mock_server.records import dataclass
from mock_server.scenario import paths
from mock_server.scenario.conversation import SearchedText, alike, fold
from mock_server.scenario.generated.pattern import literal
from mock_server.scenario.node import Node, Problems, is_number, kind, unlike
from mock_server.scenario.paths import MISSING

Test = Callable[[Any], bool]
Shape = Mapping[str, Any]  # a JSON Schema; what `$ref` names is in the language's own
NAME: Shape = {"type": "string", "pattern": r"\S"}
TRUTH: Shape = {"type": "boolean"}
_NUMBER: Shape = {"type": "number"}
_SOMETHING: Shape = {"not": {"type": "string", "pattern": r"^\s*$"}}


@dataclass(frozen=True, slots=True)
class Operator:
    """One test of one value. `search` finds what named groups capture, where there are any."""

    name: str
    wanted: Any
    test: Test
    search: "Search | None" = None

    def __str__(self) -> str:
        return f"{self.name} {short(self.wanted)}"

    @property
    def groups(self) -> tuple[str, ...]:
        """The names it captures under."""
        return self.search.names if self.search is not None else ()

    def captures(self, text: str) -> dict[str, str]:
        """What the named groups of a regular expression found in a text."""
        return self.search.captures(text) if self.search is not None else {}


def short(value: object) -> str:
    """A value as an explanation shows it."""
    if value is MISSING:
        return "nothing"
    return excerpt(repr(value) if isinstance(value, str) else str(value), 80)


# -- what each does: (wanted, ignore_case) -> test ------------------------------------------------------------------


def _cased(value: Any, ignore_case: bool) -> Any:
    return value.lower() if ignore_case and isinstance(value, str) else value


def _equals(wanted: Any, ignore_case: bool) -> Test:
    lowered = _cased(wanted, ignore_case)
    return lambda value: same(_cased(value, ignore_case), lowered)


def same(value: Any, wanted: Any) -> bool:
    """Equal as JSON: true is not 1."""
    return value == wanted and isinstance(value, bool) is isinstance(wanted, bool)


def _contains(wanted: Any, ignore_case: bool) -> Test:
    lowered = _spelled(wanted, ignore_case)

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return isinstance(lowered, str) and lowered in _spelled(value, ignore_case)
        return isinstance(value, list | dict) and any(same(_spelled(one, ignore_case), lowered) for one in value)

    return test


def _spelled(value: Any, ignore_case: bool) -> Any:
    """A value in the one spelling of what looks the same."""
    return _cased(alike(value), ignore_case) if isinstance(value, str) else value


class Search:
    """A regular expression of a scenario, which stands at `place`. Raises re.error where it is none."""

    def __init__(self, wanted: str, ignore_case: bool, place: str = "") -> None:
        self._expression = Expression(wanted, ignore_case=ignore_case)
        self._place = f"{place}: " if place else ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its groups."""
        return self._expression.names

    def test(self, value: Any) -> bool:
        """Whether it is found in a value. Raises OverLimit."""
        return isinstance(value, str) and self._within(self._expression.found_in, value)

    def captures(self, text: str) -> dict[str, str]:
        """What its named groups hold. Raises OverLimit."""
        return self._within(self._expression.captures, text)

    def _within(self, search: "Callable[[str], _Found]", text: str) -> "_Found":
        try:
            return search(text)
        except OverLimit as limit:
            what = f"the regular expression {shown(self._expression.source)} on {len(text):,} characters"
            raise OverLimit(f"{self._place}{what}: {limit}") from None


_Found = TypeVar("_Found")


def _regex(wanted: str, ignore_case: bool) -> Test:
    return Search(wanted, ignore_case).test


def glob(wanted: str, ignore_case: bool = False) -> Test:
    """Whether a name fits a glob."""
    found = re.compile(fnmatch.translate(wanted), re.IGNORECASE if ignore_case else 0).match
    return lambda value: isinstance(value, str) and found(value) is not None


def _in(wanted: list[Any], ignore_case: bool) -> Test:
    tests = [_equals(one, ignore_case) for one in wanted]
    return lambda value: any(test(value) for test in tests)


def _compared(holds: Callable[[float, float], bool]) -> Callable[[Any, bool], Test]:
    def make(wanted: float, ignore_case: bool) -> Test:
        def test(value: Any) -> bool:
            number = _number(value)
            return number is not None and holds(number, wanted)

        return test

    return make


def _number(value: Any) -> float | None:
    """The number a value is, or says (headers are texts)."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,300}(\.\d{1,300})?", value):
        return float(value)
    return value if is_number(value) else None


def _exists(wanted: bool, ignore_case: bool) -> Test:
    return lambda value: (value is not MISSING) is wanted


# -- how they are written -------------------------------------------------------------------------------------------


def _is_text(node: Node, problems: Problems) -> bool:
    if not isinstance(node.value, str):
        problems.add(node, unlike(node, "text"))
    elif not node.value.strip():
        problems.add(node, "an empty pattern matches everything; leave the condition out instead")
    else:
        return True
    return False


def _is_pattern(node: Node, problems: Problems) -> bool:
    if not _is_text(node, problems):
        return False
    if len(node.value) > MOST_OF_PATTERN:
        problems.add(node, _too_long(len(node.value)))
    return len(node.value) <= MOST_OF_PATTERN


def _too_long(count: int) -> str:
    return f"a pattern of {count:,} characters; {MOST_OF_PATTERN:,} at most"


def _is_regex(node: Node, problems: Problems) -> bool:
    if not _is_pattern(node, problems):
        return False
    try:
        re.compile(node.value)
    except (re.error, OverflowError, RecursionError) as error:
        problems.add(node, f"not a regular expression: {error}; a sign that is meant as itself has a \\ before it")
        return False
    return True


def _is_number(node: Node, problems: Problems) -> bool:
    if not is_number(node.value):
        problems.add(node, unlike(node, "a number"))
    return is_number(node.value)


def _is_truth(node: Node, problems: Problems) -> bool:
    if not isinstance(node.value, bool):
        problems.add(node, unlike(node, "true or false"))
    return isinstance(node.value, bool)


def _is_list(node: Node, problems: Problems) -> bool:
    if not isinstance(node.value, list):
        problems.add(node, f"expected a list of values, got {kind(node)}")
    elif not node.value:
        problems.add(node, "an empty list matches nothing; expected values")
    else:
        return True
    return False


def _is_anything(node: Node, problems: Problems) -> bool:
    return not isinstance(node.value, str) or _is_text(node, problems)


_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Word(Generic[_Read]):
    """A word of `when`: what reads what stands beside it, its line of help, and the JSON Schema of it."""

    read: Callable[[Node, Problems], _Read]
    about: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Kind:
    """An operator: what may stand beside it, the test made of that, its line of help, and the JSON Schema of it."""

    accepts: Callable[[Node, Problems], bool]
    make: Callable[[Any, bool], Test]
    about: str
    shape: Shape


OPERATORS: Mapping[str, Kind] = {
    "equals": Kind(_is_anything, _equals, "the whole value", _SOMETHING),
    "contains": Kind(_is_anything, _contains, "a part of the text, or an item of the list", _SOMETHING),
    "regex": Kind(
        _is_regex, _regex, "a regular expression, searched for; named groups are captured for templates", NAME
    ),
    "glob": Kind(_is_pattern, glob, "the whole text, with * ? and [abc]", NAME),
    "in": Kind(_is_list, _in, "one of these values", {"type": "array", "minItems": 1}),
    "gt": Kind(_is_number, _compared(lambda value, wanted: value > wanted), "a number above this", _NUMBER),
    "gte": Kind(_is_number, _compared(lambda value, wanted: value >= wanted), "a number from this up", _NUMBER),
    "lt": Kind(_is_number, _compared(lambda value, wanted: value < wanted), "a number below this", _NUMBER),
    "lte": Kind(_is_number, _compared(lambda value, wanted: value <= wanted), "a number up to this", _NUMBER),
    "exists": Kind(_is_truth, _exists, "whether there is a value at all", TRUTH),
}
IGNORE_CASE = Word(_is_truth, "Upper and lower case are the same.", TRUTH)


def read_operators(node: Node, problems: Problems) -> tuple[Operator, ...]:
    """The operators of a mapping such as `{regex: x, ignore_case: true}`; mistakes go to `problems`."""
    ignore_case = node.value.get("ignore_case", Node(False))
    _is_truth(ignore_case, problems)
    found = []
    for key, item in node.value.items():
        if key == "ignore_case":
            continue
        if key not in OPERATORS:
            problems.unknown(node, key, (*OPERATORS, "ignore_case"), "the condition")
        elif OPERATORS[key].accepts(item, problems):
            found.append(_operator(key, item.plain(), bool(ignore_case.value), problems.place(item)))
    if not found and set(node.value) <= {"ignore_case"}:
        problems.add(node, f"no operator; expected one of {', '.join(OPERATORS)}")
    return tuple(found)


def _operator(name: str, wanted: Any, ignore_case: bool, place: str) -> Operator:
    if name != "regex":
        return Operator(name, wanted, OPERATORS[name].make(wanted, ignore_case))
    search = Search(wanted, ignore_case, place)
    return Operator(name, wanted, search.test, search if search.names else None)


def read_texts(node: Node, problems: Problems) -> list[str] | None:
    """The texts of a bare string or a list of them (any of); None when operators are meant instead."""
    if isinstance(node.value, dict):
        return None
    items = node.value if isinstance(node.value, list) else [node]
    if not items:
        problems.add(node, "an empty list matches nothing; expected texts")
    return [str(item.value) for item in items if _is_text(item, problems)]


# -- a value as it is written ---------------------------------------------------------------------------------------

# how it is written, as the language's JSON Schema has it
TEXT: Shape = {"$ref": "#/$defs/text"}
PATHS: Shape = {"type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/value"}}

_WILD = re.compile(r"[*?\[]")
MOST_OF_PATTERN = 100_000  # characters of a regular expression or a glob
_SEEN = 2_000  # characters of a text that the distance looks at


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one value must be like: in words, the test, and the operators it was written with. `exact`: bare texts of
    which it must be one, letter by letter."""

    description: str
    test: Callable[[Any], bool]
    operators: tuple[Operator, ...] = ()
    texts: tuple[str, ...] = ()  # bare ones, folded
    exact: frozenset[str] = frozenset()

    @property
    def needs(self) -> tuple[str, ...]:
        """Folded texts of which one must be in a text that fits; none when nothing can be said. ASCII only: how other
        letters fold depends on those around them."""
        if self.texts:
            return self.texts
        found = [needed for one in self.operators if (needed := _needed(one)) and all(map(str.isascii, needed))]
        return max(found, key=lambda texts: min(map(len, texts)), default=())

    @property
    def groups(self) -> frozenset[str]:
        return frozenset(name for one in self.operators for name in one.groups)

    def captures(self, text: str) -> Mapping[str, str]:
        return {name: found for one in self.operators for name, found in one.captures(text).items()}


def _needed(operator: Operator) -> tuple[str, ...]:
    """The texts of which one operator needs one."""
    if operator.name in ("equals", "contains") and isinstance(operator.wanted, str):
        texts = [operator.wanted]
    elif operator.name == "in":
        texts = [one if isinstance(one, str) else "" for one in operator.wanted]
    elif operator.name == "glob":
        texts = [max(re.split(r"[*?]|\[.*", operator.wanted), key=len)]
    else:
        texts = [literal(operator.wanted)] if operator.name == "regex" else [""]
    folded = tuple(fold(text) for text in texts)
    return folded if all(folded) else ()


def read_text(node: Node, problems: Problems) -> Wanted:
    """A bare string is `contains`, folded; `equals` holds for the whole text or any single part."""
    bare = read_texts(node, problems)
    if bare is not None:
        folded = tuple(fold(text) for text in bare)
        shown = " or ".join(f"contains {short(text)}" for text in bare)
        return Wanted(shown, lambda searched: any(text in searched.folded for text in folded), texts=folded)
    operators = read_operators(node, problems)
    ignore_case = node.value.get("ignore_case", Node(False)).value is True
    tests = [_searched_by(one, ignore_case) for one in operators]
    return Wanted(" and ".join(map(str, operators)), lambda searched: all(test(searched) for test in tests), operators)


def _searched_by(operator: Operator, ignore_case: bool) -> Callable[[SearchedText], bool]:
    """The test of a text by one operator; what of the text it takes is worked out once for all operators."""
    test, wanted = operator.test, operator.wanted
    if operator.name == "contains" and isinstance(wanted, str):
        needle = _spelled(wanted, ignore_case)
        return lambda searched: needle in (searched.alike.lower() if ignore_case else searched.alike)
    if operator.name in ("equals", "in"):
        return lambda searched: test(searched.text or MISSING) or any(map(test, searched.parts))
    return lambda searched: test(searched.text or MISSING)


def looks_like(wanted: Wanted, got: "str | SearchedText") -> str:
    """What to say behind a text that fails and only looks like one that was wanted: its code points."""
    from mock_server.scenario.advice import Sight, difference  # only a miss that is looked at needs it

    sight = Sight(got) if isinstance(got, str) else got.sight
    texts = [one.wanted for one in wanted.operators if one.name in ("equals", "contains", "glob", "regex")]
    texts += [each for one in wanted.operators if one.name == "in" for each in one.wanted]
    for text in (*texts, *wanted.texts, *sorted(wanted.exact)):
        if isinstance(text, str) and (found := difference(text, sight)) is not None:
            return f" ({found})"
    return ""


def read_name(node: Node, problems: Problems) -> Wanted:
    """One name against a bare string (a glob), a list (any of) or operators."""
    bare = read_texts(node, problems)
    if bare is not None:
        if (longest := max(map(len, bare), default=0)) > MOST_OF_PATTERN:
            problems.add(node, _too_long(longest))
            bare = []
        tests = [glob(text) for text in bare]
        exact = frozenset() if any(_WILD.search(text) for text in bare) else frozenset(bare)
        return Wanted(" or ".join(map(short, bare)), lambda value: any(test(value) for test in tests), exact=exact)
    return by_operators(node, problems)


def read_value(node: Node, problems: Problems) -> Wanted:
    """Any JSON value: bare ones must be equal, a list means any of."""
    if isinstance(node.value, dict):
        return by_operators(node, problems)
    wanted = [item.plain() for item in node.value] if isinstance(node.value, list) else [node.value]
    if not wanted:
        problems.add(node, "an empty list matches nothing; expected values")
    description = " or ".join(f"equals {short(one)}" for one in wanted)
    if len(wanted) == 1:
        only = wanted[0]
        return Wanted(description, lambda value: same(value, only), exact=_texts(wanted))
    return Wanted(description, lambda value: any(same(value, one) for one in wanted), exact=_texts(wanted))


def _texts(values: Sequence[Any]) -> frozenset[str]:
    """The values, where all of them are texts."""
    return frozenset(values) if all(isinstance(one, str) for one in values) else frozenset()


def by_operators(node: Node, problems: Problems) -> Wanted:
    """A value that meets every operator of a mapping."""
    operators = read_operators(node, problems)
    description = " and ".join(map(str, operators))
    return Wanted(description, lambda value: all(op.test(value) for op in operators), operators)


def read_paths(node: Node, problems: Problems) -> dict[str, Wanted]:
    """What the values at some paths must be like."""
    wanted = {}
    for path, item in node.value.items():
        if paths.parse(path) is None:
            problems.add_key(node, path, f"not a path: '{path}'; write it as in messages[0].content[*].type")
        else:
            wanted[path] = read_value(item, problems)
    return wanted


def far(wanted: Wanted, searched: SearchedText) -> float:
    """How far a text is from one that was wanted: the share of it that stands nowhere in the text, in one piece. Of
    very many texts the others are looked for by their words."""
    literal = [str(one.wanted) for one in wanted.operators if one.name in ("equals", "contains")]
    texts = [fold(text)[:200] for text in literal] or list(wanted.texts)
    if not texts:
        return 1.0
    seen = searched.folded[:_SEEN]
    return round(1.0 - 0.9 * max(_longest(text, seen) / max(1, len(text)) for text in texts), 3)


def _longest(text: str, seen: str) -> int:
    """How long the longest piece is that a text has in common with what was seen."""
    if not allowance().compare():
        return max([len(word) for word in text.split() if word in _words(seen)], default=0)
    from difflib import SequenceMatcher  # only the unmatched need it

    return SequenceMatcher(None, text, seen, False).find_longest_match().size


@lru_cache(maxsize=4)
def _words(seen: str) -> frozenset[str]:
    return frozenset(seen.split())

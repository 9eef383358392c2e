"""What one value must be like, as authors write it: a bare value, a list of them, or operators."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mock_server.records import dataclass
from mock_server.scenario import paths
from mock_server.scenario.match import Said, fold
from mock_server.scenario.node import Node, Problems, suggestion
from mock_server.scenario.operators import Operator, Shape, glob, read_operators, read_texts, same, short
from mock_server.scenario.paths import MISSING
from mock_server.scenario.pattern import literal

# how it is written, as the language's JSON Schema has it
TEXT: Shape = {"$ref": "#/$defs/text"}
PATHS: Shape = {"type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/value"}}

_WILD = re.compile(r"[*?\[]")
_SEEN = 2_000  # characters of a text that the distance looks at


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one value must be like: in words, the test, and the operators it was written with. `exact`: bare texts of
    which it must be one, letter by letter."""

    said: str
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
        return {name: said for one in self.operators for name, said in one.captures(text).items()}


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


# -- texts, names and values ----------------------------------------------------------------------------------------


def read_text(node: Node, problems: Problems) -> Wanted:
    """A bare string is `contains`, folded; `equals` holds for the whole text or any single part."""
    bare = read_texts(node, problems)
    if bare is not None:
        folded = tuple(fold(text) for text in bare)
        shown = " or ".join(f"contains {short(text)}" for text in bare)
        return Wanted(shown, lambda said: any(text in said.folded for text in folded), texts=folded)
    operators = read_operators(node, problems)

    def test(said: Said) -> bool:
        value = said.text or MISSING
        return all(
            op.test(value) or (op.name in ("equals", "in") and any(map(op.test, said.parts))) for op in operators
        )

    return Wanted(" and ".join(map(str, operators)), test, operators)


def read_name(node: Node, problems: Problems) -> Wanted:
    """One name against a bare string (a glob), a list (any of) or operators."""
    bare = read_texts(node, problems)
    if bare is not None:
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
    said = " or ".join(f"equals {short(one)}" for one in wanted)
    if len(wanted) == 1:
        only = wanted[0]
        return Wanted(said, lambda value: same(value, only), exact=_texts(wanted))
    return Wanted(said, lambda value: any(same(value, one) for one in wanted), exact=_texts(wanted))


def _texts(values: Sequence[Any]) -> frozenset[str]:
    """The values, where all of them are texts."""
    return frozenset(values) if all(isinstance(one, str) for one in values) else frozenset()


def by_operators(node: Node, problems: Problems) -> Wanted:
    """A value that meets every operator of a mapping."""
    operators = read_operators(node, problems)
    said = " and ".join(map(str, operators))
    return Wanted(said, lambda value: all(op.test(value) for op in operators), operators)


def read_paths(node: Node, problems: Problems) -> dict[str, Wanted]:
    """What the values at some paths must be like."""
    wanted = {}
    for path, item in node.value.items():
        if paths.parse(path) is None:
            problems.add(
                node.keys.get(path) or node, f"not a path: '{path}'; write it as in messages[0].content[*].type"
            )
        else:
            wanted[path] = read_value(item, problems)
    return wanted


def far(wanted: Wanted, said: Said) -> float:
    """How far a text is from one that was wanted: the share of it that stands nowhere in the text, in one piece."""
    from difflib import SequenceMatcher  # only the unmatched need it

    literal = [str(one.wanted) for one in wanted.operators if one.name in ("equals", "contains")]
    texts = [fold(text)[:200] for text in literal] or list(wanted.texts)
    if not texts:
        return 1.0
    given = said.folded[:_SEEN]
    sizes = [SequenceMatcher(None, text, given, False).find_longest_match().size / max(1, len(text)) for text in texts]
    return round(1.0 - 0.9 * max(sizes), 3)


def unknown(node: Node, key: str, known: Sequence[str], noun: str, problems: Problems) -> None:
    """Report a key that is none of those known."""
    text = f"unknown key '{key}' in {noun}; expected one of {', '.join(known)}{suggestion(key, known)}"
    problems.add(node.keys.get(key) or node, text)

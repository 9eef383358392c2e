"""What an author wrote: JSON values that know their line and column. And the mistakes found in it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Mark(NamedTuple):
    """A place in a file, both counted from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Node:
    """One value. Lists hold nodes, objects hold nodes by key; `keys` has the places of the keys themselves."""

    value: Any
    mark: Mark | None = None
    keys: dict[str, Mark | None] = field(default_factory=dict)

    def plain(self) -> Any:
        """The value as ordinary JSON data."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def find(self, path: Sequence[str | int]) -> "Mark | None":
        """The place of what `path` leads to, or of the last thing on the way that is there."""
        mark, node = self.mark, self
        for step in path:
            if isinstance(step, str) and isinstance(node.value, dict) and step in node.value:
                node, mark = node.value[step], node.keys.get(step) or node.value[step].mark
            elif isinstance(step, int) and isinstance(node.value, list) and step < len(node.value):
                node = node.value[step]
                mark = node.mark
            else:
                break
        return mark


def wrap(value: Any) -> Node:
    """Plain data, as a Python caller gives it, as nodes without places."""
    if isinstance(value, Mapping):
        return Node({str(key): wrap(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return Node([wrap(item) for item in value])
    return Node(value)


_KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a mapping"}


def kind(node: Node) -> str:
    """What a value is, in an author's words."""
    return "nothing" if node.value is None else _KINDS.get(type(node.value), type(node.value).__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where, and what is wrong."""

    source: str
    mark: Mark | None
    text: str

    def __str__(self) -> str:
        place = f":{self.mark.line}:{self.mark.column}" if self.mark else ""
        return f"{self.source}{place}: {self.text}"


class ScenarioError(Exception):
    """The author's mistakes, all of them; one line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass
class Problems:
    """Collects the mistakes found in one source."""

    source: str
    found: list[Problem] = field(default_factory=list)

    def add(self, at: Node | Mark | None, text: str) -> None:
        mark = at.mark if isinstance(at, Node) else at
        self.found.append(Problem(self.source, mark, text))

    def place(self, at: Node) -> str:
        """Where a node stands, for what can go wrong with it later."""
        return f"{self.source}:{at.mark.line}" if at.mark else self.source


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing when no known word is close."""
    import difflib  # only mistakes need it

    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""

"""Files, folders and text -> scenarios. The home of yaml.

Load = parse -> expand -> decode, every mistake collected on the way; `ScenarioError` holds them all. Files are read
with the JSON types only: what YAML 1.1 would make a date, a time or a truth value stays text.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import yaml

from mock_server.scenario.answer import Answer
from mock_server.scenario.decode import decode
from mock_server.scenario.match import Condition
from mock_server.scenario.model import Scenario, inherit
from mock_server.scenario.node import Mark, Node, Problem, Problems, ScenarioError, kind, wrap
from mock_server.scenario.shorthand import expand, expand_answer, with_defaults
from mock_server.scenario.when import read_case_when

MAX_BYTES = 10_000_000
MAX_NODES = 500_000
PACKAGE = Path(__file__).parent.parent

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """The C loader where present, with the JSON types only."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {}


for _tag, _regex, _first in (
    ("null", r"^(?:null|)$", ["n", ""]),
    ("bool", r"^(?:true|false)$", ["t", "f"]),
    ("int", r"^-?(?:0|[1-9]\d*)$", list("-0123456789")),
    ("float", r"^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$", list("-0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_regex), _first)


def library() -> Path:
    """The scenario library: inside an installed package, or beside it in a checkout."""
    inside = PACKAGE / "scenarios"
    return inside if inside.is_dir() else PACKAGE.parent / "scenarios"


def files(paths: Iterable[str | Path]) -> list[Path]:
    """The scenario files under these paths, folders searched to the bottom, in name order.

    A path that is not there may be a name from the library. Raises ScenarioError for one that is none, or that holds no
    scenario file.
    """
    found: dict[Path, None] = {}
    problems: list[Problem] = []
    for path in map(Path, paths):
        listed: list[Path] = []
        source, why = str(path), "no scenario files (*.yaml, *.yml) in this folder"
        try:
            listed = sorted(_inside(path)) if stat.S_ISDIR(path.stat().st_mode) else [path]
        except FileNotFoundError:
            listed, why = _of_library(path), "no such file or folder"
        except OSError as error:
            source, why = str(error.filename or path), f"cannot be read: {error.strerror}"
        except ValueError as error:
            why = f"no name of a file: {error}"
        if not listed:
            problems.append(Problem(source, None, why))
        found |= dict.fromkeys(listed)
    if problems:
        raise ScenarioError(problems)
    return list(found)


def _of_library(name: Path) -> list[Path]:
    """The file of the library that has this name."""
    file = library() / f"{name}.yaml"
    return [file] if len(name.parts) == 1 and file.is_file() else []


def _inside(folder: Path) -> Iterator[Path]:
    """What is named like a scenario file in a folder, whatever it is. Raises OSError when a folder cannot be read."""

    def refuse(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.endswith((".yaml", ".yml")) and not name.startswith("."):
                yield Path(parent, name)


def load(paths: Iterable[str | Path]) -> tuple[Scenario, ...]:
    """Every scenario of these files and folders. Raises ScenarioError with all mistakes of all files."""
    return Loader().load(paths)


def load_overlays(paths: Iterable[str | Path]) -> tuple[Scenario, ...]:
    """The overlays in files. Raises ScenarioError for mistakes, and for scenarios that answer something."""
    found = load(paths)
    wrong = [
        Problem(one.source, None, f"'{one.name}' answers requests; chaos is made of overlays: fault, gate or timing")
        for one in found
        if not one.is_overlay
    ]
    if wrong:
        raise ScenarioError(wrong)
    return found


def is_empty(path: Path) -> bool:
    """Whether this is a folder that holds no scenario file. One that cannot be looked into is not empty."""
    try:
        return path.is_dir() and not any(_inside(path))
    except OSError:
        return False


class Loader:
    """Loads files, and remembers those it has read: a file that is as it was is not read again."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], tuple[Scenario, ...]]] = {}

    def load(self, paths: Iterable[str | Path]) -> tuple[Scenario, ...]:
        """Every scenario of these files and folders. Raises ScenarioError with all mistakes of all files."""
        problems: list[Problem] = []
        loaded: list[Scenario] = []
        known: dict[Path, tuple[tuple[int, ...], tuple[Scenario, ...]]] = {}
        for file in files(paths):
            try:
                known[file] = self._file(file)
                loaded += known[file][1]
            except ScenarioError as error:
                problems += error.problems
        self._known = known
        problems += _same_names(loaded)
        if problems:
            raise ScenarioError(problems)
        return tuple(loaded)

    def _file(self, file: Path) -> tuple[tuple[int, ...], tuple[Scenario, ...]]:
        try:
            seen = file.stat()
            looks: tuple[int, ...] = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
        except OSError:
            looks = ()
        before = self._known.get(file)
        if before is not None and looks and before[0] == looks:
            return before
        return looks, loads(read_file(file), str(file), check_names=False)


def loads(text: str, source: str = "<text>", *, check_names: bool = True) -> tuple[Scenario, ...]:
    """The scenarios of one text, one a YAML document. `source` stands in the errors."""
    problems = Problems(source)
    nodes = with_defaults(list(documents(text, problems)), problems)
    if not nodes and not problems.found:
        problems.add(Mark(1, 1), "no scenario in this file")
    loaded = [scenario for node in nodes if (scenario := _build(node, problems)) is not None]
    found = problems.found + (_same_names(loaded) if check_names else [])
    if found:
        raise ScenarioError(sorted(found, key=lambda problem: problem.mark or Mark(0, 0)))
    return tuple(loaded)


def build(data: Mapping[str, Any], source: str = "<scenario>") -> Scenario:
    """A scenario from plain data in the words of the YAML."""
    __tracebackhide__ = True
    problems = Problems(source)
    scenario = _build(wrap(dict(data)), problems)
    if problems.found or scenario is None:
        raise ScenarioError(problems.found)
    return scenario


def read_answer(data: Any, source: str) -> Answer:
    """One reply or error from plain data: a text, a block, a list of them, or an answer in the words of the YAML."""
    __tracebackhide__ = True
    problems = Problems(source)
    node = expand_answer(wrap(data))
    answer: Answer | None = decode(Answer, node, problems)
    if answer is not None and (answer.cases or answer.attempts or answer.call or answer.when):
        problems.add(None, "expected a reply or an error")
    if problems.found or answer is None:
        raise ScenarioError(problems.found)
    return answer


def read_condition(data: Any, source: str = "when") -> Condition:
    """A condition from plain data, where `turn` and `attempt` can be asked too."""
    __tracebackhide__ = True
    problems = Problems(source)
    condition = read_case_when(wrap(data), problems)
    if problems.found:
        raise ScenarioError(problems.found)
    return condition


def _build(node: Node, problems: Problems) -> Scenario | None:
    before = len(problems.found)
    scenario: Scenario | None = decode(Scenario, expand(node, problems), problems)
    if scenario is None or len(problems.found) > before:
        return None
    place = f":{node.mark.line}" if node.mark else ""
    return replace(inherit(scenario), source=problems.source + place, data=node)


def _same_names(loaded: Sequence[Scenario]) -> list[Problem]:
    first: dict[str, Scenario] = {}
    twice = []
    for scenario in loaded:
        seen = first.setdefault(scenario.name, scenario)
        if seen is not scenario:
            twice.append(Problem(scenario.source, None, f"duplicate name '{scenario.name}'; first in {seen.source}"))
    return twice


def read_file(file: Path) -> str:
    """The text of a file. Raises ScenarioError when it cannot be read, is too large or not UTF-8."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ScenarioError([Problem(str(file), None, f"cannot be read: {error.strerror}")]) from None
    if len(data) > MAX_BYTES:
        raise ScenarioError(
            [Problem(str(file), None, f"{len(data):,} bytes; a scenario file has {MAX_BYTES:,} at most")]
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise ScenarioError([Problem(str(file), Mark(line, column), "not UTF-8 text")]) from None


def documents(text: str, problems: Problems) -> Iterator[Node]:
    """The YAML documents in a text; what is no YAML goes to `problems`."""
    loader = _Loader(text)
    try:
        reader = _Reader(problems)
        while loader.check_node():
            node = loader.get_node()
            if node is not None and node.value != "":
                yield reader.read(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add(_mark(mark) if mark else None, f"not YAML: {error.problem or error.context}")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        problems.add(Mark(line, column), "not YAML: a character that is not allowed")
    except (_TooLarge, RecursionError):
        problems.add(Mark(1, 1), f"too large: more than {MAX_NODES:,} values, or nested too deeply")
    finally:
        loader.dispose()


class _TooLarge(Exception):
    """Aliases, or a very long file, make more values than any scenario needs."""


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


_CONVERT: Mapping[str, Any] = {
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:bool": lambda text: text == "true",
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:str": str,
}


class _Reader:
    """YAML nodes -> ours, with every value counted."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._count = 0

    def read(self, node: Any) -> Node:
        self._count += 1
        if self._count > MAX_NODES:
            raise _TooLarge
        mark = _mark(node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, mark)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.read(item) for item in node.value], mark)
        convert = _CONVERT.get(node.tag)
        if convert is None:
            self._problems.add(mark, f"the tag {node.tag} is not used here; write plain values")
            return Node(node.value, mark)
        return Node(convert(node.value), mark)

    def _mapping(self, node: Any, mark: Mark) -> Node:
        result = Node({}, mark)
        merged: list[Node] = []
        for key_node, value_node in node.value:
            place = _mark(key_node.start_mark)
            if key_node.value == "<<" and isinstance(key_node, yaml.ScalarNode) and key_node.style not in ("'", '"'):
                merged += self._bases(self.read(value_node), place)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._problems.add(place, "a key is one word, not a list or a mapping")
                continue
            key = key_node.value
            if key in result.value:
                self._problems.add(place, f"duplicate key '{key}'; first on line {(result.keys[key] or mark).line}")
                continue
            result.keys[key] = place
            result.value[key] = self.read(value_node)
        for base in merged:  # of two bases the first wins, and the mapping itself over both
            for key, value in base.value.items():
                result.value.setdefault(key, value)
                result.keys.setdefault(key, base.keys.get(key))
        return result

    def _bases(self, node: Node, place: Mark) -> list[Node]:
        """What `<<:` merges into its mapping: a mapping or a list of them."""
        bases = node.value if isinstance(node.value, list) else [node]
        if all(isinstance(base.value, dict) for base in bases):
            return list(bases)
        self._problems.add(place, f"'<<' merges a mapping, as in <<: *base; got {kind(node)}")
        return []

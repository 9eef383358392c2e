"""Files, folders and text -> scenarios. The home of yaml.

Load = parse -> expand -> decode, every mistake collected on the way; `ScenarioError` holds them all. Files are read
with the JSON types only: what YAML 1.1 would make a date, a time or a truth value stays text.
"""

import binascii
import contextlib
import itertools
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml

from mock_server.protocol.errors import excerpt, nearest
from mock_server.records import lazy
from mock_server.scenario.answer import ANSWER_KEYS, Answer
from mock_server.scenario.conditions import (
    NO_STATES,
    Condition,
    States,
    check_states,
    merged,
    read_states,
    states_in,
    undeclared,
)
from mock_server.scenario.decode import decode, keys_of
from mock_server.scenario.error import written_out as error_written_out
from mock_server.scenario.model import Scenario, inherit
from mock_server.scenario.node import (
    MOST_DEPTH,
    MOST_DIGITS,
    MOST_VALUES,
    Node,
    NoNumber,
    Position,
    Problem,
    Problems,
    ScenarioError,
    all_unfit,
    kind,
    one_of,
    unfit,
    wrap,
)
from mock_server.scenario.subjects import read_case_when, read_when

log = logging.getLogger("mock_server")

# -- the short ways to write a scenario are written out before anything is checked; places are kept --------------------

# what `defaults:` may set for all scenarios of its file
DEFAULTS = ("when", "timing", "priority", "anchor", "at_end", "times", "rate_limits", "tags")
# what stands at the top level of a scenario without turns when it is an overlay
_OVERLAID = ("fault", "gate")
# what may stand in the first document of a file instead of a scenario
_HEAD = frozenset(("defaults", "states"))


def _with_defaults(documents: list[Node], problems: Problems) -> list[Node]:
    """The scenarios of a file, each with what the file's first document sets (`defaults:`) and it does not, and with
    the states that are declared there (`states:`)."""
    scenarios, defaults, states = [], None, None
    for at, document in enumerate(documents):
        if not isinstance(document.value, dict) or not document.value or not _HEAD.issuperset(document.value):
            scenarios.append(document)
        elif at:
            problems.add(document, f"{' and '.join(document.value)}: is the first document of its file")
        else:
            if "defaults" in document.value:
                defaults = _defaults(document.value["defaults"], problems)
            states = document.value.get("states")
            if states is not None:
                read_states(states, problems)
    for what, node, most in (("defaults", defaults, MOST_REPEATED), ("states", states, MOST_VALUES)):
        count = 0 if node is None else node.count() * len(scenarios)
        if node is not None and count > most:
            text = f"'{what}' of {node.count():,} values for each of {len(scenarios):,} scenarios"
            problems.add(node, f"{text}; together {most:,} at most: split the file, or write fewer")
            return []
    if defaults is not None:
        scenarios = [_completed(one, defaults) for one in scenarios]
    return scenarios if states is None else [_declared(one, states) for one in scenarios]


def _declared(scenario: Node, states: Node) -> Node:
    """A scenario with these states beside its own."""
    if not isinstance(scenario.value, dict) or not isinstance(states.value, dict):
        return scenario
    own = scenario.value.get("states", Node({}))
    if not isinstance(own.value, dict):
        return scenario
    both = Node({**states.value, **own.value}, own.position or states.position, {**states.keys, **own.keys})
    return Node({**scenario.value, "states": both}, scenario.position, scenario.keys)


def _defaults(node: Node, problems: Problems) -> Node:
    if not isinstance(node.value, dict):
        problems.add(node, f"expected a mapping of {', '.join(DEFAULTS)}; got {kind(node)}")
        return Node({})
    for key in node.value:
        if key not in DEFAULTS:
            problems.add_key(node, key, f"'{key}' cannot be a default{one_of(key, DEFAULTS)}")
    return node


def _completed(scenario: Node, defaults: Node) -> Node:
    """A scenario with the defaults of its file. Conditions of both must hold; of two with one subject its own does."""
    if not isinstance(scenario.value, dict):
        return scenario
    whole = Node({**defaults.value, **scenario.value}, scenario.position, {**defaults.keys, **scenario.keys})
    mine, common = scenario.value.get("when"), defaults.value.get("when")
    if mine is not None and common is not None and isinstance(mine.value, dict) and isinstance(common.value, dict):
        whole.value["when"] = Node({**common.value, **mine.value}, mine.position, {**common.keys, **mine.keys})
    return whole


def expand(document: Node, problems: Problems) -> Node:
    """A scenario with every shorthand written out."""
    if not isinstance(document.value, dict):
        return document
    node = _copy(document)
    if "turns" not in node.value and any(key in node.value for key in ANSWER_KEYS if key not in _OVERLAID):
        _one_turn(node)
    elif clash := [key for key in ANSWER_KEYS if key in node.value and "turns" in node.value]:
        problems.add(node.keys.get(clash[0]), f"'{clash[0]}' beside turns; put it inside a turn")
        for key in clash:
            del node.value[key]
    _expand_each(node, "turns")
    return node


def _copy(node: Node) -> Node:
    return Node(dict(node.value), node.position, dict(node.keys))


def _expand_each(node: Node, key: str) -> None:
    """Write out the answers in a list, if there is one."""
    if isinstance(node.get(key), list):
        listed = node.value[key]
        node.value[key] = Node([expand_answer(one) for one in listed.value], listed.position)


def _one_turn(node: Node) -> None:
    """`reply:` at the top level: one turn that answers every position, unless it waits for a result."""
    moved = {key: node.value.pop(key) for key in ANSWER_KEYS if key in node.value}
    first = next(iter(moved))
    mark: Position | None = node.keys.get(first) or node.position
    turn = Node(moved, mark, {key: node.keys.get(key) for key in moved})
    node.value["turns"] = Node([turn], mark)
    node.keys["turns"] = mark
    if "at_end" not in node.value and not _waits(moved):
        node.value["at_end"] = Node("repeat", mark)


def _waits(answer: dict[str, Node]) -> bool:
    """Whether a reply ends in a call or a pause, so that the next position is another's."""
    written, blocks = answer.get("stop_reason", Node(None)).value, answer.get("reply", Node([]))
    listed = blocks.value if isinstance(blocks.value, list) else [blocks]
    calls = any(block.get("type") == "tool_use" for block in listed)
    return written in ("tool_use", "pause_turn") or (written is None and calls)


def expand_answer(node: Node) -> Node:
    """A turn, case or attempt with every shorthand written out: a text, a block or a list of them is a reply."""
    if not isinstance(node.value, dict) or "type" in node.value:
        if not isinstance(node.value, str | list | dict) and not callable(node.value):
            return node
        node = node.under("reply")
    node = _copy(node)
    if callable(node.get("reply")):
        node.value["call"] = node.value.pop("reply")
    if isinstance(node.get("reply"), list):
        _move_gates(node)
    for key, written_out in (("reply", _reply), ("error", error_written_out)):
        if key in node.value:
            node.value[key] = written_out(node.value[key])
    _expand_each(node, "cases")
    _expand_each(node, "attempts")
    return node


def _move_gates(answer: Node) -> None:
    """`- gate: NAME` between the blocks of a reply: a gate after so many blocks."""
    reply = answer.value["reply"]
    blocks: list[Node] = []
    gates: list[Node] = []
    for item in reply.value:
        if isinstance(item.value, dict) and "gate" in item.value and "type" not in item.value:
            after = Node({"blocks": Node(len(blocks), item.position)}, item.position)
            gates.append(Node({"after": after, **item.value}, item.position, item.keys))
        else:
            blocks.append(item)
    if gates:
        gate = answer.value.get("gate")
        listed = [] if gate is None else gate.value if isinstance(gate.value, list) else [gate]
        answer.value["reply"] = Node(blocks, reply.position)
        answer.value["gate"] = Node([*gates, *listed], reply.position)


def _reply(node: Node) -> Node:
    """A string is a text block, so is `{template: …}`; a single block is a list of one."""
    return Node([_block(one) for one in (node.value if isinstance(node.value, list) else [node])], node.position)


def _block(node: Node) -> Node:
    if isinstance(node.value, str):
        return Node({"type": Node("text", node.position), "text": node}, node.position)
    if isinstance(node.value, dict) and set(node.value) == {"template"}:
        return Node({"type": Node("text", node.position), **node.value}, node.position, node.keys)
    return node


# -- files and folders ----------------------------------------------------------------------------------------------

MAX_BYTES = 10_000_000  # of a file
MOST_REPEATED = 100_000  # values that the defaults of a file stand for in all its scenarios
PACKAGE = Path(__file__).parent.parent
_MOST_LISTED = 1_000  # of a folder, where a name is looked for


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
            listed = _of_library(path)
            by_name = {} if listed else {Path(one).name: one for one in near(path)}
            close = nearest(path.name, by_name)
            why = "no such file or folder" + (f"; did you mean '{by_name[close[0]]}'?" if close else "")
        except OSError as error:
            source, why = str(error.filename or path), f"cannot be read: {error.strerror}"
        except ValueError:
            why = "no name of a file: it holds a null character"
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


def near(path: Path) -> Iterator[str]:
    """What could have been meant by a path that is not there: scenario files and folders beside it, and in the library
    the names of files.
    """
    with contextlib.suppress(OSError), os.scandir(path.parent) as listed:
        for entry in itertools.islice(listed, _MOST_LISTED):
            if not entry.name.startswith(".") and (entry.name.endswith((".yaml", ".yml")) or entry.is_dir()):
                yield str(path.parent / entry.name)
    if len(path.parts) == 1:
        yield from (file.stem for file in sorted(library().glob("*.yaml")))


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


def is_name(what: str | Path) -> bool:
    """Whether this is the name of a scenario, and no path to a file or a folder."""
    return isinstance(what, str) and not ("/" in what or "\\" in what or what.endswith((".yaml", ".yml")))


def is_empty(path: Path) -> bool:
    """Whether this is a folder that holds no scenario file. One that cannot be looked into is not empty."""
    try:
        return path.is_dir() and not any(_inside(path))
    except OSError:
        return False


class _Loaded(NamedTuple):
    """What was in a file that looked so: time, size and number. Or what file of another program it is."""

    looks: tuple[int, ...]
    scenarios: tuple[Scenario, ...]
    other: Problem | None = None


class OtherFile(ScenarioError):
    """A file of another program, such as a Compose file: a mistake where it was named, passed over in a folder."""


class Loader:
    """Loads files, and remembers those it has read: a file that is as it was is not read again.

    `passed_over`: the files of other programs that stand in the folders.
    """

    def __init__(self) -> None:
        self._known: dict[Path, _Loaded] = {}
        self.passed_over: list[Problem] = []

    def load(self, paths: Iterable[str | Path]) -> tuple[Scenario, ...]:
        """Every scenario of these files and folders. Raises ScenarioError with all mistakes of all files."""
        paths = list(paths)
        named = set(map(Path, paths))
        problems: list[Problem] = []
        loaded: list[Scenario] = []
        known: dict[Path, _Loaded] = {}
        for file in files(paths):
            try:
                known[file] = self._file(file, is_named=file in named)
                loaded += known[file].scenarios
            except ScenarioError as error:
                problems += error.problems
                loaded += error.well
        self._known = known
        self.passed_over = [one.other for one in known.values() if one.other is not None]
        if self.passed_over and not loaded and not problems:
            where = ", ".join(map(str, paths))
            problems.append(Problem(where, None, "no scenario files here: all are of other programs"))
        problems += [*same_names(loaded), *_other_states(loaded)]
        if problems:
            raise ScenarioError(problems, loaded)
        return tuple(loaded)

    def _file(self, file: Path, *, is_named: bool) -> _Loaded:
        try:
            seen = file.stat()
            looks: tuple[int, ...] = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
        except OSError:
            looks = ()
        before = self._known.get(file)
        if before is not None and looks and before.looks == looks:
            return before
        try:
            read = loads(read_file(file), str(file), check_names=False)
        except OtherFile as error:
            if is_named:
                raise
            other = replace(error.problems[0], text=f"{error.problems[0].text}; passed over")
            log.warning("%s", other)
            return _Loaded(looks, (), other)
        if library() in file.parents:
            read = tuple(replace(one, of_library=True) for one in read)
        return _Loaded(looks, read)


def loads(
    text: str, source: str = "<text>", *, check_names: bool = True, known: States = NO_STATES
) -> tuple[Scenario, ...]:
    """The scenarios of one text, one a YAML document. `source` stands in the errors; `known`: states that need not be
    declared."""
    problems = Problems(source)
    written = list(documents(text, problems))
    if not problems.found:
        _refuse_other_program(written, problems)
    nodes = _with_defaults(written, problems)
    if not nodes and not problems.found:
        problems.add(Position(1, 1), "no scenario in this file; `mock-server new` prints one to begin with")
    nodes = [node for node in nodes if not _is_something_else(node, problems)]
    loaded = [scenario for node in nodes if (scenario := _build(node, problems, known)) is not None]
    found = problems.found + ([*same_names(loaded), *_other_states(loaded)] if check_names else [])
    if found:
        raise ScenarioError(sorted(found, key=lambda problem: problem.position or Position(0, 0)), loaded)
    return tuple(loaded)


def _refuse_other_program(written: Sequence[Node], problems: Problems) -> None:
    """Raises OtherFile where every document is of another program; none that has a key of ours is."""
    if not written or any(not isinstance(one.value, dict) or not _OWN.isdisjoint(one.value) for one in written):
        return
    from mock_server.scenario.advice import program  # only mistakes need it

    found = [program(one.value) for one in written]
    if None not in found:
        problems.add(written[0], f"this is {found[0]}, not a scenario")
        raise OtherFile(problems.found)


_KEYS = (*keys_of(Scenario), *ANSWER_KEYS)
_OWN = frozenset(_KEYS) - {"name", "description", "tags"}  # these three stand in files of other programs too


def _is_something_else(node: Node, problems: Problems) -> bool:
    """Whether a document was pasted into a file of scenarios and is none; then the mistake says what it is."""
    if isinstance(node.value, dict) and not _ONLY_OURS.isdisjoint(node.value):
        return False
    from mock_server.scenario.advice import something_else  # only mistakes need it

    text = something_else(node, problems.source, _KEYS)
    if text is not None:
        problems.add(node, text)
    return text is not None


_ONLY_OURS = frozenset(("name", "reply", "when", "turns"))  # keys that only scenarios have


def build(data: Mapping[str, Any], source: str = "<scenario>", known: States = NO_STATES) -> Scenario:
    """A scenario from plain data in the words of the YAML. `known`: states that need not be declared."""
    __tracebackhide__ = True
    scenario: Scenario = _of_data(dict(data), source, lambda node, problems: _build(node, problems, known))
    return scenario


def read_answer(data: Any, source: str, states: States | None = None) -> Answer:
    """One reply or error from plain data: a text, a block, a list of them, or an answer in the words of the YAML.
    `states`: those that it may move, where they are known."""
    __tracebackhide__ = True
    answer: Answer = _of_data(data, source, lambda node, problems: _answer(node, problems, states))
    return answer


def read_turn(data: Any, source: str) -> Answer:
    """A turn from plain data, attempts and functions too."""
    __tracebackhide__ = True
    turn: Answer = _of_data(data, source, lambda node, problems: decode(Answer, expand_answer(node), problems))
    return turn


def read_condition(data: Any, source: str = "when", *, of_case: bool = True) -> Condition:
    """A condition from plain data, where `turn` and `attempt` can be asked too; else the `when` of a scenario."""
    __tracebackhide__ = True
    condition: Condition = _of_data(data, source, read_case_when if of_case else read_when)
    return condition


def _of_data(data: Any, source: str, read: Callable[[Node, Problems], Any]) -> Any:
    """What `read` makes of plain data. Raises ScenarioError with its mistakes, else with what in it is no JSON."""
    __tracebackhide__ = True
    problems = Problems(source)
    try:
        strange = list(all_unfit(data))
    except ValueError as error:
        raise ScenarioError([Problem(source, None, str(error))]) from None
    found = read(wrap(data), problems)
    if not problems.found:
        for path, why in strange:
            problems.add(None, f"{path}: {why}")
    if problems.found or found is None:
        raise ScenarioError(problems.found)
    return found


def _answer(node: Node, problems: Problems, states: States | None) -> Answer | None:
    expanded = expand_answer(node)
    answer: Answer | None = decode(Answer, expanded, problems)
    if answer is not None and states is not None:
        check_states(expanded, states, problems)
        _used_states([answer], states, problems)
    if answer is not None and (answer.cases or answer.attempts or answer.call or answer.when):
        problems.add(None, "expected a reply or an error")
    return answer


def _build(node: Node, problems: Problems, known: States = NO_STATES) -> Scenario | None:
    before = len(problems.found)
    expanded = expand(node, problems)
    needed = {name: known[name] for name, _, _ in states_in(expanded) if name in known} if known else {}
    if needed:
        declared = _written_states(needed)
        node, expanded = _declared(node, declared), _declared(expanded, declared)
    scenario: Scenario | None = decode(Scenario, expanded, problems)
    if scenario is None or len(problems.found) > before:
        return None
    check_states(expanded, {**known, **scenario.states}, problems)
    used = _used_states(scenario.turns, {**known, **scenario.states}, problems)
    if len(problems.found) > before:
        return None
    if more := {name: known[name] for name in sorted(used - scenario.states.keys())}:
        node = _declared(node, _written_states(more))
        scenario = replace(scenario, states={**scenario.states, **more})
    return replace(inherit(scenario), source=problems.place(node), data=node)


def _used_states(turns: Sequence[Answer], states: States, problems: Problems) -> set[str]:
    """The states that templates use; those that nothing declares are mistakes."""
    used: set[str] = set()
    for template in (one for turn in turns for leaf in turn.leaves for one in leaf.templates):
        used |= template.states
        for name in sorted(template.states - states.keys()):
            problems.add(template.at, undeclared(name, states, is_python=template.at is None))
    return used


def _written_states(states: States) -> Node:
    """Declarations as an author would write them."""
    return wrap({name: {"values": state.values, "initial": state.initial} for name, state in states.items()})


def _other_states(loaded: Sequence[Scenario]) -> list[Problem]:
    """States that one file declares otherwise than another."""
    _, clashes = merged((one.source, one.states) for one in loaded)
    return [Problem(source, None, text) for source, text in clashes]


def same_names(loaded: Sequence[Scenario]) -> list[Problem]:
    """One mistake for every scenario whose name another one had before."""
    first: dict[str, Scenario] = {}
    twice = []
    for scenario in loaded:
        seen = first.setdefault(scenario.name, scenario)
        if seen is not scenario:
            twice.append(
                Problem(scenario.source, None, f"duplicate name '{scenario.name}'; first in {seen.source}; rename one")
            )
    return twice


def read_file(file: Path) -> str:
    """The text of a file. Raises ScenarioError when it cannot be read, is no ordinary file, too large or not UTF-8."""
    try:
        data = _bytes_of(file)
    except OSError as error:
        raise ScenarioError([Problem(str(file), None, f"cannot be read: {error.strerror}")]) from None
    except ValueError as error:
        raise ScenarioError([Problem(str(file), None, str(error))]) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError([Problem(str(file), place_in(data, error.start), "not UTF-8 text")]) from None


def _bytes_of(file: Path) -> bytes:
    """The bytes of a file; its kind and size are looked at first. Raises OSError, ValueError."""
    with open(file, "rb", opener=_without_waiting) as opened:
        status = os.fstat(opened.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("a pipe, a device or a socket, not a file")
        if status.st_size > MAX_BYTES:
            raise ValueError(f"{status.st_size:,} bytes; a scenario file has {MAX_BYTES:,} at most")
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:  # it has grown, or is one of those that have no size
        raise ValueError(f"a scenario file has {MAX_BYTES:,} bytes at most")
    return data


def _without_waiting(path: str, flags: int) -> int:
    """Opens a pipe too without waiting for its other end."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


# -- YAML -----------------------------------------------------------------------------------------------------------

MAX_TEXT = 4 * MAX_BYTES  # characters of all values, those that aliases repeat too
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """The C loader where present, with the JSON types only."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {}


class _Scalar(NamedTuple):
    """A kind of plain value: how it is written, the characters it may begin with, what it is read as.

    `wrong`: what stands for one that cannot be read, so that it is reported once.
    """

    regex: "re.Pattern[str]"
    first: Sequence[str]
    read: Callable[[str], Any]
    noun: str
    wrong: Any


_TAG = "tag:yaml.org,2002:"
_WHOLE, _FRACTION = r"-?(?:0|[1-9]\d*)", r"(?:\.\d+)?(?:[eE][-+]?\d+)?"
_SCALARS: Mapping[str, _Scalar] = {
    f"{_TAG}null": _Scalar(re.compile(r"^(?:null|)$"), ("n", ""), lambda text: None, "null", None),
    f"{_TAG}bool": _Scalar(re.compile(r"^(?:true|false)$"), "tf", lambda text: text == "true", "true or false", False),
    f"{_TAG}int": _Scalar(re.compile(f"^{_WHOLE}$", re.ASCII), "-0123456789", int, "a whole number", 1),
    f"{_TAG}float": _Scalar(re.compile(f"^{_WHOLE}{_FRACTION}$", re.ASCII), "-0123456789", float, "a number", 1),
}
for _name, _kind in _SCALARS.items():
    _Loader.add_implicit_resolver(_name, _kind.regex, list(_kind.first))
_STR, _SEQ, _MAP = f"{_TAG}str", f"{_TAG}seq", f"{_TAG}map"
# what YAML takes for a number, and JSON has none for: a text here
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def documents(text: str, problems: Problems, *, foreign: bool = False) -> Iterator[Node]:
    """The YAML documents in a text; what is no YAML goes to `problems`.

    `foreign`: another program wrote it: `!!binary` is bytes, and other tags (types of its language) are passed over.
    """
    if len(text) > MAX_BYTES:
        problems.add(None, f"{len(text):,} characters; a scenario file has {MAX_BYTES:,} bytes at most")
        return
    loader = None
    try:
        loader = _Loader(text)
        reader = _Reader(problems, text if "&" in text and not foreign else "", foreign=foreign)
        while loader.check_node():
            node = loader.get_node()
            if node is not None and node.value != "":
                yield reader.read(node)
    except yaml.MarkedYAMLError as error:
        from mock_server.scenario.advice import syntax  # only mistakes need it

        problems.add(*syntax(error, text))
    except yaml.reader.ReaderError as error:
        at = _offset(error, text)
        sign = f" (U+{ord(text[at]):04X})" if at < len(text) else ""
        problems.add(place_in(text, at), f"not YAML: a character that is not allowed{sign}; take it out")
    except binascii.Error as error:
        problems.add(None, f"!!binary that is not base64: {error}")
    except UnicodeEncodeError as error:
        problems.add(place_in(text, error.start), f"not YAML: {unfit(text[error.start])}")
    except _TooLarge as error:
        problems.add(error.at, str(error))
    except RecursionError:
        problems.add(Position(1, 1), f"nested more than {MOST_DEPTH} levels deep")
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # of an escape, in YAML's loader without C
        problems.add(None, f"not YAML: {error}")
    finally:
        if loader is not None:
            loader.dispose()


def _offset(error: yaml.reader.ReaderError, text: str) -> int:
    """Where the characters of a text begin to be wrong; the C loader counts bytes."""
    if _Base is yaml.SafeLoader:
        return int(error.position)
    return len(text.encode()[: error.position].decode(errors="ignore"))


def place_in(text: str | bytes, at: int) -> Position:
    """Line and column of a place in a text, or in its bytes."""
    newline: Any = "\n" if isinstance(text, str) else b"\n"
    return Position(text.count(newline, 0, at) + 1, at - text.rfind(newline, 0, at))


class _TooLarge(Exception):
    """More values, levels or text than any scenario needs: of a very long file, or of its aliases."""

    def __init__(self, at: Position, text: str) -> None:
        super().__init__(text)
        self.at = at


def _mark(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _foreign(node: Any) -> Any:
    """What a scalar with a tag of another program stands for."""
    is_binary = node.tag.rpartition(":")[2].lstrip("!") == "binary"
    return binascii.a2b_base64(node.value) if is_binary else node.value


class _Reader:
    """YAML nodes -> ours, with every value counted."""

    def __init__(self, problems: Problems, anchored: str, *, foreign: bool = False) -> None:
        """`anchored`: the text, where there may be anchors in it."""
        self._problems = problems
        self._anchored = anchored
        self._foreign = foreign
        self._count = 0
        self._text = 0

    def read(self, node: Any, depth: int = 0) -> Node:
        mark = _mark(node.start_mark)
        self._count += 1
        if self._count > MOST_VALUES:
            raise _TooLarge(Position(1, 1), f"too large: more than {MOST_VALUES:,} values")
        if depth > MOST_DEPTH:
            raise _TooLarge(mark, f"nested more than {MOST_DEPTH} levels deep")
        if isinstance(node, yaml.MappingNode):
            self._check_tag(node, mark, _MAP)
            return self._mapping(node, mark, depth)
        if isinstance(node, yaml.SequenceNode):
            self._check_tag(node, mark, _SEQ)
            return Node([self.read(item, depth + 1) for item in node.value], mark)
        return Node(self._scalar(node, mark), mark)

    def _check_tag(self, node: Any, position: Position, *used: str) -> None:
        if node.tag not in used and not self._foreign:
            self._problems.add(position, f"the tag {node.tag} is not used here; write plain values")

    def _lost_anchor(self, node: Any, position: Position) -> str | None:
        """The text of `reply: &x hello`, which would lose its `&x`: an anchor that nothing points to is a mistake."""
        found = _ANCHOR.match(self._anchored, node.start_mark.index)
        if found is None or found["name"] in self._aliases:
            return None
        whole = found[0].strip()
        text = f"&{found['name']} names an anchor that nothing points to; if a text is meant, write it in quotes"
        self._problems.add(position, f'{text}: "{excerpt(whole, 60)}"')
        return whole

    @lazy
    def _aliases(self) -> frozenset[str]:
        """The names behind a `*`, of which some point to an anchor: found once, as there may be very many of both."""
        return frozenset(_ALIAS.findall(self._anchored))

    def _scalar(self, node: Any, position: Position) -> Any:
        text: str = node.value
        if self._anchored and (lost := self._lost_anchor(node, position)) is not None:
            return lost
        self._text += len(text)
        if self._text > MAX_TEXT:
            raise _TooLarge(Position(1, 1), f"too large: more than {MAX_TEXT:,} characters")
        kind = _SCALARS.get(node.tag)
        if kind is None:
            self._check_tag(node, position, _STR)
            if self._foreign and node.tag != _STR:
                return _foreign(node)
            value: Any = NoNumber(text) if not node.style and _NO_NUMBER.fullmatch(text) else text
        elif not kind.regex.fullmatch(text):
            self._problems.add(position, f"{_short(text)} is not {kind.noun}")
            return kind.wrong
        elif kind.read is int and len(text) > MOST_DIGITS:
            self._problems.add(position, f"a number of more than {MOST_DIGITS:,} digits")
            return kind.wrong
        else:
            value = kind.read(text)
        if (why := unfit(value)) is not None:
            self._problems.add(position, f"{_short(text)}: {why}" if isinstance(value, float) else why)
        return value

    def _mapping(self, node: Any, position: Position, depth: int) -> Node:
        result = Node({}, position)
        merged: list[Node] = []
        another = False
        for key_node, value_node in node.value:
            place = _mark(key_node.start_mark)
            if key_node.value == "<<" and isinstance(key_node, yaml.ScalarNode) and key_node.style not in ("'", '"'):
                merged += self._bases(self.read(value_node, depth + 1), place)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._problems.add(place, "a key is one word, not a list or a mapping")
                continue
            self._check_tag(key_node, place, _STR, *_SCALARS)
            key = key_node.value
            if (why := unfit(key)) is not None:
                self._problems.add(place, why)
            if key in result.value:
                first = (result.keys[key] or position).line
                if another:
                    continue  # reported with its name
                another = key == "name" and not depth
                cure = "another scenario begins behind a line with ---" if another else "keep one of them"
                self._problems.add(place, f"duplicate key '{key}'; first on line {first}; {cure}")
                continue
            result.keys[key] = place
            result.value[key] = self.read(value_node, depth + 1)
        for base in merged:  # of two bases the first wins, and the mapping itself over both
            for key, value in base.value.items():
                result.value.setdefault(key, value)
                result.keys.setdefault(key, base.keys.get(key))
        return result

    def _bases(self, node: Node, place: Position) -> list[Node]:
        """What `<<:` merges into its mapping: a mapping or a list of them."""
        bases = node.value if isinstance(node.value, list) else [node]
        if all(isinstance(base.value, dict) for base in bases):
            return list(bases)
        self._problems.add(place, f"'<<' merges a mapping, as in <<: *base; got {kind(node)}")
        return []


_ANCHOR = re.compile(r"&(?P<name>[^\s,\[\]{}]+)[^\n,\]}]*")
_ALIAS = re.compile(r"\*([^\s,\[\]{}*]+)(?![^\s,\]}])")


def _short(text: str) -> str:
    """A value as a message quotes it."""
    return repr(excerpt(text, 60))

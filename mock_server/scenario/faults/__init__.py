"""What can go wrong with a reply: the union `Fault` is the registry. Each is plan -> plan, several in their order.

To add one, write a class with `type` and `apply(plan, site)` and name it in the union.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, NamedTuple, Union, get_args

from mock_server.protocol.plan import Plan
from mock_server.scenario.decode import Reads, decode
from mock_server.scenario.error import Failure
from mock_server.scenario.faults.events import (
    DuplicateEvent,
    ExtraFields,
    MalformedJson,
    MissingEvent,
    NoUsage,
    Reorder,
    UnknownDelta,
    UnknownEvent,
    Wire,
)
from mock_server.scenario.faults.http import Gzip, HtmlError, WrongContentLength, WrongContentType
from mock_server.scenario.faults.place import After, CannotApply, Site
from mock_server.scenario.faults.stream import (
    Disconnect,
    EmptyResponse,
    ErrorEvent,
    ErrorReply,
    Garbage,
    Gate,
    Reset,
    SlowHeaders,
    Stall,
    Trickle,
    Truncate,
)
from mock_server.scenario.node import Node, Position, Problems, ScenarioError, kind, wrap
from mock_server.scenario.timing import written

Fault = Union[  # noqa: UP007 - get_args of it is the registry
    ErrorReply,
    ErrorEvent,
    Disconnect,
    Reset,
    EmptyResponse,
    Stall,
    Trickle,
    Truncate,
    Garbage,
    SlowHeaders,
    HtmlError,
    WrongContentType,
    WrongContentLength,
    Gzip,
    MalformedJson,
    MissingEvent,
    DuplicateEvent,
    Reorder,
    UnknownEvent,
    UnknownDelta,
    ExtraFields,
    NoUsage,
    Wire,
    Gate,
]
FAULTS: Mapping[str, Any] = {cls.type: cls for cls in get_args(Fault)}
# what the keys of faults mean, the same in each of them
KEYS: Mapping[str, str] = {
    "after": "Where it strikes: {deltas: 5}, {events: 3}, {blocks: 1}, {tokens: 20}, {bytes: 100}; else the middle.",
    "then": "How the connection goes on: end (the body ends properly), close (FIN), reset (RST), hang.",
    "error": "The error: its type, its status, or {type, message, …}.",
    "for_": "How long, such as 2s.",
    "ping": "Send a ping each time this long has passed.",
    "event": "Which kind of event.",
    "nth": "Which one of that kind, from 1.",
    "name": "What it is called.",
    "bytes": "How many bytes.",
    "bytes_per_second": "How fast, in bytes a second.",
    "inside": "What is cut in two: a frame, or a character of several bytes.",
    "status": "The HTTP status.",
    "content_type": "The content-type that is told.",
    "by": "How many bytes too long (above 0) or too short.",
    "how": "What is wrong with the compression.",
    "seed": "A seed of its own; without it, that of the request.",
}


class Applied(NamedTuple):
    """A plan after its faults: which were applied, and what could not be and why. `notes`: anything else to say.
    `warnings`: what of that the client is told, in whole sentences.
    """

    plan: Plan
    faults: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def in_order(faults: Iterable[Fault]) -> list[Fault]:
    """As they were written; but what only frames the reply anew comes last, since it leaves no events to count."""
    return sorted(faults, key=lambda fault: isinstance(fault, Wire))


def applied(plan: Plan, faults: Sequence[Fault], site: Site) -> Applied:
    """The plan with every fault that has a place in it, in order."""
    intact, done, failed = plan, [], []
    for fault in in_order(faults):
        try:
            plan = fault.apply(plan, site)
            done.append(label(fault))
        except CannotApply as reason:
            failed.append(reason_of(fault, reason))
    if done:
        plan = plan._replace(intact=intact)
    return Applied(plan, tuple(done), tuple(failed))


def reason_of(fault: Fault, reason: CannotApply) -> str:
    """Why a fault cannot apply, in a line that names it."""
    text = str(reason)
    if text.startswith(fault.type):
        return text
    return f"{fault.type} {text}" if text.startswith("after") else f"{fault.type}: {text}"


def label(fault: Fault) -> str:
    """A fault in a few words: its type, its place, and what else it sets."""
    words = [fault.type, *([fault.name] if isinstance(fault, Gate) else ())]
    for field in fields(fault):
        value = getattr(fault, field.name)
        if value is None or (field.name not in _ALWAYS and value == field.default) or value == words[-1]:
            continue
        if isinstance(value, After):
            words.append(str(value))
        elif isinstance(value, Failure):
            words.append(value.error_type)
        else:
            name = field.metadata.get("key", field.name)
            words.append(f"{name} {written(value) if name in ('for', 'ping') else value}")
    return " ".join(words)


_ALWAYS = ("name", "event", "nth", "how", "status")


# -- how they are written ---------------------------------------------------------------------------------------------


def read_faults(node: Node, problems: Problems) -> tuple[Fault, ...]:
    """`disconnect`, one fault with its keys, or a list of both."""
    listed = node.value if isinstance(node.value, list) else [node]
    if not listed:
        problems.add(node, "an empty list of faults; leave the key out")
    read = [decode(Fault, _with_type(one), problems) for one in listed]
    return tuple(fault for fault in read if fault is not None)


def read_gates(node: Node, problems: Problems) -> tuple[Gate, ...]:
    """A name, one gate with its keys, or a list of both."""
    listed = node.value if isinstance(node.value, list) else [node]
    if not listed:
        problems.add(node, "an empty list of gates; leave the key out")
    read = [decode(Gate, _with_name(one, problems), problems) for one in listed]
    return tuple(gate for gate in read if gate is not None)


def _with_type(node: Node) -> Node:
    return Node({"type": node}, node.position) if isinstance(node.value, str) else node


def _with_name(node: Node, problems: Problems) -> Node:
    if isinstance(node.value, str):
        return Node({"name": node}, node.position)
    if isinstance(node.value, dict) and "gate" in node.value:
        rest = {key: value for key, value in node.value.items() if key != "gate"}
        return Node({"name": node.value["gate"], **rest}, node.position, {**node.keys, "name": node.keys.get("gate")})
    if not isinstance(node.value, dict):
        problems.add(node, f"expected the name of a gate, or {{name, after, ping}}; got {kind(node)}")
        return Node({"name": Node("?")}, node.position)
    return node


Faults = Annotated[tuple[Fault, ...], Reads(read_faults)]
Gates = Annotated[tuple[Gate, ...], Reads(read_gates)]


def faults_of(data: Any, source: str) -> tuple[Fault, ...]:
    """Faults from plain data in the words of the YAML. Raises ScenarioError."""
    __tracebackhide__ = True
    problems = Problems(source)
    found = read_faults(wrap(data), problems)
    if problems.found:
        raise ScenarioError(problems.found)
    return found


def parse_header(text: str) -> tuple[Fault, ...]:
    """The faults of the header `x-mock-fault`: `disconnect;after=5, stall;for=2s`. Raises ScenarioError.

    `after=5` counts deltas, `after=events:3` something else.
    """
    problems = Problems("x-mock-fault")
    read = [decode(Fault, _of_header(part), problems) for part in text.split(",") if part.strip()]
    if not read and not problems.found:
        problems.add(None, "names no fault; for example disconnect;after=5")
    if problems.found:
        raise ScenarioError(problems.found)
    return tuple(read)


def _of_header(part: str) -> Node:
    name, *pairs = (one.strip() for one in part.split(";"))
    mark: Position | None = None
    keys: dict[str, Node] = {"type": Node(name, mark)}
    for pair in pairs:
        key, _, value = (one.strip() for one in pair.partition("="))
        keys[key] = _place(value) if key == "after" and ":" in value else Node(_number(value))
    if "in" in keys:
        keys["after"] = _inside(keys.pop("in"), keys.get("after"))
    return Node(keys, mark)


def _place(value: str) -> Node:
    counter, _, count = value.partition(":")
    return Node({counter: Node(_number(count))})


def _inside(block: Node, after: Node | None) -> Node:
    place = after if after is not None and isinstance(after.value, dict) else None
    return Node({**({"deltas": after or Node(1)} if place is None else place.value), "in": block})


def _number(text: str) -> int | str:
    return int(text) if text.removeprefix("-").isdecimal() and len(text) < 12 else text

"""What can go wrong with a reply: the union `Fault` is the registry. Each is plan -> plan, several in their order.

To add one, write a class with `type` and `apply(plan, site)` and name it in the union.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, NamedTuple, Union, get_args

from mock_server.protocol.plan import Plan
from mock_server.protocol.sse import dumps
from mock_server.scenario.decode import Reads, decode
from mock_server.scenario.error import Failure
from mock_server.scenario.faults.events import (
    DuplicateEvent,
    Edit,
    ExtraFields,
    Insert,
    MalformedJson,
    MissingEvent,
    NoUsage,
    Reorder,
    UnknownDelta,
    UnknownEvent,
    Wire,
)
from mock_server.scenario.faults.http import EmptyBody, Gzip, HtmlError, WrongContentLength, WrongContentType
from mock_server.scenario.faults.place import After, At, CannotApply, Site
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
from mock_server.scenario.node import Node, Problems, all_unfit, kind, wrap
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
    EmptyBody,
    WrongContentType,
    WrongContentLength,
    Gzip,
    Edit,
    Insert,
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
    "at": "Right before an event: message_delta, {event: content_block_stop, nth: 2}; inside its frame with bytes: 20.",
    "then": "How the connection goes on: end (the body ends properly), close (FIN), reset (RST), hang.",
    "error": "The error: its type, its status, or {type, message, …}.",
    "for_": "How long, such as 2s.",
    "ping": "Send a ping each time this long has passed.",
    "keepalive": "Send a comment, `: keepalive`, each time this long has passed.",
    "event": "Which kind of event; of an insert, the name of the new one.",
    "nth": "Which one of that kind, from 1; of an edit and in a place also -1 for the last, of an edit all.",
    "block": "Only events of the block with this index; without `event` all of them.",
    "index": "The event of this number, from 0, pings not counted.",
    "set": "Paths with the values that are put there: {message.usage.input_tokens: 0}.",
    "remove": "Paths of what is taken out: [content_block.text].",
    "name": "What it is called; of an edit null for data alone.",
    "drop": "Leave the event out.",
    "message": "Change the message, in the stream and the JSON reply: {set: …, remove: …}.",
    "data": "The data of the new event, as JSON.",
    "raw": 'Bytes as they are, such as "data: [DONE]\\n\\n".',
    "crlf": "Every line ends with CRLF.",
    "comments": "A comment stands before every event.",
    "split_utf8": "Characters of several bytes arrive in two pieces.",
    "multi_line": "The data of an event stands on several lines.",
    "no_space": "No space stands behind `data:` and `event:`.",
    "bytes": "How many bytes.",
    "bytes_per_second": "How fast, in bytes a second.",
    "inside": "What is cut in two: a frame, or a character of several bytes.",
    "status": "The HTTP status.",
    "content_type": "The content-type that is sent.",
    "by": "How many bytes too long (above 0) or too short.",
    "how": "What is wrong with the compression.",
    "seed": "A seed of its own; without it, that of the request.",
}


MOST_FAULTS = 100  # in one list
MOST_WORK = 20_000  # frames that the faults of one reply go through while others wait: a tenth of a second
MOST_APART = 400_000  # the same where nobody waits


class Applied(NamedTuple):
    """A plan after its faults: which were applied, and what could not be and why. `notes`: anything else to say.
    `warnings`: what of that the client gets as a warning, in whole sentences.
    """

    plan: Plan
    faults: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def rank(fault: Fault) -> int:
    """How early a fault is applied among those of one reply: as they were written, but the message is changed before
    its frames are, and what only frames the reply anew comes last, since it leaves no events to count."""
    return 0 if _changes_message(fault) else 2 if isinstance(fault, Wire) else 1


def _changes_message(fault: Fault) -> bool:
    return isinstance(fault, Edit) and fault.message is not None


def applied(plan: Plan, faults: Sequence[Fault], site: Site, most: int = MOST_WORK) -> Applied:
    """The plan with every fault that has a place in it, in order. `most`: frames that they may go through in all."""
    intact, done, failed = plan, [], []
    effort = Effort(most)
    for fault in sorted(faults, key=rank):
        try:
            effort.take(plan)
            changed = fault.apply(plan, site)
            if site.shows is not None and site.shows(changed) == site.shows(plan):
                failed.append(f"{label(fault)}: a line of results has no head and no pace")
                continue
            plan, site = changed, behind(fault, plan, changed, site)
            done.append(label(fault))
        except CannotApply as reason:
            failed.append(reason_of(fault, reason))
    if done:
        plan = plan._replace(intact=intact)
    return Applied(plan, tuple(done), tuple(failed))


class Effort:
    """What the faults of one reply go through: its frames, again and again. The first may always."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    def take(self, plan: Plan) -> None:
        """Raises CannotApply when the faults before have gone through too much for another one."""
        size = sum(len(part.frames) + sum(map(len, part.frames)) // _A_FRAME for part in plan.parts) + 1
        if self._taken and self._taken + size > self._most:
            raise CannotApply(f"the faults of this reply go through more than {self._most:,} frames")
        self._taken += size


_A_FRAME = 500  # bytes that take as long as a frame


def behind(fault: Fault, plan: Plan, changed: Plan, site: Site) -> Site:
    """What the next fault looks up its place in: the changed message, or none where the reply is another one now."""
    if site.streamed is None:
        return site
    if _changes_message(fault):
        return site._replace(streamed=fault.apply(site.streamed, site))
    is_another = changed.status != plan.status or isinstance(fault, HtmlError)
    return site._replace(streamed=None) if is_another else site


def reason_of(fault: Fault, reason: CannotApply) -> str:
    """Why a fault cannot apply, in a line that names it."""
    text = str(reason)
    if text.startswith(fault.type):
        return text
    return f"{fault.type} {text}" if text.startswith("after") else f"{fault.type}: {text}"


def label(fault: Fault) -> str:
    """A fault in a few words: its type, its place, and what else it sets."""
    if isinstance(fault, Edit):
        return str(fault)
    words = [fault.type, *([fault.name] if isinstance(fault, Gate) else ())]
    for field in fields(fault):
        value = getattr(fault, field.name)
        if value is None or (field.name not in _ALWAYS and value == field.default) or value == words[-1]:
            continue
        name = field.metadata.get("key", field.name)
        if isinstance(value, After | At):
            words.append(str(value))
        elif value is True:
            words.append(name)
        elif isinstance(value, Failure):
            words.append(value.error_type)
        else:
            words.append(f"{name} {_shown(name, value)}")
    return " ".join(words)


def _shown(name: str, value: Any) -> Any:
    if name in ("for", "ping", "keepalive"):
        return written(value)
    return dumps(value)[:_MOST_SHOWN] if name in ("raw", "data") else value


_MOST_SHOWN = 80  # characters of what is put in
# what a label always has, also where it is the default
_ALWAYS = ("name", "event", "nth", "how", "status")


# -- how they are written ---------------------------------------------------------------------------------------------


def read_faults(node: Node, problems: Problems) -> tuple[Fault, ...]:
    """`disconnect`, one fault with its keys, or a list of both."""
    return _read_all(Fault, _several(node, "faults", _with_type, problems), problems)


def _few(listed: list[Node], node: Node | None, problems: Problems) -> list[Node]:
    if len(listed) <= MOST_FAULTS:
        return listed
    problems.add(node, f"a list of {len(listed):,}; {MOST_FAULTS} at most for one reply")
    return []


def read_gates(node: Node, problems: Problems) -> tuple[Gate, ...]:
    """A name, one gate with its keys, or a list of both."""
    return _read_all(Gate, _several(node, "gates", _with_name, problems), problems)


def _several(node: Node, noun: str, written_out: Callable[[Node, Problems], Node], problems: Problems) -> list[Node]:
    """One or a list of them, each with its shorthand written out."""
    listed = node.value if isinstance(node.value, list) else [node]
    if not listed:
        problems.add(node, f"an empty list of {noun}; leave the key out")
    return [written_out(one, problems) for one in _few(listed, node, problems)]


def _read_all(type: Any, nodes: Iterable[Node], problems: Problems) -> tuple[Any, ...]:
    """The faults that are well written; each strikes at one place."""
    found = []
    for node in nodes:
        for key, item in node.value.items() if isinstance(node.value, dict) else ():
            if item.value is None and key != "name":  # without a name: data alone
                problems.add(node.keys.get(key) or node, f"nothing stands behind '{key}'; leave the key out")
        fault = decode(type, node, problems)
        if getattr(fault, "after", None) is not None and getattr(fault, "at", None) is not None:
            problems.add(node.find(("at",)), "two places: 'after' and 'at'; take one out")
        found.append(fault)
    return tuple(fault for fault in found if fault is not None)


def _with_type(node: Node, problems: Problems) -> Node:
    return node.under("type") if isinstance(node.value, str) else node


def _with_name(node: Node, problems: Problems) -> Node:
    if isinstance(node.value, str):
        return node.under("name")
    if isinstance(node.value, dict) and "gate" in node.value:
        rest = node.without("gate").value
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
    problems.raise_found()
    return found


def parse_header(text: str) -> tuple[Fault, ...]:
    """The faults of the header `x-mock-fault`: `disconnect;after=5, stall;for=2s`. Raises ScenarioError.

    `after=5` counts deltas, `after=events:3` something else; `at=message_delta` is an event; `set.PATH=VALUE` and
    `remove=PATH` are those of an edit, with `message.` before them of the message; in `raw` a line ends with `\\n`. A
    text that begins with `[` or `{` is JSON in the words of the YAML.
    """
    problems = Problems("x-mock-fault")
    found = _read_all(Fault, _few(_nodes_of(text, problems), None, problems), problems)
    if not found and not problems.found:
        problems.add(None, "names no fault; for example disconnect;after=5")
    problems.raise_found()
    return found


def spelled(text: str) -> list[dict[str, Any]]:
    """The faults of such a text as plain data in the words of the YAML. Raises ScenarioError."""
    problems = Problems("fault")
    nodes = _nodes_of(text, problems)
    problems.raise_found()
    return [node.plain() for node in nodes]


def _nodes_of(text: str, problems: Problems) -> list[Node]:
    if not text.lstrip().startswith(("[", "{")):
        return [_of_header(part, problems) for part in text.split(",") if part.strip()]
    try:
        node = _checked(json.loads(text), problems)
    except (ValueError, RecursionError) as error:
        problems.add(None, f"is no JSON: {error}")
    if problems.found:
        return []
    return [_with_type(one, problems) for one in (node.value if isinstance(node.value, list) else [node])]


def _of_header(part: str, problems: Problems) -> Node:
    name, *pairs = (one.strip() for one in part.split(";"))
    keys: dict[str, Node] = {"type": Node(name)}
    for pair in pairs:
        key, _, value = (one.strip() for one in pair.partition("="))
        changed = keys
        if key.startswith(("message.set.", "message.remove")):
            key = key.removeprefix("message.")
            changed = keys.setdefault("message", Node({})).value
        if key.startswith("set."):
            changed.setdefault("set", Node({})).value[key[4:]] = _value(value, problems)
        elif key == "remove":
            changed.setdefault("remove", Node([])).value.append(Node(value))
        else:
            keys[key] = _value(value, problems) if key == "data" else _header_value(key, value)
    if "in" in keys:  # `after=5;in=tool_use` is a part of the place
        after = keys.get("after", Node(1))
        counted = after.value if isinstance(after.value, dict) else {"deltas": after}
        keys["after"] = Node({**counted, "in": keys.pop("in")})
    return Node(keys)


def _header_value(key: str, value: str) -> Node:
    if key in ("after", "at") and ":" in value:
        return _place(value)
    if key == "name" and value == "null":
        return Node(None)
    if key == "raw":
        return Node(value.replace("\\n", "\n").replace("\\r", "\r"))
    return Node(_WORDS.get(value, _number(value)))


_WORDS = {"true": True, "false": False}


def _value(text: str, problems: Problems) -> Node:
    """A value of JSON; what is none is a text."""
    try:
        data = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return Node(text)
    return _checked(data, problems)


def _checked(data: Any, problems: Problems) -> Node:
    """Plain data as nodes, if every client could read it."""
    try:
        wrong = next(all_unfit(data), None)
    except ValueError as error:
        wrong = ("$", str(error))
    if wrong is None:
        return wrap(data)
    problems.add(None, f"{wrong[0]}: {wrong[1]}")
    return Node(None)


def _place(value: str) -> Node:
    """`events:3`, `event:message_delta`, `time:2s`; several with `+`: `event:message_stop+bytes:20`."""
    pairs = (one.partition(":") for one in value.split("+"))
    return Node({counter: Node(_number(count)) for counter, _, count in pairs})


def _number(text: str) -> int | str:
    return int(text) if text.removeprefix("-").isdecimal() and len(text) < 12 else text

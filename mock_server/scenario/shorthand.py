"""The short ways to write turns, replies and errors, made long before anything is checked. Places are kept."""

from collections.abc import Callable

from mock_server.scenario.answer import ANSWER_KEYS
from mock_server.scenario.error import written_out
from mock_server.scenario.node import Mark, Node, Problems, kind, suggestion

# what `defaults:` may set for all scenarios of its file
DEFAULTS = ("when", "timing", "priority", "anchor", "at_end", "times", "rate_limits", "tags")


# what stands at the top level of a scenario without turns when it is an overlay
OVERLAID = ("fault", "gate")


def with_defaults(documents: list[Node], problems: Problems) -> list[Node]:
    """The scenarios of a file, each with what the file's `defaults:` document sets and it does not."""
    scenarios, defaults = [], None
    for at, document in enumerate(documents):
        if not isinstance(document.value, dict) or set(document.value) != {"defaults"}:
            scenarios.append(document)
        elif at:
            problems.add(document, "defaults: is the first document of its file")
        else:
            defaults = _defaults(document.value["defaults"], problems)
    return scenarios if defaults is None else [_completed(one, defaults) for one in scenarios]


def _defaults(node: Node, problems: Problems) -> Node:
    if not isinstance(node.value, dict):
        problems.add(node, f"expected a mapping of {', '.join(DEFAULTS)}; got {kind(node)}")
        return Node({})
    for key in node.value:
        if key not in DEFAULTS:
            text = f"'{key}' cannot be a default; expected one of {', '.join(DEFAULTS)}{suggestion(key, DEFAULTS)}"
            problems.add(node.keys.get(key) or node, text)
    return node


def _completed(scenario: Node, defaults: Node) -> Node:
    """A scenario with the defaults of its file. Conditions of both must hold; of two with one subject its own does."""
    if not isinstance(scenario.value, dict):
        return scenario
    whole = Node({**defaults.value, **scenario.value}, scenario.mark, {**defaults.keys, **scenario.keys})
    mine, common = scenario.value.get("when"), defaults.value.get("when")
    if mine is not None and common is not None and isinstance(mine.value, dict) and isinstance(common.value, dict):
        whole.value["when"] = Node({**common.value, **mine.value}, mine.mark, {**common.keys, **mine.keys})
    return whole


def expand(document: Node, problems: Problems) -> Node:
    """A scenario with every shorthand written out."""
    if not isinstance(document.value, dict):
        return document
    node = _copy(document)
    if "turns" not in node.value and any(key in node.value for key in ANSWER_KEYS if key not in OVERLAID):
        _one_turn(node)
    elif clash := [key for key in ANSWER_KEYS if key in node.value and "turns" in node.value]:
        problems.add(node.keys.get(clash[0]), f"'{clash[0]}' beside turns; put it inside a turn")
        for key in clash:
            del node.value[key]
    if isinstance((turns := node.value.get("turns", Node(None))).value, list):
        node.value["turns"] = Node([expand_answer(turn) for turn in turns.value], turns.mark)
    return node


def _copy(node: Node) -> Node:
    return Node(dict(node.value), node.mark, dict(node.keys))


def _one_turn(node: Node) -> None:
    """`reply:` at the top level: one turn that answers every position, unless it waits for a result."""
    moved = {key: node.value.pop(key) for key in ANSWER_KEYS if key in node.value}
    first = next(iter(moved))
    mark: Mark | None = node.keys.get(first) or node.mark
    turn = Node(moved, mark, {key: node.keys.get(key) for key in moved})
    node.value["turns"] = Node([turn], mark)
    node.keys["turns"] = mark
    if "at_end" not in node.value and not _waits(moved):
        node.value["at_end"] = Node("repeat", mark)


def _waits(answer: dict[str, Node]) -> bool:
    """Whether a reply ends in a call or a pause, so that the next position is another's."""
    written = answer.get("stop_reason", Node(None)).value
    blocks = answer.get("reply", Node(None)).value
    listed = blocks if isinstance(blocks, list) else [answer["reply"]] if "reply" in answer else []
    calls = any(isinstance(b.value, dict) and b.value.get("type", Node(None)).value == "tool_use" for b in listed)
    return written in ("tool_use", "pause_turn") or (written is None and calls)


def expand_answer(node: Node) -> Node:
    """A turn, case or attempt with every shorthand written out: a text, a block or a list of them is a reply."""
    if not isinstance(node.value, dict) or "type" in node.value:
        is_reply = isinstance(node.value, str | list | dict) or callable(node.value)
        node = Node({"reply": node}, node.mark) if is_reply else node
        if not isinstance(node.value, dict):
            return node
    node = _copy(node)
    if callable(node.value.get("reply", Node(None)).value):
        node.value["call"] = node.value.pop("reply")
    if isinstance(node.value.get("reply", Node(None)).value, list):
        _move_gates(node)
    for key, expand_one in _KEYS.items():
        if key in node.value:
            node.value[key] = expand_one(node.value[key])
    for key in ("cases", "attempts"):
        if isinstance((inner := node.value.get(key, Node(None))).value, list):
            node.value[key] = Node([expand_answer(item) for item in inner.value], inner.mark)
    return node


def _move_gates(answer: Node) -> None:
    """`- gate: NAME` between the blocks of a reply: a gate after so many blocks."""
    reply = answer.value["reply"]
    blocks: list[Node] = []
    gates: list[Node] = []
    for item in reply.value:
        if isinstance(item.value, dict) and "gate" in item.value and "type" not in item.value:
            after = Node({"blocks": Node(len(blocks), item.mark)}, item.mark)
            gates.append(Node({"after": after, **item.value}, item.mark, item.keys))
        else:
            blocks.append(item)
    if gates:
        given = answer.value.get("gate")
        listed = [] if given is None else given.value if isinstance(given.value, list) else [given]
        answer.value["reply"] = Node(blocks, reply.mark)
        answer.value["gate"] = Node([*gates, *listed], reply.mark)


def _reply(node: Node) -> Node:
    """A string is a text block, so is `{template: …}`; a single block is a list of one."""
    if isinstance(node.value, list):
        return Node([_block(item) for item in node.value], node.mark)
    return Node([_block(node)], node.mark)


def _block(node: Node) -> Node:
    if isinstance(node.value, str):
        return Node({"type": Node("text", node.mark), "text": node}, node.mark)
    if isinstance(node.value, dict) and set(node.value) == {"template"}:
        return Node({"type": Node("text", node.mark), **node.value}, node.mark, node.keys)
    return node


_KEYS: dict[str, Callable[[Node], Node]] = {"reply": _reply, "error": written_out}

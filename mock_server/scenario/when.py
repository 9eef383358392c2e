"""How `when` is written: a mapping of subjects, all of which must hold; `all`, `any` and `not` combine them.

A bare text is `contains` (folded) for what people say and a glob for names; a list means any of, for `tools` all of.
"""

from collections.abc import Mapping

from mock_server.scenario.match import All, AnyOf, Condition, Named, Not, Test
from mock_server.scenario.node import Node, Problems, kind
from mock_server.scenario.operators import Word
from mock_server.scenario.subjects import CASE_SUBJECTS, SUBJECTS
from mock_server.scenario.wanted import unknown


def read_when(node: Node, problems: Problems) -> Condition:
    """The `when` of a scenario: a mapping of subjects, or `named`."""
    if node.value == "named":
        return Named()
    return _condition(node, problems, SUBJECTS)


def read_case_when(node: Node, problems: Problems) -> Condition:
    """The `when` of a case, where `turn` and `attempt` can be asked too."""
    return _condition(node, problems, CASE_SUBJECTS)


_Subjects = Mapping[str, Word[Test]]
# what joins conditions, with its line of help
JOINED: Mapping[str, str] = {
    "all": "Every one of these conditions.",
    "any": "One of these conditions.",
    "not": "Not this condition.",
}


def _condition(node: Node, problems: Problems, subjects: _Subjects) -> Condition:
    if not isinstance(node.value, dict):
        problems.add(node, f"expected a mapping of conditions, got {kind(node)}; for example {{prompt: weather}}")
        return All()
    if not node.value:
        problems.add(node, "an empty when; leave the key out to answer everything")
    read = [_entry(node, key, item, problems, subjects) for key, item in node.value.items()]
    return read[0] if len(read) == 1 else All(tuple(read))


def _entry(node: Node, key: str, item: Node, problems: Problems, subjects: _Subjects) -> Condition:
    if key in subjects:
        return subjects[key].read(item, problems)
    if key == "not":
        return Not(_condition(item, problems, subjects))
    if key in ("all", "any"):
        if not isinstance(item.value, list) or not item.value:
            problems.add(item, f"expected a list of conditions, got {kind(item)}")
            return All()
        inner = tuple(_condition(one, problems, subjects) for one in item.value)
        return All(inner) if key == "all" else AnyOf(inner)
    if key in CASE_SUBJECTS:
        problems.add(node.keys.get(key) or node, f"'{key}' can be asked only in a case: here it is circular")
    else:
        unknown(node, key, (*subjects, *JOINED), "when", problems)
    return All()

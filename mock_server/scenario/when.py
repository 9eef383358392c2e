"""How `when` is written: a condition for each subject. To add a subject, add a function and its row in `SUBJECTS`.

A bare text is `contains` (folded) for what people say and a glob for names; a list means any of, for `tools` all of.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mock_server.protocol.request import Block, result_text
from mock_server.scenario.match import (
    OPERATORS,
    All,
    AnyOf,
    Condition,
    Facts,
    Named,
    Not,
    Operator,
    Said,
    Test,
    fold,
    glob,
    short,
)
from mock_server.scenario.node import Node, Problems, kind, suggestion

_Read = tuple[str, Callable[[Facts], bool]]


def _text_test(node: Node, problems: Problems, said: Callable[[Facts], Said]) -> _Read:
    """A bare string is `contains`, folded; `equals` holds for the whole text or any single part."""
    wanted = _bare_texts(node, problems)
    if wanted is not None:
        folded = [fold(text) for text in wanted]
        shown = " or ".join(f"contains {short(text)}" for text in wanted)
        if len(folded) == 1:
            return shown, lambda facts: folded[0] in said(facts).folded
        return shown, lambda facts: any(text in said(facts).folded for text in folded)
    operators = _operators(node, problems, OPERATORS)

    def test(facts: Facts) -> bool:
        value = said(facts)
        return all(op.test(value.text) or (op.name == "equals" and any(map(op.test, value.parts))) for op in operators)

    return " and ".join(map(str, operators)), test


def _name_test(node: Node, problems: Problems) -> tuple[str, Callable[[str], bool]]:
    """One name against a bare string (a glob), a list (any of) or operators."""
    wanted = _bare_texts(node, problems)
    if wanted is not None:
        tests = [glob(text, False) for text in wanted]
        return " or ".join(map(short, wanted)), lambda value: any(test(value) for test in tests)
    operators = _operators(node, problems, OPERATORS)
    return " and ".join(map(str, operators)), lambda value: all(op.test(value) for op in operators)


def _said(subject: str, node: Node, problems: Problems, said: Callable[[Facts], Said]) -> Test:
    shown, test = _text_test(node, problems, said)
    wanted = node.value.get("equals") if isinstance(node.value, dict) else None
    exact = None if wanted is None else (str(wanted.value), lambda facts: said(facts).text)
    return Test(subject, shown, test, lambda facts: short(said(facts).text), exact)


def _prompt(node: Node, problems: Problems) -> Test:
    return _said("prompt", node, problems, lambda facts: facts.prompt)


def _last_message(node: Node, problems: Problems) -> Test:
    return _said("last_message", node, problems, lambda facts: facts.asked.last_message)


def _system(node: Node, problems: Problems) -> Test:
    return _said("system", node, problems, lambda facts: facts.asked.system)


def _model(node: Node, problems: Problems) -> Test:
    said, test = _name_test(node, problems)
    return Test("model", said, lambda f: test(f.asked.request.model), lambda f: short(f.asked.request.model))


def _tools(node: Node, problems: Problems) -> Test:
    """A list means all of; each item is a glob or operators on a tool's name."""
    wanted = node.value if isinstance(node.value, list) else [node]
    if not wanted:
        problems.add(node, "an empty list of tools; expected names")
    tests = [_name_test(item, problems) for item in wanted]

    def test(facts: Facts) -> bool:
        names = facts.asked.request.tool_names
        return all(any(map(one, names)) for _, one in tests)

    said = " and ".join(text for text, _ in tests)
    return Test("tools", said, test, lambda f: ", ".join(f.asked.request.tool_names) or "no tools")


def _stream(node: Node, problems: Problems) -> Test:
    if not isinstance(node.value, bool):
        problems.add(node, f"expected true or false, got {kind(node)}")
    wanted = node.value
    return Test(
        "stream",
        str(wanted).lower(),
        lambda f: f.asked.request.stream is wanted,
        lambda f: str(f.asked.request.stream).lower(),
    )


def _header(node: Node, problems: Problems) -> Test:
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node, f"expected a mapping of header names, got {kind(node)}")
        return Test("header", "", lambda f: False, lambda f: "")
    tests = {name.lower(): _name_test(item, problems) for name, item in node.value.items()}

    def test(facts: Facts) -> bool:
        return all(name in facts.asked.headers and one(facts.asked.headers[name]) for name, (_, one) in tests.items())

    def got(facts: Facts) -> str:
        return ", ".join(f"{name}: {short(facts.asked.headers.get(name, 'absent'))}" for name in tests)

    return Test("header", ", ".join(f"{name}: {said}" for name, (said, _) in tests.items()), test, got)


def _tool_result(node: Node, problems: Problems) -> Test:
    """Holds when one result of the newest user turn meets all keys."""
    if isinstance(node.value, bool):
        wanted = node.value
        return Test(
            "tool_result",
            "a tool result" if wanted else "no tool result",
            lambda f: bool(f.asked.results) is wanted,
            _got_results,
        )
    known = ("of", "id", "is_error", "content")
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node, f"expected true, false or a mapping of {', '.join(known)}; got {kind(node)}")
        return Test("tool_result", "", lambda f: False, _got_results)
    tests: list[tuple[str, Callable[[Facts, Block], bool]]] = []
    for key, item in node.value.items():
        if key not in known:
            _unknown(node, key, known, "tool_result", problems)
        else:
            tests.append(_RESULT_KEYS[key](item, problems))

    def test(facts: Facts) -> bool:
        return any(all(one(facts, result) for _, one in tests) for result in facts.asked.results)

    return Test("tool_result", " and ".join(said for said, _ in tests), test, _got_results)


def _result_of(node: Node, problems: Problems) -> tuple[str, Callable[[Facts, Block], bool]]:
    said, test = _name_test(node, problems)
    return f"of {said}", lambda facts, block: test(facts.asked.called.get(block["tool_use_id"], ""))


def _result_id(node: Node, problems: Problems) -> tuple[str, Callable[[Facts, Block], bool]]:
    said, test = _name_test(node, problems)
    return f"id {said}", lambda facts, block: test(block["tool_use_id"])


def _result_error(node: Node, problems: Problems) -> tuple[str, Callable[[Facts, Block], bool]]:
    if not isinstance(node.value, bool):
        problems.add(node, f"expected true or false, got {kind(node)}")
    return f"is_error {node.value}".lower(), lambda facts, block: bool(block.get("is_error")) is node.value


def _result_content(node: Node, problems: Problems) -> tuple[str, Callable[[Facts, Block], bool]]:
    wanted = _bare_texts(node, problems)
    if wanted is not None:
        folded = [fold(text) for text in wanted]
        said = " or ".join(f"contains {short(text)}" for text in wanted)
        return said, lambda facts, block: any(text in fold(result_text(block)) for text in folded)
    operators = _operators(node, problems, OPERATORS)
    return " and ".join(map(str, operators)), lambda facts, block: all(op.test(result_text(block)) for op in operators)


_RESULT_KEYS = {"of": _result_of, "id": _result_id, "is_error": _result_error, "content": _result_content}


def _got_results(facts: Facts) -> str:
    shown = [
        f"a result of {facts.asked.called.get(block['tool_use_id'], 'an unknown tool')} "
        f"{'(error) ' if block.get('is_error') else ''}{short(result_text(block))}"
        for block in facts.asked.results
    ]
    return ", ".join(shown) or "no tool result"


def _number(subject: str, value: Callable[[Facts], int]) -> Callable[[Node, Problems], Test]:
    def read(node: Node, problems: Problems) -> Test:
        wanted = node.value if isinstance(node.value, list) else [node]
        numbers = [one.value for one in wanted]
        if not numbers or not all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in numbers):
            problems.add(node, f"expected a number counted from 1, or a list of them; got {kind(node)}")
        said = " or ".join(map(str, numbers))
        return Test(subject, said, lambda f: value(f) in numbers, lambda f: str(value(f)))

    return read


SUBJECTS: Mapping[str, Callable[[Node, Problems], Test]] = {
    "prompt": _prompt,
    "last_message": _last_message,
    "system": _system,
    "model": _model,
    "tools": _tools,
    "tool_result": _tool_result,
    "stream": _stream,
    "header": _header,
}
# only where the place in the script is known already
CASE_SUBJECTS: Mapping[str, Callable[[Node, Problems], Test]] = {
    **SUBJECTS,
    "turn": _number("turn", lambda facts: facts.turn),
    "attempt": _number("attempt", lambda facts: facts.attempt),
}


# -- reading ------------------------------------------------------------------------------------------------------


def read_when(node: Node, problems: Problems) -> Condition:
    """The `when` of a scenario: a mapping of subjects, or `named`."""
    if node.value == "named":
        return Named()
    return _condition(node, problems, SUBJECTS)


def read_case_when(node: Node, problems: Problems) -> Condition:
    """The `when` of a case, where `turn` and `attempt` can be asked too."""
    return _condition(node, problems, CASE_SUBJECTS)


_Subjects = Mapping[str, Callable[[Node, Problems], Test]]


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
        return subjects[key](item, problems)
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
        _unknown(node, key, (*subjects, "all", "any", "not"), "when", problems)
    return All()


def _unknown(node: Node, key: str, known: Sequence[str], noun: str, problems: Problems) -> None:
    text = f"unknown key '{key}' in {noun}; expected one of {', '.join(known)}{suggestion(key, known)}"
    problems.add(node.keys.get(key) or node, text)


def _bare_texts(node: Node, problems: Problems) -> list[str] | None:
    """The texts of a bare string or a list of them (any of); None when operators are meant instead."""
    if isinstance(node.value, dict):
        return None
    items = node.value if isinstance(node.value, list) else [node]
    if not items:
        problems.add(node, "an empty list matches nothing; expected texts")
    for item in items:
        _require_text(item, problems)
    return [str(item.value) for item in items]


def _require_text(node: Node, problems: Problems) -> bool:
    if not isinstance(node.value, str):
        quoted = f'; write it in quotes: "{node.value}"' if isinstance(node.value, int | float) else ""
        problems.add(node, f"expected text, got {kind(node)}{quoted}")
    elif not node.value.strip():
        problems.add(node, "an empty pattern matches everything; leave the condition out instead")
    else:
        return True
    return False


def _operators(node: Node, problems: Problems, known: Mapping[str, Any]) -> list[Operator]:
    ignore_case = node.value.get("ignore_case", Node(False))
    if not isinstance(ignore_case.value, bool):
        problems.add(ignore_case, f"expected true or false, got {kind(ignore_case)}")
    found = []
    for key, item in node.value.items():
        if key == "ignore_case":
            continue
        if key not in known:
            _unknown(node, key, (*known, "ignore_case"), "the condition", problems)
        elif _require_text(item, problems):
            try:
                found.append(Operator(key, item.value, known[key](item.value, bool(ignore_case.value))))
            except re.error as error:
                problems.add(item, f"not a regular expression: {error}")
    if not found and set(node.value) <= {"ignore_case"}:
        problems.add(node, f"no operator; expected one of {', '.join(known)}")
    return found

"""The subjects of `when`, one function each, and how `when` is written: a mapping of subjects, all of which must hold;
`all`, `any` and `not` combine them. To add a subject, add a function and its row in `SUBJECTS`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from mock_server.protocol.errors import excerpt
from mock_server.protocol.expression import OverLimit
from mock_server.protocol.profile import OPERATIONS
from mock_server.protocol.request import SECRET_HEADERS, Block, result_text
from mock_server.scenario import paths
from mock_server.scenario.conditions import All, AnyOf, Condition, Exact, Not, OnlyNamed, Test, read_wanted
from mock_server.scenario.conversation import ConditionContext, SearchedText
from mock_server.scenario.node import Node, Problems, is_int, kind, one_of, unlike
from mock_server.scenario.operators import (
    NAME,
    PATHS,
    TEXT,
    TRUTH,
    Shape,
    Wanted,
    Word,
    by_operators,
    far,
    looks_like,
    read_name,
    read_paths,
    read_text,
    read_texts,
    read_value,
    short,
)
from mock_server.scenario.paths import MISSING

# -- tool_result: a result in the newest user turn, by its tool, its call and its content -----------------------------

_OfResult = tuple[str, Callable[[ConditionContext, Block], bool], Wanted | None]


def tool_result(node: Node, problems: Problems) -> Test:
    """Holds when one result of the newest user turn meets all keys."""
    if isinstance(node.value, bool):
        wanted = node.value
        holds = lambda facts: bool(facts.view.results) is wanted  # noqa: E731
        return Test("tool_result", "a tool result" if wanted else "no tool result", holds, _got_results, of_shape=True)
    known = tuple(RESULT_KEYS)
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node, f"expected true, false or a mapping of {', '.join(known)}; got {kind(node)}")
        return Test("tool_result", "", lambda facts: False, _got_results)
    tests: list[_OfResult] = []
    for key, item in node.value.items():
        if key not in known:
            problems.unknown(node, key, known, "tool_result")
        else:
            tests.append(RESULT_KEYS[key].read(item, problems))

    def meeting(facts: ConditionContext) -> Iterable[Block]:
        return (result for result in facts.view.results if all(test(facts, result) for _, test, _ in tests))

    def captures(facts: ConditionContext) -> Mapping[str, str]:
        result = next(iter(meeting(facts)), None)
        texts = [one for _, _, one in tests if one is not None]
        return {} if result is None else {k: v for one in texts for k, v in one.captures(result_text(result)).items()}

    return Test(
        "tool_result",
        " and ".join(description for description, _, _ in tests),
        lambda facts: any(True for _ in meeting(facts)),
        _got_results,
        far=lambda facts: min(
            [sum(not test(facts, one) for _, test, _ in tests) / len(tests) for one in facts.view.results], default=1.0
        ),
        captures=captures,
        of_result=True,
        groups=frozenset(name for _, _, one in tests if one is not None for name in one.groups),
    )


def _result_of(node: Node, problems: Problems) -> _OfResult:
    wanted = read_name(node, problems)
    of = lambda facts, block: wanted.test(facts.view.called.get(block["tool_use_id"], ""))  # noqa: E731
    return f"of {wanted.description}", of, None


def _result_for(node: Node, problems: Problems) -> _OfResult:
    """The input of the call that the result answers, by paths: so that one of several parallel calls can be meant."""
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node, f"expected a mapping of paths into the call's input, got {kind(node)}")
        return "", lambda facts, block: False, None
    wanted = read_paths(node, problems)
    steps = {path: paths.parse(path) or () for path in wanted}

    def test(facts: ConditionContext, block: Block) -> bool:
        input = facts.view.calls.get(block["tool_use_id"], {}).get("input")
        return all(any(map(one.test, paths.find(input, steps[path]))) for path, one in wanted.items())

    return "for " + ", ".join(f"{path} {one.description}" for path, one in wanted.items()), test, None


def _result_id(node: Node, problems: Problems) -> _OfResult:
    wanted = read_name(node, problems)
    return f"id {wanted.description}", lambda facts, block: wanted.test(block["tool_use_id"]), None


def _result_error(node: Node, problems: Problems) -> _OfResult:
    if not isinstance(node.value, bool):
        problems.add(node, unlike(node, "true or false"))
    return f"is_error {node.value}".lower(), lambda facts, block: bool(block.get("is_error")) is node.value, None


def _result_content(node: Node, problems: Problems) -> _OfResult:
    wanted = read_text(node, problems)
    return wanted.description, lambda facts, block: wanted.test(SearchedText([result_text(block)])), wanted


RESULT_KEYS: Mapping[str, Word[_OfResult]] = {
    "of": Word(_result_of, "The tool's name or a glob.", TEXT),
    "for": Word(_result_for, "The input of the call it answers: {city: Paris}.", PATHS),
    "id": Word(_result_id, "The call's id.", TEXT),
    "is_error": Word(_result_error, "Whether the tool failed.", TRUTH),
    "content": Word(_result_content, "The text of the result.", TEXT),
}


def _got_results(facts: ConditionContext) -> str:
    shown = [
        f"a result of {facts.view.called.get(block['tool_use_id'], 'an unknown tool')} "
        f"{'(error) ' if block.get('is_error') else ''}{short(result_text(block))}"
        for block in facts.view.results
    ]
    return ", ".join(shown) or "no tool result"


# -- the other subjects -----------------------------------------------------------------------------------------------


def _text_test(subject: str, place: str, node: Node, problems: Problems) -> Test:
    """The test of a text that stands at this place in the context."""
    text: Callable[[ConditionContext], SearchedText] = attrgetter(place)
    wanted = read_text(node, problems)
    equal = node.value.get("equals") if isinstance(node.value, dict) else None
    exact = None if equal is None else (str(equal.value), lambda facts: text(facts).text)
    return Test(
        subject,
        wanted.description,
        (lambda facts: wanted.texts[0] in text(facts).folded)
        if len(wanted.texts) == 1
        else lambda facts: wanted.test(text(facts)),
        lambda facts: short(text(facts).text) + looks_like(wanted, text(facts)),
        exact,
        lambda facts: far(wanted, text(facts)),
        lambda facts: wanted.captures(text(facts).text),
        wanted.groups,
        wanted.needs if subject == "prompt" else (),
        subject == "system",
        last_needs=wanted.needs if subject == "last_message" else (),
        needs_suffice=subject == "prompt" and bool(wanted.texts),
    )


def _model(node: Node, problems: Problems) -> Test:
    wanted = read_name(node, problems)
    return Test(
        "model",
        wanted.description,
        lambda facts: wanted.test(facts.view.request.model),
        lambda facts: short(facts.view.request.model),
        of_shape=True,
    )


def _tools(node: Node, problems: Problems) -> Test:
    """A list means all of; each item is a glob or operators on a tool's name."""
    listed = node.value if isinstance(node.value, list) else [node]
    if not listed:
        problems.add(node, "an empty list of tools; expected names")
    wanted = [read_name(item, problems) for item in listed]

    def missing(facts: ConditionContext) -> int:
        names = facts.view.request.tool_names
        return sum(not any(map(one.test, names)) for one in wanted)

    return Test(
        "tools",
        " and ".join(one.description for one in wanted),
        lambda facts: not missing(facts),
        lambda facts: ", ".join(facts.view.request.tool_names) or "no tools",
        far=lambda facts: missing(facts) / max(1, len(wanted)),
        of_shape=True,
    )


def _tool_choice(node: Node, problems: Problems) -> Test:
    """A bare text is the type; a mapping asks for the type, the name or both."""
    keys: Mapping[str, Any] = {"type": node} if not isinstance(node.value, dict) else node.value
    known = ("type", "name", "disable_parallel_tool_use")
    wanted: dict[str, Wanted] = {}
    for key, item in keys.items():
        if key not in known:
            problems.unknown(node, key, known, "tool_choice")
        else:
            wanted[key] = (read_value if isinstance(item.value, bool) else read_name)(item, problems)
    if not keys:
        problems.add(node, "an empty tool_choice; expected auto, any, tool or none")

    def chosen(facts: ConditionContext) -> Mapping[str, Any]:
        choice = facts.view.request.tool_choice
        return choice if choice else {"type": "auto" if facts.view.request.tools else "none"}

    return Test(
        "tool_choice",
        ", ".join(f"{key}: {one.description}" for key, one in wanted.items()),
        lambda facts: all(one.test(chosen(facts).get(key, MISSING)) for key, one in wanted.items()),
        lambda facts: ", ".join(f"{key}: {short(value)}" for key, value in chosen(facts).items()),
        of_shape=True,
    )


def _stream(node: Node, problems: Problems) -> Test:
    if not isinstance(node.value, bool):
        problems.add(node, unlike(node, "true or false"))
    wanted = node.value
    return Test(
        "stream",
        str(wanted).lower(),
        lambda facts: facts.view.request.stream is wanted,
        lambda facts: str(facts.view.request.stream).lower(),
        of_shape=True,
    )


# what a request can have: the types of its content blocks, and one thing that hangs on them
HAS = (
    *("text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "tool_result"),
    *("server_tool_use", "web_search_tool_result", "mcp_tool_use", "container_upload", "compaction", "cache_control"),
)


def _has(node: Node, problems: Problems) -> Test:
    """The kinds of content anywhere in the conversation, those inside tool results too; a list means any of."""
    wanted = read_texts(node, problems) or []
    for text in wanted:
        if text not in HAS:
            problems.add(node, f"unknown kind of content '{text}'{one_of(text, HAS)}")
    if isinstance(node.value, dict):
        problems.add(node, f"expected a word or a list of them: {', '.join(HAS)}")

    def found(facts: ConditionContext) -> frozenset[str]:
        kinds = facts.view.request.kinds
        if any(isinstance(message["content"], str) for message in facts.view.request.messages):
            kinds = kinds | {"text"}
        return kinds | {"cache_control"} if "cache_control" in wanted and _is_marked(facts.view.request.body) else kinds

    return Test(
        "has",
        " or ".join(wanted),
        lambda facts: not found(facts).isdisjoint(wanted),
        lambda facts: ", ".join(sorted(found(facts))),
    )


def _is_marked(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get("cache_control") is not None or any(map(_is_marked, value.values()))
    return isinstance(value, list) and any(map(_is_marked, value))


def _header(node: Node, problems: Problems) -> Test:
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node, f"expected a mapping of header names, got {kind(node)}")
        return Test("header", "", lambda facts: False, lambda facts: "")
    wanted = {name.lower(): read_name(item, problems) for name, item in node.value.items()}

    def shown(value: Any, name: str) -> str:
        return "absent" if value is MISSING else "(hidden)" if name in SECRET_HEADERS else short(value)

    return Test(
        "header",
        ", ".join(f"{name}: {one.description}" for name, one in wanted.items()),
        lambda facts: all(one.test(facts.view.headers.get(name, MISSING)) for name, one in wanted.items()),
        lambda facts: ", ".join(f"{name}: {shown(facts.view.headers.get(name, MISSING), name)}" for name in wanted),
        captures=lambda facts: {
            group: text
            for name, one in wanted.items()
            for group, text in one.captures(facts.view.headers.get(name, "")).items()
        },
        groups=frozenset(group for one in wanted.values() for group in one.groups),
        headers=tuple(wanted),
        exact_at=_exact("header", wanted, lambda facts, name: (facts.view.headers.get(name),)),
    )


def _exact(
    subject: str, wanted: Mapping[str, Wanted], read: Callable[[ConditionContext, str], Sequence[Any]]
) -> Exact | None:
    """The first of several places where no other text may stand than those that are wanted."""
    place = next((place for place, one in wanted.items() if one.exact), None)
    return None if place is None else Exact(f"{subject} {place}", lambda facts: read(facts, place), wanted[place].exact)


def _body(node: Node, problems: Problems) -> Test:
    """Paths into the JSON of the request; a path with `[*]` holds when one of the values it leads to does."""
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node, f"expected a mapping of paths such as {{metadata.user_id: alice}}, got {kind(node)}")
        return Test("body", "", lambda facts: False, lambda facts: "")
    wanted = read_paths(node, problems)
    readers = {path: paths.reader(paths.parse(path) or ()) for path in wanted}

    def found(facts: ConditionContext, path: str) -> Sequence[Any]:
        return readers[path](facts.view.request.body)

    def missing(facts: ConditionContext) -> int:
        return sum(not any(map(one.test, found(facts, path))) for path, one in wanted.items())

    def shown(path: str, value: Any) -> str:
        return short(value) + (looks_like(wanted[path], value) if isinstance(value, str) else "")

    return Test(
        "body",
        ", ".join(f"{path} {one.description}" for path, one in wanted.items()),
        lambda facts: all(any(map(one.test, found(facts, path))) for path, one in wanted.items()),
        lambda facts: ", ".join(
            f"{path}: {' | '.join(shown(path, one) for one in found(facts, path)[:5])}" for path in wanted
        ),
        far=lambda facts: missing(facts) / max(1, len(wanted)),
        captures=lambda facts: {
            name: text
            for path, one in wanted.items()
            for each in found(facts, path)
            if isinstance(each, str)
            for name, text in one.captures(each).items()
        },
        groups=frozenset(name for one in wanted.values() for name in one.groups),
        exact_at=_exact("body", wanted, found),
    )


def _schema(node: Node, problems: Problems) -> Test:
    """A JSON Schema that the whole body must fit."""
    from mock_server.protocol.json_schema import Checker, SchemaProblem  # jsonschema: only where a scenario asks

    place = problems.place(node)
    try:
        checker = Checker(node.plain(), of_client=False)
        checker.violations({})
    except (SchemaProblem, OverLimit) as problem:
        problems.add(node, f"not a JSON Schema: {problem}")
        return Test("schema", "", lambda facts: False, lambda facts: "")

    def first(facts: ConditionContext) -> str:
        try:
            found = checker.violations(facts.view.request.body, limit=1)
        except (SchemaProblem, OverLimit) as problem:
            raise OverLimit(f"{place}: the schema cannot judge this request: {problem}") from None
        return found[0] if found else ""

    return Test("schema", "a body that fits the schema", lambda facts: not first(facts), first)


def _number(subject: str, value: Callable[[ConditionContext], int]) -> Callable[[Node, Problems], Test]:
    """A number counted from 1, a list of them, or operators."""

    def read(node: Node, problems: Problems) -> Test:
        if isinstance(node.value, dict):
            wanted = by_operators(node, problems)
            return Test(subject, wanted.description, lambda f: wanted.test(value(f)), lambda f: str(value(f)))
        listed = node.value if isinstance(node.value, list) else [node]
        numbers = [one.value for one in listed]
        if not numbers or not all(is_int(one) and one > 0 for one in numbers):
            problems.add(node, f"expected a number counted from 1, or a list of them; got {kind(node)}")
        description = " or ".join(map(str, numbers))
        return Test(subject, description, lambda f: value(f) in numbers, lambda f: str(value(f)))

    return read


# -- where a request goes: what a scenario is for, rather than what its requests say ----------------------------------

_DONE = tuple(name for methods in OPERATIONS.values() for name in methods.values())
# what can be named: every operation, and every family, which is all of its operations
ENDPOINTS: Mapping[str, frozenset[str]] = {
    name: frozenset(one for one in _DONE if name in (one, one.partition(".")[0]))
    for name in dict.fromkeys(name for one in _DONE for name in (one.partition(".")[0], one))
}
# those that reply with a message: scenarios that name no endpoint are for them
MESSAGE_ENDPOINTS = frozenset(("messages", "complete"))
# those whose requests have a prompt; of others only these subjects can be asked
PROMPT_ENDPOINTS = MESSAGE_ENDPOINTS | {"count_tokens"}
OF_ALL = ("endpoint", "header", "state")


def _endpoint(node: Node, problems: Problems) -> Test:
    names = read_texts(node, problems) or []
    wanted: frozenset[str] = frozenset()
    for name in names:
        if name not in ENDPOINTS:
            problems.add(node, f"no endpoint '{name}'{one_of(name, ENDPOINTS)}")
        wanted |= ENDPOINTS.get(name, frozenset())
    if isinstance(node.value, dict):
        problems.add(node, f"expected the name of an endpoint or a list of them: {', '.join(ENDPOINTS)}")
    return Test(
        "endpoint",
        " or ".join(names),
        lambda facts: facts.view.endpoint in wanted,
        lambda facts: facts.view.endpoint,
        endpoints=wanted,
    )


def _state(node: Node, problems: Problems) -> Test:
    wanted = read_wanted(node, problems)
    return Test(
        "state",
        ", ".join(f"{name} {' or '.join(values)}" for name, values in wanted.items()),
        lambda facts: all(facts.view.states.get(name) in values for name, values in wanted.items()),
        lambda facts: ", ".join(f"{name} {facts.view.states.get(name, 'unknown')}" for name in wanted),
        far=lambda facts: (
            sum(facts.view.states.get(name) not in values for name, values in wanted.items()) / max(1, len(wanted))
        ),
    )


_KINDS: Shape = {"enum": list(HAS)}
_STATED: Shape = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]},
}
_ENDPOINTS: Shape = {"enum": list(ENDPOINTS)}
_PLACE: Shape = {"type": "integer", "minimum": 1}
_COUNTED: Shape = {"anyOf": [_PLACE, {"type": "array", "items": _PLACE, "minItems": 1}, {"$ref": "#/$defs/operators"}]}


def _keys(keys: Mapping[str, Shape], **more: Any) -> Shape:
    return {"type": "object", "properties": keys, "additionalProperties": False, **more}


SUBJECTS: Mapping[str, Word[Test]] = {
    "prompt": Word(
        partial(_text_test, "prompt", "prompt"),
        "The text of the human turn: a text is looked for, whatever the case and white space.",
        TEXT,
    ),
    "last_message": Word(
        partial(_text_test, "last_message", "view.last_message"),
        "The text of the newest turn, tool results included.",
        TEXT,
    ),
    "system": Word(partial(_text_test, "system", "view.system"), "The system prompt.", TEXT),
    "model": Word(_model, "The model as the client spells it: a name or a glob.", TEXT),
    "tools": Word(
        _tools,
        "Tools on offer, by name or glob: a list means all of them.",
        {"anyOf": [NAME, {"type": "array", "items": TEXT, "minItems": 1}, {"$ref": "#/$defs/operators"}]},
    ),
    "tool_choice": Word(
        _tool_choice,
        "auto, any, tool or none; or {type: tool, name: x}.",
        {
            "anyOf": [
                {"not": {"type": "object"}},
                _keys({"type": TEXT, "name": TEXT, "disable_parallel_tool_use": TRUTH}),
            ]
        },
    ),
    "tool_result": Word(
        tool_result,
        "A result in the newest turn: {of: tool, for: {city: Paris}, is_error: true, content: text}.",
        {
            "if": {"type": "object"},
            "then": _keys(
                {key: {**one.shape, "description": one.about} for key, one in RESULT_KEYS.items()}, minProperties=1
            ),
            "else": TRUTH,
        },
    ),
    "stream": Word(_stream, "Whether a stream is asked for.", TRUTH),
    "has": Word(
        _has,
        "A kind of content anywhere in the conversation: image, document, thinking, …",
        {"anyOf": [_KINDS, {"type": "array", "items": _KINDS, "minItems": 1}]},
    ),
    "header": Word(
        _header,
        "Headers by name: {x-team: search}.",
        {"type": "object", "minProperties": 1, "additionalProperties": TEXT},
    ),
    "body": Word(_body, "Values at paths into the JSON: {max_tokens: {gt: 1000}, messages[0].role: user}.", PATHS),
    "schema": Word(_schema, "A JSON Schema that the body must fit.", {}),
    "state": Word(_state, "The states of the session: {service: down}; a list means any of.", _STATED),
    "endpoint": Word(
        _endpoint,
        "What was asked for; without it /v1/messages: count_tokens, models, batches.results, …; a list means any of.",
        {"anyOf": [_ENDPOINTS, {"type": "array", "items": _ENDPOINTS, "minItems": 1}]},
    ),
}
# only where the place in the script is known already
CASE_SUBJECTS: Mapping[str, Word[Test]] = {
    **{name: word for name, word in SUBJECTS.items() if name != "endpoint"},
    "turn": Word(_number("turn", lambda facts: facts.turn), "The turn of the script, counted from 1.", _COUNTED),
    "attempt": Word(
        _number("attempt", lambda facts: facts.attempt), "Which time this request comes, counted from 1.", _COUNTED
    ),
}


# -- how `when` is written --------------------------------------------------------------------------------------------
#
# A bare text is `contains` (folded) for what people say and a glob for names; a list means any of, for `tools` all of.


def read_when(node: Node, problems: Problems) -> Condition:
    """The `when` of a scenario: a mapping of subjects, or `named`."""
    if node.value == "named":
        return OnlyNamed()
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
        example = excerpt(node.value, 40) if isinstance(node.value, str) and node.value.strip() else "weather"
        problems.add(node, f"expected a mapping of conditions, got {kind(node)}; for example {{prompt: {example}}}")
        return All()
    if not node.value:
        problems.add(node, "an empty when; leave the key out to answer everything")
    read = [_entry(node, key, item, problems, subjects) for key, item in node.value.items()]
    return read[0] if len(read) == 1 else All(tuple(read))


def _entry(node: Node, key: str, item: Node, problems: Problems, subjects: _Subjects) -> Condition:
    if key in subjects:
        return subjects[key].read(item, problems)
    if key == "not":
        return Not(_condition(item, problems, _inner(subjects)))
    if key in ("all", "any"):
        if not isinstance(item.value, list) or not item.value:
            problems.add(item, f"expected a list of conditions, got {kind(item)}")
            return All()
        inner = tuple(_condition(one, problems, subjects if key == "all" else _inner(subjects)) for one in item.value)
        return All(inner) if key == "all" else AnyOf(inner)
    if key in CASE_SUBJECTS:
        problems.add_key(node, key, f"'{key}' can be asked only in a case: here it is circular")
    elif key == "endpoint":
        text = (
            "'endpoint' says what a scenario is for: it stands in its `when`, at the top or in `all`, and nowhere else"
        )
        problems.add_key(node, key, text)
    else:
        problems.unknown(node, key, (*subjects, *JOINED), "when")
    return All()


def _inner(subjects: _Subjects) -> _Subjects:
    """What can be asked where one of several conditions is enough, or must not hold."""
    return {name: word for name, word in subjects.items() if name != "endpoint"}

"""The subject `tool_result`: a result in the newest user turn, by its tool, its call and its content."""

from collections.abc import Callable, Iterable, Mapping

from mock_server.protocol.request import Block, result_text
from mock_server.scenario import paths
from mock_server.scenario.match import Facts, Said, Test
from mock_server.scenario.node import Node, Problems, kind
from mock_server.scenario.operators import TRUTH, Word, short
from mock_server.scenario.wanted import PATHS, TEXT, Wanted, read_name, read_paths, read_text, unknown

_OfResult = tuple[str, Callable[[Facts, Block], bool], Wanted | None]


def tool_result(node: Node, problems: Problems) -> Test:
    """Holds when one result of the newest user turn meets all keys."""
    if isinstance(node.value, bool):
        wanted = node.value
        said = "a tool result" if wanted else "no tool result"
        return Test("tool_result", said, lambda facts: bool(facts.asked.results) is wanted, _got_results, of_shape=True)
    known = tuple(RESULT_KEYS)
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node, f"expected true, false or a mapping of {', '.join(known)}; got {kind(node)}")
        return Test("tool_result", "", lambda facts: False, _got_results)
    tests: list[_OfResult] = []
    for key, item in node.value.items():
        if key not in known:
            unknown(node, key, known, "tool_result", problems)
        else:
            tests.append(RESULT_KEYS[key].read(item, problems))

    def meeting(facts: Facts) -> Iterable[Block]:
        return (result for result in facts.asked.results if all(test(facts, result) for _, test, _ in tests))

    def captures(facts: Facts) -> Mapping[str, str]:
        result = next(iter(meeting(facts)), None)
        texts = [one for _, _, one in tests if one is not None]
        return {} if result is None else {k: v for one in texts for k, v in one.captures(result_text(result)).items()}

    return Test(
        "tool_result",
        " and ".join(said for said, _, _ in tests),
        lambda facts: any(True for _ in meeting(facts)),
        _got_results,
        far=lambda facts: min(
            [sum(not test(facts, one) for _, test, _ in tests) / len(tests) for one in facts.asked.results], default=1.0
        ),
        captures=captures,
        of_result=True,
        groups=frozenset(name for _, _, one in tests if one is not None for name in one.groups),
    )


def _result_of(node: Node, problems: Problems) -> _OfResult:
    wanted = read_name(node, problems)
    of = lambda facts, block: wanted.test(facts.asked.called.get(block["tool_use_id"], ""))  # noqa: E731
    return f"of {wanted.said}", of, None


def _result_for(node: Node, problems: Problems) -> _OfResult:
    """The input of the call that the result answers, by paths: so that one of several parallel calls can be meant."""
    if not isinstance(node.value, dict) or not node.value:
        problems.add(node, f"expected a mapping of paths into the call's input, got {kind(node)}")
        return "", lambda facts, block: False, None
    wanted = read_paths(node, problems)
    steps = {path: paths.parse(path) or () for path in wanted}

    def test(facts: Facts, block: Block) -> bool:
        given = facts.asked.calls.get(block["tool_use_id"], {}).get("input")
        return all(any(map(one.test, paths.find(given, steps[path]))) for path, one in wanted.items())

    return "for " + ", ".join(f"{path} {one.said}" for path, one in wanted.items()), test, None


def _result_id(node: Node, problems: Problems) -> _OfResult:
    wanted = read_name(node, problems)
    return f"id {wanted.said}", lambda facts, block: wanted.test(block["tool_use_id"]), None


def _result_error(node: Node, problems: Problems) -> _OfResult:
    if not isinstance(node.value, bool):
        problems.add(node, f"expected true or false, got {kind(node)}")
    return f"is_error {node.value}".lower(), lambda facts, block: bool(block.get("is_error")) is node.value, None


def _result_content(node: Node, problems: Problems) -> _OfResult:
    wanted = read_text(node, problems)
    return wanted.said, lambda facts, block: wanted.test(Said([result_text(block)])), wanted


RESULT_KEYS: Mapping[str, Word[_OfResult]] = {
    "of": Word(_result_of, "The tool's name or a glob.", TEXT),
    "for": Word(_result_for, "The input of the call it answers: {city: Paris}.", PATHS),
    "id": Word(_result_id, "The call's id.", TEXT),
    "is_error": Word(_result_error, "Whether the tool failed.", TRUTH),
    "content": Word(_result_content, "The text of the result.", TEXT),
}


def _got_results(facts: Facts) -> str:
    shown = [
        f"a result of {facts.asked.called.get(block['tool_use_id'], 'an unknown tool')} "
        f"{'(error) ' if block.get('is_error') else ''}{short(result_text(block))}"
        for block in facts.asked.results
    ]
    return ", ".join(shown) or "no tool result"

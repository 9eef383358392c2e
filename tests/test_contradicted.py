"""A test whose scripted reply contradicts its request fails at its end, on a server of its own and on one elsewhere."""

from collections.abc import Iterator

import pytest

from mock_server import MockServer

pytest_plugins = ["pytester"]

HEAD = """
import json, urllib.request
import pytest
from mock_server import reply, thinking, tool_use

TOOL = {"name": "render", "input_schema": {"type": "object"}}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}

def send(server, path, body):
    headers = {"x-api-key": server.api_key, "anthropic-version": "2023-06-01"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        return answer.read(), answer.headers

def asked(**more):
    return {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "pie"}], **more}

def ask(server, **more):
    return send(server, "/v1/messages", asked(**more))[1]
"""
QUIET = ("-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio", "-p", "no:rerunfailures")


@pytest.fixture(params=["here", "elsewhere"])
def arguments(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """What pytest is told, so that a test has a server of its own, or a session of a running one."""
    if request.param == "here":
        yield ()
        return
    with MockServer(unmatched="generate", contradictions="warn") as server:
        yield (f"--mock-server-url={server.url}",)


def run(pytester: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(HEAD + source)
    return pytester.runpytest_subprocess("-q", "-rN", *QUIET, *arguments)


CONTRADICTING = """
@pytest.mark.parametrize("content,more", [
    (tool_use("query", {"x": 1}), {}),
    (tool_use("query", {"x": 1}), {"tools": [TOOL]}),
    (tool_use("render"), {"tools": [TOOL], "tool_choice": {"type": "none"}}),
    ("no", {"tools": [TOOL], "tool_choice": {"type": "any"}}),
    ("no", {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "render"}}),
    ([tool_use("render"), tool_use("render")], {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
    (tool_use("render"), {"tools": [{**TOOL, "strict": True, "input_schema": CITY}]}),
    ("no JSON", {"output_config": {"format": {"type": "json_schema", "schema": CITY}}}),
    ([thinking("hm"), "x"], {"thinking": {"type": "disabled"}}),
])
@pytest.mark.mock_settings(profile="anthropic")
def test_it(mock_server, content, more):
    mock_server.add(content)
    headers = ask(mock_server, **more)
    assert headers["x-mock-warning"].startswith("scenario 'added-1' turn 1 ")
    assert mock_server.journal.last.contradicted
    assert mock_server.journal.last.contradictions == (headers["x-mock-warning"],)
"""
SENTENCES = [
    "calls 'query', which the request does not offer (it has none)",
    "calls 'query', which the request does not offer (there is render)",
    "calls a tool although tool_choice is none",
    "calls no tool although tool_choice is any",
    "does not call 'render' although tool_choice wants it",
    "calls 2 tools at once although disable_parallel_tool_use is set",
    "calls 'render', a strict tool, with an input that breaks its schema: $: 'city' is a required property",
    "answers with a text that is no JSON, as output_config.format has it",
    "thinks although thinking is disabled",
]


def test_it_fails_at_its_end_with_the_sentence(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    result = run(pytester, CONTRADICTING, *arguments)

    result.assert_outcomes(failed=len(SENTENCES))
    told = [line for line in result.outlines if line.startswith("POST /v1/messages: ")]
    for sentence in SENTENCES:
        assert f"POST /v1/messages: scenario 'added-1' turn 1 {sentence}" in told
    assert result.outlines.count("1 reply contradicts its request") == len(SENTENCES)  # the report does not repeat it
    result.stdout.fnmatch_lines(["Mend the scenario, or say that it is meant: `contradicts: true` in it, *"])


PASSING = """
def test_what_is_not_asked_for_is_only_told(mock_server):
    mock_server.add([thinking("hm"), "x"])
    assert "does not ask for it" in ask(mock_server)["x-mock-warning"]

def test_a_test_that_means_it(mock_server):
    mock_server.add(tool_use("query"), contradicts=True)
    assert "x-mock-warning" not in ask(mock_server)

def test_a_reply_that_means_it(mock_server):
    mock_server.add(turns=[reply(tool_use("query"), contradicts=True), "done"])
    assert "x-mock-warning" not in ask(mock_server)

@pytest.mark.mock_settings(strict=False)
def test_not_strict(mock_server):
    mock_server.add(tool_use("query"))
    assert "calls 'query'" in ask(mock_server)["x-mock-warning"]
    with pytest.raises(AssertionError, match="1 reply contradicts its request"):
        mock_server.assert_no_contradictions()

@pytest.mark.mock_settings(contradictions="warn")
def test_only_told(mock_server):
    mock_server.add(tool_use("query"))
    assert "calls 'query'" in ask(mock_server)["x-mock-warning"]
    mock_server.assert_no_contradictions()

@pytest.mark.mock_settings(contradictions="off")
def test_off(mock_server):
    mock_server.add(tool_use("query"))
    assert "x-mock-warning" not in ask(mock_server)

def test_one_of_the_library_by_its_name(mock_server):
    mock_server.load("tool-use")
    assert "calls 'get_weather'" in ask(mock_server)["x-mock-warning"]
"""


def test_what_lets_it_pass(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    run(pytester, PASSING, *arguments).assert_outcomes(passed=7)


def test_one_line_of_the_configuration_turns_it_off(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    pytester.makeini("[pytest]\nmock_server_settings = contradictions = warn")
    source = "def test_it(mock_server):\n    mock_server.add(tool_use('query'))\n    ask(mock_server)\n"
    run(pytester, source, *arguments).assert_outcomes(passed=1)


IN_A_BATCH = """
def test_it(mock_server):
    mock_server.add(tool_use("query"))
    requests = [{"custom_id": "a", "params": asked()}, {"custom_id": "b", "params": asked(tools=[{**TOOL, "name": "query"}])}]
    batch = json.loads(send(mock_server, "/v1/messages/batches", {"requests": requests})[0])
    lines = send(mock_server, f"/v1/messages/batches/{batch['id']}/results", None)[0].splitlines()
    assert [json.loads(line)["result"]["type"] for line in lines] == ["succeeded", "succeeded"]
    assert [len(entry.contradictions) for entry in mock_server.journal if entry.scenario] == [1, 0]
"""


def test_it_fails_for_a_request_of_a_batch(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    result = run(pytester, IN_A_BATCH, *arguments)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["1 reply contradicts its request", "POST /v1/messages: *calls 'query'*"])


FUNCTION = """
def test_it(mock_server):
    mock_server.add(lambda request: tool_use("query"))
    ask(mock_server)
    ask(mock_server)

def test_a_test_that_fails_by_itself_says_both(mock_server):
    mock_server.add(tool_use("query"))
    ask(mock_server)
    assert "this" == "that"
"""


def test_a_function_is_judged_by_what_it_gives(pytester: pytest.Pytester) -> None:
    result = run(pytester, FUNCTION)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["2 replies contradict their requests", "E * assert 'this' == 'that'", "1 reply contra*"]
    )


def test_elsewhere_it_can_be_verified() -> None:
    from mock_server import MockClient

    with MockServer() as server, MockClient(server.url).session("k", contradictions="error") as session:
        assert session._ask("POST", "verify", {"no_contradictions": True}, session="k")["ok"]
        session.add({"type": "tool_use", "name": "t", "input": {}})
        body = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
        assert session.explain(body)["contradictions"] == ["calls 't', which the request does not offer (it has none)"]

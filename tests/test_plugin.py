"""The pytest plugin, seen by pytest itself in an empty project."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

TEST = """
import json, urllib.request

def ask(server, text, key="k"):
    body = {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(server.url + "/v1/messages", json.dumps(body).encode(), {"x-api-key": key})
    return json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request))
"""


def passes(pytester: pytest.Pytester, source: str, **outcomes: int) -> None:
    pytester.makepyfile(TEST + source)
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(**outcomes)


def test_the_fixture_answers_what_was_added(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
def test_it(mock_server):
    mock_server.add("It is sunny.", when={"prompt": "weather"})
    assert ask(mock_server, "How is the weather?")["content"][0]["text"] == "It is sunny."
""",
        passed=1,
    )


def test_each_test_has_scenarios_of_its_own(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
import pytest, urllib.error

def test_one(mock_server):
    mock_server.add("one")
    assert ask(mock_server, "x")["content"][0]["text"] == "one"

@pytest.mark.mock_settings(strict=False)
def test_two(mock_server):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(mock_server, "x")
    with caught.value:
        assert caught.value.code == 400
        assert "No scenario matches" in caught.value.read().decode()
""",
        passed=2,
    )


def test_the_key_of_a_test_that_has_ended_is_closed(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
import pytest, urllib.error
keys = []

def test_one(mock_server):
    keys.append(mock_server.api_key)

def test_two(mock_server):
    mock_server.add("two")
    assert ask(mock_server, "x", mock_server.env["ANTHROPIC_API_KEY"])["content"][0]["text"] == "two"
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(mock_server, "x", keys[0])
    with caught.value:
        assert "has ended" in caught.value.read().decode()
""",
        passed=2,
    )


def test_a_mistake_in_add_fails_the_test_with_what_is_allowed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(mock_server):\n    mock_server.add('x', wen={'prompt': 'y'})")
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ScenarioError: *.py:2: unknown key 'wen' in scenario*did you mean 'when'*"])


def test_a_project_that_does_not_use_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, mock_server.pytest_plugin;"
        "print([m for m in ('aiohttp', 'yaml', 'faker', 'jsonschema') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

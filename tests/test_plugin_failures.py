"""What goes wrong around a test is the failure of that test, with a reason one can read; the others run."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from projects import WHERE, arguments_for, run, told

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(200)  # each is a whole run of pytest, of many tests

MISTAKES = """
import pytest

@pytest.mark.mock_settings(timescale=0)
def test_a_typo_in_a_setting(mock_server):
    pass

@pytest.mark.mock_scenarios("helo")
def test_a_typo_in_a_scenario(mock_server):
    pass

@pytest.fixture
def older():
    yield
    raise RuntimeError("the end of a fixture that began before mock_server")

def test_an_older_fixture_fails_at_its_end(older, mock_server):
    mock_server.add("x")
    ask(mock_server, "Hi", mock_server.api_key)

@pytest.fixture(scope="module")
def app(mock_server):
    return mock_server.url

def test_a_wider_scope(app):
    pass

def test_a_typo_in_an_override(mock_server):
    mock_server.override(timescale=0)

def test_a_typo_in_add(mock_server):
    mock_server.add("x", wehn={"prompt": "y"})

def test_the_next(mock_server):
    mock_server.add("x")
    assert ask(mock_server, "Hi", mock_server.api_key)["content"][0]["text"] == "x"
"""


@pytest.mark.parametrize("where", WHERE)
def test_a_mistake_is_that_tests_own(pytester: pytest.Pytester, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")  # there the summary has whole lines
    with arguments_for(where) as arguments:
        result = run(pytester, MISTAKES, *arguments)
    result.assert_outcomes(errors=4, failed=2, passed=2)  # the third test passes, and its teardown is an error
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    summary = [
        re.sub(r"\S+\.py(::|:\d+)", "", line) for line in result.outlines if line.startswith(("FAILED", "ERROR"))
    ]
    for begin in (
        "ERROR test_a_typo_in_a_setting - Failed: no setting of a session is named 'timescale'; did you mean 'time_scale'?",
        "ERROR test_a_typo_in_a_scenario - Failed: load(): no scenario 'helo'; did you mean 'hello'?",
        "ERROR test_an_older_fixture_fails_at_its_end - RuntimeError: the end of a fixture that began before mock_server",
        "ERROR test_a_wider_scope - Failed: ScopeMismatch: ",
        "FAILED test_a_typo_in_an_override - mock_server.SettingError: no setting of a session is named 'timescale'; did",
        "FAILED test_a_typo_in_add - mock_server.ScenarioError: : unknown key 'wehn' in scenario; ",
    ):
        assert any(line.startswith(begin) for line in summary), (begin, summary)
    text = told(result)
    assert "  1. POST /v1/messages 'Hi' -> 200 added-1 turn 1, completed" in text  # of the test whose fixture failed
    assert "takes mock_server_session, which all tests share, or\nmock_server_factory, which makes sessions" in text
    assert "During handling of the above exception" not in text


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    """A server in a process of its own: where it is, and its process."""
    command = [sys.executable, "-m", "mock_server", "serve", "--port", "0"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MOCK_SERVER_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1], process.pid
        process.kill()


DYING = """
import os, signal

def test_it_lives(mock_server):
    mock_server.add("x")
    assert ask(mock_server, "Hi", mock_server.api_key)["content"][0]["text"] == "x"

def test_it_dies(mock_server):
    mock_server.add("x")
    os.kill(int(os.environ["SERVER"]), signal.SIGKILL)
    assert not os.environ["WHOSE"], "my own failure"

def test_after_it(mock_server):
    pass

def test_without_it():
    pass
"""


@pytest.mark.parametrize("whose", ["the test's", ""], ids=["the test fails by itself", "the test would have passed"])
def test_a_server_that_dies_takes_no_other_test_with_it(
    pytester: pytest.Pytester, server: tuple[str, int], whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, process = server
    for name, value in (("CI", "true"), ("SERVER", str(process)), ("WHOSE", whose)):
        monkeypatch.setenv(name, value)
    result = run(pytester, DYING, f"--mock-server-url={url}")
    result.assert_outcomes(passed=2, failed=1, errors=1)
    text = told(result)
    assert "INTERNALERROR" not in text
    gone = f"--mock-server-url: the server does not answer: GET {url}/_mock/"
    assert re.search(r"FAILED \S+test_it_dies - " + ("AssertionError: my own" if whose else f"Failed: {gone}"), text)
    assert f"the journal cannot be read: GET {url}/_mock/journal/counts?" in text
    assert re.search(rf"ERROR \S+test_after_it - Failed: {gone.replace('GET', 'POST')}sessions: ", text)


REPORTS = """
from mock_server import *
import pytest, urllib.error

def swallow(server, text):
    try:
        return ask(server, text, server.api_key)
    except urllib.error.HTTPError as error:
        error.close()

def test_too_many(mock_server):
    mock_server.add("x")
    for text in ("weather", "weather in Paris", "something else"):
        swallow(mock_server, text)
    mock_server.assert_called(1, when=prompt("weather"))

def test_too_few(mock_server):
    mock_server.add("x")
    for text in ("wether", "zzz"):
        swallow(mock_server, text)
    mock_server.assert_called(1, when=prompt("weather"))

def test_nothing_near(mock_server):
    mock_server.add("x")
    swallow(mock_server, "zzz")
    mock_server.assert_called(when=prompt("weather") & ~model("*opus*"))

def test_a_script_is_over(mock_server):
    mock_server.script("a")
    swallow(mock_server, "one")
    swallow(mock_server, "two")

def test_a_template(mock_server):
    mock_server.add(template("{{ promt }}"))

def test_lists_in_a_reply(mock_server):
    mock_server.add(reply(["a", "b"], "c"))
    assert [block["text"] for block in ask(mock_server, "x", mock_server.api_key)["content"]] == ["a", "b", "c"]
"""


@pytest.mark.parametrize("where", WHERE)
def test_reports_say_it_in_their_first_line(
    pytester: pytest.Pytester, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    with arguments_for(where) as arguments:
        result = run(pytester, REPORTS, *arguments)
    result.assert_outcomes(failed=5, passed=1)
    text = told(result)
    assert (
        """\
AssertionError: expected 1 request with prompt 'weather', got 2
E         match: POST /v1/messages 'weather' -> 200 added-1 turn 1, completed
E         match: POST /v1/messages 'weather in Paris' -> 200 added-1 turn 1, completed
E       the journal (3 requests):
"""
        in text
    )
    assert (
        """\
AssertionError: expected 1 request with prompt 'weather', got 0
E         near: POST /v1/messages 'wether' -> 200 added-1 turn 1, completed
E           prompt: wanted contains 'weather', got 'wether'
E       the journal (2 requests):
"""
        in text
    )
    assert (
        """\
AssertionError: expected at least 1 request with prompt 'weather' and not {'model': '*opus*'}, got 0
E         nearest: POST /v1/messages 'zzz' -> 200 added-1 turn 1, completed
"""
        in text
    )
    assert (
        "test_a_script_is_over - Failed: 1 request matched no scenario: added-1: no reply is left: 1 was added, this is"
        " request 2\n" in text
    )
    assert '  mock_server.add("…", when={"prompt": "two"})\n' in text
    assert "test_a_template - mock_server.ScenarioError: template(): unknown name 'promt' in a template" in text


DYING_AT_THE_END = """
import os, signal

def test_it_dies(mock_server_session):
    mock_server_session.add("x")
    os.kill(int(os.environ["SERVER"]), signal.SIGKILL)
"""


def test_what_a_dead_server_cannot_tell_of_a_shared_session_is_no_pass(
    pytester: pytest.Pytester, server: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, process = server
    monkeypatch.setenv("SERVER", str(process))
    result = run(pytester, DYING_AT_THE_END, f"--mock-server-url={url}")
    result.assert_outcomes(passed=1, errors=1)
    assert f"--mock-server-url: the server does not answer: GET {url}/_mock/" in told(result)

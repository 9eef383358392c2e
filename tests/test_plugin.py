"""The pytest plugin, seen by pytest itself in an empty project."""

import json
import re
import subprocess
import sys

import pytest
from projects import TEST, passes, run, told

pytest_plugins = ["pytester"]


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


# -- what a test is told ----------------------------------------------------------------------------------------------


UNMATCHED = """\
1 request matched no scenario: other: prompt: wanted contains 'rain', got 'Will it snow?'
POST /v1/messages: No scenario matches this request. Nearest:
  other: prompt: wanted contains 'rain', got 'Will it snow?'
This would match:
  mock_server.add("…", when={"prompt": "Will it snow?"})
"""


def test_an_unmatched_request_fails_the_test_that_hid_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)  # there pytest says everything twice
    result = run(
        pytester,
        """
import pytest, urllib.error

def swallow(server, text):
    try:
        ask(server, text)
    except urllib.error.HTTPError as error:
        error.close()

def test_it(mock_server):
    mock_server.add("x", name="other", when={"prompt": "rain"})
    swallow(mock_server, "Will it snow?")

def test_it_raises_too(mock_server):
    mock_server.add("x", name="other", when={"prompt": "rain"})
    ask(mock_server, "Will it snow?")

@pytest.mark.mock_settings(strict=False)
def test_it_may_be_wanted(mock_server):
    swallow(mock_server, "Will it snow?")
    assert mock_server.journal.unmatched == 1
""",
    )
    result.assert_outcomes(failed=2, passed=1)
    text = told(result)
    assert text.count(UNMATCHED) == 2  # the failure of the first test, and in the report of the second
    assert "  1. POST /v1/messages 'Will it snow?' -> 400 No scenario matches this request., completed" in text


def test_any_failure_carries_the_journal(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(mock_server):
    mock_server.add("It is sunny.", name="weather")
    ask(mock_server, "How is the weather?")
    assert ask(mock_server, "And tomorrow?")["content"][0]["text"] == "rain"
""",
    )
    result.assert_outcomes(failed=1)
    assert """\
--------------------------------- mock_server ----------------------------------
the journal (2 requests):
  1. POST /v1/messages 'How is the weather?' -> 200 weather turn 1, completed
  2. POST /v1/messages 'And tomorrow?' -> 200 weather turn 1, completed
""" in told(result)


def test_a_failure_tells_of_a_reply_that_was_cut(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(mock_server):
    mock_server.add("word " * 100, name="long")
    assert len(ask(mock_server, "Say it")["content"][0]["text"]) == 500
""",
    )
    result.assert_outcomes(failed=1)
    assert """\
  1. POST /v1/messages 'Say it' -> 200 long turn 1: the reply was cut short: it takes 132 tokens, and max_tokens is 99, completed
""" in told(result)


def test_a_reply_function_that_raises_fails_the_test_with_its_own_traceback(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import urllib.error

def reply(request):
    assert request.model == "claude-haiku-4-5"

def test_the_client_hides_it(mock_server):
    mock_server.add(reply)
    try:
        ask(mock_server, "x")
    except urllib.error.HTTPError as error:
        error.close()

def test_the_client_raises(mock_server):
    mock_server.add(reply)
    ask(mock_server, "x")
""",
    )
    result.assert_outcomes(failed=2)
    text = told(result)
    assert text.count("E       AssertionError: assert 'claude-opus-4-8' == 'claude-haiku-4-5'") == 2
    assert "-> 500 added-1 turn 1: reply raised AssertionError: assert" in text


def test_streams_left_open_are_cut_and_told(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import socket, pytest

@pytest.mark.mock_settings(time_scale=1)
def test_it(mock_server):
    mock_server.add("a b c d", timing={"gap": "30s"})
    host, port = mock_server.url.removeprefix("http://").split(":")
    body = json.dumps({"model": "claude-opus-4-8", "max_tokens": 9, "stream": True,
                       "messages": [{"role": "user", "content": "x"}]})
    client = socket.create_connection((host, int(port)))
    client.sendall(f"POST /v1/messages HTTP/1.1\\r\\nhost: x\\r\\nx-api-key: {mock_server.api_key}\\r\\n"
                   f"content-length: {len(body)}\\r\\n\\r\\n{body}".encode())
    assert b"message_start" in client.recv(65536)
    globals()["client"] = client

def test_after(mock_server):
    while client.recv(65536):
        pass
    client.close()
""",
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*::test_it: 1 stream still open at the end of the test, cut"])


# -- the environment --------------------------------------------------------------------------------------------------


def test_the_environment_for_every_test_by_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmock_server_autouse = true")
    passes(
        pytester,
        """
import os

def test_it():
    assert os.environ["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:")
""",
        passed=1,
    )


# -- markers and ini options ------------------------------------------------------------------------------------------


def test_scenarios_by_marker(pytester: pytest.Pytester) -> None:
    for path, name in (("beside.yaml", "one"), ("more/two.yaml", "two"), ("more/deep/three.yml", "three")):
        file = pytester.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"name: {name}\nwhen: {{prompt: {name}}}\nreply: I am {name}")
    passes(
        pytester,
        """
import pytest

def said(server, text):
    return ask(server, text)["content"][0]["text"]

@pytest.mark.mock_scenarios("beside.yaml", "more/")
def test_files_and_folders(mock_server):
    assert [said(mock_server, name) for name in ("one", "two", "three")] == ["I am one", "I am two", "I am three"]

@pytest.mark.mock_scenarios("hello")
def test_by_name_from_the_library(mock_server):
    assert said(mock_server, "anything")
    assert mock_server.journal.last.scenario == "hello"

def test_not_in_others(mock_server):
    assert list(mock_server.scenarios) == []
""",
        passed=3,
    )


def test_settings_by_marker_and_ini(pytester: pytest.Pytester) -> None:
    (pytester.path / "all.yaml").write_text("name: all\nreply: for all")
    pytester.makeini(
        "[pytest]\nmock_server_settings =\n  profile = anthropic\n  seed = 3\nmock_server_scenarios = all.yaml"
    )
    passes(
        pytester,
        """
import pytest

def test_the_ini_file_holds_for_all(mock_server):
    first, again = ask(mock_server, "x"), ask(mock_server, "x")
    assert first["content"][0]["text"] == "for all"
    assert first["usage"]["service_tier"] == "standard"
    globals()["id_of_first"] = first["id"]

def test_the_seed_repeats_and_the_key_does_not(mock_server):
    assert ask(mock_server, "x", "k")["id"].startswith("msg_01")

@pytest.mark.mock_settings(profile="octen")
class TestMarkers:
    def test_a_marker_wins_over_the_ini_file(self, mock_server):
        assert "service_tier" not in ask(mock_server, "x")["usage"]

    @pytest.mark.mock_settings(profile="anthropic")
    def test_the_nearest_marker_wins(self, mock_server):
        assert ask(mock_server, "x")["usage"]["service_tier"] == "standard"
""",
        passed=4,
    )


@pytest.mark.parametrize(
    ("marker", "text"),
    [
        ("mock_settings(sed=3)", "no setting of a session is named 'sed'; did you mean 'seed'?"),
        (
            "mock_settings(profile='openai')",
            "profile: no profile 'openai'; expected one of octen, anthropic or a .yaml file*",
        ),
        ("mock_scenarios('helo')", "*no scenario 'helo'; *did you mean 'hello'*"),
        ("mock_scenarios('nowhere/')", "*nowhere: no such file or folder"),
        ("mock_scenarios('bad.yaml')", "*bad.yaml:2:1: unknown key 'replay' in scenario*"),
    ],
)
def test_a_wrong_marker_is_an_error_before_the_test(pytester: pytest.Pytester, marker: str, text: str) -> None:
    (pytester.path / "bad.yaml").write_text("name: bad\nreplay: x")
    result = run(pytester, f"import pytest\n@pytest.mark.{marker}\ndef test_it(mock_server):\n    assert False")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([text])


@pytest.mark.parametrize(
    ("ini", "text"),
    [
        ("mock_server_settings = sed = 3", "mock_server_settings: no setting is named 'sed'; did you mean 'seed'?*"),
        ("mock_server_settings = seed = x", "mock_server_settings: seed: 'x' is not a valid value*"),
        ("mock_server_scenarios = nowhere.yaml", "*nowhere.yaml: no such file or folder"),
    ],
)
def test_a_wrong_ini_option_is_an_error_before_the_test(pytester: pytest.Pytester, ini: str, text: str) -> None:
    pytester.makeini(f"[pytest]\n{ini}")
    result = run(pytester, "def test_it(mock_server):\n    assert False")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([text])


def test_names_from_the_library_stand_where_paths_do(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmock_server_scenarios = mine.yaml side-calls")
    (pytester.path / "mine.yaml").write_text("name: mine\nwhen: {prompt: weather}\nreply: Sunny.")
    passes(
        pytester,
        """
def test_a_side_call_is_no_call_of_the_test(mock_server):
    body = {"model": "claude-opus-4-8", "max_tokens": 1, "messages": [{"role": "user", "content": "quota"}]}
    agent = {"x-api-key": "k", "anthropic-version": "2023-06-01", "user-agent": "claude-cli/2.1.197 (external, cli)"}
    request = urllib.request.Request(mock_server.url + "/v1/messages", json.dumps(body).encode(), agent)
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()
    assert ask(mock_server, "weather")["content"][0]["text"] == "Sunny."
    mock_server.assert_called(1)
    assert [entry.side for entry in mock_server.journal] == [True, False]
""",
        passed=1,
    )


# -- coverage ---------------------------------------------------------------------------------------------------------

COVERED = """
name: agent
when: {prompt: go}
turns:
  - {reply: {type: tool_use, name: t, input: {}}, contradicts: true}
  - cases:
      - when: {tool_result: {is_error: true}}
        reply: failed
      - reply: done
  - attempts:
      - error: 529
      - reply: again
---
name: never
when: {prompt: never}
reply: x
"""

COVERING_TEST = """
import pytest

@pytest.mark.parametrize("n", range(4))
def test_it(mock_server, n):
    ask(mock_server, "go")
    mock_server.add("scenarios of a test are not counted")
"""


@pytest.mark.parametrize("parallel", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_coverage_tells_what_was_never_played(pytester: pytest.Pytester, parallel: tuple[str, ...]) -> None:
    (pytester.path / "covered.yaml").write_text(COVERED.strip())
    pytester.makeini("[pytest]\nmock_server_scenarios = covered.yaml")
    arguments = ("--mock-coverage=cover.json", "--mock-coverage-fail-under=50", "--junitxml=junit.xml", *parallel)
    result = run(pytester, COVERING_TEST, *arguments)

    result.assert_outcomes(passed=4)
    assert result.ret == 1
    text = told(result)
    missing = "turn 2 case 1, turn 2 case 2, turn 3 attempt 1, turn 3 attempt 2"
    assert re.search(rf"   1 of 5    covered\.yaml:1 agent  never: {missing}\n", text)
    assert re.search(r"   0 of 1    covered\.yaml:13 never  never\n", text)
    assert "   1 of 6    16.7%\nFAIL: less than the 50% asked for was played" in text
    found = json.loads((pytester.path / "cover.json").read_text())
    assert (found["played"], found["total"], found["percent"]) == (1, 6, 16.7)
    assert found["scenarios"][0]["parts"]["turn 1"] == 4
    junit = (pytester.path / "junit.xml").read_text()
    assert 'name="mock_server_coverage_percent" value="16.7"' in junit
    assert 'name="mock_server_never_played" value="never"' in junit
    assert 'name="mock_server_played" value="agent turn 1"' in junit


def test_enough_coverage_passes(pytester: pytest.Pytester) -> None:
    (pytester.path / "covered.yaml").write_text(COVERED.strip())
    pytester.makeini("[pytest]\nmock_server_scenarios = covered.yaml\nmock_server_coverage_fail_under = 16.6")
    result = run(pytester, COVERING_TEST)
    assert result.ret == 0
    assert "mock_server coverage" in told(result)


# -- a server elsewhere -------------------------------------------------------------------------------------------------

ELSEWHERE = """
import pytest, urllib.error

def test_scenarios_and_journal(mock_server):
    mock_server.add("from the test", when={"prompt": "hi"})
    assert ask(mock_server, "hi", mock_server.api_key)["content"][0]["text"] == "from the test"
    assert mock_server.journal.last.request.prompt == "hi"
    mock_server.assert_called(1)
    mock_server.assert_all_used()

@pytest.mark.mock_settings(profile="anthropic")
@pytest.mark.mock_scenarios("hello")
def test_markers(mock_server):
    assert ask(mock_server, "x", mock_server.api_key)["usage"]["service_tier"] == "standard"

def test_unmatched(mock_server):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(mock_server, "x", mock_server.api_key)
    caught.value.close()

def test_functions_stay_at_home(mock_server):
    with pytest.raises(TypeError, match="cannot go to a server in another process"):
        mock_server.add(lambda request: "x")
"""


def test_the_fixture_uses_a_running_server(pytester: pytest.Pytester) -> None:
    from mock_server import MockServer

    with MockServer(unmatched="generate") as server:
        for _ in range(2):  # what ran before does not matter
            result = run(pytester, ELSEWHERE, f"--mock-server-url={server.url}")
            result.assert_outcomes(passed=3, failed=1)
            result.stdout.fnmatch_lines(["1 request matched no scenario: *", "This would match:"])
        assert [one.name for one in server._engine.sessions.all()] == ["default"]


def test_a_server_that_does_not_answer_is_an_error_before_the_tests(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it(mock_server): pass", "--mock-server-url=http://127.0.0.1:9")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["--mock-server-url: the server does not answer: GET http://127.0.0.1:9/_mock/ready: *"]
    )


# -- beside other plugins ---------------------------------------------------------------------------------------------

PARALLEL = """
import pytest

@pytest.mark.parametrize("n", range(40))
def test_it(mock_server, n):
    mock_server.add(f"reply {n}")
    for k in range(3):
        assert ask(mock_server, f"{n} {k}", mock_server.api_key)["content"][0]["text"] == f"reply {n}"
    assert mock_server.journal.total == 3
"""


@pytest.mark.parametrize("arguments", [("-n", "4", "-p", "no:randomly"), ()], ids=["xdist", "randomly"])
def test_parallel_and_in_any_order(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    pytester.makepyfile(TEST + PARALLEL)
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:rerunfailures")
    pytester.runpytest_subprocess(*quiet, *arguments).assert_outcomes(passed=40)


def test_a_test_that_is_run_again_has_a_new_session(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        TEST
        + """
runs = []

def test_it(mock_server):
    runs.append(mock_server.api_key)
    mock_server.add("x")
    ask(mock_server, "x", mock_server.api_key)
    assert mock_server.journal.total == 1
    assert len(set(runs)) == 3
"""
    )
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "--reruns", "2")
    result.stdout.fnmatch_lines(["1 passed, 2 rerun in *"])


LOOP_SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")
ASYNC_TEST = """
import anthropic, pytest

{mark}
async def test_it(mock_server):
    async def reply(request):
        return request.prompt.upper()

    mock_server.add(reply)
    async with anthropic.AsyncAnthropic(base_url=mock_server.url, api_key=mock_server.api_key) as client:
        async with client.messages.stream(
            model="claude-opus-4-8", max_tokens=50, messages=[{{"role": "user", "content": "hi"}}]
        ) as stream:
            assert await stream.get_final_text() == "HI"
    (entry,) = await mock_server.journal.wait_for_async(1)
    assert entry.outcome == "completed"

{mark}
async def test_in_this_loop():
    from mock_server import MockServer

    async with MockServer().in_loop() as server:
        server.add("x")
        async with anthropic.AsyncAnthropic(base_url=server.url, api_key="k") as client:
            await client.messages.create(
                model="claude-opus-4-8", max_tokens=50, messages=[{{"role": "user", "content": "hi"}}])
        server.assert_called(1)
"""


@pytest.mark.parametrize(
    ("mark", "arguments"),
    [
        ("@pytest.mark.asyncio", ("--asyncio-mode=strict", *LOOP_SCOPE)),
        ("", ("--asyncio-mode=auto", *LOOP_SCOPE)),
        ("@pytest.mark.anyio", ("-p", "no:asyncio")),
    ],
    ids=["asyncio strict", "asyncio auto", "anyio"],
)
def test_async_tests(pytester: pytest.Pytester, mark: str, arguments: tuple[str, ...]) -> None:
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'")
    pytester.makepyfile(ASYNC_TEST.format(mark=mark))
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:rerunfailures")
    pytester.runpytest_subprocess(*quiet, *arguments).assert_outcomes(passed=2)


def test_a_project_that_does_not_use_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, mock_server.pytest_plugin;"
        "print([m for m in ('aiohttp', 'yaml', 'faker', 'jsonschema') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_fault_matrix_is_the_parameters_of_a_test(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
import http.client, pytest

@pytest.mark.mock_faults(scenario="one-token", faults=["disconnect", "html_error"], once=True)
def test_it(mock_server):
    with pytest.raises((http.client.IncompleteRead, http.client.HTTPException, OSError)):
        ask(mock_server, "Hi")
    assert ask(mock_server, "Hi")["content"]

@pytest.mark.mock_faults(scenario="one-token", faults=["html_error"])
def test_the_variant_can_be_asked(mock_server, mock_fault):
    assert (mock_fault.turn, mock_fault.fault["type"]) == (1, "html_error")
    with pytest.raises(OSError):
        ask(mock_server, "Hi")
""",
        passed=8,
    )


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        ("@pytest.mark.mock_faults(scenario='helo')", "no scenario 'helo'; did you mean 'hello'?"),
        ("@pytest.mark.mock_faults()", "mock_faults needs scenario=NAME or a file"),
        ("@pytest.mark.mock_faults(scenario='hello', faults=['disconect'])", "unknown type 'disconect'; did you mean"),
        (
            "@pytest.mark.mock_faults(scenario='hello', fault=['reset'])",
            "mock_faults has no 'fault'; did you mean 'faults'?",
        ),
        ("@pytest.mark.mock_fault(scenario='hello')", "no marker is named 'mock_fault'; did you mean 'mock_faults'?"),
        ("", "mock_fault needs the marker mock_faults(scenario=…)"),
    ],
)
def test_a_mistake_in_the_fault_matrix_is_told(pytester: pytest.Pytester, mark: str, text: str) -> None:
    code = f"import pytest\n\n{mark}\ndef test_it(mock_server, mock_fault):\n    pass\n"
    result = run(pytester, f"{code}\ndef test_another(mock_server):\n    pass\n")
    assert text in "\n".join([*result.outlines, *result.errlines])
    result.assert_outcomes(passed=1, errors=1)


@pytest.mark.parametrize("wrong", ["mock_scenario('hello')", "mock_setting(strict=False)"])
def test_a_misspelt_marker_is_told(pytester: pytest.Pytester, wrong: str) -> None:
    name = wrong.partition("(")[0]
    code = f"import pytest\n\n@pytest.mark.{wrong}\ndef test_it(mock_server):\n    pass\n"
    result = run(pytester, code)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(f"*no marker is named '{name}'; did you mean '{name}s'?*")
    pytester.makeini(f"[pytest]\nmarkers =\n    {name}(what): of somebody else\n")
    run(pytester, code).assert_outcomes(passed=1)


STOPS = """
import asyncio, sys
import pytest
from mock_server import MockServer

def leave(request): sys.exit(2)
async def leave_async(request): sys.exit(2)
def interrupt(request): raise KeyboardInterrupt
async def interrupt_async(request): raise KeyboardInterrupt
def end(request): pytest.exit("enough")

@pytest.mark.parametrize("how", [leave, leave_async, interrupt, interrupt_async, end])
def test_stops(mock_server, how):
    mock_server.add(how)
    try:
        ask(mock_server, "x")
    except OSError as error:
        error.close()

def test_next(mock_server):
    mock_server.add("hi")
    assert ask(mock_server, "x")["content"][0]["text"] == "hi"

@pytest.mark.parametrize("how", [leave, leave_async, interrupt, interrupt_async, end])
def test_in_a_loop(how):
    def two(server):
        server.add(how, times=1)
        with pytest.raises(OSError) as caught:
            ask(server, "x")
        with caught.value as error:
            assert "raised" in json.load(error)["error"]["message"]
        server.add("hi")
        return ask(server, "x")["content"][0]["text"]

    async def main():
        async with MockServer().in_loop() as server:
            return await asyncio.to_thread(two, server)
    assert asyncio.run(main()) == "hi"
"""


def test_a_reply_function_that_wants_to_end_everything_fails_its_own_test_only(pytester: pytest.Pytester) -> None:
    result = run(pytester, STOPS)
    result.assert_outcomes(failed=5, passed=6)
    lines = result.outlines
    assert sum("Failed: a reply function raised SystemExit(2)" in line for line in lines if line.startswith("E ")) == 2
    assert (
        sum("Failed: a reply function raised KeyboardInterrupt()" in line for line in lines if line.startswith("E "))
        == 2
    )

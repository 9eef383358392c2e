"""The environment of a test leads its clients to the server, before, during and after it; sessions that outlive a test."""

import pytest
from projects import WHERE, arguments_for, run, told

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(200)  # each is a whole run of pytest, of many tests

CLIENT = """
import os, anthropic, pytest

def reached(text="Hi", **options):
    with anthropic.Anthropic(max_retries=0, timeout=20, **options) as client:
        message = client.messages.create(
            model="claude-opus-4-8", max_tokens=99, messages=[{"role": "user", "content": text}])
    return message.content[0].text
"""

DURING = """
def test_a_client_that_knows_nothing_reaches_it(mock_server):
    mock_server.add("here")
    assert os.environ["ANTHROPIC_BASE_URL"] == os.environ["OCTEN_BASE_URL"] == mock_server.url
    assert os.environ["ANTHROPIC_API_KEY"] == os.environ["OCTEN_API_KEY"] == mock_server.api_key
    assert not {"ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE"} & set(os.environ)
    assert os.environ["HTTP_PROXY"] == "http://127.0.0.1:9"
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "internal.example,127.0.0.1,localhost,::1"
    assert reached() == "here"
    mock_server.assert_called(1)

def test_afterwards_all_is_as_before():
    assert os.environ["ANTHROPIC_API_KEY"] == "sk-real"
    assert (os.environ["ANTHROPIC_AUTH_TOKEN"], os.environ["ANTHROPIC_PROFILE"]) == ("real", "work")
    assert os.environ["NO_PROXY"] == "internal.example"
    assert not {"ANTHROPIC_BASE_URL", "OCTEN_BASE_URL", "no_proxy"} & set(os.environ)

@pytest.fixture
def before(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "of a fixture before")

def test_what_a_test_sets_afterwards_wins(before, mock_server, monkeypatch):
    assert os.environ["ANTHROPIC_API_KEY"] == mock_server.api_key
    monkeypatch.setenv("ANTHROPIC_API_KEY", "of the test")
    monkeypatch.delenv("ANTHROPIC_BASE_URL")
    mock_server.add("here")
    assert reached(base_url=mock_server.url, api_key=mock_server.api_key) == "here"
    assert os.environ["ANTHROPIC_API_KEY"] == "of the test"

def test_what_it_sets_by_hand_is_taken_back_too(mock_server):
    os.environ["ANTHROPIC_BASE_URL"] = "http://127.0.0.1:9"

def test_then_too_all_is_as_before():
    assert os.environ["ANTHROPIC_API_KEY"] == "sk-real"
    assert "ANTHROPIC_BASE_URL" not in os.environ

def test_of_several_servers_it_names_this_one(mock_server_factory, mock_server, mock_server_session):
    other = mock_server_factory()
    other.add("other")
    mock_server_session.add("shared")
    mock_server.add("here")
    assert reached() == "here"
    assert reached(api_key=other.api_key) == "other"
    assert reached(api_key=mock_server_session.api_key) == "shared"
    other.close()

def test_without_any_proxy(mock_server_env):
    assert "HTTP_PROXY" not in os.environ
    mock_server_env.add("here")
    assert reached() == "here"
"""


@pytest.fixture
def _real(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a developer has set."""
    for name in ("ANTHROPIC_BASE_URL", "OCTEN_BASE_URL", "no_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-real")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "real")
    monkeypatch.setenv("ANTHROPIC_PROFILE", "work")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody is there
    monkeypatch.setenv("NO_PROXY", "internal.example")


@pytest.mark.usefixtures("_real")
@pytest.mark.parametrize("where", WHERE)
def test_the_environment_of_a_test_leads_to_the_server(pytester: pytest.Pytester, where: str) -> None:
    with arguments_for(where) as arguments:
        run(pytester, CLIENT + DURING, *arguments).assert_outcomes(passed=7)


@pytest.mark.usefixtures("_real")
def test_one_line_leaves_the_environment_alone(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmock_server_env = false")
    source = """
def test_nothing_is_set(mock_server):
    assert os.environ["ANTHROPIC_API_KEY"] == "sk-real"
    assert os.environ["NO_PROXY"] == "internal.example"

def test_but_where_it_is_asked_for(mock_server_env):
    assert os.environ["ANTHROPIC_API_KEY"] == mock_server_env.api_key
"""
    run(pytester, CLIENT + source).assert_outcomes(passed=2)


# -- clients that are made as code is imported ---------------------------------------------------------------------------

APP = """
import json, os, urllib.request

class Client:
    def __init__(self):  # as the SDKs do: the environment counts when a client is made
        self.url, self.key = os.environ["ANTHROPIC_BASE_URL"], os.environ["ANTHROPIC_API_KEY"]
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, text):
        body = {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": text}]}
        request = urllib.request.Request(self.url + "/v1/messages", json.dumps(body).encode(), {"x-api-key": self.key})
        return json.load(self.opener.open(request))["content"][0]["text"]

ask = Client().ask
"""
USING = """
import os
from app import ask

def test_one(mock_server):
    mock_server.add("one")
    assert ask("Hi") == "one"
    mock_server.assert_called(1)

def test_two(mock_server):
    mock_server.add("two")
    assert ask("Hi") == "two"
    assert mock_server.journal.total == 1
"""


@pytest.mark.usefixtures("_real")
@pytest.mark.parametrize(
    ("conftest", "arguments"),
    [
        ("", ()),
        ("import sys; sys.path.insert(0, '.'); import app", ()),
        ("import sys; sys.path.insert(0, '.'); import app", ("-n", "1")),
        ("pytest_plugins = ['mock_server.pytest_plugin']", ("-p", "no:mock_server")),
    ],
    ids=["by a test", "by conftest.py", "in a worker of xdist", "where conftest.py names the plugin"],
)
def test_a_client_that_is_made_as_code_is_imported(
    pytester: pytest.Pytester, conftest: str, arguments: tuple[str, ...]
) -> None:
    pytester.makeini("[pytest]\nmock_server_early = true\npythonpath = .")
    pytester.makepyfile(app=APP)
    pytester.makeconftest(conftest)
    run(pytester, USING, *arguments).assert_outcomes(passed=2)


def test_it_does_not_go_with_a_server_elsewhere(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmock_server_early = true")
    result = run(pytester, "", "--mock-server-url=http://127.0.0.1:9")
    assert "ERROR: mock_server_early does not go with --mock-server-url: " in result.stderr.str()


def test_a_mistake_in_the_scenarios_is_told_before_anything_is_imported(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmock_server_early = true\nmock_server_scenarios = bad.yaml")
    (pytester.path / "bad.yaml").write_text("name: bad\nreplay: x")
    result = run(pytester, "def test_it(mock_server): pass")
    assert "bad.yaml:2:1: unknown key 'replay' in scenario" in result.stderr.str()
    assert "INTERNALERROR" not in result.stderr.str()


# -- sessions that outlive a test ----------------------------------------------------------------------------------------

LONGER = """
import urllib.error

@pytest.fixture(scope="session")
def app(mock_server_session):
    mock_server_session.add("from the whole run")
    return mock_server_session

@pytest.fixture(scope="module")
def other(mock_server_factory):
    with mock_server_factory(profile="anthropic") as server:
        server.add("from this module")
        yield server

@pytest.mark.parametrize("n", [1, 2])
def test_sessions_of_a_wider_scope(app, other, mock_server, n):
    mock_server.add("from this test")
    said = [ask(one, "Hi", one.api_key) for one in (app, other, mock_server)]
    assert [one["content"][0]["text"] for one in said] == ["from the whole run", "from this module", "from this test"]
    assert ["service_tier" in one["usage"] for one in said] == [False, True, False]
    assert (app.journal.total, other.journal.total, mock_server.journal.total) == (n, n, 1)

def test_a_setting_that_is_none(mock_server_factory):
    with pytest.raises(ValueError, match="did you mean 'time_scale'"):
        mock_server_factory(timescale=1)

@pytest.mark.mock_settings(strict=False)
def test_what_nobody_answered(mock_server_session):
    mock_server_session.reset()
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(mock_server_session, "Hello?", mock_server_session.api_key)
    caught.value.close()
"""


@pytest.mark.parametrize("where", WHERE)
def test_sessions_that_outlive_a_test(pytester: pytest.Pytester, where: str) -> None:
    with arguments_for(where) as arguments:
        result = run(pytester, CLIENT + LONGER, *arguments)
    result.assert_outcomes(passed=4, errors=1)  # the end of the run
    text = told(result)
    assert "ERROR at teardown of test_what_nobody_answered" in text
    assert "a session that several tests share: 1 request matched no scenario" in text


SEVERAL = """
def test_it(mock_server_session, mock_server_factory):
    other = mock_server_factory()
    for server in (mock_server_session, other):
        server.add({"type": "tool_use", "name": "query", "input": {}}, when={"prompt": "call"})
        ask(server, "call", server.api_key)
    ask(other, "call", other.api_key)
    third = mock_server_factory(unmatched="generate")
    ask(third, "What?", third.api_key)
"""


@pytest.mark.parametrize("where", WHERE)
def test_each_of_several_sessions_tells_what_went_wrong(pytester: pytest.Pytester, where: str) -> None:
    with arguments_for(where) as arguments:
        result = run(pytester, CLIENT + SEVERAL, *arguments)
    result.assert_outcomes(passed=1, errors=1)
    text = told(result)
    sentence = (
        "POST /v1/messages: scenario 'added-1' turn 1 calls 'query', which the request does not offer (it has none)"
    )
    assert f"a session that several tests share: 1 reply contradicts its request\n{sentence}\nMend" in text
    assert (
        f"a session that several tests share: 2 replies contradict their requests\n{sentence} (2 times)\nMend" in text
    )

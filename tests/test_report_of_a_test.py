"""What the report of a failed test says of models and parameters that nobody knows, wherever the server runs."""

from collections.abc import Iterator

import pytest

from mock_server import MockServer

pytest_plugins = ["pytester"]
QUIET = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio", "-p", "no:rerunfailures")

TEST = """
import json, urllib.request

import anthropic

def test_model(mock_server):
    mock_server.add("Hi")
    with anthropic.Anthropic(base_url=mock_server.url, api_key=mock_server.api_key, max_retries=0) as client:
        client.messages.create(
            model="claude-sonnet-4-5", max_tokens=5, messages=[{"role": "user", "content": "x"}]
        )

def test_parameter(mock_server):
    mock_server.add("Hi")
    with anthropic.Anthropic(base_url=mock_server.url, api_key=mock_server.api_key, max_retries=0) as client:
        message = client.messages.create(
            model="claude-opus-4-8", max_tokens=5, messages=[{"role": "user", "content": "x"}],
            extra_body={"temprature": 0},
        )
    assert mock_server.journal.last.warnings == ("parameter 'temprature' is ignored (did you mean 'temperature'?)",)
    assert message.content[0].text == "Hello"
"""
NEAR = "anthropic/claude-sonnet-4.6, anthropic/claude-sonnet-5, anthropic/claude-opus-4.8"
UNSERVED = (
    f"Model or resource not found: profile octen serves no model 'claude-sonnet-4-5'; nearest: {NEAR}; "
    "profile anthropic has it"
)


@pytest.fixture(params=["here", "elsewhere"])
def where(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """The flags that have the fixture use a server of its own, or one that runs elsewhere."""
    if request.param == "here":
        yield ()
        return
    with MockServer() as server:
        yield (f"--mock-server-url={server.url}",)


def test_the_report_names_what_nobody_knows(pytester: pytest.Pytester, where: tuple[str, ...]) -> None:
    pytester.makepyfile(TEST)
    result = pytester.runpytest_subprocess(*QUIET, *where)
    result.assert_outcomes(failed=2)
    said = "\n".join(result.outlines)
    model, _, parameter = said.partition("test_parameter")
    assert (
        f"NotFoundError: Error code: 404 - {{'type': 'error', 'error': {{'type': 'not_found_error', 'message': \"{UNSERVED}"
        in model
    )
    assert "POST /v1/messages" in model
    assert f"-> 404 {UNSERVED}" in model
    assert "turn 1: parameter 'temprature' is ignored (did you mean 'temperature'?), completed" in parameter

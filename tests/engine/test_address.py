"""What stands before the path of an endpoint: the session, the base path, any prefix."""

import pytest

from mock_server.engine.exchange import addressed
from mock_server.protocol.request import HttpRequest

ANY = ""
LLM = "/llm"


@pytest.mark.parametrize(
    ("base_path", "came", "path", "session"),
    [
        (ANY, "/v1/messages", "/v1/messages", None),
        (ANY, "/s/one/v1/messages", "/v1/messages", "one"),
        (ANY, "/s/a%20b%2Fc/v1/messages", "/v1/messages", "a b/c"),
        (ANY, "/pre/v1/messages", "/v1/messages", None),
        (ANY, "/pre/fix/v1/models/a/v1/b", "/v1/models/a/v1/b", None),
        (ANY, "/s/one/pre/v1/messages", "/v1/messages", "one"),
        (ANY, "/s/one", "/", "one"),
        (ANY, "/s/one/", "/", "one"),
        (ANY, "/s//v1/messages", "/s//v1/messages", None),
        (ANY, "/s/v1/messages", "/messages", "v1"),
        (ANY, "/v1/v1/messages", "/v1/v1/messages", None),
        (ANY, "/pre/v1", "/pre/v1", None),
        (ANY, "/pre/_mock/v1/x", "/pre/_mock/v1/x", None),
        (ANY, "/_mock/health", "/_mock/health", None),
        (ANY, "*", "*", None),
        (LLM, "/llm/v1/messages", "/v1/messages", None),
        (LLM, "/v1/messages", "/v1/messages", None),
        (LLM, "/llm/s/one/v1/messages", "/v1/messages", "one"),
        (LLM, "/s/one/llm/v1/messages", "/v1/messages", "one"),
        (LLM, "/s/one/v1/messages", "/v1/messages", "one"),
        (LLM, "/llm", "/", None),
        (LLM, "/llm/", "/", None),
        (LLM, "/llm/_mock/health", "/_mock/health", None),
        (LLM, "/llmx/v1/messages", "/llmx/v1/messages", None),
        (LLM, "/other/v1/messages", "/other/v1/messages", None),
        (LLM, "/llm/other/v1/messages", "/other/v1/messages", None),
    ],
)
def test_what_stands_before_an_endpoint_is_taken_off(base_path: str, came: str, path: str, session: str | None) -> None:
    found = addressed(HttpRequest("GET", came, {}), base_path)
    assert (found.path, found.session) == (path, session)


def test_a_path_of_slashes_takes_no_time() -> None:
    long = "/a" * 30_000 + "/v1"
    assert addressed(HttpRequest("GET", long, {})).path == long

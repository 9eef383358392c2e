"""The control API against its own OpenAPI document: whatever is sent, the answer is one that the document names."""

import http.client
import json
import re
import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mock_server import MockServer
from mock_server.server.control.routes import document

DOCUMENT = document()
OPERATIONS = [
    (method.upper(), path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if not path.endswith("/stream")
]

words = st.text(st.characters(codec="utf-8", exclude_characters="\\"), min_size=1, max_size=30).filter(
    lambda word: word not in (".", "..")
)
plain = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    [
        "name",
        "reply",
        "when",
        "turns",
        "error",
        "times",
        "scenario",
        "sequence",
        "all_used",
        "key",
        "default",
        "settings",
    ]
)
bodies = st.dictionaries(keys, values | plain, max_size=5)


@pytest.fixture(scope="module")
def connection() -> Iterator[http.client.HTTPConnection]:
    with MockServer("scenarios") as server:
        made = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
        body = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
        made.request("POST", "/v1/messages", json.dumps(body), {"x-api-key": "k"})
        made.getresponse().read()
        yield made
        made.close()


def names(operation: dict[str, Any]) -> list[str]:
    return [one["name"] for one in operation["parameters"] if one["in"] == "query"]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=[f"{m} {p}" for m, p, _ in OPERATIONS])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(data=st.data())
def test_every_answer_is_one_the_document_names(
    connection: http.client.HTTPConnection, method: str, path: str, operation: dict[str, Any], data: st.DataObject
) -> None:
    rest = data.draw(st.sampled_from(["hello", "default", "1"]) | words, label="rest")
    query = {
        name: data.draw(st.sampled_from(["default", "0", "1", "true"]) | words, label=name) for name in names(operation)
    }
    chosen = {name: value for name, value in query.items() if data.draw(st.booleans(), label=f"with {name}")}
    target = re.sub(r"\{\w+\}", quote(rest, safe=""), path) + ("?" + urlencode(chosen) if chosen else "")
    body = None
    type = "application/json"
    if "requestBody" in operation:
        body = data.draw(bodies.map(json.dumps) | values.map(json.dumps) | st.text(max_size=50), label="body")
        type = data.draw(st.sampled_from(list(operation["requestBody"]["content"])), label="type")

    connection.request(method, target, None if body is None else body.encode(), {"content-type": type})
    reply = connection.getresponse()
    text = reply.read().decode()

    documented = operation["responses"]
    assert reply.status < 500, text
    assert str(reply.status) in documented or "4XX" in documented
    if 400 <= reply.status < 500:
        said = json.loads(text)
        assert said["error"]
        assert said["hint"]
    else:
        assert str(reply.status) in documented
        (kind,) = documented[str(reply.status)]["content"]
        assert reply.getheader("content-type", "").startswith(kind)

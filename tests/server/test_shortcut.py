"""The short way in and the long one: what is taken, what is left to aiohttp, and that both answer with the same bytes."""

import json
import re

import pytest
from rawclient import answer, asks, dechunked, post

from mock_server import Settings
from mock_server.server import connection
from mock_server.server.connection import begun_post

HEAD = b"POST /v1/messages HTTP/1.1\r\nHost: t\r\nX-Api-Key:  k \r\nContent-Length: 2\r\n"


def test_the_head_of_a_post_is_taken_apart() -> None:
    head = begun_post(HEAD + b"\r\n{}")
    assert head is not None
    assert head.path == "/v1/messages"
    assert head.headers == {"host": "t", "x-api-key": "k", "content-length": "2"}
    assert head.sent == HEAD + b"\r\n"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}POST"], ids=["body not there yet", "half of it", "the next request too"]
)
def test_a_head_is_taken_however_much_of_the_body_is_there(body: bytes) -> None:
    assert begun_post(HEAD + b"\r\n" + body) is not None


def test_the_query_is_left_out_of_the_path() -> None:
    head = begun_post(HEAD.replace(b"/v1/messages", b"/v1/messages?beta=true") + b"\r\n{}")
    assert head is not None
    assert head.path == "/v1/messages"
    assert head.query == "beta=true"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(HEAD, id="head not there yet"),
        pytest.param(b"GET" + HEAD[4:] + b"\r\n{}", id="another method"),
        pytest.param(HEAD.replace(b"1.1", b"1.0") + b"\r\n{}", id="HTTP/1.0"),
        pytest.param(HEAD.replace(b"/v1", b"/%76") + b"\r\n{}", id="escaped path"),
        pytest.param(HEAD.replace(b"/v1", b"/v 1") + b"\r\n{}", id="space in the path"),
        pytest.param(HEAD.replace(b": 2", b": two") + b"\r\n{}", id="length is no number"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n{}", id="chunked"),
        pytest.param(HEAD + b"Content-Encoding: gzip\r\n\r\n{}", id="compressed"),
        pytest.param(HEAD + b"Expect: 100-continue\r\n\r\n{}", id="expects"),
        pytest.param(HEAD + b"Upgrade: h2c\r\n\r\n{}", id="upgrades"),
        pytest.param(HEAD + b"Connection: close\r\n\r\n{}", id="closes"),
        pytest.param(HEAD + b"Host: u\r\n\r\n{}", id="a header twice"),
        pytest.param(HEAD + b"Bad Header: x\r\n\r\n{}", id="space in a name"),
        pytest.param(HEAD + b" folded: x\r\n\r\n{}", id="folded line"),
        pytest.param(HEAD + b"nocolon\r\n\r\n{}", id="no colon"),
        pytest.param(HEAD + b"x: a\nb: c\r\n\r\n{}", id="bare line feed"),
        pytest.param(HEAD + b"x: a\0b\r\n\r\n{}", id="NUL"),
        pytest.param(HEAD + "x: ä\r\n\r\n{}".encode(), id="not ASCII"),
    ],
)
def test_anything_unusual_is_left_to_aiohttp(data: bytes) -> None:
    assert begun_post(data) is None


def test_this_aiohttp_has_what_the_short_way_needs() -> None:
    assert connection.SHORT_WAY


SCENARIOS = """
name: text
when: named
reply: Hello there, how are you?
---
name: paced
when: named
timing: {first: 2ms, gap: 1ms}
reply: one two three four
---
name: failing
when: named
error: overloaded_error
"""


@pytest.mark.parametrize("scenario", ["text", "paced", "failing"])
@pytest.mark.parametrize("stream", [False, True])
def test_both_ways_answer_with_the_same_bytes(serve, talk, monkeypatch, scenario: str, stream: bool) -> None:
    request = post(asks(f"[[scenario:{scenario}]]", stream=stream), "x-api-key: k", close=False)
    end = b'message_stop"}\n\n\r\n0\r\n\r\n' if stream and scenario != "failing" else b"}"
    received = {}
    for short in (True, False):
        monkeypatch.setattr(connection, "SHORT_WAY", short)
        server = serve(SCENARIOS, settings=Settings(port=0, seed=1))
        received[short] = talk(server, request, until=end)
    assert answer(received[True])[:2] == answer(received[False])[:2]
    bodies = [answer(data)[2] for data in received.values()]
    if answer(received[True])[1].get("transfer-encoding"):
        bodies = [dechunked(body) for body in bodies]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("short", [True, False], ids=["short", "long"])
def test_a_stream_cut_in_order_leaves_the_connection_to_the_next_request(serve, talk, monkeypatch, short: bool) -> None:
    monkeypatch.setattr(connection, "SHORT_WAY", short)
    server = serve("name: cut\nwhen: named\nreply: one two three\nfault: {type: truncate, after: 2}")
    cut = post(asks("[[scenario:cut]]", stream=True), "x-api-key: k", close=False)

    received = talk(server, cut + post(asks("[[scenario:cut]]", stream=True), "x-api-key: k"))

    assert received.count(b"HTTP/1.1 200 OK") == received.count(b"\r\n0\r\n\r\n") == 2


def test_what_a_client_sends_during_a_stream_waits_for_its_turn(serve, talk) -> None:
    server = serve(SCENARIOS, settings=Settings(port=0, seed=1))
    first = post(asks("[[scenario:paced]]", stream=True), "x-api-key: k", close=False)
    second = post(asks("[[scenario:text]]"), "x-api-key: k")
    received = talk(server, first + second)
    stream, _, rest = received.partition(b"\r\n0\r\n\r\n")
    assert stream.count(b"HTTP/1.1 200 OK") == 1
    assert json.loads(answer(rest)[2])["content"][0]["text"] == "Hello there, how are you?"


def test_many_requests_on_one_connection_get_ids_of_their_own(serve, talk) -> None:
    request = post(asks("[[scenario:text]]"), "x-api-key: k", close=False)
    received = b""
    server = serve(SCENARIOS)
    for _ in range(3):
        received += talk(server, request, until=b"}}")
    ids = re.findall(rb'"id":"(msg_01\w{22})"', received)
    assert len(set(ids)) == 3

"""What a connection has when: aiohttp's parser, task and timer are made for the first request that takes the long way."""

import http.client
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from rawclient import address, asks, post

from mock_server import MockServer
from mock_server.server import connection
from mock_server.server.connection import Connection

SCENARIOS = """
name: text
when: {prompt: text}
timing: instant
reply: Hello there, how are you?
---
name: held
when: {prompt: held}
gate: {name: door, after: 1}
reply: Hello there, how are you?
"""
POST, GET = ("POST", "/v1/messages"), ("GET", "/v1/models")


@pytest.fixture
def server(serve: Callable[..., MockServer]) -> MockServer:
    return serve(SCENARIOS)


def of(server: MockServer) -> list[Any]:
    """Its connections."""
    found = server._runner._server
    assert found is not None
    return server._call(lambda: found.connections)


def only(server: MockServer) -> Any:
    """Its one connection, once it is accepted."""
    while not (found := of(server)):
        pass
    (one,) = found
    return one


def look(server: MockServer) -> None:
    """What the server does every minute."""
    found = server._runner._server
    assert found is not None
    server._call(found._close_idle)


@pytest.mark.parametrize(
    ("asked", "joined"),
    [([POST, POST, POST], False), ([GET, POST], True), ([POST, GET, GET], True), ([POST, GET, POST, POST, GET], True)],
)
def test_a_connection_has_a_parser_from_the_first_request_on_that_needs_one(
    server: MockServer, asked: list[tuple[str, str]], joined: bool
) -> None:
    client = http.client.HTTPConnection(*address(server), timeout=20)
    for method, path in asked:
        client.request(method, path, asks("text") if method == "POST" else None, {"x-api-key": "k"})
        reply = client.getresponse()
        said = json.loads(reply.read())
        assert ("content" in said) is (method == "POST")
    one = only(server)
    assert one._is_joined is joined
    assert (one._task_handler is not None) is joined
    client.close()


def test_after_the_long_way_a_post_takes_the_short_one_again(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[bytes] = []
    leave = Connection._leave
    monkeypatch.setattr(Connection, "_leave", lambda self, data: (left.append(data[:4]), leave(self, data))[1])
    client = http.client.HTTPConnection(*address(server), timeout=20)
    for method, path in (GET, POST, GET, POST):
        client.request(method, path, asks("text") if method == "POST" else None, {"x-api-key": "k"})
        client.getresponse().read()
    client.close()
    assert left == [b"GET ", b"GET "]


@pytest.mark.parametrize(
    "first", [b"GET /v1/mod", b"NONSENSE\r\n\r\n", b"\x16\x03\x01\x02", b"POST /v1/messages HTTP/1.0\r\n"]
)
def test_a_connection_that_begins_otherwise_is_answered_as_ever(server: MockServer, first: bytes) -> None:
    with socket.create_connection(address(server), timeout=20) as client:
        client.sendall(first)
        if first.startswith(b"GET"):
            client.sendall(b"els HTTP/1.1\r\nhost: t\r\nx-api-key: k\r\n\r\n")
        elif first.startswith(b"POST"):
            body = asks("text")
            client.sendall(b"host: t\r\nx-api-key: k\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        status = client.recv(65_536).split(b" ")[1]
    assert status == (b"200" if first[:3] in (b"GET", b"POS") else b"400")


@pytest.mark.parametrize("after", [None, POST, GET])
def test_a_connection_that_nobody_uses_is_closed_in_time(
    server: MockServer, monkeypatch: pytest.MonkeyPatch, after: tuple[str, str] | None
) -> None:
    """One that is joined has a timer of aiohttp's, and stays until that rings."""
    client = http.client.HTTPConnection(*address(server), timeout=20)
    client.connect()
    if after is not None:
        client.request(*after, asks("text") if after is POST else None, {"x-api-key": "k"})
        client.getresponse().read()
    one = only(server)
    look(server)
    assert one.is_open
    server._call(lambda: setattr(one, "_next_keepalive_close_time", 0.0))
    look(server)
    assert bool(of(server)) is (after is GET)
    client.close()


def test_a_connection_in_use_is_never_idle(server: MockServer) -> None:
    data = post(asks("held", stream=True), "x-api-key: k", close=False)
    with (
        socket.create_connection(address(server), timeout=20) as client,
        socket.create_connection(address(server), timeout=20) as slow,
    ):
        client.sendall(data)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        slow.sendall(data[:-10])
        while not any(one._begun for one in of(server)):
            pass
        for one in of(server):
            server._call(lambda one=one: setattr(one, "_next_keepalive_close_time", 0.0))  # type: ignore[misc]
        look(server)
        assert len(of(server)) == 2


def test_where_aiohttp_lacks_a_field_all_is_made_at_once(
    serve: Callable[..., MockServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SHORT_WAY", False)
    server = serve(SCENARIOS)
    client = http.client.HTTPConnection(*address(server), timeout=20)
    for _ in range(2):
        client.request("POST", "/v1/messages", asks("text"), {"x-api-key": "k"})
        assert client.getresponse().read()
    assert [one._is_joined for one in of(server)] == [True]
    client.close()


def test_a_field_that_nobody_thought_of_is_made_when_it_is_asked_for(server: MockServer) -> None:
    with socket.create_connection(address(server), timeout=20) as client:
        client.sendall(post(asks("text"), "x-api-key: k", close=False))
        assert client.recv(65_536)
        one = only(server)
        assert not one._is_joined
        assert not hasattr(one, "get_buffer")  # uvloop asks for it
        assert not one._is_joined
        assert server._call(lambda: one.max_headers) == 128
        assert one._is_joined
        client.sendall(post(asks("text"), "x-api-key: k", close=False))
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")

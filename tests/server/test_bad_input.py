"""Bad input over a real socket: always the API's envelope or a clean close, and the next request is served."""

import json
import logging
import socket
import struct
import threading

import pytest
from rawclient import address, answer, asks, dechunked, post

KEY = "x-api-key: k"


def error_of(received: bytes) -> tuple[int, str, str]:
    status, headers, body = answer(received)
    assert headers["content-type"] == "application/json"
    assert headers["request-id"].startswith("req_")
    value = json.loads(body)
    assert value["type"] == "error"
    return status, value["error"]["type"], value["error"]["message"]


def still_serves(server, talk) -> bool:
    status, _, body = answer(talk(server, post(asks("[[scenario:hello]]"), KEY)))
    return status == 200 and json.loads(body)["content"][0]["text"] == "Hello!"


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("empty", b"", "not valid JSON: Expecting value: line 1 column 1 (char 0)"),
        ("brackets", b"[" * 1_000_000, "not valid JSON: nested too deeply"),
        ("not utf-8", b'{"model": "\xff"}', "not valid JSON: invalid UTF-8"),
        ("array", b"[]", "valid dictionary"),
        ("NaN", b'{"max_tokens": NaN}', "not valid JSON: NaN is not allowed"),
        ("a number of 5,000 digits", b'{"max_tokens": ' + b"9" * 5000 + b"}", "not valid JSON"),
        ("half", asks()[:-5], "not valid JSON"),
    ],
)
def test_a_body_that_is_no_request_is_a_400(serve, talk, name: str, body: bytes, says: str) -> None:
    server = serve()
    status, kind, message = error_of(talk(server, post(body, KEY)))
    assert (status, kind) == (400, "invalid_request_error")
    assert says in message
    assert still_serves(server, talk)


def test_a_body_over_32_mb_is_a_413_although_it_was_never_read(serve, talk) -> None:
    server = serve()
    body = b"x" * (33 * 1024 * 1024)
    received = talk(server, post(body, KEY))
    status, kind, _ = error_of(received)
    assert (status, kind) == (413, "request_too_large")
    assert answer(received)[1]["x-should-retry"] == "false"
    assert still_serves(server, talk)


def test_a_chunked_body_over_32_mb_is_a_413_too(serve, talk) -> None:
    server = serve()
    head = b"POST /v1/messages HTTP/1.1\r\nhost: t\r\nx-api-key: k\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    status, kind, _ = error_of(talk(server, head + piece * 33 + b"0\r\n\r\n", until=b"}}"))
    assert (status, kind) == (413, "request_too_large")
    assert still_serves(server, talk)


def test_a_body_of_two_megabytes_is_read(serve, talk) -> None:
    server = serve()
    status, _, _ = answer(talk(server, post(asks("[[scenario:hello]]" + "xxxxxx " * 290_000), KEY)))
    assert status == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\nhost: t\r\ncontent-length: x\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\nhost: t\r\nbad header\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\nhost: t\r\nx: " + b"a" * 100_000 + b"\r\n\r\n", 400),
    ],
)
def test_what_is_not_http_gets_an_envelope_and_a_close(serve, talk, data: bytes, status: int) -> None:
    server = serve()
    received = talk(server, data)
    assert error_of(received)[:2] == (status, "invalid_request_error")
    assert answer(received)[1]["connection"] == "close"
    assert still_serves(server, talk)


@pytest.mark.parametrize(
    ("request_line", "status", "kind"),
    [
        (b"GET /nowhere", 404, "not_found_error"),
        (b"GET /v1/messages", 405, "invalid_request_error"),
        (b"DELETE /v1/messages", 405, "invalid_request_error"),
        (b"BREW /v1/messages", 400, "invalid_request_error"),
        (b"POST /v1/messages", 401, "authentication_error"),
    ],
)
def test_paths_methods_and_missing_keys_are_envelopes(serve, talk, request_line, status, kind) -> None:
    server = serve()
    received = talk(server, request_line + b" HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
    assert error_of(received)[:2] == (status, kind)


def test_the_405_says_what_is_allowed(serve, talk) -> None:
    received = talk(serve(), b"GET /v1/messages HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
    assert answer(received)[1]["allow"] == "POST, OPTIONS"


def test_a_body_that_says_gzip_and_is_not_is_a_400(serve, talk) -> None:
    server = serve()
    status, kind, _ = error_of(talk(server, post(asks(), KEY, "content-encoding: gzip")))
    assert (status, kind) == (400, "invalid_request_error")
    assert still_serves(server, talk)


def test_a_head_request_has_no_body(serve, talk) -> None:
    received = talk(serve(), b"HEAD /_mock/health HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
    status, _, body = answer(received)
    assert (status, body) == (200, b"")


def test_a_client_that_waits_for_100_continue_gets_it(serve, talk) -> None:
    received = talk(serve(), post(asks("[[scenario:hello]]"), KEY, "expect: 100-continue"))
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_an_http_1_0_client_gets_its_stream_without_chunks(serve, talk) -> None:
    received = talk(serve(), post(asks("[[scenario:hello]]", stream=True), KEY, version="1.0", close=False))
    status, headers, body = answer(received)
    assert status == 200
    assert "transfer-encoding" not in headers
    assert body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


def test_two_requests_on_one_connection_are_answered_in_order(serve, talk) -> None:
    first = post(asks("[[scenario:hello]]"), KEY, close=False)
    received = talk(serve(), first + post(b"{", KEY))
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 400 Bad Request" in received


SLOW = """
name: hello
when: named
reply: Hello!
---
name: slow
when: named
timing: {gap: 30s}
reply: one two three
"""


def test_a_client_that_leaves_in_mid_stream_costs_one_log_line(serve, talk, caplog) -> None:
    from mock_server import Settings

    server = serve(SLOW, settings=Settings(port=0))
    said: list[str] = []
    left = threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())
            left.set()

    log, listener = logging.getLogger("mock_server"), Listener()
    log.addHandler(listener)
    with caplog.at_level(logging.INFO, logger="mock_server"):
        with socket.create_connection(address(server), timeout=10) as client:
            client.sendall(post(asks("[[scenario:slow]]", stream=True), KEY))
            received = b""
            while b"content_block_delta" not in received:
                received += client.recv(65536)
            # a reset rather than a polite end: the client is simply gone
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert left.wait(10)
    log.removeHandler(listener)
    assert len(said) == 1
    assert "slow turn 1, client_left" in said[0]
    assert still_serves(server, talk)


def test_a_paced_stream_is_whole_and_in_order(serve, talk) -> None:
    from mock_server import Settings
    from mock_server.protocol.sse import parse

    server = serve(
        "name: p\nwhen: named\ntiming: {first: 1ms, gap: 1ms}\nreply: a b c d e f g h", settings=Settings(port=0)
    )
    received = talk(server, post(asks("[[scenario:p]]", stream=True), KEY))
    payloads = list(parse(dechunked(answer(received)[2])))
    deltas = [p["delta"]["text"] for p in payloads if p["type"] == "content_block_delta"]
    assert "".join(deltas) == "a b c d e f g h"
    assert payloads[-1] == {"type": "message_stop"}


def test_our_own_fault_is_a_500_envelope_with_a_traceback_in_the_log(serve, talk, caplog, monkeypatch) -> None:
    from mock_server.engine.endpoints import messages as module

    server = serve()
    with monkeypatch.context() as patched:
        patched.setattr(module, "choose", lambda *_: 1 / 0)
        status, kind, _ = error_of(talk(server, post(asks(), KEY)))

    assert (status, kind) == (500, "api_error")
    assert "ZeroDivisionError" in caplog.text
    assert still_serves(server, talk)


def test_even_a_fault_outside_the_engine_is_an_envelope(serve, talk, caplog, monkeypatch) -> None:
    from mock_server.engine import engine as module

    server = serve()
    whole = module.Engine.handle
    monkeypatch.setattr(module.Engine, "handle", lambda *_, **how: 1 / 0)
    status, kind, _ = error_of(talk(server, post(asks(), KEY)))
    monkeypatch.setattr(module.Engine, "handle", whole)

    assert (status, kind) == (500, "api_error")
    assert "ZeroDivisionError" in caplog.text
    assert still_serves(server, talk)

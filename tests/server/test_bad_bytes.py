"""What a client sends or does is never a fault of ours: an envelope or a clean close, no 500 and no traceback."""

import json
import logging
import socket
import struct
from collections.abc import Iterator

import pytest
from rawclient import address, answer, asks, post

from mock_server import Settings

KEY = "x-api-key: k"
BODY = asks("[[scenario:hello]]")
_KEY = b"x-api-key: k"


@pytest.fixture(autouse=True)
def _nothing_is_a_fault_of_ours(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.WARNING):
        yield
    assert "Traceback" not in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def request(*headers: bytes, line: bytes = b"POST /v1/messages HTTP/1.1", body: bytes = BODY) -> bytes:
    host = () if any(header.lower().startswith(b"host:") for header in headers) else (b"host: 127.0.0.1",)
    lines = [line, *host, *headers, b"content-length: %d" % len(body), b"connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize("sent", [b"cl\xe9", b"cl\xc3\xa9"], ids=["latin-1", "utf-8"])
@pytest.mark.parametrize("header", ["x-api-key: ", "authorization: Bearer ", "cookie: a=", "x-a: ", "user-agent: "])
def test_bytes_in_a_header_are_read_as_text(serve, talk, header: str, sent: bytes) -> None:
    more = () if header.startswith(("x-api-key", "authorization")) else (_KEY,)
    server = serve(settings=Settings(port=0, time_scale=0))

    assert answer(talk(server, request(header.encode() + sent, *more)))[0] == 200
    shown = json.dumps(dict(server.journal.last.request_headers))
    assert "\\udc" not in shown


@pytest.mark.parametrize(
    ("headers", "status"),
    [((b"Host: [",), 403), ((b"Host: 127.0.0.1", b"Origin: http://["), 403), ((b"Host: a b",), 403)],
)
def test_a_host_or_an_origin_that_is_no_address_is_refused(serve, talk, headers, status: int) -> None:
    received = talk(serve(), request(*headers, line=b"GET /_mock/scenarios HTTP/1.1", body=b""))
    assert answer(received)[0] == status


@pytest.mark.parametrize(
    "line", [b"GET /", b"POST /v1/messages", b"GET /v1/models HTTP/0.9", b"POST /v1/messages HTTP/2.0"]
)
def test_a_request_line_without_a_version_of_ours_is_a_400(serve, talk, line: bytes) -> None:
    status, headers, body = answer(talk(serve(), request(_KEY, line=line)))
    assert (status, headers["connection"]) == (400, "close")
    assert json.loads(body)["error"]["message"].startswith("The request is not valid HTTP: ")


@pytest.mark.parametrize("digits", [30, 4_400, 60_000])
def test_a_length_of_many_digits_is_a_400(serve, talk, digits: int) -> None:
    head = b"POST /v1/messages HTTP/1.1\r\nhost: t\r\nx-api-key: k\r\ncontent-length: " + b"1" * digits + b"\r\n\r\n{}"
    status, _, body = answer(talk(serve(), head))
    assert (status, json.loads(body)["error"]["type"]) == (400, "invalid_request_error")


def form(*parts: bytes) -> bytes:
    body = b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + b"--B--\r\n"
    betas = b"anthropic-beta: files-api-2025-04-14"
    return request(
        _KEY, betas, b"content-type: multipart/form-data; boundary=B", line=b"POST /v1/files HTTP/1.1", body=body
    )


FILE = b'Content-Disposition: form-data; name="file"; filename="a.txt"\r\n'


@pytest.mark.parametrize(
    ("part", "status"),
    [
        pytest.param(FILE.replace(b"a.txt", b"\xe9.txt") + b"\r\nhi", 200, id="bytes in the file's name"),
        pytest.param(FILE + b"Content-Type: text/\xe9\r\n\r\nhi", 200, id="bytes in the file's type"),
        pytest.param(FILE + b"Content-Transfer-Encoding: binary\r\n\r\nhi", 200, id="binary"),
        pytest.param(FILE + b"Content-Transfer-Encoding: base64\r\n\r\naGk=", 400, id="base64"),
        pytest.param(FILE + b"Content-Transfer-Encoding: \xe9\r\n\r\nhi", 400, id="unknown encoding"),
        pytest.param(FILE + b"Content-Encoding: gzip\r\n\r\nhi", 400, id="gzip"),
        pytest.param(FILE.replace(b"a.txt", b"x" * 600_000) + b"\r\nhi", 400, id="a line of 600,000 bytes"),
        pytest.param(b"x" * 600_000 + b"\r\n" + FILE + b"\r\nhi", 400, id="a line before the headers"),
    ],
)
def test_a_part_of_a_form_is_a_file_or_a_400(serve, talk, part: bytes, status: int) -> None:
    server = serve()
    received = talk(server, form(part, b'Content-Disposition: form-data; name="\xe9"\r\n\r\nx'))
    assert answer(received)[0] == status
    if status == 400:
        assert json.loads(answer(received)[2])["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("profile", [["octen"], {}, 5, "octen/../x", "nobody"])
def test_a_profile_that_is_none_is_a_422(serve, talk, profile) -> None:
    body = json.dumps({"name": "s", "settings": {"profile": profile}}).encode()
    status, _, told = answer(talk(serve(), request(line=b"POST /_mock/sessions HTTP/1.1", body=body)))
    assert status == 422
    assert json.loads(told)["error"]


@pytest.mark.parametrize(
    "data",
    [
        post(BODY, KEY)[:-20],
        form(FILE + b"\r\nhi")[:-5],
        b"POST /v1/messages HTTP/1.1\r\nhost: t\r\nx-api-key: k\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
        request(_KEY, b"content-encoding: gzip")[:-5],
        request(_KEY, b"expect: 100-continue")[: -len(BODY)],
    ],
    ids=["body", "form", "chunk", "no gzip", "nothing after 100"],
)
@pytest.mark.parametrize("politely", [True, False], ids=["FIN", "RST"])
def test_a_client_may_leave_in_the_midst_of_its_request(serve, talk, data: bytes, politely: bool) -> None:
    server = serve()
    with socket.create_connection(address(server), timeout=10) as client:
        client.sendall(data)
        if not politely:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert answer(talk(server, post(BODY, KEY)))[0] == 200  # and what it did is over by now, in order
    assert [entry.status for entry in server.journal] in ([200], [400, 200])

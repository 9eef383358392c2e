"""Files over the wire: forms in every framing, those that are too large, names that play tricks, the folder."""

import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from rawclient import address, answer

from mock_server import MockServer

EDGE = "edge"
ZEROS = memoryview(bytes(1 << 20))


def part(data: bytes, disposition: str = 'name="file"; filename="a.txt"', *lines: str) -> bytes:
    head = [f"--{EDGE}", f"content-disposition: form-data; {disposition}", *lines]
    return "\r\n".join(head).encode("utf-8") + b"\r\n\r\n" + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{EDGE}--\r\n".encode()


def head(*lines: str, path: str = "/v1/files", kind: str = f"multipart/form-data; boundary={EDGE}") -> bytes:
    always = [f"POST {path} HTTP/1.1", "host: test", "x-api-key: k", f"content-type: {kind}", "connection: close"]
    return "\r\n".join([*always, *lines]).encode() + b"\r\n\r\n"


def sent(body: bytes, **how: str) -> bytes:
    return head(f"content-length: {len(body)}", **how) + body


def chunked(body: bytes, size: int = 7) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return head("transfer-encoding: chunked") + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def told(received: bytes) -> tuple[int, dict]:
    status, _, body = answer(received)
    return status, json.loads(body)


@pytest.mark.parametrize("framed", [sent, chunked])
def test_a_form_is_read_in_every_framing(serve, talk, framed) -> None:
    data = bytes(range(256)) * 3 + b"\r\n--edg\r\n--" + b"x"
    body = form(part(b"3600", 'name="expires_in_seconds"'), part(data, 'name="file"; filename="a.bin"'))

    status, file = told(talk(serve(), framed(body)))

    assert (status, file["filename"], file["size_bytes"]) == (200, "a.bin", len(data))
    assert file["expires_at"] is not None


def test_the_bytes_that_come_back_are_those_that_were_sent(serve, talk) -> None:
    server = serve(downloads="all")
    data = bytes(range(256)) * 5_000 + b"\r\n--edg\r\n--"
    _, file = told(talk(server, sent(form(part(data)))))

    get = f"GET /v1/files/{file['id']}/content HTTP/1.1\r\nhost: t\r\nx-api-key: k\r\nconnection: close\r\n\r\n"
    status, headers, body = answer(talk(server, get.encode()))

    assert (status, headers["content-type"], body == data) == (200, "text/plain", True)


@pytest.mark.parametrize(
    ("disposition", "lines", "filename", "mime_type"),
    [
        ('name="file"', (), "unnamed.bin", "application/octet-stream"),
        ('name="file"', ("content-type: application/pdf",), "unnamed.pdf", "application/pdf"),
        ('name="file"; filename="../../etc/passwd"', (), "passwd", "application/octet-stream"),
        ("name=\"file\"; filename*=UTF-8''%C3%A9t%C3%A9.txt", (), "été.txt", "text/plain"),
    ],
)
def test_names_and_types_are_those_of_the_part(serve, talk, disposition, lines, filename, mime_type) -> None:
    status, file = told(talk(serve(), sent(form(part(b"x", disposition, *lines)))))

    assert (status, file["filename"], file["mime_type"]) == (200, filename, mime_type)


@pytest.mark.parametrize(
    "data",
    [
        sent(form(part(b"x", 'name="file"; filename=".."'))),
        sent(form(part(b"x", "name=\"file\"; filename*=UTF-8''a%00b"))),
        sent(form(part(b"x", "name=\"file\"; filename*=UTF-8''c%3Aboot"))),
        sent(form(part(b"x"), part(b"y"))),
        sent(form(part(b"x", ""))),
        sent(form(part(b"60", 'name="expires_in_seconds"'), part(b"x"))),
        sent(form()),
        sent(b"no form at all"),
        sent(part(b"it ends too early")),
        sent(form(part(b"x")), kind="multipart/form-data"),
        sent(b'{"file": "x"}', kind="application/json"),
        sent(form(*[part(b"x", f'name="field-{at}"') for at in range(101)])),
        sent(b"before\r\n" * 20_001 + form(part(b"x"))),
    ],
)
def test_a_form_that_is_broken_gets_the_envelope(serve, talk, data: bytes) -> None:
    server = serve()

    status, body = told(talk(server, data))

    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert told(talk(server, sent(form(part(b"x")))))[0] == 200


def test_a_form_may_have_something_before_it(serve, talk) -> None:
    assert told(talk(serve(), sent(b"before\r\n" * 9 + form(part(b"x")))))[0] == 200


def test_an_upload_needs_a_key(serve, talk) -> None:
    received = talk(serve(), sent(form(part(b"x"))).replace(b"x-api-key: k\r\n", b""))

    assert told(received)[0] == 401


def test_the_journal_keeps_the_size_of_an_upload_and_not_its_bytes(serve, talk) -> None:
    server = serve()
    talk(server, sent(form(part(b"secret" * 1_000, 'name="file"; filename="a.txt"', "content-type: text/plain"))))

    kept = server.journal.last.request.raw
    assert json.loads(kept) == {"file": {"filename": "a.txt", "mime_type": "text/plain", "size_bytes": 6_000}}


# -- too large -------------------------------------------------------------------------------------------------------


def stream_zeros(server: MockServer, opening: bytes, total: int, frame: bool) -> bytes:
    """Send `total` zero bytes as the file without holding them, whatever comes back meanwhile; then read the answer."""
    with socket.create_connection(address(server), timeout=60) as client:
        received = bytearray()

        def read() -> None:
            while some := client.recv(65536):
                received.extend(some)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            client.sendall(opening)
            for _ in range(total >> 20):
                if frame:
                    client.sendall(b"100000\r\n")
                client.sendall(ZEROS)
                if frame:
                    client.sendall(b"\r\n")
            if frame:
                client.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        reader.join(60)
        return bytes(received)


def _memory(server: MockServer) -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_600_mb_of_known_length_are_refused_before_they_are_read(serve) -> None:
    server = serve()
    opening = head(f"content-length: {600 << 20}") + part(b"")[:-2]
    before = _memory(server)

    received = stream_zeros(server, opening, 600 << 20, frame=False)

    assert told(received)[0] == 413
    assert told(received)[1]["error"]["type"] == "request_too_large"
    assert _memory(server) - before < 100 << 20


def test_an_upload_of_unknown_length_is_refused_where_it_is_too_large(serve, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("mock_server.server.body.MOST_BYTES", 40 << 20)
    server = serve(files=str(tmp_path / "files"), file_bytes=1 << 40)
    first = part(b"")[:-2]
    opening = head("transfer-encoding: chunked") + b"%x\r\n%b\r\n" % (len(first), first)

    received = stream_zeros(server, opening, 80 << 20, frame=True)

    assert told(received)[0] == 413
    assert list((tmp_path / "files").iterdir()) == []


def test_what_the_session_has_no_room_for_is_refused_where_that_shows(serve) -> None:
    server = serve(file_bytes=4 << 20)
    first = part(b"")[:-2]
    opening = head("transfer-encoding: chunked") + b"%x\r\n%b\r\n" % (len(first), first)

    status, body = told(stream_zeros(server, opening, 40 << 20, frame=True))

    assert (status, body["error"]["details"]["error_code"]) == (400, "storage_quota_exceeded")


def test_other_bodies_stay_at_32_mb_and_batches_may_have_256(serve, talk) -> None:
    server = serve()
    for path, length, status in (
        ("/v1/messages", (32 << 20) + 1, 413),
        ("/v1/messages/batches", (256 << 20) + 1, 413),
        ("/llm/v1/messages/batches", (256 << 20) + 1, 413),
    ):
        received = talk(server, head(f"content-length: {length}", path=path, kind="application/json"), until=b"}}")
        assert told(received)[0] == status, path
    large = b'{"requests": [' + b" " * (33 << 20) + b"]}"
    status, body = told(talk(server, sent(large, path="/v1/messages/batches", kind="application/json")))
    assert (status, body["error"]["message"].startswith("requests:")) == (400, True)


# -- the folder ------------------------------------------------------------------------------------------------------


def test_in_a_folder_names_are_ours_and_nothing_is_left_behind(serve, talk, tmp_path: Path) -> None:
    folder = tmp_path / "below" / "files"
    server = serve(files=str(folder), downloads="all")
    _, kept = told(talk(server, sent(form(part(b"Hello", 'name="file"; filename="../../../evil.txt"')))))
    _, gone = told(talk(server, sent(form(part(b"Bye")))))

    assert sorted(file.read_bytes() for file in folder.iterdir()) == [b"Bye", b"Hello"]
    assert all(file.name.startswith("file_") for file in folder.iterdir())
    assert not list(tmp_path.rglob("evil*"))

    request = f"DELETE /v1/files/{gone['id']} HTTP/1.1\r\nhost: t\r\nx-api-key: k\r\nconnection: close\r\n\r\n"
    assert told(talk(server, request.encode()))[0] == 200
    assert [file.read_bytes() for file in folder.iterdir()] == [b"Hello"]
    assert kept["filename"] == "evil.txt"
    server.stop()
    assert list(folder.iterdir()) == []


def test_an_upload_that_breaks_off_leaves_nothing_in_the_folder(serve, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    server = serve(files=str(folder))
    with socket.create_connection(address(server), timeout=20) as client:
        client.sendall(head("content-length: 1000000") + part(b"x" * 100_000)[:-2])
        _wait(lambda: bool(list(folder.iterdir())))
    _wait(lambda: not list(folder.iterdir()))


def _wait(done) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.005)

"""TLS: the official SDK and bare sockets against a server with a certificate, on both event loops."""

import asyncio
import contextlib
import gc
import json
import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
import trustme
import uvloop

from mock_server import MockClient, MockServer, fault
from mock_server.server.runner import identity
from mock_server.settings import SettingError, Settings, Unusable

ASKED: Any = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
LONG = " ".join(f"word{number}" for number in range(6_000))


def run_on_uvloop(main: Any) -> Any:
    """`uvloop.run`, which may stand in the place of `asyncio.run`: from Python 3.12 on it calls that itself."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


@pytest.fixture(params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MockServer]:
    if request.param == "uvloop":
        monkeypatch.setattr(asyncio, "run", run_on_uvloop if sys.version_info >= (3, 12) else uvloop.run)
    with MockServer(tls="self-signed") as running:
        yield running


def client_of(server: MockServer, ca: Path | None = None) -> anthropic.Anthropic:
    trusted = ssl.create_default_context(cafile=str(ca or server.ca))
    return anthropic.Anthropic(
        base_url=server.url, api_key="test", max_retries=0, http_client=anthropic.DefaultHttpxClient(verify=trusted)
    )


def test_the_sdk_gets_json_and_streams_from_a_server_whose_ca_it_trusts(server: MockServer) -> None:
    assert server.url.startswith("https://127.0.0.1:")
    server.add("Hello!")
    with client_of(server) as client:
        for _ in range(3):  # one connection, the long way and the short one
            assert client.messages.create(**ASKED).content[0].text == "Hello!"
            with client.messages.stream(**ASKED) as stream:
                assert "".join(stream.text_stream) == "Hello!"


def test_a_long_stream_arrives_whole(server: MockServer) -> None:
    server.add(LONG)
    with client_of(server) as client, client.messages.stream(**{**ASKED, "max_tokens": 100_000}) as stream:
        assert stream.get_final_text() == LONG


def test_a_paced_stream_arrives_piece_by_piece(server: MockServer) -> None:
    server.override(time_scale=1.0)
    server.add("one two three", timing={"first": "1ms", "gap": "1ms"})
    with client_of(server) as client, client.messages.stream(**ASKED) as stream:
        assert list(stream.text_stream) == ["one", " two", " three"]


@pytest.mark.parametrize("kind", ["reset", "disconnect"])
def test_connections_break_as_over_plain_http(server: MockServer, kind: str) -> None:
    server.add("one two three", fault=fault(kind, after=2))
    with (
        client_of(server) as client,
        pytest.raises(httpx2.TransportError),
        client.messages.stream(**ASKED) as stream,
    ):
        stream.get_final_text()
    assert server.journal.last.outcome == "fault"


def test_a_client_that_does_not_trust_the_ca_is_told_so_by_its_own_tls(server: MockServer) -> None:
    other = trustme.CA()
    with (
        other.cert_pem.tempfile() as ca,
        client_of(server, Path(ca)) as client,
        pytest.raises(anthropic.APIConnectionError) as caught,
    ):
        client.messages.create(**ASKED)
    assert "certificate verify failed" in str(caught.value.__cause__)


def test_a_client_that_ends_its_side_first_is_no_trouble(server: MockServer, caplog: pytest.LogCaptureFixture) -> None:
    """An `eof_received` that keeps the connection half open is not to be had over TLS; asyncio warns of one."""
    context = ssl.create_default_context(cafile=str(server.ca))
    with (
        caplog.at_level(logging.WARNING),
        socket.create_connection((server._runner.host, server._runner.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(b"GET /_mock/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        with contextlib.suppress(ssl.SSLEOFError):  # asyncio says no goodbye on Python 3.10
            client.unwrap()  # waits for the server's own goodbye: it has seen ours
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_a_request_that_comes_with_the_end_of_its_client_is_no_trouble_either(
    server: MockServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The end is read together with the request: a reply is owed, and TLS has no half-open connections."""
    context = ssl.create_default_context(cafile=str(server.ca))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with (
        caplog.at_level(logging.WARNING),
        socket.create_connection((server._runner.host, server._runner.port), timeout=10) as plain,
    ):
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        body = json.dumps(ASKED).encode()
        head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: k\r\ncontent-length: {len(body)}\r\n\r\n"
        client.write(head.encode() + body)
        with contextlib.suppress(ssl.SSLWantReadError):
            client.unwrap()
        plain.sendall(outgoing.read())
        while plain.recv(65536):
            pass
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_the_variables_of_the_banner_are_those_that_clients_read(
    server: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("Hello!")
    monkeypatch.setenv("SSL_CERT_FILE", str(server.ca))
    with anthropic.Anthropic(base_url=server.url, api_key="test", max_retries=0) as client:
        assert client.messages.create(**ASKED).content[0].text == "Hello!"
    MockClient(server.url).assert_called(1)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ConnectionError, match="certificate verify failed"):
        MockClient(server.url)


def test_node_reads_the_other_one() -> None:
    node = shutil.which("node")
    if node is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no node here")
    with MockServer(tls="self-signed") as server:
        code = f"fetch('{server.url}/_mock/ready').then(async reply => console.log(await reply.text()))"
        environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(server.ca)}
        done = subprocess.run(
            [str(node), "-e", code], env=environment, capture_output=True, text=True, timeout=30, check=True
        )
    assert '"ready":true' in done.stdout


def test_the_ca_goes_when_the_server_stops() -> None:
    with MockServer(tls="self-signed") as server:
        ca = server.ca
        assert ca is not None
        assert ca.parent.stat().st_mode & 0o077 == 0
        assert [file.name for file in ca.parent.iterdir()] == ["ca.pem"]  # no key lies about
    assert not ca.parent.exists()
    assert server.ca is None


def test_the_ca_goes_when_the_server_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(Unusable, match="cannot be opened"):
        MockServer(tls="self-signed", journal=str(tmp_path / "none" / "journal.jsonl")).start()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["my_host", "a" * 64, "-x"])
def test_a_machine_may_have_a_name_that_no_certificate_can(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("mock_server.server.runner.socket.gethostname", lambda: name)
    with MockServer(tls="self-signed") as server:
        assert server.url.startswith("https://127.0.0.1:")


def test_a_certificate_of_ones_own(tmp_path: Path) -> None:
    ca = trustme.CA()
    made = ca.issue_cert("localhost")
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    made.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    with MockServer(host="localhost", tls_cert=str(tmp_path / "cert.pem"), tls_key=str(tmp_path / "key.pem")) as server:
        server.add("Hello!")
        assert server.url.startswith("https://localhost:")
        assert server.ca is None
        with client_of(server, tmp_path / "ca.pem") as client:
            assert client.messages.create(**ASKED).content[0].text == "Hello!"


# -- mistakes --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key, another key, one with a password, and what is none of them."""
    from cryptography.hazmat.primitives import serialization as how

    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    one, other = ca.issue_cert("localhost"), ca.issue_cert("localhost")
    one.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    one.private_key_pem.write_to_path(str(folder / "key.pem"))
    other.private_key_pem.write_to_path(str(folder / "other.pem"))
    key = how.load_pem_private_key(one.private_key_pem.bytes(), None)
    locked = key.private_bytes(how.Encoding.PEM, how.PrivateFormat.PKCS8, how.BestAvailableEncryption(b"secret"))
    (folder / "locked.pem").write_bytes(locked)
    (folder / "text.pem").write_text("no certificate")
    os.mkfifo(folder / "pipe.pem")
    return folder


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"tls_cert": "pipe.pem"}, "--tls-cert: pipe.pem: not a file"),
        ({"tls_cert": "gone.pem"}, "--tls-cert: gone.pem: cannot be read: No such file or directory"),
        (
            {"tls_cert": "cert.pem", "tls_key": "gone.pem"},
            "--tls-key: gone.pem: cannot be read: No such file or directory",
        ),
        (
            {"tls_cert": "cert.pem", "tls_key": "other.pem"},
            "--tls-cert: cert.pem and other.pem: the key is not that of the certificate",
        ),
        ({"tls_cert": "cert.pem", "tls_key": "locked.pem"}, "--tls-key: the key has a password; give one without"),
        (
            {"tls_cert": "text.pem"},
            "--tls-cert: text.pem: expected PEM: the certificate, its chain, and the key (or --tls-key)",
        ),
        (
            {"tls_cert": "cert.pem"},
            "--tls-cert: cert.pem: expected PEM: the certificate, its chain, and the key (or --tls-key)",
        ),
        ({"tls_key": "key.pem"}, "--tls-key belongs to a certificate: give --tls-cert too"),
        (
            {"tls": "self-signed", "tls_cert": "cert.pem"},
            "--tls self-signed makes its own certificate; leave out --tls-cert and --tls-key, or it",
        ),
    ],
)
def test_tls_that_cannot_be_is_one_line(
    files: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, str], line: str
) -> None:
    monkeypatch.chdir(files)
    with pytest.raises(SettingError) as caught:
        identity(Settings(**said))
    assert str(caught.value) == line
    with pytest.raises(SettingError), MockServer(**said):
        pass


def test_self_signed_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(SettingError, match="needs trustme, which the extra `tls` brings: pip install trustme"):
        identity(Settings(tls="self-signed"))


def test_where_nothing_can_be_written_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone too"))
    monkeypatch.setattr("mock_server.server.runner.SHARED_MEMORY", str(tmp_path / "gone as well"))
    with pytest.raises(SettingError, match="no folder to put its CA into; set TMPDIR"):
        identity(Settings(tls="self-signed"))


@pytest.fixture(autouse=True)
def _no_litter() -> Iterator[None]:
    """Connections that a test has broken are collected within it: their warnings belong to it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()

"""One way in: whoever asks, and in however many reads, a plain POST never enters aiohttp's parser; and what came before is
answered from memory, bytes to bytes, as everything else that looks at exchanges can see.
"""

import ast
import http.client
import inspect
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from aiohttp.web_protocol import RequestHandler
from rawclient import address, answer, asks, dechunked, post

from mock_server import MockServer, Settings
from mock_server.server import connection
from mock_server.server.connection import Connection

SCENARIOS = """
name: text
when: {prompt: text}
timing: instant
reply: Hello there, how are you?
---
name: calls
when: {prompt: call}
timing: instant
reply: [{type: text, text: Let me see.}, {type: tool_use, name: weather, input: {city: Rome}}]
contradicts: true
---
name: paced
when: {prompt: pace}
timing: {first: 1ms, gap: 2ms, chunk: word}
reply: Each word has its own time.
---
name: slow
when: {prompt: slow}
timing: {gap: 60s, chunk: word}
reply: Not today.
"""


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was left to aiohttp's parser."""
    left: list[bytes] = []
    leave = Connection._leave

    def leaving(self: Connection, data: bytes) -> None:
        left.append(data)
        leave(self, data)

    monkeypatch.setattr(Connection, "_leave", leaving)
    return left


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """How many requests were answered from memory."""
    counted: list[None] = []
    repeat = Connection._repeat

    def repeating(self: Connection, known: Any, came: bytes) -> None:
        counted.append(None)
        repeat(self, known, came)

    monkeypatch.setattr(Connection, "_repeat", repeating)
    return counted


# -- one way in -------------------------------------------------------------------------------------------------------


def test_calls_of_the_python_sdk_never_enter_aiohttps_parser(serve, parsed: list[bytes]) -> None:
    server = serve(SCENARIOS)
    with anthropic.Anthropic(base_url=server.url, api_key="k") as client:
        for at in range(50):
            message = {"role": "user", "content": f"text {at} " + "x" * (at * 20_000)}
            said = client.messages.create(model="claude-opus-4-8", max_tokens=99, messages=[message])  # type: ignore[list-item]
            assert said.content[0].text == "Hello there, how are you?"  # type: ignore[union-attr]
            with client.messages.stream(model="claude-opus-4-8", max_tokens=99, messages=[message]) as stream:  # type: ignore[list-item]
                assert stream.get_final_text() == "Hello there, how are you?"

    assert parsed == []


def test_calls_that_send_head_and_body_apart_never_enter_aiohttps_parser(serve, parsed: list[bytes]) -> None:
    server = serve(SCENARIOS)
    client = http.client.HTTPConnection(*address(server))
    for size in (10, 300_000, 2_000_000):
        client.request("POST", "/v1/messages", asks("text " + "x" * size), {"x-api-key": "k"})
        reply = client.getresponse()
        assert json.loads(reply.read())["content"][0]["text"] == "Hello there, how are you?"
    client.close()

    assert parsed == []


def test_the_first_of_two_in_one_read_is_answered_and_the_next_waits_for_its_rest(serve, parsed: list[bytes]) -> None:
    server = serve(SCENARIOS)
    one = post(asks("text"), "x-api-key: k", close=False)
    with socket.create_connection(address(server), timeout=20) as client:
        client.sendall(one + one[:40])
        received = read(client, 1)
        client.sendall(one[40:])
        received += read(client, 1)

    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert parsed == []


def test_a_request_is_answered_though_what_stands_behind_it_is_none(serve, talk) -> None:
    server = serve(SCENARIOS)
    received = talk(server, post(asks("text"), "x-api-key: k", close=False) + b"\r\nrubbish\r\n\r\n")

    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.count(b"HTTP/1.1 400 Bad Request") == 1


def test_a_body_that_is_too_large_is_refused_before_it_has_come(serve, talk) -> None:
    server = serve(SCENARIOS)
    head = b"POST /v1/messages HTTP/1.1\r\nhost: t\r\nx-api-key: k\r\ncontent-length: 40000000\r\n\r\n"

    assert talk(server, head + b"{", until=b"}}").startswith(b"HTTP/1.1 413 ")


def test_a_client_that_leaves_amid_its_body_is_forgotten(serve, talk) -> None:
    server = serve(SCENARIOS)
    whole = post(asks("text"), "x-api-key: k", close=False)
    with socket.create_connection(address(server), timeout=20) as client:
        client.sendall(whole[:-5])
    with socket.create_connection(address(server), timeout=20) as client:
        client.sendall(whole[:-5])
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""

    assert talk(server, post(asks("text"), "x-api-key: k")).startswith(b"HTTP/1.1 200 OK")
    assert len(server.journal) == 1


def test_aiohttp_has_every_private_thing_that_a_connection_uses_of_it() -> None:
    assert connection.SHORT_WAY
    tree = ast.parse(inspect.getsource(connection))
    made = next(one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == "Connection")
    used = {
        one.attr
        for one in ast.walk(made)
        if isinstance(one, ast.Attribute)
        and one.attr.startswith("_")
        and not one.attr.startswith("__")
        and ((isinstance(one.value, ast.Name) and one.value.id == "self") or isinstance(one.value, ast.Call))
    }
    own = {name for name in vars(Connection) if name.startswith("_")} | set(Connection.__slots__)

    assert used - own <= connection._FIELDS
    assert all(hasattr(RequestHandler, name) for name in connection._FIELDS)


# -- from memory ------------------------------------------------------------------------------------------------------

ID = re.compile(rb"\b(msg|req|toolu)_\w+")


def read(client: socket.socket, replies: int, ends: tuple[bytes, ...] = (b"}}", b"0\r\n\r\n")) -> bytes:
    received = b""
    while not received.endswith(ends) or received.count(b"HTTP/1.1 ") < replies:
        received += client.recv(65536)
    return received


@pytest.fixture
def ask(serve) -> Iterator[Callable[..., bytes]]:
    """Asks a server over one connection, in so many pieces; gives the reply with the date and ids masked."""
    clients: dict[MockServer, socket.socket] = {}

    def send(server: MockServer, *pieces: bytes) -> bytes:
        client = clients.get(server) or socket.create_connection(address(server), timeout=20)
        clients[server] = client
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        return read(client, 1)

    yield send
    for client in clients.values():
        client.close()


def masked(data: bytes) -> bytes:
    return re.sub(rb"date: [^\r]+", b"date: D", ID.sub(b"ID", data))


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("prompt", ["text", "call", "nobody answers this"])
@pytest.mark.parametrize("profile", ["octen", "anthropic"])
def test_the_same_bytes_again_get_the_same_bytes_but_for_ids(
    serve, ask, again: list[None], prompt: str, stream: bool, profile: str
) -> None:
    server = serve(SCENARIOS, settings=Settings(port=0, profile=profile, time_scale=0))
    request = post(asks(prompt, stream=stream), "x-api-key: k", "anthropic-version: 2023-06-01", close=False)
    head, _, body = request.partition(b"\r\n\r\n")

    replies = [ask(server, request) for _ in range(5)] + [ask(server, head + b"\r\n\r\n", body) for _ in range(3)]

    assert len(set(map(masked, replies))) == 1
    assert len({tuple(found[0] for found in ID.finditer(one)) for one in replies}) == len(replies)
    assert len(again) == 6
    assert len(server.journal) == server.journal.total == len(replies)
    for entry, received in zip(server.journal, replies, strict=True):
        _, headers, sent = answer(received)
        assert entry.headers.items() <= headers.items()
        assert entry.sent == (dechunked(sent) if stream else sent)
        assert entry.request.prompt == prompt
        assert entry.outcome == "completed"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_a_reply_that_takes_time_takes_it_again(serve, ask, again: list[None], stream: bool) -> None:
    server = serve(SCENARIOS, settings=Settings(port=0, time_scale=1))
    request = post(asks("pace", stream=stream), "x-api-key: k", close=False)

    replies = [ask(server, request) for _ in range(5)]

    bodies = [answer(one)[2] for one in replies]
    assert len({ID.sub(b"ID", dechunked(body) if stream else body) for body in bodies}) == 1
    assert len({tuple(found[0] for found in ID.finditer(one)) for one in replies}) == len(replies)
    assert len(again) == 3
    journal = server.journal.wait_for(5)
    for entry, received in zip(journal, replies, strict=True):
        _, headers, sent = answer(received)
        assert entry.headers.items() <= headers.items()
        assert entry.sent == (dechunked(sent) if stream else sent)
        assert entry.outcome == "completed"
        assert entry.is_paced
        assert len(entry.sent_at) == len(entry.due_at) > 0
        assert all(at >= due - 0.001 for at, due in zip(entry.sent_at, entry.due_at, strict=True))
        assert entry.due_at == journal[0].due_at


def test_one_that_is_under_way_again_is_open_until_its_client_leaves_or_its_server_ends(
    serve, again: list[None]
) -> None:
    server = serve(SCENARIOS, settings=Settings(port=0, time_scale=1))
    request = post(asks("slow", stream=True), "x-api-key: k", close=False)
    clients = []
    for _ in range(5):
        clients.append(socket.create_connection(address(server), timeout=20))
        clients[-1].sendall(request)
        assert b"message_start" in clients[-1].recv(65536)
    assert len(again) == 3
    assert server.journal.open == 5
    assert all(entry.is_open for entry in server.journal)

    clients[4].close()
    left = server.journal[4].wait()
    assert (left.outcome, left.text) == ("client_left", "Not today.")
    assert 0 < len([at for at in left.sent_at if at is not None]) < len(left.due_at)

    server.stop()
    assert [entry.outcome for entry in server.journal] == ["ended"] * 4 + ["client_left"]
    assert server.journal.open == 0
    for client in clients[:4]:
        client.close()


def test_what_comes_behind_one_that_takes_its_time_again_waits_for_it(serve, again: list[None]) -> None:
    server = serve(SCENARIOS, settings=Settings(port=0, time_scale=1))
    slow, fast = (post(asks(prompt, stream=True), "x-api-key: k", close=False) for prompt in ("pace", "text"))
    with socket.create_connection(address(server), timeout=20) as client:
        for _ in range(3):
            client.sendall(slow + fast + slow)
            assert read(client, 3).count(b"HTTP/1.1 200 OK") == 3
    assert len(again) == 2  # the last ones; what others stand behind is read as any other
    assert [entry.scenario for entry in server.journal.wait_for(9)] == ["paced", "text", "paced"] * 3


def test_a_mistake_of_ours_in_one_again_is_told_and_the_server_lives_on(
    serve, ask, again: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(SCENARIOS, settings=Settings(port=0, time_scale=1))
    request = post(asks("pace"), "x-api-key: k", close=False)
    for _ in range(3):
        ask(server, request)
    assert len(again) == 1

    def broken(*args: Any, **how: Any) -> Any:
        raise RuntimeError("a mistake of ours")

    with monkeypatch.context() as patched:
        patched.setattr(connection, "opening_of", broken)
        with socket.create_connection(address(server), timeout=20) as client:
            client.sendall(request)
            status, _, body = answer(b"".join(iter(lambda: client.recv(65536), b"")))
    assert (status, json.loads(body)["error"]["type"]) == (500, "api_error")
    with socket.create_connection(address(server), timeout=20) as client:
        client.sendall(request)
        assert answer(read(client, 1))[0] == 200
    assert [entry.outcome for entry in server.journal.wait_for(5)] == [*["completed"] * 3, "fault", "completed"]


@pytest.mark.parametrize(("prompt", "outcome"), [("text", "completed"), ("slow", "open")])
def test_who_watches_is_told_of_each(serve, again: list[None], prompt: str, outcome: str) -> None:
    server = serve(SCENARIOS, settings=Settings(port=0, time_scale=1))
    watching = http.client.HTTPConnection(*address(server), timeout=20)
    watching.request("GET", "/_mock/journal/stream")
    reply = watching.getresponse()
    for number in range(1, 5):
        with socket.create_connection(address(server), timeout=20) as client:
            client.sendall(post(asks(prompt, stream=True), "x-api-key: k", close=False))
            told: tuple[object, object] = (0, None)
            while told != (number, outcome):
                line = reply.readline()
                if line.startswith(b"data: {") and "number" in (data := json.loads(line[6:])):
                    told = (data["number"], data["outcome"])
    watching.close()
    assert len(again) == 2


@pytest.mark.parametrize("prompt", ["text", "pace"])
def test_the_log_has_the_path_of_each_as_it_came(
    serve, ask, again: list[None], prompt: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mock_server")
    server = serve(SCENARIOS, settings=Settings(port=0, time_scale=1))
    request = post(asks(prompt, stream=True), "x-api-key: k", close=False).replace(b"POST /v1", b"POST /llm/s/one/v1")
    for _ in range(4):
        ask(server, request)
    assert len(again) == 2
    assert caplog.text.count("POST /llm/s/one/v1/messages 200 stream") == 4


@pytest.mark.parametrize("prompt", ["text", "pace"])
def test_who_looks_at_exchanges_sees_remembered_ones_as_others(
    serve, ask, again: list[None], tmp_path: Path, prompt: str, caplog: pytest.LogCaptureFixture
) -> None:
    scenario = {"text": "text", "pace": "paced"}[prompt]
    caplog.set_level("INFO", "mock_server")
    server = serve(SCENARIOS, settings=Settings(port=0, time_scale=1, journal=str(tmp_path / "journal.jsonl")))
    told = [ask(server, post(asks(prompt), "x-api-key: k", close=False)) for _ in range(6)]

    assert len(again) == 4
    ids = [json.loads(answer(one)[2])["id"] for one in told]
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [line["reply"]["body"]["id"] for line in lines] == ids
    client = http.client.HTTPConnection(*address(server))
    client.request("GET", "/_mock/metrics")
    metrics = client.getresponse().read().decode()
    client.close()
    assert f'mock_server_requests_total{{scenario="{scenario}",status="200",outcome="completed"}} 6' in metrics
    assert server.journal.played(scenario) == 6
    assert caplog.text.count(f"POST /v1/messages 200 json {scenario} turn 1, completed") == 6
    assert len({entry.reply["id"] for entry in server.journal}) == 6
    assert [entry.tokens for entry in server.journal] == [server.journal[0].tokens] * 6

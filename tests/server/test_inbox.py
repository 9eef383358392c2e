"""Requests that wait for their turn, on a loop whose time is turned by hand, and what becomes of them on a connection."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from handloop import HandLoop

from mock_server import Settings
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.server import app as application
from mock_server.server.connection import MOST_PATIENCE, SLICE, Connection, Inbox
from mock_server.server.player import Wheel
from mock_server.server.runner import Runner


def asking(prompt: bytes, more: bytes = b"") -> bytes:
    body = b'{"model":"claude-opus-4-8","max_tokens":9,"messages":[{"role":"user","content":"%b"}]%b}' % (prompt, more)
    return b"POST /v1/messages HTTP/1.1\r\nhost: t\r\nx-api-key: k\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


POST = asking(b"Hi")


class Answers:
    """Answers that take time, and the order in which they were given."""

    def __init__(self, loop: HandLoop, took: float) -> None:
        self._loop, self._took = loop, took
        self.given: list[str] = []

    def answer(self, http: HttpRequest, sent: bytes, came: float) -> None:
        self.given.append(http.path)
        self._loop.now += self._took


def post(name: str) -> tuple[HttpRequest, bytes]:
    return HttpRequest("POST", name, {}), b""


def test_nothing_is_answered_before_everything_that_came_was_taken() -> None:
    loop = HandLoop()
    inbox, answers = Inbox(loop), Answers(loop, 0.0)
    for name in "abc":
        inbox.put(answers.answer, *post(name))
    assert answers.given == []
    assert len(inbox) == 3

    loop.turn_to(loop.now)

    assert answers.given == ["a", "b", "c"]
    assert len(inbox) == 0


def test_others_have_their_turn_after_a_slice() -> None:
    loop = HandLoop()
    inbox, answers = Inbox(loop), Answers(loop, SLICE * 0.6)
    for name in "abcd":
        inbox.put(answers.answer, *post(name))
    loop.call_soon(lambda: answers.given.append("another's turn"))

    loop.turn_to(loop.now + 1)

    assert answers.given == ["a", "b", "another's turn", "c", "d"]


def test_replies_go_out_together_while_others_wait() -> None:
    loop = HandLoop()
    inbox = Inbox(loop)
    done: list[str] = []

    class Client(asyncio.WriteTransport):
        def write(self, data: Any) -> None:
            done.append(f"{data.decode()} is sent")

    def answer(http: HttpRequest, sent: bytes, came: float) -> None:
        done.append(f"{http.path} is answered")
        inbox.send(client, http.path.encode())
        loop.now += SLICE * 0.6
        if http.path == "c":
            raise RuntimeError("a mistake of ours")

    client = Client()
    for name in "abc":
        inbox.put(answer, *post(name))
    with pytest.raises(RuntimeError):
        loop.turn_to(loop.now + 1)
    inbox.put(answer, *post("d"))
    loop.turn_to(loop.now + 1)
    inbox.send(client, b"one without a slice")

    assert done == [
        *("a is answered", "b is answered", "a is sent", "b is sent"),
        *("c is answered", "c is sent", "d is answered", "d is sent"),
        "one without a slice is sent",
    ]


def test_one_that_raises_takes_nobody_with_it() -> None:
    loop = HandLoop()
    inbox, answers = Inbox(loop), Answers(loop, 0.0)

    def broken(http: HttpRequest, sent: bytes, came: float) -> None:
        raise RuntimeError("a mistake of ours")

    inbox.put(broken, *post("a"))
    inbox.put(answers.answer, *post("b"))
    with pytest.raises(RuntimeError):
        loop.turn_to(loop.now)
    inbox.put(answers.answer, *post("c"))
    loop.turn_to(loop.now)

    assert answers.given == ["b", "c"]


def test_streams_wait_as_long_as_requests_do_but_not_for_ever() -> None:
    loop = HandLoop()
    inbox = Inbox(loop)
    assert inbox.patience(loop.now) == 0

    inbox.put(lambda http, sent, came: None, *post("a"))

    assert inbox.patience(loop.now + 0.01) == pytest.approx(0.01)
    assert inbox.patience(loop.now + 9) == MOST_PATIENCE


def test_what_falls_due_while_streams_wait_is_stepped_once() -> None:
    loop = HandLoop()
    waits = 0.0
    wheel = Wheel(loop, lambda now: waits)
    stepped: list[float] = []

    class Often:
        def step(self, now: float) -> float:
            stepped.append(round((now - 100) * 1000))
            return now + 0.005

    wheel.add(100.005, Often())
    loop.turn_to(100.007)
    waits = 0.02
    loop.turn_to(100.04)
    waits = 0.0
    loop.turn_to(100.055)

    assert stepped == [6, 27, 48, 54]


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing to close."""


Connect = Callable[[], tuple[Connection, Transport]]


def on_server(talk: Callable[[Runner, Connect], Awaitable[None]], *, time_scale: float = 0.0) -> None:
    """Run a conversation with a server whose connections are made by hand."""

    async def run() -> None:
        runner = Runner(Settings(port=0, time_scale=time_scale), ())
        await runner.start()
        server, connections = runner._server, []
        assert server is not None

        def connect() -> tuple[Connection, Transport]:
            connection, transport = server(), Transport()
            assert isinstance(connection, Connection)
            connection.connection_made(transport)
            connections.append(connection)
            return connection, transport

        try:
            await talk(runner, connect)
        finally:
            for connection in connections:
                connection.connection_lost(None)
            await runner.stop()

    asyncio.run(run())


async def turns() -> None:
    """Let the loop go round: long enough for what is here."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_client_that_leaves_before_its_turn_is_in_the_journal_all_the_same() -> None:
    async def talk(runner: Runner, connect: Connect) -> None:
        (left, _), (stays, answered) = connect(), connect()
        await asyncio.sleep(0)
        left.data_received(POST)
        stays.data_received(POST)
        left.connection_lost(None)
        await turns()

        journal = runner.engine.sessions.default.journal
        assert [(entry.outcome, entry.sent == b"") for entry in journal] == [
            ("client_left", True),
            ("completed", False),
        ]
        assert answered.written.startswith(b"HTTP/1.1 200 OK\r\n")

    on_server(talk)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_reply_that_we_cannot_send_is_a_500_and_ends(is_late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(plan: Any) -> int:
        raise RuntimeError("a mistake of ours")

    async def talk(runner: Runner, connect: Connect) -> None:
        if is_late:
            runner.engine.load(loads("name: long\ntiming: {chunk: word}\nreply: " + "word " * 5_000))
        connection, transport = connect()
        await asyncio.sleep(0)
        monkeypatch.setattr("mock_server.server.connection.frames_at_once", broken)
        connection.data_received(POST)
        (entry,) = await runner.engine.sessions.default.journal.wait_for_async(1)

        assert entry.outcome == "fault"
        await turns()
        assert transport.written.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert b"api_error" in transport.written

    on_server(talk)


def test_a_request_behind_one_that_waits_is_answered_after_it() -> None:
    async def talk(runner: Runner, connect: Connect) -> None:
        connection, transport = connect()
        await asyncio.sleep(0)
        connection.data_received(POST)
        connection.data_received(POST)
        await turns()
        assert transport.written.count(b"HTTP/1.1 200 OK\r\n") == 2

    on_server(talk)


def test_of_two_that_came_before_on_one_connection_the_second_waits_for_the_end_of_the_first() -> None:
    async def talk(runner: Runner, connect: Connect) -> None:
        runner.engine.load(loads("name: paced\ntiming: {first: 1ms, gap: 1ms, chunk: word}\nreply: Word by word."))
        connection, transport = connect()
        journal = runner.engine.sessions.default.journal
        stream = asking(b"Hi", b',"stream":true')
        for count in (1, 2, 3):
            connection.data_received(stream)
            await journal.wait_for_async(count)
            await turns()
        transport.written = b""

        connection.data_received(stream)
        connection.data_received(stream)
        await journal.wait_for_async(5)
        await turns()

        _, *replies = transport.written.split(b"HTTP/1.1 200 OK")
        assert [reply.endswith(b"0\r\n\r\n") for reply in replies] == [True, True]

    on_server(talk, time_scale=1)


def test_a_mistake_of_ours_in_what_came_before_is_a_500(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> bytes:
        raise RuntimeError("a mistake of ours")

    async def talk(runner: Runner, connect: Connect) -> None:
        connection, _ = connect()
        for _ in range(3):
            connection.data_received(POST)
            await turns()
        monkeypatch.setattr(application.App, "again", broken)
        another, transport = connect()
        another.data_received(POST)
        await turns()
        assert transport.written.startswith(b"HTTP/1.1 500 ")
        assert b'"type":"api_error"' in transport.written

    on_server(talk)


def test_what_changes_while_a_request_that_came_before_waits_for_its_turn_changes_its_reply() -> None:
    paced = "name: paced\nwhen: {prompt: Hi}\ntiming: {first: 1ms, gap: 1ms, chunk: word}\nreply: %s"

    async def talk(runner: Runner, connect: Connect) -> None:
        runner.engine.load(loads(paced % "As it was."))
        connection, transport = connect()
        journal = runner.engine.sessions.default.journal
        for count in (1, 2, 3):
            connection.data_received(POST)
            await journal.wait_for_async(count)
        assert runner.engine.remembered(POST) is not None

        connection.data_received(POST)
        other, _ = connect()
        other.data_received(asking(b"Hi, too"))
        runner.engine.load(loads(paced % "As it is now."))
        *_, first, second = await journal.wait_for_async(5)

        assert [entry.text for entry in journal] == ["As it was."] * 3 + ["As it is now."] * 2
        await turns()
        assert transport.written.count(b"HTTP/1.1 200 OK\r\n") == 4
        assert (first.request.prompt, second.request.prompt) == ("Hi", "Hi, too")  # it keeps its turn
        assert {first.outcome, second.outcome} == {"completed"}

    on_server(talk, time_scale=1)


@pytest.fixture
def a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's own mistake, in the first request that comes."""
    exchange = application.App.exchange
    told: list[HttpRequest] = []

    def broken(self: application.App, http: HttpRequest, **how: Any) -> Any:
        told.append(http)
        if len(told) == 1:
            raise RuntimeError("a mistake of ours")
        return exchange(self, http, **how)

    monkeypatch.setattr(application.App, "exchange", broken)


@pytest.mark.usefixtures("a_fault")
def test_a_fault_of_ours_is_a_500_and_the_next_in_line_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(runner: Runner, connect: Connect) -> None:
        (one, told), (another, answered) = connect(), connect()
        await asyncio.sleep(0)
        one.data_received(POST)
        another.data_received(POST)
        await turns()
        assert told.written.startswith(b"HTTP/1.1 500 ")
        assert b'"type":"api_error"' in told.written
        assert b"\r\nconnection: close\r\n" in told.written
        assert answered.written.startswith(b"HTTP/1.1 200 OK\r\n")

    on_server(talk)
    assert "a mistake of ours" in caplog.text

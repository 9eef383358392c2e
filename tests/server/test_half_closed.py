"""A client that sends its request, closes its half of the connection and waits for the reply, as `nc -N` does."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from rawclient import answer, asks, dechunked, post

from mock_server import Settings
from mock_server.server.runner import Runner

SCENARIOS = """
name: now
when: named
timing: instant
reply: Hello!
---
name: later
when: named
timing: {first: 10s}
reply: Hello!
---
name: midway
when: named
timing: {gap: 10s}
reply: one two three
---
name: cut
when: named
timing: instant
reply: one two three
fault: {type: truncate, after: 2}
"""
KEY = "x-api-key: k"


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    module = asyncio if request.param == "asyncio" else pytest.importorskip("uvloop")
    made = module.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def talking(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> Callable[..., Any]:
    """Run `talk(runner)` beside a server on the loop."""
    (tmp_path / "half.yaml").write_text(SCENARIOS)

    def run(talk: Callable[[Runner], Coroutine[Any, Any, Any]]) -> Any:
        async def beside() -> Any:
            runner = Runner(Settings(port=0), [tmp_path])
            await runner.start()
            try:
                return await asyncio.wait_for(talk(runner), 20)
            finally:
                await runner.stop()

        return loop.run_until_complete(beside())

    return run


def half_closing(*pieces: bytes) -> Callable[[Runner], Coroutine[Any, Any, tuple[bytes, list[str | None]]]]:
    """Send the pieces, close this half, and read to the end; what came, and the outcomes in the journal."""

    async def talk(runner: Runner) -> tuple[bytes, list[str | None]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", runner.port)
        for piece in pieces:
            writer.write(piece)
            for _ in range(5):  # turns of the loop in which the server reads it
                await asyncio.sleep(0)
        writer.write_eof()
        received = await reader.read()
        writer.close()
        return received, [entry.outcome for entry in runner.engine.sessions.default.journal]

    return talk


def asking(scenario: str, *headers: str, stream: bool = False) -> bytes:
    return post(asks(f"[[scenario:{scenario}]]", stream=stream), KEY, *headers, close=False)


@pytest.mark.parametrize("headers", [(), ("x-a: \xe9",)], ids=["short way", "long way"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_a_reply_that_is_due_at_once_arrives_and_the_connection_closes(talking, headers, stream: bool) -> None:
    received, outcomes = talking(half_closing(asking("now", *headers, stream=stream)))

    status, _, body = answer(received)
    assert status == 200
    assert (b"message_stop" in dechunked(body)) if stream else (b"Hello!" in body)
    assert outcomes == ["completed"]


def test_every_request_that_came_whole_is_answered(talking) -> None:
    one, odd = asking("now"), asking("now", "x-a: \xe9")

    received, outcomes = talking(half_closing(one + odd + one))

    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert outcomes == ["completed"] * 3


def test_so_it_is_when_the_request_came_in_pieces(talking) -> None:
    whole = asking("now")

    received, outcomes = talking(half_closing(whole[:50], whole[50:]))

    assert answer(received)[0] == 200
    assert outcomes == ["completed"]


@pytest.mark.parametrize("headers", [(), ("x-a: \xe9",)], ids=["short way", "long way"])
@pytest.mark.parametrize("scenario", ["later", "midway"])
def test_while_a_reply_waits_its_client_counts_as_gone(talking, headers, scenario: str) -> None:
    received, outcomes = talking(half_closing(asking(scenario, *headers, stream=True)))

    assert b"message_stop" not in received
    assert outcomes == ["client_left"]


@pytest.mark.parametrize("headers", [(), ("x-a: \xe9",)], ids=["short way", "long way"])
def test_so_does_a_fault_that_is_due_at_once(talking, headers) -> None:
    received, outcomes = talking(half_closing(asking("cut", *headers, stream=True)))

    assert received.endswith(b"0\r\n\r\n")
    assert outcomes == ["fault"]


@pytest.mark.parametrize(
    "data",
    [b"", b"POST /v1/mess", asking("now")[:-1], asking("now", "x-a: \xe9")[:-1], b"\r\n"],
    ids=["nothing", "half a head", "half a body", "half a body, long way", "a line break"],
)
def test_what_never_became_a_request_gets_no_answer(talking, data: bytes, caplog) -> None:
    received, outcomes = talking(half_closing(data))

    assert (received, outcomes) == (b"", [])
    assert "Traceback" not in caplog.text


def test_nothing_that_is_written_waits_for_what_went_before_to_arrive(talking: Callable[..., Any]) -> None:
    async def nodelay(runner: Runner) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", runner.port)
        writer.write(asking("now"))
        await reader.readline()
        assert runner._server is not None
        (taken,) = runner._server.connections
        assert taken.transport is not None
        told: int = taken.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        return told

    assert talking(nodelay)

"""The wheel and the player on a loop whose time is turned by hand: no test here waits."""

import asyncio
import math
from array import array
from collections.abc import Callable

import pytest
from handloop import HandLoop, Lane, Timer, Wire, played

from mock_server.protocol.plan import Part, Plan
from mock_server.server.player import Outcome, Playing, Wheel, at_once, frames_at_once, opening_of, play


def plan(*offsets_ms: int) -> Plan:
    frames = tuple(b"%d;" % at for at in offsets_ms)
    return Plan(200, (), (Part(frames, array("I", [at * 1000 for at in offsets_ms])),), True, offsets_ms[0] * 1000)


def test_every_frame_goes_out_at_its_time_and_never_before() -> None:
    loop = HandLoop()
    wire = Wire(loop)

    outcome = played(loop, wire, plan(0, 20, 40, 60), lambda: loop.turn_to(101))

    assert outcome is not None
    assert outcome[:2] == ("completed", 4)
    assert [data for _, data in wire.written] == [b"head;0;", b"20;", b"40;", b"60;"]
    for (at, _), due in zip(wire.written, (0, 20, 40, 60), strict=True):
        assert due <= at <= due + 1


def test_the_head_waits_for_the_first_frame() -> None:
    loop = HandLoop()
    wire = Wire(loop)
    played(loop, wire, plan(500, 600), lambda: loop.turn_to(100.499))
    assert wire.written == []


def test_what_is_late_goes_out_together_and_the_rest_is_on_time_again() -> None:
    loop = HandLoop()
    wire = Wire(loop)

    played(loop, wire, plan(0, 20, 40, 60, 80), lambda: loop.jump_to(100.065), lambda: loop.turn_to(101))

    assert [data for _, data in wire.written] == [b"head;0;", b"20;40;60;", b"80;"]
    assert wire.written[-1][0] in (80, 81)


def test_a_full_connection_is_left_alone_until_it_drains() -> None:
    loop = HandLoop()
    wire = Wire(loop)

    def fill() -> None:
        wire.is_full, wire.waiting = True, 70_000
        loop.turn_to(100.1)

    def drain() -> None:
        wire.is_full, wire.waiting = False, 0
        loop.turn_to(100.2)

    outcome = played(loop, wire, plan(0, 20, 40), fill, drain)

    assert outcome is not None
    assert outcome[:2] == ("completed", 3)
    assert [data for _, data in wire.written] == [b"head;0;", b"20;40;"]


def test_a_connection_with_something_left_to_send_takes_more_until_it_is_full() -> None:
    loop = HandLoop()
    wire = Wire(loop)

    def keep_some() -> None:
        wire.waiting = 500

    played(loop, wire, plan(0, 20, 40, 60), lambda: loop.turn_to(100.025), keep_some, lambda: loop.turn_to(101))

    assert [(round(at, -1), data) for at, data in wire.written] == [
        (0, b"head;0;"),
        (20, b"20;"),
        (40, b"40;"),
        (60, b"60;"),
    ]


def test_of_every_frame_it_is_told_when_it_went() -> None:
    loop = HandLoop()

    outcome = played(
        loop, Wire(loop), plan(0, 0, 20, 40, 60, 80), lambda: loop.turn_to(100.03), lambda: loop.jump_to(100.065),
        lambda: loop.turn_to(101),
    )  # fmt: skip

    assert outcome is not None
    assert outcome.frames == 6
    assert list(outcome.sent) == pytest.approx([0, 0, 0.02, 0.065, 0.065, 0.08], abs=0.0011)


def test_a_stream_of_hours_is_told_to_its_end() -> None:
    loop = HandLoop()
    (an_hour,) = plan(0, 3_600_000).parts
    what = Plan(200, (), (an_hour, an_hour), True)

    outcome = played(loop, Wire(loop), what, lambda: loop.turn_to(100 + 7_201))

    assert outcome is not None
    assert list(outcome.sent) == pytest.approx([0, 3_600, 3_600, 7_200], abs=0.0021)


def test_a_client_that_leaves_ends_the_play_at_once() -> None:
    loop = HandLoop()
    wire = Wire(loop)
    outcome = played(loop, wire, plan(0, 20, 1000), lambda: loop.turn_to(100.05), lambda: wire.lost and wire.lost())
    assert outcome is not None
    assert outcome[:2] == ("client_left", 2)


def test_a_connection_that_was_closed_from_here_gets_nothing_more() -> None:
    loop = HandLoop()
    wire = Wire(loop)

    def close() -> None:
        wire.is_open = False

    outcome = played(
        loop, wire, plan(0, 20, 40, 60), lambda: loop.turn_to(100.025), close, lambda: loop.turn_to(100.05)
    )

    assert outcome is not None
    assert outcome[:2] == ("client_left", 2)
    assert len(outcome.sent) == 2
    assert wire.data == [b"head;0;", b"20;"]


def test_an_empty_frame_does_not_end_a_chunked_body() -> None:
    loop = HandLoop()
    wire = Wire(loop)
    what = Plan(200, (), (Part((b"a", b"", b"b", b"c"), array("I", [0, 20_000, 40_000, 60_000])),), True)

    played(loop, wire, what, lambda: loop.turn_to(101), chunked=True)

    assert b"".join(wire.data) == b"head;1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"


def test_a_play_that_was_cancelled_may_still_end() -> None:
    """As when the server stops: between the cancelling and its effect the last frame can fall due."""
    loop = HandLoop()
    ended: list[Outcome] = []

    async def run() -> None:
        playing = Playing(plan(0, 20), Wire(loop), Lane(loop), Wheel(loop), 100.0, b"head;", False, ended.append)
        task = asyncio.ensure_future(play(playing))
        await asyncio.sleep(0)
        task.cancel()
        loop.turn_to(101)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert [outcome.kind for outcome in ended] == ["completed"]


def test_many_streams_share_one_timer() -> None:
    loop = HandLoop()
    wheel = Wheel(loop)
    stepped: list[int] = []

    class Once:
        def __init__(self, number: int) -> None:
            self.number = number

        def step(self, now: float) -> None:
            stepped.append(self.number)

    for number in range(1000):
        wheel.add(100.010, Once(number))
    wheel.add(100.005, Once(-1))
    loop.turn_to(100.2)

    assert stepped == [-1, *range(1000)]
    assert len(loop._queue) == 0


class MillisecondLoop(HandLoop):
    """Tells the time in whole milliseconds and rounds what it waits for, as uvloop does."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = 0

    def time(self) -> float:
        return math.floor(self.now * 1000 + 1e-6) / 1000

    def call_at(self, when: float, call: Callable[[], None]) -> Timer:
        self.timers += 1
        return super().call_at(self.time() + round((when - self.time()) * 1000) / 1000, call)


def test_a_timer_for_a_tick_finds_it_over() -> None:
    loop = MillisecondLoop()
    wheel = Wheel(loop)
    stepped: list[float] = []

    class EachTick:
        def step(self, now: float) -> float:
            stepped.append(now)
            return now + 0.0005

    wheel.add(loop.time(), EachTick())
    loop.turn_to(101)

    assert len(stepped) == 1000
    assert loop.timers == 1001


@pytest.mark.parametrize("chunked", [False, True])
def test_a_plan_without_delays_is_one_write(chunked: bool) -> None:
    told, version = plan(0, 0, 0), (1, 1) if chunked else (1, 0)
    body = b"6\r\n0;0;0;\r\n0\r\n\r\n" if chunked else b"0;0;0;"
    opening, is_chunked = opening_of(told, keep_alive=True, version=version)
    assert is_chunked == chunked
    assert at_once(told, keep_alive=True, version=version) == opening + body


def test_a_stream_that_says_nothing_is_its_last_chunk() -> None:
    nothing = plan(0)._replace(parts=(Part((b"",), array("I", [0])),))
    opening, _ = opening_of(nothing, keep_alive=True, version=(1, 1))
    assert at_once(nothing, keep_alive=True, version=(1, 1)) == opening + b"0\r\n\r\n"


def test_a_plan_with_delays_is_not_played_at_once() -> None:
    assert frames_at_once(plan(0, 0, 0)) == 3
    assert frames_at_once(plan(0, 1)) == -1


def test_the_head_tells_status_headers_and_framing() -> None:
    what = Plan(529, (("request-id", "r"),), (Part((b"abc", b"de"), array("I", [0, 0])),))
    assert opening_of(what, keep_alive=True, version=(1, 1))[0] == (
        b"HTTP/1.1 529 Overloaded\r\nrequest-id: r\r\ncontent-length: 5\r\n\r\n"
    )
    stream = what._replace(stream=True, status=200)
    assert opening_of(stream, keep_alive=False, version=(1, 1))[0] == (
        b"HTTP/1.1 200 OK\r\nrequest-id: r\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    assert opening_of(what, keep_alive=True, version=(1, 0))[0].endswith(b"connection: keep-alive\r\n\r\n")

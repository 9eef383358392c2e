"""Gates, the virtual clock and broken endings, played on a loop whose time is turned by hand: no test here waits."""

from array import array

import pytest
from handloop import HandLoop, Lane, Wire, played

from mock_server.protocol.message import PING
from mock_server.protocol.plan import Manner, Part, Plan, Wait
from mock_server.protocol.sse import frame

HEAD = b"head;"


def part(*offsets_ms: int, wait: Wait | None = None) -> Part:
    return Part(tuple(b"%d;" % at for at in offsets_ms), array("I", [at * 1000 for at in offsets_ms]), wait)


def plan(*parts: Part, manner: Manner | None = None) -> Plan:
    return Plan(200, (), parts, True, 0, manner)


# -- gates -----------------------------------------------------------------------------------------------------------


def test_a_gate_holds_the_stream_and_starts_the_clock_of_what_is_behind_it() -> None:
    loop = HandLoop()
    wire, lane = Wire(loop), Lane(loop)
    what = plan(part(0, 20), part(0, 30, wait=Wait("middle")))

    outcome = played(
        loop,
        wire,
        what,
        lambda: loop.turn_to(110),
        lambda: lane.gates.release("middle"),
        lambda: loop.turn_to(120),
        lane=lane,
    )

    assert [(round(at, -1), data) for at, data in wire.written] == [
        (0, b"head;0;"),
        (20, b"20;"),
        (10_000, b"0;"),
        (10_030, b"30;"),
    ]
    assert outcome is not None
    assert outcome.kind == "completed"


def test_a_gate_released_before_is_passed_without_a_stop() -> None:
    loop = HandLoop()
    wire, lane = Wire(loop), Lane(loop)
    lane.gates.release("middle", 1)

    played(loop, wire, plan(part(0), part(0, wait=Wait("middle")), part(0, wait=Wait("middle"))), lane=lane)

    assert b"".join(wire.data) == b"head;0;0;"
    assert lane.gates.waiting("middle") == 0  # the client has left: nothing is held for it any more


def test_gates_are_released_in_any_order() -> None:
    loop = HandLoop()
    wire, lane = Wire(loop), Lane(loop)
    what = plan(part(0), part(1, wait=Wait("a")), part(2, wait=Wait("b")))

    outcome = played(
        loop, wire, what, lambda: lane.gates.release("b"), lambda: lane.gates.release("a"), lambda: loop.turn_to(101),
        lane=lane,
    )  # fmt: skip

    assert outcome is not None
    assert outcome.kind == "completed"
    assert b"".join(wire.data) == b"head;0;1;2;"


def test_pings_go_out_while_a_gate_holds() -> None:
    loop = HandLoop()
    wire, lane = Wire(loop), Lane(loop)

    played(loop, wire, plan(part(0), part(0, wait=Wait("late", 5_000_000))), lambda: loop.turn_to(117), lane=lane)

    assert wire.data == [b"head;0;", *[frame(PING)] * 3]


def test_comments_go_out_instead_where_that_is_wanted() -> None:
    loop = HandLoop()
    wire, lane = Wire(loop), Lane(loop)
    silent = Wait("late", 5_000_000, comments=True)

    played(loop, wire, plan(part(0), part(0, wait=silent)), lambda: loop.turn_to(117), lane=lane)

    assert wire.data == [b"head;0;", *[b": keepalive\n\n"] * 3]


def test_a_held_stream_is_in_no_queue() -> None:
    loop = HandLoop()
    wire = Wire(loop)
    played(loop, wire, plan(part(0), part(0, wait=Wait("never"))), lambda: loop.turn_to(200))
    assert loop._queue == []


def test_a_client_that_leaves_a_gate_is_told_with_what_it_had() -> None:
    loop = HandLoop()
    wire, lane = Wire(loop), Lane(loop)
    outcome = played(
        loop, wire, plan(part(0, 10), part(0, wait=Wait("x"))), lambda: loop.turn_to(101),
        lambda: wire.lost and wire.lost(), lane=lane,
    )  # fmt: skip
    assert outcome is not None
    assert outcome[:2] == ("client_left", 2)
    assert lane.gates.waiting("x") == 0


# -- the clock -------------------------------------------------------------------------------------------------------


def test_a_frozen_clock_stops_a_stream_and_an_advance_plays_it_at_its_own_times() -> None:
    loop = HandLoop()
    wire, lane = Wire(loop), Lane(loop)
    lane.clock.freeze()

    outcome = played(
        loop, wire, plan(part(0, 20, 3_000_000)), lambda: loop.turn_to(500), lambda: lane.clock.advance(1),
        lambda: lane.clock.advance(3600), lane=lane,
    )  # fmt: skip

    assert wire.data == [b"head;0;", b"20;", b"3000000;"]
    assert outcome is not None
    assert list(outcome.sent) == pytest.approx([0, 0.02, 3000])


def test_a_running_clock_that_jumps_brings_everything_nearer() -> None:
    loop = HandLoop()
    wire, lane = Wire(loop), Lane(loop)

    outcome = played(
        loop, wire, plan(part(0, 10_000, 20_000)), lambda: loop.turn_to(101), lambda: lane.clock.advance(15),
        lambda: loop.turn_to(104), lambda: loop.turn_to(106), lane=lane,
    )  # fmt: skip

    assert [(round(at, -3), data) for at, data in wire.written] == [
        (0, b"head;0;"),
        (1000, b"10000;"),
        (5000, b"20000;"),
    ]
    assert outcome is not None
    assert outcome.kind == "completed"


def test_a_clock_let_go_again_goes_on_from_where_it_stood() -> None:
    loop = HandLoop()
    wire, lane = Wire(loop), Lane(loop)
    lane.clock.freeze()

    played(
        loop, wire, plan(part(0, 2_000)), lambda: loop.turn_to(200), lambda: lane.clock.resume(),
        lambda: loop.turn_to(201), lambda: loop.turn_to(203), lane=lane,
    )  # fmt: skip

    assert [round(at, -2) for at, _ in wire.written] == [0, 102_000]


def test_two_streams_on_one_clock_are_played_in_the_order_of_their_times() -> None:
    loop = HandLoop()
    lane = Lane(loop)
    lane.clock.freeze()
    order: list[tuple[str, float]] = []

    class Sleeper:
        def __init__(self, name: str, *times: float) -> None:
            self.name, self.times = name, [lane.clock.now() + one for one in times]

        @property
        def due(self) -> float | None:
            return self.times[0] if self.times else None

        def wake(self) -> None:
            while self.times and self.times[0] <= lane.clock.now():
                order.append((self.name, self.times.pop(0)))

    lane.clock.add(Sleeper("a", 1, 3, 5))
    lane.clock.add(Sleeper("b", 2, 4, 60))
    lane.clock.advance(10)

    assert [name for name, _ in order] == ["a", "b", "a", "b", "a"]


def test_time_does_not_go_back() -> None:
    lane = Lane(HandLoop())
    with pytest.raises(ValueError, match="time does not go back"):
        lane.clock.advance(-1)


# -- endings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ending", "last", "how"), [("end", b"0\r\n\r\n", None), ("close", b"", "close")])
def test_a_cut_body_is_ended_or_left_open(ending: str, last: bytes, how: str | None) -> None:
    loop = HandLoop()
    wire = Wire(loop)

    outcome = played(loop, wire, plan(part(0), manner=Manner(ending=ending)), chunked=True)  # type: ignore[arg-type]

    assert b"".join(wire.data) == b"head;2\r\n0;\r\n" + last
    assert wire.ended == how
    assert outcome is not None
    assert outcome.kind == "fault"


def test_a_reset_waits_until_what_was_written_has_arrived() -> None:
    loop = HandLoop()
    wire = Wire(loop)
    wire.is_drained = False
    seen: list[str | None] = []

    def drain() -> None:
        seen.append(wire.ended)
        wire.is_drained = True

    played(
        loop, wire, plan(part(0), manner=Manner(ending="reset")), lambda: loop.turn_to(101), drain,
        lambda: loop.turn_to(102),
    )  # fmt: skip

    assert seen == [None]
    assert wire.ended == "reset"


def test_frames_that_stand_apart_are_writes_of_their_own() -> None:
    loop = HandLoop()
    wire = Wire(loop)
    played(loop, wire, plan(part(0, 0, 0), manner=Manner(apart=True)))
    assert wire.data == [b"head;", b"0;", b"0;", b"0;"]


def test_a_clock_that_is_reset_tells_real_time_and_does_not_go_back() -> None:
    loop = HandLoop()
    clock = Lane(loop).clock
    real = clock.unix()
    clock.freeze()
    clock.advance(3600)
    before = clock.now()

    clock.reset()

    assert clock.now() == before
    assert clock.unix() == pytest.approx(real)
    loop.now += 1
    assert clock.now() == pytest.approx(before + 1)
    assert clock.unix() == pytest.approx(real + 1)

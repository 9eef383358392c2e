"""The virtual clock: real time until it is turned; what it tells while it stands still does not move."""

import pytest
from manualclock import ManualClock

from mock_server.clock import SystemClock, VirtualClock


def test_it_goes_with_the_clock_below_until_it_is_turned() -> None:
    base = ManualClock()
    clock = VirtualClock(base)
    base.advance(5)
    assert (clock.now(), clock.unix()) == (base.now(), base.unix())


def test_both_its_times_stand_still_together() -> None:
    clock = VirtualClock(SystemClock())
    clock.freeze()
    assert {(clock.now(), clock.unix()) for _ in range(2000)} == {(clock.now(), clock.unix())}


def test_both_its_times_are_advanced_by_as_much() -> None:
    base = ManualClock()
    clock = VirtualClock(base)
    now, unix = clock.now(), clock.unix()
    clock.advance(60)
    clock.freeze()
    clock.advance(3600)
    base.advance(7)
    assert (clock.now() - now, clock.unix() - unix) == (3660, 3660)


def test_it_goes_on_from_where_it_stood() -> None:
    base = ManualClock()
    clock = VirtualClock(base)
    clock.freeze()
    base.advance(10)
    clock.resume()
    base.advance(1)
    assert (clock.now(), clock.unix()) == (base.now() - 10, base.unix() - 10)
    clock.reset()
    assert clock.unix() == base.unix()
    assert clock.now() == base.now() - 10  # for what is under way it does not jump


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_time_does_not_go_back_nor_on_for_ever(seconds: float) -> None:
    with pytest.raises(ValueError, match="time does not go back"):
        VirtualClock(ManualClock()).advance(seconds)

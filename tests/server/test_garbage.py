"""When garbage is collected: between bursts, and in none of them."""

import gc
from collections.abc import Iterator

import pytest

from mock_server.server.garbage import WORTH_IT, Collector


class Traffic:
    """What a server would tell, and how often its collector collected."""

    def __init__(self) -> None:
        self.came = 0
        self.under_way = 0
        self.collections = 0
        self.collector = Collector(lambda: self.came, lambda: self.under_way)

    def heard(self, phase: str, info: dict[str, int]) -> None:
        self.collections += phase == "start" and info["generation"] == 1


@pytest.fixture
def traffic() -> Iterator[Traffic]:
    """Traffic after a burst that left much to collect, with nothing else collecting."""
    traffic = Traffic()
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    gc.callbacks.append(traffic.heard)
    burst = [[object()] for _ in range(2 * WORTH_IT)]
    traffic.came = len(burst)
    yield traffic
    gc.callbacks.remove(traffic.heard)
    if enabled:
        gc.enable()


def test_it_collects_once_nothing_has_come_for_a_while(traffic: Traffic) -> None:
    traffic.collector.look()
    assert traffic.collections == 0
    traffic.collector.look()
    assert traffic.collections == 1


def test_there_is_nothing_more_to_collect_after_that(traffic: Traffic) -> None:
    for _ in range(3):
        traffic.collector.look()
    assert traffic.collections == 1


def test_not_while_requests_come(traffic: Traffic) -> None:
    for _ in range(3):
        traffic.came += 1
        traffic.collector.look()
    assert traffic.collections == 0


def test_not_while_a_reply_is_under_way(traffic: Traffic) -> None:
    traffic.under_way = 1
    for _ in range(3):
        traffic.collector.look()
    assert traffic.collections == 0

"""When garbage is collected: between bursts, and in none of them."""

import gc
import subprocess
import sys
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


def test_what_outlived_a_look_at_the_new_is_collected_too(traffic: Traffic) -> None:
    gc.collect(0)
    for _ in range(2):
        traffic.collector.look()
    assert traffic.collections == 1


def test_a_server_that_listens_collects_again_but_nothing_of_its_start() -> None:
    code = (
        "import gc; gc.disable(); from mock_server.server import garbage; garbage.settle(); "
        "print(gc.isenabled(), gc.get_freeze_count() > 1000, gc.get_threshold() == garbage.THRESHOLDS)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True True True\n"


@pytest.mark.parametrize(("command", "collects"), [("serve", "False"), ("list", "True")])
def test_nothing_is_collected_while_a_server_starts_and_another_command_is_as_any_program(
    command: str, collects: str
) -> None:
    code = (
        f"import gc, sys; sys.argv = ['mock-server', '{command}', 'hello']; "
        "from mock_server import cli; from mock_server.__main__ import run; "
        "cli._serve, cli._run = (lambda *given: None), (lambda main: 0); "
        "run(); print(gc.isenabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split()[-1] == collects

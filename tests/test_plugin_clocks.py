"""Tests that patch clocks, with freezegun, time-machine and unittest.mock: the server goes on by the machine's."""

import pytest
from projects import WHERE, arguments_for, run

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(200)  # each is a whole run of pytest, of many tests

HELPERS = """
import asyncio, datetime, time
from unittest.mock import patch

import anthropic, pytest, time_machine
from freezegun import freeze_time
from mock_server import template

ASKED = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
THREE = "one two three"
SLOWLY = {"first": "50ms", "gap": "20ms"}

def said(server, text="Hi"):
    return ask(server, text, server.api_key)["content"][0]["text"]

def client(server):
    return anthropic.Anthropic(base_url=server.url, api_key=server.api_key, max_retries=0, timeout=20)

def streamed(server):
    with client(server) as sdk, sdk.messages.stream(**ASKED) as stream:
        return stream.get_final_text()
"""

FREEZEGUN = """
@freeze_time("2026-01-01")
def test_a_test_that_is_frozen_as_a_whole(mock_server):
    mock_server.add(THREE)
    assert said(mock_server) == streamed(mock_server) == THREE
    assert datetime.date.today() == datetime.date(2026, 1, 1)  # the test's own time is its own

@pytest.mark.mock_settings(time_scale=1)
def test_the_pace_of_a_stream(mock_server):
    mock_server.add(THREE, timing=SLOWLY)
    with freeze_time("2020-01-01"):
        assert streamed(mock_server) == THREE

def test_a_stall(mock_server):
    mock_server.add(THREE, fault={"type": "stall", "after": 2, "for": "50ms"})
    with freeze_time("2020-01-01"):
        assert streamed(mock_server) == THREE

def test_looking_back(mock_server):
    mock_server.add(THREE)
    with freeze_time("2020-01-01"):
        said(mock_server)
        (entry,) = mock_server.journal.wait_for(1)
    assert entry.status == 200
    assert 0 <= entry.duration < 60
    assert abs(entry.at - time.time()) < 60

def test_time_that_ticks_and_jumps(mock_server):
    mock_server.add(THREE)
    with freeze_time("2020-01-01", tick=True) as frozen:
        assert streamed(mock_server) == THREE
        frozen.tick(3600)
        assert streamed(mock_server) == THREE

@freeze_time("2020-01-01", real_asyncio=True)
def test_the_loops_of_others(mock_server):
    mock_server.add(THREE)
    assert streamed(mock_server) == THREE

@freeze_time("2020-01-01")
def test_a_template_tells_the_time_of_the_server(mock_server):
    mock_server.add(template("{{ now.isoformat() }} {{ now.year }} {{ now.strftime('%Y') }}"))
    iso, year, written = said(mock_server).split()
    assert iso[:4] == year == written != "2020"

def test_a_gate(mock_server):
    mock_server.add(THREE, gate="held")
    with freeze_time("2020-01-01"):
        mock_server.gates.release("held")
        assert streamed(mock_server) == THREE

@pytest.mark.mock_settings(time_scale=1)
def test_a_clock_that_is_frozen_and_advanced(mock_server):
    mock_server.add(THREE, timing={"gap": "600s"})
    with freeze_time("2020-01-01"):
        mock_server.clock.freeze()
        with client(mock_server) as sdk, sdk.messages.stream(**ASKED) as stream:
            mock_server.clock.advance(3600)
            assert stream.get_final_text() == THREE
"""

TIME_MACHINE = """
@pytest.mark.mock_settings(time_scale=1)
@pytest.mark.parametrize("tick", [True, False])
def test_the_pace_of_a_stream(mock_server, tick):
    mock_server.add(THREE, timing=SLOWLY)
    with time_machine.travel("2020-01-01", tick=tick):
        assert streamed(mock_server) == THREE

def test_looking_back(mock_server):
    mock_server.add(template("{{ now.year }}"))
    with time_machine.travel("2020-01-01", tick=False):
        assert said(mock_server) != "2020"
        assert mock_server.journal.wait_for(1)[0].status == 200
    assert abs(mock_server.journal.last.at - time.time()) < 60

@time_machine.travel("2038-01-19")
def test_a_test_in_the_future(mock_server):
    mock_server.add(THREE)
    mock_server.clock.advance(301)
    assert said(mock_server) == THREE
"""

PATCHES = """
NAMES = ("time.monotonic", "time.time", "time.time_ns", "time.gmtime", "time.perf_counter", "time.sleep", "asyncio.sleep")

@pytest.mark.parametrize("name", NAMES)
def test_it_always_says_the_same(mock_server, name):
    mock_server.add(THREE)
    with patch(name, return_value=5.0):
        assert said(mock_server) == THREE
        assert len(mock_server.journal.wait_for(1)) == 1

@pytest.mark.parametrize("name", NAMES)
def test_it_has_nothing_more_to_say(mock_server, name):
    mock_server.add(THREE, when={"prompt": "a"})
    mock_server.add(THREE, timing=SLOWLY, when={"prompt": "b"})
    with patch(name, side_effect=[]):
        assert said(mock_server, "a") == said(mock_server, "b") == THREE
        assert len(mock_server.journal.wait_for(2)) == 2

@pytest.mark.parametrize("name", NAMES)
def test_it_raises(mock_server, name):
    mock_server.add(THREE)
    with patch(name, side_effect=RuntimeError("not in this test")):
        assert said(mock_server) == THREE

@pytest.mark.mock_settings(strict=False)
def test_the_log(mock_server, caplog):
    with patch("time.time", side_effect=[]), patch("time.time_ns", side_effect=[]):
        with pytest.raises(OSError) as caught:
            said(mock_server)
        caught.value.close()
    assert caught.value.code == 400
    if type(mock_server).__name__ == "MockSession":
        assert "No scenario matches" in caplog.text

def test_a_client_that_is_stopped_by_it_stops_nobody_else(mock_server):
    mock_server.add(THREE)
    with patch("time.monotonic", side_effect=[1.0]):
        try:
            streamed(mock_server)
        except Exception:
            pass  # what anyio makes of it on the test's own thread
    assert streamed(mock_server) == THREE

async def _wait(server):
    with patch("asyncio.sleep", side_effect=RuntimeError("not in this test")):
        await asyncio.to_thread(said, server)
        return await server.journal.wait_for_async(1)

def test_waiting_in_a_loop(mock_server):
    mock_server.add(THREE)
    assert len(asyncio.run(_wait(mock_server))) == 1
"""

STARTED_THEN = """
@pytest.fixture
def frozen():
    with freeze_time("2020-01-01"):
        yield

def test_the_first_test_takes_the_server_in_its_own_time(frozen, mock_server):
    mock_server.add(template("{{ now.year }}"))
    assert said(mock_server) != "2020"

def test_the_next(mock_server):
    mock_server.add(template("{{ now.strftime('%Y') }}"))
    assert said(mock_server) != "2020"
    assert abs(mock_server.journal.last.at - time.time()) < 60
"""


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("tests", "passed"),
    [(FREEZEGUN, 9), (TIME_MACHINE, 4), (PATCHES, 24), (STARTED_THEN, 2)],
    ids=["freezegun", "time-machine", "unittest.mock", "before the server starts"],
)
def test_a_clock_that_a_test_patches_does_not_stop_the_server(
    pytester: pytest.Pytester, where: str, tests: str, passed: int
) -> None:
    with arguments_for(where) as arguments:
        run(pytester, HELPERS + tests, *arguments, "-p", "no:time_machine").assert_outcomes(passed=passed)

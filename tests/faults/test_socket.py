"""Every fault as a raw socket sees it: on both loops that resets are promised on, and on both ways in."""

import pytest
from faults.looking import Received, Send, long, look, short
from faults.table import WAYS, Way

from mock_server import MockServer

every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.id)
ABOUT_TIME = ("stall", "trickle")
LOOPS = ("asyncio", "uvloop")


def seen(server: MockServer, way: Way, send: Send) -> Received:
    """The response to the first request of a session: what is drawn is drawn anew."""
    server.reset()
    return look(server, way, send)


@every_way
@pytest.mark.parametrize("loop", LOOPS)
def test_a_fault_ends_as_the_table_says(loop: str, way: Way, servers: dict[str, MockServer]) -> None:
    received = seen(servers[loop], way, short)

    assert (received.status, received.ends) == (way.seen.status, way.seen.ends)
    assert received.data[-24:].endswith(way.seen.last)
    if received.data:
        assert received.headers.items() >= way.seen.headers.items()
        assert ("x-mock-warning" in received.headers) == way.seen.warned


@every_way
def test_both_ways_in_and_both_loops_give_the_same_bytes(way: Way, servers: dict[str, MockServer]) -> None:
    every = [seen(server, way, send) for server in servers.values() for send in (short, long)]

    if way.row.types.intersection(ABOUT_TIME):  # what is late shares a chunk with what follows
        every = [one._replace(data=one.data.partition(b"\r\n\r\n")[0] + one.body) for one in every]
    assert every == [every[0]] * 4

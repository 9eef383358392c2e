"""Streams that are held cost memory in the small and nothing else. `bench/held.py` measures a thousand of them."""

import socket
import tracemalloc

from rawclient import address, asks, post

from mock_server import MockServer

STREAMS = 200
STALLED = "name: stalled\nwhen: named\nreply: One two three four five.\nfault: {type: stall, after: 3}"


def stalled(server: MockServer) -> socket.socket:
    """A connection whose stream has come to where it is held."""
    client = socket.create_connection(address(server), timeout=20)
    client.sendall(post(asks("[[scenario:stalled]]", stream=True), "x-api-key: k", close=False))
    received = b""
    while not received.endswith(b'" three"}}\n\n\r\n'):
        received += client.recv(65536)
    return client


def test_a_stalled_stream_costs_less_than_16_kilobytes_and_no_timer(serve) -> None:
    server = serve(STALLED)
    held = [stalled(server) for _ in range(20)]  # what is made once is made
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()

    held += [stalled(server) for _ in range(STREAMS)]

    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    journal = server._session.journal
    wheel = server._runner._server._app.wheel
    assert (after - before) / STREAMS < 16 * 1024
    assert journal.open == STREAMS + 20
    assert wheel._order == []  # nothing will ever step them: whoever leaves, or a test that ends, wakes them
    for client in held:
        client.close()
    assert {entry.outcome for entry in server.journal} == {"client_left"}

"""A script whose replies break: which of them count as failed attempts, so that the same request again gets the next."""

from collections.abc import Callable
from typing import Any

import pytest
from faults.table import REPLIES, WAYS, Way

from mock_server.engine.engine import Engine
from mock_server.protocol.sse import dumps

# streams that do not come whole: no SDK asks again by itself, but whoever does gets the next reply
CUT_STREAMS = ("error_event", "disconnect", "reset", "truncate", "wrong_content_length", "gzip-how-truncated")
CUT = (
    *CUT_STREAMS,
    "gzip-how-corrupt",
    "gzip-how-header_only",
    "garbage-after-3-deltas-then",
    "stall-after-3-deltas",
    "insert-at-message_delta",
)


def fails(way: Way) -> bool:
    """Whether the reply of a way counts as a failed attempt."""
    name = way.row.name
    if (way.seen.warned and way.seen.status == 200) or name.startswith(
        ("gate", "stall-after-3-deltas-for")
    ):  # it is whole, or only late
        return False
    return way.retried or way.seen.status != 200 or name.startswith(CUT)


def test_all_after_which_the_sdk_asks_again_are_among_them() -> None:
    late = [way.id for way in WAYS if way.retried and not fails(way)]
    assert late == ["gate-middle-after-3-deltas-json"]  # the client gives up waiting for the test


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.id)
def test_the_same_request_after_a_broken_reply(
    way: Way, engine: Callable[..., Engine], ask: Callable[..., Any]
) -> None:
    reply = f"- reply: {REPLIES[way.row.reply]}\n  fault: {dumps(list(way.row.faults))}"
    made = engine(f"name: a\nanchor: session\nturns:\n{reply}\n- reply: then")
    assert ask(made, "Hi", stream=way.stream).turn == 1
    assert ask(made, "Hi", stream=way.stream).turn == (2 if fails(way) else 1)

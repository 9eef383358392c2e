"""Where a reply is marked on its timeline, from the plan before and after its faults: no socket."""

from array import array
from random import Random
from typing import Any

import pytest

from mock_server.protocol.plan import JSON_HEADERS, SSE_HEADERS, Part, Plan, whole
from mock_server.protocol.sse import frame
from mock_server.scenario.error import Failure
from mock_server.scenario.faults import applied, faults_of
from mock_server.scenario.faults.place import Site
from mock_server.server.control.views import timeline_marks

EVENTS = (
    {"type": "message_start", "message": {"usage": {"input_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "It is "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "sunny "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "today."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
)
STREAM = Plan(200, SSE_HEADERS, (Part(tuple(map(frame, EVENTS)), array("I", range(0, 80_000, 10_000))),), True)
JSON = whole(200, JSON_HEADERS, b'{"type":"message","content":[{"type":"text","text":"It is sunny today."}]}')


def failed(script: Failure, *, streamed: bool = False) -> Plan:
    return whole(529, JSON_HEADERS, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')


def marked(plan: Plan, *faults: Any) -> list[tuple[int, str, str]]:
    """The marks of a plan after these faults."""
    done = applied(plan, faults_of(list(faults), "test"), Site(Random(7), STREAM, failed))
    assert not done.failed
    return [(one["event"], one["kind"], one["text"]) for one in timeline_marks(done.plan, done.faults)]


CLOSED = "connection closed, the body not ended"
GARBAGE = {"type": "garbage", "after": 1, "bytes": 8}
GATE = {"type": "gate", "name": "g", "after": 1}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"type": "gate", "name": "middle", "after": 2}, [(4, "gate", "gate middle")]),
        ({"type": "gate", "name": "first", "after": {"events": 0}}, [(0, "gate", "gate first")]),
        ({"type": "disconnect", "after": 1}, [(3, "cut", CLOSED)]),
        ({"type": "reset", "after": {"events": 0}}, [(0, "cut", "connection reset")]),
        ("empty_response", [(0, "cut", "connection ended without a byte")]),
        ({"type": "stall", "after": 1}, [(3, "stall", "nothing more until the client leaves")]),
        ({"type": "stall", "after": 1, "for": "5s"}, [(3, "fault", "stall after 1 delta for 5s")]),
        (GARBAGE, [(3, "fault", "garbage after 1 delta bytes 8")]),
        ({"type": "truncate", "after": 1}, [(3, "fault", "truncate after 1 delta"), (4, "cut", "ends here")]),
        ({"type": "malformed_json", "nth": 2}, [(3, "fault", "malformed_json event content_block_delta nth 2")]),
        ("missing_event", [(7, "fault", "missing_event event message_stop nth 1")]),
        ("duplicate_event", [(3, "fault", "duplicate_event event content_block_delta nth 1")]),
        ("reorder", [(2, "fault", "reorder event content_block_delta nth 1")]),
        ({"type": "slow_headers", "for": "1s"}, [(0, "fault", "slow_headers for 1s")]),
        ("no_usage", [(6, "fault", "no_usage event message_delta")]),
        (
            {"type": "edit", "event": "message_stop", "name": None},
            [(7, "fault", "edited: edit message_stop without a name")],
        ),
        ({"type": "edit", "event": "message_stop", "drop": True}, [(7, "fault", "left out: edit message_stop drop")]),
        (
            {"type": "insert", "at": "message_stop", "raw": ":\n\n"},
            [(7, "fault", 'inserted: insert at message_stop raw ":\\n\\n"')],
        ),
    ],
)
def test_a_stream_is_marked_where_it_was_struck(fault: Any, expected: list[tuple[int, str, str]]) -> None:
    assert marked(STREAM, fault) == expected


def test_what_strikes_the_head_alone_is_marked_before_the_first_event() -> None:
    ((event, kind, text),) = marked(STREAM, "wrong_content_type")
    assert (event, kind, text.split(" ")[0]) == (0, "fault", "wrong_content_type")


def test_an_error_event_is_marked_before_itself_and_the_stream_ends_behind_it() -> None:
    found = marked(STREAM, {"type": "error_event", "after": 2})
    assert found == [(4, "fault", "error_event overloaded_error after 2 deltas"), (5, "cut", "ends here")]


def test_gates_faults_and_the_cut_stand_in_the_order_of_the_events() -> None:
    reset = {"type": "reset", "after": 3}
    found = marked(STREAM, reset, GARBAGE, GATE)
    assert [(event, kind) for event, kind, _ in found] == [(3, "gate"), (3, "fault"), (6, "cut")]
    assert found[1][2] == "garbage after 1 delta bytes 8"  # the reset is told by the cut


def test_several_faults_share_the_mark_of_the_first_change() -> None:
    found = marked(STREAM, "reorder", {"type": "malformed_json", "event": "message_stop"})
    assert [(event, kind) for event, kind, _ in found] == [(2, "fault")]
    assert found[0][2].startswith("from here on reorder")
    assert "malformed_json" in found[0][2]


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [(GATE, ["gate"]), ({"type": "disconnect", "after": 1}, ["cut"]), ("error", ["fault"]), ("html_error", ["fault"])],
)
def test_a_json_reply_is_marked_too(fault: Any, kinds: list[str]) -> None:
    assert [kind for _, kind, _ in marked(JSON, fault)] == kinds


@pytest.mark.parametrize("plan", [STREAM, JSON])
def test_a_reply_that_nothing_was_done_to_has_no_marks(plan: Plan) -> None:
    assert timeline_marks(plan, ()) == []

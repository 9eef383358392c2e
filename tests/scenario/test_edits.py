"""Frames that are edited, put in and left out; places named by an event, inside its frame, by a time; single habits of
framing. Plan -> plan, without a socket.
"""

import json
from array import array
from collections.abc import Mapping
from random import Random
from typing import Any, get_args

import pytest
from anthropic._streaming import SSEDecoder
from conftest import Ask, MakeEngine
from scenario.test_faults import CALL, HELLO, MIXED, TEXT, refusals, signs, site, stream, struck

from mock_server.engine.faults import as_json
from mock_server.protocol.blocks import Text, Thinking
from mock_server.protocol.completion import as_completion
from mock_server.protocol.message import fold
from mock_server.protocol.plan import Plan, Wait, unrolled
from mock_server.protocol.sse import KEEPALIVE_FRAME, heard, parse
from mock_server.scenario.faults import applied, faults_of, label, parse_header, spelled
from mock_server.scenario.faults.place import EventName
from mock_server.scenario.load import loads
from mock_server.scenario.node import ScenarioError
from mock_server.server.control.views import timeline_marks


def edit(**keys: Any) -> dict[str, Any]:
    return {"type": "edit", **keys}


def insert(**keys: Any) -> dict[str, Any]:
    return {"type": "insert", **keys}


def changed(before: Plan, after: Plan) -> dict[int, bytes]:
    """The frames that are not what they were, by their place."""
    assert len(before.frames) == len(after.frames)
    return {at: new for at, (old, new) in enumerate(zip(before.frames, after.frames, strict=True)) if new != old}


# -- events ----------------------------------------------------------------------------------------------------------

# HELLO: 0 message_start, 1 content_block_start, 2 ping, 3 to 8 deltas, 9 content_block_stop, 10 message_delta, 11 message_stop
ONE_FRAME = [
    (
        edit(event="message_stop", set={"mood": "tired"}),
        11,
        b'event: message_stop\ndata: {"type":"message_stop","mood":"tired"}\n\n',
    ),
    (
        edit(event="message_delta", set={"usage.output_tokens": 0}, remove=["usage.input_tokens"]),
        10,
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        b'"usage":{"output_tokens":0}}\n\n',
    ),
    (
        edit(event="content_block_start", remove=["content_block.text"]),
        1,
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text"}}\n\n',
    ),
    (edit(event="message_stop", name=None), 11, b'data: {"type":"message_stop"}\n\n'),
    (edit(event="message_stop", name="message_end"), 11, b'event: message_end\ndata: {"type":"message_stop"}\n\n'),
    (edit(event="message_stop", set={"type": "song"}), 11, b'event: song\ndata: {"type":"song"}\n\n'),
    (edit(event="message_stop", set={"type": 7}), 11, b'event: message_stop\ndata: {"type":7}\n\n'),
    (edit(event="message_stop", remove=["type"]), 11, b"event: message_stop\ndata: {}\n\n"),
    (edit(event="ping", set={"type": "ping"}, name="pong"), 2, b'event: pong\ndata: {"type":"ping"}\n\n'),
    (
        edit(event="content_block_delta", nth=-1, set={"delta": {"type": "text_delta", "text": "!"}}),
        8,
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
        b'"text":"!"}}\n\n',
    ),
    (
        edit(index=9, set={"index": 3}),
        10,
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        b'"usage":{"input_tokens":7,"output_tokens":1},"index":3}\n\n',
    ),
    (
        edit(after={"deltas": 6}, set={"index": 3}),
        9,
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":3}\n\n',
    ),
    (
        edit(after={"event": "content_block_start"}, set={"index": 3}),
        3,
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":3,"delta":{"type":"text_delta",'
        b'"text":"One"}}\n\n',
    ),
]


@pytest.mark.parametrize(("fault", "at", "expected"), ONE_FRAME, ids=[str(row[0]) for row in ONE_FRAME])
def test_an_edit_changes_one_frame_and_nothing_else(fault: Any, at: int, expected: bytes) -> None:
    plan = struck(HELLO, fault)
    assert changed(HELLO, plan) == {at: expected}
    assert plan.due == HELLO.due


def test_all_events_of_a_name_or_of_a_block_are_edited_at_once() -> None:
    every = struck(MIXED, edit(event="content_block_delta", nth="all", set={"index": 9}))
    block = struck(MIXED, edit(block=1, set={"index": 9}))
    told = [event.get("index") for event in heard(block.body())]

    assert {event["index"] for event in heard(every.body()) if event["type"] == "content_block_delta"} == {9}
    assert told.count(9) == 8  # start, six deltas, stop
    assert 1 not in told


def test_several_edits_see_what_the_one_before_left() -> None:
    plan = struck(
        HELLO,
        edit(event="message_delta", set={"usage": {"output_tokens": 5}}),
        edit(event="message_delta", set={"usage.input_tokens": 6}),
        {"type": "error_event", "at": "message_stop"},
        edit(event="error", name=None),
    )
    *_, delta, error = heard(plan.body())
    assert delta["usage"] == {"output_tokens": 5, "input_tokens": 6}
    assert error["type"] == "error"
    assert b"event: error" not in plan.body()


def test_what_is_left_out_makes_nothing_come_earlier() -> None:
    slow = stream(TEXT, gap=10)
    plan = struck(slow, edit(event="content_block_delta", nth=2, drop=True))
    assert signs(plan) == "S(p.....)dE"
    assert plan.due == [*slow.due[:4], *slow.due[5:]]
    assert signs(struck(MIXED, edit(block=1, drop=True))) == "S(p.....)(" + "." * 16 + ")dE"
    assert signs(struck(MIXED, edit(block=2, event="content_block_delta", nth="all", drop=True))) == (
        "S(p.....)(......)()dE"
    )


INSERTED = [
    (insert(after={"event": "content_block_stop"}, raw="data: [DONE]\n\n"), 10, b"data: [DONE]\n\n"),
    (insert(at="message_delta", raw=": hello\r\n\r\n"), 10, b": hello\r\n\r\n"),
    (
        insert(after={"events": 1}, event="mood", data={"type": "mood", "a": [1]}),
        1,
        b'event: mood\ndata: {"type":"mood","a":[1]}\n\n',
    ),
    (insert(after={"event": "message_stop"}, data={"type": "mood"}), 12, b'data: {"type":"mood"}\n\n'),
    (
        insert(after={"event": "message_start"}, event="mood", data=[1, "é"]),
        1,
        'event: mood\ndata: [1,"é"]\n\n'.encode(),
    ),
]


@pytest.mark.parametrize(("fault", "at", "expected"), INSERTED, ids=[str(row[0]) for row in INSERTED])
def test_what_is_put_in_stands_at_its_place_and_all_else_is_as_before(fault: Any, at: int, expected: bytes) -> None:
    frames = struck(HELLO, fault).frames
    assert frames[at] == expected
    assert (*frames[:at], *frames[at + 1 :]) == HELLO.frames


def test_what_ends_the_stream_early_is_put_in_only_where_that_is_meant() -> None:
    early = insert(at="message_delta", raw='event: message_stop\ndata: {"type":"message_stop"}\n\n')
    named = insert(after=1, event="error", data={"type": "error"})

    assert refusals(HELLO, early) == (
        "insert: message_stop ends the stream, and message_delta comes behind it; say `then: end` or `then: go_on`",
    )
    assert refusals(HELLO, named)[0].startswith(
        "insert: error ends the stream, and content_block_delta comes behind it"
    )
    assert signs(struck(HELLO, {**early, "then": "end"})) == "S(p......)E"
    assert signs(struck(HELLO, {**early, "then": "go_on"})) == "S(p......)EdE"
    assert struck(HELLO, {**early, "then": "close"}).manner.ending == "close"  # type: ignore[union-attr]
    assert signs(
        struck(HELLO, insert(after={"event": "message_stop"}, data={"type": "message_stop"}, event="message_stop"))
    )


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (edit(event="mesage_stop", drop=True), "edit: there is no mesage_stop: the reply has 0; did you mean 'message_stop'?"),
        (edit(event="message_stop", nth=2, drop=True), "edit: there is no message_stop 2: the reply has 1"),
        (edit(event="message_stop", nth=-2, drop=True), "edit: there is no message_stop -2: the reply has 1"),
        (edit(block=3, drop=True), "edit: there is no block 3: the reply has 0"),
        (edit(index=11, drop=True), "edit: there is no event 11: the reply has 11"),
        (edit(event="message_start", set={"mesage.id": 1}), "edit: set mesage.id: message_start has no 'mesage' there; did you mean 'message'?"),
        (edit(event="message_start", remove=["message.usage.input_token"]), "edit: remove message.usage.input_token: message_start has no 'input_token' there; did you mean 'input_tokens'?"),
        (edit(event="message_start", set={"message.content[0].text": ""}), "edit: set message.content[0].text: message_start has no [0] there"),
        (edit(event="message_start", set={"message.content.0": ""}), "edit: set message.content.0: message_start has no '0' there"),
        (edit(after={"bytes": 5}, drop=True), "edit after 5 bytes: that is inside an event"),
        (edit(after={"event": "message_stop"}, drop=True), "edit after message_stop: no event comes behind it"),
    ],
    ids=lambda one: str(one),
)  # fmt: skip
def test_an_edit_that_has_no_place_says_why(fault: Any, reason: str) -> None:
    assert refusals(HELLO, fault) == (reason,)


def test_an_edit_of_what_is_no_event_any_more_says_so() -> None:
    broken = [{"type": "malformed_json", "event": "message_stop"}, edit(event="message_stop", set={"a": 1})]
    assert refusals(HELLO, *broken) == ("edit: the data of message_stop is no event any more",)


@pytest.mark.parametrize("fault", [edit(event="message_stop", drop=True), insert(after=1, raw=": x\n\n")], ids=str)
def test_a_json_reply_has_no_events_to_edit(fault: Any) -> None:
    assert refusals(HELLO, fault, as_json_reply=True) == (f"{fault['type']}: a JSON reply has no events",)


# -- the message -----------------------------------------------------------------------------------------------------

THOUGHT = stream(Thinking(thinking="Hm, well.", signature="abc"), TEXT)
MESSAGES: Mapping[str, tuple[Plan, Mapping[str, Any]]] = {
    "usage": (HELLO, {"set": {"usage.output_tokens": 99, "usage.input_tokens": 0, "usage.new": 1}}),
    "usage gone in part": (HELLO, {"remove": ["usage.input_tokens"]}),
    "usage anew": (HELLO, {"set": {"usage": {"output_tokens": 3}}}),
    "an unknown stop reason": (HELLO, {"set": {"stop_reason": "tired"}}),
    "no stop reason": (HELLO, {"remove": ["stop_reason"]}),
    "a container": (HELLO, {"set": {"container": {"id": 1}}}),
    "beside the delta": (HELLO, {"set": {"context_management": {"applied_edits": []}}}),
    "an id that is none": (HELLO, {"set": {"id": 5, "model": None}, "remove": ["role"]}),
    "a longer text": (HELLO, {"set": {"content.0.text": "a b c d e f g h i j k l"}}),
    "a shorter text": (HELLO, {"set": {"content[0].text": "ab"}}),
    "a text that is none": (HELLO, {"set": {"content.0.text": None}}),
    "no text": (HELLO, {"remove": ["content.0.text"]}),
    "a block of an unknown type": (HELLO, {"set": {"content.0.type": "song"}}),
    "a block without a type": (HELLO, {"remove": ["content.0.type"]}),
    "nothing": (HELLO, {"set": {"content": []}}),
    "text where none was": (stream(Text(text="")), {"set": {"content.0.text": "Hi there."}}),
    "other blocks": (
        HELLO,
        {
            "set": {
                "content": [
                    {"type": "text", "text": "hey"},
                    {"type": "tool_use", "id": "a", "name": "b", "input": {"z": 1}},
                    {"type": "song", "notes": [1]},
                ]
            }
        },
    ),
    "a block in the middle gone": (MIXED, {"remove": ["content[1]"]}),
    "the first block gone": (MIXED, {"remove": ["content[0]"]}),
    "another input": (MIXED, {"set": {"content[-1].input": {"city": "Rome"}, "content[-1].name": "find"}}),
    "an input that is none": (MIXED, {"set": {"content[-1].input": 3}}),
    "every type": (MIXED, {"set": {"content[*].type": "text"}}),
    "another thought": (THOUGHT, {"set": {"content.0.thinking": "One thing", "content.0.signature": "xyz"}}),
    "no signature": (THOUGHT, {"remove": ["content.0.signature"]}),
}  # fmt: skip


@pytest.mark.parametrize("what", MESSAGES)
def test_a_changed_message_is_the_same_in_the_stream_and_in_json(what: str) -> None:
    plan, changes = MESSAGES[what]
    streamed = struck(plan, edit(message=changes))
    whole = struck(plan, edit(message=changes), as_json_reply=True)

    events = list(parse(streamed.body()))
    assert events == list(streamed.payloads)
    assert fold(events) == json.loads(whole.body())
    assert json.loads(whole.body()) != json.loads(as_json(plan).body())
    assert [event["index"] for event in events if event["type"] == "content_block_start"] == list(
        range(len(json.loads(whole.body())["content"]))
    )


def test_usage_is_told_where_the_api_tells_it() -> None:
    plan = struck(
        HELLO, edit(message={"set": {"usage.output_tokens": 99, "usage.service_tier": "batch", "usage.x": 1}})
    )
    events = {event["type"]: event for event in heard(plan.body())}
    assert events["message_start"]["message"]["usage"] == {
        "input_tokens": 7,
        "output_tokens": 1,
        "service_tier": "batch",
        "x": 1,
    }
    assert events["message_delta"]["usage"] == {"input_tokens": 7, "output_tokens": 99, "x": 1}


def test_the_rest_of_a_changed_message_comes_when_it_would_have_come() -> None:
    slow = stream(Thinking(thinking="Hm, well."), TEXT, CALL, gap=10)
    for changes in (
        {"remove": ["content[1]"]},
        {"set": {"content[1].text": "So."}},
        {"set": {"content[1].text": None}},
    ):
        plan = struck(slow, edit(message=changes))
        assert plan.due[-1] == slow.due[-1]
        assert plan.due[:8] == slow.due[:8]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"set": {"content": "text"}}, "message: content is a list of blocks; no stream can tell anything else"),
        ({"remove": ["content"]}, "message: content is a list of blocks; no stream can tell anything else"),
        ({"set": {"content[3].text": "x"}}, "edit: set content[3].text: the message has no [3] there"),
        ({"remove": ["stop_reasn"]}, "edit: remove stop_reasn: the message has no 'stop_reasn' there; did you mean 'stop_reason'?"),
    ],
    ids=lambda one: str(one),
)  # fmt: skip
@pytest.mark.parametrize("is_json", [False, True])
def test_a_change_that_no_message_can_have_says_why(changes: Any, reason: str, is_json: bool) -> None:
    assert refusals(HELLO, edit(message=changes), as_json_reply=is_json) == (
        reason if reason.startswith("edit") else f"edit: {reason}",
    )


def test_other_faults_find_the_frames_of_the_changed_message_wherever_it_is_written() -> None:
    short = edit(message={"set": {"content.0.text": "Yes."}})
    cut = {"type": "disconnect", "after": {"blocks": 1}}
    for faults in ([short, cut], [cut, short]):
        assert b'"Yes."' in struck(HELLO, *faults).body().replace(b'Yes","', b"").replace(b'"Yes"', b'"Yes."')
        assert struck(HELLO, *faults, as_json_reply=True).body().endswith(b'"text":"Yes.')


def test_an_error_reply_is_no_message(engine: MakeEngine, ask: Ask) -> None:
    overlay = "name: b\nfault: {type: edit, message: {set: {id: 1}}}\n"
    entry = ask(engine(f"name: a\nerror: overloaded_error\n---\n{overlay}"))
    assert entry.status == 529
    assert entry.headers["x-mock-warning"] == "fault not applied: edit: message: the reply is no message"


# -- whatever comes together -----------------------------------------------------------------------------------------

_NAMES = [*get_args(EventName), "error"]
_PATHS = ["type", "index", "delta", "delta.type", "delta.text", "message", "message.usage", "usage", "content_block"]
_INNER = [
    "content",
    "content.0",
    "content.0.text",
    "content[-1].input",
    "usage",
    "id",
    "type",
    "content[*]",
    "content[1]",
]
_VALUES = [None, 1, "x", [], {}, [1], {"type": "q"}, "content_block_delta", True, -1, 1.5, "é—"]


def _any_fault(draw: Random) -> dict[str, Any]:
    """An edit, an insert, or something else that may meet what these leave behind."""
    kind = draw.random()
    if kind < 0.4:
        which = [{"event": draw.choice(_NAMES), "nth": draw.choice(["all", 1, -1])}, {"block": draw.randrange(3)}]
        what = [{"set": {draw.choice(_PATHS): draw.choice(_VALUES)}}, {"remove": [draw.choice(_PATHS)]}]
        return edit(**draw.choice(which), **draw.choice([*what, {"name": draw.choice([None, "x"])}, {"drop": True}]))
    if kind < 0.6:
        path = draw.choice(_INNER)
        return edit(message=draw.choice([{"set": {path: draw.choice(_VALUES)}}, {"remove": [path]}]))
    if kind < 0.7:
        return insert(after=draw.randrange(3), event=draw.choice(_NAMES), data=draw.choice(_VALUES[1:]), then="go_on")
    others = ["extra_fields", "no_usage", "wire", "reorder", "duplicate_event", "truncate", "unknown_delta", "gzip"]
    return draw.choice([{"type": draw.choice(others)}, {"type": "disconnect", "after": {"tokens": draw.randrange(4)}}])


@pytest.mark.parametrize("plan", [HELLO, MIXED], ids=["text", "blocks"])
@pytest.mark.parametrize("is_json", [False, True])
def test_faults_in_any_order_apply_or_say_why_and_what_they_leave_can_be_looked_at(plan: Plan, is_json: bool) -> None:
    draw = Random(11)
    for _ in range(400):
        wanted = [_any_fault(draw) for _ in range(draw.randint(1, 4))]
        done = applied(as_json(plan) if is_json else plan, faults_of(wanted, "test"), site(plan))
        assert len(done.faults) + len(done.failed) == len(wanted)
        timeline_marks(done.plan, done.faults)
        as_completion(done.plan)
        for frame, payload in zip(done.plan.frames, done.plan.payloads, strict=True):
            if payload is not None and b"data: " in frame:
                assert next(heard(frame)) == json.loads(json.dumps(payload)), wanted


# -- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ({"at": "message_delta"}, "S(p......)"),
        ({"at": {"event": "message_delta"}}, "S(p......)"),
        ({"at": {"event": "content_block_delta", "nth": 3}}, "S(p.."),
        ({"at": {"event": "content_block_delta", "nth": -1}}, "S(p....."),
        ({"at": {"index": 0}}, ""),
        ({"at": {"index": 2}}, "S(p"),
        ({"at": {"block": 0}}, "S"),
        ({"at": {"block": 0, "event": "content_block_stop"}}, "S(p......"),
        ({"at": {"event": "message_stop", "bytes": 30}}, "S(p......)d#"),
        ({"after": {"event": "message_start"}}, "S"),
        ({"after": {"event": "content_block_delta", "nth": 2}}, "S(p.."),
        ({"after": {"event": "message_stop"}}, "S(p......)dE"),
    ],
    ids=str,
)
@pytest.mark.parametrize("type", ["disconnect", "reset"])
def test_a_place_that_an_event_names(type: str, place: Any, kept: str) -> None:
    assert signs(struck(HELLO, {"type": type, **place})) == kept


def test_a_cut_inside_a_frame_is_to_the_byte() -> None:
    for fault in ({"type": "disconnect"}, {"type": "truncate"}):
        plan = struck(HELLO, {**fault, "at": {"event": "message_stop", "bytes": 30}})
        assert plan.body().endswith(b'event: message_stop\ndata: {"ty')
        assert HELLO.body().startswith(plan.body())


def test_every_kind_of_fault_with_a_place_takes_an_event() -> None:
    assert signs(struck(HELLO, {"type": "error_event", "at": "message_delta"})) == "S(p......)!"
    assert signs(struck(HELLO, {"type": "stall", "at": "message_delta"})) == "S(p......)|"
    assert signs(struck(HELLO, {"type": "gate", "name": "g", "at": "message_delta"})) == "S(p......)|dE"
    assert signs(struck(HELLO, {"type": "truncate", "at": "message_delta"})) == "S(p......)#"
    assert signs(struck(HELLO, {"type": "unknown_event", "at": "message_delta"})) == "S(p......)?dE"
    assert signs(struck(HELLO, {"type": "garbage", "at": "message_delta"})) == "S(p......)#dE"


def test_in_a_json_reply_an_event_is_where_its_content_ends() -> None:
    at = {"type": "disconnect", "at": {"event": "content_block_delta", "nth": 3}}
    assert struck(HELLO, at, as_json_reply=True).body().endswith(b'"text":"One two')
    inside = {"type": "disconnect", "at": {"event": "message_stop", "bytes": 30}}
    assert refusals(HELLO, inside, as_json_reply=True) == (
        "disconnect: at message_stop after 30 bytes of it: a JSON reply has no frames",
    )


SLOW = stream(TEXT, gap=1000)  # an event a second, the last one after 11 s


@pytest.mark.parametrize(
    ("time", "kept", "ends"),
    [("500ms", "S", 500), ("1s", "S(", 1000), ("3500ms", "S(p.", 3500), ("11s", "S(p......)dE", 11_000)],
)
def test_a_cut_after_a_time_comes_at_that_time(time: str, kept: str, ends: int) -> None:
    plan = struck(SLOW, {"type": "disconnect", "after": {"time": time}})
    assert signs(plan) == kept
    assert plan.due[-1] == ends * 1000


def test_time_counts_from_the_head_of_the_reply() -> None:
    late = SLOW._replace(
        at=2_000_000,
        parts=(SLOW.parts[0]._replace(at=array("I", [at + 2_000_000 for at in SLOW.parts[0].at])),),
    )
    plan = struck(late, {"type": "disconnect", "after": {"time": "3500ms"}})
    assert (signs(plan), plan.due[-1]) == ("S(p.", 5_500_000)


def test_what_comes_behind_a_time_keeps_its_own() -> None:
    assert struck(SLOW, insert(after={"time": "3500ms"}, raw=": x\n\n")).due == [
        *(0, 1_000_000, 2_000_000, 3_000_000, 3_500_000, 3_500_000),
        *range(4_000_000, 12_000_000, 1_000_000),
    ]
    stalled = struck(SLOW, {"type": "stall", "after": {"time": "3500ms"}, "for": "10s"})
    assert stalled.due[-1] == 21_000_000


def test_a_stream_that_hangs_is_cut_after_its_time_with_pings_until_then() -> None:
    plan = struck(
        HELLO, {"type": "stall", "after": 3, "ping": "50s"}, {"type": "disconnect", "after": {"time": "121s"}}
    )
    assert signs(plan) == "S(p...pp"
    assert plan.due[-3:] == [50_000_000, 100_000_000, 121_000_000]
    assert plan.manner is not None
    assert plan.manner.ending == "close"


def test_a_time_that_the_reply_does_not_last_is_told() -> None:
    cut = {"type": "disconnect", "after": {"time": "121s"}}
    assert refusals(HELLO, cut) == ("disconnect after 121s: the reply is over 0s after its head",)
    assert refusals(SLOW, cut) == ("disconnect after 121s: the reply is over 11s after its head",)
    assert refusals(SLOW, cut, as_json_reply=True)


def test_a_time_behind_a_gate_is_nobodys_to_say() -> None:
    gated = {"type": "gate", "name": "g", "after": 1}
    assert struck(SLOW, gated, {"type": "disconnect", "after": {"time": "500ms"}}).due == [0, 500_000]
    with pytest.raises(ScenarioError, match="the gate 'g' before it opens when a test wants it to"):
        loads("name: a\nreply: One two.\ngate: {name: g, after: 1}\nfault: {type: disconnect, after: {time: 121s}}")


def test_the_time_scale_touches_the_pace_and_no_time_of_a_fault(engine: MakeEngine, ask: Ask) -> None:
    script = (
        "name: a\nreply: One two three four five.\ntiming: {gap: 1s}\nfault: {type: disconnect, after: {time: 2200ms}}"
    )
    whole, half, none = (ask(engine(script, time_scale=scale), stream=True).plan for scale in (1.0, 0.5, 0.0))
    deltas = [sum(b"text_delta" in frame for frame in plan.frames) for plan in (whole, half, none)]
    assert deltas == [3, 5, 6]
    assert [plan.due[-1] for plan in (whole, half)] == [2_200_000, 2_200_000]
    assert dict(none.headers)["x-mock-warning"] == (
        "fault not applied: disconnect after 2.2s: the reply is over 0s after its head"
    )


# -- comments in silence ---------------------------------------------------------------------------------------------


def test_a_stall_sends_comments_instead_of_pings() -> None:
    plan = struck(HELLO, {"type": "stall", "after": 3, "for": "10s", "keepalive": "4s"})
    assert plan.frames[6:8] == (KEEPALIVE_FRAME, KEEPALIVE_FRAME)
    assert plan.due[6:9] == [4_000_000, 8_000_000, 10_000_000]


def test_an_endless_stall_and_a_gate_go_on_with_comments() -> None:
    stalled = struck(HELLO, {"type": "stall", "after": 3, "keepalive": "4s"})
    gated = struck(HELLO, {"type": "gate", "name": "g", "after": 3, "keepalive": "4s"})
    waits = [step for plan in (stalled, gated) for step in unrolled(plan) if isinstance(step, Wait)]
    assert waits == [Wait(None, 4_000_000, True), Wait("g", 4_000_000, True)]


def test_a_slow_first_token_sends_comments(engine: MakeEngine, ask: Ask) -> None:
    script = "name: a\nreply: One two.\ntiming: {gap: 1s, keepalive: 400ms}"
    entry = ask(engine(script, time_scale=1.0), stream=True)
    assert entry.plan.frames.count(KEEPALIVE_FRAME) == 4
    assert entry.plan.payloads.count(None) == 4
    assert entry.reply["content"] == [{"type": "text", "text": "One two."}]


# -- wire, one habit at a time ---------------------------------------------------------------------------------------

ACCENTS = stream(Text(text="Un — deux."))


@pytest.mark.parametrize("habit", ["crlf", "comments", "split_utf8", "multi_line", "no_space"])
def test_a_habit_alone_says_the_same_in_another_framing(habit: str) -> None:
    plan = struck(ACCENTS, {"type": "wire", habit: True})
    told = [json.loads(one.data) for one in SSEDecoder().iter_bytes(iter([plan.body()])) if one.data]
    assert told == list(parse(ACCENTS.body()))
    assert plan.body() != ACCENTS.body() or habit == "split_utf8"


def test_each_habit_is_in_every_frame_and_no_other_is() -> None:
    def framed(**habit: Any) -> tuple[bytes, ...]:
        return struck(ACCENTS, {"type": "wire", **habit}).frames

    assert framed(crlf=True) == tuple(frame.replace(b"\n", b"\r\n") for frame in ACCENTS.frames)
    assert framed(no_space=True) == tuple(
        frame.replace(b"event: ", b"event:").replace(b"data: ", b"data:", 1) for frame in ACCENTS.frames
    )
    commented = framed(comments=True)
    assert all(frame.startswith(b":") and frame.endswith(b"\n" + old) for frame, old in zip(commented, ACCENTS.frames, strict=True))  # fmt: skip
    assert all(frame.count(b"\ndata: ") > 1 for frame in framed(multi_line=True) if b"," in frame)
    split = struck(ACCENTS, {"type": "wire", "split_utf8": True})
    assert split.body() == ACCENTS.body()
    assert [frame[-1:] for frame in split.frames if not frame.endswith(b"\n")] == ["—".encode()[:1]]
    assert framed(crlf=True, no_space=True)[-1] == b'event:message_stop\r\ndata:{"type":"message_stop"}\r\n\r\n'


def test_without_a_habit_the_seed_draws_them_all() -> None:
    assert struck(HELLO, {"type": "wire", "seed": 7}).frames != struck(HELLO, {"type": "wire", "seed": 8}).frames


# -- how they are written --------------------------------------------------------------------------------------------

MISTAKES = [
    ("fault: edit", "3:8: names no event: expected event, block or index"),
    ("fault: {type: edit, event: message_start}", "3:8: changes nothing: expected set, remove, name, drop or message"),
    ("fault: {type: edit, event: message_start, set: {}}", "expected paths with their values, such as {message.usage.input_tokens: 0}"),
    ("fault: {type: edit, event: message_start, set: [a]}", "3:48: expected paths with their values"),
    ("fault: {type: edit, event: message_start, set: {a..b: 1}}", "3:49: 'a..b' is no path; for example message.usage.input_tokens"),
    ("fault: {type: edit, event: message_start, remove: 7}", "3:51: expected a path such as usage.output_tokens, got 7"),
    ("fault: {type: edit, event: message_start, nth: 0, drop: true}", "3:43: events are counted from 1, or from the end: -1"),
    ("fault: {type: edit, event: message_start, nth: many, drop: true}", "3:48: expected the number of an event from 1, -1 for the last, or all; got 'many'"),
    ("fault: {type: edit, event: ping, index: 0, drop: true}", "3:21: 'index' names one event; take 'event' out"),
    ("fault: {type: edit, event: ping, after: 3, drop: true}", "3:21: 'after' names the event behind a place; take 'event' out"),
    ("fault: {type: edit, index: 0, after: 3, drop: true}", "3:21: 'after' names the event behind a place; take 'index' out"),
    ("fault: {type: edit, event: ping, drop: true, set: {a: 1}}", "3:34: what is left out cannot say something else: take set, remove and name out"),
    ("fault: {type: edit, event: ping, name: 7}", "3:40: expected a name in one line, or null for data alone; got 7"),
    ("fault: {type: edit, event: ping, message: {set: {id: 1}}}", "3:21: 'message' changes the stream and the JSON reply, 'event' one event: make it two edits"),
    ("fault: {type: edit, message: {}}", "3:30: changes nothing: expected set or remove"),
    ("fault: {type: edit, event: mesage_start, drop: true}", "3:1: edit: there is no mesage_start: the reply has 0; did you mean 'message_start'?"),
    ("fault: {type: edit, event: message_start, set: {mesage.id: 1}}", "3:1: edit: set mesage.id: message_start has no 'mesage' there; did you mean 'message'?"),
    ("fault: {type: edit, message: {remove: [usage.input_token]}}", "edit: remove usage.input_token: the message has no 'input_token' there; did you mean 'input_tokens'?"),
    ("fault: [{type: edit, event: message_stop, drop: true}, {type: edit, event: message_stop, name: x}]", "3:56: edit: there is no message_stop: the reply has 0"),
    ("fault: [{type: disconnect, after: 1}, {type: edit, event: message_stop, name: x}]", "3:39: edit: there is no message_stop: the reply has 0"),
    ("fault: insert", "3:8: inserts nothing: expected raw, or data with the name of its event"),
    ("fault: {type: insert, raw: ''}", "3:23: expected 1 to 1,000,000 characters"),
    ('fault: {type: insert, raw: "data: 1"}', "3:23: does not end with an empty line, so the next event runs into it; `then: go_on` if it should"),
    ('fault: {type: insert, raw: "\\n\\n", data: 1}', "3:36: 'raw' is all that is sent; take 'data' out"),
    ("fault: {type: insert, event: message_stop, data: {}}", "3:1: insert: message_stop ends the stream, and content_block_delta comes behind it"),
    ("fault: {type: disconnect, after: 1, at: message_delta}", "3:37: two places: 'after' and 'at'; take one out"),
    ("gate: {name: g, after: 1, at: message_delta}", "3:27: two places: 'after' and 'at'; take one out"),
    ("fault: {type: disconnect, at: {}}", "3:31: names no event: expected event, block or index"),
    ("fault: {type: disconnect, at: {event: message_stop, bytes: 0}}", "3:53: inside a frame is behind 1 byte of it at least"),
    ("fault: {type: disconnect, at: {event: message_stop, bytes: 900}}", "3:1: disconnect: at message_stop after 900 bytes of it: its frame has 51 bytes"),
    ("fault: {type: disconnect, after: {nth: 2}}", "'nth' goes with event"),
    ("fault: {type: disconnect, after: {time: soon}}", "3:41: expected a duration such as 250ms or 2s, got 'soon'"),
    ("fault: {type: stall, ping: 1s, keepalive: 1s}", "3:32: a silence has pings or comments, not both"),
    ("timing: {ping: 1s, keepalive: 1s}", "3:20: a silence has pings or comments, not both"),
    ("timing: {keepalive: 1ms}", "3:10: a comment comes after 10ms of silence at the earliest"),
    ("fault: {type: wire, split_utf8: true}", "3:1: wire: split_utf8: no character of several bytes is in the reply"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_told_with_its_place_and_what_was_expected(line: str, expected: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(f"name: a\nreply: One two three four five.\n{line}", "a.yaml")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "{type: edit, event: message_start, remove: [message.usage.cache_read_input_tokens]}",
        "{type: edit, event: message_delta, set: {delta.stop_details.type: x}}",
        "{type: edit, message: {remove: [context_management]}}",
    ],
)
def test_what_only_a_request_decides_is_no_mistake_at_load_and_is_told_then(
    line: str, engine: MakeEngine, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    entry = ask(engine(f"name: a\nreply: One two.\nfault: {line}"), stream=True)
    assert entry.headers["x-mock-warning"].startswith("fault not applied: edit: ")
    assert entry.note.startswith("fault not applied: edit: ")
    assert "a fault could not be applied: edit: " in caplog.text
    assert entry.faults == ()


HEADERS = [
    (
        "edit;event=message_start;set.message.usage.input_tokens=0;set.message.id=x;remove=message.role;remove=message.type",
        [
            edit(
                event="message_start",
                set={"message.usage.input_tokens": 0, "message.id": "x"},
                remove=["message.role", "message.type"],
            )
        ],
    ),
    ("edit;event=message_stop;name=null, reset;at=message_stop", [edit(event="message_stop", name=None), {"type": "reset", "at": "message_stop"}]),
    ("edit;block=0;nth=all;drop=true", [edit(block=0, nth="all", drop=True)]),
    ("insert;after=event:content_block_stop;raw=data: [DONE]\\n\\n", [insert(after={"event": "content_block_stop"}, raw="data: [DONE]\n\n")]),
    ("disconnect;at=event:message_stop+bytes:20", [{"type": "disconnect", "at": {"event": "message_stop", "bytes": 20}}]),
    ("disconnect;after=time:121s", [{"type": "disconnect", "after": {"time": "121s"}}]),
    ("wire;crlf=true;seed=3", [{"type": "wire", "crlf": True, "seed": 3}]),
    ("edit;message.set.stop_reason=tired;message.remove=role", [edit(message={"set": {"stop_reason": "tired"}, "remove": ["role"]})]),
    ('[{"type":"insert","event":"mood","data":{"a":[1]}},"reset"]', [insert(event="mood", data={"a": [1]}), {"type": "reset"}]),
    ('{"type":"edit","message":{"set":{"usage.input_tokens":0}}}', [edit(message={"set": {"usage.input_tokens": 0}})]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "meant"), HEADERS, ids=[row[0] for row in HEADERS])
def test_the_header_says_what_the_yaml_says(text: str, meant: list[Any]) -> None:
    assert parse_header(text) == faults_of(meant, "test")
    assert len(spelled(text)) == len(meant)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 5000, "x-mock-fault: is no JSON: "),
        ("[" * 300 + "]" * 300, "x-mock-fault: $: nested more than 100 levels deep"),
        ("edit;event=ping;set.a=" + "[" * 300 + "]" * 300, "x-mock-fault: $: nested more than 100 levels deep"),
        ('{"type":"edit","event":"ping","set":{"a":NaN}}', "$.set.a: nan is no number of JSON"),
        ('{"type":"insert","raw":"\\ud800\\n\\n"}', "$.raw: half a character"),
        ("[]", "names no fault"),
        ("[3]", "expected a mapping with a type, got a number"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_a_header_that_is_wrong_says_what_is(text: str, told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_header(text)
    assert told in str(caught.value)


def test_values_that_are_no_json_are_refused_from_python() -> None:
    from mock_server import fault

    for wrong in (float("nan"), float("inf"), {1, 2}):
        with pytest.raises(ScenarioError, match="is no JSON"):
            fault("edit", event="message_stop", set={"a": wrong})
        with pytest.raises(ScenarioError, match="is no JSON"):
            fault("insert", data={"a": wrong})
    assert fault("edit", event="message_stop", name=None) == edit(event="message_stop", name=None)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (edit(event="message_start", nth=1, set={"message.usage.input_tokens": 0}, remove=["message.role"]), "edit message_start 1 message.usage.input_tokens, -message.role"),
        (edit(block=1, drop=True), "edit block 1 drop"),
        (edit(event="message_stop", block=1, name=None), "edit message_stop of block 1 without a name"),
        (edit(after=3, set={"a": 1}), "edit after 3 deltas a"),
        (edit(message={"set": {"id": 1}, "remove": ["role"]}), "edit message id, -role"),
        (insert(after={"event": "ping"}, raw=": x\n\n"), 'insert after ping raw ": x\\n\\n"'),
        ({"type": "disconnect", "at": {"event": "message_stop", "nth": 1, "bytes": 2}}, "disconnect at message_stop 1 after 2 bytes of it"),
        ({"type": "wire", "crlf": True}, "wire crlf"),
        ({"type": "stall", "keepalive": "4s"}, "stall keepalive 4s"),
    ],
    ids=lambda one: str(one),
)  # fmt: skip
def test_a_fault_in_a_few_words(fault: Any, said: str) -> None:
    assert label(faults_of(fault, "test")[0]) == said


@pytest.mark.parametrize("written", [".nan", ".NaN", ".inf", "-.inf", "+.Inf"])
@pytest.mark.parametrize(
    "fault",
    [
        "edit, event: message_delta, set: {{usage.output_tokens: {}}}",
        "edit, event: message_delta, set: {{usage: {{all: [1, {}]}}}}",
        "edit, message: {{set: {{usage.output_tokens: {}}}}}",
        "insert, event: mood, data: {{value: {}}}",
    ],
)
def test_a_number_that_json_has_none_for_is_a_mistake_and_in_quotes_a_text(fault: str, written: str) -> None:
    script = "name: a\nreply: Hi\nfault: {{type: {}}}"
    with pytest.raises(ScenarioError) as caught:
        loads(script.format(fault.format(written)))
    assert str(caught.value).startswith("<text>:3:")
    assert f": {written} is no number of JSON; if a text is meant, write it in quotes" in str(caught.value)
    loads(script.format(fault.format(f"'{written}'")))

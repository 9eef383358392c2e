"""Faults as plan -> plan, without a socket: what each keeps, cuts and puts in, and where; how they combine."""

import gzip
import json
import re
import zlib
from array import array
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from anthropic._streaming import SSEDecoder

from mock_server.engine.faults import as_json
from mock_server.protocol.blocks import Block, Text, Thinking, ToolUse
from mock_server.protocol.message import Message, events, fold
from mock_server.protocol.plan import JSON_HEADERS, SSE_HEADERS, Manner, Part, Plan, Send, Wait, unrolled, whole
from mock_server.protocol.sse import dumps, encode, frame, heard, parse
from mock_server.scenario.error import Failure
from mock_server.scenario.faults import applied, faults_of, label, parse_header
from mock_server.scenario.faults.place import After, Site, name_of, payload_of, split
from mock_server.scenario.load import files, library, load, loads
from mock_server.scenario.node import ScenarioError

COUNT: dict[str, Any] = {"input_tokens": 7, "output_tokens": 1}
TEXT = Text(text="One two three four five.")
CALL = ToolUse(id="toolu_1", name="look", input={"city": "Zürich", "days": 3})
# one event a sign: message_start, block start, delta, block stop, ping, message_delta, message_stop; an error, an unknown one
SIGNS = {
    "message_start": "S",
    "content_block_start": "(",
    "content_block_delta": ".",
    "content_block_stop": ")",
    "ping": "p",
    "message_delta": "d",
    "message_stop": "E",
    "error": "!",
    "message_mood": "?",
}


def stream(*blocks: Block, gap: int = 0) -> Plan:
    """A reply as a stream, an event every `gap` milliseconds."""
    message = Message("msg_1", "m", blocks, "end_turn", None, None, COUNT, COUNT)
    payloads = tuple(event.payload for event in events(message, "token"))
    at = array("I", [number * gap * 1000 for number in range(len(payloads))])
    return Plan(200, SSE_HEADERS, (Part(tuple(map(frame, payloads)), at, None, payloads),), True)


def failure(script: Failure, *, streamed: bool = False) -> Plan:
    body = {"type": "error", "error": {"type": script.error_type, "message": "Broken"}}
    return whole(script.http_status, JSON_HEADERS, encode(dumps(body)), 0, body)


def site(streamed: Plan, seed: int = 1) -> Site:
    return Site(Random(seed), streamed, failure)


def struck(streamed: Plan, *written: Any, seed: int = 1, as_json_reply: bool = False) -> Plan:
    """The plan after faults as they are written; all of them must apply."""
    done = applied(
        as_json(streamed) if as_json_reply else streamed, faults_of(list(written), "test"), site(streamed, seed)
    )
    assert done.failed == ()
    return done.plan


def refusals(streamed: Plan, *written: Any, as_json_reply: bool = False) -> tuple[str, ...]:
    plan = as_json(streamed) if as_json_reply else streamed
    done = applied(plan, faults_of(list(written), "test"), site(streamed))
    if not done.faults:
        assert done.plan is plan
    return done.failed


def signs(plan: Plan) -> str:
    """The events of a plan; `|` where it waits, `#` for what is no whole event."""
    return "".join(
        "|" if isinstance(step, Wait) else SIGNS.get(name_of(step[1]), "#")
        for step in unrolled(plan)
        if isinstance(step, Wait) or step[1]
    )


HELLO = stream(TEXT)
MIXED = stream(Thinking(thinking="Hm, well."), TEXT, CALL)


def test_the_replies_that_are_broken_here() -> None:
    assert signs(HELLO) == "S(p......)dE"
    assert signs(MIXED) == "S(p.....)(......)(" + "." * 16 + ")dE"


# -- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "kept"),
    [
        (0, "S(p"),
        (1, "S(p."),
        (3, "S(p..."),
        (6, "S(p......"),
        ({"events": 0}, ""),
        ({"events": 1}, "S"),
        ({"events": 2}, "S("),
        ({"events": 3}, "S(p."),
        ({"events": 11}, "S(p......)dE"),
        ({"blocks": 0}, "S"),
        ({"blocks": 1}, "S(p......)"),
        ({"tokens": 0}, "S(p"),
        ({"tokens": 2}, "S(p.."),
        ({"bytes": 0}, ""),
        (None, "S(p..."),
    ],
    ids=str,
)
def test_a_place_in_a_stream(after: Any, kept: str) -> None:
    fault = {"type": "disconnect"} if after is None else {"type": "disconnect", "after": after}
    assert signs(struck(HELLO, fault)) == kept


@pytest.mark.parametrize(
    ("after", "kept"),
    [
        ({"deltas": 0, "in": "text"}, "S(p.....)("),
        ({"deltas": 2, "in": "text"}, "S(p.....)(.."),
        ({"deltas": 1, "in": "tool_use"}, "S(p.....)(......)(."),
        ({"deltas": 2, "in": "thinking"}, "S(p.."),
        ({"blocks": 0}, "S"),
        ({"blocks": 2}, "S(p.....)(......)"),
        ({"deltas": 5}, "S(p....."),
        ({"deltas": 6}, "S(p.....)(."),
    ],
    ids=str,
)
def test_a_place_among_several_blocks(after: Any, kept: str) -> None:
    assert signs(struck(MIXED, {"type": "disconnect", "after": after})) == kept


def test_every_byte_is_a_place() -> None:
    body = HELLO.body()
    for count in (*range(0, len(body), 37), len(body)):
        assert struck(HELLO, {"type": "reset", "after": {"bytes": count}}).body() == body[:count]


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (7, "after 7 deltas: the reply has 6 deltas"),
        ({"events": 12}, "after 12 events: the reply has 11 events"),
        ({"blocks": 2}, "after 2 blocks: the reply has 1 block"),
        ({"tokens": 99}, "after 99 tokens: the reply has 6 tokens"),
        ({"bytes": 10_000}, f"after 10000 bytes: the reply has {len(HELLO.body())}"),
        ({"deltas": 1, "in": "tool_use"}, "after 1 delta in tool_use: the reply has 0 deltas in tool_use"),
    ],
    ids=str,
)
def test_a_place_that_is_not_there_is_told(after: Any, reason: str) -> None:
    for as_json_reply in (False, True):
        (told,) = refusals(HELLO, {"type": "disconnect", "after": after}, as_json_reply=as_json_reply)
        expected = reason if not (as_json_reply and "bytes" in str(after)) else "after 10000 bytes: the reply has"
        assert told.startswith(f"disconnect {expected}")


# -- what each fault leaves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "left", "ending"),
    [
        ({"type": "error_event", "after": 2}, "S(p..!", "end"),
        ({"type": "error_event", "after": 0, "then": "close"}, "S(p!", "close"),
        ({"type": "error_event", "after": {"deltas": 2, "in": "text"}, "then": "reset"}, "S(p..!", "reset"),
        ({"type": "error_event", "after": 2, "then": "hang"}, "S(p..!|", None),
        ({"type": "disconnect", "after": 2}, "S(p..", "close"),
        ({"type": "reset", "after": 2}, "S(p..", "reset"),
        ({"type": "stall", "after": 2}, "S(p..|", None),
        ({"type": "stall", "after": 2, "for": "1s"}, "S(p......)dE", "-"),
        ({"type": "stall", "after": 2, "for": "1s", "ping": "400ms"}, "S(p..pp....)dE", "-"),
        ({"type": "gate", "name": "g", "after": 2}, "S(p..|....)dE", "-"),
        ({"type": "truncate", "after": 2}, "S(p..#", "end"),
        ({"type": "truncate", "after": 2, "then": "close"}, "S(p..#", "close"),
        ({"type": "truncate", "after": 2, "then": "hang"}, "S(p..#|", None),
        ({"type": "garbage", "after": 2}, "S(p..#....)dE", "-"),
        ({"type": "garbage", "after": 2, "then": "reset"}, "S(p..#", "reset"),
        ({"type": "missing_event"}, "S(p......)d", "-"),
        ({"type": "missing_event", "event": "ping"}, "S(......)dE", "-"),
        ({"type": "missing_event", "event": "content_block_delta", "nth": 6}, "S(p.....)dE", "-"),
        ({"type": "duplicate_event", "event": "message_stop"}, "S(p......)dEE", "-"),
        ({"type": "reorder", "event": "message_delta"}, "S(p......)Ed", "-"),
        ({"type": "reorder", "event": "content_block_start"}, "Sp(......)dE", "-"),
        ({"type": "unknown_event", "after": 2}, "S(p..?....)dE", "-"),
        ({"type": "unknown_event", "after": {"events": 0}}, "?S(p......)dE", "-"),
        ({"type": "unknown_delta", "after": 2}, "S(p.......)dE", "-"),
        ({"type": "malformed_json", "nth": 2}, "S(p......)dE", "-"),
        ({"type": "extra_fields"}, "S(p......)dE", "-"),
        ({"type": "no_usage"}, "S(p......)dE", "-"),
        ({"type": "slow_headers", "for": "1s"}, "S(p......)dE", "-"),
        ({"type": "wrong_content_type"}, "S(p......)dE", "-"),
        ({"type": "wrong_content_length"}, "S(p......)dE", "close"),
    ],
    ids=lambda value: label(faults_of(value, "id")[0]) if isinstance(value, dict) else "",
)
def test_the_events_that_are_left(written: Any, left: str, ending: str | None) -> None:
    plan = struck(HELLO, written)

    assert signs(plan) == left
    assert plan.intact == HELLO
    assert (plan.manner.ending if plan.manner else "-") == ending


def test_an_empty_response_has_neither_head_nor_body() -> None:
    for then in ("close", "reset"):
        plan = struck(HELLO, {"type": "empty_response", "then": then})
        assert (plan.parts, plan.manner) == ((), Manner(ending=then, head=b""))


def test_an_error_takes_the_place_of_the_whole_reply() -> None:
    plan = struck(HELLO, {"type": "error", "error": {"type": "rate_limit_error", "status": 429}})
    assert (plan.status, plan.stream) == (429, False)
    assert json.loads(plan.body())["error"]["type"] == "rate_limit_error"


def test_the_page_of_a_proxy_takes_the_place_of_the_whole_reply() -> None:
    plan = struck(HELLO, {"type": "html_error", "status": 504})
    assert (plan.status, dict(plan.headers)["content-type"]) == (504, "text/html")
    assert b"504 Gateway Time-out" in plan.body()


def test_the_error_in_a_stream_is_the_envelope() -> None:
    *_, said = parse(struck(HELLO, {"type": "error_event", "after": 1, "error": "api_error"}).body())
    assert said == {"type": "error", "error": {"type": "api_error", "message": "Broken"}}


def test_malformed_json_is_one_event_without_the_end_of_its_data() -> None:
    payloads = list(heard(struck(HELLO, {"type": "malformed_json", "nth": 2}).body()))
    assert [payload["type"] for payload in payloads].count("(broken)") == 1
    (broken,) = (payload["data"] for payload in payloads if payload["type"] == "(broken)")
    assert json.loads(broken + "}")["delta"]["text"] == " two"


def test_a_text_is_cut_inside_a_character() -> None:
    plan = struck(stream(Text(text="Ein Brötchen")), {"type": "truncate", "after": 0, "inside": "character"})
    with pytest.raises(UnicodeDecodeError):
        plan.body().decode()
    assert plan.body()[:-1].decode().endswith(" Br")


def test_without_such_a_character_it_is_told() -> None:
    (told,) = refusals(HELLO, {"type": "truncate", "after": 0, "inside": "character"})
    assert told == "truncate inside a character: no character of several bytes comes after this place"


def test_an_unknown_delta_needs_an_open_block() -> None:
    (told,) = refusals(HELLO, {"type": "unknown_delta", "after": {"blocks": 1}})
    assert told == "unknown_delta: no block is open at this place"


def test_an_unknown_delta_belongs_to_the_open_block() -> None:
    plan = struck(MIXED, {"type": "unknown_delta", "after": {"deltas": 1, "in": "tool_use"}})
    (added,) = (payload for payload in parse(plan.body()) if payload.get("delta", {}).get("type") == "mood_delta")
    assert added["index"] == 2


def test_unknown_fields_change_nothing_that_is_known() -> None:
    plain = list(parse(HELLO.body()))
    for payload, known in zip(parse(struck(HELLO, "extra_fields").body()), plain, strict=True):
        assert payload.pop("x_unknown")
        assert payload == known


@pytest.mark.parametrize(("event", "name"), [("message_delta", "d"), ("message_start", "S")])
def test_no_usage(event: str, name: str) -> None:
    for payload in parse(struck(HELLO, {"type": "no_usage", "event": event}).body()):
        holder = payload.get("message", payload)
        assert ("usage" in holder) == (payload["type"] in {"message_delta", "message_start"} - {event})


@pytest.mark.parametrize("how", ["valid", "truncated", "corrupt", "header_only", "body_only"])
@pytest.mark.parametrize("as_json_reply", [False, True], ids=["stream", "json"])
def test_gzip(how: str, as_json_reply: bool) -> None:
    plain = (as_json(HELLO) if as_json_reply else HELLO).body()

    plan = struck(HELLO, {"type": "gzip", "how": how}, as_json_reply=as_json_reply)

    assert dict(plan.headers).get("content-encoding") == (None if how == "body_only" else "gzip")
    if how == "header_only":
        assert plan.body() == plain
    elif how in ("valid", "body_only"):
        assert gzip.decompress(plan.body()) == plain
    else:
        with pytest.raises((EOFError, gzip.BadGzipFile)):
            gzip.decompress(plan.body())


def test_each_compressed_frame_can_be_read_as_it_comes() -> None:
    unpack = zlib.decompressobj(31)
    for packed, plain in zip(struck(HELLO, {"type": "gzip", "how": "valid"}).frames, HELLO.frames, strict=False):
        assert unpack.decompress(packed) == plain


# -- time --------------------------------------------------------------------------------------------------------------


PACED = stream(TEXT, gap=10)


def test_a_stall_makes_what_follows_later_by_just_so_much() -> None:
    late = struck(PACED, {"type": "stall", "after": 2, "for": "1s"}).due
    assert late == [due + (1_000_000 if at > 4 else 0) for at, due in enumerate(PACED.due)]


def test_the_pings_of_a_stall_take_no_time_of_their_own() -> None:
    plan = struck(PACED, {"type": "stall", "after": 2, "for": "1s", "ping": "300ms"})
    assert plan.due[5:8] == [PACED.due[4] + 300_000 * n for n in (1, 2, 3)]
    assert plan.due[8:] == [due + 1_000_000 for due in PACED.due[5:]]


def test_late_headers_make_everything_late() -> None:
    plan = struck(PACED, {"type": "slow_headers", "for": "2s"})
    assert plan.at == PACED.at + 2_000_000
    assert plan.due == [due + 2_000_000 for due in PACED.due]


def test_a_trickle_takes_the_time_that_its_bytes_take() -> None:
    plan = struck(HELLO, {"type": "trickle", "bytes_per_second": 1000})
    assert plan.body() == HELLO.body()
    assert max(map(len, plan.frames)) <= 50
    assert plan.due[-1] == pytest.approx(len(HELLO.body()) * 1000, rel=0.001)


def test_a_trickle_leaves_alone_what_comes_before_it() -> None:
    plan = struck(HELLO, {"type": "trickle", "bytes_per_second": 1000, "after": 3})
    assert plan.frames[:6] == HELLO.frames[:6]
    assert plan.due[:6] == [0] * 6
    assert plan.due[6] > 0


# -- several of them ----------------------------------------------------------------------------------------------------


def test_faults_are_applied_in_their_order() -> None:
    first = {"type": "unknown_event", "after": 1}
    assert signs(struck(HELLO, first, {"type": "disconnect", "after": {"events": 4}})) == "S(p.?"
    assert signs(struck(HELLO, {"type": "disconnect", "after": {"events": 4}}, first)) == "S(p.?."


def test_gates_and_stalls_may_stand_at_one_place() -> None:
    plan = struck(
        HELLO,
        {"type": "gate", "name": "a", "after": 2},
        {"type": "gate", "name": "b", "after": 4},
        {"type": "stall", "after": 6},
    )
    assert signs(plan) == "S(p..|..|..|"
    assert [step for step in unrolled(plan) if isinstance(step, Wait)] == [Wait("a"), Wait("b"), Wait(None)]


def test_a_fault_that_cannot_apply_does_not_keep_the_others_from_it() -> None:
    done = applied(
        HELLO, faults_of([{"type": "stall", "after": 50}, {"type": "reset", "after": 1}], "test"), site(HELLO)
    )
    assert done.faults == ("reset after 1 delta",)
    assert done.failed == ("stall after 50 deltas: the reply has 6 deltas",)
    assert signs(done.plan) == "S(p."


def test_another_framing_comes_last_wherever_it_is_written() -> None:
    plan = struck(HELLO, {"type": "wire", "seed": 3}, {"type": "disconnect", "after": 2})
    assert [payload["type"] for payload in heard(plan.body())][-1] == "content_block_delta"
    assert plan.manner is not None
    assert (plan.manner.ending, plan.manner.apart) == ("close", True)
    assert loads("name: a\nreply: One two.\nfault: [{type: wire}, {type: stall, after: 2}]")


# -- JSON twins ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["missing_event", "duplicate_event", "reorder", "unknown_event", "unknown_delta"])
def test_what_has_no_twin_is_told(written: str) -> None:
    assert refusals(HELLO, written, as_json_reply=True) == (f"{written}: a JSON reply has no events",)


def test_pings_have_no_twin() -> None:
    (told,) = refusals(HELLO, {"type": "stall", "after": 1, "for": "1s", "ping": "1ms"}, as_json_reply=True)
    assert told == "stall: a JSON reply has no pings"


def test_the_error_of_a_json_reply_comes_when_its_place_would_have() -> None:
    plan = struck(PACED, {"type": "error_event", "after": 1}, as_json_reply=True)
    assert (plan.status, plan.at) == (529, PACED.due[-1])


@pytest.mark.parametrize("then", ["close", "reset", "hang"])
def test_a_body_that_is_cut_keeps_its_promised_length(then: str) -> None:
    body = as_json(HELLO).body()
    plan = struck(HELLO, {"type": "truncate", "after": 2, "then": then}, as_json_reply=True)
    assert body.startswith(plan.body())
    assert plan.manner is not None
    assert plan.manner.length == len(body)


def test_a_body_that_ends_in_order_tells_the_length_it_has() -> None:
    plan = struck(HELLO, {"type": "truncate", "after": 2}, as_json_reply=True)
    assert plan.body().endswith(b'"text":"One two')
    assert plan.manner == Manner(ending="end")


# the library's replies that are not made for each request; arguments that are no JSON are not told in a message
LIBRARY = {
    f"{scenario.name} {turn}": leaf.reply
    for scenario in load(files([library()]))
    for turn, answer in enumerate(scenario.turns, 1)
    for leaf in answer.leaves
    if scenario.name != "tool-broken-json"
    and leaf.reply
    and not leaf.is_open
    and not any(getattr(block, "is_open", False) for block in leaf.reply)
}


def fields(streamed: Plan) -> Iterator[tuple[int, bytes, bytes]]:
    """For every delta, counted from 1, that adds to the JSON body: what it adds, and its field up to and with it."""
    count, so_far, kind = 0, b"", ""
    for payload in parse(streamed.body()):
        if payload["type"] == "content_block_start":
            so_far, kind = b"", ""
        if payload["type"] != "content_block_delta":
            continue
        count += 1
        delta = payload["delta"]
        name = {
            "text_delta": "text",
            "thinking_delta": "thinking",
            "input_json_delta": "partial_json",
            "signature_delta": "signature",
        }.get(delta["type"])
        if name is None or not delta[name]:
            continue
        so_far = so_far if delta["type"] == kind else b""
        kind = delta["type"]
        added = encode(delta[name] if name == "partial_json" else dumps(delta[name])[1:-1])
        so_far += added
        yield (count, added, so_far) if name != "partial_json" else (count, compact(added), compact(so_far))


def compact(json: bytes) -> bytes:
    """The beginning of some JSON, as far as it goes, without the spaces between its values."""
    return re.sub(rb'("(?:[^"\\]|\\.)*"?)|\s+', lambda found: found[1] or b"", json, flags=re.DOTALL)


@pytest.mark.parametrize("name", LIBRARY)
def test_a_place_in_the_body_is_where_the_same_content_ends(name: str) -> None:
    told = stream(*LIBRARY[name])
    body = as_json(told)
    reached = 0
    for count, added, so_far in fields(told):
        before = b"".join(
            step[1] for step in split(body, After(deltas=count), site(told))[0] if not isinstance(step, Wait)
        )
        assert before.endswith(so_far), count
        assert len(before) >= reached + len(added), count
        assert body.body().startswith(before)
        reached = len(before)


# -- framing ---------------------------------------------------------------------------------------------------------------

SEEDS = range(200)


def decoded(plan: Plan) -> list[dict[str, Any]]:
    """The events as the SDK's own decoder reads them, write by write; pings and deltas of nothing left out."""
    read = [json.loads(event.data) for event in SSEDecoder().iter_bytes(iter(plan.frames)) if event.data]
    return [one for one in read if one["type"] != "ping" and not is_empty(one)]


def is_empty(payload: dict[str, Any]) -> bool:
    delta = payload.get("delta", {})
    return any(delta.get(name) == "" for name in ("text", "thinking", "partial_json"))


@pytest.mark.parametrize("seed", SEEDS)
def test_another_framing_says_the_same_to_whoever_reads_by_the_rules(seed: int) -> None:
    plan = struck(MIXED, {"type": "wire", "seed": seed})

    assert plan.frames != MIXED.frames
    assert fold(one for one in heard(plan.body()) if one["type"] != "ping") == fold(parse(MIXED.body()))
    assert decoded(plan) == decoded(MIXED)


def test_every_seed_frames_in_its_own_way_and_always_the_same() -> None:
    framed = [struck(MIXED, {"type": "wire", "seed": seed}).frames for seed in SEEDS]
    assert len(set(framed)) == len(SEEDS)
    assert framed == [struck(MIXED, {"type": "wire", "seed": seed}, seed=99).frames for seed in SEEDS]


def test_the_framings_use_what_the_rules_allow() -> None:
    bodies = [struck(MIXED, {"type": "wire", "seed": seed}).body() for seed in SEEDS]
    for allowed in (b"\r\n\r\n", b"\r\r", b"\n\n", b"\n:", b"id: ", b"retry: ", b'\ndata: "'):
        assert any(allowed in body for body in bodies), allowed


def test_a_json_body_comes_in_pieces() -> None:
    plan = struck(MIXED, {"type": "wire", "seed": 5}, as_json_reply=True)
    assert plan.body() == as_json(MIXED).body()
    assert plan.manner == Manner(apart=True)


@pytest.mark.parametrize("written", [{"type": "garbage", "after": 2, "bytes": 33}, {"type": "wire"}])
def test_what_is_drawn_comes_from_the_seed_of_the_request(written: Any) -> None:
    assert struck(HELLO, written, seed=4) == struck(HELLO, written, seed=4)
    assert struck(HELLO, written, seed=4).frames != struck(HELLO, written, seed=5).frames


def test_garbage_has_the_length_that_is_asked_for() -> None:
    plan = struck(HELLO, {"type": "garbage", "after": 2, "bytes": 33})
    assert len(plan.body()) == len(HELLO.body()) + 33
    assert [len(one) for one in plan.frames if not payload_of(Send(0, one))] == [33]


# -- mistakes --------------------------------------------------------------------------------------------------------------

MISTAKES = [
    ("fault: disconect", "3:8: unknown type 'disconect'; did you mean 'disconnect'? Expected one of error, error_event, disconnect,"),
    ("fault: disconect", "did you mean 'disconnect'?"),
    ("fault: []", "3:8: an empty list of faults; leave the key out"),
    ("gate: []", "3:7: an empty list of gates; leave the key out"),
    ("gate: 12", "3:7: expected the name of a gate, or {name, after, ping}; got a number"),
    ('gate: " "', "3:7: the name of a gate is 1 to 200 printable characters"),
    ("fault: {after: 3}", "3:8: missing key 'type'; expected one of error, error_event,"),
    ("fault: {type: disconnect, afetr: 3}", "3:27: unknown key 'afetr' in disconnect; did you mean 'after'? Expected one of after, at"),
    ("fault: {type: disconnect, after: {deltas: 1, events: 2}}", "3:34: expected exactly one of events, deltas, blocks, tokens, bytes, event, time; got events and deltas"),
    ("fault: {type: disconnect, after: {}}", "3:34: expected exactly one of events, deltas, blocks, tokens, bytes, event, time; got none"),
    ("fault: {type: disconnect, after: -1}", "expected a number from 0 up"),
    ("fault: {type: disconnect, after: {events: 1, in: text}}", "'in' goes with deltas"),
    ("fault: {type: disconnect, after: {deltas: 1, in: tetx}}", "did you mean 'text'?"),
    ("fault: {type: disconnect, after: 50}", "3:1: disconnect after 50 deltas: the reply has 6 deltas"),
    ("fault: {type: error_event, then: sleep}", "3:34: unknown value 'sleep'; expected one of end, close, reset, hang"),
    ("fault: {type: error_event, error: overloded_error}", "did you mean 'overloaded_error'?"),
    ("fault: {type: stall, for: 3}", "3:27: expected a duration such as 250ms or 2s, got 3; did you mean '3s' or '3ms'?"),
    ("fault: {type: trickle}", "3:8: missing key 'bytes_per_second' in trickle"),
    ("fault: {type: trickle, bytes_per_second: 0}", "3:24: expected a number from 1 up"),
    ("fault: {type: garbage, bytes: 0}", "3:24: expected 1 to 1,000,000 bytes"),
    ("fault: {type: html_error, status: 201}", "3:27: a page comes with an error status, 400 to 599, or with 200; got 201"),
    ("fault: {type: wrong_content_length, by: 0}", "3:37: off by nothing is right; expected a number above or below 0"),
    ("fault: {type: missing_event, event: mesage_stop}", "3:37: unknown value 'mesage_stop'; did you mean 'message_stop'? Expected one of message_start,"),
    ("fault: {type: missing_event, nth: 2}", "3:1: missing_event: there is no message_stop 2: the reply has 1"),
    ("fault: {type: missing_event, nth: 0}", "3:30: events are counted from 1"),
    ("fault: {type: unknown_event, name: two words}", "3:30: the name of an event is one word"),
    ("fault: {type: disconnect, after: soon}", "3:34: expected a number of deltas, or a counter with its number such as {events: 3}; got 'soon'"),
    ("chance: 20%", "3:1: a scenario with turns has no chance of its own; put it on cases"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), MISTAKES)
def test_a_mistake_is_told_with_its_place_and_what_was_expected(line: str, expected: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(f"name: a\nreply: One two three four five.\n{line}", "a.yaml")
    told = str(caught.value)
    assert expected in told
    assert told.startswith("a.yaml:3:")


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(
            "name: a\nreply: One.\nfault:\n  - disconect\n  - {type: stall, for: 3}\n  - {type: reset, afer: 1}",
            "a.yaml",
        )
    assert [str(problem).split(": ")[0] for problem in caught.value.problems] == [
        "a.yaml:4:5",
        "a.yaml:5:24",
        "a.yaml:6:19",
    ]


@pytest.mark.parametrize(
    ("header", "faults"),
    [
        ("disconnect", ["disconnect"]),
        ("disconnect;after=3", ["disconnect after 3 deltas"]),
        ("reset;after=bytes:90", ["reset after 90 bytes"]),
        ("error_event;after=2;in=tool_use;error=api_error;then=reset", ["error_event api_error after 2 deltas in tool_use then reset"]),
        ("stall;for=2s, reset;after=5", ["stall for 2s", "reset after 5 deltas"]),
        ("gate;name=middle", ["gate middle"]),
        ("wire;seed=7", ["wire seed 7"]),
    ],
)  # fmt: skip
def test_the_header_of_a_request(header: str, faults: list[str]) -> None:
    assert [label(fault) for fault in parse_header(header)] == faults


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "names no fault; for example disconnect;after=5"),
        ("disconect", "did you mean 'disconnect'?"),
        (
            "disconnect;after=many",
            "expected a number of deltas, or a counter with its number such as {events: 3}; got 'many'",
        ),
        ("disconnect;afer=3", "did you mean 'after'?"),
        ("stall;for=3", "did you mean '3s' or '3ms'?"),
        ("trickle", "missing key 'bytes_per_second' in trickle"),
    ],
)
def test_a_mistake_in_the_header(header: str, expected: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_header(header)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("x-mock-fault")

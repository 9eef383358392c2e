"""Thinking that comes back: what its signature tells, what a client may do to the message, and who judges it.

The table for every model stands in `compat/thoughts.py` and is played by the SDKs.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from conftest import Ask, MakeEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server import SIGNATURE
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol import signing
from mock_server.protocol.errors import ApiError
from mock_server.protocol.message import fold
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import HttpRequest, MessagesRequest
from mock_server.protocol.rules import validate
from mock_server.protocol.sse import parse
from mock_server.scenario.imported import scenarios_of
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.scenario.recordings import read
from mock_server.scenario.writing import dump
from mock_server.settings import Settings

TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("look", "find")]
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
SCRIPT = """
name: loop
turns:
  - reply:
      - {type: thinking, thinking: First I look.}
      - Let me look.
      - {type: tool_use, name: look, input: {at: {x: 1, y: null}}}
      - {type: redacted_thinking}
      - {type: tool_use, name: look, input: {at: {x: 2, y: null}}}
      - {type: thinking, thinking: Then I find.}
      - {type: tool_use, name: find, input: {}}
  - reply: Done.
"""
Content = list[dict[str, Any]]
MODIFIED = "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified."
INVALID = "Invalid `signature` in `thinking` block"
PROMPT = {"role": "user", "content": "Go on."}


def results(content: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    calls = [block["id"] for block in content if block["type"] == "tool_use"]
    listed = [{"type": "tool_result", "tool_use_id": id, "content": "ok"} for id in dict.fromkeys(calls)]
    return {"role": "user", "content": listed or "And now?"}


def after(*turns: Content) -> list[dict[str, Any]]:
    """The conversation behind these assistant messages in a row."""
    said = [{"role": "assistant", "content": content} for content in turns]
    return [PROMPT, *said, results([block for content in turns for block in content])]


@cache
def loop() -> tuple[dict[str, Any], ...]:
    """The reply of the script, as JSON."""
    engine = Engine(Settings(time_scale=0, seed=7, profile="anthropic"), load_profile("anthropic"))
    engine.load(loads(SCRIPT))
    return tuple(send(engine, [PROMPT]).reply["content"])


def send(engine: Engine, messages: Sequence[Any], path: str = "/v1/messages", **more: Any) -> Entry:
    limit = {} if "count" in path else {"max_tokens": 2048}
    body = {"model": "claude-opus-4-8", "messages": messages, "tools": TOOLS, "thinking": ADAPTIVE, **limit, **more}
    headers = {"x-api-key": "test", "anthropic-version": "2023-06-01"}
    return engine.handle(HttpRequest("POST", path, headers, json.dumps(body).encode()))


def told(entry: Entry) -> str:
    """`200`, or the status and the message of the error."""
    return "200" if entry.status == 200 else f"{entry.status} {entry.reply['error']['message']}"


PROFILE: Profile = load_profile("anthropic")


def judged(*turns: Content, model: str = "claude-opus-4-8", **more: Any) -> str:
    """What the rules say of a conversation whose newest assistant turn is this."""
    body = {"model": model, "max_tokens": 2048, "messages": after(*turns), "tools": [*TOOLS, SEARCH], **more}
    try:
        validate(MessagesRequest(body, {}), PROFILE)
    except ApiError as error:
        return str(error)
    return "passes"


def content() -> Content:
    return deepcopy(list(loop()))


# -- what comes back as it came -------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["octen", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_a_reply_may_come_back_as_it_came(engine: MakeEngine, profile: str, stream: bool) -> None:
    made = engine(SCRIPT, profile=profile)
    model = "anthropic/claude-opus-4.8" if profile == "octen" else "claude-opus-4-8"
    entry = send(made, [PROMPT], stream=stream, model=model)
    reply = fold(parse(entry.plan.body())) if stream else entry.reply
    assert told(send(made, after(reply["content"]), stream=stream, model=model)) == "200"


def test_a_stream_signs_as_the_json_does(engine: MakeEngine) -> None:
    streamed = fold(parse(send(engine(SCRIPT, profile="anthropic"), [PROMPT], stream=True).plan.body()))["content"]
    for one, other in zip(streamed, loop(), strict=True):
        assert one.get("signature", one.get("data")) == other.get("signature", other.get("data"))


def test_every_thought_of_a_reply_has_a_signature_of_its_own() -> None:
    seals = [block.get("signature") or block.get("data") for block in loop()]
    assert len({seal for seal in seals if seal}) == 3


def test_a_thought_that_was_cut_short_may_come_back(engine: MakeEngine) -> None:
    made = engine(
        "name: a\nreply: [{type: thinking, thinking: one two three four five six}, Yes.]", profile="anthropic"
    )
    entry = send(made, [PROMPT], max_tokens=3)
    thought = entry.reply["content"][0]
    assert (thought["thinking"], entry.reply["stop_reason"]) == ("one two", "max_tokens")
    assert judged([thought, SO]) == "passes"


@pytest.mark.parametrize("max_tokens", range(1, 40, 3))
def test_a_reply_that_was_cut_anywhere_may_come_back(engine: MakeEngine, max_tokens: int) -> None:
    made = engine(SCRIPT, profile="anthropic")
    got = send(made, [PROMPT], max_tokens=max_tokens).reply["content"]
    if got[-1]["type"] in ("thinking", "redacted_thinking"):
        got.append({"type": "text", "text": "So."})  # a thought may not come last
    assert judged(got) == "passes"


def reordered(value: Any) -> Any:
    """The same JSON with the keys of every object the other way round."""
    if isinstance(value, dict):
        return {key: reordered(item) for key, item in reversed(value.items())}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def marked(value: Content) -> Content:
    """A mark for the cache on every block that may carry one."""
    mark = {"cache_control": {"type": "ephemeral"}}
    return [block if "thinking" in block["type"] else {**block, **mark} for block in value]


def with_fractions(value: Any) -> Any:
    """Numbers as a client without integers writes them."""
    if isinstance(value, dict):
        return {key: with_fractions(item) for key, item in value.items()}
    return float(value) if isinstance(value, int) else value


def trimmed(value: Content) -> Content:
    return [{**block, "text": f"{block['text'].strip()}\n"} if block["type"] == "text" else block for block in value]


def without_texts(value: Content) -> Content:
    return [block for block in value if block["type"] != "text"]


def hidden(value: Content) -> Content:
    return [{**block, "thinking": ""} if block["type"] == "thinking" else block for block in value]


LEGAL: list[Callable[[Any], Any]] = [reordered, without_nulls, marked, with_fractions, trimmed, without_texts, hidden]


@given(st.lists(st.sampled_from(LEGAL), max_size=7), st.sets(st.sampled_from(range(7))))
def test_what_a_client_may_do_to_a_message_is_no_change(changes: list[Callable[[Any], Any]], out: set[int]) -> None:
    """In any order, and with any of the blocks left out."""
    sent: Any = [block for at, block in enumerate(content()) if at not in out]
    for change in changes:
        sent = change(sent)
    if sent and "thinking" not in sent[-1]["type"]:
        said = judged(sent)
        assert said in ("passes", "A maximum of 4 blocks with cache_control may be provided. Found 5.")


# -- what was changed -----------------------------------------------------------------------------------------------


@given(st.permutations(range(7)))
def test_thoughts_stand_where_they_stood(order: list[int]) -> None:
    """Whatever order the blocks come in: it passes only when no thought changed sides with what is beside it."""
    before = {0: None, 3: 2, 5: 4}  # a thought -> the nearest block before it that is none, and behind it
    behind = {0: 1, 3: 4, 5: 6}
    at = {block: index for index, block in enumerate(order)}
    stays = at[0] < at[3] < at[5]
    for thought in before:
        one = before[thought]
        stays = stays and (one is None or at[one] < at[thought]) and at[thought] < at[behind[thought]]
    if order[-1] in before:
        return  # a thought at the end is another rule's
    said = judged([content()[index] for index in order])
    assert (said == "passes") is stays
    assert stays or MODIFIED in said


@given(st.sampled_from((0, 3, 5)), st.integers(0, 6))
def test_a_thought_stands_once(thought: int, at: int) -> None:
    sent = content()
    sent.insert(at, sent[thought])
    assert MODIFIED in judged(sent)


def test_the_order_of_older_turns_is_nobodys_matter() -> None:
    blocks = content()
    swapped = [blocks[0], blocks[3], *blocks[1:3], *blocks[4:]]
    older = after(swapped)
    body = [*older, {"role": "assistant", "content": "Done."}, {"role": "user", "content": "Thanks."}]
    validate(
        MessagesRequest({"model": "claude-opus-4-8", "max_tokens": 9, "messages": body, "tools": TOOLS}, {}), PROFILE
    )


def test_neighbours_of_one_role_are_one_turn() -> None:
    blocks = content()
    assert judged(blocks[:3], blocks[3:]) == "passes"
    assert judged([blocks[0], blocks[3]], [*blocks[1:3], *blocks[4:]]) != "passes"


@cache
def signatures() -> tuple[tuple[str, str, str], ...]:
    """A signature of ours of every kind: where it stands in a block, that block, and the signature."""
    found = []
    for block in loop():
        field = {"thinking": "signature", "redacted_thinking": "data"}.get(block["type"])
        if field is not None:
            found.append((field, json.dumps(block), block[field]))
    thought = {"type": "thinking", "thinking": "Any.", "signature": SIGNATURE}
    return (*found, ("signature", json.dumps(thought), SIGNATURE))


LETTER = st.sampled_from("ABCDwxyz0189+/=-_ \n\t.") | st.characters()


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, str, str]:
    """One change to the text of a signature: a letter changed, put in or taken out, a piece cut off or doubled."""
    field, block, seal = draw(st.sampled_from(signatures()))
    at, other = draw(st.integers(0, len(seal))), draw(LETTER)
    to = draw(st.integers(at, len(seal)))
    change = draw(
        st.sampled_from(
            [
                seal[:at] + other + seal[at + 1 :],
                seal[:at] + other + seal[at:],
                seal[:at] + seal[to:],
                seal[:at] + seal[at:to] * 2 + seal[to:],
                seal[:at],
                seal[at:],
                seal[:at] + seal[at : at + 1].swapcase() + seal[at + 1 :],
                seal.replace("/", "_").replace("+", "-"),
                seal + "=" * (at % 5),
                " " * (at % 3) + seal,
            ]
        )
    )
    return field, block, change


@settings(max_examples=500, deadline=None)
@given(damaged())
def test_any_single_change_to_a_signature_of_ours_is_refused(of: tuple[str, str, str]) -> None:
    field, block, seal = of
    first = {**json.loads(block)}
    if seal == first[field]:
        return
    said = judged([{**first, field: seal}, {"type": "text", "text": "So."}])
    assert said == f"messages.1.content.0: Invalid `{field}` in `{first['type']}` block"


def test_every_letter_of_a_signature_counts() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
    thought = loop()[0]
    seal = thought["signature"]
    for at, letter in enumerate(seal):
        for other in alphabet:
            if other != letter:
                with pytest.raises(signing.NotASignature):
                    signing.opened("thinking", seal[:at] + other + seal[at + 1 :])


@pytest.mark.parametrize("swapped", [("signature", "redacted_thinking"), ("data", "thinking")])
def test_a_seal_of_one_kind_is_none_of_the_other(swapped: tuple[str, str]) -> None:
    field, kind = swapped
    thought = next(block for block in loop() if field in block)
    other = {"thinking": "signature", "redacted_thinking": "data"}[kind]
    sent = {"type": kind, other: thought[field]} | ({"thinking": "Hm."} if kind == "thinking" else {})
    assert f"Invalid `{other}` in `{kind}` block" in judged([sent, {"type": "text", "text": "So."}])


# -- whose text is covered ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [model.id for model in PROFILE.models])
def test_the_text_is_covered_but_for_the_families_4_5_and_4_6(model: str) -> None:
    sent = [{**loop()[0], "thinking": "I never thought this."}, {"type": "text", "text": "So."}]
    older = any(family in model for family in ("-4-5", "-4-6"))
    assert (judged(sent, model=model) == "passes") is older


def test_a_text_that_was_changed_in_an_older_turn_makes_its_signature_invalid() -> None:
    sent = [{**loop()[0], "thinking": "I never thought this."}, {"type": "text", "text": "So."}]
    messages = [*after(sent), {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And?"}]
    with pytest.raises(ApiError, match=INVALID):
        validate(MessagesRequest({"model": "claude-opus-4-8", "max_tokens": 9, "messages": messages}, {}), PROFILE)


# -- several replies in one turn ------------------------------------------------------------------------------------

PAUSED = """
name: paused
at_end: repeat
turns:
  - reply:
      - {type: thinking, thinking: I search.}
      - {type: server_tool_use, name: web_search, input: {query: x}}
      - {type: web_search_tool_result, content: []}
      - {type: thinking, thinking: More.}
      - That was one.
    stop_reason: pause_turn
"""


@pytest.mark.parametrize("merged", [False, True], ids=["as they came", "in one message"])
def test_a_turn_that_was_gone_on_with_may_hold_one_reply_twice(engine: MakeEngine, merged: bool) -> None:
    made = engine(PAUSED, profile="anthropic")
    search = {"tools": [SEARCH]}
    first = send(made, [PROMPT], **search).reply["content"]
    again = send(made, [PROMPT, {"role": "assistant", "content": first}], **search).reply["content"]
    assert [block.get("signature") for block in first] == [block.get("signature") for block in again]
    turns = ([*first, *again],) if merged else (first, again)
    assert judged(*turns) == "passes"
    assert MODIFIED in judged([first[0], *first])
    assert MODIFIED in judged([*first[:3], first[0], *first[3:]])


# -- made elsewhere -------------------------------------------------------------------------------------------------


def formed(*fields: tuple[int, int | bytes]) -> bytes:
    """Numbers and bytes as Protocol Buffers writes them, each behind the number of its field."""

    def varint(value: int) -> bytes:
        low, high = value & 0x7F, value >> 7
        return bytes((low | 0x80,)) + varint(high) if high else bytes((low,))

    made = b""
    for number, value in fields:
        if isinstance(value, int):
            made += varint(number << 3) + varint(value)
        else:
            made += varint(number << 3 | 2) + varint(len(value)) + value
    return made


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


NOISE = bytes(range(256)) * 20
# what the signature is -> the bytes
WHOLE = {
    "one field (E…)": formed((2, NOISE[:120])),
    "a longer one (Eq…)": formed((2, NOISE[:390])),
    "the longest recorded": formed((2, NOISE[:4329])),
    "a number behind it": formed((2, NOISE[:164]), (3, 1)),
    "a number before it (CAIS…)": formed((1, 2), (2, NOISE[:300])),
    "a time and a sum behind it": formed((2, NOISE[:164])) + b"\x19" + NOISE[:8] + b"\x25" + NOISE[:4],
    "the least": formed((2, NOISE[:62])),
}
BROKEN = {
    "nothing": b"",
    "too short": formed((2, NOISE[:61])),
    "a length beyond its end": formed((2, NOISE[:390]))[:-1],
    "a half": formed((2, NOISE[:390]))[:195],
    "a length that ends before": formed((2, NOISE[:390])) + NOISE[:9],
    "a number cut short": formed((2, NOISE[:164])) + b"\x18\xff",
    "a time cut short": formed((2, NOISE[:164])) + b"\x19" + NOISE[:7],
    "a kind that there is not": formed((2, NOISE[:164])) + b"\x1b",
    "no length at all": b"\x12" + b"\xff" * 90,
    "noise": NOISE[100:300],
    "noughts": bytes(120),
    "a sentence": b"this is no signature at all, but somebody wrote it where one should have been",
    "only numbers": formed(*[(1, 5)] * 40),
    "many fields": formed(*[(2, b"")] * 400_000),
}


@pytest.mark.parametrize("what", WHOLE)
@pytest.mark.parametrize("model", ["claude-opus-4-8", "claude-sonnet-4-5"])
def test_a_signature_made_elsewhere_passes_when_it_looks_whole(what: str, model: str) -> None:
    seal = encoded(WHOLE[what])
    for thought in (
        {"type": "thinking", "thinking": "Hm.", "signature": seal},
        {"type": "redacted_thinking", "data": seal},
    ):
        assert judged([thought, thought, {"type": "text", "text": "So."}], model=model) == "passes"


@pytest.mark.parametrize("what", BROKEN)
def test_what_can_be_nobodys_signature_is_refused(what: str) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": encoded(BROKEN[what])}
    assert judged([thought, {"type": "text", "text": "So."}]) == f"messages.1.content.0: {INVALID}"


@pytest.mark.parametrize(
    "text",
    ["", "invalid", "signature_REDACTED_1", "EqQBCkYIBxgCKkBz...", "ä", "\ud800", f" {SIGNATURE}", f"{SIGNATURE}\n"],
)
def test_what_is_no_base64_is_refused(text: str) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": text}
    assert judged([thought, {"type": "text", "text": "So."}]) == f"messages.1.content.0: {INVALID}"


def test_the_constant_passes_on_any_thought_in_any_order() -> None:
    thoughts: Content = [{"type": "thinking", "thinking": text, "signature": SIGNATURE} for text in ("A", "B", "A")]
    assert (
        judged([*thoughts, {"type": "redacted_thinking", "data": SIGNATURE}, {"type": "text", "text": "So."}])
        == "passes"
    )


# -- 0.1.0 ----------------------------------------------------------------------------------------------------------

OLD = "Ek1DdTR3OEtsSzE3R1gwSTVRZUpYWkloajZPNE1ReE9URlZqdUVheVExRU12NkFKS3VCZDJGdEJL"
OLD_DATA = "EkdVZWhsN0xGNXQzQ2J0RjZpS0diWFFtZ1dTS3BwTzRJYkRTZUdGM2xsRDNpek9Dc2d6a1N1SUhU"
SO = {"type": "text", "text": "So."}


def test_a_signature_of_0_1_0_still_passes() -> None:
    thought = {"type": "thinking", "thinking": "Let me think.", "signature": OLD}
    sealed = {"type": "redacted_thinking", "data": OLD_DATA}
    assert judged([thought, sealed, thought, SO]) == "passes"
    assert MODIFIED in judged([{**thought, "thinking": "Other."}, SO])
    assert INVALID in judged([{**thought, "signature": "A" + OLD[1:]}, SO])
    assert INVALID in judged([{**thought, "signature": OLD[:-4]}, SO])
    assert INVALID in judged([{**thought, "signature": OLD_DATA}, SO])


@pytest.mark.parametrize(
    ("kind", "text", "seal"),
    [
        ("compaction", "A summary.", "ElpsS1N6aUtLNHlFamhtVTVQMWVqNmhCMVZLMmNScFo1MWVEQkpqd3hlYlhLSWlLOE0wSWx6OXdx"),
        ("web_search_result", "u T", "EmtnV1FLemhLZHM0OXBOaDh6dE9lNWdLbk1kV0Nsa09SR1BlbnNhdVFLcUlneHd0anFIczdiQnJo"),
    ],
)
def test_other_content_of_0_1_0_is_judged_as_before(kind: str, text: str, seal: str) -> None:
    assert signing.signed(kind, text, seal) is True
    assert signing.signed(kind, f"{text}!", seal) is False


# -- who judges it --------------------------------------------------------------------------------------------------

DAMAGED: dict[str, tuple[Callable[[Content], Content], str]] = {
    "empty": (lambda got: [{**got[0], "signature": ""}, *got[1:]], f"400 messages.1.content.0: {INVALID}"),
    "cut": (lambda got: [{**got[0], "signature": got[0]["signature"][:-4]}, *got[1:]], f"400 messages.1.content.0: {INVALID}"),
    "first": (lambda got: [got[0], got[3], *got[1:3], *got[4:]], f"400 messages.1.content.1: {MODIFIED}"),
    "twice": (lambda got: [got[0], *got], f"400 messages.1.content.1: {MODIFIED}"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("profile", ["octen", "anthropic"])
def test_a_count_judges_as_a_message_does(engine: MakeEngine, profile: str, damage: str) -> None:
    made = engine(SCRIPT, profile=profile)
    model = "anthropic/claude-opus-4.8" if profile == "octen" else "claude-opus-4-8"
    change, wanted = DAMAGED[damage]
    messages = after(change(send(made, [PROMPT], model=model).reply["content"]))
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        assert told(send(made, messages, path, model=model))[: len(wanted)] == wanted


@pytest.mark.parametrize("damage", DAMAGED)
def test_validation_warn_only_warns(engine: MakeEngine, damage: str) -> None:
    made = engine(SCRIPT, profile="anthropic", validation="warn")
    change, wanted = DAMAGED[damage]
    entry = send(made, after(change(send(made, [PROMPT]).reply["content"])))
    assert entry.status == 200
    (warning,) = [value for name, value in entry.plan.headers if name == "x-mock-warning"]
    assert warning.startswith(wanted.replace("400 ", "400 invalid_request_error: "))


@pytest.mark.parametrize("damage", DAMAGED)
def test_validation_off_says_nothing(engine: MakeEngine, damage: str) -> None:
    made = engine(SCRIPT, profile="anthropic", validation="off")
    change, _ = DAMAGED[damage]
    entry = send(made, after(change(send(made, [PROMPT]).reply["content"])))
    assert entry.status == 200
    assert "x-mock-warning" not in dict(entry.plan.headers)


# -- recorded conversations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seal", ["signature_REDACTED_1", "", "REDACTED", encoded(WHOLE["a longer one (Eq…)"])])
def test_a_recorded_reply_is_signed_anew_when_it_is_imported(engine: MakeEngine, ask: Ask, seal: str) -> None:
    recorded = [
        PROMPT,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I look.", "signature": seal},
                {"type": "redacted_thinking", "data": seal},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}]},
        {"role": "assistant", "content": "Done."},
    ]
    imported = scenarios_of(read(json.dumps(recorded).encode()).exchanges, "recorded")
    made = engine(dump(imported.scenarios[0]), profile="anthropic")
    got = send(made, [PROMPT]).reply["content"]
    assert (got[0]["thinking"], got[1]["type"]) == ("I look.", "redacted_thinking")
    last = send(made, after(got))
    assert (last.status, last.reply["content"][0]["text"]) == (200, "Done.")


def test_a_warning_and_a_cut_reply_are_both_noted() -> None:
    engine = Engine(Settings(seed=1, time_scale=0, validation="warn"), load_profile("anthropic"))
    engine.load(loads("name: a\nreply: A text that is longer than its limit."))
    damaged = {"type": "thinking", "thinking": "x", "signature": "abc"}
    said: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
    said += [
        {"role": "assistant", "content": [damaged, {"type": "text", "text": "y"}]},
        {"role": "user", "content": "go"},
    ]
    body = json.dumps({"model": "claude-haiku-4-5", "max_tokens": 3, "messages": said}).encode()
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    entry = engine.handle(HttpRequest("POST", "/v1/messages", headers, body))
    cut, found = entry.exchange.note.split("; ", 1)
    assert cut.startswith("the reply was cut short")
    assert found.startswith("validation: 400")

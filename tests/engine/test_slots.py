"""A reply whose texts only its request can give comes, byte for byte and in time, as if it had been written out."""

import json
from typing import Any

import pytest

from mock_server.engine.engine import Engine
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

SAID = 'A first line.\n\nThen the second one, with "quotes", a \\ and letters such as ß, 語 and \U0001f600. ' * 3
MODEL = "claude-opus-4-8"
CALL = "{type: tool_use, name: look, input: {at: [1, 2]}}"
FILLED = "{type: text, template: '{{ prompt }}'}"
REPLIES = {
    "a text": "reply: [TEXT]",
    "two texts and a call": f"reply: [TEXT, {{type: text, text: between}}, TEXT, {CALL}]",
    "a call first": f"reply: [{CALL}, TEXT]\nstop_reason: end_turn",
    "no text at all": 'reply: [{type: text, text: "before "}, EMPTY]',
    "with a usage, headers and an end of its own": (
        "reply: [TEXT]\nstop_reason: stop_sequence\nstop_sequence: END\nusage: {output_tokens: 7}\nheaders: {x-own: a}"
    ),
    "under a limit": "reply: [TEXT]\nstop_reason: max_tokens\nmax_tokens: 500",
    "told more": "reply: [TEXT]\ncontainer: {id: container_1}",
}
PACES = {
    "at once": "instant",
    "drawn": "realistic",
    "by letters, with pings": "{first: 2s, gap: 30ms, chunk: 3, ping: 500ms}",
    "in bursts, after the prompt": "{first: 10ms, per_input_token: 1ms, rate: 50, burst: 4, pauses: {text: 1s}}",
}
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "short": {"max_tokens": 11},
    "stopped": {"stop_sequences": ["second"]},
    "cached": {"system": [{"type": "text", "text": "word " * 5000, "cache_control": {"type": "ephemeral"}}]},
    "with tools": {"tools": [{"name": "look", "input_schema": {"type": "object"}, "eager_input_streaming": True}]},
}


class Still:
    """A clock that stands still: what the prompt cache holds hangs on the time."""

    def now(self) -> float:
        return 0.0

    def unix(self) -> float:
        return 1_790_000_000.0


def written_out(text: str) -> str:
    return f"{{type: text, text: {json.dumps(text, ensure_ascii=False)}}}"


def served(profile: str, reply: str, pace: str, text: str, empty: str) -> Engine:
    engine = Engine(Settings(seed=5), load_profile(profile), Still())
    body = reply.replace("TEXT", text).replace("EMPTY", empty)
    engine.load(loads(f"name: one\ntiming: {pace}\nat_end: repeat\n{body}", "slots.yaml"))
    return engine


def asked(engine: Engine, **more: Any) -> Any:
    message = {"role": "user", "content": SAID}
    body = {"model": MODEL, "max_tokens": 4000, "messages": [message], **more}
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    plan = engine.handle(HttpRequest("POST", "/v1/messages", headers, json.dumps(body).encode())).plan
    dated = [header for header in plan.headers if header[0] != "date"]
    return plan.status, dated, plan.stream, list(plan.frames), list(plan.due)


RECORDED = "{replay: [10ms, 20ms, 30ms, 40ms, 50ms, 60ms, 70ms], chunk: 40}"  # the first of the replies, by 40 letters
CASES = [(reply, pace) for reply in REPLIES.values() for pace in PACES.values()] + [(REPLIES["a text"], RECORDED)]


@pytest.mark.parametrize("profile", ["anthropic", "octen"])
@pytest.mark.parametrize(("reply", "pace"), CASES)
def test_a_template_gives_what_its_text_gives(reply: str, pace: str, profile: str) -> None:
    filled = served(profile, reply, pace, FILLED, "{type: text, template: '{{ \"\" }}'}")
    written = served(profile, reply, pace, written_out(SAID), written_out(""))
    for more in REQUESTS.values():
        for stream in (False, True):
            for _ in range(2):  # the second one is drawn anew
                assert asked(filled, stream=stream, **more) == asked(written, stream=stream, **more)


@pytest.mark.parametrize("timing", ["instant", "realistic"])
def test_a_made_up_text_gives_what_the_same_text_gives(timing: str) -> None:
    def engine() -> Engine:
        return Engine(Settings(seed=5, timing=timing), load_profile("anthropic"), Still())

    made, written = engine(), engine()
    said = json.loads(asked(made)[3][0])["content"][0]["text"]
    written.load(loads(f"name: one\nat_end: repeat\nreply: {json.dumps(said)}", "slots.yaml"))
    made.reset(made.sessions.default)
    for stream in (False, True):
        (status, headers, *rest), (generated, told, *others) = (asked(one, stream=stream) for one in (written, made))
        assert told[-1] == ("x-mock-scenario", "(generated)")
        assert (generated, told[:-1], others) == (status, headers[:-2], rest)


@pytest.mark.parametrize("look", ["\ue000text0\ue001", "\ue000id\ue001", "\ue000", '","id":"\ue000id\ue001"'])
def test_a_text_that_looks_like_a_slot_stays_as_it_is(look: str) -> None:
    engine = served("anthropic", REPLIES["two texts and a call"], "instant", FILLED, "")
    message = {"role": "user", "content": f"See {look}."}
    whole = json.loads(asked(engine, messages=[message])[3][0])
    assert [block.get("text") for block in whole["content"]] == [f"See {look}.", "between", f"See {look}.", None]
    frames = asked(engine, messages=[message], stream=True)[3]
    events = [json.loads(frame.decode().split("data: ")[1]) for frame in frames]
    texts = [one["delta"]["text"] for one in events if one.get("delta", {}).get("type") == "text_delta"]
    assert "".join(texts) == f"See {look}.betweenSee {look}."

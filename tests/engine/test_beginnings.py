"""What is understood once is not understood again, and nobody can tell: a server that remembers beginnings answers as one
that forgets them at once."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st
from manualclock import ManualClock
from reliability.notes import EXAMPLES, SEED
from reliability.test_fuzz import ORDINARY, places, put, tried, values

from mock_server import Settings
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.preview import request_for
from mock_server.protocol import signing
from mock_server.protocol.beginnings import Beginnings, _weight, elements, taken_apart
from mock_server.protocol.request import LONG, HttpRequest, MessagesRequest
from mock_server.scenario.load import files, library, load, loads
from mock_server.scenario.profiles import load_profile

SCENARIOS = """
name: weather
when: {prompt: {contains: weather}}
anchor: conversation
turns:
  - reply: {type: tool_use, name: look, input: {at: Paris}}
  - reply: It is sunny.
at_end: loop
---
name: quoted
when: {prompt: {contains: quote}}
reply: {template: "You said {{ prompt[:40] }}."}
---
name: found
when: {tool_result: true}
reply: The tool says so.
---
name: tried
when: {prompt: {contains: again}}
attempts:
  - error: overloaded_error
  - reply: At last.
"""
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
TOOLS = [
    {"name": name, "description": "Looks.", "input_schema": {"type": "object", "properties": {"messages": {}}}}
    for name in ("look", "seek")
]
WORDS = ["the", "weather", "in", "Paris", "quote", "again", "ünd", "日本", "so", "\\", '"said"', "😀", "a", "", "b\n"]
HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01", "content-type": "application/json"}
Json = dict[str, Any]


class Both:
    """Two servers that are asked the same: one remembers, the other forgets at once."""

    def __init__(self, profile: str, **settings: Any) -> None:
        self.clock = ManualClock()
        self.warm, self.cold = (self._made(profile, settings) for _ in range(2))
        self.cold.in_force.beginnings.budget = 0
        self.asked = 0

    def _made(self, profile: str, settings: Json) -> Engine:
        made = Engine(Settings(profile=profile, seed=7, **settings), load_profile(profile), self.clock)
        made.load(loads(SCENARIOS))
        return made

    def ask(self, body: bytes, path: str = "/v1/messages", **headers: str) -> Entry:
        """The entry of the one that remembers; what both say is the same."""
        http = HttpRequest("POST", path, {**HEADERS, **headers}, body)
        found, expected = (one.handle(http) for one in (self.warm, self.cold))
        assert told(found) == told(expected), body[:2000]
        self.clock.advance(10)
        self.asked += 1
        return found


def told(entry: Entry) -> Any:
    plan = entry.exchange.plan
    headers = [(name, value) for name, value in plan.headers if name.lower() not in ("date", "request-id")]
    exchange = entry.exchange
    return plan.status, plan.body(), headers, exchange.scenario, exchange.turn, exchange.attempt, exchange.note


def text(rng: Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.choice((1, 4, 30, 200))))


def user(*content: Any) -> Json:
    return {"role": "user", "content": list(content)}


def assistant(*content: Any) -> Json:
    return {"role": "assistant", "content": list(content)}


def said(words: str, **more: Any) -> Json:
    return {"type": "text", "text": words, **more}


def round_of(rng: Random, at: int) -> list[Json]:
    """What an agent's conversation grows by."""
    id = f"toolu_{at}" if rng.random() < 0.9 else "toolu_same"
    call = {"type": "tool_use", "id": id, "name": "look", "input": {"at": text(rng)}}
    result: Json = {"type": "tool_result", "tool_use_id": id, "content": text(rng)}
    kind = rng.random()
    if kind < 0.35:
        return [assistant(said("I look."), call), user(result)]
    if kind < 0.45:
        thought = {"type": "thinking", "thinking": text(rng), "signature": signing.SIGNATURE}
        return [assistant(thought, call), user(result)]
    if kind < 0.55:
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
        return [assistant(call), user({**result, "content": [said("see"), image]})]
    if kind < 0.65:
        search = {"type": "server_tool_use", "id": f"srvtoolu_{at}", "name": "web_search", "input": {}}
        given = {"type": "web_search_tool_result", "tool_use_id": f"srvtoolu_{at}", "content": []}
        return [assistant(search, *([given] if rng.random() < 0.97 else [])), user(said(text(rng)))]
    if kind < 0.72:
        source = {"type": "text", "media_type": "text/plain", "data": text(rng)}
        cited = {"citations": {"enabled": True}} if rng.random() < 0.5 else {}
        return [assistant(said("Yes.")), user({"type": "document", "source": source, **cited}, said("this"))]
    if kind < 0.76:
        return [assistant({**call, "toolset_name": "set"}), user({**result, "toolset_name": "set"})]
    if kind < 0.8:
        return [{"role": "assistant", "content": "So?"}, user(said(text(rng))), {"role": "system", "content": "Hush."}]
    return [{"role": "assistant", "content": text(rng)}, {"role": "user", "content": text(rng)}]


def spoil(rng: Random, messages: list[Json]) -> None:
    """Something is wrong, or at least odd, somewhere in a conversation."""
    at = rng.randrange(len(messages))
    message = messages[at]
    odd: list[Callable[[], Any]] = [
        lambda: message.update(role=rng.choice(["user", "assistant", "system", "robot"])),
        lambda: message.update(content=rng.choice(["", [], " ", [said("")], [said(" ")], 5, None, [5], [{}]])),
        lambda: message.update(extra=1),
        lambda: message.pop("content", None),
        lambda: message.update(content=[{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]),
        lambda: message.update(content=[{"type": "thinking", "thinking": "hm", "signature": "bad"}]),
        lambda: messages.pop(at),
        lambda: messages.insert(at, deepcopy(message)),
        lambda: messages.insert(at, rng.choice([5, None, [], "x"])),  # type: ignore[arg-type]
    ]
    rng.choice(odd)()


LAYOUTS: list[Json] = [{}, {}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}]


def written(rng: Random, body: Json, layout: Json) -> bytes:
    """A body as one client or another writes it."""
    names = list(body)
    if rng.random() < 0.05:
        rng.shuffle(names)
    return json.dumps({name: body[name] for name in names}, **layout).encode()


def botched(rng: Random, body: bytes) -> bytes:
    """A body in whose bytes something is odd."""
    at = rng.randrange(len(body))
    return rng.choice(
        [
            body[:at],
            body[:at] + b"," + body[at:],
            body[:at] + body[at + 1 :],
            body[:at] + b"\xff" + body[at:],
            body[:at] + b"\\ud800" + body[at:],
            body[:-1] + b',"messages":[{"role":"user","content":"Hi"}]}',
            body[:-1] + b',"\\u006dessages":[]}',
            b'{"messages":[5],' + body.lstrip()[1:],
            body.replace(b'"messages"', b'"\\u006dessages"', 1),
            body.replace(b'"text"', b'"t\\u0065xt"', 1),
            body.replace(b'"user"', b'"assist\\u0061nt"', 1),
            body.replace(b"}, {", b"},, {", 1),
            body.replace(b"}]", b"},]", 1),
            body.replace(b"}, {", b"} \n\t, \r{"),
            body + b" ",
            b" " + body,
            b"\xef\xbb\xbf" + body,
            body + b"}",
            body.replace(b'"max_tokens": ', b'"max_tokens": NaN, "max_tokens": '),
        ]
    )


def bodies(rng: Random) -> Iterator[tuple[bytes, Json, str]]:
    """A conversation that grows, with what clients change on the way, and what should not happen."""
    body: Json = {"model": "claude-opus-4-8", "max_tokens": 500, "system": text(rng)}
    tail: Json = {"stream": rng.random() < 0.3} if rng.random() < 0.5 else {}
    if rng.random() < 0.6:
        (body if rng.random() < 0.5 else tail)["tools"] = TOOLS
    headers: Json = {}
    layout = rng.choice(LAYOUTS)
    messages = [{"role": "user", "content": f"{text(rng)} {'long ' * rng.choice((0, 900, 900))}"}]
    for at in range(rng.choice((3, 12, 25))):
        sent = deepcopy(messages)
        if rng.random() < 0.3 and type(sent[-1]["content"]) is list and sent[-1]["content"]:
            sent[-1]["content"][-1]["cache_control"] = {"type": "ephemeral", **rng.choice([{}, {"ttl": "1h"}])}
        if rng.random() < 0.1:
            spoil(rng, sent)
        whole = written(rng, {**body, "messages": sent, **tail}, layout)
        if rng.random() < 0.15:
            whole = botched(rng, whole)
        yield whole, headers, "/v1/messages"
        if rng.random() < 0.15:
            counted = {"model": body["model"], "system": body["system"], "messages": sent}
            yield written(rng, counted, layout), headers, "/v1/messages/count_tokens"
        messages += round_of(rng, at)
        change = rng.random()
        if change < 0.03:
            layout = rng.choice(LAYOUTS)
        elif change < 0.06:
            del messages[rng.randrange(1, len(messages)) :]
        elif change < 0.1:
            messages[rng.randrange(len(messages))] = {"role": "user", "content": text(rng)}
        elif change < 0.13:
            body["model"] = rng.choice(["claude-haiku-4-5", "claude-opus-4-8", "claude-sonnet-4-5"])
        elif change < 0.16:
            tail["tools"] = [TOOLS[0], {**TOOLS[1], "description": text(rng)}]
        elif change < 0.2:
            headers = rng.choice([{}, {"anthropic-beta": "interleaved-thinking-2025-05-14"}])
        elif change < 0.24:
            tail["thinking"] = rng.choice([{"type": "adaptive"}, {"type": "disabled"}, None])
            body["max_tokens"] = 2000
        elif change < 0.27:
            tail["cache_control"] = {"type": "ephemeral"}
        elif change < 0.3:
            body["max_tokens"] = rng.choice([1, 500, 500, 10**9])


@pytest.mark.parametrize("settings", [{}, {"validation": "warn"}, {"validation": "off"}], ids=str)
@pytest.mark.parametrize("profile", ["octen", "anthropic"])
def test_a_server_that_remembers_answers_as_one_that_forgets(profile: str, settings: Json) -> None:
    """Several conversations at a time, so that what is remembered of one is there when another comes."""
    rng = Random(f"{profile} {settings}")
    both = Both(profile, **settings)
    for _ in range(8 if not settings else 3):
        under_way = [bodies(rng) for _ in range(3)]
        while under_way:
            one = rng.choice(under_way)
            sent = next(one, None)
            if sent is None:
                under_way.remove(one)
                continue
            body, headers, path = sent
            both.ask(body, path, **headers)
            if rng.random() < 0.1:
                both.ask(body, path, **headers)


def growing(rounds: int, *, marked: bool = False, tools: bool = False) -> Iterator[bytes]:
    """An agent's conversation, turn by turn."""
    rng = Random(3)
    system = [said("You are a helpful assistant.", **({"cache_control": {"type": "ephemeral"}} if marked else {}))]
    body: Json = {
        "model": "claude-opus-4-8",
        "max_tokens": 500,
        "system": system,
        **({"tools": TOOLS} if tools else {}),
    }
    messages = [{"role": "user", "content": "the weather " + "long " * 900}]
    for at in range(rounds):
        sent = deepcopy(messages)
        if marked and at:
            sent[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
        yield json.dumps({**body, "messages": sent}).encode()
        id, words = f"toolu_{at}", " ".join(rng.choices(WORDS, k=30))
        call = {"type": "tool_use", "id": id, "name": "look", "input": {"at": words}}
        result = {"type": "tool_result", "tool_use_id": id, "content": words}
        messages += [assistant(said(words), call), user(result)]


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("tools", [False, True])
def test_a_turn_is_read_from_where_it_parts_from_the_one_before(marked: bool, tools: bool) -> None:
    both = Both("anthropic")
    for number, body in enumerate(growing(30, marked=marked, tools=tools)):
        both.ask(body)
        http = HttpRequest("POST", "/v1/messages", {**HEADERS}, body)
        request = both.warm.in_force.beginnings.read(http, both.warm.in_force.profile)
        known = request.known
        if number > 1:  # one that comes once is not kept, one that comes again is
            assert known is not None
            assert known.shared == len(request.messages)


# what a client may put between the quotes of its one string, and what is no string any more
STRINGS = [
    b"the weather in Rome", b"quote this", b"", b"   ", b"\\n", b"tabs\\tand \\\"quotes\\\"", b"\\u00e9 quote \\u4e2d", b"\\ud83d\\ude00 weather",
    b"\\ud83d", b"\\ude00 quote", b"\\\\ud83d", b"\\x", b"\\", b"a\\\\", b"a\tb", b"a\x00b", b"a\nb", b"\x7f quote", "é quote".encode(), b"\xff quote",
    b'"', b'a"b', b'weather", "role": "assistant', b'weather"}, {"role": "user", "content": "again', b'a", "content": "quote',
    b'a", "cache_control": {"type": "ephemeral"}, "content": "quote', b'\\"cache_control\\"', b"[[scenario:found]] quote", b"again", b"x" * 5_000,
]  # fmt: skip
AROUND = [
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "', b'"}]}'),
    (b'{"messages":[{"content":"', b'","role":"user"}],"max_tokens":99,"model":"claude-opus-4-8","stream":true}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 1, "content": "", "messages": [ {"role": "user", "content" : "', b'" } ]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "twice", "content": "', b'"}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "cont\\u0065nt": "x", "content": "', b'"}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "', b'"}, {"role": "assistant", "content": "So"}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "assistant", "content": "', b'"}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "system": "content", "messages": [{"role": "user", "content": "', b'"}], "content": 1}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": [{"type": "text", "text": "', b'"}]}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"content": [{"text": "', b'", "type": "text"}], "role": "user"}], "stream": true}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": [{"type": "text", "text": "twice", "text": "', b'"}]}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "x", "content": [{"type": "text", "text": "', b'"}]}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": [{"type": "text", "text": "quote"}, {"type": "text", "text": "', b'"}]}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": [{"type": "image", "type": "text", "text": "', b'"}]}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "cont\\u0065nt": "', b'"}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": [{"type": "text", "te\\u0078t": "', b'"}]}]}'),
    ('{"model": "claude-opus-4-8", "max_tokens": 99, "system": "Sois gentil, né.", "messages": [{"role": "user", "content": "'.encode(), b'"}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "', b'", "content": "the weather"}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "', b'", "cont\\u0065nt": "the weather"}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "', b'", "content": [{"type": "text", "text": "the weather"}]}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": [{"type": "text", "text": "', b'", "text": "the weather"}]}]}'),
    (b'{"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": [{"type": "text", "text": "', b'", "te\\u0078t": "the weather"}]}]}'),
]  # fmt: skip


@pytest.mark.parametrize("profile", ["octen", "anthropic"])
@pytest.mark.parametrize("around", AROUND, ids=range(len(AROUND)))
def test_one_string_is_read_as_if_nothing_were_known_of_what_stands_around_it(
    around: tuple[bytes, bytes], profile: str
) -> None:
    both = Both(profile)
    opening, closing = around
    for plain in (b"the weather", b"the weather", b"the weather", b"a quote", b"the weather there", b"a quote more"):
        both.ask(opening + plain + closing)
    for string in STRINGS:
        both.ask(opening + string + closing)
        both.ask(opening + b"the weather, " + string + closing)


@pytest.mark.parametrize("around", [AROUND[0], AROUND[1], AROUND[8], AROUND[9]])
def test_of_a_question_that_came_before_only_its_string_is_read(around: tuple[bytes, bytes]) -> None:
    both = Both("octen")
    opening, closing = around
    bodies = [opening + b"the weather in %d" % n + closing for n in range(6)]
    for body in bodies:
        both.ask(body)
    beginnings, profile = both.warm.in_force.beginnings, both.warm.in_force.profile
    known = beginnings.read(HttpRequest("POST", "/v1/messages", {**HEADERS}, bodies[3]), profile)
    assert "body" not in vars(known)
    assert known.body == json.loads(bodies[3])
    other = beginnings.read(HttpRequest("POST", "/v1/messages", {**HEADERS, "anthropic-beta": "x"}, bodies[3]), profile)
    assert "body" in vars(other)


def test_a_server_that_is_asked_both_ways_reads_only_the_text_of_both() -> None:
    both = Both("octen")
    string, block = AROUND[0], AROUND[8]
    bodies = [opening + b"the weather in %d" % n + closing for n in range(6) for opening, closing in (string, block)]
    for body in bodies:
        both.ask(body)
    for text in STRINGS:
        for opening, closing in (string, block):
            both.ask(opening + text + closing)
    beginnings, profile = both.warm.in_force.beginnings, both.warm.in_force.profile
    for body in bodies[-2:]:
        known = beginnings.read(HttpRequest("POST", "/v1/messages", {**HEADERS}, body), profile)
        assert "body" not in vars(known)
        assert known.body == json.loads(body)


@pytest.mark.parametrize("marked", [False, True])
def test_a_turn_takes_the_same_work_however_long_the_conversation_is(marked: bool) -> None:
    """Counted in calls of our functions, which does not depend on how fast a machine is."""
    engine = Both("anthropic").warm
    calls: list[int] = []
    for body in growing(120, marked=marked):
        counted = 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal counted
            counted += event == "call"

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            entry = engine.handle(HttpRequest("POST", "/v1/messages", HEADERS, body))
        finally:
            sys.setprofile(before)
        assert entry.exchange.scenario == "weather"
        calls.append(counted)

    assert max(calls[100:]) < 1.5 * min(calls[8:20])


# -- what stands between a beginning and an end that are known --------------------------------------------------------

LIBRARY = {one.name: one for file in files([library()]) for one in load([file]) if one.turns}
GOOD = b'{"role": "user", "content": "and something else"}'
ODD = [
    *(b"", b" ", b"1", b"null", b"[]", b"{}", b'"text"', b"NaN", b"1e999", b"{,}", b"]", b"[" * 2000, b"\xff", b"\0"),
    *(GOOD + b",", b"," + GOOD, GOOD + b" " + GOOD, GOOD + b"," + GOOD, b"\n" + GOOD + b"\t", GOOD[:-1], GOOD + b"}"),
    GOOD + b'], "messages": [' + GOOD,
    GOOD + b'], "max_tokens": [',
    b'{"role": "user"}',
    b'{"content": "hi"}',
    b'{"role": "user", "role": "assistant", "content": "hi"}',
    b'{"role": "user", "content": "hi", "name": "x"}',
    *(b'{"role": %b, "content": "hi"}' % one for one in (b'"assistant"', b'"system"', b'"User"', b"null", b"[]")),
    *(
        b'{"role": "user", "content": %b}' % one
        for one in (
            *(b"null", b"1", b"true", b'""', b'" \\n"', b"[]", b"{}", b"[[]]", b"[null]", b'["hi"]', b'"\n"'),
            *(b'"\\ud83d"', b'"\\ude00\\ud83d"', b'"\\ud83d\\ude00"', b'"[[scenario:nobody]]"', b'"a\\u0000b"'),
            *(b'[{"type": "text"}]', b'[{"text": "hi"}]', b'[{"type": "text", "text": ""}]', b'[{"type": "what"}]'),
            *(b'[{"type": "text", "text": "hi", "more": 1}]', b'[{"type": "text", "text": null}]'),
            b'[{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]',
            b'[{"type": "text", "text": "hi", "cache_control": {"type": "for ever"}}]',
            b'[{"type": "tool_result", "tool_use_id": "toolu_1", "content": "hi"}]',
            b'[{"type": "image", "source": {"type": "file", "file_id": "file_1"}}]',
        )
    ),
]


@pytest.mark.parametrize("profile", ["octen", "anthropic"])
@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_whatever_stands_between_what_is_known_is_answered_as_by_one_that_forgets(name: str, profile: str) -> None:
    both = Both(profile)
    for one in (both.warm, both.cold):
        one.load([LIBRARY[name]])
    asked, headers = request_for(LIBRARY[name], load_profile(profile))
    body = json.dumps(asked).encode()
    apart = taken_apart(body)
    assert apart is not None
    head, tail = body[: apart[1]], body[apart[3] :]
    for _ in range(3):
        both.ask(body, **headers)
    both.ask(head + GOOD + tail, **headers)
    for odd in Random(f"{name} {profile}").sample(ODD, 9):  # each comes many times over the library
        both.ask(head + odd + tail, **headers)
    both.ask(head + GOOD + tail, **headers)


@pytest.mark.timeout(60 + 2 * EXAMPLES)
@pytest.mark.parametrize("first", ["Hi", "Hi " + "long " * 900], ids=["short", "long"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("profile", ["octen", "anthropic"])
def test_what_the_fuzz_makes_is_read_as_by_one_that_forgets(profile: str, path: str, first: str) -> None:
    """Bodies with something else in one place or two, cut or not, beside the ordinary one they were made from."""
    ordinary = put(ORDINARY[path], ["messages", 0, "content"], first)
    where, both = list(places(ordinary)), Both(profile)
    for _ in range(3):
        assert both.ask(json.dumps(ordinary).encode(), path).status == 200

    @tried
    @seed(SEED)
    @given(spoilt=st.lists(st.tuples(st.sampled_from(where), values), min_size=1, max_size=2), cut=st.integers(0, 9))
    def tell(spoilt: list[tuple[tuple[Any, ...], Any]], cut: int) -> None:
        body: Any = ordinary
        for place, new in spoilt:
            with contextlib.suppress(KeyError, IndexError, TypeError):  # the first took the place of the second
                body = put(body, place, new)
        data = json.dumps(body).encode()
        both.ask(data[: -cut or None] if cut < 3 else data, path)
        both.ask(data, path)

    tell()
    assert both.ask(json.dumps(ordinary).encode(), path).status == 200


def test_what_is_said_is_read_alike_in_every_form() -> None:
    """Strings and blocks, marks, the system prompt as text and as blocks: each form comes several times, in turns."""
    rng, both = Random(11), Both("anthropic")
    mark = {"cache_control": {"type": "ephemeral"}}
    odd: list[Any] = [{"citations": []}, {"citations": None}, {"more": 1}, {"cache_control": None}, {"type": "image"}]
    for _ in range(400):
        words = rng.choice(["the weather", "quote me", " ", "x " * 3000])
        forms: list[Any] = [words, [said(words)], [said(words), said("so")], [said(words, **mark)], [], [said("")]]
        forms += [[said("one", **mark), said(words)], [said(words, **rng.choice(odd))], said(words), [words]]
        messages: list[Json] = [{"role": rng.choice(["user"] * 8 + ["assistant"]), "content": rng.choice(forms)}]
        if rng.random() < 0.3:
            messages = [messages[0], assistant(said("Go on.")), {"role": "user", "content": rng.choice(forms)}]
        body: Json = {"model": "claude-opus-4-8", "max_tokens": 500, "messages": messages}
        body |= rng.choice(
            [{}, {"system": "Be kind."}, {"system": [said("Be kind.")]}, {"system": [said("Be", **mark)]}]
        )
        both.ask(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1, "messages": [{}, [2]], "b": 2}', ({"a": 1, "messages": None, "b": 2}, 22, [2, 7], 29)),
        (b'{"messages" : [ 1 ]}', ({"messages": None}, 15, [2], 18)),
        (b'{"messages": []}', ({"messages": None}, 14, [], 14)),
        ('{"ü": "日本", "messages": ["é"]}'.encode(), ({"ü": "日本", "messages": None}, 30, [4], 34)),
        (b'{"\\u006dessages": [{}]}', ({"messages": None}, 19, [2], 21)),
        (b'{"messages": [1], "messages": [2]}', None),
        (b'{"messages": {}}', None),
        (b'{"tools": [{"messages": [1]}]}', None),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_a_body_is_taken_apart(body: bytes, expected: Any) -> None:
    assert taken_apart(body) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ([], [])),
        (" {} ,\n[1, 2]", ([{}, [1, 2]], [3, 12])),
        ('"日", 1', (["日", 1], [5, 8])),
    ],
)
def test_the_elements_of_a_list(text: str, expected: Any) -> None:
    assert elements(text) == expected


@pytest.mark.parametrize("text", ["1,", ",1", "1 2", "1], [2", "]", "{", "NaN", '"\\ud800"', "[" * 9999, "1e999"])
def test_what_is_no_list_of_elements(text: str) -> None:
    with pytest.raises(ValueError):
        elements(text)


def test_a_message_that_was_not_judged_is_not_taken_for_known() -> None:
    """What is refused is not kept: the same beginning is refused the next time, too."""
    both = Both("anthropic")
    *_, body = growing(5)
    for _ in range(4):
        assert both.ask(body).status == 200
    wrong = body.replace(b'"tool_use_id": "toolu_3"', b'"tool_use_id": "toolu_x"')
    for _ in range(3):
        assert both.ask(wrong).status == 400
    for _ in range(2):
        assert both.ask(body).status == 200


def test_what_is_kept_is_bounded() -> None:
    """Conversations that nobody goes on with, in bodies that differ in everything: the oldest are let go."""
    both = Both("anthropic")
    kept = both.warm.in_force.beginnings
    kept.budget = 200_000
    for number in range(60):
        for again in range(3):
            body = {"model": "claude-opus-4-8", "max_tokens": 5, "metadata": {"user_id": str(number)}}
            messages = [{"role": "user", "content": f"{number} {again} " + "long " * 900}]
            assert both.ask(json.dumps({**body, "messages": messages}).encode()).status == 200
            assert kept.held <= kept.budget


def test_what_is_held_is_counted_while_conversations_go_on() -> None:
    both = Both("anthropic")
    for body in growing(12):
        both.ask(body)
    kept = both.warm.in_force.beginnings
    frames = [frame for bucket in kept._buckets.values() for frame in bucket.frames]
    stories = [story for frame in frames for listed in frame.stories.values() for story in listed]

    assert all(story.weight > 4 * sum(map(len, story.pieces)) for story in stories)
    assert kept.held == sum(_weight(one.head) + _weight(one.tail) for one in frames) + sum(
        one.weight for one in stories
    )


@pytest.mark.parametrize("value", [b"1,", b"{},", b"[],"])
def test_a_text_of_many_values_weighs_more_than_its_letters(value: bytes) -> None:
    assert _weight(value * 100) >= _weight(b"x" * 100 * len(value)) + 100 * 100 * (len(value) - 1)


def test_a_large_body_is_not_kept() -> None:
    """It is read in another thread, so nothing may be shared with it."""
    both = Both("anthropic")
    body = {"model": "claude-opus-4-8", "max_tokens": 5, "messages": [{"role": "user", "content": "x" * LONG}]}
    for _ in range(3):
        both.ask(json.dumps(body).encode())
    assert both.warm.in_force.beginnings.held == 0


def test_what_is_kept_of_one_profile_is_not_known_to_another() -> None:
    """The same bytes are judged by the rules that are in force where they come."""
    both = Both("octen")
    for one in (both.warm, both.cold):
        one._profiles = lambda name, catalogue: load_profile(name)
        session = one.sessions.named("strict")
        one.override(session, profile="anthropic")
    *_, body = growing(4)
    odd = body.replace(b'"max_tokens"', b'"unheard_of": 1, "max_tokens"')
    for _ in range(3):
        assert both.ask(odd).status == 200
    for _ in range(2):
        assert both.ask(odd, **{"x-mock-session": "strict"}).status == 400
        assert both.ask(odd).status == 200


def test_a_request_without_its_raw_bytes_is_never_kept() -> None:
    kept = Beginnings()
    kept.keep(MessagesRequest({"messages": []}), load_profile("anthropic"), "/v1/messages")
    assert kept.held == 0

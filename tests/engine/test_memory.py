"""Requests that are remembered: the same bytes again, and simple requests that differ in what is said, are answered as
they would be without any memory, ids and times aside, and whatever an answer hangs on drops it.
"""

import gc
import json
import random
import re
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from manualclock import ManualClock

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.memory import MOST_KEPT, Memory
from mock_server.engine.preview import request_for
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps, encode
from mock_server.scenario.load import files, library, load, loads
from mock_server.scenario.profiles import load_profile
from mock_server.server.player import at_once, frames_at_once, with_holes
from mock_server.settings import Settings

PROFILES = ("octen", "anthropic")
SCENARIOS = """
name: hello
states: {service: [up, down]}
when: {prompt: hello}
reply: Hello there!
---
name: calls
when: {prompt: weather}
timing: instant
turns:
  - reply: [{type: text, text: Let me see.}, {type: tool_use, name: weather, input: {city: Rome}}]
    contradicts: true
  - reply: Sunny.
"""
ID = re.compile(rb"\b(msg|req|toolu|srvtoolu|mcptoolu)_\w+|container_\w+")


def engine(scenarios: str = SCENARIOS, profile: str = "octen", **settings: Any) -> Engine:
    own = Settings(profile=profile, **{"time_scale": 0, **settings})
    made = Engine(own, load_profile(profile), ManualClock(), lambda name, _: load_profile(name))
    made.load(loads(scenarios))
    return made


def asks(prompt: Any = "hello", *, headers: dict[str, str] | None = None, **more: Any) -> HttpRequest:
    body = {"model": "claude-opus-4-8", "max_tokens": 200, "messages": [{"role": "user", "content": prompt}], **more}
    return request(body, headers)


def request(body: Any, headers: dict[str, str] | None = None) -> HttpRequest:
    sent = {"x-api-key": "k", "anthropic-version": "2023-06-01", **(headers or {})}
    return HttpRequest("POST", "/v1/messages", sent, body if isinstance(body, bytes) else encode(dumps(body)))


def came(http: HttpRequest) -> bytes:
    """The bytes of a request, as a connection has them."""
    lines = [http.path, *map(": ".join, http.headers.items())]
    return "\n".join(lines).encode() + b"\n\n" + http.body


def without_memory(engine: Engine, http: HttpRequest) -> Entry:
    for session in engine.sessions.all():
        engine.library(session).settled.clear()
    return answered(engine, http)


def answered(engine: Engine, http: HttpRequest) -> Entry:
    return ended(opened(engine, http))


def ended(entry: Entry) -> Entry:
    """The same, sent whole and in its time."""
    if entry.exchange.late is None and entry.is_open:
        frames, due = len(entry.plan.frames), entry.due_at
        entry.end("completed", frames, due if any(due) else ())
    return entry


def opened(engine: Engine, http: HttpRequest) -> Entry:
    entry = engine.handle(http, again=engine.memory.has_seen(came(http)))
    if entry.alike is not None and entry.alike.settled.frames >= 0:
        alike = entry.alike
        sent = with_holes(*alike.settled.marked(alike.values)).fill(alike.values)
        assert sent == at_once(alike.exchange().plan, keep_alive=True, version=(1, 1))
    return entry


def with_memory(engine: Engine, http: HttpRequest) -> Entry:
    """The same as a connection does it."""
    one = engine.remembered(came(http))
    if one is not None:
        return ended(engine.repeat(one))
    entry = opened(engine, http)
    if frames_at_once(entry.plan) >= 0:
        ended(entry)
    if entry.exchange.late is None:
        engine.remember(came(http), http, entry)
    return ended(entry)


def told(entry: Entry) -> dict[str, Any]:
    """All that can be known of an exchange, without ids."""
    exchange = entry.exchange
    plan = exchange.plan
    return {
        "head": (plan.status, [(name, ID.sub(b"ID", value.encode())) for name, value in plan.headers]),
        "body": (ID.sub(b"ID", plan.body()), [len(frame) for frame in plan.frames]),
        "due": plan.due,
        "chosen": exchange._replace(plan=plan, again=None, late=None, answer=None)[1:],
        "is": (exchange.late is not None, exchange.answer is not None),
        "outcome": (entry.outcome, entry.session, entry.tokens) if exchange.late is None else None,
        "sent": (entry.sent_at, entry.is_paced, entry.duration) if exchange.late is None else None,
        "request": (entry.method, entry.path, entry.query, entry.request_headers, entry.request.raw, entry.at),
        "said": ID.sub(b"ID", str(entry).encode()),
    }


def counted(engine: Engine) -> list[Any]:
    """What is counted in all."""
    of = ("total", "side", "unmatched", "unexpected", "contradicted", "dropped", "finished")
    return [
        engine.metrics.text({}),
        [[getattr(one.journal, name) for name in of] for one in engine.sessions.all()],
        [
            sorted((hit.scenario, hit.turn, hit.count) for hit in one.journal.hits.values())
            for one in engine.sessions.all()
        ],
        [[entry.number for entry in one.journal] for one in engine.sessions.all()],
    ]


# -- what a question shares with others ---------------------------------------------------------------------------------

QUESTIONS = SCENARIOS.replace("states: {service: [up, down]}\n", "")
ODD: tuple[tuple[str, Callable[[], HttpRequest]], ...] = (
    ("other words", lambda: asks("hello you")),
    ("nothing matches", lambda: asks("goodbye")),
    ("another scenario", lambda: asks("weather")),
    ("a name in it", lambda: asks("hello [[scenario:calls]]")),
    ("a name that nobody has", lambda: asks("hello [[scenario:nobody]]")),
    ("a name in a header", lambda: asks("hello", headers={"x-mock-scenario": "calls"})),
    ("an origin", lambda: asks("hello", headers={"origin": "http://here"})),
    ("a fault in a header", lambda: asks("hello", headers={"x-mock-fault": "overloaded"})),
    ("a retry", lambda: asks("hello", headers={"x-stainless-retry-count": "1"})),
    ("another key", lambda: asks("hello", headers={"x-api-key": "other"})),
    ("no key", lambda: asks("hello", headers={"x-api-key": ""})),
    ("a wrong version", lambda: asks("hello", headers={"anthropic-version": "1999-01-01"})),
    ("blank", lambda: asks(" \n")),
    ("empty", lambda: asks("")),
    ("what looks like a mark", lambda: asks('hello "cache_control"')),
    ("half of a character", lambda: request(asks("hello HERE").body.replace(b"HERE", b"\\ud83d"))),
    ("blocks", lambda: asks([{"type": "text", "text": "hello"}])),  # type: ignore[arg-type]
    ("a mark", lambda: asks([{"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}])),  # type: ignore[arg-type]
    ("of the assistant", lambda: request(asks("hello").body.replace(b'"user"', b'"assistant"'))),
    ("too long", lambda: asks("hello " + "x " * 250_000)),
    ("little room", lambda: asks("hello", max_tokens=1)),
)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("name", "odd"), ODD, ids=[name for name, _ in ODD])
def test_a_question_whose_rest_is_known_is_asked_about_what_is_its_own(
    name: str, odd: Callable[[], HttpRequest], profile: str
) -> None:
    plain, remembers = engine(QUESTIONS, profile), engine(QUESTIONS, profile)
    for at in range(6):
        assert told(with_memory(remembers, asks(f"hello {at}"))) == told(without_memory(plain, asks(f"hello {at}")))
    assert remembers.handle(asks("hello again")).alike is not None
    without_memory(plain, asks("hello again"))
    for _ in range(2):
        assert told(with_memory(remembers, odd())) == told(without_memory(plain, odd()))


CHANGES: tuple[tuple[str, Callable[[Engine], object]], ...] = (
    ("other scenarios", lambda one: one.load(loads("name: hello\nwhen: {prompt: hello}\nreply: Changed."))),
    ("limits", lambda one: one.override(one.sessions.default, rate_limits="requests=1")),
    ("other rules", lambda one: one.override(one.sessions.default, validation="off")),
    ("its own scenario", lambda one: one.add(one.sessions.default, *loads("name: own\nreply: Mine."))),
    ("an overlay", lambda one: one.add_overlays(*loads("name: rain\nfault: {type: truncate, after: 1}"))),
)


@pytest.mark.parametrize(("name", "change"), CHANGES, ids=[name for name, _ in CHANGES])
def test_what_questions_share_is_dropped_when_anything_it_hangs_on_changes(
    name: str, change: Callable[[Engine], object]
) -> None:
    plain, remembers = engine(QUESTIONS), engine(QUESTIONS)
    for at in range(6):
        assert told(with_memory(remembers, asks(f"hello {at}"))) == told(without_memory(plain, asks(f"hello {at}")))
    change(plain)
    change(remembers)
    for at in range(6):
        assert told(with_memory(remembers, asks(f"hello {at}"))) == told(without_memory(plain, asks(f"hello {at}")))
    assert counted(remembers) == counted(plain)


# -- again is as first -----------------------------------------------------------------------------------------------

LIBRARY = {one.name: one for file in files([library()]) for one in load([file]) if one.turns}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_every_scenario_of_the_library_answers_again_as_without_memory(name: str, profile: str) -> None:
    scenario = LIBRARY[name]
    body, headers = request_for(scenario, load_profile(profile))
    for stream in (False, True):
        plain, remembers = engine(profile=profile), engine(profile=profile)
        for one in (plain, remembers):
            one.load([scenario])
        http = request({**body, "stream": stream}, {**headers, "x-mock-scenario": name})
        for at in range(8):
            if at > 3:
                http = said_otherwise(http, "so " * at)
            assert told(with_memory(remembers, http)) == told(without_memory(plain, http))
        assert counted(remembers) == counted(plain)


def said_otherwise(http: HttpRequest, words: str) -> HttpRequest:
    """The same request with more words in its last message."""
    body = json.loads(http.body)
    last = body["messages"][-1]
    if last["role"] == "user" and isinstance(last["content"], str):
        last["content"] += f" {words}"
    return http._replace(body=encode(dumps(body)))


def careless(draw: random.Random) -> bytes:
    """A body as a careless hand writes it."""
    body: dict[str, Any] = json.loads(asks(draw.choice(["hello", "weather", "what?", "[[scenario:hello]]"])).body)
    odd: list[Any] = [
        None,
        0,
        -1,
        1.5,
        "",
        "x" * 50,
        [],
        {},
        [{}],
        True,
        "auto",
        {"type": "none"},
        {"type": "ephemeral"},
    ]
    names = ["model", "max_tokens", "messages", "system", "tools", "tool_choice", "stop_sequences", "stream", "thread"]
    names += [
        "thinking",
        "metadata",
        "container",
        "diagnostics",
        "cache_control",
        "speed",
        "service_tier",
        "temperature",
    ]
    for _ in range(draw.randrange(3)):
        body[draw.choice(names)] = draw.choice(odd)
    body |= draw.choice([{}, {"max_tokens": 3}, {"stop_sequences": ["there"]}, {"stream": True}, {"max_tokens": 1}])
    data = encode(dumps(body))
    at = draw.randrange(len(data))
    return draw.choice([data] * 4 + [data[:at], data[:at] + b"\xff" + data[at:]])


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("validation", ["strict", "warn", "off"])
def test_whatever_comes_is_answered_again_as_without_memory(profile: str, validation: str) -> None:
    draw = random.Random(f"{profile} {validation}")
    plain, remembers = (engine(SCENARIOS, profile, validation=validation) for _ in range(2))
    kept = 0
    for _ in range(150):
        http = request(careless(draw))
        for _ in range(3):
            assert told(with_memory(remembers, http)) == told(without_memory(plain, http))
        kept += remembers.remembered(came(http)) is not None
    assert kept > 20
    assert counted(remembers) == counted(plain)


LIVELY = """
name: times
when: {prompt: hello}
times: 2
reply: Only twice.
---
name: attempts
when: {prompt: again}
turns: [{attempts: [{error: overloaded_error}, {reply: Now.}]}]
---
name: chance
when: {prompt: dice}
turns: [{cases: [{chance: 50%, reply: Heads.}, {reply: Tails.}]}]
---
name: lane
when: {prompt: step}
anchor: session
turns: [{reply: One.}, {reply: Two.}, {reply: Three.}]
---
name: limited
when: {prompt: limit}
rate_limits: {requests: 3}
reply: Let in.
---
name: sick
when: {prompt: sick}
fault: {type: truncate, after: 1}
reply: Half of this.
---
name: expecting
when: {prompt: expect}
turns: [{expect: {model: claude-opus-4-8}, reply: As expected.}]
---
name: filled
when: {prompt: now}
turns: [{reply: [{type: text, template: "It is {{ now }}."}]}]
---
name: of-client
when: {prompt: who, header: {x-client: a}}
reply: You are a.
---
name: anybody
when: {prompt: who}
reply: I do not know you.
---
name: down
states: {service: [up, down]}
when: {prompt: service, state: {service: down}}
reply: It is down.
---
name: up
when: {prompt: service}
reply: It is up.
---
name: tells
states: {service: [up, down]}
when: {prompt: tell}
reply: {template: "It is {{ state.service }}, I say."}
---
name: paced
when: {prompt: paced}
timing: {first: 10ms, gap: 20ms, chunk: word}
reply: Each word in its time.
---
name: crash
states: {service: [up, down]}
when: {prompt: crash}
reply: Down it goes.
then: {state: {service: down}}
---
name: mend
states: {service: [up, down]}
when: {prompt: mend}
reply: Up it comes.
then: {state: {service: up}}
"""


def play(seed: int) -> int:
    """Ask two servers the same, with changes between, and hold their answers together; how many were remembered."""
    draw = random.Random(seed)
    settings: dict[str, Any] = draw.choice(
        [{}, {}, {}, {"rate_limits": "requests=40"}, {"unmatched": "error"}, {"seed": 1}]
    )
    settings = {**settings, "time_scale": draw.choice([0, 1])}
    profile = draw.choice(PROFILES)
    pair = [engine(LIVELY + "---" + SCENARIOS, profile, **settings) for _ in range(2)]
    plain, remembers = pair
    prompts = [
        "who",
        "hello",
        "weather",
        "again",
        "nothing",
        "dice",
        "step",
        "limit",
        "sick",
        "expect",
        "now",
        "service",
        "crash",
        "mend",
        "tell",
        "hello 2",
        "paced",
        "paced 2",
    ]
    headers: list[dict[str, str]] = [
        {},
        {},
        {"x-client": "a"},
        {"x-mock-session": "s"},
        {"x-stainless-retry-count": "1"},
    ]
    headers += [
        {"x-mock-scenario": "hello"},
        {"x-mock-fault": "truncate"},
        {"x-api-key": "claimed"},
        {"origin": "http://a"},
    ]
    pool = [
        asks(prompt, headers=draw.choice(headers), stream=draw.random() < 0.5) for prompt in prompts for _ in range(2)
    ]
    pool.append(asks("hello", system=[{"type": "text", "text": "s " * 3000, "cache_control": {"type": "ephemeral"}}]))
    pool.append(asks("hello", thread={"type": "create"}))
    repeated = 0
    for step in range(400):
        if draw.random() < 0.04:
            change = draw.choice([*sorted(CHANGES), *["an overlay taken away", "no rate limits"] * 4])
            for one in pair:
                CHANGES[change](one)
        if draw.random() < 0.1:
            for one in pair:
                one.clock.advance(7)  # type: ignore[attr-defined]
        http = draw.choice(pool[: 6 + step // 20])
        if draw.random() < 0.4:
            http = said_otherwise(http, "word " * draw.randrange(9))
        repeated += remembers.remembered(came(http)) is not None
        assert told(with_memory(remembers, http)) == told(without_memory(plain, http)), f"step {step}"
    assert counted(remembers) == counted(plain)
    return repeated


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_between_requests_they_are_answered_as_without_memory(seed: int) -> None:
    play(seed)


def test_much_of_that_play_is_remembered() -> None:
    assert sum(map(play, (8, 9, 10))) > 50


SIMPLE = """
name: whole
when: {prompt: whole}
timing: instant
reply: A reply of some twelve tokens, neither more nor less than that.
---
name: usage
when: {prompt: usage}
turns: [{reply: Told., usage: {input_tokens: 7}}]
---
name: slowly
when: {prompt: slowly}
timing: {per_input_token: 1us}
reply: After the prompt is read.
---
name: paced
when: {prompt: paced}
timing: {first: 10ms, gap: 20ms, chunk: word}
reply: A reply of some ten tokens, each in its time.
---
name: beating
when: {prompt: beating}
timing: {gap: 5s, ping: 1s, chunk: word}
reply: After a while.
---
name: drawn
when: {prompt: drawn}
timing: {gap: 20ms, jitter: 50%}
reply: At any time.
---
name: typed
when: {prompt: typed}
timing: {gap: 20ms, chunk: word}
turns: [{reply: [{type: text, template: "{{ prompt }}"}]}]
---
name: several
when: {prompt: several}
turns: [{reply: First.}, {reply: Second.}]
---
name: template
when: {prompt: template}
turns: [{reply: [{type: text, template: "You said {{ prompt[:90] | upper }}, {{ fake.first_name() }}."}]}]
---
name: told
when: {prompt: measured}
turns: [{reply: [{type: text, template: "{{ prompt }}"}, {type: text, text: No more.}], usage: {output_tokens: 3}}]
---
name: limited
when: {prompt: limited}
turns: [{reply: [{type: text, template: "{{ prompt }}"}], max_tokens: 9}]
---
name: made
when: {prompt: made}
turns: [{reply: [{type: text, generate: {tokens: 12}}, {type: text, template: "{{ attempt }} {{ now }}"}]}]
---
name: failing
when: {prompt: failing}
turns: [{reply: [{type: text, template: "{{ prompt[9000] if prompt | length < 99 else 1 }}{{ 1 // (prompt | length % 3) }}"}]}]
"""


def test_what_simple_requests_come_to_is_taken_for_others_that_differ_in_what_is_said() -> None:
    made = engine(SIMPLE)
    texts = [made.handle(asks(f"whole {at}", max_tokens=50 + at)).text for at in range(3)]
    assert set(texts) == {"A reply of some twelve tokens, neither more nor less than that."}
    assert len(made.library(made.sessions.default).settled) == 1
    first, second = (made.handle(asks(f"whole {words}")).reply["usage"] for words in ("a", "a b c d"))
    assert second["input_tokens"] == first["input_tokens"] + 3
    assert len({made.handle(asks("whole")).reply["id"] for _ in range(9)}) == 9


@pytest.mark.parametrize(
    ("name", "settles"), [("paced", True), ("beating", True), ("drawn", False), ("typed", False), ("slowly", False)]
)
def test_so_is_a_stream_whose_times_are_the_same_for_all(name: str, settles: bool) -> None:
    made = engine(SIMPLE, time_scale=1)
    plans = [made.handle(asks(f"{name} {at}", stream=True)).plan for at in range(3)]
    assert (len(made.library(made.sessions.default).settled) == 1) is settles
    assert (plans[1].parts[0].at is plans[2].parts[0].at) is settles
    assert all(plan.parts[0].at[-1] for plan in plans)
    entry = made.handle(asks(f"{name} 4", stream=True))
    assert (entry.exchange.again is not None) is (settles or name == "slowly")  # which is so for the same prompt
    first = entry.plan.payloads[0]
    assert first is not None
    assert first["type"] == "message_start"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(
    ("name", "remembered"),
    [("paced", True), ("beating", True), ("drawn", False), ("typed", False), ("slowly", True), ("nobody", False)],
)
def test_a_reply_that_takes_time_is_remembered_where_its_times_are_the_same_again(
    name: str, remembered: bool, stream: bool
) -> None:
    plain, remembers = (engine(SIMPLE, time_scale=1) for _ in range(2))
    http = asks(f"{name} of ten words, neither more nor less than that", stream=stream)
    for at in range(6):
        one = remembers.remembered(came(http))
        assert (one is not None) is (remembered and at > 1)
        assert one is None or not one.is_at_once
        for each in (plain, remembers):
            each.clock.advance(7)  # type: ignore[attr-defined]
        assert told(with_memory(remembers, http)) == told(without_memory(plain, http))
    assert counted(remembers) == counted(plain)
    assert remembers.journals.metrics.text({}) == plain.journals.metrics.text({})


@pytest.mark.parametrize("scale", [0, 1])
@pytest.mark.parametrize("profile", PROFILES)
def test_simple_requests_are_answered_as_each_would_be_by_itself(profile: str, scale: int) -> None:
    draw = random.Random(f"{profile} {scale}")
    plain, settles = (engine(SIMPLE, profile, time_scale=scale) for _ in range(2))
    for _ in range(600):
        more = {"stream": draw.random() < 0.5, "max_tokens": draw.choice([1, 5, 11, 12, 13, 14, 15, 20, 4000])}
        more |= draw.choice([{}, {"system": "s " * draw.randrange(5)}, {"metadata": {"user_id": "u"}}])
        more |= draw.choice([{}, {}, {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}])
        names = ["whole", "usage", "slowly", "several", "template", "measured", "limited", "made", "failing", "nobody"]
        names += ["paced", "beating", "drawn", "typed"]
        prompt = draw.choice(names) + " word" * draw.choice([0, 1, 2, 3, 5, 8, 20, 3000])
        http = asks(prompt, **more)
        assert told(answered(settles, http)) == told(without_memory(plain, http))


MARKS: list[dict[str, Any]] = [
    {"type": "ephemeral"},
    {"type": "ephemeral", "ttl": "1h"},
    {"type": "ephemeral", "ttl": "5m"},
]


def as_blocks(draw: random.Random, text: str, marks: float) -> Any:
    """A text as clients send it: a string, one block, or several; some of these with marks for the cache."""
    if draw.random() < 0.3:
        return text
    half = draw.randrange(len(text)) if draw.random() < 0.4 else 0
    said = [{"type": "text", "text": one} for one in (text[:half], text[half:]) if one.strip()]
    return [{**one, **({"cache_control": draw.choice(MARKS)} if draw.random() < marks else {})} for one in said]


@pytest.mark.parametrize("marks", [0, 0.4])
@pytest.mark.parametrize("profile", PROFILES)
def test_blocks_and_marks_are_answered_as_each_would_be_by_itself(profile: str, marks: float) -> None:
    """Strings and blocks, the system prompt too, and marks whose prompts are long enough to be cached: what one wrote
    the next ones read, until it is over."""
    draw = random.Random(f"{profile} {marks}")
    plain, settles = (engine(SIMPLE, profile) for _ in range(2))
    settled = used = 0
    for _ in range(250):
        names = ["whole", "whole", "usage", "several", "template", "measured", "limited", "made", "nobody"]
        prompt = draw.choice(names) + " word" * draw.choice([0, 1, 5, 20, 3000])
        messages: list[Any] = [{"role": "user", "content": as_blocks(draw, prompt, marks)}]
        if draw.random() < 0.2:
            answer = {"role": "assistant", "content": as_blocks(draw, "Told, all of it.", 0)}
            messages = [*messages, answer, {"role": "user", "content": as_blocks(draw, prompt, marks)}]
        body: dict[str, Any] = {
            "model": "claude-opus-4-8",
            "max_tokens": draw.choice([5, 13, 4000]),
            "messages": messages,
        }
        body |= draw.choice([{}, {"system": as_blocks(draw, "Be kind. " * draw.choice([1, 2000]), marks)}])
        body |= draw.choice([{}, {"stream": True}]) | (draw.choice([{}, {"cache_control": MARKS[0]}]) if marks else {})
        http = request(body)
        known = len(settles.library(settles.sessions.default).settled)
        found = answered(settles, http)
        settled += found.status == 200 and known == len(settles.library(settles.sessions.default).settled)
        assert told(found) == told(without_memory(plain, http))
        used += found.status == 200 and b'cache_read_input_tokens":0' not in found.plan.body()
        passed = draw.choice([0] * 25 + [7, 200, 4000])
        for one in (plain, settles):
            one.clock.advance(passed)  # type: ignore[attr-defined]
    assert counted(settles) == counted(plain)
    assert settled > 50
    assert used > 10 or not marks


def test_a_text_as_blocks_comes_to_what_it_comes_to_as_a_string() -> None:
    made = engine(SIMPLE)
    for content in ("whole as it is", [{"type": "text", "text": "whole as it is"}]):
        assert made.handle(asks(content)).text == "A reply of some twelve tokens, neither more nor less than that."
    assert len(made.library(made.sessions.default).settled) == 1


def test_what_a_prompt_does_with_the_cache_is_its_own() -> None:
    """The first writes, those after it read, though what they are answered was settled."""
    made = engine(SIMPLE)
    system = [{"type": "text", "text": "Be kind. " * 2000, "cache_control": {"type": "ephemeral"}}]
    told = [made.handle(asks(f"whole {at}", system=system)).reply["usage"] for at in range(4)]
    written, read = ([one[f"cache_{what}_input_tokens"] for one in told] for what in ("creation", "read"))
    assert written[0] > 1_000
    assert written[1:] == [0, 0, 0]
    assert read == [0, *written[:1] * 3]
    made.clock.advance(301)  # type: ignore[attr-defined]
    assert made.handle(asks("whole 9", system=system)).reply["usage"]["cache_creation_input_tokens"] == written[0]


# -- what drops it ----------------------------------------------------------------------------------------------------


def _added(one: Engine) -> None:
    one.add(one.sessions.default, *loads("name: added\nwhen: {prompt: hello}\nreply: Added."))


def _removed(one: Engine) -> None:
    _added(one)
    one.sessions.default.remove("added")


def _set(one: Engine, value: str) -> None:
    session = one.sessions.default
    session.move(one.library(session), {"service": value})


OUTAGE = "name: storm\nbetween: [5s, 20s]\nwhen: {prompt: [hello, service]}\nfault: {type: truncate}"
CHANGES: dict[str, Callable[[Engine], Any]] = {
    "a state set": lambda one: _set(one, "down"),
    "a state set back": lambda one: _set(one, "up"),
    "an outage for a time": lambda one: one.add_overlays(*loads(OUTAGE)),
    "scenarios loaded": lambda one: one.load(loads(LIVELY + "---" + SCENARIOS)),
    "a scenario added": _added,
    "a scenario removed": _removed,
    "an overlay laid": lambda one: one.add_overlays(
        *loads("name: storm\nwhen: {prompt: hello}\nfault: {type: truncate}")
    ),
    "an overlay taken away": lambda one: one.remove_overlay("storm"),
    "an overlay switched off": lambda one: one.switch("storm", on=False),
    "a setting of the session": lambda one: one.override(one.sessions.default, fast_retries=True),
    "another profile": lambda one: one.override(one.sessions.default, profile="anthropic"),
    "rate limits": lambda one: one.override(one.sessions.default, rate_limits="requests=1000"),
    "no rate limits": lambda one: one.override(one.sessions.default, rate_limits="off"),
    "the session reset": lambda one: one.reset(one.sessions.default),
    "the key claimed": lambda one: one.sessions.claim("claimed", "other"),
}


def remembered(one: Engine, http: HttpRequest) -> bool:
    for _ in range(3):
        with_memory(one, http)
    return one.remembered(came(http)) is not None


@pytest.mark.parametrize(
    "change",
    [
        name
        for name in CHANGES
        if name
        not in (
            *("a scenario removed", "an overlay taken away", "an overlay switched off", "the session reset"),
            "a state set back",
        )
    ],
)
def test_what_an_answer_hangs_on_drops_it(change: str) -> None:
    one = engine()
    http = asks(headers={"x-api-key": "claimed"})
    assert remembered(one, http)

    CHANGES[change](one)

    assert one.remembered(came(http)) is None
    assert len(one.memory) == 0


def test_an_answer_that_hangs_on_a_state_is_remembered_until_one_is_moved() -> None:
    one = engine(LIVELY)
    assert remembered(one, asks("service"))

    assert with_memory(one, asks("crash")).exchange.moved == (("service", "up", "down"),)

    assert with_memory(one, asks("service")).text == "It is down."
    assert remembered(one, asks("service"))
    one.reset(one.sessions.default)
    assert with_memory(one, asks("service")).text == "It is up."


def test_what_strikes_other_endpoints_alone_leaves_messages_remembered() -> None:
    one = engine()
    one.add_overlays(*loads("name: storm\nbetween: [1s, 2s]\nwhen: {endpoint: count_tokens}\nfault: {type: error}"))
    assert remembered(one, asks())


def test_a_reset_drops_what_was_said_by_scenarios_of_the_session() -> None:
    one = engine()
    _added(one)
    assert remembered(one, asks())

    one.reset(one.sessions.default)

    assert with_memory(one, asks()).text == "Hello there!"


def test_a_key_whose_session_has_ended_is_refused_and_not_remembered() -> None:
    one = engine()
    one.sessions.claim("mine", "test")
    http = asks(headers={"x-api-key": "mine"})
    assert remembered(one, http)

    one.sessions.close("mine")

    assert one.remembered(came(http)) is None
    assert with_memory(one, http).status == 400


def test_a_session_that_was_dropped_and_made_anew_remembers_nothing() -> None:
    one = engine()
    http = asks(headers={"x-mock-session": "s"})
    assert remembered(one, http)

    one.sessions.drop("s")

    assert one.remembered(came(http)) is None


# -- what is not remembered -------------------------------------------------------------------------------------------

FILE = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
MARKED = [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]


@pytest.mark.parametrize(
    "http",
    [
        pytest.param(asks("dice"), id="chance"),
        pytest.param(asks("again"), id="attempts"),
        pytest.param(asks("step"), id="turns of a session"),
        pytest.param(asks("limit"), id="limits of a scenario"),
        pytest.param(asks("sick"), id="a fault of its script"),
        pytest.param(asks("hello", headers={"x-mock-fault": "truncate"}), id="a fault of its header"),
        pytest.param(asks("expect"), id="expectations"),
        pytest.param(asks("now"), id="a template"),
        pytest.param(asks("nothing", system=MARKED), id="cache marks"),
        pytest.param(asks("nothing", thread={"type": "create"}), id="a thread"),
        pytest.param(asks("nothing", container="c"), id="a container"),
        pytest.param(asks("nothing", diagnostics={"previous_message_id": None}), id="diagnostics"),
        pytest.param(asks("nothing", headers={"origin": "http://a"}), id="a page of another origin"),
        pytest.param(asks("nothing", max_tokens=0.5), id="a mistake"),
        pytest.param(asks("crash"), id="what moves a state"),
    ],
)
@pytest.mark.parametrize("profile", PROFILES)
def test_what_may_come_to_something_else_the_next_time_is_not_remembered(http: HttpRequest, profile: str) -> None:
    assert not remembered(engine(LIVELY, profile), http)


@pytest.mark.parametrize(
    "settings",
    [{"seed": 1}, {"rate_limits": "requests=1000"}, {"unmatched": "error"}],
    ids=["a seed", "rate limits", "no reply to what nobody answers"],
)
def test_settings_under_which_nothing_is_remembered(settings: dict[str, Any]) -> None:
    assert not remembered(engine(SCENARIOS, **settings), asks("nothing"))


def test_a_pattern_that_looks_at_a_header_is_asked_for_each_header() -> None:
    one = engine(LIVELY)
    assert remembered(one, asks("who"))

    assert with_memory(one, asks("who", headers={"x-client": "a"})).text == "You are a."


# -- what an exchange has for itself ----------------------------------------------------------------------------------


def test_each_has_ids_and_a_time_of_its_own() -> None:
    one = engine()
    http = asks("weather")
    assert remembered(one, http)
    first = with_memory(one, http)
    one.clock.advance(2)  # type: ignore[attr-defined]
    second = with_memory(one, http)

    for of in (lambda e: e.reply["id"], lambda e: e.reply["content"][1]["id"], lambda e: e.headers["x-request-id"]):
        assert of(first) != of(second)
    assert first.headers["date"] != second.headers["date"]
    assert second.at == first.at + 2


def test_the_bytes_sent_are_those_of_the_plan() -> None:
    for stream in (False, True):
        one = engine()
        http = asks("weather", stream=stream)
        assert remembered(one, http)
        known = one.remembered(came(http))
        assert known is not None
        plan, marks = known.marked()
        data = "\n".join(map(": ".join, plan.headers)).encode() + plan.body()

        entry = one.repeat(known)

        for mark in marks.values():
            assert data.count(mark) >= 1
        assert len(data) == len("\n".join(map(": ".join, entry.plan.headers)).encode() + entry.plan.body())
        assert b"\0" not in entry.plan.body()


# -- bounds -----------------------------------------------------------------------------------------------------------


def bodies(count: int, size: int) -> Iterator[HttpRequest]:
    for at in range(count):
        yield asks(f"hello {at} " + "x" * size)


def test_a_session_that_ends_is_let_go_of() -> None:
    one = engine()
    assert remembered(one, asks("hello", headers={"x-mock-session": "s"}))
    assert remembered(one, asks("hello"))
    gone = weakref.ref(one.sessions.named("s"))

    one.sessions.drop("s")
    gc.collect()

    assert gone() is None
    assert len(one.memory) == 1


def test_what_the_log_says_of_a_request_it_says_each_time(caplog: pytest.LogCaptureFixture) -> None:
    one = engine("name: calls\nwhen: {prompt: weather}\nreply: [{type: tool_use, name: look, input: {}}]")
    caplog.set_level("INFO", "mock_server")
    for _ in range(5):
        with_memory(one, asks("weather"))
        with_memory(one, asks("nothing"))
    assert caplog.text.count("calls 'look', which the request does not offer") == 5
    assert caplog.text.count("no scenario matches, a reply is made up") == 5

    assert remembered(one, asks("nothing")) is False
    caplog.set_level("WARNING", "mock_server")
    assert remembered(one, asks("nothing"))
    caplog.set_level("INFO", "mock_server")
    assert one.remembered(came(asks("nothing"))) is None
    one.load(loads(SCENARIOS))
    assert remembered(one, asks("hello"))
    caplog.set_level("DEBUG", "mock_server")
    assert one.remembered(came(asks("hello"))) is None


@pytest.mark.parametrize("scale", [0, 1])
def test_who_listens_hears_of_each_and_of_its_end(scale: int) -> None:
    plain, remembers = (engine(SIMPLE, time_scale=scale) for _ in range(2))
    heard: list[list[tuple[int, bool, bool]]] = [[], []]
    for _ in range(4):
        with_memory(remembers, asks("paced", stream=True))
        without_memory(plain, asks("paced", stream=True))
    for made, said in zip((plain, remembers), heard, strict=True):
        journal = made.sessions.default.journal
        journal.subscribe(lambda entry, said=said: said.append((entry.number, entry.is_open, entry.is_paced)))
    for _ in range(3):
        with_memory(remembers, asks("paced", stream=True))
        without_memory(plain, asks("paced", stream=True))
    assert heard[0] == heard[1]
    assert len(heard[0]) == 6


def test_what_came_once_is_not_kept() -> None:
    one = engine()
    for http in bodies(50, 10):
        with_memory(one, http)
    assert len(one.memory) == 0


def test_memory_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mock_server.engine.memory.MOST_BYTES", 100_000)
    one = engine()
    for http in bodies(30, 5_000):
        assert remembered(one, http)
    assert len(one.memory) < 15


def test_memory_is_bounded_in_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mock_server.engine.memory.MOST_KEPT", 10)
    one = engine()
    for http in bodies(30, 5):
        remembered(one, http)
    assert len(one.memory) == 10


def test_what_was_seen_is_bounded_too() -> None:
    memory = Memory()
    for at in range(5 * MOST_KEPT):
        memory.has_seen(b"%d" % at)
    assert len(memory._seen) + len(memory._seen_before) <= 2 * MOST_KEPT + 1


def test_long_bodies_that_differ_in_one_letter_are_two() -> None:
    one = engine()
    text = "hello " + "x" * 50_000
    first, second = asks(text), asks(text[:20_001] + "y" + text[20_002:])
    assert remembered(one, first)

    assert one.remembered(came(second)) is None
    assert with_memory(one, second).request.prompt != with_memory(one, first).request.prompt

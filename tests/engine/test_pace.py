"""When the events of a reply are due, as a plan says it: what each key of a timing does to which event."""

import statistics
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from conftest import Ask, MakeEngine

from mock_server.engine.entry import Entry
from mock_server.protocol import sse

DRAWS = 10_000
Told = list[tuple[float, str]]


def told(entry: Entry) -> Told:
    """The milliseconds and the kind of every event; of a delta, what it says."""

    def said(payload: Mapping[str, Any]) -> str:
        delta = payload.get("delta", {})
        texts = (delta[key] for key in ("text", "thinking", "partial_json") if key in delta)
        return next(texts, str(payload["type"]).removeprefix("content_block_"))

    (part,) = entry.plan.parts
    kinds = [said(payload) for payload in sse.parse(b"".join(part.frames))]
    return [(at / 1000, kind) for at, kind in zip(part.at, kinds, strict=True)]


@pytest.fixture
def play(engine: MakeEngine, ask: Ask) -> Any:
    """The timeline of one reply: `play("{gap: 1ms}", "one two")`."""

    def play(timing: str, reply: str = "one two three", prompt: str = "Hello", **settings: Any) -> Told:
        served = engine(f"name: a\ntiming: {timing}\nreply: {reply}", **{"time_scale": 1.0, **settings})
        return told(ask(served, prompt, stream=True, model="openai/gpt-5.5"))  # its tokens are the estimated ones

    return play


# -- what is due when -----------------------------------------------------------------------------------------------


def test_first_then_a_gap_between_deltas(play: Any) -> None:
    assert play("{first: 400ms, gap: 20ms}") == [
        (400, "message_start"),
        (400, "start"),
        (400, "ping"),
        (400, "one"),
        (420, " two"),
        (440, " three"),
        (440, "stop"),
        (440, "message_delta"),
        (440, "message_stop"),
    ]


def test_a_burst_takes_the_time_of_all_its_tokens(play: Any) -> None:
    assert play("{rate: 100/s, burst: 2}", "one two three four five")[3:6] == [
        (0, "one two"),
        (20, " three four"),
        (40, " five"),
    ]


def test_the_prompt_takes_time_for_each_of_its_tokens(engine: MakeEngine, ask: Ask) -> None:
    served = engine("name: a\ntiming: {first: 300ms, gap: 1ms, per_input_token: 2ms}\nreply: one two", time_scale=1.0)
    for words in (1, 50, 2000):
        entry = ask(served, "word " * words, stream=True)
        start = entry.planned_events[0]["message"]
        assert told(entry)[0][0] == 300 + 2 * start["usage"]["input_tokens"]
        assert told(entry)[4][0] - told(entry)[3][0] == 1


def test_a_prompt_from_the_cache_takes_no_time(engine: MakeEngine, ask: Ask) -> None:
    served = engine("name: a\ntiming: {per_input_token: 1ms}\nreply: hi", profile="anthropic")
    content = [{"type": "text", "text": "word " * 5000, "cache_control": {"type": "ephemeral"}}]
    said = [{"role": "user", "content": content}, {"role": "user", "content": "go on"}]
    ask(served, said[:1])
    served.override(served.sessions.default, time_scale=1.0)

    entry = ask(served, said, stream=True)

    usage = entry.planned_events[0]["message"]["usage"]
    assert usage["cache_read_input_tokens"] > 4000
    assert told(entry)[0][0] == usage["input_tokens"] > 0


def test_pauses_come_before_blocks_of_their_type(play: Any) -> None:
    reply = """
  - {type: thinking, thinking: Hm}
  - {type: server_tool_use, name: web_search, input: {}}
  - {type: web_search_tool_result, content: []}
  - {type: server_tool_use, name: web_fetch, input: {}}
  - {type: web_fetch_tool_result, error: unavailable}
  - Done
  - {type: tool_use, name: look, input: {}}"""
    pauses = "{thinking: 100ms, server_tool: 1500ms, web_fetch_tool_result: 2s, text: 300ms, tool_use: 50ms}"
    starts = [at for at, kind in play(f"{{pauses: {pauses}}}", reply) if kind == "start"]
    assert starts == [100, 100, 1600, 1600, 3600, 3900, 3950]


def test_a_pause_before_the_first_block_leaves_the_message_where_it_was(play: Any) -> None:
    assert play("{first: 10ms, pauses: {text: 5s}}")[:2] == [(10, "message_start"), (5010, "start")]


# -- pings ----------------------------------------------------------------------------------------------------------


def test_pings_come_whenever_nothing_else_does(play: Any) -> None:
    assert play("{first: 9s, gap: 11s, pauses: {text: 5s}, ping: 5s}", "one two") == [
        (9_000, "message_start"),
        (14_000, "start"),
        (14_000, "ping"),
        (14_000, "one"),
        (19_000, "ping"),
        (24_000, "ping"),
        (25_000, " two"),
        (25_000, "stop"),
        (25_000, "message_delta"),
        (25_000, "message_stop"),
    ]


def test_pings_are_scaled_with_all_else_and_gone_at_scale_0(play: Any) -> None:
    written = "{gap: 11s, ping: 5s}"
    whole, short, none = (play(written, "one two", time_scale=scale) for scale in (1.0, 0.01, 0.0))
    assert [(at * 100, kind) for at, kind in short] == whole
    assert [kind for _, kind in none] == ["message_start", "start", "ping", "one", " two", "stop", *ENDING]
    assert {at for at, _ in none} == {0}


ENDING = ["message_delta", "message_stop"]


def test_no_ping_comes_once_the_message_has_ended(play: Any) -> None:
    timeline = play("{ping: 1s, replay: {events: [0ms, 0ms, 0ms, 0ms, 0ms, 0ms, 9s]}}", "hi")
    assert [kind for _, kind in timeline[-2:]] == ENDING


def test_the_pings_of_a_reply_are_bounded(play: Any) -> None:
    timeline = play("{gap: 60m, ping: 10ms}", "one two")
    assert sum(kind == "ping" for _, kind in timeline) == 1 + 10_000
    assert timeline[-1][0] == 3_600_000


@pytest.mark.parametrize("drawn", ["{gap: 11s, ping: 5s}", "{gap: {normal: {mean: 11s, sd: 10ms}}, ping: 5s}"])
def test_a_reply_that_is_no_stream_has_no_pings_and_the_same_end(drawn: str, engine: MakeEngine, ask: Ask) -> None:
    text = f"name: a\ntiming: {drawn}\nreply: one two three"
    stream, whole = (ask(engine(text, time_scale=1.0), stream=stream) for stream in (True, False))
    assert b"ping" not in whole.plan.body()
    assert whole.plan.parts[0].at[-1] == stream.plan.parts[0].at[-1]
    assert {k: v for k, v in whole.reply.items() if k != "id"} == {k: v for k, v in stream.reply.items() if k != "id"}
    assert stream.tokens == whole.tokens


@pytest.mark.parametrize("split", ["chunk: {bytes: 1}", "chunk: {bytes: 5}, burst: 2", "burst: 1..10", "chunk: 3"])
@pytest.mark.parametrize("most", [3, 9, 15, 4096])
def test_json_and_stream_say_the_same_however_texts_are_split(
    split: str, most: int, engine: MakeEngine, ask: Ask
) -> None:
    reply = """
  - {type: thinking, thinking: Grüße aus 日本}
  - Ein naïver Text, 你好.
  - {type: tool_use, name: look, input: {at: "日本 \\"x\\" \\n"}}"""
    served = engine(f"name: a\ntiming: {{{split}}}\nreply:{reply}")
    stream, whole = (
        ask(served, stream=stream, max_tokens=most, tools=[{"name": "look", "input_schema": {"type": "object"}}]).reply
        for stream in (True, False)
    )
    assert [{**block, "id": ""} for block in stream["content"]] == [{**block, "id": ""} for block in whole["content"]]
    assert stream["stop_reason"] == whole["stop_reason"] == ("tool_use" if most == 4096 else "max_tokens")


# -- what is drawn --------------------------------------------------------------------------------------------------


def firsts(engine: MakeEngine, ask: Ask, timing: str, count: int = DRAWS) -> list[float]:
    served = engine(f"name: a\ntiming: {timing}\nreply: hi", time_scale=1.0, journal_entries=1)
    return sorted(ask(served, stream=True).plan.at / 1000 for _ in range(count))


def test_the_first_event_of_many_requests_has_the_percentiles_that_are_written(engine: MakeEngine, ask: Ask) -> None:
    sample = firsts(engine, ask, "{first: {p50: 400ms, p95: 2s}}", 4000)
    assert sample[2000] == pytest.approx(400, rel=0.06)
    assert sample[3800] == pytest.approx(2000, rel=0.12)


def test_gaps_have_the_mean_that_is_written(play: Any) -> None:
    words = " ".join(["word"] * 5000)
    timeline = play("{gap: {gamma: {mean: 20ms, shape: 2}}}", words)
    deltas = sum(kind.strip() == "word" for _, kind in timeline)
    assert deltas > 4000  # max_tokens cuts the rest
    assert timeline[-1][0] / (deltas - 1) == pytest.approx(20, rel=0.04)


def test_no_delay_is_below_0_or_above_an_hour(engine: MakeEngine, ask: Ask) -> None:
    low = firsts(engine, ask, "{first: {normal: {mean: 10ms, sd: 1s}}}", 200)
    high = firsts(engine, ask, "{first: {p50: 50m, p90: 60m}}", 200)
    assert low[0] == 0
    assert high[-1] == 3_600_000
    assert statistics.median(low) < 1000


def test_the_same_seed_and_request_have_the_same_times(engine: MakeEngine, ask: Ask) -> None:
    text = "name: a\ntiming: {first: {p50: 1s, p95: 2s}, gap: {uniform: [1ms, 9ms]}, jitter: 10%}\nreply: one two three"

    def told_twice(**settings: Any) -> list[Told]:
        served = engine(text, time_scale=1.0, **settings)
        return [told(ask(served, stream=True)) for _ in range(2)]

    first, again = told_twice()
    assert first != again  # the second time the same request comes it is another exchange
    assert told_twice() == [first, again]
    assert told_twice(seed=8) != [first, again]


def test_jitter_moves_fixed_delays_only(play: Any) -> None:
    drawn = "{first: {uniform: [1s, 1s]}, gap: 100ms, jitter: 20%}"
    timeline = play(drawn)
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(timeline[3:6])]
    assert timeline[0][0] == 1000
    assert all(80 <= gap <= 120 and gap != 100 for gap in gaps)


def test_nothing_is_drawn_at_scale_0(engine: MakeEngine, ask: Ask) -> None:
    """So the ids of a test are those of the same test at another pace."""
    plain, varying = (
        ask(engine(f"name: a\ntiming: {timing}\nreply: hi"), stream=True)
        for timing in ("instant", "{first: {p50: 1s, p95: 2s}}")
    )
    assert [part[:3] for part in plain.plan.parts] == [part[:3] for part in varying.plan.parts]


def test_fixed_times_are_one_array_for_all_requests(engine: MakeEngine, ask: Ask) -> None:
    served = engine("name: a\ntiming: {first: 1ms, gap: 2ms, pauses: {text: 1s}, ping: 20ms}\nreply: a b", time_scale=1)
    one, other = (ask(served, prompt, stream=True).plan.parts[0].at for prompt in ("x", "a longer prompt"))
    assert one is other


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timing", "least", "most"),
    [
        ("{first: 2s}", 2000, 2000),
        ("{first: 2s, jitter: 10%}", 1800, 2200),
        ("{first: {uniform: [1s, 2s]}}", 1000, 2000),
        ("{per_input_token: 100ms}", 800, 5000),
        ("{replay: [700ms, 900ms]}", 700, 700),
        ("instant", 0, 0),
    ],
)
def test_an_error_comes_when_the_first_event_would(
    timing: str, least: float, most: float, engine: MakeEngine, ask: Ask
) -> None:
    served = engine(f"name: a\ntiming: {timing}\nerror: 529", time_scale=1.0)
    assert least <= ask(served).plan.at / 1000 <= most


# -- replays --------------------------------------------------------------------------------------------------------


def test_a_replay_of_deltas(play: Any) -> None:
    assert play("{replay: [10ms, 410ms, 432ms]}") == [
        *[(10, kind) for kind in ("message_start", "start", "ping", "one")],
        (410, " two"),
        *[(432, kind) for kind in (" three", "stop", *ENDING)],
    ]


def test_a_replay_of_events_at_another_scale(play: Any) -> None:
    offsets = "[0ms, 5ms, 5ms, 410ms, 432ms, 440ms, 445ms, 450ms, 451ms]"
    timeline = play(f"{{replay: {{events: {offsets}}}}}", time_scale=0.5)
    assert [at for at, _ in timeline] == [0, 2.5, 2.5, 205, 216, 220, 222.5, 225, 225.5]


@pytest.mark.parametrize(
    ("offsets", "times"),
    [
        ("[10ms, 20ms]", [10, 20, 20, 20]),  # too few: the rest comes with the last
        ("[10ms, 20ms, 30ms, 40ms, 50ms, 60ms]", [10, 20, 30, 40]),  # too many: what is left is not used
    ],
)
def test_a_replay_of_a_reply_that_only_the_request_makes(offsets: str, times: list[float], play: Any) -> None:
    timeline = play(f"{{replay: {offsets}}}", "{template: '{{ prompt }}'}", "one two three four")
    assert [at for at, _ in timeline[3:7]] == times
    assert timeline[-1][0] == times[-1]


def test_what_max_tokens_leaves_of_a_reply_keeps_its_times(engine: MakeEngine, ask: Ask) -> None:
    served = engine("name: a\ntiming: {replay: [10ms, 410ms, 432ms]}\nreply: one two three", time_scale=1.0)
    cut = told(ask(served, stream=True, max_tokens=2, model="openai/gpt-5.5"))
    assert cut[3:5] == [(10, "one"), (410, " two")]
    assert cut[-1] == (410, "message_stop")


# -- by model -------------------------------------------------------------------------------------------------------


def test_a_reply_without_a_pace_has_that_of_its_model(engine: MakeEngine, ask: Ask) -> None:
    served = engine("name: a\nreply: one two three four five six seven eight", time_scale=1.0, profile="anthropic")

    def took(model: str) -> float:
        entry = ask(served, stream=True, model=model)
        (part,) = entry.plan.parts
        return float(part.at[-1] - part.at[0]) / 1000

    haiku, opus = took("claude-haiku-4-5"), took("claude-opus-4-6")
    assert 7 / 140 * 0.8 <= haiku / 1000 <= 7 / 140 * 1.2
    assert 7 / 55 * 0.8 <= opus / 1000 <= 7 / 55 * 1.2


def test_a_scenario_and_a_setting_win_over_the_model(engine: MakeEngine, ask: Ask) -> None:
    written = engine("name: a\ntiming: {first: 7ms}\nreply: hi", time_scale=1.0)
    assert ask(written, stream=True).plan.at == 7000
    set_so = engine("name: a\nreply: hi", time_scale=1.0, timing="fast")
    assert ask(set_so, stream=True).plan.at == 50_000


def test_a_session_may_have_another_pace(engine: MakeEngine, ask: Ask) -> None:
    served = engine("name: a\nreply: hi", time_scale=1.0)
    session = served.sessions.named("own")
    served.override(session, timing="instant")
    assert ask(served, stream=True, headers={"x-mock-session": "own"}).plan.at == 0
    assert ask(served, stream=True).plan.at > 0
    served.override(session, timing="model")
    assert ask(served, stream=True, headers={"x-mock-session": "own"}).plan.at > 0


def test_a_model_may_split_texts_its_own_way(tmp_path: Any, engine: MakeEngine, ask: Ask) -> None:
    (tmp_path / "mine.yaml").write_text(
        "extends: octen\nmodels:\n  - {id: words, timing: {chunk: word, burst: 2}}\n  - {id: tokens}\n"
    )
    served = engine("name: a\nreply: one two three", profile=str(tmp_path / "mine.yaml"))
    by_words, by_tokens = (told(ask(served, stream=True, model=model)) for model in ("words", "tokens"))
    assert [kind for _, kind in by_words[3:5]] == ["one two", " three"]
    assert [kind for _, kind in by_tokens[3:6]] == ["one", " two", " three"]

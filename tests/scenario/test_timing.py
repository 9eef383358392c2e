"""Timings as authors write them: what each form means, what is drawn from it, and how mistakes are told."""

import math
import statistics
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mock_server.protocol.chunk import Burst, Bytes
from mock_server.scenario.load import build, loads
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.profiles import load_profile
from mock_server.scenario.timing import (
    PRESETS,
    ByModel,
    Distribution,
    Gamma,
    Lognormal,
    Normal,
    Timing,
    Uniform,
    pacing,
)

DRAWS = 10_000


def timing(written: str, reply: str = "hi") -> Timing:
    (scenario,) = loads(f"name: a\ntiming: {written}\nreply: {reply}")
    assert scenario.timing is not None
    return scenario.timing


def mistakes(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        loads(text, "bad.yaml")
    return [line.removeprefix("bad.yaml:") for line in str(caught.value).split("\n")]


# -- distributions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("400ms", 400_000),
        ("0", 0),
        ("{uniform: [200ms, 600ms]}", Uniform(200_000, 600_000)),
        ("{normal: {mean: 400ms, sd: 0.1s}}", Normal(400_000, 100_000)),
        ("{gamma: {mean: 400ms, shape: 2}}", Gamma(400_000, 2.0)),
        ("{p50: 400ms, p95: 400ms}", Lognormal(400_000, 0.0)),
    ],
)
def test_a_delay_is_fixed_or_a_distribution(written: str, meant: Any) -> None:
    assert timing(f"{{first: {written}}}").first == meant
    assert timing(f"{{gap: {written}}}").gap == meant
    assert timing(f"{{pauses: {{text: {written}}}}}").pauses == {"text": meant}


def drawn(one: str) -> list[float]:
    distribution: Distribution = timing(f"{{first: {one}}}").first  # type: ignore[assignment]
    source = Random(7)
    return sorted(distribution.draw(source) / 1000 for _ in range(DRAWS))


def percentile(sample: list[float], share: float) -> float:
    return sample[round(share * len(sample))]


def test_uniform_draws_lie_between_its_ends_all_alike() -> None:
    sample = drawn("{uniform: [200ms, 600ms]}")
    assert 200 <= sample[0] < sample[-1] <= 600
    assert [percentile(sample, share) for share in (0.25, 0.5, 0.75)] == pytest.approx([300, 400, 500], rel=0.02)


def test_normal_draws_have_its_mean_and_deviation() -> None:
    sample = drawn("{normal: {mean: 400ms, sd: 100ms}}")
    assert statistics.mean(sample) == pytest.approx(400, rel=0.01)
    assert statistics.stdev(sample) == pytest.approx(100, rel=0.03)
    assert percentile(sample, 0.8413) == pytest.approx(500, rel=0.02)


@pytest.mark.parametrize(("name", "share"), [("p90", 0.90), ("p95", 0.95), ("p99", 0.99)])
def test_lognormal_draws_have_the_percentiles_that_are_written(name: str, share: float) -> None:
    sample = drawn(f"{{p50: 400ms, {name}: 2s}}")
    assert percentile(sample, 0.5) == pytest.approx(400, rel=0.04)
    assert percentile(sample, share) == pytest.approx(2000, rel=0.08)
    assert sample[0] > 0


@pytest.mark.parametrize("shape", [0.5, 1, 4])
def test_gamma_draws_have_its_mean_and_shape(shape: float) -> None:
    sample = drawn(f"{{gamma: {{mean: 400ms, shape: {shape}}}}}")
    assert statistics.mean(sample) == pytest.approx(400, rel=0.04)
    assert statistics.stdev(sample) == pytest.approx(400 / math.sqrt(shape), rel=0.06)
    assert sample[0] >= 0


# -- chunks and bursts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{}", None),
        ("{chunk: word}", "word"),
        ("{chunk: 20}", 20),
        ("{chunk: {bytes: 7}}", Bytes(7)),
        ("{burst: 5}", Burst("token", 5)),
        ("{chunk: word, burst: 1..3}", Burst("word", Uniform(0.501, 3.499))),
        ("{burst: {p50: 2, p95: 8}}", Burst("token", Lognormal(2, math.log(4) / 1.6448536269515))),
        ("{burst: {normal: {mean: 4, sd: 1.5}}}", Burst("token", Normal(4, 1.5))),
    ],
)
def test_what_one_delta_carries(written: str, meant: Any) -> None:
    assert timing(written).chunking == meant


# -- mistakes -------------------------------------------------------------------------------------------------------

SHAPES = "{uniform: [low, high]}, {normal: {mean: …, sd: …}}, {gamma: {mean: …, shape: …}} or {p50: …, p95: …}"
# the value of `timing`, with a mark before each place that is told -> what is said there
WRONG: dict[str, list[str]] = {
    "{first: {p50: 2s, p95: ^400ms}}": ["p95 is below p50, 2s"],
    "{first: {p50: ^0, p95: 1s}}": ["p50 is above 0"],
    "{first: ^{p50: 1s}}": [f"expected one distribution: {SHAPES}; got the keys p50"],
    "{first: {p50: 1s, ^p96: 2s}}": [f"unknown distribution 'p96'; did you mean 'p99'? Expected {SHAPES}"],
    "{first: {^unifrom: [1s, 2s]}}": [f"unknown distribution 'unifrom'; did you mean 'uniform'? Expected {SHAPES}"],
    "{first: {uniform: [2s, ^1s]}}": ["the highest value is below the lowest, 2s"],
    "{first: {uniform: ^[1s]}}": ["expected the lowest and the highest value, such as [200ms, 600ms]"],
    "{first: {uniform: [1s, ^2]}}": ["expected a duration such as 250ms or 2s, got 2; did you mean '2s' or '2ms'?"],
    "{gap: {normal: {mean: 1s, sd: ^-5ms}}}": ["expected a duration such as 250ms or 2s, got '-5ms'"],
    "{gap: {normal: ^{mean: 1s, ^std: 5ms}}}": [
        "missing key 'sd' in normal",
        "unknown key 'std' in normal; did you mean 'sd'? Expected one of mean, sd",
    ],
    "{gap: {normal: ^1s}}": ["expected mean and sd of the normal distribution, got text"],
    "{gap: {gamma: {mean: ^0, shape: 2}}}": ["the mean of a gamma distribution is above 0"],
    "{gap: {gamma: {mean: 1s, shape: ^0}}}": ["expected a shape from 0.01 to 10000 such as 2, got 0"],
    "{per_input_token: ^0.2us}": ["expected a duration of a microsecond at least, or 0, got '0.2us'"],
    "{per_input_token: ^{p50: 1ms, p95: 2ms}}": [
        "expected a duration such as 250ms or 2s, got {'p50': '1ms', 'p95': '2ms'}"
    ],
    "{^ping: 1ms}": ["a ping comes after 10ms of silence at the earliest"],
    "{burst: ^0}": ["expected a number from 1 to 10000, or a range such as 1..10; got 0"],
    "{burst: ^5..2}": ["expected a number from 1 to 10000, or a range such as 1..10; got '5..2'"],
    "{burst: {p50: 8, p95: ^2}}": ["p95 is below p50, 8"],
    "{burst: {uniform: [^1ms, 2]}}": ["expected a number from 0 to 10000, got '1ms'"],
    "{chunk: all, ^burst: 2}": ["with chunk: all a text is one delta; there is nothing to put together"],
    "{chunk: ^{bytes: 0}}": [
        "unknown chunk {'bytes': 0}; expected one of token, word, sentence, all, a number of characters, or {bytes: 7}"
    ],
    "{pauses: ^2s}": ["expected a mapping such as {server_tool: 1500ms}, got text"],
    "{replay: ^[]}": ["expected a list of offsets such as [0ms, 410ms, 432ms], got an empty list"],
    "{replay: ^{}}": ["a replay has the offsets of all events, or of the deltas: {events: […]} or {deltas: […]}"],
    "{replay: [20ms], ^gap: 1ms}": ["a replay says when everything comes; take 'gap' out"],
    "{replay: [20ms, ^10ms]}": ["offsets never go back: 10ms after 20ms"],
    "{^replay: [20ms, 30ms]}": ["replay has 2 offsets; this reply has 1 delta, and each needs one"],
    "{^replay: {events: [20ms, 30ms]}}": ["replay has 2 offsets; this reply has 7 events, and each needs one"],
}


@pytest.mark.parametrize(("marked", "said"), WRONG.items(), ids=WRONG)
def test_a_mistake_says_where_what_and_what_instead(marked: str, said: list[str]) -> None:
    line = f"timing: {marked}"
    columns = [len(line[:at].replace("^", "")) + 1 for at, sign in enumerate(line) if sign == "^"]
    expected = [f"2:{column}: {text}" for column, text in zip(columns, said, strict=True)]
    assert mistakes("name: a\n" + line.replace("^", "") + "\nreply: hi") == expected


def test_an_unknown_pause_lists_the_known_ones() -> None:
    (said,) = mistakes("name: a\ntiming: {pauses: {server_tol: 2s}}\nreply: hi")
    assert said.startswith(
        "2:19: unknown pause 'server_tol'; did you mean 'server_tool'? Expected one of server_tool, "
    )


def test_python_says_it_in_the_same_words() -> None:
    written = {"first": {"p50": "400ms", "p95": "2s"}, "gap": {"uniform": ("1ms", "2ms")}, "burst": 3}
    made = build({"name": "a", "reply": "hi", "timing": written})
    assert made.timing == timing("{first: {p50: 400ms, p95: 2s}, gap: {uniform: [1ms, 2ms]}, burst: 3}")
    with pytest.raises(ScenarioError, match=r"^add\(\): p95 is below p50, 2s$"):
        build({"name": "a", "reply": "hi", "timing": {"first": {"p50": "2s", "p95": "1s"}}}, "add()")


# -- replays and the replies they stand for -------------------------------------------------------------------------


def test_a_replay_is_held_against_every_reply_that_inherits_it() -> None:
    text = """name: a
timing: {replay: [0ms, 10ms]}
turns:
  - cases:
      - {when: {prompt: x}, reply: one two}
      - {when: {prompt: y}, reply: one two three}
      - {when: {prompt: z}, reply: one two three, timing: {replay: [1ms, 2ms, 3ms, 4ms]}}
      - {when: {prompt: w}, reply: one two three, timing: fast}
      - error: 529
"""
    assert mistakes(text) == [
        "2:10: replay has 2 offsets; this reply has 3 deltas, and each needs one",
        "7:60: replay has 4 offsets; this reply has 3 deltas, and each needs one",
    ]


@pytest.mark.parametrize(
    "reply",
    ["{template: '{{ prompt }}'}", "[{type: text, text: a b c d, citations: [{cited_text: a}]}]"],
)
def test_a_replay_of_a_reply_that_only_a_request_makes_is_not_judged(reply: str) -> None:
    assert timing("{replay: [1ms]}", reply).replay is not None


def test_the_deltas_are_counted_as_the_timing_splits_them() -> None:
    assert timing("{replay: [1ms, 2ms], chunk: word, burst: 2}", "one two three four").replay is not None


# -- the pace by model ----------------------------------------------------------------------------------------------


def test_a_model_has_a_pace_of_its_own_and_others_the_usual() -> None:
    paces = pacing("model", load_profile("octen"))
    opus, haiku = paces.of("anthropic/claude-opus-4.8"), paces.of("anthropic/claude-haiku-4.5")
    assert opus.rate is not None
    assert haiku.rate is not None
    assert opus.rate < haiku.rate
    assert paces.of("openai/gpt-5.5") == paces.of("unheard-of") == PRESETS["realistic"]


def test_every_line_of_models_has_one_pace() -> None:
    profile = load_profile("anthropic")
    paces = pacing("model", profile)
    by_line = {line: [m for m in profile.models if m.line == line] for line in ("haiku", "sonnet", "opus", "fable")}
    for models in by_line.values():
        assert len({str(paces.of(model.id)) for model in models}) == 1
    rates = [paces.of(models[0].id).rate or 0 for models in by_line.values()]
    assert rates == sorted(rates, reverse=True)


def test_a_preset_is_the_pace_of_every_model() -> None:
    assert pacing("slow", load_profile("anthropic")).of("claude-haiku-5-5") == PRESETS["slow"]


def test_a_profile_of_ones_own_names_or_gives_a_pace(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "extends: octen\nmodels:\n"
        "  - {id: acme/quick, timing: fast}\n"
        "  - {id: acme/large, like: claude-opus-4-8, timing: {first: {uniform: [1s, 2s]}, rate: 9/s}}\n"
    )
    paces = pacing("model", load_profile(str(tmp_path / "mine.yaml")))
    assert isinstance(paces, ByModel)
    assert paces.of("acme/quick") == PRESETS["fast"]
    assert paces.of("acme/large") == Timing(first=Uniform(1e6, 2e6), rate=9.0)


def test_mistakes_in_the_pace_of_a_model_are_told_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "extends: octen\nmodels:\n  - {id: a, timing: fats}\n  - {id: b, timing: {first: 3}}\n"
    )
    with pytest.raises(ScenarioError) as caught:
        load_profile(str(tmp_path / "mine.yaml"))
    assert [str(one).rpartition("/")[2] for one in caught.value.problems] == [
        "mine.yaml:3:21: unknown timing 'fats'; did you mean 'fast'? Expected one of instant, fast, realistic, slow or a "
        "mapping",
        "mine.yaml:4:29: expected a duration such as 250ms or 2s, got 3; did you mean '3s' or '3ms'?",
    ]

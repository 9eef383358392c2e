"""Rate limits: buckets that fill up evenly, worked out by hand, and what a client is told."""

import itertools
import json
from dataclasses import replace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from manualclock import ManualClock

from mock_server.clock import VirtualClock
from mock_server.engine.engine import Engine
from mock_server.engine.limits import Buckets
from mock_server.protocol.profile import Limits, Profile
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

PROFILES = {name: load_profile(name) for name in ("octen", "anthropic")}
START = 1_790_000_000.0  # 2026-09-21T14:13:20Z


def test_a_bucket_lets_in_what_it_holds_and_says_when_there_is_room_again() -> None:
    buckets = Buckets(Limits(requests=2), START)
    assert [buckets.admit(START, 0) for _ in range(2)] == [None, None]
    refusal = buckets.admit(START, 0)
    assert refusal is not None
    assert (refusal.limit, refusal.size, refusal.retry_after) == ("requests", 2, 30)
    assert buckets.admit(START + 29, 0) is not None
    assert buckets.admit(START + 30, 0) is None


@given(st.floats(0.0, 1e6), st.floats(0.0, 1.0), st.sampled_from((1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)))
def test_who_waits_on_the_clock_for_as_long_as_it_is_told_gets_in(now: float, fraction: float, size: int) -> None:
    """Unix seconds are not exact to the last digit, and a clock that stands still does stand still."""
    clock = VirtualClock(Wobbling(now, START + fraction))
    clock.freeze()
    buckets = Buckets(Limits(requests=size), clock.unix())
    for _ in range(size):
        assert buckets.admit(clock.unix(), 0) is None
    refusal = buckets.admit(clock.unix(), 0)
    assert refusal is not None
    clock.advance(refusal.retry_after)
    assert buckets.admit(clock.unix(), 0) is None


class Wobbling:
    """A real clock: time passes between two looks, and not evenly."""

    def __init__(self, now: float, unix: float) -> None:
        self._now = now
        self._unix = unix
        self._steps = itertools.cycle((0.0, 0.003, 0.0001))

    def now(self) -> float:
        self._now += next(self._steps)
        return self._now

    def unix(self) -> float:
        self._unix += next(self._steps)
        return self._unix


def test_the_tightest_limit_is_the_one_that_is_named() -> None:
    buckets = Buckets(Limits(requests=60, input_tokens=600), START)
    assert buckets.admit(START, 600) is None
    refusal = buckets.admit(START, 300)
    assert refusal is not None
    assert (refusal.limit, refusal.retry_after) == ("input_tokens", 30)


def test_output_is_taken_on_credit_and_paid_back_before_the_next_request() -> None:
    buckets = Buckets(Limits(output_tokens=600), START)
    assert buckets.admit(START, 0) is None
    buckets.spend(START, 900)
    refusal = buckets.admit(START, 0)
    assert refusal is not None
    assert refusal.retry_after == 30
    assert buckets.admit(START + 30, 0) is None


def test_a_request_larger_than_the_bucket_waits_for_a_full_one() -> None:
    buckets = Buckets(Limits(input_tokens=100), START)
    assert buckets.admit(START, 250) is None  # full: let in on credit
    refusal = buckets.admit(START, 250)
    assert refusal is not None
    assert refusal.retry_after == 150


def test_requests_per_second() -> None:
    buckets = Buckets(Limits(requests_per_second=2, requests=100), START)
    assert [buckets.admit(START, 0) is None for _ in range(3)] == [True, True, False]
    assert buckets.admit(START + 0.5, 0) is None


def test_the_headers_tell_what_is_left() -> None:
    buckets = Buckets(Limits(requests=60, input_tokens=60_000, output_tokens=6_000), START)
    buckets.admit(START, 30_400)
    buckets.spend(START, 3_000)
    assert dict(buckets.headers(START)) == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2026-09-21T14:13:21Z",
        "anthropic-ratelimit-tokens-limit": "6000",
        "anthropic-ratelimit-tokens-remaining": "3000",
        "anthropic-ratelimit-tokens-reset": "2026-09-21T14:13:50Z",
        "anthropic-ratelimit-input-tokens-limit": "60000",
        "anthropic-ratelimit-input-tokens-remaining": "30000",
        "anthropic-ratelimit-input-tokens-reset": "2026-09-21T14:13:51Z",
        "anthropic-ratelimit-output-tokens-limit": "6000",
        "anthropic-ratelimit-output-tokens-remaining": "3000",
        "anthropic-ratelimit-output-tokens-reset": "2026-09-21T14:13:50Z",
    }
    families = {name.split("-")[1] for name, _ in buckets.headers(START, ("ratelimit", "priority", "fast"))}
    assert families == {"ratelimit", "priority", "fast"}


@given(
    size=st.integers(1, 50),
    steps=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40)), max_size=40),
)
@example(size=1, steps=[(0.0, 1), (0.999999, 1)])  # a wait that is a hair over whole seconds
def test_no_window_lets_in_more_than_the_limit_and_what_came_back(size: int, steps: list[tuple[float, int]]) -> None:
    buckets, now, taken = Buckets(Limits(input_tokens=size), 0.0), 0.0, 0
    for pause, tokens in steps:
        now += pause
        tokens = min(tokens, size)
        refusal = buckets.admit(now, tokens)
        if refusal is not None:
            now += refusal.retry_after
            assert buckets.admit(now, tokens) is None
        taken += tokens
        assert taken <= size + now * size / 60 + 1e-6


class Talk:
    """A client of an engine with limits, whose clock stands still."""

    def __init__(
        self, profile: str | Profile = "anthropic", script: str = "name: a\nreply: Yes.", **settings: Any
    ) -> None:
        self.clock = ManualClock()
        emulated = PROFILES[profile] if isinstance(profile, str) else profile
        self.engine = Engine(Settings(time_scale=0, **settings), emulated, self.clock)
        self.engine.load(loads(script))

    def ask(self, session: str = "a", **more: Any) -> tuple[int, dict[str, str], Any]:
        body = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **more}
        headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "x-mock-session": session}
        plan = self.engine.handle(HttpRequest("POST", "/v1/messages", headers, json.dumps(body).encode())).plan
        return plan.status, dict(plan.headers), json.loads(plan.body())


def test_limits_are_off_unless_asked_for() -> None:
    _, headers, _ = Talk().ask()
    assert not [name for name in headers if "ratelimit" in name]


def test_too_many_requests_are_refused_as_the_api_refuses_them() -> None:
    talk = Talk(rate_limits="requests=1")
    status, headers, _ = talk.ask()
    assert (status, headers["anthropic-ratelimit-requests-remaining"]) == (200, "0")
    status, headers, body = talk.ask()
    assert (status, headers["retry-after"], headers["anthropic-ratelimit-requests-remaining"]) == (429, "60", "0")
    assert body["error"]["type"] == "rate_limit_error"
    assert body["error"]["message"].startswith(
        "This request would exceed your organization's rate limit of 1 requests per minute"
    )
    talk.clock.advance(60)
    assert talk.ask()[0] == 200


def test_octen_says_it_in_its_own_words_and_without_headers() -> None:
    talk = Talk("octen", rate_limits="requests=1")
    talk.ask()
    status, headers, body = talk.ask()
    assert (status, body["error"]["message"]) == (429, "Exceeding the rate limit")
    assert not [name for name in headers if "ratelimit" in name or name == "retry-after"]


def test_the_priority_tier_and_the_fast_mode_tell_what_is_left_of_theirs() -> None:
    talk = Talk(replace(PROFILES["anthropic"], priority_tier=True), rate_limits="on")

    def families(**asked: Any) -> set[str]:
        return {name.split("-")[1] for name in talk.ask(model="claude-opus-4-8", **asked)[1] if name.endswith("-limit")}

    assert families() == {"ratelimit", "priority"}
    assert families(speed="fast") == {"ratelimit", "priority", "fast"}
    assert families(service_tier="standard_only") == {"ratelimit"}


def test_limits_are_counted_by_model_and_by_session() -> None:
    talk = Talk(rate_limits="requests=1")
    assert [talk.ask()[0], talk.ask(model="claude-opus-4-8")[0], talk.ask("b")[0], talk.ask()[0]] == [
        200,
        200,
        200,
        429,
    ]


def test_what_is_read_from_the_cache_is_free() -> None:
    talk = Talk(rate_limits="input_tokens=6000")
    block = {"type": "text", "text": " ".join(["word"] * 5000), "cache_control": {"type": "ephemeral"}}
    said = [{"role": "user", "content": [block]}]
    assert [talk.ask(messages=said)[0] for _ in range(5)] == [200] * 5
    assert talk.ask(messages=[{"role": "user", "content": "other " * 5000}])[0] == 429


def test_the_profiles_own_limits() -> None:
    talk = Talk(rate_limits="on")
    _, headers, _ = talk.ask()
    assert headers["anthropic-ratelimit-input-tokens-limit"] == "2000000"
    _, headers, _ = talk.ask(model="claude-fable-5")
    assert headers["anthropic-ratelimit-input-tokens-limit"] == "500000"


def test_a_scenario_has_limits_of_its_own() -> None:
    talk = Talk(script="name: a\nrate_limits: {requests: 2}\nreply: Yes.")
    assert [talk.ask()[0] for _ in range(3)] == [200, 200, 429]


def test_a_reset_fills_the_buckets() -> None:
    talk = Talk(rate_limits="requests=1")
    talk.ask()
    talk.engine.reset(talk.engine.sessions.named("a"))
    assert talk.ask()[0] == 200

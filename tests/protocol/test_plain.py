"""The plainest request: what is one, and that no rule has anything to say about any that is called so."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.rules import RULES, is_plain, judge
from mock_server.protocol.rules.parameters import PARAMETERS
from mock_server.scenario.profiles import load_profile

PROFILES = {name: load_profile(name) for name in ("octen", "anthropic")}
PLAIN = {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="nothing more"),
        pytest.param({"stream": True}, id="stream"),
        pytest.param({"system": "Be brief."}, id="system"),
        pytest.param({"metadata": {"user_id": "u-1"}}, id="metadata"),
    ],
)
def test_what_most_tests_send_is_plain(more: dict[str, Any], profile: str) -> None:
    assert is_plain(MessagesRequest({**PLAIN, **more}), PROFILES[profile])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"model": "gpt-5"}, id="an unknown model"),
        pytest.param({"max_tokens": 10_000_000}, id="a large limit"),
        pytest.param({"max_tokens": True}, id="a limit that is no number"),
        pytest.param({"temperature": 1}, id="what depends on the model"),
        pytest.param({"messages": [*PLAIN["messages"], {"role": "assistant", "content": "Yes"}]}, id="two messages"),
        pytest.param({"messages": [{"role": "user", "content": " "}]}, id="an empty message"),
        pytest.param({"system": [{"type": "text", "text": "Be brief."}]}, id="blocks"),
    ],
)
def test_anything_else_is_for_the_rules(change: dict[str, Any]) -> None:
    assert not is_plain(MessagesRequest({**PLAIN, **change}), PROFILES["anthropic"])


def test_a_beta_is_for_the_rules() -> None:
    assert not is_plain(MessagesRequest(PLAIN, {"anthropic-beta": "x"}), PROFILES["anthropic"])


# values near what is allowed, right and wrong
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 5, 4096, 64_000, 10**9, 1.0, 1.5]),
    st.sampled_from(["", " ", "Hi", "user", "claude-opus-4-8", "claude-haiku-4-5", "x" * 300]),
    st.sampled_from([[], {}, ["Hi"], {"user_id": "u"}, {"user_id": 1}, {"type": "text", "text": "Hi"}]),
)
QUESTION = {"role": "user", "content": "Hi"}
MESSAGES = st.one_of(
    st.builds(lambda role: [{**QUESTION, "role": role}], st.sampled_from(["user", "assistant", "system", ""])),
    st.builds(lambda content: [{**QUESTION, "content": content}], VALUES),
    st.builds(lambda value: [{**QUESTION, "name": value}], VALUES),
    st.lists(st.just(QUESTION), max_size=2),
    VALUES,
)
CHANGE = st.one_of(
    st.fixed_dictionaries({}),
    st.fixed_dictionaries({"messages": MESSAGES}),
    st.builds(lambda limit: {"max_tokens": limit}, st.integers(-1, 200_000)),
    st.builds(lambda name, value: {name: value}, st.sampled_from([*PARAMETERS, "unknown"]), VALUES),
)


@given(changes=st.lists(CHANGE, max_size=2), profile=st.sampled_from(sorted(PROFILES)))
@settings(max_examples=300)
def test_no_rule_has_anything_to_say_about_a_plain_request(changes: list[dict[str, Any]], profile: str) -> None:
    """A plain request with up to two things changed, which may leave it plain."""
    request = MessagesRequest({**PLAIN, **{name: value for change in changes for name, value in change.items()}})
    if is_plain(request, PROFILES[profile]):
        judge(RULES, request, PROFILES[profile], has_cache_marks=True)

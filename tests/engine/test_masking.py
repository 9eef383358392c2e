"""What is a secret and what only looks like one."""

import json
import random

import pytest

from mock_server.engine.masking import (
    is_secret,
    key_mark,
    masked,
    masked_events,
    masked_headers,
    masked_pieces,
    masked_query,
    without_secrets,
)

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("my key is sk-ant-api03-aB_c-9.", "sk-ant-api03-aB_c-9"),
        ("cut: sk-ant-a", "sk-ant-a"),
        ("sk-proj-abcdefghijklmnop", "sk-proj-abcdefghijklmnop"),
        ("authorization: Bearer abc.def/ghi==", "abc.def/ghi=="),
        ("Bearer opensesame", "opensesame"),
        ("bearer 7f3a9c", "7f3a9c"),
        (json.dumps("a\nsk-ant-x1"), "sk-ant-x1"),
        (json.dumps("Bearer\n  abc123"), "abc123"),
        (json.dumps(json.dumps({"key": "a\tsk-ant-x1"})), "sk-ant-x1"),
        (f"token={JWT};", JWT),
        ("AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY", "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"),
        ('{"mcp_servers":[{"authorization_token": "open sesame"}]}', "open sesame"),
    ],
)
def test_what_is_shaped_like_a_secret_is_masked(text: str, secret: str) -> None:
    assert secret in text
    assert masked(text) == text.replace(secret, key_mark(secret))


@pytest.mark.parametrize(
    "text",
    [
        "a task-management-of-many-words-is-none",
        "disk-sk-ant-farm",
        "sk-short",
        "Bearer authentication is what the API wants; a Bearer token",
        "the bearer of good news",
        "eyJust.a.word",
        key_mark("k"),
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "apikey",
        "api-key",
        "key[api_key]",
        "x-goog-api-key",
        "x-auth-token",
        "token",
        "access_token",
        "accessToken",
        "client_secret",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        "X-Amz-Credential",
        "password",
        "sig",
        "set-cookie",
        "Ocp-Apim-Subscription-Key",
        "x-functions-key",
        "x" * 100_000 + "-token",
    ],
)
def test_names_that_secrets_go_under(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "beta",
        "limit",
        "after_id",
        "x-mock-session",
        "idempotency-key",
        "max_tokens",
        "anthropic-ratelimit-input-tokens-remaining",
        "tokens",
        "user-agent",
        "content-type",
        "monkey",
        "token_count",
        "token" + "x" * 100_000,
        "x" * 100_000 + "token",
    ],
)
def test_names_that_none_go_under(name: str) -> None:
    assert not is_secret(name)


def test_a_query_keeps_all_but_its_secrets_and_their_spelling() -> None:
    assert masked_query("beta=true&api%5Fkey=s3&q=a%20b&ids[]=1&flag&token=&x=Bearer%20abc123") == (
        f"beta=true&api%5Fkey={key_mark('s3')}&q=a%20b&ids[]=1&flag&token=&x=Bearer+{key_mark('abc123')}"
    )
    assert masked_query("") == ""


def test_headers_that_are_marks_already_stay() -> None:
    given = {"x-api-key": key_mark("k"), "x-goog-api-key": "g", "referer": "http://a/?t=sk-ant-1", "accept": "*/*"}
    assert masked_headers(given) == {
        "x-api-key": key_mark("k"),
        "x-goog-api-key": key_mark("g"),
        "referer": f"http://a/?t={key_mark('sk-ant-1')}",
        "accept": "*/*",
    }


def test_a_secret_in_pieces_is_masked_however_it_is_cut() -> None:
    text = f"a sk-ant-abcdef-1 b Bearer abc.def9 {JWT} end"
    chance = random.Random(7)
    for _ in range(300):
        cuts = sorted(chance.randrange(len(text) + 1) for _ in range(chance.randrange(12)))
        pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        shown = masked_pieces(pieces)
        assert len(shown) == len(pieces)
        assert "".join(shown) == masked(text)


def test_the_events_of_a_stream_are_masked_over_their_deltas() -> None:
    def delta(text: str) -> dict[str, object]:
        return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}

    shown = masked_events([delta("key sk-"), {"type": "ping"}, delta("ant-"), delta("abc, ok")])
    assert shown == [delta(f"key {key_mark('sk-ant-abc')}"), {"type": "ping"}, delta(""), delta(", ok")]
    parts = [{"type": "completion", "completion": text} for text in ("sk-a", "nt-abc")]
    assert [one["completion"] for one in masked_events(parts)] == [key_mark("sk-ant-abc"), ""]


def test_a_scenario_looks_for_the_longest_part_without_a_secret() -> None:
    assert without_secrets("use sk-ant-abc to ask for the weather") == "to ask for the weather"
    assert without_secrets("How is the weather?") == "How is the weather?"

"""What is done in steps for long bodies comes to the same as what is done at once."""

import base64
import json
from collections.abc import Callable
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server.protocol import request, signing, tokens
from mock_server.protocol.errors import ApiError
from mock_server.protocol.request import MessagesRequest, parse_json

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def read(text: str, *, at_once: int) -> Any:
    """The value of a text, or the message of its error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request, "_SHORT_TEXT", at_once)
        patch.setattr(request, "_VALUES_AT_ONCE", at_once)
        try:
            return parse_json(text.encode("utf-8", "replace"))
        except ApiError as error:
            return str(error)


@given(
    value=JSON,
    spoilt=st.sampled_from(["", "", "x", ",", "}", "]", '"', "\\", "1e999", "NaN", "\ud83d"]),
    at=st.integers(0, 200),
)
def test_json_is_read_alike(value: Any, spoilt: str, at: int) -> None:
    text = json.dumps(value, indent=at % 3 or None)
    text = text[: at % (len(text) + 1)] + spoilt + text[at % (len(text) + 1) :]
    assert repr(read(text, at_once=-1)) == repr(read(text, at_once=50_000))


PARTS = [
    "a",
    "bc",
    "é",
    "😀",
    "u",
    "d83d",
    "de00",
    r"\n",
    r"\\",
    r"\"",
    r"\u00e9",
    r"\ud83d\ude00",
    r"\ud83d",
    r"\uDE00",
]


@given(parts=st.lists(st.sampled_from([*PARTS, *PARTS, r"\x", r"\u12", "\t"]), max_size=40), ends=st.booleans())
def test_a_string_is_read_alike_however_it_is_cut(parts: list[str], ends: bool) -> None:
    text = '["' + "".join(parts) + ('", 1]' if ends else "")

    def found(read: Callable[[str, int], tuple[str, int]]) -> tuple[object, int]:
        try:
            return read(text, 2)
        except json.JSONDecodeError as error:
            return error.msg, error.pos

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request, "_FIRST_PIECE", 16)
        patch.setattr(request, "_LARGEST_PIECE", 32)
        assert found(request._string) == found(lambda text, at: scanstring(text, at, True))


@pytest.mark.parametrize(
    "text",
    ["", " ", "[", "[1", "[1,]", '{"a"}', '{"a":}', '{"a":1,}', "{1:2}", '["\t"]', "nul", "[1 2]", "1 2", "-", "\\u12"],
)
def test_mistakes_are_told_alike(text: str) -> None:
    assert read(text, at_once=-1) == read(text, at_once=50_000)
    assert "not valid JSON" in read(text, at_once=-1)


@given(
    contents=st.lists(JSON.filter(lambda value: isinstance(value, str | list)), max_size=5),
    system=JSON,
    piece=st.integers(1, 50),
)
def test_a_fingerprint_is_the_same_however_long_its_request_is(contents: list[Any], system: Any, piece: int) -> None:
    body = {
        "model": "m",
        "system": system,
        "tools": [{"name": "é", "cache_control": {"type": "ephemeral"}, "strict": None}],
        "messages": [{"role": "user", "content": one} for one in contents],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request, "LONG", 0)
        patch.setattr(request._DigestInSteps, "PIECE", piece)
        in_steps = MessagesRequest(body, {}, b"{}").fingerprint
    assert in_steps == MessagesRequest(body).fingerprint


@given(text=st.text() | st.text("ab 1.\n", max_size=99), most=st.integers(0, 40))
def test_the_first_tokens_of_a_text_are_cut_off_without_a_look_at_the_rest(text: str, most: int) -> None:
    assert tokens.head(text, most) == "".join(tokens.split(text)[:most])


@given(data=st.binary(max_size=40), spoilt=st.sampled_from(["", "=", "A", "é", "\n"]), at=st.integers(0, 60))
def test_a_signature_is_decoded_alike_however_it_is_cut(data: bytes, spoilt: str, at: int) -> None:
    text = base64.b64encode(data).decode()
    text = text[:at] + spoilt + text[at:]
    whole = signing._decoded(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signing, "_PIECE", 8)
        assert signing._decoded(text) == whole
    assert whole is None or base64.b64encode(whole).decode() == text

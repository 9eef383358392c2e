"""Tokens, chunks, cut JSON and frames: what is split can be joined again."""

import itertools
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server.protocol import message, sse, tokens
from mock_server.protocol.chunk import Burst, Bytes, Chunk, pieces
from mock_server.scenario.timing import Lognormal, Uniform

CHUNKS: list[Chunk] = [
    *("token", "word", "sentence", "all", 1, 7),
    *(Bytes(1), Bytes(7), Burst("token", 3), Burst("word", Uniform(0.501, 4.499)), Burst(Bytes(2), Lognormal(2, 0.7))),
]
SAMPLES = [
    "",
    " ",
    "Hello, world.",
    "a\n\n b",
    "naïve café",
    "漢字かな",
    "🎉👨‍👩‍👧",
    "שלום עולם",
    "e\u0301",
    "x = {1: 'y'}\n",
]


@given(st.text())
def test_tokens_joined_are_the_text_again(text: str) -> None:
    assert "".join(tokens.split(text)) == text
    assert tokens.count(text) == len(tokens.split(text))


@pytest.mark.parametrize("chunk", CHUNKS)
@given(text=st.text() | st.sampled_from(SAMPLES))
def test_pieces_joined_are_the_text_again(chunk: Chunk, text: str) -> None:
    assert "".join(pieces(text, chunk)) == text
    assert all(pieces(text, chunk))


@pytest.mark.parametrize("chunk", CHUNKS, ids=str)
@given(text=st.text(), kept=st.integers(1, 50))
def test_a_shorter_text_begins_alike(chunk: Chunk, text: str, kept: int) -> None:
    """What max_tokens cuts streams the deltas of the whole text, but for the one the cut falls in."""
    split = tokens.split(text)
    shorter = pieces("".join(split[:kept]), chunk)
    if len(split) > kept and chunk not in ("word", "sentence", "all"):  # where those end depends on what follows
        assert shorter[:-1] == pieces(text, chunk)[: max(0, len(shorter) - 1)]


@pytest.mark.parametrize("most", [1, 2, 3, 4, 7])
@given(text=st.text(st.characters(codec=None), min_size=1))
def test_bytes_never_split_a_character_and_fill_each_delta(most: int, text: str) -> None:
    sizes = [[len(letter.encode("utf-8", "surrogatepass")) for letter in piece] for piece in pieces(text, Bytes(most))]
    assert all(sum(piece) <= most or len(piece) == 1 for piece in sizes)
    assert all(sum(piece) + following[0] > most for piece, following in itertools.pairwise(sizes))


def test_a_burst_puts_units_together() -> None:
    assert pieces("one two three four five", Burst("word", 2)) == ["one two", " three four", " five"]
    assert pieces("a lone surrogate \ud800 at the end", Burst("token", Uniform(1, 3)))


def test_the_sizes_of_drawn_bursts_are_of_their_distribution_and_always_the_same() -> None:
    text = "w " * 20_000
    counts = [len(tokens.split(piece)) for piece in pieces(text, Burst("token", Uniform(0.501, 4.499)))]
    assert set(counts) == {1, 2, 3, 4}
    assert [round(counts.count(n) / len(counts), 1) for n in (1, 2, 3, 4)] == pytest.approx([0.25] * 4, abs=0.06)
    assert counts == [len(tokens.split(piece)) for piece in pieces(text, Burst("token", Uniform(0.501, 4.499)))]


@given(st.text(), st.integers(0, 50))
def test_a_text_cut_at_a_token_has_the_same_tokens_before_it(text: str, kept: int) -> None:
    split = tokens.split(text)
    assert tokens.split("".join(split[:kept])) == split[:kept]


@pytest.mark.parametrize(
    ("text", "count"), [("Hello, world.", 4), ("interesting", 2), ("12345", 2), ("漢字", 2), ("", 0)]
)
def test_the_estimate(text: str, count: int) -> None:
    assert tokens.count(text) == count


def test_the_counter_remembers_no_more_than_its_budget() -> None:
    counter = tokens.TokenCounter(budget=10)
    assert [counter.count(text) for text in ("Hello", "Hello", "other", "words", "Hello")] == [1, 1, 1, 1, 1]
    assert sum(map(len, counter._counts)) <= 10


DOCUMENTS = ['{"city": "Paris", "days": [1, 2.5, null], "deep": {"a": "x \\"y\\"", "b": true}}', '[1, [2, {}], "é"]']


@pytest.mark.parametrize("text", DOCUMENTS)
def test_json_cut_anywhere_is_what_was_complete(text: str) -> None:
    whole = json.loads(text)
    assert message.loads(text) == whole
    for end in range(len(text)):
        assert within(message.loads(text[:end]), whole), text[:end]


def within(part: Any, whole: Any) -> bool:
    """Whether `part` says nothing that `whole` does not; a number may be cut among its digits."""
    if part == {}:
        return True
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and within(part[key], whole[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and all(map(within, part, whole))
    return bool(part == whole) or isinstance(part, int | float)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"city": "Paris", "coun', {"city": "Paris"}),
        ('{"city": "Paris", "country": "Fr', {"city": "Paris"}),
        ('{"city": "Par', {}),
        ('{"a": [1, 2', {"a": [1, 2]}),
        ('{"a": {"b": 1}', {"a": {"b": 1}}),
        ("", {}),
        ("nonsense", {}),
    ],
)
def test_what_is_kept_of_cut_json(text: str, value: Any) -> None:
    assert message.loads(text) == value


@given(st.text(alphabet='{}[]",:\\ab1 \n'))
def test_no_text_at_all_makes_the_reader_of_cut_json_fail(text: str) -> None:
    message.loads(text)


JSON_TEXT = st.text(st.characters(codec="utf-8")) | st.sampled_from(
    ["\u2028", "a\nb\r\n\n", "\ud800".replace("\ud800", "x")]
)


@given(st.lists(JSON_TEXT, max_size=5))
def test_frames_read_back_are_the_payloads(texts: list[str]) -> None:
    payloads = [{"type": "content_block_delta", "text": text} for text in texts]
    assert list(sse.parse(b"".join(map(sse.frame, payloads)))) == payloads


def test_a_frame_has_its_event_and_one_line_of_data() -> None:
    assert sse.frame({"type": "ping", "a": "é\n"}) == 'event: ping\ndata: {"type":"ping","a":"é\\n"}\n\n'.encode()


def test_a_lone_surrogate_is_sent_as_its_escape() -> None:
    assert json.loads(sse.encode(sse.dumps("\ud800"))) == "\ud800"


@pytest.mark.parametrize("short", [0, 100])
@pytest.mark.parametrize("piece", [16, 64, 1 << 16])
@given(text=st.text(st.sampled_from("ab0_ .\n\t\x1c\x7f\x00zZ9é語я\u3000"), max_size=300), times=st.integers(1, 30))
def test_counting_is_splitting_however_it_is_done(short: int, piece: int, text: str, times: int) -> None:
    text = "".join(char * (times if at % 7 == 3 else 1) for at, char in enumerate(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "_SHORT", short)
        patch.setattr(tokens, "_PIECE", piece)
        assert tokens.count(text) == len(tokens.split(text))
        assert tokens.count(ascii(text)) == len(tokens.split(ascii(text)))


KINDS_OF_TEXT = ("a", "1", " ", "ab 1_.\n", "abcdefghijklm no", "12345678 9", " \n.a", "_ ")


@pytest.mark.parametrize("size", [4095, 4096, 4097, 65_535, 65_536, 65_537])
@pytest.mark.parametrize("letters", KINDS_OF_TEXT)
def test_counting_is_splitting_in_long_texts_of_few_letters(letters: str, size: int) -> None:
    rng = Random(size)
    for text in ((letters * size)[:size], "".join(rng.choices(letters, k=size))):
        assert tokens.count(text) == len(tokens.split(text))

"""Letters composed and decomposed and spaces of every kind match alike; what only looks the same is told by its code points.

A client's prompt comes from a Mac's file names (NFD), a web page (no-break spaces) or a word processor (curly quotes); the
scenario was typed.
"""

import random
import time
import unicodedata
from typing import Any

import pytest

from mock_server.engine.choose import Lookup
from mock_server.engine.session import Cursors
from mock_server.protocol.request import MessagesRequest
from mock_server.scenario.conversation import ConditionContext, compose
from mock_server.scenario.load import build

COMPOSED, DECOMPOSED = "Jos\u00e9 in Z\u00fcrich", "Jose\u0301 in Zu\u0308rich"
SPACES = ["\u00a0", "\u202f", "\u2009", "\u3000", "\u2003", "\u205f", "\u1680"]
CURLY = "it\u2019s"
CYRILLIC = "\u0421\u043ese"  # two letters of another alphabet, then two of ours


def facts(said: Any, **body: Any) -> ConditionContext:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": said}], "system": said, **body}
    return Lookup(MessagesRequest(body), {}, "k", Cursors()).newest


def met(when: Any, said: str) -> bool:
    condition = build({"name": "a", "when": when, "reply": "x"}).when
    assert condition is not None
    return condition.holds(facts(said))


def missed(when: Any, said: str, **body: Any) -> str:
    condition = build({"name": "a", "when": when, "reply": "x"}).when
    assert condition is not None
    found = condition.match(facts(said, **body))
    assert not found.ok
    return found.reason


@pytest.mark.parametrize(("written", "sent"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
@pytest.mark.parametrize("subject", ["prompt", "last_message", "system"])
def test_letters_match_however_they_are_composed(subject: str, written: str, sent: str) -> None:
    for wanted in (written, [written], {"contains": written}, {"contains": written, "ignore_case": True}):
        assert met({subject: wanted}, f"Where is {sent}?")
    assert met({subject: {"contains": written.lower(), "ignore_case": True}}, sent)
    assert not met({subject: {"contains": written.lower()}}, sent)  # the case counts as it did


@pytest.mark.parametrize("space", ["  ", "\n", "\t", "\r", "\v", "\f", " \r\n "], ids=repr)
def test_white_space_of_any_length_and_kind_is_one_space(space: str) -> None:
    for written, sent in (("two words", f"TWO{space}WORDS"), (f"Two{space}words", "two words")):
        assert met({"prompt": written}, f"In {sent}.")


@pytest.mark.parametrize("space", SPACES, ids=lambda space: f"{ord(space):04x}")
def test_spaces_match_whatever_their_kind(space: str) -> None:
    for written, sent in (("10 000 \u20ac", f"10{space}000{space}\u20ac"), (f"10{space}000", "10 000")):
        assert met({"prompt": written}, f"It costs {sent}.")
        assert met({"prompt": {"contains": written}}, f"It costs {sent}.")
        assert met({"body": {"messages[0].content": {"contains": written}}}, f"It costs {sent}.")


def test_a_bare_letter_is_not_found_in_one_with_an_accent() -> None:
    assert not met({"prompt": "jose"}, COMPOSED)
    assert not met({"prompt": "jose"}, DECOMPOSED)
    assert met({"prompt": {"regex": "Jose"}}, DECOMPOSED)  # a regular expression sees what came


@pytest.mark.parametrize(
    ("when", "said", "told"),
    [
        ({"prompt": {"equals": COMPOSED}}, DECOMPOSED, "has U+0065 U+0301 where U+00E9 is wanted"),
        ({"prompt": {"equals": DECOMPOSED}}, COMPOSED, "has U+00E9 where U+0065 U+0301 is wanted"),
        ({"prompt": {"equals": "10 000"}}, "10\u00a0000", "has U+00A0 where U+0020 is wanted"),
        ({"prompt": {"in": ["5", "10 000"]}}, "10\u202f000", "has U+202F where U+0020 is wanted"),
        ({"prompt": {"regex": "costs 10 000"}}, "It costs 10\u00a0000.", "has U+00A0 where U+0020 is wanted"),
        ({"prompt": "it's"}, f"Yes, {CURLY} so", "has U+2019 where U+0027 is wanted"),
        ({"prompt": "Cose"}, CYRILLIC, "has U+0421 where U+0063 is wanted"),
        ({"prompt": "half-open"}, "half\u2011open", "has U+2011 where U+002D is wanted"),
        ({"prompt": "weather"}, "wea\u200bther", "has U+0061 U+200B where U+0061 is wanted"),
        ({"body": {"messages[0].content": COMPOSED}}, DECOMPOSED, "has U+0065 U+0301 where U+00E9 is wanted"),
    ],
)
def test_a_miss_between_lookalikes_names_the_code_points(when: Any, said: str, told: str) -> None:
    assert missed(when, said).endswith(f"(it looks the same, but {told})")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [({"equals": "hi"}, "Hi"), ("caf\u00e9", "cafe"), ("tea", COMPOSED), ({"equals": "Z\u00fcrich"}, "z\u00fcrich")],
)
def test_other_misses_are_told_as_they_were(wanted: Any, said: str) -> None:
    assert "looks the same" not in missed({"prompt": wanted}, said)


LETTERS = [
    *"aeiouAn é",
    "\u0301",
    "\u0323",
    "\u0308",
    "\u3099",
    "か",
    "漢",
    "한",
    "\u1100",
    "\u1161",
    "\u11a8",
    "\u09c7",
    "\u09be",
    "Å",
]


def test_a_long_text_is_composed_as_a_short_one() -> None:
    draw = random.Random(17)
    for _ in range(100):
        text = "".join(draw.choice(LETTERS) for _ in range(draw.randrange(500, 3_000)))
        assert compose(text) == unicodedata.normalize("NFC", text)


def test_marks_without_end_on_one_letter_take_no_longer_than_other_letters() -> None:
    start = time.thread_time()
    compose("a" + "\u0301\u0323" * 100_000)  # as it is, that takes Python minutes
    assert time.thread_time() - start < 2

"""Regular expressions: they mean what `re` says, whichever engine searches, and none takes more than a request may."""

import re
import subprocess
import sys
import time
import warnings
from typing import Any

import pytest
from attacks import SEARCHES
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mock_server.protocol import expression
from mock_server.protocol.expression import Allowance, Expression, OverLimit, Purse, bounded

# -- the meaning is that of `re` -------------------------------------------------------------------------------------

# patterns of one kind each, and texts on which engines differ
CORPUS = [
    (r"(?P<city>[A-Z]\w+)", ["in Paris", "in Łódź", "in paris"]),
    (r"weather in (?P<city>\w+(?: \w+)*)", ["weather in New York!", "weather in São Paulo"]),
    (r"order (\d+)", ["order 12", "order ١٢", "order x"]),
    (r"^\s*(?P<key>\w+)\s*=\s*(?P<value>.*)$", ["a = b", "a = b\n", "a\x1f=\x1fb", "\u2028a =", "a = b\nc"]),
    (r"(?i)straße|ſet|kelvin", ["STRASSE", "STRAẞE", "SET", "KELVIN"]),
    (r"(?i)[a-z]+", ["ſ", "K", "ı", "İ", "É"]),
    (r"(?i)É(?P<x>[α-ω]+)", ["éΣς", "éΩ", "e\u0301ω"]),
    (r"(?ai)[k-s]+\W", ["Kk!", "KK!", "éé"]),
    (r"(?x) a \s b  # and a remark", ["a b", "ab"]),
    (r"(?s)a.b", ["a\nb", "a😀b"]),
    (r"a.b", ["a\nb", "a\u2028b", "a\rb"]),
    (r"(?m)^b$", ["a\nb\nc", "a\nb", "ab"]),
    (r"(?P<x>a$)", ["a", "a\n", "a\n\n"]),
    (r"a\Z|b$", ["a", "a\n", "b\n", "b\n\n"]),
    (r"\bé\b|\Bb", ["é", "né", "ab", "b", ""]),
    (r"\d\D\s\S\w\W", ["1a a_!", "٣x\u00a0y_\u0301"]),
    (r"[^\W\d_]+", ["_1", "中", "\u0301"]),
    (r"(?P<a>x)|(?P<b>y)", ["y", "x", ""]),
    (r"(?:(?P<a>x)|(?P<b>y))+", ["xyx", "yyx", "xy"]),
    (r"(?P<a>a*)*b", ["aab", "b"]),
    (r"(?P<x>a+?)(?P<y>a*)", ["aaa"]),
    (r"(?P<empty>)", ["", "a"]),
    (r"(?=.*\d)(?P<word>\w{3,})", ["abc1", "abc", "äbc1"]),
    (r"(?<!\w)(?P<q>['\"])(?P<said>.*?)(?P=q)", ["say 'hi' now", "say \"hi'"]),
    (r"(?i)(a)\1", ["aA", "ab"]),
    (r"(x)?(?(1)y|z)", ["xy", "z", "xz"]),
    (r"[\ud800-\udfff]", ["\ud800", "a"]),
    (r"a.b", ["a\udc00b"]),
    (r"(foo){i}", ["foo{i}", "fo"]),  # `regex` takes the braces for a fuzzy match
    (r"(?:foo){e<=1}", ["foo{e<=1}", "fo"]),
    (r"[[a]&&b]", ["[&b]", "a]"]),
    (r"\x41\u00e9\N{BULLET}\0", ["Aé•\0"]),
    (r"a{0}b{2,3}c{,2}", ["bbb", "b"]),
    ("a{3000}", ["a" * 3000, "a" * 2999]),
]


UNHURRIED = Purse(60.0, 300_000_000, 50_000)


def same(pattern: str, text: str) -> None:
    """The expression finds in a text what `re` finds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, ours = re.search(pattern, text), Expression(pattern)
    held = {} if found is None else {name: said for name, said in found.groupdict().items() if said is not None}

    unhurried = Allowance()
    unhurried.scenario = UNHURRIED
    with bounded(unhurried):  # a busy machine changes nothing
        assert (ours.found_in(text), ours.captures(text)) == (found is not None, held)


@pytest.mark.parametrize(("pattern", "texts"), CORPUS, ids=[repr(pattern) for pattern, _ in CORPUS])
def test_it_finds_what_re_finds(pattern: str, texts: list[str]) -> None:
    for text in texts:
        for written in (text, f"{text}\n", f"x {text}é", f"{text}\ud800"):
            same(pattern, written)


ALPHABET = [*"abkKsSiI1_ -\n.", *"éÉſıİKßẞΣςσ١中ǅﬅﬆ", "\u0301", "\x85", "\u2028", "\x1c", "\U00010400", "\ud800"]
ATOMS = st.one_of(
    st.sampled_from([re.escape(char) for char in ALPHABET]),
    st.sampled_from([r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", ".", r"\b", r"\B", "^", "$", r"\A", r"\Z"]),
    st.sampled_from(["[a-z]", "[^k]", r"[\w.]", r"[^\Wé]", "[α-ω]", "[ſß]", "[\x80-\uffff]", r"[^\n]", r"[\s\d]"]),
    st.sampled_from([r"(?=\w)", "(?!a)", r"(?<=\w)", "(?<!ab)", r"\1", "(?(1)a|b)"]),
)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = st.sampled_from(["({})", "(?:{})", "(?P<n#>{})", "(?i:{})", "(?s:{})", "(?m:{})", "(?-i:{})", "(?a:{})"])
    repeats = st.sampled_from(["", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}"])
    grouped = st.builds(lambda way, said, times: way.replace("{}", said) + times, groups, inner, repeats)
    return grouped | st.lists(inner, min_size=2, max_size=3).map("".join) | st.builds("(?:{}|{})".format, inner, inner)


PATTERNS = st.builds(
    lambda flags, said: flags + re.sub("#", lambda found: str(found.start()), said),
    st.sampled_from(["", "", "(?i)", "(?m)", "(?s)", "(?im)", "(?a)", "(?ai)"]),
    st.recursive(ATOMS, _larger, max_leaves=8),
)


@settings(max_examples=400, deadline=None)
@given(pattern=PATTERNS, text=st.lists(st.sampled_from(ALPHABET), max_size=8).map("".join))
def test_any_pattern_finds_what_re_finds(pattern: str, text: str) -> None:
    try:
        re.compile(pattern)
    except re.error:
        assume(False)
    for written in (text, text + "\n"):
        same(pattern, written)


def test_case_is_ignored_as_re_ignores_it_for_every_character() -> None:
    cases = expression._cases(0x10FFFF)
    every = "".join(chr(code) for codes in cases.values() for code in codes)
    for codes in cases.values():
        for code in codes:
            assert {*re.findall(re.escape(chr(code)), every, re.IGNORECASE)} == {*map(chr, codes)}


def test_no_character_beyond_those_looked_at_is_of_a_word_or_has_a_case() -> None:
    rest = "".join(map(chr, range(expression._LAST_CASED + 1, 0x110000)))
    assert rest.lower() == rest.upper() == rest
    assert not re.search(r"[\w\d\s]", rest[expression._LAST_OF_A_KIND - expression._LAST_CASED :])


@pytest.mark.parametrize("pattern", ["(", "a**", "[z-a]", r"(?P<1>a)", r"\p{L}", "(?<=a+)b", "(?L)a"])
def test_what_is_no_expression_for_re_is_none_here(pattern: str) -> None:
    with pytest.raises((re.error, ValueError)):
        Expression(pattern).found_in("ab")


# -- every search ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_client", [False, True])
@pytest.mark.parametrize(("pattern", "text"), SEARCHES, ids=[pattern for pattern, _ in SEARCHES])
def test_a_search_ends(pattern: str, text: str, of_client: bool) -> None:
    searched = Expression(pattern, of_client=of_client)
    with bounded():
        start = time.thread_time()
        for _ in range(20):
            try:
                assert not searched.found_in(text)
            except OverLimit:
                break
        took = time.thread_time() - start

    assert took < 0.5  # of the processor's time: all the searches of a request together


def test_all_searches_of_a_request_share_one_allowance() -> None:
    slow, other = Expression(r"(a)(\1|a)+b"), Expression("(?=a)a")
    with bounded():
        with pytest.raises(OverLimit, match="more than 30 ms of matching in one request"):
            slow.found_in("a" * 60)
        with pytest.raises(OverLimit):
            other.found_in("a")
    assert other.found_in("a")  # another request


def test_what_a_client_sent_leaves_the_scenarios_theirs() -> None:
    with bounded():
        with pytest.raises(OverLimit, match="more than 20 ms"):
            Expression(r"(a)(\1|a)+b", of_client=True).found_in("a" * 60)
        assert Expression("(?=a)a").found_in("a")


def test_steps_are_counted_before_the_search() -> None:
    wide = Expression(r"[ab]{1,30}c[ab]{1,30}c", of_client=True)
    with bounded() as left:
        assert not wide.found_in("ab" * 2_000)
        spent = 3_000_000 - left.client.steps
        left.client.steps = spent - 1
        with pytest.raises(OverLimit, match="more than 3,000,000 steps of matching in one request"):
            wide.found_in("ab" * 2_000)


def test_a_text_of_megabytes_is_searched_at_once() -> None:
    assert Expression(r"foo.*bar").found_in("x" * 5_000_000 + "foo and bar")
    assert not Expression(r"(?i)error \d+").found_in("x" * 5_000_000)


@pytest.mark.parametrize(("pattern", "text"), SEARCHES[:6])
def test_without_re2_the_other_engine_does_it_in_its_time(
    monkeypatch: pytest.MonkeyPatch, pattern: str, text: str
) -> None:
    monkeypatch.setattr(expression, "_linear_engine", lambda: None)
    searched = Expression(pattern)
    with bounded():
        start = time.thread_time()
        try:
            assert not searched.found_in(text)
        except OverLimit as limit:
            assert str(limit) == "more than 30 ms of matching in one request"  # noqa: PT017
        assert time.thread_time() - start < 0.3


def loaded_after(code: str) -> set[str]:
    script = f"import sys\nfrom mock_server.protocol.expression import Expression\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return {"re2", "regex"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("Expression('weather in [A-Z]')", set()),
        ("Expression('weather in (?i:paris)').found_in('weather in PARIS')", set()),
        ("Expression('a+')", set()),  # not before it is searched for
        ("Expression('a+').found_in('a')", {"re2"}),
        ("Expression('(?=a)a').found_in('a')", {"re2", "regex"}),
    ],
)
def test_an_engine_is_loaded_when_an_expression_needs_it(code: str, loaded: set[str]) -> None:
    assert loaded_after(code) == loaded


def test_nothing_is_printed_about_what_re2_refuses(capfd: pytest.CaptureFixture[Any]) -> None:
    assert not Expression("(?:a{1000}){1000}b").found_in("aab")
    assert capfd.readouterr() == ("", "")

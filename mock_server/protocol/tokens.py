"""The one token estimate: usage, `max_tokens`, timing and generated lengths all count with it.

A token here is a word piece of up to seven Latin letters (with the space before it), up to three digits, up to three
letters of other alphabets, one punctuation mark, one run of white space, or one other character (CJK, emoji).
English prose comes out near 1.2 tokens a word. It is an estimate: the real tokenizer is not public.

Rule of this file: `"".join(split(text)) == text`, and cutting `split(text)` short cuts the text at the same place,
so a truncated reply streams the very deltas of the whole one.
"""

import functools
import re
from typing import NamedTuple

_SHORT = 100  # letters, up to which the expression is as fast as anything
_PIECE = 1 << 16  # letters of a long text that are counted at once: what is held meanwhile stays small

_TOKEN = re.compile(
    r" ?[A-Za-z\u00c0-\u024f]{1,7}"
    r"| ?[\u0370-\u1fff]{1,3}"
    r"| ?[0-9]{1,3}"
    r"| ?[^\s\w]"
    r"|\s+"
    r"|.",
    re.DOTALL,
)


def split(text: str) -> list[str]:
    """The tokens of `text`, in order; joined they are the text again."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """How many tokens `text` has: as many as `split` finds."""
    size = len(text)
    if size > _PIECE:
        return _count_long(text)
    if size <= _SHORT or not text.isascii():
        return len(_TOKEN.findall(text))
    # In a tenth of the time: a text as one large number with a byte for each character, so that one operation looks at
    # all of them at once.
    kinds = text.encode("ascii").translate(_KINDS)
    number = int.from_bytes(kinds, "little")
    masks = _USUAL if size <= _MOST_USUAL else _masks(_PIECE)
    second = number & number << 8 & masks.runs  # behind another one of its kind
    starts = (number ^ second) & masks.starts
    taken = number & number >> 9 & starts << 1 & masks.spaces  # a space alone, before what takes it along
    tokens = (starts ^ taken >> 1).bit_count()
    fourth = second & second << 16
    longer = fourth & fourth << 32 & masks.letters  # behind 7 letters
    if longer:
        tokens += _more(kinds, _LETTER, starts & masks.letters, longer, 7, masks.each)
    longer = fourth & masks.digits  # behind 3 digits
    if longer:
        tokens += _more(kinds, _DIGIT, starts & masks.digits, longer, 3, masks.each)
    return tokens


def _count_long(text: str) -> int:
    """The same of a long text, piece by piece."""
    total = at = 0
    while at + _PIECE < len(text):
        found = _TOKEN.findall(text, at, at + _PIECE)
        if len(found) == 1:  # white space, the only thing that is one token however long it is
            at = _behind_space(text, at)
            total += 1
            continue
        total += len(found) - 1
        at += _PIECE - len(found[-1])  # the last one may go on behind this piece
    return total + len(_TOKEN.findall(text, at))


# What a character of ASCII is, as bits of a byte. A plain space is white space, too; what `_JOINS` takes one along that
# stands before it.
_LETTER, _DIGIT, _SIGN, _LINE, _WHITE, _SPACE, _JOINS = 1, 2, 4, 8, 16, 32, 64


def _more(kinds: bytes, kind: int, starts: int, longer: int, most: int, each: int) -> int:
    """How many pieces the runs of a kind have beyond the first of each, none longer than `most`.

    `starts`: where runs begin; `longer`: what stands behind `most` characters of its run.
    """
    second = starts << 8 * most & longer
    third = second << 8 * most & longer
    if not third << 8 * most & longer:
        return second.bit_count() + third.bit_count()
    rest = kinds.replace(bytes((kind | _JOINS,)) * most, _CUT)  # very long ones are cut one by one
    left = int.from_bytes(rest, "little") >> (kind >> 1) & each
    return rest.count(_CUT) + left.bit_count() - (left & left << 8).bit_count() - starts.bit_count()


def _kind(char: str) -> int:
    if char == "_" or char == " ":
        return _LINE if char == "_" else _SPACE | _WHITE
    if char.isspace():
        return _WHITE
    return _JOINS | (_LETTER if char.isalpha() else _DIGIT if char.isdecimal() else _SIGN)


_KINDS = bytes(_kind(chr(code)) for code in range(128)) + bytes(128)
_CUT = b"\x80"


class _Masks(NamedTuple):
    """The bits of some kinds in as many bytes as a text has at most: 64 KB a mask for the longest."""

    each: int
    letters: int
    digits: int
    spaces: int
    runs: int  # of these a token has several
    starts: int


@functools.lru_cache(maxsize=2)
def _masks(size: int) -> _Masks:
    each = int.from_bytes(b"\x01" * size, "little")
    runs, starts = _LETTER | _DIGIT | _WHITE, _LETTER | _DIGIT | _SIGN | _LINE | _WHITE
    return _Masks(*[each * kind for kind in (1, _LETTER, _DIGIT, _SPACE, runs, starts)])


_MOST_USUAL = 1 << 12
_USUAL = _masks(_MOST_USUAL)  # the others are made for the first text that needs them


def _behind_space(text: str, at: int) -> int:
    """Where the white space ends that `text` has at `at`."""
    while (piece := text[at : at + _PIECE]).isspace():
        at += len(piece)
    return at + len(piece) - len(piece.lstrip())


_PER_TEXT = 150  # bytes that a text takes in a dictionary beside its characters


class TokenCounter:
    """`count` with a memory: an agent sends its whole history on every turn, so most texts come again.

    Holds about `budget` bytes at most, short texts too; past that it starts afresh.
    """

    __slots__ = ("_budget", "_counts", "_held")

    def __init__(self, budget: int = 8_000_000) -> None:
        self._counts: dict[str, int] = {}
        self._budget = budget
        self._held = 0

    def count(self, text: str) -> int:
        found = self._counts.get(text)
        if found is not None:
            return found
        takes = len(text) + _PER_TEXT
        if self._held + takes > self._budget:
            self._counts.clear()
            self._held = 0
        self._held += takes
        self._counts[text] = counted = count(text)
        return counted

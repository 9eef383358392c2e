"""The one token estimate: usage, `max_tokens`, timing and generated lengths all count with it.

A token here is a word piece of up to seven Latin letters (with the space before it), up to three digits, up to three
letters of other alphabets, one punctuation mark, one run of white space, or one other character (CJK, emoji).
English prose comes out near 1.2 tokens a word. It is an estimate: the real tokenizer is not public.

Rule of this file: `"".join(split(text)) == text`, and cutting `split(text)` short cuts the text at the same place,
so a truncated reply streams the very deltas of the whole one.
"""

import re

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
    """How many tokens `text` has."""
    if len(text) <= _PIECE:
        return _count_ascii(text) if len(text) > _SHORT and text.isascii() else len(_TOKEN.findall(text))
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


# what a character of ASCII is, as a byte; a plain space is white space, too
_LETTER, _DIGIT, _SIGN, _LINE, _WHITE, _SPACE = 1, 2, 4, 8, 16, 32


def _count_ascii(text: str) -> int:
    """The same as the length of `split`, for ASCII, in a tenth of the time: a text as one large number with a byte for
    each character, so that one operation looks at all of them at once.
    """
    kinds = text.encode("ascii").translate(_KINDS)
    number = int.from_bytes(kinds, "little")
    tokens = kinds.count(_SIGN) + kinds.count(_LINE)
    letters, digits, white = number & _EACH, number >> 1 & _EACH, number >> 4 & _EACH
    # a run of white space is one token; what follows a plain space takes it along, unless it ends a longer run
    behind = white << 8
    joined = number >> 5 & (letters | digits | number >> 2 & _EACH) >> 8
    tokens += white.bit_count() - (white & behind).bit_count() - joined.bit_count() + (joined & behind).bit_count()
    second = letters & letters << 8
    tokens += letters.bit_count() - second.bit_count()
    longer = second & second << 16
    longer &= longer << 32  # behind 7 letters
    if longer:
        tokens += _more(kinds, _LETTER, letters ^ second, longer, 7)
    if digits:
        second = digits & digits << 8
        tokens += digits.bit_count() - second.bit_count()
        longer = second & second << 16  # behind 3 digits
        if longer:
            tokens += _more(kinds, _DIGIT, digits ^ second, longer, 3)
    return tokens


def _more(kinds: bytes, kind: int, starts: int, longer: int, most: int) -> int:
    """How many pieces the runs of a kind have beyond the first of each, none longer than `most`.

    `starts`: where runs begin; `longer`: what stands behind `most` characters of its run.
    """
    second = starts << 8 * most & longer
    third = second << 8 * most & longer
    if not third << 8 * most & longer:
        return second.bit_count() + third.bit_count()
    rest = kinds.replace(bytes((kind,)) * most, _CUT)  # very long ones are cut one by one
    left = int.from_bytes(rest, "little") >> (kind >> 1) & _EACH
    return rest.count(_CUT) + left.bit_count() - (left & left << 8).bit_count() - starts.bit_count()


def _kind(char: str) -> int:
    if char == "_" or char == " ":
        return _LINE if char == "_" else _SPACE | _WHITE
    return _LETTER if char.isalpha() else _DIGIT if char.isdecimal() else _WHITE if char.isspace() else _SIGN


_KINDS = bytes(_kind(chr(code)) if code < 128 else _SIGN for code in range(256))
_CUT = b"\x80"
_EACH = int.from_bytes(b"\x01" * _PIECE, "little")


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

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


def _count_ascii(text: str) -> int:
    """The same as the length of `split`, for ASCII, in half the time: runs of one kind are shortened, then counted."""
    kinds = text.encode("ascii").translate(_KINDS)
    tokens = kinds.count(b".") + kinds.count(b"_")
    if b"\n" in kinds or b"  " in kinds:
        tokens += len(_OWN_SPACE.findall(kinds))
    else:  # single spaces belong to what follows
        tokens += kinds.count(b" _") + kinds.endswith(b" ")
    letters = kinds.replace(b"aaaaaaa", b"A")
    tokens += letters.count(b"A") + _runs(letters, b"a")
    if b"0" in kinds:
        digits = kinds.replace(b"000", b"1")
        tokens += digits.count(b"1") + _runs(digits, b"0")
    return tokens


def _runs(kinds: bytes, kind: bytes) -> int:
    """How many runs of a kind there are, none longer than six."""
    return kinds.replace(kind * 3, kind).replace(kind * 2, kind).replace(kind * 2, kind).count(kind)


def _kind(char: str) -> str:
    if char == "_" or char == " ":
        return char
    return "a" if char.isalpha() else "0" if char.isdecimal() else "\n" if char.isspace() else "."


_KINDS = "".join(_kind(chr(code)) if code < 128 else "." for code in range(256)).encode("ascii")
_OWN_SPACE = re.compile(rb"\s\s+|\n| (?=_)| \Z")  # white space that is a token of its own


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

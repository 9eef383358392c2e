"""The one token estimate: usage, `max_tokens`, timing and generated lengths all count with it.

A token here is a word piece of up to seven Latin letters (with the space before it), up to three digits, up to three
letters of other alphabets, one punctuation mark, one run of white space, or one other character (CJK, emoji).
English prose comes out near 1.2 tokens a word. It is an estimate: the real tokenizer is not public.

Rule of this file: `"".join(split(text)) == text`, and cutting `split(text)` short cuts the text at the same place,
so a truncated reply streams the very deltas of the whole one.
"""

import re

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
        return len(_TOKEN.findall(text))
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

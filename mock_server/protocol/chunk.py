"""How a text is split into deltas. Joined, the pieces are the text again; a shorter text begins alike.

Where a script names no chunk, texts come by token and the JSON of a call by the `values` of its input.
"""

import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Literal, NamedTuple, Protocol

from mock_server.protocol import tokens

Named = Literal["token", "word", "sentence", "all"]
Unit = Named | int


class Bytes(NamedTuple):
    """At most so many bytes of UTF-8 a piece, but never less than a character: JSON must stay valid."""

    most: int


class Size(Protocol):
    """A number that varies."""

    def draw(self, source: Random) -> float: ...


class Burst(NamedTuple):
    """Several units in one piece, as real streams send them: so many, or a number drawn for each piece.

    The numbers are drawn from how the text begins, so they are the same for every request, and for a text cut short.
    """

    unit: "Unit | Bytes"
    size: int | Size


Chunk = Unit | Bytes | Burst

_WORD = re.compile(r"\s*\S+|\s+")
_SENTENCE = re.compile(r".*?[.!?:]+(?:\s+|$)|.+$", re.DOTALL)

_SPLIT: dict[str, Callable[[str], list[str]]] = {
    "token": tokens.split,
    "word": _WORD.findall,
    "sentence": _SENTENCE.findall,
    "all": lambda text: [text],
}


def pieces(text: str, chunk: Chunk) -> list[str]:
    """The pieces of `text`: by token, word, sentence, all at once, so many characters or bytes each, or in bursts."""
    if not text:
        return []
    if isinstance(chunk, Burst):
        return list(_bursts(pieces(text, chunk.unit), chunk.size))
    if isinstance(chunk, Bytes):
        return list(_by_bytes(text, chunk.most))
    if isinstance(chunk, int):
        return [text[at : at + chunk] for at in range(0, len(text), chunk)]
    return _SPLIT[chunk](text)


# what tells where the values of an object end: strings (the group: the quote that closes one), brackets and commas
_MARK = re.compile(r'"(?:[^"\\]|\\.)*(")?|[{}\[\],]', re.DOTALL)


def values(text: str) -> Iterator[tuple[str, bool]]:
    """The JSON of an object by its values, each with its key and what stands before it, and whether it is whole.

    Of a text cut short the last may not be. The bracket that closes the object comes by itself.
    """
    start = depth = strings = 0
    is_whole = False  # whether the text read so far ends with a value that nothing can be added to
    for mark in _MARK.finditer(text):
        kind, at = mark[0], mark.start()
        depth += kind in ("{", "[")
        depth -= kind in ("}", "]")
        if (kind == "," and depth == 1) or (kind == "}" and not depth):
            if text[start:at].strip("{ "):
                yield text[start:at], True
                start = at
            strings = 0
        is_value = kind in ("}", "]")
        if kind[0] == '"' and depth == 1:
            strings += 1
            is_value = strings == 2 and mark[1] is not None  # the first is the key
        is_whole = is_value and depth <= 1 and mark.end() == len(text)
    if start < len(text):
        yield text[start:], is_whole


def _by_bytes(text: str, most: int) -> Iterator[str]:
    start = length = 0
    for at, letter in enumerate(text):
        size = len(letter.encode("utf-8", "surrogatepass"))
        if length and length + size > most:
            yield text[start:at]
            start, length = at, 0
        length += size
    yield text[start:]


def _bursts(units: list[str], size: int | Size) -> Iterator[str]:
    source = Random(units[0].encode("utf-8", "surrogatepass"))
    at = 0
    while at < len(units):
        count = size if isinstance(size, int) else max(1, round(size.draw(source)))
        yield "".join(units[at : at + count])
        at += count

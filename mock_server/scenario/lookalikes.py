"""Texts that look the same and are not: composed and decomposed letters, kinds of spaces, of quotes and dashes, letters
of other alphabets.

The first two are alike wherever a scenario asks for a part of a text (`alike` of the conditions). Of all of them an
explanation names the code points, since nobody sees them.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal
from unicodedata import combining

from mock_server.protocol.lazy import lazy

_UNSEEN = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")  # soft hyphen, zero width spaces and joiners
_SEEN = 2_000  # characters of a text that an explanation looks at
_OTHERS = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4`", "'"),  # quotes
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),  # dashes
    **dict(
        zip("\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb", "aeopcyxijsdh", strict=True)
    ),  # Cyrillic
    **dict(zip("\u03bf\u03bd\u03b1", "ova", strict=True)),  # Greek
}


Form = Literal["NFC", "NFKD"]
_PIECE = 512  # characters of a text that are composed at once
_MARKS = 32  # that stand on one letter at most, where a text means something


def normalize(form: Form, text: str) -> str:
    """As `unicodedata.normalize`, piece by piece: alone it takes a time that grows with the square of the marks in a
    row, and lets no other thread work meanwhile. The pieces end before a letter."""
    if len(text) <= _PIECE:
        return unicodedata.normalize(form, text)
    return "".join([unicodedata.normalize(form, piece) for piece in _pieces(form, text)])


def _pieces(form: Form, text: str) -> Iterator[str]:
    start, size = 0, len(text)
    while start < size:
        end = start + _PIECE
        if end < size:
            end = next((at for at in range(end, end - _MARKS, -1) if _parts(form, text[at - 1], text[at])), end)
        yield text[start:end]
        start = end


def _parts(form: Form, before: str, after: str) -> bool:
    """Whether nothing of a character goes together with what stands before it."""
    if after.isascii():
        return True
    alone = unicodedata.normalize(form, after)
    if combining(alone[0]) or combining(after):
        return False
    return unicodedata.normalize(form, before + after) == unicodedata.normalize(form, before) + alone


class Sight:
    """A text as it looks: character by character, each with its place in the text."""

    def __init__(self, text: str) -> None:
        self.source = text[:_SEEN]

    @lazy
    def seen(self) -> tuple[str, Sequence[int]]:
        """What is seen, in lower case and with single spaces, and where in the text each character of it stands."""
        seen: list[str] = []
        places: list[int] = []
        for at, character in enumerate(self.source):
            if character in _UNSEEN:
                continue
            for one in normalize("NFKD", character).lower():
                one = _OTHERS.get(one, " " if one.isspace() else one)
                if one != " " or seen[-1:] != [" "]:
                    seen.append(one)
                    places.append(at)
        return "".join(seen), places


def difference(wanted: str, got: Sight) -> str | None:
    """How the part of a text that looks like what was wanted differs from it, in code points; None where none does."""
    if wanted.isascii() and got.source.isascii():
        return None
    shown, _ = Sight(wanted.strip()).seen
    seen, places = got.seen
    at = seen.find(shown)
    if not shown or at < 0:
        return None
    end = at + len(shown)
    part = got.source[places[at] : places[end] if end < len(places) else None]
    for one, other in zip(_letters(wanted.strip()), _letters(part.strip()), strict=False):
        if one.lower() != other.lower() and not (
            one.isspace() and other.isspace() and one.isascii() and other.isascii()
        ):
            return f"it looks the same, but has {_code_points(other)} where {_code_points(one)} is wanted"
    return None


def _letters(text: str) -> list[str]:
    """The characters as they are seen: each with its accents and with what nobody sees behind it."""
    found: list[str] = []
    for character in text:
        if found and (combining(character) or character in _UNSEEN):
            found[-1] += character
        else:
            found.append(character)
    return found


def _code_points(text: str) -> str:
    return " ".join(f"U+{ord(character):04X}" for character in text)

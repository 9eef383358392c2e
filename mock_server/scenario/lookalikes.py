"""Texts that look the same and are not: composed and decomposed letters, kinds of spaces, of quotes and dashes, letters
of other alphabets.

The first two are alike wherever a scenario asks for a part of a text (`alike` of the conditions). Of all of them an
explanation names the code points, since nobody sees them.
"""

from collections.abc import Sequence
from unicodedata import combining, normalize

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

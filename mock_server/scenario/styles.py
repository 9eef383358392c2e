"""Made-up texts of a kind: prose of any locale, Markdown, Python code, JSON, lists. Random only through what is given.

A text is put together from small pieces whose tokens are counted once each, so that it keeps to its length.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import TYPE_CHECKING

from mock_server.protocol import tokens as token

if TYPE_CHECKING:
    from mock_server.scenario.fakes import Faker

_MISSES = 6  # pieces that were too long, one after another, before the text ends


class _Writer:
    """Makes the pieces of one text."""

    def __init__(self, fake: "Faker", rng: Random) -> None:
        self.fake = fake
        self.rng = rng

    def words(self, low: int, high: int) -> str:
        count = self.rng.randint(low, high)
        return " ".join(self.fake.words(nb=count)) if count else ""

    def name(self) -> str:
        """An identifier: words of other alphabets give none, so a plain one stands in."""
        words = [word for word in self.fake.words(nb=2) if word.isascii() and word.isalpha()]
        return "_".join([*words, self.rng.choice(("item", "total", "rows", "value", "result"))]).lower()

    def sentence(self) -> str:
        return str(self.fake.sentence(nb_words=self.rng.randint(4, 12)))

    def filled(self, pieces: Iterator[str], left: int) -> str:
        """As many pieces as fit, in order; one that does not fit is left out."""
        taken: list[str] = []
        misses = 0
        for piece in pieces:
            cost = token.count(piece)
            misses = misses + 1 if cost > left else 0
            if misses > _MISSES:
                break
            if not misses:
                taken.append(piece)
                left -= cost
        return "".join(taken)


def styled(style: str, fake: "Faker", rng: Random, tokens: int, about: str = "") -> str:
    """A text of at most `tokens` (>= 1) tokens, or few fewer; it begins with what it is `about` where there is room."""
    writer = _Writer(fake, rng)
    begun = token.count(_ABOUT[style](about, "{}")) + 1 if about else 0  # the pieces may count one more together
    if begun and begun < tokens:
        text = _ABOUT[style](about, STYLES[style](writer, tokens - begun))
    else:
        text = STYLES[style](writer, tokens)
    while token.count(text) > tokens:  # pieces that meet may count one more together
        text = text.rsplit(" ", 1)[0] if " " in text else _SHORT[style]
        if text == _SHORT[style]:
            break
    return text or _SHORT[style]


def _endless(*makers: Callable[[], str]) -> Iterator[str]:
    while True:
        for make in makers:
            yield make()


# -- the styles -----------------------------------------------------------------------------------------------------


def _prose(writer: _Writer, tokens: int) -> str:
    def piece() -> str:
        gap = "\n\n" if writer.rng.random() < 0.2 else " "
        return gap + writer.sentence()

    return _ended(writer, writer.filled(_endless(piece), tokens).strip(), tokens)


def _ended(writer: _Writer, text: str, tokens: int) -> str:
    """A text with the rest of its length filled by single words."""
    left = tokens - token.count(text)
    if left < 2 and text:
        return text
    more = writer.filled((" " + writer.words(1, 1) for _ in range(4 * left)), left).strip()
    return f"{text} {more}".strip() if more else text


def _list(writer: _Writer, tokens: int) -> str:
    return writer.filled(_endless(lambda: f"- {writer.words(2, 7)}\n"), tokens).rstrip("\n")


def _markdown(writer: _Writer, tokens: int) -> str:
    def heading() -> str:
        return f"\n## {writer.words(2, 4).capitalize()}\n\n"

    def paragraph() -> str:
        return f"{writer.sentence()} **{writer.words(1, 2)}** {writer.sentence()} `{writer.name()}`.\n\n"

    def listed() -> str:
        numbered = writer.rng.random() < 0.5
        return "".join(f"{f'{at}.' if numbered else '-'} {writer.words(2, 6)}\n" for at in range(1, 4)) + "\n"

    def fenced() -> str:
        return f"```python\n{_statement(writer)}\n```\n\n"

    def table() -> str:
        rows = "".join(f"| {writer.words(1, 1)} | {writer.rng.randint(1, 99)} |\n" for _ in range(3))
        return f"| {writer.words(1, 1)} | {writer.words(1, 1)} |\n|---|---|\n{rows}\n"

    pieces = _endless(heading, paragraph, listed, paragraph, fenced, heading, paragraph, table, writer.sentence)
    return writer.filled(pieces, tokens).strip("\n") or writer.words(1, 1)


def _statement(writer: _Writer) -> str:
    return f"{writer.name()} = {writer.rng.randint(1, 99)} * len({json.dumps(writer.words(1, 2))})"


def _code(writer: _Writer, tokens: int) -> str:
    def function() -> str:
        name, argument = writer.name(), writer.rng.choice(("rows", "text", "items"))
        body = f'    """{writer.words(3, 6).capitalize()}."""\n    {_statement(writer)}\n    return {argument}\n'
        return f"def {name}({argument}):\n{body}\n\n"

    def statement() -> str:
        return _statement(writer) + "\n"

    def comment() -> str:
        return f"# {writer.words(2, 8)}\n"

    return writer.filled(_endless(comment, function, statement, function), tokens).rstrip("\n")


def _json(writer: _Writer, tokens: int) -> str:
    """An array of objects, closed at any length."""
    frame = token.count('{"items": [\n]}') + 2

    def item() -> str:
        made = {
            "id": writer.rng.randint(1, 9_999),
            writer.name(): writer.words(1, 4),
            "done": writer.rng.random() < 0.5,
        }
        return "  " + json.dumps(made, ensure_ascii=False) + ",\n"

    def short() -> str:
        return f"  {writer.rng.randint(1, 99)},\n"

    items = writer.filled(_endless(item, item, short), tokens - frame)
    return '{"items": [\n' + items.rstrip(",\n") + "\n]}" if items else "0"


STYLES: Mapping[str, Callable[[_Writer, int], str]] = {
    "prose": _prose,
    "markdown": _markdown,
    "code": _code,
    "json": _json,
    "list": _list,
}
# what such a text is about, before the text
_ABOUT: Mapping[str, Callable[[str, str], str]] = {
    "prose": lambda about, text: f'"{about}": {text}',
    "markdown": lambda about, text: f"# {about}\n\n{text}",
    "code": lambda about, text: f"# {about}\n{text}",
    "json": lambda about, text: f'{{"about": {json.dumps(about, ensure_ascii=False)}, {text[1:]}' if text[1:] else text,
    "list": lambda about, text: f"- {about}\n{text}",
}
_SHORT: Mapping[str, str] = {"prose": "Yes", "markdown": "Yes", "code": "pass", "json": "0", "list": "-"}

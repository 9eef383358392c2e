"""Content nobody wrote: assistant prose, and JSON values that fit a client's schema.

Everything derives from the seed bytes alone: no clock (so none of Faker's date methods) and no global random.
"""

import json
from random import Random
from typing import TYPE_CHECKING, Any

from mock_server.protocol.checker import Checker, SchemaProblem
from mock_server.scenario import edges
from mock_server.scenario.fakes import DEFAULT, Fakes
from mock_server.scenario.styles import styled
from mock_server.scenario.values import TRIES, CannotGenerate, Maker, Words, number_of

if TYPE_CHECKING:
    from mock_server.scenario.fakes import Faker

_MOST_CHECKERS = 256


class Generator:
    """Makes content from seeds. Holds the Fakers and the schemas met before; same seed, same content."""

    def __init__(self) -> None:
        self.fakes = Fakes()
        self._checkers: dict[str, Checker | None] = {}

    def text(self, seed: bytes, tokens: int, about: str = "") -> str:
        """English prose of at most `tokens` (>= 1) tokens as `protocol.tokens` counts them, or few fewer.

        Whole sentences in paragraphs ("\\n\\n" between them), a phrase for a tiny budget, "Yes" for 1 token. The first
        one says what the text is `about` (a few words, no braces), where there is room.
        """
        return Words(self._fake(), number_of(seed)).prose(tokens, about)

    def thought(self, seed: bytes, tokens: int, about: str = "") -> str:
        """The same as somebody thinks it."""
        return Words(self._fake(), number_of(seed)).prose(tokens, about, thought=True)

    def styled(self, seed: bytes, tokens: int, style: str, locale: str, about: str = "") -> str:
        """A text of at most `tokens` tokens in one of the styles, with the words of a locale."""
        if style == "prose" and locale == DEFAULT:
            return self.text(seed, tokens, about)
        number = number_of(seed)
        return styled(style, self.fakes.seeded(number, locale), Random(number), tokens, about)

    def input(self, schema: object, seed: bytes, how: str) -> dict[str, Any]:
        """The input of a call: `valid` by the schema, at its bounds (`edge`), or breaking it (`invalid`)."""
        value = self.value(schema, seed)
        given = value if isinstance(value, dict) else {}
        if how == "valid":
            return given
        checker = self._checker(schema)
        if checker is None:
            raise CannotGenerate("$: the schema is broken, so nothing can be judged by it")
        return (edges.edge if how == "edge" else edges.invalid)(schema, given, checker, seed)

    def value(self, schema: object, seed: bytes) -> object:
        """A plausible JSON value valid by `schema` (Draft 2020-12); a schema without a type gives an object.

        For a schema that is itself broken the value is a best effort. Raises CannotGenerate.
        """
        maker = Maker(schema, self._checker(schema), self._fake())
        reason = ""
        for attempt in range(TRIES):
            try:
                made, reason = maker.attempt(number_of(seed + bytes([attempt])), attempt)
            except CannotGenerate as error:
                if maker.is_spent:
                    reason = reason or str(error)
                    break
                reason = str(error)
                continue
            if not reason:
                return made
        raise CannotGenerate(" ".join(reason.split()))

    def _fake(self) -> "Faker":
        return self.fakes.of()

    def _checker(self, schema: object) -> Checker | None:
        """None for a broken schema. Kept, as an agent sends the same tools with every turn."""
        key = json.dumps(schema)
        if key not in self._checkers:
            if len(self._checkers) >= _MOST_CHECKERS:
                self._checkers.clear()
            try:
                self._checkers[key] = Checker(schema)
            except SchemaProblem:
                self._checkers[key] = None
        return self._checkers[key]

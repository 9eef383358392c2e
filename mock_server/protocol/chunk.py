"""How a text is split into deltas. Joined, the pieces are the text again; a shorter text begins alike."""

import re
from collections.abc import Callable
from typing import Literal

from mock_server.protocol import tokens

Chunk = Literal["token", "word", "sentence", "all"] | int

_WORD = re.compile(r"\s*\S+|\s+")
_SENTENCE = re.compile(r".*?[.!?:]+(?:\s+|$)|.+$", re.DOTALL)

_SPLIT: dict[str, Callable[[str], list[str]]] = {
    "token": tokens.split,
    "word": _WORD.findall,
    "sentence": _SENTENCE.findall,
    "all": lambda text: [text],
}


def pieces(text: str, chunk: Chunk) -> list[str]:
    """The pieces of `text`: by token, word, sentence, all at once, or so many characters each."""
    if not text:
        return []
    if isinstance(chunk, int):
        return [text[at : at + chunk] for at in range(0, len(text), chunk)]
    return _SPLIT[chunk](text)

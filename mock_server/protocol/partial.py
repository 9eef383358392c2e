"""What can be read of JSON that was cut short: every value that was complete, and the containers that were open."""

import json
import re
from typing import Any

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+)', re.DOTALL)
_CLOSER = {"{": "}", "[": "]"}


def loads(text: str) -> Any:
    """The value of `text` if it is whole, else what was complete of it; `{}` when nothing was."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    for end, closers in reversed(_safe_ends(text)):
        try:
            return json.loads(text[:end] + closers)
        except ValueError:
            continue
    return {}


def _safe_ends(text: str) -> list[tuple[int, str]]:
    """Places where the text could end, with what closes the containers open there."""
    ends: list[tuple[int, str]] = []
    open_: list[str] = []
    at = 0
    while (token := _TOKEN.match(text, at)) is not None:
        mark = token[1]
        if mark == ",":
            ends.append((token.start(1), "".join(reversed(open_))))
        elif mark in _CLOSER:
            open_.append(_CLOSER[mark])
        elif mark in "}]" and open_:
            open_.pop()
        at = token.end()
        if mark not in ":,":
            ends.append((at, "".join(reversed(open_))))
    return ends

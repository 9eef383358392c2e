"""Events with holes -> bytes with holes: what of a reply is the same for everybody is made once."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from mock_server.protocol.events import Event, Silence
from mock_server.protocol.lazy import lazy
from mock_server.protocol.message import fold
from mock_server.protocol.sse import dumps, encode, frame
from mock_server.records import dataclass


@dataclass(frozen=True, slots=True)
class Hole:
    """Stands in a frame for a value that only a request has: how it looks while compiling."""

    OPENS: ClassVar[bytes] = "\ue000".encode()
    name: str

    @property
    def text(self) -> str:
        return f"\ue000{self.name}\ue001"

    @property
    def quoted(self) -> str:
        return dumps(self.text)

    @property
    def member(self) -> str:
        """Of an object that has it under its own name, behind other members: what is not told is left out whole."""
        return f",{dumps(self.name)}:{self.quoted}"


class Stencil:
    """Bytes with holes. `fill` takes the value of each hole as JSON bytes."""

    __slots__ = ("_parts", "_slots")

    def __init__(self, text: str, holes: Mapping[str, str]) -> None:
        """`holes`: name of the value -> how the hole looks in `text`."""
        cuts = sorted((at, at + len(look), name) for name, look in holes.items() for at in _all(text, look))
        self._parts: list[bytes] = []
        self._slots: list[tuple[int, str]] = []
        at = 0
        for start, end, name in cuts:
            self._parts += [encode(text[at:start]), b""]
            self._slots.append((len(self._parts) - 1, name))
            at = end
        self._parts.append(encode(text[at:]))

    @property
    def has_holes(self) -> bool:
        return bool(self._slots)

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        parts = self._parts.copy()
        for at, name in self._slots:
            parts[at] = values[name]
        return b"".join(parts)


def _all(text: str, look: str) -> list[int]:
    found, at = [], text.find(look)
    while at >= 0:
        found.append(at)
        at = text.find(look, at + len(look))
    return found


class Form:
    """The frames and the JSON of a reply, from the same events; both are made when first asked for."""

    def __init__(self, steps: Iterable[Event | Silence], looks: Mapping[str, str]) -> None:
        """`looks`: name of each value -> how its hole looks in the events."""
        self.steps = tuple(steps)
        self.events = tuple(step for step in self.steps if isinstance(step, Event))
        self._looks = looks
        self._templates: list[tuple[int, Stencil]] = []

    @lazy
    def frames(self) -> tuple[bytes, ...]:
        """The stream, with nothing in the places of frames that have holes."""
        return tuple(self._frame(at, event) for at, event in enumerate(self.events))

    @lazy
    def json(self) -> Stencil:
        """The reply that is not a stream: what the events fold to."""
        return Stencil(dumps(fold(event.payload for event in self.events)), self._looks)

    def fill(self, values: Mapping[str, bytes]) -> tuple[bytes, ...]:
        """The frames with a request's values in place."""
        frames = list(self.frames)
        for at, template in self._templates:
            frames[at] = template.fill(values)
        return tuple(frames)

    def _frame(self, at: int, event: Event) -> bytes:
        """The frame itself when it is the same for everybody; else a template is kept, and nothing stands here."""
        data = frame(event.payload)
        if Hole.OPENS not in data:
            return data
        template = Stencil(data.decode("utf-8"), self._looks)
        if not template.has_holes:
            return data
        self._templates.append((at, template))
        return b""

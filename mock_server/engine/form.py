"""Events with holes -> bytes with holes: what of a reply is the same for everybody is made once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from mock_server.protocol.events import PING, Event, Silence
from mock_server.protocol.lazy import lazy
from mock_server.protocol.message import fold
from mock_server.protocol.plan import Payload, Payloads
from mock_server.protocol.sse import dumps, encode, frame, told


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
    """Bytes with holes. `fill` takes the value of each hole as bytes."""

    __slots__ = ("_parts", "_slots")

    def __init__(self, data: bytes, holes: Mapping[str, bytes]) -> None:
        """`holes`: name of the value -> how the hole looks in `data`."""
        cuts = sorted((at, at + len(look), name) for name, look in holes.items() for at in _all(data, look))
        self._parts: list[bytes] = []
        self._slots: list[tuple[int, str]] = []
        at = 0
        for start, end, name in cuts:
            self._parts += [data[at:start], b""]
            self._slots.append((len(self._parts) - 1, name))
            at = end
        self._parts.append(data[at:])

    @property
    def has_holes(self) -> bool:
        return bool(self._slots)

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        parts = self._parts.copy()
        for at, name in self._slots:
            parts[at] = values[name]
        return b"".join(parts)


def _all(text: bytes, look: bytes) -> list[int]:
    found, at = [], text.find(look)
    while at >= 0:
        found.append(at)
        at = text.find(look, at + len(look))
    return found


# the places of frames with holes, and what fills them
Templates = Sequence[tuple[int, Stencil]]


class Form:
    """The frames and the JSON of a reply, from the same events; all is made when first asked for.

    `once`: it is filled for one request only. What was made is forgotten then, many times the size of the reply as it
    is, and made again for whoever reads the journal.
    """

    def __init__(
        self, make: Callable[[], Iterable[Event | Silence]], looks: Mapping[str, str], *, once: bool = False
    ) -> None:
        """`make` gives the steps; `looks`: name of each value -> how its hole looks in the events."""
        self.once = once
        self._make = make
        self._looks = {name: encode(look) for name, look in looks.items()}

    def forget(self) -> None:
        """Keep only what it is made from."""
        for name in ("steps", "events", "_frames", "json"):
            self.__dict__.pop(name, None)

    @lazy
    def steps(self) -> tuple[Event | Silence, ...]:
        """What is sent, and what takes time only."""
        return tuple(self._make())

    @lazy
    def events(self) -> tuple[Event, ...]:
        """What is sent."""
        return tuple(step for step in self.steps if isinstance(step, Event))

    @property
    def frames(self) -> tuple[bytes, ...]:
        """The stream, with nothing in the places of frames that have holes."""
        return self._frames[0]

    @lazy
    def _frames(self) -> tuple[tuple[bytes, ...], Templates]:
        """The frames, and what the empty ones are filled from."""
        frames: list[bytes] = []
        templates: list[tuple[int, Stencil]] = []
        for event in self.events:
            data = frame(event.payload)
            template = Stencil(data, self._looks) if Hole.OPENS in data else None
            if template is not None and template.has_holes:
                templates.append((len(frames), template))
                data = b""
            frames.append(data)
        return tuple(frames), templates

    @lazy
    def json(self) -> Stencil:
        """The reply that is not a stream: what the events fold to."""
        return Stencil(encode(dumps(fold(event.payload for event in self.events))), self._looks)

    def fill(self, values: Mapping[str, bytes]) -> tuple[bytes, ...]:
        """The frames with a request's values in place."""
        made, templates = self._frames
        frames = list(made)
        for at, template in templates:
            frames[at] = template.fill(values)
        return tuple(frames)

    def payloads(self, values: Mapping[str, bytes], pings: Sequence[int] = ()) -> Payloads:
        """What the frames say with a request's values in place, and with pings between them."""
        found = self._filled(values)
        for place in pings:
            found.insert(place, PING)
        return tuple(found)

    def message(self, values: Mapping[str, bytes]) -> Payloads:
        """What the JSON says with a request's values in place."""
        return (fold(self._filled(values)),)

    def _filled(self, values: Mapping[str, bytes]) -> list[Payload]:
        """The payloads of the events: those they were made of, but for the two or three with a request's own values."""
        found: list[Payload] = [event.payload for event in self.events]
        for at, template in self._frames[1]:
            found[at] = told(template.fill(values))
        if self.once:
            self.forget()
        return found

"""Events with holes -> bytes with holes: what of a reply is the same for everybody is made once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from mock_server.protocol.blocks import Delta, Text
from mock_server.protocol.chunk import Chunk
from mock_server.protocol.events import PING, Event, Silence, events, steps
from mock_server.protocol.lazy import lazy
from mock_server.protocol.message import Message, fold
from mock_server.protocol.plan import Payload, Payloads
from mock_server.protocol.sse import dumps, encode, frame, told
from mock_server.records import dataclass


@dataclass(frozen=True, slots=True)
class Hole:
    """Stands in a frame for a value that only a request has: how it looks while compiling."""

    OPENS: ClassVar[bytes] = "\ue000".encode()
    CLOSES: ClassVar[bytes] = "\ue001".encode()
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

    def __init__(self, data: bytes, holes: Iterable[tuple[int, int, str]]) -> None:
        """`holes`: where each begins and ends in `data`, and the name of its value; in order."""
        self._parts: list[bytes] = []
        self._slots: list[tuple[int, str]] = []
        at = 0
        for start, end, name in holes:
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


def places(data: bytes, looks: Mapping[str, bytes]) -> list[tuple[int, int, str]]:
    """Where some bytes stand in others: start, end and name of each."""
    found = []
    for name, look in looks.items():
        at = data.find(look)
        while at >= 0:
            found.append((at, at + len(look), name))
            at = data.find(look, at + len(look))
    return sorted(found)


def _holes(data: bytes, looks: Mapping[str, bytes]) -> Iterator[tuple[int, int, str]]:
    """The holes in some bytes, in order. What looks like a hole and is none stays."""
    opens = data.find(Hole.OPENS)
    while opens >= 0:
        closes = data.find(Hole.CLOSES, opens)
        name = data[opens + len(Hole.OPENS) : closes].decode("utf-8", "replace")
        look = looks.get(name)
        if look is not None:
            start = opens - look.index(Hole.OPENS)
            if data.startswith(look, start):
                yield start, start + len(look), name
        opens = data.find(Hole.OPENS, opens + 1)


# the places of frames with holes, and what fills them
Templates = Sequence[tuple[int, Stencil]]


class Form:
    """The frames and the JSON of a reply, from the events of one message; all is made when first asked for.

    `once`: it is filled for one request only. What was made is forgotten then, many times the size of the reply as it
    is, and made again for whoever reads the journal.
    """

    def __init__(self, message: Message, chunk: Chunk | None, looks: Mapping[str, str], *, once: bool = False) -> None:
        """`looks`: name of each value -> how its hole looks in the events, with that name between its marks."""
        self.once = once
        self._message = message
        self._chunk = chunk
        self._looks = {name: encode(look) for name, look in looks.items()}

    def forget(self) -> None:
        """Keep only what it is made from."""
        for name in ("steps", "events", "_frames", "joined", "json"):
            self.__dict__.pop(name, None)

    @lazy
    def steps(self) -> Sequence[Event | Silence]:
        """The stream and what is silent in it."""
        return tuple(steps(self._message, self._chunk))

    @lazy
    def events(self) -> Sequence[Event]:
        """What is sent."""
        return tuple([step for step in self.steps if isinstance(step, Event)])

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
            template = Stencil(data, _holes(data, self._looks)) if Hole.OPENS in data else None
            if template is not None and template.has_holes:
                templates.append((len(frames), template))
                data = b""
            frames.append(data)
        return tuple(frames), templates

    @lazy
    def json(self) -> Stencil:
        """The reply that is not a stream: what the events fold to, however texts are split."""
        coarse = events(self._message, self._chunk, in_pieces=False)
        data = encode(dumps(fold(event.payload for event in coarse)))
        return Stencil(data, _holes(data, self._looks))

    def fill(self, values: Mapping[str, bytes]) -> tuple[bytes, ...]:
        """The frames with a request's values in place."""
        made, templates = self._frames
        frames = list(made)
        for at, template in templates:
            frames[at] = template.fill(values)
        return tuple(frames)

    @lazy
    def joined(self) -> Callable[[tuple[bytes, ...]], Sequence[bytes]]:
        """Makes of frames as `fill` gives them as few pieces as can be: those with holes, and what stands between them
        in one."""
        made, templates = self._frames
        fixed: list[bytes] = []
        filled: list[tuple[int, int]] = []
        begin = 0
        for at, _ in templates:
            fixed += [b"".join(made[begin:at]), b""]
            filled.append((len(fixed) - 1, at))
            begin = at + 1
        fixed.append(b"".join(made[begin:]))

        def pieces(frames: tuple[bytes, ...]) -> Sequence[bytes]:
            found = fixed.copy()
            for place, at in filled:
                found[place] = frames[at]
            return found

        return pieces

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


@dataclass(frozen=True, slots=True)
class Slot(Text):
    """A text that each request has its own of: the hole in its place, in a single delta."""

    name: str

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "text", Hole(name).text)
        object.__setattr__(self, "citations", None)

    def deltas(self, chunk: Chunk | None) -> Iterator[Delta]:
        yield {"type": "text_delta", "text": self.text}, 0


class PouredForm(Form):
    """A form of slots with the texts of one request in them: what is around them is that of the form."""

    def __init__(self, form: Form, texts: Mapping[str, str], chunk: Chunk | None) -> None:
        """`texts`: how each slot looks -> what stands there."""
        self.once = True
        self._form = form
        self._texts = texts
        self._chunk = chunk

    @lazy
    def steps(self) -> Sequence[Event | Silence]:
        listed: list[Event | Silence] = []
        for step in self._form.steps:
            deltas = self._deltas(step)
            listed += [step] if deltas is None else deltas
        return listed

    @property
    def json(self) -> Stencil:
        return self._form.json

    def fill(self, values: Mapping[str, bytes]) -> tuple[bytes, ...]:
        frames: list[bytes] = []
        for event, filled in zip(self._form.events, self._form.fill(values), strict=True):
            deltas = self._deltas(event)
            frames += [filled] if deltas is None else [frame(one.payload) for one in deltas]
        return tuple(frames)

    def _filled(self, values: Mapping[str, bytes]) -> list[Payload]:
        found: list[Payload] = []
        for event, payload in zip(self._form.events, self._form._filled(values), strict=True):
            deltas = self._deltas(event)
            found += [payload] if deltas is None else [one.payload for one in deltas]
        return found

    def _deltas(self, step: Event | Silence) -> Sequence[Event] | None:
        """The deltas of the text that stands in the slot of an event; None where it has none."""
        if not isinstance(step, Event) or step.payload["type"] != "content_block_delta":
            return None
        text = self._texts.get(step.payload["delta"].get("text"))
        if text is None:
            return None
        place = {"type": "content_block_delta", "index": step.payload["index"]}
        deltas = Text(text=text).deltas(self._chunk)
        return [Event({**place, "delta": delta}, tokens) for delta, tokens in deltas if delta is not None]

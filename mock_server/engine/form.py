"""Events with holes -> bytes with holes: what of a reply is the same for everybody is made once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from mock_server.protocol.blocks import Delta, Text
from mock_server.protocol.chunk import Chunk
from mock_server.protocol.events import Event, Silence, events, steps
from mock_server.protocol.lazy import lazy
from mock_server.protocol.message import Message, fold
from mock_server.protocol.sse import dumps, encode, frame


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
        """`holes`: name of the value -> how the hole looks in `text`, with that name between its marks."""
        self._parts: list[bytes] = []
        self._slots: list[tuple[int, str]] = []
        at = 0
        for start, end, name in _found(text, holes):
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


_OPENS, _CLOSES = "\ue000", "\ue001"


def _found(text: str, holes: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    """The holes in a text, in order: start, end and name. What looks like a hole and is none stays."""
    opens = text.find(_OPENS)
    while opens >= 0:
        closes = text.find(_CLOSES, opens)
        name = text[opens + 1 : closes]
        look = holes.get(name)
        if look is not None:
            start = opens - look.index(_OPENS)
            if text.startswith(look, start):
                yield start, start + len(look), name
        opens = text.find(_OPENS, opens + 1)


class Form:
    """The frames and the JSON of a reply, from the events of one message; all is made when first asked for."""

    def __init__(self, message: Message, chunk: Chunk | None, looks: Mapping[str, str]) -> None:
        """`looks`: name of each value -> how its hole looks in the events."""
        self._message = message
        self._chunk = chunk
        self._looks = looks
        self._templates: list[tuple[int, Stencil]] = []

    @lazy
    def steps(self) -> Sequence[Event | Silence]:
        """The stream and what is silent in it."""
        return tuple(steps(self._message, self._chunk))

    @property
    def events(self) -> Sequence[Event]:
        return [step for step in self.steps if isinstance(step, Event)]

    @lazy
    def frames(self) -> tuple[bytes, ...]:
        """The stream, with nothing in the places of frames that have holes."""
        return tuple([self._frame(at, event) for at, event in enumerate(self.events)])

    @lazy
    def json(self) -> Stencil:
        """The reply that is not a stream: what the events fold to, however texts are split."""
        coarse = events(self._message, self._chunk, in_pieces=False)
        return Stencil(dumps(fold(event.payload for event in coarse)), self._looks)

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


@dataclass(frozen=True, slots=True, init=False)
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

"""The same reply in an awkward but legal framing: a client that reads by the rules must not notice.

What server-sent events allow (HTML standard, 9.2): CR, LF or CRLF, comments, `id:` and `retry:` lines, data over
several lines. What TCP allows: pieces of any size. What the API allows: pings anywhere, deltas of nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, ClassVar

from mock_server.protocol.events import PING
from mock_server.protocol.plan import Manner, Payload, Plan, Send, Step, Wait, rolled, unrolled
from mock_server.protocol.sse import dumps, encode
from mock_server.protocol.sse import frame as frame_of
from mock_server.records import dataclass
from mock_server.scenario.place import Site, event_of, said_by

_EMPTY = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_COMMENTS = (": keep-alive", ":", ": OPENROUTER PROCESSING", ":x")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Legal but awkward framing, drawn from its own seed, or from the request's where it has none."""

    type: ClassVar[str] = "wire"
    seed: int | None = None

    def apply(self, plan: Plan, site: Site) -> Plan:
        draw = site.random if self.seed is None else Random(f"wire {self.seed}")
        manner = (plan.manner or Manner())._replace(apart=True)
        steps = unrolled(plan)
        if plan.stream:
            newline = draw.choice(("\n", "\r\n", "\r"))
            steps = [one for step in steps for one in _framed(step, newline, draw)]
        return rolled(plan, _pieces(steps, draw))._replace(manner=manner)


# -- the events ------------------------------------------------------------------------------------------------------


def _framed(step: Step, newline: str, draw: Random) -> Iterator[Step]:
    """An event in other words, and what may stand before it."""
    if isinstance(step, Wait):
        yield step
        return
    delay, payload = step.delay, said_by(step)
    if not payload:
        yield step
        return
    event = event_of(step)
    if event == "content_block_delta" and payload["delta"].get("type") in _EMPTY and draw.random() < 0.15:
        yield Send(delay, _said(_without_text(payload), newline, draw))
        delay = 0
    if event not in ("message_start", "error") and draw.random() < 0.1:
        yield Send(delay, _said(PING, newline, draw))
        delay = 0
    yield Send(delay, _said(payload, newline, draw))


def _without_text(payload: Payload) -> dict[str, Any]:
    kind = payload["delta"]["type"]
    return {**payload, "delta": {"type": kind, _EMPTY[kind]: ""}}


def _said(payload: Payload, newline: str, draw: Random) -> bytes:
    """One event as a block of lines."""
    plain = frame_of(payload).decode("utf-8").split("\n")[0]
    lines = [plain, *_data(dumps(payload), draw)]
    for chance, line in _BESIDE:
        if draw.random() < chance:
            lines.insert(draw.randrange(len(lines) + 1), line(draw))
    before = [draw.choice(_COMMENTS), ""] if draw.random() < 0.1 else []
    return encode(newline.join([*before, *lines, "", ""]))


_BESIDE: Sequence[tuple[float, Callable[[Random], str]]] = (
    (0.15, lambda draw: draw.choice(_COMMENTS)),
    (0.1, lambda draw: f"id: {draw.randrange(1000)}"),
    (0.05, lambda draw: f"retry: {draw.randrange(100, 5000)}"),
    (0.05, lambda draw: f"x-unknown: {draw.randrange(10)}"),
)


def _data(text: str, draw: Random) -> list[str]:
    """The data lines of a JSON text, broken where JSON allows white space."""
    commas = _commas(text)
    if not commas or draw.random() < 0.75:
        return [draw.choice(("data: ", "data:")) + text]
    cuts = sorted(draw.sample(commas, min(len(commas), draw.randint(1, 2))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return [f"data: {piece}" for piece in pieces]


def _commas(text: str) -> list[int]:
    """The places behind the commas that stand outside of texts."""
    found, quoted, escaped = [], False, False
    for at, sign in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and sign == "\\":
            escaped = True
        elif sign == '"':
            quoted = not quoted
        elif sign == "," and not quoted:
            found.append(at + 1)
    return found


# -- the bytes -------------------------------------------------------------------------------------------------------


def _pieces(steps: Sequence[Step], draw: Random) -> Iterator[Step]:
    """The same bytes in writes of any size: some hold several frames, some a part of one, down to a single byte."""
    delay, held = 0, b""
    for step in steps:
        if isinstance(step, Wait):
            yield from _split(delay, held, draw)
            delay, held = 0, b""
            yield step
            continue
        delay, held = delay + step.delay, held + step.frame
        if draw.random() < 0.7:
            yield from _split(delay, held, draw)
            delay, held = 0, b""
    yield from _split(delay, held, draw)


def _split(delay: int, data: bytes, draw: Random) -> Iterator[Step]:
    if not data:
        return
    cuts = {draw.randrange(1, len(data)) for _ in range(draw.choice((0, 1, 1, 2, 3)))} if len(data) > 1 else set()
    if len(data) > 4 and draw.random() < 0.1:
        cuts |= set(range(1, 5))
    ends = [*sorted(cuts), len(data)]
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        yield Send(0 if start else delay, data[start:end])

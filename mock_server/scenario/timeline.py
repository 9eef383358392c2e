"""When the events of a recorded stream came -> the `timing` that plays a scenario's reply at those times."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from mock_server.protocol.blocks import Block, ToolUse
from mock_server.protocol.chunk import Chunk
from mock_server.scenario.durations import CHUNKS
from mock_server.scenario.recording import NoTranscript

# delta type -> the key of the text it adds; other deltas come whole
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}

Delta = Mapping[str, Any]


def timing_of(entry: Any, reply: Sequence[Block]) -> dict[str, Any]:
    """The timing of a reply, as an author would write it, from an entry of the journal. Raises NoTranscript.

    The chunk is the one that the recording shows, none where that is how the API splits texts by itself. Where it shows
    none of ours, the reply comes token by token, each token when the delta that held its end came.
    """
    recorded = _Recorded(_events(entry))
    chunk: Chunk | None = next((one for one in (None, *CHUNKS) if recorded.is_split(reply, one)), "token")
    if chunk == "token" and not any(isinstance(block, ToolUse) for block in reply):
        chunk = None  # the same, but for the input of calls
    offsets = [_duration(at) for at in recorded.offsets(reply, chunk)]
    return {**({} if chunk is None else {"chunk": chunk}), "replay": {"events": offsets}}


def _events(entry: Any) -> list[tuple[float, Mapping[str, Any]]]:
    """Milliseconds and payload of every event but pings; what was never sent stands at the time it was due."""
    listed = entry.get("events") if isinstance(entry, Mapping) else None
    if not isinstance(listed, list) or not listed:
        raise NoTranscript("only an entry of the journal whose reply was a stream tells when its events came")
    found, latest = [], 0.0
    for at, event in enumerate(listed):
        payload, sent = (event.get("payload"), _time(event)) if isinstance(event, Mapping) else (None, None)
        if not isinstance(payload, Mapping) or sent is None:
            raise NoTranscript(f"event {at + 1}: expected an object with a payload and sent_ms or due_ms")
        latest = max(latest, sent)
        if payload.get("type") != "ping":
            found.append((latest, payload))
    if not found:
        raise NoTranscript("only pings were recorded")
    return found


def _time(event: Mapping[str, Any]) -> float | None:
    times = (event.get(key) for key in ("sent_ms", "due_ms"))
    return next((float(one) for one in times if isinstance(one, int | float) and one >= 0), None)


def _duration(ms: float) -> str:
    return f"{ms:.3f}".rstrip("0").rstrip(".") + "ms"


class _Recorded:
    """The events of a recorded stream, by the block they belong to."""

    def __init__(self, events: list[tuple[float, Mapping[str, Any]]]) -> None:
        self._at: dict[tuple[Any, Any], float] = {}
        self._deltas: dict[Any, list[tuple[float, Delta]]] = {}
        self._last = events[-1][0]
        for at, payload in events:
            self._at[payload.get("type"), payload.get("index")] = at
            if payload.get("type") == "content_block_delta" and isinstance(payload.get("delta"), Mapping):
                self._deltas.setdefault(payload.get("index"), []).append((at, payload["delta"]))

    def is_split(self, reply: Sequence[Block], chunk: Chunk | None) -> bool:
        """Whether the texts of the recording are split as `chunk` would split them."""
        return all(
            [_text(delta) for delta, _ in block.deltas(chunk) if delta is not None and _text(delta)]
            == [_text(delta) for _, delta in self._deltas.get(index, ()) if _text(delta)]
            for index, block in enumerate(reply)
        )

    def offsets(self, reply: Sequence[Block], chunk: Chunk | None) -> Iterator[float]:
        """The times of the events of the reply. An event that the recording has not comes with the one before it."""
        latest = 0.0
        for at in self._wanted(reply, chunk):
            latest = latest if at is None else max(latest, at)
            yield latest

    def _wanted(self, reply: Sequence[Block], chunk: Chunk | None) -> Iterator[float | None]:
        yield self._at.get(("message_start", None))
        if not reply:
            yield None  # the ping
        for index, block in enumerate(reply):
            yield self._at.get(("content_block_start", index))
            if not index:
                yield None  # the ping
            yield from self._delta_times(index, [one for one, _ in block.deltas(chunk) if one is not None])
            yield self._at.get(("content_block_stop", index))
        yield self._at.get(("message_delta", None))
        yield self._at.get(("message_stop", None), self._last)

    def _delta_times(self, index: int, wanted: Sequence[Delta]) -> Iterator[float | None]:
        """A piece of a text came with the delta that held its end; others came in their order."""
        recorded = self._deltas.get(index, [])
        texts = [(at, len(_text(delta))) for at, delta in recorded if _text(delta)]
        ends = list(accumulate(length for _, length in texts))
        others = iter([at for at, delta in recorded if not _text(delta) and delta.get("type") != "thinking_delta"])
        said = 0
        for delta in wanted:
            said += len(_text(delta))
            if _text(delta):
                yield texts[min(bisect_left(ends, said), len(texts) - 1)][0] if texts else None
            else:
                yield next(others, None)


def _text(delta: Delta) -> str:
    return str(delta.get(_TEXTS.get(str(delta.get("type")), ""), ""))

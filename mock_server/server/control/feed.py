"""The live stream of the journal: server-sent events for pages and terminals, so many a second and no more."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry, Lane
from mock_server.engine.masking import masked
from mock_server.protocol.sse import dumps, encode
from mock_server.server.control.views import summary

FIRST = 100
BATCH = 50
INTERVAL = 0.25
SILENCE = 15.0


class Feed:
    """Who watches, and what they are still to be told. Costs nothing while nobody watches."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.watchers: dict[Watcher, None] = {}  # who watches, in order; nobody else may change it
        self._levers = Levers(lambda: self.say("levers"))

    def came(self, entry: Entry, session: str) -> None:
        """An entry came, or ended."""
        self._levers.listen(entry.lane)
        for watcher in self.watchers:
            watcher.entry(entry, session)

    def say(self, event: str) -> None:
        """Something else happened: `scenarios`, `levers`, `reset`."""
        for watcher in self.watchers:
            watcher.say(event)

    async def watch(self, session: str | None) -> AsyncGenerator[bytes, None]:
        """Frames for one watcher, for ever: the newest entries, then what comes."""
        sessions = [one for one in self._engine.sessions.all() if session in (None, one.name, masked(one.name))]
        watcher = Watcher(sessions[0].name if session is not None and sessions else session)
        for one in sessions:
            self._levers.listen(one)
        self.watchers[watcher] = None
        held = [(entry, one.name) for one in sessions for entry in one.journal.entries()]
        newest = sorted(held, key=lambda pair: pair[0].number)[-FIRST:]
        for entry, name in newest:
            watcher.entry(entry, name)
        try:
            yield b": watching\n\n"
            await asyncio.to_thread(outline, [entry for entry, _ in newest])
            yield b"".join(watcher.take(FIRST))
            while True:
                try:
                    await asyncio.wait_for(watcher.told.wait(), SILENCE)
                except asyncio.TimeoutError:
                    yield b": still here\n\n"
                    continue
                yield b"".join(watcher.take(BATCH))
                await asyncio.sleep(INTERVAL)
        finally:
            del self.watchers[watcher]


def outline(entries: Iterable[Entry]) -> None:
    """Have worked out what is shown of large requests: that may take long, and others are answered meanwhile."""
    for entry in entries:
        if entry.is_large:
            _ = entry.outline


class Levers:
    """Hears when the clock of a session is turned, or a reply comes to one of its gates or leaves it."""

    due: float | None = None  # to the clock it is a sleeper that never has anything to do

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def listen(self, lane: Lane) -> None:
        """Listen to this session too."""
        lane.clock.add(self)
        lane.gates.subscribe(self.wake)

    def wake(self) -> None:
        self._tell()


class Watcher:
    """What one watcher is still to be told; an entry that changes twice is told once."""

    def __init__(self, session: str | None) -> None:
        self._session = session
        self._entries: dict[int, tuple[Entry, str]] = {}
        self._events: dict[str, None] = {}
        self._skipped = 0
        self.told = asyncio.Event()

    def entry(self, entry: Entry, session: str) -> None:
        if self._session not in (None, session):
            return
        self._entries.pop(entry.number, None)
        self._entries[entry.number] = (entry, session)
        if len(self._entries) > 4 * BATCH:
            del self._entries[next(iter(self._entries))]
            self._skipped += 1
        self.told.set()

    def say(self, event: str) -> None:
        self._events[event] = None
        self.told.set()

    def take(self, most: int) -> list[bytes]:
        """The frames due now: the newest `most` entries; the others are counted as skipped."""
        self.told.clear()
        events, self._events = self._events, {}
        entries, self._entries = list(self._entries.values()), {}
        left, entries = max(0, len(entries) - most), entries[-most:]
        skipped, self._skipped = self._skipped + left, 0
        frames = [_frame(event, {}) for event in events]
        if skipped:
            frames.append(_frame("skipped", {"skipped": skipped}))
        return frames + [_frame("entry", summary(entry, session)) for entry, session in entries]


def _frame(event: str, data: object) -> bytes:
    return encode(f"event: {event}\ndata: {dumps(data)}\n\n")

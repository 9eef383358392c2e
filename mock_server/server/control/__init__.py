"""The control API and the page, `/_mock/…` and `/`: who may use them, the page's files, the live stream of the journal,
and the desk that has each request answered.

A route is one function in `handlers.py` and its row in `routes.py`; the OpenAPI document is made from the same rows.
"""

import asyncio
import hmac
from asyncio import sleep
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from mock_server.clock import Clock
from mock_server.deferred import Deferred
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry, Lane
from mock_server.engine.masking import masked
from mock_server.protocol.expression import OverLimit, bounded
from mock_server.protocol.plan import Headers, Plan, whole
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps, encode
from mock_server.scenario.node import ScenarioError
from mock_server.server.control.answers import PREFIX, STREAM, ControlError, Query, RouteAnswer
from mock_server.whereabouts import is_loopback

if TYPE_CHECKING:
    from mock_server.server.control import handlers as _handlers
    from mock_server.server.control import routes as _routes
    from mock_server.server.control import views as _views
else:  # most servers never need them
    _handlers, _routes, _views = (Deferred(f"{__name__}.{one}", globals()) for one in ("handlers", "routes", "views"))

# Who may use the control API. On loopback: pages of this very server only, against DNS rebinding and foreign sites.
# Bound elsewhere: whoever has the token.


def _split(url: str) -> SplitResult | None:
    """The parts of a URL; None when it is none, such as `http://[`."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


class AccessGuard:
    """Checks requests to `/_mock/` and the page. `token` None: bound to loopback, no token needed."""

    def __init__(self, token: str | None) -> None:
        self.token = token

    def check(self, headers: Mapping[str, str], query: Mapping[str, str], *, is_page: bool = False) -> None:
        """Raises ControlError (403 for a foreign page, 401 without the token)."""
        if self.token is None:
            self._check_host(headers)
        elif not is_page:
            self._check_token(headers, query)
        self._check_origin(headers)

    def _check_host(self, headers: Mapping[str, str]) -> None:
        authority = headers.get("host", "")
        host = _split("//" + authority)
        if host is None or not is_loopback(host.hostname or ""):
            raise ControlError(403, f"Host '{authority}' is not this machine", "use 127.0.0.1 or localhost")

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        origin = headers.get("origin")
        if origin is None:
            return
        site = None if origin == "null" else _split(origin)
        if site is None or site.netloc.lower() != headers.get("host", "").lower():
            raise ControlError(403, f"Origin '{origin}' is another site", "only this server's own page may ask")

    def _check_token(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = query.get("token", "")
        if not hmac.compare_digest(token.strip().encode(), (self.token or "").encode()):
            raise ControlError(
                401, "the control API needs its token here", "authorization: Bearer MOCK_SERVER_CONTROL_TOKEN"
            )


# The files of the journal page, with the headers that keep it to itself.

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Headers = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
)
PATHS = ("/", "/_mock/ui", "/_mock/ui/")


def is_page(path: str) -> bool:
    """Whether a path is of the page."""
    return path in PATHS or path.startswith("/_mock/ui/")


class Page:
    """The files, read once; `base_path` stands in the base URL that the page shows."""

    def __init__(self, base_path: str = "") -> None:
        self._files: Mapping[str, bytes] | None = None
        self._base_path = base_path

    def answer(self, path: str) -> Plan:
        """One file. Raises ControlError (404)."""
        if self._files is None:
            from importlib.resources import files  # only who looks at the page needs it

            folder = files("mock_server.server") / "page"
            found = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
            meta = b'name="base-path" content="%b"' % self._base_path.encode()
            found["index.html"] = found["index.html"].replace(b'name="base-path" content=""', meta)
            self._files = found
        name = "index.html" if path in PATHS else path.removeprefix("/_mock/ui/")
        data = self._files.get(name)
        if data is None:
            raise ControlError(404, f"no file {name} on this page", "the page is at /")
        kind = _TYPES.get(name[name.rfind(".") :], "application/octet-stream")
        return whole(200, (("content-type", f"{kind}; charset=utf-8"), *_HEADERS), data)


# The live stream of the journal: server-sent events for pages and terminals, so many a second and no more.

FIRST = 100  # entries that a watcher gets at once
BATCH = 50  # entries in one write
INTERVAL = 0.25  # seconds between two writes
SILENCE = 15.0  # seconds without anything, after which a comment goes out


class Feed:
    """Who watches, and what they are still to get. Costs nothing while nobody watches."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.watchers: dict[Watcher, None] = {}  # who watches, in order; nobody else may change it
        self._controls = ControlStates(lambda: self.say("levers"))

    def came(self, entry: Entry, session: str) -> None:
        """An entry came, or ended."""
        self._controls.listen(entry.lane)
        if entry.exchange.moved:
            self.say("levers")
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
            self._controls.listen(one)
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
                    await asyncio.wait_for(watcher.changed.wait(), SILENCE)
                except asyncio.TimeoutError:
                    yield b": still here\n\n"
                    continue
                yield b"".join(watcher.take(BATCH))
                await sleep(INTERVAL)
        finally:
            del self.watchers[watcher]


def outline(entries: Iterable[Entry]) -> None:
    """Have worked out what is shown of large requests: that may take long, and others are answered meanwhile."""
    for entry in entries:
        if entry.is_large:
            _ = entry.outline


class ControlStates:
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
    """What one watcher is still to get; an entry that changes twice is sent once."""

    def __init__(self, session: str | None) -> None:
        self._session = session
        self._entries: dict[int, tuple[Entry, str]] = {}
        self._events: dict[str, None] = {}
        self._skipped = 0
        self.changed = asyncio.Event()

    def entry(self, entry: Entry, session: str) -> None:
        if self._session not in (None, session):
            return
        self._entries.pop(entry.number, None)
        self._entries[entry.number] = (entry, session)
        if len(self._entries) > 4 * BATCH:
            del self._entries[next(iter(self._entries))]
            self._skipped += 1
        self.changed.set()

    def say(self, event: str) -> None:
        self._events[event] = None
        self.changed.set()

    def take(self, most: int) -> list[bytes]:
        """The frames due now: the newest `most` entries; the others are counted as skipped."""
        self.changed.clear()
        events, self._events = self._events, {}
        entries, self._entries = list(self._entries.values()), {}
        left, entries = max(0, len(entries) - most), entries[-most:]
        skipped, self._skipped = self._skipped + left, 0
        frames = [_frame(event, {}) for event in events]
        if skipped:
            frames.append(_frame("skipped", {"skipped": skipped}))
        return frames + [_frame("entry", _views.summary(entry, session)) for entry, session in entries]


def _frame(event: str, data: object) -> bytes:
    return encode(f"event: {event}\ndata: {dumps(data)}\n\n")


__all__ = ["Desk", "Query"]
MOST_COMPARED_HERE = 10_000  # texts, letter by letter: whoever asks what came near waits for it alone


class Standing:
    """How the server stands: since when it is up, what is wrong with the last reload, and who hears of changes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock.now()
        self._load_error: ScenarioError | None = None
        self.changed: Callable[[], None] = lambda: None

    @property
    def uptime(self) -> float:
        """Seconds."""
        return self._clock.now() - self._started

    @property
    def load_error(self) -> ScenarioError | None:
        return self._load_error

    @load_error.setter
    def load_error(self, error: ScenarioError | None) -> None:
        self._load_error = error
        self.changed()


class Desk:
    """The front of the control API: who may ask, which function answers, what an error looks like."""

    def __init__(self, engine: Engine, clock: Clock, token: str | None) -> None:
        self.standing = Standing(clock)
        self._engine = engine
        self.feed = Feed(engine)
        self._guard = AccessGuard(token)
        self._page = Page(engine.settings.base_path)
        self.standing.changed = lambda: self.feed.say("scenarios")

    @cached_property
    def control(self) -> "_handlers.Control":
        """What the functions behind the routes share."""
        return _handlers.Control(self._engine, self.standing)

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path is the desk's rather than the emulated API's."""
        return path.startswith(PREFIX) or is_page(path)

    def takes_long(self, http: HttpRequest) -> bool:
        """Whether this request is for the desk, and may take it so long that others should not wait for it."""
        return http.session is None and self.serves(http.path) and _routes.is_apart(http.method, http.path)

    def is_stream(self, query: Query) -> bool:
        """Whether a request is for the live stream, and may have it. Raises ControlError."""
        if query.path != STREAM or query.method != "GET":
            return False
        self._guard.check(query.headers, query.query)
        _routes.check(_routes.find(query.method, query.path)[0], query.query)
        return True

    def answer(self, query: Query) -> Plan:
        """The reply to one control request."""
        try:
            with bounded() as left:
                left.comparisons = MOST_COMPARED_HERE
                return self._answer(query)
        except ControlError as error:
            return RouteAnswer(error.status, error.body).plan
        except OverLimit as error:
            return RouteAnswer(
                422, {"error": str(error), "hint": "a condition that takes less, or one on fewer requests"}
            ).plan

    def _answer(self, query: Query) -> Plan:
        if is_page(query.path):
            self._guard.check(query.headers, query.query, is_page=True)
            if query.method not in ("GET", "HEAD"):
                raise ControlError(405, f"the page does not answer {query.method}", "use GET")
            return self._page.answer(query.path)
        route, rest = _routes.find(query.method, query.path)
        if not route.open:
            self._guard.check(query.headers, query.query)
        _routes.check(route, query.query)
        if len(query.body) > route.most and not route.apart:
            what = f"a body of {len(query.body):,} bytes is read while others wait"
            raise ControlError(413, what, f"{route.most:,} at most here; send it in parts")
        answer = route.run(self.control, query._replace(rest=rest))
        if (route.method == "DELETE" and route.path == "journal") or route.path == "reset":
            self.feed.say("reset")
        return answer.plan

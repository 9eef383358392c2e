"""A running server: its listening sockets, its certificate, the files it watches, its start and stop. For the command
line and for whoever brings an event loop.
"""

import asyncio
import contextlib
import errno
import functools
import logging
import os
import secrets
import shutil
import socket
import ssl
import stat
import tempfile
from asyncio import sleep
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mock_server.clock import Clock, SystemClock
from mock_server.engine.engine import Engine, Prepared
from mock_server.engine.masking import MASKING
from mock_server.scenario.load import Loader, files, is_empty, library, load_overlays
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import Problem, ScenarioError
from mock_server.scenario.profiles import load_profile
from mock_server.server.app import App
from mock_server.server.body import make_folder
from mock_server.server.connection import Server
from mock_server.server.control import Desk
from mock_server.settings import SettingError, Settings, base_path
from mock_server.whereabouts import is_any, is_loopback, url_of

if TYPE_CHECKING:
    from mock_server.server.journal_file import JournalFile

# Where connections come in: the listening sockets of one address.
#
# The loops' own servers do not bear a process that has no descriptor left: asyncio writes ten thousands of tracebacks
# a second, uvloop closes what comes. Here it waits until others have ended, and one line in the log says so.

log = logging.getLogger("mock_server")
BACKLOG = 4096
CLOSING = 0.5  # seconds for what is under way when the server stops
AT_ONCE = 100  # connections that are taken before others have their turn
PAUSE = 0.25  # seconds
SILENCE = 60.0  # seconds between two lines in the log


class Door:
    """Takes every connection that comes, and makes its protocol."""

    def __init__(self, make: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None = None) -> None:
        """`tls`: what connections are encrypted by, if they are."""
        self._make = make
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._taking: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._logged: float | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen on every address of a host; the port. Raises OSError, OverflowError."""
        try:
            for family, address in await self._addresses(host, port):
                self._listen(family, address)
        except BaseException:
            self.shut()
            raise
        if not self._sockets:
            raise OSError(errno.EADDRNOTAVAIL, "no address of this machine")
        try:
            self._watch()
        except NotImplementedError:  # Windows: the loop's own way
            self._servers = [
                await self._loop.create_server(self._make, sock=one, ssl=self._tls) for one in self._sockets
            ]
        return int(self._sockets[0].getsockname()[1])

    async def _addresses(self, host: str, port: int) -> Iterable[tuple[int, tuple[object, ...]]]:
        """Family and address of each that the host has."""
        kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
        try:
            try:  # a number needs no thread that waits for somebody who knows the name
                found = socket.getaddrinfo(host.encode(), port, type=kind, flags=flags | socket.AI_NUMERICHOST)
            except socket.gaierror:
                found = await self._loop.getaddrinfo(host, port, type=kind, flags=flags)
        except UnicodeError:  # two dots in a row, for one
            raise OSError(errno.EINVAL, "not the name of a host") from None
        return dict.fromkeys((one[0], one[4]) for one in found)

    def _listen(self, family: int, address: tuple[object, ...]) -> None:
        try:
            listening = socket.create_server(address, family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:  # a name with an address of IPv6 on a machine without it
                return
            raise
        listening.setblocking(False)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # every connection inherits it
        self._sockets.append(listening)

    def _watch(self) -> None:
        self._pause = None
        for one in self._sockets:
            self._loop.add_reader(one, self._accept, one)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                client, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError as error:
                self._wait(error)
                return
            client.setblocking(False)
            task = self._loop.create_task(self._take(client), name="mock-server connection")
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def _take(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, client, ssl=self._tls)
        except OSError:  # it has left already
            client.close()

    def _wait(self, error: OSError) -> None:
        """Let what comes wait in the system's queue until some connections have ended."""
        for one in self._sockets:
            self._loop.remove_reader(one)
        self._pause = self._loop.call_later(PAUSE, self._watch)
        now = self._loop.time()
        if self._logged is None or now - self._logged > SILENCE:
            log.error("no further connection can be taken until others end: %s", error.strerror)
            self._logged = now

    def shut(self) -> None:
        """Listen no more."""
        if self._pause is not None:
            self._pause.cancel()
        for server in self._servers:
            server.close()
        for one in self._sockets:
            with contextlib.suppress(NotImplementedError):
                self._loop.remove_reader(one)
            one.close()
        self._sockets, self._servers = [], []


# What a server shows to clients that speak TLS: certificate and key of the user, or made here by the extra `tls`.

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - can be written where a container's own file system cannot


class Identity:
    """The certificate of one server. `ca` is the file that clients must trust, when it was made here."""

    def __init__(self, context: ssl.SSLContext, ca: Path | None = None) -> None:
        context.set_alpn_protocols(["http/1.1"])
        self.context = context
        self.ca = ca

    def forget(self) -> None:
        """Remove what was made."""
        if self.ca is not None:
            shutil.rmtree(self.ca.parent, ignore_errors=True)


def identity(settings: Settings) -> Identity | None:
    """The certificate that these settings want; None: plain HTTP. Raises SettingError for files that do not do."""
    made = settings.tls == "self-signed"
    if made and (settings.tls_cert or settings.tls_key):
        raise SettingError("--tls self-signed makes its own certificate; leave out --tls-cert and --tls-key, or it")
    if made:
        return _made(settings.host)
    if settings.tls_cert is None:
        if settings.tls_key is not None:
            raise SettingError("--tls-key belongs to a certificate: give --tls-cert too")
        return None
    return Identity(_loaded(settings.tls_cert, settings.tls_key))


def _loaded(certificate: str, key: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for flag, file in (("--tls-cert", certificate), ("--tls-key", key)):
        if file is not None:
            _check(flag, file)
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except ssl.SSLError as error:
        files = certificate if key is None else f"{certificate} and {key}"
        reason = {"KEY_VALUES_MISMATCH": "the key is not that of the certificate"}.get(error.reason or "")
        expected = "expected PEM: the certificate, its chain, and the key" + (" (or --tls-key)" if key is None else "")
        raise SettingError(f"--tls-cert: {files}: {reason or expected}") from None
    return context


def _check(flag: str, file: str) -> None:
    """Raises SettingError for what cannot be read; a pipe would wait for its other end."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise SettingError(f"{flag}: {file}: not a file")
        with open(file, "rb"):
            pass
    except OSError as error:
        raise SettingError(f"{flag}: {file}: cannot be read: {error.strerror}") from None


def _no_password() -> str:
    raise SettingError("--tls-key: the key has a password; give one without")


def _made(host: str) -> Identity:
    """A certificate for the names of this machine, by an authority of its own that lives as long as the server."""
    try:
        import trustme
    except ImportError:
        raise SettingError(
            "--tls self-signed needs trustme, which the extra `tls` brings: pip install trustme"
        ) from None
    folder = _folder()
    authority = trustme.CA()
    names = ["localhost", "127.0.0.1", "::1"]
    names += [] if is_any(host) or host in names else [host]
    try:
        certificate = authority.issue_cert(*names, socket.gethostname())
    except ValueError:  # a machine can have a name that no certificate can (`my_host`)
        certificate = authority.issue_cert(*names)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with certificate.private_key_and_cert_chain_pem.tempfile(dir=str(folder)) as file:
        context.load_cert_chain(file)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return Identity(context, folder / "ca.pem")


def _folder() -> Path:
    """A folder of its own for what is made, wherever one can be made."""
    for place in (os.environ.get("XDG_RUNTIME_DIR") or None, None, SHARED_MEMORY):
        try:
            return Path(tempfile.mkdtemp(prefix="mock-server-", dir=place))
        except OSError:
            continue
    raise SettingError("--tls self-signed: no folder to put its CA into; set TMPDIR to one that can be written")


# Watches scenario files and loads them again when one is changed, added, renamed or removed.
#
# Editors write in steps: a change counts once the files have looked the same twice, and what changed while it was read
# is read again. Only changed files are parsed. Parsing and compiling happen beside the event loop, the swap is one
# step.

INTERVAL = 0.3
SETTLING = 0.05
MOST_CHANGES = 40  # looks at files that keep changing, before they are read as they are

State = tuple[tuple[str, int, int, int], ...]
_T = TypeVar("_T")


def state(paths: Sequence[str | Path]) -> State:
    """What the files look like now: path, time of change, size, inode."""
    try:
        found = files(paths)
    except ScenarioError:
        return ()
    seen = []
    for file in found:
        try:
            stat = file.stat()
        except OSError:
            continue
        seen.append((str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(seen)


async def watch(
    paths: Sequence[str | Path],
    load: Callable[[Sequence[str | Path]], tuple[Scenario, ...]],
    prepare: Callable[[tuple[Scenario, ...]], _T],
    loaded: Callable[[_T], None],
    failed: Callable[[ScenarioError], None],
    known: State,
) -> None:
    """Until cancelled: after every change `load` and `prepare` the new set in a thread and call `loaded` with what that
    gives, or `failed` with what is wrong with the files. The set in force stays until then."""
    while True:
        await sleep(INTERVAL)
        now = await asyncio.to_thread(state, paths)
        if now == known:
            continue
        known = await _settled(paths, now)
        try:
            scenarios = await asyncio.to_thread(load, paths)
            prepared = await asyncio.to_thread(prepare, scenarios)
        except ScenarioError as error:
            if await asyncio.to_thread(state, paths) != known:
                known = ()  # it changed while it was read: what is wrong may be no more
                continue
            log.error("scenarios not reloaded, the last good ones stay in force:\n%s", error)
            failed(error)
        except Exception as error:
            log.exception("scenarios not reloaded, the last good ones stay in force")
            failed(ScenarioError([Problem("a fault of mock-server", None, f"{type(error).__name__}: {error}")]))
        else:
            log.info("scenarios reloaded: %d", len(scenarios))
            loaded(prepared)


async def _settled(paths: Sequence[str | Path], seen: State) -> State:
    """What the files look like once they keep still."""
    for _ in range(MOST_CHANGES):
        await sleep(SETTLING)
        now = await asyncio.to_thread(state, paths)
        if now == seen:
            break
        seen = now
    return seen


# A line of the log is no reason to stop, where a test has patched `time.time` into one that raises.

_BLANK = logging.makeLogRecord({})
_FIELDS = ("name", "levelno", "pathname", "lineno", "msg", "args", "exc_info", "funcName")


def _record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """What the logger's own class makes of a line; without the clock where that raises."""
    try:
        return type(log).makeRecord(log, *args, **kwargs)
    except Exception:
        record = copy(_BLANK)
        vars(record).update(zip(_FIELDS, args, strict=False), levelname=logging.getLevelName(args[1]))
        return record


class Runner:
    """One server on one loop. `start` binds and listens, `stop` ends open streams and closes."""

    def __init__(self, settings: Settings, paths: Sequence[str | Path], clock: Clock | None = None) -> None:
        """Load everything. Raises ScenarioError for the author's mistakes; nothing listens yet."""
        self.settings = settings = replace(settings, base_path=base_path(settings.base_path))
        self._paths = (*paths, *settings.chaos)
        log.addFilter(MASKING)
        log.makeRecord = _record  # type: ignore[method-assign]
        clock = clock or SystemClock()
        profiles = functools.cache(load_profile)
        self.engine = Engine(settings, profiles(settings.profile, settings.catalogue), clock, profiles)
        self._known: State = state(self._paths) if settings.reload else ()
        self._loader = Loader()
        self.engine.load(self._load(self._paths) if self._paths else ())
        self.token = None if is_loopback(settings.host) else settings.control_token or secrets.token_urlsafe(18)
        self.desk = Desk(self.engine, clock, self.token)
        self._file: JournalFile | None = None
        self._watching: asyncio.Task[None] | None = None
        self._app: App | None = None
        self._server: Server | None = None
        self._door: Door | None = None
        self._identity: Identity | None = None
        self.host, self.port = settings.host, settings.port

    @property
    def url(self) -> str:
        """The base URL for clients, with the base path."""
        tls = self.settings.tls != "off" or self.settings.tls_cert is not None
        return url_of(self.host, self.port, self.settings.base_path, tls=tls)

    @property
    def ca(self) -> Path | None:
        """The certificate authority that clients must trust, when it was made here; only while the server runs."""
        return None if self._identity is None else self._identity.ca

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken or not ours, Unusable for a file or folder of a setting,
        SettingError for TLS that cannot be.
        """
        try:
            await self._open()
        except BaseException:  # what was made until then goes again
            await self.stop()
            raise
        if self.settings.reload and self._paths:
            self._watching = asyncio.create_task(
                watch(self._paths, self._load, self.engine.prepare, self._loaded, self._failed, self._known),
                name="mock-server reload",
            )

    async def _open(self) -> None:
        self._identity = identity(self.settings)
        make_folder(self.settings.files)
        if self.settings.journal is not None:
            from mock_server.server.journal_file import JournalFile  # most servers keep none

            self._file = JournalFile(self.settings.journal)
        self._app = App(self.engine, self.desk, self._file)
        self._server = Server(self._app)
        self._door = Door(self._server, None if self._identity is None else self._identity.context)
        self.port = await self._door.open(self.host, self.port)

    async def drain(self, enough: asyncio.Event) -> None:
        """Take no new connection, and give replies under way their time to end, until `enough` is set."""
        if self._door is None:
            return
        self._door.shut()
        now = asyncio.get_running_loop().time
        deadline = now() + self.settings.drain
        while self.under_way() and now() < deadline and not enough.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(enough.wait(), 0.05)

    def came(self) -> int:
        """How many requests have come."""
        return self.engine.journals.total

    def under_way(self) -> int:
        """How many of them are not answered yet, or not to the end."""
        waiting = 0 if self._app is None else len(self._app.inbox)
        return waiting + sum(session.journal.open for session in self.engine.sessions.all())

    async def stop(self) -> None:
        """Close. Open streams are cut; a client sees its connection end."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        if self._server is not None:
            if self._door is not None:
                self._door.shut()
            for session in self.engine.sessions.all():
                session.journal.cut_open()
            self._server.cut()
            await sleep(0)  # what has come begins to be answered, and ends
            self._server.pre_shutdown()
            await self._server.shutdown(CLOSING)
        if self._app is not None:
            self._app.close()
        for session in self.engine.sessions.all():
            session.files.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._identity is not None:
            self._identity.forget()
            self._identity = None

    @property
    def stands_in(self) -> list[str]:
        """The folders that the built-in library stands in for now, since they hold no scenario file."""
        wanted = self._paths if self.settings.library_if_empty else ()
        return [str(path) for path in wanted if is_empty(Path(path))]

    def _load(self, paths: Sequence[str | Path]) -> tuple[Scenario, ...]:
        """Everything to serve. Raises ScenarioError, also for files of chaos that answer something."""
        if self.settings.chaos:
            load_overlays(self.settings.chaos)
        empty = self.stands_in
        return self._loader.load([library() if str(path) in empty else path for path in paths])

    def _loaded(self, prepared: Prepared) -> None:
        self.engine.swap(prepared)
        self.desk.standing.load_error = None

    def _failed(self, error: ScenarioError) -> None:
        self.desk.standing.load_error = error

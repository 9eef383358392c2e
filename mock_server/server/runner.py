"""A running server: start, address, stop. For the command line and for whoever brings an event loop."""

import asyncio
import contextlib
import functools
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from mock_server.clock import SystemClock
from mock_server.engine.engine import Engine, Prepared
from mock_server.engine.masking import MASKING
from mock_server.scenario.load import Loader, is_empty, library, load_overlays
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.profiles import load_profile
from mock_server.server.app import App
from mock_server.server.connection import Server
from mock_server.server.control import Desk
from mock_server.server.control.control import Control
from mock_server.server.door import Door
from mock_server.server.journal_file import JournalFile
from mock_server.server.reload import State, state, watch
from mock_server.server.tls import Identity, identity
from mock_server.server.upload import make_folder
from mock_server.settings import Settings, base_path
from mock_server.whereabouts import is_loopback, url_of


class Runner:
    """One server on one loop. `start` binds and listens, `stop` ends open streams and closes."""

    def __init__(self, settings: Settings, paths: Sequence[str | Path]) -> None:
        """Load everything. Raises ScenarioError for the author's mistakes; nothing listens yet."""
        self.settings = settings = replace(settings, base_path=base_path(settings.base_path))
        self._paths = (*paths, *settings.chaos)
        logging.getLogger("mock_server").addFilter(MASKING)
        clock = SystemClock()
        profiles = functools.cache(load_profile)
        self.engine = Engine(settings, profiles(settings.profile, settings.catalogue), clock, profiles)
        self._known: State = state(self._paths) if settings.reload else ()
        self._loader = Loader()
        self.engine.load(self._load(self._paths) if self._paths else ())
        self.control = Control(self.engine, clock)
        self.token = None if is_loopback(settings.host) else settings.control_token or secrets.token_urlsafe(18)
        self._file: JournalFile | None = None
        self._watching: asyncio.Task[None] | None = None
        self._app: App | None = None
        self._server: Server | None = None
        self._runner: web.ServerRunner | None = None
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
            self._file = JournalFile(self.settings.journal)
        self._app = App(self.engine, Desk(self.control, self.engine, self.token), self._file)
        self._server = Server(self._app)
        self._runner = web.ServerRunner(self._server, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        self._door = Door(self._server, None if self._identity is None else self._identity.context)
        self.port = await self._door.open(self.host, self.port)

    async def drain(self, enough: asyncio.Event) -> None:
        """Take no new connection, and give replies under way their time to end, until `enough` is set."""
        if self._door is None:
            return
        self._door.shut()
        deadline = time.monotonic() + self.settings.drain
        while self.under_way() and time.monotonic() < deadline and not enough.is_set():
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
        if self._server is not None and self._runner is not None:
            if self._door is not None:
                self._door.shut()
            for session in self.engine.sessions.all():
                session.journal.cut_open()
            self._server.cut()
            await self._runner.cleanup()
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
        self.control.load_error = None

    def _failed(self, error: ScenarioError) -> None:
        self.control.load_error = error

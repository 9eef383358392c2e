"""The engine: an HTTP request in, an Exchange out. No socket, no wait; the one place where errors become replies."""

import fnmatch
import hashlib
import logging
import random
from collections.abc import Iterable
from dataclasses import replace

from mock_server.clock import Clock, SystemClock
from mock_server.engine import seeds
from mock_server.engine.endpoints import ENDPOINTS, Endpoint
from mock_server.engine.exchange import Call, Exchange
from mock_server.engine.failure import failure
from mock_server.engine.library import CompiledScenario, Library, compile_scenario
from mock_server.engine.session import Session, Sessions
from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.tokens import TokenCounter
from mock_server.scenario.generate import Generator
from mock_server.scenario.model import PRESETS, Scenario
from mock_server.settings import Settings

log = logging.getLogger("mock_server")
MAX_BODY = 32 * 1024 * 1024


class Engine:
    """Answers requests from scenarios. `load` swaps the served scenarios whole; sessions add their own on top."""

    def __init__(self, settings: Settings, profile: Profile, clock: Clock | None = None) -> None:
        self.settings = settings
        self.profile = replace(profile, any_model=settings.any_model)
        self.timing = PRESETS[settings.timing]
        self.counter = TokenCounter()
        self.generator = Generator()
        self.sessions = Sessions(clock or SystemClock())
        self._chance = random.Random()
        self._served: tuple[CompiledScenario, ...] = ()

    def load(self, scenarios: Iterable[Scenario]) -> None:
        """Serve these scenarios instead of those before. Requests under way keep what they have."""
        self._served = tuple(compile_scenario(one, self.profile, self.timing) for one in scenarios)

    def add(self, session: Session, *scenarios: Scenario) -> None:
        """Put scenarios before all others, for one session."""
        session.add(*(compile_scenario(one, self.profile, self.timing) for one in scenarios))

    @property
    def scenarios(self) -> int:
        """How many scenarios are served to everybody."""
        return len(self._served)

    def library(self, session: Session) -> Library:
        """What this session is answered from: its own scenarios, then the served ones."""
        return session.library(self._served)

    def handle(self, http: HttpRequest) -> Exchange:
        """Answer one request. Never raises: the client's mistakes and ours both become replies."""
        ids = seeds.Ids(self._early_seed(http), self._chance)
        try:
            return self._answer(http, ids)
        except ApiError as error:
            return self.refuse(error, ids)
        except RecursionError:
            return self.refuse(invalid("The request body is nested too deeply"), ids)
        except Exception:
            log.exception("a fault of mock-server while answering %s %s", http.method, http.path)
            return self.refuse(ApiError("api_error"), ids)

    def refuse(self, error: ApiError, ids: seeds.Ids | None = None) -> Exchange:
        """The reply that tells an error."""
        request_id = (ids or seeds.Ids(None)).request()
        return Exchange(failure(error, self.profile, request_id), note=str(error))

    def _early_seed(self, http: HttpRequest) -> bytes | None:
        """What ids are drawn from before a request is understood: with a seed, the bytes that came."""
        if self.settings.seed is None:
            return None
        said = hashlib.blake2b(f"{http.method} {http.path}".encode() + http.body, digest_size=16).digest()
        return seeds.exchange_seed(self.settings.seed, "", said, 0)

    def _answer(self, http: HttpRequest, ids: seeds.Ids) -> Exchange:
        endpoint = _route(http)
        key = self._key(http)
        self._check_version(http)
        session = self.sessions.of(http.headers.get("x-mock-session") or http.session, key)
        return endpoint(self, Call(http, session, key, ids))

    def _key(self, http: HttpRequest) -> str:
        """The API key: x-api-key, else the bearer token; x-api-key wins when both come. Rules 1 to 3."""
        key = http.headers.get("x-api-key", "").strip()
        scheme, _, token = http.headers.get("authorization", "").partition(" ")
        if not key and scheme.lower() == "bearer":
            key = token.strip()
        if not key:
            raise ApiError("authentication_error", "x-api-key header is required")
        allowed = self.settings.api_key
        if allowed and not any(fnmatch.fnmatchcase(key, glob) for glob in allowed):
            raise ApiError("authentication_error")
        return key

    def _check_version(self, http: HttpRequest) -> None:
        """Rules 4 and 5."""
        version = http.headers.get("anthropic-version")
        if version is None:
            if self.profile.version_required:
                raise invalid("anthropic-version: header is required")
        elif self.profile.versions and version not in self.profile.versions:
            raise invalid(f'anthropic-version: "{version}" is not a valid version')


def _route(http: HttpRequest) -> Endpoint:
    """The endpoint of a path and method. Rules 9 and 10."""
    methods = ENDPOINTS.get(http.path)
    if methods is None:
        raise ApiError("not_found_error", f"Not found: {http.path}; served are {', '.join(ENDPOINTS)}")
    if http.method not in methods:
        raise ApiError("invalid_request_error", "Method Not Allowed", status=405, headers={"allow": ", ".join(methods)})
    return methods[http.method]

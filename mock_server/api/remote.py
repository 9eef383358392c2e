"""MockClient: the verbs of MockServer on a server in another process or container, over its control API."""

import itertools
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mock_server.api.controls import POLL, Refused
from mock_server.api.session import Verbs
from mock_server.clock import SystemClock
from mock_server.engine.entry import Entry, without_keys
from mock_server.engine.exchange import Exchange
from mock_server.engine.journal import COUNTS, Hit, Journal, StillOpen, Tally
from mock_server.protocol.plan import JSON_HEADERS, Part, Plan, whole
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps, encode, frame
from mock_server.scenario.answer import Answer, name_of
from mock_server.scenario.conditions import Moved
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import Problem, ScenarioError
from mock_server.settings import SessionSettings, SettingError

if TYPE_CHECKING:
    from typing_extensions import Unpack

TOKEN = "MOCK_SERVER_CONTROL_TOKEN"  # noqa: S105 - the name of a variable
TIMEOUT = 10.0
PAGE = 1000


class Unreachable(ConnectionError):
    """The server does not answer, or not as ours does; the text has the request and what came."""

    __module__ = "mock_server"


class Http:
    """The control API of one server."""

    def __init__(self, url: str, token: str | None, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: whom to trust; none: what the system and SSL_CERT_FILE say."""
        self.url = url.rstrip("/")
        self._token = os.environ.get(TOKEN) if token is None else token
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
        self._opener = urllib.request.build_opener(*handlers)

    def __call__(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Raises Refused, Unreachable."""
        with self._reply(method, path, body, query, TIMEOUT) as reply:
            return json.load(reply)

    def events(self, path: str, **query: Any) -> Iterator[Any]:
        """The data of the `entry` events of a stream, until it ends. Raises Refused, Unreachable."""
        event = ""
        with self._reply("GET", path, None, query, None) as reply:
            for line in reply:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                event = value if name == "event" else event
                if name == "data" and event == "entry":
                    yield json.loads(value)

    def _reply(self, method: str, path: str, body: Any, query: Mapping[str, Any], timeout: float | None) -> Any:
        parameters = {name: value for name, value in query.items() if value is not None}
        url = f"{self.url}/_mock/{path}" + (f"?{urllib.parse.urlencode(parameters)}" if parameters else "")
        headers = {"content-type": "application/json"}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        data = None if body is None else encode(dumps(body))
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - the user's own server
        try:
            return self._opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error, f"{method} {url}") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", error)
            raise Unreachable(f"{method} {url}: {getattr(why, 'strerror', None) or why}") from None


def _refused(error: urllib.error.HTTPError, what: str) -> Exception:
    try:
        body = json.loads(error.read())
        return Refused(error.code, body["error"], body["hint"], body.get("problems", ()))
    except (ValueError, KeyError, TypeError):
        return Unreachable(f"{what}: status {error.code}, and not from a mock-server")


class MockClient(Verbs):
    """A session of a running server: `MockClient("http://127.0.0.1:8787")` is its default session.

    Python functions as replies stay in their own process: they cannot be added here.
    """

    def __init__(self, url: str, *, token: str | None = None, session: str | None = None, key: str = "any") -> None:
        """`token`: of the control API; none: the environment's MOCK_SERVER_CONTROL_TOKEN. Raises Unreachable."""
        self._http = Http(url, token)
        self._session = session or "default"
        self._key = key
        self._sessions = itertools.count(1)
        self._kept: dict[str, Scenario] = {}  # in order of precedence
        self._http("GET", "ready")
        self._journal = RemoteJournal(self._http, self._session)
        self._began = self._last_number()
        self._elsewhere: int | None = None  # as it was when the session ended

    @property
    def url(self) -> str:
        return self._http.url

    @property
    def api_key(self) -> str:
        return self._key

    def session(
        self, key: str | None = None, *, default: bool = False, **settings: "Unpack[SessionSettings]"
    ) -> "MockClient":
        """A session of its own for the clients that send `key`; close() ends it. Raises SettingError, Refused."""
        key = key or f"session-{os.urandom(9).hex()}"
        try:
            self._http("POST", "sessions", {"name": key, "key": key, "default": default, "settings": settings})
        except Refused as error:
            raise SettingError(str(error)) if error.status == 422 else error from None
        return MockClient(self.url, token=self._http._token, session=key, key=key)

    def close(self) -> None:
        """End the session: its streams are cut, its key is refused from now on."""
        if self._session != "default":
            self._elsewhere = self.elsewhere
            self._journal.keep()
            self._http("DELETE", f"sessions/{urllib.parse.quote(self._session)}")

    def __enter__(self) -> "MockClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def journal(self) -> Journal:
        return self._journal

    @property
    def elsewhere(self) -> int:
        if self._elsewhere is not None:
            return self._elsewhere
        return max(0, self._last_number() - self._began - self._journal.total)

    @property
    def scenarios(self) -> Sequence[Scenario]:
        """The scenarios this client has added, in order of precedence."""
        return list(self._kept.values())

    def reset(self) -> None:
        super().reset()
        self._kept.clear()

    def override(self, **settings: "Unpack[SessionSettings]") -> None:
        __tracebackhide__ = True
        try:
            self._http("POST", "sessions", {"name": self._session, "settings": settings})
        except Refused as error:
            raise SettingError(str(error)) if error.status == 422 else error from None

    @property
    def _name(self) -> str:
        return self._session

    @property
    def _overlaid(self) -> str | None:
        return None if self._session == "default" else self._session

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | Sequence[Any] | None = None, **query: Any) -> Any:
        return self._http(method, path, body, **query)

    def _new_name(self) -> str:
        return f"added-{next(self._sessions)}"

    def _put(self, *scenarios: Scenario) -> None:
        of_library = ",".join([one.name for one in scenarios if one.of_library]) or None
        if scenarios:
            sent = [_as_json(one) for one in scenarios]
            try:
                self._http("POST", "scenarios", sent, session=self._session, library=of_library)
            except Refused as error:
                if error.status != 422:
                    raise
                source = scenarios[0].source
                raise ScenarioError([Problem(source, None, text) for text in error.problems]) from None
        added = {one.name: one for one in scenarios}
        self._kept = added | {name: one for name, one in self._kept.items() if name not in added}

    def _remove(self, name: str) -> None:
        if self._kept.pop(name, None) is not None:
            self._http("DELETE", f"scenarios/{urllib.parse.quote(name, safe='')}", session=self._session)

    def _last_number(self) -> int:
        counts = self._http("GET", "journal/counts", session=self._session)
        return int(counts["total"]) + int(counts["elsewhere"])

    @property
    def _own(self) -> Sequence[Scenario]:
        return self.scenarios


def _as_json(scenario: Scenario) -> dict[str, Any]:
    """A scenario as it is sent to another process. Raises TypeError for one that a Python function answers."""
    for turn in scenario.turns:
        for leaf in turn.leaves:
            if leaf.call is not None:
                raise TypeError(f"{name_of(leaf.call)}: a function cannot go to a server in another process")
    data = {**scenario.data.plain(), "name": scenario.name}
    if scenario.when is None:
        data.pop("when", None)
    return data


class RemoteJournal(Journal):
    """The journal of a session elsewhere: read anew each time; ended entries are fetched once."""

    def __init__(self, http: Http, session: str) -> None:
        super().__init__(session=session)
        self._http = http
        self._ended: dict[int, Entry] = {}
        self._kept = False

    def keep(self) -> None:
        """Fetch everything now: the session is about to end."""
        self._refresh()
        self.entries()
        self._kept = True

    def _now(self) -> Tally:
        if not self._kept:
            self._refresh()
        return self._tally

    def _refresh(self) -> None:
        counts = self._http("GET", "journal/counts", session=self.session)
        self._tally = Tally()
        vars(self._tally).update({name: counts[name] for name in COUNTS})
        self._tally.hits = {at: _hit(one) for at, one in enumerate(counts["hits"])}

    def entries(self) -> tuple[Entry, ...]:
        if self._kept:
            return tuple(self._ended.values())
        numbers: list[int] = []
        before: int | None = None
        while True:
            page = self._http("GET", "journal", session=self.session, limit=PAGE, before=before)
            numbers += [one["number"] for one in page["entries"]]
            before = page["next"]
            if before is None:
                break
        return tuple(self._fetched(number) for number in reversed(numbers))

    def by_request_id(self, request_id: str) -> Entry:
        if self._kept:
            return super().by_request_id(request_id)
        path = f"journal/{urllib.parse.quote(request_id, safe='')}"
        try:
            return entry_of(self._http("GET", path, session=self.session, whole="true"), self)
        except Refused as error:
            if error.status != 404:
                raise
            raise LookupError(f"no exchange has the request id {request_id!r}: {error}") from None

    def __len__(self) -> int:
        return len(self.entries())

    def clear(self) -> None:
        self._http("DELETE", "journal", session=self.session)
        self._ended.clear()

    def wait_until(self, done: Callable[[], bool], timeout: float, else_: Callable[[], str]) -> None:
        deadline = SystemClock.now() + timeout
        while not done():
            if SystemClock.now() > deadline:
                raise StillOpen(f"{else_()}; waited {timeout:g} s")
            SystemClock.sleep(POLL)

    def _fetched(self, number: int) -> Entry:
        known = self._ended.get(number)
        if known is None:
            known = entry_of(self._http("GET", f"journal/{number}", session=self.session, whole="true"), self)
            if not known.is_open:
                self._ended[number] = known
        return known


def _hit(view: Mapping[str, Any]) -> Hit:
    hit = Hit(view["scenario"], view["turn"], Answer())
    hit.count = view["count"]
    return hit


def entry_of(view: Mapping[str, Any], journal: Journal) -> Entry:
    """An entry, of what the control API shows of it."""
    request = view["request"]
    raw = encode(dumps(request["body"])) if request["raw"] is None else request["raw"].encode()
    http = HttpRequest(view["method"], view["path"], request["headers"], raw, None, request["query"])
    exchange = Exchange(
        _faulty(view) if view["faults"] else _plan(view),
        view["scenario"],
        view["turn"],
        view["attempt"],
        view["note"],
        understood=view["understood"],
        unexpected=view["unexpected"],
        aside=view["aside"],
        side=view["side"],
        faults=tuple(view["faults"]),
        warnings=tuple(view["warnings"]),
        contradictions=tuple(view["contradictions"]),
        contradicted=view["contradicted"],
        moved=tuple(Moved(**one) for one in view["moved"]),
    )
    entry = Entry(view["number"], view["at"], http, exchange, journal, without_keys(http.headers))
    entry.take_over(view["key"], view["outcome"], view["duration_ms"], _sent(view["events"]))
    return entry


def _faulty(view: Mapping[str, Any]) -> Plan:
    """The plan of a reply that faults were applied to, and what it was before: its reply as JSON."""
    body = encode(dumps(view["reply"]["body"] or {}))
    headers = (*JSON_HEADERS, ("request-id", str(view["request_id"])))
    intact = whole(view["status"] or 200, headers, body, 0, view["reply"]["body"])
    return _plan(view)._replace(intact=intact._replace(tokens=_tokens(view)))


def _plan(view: Mapping[str, Any]) -> Plan:
    headers, body, events = tuple(view["reply"]["headers"].items()), view["reply"]["body"], view["events"]
    is_stream = bool(view["stream"] and events)
    if is_stream:
        payloads = tuple(event["payload"] for event in events)
        at = array("I", [round(event["due_ms"] * 1000) for event in events])
        part = Part(tuple(map(frame, payloads)), at, None, payloads)
    elif body is None:
        part = Part((b"",), array("I", (0,)))
    else:
        part = Part((encode(dumps(body)),), array("I", (0,)), None, (body,))
    return Plan(view["status"] or 0, headers, (part,), is_stream, tokens=_tokens(view))


def _tokens(view: Mapping[str, Any]) -> tuple[int, int] | None:
    input_tokens, output_tokens = view["input_tokens"], view["output_tokens"]
    return None if input_tokens is None or output_tokens is None else (input_tokens, output_tokens)


def _sent(events: Sequence[Mapping[str, Any]]) -> Sequence[float]:
    return [event["sent_ms"] / 1000 for event in events if event["sent_ms"] is not None]

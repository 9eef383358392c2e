"""The table of other endpoints than messages as typed rows; and which fault reaches which endpoint, asked of an engine."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from faults.table import ROWS

from mock_server.engine.engine import Engine
from mock_server.protocol.request import HttpRequest, InMemory, MultipartForm, Upload
from mock_server.protocol.sse import dumps, encode
from mock_server.scenario.faults import FAULTS, faults_of
from mock_server.scenario.load import build, loads
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

FILE = Path(__file__).with_name("endpoints.yaml")
SAID: Mapping[str, Any] = {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "Hi"}]}


# of what is called, what a framework calls too: its count of tokens and its messages
OF_A_FRAMEWORK = ("count_tokens", "create")


class Called(NamedTuple):
    """What a client that calls this is told, by client."""

    name: str
    told: Mapping[str, str]
    retried: bool


class Row(NamedTuple):
    """What strikes, and what comes of it."""

    at: int
    about: str
    when: Mapping[str, Any]
    answer: Mapping[str, Any]
    calls: tuple[Called, ...]

    @property
    def session(self) -> str:
        return f"row-{self.at}"

    @property
    def data(self) -> Mapping[str, Any]:
        """What strikes, as a scenario."""
        return {"name": self.session, "when": self.when, **self.answer}


def clients(call: str) -> tuple[str, ...]:
    """Who is asked what comes of a call."""
    return ("python", "js", *(("langchain",) if call in OF_A_FRAMEWORK else ()))


def rows() -> Iterator[Row]:
    for at, one in enumerate(yaml.safe_load(FILE.read_text("utf-8"))):
        calls = (
            Called(name, {key: told[key] for key in clients(name)}, told.get("retried", False))
            for name, told in one["calls"].items()
        )
        yield Row(at, one["about"], one["when"], one["answer"], tuple(calls))


ENDPOINT_ROWS = tuple(rows())
CALLS = [(row, called) for row in ENDPOINT_ROWS for called in row.calls]


# -- which fault reaches which endpoint -------------------------------------------------------------------------------

REACHED = (
    "messages, stream",
    "messages",
    "count_tokens",
    "models",
    "batches",
    "batches.results",
    "files",
    "files.content",
)
_NAMES = {"models": "models.list", "batches": "batches.create", "files": "files.list"}


def smallest(type: str) -> Mapping[str, Any]:
    """A fault of this type with the keys that it cannot do without, as the table has them."""
    written = (row.data["fault"] for row in ROWS)
    listed = [one for given in written for one in (given if isinstance(given, list) else [given])]
    given = next(one for one in listed if one["type"] == type)
    keys = [
        one.metadata.get("key", one.name)
        for one in fields(FAULTS[type])
        if one.default is MISSING and one.default_factory is MISSING
    ]
    bare = {"type": type, **{key: given[key] for key in keys}}
    try:
        faults_of(bare, "table.yaml")
    except ScenarioError:  # some key of several is needed
        return dict(given)
    return bare


class _Asked:
    """A server on which there is something of each kind, and what asks for it."""

    def __init__(self) -> None:
        self.engine = Engine(
            Settings(seed=7, time_scale=0.0, batch_seconds=0.0, downloads="all"), load_profile("anthropic")
        )
        self.engine.load(loads("name: hello\nreply: One two three four five."))

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        said = body if isinstance(body, bytes) else b"" if body is None else encode(dumps(body))
        sent = {"x-api-key": "k", "anthropic-version": "2023-06-01", **headers}
        return self.engine.handle(HttpRequest(method, path, sent, said))

    @cached_property
    def batch(self) -> str:
        line = {"custom_id": "a", "params": {**SAID, "max_tokens": 9}}
        return str(self.ask("POST", "/v1/messages/batches", {"requests": [line]}).reply["id"])

    @cached_property
    def file(self) -> str:
        form = MultipartForm({}, Upload("a.txt", "text/plain", InMemory(b"One two three four five.")))
        headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "anthropic-beta": "files-api-2025-04-14"}
        return str(self.engine.handle(HttpRequest("POST", "/v1/files", headers, b"", form=form)).reply["id"])

    def of(self, what: str, headers: Mapping[str, str]) -> Any:
        more = {"anthropic-beta": "files-api-2025-04-14"} if what.startswith("files") else {}
        method, path, body = {
            "messages, stream": ("POST", "/v1/messages", {**SAID, "max_tokens": 99, "stream": True}),
            "messages": ("POST", "/v1/messages", {**SAID, "max_tokens": 99}),
            "count_tokens": ("POST", "/v1/messages/count_tokens", SAID),
            "models": ("GET", "/v1/models", None),
            "batches": (
                "POST",
                "/v1/messages/batches",
                {"requests": [{"custom_id": "a", "params": {**SAID, "max_tokens": 9}}]},
            ),
            "batches.results": ("GET", f"/v1/messages/batches/{self.batch}/results", None),
            "files": ("GET", "/v1/files", None),
            "files.content": ("GET", f"/v1/files/{self.file}/content", None),
        }[what]
        return self.ask(method, path, body, **headers, **more)


@cache
def reaches(type: str) -> Mapping[str, bool]:
    """Where a fault of this type strikes when an overlay lays it over each endpoint."""
    return {what: _strikes(what, smallest(type)) for what in REACHED}


def _strikes(what: str, fault: Mapping[str, Any]) -> bool:
    asked = _Asked()
    name = what.partition(",")[0]
    try:
        overlay = build({"name": "laid", "when": {"endpoint": _NAMES.get(name, name)}, "fault": fault})
    except ScenarioError:  # that it has no place there is known at load
        return False
    _ = asked.batch, asked.file
    asked.engine.add_overlays(overlay)
    return bool(asked.of(what, {}).faults)


def asked_for(what: str, header: str) -> bool:
    """Whether the fault of a request's own header strikes there."""
    return bool(_Asked().of(what, {"x-mock-fault": header}).faults)

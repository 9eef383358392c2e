"""Every reply, held against the types of the installed SDK as strictly as they are written.

No field they do not know at any depth, no required one missing, no value outside their literals; in whole bodies and
in every event of a stream; for the types of `client.messages` and of `client.beta.messages`, which ask the same path.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, NamedTuple, get_args

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types import beta as beta_types
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from anthropic.types.beta_error_response import BetaErrorResponse
from anthropic.types.shared import ErrorResponse
from anthropic.types.shared.error_details import ErrorDetails
from conformance.examples import (
    BETA_REQUESTS,
    BETA_WRITTEN,
    CALLED,
    ENDINGS,
    OCTEN_REQUESTS,
    PROGRAM,
    REFUSED,
    REQUESTS,
    WRITTEN,
)
from conformance.replies import Reply, events, reply, walk
from conformance.strict import problems
from offered import OFFERED
from pydantic import TypeAdapter

from mock_server.engine import engine as engine_module
from mock_server.engine.endpoints import ENDPOINTS
from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.engine.exchange import in_place
from mock_server.protocol.blocks import BLOCKS, ERROR_CODES
from mock_server.protocol.errors import STATUS, TYPE, ApiError
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.answer import Answer, StopReason
from mock_server.scenario.load import build, files, library, loads
from mock_server.scenario.model import Scenario

MakeEngine = Callable[..., Engine]
Ask = Callable[..., Entry]
PROFILES = ("octen", "anthropic")
LIBRARY = {
    scenario.name: scenario
    for file in files([library()])
    for scenario in loads(file.read_text("utf-8"))
    if not any(leaf.faults for turn in scenario.turns for leaf in turn.leaves)  # what is broken on purpose
}


# -- the replies ----------------------------------------------------------------------------------------------------


class Client:
    """Asks engines of one profile, and hands back replies taken apart."""

    def __init__(self, profile: str, engine: MakeEngine, ask: Ask) -> None:
        self.profile = profile
        self._engine = engine
        self._ask = ask

    def serving(self, *scenarios: Scenario, **settings: Any) -> Engine:
        return self._engine(scenarios, profile=self.profile, **settings)

    def both(self, what: str, engine: Engine, messages: Any = "Hi", **more: Any) -> Iterator[Reply]:
        """The reply to one request, plain and streamed."""
        for stream in (False, True):
            yield reply(what, self._ask(engine, messages, stream=stream, **more).exchange)

    def asked(self, answer: Mapping[str, Any]) -> Iterator[Entry]:
        """What one scripted answer comes to, plain and streamed."""
        engine = self.serving(build({"name": "one", **answer}))
        return (self._ask(engine, stream=stream) for stream in (False, True))

    def playing(self, what: str, answer: Mapping[str, Any]) -> Iterator[Reply]:
        return (reply(what, entry.exchange) for entry in self.asked(answer))

    def walk(self, name: str, *, stream: bool, failing: bool) -> Iterator[Reply]:
        """A scenario of the library to its end."""
        engine, headers = self.serving(LIBRARY[name]), {"x-mock-scenario": name}
        offered = {"tools": OFFERED[name]} if name in OFFERED else {}

        def send(messages: Any) -> Reply:
            return reply(name, self._ask(engine, messages, headers, stream=stream, **offered).exchange)

        return walk(send, failing=failing)

    def in_every_state(self, name: str, *, stream: bool) -> Iterator[Reply]:
        """What a scenario of the library answers at first in each of its states."""
        for state, known in LIBRARY[name].states.items():
            for value in known.values:
                engine = self.serving(LIBRARY[name])
                session = engine.sessions.default
                session.move(engine.library(session), {state: value})
                messages = [{"role": "user", "content": "Go on."}]
                yield reply(name, self._ask(engine, messages, {"x-mock-scenario": name}, stream=stream).exchange)


# scenarios with what only the types of the beta know
BETA_SCENARIOS = ("advisor", "advisor-error", "mcp", "mcp-error", "mcp-listing", "compaction", "fallback")


def of_the_library(client: Client) -> Iterator[Reply]:
    yield from walks(client, [name for name in LIBRARY if name not in BETA_SCENARIOS])


def walks(client: Client, names: Iterable[str]) -> Iterator[Reply]:
    for name in names:
        for stream in (False, True):
            for failing in (False, True):
                yield from client.walk(name, stream=stream, failing=failing)
            yield from client.in_every_state(name, stream=stream)


LENGTHS = (*range(1, 25), 40, 44, 60)


def cut_short(client: Client) -> Iterator[Reply]:
    """Text, thoughts and calls that end after a number of tokens, until there is nothing left to cut."""
    for name, scenario in LIBRARY.items():
        if name in BETA_SCENARIOS or name == "long-200k":  # made anew, for seconds, at every length
            continue
        engine = client.serving(scenario)
        for length in LENGTHS:
            got = list(client.both(name, engine, headers={"x-mock-scenario": name}, max_tokens=length))
            yield from got
            if got[0].ending != "max_tokens":
                break


def scripted(client: Client) -> Iterator[Reply]:
    """Every form of every block, every ending, and a reply that a function gives."""
    for (type, form), fields in WRITTEN.items():
        yield from client.playing(f"{type} ({form})", {"reply": [*called(type), {"type": type, **fields}]})
    for what, answer in ENDINGS.items():
        yield from client.playing(what, answer if answer.keys() & {"reply", "generate"} else {"reply": "Hi.", **answer})
    for entry in client.asked({"reply": lambda request: f"You said {request.prompt}"}):
        assert entry.exchange.late is not None
        yield reply("given by a function", in_place(entry.exchange.late))


def generated(client: Client) -> Iterator[Reply]:
    engine = client.serving(unmatched="generate")
    own = OCTEN_REQUESTS if client.profile == "octen" else {}
    for what, (parameters, ending) in (*REQUESTS.items(), *own.items()):
        messages = parameters.get("messages", "Hi")
        rest = {name: value for name, value in parameters.items() if name != "messages"}
        for got in client.both(what, engine, messages, **rest):
            assert (got.exchange.note, got.ending) == ("generated", ending), what
            yield got


def of_the_beta(client: Client) -> Iterator[Reply]:
    """What only the types of the beta know."""
    yield from walks(client, BETA_SCENARIOS)
    for (type, form), fields in BETA_WRITTEN.items():
        yield from client.playing(f"{type} ({form})", {"reply": [*called(type), {"type": type, **fields}]})
    yield from client.playing("compaction", {"reply": "Hi.", "stop_reason": "compaction"})
    engine = client.serving(unmatched="generate")
    for what, (parameters, ending, beta) in BETA_REQUESTS.items():
        for got in client.both(what, engine, "Hi", headers={"anthropic-beta": beta}, **parameters):
            assert got.ending == ending, what
            yield got


def errors(client: Client) -> Iterator[Reply]:
    engine = client.serving()
    for what, (method, path, headers, body, status) in REFUSED.items():
        got = reply(what, engine.handle(HttpRequest(method, path, headers, body)).exchange)
        assert got.status == status, what
        yield got
    for type in STATUS:
        yield reply(type, engine.refuse(ApiError(type)))
    for error in (*STATUS, *TYPE):
        yield from client.playing(f"error: {error}", {"error": error})
    details = {"error_code": "tool_name_conflict"}
    yield from client.playing("details", {"error": {"type": "invalid_request_error", "details": details}})
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(engine_module, "_check_version", lambda *_: 1 / 0)
        yield from client.both("a fault of the server", engine)


GROUPS: Mapping[str, Callable[[Client], Iterator[Reply]]] = {
    "library": of_the_library,
    "cut": cut_short,
    "scripted": scripted,
    "generated": generated,
    "errors": errors,
    "beta": of_the_beta,
}
ADVISOR = {"type": "server_tool_use", "name": "advisor", "input": {}}

Replies = Callable[[str, str], list[Reply]]


@pytest.fixture(scope="module")
def replies(engine: MakeEngine, ask: Ask) -> Replies:
    """Every reply of one group in one profile, asked for once."""
    return cache(lambda profile, group: list(GROUPS[group](Client(profile, engine, ask))))


# -- how they are judged --------------------------------------------------------------------------------------------

# the types of `client.messages` and of `client.beta.messages`: a message, an event of a stream, an error
FAMILIES: Mapping[str, tuple[Any, Any, Any]] = {
    "stable": (Message, RawMessageStreamEvent, ErrorResponse),
    "beta": (BetaMessage, BetaRawMessageStreamEvent, BetaErrorResponse),
}


def judged(root: str, value: dict[str, Any], family: str) -> list[str]:
    """The problems of a body or an event; an event's root is its type."""
    message, event, error = FAMILIES[family]
    if root == "ping":  # swallowed by the SDKs before anything is parsed
        return [] if value == {"type": "ping"} else ["ping: unknown field"]
    if root == "error":
        return _judged_error(value, error)
    return problems(value, message if root == "message" else event, root)


def _judged_error(value: dict[str, Any], kind: Any) -> list[str]:
    """The SDK reads `error.details` by itself: the type of the error does not declare them."""
    error = {name: item for name, item in value["error"].items() if name != "details"}
    details = value["error"].get("details")
    told = [] if details is None else problems(details, ErrorDetails, "error.error.details")
    return problems({**value, "error": error}, kind, "error") + told


Told = Callable[[str, str, str], dict[str, str]]


@pytest.fixture(scope="module")
def told(replies: Replies) -> Told:
    """The problems of one group in one profile, as one family sees it: each once, with the first reply that has it."""

    @cache
    def told(profile: str, family: str, group: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for got in replies(profile, group) if (family, group) != ("stable", "beta") else ():
            for root, value in got.values:
                for problem in judged(root, value, family):
                    found.setdefault(problem, got.what)
        return found

    return told


class Difference(NamedTuple):
    """What the types do not allow and a reply says all the same: where, and why that is right (or not yet)."""

    profile: str
    problem: str
    why: str


def octen(problem: str, why: str) -> Difference:
    return Difference("octen", problem, why)


# What the API that is emulated is documented to do, by docs/protocol.md.
DIFFERENCES: tuple[Difference, ...] = (
    octen("*.name: not one of *; it is 'octen_search'", "A.4: its own search tool"),
    octen("*.content.*.encrypted_content: missing", "A.4: results carry no encrypted_content"),
    octen("*.content.*.highlights: unknown field", "A.4: results carry highlights"),
    octen("*.content.*.full_content: unknown field", "A.4: and full_content, where it is asked for"),
    octen("*.usage.full_content_extra_count: unknown field", "A.5: how many of them"),
    octen("*.content.*.authors: unknown field", "A.4: and authors"),
    octen("*.content.*.time_published: unknown field", "A.4: and the times of publication"),
    octen("*.content.*.time_last_crawled: unknown field", "A.4: and of the last visit"),
    octen("*.usage.server_tool_use.web_fetch_requests: missing", "A.5: counters that do not apply are left out"),
    octen("error.error.type: not one of *; it is 'request_too_large'", "A.6, E.2: the type of a 413"),
    octen("error.error.type: not one of *; it is 'conflict_error'", "E.2: the type of a 409; ErrorType knows it"),
    # the scenario octen-search says what Octen says, whichever API plays it
    Difference("anthropic", "*.name: not one of *; it is 'octen_search'", "A.4, scripted"),
    Difference("anthropic", "*.content.*.highlights: unknown field", "A.4, scripted"),
    Difference("anthropic", "*.content.*.authors: unknown field", "A.4, scripted"),
    Difference("anthropic", "*.content.*.time_published: unknown field", "A.4, scripted"),
    Difference("anthropic", "*.content.*.time_last_crawled: unknown field", "A.4, scripted"),
    Difference("anthropic", "error.error.type: not one of *; it is 'request_too_large'", "E.2: the type of a 413"),
    Difference("anthropic", "error.error.type: not one of *; it is 'conflict_error'", "E.2: ErrorType knows it"),
)
# Mistakes of this server that are yet to be mended.
KNOWN: tuple[Difference, ...] = ()
LISTED = (*DIFFERENCES, *KNOWN)


def is_listed(profile: str, problem: str) -> bool:
    return any(row.profile == profile and fnmatchcase(problem, row.problem) for row in LISTED)


each_profile = pytest.mark.parametrize("profile", PROFILES)
each_family = pytest.mark.parametrize("family", FAMILIES)
each_group = pytest.mark.parametrize("group", GROUPS)


# -- the tests ------------------------------------------------------------------------------------------------------


@each_profile
@each_family
@each_group
def test_the_sdk_has_a_type_for_everything_that_is_said(profile: str, family: str, group: str, told: Told) -> None:
    found = told(profile, family, group)

    assert [f"{what}: {problem}" for problem, what in found.items() if not is_listed(profile, problem)] == []


@each_family
@pytest.mark.parametrize("row", LISTED, ids=lambda row: f"{row.profile} {row.problem}")
def test_a_listed_difference_is_there(family: str, row: Difference, told: Told) -> None:
    found = [problem for group in GROUPS for problem in told(row.profile, family, group)]

    assert any(fnmatchcase(problem, row.problem) for problem in found)


@each_profile
@pytest.mark.parametrize("group", [group for group in GROUPS if group != "beta"])
def test_pydantic_agrees_that_a_reply_without_problems_has_none(profile: str, group: str, replies: Replies) -> None:
    message, event, error = (TypeAdapter(kind) for kind in FAMILIES["stable"])
    checked = 0
    for got in replies(profile, group):
        for root, value in got.values:
            if root != "ping" and not judged(root, value, "stable"):
                {"message": message, "error": error}.get(root, event).validate_json(json.dumps(value), strict=True)
                checked += 1

    assert checked > len(REFUSED)


@each_profile
@each_group
def test_a_reply_says_how_it_ended(profile: str, group: str, replies: Replies) -> None:
    """The types let `stop_reason` be null, since it is so at the start of a stream. docs/protocol.md C.1."""
    for got in replies(profile, group):
        if got.status == 200:
            assert got.message["stop_reason"] in get_args(StopReason), got.what


@each_profile
@pytest.mark.parametrize("name", LIBRARY)
def test_every_answer_of_the_library_was_played(name: str, profile: str, replies: Replies) -> None:
    group = "beta" if name in BETA_SCENARIOS else "library"
    played = [got.exchange.answer for got in replies(profile, group) if got.exchange.scenario == name]

    assert [leaf for turn in LIBRARY[name].turns for leaf in turn.leaves if not is_among(leaf, played)] == []


def is_among(answer: Answer, played: list[Answer | None]) -> bool:
    return any(one is answer for one in played)


@each_profile
def test_every_kind_of_block_and_ending_was_looked_at(profile: str, replies: Replies) -> None:
    answered = [got for group in ("scripted", "beta") for got in replies(profile, group) if got.status == 200]

    assert {block["type"] for got in answered for block in got.message["content"]} == {*BLOCKS}
    assert {got.ending for got in answered} == {*get_args(StopReason)}


@pytest.mark.parametrize(("type", "form"), [*WRITTEN, *BETA_WRITTEN])
def test_a_block_comes_as_it_was_written(type: str, form: str, engine: MakeEngine, ask: Ask) -> None:
    """In profile `anthropic`, as JSON and as a stream; a thought with its text, as the request asks."""
    fields = {**WRITTEN, **BETA_WRITTEN}[type, form]
    script = build({"name": "one", "reply": [*called(type), {"type": type, **fields}]})
    shown = {"type": "adaptive", "display": "summarized"}

    def content(stream: bool) -> list[dict[str, Any]]:
        asked = ask(engine([script], profile="anthropic"), stream=stream, thinking=shown)
        found: list[dict[str, Any]] = reply(form, asked.exchange).message["content"]
        return found

    code = {"content": {"error_code": fields["error"]}} if "error" in fields else fields
    assert content(stream=True) == content(stream=False)
    assert holds(content(stream=False)[-1], {"type": type, **code})


def called(type: str) -> list[dict[str, Any]]:
    """The call that a result is of."""
    beta = {"mcp_tool_result": [CALLED], "advisor_tool_result": [ADVISOR]}
    return beta.get(type, [PROGRAM] if type.endswith("_tool_result") else [])


def holds(found: Any, written: Any) -> bool:
    """Whether what was written is there, whatever stands beside it."""
    if isinstance(written, dict):
        return all(name in found and holds(found[name], value) for name, value in written.items())
    if isinstance(written, list):
        return len(found) == len(written) and all(map(holds, found, written))
    return bool(found == written)


@each_profile
def test_every_kind_of_error_was_looked_at(profile: str, replies: Replies) -> None:
    assert {got.message["error"]["type"] for got in replies(profile, "errors")} == {*STATUS}


@each_profile
@pytest.mark.parametrize("type", ["text", "thinking", "tool_use", "server_tool_use"])
def test_every_kind_of_block_was_cut(type: str, profile: str, replies: Replies) -> None:
    cut = [got.message["content"] for got in replies(profile, "cut") if got.ending == "max_tokens"]

    assert type in [content[-1]["type"] for content in cut if content]


# judged in tests/engine/test_count_tokens.py, test_models.py and tests/compat/test_batches_python.py; of /v1/complete the
# SDK no longer has a type
ELSEWHERE = (
    *("/v1/messages/count_tokens", "/v1/models", "/v1/models/{id...}", "/v1/complete"),
    *("/v1/messages/batches", "/v1/messages/batches/{id}", "/v1/messages/batches/{id}/cancel"),
    *("/v1/messages/batches/{id}/results", "/v1/files", "/v1/files/{id}", "/v1/files/{id}/content"),
)


def test_every_endpoint_is_looked_at() -> None:
    """Messages here; the others, which have types of their own, where they are tested."""
    assert {*ENDPOINTS} == {"/v1/messages", *ELSEWHERE}


@pytest.mark.parametrize(
    "body",
    [
        b'event: ping\ndata: {"type":"pong"}\n\n',
        b'data: {"type":"ping"}\n\n',
        b'event: ping\ndata: {"type":"ping"}\n',
        b'event: ping\ndata: {"type":"ping"}\n\n\n',
        b'event: ping\ndata: {"type":\ndata: "ping"}\n\n',
    ],
)
def test_a_stream_out_of_form_is_not_read(body: bytes) -> None:
    with pytest.raises(AssertionError):
        events(body)


@pytest.mark.parametrize(
    ("root", "value", "problem"),
    [
        ("ping", {"type": "ping", "at": 1}, "ping: unknown field"),
        ("message_end", {"type": "message_end"}, "message_end.type: not one of *"),
        ("message_stop", {"type": "message_stop", "usage": {}}, "message_stop.usage: unknown field"),
        ("error", {"type": "error", "error": {"type": "api_error"}}, "error.error.message: missing"),
        (
            "error",
            {"type": "error", "error": {"type": "api_error", "message": "", "details": {"error_code": "none"}}},
            "error.error.details.error_code: not one of *",
        ),
    ],
)
@each_family
def test_a_value_is_judged_by_its_own_type(root: str, value: dict[str, Any], problem: str, family: str) -> None:
    (found,) = judged(root, value, family)

    assert fnmatchcase(found, problem)


@pytest.mark.parametrize("kind", ERROR_CODES)
def test_a_result_of_a_servers_tool_fails_with_the_codes_of_the_sdk(kind: str) -> None:
    name = f"Beta{kind.title().replace('_', '')}Error"
    error = getattr(beta_types, name, None) or getattr(beta_types, f"{name}Block")

    assert {*ERROR_CODES[kind]} == {*get_args(error.model_fields["error_code"].annotation)}

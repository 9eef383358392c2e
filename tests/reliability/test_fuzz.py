"""Whatever comes in from outside: it is answered, or refused in the words of its entry, within bounds, and never a fault
of ours.

What is drawn is ordinary input that a careless hand has been at, and input that was never meant to be any. How much
of it: `notes.EXAMPLES`.
"""

import asyncio
import contextlib
import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from attacks import PROMPT, REFUSED, TOLD
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from protocol.test_expression import ALPHABET, PATTERNS
from reliability.notes import EXAMPLES, SEED, note
from wires import CORPUS, SCENARIOS, Asker

from mock_server import Settings
from mock_server.engine.engine import Engine
from mock_server.protocol import media, signing
from mock_server.protocol.errors import ApiError
from mock_server.protocol.expression import Expression, OverLimit, bounded
from mock_server.protocol.query import TextParameter, Whole, read_query
from mock_server.protocol.request import HttpRequest, strict_json
from mock_server.protocol.sse import parse as parse_events
from mock_server.scenario.load import loads
from mock_server.scenario.node import ScenarioError
from mock_server.server.runner import Runner
from mock_server.settings import SettingError, from_lines

KEYS = [
    "model",
    "max_tokens",
    "messages",
    "role",
    "content",
    "type",
    "text",
    "system",
    "tools",
    "name",
    "input_schema",
    "properties",
    "tool_choice",
    "id",
    "input",
    "tool_use_id",
    "stream",
    "thinking",
    "budget_tokens",
    "stop_sequences",
    "metadata",
    "user_id",
    "temperature",
    "cache_control",
    "ttl",
    "source",
    "data",
    "media_type",
    "output_config",
    "format",
    "schema",
    "pattern",
    "enum",
    "requests",
    "custom_id",
    "params",
    "citations",
    "mcp_servers",
    "thread",
]
WORDS = [
    "user",
    "assistant",
    "system",
    "text",
    "tool_use",
    "tool_result",
    "image",
    "document",
    "thinking",
    "redacted_thinking",
    "auto",
    "any",
    "none",
    "tool",
    "claude-opus-4-8",
    "enabled",
    "adaptive",
    "disabled",
    "ephemeral",
    "5m",
    "1h",
    "base64",
    "image/png",
    "json_schema",
    "object",
    "string",
    "custom",
]
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(WORDS),
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)
ORDINARY: dict[str, dict[str, Any]] = {
    "/v1/messages": {
        "model": "claude-opus-4-8",
        "max_tokens": 99,
        "system": "Be short",
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "2"}]},
        ],
        "tools": [{"name": "add", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}],
    },
    "/v1/complete": {"model": "claude-opus-4-8", "max_tokens_to_sample": 9, "prompt": "\n\nHuman: Hi\n\nAssistant:"},
}
ORDINARY["/v1/messages/count_tokens"] = {k: v for k, v in ORDINARY["/v1/messages"].items() if k != "max_tokens"}
ORDINARY["/v1/messages/batches"] = {"requests": [{"custom_id": "a", "params": ORDINARY["/v1/messages"]}]}
tried = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))


pytestmark = pytest.mark.timeout(60 + 2 * EXAMPLES)


@pytest.fixture
def answering(engine: Any) -> Engine:
    made: Engine = engine("name: never\nwhen: named\nreply: hi", unmatched="generate")
    return made


@pytest.fixture(autouse=True)
def _no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.ERROR):
        yield
    assert "Traceback" not in caplog.text


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(value: Any, path: Sequence[Any], new: Any) -> Any:
    """A copy with something else in one place."""
    if not path:
        return new
    made = dict(value) if isinstance(value, dict) else list(value)
    made[path[0]] = put(made[path[0]], path[1:], new)
    return made


@pytest.mark.parametrize("path", ORDINARY)
def test_a_body_with_something_else_in_some_place(path: str, answering: Engine) -> None:
    where = list(places(ORDINARY[path]))

    @tried
    @seed(SEED)
    @given(spoilt=st.lists(st.tuples(st.sampled_from(where), values), min_size=1, max_size=2), cut=st.integers(0, 9))
    def tell(spoilt: list[tuple[tuple[Any, ...], Any]], cut: int) -> None:
        body: Any = ORDINARY[path]
        for place, new in spoilt:
            try:
                body = put(body, place, new)
            except (KeyError, IndexError, TypeError):  # the first took the place of the second
                continue
        data = json.dumps(body).encode()
        answered(answering, path, data[: -cut or None] if cut < 3 else data)

    tell()
    note("bodies with something else in some place", inputs=EXAMPLES)


def test_a_body_of_any_bytes(answering: Engine) -> None:
    @tried
    @seed(SEED)
    @given(data=st.binary(max_size=60), path=st.sampled_from(sorted(ORDINARY)), header=st.text(max_size=9))
    def tell(data: bytes, path: str, header: str) -> None:
        answered(answering, path, data, header)

    tell()
    note("bodies of any bytes", inputs=EXAMPLES)


def answered(engine: Engine, path: str, body: bytes, header: str = "") -> None:
    """Send it; whatever is wrong with it is told, and what comes is JSON that every client can read."""
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "content-type": "application/json"}
    if header:
        headers["anthropic-beta"] = header
    entry = engine.handle(HttpRequest("POST", path, headers, body))
    assert entry.status < 500, (entry.status, entry.reply, body)
    if entry.exchange.late is None and not entry.plan.stream:
        strict_json(entry.plan.body().decode())


# -- entries that read text ---------------------------------------------------------------------------------------------

ENTRIES: dict[str, tuple[Callable[[str], Any], type[Exception] | None]] = {
    "JSON": (strict_json, ValueError),
    "a scenario": (lambda text: loads(text, "a.yaml"), ScenarioError),
    "a template": (lambda text: loads(json.dumps({"name": "a", "reply": {"template": text}})), ScenarioError),
    "lines of settings": (lambda text: from_lines(text.splitlines(), "a"), SettingError),
    "a query": (lambda text: read_query(text, {"a": TextParameter(), "limit": Whole(1, 1, 100)}), ApiError),
    "a stream": (lambda text: list(parse_events(text.encode("utf-8", "replace"))), ValueError),
    "an id": (signing.read, None),
    "an image": (media.image, None),
    "pages": (media.pages, None),
}
PIECES = [
    *":-?[]{},&*!|>'\"%@`#\n\t =",
    "name",
    "reply",
    "when",
    "{{ ",
    " }}",
    "{% for a in b %}",
    "{% endfor %}",
    "data: ",
    "event: ",
    "\\ud83d",
    "1e999",
    "\u2028",
    "\ud800",
    "\0",
    "toolu_01",
    "limit=",
    "iVBORw0KGgo",
    "JVBERi0",
    "port = ",
    "<<",
    "!!int ",
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=14).map("".join)


@pytest.mark.parametrize("entry", ENTRIES)
def test_any_text(entry: str) -> None:
    read, refuses = ENTRIES[entry]

    @tried
    @seed(SEED)
    @given(text=texts)
    def tell(text: str) -> None:
        if refuses is not None:
            with contextlib.suppress(refuses):
                read(text)
        else:
            read(text)

    tell()
    note(f"texts for an entry: {entry}", inputs=EXAMPLES)


# -- both ways in -------------------------------------------------------------------------------------------------------


def spoilt(data: bytes, draw: random.Random) -> bytes:
    """A request that a careless hand has been at."""
    for _ in range(draw.randint(1, 3)):
        at, to = sorted(draw.randrange(len(data) + 1) for _ in range(2))
        way = draw.randrange(5)
        if way == 0:
            data = data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
        elif way == 1:
            data = data[:at] + draw.choice([b"\r\n", b"\n", b" ", b":", b"\0", b"%", b"\r", b"\t"]) + data[at:]
        elif way == 2:
            data = data[:at] + data[min(to, at + 4) :]
        elif way == 3:
            line = draw.choice(data.split(b"\r\n"))
            data = data.replace(line, line + b"\r\n" + line, 1)
        else:
            data = data.replace(b"HTTP/1.1", draw.choice([b"HTTP/1.0", b"http/1.1", b"HTTP/1.1 ", b"HTTP/3"]), 1)
    return data


def is_followed(data: bytes) -> bool:
    """Whether more stands behind a request. [known] In one packet with it, aiohttp may tell of that alone."""
    head, _, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\ncontent-length:[ +]*(\d+)", head)
    return b"chunked" in head or len(body) > (int(length[1]) if length else 0)


def reasonless(answer: bytes) -> bytes:
    """The answer, but for which of several mistakes in its HTTP is told of."""
    said = re.sub(rb'The request is not valid HTTP: [^"]*(?:\\"[^"]*)*', b"", answer)
    return re.sub(rb"content-length: \d+", b"", said) if said != answer else said


def test_both_ways_in_say_the_same_of_a_spoilt_request(tmp_path: Any) -> None:
    (tmp_path / "text.yaml").write_text(SCENARIOS)
    draw = random.Random(SEED)
    names = sorted(CORPUS)

    async def differences() -> list[tuple[bytes, int, bytes, bytes]]:
        runner = Runner(Settings(port=0, seed=1, time_scale=0), [tmp_path])
        await runner.start()
        found = []
        try:
            asker = Asker(runner)
            for _ in range(EXAMPLES * 5):
                data = spoilt(CORPUS[draw.choice(names)], draw)
                if len(data) < 2 or is_followed(data):
                    continue
                whole = await asker.answer([data])
                at = draw.randrange(1, len(data))
                cut = await asker.answer([data[:at], data[at:]], whole)
                if reasonless(cut) != reasonless(whole):
                    found.append((data, at, whole, cut))
        finally:
            await runner.stop()
        return found

    assert asyncio.run(differences()) == []
    note("spoilt requests, whole and cut", inputs=EXAMPLES * 5)


# -- bounds -------------------------------------------------------------------------------------------------------------

MOST_SECONDS = 1.0  # of the processor, for one thing: ten times what the bounds are made for


def within_bounds(work: Callable[[], Any]) -> Any:
    start = time.thread_time()
    made = work()
    assert time.thread_time() - start < MOST_SECONDS
    return made


@tried
@seed(SEED)
@given(pattern=PATTERNS, times=st.sampled_from([1, 40, 2000]), text=st.sampled_from(ALPHABET[:12]))
def test_any_regular_expression_ends(pattern: str, times: int, text: str) -> None:
    def search() -> None:
        with bounded():
            try:
                Expression(f"(?:{pattern})+$" if not re.match(r"\(\?[aims]+\)", pattern) else pattern).found_in(
                    text * times + "!"
                )
            except (OverLimit, re.error, OverflowError, RecursionError):
                return

    within_bounds(search)


BITS = [
    "{% for a in prompt %}", "{% endfor %}", "{% set a = prompt * 99 %}", "{{ a }}", "{{ prompt | upper }}", "{% if a %}",
    "{% endif %}", "{{ range(9999) | list }}", "{{ 'x' * 99999 }}", "{{ a ~ a }}", "{% macro m(n) %}", "{% endmacro %}",
    "{{ m(9) }}", "{{ [a] * 999 }}", "{{ '%99999d' % 1 }}", "{{ a.format(1) }}", "{{ a | tojson }}", "{{ 9 ** 999 }}",
]  # fmt: skip


def test_any_template_ends(engine: Any, ask: Any) -> None:
    @tried
    @seed(SEED)
    @given(
        text=st.lists(st.sampled_from([*BITS, *(one for one, _ in TOLD.values())]), min_size=1, max_size=7).map("".join)
    )
    def tell(text: str) -> None:
        try:
            scripted = loads(json.dumps({"name": "t", "reply": {"template": text}}))
        except ScenarioError:
            return
        entry = within_bounds(lambda: ask(engine(scripted), PROMPT))
        assert entry.status in (200, 500)
        assert entry.status == 200 or entry.text.startswith("mock-server: scenario 't' turn 1: ")

    tell()
    note("templates", inputs=EXAMPLES, attacks=len(TOLD) + len(REFUSED))


schemas = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": "integer", "minimum": 3}, {}, {"enum": ["a", 1]}, {"const": None}])
    | st.builds(
        lambda said, least: {"type": "string", "pattern": said, "minLength": least}, PATTERNS, st.integers(0, 99)
    ),
    lambda inner: st.one_of(
        st.builds(lambda one, least: {"type": "array", "items": one, "minItems": least}, inner, st.integers(0, 2000)),
        st.builds(
            lambda many: {"type": "object", "properties": many, "required": sorted(many)},
            st.dictionaries(st.sampled_from("abcde"), inner, max_size=5),
        ),
        st.builds(
            lambda word, many: {word: many},
            st.sampled_from(["anyOf", "allOf", "oneOf"]),
            st.lists(inner, min_size=1, max_size=4),
        ),
        st.builds(lambda one: {"$defs": {"d": one}, "$ref": "#/$defs/d"}, inner),
        st.builds(lambda said, one: {"patternProperties": {said: one}, "additionalProperties": False}, PATTERNS, inner),
    ),
    max_leaves=12,
)


def test_any_schema_of_a_client_ends(answering: Engine) -> None:
    @tried
    @seed(SEED)
    @given(schema=schemas, example=values)
    def tell(schema: dict[str, Any], example: Any) -> None:
        tool = {
            "name": "t",
            "input_schema": {"type": "object", "properties": {"a": schema}},
            "input_examples": [{"a": example}],
        }
        body = {
            **ORDINARY["/v1/messages"],
            "messages": [{"role": "user", "content": "Hi"}],
            "tools": [tool],
            "tool_choice": {"type": "any"},
        }
        entry = within_bounds(
            lambda: answering.handle(
                HttpRequest(
                    "POST",
                    "/v1/messages",
                    {"x-api-key": "k", "anthropic-version": "2023-06-01"},
                    json.dumps(body).encode(),
                )
            )
        )
        assert entry.status in (200, 400, 500)
        assert entry.status != 500 or "mock-server: " in entry.text, entry.text

    tell()
    note("schemas", inputs=EXAMPLES)

"""What is kept of a large body, and shown of it: written, blotted out, masked and looked at while others are answered."""

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from heartbeat import during, served

from mock_server import MockClient
from mock_server.engine.masking import _PIECE, masked
from mock_server.protocol.sse import dumps, dumps_in_steps

MB = 1 << 20
KEY = "sk-ant-api03-abcdefgh"


def body(content: str, **more: Any) -> bytes:
    message = {"role": "user", "content": content}
    return json.dumps({"model": "claude-opus-4-8", "max_tokens": 9, "messages": [message], **more}).encode()


BLANK = body(" " * 30 * MB + f"Hi {KEY}")
SECRETS = body(f"a {KEY} " * (20 * MB // len(KEY)))
TURNS = json.dumps({"name": "long", "turns": [{"reply": "a"}] * 5000}).encode()
TEXT = "\n---\n".join(f"name: x{at}\nreply: y\n" for at in range(1500)).encode()


def ask(
    address: tuple[str, int], method: str, path: str, data: bytes | None = None, type: str = "text/plain", **more: str
) -> Any:
    said = {"x-api-key": "k", "anthropic-version": "2023-06-01", "content-type": type, **more}
    with closing(http.client.HTTPConnection(*address, timeout=100)) as client:
        client.request(method, path, data, said)
        reply = client.getresponse()
        return reply.status, reply.read()


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    file = tmp_path / "hello.yaml"
    file.write_text("name: hello\nreply: Hello!\n")
    return file


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/m%65ssages"])
@pytest.mark.parametrize("how", [(), ("--redact", "$.metadata.user_id"), ("--journal", "journal.jsonl")], ids=str)
def test_others_are_answered_while_a_large_body_is_kept(hello: Path, how: tuple[str, ...], path: str) -> None:
    words = [str(hello.with_name(word)) if word.endswith(".jsonl") else word for word in how]
    with served(str(hello), "--time-scale", "0", *words) as address:
        waited = during(address, lambda: ask(address, "POST", path, BLANK))

    assert waited.result[0] == 200
    assert not waited.is_held, waited
    if "--journal" in how:
        line = json.loads(hello.with_name("journal.jsonl").read_text().splitlines()[-1])
        said = line["request"]["body"]["messages"][0]["content"]
        assert said.endswith(f"Hi {masked(KEY)}")


VALUES = body("Hi", metadata={"numbers": list(range(900_000))})
# what is asked of a server that has had one large request
LOOKS: Mapping[str, tuple[str, str, bytes | None, str, int]] = {
    "the list": ("GET", "/_mock/journal", None, "", 200),
    "a search": ("GET", "/_mock/journal?text=nowhere", None, "", 200),
    "an entry": ("GET", "/_mock/journal/1", None, "", 200),
    "which scenario answers": ("POST", "/_mock/explain", b'{"request":' + BLANK + b"}", "application/json", 200),
    "what it sends": (
        "POST",
        "/_mock/preview",
        b'{"scenario":"hello","request":' + BLANK + b"}",
        "application/json",
        200,
    ),
    "a scenario of many turns": ("POST", "/_mock/scenarios", TURNS, "application/json", 201),
    "many scenarios": ("POST", "/_mock/scenarios", TEXT, "application/yaml", 201),
    "a text that is no scenario": ("POST", "/_mock/scenarios", b"- {name: x, reply: y}\n" * 30_000, "text/plain", 422),
}


@pytest.mark.parametrize("name", LOOKS)
def test_others_are_answered_while_one_looks(hello: Path, name: str) -> None:
    method, path, data, type, status = LOOKS[name]
    with served(str(hello), "--time-scale", "0") as address:
        ask(address, "POST", "/v1/messages", SECRETS if "entry" in name else BLANK)
        waited = during(address, lambda: ask(address, method, path, data, type))

    assert waited.result[0] == status
    assert not waited.is_held, waited
    assert KEY.encode() not in waited.result[1] or name == "what it sends"


def test_a_body_of_many_values_is_shown_as_text_that_is_cut(hello: Path) -> None:
    """As objects its 900,000 numbers take nine times its bytes; who wants all of it has it as it came."""
    with served(str(hello), "--time-scale", "0", "--validation", "off") as address:
        assert ask(address, "POST", "/v1/messages", VALUES)[0] == 200
        waited = during(address, lambda: ask(address, "GET", "/_mock/journal/1"))
        whole = json.loads(ask(address, "GET", "/_mock/journal/1?whole=true")[1])["request"]
        seen = MockClient(f"http://{address[0]}:{address[1]}").journal[0].request

    assert waited.result[0] == 200
    assert not waited.is_held, waited
    shown = json.loads(waited.result[1])["request"]
    note = f"… (cut: {len(VALUES)} bytes came; GET /_mock/journal/1?whole=true has them all)"
    assert (shown["body"], shown["cut"], shown["size_bytes"]) == (None, True, len(VALUES))
    assert shown["raw"] == VALUES[: 64 << 10].decode() + note
    assert (whole["body"], whole["cut"], whole["raw"]) == (None, False, VALUES.decode())
    assert (seen.raw, seen.prompt) == (VALUES, "Hi")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/batches"])
def test_others_are_answered_while_ids_are_drawn_from_a_large_body(hello: Path, path: str) -> None:
    data = BLANK if path == "/v1/messages" else b'{"requests":[{"custom_id":"a","params":' + BLANK + b"}]}"
    with served(str(hello), "--time-scale", "0", "--seed", "7") as address:
        waited = during(address, lambda: ask(address, "POST", path, data))

    assert waited.result[0] == 200
    assert not waited.is_held, waited


def test_a_secret_is_found_wherever_it_stands_in_a_long_text() -> None:
    shown = masked(f" {KEY} ")
    for before in range(_PIECE - len(KEY) - 3, _PIECE + 3):
        assert masked(" " * before + f" {KEY} " + " " * _PIECE) == " " * before + shown + " " * _PIECE
    for text in (
        "Bearer abcdefgh1",
        "bearer abcdefgh1",
        '"authorization_token":"x"',
        "a-sk-ant-nothing",
        "AIza" + "a" * 35,
    ):
        assert masked(" " * _PIECE + text) == " " * _PIECE + masked(" " + text)[1:]


@pytest.mark.parametrize(
    "value",
    [
        'é\n"\\' * 40_000,
        {"a": [], "b": {}, "c": [1, "x", None, {"d": True}], "k" * 70_000: "\ud800"},
        1.5,
        [],
        [1.5, None] * 3000 + ["x"] + [7] * 3000,
    ],
)
def test_json_in_steps_is_the_same_json(value: Any) -> None:
    assert dumps_in_steps(value) == dumps(value)


def test_what_is_nested_too_deeply_for_steps_is_written_at_once() -> None:
    value: Any = []
    for _ in range(900):
        value = [value]
    assert dumps_in_steps(value) == dumps(value)


def test_others_are_answered_while_a_long_thread_begins(hello: Path) -> None:
    data = body(" " * 30 * MB + "Hi", thread={"type": "create"})
    beta = {"anthropic-beta": "message-threads-2026-08-12"}
    with served(str(hello), "--time-scale", "0", "--profile", "anthropic") as address:
        waited = during(address, lambda: ask(address, "POST", "/v1/messages", data, **beta))

    assert waited.result[0] == 200
    assert not waited.is_held, waited

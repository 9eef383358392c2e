"""Big but legal input, and input that only looks so: others are answered meanwhile, and memory stays in proportion."""

import gzip
import http.client
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from heartbeat import during, served
from rawclient import answer, asks, post

MB = 1 << 20
TEXT = "lorem ipsum dolor sit amet, consectetur adipiscing elit. "


def words(size: int) -> str:
    return (TEXT * (size // len(TEXT) + 1))[:size]


def body(content: Any, **more: Any) -> bytes:
    message = {"role": "user", "content": content}
    return json.dumps({"model": "claude-opus-4-8", "max_tokens": 9, "messages": [message], **more}).encode()


def batch(requests: int, text: str) -> bytes:
    params = json.loads(body(text))
    return json.dumps({"requests": [{"custom_id": f"c{at}", "params": params} for at in range(requests)]}).encode()


def talk() -> bytes:
    pair = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    return json.dumps({"model": "claude-opus-4-8", "max_tokens": 9, "messages": pair * 60_000}).encode()


def turns(count: int) -> bytes:
    """A conversation of so many turns that each say something."""
    messages = [{"role": "assistant" if at % 2 else "user", "content": f"number {at}"} for at in range(count)]
    return json.dumps({"model": "claude-opus-4-8", "max_tokens": 9, "messages": messages}).encode()


MARKED = [{"type": "text", "text": words(30 * MB), "cache_control": {"type": "ephemeral"}}]
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": words(30 * MB)}}
TOO_LONG, NO_JSON = "prompt is too long", "more than 1000000 values"

# what is sent, the status it gets, what the reply says, and how many times its own size it may take (None: not in
# proportion: Python needs about 100 bytes for each of many small values)
ATTACKS: Mapping[str, tuple[Callable[[], bytes], int, str, int | None]] = {
    "a prompt of 30 MB": (lambda: body(words(30 * MB)), 400, TOO_LONG, 6),
    "a prompt of 30 MB without a space": (lambda: body("a" * 30 * MB), 400, TOO_LONG, 6),
    "30 MB of white space": (lambda: body(" " * 30 * MB + "Hi"), 200, '"message"', 6),
    "a prompt of 30 MB for the cache": (lambda: body(MARKED), 400, TOO_LONG, 6),
    "a document of 30 MB": (lambda: body([DOCUMENT, {"type": "text", "text": "Hi"}]), 400, TOO_LONG, 6),
    "a system prompt of 30 MB": (lambda: body("Hi", system=words(30 * MB)), 400, TOO_LONG, 6),
    "200,000 blocks": (lambda: body([{"type": "text", "text": "Hi"}] * 200_000), 200, '"message"', None),
    "150,000 blocks in tags": (lambda: body([{"type": "text", "text": "<a>"}] * 150_000), 200, '"message"', None),
    "99,999 messages": (lambda: turns(99_999), 200, '"message"', None),
    "120,000 messages": (talk, 400, "at most 100000 items", None),
    "30 MB of {},": (lambda: b"[" + b"{}," * 10 * MB + b"{}]", 400, NO_JSON, None),
    "15 million numbers": (lambda: body("Hi")[:-1] + b',"metadata":[' + b"1," * 15 * MB + b"1]}", 400, NO_JSON, None),
    "2 million names": (
        lambda: body("Hi")[:-1] + b',"metadata":{' + b",".join(b'"k%d":1' % at for at in range(2_000_000)) + b"}}",
        400,
        NO_JSON,
        None,
    ),
    "1,000 tools of 30 KB": (
        lambda: body(
            "Hi",
            tools=[
                {"name": f"t{at}", "description": words(30_000), "input_schema": {"type": "object"}}
                for at in range(1000)
            ],
        ),
        400,
        TOO_LONG,
        6,
    ),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("large") / "hello.yaml"
    file.write_text("name: hello\nreply: Hello!\n")
    return file


@pytest.fixture
def server(library: Path) -> Iterator[tuple[str, int]]:
    with served(str(library), "--time-scale", "0") as address:
        yield address


def ask(address: tuple[str, int], data: bytes, path: str = "/v1/messages", **headers: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection(*address, timeout=60)) as client:
        said = {"x-api-key": "k", "anthropic-version": "2023-06-01", **headers}
        client.request("POST", path, data, said)
        reply = client.getresponse()
        return reply.status, reply.read().decode()


@pytest.mark.parametrize("name", ATTACKS)
def test_others_are_answered_meanwhile(server: tuple[str, int], name: str) -> None:
    make, status, says, _ = ATTACKS[name]
    data = make()

    waited = during(server, lambda: ask(server, data))

    assert (waited.result[0], says in waited.result[1]) == (status, True), waited.result[1][:300]
    assert not waited.is_held, waited


def test_so_they_are_while_a_batch_of_100_000_is_taken_in(server: tuple[str, int]) -> None:
    data = batch(100_000, "Hi")

    waited = during(server, lambda: ask(server, data, "/v1/messages/batches"))

    assert waited.result[0] == 200
    assert '"processing":100000' in waited.result[1]
    assert not waited.is_held, waited


def memory(pid: int, name: str) -> int:
    """Bytes that a process has (`VmRSS`) or had at most (`VmHWM`)."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
@pytest.mark.parametrize("name", [name for name, (_, _, _, times) in ATTACKS.items() if times is not None])
def test_memory_stays_in_proportion(library: Path, name: str) -> None:
    make, _, _, times = ATTACKS[name]
    data = make()
    assert times is not None
    with served(str(library), "--time-scale", "0") as address:
        pid = _pid(address[1])
        ask(address, body("Hi"))
        before = memory(pid, "VmRSS")
        ask(address, data)
        assert memory(pid, "VmHWM") - before <= times * len(data)


def _pid(port: int) -> int:
    """The child of ours that serves this port: the newest one."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return int(children[-1])


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", lambda data: zlib.compress(data)[2:-4])],
    ids=["gzip", "deflate", "raw deflate"],
)
def test_a_packed_body_is_unpacked(serve, talk, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    data = pack(asks("[[scenario:hello]]" + words(3 * MB)))
    assert answer(talk(serve(), post(data, "x-api-key: k", f"content-encoding: {encoding}")))[0] == 200


def test_gzip_may_have_several_members(serve, talk) -> None:
    whole = asks("[[scenario:hello]]")
    data = gzip.compress(whole[:20]) + gzip.compress(whole[20:])
    assert answer(talk(serve(), post(data, "x-api-key: k", "content-encoding: gzip")))[0] == 200


@pytest.mark.parametrize(
    ("encoding", "data", "says"),
    [
        ("gzip", gzip.compress(asks(), mtime=0)[:-9], "ends too early"),
        ("gzip", b"no gzip at all", "could not be read"),
        ("gzip", gzip.compress(asks(), mtime=0) + b"more", "could not be read"),
        ("deflate", zlib.compress(asks()) + b"more", "more behind"),
        ("br", asks(), "'br' is not supported"),
        ("gzip, gzip", asks(), "'gzip, gzip' is not supported"),
    ],
)
def test_what_cannot_be_unpacked_is_a_400(serve, talk, encoding: str, data: bytes, says: str) -> None:
    status, _, reply = answer(talk(serve(), post(data, "x-api-key: k", f"content-encoding: {encoding}")))
    assert status == 400
    assert says in json.loads(reply)["error"]["message"]


def test_a_little_gzip_that_is_300_mb_is_a_413_and_takes_no_memory(server: tuple[str, int]) -> None:
    packer = zlib.compressobj(wbits=31)
    data = b"".join([packer.compress(b"x" * MB) for _ in range(300)]) + packer.flush()
    pid = _pid(server[1])
    ask(server, body("Hi"))
    before = memory(pid, "VmRSS")

    waited = during(server, lambda: ask(server, data, **{"content-encoding": "gzip"}))

    assert waited.result[0] == 413
    assert not waited.is_held, waited
    assert memory(pid, "VmHWM") - before < 100 * MB

"""Files that come from outside: recorded calls that are imported, and forms that bring a file. Either is taken as it was
meant or refused in one line, and nothing of a refused one stays.
"""

import argparse
import asyncio
import base64
import contextlib
import gzip
import io
import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st
from reliability.notes import EXAMPLES, SEED, note
from reliability.test_fuzz import places, put, tried, values
from wires import Memory

from mock_server import Settings
from mock_server.commands import Mistake, importing
from mock_server.scenario.load import loads
from mock_server.server.runner import Runner

pytestmark = pytest.mark.timeout(60 + 2 * EXAMPLES)

# -- recorded calls -----------------------------------------------------------------------------------------------------

ASKED: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "max_tokens": 99,
    "system": "Be short",
    "tools": [{"name": "add", "input_schema": {"type": "object"}}],
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "2"}]},
    ],
}
SAID: dict[str, Any] = {
    "id": "msg_01R",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-8",
    "content": [{"type": "thinking", "thinking": "Hm", "signature": "c2ln"}, {"type": "text", "text": "It is 2."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 20, "output_tokens": 21, "cache_read_input_tokens": 0},
}
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**SAID, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]
STREAM = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in EVENTS)
PACKED = base64.b64encode(gzip.compress(json.dumps(SAID).encode(), mtime=0)).decode()
SENT = {
    "body": json.dumps(ASKED),
    "headers": {"anthropic-beta": ["a"]},
    "method": "POST",
    "uri": "https://a/v1/messages",
}
HEAD = {"content-type": ["application/json"], "retry-after": ["3"]}
RECORDED: dict[str, Any] = {
    "messages": ASKED["messages"],
    "a request": ASKED,
    "a reply": SAID,
    "an error": ERROR,
    "calls": [{"request": ASKED, "response": SAID}, {"request": ASKED, "response": ERROR}],
    "events": EVENTS,
    "a stream in a call": {"request": ASKED, "response": STREAM},
    "an entry of the journal": {"request": {"body": ASKED, "headers": {}}, "reply": SAID, "status": 200},
    "HAR": {
        "log": {
            "entries": [
                {
                    "request": {"headers": [{"name": "anthropic-beta", "value": "a"}], "postData": {"text": json.dumps(ASKED)}},
                    "response": {"status": 200, "headers": [], "content": {"text": PACKED, "encoding": "base64"}},
                }
            ]
        }
    },
    "nock": [{"path": "/v1/messages", "body": ASKED, "status": 200, "response": SAID, "rawHeaders": ["a", "b"]}],
    "vcrpy": {"interactions": [{"request": SENT, "response": {"body": {"string": json.dumps(SAID)}, "headers": HEAD}}]},
    "a packed cassette": {"http_interactions": [{"request": SENT, "response": {"body": {"base64_string": PACKED}}}]},
    "results of a batch": {"custom_id": "a", "result": {"type": "succeeded", "message": SAID}},
}  # fmt: skip
PIECES = (
    "\n",
    "- ",
    ": ",
    "{",
    "]",
    '"',
    "!!binary ",
    "&a ",
    "*a",
    "\0",
    "\x1f\x8b",
    "event: ",
    "data: ",
    "\\ud83d",
    "1e999",
)
OTHERS = values | st.sampled_from(
    [STREAM, PACKED, SAID, ERROR, ASKED, EVENTS, [SAID], "1f8b", {"string": PACKED}, 10**30]
)


def taken(data: bytes, folder: Path) -> str:
    """What `mock-server import` writes of a file; nothing when it says in one line why it does not."""
    file = folder / "recorded"
    file.write_bytes(data)
    given = argparse.Namespace(file=str(file), name=None, timing=False, output=None)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            importing.run_import(given, Settings())
        except Mistake:
            return ""
    return out.getvalue()


@pytest.mark.parametrize("kind", RECORDED)
def test_a_recording_with_something_else_in_some_place(kind: str, tmp_path: Path) -> None:
    assert loads(taken(json.dumps(RECORDED[kind]).encode(), tmp_path))
    where = list(places(RECORDED[kind]))

    @tried
    @seed(SEED)
    @given(spoilt=st.lists(st.tuples(st.sampled_from(where), OTHERS), min_size=1, max_size=3))
    def tell(spoilt: list[tuple[tuple[Any, ...], Any]]) -> None:
        said = RECORDED[kind]
        for place, new in spoilt:
            with contextlib.suppress(KeyError, IndexError, TypeError):  # another took the place
                said = put(said, place, new)
        text = taken(json.dumps(said).encode(), tmp_path)
        assert not text or loads(text)

    tell()
    note("recordings with something else in some place", inputs=EXAMPLES)


@pytest.mark.parametrize("kind", [*RECORDED, "a stream"])
def test_a_recording_that_is_cut_and_written_over(kind: str, tmp_path: Path) -> None:
    whole = STREAM if kind == "a stream" else json.dumps(RECORDED[kind], indent=1)
    at = st.integers(0, len(whole))

    @tried
    @seed(SEED)
    @given(cuts=st.lists(st.tuples(at, at, st.sampled_from(PIECES)), max_size=4), is_packed=st.booleans())
    def tell(cuts: list[tuple[int, int, str]], is_packed: bool) -> None:
        text = whole
        for start, end, piece in cuts:
            text = text[:start] + piece + text[min(end, start + 5) :]
        data = text.encode()
        made = taken(gzip.compress(data)[: -8 if cuts else None] if is_packed else data, tmp_path)
        assert not made or loads(made)

    tell()
    note("recordings that are cut and written over", inputs=EXAMPLES)


# -- forms with a file --------------------------------------------------------------------------------------------------

EDGE = "edge"
LINES = (
    'content-disposition: form-data; name="file"; filename="a.txt"',
    "content-disposition: form-data; name=\"file\"; filename*=UTF-8''%C3%A9%ff.txt",
    'content-disposition: form-data; name="file"; filename="../../a\\"b"',
    'content-disposition: form-data; name="purpose"',
    'content-disposition: form-data; name="expires_in_seconds"',
    'content-disposition: form-data; name=""',
    "content-disposition: form-data",
    "content-disposition: ;;;=",
    "content-type: text/plain; charset=utf-16",
    "content-type: multipart/mixed; boundary=inner",
    "content-transfer-encoding: base64",
    "content-encoding: gzip",
    "content-length: 3",
    "content-length: x",
    "x: \u00e9\u2028",
    ": ",
    "no colon",
)
DATA = (
    b"",
    b"Hello",
    bytes(range(256)),
    b"\r\n",
    b"--edge",
    b"\r\n--edge",
    b"\r\n--edge--",
    b"\n--edge\n",
    b"3600",
    b"x" * 9000,
)
PARTS = st.tuples(st.lists(st.sampled_from(LINES), max_size=4), st.lists(st.sampled_from(DATA), max_size=3))


def form(parts: Sequence[tuple[Sequence[str], Sequence[bytes]]], ends: bytes) -> bytes:
    pieces = [
        b"--edge\r\n" + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + b"".join(data) + b"\r\n"
        for lines, data in parts
    ]
    return b"".join(pieces) + ends


def request(body: bytes, edge: str, *, is_chunked: bool) -> bytes:
    framing = "transfer-encoding: chunked" if is_chunked else f"content-length: {len(body)}"
    kind = f'content-type: multipart/form-data; boundary="{edge}"'
    head = "\r\n".join(["POST /v1/files HTTP/1.1", "host: t", "x-api-key: k", kind, framing, "", ""]).encode()
    return head + (
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if is_chunked and body else b"0\r\n\r\n" * is_chunked or body
    )


async def sent(runner: Runner, pieces: Sequence[bytes]) -> bytes:
    """The whole answer to a request that comes in pieces."""
    connection: Any = runner._server() if runner._server is not None else None
    transport = Memory(connection)
    connection.connection_made(transport)
    for piece in pieces:
        if not transport.closed:
            connection.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(10_000):
        head, _, body = transport.written.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if transport.closed or (length and len(body) >= int(length[1])):
            break
        await asyncio.sleep(0)
    transport.close()
    await asyncio.sleep(0)
    return transport.written


def test_any_form(tmp_path: Path) -> None:
    kept = tmp_path / "kept"

    async def tell_all(tell: Callable[[Runner], None]) -> None:
        runner = Runner(Settings(port=0, seed=1, time_scale=0, files=str(kept)), [])
        await runner.start()
        try:
            await asyncio.to_thread(tell, runner)
        finally:
            await runner.stop()

    def all_of_it(runner: Runner) -> None:
        @tried
        @seed(SEED)
        @given(
            parts=st.lists(PARTS, max_size=4),
            ends=st.sampled_from([b"--edge--\r\n", b"--edge--", b"", b"--edge\r\n", b"--edge", b"--edge--\r\nmore"]),
            edge=st.sampled_from([EDGE, EDGE, EDGE, "", "e", "edge ", "x" * 71]),
            is_chunked=st.booleans(),
            draw=st.randoms(use_true_random=False),
        )
        def tell(
            parts: list[tuple[list[str], list[bytes]]], ends: bytes, edge: str, is_chunked: bool, draw: random.Random
        ) -> None:
            data = request(form(parts, ends), edge, is_chunked=is_chunked)
            cuts = sorted(draw.randrange(len(data)) for _ in range(draw.randrange(4)))
            pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]
            before = len(list(kept.iterdir()))
            answer = asyncio.run_coroutine_threadsafe(sent(runner, pieces), loop).result(30)
            status = int(answer.split()[1])
            assert status in (200, 400, 413), (data, answer)
            body = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert body["type"] == ("file" if status == 200 else "error")
            assert len(list(kept.iterdir())) == before + (status == 200), "a file stays that nobody has"

        loop = runner_loop[0]
        tell()

    runner_loop: list[asyncio.AbstractEventLoop] = []

    async def whole() -> None:
        runner_loop.append(asyncio.get_running_loop())
        await tell_all(all_of_it)

    asyncio.run(whole())
    note("forms with a file", inputs=EXAMPLES)

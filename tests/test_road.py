"""How long the road of a plain request is, in counts that are the same on every machine: functions of the package that
are called, the files they stand in, how often the road goes from one file to another, and what it leaves in memory.

The ceilings stand in `road.json`. When a change makes the road shorter, or makes it longer for a reason that its commit
tells, write them anew: `ROAD_UPDATE=1 python -m pytest -n0 tests/test_road.py`.
"""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import mock_server
from mock_server.api.local import MockServer

TABLE = Path(__file__).with_name("road.json")
PACKAGE = str(Path(mock_server.__file__).parent) + os.sep
# Python 3.12 and newer call no function for these.
INLINED = ("<listcomp>", "<dictcomp>", "<setcomp>")
MARGIN = {"calls": 2, "files": 0, "changes": 2, "blocks": 3, "own modules": 0, "modules": 40}  # of other Pythons
WARM, COUNTED = 40, 9

SCENARIOS = """
name: said
when: {prompt: bench json}
timing: instant
at_end: repeat
reply: A local emulator answers at once. It has no network to wait for and no model to run.
---
name: streamed
when: {prompt: bench stream}
timing: {chunk: word}
at_end: repeat
reply: A local emulator answers at once. It has no network to wait for and no model to run.
---
name: filled
when: {prompt: bench template}
timing: instant
at_end: repeat
reply: {template: "You said {{ prompt[:20] }}."}
"""


def body(prompt: str, *, block: bool = False, **more: Any) -> bytes:
    text = prompt + " and some words more" * 40
    said = [{"role": "user", "content": [{"type": "text", "text": text}] if block else text}]
    return json.dumps({"model": "claude-haiku-4-5", "max_tokens": 1024, **more, "messages": said}).encode()


# name -> the body of request number n, and whether head and body come apart, as some clients send them
ROADS: dict[str, tuple[Any, bool]] = {
    "JSON, the same bytes": (lambda n: body("bench json"), False),
    "JSON, every prompt different": (lambda n: body(f"bench json {n:06}"), False),
    "JSON, every prompt different, head and body apart": (lambda n: body(f"bench json {n:06}"), True),
    "JSON, a text block, every prompt different": (lambda n: body(f"bench json {n:06}", block=True), False),
    "stream, the same bytes": (lambda n: body("bench stream", stream=True), False),
    "stream, every prompt different": (lambda n: body(f"bench stream {n:06}", stream=True), False),
    "template, every prompt different": (lambda n: body(f"bench template {n:06}"), False),
    "nothing matches, every prompt different": (lambda n: body(f"what is {n:06}"), False),
}


class Road:
    """The functions of the package that are called, in order."""

    def __init__(self) -> None:
        self.codes: list[CodeType] = []

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and code.co_name not in INLINED:
            self.codes.append(code)

    @property
    def counts(self) -> dict[str, int]:
        files = [code.co_filename for code in self.codes]
        changes = sum(one != other for one, other in pairwise(files))
        return {"calls": len(files), "files": len(set(files)), "changes": changes}


async def ask(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes, apart: bool) -> None:
    """One request, and its reply to the end."""
    reader, writer = streams
    head = f"POST /v1/messages HTTP/1.1\r\nhost: t\r\nx-api-key: k\r\ncontent-length: {len(data)}\r\n\r\n".encode()
    if apart:
        writer.write(head)
        for _ in range(5):  # until the server has read it
            await asyncio.sleep(0)
        writer.write(data)
    else:
        writer.write(head + data)
    top = await reader.readuntil(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 200"), top
    low = top.lower()
    if b"chunked" in low:
        await reader.readuntil(b"\r\n0\r\n\r\n")
    else:
        await reader.readexactly(int(low.split(b"content-length:")[1].split(b"\r\n")[0]))
    for _ in range(3):  # what the server does when its reply is out
        await asyncio.sleep(0)


def held(server: MockServer) -> int:
    """How much is in memory when the journal has counted what came, and dropped what it need not keep."""
    assert len(server.journal) == WARM // 2
    gc.collect()
    return sys.getallocatedblocks()


async def counted(name: str, path: Path) -> dict[str, int]:
    """What one request of a kind takes: the shortest of several, as ids are made many at a time."""
    make, apart = ROADS[name]
    async with MockServer(path, time_scale=0, journal_entries=WARM // 2, unmatched="generate").in_loop() as server:
        streams = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        for n in range(WARM):
            await ask(streams, make(n), apart)
        roads = []
        for n in range(COUNTED):
            data, road = make(WARM + n), Road()
            sys.setprofile(road)
            try:
                await ask(streams, data, apart)
            finally:
                sys.setprofile(None)
            roads.append(road.counts)
        before = held(server)
        for n in range(200):
            await ask(streams, make(WARM + COUNTED + n), apart)
        kept = (held(server) - before) // 200
        streams[1].close()
        await streams[1].wait_closed()
    return {**{what: min(road[what] for road in roads) for what in roads[0]}, "blocks": max(0, kept)}


def started(path: Path) -> dict[str, int]:
    """The modules that the command has imported when it listens."""
    command = [sys.executable, "-X", "importtime", "-m", "mock_server", "serve", "--port", "0", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "listening" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=30)
    names = {line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")}
    own = [name for name in names if name.partition(".")[0] == "mock_server"]
    return {"own modules": len(own), "modules": len(names)}


@pytest.fixture(scope="module")
def ceilings() -> Iterator[dict[str, dict[str, int]]]:
    """The table; with ROAD_UPDATE what was measured is written into it."""
    table: dict[str, Any] = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    yield table
    if os.environ.get("ROAD_UPDATE"):
        TABLE.write_text(json.dumps(table, indent=1) + "\n")


def within(name: str, found: dict[str, int], ceilings: dict[str, dict[str, int]]) -> None:
    if os.environ.get("ROAD_UPDATE"):
        ceilings[name] = found
    over = {
        what: (got, ceilings[name][what]) for what, got in found.items() if got > ceilings[name][what] + MARGIN[what]
    }
    assert not over, f"{name}: more than tests/road.json allows, as (now, allowed): {over}"


@pytest.mark.parametrize("name", ROADS)
def test_the_road_of_a_request_is_no_longer_than_it_was(name: str, ceilings: Any, tmp_path: Path) -> None:
    path = tmp_path / "road.yaml"
    path.write_text(SCENARIOS)
    within(name, asyncio.run(counted(name, path)), ceilings)


def test_a_start_imports_no_more_than_it_did(ceilings: Any, tmp_path: Path) -> None:
    path = tmp_path / "road.yaml"
    path.write_text(SCENARIOS)
    within("start", started(path), ceilings)

"""A server that is killed in the midst of a write leaves a journal file in which every line but that one is whole, and
the next server begins on a line of its own.
"""

import http.client
import json
import random
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from rawclient import asks
from reliability.notes import SEED, note

# the server, and a system that takes but a part of the Nth write to the file and is gone
DIES = """
import os, signal, sys
from mock_server.cli import main
write, count = os.write, [0]
def torn(file, data):
    if len(data) > 200 and bytes(data[:1]) in (b"{", b"\\n"):
        count[0] += 1
        if count[0] == int(sys.argv[1]):
            write(file, data[:int(sys.argv[2])])
            os.kill(os.getpid(), signal.SIGKILL)
    return write(file, data)
os.write = torn
sys.exit(main(sys.argv[3:]))
"""


def serving(file: Path, *first: str) -> tuple[subprocess.Popen[str], tuple[str, int]]:
    words = ["serve", "--port", "0", "--time-scale", "0", "--journal", str(file)]
    how = ["-c", DIES, *first] if first else ["-m", "mock_server"]
    process = subprocess.Popen(
        [sys.executable, *how, *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    host, _, port = process.stdout.readline().strip().rpartition("//")[2].rpartition(":")
    return process, (host, int(port))


def ask(at: tuple[str, int], number: int) -> bool:
    """Whether the whole answer came."""
    try:
        with closing(http.client.HTTPConnection(*at, timeout=20)) as client:
            client.request("POST", "/v1/messages", asks(f"number {number};"), {"x-api-key": "k"})
            return client.getresponse().read().endswith(b"}")
    except (OSError, http.client.HTTPException):
        return False


def read(file: Path) -> tuple[set[int], int]:
    """The numbers of the exchanges in a file, and how many lines are torn."""
    numbers, torn = set(), 0
    for line in file.read_bytes().split(b"\n"):
        if line:
            try:
                numbers.add(int(json.loads(line)["request"]["body"]["messages"][0]["content"][7:-1]))
            except ValueError:
                torn += 1
    return numbers, torn


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("part", [0, 1, 150, 199])
def test_a_write_that_is_cut_off_costs_its_line_only(tmp_path: Path, part: int) -> None:
    file = tmp_path / "journal.jsonl"
    process, at = serving(file, "4", str(part))
    with process:
        came = [number for number in range(9) if ask(at, number)]
    assert (process.returncode, came) == (-signal.SIGKILL, [0, 1, 2])
    process, at = serving(file)
    with process:
        assert ask(at, 9)
        process.kill()
    assert read(file) == ({0, 1, 2, 9}, 1 if part else 0)
    note("writes that were cut off", inputs=1)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_kills_at_any_moment_lose_no_answered_exchange(tmp_path: Path) -> None:
    file, draw, came, kills = tmp_path / "journal.jsonl", random.Random(SEED), set[int](), 4
    for turn in range(kills):
        process, at = serving(file)
        with process:
            killer = threading.Timer(draw.uniform(0.05, 0.4), process.kill)
            killer.start()
            number = turn * 100_000
            while ask(at, number):
                came.add(number)
                number += 1
            killer.join()
    numbers, torn = read(file)
    assert came - numbers == set()
    assert torn <= kills
    note("kills at any moment", inputs=kills, exchanges=len(came), lost=len(came - numbers), torn_lines=torn)

"""The journal as a file: what a line holds, rotation, and what is left of it after kill -9 under load."""

import errno
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mock_server import MockServer
from mock_server.server import journal_file
from mock_server.settings import Unusable

ASK = {"model": "claude-opus-4-8", "max_tokens": 99}


def ask(url: str, text: str, connection: http.client.HTTPConnection | None = None) -> int:
    own = connection or http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    body = json.dumps({**ASK, "messages": [{"role": "user", "content": text}]})
    own.request("POST", "/v1/messages", body, {"x-api-key": "a-secret-key"})
    reply = own.getresponse()
    reply.read()
    if connection is None:
        own.close()
    return reply.status


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_exchange_is_a_line_with_request_and_reply_and_no_key(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    with MockServer(journal=str(file)) as server:
        server.add("Hi", name="hi")
        ask(server.url, "Hello")
    (line,) = lines(file)
    assert (line["scenario"], line["outcome"], line["prompt"]) == ("hi", "completed", "Hello")
    assert line["request"]["body"]["max_tokens"] == 99  # type: ignore[index]
    assert line["reply"]["body"]["content"] == [{"type": "text", "text": "Hi"}]  # type: ignore[index]
    assert "a-secret-key" not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0 or os.name == "nt"


def test_a_second_server_goes_on_where_the_first_one_ended(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    for text in ("one", "two"):
        with MockServer(journal=str(file)) as server:
            server.add("Hi")
            ask(server.url, text)
    assert [line["prompt"] for line in lines(file)] == ["one", "two"]


def test_a_full_file_is_put_aside_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "MAX_BYTES", 1)
    monkeypatch.setattr(journal_file, "KEPT", 2)
    file = tmp_path / "journal.jsonl"
    with MockServer(journal=str(file)) as server:
        server.add("Hi")
        for text in ("one", "two", "three", "four"):
            ask(server.url, text)
    held = {path.name: lines(path)[0]["prompt"] for path in tmp_path.iterdir()}
    assert held == {"journal.jsonl": "four", "journal.jsonl.1": "three", "journal.jsonl.2": "two"}


def test_a_file_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        MockServer(journal=str(tmp_path / "no" / "journal.jsonl")).start()


def test_a_line_that_was_torn_is_left_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_text('{"number":1}\n{"numb')
    with MockServer(journal=str(file)) as server:
        server.add("Hi")
        ask(server.url, "one")
        ask(server.url, "two")
    first, torn, *rest = file.read_text().splitlines()
    assert (first, torn) == ('{"number":1}', '{"numb')
    assert [json.loads(line)["prompt"] for line in rest] == ["one", "two"]


def test_while_the_disk_is_full_exchanges_are_lost_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    room = [10_000]

    def write(descriptor: int, data: bytes) -> int:
        """A disk with so many bytes left."""
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = writes(descriptor, data[: room[0]])
        room[0] -= written
        return written

    writes = os.write
    file = tmp_path / "journal.jsonl"
    with MockServer(journal=str(file)) as server:
        server.add("Hi")
        ask(server.url, "zero")
        room[0] = 100
        monkeypatch.setattr(journal_file.os, "write", write)
        assert [ask(server.url, f"lost {n}") for n in range(3)] == [200] * 3
        room[0] = 10_000
        assert [ask(server.url, text) for text in ("one", "two")] == [200, 200]
        monkeypatch.undo()
    first, torn, *rest = file.read_text().splitlines()
    assert (json.loads(first)["prompt"], len(torn)) == ("zero", 100)
    assert [json.loads(line)["prompt"] for line in rest] == ["one", "two"]
    assert [record.getMessage().removeprefix(f"journal file {file}: ") for record in caplog.records] == [
        "No space left on device; exchanges are lost until it can be written",
        "written again; 3 exchanges were lost",
    ]


@pytest.mark.parametrize("fails", ["replace", "open"])
def test_a_file_that_cannot_be_put_aside_grows_on_and_no_other_descriptor_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    """As of a file that is mounted by itself (EBUSY), or when no descriptor is left (EMFILE)."""
    monkeypatch.setattr(journal_file, "MAX_BYTES", 2_000)
    file = tmp_path / "journal.jsonl"
    with MockServer(journal=str(file)) as server:
        server.add("Hi")
        if fails == "replace":
            monkeypatch.setattr(Path, "replace", lambda self, target: no(errno.EBUSY, "Device or resource busy"))
        else:
            monkeypatch.setattr(
                journal_file.JournalFile, "_opened", lambda self: no(errno.EMFILE, "Too many open files")
            )
        closed: list[int] = []
        monkeypatch.setattr(journal_file.os, "close", closed.append)
        # a connection for each: a descriptor that was closed before would be one of theirs
        assert [ask(server.url, str(n)) for n in range(12)] == [200] * 12
        assert closed == []
        monkeypatch.undo()
        assert ask(server.url, "12") == 200
    whole = [line["prompt"] for path in sorted(tmp_path.iterdir(), reverse=True) for line in lines(path)]
    assert whole == [str(n) for n in range(13)]
    said = [record.getMessage() for record in caplog.records]
    assert said
    assert len(said) < 12
    assert all("cannot be put aside, it grows on" in line for line in said)


def no(number: int, text: str) -> Any:
    raise OSError(number, text)


@pytest.mark.skipif(os.name == "nt", reason="pipes are POSIX")
def test_a_pipe_is_written_as_long_as_it_is_read_and_holds_nothing_up(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(Unusable, match=r"pipe cannot be opened: nobody reads this pipe$"):
        MockServer(journal=str(pipe)).start()
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with MockServer(journal=str(pipe)) as server:
        server.add("Hi" * 10_000)
        assert [ask(server.url, str(n)) for n in range(8)] == [200] * 8
        assert json.loads(os.read(reader, 1_000_000).splitlines()[0])["prompt"] == "0"
    os.close(reader)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_journal_that_cannot_be_opened_is_told_as_such(tmp_path: Path) -> None:
    file = tmp_path / "no" / "journal.jsonl"
    for option, text in (
        ("--journal", f"the journal file {file} cannot be opened: No such file or directory"),
        ("--files", f"the folder for files {tmp_path / 'file' / 'x'} cannot be made: Not a directory"),
    ):
        (tmp_path / "file").touch()
        given = str(file if option == "--journal" else tmp_path / "file" / "x")
        command = [sys.executable, "-m", "mock_server", "--port", "0", option, given]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (2, f"mock-server: {text}\n")


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_after_kill_9_under_load_every_acknowledged_request_is_there(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    command = [sys.executable, "-m", "mock_server", "--port", "0", "--time-scale", "0", "--journal", str(file)]
    with subprocess.Popen([*command, "--log-level", "error"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        acknowledged: set[str] = set()
        enough = threading.Event()

        def load(worker: int) -> None:
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
            try:
                for n in range(100_000):
                    ask(url, f"{worker}-{n}", connection)
                    acknowledged.add(f"{worker}-{n}")
                    if len(acknowledged) > 200:
                        enough.set()
            except (OSError, http.client.HTTPException):
                return
            finally:
                connection.close()

        workers = [threading.Thread(target=load, args=(worker,)) for worker in range(4)]
        for one in workers:
            one.start()
        assert enough.wait(30)
        process.send_signal(signal.SIGKILL)
        for one in workers:
            one.join(30)
        process.wait(10)
    text = file.read_text()
    whole = [json.loads(line)["prompt"] for line in text[: text.rindex("\n")].split("\n")]
    assert len(acknowledged - set(whole)) <= 1
    assert len(acknowledged) > 200

"""The journal as a file: what a line holds, rotation, and what is left of it after kill -9 under load."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mock_server import MockServer
from mock_server.server import journal_file

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
    monkeypatch.setattr(journal_file.JournalFile.__init__, "__defaults__", (1,))
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

"""One request full of secrets, and every place where others might see it: none is there. In a test's hands all are."""

import http.client
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mock_server import MockServer

TOKEN, BEARER, QUERY, HEADER = "sk-ant-api03-LEAK1-x", "LEAK2.abc.def", "LEAK3", "LEAK4"
SAID = f"my key is {TOKEN}, and Bearer {BEARER} too"
ASK = {"model": "claude-opus-4-8", "max_tokens": 200, "stream": True, "messages": [{"role": "user", "content": SAID}]}
HEADERS = {
    "x-api-key": "LEAK5",
    "x-goog-api-key": HEADER,
    "api-key": HEADER,
    "x-auth-token": HEADER,
    "cookie": "LEAK6",
    "anthropic-version": "2023-06-01",
}


def send(server: MockServer, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> str:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    connection.request(method, path, None if body is None else json.dumps(body), headers or {})
    text = connection.getresponse().read().decode()
    connection.close()
    return text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def asked(file: Path, caplog: pytest.LogCaptureFixture) -> Iterator[MockServer]:
    """A server that was told secrets, twice: answered with an echo of them, and matched by nothing."""
    with caplog.at_level(logging.DEBUG, "mock_server"), MockServer(journal=str(file), unmatched="error") as server:
        server.add({"type": "text", "template": "You said: {{ prompt }}"}, name="echo", times=1, timing={"chunk": 3})
        for _ in range(2):
            send(server, "POST", f"/v1/messages?api_key={QUERY}&token={QUERY}", ASK, HEADERS)
        yield server


PLACES: dict[str, Callable[[MockServer, Path, pytest.LogCaptureFixture], str]] = {
    "log": lambda server, file, caplog: "\n".join(one.getMessage() for one in caplog.get_records("setup")),
    "journal file": lambda server, file, caplog: file.read_text(),
    "list": lambda server, file, caplog: send(server, "GET", "/_mock/journal"),
    "answered entry (page, curl, scenario)": lambda server, file, caplog: send(server, "GET", "/_mock/journal/1"),
    "unmatched entry (near misses, stub)": lambda server, file, caplog: send(server, "GET", "/_mock/journal/2"),
    "entry in words": lambda server, file, caplog: "\n".join(f"{one} {one!r}" for one in server.journal),
    "report of what was not called": lambda server, file, caplog: failure(
        lambda: server.assert_called(when={"prompt": "a wholly other prompt that nobody has ever sent"})
    ),
    "report of what was unmatched": lambda server, file, caplog: failure(server.assert_no_unmatched),
    "report of a sequence": lambda server, file, caplog: failure(lambda: server.assert_sequence("echo", "nothing")),
}


def failure(check: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as caught:
        check()
    return str(caught.value)


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_leaves(asked: MockServer, file: Path, caplog: pytest.LogCaptureFixture, place: str) -> None:
    text = PLACES[place](asked, file, caplog)
    assert "/v1/messages" in text
    assert "LEAK" not in text.upper()
    assert "ant-" not in text.replace("anthropic", "").replace("relevant-", "")


def test_of_an_answered_entry_every_export_is_there(asked: MockServer) -> None:
    entry = json.loads(send(asked, "GET", "/_mock/journal/1"))
    mark = entry["request"]["body"]["messages"][0]["content"].split()[3].removesuffix(",")
    assert mark.startswith("key-")
    assert entry["reply"]["body"]["content"][0]["text"].startswith(f"You said: my key is {mark}, and Bearer key-")
    told = "".join(one["payload"].get("delta", {}).get("text", "") for one in entry["events"])
    assert told == entry["reply"]["body"]["content"][0]["text"]
    assert "api_key=key-" in entry["curl"]
    assert "my key is" in entry["yaml"]


def test_in_a_tests_hands_the_journal_is_whole(asked: MockServer) -> None:
    entry = asked.journal[0]
    assert entry.request.prompt == SAID
    assert json.loads(entry.request.raw) == ASK
    assert entry.query == f"api_key={QUERY}&token={QUERY}"
    assert entry.request.headers["x-goog-api-key"] == HEADER
    assert entry.text == f"You said: {SAID}"
    assert len(asked.journal.find({"prompt": TOKEN})) == 2


def test_a_function_that_raises_with_a_secret_leaves_it_out_of_the_log(
    server: MockServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(request: Any) -> str:
        raise ValueError(f"what is {request.prompt}?")

    server.add(fails)
    send(server, "POST", "/v1/messages", {**ASK, "stream": False}, HEADERS)
    assert "ValueError: what is my key is key-" in caplog.text
    assert "LEAK" not in caplog.text


def test_redact_names_parameters_of_a_query_too(file: Path) -> None:
    with MockServer(journal=str(file), redact=("user_id", "x-user")) as server:
        server.add("Hi")
        send(server, "POST", "/v1/messages?user_id=anna&beta=true&x-user=anna", ASK, {**HEADERS, "x-user": "anna"})
        (entry,) = server.journal
    assert entry.query == "user_id=[redacted]&beta=true&x-user=[redacted]"
    assert entry.request.headers["x-user"] == "[redacted]"
    assert "anna" not in file.read_text()


def test_a_session_whose_name_is_a_key_is_found_by_what_stands_for_it(server: MockServer) -> None:
    with server.session(key=TOKEN) as session:
        session.add("Hi")
        send(server, "POST", "/v1/messages", ASK, {**HEADERS, "x-api-key": TOKEN})
        entry = json.loads(send(server, "GET", "/_mock/journal/1"))
        assert entry["session"].startswith("key-")
        assert TOKEN not in send(server, "GET", "/_mock/journal") + send(server, "GET", "/_mock/sessions")
        listed = json.loads(send(server, "GET", f"/_mock/journal?session={entry['session']}"))
    assert [one["number"] for one in listed["entries"]] == [1]


@pytest.mark.parametrize("path", ["journal", "journal/stream", "health", "scenarios", "ui/", ""])
def test_the_control_api_is_not_served_below_a_session(server: MockServer, path: str) -> None:
    said = json.loads(send(server, "GET", f"/s/any/_mock/{path}", None, HEADERS))
    assert said["error"]["type"] == "not_found_error"

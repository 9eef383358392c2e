"""Edited frames from every place they can be asked for, and one and the same in preview, on the page and on a socket."""

import json
import re
import socket
from typing import Any

import pytest
from faults.looking import AUTH, TOOLS
from faults.table import ROWS, Row
from rawclient import address, asks, call, dechunked, post
from server.test_faults_told import newest

from mock_server import MockClient, MockServer, fault, prompt, reply
from mock_server.engine.engine import Engine
from mock_server.engine.preview import preview
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

ZERO = {"type": "edit", "event": "message_start", "set": {"message.usage.input_tokens": 0}}
HELLO = "name: hello\nwhen: {prompt: hello}\nreply: One two three."
WARNED = "fault not applied: edit: a JSON reply has no events"


@pytest.fixture
def server(serve: Any) -> MockServer:
    server: MockServer = serve(HELLO, settings=Settings(port=0, time_scale=0, unmatched="error", seed=7))
    return server


def ask(server: MockServer, text: str = "hello", *, stream: bool = True, **headers: str) -> bytes:
    """Everything that comes for a request, on a connection of its own."""
    sent = [*AUTH, *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    with socket.create_connection(address(server), timeout=20) as client:
        client.sendall(post(asks(text, stream=stream, **TOOLS), *sent))
        data = b""
        while some := client.recv(65536):
            data += some
    return data


def first_input(data: bytes) -> int:
    """The input tokens that message_start tells."""
    return int(re.search(rb'"message_start".*?"input_tokens":(\d+)', data)[1])  # type: ignore[index]


# -- from everywhere -------------------------------------------------------------------------------------------------


def test_an_edit_from_python_overlay_header_control_api_and_yaml(server: MockServer, serve: Any) -> None:
    assert first_input(ask(server)) > 0
    assert first_input(ask(server, x_mock_fault="edit;event=message_start;set.message.usage.input_tokens=0")) == 0
    assert first_input(ask(server, x_mock_fault=json.dumps(ZERO))) == 0

    server.chaos.add(ZERO)
    assert first_input(ask(server)) == 0
    server.chaos.clear()
    assert first_input(ask(server)) > 0

    assert call(server, "POST", "/_mock/chaos", {"name": "zero", "fault": ZERO}).json["added"]
    assert first_input(ask(server)) == 0
    call(server, "DELETE", "/_mock/chaos/zero")
    assert first_input(ask(server)) > 0

    server.add(reply("Hi.", fault=fault("edit", event="message_start", set={"message.usage.input_tokens": 0})), when=prompt("py"))  # fmt: skip
    assert first_input(ask(server, "py")) == 0
    with MockClient(server.url) as elsewhere:
        elsewhere.add("Hi.", when=prompt("far"), fault=ZERO)
        assert first_input(ask(server, "far")) == 0
    assert first_input(ask(serve(f"{HELLO}\nfault: {json.dumps(ZERO)}"))) == 0


def test_a_json_reply_stays_whole_and_says_so_in_the_header_the_log_and_the_journal(
    server: MockServer, caplog: pytest.LogCaptureFixture
) -> None:
    data = ask(server, stream=False, x_mock_fault=json.dumps(ZERO))
    assert f"x-mock-warning: {WARNED}".encode() in data
    assert json.loads(data.partition(b"\r\n\r\n")[2])["usage"]["input_tokens"] > 0
    assert server.journal.last.note == WARNED
    assert "a fault could not be applied: edit: a JSON reply has no events" in caplog.text


def test_a_changed_message_is_in_both_and_says_nothing(server: MockServer) -> None:
    tired = json.dumps({"type": "edit", "message": {"set": {"stop_reason": "tired"}}})
    for stream in (True, False):
        data = ask(server, stream=stream, x_mock_fault=tired)
        assert b'"stop_reason":"tired"' in data
        assert b"x-mock-warning" not in data


def test_a_header_with_a_mistake_is_a_400_that_says_what_is_wrong(server: MockServer) -> None:
    for text, said in (
        ("edit;event=message_start", "changes nothing: expected set, remove, name, drop or message"),
        ("{", "is no JSON"),
        ("disconnect;after=1;at=message_delta", "two places: 'after' and 'at'; take one out"),
    ):
        data = ask(server, x_mock_fault=text)
        assert data.startswith(b"HTTP/1.1 400")
        assert said in data.decode()


def test_the_same_request_is_answered_whole_before_and_behind_an_edit(server: MockServer) -> None:
    whole = [ask(server) for _ in range(3)]
    edited = ask(server, x_mock_fault=json.dumps(ZERO))
    assert first_input(edited) == 0
    assert [first_input(data) for data in (*whole, ask(server))] == [first_input(whole[0])] * 4


# -- one thing seen everywhere ---------------------------------------------------------------------------------------


def without_ids(body: bytes) -> bytes:
    return re.sub(rb"(msg|toolu|req)_\w+|EqQB\w+|\"signature\":\"[^\"]+\"", b"", body)


LASTING = [row for row in ROWS if all(way.seen.ends in ("ended", "FIN") for way in row.ways if way.stream)]
EDITED = [row for row in LASTING if row.report or row.types & {"edit", "insert"}]


@pytest.mark.parametrize("row", EDITED, ids=lambda row: row.name)
def test_a_preview_shows_byte_for_byte_what_a_socket_gets(row: Row, serve: Any) -> None:
    server = serve(row.scenario, settings=Settings(port=0, time_scale=0, unmatched="error", seed=0))
    (scenario,) = loads(row.scenario)
    engine = Engine(Settings(time_scale=0.0, seed=0), load_profile("octen"), profiles=load_profile)
    for stream in (True, False):
        data = ask(server, "Hi", stream=stream, x_mock_scenario=row.name)
        head, _, body = data.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head:
            body = dechunked(body if body.endswith(b"0\r\n\r\n") else body + b"0\r\n\r\n")
        (shown,) = preview(engine, engine.in_force, scenario, json.loads(asks("Hi", stream=stream, **TOOLS)))
        assert without_ids(shown.plan.body()) == without_ids(body)
        assert f" {shown.plan.status} " in head.decode().split("\r\n")[0]


def test_the_page_is_told_which_frames_were_edited_put_in_and_left_out(server: MockServer) -> None:
    faults = [
        ZERO,
        {"type": "insert", "at": "content_block_stop", "raw": ": hello\n\n"},
        {"type": "edit", "event": "message_delta", "drop": True},
    ]
    ask(server, x_mock_fault=json.dumps(faults))
    entry = newest(server)
    marks = [(one["event"], one["text"].partition(":")[0]) for one in entry["marks"]]
    by = "edit message_start message.usage.input_tokens, insert at content_block_stop raw"
    assert marks == [(0, "edited"), (7, "inserted"), (9, "left out")]
    assert entry["marks"][0]["text"].startswith(f"edited: {by}")
    assert entry["events"][7]["payload"]["text"] == ": hello\n\n"


def test_the_page_knows_every_fault_with_what_it_needs(server: MockServer) -> None:
    needs = {one["type"]: one["needs"] for one in call(server, "GET", "/_mock/chaos").json["faults"]}
    assert (needs["edit"], needs["insert"], needs["empty_body"]) == (["event", "set"], ["raw"], [])


def test_of_very_many_edits_the_page_gets_the_first_hundred(serve: Any) -> None:
    server = serve(
        f"name: long\nwhen: {{prompt: hello}}\nreply: {'word ' * 1500}", settings=Settings(port=0, time_scale=0)
    )
    every = {"type": "edit", "event": "content_block_delta", "nth": "all", "set": {"index": 3}}
    ask(server, x_mock_fault=json.dumps(every))
    texts = [one["text"] for one in newest(server)["marks"]]
    assert len(texts) == 101
    assert texts[-1].startswith("and more: edit content_block_delta all index")

"""What the control API tells of faults, gates and overlays: what the page shows, and what a client elsewhere makes of it."""

import http.client
import json
from contextlib import suppress
from typing import Any

import pytest
from rawclient import call

from mock_server import MockClient, MockServer, prompt, reply
from mock_server.scenario.faults import FAULTS


@pytest.fixture
def server(serve: Any) -> MockServer:
    server: MockServer = serve("name: hello\nwhen: {prompt: hello}\nreply: One two three.")
    return server


def ask(server: MockServer, fault: str, *, stream: bool = True) -> None:
    message = {"role": "user", "content": "hello"}
    body = {"model": "claude-opus-4-8", "max_tokens": 99, "stream": stream, "messages": [message]}
    with suppress(http.client.HTTPException, OSError):  # it may break off
        call(server, "POST", "/v1/messages", body, x_api_key="k", x_mock_fault=fault)


def newest(server: MockServer) -> Any:
    return call(server, "GET", f"/_mock/journal/{server.journal.last.number}").json


def test_an_entry_tells_where_it_was_struck_and_cut(server: MockServer) -> None:
    ask(server, "garbage;after=1;bytes=8, reset;after=2")
    entry = newest(server)
    assert (entry["outcome"], entry["faults"]) == (
        "fault",
        ["garbage after 1 delta bytes 8", "reset after 2 deltas"],
    )
    assert entry["events"][4]["type"] in ("(bytes)", "(broken)")
    assert entry["marks"] == [
        {"event": 4, "kind": "fault", "text": "garbage after 1 delta bytes 8"},
        {"event": 6, "kind": "cut", "text": "connection reset"},
    ]
    listed = call(server, "GET", "/_mock/journal?outcome=fault").json["entries"]
    assert [one["number"] for one in listed] == [entry["number"]]


def test_an_event_that_is_put_in_is_shown_by_its_name(server: MockServer) -> None:
    server.add(
        "Hi", when=prompt("hello"), fault={"type": "insert", "at": "ping", "event": "queued", "data": {"place": 3}}
    )
    message = {"role": "user", "content": "hello"}
    body = {"model": "claude-opus-4-8", "max_tokens": 99, "stream": True, "messages": [message]}
    call(server, "POST", "/v1/messages", body, x_api_key="k")
    events = [one["payload"] for one in newest(server)["events"]]
    assert {"type": "queued", "place": 3} in events
    assert list(server.journal.last.events) == events


def test_an_entry_under_way_tells_which_gate_may_hold_it(server: MockServer) -> None:
    server.add(reply("one two", gate="middle"), when=prompt("hello"))
    message = {"role": "user", "content": "hello"}
    body = json.dumps({"model": "claude-opus-4-8", "max_tokens": 99, "stream": True, "messages": [message]})
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    connection.request("POST", "/v1/messages", body, {"x-api-key": "k"})
    server.gates.wait("middle")
    (listed,) = call(server, "GET", "/_mock/journal").json["entries"]
    entry = call(server, "GET", f"/_mock/journal/{listed['number']}").json
    assert (entry["outcome"], entry["events"]) == ("open", [])
    assert [(one["kind"], one["text"]) for one in entry["marks"]] == [("gate", "gate middle")]
    server.gates.release("middle")
    assert b"message_stop" in connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "fault",
    [
        *(name for name in FAULTS if name not in ("gate", "stall", "trickle", "slow_headers", "edit", "insert")),
        *("edit;event=message_stop;name=null", "edit;block=0;drop=true", "insert;at=message_stop;raw=: x\\n\\n"),
    ],
)
def test_every_fault_has_an_entry_that_can_be_told_here_and_elsewhere(
    server: MockServer, fault: str, stream: bool
) -> None:
    ask(server, fault, stream=stream)
    entry = newest(server)
    assert entry["marks"] or "fault not applied" in entry["note"]
    assert all(0 <= mark["event"] <= max(1, len(entry["events"])) for mark in entry["marks"])
    elsewhere = MockClient(server.url).journal.last
    assert (elsewhere.outcome, list(elsewhere.faults)) == (entry["outcome"], entry["faults"])
    assert len(elsewhere.planned_events) == len(entry["events"])


def test_the_overlays_come_with_the_faults_there_are_and_say_which_can_be_removed(serve: Any) -> None:
    server = serve("name: filed\nchance: 10%\nfault: reset")
    call(server, "POST", "/_mock/chaos", {"name": "laid", "fault": "disconnect"})
    call(server, "POST", "/_mock/chaos?session=default", {"name": "own", "fault": "stall"})
    said = call(server, "GET", "/_mock/chaos").json
    assert [(one["name"], one["added"], one["chance"]) for one in said["overlays"]] == [
        ("laid", True, 1.0),
        ("filed", False, 0.1),
    ]
    of_session = call(server, "GET", "/_mock/chaos?session=default").json["overlays"]
    assert {one["name"]: one["added"] for one in of_session} == {"own": True, "laid": False, "filed": False}

    faults = {one["type"]: one for one in said["faults"]}
    assert list(faults) == list(FAULTS)
    assert (faults["reset"]["after"], faults["wrong_content_type"]["after"]) == (True, False)
    assert (faults["slow_headers"]["needs"], faults["gate"]["needs"], faults["reset"]["needs"]) == (
        ["for"],
        ["name"],
        [],
    )
    assert all(one["summary"].endswith(".") for one in faults.values())


def test_clear_takes_away_what_was_added_and_nothing_else(serve: Any, tmp_path: Any) -> None:
    server: MockServer = serve("name: filed\nfault: reset")
    (tmp_path / "more.yaml").write_text("name: loaded\nfault: stall")
    first, second = server.chaos.add("disconnect"), server.chaos.add("disconnect")
    server.chaos.load(tmp_path / "more.yaml")
    server.chaos.remove(first)
    assert server.chaos.add("disconnect") != second
    assert len(list(server.chaos)) == 4
    with server.session() as session:
        session.chaos.add("reset", name="own")
        session.chaos.clear()
        assert {one.name for one in session.chaos} == {one.name for one in server.chaos}
    server.chaos.clear()
    assert [one.name for one in server.chaos] == ["filed"]

"""The control routes that turn the clock, release gates and lay overlays: what they answer, and what callers do wrong."""

from typing import Any

import pytest
from rawclient import asks

from mock_server import MockServer
from mock_server.server.control.answers import Query
from mock_server.server.control.routes import find


def call(server: MockServer, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
    from mock_server.api.controls import Refused
    from mock_server.api.remote import Http

    try:
        return 200, Http(server.url, None)(method, path, body, **query)
    except Refused as error:
        return error.status, str(error)


def test_the_clock_of_a_session_is_turned(server: MockServer) -> None:
    _, before = call(server, "GET", "clock")
    assert before["frozen"] is False

    status, after = call(server, "POST", "clock", {"freeze": True, "advance": 60})

    assert (status, after["frozen"]) == (200, True)
    assert after["unix"] - before["unix"] == pytest.approx(60, abs=5)
    assert call(server, "POST", "clock", {"resume": True})[1]["frozen"] is False


def test_a_gate_is_released_and_shut(server: MockServer) -> None:
    assert call(server, "GET", "gates")[1] == {"gates": []}
    opened = {"name": "door", "waiting": 0, "open": True, "permits": 0, "passed": 0, "went": 0}
    assert call(server, "POST", "gates/door", {})[1] == opened
    assert call(server, "POST", "gates/door", {"shut": True})[1]["open"] is False
    assert call(server, "POST", "gates/door", {"times": 3})[1]["permits"] == 3
    assert [one["name"] for one in call(server, "GET", "gates")[1]["gates"]] == ["door"]


def test_overlays_are_laid_listed_switched_and_lifted(server: MockServer) -> None:
    assert call(server, "POST", "chaos", {"name": "flaky", "chance": "20%", "fault": "reset"})[1] == {
        "added": ["flaky"]
    }
    told = {"name": "flaky", "faults": ["reset"], "chance": 0.2, "on": True, "source": "request", "added": True}
    told["between"] = None
    assert call(server, "GET", "chaos")[1]["overlays"] == [told]
    assert call(server, "PUT", "chaos/flaky", {"on": False})[1] == {"name": "flaky", "on": False}
    assert call(server, "GET", "chaos", session="default")[1]["overlays"][0]["on"] is False
    assert call(server, "DELETE", "chaos/flaky")[1] == {"removed": "flaky"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "clock", {}, 400, "nothing to do"),
        ("POST", "clock", {"advance": -1}, 400, "time does not go back"),
        ("POST", "clock", {"advance": "60"}, 400, "advance is not a number"),
        ("POST", "clock", {"forward": 1}, 400, "unknown key 'forward'"),
        ("POST", "gates/door", {"times": 0}, 400, "times is not a number"),
        ("POST", "gates/door", {"open": True}, 400, "unknown key 'open'"),
        ("POST", "chaos", {"name": "x", "reply": "Hi"}, 422, "'x' answers requests"),
        ("POST", "chaos", {"name": "x", "fault": "rest"}, 422, "did you mean 'reset'"),
        ("PUT", "chaos/nobody", {"on": True}, 404, "no overlay 'nobody'"),
        ("PUT", "chaos/nobody", {}, 400, "on is missing"),
        ("DELETE", "chaos/nobody", None, 404, "no overlay 'nobody'"),
        ("GET", "clock", None, 404, "no session 'elsewhere'"),
    ],
)
def test_a_mistake_of_the_caller_is_told(
    server: MockServer, method: str, path: str, body: Any, status: int, text: str
) -> None:
    query = {"session": "elsewhere"} if "elsewhere" in text else {}
    got, said = call(server, method, path, body, **query)
    assert got == status
    assert text in said


def test_an_entry_tells_its_faults_and_how_it_ended(server: MockServer) -> None:
    server.add("One two three.", fault={"type": "disconnect", "after": 2})
    import http.client

    one = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    one.request("POST", "/v1/messages", asks(stream=True), {"x-api-key": "k"})
    with pytest.raises(http.client.IncompleteRead):
        one.getresponse().read()
    one.close()

    told = call(server, "GET", f"journal/{server.journal.wait_for(1)[0].number}")[1]

    assert told["faults"] == ["disconnect after 2 deltas"]
    assert told["outcome"] == "fault"
    assert [event["type"] for event in told["events"]][-1] == "content_block_delta"
    assert told["reply"]["body"]["content"][0]["text"] == "One two three."
    assert call(server, "GET", "journal", outcome="fault")[1]["entries"][0]["number"] == told["number"]


def test_a_name_with_a_slash_finds_its_route() -> None:
    route, rest = find("PUT", "/_mock/chaos/a%2Fb")
    assert (route.path, rest) == ("chaos/{name}", "a/b")
    assert Query("PUT", "/", {}, {}).rest == ""

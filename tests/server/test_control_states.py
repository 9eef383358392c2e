"""States over the control API and from Python: they are told and set by session, and a mistake says what is expected."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from mock_server import MockClient, MockServer, template
from mock_server.api.session import Verbs
from mock_server.scenario.node import ScenarioError

SERVICE = {"service": {"values": ["up", "down", "slow"], "initial": "up"}}


def ask(session: Verbs, said: str = "Hello", path: str = "messages") -> tuple[int, Any]:
    body = {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": said}]}
    if path == "messages/count_tokens":
        del body["max_tokens"]
    headers = {"x-api-key": session.api_key, "content-type": "application/json"}
    made = urllib.request.Request(f"{session.url}/v1/{path}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(made, timeout=10) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture
def service(anywhere: Verbs) -> Verbs:
    """A service that is up, and where every message crashes it that says so."""
    anywhere.add("All is well.")
    anywhere.add("Down it goes.", when={"prompt": "crash"}, states=SERVICE, then={"state": {"service": "down"}})
    return anywhere


def test_a_test_sets_a_state_and_sees_what_moved_it(service: Verbs) -> None:
    service.add({"error": "overloaded_error"}, when={"state": {"service": "down"}})
    assert dict(service.states) == {"service": "up"}

    assert [ask(service, said)[0] for said in ("Hello", "crash", "Hello")] == [200, 200, 529]
    assert service.states["service"] == "down"
    assert [str(one) for one in service.journal[1].moved] == ["service: up -> down"]
    assert str(service.journal[1]).endswith("(service: up -> down), completed")

    service.states["service"] = "up"
    assert ask(service)[0] == 200
    service.states.set(service="slow")
    assert service.states.all()[0] == ("service", "slow", ("up", "down", "slow"), "up")
    service.reset()
    assert dict(service.states) == {}


def test_what_a_test_adds_need_not_declare_what_is_known(service: Verbs) -> None:
    route = service.add({"error": 529}, when={"state": {"service": ["down", "slow"]}})
    service.states["service"] = "slow"
    assert (ask(service)[0], route.call_count) == (529, 1)
    with pytest.raises(ScenarioError, match=r"no state 'servce'; did you mean 'service'\?"):
        service.add("x", when={"state": {"servce": "up"}})
    with pytest.raises(ScenarioError, match=r"state 'service' is never 'dwn'; did you mean 'down'"):
        service.add("x", then={"state": {"service": "dwn"}})


def test_a_template_that_a_test_adds_tells_what_is_known(service: Verbs) -> None:
    service.add(template("It is {{ state.service }}."))
    told = [ask(service)[1]["content"][0]["text"]]
    service.states["service"] = "slow"
    told.append(ask(service)[1]["content"][0]["text"])
    assert told == ["It is up.", "It is slow."]
    with pytest.raises(ScenarioError, match=r"no state 'servce'; did you mean 'service'\?"):
        service.add(template("It is {{ state.servce }}."))


@pytest.mark.parametrize("on_the_loop", [False, True])
def test_a_function_that_gives_the_reply_reads_them(on_the_loop: bool, server: MockServer) -> None:
    async def later(request: Any) -> str:
        return server.states["service"]

    function = later if on_the_loop else lambda request: server.states["service"]
    server.add(function, states=SERVICE)
    told = [ask(server)[1]["content"][0]["text"]]
    server.states["service"] = "slow"
    told.append(ask(server)[1]["content"][0]["text"])
    assert told == ["up", "slow"]


def test_a_state_declared_otherwise_is_refused(service: Verbs) -> None:
    with pytest.raises(ScenarioError, match=r"state 'service' is \{values: \[on, off\], initial: on\} here; "):
        service.add("x", states={"service": ["on", "off"]})


def test_a_state_or_value_that_is_not_there(service: Verbs) -> None:
    with pytest.raises(KeyError, match="no state 'servce'; did you mean 'service'"):
        service.states["servce"] = "up"
    with pytest.raises(KeyError, match="no state 'other'; there are service"):
        _ = service.states["other"]
    said = r"state 'service' is never 'dwn'; did you mean 'down'\? Expected one of up, down, slow"
    with pytest.raises(ValueError, match=said):
        service.states["service"] = "dwn"


def test_overlays_hang_on_states_and_strike_for_a_time(service: Verbs) -> None:
    service.clock.freeze()
    service.chaos.add({"type": "error"}, when={"state": {"service": "slow"}}, between=("10s", "25s"), name="outage")
    assert service.chaos.all()[0].between == [10.0, 25.0]
    service.states["service"] = "slow"
    told = []
    for step in (0, 10, 15):
        service.clock.advance(step)
        told.append(ask(service)[0])
    assert told == [200, 529, 200]


def test_other_endpoints_fail_while_messages_work(service: Verbs) -> None:
    service.add({"error": 500}, when={"endpoint": "count_tokens"})
    assert (ask(service, path="messages/count_tokens")[0], ask(service)[0]) == (500, 200)


def test_a_session_has_its_own(server: MockServer) -> None:
    server.add("x", states=SERVICE)
    with server.session() as mine:
        mine.add("y", states=SERVICE)
        mine.states["service"] = "down"
        assert (server.states["service"], mine.states["service"]) == ("up", "down")
        elsewhere = MockClient(server.url, session=mine.api_key)
        assert elsewhere.states["service"] == "down"


def test_the_routes(server: MockServer) -> None:
    server.add("x", states=SERVICE)

    def control(method: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        made = urllib.request.Request(f"{server.url}/_mock/states", data, method=method)
        try:
            with urllib.request.urlopen(made, timeout=10) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    one = {"name": "service", "value": "up", "values": ["up", "down", "slow"], "initial": "up"}
    assert control("GET") == (200, {"session": "default", "states": [one]})
    assert control("PUT", {"service": "down"}) == (200, {"session": "default", "states": [{**one, "value": "down"}]})
    assert control("PUT", {}) == (400, {"error": "nothing to do", "hint": 'for example {"service": "down"}'})
    assert control("PUT", {"servce": "up"}) == (404, {"error": "no state 'servce'", "hint": "did you mean 'service'?"})
    assert control("PUT", {"service": 1})[0] == 422
    assert control("PUT", {"service": "slow", "other": "x"})[0] == 404
    assert server.states["service"] == "down"  # none of them

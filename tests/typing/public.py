"""What type checkers say about the public names: checked by mypy (`make types`), never run."""

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import assert_type

from mock_server import (
    SIGNATURE,
    Entry,
    GateView,
    Journal,
    MockClient,
    MockServer,
    MockServerFactory,
    MockSession,
    OverlayView,
    Request,
    Route,
    Variant,
    When,
    attempts,
    endpoint,
    error,
    fault,
    faults,
    gate,
    generate,
    prompt,
    reply,
    state,
    text,
    tool_result,
    tool_use,
)


def verbs(mock_server: MockSession) -> None:
    assert_type(SIGNATURE, str)
    assert_type(mock_server.url, str)
    assert_type(mock_server.env, Mapping[str, str])
    assert_type(mock_server.add("x", when=prompt("y")), Route)
    assert_type(mock_server.script("a", error(529), [text("b"), tool_use("t", {})]), Route)
    assert_type(mock_server.conversation(reply("a", stop_reason="max_tokens"), generate()), Route)
    assert_type(mock_server.script(attempts(error(529), "a", [text("b")], lambda request: "c"), "d"), Route)
    assert_type(mock_server.add(generate(thinking=True, tools="matching")), Route)
    assert_type(mock_server.load("hello"), Sequence[Route])
    assert_type(mock_server.add(reply("Up.", then={"state": {"a": "b"}}), when=state(a="c") | state(a=["d"])), Route)
    assert_type(mock_server.add(error(500), when=endpoint("count_tokens", "models")), Route)
    mock_server.states["service"] = "down"
    assert_type(mock_server.states["service"], str)
    assert_type(mock_server.chaos.add("reset", between=("10s", "25s")), str)
    assert_type(mock_server.journal, Journal)
    assert_type(mock_server.journal.last, Entry)
    assert_type(mock_server.journal[0], Entry)
    assert_type(mock_server.journal[1:], tuple[Entry, ...])
    assert_type(mock_server.journal.find(prompt("x")), tuple[Entry, ...])
    assert_type(mock_server.journal.wait_for(2), tuple[Entry, ...])
    assert_type(prompt("x") & ~tool_result(of="t") | prompt(regex="y"), When)


def views(entry: Entry, route: Route) -> None:
    assert_type(entry.request, Request)
    assert_type(entry.request.prompt, str)
    assert_type(entry.request.tools, Mapping[str, Mapping[str, Any]])
    assert_type(entry.reply, Mapping[str, Any])
    assert_type(entry.outcome, str)
    assert_type(route.calls, Sequence[Entry])
    assert_type(route.called, bool)


def levers(mock_server: MockSession, entry: Entry) -> None:
    assert_type(mock_server.add("x", fault=fault("reset", after=2), gate="door"), Route)
    assert_type(mock_server.add("x", fault=fault("edit", event="message_start", set={"message.id": 1})), Route)
    assert_type(mock_server.add("x", fault=[fault("insert", raw=": x\n\n"), fault("empty_body")]), Route)
    assert_type(mock_server.add(["a", gate("door", keepalive="5s"), "b"]), Route)
    assert_type(mock_server.gates.release("door", 1), int)
    assert_type(mock_server.gates.waiting("door"), int)
    assert_type(mock_server.clock.unix, float)
    assert_type(mock_server.chaos.add("reset", chance="20%"), str)
    assert_type(list(faults("hello", ["reset"], once=True)), list[Variant])
    assert_type(entry.faults, Sequence[str])
    assert_type(entry.sent, bytes)


def names_and_keys(mock_server: MockSession, factory: MockServerFactory) -> None:
    mock_server.add("x", timing="fast", fault="reset", gate=["a", {"gate": "b", "after": 2}])
    mock_server.add("x", timing={"first": "400ms"}, fault=[{"type": "stall", "for": "2s"}, "reset"], tags=["a"])
    mock_server.add(error=529, description="busy", headers={"x-a": "b"})
    mock_server.add(reply(["a", tool_use("t")], "b", fault=fault("disconnect", after=5)))
    mock_server.override(time_scale=1, profile="anthropic", seed=None, unmatched="generate")
    with factory(profile="anthropic") as made:
        assert_type(made.add("x"), Route)
    with MockServer(port=0, reload=True, timing="slow") as server:
        assert_type(server.gates.all(), Sequence[GateView])
        assert_type(server.chaos.all(), Sequence[OverlayView])


def functions(server: MockServer) -> None:
    def plain(request: Request) -> str:
        return request.prompt

    async def later(request: Request) -> dict[str, Any]:
        return tool_use("t", {"x": request.model})

    server.add(plain)
    server.add(later)
    server.script(plain, "b")


def managers() -> None:
    with MockServer("scenarios", port=0) as server:
        assert_type(server, MockServer)
        with server.session() as session:
            assert_type(session, MockSession)


async def async_managers() -> None:
    async with MockServer().in_loop() as server:
        assert_type(server, MockServer)
        assert_type(await server.journal.wait_for_async(1), tuple[Entry, ...])


def mistakes(server: MockServer, session: MockSession, client: MockClient, factory: MockServerFactory) -> None:
    tool_use(5)  # type: ignore[arg-type]
    error("overloded_error")  # type: ignore[arg-type]
    fault("disconect")  # type: ignore[arg-type]
    server.add("x", anchor="promt")  # type: ignore[arg-type]
    server.add("x", wehn=prompt("y"))  # type: ignore[call-arg]
    session.add("x", wehn=prompt("y"))  # type: ignore[call-arg]
    client.add("x", wehn=prompt("y"))  # type: ignore[call-arg]
    server.add("x", timing="quick")  # type: ignore[arg-type]
    server.add("x", fault="disconect")  # type: ignore[arg-type]
    server.add("x", fault=["reset", "disconect"])  # type: ignore[list-item]
    server.add("x", stop_reason="end")  # type: ignore[arg-type]
    reply("x", timing="quick")  # type: ignore[arg-type]
    reply("x", fault="disconect")  # type: ignore[arg-type]
    server.chaos.add("disconect")  # type: ignore[arg-type]
    server.override(timescale=0)  # type: ignore[call-arg]
    session.override(timescale=0)  # type: ignore[call-arg]
    client.override(unmatched="eror")  # type: ignore[arg-type]
    client.session(timescale=0)  # type: ignore[call-arg]
    factory(timescale=0)  # type: ignore[call-arg]
    MockServer(timescale=0)  # type: ignore[call-arg]
    prompt(contain="x")  # type: ignore[call-arg]
    server.assert_called("2")  # type: ignore[arg-type]

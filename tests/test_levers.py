"""Clock, gates and chaos as a test turns them, here and over the control API, with the real SDK at the other end."""

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import pytest
from httpx2 import TransportError
from rawclient import address, asks, post

from mock_server import MockServer, NotReached, ScenarioError, error, fault, gate, reply
from mock_server.api.session import Verbs

SAID: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": "Hi"}],
}


def client(server: Verbs, **more: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=server.url, api_key=server.api_key, max_retries=0, **more)


def read(server: Verbs, **more: Any) -> str:
    """The text of one stream."""
    with client(server) as one, one.messages.stream(**{**SAID, **more}) as stream:
        return stream.get_final_text()


class Reader:
    """A client in a thread, and the pieces of text that it has."""

    def __init__(self, server: Verbs) -> None:
        self.pieces: list[str] = []
        self.failed: BaseException | None = None
        self._server = server
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with client(self._server) as one, one.messages.stream(**SAID) as stream:
                for piece in stream.text_stream:
                    self.pieces.append(piece)
        except BaseException as error:
            self.failed = error

    def end(self) -> str:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return "".join(self.pieces)


# -- gates -----------------------------------------------------------------------------------------------------------


def test_a_gate_between_two_blocks_holds_the_stream_until_it_is_released(anywhere: Verbs) -> None:
    anywhere.add(["Before. ", gate("middle"), "After."])

    reader = Reader(anywhere)
    anywhere.gates.wait("middle")

    assert anywhere.gates.waiting("middle") == 1
    assert anywhere.gates.release("middle") == 1
    assert reader.end() == "Before. After."
    assert anywhere.gates.waiting("middle") == 0


def test_a_gate_lets_so_many_through_and_is_shut_again(anywhere: Verbs) -> None:
    anywhere.add("Hello.", gate="door")
    assert anywhere.gates.release("door", 1) == 0  # before anybody came
    assert read(anywhere) == "Hello."

    reader = Reader(anywhere)
    anywhere.gates.wait("door")
    anywhere.gates.release("door")  # for good
    assert reader.end() == "Hello."
    assert read(anywhere) == "Hello."

    anywhere.gates.shut("door")
    reader = Reader(anywhere)
    anywhere.gates.wait("door")
    anywhere.gates.release("door")
    assert reader.end() == "Hello."


def test_a_gate_nobody_comes_to_is_told_with_what_others_hold(server: MockServer) -> None:
    server.add("Hello.", gate="door")
    reader = Reader(server)
    server.gates.wait("door")
    with pytest.raises(NotReached, match="gate 'dor' holds 0 replies, not 1, after 0 s; 'door' holds 1"):
        server.gates.wait("dor", timeout=0)
    server.gates.release("door")
    reader.end()


def test_a_json_reply_is_held_in_the_middle_of_its_body(server: MockServer) -> None:
    server.add("Hello.", gate={"name": "door", "after": 1})
    got: list[str] = []

    def ask() -> None:
        with client(server) as one:
            got.append(one.messages.create(**SAID).content[0].text)  # type: ignore[union-attr]

    thread = threading.Thread(target=ask)
    thread.start()
    server.gates.wait("door")
    assert got == []
    server.gates.release("door")
    thread.join(20)
    assert got == ["Hello."]


def test_the_journal_says_when_a_client_left_and_exactly_what_it_was_given(server: MockServer) -> None:
    server.add("One two three four.", gate={"name": "stop", "after": 2})
    with client(server) as one, one.messages.stream(**SAID) as stream:
        text = stream.text_stream
        assert [next(text), next(text)] == ["One", " two"]
        server.gates.wait("stop")

    entry = server.journal.wait_for(1)[0]

    assert entry.outcome == "client_left"
    assert [one["type"] for one in entry.events[-2:]] == ["content_block_delta"] * 2
    assert entry.sent.endswith(b'"text":" two"}}\n\n')
    assert entry.duration >= 0
    assert entry.reply["content"][0]["text"] == "One two three four."
    assert list(entry.faults) == ["gate stop after 2 deltas"]


def test_a_reset_lets_everything_through_that_is_held(server: MockServer) -> None:
    server.add("Hello.", gate="door")
    reader = Reader(server)
    server.gates.wait("door")
    server.reset()
    assert reader.end() == "Hello."


def test_each_session_has_gates_and_a_clock_of_its_own(server: MockServer) -> None:
    with server.session() as one, server.session() as other:
        for session in (one, other):
            session.add("Hello.", gate="door")
        readers = Reader(one), Reader(other)
        one.gates.wait("door")
        other.gates.wait("door")

        one.gates.release("door")

        assert readers[0].end() == "Hello."
        assert other.gates.waiting("door") == 1
        other.clock.freeze()
        assert (one.clock.frozen, other.clock.frozen) == (False, True)
        other.gates.release("door")
        assert readers[1].end() == "Hello."  # at time scale 0 nothing waits for the clock


# -- the clock -------------------------------------------------------------------------------------------------------


def test_an_hour_of_a_stream_passes_at_once(anywhere: Verbs) -> None:
    anywhere.override(time_scale=1.0)
    anywhere.add("One two three.", timing={"first": "20m", "gap": "10m"})
    anywhere.clock.freeze()
    before = anywhere.clock.unix

    reader = Reader(anywhere)
    wait_until(lambda: anywhere.journal.open == 1 if isinstance(anywhere, MockServer) else len(anywhere.journal) == 1)
    anywhere.clock.advance(3600)

    assert reader.end() == "One two three."
    assert anywhere.clock.unix - before == pytest.approx(3600, abs=0.01)
    entry = anywhere.journal.last
    assert [at for at in entry.sent_at if at] == [1200.0] * 4 + [1800.0, 2400.0, 3000.0, 3000.0, 3000.0, 3000.0]


def wait_until(done: Callable[[], bool]) -> None:
    held = threading.Event()
    for _ in range(2000):
        if done():
            return
        held.wait(0.005)
    raise AssertionError("it never came to that")


def test_a_stall_keeps_its_time_on_the_clock_whatever_the_time_scale(server: MockServer) -> None:
    server.add("One two.", fault=fault("stall", after=1, for_="30m"))
    server.clock.freeze()
    reader = Reader(server)
    wait_until(lambda: reader.pieces == ["One"])
    server.clock.advance(1799)
    assert reader.pieces == ["One"]
    server.clock.advance(1)
    assert reader.end() == "One two."


BEAT = b": keepalive\n\n"
HANGS = fault("stall", after=1, keepalive="15s")
# what holds or cuts the stream on a clock that stands still, at time scale 0: after so many seconds it has so many comments
# and is open, or ended so; the last step of a gate is its release
SILENCES = [
    ("a gate", {"gate": gate("door", after=1, keepalive="15s")}, [(14, 0, "open"), (1, 1, "open"), (30, 3, "open"), (None, 3, "completed")]),
    ("an endless stall", {"fault": HANGS}, [(14, 0, "open"), (1, 1, "open"), (3600, 241, "open")]),
    ("a stall", {"fault": fault("stall", after=1, for_="40s", keepalive="15s")}, [(39, 2, "open"), (1, 2, "completed")]),
    ("a stall that is cut", {"fault": [HANGS, fault("disconnect", after={"time": "121s"})]}, [(120, 8, "open"), (1, 8, "fault")]),
    ("a stall that an error ends", {"fault": [HANGS, fault("error_event", after={"time": "20s"})]}, [(19, 1, "open"), (1, 1, "fault")]),
]  # fmt: skip


@pytest.mark.parametrize(("held", "steps"), [one[1:] for one in SILENCES], ids=[one[0] for one in SILENCES])
def test_silences_and_cuts_go_by_the_clock_at_time_scale_0(
    server: MockServer, held: dict[str, Any], steps: list[tuple[int | None, int, str]]
) -> None:
    server.clock.freeze()
    server.add("One two.", **held)
    received = b""
    with socket.create_connection(address(server), timeout=20) as client:
        client.sendall(post(asks(stream=True), f"x-api-key: {server.api_key}"))
        while b'"One"' not in received:
            received += client.recv(65536)
        entry = server.journal.last
        for seconds, beats, outcome in steps:
            if seconds is None:
                server.gates.release("door")
            else:
                server.clock.advance(seconds)  # what is due in them has been sent when this returns
            while received.count(BEAT) < beats or outcome != "open":
                if not (some := client.recv(65536)):
                    break
                received += some
            assert received.count(BEAT) == beats
            assert entry.is_open if outcome == "open" else entry.outcome == outcome


def test_a_time_that_a_reply_does_not_last_at_time_scale_0_is_told_with_the_clock_frozen(server: MockServer) -> None:
    server.clock.freeze()
    server.add("One two.", fault=fault("disconnect", after={"time": "2s"}), timing={"gap": "10s"})
    assert read(server) == "One two."
    assert server.journal.last.warnings == (
        "fault not applied: disconnect after 2s: the reply is over 0s after its head",
    )


def test_the_cache_grows_old_by_the_clock(server: MockServer) -> None:
    server.add("ok")
    system = [{"type": "text", "text": "word " * 3000, "cache_control": {"type": "ephemeral"}}]

    def used() -> tuple[int, int]:
        with client(server) as one:
            usage = one.messages.create(**SAID, system=system).usage  # type: ignore[arg-type]
        return int(usage.cache_creation_input_tokens or 0), int(usage.cache_read_input_tokens or 0)

    written, _ = used()
    assert written > 2000
    server.clock.advance(299)
    assert used() == (0, written)
    server.clock.advance(301)
    assert used() == (written, 0)


def test_a_rate_limit_window_passes_by_the_clock(server: MockServer) -> None:
    server.override(rate_limits="requests=2")
    server.add("ok")
    server.clock.freeze()
    read(server)
    read(server)
    with pytest.raises(anthropic.RateLimitError):
        read(server)
    server.clock.advance(60)
    assert read(server) == "ok"


def test_time_does_not_go_back(anywhere: Verbs) -> None:
    with pytest.raises(Exception, match="time does not go back"):
        anywhere.clock.advance(-1)


# -- chaos -----------------------------------------------------------------------------------------------------------


def test_an_overlay_strikes_whatever_scenario_answers(anywhere: Verbs) -> None:
    anywhere.add("One two three.")
    name = anywhere.chaos.add(fault("disconnect", after=2), name="cut")

    with pytest.raises(TransportError):
        read(anywhere)

    anywhere.chaos.switch(name, False)
    assert read(anywhere) == "One two three."
    anywhere.chaos.switch(name, True)
    with pytest.raises(TransportError):
        read(anywhere)
    assert [(one.name, list(one.faults), one.on) for one in anywhere.chaos] == [
        ("cut", ["disconnect after 2 deltas"], True)
    ]
    anywhere.chaos.remove("cut")
    assert read(anywhere) == "One two three."


def test_what_the_server_lays_over_all_strikes_every_session_and_can_be_switched_off_for_one(
    server: MockServer,
) -> None:
    server.chaos.add("html_error", name="proxy")
    with server.session() as one, server.session() as other:
        for session in (one, other):
            session.add("Hello.")
        one.chaos.switch("proxy", False)
        assert read(one) == "Hello."
        with pytest.raises(anthropic.InternalServerError):
            read(other)
        other.chaos.add(error_first := fault("error", error=529), when={"prompt": "Hi"})
        assert error_first == {"type": "error", "error": 529}


def test_a_session_lays_its_own(server: MockServer) -> None:
    with server.session() as one, server.session() as other:
        for session in (one, other):
            session.add("Hello.")
        one.add(fault="empty_response", name="gone")
        with pytest.raises(anthropic.APIConnectionError):
            read(one)
        assert read(other) == "Hello."
        assert [view.name for view in other.chaos] == []


def test_a_pace_can_be_laid_over_too(server: MockServer) -> None:
    server.override(time_scale=1.0)
    server.add("One two.")
    server.chaos.add(timing={"first": "1m", "chunk": "all"})
    server.clock.freeze()
    reader = Reader(server)
    wait_until(lambda: server.journal.open == 1)
    server.clock.advance(60)
    assert reader.end() == "One two."
    assert reader.pieces == ["One two."]


def test_files_of_chaos_hold_nothing_but_overlays(server: MockServer, tmp_path: Path) -> None:
    good, bad = tmp_path / "chaos.yaml", tmp_path / "bad.yaml"
    good.write_text("name: flaky\nchance: 100%\nfault: empty_response\n")
    bad.write_text("name: hello\nreply: Hello\n")
    server.add("Hello.")

    assert list(server.chaos.load(good)) == ["flaky"]
    with pytest.raises(anthropic.APIConnectionError):
        read(server)
    with pytest.raises(ScenarioError, match="'hello' answers requests; chaos is made of overlays"):
        server.chaos.load(bad)
    with pytest.raises(ScenarioError, match="chaos is made of overlays"), MockServer(chaos=(str(bad),)):
        pass
    with MockServer(chaos=(str(good),)) as other:
        other.add("Hello.")
        with pytest.raises(anthropic.APIConnectionError):
            read(other)


def test_an_overlay_that_is_not_there_is_told(anywhere: Verbs) -> None:
    anywhere.chaos.add("reset", name="reset-all")
    for act in (anywhere.chaos.remove, lambda name: anywhere.chaos.switch(name, False)):
        with pytest.raises(LookupError, match="reset-all"):
            act("reset-al")
    anywhere.chaos.clear()
    assert list(anywhere.chaos) == []


# -- builders --------------------------------------------------------------------------------------------------------


def test_faults_stand_on_replies_and_attempts(server: MockServer) -> None:
    server.add(attempts=[reply("cut", fault=["disconnect"]), error(529), reply("whole")])
    with pytest.raises(TransportError):
        read(server)
    with pytest.raises(anthropic.InternalServerError):
        read(server)
    assert read(server) == "whole"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: fault("disconect"), "unknown type 'disconect'.*did you mean 'disconnect'"),
        (lambda: fault("disconnect", after={"delta": 1}), "unknown key 'delta'.*did you mean 'deltas'"),
        (lambda: fault("stall", for_=3), "did you mean '3s' or '3ms'"),
        (lambda: gate(""), "the name of a gate"),
    ],
)
def test_a_mistake_is_told_where_it_is_made(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        make()


def test_a_fault_that_has_no_place_in_its_reply_is_a_mistake(server: MockServer) -> None:
    with pytest.raises(ScenarioError, match=r"disconnect after 50 deltas: the reply has 2 deltas"):
        server.add("One two", fault=fault("disconnect", after=50))


def test_a_single_request_can_ask_for_a_fault(server: MockServer) -> None:
    server.add("One two three.")
    with pytest.raises(TransportError):
        read(server, extra_headers={"x-mock-fault": "disconnect;after=2"})
    with pytest.raises(anthropic.BadRequestError, match="did you mean 'disconnect'"):
        read(server, extra_headers={"x-mock-fault": "disconect"})
    assert read(server) == "One two three."


def test_what_cannot_apply_is_told_by_a_header_and_the_journal(server: MockServer) -> None:
    server.add("One two three.")
    with client(server, default_headers={"x-mock-fault": "disconnect;after=50"}) as one:
        raw = one.messages.with_raw_response.create(**SAID)
    assert raw.headers["x-mock-warning"] == "fault not applied: disconnect after 50 deltas: the reply has 4 deltas"
    assert "after 50 deltas" in server.journal.last.note
    with pytest.raises(anthropic.BadRequestError) as refused:
        read(server, max_tokens=0.5, extra_headers={"x-mock-fault": "reset"})
    assert refused.value.response.headers["x-mock-warning"] == "fault not applied: the request was refused"


def test_waiting_for_a_gate_does_not_block_the_servers_own_loop() -> None:
    async def main() -> str:
        async with MockServer().in_loop() as server:
            server.add("Hello.", gate="door")
            with pytest.raises(RuntimeError, match="wait_async"):
                server.gates.wait("door")
            async with anthropic.AsyncAnthropic(base_url=server.url, api_key="k", max_retries=0) as one:
                asked = asyncio.ensure_future(one.messages.create(**SAID))
                await server.gates.wait_async("door")
                server.gates.release("door")
                return str((await asked).content[0].text)

    assert asyncio.run(main()) == "Hello."


def test_a_request_that_nothing_matches_meets_no_fault_and_is_told_so(server: MockServer) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        read(server, extra_headers={"x-mock-fault": "reset"})
    assert refused.value.response.headers["x-mock-warning"] == "fault not applied: the request was refused"

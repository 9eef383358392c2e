"""The levers of the page in a real browser: gates, chaos and the clock turned from it, and what they leave on a timeline."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mock_server import MockServer, prompt, reply
from mock_server.scenario.faults import FAULTS
from mock_server.scenario.load import loads

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
ODD = "a/b?c <b>&amp;"  # the name of a gate: part of an address, and text on the page


class Reader:
    """A client in a thread: what it received until the stream ended, or why it could not go on."""

    def __init__(self, server: MockServer, said: str, **headers: str) -> None:
        self.received = b""
        self.failed: Exception | None = None
        message = {"role": "user", "content": said}
        body = {"model": "claude-opus-4-8", "max_tokens": 500, "stream": True, "messages": [message]}
        self._sent = json.dumps(body).encode(), {"x-api-key": "k", **headers}
        self._address = server.url.removeprefix("http://")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            connection.request("POST", "/v1/messages", *self._sent)
            response = connection.getresponse()
            while piece := response.read1():
                self.received += piece
        except (http.client.HTTPException, OSError) as error:
            self.failed = error
        finally:
            connection.close()

    def end(self) -> "Reader":
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self


def ended(server: MockServer, said: str, **headers: str) -> Reader:
    return Reader(server, said, **headers).end()


@pytest.fixture
def levers(page: Any, server: MockServer) -> Any:
    """The page with its levers in sight."""
    page.get_by_test_id("empty").wait_for()
    page.keyboard.press("l")
    page.get_by_test_id("clock-time").wait_for()
    return page


def rows(page: Any) -> Any:
    return page.get_by_test_id("entry-row")


def overlay(page: Any, name: str) -> Any:
    return page.locator(f'[data-testid="overlay"][data-name="{name}"]')


def timeline_of_the_newest(page: Any) -> Any:
    page.locator("#show-journal").click()
    rows(page).first.click()
    page.get_by_test_id("tab-timeline").click()
    return page.get_by_test_id("detail")


def test_a_held_stream_is_released_from_the_page_and_ends(levers: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    server.add(reply("one two three four", gate={"name": ODD, "after": 2}), when=prompt("hold"), name="held")
    first, second = Reader(server, "hold me"), Reader(server, "hold me too")
    gate = levers.get_by_test_id("gate")
    expect(gate).to_contain_text("holds 2 replies")
    expect(levers.get_by_test_id("levers-state")).to_have_text("2 held")

    levers.get_by_test_id("gate-one").click()
    expect(gate).to_contain_text("holds 1 reply")
    levers.get_by_test_id("gate-open").click()
    expect(gate).to_contain_text("holds none")
    expect(levers.get_by_test_id("levers-state")).to_have_text("")
    for reader in (first.end(), second.end()):
        assert b"message_stop" in reader.received

    levers.get_by_test_id("gate-shut").click()
    expect(levers.get_by_test_id("gate-open")).to_be_focused()
    detail = timeline_of_the_newest(levers)
    expect(detail.get_by_test_id("faults")).to_contain_text(f"gate {ODD} after 2 deltas")
    expect(detail.get_by_test_id("marks")).to_contain_text(f"gate {ODD}, held for")
    expect(detail.locator('[data-testid="strike"][data-strike="gate"]')).to_be_visible()


def test_the_detail_of_a_reply_under_way_leads_to_the_gate_that_holds_it(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    server.add(reply("one two", gate="middle"), when=prompt("hold"))
    reader = Reader(server, "hold me")
    expect(rows(page)).to_have_count(1)
    detail = timeline_of_the_newest(page)
    detail.get_by_role("button", name="Gates").click()
    page.get_by_test_id("gate-open").click()
    reader.end()


def test_an_overlay_switched_off_on_the_page_no_longer_strikes(levers: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    levers.get_by_test_id("chaos-add").click()
    levers.get_by_test_id("chaos-fault").select_option("disconnect")
    levers.get_by_test_id("chaos-after").fill("1")
    expect(levers.get_by_test_id("chaos-yaml")).to_have_value(
        "name: disconnect-1\nfault: {type: disconnect, after: {deltas: 1}}\n"
    )
    levers.get_by_test_id("chaos-lay").click()
    shown = overlay(levers, "disconnect-1")
    expect(shown).to_contain_text("disconnect after 1 delta")
    assert isinstance(ended(server, "hello").failed, http.client.IncompleteRead)

    switch = shown.get_by_role("switch", name="disconnect-1: everywhere")
    switch.click()
    expect(switch).not_to_be_checked()
    assert b"message_stop" in ended(server, "hello").received
    switch.press("Space")
    expect(switch).to_be_checked()
    expect(switch).to_be_focused()
    assert isinstance(ended(server, "hello").failed, http.client.IncompleteRead)

    shown.get_by_test_id("overlay-remove").click()
    expect(shown).to_have_count(0)
    assert b"message_stop" in ended(server, "hello").received


def test_an_overlay_can_be_switched_off_for_one_session(levers: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    server.chaos.add("reset", name="all")
    with server.session("mine") as mine:
        mine.chaos.add("disconnect", name="own")
        levers.get_by_test_id("session").dispatch_event("pointerdown")
        expect(levers.locator("#session option", has_text="mine")).to_have_count(1)
        levers.get_by_test_id("session").select_option("mine")
        own = overlay(levers, "own").get_by_role("switch")
        expect(own).to_have_count(1)
        own.click()
        here = overlay(levers, "all").get_by_role("switch", name="all: session mine")
        here.click()
        expect(here).not_to_be_checked()
        expect(own).not_to_be_checked()

        assert b"message_stop" in ended(server, "hello", **{"x-api-key": "mine"}).received
        assert ended(server, "hello").failed is not None
        overlay(levers, "all").get_by_role("switch", name="all: everywhere").click()
        expect(here).to_be_disabled()
        assert b"message_stop" in ended(server, "hello").received


def test_every_fault_of_the_form_makes_an_overlay_that_loads(levers: Any) -> None:
    levers.get_by_test_id("chaos-add").click()
    levers.get_by_test_id("chaos-chance").fill("12.5")
    for name in levers.get_by_test_id("chaos-fault").locator("option").all_inner_texts():
        levers.get_by_test_id("chaos-fault").select_option(name)
        (made,) = loads(levers.get_by_test_id("chaos-yaml").input_value())
        assert (made.name, made.chance, made.is_overlay) == (f"{name}-1", 0.125, True)
        assert made.strikes[0].startswith(name)
    assert name == list(FAULTS)[-1]


@pytest.mark.parametrize(
    ("fault", "laid", "told", "marked", "number"),
    [
        (
            "edit",
            "{type: edit, event: message_start, set: {message.usage.input_tokens: 0}}",
            "edit message_start message.usage.input_tokens",
            "edited",
            1,
        ),
        ("insert", r'{type: insert, raw: ": hello\n\n"}', r'insert raw ": hello\n\n"', "inserted", 6),
    ],
    ids=["edit", "insert"],
)
def test_a_frame_that_is_edited_or_put_in_from_the_form_is_marked(
    levers: Any, server: MockServer, fault: str, laid: str, told: str, marked: str, number: int
) -> None:
    from playwright.sync_api import expect

    levers.get_by_test_id("chaos-add").click()
    levers.get_by_test_id("chaos-fault").select_option(fault)
    expect(levers.get_by_test_id("chaos-yaml")).to_have_value(f"name: {fault}-1\nfault: {laid}\n")
    levers.get_by_test_id("chaos-lay").click()
    expect(overlay(levers, f"{fault}-1")).to_contain_text(told)

    received = ended(server, "hello").received
    assert (b'"input_tokens":0' in received, b": hello\n\n" in received) == (fault == "edit", fault == "insert")
    detail = timeline_of_the_newest(levers)
    expect(detail.get_by_test_id("faults")).to_contain_text(told)
    expect(detail.get_by_test_id("marks")).to_contain_text(f"{marked}: {told} at event {number}")
    frame = detail.locator(f"tr.strike-row + tr[data-event='{number - 1}']")
    expect(frame).to_have_count(1)  # in the table the mark stands right above the frame
    expect(detail.locator("tr.strike-row")).to_have_text(f"{marked}: {told}")
    expect(detail.locator('[data-testid="strike"][data-strike="fault"]')).to_have_count(1)  # a line without a width
    frame.click()
    expect(detail.get_by_test_id("payload")).to_contain_text('"input_tokens": 0' if fault == "edit" else ": hello")


def test_a_mistake_in_an_overlay_is_told_with_its_line(levers: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    levers.get_by_test_id("chaos-add").click()
    levers.get_by_test_id("chaos-yaml").fill("name: a\nfault: reste\n")
    levers.get_by_test_id("chaos-lay").click()
    expect(levers.get_by_test_id("mistakes")).to_contain_text("line 2:8")
    expect(levers.get_by_test_id("mistakes")).to_contain_text("reset")
    assert server.chaos.all() == []


def test_the_form_is_worked_with_the_keyboard_alone(levers: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    levers.get_by_test_id("chaos-add").press("Enter")
    levers.get_by_test_id("chaos-after").press("ArrowUp")
    levers.get_by_test_id("chaos-where").select_option("session")
    levers.get_by_test_id("chaos-chance").press_sequentially("50")
    levers.keyboard.press("Enter")
    shown = overlay(levers, "reset-1")
    expect(shown).to_contain_text("50% of the replies it is for")
    assert list(server.chaos) == []  # it was laid over the session alone
    shown.get_by_role("switch", name="reset-1: session default").press("Space")
    expect(shown.get_by_role("switch")).not_to_be_checked()
    levers.keyboard.press("Escape")
    expect(levers.get_by_test_id("levers")).to_be_hidden()


def test_the_clock_advanced_on_the_page_plays_a_frozen_stream(levers: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    server.add("one two three four five six", timing={"first": "50s", "gap": "2s"}, when=prompt("slowly"))
    levers.get_by_test_id("clock-freeze").click()
    expect(levers.get_by_test_id("clock-state")).to_have_text("stands still")
    expect(levers.get_by_test_id("levers-state")).to_have_text("frozen")
    before = server.clock.unix
    reader = Reader(server, "slowly please")
    expect(levers.get_by_test_id("clock-resume")).to_be_focused()
    server.journal.wait_until(lambda: server.journal.total == 1, 10.0, lambda: "nothing came")
    assert server.journal.last.is_open

    levers.get_by_test_id("clock-60").click()
    levers.get_by_test_id("clock-1").click()
    levers.get_by_test_id("clock-3600").click()
    assert b"message_stop" in reader.end().received
    levers.get_by_test_id("clock-resume").click()
    expect(levers.get_by_test_id("clock-state")).to_have_text("goes on")
    assert server.clock.unix >= before + 3661


def test_a_state_is_set_on_the_page_and_one_that_an_answer_moves_is_seen(page: Any, server: MockServer) -> None:
    states = {"service": ["up", "down", "slow"]}
    server.add("Down it goes.", when=prompt("crash"), states=states, then={"state": {"service": "down"}})
    page.get_by_test_id("empty").wait_for()
    page.keyboard.press("l")
    row = page.locator('[data-testid=state][data-name="service"]')
    row.wait_for()
    assert row.locator(".tag").inner_text() == "up"

    row.get_by_test_id("state-value").select_option("slow")
    row.locator(".tag", has_text="slow").wait_for()
    assert server.states["service"] == "slow"

    ended(server, "crash")
    row.locator(".tag", has_text="down").wait_for()
    server.states["service"] = "up"
    row.locator(".tag", has_text="up").wait_for()


def test_the_page_hears_of_a_clock_and_a_gate_turned_elsewhere(levers: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    server.clock.freeze()
    expect(levers.get_by_test_id("clock-state")).to_have_text("stands still")
    server.clock.resume()
    expect(levers.get_by_test_id("clock-state")).to_have_text("goes on")
    server.gates.release("early", 3)
    expect(levers.get_by_test_id("gate")).to_contain_text("3 more may pass")
    with server.session("other") as other:
        other.clock.freeze()
        levers.reload()
        expect(levers.get_by_test_id("elsewhere")).to_contain_text("session other is frozen")
        levers.get_by_test_id("elsewhere").get_by_role("button").click()
        expect(levers.get_by_test_id("clock-state")).to_have_text("stands still")


@pytest.mark.parametrize(
    ("fault", "marks"),
    [
        ("reset;after=2", ["connection reset", "behind event 5"]),
        ("garbage;after=2", ["garbage after 2 deltas", "behind event 5"]),
        ("malformed_json", ["malformed_json", "behind event 3"]),
        ("unknown_event;after=1", ["unknown_event after 1 delta"]),
        ("stall;after=1;for=10ms", ["stall after 1 delta"]),
        ("empty_response", ["connection ended without a byte"]),
        ("wire", ["wire", "before the first event"]),
        ("gzip", ["gzip"]),
        ("error", ["error overloaded_error"]),
    ],
)
def test_a_faulted_entry_shows_its_marks(page: Any, server: MockServer, fault: str, marks: list[str]) -> None:
    from playwright.sync_api import expect

    ended(server, "hello", **{"x-mock-fault": fault})
    name = fault.split(";")[0]
    expect(rows(page).first.get_by_test_id("fault-tag")).to_have_text(name)
    detail = timeline_of_the_newest(page)
    expect(detail.get_by_test_id("faults")).to_contain_text(name)
    for text in marks:
        expect(detail.get_by_test_id("marks")).to_contain_text(text)
    for tab in ("tab-chat", "tab-raw", "tab-why"):
        page.get_by_test_id(tab).click()


def test_a_fault_that_could_not_be_applied_is_told(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    ended(server, "hello", **{"x-mock-fault": "reset;after=50"})
    expect(rows(page).first.get_by_test_id("fault-tag")).to_have_text("not applied")
    rows(page).first.click()
    expect(page.get_by_test_id("detail")).to_contain_text("fault not applied: reset after 50 deltas")
    page.keyboard.press("Escape")

    ended(server, "", **{"x-mock-fault": "reset;after=1"})
    expect(rows(page)).to_have_count(2)
    rows(page).first.click()
    expect(page.get_by_test_id("detail")).to_contain_text("fault not applied: the request was refused")


def test_the_filter_knows_what_a_fault_cut(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    ended(server, "hello there")
    ended(server, "hello again", **{"x-mock-fault": "reset;after=1"})
    expect(rows(page)).to_have_count(2)
    page.get_by_test_id("filter-outcome").select_option("fault")
    expect(rows(page)).to_have_count(1)
    expect(rows(page).first).to_contain_text("cut by fault")


@pytest.fixture
def busy(page: Any, server: MockServer) -> Iterator[None]:
    """Something of everything: a reply that is held, overlays, a stream with a gate, garbage and a reset behind it."""
    script = reply(
        "one two three four five six seven eight",
        gate={"name": "middle", "after": 2},
        fault=[{"type": "garbage", "after": 4}, {"type": "reset", "after": 6}],
    )
    server.add(script, when=prompt("weather"), timing={"gap": "20ms"}, name="weather")
    reader = Reader(server, "How is the weather in Paris?")
    server.gates.wait("middle")
    server.gates.release("middle", 1)
    reader.end()
    held = Reader(server, "And the weather in Rome?")
    server.gates.wait("middle")
    server.chaos.add("unknown_event", chance="20%", name="novelty")
    server.chaos.add({"type": "slow_headers", "for": "2s"}, name="slow", when={"prompt": "slow"})
    yield
    server.gates.release("middle")
    held.end()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (400, 800)])
def test_it_is_readable_wide_and_narrow(
    page: Any, server: MockServer, busy: None, width: int, height: int, scheme: str
) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    SHOTS.mkdir(parents=True, exist_ok=True)
    expect(rows(page)).to_have_count(2)
    page.screenshot(path=SHOTS / f"faults-list-{width}-{scheme}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    rows(page).last.click()
    page.get_by_test_id("tab-timeline").click()
    expect(page.locator('[data-testid="strike"]')).to_have_count(3)
    page.screenshot(path=SHOTS / f"faults-timeline-{width}-{scheme}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_test_id("show-levers").click()
    expect(page.get_by_test_id("gate")).to_contain_text("holds 1 reply")
    page.get_by_test_id("chaos-add").click()
    page.screenshot(path=SHOTS / f"levers-{width}-{scheme}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width

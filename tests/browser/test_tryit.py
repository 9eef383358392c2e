"""The box to try things in, in a real browser: previews, mistakes with their lines, explanations."""

from typing import Any

import pytest

from mock_server import MockServer, prompt


@pytest.fixture
def box(page: Any, server: MockServer) -> Any:
    server.add("It is sunny.", when=prompt("weather"), name="weather")
    page.get_by_test_id("try-it").click()
    page.get_by_test_id("try-yaml").wait_for()
    return page


def test_a_scenario_is_previewed_event_by_event(box: Any) -> None:
    from playwright.sync_api import expect

    box.get_by_test_id("try-preview").click()

    expect(box.get_by_test_id("try-exchange")).to_have_count(2)
    timeline = box.get_by_test_id("try-timeline").first
    for text in ("message_start", "content_block_delta", "message_stop", "get_weather"):
        expect(timeline).to_contain_text(text)


def test_a_mistake_is_listed_with_its_line(box: Any) -> None:
    from playwright.sync_api import expect

    box.get_by_test_id("try-yaml").fill("name: a\nrepyl: x\n")
    box.keyboard.press("Control+Enter")

    mistakes = box.get_by_test_id("mistakes")
    expect(mistakes).to_contain_text("line 2:1 unknown key 'repyl' in scenario")
    mistakes.get_by_role("button").first.click()
    assert box.evaluate("document.activeElement.selectionStart") == len("name: a\n")


def test_a_request_is_explained(box: Any) -> None:
    from playwright.sync_api import expect

    box.get_by_test_id("try-explain").click()
    expect(box.get_by_test_id("try-match")).to_contain_text("weather: turn 1 of 1")

    box.get_by_test_id("try-request").fill(
        '{"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}'
    )
    box.get_by_test_id("try-explain").click()
    expect(box.get_by_test_id("try-near").filter(has_text="weather")).to_contain_text(
        "prompt: wanted contains 'weather', got 'Hi'"
    )

    box.get_by_test_id("try-request").fill("{")
    box.get_by_test_id("try-explain").click()
    expect(box.get_by_test_id("try-result")).to_contain_text("The request is not JSON")


def test_what_a_reply_does_against_its_request_is_told(box: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    server.add({"type": "tool_use", "name": "t", "input": {}}, when=prompt("weather"))
    box.get_by_test_id("try-explain").click()
    told = box.get_by_test_id("try-contradiction")
    expect(told).to_have_text("calls 't', which the request does not offer (it has none)")

    box.get_by_test_id("try-with-request").check()
    box.get_by_test_id("try-preview").click()
    expect(told).to_contain_text("turn 1 calls 'get_weather', which the request does not offer (it has none)")


def test_the_key_opens_it_and_nothing_is_noted(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    page.get_by_test_id("empty").wait_for()
    page.keyboard.press("t")
    page.get_by_test_id("try-preview").click()
    expect(page.get_by_test_id("try-exchange").first).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.get_by_test_id("try-yaml")).to_be_hidden()
    assert server.journal.total == 0

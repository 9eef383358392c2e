"""The journal page in a real browser: live rows, details, the timeline, filters, replay, copies, errors, hostile text."""

import json
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from mock_server import MockServer, prompt, tool_use
from mock_server.scenario.load import loads

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
HOSTILE = "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'>\"'>&amp;"


def ask(server: MockServer, said: Any, **more: Any) -> None:
    messages = said if isinstance(said, list) else [{"role": "user", "content": said}]
    body = {"model": "claude-opus-4-8", "max_tokens": 500, "messages": messages, **more}
    request = urllib.request.Request(server.url + "/v1/messages", json.dumps(body).encode(), {"x-api-key": "k"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as reply:
            reply.read()
    except urllib.error.HTTPError as error:
        error.close()


def rows(page: Any) -> Any:
    return page.get_by_test_id("entry-row")


def shown(page: Any, server: MockServer, count: int) -> None:
    from playwright.sync_api import expect

    expect(rows(page)).to_have_count(count)
    assert server.journal.total >= count


def test_an_empty_page_says_how_to_point_a_client_here(page: Any, server: MockServer) -> None:
    page.get_by_test_id("empty").wait_for()
    assert f"ANTHROPIC_BASE_URL={server.url}" in page.get_by_test_id("empty").inner_text()


def test_a_row_appears_while_its_stream_runs_and_then_ends(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    server.add("one two three four five six", timing={"gap": "300ms"}, when=prompt("slowly"))
    thread = threading.Thread(target=ask, args=(server, "slowly please"), kwargs={"stream": True})
    thread.start()
    expect(rows(page)).to_have_count(1)
    assert server.journal.last.is_open
    thread.join(20)
    rows(page).first.click()
    expect(page.get_by_test_id("detail")).to_contain_text("one two three four five six")


def test_the_detail_shows_the_conversation_and_the_timeline(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    server.add(["Let me check.", tool_use("get_weather", {"city": "Paris"})], timing={"gap": "10ms"})
    tool = {"name": "get_weather", "input_schema": {"type": "object"}}
    ask(server, "Weather in Paris?", stream=True, tools=[tool], system="Be brief.")
    shown(page, server, 1)
    rows(page).first.click()
    detail = page.get_by_test_id("detail")
    for text in ("Be brief.", "Weather in Paris?", "Let me check.", "get_weather", "Paris"):
        expect(detail).to_contain_text(text)
    page.get_by_test_id("tab-timeline").click()
    expect(page.get_by_test_id("timeline")).to_be_visible()
    page.get_by_test_id("tab-raw").click()
    expect(detail).to_contain_text("max_tokens")
    page.keyboard.press("Escape")
    expect(detail).to_be_hidden()


def test_the_filter_finds_text(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    for text in ("hello apple", "hello pear", "hello plum"):
        ask(server, text)
    shown(page, server, 3)
    page.keyboard.press("/")
    page.get_by_test_id("filter-text").fill("pear")
    expect(rows(page)).to_have_count(1)
    expect(rows(page).first).to_contain_text("hello pear")


def test_an_unmatched_request_says_why_and_its_stub_loads(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    ask(server, "What is the time?")
    shown(page, server, 1)
    rows(page).first.click()
    page.get_by_test_id("tab-why").click()
    detail = page.get_by_test_id("detail")
    expect(detail).to_contain_text("contains 'hello'")
    expect(detail).to_contain_text("name: what-is-the-time")


def test_a_timeline_without_a_fault_says_nothing_of_one(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    ask(server, "hello", stream=True)
    shown(page, server, 1)
    rows(page).first.click()
    page.get_by_test_id("tab-timeline").click()
    timeline = page.get_by_test_id("detail").locator(".timeline")
    expect(timeline).to_contain_text("due")
    own = "(shown) => [...shown.childNodes].filter((one) => one.nodeType === Node.TEXT_NODE).map((one) => one.data)"
    assert timeline.evaluate(own) == []


def test_a_refused_request_shows_where_it_went_and_why(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    ask(server, "hello", max_tokens="many")
    ask(server, "hello", model="claude-sonnet-4-5")
    shown(page, server, 2)
    refused = rows(page).nth(1)
    expect(refused).to_contain_text("POST /v1/messages: max_tokens: Input should be a valid integer")
    expect(refused).to_contain_text("refused")
    rows(page).first.click()
    page.get_by_test_id("tab-why").click()
    panel = page.locator("#panel")
    expect(panel).to_contain_text(
        "profile octen serves no model 'claude-sonnet-4-5'; nearest: anthropic/claude-sonnet-4.6"
    )
    expect(panel).to_contain_text("start the server with --profile anthropic")


def test_a_warning_is_marked_in_the_list_and_told_in_the_detail(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    ask(server, "hello there")
    ask(server, "hello", temprature=1)
    shown(page, server, 2)
    told = "parameter 'temprature' is ignored (did you mean 'temperature'?)"
    mark = page.get_by_test_id("warning-tag")
    expect(mark).to_have_count(1)
    expect(mark).to_have_attribute("title", told)
    rows(page).filter(has=mark).click()
    expect(page.get_by_test_id("warning")).to_have_text(told)
    page.get_by_test_id("filter-text").fill("temprature")
    expect(rows(page)).to_have_count(1)


def test_a_side_call_of_an_agent_is_marked(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    server.add("A title", name="title", when=prompt("title of this session"), tags=["side"])
    ask(server, "hello there")
    ask(server, "A title of this session, please")
    shown(page, server, 2)
    mark = page.get_by_title("A side call of an agent")
    expect(rows(page).filter(has=mark)).to_have_count(1)
    expect(rows(page).filter(has=mark)).to_contain_text("title turn 1")
    rows(page).filter(has=mark).click()
    expect(page.get_by_test_id("detail").get_by_title("A side call of an agent")).to_be_visible()


def test_a_reply_that_contradicts_its_request_is_marked(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    server.add(tool_use("query"))
    ask(server, "pie")
    told = "scenario 'added-1' turn 1 calls 'query', which the request does not offer (it has none)"
    expect(page.get_by_test_id("contradiction-tag")).to_have_attribute("title", told)
    rows(page).first.click()
    expect(page.get_by_test_id("contradiction")).to_have_text([told])
    page.get_by_test_id("tab-raw").wait_for()
    copied = loads(server._ask("GET", "journal/1")["yaml"])
    assert copied[0].contradicts


def test_copies_are_a_curl_command_and_a_scenario_that_loads(page: Any, server: MockServer) -> None:
    ask(server, "hello there")
    shown(page, server, 1)
    rows(page).first.click()
    page.get_by_test_id("copy-yaml").click()
    page.wait_for_function("async () => (await navigator.clipboard.readText()).startsWith('name:')")
    (scenario,) = loads(page.evaluate("navigator.clipboard.readText()"))
    assert scenario.turns[0].reply is not None
    page.get_by_test_id("copy-curl").click()
    page.wait_for_function("async () => (await navigator.clipboard.readText()).startsWith('curl')")
    assert server.url in page.evaluate("navigator.clipboard.readText()")


def test_replay_sends_the_request_again(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    ask(server, "hello again")
    shown(page, server, 1)
    rows(page).first.click()
    page.get_by_test_id("replay").click()
    expect(rows(page)).to_have_count(2)
    assert [entry.request.prompt for entry in server.journal] == ["hello again"] * 2


def test_a_scenario_error_appears_and_goes_with_the_edit(page: Any, server: MockServer, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    file = tmp_path / "hello.yaml"
    good = file.read_text()
    file.write_text("name: hello\nreplay: x")
    errors = page.get_by_test_id("load-errors")
    expect(errors).to_contain_text("unknown key 'replay'")
    file.write_text(good + " ")
    expect(errors).to_be_hidden()


def test_scenarios_are_listed_with_calls_and_source(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    ask(server, "hello")
    page.get_by_test_id("show-scenarios").click()
    panel = page.get_by_test_id("scenarios")
    expect(panel).to_contain_text("hello.yaml")
    panel.get_by_text("hello", exact=True).first.click()
    expect(panel).to_contain_text("Hello from a file!")


def test_reset_asks_first(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    ask(server, "hello")
    shown(page, server, 1)
    page.get_by_test_id("reset").click()
    page.locator("dialog button", has_text="Reset").last.click()
    expect(rows(page)).to_have_count(0)
    assert server.journal.total == 0


def test_hostile_text_stays_text(page: Any, server: MockServer) -> None:
    from playwright.sync_api import expect

    server.add([HOSTILE, tool_use("get_weather", {"x": HOSTILE})], name="<b>bold</b>")
    talk = [
        {"role": "user", "content": HOSTILE},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_x", "name": "t", "input": {"a": HOSTILE}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_x", "content": HOSTILE}]},
    ]
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("t", "get_weather")]
    ask(server, talk, tools=tools, stream=True, system=HOSTILE)
    shown(page, server, 1)
    rows(page).first.click()
    expect(page.get_by_test_id("detail")).to_contain_text("<script>window.pwned=1</script>")
    for tab in ("tab-raw", "tab-timeline", "tab-chat"):
        page.get_by_test_id(tab).click()
    page.get_by_test_id("show-scenarios").click()
    expect(page.get_by_test_id("scenarios")).to_contain_text("<b>bold</b>")
    assert page.evaluate("window.pwned") is None


def test_hundreds_of_requests_a_second_do_not_freeze_it(page: Any, server: MockServer) -> None:
    import http.client

    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    for n in range(1500):
        body = json.dumps(
            {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": f"hello {n}"}]}
        )
        connection.request("POST", "/v1/messages", body, {"x-api-key": "k"})
        connection.getresponse().read()
    connection.close()
    page.locator('[data-number="1500"]').wait_for()
    assert rows(page).count() <= 510
    began = time.monotonic()
    page.evaluate("1")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (400, 800)])
def test_it_is_readable_wide_and_narrow(page: Any, server: MockServer, width: int, height: int) -> None:
    from playwright.sync_api import expect

    page.set_viewport_size({"width": width, "height": height})
    server.add(["Let me check.", tool_use("get_weather", {"city": "Paris"})], timing={"gap": "15ms"}, name="weather")
    tool = {"name": "get_weather", "input_schema": {"type": "object"}}
    for text in ("hello", "How is the weather in Paris?"):
        ask(server, text, stream=True, tools=[tool])
    shown(page, server, 2)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"list-{width}.png")
    rows(page).first.click()
    expect(page.get_by_test_id("detail")).to_contain_text("Let me check.")
    page.screenshot(path=SHOTS / f"detail-{width}.png")
    page.get_by_test_id("tab-timeline").click()
    expect(page.get_by_test_id("timeline")).to_be_visible()
    page.screenshot(path=SHOTS / f"timeline-{width}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_base_url_on_the_page_has_the_base_path(browser: Any) -> None:
    from playwright.sync_api import expect

    with MockServer(base_path="/llm") as server:
        page = browser.new_page()
        page.goto(f"{server.url}/")
        expect(page.locator("#empty")).to_contain_text(f"ANTHROPIC_BASE_URL={server.url} ")
        ask(server, "Hi")
        expect(rows(page)).to_have_count(1)
        page.close()

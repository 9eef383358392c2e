"""Makes the pictures of the page in the README anew: `make pictures`. Needs the extra `browser` and a Chromium."""

import json
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
IMAGES = Path(__file__).parent / "images"
sys.path.insert(0, str(ROOT / "tests"))

from browser.conftest import ARGUMENTS  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

from mock_server import MockServer, error, prompt, tool_use  # noqa: E402

TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
# what is asked, and how; the last one is shown in full
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("Hello there", {}),
    ("What is the capital of France?", {"temprature": 0.2}),
    ("Summarise this, please", {}),
    ("Hello again", {"model": "claude-sonnet-4-5"}),
    ("How is the weather in Paris?", {"tools": [TOOL]}),
]
# the file, its width and height, and the tab that it shows
SHOWN = [("page-1280.png", 1280, 800, "timeline"), ("page-400.png", 400, 800, "chat")]


def ask(server: MockServer, said: str, more: dict[str, Any]) -> None:
    body = {"model": "claude-opus-4-8", "max_tokens": 500, "stream": True, **more}
    body["messages"] = [{"role": "user", "content": said}]
    url, sent = server.url + "/v1/messages", json.dumps(body).encode()
    request = urllib.request.Request(url, sent, {"x-api-key": "any"})  # noqa: S310
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as reply:
            reply.read()
    except urllib.error.HTTPError as refused:
        refused.close()


def main() -> None:
    """Ask a server, open its page, and write what it shows."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        MockServer(seed=7, time_scale=1) as server,
    ):
        server.add("Hello! How can I help?", name="hello", when=prompt("Hello"), timing="fast")
        server.add("Paris.", name="capital", when=prompt("capital"), timing="fast")
        server.add(error("overloaded_error"), name="overloaded", when=prompt("Summarise"))
        call = tool_use("get_weather", {"city": "Paris"})
        server.add(["Let me check.", call], name="weather", when=prompt("weather"), timing={"gap": "15ms"})
        for said, more in ASKED:
            ask(server, said, more)
        context = playwright.chromium.launch_persistent_context(
            folder, executable_path=chromium, headless=True, args=ARGUMENTS
        )
        for name, width, height, tab in SHOWN:
            page = context.new_page()
            page.set_viewport_size({"width": width, "height": height})
            page.goto(server.url + "/")
            page.get_by_test_id("entry-row").first.click()
            page.get_by_test_id(f"tab-{tab}").click()
            page.locator("#panel").wait_for()
            page.mouse.move(0, height - 1)
            page.screenshot(path=IMAGES / name)
            page.close()
            print(f"{IMAGES / name}")
        context.close()


if __name__ == "__main__":
    main()

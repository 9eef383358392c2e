"""A real Chromium and a real server. Skipped where there is no browser, a failure where CI=true."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mock_server import MockServer

ARGUMENTS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
]


def absent(reason: str) -> None:
    """No browser: skip here, fail in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent("no playwright: pip install -e '.[browser]'")
    if chromium is None:
        absent("no chromium on this machine")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        context = playwright.chromium.launch_persistent_context(
            folder, executable_path=chromium, headless=True, args=ARGUMENTS, viewport={"width": 1280, "height": 800}
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield context
        context.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MockServer]:
    """A server on a folder of one scenario, which sees changes."""
    (tmp_path / "hello.yaml").write_text(
        "name: hello\nwhen: {prompt: hello}\ntiming: instant\nreply: Hello from a file!"
    )
    with MockServer(tmp_path, reload=True, time_scale=1.0) as running:
        yield running


def is_complaint(message: Any) -> bool:
    """Whether the console has something to complain of; a 422 is an answer that the page asked for."""
    return bool(message.type == "error" and "status of 422" not in message.text)


class Watched:
    """A page whose every error and every request that leaves its origin is noted."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.errors: list[str] = []
        self.strays: list[str] = []
        page.on("console", lambda message: self.errors.append(message.text) if is_complaint(message) else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda sent: None if sent.url.startswith((url, "data:")) else self.strays.append(sent.url))
        page.on("dialog", lambda dialog: self.errors.append(f"a dialog of the browser: {dialog.message}"))


@pytest.fixture
def page(browser: Any, server: MockServer) -> Iterator[Any]:
    """The journal page of the server. Fails the test for anything the console or the network has to complain of."""
    opened = browser.new_page()
    watched = Watched(opened, server.url)
    opened.set_default_timeout(15_000)
    opened.goto(server.url + "/")
    yield opened
    opened.close()
    assert watched.errors == []
    assert watched.strays == []

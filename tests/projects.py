"""Projects that use the plugin, made and tested by tests: with a server of their own, or one elsewhere."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mock_server import MockServer

TEST = """
import json, urllib.request

def ask(server, text, key="k"):
    body = {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(server.url + "/v1/messages", json.dumps(body).encode(), {"x-api-key": key, "anthropic-version": "2023-06-01"})
    return json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request))
"""


QUIET = ("-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio", "-p", "no:rerunfailures")


def run(pytester: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    """Run a test file in a project of its own."""
    pytester.makepyfile(TEST + source)
    return pytester.runpytest_subprocess("-q", *QUIET, *arguments)


def passes(pytester: pytest.Pytester, source: str, **outcomes: int) -> None:
    run(pytester, source).assert_outcomes(**outcomes)


def told(result: pytest.RunResult) -> str:
    """What pytest printed, without what differs from run to run."""
    text = re.sub(r"key-[0-9a-f]{8}", "KEY", "\n".join(result.outlines))
    return re.sub(r" in \d+\.\d+s", "", text)


WHERE = ("here", "elsewhere")


@contextmanager
def arguments_for(where: str) -> Iterator[tuple[str, ...]]:
    """What pytest is told for a server of each kind: its own, or a running one."""
    if where == "here":
        yield ()
        return
    with MockServer(unmatched="generate", time_scale=1.0) as server:
        yield (f"--mock-server-url={server.url}",)

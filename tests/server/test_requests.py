"""What a request for a message can make a server do: nothing that others would notice."""

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import heartbeat
import pytest

BETAS = {"anthropic-beta": "context-management-2025-06-27"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}


def body(*content: Any, **more: Any) -> bytes:
    said = [{"role": "user", "content": list(content) or "Hi"}]
    return json.dumps({"model": "claude-opus-4-8", "max_tokens": 100, "messages": said, **more}).encode()


def searched(**parameters: Any) -> bytes:
    """A request that has Octen's search made up."""
    tool = {"type": "octen_search", "name": "octen_search", "parameters": parameters}
    return body(tools=[tool], tool_choice={"type": "any"})


def worked(calls: int, *edits: Mapping[str, Any]) -> bytes:
    """An agent at work: so many calls, each with its result, of which edits take some away."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
    for at in range(calls):
        call = {"type": "tool_use", "id": f"toolu_{at}", "name": "f", "input": {}}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{at}", "content": "ok"}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    return body(messages=messages, tools=[TOOL], context_management={"edits": list(edits)})


CLEARED = {"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 1}}
ATTACKS: Mapping[str, Callable[[], bytes]] = {
    "1,200 domains and 1,200 others": lambda: searched(
        include_domains=[f"a{at}.com" for at in range(1_200)], exclude_domains=[f"b{at}.com" for at in range(1_200)]
    ),
    "1,500 edits of 500 results": lambda: worked(500, *[CLEARED] * 1_500),
    "100 edits of 900 results": lambda: worked(900, *[CLEARED] * 100),
    "8,000 tools that are kept of 500 results": lambda: worked(
        500, {**CLEARED, "exclude_tools": [f"t{at}" for at in range(8_000)]}
    ),
}


@pytest.fixture(scope="module", params=["octen", "anthropic"])
def address(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    with heartbeat.served("--profile", request.param) as address:
        posted(address, body())
        yield address


def posted(address: tuple[str, int], sent: bytes) -> tuple[int, bytes]:
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", **BETAS}
    with closing(http.client.HTTPConnection(*address, timeout=60)) as client:
        client.request("POST", "/v1/messages", sent, headers)
        reply = client.getresponse()
        return reply.status, reply.read()


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_request_keeps_nobody_waiting(address: tuple[str, int], attack: str) -> None:
    sent = ATTACKS[attack]()
    waited = heartbeat.during(address, lambda: posted(address, sent))

    status, reply = waited.result
    assert not waited.is_held, f"{waited.longest * 1000:.0f} ms, busy {waited.busy:.1f}"
    assert status in (200, 400, 404), reply[:500]

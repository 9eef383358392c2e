"""What a request for a message can make a server do: nothing that others would notice."""

import base64
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import heartbeat
import pytest

BETAS = {"anthropic-beta": "context-management-2025-06-27"}
MANY_BETAS = {"anthropic-beta": ",".join(f"context-management-{at}" for at in range(2_500))}
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


def cited(*documents: tuple[str, str, str]) -> bytes:
    """A request to quote from documents: the type, the media type and the data of each."""
    names = ("type", "media_type", "data")
    sources = [dict(zip(names, document, strict=True)) for document in documents]
    return body(
        *({"type": "document", "source": source, "citations": {"enabled": True}} for source in sources),
        {"type": "text", "text": "Hi"},
    )


def made_up(**schema: Any) -> bytes:
    """A request that has an input made up for a tool."""
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", **schema}}}
    return body(tools=[{"name": "t", "input_schema": schema}], tool_choice={"type": "any"})


def thought(signature: str) -> bytes:
    thinking = {"type": "thinking", "thinking": "a", "signature": signature}
    said = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [thinking, {"type": "text", "text": "y"}]},
    ]
    return body(messages=[*said, said[0]])


MB = 1 << 20
PDF = base64.b64encode(b"%PDF-1.4\n" + b"endobj\n" * MB).decode()
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
    "three PDFs of 7 MB to quote from": lambda: cited(*[("base64", "application/pdf", PDF)] * 3),
    "14 million empty lines to quote from": lambda: cited(("text", "text/plain", "\n" * 14 * MB)),
    "a call with a text of 4 MB": lambda: made_up(const="ab" * 2 * MB),
    "10,000 stop sequences": lambda: body(stop_sequences=[f"z{at}" for at in range(10_000)]),
    "a million stop sequences": lambda: body(stop_sequences=[f"z{at}" for at in range(900_000)]),
    "a signature of 25 MB": lambda: thought("EqQB" * 6 * MB),
    "9 million lines of a letter": lambda: body(metadata={"user_id": "a\n" * 9 * MB}),
    "a parameter with a name of 25 MB": lambda: body(**{"a" * 25 * MB: 1}),
    "120,000 lists in lists": lambda: body(x=[json.loads("[" * 400 + "]" * 400)] * 300),
    "80,000 texts and an infinite number": lambda: b'{"a":[' + b'"",' * 80_000 + b"1e999]}",
}


def turns(count: int) -> bytes:
    """A legacy prompt of so many turns."""
    prompt = "\n\nHuman: a\n\nAssistant: b" * count + "\n\nHuman: x\n\nAssistant:"
    return json.dumps({"model": "claude-opus-4-8", "max_tokens_to_sample": 9, "prompt": prompt}).encode()


OTHERS: Mapping[str, tuple[str, Mapping[str, str], Callable[[], bytes]]] = {
    "2,500 betas and 2,800 tools": (
        "/v1/messages",
        MANY_BETAS,
        lambda: body(tools=[{**TOOL, "name": f"t{at}"} for at in range(2_800)], tool_choice={"type": "any"}),
    ),
    "a legacy prompt of 18,000 turns": ("/v1/complete", {}, lambda: turns(9_000)),
}


@pytest.fixture(scope="module", params=["octen", "anthropic"])
def address(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    with heartbeat.served("--profile", request.param) as address:
        posted(address, body())
        yield address


def posted(
    address: tuple[str, int], sent: bytes, path: str = "/v1/messages", headers: Mapping[str, str] = BETAS
) -> tuple[int, bytes]:
    said = {"x-api-key": "k", "anthropic-version": "2023-06-01", **headers}
    with closing(http.client.HTTPConnection(*address, timeout=60)) as client:
        client.request("POST", path, sent, said)
        reply = client.getresponse()
        return reply.status, reply.read()


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_request_keeps_nobody_waiting(address: tuple[str, int], attack: str) -> None:
    sent = ATTACKS[attack]()
    waited = heartbeat.during(address, lambda: posted(address, sent))

    status, reply = waited.result
    assert not waited.is_held, f"{waited.longest * 1000:.0f} ms, busy {waited.busy:.1f}"
    assert status in (200, 400, 404), reply[:500]


@pytest.mark.parametrize("attack", OTHERS)
def test_so_it_is_with_another_head_or_path(address: tuple[str, int], attack: str) -> None:
    path, headers, make = OTHERS[attack]
    sent = make()
    waited = heartbeat.during(address, lambda: posted(address, sent, path, headers))

    status, reply = waited.result
    assert not waited.is_held, f"{waited.longest * 1000:.0f} ms, busy {waited.busy:.1f}"
    assert status in (200, 400), reply[:500]

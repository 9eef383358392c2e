"""A client in a container of its own: an agent's rounds against the sidecar, over streams. Standard library only.

`MOCK_SCENARIO` names the scenario that is to answer; without it the prompt chooses.
"""

import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

TOOLS = [
    {"name": name, "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    for name in ("get_weather", "get_time")
]


def main() -> int:
    """Talk until the model is done; 0 when it ended its turn by itself."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "What is the weather in Paris?"}]
    for _ in range(10):
        content, stop_reason = ask(messages)
        messages.append({"role": "assistant", "content": content})
        calls = [block for block in content if block["type"] == "tool_use"]
        if not calls:
            said = " ".join(block["text"] for block in content if block["type"] == "text")
            print(f"{len(messages)} messages, {stop_reason}: {said}")
            return 0 if stop_reason == "end_turn" else 1
        results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"} for call in calls]
        messages.append({"role": "user", "content": results})
    return 1


def ask(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """One request; the content blocks and the stop reason of the streamed reply."""
    body = {"model": "claude-opus-4-8", "max_tokens": 500, "stream": True, "tools": TOOLS, "messages": messages}
    headers = {
        "content-type": "application/json",
        "x-api-key": os.environ["ANTHROPIC_API_KEY"],
        "anthropic-version": "2023-06-01",
    }
    if name := os.environ.get("MOCK_SCENARIO"):
        headers["x-mock-scenario"] = name
    url = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
    blocks: list[dict[str, Any]] = []
    partial, stop_reason = "", ""
    for event in stream(urllib.request.Request(url, json.dumps(body).encode(), headers)):
        if event["type"] == "content_block_start":
            blocks.append(event["content_block"])
            partial = ""
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "text_delta":
                blocks[-1]["text"] += delta["text"]
            partial += delta.get("partial_json", "")
        elif event["type"] == "content_block_stop" and blocks[-1]["type"] == "tool_use":
            blocks[-1] = {**blocks[-1], "input": json.loads(partial or "{}")}
        elif event["type"] == "message_delta":
            stop_reason = event["delta"]["stop_reason"]
    return blocks, stop_reason


def stream(request: urllib.request.Request) -> Iterator[dict[str, Any]]:
    """The payloads of a stream of events."""
    with urllib.request.urlopen(request, timeout=30) as reply:
        for line in reply:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


if __name__ == "__main__":
    sys.exit(main())

"""What judging a request costs, without a server: CPU time of `validate` for a small request and a long conversation.

`python bench/validation.py` prints microseconds a request, the best of several rounds.
"""

import json
import time
from typing import Any

from mock_server.protocol.request import parse
from mock_server.protocol.rules import validate
from mock_server.scenario.profiles import load_profile

TEXT = {"type": "text", "text": "Some words about the matter at hand. " * 4}


def long_conversation(messages: int = 200) -> bytes:
    """An agent's: calls and results in turn, with two tools."""
    said: list[dict[str, Any]] = [{"role": "user", "content": "Go on."}]
    for n in range(messages // 2):
        call = {"type": "tool_use", "id": f"toolu_{n}", "name": "look", "input": {"at": n}}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": [TEXT]}
        said += [{"role": "assistant", "content": [TEXT, call]}, {"role": "user", "content": [result]}]
    schema = {"type": "object", "properties": {"at": {"type": "integer"}}}
    tools = [{"name": name, "description": "It looks.", "input_schema": schema} for name in ("look", "touch")]
    return json.dumps({"model": "claude-opus-4-8", "max_tokens": 500, "tools": tools, "messages": said}).encode()


def small() -> bytes:
    """One message of about a kilobyte."""
    said = [{"role": "user", "content": "A question about nothing in particular. " * 24}]
    body = {"model": "claude-opus-4-8", "max_tokens": 500, "system": "Be brief.", "messages": said}
    return json.dumps(body).encode()


def cost(body: bytes, profile: str, rounds: int, times: int) -> float:
    """Microseconds of CPU for one request, parsed anew each time so that nothing is remembered."""
    judge, best = load_profile(profile), float("inf")
    for _ in range(rounds):
        requests = [parse(body) for _ in range(times)]
        began = time.process_time()
        for request in requests:
            validate(request, judge, has_cache_marks=b'"cache_control"' in body)
        best = min(best, (time.process_time() - began) / times)
    return best * 1_000_000


def main() -> None:
    for profile in ("octen", "anthropic"):
        for what, body, times in (("1 KB", small(), 2_000), ("200 messages", long_conversation(), 20)):
            print(f"{profile}: {what} ({len(body):,} bytes): {cost(body, profile, 8, times):,.0f} us")


if __name__ == "__main__":
    main()

"""The worker of one tree for `faster.py`: it is told a kind of request and a time, answers for so long, and tells the
microseconds of CPU a request, of its fastest fifty. It uses only what every commit has.
"""

import json
import sys
import time
from collections.abc import Callable

from mock_server.engine.engine import Engine
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

TEXT = "It has no network to wait for, no key to check and no model to run. " * 4
SCENARIOS = f"""
name: said
when: {{prompt: bench json}}
timing: instant
reply: {TEXT}
---
name: streamed
when: {{prompt: bench stream}}
timing: {{chunk: word}}
reply: {TEXT}
---
name: filled
when: {{prompt: bench template}}
timing: instant
reply: {{template: "You said {{{{ prompt[:20] }}}}."}}
"""
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}
TOOL = {"name": "look", "description": "It looks. " * 20, "input_schema": SCHEMA}


def body(prompt: str, **more: object) -> bytes:
    said = [{"role": "user", "content": prompt + " and some words more" * 45}]
    return json.dumps({"model": "claude-haiku-4-5", "max_tokens": 1024, **more, "messages": said}).encode()


def talk(n: int) -> bytes:
    """An agent's conversation."""
    said: list[dict[str, object]] = [{"role": "user", "content": f"bench json {n}"}]
    for at in range(30):
        call = {"type": "tool_use", "id": f"toolu_{at}", "name": "look", "input": {"at": "there " * 8}}
        said.append({"role": "assistant", "content": [{"type": "text", "text": "I look. " * 8}, call]})
        result = {"type": "tool_result", "tool_use_id": f"toolu_{at}", "content": "seen " * 30}
        said.append({"role": "user", "content": [result]})
    return json.dumps({"model": "claude-haiku-4-5", "max_tokens": 1024, "tools": [TOOL], "messages": said}).encode()


KINDS: dict[str, Callable[[int], bytes]] = {
    "JSON, the same bytes": lambda n: body("bench json"),
    "JSON, every prompt different": lambda n: body(f"bench json {n:07}"),
    "stream, every prompt different": lambda n: body(f"bench stream {n:07}", stream=True),
    "template": lambda n: body(f"bench template {n:07}"),
    "nothing matches": lambda n: body(f"what is {n:07}"),
    "a conversation of 61 messages": talk,
}
engine = Engine(Settings(time_scale=0.0, log_level="error", seed=1), load_profile("octen"))
engine.load(loads(SCENARIOS, "faster.yaml"))
HEADERS = {"host": "x", "x-api-key": "k", "anthropic-version": "2023-06-01", "content-type": "application/json"}
asked = 0


def slice_of(make: Callable[[int], bytes], seconds: float) -> float:
    global asked
    best, until = float("inf"), time.process_time() + seconds
    while time.process_time() < until:
        requests = [HttpRequest("POST", "/v1/messages", HEADERS, make(asked + n)) for n in range(50)]
        asked += 50
        began = time.process_time()
        for one in requests:
            engine.handle(one)
        best = min(best, (time.process_time() - began) / 50 * 1e6)
    return best


for make in KINDS.values():
    slice_of(make, 0.05)
print(json.dumps(list(KINDS)), flush=True)
for line in sys.stdin:
    kind, seconds = json.loads(line)
    print(slice_of(KINDS[kind], seconds), flush=True)

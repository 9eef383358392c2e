"""What it costs to choose among 200 scenarios: microseconds for one request, in this process, without a socket.

`python bench/matching.py`. The first line is the choice with one scenario, so the rest is what 199 more add.
"""

import json
import statistics
import time
from collections.abc import Callable

from mock_server.engine.choose import choose, question
from mock_server.engine.library import CompiledScenario, Library
from mock_server.engine.session import Cursors
from mock_server.protocol.request import parse
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.scenario.timing import PRESETS

KINDS: dict[str, Callable[[int], str]] = {
    "prompts of several words": lambda at: f'{{prompt: "question number {at} of"}}',
    "prompts that share a word": lambda at: f'{{prompt: "weather {at} report"}}',
    "prompts that share words": lambda at: f'{{prompt: "look at the weather {at} report and"}}',
    "prompts of two words": lambda at: f'{{prompt: "weather {at}"}}',
    "prompts of one word": lambda at: f"{{prompt: word{at}}}",
    "prompts and tools": lambda at: f'{{prompt: "subject {at}", tools: [tool_{at}]}}',
    "models": lambda at: f'{{model: "model-{at}*", prompt: hi}}',
    "regular expressions": lambda at: f'{{prompt: {{regex: "order (?P<number>\\\\d+) {at}x"}}}}',
    "system prompts": lambda at: f'{{system: "you are agent {at}"}}',
    "headers": lambda at: f"{{header: {{x-user: user-{at}}}}}",
    "members of the body": lambda at: f"{{body: {{metadata.user_id: user-{at}}}}}",
    "last messages": lambda at: f'{{last_message: "question number {at} of"}}',
    "kinds of content": lambda at: f"{{has: image, header: {{x-user: user-{at}}}}}",
    "tool results": lambda at: f"{{tool_result: {{of: tool{at}}}}}",
}
PROMPT = " ".join(
    f"Could you please look at the weather report {at} and tell me about question number {at * 7}?"
    for at in range(1000, 1012)
)  # 1 KB
BODY = {
    "model": "claude-opus-4-8",
    "max_tokens": 100,
    "system": "You are a helpful agent.",
    "metadata": {"user_id": "user-1000"},
    "tools": [{"name": "get_weather", "input_schema": {"type": "object"}}],
    "messages": [{"role": "user", "content": PROMPT}],
}


HEADERS = {"x-user": "user-1000", "content-type": "application/json", "anthropic-version": "2023-06-01"}


def measured(count: int, when: Callable[[int], str]) -> float:
    """Microseconds for one choice among so many scenarios, the median of 500."""
    profile = load_profile("anthropic")
    text = "\n---\n".join(f"name: s{at}\nwhen: {when(at)}\nreply: hi" for at in range(count))
    library = Library([CompiledScenario(one, profile, PRESETS["instant"]) for one in loads(text)])
    body = json.dumps(BODY).encode()
    times = []
    for _ in range(500):
        asked = question(parse(body), HEADERS, "k", Cursors())
        began = time.perf_counter()
        choose(library, asked)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


if __name__ == "__main__":
    print(f"{'one scenario':28} {measured(1, KINDS['prompts of several words']):6.1f} us")
    for name, when in KINDS.items():
        print(f"200 {name:24} {measured(200, when):6.1f} us")

"""What it costs to choose among 200 scenarios: microseconds for one request, in this process, without a socket.

`python bench/matching.py`. The first line is the choice with one scenario, so the rest is what 199 more add. The last two
are whole requests, every prompt different, with one scenario and with 200 that share a word with the prompt.
"""

import json
import statistics
import time
from collections.abc import Callable

from mock_server.engine.choose import Lookup, choose
from mock_server.engine.engine import Engine
from mock_server.engine.library import CompiledScenario, Library
from mock_server.engine.session import Cursors
from mock_server.protocol.request import HttpRequest, parse
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.scenario.timing import PRESETS
from mock_server.settings import Settings

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
        asked = Lookup(parse(body), HEADERS, "k", Cursors())
        began = time.perf_counter()
        choose(library, asked)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def answered() -> dict[str, float]:
    """Microseconds of CPU of a whole request with one scenario and with 200, both in turn, the fastest of many slices."""
    when = KINDS["prompts that share words"]
    engines = {count: Engine(Settings(time_scale=0, log_level="error"), load_profile("octen")) for count in (1, 200)}
    last = "name: last\nreply: hi\nat_end: repeat"
    for count, engine in engines.items():
        scenarios = [f"name: s{at}\nwhen: {when(at)}\nreply: hi" for at in range(count)]
        engine.load(loads("\n---\n".join([*scenarios, last])))
    best, at = dict.fromkeys(engines, float("inf")), 0
    for _ in range(40):
        for count, engine in engines.items():
            requests = [_request(at + n) for n in range(100)]
            at += 100
            began = time.process_time()
            for one in requests:
                engine.handle(one)
            best[count] = min(best[count], (time.process_time() - began) * 1e4)
    return {str(count): us for count, us in best.items()}


def _request(number: int) -> HttpRequest:
    body = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": [{"role": "user", "content": f"{number} {PROMPT}"}]}
    return HttpRequest("POST", "/v1/messages", {**HEADERS, "x-api-key": "k"}, json.dumps(body).encode())


if __name__ == "__main__":
    print(f"{'one scenario':28} {measured(1, KINDS['prompts of several words']):6.1f} us")
    for name, when in KINDS.items():
        print(f"200 {name:24} {measured(200, when):6.1f} us")
    for count, us in answered().items():
        print(f"a request, {count:3} scenarios     {us:6.1f} us")

"""What a few words of YAML make a server hold or compute is bounded when they are read, with the place."""

import time

import pytest

from mock_server.scenario.load import loads
from mock_server.scenario.node import ScenarioError

WORDS = "a b " * 30_000
LETTERS = "x" * 99_999
STATES = ", ".join(f"v{at}" for at in range(100))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            f"name: a\ntiming: {{chunk: 1}}\nreply: {WORDS}",
            "3:1: a reply has 20,000 deltas at most; this one has 119,999: split it into larger ones (timing.chunk)",
        ),
        (
            f"name: a\nturns:\n- hi\n- {{timing: {{chunk: {{bytes: 1}}}}, reply: {LETTERS}xx}}",
            "4:3: a reply has 20,000 deltas at most; this one has 100,001",
        ),
        (
            f"name: a\nturns: [&t {{reply: {LETTERS}}}" + ", *t" * 60 + "]",
            "a reply has 1,000,000 characters at most, all of a scenario 5,000,000; this one has 99,999",
        ),
        (
            f"name: a\nreply: [&t {{type: text, text: {LETTERS}}}" + ", *t" * 10 + "]",
            "a reply has 1,000,000 characters at most, all of a scenario 5,000,000; this one has 1,099,989",
        ),
        (
            f"name: a\nreply: [{{type: tool_use, name: x, input: {{a: &t {LETTERS}, b: [*t" + ", *t" * 10 + "]}}]",
            "a reply has 1,000,000 characters at most",
        ),
        (
            "name: a\nreply: [&t {type: text, generate: {tokens: 150000}}, *t]",
            "2:1: a reply makes up 200,000 tokens at most; this one asks for 300,000",
        ),
        (
            "name: a\ngenerate: {tokens: 20001}",
            "a reply has 20,000 deltas at most; this one makes up 20,001 tokens: split it into larger ones",
        ),
        ("name: a\ngenerate: {tokens: 200001}", "2:20: tokens is 1 to 200,000, got 200001"),
        (f"name: a\ngenerate: {{tokens: '{'9' * 5000}'}}", "2:20: expected a number of tokens or a range"),
        (f"name: a\ntiming: {{first: {'9' * 400}s}}\nreply: x", "2:17: expected a duration such as 250ms"),
        (f"name: a\ntiming: {{rate: 0.{'0' * 306}1/s}}\nreply: x", "2:16: expected a rate in tokens per second"),
        (f"name: a\ntiming: {{jitter: {'9' * 400}%}}\nreply: x", "2:18: expected a share from 0% to 100%"),
        (
            f"defaults: {{tags: [{', '.join(f't{at}' for at in range(998))}]}}\n---\n"
            + "name: a\nreply: x\n---\n" * 101,
            "1:11: 'defaults' of 1,000 values for each of 101 scenarios; together 100,000 at most: split the file",
        ),
        (
            f"states: {{{', '.join(f's{at}: [{STATES}]' for at in range(100))}}}\n---\n"
            + "name: a\nreply: x\n---\n" * 50,
            "1:9: 'states' of 10,101 values for each of 50 scenarios; together 500,000 at most: split the file",
        ),
        (
            f"name: a\nwhen: {{prompt: {{regex: '{'(a|b)' * 20_001}'}}}}\nreply: x",
            "2:24: a pattern of 100,005 characters; 100,000 at most",
        ),
        (
            f"name: a\nwhen: {{model: '{'*a' * 50_001}'}}\nreply: x",
            "2:15: a pattern of 100,002 characters; 100,000 at most",
        ),
        (f"name: a\nreply: {{template: {'x' * 100_001}}}", "2:19: a template of 100,001 characters; 100,000 at most"),
    ],
)
def test_what_is_too_much_is_a_mistake_with_its_place(text: str, told: str) -> None:
    before = time.thread_time()
    with pytest.raises(ScenarioError) as caught:
        loads(text, "a.yaml")

    assert str(caught.value).startswith("a.yaml:")
    assert told in str(caught.value)
    assert time.thread_time() - before < 5


@pytest.mark.parametrize(
    "text",
    [
        f"name: a\ntiming: {{chunk: sentence}}\nreply: {WORDS}",
        f"name: a\ntiming: {{chunk: {{bytes: 5}}}}\nreply: {LETTERS}",
        "name: a\ntiming: {chunk: sentence}\ngenerate: {tokens: 200000}",
        "name: a\ngenerate: {tokens: 20000}",
        "name: a\ntiming: {first: 59.5m, rate: 0.000001/s, jitter: 99.99%}\nreply: x",
    ],
)
def test_what_is_as_much_as_may_be_is_read(text: str) -> None:
    assert len(loads(text, "a.yaml")) == 1


def test_one_template_many_times_is_compiled_once() -> None:
    before = time.thread_time()
    loads("name: a\nreply: [&t {type: text, template: '{{ prompt }} twice {{ prompt }}'}" + ", *t" * 5_000 + "]")
    assert time.thread_time() - before < 5

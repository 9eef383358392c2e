"""What is made for each request: templates, made-up parts, chance, expectations, and the defaults of a file."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol.blocks import ToolUse
from mock_server.protocol.json_schema import Checker
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "minLength": 1}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
}
TOOL = {"name": "get_weather", "input_schema": SCHEMA}
PROFILE = load_profile("anthropic")
Ask = Callable[..., Entry]


@pytest.fixture
def asking() -> Callable[..., Ask]:
    """An engine that serves a text, and a way to ask it."""

    def make(text: str, **settings: Any) -> Ask:
        engine = Engine(Settings(**{"seed": 7, "unmatched": "error", **settings}), PROFILE)
        engine.load(loads(text, "made.yaml"))

        def ask(prompt: str | list[Any], headers: dict[str, str] | None = None, **more: Any) -> Entry:
            messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
            shown = {"type": "adaptive", "display": "summarized"}
            body = {"model": "claude-opus-4-8", "max_tokens": 4000, "messages": messages, "thinking": shown, **more}
            sent = {"x-api-key": "k", "anthropic-version": "2023-06-01", **(headers or {})}
            entry = engine.handle(HttpRequest("POST", "/v1/messages", sent, json.dumps(body).encode()))
            entry.end("completed", len(entry.plan.parts[0].frames))
            return entry

        return ask

    return make


def weather(call: str, result: str = "21 degrees") -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": "weather in Paris"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": call, "name": "get_weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": result}]},
    ]


# -- templates ------------------------------------------------------------------------------------------------------


def scripted(template: str) -> str:
    when = r"{prompt: {regex: 'weather in (?P<city>\w+)'}}"
    return f"name: t\nwhen: {when}\nreply: {{template: {json.dumps(template)}}}"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("It is {{ captures.city }}.", "It is Paris."),
        ("{{ captures['city'] | upper }}", "PARIS"),
        ("{{ prompt }}, {{ model }}", "weather in Paris, claude-opus-4-8"),
        ("{{ request.max_tokens + 1 }}", "4001"),
        ("{{ request.messages[0].content | length }}", "16"),
        ("{{ headers['x-team'] }} {{ headers['x-api-key'] is defined }}", "search False"),
        ("{% for i in range(3) %}{{ i }}{% endfor %}", "012"),
        ("{{ session }} {{ turn }} {{ attempt }}", "default 1 1"),
        ("{{ now.year }} {{ now.tzname() }}", "2026 UTC"),
        ("{{ {'a': [1, 'ü']} | tojson }}", '{"a": [1, "ü"]}'),
        ("name: [not, yaml]\n- {a: b}", "name: [not, yaml]\n- {a: b}"),
    ],
)
def test_a_template_says_what_the_request_holds(template: str, text: str, asking: Callable[..., Ask]) -> None:
    entry = asking(scripted(template))("weather in Paris", {"x-team": "search"})

    assert entry.text == text


def test_the_text_of_a_result_and_of_all_results(asking: Callable[..., Ask]) -> None:
    said = "{{ tool_result('get_weather') }} {% for one in tool_results %}{{ one.name }}={{ one.text }}{% endfor %}"

    assert asking(scripted(said))(weather("toolu_1")).text == "21 degrees get_weather=21 degrees"


def test_names_are_drawn_from_the_seed_and_the_request(asking: Callable[..., Ask]) -> None:
    template = scripted("{{ fake.name() }} {{ fake.date() }} {{ [1, 2, 3, 4, 5, 6] | random }}")

    once, again = (asking(template)("weather in Paris").text for _ in range(2))
    other = asking(template, seed=8)("weather in Paris").text
    assert once == again != other
    assert asking(template)("weather in Rome").text != once


def test_templates_stand_in_arguments_and_errors(asking: Callable[..., Ask]) -> None:
    ask = asking(
        """
name: call
when: {prompt: {regex: "(?P<word>call)"}}
reply:
  - {type: thinking, template: "About {{ captures.word }}."}
  - {type: tool_use, name: x, input: {a: [{template: "{{ prompt }}"}], plain: {template: no places}}}
---
name: fail
when: {prompt: fail}
error: {type: overloaded_error, message: {template: "busy with {{ prompt }}"}}
"""
    )

    thought, call = ask("call me").reply["content"]
    assert thought["thinking"] == "About call."
    assert call["input"] == {"a": ["call me"], "plain": {"template": "no places"}}
    failed = ask("fail now")
    assert (failed.status, failed.text) == (529, "busy with fail now")


@pytest.mark.parametrize("stream", [False, True])
def test_a_template_that_fails_is_told_and_the_server_goes_on(stream: bool, asking: Callable[..., Ask]) -> None:
    ask = asking(scripted("{{ tool_result('get_weather') }}"))

    entry = ask("weather in Paris", stream=stream)

    assert entry.status == 500
    assert entry.reply["error"]["type"] == "api_error"
    assert (
        entry.text
        == "mock-server: scenario 't' turn 1: there is no result of 'get_weather' in the request; called were none "
        "(made.yaml:3)"
    )
    assert entry.headers["x-should-retry"] == "false"
    assert ask(weather("toolu_1")).status == 200


@pytest.mark.parametrize(
    "template",
    [
        "{{ request.nothing.more }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ range(1000000) | list }}",
        "{% for i in range(50000) %}{{ 'x' * 100 }}{% endfor %}",
        "{{ 'x' * 100000000 }}",
        "{{ 9 ** 999999 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ 'x'.ljust(999999999) }}",
        "{{ request.messages.append(1) }}",
        "{{ fake.pystr(max_chars=99999999) }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_template_cannot_break_out_or_run_for_ever(template: str, asking: Callable[..., Ask]) -> None:
    entry = asking(scripted(template))("weather in Paris")

    assert entry.status == 500
    assert entry.text.startswith("mock-server: scenario 't' turn 1: ")


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (
            "{template: '{{ promt }}'}",
            "unknown name 'promt' in a template; did you mean 'prompt'? Expected one of request",
        ),
        ("{template: '{{ prompt'}", "not a template: unexpected end of template"),
        ("{template: '{{ captures.city }}'}", "no condition captures 'city'; captured here: none"),
        ("{template: '{{ fake.nmae() }}'}", "unknown fake.nmae, or it reads the clock (use now); did you mean 'name'?"),
        ("{template: '{{ fake.date_this_year() }}'}", "unknown fake.date_this_year, or it reads the clock"),
        ("{template: '{% include \"x\" %}'}", "a template cannot load another one"),
        ("{template: '{{ prompt | nofilter }}'}", "no filter named 'nofilter'; expected one of abs, batch,"),
        ("{template: 3}", "expected text, got a number"),
        ("{type: text, text: a, template: b}", "unknown key 'text' in text; expected one of"),
        ("{type: text, generate: {tokens: 9..3}}", "tokens is 1 to 200,000, got 9..3"),
        (
            "{type: text, generate: {tokens: many}}",
            "expected a number of tokens or a range such as 200..300, got 'many'",
        ),
        (
            "{type: text, generate: {style: poem}}",
            "unknown value 'poem'; did you mean 'prose'? Expected one of prose, markdown, code, json, list",
        ),
        ("{type: text, generate: {locale: de_XX}}", "unknown locale 'de_XX'; expected one such as de_DE"),
        ("{type: tool_use, name: x, input: {}, input_json: x}", "a call has an input or an input_json, not both"),
        ("{type: tool_use, name: x, input_json: 3}", "expected the JSON as text, got a number"),
    ],
)
def test_a_mistake_is_told_at_load(reply: str, text: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(f"name: a\nreply: {reply}", "a.yaml")

    assert str(caught.value).startswith("a.yaml:2:")
    assert text in str(caught.value)


def test_a_mistake_in_a_long_template_is_told_with_its_line() -> None:
    with pytest.raises(ScenarioError, match=r"a.yaml:6:1: unknown name 'nobody'"):
        loads("name: a\nreply:\n  template: |\n    one\n    two\n    {{ nobody }}\n", "a.yaml")


# -- made-up parts --------------------------------------------------------------------------------------------------


def test_texts_and_arguments_are_made_up(asking: Callable[..., Ask]) -> None:
    ask = asking(
        """
name: made
when: {prompt: made}
reply:
  - {type: thinking, generate: {tokens: 20}}
  - {type: text, generate: {tokens: 200..300, style: list, locale: de_DE}}
  - {type: tool_use, name: get_weather, input: generated}
  - {type: tool_use, name: get_weather, input: {generate: edge}}
  - {type: tool_use, name: get_weather, input: {generate: invalid}}
  - {type: tool_use, name: get_weather, input_json: '{"city": "Par'}
"""
    )

    once, again = (ask("made", tools=[TOOL]) for _ in range(2))
    thought, text, *calls = once.reply["content"]
    assert thought["thinking"]
    assert text["text"].startswith("- ")
    assert 150 < once.reply["usage"]["output_tokens"] < 900
    assert [Checker(SCHEMA).violations(call["input"]) == [] for call in calls] == [True, True, False, False]
    assert calls[-1]["input"] == {}
    assert [block.get("input") for block in again.reply["content"]] == [
        block.get("input") for block in once.reply["content"]
    ]
    raw = "".join(
        event["delta"].get("partial_json", "")
        for event in ask("made", tools=[TOOL], stream=True).events
        if event["type"] == "content_block_delta" and event["index"] == 5
    )
    assert raw == '{"city": "Par'


def test_arguments_for_a_tool_nobody_offers_are_told(asking: Callable[..., Ask]) -> None:
    entry = asking("name: made\nreply: [{type: tool_use, name: x, input: generated}]")("hi", tools=[TOOL])

    assert entry.status == 500
    assert "'x' is no tool of the request" in entry.text
    assert "it has get_weather" in entry.text


# -- chance ---------------------------------------------------------------------------------------------------------

FLAKY = """
name: flaky
turns:
  - cases:
      - {chance: 20%, error: overloaded_error}
      - {when: {prompt: never}, reply: Never.}
      - {chance: 30%, reply: A}
      - reply: B
"""


def test_the_rates_are_those_that_are_written(asking: Callable[..., Ask]) -> None:
    got = Counter(asking(FLAKY, seed=seed)("hi").text for seed in range(3_000))

    shares = {text: count / 3_000 for text, count in got.items()}
    assert shares["Overloaded"] == pytest.approx(0.2, abs=0.03)
    assert shares["A"] == pytest.approx(0.3, abs=0.03)
    assert shares["B"] == pytest.approx(0.5, abs=0.03)


def test_a_draw_repeats_with_the_seed_and_not_with_the_try(asking: Callable[..., Ask]) -> None:
    once, again = ([ask("hi").text for _ in range(40)] for ask in (asking(FLAKY), asking(FLAKY)))

    assert once == again
    assert len(set(once)) == 3


@pytest.mark.parametrize(
    ("cases", "text"),
    [
        (
            "[{chance: 70%, reply: a}, {chance: 40%, reply: b}]",
            "the chances of these cases add up to 110%; 100% at most",
        ),
        (
            "[{chance: 100%, reply: a}, {reply: b}]",
            "this case can never be reached: the chances before it add up to 100%",
        ),
        ("[{chance: 2, reply: a}]", "expected a share from 0% to 100%"),
    ],
)
def test_chances_that_cannot_be(cases: str, text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        loads(f"name: a\nturns: [{{cases: {cases}}}]")


# -- expectations ---------------------------------------------------------------------------------------------------

STRICT = """
name: strict
when: {prompt: weather}
turns:
  - expect: {tools: [get_weather], system: You are}
    reply: [{type: tool_use, name: get_weather, input: {}}]
  - cases:
      - when: {tool_result: true}
        expect: {tool_result: {content: degrees}}
        reply: It is sunny.
"""


def test_a_request_that_is_as_expected_is_answered(asking: Callable[..., Ask]) -> None:
    ask = asking(STRICT)
    call = ask("weather", tools=[TOOL], system="You are kind.")

    assert call.status == 200
    assert ask(weather(call.reply["content"][0]["id"])).text == "It is sunny."
    assert not call.unexpected


def test_one_that_is_not_gets_every_difference(asking: Callable[..., Ask]) -> None:
    ask = asking(STRICT)
    entry = ask("weather")

    assert entry.status == 400
    assert entry.text == (
        "scenario 'strict' turn 1 expects another request:\n"
        "  tools: wanted 'get_weather', got no tools\n"
        "  system: wanted contains 'You are', got ''"
    )
    assert entry.unexpected
    assert not entry.unmatched
    assert entry.journal.unexpected == 1
    assert "wanted contains 'degrees', got a result of get_weather 'rain'" in ask(weather("toolu_1", "rain")).text


# -- files ----------------------------------------------------------------------------------------------------------


def test_the_defaults_of_a_file_hold_for_all_its_scenarios() -> None:
    first, second = loads(
        "defaults: {timing: fast, tags: [a], priority: 3, when: {model: 'x*', stream: true}}\n---\n"
        "name: one\nwhen: {prompt: p, stream: false}\nreply: 1st\n---\nname: two\npriority: 5\nreply: 2nd"
    )

    assert first.when is not None
    assert second.when is not None
    assert set(first.when.descriptions) == {"model: 'x*'", "stream: false", "prompt: contains 'p'"}
    assert set(second.when.descriptions) == {"model: 'x*'", "stream: true"}
    assert [one.priority for one in (first, second)] == [3, 5]
    assert first.tags == second.tags == ("a",)
    assert first.timing == second.timing is not None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: a\nreply: x\n---\ndefaults: {priority: 1}", "4:1: defaults: is the first document of its file"),
        ("defaults: {reply: x}\n---\nname: a\nreply: x", "1:12: 'reply' cannot be a default; expected one of when"),
        ("defaults: 3\n---\nname: a\nreply: x", "1:11: expected a mapping of when, timing"),
        ("name: a\nreply: x\ntags: [two words]", "3:8: a tag is one word, got 'two words'"),
        ("name: a\n<<: 3\nreply: x", "2:1: '<<' merges a mapping"),
    ],
)
def test_what_cannot_be_a_default(text: str, told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(text, "a.yaml")

    assert str(caught.value).startswith(f"a.yaml:{told}")


def test_a_mapping_may_be_merged_into_others() -> None:
    (one,) = loads(
        "name: a\nturns:\n  - reply: [&call {type: tool_use, name: look, input: {at: 1}}]\n"
        "  - reply: [{<<: *call, input: {at: 2}}]\n"
        "  - reply: [{<<: [{name: see}, *call]}]\n"
    )

    calls = [block for turn in one.turns for block in turn.reply or () if isinstance(block, ToolUse)]
    assert [(call.name, call.input) for call in calls] == [("look", {"at": 1}), ("look", {"at": 2}), ("see", {"at": 1})]

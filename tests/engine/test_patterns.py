"""Regular expressions that take too long: a client's leaves a value unjudged, a scenario's is a 500 with its place."""

import json
import time
from typing import Any

import pytest
from conftest import Ask, MakeEngine

A = "a" * 60
SLOW = r"^(a)(\1|a)+b"  # what only a clock stops


def forced(**keywords: Any) -> dict[str, Any]:
    """Parameters that have an input made up for a tool."""
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", **keywords}}}
    return {"tools": [{"name": "t", "input_schema": schema}], "tool_choice": {"type": "any"}}


@pytest.mark.parametrize("profile", ["octen", "anthropic"])
@pytest.mark.parametrize("keyword", ["examples", "default"])
def test_a_value_that_cannot_be_judged_in_time_is_taken_with_a_warning(
    engine: MakeEngine, ask: Ask, profile: str, keyword: str
) -> None:
    given = {keyword: [A] if keyword == "examples" else A}
    entry = ask(engine(profile=profile, unmatched="generate"), **forced(pattern=SLOW, **given))

    told = r"the pattern '^(a)(\\1|a)+b' was left unjudged: more than 20 ms of matching in one request"
    assert entry.exchange.plan.status == 200
    assert dict(entry.exchange.plan.headers)["x-mock-warning"] == told
    assert entry.note == f"generated; {told}"


def test_a_catastrophic_pattern_that_re2_knows_is_judged(engine: MakeEngine, ask: Ask) -> None:
    entry = ask(engine(unmatched="generate"), **forced(pattern="^(a+)+$", examples=[A + "!", A]))

    assert entry.exchange.plan.status == 200
    assert "x-mock-warning" not in dict(entry.exchange.plan.headers)


SCENARIOS = """\
name: slow
when:
  {condition}
reply: never
---
name: next
reply: this would be another answer
"""


@pytest.mark.parametrize(
    "condition",
    [
        "prompt: {{regex: '{0}'}}",
        "prompt: {{regex: '{0}', ignore_case: true}}",
        "last_message: {{regex: '{0}(?P<rest>.*)'}}",
        "system: {{regex: '{0}'}}",
        "model: {{regex: '{0}|b'}}",
        "header: {{x-said: {{regex: '{0}'}}}}",
        "body: {{metadata.user_id: {{regex: '{0}'}}}}",
        "tools: [{{regex: '{0}'}}]",
        "not: {{prompt: {{regex: '{0}'}}}}",
        "any: [{{prompt: {{regex: '{0}'}}}}, {{prompt: x}}]",
        "schema: {{properties: {{system: {{pattern: '{0}'}}}}}}",
        "schema: {{properties: {{metadata: {{patternProperties: {{'{0}': false}}}}}}}}",
    ],
)
def test_a_scenario_whose_search_takes_too_long_is_a_500_with_its_place_and_never_the_next_one(
    engine: MakeEngine, ask: Ask, condition: str
) -> None:
    text = condition.format(r"(a)(\1|a)+[bc]")
    served = engine(SCENARIOS.replace("{condition}", text), validation="off", any_model=True)
    tools = [{"name": A, "input_schema": {"type": "object"}}]
    start = time.thread_time()
    entry = ask(served, A, {"x-said": A}, model=A, system=A, metadata={"user_id": A, A: 1}, tools=tools)
    took = time.thread_time() - start

    error = json.loads(b"".join(entry.exchange.plan.frames))["error"]
    assert (entry.exchange.plan.status, error["type"]) == (500, "api_error")
    assert error["message"].startswith("mock-server: ")
    assert ":3: the " in error["message"]
    assert error["message"].endswith("more than 30 ms of matching in one request")
    assert entry.scenario is None
    assert took < 0.5


def test_what_re2_knows_is_searched_for_whatever_it_looks_like(engine: MakeEngine, ask: Ask) -> None:
    served = engine(SCENARIOS.replace("{condition}", "prompt: {regex: '(?:a{1,9}){1,9}c|(?:(?:(?i:a)){2,3})+c'}"))

    assert ask(served, A).scenario == "next"

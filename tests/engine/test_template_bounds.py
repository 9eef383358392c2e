"""No template holds the server: what one may do is counted, and told when it is too much."""

import gc
import json
import time
import tracemalloc
from typing import Any

import pytest
from attacks import PROMPT, REFUSED, TOLD
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.commands.check import findings
from mock_server.scenario.load import loads
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.templates.sandbox import LIMITS, MAX_OUTPUT
from mock_server.settings import Settings

MOST_MEMORY = 40_000_000


def scripted(*templates: str) -> str:
    listed = json.dumps([{"type": "text", "template": one} for one in templates], ensure_ascii=False)
    return f"name: t\nwhen: {{prompt: weather}}\nreply: {listed}\n---\nname: next\nreply: another one"


def served(engine: Any, *templates: str) -> Any:
    return engine(loads(scripted(*templates), "attack.yaml"))


@pytest.mark.parametrize("name", TOLD)
def test_what_a_template_does_too_much_is_told(name: str, engine: Any, ask: Any) -> None:
    template, told = TOLD[name]
    attacked = served(engine, template)
    gc.collect()
    tracemalloc.start()
    entry = ask(attacked, PROMPT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (entry.status, entry.reply["error"]["type"], entry.scenario) == (500, "api_error", None)
    assert entry.headers["x-should-retry"] == "false"
    assert entry.text.startswith("mock-server: scenario 't' turn 1: template ")
    assert f": {told}" in entry.text
    assert entry.text.endswith(" (attack.yaml:3)")
    assert peak < MOST_MEMORY
    assert ask(attacked, "Hello").text == "another one"


# those that need no prompt of their own: a preview makes one up
BY_ITSELF = ("nested range", "recursive macro", "namespace doubling text", "format", "tojson indent", "slice", "batch",
             "sum lists", "translate", "fake texts", "fake text", "set block")  # fmt: skip


@pytest.mark.parametrize("name", BY_ITSELF)
def test_check_and_a_preview_tell_it_too(name: str) -> None:
    template, told = TOLD[name]
    scenarios = loads(
        json.dumps({"name": "t", "when": {"prompt": "weather"}, "reply": {"template": template}}), "a.yaml"
    )
    start = time.thread_time()

    (problem,) = findings(scenarios, Settings())

    assert told in str(problem)
    assert str(problem).startswith("a.yaml:1:")
    assert time.thread_time() - start < 1


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_template_can_do_is_a_mistake(name: str) -> None:
    template, told = REFUSED[name]
    with pytest.raises(ScenarioError) as caught:
        loads(scripted(template), "attack.yaml")

    assert str(caught.value).startswith("attack.yaml:3:")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ 9 ** 9 ** 9 ** 9 > 0 }}", "True"),
        ("{{ 0.5 in range(9999) }}", "False"),
        ("{{ ('\U0001f600' * 9999) | urlencode | length }}", "119988"),
        ("{{ ('a' * 500000).count('a' * 50 ~ 'b' ~ 'a' * 50) }}", "0"),
        ("{{ ('\ufb03' * 300000) | upper | length }}", "900000"),
        ("{% for i in range(50) %}{% for j in range(50) %}{% endfor %}{% endfor %}ok", "ok"),
        ("{% for word in prompt.split() %}{{ loop.index }}.{{ word }} {% endfor %}", "1.weather 2.in 3.Paris "),
        ("{{ 'x' * 1000 | int == 'x' * 1000 }}", "True"),
    ],
)
def test_what_is_within_the_bounds_is_done(template: str, text: str, engine: Any, ask: Any) -> None:
    assert ask(served(engine, template), "weather in Paris").text == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (
            "{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 0) | list }}",
            "[[1, 2], [3, 4], [5]] [[1, 2], [3, 0]]",
        ),
        (
            "{{ [1, 2, 3, 4, 5] | slice(3) | list }} {{ [1, 2, 3, 4] | slice(3, 0) | list }}",
            "[[1, 2], [3, 4], [5]] [[1, 2], [3, 0], [4, 0]]",
        ),
        (
            "{% for key, all in [{'k': 'b'}, {'k': 'A'}, {'k': 'B'}] | groupby('k') %}{{ key }}{{ all | length }} {% endfor %}",
            "A1 b2 ",
        ),
        (
            "{{ {'b': 1, 'A': 2} | dictsort }} {{ {'b': 1, 'A': 2} | dictsort(by='value') }}",
            "[('A', 2), ('b', 1)] [('b', 1), ('A', 2)]",
        ),
        (
            "{{ ['b', 'A', 'c'] | sort }} {{ [3, 1] | sort(reverse=true) }} {{ ['a', 'A', 'b'] | unique | join }}",
            "['A', 'b', 'c'] [3, 1] ab",
        ),
        (
            "{{ [{'a': {'b': 1}}, {}] | map(attribute='a.b', default=0) | sum }} {{ ['a', 'b'] | map('upper') | join('+') }}",
            "1 A+B",
        ),
        (
            "{{ [1, 2, 3] | select('odd') | list }} {{ [1, 0] | select | list }} {{ [1, 2, 3] | reject('in', [2]) | list }}",
            "[1, 3] [1] [1, 3]",
        ),
        ("{{ [{'n': 1}, {'n': 2}] | selectattr('n', 'gt', 1) | map(attribute='n') | first }}", "2"),
        ("{{ 'a\nb\n\nc' | indent(2) }}|{{ 'a\nb' | indent('> ', first=true) }}", "a\n  b\n\n  c|> a\n> b"),
        (
            "{{ 'one two three' | truncate(9) }} {{ 'one two three four' | truncate(9, true, '', 0) }}",
            "one two three one two t",
        ),
        (
            "{{ 'one two three' | wordwrap(7) }} {{ 'a-b it\\'s' | title }} {{ 'a b' | wordcount }}",
            "one two\nthree A-B It's 2",
        ),
        ("{{ '<a href=\"x\">1 &amp; 2</a>\n <!-- <b> -->3' | striptags }} {{ '<&>' | e }}", "1 & 2 3 &lt;&amp;&gt;"),
        (
            "{{ 'a b/ü' | urlencode }} {{ {'q': 'a b'} | urlencode }} {{ 2.567 | round(1) }} {{ 2.1 | round(0, 'ceil') }}",
            "a%20b/%C3%BC q=a%20b 2.6 3.0",
        ),
        (
            "{{ 1 | filesizeformat }} {{ 999 | filesizeformat }} {{ 13000 | filesizeformat }} {{ 4096 | filesizeformat(true) }}",
            "1 Byte 999 Bytes 13.0 kB 4.0 KiB",
        ),
        (
            "{{ '12' | int + 1 }} {{ 'x' | int(7) }} {{ 'ff' | int(base=16) }} {{ '1.5' | float }} {{ [] | int }}",
            "13 7 255 1.5 0",
        ),
        ("{{ missing | default('none') }} {{ '' | d('empty', true) }} {{ missing is defined }}", None),
        ("{{ '%s: %05.1f%%' % ('x', 2.25) }} {{ '%(a)s' % {'a': 1} }} {{ 7 % 4 }}", "x: 002.2% 1 3"),
        ("{{ prompt[:7] }} {{ prompt[::-1][:5] }} {{ [1, 2, 3][1:] }} {{ (1, 2)[-1] }}", "weather siraP [2, 3] 2"),
        (
            "{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' in 'abc' }} {{ 2 not in [1] }} {{ 'a' ~ 1 ~ none }}",
            "True True True True a1None",
        ),
        ("{{ {'a': {'b': [1]}}.a.b[0] }} {{ {'x': 1}.get('y', 2) }} {{ {'x': 1}.items() | list }}", "1 2 [('x', 1)]"),
        (
            "{{ 'a,b'.split(',') }} {{ 'ab'.replace('a', 'c') }} {{ 'x'.center(3, '-') }} {{ '-'.join('ab') }}",
            "['a', 'b'] cb -x- a-b",
        ),
        (
            "{{ now.strftime('%Y') }} {{ now.date().isoformat() | length }} {{ (now - now).total_seconds() }}",
            "2026 10 0.0",
        ),
        ("{% set n = namespace(x=1) %}{% for i in [1, 2] %}{% set n.x = n.x + i %}{% endfor %}{{ n.x }}", "4"),
        (
            "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }} {% set j = joiner('+') %}{{ j() }}1{{ j() }}2",
            "aba 1+2",
        ),
        ("{% for i in 'ab' %}{{ loop.index }}{{ i }}{{ loop.cycle('-', '') }}{% else %}none{% endfor %}", "1a-2b"),
        ("{% for i in [1, [2, [3]]] recursive %}{{ i if i is number else loop(i) }}{% endfor %}", "123"),
        (
            "{% macro m(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ caller() if caller }}{% endmacro %}{% call m(1) %}!{% endcall %}",
            "12()!",
        ),
        (
            "{% filter upper %}a{{ 'b' }}{% endfilter %}{% set x %}c{% endset %}{{ x | length }}{% with y = 3 %}{{ y }}{% endwith %}",
            "AB13",
        ),
        (
            "{{ dict(a=1) | tojson }} {{ {'a': [1]} | tojson(indent=1) }} {{ range(3) | list }}",
            '{"a": 1} {\n "a": [\n  1\n ]\n} [0, 1, 2]',
        ),
    ],
)
def test_filters_and_methods_do_what_those_of_jinja_do(template: str, text: str | None, engine: Any, ask: Any) -> None:
    if text is None:
        template, text = template.replace("missing", "request.missing"), "none empty False"
    assert ask(served(engine, template), "weather in Paris").text == text


def test_the_templates_of_a_reply_share_what_they_may_do(engine: Any, ask: Any) -> None:
    half = "x" * (MAX_OUTPUT // 2)
    assert ask(served(engine, "{{ prompt }}" + half), "weather", max_tokens=64_000).status == 200

    entry = ask(served(engine, half, half + "{{ prompt }}"), "weather", max_tokens=64_000)
    assert (entry.status, f"more than {MAX_OUTPUT:,} characters" in entry.text) == (500, True)
    turns = "{% for i in range(9000) %}{% endfor %}"
    assert ask(served(engine, turns), "weather").status == 200
    entry = ask(served(engine, turns, turns, turns), "weather")
    assert "it takes more than 20,000 steps" in entry.text


def test_a_filter_that_there_is_none_of_is_told_with_the_one_that_was_meant() -> None:
    text = "name: t\nreply:\n  template: |\n    Hello\n    {{ prompt | uper }}\n    {{ [1] | map('lowr') }} {{ 1 is evn }}\n"
    with pytest.raises(ScenarioError) as caught:
        loads(text, "a.yaml")

    told = [
        (one.position and one.position.line, *one.text.split(" Expected one of ")[0].split("; "))
        for one in caught.value.problems
    ]
    assert told == [
        (5, "no filter named 'uper'", "did you mean 'upper'?"),
        (6, "no test named 'evn'", "did you mean 'even'?"),
        (6, "no filter named 'lowr'", "did you mean 'lower'?"),
    ]


# -- whatever is put together ---------------------------------------------------------------------------------------

TEXTS = ("prompt", "'x' * 999", "'a b' * 99", "prompt ~ prompt", "request | string", "fake.text(500)", "model")
LISTS = ("range(500)", "[1, 2, 3]", "prompt.split()", "['x'] * 900", "request.messages", "n.l", "prompt | list")
FILTERED = (
    "upper",
    "list",
    "sort",
    "join('--')",
    "batch(3)",
    "map('upper')",
    "length",
    "reverse",
    "tojson(2)",
    "unique",
    "replace('a', 'bcd')",
    "indent(9)",
    "center(900)",
    "string",
    "sum",
    "slice(7)",
    "wordwrap(3)",
    "title",
    "first",
)
VALUES = st.recursive(
    st.sampled_from((*TEXTS, *LISTS, "7", "n.t", "9 ** 99", "i")),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(FILTERED)).map(lambda two: f"({two[0]}) | {two[1]}"),
        st.tuples(inner, st.sampled_from(("+", "*", "~", "**", "%", "in", "==", "<", "//")), inner).map(
            lambda three: f"({three[0]}) {three[1]} ({three[2]})"
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda several: f"[{', '.join(several)}]"),
        inner.map(lambda one: f"m({one})"),
        inner.map(lambda one: f"({one})[::2]"),
    ),
    max_leaves=6,
)
STATEMENTS = st.recursive(
    VALUES.map(lambda value: f"{{{{ {value} }}}}"),
    lambda inner: st.one_of(
        st.tuples(VALUES, inner).map(lambda two: f"{{% for i in {two[0]} %}}{two[1]}{{% endfor %}}"),
        st.tuples(VALUES, inner).map(lambda two: f"{{% if {two[0]} %}}{two[1]}{{% endif %}}"),
        st.tuples(VALUES, inner).map(lambda two: f"{{% set n.t = {two[0]} %}}{two[1]}"),
        st.tuples(VALUES, inner).map(lambda two: f"{{% set n.l = [n.l, {two[0]}, n.l] %}}{two[1]}"),
        inner.map(lambda body: f"{{% for i in range(60) %}}{{% set n.l = [n.l, n.l] %}}{body}{{% endfor %}}"),
        inner.map(lambda body: f"{{% set n.t %}}{body}{{% endset %}}"),
        inner.map(lambda body: f"{{% filter upper %}}{body}{{% endfilter %}}"),
        inner.map(lambda body: f"{{% call m(1) %}}{body}{{% endcall %}}"),
        st.tuples(inner, inner).map("".join),
    ),
    max_leaves=6,
)
START = (
    "{% set n = namespace(l=[1], t='x') %}{% set i = 1 %}{% macro m(x) %}{{ x }}{{ m(x) if x is string }}{% endmacro %}"
)


@settings(max_examples=150, deadline=None)
@given(STATEMENTS)
def test_no_template_takes_long_or_makes_much(engine: Any, ask: Any, body: str) -> None:
    attacked = served(engine, START + body)
    before = time.thread_time()
    entry = ask(attacked, "weather in Paris", max_tokens=100)
    spent = time.thread_time() - before

    assert entry.status in (200, 500)
    assert entry.status == 200 or entry.text.startswith("mock-server: scenario 't' turn 1: template ")
    assert len(entry.text) <= MAX_OUTPUT
    assert spent < 1.0, body  # ten times what the counts come to
    assert ask(attacked, "weather in Paris", max_tokens=100).text == entry.text


def test_every_limit_says_what_it_is_of() -> None:
    assert all(value > 0 and about for value, about in LIMITS.values())

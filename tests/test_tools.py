"""The commands for authors, as a person sees them: check, preview, explain, list, new, import, schema."""

import json
from pathlib import Path
from typing import Any

import pytest
from rawclient import call

from mock_server import cli
from mock_server.commands.shared import Paint
from mock_server.scenario.load import load

WEATHER = """\
name: weather
when: {prompt: {regex: 'weather in (?P<city>\\w+)'}, tools: [get_weather]}
turns:
  - reply: [{type: tool_use, name: get_weather, input: {city: {template: '{{ captures.city }}'}}}]
  - cases:
      - when: {tool_result: {is_error: true}}
        reply: Sorry.
      - reply: Sunny.
"""


class Run:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> Run:
        code = cli.main(words)
        said = capsys.readouterr()
        return Run(code, said.out, said.err)

    return command


def write(name: str, text: Any) -> None:
    Path(name).write_text(text if isinstance(text, str) else json.dumps(text))


def body(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": prompt}], **more}


# -- check ----------------------------------------------------------------------------------------------------------


def test_check_finds_nothing(run: Any) -> None:
    write("a.yaml", WEATHER)

    done = run("check", "a.yaml")

    assert (done.code, done.out, done.err) == (0, "1 scenario, no mistakes\n", "")


BAD = """\
name: a
wen: {prompt: x}
reply: {template: "{{ promt }}"}
---
name: b
when: {prompt: {regex: "("}}
turns:
  - cases:
      - when: {prompt: x}
        reply: 1st
      - when: {prompt: x, stream: true}
        reply: 2nd
"""


def test_check_lists_every_mistake_with_its_place(run: Any) -> None:
    write("bad.yaml", BAD)

    done = run("check", "bad.yaml")

    assert done.code == 2
    assert [line.split(";")[0] for line in done.err.splitlines()] == [
        "bad.yaml:2:1: unknown key 'wen' in scenario",
        "bad.yaml:3:19: unknown name 'promt' in a template",
        "bad.yaml:6:24: not a regular expression: missing ), unterminated subpattern at position 0",
    ]


def test_check_finds_cases_that_are_never_reached_and_replies_that_fail(run: Any) -> None:
    write("b.yaml", BAD.split("---\n")[1].replace('"("', '"x"'))
    write("c.yaml", "name: c\nreply: {template: \"{{ tool_result('x') }}\"}")

    done = run("check", "b.yaml", "c.yaml")

    assert done.code == 2
    assert done.err == (
        "b.yaml:7:9: this case can never be reached: case 1 holds whenever it does\n"
        "c.yaml:2:1: scenario 'c' turn 1: there is no result of 'x' in the request; called were none (c.yaml:2)\n"
    )


def test_check_tells_machines(run: Any) -> None:
    write("bad.yaml", "name: a\nreply: x\n100%: y")

    assert run("check", "--format", "github", "bad.yaml").out.startswith(
        "::error file=bad.yaml,line=3,col=1::unknown key '100%25' in scenario"
    )
    told = json.loads(run("check", "--format", "json", "bad.yaml").out)
    assert [(one["file"], one["line"], one["column"]) for one in told["mistakes"]] == [("bad.yaml", 3, 1)]


# -- preview --------------------------------------------------------------------------------------------------------


def test_preview_shows_every_exchange_of_a_script(run: Any) -> None:
    write("a.yaml", WEATHER.replace("turns:", "timing: {first: 100ms, gap: 10ms, chunk: all}\nturns:"))

    done = run("preview", "a.yaml", "--seed", "1")

    lines = [line.rstrip() for line in done.out.splitlines()]
    assert done.code == 0
    assert lines[0] == "weather  turn 1 of 2  200"
    assert "  tools: get_weather" in lines[1]
    assert lines[2].startswith("      100 ms  message_start        msg_01")
    assert [line.split()[2] for line in lines[2:9]] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
    ]
    assert "weather  turn 2 of 2  200" in lines
    assert any(line.endswith('0 text_delta "Sunny."') for line in lines)
    assert "\033" not in done.out


def test_preview_answers_a_request_of_yours(run: Any) -> None:
    write("a.yaml", WEATHER)
    write("r.json", body("weather in Rome", tools=[{"name": "get_weather", "input_schema": {"type": "object"}}]))

    (call,) = json.loads(run("preview", "a.yaml", "--request", "r.json", "--json").out)["content"]

    assert call["input"] == {"city": "Rome"}


def test_preview_and_explain_tell_of_a_reply_that_contradicts_the_request(run: Any) -> None:
    write("a.yaml", "name: a\nreply: {type: tool_use, name: get_weather, input: {}}")
    write("r.json", body("weather in Rome"))
    told = "calls 'get_weather', which the request does not offer (it has none)"

    assert f"  contradicts: scenario 'a' turn 1 {told}\n" in run("preview", "a.yaml", "--request", "r.json").out
    assert f"  contradicts it: {told}\n" in run("explain", "r.json", "a.yaml").out
    assert "contradicts" not in run("preview", "a.yaml").out  # its request is made up for it


def test_preview_of_an_unknown_name_suggests(run: Any) -> None:
    done = run("preview", "helo")

    assert done.code == 2
    assert done.err == "mock-server: no scenario 'helo'; did you mean 'hello'?\n"


# -- explain --------------------------------------------------------------------------------------------------------


def test_explain_says_which_and_why(run: Any) -> None:
    write("a.yaml", WEATHER)
    write("r.json", body("The weather in Rome", tools=[{"name": "get_weather", "input_schema": {"type": "object"}}]))

    done = run("explain", "r.json", "a.yaml")

    assert done.code == 0
    assert done.out == (
        "weather: turn 1 of 2, attempt 1  (a.yaml:1)\n"
        "  holds    prompt: regex 'weather in (?P<city>\\\\w+)'\n"
        "  holds    tools: 'get_weather'\n"
        "  captures city = 'Rome'\n"
    )


def test_explain_says_what_came_near(run: Any) -> None:
    write("a.yaml", WEATHER + "---\nname: other\nwhen: {prompt: umbrella, stream: true}\nreply: x\n")
    write("r.json", {"headers": {"x-a": "b"}, "body": body("The weather in Rome")})

    done = run("explain", "r.json", "a.yaml")

    assert done.code == 1
    assert done.out == (
        "No scenario matches this request (2 asked).\n"
        "  weather, 50% near\n"
        "    tools: wanted 'get_weather', got no tools\n"
        "  other, 6% near\n"
        "    prompt: wanted contains 'umbrella', got 'The weather in Rome'\n"
        "    stream: wanted true, got false\n"
    )


def test_explain_says_what_the_api_would_refuse(run: Any) -> None:
    write("a.yaml", "name: a\nreply: x")
    write("r.json", body("hi", max_tokens=-1))

    done = run("explain", "r.json", "a.yaml")

    assert done.out.startswith("The API refuses this request: 400 invalid_request_error: max_tokens")
    assert "a: turn 1 of 1, attempt 1" in done.out


def test_explain_of_a_request_to_another_endpoint(run: Any) -> None:
    write("a.yaml", "name: a\nwhen: {endpoint: count_tokens}\nerror: 529")
    write("r.json", {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "Hi"}]})

    assert run("explain", "r.json", "a.yaml", "--endpoint", "count_tokens").out == (
        "a: turn 1 of 1, attempt 1  (a.yaml:1)\n  holds    endpoint: count_tokens\n"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "r.json:1:2: not JSON"), ("[]", "expected a JSON object"), (None, "r.json: cannot be read: No such file")],
)
def test_explain_of_what_is_no_request(text: str | None, told: str, run: Any) -> None:
    if text is not None:
        write("r.json", text)

    done = run("explain", "r.json")

    assert done.code == 2
    assert told in done.err


def test_a_template_that_does_too_much_is_told_by_every_command(run: Any) -> None:
    macro = "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(25) }}"
    write("a.yaml", f"name: r\nreply: {{template: '{macro}'}}")
    write("e.yaml", f"name: e\nerror: {{type: api_error, message: {{template: '{macro}'}}}}")
    write("r.json", body("hi"))
    told = "it takes more than 20,000 steps"

    assert run("check", "a.yaml").err.startswith("a.yaml:2:1: scenario 'r' turn 1: template '{% macro m(n) %}")
    for command in (("check", "a.yaml"), ("preview", "a.yaml"), ("explain", "r.json", "a.yaml")):
        done = run(*command)
        assert f"{told} (a.yaml:2)" in done.out + done.err
    assert f"  fails    scenario 'e' turn 1: template '{macro[:16]}" in run("explain", "r.json", "e.yaml").out


# -- list, new, schema, import --------------------------------------------------------------------------------------


def test_list_is_a_table(run: Any) -> None:
    write("a.yaml", WEATHER + "---\nname: b\ndescription: For all.\ntags: [x]\nreply: hi\n")

    assert run("list", "a.yaml").out == (
        "name     when                                                turns  description\n"
        "weather  prompt: regex 'weather in (?P<city>\\\\w+)', tools:…  2\n"
        "b        anything                                            1      For all.\n"
    )
    assert [one["name"] for one in json.loads(run("list", "a.yaml", "--tag", "x", "--json").out)] == ["b"]


def test_new_writes_a_file_that_checks_and_previews(run: Any) -> None:
    assert run("new", "my-agent").out.startswith("scenarios/my-agent.yaml\n")

    assert Path("scenarios/my-agent.yaml").read_text().startswith("# yaml-language-server: $schema=schema.json\n")
    assert json.loads(Path("scenarios/schema.json").read_text()) == json.loads(run("schema").out)
    assert run("check", "scenarios").code == 0
    assert run("preview", "scenarios/my-agent.yaml").out.count("200\n") == 2
    assert run("new", "my-agent").err == "mock-server: scenarios/my-agent.yaml is there already\n"
    assert run("new", "../x").code == 2


TRANSCRIPT = [
    {"role": "user", "content": "What is the weather in Paris?"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "A tool.", "signature": "abc"},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "21"}]},
    {"role": "assistant", "content": "It is 21 degrees.\nNice."},
]


def test_a_transcript_becomes_a_scenario(run: Any) -> None:
    write("paris.json", TRANSCRIPT)

    done = run("import", "paris.json")

    assert done.out == (
        "name: paris\n"
        "description: 'Imported: 2 turns.'\n"
        "when: {prompt: 'What is the weather in Paris?', tools: get_weather}\n"
        "turns:\n"
        "- reply:\n"
        "  - {type: thinking, thinking: A tool.}\n"
        "  - Let me look.\n"
        "  - type: tool_use\n"
        "    name: get_weather\n"
        "    input: {city: Paris}\n"
        "- reply: |-\n"
        "    It is 21 degrees.\n"
        "    Nice.\n"
    )
    assert run("import", "paris.json", "-o", "out.yaml").code == 0
    assert run("check", "out.yaml").code == 0


def test_an_entry_of_the_page_becomes_one_too(run: Any) -> None:
    entry = {
        "request": {"headers": {}, "body": {"messages": TRANSCRIPT[:1]}},
        "reply": {
            "body": {"role": "assistant", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "max_tokens"}
        },
    }
    write("entry.json", entry)

    assert run("import", "entry.json", "--name", "x y").out.splitlines()[0] == "name: x-y"
    assert "stop_reason: max_tokens" in run("import", "entry.json").out


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([], "expected a list of messages"),
        ([{"role": "user", "content": "x"}], "a transcript needs a user's message and an assistant's after it"),
        ([{"role": "robot", "content": "x"}], "message 1: expected an object with role user or assistant"),
        ([{"role": "user", "content": 3}], "message 1: expected content"),
        (
            [*TRANSCRIPT[:1], {"role": "assistant", "content": [{"type": "x"}]}],
            "a block of type 'x' cannot stand in a reply",
        ),
        ("{", "not JSON"),
    ],
)
def test_what_is_no_transcript(said: Any, told: str, run: Any) -> None:
    write("t.json", said)

    done = run("import", "t.json")

    assert done.code == 2
    assert told in done.err


# -- the same as over a socket --------------------------------------------------------------------------------------


def test_a_preview_is_what_a_socket_delivers_byte_for_byte() -> None:
    from mock_server import MockServer
    from mock_server.commands.shared import engine_of
    from mock_server.engine.preview import KEY, preview
    from mock_server.scenario.load import library
    from mock_server.settings import Settings

    changed: dict[str, Any] = {"seed": 3, "time_scale": 0.0, "validation": "off"}
    scenarios = [one for one in load([library()]) if not any(leaf.faults for turn in one.turns for leaf in turn.leaves)]
    engine = engine_of(Settings(**changed), scenarios)
    with MockServer(library(), unmatched="error", **changed) as server:
        for scenario in scenarios:
            server.reset()
            for one in preview(engine, engine.in_force, scenario):
                headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "x-mock-scenario": scenario.name}
                reply = call(server, "POST", "/v1/messages", one.request, **headers)
                assert (scenario.name, one.turn, reply.status) == (scenario.name, one.turn, one.plan.status)
                assert reply.body == one.plan.body(), (scenario.name, one.turn)


class Terminal:
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_and_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal: Any = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Paint(terminal)("red", "x") == "\033[31mx\033[0m"
    for name, value in (("TERM", "dumb"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
        assert Paint(terminal)("red", "x") == "x"

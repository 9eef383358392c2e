"""The JSON Schema for editors: it takes what the loader takes, and refuses what the loader refuses, for the same reason."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mock_server.protocol.profile import Limits
from mock_server.scenario.answer import Answer, Container, Failure, StopDetails
from mock_server.scenario.faults import FAULTS, KEYS
from mock_server.scenario.faults.place import After
from mock_server.scenario.load import documents, library, loads
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import Problems, ScenarioError
from mock_server.scenario.reply import Generate, GeneratedReply
from mock_server.scenario.schema import explained, schema
from mock_server.scenario.subjects import CASE_SUBJECTS, JOINED
from mock_server.scenario.timing import Replay, Timing

ROOT = Path(__file__).parent.parent.parent
WRITTEN = [
    *sorted(library().glob("*.yaml")),
    *sorted((ROOT / "tests/compat/scenarios").glob("*.yaml")),
    ROOT / "examples/chaos.yaml",
    *sorted((ROOT / "examples").glob("**/scenarios/*.yaml")),
]
VALIDATOR = Draft202012Validator(schema())


def complaints(text: str) -> list[str]:
    """What the schema says of a text: the way to the place, and the message; of choices, of every branch."""

    def told(error: Any) -> list[str]:
        inner = [line for one in error.context or () for line in told(one)]
        return [f"{error.json_path}: {error.message}", *inner]

    problems = Problems("x")
    plain = [node.plain() for node in documents(text, problems)]
    return [line for one in plain for error in VALIDATOR.iter_errors(one) for line in told(error)]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.stem)
def test_what_is_written_is_valid(file: Path) -> None:
    if "compose" not in file.name:
        assert complaints(file.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "name: a\nreply: hi",
        "name: a\nreply: [hi, {template: '{{ prompt }}'}, {type: text, generate: {tokens: 2..3}}]",
        "name: a\ngenerate: {thinking: true, tools: matching, tokens: 3}",
        "name: a\nreply: [{type: tool_use, name: x, input: generated}]",
        "name: a\nreply: [{type: tool_use, name: x, input: {generate: edge}}]",
        "name: a\nreply: [{type: tool_use, name: x, input_json: '{'}]",
        "name: a\nerror: 529",
        "name: a\nerror: {type: api_error, message: {template: x}}",
        "name: a\nwhen: named\nturns: [hi, [hi, ho], {type: text, text: hi}, {error: 500}, {attempts: [hi, {error: 529}]}]",
        "name: a\nturns: [{cases: [{when: {turn: 1, attempt: {gte: 2}}, reply: x}, {chance: 20%, reply: y}, z]}]",
        "name: a\nwhen: {any: [{prompt: x}, {not: {stream: true}}], body: {a.b: [1, null]}, has: image}\nreply: x",
        "name: a\nwhen: {tool_result: {of: x, for: {a: 1}, content: {regex: y, ignore_case: true}}}\nreply: x",
        "name: a\ntiming: {first: 400ms, rate: 80/s, jitter: 20%, chunk: 3}\nrate_limits: {requests: 2}\ntags: [x]\nreply: x",
        "name: a\ntiming: {first: {p50: 1s, p99: 2s}, per_input_token: 1ms, gap: {uniform: [0, 1ms]}, ping: 5s}\nreply: x",
        "name: a\ntiming: {first: {normal: {mean: 1s, sd: 0}}, gap: {gamma: {mean: 1s, shape: 2}}}\nreply: x",
        "name: a\ntiming: {pauses: {server_tool: 1s, text: {p50: 1s, p90: 2s}}, chunk: {bytes: 7}, burst: 1..3}\nreply: x",
        "name: a\ntiming: {chunk: word, burst: {normal: {mean: 2, sd: 1}}, replay: [1ms]}\nreply: x",
        "name: a\ntiming: {replay: {events: [0, 0, 0, 1s, 1s, 1s, 1s]}}\nreply: x",
        "defaults: {priority: 2, when: {stream: true}}\n---\nname: a\nreply: x",
        "name: a\nreply: x\nexpect: {system: y}\nusage: {input_tokens: 3}\nheaders: {x-a: b}",
        "states: {a: [b, c], d: {values: [e, f], initial: f}}\n---\nname: a\nwhen: {state: {a: [b, c], d: e}}\nreply: x",
        "states: {a: [b, c]}\ndefaults: {priority: 1}\n---\nname: a\nreply: x\nthen: {state: {a: c}}",
        "name: a\nstates: {a: [b, c]}\nwhen: {not: {state: {a: b}}}\nattempts: [{error: 529, then: {state: {a: c}}}, x]",
        "name: a\nwhen: {all: [{endpoint: [models, batches.results]}, {header: {x: y}}]}\nerror: 500",
        "name: a\nbetween: [0, 25s]\nwhen: {endpoint: files.upload}\nfault: reset",
        "name: a\nreply: x\nstop_details: {category: cyber}",
        "name: a\nreply: x\ncontainer: {id: c, skills: [{type: custom}]}\nmodel: m\nmax_tokens: 3",
        "name: a\nreply: x\ncontext_management: {applied_edits: []}\ninput_transformations: []\ndiagnostics: {}",
    ],
)
def test_every_way_to_write_is_valid(text: str) -> None:
    loads(text)

    assert complaints(text) == []


# what is wrong, and the word that both name as the reason
BAD = [
    ("nmae: a\nreply: x", "nmae"),
    ("reply: x", "name"),
    ("name: a\nrepyl: x", "repyl"),
    ("name: 3\nreply: x", "name"),
    ("name: a\nwhen: {promt: x}\nreply: x", "promt"),
    ("name: a\nwhen: {prompt: {contain: x}}\nreply: x", "contain"),
    ("name: a\nwhen: {turn: 2}\nreply: x", "turn"),
    ("name: a\nwhen: {stream: 1}\nreply: x", "stream"),
    ("name: a\nwhen: {body: {a: {gt: x}}}\nreply: x", "gt"),
    ("name: a\nwhen: {has: pictures}\nreply: x", "pictures"),
    ("name: a\nwhen: {tool_result: {fro: x}}\nreply: x", "fro"),
    ("name: a\nwhen: {}\nreply: x", "when"),
    ("name: a\ntiming: quick\nreply: x", "quick"),
    ("name: a\ntiming: {frist: 1s}\nreply: x", "frist"),
    ("name: a\ntiming: {first: 1}\nreply: x", "first"),
    ("name: a\ntiming: {first: {p50: 1s, p96: 2s}}\nreply: x", "p96"),
    ("name: a\ntiming: {first: {p50: 1s}}\nreply: x", "p50"),
    ("name: a\ntiming: {first: {uniform: [1s]}}\nreply: x", "first"),
    ("name: a\ntiming: {gap: {normal: {mean: 1s, std: 2s}}}\nreply: x", "std"),
    ("name: a\ntiming: {gap: {gamma: {mean: 1s, shape: x}}}\nreply: x", "gap"),
    ("name: a\ntiming: {pauses: {serve_tool: 1s}}\nreply: x", "serve_tool"),
    ("name: a\ntiming: {chunk: {byte: 7}}\nreply: x", "byte"),
    ("name: a\ntiming: {burst: many}\nreply: x", "burst"),
    ("name: a\ntiming: {replay: {event: [1ms]}}\nreply: x", "event"),
    ("name: a\npriority: high\nreply: x", "priority"),
    ("name: a\nat_end: stop\nreply: x", "stop"),
    ("name: a\nreply: [{type: txt, text: x}]", "txt"),
    ("name: a\nreply: [{type: text, txet: x}]", "txet"),
    ("name: a\nreply: [{type: tool_use, name: x, inptu: {}}]", "inptu"),
    ("name: a\nreply: [{type: tool_use, input: {}}]", "name"),
    ("name: a\nreply: [{type: text, generate: {style: poem}}]", "poem"),
    ("name: a\nreply: [{type: text, generate: {thinking: true}}]", "thinking"),
    ("name: a\ngenerate: {thinking: often}", "often"),
    ("name: a\ngenerate: {tools: all}", "all"),
    ("name: a\nreply: 3", "3"),
    ("name: a\nerror: overloded", "overloded"),
    ("name: a\nerror: {type: api_error, mesage: x}", "mesage"),
    ("name: a\nturns: [{reply: x, tming: fast}]", "tming"),
    ("name: a\nturns: [{cases: [{wehn: {}, reply: x}]}]", "wehn"),
    ("name: a\nreply: x\nstop_reason: done", "done"),
    ("name: a\nreply: x\nstop_details: {category: rude}", "rude"),
    ("name: a\nreply: x\ncontainer: {id: 3}", "id: 3"),
    ("name: a\nreply: x\ncontainer: {ends: now}", "ends"),
    ("name: a\nreply: x\ntags: red", "tags"),
    ("name: a\nrate_limits: {request: 2}\nreply: x", "request"),
    ("defaults: {replies: x}\n---\nname: a\nreply: x", "replies"),
    ("states: {a: up}\n---\nname: a\nreply: x", "up"),
    ("states: {a: {vaules: [b, c]}}\n---\nname: a\nreply: x", "vaules"),
    ("name: a\nreply: x\nthen: {sate: {a: b}}", "sate"),
    ("name: a\nstates: {a: [b, c]}\nwhen: {state: {a: 3}}\nreply: x", "3"),
    ("name: a\nwhen: {endpoint: count_token}\nerror: 500", "count_token"),
    ("name: a\nwhen: {any: [{endpoint: models}]}\nerror: 500", "endpoint"),
    ("name: a\nbetween: [soon, 5s]\nfault: reset", "soon"),
]


@pytest.mark.parametrize(("text", "word"), BAD, ids=[row[0].replace("\n", " ")[:60] for row in BAD])
def test_a_mistake_is_refused_for_the_same_reason(text: str, word: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(text, "bad.yaml")

    line = word if word in str(caught.value) else f":{1 + text[: text.index(word)].count(chr(10))}:"
    assert line in str(caught.value)
    assert any(word in told for told in complaints(text))


@pytest.mark.parametrize(
    "cls",
    [Scenario, Answer, Failure, Timing, Replay, StopDetails, Container, Generate, GeneratedReply, Limits, After],
)
def test_every_key_is_explained_below_its_field(cls: Any) -> None:
    written = [
        field.name
        for field in dataclasses.fields(cls)
        if not field.metadata.get("hidden") and not field.metadata.get("unlisted")
    ]

    assert list(explained(cls)) == written


def test_a_key_means_the_same_in_every_fault_that_has_it() -> None:
    assert {field.name for cls in FAULTS.values() for field in dataclasses.fields(cls)} == set(KEYS)


def test_the_help_of_a_word_of_when_stands_in_its_row() -> None:
    known = schema()["$defs"]["case_conditions"]["properties"]
    told = {name: one.about for name, one in CASE_SUBJECTS.items()} | dict(JOINED)
    assert {name: one["description"] for name, one in known.items()} == told
    assert all(text.endswith((".", "…")) for text in told.values())

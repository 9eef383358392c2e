"""Scenario files that a careless hand or a machine has been at: mistakes with their places, or replies that are JSON."""

import logging
import random
import re
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.commands.shared import engine_of
from mock_server.engine.engine import Engine
from mock_server.engine.preview import preview
from mock_server.protocol.request import strict_json
from mock_server.scenario.load import library, loads
from mock_server.scenario.node import Problem, ScenarioError
from mock_server.settings import Settings

FILES = [file.read_text() for file in sorted(library().rglob("*.yaml")) if "long" not in file.name]
ODD = [
    *"""!!int abc|!!float abc|!!bool x|!!null x|!!str|!|! 5|!foo bar|!!binary aGk=|!!set {a}|!!omap [a: b]|!!python/name:os.system a\n1e999|-1e999|1e308|1e-400|.nan|.inf|0|-1|-0.0|99999999999999999999|1_000|0x1f|true|null|[]|{}|\"\"|{1: 2, null: 3}|{a: 1, a: 2}\n*a|&a x|&a [*a]|<<: *a|? [a]|'{{ prompt }}'|{template: '{{ 1/0 }}'}|{template: '{{'}|{regex: '('}|{type: text}|generated\n0ms|100%|5000h|one..two|1..0|\"\\0\"|\"\\ud800\"|%YAML 1.1|---|...|@|`|#|- - -|{generate: edge}|�|\x07|\ufeff|\u2028|\x85|\t|é|٣""".replace(
        "\n", "|"
    ).split("|"),
    "9" * 4400,
    "x" * 3000,
    "[" * 60 + "]" * 60,
    "{a: " * 120 + "1" + "}" * 120,
    "\n",
    " ",
]
KEYS = sorted({key for text in FILES for key in re.findall(r"([a-z_]+):", text)})


def spoilt(text: str, chance: random.Random) -> str:
    """The text with a few values, keys and lines that are not what they should be."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        how = chance.random()
        found = list(re.finditer(r"(?<=[:-] )[^\n]+" if how < 0.5 else r"[a-z_]+(?=:)", text))
        if how < 0.7 and found:
            at = chance.choice(found).span()
            text = text[: at[0]] + chance.choice(ODD if how < 0.5 else KEYS + ODD) + text[at[1] :]
        elif how < 0.85:
            place = chance.randrange(len(text) + 1)
            text = text[:place] + chance.choice(ODD) + text[place:]
        else:
            lines = text.split("\n")
            line = chance.randrange(len(lines))
            lines[line] = " " * chance.randrange(6) + lines[line].strip()
            text = "\n".join(lines)
    return text


class Faults(logging.Handler):
    """What the engine calls a fault of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(str(record.exc_info[1]))


@pytest.fixture(scope="module")
def faults() -> Iterator[Faults]:
    heard = Faults()
    logging.getLogger("mock_server").addHandler(heard)
    yield heard
    logging.getLogger("mock_server").removeHandler(heard)


@pytest.fixture(scope="module")
def judge() -> Engine:
    return engine_of(Settings(time_scale=0.0, seed=1), ())


def mistakes(text: str, judge: Engine) -> Sequence[Problem]:
    """What is wrong with a file. One that loads is played, and what it sends must be JSON."""
    try:
        scenarios = loads(text, "odd.yaml")
    except ScenarioError as error:
        return error.problems
    for scenario in scenarios:
        for shown in preview(judge, judge.in_force, scenario, stream=False):
            if shown.plan.intact is None:
                strict_json(shown.plan.body().decode())
    return ()


@settings(max_examples=250, deadline=None)
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_a_spoilt_file_is_told_of_or_gives_json(judge: Engine, faults: Faults, seed: int) -> None:
    chance = random.Random(seed)
    found = mistakes(spoilt(chance.choice(FILES), chance), judge)
    assert all(str(one).startswith("odd.yaml:") and len(str(one)) < 2_100 for one in found)
    assert len(found) <= 101
    assert faults.found == []

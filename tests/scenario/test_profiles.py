"""Profile files: what the built-in ones offer, how a user's own builds on them, and how mistakes are told."""

import json
from pathlib import Path
from typing import Any

import pytest

from mock_server.engine.engine import Engine
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.profiles import built_in, load_profile
from mock_server.settings import Settings


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str, name: str = "mine.yaml") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def mistakes(path: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load_profile(path)
    return [str(problem).rpartition("/")[2] for problem in caught.value.problems]


def test_octen_offers_the_newer_list_and_the_older_when_asked() -> None:
    newer, older = load_profile("octen"), load_profile("octen", "2026-06")
    assert (len(newer.models), len(older.models)) == (28, 15)
    assert {model.id for model in older.models} < {model.id for model in newer.models}
    assert [older.model("claude-opus-5"), older.model("openai/gpt-6-astra")] == [None, None]
    assert older.models[0].id == "anthropic/claude-opus-4.8"


def test_native_ids_mean_the_gateways_models() -> None:
    octen = load_profile("octen")
    for native, id in (
        ("claude-opus-4-8", "anthropic/claude-opus-4.8"),
        ("claude-haiku-4-5-20251001", "anthropic/claude-haiku-4.5"),
        ("claude-fable-5", "anthropic/claude-fable-5"),
    ):
        found = octen.model(native)
        assert found is not None
        assert found.id == id
    assert [octen.model(name) for name in ("anthropic/claude-opus-4-8", "gpt-5.5", "claude-opus-4.8")] == [None] * 3


def test_a_model_is_like_another_but_for_its_names() -> None:
    anthropic = load_profile("anthropic")
    one, other = anthropic.model("claude-fable-5"), anthropic.model("claude-mythos-5")
    assert one is not None
    assert other is not None
    assert (other.thinking, other.efforts, other.sampling) == (one.thinking, one.efforts, one.sampling)
    assert (other.line, other.display_name) == ("mythos", "Claude Mythos 5")


def test_a_file_adds_a_model_to_a_profile(write: Any) -> None:
    path = write("extends: octen\nmodels:\n  - {id: acme/large, like: claude-opus-4-8, max_output: 9}\n")
    mine, octen = load_profile(path), load_profile("octen")
    assert mine.name == "mine"
    assert [model.id for model in mine.models] == [*(model.id for model in octen.models), "acme/large"]
    added = mine.model("acme/large")
    assert added is not None
    assert (added.max_output, added.context_window, added.prefill) == (9, 1_000_000, False)
    assert mine.error_messages == octen.error_messages


def test_a_file_can_extend_a_file_and_change_what_it_says(write: Any) -> None:
    write("extends: anthropic\nunknown_parameters: ignore\n", "base.yaml")
    mine = load_profile(write("extends: base.yaml\nname: top\nversion_required: false\n"))
    assert (mine.name, mine.is_strict, mine.version_required, mine.threads) == ("top", False, False, True)


def test_a_profile_of_ones_own(write: Any) -> None:
    mine = load_profile(write("name: tiny\nmodels: [{id: m, context_window: 50}]\n"))
    engine = Engine(Settings(time_scale=0), mine)
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "word " * 60}]}
    plan = engine.handle(HttpRequest("POST", "/v1/messages", {"x-api-key": "k"}, json.dumps(body).encode())).plan
    assert json.loads(plan.body())["error"]["message"] == "prompt is too long: 68 tokens > 50 maximum"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("name: a\nmodles: []\n", ["mine.yaml:2:1: unknown key 'modles' in profile; did you mean 'models'? Expected one of *"]),
        ("extends: octan\n", ["mine.yaml:1:10: extends: no profile 'octan'; did you mean 'octen'? Expected one of octen, anthropic or a .yaml file"]),
        ("extends: mine.yaml\n", ["mine.yaml:1:10: extends: this file extends itself"]),
        ("extends: octen\nmodels:\n  - {id: x, like: claude-opus-48}\n",
         ["mine.yaml:3:19: like: claude-opus-48: unknown model; did you mean 'claude-opus-4-8'?"]),
        ("extends: octen\nmodels:\n  - {id: x, like: x}\n", ["mine.yaml:3:19: like: x: is like itself"]),
        ("extends: octen\nmodels:\n  - {id: x, max_outputs: 3}\n", ["mine.yaml:3:13: unknown key 'max_outputs' in model; did you mean 'max_output'? Expected one of *"]),
        ("extends: octen\nmodels:\n  - {id: x, thinking: [deep]}\n", ["mine.yaml:3:24: unknown value 'deep'; expected one of adaptive, between_tools, disabled, enabled"]),
        ("extends: octen\nmodels:\n  - {id: x, context_window: 0}\n", ["mine.yaml:3:13: context_window is 1 or more, got 0"]),
        ("extends: octen\nmodels:\n  - {id: x}\n  - {id: x}\n", ["*two models answer to 'x'"]),
        ("extends: octen\nrefused_since: {samplin: x}\n", ["mine.yaml:2:17: unknown shape 'samplin'; expected one of sampling, *"]),
        ("extends: octen\nerror_messages: {oops: x}\n", ["mine.yaml:2:18: unknown error type 'oops'; expected one of *"]),
        ("extends: octen\nlimits: {requests: 0}\n", ["mine.yaml:2:10: requests is 1 or more, got 0"]),
        ("extends: octen\ncatalogue: x\n", ["mine.yaml:2:1: no catalogue 'x'"]),
        ("a\n", ["mine.yaml:1:1: a profile file holds one mapping"]),
    ],
)  # fmt: skip
def test_a_wrong_profile_is_reported_like_a_wrong_scenario(write: Any, text: str, lines: list[str]) -> None:
    from fnmatch import fnmatchcase

    found = mistakes(write(text))
    assert len(found) == len(lines)
    for one, line in zip(found, lines, strict=True):
        assert fnmatchcase(one, line.replace("[", "[[]") + ("" if line.endswith("*") else "*")), one


def test_an_unknown_catalogue_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="no catalogue '2025' in profile octen; it has 2026-06, 2026-10"):
        load_profile("octen", "2025")
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_profile(str(tmp_path / "none.yaml"))


def test_the_default_comes_first() -> None:
    assert built_in() == ("octen", "anthropic")


def test_a_built_in_profile_is_read_once_for_all_servers_and_a_file_each_time(write: Any) -> None:
    assert load_profile("octen") is load_profile("octen")
    assert load_profile("anthropic") is not load_profile("octen")
    path = write("extends: octen\nmodels: [{id: first, like: claude-opus-4-8}]")
    assert load_profile(path).model("first") is not None
    write("extends: octen\nmodels: [{id: second, like: claude-opus-4-8}]")
    assert load_profile(path).model("second") is not None
    assert load_profile("octen").model("second") is None

"""The whole text of `check` for mistakes that people make, one file each: what is told stands beside it as `.txt`.

Each mistake has a line of its own that names it and what to write instead; the first line of each is enough by itself.
`MISTAKES_UPDATE=1 python -m pytest tests/scenario/test_mistakes.py` writes the texts anew: read every line of the change.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from mock_server.commands import check
from mock_server.protocol.errors import nearest
from mock_server.scenario import load
from mock_server.scenario.advice import meant, syntax
from mock_server.settings import Settings

FOLDER = Path(__file__).with_name("mistakes")
FILES = sorted(FOLDER.glob("*.yaml"))
# the files that load: what is told of them are notes
FINE = {"anchors", "catch-all-for-some"}
NOTED = {
    *("attempts-never-reached", "calls-nobody-asks-for", "catch-all-first", "catch-all-of-four", "curly-quotes"),
    *("model-that-is-none", "template-without-its-key", "the-same-when-twice"),
}


def checked(file: str, format: str = "text", *, strict: bool = False) -> int:
    return check.run_check(argparse.Namespace(format=format, strict=strict), Settings(paths=(file,)))


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_told_of_a_mistake(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = checked(file.name)
    told = "".join(capsys.readouterr()[::-1])
    snapshot = file.with_suffix(".txt")
    if os.environ.get("MISTAKES_UPDATE"):
        snapshot.write_text(told, "utf-8")
    assert told == snapshot.read_text("utf-8")
    assert code == (0 if file.stem in FINE | NOTED else 2)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_notes_fail_only_where_that_is_wanted(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(file.name, strict=True) == (0 if file.stem in FINE else 2)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_message_is_at_most_six_lines(file: Path) -> None:
    told = file.with_suffix(".txt").read_text("utf-8").splitlines()
    assert all(line.startswith(file.name) or line[:1].isdecimal() for line in told), "a line that names no file"
    assert file.stem in FINE or len([line for line in told if line.startswith(file.name)]) >= 1


@pytest.mark.usefixtures("_here")
def test_notes_as_json_and_as_annotations(capsys: pytest.CaptureFixture[str]) -> None:
    assert checked("catch-all-first.yaml", "json") == 0
    told = yaml.safe_load(capsys.readouterr().out)
    text = "'all' answers every request, so 'never' (line 4) is never asked; put 'all' last"
    note = {"file": "catch-all-first.yaml", "line": 1, "column": 1, "message": text}
    assert told == {"scenarios": 2, "mistakes": [], "notes": [note]}
    assert checked("catch-all-first.yaml", "github") == 0
    assert f"::notice file=catch-all-first.yaml,line=1,col=1::{text}\n" in capsys.readouterr().out


# -- files of other programs ------------------------------------------------------------------------------------------

OTHERS = {
    "a Compose file": "services: {web: {image: x}}",
    "a workflow of GitHub": "name: a\non: [push]\njobs: {test: {steps: []}}",
    "an action of GitHub": "name: a\ndescription: b\nruns: {using: composite, steps: []}",
    "a manifest of Kubernetes": "apiVersion: v1\nkind: Secret\n---\napiVersion: v1\nkind: ConfigMap",
    "a pipeline of GitLab": "unit:\n  script: [pytest]",
    "an OpenAPI document": "openapi: 3.1.0\ninfo: {title: x}\ntags: []",
}


@pytest.mark.parametrize(("kind", "text"), OTHERS.items(), ids=OTHERS)
def test_a_file_of_another_program_is_passed_over_in_a_folder_and_a_mistake_by_name(
    kind: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(text)
    (tmp_path / "own.yaml").write_text("name: own\nreply: Hi")

    assert checked(str(tmp_path)) == 0
    assert capsys.readouterr() == (
        "1 scenario, no mistakes, 1 note\n",
        f"{other}:1:1: note: this is {kind}, not a scenario; passed over\n",
    )
    assert checked(str(tmp_path), strict=True) == 2
    capsys.readouterr()
    assert checked(str(other)) == 2
    assert capsys.readouterr().err == f"{other}:1:1: this is {kind}, not a scenario\n"


@pytest.mark.parametrize(
    "text",
    [
        "services: {web: {image: x}}\nrepli: Hi\nwhen: {prompt: hi}",
        "name: a\nservices: {web: {image: x}}\ntiming: {frist: 1s}",
        "nam: own\nrepley: Hi",
        "services: {web: {image: x}}\n---\nname: a\nreplies: Hi",
        "services: {web: {image: x}}\n---\n]",
    ],
)
def test_a_broken_scenario_is_a_mistake_wherever_it_stands(text: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(text)
    (tmp_path / "own.yaml").write_text("name: own\nreply: Hi")
    assert checked(str(tmp_path)) == 2


def test_a_folder_of_nothing_but_other_files_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "compose.yaml").write_text(OTHERS["a Compose file"])
    assert checked(str(tmp_path)) == 2
    assert f"{tmp_path}: no scenario files here: all are of other programs\n" in capsys.readouterr().err


def test_a_server_says_what_it_passes_over_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "compose.yaml").write_text(OTHERS["a Compose file"])
    (tmp_path / "own.yaml").write_text("name: own\nreply: Hi")
    loader = load.Loader()
    assert [[one.name for one in loader.load([tmp_path])] for _ in range(2)] == [["own"], ["own"]]
    assert caplog.messages == [f"{tmp_path / 'compose.yaml'}:1:1: this is a Compose file, not a scenario; passed over"]


NAMED = """
name: NAME
when: named
turns:
  - attempts:
      - "{{ prompt }}"
      - reply: {type: tool_use, name: look, input: {}}
"""


def test_nothing_is_noted_of_scenarios_that_only_answer_by_name() -> None:
    scenarios = load.loads("---".join(NAMED.replace("NAME", name) for name in "ab"))
    assert list(check.notes(scenarios, Settings())) == []


def test_nothing_is_noted_of_the_library() -> None:
    assert list(check.notes(load.load([load.library()]), Settings())) == []


CALL = "{type: tool_use, name: look, input: {}}"
MEANT = [
    f"contradicts: true\nreply: {CALL}",
    f"contradicts: true\nturns: [{CALL}, Done.]",
    f"turns:\n  - Look!\n  - {{reply: [{CALL}], contradicts: true}}",
    f"cases:\n  - {{when: {{system: x}}, contradicts: true, reply: {CALL}}}\n  - reply: No.",
    f"attempts:\n  - error: 529\n  - {{reply: {CALL}, contradicts: true}}",
]


@pytest.mark.parametrize("text", MEANT, ids=["scenario", "its turns", "turn", "case", "attempt"])
def test_nothing_is_noted_of_a_call_that_is_meant_to_contradict(text: str) -> None:
    def noted(text: str) -> list[str]:
        scenarios = load.loads(f"name: a\nwhen: {{prompt: hi}}\n{text}")
        return [note.text.partition(" and ")[0] for note in check.notes(scenarios, Settings())]

    assert noted(text) == []
    assert noted(text.replace("contradicts: true", "contradicts: false")) == ["look is called"]


def test_the_same_call_elsewhere_is_noted_where_it_is_not_meant() -> None:
    (scenario,) = load.loads(
        f"name: a\nwhen: {{prompt: hi}}\nturns:\n  - {{reply: {CALL}, contradicts: true}}\n  - {CALL}"
    )
    (note,) = check.notes([scenario], Settings())
    assert note.position is not None
    assert (note.position.line, note.text.startswith("look is called")) == (5, True)


def test_any_model_fits_where_any_is_accepted() -> None:
    scenarios = load.loads("name: a\nwhen: {model: llama-3}\nreply: x")
    assert len(list(check.notes(scenarios, Settings()))) == 1
    assert list(check.notes(scenarios, Settings(any_model=True))) == []


BROKEN = sorted(
    file
    for file in FILES
    if ": not YAML: " in file.with_suffix(".txt").read_text("utf-8") and file.stem != "control-character"
)


@pytest.mark.parametrize("file", BROKEN, ids=lambda file: file.stem)
@pytest.mark.parametrize("name", ["SafeLoader", "CSafeLoader"])
def test_both_loaders_of_yaml_are_told_in_the_same_words(file: Path, name: str) -> None:
    loader: Any = getattr(yaml, name, None)
    if loader is None:
        pytest.skip("this PyYAML was built without libyaml")
    text = file.read_text("utf-8")
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        list(yaml.compose_all(text, Loader=loader))
    place, told = syntax(caught.value, text)
    assert place is not None
    assert f"{file.name}:{place.line}:{place.column}: {told}\n" == file.with_suffix(".txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("written", "known", "wanted"),
    [
        ("response", ["reply", "error"], "reply"),
        ("match", ["batch", "when"], "when"),
        ("content", ["container", "reply"], "reply"),
        ("Reply", ["reply"], "reply"),
        ("retry-after", ["retry_after"], "retry_after"),
        ("user", ["prompt", "system"], "prompt"),
        ("user", ["when", "reply"], "when"),
        ("zzz", ["when", "reply"], None),
        ("x" * 300, ["x" * 299], None),
    ],
)
def test_the_word_that_was_meant(written: str, known: list[str], wanted: str | None) -> None:
    assert meant(written, known) == wanted


def test_of_ten_thousand_names_the_one_that_was_meant_is_found_and_few_are_compared(
    compared: list[int],
) -> None:
    names = [
        f"{team}-{what}-{at}"
        for team in ("billing", "search", "agents")
        for what in ("ok", "slow")
        for at in range(1_700)
    ]
    assert meant("greting", [*names, "greeting"]) == "greeting"
    assert meant("search-slwo-1699", names) == "search-slow-1699"
    assert nearest("search-slwo-1699", names, 2) == ["search-slow-1699", "search-slow-699"]
    assert meant("greting", names[:100]) is None  # of a hundred all are
    assert compared == [714, 312, 312, 100]

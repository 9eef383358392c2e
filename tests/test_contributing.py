"""The recipes of docs/contributing.md: followed to the letter in a copy of the repository, and the tests that watch run there."""

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mock_server.engine.preview import _MEETS
from mock_server.protocol.blocks import BLOCKS
from mock_server.scenario.subjects import CASE_SUBJECTS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "contributing.md").read_text()
STEP = re.compile(
    r"^In (?P<new>a new file )?`(?P<file>[^`]+)`(?:, (?P<how>into|above|below) `(?P<what>[^`]+)`|, at the end)?:\n\n"
    r"```\w+\n(?P<text>.*?)```$",
    re.MULTILINE | re.DOTALL,
)
LEFT_OUT = (
    ".git",
    ".venv",
    ".compat",
    "node_modules",
    "dist",
    "build",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
)
# what a preview leaves to chance, since it depends on what came before, or can ask for anything
NOT_MADE_UP = {"tool_result", "schema", "state", "turn", "attempt"}


class Step(NamedTuple):
    """One step of a recipe: a file, where in it (`into`, `above` or `below` what; else its end), and what to write."""

    file: str
    how: str
    what: str
    text: str

    def follow(self, root: Path) -> None:
        file = root / self.file
        if self.how == "new":
            assert not file.exists(), f"{self.file} is there already"
            file.write_text(self.text)
            return
        lines = file.read_text().splitlines(keepends=True)
        at = self._line(lines)
        file.write_text("".join([*lines[:at], self._written(lines[at - 1]), *lines[at:]]))

    def _written(self, before: str) -> str:
        """The text as it stands in its file: what goes above a thing, or below all others, has two lines of its own."""
        if self.how == "above":
            return f"{self.text}\n\n"
        if not self.how:
            return f"\n\n{self.text}" if self.file.endswith(".py") else self.text
        indented = before[: len(before) - len(before.lstrip())] if self.how == "below" else "    "
        return textwrap.indent(self.text, indented)

    def _line(self, lines: list[str]) -> int:
        """The line that the text is written before."""
        if not self.how:
            return len(lines)
        if self.how == "below":
            return [line.strip() for line in lines].index(self.what) + 1
        (node,) = (node for node in ast.parse("".join(lines)).body if self.what in names(node))
        if self.how == "above":
            first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
            while first > 1 and lines[first - 2].startswith("#"):  # what is said of it stays with it
                first -= 1
            return first - 1
        if isinstance(node, ast.ClassDef):
            return max(one.end_lineno or 0 for one in node.body if isinstance(one, ast.AnnAssign))
        assert (lines[(node.end_lineno or 0) - 1]).strip() in ("}", "]", ")"), f"{self.what} is no table"
        return (node.end_lineno or 0) - 1


def names(node: ast.stmt) -> set[str]:
    """What a statement at the top of a module names."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {one.id for one in targets if isinstance(one, ast.Name)}


def recipes() -> dict[str, list[Step]]:
    """The steps of every recipe, by its heading."""
    found = {}
    for section in PAGE.partition("## Recipes")[2].split("\n### ")[1:]:
        heading, _, body = section.partition("\n")
        steps = [
            Step(one["file"], "new" if one["new"] else one["how"] or "", one["what"] or "", one["text"])
            for one in STEP.finditer(body)
        ]
        assert len(steps) == len(re.findall(r"^```\w", body, re.MULTILINE)), f"{heading}: a step that is not understood"
        if steps:
            found[heading] = steps
    return found


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the repository in which every recipe was followed."""
    copy = tmp_path_factory.mktemp("recipes") / "repository"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT, "images"), symlinks=True)
    for steps in recipes().values():
        for step in steps:
            step.follow(copy)
    assert run(copy, "docs/generate.py").startswith("wrote ")
    yield copy
    shutil.rmtree(copy.parent)


def run(root: Path, *words: str) -> str:
    """What Python prints in the copy. The package it finds is the copy's."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_there_is_a_recipe_for_each_thing_that_is_added_often() -> None:
    assert list(recipes()) == [
        "An operator of `when`",
        "A subject of `when`",
        "A fault",
        "A block",
        "A rule",
        "An endpoint",
        "A setting",
        "A command",
        "A key of `timing`",
        "A control route",
    ]


@pytest.mark.timeout(300)
def test_the_code_of_the_recipes_is_in_form(followed: Path) -> None:
    run(followed, "-m", "ruff", "check", "-q", "mock_server", "tests", "docs")
    run(followed, "-m", "ruff", "format", "-q", "--check", "mock_server", "tests", "docs")


# tests that show what was added, or that watch over what must not be forgotten
WATCHING = (
    *("scenario/test_subjects.py", "scenario/test_language.py", "engine/test_note.py", "engine/test_greeting.py"),
    *("engine/test_pace.py", "server/test_greeting_route.py"),
    *("protocol/test_validate.py", "protocol/test_plain.py", "engine/test_routing.py", "faults/test_table.py"),
    *("test_architecture.py", "test_settings.py", "test_builders.py", "test_sources.py", "test_fidelity.py"),
    "test_typing.py",
    *("test_docs.py::test_the_generated_parts_are_up_to_date", "faults/test_socket.py", "faults/test_python_sdk.py"),
    "test_docs.py::test_the_endpoints_page_names_every_endpoint",
)
# what is of no account here and takes long: fuzz, the collection of all tests, and the faults that were there before
NOT_HERE = "pyright or no_body_raises or is_collected or ((test_socket or test_python_sdk) and not no_model)"


@pytest.mark.timeout(300)
def test_what_watches_is_content(followed: Path) -> None:
    tests = [f"tests/{name}" for name in WATCHING]
    told = run(followed, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-k", f"not ({NOT_HERE})", *tests)
    assert re.search(r"\d+ passed", told), told
    assert "skipped" not in told


SCENARIO = """
name: ours
when: {user: {starts: al}}
reply: [Hi, {type: note, remark: later}]
fault: no_model
"""


def test_a_scenario_with_all_of_it_is_checked_shown_and_explained(followed: Path, tmp_path: Path) -> None:
    """What authors see of new words: the reasons of mistakes, a preview, the editors' schema, the docs."""
    file = tmp_path / "ours.yaml"
    file.write_text(SCENARIO)
    assert "1 scenario" in run(followed, "-m", "mock_server", "check", str(file))
    shown = run(followed, "-m", "mock_server", "preview", "ours", str(file))
    assert "1 note" in shown
    assert "no_model" in shown
    told = run(followed, "-m", "mock_server", "schema")
    assert all(text in told for text in ("how the text begins", "The user that the request names.", '"remark"'))
    assert "`starts`" in (followed / "docs" / "scenarios.md").read_text()
    assert "`--greeting`" in (followed / "docs" / "cli.md").read_text()
    assert "There are at most 16 stop sequences." in (followed / "docs" / "rules.md").read_text()


def test_a_mistake_beside_a_new_word_is_told_with_its_place(followed: Path) -> None:
    code = (
        "from mock_server.scenario.load import loads\n"
        "from mock_server.scenario.node import ScenarioError\n"
        "try: loads('name: a\\nwhen: {user: {stars: x}}\\nreply: y', 'a.yaml')\n"
        "except ScenarioError as error: print(error)"
    )
    assert "a.yaml:2:15: unknown key 'stars' in the condition; " in (told := run(followed, "-c", code))
    assert "did you mean 'starts'?" in told


def test_the_new_command_runs(followed: Path) -> None:
    assert run(followed, "-m", "mock_server", "greet", "--greeting", "Good day", "Ada") == "Good day, Ada!\n"


def test_a_preview_makes_up_a_request_for_every_subject_that_it_can() -> None:
    assert set(_MEETS) | NOT_MADE_UP == set(CASE_SUBJECTS)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_page_about_scenarios_names_every_block(block: str) -> None:
    assert f"`{block}`" in (ROOT / "docs" / "scenarios.md").read_text()

"""Sources lead somewhere: each rule and section that is named stands in docs/rules.md and docs/protocol.md."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_docs import sections

from mock_server.fidelity import RULES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PACKAGE = ROOT / "mock_server"
READ = [
    path
    for folder, kinds in (
        ("mock_server", ".py .yaml"),
        ("tests", ".py"),
        ("docs", ".py .md"),
        ("bench", ".py"),
        (".ci", ".py"),
    )
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in kinds.split() and path != Path(__file__)
]
CODE = "\n".join(path.read_text() for path in READ if PACKAGE in path.parents)
WRITTEN: dict[int, dict[str, Any]] = yaml.safe_load((DOCS / "rules.yaml").read_text())
_RULES = re.compile(r"\b[Rr]ules? (\d+(?:(?:,| to| and|,? or)? \d+)*)")
_SECTIONS = re.compile(r"docs/protocol\.md ((?:[A-H]\.\d+|0)(?:(?:,| and) [A-H]\.\d+)*)")
ANCHORS = {int(number) for number in re.findall(r'<a id="rule-(\d+)"></a>', (DOCS / "rules.md").read_text())}
HEADINGS = set(re.findall(r"(?m)^#+ ([A-H]\.\d+|0)\b", (DOCS / "protocol.md").read_text()))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def told(path: Path) -> str:
    """The text of a file; of a page without its examples, and the files that a recipe makes."""
    text = path.read_text()
    return re.sub(r"```.*?```|In a new file `[^`]+`", "", text, flags=re.DOTALL) if path.suffix == ".md" else text


def numbers(text: str) -> Iterator[int]:
    for mention in _RULES.findall(text):
        yield from map(int, re.findall(r"\d+", mention))


def test_what_counts_as_a_mention() -> None:
    assert [*numbers("Rules 22, 23. rule 84; rules 50 to 54, 62, 86 to 98 and 108")] == [
        22,
        23,
        84,
        50,
        54,
        62,
        86,
        98,
        108,
    ]
    assert _SECTIONS.findall("Shapes: docs/protocol.md C.2 and D.4, and more; docs/protocol.md 0") == [
        "C.2 and D.4",
        "0",
    ]


def test_every_rule_has_its_place_and_its_sentence() -> None:
    assert ANCHORS == {rule.number for rule in RULES} == set(WRITTEN)
    assert all(row["rule"][0] in string.ascii_uppercase + "`" and row["rule"].endswith(".") for row in WRITTEN.values())


@pytest.mark.parametrize("path", READ, ids=name)
def test_every_source_that_is_named_is_there(path: Path) -> None:
    text = told(path)
    assert set(numbers(text)) <= ANCHORS
    named = {one for mention in _SECTIONS.findall(text) for one in re.findall(r"[A-H]\.\d+|\b0\b", mention)}
    assert named <= HEADINGS
    assert not re.search(r"(?i)\b(protocol|validation) notes\b", text), "whose notes? docs/protocol.md has them"
    for page, section in re.findall(r"docs/([\w-]+\.md)(?:#([\w-]+))?", text):
        assert (DOCS / page).exists(), page
        assert not section or section in sections(DOCS / page), f"{page}#{section}"


@pytest.mark.parametrize("path", [path for path in READ if path.suffix == ".py"], ids=name)
def test_a_docstring_says_the_rule_and_not_its_number_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            said = ast.get_docstring(node) or ""
            bare = re.fullmatch(r"(?:[Rr]ules?|docs/\S+)[\s\d,.A-H]*(?:(?:to|and|or)[\s\d,.A-H]*)*", said)
            assert not bare, f"{said!r} is a number; what is the rule?"


@pytest.mark.parametrize("number", [number for number, row in WRITTEN.items() if "says" in row])
def test_words_that_are_written_down_are_the_codes(number: int) -> None:
    """Where no row of tests breaks a rule, its words stand in docs/rules.yaml; they are looked for in the code."""
    plain = re.sub(r'"\s*\n\s*f?"', "", CODE)  # a text over several lines is one
    for piece in re.split(r"<[^>]*>", WRITTEN[number]["says"]):
        assert piece.strip() in plain, piece


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=name)
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    for path in re.findall(r"`(mock_server/[\w./-]+|tests/[\w./-]+|bench/[\w./-]+)`", told(page)):
        assert (ROOT / path).exists(), path


def test_the_diagrams_of_the_house_name_what_is_there() -> None:
    named = re.findall(r"mock_server/[\w/.-]*\w/?", (DOCS / "how-it-works.md").read_text())
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).exists()] == []

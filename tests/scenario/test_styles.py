"""Made-up texts of a kind: their length, their form, and that they repeat."""

import ast
import json

import pytest

from mock_server.protocol import tokens
from mock_server.scenario.generated.content import Generator
from mock_server.scenario.generated.words import STYLES

LOCALES = ("en_US", "de_DE", "fr_FR", "ja_JP", "ru_RU")


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator()


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("wanted", [1, 2, 7, 40, 150, 2_000])
def test_a_text_keeps_to_its_length(style: str, locale: str, wanted: int, generator: Generator) -> None:
    for seed in (b"a", b"b", b"c"):
        text = generator.styled(seed, wanted, style, locale)

        length = tokens.count(text)
        assert 1 <= length <= wanted
        assert length >= min(wanted * 0.85, wanted - 30) or wanted < 40


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("wanted", [1, 9, 60, 400])
def test_json_and_code_are_whole_at_any_length(locale: str, wanted: int, generator: Generator) -> None:
    json.loads(generator.styled(b"x", wanted, "json", locale))
    ast.parse(generator.styled(b"x", wanted, "code", locale))


def test_a_list_has_items_and_markdown_closes_its_fences(generator: Generator) -> None:
    assert all(line.startswith("- ") for line in generator.styled(b"x", 100, "list", "en_US").splitlines())
    markdown = generator.styled(b"x", 3_000, "markdown", "de_DE")
    assert markdown.count("```") % 2 == 0
    assert "## " in markdown


def test_the_same_seed_gives_the_same_text(generator: Generator) -> None:
    texts = [maker.styled(b"s", 80, "markdown", "fr_FR") for maker in (generator, Generator(), generator)]

    assert len(set(texts)) == 1
    assert generator.styled(b"t", 80, "markdown", "fr_FR") != texts[0]

"""`mock-server docs`: the pages of the documentation, which come with the package."""

import argparse
import re
from pathlib import Path

from mock_server.commands import Mistake
from mock_server.commands.shared import table
from mock_server.scenario.load import PACKAGE
from mock_server.scenario.node import one_of
from mock_server.settings import Settings


def run(given: argparse.Namespace, settings: Settings) -> int:
    """Print a page of the documentation (Markdown); without a name, which pages there are."""
    pages = {page.stem: page for page in sorted(folder().glob("*.md"))}
    if given.page is None:
        print("\n".join([*table([(name, title(page)) for name, page in pages.items()]), "", "mock-server docs PAGE"]))
        return 0
    name = given.page.removeprefix("docs/").partition("#")[0].removesuffix(".md")
    if name not in pages:
        raise Mistake(f"no page '{name}'{one_of(name, list(pages))}")
    print(pages[name].read_text(encoding="utf-8"), end="")
    return 0


def folder() -> Path:
    """Where the pages are: inside an installed package, or beside it in a checkout."""
    inside = PACKAGE / "docs"
    return inside if inside.is_dir() else PACKAGE.parent / "docs"


def title(page: Path) -> str:
    """What a page is about."""
    found = re.search(r"(?m)^# (.+)", page.read_text(encoding="utf-8"))
    return found[1] if found else page.stem


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("page", nargs="?", metavar="PAGE", help="the page; none: list them")

"""What a wheel and an sdist hold: everything that the installed package needs, and nothing else."""

import email
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from mock_server.version import VERSION

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(page.name for page in (ROOT / "docs").glob("*.md"))
LIBRARY = sorted(file.name for file in (ROOT / "scenarios").iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return folder


def build(tree: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def wheel(folder: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(folder / f"messages_mock_server-{VERSION}-py3-none-any.whl")


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files, as an installation has them."""
    folder = tmp_path_factory.mktemp("installed")
    with wheel(built) as archive:
        archive.extractall(folder)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_the_wheel_holds_the_package_the_library_and_the_pages_and_nothing_else(installed: Path) -> None:
    source = [name for name in names(ROOT / "mock_server") if "__pycache__" not in name]
    expected = [*source, *(f"scenarios/{name}" for name in LIBRARY), *(f"docs/{name}" for name in PAGES)]
    assert names(installed / "mock_server") == sorted(expected)
    assert sorted(path.name for path in installed.iterdir()) == [
        f"messages_mock_server-{VERSION}.dist-info",
        "mock_server",
    ]
    assert "py.typed" in expected  # type checkers of users look for it


@pytest.fixture(scope="module")
def metadata(installed: Path) -> Message:
    return email.message_from_string((installed / f"messages_mock_server-{VERSION}.dist-info/METADATA").read_text())


def test_the_metadata(metadata: Message, installed: Path) -> None:
    assert (metadata["Name"], metadata["Version"]) == ("messages-mock-server", VERSION)
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).startswith("# messages-mock-server")
    assert {"fast", "tls"} <= set(metadata.get_all("Provides-Extra", []))
    assert metadata.get_all("Project-URL") is None  # there is no address of it yet
    info = installed / f"messages_mock_server-{VERSION}.dist-info"
    assert "mock-server = mock_server.__main__:run" in (info / "entry_points.txt").read_text()
    assert "[pytest11]\nmock_server = mock_server.pytest_plugin" in (info / "entry_points.txt").read_text()
    assert (info / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def command(installed: Path, *words: str) -> str:
    """What the installed command prints, with nothing of the checkout in reach."""
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); from mock_server.cli import main; sys.exit(main())"
    run = [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", "-c", code, *words]
    done = subprocess.run(run, cwd=installed.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_installed_has_its_schema_its_library_its_pages_and_the_version(installed: Path) -> None:
    assert command(installed, "--version") == f"mock-server {VERSION}\n"
    schema = json.loads(command(installed, "schema"))
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert re.fullmatch(r"\d+ scenarios, no mistakes\n", command(installed, "check"))
    assert [f"{line.split()[0]}.md" for line in command(installed, "docs").split("\n\n")[0].splitlines()] == PAGES
    for page in PAGES:
        assert command(installed, "docs", page) == (ROOT / "docs" / page).read_text()


def test_the_sdist_makes_the_same_wheel_and_brings_no_tests(built: Path, tmp_path: Path) -> None:
    with tarfile.open(built / f"messages_mock_server-{VERSION}.tar.gz") as archive:
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    tree = tmp_path / f"messages_mock_server-{VERSION}"
    assert {path.name for path in tree.iterdir()} == {
        *("mock_server", "scenarios", "docs", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"),
        *("PKG-INFO", ".gitignore"),
    }
    build(tree, tmp_path / "again")
    with wheel(built) as first, wheel(tmp_path / "again") as again:
        assert [(one.filename, one.CRC) for one in first.infolist()] == [
            (one.filename, one.CRC) for one in again.infolist()
        ]


def test_the_version_stands_in_one_place() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in text
    assert not re.search(r"(?m)^version\s*=", text)
    for name in ("README.md", "Dockerfile", "Makefile", "compose.yaml"):
        assert VERSION not in (ROOT / name).read_text(), name


def test_an_index_is_only_spoken_of_as_of_something_to_come() -> None:
    """`pip install messages-mock-server` names a package that is on no index."""
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")):
        for paragraph in page.read_text().split("\n\n"):
            if re.search(r"pip install ['\"]?messages-mock-server(?!.*@ git\+)", paragraph):
                assert re.search("(?i)once published", paragraph), f"{page.name}: {paragraph}"


def test_ci_tests_the_lowest_versions_that_are_allowed() -> None:
    declared = (ROOT / "pyproject.toml").read_text().partition("dependencies = [")[2].partition("\n]")[0]
    allowed = dict(re.findall(r'"([a-z0-9-]+)>=([0-9.]+)', declared))
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([0-9.]+)$", (ROOT / ".ci/lowest.txt").read_text(), re.MULTILINE))

    def version(text: str) -> list[int]:
        numbers = [int(one) for one in text.split(".")]
        return numbers + [0] * (4 - len(numbers))

    assert len(allowed) == 7
    assert {name: version(pinned[name]) for name in allowed} == {name: version(text) for name, text in allowed.items()}
    assert "-c .ci/lowest.txt" in (ROOT / ".ci/run").read_text()

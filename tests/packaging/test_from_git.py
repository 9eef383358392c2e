"""Installed from its git repository, as the README has it, by pip, uvx and pipx. Needs a package index."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mock_server.version import VERSION

ROOT = Path(__file__).parent.parent.parent
NO_INDEX = re.compile("(?i)name resolution|connection (refused|error|broken)|no matching distribution|failed to fetch")
pytestmark = pytest.mark.timeout(300)


def absent(what: str) -> None:
    """What is missing on a user's machine is no failure; where everything is to be tested it is one."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what} is not here")


def tool(name: str) -> str:
    """A command, from beside this Python or from the path."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if found is None:
        absent(name)
    return str(found)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a repository that holds what is committed here, and nothing beside it."""
    git = tool("git")
    if not (ROOT / ".git").exists():
        absent("the git repository (this is an unpacked archive)")
    bare = tmp_path_factory.mktemp("remote") / "messages-mock-server.git"
    run([git, "clone", "--quiet", "--bare", str(ROOT), str(bare)], bare.parent)
    return f"git+file://{bare}"


def run(command: list[str], folder: Path, more: Mapping[str, str] | None = None) -> str:
    ours = ("PYTHONPATH", "VIRTUAL_ENV", "MOCK_SERVER_")
    environment = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        command, cwd=folder, env={**environment, **(more or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode and not os.environ.get("CI") and NO_INDEX.search(done.stdout + done.stderr):
        pytest.skip("no package index can be reached from here")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(command: list[str], folder: Path, more: Mapping[str, str] | None = None) -> None:
    """The command is there with its version, its library and its pages."""
    assert run([*command, "--version"], folder, more) == f"mock-server {VERSION}\n"
    assert "no mistakes" in run([*command, "check"], folder, more)
    assert "scenarios" in run([*command, "docs"], folder, more)


def test_pip(repository: str, tmp_path: Path) -> None:
    run([sys.executable, "-m", "venv", "venv"], tmp_path)
    binaries = tmp_path / "venv" / "bin"
    run([str(binaries / "pip"), "install", "--quiet", repository], tmp_path)
    check([str(binaries / "mock-server")], tmp_path)


def test_uvx(repository: str, tmp_path: Path) -> None:
    more = {"UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never", "UV_CACHE_DIR": str(tmp_path / "cache")}
    check([tool("uvx"), "--from", repository, "mock-server"], tmp_path, more)


def test_pipx(repository: str, tmp_path: Path) -> None:
    more = {name: str(tmp_path / name.lower()) for name in ("PIPX_HOME", "PIPX_BIN_DIR", "PIPX_MAN_DIR")}
    run([tool("pipx"), "install", "--python", sys.executable, repository], tmp_path, more)
    check([str(tmp_path / "pipx_bin_dir" / "mock-server")], tmp_path)

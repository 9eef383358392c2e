"""Environments of their own under `.compat/`, made once and anew when what they hold should change."""

import hashlib
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".compat"
LIMIT = 300  # seconds that pip may take
IN_CI = os.environ.get("CI") == "true"


class CannotInstall(Exception):
    """An environment could not be made; the text is the reason in one line."""


def environment(name: str, *requirements: str) -> Path:
    """The Python of an environment with these requirements, made anew unless its stamp says that it is what would be
    made. Raises CannotInstall."""
    home = HOME / name
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, wanted = home / "stamp", _fingerprint(*requirements)
    if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
        try:
            venv.create(home, clear=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotInstall(f"no virtual environment: {error}") from None
        pip(python, "install", *requirements)
        stamp.write_text(wanted)
    return python


def _fingerprint(*requirements: str) -> str:
    own = [(ROOT / "pyproject.toml").read_text("utf-8")] if "-e" in requirements else []
    said = [*own, *requirements, sys.version, str(ROOT)]
    return hashlib.sha256("\0".join(said).encode()).hexdigest()


def pip(python: Path, *words: str) -> None:
    """Run pip. Raises CannotInstall with its own last error."""
    command = [str(python), "-m", "pip", words[0], "--quiet", "--disable-pip-version-check", *words[1:]]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"pip took more than {LIMIT} s") from None
    if run.returncode:
        errors = re.findall(r"^ERROR: (.+)$", run.stderr, re.MULTILINE)
        raise CannotInstall(errors[-1] if errors else f"pip ended with {run.returncode}")

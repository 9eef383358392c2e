"""Runs the Python SDK's suite with the older SDKs, each in an environment of its own under `.compat/`.

    python tests/compat/matrix.py [VERSION…]

An environment that cannot be made is skipped with the reason; where CI=true it is a failure, like a failing test.
"""

import hashlib
import os
import re
import subprocess
import sys
import time
import venv
from pathlib import Path

# The last release with each wire format but the newest, which the ordinary test run covers.
VERSIONS = ("1.17.0", "0.121.0")
ROOT = Path(__file__).resolve().parents[2]
SUITE = "tests/compat/test_anthropic_python.py"
# by version, what is run beside it: the table of faults has a column for the oldest
MORE = {"0.121.0": ("tests/faults/test_python_sdk.py",)}
PACKAGES = ("pytest>=8.2", "pytest-timeout>=2.3")
INSTALL_LIMIT, TEST_LIMIT = 300, 300
IN_CI = os.environ.get("CI") == "true"


class CannotInstall(Exception):
    """An environment could not be made; the text is the reason in one line."""


def main(versions: list[str]) -> int:
    """One line a version; 1 if any of them fails."""
    return 1 if [version for version in versions or VERSIONS if not passes(version)] else 0


def passes(version: str) -> bool:
    try:
        python = environment(version)
    except CannotInstall as reason:
        print(f"anthropic {version}: {'FAILED' if IN_CI else 'skipped'}: cannot install: {reason}", flush=True)
        return not IN_CI
    start = time.monotonic()
    failed, output = suite(python, SUITE, *MORE.get(version, ()))
    took = time.monotonic() - start
    if failed:
        print(output)
    print(f"anthropic {version}: {'FAILED' if failed else 'ok'}: {summary(output)}, {took:.0f} s", flush=True)
    return not failed


def environment(version: str) -> Path:
    """The Python of the environment of this SDK, made anew unless its stamp says that it is what would be made."""
    home = ROOT / ".compat" / f"anthropic-{version}"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, wanted = home / "stamp", fingerprint(version)
    if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
        try:
            venv.create(home, clear=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotInstall(f"no virtual environment: {error}") from None
        install(python, version)
        stamp.write_text(wanted)
    return python


def fingerprint(version: str) -> str:
    said = [(ROOT / "pyproject.toml").read_text("utf-8"), version, *PACKAGES, sys.version, str(ROOT)]
    return hashlib.sha256("\0".join(said).encode()).hexdigest()


def install(python: Path, version: str) -> None:
    """Raises CannotInstall with pip's own last error."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", "."]
    try:
        run = subprocess.run(
            [*command, *PACKAGES, f"anthropic=={version}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=INSTALL_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"pip took more than {INSTALL_LIMIT} s") from None
    if run.returncode:
        errors = re.findall(r"^ERROR: (.+)$", run.stderr, re.MULTILINE)
        raise CannotInstall(errors[-1] if errors else f"pip ended with {run.returncode}")


def suite(python: Path, *files: str) -> tuple[bool, str]:
    """Whether the suite failed, and what it printed. Fixtures of the other suites are left out: they need more."""
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--confcutdir", str(Path(SUITE).parent)]
    try:
        run = subprocess.run(
            [*command, *files], cwd=ROOT, capture_output=True, text=True, timeout=TEST_LIMIT, check=False
        )
    except subprocess.TimeoutExpired as late:
        return True, f"{_text(late.stdout)}\nnot done after {TEST_LIMIT} s"
    return run.returncode != 0, run.stdout + run.stderr


def _text(output: bytes | str | None) -> str:
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else output or ""


def summary(output: str) -> str:
    """Pytest's own last words: `341 passed`."""
    counted = re.findall(r"\d+ (?:passed|failed|errors?|skipped)\b", output.strip().rpartition("\n")[2])
    return ", ".join(counted) or "no test ran"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

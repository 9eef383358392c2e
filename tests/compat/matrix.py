"""Runs the Python SDK's suite with the older SDKs, each in an environment of its own under `.compat/`.

    python tests/compat/matrix.py [VERSION…]

An environment that cannot be made is skipped with the reason; where CI=true it is a failure, like a failing test.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

from environments import IN_CI, ROOT, CannotInstall, environment

# The last release with each wire format but the newest, which the ordinary test run covers.
VERSIONS = ("1.17.0", "0.121.0")
SUITES = tuple(
    f"tests/compat/test_{name}_python.py" for name in ("anthropic", "endpoints", "batches", "thinking", "types")
)
# by version, what is run beside them: the table of faults has a column for the oldest
MORE = {"0.121.0": ("tests/faults/test_python_sdk.py",)}
PACKAGES = ("pytest>=8.2", "pytest-timeout>=2.3")
TEST_LIMIT = 600


def main(versions: list[str]) -> int:
    """One line a version; 1 if any of them fails."""
    return 1 if [version for version in versions or VERSIONS if not passes(version)] else 0


def passes(version: str) -> bool:
    try:
        python = environment(f"anthropic-{version}", "-e", ".", *PACKAGES, f"anthropic=={version}")
    except CannotInstall as reason:
        print(f"anthropic {version}: {'FAILED' if IN_CI else 'skipped'}: cannot install: {reason}", flush=True)
        return not IN_CI
    start = time.monotonic()
    failed, output = suite(python, *SUITES, *MORE.get(version, ()))
    took = time.monotonic() - start
    if failed:
        print(output)
    print(f"anthropic {version}: {'FAILED' if failed else 'ok'}: {summary(output)}, {took:.0f} s", flush=True)
    return not failed


def suite(python: Path, *files: str) -> tuple[bool, str]:
    """Whether the suites failed, and what they printed. Fixtures of the other suites are left out: they need more."""
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--confcutdir", str(Path(SUITES[0]).parent)]
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

"""Installs a wheel beside the example project of a user, in a clean environment, and runs that project's tests."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "examples" / "downstream"
TESTS = 15
RUNS: tuple[tuple[str, list[str]], ...] = (
    ("in file order", ["-p", "no:randomly"]),
    ("in random order", []),
    ("on four processes", ["-n", "4"]),
)


def main(wheel: Path) -> int:
    """Exit 0 when every run passes all tests."""
    with tempfile.TemporaryDirectory() as folder:
        # a copy, so that nothing of the checkout is in reach but the wheel
        project = shutil.copytree(
            PROJECT, Path(folder, "downstream"), ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
        python = Path(folder, "venv", "bin", "python")
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
        install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", wheel.resolve(), f"{project}[test]"]
        subprocess.run(install, check=True)
        failed = max(run(python.parent / "pytest", project, name, options) for name, options in RUNS)
        return max(failed, elsewhere(python, project))


def elsewhere(python: Path, project: Path) -> int:
    """The same tests on a server of its own process, which is what a sidecar is to them."""
    command = [python.parent / "mock-server", "--port", "0", "--log-level", "error"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().removeprefix("mock-server listening on ").strip()
            return run(python.parent / "pytest", project, "on a server elsewhere", ["--mock-server-url", url])
        finally:
            server.terminate()


def run(pytest: Path, project: Path, name: str, options: list[str]) -> int:
    """Run the tests once and say in a line how that went; the whole output when it went wrong."""
    ours = ("PYTHONPATH", "PYTEST_", "ANTHROPIC_", "MOCK_SERVER_")  # would change what a user's run does
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    began = time.monotonic()
    done = subprocess.run(
        [pytest, "-q", *options], cwd=project, env=environment, capture_output=True, text=True, timeout=300
    )
    took = time.monotonic() - began
    summary = done.stdout.strip().rpartition("\n")[2]
    if done.returncode == 0 and re.fullmatch(rf"{TESTS} passed in \S+s", summary):
        print(f"downstream {name}: {TESTS} passed, {took:.1f} s with the start of pytest")
        return 0
    print(f"downstream {name}: expected '{TESTS} passed', exit {done.returncode} after {took:.1f} s\n{done.stdout}")
    print(done.stderr, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""Known holes in the lowest versions that are allowed, and in what is installed, as pip-audit finds them.

Says why where there is no pip-audit, or where the list of known holes cannot be reached. Exits with 1 for a known hole.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
AUDITS = {
    "the lowest versions": ("--requirement", str(ROOT / ".ci/lowest.txt"), "--no-deps", "--disable-pip"),
    "what is installed": ("--local", "--skip-editable"),
}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        python = str(Path(folder) / "bin/python")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        try:
            made = _run([python, "-m", "pip", "install", "--quiet", "pip-audit"])
        except subprocess.TimeoutExpired:
            print("audit left out: the package index does not answer")
            return 0
        if made.returncode:
            print("audit left out: pip-audit cannot be installed here:", _last(made.stderr))
            return 0
        return max(_audit(python, what, words) for what, words in AUDITS.items())


def _audit(python: str, what: str, words: tuple[str, ...]) -> int:
    try:
        run = _run([python, "-m", "pip_audit", "--format", "json", "--timeout", "15", *words], timeout=180)
    except subprocess.TimeoutExpired:
        print(f"audit of {what} left out: the list of known holes does not answer")
        return 0
    try:
        listed = json.loads(run.stdout)["dependencies"]
    except ValueError:
        print(f"audit of {what} left out: the list of known holes cannot be reached:", _last(run.stderr))
        return 0
    judged = [one for one in listed if "skip_reason" not in one]
    if not judged:
        print(f"audit of {what} left out: the list that can be reached here knows none of the packages")
        return 0
    holes = [f"{one['name']} {one['version']}: {hole['id']}" for one in judged for hole in one["vulns"]]
    print(f"audit of {what}: {len(judged)} packages,", *(holes or ["no known hole"]), sep="\n  ")
    return 1 if holes else 0


def _run(command: list[str], timeout: float = 300) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PIPAPI_PYTHON_LOCATION": sys.executable}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, env=env)


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["no reason is told"])[-1][:200]


if __name__ == "__main__":
    sys.exit(main())

"""`make reliability`: what goes on looking for input that hangs the server, kills it or makes it wrong.

The short form (at most five minutes, for CI): a fuzz of every entry and of both ways in, kills in the midst of writes,
and a minute's soak. `ARGS=--long` tries fifty times as much with a seed of the day, soaks for ten minutes, runs the suite
in three random orders, side by side, and mutants for as long as `--mutants` says. `--write` puts what was found into
docs/reliability.md; `--only` runs single parts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]


def run(*words: str, **env: str) -> bool:
    print("+", *words, flush=True)
    return subprocess.run([sys.executable, *words], cwd=ROOT, env={**os.environ, **env}, check=False).returncode == 0


def fuzz(how: argparse.Namespace) -> bool:
    examples, seed = ("2000", str(int(time.time()) // 86400)) if how.long else ("40", "17")
    env = {"RELIABILITY_EXAMPLES": examples, "RELIABILITY_SEED": seed, "RELIABILITY_NOTES": str(how.notes)}
    return run("-m", "pytest", "-q", "-n0", "tests/reliability", **env)


def soak(how: argparse.Namespace) -> bool:
    seconds = how.soak or (600 if how.long else 45)
    return run("tests/reliability/soak.py", "--seconds", str(seconds), "--csv", str(ROOT / ".compat/soak.csv"))


def orders(how: argparse.Namespace) -> bool:
    """The suite in random order, each worker a random part of it. Its seed stands in the line that is printed."""
    suite = (
        "-q",
        "--ignore=tests/browser",
        "--ignore=tests/compat",
        "--ignore=tests/image",
        "--ignore=tests/packaging",
    )
    day = int(time.time()) // 86400
    seeds = [how.seed] if how.seed is not None else range(day, day + 3)
    shuffled = ("-m", "pytest", "-n", "auto", "--dist", "load", "-p", "randomly", *suite)
    passed = [run(*shuffled, f"--randomly-seed={seed}") for seed in seeds]
    return all(passed)


def mutants(how: argparse.Namespace) -> bool:
    return run("tests/reliability/mutants.py", "--seconds", str(how.mutants))


def table(how: argparse.Namespace) -> bool:
    from reliability import table as attacks

    found = []
    for row in attacks.rows():
        print(row, flush=True)
        found.append(row)
    if how.write:
        notes = [json.loads(line) for line in how.notes.read_text().splitlines()] if how.notes.exists() else []
        attacks.write(_head(), _sums(notes) if notes else "", attacks.told(found))
    return all(row.wait_ms <= 1000 * 0.1 * row.busy for row in found)


def _head() -> str:
    cores = os.cpu_count()
    now = datetime.now(timezone.utc).date()
    return f"Run of {now}, {cores} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}."


def _sums(notes: Sequence[dict[str, object]]) -> str:
    sums: dict[str, dict[str, int]] = {}
    for note in notes:
        one = sums.setdefault(str(note.pop("what")), {})
        for name, number in note.items():
            one[name] = one.get(name, 0) + int(str(number))
    lines = ["| tried | |", "|---|---|"]
    for what, numbers in sums.items():
        told = ", ".join([f"{number:,} {name.replace('_', ' ')}" for name, number in numbers.items()])
        lines.append(f"| {what} | {told} |")
    return "\n".join(lines)


PARTS: dict[str, Callable[[argparse.Namespace], bool]] = {
    "fuzz": fuzz,
    "soak": soak,
    "table": table,
    "orders": orders,
    "mutants": mutants,
}
SHORT = ("fuzz", "soak")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md")
    parser.add_argument("--only", action="append", choices=list(PARTS))
    parser.add_argument("--seed", type=int, help="one random order of the suite, in place of three of the day")
    parser.add_argument("--soak", type=float, metavar="SECONDS")
    parser.add_argument("--mutants", type=float, default=3600, metavar="SECONDS")
    how = parser.parse_args()
    (ROOT / ".compat").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        how.notes = Path(folder) / "notes.jsonl"
        failed = [name for name in how.only or (PARTS if how.long else SHORT) if not PARTS[name](how)]
    print("failed:", ", ".join(failed) if failed else "nothing")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

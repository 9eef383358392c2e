"""What is measured is told truly: the goals with their verdicts, and what was left out with its reason."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import report  # noqa: E402


def figures(**given: float) -> dict[str, Any]:
    return {"median": given, "ratio": {}, "min": {}, "max": {}}


def run(**changes: Any) -> dict[str, Any]:
    """A run with hardly anything in it."""
    plain: dict[str, Any] = {
        "time": 0,
        "seconds": 480,
        "rounds": 5,
        "load": 0.5,
        "machine": {"cpu": "A CPU", "cores": 2, "system": "Linux 6.1", "python": "3.11.7", "aiohttp": "3.14.5"},
        "commit": "abc",
        "bench": {"bare-aiohttp": figures(json_per_cpu_s=100.0), "mock-server": figures(json_per_cpu_s=250.0)},
        "skipped": {},
        "shapes": {},
        "matching": {"1": 100.0, "200": 110.0},
        "clients": {},
        "road": {"calls": 101, "files": 14, "changes": 30},
        "house": {"modules": 1, "lines": 2},
    }
    return {**plain, **changes}


def row(page: str, label: str) -> list[str]:
    [line] = [line for line in page.splitlines() if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("label", "now", "verdict"),
    [
        ("JSON, same bytes, requests per CPU-second", "2.50", "floor"),
        ("200 scenarios that share a word with the prompt, against one", "1.10", "floor"),
        ("road of a plain POST: Python calls", "101", "missed"),
        ("road of a plain POST: files", "14", "ambition"),
        ("template reply (us)", "-", "not measured"),
        ("JSON, every prompt different, against aimock", "-", "not measured"),
    ],
)
def test_a_goal_is_told_with_what_came_of_it(label: str, now: str, verdict: str) -> None:
    assert row(report.page(run()), label)[-2:] == [now, verdict]


def test_the_ratio_of_the_rounds_counts_where_there_is_one() -> None:
    found = run()
    found["bench"]["mock-server"]["ratio"] = {"json_per_cpu_s": 3.0}
    assert row(report.page(found), "JSON, same bytes, requests per CPU-second")[-2:] == ["3", "ambition"]


def test_the_page_says_where_and_when_and_what_is_missing() -> None:
    page = report.page(run(skipped={"aimock (npm)": "it is not installed"}))
    assert "1970-01-01, commit `abc`, 5 rounds, 8 minutes. A CPU, 2 cores" in page
    assert "Not measured in this run: aimock (npm) (it is not installed)." in page


def test_a_server_that_is_not_here_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bench

    monkeypatch.delenv("BENCH_PEERS", raising=False)

    opts = type("Opts", (), {"tmp": str(tmp_path)})
    assert bench.missing({"name": "a", "cmd": "{peers}/a/bin/a serve"}, opts).startswith(
        "peers-not-installed/a/bin/a is not"
    )
    assert bench.missing({"name": "a", "cmd": "{python} -m a"}, opts) is None


def test_without_a_commit_before_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    command = [sys.executable, str(tmp_path / ".ci" / "faster.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "skipped: this is no git checkout, so there is no commit to compare with\n"


def test_every_goal_names_what_is_measured() -> None:
    wanted = json.loads((ROOT / "bench" / "targets.json").read_text())
    targets = {one["name"] for one in wanted["targets"]}
    assert {goal["target"] for goal in wanted["goals"]} <= targets
    shapes = (ROOT / "bench" / "shapes.py").read_text()
    paths = [path for goal in wanted["more"] for path in (goal["value"], goal.get("by", []))]
    assert all(f'"{path[1]}"' in shapes for path in paths if path and path[0] == "shapes")


@pytest.mark.parametrize("name", ["clients", "fixture", "held", "matching", "report", "shapes", "validation"])
def test_every_yardstick_finds_what_it_measures(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"],
        cwd=ROOT / "bench",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr

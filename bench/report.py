#!/usr/bin/env python3
"""One run of everything, kept in `bench/run.json`, and the page that is written from it.

    python bench/report.py             # measure (about 8 minutes; BENCH_PEERS names the folder of the peers), write the page
    python bench/report.py --rounds 1  # a quick look: prints the table and writes nothing

`docs/performance.md` has its generated part from `page(run)`; `docs/generate.py` puts it there, and a test holds both
together. What stands around it is written by hand.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RUN = HERE / "run.json"
PROJECT, BASELINE = "mock-server", "bare-aiohttp"
WORK = "startup,json,jsonu,jsonx,stream,streamu,paced:1000"
BIG = ("--work", "paced:10000:200:40", "--ramp", "4000", "--starts", "1", "--limit", "60")
EVERYBODY = (BASELINE, PROJECT, "c-epoll")


# -- measuring ------------------------------------------------------------------------------------------------------


def measured(rounds: int, seconds: int) -> dict[str, Any]:
    """One run of everything."""
    began, load = time.time(), os.getloadavg()[0]
    peers = [HERE / "targets.peers.json"] if os.environ.get("BENCH_PEERS") else []
    small = bench([*peers, HERE / "targets.json"], "--work", WORK, "--rounds", rounds, "--seconds", seconds, "--starts", 2)
    big = bench([HERE / "targets.json"], *BIG, "--only", ",".join(EVERYBODY), "--rounds", min(2, rounds))
    shapes = told("shapes.py", "--rounds", min(3, rounds))
    import clients
    import matching

    return {
        "time": began,
        "seconds": round(time.time() - began),
        "rounds": rounds,
        "load": round(load, 2),
        "machine": machine(),
        "commit": commit(),
        "bench": merged(small["result"], big["result"]),
        "skipped": {**small["skipped"], **({} if peers else {"the peers": "BENCH_PEERS names no folder where they are"})},
        "shapes": shapes,
        "matching": matching.answered(),
        "clients": clients.measured(),
        "road": json.loads((HERE.parent / "tests" / "road.json").read_text())["JSON, every prompt different"],
        "house": house(),
    }


def bench(targets: Sequence[Path], *words: object) -> dict[str, Any]:
    """What `bench.py` measures."""
    return told("bench.py", *targets, *words)


def told(script: str, *words: object) -> dict[str, Any]:
    """What a script of this folder writes as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, str(HERE / script), *map(str, words), "--json", str(out)]
        subprocess.run(command, stdout=sys.stderr, check=True)
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def merged(small: Mapping[str, Any], big: Mapping[str, Any]) -> dict[str, Any]:
    """The medians of both runs, and the ratios to the baseline; what was measured twice is that of the first."""
    return {
        name: {part: {**big.get(name, {}).get(part, {}), **small[name][part]} for part in ("median", "ratio", "min", "max")}
        for name in small
    }


def machine() -> dict[str, Any]:
    """What it was measured on."""
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "aiohttp": metadata.version("aiohttp"),
    }


def commit() -> str:
    """The commit that was measured, where git tells it."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def house() -> dict[str, int]:
    """How large the package is."""
    files = sorted((HERE.parent / "mock_server").rglob("*.py"))
    return {"modules": len(files), "lines": sum(len(file.read_text().splitlines()) for file in files)}


# -- the page -------------------------------------------------------------------------------------------------------


def page(run: Mapping[str, Any]) -> str:
    """The generated part of docs/performance.md."""
    parts = [_when(run), goals(run), _figures(run), _shapes(run), _peers(run), _left_out(run)]
    return "\n\n".join(part for part in parts if part)


def _when(run: Mapping[str, Any]) -> str:
    on, at = run["machine"], time.strftime("%Y-%m-%d", time.gmtime(run["time"]))
    return (
        f"`python bench/report.py`, {at}, commit `{run['commit']}`, {run['rounds']} rounds, {run['seconds'] // 60} minutes. "
        f"{on['cpu']}, {on['cores']} cores (the server on one, the load on another), {on['system']}, Python {on['python']}, "
        f"aiohttp {on['aiohttp']}; load average {run['load']} at the start. Medians, and medians of the ratios per round."
    )


def goals(run: Mapping[str, Any]) -> str:
    """What is wanted, what there was before the road was made short, and what there is. Ratios are to `bare-aiohttp`
    where the row names nothing else.
    """
    wanted = json.loads((HERE / "targets.json").read_text())
    lines = ["### Goals", "", "| work | before | floor | ambition | now | |", "|---|---|---|---|---|---|"]
    for goal in [*wanted["goals"], *wanted["more"]]:
        if "label" not in goal:
            continue
        value = _of_bench(run, goal) if "metric" in goal else _of_rest(run, goal)
        kind = "min" if "min" in goal else "max"
        cells = [goal["label"], *(_number(one) for one in (goal["before"], goal[kind], goal["ambition"], value))]
        lines.append(f"| {' | '.join(cells)} | {_verdict(value, goal, kind)} |")
    bad = sum(one["median"].get(key, 0) for one in (run["bench"][PROJECT],) for key in one["median"] if key.endswith(("_bad", "_errors")))
    return "\n".join([*lines, "", f"Requests that failed and events that were lost: {bad:.0f}."])


def _of_bench(run: Mapping[str, Any], goal: Mapping[str, Any]) -> float | None:
    """A figure of `bench.py`, or its ratio to that of another target in the same run."""
    mine = run["bench"].get(goal["target"])
    if mine is None or goal["metric"] not in mine["median"]:
        return None
    if "vs" not in goal:
        return float(mine["median"][goal["metric"]])
    if goal["vs"] == BASELINE and goal["metric"] in mine["ratio"]:
        return float(mine["ratio"][goal["metric"]])
    other = run["bench"].get(goal["vs"], {}).get("median", {}).get(goal["metric"])
    return float(mine["median"][goal["metric"]]) / other if other else None


def _of_rest(run: Mapping[str, Any], goal: Mapping[str, Any]) -> float | None:
    """Any other figure, by its path in the run, or its ratio to another one. `less`: what of it came for other reasons."""
    value, by = _at(run, goal["value"]), _at(run, goal["by"]) if "by" in goal else 1.0
    return value / by - goal.get("less", 0) if value is not None and by else None


def _at(run: Any, path: Sequence[str]) -> float | None:
    """What a path leads to; the last name may be `ratio` of a shape."""
    for name in path[:-1]:
        run = run.get(name, {})
    if path[-1] == "ratio":
        return float(run["us"]) / run["against"] if run.get("against") else None
    value = run.get(path[-1])
    return None if value is None else float(value)


def _verdict(value: float | None, goal: Mapping[str, Any], kind: str) -> str:
    if value is None:
        return "not measured"
    better = (lambda limit: value >= limit) if kind == "min" else (lambda limit: value <= limit)
    return "ambition" if better(goal["ambition"]) else "floor" if better(goal[kind]) else "missed"


_FIGURES = (
    ("JSON a CPU-second", "json_per_cpu_s"),
    ("every prompt different", "jsonu_per_cpu_s"),
    ("nothing shared", "jsonx_per_cpu_s"),
    ("streams a CPU-second", "stream_per_cpu_s"),
    ("every prompt different", "streamu_per_cpu_s"),
    ("1,000 streams: late, p99 ms", "p1000_late_p99_ms"),
    ("drift ms", "p1000_drift_p50_ms"),
    ("µs an event", "p1000_cpu_us_per_event"),
    ("10,000: late, p99 ms", "p10000x200_late_p99_ms"),
    ("KB a stream", "p10000x200_rss_kb_per_stream"),
    ("start ms", "start_ms"),
    ("idle MB", "rss_idle_mb"),
)


def _figures(run: Mapping[str, Any]) -> str:
    targets = [name for name in run["bench"] if name in EVERYBODY or name.startswith(PROJECT)]
    return _table("### Figures", targets, run)


def _peers(run: Mapping[str, Any]) -> str:
    targets = [name for name in run["bench"] if not (name in EVERYBODY or name.startswith(PROJECT))]
    return _table("### Other servers in the same run", targets, run) if targets else ""


def _table(title: str, targets: Sequence[str], run: Mapping[str, Any]) -> str:
    heads = ["server", *(head for head, _ in _FIGURES)]
    lines = [title, "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in targets:
        found = run["bench"][name]["median"]
        lines.append(f"| {' | '.join([name, *(_number(found.get(key)) for _, key in _FIGURES)])} |")
    return "\n".join(lines)


def _shapes(run: Mapping[str, Any]) -> str:
    lines = [
        "### What agents send",
        "",
        "`bench/shapes.py`: one kept connection, microseconds of the server's CPU a request, beside an aiohttp handler that only",
        "parses the body.",
        "",
        "| request | bytes | this server | only parsing | ratio |",
        "|---|---|---|---|---|",
    ]
    for name, one in run["shapes"].items():
        cells = (f"{one['bytes']:,}", f"{one['us']:,.0f}", f"{one['against']:,.0f}", _number(one["us"] / one["against"]))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _left_out(run: Mapping[str, Any]) -> str:
    told = [f"{name} ({why})" for name, why in run["skipped"].items()]
    return f"Not measured in this run: {'; '.join(told)}." if told else ""


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each workload")
    parser.add_argument("--keep", action="store_true", help="write the run and the page also after fewer than 3 rounds")
    asked = parser.parse_args()
    run = measured(asked.rounds, asked.seconds)
    print(goals(run))
    if asked.rounds < 3 and not asked.keep:
        print("\nfewer than 3 rounds: nothing is written (--keep writes)")
        return
    RUN.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    subprocess.run([sys.executable, str(HERE.parent / "docs" / "generate.py")], check=True)


if __name__ == "__main__":
    main()

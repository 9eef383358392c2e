"""Whether this tree answers as fast as an earlier commit: CPU a request, both measured in turn on the same machine.

    python .ci/faster.py [COMMIT]       # HEAD~ where nothing is said, or the merge base with the branch it goes to

Each tree answers the same requests in a process of its own (`faster_worker.py`), a slice of each in turn, so a busy
neighbour slows both; the fastest slice of each counts. Fails when something takes a quarter more CPU than before, and
again when it is repeated. `SPREAD` in the environment is another share.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
SPREAD = float(os.environ.get("SPREAD", "0.25"))
WORKER = Path(__file__).with_name("faster_worker.py")
SLICES, SECONDS = 10, 0.2  # of each kind and tree, and the CPU of one
LEAST, PATIENCE = 4, 7.0  # slices at least, and seconds after which these are enough: a busy machine


class Tree:
    """One tree: a worker in it, and with wrk a server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONSAFEPATH": "1"}
        self._worker = subprocess.Popen(
            [sys.executable, str(WORKER)],
            cwd="/",
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._worker.stdout is not None
        line = self._worker.stdout.readline()
        if not line:
            sys.exit(f"the worker did not start in {path}")
        self.kinds: list[str] = json.loads(line)

    def measure(self, kind: str) -> float:
        """Microseconds of CPU a request: the fastest fifty of a slice."""
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        self._worker.stdin.write(json.dumps([kind, SECONDS]) + "\n")
        self._worker.stdin.flush()
        return float(self._worker.stdout.readline())

    @contextmanager
    def serving(self) -> Iterator[tuple[int, int]]:
        """A server of this tree: its process and port."""
        scenario = self.path / "bench" / "scenario.yaml"
        command = [sys.executable, "-m", "mock_server", "serve", "--port", "0", "--log-level", "warning", str(scenario)]
        server = subprocess.Popen(
            command, cwd="/", env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert server.stdout is not None
            yield server.pid, int(server.stdout.readline().split()[-1].rpartition(":")[2])
        finally:
            server.terminate()
            server.wait(10)

    def close(self) -> None:
        self._worker.kill()
        self._worker.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", help="the commit to compare with")
    commit, why = earlier(parser.parse_args().commit)
    if commit is None:
        print(f"skipped: {why}")
        return 0
    with checked_out(commit) as before:
        trees = [Tree(before), Tree(ROOT)]
        try:
            return judged(trees, commit)
        finally:
            for tree in trees:
                tree.close()


def judged(trees: list[Tree], commit: str) -> int:
    """0 when nothing takes so much more CPU than before."""
    found = {kind: measured(trees, kind) for kind in trees[1].kinds}
    found |= over_sockets(trees)
    slower = [kind for kind, (before, now) in found.items() if now > before * (1 + SPREAD)]
    for kind in slower:
        again = over_sockets(trees) if kind.startswith("over a socket") else {kind: measured(trees, kind)}
        found[kind] = min(found[kind], again[kind], key=lambda pair: pair[1] / pair[0])
    print(f"CPU a request in microseconds, {commit[:12]} and this tree:")
    for kind, (before, now) in found.items():
        mark = "  SLOWER" if now > before * (1 + SPREAD) else ""
        print(f"  {kind:<44} {before:8.1f} {now:8.1f}  {now / before:5.2f}{mark}")
    failed = [kind for kind, (before, now) in found.items() if now > before * (1 + SPREAD)]
    if failed:
        print(f"a quarter more CPU than before, and again when it was repeated: {', '.join(failed)}")
    return 1 if failed else 0


def measured(trees: list[Tree], kind: str) -> tuple[float, float]:
    """The fastest slice of both trees, in turn."""
    began = time.monotonic()
    slices: tuple[list[float], list[float]] = ([], [])
    while len(slices[0]) < (LEAST if time.monotonic() - began > PATIENCE else SLICES):
        for at in (0, 1) if len(slices[0]) % 2 else (1, 0):
            slices[at].append(trees[at].measure(kind))
    return min(slices[0]), min(slices[1])


def over_sockets(trees: list[Tree]) -> dict[str, tuple[float, float]]:
    """The same of a server, with wrk; nothing where that is not installed."""
    if shutil.which("wrk") is None:
        print("wrk is not installed, so no server is measured")
        return {}
    found = {}
    script = ROOT / "bench" / "unique.lua"
    with trees[0].serving() as before, trees[1].serving() as now:
        for kind, body in (("JSON", "project-json.json"), ("stream", "project-stream.json")):
            columns: tuple[list[float], list[float]] = ([], [])
            for _ in range(3):
                for column, (pid, port) in zip(columns, (before, now), strict=True):
                    column.append(asked(pid, port, script, ROOT / "bench" / "bodies" / body))
            found[f"over a socket: {kind}, every prompt different"] = (min(columns[0]), min(columns[1]))
    return found


def asked(pid: int, port: int, script: Path, body: Path) -> float:
    """Microseconds of the server's CPU a request, over a second or so of them."""
    used = cpu(pid)
    told = subprocess.run(
        ["wrk", "-t1", "-c16", "-d1s", "-s", str(script), f"http://127.0.0.1:{port}/v1/messages"],
        env={**os.environ, "BODY": str(body)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    done = json.loads(told[told.rindex('{"') :])
    if done["errors"] or done["bad_status"]:
        sys.exit(f"requests failed: {done}")
    return (cpu(pid) - used) * 1e6 / done["requests"]


def cpu(pid: int) -> float:
    """Seconds that a process has used, with all its threads."""
    spent = sum(int(one.read_text().split()[0]) for one in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return spent / 1e9


# -- the tree before ------------------------------------------------------------------------------------------------


def git(*words: str) -> str | None:
    """What git says; None when it fails."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def earlier(wanted: str | None) -> tuple[str | None, str]:
    """The commit to compare with, or why there is none."""
    if shutil.which("git") is None or git("rev-parse", "--git-dir") is None:
        return None, "this is no git checkout, so there is no commit to compare with"
    if wanted is not None:
        commit = git("rev-parse", "--verify", f"{wanted}^{{commit}}")
        if commit is None:
            sys.exit(f"no commit is called {wanted!r}")
        return commit, ""
    branch = os.environ.get("GITHUB_BASE_REF")
    base = git("merge-base", "HEAD", f"origin/{branch}") if branch else None
    commit = base or git("rev-parse", "--verify", "HEAD~")
    if commit is None:
        return None, "there is no commit before this one here (a shallow clone has none): fetch two at least"
    return commit, ""


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """The tree of a commit, in a folder that goes away again."""
    with tempfile.TemporaryDirectory(prefix="before-") as folder:
        path = Path(folder) / "tree"
        archive = subprocess.Popen(["git", "archive", commit, "mock_server", "bench"], cwd=ROOT, stdout=subprocess.PIPE)
        path.mkdir()
        subprocess.run(["tar", "-x", "-C", str(path)], stdin=archive.stdout, check=True)
        if archive.wait() != 0:
            sys.exit(f"the tree of {commit} cannot be taken from git")
        yield path


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
    sys.exit(main())

"""The walks of a newcomer, from an environment with nothing of ours in it: `walk.py clone` and `walk.py project`.

Every command is one that the README shows, run as it stands there; only `$REPOSITORY` and a free port are given. A
command that fails counts, and so does whatever a walk needs and the README does not show (a guess). Times are printed,
not judged.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
KEPT = re.compile(r"PATH$|LANG|LC_|TERM$|PIP_|UV_|PYENV_|(HTTPS?|NO|ALL)_PROXY$|.*(CERT|CA_BUNDLE)", re.IGNORECASE)
STARTED = "mock-server listening on "
PATIENCE = 300.0


class Walk:
    """One walk: its folder, its environment, what went wrong, how long it took."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "home").mkdir()
        kept = {name: text for name, text in os.environ.items() if KEPT.match(name)}
        path = [part for part in kept["PATH"].split(os.pathsep) if not part.startswith(str(ROOT))]
        self.environment = {**kept, "PATH": os.pathsep.join(path), "HOME": str(folder / "home")}
        self.environment |= {"REPOSITORY": f"file://{ROOT}", "no_proxy": "127.0.0.1", "GIT_CONFIG_COUNT": "1"}
        self.environment |= {"GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        self.failed: list[str] = []
        self.guessed: list[str] = []
        self.began = time.monotonic()

    def told(self, text: str) -> None:
        print(f"  {time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def shown(self, page: Path, kind: str, holds: str) -> str:
        """The code block of a page that holds this text. None such: the walker has to guess."""
        blocks = re.findall(rf"```{kind}\n(.*?)```", page.read_text(), re.DOTALL)
        found = [block for block in blocks if holds in block]
        if not found:
            self.guessed.append(f"{page.name} shows no {kind} block with {holds!r}")
            return ""
        return str(found[0])

    def run(self, command: str, where: Path, more: Mapping[str, str] | None = None) -> str:
        """One command to its end; what it says on stdout. A failure is counted and shown."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=where,
            env={**self.environment, **(more or {})},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.told(command.split("\n")[0])
        if done.returncode:
            self.failed.append(command)
            print(done.stdout + done.stderr, file=sys.stderr)
        return done.stdout

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.failed.append(what)

    def over(self, name: str) -> int:
        """The last line; exit code 1 when something failed or was guessed."""
        for one in (*self.failed, *self.guessed):
            print(f"  ! {one}")
        took = time.monotonic() - self.began
        print(f"walk {name}: {len(self.failed)} failed, {len(self.guessed)} guessed, {took:.1f} s")
        return 1 if self.failed or self.guessed else 0


def clone(walk: Walk) -> None:
    """From a clone to a streamed answer: `make mock` in one terminal, the README's curl in another."""
    checkout = walk.folder / "checkout"
    walk.run(f'git clone --quiet "$REPOSITORY" {checkout}', walk.folder)
    readme = checkout / "README.md"
    first = walk.shown(readme, "sh", "make mock").split("\n")[0].split("#")[0].strip()
    curl = walk.shown(readme, "sh", "curl -N")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**walk.environment, "MOCK_SERVER_PORT": str(port)}
    with subprocess.Popen(
        ["bash", "-c", first],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        progress: list[str] = []
        beside = threading.Thread(target=lambda: progress.extend(walk_lines(walk, server.stderr)), daemon=True)
        beside.start()
        url = server.stdout.readline().strip().removeprefix(STARTED)
        walk.told(f"{first}: {url or 'nothing came'}")
        stream = walk.run(curl.replace("http://127.0.0.1:8787", url), checkout)
        os.killpg(server.pid, signal.SIGTERM)
        server.stdout.close()
        server.wait(20)
        beside.join(10)
    walk.expect("event: message_stop" in stream, "the stream ends with message_stop")
    walk.expect(sum(line.startswith("  ") for line in progress) >= 5, "make says how far the installation is")
    where = [line.removeprefix("installed: ") for line in progress if line.startswith("installed: ")]
    walk.expect(len(where) == 1 and where[0] in readme.read_text(), "make and the README say where the command is")
    walk.run(f"{where[0] if where else 'mock-server'} --version", checkout)


def walk_lines(walk: Walk, stream: object) -> list[str]:
    """The lines of a stream, with the time at which the first and the last of an installation came."""
    lines = []
    for line in stream:  # type: ignore[attr-defined]
        lines.append(line.rstrip("\n"))
        if line.startswith(("making", "installing", "installed", "not installed")):
            walk.told(f"make: {line.strip()}")
    return lines


def project(walk: Walk) -> None:
    """From an empty folder to a green test: the README's test, installed and run as it says there."""
    folder = walk.folder / "project"
    folder.mkdir()
    (folder / "test_weather.py").write_text(walk.shown(ROOT / "README.md", "python", "def test_"))
    said = ""
    for command in walk.shown(ROOT / "README.md", "sh", "pytest test_weather.py").strip().splitlines():
        said = walk.run(command, folder)
    walk.expect(bool(re.search(r"\b1 passed\b", said)) and "failed" not in said, "the test is green")


WALKS: Mapping[str, Callable[[Walk], None]] = {"clone": clone, "project": project}


if __name__ == "__main__":
    name = sys.argv[1]
    print(f"walk {name}: {(WALKS[name].__doc__ or '').strip()}")
    with tempfile.TemporaryDirectory() as made:
        walk = Walk(Path(made))
        WALKS[name](walk)
        sys.exit(walk.over(name))

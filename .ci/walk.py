"""The walks of a newcomer: `walk.py clone`, `walk.py project` and `walk.py mistakes`.

The first two begin in an environment with nothing of ours in it. Every command is one that the README shows, run as it
stands there; only `$REPOSITORY` and a free port are given. A command that fails counts, and so does whatever a walk
needs and the README does not show (a guess). The third makes the mistakes of `mistakes.yaml` on purpose and looks at
what its user is told. Times are printed, not judged.
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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


# Blocks of the README that another walk or test runs: what each holds, and where that is.
ELSEWHERE = {"pytest test_weather.py": "walk.py project", "uvx --from": "tests/packaging/test_from_git.py"}


def clone(walk: Walk) -> None:
    """The README from a fresh clone: `make mock` in one terminal, everything else that it shows in another."""
    checkout = walk.folder / "checkout"
    walk.run(f'git clone --quiet "$REPOSITORY" {checkout}', walk.folder)
    readme = checkout / "README.md"
    first = walk.shown(readme, "sh", "make mock").split("\n")[0].split("#")[0].strip()
    curl = walk.shown(readme, "sh", "curl -N")
    export = walk.shown(readme, "sh", "export ANTHROPIC_BASE_URL")
    walked = {walk.shown(readme, "sh", "make mock"), curl, export}
    for block in re.findall(r"```sh\n(.*?)```", readme.read_text(), re.DOTALL):
        if block not in walked and not any(holds in block for holds in ELSEWHERE):
            walk.guessed.append(f"nobody walks this block of the README: {block!r}")
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
        banner = [server.stdout.readline().strip() for _ in range(6)]
        stream = walk.run(curl.replace("http://127.0.0.1:8787", url), checkout)
        tried = walk.run(next((line for line in banner if line.startswith("curl ")), "false"), checkout)
        walk_scenario(walk, checkout, url, export)
        os.killpg(server.pid, signal.SIGTERM)
        server.stdout.close()
        server.wait(20)
        beside.join(10)
    walk.expect("event: message_stop" in stream, "the stream ends with message_stop")
    shown = walk.shown(readme, "text", "event: message_start")
    told = [re.findall(r"(?m)^event: (\w+)", text)[:4] for text in (shown, stream)]
    walk.expect(told[0] == told[1], f"the stream begins as the README shows it, not with {told[1]}")
    walk.expect("event: message_stop" in tried, "the line that the server prints to try works")
    walk.expect(sum(line.startswith("  ") for line in progress) >= 5, "make says how far the installation is")
    where = [line.removeprefix("installed: ") for line in progress if line.startswith("installed: ")]
    walk.expect(len(where) == 1 and where[0] in readme.read_text(), "make and the README say where the command is")
    command = where[0] if where else "mock-server"
    walk.run(f"{command} --version", checkout)
    walk_commands(walk, checkout, command, curl)
    walk.run("make help", checkout)


def walk_scenario(walk: Walk, checkout: Path, url: str, export: str) -> None:
    """The README's scenarios in a file of the folder that is served, asked at the address that it exports."""
    (checkout / "scenarios" / "from-readme.yaml").write_text(walk.shown(checkout / "README.md", "yaml", "fault:"))
    said = [{"role": "user", "content": "retry me"}]
    body = shlex.quote(json.dumps({"model": "claude-opus-4-8", "max_tokens": 99, "messages": said}))
    there = export.replace("http://127.0.0.1:8787", url).strip()
    ask = f'curl -s "$ANTHROPIC_BASE_URL/v1/messages" -H "x-api-key: $ANTHROPIC_API_KEY" -d {body}'
    patient = f"for _ in $(seq 100); do case $({ask}) in *overloaded_error*) break;; esac; sleep 0.2; done"
    told = walk.run(f"{there}\n{patient}; {ask}", checkout)
    walk.expect("Second time lucky." in told, "a scenario put into the folder is served, and its attempts count")


def walk_commands(walk: Walk, checkout: Path, command: str, curl: str) -> None:
    """The commands that the README names in its text."""
    text = (checkout / "README.md").read_text()
    (checkout / "REQUEST.json").write_text(curl.partition("-d '")[2].partition("'")[0])
    for shown, words, holds in (
        ("`mock-server new NAME`", "new first-one", "try it: mock-server preview scenarios/first-one.yaml"),
        ("`check PATH`", "check scenarios", "no mistakes"),
        ("`preview NAME`", "preview weather-agent scenarios", "message_stop"),
        ("`explain REQUEST.json`", "explain REQUEST.json --header x-mock-scenario:hello", "hello"),
        ("`mock-server docs`", "docs testing", "mock_server"),
        ("`import`", "import --help", "recorded"),
    ):
        if shown not in text:
            walk.guessed.append(f"the README does not name {shown}")
        walk.expect(holds in walk.run(f"{command} {words}", checkout), f"{words} says {holds!r}")


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


# -- mistakes on purpose --------------------------------------------------------------------------------------------


class Answering:
    """A server to make mistakes at, and the lines of its log so far."""

    def __init__(self, walk: Walk, *words: str) -> None:
        self.process = subprocess.Popen(
            ["mock-server", "--port", "0", *words],
            cwd=walk.folder,
            env=walk.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip().removeprefix(STARTED)
        self.log: list[str] = []
        threading.Thread(target=lambda: self.log.extend(self.process.stderr or ()), daemon=True).start()

    def ask(self, asked: Mapping[str, Any]) -> str:
        """What a client is told, and then what the log says of it."""
        body = {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}
        body = {name: value for name, value in {**body, **asked.get("body", {})}.items() if value is not None}
        headers = {"x-api-key": "any", "anthropic-version": "2023-06-01", **asked.get("headers", {})}
        sent = {name: value for name, value in headers.items() if value is not None}
        before = len(self.log)
        url = self.url + asked.get("path", "/v1/messages")
        request = urllib.request.Request(url, json.dumps(body).encode(), sent)
        try:
            reply = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20)
        except urllib.error.HTTPError as error:
            reply = error
        with reply:
            said = json.load(reply)
        told = [f"{reply.status}: {said['error']['message']}" if "error" in said else str(reply.status)]
        for name in ("hint", "warning"):
            told += [f"{name}: {value}" for value in reply.headers.get_all(f"x-mock-{name}", ())]
        for _ in range(20):  # the log comes by another way
            if len(self.log) > before:
                break
            time.sleep(0.05)
        return "\n".join([*told, *[f"log: {line.split(' ', 2)[-1].rstrip()}" for line in self.log[before:]]])


def mistakes(walk: Walk) -> None:
    """Mistakes on purpose (`mistakes.yaml`): each is told in few lines that name it, and the cure."""
    import yaml

    table = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text())
    commands = os.pathsep.join([str(Path(sys.executable).parent), walk.environment["PATH"]])
    walk.environment |= {"PATH": commands, "PYTHONDONTWRITEBYTECODE": "1"}
    servers = {"octen": Answering(walk), "anthropic": Answering(walk, "--profile", "anthropic", "--unmatched", "error")}
    port = servers["octen"].url.rpartition(":")[2]
    try:
        for at, row in enumerate(table):
            folder = walk.folder / str(at)
            folder.mkdir()
            made = {**row.get("files", {}), **({"test_it.py": row["test"]} if "test" in row else {})}
            for name, text in made.items():
                (folder / name).write_text(text)
            if "ask" in row:
                told = servers[row["ask"].get("of", "octen")].ask(row["ask"])
            else:
                told = failing(
                    walk, folder, row.get("run", "python -m pytest -q test_it.py").replace("$PORT", port), row
                )
            judge(walk, row, told.replace(port, "$PORT"))
    finally:
        for server in servers.values():
            server.process.terminate()
            server.process.wait(20)
    walk.told(f"{len(table)} mistakes")
    walk.expect(len(table) >= 20, "there are twenty mistakes")


def failing(walk: Walk, folder: Path, command: str, row: Mapping[str, Any]) -> str:
    """What a command says that must fail."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**walk.environment, **row.get("with", {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    walk.expect(done.returncode != 0, f"{row['do']}: it does not fail")
    return done.stdout + done.stderr


def judge(walk: Walk, row: Mapping[str, Any], told: str) -> None:
    """Whether what was told holds the texts, in order, and is short; shown where it is not."""
    rest, lines = told, told.strip().splitlines()
    missing = []
    for text in row["says"]:
        _, found, after = rest.partition(text)
        missing += [] if found else [text]
        rest = after if found else rest
    if "Traceback" in told and "test" not in row:
        missing.append("no traceback")
    if len(lines) > row.get("most", 6) and "test" not in row:
        missing.append(f"at most {row.get('most', 6)} lines")
    print(f"  {'!' if missing else '.'} {row['do']}: {lines[0] if lines else ''}"[:200])
    for text in missing:
        walk.failed.append(f"{row['do']}: {text!r} is not in what is told")
    if missing:
        print(told, file=sys.stderr)


WALKS: Mapping[str, Callable[[Walk], None]] = {"clone": clone, "project": project, "mistakes": mistakes}


if __name__ == "__main__":
    name = sys.argv[1]
    print(f"walk {name}: {(WALKS[name].__doc__ or '').strip()}")
    with tempfile.TemporaryDirectory() as made:
        walk = Walk(Path(made))
        WALKS[name](walk)
        sys.exit(walk.over(name))

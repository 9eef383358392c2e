"""Containers of the image, on whatever engine `docker` speaks to. Without one these tests are skipped, and say so."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
IMAGE = "messages-mock-server:test"
BODY = {"model": "claude-opus-4-8", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}


def docker(*words: str | Path, code: int | None = 0, timeout: float = 60) -> str:
    """What a docker command prints, both ways; it must end with this code (None: with any)."""
    done = subprocess.run(
        ["docker", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert code is None or done.returncode == code, done.stdout
    return done.stdout.strip()


class Container:
    """A container of the image."""

    def __init__(self, number: str) -> None:
        self.number = number

    @property
    def log(self) -> str:
        return docker("logs", self.number)

    @property
    def lines(self) -> list[str]:
        return self.log.splitlines()

    def state(self, what: str) -> str:
        return docker("inspect", "--format", "{{.State." + what + "}}", self.number)

    def health(self, wanted: str = "healthy", seconds: float = 60) -> str:
        """Wait for this health (or for the end of the container); the last word of the check itself."""
        end = time.monotonic() + seconds
        while (now := self.state("Health.Status")) != wanted:
            assert self.state("Status") == "running", self.log
            assert time.monotonic() < end, f"{now} after {seconds} s\n{self.log}\n{self.checked()}"
            time.sleep(0.1)
        return self.checked()

    def checked(self) -> str:
        outputs = json.loads(docker("inspect", "--format", "{{json .State.Health.Log}}", self.number)) or [{}]
        return str(outputs[-1].get("Output", ""))

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        return int(docker("wait", self.number, timeout=60))

    def url(self, port: int = 8787) -> str:
        """Where the port is published."""
        return "http://" + docker("port", self.number, f"{port}/tcp").splitlines()[0]

    def run(self, *words: str, code: int | None = 0) -> str:
        return docker("exec", self.number, *words, code=code)


@pytest.fixture(scope="session")
def image() -> str:
    """The image, built from the checkout."""
    try:
        docker("info")
    except (AssertionError, FileNotFoundError):
        if os.environ.get("MOCK_SERVER_ENGINE_EXPECTED"):
            raise
        pytest.skip("no container engine here: `docker info` fails")
    docker("build", "--quiet", "--tag", IMAGE, ROOT, timeout=600)
    return IMAGE


@pytest.fixture
def start(image: str) -> Iterator[Callable[..., Container]]:
    """Start a container: options of `docker run`, and as `command` what stands behind the image."""
    started: list[Container] = []

    def run(*options: str | Path, command: tuple[str, ...] = ()) -> Container:
        words = ("run", "--detach", "--publish", "127.0.0.1::8787", "--publish", "127.0.0.1::9000", *options)
        if "--network" in options:
            words = ("run", "--detach", *options)
        started.append(Container(docker(*words, image, *command)))
        return started[-1]

    yield run
    for one in started:
        docker("rm", "--force", "--volumes", one.number)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder that every user may read, to be mounted."""
    made = tmp_path / "scenarios"
    made.mkdir(mode=0o755)
    return made


def ask(url: str, path: str = "/v1/messages", body: Any = BODY, **headers: str) -> tuple[int, str]:
    """Status and body of a reply."""
    data = None if body is None else json.dumps(body).encode()
    said = {"x-api-key": "any", "content-type": "application/json", **headers}
    request = urllib.request.Request(url + path, data, said)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()

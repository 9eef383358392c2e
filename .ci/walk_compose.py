"""Walks from a fresh clone to a healthy sidecar and a client that exits 0, by the commands of docs/sidecar.md alone.

Needs git and a container engine. MOCK_PORT, when set, is the port to publish instead of 8787. Exit 0 when no command
failed and none needed a guess: a name, a path or a flag that the page leaves to the reader.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACEHOLDER = re.compile(r"<\w|…|example\.com|your-|that-folder")


def main() -> int:
    """Every command once, in order; what it took is printed."""
    with tempfile.TemporaryDirectory(prefix="walk-compose-") as folder:
        clone = Path(folder, Path(folder).name)  # compose names a project after its folder
        walked = [timed(f"git clone --quiet {ROOT} {clone}", ROOT)]
        listed = commands((clone / "docs" / "sidecar.md").read_text())
        guessed = sum(bool(PLACEHOLDER.search(command)) for command in listed)
        for command in listed:
            walked.append(timed(command, clone))
            if " up " in command:
                walked.append(is_healthy(clone))
        walked.append(nothing_left(clone))
    failed = walked.count(False)
    print(f"walk to a healthy compose stack: {len(listed)} commands, {failed} failed, {guessed} needed a guess")
    return 0 if listed and failed == guessed == 0 else 1


def commands(page: str) -> list[str]:
    """The commands of the section about compose."""
    section = page.partition("### Compose\n")[2].partition("\n### ")[0]
    (block,) = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    return [line.partition(" #")[0].strip() for line in block.strip().splitlines()]


def timed(command: str, folder: Path) -> bool:
    """Run a command as a reader would, with nothing set that is ours."""
    ours = ("MOCK_SERVER_", "ANTHROPIC_", "COMPOSE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    print(f"{time.monotonic() - began:6.1f} s  exit {done.returncode}  $ {command}", flush=True)
    if done.returncode:
        print(done.stdout + done.stderr)
    elif " run " in command:
        print(f"          {done.stdout.strip()}")
    return done.returncode == 0


def is_healthy(folder: Path) -> bool:
    """Whether the sidecar is what `--wait` says."""
    done = subprocess.run(["docker", "compose", "ps", "--format", "json"], cwd=folder, capture_output=True, text=True)
    services = {one["Service"]: one["Health"] for one in map(json.loads, done.stdout.splitlines())}
    print(f"          {services}")
    return services == {"mock": "healthy"}


def nothing_left(folder: Path) -> bool:
    """Whether `down` left no container."""
    done = subprocess.run(["docker", "compose", "ps", "--all", "--quiet"], cwd=folder, capture_output=True, text=True)
    return not done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())

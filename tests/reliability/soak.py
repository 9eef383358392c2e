"""A server that is used for long: what it holds stays flat.

`python tests/reliability/soak.py --seconds 600 --csv soak.csv` serves scenarios under `--reload` and has clients ask for
JSON and streams, run into faults, leave in the midst of both, reset and write files anew. Once a second (at most 600
times) a line of the CSV tells the requests so far and the memory, descriptors, tasks and timers. Exits with 1 when what
is held at the end, between requests, is more than after the first fifth; the hour is `--seconds 3600`.
"""

import argparse
import asyncio
import csv
import http.client
import json
import os
import random
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from mock_server import Settings
from mock_server.server.runner import Runner

SCENARIOS = """
name: text
when: named
reply: {text}
---
name: error
when: named
error: overloaded_error
---
name: slow
when: named
timing: realistic
reply: "{words}"
---
name: template
when: named
reply: {{template: "{{{{ prompt | upper }}}} {{{{ fake.name() }}}}"}}
"""
NAMES = ("text", "error", "slow", "template")
FAULTS = ("error", "disconnect", "reset", "truncate", "garbage", "malformed_json", "error_event", "empty_response")
MOST_MORE = 1.10  # of memory, at the end
MORE = {"descriptors": 2, "tasks": 2, "timers": 8}  # at the end


class Sample(NamedTuple):
    seconds: float
    requests: int
    memory_kb: int
    descriptors: int
    tasks: int
    timers: int


def written(file: Path, turn: int) -> None:
    new = file.with_suffix(".new")
    new.write_text(SCENARIOS.format(text=f"turn {turn}", words="word " * 40))
    new.replace(file)


def ask(at: tuple[str, int], draw: random.Random) -> None:
    name = draw.choice(NAMES)
    body = {
        "model": "claude-opus-4-8",
        "max_tokens": 300,
        "stream": draw.random() < 0.5,
        "messages": [{"role": "user", "content": f"number {draw.randrange(1000)}"}],
    }
    data = json.dumps(body).encode()
    headers = {"x-api-key": f"k{draw.randrange(50)}", "x-mock-scenario": name}
    if draw.random() < 0.2:
        headers["x-mock-fault"] = draw.choice(FAULTS)
    if draw.random() < 0.2:  # leaves, in its request or in the reply
        head = f"POST /v1/messages HTTP/1.1\r\nhost: t\r\ncontent-length: {len(data)}\r\nx-mock-scenario: slow\r\nx-api-key: k\r\n\r\n"
        with socket.create_connection(at, timeout=20) as client:
            part = draw.choice([10, len(data)])
            client.sendall(head.encode() + data[:part])
            if part > 10 and draw.random() < 0.5:
                client.recv(100)
        return
    with closing(http.client.HTTPConnection(*at, timeout=60)) as client:
        client.request("POST", "/v1/messages", data, headers)
        client.getresponse().read()
    if draw.random() < 0.02:
        with closing(http.client.HTTPConnection(*at, timeout=60)) as client:
            client.request("POST", "/_mock/reset?session=default")
            reset = client.getresponse()
            assert reset.status == 200, reset.read()
            reset.read()


def clients(at: tuple[str, int], over: threading.Event, number: int) -> None:
    draw = random.Random(number)
    while not over.is_set():
        with suppress(OSError, http.client.HTTPException):
            ask(at, draw)


async def soak(seconds: float, folder: Path, asking: int) -> list[Sample]:
    """Samples, the last ones of a server that has nothing more to do. Clients are threads of a process of their own."""
    file = folder / "soak.yaml"
    written(file, 0)
    runner = Runner(Settings(port=0, reload=True, time_scale=0.05, journal=str(folder / "journal.jsonl")), [folder])
    await runner.start()
    samples: list[Sample] = []
    every = max(1.0, seconds / 600)
    start = time.monotonic()
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--ask", str(runner.port), "--clients", str(asking), "--seconds", str(seconds)
    )
    try:
        turn = 0
        while time.monotonic() - start < seconds:
            await asyncio.sleep(every)
            turn += 1
            if turn % 3 == 0:
                written(file, turn)
            samples.append(sample(runner, start))
        await child.wait()
        await asyncio.sleep(3)
        samples.append(sample(runner, start))
    finally:
        if child.returncode is None:
            child.kill()
        await runner.stop()
    return samples


def sample(runner: Runner, start: float) -> Sample:
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    loop = asyncio.get_running_loop()
    timers = len([one for one in loop._scheduled if not one.cancelled()])  # type: ignore[attr-defined]
    descriptors, tasks = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
    return Sample(round(time.monotonic() - start, 1), runner.came(), int(found[1]), descriptors, tasks, timers)


def grown(samples: Sequence[Sample]) -> list[str]:
    """What is held at the end and was not held after the first fifth."""
    settled, last = samples[:-1][len(samples) // 5 :], samples[-1]
    fewest = {name: min(getattr(one, name) for one in settled) for name in MORE}
    found = [
        f"{name}: {fewest[name]} -> {getattr(last, name)}"
        for name, more in MORE.items()
        if getattr(last, name) > fewest[name] + more
    ]
    most = max(one.memory_kb for one in settled[: max(1, len(settled) // 4)])
    if last.memory_kb > most * MOST_MORE:
        found.append(f"memory: {most} kB -> {last.memory_kb} kB")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--ask", type=int, help=argparse.SUPPRESS)
    how = parser.parse_args()
    if how.ask:
        over = threading.Event()
        threads = [threading.Thread(target=clients, args=(("127.0.0.1", how.ask), over, n)) for n in range(how.clients)]
        for one in threads:
            one.start()
        time.sleep(how.seconds)
        over.set()
        for one in threads:
            one.join()
        return 0
    if not Path("/proc/self/fd").exists():
        print("the soak reads /proc, which is not here: left out")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        samples = asyncio.run(soak(how.seconds, Path(folder), how.clients))
    with how.csv.open("w", newline="") if how.csv else nullcontext(sys.stdout) as file:
        writer = csv.writer(file)
        writer.writerow(Sample._fields)
        writer.writerows(samples)
    more = grown(samples)
    print(f"{samples[-1].requests} requests in {samples[-1].seconds:.0f} s;", *(more or ["nothing has grown"]))
    return 1 if more else 0


if __name__ == "__main__":
    sys.exit(main())

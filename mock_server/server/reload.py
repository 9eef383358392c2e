"""Watches scenario files and loads them again when one is changed, added or removed."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from mock_server.scenario.load import files, load
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import ScenarioError

log = logging.getLogger("mock_server")
INTERVAL = 0.3

State = tuple[tuple[str, int, int], ...]


def state(paths: Sequence[str | Path]) -> State:
    """What the files look like now: path, time of change, size."""
    try:
        found = files(paths)
    except ScenarioError:
        return ()
    seen = []
    for file in found:
        try:
            stat = file.stat()
        except OSError:
            continue
        seen.append((str(file), stat.st_mtime_ns, stat.st_size))
    return tuple(seen)


async def watch(
    paths: Sequence[str | Path],
    loaded: Callable[[tuple[Scenario, ...]], None],
    failed: Callable[[ScenarioError], None],
    known: State,
) -> None:
    """Until cancelled: call `loaded` with the new set after every change, or `failed` with what is wrong with it."""
    while True:
        await asyncio.sleep(INTERVAL)
        now = await asyncio.to_thread(state, paths)
        if now == known:
            continue
        known = now
        try:
            scenarios = await asyncio.to_thread(load, paths)
        except ScenarioError as error:
            log.error("scenarios not reloaded, the last good ones stay in force:\n%s", error)
            failed(error)
        else:
            log.info("scenarios reloaded: %d", len(scenarios))
            loaded(scenarios)

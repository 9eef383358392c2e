"""Watches scenario files and loads them again when one is changed, added, renamed or removed.

Editors write in steps: a change counts once the files have looked the same twice, and what changed while it was read is
read again. Only changed files are parsed; parsing and compiling happen beside the event loop, the swap is one step.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from mock_server.scenario.load import files
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import Problem, ScenarioError

log = logging.getLogger("mock_server")
INTERVAL = 0.3
SETTLING = 0.05
MOST_CHANGES = 40  # looks at files that keep changing, before they are read as they are

State = tuple[tuple[str, int, int, int], ...]
_T = TypeVar("_T")


def state(paths: Sequence[str | Path]) -> State:
    """What the files look like now: path, time of change, size, inode."""
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
        seen.append((str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(seen)


async def watch(
    paths: Sequence[str | Path],
    load: Callable[[Sequence[str | Path]], tuple[Scenario, ...]],
    prepare: Callable[[tuple[Scenario, ...]], _T],
    loaded: Callable[[_T], None],
    failed: Callable[[ScenarioError], None],
    known: State,
) -> None:
    """Until cancelled: after every change `load` and `prepare` the new set in a thread and call `loaded` with what that
    gives, or `failed` with what is wrong with the files. The set in force stays until then."""
    while True:
        await asyncio.sleep(INTERVAL)
        now = await asyncio.to_thread(state, paths)
        if now == known:
            continue
        known = await _settled(paths, now)
        try:
            scenarios = await asyncio.to_thread(load, paths)
            prepared = await asyncio.to_thread(prepare, scenarios)
        except ScenarioError as error:
            if await asyncio.to_thread(state, paths) != known:
                known = ()  # it changed while it was read: what is wrong may be no more
                continue
            log.error("scenarios not reloaded, the last good ones stay in force:\n%s", error)
            failed(error)
        except Exception as error:
            log.exception("scenarios not reloaded, the last good ones stay in force")
            failed(ScenarioError([Problem("a fault of mock-server", None, f"{type(error).__name__}: {error}")]))
        else:
            log.info("scenarios reloaded: %d", len(scenarios))
            loaded(prepared)


async def _settled(paths: Sequence[str | Path], seen: State) -> State:
    """What the files look like once they keep still."""
    for _ in range(MOST_CHANGES):
        await asyncio.sleep(SETTLING)
        now = await asyncio.to_thread(state, paths)
        if now == seen:
            break
        seen = now
    return seen

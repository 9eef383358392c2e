"""Waiting until something has happened on the server's loop: from another thread, or on any event loop."""

import asyncio
import threading
from collections.abc import Callable

from mock_server.clock import SystemClock

Done = Callable[[], bool]
# has a function called whenever something changes, on the server's loop; returns what ends that
Subscribe = Callable[[Callable[[], None]], Callable[[], None]]


def wait(done: Done, subscribe: Subscribe, timeout: float) -> bool:
    """Block until `done()`; False when it was not within so many seconds. Not for the server's own loop."""
    changed = threading.Event()
    end = subscribe(changed.set)
    deadline = SystemClock.now() + timeout
    try:
        while not done():
            changed.clear()
            if not (done() or changed.wait(max(0.0, deadline - SystemClock.now())) or done()):
                return False
        return True
    finally:
        end()


async def wait_async(done: Done, subscribe: Subscribe, timeout: float) -> bool:
    """The same on an event loop; the seconds begin anew with each change."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(changed.set)

    end = subscribe(tell)
    try:
        while not done():
            changed.clear()
            if not done():
                await asyncio.wait_for(changed.wait(), timeout)
        return True
    except asyncio.TimeoutError:
        return False
    finally:
        end()

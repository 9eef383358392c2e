"""Replies that are not there at once. Those that Python functions give: an async one runs on the server's loop, any
other in a thread of its own. And those that take work, which is done step by step beside everything else.
"""

import asyncio
import inspect
import threading
from typing import Any

from mock_server.engine.exchange import Exchange, Late, Work
from mock_server.scenario.answer import name_of

LIMIT = 5.0


async def resolve(late: Late | Work) -> Exchange:
    """Call the function and make the exchange of what it gives. Raises whatever it raises, and TimeoutError."""
    if isinstance(late, Work):
        return await _done(late)
    limit = late.patience or LIMIT
    try:
        given = await asyncio.wait_for(_call(late), limit)
    except asyncio.TimeoutError:
        raise TimeoutError(f"{name_of(late.function)} gave no reply within {limit:g} s") from None
    except _Raised as raised:
        raise raised.error from None
    return late.settle(given)


async def _done(work: Work) -> Exchange:
    """The exchange that work comes to; what a function raises on the way is for the work to judge."""
    waits = work.waits
    try:
        while True:
            if waits is None:
                await asyncio.sleep(0)
                waits = work.steps.send(None)
                continue
            try:
                given = await resolve(waits)
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # of a test: its own kind of failure is not an Exception
                waits = work.steps.throw(error)
            else:
                waits = work.steps.send(given)
    except StopIteration as end:
        exchange: Exchange = end.value
        return exchange
    finally:
        work.steps.close()


async def _call(late: Late) -> Any:
    """What the function gives. What it raises comes as `_Raised`: a task would hand SystemExit and KeyboardInterrupt to
    its loop, which ends by them, and `wait_for` makes a task of this (Python 3.10, 3.11).
    """
    try:
        if inspect.iscoroutinefunction(late.function):
            return await late.function(late.request)
        given = await _in_thread(late)
        return await given if inspect.isawaitable(given) else given
    except (asyncio.CancelledError, _Raised):
        raise
    except BaseException as error:
        raise _Raised(error) from error


async def _in_thread(late: Late) -> Any:
    """A daemon thread, not the loop's pool: a function that never returns must not keep the server from stopping."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: BaseException | None) -> None:
        if done.done():  # nobody waits any more
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(_Raised(error))

    def run() -> None:
        result, error = None, None
        try:
            result = late.function(late.request)
        except BaseException as raised:  # of a test: its own kind of failure is not an Exception
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name="mock-server reply", daemon=True).start()
    return await done


class _Raised(Exception):
    """Carries an exception through futures and tasks, which refuse some kinds (StopIteration) or end their loop."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(repr(error))
        self.error = error

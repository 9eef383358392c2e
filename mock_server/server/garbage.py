"""When garbage is collected: when nobody waits for it. For a process that is a server and nothing else."""

import gc
from asyncio import sleep
from collections.abc import Callable

LOOK = 0.25  # seconds
WORTH_IT = 5_000  # new objects
# Of new objects, of such collections, of those of the middle-aged: a look through 10,000 new objects takes half a
# millisecond, one through 50,000 stops all streams for 2 to 5. What outlives it is looked at when nobody waits.
THRESHOLDS = (10_000, 100, 100)


def settle() -> None:
    """What is loaded now stays: a full collection over it and thousands of streams would stop the loop for 250 ms.

    Nothing is collected now: the command has switched the collector off while it starts (`__main__`), and the little
    garbage of that is not worth the time.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()


class Collector:
    """Collects between bursts. Python does it by itself in the midst of one, which stops all streams for 10 ms."""

    def __init__(self, came: Callable[[], int], under_way: Callable[[], int]) -> None:
        """`came`: how many requests so far; `under_way`: how many of them are not answered yet."""
        self._came = came
        self._under_way = under_way
        self._before = -1

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await sleep(LOOK)
            self.look()

    def look(self) -> None:
        """Collect if nothing has come since the last look, and nothing is under way."""
        came = self._came()
        new, survived, _ = gc.get_count()
        if came == self._before and (new > WORTH_IT or survived) and not self._under_way():
            gc.collect(1)
        self._before = came

"""Whether a server still answers one client while another one keeps it busy."""

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

LONGEST = 0.1  # seconds that a client may wait
TRIES = 4


def longest_wait(beat: Callable[[], Any], busy: Callable[[], Any]) -> float:
    """The longest that `beat` took while `busy` ran in a thread, in seconds; both ask the same server.

    A machine that others keep busy is told by how long beats take when nobody is: so much is taken off, and the calmest
    of a few tries counts. What really holds the server holds it in every try.
    """
    calmest = float("inf")
    for _ in range(TRIES):
        usual = _longest(beat, lambda: time.sleep(0.02))
        calmest = min(calmest, _longest(beat, busy) - usual)
        if calmest <= LONGEST:
            break
    return calmest


def _longest(beat: Callable[[], Any], busy: Callable[[], Any]) -> float:
    thread = Thread(target=busy)
    thread.start()
    longest, is_last = 0.0, False
    while not is_last:
        is_last = not thread.is_alive()
        before = time.perf_counter()
        beat()
        longest = max(longest, time.perf_counter() - before)
    thread.join()
    return longest

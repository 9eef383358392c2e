"""Randomness that repeats: everything drawn comes from a seed and what was asked, never from arrival order.

Content is drawn from (seed, fingerprint); ids and jitter from (seed, key, fingerprint, n), n being how often this key
has sent the fingerprint before.
"""

import functools
import hashlib
import os
import random
from collections.abc import Callable

from mock_server.protocol.signing import letters


def content_seed(seed: int | None, fingerprint: bytes) -> bytes:
    """The seed of generated text and tool input. Without a seed it is that of seed 0: content always repeats."""
    return hashlib.blake2b(b"content" + fingerprint, key=_key(seed), digest_size=16).digest()


def exchange_seed(seed: int | None, key: str, fingerprint: bytes, n: int) -> bytes:
    """The seed of ids and jitter of one exchange."""
    joined = b"\0".join((b"exchange", key.encode(), fingerprint, str(n).encode()))
    return hashlib.blake2b(joined, key=_key(seed), digest_size=16).digest()


def _key(seed: int | None) -> bytes:
    return str(seed or 0).encode()[:64]


# The API's ids are numbers of 128 bits to the base 58, of which the first 48 bits are the milliseconds since 1970; from
# June 2023 to May 2028 they begin alike. Six more digits tell the time to 4 ms; behind those ours are chance.
_ALIKE, _LENGTH = "011C", 24
_DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_TICKS = 1000 * 2**80 / 58**14  # a second


@functools.lru_cache(maxsize=16)
def _since(ticks: int) -> str:
    """How an id of this time begins: six of its digits grow with time."""
    digits = ""
    for _ in range(6):
        ticks, digit = divmod(ticks, 58)
        digits = _DIGITS[digit] + digits
    return _ALIKE + digits


class Chance:
    """Letters and digits by chance, drawn for many exchanges at a time."""

    MANY, SIZE = 128, 32  # pieces, and the letters of each: two ids need no more

    def __init__(self) -> None:
        self._random = random.Random()
        self._pieces: list[str] = []

    def piece(self) -> str:
        """32 letters that nobody else gets, from whatever thread."""
        try:
            return self._pieces.pop()
        except IndexError:
            drawn = letters(self._random.randbytes(self.MANY * self.SIZE * 3 // 4))
            self._pieces += [drawn[at : at + self.SIZE] for at in range(0, len(drawn), self.SIZE)]
            return self._pieces.pop()


class Ids:
    """The ids of one exchange: a stream of letters from its seed, or from `chance` when there is none. A seed that is
    still to be worked out is so when the first is drawn.

    Those of messages, requests, containers and files begin as the API's do, and without a seed they grow with time as
    well: `unix` is when they are made.
    """

    __slots__ = ("_at", "_begin", "_chance", "_drawn", "_rest", "_seed")

    def __init__(
        self, seed: bytes | Callable[[], bytes] | None, chance: Chance | None = None, unix: float = 0.0
    ) -> None:
        self._seed = seed
        self._chance = chance
        self._at = 0
        if seed is None:
            self._begin = _since(int(unix * _TICKS))
            self._drawn = "" if chance is None else chance.piece()
        else:
            self._begin, self._drawn = _ALIKE, ""
        self._rest = _LENGTH - len(self._begin)

    def take(self, length: int) -> str:
        """The next `length` letters and digits."""
        end = self._at + length
        while len(self._drawn) < end:
            self._drawn += self._more(len(self._drawn))
        taken = self._drawn[self._at : end]
        self._at = end
        return taken

    def _more(self, at: int) -> str:
        if callable(self._seed):
            self._seed = self._seed()
        if self._seed is None:
            return letters(os.urandom(48)) if self._chance is None else self._chance.piece()
        return letters(hashlib.blake2b(at.to_bytes(8, "big"), key=self._seed).digest())

    def new(self, kind: str) -> str:
        """An id as the API's are: of a message (`msg`), a request (`req`), a container or a file."""
        end = self._at + self._rest
        if end > len(self._drawn):
            return f"{kind}_{self._begin}{self.take(self._rest)}"
        drawn = self._drawn[self._at : end]
        self._at = end
        return f"{kind}_{self._begin}{drawn}"


def chance(seed: bytes, label: str) -> float:
    """A number from 0 up to 1, one for each label."""
    return int.from_bytes(hashlib.blake2b(label.encode(), key=seed, digest_size=7).digest(), "big") / 2**56


def jitter(seed: bytes) -> random.Random:
    """The generator that moves the delays of one exchange."""
    return random.Random(seed + b"jitter")

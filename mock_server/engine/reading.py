"""What a body says, before anybody asks whose it is: parsed and judged by the settings in force, and counted.

It depends on the bytes and the settings alone. So a large body is read in another thread while others are answered, and
its reading waits in the call for the endpoint that asks for it.
"""

import hashlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from mock_server.protocol.errors import ApiError
from mock_server.protocol.expression import Allowance, bounded
from mock_server.protocol.request import HttpRequest

if TYPE_CHECKING:
    from mock_server.engine.session import Terms

log = logging.getLogger("mock_server")

Reader = Callable[[HttpRequest, "Terms"], Any]


class Reading(NamedTuple):
    """What a reader made of a body under these terms, or the error that it raised. `spent`: what is left to the request
    after that. `digests`: with a seed, those of the request and of its body alone.
    """

    terms: "Terms"
    spent: Allowance
    value: Any = None
    error: ApiError | None = None
    digests: tuple[bytes, bytes] | None = None

    def told(self) -> Any:
        """The value. Raises the ApiError."""
        if self.error is not None:
            raise self.error
        return self.value


def read_apart(reader: Reader, http: HttpRequest, terms: "Terms") -> Reading | None:
    """Read a body in whatever thread this is; None where that is a fault of ours, which shows when it is answered."""
    digests = None if terms.settings.seed is None else (digest_of(http), digest(http.body))
    with bounded() as spent:
        try:
            return Reading(terms, spent, reader(http, terms), None, digests)
        except ApiError as error:
            return Reading(terms, spent, None, error, digests)
        except Exception:
            log.debug("a large body could not be read apart", exc_info=True)
            return None


def digest(*pieces: bytes) -> bytes:
    """16 bytes that stand for what these pieces say together."""
    made = hashlib.blake2b(digest_size=16)
    for piece in pieces:
        made.update(piece)
    return made.digest()


def digest_of(http: HttpRequest, reading: Reading | None = None) -> bytes:
    """What stands for a request before it is understood. `reading`: what was made of it, and may know that already."""
    if reading is not None and reading.digests is not None:
        return reading.digests[0]
    return digest(f"{http.method} {http.path}".encode(), http.body)

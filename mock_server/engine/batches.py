"""The message batches of one session: their requests, how far they have come, what came out. State only.

Nothing runs in the background: a batch learns the time when somebody looks. It is `in_progress` until its seconds have
passed, `canceling` for a while when it is canceled, and `ended` once its requests are answered, which the first to look
sees to. Facts: docs/protocol.md F.3. Times are seconds; `now` is of a clock that never goes back.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mock_server.clock import INSTANT, rfc3339
from mock_server.protocol.errors import ApiError, invalid

DAY = 86_400.0
EXPIRES = DAY  # what is not done by then expires
ARCHIVED = 29 * DAY  # results are kept so long
CANCELING = 0.1  # of the batch's seconds

MOST_BATCHES = 1_000
MOST_REQUESTS = 200_000
MOST_BYTES = 512 << 20
FRAME = 64 << 10  # bytes of results that go out as one piece

Kind = Literal["succeeded", "errored", "canceled", "expired"]
KINDS: tuple[Kind, ...] = ("succeeded", "errored", "canceled", "expired")
_MEMBERS: Mapping[Kind, bytes] = {"succeeded": b"message", "errored": b"error"}  # what a result has beside its type


class Item(NamedTuple):
    """One request of a batch: the name its sender gave it (letters, digits, _ and -), and its parameters as JSON."""

    custom_id: str
    params: bytes


class Sender(NamedTuple):
    """Who made a batch: the API key, and the headers that its requests are answered under."""

    key: str
    headers: Mapping[str, str]


class Batch:
    """One batch. `seconds`: how long it takes; with 0, `in_progress` and `canceling` last until somebody looks."""

    def __init__(
        self, id: str, items: Sequence[Item], sender: Sender, *, now: float, unix: float, seconds: float
    ) -> None:
        self.id = id
        self.total = len(items)
        self.sender = sender
        self.seconds = seconds
        self.is_answering = False
        self.frames: list[bytes] = []
        self.size = sum(len(item.params) + len(item.custom_id) for item in items)
        self._items = list(items)
        self._counts: Counter[str] = Counter()
        self._lines: list[bytes] = []
        self._held = 0
        self._began = now
        self._created = unix
        self._canceled: float | None = None

    # -- time ----------------------------------------------------------------------------------------------------

    @property
    def _over(self) -> float:
        """When processing is over."""
        own = self._began + min(self.seconds, EXPIRES)
        if self._canceled is None:
            return own
        return max(self._canceled, min(own, self._canceled + self.seconds * CANCELING))

    def is_over(self, now: float) -> bool:
        """Whether its time is over, answered or not."""
        return now + INSTANT >= self._over

    @property
    def has_ended(self) -> bool:
        """Whether all of it is answered."""
        return self.settled == self.total

    def is_archived(self, now: float) -> bool:
        """Whether its results are no longer there."""
        return now + INSTANT >= self._began + ARCHIVED

    @property
    def reached(self) -> int:
        """How many of its requests, from the first on, are answered before it is canceled or expires."""
        stopped = self._began + EXPIRES if self._canceled is None else self._canceled
        lasted = stopped - self._began
        if self._canceled is None and self.seconds <= EXPIRES:
            return self.total
        return min(self.total, int(self.total * (lasted + INSTANT) / self.seconds)) if self.seconds else 0

    @property
    def left(self) -> Kind:
        """What becomes of the others."""
        return "expired" if self._canceled is None else "canceled"

    def cancel(self, now: float) -> None:
        """Begin to cancel; once more changes nothing. Raises ApiError (400) when it has ended."""
        if self.has_ended or (self.seconds and self.is_over(now)):
            raise invalid(f"Batch {self.id} has already ended and cannot be canceled")
        if self._canceled is None:
            self._canceled = now

    # -- results -------------------------------------------------------------------------------------------------

    @property
    def settled(self) -> int:
        """How many of its requests are answered."""
        return self._counts.total()

    def pending(self) -> Iterable[Item]:
        """The requests that are not answered yet, in order; each must be settled before the next is taken."""
        while not self.has_ended:
            yield self._items[self.settled]

    def settle(self, item: Item, kind: Kind, body: bytes = b"") -> None:
        """Write down what came out of the first pending request: its kind and, as JSON, the message or the error."""
        member = b',"%b":%b' % (_MEMBERS[kind], body) if body else b""
        line = b'{"custom_id":"%b","result":{"type":"%b"%b}}\n' % (item.custom_id.encode(), kind.encode(), member)
        self._counts[kind] += 1
        self._lines.append(line)
        self._held += len(line)
        self.size += len(line)
        if self._held >= FRAME or self.has_ended:
            self.frames.append(b"".join(self._lines))
            self._lines, self._held = [], 0
        if self.has_ended:
            self.size = sum(map(len, self.frames))
            self._items = []

    def allow_results(self, now: float) -> None:
        """Raises ApiError (404, rule 149) while there are no results yet, and when they are too old."""
        if self.is_archived(now):
            self.frames, self.size = [], 0
            raise ApiError("not_found_error", f"The results of batch {self.id} are no longer available")
        if not self.is_over(now) or self.is_answering:
            raise ApiError("not_found_error", f"Message Batch {self.id} has no available results.")

    # -- as the API shows it -------------------------------------------------------------------------------------

    def payload(self, now: float, results_url: str) -> dict[str, Any]:
        """The batch as a JSON object."""
        ended, archived = self.has_ended, self.is_archived(now)
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress" if self._canceled is None else "canceling",
            "request_counts": {
                "processing": 0 if ended else self.total,
                **{kind: self._counts[kind] if ended else 0 for kind in KINDS},
            },
            "created_at": self._moment(self._began),
            "expires_at": self._moment(self._began + EXPIRES),
            "ended_at": self._moment(self._over) if ended else None,
            "cancel_initiated_at": None if self._canceled is None else self._moment(self._canceled),
            "archived_at": self._moment(self._began + ARCHIVED) if archived else None,
            "results_url": results_url if ended and not archived else None,
        }

    def _moment(self, at: float) -> str:
        return rfc3339(self._created + at - self._began)


class Batches:
    """The batches of one session, oldest first; those that have ended make room for new ones."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Batch] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def newest_first(self) -> list[Batch]:
        """All of them."""
        return list(reversed(self._held.values()))

    def find(self, id: str) -> Batch:
        """The batch of this id. Raises ApiError (404): rule 151."""
        batch = self._held.get(id)
        if batch is None:
            raise ApiError("not_found_error", f"Message Batch {id} not found.")
        return batch

    def add(self, batch: Batch, now: float) -> None:
        """Hold one more. Raises ApiError (429) when what is still being processed leaves no room for it."""
        count, total = len(self._held), sum(held.total for held in self._held.values())
        size = sum(held.size for held in self._held.values())
        over = (held for held in list(self._held.values()) if held.is_over(now) and not held.is_answering)

        def fits() -> bool:
            return count < MOST_BATCHES and total + batch.total <= MOST_REQUESTS and size + batch.size <= MOST_BYTES

        while not fits() and (old := next(over, None)) is not None:
            del self._held[old.id]
            count, total, size = count - 1, total - old.total, size - old.size
        if not fits():
            raise ApiError(
                "rate_limit_error",
                f"This batch does not fit beside those in progress: a session holds {MOST_BATCHES} batches with "
                f"{MOST_REQUESTS} requests and {MOST_BYTES >> 20} MB",
                headers={"x-should-retry": "false"},
            )
        self._held[batch.id] = batch

    def delete(self, id: str, now: float) -> None:
        """Forget one. Raises ApiError: 404 for an unknown id, 400 (rule 150) while it is being processed."""
        batch = self.find(id)
        if not batch.is_over(now) or batch.is_answering:
            raise invalid("In progress batches cannot be deleted. Consider canceling the batch instead.")
        del self._held[id]

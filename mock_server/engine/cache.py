"""The prompt cache, by prefix: what a request reads from it, what it writes. Arithmetic: docs/protocol.md G.1.

An entry is the digest of a prompt up to a mark. A request looks back from each of its marks over 20 blocks; the
longest entry found is read, what lies between it and the last mark is written. Below a model's minimum nothing
happens. Entries live 5 minutes or an hour from the start of the request that wrote or last read them.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mock_server.protocol.prompt import Prefix, Step

LOOKBACK = 20
SECONDS: Mapping[str, int] = {"5m": 300, "1h": 3600}
MOST_ENTRIES = 20_000
MOST_REMEMBERED = 1_000
MOST_STEPS = 200_000  # of all prompts that are remembered; one of many blocks has as many


class CacheUse(NamedTuple):
    """Tokens of one prompt: read from the cache, written to live 5 minutes or an hour, and the rest."""

    read: int = 0
    written_5m: int = 0
    written_1h: int = 0
    uncached: int = 0

    @property
    def written(self) -> int:
        return self.written_5m + self.written_1h


class Admission(NamedTuple):
    """What a request does with the cache: the counters, and the entries to write or keep alive (digest, seconds)."""

    use: CacheUse
    entries: tuple[tuple[bytes, int], ...] = ()


class _Entry(NamedTuple):
    usable_from: float
    until: float
    seconds: int


class PromptCache:
    """The entries of one session. `admit` looks, `commit` writes; times are in seconds."""

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._asked: OrderedDict[str, Prefix] = OrderedDict()
        self._steps = 0

    def admit(self, prefix: Prefix, total: int, minimum: int, now: float) -> Admission:
        """What a prompt of `total` tokens finds and would leave behind."""
        steps = prefix.steps
        marked = [at for at in prefix.marked if steps[at].tokens >= minimum]
        if not marked:
            return Admission(CacheUse(uncached=total))
        hit = max((found for at in marked if (found := self._found(steps, at, now)) is not None), default=None)
        read = 0 if hit is None else steps[hit].tokens
        last = steps[marked[-1]].tokens
        hour = max((steps[at].tokens for at in marked if steps[at].ttl == "1h"), default=0)
        written_1h = max(0, hour - read)
        use = CacheUse(read, max(0, last - read) - written_1h, written_1h, total - max(last, read))
        return Admission(use, self._kept(steps, marked, hit))

    def _found(self, steps: Sequence[Step], at: int, now: float) -> int | None:
        """The nearest step before (and with) a mark that is in the cache."""
        for back in range(at, max(-1, at - LOOKBACK), -1):
            entry = self._entries.get(steps[back].digest)
            if entry is not None and entry.usable_from <= now < entry.until:
                return back
        return None

    def _kept(self, steps: Sequence[Step], marked: Sequence[int], hit: int | None) -> tuple[tuple[bytes, int], ...]:
        kept = {steps[at].digest: SECONDS[steps[at].ttl or "5m"] for at in marked}
        if hit is not None and (entry := self._entries.get(steps[hit].digest)) is not None:
            kept[steps[hit].digest] = max(entry.seconds, kept.get(steps[hit].digest, 0))
        return tuple(kept.items())

    def commit(self, admission: Admission, now: float, usable_from: float) -> None:
        """Write the entries of a request that began `now` and whose reply begins at `usable_from`."""
        for digest, seconds in admission.entries:
            old = self._entries.pop(digest, None)
            first = min(old.usable_from, usable_from) if old is not None and now < old.until else usable_from
            self._entries[digest] = _Entry(first, now + seconds, seconds)
        while len(self._entries) > MOST_ENTRIES:
            self._entries.popitem(last=False)

    # -- diagnostics ------------------------------------------------------------------------------------------------

    def remember(self, message_id: str, prefix: Prefix) -> None:
        """Keep what a prompt was, for a later request that asks why it missed the cache."""
        old = self._asked.pop(message_id, None)
        self._steps += len(prefix.steps) - (0 if old is None else len(old.steps))
        self._asked[message_id] = prefix
        while len(self._asked) > MOST_REMEMBERED or (self._steps > MOST_STEPS and len(self._asked) > 1):
            self._steps -= len(self._asked.popitem(last=False)[1].steps)

    def miss_reason(self, previous_id: str, prefix: Prefix) -> dict[str, Any] | None:
        """Why this prompt could not go on where the previous one ended; None when it could."""
        before = self._asked.get(previous_id)
        if before is None:
            return {"type": "previous_message_not_found"}
        known = {step.digest for step in prefix.steps}
        if before.steps and before.steps[-1].digest in known:
            return None
        shared = max((step.tokens for step in before.steps if step.digest in known), default=0)
        missed = (before.steps[-1].tokens if before.steps else 0) - shared
        for level, type in (("model", "model_changed"), ("tools", "tools_changed"), ("system", "system_changed")):
            if getattr(before, level) != getattr(prefix, level):
                return {"type": type, "cache_missed_input_tokens": missed}
        return {"type": "messages_changed", "cache_missed_input_tokens": missed}

"""The prompt cache, by prefix: a prompt as steps, what a request reads from the cache, what it writes. Arithmetic:
docs/protocol.md G.1.

An entry is the digest of a prompt up to a mark. A request looks back from each of its marks over 20 blocks; the
longest entry found is read, what lies between it and the last mark is written. Below a model's minimum nothing
happens. Entries live 5 minutes or an hour from the start of the request that wrote or last read them.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, Literal, NamedTuple

from mock_server.protocol import signing
from mock_server.protocol.profile import Model
from mock_server.protocol.request import THOUGHTS, MessagesRequest, blocks
from mock_server.protocol.sse import dumps
from mock_server.protocol.tokens import (
    CITATIONS,
    CLOSING,
    FRAMING,
    PER_MESSAGE,
    Cost,
    TokenCounter,
    block_cost,
    cites,
    format_prompt,
    own_prompt,
    thinking_prompt,
    tool_prompt,
)

# A prompt as the cache sees it: a step for each block, up to which it may be cached.

_PIECE = 1 << 16  # letters of a text that are digested at once
TTL = Literal["5m", "1h"]
_MARKED_TEXT = frozenset(("type", "text", "cache_control"))


class Step(NamedTuple):
    """The prompt up to and with one block: a digest of it, its tokens, and the mark that the block carries."""

    digest: bytes
    tokens: int
    ttl: TTL | None = None


class Prefix(NamedTuple):
    """The steps of a prompt, where those with a mark are, and digests of the model, of the tools and of the system
    prompt.
    """

    steps: Sequence[Step]
    marked: Sequence[int]
    model: bytes
    tools: bytes
    system: bytes


class _Chain:
    """Digests that each stand for all before them, with the cost so far."""

    def __init__(self, model: Model, digest: bytes, cost: Cost) -> None:
        self.digest = digest
        self.text, self.fixed = cost
        self._factor = model.token_factor
        self.steps: list[Step] = []
        self.marked: list[int] = []

    def mix(self, value: object) -> None:
        self.digest = _hash(self.digest, signing.canonical(value))

    def add(self, block: Mapping[str, Any], cost: Cost) -> None:
        text = block.get("text")
        if type(text) is str and len(text) <= _PIECE and block.keys() <= _MARKED_TEXT and block.get("type") == "text":
            plain = f'{{"text":{encode_basestring_ascii(text)},"type":"text"}}'  # as `canonical` writes it
            self.digest = _hash(self.digest, plain)
        else:
            self.mix(_unmarked(block))
        self.text += cost.text
        self.fixed += cost.fixed
        mark = block.get("cache_control")
        ttl: TTL | None = None if not isinstance(mark, Mapping) else "1h" if mark.get("ttl") == "1h" else "5m"
        if ttl is not None:
            self.marked.append(len(self.steps))
        self.steps.append(Step(self.digest, round(self.text * self._factor) + self.fixed, ttl))

    def mark(self, at: int, ttl: TTL) -> None:
        """Give a step a mark, or another one."""
        self.steps[at] = self.steps[at]._replace(ttl=ttl)
        if at not in self.marked:
            self.marked.append(at)
            self.marked.sort()


class _Opening(NamedTuple):
    """A prompt up to its messages: the digest and the cost to go on from, and its steps."""

    digest: bytes
    cost: Cost
    steps: Sequence[Step]
    marked: Sequence[int]
    model: bytes
    tools: bytes
    system: bytes


class _MessageSteps(NamedTuple):
    """The steps of all messages: how many there are before each message and after the last, the digest and the cost
    there, and where the turn began that was under way.
    """

    steps: Sequence[Step]
    marked: Sequence[int]
    counts: Sequence[int]
    states: Sequence[tuple[bytes, Cost]]
    turn: int


def prefix(request: MessagesRequest, model: Model, counter: TokenCounter) -> Prefix:
    """The prompt as the cache sees it. What changes for a level is mixed in where that level begins."""
    request = request.merged
    name = ("opening", model.id, cites(request), "image" in request.kinds)
    opening: _Opening | None = request.steady.get(name)
    if opening is None:
        opening = request.steady[name] = _opening(request, model, counter)
    messages = _message_steps(request, opening, ("steps", *name), model, counter)
    chain = _Chain(model, opening.digest, opening.cost)
    chain.steps = [*opening.steps, *messages.steps]
    first = len(opening.steps)
    chain.marked = [*opening.marked, *[first + at for at in messages.marked]]
    _mark_automatically(chain, request)
    return Prefix(chain.steps, chain.marked, opening.model, opening.tools, opening.system)


def _opening(request: MessagesRequest, model: Model, counter: TokenCounter) -> _Opening:
    chain = _Chain(model, _hash(b"", model.id), Cost())
    root = chain.digest
    searches = [tool for tool in request.tools if _is_search(tool)]
    if request.tools:
        chain.fixed += tool_prompt(request, model)
    for tool in request.tools:
        chain.add({} if _is_search(tool) else tool, Cost(counter.count(dumps(tool)), own_prompt(tool)))
        if _is_search(tool) and tool.get("cache_control"):
            chain.mark(-1 + len(chain.steps), tool["cache_control"].get("ttl") or "5m")
    tools = chain.digest
    quotes = cites(request)
    chain.mix([searches, request.body.get("speed"), quotes, request.format])
    chain.fixed += format_prompt(request) + (CITATIONS if quotes else 0)
    for block in blocks(request.body.get("system")):
        chain.add(block, Cost(counter.count(block["text"])))
    system = chain.digest
    body = request.body
    chain.mix([body.get("tool_choice"), body.get("thinking"), request.effort, "image" in request.kinds])
    chain.fixed += thinking_prompt(request, model)
    return _Opening(chain.digest, Cost(chain.text, chain.fixed), chain.steps, chain.marked, root, tools, system)


def _message_steps(
    request: MessagesRequest, opening: _Opening, name: Any, model: Model, counter: TokenCounter
) -> _MessageSteps:
    """The steps of the messages; from where they part from those of an earlier conversation, if there was one."""
    now = request.outline.turn
    old, shared = request.before(name)
    if old is None:
        old, shared = _MessageSteps((), (), (0,), ((opening.digest, opening.cost),), now), 0
    elif old.turn != now and not request.kinds.isdisjoint(THOUGHTS):
        shared = min(shared, old.turn, now)  # thoughts cost nothing once their turn is over
    counts, states = list(old.counts[: shared + 1]), list(old.states[: shared + 1])
    chain = _Chain(model, *states[-1])
    chain.steps = list(old.steps[: counts[-1]])
    chain.marked = [at for at in old.marked if at < counts[-1]]
    for at in range(shared, len(request.messages)):
        message = request.messages[at]
        chain.mix(message["role"])
        chain.fixed += PER_MESSAGE if at else FRAMING - CLOSING
        for block in blocks(message["content"]):
            chain.add(block, block_cost(block, model, counter, is_current=at >= now))
        counts.append(len(chain.steps))
        states.append((chain.digest, Cost(chain.text, chain.fixed)))
    found = request.scanned[name] = _MessageSteps(chain.steps, chain.marked, counts, states, now)
    return found


def _mark_automatically(chain: _Chain, request: MessagesRequest) -> None:
    """Put the mark of the top level on the last block that can carry one."""
    mark = request.body.get("cache_control")
    if not isinstance(mark, Mapping):
        return
    contents = [*request.tools, *blocks(request.body.get("system"))]
    contents += [block for message in request.messages for block in blocks(message["content"])]
    for at in range(len(chain.steps) - 1, -1, -1):
        block = contents[at]
        if block.get("type") not in THOUGHTS and block.get("text") != "":
            if chain.steps[at].ttl is None:
                chain.mark(at, mark.get("ttl") or "5m")
            break


def _hash(before: bytes, text: str) -> bytes:
    digest = hashlib.blake2b(before, digest_size=16)
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.digest()


def _unmarked(value: Any) -> Any:
    """What of a block the cache goes by: all but its mark. Of a long text a digest stands for it, made in steps."""
    if isinstance(value, str):
        return {"text of many pieces": _digest(value)} if len(value) > _PIECE else value
    if isinstance(value, dict):
        return {key: _unmarked(item) for key, item in value.items() if key != "cache_control"}
    return [_unmarked(item) for item in value] if isinstance(value, list) else value


def _digest(text: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for at in range(0, len(text), _PIECE):
        digest.update(text[at : at + _PIECE].encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _is_search(tool: Mapping[str, Any]) -> bool:
    return str(tool.get("type")).startswith(("web_search", "octen_"))


def prefixed(request: MessagesRequest, model: Model, counter: TokenCounter) -> Prefix:
    """The prompt as the cache sees it, worked out once a request."""
    found: Prefix | None = request.prefixes.get(model.id)
    if found is None:
        found = request.prefixes[model.id] = prefix(request, model, counter)
    return found


# What is in the cache.

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
        self._prompts: OrderedDict[str, Prefix] = OrderedDict()
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
        """Keep a prompt, for a later request that wants to know why it missed the cache."""
        old = self._prompts.pop(message_id, None)
        self._steps += len(prefix.steps) - (0 if old is None else len(old.steps))
        self._prompts[message_id] = prefix
        while len(self._prompts) > MOST_REMEMBERED or (self._steps > MOST_STEPS and len(self._prompts) > 1):
            self._steps -= len(self._prompts.popitem(last=False)[1].steps)

    def miss_reason(self, previous_id: str, prefix: Prefix) -> dict[str, Any] | None:
        """Why this prompt could not go on where the previous one ended; None when it could."""
        before = self._prompts.get(previous_id)
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

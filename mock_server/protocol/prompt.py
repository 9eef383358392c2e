"""What the prompt of a request costs, block by block: tools, then system, then messages.

The numbers are estimates: text by the one token count times the model's factor, images by the published formula, all
else by what recorded requests cost beside their text. Facts: docs/protocol.md G.1 and G.2.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, Literal, NamedTuple

from mock_server.protocol import media, signing
from mock_server.protocol.profile import Model
from mock_server.protocol.request import LONG, Block, MessagesRequest, blocks
from mock_server.protocol.sse import dumps, dumps_read
from mock_server.protocol.tokens import TokenCounter

FRAMING = 7
CLOSING = 3  # of it what stands after the last block: so much is left when that is cached
PER_MESSAGE = 4
DOCUMENT, CITATIONS = 33, 540  # a text document beside its text; that documents may be cited, once
_FORMAT, _FORMAT_LETTER = 75, 0.45  # an output format, and each letter of its JSON
# The hidden prompts of tools that the API knows by itself, beside what the request says of them. Those of bash and of
# the editors are documented, the others recorded; of newer searches nothing is known but that they have one.
_TOOLS: Mapping[str, int] = {
    "memory_20250818": 1050,
    "computer_20241022": 1090,
    "computer_20250124": 1090,
    "computer_20251124": 1280,
    "web_search_20250305": 1650,
    "web_search_20260209": 1650,
    "web_search_20260318": 1650,
    "advisor_20260301": 650,
    "bash_20241022": 245,
    "bash_20250124": 245,
    "text_editor_20241022": 700,
    "text_editor_20250124": 700,
    "text_editor_20250429": 700,
    "text_editor_20250728": 700,
}
# parameters that bring no hidden prompt of their own
_PLAIN = frozenset(("model", "messages", "max_tokens", "system", "stream", "tools", "tool_choice", "metadata"))
_PIECE = 1 << 16  # letters of a text that are digested at once
_THOUGHTS = ("thinking", "redacted_thinking")
_FORCED = ("any", "tool")
_MARKED_TEXT = frozenset(("type", "text", "cache_control"))
TTL = Literal["5m", "1h"]


class Cost(NamedTuple):
    """Tokens: of text, which a model's factor scales, and those that are a model's own already."""

    text: int = 0
    fixed: int = 0

    def on(self, model: Model) -> int:
        return round(self.text * model.token_factor) + self.fixed

    def __add__(self, other: object) -> "Cost":
        if not isinstance(other, Cost):
            return NotImplemented
        return Cost(self.text + other.text, self.fixed + other.fixed)


def counted(request: MessagesRequest, model: Model, counter: TokenCounter) -> int:
    """The estimate of what a request's prompt costs, of a long one worked out once."""
    if len(request.raw) < LONG:
        return input_tokens(request, model, counter)
    found = request.costs.get(model.id)
    if found is None:
        found = request.costs[model.id] = input_tokens(request, model, counter)
    return found


def prefixed(request: MessagesRequest, model: Model, counter: TokenCounter) -> "Prefix":
    """The prompt as the cache sees it, worked out once a request."""
    found: Prefix | None = request.prefixes.get(model.id)
    if found is None:
        found = request.prefixes[model.id] = prefix(request, model, counter)
    return found


def input_tokens(request: MessagesRequest, model: Model, counter: TokenCounter) -> int:
    """The estimate of what a request's prompt costs."""
    messages = request.messages
    if len(messages) > 1:
        request = request.merged
        messages = request.messages
    name = ("cost", model.id)
    steady: Cost | None = request.steady.get(name)
    if steady is None:
        steady = request.steady[name] = _steady_cost(request, model, counter)
    text, fixed = steady
    if len(messages) == 1:
        content = messages[0]["content"]
        if type(content) is str:
            return round((text + counter.count(content)) * model.token_factor) + fixed
        said = request.question
        if said is None:
            said = [block["text"] for block in content if block["type"] == "text"]
        if len(said) == len(content):
            return round((text + sum(map(counter.count, said))) * model.token_factor) + fixed
    if _cites(request):
        fixed += CITATIONS

    def add(before: "_Costs", message: Mapping[str, Any]) -> "_Costs":
        return _with_message(before, message, model, counter)

    costs = request.scan(name, _NOTHING, add)
    past, whole = costs[request.outline.turn], costs[len(messages)]
    text += whole[0] - past[2]
    fixed += whole[1] - past[3] + PER_MESSAGE * (len(messages) - 1)
    return round(text * model.token_factor) + fixed


def _steady_cost(request: MessagesRequest, model: Model, counter: TokenCounter) -> Cost:
    """What all but the messages costs."""
    text, fixed = 0, FRAMING
    for block in blocks(request.body.get("system")):
        text += counter.count(block["text"])
    if request.tools:
        fixed += tool_prompt(request, model)
        for tool in request.tools:
            text += counter.count(dumps(tool))
            if "type" in tool:
                fixed += own_prompt(tool)
    if not _PLAIN.issuperset(request.body):
        fixed += thinking_prompt(request, model) + format_prompt(request)
    return Cost(text, fixed)


# of some messages: the text and the fixed tokens of all of it, and those of the thoughts in it
_Costs = tuple[int, int, int, int]
_NOTHING: _Costs = (0, 0, 0, 0)


def _with_message(before: _Costs, message: Mapping[str, Any], model: Model, counter: TokenCounter) -> _Costs:
    text, fixed, text_thought, fixed_thought = before
    content = message["content"]
    if type(content) is str:
        return text + counter.count(content), fixed, text_thought, fixed_thought
    for block in content:
        kind = block["type"]
        if kind == "text":
            text += counter.count(block["text"])
        elif kind == "tool_result" and type(inner := block.get("content")) is str:
            text += counter.count(inner)
        else:
            cost = block_cost(block, model, counter)
            text += cost.text
            fixed += cost.fixed
            if kind in _THOUGHTS:
                text_thought += cost.text
                fixed_thought += cost.fixed
    return text, fixed, text_thought, fixed_thought


def tool_prompt(request: MessagesRequest, model: Model) -> int:
    """The hidden prompt that tells a model of its tools."""
    return model.forced_tool_tokens if request.tool_choice.get("type") in _FORCED else model.tool_tokens


def own_prompt(tool: Mapping[str, Any]) -> int:
    """What the API says of a tool by itself."""
    return _TOOLS.get(str(tool.get("type")), 0)


def thinking_prompt(request: MessagesRequest, model: Model) -> int:
    """The hidden prompt that gives a model its budget to think."""
    return model.thinking_tokens if request.thinking.get("type") == "enabled" else 0


def format_prompt(request: MessagesRequest) -> int:
    """The hidden prompt that asks for an output format."""
    format = request.format
    return 0 if format is None else _FORMAT + round(_FORMAT_LETTER * len(dumps(format)))


def block_cost(block: Block, model: Model, counter: TokenCounter, *, is_current: bool = True) -> Cost:
    """The cost of one content block. Thoughts of turns that are over are not sent to the model."""
    kind = block["type"]
    if kind == "text":
        return Cost(counter.count(block["text"]))
    if kind in _THOUGHTS:
        said = block.get("thinking") or block.get("data") or ""
        return Cost(counter.count(said)) if is_current else Cost()
    if kind == "image":
        return Cost(fixed=_image(block.get("source"), model))
    if kind == "document":
        return _document(block, model, counter)
    if kind == "tool_result":
        return _sum(block.get("content"), model, counter)
    if kind == "search_result":
        return Cost(counter.count(f"{block['title']} {block['source']}")) + _sum(block["content"], model, counter)
    return Cost(counter.count(dumps_read({k: v for k, v in block.items() if k not in ("type", "cache_control")})))


def _sum(content: Any, model: Model, counter: TokenCounter) -> Cost:
    total = Cost()
    for inner in blocks(content):
        total += block_cost(inner, model, counter)
    return total


def _image(source: Any, model: Model) -> int:
    """An image whose bytes are not here costs what the largest does. Of a file its size may be known."""
    if isinstance(source, Mapping) and isinstance(source.get("width"), int) and isinstance(source.get("height"), int):
        return media.image_tokens(source["width"], source["height"], model)
    data = source.get("data") if isinstance(source, Mapping) else None
    image = media.image(data) if isinstance(data, str) else None
    return model.image_tokens if image is None else media.image_tokens(image.width, image.height, model)


def _document(block: Block, model: Model, counter: TokenCounter) -> Cost:
    source = block["source"]
    titles = Cost(counter.count(f"{block.get('title') or ''} {block.get('context') or ''}".strip()))
    if source.get("type") == "text" or (source.get("type") == "file" and "data" in source):
        return titles + Cost(counter.count(str(source.get("data") or "")), DOCUMENT)
    if source.get("type") == "content":
        return titles + _sum(source.get("content"), model, counter) + Cost(fixed=DOCUMENT)
    data = source.get("data")
    pages = media.pages(data) if isinstance(data, str) else source.get("pages")
    return titles + Cost(fixed=model.page_tokens * (pages if isinstance(pages, int) and pages > 0 else 1))


# -- the prefix, for the prompt cache --------------------------------------------------------------------------------


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

    def mix(self, said: object) -> None:
        self.digest = _hash(self.digest, signing.canonical(said))

    def add(self, said: Mapping[str, Any], cost: Cost) -> None:
        text = said.get("text")
        if type(text) is str and len(text) <= _PIECE and said.keys() <= _MARKED_TEXT and said.get("type") == "text":
            said_plainly = f'{{"text":{encode_basestring_ascii(text)},"type":"text"}}'  # as `canonical` writes it
            self.digest = _hash(self.digest, said_plainly)
        else:
            self.mix(_unmarked(said))
        self.text += cost.text
        self.fixed += cost.fixed
        mark = said.get("cache_control")
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


class _Told(NamedTuple):
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
    name = ("opening", model.id, _cites(request), "image" in request.kinds)
    opening: _Opening | None = request.steady.get(name)
    if opening is None:
        opening = request.steady[name] = _opening(request, model, counter)
    told = _told(request, opening, ("steps", *name), model, counter)
    chain = _Chain(model, opening.digest, opening.cost)
    chain.steps = [*opening.steps, *told.steps]
    first = len(opening.steps)
    chain.marked = [*opening.marked, *[first + at for at in told.marked]]
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
    cites = _cites(request)
    chain.mix([searches, request.body.get("speed"), cites, request.format])
    chain.fixed += format_prompt(request) + (CITATIONS if cites else 0)
    for block in blocks(request.body.get("system")):
        chain.add(block, Cost(counter.count(block["text"])))
    system = chain.digest
    body = request.body
    chain.mix([body.get("tool_choice"), body.get("thinking"), request.effort, "image" in request.kinds])
    chain.fixed += thinking_prompt(request, model)
    return _Opening(chain.digest, Cost(chain.text, chain.fixed), chain.steps, chain.marked, root, tools, system)


def _told(request: MessagesRequest, opening: _Opening, name: Any, model: Model, counter: TokenCounter) -> _Told:
    """The steps of the messages; from where they part from those of an earlier conversation, if there was one."""
    now = request.outline.turn
    old, shared = request.before(name)
    if old is None:
        old, shared = _Told((), (), (0,), ((opening.digest, opening.cost),), now), 0
    elif old.turn != now and not request.kinds.isdisjoint(_THOUGHTS):
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
    told = request.scanned[name] = _Told(chain.steps, chain.marked, counts, states, now)
    return told


def _mark_automatically(chain: _Chain, request: MessagesRequest) -> None:
    """Put the mark of the top level on the last block that can carry one."""
    mark = request.body.get("cache_control")
    if not isinstance(mark, Mapping):
        return
    contents = [*request.tools, *blocks(request.body.get("system"))]
    contents += [block for message in request.messages for block in blocks(message["content"])]
    for at in range(len(chain.steps) - 1, -1, -1):
        block = contents[at]
        if block.get("type") not in _THOUGHTS and block.get("text") != "":
            if chain.steps[at].ttl is None:
                chain.mark(at, mark.get("ttl") or "5m")
            break


def _hash(before: bytes, said: str) -> bytes:
    digest = hashlib.blake2b(before, digest_size=16)
    digest.update(said.encode("utf-8", "surrogatepass"))
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


def _all_blocks(request: MessagesRequest) -> Iterator[Mapping[str, Any]]:
    for message in request.messages:
        for block in blocks(message["content"]):
            yield block
            inner = block.get("content")
            if block["type"] == "tool_result" and isinstance(inner, Sequence) and not isinstance(inner, str):
                yield from inner


def _cites(request: MessagesRequest) -> bool:
    if "document" not in request.kinds:
        return False
    documents = (block for block in _all_blocks(request) if block["type"] == "document")
    return any((document.get("citations") or {}).get("enabled") for document in documents)

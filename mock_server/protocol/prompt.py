"""What the prompt of a request costs, block by block: tools, then system, then messages.

The numbers are estimates: text by the one token count times the model's factor, images by the published formula, all
else by what recorded requests cost beside their text. Facts: docs/protocol.md G.1 and G.2.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mock_server.protocol import marks, media
from mock_server.protocol.profile import Model
from mock_server.protocol.request import Block, MessagesRequest, blocks
from mock_server.protocol.sse import dumps
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
    if not request.is_long:
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
    request = request.merged
    text, fixed = 0, FRAMING + PER_MESSAGE * (len(request.messages) - 1)
    for block in blocks(request.body.get("system")):
        text += counter.count(block["text"])
    if request.tools:
        fixed += tool_prompt(request, model)
        for tool in request.tools:
            text += counter.count(dumps(tool))
            if "type" in tool:
                fixed += own_prompt(tool)
    is_plain = _PLAIN.issuperset(request.body)
    if not is_plain:
        fixed += thinking_prompt(request, model)
    if request.has_blocks or not is_plain:
        fixed += system_prompts(request)
    now = current_turn(request) if request.has_blocks else 0
    for at, message in enumerate(request.messages):
        content = message["content"]
        if isinstance(content, str):
            text += counter.count(content)
            continue
        for block in content:
            cost = block_cost(block, model, counter, is_current=at >= now)
            text += cost.text
            fixed += cost.fixed
    return Cost(text, fixed).on(model)


def tool_prompt(request: MessagesRequest, model: Model) -> int:
    """The hidden prompt that tells a model of its tools."""
    return model.forced_tool_tokens if request.tool_choice.get("type") in _FORCED else model.tool_tokens


def own_prompt(tool: Mapping[str, Any]) -> int:
    """What the API says of a tool by itself."""
    return _TOOLS.get(str(tool.get("type")), 0)


def thinking_prompt(request: MessagesRequest, model: Model) -> int:
    """The hidden prompt that gives a model its budget to think."""
    return model.thinking_tokens if request.thinking.get("type") == "enabled" else 0


def system_prompts(request: MessagesRequest) -> int:
    """The hidden prompts that ask for an output format and for citations."""
    tokens = 0
    format = request.format
    if format is not None:
        tokens += _FORMAT + round(_FORMAT_LETTER * len(dumps(format)))
    if request.has_blocks and "document" in request.kinds and _cites(request):
        tokens += CITATIONS
    return tokens


def current_turn(request: MessagesRequest) -> int:
    """Where the turn begins that is under way: after the last message of a user that is more than tool results."""
    for at in range(len(request.messages) - 1, -1, -1):
        message = request.messages[at]
        if message["role"] == "user" and any(b["type"] != "tool_result" for b in blocks(message["content"])):
            return at
    return 0


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
    return Cost(counter.count(dumps({k: v for k, v in block.items() if k not in ("type", "cache_control")})))


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
    """The steps of a prompt, and digests of the model, of the tools and of the system prompt."""

    steps: tuple[Step, ...]
    model: bytes
    tools: bytes
    system: bytes


class _Chain:
    """Digests that each stand for all before them, with the cost so far."""

    def __init__(self, root: str, model: Model) -> None:
        self.digest = _hash(b"", root)
        self.cost = Cost()
        self._model = model
        self.steps: list[Step] = []

    def mix(self, said: object) -> None:
        self.digest = _hash(self.digest, marks.canonical(said))

    def add(self, said: Mapping[str, Any], cost: Cost) -> None:
        self.mix(_unmarked(said))
        self.cost += cost
        mark = said.get("cache_control")
        ttl: TTL | None = None if not isinstance(mark, Mapping) else "1h" if mark.get("ttl") == "1h" else "5m"
        self.steps.append(Step(self.digest, self.cost.on(self._model), ttl))


def prefix(request: MessagesRequest, model: Model, counter: TokenCounter) -> Prefix:
    """The prompt as the cache sees it. What changes for a level is mixed in where that level begins."""
    request = request.merged
    chain = _Chain(model.id, model)
    root = chain.digest
    searches = [tool for tool in request.tools if _is_search(tool)]
    if request.tools:
        chain.cost += Cost(fixed=tool_prompt(request, model))
    for tool in request.tools:
        chain.add({} if _is_search(tool) else tool, Cost(counter.count(dumps(tool)), own_prompt(tool)))
        if _is_search(tool) and tool.get("cache_control"):
            chain.steps[-1] = chain.steps[-1]._replace(ttl=tool["cache_control"].get("ttl") or "5m")
    tools = chain.digest
    chain.mix([searches, request.body.get("speed"), _cites(request), request.format])
    chain.cost += Cost(fixed=system_prompts(request))
    for block in blocks(request.body.get("system")):
        chain.add(block, Cost(counter.count(block["text"])))
    system = chain.digest
    body = request.body
    chain.mix([body.get("tool_choice"), body.get("thinking"), request.effort, _has_images(request)])
    chain.cost += Cost(fixed=thinking_prompt(request, model))
    _messages(chain, request, model, counter)
    return Prefix(_with_automatic(chain.steps, request), root, tools, system)


def _messages(chain: _Chain, request: MessagesRequest, model: Model, counter: TokenCounter) -> None:
    now = current_turn(request)
    framing = FRAMING - CLOSING
    for at, message in enumerate(request.messages):
        chain.mix(message["role"])
        chain.cost += Cost(fixed=framing)
        framing = PER_MESSAGE
        for block in blocks(message["content"]):
            chain.add(block, block_cost(block, model, counter, is_current=at >= now))


def _with_automatic(steps: list[Step], request: MessagesRequest) -> tuple[Step, ...]:
    """The steps with the mark of the top level on the last block that can carry one."""
    mark = request.body.get("cache_control")
    if not isinstance(mark, Mapping):
        return tuple(steps)
    contents = [*request.tools, *blocks(request.body.get("system"))]
    contents += [block for message in request.messages for block in blocks(message["content"])]
    for at in range(len(steps) - 1, -1, -1):
        block = contents[at]
        if block.get("type") not in _THOUGHTS and block.get("text") != "":
            if steps[at].ttl is None:
                steps[at] = steps[at]._replace(ttl=mark.get("ttl") or "5m")
            break
    return tuple(steps)


def _hash(before: bytes, said: str) -> bytes:
    digest = hashlib.blake2b(before, digest_size=16)
    digest.update(said.encode("utf-8", "surrogatepass"))
    return digest.digest()


def _unmarked(value: Any) -> Any:
    """What of a block the cache goes by: all but its mark. Of a long text a digest stands for it, made in steps."""
    if isinstance(value, Mapping):
        return {key: _unmarked(item) for key, item in value.items() if key != "cache_control"}
    if isinstance(value, str) and len(value) > _PIECE:
        return {"text of many pieces": _digest(value)}
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
    documents = (block for block in _all_blocks(request) if block["type"] == "document")
    return any((document.get("citations") or {}).get("enabled") for document in documents)


def _has_images(request: MessagesRequest) -> bool:
    return any(block["type"] == "image" for block in _all_blocks(request))

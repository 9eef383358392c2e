"""Tokens: how many a text has and a prompt costs. One estimate: usage, `max_tokens`, timing and generated lengths all
count with it.

A token here is a word piece of up to seven Latin letters (with the space before it), up to three digits, up to three
letters of other alphabets, one punctuation mark, one run of white space, or one other character (CJK, emoji).
English prose comes out near 1.2 tokens a word. It is an estimate: the real tokenizer is not public.

A prompt costs that of its texts times the model's factor, images by the published formula, all else what recorded
requests cost beside their text. Facts: docs/protocol.md G.1 and G.2.

Rule of this file: `"".join(split(text)) == text`, and cutting `split(text)` short cuts the text at the same place,
so a truncated reply streams the very deltas of the whole one.
"""

import functools
import re
from binascii import a2b_hex
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from mock_server.protocol import media
from mock_server.protocol.profile import Model
from mock_server.protocol.request import LONG, SHORT, THOUGHTS, Block, MessagesRequest, blocks
from mock_server.protocol.sse import dumps, dumps_in_steps, dumps_read

_SHORT = 40  # letters, up to which the expression is as fast as anything
_PIECE = 1 << 16  # letters of a long text that are counted at once: what is held meanwhile stays small

_TOKEN = re.compile(
    r" ?[A-Za-z\u00c0-\u024f]{1,7}"
    r"| ?[\u0370-\u1fff]{1,3}"
    r"| ?[0-9]{1,3}"
    r"| ?[^\s\w]"
    r"|\s+"
    r"|.",
    re.DOTALL,
)


def split(text: str) -> list[str]:
    """The tokens of `text`, in order; joined they are the text again."""
    return _TOKEN.findall(text)


def head(text: str, most: int) -> str:
    """As much of a text as its first tokens are, `most` of them; how long the rest is does not matter."""
    end = 0
    for found in islice(_TOKEN.finditer(text), most):
        end = found.end()
    return text[:end]


def count(text: str) -> int:
    """How many tokens `text` has: as many as `split` finds."""
    size = len(text)
    if size > _PIECE:
        return _count_long(text)
    if size <= _SHORT or not text.isascii():
        return len(_TOKEN.findall(text))
    # In a tenth of the time: a text as one large number with a hexadecimal digit for each character, so that one
    # operation looks at all of them at once. Each is a token, but for those that go on with what stands before them.
    kinds = text.encode("ascii").translate(_KINDS)
    number = int.from_bytes(a2b_hex(kinds + b"0" if size & 1 else kinds), "big")
    masks = _USUAL if size <= _MOST_USUAL else _masks(_PIECE)
    alike = number & number >> 4  # what characters have in common with those before them
    second = alike & masks.runs  # behind another one of its kind
    joined = alike & number >> 3 & masks.joins  # behind a plain space
    if second & masks.white:
        joined &= ~(second >> 3 | second << 1)  # which has to be alone, and is not white space itself
    tokens = size - (second | joined).bit_count()
    fourth = second & second >> 8
    longer = fourth & fourth >> 16 & masks.letters  # behind 7 letters
    if longer:
        starts = (number ^ second) & masks.letters
        pieces = starts >> 28 & longer
        tokens += pieces.bit_count()
        if pieces >> 28 & longer:
            tokens += _more(kinds, _LETTER, starts, pieces, longer, 7, masks.letters)
    longer = fourth & masks.digits  # behind 3 digits
    if longer:
        starts = (number ^ second) & masks.digits
        pieces = starts >> 12 & longer
        tokens += pieces.bit_count()
        if pieces >> 12 & longer:
            tokens += _more(kinds, _DIGIT, starts, pieces, longer, 3, masks.digits)
    return tokens


def _count_long(text: str) -> int:
    """The same of a long text, piece by piece."""
    total = at = 0
    while at + _PIECE < len(text):
        found = _TOKEN.findall(text, at, at + _PIECE)
        if len(found) == 1:  # white space, the only thing that is one token however long it is
            at = _behind_space(text, at)
            total += 1
            continue
        total += len(found) - 1
        at += _PIECE - len(found[-1])  # the last one may go on behind this piece
    return total + len(_TOKEN.findall(text, at))


# What a character of ASCII is, as the bits of a digit: of the first three kinds a token has several. `_JOINS` is for a
# plain space, and for what takes one along that stands before it, which an underscore does not.
_LETTER, _DIGIT, _WHITE, _JOINS = 1, 2, 4, 8


def _more(kinds: bytes, kind: int, starts: int, second: int, longer: int, most: int, mask: int) -> int:
    """How many pieces the runs of a kind have beyond the second of each, none longer than `most`.

    `starts`, `second`: where runs and second pieces begin; `longer`: what stands behind `most` characters of its run;
    `mask`: the bits of the kind.
    """
    third = second >> 4 * most & longer
    if not third >> 4 * most & longer:
        return third.bit_count()
    cut = _DIGITS[kind ^ _LETTER ^ _DIGIT]  # which no character is
    rest = kinds.replace(_DIGITS[kind | _JOINS] * most, cut)  # very long ones are cut one by one
    left = int(rest, 16) & mask
    pieces = rest.count(cut) + left.bit_count() - (left & left >> 4).bit_count()
    return pieces - starts.bit_count() - second.bit_count()


def _kind(char: str) -> int:
    if char.isspace():
        return _WHITE | _JOINS if char == " " else _WHITE
    if char == "_":
        return 0
    return _JOINS | (_LETTER if char.isalpha() else _DIGIT if char.isdecimal() else 0)


_DIGITS = [b"%x" % kind for kind in range(16)]
_KINDS = b"".join([_DIGITS[_kind(chr(code))] for code in range(128)]) + bytes(128)


class _Masks(NamedTuple):
    """The bits of some kinds in as many digits as a text has at most: 32 KB a mask for the longest."""

    letters: int
    digits: int
    white: int
    joins: int
    runs: int


@functools.lru_cache(maxsize=2)
def _masks(size: int) -> _Masks:
    each = int("1" * size, 16)
    return _Masks(*[each * kind for kind in (_LETTER, _DIGIT, _WHITE, _JOINS, _LETTER | _DIGIT | _WHITE)])


_MOST_USUAL = 1 << 12
_USUAL = _masks(_MOST_USUAL)  # the others are made for the first text that needs them


def _behind_space(text: str, at: int) -> int:
    """Where the white space ends that `text` has at `at`."""
    while (piece := text[at : at + _PIECE]).isspace():
        at += len(piece)
    return at + len(piece) - len(piece.lstrip())


_PER_TEXT = 150  # bytes that a text takes in a dictionary beside its characters


class TokenCounter:
    """`count` with a memory: an agent sends its whole history on every turn, so most texts come again.

    Holds about `budget` bytes at most, short texts too; past that it starts afresh. `write`: makes a text of what is
    none; of what may be long `in_steps`, which takes twice the time and lets others have their turn.
    """

    __slots__ = ("_budget", "_counts", "_held", "write")

    def __init__(self, budget: int = 8_000_000, *, in_steps: bool = False) -> None:
        self.write: Callable[[object], str] = dumps_in_steps if in_steps else dumps_read
        self._counts: dict[str, int] = {}
        self._budget = budget
        self._held = 0

    def count(self, text: str) -> int:
        found = self._counts.get(text)
        if found is not None:
            return found
        takes = len(text) + _PER_TEXT
        if self._held + takes > self._budget:
            self._counts.clear()
            self._held = 0
        self._held += takes
        self._counts[text] = counted = count(text)
        return counted


# What the prompt of a request costs, block by block: tools, then system, then messages.

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
_FORCED = ("any", "tool")


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


def input_tokens(request: MessagesRequest, model: Model, counter: TokenCounter) -> int:
    """The estimate of what a request's prompt costs."""
    texts = request.question
    if texts is None:
        request = request.merged
        texts = _texts_alone(request.messages)
    name = ("cost", model.id)
    steady: Cost | None = request.steady.get(name)
    if steady is None:
        steady = request.steady[name] = _steady_cost(request, model, counter)
    text, fixed = steady
    if texts is not None:
        if len(texts) == 1 and len(texts[0]) < SHORT:
            # it is not remembered: it hardly comes again but in bytes that are, and memory that is new is slow
            text += count(texts[0])
        else:
            text += sum(map(counter.count, texts))
        return round(text * model.token_factor) + fixed
    if cites(request):
        fixed += CITATIONS

    def add(before: "_Costs", message: Mapping[str, Any]) -> "_Costs":
        return _with_message(before, message, model, counter)

    costs = request.scan(name, _NOTHING, add)
    past, whole = costs[request.outline.turn], costs[len(request.messages)]
    text += whole[0] - past[2]
    fixed += whole[1] - past[3] + PER_MESSAGE * (len(request.messages) - 1)
    return round(text * model.token_factor) + fixed


def _texts_alone(messages: Sequence[Mapping[str, Any]]) -> Sequence[str] | None:
    """The texts of one message that is nothing else, whatever rules and cache marks have to say of them."""
    if len(messages) > 1:
        return None
    content = messages[0]["content"]
    if type(content) is str:
        return (content,)
    texts = [block["text"] for block in content if block["type"] == "text"]
    return texts if len(texts) == len(content) else None


def _steady_cost(request: MessagesRequest, model: Model, counter: TokenCounter) -> Cost:
    """What all but the messages costs."""
    text, fixed = 0, FRAMING
    for block in blocks(request.body.get("system")):
        text += counter.count(block["text"])
    if request.tools:
        fixed += tool_prompt(request, model)
        for tool in request.tools:
            text += counter.count(counter.write(tool))
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
            if kind in THOUGHTS:
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
    if kind in THOUGHTS:
        thought = block.get("thinking") or block.get("data") or ""
        return Cost(counter.count(thought)) if is_current else Cost()
    if kind == "image":
        return Cost(fixed=_image(block.get("source"), model))
    if kind == "document":
        return _document(block, model, counter)
    if kind == "tool_result":
        return _sum(block.get("content"), model, counter)
    if kind == "search_result":
        return Cost(counter.count(f"{block['title']} {block['source']}")) + _sum(block["content"], model, counter)
    return Cost(counter.count(counter.write({k: v for k, v in block.items() if k not in ("type", "cache_control")})))


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


def _all_blocks(request: MessagesRequest) -> Iterator[Mapping[str, Any]]:
    for message in request.messages:
        for block in blocks(message["content"]):
            yield block
            inner = block.get("content")
            if block["type"] == "tool_result" and isinstance(inner, Sequence) and not isinstance(inner, str):
                yield from inner


def cites(request: MessagesRequest) -> bool:
    if "document" not in request.kinds:
        return False
    documents = (block for block in _all_blocks(request) if block["type"] == "document")
    return any((document.get("citations") or {}).get("enabled") for document in documents)

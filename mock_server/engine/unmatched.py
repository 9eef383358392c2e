"""The reply to a request that no scenario matches: plausible, seeded, and as the request asks for it; with turns of the
server's own tools, too.

Everything comes from the seed and the request, and keeps to what the request allows: how many results, which domains,
when they were published. Shapes: docs/protocol.md A.4, B.4 and C.3; dates are around a fixed day, so that they repeat.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any, NamedTuple

from mock_server.clock import whole_seconds
from mock_server.engine import citations
from mock_server.engine.compile import Reply
from mock_server.engine.seeds import chance
from mock_server.protocol import signing, tokens
from mock_server.protocol.blocks import (
    Block,
    McpToolResult,
    McpToolUse,
    ServerToolUse,
    Text,
    Thinking,
    ToolUse,
    WebSearchToolResult,
    result_class,
)
from mock_server.protocol.errors import invalid
from mock_server.protocol.request import MessagesRequest, blocks
from mock_server.protocol.request import text as text_of
from mock_server.protocol.rules.tools import TOOLSETS, is_custom, referred
from mock_server.protocol.sse import dumps
from mock_server.scenario.conversation import Conversation, conversed
from mock_server.scenario.generated.content import Generator
from mock_server.scenario.generated.values import CannotGenerate
from mock_server.scenario.reply import Generate, GeneratedReply
from mock_server.scenario.timing import Pacing

TODAY = datetime(2026, 6, 1, 9, 0, tzinfo=timezone.utc)
SITES = ("example.com", "example.org", "example.net")
_SECTIONS = ("news", "docs", "blog", "www", "research", "data")
_TITLES = ("All about {}", "{}: a guide", "{} explained", "What to know about {}", "Notes on {}", "{} in numbers")
_RANGES = {"d": 1, "day": 1, "w": 7, "week": 7, "m": 30, "month": 30, "y": 365, "year": 365}
_FOUND, _SNIPPET, _PAGE = 5, 48, 160
_MOST_FOUND = 100  # rule 84; where nothing is judged it comes to no more
_SEARCHES = ("octen_search", "octen_broad_search", "web_search")
# tool, by its name -> the parameter that limits its calls, and the limit without it (None: no limit)
_MOST_CALLS: Mapping[str, tuple[str, int | None]] = {
    "octen_search": ("max_searches", 5),
    "octen_broad_search": ("max_queries", 5),
    "web_search": ("max_uses", None),
    "web_fetch": ("max_uses", None),
}


class Making(NamedTuple):
    """What content is made from: the request, its tool, a seed, and who makes words of it."""

    request: MessagesRequest
    tool: Mapping[str, Any]
    seed: bytes
    generator: Generator

    def words(self, what: str, length: int) -> str:
        return self.generator.text(self.seed + what.encode(), length)

    def chance(self, what: str) -> Random:
        return Random(self.seed + what.encode())

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Where Octen's tools keep theirs; empty for the others."""
        own = self.tool.get("parameters")
        return own if isinstance(own, Mapping) else {}


# -- which tool -------------------------------------------------------------------------------------------------------


def name_of(tool: Mapping[str, Any]) -> str | None:
    """The name of a server's tool that can be played here; None for a client's."""
    name = str(tool.get("name"))
    is_ours = tool.get("type") not in (None, "custom") and name in _CALLS
    return name if is_ours else None


def forced_tool(request: MessagesRequest) -> Mapping[str, Any] | None:
    """The server's tool that a request demands: by name, or any where there is none of the client's to call."""
    choice = request.tool_choice
    own = [tool for tool in request.tools if name_of(tool) is not None]
    if choice.get("type") == "tool":
        return next((tool for tool in own if tool["name"] == choice["name"]), None)
    return own[0] if choice.get("type") == "any" and own and not any(map(_is_mine, request.tools)) else None


_MCP = "mcp_toolset"
_SCREENSHOT = {"name": "screenshot", "input_schema": {"type": "object", "additionalProperties": False}}


def is_exhausted(making: Making) -> bool:
    """Whether the turn that goes on has made all the calls it may."""
    tool = str(making.tool.get("name"))
    name, most = _MOST_CALLS.get(tool, ("", None))
    for options in (making.tool, making.parameters):
        most = options[name] if isinstance(options.get(name), int) else most
    last = making.request.messages[-1]
    content = blocks(last["content"]) if last["role"] == "assistant" else ()
    made = sum(block["type"] == "server_tool_use" and block["name"] == tool for block in content)
    return most is not None and made >= most


# -- the turn ---------------------------------------------------------------------------------------------------------


def turn(making: Making) -> tuple[Block, ...]:
    """A call, its result, and a text about it."""
    name = str(making.tool["name"])
    call = ServerToolUse(name=_call_name(making.tool), input=_CALLS[name](making))
    kind = result_class(call.name)
    if is_exhausted(making):
        return call, kind(error="max_uses_exceeded"), Text(text=making.words("sorry", 24))
    found = result(call.name, call.input, making)
    return call, kind(content=found), *_closing(found, making)


def _mcp_turn(making: Making) -> tuple[Block, ...]:
    """The same of a tool of an MCP server: the first that the request says is on, else one of a name that is made up,
    as nobody knows what the server has."""
    configs = making.tool.get("configs") or {}
    name = next((name for name, one in configs.items() if (one or {}).get("enabled") is not False), "search")
    call = McpToolUse(name=name, server_name=str(making.tool["mcp_server_name"]), input={})
    found = McpToolResult(content=[{"type": "text", "text": making.words("result", _SNIPPET)}])
    return call, found, Text(text=making.words("closing", _SNIPPET))


def filled(reply: Sequence[Block], request: MessagesRequest, seed: bytes, generator: Generator) -> tuple[Block, ...]:
    """A scripted reply with results made for the blocks that have neither content nor an error."""
    done: list[Block] = []
    call: ServerToolUse | None = None
    for at, block in enumerate(reply):
        if isinstance(block, ServerToolUse):
            call = block
        if isinstance(block, WebSearchToolResult) and block.is_open:
            name, input = (call.name, call.input) if call is not None else _CALL_OF[block.type]
            tool = next((one for one in request.tools if name in (one.get("name"), _call_name(one))), {"name": name})
            block = replace(block, content=result(name, input, Making(request, tool, seed + bytes([at]), generator)))
        done.append(block)
    return tuple(done)


def result(call: str, input: Mapping[str, Any], making: Making) -> Any:
    """The content of the result of a call."""
    return _RESULTS[call](input, making)


def _call_name(tool: Mapping[str, Any]) -> str:
    """What a tool's call is named: newer code execution runs shell commands."""
    type = str(tool.get("type"))
    newer = type.startswith("code_execution") and type != "code_execution_20250522"
    return "bash_code_execution" if newer else str(tool.get("name"))


def _query(making: Making) -> str:
    prompt = next((text_of(blocks(m["content"])) for m in reversed(making.request.messages) if m["role"] == "user"), "")
    words = [word.strip(".,:;!?\"'()[]") for word in prompt.split()]
    return " ".join([word for word in words if word][:8]) or "news"


def _url(making: Making) -> str:
    prompt = " ".join(text_of(blocks(message["content"])) for message in making.request.messages)
    url = next((word.strip(".,;!?()<>\"'") for word in prompt.split() if "://" in word), None)
    allowed = making.tool.get("allowed_domains")
    return url or f"https://{allowed[0] if allowed else SITES[0]}/{_slug(_query(making))}"


def _slug(text: str) -> str:
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split()[:5]) or "page"


# name of a tool -> the input of its call
_CALLS: Mapping[str, Callable[[Making], dict[str, Any]]] = {
    **{name: lambda making: {"query": _query(making)} for name in _SEARCHES},
    "web_fetch": lambda making: {"url": _url(making)},
    "code_execution": lambda making: (
        {"code": "print(6 * 7)"} if _call_name(making.tool) == "code_execution" else {"command": "echo $((6 * 7))"}
    ),
    "tool_search_tool_regex": lambda making: {"pattern": f"(?i){_query(making).split()[0]}"},
    "tool_search_tool_bm25": lambda making: {"query": _query(making)},
    "advisor": lambda making: {},
}


# -- searches ---------------------------------------------------------------------------------------------------------


def _search(input: Mapping[str, Any], making: Making) -> list[dict[str, Any]]:
    sites, is_octen = _sites(making), _is_octen(making)
    asked = making.parameters.get("count") if is_octen else None
    count = min(int(asked), _MOST_FOUND) if isinstance(asked, int | float) else _FOUND
    item = _octen_item if is_octen else _web_item
    return [
        item(f"{input.get('query')} {nth}", sites[nth % len(sites)], making) for nth in range(count if sites else 0)
    ]


def _is_octen(making: Making) -> bool:
    return str(making.tool.get("name")).startswith("octen")


def _sites(making: Making) -> list[str]:
    """The domains that results may be on; what is excluded wins, and a domain stands for those below it."""
    tool, wanted, refused = making.tool, "allowed_domains", "blocked_domains"
    if _is_octen(making):
        tool, wanted, refused = {**tool, **making.parameters}, "include_domains", "exclude_domains"
    excluded = {_host(one) for one in _texts(tool.get(refused))}
    return [site for site in _texts(tool.get(wanted)) or SITES if excluded.isdisjoint(_domains_of(_host(site)))]


def _texts(value: object) -> Sequence[str]:
    """The texts of a list; of anything else, as it comes where nothing is judged, none."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else ()


_HOST = re.compile(r"[^/?#]*")
_LONGEST_DOMAIN = 253  # letters: RFC 1035


def _host(domain: str) -> str:
    found = _HOST.match(domain.removeprefix("https://"))
    return found[0].lower() if found else ""


def _domains_of(host: str) -> Iterator[str]:
    """A host and every domain that it is below."""
    yield host
    dot = host.find(".", max(0, len(host) - _LONGEST_DOMAIN - 1))
    while dot >= 0:
        yield host[dot + 1 :]
        dot = host.find(".", dot + 1)


def _page(what: str, site: str, making: Making) -> dict[str, Any]:
    chance = making.chance(what)
    title = chance.choice(_TITLES).format(str(what.rpartition(" ")[0]) or "it")
    path = f"/{chance.choice(_SECTIONS)}/{_slug(title)}-{chance.randrange(100, 1000)}"
    return {"type": "web_search_result", "title": title, "url": f"https://{site.removeprefix('https://')}{path}"}


def _web_item(what: str, site: str, making: Making) -> dict[str, Any]:
    day = TODAY - timedelta(days=making.chance(f"age {what}").randrange(1, 300))
    return {**_page(what, site, making), "page_age": f"{day:%B} {day.day}, {day.year}"}


def _octen_item(what: str, site: str, making: Making) -> dict[str, Any]:
    """An item with what Octen's parameters ask for."""
    parameters = making.parameters
    highlight, full = (
        _switch(parameters, *switch) for switch in (("highlight", True, 512), ("full_content", False, 2048))
    )
    item = _page(what, site, making)
    if highlight:
        item["highlights"] = _kept(making.words(f"snippet {what}", _SNIPPET), highlight, parameters)
    if full:
        item["full_content"] = _kept(making.words(f"page {what}", _PAGE), full, parameters)
    chance = making.chance(f"when {what}")
    published = _published(parameters, chance)
    item["authors"] = chance.choice(("A. Marine", "B. Okafor", "C. Lindqvist", "D. Tanaka"))
    item["time_published"] = whole_seconds(published)
    item["time_last_crawled"] = whole_seconds(max(published, TODAY - timedelta(days=chance.randrange(1, 7))))
    return item


def _switch(parameters: Mapping[str, Any], name: str, default: bool, length: int) -> int:
    """The length in tokens of a part that can be switched on and off; 0 when it is off."""
    options = parameters.get(name)
    options = options if isinstance(options, Mapping) else {}
    return int(options.get("max_tokens", length)) if options.get("enable", default) else 0


def _kept(text: str, length: int, parameters: Mapping[str, Any]) -> str:
    """A text with what must be in it and without what must not, of so many tokens at most."""
    wanted = "".join(f"{phrase}. " for phrase in parameters.get("include_text") or ())
    refused = [phrase.lower() for phrase in parameters.get("exclude_text") or ()]
    sentences = [one for one in text.split(". ") if not any(phrase in one.lower() for phrase in refused)]
    return "".join(tokens.split(wanted + ". ".join(sentences))[:length])


def _published(parameters: Mapping[str, Any], chance: Random) -> datetime:
    """A moment inside the window that is asked for."""
    days = _RANGES.get(str(parameters.get("time_range")), 300)
    end = _parsed(parameters.get("end_time")) or TODAY
    start = _parsed(parameters.get("start_time")) or end - timedelta(days=days)
    return start + (end - start) * chance.random() if start < end else end


def _parsed(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


# -- the other tools --------------------------------------------------------------------------------------------------


def _fetch(input: Mapping[str, Any], making: Making) -> dict[str, Any]:
    most = making.tool.get("max_content_tokens")
    text = "".join(tokens.split(making.words("page", _PAGE))[: most if isinstance(most, int) else None])
    document: dict[str, Any] = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": text},
        "title": making.words("title", 9).rstrip("."),
        "citations": {"enabled": bool((making.tool.get("citations") or {}).get("enabled"))},
    }
    return {
        "type": "web_fetch_result",
        "url": input.get("url"),
        "content": document,
        "retrieved_at": whole_seconds(TODAY),
    }


def _ran(kind: str) -> Callable[[Mapping[str, Any], Making], dict[str, Any]]:
    return lambda input, making: {"type": kind, "stdout": "42\n", "stderr": "", "return_code": 0, "content": []}


def _edited(input: Mapping[str, Any], making: Making) -> dict[str, Any]:
    if input.get("command") == "create":
        return {"type": "text_editor_code_execution_create_result", "is_file_update": False}
    text = making.words("file", _SNIPPET)
    return {
        "type": "text_editor_code_execution_view_result",
        "file_type": "text",
        "content": text,
        "num_lines": 1,
        "start_line": 1,
        "total_lines": 1,
    }


def _tools_found(input: Mapping[str, Any], making: Making) -> dict[str, Any]:
    deferred = [tool["name"] for tool in making.request.tools if tool.get("defer_loading") and tool.get("name")]
    references = [{"type": "tool_reference", "tool_name": name} for name in deferred[:_FOUND]]
    return {"type": "tool_search_tool_search_result", "tool_references": references}


# name of a call -> the content of its result
_RESULTS: Mapping[str, Callable[[Mapping[str, Any], Making], Any]] = {
    **dict.fromkeys(_SEARCHES, _search),
    "web_fetch": _fetch,
    "code_execution": _ran("code_execution_result"),
    "bash_code_execution": _ran("bash_code_execution_result"),
    "text_editor_code_execution": _edited,
    "tool_search_tool_regex": _tools_found,
    "tool_search_tool_bm25": _tools_found,
    "advisor": lambda input, making: {"type": "advisor_result", "text": making.words("advice", _SNIPPET)},
}
# type of a result without a call in its reply -> the call it is taken to be of
_CALL_OF: Mapping[str, tuple[str, dict[str, Any]]] = {
    result_class(name).type: (name, {}) for name in reversed([*_RESULTS])
}


# -- the text about a result ------------------------------------------------------------------------------------------


def _closing(found: Any, making: Making) -> tuple[Text, ...]:
    """A text about the result. Where that is a list, its first items are cited, with words they really have."""
    if not isinstance(found, list):
        return (Text(text=making.words("closing", _SNIPPET)),)
    if not found:
        return (Text(text="I searched, but found nothing that may be used."),)
    opening = Text(text="This is what I found: ")
    return opening, *(_citing(item, making) for item in found[:2])


def _citing(item: Mapping[str, Any], making: Making) -> Text:
    text = str(item.get("highlights") or item.get("full_content") or making.words(f"cited {item['url']}", 24))
    quote = text.split(". ")[0].strip().rstrip(".")[:150] or str(item["title"])
    citation = {
        "type": "web_search_result_location",
        "url": item["url"],
        "title": item["title"],
        "cited_text": quote,
        "encrypted_index": signing.signature("web_search_index", str(item["url"])),
    }
    return Text(text=f"{quote}. ", citations=(citation,))


# The whole reply. It is made as if there were no limit; what `max_tokens` leaves of it is cut later, as of any reply.

LONGEST, SHORTEST = 160, 40
THOUGHT = (24, 96)  # tokens of a thought: within the smallest budget that there is
ADAPTIVE = 0.5  # the share of replies that think where the model may decide: of 39 recorded ones 21
_MARGIN = 500  # tokens made beyond what a request has room for: how a text ends depends on its length
# By the tool of this name Claude Code (`--json-schema`) and opencode have the model hand in what they are to print.
# They offer it beside their others, and ask again and again until it was called.
STRUCTURED_OUTPUT = "StructuredOutput"

# Input of the tools whose schema the API knows by itself, by the stem of their type.
_KNOWN_INPUT: Mapping[str, Mapping[str, Any]] = {
    "bash": {"command": "ls"},
    "text_editor": {"command": "view", "path": "/"},
    "memory": {"command": "view", "path": "/memories"},
    "computer": {"action": "screenshot"},
}


def generated(
    request: MessagesRequest,
    seed: bytes,
    generator: Generator,
    timing: Pacing,
    wanted: GeneratedReply,
    factor: float = 1.0,
) -> Reply:
    """The reply: a thought if the request has its model think; then a call of the tool that is to be called, JSON when
    a format asks for it, else text.

    `wanted`: what it is to be like, lengths in tokens of a model whose tokens are `factor` times the estimated ones.
    """
    conversation = conversed(request)
    about = conversation.turns[conversation.human[-1]].topic
    thoughts: tuple[Block, ...] = ()
    if _thinks(request, conversation, seed) if wanted.thinking is None else wanted.thinking:
        length = max(1, int(Random(seed + b"thought").randint(*THOUGHT) / factor))
        thoughts = (Thinking(thinking=generator.thought(seed + b"thought", length, about)),)
    tool = _called_tool(request, conversation, seed, matching=wanted.tools == "matching")
    content: Sequence[Block]
    if tool is None:
        content = _text_block(request, seed, generator, wanted, factor, about)
    elif name_of(tool) is not None or tool.get("type") == _MCP:
        making, schema = Making(request, tool, seed, generator), _output_schema(request)
        content = _mcp_turn(making) if tool.get("type") == _MCP else turn(making)
        if schema is not None:  # the text about the result is the output
            found = [block for block in content if not isinstance(block, Text)]
            content = (*found, Text(text=_json(schema, seed, generator)))
    else:
        call = ToolUse(name=tool["name"], input=_input(tool, seed, generator))
        return Reply((*thoughts, call), "tool_use", timing=timing)
    return Reply((*thoughts, *content), "end_turn", timing=timing)


def _text_block(
    request: MessagesRequest, seed: bytes, generator: Generator, wanted: Generate, factor: float, about: str
) -> Sequence[Block]:
    """What is answered without a call of a tool."""
    schema = _output_schema(request)
    if schema is not None:
        return (Text(text=_json(schema, seed, generator)),)
    usual = SHORTEST + int.from_bytes(seed[-2:], "big") % (LONGEST - SHORTEST)
    quoting = citations.generated(request)
    return quoting or (Text(text=text(wanted, seed, generator, request.max_tokens, usual, factor, about)),)


# -- thoughts -------------------------------------------------------------------------------------------------------


def _thinks(request: MessagesRequest, conversation: Conversation, seed: bytes) -> bool:
    """Whether the model thinks first. Nobody can tell a model that thinks by default from the outside, so that alone is
    no reason to. A turn that goes on has been thought about, and a forced call begins at once."""
    mode = request.thinking.get("type")
    if mode in (None, "disabled") or conversation.turns[-1].role == "assistant":
        return False
    if request.tool_choice.get("type") in ("any", "tool") or (
        mode == "between_tools" and not conversation.newest_results
    ):
        return False
    return mode == "enabled" or chance(seed, "thinks") < ADAPTIVE


# -- which tool -----------------------------------------------------------------------------------------------------


def _called_tool(
    request: MessagesRequest, conversation: Conversation, seed: bytes, *, matching: bool
) -> Mapping[str, Any] | None:
    """The tool to call: the one that tool_choice forces, else the one that fits the prompt (`matching`), once per human
    turn, and then the one for structured output, once too."""
    kind = request.tool_choice.get("type")
    if not request.tools or kind == "none":
        return None
    called = _called(conversation)
    output = next((tool for tool in request.tools if tool.get("name") == STRUCTURED_OUTPUT and is_custom(tool)), None)
    if output is not None and STRUCTURED_OUTPUT in called:
        output = None
    if kind in ("any", "tool"):
        forced = forced_tool(request)
        return _forced_tool(request, called, seed, output) if forced is None else forced
    if conversation.turns[-1].role == "assistant":
        return None
    fitting = _fitting_tool(request, conversation) if matching and not called else None
    return output if fitting is None else fitting


def _forced_tool(
    request: MessagesRequest, called: set[str], seed: bytes, output: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """The client's tool to call. With `any` and a call made already, the last one not called yet: agents that force
    tools end with a call of the tool for their output, which they list after the others."""
    choice = request.tool_choice
    mine = [tool for tool in request.tools if _is_mine(tool)]
    if choice["type"] == "tool":
        return next((tool for tool in mine if tool["name"] == choice["name"]), None)
    if output is not None:
        return output
    if not mine:
        kinds = {str(tool.get("type")): tool for tool in reversed(request.tools)}
        return kinds.get(_MCP, None if kinds.keys().isdisjoint(TOOLSETS) else _SCREENSHOT)
    fresh = [tool for tool in mine if tool["name"] not in called]
    pool = fresh or mine
    return pool[-1] if called and fresh else pool[seed[0] % len(pool)]


def _called(conversation: Conversation) -> set[str]:
    """The names of the tools that were called since the newest human turn."""
    since = conversation.turns[conversation.human[-1] :]
    return {block["name"] for turn in since for block in turn.content if block["type"] == "tool_use"}


_NAME_WEIGHT = 3  # of a word in a tool's name, against one in its description
_MOST_REQUESTED = 8000  # characters of a prompt, the last ones
_MOST_DESCRIBED = 400  # characters of a description that say what a tool is for; the rest is how to use it
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")
_ENDING = re.compile(r"(?<=\w\w\w)(?:ies|y|ing|ed|es|s|e)$")
_SMALL_WORDS = (
    "a about all an and any are as at be but by can could did do does for from get give had has have here how i if in "
    "into is it let make me my need not of on or our please she should show so some tell that the their them then "
    "there these they this those to tool up use used using want was we were what when where which who why will with "
    "would you your"
)
_SMALL = frozenset(_SMALL_WORDS.split())


def _stems(text: str) -> set[str]:
    """The words of a text or a name by how they begin, without the common ones."""
    words = (word.lower() for word in _WORD.findall(text))
    return {_ENDING.sub("", word)[:6] for word in words if len(word) > 1 and word not in _SMALL}


def _fitting_tool(request: MessagesRequest, conversation: Conversation) -> Mapping[str, Any] | None:
    """The tool that shares most words with the newest prompt, the first of equals; None when no tool shares one. A word
    that many tools have says little about any of them."""
    wanted = _stems(conversation.turns[conversation.human[-1]].typed_last(_MOST_REQUESTED))
    tools = [tool for tool in _offered(request) if tool["name"] != STRUCTURED_OUTPUT]
    named = [_stems(tool["name"]) & wanted for tool in tools]
    described = [_stems(str(tool.get("description") or "")[:_MOST_DESCRIBED]) & wanted for tool in tools]
    having = Counter(word for name, text in zip(named, described, strict=True) for word in name | text)

    def weight(words: Iterable[str]) -> float:
        return sum([1 / having[word] for word in sorted(words)])

    fits = [_NAME_WEIGHT * weight(name) + weight(text) for name, text in zip(named, described, strict=True)]
    best = max(fits, default=0)
    return tools[fits.index(best)] if best else None


def _offered(request: MessagesRequest) -> list[Mapping[str, Any]]:
    """The tools that the model can call by itself: not those for programs alone, nor deferred ones not loaded yet."""
    loaded = set(referred(request)) if any(tool.get("defer_loading") for tool in request.tools) else set()
    return [
        tool
        for tool in request.tools
        if (_is_mine(tool) or name_of(tool) is not None)
        and "direct" in (tool.get("allowed_callers") or ("direct",))
        and (not tool.get("defer_loading") or tool["name"] in loaded)
    ]


# -- inputs ---------------------------------------------------------------------------------------------------------


def _known_input(tool: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return _KNOWN_INPUT.get(str(tool.get("type")).rpartition("_")[0])


def _is_mine(tool: Mapping[str, Any]) -> bool:
    """Whether a tool is one of the client's that can be called here."""
    return is_custom(tool) or _known_input(tool) is not None


def _input(tool: Mapping[str, Any], seed: bytes, generator: Generator) -> dict[str, Any]:
    known = _known_input(tool)
    if known is not None:
        return dict(known)
    value = _value(tool["input_schema"], seed, generator, f"input of tool '{tool['name']}'")
    return value if isinstance(value, dict) else {}


def made_input(tool: Mapping[str, Any], how: str, seed: bytes, generator: Generator) -> dict[str, Any]:
    """An input that fits the tool's schema, one at its bounds (`edge`), or one that breaks it (`invalid`).

    Raises CannotGenerate.
    """
    known = _known_input(tool)
    if known is not None:
        return dict(known) if how == "valid" else {}
    schema = tool.get("input_schema") or {"type": "object"}
    return generator.input(schema, seed, how)


def _output_schema(request: MessagesRequest) -> Mapping[str, Any] | None:
    schema = (request.format or {}).get("schema")
    return schema if isinstance(schema, dict) else None


def _json(schema: Mapping[str, Any], seed: bytes, generator: Generator) -> str:
    return dumps(_value(schema, seed, generator, "output_config.format.schema"))


def _value(schema: object, seed: bytes, generator: Generator, what: str) -> object:
    try:
        return generator.value(schema, seed)
    except CannotGenerate as problem:
        text = f"mock-server cannot make up the {what}: {problem}; write a scenario for this request"
        raise invalid(text) from None


def text(
    wanted: Generate,
    seed: bytes,
    generator: Generator,
    limit: int,
    usual: int = 100,
    factor: float = 1.0,
    about: str = "",
) -> str:
    """A text as `generate` asks for it, `usual` tokens long where it does not say.

    `limit`: more than this is cut off anyway, so little more is made; what is left of the text stays the same.
    """
    low, high = wanted.tokens or (usual, usual)
    tokens = min(Random(seed).randint(low, high), limit + _MARGIN)
    return generator.styled(seed, max(1, int(tokens / factor)), wanted.style, wanted.locale, about)

"""The content blocks of a reply. The union `Block` is the registry: to add a block, add a class and name it there.

A block knows the payload that opens it (`start`) and the deltas that fill it (`deltas`, each with the tokens it
stands for, which is what paces it; a delta of None takes its time and is not sent). Fields are the API's own; None
means "not sent". Shapes: docs/protocol.md C.3, D.3.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, ClassVar, Union, get_args

from mock_server.protocol import tokens
from mock_server.protocol.chunk import Chunk, pieces, values
from mock_server.protocol.sse import spaced
from mock_server.records import dataclass

Delta = tuple[dict[str, Any] | None, int]


class _Whole:
    """A block that arrives whole, when it opens."""

    __slots__ = ()

    def deltas(self, chunk: Chunk | None) -> Iterator[Delta]:
        return iter(())


# The blocks that results of server tools come in, and what their errors can be. Shapes: docs/protocol.md C.3.

_CODES = ("invalid_tool_input", "unavailable", "too_many_requests")
# type of a result -> the codes its error can have (docs/protocol.md C.3)
ERROR_CODES: dict[str, tuple[str, ...]] = {
    "web_search_tool_result": (*_CODES, "max_uses_exceeded", "query_too_long", "request_too_large"),
    "web_fetch_tool_result": (
        *_CODES,
        "max_uses_exceeded",
        "url_too_long",
        "url_not_allowed",
        "url_not_in_prior_context",
        "url_not_accessible",
        "unsupported_content_type",
        "content_too_large",
    ),
    "code_execution_tool_result": (*_CODES, "execution_time_exceeded"),
    "bash_code_execution_tool_result": (*_CODES, "execution_time_exceeded", "output_file_too_large"),
    "text_editor_code_execution_tool_result": (*_CODES, "execution_time_exceeded", "file_not_found"),
    "tool_search_tool_result": (*_CODES, "execution_time_exceeded"),
    "advisor_tool_result": (
        "max_uses_exceeded",
        "prompt_too_long",
        "too_many_requests",
        "overloaded",
        "unavailable",
        "execution_time_exceeded",
        "model_not_found",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSearchToolResult(_Whole):
    """What a search found: a list of results, or an error object. It arrives whole, when the block opens.

    `error` stands for the error object with this code; without `content` and `error` a result is made up.
    """

    type: ClassVar[str] = "web_search_tool_result"
    content: list[Any] | dict[str, Any] | None = None
    error: str | None = None
    tool_use_id: str | None = None
    caller: dict[str, Any] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the result is yet to be made."""
        return self.content is None and self.error is None

    @property
    def payload(self) -> list[Any] | dict[str, Any]:
        """The content that is sent."""
        if self.error is not None:
            return {"type": f"{self.type}_error", "error_code": self.error}
        return [] if self.content is None else self.content

    def mistakes(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What is well-formed but cannot work, as (path to the key, text)."""
        if self.error is None:
            return
        if self.content is not None:
            yield ("error",), "a result has content or an error, not both"
        if self.error not in ERROR_CODES[self.type]:
            yield ("error",), f"unknown error '{self.error}'; expected one of {', '.join(ERROR_CODES[self.type])}"

    def start(self) -> dict[str, Any]:
        block = {"type": self.type, "tool_use_id": self.tool_use_id or "", "content": self.payload}
        return block if self.caller is None else {**block, "caller": self.caller}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebFetchToolResult(WebSearchToolResult):
    """A fetched page, or an error object."""

    type: ClassVar[str] = "web_fetch_tool_result"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeExecutionToolResult(WebSearchToolResult):
    """What a program printed."""

    type: ClassVar[str] = "code_execution_tool_result"


@dataclass(frozen=True, slots=True, kw_only=True)
class BashCodeExecutionToolResult(WebSearchToolResult):
    """What a shell command printed."""

    type: ClassVar[str] = "bash_code_execution_tool_result"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEditorCodeExecutionToolResult(WebSearchToolResult):
    """What the server's editor did to a file."""

    type: ClassVar[str] = "text_editor_code_execution_tool_result"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSearchToolResult(WebSearchToolResult):
    """Which tools a tool search found."""

    type: ClassVar[str] = "tool_search_tool_result"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisorToolResult(WebSearchToolResult):
    """What an advisor model said; its call is a server_tool_use named `advisor`."""

    type: ClassVar[str] = "advisor_tool_result"


# name of a server's call -> type of its result, where that is not the name and `_tool_result`
_RESULT_TYPES = {
    "octen_search": "web_search_tool_result",
    "octen_broad_search": "web_search_tool_result",
    "tool_search_tool_regex": "tool_search_tool_result",
    "tool_search_tool_bm25": "tool_search_tool_result",
}


def result_type(call: str) -> str:
    """The type of the block that the result of a server's call comes in."""
    return _RESULT_TYPES.get(call, f"{call}_tool_result")


# What the model says, and what else stands in a reply.

# delta type -> the field of the block that it adds to, and the field of the delta that holds the piece
FILLS: Mapping[str, tuple[str, str]] = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("input", "partial_json"),
}
# of those that come in pieces of any size: the field that holds the piece
TEXT_DELTAS: Mapping[str, str] = {kind: piece for kind, (_, piece) in FILLS.items() if kind != "signature_delta"}
# what a citation can point at (docs/protocol.md B.3)
LOCATIONS = (
    "char_location",
    "page_location",
    "content_block_location",
    "search_result_location",
    "web_search_result_location",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Plain text, with citations where the script gives them: whole ones, or only the `cited_text`, whose place in the
    request's documents is then looked up."""

    type: ClassVar[str] = "text"
    text: str
    citations: tuple[dict[str, Any], ...] | None = None

    def mistakes(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What is well-formed but cannot work, as (path to the key, text)."""
        for at, citation in enumerate(self.citations or ()):
            if citation.get("type", LOCATIONS[0]) not in LOCATIONS:
                yield ("citations", at, "type"), f"expected one of {', '.join(LOCATIONS)}; got {citation['type']!r}"
            cited = citation.get("cited_text")
            if not isinstance(cited, str) or not (cited or "type" in citation):  # a whole one may quote nothing (REC)
                yield ("citations", at), "a citation needs its cited_text"

    def start(self) -> dict[str, Any]:
        block: dict[str, Any] = {"type": "text", "text": ""}
        return block if self.citations is None else {**block, "citations": []}

    def deltas(self, chunk: Chunk | None) -> Iterator[Delta]:
        for citation in self.citations or ():
            yield {"type": "citations_delta", "citation": citation}, 0
        for piece in pieces(self.text, chunk or "token"):
            yield {"type": "text_delta", "text": piece}, tokens.count(piece)


# how often a thought that is not shown reports its length: recorded streams count by fifties
QUANTUM = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """A thought and its signature; the signature is made from the text unless the script pins one.

    How a request has it shown: `omitted` without its text, which costs the same and takes as long; `trails` with an
    empty delta before the signature; `counts` with `estimated_tokens` in its deltas (a beta), which is a number only
    where the text is omitted.
    """

    type: ClassVar[str] = "thinking"
    thinking: str
    signature: str | None = None
    omitted: bool = field(default=False, metadata={"hidden": True})
    trails: bool = field(default=False, metadata={"hidden": True})
    counts: bool = field(default=False, metadata={"hidden": True})

    def start(self) -> dict[str, Any]:
        return {"type": "thinking", "thinking": "", "signature": ""}

    def deltas(self, chunk: Chunk | None) -> Iterator[Delta]:
        thought = 0
        for piece in pieces(self.thinking, chunk or "token"):
            size = tokens.count(piece)
            before, thought = thought // QUANTUM, thought + size
            if not self.omitted:
                yield self._delta(piece), size
            elif self.counts and thought // QUANTUM > before:
                yield self._delta("", (thought // QUANTUM - before) * QUANTUM), size
            else:
                yield None, size
        if self.trails:
            yield self._delta(""), 0
        yield {"type": "signature_delta", "signature": self.signature or ""}, 0

    def _delta(self, text: str, estimated: int | None = None) -> dict[str, Any]:
        delta = {"type": "thinking_delta", "thinking": text}
        return {**delta, "estimated_tokens": estimated} if self.counts else delta


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedThinking(_Whole):
    """A thought nobody may read."""

    type: ClassVar[str] = "redacted_thinking"
    data: str | None = None

    def start(self) -> dict[str, Any]:
        return {"type": "redacted_thinking", "data": self.data or ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A call of a client's tool. The id is made for each request unless the script pins one.

    Without a chunk of the script's own, each value of the input is held back until it is whole, as the API does it;
    `eager` (the tool's `eager_input_streaming`) has it come in pieces all the same. `raw`: the JSON that is sent in
    place of the input's, of a call that max_tokens cut short, or as a script writes it.
    """

    type: ClassVar[str] = "tool_use"
    id_prefix: ClassVar[str] = "toolu_"
    name: str
    input: dict[str, Any]
    id: str | None = None
    caller: dict[str, Any] | None = None
    eager: bool = field(default=False, metadata={"hidden": True})
    raw: str | None = field(default=None, metadata={"hidden": True})

    def start(self) -> dict[str, Any]:
        block = {"type": self.type, "id": self.id or "", "name": self.name, "input": {}}
        return block if self.caller is None else {**block, "caller": self.caller}

    @property
    def call_tokens(self) -> int:
        """What a call costs beside its input: recorded ones cost 37 to 40 more than their JSON, `{}` is 38 in all.

        Of calls on the server nothing of the kind is known.
        """
        return 36 + len(self.input) if self.type == "tool_use" else 0

    def json(self) -> str:
        """The input as the model writes it."""
        return spaced(self.input) if self.raw is None else self.raw

    def deltas(self, chunk: Chunk | None) -> Iterator[Delta]:
        yield _json(""), 0
        if chunk is not None or self.eager:
            for piece in pieces(self.json(), chunk or "token"):
                yield _json(piece), tokens.count(piece)
            return
        for value, is_whole in values(self.json()):
            *held, last = (tokens.count(piece) for piece in pieces(value, "token"))
            yield from ((None, size) for size in held)
            yield _json(value) if is_whole else None, last


def _json(piece: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": piece}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerToolUse(ToolUse):
    """A call of a tool the server runs itself, such as `web_search` or `octen_search`."""

    type: ClassVar[str] = "server_tool_use"
    id_prefix: ClassVar[str] = "srvtoolu_"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpToolUse(ToolUse):
    """A call of a tool on an MCP server, which the API's server makes."""

    type: ClassVar[str] = "mcp_tool_use"
    id_prefix: ClassVar[str] = "mcptoolu_"
    server_name: str

    def start(self) -> dict[str, Any]:
        server = self.server_name
        return {"type": self.type, "id": self.id or "", "name": self.name, "server_name": server, "input": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class McpToolResult(_Whole):
    """What a tool on an MCP server gave back."""

    type: ClassVar[str] = "mcp_tool_result"
    content: str | list[Any] = ""
    is_error: bool = False
    tool_use_id: str | None = None

    def start(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "tool_use_id": self.tool_use_id or "",
            "is_error": self.is_error,
            "content": self.content,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class McpToolListing(_Whole):
    """The tools that an MCP server offers."""

    type: ClassVar[str] = "mcp_tool_listing"
    mcp_server_name: str
    tools: list[Any]

    def start(self) -> dict[str, Any]:
        return {"type": self.type, "mcp_server_name": self.mcp_server_name, "tools": self.tools}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUpload(_Whole):
    """A file that a program in the container made."""

    type: ClassVar[str] = "container_upload"
    file_id: str

    def start(self) -> dict[str, Any]:
        return {"type": self.type, "file_id": self.file_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """A summary that stands for the conversation before it. It comes whole, in one delta."""

    type: ClassVar[str] = "compaction"
    content: str | None = None
    encrypted_content: str | None = None
    signature: str | None = None

    def start(self) -> dict[str, Any]:
        encrypted = {} if self.encrypted_content is None else {"encrypted_content": None}
        block = {"type": self.type, "content": None, **encrypted}
        return block if self.signature is None else {**block, "signature": self.signature}

    def deltas(self, chunk: Chunk | None) -> Iterator[Delta]:
        delta = {"type": "compaction_delta", "content": self.content}
        if self.encrypted_content is not None:
            delta["encrypted_content"] = self.encrypted_content
        yield delta, tokens.count(self.content or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback(_Whole):
    """Where another model took over. Its keys are `from` and `to`: {model: NAME} each."""

    type: ClassVar[str] = "fallback"
    from_: dict[str, Any] = field(metadata={"key": "from"})
    to: dict[str, Any]
    trigger: dict[str, Any] = field(default_factory=lambda: {"type": "refusal", "category": None})

    def start(self) -> dict[str, Any]:
        return {"type": self.type, "from": self.from_, "to": self.to, "trigger": self.trigger}


Block = Union[  # noqa: UP007 - get_args on 3.10 needs Union
    Text,
    Thinking,
    RedactedThinking,
    ToolUse,
    ServerToolUse,
    WebSearchToolResult,
    WebFetchToolResult,
    CodeExecutionToolResult,
    BashCodeExecutionToolResult,
    TextEditorCodeExecutionToolResult,
    ToolSearchToolResult,
    AdvisorToolResult,
    McpToolUse,
    McpToolResult,
    McpToolListing,
    ContainerUpload,
    Compaction,
    Fallback,
]

# type, as the API spells it -> class
BLOCKS: dict[str, Any] = {block.type: block for block in get_args(Block)}


def result_class(call: str) -> type[WebSearchToolResult]:
    """The class of that block."""
    found: type[WebSearchToolResult] = BLOCKS[result_type(call)]
    return found


def is_server_tool(type: object) -> bool:
    """Whether a block of this type belongs to a tool the server runs (the call or its result)."""
    return type in ("server_tool_use", "mcp_tool_use") or (isinstance(type, str) and type.endswith("_tool_result"))

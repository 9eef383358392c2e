"""The content blocks of a reply. The union `Block` is the registry: to add a block, add a class and name it there.

A block knows the payload that opens it (`start`) and the deltas that fill it (`deltas`, each with the tokens it
stands for, which is what paces it). Fields are the API's own; None means "not sent". Shapes: protocol notes C.3, D.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Union, get_args

from mock_server.protocol import tokens
from mock_server.protocol.chunk import Chunk, pieces
from mock_server.protocol.sse import dumps

Delta = tuple[dict[str, Any], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Plain text, with citations where the script gives them."""

    type: ClassVar[str] = "text"
    text: str
    citations: tuple[dict[str, Any], ...] | None = None

    def start(self) -> dict[str, Any]:
        block: dict[str, Any] = {"type": "text", "text": ""}
        return block if self.citations is None else {**block, "citations": []}

    def deltas(self, chunk: Chunk) -> Iterator[Delta]:
        for citation in self.citations or ():
            yield {"type": "citations_delta", "citation": citation}, 0
        for piece in pieces(self.text, chunk):
            yield {"type": "text_delta", "text": piece}, tokens.count(piece)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """A thought and its signature; the signature is made from the text unless the script pins one.

    `omitted`: the client wants no text (`thinking.display: omitted`); it costs the same.
    """

    type: ClassVar[str] = "thinking"
    thinking: str
    signature: str | None = None
    omitted: bool = field(default=False, metadata={"hidden": True})

    def start(self) -> dict[str, Any]:
        return {"type": "thinking", "thinking": "", "signature": ""}

    def deltas(self, chunk: Chunk) -> Iterator[Delta]:
        for piece in () if self.omitted else pieces(self.thinking, chunk):
            yield {"type": "thinking_delta", "thinking": piece}, tokens.count(piece)
        yield {"type": "signature_delta", "signature": self.signature or ""}, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedThinking:
    """A thought nobody may read."""

    type: ClassVar[str] = "redacted_thinking"
    data: str | None = None

    def start(self) -> dict[str, Any]:
        return {"type": "redacted_thinking", "data": self.data or ""}

    def deltas(self, chunk: Chunk) -> Iterator[Delta]:
        return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A call of a client's tool. The id is made for each request unless the script pins one."""

    type: ClassVar[str] = "tool_use"
    id_prefix: ClassVar[str] = "toolu_"
    name: str
    input: dict[str, Any]
    id: str | None = None
    caller: dict[str, Any] | None = None

    def start(self) -> dict[str, Any]:
        block = {"type": self.type, "id": self.id or "", "name": self.name, "input": {}}
        return block if self.caller is None else {**block, "caller": self.caller}

    def json(self) -> str:
        """The input as the model writes it."""
        return dumps(self.input)

    def deltas(self, chunk: Chunk) -> Iterator[Delta]:
        yield {"type": "input_json_delta", "partial_json": ""}, 0
        for piece in pieces(self.json(), chunk):
            yield {"type": "input_json_delta", "partial_json": piece}, tokens.count(piece)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerToolUse(ToolUse):
    """A call of a tool the server runs itself, such as `web_search` or `octen_search`."""

    type: ClassVar[str] = "server_tool_use"
    id_prefix: ClassVar[str] = "srvtoolu_"


@dataclass(frozen=True, slots=True, kw_only=True)
class CutToolUse(ToolUse):
    """A call whose JSON max_tokens cut short. Made by `cut`, never written in a script."""

    text: str = ""

    def json(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class CutServerToolUse(CutToolUse):
    """The same for a server's tool."""

    type: ClassVar[str] = "server_tool_use"
    id_prefix: ClassVar[str] = "srvtoolu_"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSearchToolResult:
    """What a search found: a list of results, or an error object. It arrives whole, when the block opens."""

    type: ClassVar[str] = "web_search_tool_result"
    content: list[Any] | dict[str, Any]
    tool_use_id: str | None = None
    caller: dict[str, Any] | None = None

    def start(self) -> dict[str, Any]:
        block = {"type": self.type, "tool_use_id": self.tool_use_id or "", "content": self.content}
        return block if self.caller is None else {**block, "caller": self.caller}

    def deltas(self, chunk: Chunk) -> Iterator[Delta]:
        return iter(())


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
]

# type, as the API spells it -> class
BLOCKS: dict[str, Any] = {block.type: block for block in get_args(Block)}


def is_server_tool(type: object) -> bool:
    """Whether a block of this type belongs to a tool the server runs (the call or its result)."""
    return type == "server_tool_use" or (isinstance(type, str) and type.endswith("_tool_result"))

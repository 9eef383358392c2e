"""The blocks that results of server tools come in, and what their errors can be. Shapes: docs/protocol.md C.3."""

from collections.abc import Iterator
from typing import Any, ClassVar

from mock_server.protocol.chunk import Chunk
from mock_server.records import dataclass

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
class WebSearchToolResult:
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
    def told(self) -> list[Any] | dict[str, Any]:
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
        block = {"type": self.type, "tool_use_id": self.tool_use_id or "", "content": self.told}
        return block if self.caller is None else {**block, "caller": self.caller}

    def deltas(self, chunk: Chunk | None) -> Iterator[tuple[dict[str, Any], int]]:
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

"""A request as the author of a test looks at it: the parsed body under the API's names, and its texts."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mock_server.deferred import Deferred
from mock_server.engine.masking import without_secrets
from mock_server.protocol import completion
from mock_server.protocol.errors import ApiError
from mock_server.protocol.request import HttpRequest, MessagesRequest, parse, parse_json, result_text
from mock_server.records import dataclass, lazy
from mock_server.scenario.conversation import ConditionContext, Conversation, RequestView, conversation
from mock_server.scenario.node import several

if TYPE_CHECKING:
    from mock_server.scenario import writing
else:  # when somebody looks for a scenario that is missing
    writing = Deferred("mock_server.scenario.writing", globals())

_OWN = ("messages", "system", "tools")


class NotUnderstood(ValueError):
    """The request was refused before anything in it could be read."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool's result as the client sent it: `of` is the tool's name, `id` the call's, `text` that of its content."""

    of: str
    id: str
    text: str
    is_error: bool
    content: Any


class Request:
    """One request to the API. `raw` is what came; the rest reads it, and raises NotUnderstood when it is no request."""

    def __init__(self, http: HttpRequest, *, refused: str = "") -> None:
        self.raw = http.body
        self.method = http.method
        self.path = http.path
        self.headers: Mapping[str, str] = http.headers
        self._refused = refused

    @lazy
    def _parsed(self) -> MessagesRequest:
        if self._refused:
            raise NotUnderstood(
                f"this request has no parts, it was refused or is for no message: {self._refused}; see .raw"
            )
        if self.path == completion.PATH:
            return MessagesRequest(completion.as_message(parse_json(self.raw)))
        return parse(self.raw)

    @lazy
    def is_readable(self) -> bool:
        """Whether it is a request whose parts can be asked for: not refused, and not blotted out by `redact`."""
        try:
            return bool(self._parsed.model is not None and self.facts and self.prompt is not None)
        except (NotUnderstood, ApiError, KeyError, TypeError, AttributeError, ValueError):
            return False

    @lazy
    def _conversation(self) -> Conversation:
        return conversation(self.messages)

    @property
    def body(self) -> Mapping[str, Any]:
        """The whole JSON body."""
        return self._parsed.body

    @property
    def model(self) -> str:
        """The model that was asked for, as the client spelled it."""
        return self._parsed.model

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The conversation, as sent."""
        return self._parsed.messages

    @property
    def max_tokens(self) -> int:
        """The limit of the reply."""
        return self._parsed.max_tokens

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return self._parsed.stream

    @lazy
    def prompt(self) -> str:
        """The text of the newest human turn: the newest user turn that is no answer to a tool call."""
        return self._conversation.turns[self._conversation.human[-1]].text.text

    @property
    def system(self) -> str:
        """The system prompt: the top-level one and the text of system messages."""
        return self._parsed.system

    @lazy
    def tools(self) -> Mapping[str, Mapping[str, Any]]:
        """The tools on offer, by name."""
        return dict(zip(self._parsed.tool_names, self._parsed.tools, strict=True))

    @lazy
    def tool_results(self) -> tuple[ToolResult, ...]:
        """The results that the newest user turn brings, in order."""
        return tuple(
            ToolResult(
                of=self._view.called.get(block["tool_use_id"], ""),
                id=block["tool_use_id"],
                text=result_text(block),
                is_error=bool(block.get("is_error")),
                content=block.get("content"),
            )
            for block in self._conversation.newest_results
        )

    @lazy
    def params(self) -> Mapping[str, Any]:
        """Everything else in the body: model, max_tokens, stream, tool_choice, thinking, metadata, …"""
        return {name: value for name, value in self.body.items() if name not in _OWN}

    @lazy
    def _view(self) -> RequestView:
        return RequestView(
            self._parsed, self.headers, self._conversation.turns[-1].content, self._conversation.newest_results
        )

    @lazy
    def facts(self) -> ConditionContext:
        """The request as conditions see it."""
        return ConditionContext(self._view, self._conversation.turns[self._conversation.human[-1]].text)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}, {several(len(self.raw), 'byte')}>"


_NOT_KEPT = "# what was said is not kept here (redact)"


def ready(request: Request) -> str:
    """The scenario that would have matched a request, as YAML to copy."""
    return writing.dump(_stub(request)).rstrip() if request.is_readable else _NOT_KEPT


def ready_in_python(request: Request) -> str:
    """The same as a line of a test."""
    if not request.is_readable:
        return _NOT_KEPT
    when = _stub(request).get("when")
    on = "" if when is None else f", when={json.dumps(when, ensure_ascii=False)}"
    return f'mock_server.add("…"{on})'


def _stub(request: Request) -> Mapping[str, Any]:
    results = request.tool_results
    return writing.stub(without_secrets(request.prompt), results[-1].of if results else None)

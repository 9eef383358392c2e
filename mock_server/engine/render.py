"""What of a reply only its request can give: templates filled, texts and inputs made up.

`rendered` makes the API's own blocks of open ones. Content is drawn from (seed, fingerprint), as all content is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from mock_server.clock import moment
from mock_server.deferred import Deferred
from mock_server.engine.choose import Choice, Lookup
from mock_server.engine.seeds import content_seed
from mock_server.protocol.blocks import BLOCKS, Block, Text, Thinking
from mock_server.protocol.errors import ApiError, failure_of_ours
from mock_server.protocol.request import SECRET_HEADERS, result_text
from mock_server.scenario.generated.fakes import Fake
from mock_server.scenario.generated.values import CannotGenerate
from mock_server.scenario.node import unfit
from mock_server.scenario.reply import OPEN, Generate, OpenText, OpenThinking
from mock_server.scenario.templates import Template, TemplateFailure, budget

if TYPE_CHECKING:
    from mock_server.engine import unmatched
    from mock_server.scenario.generated.content import Generator
else:  # most templates make nothing up
    unmatched = Deferred("mock_server.engine.unmatched", globals())


class Rendering(NamedTuple):
    """What the open parts of one reply are made from. `server_seed`: that of the settings; `unix`: the time of the
    reply.
    """

    lookup: Lookup
    choice: Choice
    server_seed: int | None
    generator: "Generator"
    session: str
    unix: float

    @property
    def seed(self) -> bytes:
        """The seed of what is drawn; most templates draw nothing, so it is worked out when asked for."""
        return content_seed(self.server_seed, self.lookup.request.fingerprint)

    def number(self) -> int:
        """The seed as a number."""
        return int.from_bytes(self.seed, "big")

    @property
    def where(self) -> str:
        return f"scenario '{self.choice.scenario.name}' turn {self.choice.turn}"


def rendered(reply: Sequence[Block], by: Rendering) -> tuple[Block, ...]:
    """The reply as the API's own blocks. Raises ApiError (500): a template or a schema of the script does not work."""
    values = _Values(by)
    return tuple(_block(block, at, by, values) if isinstance(block, OPEN) else block for at, block in enumerate(reply))


def rendered_text(template: Template, by: Rendering) -> str:
    """One text, for an error's message."""
    return _filled(template, by, _Values(by))


def _failed(by: Rendering, what: object) -> ApiError:
    return failure_of_ours(f"{by.where}: {what}")


def _block(block: Any, at: int, by: Rendering, values: "_Values") -> Block:
    if isinstance(block, OpenText | OpenThinking):
        text = _text(block, at, by, values)
        if isinstance(block, OpenText):
            return Text(text=text, citations=block.citations)
        return Thinking(thinking=text, signature=block.signature)
    if block.made is not None:
        input = _made(block, at, by)
    else:
        input = _with_values(block.input, lambda template: _filled(template, by, values))
    cls = BLOCKS[block.type]
    own = {field.name: getattr(block, field.name) for field in fields(cls)}
    made: Block = cls(**{**own, "input": input})
    return made


def _text(block: OpenText | OpenThinking, at: int, by: Rendering, values: "_Values") -> str:
    if block.template is not None:
        return _filled(block.template, by, values)
    return unmatched.text(
        block.generate or Generate(), by.seed + bytes([at % 256]), by.generator, by.lookup.request.max_tokens
    )


def _filled(template: Template, by: Rendering, values: "_Values") -> str:
    try:
        filled = template.render(values, values.budget)
    except TemplateFailure as failure:
        raise _failed(by, f"{failure}{_place(by, template)}") from failure
    if (why := unfit(filled)) is not None:
        raise _failed(by, f"the template gives {why}{_place(by, template)}")
    return filled


def _place(by: Rendering, template: Template) -> str:
    """Where the author wrote a template; one that a function gives stands nowhere."""
    file, _, _ = by.choice.scenario.source.rpartition(":")
    return f" ({file}:{template.at.line})" if file and template.at is not None else ""


def _with_values(value: Any, fill: Callable[[Template], str]) -> Any:
    if isinstance(value, Template):
        return fill(value)
    if isinstance(value, dict):
        return {key: _with_values(item, fill) for key, item in value.items()}
    return [_with_values(item, fill) for item in value] if isinstance(value, list) else value


def _made(block: Any, at: int, by: Rendering) -> dict[str, Any]:
    """An input that fits the tool's schema, or on purpose does not."""
    request = by.lookup.request
    tool = next((tool for tool in request.tools if tool.get("name") == block.name), None)
    if tool is None:
        offered = ", ".join(request.tool_names) or "none"
        raise _failed(by, f"'{block.name}' is no tool of the request, so no input can be made up; it has {offered}")
    try:
        return unmatched.made_input(tool, block.made, by.seed + bytes([at % 256]), by.generator)
    except CannotGenerate as problem:
        raise _failed(by, f"no input can be made up for '{block.name}': {problem}") from None


class _Values(Mapping[str, Any]):
    """What templates can name, worked out when they do; and what those of one reply may do together."""

    def __init__(self, by: Rendering) -> None:
        self._by = by
        self.budget = budget(by.number)
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = _VALUES[name](self._by)
        return self._known[name]

    def __iter__(self) -> Any:
        return iter(_VALUES)

    def __len__(self) -> int:
        return len(_VALUES)


def _result(by: Rendering) -> Callable[[str], str]:
    """`tool_result(name)`: the text of the newest result of that tool in the conversation."""
    calls = by.lookup.view.called
    newest: dict[str, Mapping[str, Any]] = {}
    for message in by.lookup.request.messages:
        content: Sequence[Mapping[str, Any]] = message["content"] if isinstance(message["content"], list) else ()
        newest |= {
            calls[block["tool_use_id"]]: block
            for block in content
            if block["type"] == "tool_result" and block["tool_use_id"] in calls
        }

    def tool_result(name: str) -> str:
        if name in newest:
            return result_text(newest[name])
        there = ", ".join(dict.fromkeys(calls.values())) or "none"
        raise TemplateFailure(f"there is no result of '{name}' in the request; called were {there}")

    return tool_result


def _results(by: Rendering) -> list[dict[str, Any]]:
    called = by.lookup.view.called
    return [
        {
            "name": called.get(block["tool_use_id"], ""),
            "text": result_text(block),
            "is_error": bool(block.get("is_error")),
        }
        for block in by.lookup.view.results
    ]


def _now(by: Rendering) -> datetime:
    return moment(by.unix)


_VALUES: Mapping[str, Callable[[Rendering], Any]] = {
    "request": lambda by: by.lookup.request.body,
    "headers": lambda by: {k.lower(): v for k, v in by.lookup.view.headers.items() if k.lower() not in SECRET_HEADERS},
    "prompt": lambda by: by.lookup.prompt.text,
    "last_message": lambda by: by.lookup.view.last_message.text,
    "system": lambda by: by.lookup.request.system,
    "model": lambda by: by.lookup.request.model,
    "tool_result": _result,
    "tool_results": _results,
    "captures": lambda by: by.choice.captures(by.lookup),
    "state": lambda by: dict(by.lookup.view.states),
    "fake": lambda by: Fake(lambda: by.generator.fakes.seeded(by.number())),
    "now": _now,
    "session": lambda by: by.session,
    "turn": lambda by: by.choice.turn,
    "attempt": lambda by: by.choice.attempt,
}

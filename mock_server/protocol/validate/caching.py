"""Rules about marks for the prompt cache: how many, where, and in which order of their times to live."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mock_server.protocol.errors import invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest

MOST = 4
_SHORT = "5m"


class Breakpoint(NamedTuple):
    """One mark: the path of the block that carries it, the block, and its time to live."""

    path: str
    block: Mapping[str, Any]
    ttl: str


def breakpoints(request: MessagesRequest) -> Iterator[Breakpoint]:
    """Every explicit mark, in the order of the prompt: tools, system, messages."""
    yield from _marked(request.tools, "tools")
    yield from _marked(request.body.get("system"), "system")
    states = request.scan("marks", None, _marks)
    for index, found in enumerate(states[1:]):
        for path, block, ttl in found or ():
            yield Breakpoint(f"messages.{index}.content{path}", block, ttl)


def _marks(before: object, message: Mapping[str, Any]) -> Sequence[Breakpoint] | None:
    """The marks of one message, their paths without its own."""
    content = message["content"]
    return None if type(content) is str else tuple(_marked(content, "")) or None


def _marked(blocks: Any, path: str) -> Iterator[Breakpoint]:
    for at, block in enumerate(blocks if isinstance(blocks, list | tuple) else ()):
        mark = block.get("cache_control")
        if isinstance(mark, dict):
            yield Breakpoint(f"{path}.{at}", block, mark.get("ttl") or _SHORT)
        if block.get("type") == "tool_result":
            yield from _marked(block.get("content"), f"{path}.{at}.tool_result.content")


def cache_control(request: MessagesRequest, profile: Profile) -> None:
    """Rules 117 to 119 and 122: at most four marks, none on an empty text, an hour before five minutes."""
    automatic = request.body.get("cache_control")
    marks = list(breakpoints(request))
    found = len(marks) + (automatic is not None)
    if found > MOST:
        raise invalid(f"A maximum of {MOST} blocks with cache_control may be provided. Found {found}.")
    for mark in marks:
        if mark.block.get("type") == "text" and not mark.block.get("text"):
            raise invalid(f"{mark.path}.text: cache_control cannot be set for empty text blocks")
    if automatic is not None:
        marks += _automatic(request, automatic)
    short = False
    for mark in marks:
        if mark.ttl != _SHORT and short:
            raise invalid(
                f"{mark.path}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
                "cache_control block. Note that blocks are processed in the following order: tools, system, messages."
            )
        short = short or mark.ttl == _SHORT


def _automatic(request: MessagesRequest, automatic: Mapping[str, Any]) -> list[Breakpoint]:
    """The mark of the top level, as one on the last block. A mark there already must agree with it."""
    ttl = automatic.get("ttl") or _SHORT
    last = request.messages[-1]["content"]
    block = last[-1] if not isinstance(last, str) and last else {}
    own = block.get("cache_control")
    if isinstance(own, Mapping) and (own.get("ttl") or _SHORT) != ttl:
        raise invalid("cache_control.ttl: the last block has a cache_control with another ttl")
    return [Breakpoint("cache_control", {}, ttl)] if own is None else []

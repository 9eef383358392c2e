"""Rules about content that comes back. What carries our mark is judged; the rest is taken as it is.

But for signatures of thoughts: one that can be nobody's is refused, whoever is said to have made it.
"""

from bisect import bisect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mock_server.protocol import marks
from mock_server.protocol.blocks import is_server_tool
from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.validate.models import model_of

_DATA = {"thinking": "signature", "redacted_thinking": "data"}
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")


class _Thought(NamedTuple):
    """A thought of ours in the newest turn: its index among the blocks of the turn, and where it stood in its reply."""

    at: int
    place: marks.Place


def signatures(request: MessagesRequest, profile: Profile) -> None:
    """Rules 110, 111 and 96: what carries a signature is as it was, `encrypted_content` stands for one result."""
    covers_text = model_of(request, profile).signed_text
    newest = _newest(request.messages)
    turn: list[tuple[str, Mapping[str, Any]]] = []
    thoughts: list[_Thought] = []
    for index, message in enumerate(request.messages):
        if message["role"] != "assistant" or isinstance(message["content"], str):
            continue
        for at, block in enumerate(message["content"]):
            path = f"messages.{index}.content.{at}"
            if block["type"] == "compaction":
                _compaction(block, path)
            elif block["type"] in _DATA:
                signed = _thought(block, path, covers_text=covers_text, is_newest=index in newest)
                if index in newest and signed is not None and signed.place.reply:
                    thoughts.append(_Thought(len(turn), signed.place))
            elif block["type"] == "web_search_tool_result" and isinstance(block["content"], list):
                _results(block["content"], path)
            if index in newest:
                turn.append((path, block))
    if thoughts:
        _in_order(turn, thoughts)


def _newest(messages: Sequence[Mapping[str, Any]]) -> range:
    """The newest assistant turn: neighbours of one role are one message."""
    last = max((at for at, message in enumerate(messages) if message["role"] == "assistant"), default=-1)
    first = last
    while first > 0 and messages[first - 1]["role"] == "assistant":
        first -= 1
    return range(first, last + 1) if last >= 0 else range(0)


def _thought(block: Mapping[str, Any], path: str, *, covers_text: bool, is_newest: bool) -> marks.Signed | None:
    """What the signature of a thought tells, when it is ours."""
    kind = block["type"]
    try:
        signed = marks.opened(kind, block[_DATA[kind]])
    except marks.NotASignature:
        raise _wrong(kind, path) from None
    # A client that was sent no text (display omitted) has none to send back: the signature alone counts then.
    text = block.get("thinking")
    if signed is not None and text and covers_text and not signed.covers(text):
        raise _modified(path) if is_newest else _wrong(kind, path)
    return signed


def _wrong(kind: str, path: str) -> ApiError:
    return invalid(f"{path}: Invalid `{_DATA[kind]}` in `{kind}` block")


def _modified(path: str) -> ApiError:
    return invalid(
        f"{path}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
        "These blocks must remain as they were in the original response."
    )


def _in_order(turn: Sequence[tuple[str, Mapping[str, Any]]], thoughts: Sequence[_Thought]) -> None:
    """Rule 110: thoughts of one reply keep their order and stand once, each behind and before what it was beside.

    What was left out is no matter of this rule.
    """
    where: dict[bytes, list[int]] = {}  # the blocks that may be beside a thought, by their marks
    for at, (_, block) in enumerate(turn):
        for mark in _beside(block):
            where.setdefault(mark, []).append(at)
    seen: dict[bytes, tuple[int, int]] = {}  # of each reply: where its first thought is, and the number of its last
    for at, place in thoughts:
        is_late = where.get(place.before, (at,))[0] > at
        is_early = where.get(place.after, (at,))[-1] < at
        begins, number = seen.get(place.reply, (at, 0))
        if place.number <= number:
            is_early = is_early or place.number > 1 or not _is_repeated(where.get(place.after, ()), begins, at)
            begins = at
        if is_late or is_early:
            raise _modified(turn[at][0])
        seen[place.reply] = (begins, place.number)


def _is_repeated(after: Sequence[int], first: int, second: int) -> bool:
    """Whether what comes after a thought comes after both of these; `after`: wherever it is.

    A turn that was gone on with may hold a reply twice, where a scenario repeats itself: then it is all there twice.
    """
    return bisect(after, first) < bisect(after, second) < len(after)


def _beside(block: Mapping[str, Any]) -> tuple[bytes, ...]:
    """The marks that a block may be known by to a thought beside it."""
    kind = block["type"]
    if kind in _DATA:
        return ()
    if kind == "text":
        return (marks.beside("text", said=block["text"].strip()),)
    if kind in _CALLS:
        name, given = block["name"], block["input"]
        return (marks.beside(kind, name, given), marks.beside(kind, name, cut=True))
    return (marks.beside(kind),)


def _compaction(block: Mapping[str, Any], path: str) -> None:
    if marks.signed("compaction", str(block.get("content")), block.get("signature")) is False:
        raise invalid(
            f"{path}.compaction: Invalid `signature` in `compaction` block",
            details={"error_code": "compaction_signature_invalid"},
        )


def result_said(result: Mapping[str, Any]) -> str:
    """What the mark in `encrypted_content` covers."""
    return f"{result.get('url')} {result.get('title')}"


def _results(results: list[Any], path: str) -> None:
    for number, result in enumerate(results):
        if not isinstance(result, dict):
            continue
        if marks.signed("web_search_result", result_said(result), result.get("encrypted_content")) is False:
            raise invalid(
                f"{path}.web_search_tool_result.content.{number}: Invalid `encrypted_content` in search result"
            )


def paused_content(request: MessagesRequest, profile: Profile) -> None:
    """A paused turn comes back as the last message, unchanged: its calls keep the name and input they had."""
    last = len(request.messages) - 1
    message = request.messages[last]
    if message["role"] != "assistant" or isinstance(message["content"], str):
        return
    if not any(is_server_tool(block["type"]) for block in message["content"]):
        return
    for at, block in enumerate(message["content"]):
        if block["type"] in ("tool_use", "server_tool_use"):
            _call(block, f"messages.{last}.content.{at}")


def _call(block: Mapping[str, Any], path: str) -> None:
    minted = marks.read(block["id"])
    if minted is None:
        return
    changed = []
    if not minted.named(block["name"]):
        changed.append("name")
    elif not minted.given(block["name"], block["input"]):
        changed.append("input")
    if changed:
        raise invalid(
            f"{path}: `{block['type']}` block `{block['id']}` cannot be modified: its `{changed[0]}` differs from the "
            "original response. The content of a paused turn must be sent back unchanged."
        )

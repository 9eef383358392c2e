"""Thinking that comes back: what a client may do to the thoughts of a reply before it sends them, and what becomes of it.

The table is played by the Python SDK and by the JavaScript one, as a JSON reply and as a stream, for every model that
thinks. A change is plain data, so that each language can make it: which blocks are sent, in which order, and what of
the first thought is another. Sources: two published live tests (sonnet 4.5 and 4.6) and public reports.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mock_server.protocol.profile import Model, Profile
from mock_server.scenario.profiles import load_profile

PROFILES = ("octen", "anthropic")
INTERLEAVED = "interleaved-thinking-2025-05-14"
TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("first", "second")]
LEFT_OUT = "left out"  # a field that is not sent at all

MODIFIED = "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. These blocks "
MODIFIED += "must remain as they were in the original response."
INVALID = "Invalid `signature` in `thinking` block"
SEALED = "Invalid `data` in `redacted_thinking` block"
NO_THOUGHT = "Expected `thinking` or `redacted_thinking`, but found `tool_use`."


class Sent(NamedTuple):
    """What comes back of a reply of four blocks: a thought, a call, a thought, a call.

    `blocks`: which of them, in this order. `fields`: what the first thought says instead. `cut`: letters taken off the
    end of its signature; `letter`: the one that is another. `refused`: how the message goes on behind its path; None:
    it passes.
    """

    what: str
    refused: str | None
    path: str = "content.0"
    scenario: str = "thoughts"
    blocks: tuple[int, ...] = (0, 1, 2, 3)
    fields: Mapping[str, str] | None = None
    cut: int = 0
    letter: int | None = None
    beta: str | None = None


def rows(model: Model) -> list[Sent]:
    """The table for one model."""
    text = MODIFIED if model.signed_text else None
    manual = NO_THOUGHT if is_manual(model) else None
    return [
        Sent("as it came", None),
        Sent("the text emptied", None, fields={"thinking": ""}),
        Sent("the text changed", text, fields={"thinking": "I never thought this."}),
        Sent("an empty signature", INVALID, fields={"signature": ""}),
        Sent("an empty signature and no text", INVALID, fields={"signature": "", "thinking": ""}),
        Sent("a word for a signature", INVALID, fields={"signature": "invalid"}),
        Sent("a scrubbed signature", INVALID, fields={"signature": "signature_REDACTED_1"}),
        Sent("no signature", "Field required", "content.0.thinking.signature", fields={"signature": LEFT_OUT}),
        Sent("a letter cut off", INVALID, cut=1),
        Sent("four letters cut off", INVALID, cut=4),
        Sent("half of it cut off", INVALID, cut=64),
        Sent("the first letter changed", INVALID, letter=0),
        Sent("a letter at the start changed", INVALID, letter=5),
        Sent("a letter within changed", INVALID, letter=60),
        Sent("the last letter changed", INVALID, letter=-1),
        Sent("both thoughts first", MODIFIED, "content.1", blocks=(0, 2, 1, 3)),
        Sent("the thoughts swapped", MODIFIED, blocks=(2, 1, 0, 3)),
        Sent("one thought twice", MODIFIED, "content.1", blocks=(0, 0, 1, 2, 3)),
        Sent("one thought twice, apart", MODIFIED, "content.2", blocks=(0, 1, 0, 2, 3)),
        Sent("the second left out", None, blocks=(0, 1, 3)),
        Sent("all left out", manual, "content.0.type", blocks=(1, 3)),
        Sent("all left out, interleaved", None, blocks=(1, 3), beta=INTERLEAVED),
        Sent("both first, interleaved", MODIFIED, "content.1", blocks=(0, 2, 1, 3), beta=INTERLEAVED),
        Sent("sealed: as it came", None, scenario="sealed-thoughts"),
        Sent("sealed: no data", SEALED, scenario="sealed-thoughts", fields={"data": ""}),
        Sent("sealed: cut", SEALED, scenario="sealed-thoughts", cut=4),
        Sent("sealed: a letter changed", SEALED, scenario="sealed-thoughts", letter=7),
        Sent("sealed: both first", MODIFIED, "content.1", scenario="sealed-thoughts", blocks=(0, 2, 1, 3)),
        Sent("sealed: twice", MODIFIED, "content.1", scenario="sealed-thoughts", blocks=(0, 0, 1, 2, 3)),
    ]


def thinking_models(profile: str) -> list[Model]:
    """The models of a profile that are known to think."""
    loaded: Profile = load_profile(profile)
    return [model for model in loaded.models if model.thinking]


def is_manual(model: Model) -> bool:
    return "enabled" in (model.thinking or ())


def thinking(model: Model) -> dict[str, Any]:
    """The parameter: by a budget where the model has that, so that a turn of calls must begin with a thought."""
    mode = {"type": "enabled", "budget_tokens": 1024} if is_manual(model) else {"type": "adaptive"}
    return {**mode, "display": "summarized"}


def call(model: Model, row: Sent) -> dict[str, Any]:
    """The first request."""
    said = f"[[scenario:{row.scenario}]] Go on, please."
    messages = [{"role": "user", "content": said}]
    return {
        "model": model.id, "max_tokens": 2048, "messages": messages, "tools": TOOLS, "thinking": thinking(model),
    }  # fmt: skip


def changed(content: list[dict[str, Any]], row: Sent) -> list[dict[str, Any]]:
    """The content as it is sent back."""
    first = {**content[0], **(row.fields or {})}
    seal = "data" if first["type"] == "redacted_thinking" else "signature"
    if row.cut:
        first[seal] = first[seal][: -row.cut]
    if row.letter is not None:
        letters = list(first[seal])
        letters[row.letter] = "A" if letters[row.letter] != "A" else "B"
        first[seal] = "".join(letters)
    blocks = [{name: value for name, value in first.items() if value != LEFT_OUT}, *content[1:]]
    return [blocks[at] for at in row.blocks]


def answered(call: dict[str, Any], content: list[dict[str, Any]]) -> dict[str, Any]:
    """The request that goes on after the reply, with a result for each of its calls."""
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "ok"}
        for block in content
        if block["type"] == "tool_use"
    ]
    said = [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
    return {**call, "messages": [*call["messages"], *said]}


def expected(row: Sent) -> str:
    """What the client is told: `200`, or the status and how the message begins."""
    return "200" if row.refused is None else f"400 messages.1.{row.path}: {row.refused}"

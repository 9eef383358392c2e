"""What only some requests are told beside the reply itself: container, diagnostics, edits of the context, speed …

`extras` gives None for a request that asks for nothing of the kind. Shapes: protocol notes B.2, C.1, C.2.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from mock_server.engine.admission import Admitted
from mock_server.engine.seeds import Ids
from mock_server.protocol.message import Extras
from mock_server.protocol.profile import Model
from mock_server.protocol.prompt import block_cost
from mock_server.protocol.request import blocks
from mock_server.protocol.tokens import TokenCounter

# parameters (and parts of the tools) that make a reply say more
ASKING = frozenset(
    ("speed", "inference_geo", "diagnostics", "context_management", "container", "fallbacks", "compaction")
)
# betas that have every reply tell of each sampling by itself
_ITERATING = ("compact-", "server-side-fallback-")
CONTAINER_SECONDS = 3600
_KEEP, _TRIGGER = 3, 100_000


def extras(
    admitted: Admitted, ids: Ids, counter: TokenCounter, unix: float, *, runs_code: bool = False
) -> Extras | None:
    """What this request is told on top of its reply. `runs_code`: the reply did, so there is a container."""
    request = admitted.request
    body = request.body
    plain = ASKING.isdisjoint(body) and "anthropic-beta" not in request.headers and not runs_code
    if plain and not admitted.call.session.terms.profile.priority_tier:
        return None
    asked = [name for name in ASKING if body.get(name) is not None]
    told = _tier(admitted)
    iterates = admitted.request.has_beta(*_ITERATING)
    if not asked and not runs_code and not told and not iterates:
        return None
    edits = None if "context_management" not in asked else {"applied_edits": applied_edits(admitted, counter)}
    return Extras(
        message=_diagnostics(admitted) if "diagnostics" in asked else {},
        delta={"container": _container(body, ids, unix)} if runs_code or "container" in asked else {},
        beside={} if edits is None else {"context_management": edits},
        iterates=iterates,
        usage=told | {name: body[name] for name in ("speed", "inference_geo") if name in asked},
    )


def _tier(admitted: Admitted) -> dict[str, Any]:
    is_priority = admitted.call.session.terms.profile.priority_tier
    asked = admitted.request.body.get("service_tier")
    return {"service_tier": "priority"} if is_priority and asked != "standard_only" else {}


def _diagnostics(admitted: Admitted) -> dict[str, Any]:
    """Why the prompt missed the cache: null on the first turn and where the prefix could be used."""
    previous = admitted.request.body["diagnostics"].get("previous_message_id")
    reason = None
    if previous is not None and admitted.prefix is not None:
        reason = admitted.call.session.cache.miss_reason(str(previous), admitted.prefix)
    return {"diagnostics": {"cache_miss_reason": reason}}


def _container(body: Mapping[str, Any], ids: Ids, unix: float) -> dict[str, Any]:
    """The container a request names, or a new one; it lives an hour from now."""
    given = body.get("container")
    asked = given if isinstance(given, Mapping) else {"id": given}
    ends = datetime.fromtimestamp(int(unix) + CONTAINER_SECONDS, timezone.utc)
    container = {
        "id": str(asked.get("id") or "container_011" + ids.take(21)),
        "expires_at": ends.isoformat().replace("+00:00", "Z"),
    }
    skills = asked.get("skills")
    if isinstance(skills, list):
        told = [{"version": "latest", **skill} for skill in skills if isinstance(skill, Mapping)]
        return {**container, "skills": told}
    return container


# -- context editing --------------------------------------------------------------------------------------------------


def applied_edits(admitted: Admitted, counter: TokenCounter) -> list[dict[str, Any]]:
    """What the edits of `context_management` took out of this prompt, as far as their triggers are reached."""
    edits = admitted.request.body["context_management"].get("edits")
    applied = []
    for edit in edits if isinstance(edits, list) else ():
        apply = _EDITS.get(str(edit.get("type"))) if isinstance(edit, Mapping) else None
        found = apply(edit, admitted, counter) if apply is not None else None
        if found is not None:
            applied.append({"type": edit["type"], **found})
    return applied


def _value(edit: Mapping[str, Any], name: str, default: int) -> int:
    given = edit.get(name)
    value = given.get("value") if isinstance(given, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _clear_tool_uses(edit: Mapping[str, Any], admitted: Admitted, counter: TokenCounter) -> dict[str, int] | None:
    """Results of all tools but the newest few go once the prompt is long enough."""
    named = edit.get("exclude_tools")
    kept = [str(name) for name in named] if isinstance(named, list) else []
    results = [cost for name, cost in _results(admitted, counter) if name not in kept]
    trigger = edit.get("trigger")
    counts_calls = isinstance(trigger, Mapping) and trigger.get("type") == "tool_uses"
    reached = len(results) if counts_calls else admitted.input_tokens
    cleared = results[: max(0, len(results) - _value(edit, "keep", _KEEP))]
    if reached <= _value(edit, "trigger", _TRIGGER) or not cleared or sum(cleared) < _value(edit, "clear_at_least", 0):
        return None
    return {"cleared_tool_uses": len(cleared), "cleared_input_tokens": sum(cleared)}


def _results(admitted: Admitted, counter: TokenCounter) -> Iterator[tuple[str, int]]:
    """Each tool result of the conversation: the name of its tool, and what it costs."""
    names: dict[str, str] = {}
    for block in _blocks(admitted):
        if block["type"] == "tool_use":
            names[block["id"]] = block["name"]
        elif block["type"] == "tool_result":
            yield names.get(block["tool_use_id"], ""), _cost(block, admitted.model, counter)


def _clear_thinking(edit: Mapping[str, Any], admitted: Admitted, counter: TokenCounter) -> dict[str, int] | None:
    """Thoughts of all turns but the newest few go; `keep: all` keeps them."""
    keep = edit.get("keep")
    if keep == "all" or (isinstance(keep, Mapping) and keep.get("type") == "all"):
        return None
    turns = [
        sum(_cost(block, admitted.model, counter) for block in thoughts)
        for message in admitted.request.messages
        if (thoughts := [one for one in blocks(message["content"]) if one["type"] in ("thinking", "redacted_thinking")])
    ]
    cleared = turns[: max(0, len(turns) - _value(edit, "keep", 1))]
    return {"cleared_thinking_turns": len(cleared), "cleared_input_tokens": sum(cleared)} if cleared else None


def _blocks(admitted: Admitted) -> Iterator[Mapping[str, Any]]:
    for message in admitted.request.messages:
        yield from blocks(message["content"])


def _cost(block: Mapping[str, Any], model: Model, counter: TokenCounter) -> int:
    return block_cost(block, model, counter).on(model)


_EDITS = {"clear_tool_uses_20250919": _clear_tool_uses, "clear_thinking_20251015": _clear_thinking}

"""What only some requests are told beside the reply itself: container, diagnostics, edits of the context, speed …

`extras` gives None for a request that asks for nothing of the kind. Shapes: docs/protocol.md B.2, C.1, C.2.
"""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from mock_server.engine.admission import Admitted
from mock_server.engine.seeds import Ids
from mock_server.protocol.message import UNEDITED, Extras
from mock_server.protocol.moment import whole_seconds
from mock_server.protocol.request import MessagesRequest

# parameters (and parts of the tools) that make a reply say more
ASKING = frozenset(
    ("speed", "inference_geo", "diagnostics", "context_management", "container", "fallbacks", "compaction")
)
# betas that have every reply tell of each sampling by itself, and of the edits of its context
_ITERATING = ("compact-", "server-side-fallback-", "advisor-tool-")
_EDITING = "context-management-"
CONTAINER_SECONDS = 3600


def extras(admitted: Admitted, ids: Ids, *, runs_code: bool = False) -> Extras | None:
    """What this request is told on top of its reply. `runs_code`: the reply does, so there is a container."""
    request = admitted.request
    body = request.body
    plain = ASKING.isdisjoint(body) and "anthropic-beta" not in request.headers and not runs_code
    if plain and not admitted.call.session.terms.profile.priority_tier:
        return None
    asked = [name for name in ASKING if body.get(name) is not None]
    told = _tier(admitted)
    iterates, edits = request.has_beta(*_ITERATING), "context_management" in asked or request.has_beta(_EDITING)
    if not (asked or runs_code or told or iterates or edits):
        return None
    return Extras(
        message=_diagnostics(admitted) if "diagnostics" in asked else {},
        delta={"container": _container(admitted, ids)} if runs_code or "container" in asked else {},
        beside=_beside(admitted) if edits else {},
        iterates=iterates,
        advisor=_advisor(request) if iterates else None,
        for_program="container" not in asked,
        usage=told | {name: body[name] for name in ("speed", "inference_geo") if name in asked},
    )


def _beside(admitted: Admitted) -> Mapping[str, Any]:
    return {"context_management": {"applied_edits": list(admitted.edits)}} if admitted.edits else UNEDITED


def _advisor(request: MessagesRequest) -> str | None:
    """The model that the request has for advice."""
    named = (tool.get("model") for tool in request.tools if str(tool.get("type")).startswith("advisor_"))
    return next((model for model in named if isinstance(model, str)), None)


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


def _container(admitted: Admitted, ids: Ids) -> dict[str, Any]:
    """The container a request names, or a new one; it lives an hour from now."""
    given = admitted.request.body.get("container")
    asked = given if isinstance(given, Mapping) else {"id": given}
    ends = datetime.fromtimestamp(int(admitted.call.session.told_unix()) + CONTAINER_SECONDS, timezone.utc)
    container = {
        "id": str(asked.get("id") or ids.container()),
        "expires_at": whole_seconds(ends),
    }
    skills = asked.get("skills")
    if isinstance(skills, list):
        told = [{"version": "latest", **skill} for skill in skills if isinstance(skill, Mapping)]
        return {**container, "skills": told}
    return container

"""`GET /v1/models` and `/v1/models/{id}`: the models of the profile. Shapes: docs/protocol.md F.2, the SDK's types."""

from typing import TYPE_CHECKING, Any

from mock_server.engine.errors import json_reply, unserved
from mock_server.engine.exchange import Call, Exchange
from mock_server.protocol.errors import UnknownModel
from mock_server.protocol.profile import EFFORTS, Model, Profile
from mock_server.protocol.query import PAGE, Several, id_page

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine

LIFECYCLES = ("active", "deprecated", "retired")
PARAMETERS = {**PAGE, "lifecycle": Several(LIFECYCLES, most=3)}
UNKNOWN_DATE = "1970-01-01"
_THINKING = ("adaptive", "enabled", "disabled", "between_tools")
_PLAIN = ("batch", "citations", "image_input", "pdf_input", "structured_outputs")
_EDITS = ("clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112")


def listed(engine: "Engine", call: Call) -> Exchange:
    """One page of the models, newest first; retired ones only when `lifecycle[]` asks for them."""
    query = call.query(PARAMETERS)
    stages = query["lifecycle"] or ("active", "deprecated")
    profile = call.session.in_force.profile
    models = sorted(profile.models, key=lambda model: model.created or UNKNOWN_DATE, reverse=True)
    by_id = {model.id: model for model in models if model.lifecycle in stages}
    beta = "anthropic-beta" in call.http.headers
    return Exchange(
        json_reply(call, id_page(by_id, query, lambda model: info(model, profile, beta=beta))), note="models"
    )


def retrieved(engine: "Engine", call: Call) -> Exchange:
    """One model, by its id or another name of it. Raises ApiError (404)."""
    call.query({})
    profile, name = call.session.in_force.profile, call.params["id"]
    model = profile.model(name)
    if model is None:
        raise unserved(UnknownModel(name, profile.unknown_model_message), profile)
    beta = "anthropic-beta" in call.http.headers
    return Exchange(json_reply(call, info(model, profile, beta=beta)), note=f"models: {model.id}")


def info(model: Model, profile: Profile, *, beta: bool = False) -> dict[str, Any]:
    """A model as the API lists it; `beta`: with what only beta clients have a type for."""
    fields = {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name or model.id,
        "created_at": _moment(model.created or UNKNOWN_DATE),
        "lifecycle": model.lifecycle,
        "line": model.line,
        "deprecated_at": _moment(model.deprecated),
        "retires_at": _moment(model.retires),
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output,
        "capabilities": None if model.thinking is None else capabilities(model, beta=beta),
    }
    return fields | ({"allowed_fallback_models": _fallbacks(model, profile)} if beta else {})


def capabilities(model: Model, *, beta: bool) -> dict[str, Any]:
    """What a model can do, each as `supported`. Of a model without rules nothing is known."""
    thinking, efforts = model.thinking or (), model.efforts or ()
    servers = {"web_search": _has(model, "web_search"), "code_execution": _has(model, "code_execution")}
    fields = {
        **{name: _has(model, name) for name in _PLAIN},
        "code_execution": _has(model, "programmatic_tools"),
        "context_management": _group({name: _has(model, name) for name in _EDITS}),
        "effort": _group({name: _support(name in efforts) for name in EFFORTS}),
        "server_tools": _group(servers),
        "thinking": {
            "supported": not {"adaptive", "enabled"}.isdisjoint(thinking),
            "types": {name: _support(name in thinking) for name in _THINKING},
        },
    }
    return fields | ({"compaction": _group({"summarize": _has(model, "compaction")})} if beta else {})


def _support(supported: bool) -> dict[str, bool]:
    return {"supported": supported}


def _has(model: Model, name: str) -> dict[str, bool]:
    return _support(name not in model.lacks)


def _group(parts: dict[str, dict[str, bool]]) -> dict[str, Any]:
    return {"supported": any(part["supported"] for part in parts.values()), **parts}


def _fallbacks(model: Model, profile: Profile) -> list[str] | None:
    if model.fallbacks is None:
        return None
    known = [profile.model(name) for name in model.fallbacks]
    return [one.id for one in known if one is not None]


def _moment(date: str | None) -> str | None:
    return None if date is None else f"{date}T00:00:00Z"

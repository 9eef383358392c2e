"""Rules that depend on the model or on the version of the API: what a model can do is a row of the profile.

A model of which nothing is known (`Model(id=...)`) passes every rule here.
"""

from collections.abc import Mapping
from typing import Any

from mock_server.protocol.blocks import is_server_tool
from mock_server.protocol.errors import invalid
from mock_server.protocol.profile import Model, Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.rules.parameters import THINKING

SAMPLING = ("temperature", "top_p", "top_k")
_DEFAULTS: Mapping[str, float] = {"temperature": 1, "top_p": 1}
THINKING_DOCS = "https://platform.claude.com/docs/en/build-with-claude/extended-thinking"
INTERLEAVED = "interleaved-thinking-2025-05-14"


def model_of(request: MessagesRequest, profile: Profile) -> Model:
    """The model a request is for; one without rules when the profile has none of this name."""
    return profile.model(request.model) or Model(id=request.model)


def is_thinking(request: MessagesRequest, model: Model) -> bool:
    """Whether the model thinks before it answers this request."""
    mode = request.thinking.get("type")
    return mode in ("enabled", "adaptive") if mode is not None else model.thinking_default != "off"


# -- sampling -----------------------------------------------------------------------------------------------------


def sampling(request: MessagesRequest, profile: Profile) -> None:
    """Rules 30 to 32 and 34: sampling as version and model allow.

    A profile that ignores what it does not support checks none of them.
    """
    parameters = {name: request.body[name] for name in SAMPLING if request.body.get(name) is not None}
    if not profile.is_strict or not parameters:
        return
    if profile.refuses("sampling", request.version):
        raise invalid(f"{next(iter(parameters))}: Extra inputs are not permitted")
    model = model_of(request, profile)
    for name, value in parameters.items():
        if model.sampling == "fixed" and value != _DEFAULTS.get(name):
            raise invalid(f"`{name}` is deprecated for this model.")
    if model.sampling == "one" and "temperature" in parameters and "top_p" in parameters:
        raise invalid("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if request.thinking.get("type") in ("enabled", "adaptive"):
        _sampling_while_thinking(parameters)


def _sampling_while_thinking(parameters: Mapping[str, Any]) -> None:
    reason = f"when thinking is enabled. Please consult our documentation at {THINKING_DOCS}"
    if parameters.get("temperature", 1) != 1:
        raise invalid(f"`temperature` may only be set to 1 {reason}")
    if not parameters.get("top_p", 1) >= 0.95:
        raise invalid(f"`top_p` must be greater than or equal to 0.95 or unset {reason}")
    if "top_k" in parameters:
        raise invalid(f"`top_k` must be unset {reason}")


# -- thinking and effort ------------------------------------------------------------------------------------------

_USE_ADAPTIVE = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
_USE_ENABLED = (
    "Thinking defaults to adaptive mode when not specified; "
    'use "thinking.type.enabled" with "budget_tokens" for extended thinking.'
)


def thinking_mode(request: MessagesRequest, profile: Profile) -> None:
    """Rules 102 to 106: the model has this kind of thinking, and the kind has these fields."""
    thinking = request.thinking
    mode = thinking.get("type")
    if mode is None:
        return
    _thinking_fields(thinking, mode, profile)
    model = model_of(request, profile)
    if model.thinking is not None and mode not in model.thinking:
        raise invalid(_unsupported(mode, model))
    if mode == "disabled" and request.effort in model.thinking_efforts:
        most = next((one for one in reversed(model.efforts or ()) if one not in model.thinking_efforts), "high")
        raise invalid(
            f"output_config.effort '{request.effort}' is not supported when thinking is disabled on this model. "
            f"Use effort '{most}' or below, or enable thinking."
        )


def _thinking_fields(thinking: Mapping[str, Any], mode: str, profile: Profile) -> None:
    for name in thinking if profile.is_strict else ():
        if name != "type" and name not in THINKING[mode]:
            raise invalid(f"thinking.{mode}.{name}: Extra inputs are not permitted")


def _unsupported(mode: str, model: Model) -> str:
    if mode == "adaptive":
        return "adaptive thinking is not supported on this model"
    hint = _USE_ENABLED if mode == "disabled" and not model.bound_thinking else _USE_ADAPTIVE
    return f'"thinking.type.{mode}" is not supported for this model. {hint}'


def thinking_budget(request: MessagesRequest, profile: Profile) -> None:
    """Rule 101: the budget is below `max_tokens`.

    With interleaved thinking it is for all thoughts of a turn, and may be larger.
    """
    thinking = request.thinking
    if thinking.get("type") != "enabled" or request.has_beta(INTERLEAVED):
        return
    if thinking["budget_tokens"] >= request.max_tokens:
        raise invalid(
            "`max_tokens` must be greater than `thinking.budget_tokens`. "
            f"Please consult our documentation at {THINKING_DOCS}#max-tokens-and-context-window-size"
        )


def effort(request: MessagesRequest, profile: Profile) -> None:
    """Rule 142: the model has this effort."""
    allowed = model_of(request, profile).efforts
    if request.effort is None or allowed is None or request.effort in allowed:
        return
    if not allowed:
        raise invalid("This model does not support the effort parameter.")
    levels = ", ".join(sorted(allowed))
    raise invalid(f"This model does not support effort level '{request.effort}'. Supported levels: {levels}.")


def forced_tool(request: MessagesRequest, profile: Profile) -> None:
    """Rules 77 and 78: a call is forced only without thinking, and only on models that can be forced."""
    if request.tool_choice.get("type") not in ("any", "tool"):
        return
    if request.thinking.get("type") == "enabled":
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    if not model_of(request, profile).forced_tools:
        raise invalid('tool_choice: type "tool" and "any" are not supported for this model.')


def speed(request: MessagesRequest, profile: Profile) -> None:
    """Rule 42: only some models have `speed: fast`."""
    if request.body.get("speed") == "fast" and not model_of(request, profile).fast:
        raise invalid("speed: 'fast' is not supported for this model")


# -- the last message ---------------------------------------------------------------------------------------------


def prefill(request: MessagesRequest, profile: Profile) -> None:
    """Rules 53 and 54: who may end with the assistant, and how.

    A turn that paused comes back as the last message too, and is no prefill.
    """
    message = request.messages[-1]
    if message["role"] != "assistant" or is_continuation(message):
        return
    if not model_of(request, profile).prefill:
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    content = message["content"]
    text = content if isinstance(content, str) else content[-1].get("text", "") if content else ""
    if isinstance(text, str) and text != text.rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")


def is_continuation(message: Mapping[str, Any]) -> bool:
    """Whether an assistant message holds a server's tool: as the last message it is a turn to be gone on with."""
    content = message["content"]
    return not isinstance(content, str) and any(is_server_tool(block["type"]) for block in content)


def system_messages(request: MessagesRequest, profile: Profile) -> None:
    """Rules 48 and 49: where a system message may stand, and for which models."""
    messages = request.messages
    if not any(message["role"] == "system" for message in messages):
        return
    if not model_of(request, profile).system_messages:
        raise invalid("role 'system' is not supported on this model")
    before = messages[0]
    if before["role"] == "system":
        raise invalid("messages.0: use the top-level 'system' parameter for the initial system prompt")
    for at, message in enumerate(messages):
        if message["role"] != "system":
            before = message
            continue
        if at + 1 < len(messages) and messages[at + 1]["role"] == "user":  # of several in a row: the last
            raise invalid(f"messages.{at}: role 'system' must precede an 'assistant' message or end the array")
        if not _may_be_followed(before):
            raise invalid(f"messages.{at}: role 'system' must follow a 'user' message or a server tool's result")


def _may_be_followed(message: Mapping[str, Any]) -> bool:
    """Whether a system message may stand after this one."""
    content = message["content"]
    if message["role"] == "user":
        return True
    return not isinstance(content, str) and bool(content) and content[-1]["type"].endswith("_tool_result")


# -- shapes that newer versions refuse ------------------------------------------------------------------------------


def refused_shapes(request: MessagesRequest, profile: Profile) -> None:
    """Rules 60 and 61: since 2026-10-21 no document in an assistant message, no citations in a user's text."""
    documents = profile.refuses("assistant_documents", request.version)
    citations = profile.refuses("user_citations", request.version)
    for index, message in enumerate(request.messages if documents or citations else ()):
        if isinstance(message["content"], str):
            continue
        for at, block in enumerate(message["content"]):
            path = f"messages.{index}.content.{at}"
            if documents and message["role"] == "assistant" and block["type"] == "document":
                raise invalid(f"{path}: `document` blocks are not permitted in `assistant` messages")
            if citations and message["role"] == "user":
                _no_citations(block, path)


def _no_citations(block: Mapping[str, Any], path: str) -> None:
    if block["type"] == "text" and block.get("citations"):
        raise invalid(f"{path}.text.citations: Extra inputs are not permitted")
    inner = block.get("content")
    if block["type"] in ("search_result", "tool_result") and isinstance(inner, list):
        for at, one in enumerate(inner):
            if isinstance(one, dict) and isinstance(one.get("type"), str):
                _no_citations(one, f"{path}.{block['type']}.content.{at}")

"""The rules of `count_tokens`: those of a message without what is about the reply. See docs/protocol.md F.1."""

from mock_server.protocol.errors import invalid
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.rules import (
    FOUNDATION,
    RULES,
    SAID_RULES,
    Rule,
    Rules,
    ask,
    history,
    judge,
    models,
    parameters,
)

PARAMETERS = frozenset(
    [
        *("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "speed"),
        *("mcp_servers", "context_management", "compaction", "billing_policy", "output_format"),
    ]
)


def required(request: MessagesRequest, profile: Profile) -> None:
    """Rule 23: `model` and `messages` are there."""
    for name in ("model", "messages"):
        if name not in request.body:
            raise invalid(f"{name}: Field required")


def fields(request: MessagesRequest, profile: Profile) -> None:
    """Types, ranges and enums of the parameters that are counted."""
    parameters.check_fields({name: value for name, value in request.body.items() if name in PARAMETERS})


def no_unknown(request: MessagesRequest, profile: Profile) -> None:
    """Rule 28: nothing that nobody knows, nor what only a request for a message has."""
    for name in request.body if profile.is_strict else ():
        if name not in PARAMETERS:
            raise invalid(f"{name}: Extra inputs are not permitted")
    parameters.no_unknown(request, profile)


def no_thread(request: MessagesRequest, profile: Profile) -> None:
    """A thread cannot be counted: it is refused, not passed over, since its history would be missing."""
    if request.body.get("thread") is not None:
        raise invalid("thread: Extra inputs are not permitted")


_INSTEAD: dict[Rule, Rule] = {
    parameters.required: required,
    parameters.fields: fields,
    parameters.no_unknown: no_unknown,
    parameters.no_thread: no_thread,
}
# about the length or the kind of the reply
_NOT = (parameters.within_cap, parameters.prewarm, parameters.fallbacks, models.sampling, models.thinking_budget)


def _counting(rules: Rules) -> Rules:
    return tuple((about, _INSTEAD.get(rule, rule)) for about, rule in rules if rule not in _NOT)


_FOUNDATION, _RULES = _counting(FOUNDATION), _counting(RULES)
# A container is no parameter here: nothing could satisfy the rule that asks for one.
_SAID = tuple(row for row in SAID_RULES if row[1] is not history.container_named)


def validate(request: MessagesRequest, profile: Profile, *, has_cache_marks: bool = True) -> None:
    """Raise the ApiError of the first rule the request breaks."""
    judge(_RULES, request, profile, has_cache_marks=has_cache_marks, said=_SAID)


def readable(request: MessagesRequest, profile: Profile) -> None:
    """Raise the ApiError of a request that cannot be counted at all, whatever is let pass otherwise."""
    ask(_FOUNDATION, request, profile.lenient)

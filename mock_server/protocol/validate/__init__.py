"""Request rules: a request that breaks one gets the API's own error. They are asked in the order of the tables.

One error per response, the first in that order. Numbers are those of the validation notes. To add a rule, write a
small function beside its kind and name it in `RULES`.
"""

from collections.abc import Callable

from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.validate import conversation, params, replay, shapes, tools

Rule = Callable[[MessagesRequest, Profile], None]

# What a rule is about, and the rule: a parameter (asked only when the request has it), or "" for every request.
RULES: tuple[tuple[str, Rule], ...] = (
    ("", params.required),  # 22, 23
    ("thread", params.no_thread),
    ("", params.fields),  # 24, 25, 35-39, 99, 100, 107, 141
    ("", params.known_model),  # 29
    ("", params.no_unknown),  # 28
    ("", params.within_cap),  # 26
    ("thinking", params.thinking_budget),  # 101
    ("system", shapes.system),  # 123
    ("", shapes.messages),  # 44, 47, 55-59
    ("tools", tools.definitions),  # 63-68
    ("tool_choice", tools.choice),  # 74-76
    ("", conversation.first_role),  # 45
    ("", conversation.not_empty),  # 50-52
)

# Asked after those, and only when a message is more than a bare string.
BLOCK_RULES: tuple[Rule, ...] = (
    conversation.sides,  # 62
    conversation.ids_unique,  # 90
    conversation.results_paired,  # 86-89
    conversation.server_results_paired,  # 93
    replay.signatures,  # 96, 111
    replay.paused_content,
)


def validate(request: MessagesRequest, profile: Profile) -> None:
    """Raise the ApiError of the first rule the request breaks."""
    for about, rule in RULES:
        if not about or about in request.body:
            rule(request, profile)
    for rule in BLOCK_RULES if request.has_blocks else ():
        rule(request, profile)

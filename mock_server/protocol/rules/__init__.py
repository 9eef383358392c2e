"""Request rules: a request that breaks one gets the API's own error. They are checked in the order of the tables.

One error per response, the first in that order. Numbers are those of docs/rules.md. To add a rule, write a
small function beside its kind and name it in a table here.

Rules about shape look at the body as it was sent. Rules about the conversation look at it as the API takes
it, with messages of one role in a row as one (`MessagesRequest.merged`); their paths number the messages so, too.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from mock_server.protocol.errors import ApiError, excerpt, invalid, nearest, one_line
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import Ignored, MessagesRequest, texts_of
from mock_server.protocol.rules import content, history, models, parameters, schemas, tools
from mock_server.protocol.rules.checks import Finding, Stranger, array, dictionary, record, required, strangers, string
from mock_server.protocol.rules.parameters import PARAMETERS

# The plainest request there is, recognized at a glance: it breaks no rule, so none need be checked.
#
# That was a sixth of what such a request costs. Only ever true where every rule passes; tests hold it to that.

_NAMES = frozenset(("model", "max_tokens", "messages", "stream", "system", "metadata"))
_MARK = {"type": "ephemeral"}
_USER = frozenset(("user_id",))


def is_plain(request: MessagesRequest, profile: Profile) -> bool:
    """A known model, a limit that every model allows, one message of a user that is text alone, no beta."""
    body = request.body
    limit, model = body.get("max_tokens"), body.get("model")
    return (
        body.keys() <= _NAMES
        and "anthropic-beta" not in request.headers
        and type(limit) is int
        and max(1, profile.least_max_tokens) <= limit <= profile.least_max_output
        and request.question is not None
        and type(model) is str
        and profile.model(model) is not None
        and _has_plain_rest(body)
    )


def _has_plain_rest(body: Mapping[str, Any]) -> bool:
    if type(body.get("stream", False)) is not bool or type(body.get("system", "")) is not str:
        return False
    if "metadata" not in body:
        return True
    about = body["metadata"]
    return PARAMETERS["metadata"](about) is None and (about is None or about.keys() <= _USER)


# The tables of the rules, in the order they are checked.

Rule = Callable[[MessagesRequest, Profile], None]
# What a rule is about, and the rule: a parameter (checked only when the request has it), or "" for every request.
Rules = tuple[tuple[str, Rule], ...]

# What must hold for a request to be read at all; checked whatever `validation` says.
FOUNDATION: Rules = (
    ("", parameters.required),  # 22, 23
    ("", parameters.fields),  # 24, 25, 35-39, 99, 100, 107, 141
    ("system", content.system),  # 123
    ("", content.messages),  # 44, 47, 55-59, 91, 92, 112, 113, 120, 121
    ("tools", tools.definitions),  # 63-68, 83, 85
    ("tool_choice", tools.choice),  # 74-76
)

# All but `content.messages` and `models.system_messages` go by the rest of the body alone, and are not checked again
# for a request whose rest passed them before (`_goes_on_well`).
# The order of the API: the model after the types of the parameters, then shapes, then what is said.
RULES: Rules = (
    ("", parameters.known_betas),  # 6
    ("", parameters.required),
    ("thread", parameters.no_thread),
    ("", parameters.fields),
    ("", parameters.known_model),  # 29
    ("", parameters.no_unknown),  # 28
    ("", parameters.within_cap),  # 26
    *((name, models.sampling) for name in models.SAMPLING),  # 30-34
    ("thinking", models.thinking_mode),  # 102-106
    ("thinking", models.thinking_budget),  # 101
    ("output_config", models.effort),  # 142
    ("max_tokens", parameters.prewarm),  # 27
    ("fallbacks", parameters.fallbacks),  # 41
    ("speed", models.speed),  # 42
    ("context_management", parameters.context_edits),  # 145
    ("system", content.system),
    ("", content.messages),
    ("tools", tools.definitions),
    ("tools", schemas.tool_schemas),  # 69-72
    ("output_config", schemas.output_schema),  # 138-140
    ("output_format", schemas.output_schema),  # 43
    *((name, schemas.limits) for name in ("tools", "output_config", "output_format")),  # 73
    ("tools", tools.domains),  # 82
    ("tools", parameters.parameters),  # 84
    ("tools", tools.deferred),  # 80
    ("tool_choice", tools.choice),
    ("tool_choice", models.forced_tool),  # 77, 78
    ("", models.system_messages),  # 48, 49
)

# Checked after those when the request marks anything for the cache.
CACHE_RULES: tuple[Rule, ...] = (history.cache_control,)  # 117-119, 122

_ANY: frozenset[str] = frozenset()
_CALLS, _SERVER_CALLS = frozenset(("tool_use", "tool_result")), frozenset(("server_tool_use",))
_RESULTS = frozenset(one for one in content.BLOCK_PARAMS if one.endswith("_tool_result"))
_MEDIA = frozenset(("image", "document", "search_result"))
_SIGNED = frozenset(("thinking", "redacted_thinking", "compaction", "web_search_tool_result"))

# What blocks a rule is about (none: every block), and the rule.
BlockRules = tuple[tuple[frozenset[str], Rule], ...]

# About blocks as they were sent; checked when a message is more than a bare string.
BLOCK_RULES: BlockRules = (
    (_MEDIA, content.blocks),  # 124-135
    (frozenset(("tool_reference", "tool_search_tool_result")), tools.references),  # 81
    (_ANY, models.refused_shapes),  # 60, 61
)

# About the blocks of the conversation.
CONVERSATION_RULES: BlockRules = (
    (_CALLS | _SERVER_CALLS, history.sides),  # 62
    (_CALLS, history.ids_unique),  # 90
    (_CALLS, history.results_paired),  # 86-89
    (_RESULTS, history.server_results_paired),  # 93
    (_SERVER_CALLS, history.server_calls_answered),  # 94, 95
    (_SERVER_CALLS, history.container_named),  # 98
    (_CALLS, history.toolset_results),  # 97
)

REPLAY_RULES: BlockRules = (
    (_SIGNED, history.signatures),  # 96, 110, 111
    (_SERVER_CALLS | _RESULTS, history.paused_content),
)

# About the conversation, checked when it is more than one question.
LONGER_RULES: tuple[Rule, ...] = (
    history.thinking_blocks,  # 108, 109, 114, 115
    models.prefill,  # 53, 54
)


def validate(request: MessagesRequest, profile: Profile, *, has_cache_marks: bool = True) -> None:
    """Raise the ApiError of the first rule the request breaks. `has_cache_marks`: `cache_control` may be in it."""
    if request.known is None:
        if is_plain(request, profile):
            return
    elif not has_cache_marks and request.question is not None:
        request.ignored = request.steady.get("ignored", ())
        return  # all else of it passed every rule before
    judge(RULES, request, profile, has_cache_marks=has_cache_marks)


def judge(
    rules: Rules,
    request: MessagesRequest,
    profile: Profile,
    *,
    has_cache_marks: bool,
    conversation_rules: BlockRules = CONVERSATION_RULES,
) -> None:
    """The same, with `rules` to check first, and `conversation_rules` for its blocks. Notes what the request has that
    nobody knows.
    """
    if request.known and _goes_on_well(request, profile, conversation_rules, has_cache_marks=has_cache_marks):
        return
    apply(rules, request, profile)
    for rule in CACHE_RULES if has_cache_marks else ():
        rule(request, profile)
    conversed = request.merged
    history.not_empty(conversed, profile)  # 50-52
    if conversed.has_blocks:
        _apply_to_blocks(conversation_rules, conversed, profile)
        _apply_to_blocks(BLOCK_RULES, request, profile)
        _apply_to_blocks(REPLAY_RULES, conversed, profile)
    if len(request.messages) > 1 or request.messages[0]["role"] != "user":
        parameters.many_messages(request, profile)  # 40
        for rule in LONGER_RULES:
            rule(conversed, profile)
    request.ignored = ignored(request)


# To these a message is right or wrong by itself, by its neighbours of the same turn and the turn before, or because it
# is the last. So of a conversation whose beginning passed them, the rest alone is checked. All other rules about blocks
# look at the whole of it.
OF_THE_END: frozenset[Rule] = frozenset(
    (
        history.sides,
        history.ids_unique,
        history.results_paired,
        models.refused_shapes,
        models.prefill,
        history.signatures,
        history.thinking_blocks,
    )
)
_MANY = 20


def _goes_on_well(
    request: MessagesRequest, profile: Profile, conversation_rules: BlockRules, *, has_cache_marks: bool
) -> bool:
    """Whether no rule has anything to say about a request whose beginning passed them all before.

    All but its messages passed, and so did the messages it shares with an earlier one; the rest is judged, from the
    last turn of the assistant that they share on. Where a rule has something to say, all of the request is judged once
    more, since that is what the error is about.
    """
    messages = request.body["messages"]
    if len(messages) > _MANY and not (request.known and request.known.shared):
        return False  # there is little to save, and where something is wrong it would be looked for twice
    is_plain_question = request.question is not None
    if has_cache_marks and len(messages) == 1:  # of which rules may still have something to say
        is_plain_question = texts_of(messages[0], _MARK) is not None
    if is_plain_question:  # what is strange, if anything, is in the rest
        request.ignored = request.steady.get("ignored", ())
        if not has_cache_marks:
            return True
    try:
        if is_plain_question:
            for rule in CACHE_RULES:
                rule(request, profile)
            return True
        end = _end(request)
        content.messages(end, profile)
        if request.has_system_messages:
            models.system_messages(request, profile)
            end = request
        for rule in CACHE_RULES if has_cache_marks else ():
            rule(request, profile)
        conversed = end.merged
        history.not_empty(conversed, profile)
        if request.has_blocks:
            _apply_to_end(conversation_rules, request.merged, conversed, profile)
            _apply_to_end(BLOCK_RULES, request, end, profile)
            _apply_to_end(REPLAY_RULES, request.merged, conversed, profile)
        if len(messages) > 1 or messages[0]["role"] != "user":
            parameters.many_messages(request, profile)
            for rule in LONGER_RULES:
                rule(conversed if rule in OF_THE_END else request.merged, profile)
    except ApiError:
        return False
    request.ignored = ignored(request)
    return True


def _end(request: MessagesRequest) -> MessagesRequest:
    """The request with the last messages alone: from a turn of the assistant on, of which at least what it answers
    stood in an earlier one, too."""
    messages = request.messages
    known = request.known
    at = 0 if known is None else known.shared
    if at == len(messages) or type(new := messages[at]) is not dict or new.get("role") not in _SIDES:
        at -= 1  # there is nothing new, or nobody knows yet what it is
    while at > 0 and not (messages[at]["role"] == "assistant" and messages[at - 1]["role"] == "user"):
        at -= 1
    if at <= 0:
        return request
    return MessagesRequest({**request.body, "messages": messages[at:]}, request.headers, request.raw)


_SIDES = ("user", "assistant")


def _apply_to_end(rules: BlockRules, request: MessagesRequest, end: MessagesRequest, profile: Profile) -> None:
    of_the_end = _about_blocks(rules, end.kinds & _KINDS)
    for rule in _about_blocks(rules, request.kinds & _KINDS):
        if rule not in OF_THE_END:
            rule(request, profile)
        elif rule in of_the_end:
            rule(end, profile)


def _apply_to_blocks(rules: BlockRules, request: MessagesRequest, profile: Profile) -> None:
    for rule in _about_blocks(rules, request.kinds & _KINDS):
        rule(request, profile)


_KINDS = frozenset().union(*(about for rules in (BLOCK_RULES, CONVERSATION_RULES, REPLAY_RULES) for about, _ in rules))


@lru_cache(maxsize=1_000)
def _about_blocks(rules: BlockRules, kinds: frozenset[str]) -> tuple[Rule, ...]:
    """The rules to check for a request with such blocks (only kinds that some rule is about)."""
    return tuple(rule for about, rule in rules if not about or not about.isdisjoint(kinds))


def readable(request: MessagesRequest, profile: Profile) -> None:
    """Raise the ApiError of a request that cannot be answered at all, whatever is let pass otherwise."""
    apply(FOUNDATION, request, profile.lenient)


def apply(rules: Rules, request: MessagesRequest, profile: Profile) -> None:
    """Check those rules that are about what the request has."""
    for rule in _about(rules, tuple(filter(parameters.PARAMETERS.__contains__, request.body))):
        rule(request, profile)


@lru_cache(maxsize=1_000)
def _about(rules: Rules, names: tuple[str, ...]) -> tuple[Rule, ...]:
    """The rules to check for a request with these parameters, each once: a client sends the same ones again and again.

    Only of names that are known: what is kept here is bounded, whatever clients send.
    """
    return tuple(dict.fromkeys(rule for about, rule in rules if not about or about in names))


# What is passed over: fields that no Messages API has, where the profile lets them pass. They are no error, but nearly
# always one of the client's author, so there is a warning.

MOST_IGNORED = 10  # names of one request; of fields that are called alike the first
_LONGEST_NAME, _LONGEST_TEXT = 80, 200
_PARAMETERS = frozenset(PARAMETERS)
# what others call it -> what it is here, where the object has it
_CALLED: Mapping[str, str] = {
    "frequency_penalty": "",
    "function_call": "tool_choice",
    "functions": "tools",
    "input": "messages",
    "instructions": "system",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "parameters": "input_schema",
    "presence_penalty": "",
    "prompt": "messages",
    "reasoning": "thinking",
    "reasoning_effort": "output_config.effort",
    "response_format": "output_config.format",
    "stop": "stop_sequences",
    "system_prompt": "system",
    "user": "metadata.user_id",
}


def ignored(request: MessagesRequest) -> tuple[Ignored, ...]:
    """What of a request nobody knows, the first ten names."""
    rest: tuple[Ignored, ...] | None = request.steady.get("ignored")
    if rest is None:
        rest = request.steady["ignored"] = _first(_of_rest(request.body))
    in_messages = request.last("ignored", _NOTHING, _of_message)[1]
    return _first((*rest, *in_messages)) if in_messages else rest


_NOTHING: tuple[int, tuple[Ignored, ...]] = (0, ())


def _of_rest(body: Mapping[str, Any]) -> Iterator[Ignored]:
    """All but the messages."""
    for name, value in body.items():
        if name not in PARAMETERS:
            yield _passed(name, _PARAMETERS)
        elif value is not None and name != "messages":
            yield from (_passed(name + path, known) for path, known in _STRANGE.get(name, _strange)(name, value))


def _strange(name: str, value: Any) -> Iterator[Stranger]:
    return strangers(PARAMETERS[name], value)


def _of_system(name: str, value: Any) -> Iterator[Stranger]:
    for index, block in enumerate(value if isinstance(value, list) else ()):
        yield from ((f".{index}{path}", known) for path, known in content.strange(block))


def _of_tools(name: str, value: Any) -> Iterator[Stranger]:
    for index, tool in enumerate(value if isinstance(value, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        look = parameters.strange if kind in parameters.TOOLS else tools.strange
        yield from ((f".{index}{path}", known) for path, known in look(tool))


_STRANGE: Mapping[str, Callable[[str, Any], Iterator[Stranger]]] = {
    "system": _of_system,
    "tools": _of_tools,
    "tool_choice": lambda name, value: strangers(tools.CHOICE, value),
}


def _of_message(before: tuple[int, tuple[Ignored, ...]], message: Any) -> tuple[int, tuple[Ignored, ...]]:
    """What was found up to one message, and in it."""
    at, found = before
    if content.is_usual(message) or not isinstance(message, dict) or len(found) == MOST_IGNORED:
        return at + 1, found
    new = (_passed(f"messages.{at}{path}", known) for path, known in _strange_in_message(message))
    return at + 1, _first((*found, *new))


def _strange_in_message(message: Mapping[str, Any]) -> Iterator[Stranger]:
    role, blocks = message.get("role"), message.get("content")
    known = content.ROLES.get(role) if isinstance(role, str) else None
    if known is not None:
        yield from ((f".{name}", known) for name in message if name not in known)
    for index, block in enumerate(blocks if isinstance(blocks, list) else ()):
        yield from ((f".content.{index}{path}", names) for path, names in content.strange(block))


def _passed(path: str, known: frozenset[str]) -> Ignored:
    return Ignored(path if len(path) <= _LONGEST_TEXT else excerpt(path, _LONGEST_TEXT), known)


def ignored_text(found: Sequence[Ignored]) -> str:
    """What is ignored in a sentence of at most 200 letters, as far as it has room."""
    described = [_described(one) for one in found]
    if len(described) == 1:
        name, hint = described[0]
        return f"parameter '{name}' is ignored{hint}"
    for shown in range(len(described), 0, -1):
        more = "more" if len(described) == MOST_IGNORED else f"{len(described) - shown} more"  # nobody counted on
        left = f" and {more}" if shown < len(described) else ""
        listed = ", ".join(f"'{name}'{hint}" for name, hint in described[:shown])
        text = f"parameters {listed}{left} are ignored"
        if len(text) <= _LONGEST_TEXT:
            break
    return text


def _described(one: Ignored) -> tuple[str, str]:
    """Its path, and a hint at what it may be meant for."""
    name = one.path.rpartition(".")[2]
    meant = _meant(name, one.known) if len(name) <= _LONGEST_NAME else ""
    return excerpt(one_line(one.path), _LONGEST_NAME), f" (did you mean '{meant}'?)" if meant else ""


@lru_cache(maxsize=1_000)
def _meant(name: str, known: frozenset[str]) -> str:
    other = _CALLED.get(name)
    if other is not None and (other == "" or other.partition(".")[0] in known):
        return other
    return next(iter(nearest(name, sorted(known))), "")


def _first(found: Iterable[Ignored]) -> tuple[Ignored, ...]:
    """The first of those that are called alike, in whatever message, block or tool they stand."""
    by_name: dict[str, Ignored] = {}
    for one in found:
        by_name.setdefault(one.kind, one)
        if len(by_name) == MOST_IGNORED:
            break
    return tuple(by_name.values())


# The rules of `count_tokens`: those of a message without what is about the reply. See docs/protocol.md F.1.

COUNTED = frozenset(
    [
        *("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "speed"),
        *("mcp_servers", "context_management", "compaction", "billing_policy", "output_format"),
    ]
)


def _required_to_count(request: MessagesRequest, profile: Profile) -> None:
    """Rule 23: `model` and `messages` are there."""
    parameters.require(request.body, "model", "messages")


def _counted_fields(request: MessagesRequest, profile: Profile) -> None:
    """Types, ranges and enums of the parameters that are counted."""
    parameters.check_fields({name: value for name, value in request.body.items() if name in COUNTED})


def only_counted(request: MessagesRequest, profile: Profile) -> None:
    """Rule 28: nothing that nobody knows, nor what only a request for a message has."""
    if profile.is_strict:
        parameters.allow_only(request.body, COUNTED)
    parameters.no_unknown(request, profile)


def _no_thread_to_count(request: MessagesRequest, profile: Profile) -> None:
    """A thread cannot be counted: it is refused, not passed over, since its history would be missing."""
    if request.body.get("thread") is not None:
        raise invalid("thread: Extra inputs are not permitted")


_INSTEAD: dict[Rule, Rule] = {
    parameters.required: _required_to_count,
    parameters.fields: _counted_fields,
    parameters.no_unknown: only_counted,
    parameters.no_thread: _no_thread_to_count,
}
# about the length or the kind of the reply
_OF_REPLY = (parameters.within_cap, parameters.prewarm, parameters.fallbacks, models.sampling, models.thinking_budget)


def _counting(rules: Rules) -> Rules:
    return tuple((about, _INSTEAD.get(rule, rule)) for about, rule in rules if rule not in _OF_REPLY)


_COUNT_FOUNDATION, _COUNT_RULES = _counting(FOUNDATION), _counting(RULES)
# A container is no parameter here: nothing could satisfy the rule that asks for one.
_COUNT_CONVERSATION = tuple(row for row in CONVERSATION_RULES if row[1] is not history.container_named)


def validate_count(request: MessagesRequest, profile: Profile, *, has_cache_marks: bool = True) -> None:
    """Raise the ApiError of the first rule that a request to count breaks."""
    judge(_COUNT_RULES, request, profile, has_cache_marks=has_cache_marks, conversation_rules=_COUNT_CONVERSATION)


def readable_count(request: MessagesRequest, profile: Profile) -> None:
    """Raise the ApiError of a request that cannot be counted at all, whatever is let pass otherwise."""
    apply(_COUNT_FOUNDATION, request, profile.lenient)


# Rules of a message batch: what is wrong with it as a whole, and what its requests may not ask for.
#
# The requests' own parameters are judged when they are answered, so a bad one is an errored line, not an error here.

MOST_REQUESTS = 100_000
_CUSTOM_ID = re.compile("[a-zA-Z0-9_-]{1,64}")
_LONGEST_ID = 64


def _custom_id(value: Any) -> Finding | None:
    if not isinstance(value, str):
        return string(value)
    if len(value) > _LONGEST_ID:
        return "", f"String should have at most {_LONGEST_ID} characters"
    fits = _CUSTOM_ID.fullmatch(value) is not None
    return None if fits else ("", f"String should match pattern '^{_CUSTOM_ID.pattern}$'")


_BATCH = {closed: record({"requests": required(array)}, closed=closed) for closed in (True, False)}
_ITEM_FIELDS = {"custom_id": required(_custom_id), "params": required(dictionary)}
_ITEM = {closed: record(_ITEM_FIELDS, closed=closed) for closed in (True, False)}


def requests_of(body: Any, profile: Profile) -> list[Mapping[str, Any]]:
    """The requests of a batch, each with `custom_id` and `params`. Raises ApiError (400): rules 146 and 147."""
    if not isinstance(body, dict):
        raise invalid("Input should be a valid dictionary or object to extract fields from")
    if (found := _BATCH[profile.is_strict](body)) is not None:
        raise invalid(f"{found[0].removeprefix('.')}: {found[1]}")
    listed: list[Mapping[str, Any]] = body["requests"]
    if not listed:
        raise invalid("requests: List should have at least 1 item after validation, not 0")
    if len(listed) > MOST_REQUESTS:
        raise invalid(f"requests: List should have at most {MOST_REQUESTS} items after validation, not {len(listed)}")
    seen: dict[str, int] = {}
    for at, one in enumerate(listed):
        if (found := _ITEM[profile.is_strict](one)) is not None:
            raise invalid(f"requests.{at}{found[0]}: {found[1]}")
        if seen.setdefault(one["custom_id"], at) != at:
            raise invalid(
                f"requests: custom_id's must be unique within a batch. Duplicate custom_id found: {one['custom_id']}"
            )
    return listed


def allowed_in_batch(params: Mapping[str, Any]) -> None:
    """Raise the ApiError (400) of what an ordinary request may ask for and one of a batch may not (rule 148)."""
    if params.get("stream"):
        raise invalid('"stream=True" is not supported in the Message Batches API')
    if params.get("speed") is not None:
        raise invalid("speed: is not supported in a message batch")
    if params.get("max_tokens") == 0:
        raise invalid("max_tokens: 0 is not supported in a message batch")

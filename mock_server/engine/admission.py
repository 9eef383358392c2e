"""Whether a request is let in: what is wrong with it, and what it costs before anything is answered: its tokens, its
room in the window, the prompt cache.

`admit` looks at the session and changes nothing; `commit` writes down what the reply used. Raises ApiError for a
prompt that is too long.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mock_server.clock import moment, whole_seconds
from mock_server.engine.cache import Admission, Prefix, prefixed
from mock_server.engine.errors import unserved
from mock_server.engine.exchange import Call, Exchange, warn
from mock_server.engine.files import File
from mock_server.engine.limits import Buckets, refused
from mock_server.engine.seeds import Ids
from mock_server.engine.session import InForce, Session
from mock_server.protocol.errors import ApiError, UnknownModel, invalid
from mock_server.protocol.expression import allowance
from mock_server.protocol.message import UNEDITED, Extras, sent_message
from mock_server.protocol.plan import Headers, Plan
from mock_server.protocol.profile import Limits, Model, Profile
from mock_server.protocol.request import LONG, THOUGHTS, Block, Ignored, MessagesRequest, blocks
from mock_server.protocol.rules import ignored, ignored_text, readable, validate
from mock_server.protocol.rules.models import model_of
from mock_server.protocol.rules.parameters import MOST_EDITS
from mock_server.protocol.tokens import TokenCounter, block_cost, counted, input_tokens
from mock_server.records import lazy, quick

# What is wrong with a request, and what becomes of it: an error, or an answer with a warning. `validation` decides.

log = logging.getLogger("mock_server")
Readable = Callable[[MessagesRequest, Profile], None]
Validate = Callable[..., None]


def judged(
    request: MessagesRequest, in_force: InForce, readable: Readable = readable, validate: Validate = validate
) -> ApiError | None:
    """What is wrong with a request that is answered all the same, as `validation` says. Raises it where it is not."""
    if in_force.settings.validation != "strict":
        readable(request, in_force.profile)
        if in_force.settings.validation == "off":
            return None
    try:
        validate(request, in_force.profile, has_cache_marks=request.is_marked)
    except UnknownModel as error:
        finding = let_pass(unserved(error, in_force.profile), in_force)
    except ApiError as error:
        finding = let_pass(error, in_force)
    else:
        return None
    request.ignored = ignored(request)
    return finding


def keep(request: MessagesRequest, in_force: InForce, endpoint: str) -> None:
    """Remember a request about which no rule of an endpoint had anything to say, and which was judged whole."""
    if in_force.settings.validation != "off" and not allowance().missed:
        in_force.beginnings.keep(request, in_force.profile, endpoint)


def let_pass(error: ApiError, in_force: InForce) -> ApiError:
    """The error, where it is only a warning; raises it under `validation: strict`."""
    if in_force.settings.validation == "strict":
        raise error
    log.warning("answered although it breaks a rule (%s): %s", error.status, error.note or error)
    return error


def warned(exchange: Exchange, finding: ApiError) -> Exchange:
    """The exchange with what is wrong with its request in a header and in the journal."""
    text = f"{finding.status} {finding.type}: {finding.note or finding}"
    return warn(exchange, text, note=f"validation: {text}")


class Once:
    """Names that were told of, so that the log tells each once: at most so many."""

    MOST = 1_000

    def __init__(self) -> None:
        self._names: set[str] = set()

    def first(self, name: str) -> bool:
        """Whether nobody was told of this name before; somebody is from now on."""
        if name in self._names or len(self._names) >= self.MOST or len(name) > self.MOST:
            return False
        self._names.add(name)
        return True


def passing_over(exchange: Exchange, found: Sequence[Ignored], once: Once) -> Exchange:
    """The exchange with what of its request no Messages API has, and was ignored, told as a warning."""
    text = ignored_text(found)
    if [one for one in found if once.first(one.kind)]:
        log.warning("%s", text)
    return warn(exchange, text)


# `file` sources in messages: each gets what its file is, for whoever counts or quotes it. Rules 136, 137.

MOST_TEXT = 32 << 20  # bytes of a text that are read: more than any window holds
_KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "image": ("an image", ("image/",)),
    "document": ("a PDF or plain text", ("application/pdf", "text/plain")),
}
Find = Callable[[str], File]


def sourced(request: MessagesRequest, session: Session) -> tuple[MessagesRequest, ApiError | None]:
    """The request with what is known of its files, and what is wrong with them where that is let pass.

    Raises ApiError: 404 for a file that is not there, 400 for one of the wrong kind.
    """
    if not request.has_files:
        return request, None
    now = session.clock.now()

    def find(id: str) -> File:
        return session.files.find(id, now)

    try:
        if request.files is None:
            return _with_files(request, find), None
        for id in request.files:  # looked up ahead; they may have gone meanwhile
            find(id)
        return request, None
    except ApiError as error:
        terms = session.in_force
        return request, None if terms.settings.validation == "off" else let_pass(error, terms)


def sourced_ahead(request: MessagesRequest, session: Session) -> MessagesRequest:
    """The same for a long request, in any thread: it changes nothing, and leaves to `sourced` what is wrong."""
    if not (request.has_blocks and request.has_files):
        return request
    now = session.clock.now()
    found: dict[str, File] = {}

    def find(id: str) -> File:
        found[id] = session.files.held(id, now)
        return found[id]

    try:
        request = _with_files(request, find)
    except ApiError:
        return request
    request.files = tuple(found)
    return request


def _with_files(request: MessagesRequest, find: Find) -> MessagesRequest:
    messages = [_message(message, f"messages.{at}", find) for at, message in enumerate(request.messages)]
    made = MessagesRequest({**request.body, "messages": messages}, request.headers, request.raw)
    made.is_resumed, made.ignored = request.is_resumed, request.ignored
    return made


def _message(message: Mapping[str, Any], path: str, find: Find) -> Mapping[str, Any]:
    """A message with its files looked for; what a reply has put into a container is no file of the client's."""
    made = "container_upload" if message["role"] == "assistant" else ""
    return {**message, "content": _listed(message["content"], f"{path}.content", find, made)}


def _listed(content: Any, path: str, find: Find, made: str = "") -> Any:
    if not isinstance(content, list):
        return content
    return [
        block if block["type"] == made else _block(block, f"{path}.{at}.{block['type']}", find)
        for at, block in enumerate(content)
    ]


def _block(block: Block, path: str, find: Find) -> Block:
    kind, source = block["type"], block.get("source")
    if kind == "container_upload":
        find(block["file_id"])
    elif kind == "tool_result":
        return {**block, "content": _listed(block.get("content"), f"{path}.content", find)}
    elif kind in _KINDS and isinstance(source, dict):
        if source.get("type") == "file":
            return {**block, "source": _known(find(source["file_id"]), kind, f"{path}.source.file.file_id")}
        if source.get("type") == "content":
            inner = _listed(source.get("content"), f"{path}.source.content", find)
            return {**block, "source": {**source, "content": inner}}
    return block


def _known(file: File, kind: str, path: str) -> Mapping[str, Any]:
    """The source with what its file is: the size of an image, the pages of a PDF, a plain text itself."""
    name, kinds = _KINDS[kind]
    if not file.mime_type.startswith(kinds):
        raise invalid(f"{path}: File `{file.id}` is of type {file.mime_type}; expected {name}")
    facts = file.facts
    if facts.kind is None:
        raise invalid(f"{path}: Could not process {'image' if kind == 'image' else 'PDF'}")
    source: dict[str, Any] = {"type": "file", "file_id": file.id, "media_type": facts.kind}
    if facts.kind == "text/plain":
        return {**source, "data": file.content.read(MOST_TEXT).decode("utf-8", "replace")}
    return {**source, "pages": facts.pages, "width": facts.width, "height": facts.height}


# Context editing: what the edits of `context_management` take out of a prompt. docs/protocol.md B.2 and C.1.

KEEP, TRIGGER = 3, 100_000


class _Prompt:
    """A request as its edits look at it; `tokens`: what it costs before any. What all look at is worked out once."""

    def __init__(self, request: MessagesRequest, model: Model, tokens: int, counter: TokenCounter) -> None:
        self.request = request
        self.tokens = tokens
        self._model = model
        self._counter = counter

    @lazy
    def results(self) -> Sequence[tuple[str, int]]:
        """Each tool result of the conversation: the name of its tool, and what it costs."""
        names: dict[str, str] = {}
        found: list[tuple[str, int]] = []
        for message in self.request.messages:
            for block in blocks(message["content"]):
                if block["type"] == "tool_use":
                    names[block["id"]] = block["name"]
                elif block["type"] == "tool_result":
                    found.append((names.get(block["tool_use_id"], ""), self._cost(block)))
        return found

    @lazy
    def thoughts(self) -> Sequence[int]:
        """What the thoughts cost of each message that has any."""
        now = self.request.outline.turn
        return [
            sum(self._cost(block, is_current=at >= now) for block in thoughts)
            for at, message in enumerate(self.request.messages)
            if (thoughts := [one for one in blocks(message["content"]) if one["type"] in THOUGHTS])
        ]

    def _cost(self, block: Mapping[str, Any], *, is_current: bool = True) -> int:
        return block_cost(block, self._model, self._counter, is_current=is_current).on(self._model)


Edits = tuple[Mapping[str, Any], ...]


def applied_edits(request: MessagesRequest, model: Model, tokens: int, counter: TokenCounter) -> Edits:
    """The edits whose triggers are reached, each with what it took out; `tokens`: the prompt as it came."""
    return tuple(_applied(_Prompt(request.merged, model, tokens, counter)))


def edited(request: MessagesRequest, model: Model, tokens: int, counter: TokenCounter) -> Edits:
    """The same; of a long request worked out once."""
    if len(request.raw) < LONG:
        return applied_edits(request, model, tokens, counter)
    found: Edits | None = request.scanned.get(("edits", model.id))
    if found is None:
        found = request.scanned["edits", model.id] = applied_edits(request, model, tokens, counter)
    return found


def counted_ahead(request: MessagesRequest, model: Model) -> int:
    """What the prompt of a long request costs after its edits, worked out for `admit` in any thread."""
    counter = TokenCounter(in_steps=True)
    tokens = counted(request, model, counter)
    if request.body.get("context_management") is None:
        return tokens
    return after(edited(request, model, tokens, counter), tokens)


def after(edits: Edits, tokens: int) -> int:
    """What is left of a prompt of so many tokens."""
    return max(1, tokens - sum(edit["cleared_input_tokens"] for edit in edits)) if edits else tokens


def _applied(prompt: "_Prompt") -> Iterator[dict[str, Any]]:
    edits = (prompt.request.body["context_management"] or {}).get("edits")
    for edit in edits[:MOST_EDITS] if isinstance(edits, list) else ():  # more are refused, or warned of
        apply = _EDITS.get(str(edit.get("type"))) if isinstance(edit, Mapping) else None
        found = apply(edit, prompt) if apply is not None else None
        if found is not None:
            yield {"type": edit["type"], **found}


def _value(edit: Mapping[str, Any], name: str, default: int) -> int:
    field = edit.get(name)
    value = field.get("value") if isinstance(field, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _clear_tool_uses(edit: Mapping[str, Any], prompt: _Prompt) -> dict[str, int] | None:
    """Results of all tools but the newest few go once the prompt is long enough."""
    named = edit.get("exclude_tools")
    kept = {str(name) for name in named} if isinstance(named, list) else set()
    results = [cost for name, cost in prompt.results if name not in kept]
    trigger = edit.get("trigger")
    counts_calls = isinstance(trigger, Mapping) and trigger.get("type") == "tool_uses"
    reached = len(results) if counts_calls else prompt.tokens
    cleared = results[: max(0, len(results) - _value(edit, "keep", KEEP))]
    if reached <= _value(edit, "trigger", TRIGGER) or not cleared or sum(cleared) < _value(edit, "clear_at_least", 0):
        return None
    return {"cleared_tool_uses": len(cleared), "cleared_input_tokens": sum(cleared)}


def _clear_thinking(edit: Mapping[str, Any], prompt: _Prompt) -> dict[str, int] | None:
    """Thoughts of all turns but the newest few go; `keep: all` keeps them. Of turns that are over they cost nothing."""
    keep = edit.get("keep")
    if keep == "all" or (isinstance(keep, Mapping) and keep.get("type") == "all"):
        return None
    turns = prompt.thoughts
    cleared = turns[: max(0, len(turns) - _value(edit, "keep", 1))]
    return {"cleared_thinking_turns": len(cleared), "cleared_input_tokens": sum(cleared)} if cleared else None


_EDITS = {"clear_tool_uses_20250919": _clear_tool_uses, "clear_thinking_20251015": _clear_thinking}


# What a request costs.


class Admitted(NamedTuple):
    """A request with its model, the tokens of its prompt, what is left of the window, and its part in the cache.

    `now`: when it came, where it has to do with the cache.
    """

    call: Call
    request: MessagesRequest
    model: Model
    input_tokens: int
    room: int | None
    now: float = 0.0
    cache: Admission | None = None
    prefix: Prefix | None = None
    limits: tuple[Buckets, ...] = ()
    edits: Edits = ()

    @property
    def counted_input(self) -> int:
        """The input tokens that a rate limit counts: what was read from the cache is free."""
        return self.input_tokens - (0 if self.cache is None else self.cache.use.read)


_admitted = quick(Admitted)


def admit(call: Call, request: MessagesRequest, counter: TokenCounter) -> Admitted:
    """What the prompt costs, and what it finds in the session's cache."""
    model: Model | None = request.steady.get("model")
    if model is None:
        model = request.steady["model"] = model_of(request, call.session.in_force.profile)
    count = input_tokens if len(request.raw) < LONG else counted  # of a long one known already
    original = total = count(request, model, counter)
    edits: Edits = ()
    if "context_management" in request.body:
        edits = edited(request, model, original, counter)
        total = after(edits, original)
    window = model.context_window
    room = None if window is None else window - total
    if not request.is_marked and request.body.get("diagnostics") is None:
        return _admitted((call, request, model, total, room, 0.0, None, None, (), edits))
    now = call.session.clock.now()
    steps = prefixed(request, model, counter)
    found = None
    if request.is_marked:
        found = call.session.cache.admit(steps, original, model.cache_minimum, now)
        if edits:  # what is cached is not cleared
            uncached = max(0, found.use.uncached - (original - total))
            total = original - (found.use.uncached - uncached)
            found = found._replace(use=found.use._replace(uncached=uncached))
    return Admitted(call, request, model, total, room, now, found, steps, edits=edits)


def too_long(admitted: Admitted) -> ApiError | None:
    """Rules 143 and 144: what is wrong when a prompt, or a prompt and its reply, does not fit the window."""
    request, model, total = admitted.request, admitted.model, admitted.input_tokens
    window = model.context_window
    if window is None or total + request.max_tokens <= window:
        return None
    if total > window:
        return invalid(f"prompt is too long: {total} tokens > {window} maximum")
    if model.over_window == "error":
        return invalid(
            f"input length and `max_tokens` exceed context limit: {total} + {request.max_tokens} > {window}, "
            "decrease input length or `max_tokens` and try again"
        )
    return None


def take_limits(admitted: Admitted, name: str, limits: Limits | None) -> Buckets | None:
    """Take the request and its input from the buckets of `name`. Raises ApiError (429) when they have no room."""
    if limits is None:
        return None
    session = admitted.call.session
    now = session.clock.unix()
    buckets = session.limiter.of(name, limits, now)
    refusal = buckets.admit(now, admitted.counted_input)
    if refusal is not None:
        raise refused(refusal, admitted.model.id, session.in_force.profile, buckets.headers(now))
    return buckets


def limit_headers(admitted: Admitted, buckets: Buckets | None) -> Headers:
    """The headers that tell what is left of the limits, where the profile sends them."""
    session, body = admitted.call.session, admitted.request.body
    profile = session.in_force.profile
    if buckets is None or not profile.rate_limit_headers:
        return ()
    families = ["ratelimit"]
    if profile.priority_tier and body.get("service_tier") != "standard_only":
        families.append("priority")
    if body.get("speed") == "fast":
        families.append("fast")
    return buckets.headers(session.clock.unix(), tuple(families))


def commit(admitted: Admitted, plan: Plan, limits: Collection[Buckets]) -> None:
    """Write down what a reply used and what goes on from it: limits, cache, thread, what a later one asks about."""
    session, body = admitted.call.session, admitted.request.body
    if admitted.prefix is None and not limits and "thread" not in body:
        return
    if admitted.cache is not None:
        session.cache.commit(admitted.cache, admitted.now, admitted.now + plan.at / 1_000_000)
    threaded = body.get("thread") is not None and session.in_force.profile.threads
    if plan.tokens is not None:
        for buckets in limits:
            buckets.spend(session.clock.unix(), plan.tokens[1])
    if threaded or body.get("diagnostics") is not None:
        reply = sent_message(plan)
        assert reply is not None
        if threaded:
            session.threads.keep(body, reply, len(admitted.request.raw))
        if admitted.prefix is not None:
            session.cache.remember(reply["id"], admitted.prefix)


# What the replies to some requests say beside the message itself: container, diagnostics, edits of the context, speed …
#
# `extras` gives None for a request that asks for nothing of the kind. Shapes: docs/protocol.md B.2, C.1, C.2.

# parameters (and parts of the tools) that make a reply say more
EXTRA_PARAMETERS = frozenset(
    ("speed", "inference_geo", "diagnostics", "context_management", "container", "fallbacks", "compaction")
)
# betas that have every reply tell of each sampling by itself, and of the edits of its context
_ITERATING = ("compact-", "server-side-fallback-", "advisor-tool-")
_EDITING = "context-management-"
CONTAINER_SECONDS = 3600


def extras(admitted: Admitted, ids: Ids, *, runs_code: bool = False) -> Extras | None:
    """What the reply says beside its message. `runs_code`: the reply does, so there is a container."""
    request = admitted.request
    body = request.body
    plain = EXTRA_PARAMETERS.isdisjoint(body) and "anthropic-beta" not in request.headers and not runs_code
    if plain and not admitted.call.session.in_force.profile.priority_tier:
        return None
    wanted = [name for name in EXTRA_PARAMETERS if body.get(name) is not None]
    tier = _tier(admitted)
    iterates, edits = request.has_beta(*_ITERATING), "context_management" in wanted or request.has_beta(_EDITING)
    if not (wanted or runs_code or tier or iterates or edits):
        return None
    return Extras(
        message=_diagnostics(admitted) if "diagnostics" in wanted else {},
        delta={"container": _container(admitted, ids)} if runs_code or "container" in wanted else {},
        beside=_beside(admitted) if edits else {},
        iterates=iterates,
        advisor=_advisor(request) if iterates else None,
        for_program="container" not in wanted,
        usage=tier | {name: body[name] for name in ("speed", "inference_geo") if name in wanted},
    )


def _beside(admitted: Admitted) -> Mapping[str, Any]:
    return {"context_management": {"applied_edits": list(admitted.edits)}} if admitted.edits else UNEDITED


def _advisor(request: MessagesRequest) -> str | None:
    """The model that the request has for advice."""
    named = (tool.get("model") for tool in request.tools if str(tool.get("type")).startswith("advisor_"))
    return next((model for model in named if isinstance(model, str)), None)


def _tier(admitted: Admitted) -> dict[str, Any]:
    is_priority = admitted.call.session.in_force.profile.priority_tier
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
    named = admitted.request.body.get("container")
    wanted = named if isinstance(named, Mapping) else {"id": named}
    ends = moment(int(admitted.call.session.reply_time()) + CONTAINER_SECONDS)
    container = {
        "id": str(wanted.get("id") or ids.new("container")),
        "expires_at": whole_seconds(ends),
    }
    skills = wanted.get("skills")
    if isinstance(skills, list):
        listed = [{"version": "latest", **skill} for skill in skills if isinstance(skill, Mapping)]
        return {**container, "skills": listed}
    return container

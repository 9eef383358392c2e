"""A valid request -> what it costs before anything is answered: its tokens, its room in the window, the prompt cache.

`admit` looks at the session and changes nothing; `commit` writes down what the reply used. Raises ApiError for a
prompt that is too long.
"""

from collections.abc import Collection
from typing import NamedTuple

from mock_server.engine.cache import Admission
from mock_server.engine.editing import Edits, after, applied_edits
from mock_server.engine.exchange import Call
from mock_server.engine.limits import Buckets, refused
from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.message import said
from mock_server.protocol.plan import Headers, Plan
from mock_server.protocol.profile import Limits, Model
from mock_server.protocol.prompt import Prefix, counted, prefixed
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.tokens import TokenCounter
from mock_server.protocol.validate.models import model_of


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


def admit(call: Call, request: MessagesRequest, counter: TokenCounter) -> Admitted:
    """What the prompt costs, and what it finds in the session's cache."""
    model: Model | None = request.steady.get("model")
    if model is None:
        model = request.steady["model"] = model_of(request, call.session.terms.profile)
    original = total = counted(request, model, counter)
    edits: Edits = ()
    if "context_management" in request.body:
        edits = applied_edits(request, model, original, counter)
        total = after(edits, original)
    window = model.context_window
    room = None if window is None else window - total
    if not request.is_marked and request.body.get("diagnostics") is None:
        return Admitted(call, request, model, total, room, edits=edits)
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


def let_in(admitted: Admitted, name: str, limits: Limits | None) -> Buckets | None:
    """Take the request and its input from the buckets of `name`. Raises ApiError (429) when they have no room."""
    if limits is None:
        return None
    session = admitted.call.session
    now = session.clock.unix()
    buckets = session.limiter.of(name, limits, now)
    refusal = buckets.admit(now, admitted.counted_input)
    if refusal is not None:
        raise refused(refusal, admitted.model.id, session.terms.profile, buckets.headers(now))
    return buckets


def told_limits(admitted: Admitted, buckets: Buckets | None) -> Headers:
    """The headers that tell what is left of the limits, where the profile sends them."""
    session, body = admitted.call.session, admitted.request.body
    profile = session.terms.profile
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
    threaded = body.get("thread") is not None and session.terms.profile.threads
    if plan.tokens is not None:
        for buckets in limits:
            buckets.spend(session.clock.unix(), plan.tokens[1])
    if threaded or body.get("diagnostics") is not None:
        reply = said(plan)
        assert reply is not None
        if threaded:
            session.threads.keep(body, reply, len(admitted.request.raw))
        if admitted.prefix is not None:
            session.cache.remember(reply["id"], admitted.prefix)

"""`POST /v1/messages`: the straight line from a request to its plan."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from mock_server.deferred import Deferred
from mock_server.engine import citations, seeds
from mock_server.engine.admission import (
    Admitted,
    admit,
    commit,
    counted_ahead,
    extras,
    judged,
    keep,
    let_pass,
    limit_headers,
    passing_over,
    sourced,
    sourced_ahead,
    take_limits,
    too_long,
    warned,
)
from mock_server.engine.cache import prefixed
from mock_server.engine.choose import NAMES, Choice, Lookup, NoMatch, choose, look_ahead
from mock_server.engine.compile import Binding, CompiledReply, Reply, View, is_one_text, reply_of
from mock_server.engine.errors import failure, scripted
from mock_server.engine.exchange import Alike, Apart, Call, Exchange, Late
from mock_server.engine.faults import (
    NONE,
    ReplyFaults,
    apply_faults,
    as_json,
    faults_for,
    is_lost,
    not_applied,
    noted,
    refused,
)
from mock_server.engine.library import Library
from mock_server.engine.memory import Again, Settled, behind
from mock_server.engine.pace import first_due
from mock_server.engine.request_view import Request, ready
from mock_server.engine.session import InForce, Session
from mock_server.engine.slots import Filled
from mock_server.engine.threads import checked
from mock_server.protocol import signing
from mock_server.protocol.blocks import Block, Compaction
from mock_server.protocol.errors import ApiError, excerpt, failure_of_ours, invalid
from mock_server.protocol.expression import OverLimit, allowance, bounded
from mock_server.protocol.plan import NOTHING, Headers, Plan
from mock_server.protocol.profile import Limits, Model
from mock_server.protocol.request import FAULT_HEADER, HttpRequest, MessagesRequest, client_of, parse
from mock_server.protocol.request import LONG as LONG_BODY
from mock_server.protocol.rules import allowed_in_batch
from mock_server.protocol.rules.models import model_of
from mock_server.protocol.rules.parameters import EMULATED
from mock_server.protocol.sse import dumps, dumps_in_steps, encode
from mock_server.protocol.tokens import TokenCounter, input_tokens
from mock_server.records import lazy, quick
from mock_server.scenario.answer import Answer, name_of
from mock_server.scenario.conditions import Miss
from mock_server.scenario.conversation import waiting_call
from mock_server.scenario.faults import MOST_APART, MOST_WORK, Applied
from mock_server.scenario.faults.events import Edit
from mock_server.scenario.faults.stream import Gate, Stall, Trickle
from mock_server.scenario.load import read_answer
from mock_server.scenario.model import Scenario
from mock_server.scenario.reply import GeneratedReply, generated_in
from mock_server.scenario.templates import Template
from mock_server.scenario.timing import Pacing

if TYPE_CHECKING:
    from mock_server.engine import render, unmatched
    from mock_server.engine.engine import Engine
    from mock_server.protocol.contradictions import Contradiction
    from mock_server.scenario.generated import content
    from mock_server.scenario.generated.content import Generator
else:  # most replies stand there as they are
    render = Deferred("mock_server.engine.render", globals())
    unmatched = Deferred("mock_server.engine.unmatched", globals())
    content = Deferred("mock_server.scenario.generated.content", globals())

log = logging.getLogger("mock_server")
_EAGER = b'"eager_input_streaming"'
MANY = 2_000  # made-up tokens of a reply: about 15 ms of work; more are made beside everything else
LONG = 4_000  # events of a reply: to cut it for a request takes as long
_MANY_STOPS = 500  # sequences that a reply is searched for: in one of so many events some milliseconds
PATIENCE = 60.0  # seconds for those of more, as one waits for another
_ANY = GeneratedReply()
NO_ANSWER = Answer()
NOBODY = NoMatch(lambda: ())
# parameters whose meaning hangs on what was said before, or on when it is said
_LASTING = frozenset(("thread", "container", "diagnostics", "compaction"))
Warnings = tuple[str, ...]  # sentences, of what was played all the same
SUMMARY = 60  # estimated tokens of a summary that is made up
# parameters that say what a reply has to be like; what it may be like, every request says
_DEMANDS = frozenset(("tool_choice", "output_config", "output_format"))
_MOST_KNOWN = 64  # replies of which is known what they do against requests that have the same tools
_SHOWN = 600  # characters of what is said of a reply in a header and in the log


def create(engine: "Engine", call: Call) -> Exchange | Alike:
    """parse -> resume -> validate -> admit -> choose -> bind -> commit -> faults. Raises ApiError."""
    session = call.session
    terms = session.in_force
    if call.reading is None:
        request = terms.beginnings.read(call.http, terms.profile, call.client)
        known = request.known
        if known is not None and _USUAL in known.steady and (alike := _as_usual(engine, call, request)) is not None:
            return alike
        finding = _judged(request, terms, call.http.path)
    else:
        request, finding = call.read(read)
    if "thread" in request.body and _goes_on(request, terms):
        if request.is_resumed:
            session.threads.resume(request.body)  # what it goes on from may have gone meanwhile
        else:
            request = _resumed(request, session)
            finding = judged(request, terms)
        call = call._replace(http=call.http._replace(body=request.raw))
    ignored = request.ignored
    if call.in_batch:
        allowed_in_batch(request.body)
    if request.has_blocks and request.has_files:
        request, missing = sourced(request, session)
        finding = finding or missing
    admitted = admit(call, request, engine.counter)
    if admitted.room is not None and request.max_tokens > admitted.room:
        finding = finding or _fitting(admitted)
    limits = terms.limits_of(admitted.model)
    if limits is not None:
        admitted = _within_limits(admitted, admitted.model.id, limits)
    if log.isEnabledFor(logging.DEBUG):
        _log_accepted(request)
    exchange = _answered(engine, admitted)
    if isinstance(exchange, Alike):
        if call.alike and not ignored and finding is None:
            return exchange
        exchange = exchange.exchange()
    if ignored:
        exchange = passing_over(exchange, ignored, engine.once)
    return exchange if finding is None else warned(exchange, finding)._replace(again=None)


def read(http: HttpRequest, session: Session) -> tuple[MessagesRequest, ApiError | None]:
    """The request, and what is wrong with it where that is let pass. Raises ApiError."""
    in_force = session.in_force
    request = in_force.beginnings.read(http, in_force.profile)
    return request, _judged(request, in_force, http.path)


def _judged(request: MessagesRequest, in_force: InForce, path: str) -> ApiError | None:
    """What is wrong with a request where that is let pass. Raises ApiError. One that goes on in a thread is judged when
    it has its history."""
    if "thread" in request.body and _goes_on(request, in_force):
        return None
    finding = judged(request, in_force)
    known = request.known
    if finding is None and (known is None or known.ends):  # a short one whose rest is known brings nothing new
        keep(request, in_force, path)
    return finding


def read_ahead(http: HttpRequest, session: Session) -> tuple[MessagesRequest, ApiError | None]:
    """The same, with its thread and its files, and worked out already whatever `create` will ask of a long request."""
    in_force = session.in_force
    request = parse(http.body, http.headers)
    if _goes_on(request, in_force):
        request = _resumed(request, session)
    finding = judged(request, in_force)
    request = sourced_ahead(request, session)
    model = model_of(request, in_force.profile)
    tokens = counted_ahead(request, model)
    if request.is_marked or request.body.get("diagnostics") is not None:
        prefixed(request, model, TokenCounter(in_steps=True))
    _ = request.fingerprint, request.may_have(NAMES)
    if model.context_window is None or tokens <= model.context_window:
        look_ahead(request, session.last_library)
        citations.wanted(request)
    return request, finding


def _goes_on(request: MessagesRequest, in_force: InForce) -> bool:
    """Whether it goes on in a thread. Raises ApiError where `thread` is wrong."""
    if request.body.get("thread") is None or not in_force.profile.threads:
        return False
    return bool(checked(request.body)["type"] == "continue")


def _resumed(request: MessagesRequest, session: Session) -> MessagesRequest:
    """The request with all that its thread holds, as if the client had sent it."""
    whole = session.threads.resume(request.body)
    written = dumps_in_steps(whole) if request.is_long else dumps(whole)
    resumed = MessagesRequest(whole, request.headers, encode(written))
    resumed.is_resumed = True
    return resumed


def _fitting(admitted: Admitted) -> ApiError | None:
    """The same for a prompt that does not fit the model's window."""
    terms = admitted.call.session.in_force
    error = too_long(admitted)
    return None if error is None or terms.settings.validation == "off" else let_pass(error, terms)


def _within_limits(admitted: Admitted, name: str, limits: Limits) -> Admitted:
    """The request with what it takes of rate limits (in a batch nothing). Raises ApiError (429) when it is too soon."""
    buckets = None if admitted.call.in_batch else take_limits(admitted, name, limits)
    return admitted if buckets is None else admitted._replace(limits=(*admitted.limits, buckets))


class Turn(NamedTuple):
    """The turn being answered: the request that was let in, what answers it, what goes wrong with that, and what is
    drawn for it. `answer`: that of the choice, unless a function gave another. `moves`: it may move states.
    """

    engine: "Engine"
    library: Library
    admitted: Admitted
    asked: Lookup
    found: Choice | NoMatch
    draw: "Draw"
    answer: Answer = NO_ANSWER
    compiled: CompiledReply | None = None
    breaks: ReplyFaults = NONE
    moves: bool = False

    @property
    def choice(self) -> Choice:
        """What answers. Only for turns that a scenario answers."""
        assert isinstance(self.found, Choice)
        return self.found

    @property
    def is_whole(self) -> bool:
        """Whether the reply is to come as its script has it; a side call's one token is what its agent wants."""
        return isinstance(self.found, Choice) and self.answer.generate is None and not self.found.scenario.is_side_call


def _answered(engine: "Engine", admitted: Admitted) -> Exchange | Alike:
    call, request = admitted.call, admitted.request
    session = call.session
    terms, library = session.in_force, engine.library(session)
    asked = Lookup(request, call.http.headers, call.key, session.cursors, terms.settings.seed)
    if library.states or call.endpoint != "messages":
        asked.view.states, asked.view.endpoint = session.states(library), call.endpoint
    found = choose(library, asked)
    if isinstance(found, Choice) and (kind := _kind(admitted, found)) is not None:
        alike = _settled(engine, admitted, asked, found, kind, library)
        if alike is not None:
            if (
                call.alike
                and request.question is not None
                and not (library.states or admitted.cache or request.ignored)
            ):
                request.steady[_USUAL] = Usual(terms, library, admitted.model, kind[3:])
            return alike
    draw = Draw(terms.settings.seed, call, request)
    overlays = engine.overlays(session) if library.message_overlays else ()
    if request.body.get("compaction") is not None and not _compacts(found):
        breaks = faults_for(call, asked, overlays, None)
        return _noted(_compaction(Turn(engine, library, admitted, asked, found, draw, breaks=breaks)), "compaction")
    if isinstance(found, NoMatch):
        return _unmatched(Turn(engine, library, admitted, asked, found, draw), overlays)
    answer, scenario = found.answer, found.scenario
    if scenario.rate_limits is not None:
        admitted = _within_limits(admitted, f"scenario {scenario.name}", scenario.rate_limits)
    differences = found.unmet(asked) if scenario.expects else ()
    if differences:
        return _unexpected(call, found, differences)
    is_whole = not overlays and answer.fault is None and answer.gate is None and FAULT_HEADER not in call.http.headers
    breaks = NONE if is_whole else faults_for(call, asked, overlays, answer)
    moves = scenario.moves and _moves(found, asked)
    if found.begins or scenario.counts:
        asked.cursors.commit(call.key, found, request)
    compiled = None if answer.reply is None else library.compiled[scenario.name].reply(answer)
    turn = Turn(engine, library, admitted, asked, found, draw, answer, compiled, breaks, moves)
    if answer.call is not None:
        return _late(turn)
    if (compiled.size > LONG) if compiled is not None else _is_long(answer, request):
        return _long(turn)
    if "stop_sequences" in request.body and len(request.stop_sequences) > _MANY_STOPS and answer.error is None:
        return _long(turn)
    if breaks is not NONE and _breaks_long(turn):
        return _long(turn)
    exchange = _chosen(_played(turn), turn)
    if turn.draw.filled is not None and _is_alone(turn):
        _settle(exchange, turn.draw.filled, turn)
    if exchange.again is not None and not call.again:
        exchange = exchange._replace(again=None)
    return _moved(exchange, turn) if moves else exchange


# A request that is nothing but a question has the same reply as the one before, but for ids, the tokens of its prompt
# and what that did with the cache, once the same answer is chosen for both: what one came to, the others are made from.

# parameters that say nothing about a reply but what stands in `_kind`
_SIMPLE = {"model", "max_tokens", "messages", "stream", "system", "metadata", "temperature", "top_p", "top_k"}
_SIMPLE |= {"cache_control"}


def _kind(admitted: Admitted, found: Choice) -> tuple[int, int, int, str, bool, bool | None] | None:
    """What simple requests have in common that come to the same, in one library, which keeps its answers. None for a
    request that asks for more than a reply, or leaves less room for it than it allows."""
    call, request = admitted.call, admitted.request
    body, room = request.body, admitted.room
    if not body.keys() <= _SIMPLE or not client_of(request.headers).is_plain:
        return None
    if (room is not None and room < request.max_tokens) or admitted.limits:
        return None
    if call.in_batch or found.begins or (request.has_blocks and request.has_files):
        return None
    wrote = None if admitted.cache is None else admitted.cache.use.written > 0
    return id(found.answer), found.turn, found.attempt, admitted.model.id, bool(body.get("stream")), wrote


def _settled(
    engine: "Engine", admitted: Admitted, asked: Lookup, found: Choice, kind: tuple[Any, ...], library: Library
) -> Alike | None:
    """What a request of this kind came to before, for one more."""
    settled, call = library.settled.get(kind), admitted.call
    if settled is None or asked.were_counts_read or not settled.holds_for(call.session.in_force, admitted.request):
        return None
    content = _texts(engine, call, asked, found) if settled.slots is not None else ()
    alike = settled.alike(call, admitted, content, library)
    if alike is not None and admitted.cache is not None:
        commit(admitted, settled.exchange.plan, ())
    return alike


# Most of what is asked of a request hangs on all of it but its messages, which a client sends again and again.

_USUAL = "usual"
_admitted = quick(Admitted)


class Usual(NamedTuple):
    """What questions with the same rest have in common that come to a settled answer, under the same terms and of the
    same library (which is one session's): what rules, limits and `_kind` asked of the rest need not be asked again.
    `kind`: what that gives but for the answer."""

    in_force: InForce
    library: Library
    model: Model
    kind: tuple[Any, ...]


def _as_usual(engine: "Engine", call: Call, request: MessagesRequest) -> Alike | None:
    """What a request comes to that differs from one before in nothing but what is said; None where anything else is to
    be asked about it. No rule has anything to say about such a one (`validate`)."""
    usual: Usual = request.steady[_USUAL]
    session, model, client, library = call.session, usual.model, call.client, usual.library
    if session.in_force is not usual.in_force or engine.library(session) is not library or not call.alike:
        return None
    if request.question is None or request.is_marked or client is None or not client.is_plain:
        return None
    if log.isEnabledFor(logging.DEBUG):
        return None
    asked = Lookup(request, request.headers, call.key, session.cursors)
    tokens = input_tokens(request, model, engine.counter)
    if model.context_window is not None and tokens + request.max_tokens > model.context_window:
        return None
    found = choose(library, asked)
    if not isinstance(found, Choice) or found.begins:
        return None
    kind = (id(found.answer), found.turn, found.attempt, *usual.kind)
    admitted = _admitted((call, request, model, tokens, None, 0.0, None, None, (), ()))
    return _settled(engine, admitted, asked, found, kind, library)


def _settle(exchange: Exchange, filled: Filled, turn: Turn) -> None:
    """Remember what a simple request came to, if nothing but ids and the counters of its prompt was its own."""
    admitted, found, reply = turn.admitted, turn.found, turn.compiled
    kind = _kind(admitted, found) if isinstance(found, Choice) else None
    if kind is None or reply is None or reply.calls or reply.thinks or exchange.note or exchange.warnings:
        return
    limit = admitted.request.max_tokens
    if filled.is_cut or filled.form.once or int(filled.known["output_tokens"]) >= limit:
        return  # with another limit it may end elsewhere
    terms = admitted.call.session.in_force
    is_even = reply.is_even(admitted.model, terms.settings.time_scale)
    use = None if admitted.cache is None else admitted.cache.use
    if not is_even or filled != filled.after(admitted.input_tokens, use):
        return
    slots, rest = reply if reply.slots else None, behind(exchange.plan, filled, terms)
    if slots is not None and not filled.is_at_once:  # its times hang on the texts
        return
    turn.library.settle(kind, Settled(terms, limit, exchange._replace(again=None), filled, rest, slots))


def _texts(engine: "Engine", call: Call, asked: Lookup, found: Choice) -> tuple[Block, ...]:
    """The content of a reply whose texts each request has its own of."""
    session = call.session
    seed = session.in_force.settings.seed
    by = render.Rendering(asked, found, seed, engine.generator, session.name, session.reply_time())
    return render.rendered(found.answer.reply or (), by)


def _moves(choice: Choice, asked: Lookup) -> bool:
    """Whether an answer may move states: not that of a side call, nor one that a request gets again. What is known of
    that: the client's own count of its retries, the script's (its attempts say themselves what each try does), and that
    a script of a session keeps its reply for the same request."""
    scenario = choice.scenario
    if scenario.is_side_call:
        return False
    if choice.attempts > 1:
        return asked.retries < choice.attempts
    order = scenario.anchored_at == "session" and (asked.key, scenario.name, asked.request.fingerprint)
    return not (asked.retries or (order and order in asked.cursors.order))


def _moved(exchange: Exchange, turn: Turn) -> Exchange:
    """The exchange, and the states moved that its answer moves."""
    then, asked, found = turn.answer.then, turn.asked, turn.choice
    if then is None or not turn.moves:
        return exchange
    mover = asked.key, b"%d %b" % (found.attempt, asked.request.fingerprint)
    return exchange._replace(moved=turn.admitted.call.session.move(turn.library, then.state, mover))


def _again(turn: Turn) -> Again | None:
    """What the same request is answered from the next time; None where anything was counted, drawn, limited, expected
    or broken for it, or looked up where the next one may find something else.
    """
    draw, admitted, answer = turn.draw, turn.admitted, turn.answer
    filled = draw.filled
    if filled is None or answer.is_open or admitted.prefix is not None or not _is_alone(turn):
        return None
    session = admitted.call.session
    return Again(turn.library, session.in_force, filled, session.moved)


def _is_alone(turn: Turn) -> bool:
    """Whether an answer hangs on its request alone, but for what its prompt did with the cache: see `_again`."""
    draw, admitted, answer, found = turn.draw, turn.admitted, turn.answer, turn.found
    request = admitted.request
    if draw.has_seed or turn.asked.were_counts_read or turn.breaks is not NONE:
        return False
    if admitted.limits or turn.library.message_overlays or admitted.call.in_batch:
        return False
    if answer.call is not None or answer.then is not None or (isinstance(found, Choice) and found.scenario.expects):
        return False
    is_told = (request.has_blocks and request.has_files) or "origin" in request.headers
    return not is_told and _LASTING.isdisjoint(request.body)


def _unexpected(call: Call, choice: Choice, differences: Sequence[Miss]) -> Exchange:
    """A request that is not as its script expects it: a 400 that lists every difference."""
    listed = "\n".join(f"  {one}" for one in differences)
    text = f"scenario '{choice.scenario.name}' turn {choice.turn} expects another request:\n{listed}"
    log.warning("%s", text)
    plan = failure(invalid(text), call.session, call.ids.new("req"))
    plan, scenario = _headed(plan, *_origin(choice)), choice.scenario
    return Exchange(
        plan,
        scenario.name,
        choice.turn,
        choice.attempt,
        text,
        choice.answer,
        understood=True,
        unexpected=True,
        side=scenario.is_side_call,
    )


def _headed(plan: Plan, *headers: tuple[str, str]) -> Plan:
    """The plan with more headers, such as those that tell where the reply comes from."""
    return Plan(plan.status, (*plan.headers, *headers), *plan[2:])


def _origin(choice: Choice) -> Headers:
    """The headers that tell which scenario answered."""
    return choice.scenario.header, ("x-mock-turn", str(choice.turn))


def _compacts(found: Choice | NoMatch) -> bool:
    """Whether a script answers with a summary itself."""
    return isinstance(found, Choice) and any(block.type == "compaction" for block in found.answer.reply or ())


def _compaction(turn: Turn) -> Applied:
    """The summary that `compaction` asks for, and nothing else: no other reply is sampled then."""
    terms, request = turn.admitted.call.session.in_force, turn.admitted.request
    seed = seeds.content_seed(terms.settings.seed, request.fingerprint)
    summary = turn.engine.generator.text(seed, SUMMARY)
    block = Compaction(content=summary, signature=signing.signature("compaction", summary))
    reply = Reply((block,), "compaction", timing=turn.breaks.timing or terms.timing)
    return _bound(turn._replace(found=NOBODY), CompiledReply(reply, terms.profile, once=True))


def _noted(done: Applied, note: str, again: Again | None = None) -> Exchange:
    """The exchange of a reply that no scenario gives."""
    plan = _headed(done.plan, ("x-mock-scenario", f"({note})"))
    exchange = Exchange(plan, note=noted(done, note), understood=True, faults=done.faults, again=again)
    return exchange._replace(warnings=_warnings(done)) if done.warnings or done.failed else exchange


def _warnings(done: Applied) -> tuple[str, ...]:
    return (*done.warnings, *not_applied(done.failed))


def _chosen(done: Applied, turn: Turn) -> Exchange:
    found = turn.found
    assert isinstance(found, Choice)
    scenario = found.scenario
    if done.faults and turn.answer.fault is not None and is_lost(done.plan):
        turn.asked.cursors.fail(turn.admitted.call.key, found, turn.admitted.request)
    note = noted(done) if done.failed or done.notes else ""
    contradictions, contradicted = turn.draw.contradictions
    return Exchange(
        _headed(done.plan, scenario.header, ("x-mock-turn", str(found.turn))),
        scenario.name,
        found.turn,
        found.attempt,
        note,
        found.answer,
        understood=True,
        side=scenario.is_side_call,
        faults=done.faults,
        contradictions=contradictions,
        contradicted=contradicted,
        again=None if note else _again(turn),
        warnings=_warnings(done) if done.warnings or done.failed else (),
    )


def _played(turn: Turn) -> Applied:
    """The plan of an answer: an error, a generated reply, or a scripted one (compiled before, unless it came late)."""
    if turn.answer.error is not None:
        return _error(turn)
    if turn.breaks.timing is not None:
        turn = _at_pace(turn)
    reply = turn.compiled
    if reply is None or reply.is_open:
        return _bound(turn, *_made(turn, turn.engine.generator))
    return _bound(turn, reply)


def _at_pace(turn: Turn) -> Turn:
    """The turn with the pace that is laid over its own, where there is one."""
    timing = turn.breaks.timing
    if timing is None:
        return turn
    return turn._replace(answer=replace(turn.answer, timing=timing), compiled=None)


def _made(turn: Turn, generator: "Generator") -> tuple[CompiledReply, Warnings]:
    """A reply that is made for its request, and what is to be warned of."""
    answer, found, terms = turn.answer, turn.choice, turn.admitted.call.session.in_force
    scripted = answer.reply or ()
    if answer.is_open:
        scripted = render.rendered(scripted, _rendering(turn, generator))
        if turn.compiled is not None:  # it wants only its texts
            return turn.compiled.poured(scripted), ()
    if answer.generate is not None:
        reply = _generated(generator, turn.admitted, answer.timing or terms.timing, answer.generate)
        return _compiled(replace(reply, scenario=found.scenario.name, position=found.turn), terms), ()
    blocks, lost = _filled(generator, turn.admitted, scripted)
    reply = reply_of(replace(answer, reply=blocks), terms.timing, found.scenario.name, found.turn)
    return CompiledReply(reply, terms.profile, once=True), _lost(found, lost)


def _is_long(answer: Answer, request: MessagesRequest) -> bool:
    """Whether so much is to be made up for a request that others would wait for it."""
    if answer.generate is None and not answer.is_open:
        return False
    wanted = (answer.generate,) if answer.generate is not None else generated_in(answer.reply)
    return sum(min(one.tokens[1], request.max_tokens) for one in wanted if one is not None and one.tokens) > MANY


def _asks_for_much(request: MessagesRequest) -> bool:
    """Whether it may take long to make up what a request asks for: a long one of whose schemas, tools or sources that
    is made, or one with very many texts to end at."""
    if len(request.stop_sequences) > _MANY_STOPS:
        return True
    return request.is_long and bool(request.tools or request.format or citations.wanted(request))


def _breaks_long(turn: Turn) -> bool:
    """Whether the faults of a scripted reply go through so many frames that others would wait for it."""
    compiled, breaks = turn.compiled, turn.breaks.faults
    if compiled is None or not breaks:
        return False
    grows = len(breaks) > 1 and any(isinstance(one, Stall | Trickle) for one in breaks)
    return grows or compiled.size * len(breaks) > LONG


def _long(turn: Turn) -> Exchange:
    """The exchange of a reply that is long to make up or to cut."""
    turn = _at_pace(turn)
    compiled = turn.compiled

    def made() -> Applied:
        if compiled is None or compiled.is_open:
            return _plan(turn, *_made(turn, content.Generator()))
        return _plan(turn, compiled, ())

    late = _beside(turn, made, lambda done: _moved(_chosen(done, turn), turn), _origin(turn.choice))
    return _chosen(Applied(NOTHING), turn)._replace(late=late)


def _beside(turn: Turn, plan: Callable[[], Applied], told: Callable[[Applied], Exchange], origin: Headers = ()) -> Late:
    """The reply to a turn whose plan is made beside everything else, one at a time. `told`: the exchange of it."""
    engine, call = turn.engine, turn.admitted.call
    turn.draw.seed()  # the request is counted when it comes
    left = allowance()

    def make() -> tuple[Applied, Applied]:
        with engine.making, bounded(left):
            made = plan()
        return made, _broken(turn, made, MOST_APART)

    async def reply(apart: Apart) -> Exchange:
        try:
            made, broken = await apart(make, patience=PATIENCE)
            if turn.admitted.request.is_resumed:
                call.session.threads.resume(turn.admitted.request.body)  # another may have gone on from it meanwhile
        except OverLimit as error:
            failed = failure_of_ours(str(error))
        except ApiError as error:
            failed = error
        else:
            commit(turn.admitted, made.plan, turn.admitted.limits)
            return told(broken)
        return Exchange(_headed(failure(failed, call.session, call.ids.new("req")), *origin), note=str(failed))

    return Late(reply)


def _rendering(turn: Turn, generator: "Generator") -> "render.Rendering":
    session = turn.admitted.call.session
    seed = session.in_force.settings.seed
    return render.Rendering(turn.asked, turn.choice, seed, generator, session.name, session.reply_time())


def _filled_in(turn: Turn) -> Answer:
    """An error whose message is a template, with the message filled in."""
    answer = turn.answer
    error = answer.error
    if error is None or not isinstance(error.message, Template):
        return answer
    message = render.rendered_text(error.message, _rendering(turn, turn.engine.generator))
    return replace(answer, error=replace(error, message=message))


def _filled(generator: "Generator", admitted: Admitted, reply: Sequence[Block]) -> tuple[tuple[Block, ...], list[str]]:
    """The reply with what only this request can give: results of server tools that the script leaves out, and where
    quoted texts stand. And the quoted texts that stand nowhere."""
    request = admitted.request
    seed = seeds.content_seed(admitted.call.session.in_force.settings.seed, request.fingerprint)
    return citations.located(unmatched.filled(tuple(reply), request, seed, generator), request)


def _lost(choice: Choice, lost: Sequence[str]) -> Warnings:
    """A quoted text that is in no document of the request: played without its citation, but loudly."""
    if not lost:
        return ()
    text = (
        f"scenario '{choice.scenario.name}' turn {choice.turn} cites what is in no document of the request: {lost[0]!r}"
    )
    log.warning("%s", text)
    return (text,)


def _late(turn: Turn) -> Exchange:
    """An exchange whose reply a Python function gives. It raises ScenarioError for what is no reply."""
    scripted, breaks, call = turn.answer, turn.breaks, turn.admitted.call
    function = scripted.call
    assert function is not None

    async def reply(apart: Apart) -> Exchange:
        result = await apart(function, Request(call.came or call.http))
        answer = read_answer(result, f"the reply of {name_of(function)}", turn.library.states)
        inherited = replace(
            answer,
            timing=answer.timing or scripted.timing,
            headers={**scripted.headers, **answer.headers},
            contradicts=answer.contradicts or scripted.contradicts,
            then=answer.then or scripted.then,
        )
        suffered = breaks._replace(faults=(*answer.faults, *breaks.faults)) if answer.faults else breaks
        given_turn = turn._replace(answer=inherited, compiled=None, breaks=suffered)
        with bounded():
            done = _played(given_turn)
        return _moved(_chosen(done, turn), given_turn)

    return _chosen(Applied(NOTHING), turn)._replace(late=Late(reply, function))


def _bound(turn: Turn, reply: CompiledReply, warnings: Warnings = ()) -> Applied:
    """The plan of a reply, and what it used up written down. Faults see it as a stream, whatever was asked for."""
    done = _plan(turn, reply, warnings)
    admitted = turn.admitted
    is_usual = admitted.prefix is None and not (admitted.limits or turn.breaks.faults)
    return done if is_usual and "thread" not in admitted.request.body else _sent(turn, done)


def _plan(turn: Turn, reply: CompiledReply, warnings: Warnings) -> Applied:
    """The plan of a reply for this request, and why it does not come whole, if it does not."""
    admitted, draw = turn.admitted, turn.draw
    request, terms = admitted.request, admitted.call.session.in_force
    body, limit = request.body, request.max_tokens
    if reply.thinks or (reply.calls and (request.may_have(_EAGER) or "anthropic-beta" in request.headers)):
        reply = reply.viewed(_view(reply, admitted))
    ids = draw.ids
    headers = admitted.call.session.reply_headers(ids.new("req"))
    if admitted.limits:
        headers += limit_headers(admitted, admitted.limits[0])
    extra = extras(admitted, ids, runs_code=reply.runs_code)
    binding = Binding(
        admitted.model,
        admitted.input_tokens,
        limit,
        limit if admitted.room is None else min(limit, admitted.room),
        body.get("stop_sequences") or (),
        bool(body.get("stream") or turn.breaks.faults),
        terms.settings.time_scale,
        draw,
        None if admitted.cache is None else admitted.cache.use,
        extra,
        "thinking" in body and request.thinking.get("type", "disabled") != "disabled",
    )
    lacking = ""
    filled = reply.filled(binding)
    if filled.is_cut and turn.is_whole and (lacking := reply.lacking(binding)):
        text = f"scenario '{turn.choice.scenario.name}' turn {turn.choice.turn}: {lacking}"
        log.info("%s", text)  # no warning: many a request asks for one token and means it
        warnings = (*warnings, text)
    if (reply.acts or not _DEMANDS.isdisjoint(body)) and isinstance(turn.found, Choice):
        warnings += _contradicting(turn, reply, binding if filled.is_cut else None)
    drawn = filled.drawn(ids, draw.open_call)
    is_lasting = extra is None or not (extra.delta or extra.message)
    if is_lasting and not (warnings or filled.resumes):  # what is logged is logged each time
        draw.filled = filled
    return Applied(filled.plan(drawn, headers), notes=(lacking,) if lacking else (), warnings=warnings)


def _sent(turn: Turn, made: Applied) -> Applied:
    """The plan with what it used up written down, and with what is done to it."""
    commit(turn.admitted, made.plan, turn.admitted.limits)
    return _broken(turn, made)


def _broken(turn: Turn, made: Applied, most: int = MOST_WORK) -> Applied:
    """The plan with what is done to it."""
    admitted, breaks, plan = turn.admitted, turn.breaks.faults, made.plan
    if not breaks:
        return made
    sent = plan if admitted.request.stream else as_json(plan)
    broken = apply_faults(admitted.call, sent, breaks, plan, turn.draw.seed(), most)
    return broken._replace(notes=made.notes, warnings=made.warnings)


def _view(reply: CompiledReply, admitted: Admitted) -> View:
    """How a request has thoughts and calls shown."""
    request, terms = admitted.request, admitted.call.session.in_force
    eager = frozenset(_eager(request)) & reply.calls if reply.calls else frozenset()
    if not reply.thinks:
        return View(eager=eager)
    display = request.thinking.get("display") or terms.profile.thinking_display or admitted.model.thinking_display
    return View(display == "omitted", request.has_beta("thinking-token-count-"), eager, terms.settings.seed or 0)


def _eager(request: MessagesRequest) -> Iterator[str]:
    """The tools whose input is not held back: as they say themselves, else as the beta says for all."""
    by_beta = request.has_beta("fine-grained-tool-streaming-")
    for tool in request.tools:
        wanted = tool.get("eager_input_streaming")
        if by_beta if wanted is None else wanted:
            yield str(tool.get("name"))


class Draw:
    """What is drawn for one exchange: ids and jitter. A request is counted only when something is drawn for it.

    `filled`: the reply in all else, where nothing but this was made for this one exchange. `has_seed`: something was
    drawn that depends on how often the request came. `contradictions`: what the reply does against its request, in
    sentences, and whether that is an error.
    """

    _seed: bytes | None = None
    has_seed = False
    filled: Filled | None = None
    contradictions: tuple[tuple[str, ...], bool] = ((), False)

    def __init__(self, server_seed: int | None, call: Call, request: MessagesRequest) -> None:
        self._server_seed = server_seed
        self._call = call
        self._request = request
        if server_seed is None:
            vars(self)["ids"] = call.ids

    @lazy
    def ids(self) -> seeds.Ids:
        """Where its ids come from."""
        return seeds.Ids(self.seed())

    def seed(self) -> bytes:
        if self._seed is None:
            self.has_seed = True
            key, fingerprint = self._call.key, self._request.fingerprint
            n = self._call.session.cursors.sent.add((key, fingerprint))
            self._seed = seeds.exchange_seed(self._server_seed, key, fingerprint, n)
        return self._seed

    def jitter(self) -> Random:
        return seeds.jitter(self.seed())

    def open_call(self) -> str:
        """The server's call that a resumed turn brings the result of: the newest one that has none yet."""
        return waiting_call(self._request.messages) or "srvtoolu_01" + self.ids.take(22)


def _error(turn: Turn) -> Applied:
    answer, admitted, breaks = _filled_in(turn), turn.admitted, turn.breaks.faults
    assert answer.error is not None
    call = admitted.call
    settings = call.session.in_force.settings
    at = 0
    if answer.timing is not None:
        at = first_due(answer.timing, settings.time_scale, admitted.input_tokens, turn.draw.jitter)
    error = scripted(answer.error, answer, fast_retries=settings.fast_retries)
    plan = failure(error, call.session, call.ids.new("req"), at)
    return apply_faults(call, plan, breaks, None, turn.draw.seed()) if breaks else Applied(plan)


def _unmatched(turn: Turn, overlays: Sequence[Scenario]) -> Exchange:
    """The generated reply, or the error that says why nothing matched."""
    admitted, found = turn.admitted, turn.found
    assert isinstance(found, NoMatch)
    call = admitted.call
    terms = call.session.in_force
    if terms.settings.unmatched == "error":
        if log.isEnabledFor(logging.WARNING):
            log.warning("%s\nThis scenario would match:\n%s", found, ready(Request(call.http)))
        plan = _headed(
            failure(invalid(str(found)), call.session, call.ids.new("req")), ("x-mock-scenario", "(unmatched)")
        )
        return Exchange(plan, note=str(found), understood=True, warnings=refused(call.http.headers))
    if log.isEnabledFor(logging.INFO) and not admitted.request.is_long:
        with suppress(OverLimit):  # a line of the log is worth no more than that
            if found.near_misses:
                what = f"no scenario matches, a reply is made up; nearest: {found.near_misses[0]}"
                log.info("%s", excerpt(what, _SHOWN))
    turn = turn._replace(breaks=faults_for(call, turn.asked, overlays, None))
    timing = turn.breaks.timing or terms.timing
    request = admitted.request
    if (len(request.raw) >= LONG_BODY or "stop_sequences" in request.body) and _asks_for_much(request):

        def made() -> Applied:
            return _plan(turn, _compiled(_generated(content.Generator(), admitted, timing), terms), ())

        late = _beside(turn, made, lambda done: _noted(done, "generated"))
        return _noted(Applied(NOTHING), "generated")._replace(late=late)
    reply = _generated(turn.engine.generator, admitted, timing)
    return _noted(_bound(turn, _compiled(reply, terms)), "generated", _again(turn) if call.again else None)


def _compiled(reply: Reply, in_force: InForce) -> CompiledReply:
    """A reply that was made up, to be bound. Of one that is nothing but a text all else is made already."""
    if reply.timing is in_force.timing and is_one_text(reply):
        return in_force.one_text.poured(reply.content)
    return CompiledReply(reply, in_force.profile, once=True)


def _generated(generator: "Generator", admitted: Admitted, timing: Pacing, wanted: GeneratedReply = _ANY) -> Reply:
    request, settings = admitted.request, admitted.call.session.in_force.settings
    if wanted.tools is None:
        wanted = replace(wanted, tools=settings.generated_tools)
    seed = seeds.content_seed(settings.seed, request.fingerprint)
    return unmatched.generated(request, seed, generator, timing, wanted, admitted.model.token_factor)


def _contradicting(turn: Turn, reply: CompiledReply, cut: Binding | None) -> Warnings:
    """What a scripted reply does against its request, where its author does not say that it is meant: played, since the
    script says so, but loudly. `cut`: what the reply is cut for. Those of the library and for side calls have never
    seen the request that they are chosen for, so of them it is only told.
    """
    admitted, choice = turn.admitted, turn.choice
    wanted = admitted.call.session.in_force.settings.contradictions
    if wanted == "off" or turn.answer.contradicts:
        return ()
    if any(isinstance(one, Edit) and one.message is not None for one in turn.breaks.faults):
        return ()  # another message is sent
    found = _found(turn, reply, cut)
    if not found:
        return ()
    scenario = choice.scenario
    by = f"scenario '{scenario.name}' turn {choice.turn}"
    is_error = wanted == "error" and not (scenario.is_side_call or scenario.of_library)
    texts = tuple([f"{by} {one.text}" for one in found])
    turn.draw.contradictions = texts, is_error and any(one.is_error for one in found)
    log.warning("%s", excerpt(f"{by} {'; '.join([one.text for one in found])}", _SHOWN))
    return texts


def _found(turn: Turn, reply: CompiledReply, cut: Binding | None) -> "Sequence[Contradiction]":
    """What a reply does against a request, and against all that differ from it in what was said before alone."""
    from mock_server.protocol.contradictions import (  # most replies never call or think
        JudgedReply,
        adds_tools,
        contradictions,
    )

    request = turn.admitted.request
    is_bent = bool(turn.breaks.faults) and any(type(one) is not Gate for one in turn.breaks.faults)
    known: dict[Any, Sequence[Contradiction]] | None = None
    if cut is None and not reply.once and not adds_tools(request):
        known = request.steady.setdefault("contradictions", {})
        place = (reply, is_bent, request.messages[-1]["role"])
        if (found := known.get(place)) is not None:
            return found
        if len(known) >= _MOST_KNOWN:
            known.clear()
    found = contradictions(request, turn.admitted.model, JudgedReply(*reply.outgoing(cut), is_bent))
    if known is not None and not allowance().unjudged:  # what was left unjudged is told each time
        known[place] = found
    return found


def _log_accepted(request: MessagesRequest) -> None:
    for name in request.body:
        if name not in EMULATED:
            log.debug("parameter %r is accepted and has no effect", name)

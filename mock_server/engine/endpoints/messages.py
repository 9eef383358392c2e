"""`POST /v1/messages`: the straight line from a request to its plan."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from mock_server.engine import citations, seeds, server_tools
from mock_server.engine.admission import Admitted, admit, commit, let_in, told_limits, too_long
from mock_server.engine.breaking import HEADER, NONE, Breaks, as_json, breaks_of, noted, refused, struck
from mock_server.engine.choose import NAMES, Choice, NoMatch, Question, choose, question
from mock_server.engine.compile import Binding, CompiledReply, Reply, View, reply_of
from mock_server.engine.exchange import Call, Exchange, Late
from mock_server.engine.extras import extras
from mock_server.engine.failure import failure, reply_headers, scripted
from mock_server.engine.judged import judged, keep, let_pass, warned
from mock_server.engine.pace import first_due
from mock_server.engine.received import Request, ready
from mock_server.engine.render import Rendering, rendered, said
from mock_server.engine.session import Terms
from mock_server.engine.sources import FILE, sourced
from mock_server.engine.threads import checked
from mock_server.engine.turns import waiting_call
from mock_server.engine.unmatched import generated
from mock_server.protocol import marks
from mock_server.protocol.blocks import Block, Compaction, ToolUse
from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.expression import OverLimit, allowance, bounded
from mock_server.protocol.plan import NOTHING, Headers, Plan
from mock_server.protocol.profile import Limits
from mock_server.protocol.prompt import counted, prefixed
from mock_server.protocol.request import HttpRequest, MessagesRequest, parse
from mock_server.protocol.tokens import TokenCounter
from mock_server.protocol.validate.batches import allowed_in_batch
from mock_server.protocol.validate.models import model_of
from mock_server.protocol.validate.params import EMULATED
from mock_server.scenario.answer import Answer, name_of
from mock_server.scenario.faults import Applied, Fault
from mock_server.scenario.generate import Generator
from mock_server.scenario.load import read_answer
from mock_server.scenario.match import Miss
from mock_server.scenario.parts import GeneratedReply, generated_in
from mock_server.scenario.template import Template
from mock_server.scenario.timing import Pacing

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine

log = logging.getLogger("mock_server")
_EAGER = b'"eager_input_streaming"'
MANY = 2_000  # made-up tokens of a reply: about 15 ms of work; more are made beside everything else
LONG = 4_000  # events of a reply: to cut it for a request takes as long
PATIENCE = 60.0  # seconds for those of more, as one waits for another
_ANY = GeneratedReply()
SUMMARY = 60  # estimated tokens of a summary that is made up


def create(engine: "Engine", call: Call) -> Exchange:
    """parse -> resume -> validate -> admit -> choose -> bind -> commit -> faults. Raises ApiError."""
    request, finding = call.read(read)
    if _goes_on(request, call.session.terms):
        call, request = _resumed(call, request)
        finding = judged(request, call.session.terms)
    if call.in_batch:
        allowed_in_batch(request.body)
    request, missing = sourced(request, call)
    finding = finding or missing
    admitted = admit(call, request, engine.counter)
    finding = finding or _fitting(admitted)
    admitted = _let_in(admitted, admitted.model.id, call.session.terms.limits_of(admitted.model))
    if log.isEnabledFor(logging.DEBUG):
        _log_accepted(request)
    exchange = _answered(engine, admitted)
    return exchange if finding is None else warned(exchange, finding)


def read(http: HttpRequest, terms: Terms) -> tuple[MessagesRequest, ApiError | None]:
    """The request, and what is wrong with it where that is let pass. Raises ApiError. One that goes on in a thread is
    judged when it has its history.
    """
    request = terms.beginnings.read(http.body, http.headers, terms.profile, http.path)
    if _goes_on(request, terms):
        return request, None
    finding = judged(request, terms)
    if finding is None:
        keep(request, terms, http.path)
    return request, finding


def read_ahead(http: HttpRequest, terms: Terms) -> tuple[MessagesRequest, ApiError | None]:
    """The same, and worked out already whatever `create` will ask of a long request."""
    request = parse(http.body, http.headers)
    finding = None
    if not _goes_on(request, terms):
        finding = judged(request, terms)
        model, counter = model_of(request, terms.profile), TokenCounter()
        counted(request, model, counter)
        if request.is_marked or request.body.get("diagnostics") is not None:
            prefixed(request, model, counter)
        _ = request.fingerprint, request.may_have(NAMES), request.may_have(FILE)
    return request, finding


def _goes_on(request: MessagesRequest, terms: Terms) -> bool:
    """Whether it goes on in a thread. Raises ApiError where `thread` is wrong."""
    if request.body.get("thread") is None or not terms.profile.threads:
        return False
    return bool(checked(request.body)["type"] == "continue")


def _resumed(call: Call, request: MessagesRequest) -> tuple[Call, MessagesRequest]:
    """The request with all that its thread holds, as if the client had sent it."""
    body = json.dumps(call.session.threads.resume(request.body)).encode()
    whole = call._replace(http=call.http._replace(body=body))
    return whole, parse(body, call.http.headers)


def _fitting(admitted: Admitted) -> ApiError | None:
    """The same for a prompt that does not fit the model's window."""
    terms = admitted.call.session.terms
    error = too_long(admitted)
    return None if error is None or terms.settings.validation == "off" else let_pass(error, terms)


def _let_in(admitted: Admitted, name: str, limits: Limits | None) -> Admitted:
    """The request with what it takes of rate limits (in a batch nothing). Raises ApiError (429) when it is too soon."""
    buckets = None if admitted.call.in_batch else let_in(admitted, name, limits)
    return admitted if buckets is None else admitted._replace(limits=(*admitted.limits, buckets))


def _answered(engine: "Engine", admitted: Admitted) -> Exchange:
    call, request = admitted.call, admitted.request
    library = engine.library(call.session)
    asked = question(request, call.http.headers, call.key, call.session.cursors, call.session.terms.settings.seed)
    found = choose(library, asked)
    overlays = engine.overlays(call.session) if library.overlays else ()
    if request.body.get("compaction") is not None and not _compacts(found):
        return _told(_compaction(engine, admitted, breaks_of(call, asked, overlays, None)), "compaction")
    if isinstance(found, NoMatch):
        return _unmatched(engine, admitted, found, lambda: breaks_of(call, asked, overlays, None))
    admitted = _let_in(admitted, f"scenario {found.scenario.name}", found.scenario.rate_limits)
    differences = found.unmet(asked) if found.scenario.expects else ()
    if differences:
        return _unexpected(call, found, differences)
    answer = found.answer
    is_whole = not overlays and answer.fault is None and answer.gate is None and HEADER not in call.http.headers
    breaks = NONE if is_whole else breaks_of(call, asked, overlays, answer)
    call.session.cursors.commit(call.key, found, request)
    if answer.call is not None:
        return _late(engine, admitted, found, asked, breaks)
    compiled = None if answer.reply is None else library.compiled[found.scenario.name].reply(answer)
    if _is_long(answer, request) or (compiled is not None and compiled.size > LONG):
        return _long(engine, admitted, found, answer, compiled, asked, breaks)
    return _chosen(_played(engine, admitted, found, answer, compiled, asked, breaks), found)


def _unexpected(call: Call, found: Choice, differences: Sequence[Miss]) -> Exchange:
    """A request that is not as its script expects it: a 400 that lists every difference."""
    listed = "\n".join(f"  {one}" for one in differences)
    text = f"scenario '{found.scenario.name}' turn {found.turn} expects another request:\n{listed}"
    log.warning("%s", text)
    plan = failure(invalid(text, headers={"x-should-retry": "false"}), call.session, call.ids.request())
    return _chosen(Applied(plan), found)._replace(note=text, unexpected=True)


def _compacts(found: Choice | NoMatch) -> bool:
    """Whether a script answers with a summary itself."""
    return isinstance(found, Choice) and any(block.type == "compaction" for block in found.answer.reply or ())


def _compaction(engine: "Engine", admitted: Admitted, breaks: Breaks) -> Applied:
    """The summary that `compaction` asks for, and nothing else: no other reply is sampled then."""
    terms = admitted.call.session.terms
    seed = seeds.content_seed(terms.settings.seed, admitted.request.fingerprint)
    summary = engine.generator.text(seed, SUMMARY)
    block = Compaction(content=summary, signature=marks.signature("compaction", summary))
    reply = Reply((block,), "compaction", timing=breaks.timing or terms.timing)
    return _bound(CompiledReply(reply, terms.profile), admitted, breaks.faults)


def _told(done: Applied, note: str) -> Exchange:
    """The exchange of a reply that no scenario gives."""
    return Exchange(done.plan, note=noted(done, note), understood=True, faults=done.faults)


def _chosen(done: Applied, found: Choice) -> Exchange:
    plan = done.plan
    told = Plan(plan.status, (*plan.headers, found.scenario.header, ("x-mock-turn", str(found.turn))), *plan[2:])
    note = noted(done) if done.failed or done.notes else ""
    chosen = Exchange(
        told, found.scenario.name, found.turn, found.attempt, note, found.answer, understood=True, faults=done.faults
    )
    return chosen._replace(side=True) if found.scenario.side else chosen


def _played(
    engine: "Engine",
    admitted: Admitted,
    found: Choice,
    answer: Answer,
    compiled: CompiledReply | None,
    asked: Question,
    breaks: Breaks,
) -> Applied:
    """The plan of an answer: an error, a generated reply, or a scripted one (compiled before, unless it came late)."""
    if answer.error is not None:
        return _error(admitted, _filled_in(engine, admitted, found, answer, asked), breaks.faults)
    if breaks.timing is not None:
        answer, compiled = replace(answer, timing=breaks.timing), None
    if compiled is None or compiled.is_open:
        compiled, warnings = _made(engine.generator, admitted, found, answer, asked)
    else:
        warnings = _warning(admitted.request, found, answer)
    return _bound(compiled, admitted, breaks.faults, warnings, _whole(found, answer))


def _whole(found: Choice, answer: Answer) -> Choice | None:
    """What chose a reply that is to come as its script has it; a side call's one token is what its agent wants."""
    return found if answer.generate is None and not found.scenario.side else None


def _made(
    generator: Generator, admitted: Admitted, found: Choice, answer: Answer, asked: Question
) -> tuple[CompiledReply, Headers]:
    """A reply that is made for its request, and what is to be warned of."""
    terms = admitted.call.session.terms
    warnings = _warning(admitted.request, found, answer)
    if answer.generate is not None:
        reply = _generated(generator, admitted, answer.timing or terms.timing, answer.generate)
        reply = replace(reply, scenario=found.scenario.name, position=found.turn)
    else:
        scripted = answer.reply or ()
        if answer.is_open:
            scripted = rendered(scripted, _rendering(generator, admitted, found, asked))
        blocks, lost = _filled(generator, admitted, scripted)
        warnings += _lost(found, lost)
        reply = reply_of(replace(answer, reply=blocks), terms.timing, found.scenario.name, found.turn)
    return CompiledReply(reply, terms.profile), warnings


def _is_long(answer: Answer, request: MessagesRequest) -> bool:
    """Whether so much is to be made up for a request that others would wait for it."""
    if answer.generate is None and not answer.is_open:
        return False
    wanted = (answer.generate,) if answer.generate is not None else generated_in(answer.reply)
    return sum(min(one.tokens[1], request.max_tokens) for one in wanted if one is not None and one.tokens) > MANY


def _long(
    engine: "Engine",
    admitted: Admitted,
    found: Choice,
    answer: Answer,
    compiled: CompiledReply | None,
    asked: Question,
    breaks: Breaks,
) -> Exchange:
    """The exchange of a reply that is long to make up or to cut: that is done beside everything else, one at a time."""
    if breaks.timing is not None:
        answer, compiled = replace(answer, timing=breaks.timing), None
    draw = _draw(admitted)
    draw.seed()  # the request is counted when it comes
    left = allowance()

    def make(request: Request) -> Any:
        try:
            with engine.making, bounded(left):
                if compiled is None or compiled.is_open:
                    reply, warnings = _made(Generator(), admitted, found, answer, asked)
                else:
                    reply, warnings = compiled, _warning(admitted.request, found, answer)
                return _plan(reply, admitted, draw, breaks.faults, warnings, _whole(found, answer))
        except OverLimit as error:
            return ApiError("api_error", f"mock-server: {error}", headers={"x-should-retry": "false"})
        except ApiError as error:
            return error

    def settle(given: Any) -> Exchange:
        if isinstance(given, ApiError):
            plan = failure(given, admitted.call.session, admitted.call.ids.request())
            return Exchange(plan, note=str(given))
        plan, lacking = given
        return _chosen(_sent(plan, admitted, breaks.faults, draw, lacking), found)

    pending = _chosen(Applied(NOTHING), found)
    return pending._replace(late=Late(make, Request(admitted.call.http), settle, PATIENCE, is_ours=True))


def _rendering(generator: Generator, admitted: Admitted, found: Choice, asked: Question) -> Rendering:
    call = admitted.call
    seed = seeds.content_seed(call.session.terms.settings.seed, asked.request.fingerprint)
    return Rendering(asked, found, seed, generator, call.session.name, call.session.told_unix())


def _filled_in(engine: "Engine", admitted: Admitted, found: Choice, answer: Answer, asked: Question) -> Answer:
    """An error whose message is a template, with the message filled in."""
    error = answer.error
    if error is None or not isinstance(error.message, Template):
        return answer
    message = said(error.message, _rendering(engine.generator, admitted, found, asked))
    return replace(answer, error=replace(error, message=message))


def _filled(generator: Generator, admitted: Admitted, reply: Sequence[Block]) -> tuple[tuple[Block, ...], list[str]]:
    """The reply with what only this request can give: results of server tools that the script leaves out, and where
    quoted texts stand. And the quoted texts that stand nowhere."""
    request = admitted.request
    seed = seeds.content_seed(admitted.call.session.terms.settings.seed, request.fingerprint)
    return citations.located(server_tools.filled(tuple(reply), request, seed, generator), request)


def _lost(found: Choice, lost: Sequence[str]) -> Headers:
    """A quoted text that is in no document of the request: played without its citation, but loudly."""
    if not lost:
        return ()
    text = (
        f"scenario '{found.scenario.name}' turn {found.turn} cites what is in no document of the request: {lost[0]!r}"
    )
    log.warning("%s", text)
    return _warning_of(text)


def _warning_of(text: str) -> Headers:
    """The header that tells of something played all the same."""
    return (("x-mock-warning", text.encode("ascii", "replace").decode().replace("\n", " ")),)


def _late(engine: "Engine", admitted: Admitted, found: Choice, asked: Question, breaks: Breaks) -> Exchange:
    """An exchange whose reply a Python function gives. Raises ScenarioError, when settled, for what is no reply."""
    function = found.answer.call
    assert function is not None

    def settle(given: Any) -> Exchange:
        answer = read_answer(given, f"the reply of {name_of(function)}")
        inherited = replace(
            answer, timing=answer.timing or found.answer.timing, headers={**found.answer.headers, **answer.headers}
        )
        suffered = breaks._replace(faults=(*answer.breaks, *breaks.faults)) if answer.breaks else breaks
        with bounded():
            return _chosen(_played(engine, admitted, found, inherited, None, asked, suffered), found)

    pending = _chosen(Applied(NOTHING), found)
    return pending._replace(late=Late(function, Request(admitted.call.http), settle))


def _bound(
    reply: CompiledReply,
    admitted: Admitted,
    breaks: tuple[Fault, ...] = (),
    more: Headers = (),
    found: Choice | None = None,
) -> Applied:
    """The plan of a reply, and what it used up written down. Faults see it as a stream, whatever was asked for.

    `found`: what chose a reply that is to come as its script has it, so that it is told when it cannot.
    """
    draw = _draw(admitted)
    plan, lacking = _plan(reply, admitted, draw, breaks, more, found)
    return _sent(plan, admitted, breaks, draw, lacking)


def _draw(admitted: Admitted) -> "Draw":
    call = admitted.call
    return Draw(call.session.terms.settings.seed, call, admitted.request)


def _plan(
    reply: CompiledReply,
    admitted: Admitted,
    draw: "Draw",
    breaks: Sequence[Fault],
    more: Headers,
    found: Choice | None,
) -> tuple[Plan, str]:
    """The plan of a reply for this request, and why it does not come whole, if it does not."""
    request, terms = admitted.request, admitted.call.session.terms
    if reply.thinks or (reply.calls and (request.may_have(_EAGER) or "anthropic-beta" in request.headers)):
        reply = reply.viewed(_view(reply, admitted))
    binding = Binding(
        model=admitted.model,
        input_tokens=admitted.input_tokens,
        max_tokens=request.max_tokens,
        stop_sequences=request.stop_sequences,
        stream=request.stream or bool(breaks),
        headers=_headers(admitted, draw) + more,
        time_scale=terms.settings.time_scale,
        draw=draw,
        room=admitted.room,
        cache=None if admitted.cache is None else admitted.cache.use,
        extras=extras(admitted, draw.ids, runs_code=reply.runs_code),
        thinks=request.thinking.get("type", "disabled") != "disabled",
    )
    lacking = "" if found is None or reply.fits(binding) else reply.lacking(binding)
    if found is not None and lacking:
        text = f"scenario '{found.scenario.name}' turn {found.turn}: {lacking}"
        log.info("%s", text)  # no warning: many a request asks for one token and means it
        binding = binding._replace(headers=binding.headers + _warning_of(text))
    return reply.bind(binding), lacking


def _sent(plan: Plan, admitted: Admitted, breaks: tuple[Fault, ...], draw: "Draw", lacking: str) -> Applied:
    """The plan with what it used up written down, and with what is done to it."""
    commit(admitted, plan, admitted.limits)
    done = Applied(plan)
    if breaks:
        said = plan if admitted.request.stream else as_json(plan)
        done = struck(admitted.call, said, breaks, plan, draw.seed())
    return done._replace(notes=(lacking,)) if lacking else done


def _view(reply: CompiledReply, admitted: Admitted) -> View:
    """How a request has thoughts and calls shown."""
    request, terms = admitted.request, admitted.call.session.terms
    eager = frozenset(_eager(request)) & reply.calls if reply.calls else frozenset()
    if not reply.thinks:
        return View(eager=eager)
    display = request.thinking.get("display") or terms.profile.thinking_display or admitted.model.thinking_display
    return View(display == "omitted", request.has_beta("thinking-token-count-"), eager, terms.settings.seed or 0)


def _eager(request: MessagesRequest) -> Iterator[str]:
    """The tools whose input is not held back: as they say themselves, else as the beta says for all."""
    for tool in request.tools:
        wanted = tool.get("eager_input_streaming")
        if request.has_beta("fine-grained-tool-streaming-") if wanted is None else wanted:
            yield str(tool.get("name"))


def _headers(admitted: Admitted, draw: "Draw") -> Headers:
    headers = reply_headers(admitted.call.session, draw.ids.request())
    return headers + told_limits(admitted, admitted.limits[0]) if admitted.limits else headers


class Draw:
    """What is drawn for one exchange: ids and jitter. A request is counted only when something is drawn for it."""

    __slots__ = ("_call", "_request", "_seed", "_server_seed", "ids")

    def __init__(self, server_seed: int | None, call: Call, request: MessagesRequest) -> None:
        self._server_seed = server_seed
        self._call = call
        self._request = request
        self._seed: bytes | None = None
        self.ids = call.ids if server_seed is None else seeds.Ids(self.seed())

    def seed(self) -> bytes:
        if self._seed is None:
            key, fingerprint = self._call.key, self._request.fingerprint
            n = self._call.session.cursors.sent.add((key, fingerprint))
            self._seed = seeds.exchange_seed(self._server_seed, key, fingerprint, n)
        return self._seed

    def jitter(self) -> Random:
        return seeds.jitter(self.seed())

    def open_call(self) -> str:
        """The server's call that a resumed turn brings the result of: the newest one that has none yet."""
        return waiting_call(self._request.messages) or "srvtoolu_01" + self.ids.take(22)


def _error(admitted: Admitted, answer: Answer, breaks: tuple[Fault, ...]) -> Applied:
    assert answer.error is not None
    call = admitted.call
    terms = call.session.terms
    at = 0
    if answer.timing is not None:
        scale, seed = terms.settings.time_scale, terms.settings.seed
        at = first_due(answer.timing, scale, admitted.input_tokens, lambda: Draw(seed, call, admitted.request).jitter())
    error = scripted(answer.error, answer, fast_retries=terms.settings.fast_retries)
    plan = failure(error, call.session, call.ids.request(), at)
    if not breaks:
        return Applied(plan)
    return struck(call, plan, breaks, None, Draw(terms.settings.seed, call, admitted.request).seed())


def _unmatched(engine: "Engine", admitted: Admitted, found: NoMatch, breaks_of: Callable[[], Breaks]) -> Exchange:
    """The generated reply, or the error that says why nothing matched."""
    call = admitted.call
    terms = call.session.terms
    if terms.settings.unmatched == "error":
        if log.isEnabledFor(logging.WARNING):
            log.warning("%s\nThis scenario would match:\n%s", found, ready(Request(call.http)))
        error = refused(invalid(str(found), headers={"x-should-retry": "false"}), call.http.headers)
        return Exchange(failure(error, call.session, call.ids.request()), note=str(found), understood=True)
    breaks = breaks_of()
    reply = _generated(engine.generator, admitted, breaks.timing or terms.timing)
    return _told(_bound(CompiledReply(reply, terms.profile), admitted, breaks.faults), "generated")


def _generated(generator: Generator, admitted: Admitted, timing: Pacing, wanted: GeneratedReply = _ANY) -> Reply:
    request, settings = admitted.request, admitted.call.session.terms.settings
    if wanted.tools is None:
        wanted = replace(wanted, tools=settings.generated_tools)
    seed = seeds.content_seed(settings.seed, request.fingerprint)
    return generated(request, seed, generator, timing, wanted, admitted.model.token_factor)


def _warning(request: MessagesRequest, found: Choice, answer: Answer) -> Headers:
    """A scripted call although the request forbids calls: played, since the script says so, but loudly."""
    if request.tool_choice.get("type") != "none" or not any(type(b) is ToolUse for b in answer.reply or ()):
        return ()
    text = f"scenario '{found.scenario.name}' turn {found.turn} calls a tool although tool_choice is none"
    log.warning("%s", text)
    return _warning_of(text)


def _log_accepted(request: MessagesRequest) -> None:
    for name in request.body:
        if name not in EMULATED:
            log.debug("parameter %r is accepted and has no effect", name)

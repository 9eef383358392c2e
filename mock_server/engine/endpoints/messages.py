"""`POST /v1/messages`: the straight line from a request to its plan."""

import logging
from random import Random
from typing import TYPE_CHECKING

from mock_server.engine import seeds
from mock_server.engine.choose import Choice, NoMatch, choose, question
from mock_server.engine.compile import Binding, CompiledReply
from mock_server.engine.exchange import Call, Exchange
from mock_server.engine.failure import failure, request_headers, scripted
from mock_server.engine.unmatched import generated
from mock_server.protocol.blocks import ToolUse
from mock_server.protocol.errors import invalid
from mock_server.protocol.plan import Headers, Plan
from mock_server.protocol.request import MessagesRequest, blocks, parse
from mock_server.protocol.usage import input_tokens
from mock_server.protocol.validate import validate
from mock_server.protocol.validate.params import EMULATED

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine

log = logging.getLogger("mock_server")


def create(engine: "Engine", call: Call) -> Exchange:
    """parse -> validate -> choose -> commit -> bind. Raises ApiError for what the client did wrong."""
    request = parse(call.http.body)
    validate(request, engine.profile)
    if log.isEnabledFor(logging.DEBUG):
        _log_accepted(request)
    library = engine.library(call.session)
    asked = question(request, call.http.headers, call.key, call.session.cursors)
    found = choose(library.scenarios, asked, library.by_name)
    if isinstance(found, NoMatch):
        return _unmatched(engine, call, request, found)
    call.session.cursors.commit(call.key, found, request)
    if found.answer.error is not None:
        plan = _error(engine, call, found)
    else:
        reply = library.compiled[found.scenario.name].reply(found.answer)
        plan = _bound(reply, engine, call, request, _warning(request, found))
    return Exchange(plan, found.scenario.name, found.turn, found.attempt)


def _bound(reply: CompiledReply, engine: "Engine", call: Call, request: MessagesRequest, more: Headers = ()) -> Plan:
    model = engine.profile.model(request.model)
    draw = Draw(engine.settings.seed, call, request)
    return reply.bind(
        Binding(
            model=request.model if model is None else model.id,
            input_tokens=input_tokens(request, engine.counter),
            max_tokens=request.max_tokens,
            stop_sequences=request.stop_sequences,
            stream=request.stream,
            cache_asked=b'"cache_control"' in call.http.body,
            headers=request_headers(engine.profile, draw.ids.request()) + more,
            time_scale=engine.settings.time_scale,
            draw=draw,
        )
    )


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
        """The server's call that a resumed turn brings the result of: the newest one in the last message."""
        content = blocks(self._request.messages[-1]["content"])
        calls = [block["id"] for block in content if block["type"] == "server_tool_use"]
        return calls[-1] if calls else "srvtoolu_01" + self.ids.take(22)


def _error(engine: "Engine", call: Call, found: Choice) -> Plan:
    assert found.answer.error is not None
    timing = found.answer.timing
    at = round(timing.first * engine.settings.time_scale) if timing is not None else 0
    return failure(scripted(found.answer.error, found.answer), engine.profile, call.ids.request(), at)


def _unmatched(engine: "Engine", call: Call, request: MessagesRequest, found: NoMatch) -> Exchange:
    """The generated reply, or the error that says why nothing matched."""
    if (call.session.unmatched or engine.settings.unmatched) == "error":
        log.warning("%s", found)
        raise invalid(str(found), headers={"x-should-retry": "false"})
    seed = seeds.content_seed(engine.settings.seed, request.fingerprint)
    reply = generated(request, seed, engine.generator, engine.timing)
    return Exchange(_bound(CompiledReply(reply, engine.profile), engine, call, request), note="generated")


def _warning(request: MessagesRequest, found: Choice) -> Headers:
    """A scripted call although the request forbids calls: played, since the script says so, but loudly."""
    if request.tool_choice.get("type") != "none" or not any(type(b) is ToolUse for b in found.answer.reply or ()):
        return ()
    text = f"scenario '{found.scenario.name}' turn {found.turn} calls a tool although tool_choice is none"
    log.warning("%s", text)
    return (("x-mock-warning", text.encode("ascii", "replace").decode()),)


def _log_accepted(request: MessagesRequest) -> None:
    for name in request.body:
        if name not in EMULATED:
            log.debug("parameter %r is accepted and has no effect", name)

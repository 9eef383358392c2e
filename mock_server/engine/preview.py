"""What a scenario would send, exchange by exchange: the very plan that a socket would play, nothing noted anywhere.

Without a request of its own a preview goes through the whole script as an agent would: it answers calls, resumes
pauses, says something more where the exchange is over, and tries again after errors.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from mock_server.engine.exchange import Late
from mock_server.engine.rehearsal import request_for
from mock_server.engine.session import Cursors, Session, Terms
from mock_server.protocol.message import plain, said
from mock_server.protocol.plan import Plan
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps_in_steps, encode
from mock_server.scenario.model import Scenario

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine

KEY = "preview"
FUNCTION = "a Python function gives this reply"
LONG = "so long a reply is made up only when a request asks for it"
MOST_EXCHANGES = 50


class Previewed(NamedTuple):
    """One exchange: the request that was made up (or given) and the plan that answers it."""

    scenario: str | None
    turn: int
    attempt: int
    request: Mapping[str, Any]
    headers: Mapping[str, str]
    plan: Plan
    note: str
    faults: tuple[str, ...] = ()

    @property
    def frames(self) -> Sequence[tuple[int, bytes]]:
        """Every frame with its time in microseconds after the request."""
        return list(zip(self.plan.due, self.plan.frames, strict=True))

    @property
    def reply(self) -> Mapping[str, Any]:
        """The whole reply as JSON; no fault is in it."""
        reply: dict[str, Any] = plain(said(self.plan.whole) or {})
        return reply

    def told(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "scenario": self.scenario,
            "turn": self.turn,
            "attempt": self.attempt,
            "request": self.request,
            "status": self.plan.status,
            "stream": self.plan.stream,
            "headers": dict(self.plan.headers),
            "frames": [{"at_ms": at / 1000, "text": frame.decode("utf-8", "replace")} for at, frame in self.frames],
            "reply": self.reply,
            "note": self.note,
            "faults": list(self.faults),
        }


def preview(
    engine: "Engine",
    terms: Terms,
    scenario: Scenario,
    request: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    stream: bool | None = None,
    waits: bool = True,
) -> tuple[Previewed, ...]:
    """The exchanges of a scenario; of a given request only the one that answers it. Python functions are not called.

    `waits`: long replies are made up too, for seconds; on a server's loop nobody can wait for that.
    An overlay has none of its own.
    """
    settings = replace(
        terms.settings,
        seed=terms.settings.seed or 0,
        unmatched="error",
        validation=terms.settings.validation if request is not None else "off",
    )
    session = Session(KEY, engine.clock, replace(terms, settings=settings))
    engine.add(session, scenario)
    if request is not None:
        body = dict(request) if stream is None else {**request, "stream": stream}
        return (_played(engine, session, body, {**_named(scenario, {}), **(headers or {})}, waits),)
    return () if scenario.is_overlay else tuple(_walk(engine, session, scenario, stream is not False, waits))


def _named(scenario: Scenario, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with the scenario's name, where it answers only by name."""
    return {**headers, "x-mock-scenario": scenario.name} if scenario.named_only else dict(headers)


def _played(
    engine: "Engine", session: Session, body: Mapping[str, Any], headers: Mapping[str, str], waits: bool
) -> Previewed:
    version = session.terms.profile.default_version
    sent = {"x-api-key": KEY, "anthropic-version": version, **{name.lower(): text for name, text in headers.items()}}
    http = HttpRequest("POST", "/v1/messages", sent, encode(dumps_in_steps(body)))
    exchange = engine.answer(http, session, KEY)
    late = exchange.late
    if isinstance(late, Late) and late.is_ours and waits:
        exchange = late.settle(late.function(late.request))
    elif late is not None:
        exchange = exchange._replace(note=LONG if isinstance(late, Late) and late.is_ours else FUNCTION)
    told = {name: text for name, text in headers.items() if name.startswith("x-mock")}
    plan, note = exchange.plan, exchange.note
    return Previewed(exchange.scenario, exchange.turn, exchange.attempt, body, told, plan, note, exchange.faults)


def _walk(engine: "Engine", session: Session, scenario: Scenario, stream: bool, waits: bool) -> Iterator[Previewed]:
    body, headers = request_for(scenario, session.terms.profile)
    body.setdefault("stream", stream)
    headers = _named(scenario, headers)
    first = _played(engine, session, body, headers, waits)
    if first.scenario is None:  # no request that meets its conditions was found
        session.cursors = Cursors()
        headers = {**headers, "x-mock-scenario": scenario.name}
        first = _played(engine, session, body, headers, waits)
    yield first
    last, seen = first, 1
    while seen < MOST_EXCHANGES and (following := _next(scenario, last, body)) is not None:
        body = following
        last = _played(engine, session, body, headers, waits)
        if last.scenario is None:
            return
        yield last
        seen += 1


def _next(scenario: Scenario, last: Previewed, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a client sends next; None where the script is over."""
    if last.plan.whole.status != 200:
        attempts = scenario.turns[last.turn - 1].attempts if last.turn else None
        more = attempts is not None and last.attempt < len(attempts)
        return dict(body) if more else None
    if last.turn >= len(scenario.turns):
        return None
    if scenario.anchored_at == "session":
        messages = body["messages"]
        return {**body, "messages": [{"role": "user", "content": f"{_said(messages[0])} ({last.turn + 1})"}]}
    reply = last.reply
    content = reply["content"] or [{"type": "text", "text": "…"}]
    messages = [*body["messages"], {"role": "assistant", "content": content}]
    if reply["stop_reason"] == "pause_turn":
        return {**body, "messages": messages}
    results = [_result(block) for block in content if block["type"] == "tool_use"]
    return {**body, "messages": [*messages, {"role": "user", "content": results or "Go on."}]}


def _said(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])


def _result(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call["id"], "content": "made up by preview"}

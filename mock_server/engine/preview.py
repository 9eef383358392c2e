"""A request that a scenario answers, made up from what its author wrote: for previews, and to start from by hand."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from mock_server.engine.exchange import in_place
from mock_server.engine.session import Cursors, InForce, Session
from mock_server.protocol.blocks import ServerToolUse, ToolUse
from mock_server.protocol.message import plain, sent_message
from mock_server.protocol.plan import Plan
from mock_server.protocol.profile import OPERATIONS, Model, Profile
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps_in_steps, encode
from mock_server.scenario import paths
from mock_server.scenario.generated import pattern
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import Node
from mock_server.scenario.operators import glob
from mock_server.scenario.subjects import MESSAGE_ENDPOINTS

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine


MAX_TOKENS = 64_000
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
_HELD: Mapping[str, Mapping[str, Any]] = {
    "image": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PIXEL}},
    "document": {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A short note."}},
}
_SERVER_TOOLS: Mapping[str, Mapping[str, Any]] = {
    "web_search": {"type": "web_search_20250305", "name": "web_search"},
    "web_fetch": {"type": "web_fetch_20250910", "name": "web_fetch"},
}


class MadeUp(NamedTuple):
    """A request that is being made up: its body, its headers, and its tools by name."""

    body: dict[str, Any]
    headers: dict[str, str]
    tools: dict[str, dict[str, Any]]
    profile: Profile


def request_for(scenario: Scenario, profile: Profile) -> tuple[dict[str, Any], dict[str, str]]:
    """The body and the headers of a request that meets the scenario's `when`, as far as one can be made up."""
    body: dict[str, Any] = {
        "model": _model(profile).id,
        "max_tokens": min(MAX_TOKENS, _model(profile).max_output or MAX_TOKENS),
        "messages": [{"role": "user", "content": "Hello"}],
    }
    made = MadeUp(body, {}, dict(_called(scenario)), profile)
    written = scenario.data.value if scenario.data is not None else {}
    for when in _conditions(written.get("when")):
        for subject, node in when.items():
            if subject in _MEETS:
                _MEETS[subject](node, made)
    if made.tools:
        body["tools"] = list(made.tools.values())
    return body, made.headers


def states_for(scenario: Scenario) -> dict[str, str]:
    """The states that the scenario's `when` wants."""
    written = scenario.data.value if scenario.data is not None else {}
    states = [when["state"].value for when in _conditions(written.get("when")) if "state" in when]
    wanted = [(name, item.plain()) for one in states if isinstance(one, dict) for name, item in one.items()]
    return {name: value[0] if isinstance(value, list) else value for name, value in wanted}


def _target(scenario: Scenario) -> tuple[str, str]:
    """The method and the path of a request that the scenario is for: of several that of a message first."""
    done = [(name, method, path) for path, methods in OPERATIONS.items() for method, name in methods.items()]
    _, method, path = next(one for one in done if one[0] in scenario.endpoints or not scenario.endpoints)
    return method, re.sub(r"{\w+(\.\.\.)?}", KEY, path)


def _body_for(path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of a request to this path, like this body of one for a message."""
    if path == "/v1/messages/batches":
        return {"requests": [{"custom_id": KEY, "params": {**body, "stream": False}}]}
    if path == "/v1/messages/count_tokens":
        return {name: value for name, value in body.items() if name not in ("max_tokens", "stream")}
    return body if path == "/v1/messages" else {}


def _conditions(node: Node | None) -> Iterator[Mapping[str, Node]]:
    """Mappings of subjects that together meet a condition: all of `all`, the first of `any`."""
    if node is None or not isinstance(node.value, dict):
        return
    yield {key: item for key, item in node.value.items() if key not in ("all", "any", "not")}
    for key in ("all", "any"):
        listed = node.value[key].value if key in node.value else ()
        for item in listed if key == "all" else list(listed)[:1]:
            yield from _conditions(item)


def _model(profile: Profile) -> Model:
    return next((model for model in profile.models if "opus" in model.id), None) or next(
        iter(profile.models), Model(id="claude-opus-4-8")
    )


def _called(scenario: Scenario) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tools that the script calls, by name."""
    for turn in scenario.turns:
        for leaf in turn.leaves:
            for block in leaf.reply or ():
                if isinstance(block, ServerToolUse):
                    if block.name in _SERVER_TOOLS:
                        yield block.name, dict(_SERVER_TOOLS[block.name])
                elif type(block).type == "tool_use" and isinstance(block, ToolUse):
                    yield block.name, tool(block.name, block.input)


_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)


def tool(name: str, example: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A tool of this name that takes an input like the example."""
    properties = {
        key: {"type": next((type_name for kind, type_name in _TYPES if isinstance(value, kind)), "string")}
        for key, value in (example or {"query": ""}).items()
    }
    return {"name": name, "input_schema": {"type": "object", "properties": properties}}


# -- what meets a condition -----------------------------------------------------------------------------------------


def _text(node: Node, usual: str = "") -> str:
    """A text that an author's condition on a text holds for."""
    value = node.plain()
    if isinstance(value, list):
        return str(value[0]) if value else usual
    if not isinstance(value, dict):
        return str(value)
    if "regex" in value:
        return pattern.matching(str(value["regex"]), Random(0)) or usual
    if value.get("in"):
        return str(value["in"][0])
    wanted = value.get("equals") or value.get("contains") or value.get("glob") or usual
    return str(wanted).replace("*", "").replace("?", "x")


def _meet_prompt(node: Node, made: MadeUp) -> None:
    content = made.body["messages"][0]["content"]
    text = _text(node, "Hello")
    if isinstance(content, str):
        made.body["messages"][0]["content"] = text
    else:
        content[-1]["text"] = text


def _meet_system(node: Node, made: MadeUp) -> None:
    if text := _text(node):
        made.body["system"] = text


def _meet_model(node: Node, made: MadeUp) -> None:
    wanted = node.plain()
    texts = wanted if isinstance(wanted, list) else [wanted] if isinstance(wanted, str) else [_text(node)]
    names = [name for model in made.profile.models for name in (model.id, *model.aliases)]
    fitting = (name for name in names if any(glob(str(text))(name) for text in texts))
    made.body["model"] = next(fitting, _text(node, made.body["model"]))


def _meet_tools(node: Node, made: MadeUp) -> None:
    for item in node.value if isinstance(node.value, list) else [node]:
        name = _name(item, "tool")
        made.tools.setdefault(name, tool(name))


def _meet_choice(node: Node, made: MadeUp) -> None:
    value = node.plain()
    made.body["tool_choice"] = value if isinstance(value, dict) else {"type": _text(node, "auto")}


def _meet_stream(node: Node, made: MadeUp) -> None:
    made.body["stream"] = node.value


def _meet_has(node: Node, made: MadeUp) -> None:
    for kind in node.plain() if isinstance(node.value, list) else [node.value]:
        if kind in _HELD:
            content = made.body["messages"][0]["content"]
            text = content if isinstance(content, str) else content[-1]["text"]
            made.body["messages"][0]["content"] = [copy.deepcopy(_HELD[kind]), {"type": "text", "text": text}]
            return


def _meet_header(node: Node, made: MadeUp) -> None:
    for name, item in (node.value if isinstance(node.value, dict) else {}).items():
        made.headers[name.lower()] = _name(item, "1")


def _meet_body(node: Node, made: MadeUp) -> None:
    """Sets values at paths of plain keys; others are left to chance."""
    for path, item in (node.value if isinstance(node.value, dict) else {}).items():
        steps = paths.parse(path) or ()
        value = _value(item)
        if not steps or not all(isinstance(step, str) for step in steps) or value is paths.MISSING:
            continue
        at = made.body
        for step in steps[:-1]:
            at = at.setdefault(str(step), {})
            if not isinstance(at, dict):
                break
        else:
            at[str(steps[-1])] = value


def _value(node: Node) -> Any:
    value = node.plain()
    if not isinstance(value, dict):
        return value[0] if isinstance(value, list) and value else value
    low = value.get("gte", value.get("gt", -1) + 1 if "gt" in value else None)
    high = value.get("lte", value.get("lt", 1) - 1 if "lt" in value else None)
    if low is not None or high is not None:
        return low if low is not None else high
    if value.get("exists") is False:
        return paths.MISSING
    return value["equals"] if "equals" in value else _text(node, "x")


def _name(node: Node, usual: str) -> str:
    """A name that fits a glob."""
    return re.sub(r"[*?\[\]]", "", _text(node, usual)) or usual


_MEETS: Mapping[str, Callable[[Node, MadeUp], None]] = {
    "prompt": _meet_prompt,
    "last_message": _meet_prompt,
    "system": _meet_system,
    "model": _meet_model,
    "tools": _meet_tools,
    "tool_choice": _meet_choice,
    "stream": _meet_stream,
    "has": _meet_has,
    "header": _meet_header,
    "body": _meet_body,
}


# What a scenario would send, exchange by exchange: the very plan that a socket would play, nothing noted anywhere.
#
# Without a request of its own a preview goes through the whole script as an agent would: it answers calls, resumes
# pauses, says something more where the exchange is over, and tries again after errors.

KEY = "preview"
FUNCTION = "a Python function gives this reply"
LONG = "so long a reply is made up only when a request asks for it"
MOST_EXCHANGES = 50


class Previewed(NamedTuple):
    """One exchange: the request that was made up (or given), what it `asked` for, and the plan that answers it."""

    scenario: str | None
    turn: int
    attempt: int
    request: Mapping[str, Any]
    headers: Mapping[str, str]
    plan: Plan
    note: str
    faults: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    asked: str = "POST /v1/messages"

    @property
    def frames(self) -> Sequence[tuple[int, bytes]]:
        """Every frame with its time in microseconds after the request."""
        return list(zip(self.plan.due, self.plan.frames, strict=True))

    @property
    def reply(self) -> Mapping[str, Any]:
        """The whole reply as JSON; no fault is in it."""
        reply: dict[str, Any] = plain(sent_message(self.plan.whole) or {})
        return reply

    def as_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "scenario": self.scenario,
            "turn": self.turn,
            "attempt": self.attempt,
            "asked": self.asked,
            "request": self.request,
            "status": self.plan.status,
            "stream": self.plan.stream,
            "headers": dict(self.plan.headers),
            "frames": [{"at_ms": at / 1000, "text": frame.decode("utf-8", "replace")} for at, frame in self.frames],
            "reply": self.reply,
            "note": self.note,
            "faults": list(self.faults),
            "contradictions": list(self.contradictions),
        }


def preview(
    engine: "Engine",
    in_force: InForce,
    scenario: Scenario,
    request: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    stream: bool | None = None,
    waits: bool = True,
) -> tuple[Previewed, ...]:
    """The exchanges of a scenario; of a given request only the one that answers it, and what that does against it.
    Python functions are not called.

    `waits`: long replies are made up too, for seconds; on a server's loop nobody can wait for that.
    An overlay has none of its own.
    """
    settings = replace(
        in_force.settings,
        seed=in_force.settings.seed or 0,
        unmatched="error",
        validation=in_force.settings.validation if request is not None else "off",
        contradictions=in_force.settings.contradictions if request is not None else "off",  # it was made up for it
    )
    session = Session(KEY, engine.clock, replace(in_force, settings=settings))
    engine.add(session, scenario)
    session.move(engine.library(session), states_for(scenario))
    if not (scenario.is_overlay or scenario.endpoints & MESSAGE_ENDPOINTS):
        return _refused(engine, session, scenario, request, headers or {})
    if request is not None:
        body = dict(request) if stream is None else {**request, "stream": stream}
        return (_played(engine, session, body, {**_named(scenario, {}), **(headers or {})}, waits),)
    return () if scenario.is_overlay else tuple(_walk(engine, session, scenario, stream is not False, waits))


def _refused(
    engine: "Engine",
    session: Session,
    scenario: Scenario,
    request: Mapping[str, Any] | None,
    headers: Mapping[str, str],
) -> tuple[Previewed, ...]:
    """The errors that a scenario gives for another endpoint than those of messages, one an attempt."""
    made, own = request_for(scenario, session.in_force.profile)
    method, path = _target(scenario)
    body = _body_for(path, made) if request is None else request
    attempts = 1 if request is not None else len(scenario.turns[0].attempts or (scenario,))
    played = [_played(engine, session, body, {**own, **headers}, True, method, path) for _ in range(attempts)]
    return tuple(played)


def _named(scenario: Scenario, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with the scenario's name, where it answers only by name."""
    return {**headers, "x-mock-scenario": scenario.name} if scenario.named_only else dict(headers)


def _played(
    engine: "Engine",
    session: Session,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    waits: bool,
    method: str = "POST",
    path: str = "/v1/messages",
) -> Previewed:
    version = session.in_force.profile.default_version
    sent = {"x-api-key": KEY, "anthropic-version": version, **{name.lower(): text for name, text in headers.items()}}
    http = HttpRequest(method, path, sent, encode(dumps_in_steps(body)) if method == "POST" else b"")
    exchange = engine.answer(http, session, KEY)
    late = exchange.late
    if late is not None:
        is_ours = late.function is None
        exchange = in_place(late) if is_ours and waits else exchange._replace(note=LONG if is_ours else FUNCTION)
    return Previewed(
        exchange.scenario,
        exchange.turn,
        exchange.attempt,
        body,
        {name: text for name, text in headers.items() if name.startswith("x-mock")},
        exchange.plan,
        exchange.note,
        exchange.faults,
        exchange.contradictions,
        f"{method} {path}",
    )


def _walk(engine: "Engine", session: Session, scenario: Scenario, stream: bool, waits: bool) -> Iterator[Previewed]:
    body, headers = request_for(scenario, session.in_force.profile)
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
        return {**body, "messages": [{"role": "user", "content": f"{_text_of(messages[0])} ({last.turn + 1})"}]}
    reply = last.reply
    content = reply["content"] or [{"type": "text", "text": "…"}]
    messages = [*body["messages"], {"role": "assistant", "content": content}]
    if reply["stop_reason"] == "pause_turn":
        return {**body, "messages": messages}
    calls = [block["id"] for block in content if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": id, "content": "made up by preview"} for id in calls]
    return {**body, "messages": [*messages, {"role": "user", "content": results or "Go on."}]}


def _text_of(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])

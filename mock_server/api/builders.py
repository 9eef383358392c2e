"""Replies and conditions written in Python: plain data in the words of the YAML, checked where they are made.

Everything here returns what YAML would hold, so a dictionary does as well. A wrong value raises ScenarioError at the
call, with what is allowed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

from mock_server.scenario.answer import StopReason
from mock_server.scenario.faults import faults_of
from mock_server.scenario.load import read_answer, read_condition, read_turn

Block = dict[str, Any]
Answer = dict[str, Any]
# what add(), script(), conversation() and a reply function take: a text, a block, a list of them, or an answer
Reply = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]
ReplyFunction = Callable[..., Any]

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
]

FaultType = Literal[
    "error",
    "error_event",
    "disconnect",
    "reset",
    "empty_response",
    "stall",
    "trickle",
    "truncate",
    "garbage",
    "slow_headers",
    "html_error",
    "empty_body",
    "wrong_content_type",
    "wrong_content_length",
    "gzip",
    "edit",
    "insert",
    "malformed_json",
    "missing_event",
    "duplicate_event",
    "reorder",
    "unknown_event",
    "unknown_delta",
    "extra_fields",
    "no_usage",
    "wire",
]
TimingName = Literal["instant", "fast", "realistic", "slow"]
# what `timing=`, `fault=` and `gate=` take: a name, the keys of the YAML, or several
Timing = TimingName | Mapping[str, Any]
Faults = FaultType | Mapping[str, Any] | Sequence[FaultType | Mapping[str, Any]]
Gates = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]


class ScenarioKeys(TypedDict, total=False):
    """What `add()` takes beside its own parameters: the other keys of a scenario and of its reply, as YAML has them."""

    description: str
    rate_limits: Mapping[str, Any]
    chance: str | float
    between: Sequence[str]
    states: Mapping[str, Any]
    tags: Sequence[str]
    error: ErrorType | int | Mapping[str, Any]
    generate: bool | Mapping[str, Any]
    cases: Sequence[Mapping[str, Any]]
    expect: Mapping[str, Any]
    then: Mapping[str, Any]
    stop_reason: StopReason
    stop_sequence: str
    stop_details: Mapping[str, Any]
    max_tokens: int
    usage: Mapping[str, Any]
    model: str
    container: Mapping[str, Any]
    context_management: Mapping[str, Any]
    diagnostics: Mapping[str, Any]
    input_transformations: Sequence[Mapping[str, Any]]
    headers: Mapping[str, str]
    batch: Literal["expired", "canceled"]


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that have a value: None stands for one that is left out."""
    return {name: value for name, value in fields.items() if value is not None}


# -- content blocks -------------------------------------------------------------------------------------------------


def text(text: str, *, citations: Sequence[Mapping[str, Any]] | None = None) -> Block:
    """A text block. A bare string does as well."""
    __tracebackhide__ = True
    return _block("text", text=text, citations=citations)


def thinking(thinking: str, *, signature: str | None = None) -> Block:
    """A thinking block; it is signed unless you pin a signature: one that can be nobody's is refused on its return."""
    __tracebackhide__ = True
    return _block("thinking", thinking=thinking, signature=signature)


def template(source: str) -> Block:
    """A text block made for each request: a Jinja2 template such as `It is {{ tool_result('get_weather') }}.`"""
    __tracebackhide__ = True
    return _block("text", "template()", template=source)


def tool_use(
    name: str,
    input: Mapping[str, Any] | Literal["generated"] | None = None,
    *,
    id: str | None = None,
    input_json: str | None = None,
) -> Block:
    """A call of one of the client's tools. The id is made for each request unless you pin one.

    `input`: the arguments, or `generated`: made up for the client's schema. `input_json`: their raw text instead.
    """
    __tracebackhide__ = True
    value = input if input is not None or input_json is not None else {}
    return _block("tool_use", name=name, input=value, id=id, input_json=input_json)


def server_tool_use(name: str, input: Mapping[str, Any] | None = None, *, id: str | None = None) -> Block:
    """A call of a tool that the server runs itself, such as `web_search` or `octen_search`."""
    __tracebackhide__ = True
    return _block("server_tool_use", name=name, input={} if input is None else input, id=id)


def web_search_tool_result(content: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Block:
    """What a search found: a list of `web_search_result`, or an error object. It answers the call before it."""
    __tracebackhide__ = True
    return _block("web_search_tool_result", content=content)


def _block(type: str, called: str = "", **fields: Any) -> Block:
    """`called`: the builder, where it has another name than what it makes."""
    __tracebackhide__ = True
    block = {"type": type, **present(fields)}
    read_answer({"reply": [block], "stop_reason": "end_turn"}, called or f"{type}()")
    return block


# -- answers --------------------------------------------------------------------------------------------------------


def reply(
    *content: Reply,
    stop_reason: StopReason | None = None,
    stop_sequence: str | None = None,
    stop_details: Mapping[str, Any] | None = None,
    timing: Timing | None = None,
    max_tokens: int | None = None,
    usage: Mapping[str, Any] | None = None,
    model: str | None = None,
    container: Mapping[str, Any] | None = None,
    context_management: Mapping[str, Any] | None = None,
    diagnostics: Mapping[str, Any] | None = None,
    input_transformations: Sequence[Mapping[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
    expect: Mapping[str, Any] | None = None,
    fault: Faults | None = None,
    gate: Gates | None = None,
    then: Mapping[str, Any] | None = None,
    batch: Literal["expired", "canceled"] | None = None,
    contradicts: bool = False,
) -> Answer:
    """A reply of several blocks (or lists of them), or one that needs more than its content.

    `expect`: what the request must be like, a condition; else it gets a 400 that lists the differences. `max_tokens`:
    the limit it was written for; with this or more it is sent as it is. `model` to `input_transformations` are sent as
    they are. `then`: what comes of it, `{"state": {"service": "up"}}`. `batch`: what a request of a message batch comes
    to instead. `contradicts`: it is meant to contradict its request.
    """
    __tracebackhide__ = True
    return _answer(
        "reply()",
        reply=[block for one in content for block in (one if isinstance(one, list | tuple) else (one,))],
        stop_reason=stop_reason,
        stop_sequence=stop_sequence,
        stop_details=stop_details,
        timing=timing,
        max_tokens=max_tokens,
        usage=usage,
        model=model,
        container=container,
        context_management=context_management,
        diagnostics=diagnostics,
        input_transformations=input_transformations,
        headers=headers,
        expect=expect,
        fault=fault,
        gate=gate,
        then=then,
        batch=batch,
        contradicts=contradicts or None,
    )


def error(
    type: ErrorType | int,
    message: str | None = None,
    *,
    status: int | None = None,
    retry_after: str | None = None,
    retry_after_ms: int | None = None,
    should_retry: bool | None = None,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    then: Mapping[str, Any] | None = None,
) -> Answer:
    """An error reply: `error("overloaded_error")` or `error(529)`. `retry_after` is a duration such as `2s`.

    `then`: what comes of it, `{"state": {"service": "up"}}`.
    """
    __tracebackhide__ = True
    fields = {
        "type": None if isinstance(type, int) else type,
        "status": type if isinstance(type, int) and status is None else status,
        "message": message,
        "retry_after": retry_after,
        "retry_after_ms": retry_after_ms,
        "should_retry": should_retry,
        "details": details,
    }
    return _answer("error()", error=present(fields), headers=headers, then=then)


def attempts(*answers: "Reply | ReplyFunction") -> Answer:
    """What the first, second, … try of the same request gets: `attempts(error(529), reply("x", fault="reset"), "ok")`.

    After the last one the story begins again. Stands wherever a reply does: `add`, a turn of `script` or
    `conversation`. A try is known by the client's `x-stainless-retry-count`, else counted.
    """
    __tracebackhide__ = True
    answer = {"attempts": list(answers)}
    read_turn(answer, "attempts()")
    return answer


def generate(
    *,
    tokens: int | str | None = None,
    style: Literal["prose", "markdown", "code", "json", "list"] | None = None,
    locale: str | None = None,
    thinking: bool | None = None,
    tools: Literal["forced", "matching"] | None = None,
) -> Answer:
    """A reply made up for the request, as an unmatched one gets: honours thinking, tool_choice, schemas and limits.

    `tokens`: how long its text is, a number or a range such as `200..300`; `locale`: whose words, such as `de_DE`.
    `thinking`: whether a thought comes first, whatever the request says; `tools`: `matching` has it call the offered
    tool that fits the prompt best, once per human turn.
    """
    __tracebackhide__ = True
    wanted = {"tokens": tokens, "style": style, "locale": locale, "thinking": thinking, "tools": tools}
    return _answer("generate()", generate=present(wanted))


def fault(type: FaultType, *, after: int | Mapping[str, Any] | None = None, **keys: Any) -> Block:
    """What goes wrong with a reply: `fault("disconnect", after=5)`. `after`: a number of deltas, or a place.

    The other keys are those of the YAML; `for_` stands for `for`. Of an edit `name=None` is data alone.
    """
    __tracebackhide__ = True
    fields = {"type": type, "after": after, **{name.rstrip("_"): value for name, value in keys.items()}}
    made = {name: value for name, value in fields.items() if value is not None or (name == "name" and type == "edit")}
    faults_of(made, f"fault({type!r})")
    return made


def gate(
    name: str,
    *,
    after: int | Mapping[str, Any] | None = None,
    at: str | Mapping[str, Any] | None = None,
    ping: str | None = None,
    keepalive: str | None = None,
) -> Block:
    """Where a reply is held until `server.gates.release(name)`: between two blocks of a reply, or as its `gate`."""
    __tracebackhide__ = True
    fields = {"gate": name, "after": after, "at": at, "ping": ping, "keepalive": keepalive}
    made = present(fields)
    read_answer({"reply": "?", "gate": made}, "gate()")
    return made


def _answer(source: str, **keys: Any) -> Answer:
    __tracebackhide__ = True
    answer = present(keys)
    read_answer(answer, source)
    return answer


# -- conditions -----------------------------------------------------------------------------------------------------


class When(dict[str, Any]):
    """A condition. `a & b`: both hold, `a | b`: one does, `~a`: it does not."""

    def __and__(self, other: Mapping[str, Any]) -> "When":
        return When({"all": [dict(self), dict(other)]})

    def __or__(self, other: Mapping[str, Any]) -> "When":  # type: ignore[override]
        return When({"any": [dict(self), dict(other)]})

    def __invert__(self) -> "When":
        return When({"not": dict(self)})


def prompt(
    said: str | Sequence[str] | None = None,
    *,
    contains: str | None = None,
    equals: str | None = None,
    regex: str | None = None,
    glob: str | None = None,
    ignore_case: bool | None = None,
) -> When:
    """The text of the human turn. A bare text is contained, whatever its case; a list means any of."""
    __tracebackhide__ = True
    return _text("prompt", said, contains, equals, regex, glob, ignore_case)


def last_message(
    said: str | Sequence[str] | None = None,
    *,
    contains: str | None = None,
    equals: str | None = None,
    regex: str | None = None,
    glob: str | None = None,
    ignore_case: bool | None = None,
) -> When:
    """The newest turn, the text of tool results included."""
    __tracebackhide__ = True
    return _text("last_message", said, contains, equals, regex, glob, ignore_case)


def system(
    said: str | Sequence[str] | None = None,
    *,
    contains: str | None = None,
    equals: str | None = None,
    regex: str | None = None,
    glob: str | None = None,
    ignore_case: bool | None = None,
) -> When:
    """The system prompt."""
    __tracebackhide__ = True
    return _text("system", said, contains, equals, regex, glob, ignore_case)


def model(name: str | Sequence[str]) -> When:
    """The model asked for: a name or a glob such as `*haiku*`; a list means any of."""
    __tracebackhide__ = True
    return _when("model", name)


def tools(*names: str) -> When:
    """The tools on offer: all of these names or globs are among them."""
    __tracebackhide__ = True
    return _when("tools", list(names))


def tool_result(
    of: str | None = None,
    *,
    id: str | None = None,
    is_error: bool | None = None,
    content: Any = None,
    for_: Mapping[str, Any] | None = None,
) -> When:
    """A result that the newest user turn brings: of this tool, with this text in it. Without arguments: any.

    `for_`: the input of the call it answers, by paths, such as `{"city": "Paris"}`.
    """
    __tracebackhide__ = True
    fields = {"of": of, "for": for_, "id": id, "is_error": is_error, "content": content}
    return _when("tool_result", present(fields) or True)


def stream(wanted: bool = True) -> When:
    """Whether a stream was asked for."""
    __tracebackhide__ = True
    return _when("stream", wanted)


def tool_choice(type: str | Sequence[str] | None = None, *, name: str | None = None) -> When:
    """What the client asks of its tools: the type (auto, any, tool, none), the tool's name, or both."""
    __tracebackhide__ = True
    return _when("tool_choice", present({"type": type, "name": name}))


def has(*kinds: str) -> When:
    """A kind of content anywhere in the conversation, such as `image` or `document`: one of these."""
    __tracebackhide__ = True
    return _when("has", list(kinds))


def body(paths: Mapping[str, Any]) -> When:
    """Values at paths into the request's JSON: `{"max_tokens": {"gt": 1000}, "messages[0].role": "user"}`."""
    __tracebackhide__ = True
    return _when("body", dict(paths))


def header(name: str, value: Any = "*") -> When:
    """A request header: a name with a value, a glob, a list of them, or operators."""
    __tracebackhide__ = True
    return _when("header", {name: value})


def state(**values: str | Sequence[str]) -> When:
    """The states of the session: `state(service="down")`; a list means any of."""
    __tracebackhide__ = True
    return _when("state", values)


def endpoint(*names: str) -> When:
    """What was asked for: one of these, such as `count_tokens` or `batches.results`. At the top of a `when`."""
    __tracebackhide__ = True
    when = When({"endpoint": list(names)})
    read_condition(when, "endpoint()", of_case=False)
    return when


def _text(subject: str, text: Any, *operators: Any) -> When:
    __tracebackhide__ = True
    names = ("contains", "equals", "regex", "glob", "ignore_case")
    chosen = present(dict(zip(names, operators, strict=True)))
    if text is not None and chosen:
        raise TypeError(f"{subject}(): either a text or operators ({', '.join(chosen)}), not both")
    if text is None and not chosen:
        raise TypeError(f"{subject}(): expected a text, or one of {', '.join(names[:-1])}")
    return _when(subject, chosen if text is None else text)


def _when(subject: str, value: Any) -> When:
    __tracebackhide__ = True
    when = When({subject: value})
    read_condition(when, f"{subject}()")
    return when

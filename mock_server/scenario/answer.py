"""What a turn answers: a reply, an error, something made up, or a choice between further answers.

`mistakes()` yields what is well-formed but cannot work, as (path to the key, text).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from mock_server.protocol.blocks import Block, ToolUse, is_server_tool
from mock_server.records import dataclass, lazy
from mock_server.scenario.conditions import Condition, Then
from mock_server.scenario.decode import Reads
from mock_server.scenario.error import Failure
from mock_server.scenario.faults import Fault, Faults, Gates
from mock_server.scenario.node import Mistakes, Node, Path, Problems, kind
from mock_server.scenario.reply import GeneratedReply, Part, is_open, templates_of
from mock_server.scenario.subjects import SUBJECTS, read_case_when
from mock_server.scenario.templates import Template
from mock_server.scenario.timing import Pace, Share

StopReason = Literal[
    "end_turn",
    "tool_use",
    "pause_turn",
    "refusal",
    "stop_sequence",
    "max_tokens",
    "model_context_window_exceeded",
    "compaction",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopDetails:
    """Why a reply was refused."""

    type: Literal["refusal"] = "refusal"
    """Always `refusal`."""
    category: Literal["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"] | None = None
    """What it was refused for."""
    explanation: str | None = None
    """A sentence for people."""
    recommended_model: str | None = None
    """Which model would take it (beta)."""
    fallback_credit_token: str | None = None
    """What pays for asking that model (beta)."""
    fallback_has_prefill_claim: bool | None = None
    """Whether that model may go on from the text so far (beta)."""

    @property
    def payload(self) -> dict[str, Any]:
        """What is sent: the last three only where they are written, as only betas have them."""
        more = {name: getattr(self, name) for name in _OF_BETAS if getattr(self, name) is not None}
        return {"type": self.type, "category": self.category, "explanation": self.explanation, **more}


_OF_BETAS = ("recommended_model", "fallback_credit_token", "fallback_has_prefill_claim")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The container that a reply names. What is not written is made: a new id, an hour from now."""

    id: str | None = None
    """Its id; else that of the request, or a new one."""
    expires_at: str | None = None
    """When it ends, such as 2026-06-01T09:00:00Z; else an hour from now."""
    skills: list[Any] | None = None
    """The skills in it: a list of {type, skill_id, version}."""

    @property
    def payload(self) -> dict[str, Any]:
        """What is written of it."""
        written = {"id": self.id, "expires_at": self.expires_at, "skills": self.skills}
        return {name: value for name, value in written.items() if value is not None}


Function = Callable[[Any], Any]


def _read_function(node: Node, problems: Problems) -> Function | None:
    if callable(node.value):
        function: Function = node.value
        return function
    problems.add(node, "a function as a reply can be given only from Python: add(function)")
    return None


def name_of(function: Function) -> str:
    """What a function is called in messages."""
    return str(getattr(function, "__qualname__", None) or repr(function))


# counter -> what its value is (docs/protocol.md C.2)
COUNTERS: Mapping[str, type] = {
    **dict.fromkeys(("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"), int),
    "full_content_extra_count": int,
    **dict.fromkeys(("cache_creation", "output_tokens_details", "server_tool_use"), dict),
    **dict.fromkeys(("service_tier", "inference_geo", "speed"), str),
    "iterations": list,
    "fallback_credit": dict,
}
_NOUNS: Mapping[type, str] = {int: "a whole number from 0 up", dict: "a mapping", str: "text", list: "a list"}


def _read_usage(node: Node, problems: Problems) -> Mapping[str, Any] | None:
    """Counters that a script sets by hand."""
    if not isinstance(node.value, dict):
        problems.add(node, f"expected counters such as {{input_tokens: 5}}, got {kind(node)}")
        return None
    usage: Mapping[str, Any] = node.plain()
    for name, value in usage.items():
        known = COUNTERS.get(name)
        if known is None:
            problems.add_key(node, name, f"unknown counter '{name}'{problems.one_of(name, COUNTERS)}")
        elif value is None:  # as a recording may have it
            continue
        elif not isinstance(value, known) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
            problems.add(node.find((name,)), f"expected {_NOUNS[known]}, got {kind(node.value[name])}")
    return usage


Usage = Annotated[Mapping[str, Any], Reads(_read_usage)]


_KINDS = ("reply", "error", "generate", "cases", "attempts")
# what may stand at the top level of a scenario instead of inside its only turn
ANSWER_KEYS = (
    *_KINDS,
    *("expect", "fault", "gate", "then", "stop_reason", "stop_sequence", "stop_details", "max_tokens", "usage"),
    *("model", "container", "context_management", "diagnostics", "input_transformations", "headers", "batch"),
)
# what belongs beside a reply and nowhere else
_BESIDE_REPLY = (
    *("stop_reason", "stop_sequence", "stop_details", "max_tokens", "usage", "model"),
    *("container", "context_management", "diagnostics", "input_transformations"),
)


_BESIDE = ("then", "expect", "headers", "batch", *_BESIDE_REPLY)  # what none of them has by itself


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A turn, a case of a turn, or an attempt: a reply, an error, or a choice between further answers."""

    empty: ClassVar[tuple[str, ...]] = _BESIDE_REPLY
    usual: ClassVar[tuple[str, ...]] = (
        *("reply", "error", "when", "cases", "attempts", "timing", "fault", "stop_reason", "usage", "expect"),
    )
    elsewhere: ClassVar[Mapping[str, str]] = {
        **{word: f"it is a condition and stands in when: {{{word}: …}}" for word in SUBJECTS if word != "model"},
        **dict.fromkeys(
            ("turns", "name", "description", "priority", "anchor", "at_end", "times", "rate_limits", "tags"),
            "it belongs to the scenario; a turn, a case or an attempt is one answer",
        ),
    }
    when: Annotated[Condition, Reads(read_case_when)] | None = None
    """The condition of a case; the first case that holds wins. Here `turn` and `attempt` can be asked too."""
    chance: Share | None = None
    """How often a case is taken, such as 20%: drawn once a request, from the seed."""
    expect: Annotated[Condition, Reads(read_case_when)] | None = None
    """What the request must be like, in the words of `when`; else a 400 that lists the differences."""
    reply: tuple[Part, ...] | None = None
    """A text, a block, or a list of them. The API's own JSON is always a valid block."""
    error: Failure | None = None
    """An error instead: its type, its status, or {type, message, retry_after, …}."""
    generate: GeneratedReply | None = None
    """A reply made up for the request: {tokens: 200..300, style: markdown}."""
    call: Annotated[Function, Reads(_read_function)] | None = field(default=None, metadata={"unlisted": True})
    cases: "tuple[Answer, ...] | None" = None
    """Answers that depend on the request: the first whose `when` holds."""
    attempts: "tuple[Answer, ...] | None" = None
    """What the first, second, … try of the same request gets."""
    timing: Pace | None = None
    """The pace of this answer."""
    fault: Faults | None = None
    """What goes wrong with this reply: a fault by name, {type: disconnect, after: {deltas: 5}}, or a list."""
    gate: Gates | None = None
    """Where this reply is held until a test lets it go on: a name, or {name, after, ping}."""
    then: Then | None = None
    """What comes of it: {state: {service: up}} moves states of the session, once, when it is given."""
    stop_reason: StopReason | None = None
    """Why it ends, where the blocks do not say so by themselves."""
    stop_sequence: str | None = None
    """The stop sequence that ended it."""
    stop_details: StopDetails | None = None
    """Why it was refused: {category: cyber, explanation: …}."""
    max_tokens: int | None = None
    """The limit it was written for: with this or more it is sent as it is, with less it is cut."""
    usage: Usage | None = None
    """Counters to send instead of the reckoned ones."""
    model: str | None = None
    """The model that the reply names, where it is not the one asked for."""
    container: Container | None = None
    """The container it names: {id, expires_at, skills}; what is left out is made."""
    context_management: Mapping[str, Any] | None = None
    """The edits it reports: {applied_edits: […]}."""
    diagnostics: Mapping[str, Any] | None = None
    """Why the prompt missed the cache: {cache_miss_reason: …}."""
    input_transformations: list[Any] | None = None
    """What was done to the input, as a list."""
    headers: Mapping[str, Any] = field(default_factory=dict)
    """More headers of the reply."""
    batch: Literal["expired", "canceled"] | None = None
    """What a request of a message batch comes to instead: expired or canceled."""
    contradicts: bool = False
    """Whether the reply is meant to contradict its request, such as a call of a tool that is not offered."""

    @property
    def inner(self) -> "list[tuple[Path, Answer]]":
        """The answers that it is a choice between, each with the way there."""
        return [((key, at), one) for key in ("cases", "attempts") for at, one in enumerate(getattr(self, key) or ())]

    @property
    def leaves(self) -> "tuple[Answer, ...]":
        """The replies and errors this answer can come to."""
        return tuple(leaf for _, one in self.inner for leaf in one.leaves) or (self,)

    @property
    def every(self) -> "Iterator[Answer]":
        """This answer and all inside it."""
        yield self
        for _, one in self.inner:
            yield from one.every

    @lazy
    def is_open(self) -> bool:
        """Whether its reply is made for each request."""
        return self.reply is not None and is_open(self.reply)

    @property
    def templates(self) -> tuple[Template, ...]:
        """Every template of the reply or error."""
        messages = () if self.error is None else (self.error.message,)
        return (*templates_of(self.reply or ()), *templates_of(messages))

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What happens to its reply: gates, whose places are those of the whole reply, then faults."""
        return (*(self.gate or ()), *(self.fault or ()))

    @property
    def ending(self) -> str:
        """The stop reason of a reply: the one written, else what its blocks ask for."""
        if self.stop_reason is not None:
            return self.stop_reason
        if self.stop_sequence is not None:
            return "stop_sequence"
        if self.stop_details is not None:
            return "refusal"
        return "tool_use" if any(block.type == "tool_use" for block in self.reply or ()) else "end_turn"

    @property
    def can_end(self) -> bool:
        """Whether the exchange can be over after this reply. What is made late or made up may do anything."""
        if self.call is not None or self.generate is not None:
            return True
        return self.reply is not None and self.ending not in ("tool_use", "pause_turn")

    def mistakes(self) -> Mistakes:
        kinds = [key for key in (*_KINDS, "call") if getattr(self, key) is not None]
        if len(kinds) != 1:
            beside = next((key for key in _BESIDE if getattr(self, key) not in (None, {})), None)
            none = f"got none of them, and '{beside}' stands beside one" if beside else "got none of them"
            found = f"got {' and '.join(kinds)}" if kinds else none
            yield ((kinds[1],) if kinds else ()), f"expected exactly one of {', '.join(_KINDS)}; {found}"
        for key in ("cases", "attempts"):
            if getattr(self, key) == ():
                yield (key,), f"{key} must not be empty"
        yield from self._misplaced()
        yield from self._chances()
        yield from self._nesting()
        if self.reply is not None:
            yield from _reply_mistakes(self.reply, self.ending)

    def _misplaced(self) -> Mistakes:
        for key in _BESIDE_REPLY:
            if self.reply is None and getattr(self, key) is not None:
                yield (key,), f"'{key}' belongs beside a reply"
        if self.contradicts and self.error is not None:
            yield ("contradicts",), "'contradicts' belongs beside a reply"
        if self.batch is not None and (self.cases or self.attempts):
            yield ("batch",), "'batch' belongs beside a reply or an error"
        if self.stop_sequence is not None and self.ending != "stop_sequence":
            yield ("stop_sequence",), f"a stop_sequence with stop_reason {self.ending}"
        if self.stop_details is not None and self.ending != "refusal":
            yield ("stop_details",), f"stop_details with stop_reason {self.ending}; it belongs to a refusal"
        if self.max_tokens is not None and self.max_tokens < 1:
            yield ("max_tokens",), "max_tokens is 1 or more"
        if self.context_management is not None and not isinstance(self.context_management.get("applied_edits"), list):
            yield ("context_management",), "context_management tells a list of applied_edits, which may be empty"
        for name, value in self.headers.items():
            if not isinstance(value, str):
                yield ("headers", name), "expected text; write the value in quotes"
            elif not value.isprintable() or not name.isascii():
                yield ("headers", name), "a header is one line of printable text"

    def _chances(self) -> Mistakes:
        """Cases with a chance share one draw; those that always stand for it must leave room for one another."""
        total = 0.0
        for at, case in enumerate(self.cases or ()):
            if case.chance is not None and case.when is None:
                total += case.chance
                if total > 1.000_001:
                    yield ("cases", at, "chance"), f"the chances of these cases add up to {total:.0%}; 100% at most"
            elif case.chance is None and case.when is None and total > 0.999_999:
                yield ("cases", at), "this case can never be reached: the chances before it add up to 100%"

    def _nesting(self) -> Mistakes:
        for at, case in enumerate(self.cases or ()):
            if case.cases is not None:
                yield ("cases", at, "cases"), "a case may hold attempts, not cases"
            if case.when is None and case.chance is None and at + 1 < len(self.cases or ()):
                text = f"this case can never be reached: case {at + 1} has neither when nor chance; put that one last"
                yield ("cases", at + 1), text
        for at, attempt in enumerate(self.attempts or ()):
            if attempt.cases is not None or attempt.attempts is not None:
                yield ("attempts", at), "an attempt is a reply or an error"
            for key in ("when", "chance"):
                if getattr(attempt, key) is not None:
                    yield ("attempts", at, key), f"attempts are taken in order; '{key}' belongs to cases"


def _reply_mistakes(reply: tuple[Block, ...], ending: str) -> Mistakes:
    if ending == "pause_turn" and not any(is_server_tool(block.type) for block in reply):
        yield ("stop_reason",), "a reply that pauses must hold a server tool's block (server_tool_use)"
    if ending == "tool_use" and not any(block.type == "tool_use" for block in reply):
        yield ("stop_reason",), "stop_reason tool_use without a tool_use block"
    pinned = [block.id for block in reply if isinstance(block, ToolUse) and block.id is not None]
    if len(set(pinned)) != len(pinned):
        yield ("reply",), "two blocks have the same id"

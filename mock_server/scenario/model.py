"""A scenario as typed data. These classes are the description of the language: the loader reads what they say.

`mistakes()` yields what is well-formed but cannot work, as (path to the key, text).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

from mock_server.protocol import marks
from mock_server.protocol.blocks import Block, McpToolResult, McpToolUse, ServerToolUse, ToolUse, is_server_tool
from mock_server.protocol.errors import STATUS, TYPE
from mock_server.protocol.lazy import lazy
from mock_server.protocol.profile import Limits
from mock_server.protocol.results import WebSearchToolResult
from mock_server.scenario.decode import Reads, decode
from mock_server.scenario.durations import Chunk, Duration, Rate, Share
from mock_server.scenario.match import Condition, Named
from mock_server.scenario.node import Node, Problems, suggestion
from mock_server.scenario.when import read_case_when, read_when

Mistakes = Iterator[tuple[tuple[str | int, ...], str]]
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
class Timing:
    """The pace of a reply: time to the first event, then a gap between deltas or a rate in tokens per second."""

    first: Duration = 0
    gap: Duration | None = None
    rate: Rate | None = None
    jitter: Share = 0.0
    chunk: Chunk = "token"

    def mistakes(self) -> Mistakes:
        if self.gap is not None and self.rate is not None:
            yield ("rate",), "a pace is either a gap or a rate, not both"


PRESETS: Mapping[str, Timing] = {
    "instant": Timing(),
    "fast": Timing(first=50_000, rate=200.0),
    "realistic": Timing(first=400_000, rate=80.0, jitter=0.2),
    "slow": Timing(first=2_000_000, rate=15.0, jitter=0.3),
}


def _read_timing(node: Node, problems: Problems) -> Timing | None:
    """A preset by name, or the keys of a timing."""
    if not isinstance(node.value, str):
        timing: Timing | None = decode(Timing, node, problems)
        return timing
    if node.value not in PRESETS:
        close = suggestion(node.value, PRESETS)
        problems.add(node, f"unknown timing '{node.value}'; expected one of {', '.join(PRESETS)} or a mapping{close}")
    return PRESETS.get(node.value)


Pace = Annotated[Timing, Reads(_read_timing)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error reply. Written `error: overloaded_error`, `error: 529` or with these keys."""

    noun: ClassVar[str] = "error"
    type: str | None = None
    status: int | None = None
    message: str | None = None
    retry_after: Duration | None = None
    retry_after_ms: int | None = None
    should_retry: bool | None = None
    details: Mapping[str, Any] | None = None

    def mistakes(self) -> Mistakes:
        if self.type is None and self.status is None:
            yield (), f"an error needs a type (one of {', '.join(STATUS)}) or a status"
        if self.status is not None and not 400 <= self.status <= 599:
            yield ("status",), f"an error status is 400 to 599, got {self.status}"
        elif self.type is None and self.status is not None and self.status not in TYPE:
            yield ("status",), f"status {self.status} has no error type of its own; add a type"
        if self.type is not None and self.type not in STATUS and self.status is None:
            expected = f"expected one of {', '.join(STATUS)}, or a status beside it{suggestion(self.type, STATUS)}"
            yield ("type",), f"unknown error type '{self.type}'; {expected}"

    @property
    def error_type(self) -> str:
        return self.type if self.type is not None else TYPE[self.status or 500]

    @property
    def http_status(self) -> int:
        return self.status if self.status is not None else STATUS.get(self.error_type, 400)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopDetails:
    """Why a reply was refused."""

    type: Literal["refusal"] = "refusal"
    category: Literal["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"] | None = None
    explanation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """A reply made up for its request, as an unmatched one is; `tokens` is the length of its text."""

    noun: ClassVar[str] = "generate"
    tokens: int | None = None

    def mistakes(self) -> Mistakes:
        if self.tokens is not None and not 1 <= self.tokens <= 1_000_000:
            yield ("tokens",), f"tokens is 1 to 1,000,000, got {self.tokens}"


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


_KINDS = ("reply", "error", "generate", "cases", "attempts")
# what may stand at the top level of a scenario instead of inside its only turn
ANSWER_KEYS = (*_KINDS, "stop_reason", "stop_sequence", "stop_details", "usage", "headers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A turn, a case of a turn, or an attempt: a reply, an error, or a choice between further answers."""

    when: Annotated[Condition, Reads(read_case_when)] | None = None
    reply: tuple[Block, ...] | None = None
    error: Failure | None = None
    generate: Generate | None = None
    call: Annotated[Function, Reads(_read_function)] | None = field(default=None, metadata={"unlisted": True})
    cases: "tuple[Answer, ...] | None" = None
    attempts: "tuple[Answer, ...] | None" = None
    timing: Pace | None = None
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: Mapping[str, Any] | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def leaves(self) -> "tuple[Answer, ...]":
        """The replies and errors this answer can come to."""
        inner = self.cases or self.attempts
        return tuple(leaf for one in inner for leaf in one.leaves) if inner else (self,)

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
        given = [kind for kind in (*_KINDS, "call") if getattr(self, kind) is not None]
        if len(given) != 1:
            found = f"got {' and '.join(given)}" if given else "got none of them"
            yield ((given[1],) if given else ()), f"expected exactly one of {', '.join(_KINDS)}; {found}"
        for kind in ("cases", "attempts"):
            if getattr(self, kind) == ():
                yield (kind,), f"{kind} must not be empty"
        yield from self._misplaced()
        yield from self._nesting()
        if self.reply is not None:
            yield from _reply_mistakes(self.reply, self.ending)

    def _misplaced(self) -> Mistakes:
        for key in ("stop_reason", "stop_sequence", "stop_details", "usage"):
            if self.reply is None and getattr(self, key) is not None:
                yield (key,), f"'{key}' belongs beside a reply"
        if self.stop_sequence is not None and self.ending != "stop_sequence":
            yield ("stop_sequence",), f"a stop_sequence with stop_reason {self.ending}"
        if self.stop_details is not None and self.ending != "refusal":
            yield ("stop_details",), f"stop_details with stop_reason {self.ending}; it belongs to a refusal"
        yield from usage_mistakes(self.usage or {})
        for name, value in self.headers.items():
            if not isinstance(value, str):
                yield ("headers", name), "expected text; write the value in quotes"
            elif not value.isprintable() or not name.isascii():
                yield ("headers", name), "a header is one line of printable text"

    def _nesting(self) -> Mistakes:
        for at, case in enumerate(self.cases or ()):
            if case.cases is not None:
                yield ("cases", at, "cases"), "a case may hold attempts, not cases"
            if case.when is None and at + 1 < len(self.cases or ()):
                yield ("cases", at + 1), f"this case can never be reached: case {at + 1} has no when"
        for at, attempt in enumerate(self.attempts or ()):
            if attempt.cases is not None or attempt.attempts is not None:
                yield ("attempts", at), "an attempt is a reply or an error"
            if attempt.when is not None:
                yield ("attempts", at, "when"), "attempts are taken in order; 'when' belongs to cases"


# counter -> whether it is a number, an object of numbers, or a text (protocol notes C.2)
_COUNTERS: Mapping[str, type] = {
    **dict.fromkeys(("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"), int),
    "full_content_extra_count": int,
    **dict.fromkeys(("cache_creation", "output_tokens_details", "server_tool_use"), dict),
    **dict.fromkeys(("service_tier", "inference_geo", "speed"), str),
    "iterations": list,
    "fallback_credit": dict,
}
_NOUNS: Mapping[type, str] = {int: "a whole number from 0 up", dict: "a mapping", str: "text", list: "a list"}


def usage_mistakes(usage: Mapping[str, Any]) -> Mistakes:
    """What is wrong with counters that a script sets by hand."""
    for name, value in usage.items():
        kind = _COUNTERS.get(name)
        if kind is None:
            close = suggestion(name, _COUNTERS)
            yield ("usage", name), f"unknown counter '{name}'; expected one of {', '.join(_COUNTERS)}{close}"
        elif not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
            yield ("usage", name), f"expected {_NOUNS[kind]}"


def _reply_mistakes(reply: tuple[Block, ...], ending: str) -> Mistakes:
    if ending == "pause_turn" and not any(is_server_tool(block.type) for block in reply):
        yield ("stop_reason",), "a reply that pauses must hold a server tool's block (server_tool_use)"
    if ending == "tool_use" and not any(block.type == "tool_use" for block in reply):
        yield ("stop_reason",), "stop_reason tool_use without a tool_use block"
    pinned = [block.id for block in reply if isinstance(block, ToolUse) and block.id is not None]
    if len(set(pinned)) != len(pinned):
        yield ("reply",), "two blocks have the same id"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One YAML document: when it answers, and what, turn by turn."""

    shorthand: ClassVar[tuple[str, ...]] = ANSWER_KEYS

    name: str
    description: str = ""
    when: Annotated[Condition, Reads(read_when)] | None = None
    turns: tuple[Answer, ...] = ()
    timing: Pace | None = None
    priority: int = 0
    anchor: Literal["prompt", "conversation", "session"] | None = None
    at_end: Literal["pass", "repeat", "loop", "error"] = "pass"
    times: int | None = None
    rate_limits: Limits | None = None
    source: str = field(default="", metadata={"hidden": True})
    data: Any = field(default=None, repr=False, compare=False, metadata={"hidden": True})  # as the author wrote it

    @lazy
    def tag(self) -> str:
        """What names this scenario inside ids."""
        return marks.tag(self.name)

    @lazy
    def named_only(self) -> bool:
        return isinstance(self.when, Named)

    @lazy
    def counts_attempts(self) -> tuple[bool, ...]:
        """For each turn, whether it can answer the same request differently the next time."""
        return tuple(turn.attempts is not None or turn.cases is not None for turn in self.turns)

    @lazy
    def anchored_at(self) -> str:
        """Where counting starts: what is written, else the first human turn when a turn before the last can end."""
        if self.anchor is not None:
            return self.anchor
        return "conversation" if self._first_end() is not None else "prompt"

    def _first_end(self) -> int | None:
        """The first turn before the last that can end the exchange, from 0."""
        for at, turn in enumerate(self.turns[:-1]):
            if any(leaf.can_end for leaf in turn.leaves):
                return at
        return None

    def pauses(self, position: int) -> bool:
        """Whether the turn at this position (from 1) can end in pause_turn."""
        if not 1 <= position <= len(self.turns):
            return False
        return any(leaf.reply is not None and leaf.ending == "pause_turn" for leaf in self.turns[position - 1].leaves)

    def mistakes(self) -> Mistakes:
        if not self.name.strip() or any(sign in self.name for sign in "[]\n"):
            yield ("name",), "a name is one line without brackets"
        if not self.turns:
            yield (), "a scenario needs turns, or a reply or error of its own"
        if self.times is not None and self.times < 1:
            yield ("times",), "times is 1 or more"
        end = self._first_end()
        if self.anchor == "prompt" and end is not None:
            yield (
                ("anchor",),
                (f"with anchor: prompt turn {end + 2} can never be reached: turn {end + 1} ends the exchange"),
            )
        for at, turn in enumerate(self.turns):
            if turn.when is not None:
                yield ("turns", at, "when"), "a turn has no when of its own; put it in cases"
            yield from self._pinned(at, turn)
        yield from self._calls()

    def _pinned(self, at: int, turn: Answer) -> Mistakes:
        ids = [block.id for leaf in turn.leaves for block in leaf.reply or () if isinstance(block, ToolUse)]
        if any(ids) and (self.at_end in ("repeat", "loop")):
            yield ("turns", at), f"a pinned id may stand only in a turn played once; at_end is {self.at_end}"

    def _calls(self) -> Mistakes:
        """Every result of a server's tool needs a call before it, in its reply or in an earlier turn."""
        called = False
        for at, turn in enumerate(self.turns):
            for leaf in turn.leaves:
                for block in leaf.reply or ():
                    called = called or isinstance(block, ServerToolUse | McpToolUse)
                    is_result = isinstance(block, WebSearchToolResult | McpToolResult)
                    if is_result and getattr(block, "tool_use_id", None) is None and not called:
                        yield ("turns", at), f"{block.type} without a server_tool_use before it"


def inherit(scenario: Scenario) -> Scenario:
    """The scenario with timing and headers written out on every reply and error: the inner one wins."""

    def resolve(answer: Answer, timing: Timing | None, headers: Mapping[str, Any]) -> Answer:
        timing = answer.timing or timing
        headers = {**headers, **answer.headers}
        inner: dict[str, Any] = {
            kind: tuple(resolve(one, timing, headers) for one in listed)
            for kind in ("cases", "attempts")
            if (listed := getattr(answer, kind)) is not None
        }
        return replace(answer, timing=timing, headers=headers, **inner)

    return replace(scenario, turns=tuple(resolve(turn, scenario.timing, {}) for turn in scenario.turns))


def lifted(scenario: Scenario) -> Scenario:
    """A scenario that answered only when named, answering every request."""
    return replace(scenario, when=None) if scenario.named_only else scenario

"""A scenario as typed data. These classes are the description of the language: the loader reads what they say."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, is_dataclass, replace
from random import Random
from typing import Annotated, Any, ClassVar, Literal, NamedTuple
from urllib.parse import quote

from mock_server.protocol import signing
from mock_server.protocol.blocks import McpToolResult, McpToolUse, ServerToolUse, ToolUse, WebSearchToolResult
from mock_server.protocol.chunk import Burst, Bytes, Chunk
from mock_server.protocol.message import Message, events
from mock_server.protocol.plan import AT_ONCE, JSON_HEADERS, Part, Plan, whole
from mock_server.protocol.profile import Limits
from mock_server.protocol.sse import dumps, encode, frame
from mock_server.records import dataclass, lazy
from mock_server.scenario.answer import ANSWER_KEYS, Answer
from mock_server.scenario.conditions import NO_STATES, Condition, OnlyNamed, States, endpoints_of, read_states
from mock_server.scenario.decode import Reads
from mock_server.scenario.error import Failure
from mock_server.scenario.faults import (
    MOST_APART,
    Effort,
    Fault,
    Faults,
    Gates,
    applied,
    behind,
    label,
    rank,
    reason_of,
)
from mock_server.scenario.faults.place import CannotApply, Site
from mock_server.scenario.node import Mistakes, Path, suggestion
from mock_server.scenario.reply import MOST_TOKENS, generated_in
from mock_server.scenario.subjects import MESSAGE_ENDPOINTS, OF_ALL, PROMPT_ENDPOINTS, SUBJECTS, read_when
from mock_server.scenario.timing import Between, Pace, Share, Timing, misfit

SIDE = "side"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One YAML document: when it answers, and what, turn by turn."""

    shorthand: ClassVar[tuple[str, ...]] = ANSWER_KEYS
    empty: ClassVar[tuple[str, ...]] = ()
    usual: ClassVar[tuple[str, ...]] = (
        *("name", "when", "reply", "turns", "error", "cases", "attempts", "timing", "fault", "priority"),
    )
    elsewhere: ClassVar[Mapping[str, str]] = {
        word: f"it is a condition and stands in when: {{{word}: …}}" for word in SUBJECTS if word not in ANSWER_KEYS
    }
    examples: ClassVar[Mapping[str, str]] = {"name": "give it one of its own, such as name: greeting"}

    name: str
    """What it is called: in errors, in the journal, and by clients that ask for it by name."""
    description: str = ""
    """One line for people: lists, the page, the docs."""
    when: Annotated[Condition, Reads(read_when)] | None = None
    """Which requests it answers: every condition must hold. `named`: only those that name it. Left out: all."""
    turns: tuple[Answer, ...] = ()
    """What it answers, position by position; the position is read from the conversation."""
    timing: Pace | None = None
    """The pace: instant, fast, realistic, slow, or {first: 400ms, rate: 80/s}. Inner ones win whole."""
    priority: int = 0
    """Higher is asked first; the default is 0."""
    anchor: Literal["prompt", "conversation", "session"] | None = None
    """Where positions are counted from: the newest prompt, the conversation's first, or the session."""
    at_end: Literal["pass", "repeat", "loop", "error"] = "pass"
    """Past the last turn: pass on (default), repeat the last, loop, or error."""
    times: int | None = None
    """How many exchanges may begin; those under way always go on."""
    rate_limits: Limits | None = None
    """Limits of its own, beside those of the profile: a 429 past them."""
    contradicts: bool = False
    """Whether its replies are meant to contradict their requests, such as by a call of a tool that is not offered."""
    chance: Share | None = None
    """Of an overlay: how often it strikes, such as 20%, drawn from the seed and the request."""
    fault: Faults | None = None
    """Without turns: what it lays over the replies of others."""
    gate: Gates | None = None
    """Without turns: where it holds the replies of others."""
    between: Between | None = None
    """Of an overlay: when it strikes, such as [10s, 25s] of the session's time since it was added."""
    states: Annotated[States, Reads(read_states)] = field(default_factory=lambda: NO_STATES)
    """The states that its conditions and answers name; at the top of a file they are those of all its scenarios."""
    tags: tuple[str, ...] = ()
    """Words to sort scenarios by. One has a meaning: `side` marks the scenarios for side calls of agents."""
    source: str = field(default="", metadata={"hidden": True})
    of_library: bool = field(default=False, metadata={"hidden": True})  # written without a request in mind
    data: Any = field(default=None, repr=False, compare=False, metadata={"hidden": True})  # as the author wrote it

    @lazy
    def tag(self) -> str:
        """What names this scenario inside ids."""
        return signing.tag(self.name)

    @lazy
    def header(self) -> tuple[str, str]:
        """The header that says which scenario answered; a header holds ASCII only."""
        return "x-mock-scenario", quote(self.name, safe=" !#$&'()*+,/:;=?@~")

    @lazy
    def is_overlay(self) -> bool:
        """Whether it answers nothing itself, and changes the replies of other scenarios."""
        return not self.turns

    @property
    def strikes(self) -> tuple[str, ...]:
        """What an overlay does to replies, in words."""
        pace = () if self.timing is None else ("timing",)
        return (*(label(one) for one in (*(self.gate or ()), *(self.fault or ()))), *pace)

    @lazy
    def endpoints(self) -> frozenset[str]:
        """What it is for; where it does not say, for whatever replies with a message."""
        named = endpoints_of(self.when)
        return MESSAGE_ENDPOINTS if named is None else named

    @lazy
    def named_only(self) -> bool:
        return isinstance(self.when, OnlyNamed)

    @lazy
    def is_side_call(self) -> bool:
        """Whether it answers side calls of agents: tried before a named scenario, and left out of what tests count."""
        return SIDE in self.tags

    @lazy
    def counts_attempts(self) -> tuple[bool, ...]:
        """For each turn, whether it can answer the same request differently the next time."""
        return tuple(turn.attempts is not None or turn.cases is not None for turn in self.turns)

    @lazy
    def counts(self) -> bool:
        """Whether anything is counted when it answers, but for the exchanges that `times` limits."""
        return self.draws or any(self.counts_attempts) or self.anchored_at == "session"

    @lazy
    def expects(self) -> bool:
        """Whether any of its turns says what the request must look like."""
        return any(answer.expect is not None for turn in self.turns for answer in turn.every)

    @lazy
    def moves(self) -> bool:
        """Whether any of its answers can move states; what a function gives may."""
        leaves = [leaf for turn in self.turns for leaf in turn.leaves]
        return any(leaf.then is not None or leaf.call is not None for leaf in leaves)

    @lazy
    def draws(self) -> bool:
        """Whether chance decides anything in it."""
        return any(case.chance is not None for turn in self.turns for case in turn.cases or ())

    @lazy
    def pinned(self) -> Mapping[str, int]:
        """The ids of calls that stand in one turn only -> its position, from 1."""
        found: dict[str, int] = {}
        several: set[str] = set()
        for at, turn in enumerate(self.turns, 1):
            calls = (block for leaf in turn.leaves for block in leaf.reply or () if isinstance(block, ToolUse))
            for id in (block.id for block in calls if block.id is not None):
                if found.setdefault(id, at) != at:
                    several.add(id)
        return {id: at for id, at in found.items() if id not in several}

    @lazy
    def anchored_at(self) -> str:
        """Where counting starts: what is written, else the first human turn when a turn before the last can end."""
        if self.anchor is not None:
            return self.anchor
        return "conversation" if self._first_end() is not None else "prompt"

    @lazy
    def opening(self) -> Answer | None:
        """What it answers a conversation's first message with, where nothing is counted or asked for that."""
        first = self.turns[0]
        is_fixed = first.cases is None and first.attempts is None and self.times is None
        return first if is_fixed and self.anchored_at != "session" else None

    def _first_end(self) -> int | None:
        """The first turn before the last that can end the exchange, from 0."""
        ends = (at for at, turn in enumerate(self.turns[:-1]) if any(leaf.can_end for leaf in turn.leaves))
        return next(ends, None)

    def pauses(self, position: int) -> bool:
        """Whether the turn at this position (from 1) can end in pause_turn."""
        if not 1 <= position <= len(self.turns):
            return False
        return any(leaf.reply is not None and leaf.ending == "pause_turn" for leaf in self.turns[position - 1].leaves)

    def mistakes(self) -> Mistakes:
        if not self.name.strip() or any(sign in self.name for sign in "[]\n"):
            yield ("name",), "a name is one line without brackets"
        if not self.turns:
            yield from self._as_overlay()
        else:
            if self.chance is not None:
                yield ("chance",), "a scenario with turns has no chance of its own; put it on cases"
            if self.between is not None:
                yield ("between",), "'between' belongs to an overlay; this scenario has turns"
        if self.times is not None and self.times < 1:
            yield ("times",), "times is 1 or more"
        end = self._first_end()
        if self.anchor == "prompt" and end is not None:
            text = f"with anchor: prompt turn {end + 2} can never be reached: turn {end + 1} ends the exchange"
            yield ("anchor",), text
        for at, turn in enumerate(self.turns):
            if turn.when is not None:
                yield ("turns", at, "when"), "a turn has no when of its own; put it in cases"
            yield from self._pinned(at, turn)
        for at, tag in enumerate(self.tags):
            if not re.fullmatch(r"[\w.-]+", tag):
                yield ("tags", at), f"a tag is one word, got {tag!r}"
        if self.is_side_call and (self.when is None or self.named_only):
            yield ("tags",), "a scenario of side calls is asked before any name, so it needs a when of its own"
        yield from self._beside()
        yield from self._calls()
        yield from self._captures()
        yield from self._misfits()
        yield from self._replays()
        yield from self._sizes()

    def _as_overlay(self) -> Mistakes:
        """An overlay has something to lay over, and nothing that only a script has."""
        if self.fault is None and self.gate is None and self.timing is None:
            yield (), "a scenario needs turns, or a reply or error of its own"
        for key in _SCRIPTED:
            if getattr(self, key) not in (None, "pass", False):
                yield (key,), f"'{key}' belongs to a scenario with turns; this one is an overlay"
        if self.named_only:
            yield ("when",), "an overlay cannot be named; say which requests it is for, or leave `when` out"

    def _beside(self) -> Mistakes:
        """What only replies that are messages have, in a scenario for other endpoints: there it gives an error."""
        others = self.endpoints - MESSAGE_ENDPOINTS
        if not others or self.when is None:
            if not self.endpoints:
                yield ("when",), "no request comes to all of these endpoints"
            return
        endpoint = next(iter(sorted(others)))
        if not others <= PROMPT_ENDPOINTS and (wrong := sorted(self.when.subjects - {*OF_ALL})):
            without = ", ".join(sorted(others - PROMPT_ENDPOINTS))
            yield ("when",), f"'{wrong[0]}' cannot be asked of {without}: only {', '.join(OF_ALL)}"
        for key in ("timing", "rate_limits", "anchor"):
            if getattr(self, key) is not None:
                yield (key,), f"'{key}' is of messages; {endpoint} has none"
        plans = [*([_ANYTHING] if others - {_BY_LINES} else []), *([_LINES] if _BY_LINES in others else [])]
        for fault in () if self.endpoints & MESSAGE_ENDPOINTS else self.fault or ():
            reasons = [_misfit(fault, plan) for plan in plans]
            if all(reasons):
                yield ("fault",), f"{reasons[0]} ({endpoint})"
        if len(self.turns) > 1:
            yield ("turns", 1), f"{endpoint} has no conversation: one turn; or attempts, for one request after another"
        for turn in self.turns:
            inside = ((one.path, one.answer) for one in _standing(turn, ("turns", 0)) if one.answer is not turn)
            for path, answer in ((("turns", 0), turn), *inside):
                for key, what in _of_messages(answer):
                    text = f"{what} is of messages; {endpoint} can have an error only, or attempts of errors"
                    yield (*path, key), text

    def _leaves(self) -> "Iterator[_Leaf]":
        """Every reply and error, and what it stands under."""
        groups = frozenset() if self.when is None else self.when.groups
        for at, turn in enumerate(self.turns):
            yield from _standing(turn, ("turns", at), groups, self.timing)

    def _replays(self) -> Mistakes:
        """A recorded timeline must be that of the replies it stands for, where these are known."""
        for leaf in self._leaves():
            reply = leaf.answer.reply
            if leaf.timing is not None and reply is not None and not leaf.answer.is_open:
                wrong = misfit(leaf.timing, reply)
                if wrong is not None:
                    yield (*leaf.paced_at, "timing", "replay"), wrong

    def _sizes(self) -> Mistakes:
        """What replies make a server hold, and work for: an alias of YAML makes much of a few words."""
        length = 0
        for leaf in self._leaves():
            reply, chunk = leaf.answer.reply, (leaf.timing or Timing()).chunking
            wanted = (leaf.answer.generate,) if leaf.answer.generate is not None else generated_in(reply)
            made = sum(one.tokens[1] for one in wanted if one.tokens)
            if made > MOST_TOKENS:
                yield leaf.path, f"a reply makes up {MOST_TOKENS:,} tokens at most; this one asks for {made:,}"
            elif made > MOST_DELTAS and not _is_coarse(chunk or "token"):
                what = f"a reply has {MOST_DELTAS:,} deltas at most; this one makes up {made:,} tokens"
                yield leaf.path, f"{what}: split it into larger ones (timing: {{chunk: sentence}})"
            size = _length_of(reply)
            length += size
            if size > MOST_CHARACTERS or length > MOST_IN_ALL:
                most = f"{MOST_CHARACTERS:,} characters at most, all of a scenario {MOST_IN_ALL:,}"
                yield leaf.path, f"a reply has {most}; this one has {size:,}"
                return
            if size > MOST_DELTAS:  # fewer characters are no more deltas
                deltas = sum(1 for one in reply or () for _ in one.deltas(chunk))
                if deltas > MOST_DELTAS:
                    what = f"a reply has {MOST_DELTAS:,} deltas at most; this one has {deltas:,}"
                    yield leaf.path, f"{what}: split it into larger ones (timing.chunk)"

    def _captures(self) -> Mistakes:
        """A template may use the named groups of the conditions that its reply stands under."""
        for leaf in self._leaves():
            groups = leaf.groups
            for name in sorted({name for one in leaf.answer.templates for name in one.captures} - groups):
                known = ", ".join(sorted(groups)) or f"none; a regex in when does: (?P<{name}>…)"
                yield leaf.path, f"no condition captures '{name}'; captured here: {known}{suggestion(name, groups)}"

    def _misfits(self) -> Mistakes:
        """Faults that have no place in their reply."""
        for leaf in inherit(self)._leaves():
            if leaf.answer.faults:
                yield from (((*leaf.path, *where), text) for where, text in _misfits(leaf.answer))

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


# -- faults that have no place in the reply they are written beside: found by applying them to it ---------------------

_NO_USAGE = {"input_tokens": 0, "output_tokens": 0}


def _misfits(leaf: Answer) -> Mistakes:
    """What cannot apply to this reply or error, as (path to the fault, text). A reply that is made for each
    request is not known yet: there the request gets a warning."""
    plan = _plan(leaf)
    if plan is None:
        return
    site = Site(Random(0), plan if plan.stream else None, _failed, is_sketch=True)
    written = [(key, at, one) for key in ("gate", "fault") for at, one in enumerate(getattr(leaf, key) or ())]
    effort = Effort(MOST_APART)
    for key, at, fault in sorted(written, key=lambda found: rank(found[2])):
        try:
            effort.take(plan)
            changed = fault.apply(plan, site)
            plan, site = changed, behind(fault, plan, changed, site)
        except CannotApply as reason:
            yield (key, at), reason_of(fault, reason)


def _plan(leaf: Answer) -> Plan | None:
    """The reply as a stream without its ids and counters; None while it cannot be known."""
    if leaf.error is not None:
        return _failed(leaf.error)
    if leaf.reply is None or leaf.is_open or any(getattr(block, "is_open", False) for block in leaf.reply):
        return None
    chunk = (leaf.timing or Timing()).chunking
    message = Message("", "", leaf.reply, leaf.ending, leaf.stop_sequence, None, _NO_USAGE, _NO_USAGE)
    payloads = tuple(event.payload for event in events(message, chunk))
    return Plan(200, (), (Part(tuple(map(frame, payloads)), AT_ONCE * len(payloads), None, payloads),), True)


def _failed(script: Failure, *, streamed: bool = False) -> Plan:
    envelope = {"type": "error", "error": {"type": script.error_type, "message": ""}}
    return whole(script.http_status, JSON_HEADERS, encode(dumps(envelope)), 0, envelope)


# replies that are no message: of most endpoints, and of the one that sends its body line by line
_ANYTHING = whole(200, JSON_HEADERS, b'{"id":"?"}')
_BY_LINES = "batches.results"
_LINES = Plan(200, (), (Part((b'{"id":"?"}\n',) * 2, AT_ONCE * 2),), True)


def _misfit(fault: Fault, plan: Plan) -> str:
    """Why a fault cannot apply to a reply that is no message; empty where it can."""
    return "".join(applied(plan, (fault,), Site(Random(0), None, _failed)).failed)


def _of_messages(leaf: Answer) -> Iterator[tuple[str, str]]:
    """What in an answer only replies that are messages can have."""
    for key in ("reply", "generate", "call", "cases", "timing", "expect", "then", "batch"):
        if getattr(leaf, key) is not None:
            yield key, f"'{key}'"
    if leaf.error is not None and leaf.templates:
        yield "error", "a template"


# -- how large replies may be -----------------------------------------------------------------------------------------

MOST_CHARACTERS = 1_000_000  # of a reply
MOST_IN_ALL = 5_000_000  # of the replies of a scenario
MOST_DELTAS = 20_000  # of a reply: they are written in about 40 ms, while which no other client is answered


def _is_coarse(chunk: Chunk) -> bool:
    """Whether a delta surely has ten tokens or so."""
    if isinstance(chunk, Burst):
        return isinstance(chunk.size, int) and chunk.size >= 10
    size = chunk.most if isinstance(chunk, Bytes) else chunk
    return size in ("sentence", "all") or (isinstance(size, int) and size >= 50)


def _length_of(value: Any) -> int:
    """How many characters the texts of a block have, at any depth."""
    length = 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            length += len(one)
        elif isinstance(one, Mapping):
            waiting += one.values()
            length += sum(map(len, one))
        elif isinstance(one, list | tuple):
            waiting += one
        elif is_dataclass(one):
            waiting += [getattr(one, field.name) for field in fields(one)]
    return length


# -- what a reply stands under ----------------------------------------------------------------------------------------

# what only a scenario with turns has
_SCRIPTED = ("anchor", "at_end", "times", "rate_limits", "contradicts")


class _Leaf(NamedTuple):
    """A reply or an error: its path, the groups that the conditions above it capture, its timing, and the path of what
    sets that."""

    answer: Answer
    path: Path
    groups: frozenset[str]
    timing: Timing | None
    paced_at: Path


def _standing(
    answer: Answer, path: Path, groups: frozenset[str] = frozenset(), timing: Timing | None = None, paced_at: Path = ()
) -> Iterator[_Leaf]:
    """Every reply and error that an answer can come to; of two timings the inner one wins."""
    groups = groups.union(*(one.groups for one in (answer.when, answer.expect) if one is not None))
    if answer.timing is not None:
        timing, paced_at = answer.timing, path
    inner = answer.inner
    if not inner:
        yield _Leaf(answer, path, groups, timing, paced_at)
    for step, one in inner:
        yield from _standing(one, (*path, *step), groups, timing, paced_at)


def inherit(scenario: Scenario) -> Scenario:
    """The scenario with timing, faults, gates, headers and `contradicts` written out on every reply and error: the
    inner one wins.
    """

    def resolve(answer: Answer, outer: Answer) -> Answer:
        taken: dict[str, Any] = {
            name: value
            for name in ("timing", "fault", "gate", "then")
            if not getattr(answer, name) and (value := getattr(outer, name)) is not None
        }
        if outer.contradicts:
            taken["contradicts"] = True
        if outer.headers:
            taken["headers"] = {**outer.headers, **answer.headers}
        whole = replace(answer, **taken) if taken else answer
        inner: dict[str, Any] = {
            kind: tuple(resolve(one, whole) for one in listed)
            for kind in ("cases", "attempts")
            if (listed := getattr(answer, kind)) is not None
        }
        return replace(whole, **inner) if inner else whole

    outermost = Answer(timing=scenario.timing, contradicts=scenario.contradicts)
    return replace(scenario, turns=tuple(resolve(turn, outermost) for turn in scenario.turns))


def without_name(scenario: Scenario) -> Scenario:
    """A scenario that answered only when named, answering every request."""
    return replace(scenario, when=None) if scenario.named_only else scenario

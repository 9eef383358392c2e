"""Recorded exchanges -> the scenarios that answer them again, at the times of the recorded events.

Exchanges that go on from one another are one conversation, and each conversation is a scenario: the assistant's
messages in the request are its first turns, and each reply stands at the position that the engine will find for its
request. The same request again is another attempt. Conditions are added until no scenario takes a request of another.
"""

import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from itertools import accumulate, islice
from typing import Any, NamedTuple

from mock_server.protocol.blocks import TEXT_DELTAS, Block, ToolUse, is_server_tool
from mock_server.protocol.chunk import Chunk
from mock_server.protocol.contradictions import JudgedReply, contradictions
from mock_server.protocol.errors import excerpt
from mock_server.protocol.request import MessagesRequest, blocks
from mock_server.records import dataclass
from mock_server.scenario import paths
from mock_server.scenario.conditions import Condition
from mock_server.scenario.conversation import ConditionContext, RequestView, SearchedText
from mock_server.scenario.load import read_answer, read_condition
from mock_server.scenario.node import ScenarioError, several
from mock_server.scenario.recordings import NoTranscript, RecordedCall
from mock_server.scenario.reply import CALLS
from mock_server.scenario.timing import CHUNKS
from mock_server.scenario.writing import answer, inexpressible, is_same_model, stub

# -- when the events of a recorded stream came -> the `timing` that plays a reply at those times -----------------------

Delta = Mapping[str, Any]


def timing_of(entry: Any, reply: Sequence[Block]) -> dict[str, Any]:
    """The timing of a reply, as an author would write it, from an entry of the journal. Raises NoTranscript.

    The chunk is the one that the recording shows, none where that is how the API splits texts by itself. Where it shows
    none of ours, the reply comes token by token, each token when the delta that held its end came.
    """
    recorded = _Recorded(_events(entry))
    chunk: Chunk | None = next((one for one in (None, *CHUNKS) if recorded.is_split(reply, one)), "token")
    if chunk == "token" and not any(isinstance(block, ToolUse) for block in reply):
        chunk = None  # the same, but for the input of calls
    offsets = [_duration(at) for at in recorded.offsets(reply, chunk)]
    return {**({} if chunk is None else {"chunk": chunk}), "replay": {"events": offsets}}


def _events(entry: Any) -> list[tuple[float, Mapping[str, Any]]]:
    """Milliseconds and payload of every event but pings; what was never sent stands at the time it was due."""
    listed = entry.get("events") if isinstance(entry, Mapping) else None
    if not isinstance(listed, list) or not listed:
        raise NoTranscript("only an entry of the journal whose reply was a stream tells when its events came")
    found, latest = [], 0.0
    for at, event in enumerate(listed):
        payload, sent = (event.get("payload"), _time(event)) if isinstance(event, Mapping) else (None, None)
        if not isinstance(payload, Mapping) or sent is None:
            raise NoTranscript(f"event {at + 1}: expected an object with a payload and sent_ms or due_ms")
        latest = max(latest, sent)
        if payload.get("type") != "ping":
            found.append((latest, payload))
    if not found:
        raise NoTranscript("only pings were recorded")
    return found


def _time(event: Mapping[str, Any]) -> float | None:
    times = (event.get(key) for key in ("sent_ms", "due_ms"))
    return next((float(one) for one in times if isinstance(one, int | float) and one >= 0), None)


def _duration(ms: float) -> str:
    return f"{ms:.3f}".rstrip("0").rstrip(".") + "ms"


class _Recorded:
    """The events of a recorded stream, by the block they belong to."""

    def __init__(self, events: list[tuple[float, Mapping[str, Any]]]) -> None:
        self._at: dict[tuple[Any, Any], float] = {}
        self._deltas: dict[Any, list[tuple[float, Delta]]] = {}
        self._last = events[-1][0]
        for at, payload in events:
            self._at[payload.get("type"), payload.get("index")] = at
            if payload.get("type") == "content_block_delta" and isinstance(payload.get("delta"), Mapping):
                self._deltas.setdefault(payload.get("index"), []).append((at, payload["delta"]))

    def is_split(self, reply: Sequence[Block], chunk: Chunk | None) -> bool:
        """Whether the texts of the recording are split as `chunk` would split them."""
        return all(
            [_text(delta) for delta, _ in block.deltas(chunk) if delta is not None and _text(delta)]
            == [_text(delta) for _, delta in self._deltas.get(index, ()) if _text(delta)]
            for index, block in enumerate(reply)
        )

    def offsets(self, reply: Sequence[Block], chunk: Chunk | None) -> Iterator[float]:
        """The times of the events of the reply. An event that the recording has not comes with the one before it."""
        latest = 0.0
        for at in self._wanted(reply, chunk):
            latest = latest if at is None else max(latest, at)
            yield latest

    def _wanted(self, reply: Sequence[Block], chunk: Chunk | None) -> Iterator[float | None]:
        yield self._at.get(("message_start", None))
        if not reply:
            yield None  # the ping
        for index, block in enumerate(reply):
            yield self._at.get(("content_block_start", index))
            if not index:
                yield None  # the ping
            yield from self._delta_times(index, [one for one, _ in block.deltas(chunk) if one is not None])
            yield self._at.get(("content_block_stop", index))
        yield self._at.get(("message_delta", None))
        yield self._at.get(("message_stop", None), self._last)

    def _delta_times(self, index: int, wanted: Sequence[Delta]) -> Iterator[float | None]:
        """A piece of a text came with the delta that held its end; others came in their order."""
        recorded = self._deltas.get(index, [])
        texts = [(at, len(_text(delta))) for at, delta in recorded if _text(delta)]
        ends = list(accumulate(length for _, length in texts))
        others = iter([at for at, delta in recorded if not _text(delta) and delta.get("type") != "thinking_delta"])
        length = 0
        for delta in wanted:
            length += len(_text(delta))
            if _text(delta):
                yield texts[min(bisect_left(ends, length), len(texts) - 1)][0] if texts else None
            else:
                yield next(others, None)


def _text(delta: Delta) -> str:
    """The piece of a text that a delta adds; empty for those that come whole."""
    return str(delta.get(TEXT_DELTAS.get(str(delta.get("type")), ""), ""))


# -- recorded exchanges -> the scenarios that answer them again -------------------------------------------------------

MOST_CONDITIONS, MOST_TRIES = 12, 200
EXCERPT = 60


class Imported(NamedTuple):
    """Scenarios as plain data, in their order of precedence; a line for each thing that they cannot express."""

    scenarios: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()


def scenarios_of(exchanges: Sequence[RecordedCall], name: str) -> Imported:
    """The scenarios of what was recorded. Raises NoTranscript when there is no reply in it."""
    conversations = _conversations([one for one in exchanges if one.body is not None])
    alone = [one for one in exchanges if one.body is None]
    answered = [one for one in conversations if one.slots]
    if not answered and not alone:
        raise NoTranscript("a transcript needs a user's message and an assistant's after it")
    notes = [f"left out {one.where}: nobody replied to it" for one in conversations if not one.slots]
    notes += [
        f"{one.where or 'the reply'}: a scenario cannot say {', '.join(found)}"
        for one in exchanges
        if one.reply is not None and (found := list(inexpressible(one.reply)))
    ]
    ordered, mixed = _apart(answered)
    taken: set[str] = set()
    is_one = len(ordered) + bool(alone) == 1
    made = [one.scenario(_free(_name(name if is_one else f"{name}-{one.slug}"), taken)) for one in ordered]
    notes += [f"{made[a]['name']} and {made[b]['name']} ask alike: the first answers both" for a, b in mixed]
    if alone:
        made.append(_of_replies(alone, _free(_name(name if is_one else f"{name}-replies"), taken), is_one=is_one))
    return Imported(tuple(made), tuple(notes))


def _name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "imported"


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where it is taken."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(found)
    return found


# -- replies ----------------------------------------------------------------------------------------------------------


def _answer(exchange: RecordedCall) -> dict[str, Any]:
    """The answer that repeats a recorded reply, or its error with its headers about retries."""
    assert exchange.reply is not None
    written = answer(exchange.reply, exchange.body, exchange.status)
    if "error" in written:
        after = exchange.response_headers.get("retry-after", "")
        if after.isdecimal():
            written["error"]["retry_after"] = f"{after}s"
        if exchange.response_headers.get("x-should-retry") in ("true", "false"):
            written["error"]["should_retry"] = exchange.response_headers["x-should-retry"] == "true"
    elif exchange.body is not None and _contradicts(exchange, written):
        written["contradicts"] = True
    return written


def _contradicts(exchange: RecordedCall, written: Mapping[str, Any]) -> bool:
    """Whether a recorded reply contradicts its request, as far as that can be read. Which models think is not known."""
    request = MessagesRequest(dict(exchange.body or {}), exchange.headers)
    try:
        answer = read_answer(written, exchange.where or "the reply")
        found = contradictions(request, None, JudgedReply(answer.reply or (), answer.ending))
    except (ScenarioError, KeyError, TypeError, AttributeError, ValueError):  # loading it reports them
        return False
    return any(one.is_error for one in found)


def _of_replies(alone: Sequence[RecordedCall], name: str, *, is_one: bool) -> dict[str, Any]:
    """Replies without their requests: one after the other, for any request."""
    answers = [_answer(one) for one in alone]
    replies = "1 reply" if len(answers) == 1 else f"{len(answers)} replies, one for each new request"
    head = {"name": name, "description": f"Imported: {replies}; no request was recorded."}
    whole = {**head, **({} if is_one else {"when": "named"})}
    if len(answers) > 1:
        return {**whole, "anchor": "session", "turns": answers}
    return {**whole, "turns": answers} if _pins(answers[0]) else {**whole, **answers[0]}


def _pins(written: Mapping[str, Any]) -> bool:
    """Whether an answer gives the ids of its calls itself, so that it can be played once in a conversation."""
    blocks = (isinstance(one, dict) and "id" in one for one in written.get("reply", ()))
    return any(map(_pins, written.get("attempts", ()))) or any(blocks)


# -- conversations ----------------------------------------------------------------------------------------------------


class _Turn(NamedTuple):
    """Messages of one role in a row, each as its blocks: what the engine takes for one turn."""

    role: str
    messages: tuple[Sequence[Mapping[str, Any]], ...]

    @property
    def content(self) -> list[Mapping[str, Any]]:
        return [block for message in self.messages for block in message]

    @property
    def is_human(self) -> bool:
        return self.role == "user" and all(block["type"] != "tool_result" for block in self.content)

    @property
    def texts(self) -> list[str]:
        return [str(block.get("text", "")) for block in self.content if block["type"] == "text"]


def _turns(messages: Sequence[Mapping[str, Any]]) -> list[_Turn]:
    turns: list[_Turn] = []
    for message in messages:
        if message["role"] == "system":
            continue
        if turns and turns[-1].role == message["role"]:
            turns[-1] = _Turn(message["role"], (*turns[-1].messages, blocks(message["content"])))
        else:
            turns.append(_Turn(message["role"], (blocks(message["content"]),)))
    return turns or [_Turn("user", ((),))]


class _Request:
    """The body of a recorded request, as conditions see it."""

    def __init__(self, exchange: RecordedCall) -> None:
        assert exchange.body is not None
        self.body = exchange.body
        self.turns = _turns(self.body["messages"])
        self.human = [at for at, turn in enumerate(self.turns) if turn.is_human] or [0]
        request = MessagesRequest({**self.body, "tools": _tools(self.body)}, exchange.headers)
        view = RequestView(request, exchange.headers, self.turns[-1].content, ())
        self.facts = [ConditionContext(view, SearchedText(self.turns[at].texts or [""])) for at in self.human]
        self.histories = list(_histories(self.body["messages"]))

    @property
    def prompt(self) -> str:
        """The human's text that the scenario is anchored to; not the reminders in tags that agents put before it."""
        texts = self.turns[self.human[0]].texts
        plain = [text for text in texts if text.strip() and not text.lstrip().startswith("<")]
        return " ".join((" ".join(texts) if len(plain) in (0, len(texts)) else plain[0]).split())


def _tools(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tools on offer; a request that was refused may have anything there."""
    listed = body.get("tools")
    return [tool for tool in listed if isinstance(tool, Mapping)] if isinstance(listed, list) else []


def _histories(messages: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    """For each message a digest of all up to it: conversations that begin alike have it in common."""
    known = b""
    for message in messages:
        text = _canonical([message["role"], blocks(message["content"])])
        known = hashlib.blake2b(known + text.encode(), digest_size=16).digest()
        yield known


def _canonical(value: Any) -> str:
    """The same text for equal values; YAML may hold bytes, which become their `repr`."""
    return json.dumps(_bare(value), sort_keys=True, default=repr)


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _bare(item) for key, item in value.items() if item is not None and key != "cache_control"}
    return [_bare(item) for item in value] if isinstance(value, list | tuple) else value


@dataclass
class _Conversation:
    """One conversation: its requests, and the answers at each position of its script."""

    where: str
    requests: list[_Request] = field(default_factory=list)
    slots: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # several where the same request came again
    when: dict[str, Any] = field(default_factory=dict)
    _condition: Condition | None = None

    def set_when(self, when: dict[str, Any]) -> None:
        """These conditions instead of those before."""
        self.when = when
        try:
            self._condition = read_condition(when) if when else None
        except ScenarioError as error:
            raise NoTranscript(f"its first words are no condition: {error}") from None

    def take(self, exchange: RecordedCall, request: _Request, *, is_new: bool) -> None:
        """One more request of it, or one that came before; and the reply where that belongs."""
        position = self._position(request)
        if is_new:
            self.requests.append(request)
        if exchange.reply is not None:
            self.slots.setdefault(position, []).append(_answer(exchange))

    def _position(self, request: _Request) -> int:
        """Where the script stands for a request, as the engine reckons; the assistant's turns before it fill it up."""
        reached, last = 0, len(request.turns) - 1
        for at in range(request.human[0], last + 1):
            turn = request.turns[at]
            if turn.role != "assistant":
                continue
            if at < last:
                goes_on = True
                for part, pauses in _paused(turn.messages):
                    if goes_on:
                        reached += 1
                        self._fill_up(reached, part, pauses=pauses)
                        goes_on = self._pauses(reached)
                while self._pauses(reached):  # it was resumed, and nobody kept how
                    reached += 1
                    self._fill_up(reached, (), pauses=False)
            elif any(is_server_tool(block["type"]) for block in turn.content):  # it goes on; else it is a prefill
                for part in _calling(turn.messages):
                    reached += 1
                    self._fill_up(reached, part, pauses=True)
        return reached + 1

    def _fill_up(self, position: int, content: Sequence[Mapping[str, Any]], *, pauses: bool) -> None:
        if position not in self.slots:
            written = answer({"content": content, "stop_reason": "pause_turn" if pauses else None})
            self.slots[position] = [written]

    def _pauses(self, position: int) -> bool:
        return any(one.get("stop_reason") == "pause_turn" for one in self.slots[position])

    def answers(self, other: _Request) -> bool:
        """Whether its conditions hold for a request."""
        facts = other.facts if len(self.slots) > 1 else other.facts[-1:]
        return self._condition is None or any(map(self._condition.holds, facts))

    def begin(self) -> None:
        """Its first conditions: the prompt, and the tools that are called and were on offer each time."""
        called = dict.fromkeys(name for slot in self.slots.values() for one in slot for name in _called(one))
        offers = [one.facts[0].view.request.tool_names for one in self.requests if len(one.body) > 1]
        tools = [name for name in called if all(name in offered for offered in offers)]
        known = {"tools": tools if len(tools) > 1 else tools[0]} if tools else {}
        self.set_when({**stub(self.requests[0].prompt).get("when", {}), **known})

    @property
    def slug(self) -> str:
        return str(stub(self.requests[0].prompt)["name"]).replace("new-scenario", "conversation")

    def scenario(self, name: str) -> dict[str, Any]:
        """The scenario as plain data."""
        turns = [
            answers[0] if all(one == answers[0] for one in answers) else {"attempts": answers}
            for _, answers in sorted(self.slots.items())
        ]
        described = {"description": f"Imported: {several(len(turns), 'turn')}."}
        is_anchored_early = any(len(request.human) > 1 for request in self.requests)  # at the first human turn
        anchor = {"anchor": "conversation"} if is_anchored_early else {}
        head = {"name": name, **described, **({"when": self.when} if self.when else {}), **anchor}
        is_short = len(turns) == 1 and len(turns[0]) == 1 and not _pins(turns[0])
        return {**head, **turns[0]} if is_short else {**head, "turns": turns}


def _paused(messages: Sequence[Sequence[Mapping[str, Any]]]) -> Iterator[tuple[list[Mapping[str, Any]], bool]]:
    """The replies that an assistant's turn is made of: one that is followed by more of it had paused for the server."""
    part: list[Mapping[str, Any]] = []
    for at, message in enumerate(messages):
        part = [*part, *message]
        pauses = any(is_server_tool(block["type"]) for block in message)
        if at + 1 == len(messages) or pauses:
            yield part, pauses and at + 1 < len(messages)
            part = []


def _calling(messages: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[Mapping[str, Any]]]:
    """The replies of a turn that goes on: each begins with a message that calls something."""
    parts: list[list[Mapping[str, Any]]] = []
    for message in messages:
        if parts and not (_calls(parts[-1]) and _calls(message)):
            parts[-1] += message
        else:
            parts.append(list(message))
    return parts


def _calls(content: Sequence[Mapping[str, Any]]) -> bool:
    return any(block["type"] in CALLS for block in content)


def _called(written: Mapping[str, Any]) -> Iterator[str]:
    reply = written.get("reply")
    for block in reply if isinstance(reply, list) else ():
        if isinstance(block, Mapping) and block["type"] == "tool_use":
            yield str(block.get("name"))


def _conversations(exchanges: Sequence[RecordedCall]) -> list[_Conversation]:
    """The conversations, each from its first request on. One goes on when it brings the reply to the one before."""
    conversations: list[_Conversation] = []
    by_body: dict[str, _Conversation] = {}
    by_history: _ByHistory = {}
    for exchange in exchanges:
        request = _Request(exchange)
        body = _canonical(exchange.body)
        conversation = by_body.get(body) or _begun(request, by_history)
        if conversation is None:
            conversation = _Conversation(exchange.where)
            conversations.append(conversation)
        conversation.take(exchange, request, is_new=body not in by_body)
        by_body[body] = conversation
        by_history.setdefault(request.histories[-1], []).append((conversation, exchange.reply))
    for conversation in conversations:
        if conversation.slots:
            conversation.begin()
    return conversations


# the messages of a request -> the conversations that sent them, with the replies they got
_ByHistory = dict[bytes, list[tuple[_Conversation, Mapping[str, Any] | None]]]


def _begun(request: _Request, by_history: _ByHistory) -> _Conversation | None:
    """The conversation that a request goes on from: the newest whose last request and reply it begins with."""
    messages = request.body["messages"]
    for length in range(len(messages) - 1, 0, -1):
        if messages[length]["role"] != "assistant":
            continue
        history = request.histories[length - 1]
        for conversation, reply in reversed(by_history.get(history, [])):
            is_last = conversation.requests[-1].histories[-1] == history
            if is_last and reply is not None and _begin_with(reply, messages[length:]):
                return conversation
    return None


def _begin_with(reply: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the messages begin with this reply; a client may leave out thoughts and space at the end."""
    wanted = _gist(reply.get("content") or ())
    content: list[Mapping[str, Any]] = []
    for message in messages:
        if message["role"] != "assistant":
            break
        content += blocks(message["content"])
        if _gist(content) == wanted:
            return True
    return False


def _gist(content: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]]:
    texts = "".join(str(block.get("text", "")) for block in content if block["type"] == "text")
    return texts.strip(), [block.get("id") for block in content if block["type"] in CALLS]


# -- one from the other -----------------------------------------------------------------------------------------------


def _apart(conversations: list[_Conversation]) -> tuple[list[_Conversation], list[tuple[int, int]]]:
    """The conversations in their order of precedence, with what distinguishes them; and pairs that nothing does.

    One that goes on where another one ended can be recognized, and not the other way round: it comes first.
    """
    after: dict[int, list[int]] = {}  # which ones must come before this one
    for at, conversation in enumerate(conversations):
        others = [(nth, request) for nth, other in enumerate(conversations) if nth != at for request in other.requests]
        taken = [(nth, request) for nth, request in others if conversation.answers(request)]
        left = [nth for nth, request in taken if conversation.answers(request) and not _narrowed(conversation, request)]
        after[at] = list(dict.fromkeys(left))
    order: list[int] = []
    mixed: list[tuple[int, int]] = []
    waiting = dict.fromkeys(after)
    while waiting:
        first = next((one for one in waiting if not any(nth in waiting for nth in after[one])), None)
        chosen = next(iter(waiting)) if first is None else first
        mixed += [(chosen, nth) for nth in after[chosen] if nth in waiting]
        del waiting[chosen]
        order.append(chosen)
    places = {at: place for place, at in enumerate(order)}
    return [conversations[at] for at in order], [(places[a], places[b]) for a, b in mixed]


def _narrowed(conversation: _Conversation, other: _Request) -> bool:
    """Adds a condition that its own requests meet and this one does not; False when there is none."""
    before = conversation.when
    prompt, body = conversation.requests[0].prompt, before.get("body", {})
    tries: list[dict[str, Any]] = []
    if "prompt" in before and before["prompt"] != prompt and len(prompt) <= 5 * EXCERPT:
        tries.append({**before, "prompt": prompt})
    if len(body) < MOST_CONDITIONS:
        found = islice(_differences(conversation.requests[0].body, other.body, ""), MOST_TRIES)
        tries += [{**before, "body": {**body, path: value}} for path, value in found if path not in body]
    for when in tries:
        conversation.set_when(when)
        if not conversation.answers(other) and all(map(conversation.answers, conversation.requests)):
            return True
    conversation.set_when(before)
    return False


def _differences(own: Any, other: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Paths at which two bodies differ, each with the condition that only the own one meets."""
    if isinstance(own, Mapping) and isinstance(other, Mapping):
        keys = sorted(dict.fromkeys((*own, *other)), key=lambda key: key != "messages")
        for key in keys:
            inner = f"{path}.{key}" if path else key
            if key not in other or key not in own:
                yield from _checked(inner, {"exists": key in own})
            else:
                yield from _differences(own[key], other[key], inner)
    elif isinstance(own, list) and isinstance(other, list):
        for at, (one, two) in enumerate(zip(own, other, strict=False)):
            yield from _differences(one, two, f"{path}[{at}]")
        if len(own) != len(other):
            yield from _checked(f"{path}[{min(len(own), len(other))}]", {"exists": len(own) > len(other)})
    elif own != other or type(own) is not type(other):
        if isinstance(own, str) and isinstance(other, str):
            yield from _checked(path, _excerpt(own, other))
        elif isinstance(own, str | int | float | bool):
            yield from _checked(path, {"equals": own})


def _checked(path: str, wanted: Any) -> Iterator[tuple[str, Any]]:
    """The condition, if its path can be written."""
    steps = paths.parse(path)
    if steps is not None and None not in steps:
        yield path, wanted


def _excerpt(own: str, other: str) -> Any:
    """What distinguishes a text from another: the whole, or in a long one the words around the first difference."""
    if len(own) <= EXCERPT:
        return {"equals": own}
    at = next((at for at, (one, two) in enumerate(zip(own, other, strict=False)) if one != two), len(other))
    cut = own[max(0, at - EXCERPT // 3) : at + EXCERPT]
    return {"contains": cut} if cut.strip() and cut not in other else {"equals": own}


# -- whether two replies are equal ------------------------------------------------------------------------------------


def differences(recorded: Any, got: Any, path: str = "") -> Iterator[str]:
    """What a recorded reply has and another one has not, or otherwise, path by path.

    Ids that the server makes and signatures aside; and a null is as good as nothing.
    """
    if isinstance(recorded, Mapping) and isinstance(got, Mapping):
        for key, value in recorded.items():
            if value is not None and not _is_own(recorded, key):
                yield from differences(value, got.get(key), f"{path}.{key}" if path else key)
    elif isinstance(recorded, list) and isinstance(got, list) and len(recorded) == len(got):
        for at, (one, other) in enumerate(zip(recorded, got, strict=True)):
            yield from differences(one, other, f"{path}[{at}]")
    elif recorded != got and not (path == "model" and is_same_model(str(recorded), str(got))):
        yield f"{path}: {_short(got)}, recorded {_short(recorded)}"


def _is_own(value: Mapping[str, Any], key: str) -> bool:
    """Whether the server makes this key anew in every reply."""
    if key == "id":
        return value.get("type") in ("message", "tool_use") or value.get("role") == "assistant"
    if key == "data":
        return value.get("type") == "redacted_thinking"
    return key in ("signature", "request_id", "_request_id")


def _short(value: Any) -> str:
    return excerpt(json.dumps(value, ensure_ascii=False), EXCERPT)

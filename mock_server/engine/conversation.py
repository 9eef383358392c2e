"""A conversation: its human turns, where a scenario's script stands in it, and the threads that the server holds for
clients.

The API is stateless: every request carries the whole conversation, so the position is read from it and no retry,
warm-up call or second replica can push a script out of step.
"""

import json
import re
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from unicodedata import category

from mock_server.protocol import signing
from mock_server.protocol.blocks import is_server_tool
from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.lazy import lazy
from mock_server.protocol.request import LONG, Block, MessagesRequest, blocks
from mock_server.scenario.conditions import SearchedText

NAMED = re.compile(r"\[\[scenario:([^\[\]\n]+)\]\]")  # how a text names the scenario that is to answer
WHOLE = "talk"  # the name under which a long request keeps its conversation
_FIRST = (0,)
_FEW = 6  # messages that are looked through in no time
_CHANGING = 2  # turns at the end that may be others the next time: clients move cache marks along
_MOST_READ, _LONGEST_TOPIC, _LONGEST_WORD = 4000, 60, 24  # characters
_ID = ("tool_use_id", "id")  # what tells a call: in a turn of the user's, of the assistant's
_MARKUP = frozenset('<>{}[]"`\\|')


class HumanTurn:
    """Consecutive messages of one role as one; system messages are left out before."""

    def __init__(self, role: str, content: tuple[Block, ...]) -> None:
        self.role = role
        self.content = content

    @lazy
    def is_human(self) -> bool:
        """A user turn that is not an answer to a tool call."""
        return self.role == "user" and "tool_result" not in [block["type"] for block in self.content]

    @lazy
    def text(self) -> SearchedText:
        """What a person says in it: in a turn of the assistant's nothing, even where that stands in for a human one."""
        texts = [block["text"] for block in self.content if block["type"] == "text"] if self.role == "user" else []
        return SearchedText(texts or [""])

    @lazy
    def ids(self) -> list[str]:
        """The ids of its calls, or of those that it brings results of.

        An assistant's turn stands where its own calls do: a result in it may answer a call of an earlier turn.
        """
        key = _ID[self.role == "assistant"]
        return [id for block in self.content if block["type"] != "text" and isinstance(id := block.get(key), str)]

    @lazy
    def minted(self) -> list[tuple[str, int]]:
        """The scenarios and positions that these ids name."""
        key = _ID[self.role == "assistant"]
        read = [signing.read(block.get(key)) for block in self.content if block["type"] != "text"]
        return [(one.scenario, one.position) for one in read if one is not None]

    @property
    def typed(self) -> Iterator[str]:
        """The beginning of each text that a person typed, the last one first: without names of scenarios, and without
        what an agent has put beside it in tags."""
        for text in reversed(self.text.parts):
            text = text.strip()
            if not (text.startswith("<") and text.endswith(">")):
                yield NAMED.sub(" ", text[:_MOST_READ])

    def typed_last(self, most: int) -> str:
        """So many characters of the end of all that."""
        texts: list[str] = []
        held = 0
        for text in self.typed:
            texts.append(text)
            held += len(text) + 1
            if held > most:
                break
        return " ".join(reversed(texts))[-most:]

    @lazy
    def topic(self) -> str:
        """The first words of what a person typed last: without markup and marks around them, some 60 characters."""
        found = next((text for text in self.typed if text.strip()), "")
        topic = ""
        for word in found.split():
            word = _bare(word[:_LONGEST_WORD])
            if not word or not word.isprintable() or not _MARKUP.isdisjoint(word):
                continue
            if len(topic) + len(word) > _LONGEST_TOPIC:
                break
            topic = f"{topic} {word}".lstrip()
        return topic


def _bare(word: str) -> str:
    """A word without the punctuation and symbols around it."""
    if word.isalnum():
        return word
    return word.strip("".join(one for one in word if category(one)[0] in "PS"))


class Conversation:
    """The turns of one request and which of them are human.

    `reached`: how far scripts had come a few turns before the end, for a longer conversation to go on from; the first
    `settled` turns are those of an earlier one, of which `before` tells that. `is_question`: it is one human turn and
    nothing else.
    """

    before: Mapping[Any, tuple[int, int]] = {}
    settled = 0
    is_question = False

    def __init__(self, turns: tuple[HumanTurn, ...], human: tuple[int, ...]) -> None:
        self.turns = turns
        self.human = human or _FIRST

    @lazy
    def reached(self) -> dict[Any, tuple[int, int]]:
        return {}

    @property
    def continues(self) -> bool:
        """Whether the last turn is a paused one that came back, rather than a prefill or a user's turn."""
        last = self.turns[-1]
        return last.role == "assistant" and any(is_server_tool(block["type"]) for block in last.content)

    @property
    def newest_results(self) -> tuple[Block, ...]:
        """The tool results of the newest user turn, if it is the last turn or only a prefill follows."""
        for turn in reversed(self.turns):
            if turn.role == "user":
                return tuple([block for block in turn.content if block["type"] == "tool_result"])
        return ()


def conversation(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """The turns of `messages`. What the assistant says before the first human turn is a turn that no script counts;
    with no human turn at all, the first turn counts as one, whoever's it is.
    """
    turns = tuple(_turns(messages)) or (HumanTurn("user", ()),)  # none: system messages alone
    return Conversation(turns, tuple([at for at, turn in enumerate(turns) if turn.is_human]))


def _turns(messages: Sequence[Mapping[str, Any]]) -> list[HumanTurn]:
    runs: list[tuple[str, list[Block]]] = []
    last = ""
    for message in messages:
        role = message["role"]
        if role != "system":
            if role != last:
                runs.append((role, []))
                last = role
            runs[-1][1].extend(blocks(message["content"]))
    return [HumanTurn(role, tuple(content)) for role, content in runs]


def conversed(request: MessagesRequest) -> Conversation:
    """The same of a request, whose turns may be known as far as it goes on from an earlier one, or all of them."""
    if len(request.raw) >= LONG and WHOLE in request.scanned:
        known: Conversation = request.scanned[WHOLE]
        return known
    messages = request.messages
    if len(messages) == 1 and messages[0]["role"] == "user":
        said = messages[0]["content"]
        content = ({"type": "text", "text": said},) if type(said) is str else tuple(said or ())
        turn = HumanTurn("user", content)
        talk = Conversation((turn,), _FIRST)
        if (texts := request.question) is not None:  # what most requests are
            vars(turn).update(is_human=True, text=SearchedText(texts))
            talk.is_question = True
        return talk
    if len(messages) < _FEW or request.has_system_messages:
        return conversation(messages)
    old: Conversation | None
    old, shared = request.before("conversation")
    if old is None or (outline := request.outlines[shared]).runs < 2:
        found = conversation(messages)
    else:
        settled, begin = outline.runs - 1, outline.run  # the last turn that they share may be longer now
        new = _turns(messages[begin:])
        human = [at for at, turn in enumerate(new, settled) if turn.is_human]
        kept = old.human[: bisect_left(old.human, settled)] if old.turns[old.human[0]].is_human else ()
        found = Conversation((*old.turns[:settled], *new), (*kept, *human))
        found.settled, found.before = settled, old.reached
    request.scanned["conversation"] = found
    return found


_NONE: Mapping[str, int] = {}


def position(
    conversation: Conversation, anchor: int, tag: str, pauses: Callable[[int], bool], pinned: Mapping[str, int] = _NONE
) -> int:
    """Where in its script a scenario stands, counted from 1, for the anchor (an index into the turns).

    One past the newest position that ids of this scenario name (those it makes, and those it pins to one turn), plus
    the assistant turns after that; with no such id, the assistant turns since the anchor. `pauses(p)` says whether turn
    p of the script pauses: a paused turn that a user's turn follows was resumed in between, in the same assistant turn,
    and the script stands further on. A trailing assistant turn counts only when it is a paused one.
    """
    last = len(conversation.turns) - 1
    if anchor == last and conversation.turns[last].is_human:
        return 1
    name = (anchor, tag, pauses, id(pinned))
    begin, reached = conversation.before.get(name, (anchor, 0))
    if not anchor <= begin <= conversation.settled:
        begin, reached = anchor, 0
    note = max(begin, last - _CHANGING)
    for at in range(begin, last + 1):
        if at == note:
            conversation.reached[name] = at, reached
        turn = conversation.turns[at]
        named = _position(turn, tag, pinned)
        if turn.role == "user":
            reached = max(reached, named)
        elif at < last:
            reached = _resumed(named or reached + 1, pauses)
        elif conversation.continues:
            reached = named or reached + 1
    return reached + 1


def _resumed(reached: int, pauses: Callable[[int], bool]) -> int:
    while pauses(reached):
        reached += 1
    return reached


def _position(turn: HumanTurn, tag: str, pinned: Mapping[str, int]) -> int:
    """The newest position that ids in this turn name, for the scenario of this tag; 0 where they name none."""
    found = [at for scenario, at in turn.minted if scenario == tag] if turn.minted else []
    if pinned:
        found += [pinned[id] for id in turn.ids if id in pinned]
    return max(found) if found else 0


def waiting_call(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """The id of the server's call that is still without a result: the newest one."""
    answered: set[str] = set()
    called: list[str] = []
    for message in messages:
        for block in blocks(message["content"]):
            if block["type"] == "server_tool_use":
                called.append(block["id"])
            elif block["type"].endswith("_tool_result"):
                answered.add(block["tool_use_id"])
    waiting = [id for id in called if id not in answered]
    return (waiting or called)[-1] if called else None


# Message threads: conversations the server holds, so that a client sends only what is new.
#
# `thread: {type: create}` begins one, `{type: continue, previous_message_id}` goes on from the message with that
# id. What
# clients rely on (read from the SDK 2.12, `lib/threads`): a continue sends the new messages only, perhaps none
# after a
# pause; `system` and `tools` stay those of the create and are not sent again; each message is continued once; the
# error
# codes `thread_not_found` and `thread_already_continued` make a client send its whole history as a new thread.

MOST_THREADS = 1_000
MOST_BYTES = 32_000_000
LONGEST = 1_000_000  # bytes of one: to read more with every turn would keep others waiting
PER_BLOCK = 200  # bytes that take as long to read as a block takes beside its own
FIXED = ("system", "tools")
# parameters that threads do not take (the SDK's ThreadUnsupportedFeatureName, as far as they are parameters)
UNSUPPORTED = ("cache_control", "context_management", "fallbacks")


class ThreadHistory(NamedTuple):
    """A conversation up to one reply, and the parameters that stay the same in it; `messages` None: gone on from."""

    messages: tuple[Any, ...] | None
    fixed: Mapping[str, Any]
    size: int


class Threads:
    """The conversations of one session, by the id of their newest reply. The oldest are forgotten; one that grows
    beyond `LONGEST` is not held, so that its client sends it whole, as a new thread.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[str, ThreadHistory] = OrderedDict()
        self._bytes = 0

    def resume(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request as it would be without a thread: every message, system and tools. Changes nothing.

        Raises ApiError with the error code that clients look for.
        """
        thread = checked(body)
        if thread["type"] == "create":
            return dict(body)
        held = self._held.get(thread["previous_message_id"])
        if held is None:
            raise _refused("thread_not_found", "No usable thread state was found for `previous_message_id`", 404)
        if held.messages is None:
            raise _refused("thread_already_continued", "This response has already been continued")
        changed = [name for name in FIXED if name in body and not _same(body[name], held.fixed.get(name))]
        if changed:
            raise _refused("thread_fingerprint_mismatch", f"{', '.join(changed)} must stay as they are in a thread")
        new = body.get("messages")
        return {**body, **held.fixed, "messages": [*held.messages, *(new if isinstance(new, list) else ())]}

    def keep(self, body: Mapping[str, Any], reply: Mapping[str, Any], size: int) -> None:
        """Hold a resumed request (of `size` bytes) and the reply to it under the reply's id; what it went on from is
        spent.
        """
        thread = body["thread"]
        if thread["type"] == "continue":
            self._put(thread["previous_message_id"], ThreadHistory(None, {}, 0))
        answer = [{"role": "assistant", "content": reply["content"]}] if reply["content"] else []
        size += len(json.dumps(answer)) + PER_BLOCK * _blocks_in(body["messages"])
        if size > LONGEST:
            return
        fixed = {name: body[name] for name in FIXED if name in body}
        self._put(reply["id"], ThreadHistory((*body["messages"], *answer), fixed, size))

    def _put(self, id: str, held: ThreadHistory) -> None:
        old = self._held.pop(id, None)
        self._bytes += held.size - (old.size if old is not None else 0)
        self._held[id] = held
        while len(self._held) > MOST_THREADS or (self._bytes > MOST_BYTES and len(self._held) > 1):
            self._bytes -= self._held.popitem(last=False)[1].size


def _blocks_in(messages: Sequence[Mapping[str, Any]]) -> int:
    return sum([1 if type(one["content"]) is str else len(one["content"] or ()) for one in messages])


def checked(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The value of `thread`. Raises ApiError when it is none, or stands beside what threads do not take."""
    thread = body["thread"]
    type = thread.get("type") if isinstance(thread, Mapping) else None
    if type not in ("create", "continue"):
        raise invalid(f"thread: Input tag '{type}' found using 'type' does not match any of 'create', 'continue'")
    if type == "continue" and not isinstance(thread.get("previous_message_id"), str):
        raise invalid("thread.continue.previous_message_id: Field required")
    unsupported = [name for name in UNSUPPORTED if body.get(name) is not None]
    if unsupported:
        text = f"thread: Message threads are not supported together with {', '.join(unsupported)}"
        raise invalid(text, details={"error_code": "thread_unsupported_request", "unsupported": unsupported})
    told: Mapping[str, Any] = thread
    return told


def _same(one: Any, other: Any) -> bool:
    return signing.canonical(one or None) == signing.canonical(other or None)


def _refused(code: str, text: str, status: int = 400) -> ApiError:
    type = "not_found_error" if status == 404 else "invalid_request_error"
    return ApiError(type, f"thread: {text}", status=status, details={"error_code": code})

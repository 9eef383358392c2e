"""A conversation as scenarios see it: its human turns, what is said in them, where a script stands in it; and the
request that brings it, as conditions look at it.

The API is stateless: every request carries the whole conversation, so the position is read from it and no retry,
warm-up call or second replica can push a script out of step.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import category, combining

from mock_server.protocol import signing
from mock_server.protocol.blocks import is_server_tool
from mock_server.protocol.request import LONG, Block, MessagesRequest, blocks, result_text
from mock_server.records import lazy

if TYPE_CHECKING:
    from mock_server.scenario.advice import Sight

NAMED = re.compile(r"\[\[scenario:([^\[\]\n]+)\]\]")  # how a text names the scenario that is to answer
WHOLE = "talk"  # the name under which a long request keeps its conversation
_FIRST = (0,)
_FEW = 6  # messages that are looked through in no time
_CHANGING = 2  # turns at the end that may be others the next time: clients move cache marks along
_MOST_READ, _LONGEST_TOPIC, _LONGEST_WORD = 4000, 60, 24  # characters
_ID = ("tool_use_id", "id")  # what tells a call: in a turn of the user's, of the assistant's
_MARKUP = frozenset('<>{}[]"`\\|')


class SearchedText:
    """A text made of parts, such as the text blocks of a turn. Folded: lower case, white space collapsed, one spelling
    of what looks the same. `sought`: that, and what was not composed as it came, for the index."""

    _folded: str | None = None

    def __init__(self, parts: Sequence[str]) -> None:
        self.parts = parts
        self.text = parts[0] if len(parts) == 1 else "\n".join(parts)

    @property
    def folded(self) -> str:
        folded = self._folded
        if folded is None:  # not lazy: asked of every request
            folded = self._folded = fold(self.text) if self.text.isascii() else _collapsed(self.composed)
        return folded

    @lazy
    def composed(self) -> str:
        return compose(self.text)

    @lazy
    def alike(self) -> str:
        return self.text if self.text.isascii() else _SPACES.sub(" ", self.composed)

    @lazy
    def sought(self) -> str:
        if self.composed == self.text:
            return self.folded
        return f"{self.folded}\n{_collapsed(self.text)}"

    @lazy
    def sight(self) -> "Sight":
        from mock_server.scenario.advice import Sight  # only a miss that is looked at needs it

        return Sight(self.text)


_PIECE = 512  # characters of a text that are composed at once
_MARKS = 32  # that stand on one letter at most, where a text means something


def compose(text: str) -> str:
    """The text with its letters composed (NFC).

    Piece by piece: at once it takes a time that grows with the square of the marks in a row, and lets no other thread
    work meanwhile. The pieces end before a letter.
    """
    if text.isascii():
        return text
    if len(text) <= _PIECE:
        return unicodedata.normalize("NFC", text)
    return "".join([unicodedata.normalize("NFC", piece) for piece in _pieces(text)])


def _pieces(text: str) -> Iterator[str]:
    start, size = 0, len(text)
    while start < size:
        end = start + _PIECE
        if end < size:
            end = next((at for at in range(end, end - _MARKS, -1) if _parts(text[at - 1], text[at])), end)
        yield text[start:end]
        start = end


def _parts(before: str, after: str) -> bool:
    """Whether nothing of a character goes together with what stands before it."""
    if after.isascii():
        return True
    alone = unicodedata.normalize("NFC", after)
    if combining(alone[0]) or combining(after):
        return False
    return unicodedata.normalize("NFC", before + after) == unicodedata.normalize("NFC", before) + alone


_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")


def alike(text: str) -> str:
    """The text in one spelling of what looks the same: letters composed (NFC), every kind of space an ordinary one."""
    return text if text.isascii() else _SPACES.sub(" ", compose(text))


def fold(text: str) -> str:
    """Lower case, white space collapsed, letters composed. Text that has nothing to collapse takes the short way."""
    if not text.isascii():
        return _collapsed(compose(text))
    if "\n" in text or "\t" in text or "\r" in text or "\v" in text or "\f" in text or "  " in text:
        return _collapsed(text)
    return text.strip(" ").lower()


def _collapsed(text: str) -> str:
    return " ".join(text.split()).lower()


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
    `settled` turns are those of an earlier one, of which `before` tells that. `anchors`, `positions`: what scenarios of
    whole conversations were asked ahead, of a long one. `is_question`: it is one human turn and nothing else.
    """

    before: Mapping[Any, tuple[int, int]] = {}
    anchors: Mapping[int, tuple[Any, int | None]] = {}
    positions: dict[Any, int] | None = None
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
        sent = messages[0]["content"]
        content = ({"type": "text", "text": sent},) if type(sent) is str else tuple(sent or ())
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
    known = conversation.positions
    if known is not None and name in known:
        return known[name]
    begin, reached = conversation.before.get(name, (anchor, 0))
    if not anchor <= begin <= conversation.settled:
        begin, reached = anchor, 0
    note = max(begin, last - _CHANGING)
    for at in range(begin, last + 1):
        if at == note:
            conversation.reached[name] = at, reached
        turn = conversation.turns[at]
        named = _position(turn, tag, pinned) if turn.ids else 0
        if turn.role == "user":
            reached = named if named > reached else reached
        elif at < last:
            reached = _resumed(named or reached + 1, pauses)
        elif conversation.continues:
            reached = named or reached + 1
    if known is not None:
        known[name] = reached + 1
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


# The request as conditions look at it.

_NO_STATES: Mapping[str, str] = {}


class RequestView:
    """What every condition on one request shares; worked out when first asked for.

    `states`: the value of every state of its session; `endpoint`: the name of the endpoint that it came to.
    """

    states: Mapping[str, str] = _NO_STATES  # as most are
    endpoint: str = "messages"

    def __init__(
        self,
        request: MessagesRequest,
        headers: Mapping[str, str],
        last: Sequence[Block] | None = None,
        results: Sequence[Block] = (),
    ) -> None:
        """`last`: the newest turn; None where there is one message alone. `results`: those of tools in it."""
        self.request = request
        self.headers = headers
        self._last = last
        self.results = results

    @lazy
    def system(self) -> SearchedText:
        return SearchedText([self.request.system])

    @lazy
    def last_message(self) -> SearchedText:
        """The newest turn, the text of tool results included."""
        last = blocks(self.request.messages[0]["content"]) if self._last is None else self._last
        return SearchedText([result_text(b) if b["type"] == "tool_result" else b.get("text", "") for b in last])

    @lazy
    def called(self) -> Mapping[str, str]:
        """tool_use id -> the tool's name, over the whole conversation."""
        return {id: block["name"] for id, block in self.calls.items()}

    @lazy
    def calls(self) -> Mapping[str, Block]:
        """tool_use id -> the call, over the whole conversation."""
        return {
            block["id"]: block
            for message in self.request.messages
            if not isinstance(message["content"], str)
            for block in message["content"]
            if block["type"] == "tool_use"
        }


class ConditionContext(NamedTuple):
    """What a condition is asked about: the request, the prompt at one human turn, in cases the place in the script."""

    view: RequestView
    prompt: SearchedText
    turn: int = 0
    attempt: int = 0

    def at(self, turn: int, attempt: int) -> "ConditionContext":
        return self._replace(turn=turn, attempt=attempt)

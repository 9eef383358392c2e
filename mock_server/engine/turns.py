"""A conversation -> human turns, the anchor of a scenario in it, and the position in the scenario's script.

The API is stateless: every request carries the whole conversation, so the position is read from it and no retry,
warm-up call or second replica can push a script out of step.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple
from unicodedata import category

from mock_server.protocol import marks
from mock_server.protocol.blocks import is_server_tool
from mock_server.protocol.request import Block, blocks
from mock_server.scenario.match import Said

NAMED = re.compile(r"\[\[scenario:([^\[\]\n]+)\]\]")  # how a text names the scenario that is to answer
_MOST_READ, _LONGEST_TOPIC, _LONGEST_WORD = 4000, 60, 24  # characters
_MARKUP = frozenset('<>{}[]"`\\|')


class Turn(NamedTuple):
    """Consecutive messages of one role as one; system messages are left out before."""

    role: str
    content: tuple[Block, ...]

    @property
    def is_human(self) -> bool:
        """A user turn that is not an answer to a tool call."""
        return self.role == "user" and "tool_result" not in [block["type"] for block in self.content]

    @property
    def said(self) -> Said:
        """What a person says in it: in a turn of the assistant's nothing, even where that stands in for a human one."""
        texts = [block["text"] for block in self.content if block["type"] == "text"] if self.role == "user" else []
        return Said(texts or [""])

    @property
    def typed(self) -> list[str]:
        """The beginning of each text that a person typed: without names of scenarios, and without what an agent has
        put beside it in tags."""
        texts = [text.strip() for text in self.said.parts]
        return [NAMED.sub(" ", one[:_MOST_READ]) for one in texts if not (one.startswith("<") and one.endswith(">"))]

    @property
    def topic(self) -> str:
        """The first words of what a person typed last: without markup and marks around them, some 60 characters."""
        found = next((text for text in reversed(self.typed) if text.strip()), "")
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


class Conversation(NamedTuple):
    """The turns of one request and which of them are human."""

    turns: tuple[Turn, ...]
    human: tuple[int, ...]

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
    if len(messages) == 1 and messages[0]["role"] == "user":  # what most requests are
        return Conversation((Turn("user", tuple(blocks(messages[0]["content"]))),), (0,))
    spoken = [message for message in messages if message["role"] != "system"]
    turns = tuple(
        [
            Turn(role, tuple([block for message in run for block in blocks(message["content"])]))
            for role, run in groupby(spoken, key=lambda message: str(message["role"]))
        ]
    )
    if not turns:  # system messages alone
        turns = (Turn("user", ()),)
    human = tuple([at for at, turn in enumerate(turns) if turn.is_human])
    return Conversation(turns, human or (0,))


_NONE: Mapping[str, int] = {}


def position(
    found: Conversation, anchor: int, tag: str, pauses: Callable[[int], bool], pinned: Mapping[str, int] = _NONE
) -> int:
    """Where in its script a scenario stands, counted from 1, for the anchor (an index into the turns).

    One past the newest position that ids of this scenario name (those it makes, and those it pins to one turn), plus
    the assistant turns after that; with no such id, the assistant turns since the anchor. `pauses(p)` says whether turn
    p of the script pauses: a paused turn that a user's turn follows was resumed in between, in the same assistant turn,
    and the script stands further on. A trailing assistant turn counts only when it is a paused one.
    """
    last = len(found.turns) - 1
    if anchor == last and found.turns[last].is_human:
        return 1
    reached = 0
    for at in range(anchor, last + 1):
        turn = found.turns[at]
        named = max(_positions(turn, tag, pinned), default=0)
        if turn.role == "user":
            reached = max(reached, named)
        elif at < last:
            reached = _resumed(named or reached + 1, pauses)
        elif found.continues:
            reached = named or reached + 1
    return reached + 1


def _resumed(reached: int, pauses: Callable[[int], bool]) -> int:
    while pauses(reached):
        reached += 1
    return reached


def _positions(turn: Turn, tag: str, pinned: Mapping[str, int]) -> list[int]:
    """The positions that ids in this turn name, for the scenario of this tag.

    An assistant's turn stands where its own calls do: a result in it may answer a call of an earlier turn.
    """
    key = "id" if turn.role == "assistant" else "tool_use_id"
    ids = [id for block in turn.content if block["type"] != "text" and isinstance(id := block.get(key), str)]
    minted = [found for id in ids if (found := marks.read(id)) is not None and found.scenario == tag]
    return [found.position for found in minted] + [pinned[id] for id in ids if id in pinned]


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

"""What was understood of bodies, for those that begin as one of them did: an agent's n-th turn costs what is new in it.

A body is its messages and the rest: `head`, the bytes before the first message, and `tail`, those from the end of the
list on. A rest that passed every rule is kept, with all that was worked out of it, and so are the conversations that
came with it. A body with the same head and tail is read again only from where its bytes part from a kept conversation.

Nothing is guessed: JSON is read from left to right, so the same bytes mean the same up to there, and what is new has to
be whole messages, read by the same decoder, or else the body is read as any other. What is kept hangs on the profile,
the endpoint and the headers that rules ask for. Past a budget of bytes it starts afresh.
"""

import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from json.decoder import WHITESPACE, JSONArray, JSONObject, scanstring  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

from mock_server.protocol.profile import Profile
from mock_server.protocol.request import (
    CACHE_MARK,
    LONG,
    SCAN,
    SHORT,
    STEADY,
    Client,
    HttpRequest,
    Known,
    MessagesRequest,
    check_halves,
    client_of,
    parse,
    texts_of,
)
from mock_server.records import lazy

_BUDGET = 24 << 20
_LONG_ENOUGH = 4 << 10  # bytes of a conversation that is kept: a shorter one is read again in no time
_FRAMES, _STORIES = 6, 4  # kept under one key, the newest first
_KEYS = 512
_PATIENCE = 8  # rests that are kept under one key without any coming again, before only few are
_KEY = 64  # bytes
_PER_VALUE = 100  # bytes that Python takes for a value of JSON beside its letters
_SPACE = b" \t\r\n"
_MARK = b'"messages"'


class Story:
    """A conversation: the bytes of its messages, where each ends in them, the messages, and what is known of them.

    `pieces`: these bytes in a few pieces, each of which ends with a message, and each more than twice as long as the
    next. A conversation that goes on from another one has most of them in common with it.
    """

    __slots__ = ("ends", "had", "messages", "pieces", "scanned", "weight")

    def __init__(self, pieces: Sequence[bytes], ends: Sequence[int], request: MessagesRequest, weight: int) -> None:
        self.pieces = pieces
        self.ends = ends
        self.messages: list[Any] = request.body["messages"]
        self.scanned = request.scanned
        self.had = request.had
        self.weight = weight

    def shared(self, body: bytes, start: int, stop: int) -> int:
        """How many of its messages stand at the beginning of those that `body` has there, byte by byte."""
        at, ends = start, self.ends
        for piece in self.pieces:
            if at + len(piece) > stop or not body.startswith(piece, at):
                break
            at += len(piece)
        else:
            return len(ends)
        before = at - start
        low = bisect_right(ends, before)
        high = bisect_right(ends, min(stop - start, before + len(piece)))  # so many are the same, and so many may be
        while low < high:
            middle = (low + high + 1) // 2
            begin, end = (ends[low - 1] if low else 0), ends[middle - 1]
            if piece[begin - before : end - before] == body[start + begin : start + end]:
                low = middle
            else:
                high = middle - 1
        return low

    def until(self, end: int) -> list[bytes]:
        """The pieces of the bytes up to one of its ends."""
        kept, at = [], 0
        for piece in self.pieces:
            if at + len(piece) > end:
                kept += [piece[: end - at]] if end > at else []
                break
            kept.append(piece)
            at += len(piece)
        return kept


def _joined(pieces: list[bytes]) -> Sequence[bytes]:
    """The same bytes in pieces of which each is more than twice as long as the next."""
    while len(pieces) > 1 and len(pieces[-2]) <= 2 * len(pieces[-1]):
        last = pieces.pop()
        pieces[-1] += last
    return pieces


_CONTENT, _TEXT = (re.compile(rb'"%b"[ \t\r\n]*:[ \t\r\n]*"' % name) for name in (b"content", b"text"))


class _OfRest:
    """A field that a request has from the rest of its body."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, request: "TextRequest", owner: type) -> Any:
        return request.frame.worked_out[self._name]


class TextRequest(MessagesRequest):
    """A request of which one text is all that is its own. `frame` has the rest; what is made of both is made for
    whoever looks."""

    has_blocks = is_marked = False

    def __init__(self, frame: "Frame", headers: Mapping[str, str], raw: bytes, text: str, *, in_block: bool) -> None:
        self.frame = frame
        self.in_block = in_block
        self.known = frame.known
        self.steady = frame.steady
        self.max_tokens = frame.max_tokens
        self.headers = headers
        self.raw = raw
        self.question = (text,)

    if not TYPE_CHECKING:
        betas, model, tool_names, tools = _OfRest(), _OfRest(), _OfRest(), _OfRest()

        @lazy
        def messages(self) -> list[Any]:
            text = self.question[0]
            content = [{"type": "text", "text": text}] if self.in_block else text
            return [{"role": "user", "content": content}]

        @lazy
        def body(self) -> dict[str, Any]:
            return {**self.frame.fields, "messages": self.messages}


class Frame:
    """All of a body but its messages: how it begins and ends, its fields, and what it was sent with."""

    __slots__ = (
        "around", "fields", "head", "is_marked", "known", "max_tokens", "sent", "steady", "stories", "tail",
        "worked_out",
    )  # fmt: skip

    def __init__(
        self, head: bytes, tail: bytes, fields: dict[str, Any], request: MessagesRequest, sent: "_Sent"
    ) -> None:
        self.head = head
        self.tail = tail
        self.fields = fields
        self.steady = request.steady
        self.worked_out = {name: getattr(request, name) for name in STEADY if name != "max_tokens" or name in fields}
        self.max_tokens: int = self.worked_out.get("max_tokens", 0)
        self.sent = sent
        self.is_marked = CACHE_MARK in head or CACHE_MARK in tail
        self.stories: dict[bytes, list[Story]] = {}
        self.known = Known(None, self.steady, 0, 0)  # of all short bodies: nobody asks where what is new stands
        # what stands before and after the one text of a question, as it first came as a string and as a block
        self.around: tuple[tuple[bytes, bytes, bool], ...] = ()

    def fits(self, body: bytes, sent: "_Sent") -> bool:
        """Whether a body begins and ends so, and was sent so."""
        return (
            body.startswith(self.head)
            and body.endswith(self.tail)
            and len(self.head) + len(self.tail) <= len(body)
            and self.sent[0] is sent[0]  # to compare profiles takes long
            and self.sent == sent
        )

    def read(self, body: bytes, headers: Mapping[str, str]) -> MessagesRequest | None:
        """The request of a body that fits, or None: what stands between is no whole messages, or no JSON."""
        start, stop = len(self.head), len(body) - len(self.tail)
        known = self.known if len(body) < SHORT else Known(self, self.steady, start, stop)
        is_long, raw = stop - start >= _LONG_ENOUGH, b""
        try:
            if is_long:
                messages = self._continued(body, known)
            else:
                raw = body[start:stop]
                text = f"[{raw.decode()}]"
                messages, end = SCAN(text, 0)
                if end != len(text):
                    return None
                if "\\" in text:
                    check_halves(text)
        except (ValueError, StopIteration, RecursionError):
            return None
        fields = {**self.worked_out, "body": {**self.fields, "messages": messages}, "headers": headers, "raw": body}
        fields["messages"], fields["known"] = messages, known
        texts = texts_of(messages[0]) if len(messages) == 1 else None
        if texts is not None:
            fields["question"], fields["has_blocks"] = texts, False
        if not is_long:
            fields["is_marked"] = self.is_marked or CACHE_MARK in raw
        if texts is not None and len(texts) == 1 and len(self.around) < 2 and len(body) < SHORT and not self.is_marked:
            self._learn(body, raw, texts[0], in_block=type(texts) is not tuple)
        return MessagesRequest.of(fields)

    def _learn(self, body: bytes, raw: bytes, text: str, *, in_block: bool) -> None:
        """Note what stands around the one string of a message (`in_block`: of the one text block in it), where that is
        plain to see."""
        key = _TEXT if in_block else _CONTENT
        begin = key.search(raw)
        if begin is None or not body.isascii() or not self.max_tokens or in_block in [one[2] for one in self.around]:
            return
        start = len(self.head) + begin.end()
        found, end = scanstring(body.decode("ascii"), start, True)
        opening, closing = body[:start], body[end - 1 :]
        around = opening[len(self.head) :] + closing[: -len(self.tail)]
        if found != text or b"\\" in around or around.count(b'"content"') != 1 or len(key.findall(around)) != 1:
            return
        self.around = (*self.around, (opening, closing, in_block))

    def read_text(self, body: bytes, headers: Mapping[str, str], sent: "_Sent") -> MessagesRequest | None:
        """The request of a body that is as one before but for its one text; None where it may be another."""
        if self.sent[0] is not sent[0] or self.sent != sent or len(body) >= SHORT or not body.isascii():
            return None
        for opening, closing, in_block in self.around:
            if not body.startswith(opening) or not body.endswith(closing):
                continue
            try:
                text, end = scanstring(body.decode(), len(opening), True)
            except ValueError:
                return None
            if end - 1 != len(body) - len(closing) or not text or text.isspace():
                return None
            if len(text) != len(body) - len(opening) - len(closing) and b"\\u" in body:  # it may name half a character
                return None
            return TextRequest(self, headers, body, text, in_block=in_block)
        return None

    def _continued(self, body: bytes, known: Known) -> list[Any]:
        """The messages of a longer conversation. Raises ValueError when they are none."""
        start, stop = known.start, known.stop
        story, shared = self._nearest(body, start, stop)
        if story is None:
            messages, known.ends = elements(body[start:stop].decode())
            return messages
        end = story.ends[shared - 1]
        known.shared, known.scanned, known.had, known.story = shared, story.scanned, story.had, story
        known.start = start + end
        rest = body[known.start : stop].lstrip(_SPACE)
        if not rest:
            known.ends = story.ends[:shared]
            return story.messages[:shared]
        if not rest.startswith(b","):
            raise ValueError
        new, ends = elements(rest[1:].decode())
        if not new:
            raise ValueError
        at = stop - start - len(rest) + 1
        known.ends = [*story.ends[:shared], *[at + one for one in ends]]
        messages = story.messages[:shared]
        messages += new
        return messages

    def _nearest(self, body: bytes, start: int, stop: int) -> tuple[Story | None, int]:
        """The conversation that most messages are shared with, and how many; none where they share none."""
        best, most = None, 0
        for story in self.stories.get(body[start : min(stop, start + _KEY)], ()):
            shared = story.shared(body, start, stop)
            if shared > most:
                best, most = story, shared
            if shared == len(story.ends):
                break
        return best, most


# what rules ask for beside the body: the profile, the endpoint, `anthropic-beta` and `anthropic-version`
_Sent = tuple[Profile, str, str | None, str | None]


class _Bucket:
    """The rests that are told apart only by looking at all of them; `missed`: kept since one of them came again."""

    __slots__ = ("frames", "missed")

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.missed = 0


class Beginnings:
    """Reads bodies with what it kept of earlier ones. `keep` is for requests that passed every rule, and for no other.

    For one thread: a body that is read apart (`LONG`) is not looked up here.
    """

    def __init__(self, budget: int = _BUDGET) -> None:
        self.budget = budget
        self.held = 0
        self._last: Frame | None = None
        self._buckets: OrderedDict[Any, _Bucket] = OrderedDict()

    def read(self, http: HttpRequest, profile: Profile, client: Client | None = None) -> MessagesRequest:
        """The request a body holds. Raises ApiError (400) when it is not a JSON object."""
        endpoint, headers, body = http.path, http.headers, http.body
        if len(body) < LONG:
            client = client or client_of(headers)
            sent = profile, endpoint, client.betas, client.version
            frame = self._last
            if frame is not None and (request := frame.read_text(body, headers, sent)) is not None:
                return request
            if frame is None or not frame.fits(body, sent):
                self._last = frame = self._fitting(body, sent)
            if frame is not None and (request := frame.read(body, headers)) is not None:
                return request
        return parse(body, headers)

    def _fitting(self, body: bytes, sent: _Sent) -> Frame | None:
        """Of the rests that a body may have, the one that leaves least of it to be read."""
        bucket = self._buckets.get(_key(body, sent))
        fitting = () if bucket is None else [frame for frame in bucket.frames if frame.fits(body, sent)]
        if bucket is not None and fitting:
            bucket.missed = 0
        return max(fitting, key=_length, default=None)

    def keep(self, request: MessagesRequest, profile: Profile, endpoint: str) -> None:
        """Remember a request that passed every rule of an endpoint under a profile."""
        body = request.raw
        if not body or len(body) >= LONG:
            return
        known = request.known
        if known is not None:
            if known.ends:
                self._story(known.kept, request, known.ends, _weight(body[known.start : known.stop]))
            return
        client = client_of(request.headers)
        sent = profile, endpoint, client.betas, client.version
        key = _key(body, sent)
        bucket = self._buckets.get(key)
        if bucket is None:  # one that comes once is not worth it
            self._buckets[key] = _Bucket()
            if len(self._buckets) > _KEYS:
                self._forget(self._buckets.popitem(last=False)[1].frames)
            return
        self._buckets.move_to_end(key)
        bucket.missed += 1
        if bucket.missed <= _PATIENCE or bucket.missed % _PATIENCE == 0:
            self._frame(bucket, request, sent)

    def _frame(self, bucket: _Bucket, request: MessagesRequest, sent: _Sent) -> None:
        body = request.raw
        apart = taken_apart(body)
        if apart is None:
            return
        fields, start, ends, stop = apart
        head, tail = body[:start], body[stop:]
        frame = Frame(head, tail, fields, request, sent)
        bucket.frames.insert(0, frame)
        self._forget(bucket.frames[_FRAMES:])
        del bucket.frames[_FRAMES:]
        self.held += _weight(head) + _weight(tail)
        self._last = frame
        if stop - start >= _LONG_ENOUGH:
            request.known = Known(frame, request.steady, start, stop)
            self._story(frame, request, ends, _weight(body[start:stop]))
        self._within_budget()

    def _story(self, frame: Frame, request: MessagesRequest, ends: Sequence[int], weight: int) -> None:
        known, body = request.known, request.raw
        assert known is not None
        start = len(frame.head)
        listed = frame.stories.setdefault(body[start : start + _KEY], [])
        old: Story | None = known.story
        if old is None:
            pieces = [body[start : start + ends[-1]]]
        else:
            end = old.ends[known.shared - 1]
            pieces = old.until(end)
            if ends[-1] > end:
                pieces.append(body[start + end : start + ends[-1]])
            if old in listed:
                weight += old.weight * known.shared // len(old.ends)
                if len(old.ends) - known.shared < 4:
                    self.held -= old.weight
                    listed.remove(old)
        listed.insert(0, Story(_joined(pieces), ends, request, weight))
        self.held += weight + sum([-one.weight for one in listed[_STORIES:]])
        del listed[_STORIES:]
        self._within_budget()

    def _forget(self, frames: list[Frame]) -> None:
        for frame in frames:
            self.held -= _weight(frame.head) + _weight(frame.tail)
            self.held -= sum(one.weight for listed in frame.stories.values() for one in listed)
            if frame is self._last:
                self._last = None

    def _within_budget(self) -> None:
        if self.held > self.budget:
            kept = [frame for bucket in self._buckets.values() for frame in bucket.frames]
            for frame in kept if self._last is None else [*kept, self._last]:
                frame.stories.clear()  # a request under way may still have it
            self._buckets.clear()
            self.held = 0
            self._last = None


def _key(body: bytes, sent: _Sent) -> Any:
    """What bodies of the same rest have in common, whatever is in their messages."""
    at = body.find(_MARK)
    return sent[1:], at, body[max(0, at - _KEY) : at]


def _length(frame: Frame) -> int:
    return len(frame.head) + len(frame.tail)


def _weight(text: bytes) -> int:
    """About so many bytes are held for what a JSON text says."""
    return 4 * len(text) + _PER_VALUE * (text.count(b",") + text.count(b"[") + text.count(b"{"))


def elements(text: str) -> tuple[list[Any], list[int]]:
    """The elements of a list, whose text this is but for its brackets, and where each ends, in bytes.

    Raises ValueError when it is none.
    """
    ends: list[int] = []

    def element(text: str, at: int) -> tuple[Any, int]:
        found: tuple[Any, int] = SCAN(text, at)
        ends.append(found[1])
        return found

    whole = f"[{text}]"
    try:
        values, end = JSONArray((whole, 1), element)
    except (StopIteration, RecursionError) as error:
        raise ValueError from error
    if end != len(whole):
        raise ValueError
    check_halves(whole)
    return values, [at - 1 for at in _in_bytes(whole, ends)]


def taken_apart(body: bytes) -> tuple[dict[str, Any], int, list[int], int] | None:
    """A JSON object's fields, with None for `messages`; where the first message begins, where in what follows each
    ends, and where the list ends. None where it is no object with one list of that name.
    """
    lists: list[tuple[int, list[int], int] | None] = []

    def element(text: str, at: int) -> tuple[Any, int]:
        found: tuple[Any, int] = SCAN(text, at)
        lists[-1][1].append(found[1])  # type: ignore[index]
        return found

    def value(text: str, at: int) -> tuple[Any, int]:
        if text[at : at + 1] != "[":
            lists.append(None)
            return SCAN(text, at)
        lists.append((at + 1, [], 0))
        found: tuple[Any, int] = JSONArray((text, at + 1), element)
        lists[-1] = (*lists[-1][:2], found[1] - 1)  # type: ignore[index]
        return found

    try:
        text = body.decode()
        begin = WHITESPACE.match(text, 0).end()
        if text[begin : begin + 1] != "{":
            return None
        pairs, _ = JSONObject((text, begin + 1), True, value, None, list, {})
    except (ValueError, StopIteration, RecursionError):
        return None
    named = [at for at, (name, _) in enumerate(pairs) if name == "messages"]
    place = lists[named[0]] if len(named) == 1 else None
    if place is None:
        return None
    first, ends, last = place
    first, *ends, last = _in_bytes(text, [first, *ends, last])
    return {**dict(pairs), "messages": None}, first, [end - first for end in ends], last


def _in_bytes(text: str, places: list[int]) -> list[int]:
    """Where these places of a text, in order, are in its bytes."""
    if text.isascii():
        return places
    found, at, before = [], 0, 0
    for place in places:
        at += len(text[before:place].encode())
        found.append(at)
        before = place
    return found

"""Requests that came before and would be answered alike: the same bytes again go from bytes to bytes.

What is kept is the result of the straight line, and it says itself when it may be kept (`Exchange.again`). It stands as
long as the same request would be answered by the same scenarios, under the same settings, in the same session and its
states: all of these are replaced when they change, never changed.
"""

import functools
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mock_server.clock import http_date
from mock_server.engine.entry import Entry, weight_of
from mock_server.engine.exchange import Alike, Call, Exchange
from mock_server.engine.seeds import Ids
from mock_server.engine.slots import Filled, ReplyStencil, cached
from mock_server.protocol.blocks import Block
from mock_server.protocol.plan import Headers, Plan
from mock_server.protocol.request import MessagesRequest
from mock_server.records import lazy, quick

if TYPE_CHECKING:
    from mock_server.engine.admission import Admitted
    from mock_server.engine.compile import CompiledReply
    from mock_server.engine.library import Library
    from mock_server.engine.session import InForce, Session, Values

MOST_BYTES = 16_000_000  # of what is kept
MOST_KEPT = 4_000
_HASHED = 4_096  # bytes of which all are hashed; of more a share, and all are compared
_OVERHEAD = 4_000


_exchange, _alike = quick(Exchange), quick(Alike)


class Again(NamedTuple):
    """What the same request is answered from the next time: the reply without ids, and what it was found among."""

    library: "Library"
    terms: "InForce"
    filled: Filled
    moved: "Values"


class Settled:
    """What plain requests come to that differ in nothing but what is said, once the same answer is chosen for them: an
    exchange, and the headers of its plan that do not change (`behind` those that every reply has for itself). `least`:
    with this `max_tokens`, and any larger one, the reply comes whole. `slots`: the reply, where each request has texts
    of its own in it.

    `frames`: how many are sent, where all go out at once; else -1. `held`: about so many bytes of its own each has.
    `wire`: the bytes of the reply with holes, as a connection sends them; made by whoever has one.
    """

    __slots__ = ("behind", "exchange", "filled", "frames", "held", "least", "slots", "terms", "wire")

    def __init__(
        self,
        terms: "InForce",
        least: int,
        exchange: Exchange,
        filled: Filled,
        behind: Headers,
        slots: "CompiledReply | None" = None,
    ) -> None:
        self.terms = terms
        self.least = least
        self.exchange = exchange
        self.filled = filled
        self.behind = behind
        self.slots = slots
        plan = exchange.plan
        (part,) = plan.parts
        self.frames = -1 if part.at[-1] or plan.manner is not None else len(part.frames)
        self.held = weight_of(plan)
        self.wire: ReplyStencil | None = None

    def holds_for(self, terms: "InForce", request: MessagesRequest) -> bool:
        """Whether a request of its kind comes to it."""
        return self.terms is terms and (self.least <= request.max_tokens or self.slots is not None)

    def alike(self, call: Call, admitted: "Admitted", content: Sequence[Block], library: "Library") -> Alike | None:
        """What one more request of its kind comes to. `content`: that of a reply with slots; None where it is too long
        for its request."""
        ids, input_tokens = call.ids, admitted.input_tokens
        second, request_id = int(call.session.clock.unix()), ids.new("req")
        values = {
            "input_tokens": b"%d" % input_tokens,
            "id": b'"%b"' % ids.new("msg").encode(),
            _REQUEST: request_id.encode(),
            _DATE: _date_bytes(second),
        }
        use = None if admitted.cache is None else admitted.cache.use
        if use is not None:
            values.update(cached(use))
            input_tokens = use.uncached
        tokens = input_tokens, self.filled.tokens[1]
        if self.slots is not None:
            texts, output = self.slots.texts_of(content, admitted.model)
            if output > admitted.request.max_tokens:
                return None
            values.update(texts, output_tokens=b"%d" % output)
            tokens = input_tokens, output
        again = None
        if call.again and self.slots is None and use is None:
            again = Again(library, self.terms, self.filled.after(input_tokens), call.session.moved)
        return _alike((self, values, tokens, second, request_id, again))

    def exchange_of(self, alike: Alike) -> Exchange:
        """The exchange that is like the first one."""
        plan = self.plan(alike.second, alike.request_id, alike.values, alike.tokens)
        return _exchange((plan, *self.exchange[1:-1], alike.again))

    def plan(
        self, second: int, request_id: str, values: Mapping[str, bytes], tokens: tuple[int, int] | None = None
    ) -> Plan:
        """The plan with these values in it: those of `filled` that each exchange has for itself."""
        return self.filled.plan(values, self.terms.headers_at(second, request_id) + self.behind, tokens)

    def marked(self, values: Mapping[str, bytes]) -> tuple[Plan, dict[str, bytes]]:
        """Its plan with a mark in every place that each exchange has for itself, as long as its value here where that
        is long, and the marks: nothing else in a reply has the byte that they begin with."""
        marks = {name: (b"\0%d\0" % at).ljust(len(value), b"\0") for at, (name, value) in enumerate(values.items())}
        plan = self.plan(0, marks[_REQUEST].decode(), marks)
        at = len(self.filled.headers)  # where the date stands
        headers = plan.headers
        dated = (*headers[:at], (headers[at][0], marks[_DATE].decode()), *headers[at + 1 :])
        return plan._replace(headers=dated), marks


class Repeated(Entry):
    """One more exchange like one before; it has ended, unless its reply takes time. What the journal shows of it is
    worked out when read."""

    def __init__(
        self, first: "Remembered", number: int, at: float, second: int, request_id: str, drawn: dict[str, bytes]
    ) -> None:
        """`second`: when the reply says it was made. `drawn`: the ids in it."""
        self.__dict__.update(first.shared)
        self.number = number
        self.at = at
        self._first = first
        self._second = second
        self._request_id = request_id
        self._drawn = drawn
        if self.ending is None:
            self._began = self.journal.clock.now()

    @lazy
    def exchange(self) -> Exchange:
        """Its plan, and what chose it."""
        return self._first.exchange(self._second, self._request_id, self._drawn)

    def sent_by(self, wire: ReplyStencil) -> bytes:
        """The bytes of its reply."""
        return wire.fill({_DATE: _date_bytes(self._second), _REQUEST: self._request_id.encode(), **self._drawn})


@functools.lru_cache(maxsize=16)
def _date_bytes(second: int) -> bytes:
    """The date of a reply as it is sent."""
    return http_date(second).encode()


_DATE, _REQUEST = "date", "request_id"
# what no other entry shares with the first
_OWN = frozenset(
    ("number", "at", "exchange", "alike", "request", "outline", "ending", "weight", "is_awaited", "is_paced", "_sent")
)


class Remembered:
    """A request that came, with what its reply is made from.

    `wire`: the bytes of a reply that goes out at once, with holes, as a connection sends them; made by whoever has one.
    """

    __slots__ = ("again", "asked", "came", "entry", "is_made_up", "key", "like", "path", "session", "shared", "wire")

    def __init__(self, came: bytes, session: "Session", asked: str | None, key: str, path: str, entry: Entry) -> None:
        """`asked`, `key`: what the request's session goes by. `path`: as it came. `entry`: what it came to."""
        self.came = came
        self.session = session
        self.asked = asked
        self.key = key
        self.path = path
        self.entry = entry
        first = entry.exchange
        self.is_made_up = first.scenario is None
        again = first.again
        assert again is not None
        self.again = again
        self.like = Settled(again.terms, 0, first, again.filled, behind(first.plan, again.filled, again.terms))
        ending = ("completed", self.like.frames, 0.0) if self.is_at_once else None
        alike = Alike(self.like, {}, again.filled.tokens, 0, "", None)  # it is counted by this
        kept = {name: value for name, value in vars(entry).items() if name not in _OWN}
        self.shared = {**kept, "ending": ending, "alike": alike, "weight": entry.weigh()}
        self.wire: ReplyStencil | None = None

    @property
    def is_at_once(self) -> bool:
        """Whether nothing of its reply waits for its time."""
        return self.like.frames >= 0

    @property
    def weight(self) -> int:
        """The bytes that it keeps."""
        return _OVERHEAD + 2 * len(self.came) + 2 * sum(map(len, self.entry.plan.frames))

    def exchange(self, second: int, request_id: str, drawn: Mapping[str, bytes]) -> Exchange:
        """The same exchange with other ids and another time."""
        return self.like.exchange._replace(plan=self.like.plan(second, request_id, drawn))

    def marked(self) -> tuple[Plan, dict[str, bytes]]:
        """Its plan with marks, and the marks; see `Settled.marked`."""
        ids = Ids(None)
        own = {_DATE: _date_bytes(0), _REQUEST: ids.new("req").encode()}
        return self.like.marked({**own, **self.again.filled.drawn(ids, str)})


def behind(plan: Plan, filled: Filled, terms: "InForce") -> Headers:
    """The headers of a plan that do not change, behind those that every reply has for itself."""
    return plan.headers[len(filled.headers) + len(terms.headers_at(0, "")) :]


class Memory:
    """Requests that are remembered, by the bytes that came: at most so many, and so much; the oldest go first.

    One is kept when it comes the second time: most never do.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[object, Remembered] = OrderedDict()
        self._bytes = 0
        self._seen: set[int] = set()
        self._seen_before: set[int] = set()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, came: bytes) -> Remembered | None:
        """What is known of these bytes."""
        found = self._kept.get(came if len(came) <= _HASHED else _name(came))
        return found if found is not None and found.came == came else None

    def has_seen(self, came: bytes) -> bool:
        """Whether these bytes came before; they have from now on."""
        name = hash(came if len(came) <= _HASHED else _name(came))
        if name in self._seen or name in self._seen_before:
            return True
        self._seen.add(name)
        if len(self._seen) > MOST_KEPT:
            self._seen_before, self._seen = self._seen, set()
        return False

    def keep(self, one: Remembered) -> None:
        """Remember a request."""
        self.drop(one)
        self._kept[_name(one.came)] = one
        self._bytes += one.weight
        while len(self._kept) > 1 and (len(self._kept) > MOST_KEPT or self._bytes > MOST_BYTES):
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.weight

    def forget(self, session: "Session") -> None:
        """A session has ended: let go of it and of what was asked in it."""
        for one in [one for one in self._kept.values() if one.session is session]:
            self.drop(one)

    def drop(self, one: Remembered) -> None:
        """Forget a request, and whatever goes by the same name."""
        found = self._kept.pop(_name(one.came), None)
        if found is not None:
            self._bytes -= found.weight


def _name(came: bytes) -> object:
    """What bytes go by: those that are alike go by the same name, and few others do."""
    length = len(came)
    return came if length <= _HASHED else (length, came[:: length // 1024], came[-256:])

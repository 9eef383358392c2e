"""Requests that came before and would be answered alike: the same bytes again go from bytes to bytes.

What is kept is the result of the straight line, and it says itself when it may be kept (`Exchange.again`). It stands as
long as the same request would be answered by the same scenarios, under the same settings, in the same session and its
states: all of these are replaced when they change, never changed.
"""

import functools
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mock_server.clock import http_date
from mock_server.engine.entry import Entry
from mock_server.engine.exchange import Call, Exchange
from mock_server.engine.seeds import Ids
from mock_server.engine.slots import Filled, Stencil, cached
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


_exchange = quick(Exchange)


class Again(NamedTuple):
    """What the same request is answered from the next time: the reply without ids, and what it was found among."""

    library: "Library"
    terms: "InForce"
    filled: Filled
    moved: "Values"


class Settled(NamedTuple):
    """What plain requests come to that differ in nothing but what is said, once the same answer is chosen for them: an
    exchange, and the headers of its plan that do not change (`behind` those that every reply has for itself). `least`:
    with this `max_tokens`, and any larger one, the reply comes whole. `slots`: the reply, where each request has texts
    of its own in it."""

    terms: "InForce"
    least: int
    exchange: Exchange
    filled: Filled
    behind: Headers
    slots: "CompiledReply | None" = None

    def holds_for(self, terms: "InForce", request: MessagesRequest) -> bool:
        """Whether a request of its kind comes to it."""
        return self.terms is terms and (self.least <= request.max_tokens or self.slots is not None)

    def exchange_of(
        self, call: Call, admitted: "Admitted", content: Sequence[Block], library: "Library"
    ) -> Exchange | None:
        """What one more request of its kind comes to. `content`: that of a reply with slots; None where it is too long
        for its request."""
        terms, ids, filled, input_tokens = self.terms, call.ids, self.filled, admitted.input_tokens
        if admitted.cache is None:
            values = {"input_tokens": b"%d" % input_tokens}
        else:
            values, input_tokens = cached(admitted.cache.use), admitted.cache.use.uncached
        tokens = input_tokens, filled.tokens[1]
        if self.slots is not None:
            texts, output = self.slots.texts_of(content, admitted.model)
            if output > admitted.request.max_tokens:
                return None
            values.update(texts, output_tokens=b"%d" % output)
            tokens = input_tokens, output
        request_id, message_id = ids.new("req"), ids.new("msg")
        own = terms.headers_at(int(call.session.clock.unix()), request_id)
        values["id"] = b'"%b"' % message_id.encode()
        plan = filled.plan(values, own + self.behind, tokens)
        is_kept = call.again and filled.is_at_once and self.slots is None and admitted.cache is None
        again = Again(library, terms, filled.after(input_tokens), call.session.moved) if is_kept else None
        return _exchange((plan, *self.exchange[1:-1], again))


class Repeated(Entry):
    """One more exchange like one before, which has ended; what the journal shows of it is worked out when read."""

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

    @lazy
    def exchange(self) -> Exchange:
        """Its plan, and what chose it."""
        return self._first.exchange(self._second, self._request_id, self._drawn)

    def sent_by(self, wire: Stencil) -> bytes:
        """The bytes of its reply."""
        return wire.fill({_DATE: _date_bytes(self._second), _REQUEST: self._request_id.encode(), **self._drawn})


@functools.lru_cache(maxsize=16)
def _date_bytes(second: int) -> bytes:
    """The date of a reply as it is sent."""
    return http_date(second).encode()


_DATE, _REQUEST = "date", "request_id"
# what no other entry shares with the first
_OWN = frozenset(("number", "at", "exchange", "request", "outline", "ending"))


class Remembered:
    """A request that came, with what its reply is made from.

    `wire`: the bytes of the reply with holes, as a connection sends them; made by whoever has one.
    """

    __slots__ = ("_behind", "again", "asked", "came", "entry", "key", "session", "shared", "tally", "wire")

    def __init__(self, came: bytes, session: "Session", asked: str | None, key: str, entry: Entry) -> None:
        """`asked`, `key`: what the request's session goes by. `entry`: what it came to, which has ended."""
        self.came = came
        self.session = session
        self.asked = asked
        self.key = key
        self.entry = entry
        again = entry.exchange.again
        assert again is not None
        self.again = again
        self._behind = len(again.filled.headers) + len(self._own(0, ""))  # where headers begin that are always the same
        whole = ("completed", len(entry.plan.frames), 0.0)
        self.shared = {**{name: value for name, value in vars(entry).items() if name not in _OWN}, "ending": whole}
        self.tally = (entry.scenario, entry.status, whole[0]), entry.tokens
        self.wire: Stencil | None = None

    @property
    def weight(self) -> int:
        """The bytes that it keeps."""
        return _OVERHEAD + 2 * len(self.came) + 2 * sum(map(len, self.entry.plan.frames))

    def exchange(self, second: int, request_id: str, drawn: dict[str, bytes]) -> Exchange:
        """The same exchange with other ids and another time."""
        first = self.entry.exchange
        plan = self.again.filled.plan(drawn, self._own(second, request_id))
        return first._replace(plan=plan._replace(headers=(*plan.headers, *first.plan.headers[self._behind :])))

    def marked(self) -> tuple[Plan, dict[str, bytes]]:
        """Its plan with a mark in every place that each exchange has for itself, as long as what will stand there, and
        the marks: nothing else in a reply has the byte that they begin with."""
        ids = Ids(None)
        said = {_DATE: _date_bytes(0), _REQUEST: ids.new("req").encode(), **self.again.filled.drawn(ids, str)}
        marks = {name: b"\0%d" % at + b"\0" * (len(said[name]) - len(b"\0%d" % at)) for at, name in enumerate(said)}
        drawn = {name: mark for name, mark in marks.items() if name not in (_DATE, _REQUEST)}
        exchange = self.exchange(0, marks[_REQUEST].decode(), drawn)
        at = len(self.again.filled.headers)  # where the date stands
        headers = exchange.plan.headers
        dated = (*headers[:at], (headers[at][0], marks[_DATE].decode()), *headers[at + 1 :])
        return exchange.plan._replace(headers=dated), marks

    def _own(self, second: int, request_id: str) -> Headers:
        """The headers that every reply has for itself: the date, its ids, whose it is."""
        return self.again.terms.headers_at(second, request_id)


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

    def drop(self, one: Remembered) -> None:
        """Forget a request, and whatever goes by the same name."""
        found = self._kept.pop(_name(one.came), None)
        if found is not None:
            self._bytes -= found.weight


def _name(came: bytes) -> object:
    """What bytes go by: those that are alike go by the same name, and few others do."""
    length = len(came)
    return came if length <= _HASHED else (length, came[:: length // 1024], came[-256:])

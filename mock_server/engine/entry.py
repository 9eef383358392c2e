"""An entry of the journal: one exchange, from the request to how its reply ended."""

from collections.abc import Callable, Mapping, Sequence
from operator import sub
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mock_server.clock import VirtualClock
from mock_server.engine.exchange import Alike, Exchange
from mock_server.engine.gates import Gates
from mock_server.engine.masking import key_mark, masked, masked_query
from mock_server.engine.request_view import Request
from mock_server.protocol import completion
from mock_server.protocol.errors import excerpt
from mock_server.protocol.message import plain, sent_message
from mock_server.protocol.plan import JSON_HEADERS, SSE_HEADERS, Plan
from mock_server.protocol.request import LONG, SECRET_HEADERS, HttpRequest
from mock_server.protocol.sse import heard, read_json, readable_payload
from mock_server.records import lazy
from mock_server.scenario.conditions import Moved
from mock_server.scenario.node import several

if TYPE_CHECKING:
    from mock_server.engine.journal import Journal

PATIENCE = 5.0
_TELLING = (JSON_HEADERS[0], SSE_HEADERS[0])
KEPT_BODY = 32 << 20  # bytes of a request; of a larger one only the size is kept
KEPT_DATA = 1 << 20  # bytes of a reply that is neither JSON nor events; of a larger one only the head is kept
OUTLINED = 500  # characters of a prompt
_STRUCK = 400  # bytes that a frame and what it says take beside its text, where faults made them anew
_OVERHEAD = 1000  # bytes that an entry and its objects take beside body and reply


class Lane(Protocol):
    """What a reply is timed and held by: its session."""

    @property
    def clock(self) -> VirtualClock: ...
    @property
    def gates(self) -> Gates: ...


class Outline(NamedTuple):
    """Whether a request can be read, its model, and how its prompt begins."""

    is_readable: bool = False
    model: str | None = None
    prompt: str = ""


def without_keys(sent: Mapping[str, str]) -> Mapping[str, str]:
    """The headers in lower case without what is secret in them. They may be shared by many entries."""
    headers = dict(sent) if isinstance(sent, dict) else {name.lower(): value for name, value in sent.items()}
    for name in SECRET_HEADERS & headers.keys():
        headers[name] = key_mark(headers[name])
    return headers


_ID_HEADERS = ("request-id", "x-request-id")


class Entry:
    """One exchange: the request, what chose the reply, the reply, and how it ended.

    `at` is when the request came (unix seconds), `number` counts the requests of the whole server. Made for every
    request: it takes what there is, and works out the rest for whoever looks. `is_paced`: the reply was sent in steps.
    `weight`: the bytes that count for it, while it is held. `in_batch`: it is one of a batch. `is_awaited`: somebody
    waits for its end, and is told: its client, who gets the reply in steps, a listener, or the counts, which have it as
    open.
    """

    # as it is of most
    exception: BaseException | None = None
    ending: tuple[str, int, float] | None = None  # kind, frames and seconds; None while it is open
    _sent: Sequence[float] = ()
    is_paced = False
    alike: Alike | None = None  # what the exchange is worked out from, where nobody has looked at it yet
    weight = 0
    in_batch = False
    is_awaited = False

    def __init__(
        self,
        number: int,
        at: float,
        http: HttpRequest,
        exchange: Exchange | Alike,
        journal: "Journal",
        headers: Mapping[str, str],
    ) -> None:
        """`headers`: those of `http` as `without_keys` gives them."""
        self.number = number
        self.at = at
        if isinstance(exchange, Alike):
            self.alike = exchange
        else:
            self.exchange = exchange
        self.method = http.method
        self.path = http.path
        self.query = http.query
        self.request_headers = headers
        self._body = http.body
        self.journal = journal
        self._began = journal.clock.now()

    @lazy
    def exchange(self) -> Exchange:
        """The plan that answers the request, and what chose it."""
        assert self.alike is not None
        return self.alike.exchange()

    @property
    def like(self) -> Exchange:
        """What is the same in all exchanges that this one is like: nothing has to be worked out for it."""
        return self.exchange if self.alike is None else self.alike.settled.exchange

    def weigh(self) -> int:
        """The bytes that count for it. Of a body that is too large only the size is kept from now on."""
        size = len(self._body)
        if size > KEPT_BODY:
            self._body = b'{"size_bytes":%d}' % size
        held = weight_of(self.exchange.plan) if self.alike is None else self.alike.settled.held
        return _OVERHEAD + len(self._body) + held

    # -- the request -------------------------------------------------------------------------------------------

    @lazy
    def request(self) -> Request:
        """What came."""
        http = HttpRequest(self.method, self.path, dict(self.request_headers), self._body, None, self.query)
        return Request(http, refused="" if self.exchange.understood else self.exchange.note)

    @property
    def is_large(self) -> bool:
        """Whether it takes long to read the request again."""
        return len(self._body) >= LONG

    @lazy
    def outline(self) -> "Outline":
        """What a list shows of it. For that a long request is not kept in parsed form, many times its size."""
        request = self.request
        is_readable = self.exchange.understood and request.is_readable
        if self.is_large:
            self.__dict__.pop("request", None)
        return Outline(True, request.model, request.prompt[:OUTLINED]) if is_readable else Outline()

    @property
    def key(self) -> str:
        """The mark of the API key it came under; keys themselves are not kept."""
        return self.request_headers.get("x-api-key") or self.request_headers.get("authorization", "")

    # -- what chose --------------------------------------------------------------------------------------------

    @property
    def scenario(self) -> str | None:
        """The scenario that answered, if one did."""
        return self.exchange.scenario

    @property
    def turn(self) -> int:
        return self.exchange.turn

    @property
    def attempt(self) -> int:
        return self.exchange.attempt

    @property
    def note(self) -> str:
        """Why no scenario answered: the error, or `generated`."""
        return self.exchange.note

    @property
    def warnings(self) -> Sequence[str]:
        """What its client is warned of in the header `x-mock-warning`, in whole sentences."""
        return self.exchange.warnings

    @property
    def is_asked(self) -> bool:
        """A valid request of a kind that scenarios are asked about."""
        return self.exchange.understood and not self.exchange.aside

    @property
    def is_readable(self) -> bool:
        """Such a request of which nothing was blotted out (`redact`) that its parts need."""
        return self.is_asked and self.request.is_readable

    @property
    def unmatched(self) -> bool:
        """A valid request that no scenario answered."""
        return self.is_asked and self.exchange.scenario is None

    @property
    def unexpected(self) -> bool:
        """A request that was not as its script expects it; the note lists the differences."""
        return self.exchange.unexpected

    @property
    def contradictions(self) -> Sequence[str]:
        """What the scripted reply does against its request, in sentences."""
        return self._ended_exchange.contradictions

    @property
    def contradicted(self) -> bool:
        """Whether that fails the test of its session."""
        return self._ended_exchange.contradicted

    @property
    def side(self) -> bool:
        """A side call of an agent (its title, its quota probe, …), answered by a scenario tagged so."""
        return self.exchange.side

    # -- the reply ---------------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        return self.exchange.plan

    @property
    def status(self) -> int:
        """The HTTP status of the reply."""
        return self._ended_exchange.plan.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the reply."""
        return dict(self._ended_exchange.plan.headers)

    @property
    def request_id(self) -> str | None:
        """The id that its reply was given (`req_…`), also where a fault kept it from the client; None while a reply is
        still to be made.
        """
        plan = self.exchange.plan
        headers = (*plan.headers, *plan.whole.headers)
        return next((value for name, value in headers if name in _ID_HEADERS), None)

    @property
    def reply(self) -> Mapping[str, Any]:
        """The whole reply as JSON: the message that the stream tells too, or the error envelope; no fault is in it. Of
        data (a file, the results of a batch) its type and size.
        """
        plan = self._ended_exchange.plan.whole
        if is_data(plan):
            return {"type": "data", "content_type": dict(plan.headers)["content-type"], "size_bytes": _size(plan)}
        if plan.stream and self.path == completion.PATH:
            return completion.fold([payload for payload in plan.payloads if payload is not None])
        known: dict[str, Any] | None = plain(sent_message(plan))
        return (read_json(plan.body()) or {}) if known is None else known

    @property
    def tokens(self) -> tuple[int, int] | None:
        """Input and output tokens as the reply's usage tells them; None for an error."""
        return self.exchange.plan.whole.tokens

    @property
    def text(self) -> str:
        """The text blocks of the reply, joined; the message of an error."""
        reply = self.reply
        if reply.get("type") == "error":
            return str(reply["error"]["message"])
        if reply.get("type") == "completion":
            return str(reply["completion"])
        return "\n".join(block["text"] for block in reply.get("content", ()) if block["type"] == "text")

    @property
    def planned_events(self) -> Sequence[Mapping[str, Any]]:
        """The payloads of all events of the stream, sent or not; of a faulty one, what each frame tells."""
        plan = self._ended_exchange.plan
        if not plan.stream or is_data(plan):
            return ()
        sent = zip(plan.payloads, plan.frames, strict=True)
        return tuple([readable_payload(frame) if payload is None else plain(payload) for payload, frame in sent])

    @property
    def events(self) -> Sequence[Mapping[str, Any]]:
        """The payloads of the events that were sent, in order; none when the reply was not a stream.

        Of one that faults broke, what a client could make of the bytes.
        """
        if not self.plan.stream or is_data(self.plan):
            return ()
        if self.plan.intact is not None:
            return tuple(heard(self.sent))
        return tuple(map(plain, self.plan.payloads[: self._wait()[1]]))

    @property
    def sent(self) -> bytes:
        """The body as far as it was handed to the transport. Waits for an open exchange."""
        return b"".join(self.plan.frames[: self._wait()[1]])

    @property
    def faults(self) -> Sequence[str]:
        """The faults and gates that the reply was given, in words."""
        return self.exchange.faults

    @property
    def moved(self) -> Sequence[Moved]:
        """The states that the exchange has moved: each `state`, `before` and `after`."""
        return self.exchange.moved

    # -- the end -----------------------------------------------------------------------------------------------

    @property
    def session(self) -> str:
        """The name of the session it belongs to."""
        return self.journal.session

    @property
    def is_open(self) -> bool:
        """Whether the reply is still under way."""
        return self.ending is None

    @property
    def outcome(self) -> str:
        """`completed`, `client_left` (before all was sent), `fault` (cut short by one) or `ended` (with its session).

        Waits for an open exchange; raises StillOpen after 5 s.
        """
        return (self.ending or self._wait())[0]

    @property
    def sent_at(self) -> Sequence[float | None]:
        """For each event (or the whole body), the seconds after the request when it was sent; None: it never was."""
        _, frames, duration = self._wait()
        times = [round(at, 6) for at in self._sent] if self._sent else [duration] * frames
        return [*times, *[None] * (len(self.plan.frames) - len(times))]

    def wait(self, timeout: float = PATIENCE) -> "Entry":
        """Block until the reply has ended; gives the entry itself. Raises StillOpen after `timeout` seconds, or at once
        on the server's own thread.

        Whoever asks an open entry for its reply or its end waits as well, for 5 s at most.
        """
        self._wait(timeout)
        return self

    @property
    def lateness(self) -> float:
        """Seconds that the latest event was behind its time; 0 when all went out at once."""
        return max(map(sub, self._sent, self.due_at), default=0.0)

    @property
    def due_at(self) -> Sequence[float]:
        """For each event (or the whole body), the seconds after the request when it was due."""
        return [at / 1_000_000 for at in self.plan.due]

    @property
    def duration(self) -> float:
        """Seconds from the request to the end of the reply."""
        return self._wait()[2]

    @property
    def lane(self) -> Lane:
        """The session it is played in."""
        lane = self.journal.lane
        assert lane is not None
        return lane

    def opened(self, cut: Callable[[str], None]) -> None:
        """The reply takes time; `cut` would end it, with the outcome it is given."""
        self.journal.opened(self, cut)

    def end(self, kind: str, frames: int, sent: Sequence[float] = ()) -> None:
        """Close the entry. Called by whoever sends the reply, before its last bytes."""
        if self.ending is None:
            if sent:
                self._sent, self.is_paced, self.is_awaited = sent, True, True
            self.ending = kind, frames, self.journal.clock.now() - self._began
            if self.is_awaited:
                if self.alike is None:
                    self._let_go()
                self.journal.ended(self)

    def _let_go(self) -> None:
        """Of a large reply that is neither JSON nor events, keep the head."""
        plan = self.exchange.plan
        if plan.tokens is None and is_data(plan) and _size(plan) > KEPT_DATA:
            self.exchange = self.exchange._replace(plan=_emptied(plan))

    def take_over(self, key: str, outcome: str, duration_ms: float | None, sent: Sequence[float]) -> None:
        """Take over how it ended from what another process tells; still open when there is no duration."""
        kept = {name: value for name, value in self.request_headers.items() if name != "authorization"}
        self.request_headers = {**kept, "x-api-key": key}
        if duration_ms is not None:
            frames = len(sent) if self.plan.stream else 1
            self.ending, self._sent = (outcome, frames, duration_ms / 1000), sent
            self.is_paced = bool(sent)

    def settled(self, exchange: Exchange, exception: BaseException | None = None) -> None:
        """A function has given the reply, or failed to."""
        self.journal.settled(self, exchange)
        if exception is not None:
            self.exception = exception
            self.journal.failed(exception)

    @property
    def _ended_exchange(self) -> Exchange:
        if self.exchange.late is not None:
            self._wait()
        return self.exchange

    def _wait(self, timeout: float = PATIENCE) -> tuple[str, int, float]:
        if self.ending is None:
            self.journal.wait_until(lambda: self.ending is not None, timeout, lambda: f"still open: {self}")
        assert self.ending is not None
        return self.ending

    def __str__(self) -> str:
        prompt = self._prompt_line()
        first = self.note.split("\n")[0].removesuffix(" Nearest:")
        note = masked("; ".join((first, *self._more_warnings())).removeprefix("; "))
        by = f"{self.scenario} turn {self.turn}{note and ': ' + note}" if self.scenario else note
        end = "open" if self.ending is None else self.ending[0]
        status = "…" if self.exchange.late is not None else self.plan.status
        by += " (side call)" if self.side else ""
        by += f" ({', '.join(map(str, self.moved))})" if self.moved else ""
        path = masked(self.path) + (f"?{masked_query(self.query)}" if self.query else "")
        return f"{self.method} {path} {prompt} -> {status} {by}, {end}"

    def _more_warnings(self) -> list[str]:
        """The warnings that the note does not tell already."""
        note = self.note
        return [one for one in self.warnings if one not in note and not (note and note in one)]

    def _prompt_line(self) -> str:
        if not self.exchange.understood or not self.request.is_readable:
            return f"({several(len(self._body), 'byte')})"
        prompt = masked(" ".join(self.request.prompt.split()))
        shown = repr(excerpt(prompt, 60))
        results = self.request.tool_results
        return shown + (f" + result of {', '.join(one.of or one.id for one in results)}" if results else "")

    def __repr__(self) -> str:
        return f"<Entry {self.number}: {self}>"


def is_data(plan: Plan) -> bool:
    """Whether a reply is neither JSON nor events."""
    plan = plan.whole
    return plan.status == 200 and bool(plan.headers) and plan.headers[0] not in _TELLING


def _emptied(plan: Plan) -> Plan:
    """The plan with its times, and without what it sends."""
    return plan._replace(
        parts=tuple(part._replace(frames=(b"",) * len(part.frames), source=None, joined=None) for part in plan.parts)
    )


def _size(plan: Plan) -> int:
    return sum(len(frame) for part in plan.parts for frame in part.frames)


def weight_of(plan: Plan) -> int:
    """What a plan holds of its own: frames of a stream are mostly shared, a whole body is not."""
    if plan.tokens is not None and plan.intact is None:  # as most are: a message, whole
        frames = plan.parts[0].frames
        return 16 * len(frames) if plan.stream else len(frames[0])
    if is_data(plan):
        return min(_size(plan), KEPT_DATA)
    if plan.intact is not None:  # what faults made of it is its own
        return weight_of(plan.intact) + sum([_STRUCK + len(frame) for frame in plan.frames])
    if plan.stream:
        return 16 * sum([len(part.frames) for part in plan.parts])
    return len(plan.parts[0].frames[0])

"""`/v1/messages/batches`: create, list, get, cancel, delete, results. Shapes: docs/protocol.md F.3."""

from array import array
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from mock_server.engine.address import base_url
from mock_server.engine.batch_items import answering, headers_of
from mock_server.engine.batches import Batch, Item, Sender
from mock_server.engine.endpoints.replies import json_reply, reply_headers
from mock_server.engine.exchange import Call, Exchange, Steps, worked
from mock_server.engine.session import Terms
from mock_server.protocol.plan import Headers, Part, Plan
from mock_server.protocol.query import PAGE, id_page
from mock_server.protocol.request import HttpRequest, parse_json
from mock_server.protocol.sse import dumps, encode
from mock_server.protocol.validate.batches import requests_of

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine

PATH = "/v1/messages/batches"
JSONL: Headers = (("content-type", "application/x-jsonl"),)
# how fast results go out: a client that reads slowly does not have all of them put before it at once
PIECES_PER_MS = 16
POLL: Headers = (("retry-after", "10"),)  # when to look again at a batch that has not ended


def read(http: HttpRequest, terms: Terms) -> list[Item]:
    """The requests of a batch. Raises ApiError."""
    listed = requests_of(parse_json(http.body), terms.profile)
    return [Item(one["custom_id"], encode(dumps(one["params"]))) for one in listed]


def create(engine: "Engine", call: Call) -> Exchange:
    """`POST …/batches`."""
    call.query({})
    session = call.session
    items = call.read(read)
    now = session.clock.now()
    batch = Batch(
        "msgbatch_01" + call.ids_of().take(22),
        items,
        Sender(call.key, headers_of(call.http)),
        now=now,
        unix=session.told_unix(),
        seconds=session.terms.settings.batch_seconds,
    )
    session.batches.add(batch, now)
    return _told(call, batch)


def get(engine: "Engine", call: Call) -> Exchange:
    """`GET …/{id}`."""
    call.query({})
    batch = _named(call)
    return _looked_at(engine, call, [batch], lambda: _told(call, batch, () if batch.has_ended else POLL))


def list_all(engine: "Engine", call: Call) -> Exchange:
    """`GET …/batches`: newest first."""
    asked = call.query(PAGE)
    held = {batch.id: batch for batch in call.session.batches.newest_first()}
    shown = [held[one["id"]] for one in id_page(held, asked, lambda batch: {"id": batch.id})["data"]]
    return _looked_at(engine, call, shown, lambda: _reply(call, id_page(held, asked, lambda one: _view(call, one))))


def cancel(engine: "Engine", call: Call) -> Exchange:
    """`POST …/{id}/cancel`: what is not answered yet is canceled."""
    call.query({})
    batch = _named(call)
    batch.cancel(call.session.clock.now())
    return _told(call, batch)


def delete(engine: "Engine", call: Call) -> Exchange:
    """`DELETE …/{id}`: only what has ended."""
    call.query({})
    batch = _named(call)
    call.session.batches.delete(batch.id, call.session.clock.now())
    return _reply(call, {"id": batch.id, "type": "message_batch_deleted"})


def results(engine: "Engine", call: Call) -> Exchange:
    """`GET …/{id}/results`: one JSON line a request."""
    call.query({})
    batch = _named(call)
    batch.allow_results(call.session.clock.now())
    return _looked_at(engine, call, [batch], lambda: Exchange(_lines(call, batch), note="batch results"))


def _named(call: Call) -> Batch:
    return call.session.batches.find(call.params["id"])


def _looked_at(engine: "Engine", call: Call, batches: Iterable[Batch], reply: Callable[[], Exchange]) -> Exchange:
    """The reply once all of these batches whose time is over are answered; one that somebody else sees to is not
    waited for."""
    now = call.session.clock.now()

    def steps() -> Steps:
        for batch in batches:
            if batch.is_over(now) and not batch.has_ended and not batch.is_answering:
                yield from answering(engine, call.session, batch)
        return reply()

    return worked(steps())


def _told(call: Call, batch: Batch, more: Headers = ()) -> Exchange:
    return _reply(call, _view(call, batch), more)


def _view(call: Call, batch: Batch) -> dict[str, Any]:
    return batch.told(call.session.clock.now(), f"{base_url(call.http)}{PATH}/{batch.id}/results")


def _reply(call: Call, body: dict[str, Any], more: Headers = ()) -> Exchange:
    return Exchange(json_reply(call, body, more), note="batch")


def _lines(call: Call, batch: Batch) -> Plan:
    """The results as a body of unknown length, in the pieces they are kept in. A clock that stands still holds none of
    them back."""
    apart = 0 if call.session.clock.frozen else 1_000
    at = array("I", [piece // PIECES_PER_MS * apart for piece in range(len(batch.frames))])
    named: Headers = (("content-disposition", f"attachment; filename*=utf-8''{batch.id}_results.jsonl"),)
    return Plan(200, JSONL + reply_headers(call) + named, (Part(tuple(batch.frames), at),), True)

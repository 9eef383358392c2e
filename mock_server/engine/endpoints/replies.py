"""A JSON object as the reply of an endpoint, with the headers that every reply of a profile has."""

from collections.abc import Mapping
from typing import Any

from mock_server.engine import failure
from mock_server.engine.exchange import Call
from mock_server.protocol.plan import JSON_HEADERS, Headers, Plan, whole
from mock_server.protocol.sse import dumps, encode


def reply_headers(call: Call) -> Headers:
    """When, the request id, and whose key it was."""
    return failure.reply_headers(call.session, call.ids.request())


def json_reply(call: Call, body: Mapping[str, Any], more: Headers = ()) -> Plan:
    """A 200 with this body, and headers of its own."""
    return whole(200, JSON_HEADERS + reply_headers(call) + more, encode(dumps(body)))

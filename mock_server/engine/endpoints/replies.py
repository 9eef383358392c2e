"""A JSON object as the reply of an endpoint, with the headers that every reply of a profile has."""

from collections.abc import Mapping
from typing import Any

from mock_server.engine.exchange import Call
from mock_server.engine.failure import request_headers
from mock_server.protocol.plan import JSON_HEADERS, Headers, Plan, whole
from mock_server.protocol.sse import dumps, encode


def reply_headers(call: Call) -> Headers:
    """The request id, and whose key it was."""
    profile = call.session.terms.profile
    return request_headers(profile, call.ids.request()) + profile.organization_headers


def json_reply(call: Call, body: Mapping[str, Any]) -> Plan:
    """A 200 with this body."""
    return whole(200, JSON_HEADERS + reply_headers(call), encode(dumps(body)))

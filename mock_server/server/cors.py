"""What browsers ask before and look for after a request to the emulated API. The control API has none of it.

The API lets a page in when it says `anthropic-dangerous-direct-browser-access: true`, which SDKs in browsers do.
[INF] The exact headers of the real answer have not been seen.
"""

from collections.abc import Mapping

from mock_server.protocol.plan import Headers, Plan, whole

ASKED = "anthropic-dangerous-direct-browser-access"
_ANYONE: Headers = (("access-control-allow-origin", "*"), ("vary", "origin"))


def preflight(headers: Mapping[str, str]) -> Plan:
    """The answer to OPTIONS: yes, when the request to come will ask for it by name."""
    wanted = headers.get("access-control-request-headers", "")
    if ASKED not in wanted.lower():
        return whole(400, (("content-type", "text/plain"),), b"CORS requests must set '%b'" % ASKED.encode())
    allowed: Headers = (
        ("access-control-allow-methods", "GET, POST, DELETE, OPTIONS"),
        ("access-control-allow-headers", wanted),
        ("access-control-max-age", "600"),
    )
    return whole(204, (*_ANYONE, *allowed), b"")


def shared(plan: Plan, headers: Mapping[str, str]) -> Plan:
    """The same plan, readable by the page that asked for it by name."""
    if headers.get(ASKED, "").lower() != "true":
        return plan
    exposed = ", ".join(name for name, _ in plan.headers if name.endswith("request-id") or name.startswith("retry"))
    return plan._replace(headers=(*plan.headers, *_ANYONE, ("access-control-expose-headers", exposed or "request-id")))

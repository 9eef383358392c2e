"""Where a request goes: what stands before the path of an endpoint is taken off it. Not asked for plain /v1/messages.

`/s/NAME` in front names the session. The base path (a setting) may stand before and after it; without one, anything may
stand before the first `/v1/`: the SDKs append `/v1/messages` to whatever path a base URL has.
"""

import re
from urllib.parse import unquote

from mock_server.protocol.request import HttpRequest

_SESSION = re.compile(r"/s/([^/]+)(/.*)?", re.DOTALL)
_PREFIX = re.compile(r"(?:/(?!v1/|_mock/)[^/]+)+?(/v1/.*)", re.DOTALL)


def addressed(http: HttpRequest, base_path: str = "") -> HttpRequest:
    """The request with the path its endpoint has, the session its path names, and what stood before."""
    path, session = _below(http.path, base_path), http.session
    named = _SESSION.fullmatch(path)
    if named is not None:
        session, path = unquote(named[1]), _below(named[2] or "/", base_path)
    if not base_path:
        prefixed = _PREFIX.fullmatch(path)
        path = path if prefixed is None else prefixed[1]
    before = http.path.removesuffix(path) if path != http.path else ""
    return http._replace(path=path, session=session, prefix=http.prefix + before)


def base_url(http: HttpRequest) -> str:
    """What the client has for this server, up to `/v1`: its host, and all that stood before the path; without a host
    only the latter.
    """
    host = http.headers.get("host", "")
    scheme = http.headers.get("x-forwarded-proto", "http").partition(",")[0].strip().lower()
    return f"{'https' if scheme == 'https' else 'http'}://{host}{http.prefix}" if host else http.prefix


def _below(path: str, base_path: str) -> str:
    if not base_path or not path.startswith(base_path):
        return path
    rest = path[len(base_path) :]
    return path if rest and rest[0] != "/" else rest or "/"

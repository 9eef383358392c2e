"""Who may use the control API. On loopback: pages of this very server only, against DNS rebinding and foreign sites.
Bound elsewhere: whoever has the token.
"""

import hmac
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from mock_server.server.control.answers import ControlError
from mock_server.whereabouts import is_loopback


def _split(url: str) -> SplitResult | None:
    """The parts of a URL; None when it is none, such as `http://[`."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


class Guard:
    """Checks requests to `/_mock/` and the page. `token` None: bound to loopback, no token needed."""

    def __init__(self, token: str | None) -> None:
        self.token = token

    def check(self, headers: Mapping[str, str], query: Mapping[str, str], *, is_page: bool = False) -> None:
        """Raises ControlError (403 for a foreign page, 401 without the token)."""
        if self.token is None:
            self._check_host(headers)
        elif not is_page:
            self._check_token(headers, query)
        self._check_origin(headers)

    def _check_host(self, headers: Mapping[str, str]) -> None:
        told = headers.get("host", "")
        host = _split("//" + told)
        if host is None or not is_loopback(host.hostname or ""):
            raise ControlError(403, f"Host '{told}' is not this machine", "use 127.0.0.1 or localhost")

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        origin = headers.get("origin")
        if origin is None:
            return
        site = None if origin == "null" else _split(origin)
        if site is None or site.netloc.lower() != headers.get("host", "").lower():
            raise ControlError(403, f"Origin '{origin}' is another site", "only this server's own page may ask")

    def _check_token(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = query.get("token", "")
        if not hmac.compare_digest(given.strip().encode(), (self.token or "").encode()):
            raise ControlError(
                401, "the control API needs its token here", "authorization: Bearer MOCK_SERVER_CONTROL_TOKEN"
            )

"""The files of the journal page, with the headers that keep it to itself."""

from collections.abc import Mapping

from mock_server.protocol.plan import Headers, Plan, whole
from mock_server.server.control.answers import ControlError

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Headers = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
)
PATHS = ("/", "/_mock/ui", "/_mock/ui/")


def is_page(path: str) -> bool:
    """Whether a path is of the page."""
    return path in PATHS or path.startswith("/_mock/ui/")


class Page:
    """The files, read once; `base_path` stands in the base URL that the page tells people."""

    def __init__(self, base_path: str = "") -> None:
        self._files: Mapping[str, bytes] | None = None
        self._base_path = base_path

    def answer(self, path: str) -> Plan:
        """One file. Raises ControlError (404)."""
        if self._files is None:
            from importlib.resources import files  # only who looks at the page needs it

            folder = files("mock_server.server") / "page"
            found = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
            told = b'name="base-path" content="%b"' % self._base_path.encode()
            found["index.html"] = found["index.html"].replace(b'name="base-path" content=""', told)
            self._files = found
        name = "index.html" if path in PATHS else path.removeprefix("/_mock/ui/")
        data = self._files.get(name)
        if data is None:
            raise ControlError(404, f"no file {name} on this page", "the page is at /")
        kind = _TYPES.get(name[name.rfind(".") :], "application/octet-stream")
        return whole(200, (("content-type", f"{kind}; charset=utf-8"), *_HEADERS), data)

"""The endpoints of the API, one file each. `ENDPOINTS` is the table: path -> method -> what answers; `route` finds
there what a request is for.

A path may have `{name}` for one part, and at its end `{name...}` for all that is left: `Call.params` has what stood
there. What is served with GET is served with HEAD too. A new family of endpoints is a name in `profile.Family`, which
a profile can switch off, and a row in `FAMILIES`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from mock_server.deferred import Deferred
from mock_server.engine.endpoints.count_tokens import count_tokens
from mock_server.engine.endpoints.count_tokens import read as read_counted
from mock_server.engine.endpoints.count_tokens import read_ahead as read_count
from mock_server.engine.endpoints.messages import create
from mock_server.engine.endpoints.messages import read_ahead as read_message
from mock_server.engine.exchange import NO_PARAMS, Alike, Call, Exchange, Reader
from mock_server.engine.session import InForce
from mock_server.protocol.errors import ApiError, excerpt, nearest
from mock_server.protocol.profile import OPERATIONS, Family, Profile
from mock_server.protocol.request import HttpRequest

if TYPE_CHECKING:
    from mock_server.engine.endpoints import batches as _batches
    from mock_server.engine.endpoints import complete as _complete
    from mock_server.engine.endpoints import files as _files
    from mock_server.engine.endpoints import models as _models
    from mock_server.engine.engine import Engine
else:  # what most clients never ask for
    _batches, _complete, _files, _models = (
        Deferred(f"{__name__}.{one}", globals()) for one in ("batches", "complete", "files", "models")
    )

Endpoint = Callable[["Engine", Call], Exchange | Alike]

ENDPOINTS: Mapping[str, Mapping[str, Endpoint]] = {
    "/v1/messages": {"POST": create},
    "/v1/messages/batches": {"POST": _batches.create, "GET": _batches.list_all},
    "/v1/messages/batches/{id}": {"GET": _batches.get, "DELETE": _batches.delete},
    "/v1/messages/batches/{id}/cancel": {"POST": _batches.cancel},
    "/v1/messages/batches/{id}/results": {"GET": _batches.results},
    "/v1/files": {"POST": _files.upload, "GET": _files.list_all},
    "/v1/files/{id}": {"GET": _files.get, "DELETE": _files.delete},
    "/v1/files/{id}/content": {"GET": _files.content},
    "/v1/messages/count_tokens": {"POST": count_tokens},
    "/v1/models": {"GET": _models.listed},
    "/v1/models/{id...}": {"GET": _models.retrieved},
    "/v1/complete": {"POST": _complete.complete},
}
# what makes of a body whatever changes nothing: done apart from the loop where the body is large
READERS: Mapping[str, Reader] = {
    "/v1/messages": read_message,
    "/v1/messages/count_tokens": read_count,
    "/v1/messages/batches": _batches.read,
    "/v1/complete": _complete.read_ahead,
}
MAX_BODY = 32 << 20
# bytes that the body of a request may have, where it is not `MAX_BODY`; a form has limits of its own
BODIES: Mapping[str, int] = {"/v1/messages/batches": 256 << 20}

# those that reply with a message: faults strike inside them, where the stream is known
MESSAGES = frozenset((create, _complete.complete))
# the name that scenarios have for each
NAMES: Mapping[Endpoint, str] = {
    ENDPOINTS[path][method]: name for path, methods in OPERATIONS.items() for method, name in methods.items()
}
# of the others: what raises the error of a request that breaks a rule, before a scenario is looked for
JUDGES: Mapping[Endpoint, Reader] = {count_tokens: read_counted, _batches.create: _batches.read}

# what the paths of a family begin with
FAMILIES: Mapping[str, Family] = {
    "/v1/messages/count_tokens": "count_tokens",
    "/v1/messages/batches": "batches",
    "/v1/models": "models",
    "/v1/files": "files",
    "/v1/complete": "complete",
}


def family(pattern: str) -> Family | None:
    """The family a path of the table belongs to; None for /v1/messages."""
    return next((name for path, name in FAMILIES.items() if pattern.startswith(path)), None)


# A path and a method -> the endpoint that answers, with the parts of the path it is about.

# what every profile has, at a path without names: found at once
STRAIGHT: Mapping[tuple[str, str], Endpoint] = {
    (method, path): endpoint
    for path, methods in ENDPOINTS.items()
    for method, endpoint in methods.items()
    if family(path) is None and "{" not in path
}


def route(http: HttpRequest, in_force: InForce) -> tuple[Endpoint, Mapping[str, str]]:
    """The endpoint of a request and what the path has for its pattern's names. Raises ApiError: rules 9 and 10."""
    found = find(http.path)
    if found is None or not in_force.profile.serves(family(found.pattern)):
        raise ApiError("not_found_error", _not_found(http.path, in_force, found))
    methods = ENDPOINTS[found.pattern]
    endpoint = methods.get(http.method) or (methods.get("GET") if http.method == "HEAD" else None)
    if endpoint is None:
        raise ApiError("invalid_request_error", "Method Not Allowed", status=405, headers={"allow": allowed(methods)})
    return endpoint, found.params


class Found(NamedTuple):
    """A pattern of the table, and what a path has for its names."""

    pattern: str
    params: Mapping[str, str] = NO_PARAMS


def find(path: str) -> Found | None:
    """The pattern that a path, still quoted, fits; those without names first."""
    if path in ENDPOINTS:
        return Found(path)
    parts = path.split("/")
    for pattern in ENDPOINTS:
        params = _fits(pattern.split("/"), parts)
        if params is not None:
            return Found(pattern, params)
    return None


def _fits(pattern: Sequence[str], parts: Sequence[str]) -> Mapping[str, str] | None:
    """What a path has for the names of a pattern; `{name...}`, at the end, takes all that is left, slashes too."""
    if pattern[-1].endswith("...}") and len(parts) > len(pattern):
        parts = [*parts[: len(pattern) - 1], "/".join(parts[len(pattern) - 1 :])]
    if len(pattern) != len(parts):
        return None
    params = {}
    for wanted, part in zip(pattern, parts, strict=True):
        if not wanted.startswith("{"):
            if unquote(part) != wanted:
                return None
        elif not part:
            return None
        else:
            params[wanted.strip("{.}")] = unquote(part)
    return params


def most_bytes(path: str) -> int:
    """How large the body of a request to this path, still quoted, may be."""
    found = find(path)
    return MAX_BODY if found is None else BODIES.get(found.pattern, MAX_BODY)


def allowed(methods: Mapping[str, Endpoint]) -> str:
    """The header `allow` of an endpoint: HEAD wherever GET is, OPTIONS everywhere."""
    return ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])


def served(profile: Profile) -> Iterator[str]:
    """The paths a profile serves, as people read them."""
    return (pattern.replace("...", "") for pattern in ENDPOINTS if profile.serves(family(pattern)))


def _not_found(path: str, in_force: InForce, found: Found | None) -> str:
    base, profile = in_force.settings.base_path, in_force.profile
    shown = excerpt(path, 200)
    listed = f"served are {', '.join(served(profile))}"
    if found is not None:
        return f"Not found: {shown}; profile {profile.name} has no {family(found.pattern)} (endpoints); {listed}"
    if path.startswith("/v1/v1/"):
        return f"Not found: {shown}; the client adds /v1 itself, so leave it out of the base URL; {listed}"
    if base and "/v1/" in path and not path.startswith("/v1/"):
        return f"Not found: {shown}; the base path of this server is {base}, so /v1 is at {base}/v1 and /v1; {listed}"
    close = _OTHERS.get(path) or next(iter(nearest(path, served(profile))), "")
    return f"Not found: {shown}; {close and f'did you mean {close}? '}{listed}"


# what clients of other APIs ask for
_OTHERS = dict.fromkeys(("/v1/chat/completions", "/v1/completions", "/v1/responses"), "/v1/messages")

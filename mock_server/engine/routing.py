"""A path and a method -> the endpoint that answers, with the parts of the path it is about."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from mock_server.engine.endpoints import BODIES, ENDPOINTS, MAX_BODY, Endpoint, family
from mock_server.engine.exchange import NO_PARAMS
from mock_server.engine.session import InForce
from mock_server.protocol.errors import ApiError, excerpt, nearest
from mock_server.protocol.profile import Profile
from mock_server.protocol.request import HttpRequest

# what every profile has, at a path without names: found at once
_STRAIGHT = {path: methods for path, methods in ENDPOINTS.items() if family(path) is None and "{" not in path}


def route(http: HttpRequest, in_force: InForce) -> tuple[Endpoint, Mapping[str, str]]:
    """The endpoint of a request and what the path has for its pattern's names. Raises ApiError: rules 9 and 10."""
    straight = _STRAIGHT.get(http.path)
    if straight is not None and http.method in straight:
        return straight[http.method], NO_PARAMS
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
    given = path.split("/")
    for pattern in ENDPOINTS:
        params = _fits(pattern.split("/"), given)
        if params is not None:
            return Found(pattern, params)
    return None


def _fits(pattern: Sequence[str], given: Sequence[str]) -> Mapping[str, str] | None:
    """What `given` has for the names of a pattern; `{name...}`, at the end, takes all that is left, slashes too."""
    if pattern[-1].endswith("...}") and len(given) > len(pattern):
        given = [*given[: len(pattern) - 1], "/".join(given[len(pattern) - 1 :])]
    if len(pattern) != len(given):
        return None
    params = {}
    for wanted, part in zip(pattern, given, strict=True):
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
    """What `allow` says of an endpoint: HEAD wherever GET is, OPTIONS everywhere."""
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

"""The table of the control API: what is served where. The OpenAPI document and the hints are made from it."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from mock_server import version
from mock_server.engine.explain import TARGETS
from mock_server.records import dataclass
from mock_server.scenario.node import listed, one_of, suggestion
from mock_server.server.control import handlers
from mock_server.server.control.answers import PREFIX, ControlError, Query, RouteAnswer
from mock_server.server.control.handlers import Control

# name of a query parameter -> its schema and what it means
_PARAMETERS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "session": ({"type": "string"}, "the session meant; none: the default one, or all where that makes sense"),
    "scenario": ({"type": "string"}, "only what this scenario answered"),
    "library": (
        {"type": "string"},
        "names, separated by commas, of those that are of the library: where they contradict, that is no error",
    ),
    "outcome": (
        {"type": "string", "enum": ["open", "completed", "client_left", "fault", "ended", "unmatched"]},
        "only exchanges that ended so",
    ),
    "text": ({"type": "string"}, "only exchanges with this text in request or reply, or in the request id"),
    "limit": ({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, "how many entries"),
    "before": ({"type": "integer", "minimum": 0}, "only entries with a lower number"),
    "after": ({"type": "integer", "minimum": 0}, "only entries with a higher number"),
    "all": ({"type": "string", "enum": ["true"]}, "every session"),
    "whole": ({"type": "string", "enum": ["true"]}, "all of a body that is too large to be shown"),
}


def _scenario(schema: Mapping[str, Any], yaml: str, example: Mapping[str, Any]) -> Mapping[str, Any]:
    """A body that is YAML, or JSON of this schema."""
    return {
        "application/yaml": {"schema": {"type": "string"}, "example": yaml},
        "application/json": {"schema": schema, "example": example},
    }


def _object(
    properties: Mapping[str, Any], *required: str, is_open: bool = False, example: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """A body that is a JSON object. `is_open`: with other properties too."""
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    if not is_open:
        schema["additionalProperties"] = False
    if required:
        schema["required"] = list(required)
    return {"application/json": {"schema": schema} if example is None else {"schema": schema, "example": example}}


_OBJECTS = {"type": ["object", "array"], "items": {"type": "object"}, "minItems": 1}  # one, or a list of them
_HI, _HI_JSON = "name: hi\nreply: Hello", {"name": "hi", "reply": "Hello"}
_SCENARIO_BODY = _scenario({"type": "object"}, _HI, _HI_JSON)
_SCENARIOS_BODY = _scenario(_OBJECTS, _HI, _HI_JSON)
_OVERLAY_BODY = _scenario(
    _OBJECTS, "name: flaky\nchance: 20%\nfault: reset", {"name": "flaky", "chance": "20%", "fault": "reset"}
)
_TEXT, _NUMBER, _TRUTH = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
_TEXT_OR_NULL, _OBJECT_OR_NULL = {"type": ["string", "null"]}, {"type": ["object", "null"]}
_VERIFY_BODY = _object(
    {
        "times": {"type": ["integer", "null"], "minimum": 0},
        "when": {"type": "object"},
        "scenario": _TEXT_OR_NULL,
        "sequence": {"type": "array", "items": {"type": ["string", "object"]}},
        "all_used": _TRUTH,
        "expected": _TRUTH,
        "no_contradictions": _TRUTH,
    }
)
_REQUEST = {**_OBJECT_OR_NULL, "description": "the JSON body of a request to the API"}
_PREVIEW_BODY = _object(
    {"scenario": _TEXT, "yaml": _TEXT, "request": _REQUEST, "headers": _OBJECT_OR_NULL},
    is_open=True,
    example={"scenario": "hello"},
)
_ENDPOINT = {**_TEXT, "enum": list(TARGETS), "default": "messages"}
_EXPLAIN_BODY = _object({"request": _REQUEST, "headers": _OBJECT_OR_NULL, "endpoint": _ENDPOINT}, is_open=True)
_CLOCK_BODY = _object({"freeze": _TRUTH, "advance": {**_NUMBER, "minimum": 0}, "resume": _TRUTH})
_GATE_BODY = _object({"times": {"type": ["integer", "null"], "minimum": 1}, "shut": _TRUTH})
_STATES_BODY = {
    "application/json": {
        "schema": {"type": "object", "minProperties": 1, "additionalProperties": _TEXT},
        "example": {"service": "down"},
    }
}
_SWITCH_BODY = _object({"on": _TRUTH}, "on")
_SESSION_BODY = _object(
    {
        "name": {**_TEXT, "minLength": 1, "maxLength": 200},
        "key": _TEXT_OR_NULL,
        "default": _TRUTH,
        "settings": _OBJECT_OR_NULL,
    },
    "name",
    is_open=True,
)


@dataclass(frozen=True)
class Operation:
    """One operation. `path` is below /_mock/; `{name}` in it is one part of a path."""

    method: str
    path: str
    run: Callable[[Control, Query], RouteAnswer]
    parameters: tuple[str, ...] = ()
    body: Mapping[str, Any] | None = None
    status: int = 200
    type: str = "application/json"
    open: bool = False  # needs neither token nor a loopback Host
    most: int = 64 << 10  # bytes of a body that is read while others wait
    apart: bool = False  # may take long (a large text, many entries), and changes nothing but a session's scenarios


def _openapi(control: Control, query: Query) -> RouteAnswer:
    """This document."""
    return RouteAnswer(200, document())


def _stream(control: Control, query: Query) -> RouteAnswer:
    """Entries as they come and end, as server-sent events."""
    raise ControlError(400, "the stream is asked for by GET over a plain connection", "GET /_mock/journal/stream")


ROUTES: tuple[Operation, ...] = (
    Operation("GET", "health", Control.health, open=True),
    Operation("GET", "ready", Control.ready, open=True),
    Operation("GET", "metrics", Control.metrics, type="text/plain"),
    Operation("GET", "openapi.json", _openapi),
    Operation("GET", "scenarios", Control.scenarios, ("session",), apart=True),
    Operation("POST", "scenarios", Control.add, ("session", "library"), _SCENARIOS_BODY, 201, apart=True),
    Operation("GET", "scenarios/{name}", Control.scenario, ("session",), apart=True),
    Operation("PUT", "scenarios/{name}", Control.put, ("session", "library"), _SCENARIO_BODY, apart=True),
    Operation("DELETE", "scenarios/{name}", Control.remove, ("session",)),
    Operation(
        "GET",
        "journal",
        Control.journal,
        ("session", "scenario", "outcome", "text", "limit", "before", "after"),
        apart=True,
    ),
    Operation("DELETE", "journal", Control.clear, ("session",)),
    Operation("GET", "journal/stream", _stream, ("session",), type="text/event-stream"),
    Operation("GET", "journal/counts", Control.counts, ("session",)),
    Operation("GET", "journal/{number}", Control.entry, ("session", "whole"), apart=True),
    Operation("POST", "verify", Control.verify, ("session",), _VERIFY_BODY, apart=True),
    Operation("POST", "reset", Control.reset, ("session", "all")),
    Operation("POST", "preview", handlers.previewed, ("session",), _PREVIEW_BODY, apart=True),
    Operation("POST", "explain", handlers.explained, ("session",), _EXPLAIN_BODY, apart=True),
    Operation("GET", "schema", handlers.file_schema),
    Operation("GET", "clock", handlers.clock, ("session",)),
    Operation("POST", "clock", handlers.turn_clock, ("session",), _CLOCK_BODY),
    Operation("GET", "gates", handlers.gates, ("session",)),
    Operation("POST", "gates/{name}", handlers.turn_gate, ("session",), _GATE_BODY),
    Operation("GET", "states", handlers.states, ("session",)),
    Operation("PUT", "states", handlers.set_states, ("session",), _STATES_BODY),
    Operation("GET", "chaos", handlers.chaos, ("session",)),
    Operation("POST", "chaos", handlers.add_overlays, ("session",), _OVERLAY_BODY, 201, most=10 << 10),
    Operation("PUT", "chaos/{name}", handlers.switch_overlay, ("session",), _SWITCH_BODY),
    Operation("DELETE", "chaos/{name}", handlers.remove_overlay, ("session",)),
    Operation("GET", "sessions", Control.sessions, apart=True),
    Operation("POST", "sessions", Control.open_session, (), _SESSION_BODY, 201),
    Operation("DELETE", "sessions/{name}", Control.close_session),
)


def find(method: str, path: str) -> tuple[Operation, str]:
    """The route of a request and what its path holds for the last part. Raises ControlError (404, 405)."""
    below = path.removeprefix(PREFIX)
    fitting = [(route, found) for route in ROUTES if (found := _pattern(route).fullmatch(below)) is not None]
    wanted = "GET" if method == "HEAD" else method
    for route, found in fitting:
        if route.method == wanted:
            return route, unquote(found[1]) if found.groups() else ""
    if fitting:
        allowed = ", ".join(dict.fromkeys(route.method for route, _ in fitting))
        raise ControlError(405, f"{path} does not answer {method}", f"use {allowed}")
    from mock_server.scenario.advice import meant  # only mistakes need it

    served = list(dict.fromkeys(route.path.partition("/{")[0] for route in ROUTES))
    close = meant(below, served) or meant(below.partition("/")[0], served)  # a part too many is a mistake as well
    hint = f"did you mean {PREFIX}{close}?" if close else f"expected one of {listed([PREFIX + one for one in served])}"
    raise ControlError(404, f"no control route {path}", hint)


def check(route: Operation, query: Mapping[str, str]) -> None:
    """A query names what its route takes, and nothing else: a misspelt `session` would change another one. Raises
    ControlError.
    """
    for name, value in query.items():
        if name == "token":
            continue
        if name not in route.parameters:
            takes = f"it takes {', '.join(route.parameters) or 'none'}"
            close = suggestion(name, route.parameters).removeprefix("; ")
            raise ControlError(400, f"unknown parameter '{name}'", close or takes)
        allowed = _PARAMETERS[name][0].get("enum")
        if value and allowed and value not in allowed:
            raise ControlError(400, f"{name}: '{value}'", one_of(value, allowed).removeprefix("; "))


def answered(
    control: Control,
    call: Callable[[Callable[[], RouteAnswer]], RouteAnswer],
    method: str,
    path: str,
    body: Mapping[str, Any] | Sequence[Any] | None,
    query: Mapping[str, Any],
) -> Any:
    """The answer to a request from this process, as data: the path is below `/_mock/`. `call` runs on the server's loop
    what must run there. Raises ControlError.
    """
    route, rest = find(method, PREFIX + path)
    parameters = {name: str(value) for name, value in query.items() if value is not None}
    check(route, parameters)
    request = Query(method, PREFIX + path, parameters, {"content-type": "application/json"}, rest=rest, data=body or {})
    return (route.run(control, request) if route.apart else call(lambda: route.run(control, request))).value


def is_apart(method: str, path: str) -> bool:
    """Whether a request may take long, so that it is answered in another thread."""
    try:
        return find(method, path)[0].apart
    except ControlError:
        return False


def _pattern(route: Operation) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", "([^/]+)", route.path))


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mock-server control API",
            "version": version.VERSION,
            "description": "What the emulator answers, and what came to it.",
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "properties": {"error": {"type": "string"}, "hint": {"type": "string"}},
                    "required": ["error", "hint"],
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(route: Operation) -> dict[str, Any]:
    name = re.findall(r"\{(\w+)\}", route.path)
    parameters = [{"name": one, "in": "path", "required": True, "schema": {"type": "string"}} for one in name]
    for one in route.parameters:
        schema, meaning = _PARAMETERS[one]
        parameters.append({"name": one, "in": "query", "schema": dict(schema), "description": meaning})
    error = {"description": "what is wrong and what would be right", "content": _content("application/json", "Error")}
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{re.sub(r'[^a-z]+', '_', route.path).strip('_')}",
        "summary": (route.run.__doc__ or "").strip().split("\n")[0],
        "parameters": parameters,
        "responses": {str(route.status): {"description": "done", "content": _content(route.type)}, "4XX": error},
    }
    if route.path == "health":
        operation["responses"]["503"] = {"description": "scenarios do not load", "content": _content(route.type)}
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": dict(route.body)}
    return operation


def _content(type: str, schema: str | None = None) -> dict[str, Any]:
    if schema is not None:
        return {type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {type: {"schema": {"type": "object" if type == "application/json" else "string"}}}

"""What a request or a scenario would do, asked over the control API: preview, explain, schema. Nothing is noted."""

from collections.abc import Mapping
from typing import Any

from mock_server.engine.engine import Engine
from mock_server.engine.explain import explain
from mock_server.engine.preview import preview
from mock_server.engine.session import Session
from mock_server.protocol.request import HttpRequest
from mock_server.protocol.sse import dumps_in_steps, encode
from mock_server.scenario.load import loads
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import ScenarioError, suggestion
from mock_server.server.control.answers import Answer, ControlError, Query, as_json
from mock_server.server.control.control import Control


def previewed(control: Control, asked: Query) -> Answer:
    """What a scenario (`scenario`: a name, or `yaml`) sends: events with their times; of a `request` its answer."""
    session, said = control.session(asked), asked.json()
    request = _object(said, "request")
    scenarios = _meant(control.engine, session, said)
    exchanges = [
        one
        for scenario in scenarios
        for one in preview(
            control.engine, session.terms, scenario, request, _headers(said), waits=asked.data is not None
        )
    ]
    return as_json(200, {"scenario": scenarios[0].name, "exchanges": [one.told() for one in exchanges]})


def explained(control: Control, asked: Query) -> Answer:
    """Which scenario answers a `request` (with these `headers`), which turn and why; or what came near."""
    session, said = control.session(asked), asked.json()
    body = _object(said, "request")
    if body is None:
        raise ControlError(400, "request is missing", "the JSON body of a request to the API")
    version = session.terms.profile.default_version
    http = HttpRequest(
        "POST", "/v1/messages", {"anthropic-version": version, **_headers(said)}, encode(dumps_in_steps(body))
    )
    return as_json(200, explain(control.engine, session, http).told())


def language(control: Control, asked: Query) -> Answer:
    """The JSON Schema of scenario files, for editors."""
    from mock_server.scenario.language import schema  # made when first asked for: a server starts without it

    return as_json(200, schema())


def _object(said: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = said.get(name)
    if value is not None and not isinstance(value, dict):
        raise ControlError(400, f"{name} is not an object", "the JSON body of a request to the API")
    return value


def _headers(said: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): str(text) for name, text in (_object(said, "headers") or {}).items()}


def _meant(engine: Engine, session: Session, said: Mapping[str, Any]) -> tuple[Scenario, ...]:
    """The scenarios of a text, or the one of a name. Raises ControlError."""
    if isinstance(said.get("yaml"), str):
        try:
            return loads(said["yaml"], "<preview>")
        except ScenarioError as error:
            problems = [str(one) for one in error.problems]
            raise ControlError(422, problems[0], "mend the scenario", problems=problems) from None
    name = said.get("scenario")
    if not isinstance(name, str):
        raise ControlError(400, "neither scenario nor yaml", "the name of a scenario, or the text of one")
    known = engine.library(session).by_name
    if name not in known:
        raise ControlError(404, f"no scenario '{name}'", suggestion(name, known).strip("; ") or "GET /_mock/scenarios")
    return (known[name],)

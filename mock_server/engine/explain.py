"""Which scenario answers a request, which turn of it and why; or why none does. Nothing is counted or noted."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mock_server.engine.choose import NEAR_MISSES, Choice, Lookup, NearMiss, NoMatch, choose, choose_beside
from mock_server.engine.endpoints import JUDGES, MESSAGES, NAMES, Endpoint, route
from mock_server.engine.endpoints.complete import read as read_completion
from mock_server.engine.render import Rendering, rendered
from mock_server.engine.render import rendered_text as filled
from mock_server.engine.session import Cursors, InForce, Session
from mock_server.protocol.errors import MESSAGE, ApiError, failure_of_ours
from mock_server.protocol.expression import OverLimit, bounded
from mock_server.protocol.profile import OPERATIONS
from mock_server.protocol.request import HttpRequest, MessagesRequest, parse
from mock_server.protocol.rules import validate
from mock_server.protocol.rules.models import model_of
from mock_server.protocol.sse import dumps_in_steps, encode
from mock_server.scenario.conditions import Miss
from mock_server.scenario.reply import templates_of
from mock_server.scenario.subjects import PROMPT_ENDPOINTS
from mock_server.scenario.templates import Template

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine


class Explanation(NamedTuple):
    """What a request would get. `conditions`: those that hold on the way to the answer; `differences`: what its turn
    expects of the request and does not find; `error`: why the API would refuse it; `asked`: how many scenarios there
    are; `fails`: why a template of its answer cannot be filled; `contradictions`: what the reply does against it.
    """

    scenario: str | None = None
    turn: int = 0
    attempt: int = 0
    turns: int = 0
    source: str = ""
    conditions: tuple[str, ...] = ()
    captures: Mapping[str, str] = {}
    differences: tuple[Miss, ...] = ()
    near_misses: tuple[NearMiss, ...] = ()
    error: ApiError | None = None
    asked: int = 0
    fails: str = ""
    contradictions: tuple[str, ...] = ()

    @property
    def matched(self) -> bool:
        return self.scenario is not None

    def __str__(self) -> str:
        lines = [*self._refused()]
        if self.matched:
            lines.append(f"{self.scenario}: turn {self.turn} of {self.turns}, attempt {self.attempt}  ({self.source})")
            lines += [f"  holds    {line}" for line in self.conditions]
            lines += [f"  captures {name} = {text!r}" for name, text in self.captures.items()]
            lines += [f"  expected {one}" for one in self.differences]
            lines += [f"  fails    {self.fails}"] if self.fails else []
            lines += [f"  contradicts it: {one}" for one in self.contradictions]
        elif self.error is None or self.near_misses:
            lines.append(f"No scenario matches this request ({self.asked} asked).")
            for miss in self.near_misses:
                lines.append(f"  {miss.scenario}, {1 - miss.distance:.0%} near")
                lines += [f"    {one}" for one in miss.misses]
        return "\n".join(lines)

    def _refused(self) -> list[str]:
        if self.error is None:
            return []
        return [f"The API refuses this request: {self.error.status} {self.error.type}: {error_text(self.error)}"]

    def as_json(self) -> dict[str, Any]:
        """The same as JSON."""
        error = self.error
        return {
            "matched": self.matched,
            "scenario": self.scenario,
            "turn": self.turn,
            "attempt": self.attempt,
            "turns": self.turns,
            "source": self.source,
            "conditions": list(self.conditions),
            "captures": dict(self.captures),
            "fails": self.fails or None,
            "contradictions": list(self.contradictions),
            "differences": [one.as_json() for one in self.differences],
            "near_misses": [one.as_json() for one in self.near_misses],
            "error": None
            if error is None
            else {"status": error.status, "type": error.type, "message": error_text(error)},
            "text": str(self),
        }


def error_text(error: ApiError) -> str:
    """The message of an error."""
    return error.message or MESSAGE.get(error.type, error.type)


# an endpoint, by the name that scenarios have for it -> its method and a path to it
TARGETS: Mapping[str, tuple[str, str]] = {
    name: (method, re.sub(r"{\w+(\.\.\.)?}", "explain", path))
    for path, methods in OPERATIONS.items()
    for method, name in methods.items()
}


def request_to(endpoint: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> HttpRequest:
    """The request with this body to an endpoint of `TARGETS`."""
    method, path = TARGETS[endpoint]
    return HttpRequest(method, path, headers, encode(dumps_in_steps(body)))


def explain(engine: "Engine", session: Session, http: HttpRequest) -> Explanation:
    """What becomes of a request in a session, as if it were the first there. It is matched although it is refused."""
    with bounded():
        try:
            return _explained(engine, session, http)
        except OverLimit as error:
            return Explanation(error=failure_of_ours(str(error)))


def _explained(engine: "Engine", session: Session, http: HttpRequest) -> Explanation:
    try:
        endpoint, _ = route(http, session.in_force)
        request, refused = _read(endpoint, http, session)
    except ApiError as error:
        return Explanation(error=error)
    library, name = engine.library(session), NAMES[endpoint]
    beside = [one for one in library.beside if name in one.endpoints and not one.is_overlay]
    count = len(library) if endpoint in MESSAGES else len(beside)
    seed = session.in_force.settings.seed
    try:
        states = session.states(library)
        lookup = Lookup(request, http.headers, "", Cursors(), seed, states, name)
        found = choose(library, lookup) if endpoint in MESSAGES else choose_beside(library, lookup)
    except ApiError as error:
        return Explanation(error=refused or error, asked=count)
    except (KeyError, TypeError, AttributeError, ValueError):  # too broken for conditions to look into
        return Explanation(error=refused)
    if found is None:
        matches = [(one.when.match(lookup.newest), one.name) for one in beside if one.when is not None]
        near = [NearMiss(scenario, match.distance, match.misses) for match, scenario in matches]
        near.sort(key=lambda miss: miss.distance)
        return Explanation(near_misses=tuple(near[:NEAR_MISSES]), error=refused, asked=count)
    if isinstance(found, NoMatch):
        return Explanation(near_misses=found.near_misses, error=refused, asked=count)
    by = Rendering(lookup, found, seed, engine.generator, session.name, session.reply_time())
    fails = _failing(found, by)
    against = () if fails or refused is not None else _contradicting(session.in_force, found, by)
    scenario = found.scenario
    held = [
        line
        for condition, facts in found.conditions(lookup)
        if condition.holds(facts)
        for line in condition.descriptions
    ]
    return Explanation(
        scenario.name,
        found.turn,
        found.attempt,
        len(scenario.turns),
        scenario.source,
        ("named by the request", *held) if scenario.named_only else tuple(held),
        found.captures(lookup),
        found.unmet(lookup) if scenario.expects else (),
        error=refused,
        fails=fails,
        contradictions=against,
    )


def _read(endpoint: Endpoint, http: HttpRequest, session: Session) -> tuple[MessagesRequest, ApiError | None]:
    """The request that scenarios see, and why the API would refuse it. Raises ApiError for what cannot be read."""
    name, profile = NAMES[endpoint], session.in_force.profile
    if name == "complete":
        http, _, _ = read_completion(http, session)
    request = parse(http.body if name in PROMPT_ENDPOINTS else _NO_PROMPT, http.headers)
    try:
        if endpoint in MESSAGES:
            validate(request, profile)
        elif (judge := JUDGES.get(endpoint)) is not None:
            judge(http, session)
    except ApiError as error:
        return request, error
    return request, None


_NO_PROMPT = b'{"model":"","messages":[{"role":"user","content":""}]}'


def _contradicting(in_force: InForce, choice: Choice, by: Rendering) -> tuple[str, ...]:
    """What a scripted reply, whole and without its faults, does against the request."""
    answer, request = choice.answer, by.lookup.request
    if answer.reply is None or answer.contradicts or in_force.settings.contradictions == "off":
        return ()
    from mock_server.protocol.contradictions import JudgedReply, contradictions

    content = answer.reply if request.format else tuple([one for one in answer.reply if one.type != "text"])
    if answer.is_open:
        try:
            content = rendered(content, by)
        except ApiError:  # nothing can be made up for the client's schema
            return ()
    reply = JudgedReply(content, answer.ending, is_bent=bool(answer.fault))
    return tuple([one.text for one in contradictions(request, model_of(request, in_force.profile), reply)])


def _failing(choice: Choice, by: Rendering) -> str:
    """Why a template of the answer cannot be filled, within the bounds that a reply has; nothing where all can be."""
    answer = choice.answer
    if not answer.templates:
        return ""
    try:
        rendered([block for block in answer.reply or () if any(templates_of(block))], by)
        if answer.error is not None and isinstance(answer.error.message, Template):
            filled(answer.error.message, by)
    except ApiError as error:
        return error_text(error).removeprefix("mock-server: ")
    except (KeyError, TypeError, AttributeError, ValueError):  # a request that the API refuses may be too broken
        return ""
    return ""

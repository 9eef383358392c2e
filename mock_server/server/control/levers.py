"""Routes that turn the clock, release gates and lay overlays. They run on the server's loop, as what they turn asks."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from mock_server.engine.chaos import OverlayView, ServerOverlays, SessionOverlays
from mock_server.engine.gates import GateView
from mock_server.engine.session import Session
from mock_server.scenario.faults import FAULTS
from mock_server.server.control.answers import Answer, ControlError, Query, as_json
from mock_server.server.control.control import Control

_T = TypeVar("_T")
MOST_TIMES = 1_000_000


# -- the clock --------------------------------------------------------------------------------------------------------


def clock(control: Control, asked: Query) -> Answer:
    """The clock of a session: its time, and whether it stands still."""
    return as_json(200, _clock(control.session(asked)))


def turn_clock(control: Control, asked: Query) -> Answer:
    """Turn the clock of a session: `freeze`, `advance` by so many seconds, `resume`, in this order."""
    session, said = control.session(asked), asked.json()
    _only(said, "freeze", "advance", "resume")
    if not said:
        raise ControlError(400, "nothing to do", 'for example {"advance": 60}')
    seconds = said.get("advance", 0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ControlError(400, "advance is not a number", "seconds, 0 or more")
    if said.get("freeze"):
        session.clock.freeze()
    try:
        session.clock.advance(seconds)
    except ValueError as error:
        raise ControlError(400, str(error), "seconds, 0 or more") from None
    if said.get("resume"):
        session.clock.resume()
    control.changed()
    return as_json(200, _clock(session))


def _clock(session: Session) -> Mapping[str, Any]:
    return {"unix": round(session.clock.unix(), 6), "frozen": session.clock.frozen, "session": session.name}


# -- gates ------------------------------------------------------------------------------------------------------------


def gates(control: Control, asked: Query) -> Answer:
    """The gates that have been used, and how many replies each holds."""
    session = control.session(asked)
    return as_json(200, {"gates": [_gate(one) for one in session.gates.all()]})


def turn_gate(control: Control, asked: Query) -> Answer:
    """Open a gate for good; with `times` let so many replies through; with `shut` hold what comes again."""
    session, said = control.session(asked), asked.json()
    _only(said, "times", "shut")
    times = said.get("times")
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or not 1 <= times <= MOST_TIMES):
        raise ControlError(400, "times is not a number", f"1 to {MOST_TIMES:,}, or leave it out to open the gate")
    if said.get("shut"):
        session.gates.shut(asked.rest)
        went = 0
    else:
        went = session.gates.release(asked.rest, times)
    control.changed()
    view = next(one for one in session.gates.all() if one.name == asked.rest)
    return as_json(200, {**_gate(view), "went": went})


def _gate(one: GateView) -> Mapping[str, Any]:
    return {**one._asdict()}


# -- chaos ------------------------------------------------------------------------------------------------------------


def chaos(control: Control, asked: Query) -> Answer:
    """The overlays in order: of the whole server, or with `session` those of that session; and the faults there are."""
    return as_json(200, {"overlays": [_overlay(one) for one in _chaos(control, asked).all()], "faults": _faults()})


def lay(control: Control, asked: Query) -> Answer:
    """Lay overlays (YAML, or JSON) over every reply; with `session` over those of that session."""
    found = control.read(asked)
    wrong = next((one for one in found if not one.is_overlay), None)
    if wrong is not None:
        raise ControlError(422, f"'{wrong.name}' answers requests", "an overlay has a fault, a gate or a timing only")
    where = _chaos(control, asked)
    where.lay(*found)
    control.changed()
    return as_json(201, {"added": [one.name for one in found]})


def switch(control: Control, asked: Query) -> Answer:
    """Switch an overlay on or off: `{"on": false}`."""
    said = asked.json()
    _only(said, "on")
    if not isinstance(said.get("on"), bool):
        raise ControlError(400, "on is missing", '{"on": true} or {"on": false}')
    where = _chaos(control, asked)
    _known(lambda: where.switch(asked.rest, on=said["on"]))
    control.changed()
    return as_json(200, {"name": asked.rest, "on": said["on"]})


def lift(control: Control, asked: Query) -> Answer:
    """Take an overlay away that was laid at run time."""
    where = _chaos(control, asked)
    _known(lambda: where.remove(asked.rest))
    control.changed()
    return as_json(200, {"removed": asked.rest})


def _chaos(control: Control, asked: Query) -> SessionOverlays | ServerOverlays:
    if "session" in asked.query or "x-mock-session" in asked.headers:
        return SessionOverlays(control.engine, control.session(asked))
    return ServerOverlays(control.engine)


def _overlay(one: OverlayView) -> Mapping[str, Any]:
    return {**one._asdict(), "faults": list(one.faults)}


def _faults() -> list[Mapping[str, Any]]:
    """Every fault: what it does, whether it takes a place (`after`), and the keys it cannot do without."""
    return [
        {
            "type": name,
            "summary": (fault.__doc__ or "").split("\n")[0],
            "after": any(one.name == "after" for one in fields(fault)),
            "needs": [one.metadata.get("key", one.name) for one in fields(fault) if _is_needed(one)],
        }
        for name, fault in FAULTS.items()
    ]


def _is_needed(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def _known(act: Callable[[], _T]) -> _T:
    try:
        return act()
    except LookupError as error:
        raise ControlError(404, str(error), "GET /_mock/chaos lists them; those of files can be switched off") from None


def _only(said: Mapping[str, Any], *keys: str) -> None:
    unknown = set(said) - set(keys)
    if unknown:
        raise ControlError(400, f"unknown key '{min(unknown)}'", ", ".join(keys))

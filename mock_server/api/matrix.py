"""The fault matrix: a variant of a scenario for every fault at every event, to prove that a client survives each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mock_server.engine.engine import Engine
from mock_server.engine.preview import Previewed, preview
from mock_server.records import dataclass
from mock_server.scenario.faults import FAULTS, faults_of, label, spelled
from mock_server.scenario.faults.place import name_of
from mock_server.scenario.load import build, expand, is_name, library, load
from mock_server.scenario.model import Scenario, without_name
from mock_server.scenario.node import Node, Problem, Problems, ScenarioError, suggestion
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

USUAL = ("disconnect", "reset", "truncate", "error_event")


@dataclass(frozen=True)
class Variant:
    """A scenario with one fault: after how many events of which turn, and which event comes next there."""

    name: str
    turn: int
    fault: Mapping[str, Any]
    events: int
    next_event: str
    scenario: Scenario

    @property
    def id(self) -> str:
        """What a test of it is called."""
        kind = str(self.fault["type"])
        return f"turn{self.turn}-{kind}" + (f"-{self.events}-before-{self.next_event}" if self.next_event else "")

    @property
    def text(self) -> str:
        """The fault in words."""
        return label(faults_of(self.fault, "fault")[0])

    @property
    def data(self) -> Mapping[str, Any]:
        """The scenario with its fault, in the words of the YAML."""
        plain: Mapping[str, Any] = self.scenario.data.plain()
        return plain


def faults(
    scenario: str | Path | Scenario, faults: Sequence[str | Mapping[str, Any]] = USUAL, *, once: bool = False
) -> Iterator[Variant]:
    """Every fault of the list at every event of every turn. Pings are not counted.

    `scenario`: one that is loaded, a name of the library, or a file. `faults`: names, or mappings, or as the header
    `x-mock-fault` spells them (`edit;remove=index`); those that say their place, or have none (an error reply, headers)
    come once a turn, and where one cannot apply it is left out. `once`: only the first try of a request meets the
    fault, so that a client can prove that it recovers. Raises ScenarioError, also for one that cannot apply anywhere.
    """
    __tracebackhide__ = True
    for one in _meant(scenario):
        exchanges = list(_turns(one))
        for fault in faults:
            made = [variant for exchange in exchanges for variant in _variants(one, exchange, fault, once=once)]
            if not made:
                raise ScenarioError([Problem("faults()", None, f"{fault} has no place in '{one.name}'")])
            yield from made


def _meant(scenario: str | Path | Scenario) -> Sequence[Scenario]:
    if isinstance(scenario, Scenario):
        return (scenario,)
    if not is_name(scenario):
        return load([scenario])
    name, known = str(scenario), {one.name: one for one in load([library()])}
    if name not in known:
        raise ScenarioError([Problem("faults()", None, f"no scenario '{name}'{suggestion(name, known)}")])
    return (known[name],)


def _turns(scenario: Scenario) -> Iterator[Previewed]:
    """One exchange for each turn that replies with a message."""
    engine = Engine(Settings(time_scale=0.0, seed=0), load_profile("octen"), profiles=load_profile)
    seen: set[int] = set()
    for exchange in preview(engine, engine.in_force, scenario, stream=True):
        if exchange.turn not in seen and exchange.plan.whole.status == 200 and exchange.scenario is not None:
            seen.add(exchange.turn)
            yield exchange._replace(plan=exchange.plan.whole)


def _variants(
    scenario: Scenario, exchange: Previewed, fault: str | Mapping[str, Any], *, once: bool
) -> Iterator[Variant]:
    names = [name for _, frame in exchange.frames if (name := name_of(frame)) not in ("", "ping")]
    written = spelled(fault)[0] if isinstance(fault, str) else dict(fault)
    cls = FAULTS.get(written.get("type", ""))
    keys = set() if cls is None else {field.name for field in fields(cls)}
    for events, following in enumerate(names):
        placed = written if _is_placed(written) else {**written, **_placed(keys, names, events)}
        name = f"{scenario.name}/{exchange.turn}/{faults_of(placed, 'faults()')[0].type}"
        try:
            made = build(_with_fault(scenario, exchange.turn, placed, once=once), name)
        except ScenarioError:
            continue  # it has no place there
        if placed == written:
            yield Variant(name, exchange.turn, placed, 0, "", made)
            return
        yield Variant(f"{name}/{events}", exchange.turn, placed, events, following, made)


def _is_placed(written: Mapping[str, Any]) -> bool:
    """Whether a fault says itself which event it means, or means the message."""
    own = ("after", "at", "block", "index", "message", *(("event",) if written.get("type") == "edit" else ()))
    return any(key in written for key in own)


def _placed(keys: set[str], names: Sequence[str], events: int) -> dict[str, Any]:
    """The keys that put a fault at an event, for faults that have a place."""
    if "after" in keys:
        return {"after": {"events": events}}
    if "nth" in keys:
        return {"event": names[events], "nth": names[: events + 1].count(names[events])}
    return {}


def _with_fault(scenario: Scenario, turn: int, fault: Mapping[str, Any], *, once: bool) -> dict[str, Any]:
    """The scenario as its author wrote it, with a fault on every reply of one turn."""
    node: Node = expand(without_name(scenario).data, Problems("faults()"))
    data: dict[str, Any] = {**node.plain(), "name": scenario.name}
    if scenario.named_only:
        data.pop("when", None)
    if scenario.of_library:  # it has not seen the request that it is chosen for
        data["contradicts"] = True
    turns = list(data["turns"])
    turns[turn - 1] = _faulty_answer(turns[turn - 1], fault, once=once)
    return {**data, "turns": turns}


def _faulty_answer(answer: Mapping[str, Any], fault: Mapping[str, Any], *, once: bool) -> dict[str, Any]:
    if "cases" in answer:
        cases = [one if "error" in one else _faulty_answer(one, fault, once=once) for one in answer["cases"]]
        return {**answer, "cases": cases}
    if "attempts" in answer:
        first, *rest = answer["attempts"]
        if not once:
            rest = [{**one, "fault": fault} for one in rest]
        return {**answer, "attempts": [{**first, "fault": fault}, *rest]}
    if not once:
        return {**answer, "fault": fault}
    outer = {key: answer[key] for key in ("when", "chance", "expect") if key in answer}
    inner = {key: value for key, value in answer.items() if key not in outer}
    return {**outer, "attempts": [{**inner, "fault": fault}, inner]}

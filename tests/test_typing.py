"""What type checkers know is what the code knows: lists of names, keys, settings; and all that a user meets is public."""

import inspect
import json
import shutil
import subprocess
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
import typing_extensions

import mock_server
from mock_server import (
    ErrorType,
    FaultType,
    ScenarioKeys,
    ServerSettings,
    SessionSettings,
    Settings,
    TimingName,
    Verbs,
)
from mock_server.protocol.errors import STATUS
from mock_server.scenario.answer import ANSWER_KEYS
from mock_server.scenario.faults import FAULTS
from mock_server.scenario.model import Scenario
from mock_server.scenario.timing import PRESETS
from mock_server.settings import rows

PUBLIC = Path(__file__).parent / "typing" / "public.py"


def of_add() -> set[str]:
    """What `add()` takes by name."""
    return set(inspect.signature(Verbs.add).parameters) - {"self", "more"} | set(ScenarioKeys.__annotations__)


LISTS: dict[str, tuple[Iterable[str], Iterable[str]]] = {
    "faults": (get_args(FaultType), set(FAULTS) - {"gate"}),
    "paces": (get_args(TimingName), PRESETS),
    "errors": (get_args(ErrorType), STATUS),
    "keys of add()": (of_add(), {f.name for f in fields(Scenario) if not f.metadata.get("hidden")} | set(ANSWER_KEYS)),
    "settings of a session": (SessionSettings.__annotations__, [row.name for row in rows() if row.option.per_session]),
    "settings of a server": (
        typing.get_type_hints(ServerSettings),
        {f.name for f in fields(Settings)} - {"paths"},
    ),
}


@pytest.mark.parametrize("what", LISTS)
def test_the_names_that_type_checkers_know_are_those_of_the_code(what: str) -> None:
    told, known = LISTS[what]
    assert set(told) == set(known)


@pytest.mark.parametrize("row", [row for row in rows() if row.option.choices], ids=lambda row: row.name)
def test_the_choices_of_a_setting_are_those_of_the_code(row: Any) -> None:
    hint = typing.get_type_hints(ServerSettings)[row.name]
    literal = next((one for one in get_args(hint) if typing.get_origin(one) is typing.Literal), hint)
    assert set(get_args(literal)) == set(row.option.choices)


# -- what a user meets is public -----------------------------------------------------------------------------------------

MET = (
    *("MockServer", "MockSession", "MockClient", "MockServerFactory", "Route", "Journal", "Request", "Variant", "When"),
    *("ClockControls", "GateControls", "OverlayControls", "StateControls", "ScenarioError", "SettingError", "Refused"),
)
INSIDE = {  # of Journal: what the engine, not a test, does with it
    *("opened", "ended", "told", "faults", "listeners", "hits", "cut_open", "resize", "forget_answers"),
    *("subscribe", "settled", "metrics", "text", "matching", "pass_over"),
}
CALLED_BY_SYNTAX = ("__call__", "__getitem__", "__iter__")
MADE = (("__init__", "MockServer"), ("__init__", "MockClient"))  # by a user; the others are given to him


def signatures(name: str) -> Iterator[tuple[str, Any]]:
    """The functions that a user calls under a public name."""
    found = getattr(mock_server, name)
    if inspect.isfunction(found):
        yield name, found
    for attribute, value in inspect.getmembers(found) if name in MET else ():
        if attribute.startswith("_") and attribute not in CALLED_BY_SYNTAX and (attribute, name) not in MADE:
            continue
        if name == "Journal" and attribute in INSIDE:
            continue
        function = value.fget if isinstance(value, property) else value
        if inspect.isfunction(function) and function.__module__.startswith("mock_server"):
            yield f"{name}.{attribute}", function


def ours(hint: Any) -> Iterator[type]:
    """The classes of the package in an annotation."""
    for inner in get_args(hint):
        yield from ours(inner)
    if (
        isinstance(hint, type)
        and not isinstance(hint, types.GenericAlias)
        and hint.__module__.startswith("mock_server")
    ):
        yield hint


CALLED = [pair for name in mock_server.__all__ for pair in signatures(name)]


@pytest.mark.parametrize(("called", "function"), CALLED, ids=[name for name, _ in CALLED])
def test_what_a_public_function_takes_and_gives_is_public(called: str, function: Any) -> None:
    where = {**vars(sys.modules[function.__module__]), "Unpack": typing_extensions.Unpack}
    where |= {name: getattr(mock_server, name) for name in mock_server.__all__}
    hints = typing.get_type_hints(function, where)
    met = {one for hint in hints.values() for one in ours(hint)}
    known = [one for one in (getattr(mock_server, name) for name in mock_server.__all__) if isinstance(one, type)]
    assert not {one for one in met if one not in known}


def test_every_public_name_is_told_in_the_docs() -> None:
    docs = Path(__file__).parent.parent / "docs"
    text = "\n".join(file.read_text() for file in docs.glob("*.md"))
    assert not [name for name in mock_server.__all__ if name not in text and not name.startswith("__")]


# -- what the checkers say -----------------------------------------------------------------------------------------------


@pytest.mark.timeout(200)
def test_pyright_sees_the_same_mistakes_as_mypy(tmp_path: Path) -> None:
    """Both need every `type: ignore` of the file, and find nothing else."""
    pyright = shutil.which("pyright", path=str(Path(sys.executable).parent))
    if pyright is None or shutil.which("node") is None:
        pytest.skip("needs pyright and node: pip install pyright")
    (tmp_path / "public.py").write_text(PUBLIC.read_text())
    asked = {"typeCheckingMode": "standard", "reportUnnecessaryTypeIgnoreComment": "error", "pythonVersion": "3.10"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({**asked, "extraPaths": [str(PUBLIC.parents[2])]}))
    command = [pyright, "-p", str(tmp_path), "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    if "error" not in done.stdout:
        pytest.skip(f"pyright could not be had: {done.stderr[-200:]}")
    assert "0 errors, 0 warnings" in done.stdout, done.stdout

"""Modules that are imported when something of them is first called."""

import subprocess
import sys

import pytest

from mock_server.deferred import Deferred
from mock_server.engine.endpoints import ENDPOINTS, READERS


@pytest.fixture
def wave(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module `wave`, imported by nobody."""
    monkeypatch.delitem(sys.modules, "wave", raising=False)


@pytest.mark.usefixtures("wave")
def test_a_module_is_imported_when_it_is_first_called_and_is_itself_from_then_on() -> None:
    place = {"other": 1}
    deferred = place["sound"] = Deferred("wave", place)  # type: ignore[assignment]
    openfp = deferred.open
    assert "wave" not in sys.modules
    with pytest.raises(FileNotFoundError):
        openfp("/nowhere", "rb")
    assert place == {"other": 1, "sound": sys.modules["wave"]}


def test_what_it_gives_is_the_same_each_time() -> None:
    deferred = Deferred("wave", {})
    assert deferred.open is deferred.open
    assert not hasattr(deferred, "__wrapped__")


def test_every_endpoint_of_the_table_is_there() -> None:
    """A name that its module has not would show only when it is asked for."""
    deferred = [one for methods in ENDPOINTS.values() for one in methods.values()] + list(READERS.values())
    for one in deferred:
        for cell in one.__closure__ or () if one.__name__ == "call" else ():
            if isinstance(cell.cell_contents, Deferred):
                name = next(found.cell_contents for found in one.__closure__ or () if found is not cell)
                assert callable(getattr(cell.cell_contents._import(), name))


SPENT = """
import os, resource, sys
from mock_server.deferred import Deferred, imported
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        os.open(os.devnull, os.O_RDONLY)
except OSError:
    pass
assert not {"wave", "colorsys"} & sys.modules.keys()
print(Deferred("wave", {}).Error("said"), imported("colorsys").__name__)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of descriptors are POSIX")
def test_a_process_without_descriptors_imports_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", SPENT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("said colorsys\n", "")


def test_a_module_that_is_not_there_is_told() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        Deferred("no_such_module", {}).call()

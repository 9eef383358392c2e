"""Modules that are imported when something of them is first called: of all that a server can do, most is never needed.

A process that has no descriptor left can open no file to import. So one descriptor is held back for that. A leaf that
any module may use.
"""

import errno
import os
import sys
from collections.abc import Callable
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any


class Deferred:
    """Stands for a module until one of its functions or classes is first called; it has nothing else.

    `place`: the globals that it stands in; from the first call on the module itself is there. What it gives of one name
    is always the same, as of the module: it can be a key. For type checkers, import the module under `TYPE_CHECKING`.
    In the package of the module it has another name: whoever imports it from there would get what stands for it.
    """

    def __init__(self, module: str, place: dict[str, Any]) -> None:
        self._module = module
        self._place = place

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*values: Any, **named: Any) -> Any:
            return getattr(self._import(), name)(*values, **named)

        vars(self)[name] = call
        return call

    def _import(self) -> ModuleType:
        module = sys.modules.get(self._module) or imported(self._module)
        self._place.update({name: module for name, value in self._place.items() if value is self})
        return module


class _Spare:
    """A descriptor that is held for nothing but to be given up in need."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: int | None = None
        self.hold()

    def hold(self) -> None:
        """Take one where there is one."""
        try:
            self._held = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            self._held = None

    def lend(self, call: Callable[[], ModuleType]) -> ModuleType:
        """Have something done that needs one."""
        with self._lock:
            if self._held is not None:
                os.close(self._held)
            try:
                return call()
            finally:
                self.hold()


_SPARE = _Spare()


def imported(name: str) -> ModuleType:
    """The module of this name, also where no descriptor is left."""
    try:
        return import_module(name)
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        return _SPARE.lend(lambda: import_module(name))

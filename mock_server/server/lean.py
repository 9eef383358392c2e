"""aiohttp without what a server does not need. For a process that is a server and nothing else.

`import aiohttp.web_server` runs `aiohttp/__init__.py` first, and that imports all of the client, which reads the
certificate authorities of the system as it is imported: half of the time that aiohttp takes to import, and 4 MB. Here
the package stands without that until somebody asks for a name that only `__init__` can give: then `__init__` is run
after all. A release of aiohttp whose server needs its client is as slow as it was, no worse.

What is left takes from the standard library readers of mail, of proxies and of HTML, 4 MB more, for functions that are
called for a client, for forms by mail's rules, for a page of an error: none of them here. While it is
imported, stand-ins give those names; the first that is used puts the true ones in all their places.
"""

import contextlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_VERSION = re.compile(r"""^__version__(?:: \w+)? = ["']([^"'\\]+)["']$""", re.MULTILINE)

# What aiohttp takes of modules that are imported when one of these is used. As it is imported it makes bases of classes
# and annotations of them at most; whatever else is read from these modules imports them at once.
_LATER: Mapping[str, tuple[str, ...]] = {
    "email.message": ("EmailMessage",),
    "email.parser": ("HeaderParser",),
    "email.policy": ("HTTP",),
    "email.utils": ("parsedate",),
    "html": ("escape",),
    "urllib.request": ("getproxies", "proxy_bypass"),
}
# Modules that attrs has for whoever validates and converts, which aiohttp does not.
_LAZY = frozenset(("attr.converters", "attr.filters", "attr.validators"))


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Have the imports of aiohttp meanwhile leave out what the server does not need."""
    spec = None if "aiohttp" in sys.modules else importlib.util.find_spec("aiohttp")
    if spec is None or spec.loader is None or spec.origin is None:
        yield
        return
    module = importlib.util.module_from_spec(spec)
    module.__class__ = _Package
    sys.modules["aiohttp"] = module
    standing = StandIns()
    sys.meta_path.insert(0, _LazyFinder)  # not of `importlib.abc`, which imports much
    try:
        yield
    finally:
        sys.meta_path.remove(_LazyFinder)
        standing.step_back()


class _Package(ModuleType):
    """The package aiohttp before its `__init__.py` is run; its modules are there."""

    def __getattr__(self, name: str) -> Any:
        """What is wanted and is not there yet."""
        if name == "__version__" and (version := self._version()):  # the server sends it in a header
            self.__version__ = version
            return version
        if name.startswith("__") and name not in ("__all__", "__version__"):  # what the machinery of imports looks for
            raise AttributeError(name)
        if importlib.util.find_spec(f"aiohttp.{name}") is not None:
            return importlib.import_module(f"aiohttp.{name}")
        return getattr(self._run(), name)

    def _version(self) -> str | None:
        found = _VERSION.search(Path(str(self.__file__)).read_text())
        return found[1] if found else None

    def _run(self) -> ModuleType:
        """Become what `import aiohttp` makes."""
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return self


class StandIns:
    """Stand in `sys.modules` for the modules of `_LATER` that nobody has imported yet."""

    def __init__(self) -> None:
        self._modules = [
            _StandIn(name, {one: Later(self, name, one) for one in names})
            for name, names in _LATER.items()
            if name not in sys.modules
        ]
        sys.modules.update({one.__name__: one for one in self._modules})

    def step_back(self) -> None:
        """Whoever imports one of them from now on gets the true module."""
        for one in self._modules:
            if sys.modules.get(one.__name__) is one:
                del sys.modules[one.__name__]

    def give_way(self) -> None:
        """Put what was stood in for in all its places in aiohttp: as if nobody had ever stood in for anything."""
        self.step_back()
        stand_ins = [one for module in self._modules for one in module.names.values()]
        self._modules = []
        for one in stand_ins:
            for heir in one.base.__subclasses__():
                heir.__bases__ = (one.true(),)
        for name, module in list(sys.modules.items()):
            if name.startswith("aiohttp."):
                for key, value in list(vars(module).items()):
                    if isinstance(value, Later):
                        setattr(module, key, value.true())


class _StandIn(ModuleType):
    def __init__(self, name: str, names: "Mapping[str, Later]") -> None:
        super().__init__(name)
        self.names = names

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self.names:
            return self.names[name]
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


class Later:
    """Stands in for something of a module that has not been imported: it can be called, looked into, inherited from."""

    def __init__(self, all: StandIns, module: str, name: str) -> None:
        self._all, self._module, self._name = all, module, name
        self.base: type[Any] = type(name, (), {})  # what its heirs have for a base until then

    def true(self) -> Any:
        return getattr(importlib.import_module(self._module), self._name)

    def __call__(self, *values: Any, **named: Any) -> Any:
        self._all.give_way()
        return self.true()(*values, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._all.give_way()
        return getattr(self.true(), name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type]:
        return (self.base,)

    def _in_annotation(self, other: Any) -> "Later":
        return self

    __or__ = __ror__ = __getitem__ = _in_annotation


class _LazyFinder:
    """Finds the modules of `_LAZY` such that they are run when something is read from them."""

    @staticmethod
    def find_spec(name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, path, target) if name in _LAZY else None
        if found is not None and found.loader is not None:
            found.loader = importlib.util.LazyLoader(found.loader)
        return found

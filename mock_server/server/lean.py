"""aiohttp without its client. For a process that is a server and nothing else.

`import aiohttp.web` runs `aiohttp/__init__.py` first, and that imports all of the client, which reads the certificate
authorities of the system as it is imported: half of the time that aiohttp takes to import, and 4 MB. Here the package
stands without that until somebody asks for a name that only `__init__` can give: then `__init__` is run after all. A
release of aiohttp whose server needs its client is as slow as it was, no worse.
"""

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_VERSION = re.compile(r"""^__version__(?:: \w+)? = ["']([^"'\\]+)["']$""", re.MULTILINE)


def without_client() -> None:
    """Have the imports of aiohttp that follow leave out what the server does not need."""
    spec = None if "aiohttp" in sys.modules else importlib.util.find_spec("aiohttp")
    if spec is None or spec.loader is None or spec.origin is None:
        return
    module = importlib.util.module_from_spec(spec)
    module.__class__ = _Package
    sys.modules["aiohttp"] = module


class _Package(ModuleType):
    """The package aiohttp before its `__init__.py` is run; its modules are there."""

    def __getattr__(self, name: str) -> Any:
        """What is asked for and is not there yet."""
        if name == "__version__" and (version := self._version()):  # the server tells it in a header
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

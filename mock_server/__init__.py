"""A local emulator of the Messages API."""

from typing import TYPE_CHECKING, Any

from mock_server.version import VERSION as __version__

if TYPE_CHECKING:
    from mock_server.api import Lane, MockServer
    from mock_server.settings import Settings

__all__ = ["Lane", "MockServer", "Settings", "__version__"]

_HOMES = {"MockServer": "mock_server.api", "Lane": "mock_server.api", "Settings": "mock_server.settings"}


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: pytest loads this package in every project that has it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mock_server' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)

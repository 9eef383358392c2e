"""A local emulator of the Messages API."""

from typing import TYPE_CHECKING, Any

from mock_server.version import VERSION as __version__

if TYPE_CHECKING:
    from mock_server.api.builders import (
        Reply,
        When,
        attempts,
        body,
        endpoint,
        error,
        fault,
        gate,
        generate,
        has,
        header,
        last_message,
        model,
        prompt,
        reply,
        server_tool_use,
        state,
        stream,
        system,
        template,
        text,
        thinking,
        tool_choice,
        tool_result,
        tool_use,
        tools,
        web_search_tool_result,
    )
    from mock_server.api.local import MockServer, MockSession
    from mock_server.api.matrix import Variant, faults
    from mock_server.api.remote import MockClient
    from mock_server.api.session import Route
    from mock_server.engine.entry import Entry
    from mock_server.engine.gates import NotReached
    from mock_server.engine.journal import Incomplete, Journal, StillOpen
    from mock_server.engine.request_view import Request
    from mock_server.protocol.signing import SIGNATURE
    from mock_server.scenario.node import ScenarioError
    from mock_server.settings import SettingError, Settings

__all__ = [
    # the server
    "MockServer",
    "MockSession",
    "MockClient",
    "Settings",
    # replies
    "text",
    "thinking",
    "template",
    "tool_use",
    "server_tool_use",
    "web_search_tool_result",
    "reply",
    "error",
    "attempts",
    "fault",
    "gate",
    "generate",
    "Reply",
    "SIGNATURE",
    # conditions
    "prompt",
    "last_message",
    "system",
    "model",
    "tools",
    "tool_choice",
    "tool_result",
    "has",
    "body",
    "stream",
    "header",
    "state",
    "endpoint",
    "When",
    # what came
    "faults",
    "Variant",
    "Route",
    "Journal",
    "Entry",
    "Request",
    # what goes wrong
    "ScenarioError",
    "SettingError",
    "Incomplete",
    "NotReached",
    "StillOpen",
    "__version__",
]

# where a public name lives, unless it is a builder
_HOMES = {
    "MockServer": "api.local",
    "MockSession": "api.local",
    "MockClient": "api.remote",
    "Settings": "settings",
    "SettingError": "settings",
    "Route": "api.session",
    "faults": "api.matrix",
    "Variant": "api.matrix",
    "Entry": "engine.entry",
    "Journal": "engine.journal",
    "Incomplete": "engine.journal",
    "NotReached": "engine.gates",
    "StillOpen": "engine.journal",
    "Request": "engine.request_view",
    "SIGNATURE": "protocol.signing",
    "ScenarioError": "scenario.node",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: pytest loads this package in every project that has it."""
    if name not in __all__:
        raise AttributeError(f"module 'mock_server' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"mock_server.{_HOMES.get(name, 'api.builders')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

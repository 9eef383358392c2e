"""A local emulator of the Messages API."""

from typing import TYPE_CHECKING, Any

from mock_server.version import VERSION as __version__

if TYPE_CHECKING:
    from mock_server.api.builders import (
        Answer,
        Block,
        ErrorType,
        Faults,
        FaultType,
        Gates,
        Reply,
        ReplyFunction,
        ScenarioKeys,
        Timing,
        TimingName,
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
    from mock_server.api.controls import ClockControls, GateControls, OverlayControls, Refused, StateControls, StateView
    from mock_server.api.local import MockServer, MockSession
    from mock_server.api.matrix import Variant, faults
    from mock_server.api.remote import MockClient, Unreachable
    from mock_server.api.session import Route, Verbs
    from mock_server.engine.entry import Entry
    from mock_server.engine.gates import GateView, NotReached
    from mock_server.engine.journal import Incomplete, Journal, StillOpen
    from mock_server.engine.overlays import OverlayView
    from mock_server.engine.request_view import Request, ToolResult
    from mock_server.protocol.signing import SIGNATURE
    from mock_server.pytest_plugin import MockServerFactory
    from mock_server.scenario.answer import StopReason
    from mock_server.scenario.model import Scenario
    from mock_server.scenario.node import Problem, ScenarioError
    from mock_server.settings import ServerSettings, SessionSettings, SettingError, Settings

__all__ = [
    # the server
    "MockServer",
    "MockSession",
    "MockClient",
    "MockServerFactory",
    "Verbs",
    "Settings",
    "ServerSettings",
    "SessionSettings",
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
    "SIGNATURE",
    # what they are for type checkers
    "Reply",
    "ReplyFunction",
    "Answer",
    "Block",
    "ScenarioKeys",
    "StopReason",
    "ErrorType",
    "FaultType",
    "Faults",
    "Gates",
    "Timing",
    "TimingName",
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
    "ToolResult",
    "Scenario",
    # what is turned meanwhile
    "ClockControls",
    "StateControls",
    "StateView",
    "GateControls",
    "GateView",
    "OverlayControls",
    "OverlayView",
    # what goes wrong
    "ScenarioError",
    "Problem",
    "SettingError",
    "Refused",
    "Unreachable",
    "Incomplete",
    "NotReached",
    "StillOpen",
    "__version__",
]

# where the public names live that are no builders
_HOMES = {
    "api.controls": ("ClockControls", "GateControls", "OverlayControls", "Refused", "StateControls", "StateView"),
    "api.local": ("MockServer", "MockSession"),
    "api.matrix": ("Variant", "faults"),
    "api.remote": ("MockClient", "Unreachable"),
    "api.session": ("Route", "Verbs"),
    "engine.entry": ("Entry",),
    "engine.gates": ("GateView", "NotReached"),
    "engine.journal": ("Incomplete", "Journal", "StillOpen"),
    "engine.overlays": ("OverlayView",),
    "engine.request_view": ("Request", "ToolResult"),
    "protocol.signing": ("SIGNATURE",),
    "pytest_plugin": ("MockServerFactory",),
    "scenario.answer": ("StopReason",),
    "scenario.model": ("Scenario",),
    "scenario.node": ("Problem", "ScenarioError"),
    "settings": ("ServerSettings", "SessionSettings", "SettingError", "Settings"),
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: pytest loads this package in every project that has it."""
    if name not in __all__:
        raise AttributeError(f"module 'mock_server' has no attribute '{name}'")
    from importlib import import_module

    home = next((home for home, names in _HOMES.items() if name in names), "api.builders")
    return getattr(import_module(f"mock_server.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

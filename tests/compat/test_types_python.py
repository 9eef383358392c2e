"""Every reply of the library as the installed Python SDK writes its types down: no required field lacks, no value is
outside its literals. Fields that an older release does not know may be there, as they are in what the real API sends.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from pydantic import TypeAdapter

from mock_server.engine.engine import Engine
from mock_server.engine.preview import preview
from mock_server.protocol.sse import parse
from mock_server.scenario.load import files, library, loads
from mock_server.scenario.model import Scenario
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

MESSAGE: TypeAdapter[Any] = TypeAdapter(BetaMessage)
EVENT: TypeAdapter[Any] = TypeAdapter(BetaRawMessageStreamEvent)
# Octen's own tool is in no SDK; the block that lists the tools of an MCP server is in the newest alone
LEFT_OUT = frozenset(("octen-search", "octen-search-error", "mcp-listing"))
SCENARIOS = {
    scenario.name: scenario
    for file in files([library()])
    for scenario in loads(file.read_text("utf-8"))
    if scenario.name not in LEFT_OUT and not any(leaf.faults for turn in scenario.turns for leaf in turn.leaves)
}


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_reply_of_the_library_is_what_the_types_say(name: str, stream: bool) -> None:
    for adapter, value in told(SCENARIOS[name], stream):
        adapter.validate_python(value)


def told(scenario: Scenario, stream: bool) -> Iterator[tuple[TypeAdapter[Any], Any]]:
    """What its replies say, each with the type that it must have."""
    engine = Engine(Settings(profile="anthropic", time_scale=0, seed=1), load_profile("anthropic"))
    for exchange in preview(engine, engine.in_force, scenario, stream=stream):
        body = exchange.plan.body()
        if exchange.plan.status == 200 and stream:
            yield from ((EVENT, event) for event in parse(body) if event["type"] != "ping")
        elif exchange.plan.status == 200:
            yield MESSAGE, json.loads(body)

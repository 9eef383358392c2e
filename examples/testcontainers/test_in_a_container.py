"""Testcontainers starts the image for the tests that need it, and ends it after them.

`pip install testcontainers anthropic` beside this package; `make docker` (or your registry) has the image.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import anthropic
import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HealthcheckWaitStrategy

from mock_server import MockClient

IMAGE = os.environ.get("MOCK_SERVER_IMAGE", "messages-mock-server")
SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
TOKEN = "testcontainers"


@pytest.fixture(scope="session")
def sidecar() -> Iterator[MockClient]:
    """The container, for as long as the tests run."""
    container = (
        DockerContainer(IMAGE)
        .with_exposed_ports(8787)
        .with_env("MOCK_SERVER_CONTROL_TOKEN", TOKEN)
        .with_volume_mapping(SCENARIOS, "/scenarios")
        .waiting_for(HealthcheckWaitStrategy())
    )
    with container:
        yield MockClient(f"http://{container.get_container_host_ip()}:{container.get_exposed_port(8787)}", token=TOKEN)


@pytest.fixture
def mock(sidecar: MockClient) -> Iterator[MockClient]:
    """What one test adds, counts and notes is its own."""
    with sidecar.session(unmatched="error", time_scale=0) as session:
        yield session


def ask(mock: MockClient, prompt: str) -> anthropic.types.Message:
    with anthropic.Anthropic(base_url=mock.url, api_key=mock.api_key) as client:
        return client.messages.create(
            model="claude-opus-4-8",
            max_tokens=100,
            tools=[{"name": "get_weather", "input_schema": {"type": "object"}}],
            messages=[{"role": "user", "content": prompt}],
        )


def test_a_scenario_of_the_mounted_folder_answers(mock: MockClient) -> None:
    message = ask(mock, "What is the weather in Paris?")
    assert message.stop_reason == "tool_use"
    assert mock.journal[-1].scenario == "weather"


def test_a_test_adds_what_it_needs(mock: MockClient) -> None:
    mock.add("At noon.", when={"prompt": "time"})
    message = ask(mock, "What time is it?")
    assert [block.text for block in message.content if block.type == "text"] == ["At noon."]
    mock.assert_called(1)

"""A desk, and the town it looks after."""

from collections.abc import Iterator

import pytest

from town import Town
from weather_desk.agent import WeatherDesk


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture
def desk(town: Town) -> Iterator[WeatherDesk]:
    """Its client finds the emulator by the environment: `mock_server_autouse` is set in pyproject.toml."""
    with WeatherDesk(town.get_weather, town.warn_people, max_rounds=4) as desk:
        yield desk

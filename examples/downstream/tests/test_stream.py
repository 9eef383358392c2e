"""The answer as it is written."""

from threading import Event

import pytest
from mock_server import MockSession, tool_use

from weather_desk.agent import WeatherDesk


def test_text_comes_in_pieces_across_rounds(desk: WeatherDesk, mock_server: MockSession) -> None:
    mock_server.conversation(["Let me look. ", tool_use("get_weather", {"city": "Paris"})], "It is sunny in Paris.")
    pieces = list(desk.stream("How is Paris?"))
    assert "".join(pieces) == "Let me look. It is sunny in Paris."
    assert len(pieces) > 2
    assert all(entry.request.stream for entry in mock_server.journal)


@pytest.mark.mock_scenarios("scenarios/long-forecast.yaml")
@pytest.mark.mock_settings(time_scale=1.0)
def test_cancel_leaves_an_answer_that_is_being_written(desk: WeatherDesk, mock_server: MockSession) -> None:
    cancel = Event()
    pieces = desk.stream("The forecast for the week, please", cancel)
    assert next(pieces).startswith("Monday")
    cancel.set()
    assert list(pieces) == []
    (entry,) = mock_server.journal.wait_for(1)
    assert entry.outcome == "client_left"
    assert len(entry.events) < len(entry.planned_events)

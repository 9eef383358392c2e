"""What the desk does with what the model says."""

import pytest
from mock_server import MockSession, prompt, reply, server_tool_use, tool_use, web_search_tool_result

from town import Town
from weather_desk.agent import SYSTEM, TooManyRounds, WeatherDesk


def test_an_answer_that_needs_no_tool_is_told(desk: WeatherDesk, mock_server: MockSession) -> None:
    mock_server.add("Hello, how can I help?", when=prompt("hello"))
    assert desk.ask("Hello!") == "Hello, how can I help?"
    request = mock_server.journal.last.request
    assert request.system == SYSTEM
    assert list(request.tools) == ["get_weather", "warn_people", "web_search"]


def test_the_station_is_looked_at_before_the_answer(desk: WeatherDesk, mock_server: MockSession, town: Town) -> None:
    mock_server.conversation(tool_use("get_weather", {"city": "Paris"}), "It is sunny in Paris.")
    assert desk.ask("How is Paris?") == "It is sunny in Paris."
    assert mock_server.journal.last.request.tool_results[0].text == "21 °C, sunny"
    assert town.looked_at == ["Paris"]
    mock_server.assert_called(2)
    mock_server.assert_all_used()


def test_two_cities_are_looked_up_in_one_round(desk: WeatherDesk, mock_server: MockSession) -> None:
    both = [tool_use("get_weather", {"city": "Paris"}), tool_use("get_weather", {"city": "Oslo"})]
    mock_server.conversation(both, "Paris, by far.")
    assert desk.ask("Paris or Oslo?") == "Paris, by far."
    results = mock_server.journal.last.request.tool_results
    assert [result.text for result in results] == ["21 °C, sunny", "3 °C, snow"]
    mock_server.assert_called(2)


def test_a_warning_follows_what_the_station_says(desk: WeatherDesk, mock_server: MockSession, town: Town) -> None:
    mock_server.conversation(
        tool_use("get_weather", {"city": "Oslo"}),
        ["Snow!", tool_use("warn_people", {"city": "Oslo", "text": "Snow is coming"})],
        "I have warned them.",
    )
    assert desk.ask("Does Oslo need a warning?") == "I have warned them."
    assert town.warned == ["Oslo: Snow is coming"]
    mock_server.assert_all_used()


@pytest.mark.mock_scenarios("scenarios/station-down.yaml")
def test_a_station_that_fails_is_told_to_the_model(desk: WeatherDesk, mock_server: MockSession) -> None:
    assert desk.ask("How is the weather in Atlantis?") == "I cannot reach the station in Atlantis."
    (result,) = mock_server.journal.last.request.tool_results
    assert result.is_error
    assert result.text == "KeyError: 'Atlantis'"


def test_a_model_that_never_stops_calling_is_stopped(desk: WeatherDesk, mock_server: MockSession) -> None:
    mock_server.add(tool_use("get_weather", {"city": "Paris"}), at_end="repeat")
    with pytest.raises(TooManyRounds, match="4 rounds"):
        desk.ask("How is Paris?")
    mock_server.assert_called(4)


def test_a_search_that_pauses_goes_on(desk: WeatherDesk, mock_server: MockSession) -> None:
    mock_server.conversation(
        reply(server_tool_use("web_search", {"query": "sunny cities"}), stop_reason="pause_turn"),
        [
            web_search_tool_result([{"type": "web_search_result", "title": "Sun", "url": "https://example.com/sun"}]),
            "Yuma is the sunniest.",
        ],
    )
    assert desk.ask("Where is the sun?") == "Yuma is the sunniest."
    assert [message["role"] for message in mock_server.journal.last.request.messages] == ["user", "assistant"]


def test_every_question_is_a_conversation_of_its_own(desk: WeatherDesk, mock_server: MockSession) -> None:
    mock_server.script("Sunny.", "Cold.")
    assert [desk.ask("How is Paris?"), desk.ask("How is Oslo?")] == ["Sunny.", "Cold."]
    mock_server.assert_sequence(prompt("paris"), prompt("oslo"))
    assert len(mock_server.journal.last.request.messages) == 1

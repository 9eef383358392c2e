"""What goes wrong, and what the desk makes of it. Retries take milliseconds: errors say `retry-after-ms: 1` here."""

import pytest
from anthropic import InternalServerError
from mock_server import MockSession, error, prompt, reply, tool_use

from town import Town
from weather_desk.agent import CUT, Refused, WeatherDesk


def test_a_rate_limit_is_waited_out(desk: WeatherDesk, mock_server: MockSession) -> None:
    mock_server.add(attempts=[error("rate_limit_error"), error(429), "Sunny."])
    assert desk.ask("How is Paris?") == "Sunny."
    assert [entry.status for entry in mock_server.journal] == [429, 429, 200]


def test_an_overload_between_rounds_runs_no_tool_twice(desk: WeatherDesk, mock_server: MockSession, town: Town) -> None:
    mock_server.conversation(
        tool_use("get_weather", {"city": "Paris"}),
        {"attempts": [error(529), "Sunny."]},
    )
    assert desk.ask("How is Paris?") == "Sunny."
    assert town.looked_at == ["Paris"]
    mock_server.assert_called(3)


def test_an_overload_that_lasts_is_raised(desk: WeatherDesk, mock_server: MockSession) -> None:
    overloaded = mock_server.add(error("overloaded_error"), when=prompt("paris"))
    with pytest.raises(InternalServerError, match="529"):
        desk.ask("How is Paris?")
    assert overloaded.call_count == 3


def test_a_refusal_is_not_taken_for_an_answer(desk: WeatherDesk, mock_server: MockSession) -> None:
    mock_server.add(reply("I", stop_reason="refusal"), when=prompt("hurricane"))
    with pytest.raises(Refused):
        desk.ask("How do I make a hurricane?")


def test_a_tool_call_that_max_tokens_has_cut_is_not_run(mock_server: MockSession, town: Town) -> None:
    warning = tool_use("warn_people", {"city": "Oslo", "text": "Snow and ice on all roads until Sunday"})
    mock_server.add(["I will warn them.", warning])
    with WeatherDesk(town.get_weather, town.warn_people, max_tokens=60) as desk:
        assert desk.ask("Warn Oslo of snow") == "I will warn them." + CUT
    assert mock_server.journal.last.reply["stop_reason"] == "max_tokens"
    assert [block["type"] for block in mock_server.journal.last.reply["content"]] == ["text", "tool_use"]
    assert town.warned == []

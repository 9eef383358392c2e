"""`--chaos FILE`: overlays for everything a server answers."""

from pathlib import Path

import pytest
from rawclient import answer, asks, post

from mock_server import MockServer, Settings
from mock_server.scenario.node import ScenarioError

CHAOS = "name: flaky\nfault: {type: error, error: overloaded_error}\nwhen: {header: {x-team: search}}\n"


def test_the_overlays_of_a_file_lie_over_the_scenarios_of_others(serve, talk, tmp_path: Path) -> None:
    chaos = tmp_path / "chaos.yaml"
    chaos.write_text(CHAOS)
    server = serve(settings=Settings(port=0, chaos=(str(chaos),)))

    for team, status in (("search", 529), ("docs", 200)):
        received = talk(server, post(asks("[[scenario:hello]]"), "x-api-key: k", f"x-team: {team}"))
        assert answer(received)[0] == status


def test_a_file_of_chaos_that_answers_something_is_refused_at_the_start(tmp_path: Path) -> None:
    chaos = tmp_path / "chaos.yaml"
    chaos.write_text("name: hello\nreply: Hello.")

    with pytest.raises(ScenarioError, match="'hello' answers requests; chaos is made of overlays"):
        MockServer(settings=Settings(port=0, chaos=(str(chaos),)))

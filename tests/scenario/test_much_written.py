"""Much that an author may write: it is read, judged and noted in a time that grows as the text does."""

import time
from collections.abc import Callable, Sequence

import pytest

from mock_server.commands import check
from mock_server.scenario.load import loads
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import Problem
from mock_server.settings import Settings

LONGEST = 10.0  # seconds of the processor; what went through all for each took minutes


def judged(scenarios: Sequence[Scenario]) -> list[Problem]:
    return [*check.notes(scenarios, Settings()), *(one for each in scenarios for one in check.unreachable(each))]


def of_scenarios(line: Callable[[int], str], count: int) -> tuple[Scenario, ...]:
    return loads("\n---\n".join(line(at) for at in range(count)), "much.yaml")


@pytest.mark.parametrize(
    ("scenarios", "told"),
    [
        pytest.param(
            lambda: of_scenarios(lambda at: f"name: n{at}\nwhen: {{prompt: word {at}}}\nreply: x", 4_000), 0, id="apart"
        ),
        pytest.param(
            lambda: of_scenarios(lambda at: f"name: n{at}\nwhen: {{prompt: word}}\nreply: x", 4_000), 1, id="alike"
        ),
        pytest.param(
            lambda: loads(
                "name: a\ncases:\n" + "".join(f"  - {{when: {{prompt: w{at}}}, reply: x}}\n" for at in range(8_000))
            ),
            0,
            id="cases",
        ),
        pytest.param(
            lambda: loads(
                "name: a\ncases:\n"
                + "".join(f"  - {{when: {{prompt: w{at}, attempt: 1}}, attempts: [x, y]}}\n" for at in range(4_000))
            ),
            4_000,
            id="attempts",
        ),
    ],
)
def test_check_notes_thousands(scenarios: Callable[[], Sequence[Scenario]], told: int) -> None:
    read = scenarios()
    start = time.thread_time()

    assert len(judged(read)) == told
    assert time.thread_time() - start < LONGEST

"""Same bytes, same answer, however TCP cuts them: which way a request takes must not decide what becomes of it."""

import asyncio
import itertools
import random
from pathlib import Path

import pytest
from wires import CORPUS, SCENARIOS, Asker

from mock_server import Settings
from mock_server.server.runner import Runner


def cuts(data: bytes, name: str) -> list[tuple[bytes, ...]]:
    """Every way to cut in two, and a share of 2,000 ways to cut in three."""
    draw = random.Random(name)
    threes = {tuple(sorted(draw.sample(range(1, len(data)), 2))) for _ in range(2000 // len(CORPUS) + 1)}
    places = [(at,) for at in range(1, len(data))] + sorted(threes)
    return [tuple(data[a:b] for a, b in itertools.pairwise((0, *at, len(data)))) for at in places]


@pytest.mark.parametrize("name", CORPUS)
def test_how_a_request_is_cut_does_not_decide_its_answer(name: str, tmp_path) -> None:
    assert asyncio.run(differing(name, Settings(port=0, seed=1, time_scale=0), tmp_path)) == []


@pytest.mark.parametrize("name", ["json", "stream", "query", "two at once", "the next begins", "bytes behind it"])
def test_how_a_request_is_cut_does_not_decide_what_is_answered_from_memory(name: str, tmp_path) -> None:
    assert asyncio.run(differing(name, Settings(port=0, time_scale=0), tmp_path)) == []


async def differing(name: str, settings: Settings, tmp_path: Path) -> list[tuple[tuple[bytes, ...], bytes]]:
    """The cuts of a request that get another answer than it gets whole."""
    (tmp_path / "text.yaml").write_text(SCENARIOS)
    runner = Runner(settings, [tmp_path])
    await runner.start()
    try:
        asker = Asker(runner)
        whole = await asker.answer([CORPUS[name]])
        assert whole.startswith(b"HTTP/1.0 " if name == "HTTP/1.0" else b"HTTP/1.1 ")
        found = [(pieces, await asker.answer(pieces, whole)) for pieces in cuts(CORPUS[name], name)]
        return [(pieces, answer) for pieces, answer in found if answer != whole]
    finally:
        await runner.stop()

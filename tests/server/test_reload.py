"""Scenario files that change under a running server: real files, real edits."""

import asyncio
import functools
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from configmap import ConfigMapVolume

from mock_server.engine.engine import Engine
from mock_server.scenario.load import Loader, load, loads
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.profiles import load_profile
from mock_server.server import runner
from mock_server.server.runner import state, watch
from mock_server.settings import Settings


class Watched:
    """A folder that is watched, and what was made of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loaded: list[tuple[Scenario, ...]] = []
        self.failed: list[ScenarioError] = []

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    async def until(self, loads: int = 0, failures: int = 0) -> None:
        for _ in range(4_000):
            if len(self.loaded) >= loads and len(self.failed) >= failures:
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"{len(self.loaded)} loads, {len(self.failed)} failures")

    @property
    def names(self) -> list[str]:
        return sorted(one.name for one in self.loaded[-1])


@asynccontextmanager
async def watching(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(runner, "INTERVAL", 0.01)
    monkeypatch.setattr(runner, "SETTLING", 0.01)
    seen = Watched(folder)
    known = state([folder])
    task = asyncio.create_task(
        watch([folder], Loader().load, lambda found: found, seen.loaded.append, seen.failed.append, known)
    )
    try:
        yield seen
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine, run to its end."""

    @functools.wraps(test)
    def run(*given: Any, **named: Any) -> None:
        asyncio.run(test(*given, **named))

    return run


def scenario(name: str, reply: str = "hi") -> str:
    return f"name: {name}\nreply: {reply}\n"


@in_a_loop
async def test_edit_break_fix_add_rename_delete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(scenario("a"))
    async with watching(tmp_path, monkeypatch) as seen:
        seen.write("a.yaml", scenario("a", "changed"))
        await seen.until(loads=1)
        assert seen.loaded[-1][0].turns[0].reply[0].text == "changed"  # type: ignore[index,union-attr]

        seen.write("a.yaml", "name: a\nrepyl: x\n")
        await seen.until(failures=1)
        assert str(seen.failed[-1]).startswith(f"{tmp_path / 'a.yaml'}:2:1: unknown key 'repyl'")
        assert len(seen.loaded) == 1

        seen.write("a.yaml", scenario("a"))
        await seen.until(loads=2)
        (tmp_path / "more").mkdir()
        seen.write("more/b.yaml", scenario("b"))
        await seen.until(loads=3)
        assert seen.names == ["a", "b"]

        (tmp_path / "more/b.yaml").rename(tmp_path / "c.yml")
        await seen.until(loads=4)
        assert seen.names == ["a", "b"]
        assert seen.loaded[-1][-1].source.startswith(str(tmp_path / "c.yml"))

        (tmp_path / "c.yml").unlink()
        await seen.until(loads=5)
        assert seen.names == ["a"]


@pytest.mark.parametrize(
    "value", ["!!int abc", "!!float abc", "9" * 4301, "1e999"], ids=["int", "float", "digits", "inf"]
)
@in_a_loop
async def test_a_value_that_cannot_be_read_is_told_and_the_next_good_edit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    (tmp_path / "a.yaml").write_text(scenario("a"))
    async with watching(tmp_path, monkeypatch) as seen:
        seen.write("b.yaml", f"name: b\nreply: {{type: tool_use, name: t, input: {{x: {value}}}}}")
        await seen.until(failures=1)
        assert str(seen.failed[-1]).startswith(f"{tmp_path / 'b.yaml'}:2:45: ")

        seen.write("b.yaml", scenario("b"))
        await seen.until(loads=1)
        assert seen.names == ["a", "b"]


@in_a_loop
async def test_a_fault_of_ours_while_loading_is_told_as_a_mistake_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text(scenario("a"))
    monkeypatch.setattr(Loader, "load", lambda self, paths: 1 // 0)
    async with watching(tmp_path, monkeypatch) as seen:
        seen.write("a.yaml", scenario("a", "changed"))
        await seen.until(failures=1)
        assert str(seen.failed[-1]) == ("a fault of mock-server: ZeroDivisionError: integer division or modulo by zero")


@in_a_loop
async def test_what_editors_leave_beside_a_file_is_no_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(scenario("a"))
    async with watching(tmp_path, monkeypatch) as seen:
        for name in (".a.yaml.swp", "a.yaml~", "#a.yaml#", "4913", ".#a.yaml", "a.yaml___jb_tmp___", "a.yaml.orig"):
            seen.write(name, "no: scenario: at all")
        seen.write("b.yaml", scenario("b"))
        await seen.until(loads=1)

        assert seen.names == ["a", "b"]
        assert seen.failed == []


@in_a_loop
async def test_a_file_that_is_half_written_is_read_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = iter(["name: b\nre", "ply: [", "one, two", "]\n"])
    looks = runner.state

    def writing(paths: Any) -> runner.State:
        """Each look finds another piece written, as long as there are some."""
        with (tmp_path / "b.yaml").open("a") as file:
            file.write(next(pieces, ""))
        return looks(paths)

    (tmp_path / "a.yaml").write_text(scenario("a"))
    monkeypatch.setattr(runner, "state", writing)
    async with watching(tmp_path, monkeypatch) as seen:
        await seen.until(loads=1)

        assert seen.names == ["a", "b"]
        assert seen.failed == []


@in_a_loop
async def test_of_500_files_only_those_that_changed_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(500):
        (tmp_path / f"{at:03}.yaml").write_text(scenario(f"s{at}"))
    async with watching(tmp_path, monkeypatch) as seen:
        seen.write("000.yaml", scenario("s0", "new"))
        await seen.until(loads=1)
        seen.write("001.yaml", scenario("s1", "new"))
        await seen.until(loads=2)

        before, after = ({one.name: one for one in found} for found in seen.loaded[-2:])
        assert len(after) == 500
        assert [name for name in after if after[name] is not before[name]] == ["s1"]

        shutil.rmtree(tmp_path)
        await seen.until(failures=1)
        assert "no such file or folder" in str(seen.failed[-1])


def test_what_did_not_change_is_not_compiled_again(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(scenario(name))
    engine = Engine(Settings(), load_profile("octen"))
    first = load([tmp_path])
    engine.load(first)
    before = engine.library(engine.sessions.default)

    engine.swap(engine.prepare((first[0], *loads(scenario("b", "other")))))

    after = engine.library(engine.sessions.default)
    assert after.compiled["a"] is before.compiled["a"]
    assert after.compiled["b"] is not before.compiled["b"]
    assert before.by_name["b"] is first[1]


@in_a_loop
async def test_the_swap_of_a_config_map_is_one_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = ConfigMapVolume(tmp_path / "mount", {"a.yaml": scenario("a"), "b.yaml": scenario("b")})
    assert [one.name for one in load([volume.folder])] == ["a", "b"]  # not a second time by way of ..data

    async with watching(volume.folder, monkeypatch) as seen:
        volume.update({"a.yaml": scenario("a", "changed"), "c.yaml": scenario("c")})
        await seen.until(loads=1)
        assert seen.names == ["a", "c"]
        assert seen.loaded[-1][0].turns[0].reply[0].text == "changed"  # type: ignore[index,union-attr]

        volume.update({"a.yaml": "name: a\nrepyl: x\n"})
        await seen.until(failures=1)
        assert str(seen.failed[-1]).startswith(f"{volume.folder / 'a.yaml'}:2:1: unknown key 'repyl'")

        volume.update({"a.yaml": scenario("a", "changed")})
        await seen.until(loads=2)
        assert seen.names == ["a"]
        assert not seen.failed[1:]

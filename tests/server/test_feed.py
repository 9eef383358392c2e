"""The live stream without a socket: who watches hears of clocks that are turned and of replies at gates."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from mock_server.engine.engine import Engine
from mock_server.engine.session import Session
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import build
from mock_server.scenario.profiles import load_profile
from mock_server.server.control import Feed
from mock_server.settings import Settings

TURNED = b"event: levers\ndata: {}\n\n"
ASK = b'{"model":"claude-opus-4-8","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'


class Held:
    """A reply that is held."""

    def passed(self) -> None:
        """Nothing to do."""


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(*_watched()), 20))  # type: ignore[arg-type]

    del run.__wrapped__  # type: ignore[attr-defined]
    return run


def _watched() -> tuple[Engine, Feed]:
    engine = Engine(Settings(seed=0), load_profile("octen"), profiles=load_profile)
    return engine, Feed(engine)


async def watching(feed: Feed, session: str | None = None) -> AsyncGenerator[bytes, None]:
    """One that watches and has been told what was before."""
    frames = feed.watch(session)
    await anext(frames)
    assert await anext(frames) == b""
    return frames


async def told(feed: Feed, act: Callable[[], Any], session: str | None = None) -> bytes:
    """What one that watches is told when this is done."""
    frames = await watching(feed, session)
    act()
    said = await anext(frames)
    await frames.aclose()
    return said


@on_a_loop
async def test_a_clock_that_is_turned_is_told_once_for_several_turns(engine: Engine, feed: Feed) -> None:
    clock = engine.sessions.first.clock
    assert await told(feed, clock.freeze) == TURNED
    assert await told(feed, lambda: (clock.advance(1), clock.advance(60), clock.resume())) == TURNED


@on_a_loop
async def test_replies_that_come_to_a_gate_and_leave_it_are_told(engine: Engine, feed: Feed) -> None:
    gates, held = engine.sessions.first.gates, Held()
    assert await told(feed, lambda: gates.hold("g", held)) == TURNED
    assert await told(feed, lambda: gates.leave("g", held)) == TURNED
    assert await told(feed, lambda: gates.release("g")) == TURNED
    assert await told(feed, lambda: gates.shut("g")) == TURNED


@on_a_loop
async def test_a_session_that_comes_later_is_heard_too(engine: Engine, feed: Feed) -> None:
    frames = await watching(feed)
    engine.add(engine.sessions.first, build({"name": "hi", "reply": "Hello"}))
    entry = engine.handle(HttpRequest("POST", "/v1/messages", {"x-api-key": "k", "x-mock-session": "late"}, ASK))
    feed.came(entry, entry.session)
    assert b'"session":"late"' in await anext(frames)
    late = engine.sessions.find("late")
    assert isinstance(late, Session)
    late.gates.hold("g", Held())
    assert await anext(frames) == TURNED
    await frames.aclose()


@on_a_loop
async def test_nobody_is_told_when_nobody_watches(engine: Engine, feed: Feed) -> None:
    await (await watching(feed)).aclose()
    assert not feed.watchers
    engine.sessions.first.clock.freeze()
    frames = await watching(feed)
    engine.sessions.first.clock.resume()
    assert await anext(frames) == TURNED
    await frames.aclose()

"""Replies without a socket: what was sent, taken apart into the JSON values in it, and a client that goes on."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mock_server.engine.exchange import Exchange
from mock_server.protocol.message import fold

_FRAME = re.compile(r"event: (\w+)\ndata: ([^\n]*)\n\n")


def events(body: bytes) -> list[dict[str, Any]]:
    """The payloads of a stream. Raises AssertionError for bytes outside a frame, or a name that is not the type."""
    text, at = body.decode("utf-8"), 0
    found: list[dict[str, Any]] = []
    while at < len(text):
        frame = _FRAME.match(text, at)
        assert frame is not None, f"no frame: {text[at : at + 80]!r}"
        found.append(json.loads(frame[2]))
        assert found[-1]["type"] == frame[1]
        at = frame.end()
    return found


class Reply(NamedTuple):
    """One reply: which it is, in the words of a failing test, what chose it, and every JSON value in it.

    `values` are (root, value). The root is `message` or `error` for a whole body, the type for an event of a stream.
    """

    what: str
    exchange: Exchange
    values: list[tuple[str, dict[str, Any]]]

    @property
    def status(self) -> int:
        return self.exchange.plan.status

    @property
    def message(self) -> dict[str, Any]:
        """What the reply comes to, streamed or not."""
        return fold(value for _, value in self.values) if self.exchange.plan.stream else self.values[0][1]

    @property
    def ending(self) -> str | int:
        """The stop reason, or the status of an error."""
        reason: str | None = self.message["stop_reason"] if self.status == 200 else None
        return reason or self.status


def reply(what: str, exchange: Exchange) -> Reply:
    """Take a reply apart."""
    plan = exchange.plan
    if plan.stream:
        return Reply(f"{what}, streamed", exchange, [(event["type"], event) for event in events(plan.body())])
    return Reply(what, exchange, [("message" if plan.status == 200 else "error", json.loads(plan.body()))])


Messages = list[dict[str, Any]]
Send = Callable[[Messages], Reply]
MOST_STEPS = 12
TRIES = 3  # of a request that fails


def walk(send: Send, *, failing: bool) -> Iterator[Reply]:
    """Every reply to a client that answers calls, resumes pauses and retries failures; `failing` tools say so."""
    messages: Messages = [{"role": "user", "content": "Go on."}]
    failures = 0
    for _ in range(MOST_STEPS):
        got = send(messages)
        yield got
        if got.ending in ("tool_use", "pause_turn"):
            messages = [*messages, *_sent_back(got, failing)]
        elif got.status == 200:
            return
        failures = failures + 1 if got.status != 200 else 0
        if failures == TRIES:
            return
    raise AssertionError("the story has no end")


def _sent_back(got: Reply, failing: bool) -> Messages:
    content = got.message["content"]
    calls = [block["id"] for block in content if block["type"] == "tool_use"]
    said = [{"type": "tool_result", "tool_use_id": id, "content": "done", "is_error": failing} for id in calls]
    results = [{"role": "user", "content": said}] if said else []
    return [{"role": "assistant", "content": content}, *results]

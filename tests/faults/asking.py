"""The official Python SDK, whichever version is installed: the ways to call it, and what its caller is told."""

from collections.abc import Callable, Mapping
from typing import Any

import anthropic
from anthropic import Anthropic
from faults.table import Told, Way

# `python` is the column of 2.x, `older` says where 0.121 differs
COLUMNS = ("python",) if int(anthropic.__version__.split(".")[0]) >= 2 else ("older", "python")
MODEL = "claude-opus-4-8"


# how long to wait where nothing more comes (seconds)
PATIENCE = 2.0


def parameters(way: Way) -> dict[str, Any]:
    """A call that plays this row on a connection of its own."""
    return {
        "model": MODEL,
        "max_tokens": 200,
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"name": "get_weather", "input_schema": {"type": "object"}}],
        "extra_headers": {"x-mock-scenario": way.row.name, "connection": "close"},
    }


def create(client: Anthropic, way: Way, heard: list[str]) -> None:
    """`messages.create`: the text of the message."""
    heard += [said(block) for block in client.messages.create(**parameters(way)).content]


def raw(client: Anthropic, way: Way, heard: list[str]) -> None:
    """`messages.create(stream=True)`: the text of its deltas."""
    with client.messages.create(stream=True, **parameters(way)) as stream:
        for event in stream:
            if event.type == "content_block_delta":
                delta: Any = event.delta
                heard.append(getattr(delta, "text", "") or getattr(delta, "partial_json", ""))


def helper(client: Anthropic, way: Way, heard: list[str]) -> None:
    """`messages.stream`: the text of its own events, and then the final message."""
    with client.messages.stream(**parameters(way)) as stream:
        for event in stream:
            if event.type == "text":
                heard.append(event.text)
            elif event.type == "input_json":
                heard.append(event.partial_json)
        stream.get_final_message()


WAYS: Mapping[str, Callable[[Anthropic, Way, list[str]], None]] = {"create": create, "raw": raw, "helper": helper}


def ask(client: Anthropic, way: Way, how: str, retries: int = 0) -> Told:
    """What the caller is told, under a key of its own: what is drawn depends on nobody else."""
    heard: list[str] = []
    timeout = PATIENCE if way.seen.ends == "open" else 20.0
    asked = client.with_options(api_key=f"{way.id} {how}", max_retries=retries, timeout=timeout)
    try:
        WAYS[how](asked, way, heard)
    except Exception as error:
        return type(error).__name__, "".join(heard)
    return "ok", "".join(heard)


def final(client: Anthropic, way: Way) -> str | None:
    """How the finished message of a stream ended, and the tokens it counts; None where there is none."""
    try:
        with client.with_options(api_key=f"{way.id} helper", max_retries=0).messages.stream(
            **parameters(way)
        ) as stream:
            message = stream.get_final_message()
    except Exception:
        return None
    return f"{message.stop_reason or 'no reason'}, {message.usage.input_tokens} in, {message.usage.output_tokens} out"


def said(block: Any) -> str:
    return block.text if block.type == "text" else str(getattr(block, "input", ""))


def expected(way: Way, how: str) -> Told:
    """What the table says of the version that is installed."""
    return next(way.told[column, how] for column in COLUMNS if (column, how) in way.told)

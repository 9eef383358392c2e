"""Other endpoints than messages where a file strikes them: what the Python SDK tells, and which fault reaches which."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from faults.endpoints import CALLS, ENDPOINT_ROWS, REACHED, SAID, Called, Row, asked_for, reaches, smallest

from mock_server import MockServer
from mock_server.protocol.sse import dumps
from mock_server.scenario.faults import FAULTS

# what a client calls under the name of each endpoint
WAYS: Mapping[str, Callable[[Anthropic], Any]] = {
    "create": lambda client: client.messages.create(**SAID, max_tokens=9),
    "count_tokens": lambda client: client.messages.count_tokens(**SAID),
    "models.list": lambda client: client.models.list(),
    "models.get": lambda client: client.models.retrieve("claude-opus-4-8"),
    "batches.create": lambda client: client.messages.batches.create(
        requests=[{"custom_id": "a", "params": {**SAID, "max_tokens": 9}}]
    ),
    "batches.list": lambda client: client.messages.batches.list(),
    "files.list": lambda client: client.beta.files.list(),
}


@pytest.fixture(scope="module")
def struck() -> Iterator[MockServer]:
    with MockServer(unmatched="generate", fast_retries=False) as server:
        yield server


def ask(server: MockServer, row: Row, called: Called, retries: int) -> tuple[str, int]:
    """What the caller is told, and how many requests it took."""
    with server.session() as session:
        session.add(**row.data)  # type: ignore[arg-type]
        with Anthropic(base_url=session.url, api_key=session.api_key, max_retries=retries, timeout=20.0) as client:
            try:
                WAYS[called.name](client)
                told = "ok"
            except Exception as error:
                told = type(error).__name__
        return told, session.journal.total


@pytest.mark.parametrize(("row", "called"), CALLS, ids=[f"{row.at}-{called.name}" for row, called in CALLS])
def test_the_caller_is_told_what_the_table_says(
    row: Row, called: Called, struck: MockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anthropic._base_client, "INITIAL_RETRY_DELAY", 0.0)
    assert ask(struck, row, called, 0) == (called.told["python"], 1)
    assert ask(struck, row, called, 1)[1] == (2 if called.retried else 1)


def test_the_table_strikes_every_family() -> None:
    struck = {
        called.name.partition(".")[0] for row in ENDPOINT_ROWS for called in row.calls if called.told["python"] != "ok"
    }
    assert struck == {"count_tokens", "models", "batches", "files"}


# -- which fault reaches which endpoint -------------------------------------------------------------------------------


def header(fault: Mapping[str, Any]) -> str:
    keys = (
        f"{key}={value if isinstance(value, str) else dumps(value)}" for key, value in fault.items() if key != "type"
    )
    return ";".join([str(fault["type"]), *keys])


# those that a header can say: no value of theirs holds others
FLAT = [type for type in FAULTS if not any(isinstance(value, dict | list) for value in smallest(type).values())]


@pytest.mark.parametrize("type", FLAT)
def test_the_header_reaches_what_a_file_reaches(type: str) -> None:
    assert {what: asked_for(what, header(smallest(type))) for what in REACHED} == reaches(type)


def test_what_breaks_the_connection_reaches_everything() -> None:
    everywhere = {type for type in FAULTS if all(reaches(type).values())}
    assert everywhere >= {
        "error",
        "disconnect",
        "reset",
        "empty_response",
        "html_error",
        "slow_headers",
        "stall",
        "gzip",
    }


@pytest.mark.parametrize("type", ["missing_event", "duplicate_event", "reorder", "unknown_delta"])
def test_what_is_about_events_reaches_streams_alone(type: str) -> None:
    assert [what for what, strikes in reaches(type).items() if strikes] == ["messages, stream"]

"""Every fault as the Python SDK tells it, whichever version is installed here. `tests/compat/matrix.py` runs 0.121."""

from collections.abc import Iterator

import anthropic
import pytest
from anthropic import Anthropic
from faults import asking
from faults.table import WAYS, Way

from mock_server import MockServer

HOWS = [(way, how) for way in WAYS for how in (("raw", "helper") if way.stream else ("create",))]
# one that waits is like another
TRIED = [way for way in WAYS if way.seen.ends != "open" or "stall" in way.row.types]


@pytest.fixture(scope="module")
def client(server: MockServer) -> Iterator[Anthropic]:
    with Anthropic(base_url=server.url, api_key="k") as client:
        yield client


@pytest.mark.parametrize(("way", "how"), HOWS, ids=[f"{way.id}-{how}" for way, how in HOWS])
def test_the_caller_is_told_what_the_table_says(way: Way, how: str, server: MockServer, client: Anthropic) -> None:
    server.reset()

    assert asking.ask(client, way, how) == asking.expected(way, how)


@pytest.mark.parametrize("way", [way for way in WAYS if way.row.report and way.stream], ids=lambda way: way.id)
def test_the_finished_message_of_a_report_is_what_the_table_says(
    way: Way, server: MockServer, client: Anthropic
) -> None:
    server.reset()

    assert asking.final(client, way) == way.final.get("python")


@pytest.mark.parametrize("way", TRIED, ids=lambda way: way.id)
def test_the_sdk_tries_again_where_the_table_says_so(
    way: Way, server: MockServer, client: Anthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anthropic._base_client, "INITIAL_RETRY_DELAY", 0.0)
    server.reset()

    asking.ask(client, way, "raw" if way.stream else "create", retries=1)

    assert server.journal.total == (2 if way.retried else 1)

"""What a request says of itself, and what is remembered of many."""

from typing import Any

import pytest

from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.tokens import TokenCounter


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ({"name": "add", "type": "custom"}, "add"),
        ({"type": "mcp_toolset", "mcp_server_name": "files"}, "files"),
        ({"type": "bash_20250124"}, "bash_20250124"),  # with `validation: off`
        ({"name": "", "type": "custom"}, "custom"),
    ],
)
def test_a_tool_goes_by_its_name_or_what_stands_for_it(tool: dict[str, Any], name: str) -> None:
    assert MessagesRequest({"tools": [tool]}).tool_names == (name,)


def test_the_memory_for_counts_is_bounded_for_many_short_texts_too() -> None:
    counter = TokenCounter(budget=15_000)
    for number in range(2000):
        counter.count(f"n{number}")
        assert len(counter._counts) <= 100

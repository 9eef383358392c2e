"""The tools that a client of some library scenarios has to offer: for a made-up input, or for the turn to go on."""

from collections.abc import Mapping
from typing import Any

SEARCH: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
OFFERED: Mapping[str, list[dict[str, Any]]] = {
    "side-output": [{**WEATHER, "name": "StructuredOutput"}],
    "pause-turn": [SEARCH],
    "pause-turn-twice": [SEARCH],
    "tool-invalid-input": [WEATHER],
    "tool-search": [
        {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        {**WEATHER, "defer_loading": True},
    ],
}

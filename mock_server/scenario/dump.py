"""Scenarios -> YAML that a person would write."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

_LONGEST = 60


def dump(scenario: Mapping[str, Any]) -> str:
    """One document, the keys in their order; small values stand on one line."""
    text: str = yaml.safe_dump(
        dict(scenario), sort_keys=False, allow_unicode=True, width=100, default_flow_style=None, indent=2
    )
    return text


def stub(prompt: str, tool: str | None = None) -> dict[str, Any]:
    """The scenario that would have answered a request with this prompt, or with a result of this tool."""
    said = " ".join(prompt.split())
    if len(said) > _LONGEST:
        said = said[:_LONGEST].rsplit(" ", 1)[0]
    when: dict[str, Any] = {"prompt": said} if said else {}
    if tool:
        when["tool_result"] = {"of": tool}
    name = "-".join(re.findall(r"[a-z0-9]+", said.lower())[:5]) or "new-scenario"
    return {"name": name, **({"when": when} if when else {}), "reply": "…"}

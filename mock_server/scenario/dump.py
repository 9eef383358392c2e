"""Scenarios -> YAML that a person would write: the one writer. A home of yaml."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from mock_server.protocol.errors import STATUS
from mock_server.scenario.answer import name_of
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import Node

_LONGEST = 60
_NATURAL = {"end_turn", "tool_use", None}  # stop reasons that follow from the blocks


class _Dumper(yaml.SafeDumper):
    """Texts of several lines are written as such."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and not re.search(r"[ \t]\n|[\x00-\x08\x0b-\x1f\x85\u2028\u2029\ufeff]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def dump(scenario: Mapping[str, Any]) -> str:
    """One document, the keys in their order; small values stand on one line."""
    return "".join(_entry(key, value) for key, value in scenario.items())


def _entry(key: str, value: Any) -> str:
    flow = None if isinstance(value, dict | list) else False
    text: str = yaml.dump(
        {key: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, default_flow_style=flow
    )
    return text


def written(scenario: Scenario) -> str:
    """A loaded scenario as its author wrote it, comments left out; a function stands as its name."""
    data = _plain(scenario.data) if scenario.data is not None else {}
    return dump({"name": scenario.name, **{key: value for key, value in data.items() if key != "name"}})


def _plain(node: Node) -> Any:
    value = node.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return f"<function {name_of(value)}>" if callable(value) else value


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


def exchange(prompt: str, tool: str | None, reply: Mapping[str, Any], status: int) -> dict[str, Any]:
    """The scenario that answers a request with this prompt as it was answered: the reply's JSON, without its ids."""
    scenario = stub(prompt, tool)
    if reply.get("type") == "error":
        error = reply["error"]
        usual = STATUS.get(error["type"]) == status
        del scenario["reply"]
        return {
            **scenario,
            "error": {"type": error["type"], "message": error["message"]} | ({} if usual else {"status": status}),
        }
    scenario["reply"] = [block_of(block) for block in reply.get("content", ())]
    if reply.get("stop_reason") not in _NATURAL:
        scenario["stop_reason"] = reply["stop_reason"]
    if reply.get("stop_sequence"):
        scenario["stop_sequence"] = reply["stop_sequence"]
    if reply.get("stop_details"):
        scenario["stop_details"] = {key: value for key, value in reply["stop_details"].items() if value is not None}
    return scenario


# what the server adds to blocks by itself
_OURS = frozenset(("type", "id", "tool_use_id", "signature", "data", "encrypted_content", "cache_control"))


def block_of(block: Mapping[str, Any]) -> Any:
    """A block of a reply as an author would write it: without what the server adds."""
    if block["type"] == "text" and not block.get("citations"):
        return block["text"]
    return {"type": block["type"], **_without_ours(block)}


def _without_ours(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _bare(item) for key, item in value.items() if key not in _OURS and item is not None}


def _bare(value: Any) -> Any:
    """Results of searches without what only the server that made them can read."""
    if isinstance(value, dict) and "encrypted_content" in value:
        return {key: item for key, item in value.items() if key != "encrypted_content"}
    return [_bare(item) for item in value] if isinstance(value, list) else value

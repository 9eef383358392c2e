"""Scenarios -> YAML that a person would write: the one writer. A home of yaml."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml

from mock_server.protocol import signing
from mock_server.protocol.blocks import BLOCKS
from mock_server.protocol.errors import STATUS
from mock_server.protocol.sse import dumps
from mock_server.scenario.answer import COUNTERS, name_of
from mock_server.scenario.decode import keys_of
from mock_server.scenario.model import Scenario
from mock_server.scenario.node import Node, is_int
from mock_server.scenario.reply import CALLS, is_plain

_LONGEST = 60
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", re.ASCII)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines are written as such."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and not re.search(r"[ \t]\n|[\x00-\x08\x0b-\x1f\x85\u2028\u2029\ufeff]", text) else None
    if re.search("[\x85\u2028\u2029]", text):  # line breaks to YAML, which folds them unless they are escaped
        style = '"'
    elif _NUMBER.fullmatch(text):  # 0E0 is a number to JSON, and so to us
        style = "'"
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
    text = " ".join(prompt.lstrip()[: 100 * _LONGEST].split())
    if len(text) > _LONGEST:
        text = text[:_LONGEST].rsplit(" ", 1)[0]
    when: dict[str, Any] = {"prompt": text} if text else {}
    if tool:
        when["tool_result"] = {"of": tool}
    name = "-".join(re.findall(r"[a-z0-9]+", text.lower())[:5]) or "new-scenario"
    return {"name": name, **({"when": when} if when else {}), "reply": "…"}


def exchange(
    prompt: str, tool: str | None, reply: Mapping[str, Any], status: int, request: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The scenario that answers a request with this prompt as it was answered. `request`: the body of that request."""
    scenario = stub(prompt, tool)
    del scenario["reply"]
    written = answer(reply, request, status)
    goes_on = request is not None and _goes_on(request.get("messages"))
    if any(isinstance(block, dict) and "id" in block for block in written.get("reply", ())):
        # an id stands in one turn only, so this one is played once; wherever the conversation stands then
        return {**scenario, **({"anchor": "session"} if goes_on else {}), "turns": [written]}
    return {**scenario, **({"at_end": "repeat"} if goes_on else {}), **written}


def _goes_on(messages: Any) -> bool:
    """Whether the assistant has had a turn since the newest human one."""
    listed: list[Any] = messages if isinstance(messages, list) else []
    for message in reversed(listed):
        if message.get("role") == "assistant":
            return True
        content = message.get("content")
        if isinstance(content, str) or all(block.get("type") != "tool_result" for block in content or ()):
            return False
    return False


# -- answers --------------------------------------------------------------------------------------------------------


def answer(reply: Mapping[str, Any], request: Mapping[str, Any] | None = None, status: int = 200) -> dict[str, Any]:
    """A message or an error envelope as the answer of a scenario that repeats it, field by field.

    Left to the server: the ids of the message and of calls of the client's tools, signatures of thoughts, and what is
    encrypted by us. `request`: the body of the request, for the limit and the model that it was made under.
    """
    if reply.get("type") == "error":
        return {"error": _error(reply["error"], status)}
    blocks = [block_of(block) for block in reply.get("content") or ()]
    written: dict[str, Any] = {"reply": blocks[0] if len(blocks) == 1 and isinstance(blocks[0], str) else blocks}
    natural = "tool_use" if any(block["type"] == "tool_use" for block in reply.get("content") or ()) else "end_turn"
    if reply.get("stop_reason") not in (None, natural):
        written["stop_reason"] = reply["stop_reason"]
    if reply.get("stop_sequence") is not None:
        written["stop_sequence"] = reply["stop_sequence"]
    for name in ("stop_details", "container"):
        if isinstance(reply.get(name), Mapping):
            written[name] = {key: value for key, value in reply[name].items() if value is not None}
    if request is not None and is_int(request.get("max_tokens")) and request["max_tokens"] > 0:
        written["max_tokens"] = request["max_tokens"]
    if isinstance(reply.get("usage"), Mapping):
        written["usage"] = {name: value for name, value in reply["usage"].items() if name in COUNTERS}
    if request is not None and reply.get("model") and not is_same_model(str(request.get("model")), str(reply["model"])):
        written["model"] = reply["model"]
    for name in ("context_management", "diagnostics", "input_transformations"):
        if reply.get(name) is not None:
            written[name] = reply[name]
    return written


def inexpressible(reply: Mapping[str, Any]) -> Iterator[str]:
    """The paths of what a reply has and `answer` cannot express."""
    yield from (name for name, value in reply.items() if value is not None and name not in _OF_MESSAGE)
    usage = reply.get("usage")
    if isinstance(usage, Mapping):
        yield from (f"usage.{name}" for name in usage if name not in COUNTERS)
    for at, block in enumerate(reply.get("content") or ()):
        known = _keys(block["type"])
        for name, value in block.items():
            if value is not None and name != "type" and name not in known:
                yield f"content[{at}].{name}"


_OF_MESSAGE = frozenset(
    (
        *("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage", "error"),
        *("container", "context_management", "diagnostics", "input_transformations", "request_id", "_request_id"),
    )
)


def _error(error: Mapping[str, Any], status: int) -> dict[str, Any]:
    written = {"type": error["type"], "message": error.get("message", "")}
    more = {name: value for name, value in error.items() if name not in written and value is not None}
    usual = STATUS.get(error["type"])
    known = usual or 400 if status < 400 else status  # an error that came in a stream, or alone, had no status
    return {**written, **({} if known == usual else {"status": known}), **({"details": more} if more else {})}


def is_same_model(wanted: str, name: str) -> bool:
    """Whether a reply names the model that the request wanted, perhaps with its date or under this server's name."""
    return _bare_name(wanted) == _bare_name(name)


def _bare_name(model: str) -> str:
    return re.sub(r"-(?:\d{8}|latest)$", "", model.rpartition("/")[2].replace(".", "-"))


def block_of(block: Mapping[str, Any]) -> Any:
    """A block of a reply as an author would write it: without what the server makes by itself."""
    kind = block["type"]
    if kind == "text" and block.get("citations") is None:
        return block["text"]
    known = _keys(kind)
    kept = {
        name: _bare(value)
        for name, value in block.items()
        if name in known and value is not None and not _is_made(kind, name, value)
    }
    if kind in CALLS and not is_plain(kept.get("input")):
        kept["input_json"] = dumps(kept.pop("input"))
    return {"type": kind, **kept}


@cache
def _keys(kind: str) -> frozenset[str]:
    """The keys that a block of this type has, but for its type."""
    return frozenset(keys_of(BLOCKS[kind]))


def _is_made(kind: str, name: str, value: Any) -> bool:
    """Whether the server makes this by itself: it makes another, or the very same."""
    if (kind, name) in (("tool_use", "id"), ("thinking", "signature")):
        return True
    if (kind, name) == ("redacted_thinking", "data"):
        return not _is_of_others(value)
    return name == "encrypted_content" and _is_ours(value)


def _is_of_others(data: Any) -> bool:
    """Whether a thought was made elsewhere and is whole; one that was scrubbed would be refused when it comes back."""
    try:
        return signing.opened("redacted_thinking", data) is None
    except signing.NotASignature:
        return False


def _is_ours(value: Any) -> bool:
    return signing.signed("web_search_result", "", value) is not None


def _bare(value: Any) -> Any:
    """Results of searches without what this server encrypted, which it will again."""
    if isinstance(value, dict) and _is_ours(value.get("encrypted_content")):
        return {key: item for key, item in value.items() if key != "encrypted_content"}
    return [_bare(item) for item in value] if isinstance(value, list) else value

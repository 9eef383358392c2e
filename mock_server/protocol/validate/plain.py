"""The plainest request there is, told at a glance: no rule has anything to say about it, so none need be asked.

A sixth of what such a request costs went into that. Only ever true where every rule passes; tests hold it to that.
"""

from collections.abc import Mapping
from typing import Any

from mock_server.protocol.profile import Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.validate.params import PARAMETERS

_NAMES = frozenset(("model", "max_tokens", "messages", "stream", "system", "metadata"))
_MARK = {"type": "ephemeral"}
_TEXT = frozenset(("type", "text"))
_MESSAGE = frozenset(("role", "content"))


def is_plain(request: MessagesRequest, profile: Profile) -> bool:
    """A known model, a limit that every model allows, one message of a user that is text alone, no beta."""
    body = request.body
    messages, limit, model = body.get("messages"), body.get("max_tokens"), body.get("model")
    return (
        body.keys() <= _NAMES
        and "anthropic-beta" not in request.headers
        and type(limit) is int
        and max(1, profile.least_max_tokens) <= limit <= profile.least_max_output
        and type(messages) is list
        and len(messages) == 1
        and is_question(messages[0])
        and type(model) is str
        and profile.model(model) is not None
        and _has_plain_rest(body)
    )


def is_question(message: Any, *, marked: bool = False) -> bool:
    """Whether it is a user's text that is not blank: a bare string, or blocks that are nothing but text.

    `marked`: they may carry marks for the cache, about which rules may still have something to say.
    """
    if type(message) is not dict or message.keys() != _MESSAGE or message["role"] != "user":
        return False
    said = message["content"]
    if type(said) is str:
        return said != "" and not said.isspace()
    return type(said) is list and said != [] and all(map(_is_marked_text if marked else _is_text, said))


def _is_marked_text(block: Any) -> bool:
    if type(block) is dict and block.get("cache_control") == _MARK:
        block = {name: value for name, value in block.items() if name != "cache_control"}
    return _is_text(block)


def _is_text(block: Any) -> bool:
    if type(block) is not dict or block.keys() != _TEXT or block["type"] != "text":
        return False
    said = block["text"]
    return type(said) is str and said != "" and not said.isspace()


def _has_plain_rest(body: Mapping[str, Any]) -> bool:
    if type(body.get("stream", False)) is not bool or type(body.get("system", "")) is not str:
        return False
    return "metadata" not in body or PARAMETERS["metadata"](body["metadata"]) is None

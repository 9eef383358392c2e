"""Thinking that comes back, through the official Python SDK: the table of `thoughts.py` for every model that thinks."""

import warnings
from typing import Any

import anthropic
import pytest
import thoughts
from anthropic import Anthropic

from mock_server import MockServer
from mock_server.protocol.profile import Model

MODELS = [(profile, model) for profile in thoughts.PROFILES for model in thoughts.thinking_models(profile)]


def get(client: Anthropic, call: dict[str, Any], stream: bool) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK warns of models that end soon, and of manual thinking
        if not stream:
            return client.messages.create(**call)
        with client.messages.stream(**call) as reply:
            return reply.get_final_message()


def outcome(client: Anthropic, call: dict[str, Any], stream: bool, beta: str | None) -> str:
    """`200`, or the status and the message of the error."""
    try:
        get(client, call if beta is None else {**call, "extra_headers": {"anthropic-beta": beta}}, stream)
    except anthropic.APIStatusError as error:
        body: Any = error.body
        return f"{error.status_code} {body['error']['message']}"
    return "200"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(("profile", "model"), MODELS, ids=lambda one: getattr(one, "id", one))
def test_what_comes_back_and_what_becomes_of_it(
    servers: dict[str, MockServer], profile: str, model: Model, stream: bool
) -> None:
    told, replies = {}, dict[str, Any]()
    with Anthropic(base_url=servers[profile].url, api_key=f"sk-{model.id}", max_retries=0) as client:
        for row in thoughts.rows(model):
            call = thoughts.call(model, row)
            if row.scenario not in replies:
                reply = get(client, call, stream)
                replies[row.scenario] = reply.model_dump(mode="json", exclude_unset=True)["content"]
            content = thoughts.changed(replies[row.scenario], row)
            told[row.what] = outcome(client, thoughts.answered(call, content), stream, row.beta)
    wanted = {row.what: thoughts.expected(row) for row in thoughts.rows(model)}
    assert {what: one[: len(wanted[what])] for what, one in told.items()} == wanted

"""The official Python SDK against every endpoint but /v1/messages, whichever version is installed here."""

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from mock_server import MockServer
from mock_server.scenario.profiles import load_profile

GENERATION = int(anthropic.__version__.split(".")[0])
MODEL = "claude-opus-4-8"
HI: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Hello, Claude"}]}
TOOL: Any = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}


@pytest.fixture(scope="session")
def connection(generating: MockServer) -> Iterator[Anthropic]:
    with Anthropic(base_url=generating.url, api_key="sk-none", max_retries=0) as client:
        yield client


@pytest.fixture
def client(connection: Anthropic, request: pytest.FixtureRequest) -> Anthropic:
    return connection.with_options(api_key=f"sk-{request.node.name}")


def of_profile(profile: str) -> list[str]:
    """The ids of what the profile lists, without those that are retired."""
    return [model.id for model in load_profile(profile).models if model.lifecycle != "retired"]


# -- models ---------------------------------------------------------------------------------------------------------


def test_every_page_of_the_models_is_walked(client: Anthropic, profile: str) -> None:
    found = [model.id for model in client.models.list(limit=3)]
    assert sorted(found) == sorted(of_profile(profile))
    assert [model.id for model in client.beta.models.list(limit=1000)] == found


def test_a_page_knows_the_next_one(client: Anthropic) -> None:
    first = client.models.list(limit=2)
    assert (len(first.data), first.has_more) == (2, True)
    second = first.get_next_page()
    assert second.data[0].id not in [model.id for model in first.data]
    back = client.models.list(limit=2, before_id=second.data[0].id)
    assert [model.id for model in back.data] == [model.id for model in first.data]


def test_models_are_walked_asynchronously(generating: MockServer, profile: str) -> None:
    async def walk() -> list[str]:
        async with AsyncAnthropic(base_url=generating.url, api_key="sk-walk") as client:
            return [model.id async for model in client.models.list(limit=5)]

    assert sorted(asyncio.run(walk())) == sorted(of_profile(profile))


def test_a_model_is_found_by_another_name(client: Anthropic, profile: str) -> None:
    model = client.models.retrieve("claude-haiku-4-5")
    assert model.id == ("anthropic/claude-haiku-4.5" if profile == "octen" else "claude-haiku-4-5-20251001")
    assert client.models.retrieve(model.id) == model
    assert client.beta.models.retrieve(model.id).display_name == "Claude Haiku 4.5"
    assert (model.type, model.created_at.year) == ("model", 2025)


@pytest.mark.skipif(GENERATION < 2, reason="older SDKs have no lifecycle")
def test_models_are_filtered_by_their_stage_of_life(client: Anthropic, profile: str) -> None:
    found = [model.lifecycle for model in client.models.list(lifecycle=["deprecated", "retired"])]
    assert set(found) == (set() if profile == "octen" else {"deprecated"})
    assert client.models.retrieve(MODEL).capabilities.effort.max.supported


def test_a_model_that_is_not_there_raises(client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-none")
    with pytest.raises(anthropic.BadRequestError, match="limit"):
        client.models.list(limit=0)


# -- count_tokens -----------------------------------------------------------------------------------------------------


def test_tokens_are_counted_as_they_are_charged(client: Anthropic) -> None:
    for more in ({}, {"system": "Be brief."}, {"tools": [TOOL]}):
        counted = client.messages.count_tokens(**HI, **more).input_tokens
        assert counted == client.messages.create(**HI, **more, max_tokens=50).usage.input_tokens
        assert counted == client.beta.messages.count_tokens(**HI, **more).input_tokens


def test_tokens_are_counted_asynchronously_in_a_burst(generating: MockServer) -> None:
    async def burst() -> set[int]:
        async with AsyncAnthropic(base_url=generating.url, api_key="sk-burst") as client:
            counts = await asyncio.gather(*(client.messages.count_tokens(**HI) for _ in range(50)))
            return {one.input_tokens for one in counts}

    assert len(asyncio.run(burst())) == 1


def test_edits_of_the_context_are_counted(client: Anthropic) -> None:
    management: Any = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    betas = ["context-management-2025-06-27"]
    counted = client.beta.messages.count_tokens(**HI, context_management=management, betas=betas)
    assert counted.context_management is not None
    assert counted.context_management.original_input_tokens == counted.input_tokens


def test_a_count_that_cannot_be_raises(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="at least one message"):
        client.messages.count_tokens(model=MODEL, messages=[])
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(**{**HI, "model": "claude-none"})


# -- the legacy complete ------------------------------------------------------------------------------------------------

PROMPT = "\n\nHuman: Hello, Claude\n\nAssistant:"
legacy = pytest.mark.skipif(GENERATION > 0, reason="newer SDKs have no /v1/complete")


@legacy
def test_a_completion_and_its_stream_say_the_same(client: Anthropic) -> None:
    call: Any = {"model": MODEL, "prompt": PROMPT, "max_tokens_to_sample": 300}
    whole = client.completions.create(**call)  # type: ignore[attr-defined, unused-ignore]
    told = list(client.completions.create(**call, stream=True))  # type: ignore[attr-defined, unused-ignore]
    assert "".join(one.completion for one in told) == whole.completion != ""
    assert (whole.type, whole.stop_reason, told[-1].stop_reason) == ("completion", "stop_sequence", "stop_sequence")


@legacy
def test_a_scenario_answers_a_completion_and_is_cut(server: MockServer) -> None:
    call: Any = {"model": MODEL, "prompt": "\n\nHuman: [[scenario:text]] Go on.\n\nAssistant:"}
    with Anthropic(base_url=server.url, api_key="sk-cut", max_retries=0) as client:
        whole = client.completions.create(**call, max_tokens_to_sample=50)  # type: ignore[attr-defined, unused-ignore]
        cut = client.completions.create(**call, max_tokens_to_sample=2)  # type: ignore[attr-defined, unused-ignore]
    assert whole.completion == "One two three four."
    assert whole.completion.startswith(cut.completion)
    assert cut.stop_reason == "max_tokens"


@legacy
def test_a_prompt_without_turns_raises(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="prompt must start with"):
        client.completions.create(model=MODEL, prompt="Hello", max_tokens_to_sample=5)  # type: ignore[attr-defined, unused-ignore]


# -- where clients are pointed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/pre/fix", "/s/compat", "/s/compat/pre/"])
def test_a_base_url_may_have_a_path(generating: MockServer, path: str) -> None:
    with Anthropic(base_url=generating.url + path, api_key="sk-path") as client:
        assert client.messages.count_tokens(**HI).input_tokens > 0
        assert client.messages.create(**HI, max_tokens=20).content
        assert client.models.list(limit=1).has_more

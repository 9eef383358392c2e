"""The official Python SDK on message batches and files, whichever version is installed here."""

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from mock_server import MockClient, MockServer, error, reply
from mock_server.api.controls import ClockControls
from mock_server.settings import Settings

GENERATION = int(anthropic.__version__.split(".")[0])
MODEL = "claude-opus-4-8"
FILES_BETA = ["files-api-2025-04-14"]
SECONDS = 600


@pytest.fixture
def server(profile: str) -> Iterator[MockServer]:
    settings = Settings(port=0, time_scale=0, profile=profile, unmatched="error", batch_seconds=SECONDS)
    with MockServer(settings=settings) as running:
        running.add("Hello there!", when={"prompt": "hello"})
        yield running


@pytest.fixture
def clock(server: MockServer) -> ClockControls:
    """The server's clock, which stands still until it is advanced."""
    server.clock.freeze()
    return server.clock


@pytest.fixture
def client(server: MockServer) -> Iterator[Anthropic]:
    with Anthropic(base_url=server.url, api_key="sk-none", max_retries=0) as made:
        yield made


def requests(*names: str, prompt: str = "hello") -> list[Any]:
    message = {"role": "user", "content": prompt}
    params = {"model": MODEL, "max_tokens": 50, "messages": [message]}
    return [{"custom_id": name, "params": params} for name in names]


def until_done(client: Anthropic, id: str, clock: ClockControls, every: float = 60) -> list[str]:
    """What a loop sees that polls until the batch has ended: it sleeps by the clock."""
    seen = []
    while True:
        status = client.messages.batches.retrieve(id).processing_status
        seen.append(status)
        if status == "ended":
            return seen
        clock.advance(every)


# -- batches ---------------------------------------------------------------------------------------------------------


def test_a_loop_that_polls_until_done_takes_no_time_on_the_clock(client: Anthropic, clock: ClockControls) -> None:
    batch = client.messages.batches.create(requests=requests("a", "b"))

    assert until_done(client, batch.id, clock) == ["in_progress"] * 10 + ["ended"]
    texts = {one.custom_id: one.result.message.content[0].text for one in client.messages.batches.results(batch.id)}
    assert texts == {"a": "Hello there!", "b": "Hello there!"}


def test_results_tell_what_became_of_each_request(server: MockServer, client: Anthropic, clock: ClockControls) -> None:
    server.add(error("overloaded_error"), when={"prompt": "broken"})
    server.add(reply("Only outside of a batch.", batch="expired"), when={"prompt": "late"})
    batch = client.messages.batches.create(
        requests=requests("a") + requests("b", prompt="broken") + requests("c", prompt="late")
    )
    until_done(client, batch.id, clock)

    results = {one.custom_id: one.result for one in client.messages.batches.results(batch.id)}
    assert [results[name].type for name in "abc"] == ["succeeded", "errored", "expired"]
    assert results["b"].error.error.type == "overloaded_error"
    counts = client.messages.batches.retrieve(batch.id).request_counts
    assert (counts.succeeded, counts.errored, counts.expired, counts.processing) == (1, 1, 1, 0)


def test_a_batch_is_canceled_in_the_middle(client: Anthropic, clock: ClockControls) -> None:
    batch = client.messages.batches.create(requests=requests(*"abcd"))
    clock.advance(SECONDS / 2)

    assert client.messages.batches.cancel(batch.id).processing_status == "canceling"
    assert until_done(client, batch.id, clock)[-1] == "ended"
    kinds = [one.result.type for one in client.messages.batches.results(batch.id)]
    assert kinds == ["succeeded", "succeeded", "canceled", "canceled"]


def test_the_beta_and_the_async_client_see_the_same(
    server: MockServer, client: Anthropic, clock: ClockControls
) -> None:
    made = client.beta.messages.batches.create(requests=requests("a"))
    clock.advance(SECONDS)

    async def read() -> list[str]:
        async with AsyncAnthropic(base_url=server.url, api_key="sk-none", max_retries=0) as other:
            return [one.custom_id async for one in await other.messages.batches.results(made.id)]

    assert asyncio.run(read()) == ["a"]


def test_every_page_of_batches_is_walked_both_ways(client: Anthropic) -> None:
    ids = [client.messages.batches.create(requests=requests("a")).id for _ in range(5)]

    assert [batch.id for batch in client.messages.batches.list(limit=2)] == ids[::-1]
    assert {batch.id for batch in client.messages.batches.list(limit=2, before_id=ids[0])} == set(ids[1:])


def test_what_is_wrong_is_told_in_the_sdks_errors(client: Anthropic) -> None:
    batch = client.messages.batches.create(requests=requests("a"))

    with pytest.raises(anthropic.BadRequestError, match="custom_id"):
        client.messages.batches.create(requests=requests("a", "a"))
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve("msgbatch_nobody")
    with pytest.raises(anthropic.AnthropicError):
        client.messages.batches.results(batch.id)
    with pytest.raises(anthropic.BadRequestError, match="In progress batches cannot be deleted"):
        client.messages.batches.delete(batch.id)


def test_a_batch_that_has_ended_is_deleted(client: Anthropic, clock: ClockControls) -> None:
    batch = client.messages.batches.create(requests=requests("a"))
    clock.advance(SECONDS)

    assert client.messages.batches.delete(batch.id).type == "message_batch_deleted"
    assert client.messages.batches.list().data == []


def test_results_are_found_behind_a_prefix_and_in_a_session(server: MockServer) -> None:
    for path, session in (("/llm/proxy", "default"), ("/s/mine", "mine")):
        with Anthropic(base_url=server.url + path, api_key="sk-none", max_retries=0) as client:
            batch = client.messages.batches.create(requests=requests("a"))
            MockClient(server.url, session=session).clock.advance(SECONDS)
            assert len(list(client.messages.batches.results(batch.id))) == 1


def test_a_large_batch_is_answered_and_read_as_a_stream(client: Anthropic, clock: ClockControls) -> None:
    batch = client.messages.batches.create(requests=requests(*[f"item-{at}" for at in range(2_000)]))
    clock.advance(SECONDS)

    assert client.messages.batches.retrieve(batch.id).request_counts.succeeded == 2_000
    assert sum(one.result.type == "succeeded" for one in client.messages.batches.results(batch.id)) == 2_000


# -- files -----------------------------------------------------------------------------------------------------------

only_new = pytest.mark.skipif(GENERATION < 2, reason="files became a resource of their own in 2.x")


@only_new
def test_a_file_is_uploaded_in_every_way_that_the_sdk_has(client: Anthropic) -> None:
    named = client.files.upload(file=("notes.txt", b"Hello", "text/plain"), expires_in_seconds=3_600)
    bare = client.files.upload(file=b"Hello")

    assert (named.filename, named.mime_type, named.size_bytes, named.downloadable) == (
        "notes.txt", "text/plain", 5, False
    )  # fmt: skip
    assert named.expires_at is not None
    assert bare.filename.startswith("unnamed")
    assert client.files.retrieve_metadata(named.id) == named
    assert [file.id for file in client.files.list(limit=1)] == [bare.id, named.id]
    assert [file.id for file in client.files.list(ids=[named.id, "file_nobody"])] == [named.id]
    assert client.files.delete(bare.id).type == "file_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.files.retrieve_metadata(bare.id)


@only_new
def test_only_what_may_be_downloaded_is(server: MockServer, client: Anthropic, clock: ClockControls) -> None:
    file = client.files.upload(file=("a.txt", b"Hello", "text/plain"), expires_in_seconds=3_600)

    from anthropic.types.file_expired_error import FileExpiredError
    from anthropic.types.file_not_downloadable_error import FileNotDownloadableError

    with pytest.raises(FileNotDownloadableError):
        client.files.download(file.id)
    server.override(downloads="all")
    kept = client.files.upload(file=("b.bin", bytes(range(256)) * 4_000))
    assert client.files.download(kept.id).read() == bytes(range(256)) * 4_000
    clock.advance(3_600)
    with pytest.raises(FileExpiredError):
        client.files.download(file.id)


def test_the_beta_walks_its_pages(client: Anthropic) -> None:
    ids = [client.beta.files.upload(file=(f"{at}.txt", b"x"), betas=FILES_BETA).id for at in range(5)]

    assert [file.id for file in client.beta.files.list(limit=2, betas=FILES_BETA)] == ids[::-1]
    assert client.beta.files.delete(ids[0], betas=FILES_BETA).id == ids[0]


def test_a_message_reads_a_file(client: Anthropic) -> None:
    file = client.beta.files.upload(file=("cat.txt", b"The cat sat on the mat. " * 100, "text/plain"), betas=FILES_BETA)
    document: Any = {"type": "document", "source": {"type": "file", "file_id": file.id}}
    content: Any = [document, {"type": "text", "text": "hello"}]
    call: Any = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": content}]}

    message = client.beta.messages.create(**call, betas=FILES_BETA)

    assert message.usage.input_tokens > 500
    client.beta.files.delete(file.id, betas=FILES_BETA)
    with pytest.raises(anthropic.NotFoundError, match="not found"):
        client.beta.messages.create(**call, betas=FILES_BETA)


def test_results_that_are_cut_off_on_the_way_are_no_results(server: MockServer, clock: ClockControls) -> None:
    headers = {"x-mock-fault": "disconnect;after=bytes:700"}
    with Anthropic(base_url=server.url, api_key="sk-none", max_retries=0) as client:
        batch = client.messages.batches.create(requests=requests(*[f"item-{at}" for at in range(120)]))
        clock.advance(SECONDS)
        told = client.messages.batches.retrieve(batch.id, extra_headers={"x-mock-fault": "extra_fields"})
        assert told.request_counts.succeeded == 120
        with pytest.raises(Exception, match=r"closed connection|incomplete"):
            list(client.messages.batches.results(batch.id, extra_headers=headers))
    answers = [entry for entry in server.journal if entry.faults]
    assert next(list(entry.faults) for entry in answers) == ["extra_fields"]

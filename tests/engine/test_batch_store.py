"""A batch on a clock by hand: how it goes from in_progress to ended, and what makes room for it."""

import pytest

from mock_server.engine import batches
from mock_server.engine.batches import ARCHIVED, DAY, Batch, Batches, Item, Sender
from mock_server.protocol.errors import ApiError

UNIX = 1_790_000_000.0
SENDER = Sender("key", {})


def made(id: str = "msgbatch_1", requests: int = 4, seconds: float = 60.0, now: float = 0.0) -> Batch:
    items = [Item(f"item-{at}", b"{}") for at in range(requests)]
    return Batch(id, items, SENDER, now=now, unix=UNIX + now, seconds=seconds)


def answered(batch: Batch) -> Batch:
    """The batch with every request settled that it reaches, and the rest as it leaves them."""
    for at, item in enumerate(batch.pending()):
        batch.settle(item, "succeeded" if at < batch.reached else batch.left)
    return batch


def counts(batch: Batch, now: float) -> dict[str, int]:
    return {name: n for name, n in batch.payload(now, "").get("request_counts", {}).items() if n}


def test_a_batch_is_in_progress_until_its_seconds_have_passed() -> None:
    batch = made()

    assert not batch.is_over(59.9)
    assert batch.payload(59.9, "url") == {
        "id": "msgbatch_1",
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": {"processing": 4, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
        "created_at": "2026-09-21T14:13:20.000000Z",
        "expires_at": "2026-09-22T14:13:20.000000Z",
        "ended_at": None,
        "cancel_initiated_at": None,
        "archived_at": None,
        "results_url": None,
    }
    assert batch.is_over(60)


def test_an_answered_batch_has_ended_at_its_own_time_whenever_somebody_looks() -> None:
    told = answered(made()).payload(7_200, "http://here/results")

    assert told["processing_status"] == "ended"
    assert told["ended_at"] == "2026-09-21T14:14:20.000000Z"
    assert told["results_url"] == "http://here/results"
    assert told["request_counts"]["succeeded"] == 4


def test_other_counts_stay_0_while_anything_is_pending() -> None:
    batch = made()
    batch.settle(next(iter(batch.pending())), "errored")

    assert counts(batch, 60) == {"processing": 4}


def test_a_canceled_batch_keeps_what_it_had_reached() -> None:
    batch = made(requests=4, seconds=60)
    batch.cancel(30)

    assert batch.payload(30, "")["processing_status"] == "canceling"
    assert not batch.is_over(35.9)
    assert batch.is_over(36)
    answered(batch)
    assert counts(batch, 36) == {"succeeded": 2, "canceled": 2}
    assert batch.payload(36, "")["cancel_initiated_at"] == "2026-09-21T14:13:50.000000Z"
    assert batch.payload(36, "")["ended_at"] == "2026-09-21T14:13:56.000000Z"


def test_canceling_late_ends_when_the_batch_would_have_ended() -> None:
    batch = made(seconds=60)
    batch.cancel(59)

    assert batch.is_over(60)


def test_canceling_twice_changes_nothing() -> None:
    batch = made()
    batch.cancel(10)
    batch.cancel(15)

    assert batch.payload(15, "")["cancel_initiated_at"] == "2026-09-21T14:13:30.000000Z"


def test_what_has_ended_cannot_be_canceled() -> None:
    with pytest.raises(ApiError, match="already ended"):
        made(seconds=60).cancel(60)
    with pytest.raises(ApiError, match="already ended"):
        answered(made(seconds=0)).cancel(0)


def test_without_seconds_a_batch_can_be_canceled_until_somebody_looks() -> None:
    batch = made(seconds=0)
    batch.cancel(5)
    batch.cancel(6)

    assert counts(answered(batch), 6) == {"canceled": 4}
    assert batch.payload(6, "")["ended_at"] == batch.payload(6, "")["cancel_initiated_at"]


def test_what_is_not_done_in_a_day_expires() -> None:
    batch = made(requests=4, seconds=2 * DAY)

    assert not batch.is_over(DAY - 1)
    assert batch.is_over(DAY)
    assert counts(answered(batch), DAY) == {"succeeded": 2, "expired": 2}
    assert batch.payload(DAY, "")["ended_at"] == batch.payload(DAY, "")["expires_at"]


def test_results_are_gone_after_29_days() -> None:
    batch = answered(made())

    assert not batch.is_archived(ARCHIVED - 1)
    assert batch.is_archived(ARCHIVED)
    told = batch.payload(ARCHIVED, "url")
    assert (told["results_url"], told["archived_at"]) == (None, "2026-10-20T14:13:20.000000Z")


def test_results_are_lines_in_a_few_pieces() -> None:
    batch = made(requests=3_000)
    for item in batch.pending():
        batch.settle(item, "succeeded", b'{"text":"%b"}' % (b"x" * 50))

    lines = b"".join(batch.frames).splitlines()
    assert len(lines) == 3_000
    assert lines[7] == b'{"custom_id":"item-7","result":{"type":"succeeded","message":{"text":"' + b"x" * 50 + b'"}}}'
    assert all(batches.FRAME <= len(frame) < 2 * batches.FRAME for frame in batch.frames[:-1])


def test_unknown_ids_are_not_found() -> None:
    with pytest.raises(ApiError) as caught:
        Batches().find("msgbatch_none")

    assert caught.value.status == 404


def test_only_what_has_ended_can_be_deleted() -> None:
    held = Batches()
    held.add(made(seconds=60), 0)

    with pytest.raises(ApiError) as caught:
        held.delete("msgbatch_1", 59)
    assert caught.value.status == 400
    held.delete("msgbatch_1", 60)
    assert len(held) == 0


def test_the_oldest_that_ended_makes_room_and_what_runs_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_REQUESTS", 10)
    held = Batches()
    held.add(made("running", seconds=1_000), 0)
    held.add(made("done", seconds=1), 0)

    held.add(made("new", now=5), 5)
    assert [batch.id for batch in held.newest_first()] == ["new", "running"]

    with pytest.raises(ApiError) as caught:
        held.add(made("too-many", now=6), 6)
    assert (caught.value.status, caught.value.type) == (429, "rate_limit_error")


def test_batches_are_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_BYTES", 100)
    held = Batches()
    held.add(made("small", seconds=60), 0)

    with pytest.raises(ApiError, match="does not fit"):
        held.add(Batch("large", [Item("a", b"x" * 90)], SENDER, now=0, unix=UNIX, seconds=60), 0)

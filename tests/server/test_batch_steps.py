"""Batches on a running server: functions answer their requests, and other requests have their turn meanwhile."""

import asyncio
import json
import threading
from typing import Any

from rawclient import asks, call

from mock_server import MockServer


def create(server: MockServer, *prompts: str) -> str:
    listed = [{"custom_id": f"item-{at}", "params": json.loads(asks(one))} for at, one in enumerate(prompts)]
    made = call(server, "POST", "/v1/messages/batches", {"requests": listed}, x_api_key="k")
    assert made.status == 200, made
    return str(made.json["id"])


def results(server: MockServer, id: str) -> list[dict[str, Any]]:
    found = call(server, "GET", f"/v1/messages/batches/{id}/results", x_api_key="k")
    assert found.status == 200, found
    return [json.loads(line)["result"] for line in found.body.splitlines()]


def test_functions_of_every_kind_answer_requests_of_a_batch() -> None:
    async def later(request: Any) -> str:
        await asyncio.sleep(0)
        return "By a coroutine."

    def fails(request: Any) -> str:
        raise KeyError("lost")

    with MockServer() as server:
        server.add(later, when={"prompt": "later"})
        server.add(lambda request: f"You said {request.prompt}.", when={"prompt": "echo"})
        server.add(fails, when={"prompt": "fails"})
        found = results(server, create(server, "later", "echo", "fails", "echo"))
        assert [fault.args for fault in server.journal.faults] == [("lost",)]

    texts = [one["message"]["content"][0]["text"] if "message" in one else one["type"] for one in found]
    assert texts == ["By a coroutine.", "You said echo.", "errored", "You said echo."]


def test_other_requests_are_answered_while_a_batch_is() -> None:
    opened = asyncio.Event()

    async def waits(request: Any) -> str:
        await asyncio.wait_for(opened.wait(), 4)
        return "At last."

    async def opens(request: Any) -> str:
        opened.set()
        return "Open."

    with MockServer() as server:
        server.add(waits, when={"prompt": "wait"})
        server.add(opens, when={"prompt": "open"})
        id = create(server, "wait")
        found: list[dict[str, Any]] = []
        reader = threading.Thread(target=lambda: found.extend(results(server, id)))
        reader.start()
        while not server._engine.sessions.default.batches.find(id).is_answering:
            assert reader.is_alive()
        assert (
            call(server, "GET", f"/v1/messages/batches/{id}", x_api_key="k").json["processing_status"] == "in_progress"
        )
        assert call(server, "POST", "/v1/messages", asks("open"), x_api_key="k").status == 200
        reader.join(20)

    assert found[0]["message"]["content"][0]["text"] == "At last."

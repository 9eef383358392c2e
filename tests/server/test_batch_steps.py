"""Batches on a running server: functions answer their requests, and other requests have their turn meanwhile."""

import asyncio
import http.client
import json
import threading
from typing import Any

from rawclient import address, asks

from mock_server import MockServer

KEY = {"x-api-key": "k", "content-type": "application/json"}


def call(server: MockServer, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*address(server), timeout=30)
    try:
        connection.request(method, path, body, KEY)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def create(server: MockServer, *prompts: str) -> str:
    listed = [{"custom_id": f"item-{at}", "params": json.loads(asks(one))} for at, one in enumerate(prompts)]
    status, body = call(server, "POST", "/v1/messages/batches", json.dumps({"requests": listed}).encode())
    assert status == 200, body
    return str(json.loads(body)["id"])


def results(server: MockServer, id: str) -> list[dict[str, Any]]:
    status, body = call(server, "GET", f"/v1/messages/batches/{id}/results")
    assert status == 200, body
    return [json.loads(line)["result"] for line in body.splitlines()]


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
        assert json.loads(call(server, "GET", f"/v1/messages/batches/{id}")[1])["processing_status"] == "in_progress"
        assert call(server, "POST", "/v1/messages", asks("open"))[0] == 200
        reader.join(20)

    assert found[0]["message"]["content"][0]["text"] == "At last."

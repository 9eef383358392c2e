"""Message threads: conversations the server holds, so that a client sends only what is new.

`thread: {type: create}` begins one, `{type: continue, previous_message_id}` goes on from the message with that id. What
clients rely on (read from the SDK 2.12, `lib/threads`): a continue sends the new messages only, perhaps none after a
pause; `system` and `tools` stay those of the create and are not sent again; each message is continued once; the error
codes `thread_not_found` and `thread_already_continued` make a client send its whole history as a new thread.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mock_server.protocol import signing
from mock_server.protocol.errors import ApiError, invalid

MOST_THREADS = 1_000
MOST_BYTES = 32_000_000
LONGEST = 1_000_000  # bytes of one: to read more with every turn would keep others waiting
PER_BLOCK = 200  # bytes that take as long to read as a block takes beside its own
FIXED = ("system", "tools")
# parameters that threads do not take (the SDK's ThreadUnsupportedFeatureName, as far as they are parameters)
UNSUPPORTED = ("cache_control", "context_management", "fallbacks")


class ThreadHistory(NamedTuple):
    """A conversation up to one reply, and the parameters that stay the same in it; `messages` None: gone on from."""

    messages: tuple[Any, ...] | None
    fixed: Mapping[str, Any]
    size: int


class Threads:
    """The conversations of one session, by the id of their newest reply. The oldest are forgotten; one that grows
    beyond `LONGEST` is not held, so that its client sends it whole, as a new thread.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[str, ThreadHistory] = OrderedDict()
        self._bytes = 0

    def resume(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request as it would be without a thread: every message, system and tools. Changes nothing.

        Raises ApiError with the error code that clients look for.
        """
        thread = checked(body)
        if thread["type"] == "create":
            return dict(body)
        held = self._held.get(thread["previous_message_id"])
        if held is None:
            raise _refused("thread_not_found", "No usable thread state was found for `previous_message_id`", 404)
        if held.messages is None:
            raise _refused("thread_already_continued", "This response has already been continued")
        changed = [name for name in FIXED if name in body and not _same(body[name], held.fixed.get(name))]
        if changed:
            raise _refused("thread_fingerprint_mismatch", f"{', '.join(changed)} must stay as they are in a thread")
        new = body.get("messages")
        return {**body, **held.fixed, "messages": [*held.messages, *(new if isinstance(new, list) else ())]}

    def keep(self, body: Mapping[str, Any], reply: Mapping[str, Any], size: int) -> None:
        """Hold a resumed request (of `size` bytes) and the reply to it under the reply's id; what it went on from is
        spent.
        """
        thread = body["thread"]
        if thread["type"] == "continue":
            self._put(thread["previous_message_id"], ThreadHistory(None, {}, 0))
        answer = [{"role": "assistant", "content": reply["content"]}] if reply["content"] else []
        size += len(json.dumps(answer)) + PER_BLOCK * _blocks_in(body["messages"])
        if size > LONGEST:
            return
        fixed = {name: body[name] for name in FIXED if name in body}
        self._put(reply["id"], ThreadHistory((*body["messages"], *answer), fixed, size))

    def _put(self, id: str, held: ThreadHistory) -> None:
        old = self._held.pop(id, None)
        self._bytes += held.size - (old.size if old is not None else 0)
        self._held[id] = held
        while len(self._held) > MOST_THREADS or (self._bytes > MOST_BYTES and len(self._held) > 1):
            self._bytes -= self._held.popitem(last=False)[1].size


def _blocks_in(messages: Sequence[Mapping[str, Any]]) -> int:
    return sum([1 if type(one["content"]) is str else len(one["content"] or ()) for one in messages])


def checked(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The value of `thread`. Raises ApiError when it is none, or stands beside what threads do not take."""
    thread: Mapping[str, Any] = body["thread"]
    type = thread.get("type") if isinstance(thread, Mapping) else None
    if type not in ("create", "continue"):
        raise invalid(f"thread: Input tag '{type}' found using 'type' does not match any of 'create', 'continue'")
    if type == "continue" and not isinstance(thread.get("previous_message_id"), str):
        raise invalid("thread.continue.previous_message_id: Field required")
    unsupported = [name for name in UNSUPPORTED if body.get(name) is not None]
    if unsupported:
        text = f"thread: Message threads are not supported together with {', '.join(unsupported)}"
        raise invalid(text, details={"error_code": "thread_unsupported_request", "unsupported": unsupported})
    return thread


def _same(one: Any, other: Any) -> bool:
    return signing.canonical(one or None) == signing.canonical(other or None)


def _refused(code: str, text: str, status: int = 400) -> ApiError:
    type = "not_found_error" if status == 404 else "invalid_request_error"
    return ApiError(type, f"thread: {text}", status=status, details={"error_code": code})

"""`file` sources in messages: each gets what its file is, for whoever counts or quotes it. Rules 136, 137."""

from collections.abc import Callable, Mapping
from typing import Any

from mock_server.engine.exchange import Call
from mock_server.engine.files import File
from mock_server.engine.judged import let_pass
from mock_server.protocol.errors import ApiError, invalid
from mock_server.protocol.request import Block, MessagesRequest

MOST_TEXT = 32 << 20  # bytes of a text that are read: more than any window holds
_KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "image": ("an image", ("image/",)),
    "document": ("a PDF or plain text", ("application/pdf", "text/plain")),
}
Find = Callable[[str], File]


def sourced(request: MessagesRequest, call: Call) -> tuple[MessagesRequest, ApiError | None]:
    """The request with what is known of its files, and what is wrong with them where that is let pass.

    Raises ApiError: 404 for a file that is not there, 400 for one of the wrong kind.
    """
    if not request.has_files:
        return request, None
    now = call.session.clock.now()

    def find(id: str) -> File:
        return call.session.files.find(id, now)

    try:
        messages = [_message(message, f"messages.{at}", find) for at, message in enumerate(request.messages)]
    except ApiError as error:
        terms = call.session.terms
        return request, None if terms.settings.validation == "off" else let_pass(error, terms)
    return MessagesRequest({**request.body, "messages": messages}, request.headers, request.raw), None


def _message(message: Mapping[str, Any], path: str, find: Find) -> Mapping[str, Any]:
    """A message with its files looked for; what a reply has put into a container is no file of the client's."""
    made = "container_upload" if message["role"] == "assistant" else ""
    return {**message, "content": _listed(message["content"], f"{path}.content", find, made)}


def _listed(content: Any, path: str, find: Find, made: str = "") -> Any:
    if not isinstance(content, list):
        return content
    return [
        block if block["type"] == made else _block(block, f"{path}.{at}.{block['type']}", find)
        for at, block in enumerate(content)
    ]


def _block(block: Block, path: str, find: Find) -> Block:
    kind, source = block["type"], block.get("source")
    if kind == "container_upload":
        find(block["file_id"])
    elif kind == "tool_result":
        return {**block, "content": _listed(block.get("content"), f"{path}.content", find)}
    elif kind in _KINDS and isinstance(source, dict):
        if source.get("type") == "file":
            return {**block, "source": _known(find(source["file_id"]), kind, f"{path}.source.file.file_id")}
        if source.get("type") == "content":
            inner = _listed(source.get("content"), f"{path}.source.content", find)
            return {**block, "source": {**source, "content": inner}}
    return block


def _known(file: File, kind: str, path: str) -> Mapping[str, Any]:
    """The source with what its file is: the size of an image, the pages of a PDF, a plain text itself."""
    name, kinds = _KINDS[kind]
    if not file.mime_type.startswith(kinds):
        raise invalid(f"{path}: File `{file.id}` is of type {file.mime_type}; expected {name}")
    facts = file.facts
    if facts.kind is None:
        raise invalid(f"{path}: Could not process {'image' if kind == 'image' else 'PDF'}")
    source: dict[str, Any] = {"type": "file", "file_id": file.id, "media_type": facts.kind}
    if facts.kind == "text/plain":
        return {**source, "data": file.content.read(MOST_TEXT).decode("utf-8", "replace")}
    return {**source, "pages": facts.pages, "width": facts.width, "height": facts.height}

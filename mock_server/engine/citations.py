"""Citations that point at what a request brought: its documents and search results. Index rules: docs/protocol.md B.3.

Documents and search results are counted from 0 over all messages; characters and blocks from 0 and pages from 1, the
end exclusive.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from mock_server.protocol import media
from mock_server.protocol.blocks import Block, Text
from mock_server.protocol.request import MessagesRequest, blocks

_SENTENCE = re.compile(r"[^.!?\n]{12,240}[.!?]?")
LONGEST = 240
_PARTS, _LOOKED_AT = 1_000, 100_000  # blocks of a source, and letters of each, to find a sentence in


class Source(NamedTuple):
    """One thing that can be cited: its block, and its number (from 0) among those of its kind."""

    block: Mapping[str, Any]
    number: int

    @property
    def is_search_result(self) -> bool:
        return bool(self.block["type"] == "search_result")

    @property
    def parts(self) -> Iterator[str]:
        """The text of its blocks; of plain text the whole as one, of a PDF none, since nobody reads it here."""
        source = self.block["source"]
        content = self.block["content"] if self.is_search_result else source.get("content")
        if content is not None:
            return (str(one.get("text") or "") for one in blocks(content))
        return iter([str(source["data"])] if source.get("type") in ("text", "file") and "data" in source else [])

    def citation(self, cited: str) -> dict[str, Any] | None:
        """The citation of a text that stands in it, or None when it does not."""
        for at, part in enumerate(self.parts):
            found = part.find(cited)
            if found >= 0:
                return self._found(cited, at, found)
        return None

    def _found(self, cited: str, part: int, at: int) -> dict[str, Any]:
        if self.is_search_result or self.block["source"].get("type") == "content":
            return self._blocks(cited, part)
        place = {"start_char_index": at, "end_char_index": at + len(cited)}
        return {"type": "char_location", **self._document(cited), **place}

    def _blocks(self, cited: str, part: int) -> dict[str, Any]:
        place = {"start_block_index": part, "end_block_index": part + 1}
        if not self.is_search_result:
            return {"type": "content_block_location", **self._document(cited), **place}
        return {
            "type": "search_result_location",
            "cited_text": cited,
            "search_result_index": self.number,
            "source": self.block["source"],
            "title": self.block["title"],
            **place,
        }

    def page(self, cited: str, page: int) -> dict[str, Any]:
        """The citation of a page of a PDF."""
        place = {"start_page_number": page, "end_page_number": page + 1}
        return {"type": "page_location", **self._document(cited), **place}

    def _document(self, cited: str) -> dict[str, Any]:
        file = self.block["source"].get("file_id")
        document = {"cited_text": cited, "document_index": self.number, "document_title": self.block.get("title")}
        return document if file is None else {**document, "file_id": file}


def sources(request: MessagesRequest) -> list[Source]:
    """Everything in a request that can be cited, in order."""
    found: list[Source] = []
    counts = {"document": 0, "search_result": 0}
    for block in _blocks(request):
        kind = block["type"]
        if kind in counts:
            found.append(Source(block, counts[kind]))
            counts[kind] += 1
    return found


def _blocks(request: MessagesRequest) -> Iterator[Mapping[str, Any]]:
    for message in request.messages if request.has_blocks else ():
        for block in blocks(message["content"]):
            yield block
            inner = block.get("content")
            if block["type"] == "tool_result" and isinstance(inner, list):
                yield from inner


def wanted(request: MessagesRequest) -> list[Source]:
    """The sources whose citations are asked for; of a long request looked for once."""
    if not (request.has_blocks and request.may_have(b'"citations"')):
        return []
    found: list[Source] | None = request.scanned.get("cited") if request.is_long else None
    if found is None:
        found = [one for one in sources(request) if (one.block.get("citations") or {}).get("enabled")]
        if request.is_long:
            request.scanned["cited"] = found
    return found


def is_open(reply: Sequence[Block]) -> bool:
    """Whether a scripted reply quotes texts without saying where they stand."""
    return any(isinstance(block, Text) and any("type" not in one for one in block.citations or ()) for block in reply)


def located(reply: Sequence[Block], request: MessagesRequest) -> tuple[tuple[Block, ...], list[str]]:
    """The reply with every quoted text found in the request's sources, and the texts that stand in none of them."""
    found = sources(request)
    done: list[Block] = []
    lost: list[str] = []
    for block in reply:
        if isinstance(block, Text) and block.citations is not None:
            pairs = [(one, one if "type" in one else _cite(str(one["cited_text"]), found)) for one in block.citations]
            lost += [str(quote["cited_text"]) for quote, cited in pairs if cited is None]
            block = replace(block, citations=tuple(cited for _, cited in pairs if cited is not None))
        done.append(block)
    return tuple(done), lost


def _cite(cited: str, found: Sequence[Source]) -> dict[str, Any] | None:
    return next((citation for one in found if (citation := one.citation(cited)) is not None), None)


def generated(request: MessagesRequest) -> tuple[Text, ...]:
    """A text that quotes the first sentence of up to three sources, each with its citation; empty without sources."""
    quoted = [text for source in wanted(request)[:3] if (text := _quote(source)) is not None]
    return (Text(text="According to what you sent, "), *quoted) if quoted else ()


def _quote(source: Source) -> Text | None:
    parts = list(islice(source.parts, _PARTS))
    if not parts and source.block["type"] == "document":
        data = source.block["source"].get("data")
        pages = (media.pages(data) if isinstance(data, str) else source.block["source"].get("pages")) or 1
        return Text(text=f"the document says so on page {pages}. ", citations=(source.page("", pages),))
    sentence = next((m[0].strip() for part in parts if (m := _SENTENCE.search(part, 0, _LOOKED_AT))), "")
    sentence = sentence or next((part.strip()[:LONGEST] for part in parts if not part.isspace() and part), "")
    citation = source.citation(sentence) if sentence else None
    return None if citation is None else Text(text=f"{sentence} ", citations=(citation,))

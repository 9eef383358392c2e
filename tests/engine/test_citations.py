"""Citations that point at the request's own documents: five kinds of places, each checked against what was sent."""

import base64
import json
from typing import Any

import pytest

from mock_server.engine.engine import Engine
from mock_server.protocol import sse
from mock_server.protocol.message import fold
from mock_server.protocol.request import HttpRequest
from mock_server.scenario.load import loads
from mock_server.scenario.node import ScenarioError
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

PROFILE = load_profile("anthropic")
ON = {"citations": {"enabled": True}}
GRASS = "The grass is green. The sky is blue, mostly."
PDF = base64.b64encode(b"%PDF-1.7\n<< /Type /Page >>\n<< /Type /Page >>").decode()
PLAIN = {
    "type": "document",
    "title": "Colours",
    "source": {"type": "text", "media_type": "text/plain", "data": GRASS},
    **ON,
}
CUSTOM = {
    "type": "document",
    "source": {
        "type": "content",
        "content": [
            {"type": "text", "text": "Snow falls in winter."},
            {"type": "text", "text": "Rain falls in spring."},
        ],
    },
    **ON,
}
PAGES = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}, **ON}
FOUND = {"type": "search_result", "source": "https://example.com", "title": "Sea", "content": [{"type": "text", "text": "The sea is deep and cold."}], **ON}  # fmt: skip


def ask(*blocks: dict[str, Any], script: str = "", headers: Any = None) -> dict[str, Any]:
    """The message, after its stream was found to tell the same."""
    engine = Engine(Settings(seed=1, time_scale=0, unmatched="generate"), PROFILE)
    engine.load(loads(script) if script else ())
    told: list[dict[str, Any]] = []
    for stream in (False, True):
        said = [{"role": "user", "content": [*blocks, {"type": "text", "text": "What do you know?"}]}]
        body = {"model": "claude-opus-4-8", "max_tokens": 400, "messages": said, "stream": stream}
        http = HttpRequest(
            "POST", "/v1/messages", {"x-api-key": "k", "anthropic-version": "2023-06-01"}, json.dumps(body).encode()
        )
        plan = engine.handle(http).plan
        told.append(fold(sse.parse(plan.body())) if stream else json.loads(plan.body()))
        if headers is not None:
            headers.update(dict(plan.headers))
    assert told[0]["content"] == told[1]["content"]
    return told[0]


def citations(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [citation for block in message["content"] for citation in block.get("citations") or ()]


def test_a_generated_reply_cites_every_kind_of_source() -> None:
    plain, custom, page = citations(ask(PLAIN, CUSTOM, PAGES))
    assert (plain["type"], plain["document_index"], plain["document_title"]) == ("char_location", 0, "Colours")
    assert GRASS[plain["start_char_index"] : plain["end_char_index"]] == plain["cited_text"] == "The grass is green."
    assert (custom["type"], custom["document_index"]) == ("content_block_location", 1)
    assert (custom["start_block_index"], custom["end_block_index"]) == (0, 1)
    assert (page["type"], page["document_index"], page["start_page_number"], page["end_page_number"]) == (
        "page_location",
        2,
        2,
        3,
    )


def test_search_results_are_counted_by_themselves() -> None:
    _, cited = citations(ask(PLAIN, FOUND))
    assert cited["type"] == "search_result_location"
    assert (cited["search_result_index"], cited["source"], cited["title"]) == (0, "https://example.com", "Sea")
    assert (cited["start_block_index"], cited["end_block_index"]) == (0, 1)


def test_without_the_wish_nothing_is_cited() -> None:
    assert citations(ask({**PLAIN, "citations": {"enabled": False}})) == []


SCRIPT = """
name: a
reply:
  - {type: text, text: "Mostly blue.", citations: [{cited_text: "The sky is blue"}]}
"""


def test_a_script_gives_the_words_and_the_place_is_found() -> None:
    (cited,) = citations(ask(CUSTOM, PLAIN, script=SCRIPT))
    assert cited == {
        "type": "char_location",
        "cited_text": "The sky is blue",
        "document_index": 1,
        "document_title": "Colours",
        "start_char_index": GRASS.index("The sky"),
        "end_char_index": GRASS.index("The sky") + len("The sky is blue"),
    }


def test_words_that_stand_nowhere_are_said_without_a_citation_but_loudly() -> None:
    headers: dict[str, str] = {}
    message = ask(CUSTOM, script=SCRIPT, headers=headers)
    assert (message["content"][0]["text"], citations(message)) == ("Mostly blue.", [])
    assert "cites what is in no document of the request: 'The sky is blue'" in headers["x-mock-warning"]


def test_documents_inside_tool_results_count_too() -> None:
    engine = Engine(Settings(seed=1, time_scale=0), PROFILE)
    engine.load(loads(SCRIPT))
    said = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [FOUND, PLAIN]}]},
    ]
    body = {"model": "claude-opus-4-8", "max_tokens": 400, "messages": said}
    http = HttpRequest(
        "POST", "/v1/messages", {"x-api-key": "k", "anthropic-version": "2023-06-01"}, json.dumps(body).encode()
    )
    (cited,) = citations(json.loads(engine.handle(http).plan.body()))
    assert (cited["type"], cited["document_index"]) == ("char_location", 0)


@pytest.mark.parametrize(
    ("citation", "text"),
    [
        ("{type: page_place, cited_text: x}", "expected one of char_location, page_location"),
        ("{type: char_location}", "a citation needs its cited_text"),
        ("{}", "a citation needs its cited_text"),
    ],
)
def test_a_wrong_citation_is_told_at_load(citation: str, text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        loads(f"name: a\nreply: [{{type: text, text: x, citations: [{citation}]}}]")

"""Files over an engine: upload, lists, download, and messages that name them."""

import json
from typing import Any

import pytest
from manualclock import ManualClock

from mock_server.engine.engine import Engine
from mock_server.engine.entry import Entry
from mock_server.protocol.request import HttpRequest, InMemory, MultipartForm, Upload
from mock_server.scenario.load import loads
from mock_server.scenario.profiles import load_profile
from mock_server.settings import Settings

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000640000003208060000000000000000")
PDF = b"%PDF-1.4\n1 0 obj\n<</Type /Pages /Count 3>>\nendobj\n"
BETA = {"anthropic-beta": "files-api-2025-04-14"}


class Api:
    """A client of one engine, without a socket."""

    def __init__(self, scenarios: str = "name: any\nreply: Read.", **settings: Any) -> None:
        self.clock = ManualClock()
        chosen = Settings(**{"time_scale": 0.0, "unmatched": "error", "profile": "anthropic", **settings})
        self.engine = Engine(chosen, load_profile(chosen.profile), self.clock)
        self.engine.load(loads(scenarios))
        self.headers = {"x-api-key": "test", "anthropic-version": "2023-06-01"}

    def send(self, method: str, path: str, body: Any = None, query: str = "", **how: Any) -> Entry:
        headers = {**self.headers, **how.pop("headers", {})}
        data = b"" if body is None else json.dumps(body).encode()
        return self.engine.handle(HttpRequest(method, path, headers, data, query=query, **how))

    def upload(
        self, data: bytes = b"Hello", name: str | None = "notes.txt", kind: str | None = None, **fields: str
    ) -> Entry:
        return self.send("POST", "/v1/files", form=MultipartForm(fields, Upload(name, kind, InMemory(data))))

    def file(self, *args: Any, **how: Any) -> str:
        made = self.upload(*args, **how)
        assert made.status == 200, made.reply
        return str(made.reply["id"])

    def ask(self, *blocks: Any, path: str = "/v1/messages", **more: Any) -> Entry:
        limit = {} if path.endswith("count_tokens") else {"max_tokens": 99}
        content = [*blocks, {"type": "text", "text": "What is it?"}]
        messages = [{"role": "user", "content": content}]
        return self.send("POST", path, {"model": "claude-opus-4-8", "messages": messages, **limit, **more})

    def tokens(self, *blocks: Any) -> int:
        counted = self.ask(*blocks, path="/v1/messages/count_tokens").reply["input_tokens"]
        assert self.ask(*blocks).reply["usage"]["input_tokens"] == counted
        return int(counted)


def of_file(kind: str, id: str) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "file", "file_id": id}}


def said(entry: Entry) -> tuple[int, str, Any]:
    return entry.status, entry.reply["error"]["type"], (entry.reply["error"].get("details") or {}).get("error_code")


# -- one file --------------------------------------------------------------------------------------------------------


def test_an_uploaded_file_is_told_found_and_deleted() -> None:
    api = Api()
    made = api.upload(b"Hello", "notes.txt", "text/plain", expires_in_seconds="7200").reply

    assert (made["type"], made["filename"], made["mime_type"], made["size_bytes"]) == (
        "file", "notes.txt", "text/plain", 5
    )  # fmt: skip
    assert made["id"].startswith("file_")
    assert made["expires_at"] > made["created_at"]
    assert api.send("GET", f"/v1/files/{made['id']}").reply == made
    assert api.send("DELETE", f"/v1/files/{made['id']}").reply == {"id": made["id"], "type": "file_deleted"}
    assert said(api.send("GET", f"/v1/files/{made['id']}"))[:2] == (404, "not_found_error")


def test_what_a_user_uploaded_cannot_be_downloaded() -> None:
    api = Api()

    refused = api.send("GET", f"/v1/files/{api.file()}/content")

    assert said(refused) == (400, "invalid_request_error", "file_not_downloadable")


def test_a_setting_lets_uploads_be_downloaded() -> None:
    api = Api(downloads="all")
    reply = api.send("GET", f"/v1/files/{api.file(PDF, 'a.pdf')}/content")

    assert reply.exchange.plan.body() == PDF
    assert dict(reply.exchange.plan.headers)["content-type"] == "application/pdf"


def test_a_file_expires_by_the_clock() -> None:
    api = Api(downloads="all")
    id = api.file(expires_in_seconds="3600")
    api.clock.advance(3_600)

    for path in (f"/v1/files/{id}", f"/v1/files/{id}/content"):
        assert said(api.send("GET", path)) == (404, "not_found_error", "file_expired")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_file_is_not_found(method: str) -> None:
    assert said(Api().send(method, "/v1/files/file_nobody"))[:2] == (404, "not_found_error")


def test_a_reset_forgets_the_files_and_their_bytes() -> None:
    api = Api()
    id = api.file()
    session = api.engine.sessions.default
    content = session.files.find(id, 0).content

    api.engine.reset(session)

    assert api.send("GET", f"/v1/files/{id}").status == 404
    assert content.read() == b""


def test_the_bytes_of_a_session_are_bounded() -> None:
    api = Api(file_bytes=8)
    api.file(b"12345")

    assert said(api.upload(b"1234")) == (400, "invalid_request_error", "storage_quota_exceeded")
    assert api.upload(b"123").status == 200


def test_with_a_seed_ids_repeat_and_differ() -> None:
    def ids() -> list[str]:
        api = Api(seed=3)
        return [api.file(b"a"), api.file(b"a"), api.file(b"b")]

    assert ids() == ids()
    assert len(set(ids())) == 3


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (None, "multipart/form-data"),
        (MultipartForm({}), "file: Field required"),
        (
            MultipartForm(
                {"purpose": "x"},
                Upload("a", None, InMemory(b"")),
            ),
            "purpose: Extra inputs are not permitted",
        ),
        (MultipartForm({"expires_in_seconds": "60"}, Upload("a", None, InMemory(b""))), "expires_in_seconds"),
        (MultipartForm({}, Upload("a\\..\\b", None, InMemory(b""))), "file name"),
    ],
)
def test_a_form_that_is_no_upload_is_refused(form: MultipartForm | None, text: str) -> None:
    refused = Api().send("POST", "/v1/files", form=form)

    assert refused.status == 400
    assert text in refused.reply["error"]["message"]


# -- lists -----------------------------------------------------------------------------------------------------------


def test_files_are_listed_by_cursor() -> None:
    api = Api()
    ids = [api.file(name=f"{at}.txt") for at in range(5)]

    first = api.send("GET", "/v1/files", query="limit=2").reply
    second = api.send("GET", "/v1/files", query=f"limit=3&page={first['next_page']}").reply

    assert set(first) == {"data", "next_page"}
    assert [file["id"] for file in (*first["data"], *second["data"])] == ids[::-1]
    assert second["next_page"] is None


def test_the_beta_lists_by_id_as_well() -> None:
    api = Api()
    ids = [api.file() for _ in range(3)]

    first = api.send("GET", "/v1/files", query="limit=2", headers=BETA).reply
    second = api.send("GET", "/v1/files", query=f"limit=2&after_id={first['last_id']}", headers=BETA).reply

    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, ids[2], ids[1])
    assert first["next_page"] is not None
    assert ([file["id"] for file in second["data"]], second["has_more"]) == ([ids[0]], False)


def test_files_are_listed_by_their_ids() -> None:
    api = Api()
    ids = [api.file() for _ in range(3)]

    told = api.send("GET", "/v1/files", query=f"ids[]={ids[0]}&ids[]={ids[2]}&ids[]=file_nobody").reply

    assert [file["id"] for file in told["data"]] == [ids[2], ids[0]]
    assert told["next_page"] is None


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "order=asc",
        "page=page_nobody",
        "page=page_x&after_id=y",
        "ids[]=a&limit=5",
        "&".join(f"ids[]=file_{at}" for at in range(101)),
    ],
)
def test_a_list_knows_its_parameters(query: str) -> None:
    assert said(Api().send("GET", "/v1/files", query=query))[:2] == (400, "invalid_request_error")


# -- messages that name files ----------------------------------------------------------------------------------------


def test_a_text_file_counts_as_the_same_text_does() -> None:
    api = Api()
    text = "The cat sat on the mat. " * 50
    inline = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}

    assert api.tokens(of_file("document", api.file(text.encode()))) == api.tokens(inline)


@pytest.mark.parametrize(
    ("kind", "data", "name", "media_type"),
    [("image", PNG, "a.png", "image/png"), ("document", PDF, "a.pdf", "application/pdf")],
)
def test_a_file_counts_as_its_bytes_do_in_base64(kind: str, data: bytes, name: str, media_type: str) -> None:
    import base64

    api = Api()
    encoded = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}

    assert api.tokens(of_file(kind, api.file(data, name))) == api.tokens({"type": kind, "source": encoded})


def test_files_inside_tool_results_are_found_too() -> None:
    api = Api()
    messages = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [of_file("image", "file_nobody")]}
            ],
        },
    ]
    body = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": messages}

    assert said(api.send("POST", "/v1/messages", body))[:2] == (404, "not_found_error")


@pytest.mark.parametrize(
    "block",
    [of_file("image", "file_x"), of_file("document", "file_x"), {"type": "container_upload", "file_id": "file_x"}],
)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_message_that_names_an_unknown_file_is_a_404(block: dict[str, Any], path: str) -> None:
    refused = Api().ask(block, path=path)

    assert said(refused)[:2] == (404, "not_found_error")
    assert "file_x" in refused.reply["error"]["message"]


def test_a_message_that_names_an_expired_file_says_so() -> None:
    api = Api()
    id = api.file(expires_in_seconds="3600")
    api.clock.advance(4_000)

    assert said(api.ask(of_file("document", id))) == (404, "not_found_error", "file_expired")


@pytest.mark.parametrize(
    ("kind", "data", "name"),
    [
        ("image", b"Hello", "a.txt"),
        ("document", PNG, "a.png"),
        ("document", b"a,b", "a.csv"),
        ("image", b"no image", "a.png"),
        ("document", b"no PDF", "a.pdf"),
    ],
)
def test_a_file_of_the_wrong_kind_is_a_400(kind: str, data: bytes, name: str) -> None:
    api = Api()

    assert said(api.ask(of_file(kind, api.file(data, name))))[:2] == (400, "invalid_request_error")


def test_each_thing_that_is_wrong_with_a_file_is_told_apart() -> None:
    api = Api()
    text, old = api.file(b"Hello", "a.txt"), api.file(PDF, "old.pdf", expires_in_seconds="3600")
    api.clock.advance(4_000)

    assert said(api.ask(of_file("image", text)))[:2] == (400, "invalid_request_error")
    assert said(api.send("GET", f"/v1/files/{text}/content")) == (400, "invalid_request_error", "file_not_downloadable")
    assert said(api.upload(name="a\x00b.txt"))[:2] == (400, "invalid_request_error")
    assert said(api.ask(of_file("document", old))) == (404, "not_found_error", "file_expired")
    assert api.upload(name="../up/notes.txt").reply["filename"] == "notes.txt"


def test_with_lenient_validation_a_missing_file_is_a_warning() -> None:
    api = Api(validation="warn")
    reply = api.ask(of_file("document", "file_nobody"))

    assert (reply.status, "not found" in reply.headers["x-mock-warning"]) == (200, True)


def test_any_file_can_go_into_a_container() -> None:
    api = Api()

    assert api.ask({"type": "container_upload", "file_id": api.file(b"a,b", "a.csv")}).status == 200


def test_a_citation_finds_its_place_in_a_file() -> None:
    api = Api("name: cites\nreply:\n  - {type: text, text: It sat., citations: [{cited_text: sat on the mat}]}")
    id = api.file(b"The cat sat on the mat.")

    block = {**of_file("document", id), "citations": {"enabled": True}}
    cited = api.ask(block).reply["content"][0]["citations"][0]

    assert (cited["type"], cited["start_char_index"], cited["file_id"]) == ("char_location", 8, id)


def test_a_condition_sees_the_request_as_it_was_sent() -> None:
    api = Api("name: by-id\nwhen: {body: {'messages[0].content[0].source.file_id': {glob: 'file_*'}}}\nreply: Yes.")

    assert api.ask(of_file("document", api.file())).text == "Yes."

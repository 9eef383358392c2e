"""`/v1/files`: upload, list, get, content, delete. Shapes: docs/protocol.md F.4 and the SDK's resources."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mock_server.engine.errors import headers_for, json_reply
from mock_server.engine.exchange import Apart, Call, Exchange, Late
from mock_server.engine.files import PDF, File, lifetime, page_after
from mock_server.protocol.errors import invalid
from mock_server.protocol.plan import NOTHING, whole
from mock_server.protocol.query import PAGE, Parameter, Several, TextParameter, id_page
from mock_server.protocol.request import LONG, Upload

if TYPE_CHECKING:
    from mock_server.engine.engine import Engine

BETA = "files-api"
MOST_IDS = 100
_LIST: Mapping[str, Parameter] = {**PAGE, "page": TextParameter(), "ids": Several(), "scope_id": TextParameter()}
PATIENCE = 60.0  # seconds for the pages of one
_HASHED = 64 << 10  # bytes of a file that its id depends on where there is a seed


def upload(engine: "Engine", call: Call) -> Exchange:
    """`POST /v1/files`, a form with `file` and perhaps `expires_in_seconds`."""
    call.query({})
    sent, lives = _form(call)
    session = call.session
    settings = session.in_force.settings
    try:
        now = session.clock.now()
        seed = f"{sent.filename}\n{sent.mime_type}\n{sent.content.size}\n".encode() + sent.content.read(_HASHED)
        file = File(
            call.ids_of(seed).new("file"),
            sent,
            now=now,
            unix=session.reply_time(),
            lives=lives,
            downloadable=settings.downloads == "all",
        )
        session.files.add(file, now, settings.file_bytes)
    except BaseException:
        sent.content.discard()
        raise
    reply = _reply(call, file.payload())
    return _looked_at(file, reply) if file.size >= LONG and file.mime_type == PDF else reply


def _looked_at(file: File, reply: Exchange) -> Exchange:
    """The reply once the pages of a large file are counted, for requests that name it: beside everything else."""

    def look() -> None:
        with suppress(OSError):  # it has gone already
            _ = file.facts

    async def looked(apart: Apart) -> Exchange:
        await apart(look, patience=PATIENCE)
        return reply

    return reply._replace(plan=NOTHING, late=Late(looked))


def _form(call: Call) -> tuple[Upload, int | None]:
    """The file and its lifetime. Raises ApiError (400)."""
    form = call.http.form
    if form is None:
        raise invalid("Content-Type: a file is uploaded as multipart/form-data")
    try:
        if form.file is None:
            raise invalid("file: Field required")
        for name in form.fields:
            if name != "expires_in_seconds" and call.session.in_force.profile.is_strict:
                raise invalid(f"{name}: Extra inputs are not permitted")
        return form.file, lifetime(form.fields.get("expires_in_seconds"))
    except BaseException:
        if form.file is not None:
            form.file.content.discard()
        raise


def list_all(engine: "Engine", call: Call) -> Exchange:
    """`GET /v1/files`: newest first, by cursor; where a beta or an id asks for it, by id too."""
    query = call.query(_LIST)
    held = call.session.files.newest_first(call.session.clock.now())
    by_id = query["after_id"] is not None or query["before_id"] is not None
    if query["ids"]:
        return _reply(call, _chosen(call, held, query))
    if query["scope_id"] is not None:  # nothing here belongs to a session of managed agents
        held = []
    if by_id and query["page"] is not None:
        raise invalid("Only one of `page`, `after_id` and `before_id` may be given")
    if by_id or BETA in call.http.headers.get("anthropic-beta", ""):
        page = id_page({file.id: file for file in held}, query, File.payload)
        if by_id:
            return _reply(call, page)
        return _reply(call, {**page, **_by_cursor(held, query)})
    return _reply(call, _by_cursor(held, query))


def _by_cursor(held: list[File], query: Mapping[str, Any]) -> dict[str, Any]:
    page, cursor = page_after(held, query["page"], query["limit"])
    return {"data": [file.payload() for file in page], "next_page": cursor}


def _chosen(call: Call, held: list[File], query: Mapping[str, Any]) -> dict[str, Any]:
    """The files of these ids: one page; ids that nobody has are left out."""
    wanted = set(query["ids"])
    names = {part.partition("=")[0] for part in call.http.query.split("&")}
    if not names.isdisjoint(("page", "limit", "after_id", "before_id")):
        raise invalid("ids: cannot be combined with `page` and `limit`")
    if len(wanted) > MOST_IDS:
        raise invalid(f"ids: List should have at most {MOST_IDS} items after validation, not {len(wanted)}")
    return {"data": [file.payload() for file in held if file.id in wanted], "next_page": None}


def get(engine: "Engine", call: Call) -> Exchange:
    """`GET /v1/files/{id}`."""
    call.query({})
    return _reply(call, _named(call).payload())


def content(engine: "Engine", call: Call) -> Exchange:
    """`GET /v1/files/{id}/content`: the bytes of a file that may be downloaded. Rule 137."""
    call.query({})
    file = _named(call)
    if not file.downloadable:
        raise invalid(f"File `{file.id}` is not downloadable", details={"error_code": "file_not_downloadable"})
    headers = (("content-type", file.mime_type), *headers_for(call))
    return Exchange(whole(200, headers, file.content.read()), note="file content")


def delete(engine: "Engine", call: Call) -> Exchange:
    """`DELETE /v1/files/{id}`."""
    call.query({})
    file = _named(call)
    call.session.files.delete(file.id, call.session.clock.now())
    return _reply(call, {"id": file.id, "type": "file_deleted"})


def _named(call: Call) -> File:
    return call.session.files.find(call.params["id"], call.session.clock.now())


def _reply(call: Call, body: Mapping[str, Any]) -> Exchange:
    return Exchange(json_reply(call, body), note="file")

"""The files of a session without a server: names, room, expiry, and what a message needs to know of them."""

import pytest

from mock_server.engine import files
from mock_server.engine.files import File, FileFacts, Files, lifetime, page_after
from mock_server.protocol.errors import ApiError
from mock_server.protocol.request import InMemory, Upload

UNIX = 1_790_000_000.0
NOW = 50.0
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000640000003208060000000000000000")


def made(
    name: str | None = "notes.txt", kind: str | None = None, data: bytes = b"Hello", id: str = "file_1", **how: int
) -> File:
    return File(id, Upload(name, kind, InMemory(data)), now=NOW, unix=UNIX, **how)


def test_a_file_is_told_with_every_field_of_the_api() -> None:
    assert made().payload() == {
        "id": "file_1",
        "type": "file",
        "filename": "notes.txt",
        "mime_type": "text/plain",
        "size_bytes": 5,
        "created_at": "2026-09-21T14:13:20.000000Z",
        "downloadable": False,
        "expires_at": None,
    }


@pytest.mark.parametrize(
    ("name", "kind", "kept"),
    [
        ("report.pdf", None, ("report.pdf", "application/pdf")),
        ("report.pdf", "text/plain; charset=utf-8", ("report.pdf", "text/plain")),
        ("what", None, ("what", "application/octet-stream")),
        (None, "application/pdf", ("unnamed.pdf", "application/pdf")),
        ("", None, ("unnamed.bin", "application/octet-stream")),
        ("../../etc/passwd", "text/plain", ("passwd", "text/plain")),
        ("été 2026.txt", None, ("été 2026.txt", "text/plain")),
    ],
)
def test_a_file_is_kept_under_the_last_part_of_its_name(
    name: str | None, kind: str | None, kept: tuple[str, str]
) -> None:
    file = made(name, kind)

    assert (file.filename, file.mime_type) == kept


@pytest.mark.parametrize("name", ["..", "a/..", "dir/", "a\\b", "c:boot", "a\x00b", "a\nb", 'a"b', "x" * 256, "<a>"])
def test_a_name_that_plays_tricks_is_refused(name: str) -> None:
    with pytest.raises(ApiError) as caught:
        made(name)

    assert caught.value.status == 400


def test_a_file_expires_by_the_clock_and_is_told_apart_from_one_that_never_was() -> None:
    held = Files()
    held.add(made(lives=3_600), NOW, 100)

    assert held.find("file_1", NOW + 3_599).filename == "notes.txt"
    with pytest.raises(ApiError) as expired:
        held.find("file_1", NOW + 3_600)
    with pytest.raises(ApiError) as unknown:
        held.find("file_2", NOW)
    assert (expired.value.status, expired.value.details) == (404, {"error_code": "file_expired"})
    assert (unknown.value.status, unknown.value.details) == (404, None)
    assert (len(held), held.bytes) == (0, 0)


def test_the_files_of_a_session_have_a_bound() -> None:
    held = Files()
    held.add(made(id="file_1"), NOW, 12)
    held.add(made(id="file_2"), NOW, 12)

    with pytest.raises(ApiError) as caught:
        held.add(made(id="file_3"), NOW, 12)
    assert caught.value.details == {"error_code": "storage_quota_exceeded"}
    held.delete("file_1", NOW)
    held.add(made(id="file_3"), NOW, 12)
    assert [file.id for file in held.newest_first(NOW)] == ["file_3", "file_2"]


def test_files_have_a_bound_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 1)
    held = Files()
    held.add(made(id="file_1"), NOW, 100)

    with pytest.raises(ApiError):
        held.add(made(id="file_2"), NOW, 100)


def test_clearing_lets_go_of_the_bytes() -> None:
    held = Files()
    file = made()
    held.add(file, NOW, 100)

    held.clear()

    assert (len(held), held.bytes, file.content.read()) == (0, 0, b"")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("soon", "valid integer"),
        ("-3600", "valid integer"),
        ("3599", "greater than or equal to 3600"),
        ("7776001", "less than or equal to 7776000"),
        ("9" * 5_000, "valid integer"),
    ],
)
def test_a_lifetime_is_an_hour_to_ninety_days(text: str, said: str) -> None:
    with pytest.raises(ApiError, match=said):
        lifetime(text)
    assert lifetime("3600") == 3_600
    assert lifetime(None) is None


def test_pages_follow_one_another_by_their_cursor() -> None:
    listed = [made(id=f"file_{at}") for at in range(5)]

    first, cursor = page_after(listed, None, 2)
    second, after = page_after(listed, cursor, 3)

    assert [file.id for file in (*first, *second)] == [file.id for file in listed]
    assert (cursor, after) == ("page_file_2", None)
    with pytest.raises(ApiError):
        page_after(listed, "page_file_9", 2)


def test_what_a_message_needs_is_read_from_the_bytes() -> None:
    assert made("a.png", None, PNG).facts == FileFacts("image/png", 100, 50)
    assert made("a.png", None, b"no image").facts == FileFacts()
    assert made("a.pdf", None, b"%PDF-1.4\n1 0 obj\n<</Type /Pages /Count 3>>\nendobj\n").facts.pages == 3
    assert made("a.txt").facts == FileFacts("text/plain")
    assert made("a.bin").facts == FileFacts()

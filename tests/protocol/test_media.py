"""Images and PDFs: what they are, what they cost, and the rules about them.

Texts are asserted only where somebody has seen them; elsewhere the path before the first colon is.
"""

import base64
import struct
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mock_server.protocol import media
from mock_server.protocol.errors import ApiError
from mock_server.protocol.profile import Model, Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.rules import content as shapes
from mock_server.protocol.rules.content import blocks

OLD = Model(id="old", image_side=1568, image_tokens=1568, media=100)
NEW = Model(id="new", image_side=2576, image_tokens=4784, media=600)
STRICT = Profile(name="strict", models=(OLD, NEW))
LOOSE = Profile(name="loose", models=(OLD, NEW), unknown_parameters="ignore")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def png(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def gif(width: int, height: int, version: bytes = b"89a") -> bytes:
    return b"GIF" + version + struct.pack("<HHBBB", width, height, 0, 0, 0)


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg(width: int, height: int, *before: bytes, frame: int = 0xC0) -> bytes:
    size = segment(frame, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
    return b"\xff\xd8" + b"".join(before) + size + b"\xff\xda"


def riff(kind: bytes, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBP" + kind + struct.pack("<I", len(body)) + body


def vp8(width: int, height: int) -> bytes:
    return riff(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height))


def vp8l(width: int, height: int) -> bytes:
    return riff(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 5)


def vp8x(width: int, height: int) -> bytes:
    return riff(b"VP8X", b"\0\0\0\0" + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3])


def pdf(pages: int, *, count: bool = True) -> bytes:
    """A PDF of empty pages; without `count` its page tree does not say how many they are."""
    kids = b" ".join(b"%d 0 R" % (number + 3) for number in range(pages))
    tree = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [%s]%s >>" % (kids, b" /Count %d" % pages if count else b"")]  # fmt: skip
    objects = [*tree, *[b"<< /Type /Page /Parent 2 0 R >>"] * pages]
    return b"%PDF-1.4\n" + b"".join(b"%d 0 obj\n%s\nendobj\n" % (n, o) for n, o in enumerate(objects, 1)) + b"%%EOF"


def packed(*objects: bytes, level: int = 9) -> bytes:
    """A PDF whose objects are in one compressed stream, as newer writers make them."""
    offsets = [sum(len(o) + 1 for o in objects[:n]) for n in range(len(objects))]
    head = b" ".join(b"%d %d" % pair for pair in enumerate(offsets, 1)) + b" "
    body = zlib.compress(head + b" ".join(objects), level)
    says = b"<< /Type /ObjStm /N %d /First %d /Filter /FlateDecode /Length %d >>" % (len(objects), len(head), len(body))
    return b"%PDF-1.5\n9 0 obj\n" + says + b"\nstream\r\n" + body + b"\nendstream\nendobj\n%%EOF"


# -- what it is -----------------------------------------------------------------------------------------------------

KINDS = [
    (png(640, 480), "image/png", 640, 480),
    (gif(640, 480), "image/gif", 640, 480),
    (gif(1, 65535, b"87a"), "image/gif", 1, 65535),
    (vp8(640, 480), "image/webp", 640, 480),
    (vp8(640 | 1 << 14, 480 | 3 << 14), "image/webp", 640, 480),  # the upper two bits are a scale
    (vp8l(1, 16384), "image/webp", 1, 16384),
    (vp8x(70000, 480), "image/webp", 70000, 480),
    (jpeg(640, 480), "image/jpeg", 640, 480),
    (jpeg(640, 480, segment(0xE0, b"JFIF\0"), segment(0xE1, b"x" * 65000), segment(0xC4, b"\0" * 7)), "image/jpeg", 640, 480),
    (jpeg(640, 480, b"\xff\xff\xff", segment(0xDB, b"q"), b"\xff\xd0", frame=0xC2), "image/jpeg", 640, 480),
]  # fmt: skip


@pytest.mark.parametrize(("data", "kind", "width", "height"), KINDS, ids=range(len(KINDS)))
def test_an_image_says_its_kind_and_size(data: bytes, kind: str, width: int, height: int) -> None:
    assert media.image(b64(data)) == (kind, width, height)
    assert media.image(b64(data + b"\0" * 100_001)) == (kind, width, height)
    assert media.image(base64.encodebytes(data).decode()) == (kind, width, height)


@pytest.mark.parametrize("data", [row[0] for row in KINDS], ids=range(len(KINDS)))
def test_an_image_cut_short_is_none_or_the_image(data: bytes) -> None:
    whole = media.image(b64(data))
    lengths = [*range(min(200, len(data))), *range(max(200, len(data) - 50), len(data))]
    found = [media.image(b64(data[:length])) for length in lengths]
    assert set(found) <= {None, whole}
    assert set(found[:10]) == {None}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello, world, this is no image",
        png(0, 5),
        gif(5, 0),
        b"GIF88a" + gif(5, 5)[6:],
        b"RIFF\0\0\0\0WAVEfmt " + b"\0" * 20,
        riff(b"ALPH", b"\0" * 20),
        jpeg(5, 5, b"\xff\xda"),
        jpeg(5, 5, b"\0"),
        b"\xff\xd8" + b"\xff" * 9_999,
        pdf(1),
    ],
)
def test_what_is_no_image_is_none(data: bytes) -> None:
    assert media.image(b64(data)) is None


@pytest.mark.parametrize(
    ("text", "is_base64"),
    [
        ("QUJD", True), ("QUI=", True), ("QQ==", True), ("QU\nJD", True), ("", False), ("====", False), ("Q===", False),
        ("QUJ", False), ("QU=D", False), ("QU-_", False), ("QUJD=", False), ("äöüß", False), ("data:a/b;base64,QUJD", False),
    ],
)  # fmt: skip
def test_what_is_base64(text: str, is_base64: bool) -> None:
    assert media.is_base64(text) is is_base64


@given(st.binary(max_size=200))
def test_what_is_encoded_is_base64_unless_it_is_empty(data: bytes) -> None:
    assert media.is_base64(b64(data)) is media.is_base64(base64.encodebytes(data).decode()) is bool(data)


# an object that ends where the search for its end is taken up again
ROOT = b"<< /Type /Pages /Kids [2 0 R] /Count 7 >>"
FAR = b"%PDF-1.4\n1 0 obj << /Type /Outlines /Count 50 >>".ljust(media.STEP - 3) + b"endobj\n2 0 obj" + ROOT + b"endobj"
PAGES = [
    (pdf(1), 1),
    (pdf(3), 3),
    (pdf(120), 120),
    (pdf(4, count=False), 4),
    (b"junk\n" + pdf(2), 2),
    (pdf(2).replace(b"/Type /Pages", b"/Type/Pages"), 2),
    (pdf(2) + b"9 0 obj << /Type /Outlines /Count 50 >> endobj", 2),
    (pdf(2).replace(b"/Count 2", b"/Count 9 0 R"), 2),
    (packed(b"<< /Type /Catalog >>", ROOT, b"<< /Type /Outlines /Count 50 >>"), 7),
    (packed(*[b"<< /Type /Page >>"] * 3), 3),
    (packed(ROOT)[:-60] + b"\0" * 20 + b"endobj", 1),
    (FAR, 7),
    (b"%PDF-1.7", 1),
    (b"\0" * 2000 + pdf(2), None),
    (b"", None),
    (png(5, 5), None),
]


@pytest.mark.parametrize(("data", "pages"), PAGES, ids=range(len(PAGES)))
def test_a_pdf_says_how_many_pages_it_has(data: bytes, pages: int | None) -> None:
    assert media.pages(b64(data)) == pages


HEADS = [row[0][:30] for row in KINDS] + [pdf(1)[:60], packed(ROOT)[:80], b"%PDF-1.5 /ObjStm /First 9 stream\n"]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", *HEADS]))
def test_no_bytes_raise(data: bytes, head: bytes) -> None:
    text = b64(head + data)
    media.image(text)
    media.pages(text)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters() | st.sampled_from("ABab01+/=\n"), max_size=80), st.sampled_from([b"", *HEADS]))
@example("\ud800", b"")
@example("=", HEADS[0])
def test_no_text_raises(text: str, head: bytes) -> None:
    text = b64(head) + text
    media.image(text)
    media.pages(text)
    if media.is_base64(text):
        base64.b64decode(text, validate="\n" not in text)


LARGE = 2_000_000
BOMB = packed(b"\0" * 50_000_000)
TANGLED = b" ".join(b"%d %d" % (n, n % 2 * LARGE + n) for n in range(50_000)) + b" "


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * LARGE,
        b"\xff\xd8" + b"\xff\xe0\0\2" * (LARGE // 4),
        b"%PDF-" + b"endobj" * (LARGE // 6),
        b"%PDF-" + b"/Type/Pages " * (LARGE // 12),
        b"%PDF-" + b"/Type" + b" " * LARGE,
        b"%PDF-" + b"/Type/Pages /Count 1" + b" " * LARGE,
        b"%PDF-" + b"/ObjStm/First 1 stream\nendobj" * (LARGE // 29),
        BOMB,
        packed(TANGLED + b"\0" * LARGE).replace(b"/First 4", b"/First 400000"),
    ],
)
def test_bad_data_takes_no_longer_than_good(data: bytes) -> None:
    text, began = b64(data), time.process_time()
    media.image(text)
    media.pages(text)
    assert time.process_time() - began < 2


def test_what_a_pdf_unpacks_to_is_bounded() -> None:
    text = b64(packed(b"\0" * 100_000_000, level=1))
    tracemalloc.start()
    try:
        assert media.pages(text) == 1
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


# -- what it costs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "height", "model", "tokens"),
    [
        (1, 1, OLD, 1),
        (28, 28, OLD, 1),
        (29, 28, OLD, 2),
        (200, 200, OLD, 64),
        (1092, 1092, OLD, 1521),
        (784, 1568, OLD, 1568),
        (819, 1456, OLD, 1560),
        (1000, 1000, NEW, 1296),
        (1568, 1568, NEW, 3136),
        (8000, 8000, OLD, 1521),
        (8000, 1, OLD, 56),
        (1, 8000, NEW, 92),
        (0, 0, OLD, 1),
    ],
)
def test_an_image_counts_a_token_a_patch(width: int, height: int, model: Model, tokens: int) -> None:
    assert media.image_tokens(width, height, model) == tokens


@given(st.integers(1, 2**32), st.integers(1, 2**32), st.sampled_from([OLD, NEW]))
def test_what_is_fitted_fits_and_keeps_its_shape(width: int, height: int, model: Model) -> None:
    small = media.fitted(width, height, model)
    assert media.fitted(*small, model) == small
    assert max(small) <= model.image_side
    assert (small[0] > small[1]) <= (width > height)
    assert 1 <= media.image_tokens(width, height, model) <= model.image_tokens


# -- the rules ------------------------------------------------------------------------------------------------------

PNG = b64(png(5, 5)[:30])  # of 3 n bytes, so that more base64 can follow it
CITED: dict[str, Any] = {"citations": {"enabled": True}}
FORMAT: dict[str, Any] = {"output_config": {"format": {"type": "json_schema", "schema": {}}}}


def encoded(data: bytes | str, kind: str = "image/png", **more: Any) -> dict[str, Any]:
    text = data if isinstance(data, str) else b64(data)
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": text}, **more}


def image(source: Any, **more: Any) -> dict[str, Any]:
    return {"type": "image", "source": source, **more}


def document(source: Any, **more: Any) -> dict[str, Any]:
    return {"type": "document", "source": source, **more}


def pages(count: int | bytes, kind: str = "application/pdf", **more: Any) -> dict[str, Any]:
    data = pdf(count) if isinstance(count, int) else count
    return document({"type": "base64", "media_type": kind, "data": b64(data)}, **more)


def result(*content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "search_result", "source": "s", "title": "t", "content": list(content), **more}


def tool(*content: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "t", "content": list(content)}


TEXT = {"type": "text", "text": "x"}
URL = {"type": "url", "url": "https://example.com/x"}
FILE = {"type": "file", "file_id": "file_1"}
PLAIN = {"type": "text", "media_type": "text/plain", "data": "x"}


def check(content: list[Any], profile: Profile = STRICT, model: str = "old", **more: Any) -> None:
    """What the server asks of blocks: their shapes, then the rules of this file."""
    messages = [{"role": "user", "content": "q"}, {"role": "user", "content": content}]
    request = MessagesRequest({"model": model, "max_tokens": 5, "messages": messages, **more})
    for rule in (shapes.messages, blocks):
        rule(request, profile)


M = "messages.1.content"
MEGABYTES = 10 * 1024 * 1024
SHRUNK: dict[str, Any] = {"transformations": {"oversized_image": "error"}}
KEPT: dict[str, Any] = {"transformations": {"oversized_image": "downsize"}}

# rule, content that breaks it, how the message begins, content that just passes
TABLE: list[tuple[str, list[Any], str, list[Any]]] = [
    (
        "124",
        [encoded(PNG, "image/bmp")],
        f"{M}.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
        [encoded(gif(1, 1), "image/gif")],
    ),
    (
        "124 in a tool result",
        [TEXT, tool(TEXT, encoded(PNG, "image/bmp"))],
        f"{M}.1.tool_result.content.1.image.source.base64.media_type: Input should be 'image/jpeg'",
        [TEXT, tool(TEXT, encoded(PNG))],
    ),
    (
        "124 in a document",
        [document({"type": "content", "content": [TEXT, encoded(PNG, "image/bmp")]})],
        f"{M}.0.document.source.content.content.1.image.source.base64.media_type:",
        [document({"type": "content", "content": [TEXT, encoded(PNG)]})],
    ),
    ("125", [encoded(PNG, "image/jpeg")], f"{M}.0.image.source.base64:", [encoded(jpeg(5, 5), "image/jpeg")]),
    (
        "125 in a document",
        [document({"type": "content", "content": [TEXT, encoded(PNG, "image/gif")]})],
        f"{M}.0.document.source.content.content.1.image.source.base64:",
        [document({"type": "content", "content": "x"})],
    ),
    (
        "126",
        [encoded(PNG + "A" * (MEGABYTES - len(PNG) + 4))],
        f"{M}.0.image.source.base64: image exceeds 10 MB maximum: {MEGABYTES + 4} bytes > {MEGABYTES} bytes",
        [encoded(PNG + "A" * (MEGABYTES - len(PNG)))],
    ),
    (
        "127 wide",
        [encoded(png(8001, 1))],
        f"{M}.0.image.source.base64.data: At least one of the image dimensions exceed max allowed size: 8000 pixels",
        [encoded(png(8000, 1))],
    ),
    (
        "127 high",
        [tool(encoded(png(1, 8001)))],
        f"{M}.0.tool_result.content.0.image.source.base64.data: At least one of the image dimensions exceed",
        [encoded(png(1, 8000))],
    ),
    (
        "128",
        [*[encoded(PNG)] * 20, encoded(png(2001, 1))],
        f"{M}.20.image.source.base64.data: At least one of the image dimensions exceed max allowed size for many-image "
        "requests: 2000 pixels",
        [*[encoded(PNG)] * 20, encoded(png(2000, 1))],
    ),
    ("128 few", [*[image(URL)] * 20, encoded(png(2001, 1))], f"{M}.20.image", [*[encoded(PNG)] * 19, encoded(png(2001, 1))]),
    ("129 base64", [encoded("data:" + PNG)], "Could not process image", [encoded(PNG)]),
    ("129 halfway", [encoded(PNG + "A" * 50 + "-_" + "A" * 48)], "Could not process image", [encoded(PNG + "A" * 100)]),
    ("129 empty", [encoded("")], "Could not process image", [encoded(PNG)]),
    ("129 bytes", [encoded(b"BM" + b"\0" * 60)], "Could not process image", [encoded(png(1, 1))]),
    ("129 in a tool result", [tool(encoded(b"hm"))], "Could not process image", [tool(encoded(PNG))]),
    ("129 pdf", [pages(b"hm")], "Could not process PDF", [pages(1)]),
    (
        "130",
        [pages(101)],
        f"{M}.0.pdf.source.base64.data: A maximum of 100 PDF pages may be provided.",
        [pages(100)],
    ),
    (
        "130 together",
        [pages(60), tool(pages(41))],
        f"{M}.1.tool_result.content.0.pdf.source.base64.data: A maximum of 100 PDF pages may be provided.",
        [pages(60), tool(pages(40))],
    ),
    (
        "131",
        [*[image(URL)] * 60, tool(*[document(PLAIN)] * 41)],
        "too many images and documents: 60 + 41 > 100",
        [*[image(URL)] * 60, tool(*[document(PLAIN)] * 40)],
    ),
    ("132 side", [encoded(png(1569, 5), **SHRUNK)], f"{M}.0.image.source.base64.data:", [encoded(png(1568, 5), **SHRUNK)]),
    ("132 tokens", [encoded(png(1120, 1120), **SHRUNK)], f"{M}.0.image", [encoded(png(1092, 1092), **SHRUNK)]),
    ("132 elsewhere", [encoded(png(1569, 5)), encoded(png(1600, 5), **SHRUNK)], f"{M}.1.image", [encoded(png(1600, 5), **KEPT)]),
    ("133", [document(PLAIN, **CITED), tool(document(PLAIN))], "messages:", [document(PLAIN, **CITED), document(PLAIN, **CITED)]),
    ("133 off", [document(PLAIN, **CITED), document(PLAIN, citations={"enabled": False})], "messages:", [document(PLAIN), document(PLAIN, citations=None)]),
    ("135", [result(TEXT, **CITED), result(TEXT)], "messages:", [result(TEXT, **CITED), document(PLAIN)]),
    ("image source", [image({})], f"{M}.0.image.source.type: Field required", [image(URL)]),
    ("image tag", [image({"type": "text"})], f"{M}.0.image.source: Input tag 'text' found using 'type'", [image(FILE)]),
    ("image data", [encoded(PNG), image({"type": "base64", "media_type": "image/png"})], f"{M}.1.image.source.base64.data: Field required", [encoded(PNG)]),
    ("image url", [image({"type": "url"})], f"{M}.0.image.source.url.url: Field required", [image(URL)]),
    ("image extra", [image({**URL, "a": 1})], f"{M}.0.image.source.url.a: Extra inputs are not permitted", [image(URL)]),
    ("image in a tool", [tool({"type": "image"})], f"{M}.0.tool_result.content.0.image.source: Field required", [tool(image(FILE))]),
    ("transformations", [image(URL, transformations={"oversized_image": "crop"})], f"{M}.0.image.transformations.oversized_image:", [image(URL, transformations=None)]),
    ("pdf type", [pages(1, "image/png")], f"{M}.0.pdf.source.base64.media_type: Input should be 'application/pdf'", [pages(1)]),
    ("pdf data", [document({"type": "base64", "media_type": "application/pdf", "data": 5})], f"{M}.0.pdf.source.base64.data:", [document(URL)]),
    ("text type", [document({**PLAIN, "media_type": "text/html"})], f"{M}.0.document.source.text.media_type:", [document(PLAIN)]),
    ("content", [document({"type": "content", "content": [result(TEXT)]})], f"{M}.0.document.source.content.content.0:", [document(FILE)]),
    ("citations", [document(PLAIN, citations={"enabled": "yes"})], f"{M}.0.document.citations.enabled:", [document(PLAIN, citations={})]),
    ("result content", [result(image(URL))], f"{M}.0.search_result.content.0.type: Input should be 'text'", [result(TEXT)]),
    ("result in a tool", [tool({"type": "search_result"})], f"{M}.0.tool_result.content.0.search_result.source:", [tool(result())]),
]  # fmt: skip
IDS = [row[0] for row in TABLE]


@pytest.mark.parametrize(("bad", "begins"), [row[1:3] for row in TABLE], ids=IDS)
def test_content_that_breaks_a_rule(bad: list[Any], begins: str) -> None:
    with pytest.raises(ApiError) as caught:
        check(bad)
    assert caught.value.status == 400
    assert str(caught.value.message).startswith(begins)


@pytest.mark.parametrize("good", [row[3] for row in TABLE], ids=IDS)
def test_the_content_beside_it_passes(good: list[Any]) -> None:
    check(good)


def test_citations_and_structured_output_are_not_for_one_request() -> None:  # rule 134
    for cited in (document(PLAIN, **CITED), tool(result(TEXT, **CITED))):
        check([cited])
        check([cited], output_config={"effort": "low", "format": None})
        for wanted in (FORMAT, {"output_format": FORMAT["output_config"]["format"]}):
            with pytest.raises(ApiError, match=r"^output_config\.format:"):
                check([cited], **wanted)
    check([document(PLAIN), result(TEXT)], **FORMAT)


def test_images_too_large_are_all_named_in_the_details() -> None:
    large, small = encoded(png(9000, 9000)), encoded(PNG)
    with pytest.raises(ApiError) as caught:
        check([small, large, tool(small, large), document({"type": "content", "content": [large]})])
    assert caught.value.details == {
        "error_code": "image_dimensions_too_large",
        "max_side_length_pixels": 8000,
        "paths": [f"{M}.1", f"{M}.2.content.1", f"{M}.3.source.content.0"],
    }


def test_an_oversized_image_is_told_its_size_and_the_largest_that_fits() -> None:  # rule 132
    with pytest.raises(ApiError, match=r"3136x1568.*1568x784"):
        check([encoded(png(3136, 1568), **SHRUNK)])
    check([encoded(png(1568, 784), **SHRUNK)])


def test_the_limits_are_those_of_the_model() -> None:
    check([pages(101), encoded(png(2576, 5), **SHRUNK)], model="new")
    with pytest.raises(ApiError, match="600 PDF pages"):
        check([pages(601)], model="new")


def test_a_lenient_api_ignores_keys_it_does_not_know() -> None:
    odd = [image({**URL, "a": 1}, b=2), result({**TEXT, "c": 3}), tool(document({**PLAIN, "d": 4}))]
    check(odd, LOOSE)
    with pytest.raises(ApiError, match="Extra inputs"):
        check(odd)


def test_what_is_not_sent_is_not_looked_into() -> None:
    check([image(URL, **SHRUNK), image(FILE), document(URL), document(FILE, title="t", context="c")])


def test_a_conversation_of_text_costs_next_to_nothing() -> None:
    messages = [{"role": "user", "content": [TEXT, {"type": "tool_result", "content": "x"}]}] * 200
    request = MessagesRequest({"model": "old", "messages": messages})
    best = 1.0
    for _ in range(20):
        began = time.perf_counter()
        blocks(request, STRICT)
        best = min(best, time.perf_counter() - began)
    assert best < 0.002  # seconds; some 0.1 ms on a quiet machine, the rest is for a busy one


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["base64", "image/png", "content", "text", "url", PNG, b64(pdf(1))]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "media_type", "data", "content", "source", "enabled", "oversized_image"]), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["image", "document", "search_result", "tool_result"]), "source": JSON},
    optional={"content": JSON, "citations": JSON, "transformations": JSON, "title": JSON, "tool_use_id": st.just("t")},
)


@settings(max_examples=300, deadline=None)
@given(st.lists(BLOCKS | BLOCKS.map(tool), max_size=3), st.sampled_from([STRICT, LOOSE]))
def test_no_content_raises_anything_but_the_apis_error(content: list[Any], profile: Profile) -> None:
    assert status(content, profile) in (200, 400)


def status(content: list[Any], profile: Profile) -> int:
    """What the rules say of content; anything but the API's own error goes through."""
    try:
        check(content, profile)
    except ApiError as error:
        return error.status
    return 200

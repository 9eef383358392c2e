"""Rules about images, documents and search results, also inside tool results. Tables: protocol notes B.3 and E.5."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mock_server.protocol import media
from mock_server.protocol.errors import invalid
from mock_server.protocol.profile import Model, Profile
from mock_server.protocol.request import MessagesRequest
from mock_server.protocol.validate.checks import (
    Check,
    array,
    boolean,
    nullable,
    one_of,
    optional,
    record,
    required,
    string,
    string_or,
    tagged,
)
from mock_server.protocol.validate.models import model_of

MOST_BYTES = 10 * 1024 * 1024
MOST_PIXELS, MANY_PIXELS, MANY = 8000, 2000, 20
_KINDS = ("image", "document", "search_result")
_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_TEXT, _FLAG = required(string), optional(nullable(boolean))
_URL: Mapping[str, Any] = {"url": _TEXT}
_FILE: Mapping[str, Any] = {"file_id": _TEXT}


def _checks(*, closed: bool) -> Mapping[str, Check]:
    def one(fields: Mapping[str, Any]) -> Check:
        return record(fields, closed=closed, skip="type")

    image = {"base64": {"media_type": required(one_of(*_IMAGE_TYPES)), "data": _TEXT}, "url": _URL, "file": _FILE}
    document = {
        "base64": {"media_type": required(one_of("application/pdf")), "data": _TEXT},
        "text": {"media_type": required(one_of("text/plain")), "data": _TEXT},
        "content": {"content": required(string_or(array))},
        "url": _URL,
        "file": _FILE,
    }
    return {
        "image": tagged({tag: one(fields) for tag, fields in image.items()}),
        "document": tagged({tag: one(fields) for tag, fields in document.items()}),
        "citations": record({"enabled": _FLAG}, closed=closed),
        "transformations": record({"oversized_image": optional(nullable(one_of("downsize", "error")))}, closed=closed),
        "text": tagged({"text": one({"text": _TEXT, "citations": optional(nullable(array)), **_MARK})}),
    }


_MARK: Mapping[str, Any] = {"cache_control": optional(nullable(lambda value: None))}
_CHECKS = {closed: _checks(closed=closed) for closed in (True, False)}


class Place(NamedTuple):
    """One block of media and where it stands."""

    path: str
    block: Mapping[str, Any]


def media_blocks(request: MessagesRequest, profile: Profile) -> None:
    """Rules 124 to 135."""
    places = list(_places(request))
    if not places:
        return
    model = model_of(request, profile)
    checks = _CHECKS[profile.is_strict]
    for place in places:
        _SHAPES[place.block["type"]](place, checks)
    images = sum(place.block["type"] == "image" for place in places)
    for place in places:
        if place.block["type"] == "image":
            _image(place, images, model)
    _documents([place for place in places if place.block["type"] == "document"], images, model)
    _citations(places, request)


def _places(request: MessagesRequest) -> Iterator[Place]:
    for index, message in enumerate(request.messages):
        content = message["content"]
        if isinstance(content, str):
            continue
        for at, block in enumerate(content):
            kind = block["type"]
            if kind in _KINDS:
                yield Place(f"messages.{index}.content.{at}", block)
            elif kind == "tool_result" and isinstance(block.get("content"), list):
                for inner, one in enumerate(block["content"]):
                    if one["type"] in _KINDS:
                        yield Place(f"messages.{index}.content.{at}.tool_result.content.{inner}", one)


# -- shapes -----------------------------------------------------------------------------------------------------------


def _require(check: Check, value: Any, path: str) -> None:
    if (found := check(value)) is not None:
        raise invalid(f"{path}{found[0]}: {found[1]}")


def _image_shape(place: Place, checks: Mapping[str, Check]) -> None:
    """Rule 124."""
    _require(checks["image"], place.block.get("source"), f"{place.path}.image.source")
    if place.block.get("transformations") is not None:
        _require(checks["transformations"], place.block["transformations"], f"{place.path}.image.transformations")


def _document_shape(place: Place, checks: Mapping[str, Check]) -> None:
    source = place.block.get("source")
    _require(checks["document"], source, f"{place.path}.document.source")
    _citations_shape(place, checks)
    content = source.get("content") if isinstance(source, Mapping) else None
    for at, one in enumerate(content if isinstance(content, list) else ()):
        path = f"{place.path}.document.source.content.content.{at}"
        if isinstance(one, Mapping) and one.get("type") == "image":
            _require(checks["image"], one.get("source"), f"{path}.image.source")
        else:
            _require(checks["text"], one, path)


def _search_shape(place: Place, checks: Mapping[str, Check]) -> None:
    _citations_shape(place, checks)
    for name in ("source", "title"):
        if not isinstance(place.block.get(name), str):
            raise invalid(f"{place.path}.search_result.{name}: Field required")
    content = place.block.get("content")
    if not isinstance(content, list):
        raise invalid(f"{place.path}.search_result.content: Input should be a valid list")
    for at, one in enumerate(content):
        _require(checks["text"], one, f"{place.path}.search_result.content.{at}")


def _citations_shape(place: Place, checks: Mapping[str, Check]) -> None:
    if place.block.get("citations") is not None:
        _require(checks["citations"], place.block["citations"], f"{place.path}.{place.block['type']}.citations")


_SHAPES = {"image": _image_shape, "document": _document_shape, "search_result": _search_shape}


# -- images and PDFs ---------------------------------------------------------------------------------------------------


def _image(place: Place, images: int, model: Model) -> None:
    """Rules 125 to 129 and 132, for bytes that came with the request."""
    source = place.block["source"]
    if source["type"] != "base64":
        return
    path, data = f"{place.path}.image.source.base64", source["data"]
    size = media.size(data)
    if size > MOST_BYTES:
        raise invalid(f"{path}: image exceeds {MOST_BYTES >> 20} MB maximum: {size} bytes > {MOST_BYTES} bytes")
    found = media.image(data)
    if found is None:
        raise invalid(f"{place.path}: Could not process image")
    if found.kind != source["media_type"]:
        raise invalid(
            f"{path}: The image was specified using the {source['media_type']} media type, but the image appears to be "
            f"a {found.kind} image"
        )
    _dimensions(place, found, images, model)


def _dimensions(place: Place, found: media.Image, images: int, model: Model) -> None:
    path = f"{place.path}.image.source.base64.data"
    longest = max(found.width, found.height)
    most, why = (
        (MANY_PIXELS, "allowed size for many-image requests") if images > MANY else (MOST_PIXELS, "allowed size")
    )
    if longest > most:
        raise invalid(
            f"{path}: At least one of the image dimensions exceed max {why}: {most} pixels",
            details={
                "error_code": "image_dimensions_too_large",
                "max_side_length_pixels": most,
                "paths": [path],
            },
        )
    wanted = (place.block.get("transformations") or {}).get("oversized_image")
    if wanted == "error" and longest > model.image_side:
        raise invalid(
            f"{path}: the image is {found.width}x{found.height} pixels; the largest that fits has a side of "
            f"{model.image_side} pixels"
        )


def _documents(documents: list[Place], images: int, model: Model) -> None:
    """Rules 129 to 131."""
    if images + len(documents) > model.media:
        raise invalid(f"too many images and documents: {images} + {len(documents)} > {model.media}")
    for place in documents:
        source = place.block["source"]
        if source["type"] == "base64":
            pages = media.pages(source["data"])
            if pages is None:
                raise invalid("Could not process PDF")
            if pages > model.media:
                raise invalid(
                    f"{place.path}.pdf.source.base64.data: A maximum of {model.media} PDF pages may be provided."
                )


def _citations(places: list[Place], request: MessagesRequest) -> None:
    """Rules 133 to 135: all documents or none, all search results or none, and no certain output format with them."""
    for kind, told in (("document", "documents"), ("search_result", "search results")):
        asked = {_enabled(place.block) for place in places if place.block["type"] == kind}
        if len(asked) > 1:
            raise invalid(f"citations must be enabled for all {told} or for none of them")
        if True in asked and (request.body.get("output_config") or {}).get("format") is not None:
            raise invalid("output_config.format: structured outputs cannot be combined with citations")


def _enabled(block: Mapping[str, Any]) -> bool:
    return bool((block.get("citations") or {}).get("enabled"))

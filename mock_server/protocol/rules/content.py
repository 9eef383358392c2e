"""Rules about the content of messages: the shape of messages and blocks; images, documents and search results.

Only base64 is looked into: what a URL or a file holds is not known here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mock_server.protocol import media
from mock_server.protocol.errors import excerpt, invalid
from mock_server.protocol.profile import Model, Profile
from mock_server.protocol.request import Block, MessagesRequest
from mock_server.protocol.rules.checks import (
    Check,
    Fields,
    Stranger,
    anything,
    array,
    boolean,
    cache_control,
    dictionary,
    items,
    nullable,
    one_of,
    optional,
    pattern,
    record,
    required,
    strangers,
    string,
    string_or,
    tagged,
)
from mock_server.protocol.rules.models import model_of

# Rules about the shape of messages and content blocks. Tables: docs/protocol.md B.3.

_ID = required(pattern("^[a-zA-Z0-9_-]+$"))
_TEXT = required(string)
_CACHE: Fields = {"cache_control": optional(nullable(dictionary))}
_CALLER: Fields = {"caller": optional(nullable(dictionary))}
_RESULT: Fields = {"tool_use_id": _ID, "content": required(anything), **_CACHE, **_CALLER}
_CALL: Fields = {"id": _ID, "name": _TEXT, "input": required(dictionary), **_CACHE, **_CALLER}
_SIDE: Fields = {"toolset_name": optional(nullable(string))}
_FREE: Fields = {}

# block type -> its fields
BLOCK_PARAMS: Mapping[str, Fields] = {
    "text": {"text": _TEXT, "citations": optional(nullable(array)), **_CACHE},
    "image": {"source": required(dictionary), "transformations": optional(nullable(dictionary)), **_CACHE},
    "document": {
        "source": required(dictionary),
        "title": optional(nullable(string)),
        "context": optional(nullable(string)),
        "citations": optional(nullable(dictionary)),
        **_CACHE,
    },
    "search_result": {
        "source": _TEXT,
        "title": _TEXT,
        "content": required(array),
        "citations": optional(nullable(dictionary)),
        **_CACHE,
    },
    "thinking": {"thinking": _TEXT, "signature": _TEXT},
    "redacted_thinking": {"data": _TEXT},
    "tool_use": {**_CALL, **_SIDE},
    "tool_result": {
        "tool_use_id": _ID,
        "content": optional(nullable(string_or(array))),
        "is_error": optional(nullable(boolean)),
        **_CACHE,
        **_SIDE,
    },
    "server_tool_use": _CALL,
    "web_search_tool_result": _RESULT,
    "web_fetch_tool_result": _RESULT,
    "code_execution_tool_result": _RESULT,
    "bash_code_execution_tool_result": _RESULT,
    "text_editor_code_execution_tool_result": _RESULT,
    "tool_search_tool_result": _RESULT,
    "advisor_tool_result": _RESULT,
    "container_upload": {"file_id": _TEXT, **_CACHE},
    "mcp_tool_use": {**_CALL, "server_name": _TEXT},
    "mcp_tool_result": {
        "tool_use_id": _ID,
        "content": optional(string_or(array)),
        "is_error": optional(boolean),
        **_CACHE,
    },
}
# beta blocks whose inside is taken as it comes
_OPEN = ("mcp_tool_listing", "compaction", "fallback", "tool_addition", "tool_removal")


def _variants(*, closed: bool, scoped: bool) -> Check:
    mark = optional(nullable(cache_control(closed=closed, scoped=scoped)))
    known = {
        tag: record(
            {**fields, "cache_control": mark} if "cache_control" in fields else fields, closed=closed, skip="type"
        )
        for tag, fields in BLOCK_PARAMS.items()
    }
    return tagged({**known, **{tag: record(_FREE) for tag in _OPEN}})


_BLOCK = {
    (closed, scoped): _variants(closed=closed, scoped=scoped) for closed in (True, False) for scoped in (True, False)
}
# role -> the keys of its messages
ROLES: Mapping[str, frozenset[str]] = {
    "user": frozenset(("role", "content")),
    "assistant": frozenset(("role", "content")),
    "system": frozenset(("role", "content", "clear_at", "output_config")),
}
_SCOPE = "prompt-caching-scope-"


def system(request: MessagesRequest, profile: Profile) -> None:
    """The system prompt: a string, or text blocks that are not empty (rule 123)."""
    value = request.body.get("system")
    if not isinstance(value, list):
        return
    check = _BLOCK[profile.is_strict, request.has_beta(_SCOPE)]
    for index, block in enumerate(value):
        if not isinstance(block, dict) or block.get("type") != "text":
            raise invalid(f"system.{index}: Input does not match the expected shape.")
        if (found := check(block)) is not None:
            raise invalid(f"system.{index}{found[0].removeprefix('.text')}: {found[1]}")
        if not block["text"]:
            raise invalid("system: text content blocks must be non-empty")


def messages(request: MessagesRequest, profile: Profile) -> None:
    """Rules 28, 44, 47, 55 to 59: a list of messages, each of known blocks."""
    if not request.messages:
        raise invalid("messages: at least one message is required")
    closed = profile.is_strict
    check = _BLOCK[closed, request.has_beta(_SCOPE)]
    for index, message in enumerate(request.messages):
        if not is_plain(message):
            content = _content(message, index, closed=closed)
            for at, block in enumerate(content):
                if (found := check(block)) is not None:
                    raise invalid(f"messages.{index}.content.{at}{found[0]}: {found[1]}")
                if block["type"] == "tool_result" and type(inner := block.get("content")) is list:
                    _result(inner, f"messages.{index}.content.{at}.tool_result.content")


def is_plain(message: Any) -> bool:
    """The commonest shape, about which there is nothing to say: a role and a bare string."""
    if not isinstance(message, dict) or len(message) != 2:
        return False
    role = message.get("role")
    return type(message.get("content")) is str and type(role) is str and role in ROLES


def _content(message: Any, at: int, *, closed: bool) -> list[Any]:
    """The blocks of a message that is all right but for what these may be; none of a bare string."""
    if not isinstance(message, dict):
        raise invalid(f"messages.{at}: Input should be an object")
    for name in ("role", "content"):
        if name not in message:
            raise invalid(f"messages.{at}.{name}: Field required")
    role, content = message["role"], message["content"]
    if not isinstance(role, str):
        raise invalid(f"messages.{at}.role: Input should be a valid string")
    if role not in ROLES:
        raise invalid(f'messages: Unexpected role "{excerpt(role, 100)}". Allowed roles are "user" or "assistant"')
    if closed and not message.keys() <= ROLES[role]:
        extra = next(name for name in message if name not in ROLES[role])
        raise invalid(f"messages.{at}.{extra}: Extra inputs are not permitted")
    if isinstance(content, str):
        return []
    if not isinstance(content, list):
        raise invalid(f"messages.{at}.content: Input should be a valid array")
    return content


def _result(content: list[Any], path: str) -> None:
    """What a tool's result holds."""
    for index, inner in enumerate(content):
        if not isinstance(inner, dict):
            raise invalid(f"{path}.{index}: Input should be an object")
        if not isinstance(inner.get("type"), str):
            raise invalid(f"{path}.{index}.type: Field required")
        if inner["type"] == "text" and not isinstance(inner.get("text"), str):
            raise invalid(f"{path}.{index}.text.text: Field required")


def is_usual(message: Any) -> bool:
    """Whether a message is plainly without a strange field; of others `strange` knows more."""
    if type(message) is not dict or message.keys() != _MESSAGE:
        return False
    content = message["content"]
    if type(content) is not list:
        return True
    for block in content:
        kind = block.get("type") if type(block) is dict else None
        known = _FLAT.get(kind) if type(kind) is str else None
        if known is None or not block.keys() <= known or (kind == "tool_result" and type(block.get("content")) is list):
            return False
    return True


_MESSAGE = frozenset(("role", "content"))
# block type -> the fields in which nothing can be strange
_FLAT = {
    tag: frozenset(("type", *fields)) - {"cache_control"}
    for tag, fields in BLOCK_PARAMS.items()
    if tag not in ("image", "document", "search_result")
}


def strange(block: Any) -> Iterator[Stranger]:
    """The fields of a block, and of the blocks that it holds, that no block of its type has."""
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str):
        return
    yield from strangers(_BLOCK[False, True], block)
    if kind in KINDS:
        yield from (
            one for one in strangers(_BLOCKS[False][kind], block) if "." in one[0][1:]
        )  # the rest is there already
    inner = block.get("content") if kind == "tool_result" else None
    for index, one in enumerate(inner if isinstance(inner, list) else ()):
        yield from ((f".content.{index}{path}", known) for path, known in strange(one))


# Rules about images, documents and search results, in messages and in tool results.

# docs/protocol.md E.5
IMAGE_BYTES = 10 << 20  # of base64
SIDE = 8000  # pixels
MANY = 20  # images; with more of them in a request each must be smaller
SIDE_OF_MANY = 2000

KINDS = ("image", "document", "search_result")
_WANTED = frozenset((*KINDS, "tool_result"))


class BlockPlace(NamedTuple):
    """A block and where it stands: `path` as error messages write it, `plain` as `details` do (without tags)."""

    path: str
    plain: str
    block: Block


class RequestMedia(NamedTuple):
    """What a request holds, in its order."""

    body: Mapping[str, Any]
    model: Model
    images: Sequence[BlockPlace]
    documents: Sequence[BlockPlace]
    results: Sequence[BlockPlace]


def blocks(request: MessagesRequest, profile: Profile) -> None:
    """Rules 124 to 135, the shapes first. Raises ApiError (400) of the first one broken."""
    places = _places(request)
    if not places:
        return
    checks = _BLOCKS[profile.is_strict]
    for place in places:
        if (found := checks[place.block["type"]](place.block)) is not None:
            raise invalid(f"{place.path}{found[0]}: {found[1]}")
    held = _held(request, profile, places)
    for rule in (count, images, documents, citations):
        rule(held)


def _places(request: MessagesRequest) -> list[BlockPlace]:
    found: list[BlockPlace] = []
    for index, message in enumerate(request.messages):
        content = message["content"]
        if type(content) is list:
            for at, block in enumerate(content):
                if block["type"] in _WANTED:
                    found += _within(block, f"messages.{index}.content.{at}")
    return found


def _within(block: Block, path: str) -> Iterator[BlockPlace]:
    if block["type"] == "tool_result":
        return _listed(block.get("content"), f"{path}.tool_result.content", f"{path}.content")
    return iter((BlockPlace(f"{path}.{_tag(block)}", path, block),))


def _listed(content: Any, path: str, plain: str) -> Iterator[BlockPlace]:
    for at, block in enumerate(content if isinstance(content, list) else ()):
        if block["type"] in KINDS:
            yield BlockPlace(f"{path}.{at}.{_tag(block)}", f"{plain}.{at}", block)


def _tag(block: Block) -> str:
    """What stands for the block in a path: a document in base64 is a `pdf` there (docs/protocol.md E.6)."""
    source = block.get("source")
    is_pdf = block["type"] == "document" and isinstance(source, dict) and source.get("type") == "base64"
    return "pdf" if is_pdf else str(block["type"])


def _held(request: MessagesRequest, profile: Profile, places: Iterable[BlockPlace]) -> RequestMedia:
    kinds: dict[str, list[BlockPlace]] = {kind: [] for kind in KINDS}
    for place in places:
        kinds[place.block["type"]].append(place)
        if place.block["type"] == "document" and place.block["source"]["type"] == "content":
            content = place.block["source"]["content"]
            kinds["image"] += _listed(content, f"{place.path}.source.content.content", f"{place.plain}.source.content")
    return RequestMedia(request.body, model_of(request, profile), *kinds.values())


def count(held: RequestMedia) -> None:
    """Rule 131: a request has at most so many images and documents as its model takes."""
    images, documents, most = len(held.images), len(held.documents), held.model.media
    if images + documents > most:
        raise invalid(f"too many images and documents: {images} + {documents} > {most}")


def images(held: RequestMedia) -> None:
    """Rules 124 to 129 and 132: each image is one, is what it says, and is not too large."""
    seen = [(place, _image(place)) for place in held.images if place.block["source"]["type"] == "base64"]
    _within_side(seen, many=len(held.images) > MANY)
    for place, image in seen:
        if (place.block.get("transformations") or {}).get("oversized_image") == "error":
            _not_oversized(place, image, held.model)


def _image(place: BlockPlace) -> media.Image:
    """Rules 126, 129 and 125: an image has at most 10 MB, can be read, and is of the type it says."""
    source, path = place.block["source"], f"{place.path}.source.base64"
    data, named = source["data"], source["media_type"]
    if len(data) > IMAGE_BYTES:
        most = f"{IMAGE_BYTES >> 20} MB maximum: {len(data)} bytes > {IMAGE_BYTES} bytes"
        raise invalid(f"{path}: image exceeds {most}")
    image = media.image(data) if media.is_base64(data) else None
    if image is None:
        raise invalid("Could not process image")
    if image.kind != named:
        raise invalid(
            f"{path}: The image was specified using the {named} media type, "
            f"but the image appears to be a {image.kind} image"
        )
    return image


def _within_side(seen: Iterable[tuple[BlockPlace, media.Image]], *, many: bool) -> None:
    """Rules 127 and 128: no side has too many pixels.

    `details`, as newer servers send it, names every image over the limit.
    """
    most, kind = (SIDE_OF_MANY, " for many-image requests") if many else (SIDE, "")
    over = [place for place, image in seen if max(image.width, image.height) > most]
    if over:
        raise invalid(
            f"{over[0].path}.source.base64.data: "
            f"At least one of the image dimensions exceed max allowed size{kind}: {most} pixels",
            details={
                "error_code": "image_dimensions_too_large",
                "max_side_length_pixels": most,
                "paths": [place.plain for place in over],
            },
        )


def _not_oversized(place: BlockPlace, image: media.Image, model: Model) -> None:
    """Rule 132: an image that asks for `oversized_image: error` need not be scaled down."""
    width, height = media.fitted(image.width, image.height, model)
    if (width, height) != (image.width, image.height):
        raise invalid(
            f"{place.path}.source.base64.data: The image is {image.width}x{image.height} pixels, more than {model.id} "
            f"takes without scaling it down; the largest dimensions that fit are {width}x{height}"
        )


def documents(held: RequestMedia) -> None:
    """Rules 129 and 130: a PDF can be read, and the pages of all PDFs of a request count together."""
    most, total = held.model.media, 0
    for place in held.documents:
        source = place.block["source"]
        if source["type"] != "base64":
            continue
        pages = media.pages(source["data"]) if media.is_base64(source["data"]) else None
        if pages is None:
            raise invalid("Could not process PDF")
        total += pages
        if total > most:
            raise invalid(f"{place.path}.source.base64.data: A maximum of {most} PDF pages may be provided.")


def citations(held: RequestMedia) -> None:
    """Rules 133 to 135: citations for all documents or none, for all search results or none, and not with a format."""
    for name, places in (("document", held.documents), ("search_result", held.results)):
        enabled = [_cited(place.block) for place in places]
        if any(enabled) and not all(enabled):
            raise invalid(f"messages: citations must be enabled for all `{name}` blocks of a request or for none")
        if any(enabled) and _structured(held.body):
            raise invalid("output_config.format: structured output cannot be used together with citations")


def _cited(block: Block) -> bool:
    return bool((block.get("citations") or {}).get("enabled"))


def _structured(body: Mapping[str, Any]) -> bool:
    return bool((body.get("output_config") or {}).get("format") or body.get("output_format"))


def _fields(*, closed: bool) -> Mapping[str, Check]:
    """block type -> its check, its path's own tag left out. Sources: docs/protocol.md B.3; also rule 124."""

    def one(fields: Mapping[str, tuple[bool, Check]]) -> Check:
        return record(fields, closed=closed, skip="type")

    def encoded(*types: str) -> Check:
        return one({"media_type": required(one_of(*types)), "data": required(string)})

    apart = {"url": one({"url": required(string)}), "file": one({"file_id": required(string)})}
    cited = optional(nullable(one({"enabled": optional(nullable(boolean))})))
    text = {"type": required(one_of("text")), **BLOCK_PARAMS["text"]}
    image = one(
        {
            **BLOCK_PARAMS["image"],
            "source": required(tagged({"base64": encoded(*media.IMAGE_TYPES), **apart})),
            "transformations": optional(nullable(one({"oversized_image": optional(one_of("downsize", "error"))}))),
        }
    )
    content = string_or(items(tagged({"text": one(BLOCK_PARAMS["text"]), "image": image})))
    sources = {
        "base64": encoded("application/pdf"),
        "text": encoded("text/plain"),
        "content": one({"content": required(content)}),
        **apart,
    }
    return {
        "image": image,
        "document": one({**BLOCK_PARAMS["document"], "source": required(tagged(sources)), "citations": cited}),
        "search_result": one(
            {**BLOCK_PARAMS["search_result"], "content": required(items(one(text))), "citations": cited}
        ),
    }


_BLOCKS = {True: _fields(closed=True), False: _fields(closed=False)}

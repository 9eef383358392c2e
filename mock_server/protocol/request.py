"""Body bytes -> MessagesRequest: a thin view over the JSON. Nothing is judged here; that is `validate.py`."""

import codecs
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mock_server.protocol.errors import invalid
from mock_server.protocol.lazy import lazy
from mock_server.protocol.upload import Form

Block = Mapping[str, Any]
# headers whose values are shown to nobody
SECRET_HEADERS = frozenset(("x-api-key", "authorization", "proxy-authorization", "cookie"))


class HttpRequest(NamedTuple):
    """What came over the wire. `path` and `query` are still quoted; `headers` is looked up in lower case; `session` is
    what `/s/NAME` said, `prefix` all that stood before the path of the endpoint. A form has no body of its own: what
    stands in `body` tells of it.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    session: str | None = None
    query: str = ""
    prefix: str = ""
    form: Form | None = None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not allowed in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _Infinite(digits)
    return number


class _Infinite(ValueError):
    """A number that becomes infinity when it is read."""


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[-+.0-9eE]+', re.DOTALL)
_ANY_HALF = re.compile(r"\\u[dD][89a-fA-F]").search  # four times as fast as `in`
_HALF = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<low>\\u)|)|(?P<high>\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\."
)


def strict_json(text: str) -> Any:
    """The value of a JSON text that every client could read: no NaN, no infinity, no half of a character.

    Raises ValueError, whose text ends with the place. Numbers and halves of characters are refused in the words of
    orjson, which the API reads with [INF: rule 7].
    """
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _misread(error.msg, text, error.pos) from None
    except _Infinite as error:
        at = next((one.start() for one in _TOKEN.finditer(text) if one[0] == str(error)), 0)
        raise _misread("number is infinity when parsed as double", text, at) from None
    except RecursionError:
        raise _misread("nested too deeply", text, 0) from None
    except ValueError as error:
        raise _misread(str(error), text, 0) from None
    if _ANY_HALF(text):
        _check_halves(text)
    return value


def _check_halves(text: str) -> None:
    """Every `\\ud83d` is followed by its `\\ude00`, and none of these comes first."""
    for found in _HALF.finditer(text):
        if found["high"]:
            raise _misread("invalid high surrogate in string", text, found.start())
        if found["low"]:
            raise _misread("invalid low surrogate in string", text, found.start())
        if found[0][1] == "u" and len(found[0]) == 6:
            raise _misread("no low surrogate in string", text, found.start())


def _misread(why: str, text: str, at: int) -> ValueError:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return ValueError(f"{why}: line {line} column {column} (char {at})")


def parse_json(body: bytes) -> Any:
    """The JSON value of a request body; a 400 in the API's wording (rule 7) when it is none."""
    try:
        return strict_json(body.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        reason = f"invalid UTF-8: line 1 column {error.start + 1} (char {error.start})"
    except ValueError as error:
        reason = str(error)
    raise invalid(f"The request body is not valid JSON: {reason}")


def parse(body: bytes, headers: Mapping[str, str] | None = None) -> "MessagesRequest":
    """The request a body holds. Raises ApiError (400) when it is not a JSON object."""
    value = parse_json(body)
    if not isinstance(value, dict):
        raise invalid("Input should be a valid dictionary or object to extract fields from")
    return MessagesRequest(value, headers or {}, may_name=b"[[scenario:" in body)


_NO_HEADERS: Mapping[str, str] = {}


class MessagesRequest:
    """One `POST /v1/messages`. Properties assume a validated body; `body` is the JSON itself, never changed.

    `may_name`: whether a `[[scenario:NAME]]` can be anywhere in it, so that nobody need look when it cannot.
    """

    def __init__(
        self, body: dict[str, Any], headers: Mapping[str, str] = _NO_HEADERS, *, may_name: bool = True
    ) -> None:
        self.body = body
        self.headers = headers
        self.may_name = may_name

    @property
    def version(self) -> str | None:
        """What `anthropic-version` says."""
        return self.headers.get("anthropic-version")

    @lazy
    def betas(self) -> tuple[str, ...]:
        """What `anthropic-beta` lists."""
        return tuple(one.strip() for one in self.headers.get("anthropic-beta", "").split(",") if one.strip())

    def has_beta(self, *names: str) -> bool:
        """Whether a beta is asked for whose name begins with one of these."""
        return "anthropic-beta" in self.headers and any(beta.startswith(names) for beta in self.betas)

    @lazy
    def model(self) -> str:
        name: str = self.body["model"]
        return name

    @lazy
    def max_tokens(self) -> int:
        return int(self.body["max_tokens"])

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    @lazy
    def messages(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.body["messages"]
        return found

    @property
    def thinking(self) -> Mapping[str, Any]:
        return self.body.get("thinking") or {}

    @property
    def effort(self) -> str | None:
        """What `output_config.effort` says."""
        return (self.body.get("output_config") or {}).get("effort")

    @property
    def stop_sequences(self) -> Sequence[str]:
        return self.body.get("stop_sequences") or ()

    @lazy
    def tools(self) -> Sequence[Mapping[str, Any]]:
        return self.body.get("tools") or ()

    @property
    def tool_choice(self) -> Mapping[str, Any]:
        return self.body.get("tool_choice") or {}

    @lazy
    def has_blocks(self) -> bool:
        """Whether any message is more than a bare string."""
        return any(type(message["content"]) is not str for message in self.messages)

    @lazy
    def kinds(self) -> frozenset[str]:
        """The types of all content blocks that are not bare strings, those inside tool results too."""
        found: set[str] = set()
        for message in self.messages:
            content = message["content"]
            if type(content) is str:
                continue
            for block in content:
                found.add(block["type"])
                if block["type"] == "tool_result" and type(block.get("content")) is list:
                    found.update([inner["type"] for inner in block["content"]])
        return frozenset(found)

    @lazy
    def system(self) -> str:
        """The system prompt: the top-level one and the text of system messages, joined by newlines."""
        parts = [self.body.get("system"), *(m["content"] for m in self.messages if m["role"] == "system")]
        return "\n".join(text(blocks(part)) for part in parts if part)

    @lazy
    def tool_names(self) -> tuple[str, ...]:
        return tuple(str(tool.get("name") or tool.get("mcp_server_name") or tool.get("type")) for tool in self.tools)

    @lazy
    def fingerprint(self) -> bytes:
        """16 bytes that two requests share when messages, system, tools and model say the same.

        `stream` does not count: some clients fall back from a stream to JSON. Neither do cache marks and nulls.
        """
        said = {name: _said(self.body.get(name)) for name in ("system", "tools", "model")}
        said["messages"] = [{"role": m["role"], "content": _said(blocks(m["content"]))} for m in self.messages]
        data = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(data.encode(), digest_size=16).digest()


def blocks(content: Any) -> Sequence[Block]:
    """Message or system content as blocks: a bare string is one text block."""
    if isinstance(content, str):
        return ({"type": "text", "text": content},)
    return content or ()


def text(content: Sequence[Block]) -> str:
    """The text blocks, joined by newlines."""
    return "\n".join(block["text"] for block in content if block.get("type") == "text")


def result_text(block: Block) -> str:
    """The text inside one tool_result block."""
    return text(blocks(block.get("content")))


def _said(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _said(v) for k, v in value.items() if v is not None and k != "cache_control"}
    if isinstance(value, list | tuple):
        return [_said(item) for item in value]
    return value

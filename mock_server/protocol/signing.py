"""Signed ids: a key's mark on the ids, signatures and encrypted content that we make. A block that comes back can be
judged without memory.

An id is `toolu_01` and 22 characters: 6 of chance, 4 naming the scenario, 2 the position in its script, 4 that seal
those twelve as ours, 3 over the tool's name and 3 over its input. Blocks without a mark of ours are never judged,
but for signatures that can be nobody's. The key is no secret: replicas must read each other's marks.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mock_server.protocol.sse import writes
from mock_server.records import dataclass

_KEY = b"messages-mock-server"
_LETTERS = bytes.maketrans(b"+/", b"Kz")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HEAD = {"toolu_01", "srvtoolu_01", "mcptoolu_01"}
_CUT = "\0cut"
_CANONICAL = writes(json.JSONEncoder(sort_keys=True, separators=(",", ":")))


def letters(data: bytes) -> str:
    """Bytes as letters and digits, six bits each; what ids are made of."""
    return base64.b64encode(data).translate(_LETTERS).rstrip(b"=").decode("ascii")


def code(text: str, length: int) -> str:
    """`length` characters (at most 32) that only this `text` has."""
    return letters(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=_KEY, digest_size=24).digest())[:length]


def canonical(value: Any) -> str:
    """JSON that is the same before and after a client's round trip: sorted keys, no nulls, 1.0 as 1."""
    return _CANONICAL(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


@dataclass(frozen=True, slots=True)
class Stamp:
    """The part of an id that is known when a scenario is compiled: where it stands, the call's name and input."""

    prefix: str
    place: str
    content: str


def tag(scenario: str) -> str:
    """Four characters that name a scenario inside ids."""
    return code("scenario " + scenario, 4)


def stamp(prefix: str, scenario: str, position: int, name: str, input: Any, *, cut: bool = False) -> Stamp:
    """The stamp of one call. A call cut short is marked over its name alone: each client parses the rest its way."""
    place = tag(scenario) + _DIGITS[position // 62 % 62] + _DIGITS[position % 62]
    arguments = _CUT if cut else canonical(input)
    return Stamp(prefix, place, code("name " + name, 3) + code(f"input {name} {arguments}", 3))


def mint(nonce: str, stamped: Stamp) -> str:
    """The id; `nonce` is 6 characters of letters and digits."""
    return f"{stamped.prefix}01{nonce}{stamped.place}{code(nonce + stamped.place, 4)}{stamped.content}"


@dataclass(frozen=True, slots=True)
class Minted:
    """What can be read from an id of ours."""

    scenario: str
    position: int
    name_mark: str
    input_mark: str

    def named(self, name: str) -> bool:
        return self.name_mark == code("name " + name, 3)

    def called_with(self, name: str, input: Any) -> bool:
        """Whether the call still has the input it had, as far as that was marked."""
        return self.input_mark in (code(f"input {name} {canonical(input)}", 3), code(f"input {name} {_CUT}", 3))


def read(id: object) -> Minted | None:
    """What can be read from `id`; None when it is not one of ours."""
    if not isinstance(id, str) or id[:-22] not in _HEAD:
        return None
    body = id[-22:]
    nonce, place, seal = body[:6], body[6:12], body[12:16]
    if seal != code(nonce + place, 4):
        return None
    high, low = _DIGITS.find(place[4]), _DIGITS.find(place[5])
    return Minted(place[:4], high * 62 + low, body[16:19], body[19:])


# -- signatures and encrypted content -------------------------------------------------------------------------------
#
# Of the form that those of the API have: base64 of a field 2 (0x12), its length, and so many bytes. In them, between
# two brands that mark it as ours: the place, what the text digests to, and a checksum over all before it. A change of
# one letter leaves one of the brands whole, so that it is seen for what it is.


class ThoughtPlace(NamedTuple):
    """Where in a reply a thought stands: its number among the thoughts of this reply, and what is beside it.

    `reply` names the reply and is empty where order is nobody's matter; `before` and `after` are marks of the nearest
    blocks that are no thoughts (`beside`), empty when there are none.
    """

    reply: bytes = b""
    number: int = 0
    before: bytes = b""
    after: bytes = b""


NOWHERE = ThoughtPlace()


class Signed(NamedTuple):
    """What a signature of ours holds: the mark of its text, made with `salt`; None: it stands for any text."""

    place: ThoughtPlace
    mark: str | None
    salt: str = "text "

    def covers(self, text: str) -> bool:
        return self.mark is None or self.mark == code(self.salt + text, 32)


class NotASignature(ValueError):
    """This can be nobody's signature, or it was one of ours before it was changed."""


_BRAND = hashlib.blake2b(b"ours", key=_KEY, digest_size=8).digest()
_NUMBER, _REPLY, _BESIDE, _TEXT, _SUM = 2, 9, 6, 24, 28
_ANY_TEXT = bytes(_TEXT)
_FIELD = b"\x12"
_LEAST = 64  # bytes; a shorter one cannot be a signature
_MOST_FIELDS = 16
# what a field holds by the last bits of its tag: a number, 8 bytes, so many bytes as it says, 4 bytes
_KINDS: Mapping[int, int | None] = {0: None, 1: 8, 2: None, 5: 4}


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=_KEY, digest_size=size).digest()


def reply_mark(scenario: str, position: int, content: Sequence[str]) -> bytes:
    """What distinguishes a reply from all others: whose it is, and its whole content."""
    return _digest("\0".join(("reply", scenario, str(position), *content)), _REPLY)


def beside(kind: str, name: str = "", value: Any = "", *, cut: bool = False) -> bytes:
    """The mark of a block that stands beside a thought. A call cut short is marked by its name alone."""
    return _digest(f"beside {kind} {name} {_CUT if cut else canonical(value)}", _BESIDE)


def signature(kind: str, text: str | None, place: ThoughtPlace = NOWHERE) -> str:
    """An opaque string over `text`, of the form of a thinking signature.

    Without a text it stands for any; without a kind it may stand wherever a signature may.
    """
    mark = _ANY_TEXT if text is None else _digest(f"text {text}", _TEXT)
    number = min(place.number, 0xFFFF).to_bytes(_NUMBER, "big")
    reply, before, after = place.reply.ljust(_REPLY, b"\0"), place.before, place.after
    body = _BRAND + number + reply + before.ljust(_BESIDE, b"\0") + after.ljust(_BESIDE, b"\0") + mark
    length = bytes((len(body) + _SUM + len(_BRAND),))
    made = _FIELD + length + body
    return base64.b64encode(made + _checksum(kind, made) + _BRAND).decode("ascii")


def _checksum(kind: str, made: bytes) -> bytes:
    return hashlib.blake2b(kind.encode() + b"\0" + made, key=_KEY, digest_size=_SUM).digest()


def opened(kind: str, value: str) -> Signed | None:
    """What can be read from a signature of ours; None: it was made elsewhere, and has the form of one.

    Raises NotASignature: it is empty, no base64, too short, its lengths do not fit, or it was ours before a letter of
    it was changed.
    """
    data = _decoded(value)
    if data is None:
        raise NotASignature
    found = _ours(kind, data)
    if found is False or (found is None and not _is_formed(data)):
        raise NotASignature
    return found


def signed(kind: str, text: str, value: object) -> bool | None:
    """Whether `value` is our signature of this very text; None when it is no signature of ours at all."""
    data = _decoded(value)
    found = None if data is None else _ours(kind, data)
    return found.covers(text) if isinstance(found, Signed) else found


_PIECE = 1 << 20  # letters that are read at once: other threads wait meanwhile


def _decoded(value: object) -> bytes | None:
    """The bytes of base64 as every encoder writes it: one spelling for each value, padded, without white space."""
    if not isinstance(value, str):
        return None
    parts = []
    for at in range(0, len(value), _PIECE):
        piece = value[at : at + _PIECE]
        try:
            data = base64.b64decode(piece, validate=True)
        except ValueError:
            return None
        if base64.b64encode(data).decode("ascii") != piece or (len(data) % 3 and at + _PIECE < len(value)):
            return None
        parts.append(data)
    return b"".join(parts)


def _ours(kind: str, data: bytes) -> Signed | Literal[False] | None:
    """What can be read from it; False: it was ours before it was changed; None: it was made elsewhere."""
    if _BRAND not in data:
        return _of_0_1(kind, data)
    body, checksum = data[: -_SUM - len(_BRAND)], data[-_SUM - len(_BRAND) :]
    if checksum not in (_checksum(kind, body) + _BRAND, _checksum("", body) + _BRAND):
        return False
    at = len(_FIELD) + 1 + len(_BRAND)
    fields = []
    for size in (_NUMBER, _REPLY, _BESIDE, _BESIDE, _TEXT):
        fields.append(body[at : at + size])
        at += size
    number, reply, before, after, mark = fields
    place = ThoughtPlace(_mark(reply), int.from_bytes(number, "big"), _mark(before), _mark(after))
    return Signed(place, None if mark == _ANY_TEXT else letters(mark))


def _mark(field: bytes) -> bytes:
    return field if any(field) else b""


def _is_formed(data: bytes) -> bool:
    """Whether the outside is that of a recorded signature: a few fields, as Protocol Buffers writes them, to the end.

    Nearly all are one field 2 (they begin with `E`); newer ones have a number before it (`CAIS`).
    """
    at, has_bytes = 0, False
    for _ in range(_MOST_FIELDS):
        if at >= len(data):
            break
        tag, at = _varint(data, at)
        kind = tag & 7
        if tag >> 3 == 0 or kind not in _KINDS or at < 0:
            return False
        size = _KINDS[kind]
        if size is None:
            size, at = _varint(data, at)
            if at < 0:
                return False
        has_bytes = has_bytes or kind == 2
        at += size if kind else 0
    return len(data) >= _LEAST and has_bytes and at == len(data)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends; -1: nowhere."""
    value = 0
    for shift, byte in enumerate(data[at : at + 5] if at >= 0 else b""):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, at + shift + 1
    return value, -1


def _of_0_1(kind: str, data: bytes) -> Signed | None:
    """A signature as 0.1.0 made them: conversations that began there go on."""
    try:
        body = data[1:].decode("ascii")
    except ValueError:
        return None
    nonce = body[:12]
    if data[:1] != _FIELD or len(body) != 56 or body[12:24] != code(f"ours {kind} {nonce}", 12):
        return None
    return Signed(NOWHERE, body[24:], f"{kind} {nonce} ")


# Passes on any thought, and as the `data` of a redacted one: for conversations that a test makes up.
SIGNATURE = signature("", None)

"""Keyed marks on what we make: ids, signatures, encrypted content. They let a replayed block be judged without memory.

An id is `toolu_01` and 22 characters: 6 of chance, 4 naming the scenario, 2 the position in its script, 4 that seal
those twelve as ours, 3 over the tool's name and 3 over its input. Blocks without a mark of ours are never judged.
The key is no secret: replicas must read each other's marks.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

_KEY = b"messages-mock-server"
_LETTERS = bytes.maketrans(b"+/", b"Kz")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HEAD = {"toolu_01", "srvtoolu_01", "mcptoolu_01"}
_CUT = "\0cut"


def letters(data: bytes) -> str:
    """Bytes as letters and digits, six bits each; what ids are made of."""
    return base64.b64encode(data).translate(_LETTERS).rstrip(b"=").decode("ascii")


def code(text: str, length: int) -> str:
    """`length` characters (at most 32) that only this `text` has."""
    return letters(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=_KEY, digest_size=24).digest())[:length]


def canonical(value: Any) -> str:
    """JSON that is the same before and after a client's round trip: sorted keys, no nulls, 1.0 as 1."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


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
    """The part of an id that is known when a scenario is compiled: where it stands and what the call says."""

    prefix: str
    place: str
    content: str


def tag(scenario: str) -> str:
    """Four characters that name a scenario inside ids."""
    return code("scenario " + scenario, 4)


def stamp(prefix: str, scenario: str, position: int, name: str, input: Any, *, cut: bool = False) -> Stamp:
    """The stamp of one call. A call cut short is marked over its name alone: each client parses the rest its way."""
    place = tag(scenario) + _DIGITS[position // 62 % 62] + _DIGITS[position % 62]
    said = _CUT if cut else canonical(input)
    return Stamp(prefix, place, code("name " + name, 3) + code(f"input {name} {said}", 3))


def mint(nonce: str, stamped: Stamp) -> str:
    """The id; `nonce` is 6 characters of letters and digits."""
    return f"{stamped.prefix}01{nonce}{stamped.place}{code(nonce + stamped.place, 4)}{stamped.content}"


@dataclass(frozen=True, slots=True)
class Minted:
    """What an id of ours tells."""

    scenario: str
    position: int
    name_mark: str
    input_mark: str

    def named(self, name: str) -> bool:
        return self.name_mark == code("name " + name, 3)

    def given(self, name: str, input: Any) -> bool:
        """Whether the call still has the input it had, as far as that was marked."""
        return self.input_mark in (code(f"input {name} {canonical(input)}", 3), code(f"input {name} {_CUT}", 3))


def read(id: object) -> Minted | None:
    """What `id` tells, or None when it is not one of ours."""
    if not isinstance(id, str) or id[:-22] not in _HEAD:
        return None
    body = id[-22:]
    nonce, place, seal = body[:6], body[6:12], body[12:16]
    if seal != code(nonce + place, 4):
        return None
    high, low = _DIGITS.find(place[4]), _DIGITS.find(place[5])
    return Minted(place[:4], high * 62 + low, body[16:19], body[19:])


def signature(kind: str, text: str) -> str:
    """An opaque string over `text`, of the form of a thinking signature or `encrypted_content`."""
    nonce = code(f"nonce {kind} {text}", 12)
    body = nonce + code(f"ours {kind} {nonce}", 12) + code(f"{kind} {nonce} {text}", 32)
    return base64.b64encode(b"\x12" + body.encode("ascii")).decode("ascii")


def signed(kind: str, text: str, given: object) -> bool | None:
    """Whether `given` is our signature of this very text; None when it is no signature of ours at all."""
    try:
        body = base64.b64decode(str(given), validate=True)[1:].decode("ascii")
    except ValueError:
        return None
    nonce = body[:12]
    if len(body) != 56 or body[12:24] != code(f"ours {kind} {nonce}", 12):
        return None
    return body[24:] == code(f"{kind} {nonce} {text}", 32)

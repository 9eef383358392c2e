"""Faults of what stands between client and API: proxies that answer themselves, headers that lie."""

import gzip
import zlib
from typing import ClassVar, Literal

from mock_server.protocol.plan import Headers, Manner, Plan, Send, Step, Wait, rolled, unrolled, whole
from mock_server.records import dataclass
from mock_server.scenario.error import Failure
from mock_server.scenario.faults.place import CannotApply, Site, duration, sends
from mock_server.scenario.node import Mistakes

_PAGE = """<html>
<head><title>{title}</title></head>
<body>
<center><h1>{title}</h1></center>
<hr><center>nginx</center>
</body>
</html>
"""
_REASONS = {
    200: "Sign in",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


def _replaced(headers: Headers, name: str, value: str | None) -> Headers:
    """The headers with one of another value, or without it."""
    kept = tuple(pair for pair in headers if pair[0] != name)
    return kept if value is None else ((name, value), *kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class HtmlError:
    """The page of a proxy in place of the reply; with status 200 the page of a login."""

    type: ClassVar[str] = "html_error"
    status: int = 502

    def mistakes(self) -> Mistakes:
        if self.status != 200 and not 400 <= self.status <= 599:
            yield ("status",), f"a page comes with an error status, 400 to 599, or with 200; got {self.status}"

    def apply(self, plan: Plan, site: Site) -> Plan:
        title = " ".join([*([str(self.status)] if self.status != 200 else []), _REASONS.get(self.status, "Error")])
        page = _PAGE.format(title=title).replace("\n", "\r\n")
        date = tuple(pair for pair in plan.headers if pair[0] == "date")
        failed = site.failure(Failure(type="api_error", status=self.status))
        soon = tuple(pair for pair in failed.headers if pair[0] == "retry-after-ms")  # of the setting fast_retries
        headers = (("content-type", "text/html"), ("server", "nginx"), *date, *soon)
        return whole(self.status, headers, page.encode(), plan.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyBody:
    """Status and headers as they are, 200 where nothing else is wrong, and not a byte behind them."""

    type: ClassVar[str] = "empty_body"

    def apply(self, plan: Plan, site: Site) -> Plan:
        return rolled(plan, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongContentType:
    """The reply under the wrong name."""

    type: ClassVar[str] = "wrong_content_type"
    content_type: str = "text/plain; charset=utf-8"

    def mistakes(self) -> Mistakes:
        if not self.content_type.isprintable() or not self.content_type.isascii():
            yield ("content_type",), "a header is one line of printable text"

    def apply(self, plan: Plan, site: Site) -> Plan:
        return plan._replace(headers=_replaced(plan.headers, "content-type", self.content_type))


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongContentLength:
    """A content-length that is off by so many bytes; too long, and the client waits for what never comes."""

    type: ClassVar[str] = "wrong_content_length"
    by: int = 10

    def mistakes(self) -> Mistakes:
        if self.by == 0:
            yield ("by",), "off by nothing is right; expected a number above or below 0"

    def apply(self, plan: Plan, site: Site) -> Plan:
        manner = plan.manner or Manner()
        length = max(0, len(plan.body()) + self.by)
        return plan._replace(manner=manner._replace(length=length, ending=manner.ending or "close"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gzip:
    """Compression: in order, cut short, damaged, only announced, or not announced."""

    type: ClassVar[str] = "gzip"
    how: Literal["valid", "truncated", "corrupt", "header_only", "body_only"] = "truncated"

    def apply(self, plan: Plan, site: Site) -> Plan:
        if plan.manner is not None and plan.manner.length is not None:
            raise CannotApply("gzip: the length of the body is set already; put gzip first")
        steps = unrolled(plan) if self.how == "header_only" else self._packed(plan)
        encoding = None if self.how == "body_only" else "gzip"
        return rolled(plan, steps)._replace(headers=_replaced(plan.headers, "content-encoding", encoding))

    def _packed(self, plan: Plan) -> list[Step]:
        """Each frame compressed so that it can be read at once; what ends the whole is damaged as asked."""
        if not plan.stream:
            return self._whole(unrolled(plan))
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        steps: list[Step] = [
            step
            if isinstance(step, Wait)
            else Send(step.delay, packer.compress(step.frame) + packer.flush(zlib.Z_SYNC_FLUSH))
            for step in unrolled(plan)
        ]
        if self.how == "truncated":
            return _half(steps)
        return [*steps, Send(0, self._damaged(packer.flush()))]

    def _whole(self, steps: list[Step]) -> list[Step]:
        """A JSON body, compressed as one; what waits in it waits before it."""
        waits: list[Step] = [step for step in steps if isinstance(step, Wait)]
        packed = gzip.compress(b"".join(step.frame for step in sends(steps)), 6, mtime=0)
        return [*waits, Send(duration(steps), self._damaged(packed))]

    def _damaged(self, packed: bytes) -> bytes:
        """The end of a compressed body (its checksum and length are the last 8 bytes)."""
        if self.how == "truncated":
            return packed[: len(packed) // 2]
        if self.how == "corrupt":
            return packed[:-8] + bytes(byte ^ 0xFF for byte in packed[-8:])
        return packed


def _half(steps: list[Step]) -> list[Step]:
    """The steps up to half of their bytes, so that the last piece is one that cannot be unpacked."""
    left = sum(len(step.frame) for step in sends(steps)) // 2
    kept: list[Step] = []
    for step in steps:
        if isinstance(step, Wait):
            kept.append(step)
        elif left > 0:
            kept.append(Send(step.delay, step.frame[:left]))
            left -= len(step.frame)
    return kept

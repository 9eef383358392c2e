"""Rate limits: token buckets for requests and tokens, one set for each model of a session.

A bucket holds a minute's worth (requests per second: a second's) and fills up evenly. Input is taken when a request
is admitted, output when its reply is known, if need be on credit. A request larger than a whole bucket is admitted
when the bucket is full. Facts: docs/protocol.md E.3 and G.3; times are unix seconds.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mock_server.clock import INSTANT, moment, whole_seconds
from mock_server.protocol.errors import ApiError
from mock_server.protocol.plan import Headers
from mock_server.protocol.profile import Limits, Profile

MOST_MODELS = 1_000
DOCS = "https://docs.claude.com/en/api/rate-limits"
# name of a limit -> the seconds in which its bucket fills, and how the API says what it counts
_SPAN: Mapping[str, tuple[float, str]] = {
    "requests": (60, "requests per minute"),
    "requests_per_second": (1, "requests per second"),
    "input_tokens": (60, "input tokens per minute"),
    "output_tokens": (60, "output tokens per minute"),
    "tokens": (60, "tokens per minute"),
}
_ON_INPUT, _ON_OUTPUT = ("input_tokens", "tokens"), ("output_tokens", "tokens")
_PER_REQUEST = ("requests", "requests_per_second")


class Bucket:
    """`size` units that come back within `span` seconds."""

    __slots__ = ("_at", "_left", "size", "span")

    def __init__(self, size: int, span: float, now: float) -> None:
        self.size = size
        self.span = span
        self._left = float(size)
        self._at = now

    def left(self, now: float) -> float:
        """How much is in it; below 0 what was taken on credit."""
        if now > self._at:
            self._left = min(self.size, self._left + (now - self._at) * self.size / self.span)
            self._at = now
        return self._left

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` can be taken; 0 when it can be now."""
        wanted = min(amount, self.size)
        return max(0.0, (wanted - self.left(now)) * self.span / self.size)

    def take(self, amount: float, now: float) -> None:
        self._left = self.left(now) - amount

    def reset(self, now: float) -> float:
        """When it is full again."""
        return now + (self.size - self.left(now)) * self.span / self.size


class Refusal(NamedTuple):
    """The limit that a request does not fit in, and the seconds until it does."""

    limit: str
    size: int
    wait: float

    @property
    def retry_after(self) -> int:
        """Whole seconds. Less is forgiven here than by `Buckets.admit`, so that who waits so long is admitted."""
        return max(1, math.ceil(self.wait - INSTANT / 2))


class Buckets:
    """The buckets of one model."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self._by_name = {
            name: Bucket(size, span, now)
            for name, (span, _) in _SPAN.items()
            if (size := getattr(limits, name)) is not None
        }

    def admit(self, now: float, input_tokens: int) -> Refusal | None:
        """Take a request and its input, or say which limit has no room: the one to wait for the longest."""
        waits = [Refusal(name, b.size, b.wait(_needed(name, input_tokens), now)) for name, b in self._by_name.items()]
        worst = max(waits, key=lambda refusal: refusal.wait, default=None)
        if worst is not None and worst.wait > INSTANT:
            return worst
        for name, bucket in self._by_name.items():
            if name in _PER_REQUEST:
                bucket.take(1, now)
            elif name in _ON_INPUT:
                bucket.take(input_tokens, now)
        return None

    def spend(self, now: float, output_tokens: int) -> None:
        """Take what a reply was."""
        for name in _ON_OUTPUT:
            if name in self._by_name:
                self._by_name[name].take(output_tokens, now)

    def headers(self, now: float, families: tuple[str, ...] = ("ratelimit",)) -> Headers:
        """What is left, as `anthropic-ratelimit-…`; tokens to the nearest thousand."""
        return tuple(header for family in families for header in self._of_family(family, now))

    def _of_family(self, family: str, now: float) -> Iterator[tuple[str, str]]:
        tightest = min(
            (name for name in self._by_name if name not in _PER_REQUEST),
            key=lambda name: self._by_name[name].left(now),
            default=None,
        )
        shown = {"requests": "requests", "input-tokens": "input_tokens", "output-tokens": "output_tokens"}
        if family == "ratelimit" and tightest is not None:
            shown = {"requests": "requests", "tokens": tightest, **shown}
        for title, name in shown.items():
            bucket = self._by_name.get(name)
            if bucket is None or (family != "ratelimit" and title == "requests"):
                continue
            left = max(0.0, bucket.left(now))
            remaining = int(left) if title == "requests" else round(left, -3)
            yield f"anthropic-{family}-{title}-limit", str(bucket.size)
            yield f"anthropic-{family}-{title}-remaining", str(int(remaining))
            yield f"anthropic-{family}-{title}-reset", _moment(bucket.reset(now))


def _needed(name: str, input_tokens: int) -> float:
    """What must be in a bucket for a request to be admitted. Output must only be out of debt."""
    if name in _PER_REQUEST:
        return 1
    return input_tokens if name in _ON_INPUT else 0


def _moment(unix: float) -> str:
    return whole_seconds(moment(math.ceil(unix - INSTANT / 2)))


class RateLimiter:
    """The buckets of one session, by model; made anew when a model's limits change."""

    def __init__(self) -> None:
        self._by_model: OrderedDict[str, Buckets] = OrderedDict()

    def of(self, model: str, limits: Limits, now: float) -> Buckets:
        """The buckets of a model."""
        buckets = self._by_model.get(model)
        if buckets is None or buckets.limits != limits:
            buckets = self._by_model[model] = Buckets(limits, now)
            while len(self._by_model) > MOST_MODELS:
                self._by_model.popitem(last=False)
        return buckets


def refused(refusal: Refusal, model: str, profile: Profile, headers: Headers) -> ApiError:
    """Rule 15: the error of a request that came too soon."""
    message = None
    if profile.organization is not None:
        message = (
            f"This request would exceed your organization's rate limit of {refusal.size:,} {_SPAN[refusal.limit][1]} "
            f"(org: {profile.organization}, model: {model}). For details, refer to: {DOCS}. You can see the response "
            "headers for current usage. Please reduce the prompt length or the maximum tokens requested, or try again "
            "later."
        )
    more = {"retry-after": str(refusal.retry_after), **dict(headers)} if profile.rate_limit_headers else {}
    return ApiError("rate_limit_error", message, headers=more)

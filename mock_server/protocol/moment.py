"""Times as the API writes them."""

import time
from datetime import datetime, timezone


def rfc3339(unix: float) -> str:
    """`2026-11-26T01:02:03.000000Z`, of seconds since 1970."""
    moment = datetime.fromtimestamp(round(unix, 6), timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def whole_seconds(at: datetime) -> str:
    """`2026-11-26T01:02:03Z`: a time where nobody asks for fractions of a second."""
    return at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(unix: int) -> str:
    """`Thu, 26 Nov 2026 01:02:03 GMT`: the header `date`, in the words of HTTP and no locale."""
    at = time.gmtime(unix)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"

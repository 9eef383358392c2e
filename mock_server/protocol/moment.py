"""Times as the API writes them."""

from datetime import datetime, timezone


def rfc3339(unix: float) -> str:
    """`2026-11-26T01:02:03.000000Z`, of seconds since 1970."""
    moment = datetime.fromtimestamp(round(unix, 6), timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

"""How a moment is written wherever it leaves the platform."""

import datetime


def format_time(moment: datetime.datetime) -> str:
    """RFC 3339 in UTC with microseconds: ``2026-01-31T12:00:00.000000Z``."""
    in_utc = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return in_utc.isoformat(timespec="microseconds") + "Z"

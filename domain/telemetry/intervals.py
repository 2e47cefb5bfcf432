"""The quarter-hours of metering, forecasting and settlement, UTC."""

from datetime import UTC, datetime, timedelta

INTERVAL_S = 900
INTERVAL = timedelta(seconds=INTERVAL_S)
RETIRED_AFTER = timedelta(days=1)
"""A meter that has been silent for longer no longer belongs to the facility's sum."""


def interval_start(moment: datetime) -> datetime:
    """The start of the quarter-hour that contains `moment`, UTC."""
    utc = moment.astimezone(UTC)
    return utc.replace(minute=utc.minute - utc.minute % 15, second=0, microsecond=0)

"""The quarter-hours of metering, forecasting and settlement, UTC."""

from datetime import UTC, datetime, timedelta

from domain.time_series.windows import TimeWindow

INTERVAL_S = 900
INTERVAL = timedelta(seconds=INTERVAL_S)
RETIRED_AFTER = timedelta(days=1)
"""A meter that has been silent for longer no longer belongs to the facility's sum."""


def interval_start(moment: datetime) -> datetime:
    """The start of the quarter-hour that contains `moment`, UTC."""
    utc = moment.astimezone(UTC)
    return utc.replace(minute=utc.minute - utc.minute % 15, second=0, microsecond=0)


def whole_intervals(starts_at: datetime, ends_at: datetime) -> TimeWindow | None:
    """The whole quarter-hours between two moments, which alone can be measured; None where there are none."""
    first, last = interval_start(starts_at), interval_start(ends_at)
    if first < starts_at:
        first += INTERVAL
    return TimeWindow(first, last) if first < last else None

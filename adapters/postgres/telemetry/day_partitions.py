"""The days that readings are kept by: UTC days, as midnights."""

from datetime import UTC, datetime, timedelta

import numpy as np

from domain.telemetry.reading_block import ReadingBlock

_DAY_S = 86_400


def days_of(readings: ReadingBlock) -> set[datetime]:
    """The UTC days, as midnights, that `readings` fall on."""
    return {
        datetime.fromtimestamp(day * _DAY_S, UTC)
        for day in np.unique(readings.ts_us // (_DAY_S * 1_000_000)).tolist()
    }


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def days_between(first: datetime, last: datetime) -> list[datetime]:
    """The UTC midnights from the day of `first` through the day of `last`."""
    start = _midnight(first)
    return [start + timedelta(days=n) for n in range((_midnight(last) - start).days + 1)]

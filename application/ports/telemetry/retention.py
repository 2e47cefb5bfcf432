"""Deletion of old data, for telemetry stores that do not expire it themselves."""

from datetime import date, datetime
from typing import Protocol


class TelemetryRetention(Protocol):
    """Synchronous. Every method raises TelemetryStoreUnavailable when the store cannot answer."""

    def raw_days(self) -> list[date]:
        """The UTC days that have storage for readings, the oldest first."""
        ...

    def drop_raw_day(self, day: date, *, min_age_wall_s: float) -> bool:
        """Delete all readings of `day` at once.

        False means: try again later. Then the day is in use, its rollups are not finalized, or its storage
        was created less than `min_age_wall_s` ago (it was restored from the archive).
        """
        ...

    def delete_rollups_before(self, moment: datetime, *, limit: int) -> int:
        """Delete at most `limit` metered intervals that began before `moment`. Returns how many were
        deleted."""
        ...

    def now(self) -> datetime:
        """The time of the store's own clock."""
        ...

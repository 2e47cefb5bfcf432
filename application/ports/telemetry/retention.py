"""What a telemetry store can let go of, where it does not do so by itself."""

from datetime import date, datetime
from typing import Protocol


class TelemetryRetention(Protocol):
    """Synchronous. Every method raises TelemetryStoreUnavailable when the store cannot answer."""

    def raw_days(self) -> list[date]:
        """The UTC days that have room for readings, the oldest first."""
        ...

    def drop_raw_day(self, day: date, *, kept_wall_s: float) -> bool:
        """Let go of all readings of `day` at once; False where it must be tried again later: somebody works in it, its
        rollups are not settled, or room for it was made less than `kept_wall_s` ago (it was brought back from the
        archive)."""
        ...

    def delete_rollups_before(self, moment: datetime, *, limit: int) -> int:
        """Let go of at most `limit` intervals that meters said and that began before `moment`; how many it were."""
        ...

    def now(self) -> datetime:
        """What the store's own clock reads."""
        ...
